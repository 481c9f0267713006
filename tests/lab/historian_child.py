"""What `test_historian_crash` runs in a process of its own, to be killed: batches that follow from their number."""

import sys
import threading
from pathlib import Path

import numpy as np

from lab.historian import compaction
from lab.historian.base import Batch
from lab.historian.embedded import EmbeddedHistorian
from lab.store import Store

T = 1_764_000_000 * 10**9
HOUR = 3_600 * 10**9
SENSORS = 12
KEYS = [f"p/x{n}" for n in range(SENSORS)]


def batch(number: int) -> Batch:
    """The batch of a number; some of its readings are late, or take the place of earlier ones."""
    rng = np.random.default_rng(number)
    n = int(rng.integers(1, 700 if number % 7 == 0 else 60))
    sensor = rng.integers(0, SENSORS, n).astype(np.int32)
    ticks = np.where(rng.random(n) < 0.2, rng.integers(0, number * 20 + 20, n), number * 20 + rng.integers(0, 20, n))
    v = np.round(100 + rng.normal(0, 1, n) + number, 2)
    v[rng.random(n) < 0.05] = np.nan
    return Batch(sensor, T + ticks * (HOUR // 300), v, np.where(np.isnan(v), 133, 0).astype(np.uint8))


def small_steps() -> None:
    """Make compaction do little at a time, so that a kill meets it in every state."""
    compaction.LOG_ROWS = 15  # type: ignore[misc]
    compaction.COMMIT_ROWS = 3  # type: ignore[misc]
    compaction.GROUP_SENSORS = 5  # type: ignore[misc]
    compaction.MANY_PARTS = 3  # type: ignore[misc]


def main(path: Path, number: int) -> None:
    """Write batches from a number on and tell each that is committed; compact beside it, both without end."""
    small_steps()

    def compact() -> None:
        with Store(path, synchronous="NORMAL") as store:
            historian = EmbeddedHistorian(store)
            while True:
                historian.compact(0.0)

    with Store(path) as store:
        historian = EmbeddedHistorian(store)
        assert historian.ids(KEYS).tolist() == list(range(SENSORS))
        threading.Thread(target=compact, daemon=True).start()
        while True:
            historian.write(batch(number))
            print(number, flush=True)
            number += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
