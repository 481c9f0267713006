"""lab doctor: every finding that is not well says how to mend it, and a broken thing is found broken."""

import http.server
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import lab.pending  # noqa: F401  its tables are in every database
from lab import doctor
from lab.config import Config, Settings
from lab.doctor import Finding, examine
from lab.machine import Disk
from lab.running import Lock, ProcessInfo, RunInfo, run_file, write_private
from lab.store import Store


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.text.language", lambda: "en")


@pytest.fixture
def config(tmp_path: Path, free_port: int) -> Config:
    made = Config(data_dir=str(tmp_path))
    made.broker.port = made.api.port = free_port
    return made


def of(area: str, config: Config, given: frozenset[str] = frozenset()) -> list[Finding]:
    findings = examine(Settings(config, given))
    assert all(finding.mend for finding in findings if finding.state != "ok"), "says what to do"
    return [finding for finding in findings if finding.area == area]


def states(findings: list[Finding]) -> list[str]:
    return [finding.state for finding in findings]


@contextmanager
def web(answer: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Iterator[int]:
    """A web server that gives one answer to everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_fresh_machine_has_nothing_that_fails(config: Config) -> None:
    before = sorted(Path(config.data_dir).rglob("*"))
    config.data_dir += "/not/there/yet"
    assert "fail" not in states(examine(Settings(config, frozenset())))
    assert sorted(Path(config.data_dir).parents[2].rglob("*")) == before, "looking leaves nothing behind"


def test_models_without_a_file(config: Config) -> None:
    assert of("models", config) == []
    with Store(config.database) as store:
        assert of("models", config) == []
        store.db.execute("INSERT INTO unsaved VALUES ('asset-pump-1.model', 'm')")
    (finding,) = of("models", config)
    assert finding.state == "warn"
    assert str(config.models / "asset-pump-1.model") in finding.text
    assert str(config.models) in finding.mend


def test_ports(config: Config) -> None:
    assert states(of("ports", config)) == ["ok", "ok"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config.api.port = listener.getsockname()[1]
        assert states(of("ports", config)) == ["ok", "warn"], "lab up makes way"
        found = of("ports", config, frozenset({"api.port"}))
        assert states(found) == ["ok", "fail"], "lab up would fail"
        if sys.platform == "linux":
            assert f"pid {os.getpid()}" in found[1].text


def test_broker(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.broker.find_mosquitto", lambda: None)
    found = of("broker", config)
    assert states(found) == ["warn"]
    assert "apt install mosquitto" in found[0].mend
    config.broker.kind = "mosquitto"
    assert states(of("broker", config)) == ["fail"]
    config.broker.kind = "external"
    assert states(of("broker", config)) == ["fail"], "nobody answers there"


def test_clock(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "clock_synchronised", lambda: True)
    assert states(of("clock", config)) == ["ok"]
    monkeypatch.setattr(doctor, "clock_synchronised", lambda: None)
    assert states(of("clock", config)) == ["ok"]
    monkeypatch.setattr(doctor, "clock_synchronised", lambda: False)
    assert states(of("clock", config)) == ["warn"]
    monkeypatch.setattr(time, "time", lambda: 86400.0)  # a Raspberry Pi that woke without a network
    assert states(of("clock", config)) == ["fail"]


def test_the_kernel_is_asked_about_its_clock() -> None:
    assert doctor.clock_synchronised() in ({True, False} if sys.platform == "linux" else {None})


@pytest.mark.parametrize(
    ("measured", "state"),
    [
        (Disk(10**11, 10**12, 1.0, None), "ok"),
        (Disk(10**9, 10**12, 1.0, None), "warn"),
        (Disk(10**11, 10**12, 200.0, None), "warn"),
        (Disk(10**6, 10**12, 1.0, None, True), "fail"),
        (Disk(0, 0, 0.0, "Read-only file system"), "fail"),
    ],
)
def test_disk(config: Config, monkeypatch: pytest.MonkeyPatch, measured: Disk, state: str) -> None:
    monkeypatch.setattr(doctor, "disk", lambda folder: measured)
    assert states(of("disk", config)) == [state]


def test_database(config: Config) -> None:
    assert states(of("database", config)) == ["ok"]
    db = sqlite3.connect(config.database)
    db.execute("CREATE TABLE t (a TEXT)")
    db.executemany("INSERT INTO t VALUES (?)", [("x" * 100,) for _ in range(2000)])
    db.execute("CREATE INDEX i ON t (a)")
    db.commit()
    db.close()
    assert states(of("database", config)) == ["ok"]
    content = bytearray(config.database.read_bytes())
    content[5 * 4096 : 20 * 4096] = os.urandom(15 * 4096)
    config.database.write_bytes(content)
    assert states(of("database", config)) == ["fail"]
    config.database.write_bytes(b"no database at all" * 100)
    assert states(of("database", config)) == ["fail"]


def test_influx(config: Config, free_port: int) -> None:
    assert of("influx", config) == []
    config.historian.kind = "influx"
    config.historian.url = f"http://127.0.0.1:{free_port}"
    assert states(of("influx", config)) == ["fail"]
    with web(204, headers={"X-Influxdb-Version": "2.7.1"}) as port:
        config.historian.url = f"http://127.0.0.1:{port}/"
        found = of("influx", config)
    assert states(found) == ["ok"]
    assert "2.7.1" in found[0].text
    config.historian.url = "no address"
    assert states(of("influx", config)) == ["fail"]


def test_a_running_lab(config: Config, free_port: int) -> None:
    assert states(of("lab", config)) == ["ok"]
    lock = Lock(config.data)
    try:
        with web(503, b'{"reasons":["broker"]}') as port:
            processes = [
                ProcessInfo("broker", "running", restarts=2, log="b.log"),
                ProcessInfo("collector", "backoff", restarts=5, exit_code=1, log="c.log"),
                ProcessInfo("api", "running"),
            ]
            info = RunInfo(
                os.getpid(), "9", 0.0, "d", "amqtt", "", "127.0.0.1", free_port, "127.0.0.1", port, processes
            )
            write_private(run_file(config.data), msgspec.json.encode(info))
            found = of("lab", config)
            assert states(found) == ["ok", "warn", "fail", "warn"]
            assert "c.log" in found[2].mend
            assert '"broker"' in found[3].text
            assert of("broker", config)[-1].state == "fail", "its broker does not answer"
    finally:
        lock.release()


def run_doctor(tmp_path: Path, *options: str, lang: str = "en") -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")} | {"LAB_LANG": lang}
    command = [sys.executable, "-m", "lab", "doctor", "--data-dir", str(tmp_path), *options]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environ, timeout=60, check=False)


def test_the_command(tmp_path: Path) -> None:
    done = run_doctor(tmp_path, "--json")
    findings = json.loads(done.stdout)
    assert done.returncode == int(any(finding["state"] == "fail" for finding in findings))
    assert {"python", "broker", "ports", "clock", "disk", "database"} <= {finding["area"] for finding in findings}
    (tmp_path / "lab.toml").write_text("[historian]\nkinds = 1\n")
    done = run_doctor(tmp_path, lang="ja")
    assert done.returncode == 1
    assert "2行目" in done.stdout
    assert "［異常］" in done.stdout
