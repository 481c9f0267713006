"""The real `lab up`: everything it starts, killed one after the other, without losing a reading."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.running import RunInfo, running
from tests.conftest import needs
from tests.lab.test_services import several_free_ports
from tests.lab.test_supervisor import alive


def until(true: Callable[[], Any], what: str, data: Path, seconds: float = 90.0) -> Any:
    """Wait for something to become true; fail with the ends of the logs when it does not."""
    end = time.monotonic() + seconds
    while not (value := true()):
        if time.monotonic() > end:
            ends = [f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in data.glob("logs/*.log")]
            pytest.fail(f"{what}: still {value!r} after {seconds} s\n" + "\n".join(ends))
        time.sleep(0.05)
    return value


def get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)
    except (OSError, ValueError):  # refused, an error code, half an answer
        return None


def page(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return b"<html" in answer.read().lower()
    except OSError:
        return False


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
@pytest.mark.parametrize(
    "kind", [pytest.param("mosquitto", marks=needs("mosquitto")), pytest.param("amqtt", marks=pytest.mark.slow)]
)
def test_killed_one_by_one_everything_comes_back_and_nothing_is_missing(tmp_path: Path, kind: str) -> None:
    broker_port, api_port = several_free_ports(2)
    data = tmp_path / "data"
    data.mkdir()
    (data / "lab.toml").write_text(f'[broker]\nkind = "{kind}"\nport = {broker_port}\n[api]\nport = {api_port}\n')
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")}
    command = [sys.executable, "-m", "lab", "up", "--data-dir", str(data), "--lang", "en"]
    began = time.monotonic()
    with (tmp_path / "console").open("wb") as console:
        up = subprocess.Popen(command, env=environ, stdout=console, stderr=console)
    url = f"http://127.0.0.1:{api_port}/"
    family: set[int] = set()
    try:
        until(lambda: page(url), "page", data)
        print(f"\n{kind}: start to page {time.monotonic() - began:.1f} s")

        def info() -> RunInfo:
            found: RunInfo = until(lambda: running(data), "lab.json", data)
            family.update(process.pid for process in found.processes if process.pid)
            return found

        def process(name: str) -> Any:
            return next(process for process in info().processes if process.name == name)

        def ledger() -> Any:
            return get(f"{url}api/v1/ledger")

        until(lambda: (found := ledger()) and found["totals"]["accepted"], "first readings", data)
        assert info().broker_kind == kind
        for name in ("broker", "collector", "api", "plant"):
            before = until(lambda name=name: process(name).state == "running" and process(name).pid, name, data)
            last = until(ledger, "ledger", data)["totals"]["accepted"]
            os.kill(before, signal.SIGKILL)
            killed = time.monotonic()
            until(lambda name=name, before=before: process(name).pid not in {None, before}, f"{name} again", data)
            until(
                lambda last=last: (found := ledger()) and found["totals"]["accepted"] > last + 1,
                f"readings after {name} was killed",
                data,
            )
            print(f"{kind}: {name} killed, readings again after {time.monotonic() - killed:.1f} s")
        both = until(lambda: (now := ledger()) and len(now["gateways"]) == 8 and now, "the plants' second boot", data)
        # the simulated plant, and three points of the simulated piping
        assert Counter(boot["gateway"] for boot in both["gateways"])["tep-1"] == 2
        assert set(Counter(boot["gateway"] for boot in both["gateways"]).values()) == {2}
        until(lambda: (now := ledger()) and now["totals"]["missing"] == 0, "no gap", data)
        boots = until(ledger, "ledger", data)["gateways"]
        assert [(boot["missing"], boot["forks"], boot["rejected"]) for boot in boots] == [(0, 0, 0)] * 8
        assert [process.restarts for process in info().processes][:4] == [1, 1, 1, 1]
        info()
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
    finally:
        up.kill()
        up.wait()
    until(lambda: not [pid for pid in family if alive(pid)], "the end of all processes", data)
    assert running(data) is None
    assert "The lab is running" in (tmp_path / "console").read_text()
