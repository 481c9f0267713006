"""Calibration: how far normal strays on rows the model has not seen, and the limits that keep the promised alarms.

Every chart is scaled by the tail it has out of fold, sensor by sensor: a value above its 90 % quantile, in mean
excesses over it (an exponential tail). The largest over the sensors is scaled once more the same way, so that no
chart alarms for all others. The tail of the largest chart of all then gives the limit: its clusters above the 97 %
quantile come so often a month, their heights fall off exponentially (peaks over threshold with runs declustering;
Coles, An Introduction to Statistical Modeling of Extreme Values, Springer 2001, chapters 4 and 5), and the limit is
where the promised number is left.

Where one sensor bursts (a valve that is seldom open), this does not do: the mean excess over the 90 % quantile does not
describe a column that stirs in 3 % of the rows. In a record long enough to tell, such sensors are scaled apart from the
others, and charts whose own clusters would need far more than an exponential tail are widened until they do not.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.detector import Floats
from models.precursor.charts import FAST, Charts

MONTH_S: Final = 30 * 86400.0
TAUS: Final = (1, 3, 10, 30, 100, 300)
SHORTEST: Final = 10
"""Time constant from which single sensors have charts of their own: below it the mean over all is quicker."""
ROWS_PER_TAU: Final = (15, 60)
"""Rows of the record for each row of a time constant, fast and slow ones."""
LONG: Final = 200.0
"""Only a record of so many memories of the plant (integrated autocorrelation times) shows how slow charts wander."""
TAIL: Final = 0.9
PEAKS: Final = 0.97
APART: Final = 60
"""Rows below the quantile that part two clusters."""
POOLED: Final = 10.0
"""A sensor's own tail counts like so many excursions of the pool of all sensors."""
CAPS: Final = (1.2, 1.0)
"""Memories are cut off at so many limits (fast; slow ones a little above 1): an ended fault does not ring for long."""
MOST_EXTRAPOLATED: Final = 1000.0
"""No limit is set for less than one alarm in so many lengths of the record."""
BURSTS: Final = 2.0
"""A sensor bursts if a chart of it needs so many times the limit of its median fellow; and a chart does that needs so
many times the limit of an exponential tail. Little data must show more."""
USUAL: Final = 1.25
"""A chart that bursts is widened until it needs so many times an exponential tail's limit, the least limit then."""
KNOWN: Final = 30.0
"""Excursions of the quickest sensor charts that a record must have for it: a shorter one shows no tail so well."""
MEMORIES: Final = 100.0
"""A record of so many memories keeps its promise; measured on the simulated plant, see docs/precursor.md."""
UNBROKEN: Final = 30.0
"""And its longest run must have so many: pieces shorter than the plant's memory do not show how it wanders."""


class Segments(NamedTuple):
    """Unbroken stretches of the rows of several runs: first and last + 1 of each."""

    bounds: list[tuple[int, int]]

    def smooth(self, values: Floats, tau: float, start: float) -> Floats:
        """Moving average (n, ...) of time constant `tau` along each stretch, beginning at `start`."""
        from scipy.signal import lfilter  # brings scipy.stats: 50 MB that scoring need not hold

        weight = 1.0 / tau
        if weight == 1.0:
            return values
        first = np.full((1, *values.shape[1:]), (1.0 - weight) * start)
        parts = [
            lfilter([weight], [1.0, weight - 1.0], values[a:b], axis=0, zi=first)[0] for a, b in self.bounds if b > a
        ]
        return np.concatenate(parts)


class Calibration(NamedTuple):
    """What comes of it."""

    charts: Charts
    kept: float
    """False alarms a month that the record is long enough to promise."""


