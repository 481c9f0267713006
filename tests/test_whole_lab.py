"""The lab as its users meet it: a fault seen before the trip, a file of their own in the historian value by value."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.lab.test_services import several_free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@dataclass
class RunningLab:
    url: str
    data: Path

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict[str, object]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def asset(self, name: str) -> dict[str, Any] | None:
        return next((a for a in self.get("assets")["assets"] if a["id"] == name), None)

    def until(self, true: Any, what: str, seconds: float = 120) -> Any:
        end = time.monotonic() + seconds
        while not (value := true()):
            assert time.monotonic() < end, f"{what}: not within {seconds} s"
            time.sleep(0.2)
        return value

    def replay(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "lab", "replay", *arguments, "--data-dir", str(self.data)],
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    data = tmp_path_factory.mktemp("whole") / "data"
    data.mkdir()
    broker, api = several_free_ports(2)
    (data / "lab.toml").write_text(f"[broker]\nport = {broker}\n[api]\nport = {api}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")}
    with (data.parent / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "lab", "up", "--data-dir", str(data)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        running = RunningLab(f"http://127.0.0.1:{api}", data)
        try:

            def answers() -> bool:
                assert up.poll() is None, (data.parent / "up.log").read_text()
                try:
                    return running.asset("tep-1") is not None
                except OSError:
                    return False

            running.until(answers, "a plant that runs")
            yield running
        finally:
            up.send_signal(signal.SIGINT)
            assert up.wait(60) == 0


def read_csv(file: Path, skip: tuple[str, ...] = ()) -> tuple[list[str], np.ndarray]:
    with gzip.open(file, "rt") as lines:
        names = lines.readline().strip().split(",")
    columns = [i for i, name in enumerate(names) if name not in skip]
    values = np.loadtxt(file, delimiter=",", skiprows=1, usecols=columns, ndmin=2)
    return [names[i] for i in columns], values


@pytest.mark.parametrize(
    ("file", "asset", "labels", "learn"),
    [
        ("skab/valve1_00.csv.gz", "valve1_00", ("datetime", "anomaly", "changepoint"), 400),
        ("tep/braatz/d01_te.csv.gz", "d01", (), 150),
    ],
)
def test_own_file_arrives_value_by_value_with_scores_and_episodes(
    lab: RunningLab, shared: Path, file: str, asset: str, labels: tuple[str, ...], learn: int
) -> None:
    ignored = ",".join(name for name in labels if name != "datetime")
    lab.replay(
        str(shared / "data" / file),
        *("--asset", asset, "--speed", "120", "--learn", str(learn)),
        *(("--ignore", ignored) if ignored else ()),
    )
    names, expected = read_csv(shared / "data" / file, labels)
    sensors = [s for s in lab.get(f"assets/{asset}/sensors")["sensors"] if s["role"] != "status"]
    assert [s["name"] or s["tag"] for s in sensors] == names
    keys = ",".join(s["key"] for s in sensors)
    series = lab.get(f"series?sensors={keys}&from=-1h&points=2000")["series"]
    for column, sensor in enumerate(sensors):
        got = series[sensor["key"]]
        assert got["raw"], sensor["key"]
        np.testing.assert_array_equal(np.array(got["v"], float), expected[:, column], sensor["key"])
        assert np.all(np.diff(got["t"]) >= 0)
    ledger = next(g for g in lab.get("ledger")["gateways"] if g["gateway"] == asset)
    assert ledger["proof"]
    assert ledger["missing"] == 0
    episodes = lab.until(lambda: lab.get(f"episodes?asset={asset}")["episodes"], "an episode")
    assert all(e["leading"] for e in episodes)
    score = lab.get(f"assets/{asset}/score?from=-1h&points=5000")
    assert max(s for s in score["score"] if s is not None) > score["limit"]


def test_loss_of_the_a_feed_is_seen_well_before_the_trip(lab: RunningLab) -> None:
    def warm() -> bool:
        asset = lab.asset("tep-1")
        return asset is not None and asset["warm"]

    lab.until(warm, "a fitted model that has filled its lags", 240)
    before = {e["id"] for e in lab.get("episodes?asset=tep-1")["episodes"]}
    assert lab.post("simulators/tep-1/faults", {"idv": 6, "on": True})["ok"]
    injected = lab.get("simulators/tep-1")["plant_s"]

    def episode() -> dict[str, Any] | None:
        return next((e for e in lab.get("episodes?asset=tep-1")["episodes"] if e["id"] not in before), None)

    found = lab.until(episode, "an episode")
    seen = lab.get("simulators/tep-1")["plant_s"]
    assert {"xmeas_1", "xmv_3"} == {tag for tag, _ in found["leading"][:2]}
    assert found["kind"] == "process"

    assert lab.post("simulators/tep-1/speed", {"speed": 600})["ok"]
    lab.until(lambda: lab.get("simulators/tep-1")["tripped"], "the trip", 120)
    tripped = lab.get("simulators/tep-1")["plant_s"]
    print(f"plant seconds: seen {seen - injected:.0f} after the fault, {tripped - seen:.0f} before the trip")
    assert seen - injected < 1800
    assert tripped - seen > 2 * 3600
    assert next(e for e in lab.get("episodes?asset=tep-1")["episodes"] if e["id"] == found["id"])["kind"] == "process"

    assert lab.post("simulators/tep-1/reset", {"seed": 1})["ok"]
    assert lab.post("simulators/tep-1/speed", {"speed": 60})["ok"]
    lab.until(lambda: not lab.get("simulators/tep-1")["tripped"], "a plant that runs again", 20)
    lab.until(lambda: lab.get("simulators/tep-1")["plant_s"] < 3600, "the plant's clock at its start", 20)
