"""Spikes in the rows between those that count.

A plant with a clock of its own is scored once in a period of it and read more often. What a control loop makes of a
sensor that spikes is the same whether a row that counts shows the spike or not, so the others are looked at as well.
"""

from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lab.groups import Flags, Floats, Group

BEFORE: Final = 12
"""Rows before a spike that are looked at."""
LEAST: Final = 8
"""Fewer tell nothing."""
APART: Final = 3.0
"""It stands out so many times as far as anything in them: a plant that swings faster than it is scored does not."""
KEPT: Final = BEFORE + 4
"""Rows that are remembered: those, with the ones beside them that say how far they stand out."""
MOST: Final = 100
"""So many spikes are told before a row that counts, the last ones: a clock may stand still for days."""


class Between:
    """An asset's last rows, whether they count or not, for a model of `S` sensors."""

    def __init__(self, sensors: int) -> None:
        self.rows: Floats = np.zeros((0, sensors))
        """(<= KEPT, S)"""
        self.counted: Flags = np.zeros(0, dtype=np.bool_)
        """Which of them count."""
        self.waiting: list[int] = []
        """Sensors that spiked since the last one that counts."""

    def take(self, group: Group, rows: Floats, counted: Flags, measured: Flags) -> dict[int, list[int]]:
        """Take in rows (T, S), of which some count (T,); the sensors that spiked before each of these, if any did.

        A spike is one of the group's (`Group.shows`) that stands out from the rows before it.

        Args:
            group: the asset's.
            rows: as shown, beyond the measuring range too; NaN for no value.
            counted: which of them count.
            measured: (S,) sensors that can fail.
        """
        old = len(self.rows)
        first = max(0, old - 2)  # of the first three rows of which the third is new
        rows, counted = np.concatenate([self.rows, rows]), np.concatenate([self.counted, counted])
        self.rows, self.counted = rows[-KEPT:].copy(), counted[-KEPT:].copy()  # a part would keep the whole block
        spikes = self._spikes(group, rows, first)
        if not self.waiting and not spikes.any():
            return {}
        spikes &= measured & ~counted[first + 1 : first + 1 + len(spikes), None]  # one that counts is seen beside such
        at, sensors = np.nonzero(spikes)
        marks = np.flatnonzero(counted[old:])
        before = np.searchsorted(marks, at + first + 2 - old).tolist()
        told = [*((0, sensor) for sensor in self.waiting), *zip(before, sensors.tolist(), strict=True)]
        self.waiting = [sensor for mark, sensor in told if mark == len(marks)][-MOST:]
        found: dict[int, list[int]] = {}
        for mark, sensor in told:
            if mark < len(marks):
                found.setdefault(int(marks[mark]), []).append(sensor)
        return {row: spiked[-MOST:] for row, spiked in found.items()}

    def _spikes(self, group: Group, rows: Floats, first: int) -> Flags:
        """(T - first - 2, S) whether the row after the `first` and those after it, but for the last, show a spike."""
        if len(rows) < first + 3:
            return np.zeros((0, rows.shape[1]), dtype=np.bool_)
        spikes = group.shows(rows[first:])
        if not spikes.any():
            return spikes
        out = np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2.0)
        # those of which a spike is a part say nothing of what is usual
        before = np.pad(out, ((BEFORE + 1, 0), (0, 0)), constant_values=np.nan)[: len(out) + BEFORE - 1]
        windows = sliding_window_view(before, BEFORE, axis=0)[first : len(out)]
        known = np.isfinite(windows)
        usual = np.where(known, windows, 0.0).max(axis=-1)
        return np.asarray(spikes & (known.sum(axis=-1) >= LEAST) & (out[first:] >= APART * usual))

    def dump(self) -> dict[str, Any]:
        """For a snapshot, as plain JSON; the rows' bytes go beside it."""
        return {"counted": self.counted.tolist(), "waiting": self.waiting}

    @classmethod
    def restore(cls, dumped: dict[str, Any], content: bytes, sensors: int) -> "Between":
        """What was dumped, with the bytes of its rows; ValueError if they are not of so many sensors."""
        between = cls(sensors)
        between.counted = np.array(dumped["counted"], dtype=np.bool_)
        between.rows = np.frombuffer(content).reshape(len(between.counted), sensors)
        between.waiting = list(dumped["waiting"])
        return between
