"""What is remembered of an asset's sensors that spiked, leapt, were out of range or failed, row by row."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.groups import BURST, IS_SILENT, IS_SPIKING, LONGER, SPIKED
from models.detector import Floats

MEMORY: Final = 300
"""Rows for which spikes are remembered, and failures; after so many without one a new series of them begins."""
STAYED: Final = 0.5
"""What leapt to a value rests there if it has had it for so much of the time since."""
TWICE: Final = 2
"""So many spikes within them make a sensor suspected; where the normal record is short, chance makes one."""
OFTEN: Final = 3
"""So many spikes within them, more than of all others together, make a sensor known to fail."""
APART: Final = 5
"""Stretches in which a sensor shows nothing are two if more rows lie between: some are missing, and clocks inexact."""
LINE: Final = 4
"""Where more than one in so many sensors went silent together, a line did, and no instrument."""


class Failures(NamedTuple):
    """How often a sensor failed in one way, whatever episodes there were."""

    times: int
    """Spikes, or stretches of rows."""
    first: int
    """Rows."""
    last: int
    known: bool = True
    """Fewer than `OFTEN` spikes within `MEMORY` rows may be chance, if no episode was put down to them."""


class Finding(NamedTuple):
    """The same in words and seconds of the asset's own clock, as it is told."""

    sensor: str
    fault: str
    times: int
    since_s: float
    """How long ago it began."""
    ago_s: float
    """And was seen last."""


