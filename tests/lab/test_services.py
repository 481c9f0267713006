"""Dockerfile and docker-compose.yml, read and, without a container engine, run: each service's command natively."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import yaml

from lab.broker import find_mosquitto, wait_ready
from lab.config import VARIABLES, BrokerConfig, Config, load_config
from lab.heard import heard
from tests.conftest import ROOT, needs

OURS = ("collector", "api", "plant", "model")
PINNED = re.compile(r"[\w./-]+:\d+(\.\d+)*(-[\w.]+)*\Z")


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def interpolated(value: str, variables: dict[str, str]) -> str:
    """A compose value with `${NAME}`, `${NAME:-default}` and `${NAME:?message}` filled in, `$$` as `$`."""

    def fill(match: re.Match[str]) -> str:
        name, kind, rest = match[1], match[2], match[3]
        if name in variables:
            return variables[name]
        assert kind == ":-", f"{name} must be set: {rest}"
        return str(rest)

    return re.sub(r"\$\{(\w+)(:-|:\?)?([^}]*)\}", fill, value).replace("$$", "$")


def environment(service: Any, **variables: str) -> dict[str, str]:
    return {name: interpolated(str(value), variables) for name, value in service["environment"].items()}


def test_images_are_pinned_and_ours_is_built(compose: Any) -> None:
    assert set(compose["services"]) == {"broker", "influxdb", *OURS}
    for name, service in compose["services"].items():
        assert ("build" in service) == (name in OURS)
        if name not in OURS:
            assert PINNED.match(service["image"]), service["image"]


def test_only_the_page_is_published_and_only_here(compose: Any) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"api"}
    assert [interpolated(port, {}) for port in published["api"]] == ["127.0.0.1:8000:8000"]
    assert "network_mode" not in json.dumps(compose)


def test_what_a_service_waits_for_is_there_and_says_when_it_is_well(compose: Any) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert "healthcheck" in service, name
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy"
            assert services[other]["healthcheck"].get("test")
    volumes = {mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])}
    assert {volume for volume in volumes if not volume.startswith(".")} == set(compose["volumes"])
    assert all((ROOT / volume).exists() for volume in volumes if volume.startswith("."))


def test_our_containers_have_no_more_rights_than_they_need(compose: Any) -> None:
    for name in OURS:
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service


def test_the_variables_are_known_and_suffice(compose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="LAB_INFLUX_TOKEN"):
        environment(compose["services"]["collector"])
    for name in [name for name in os.environ if name.startswith("LAB_")]:
        monkeypatch.delenv(name)
    for name, value in environment(compose["services"]["api"], LAB_INFLUX_TOKEN="t0ken").items():
        assert name in {*VARIABLES, "LAB_BROKER", "LAB_LANG"}, name
        monkeypatch.setenv(name, value)
    config = load_config()
    assert (config.broker.kind, config.broker.host, config.broker.port) == ("external", "broker", 1883)
    assert (config.historian.kind, config.historian.url) == ("influx", "http://influxdb:8086")
    assert (config.api.host, config.api.port, config.data) == ("0.0.0.0", 8000, Path("/data"))
    influx = environment(compose["services"]["influxdb"], LAB_INFLUX_TOKEN="t0ken")
    assert influx["DOCKER_INFLUXDB_INIT_BUCKET"] == config.historian.database
    assert influx["DOCKER_INFLUXDB_INIT_ORG"] == config.historian.org
    assert influx["DOCKER_INFLUXDB_INIT_ADMIN_TOKEN"] == config.historian.token


def test_the_image_is_pinned_hashed_and_not_root() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert all(PINNED.match(base) for base in bases), bases
    last = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert [line for line in last if line.startswith("USER ")] == ["USER lab"]
    assert any(line.startswith("HEALTHCHECK ") for line in last)
    content = "\n".join(lines)
    assert "--require-hashes -r requirements/influx.txt" in content
    assert "--no-deps --no-build-isolation ." in content


def test_everything_the_image_copies_reaches_it() -> None:
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"]
    assert sorted(sources) == sorted(kept)
    assert all((ROOT / source).exists() for source in sources)
    packages = re.search(r"^packages = \[(.+)\]$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert packages is not None
    assert set(re.findall(r'"(\w+)"', packages[1])) <= set(sources)


@contextmanager
def started(command: list[str], log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A service's command, run natively with its variables and none of ours."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")} | variables
    with log.open("wb") as out, subprocess.Popen(command, env=environ, stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def until(true: Callable[[], Any], what: str, logs: Path, seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while not (value := true()):
        if time.monotonic() > end:
            shown = "\n".join(
                f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in logs.glob("*.log")
            )
            pytest.fail(f"{what}: still {value!r} after {seconds} s\n{shown}")
        time.sleep(0.1)
    return value


def several_free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def broker_command(folder: Path, port: int) -> list[str]:
    """mosquitto with the file the container mounts, but for its port."""
    conf = (ROOT / "docker" / "mosquitto.conf").read_text(encoding="utf-8")
    assert "\nlistener 1883\n" in conf
    conf = conf.replace("\nlistener 1883\n", f"\nlistener {port} 127.0.0.1\n")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        conf += "user root\n"
    (folder / "mosquitto.conf").write_text(conf, encoding="utf-8")
    return [str(find_mosquitto()), "-c", str(folder / "mosquitto.conf")]


@needs("mosquitto")
def test_the_broker_takes_its_file_and_a_fresh_message_is_health(tmp_path: Path, free_port: int) -> None:
    config = Config(broker=BrokerConfig(kind="external", port=free_port))
    assert not heard(config, "x", 0.1), "no broker, no health"
    with started(broker_command(tmp_path, free_port), tmp_path / "broker.log"):
        assert wait_ready("127.0.0.1", free_port, 20)
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", free_port)
        client.loop_start()
        client.publish("lab/x", b"old", qos=1, retain=True).wait_for_publish(10)
        assert not heard(config, "lab/+", 0.5), "a retained message says nothing of now"
        stop = threading.Event()

        def talk() -> None:
            while not stop.wait(0.05):
                client.publish("lab/x", b"new")

        thread = threading.Thread(target=talk)
        thread.start()
        assert heard(config, "lab/+", 20)
        stop.set()
        thread.join()
        client.disconnect()
        client.loop_stop()
    assert "Error" not in (tmp_path / "broker.log").read_text()


def get(url: str) -> Any:
    """A JSON answer, or None while nobody gives one."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)
    except (OSError, ValueError):  # refused, an error code, half an answer
        return None


