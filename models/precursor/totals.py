"""Totals: sensors that only ever rise, as meters of energy, litres, pieces and hours do.

Their level has no normal value: it leaves the record behind for good. What is judged is by how much they rise from row
to row, so a total takes part as the flow that it adds up.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.detector import Floats, State, Usual

MOVES: Final = 20
"""A sensor that rises in fewer rows may do so by chance, or in steps."""
PARTS: Final = 16
"""From part to part of the longest run it rises"""
ALIKE: Final = 0.1
"""by amounts with a standard deviation of so much of their mean,"""
CHANCE: Final = 0.5
"""or that change by chance: less than this (von Neumann's ratio, 1 for independent ones) is how plants drift; or"""
DAYS_S: Final = 36 * 3600.0
"""it rises for longer than this: a day has its ups and downs."""
EVEN: Final = 1e-6
"""What rises by one amount, but for this part of it, counts rows or time;"""
LINE: Final = 1.1
"""as does what stays on a line within so many times its resolution: rounded hours rise by 0.01 and 0.02 in turn."""
STRETCH: Final = 512
"""Rows for which it must, in most of its stretches: of others rows were lost."""
COMMON: Final = 0.02, 0.98
"""What is rounded rises by two amounts, its resolution apart; rises beyond these quantiles come of lost rows."""
ANY: Final = 1e100
"""No reading is beyond."""
FOREVER: Final = 2**29
"""Rows for which a total may stand still: whatever it adds up has stopped."""


class Totals(NamedTuple):
    """Those among the sensors, `C` of them."""

    columns: NDArray[np.int64]
    """(C,) positions among the sensors."""
    most: Floats
    """(C,) by how much at most from one row of the normal record to the next, in its units."""

    def initial(self, assets: int) -> dict[str, NDArray[Any]]:
        """State of streams that have not begun; nothing if there is no total."""
        if not len(self.columns):
            return {}
        shape = assets, len(self.columns)
        return {"total": np.full(shape, np.nan), "odd": np.zeros(shape, dtype=np.int8)}

    def rises(self, state: State, block: Floats) -> Floats:
        """The block (A, T, S) with what totals rose by in their place; the state is brought up to date in place.

        It is missing in a first row, beside missing values, and in a row alone in which it fell or rose by more than
        ever in the normal record: it was reset, rows were lost before it, or it was read wrong. Of several such rows
        the first counts for that; in the others a meter runs backwards, or fast.
        """
        values = block[..., self.columns]
        values[~np.isfinite(values)] = np.nan
        before = np.concatenate([state["total"][:, None], values[:, :-1]], axis=1)
        with np.errstate(over="ignore"):
            rise = values - before
        odd = (rise > self.most).astype(np.int8) - (rise < 0)
        rise[(odd != 0) & (odd != np.concatenate([state["odd"][:, None], odd[:, :-1]], axis=1))] = np.nan
        if values.shape[1]:
            state["total"][:] = values[:, -1]
            state["odd"][:] = odd[:, -1]
        after = block.copy()
        after[..., self.columns] = rise
        return after

    def usual(self, usual: Usual) -> Usual:
        """The same of totals: they may have any value, and stand still."""
        low, high, same, leap = usual.low.copy(), usual.high.copy(), usual.same.copy(), usual.leap.copy()
        low[self.columns], high[self.columns] = -ANY, ANY
        same[self.columns], leap[self.columns] = FOREVER, 0.0
        return usual._replace(low=low, high=high, same=same, leap=leap)


NONE: Final = Totals(np.zeros(0, dtype=np.int64), np.zeros(0))


def find(records: Sequence[Floats], period_s: float) -> Totals:
    """The totals among the sensors of records (n, S): those that never fall, and do not only happen not to."""
    rises = [np.diff(record, axis=0) for record in records]
    rows = sum(len(rise) for rise in rises)
    longest = max(rises, key=len)
    found, most = [], []
    for column in range(records[0].shape[1]):
        own = np.concatenate([rise[:, column] for rise in rises])
        known = own[~np.isnan(own)]
        if len(known) * 2 < rows or (known < 0).any() or np.count_nonzero(known) < MOVES:
            continue
        if len(longest) * period_s < DAYS_S and not _evenly(longest[:, column]):
            continue
        found.append(column)
        most.append(known.max())
    return Totals(np.array(found, dtype=np.int64), np.array(most))


def _evenly(rise: Floats) -> bool:
    """Whether something rises (n,) as what is metered does: about as much in all parts of a record, or by chance."""
    known = rise[~np.isnan(rise)]
    if len(known) < PARTS:
        return False
    parts = np.array([part.mean() for part in np.array_split(known, PARTS)])
    if parts.std() <= ALIKE * parts.mean():
        return True
    return bool(np.square(np.diff(parts)).mean() >= CHANCE * 2.0 * parts.var(ddof=1))


def taken(totals: Totals, records: Sequence[Floats]) -> list[Floats]:
    """Records (n, S) with what totals rise by in their place; what rises evenly rests."""
    if not len(totals.columns):
        return list(records)
    parts = [totals.rises(totals.initial(1), record[None])[0] for record in records]
    for column in totals.columns.tolist():
        rise = np.concatenate([part[:, column] for part in parts])
        levels = [record[:, column] for record in records]
        largest = max(float(np.nanmax(np.abs(level), initial=0.0)) for level in levels)
        exact = np.nanstd(rise) <= EVEN * np.nanmax(np.abs(rise)) + 4.0 * np.spacing(largest)
        if exact or _straight(levels, float(np.ptp(np.nanquantile(rise, COMMON)))):
            for part in parts:
                part[~np.isnan(part[:, column]), column] = np.nanmean(rise)
    return parts


def _straight(levels: Sequence[Floats], resolution: float) -> bool:
    """Whether levels (n,) are on straight lines of one slope, but for their resolution."""
    stretches = []
    for level in levels:
        for part in np.array_split(level, max(1, len(level) // STRETCH)):
            rows = np.flatnonzero(~np.isnan(part))
            if 2 * len(rows) >= len(part) > 0:
                stretches.append((rows - rows.mean(), part[rows] - part[rows[0]]))
    if not stretches:
        return False
    slope = np.median([(rows @ part) / max(1.0, rows @ rows) for rows, part in stretches])
    return bool(np.median([np.ptp(part - slope * rows) for rows, part in stretches]) <= LINE * resolution)