def calibrate(
    residuals: Floats,
    own: Floats,
    segments: Segments,
    blocks: Sequence[tuple[int, int]],
    memory: float,
    period_s: float,
    false_alarms_per_month: float,
    *,
    covered: int,
) -> Calibration:
    """Scale the charts and set the limit.

    Args:
        residuals: (n, M) out of fold, in standard deviations, cut off at the same bound as live ones.
        own: (n, M) the same by the final model, which has seen the rows.
        segments: unbroken stretches of the n rows.
        blocks: contiguous blocks of the n rows; a block's scales come from the others.
        memory: rows in which the plant forgets (integrated autocorrelation time).
        period_s: time between rows, seconds.
        false_alarms_per_month: what is promised of new normal data, in months of 30 days.
        covered: rows for which every sensor was there.
    """
    n, m = residuals.shape
    rows_per_alarm = MONTH_S / period_s / false_alarms_per_month
    longest = max(last - first for first, last in segments.bounds)
    short = max(MEMORIES * memory / covered, UNBROKEN * memory / longest) ** 1.5
    kept = false_alarms_per_month * max(1.0, short, rows_per_alarm / (MOST_EXTRAPOLATED * n))
    if not m:
        nothing = Charts(np.zeros(0), np.zeros((0, 3)), np.zeros(0), np.zeros((3, 0, 0)), np.zeros((3, 0, 0)))
        return Calibration(nothing, kept)
    taus = [tau for tau in TAUS if _long_enough(tau, n, memory)]
    own_taus = [tau for tau in taus if tau >= SHORTEST] or taus[-1:]
    squared = np.square(residuals)
    energy, spread, shift = np.zeros((len(taus), 3)), np.zeros((3, len(own_taus), m)), np.zeros((3, len(own_taus), m))
    whole, widened = np.full(n, -np.inf), False
    # a record too short for what is asked of it, or for its tails, keeps one limit for all: bursts are yet to come
    known = kept <= false_alarms_per_month and n * (1.0 - TAIL) / SHORTEST >= KNOWN
    for at, tau in enumerate(taus):
        chart = segments.smooth(squared.mean(axis=1, keepdims=True), tau, 1.0)
        centre, size, scaled = _scale(chart, blocks, tau)
        energy[at, :2] = centre[0], size[0]
        if known:
            wider, _ = _bursting(scaled, tau, rows_per_alarm)
            energy[at, 1], scaled, widened = size[0] * wider[0], scaled / wider, widened or wider[0] > 1.0
        np.maximum(whole, scaled[:, 0], out=whole)
    apart, bursting = np.zeros(m, dtype=np.bool_), np.zeros(m, dtype=np.bool_)
    for _ in range(2):
        worst = whole.copy()
        for at, tau in enumerate(own_taus):
            for kind in (spread, shift):
                chart = np.abs(segments.smooth(squared if kind is spread else residuals, tau, float(kind is spread)))
                kind[0, at], kind[1, at], scaled = _scale(chart, blocks, tau, apart)
                if known:
                    wider, bursts = _bursting(scaled, tau, rows_per_alarm)
                    kind[1, at], scaled = kind[1, at] * wider, scaled / wider
                    bursting |= bursts
                    widened = widened or bool((wider > 1.0).any())
                np.maximum(worst, scaled.max(axis=1), out=worst)
        if not bursting.any():
            break
        apart = bursting.copy()
    limit = _limit(worst, rows_per_alarm)
    if widened or bursting.any():
        limit = max(limit, USUAL * _exponential(n, rows_per_alarm))
    if n < rows_per_alarm:  # a record in which no alarm may be must not have one
        limit = max(limit, 1.02 * float(_common(own, segments, taus, energy, own_taus, spread, shift).max()))
    else:  # nor a longer one more than are promised: rare normal events lie beyond any tail that the rest falls off by
        along = _common(residuals, segments, taus, energy, own_taus, spread, shift)
        limit = _allowing(along, int(n / rows_per_alarm), limit)
    for table, times in ((energy.T, taus), (spread, own_taus), (shift, own_taus)):
        caps = np.array([CAPS[0] if tau <= FAST else CAPS[1] + min(0.5, 6.0 / tau) for tau in times])
        caps = caps.reshape(-1, *[1] * (table.ndim - 2))
        table[2] = table[0] + table[1] * limit * caps
        table[1] = 1.0 / (table[1] * limit)
    return Calibration(
        Charts(np.array(taus, dtype=float), energy, np.array(own_taus, dtype=float), spread, shift), kept
    )


