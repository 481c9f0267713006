"""Rows in periods: which of them count, how many periods one comes after another, from when on a run begins anew."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Elapsed = NDArray[np.int16]
Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Times = NDArray[np.int64]

CLOCK_COLUMN: Final = "plant_s"
"""How the clock of a simulated plant is called (docs/architecture.md)."""
GAP_PERIODS: Final = 5
"""After a jump of more periods the lags mean nothing: the warm-up begins again."""
GAP_NS: Final = 5 * 10**9
"""A shorter jump is never one (a gateway that reads late)."""
FOREVER_NS: Final = 2.0**62
"""And none is longer, whatever the period."""
LOST: Final = 1.5
"""Rows farther apart than so many periods have lost others between them."""
OFTEN: Final = 0.6
"""Rows less than so many periods apart come twice as often as the model's or more: not each is a period later."""
COUNTED: Final = 2.0**53
"""Periods from which on none is told from the next: no clock counts to it, though a reading may say so."""
HAIR_S: Final = 1e-6
"""A clock is a sum of steps, at times by so little below the full period."""


def slots(seconds: Floats, period_s: float) -> Floats:
    """The periods (N,) in which some seconds (N,) of a clock lie; NaN where it shows nothing."""
    return np.asarray(np.floor((seconds + HAIR_S) / period_s))


def period_numbers(seconds: Floats, period_s: float) -> Times:
    """The same as numbers."""
    return slots(seconds, period_s).astype(np.int64)


def periods_between(since: Times, t: Times, period_s: float) -> Elapsed | None:
    """How many periods rows come after those before them; None for 1 everywhere.

    At least 1, but for rows that come more often than once in a period: of these the first one in it has 1, others 0.

    Args:
        since: nanoseconds since the row before; 0 for none before.
        t: (the same shape) UTC nanoseconds.
        period_s: seconds.
    """
    period = period_s * 1e9
    found = whole(since / period)
    often = (since > 0) & (since < OFTEN * period)
    if not np.logical_or.reduce(often, axis=None):
        return found
    later = period_numbers(t / 1e9, period_s) - period_numbers((t - since) / 1e9, period_s)
    return np.where(often, later, 1 if found is None else found).astype(np.int16)


def whole(since: Floats) -> Elapsed | None:
    """The same of periods since the row before, at least 1."""
    if np.maximum.reduce(since, axis=None, initial=0.0) < LOST:
        return None
    return np.clip(np.rint(since), 1, np.iinfo(np.int16).max).astype(np.int16)


def longest_ns(period_s: float) -> int:
    """Nanoseconds between two rows of an asset, beyond which it begins anew."""
    return max(GAP_NS, int(min(GAP_PERIODS * period_s * 1e9, FOREVER_NS)))


def first_rows(seconds: Floats, period_s: float, longest: float) -> tuple[Rows, Rows]:
    """Rows that are the first in each period of a plant's own clock, and where it does not go on.

    Args:
        seconds: (n,) what it shows; NaN: nothing.
        period_s: its period.
        longest: after so many periods it does not go on.

    Returns:
        The rows, and positions among them that come after a jump or a step back.
    """
    told = np.flatnonzero(np.isfinite(seconds))
    shown = seconds[told]
    slot = slots(shown, period_s)
    taken = np.ones(len(shown), dtype=np.bool_)
    taken[1:] = (slot[1:] != slot[:-1]) | (shown[1:] < shown[:-1])
    steps = np.diff(shown[taken])
    return told[taken], np.flatnonzero((steps < 0) | (steps > longest * period_s)) + 1
