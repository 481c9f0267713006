"""The historian's upkeep moves to a process of its own when much comes in, and back when that ends."""

import time
from pathlib import Path

import numpy as np
import pytest

from lab.config import Config
from lab.historian import open_historian
from lab.historian.base import Batch
from lab.housekeeping import BUSY, BUSY_S, Housekeeping
from lab.store import Store


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config(data_dir=str(tmp_path))
    with Store(config.database) as store:
        historian = open_historian(config, store)
        hour = 3600 * 10**9
        for n in range(4):  # four hours, so that the first ones are ready to be moved
            ids = historian.ids(["x/a"] * 100)
            t = (np.arange(100, dtype=np.int64) + 1) * 10**9 + n * hour
            historian.write(Batch(ids, t, np.ones(100), np.zeros(100, dtype=np.uint8)))
    return config


def logged(config: Config) -> int:
    with Store(config.database, readonly=True) as store:
        return int(store.db.execute("SELECT count(*) FROM historian_log").fetchone()[0])


def wait_for_less(config: Config, rows: int) -> None:
    end = time.monotonic() + 20
    while logged(config) >= rows:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_at_a_low_rate_it_is_a_thread(config: Config) -> None:
    keeper = Housekeeping(config)
    keeper.start()
    for _ in range(10 * BUSY_S):
        keeper.watch(BUSY / 2)
    assert keeper._process is None
    wait_for_less(config, 4)
    keeper.stop()


def test_at_a_high_rate_it_is_a_process_and_a_thread_again_when_that_is_killed(config: Config) -> None:
    keeper = Housekeeping(config)
    keeper._config.historian.keep_days = 100_000.0
    keeper.start()
    for _ in range(BUSY_S):
        keeper.watch(2 * BUSY)
    process = keeper._process
    assert process is not None
    wait_for_less(config, 4)
    process.kill()
    process.wait()
    keeper.watch(2 * BUSY)
    assert keeper._process is None
    assert keeper._thread is not None
    keeper.stop()
    keeper.stop()


def test_the_process_ends_with_its_parent(config: Config) -> None:
    keeper = Housekeeping(config)
    process = keeper._spawn()
    assert process.stdin is not None
    process.stdin.close()  # as the death of the collector does
    assert process.wait(20) == 0


def test_another_historian_needs_none(config: Config) -> None:
    config.historian.kind = "influx"
    keeper = Housekeeping(config)
    keeper.start()
    keeper.watch(10 * BUSY)
    assert keeper._thread is None
    assert keeper._process is None
    keeper.stop()