def _long_enough(tau: int, n: int, memory: float) -> bool:
    if tau <= FAST:
        return tau == 1 or n >= ROWS_PER_TAU[0] * tau
    return n >= ROWS_PER_TAU[1] * tau and n >= LONG * memory


def _scale(
    chart: Floats, blocks: Sequence[tuple[int, int]], tau: int, apart: NDArray[np.bool_] | None = None
) -> tuple[Floats, Floats, Floats]:
    """Centre and size of each column (n, C) on the common scale, and the columns on it out of fold.

    Columns that are to be kept apart have no part in the scale of the others.
    """
    if apart is not None and apart.any() and not apart.all():
        centre, size, scaled = np.empty(len(apart)), np.empty(len(apart)), np.empty(chart.shape)
        for group in (apart, ~apart):
            centre[group], size[group], scaled[:, group] = _scale(chart[:, group], blocks, tau)
        return centre, size, scaled
    n = len(chart)
    scaled = np.empty(chart.shape)
    for first, last in blocks:
        others = np.ones(n, dtype=np.bool_)
        others[max(0, first - 3 * tau) : last + 3 * tau] = False
        if others.sum() < n // 2:
            others[:] = True
            others[first:last] = False
        if not others.any():
            others[:] = True
        centre, size = _tail(chart[others], tau)
        scaled[first:last] = (chart[first:last] - centre) / size
    centre, size = _tail(chart, tau)
    again, width = _tail(scaled.max(axis=1)[:, None], tau)
    width = width * _little(n, tau)
    return centre + again * size, size * width, (scaled - again) / width


def _exponential(n: int, rows_per_alarm: float) -> float:
    """The limit that a chart with an exponential tail needs by itself."""
    return max(1.0, float(np.log((1.0 - TAIL) * min(rows_per_alarm, MOST_EXTRAPOLATED * n))))


def _little(n: int, tau: int) -> float:
    """1, and more where so little is known of a tail."""
    return float(1.0 + 1.0 / np.sqrt(n * (1.0 - TAIL) / tau + 1.0))


def _bursting(scaled: Floats, tau: int, rows_per_alarm: float) -> tuple[Floats, NDArray[np.bool_]]:
    """By how much each scaled column (n, C) is to be wider, and which need a far higher limit than their fellows."""
    n = len(scaled)
    most = int(n / rows_per_alarm)
    needed = np.array([_allowing(column, most, _limit(column, rows_per_alarm)) for column in scaled.T])
    usual, little = _exponential(n, rows_per_alarm), _little(n, tau)
    wider = np.where(needed > BURSTS * usual * little, needed / (USUAL * usual), 1.0)
    enough = n * (1.0 - TAIL) / tau >= POOLED
    return wider, (needed > BURSTS * np.median(needed) * little**2) & enough


def _tail(chart: Floats, tau: int) -> tuple[Floats, Floats]:
    """The 90 % quantile and the mean excess over it of each column (n, C); little data leans on all columns."""
    centre = np.quantile(chart, TAIL, axis=0)
    above = chart > centre
    excess: Floats = np.where(above, chart - centre, 0.0).sum(axis=0) / np.maximum(above.sum(axis=0), 1)
    if chart.shape[1] > 1:
        excursions = len(chart) * (1.0 - TAIL) / tau
        weight = excursions / (excursions + POOLED)
        excess = weight * excess + (1.0 - weight) * excess.mean()
        centre = weight * centre + (1.0 - weight) * np.maximum(centre, centre.mean())
    return centre, np.maximum(excess, 1e-3)


