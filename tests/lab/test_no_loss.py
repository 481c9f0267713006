"""The proof: collector and broker are killed at random moments, and the store ends up with every value there was."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.agent import Agent, AgentOptions
from devices.frame import Asset, Channel
from devices.link import BrokerAddress
from devices.quality import CODES
from lab.config import Config
from lab.historian import open_historian
from lab.quarantine import counts
from lab.store import Store
from tests.conftest import needs
from tests.lab.gateways import PATH
from tests.lab.test_inbox import Broker, broker

__all__ = ["broker"]  # a fixture of test_inbox

TAGS = ("a", "b", "c")
SETTINGS = """
[broker]
kind = "external"
host = "127.0.0.1"
port = {port}
[historian]
commit_s = {commit_s}
"""


class Process:
    """`lab collector` in a process of its own."""

    def __init__(self, data: Path, port: int, commit_s: float = 0.05) -> None:
        self.data = data
        data.mkdir(exist_ok=True)
        (data / "lab.toml").write_text(SETTINGS.format(port=port, commit_s=commit_s), encoding="utf-8")
        self.log = data / "collector.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lab", "collector", "--data-dir", str(self.data)],
                stdout=log,
                stderr=log,
                env=os.environ | {"LAB_LANG": "en", "OPENBLAS_NUM_THREADS": "1"},
            )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        """End it as the supervisor does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.process = None
        return code


class Truth:
    """A gateway with the list of what it has measured."""

    def __init__(self, name: str, folder: Path, port: int, seed: int) -> None:
        self.asset = f"asset-{name}"
        self.agent = Agent(
            name,
            PATH,
            [Asset(self.asset, "thing")],
            [Channel(tag) for tag in TAGS],
            folder / f"{name}.db",
            BrokerAddress("127.0.0.1", port),
            options=AgentOptions(commit_s=0.02, resend_s=1.5),
        )
        self.random = np.random.default_rng(seed)
        self.rows: dict[int, tuple[list[float], list[int]]] = {}
        self.frames = 0

    def measure(self) -> None:
        """One to four samples."""
        n = int(self.random.integers(1, 5))
        newest = max(self.rows, default=0)
        start = max(time.time_ns() // 1_000_000 * 1_000_000, newest + 1_000_000)
        t = start + np.arange(n, dtype=np.int64) * 1_000_000
        v = self.random.normal(size=(n, len(TAGS)))
        q = np.where(self.random.random(v.shape) < 0.05, CODES["uncertain:outofcal"], 0).astype(np.uint8)
        missing = self.random.random(v.shape) < 0.05
        v[missing], q[missing] = np.nan, CODES["bad:openwire"]
        self.frames += self.agent.send(t, v, q)
        for time_, values, codes in zip(t.tolist(), v.tolist(), q.tolist(), strict=True):
            self.rows[time_] = (values, codes)


def stored(data: Path, asset: str) -> dict[int, tuple[list[float], list[int]]]:
    """What the store holds of an asset, row by row."""
    with Store(data / "lab.db", readonly=True) as store:
        historian = open_historian(Config(data_dir=str(data)), store)
        series = historian.read([f"{asset}/{tag}" for tag in TAGS], 0, 2**62)
        historian.close()
    rows: dict[int, tuple[list[float], list[int]]] = {}
    for tag in TAGS:
        one = series[f"{asset}/{tag}"]
        for t, v, q in zip(one.t.tolist(), one.v.tolist(), one.q.tolist(), strict=True):
            values, codes = rows.setdefault(t, ([], []))
            values.append(v)
            codes.append(q)
    return rows


def same(a: dict[int, Any], b: dict[int, Any]) -> bool:
    """Equal times, values (NaN equals NaN) and qualities."""
    if a.keys() != b.keys():
        return False
    left, right = (
        np.array([[*values, *codes] for values, codes in map(rows.__getitem__, sorted(rows))]) for rows in (a, b)
    )
    return bool(np.array_equal(left, right, equal_nan=True))


def ledgers(data: Path) -> list[Any]:
    with Store(data / "lab.db", readonly=True) as store:
        return store.db.execute(
            "SELECT gateway, missing, accepted, duplicates, rejected, forks, published FROM ledger ORDER BY gateway"
        ).fetchall()


@pytest.fixture
def collector(tmp_path: Path, free_port: int) -> Iterator[Process]:
    collector = Process(tmp_path / "data", free_port)
    yield collector
    collector.kill()


@needs("mosquitto")
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_nothing_is_lost_when_collector_and_broker_are_killed(
    seed: int, tmp_path: Path, broker: Broker, collector: Process
) -> None:
    chance = random.Random(seed)
    broker.start()
    collector.start()
    gateways = [Truth(f"gw{n}", tmp_path, broker.port, seed * 10 + n) for n in range(3)]
    for gateway in gateways:
        gateway.agent.start()
    kills = {"collector": 0, "broker": 0}
    actions: list[tuple[float, Callable[[], None]]] = []
    now = time.monotonic()
    for name, target in (("collector", collector), ("broker", broker)) * 3:
        now += chance.uniform(0.3, 2.0)
        actions.append((now, target.kill))
        now += chance.uniform(0.1, 0.6)
        actions.append((now, target.start))
        kills[name] += 1
    end = now + 1.0
    try:
        while time.monotonic() < end:
            while actions and time.monotonic() >= actions[0][0]:
                actions.pop(0)[1]()
            for gateway in gateways:
                gateway.measure()
            time.sleep(0.02)
        assert kills == {"collector": 3, "broker": 3}
        for gateway in gateways:
            assert gateway.agent.wait_acknowledged(40), collector.log.read_text(encoding="utf-8")
    finally:
        for gateway in gateways:
            gateway.agent.stop()
    assert collector.stop() == 0

    for gateway in gateways:
        assert gateway.frames > 50
        assert same(stored(collector.data, gateway.asset), gateway.rows)
    for (name, missing, accepted, duplicates, rejected, forks, published), gateway in zip(
        ledgers(collector.data), gateways, strict=True
    ):
        assert (missing, rejected, forks) == ("[]", 0, 0), name
        assert accepted == gateway.frames
        assert published == accepted + duplicates
    with Store(collector.data / "lab.db", readonly=True) as store:
        assert counts(store.db) == {}


@needs("mosquitto")
def test_asked_to_end_it_commits_and_acknowledges_first(tmp_path: Path, broker: Broker, free_port: int) -> None:
    collector = Process(tmp_path / "data", free_port, commit_s=60.0)
    broker.start()
    collector.start()
    gateway = Truth("gw", tmp_path, broker.port, 1)
    gateway.agent.start()
    try:
        end = time.monotonic() + 20
        while b"gateway gw" not in collector.log.read_bytes():
            assert time.monotonic() < end, collector.log.read_text(encoding="utf-8")
            time.sleep(0.05)
        for _ in range(5):
            gateway.measure()
        while gateway.agent.counters().sent < 5:
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.5)
        assert gateway.agent.spool_stats().frames == 5  # taken, but not committed
        twin = subprocess.run(
            [sys.executable, "-m", "lab", "collector", "--data-dir", str(collector.data)],
            capture_output=True,
            timeout=30,
            env=os.environ | {"LAB_LANG": "en"},
            check=False,
        )
        assert twin.returncode == 1
        assert b"already running" in twin.stderr, twin.stderr.decode()
        assert collector.stop() == 0
        assert gateway.agent.wait_acknowledged(10)
        assert same(stored(collector.data, gateway.asset), gateway.rows)
    finally:
        collector.kill()
        gateway.agent.stop()
