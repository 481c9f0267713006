"""kill -9 and readers in other processes: what was committed is there, once, whatever compaction was doing."""

import functools
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lab.historian import compaction
from lab.historian.base import Batch
from lab.historian.check import check
from lab.historian.embedded import EmbeddedHistorian
from lab.store import Store
from tests.conftest import ROOT
from tests.lab.historian_child import KEYS, SENSORS, batch

END = 2**63 - 1
Model = dict[tuple[int, int], tuple[int, int]]


def model(count: int) -> Model:
    """(bits, quality) by (sensor, time) after so many batches."""
    readings: Model = {}
    for number in range(count):
        readings.update(contents(number))
    return readings


@functools.cache
def contents(number: int) -> Model:
    sensor, t, v, q = batch(number)
    rows = zip(sensor.tolist(), t.tolist(), v.view(np.int64).tolist(), q.tolist(), strict=True)
    return {(s, at): (bits, code) for s, at, bits, code in rows}


def stored(store: Store) -> Model:
    readings: Model = {}
    for number, series in enumerate(EmbeddedHistorian(store).read(KEYS, 0, END).values()):
        assert np.all(np.diff(series.t) > 0)
        rows = zip(series.t.tolist(), series.v.view(np.int64).tolist(), series.q.tolist(), strict=True)
        readings.update({(number, at): (bits, code) for at, bits, code in rows})
    return readings


def run_and_kill(path: Path, start: int, batches: int, delay: float) -> int:
    """Let the child write from batch `start` on, kill it some time after so many; the last batch it told of."""
    command = [sys.executable, "-m", "tests.lab.historian_child", str(path), str(start)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = start - 1
        try:
            for _ in range(batches):
                told = int(child.stdout.readline())
            time.sleep(delay)
        finally:
            child.kill()
        rest = child.stdout.read().split(b"\n")
        # the last line may be torn
        return max([told, *(int(line) for line in rest[:-1])])


@pytest.mark.parametrize("rounds", [6, pytest.param(40, marks=pytest.mark.slow)])
def test_killed_at_random_points(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "lab.db"
    rng = np.random.default_rng(rounds)
    done = 0
    compacted = 0
    for _ in range(rounds):
        told = run_and_kill(path, done, int(rng.integers(5, 60)), float(rng.uniform(0, 0.02)))
        with Store(path) as store:
            found = check(store)
            assert found.problems == []
            readings = stored(store)
            # the one after may have been committed and not told
            done = next((count for count in (told + 1, told + 2) if readings == model(count)), -1)
            assert done > 0
            compacted += found.chunks
    assert compacted > 0
    with Store(path) as store:
        assert not EmbeddedHistorian(store).compact(60, everything=True)
        assert check(store)._replace(bytes=0) == (len(model(done)), SENSORS, 0, check(store).chunks, 0, [])
        assert stored(store) == model(done)


READER = """
import sys, pathlib
from lab.historian.embedded import EmbeddedHistorian
from lab.store import Store
with Store(pathlib.Path(sys.argv[1]), readonly=True) as store:
    historian = EmbeddedHistorian(store)
    while line := sys.stdin.readline():
        series = historian.read(["p/count"], 0, 2**63 - 1)["p/count"]
        latest = historian.latest(["p/count"])["p/count"]
        good = series.t.tolist() == list(range(len(series.t))) and series.v.tolist() == [t * 0.5 for t in series.t]
        print(len(series.t), latest.t, good, flush=True)
"""


def test_a_reader_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread writes and another compacts, a reader sees every reading once, up to a moment."""
    monkeypatch.setattr(compaction, "LOG_ROWS", 10)
    monkeypatch.setattr(compaction, "COMMIT_ROWS", 2)
    path = tmp_path / "lab.db"
    stop = threading.Event()
    committed = [0]
    failures: list[BaseException] = []

    def write() -> None:
        rng = np.random.default_rng(1)
        try:
            with Store(path, synchronous="NORMAL") as store:
                historian = EmbeddedHistorian(store)
                ids = historian.ids(["p/count"])
                while not stop.wait(0.002):
                    n = int(rng.integers(1, 30))
                    t = np.arange(committed[0], committed[0] + n)
                    historian.write(Batch(np.repeat(ids, n), t, t * 0.5, np.zeros(n, np.uint8)))
                    committed[0] += n
        except BaseException as error:
            failures.append(error)

    def compact() -> None:
        try:
            with Store(path, synchronous="NORMAL") as store:
                historian = EmbeddedHistorian(store)
                while not stop.is_set():
                    historian.compact(0.01)
        except BaseException as error:
            failures.append(error)

    Store(path).close()
    threads = [threading.Thread(target=work) for work in (write, compact)]
    for thread in threads:
        thread.start()
    try:
        while committed[0] == 0 and not failures:
            time.sleep(0.01)
        command = [sys.executable, "-c", READER, str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdin is not None
            assert reader.stdout is not None
            for _ in range(40):
                before = committed[0]
                reader.stdin.write("go\n")
                reader.stdin.flush()
                count, newest, good = reader.stdout.readline().split()
                assert good == "True"
                # two reads, one after the other
                assert before <= int(count) <= int(newest) + 1
            reader.stdin.close()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    with Store(path) as store:
        found = check(store)
        assert found.problems == []
        assert found.chunks > 0