@contextmanager
def influxdb(folder: Path, port: int) -> Iterator[str]:
    """A real InfluxDB (Debian's 1.6.7, or any 1.x) with its files in a folder."""
    conf = [
        "reporting-disabled = true",
        f'bind-address = "127.0.0.1:{several_free_ports(1)[0]}"',
        "[meta]",
        f'dir = "{folder}/meta"',
        "[data]",
        f'dir = "{folder}/data"',
        f'wal-dir = "{folder}/wal"',
        "query-log-enabled = false",
        "[http]",
        f'bind-address = "127.0.0.1:{port}"',
        "log-enabled = false",
        "[monitor]",
        "store-enabled = false",
    ]
    file = folder / "influxdb.conf"
    file.write_text("\n".join(conf), encoding="utf-8")
    with started([str(shutil.which("influxd")), "-config", str(file)], folder / "influxdb.log"):
        yield f"http://127.0.0.1:{port}"


def influx_count(url: str, database: str) -> int:
    """How many values all measurements of a database hold."""
    query = urllib.parse.urlencode({"db": database, "q": "SELECT count(*) FROM /.*/"})
    found = get(f"{url}/query?{query}")
    rows = [row for result in (found or {}).get("results", []) for row in result.get("series", [])]
    return sum(value for row in rows for value in row["values"][0][1:] if isinstance(value, int))


@needs("mosquitto")
@needs("influxd")
def test_the_services_together_store_in_influxdb_and_answer(compose: Any, tmp_path: Path) -> None:
    services = compose["services"]
    broker_port, influx_port, api_port = several_free_ports(3)

    def natively(name: str) -> dict[str, str]:
        """The service's variables with what only a container network has (names, /data, port 8000) put here."""
        variables = environment(services[name], LAB_INFLUX_TOKEN="t0ken")
        places = {
            "LAB_BROKER": variables["LAB_BROKER"].replace("broker:1883", f"127.0.0.1:{broker_port}"),
            "LAB_INFLUX_URL": variables["LAB_INFLUX_URL"].replace("influxdb:8086", f"127.0.0.1:{influx_port}"),
            "LAB_DATA_DIR": str(tmp_path / next(v for v in services[name]["volumes"]).split(":")[0]),
        }
        if name == "api":
            places |= {"LAB_API_HOST": "127.0.0.1", "LAB_API_PORT": str(api_port)}
        return variables | places

    def service(name: str) -> Any:
        command = [sys.executable, "-m", "lab", *services[name]["command"]]
        return stack.enter_context(started(command, tmp_path / f"{name}.log", **natively(name)))

    with ExitStack() as stack:
        stack.enter_context(started(broker_command(tmp_path, broker_port), tmp_path / "broker.log"))
        url = stack.enter_context(influxdb(tmp_path, influx_port))
        assert wait_ready("127.0.0.1", broker_port, 20)
        until(lambda: connects(influx_port), "InfluxDB", tmp_path)
        ours = [service(name) for name in ("collector", "api", "plant")]
        ledger = f"http://127.0.0.1:{api_port}/api/v1/ledger"
        until(lambda: [g for g in (get(ledger) or {}).get("gateways", []) if g["accepted"] > 0], "ledger", tmp_path)
        until(lambda: influx_count(url, "lab") > 100, "readings in InfluxDB", tmp_path)
        known = f"http://127.0.0.1:{api_port}/api/v1/assets"
        plants = until(
            lambda: [asset for asset in (get(known) or {}).get("assets", []) if asset["kind"] == "tep"], "API", tmp_path
        )
        key = f"{plants[0]['id']}/xmeas_9"
        series = f"http://127.0.0.1:{api_port}/api/v1/series?sensors={key}&from=-5m"
        until(lambda: (get(series) or {}).get("series", {}).get(key, {}).get("v"), "history from InfluxDB", tmp_path)
        for name in ("collector", "plant"):
            test = services[name]["healthcheck"]["test"]
            assert test[:4] == ["CMD", "python", "-m", "lab.heard"]
            config = Config(broker=BrokerConfig(kind="external", port=broker_port))
            assert heard(config, test[4], 20), f"{name}'s health check"
        assert all(process.poll() is None for process in ours)


def connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
