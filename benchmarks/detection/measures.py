"""The figures by which detectors are compared, each from its published definition."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]
Windows = Sequence[tuple[int, int]]
"""First and last row of each, in order, not overlapping."""

NAB_FALSE = 0.11
"""Weight of a false positive in NAB's standard profile; a hit and a miss weigh 1."""
NAB_PROBATION, NAB_PROBATION_MOST = 0.15, 750


class Confusion(NamedTuple):
    """Counts of rows; they add up over files."""

    hit: int
    false: int
    missed: int
    quiet: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when nothing was hit."""
        return self.hit / (self.hit + (self.false + self.missed) / 2) if self.hit else 0.0

    @property
    def far(self) -> float:
        """Share of normal rows in alarm."""
        return self.false / (self.false + self.quiet) if self.false + self.quiet else math.nan

    @property
    def mar(self) -> float:
        """Share of abnormal rows not in alarm."""
        return self.missed / (self.missed + self.hit) if self.missed + self.hit else math.nan


def confusion(truth: Flags, alarm: Flags) -> Confusion:
    """Rows by what they were and what was said of them."""
    return Confusion(*(int(np.sum(x)) for x in (truth & alarm, ~truth & alarm, truth & ~alarm, ~truth & ~alarm)))


def pooled(parts: Sequence[Confusion]) -> Confusion:
    """The sum over files, as the SKAB leaderboard counts."""
    return Confusion(*(sum(column) for column in zip(*parts, strict=True)))


def episodes(alarm: Flags) -> list[tuple[int, int]]:
    """First and last row of each unbroken alarm."""
    padded = np.concatenate([[False], alarm, [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(first), int(after) - 1) for first, after in zip(edges[::2], edges[1::2], strict=True)]


def onsets(alarm: Flags) -> Flags:
    """Only the first row of each unbroken alarm."""
    return np.asarray(alarm & ~np.concatenate([[False], alarm[:-1]]))


def longest(alarm: Flags) -> int:
    """Rows of the longest unbroken alarm."""
    return max((last - first + 1 for first, last in episodes(alarm)), default=0)


def above(score: Floats, limit: float) -> Flags:
    """Rows whose score lies above; a row without a score does not."""
    with np.errstate(invalid="ignore"):
        return np.asarray(score > limit)


def quantile_limit(score: Floats, rate: float) -> float:
    """The least of these scores that at most a share `rate` of them exceeds."""
    return float(np.nanquantile(score, 1.0 - rate, method="higher"))


def poisson_interval(expected: float, level: float = 0.95) -> tuple[int, int]:
    """Counts between the two equal tails of the Poisson distribution with this mean."""
    from scipy.stats import poisson

    low, high = poisson.interval(level, expected)
    return int(low), int(high)


# -- NAB --------------------------------------------------------------------------------------------------------------


def nab_probation(rows: int) -> int:
    """First rows that NAB does not score."""
    return min(math.floor(NAB_PROBATION * rows), NAB_PROBATION_MOST)


def nab_score(detected: Flags, windows: Windows) -> float:
    """Normalised score of the standard profile: 0 for no detection at all, 100 for each window's first row alone.

    Lavin & Ahmad, ICMLA 2015: the earliest detection in a window counts by its place there, every detection outside
    any window costs, more so the further it is behind the last one.
    """
    n, rows = len(detected), np.arange(len(detected))
    probation = nab_probation(n)
    free = np.ones(n, dtype=np.bool_)
    worth = np.full(n, -1.0)  # what a false positive there costs
    total = 0.0
    for at, (first, last) in enumerate(windows):
        free[first : last + 1] = False
        width = last - first + 1
        hits = np.flatnonzero(detected[first : last + 1]) + first
        hits = hits[hits >= probation]
        total += _sigmoid(-(last - hits[0] + 1) / width) / _sigmoid(-1.0) if len(hits) else -1.0
        until = windows[at + 1][0] if at + 1 < len(windows) else n
        past = rows[last + 1 : until]
        distance = (past - last) / max(width - 1, 1)
        worth[last + 1 : until] = np.where(distance >= 3.0, -1.0, _sigmoids(np.minimum(distance, 3.0)))
    wrong = detected & free & (rows >= probation)
    total += NAB_FALSE * float(worth[wrong].sum())
    count = len(windows)
    return 100.0 * (total + count) / (2.0 * count)


def nab_best(score: Floats, windows: Windows, edges: bool = True, steps: int = 400) -> tuple[float, float]:
    """Best score, and its threshold, over thresholds chosen on the same file.

    `edges`: a rising edge is a detection; else every row from the threshold up, as NAB itself counts.
    """
    scored = score[nab_probation(len(score)) :]
    limits = np.unique(np.nanquantile(scored, 1.0 - np.geomspace(1.0 / len(scored), 0.5, steps)))

    def worth(limit: float) -> float:
        detected = np.asarray(score >= limit)
        return nab_score(onsets(detected) if edges else detected, windows)

    return max((worth(limit), float(limit)) for limit in limits)


def _sigmoid(y: float) -> float:
    return 2.0 / (1.0 + math.exp(5.0 * y)) - 1.0


def _sigmoids(y: Floats) -> Floats:
    return 2.0 / (1.0 + np.exp(5.0 * y)) - 1.0


# -- SKAB -------------------------------------------------------------------------------------------------------------


class Changepoints(NamedTuple):
    """A file's changepoint score; they add up over files."""

    score: float
    windows: int

    @property
    def normalised(self) -> float:
        """0 for no detection at all, 100 for every changepoint at once and nothing else."""
        return 100.0 * (self.score + self.windows) / (2.0 * self.windows) if self.windows else math.nan


