"""`lab api` as its user meets it: a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.api.conftest import Broker, Collector, configure, fill, wait_for

HEAVY = ("scipy", "sklearn", "pyarrow", "pandas", "numba")


@contextmanager
def lab_api(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"LAB_LANG": "en"}
    command = [sys.executable, "-m", "lab", "api", *arguments]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/metrics", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals on Windows")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_ends_open_streams_when_told(broker: Broker, tmp_path: Path, number: signal.Signals) -> None:
    config = configure(tmp_path, broker.port)
    fill(config, time.time_ns())
    url = f"http://127.0.0.1:{config.api.port}"
    said = ["--data-dir", str(tmp_path), "--port", str(config.api.port), "--broker", f"mqtt://127.0.0.1:{broker.port}"]
    with lab_api(*said) as process:
        wait_for(lambda: answers(url), "the server")
        answer = httpx.get(f"{url}/api/v1/assets", trust_env=False)
        assert [asset["id"] for asset in answer.json()["assets"]] == ["pump-2", "tep-1"]
        assert "server" not in answer.headers
        if sys.platform == "linux":
            status = Path(f"/proc/{process.pid}/status").read_text()
            resident = re.search(r"VmRSS:\s+(\d+)", status)
            assert resident is not None
            assert int(resident[1]) < 90 * 1024
            maps = Path(f"/proc/{process.pid}/maps").read_text()
            assert [name for name in HEAVY if f"/{name}/" in maps] == []
        collector = Collector(broker.port)
        with (
            connect(f"ws://127.0.0.1:{config.api.port}/api/v1/live", proxy=None) as socket,
            httpx.stream("GET", f"{url}/api/v1/live.sse", trust_env=False, timeout=30) as stream,
        ):
            lines = stream.iter_lines()
            assert next(lines) == "retry: 2000"
            id = None

            def heard() -> bool:
                nonlocal id
                id = collector.frame()
                try:
                    return bool(json.loads(socket.recv(0.5))["id"])
                except TimeoutError:
                    return False

            wait_for(heard, "a frame")
            process.send_signal(number)
            with pytest.raises(ConnectionClosed) as caught:
                list(socket)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
            list(lines)  # the stream ends whole, it is not torn off
            process.wait(20)
        collector.close()
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_a_taken_port_is_said_before_anything_starts(broker: Broker, tmp_path: Path) -> None:
    with lab_api("--data-dir", str(tmp_path / "new"), "--port", str(broker.port)) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert str(broker.port) in errors
    assert "in use" in errors
    assert not (tmp_path / "new").exists()


def test_a_bad_configuration_is_said(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text("[api]\nprot = 8000\n")
    with lab_api("--data-dir", str(tmp_path)) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "prot" in errors
    assert "Traceback" not in errors