class Spikes:
    """What is remembered of an asset's sensors that spiked, leapt or are out of range, by their positions in the model.

    Rows are numbered; where some are missing, so are their numbers.
    """

    def __init__(self, failures: dict[tuple[int, int], Failures] | None = None) -> None:
        self.counted: list[tuple[int, int]] = []
        """Row and sensor of the spikes that count."""
        self.last: dict[int, int] = {}
        """Row of each sensor's last spike, whether it counts or not."""
        self.left: dict[int, tuple[int, float, float]] = {}
        """Row in which each sensor last leapt out of its usual values, the value before and that one."""
        self.beyond: dict[int, tuple[int, int]] = {}
        """First and last row for which each sensor was out of range."""
        self.since: dict[int, tuple[int, int]] = {}
        """First and last row in which each sensor failed, in whatever way, with less than `MEMORY` rows between."""
        self.moved: dict[int, int] = {}
        """Row in which each sensor that spikes last moved the plant."""
        self.failures: dict[tuple[int, int], Failures] = failures or {}
        """By sensor and what was wrong with it (`FAULTS`), since the asset began with its model."""

    def note(self, row: int, fresh: NDArray[np.bool_], counts: NDArray[np.bool_] | None = None) -> None:
        """Take in the sensors (S,) whose spike has just ended, and which of them count (None: all).

        One that comes right after another does not: what leaps to and fro is no spike.
        """
        self.counted = [each for each in self.counted if row - each[0] < MEMORY]
        for sensor in np.flatnonzero(fresh).tolist():
            before = self.last.get(sensor)
            if (before is None or row - before > SPIKED) and (counts is None or counts[sensor]):
                self.counted.append((row, sensor))
                self.fail(row, [sensor])
            self.last[sensor] = row

    def glimpse(self, row: int, sensors: Sequence[int]) -> None:
        """Take in spikes of sensors since the row before; all of them count."""
        if sensors:
            self.counted = [each for each in self.counted if row - each[0] < MEMORY]
            self.counted += [(row, sensor) for sensor in sensors]
            self.fail(row, sensors)

    def fail(self, row: int, sensors: Sequence[int]) -> None:
        """Take in which sensors spiked in a row."""
        for sensor in sensors:
            self._fail(row, sensor)
            told = self.failures.get((sensor, IS_SPIKING), Failures(0, row, row, False))
            known = told.known or self.of_late(row).count(sensor) >= OFTEN
            self.failures[sensor, IS_SPIKING] = Failures(told.times + 1, told.first, row, known)

    def lose(self, row: int, faults: NDArray[np.int8], runs: NDArray[np.int32]) -> None:
        """Take in which sensors (S,) show nothing in a row (`FAULTS`; 0 for those that do), and for how many rows."""
        silent = np.sort(runs[faults == IS_SILENT])
        for sensor in np.flatnonzero(faults).tolist():
            self._fail(row, sensor)
            fault, run = int(faults[sensor]), int(runs[sensor])
            if fault == IS_SILENT:
                near = np.searchsorted(silent, [run - APART, run + APART + 1])
                if near[1] - near[0] > max(1, len(faults) // LINE):
                    continue
            self.stay(row, sensor, fault, run)

    def stay(self, row: int, sensor: int, fault: int, run: int) -> None:
        """Count a sensor that shows nothing in a row (`FAULTS`), and did not in as many rows before as make `run`."""
        first = row - run + 1
        told = self.failures.get((sensor, fault), Failures(1, first, first))
        self.failures[sensor, fault] = told._replace(times=told.times + (first - told.last > APART), last=row)

    def _fail(self, row: int, sensor: int) -> None:
        first, last = self.since.get(sensor, (row, row))
        self.since[sensor] = (first if row - last < MEMORY else row), row

    def blame(self, sensor: int, row: int, moves: bool) -> None:
        """Take in that an episode is put down to a sensor that spikes, and whether the plant moves with it."""
        told = self.failures.get((sensor, IS_SPIKING), Failures(1, row, row))
        self.failures[sensor, IS_SPIKING] = told._replace(known=True)
        if moves:
            self.moved[sensor] = row

    def clear(self, sensor: int, row: int) -> None:
        """Take back that an episode which began after a row was put down to a sensor."""
        if (told := self.failures.get((sensor, IS_SPIKING))) is not None and told.first > row and told.times == 1:
            del self.failures[sensor, IS_SPIKING]

    def failing_for(self, sensor: int, row: int) -> int:
        """For how many rows a sensor has failed, now and again or all the time; of one that moved the plant, since."""
        first, _ = self.since.get(sensor, (row, row))
        return row - max(first, self.moved.get(sensor, first))

    def leave(self, row: int, sensors: Sequence[tuple[int, float, float]]) -> None:
        """Take in which sensors leapt out of their usual values in a row, from which value and to which."""
        self.left.update((sensor, (row, origin, top)) for sensor, origin, top in sensors)

    def exceed(self, row: int, sensors: Sequence[int]) -> list[int]:
        """Take in which sensors are out of range in a row; those that have been so for long."""
        for sensor in sensors:
            first, last = self.beyond.get(sensor, (row, row))
            self.beyond[sensor] = (first if row - last <= 1 else row), row
        return [sensor for sensor in sensors if row - self.beyond[sensor][0] >= LONGER]

    def rests(self, row: int, same: NDArray[np.int32], values: Floats) -> NDArray[np.bool_]:
        """(S,) which of the sensors that have had the same `values` for so many rows (S,) leapt there, and stayed.

        Rows may be missing, and clocks inexact: most of the time since is enough.
        """
        found = np.zeros(len(same), dtype=np.bool_)
        for sensor, (at, _, top) in self.left.items():
            found[sensor] = values[sensor] == top and same[sensor] > STAYED * (row - at)
        return found

    def bursts(self, row: int, rows: int, far: Floats) -> list[tuple[int, float]]:
        """Sensors that leapt `far` (S,) out, and from where: a burst's length before an episode of so many rows."""
        return [
            (sensor, origin)
            for sensor, (at, origin, top) in self.left.items()
            if rows - 1 <= row - at <= BURST and abs(top - origin) >= far[sensor]
        ]

    def of_late(self, row: int) -> list[int]:
        """The sensors of the spikes that count and are remembered in a row."""
        return [sensor for at, sensor in self.counted if row - at < MEMORY]

    def failing(self, row: int) -> int | None:
        """The one sensor that is known to fail."""
        of_late = self.of_late(row)
        if len(of_late) < OFTEN:
            return None
        sensor = max(sorted(set(of_late)), key=of_late.count)
        count = of_late.count(sensor)
        return sensor if count >= OFTEN and 2 * count > len(of_late) else None

    def dump(self) -> dict[str, Any]:
        """For a snapshot, as plain JSON."""
        kept = {name: list(getattr(self, name).items()) for name in ("last", "left", "beyond", "since", "moved")}
        return {"counted": self.counted, **kept, "failures": list(self.failures.items())}

    @classmethod
    def restore(cls, dumped: dict[str, Any]) -> "Spikes":
        """What was dumped."""
        spikes = cls()
        spikes.counted = [(row, sensor) for row, sensor in dumped["counted"]]
        spikes.last = dict(dumped["last"])
        spikes.left = {sensor: (row, origin, top) for sensor, (row, origin, top) in dumped["left"]}
        spikes.beyond = {sensor: (first, last) for sensor, (first, last) in dumped["beyond"]}
        spikes.since = {sensor: (first, last) for sensor, (first, last) in dumped["since"]}
        spikes.moved = dict(dumped["moved"])
        spikes.failures = {(sensor, fault): Failures(*each) for (sensor, fault), each in dumped["failures"]}
        return spikes