def _common(
    residuals: Floats,
    segments: Segments,
    taus: Sequence[int],
    energy: Floats,
    own: Sequence[int],
    spread: Floats,
    shift: Floats,
) -> Floats:
    """The common chart (n,) along residuals (n, M): the largest of all on their final scales."""
    squared = np.square(residuals)
    mean = squared.mean(axis=1)
    largest = np.full(len(residuals), -np.inf)
    for at, tau in enumerate(taus):
        np.maximum(largest, (segments.smooth(mean, tau, 1.0) - energy[at, 0]) / energy[at, 1], out=largest)
    for at, tau in enumerate(own):
        scaled = (segments.smooth(squared, tau, 1.0) - spread[0, at]) / spread[1, at]
        np.maximum(largest, scaled.max(axis=1), out=largest)
        scaled = (np.abs(segments.smooth(residuals, tau, 0.0)) - shift[0, at]) / shift[1, at]
        np.maximum(largest, scaled.max(axis=1), out=largest)
    return largest


def _clusters(values: Floats, above: float) -> Floats:
    """Heights of the clusters of rows in which `values` (n,) are above a level."""
    at = np.flatnonzero(values > above)
    if not at.size:
        return np.zeros(0)
    firsts = np.append(0, np.flatnonzero(np.diff(at) > APART) + 1)
    heights: Floats = np.maximum.reduceat(values[at], firsts)
    return heights


def _allowing(along: Floats, most: int, limit: float) -> float:
    """The limit, raised until no more than so many clusters of the common chart (n,) reach it."""
    while len(heights := _clusters(along, limit)) > most:
        limit = float(heights.min())
    return limit


def _limit(worst: Floats, rows_per_alarm: float) -> float:
    """The value that clusters of the common chart (n,) reach once in so many rows."""
    n = len(worst)
    edge = float(np.quantile(worst, PEAKS))
    heights = _clusters(worst, edge) - edge
    if not heights.size:
        return max(1.0, edge)
    wanted = min(rows_per_alarm / n, MOST_EXTRAPOLATED)
    return max(1.0, edge + float(heights.mean()) * float(np.log(max(len(heights) * wanted, np.e))))


def choose_baseline(residuals: Floats, segments: Segments) -> NDArray[np.float64]:
    """Time constant of the slow baseline that each sensor's residual (n, M) is better off with, rows; 0 for none."""
    n, m = residuals.shape
    best, chosen = np.full(m, -np.inf), np.zeros(m)
    if not np.isfinite(WORTH):
        return chosen
    for tau in (0.0, *(tau for tau in BASELINES if n >= 3 * tau)):
        left = take_baseline(residuals, segments, np.full(m, tau)) if tau else residuals
        likelihood = log_likelihood(left) - (WORTH if tau else 0.0)
        better = likelihood > best
        best, chosen = np.where(better, likelihood, best), np.where(better, tau, chosen)
    return chosen


BASELINES: Final = (300.0, 100.0)
WORTH: Final = 0.005
"""A baseline must gain so much log-likelihood a row; infinite: none is taken."""


def take_baseline(residuals: Floats, segments: Segments, tau: NDArray[np.float64]) -> Floats:
    """Residuals (n, M) less their slow baseline, as scoring takes it off outside of alarms."""
    out = np.empty_like(residuals)
    step = np.divide(1.0, tau, out=np.zeros_like(tau), where=tau > 0)
    for first, last in segments.bounds:
        base = np.zeros(residuals.shape[1])
        for row in range(first, last):
            left = residuals[row] - base
            out[row] = left
            base = base + np.minimum(np.maximum(left, -3.0), 3.0) * step
    return out


def log_likelihood(residuals: Floats) -> Floats:
    """Mean log-likelihood of each column (n, M) under Student's t with 5 degrees, its own scale, up to a constant."""
    deviation = np.sqrt(np.square(residuals).mean(axis=0)) + 1e-9
    return np.asarray(-np.log(deviation) - 3.0 * np.log1p(np.square(residuals / deviation) / 5.0).mean(axis=0))