def skab_changepoints(
    seconds: Floats, truth: Flags, alarm: Flags, window_s: float = 60.0, curve: int = 1000
) -> Changepoints:
    """The NAB score of changepoints as the SKAB leaderboard's code has it, standard profile.

    A detection is a row at which the alarm goes on or off (the first row too, if it begins in alarm). A window reaches
    `window_s` to the right of each true changepoint; where two overlap, the later one begins where the earlier ends.
    In each the first detection counts, on a tanh curve of `curve` steps from 1 to -0.11; outside -0.11 each.
    """
    changes = seconds[np.concatenate([alarm[:1], alarm[1:] != alarm[:-1]])]
    windows = [[float(at), float(at) + window_s] for at in seconds[truth]]
    for before, after in pairwise(windows):
        if before[1] >= after[0]:
            after[0] = before[1]
    x = np.linspace(-np.pi / 2, np.pi / 2, curve)
    worth = (1.0 + NAB_FALSE) / 2 * (1.0 - np.tanh(x) / np.tanh(np.pi / 2)) - NAB_FALSE
    score = 0.0
    inside = np.zeros(len(changes), dtype=np.bool_)
    for first, last in windows:
        within = (changes >= first) & (changes <= last)
        inside |= within
        if not within.any():
            score -= 1.0
        else:
            place = (changes[within][0] - first) / (last - first) if last > first else 0.0
            score += float(worth[min(int(place * curve), curve - 1)])
    return Changepoints(score - NAB_FALSE * int(np.sum(~inside)), len(windows))


def changepoints_pooled(parts: Sequence[Changepoints]) -> Changepoints:
    """The sum over files."""
    return Changepoints(sum(part.score for part in parts), sum(part.windows for part in parts))


# -- BATADAL ----------------------------------------------------------------------------------------------------------


class Batadal(NamedTuple):
    """The competition's figures."""

    score: float
    """S, half of each of the two."""
    time: float
    """S_TTD: 1 less the mean share of an attack that passed before it was seen."""
    rows: float
    """S_CLF: mean of the shares of attack rows in alarm and of other rows not in alarm."""
    detected: int
    attacks: int
    false_episodes: int
    """Unbroken alarms in which no row is an attack's."""


def batadal(truth: Flags, alarm: Flags) -> Batadal:
    """Taormina et al., J. Water Resour. Plann. Manage. 144(8):04018048 (2018), gamma 0.5."""
    waits = []
    attacks = episodes(truth)
    for first, last in attacks:
        hits = np.flatnonzero(alarm[first : last + 1])
        waits.append(hits[0] / (last - first + 1) if len(hits) else 1.0)
    counts = confusion(truth, alarm)
    time = 1.0 - float(np.mean(waits))
    rows = ((1.0 - counts.mar) + (1.0 - counts.far)) / 2
    false = sum(not truth[first : last + 1].any() for first, last in episodes(alarm))
    return Batadal((time + rows) / 2, time, rows, sum(wait < 1.0 for wait in waits), len(attacks), false)
