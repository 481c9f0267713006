"""Fitting: what each sensor should read given the others and the past, and how far normal strays from that."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from models.detector import Floats, usual
from models.precursor import prognosis
from models.precursor.calibration import (
    MEMORIES,
    MONTH_S,
    Segments,
    calibrate,
    choose_baseline,
    log_likelihood,
    take_baseline,
)
from models.precursor.charts import CHARTS, CLIP, GROSS, GROSS_TAU
from models.precursor.detector import WARM, Precursor
from models.precursor.residuals import Window
from models.precursor.totals import find as find_totals
from models.precursor.totals import taken

FOLDS: Final = 8
LAGS: Final = (1, 2, 3, WARM)
"""Rows before the current one that are tried."""
SHRINKAGE: Final = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3)
"""Of the correlations towards none, tried."""
RESTING: Final = 0.98
"""A sensor with one value in more of the rows rests there and leaves the model."""
WIDEST: Final = 1000
"""Columns of the lagged rows at most: many sensors have few lags."""
MOST: Final = 20_000_000
"""Values looked at; of a longer record its blocks give their last rows."""
HUGE: Final = 1e100
"""What is larger is no reading, and its square no number."""
EXACT: Final = 1e-4
"""No sensor is foretold to less than this part of its standard deviation: single precision rounds what is less."""
WILD: Final = 10.0
"""A value so many spans of the middle 98 % beyond these is no reading (an error code, a drop-out to 0) if few are."""
BRIEF: Final = 3
"""Rows for which it is so at most: what stays there for longer the plant may have done. And so many are few."""
FEW: Final = 0.001
"""Part of a long record that is few."""
AGAIN: Final = 50_000
"""Records of fewer rows are scored once more by what was fitted to them: they must not have an alarm that cannot be."""
TIMES: Final = 5
LEAST_ROWS: Final = 50
"""Fewer rows of normal data say too little of how far normal strays."""


def fit(
    runs: Floats | Sequence[Floats],
    sensors: Sequence[str],
    period_s: float,
    *,
    false_alarms_per_month: float = 1.0,
    limits: Mapping[str, tuple[float | None, float | None]] | None = None,
) -> Precursor:
    """Fit to normal records. There is nothing else to set: everything else follows from the record.

    Lags and shrinkage are those whose predictions are likeliest on blocks they have not seen, the limits come from the
    same predictions: eight contiguous blocks with gaps around them, so that slow movements do not leak.

    Args:
        runs: one record (n, S) or several, in the sensors' units; NaN is a missing value. Runs are never bridged.
        sensors: names of the S columns.
        period_s: time between rows, seconds.
        false_alarms_per_month: episodes that may begin in a month of new normal data; `kept` of the model says what the
            record is long enough to promise.
        limits: lower and upper limit of the sensors for which the time is to be foretold, see `prognosis.fit`.

    Raises:
        ValueError: shapes that do not fit, fewer than 50 rows, a sensor without any value, names that repeat.
    """
    if not 0 < false_alarms_per_month < float("inf"):
        raise ValueError(f"{false_alarms_per_month} false alarms a month; want a positive number")
    records = _check(runs, sensors, period_s)
    for record, at in zip(records, wild(records), strict=True):
        record[at] = np.nan
    totals = find_totals(records, period_s)
    normal, shown = totals.usual(usual(records)), records
    records = taken(totals, records)
    moving, center, scale = _levels(records, sensors)
    standard = [(record - center) / scale for record in records]
    tables = [table[:, moving] for table in standard]
    n, m, memory = sum(len(record) for record in records), len(moving), 1.0
    weights, residuals, own = np.zeros((0, 1)), np.zeros((n, 0)), np.zeros((n, 0))  # of sensors that all rest
    segments, window = Segments([(0, n)]), None
    if m:
        lagged = _Lagged(tables)
        n, segments, memory = lagged.rows, lagged.segments, lagged.memory
        lags, shrinkage, residuals = _choose(lagged)
        weights, window = lagged.weights(lagged.gram, lags, shrinkage), lagged.together(lagged.gram, lags, shrinkage)
        own = lagged.residuals(0, n, weights)
        residuals, own = _of_readings(residuals, own, lagged.read)
    residuals, own = _dithered(residuals, own)
    deviation = np.sqrt(np.square(residuals).mean(axis=0))
    baseline = choose_baseline(residuals / deviation, segments)
    if baseline.any():
        residuals = take_baseline(residuals / deviation, segments, baseline)
        own = take_baseline(own / deviation, segments, baseline)
        again = np.sqrt(np.square(residuals).mean(axis=0)) + 1e-9
        residuals, own = residuals / again, own / again
        # the baseline is taken in the units of the final residual
        deviation = deviation * again
    else:
        residuals, own = residuals / deviation, own / deviation
    calibration = calibrate(
        np.clip(residuals, -CLIP, CLIP),
        np.clip(own, -CLIP, CLIP),
        segments,
        list(pairwise(np.linspace(0, n, FOLDS + 1).astype(int).tolist())),
        memory,
        period_s,
        false_alarms_per_month,
        covered=min(n, _covered(tables)),
    )
    model = Precursor(
        sensors=tuple(sensors),
        period_s=float(period_s),
        usual=normal,
        center=center,
        scale=scale,
        coarse=_coarse(standard, moving, memory, n),
        moving=moving,
        weights=weights / deviation[:, None],
        baseline=baseline,
        charts=calibration.charts,
        promised=float(false_alarms_per_month),
        kept=calibration.kept,
        window=window,
        totals=totals,
    )
    if sum(len(record) for record in records) < min(AGAIN, MONTH_S / period_s / false_alarms_per_month):
        model = _calm(model, shown)
    ahead = prognosis.fit(shown, sensors, limits, period_s) if limits else None
    # without any it would say that none is in sight
    return replace(model, prognosis=ahead) if ahead is not None and ahead.sensors else model


def _calm(model: Precursor, records: Sequence[Floats]) -> Precursor:
    """The model with limits that no row of these records reaches.

    Limits come of rows whose lags are all there; scored are more, beside missing values.
    """
    for _ in range(TIMES):
        results = [model.score(model.initial(1), record[None])[1] for record in records]
        charts = (result.statistics[name] for result in results for name in CHARTS if name != "gross")
        most = max(float(np.nanmax(chart, initial=0.0)) for chart in charts)
        if most < 1.0:
            break
        most *= 1.02
        energy, spread, shift = (
            np.stack([centre, gain / most, centre + (cap - centre) * most])
            for centre, gain, cap in (model.charts.energy.T, model.charts.spread, model.charts.shift)
        )
        model = replace(model, charts=model.charts._replace(energy=energy.T, spread=spread, shift=shift))
    return model


def _of_readings(residuals: Floats, own: Floats, read: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Residuals (n, M) with those of readings in place of those of held values, which hardly stray from anything.

    Live, a chart stands still where its sensor has no value: it sees the residuals of readings, one after the other.
    """
    for column in np.flatnonzero(~read.all(axis=0)).tolist():
        at, gone = np.flatnonzero(read[:, column]), np.flatnonzero(~read[:, column])
        if at.size:
            these = at[np.arange(gone.size) % at.size]
            residuals[gone, column], own[gone, column] = residuals[these, column], own[these, column]
    return residuals, own


def _covered(tables: Sequence[Floats]) -> int:
    """Rows for which the sensor that was there for the shortest time was: between values that are not unusually far."""
    least = sum(len(table) for table in tables)
    known = [~np.isnan(table) for table in tables]
    for column in np.flatnonzero(~np.logical_and.reduce([valid.all(axis=0) for valid in known])).tolist():
        at = [np.flatnonzero(valid[:, column]) for valid in known]
        waits = np.concatenate([np.diff(part) for part in at])
        usual_wait = float(np.median(waits)) if waits.size else 1.0
        least = min(least, int(np.minimum(waits, 3.0 * usual_wait).sum()) + len(at))
    return max(1, least)


def _dithered(residuals: Floats, own: Floats) -> tuple[Floats, Floats]:
    """Residuals (n, M) of sensors that follow exactly from the others, with noise: charts would hold rounding for more.

    Their limits are those of white noise then, as if the sensor were read to so many digits and no more.
    """
    exact = np.sqrt(np.square(residuals).mean(axis=0)) < EXACT
    if not exact.any():
        return residuals, own
    noise = np.random.default_rng(0).normal(0.0, EXACT, residuals.shape) * exact
    return residuals + noise, own + noise


def wild(records: Sequence[Floats]) -> list[NDArray[np.bool_]]:
    """Where records (n, S) hold values that are no readings, each (n, S): one such value would hide all others.

    They are far beyond everything else their sensor read, alone or for a row or two, and few.
    """
    values = np.concatenate(records)
    with np.errstate(invalid="ignore"):
        low, high = np.nanquantile(values, (0.01, 0.99), axis=0)
        span = high - low
        far: NDArray[np.bool_] = (values > high + WILD * span) | (values < low - WILD * span)
    far[:, ~(span > 0)] = False
    few = far.sum(axis=0) <= max(BRIEF, FEW * len(values))
    edges = np.cumsum([len(record) for record in records])[:-1]
    found = []
    for part in np.split(far & few, edges):
        lasts = np.zeros(part.shape, dtype=np.bool_)
        for column in np.flatnonzero(part.any(axis=0)).tolist():
            for first in np.flatnonzero(_runs_of(part[:, column], BRIEF + 1)).tolist():
                lasts[first : first + BRIEF + 1, column] = True
        found.append(part & ~lasts)
    return found


def _check(runs: Floats | Sequence[Floats], sensors: Sequence[str], period_s: float) -> list[Floats]:
    if len(sensors) == 0 or len(set(sensors)) != len(sensors):
        raise ValueError(f"sensor names must be there and differ: {', '.join(sensors) or 'none'}")
    if not 0 < period_s < float("inf"):
        raise ValueError(f"a period of {period_s} s; want a positive number of seconds")
    listed = [runs] if isinstance(runs, np.ndarray) else list(runs)
    records = []
    for number, run in enumerate(listed, start=1):
        record = np.array(run, dtype=np.float64, order="C")  # sums round by layout
        if record.ndim != 2 or record.shape[1] != len(sensors):
            raise ValueError(f"run {number} has shape {record.shape}; want (rows, {len(sensors)} sensors)")
        record[~(np.abs(record) < HUGE)] = np.nan
        if len(record) > 1:
            records.append(record)
    rows = sum(len(record) for record in records)
    if rows < LEAST_ROWS:
        raise ValueError(f"{rows} rows to learn from; want at least {LEAST_ROWS} rows of normal data")
    empty = [name for at, name in enumerate(sensors) if all(np.isnan(record[:, at]).all() for record in records)]
    if empty:
        raise ValueError(f"no value in the normal data of {', '.join(empty)}; leave them out")
    if rows * len(sensors) > MOST:
        each = MOST // len(sensors) // FOLDS
        parts = [part for record in records for part in np.array_split(record, max(1, FOLDS * len(record) // rows))]
        records = [part[-each:] for part in parts]
    return records


def _levels(records: Sequence[Floats], sensors: Sequence[str]) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The sensors that move, by name; mean and scale of each sensor."""
    values = np.concatenate(records)
    center = np.nanmean(values, axis=0)
    scale: Floats = np.nanstd(values, axis=0)
    size: Floats = np.nanmax(np.abs(values), axis=0)
    moves = np.zeros(len(sensors), dtype=np.bool_)
    for column in range(len(sensors)):
        known = values[:, column]
        known = known[~np.isnan(known)]
        found, counts = np.unique(known, return_counts=True)
        rests = scale[column] <= 1e-9 * size[column] or counts.max() > RESTING * len(known)
        moves[column] = not rests
        if rests:
            center[column] = found[counts.argmax()]
            scale[column] = 0.01 * size[column] if size[column] > 0 else 0.1
    order = np.array(sorted(np.flatnonzero(moves).tolist(), key=lambda column: sensors[column]), dtype=np.int64)
    return order, center, scale


def _coarse(standard: Sequence[Floats], moving: NDArray[np.int64], memory: float, rows: int) -> Floats:
    """By what gross deviations are divided: a short record does not show how far levels wander."""
    coarse = np.ones(standard[0].shape[1])
    coarse[moving] = widening(memory, rows)
    for table in standard if len(moving) else []:  # the normal record itself never was a gross deviation
        held, _ = _held(table[:, moving])
        mean = Segments([(0, len(held))]).smooth(held, float(GROSS_TAU), 0.0)
        coarse[moving] = np.maximum(coarse[moving], np.abs(mean).max(axis=0) / (0.9 * GROSS))
    return coarse


def widening(memory: float, rows: int) -> float:
    """By how much the gross chart of a record of so many rows and memories is wider."""
    return max(1.0, float(np.sqrt(MEMORIES * memory / rows)))


def _held(table: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """A table (n, M) with its gaps filled by the last value (0 before the first), and which values are its own."""
    valid: NDArray[np.bool_] = np.logical_not(np.isnan(table))
    last = np.maximum.accumulate(np.where(valid, np.arange(len(table))[:, None], 0), axis=0)
    return np.nan_to_num(np.take_along_axis(table, last, axis=0)), valid


def _runs_of(flags: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """Whether a stretch of so many true flags begins at each place where one fits."""
    if len(flags) < length:
        return np.zeros(0, dtype=np.bool_)
    counts = np.cumsum(np.append(0, flags))
    return np.asarray(counts[length:] - counts[:-length] == length)


class _Gram(NamedTuple):
    """Products of lagged rows."""

    products: Floats
    """(P, P)"""
    sums: Floats
    """(P,)"""
    rows: int

    def without(self, other: "_Gram") -> "_Gram":
        return _Gram(self.products - other.products, self.sums - other.sums, self.rows - other.rows)


class _Lagged:
    """Rows with their lags, of several tables (n, M) that are never bridged."""

    def __init__(self, tables: Sequence[Floats]) -> None:
        self.width = tables[0].shape[1]
        longest = max(len(table) for table in tables)
        rows = sum(len(table) for table in tables)
        fitting = [lags for lags in LAGS if self.width * (lags + 1) <= WIDEST and 16 * lags <= longest]
        self.tried = fitting or [LAGS[0]]
        self.lags = self.tried[-1]
        held, whole, own = [], [], []
        for table in tables:
            filled, valid = _held(table)
            held.append(filled)
            own.append(valid)
            complete: NDArray[np.bool_] = np.logical_and.reduce(valid, axis=1)
            whole.append(np.flatnonzero(_runs_of(complete, self.lags + 1)))
        if sum(len(part) for part in whole) < max(LEAST_ROWS // 2, rows // 2):
            whole = [np.arange(max(0, len(table) - self.lags)) for table in tables]
        self._held = np.concatenate(held)
        starts = np.cumsum([0, *(len(table) for table in held)])
        self._at = np.concatenate([part + start for part, start in zip(whole, starts, strict=False)])
        """First row of each window."""
        self.read: NDArray[np.bool_] = np.concatenate(own)[self._at + self.lags]
        """(rows, M) whether the newest value of a window is its own, not one that is held."""
        ends = np.cumsum([len(part) for part in whole]).tolist()
        self.segments = Segments([(a, b) for a, b in pairwise([0, *ends]) if b > a])
        self.rows = len(self._at)
        if self.rows < 2 * FOLDS:
            raise ValueError(f"{self.rows} rows to learn from after {self.lags} lags; want at least {LEAST_ROWS} rows")
        self.memory = _memory(max(held, key=len)[:200_000])
        edges = np.linspace(0, self.rows, FOLDS + 1).astype(int).tolist()
        self.blocks = list(pairwise(edges))
        gap = min(int(2 * self.memory), self.rows // 12)
        self.gram = self._products(0, self.rows)
        self._others = [
            self.gram.without(self._products(max(0, first - gap), min(self.rows, last + gap)))
            for first, last in self.blocks
        ]
        if min(other.rows for other in self._others) < self.rows // 4:
            self._others = [self.gram.without(self._products(first, last)) for first, last in self.blocks]

    def window(self, first: int, last: int, lags: int) -> Floats:
        """Rows `first` to `last` with their lags, (rows, (lags + 1) * M), the newest first."""
        newest = self._at[first:last] + self.lags
        return np.concatenate([self._held[newest - lag] for lag in range(lags + 1)], axis=1)

    def _products(self, first: int, last: int) -> _Gram:
        wide = self.width * (self.lags + 1)
        products, sums = np.zeros((wide, wide)), np.zeros(wide)
        for start in range(first, last, CHUNK):
            x = self.window(start, min(last, start + CHUNK), self.lags)
            products += x.T @ x
            sums += x.sum(axis=0)
        return _Gram(products, sums, last - first)

    def residuals(self, first: int, last: int, weights: Floats) -> Floats:
        """What the weights (M, 1 + (lags + 1) * M) leave of rows `first` to `last`, (rows, M)."""
        lags = (weights.shape[1] - 1) // self.width - 1
        parts = [
            self.window(start, min(last, start + CHUNK), lags) @ weights[:, 1:].T for start in range(first, last, CHUNK)
        ]
        return np.concatenate(parts) + weights[:, 0]

    def unseen(self, lags: int, shrinkage: float) -> Floats:
        """Residuals (rows, M) of each block by what the others say."""
        parts = [
            self.residuals(first, last, self.weights(other, lags, shrinkage))
            for (first, last), other in zip(self.blocks, self._others, strict=True)
        ]
        return np.concatenate(parts)

    def together(self, gram: _Gram, lags: int, shrinkage: float) -> Window:
        """How the values of rows with so many lags move together."""
        wide = self.width * (lags + 1)
        mean = gram.sums[:wide] / gram.rows
        covariance = gram.products[:wide, :wide] / gram.rows - np.outer(mean, mean)
        size = np.sqrt(np.maximum(np.diag(covariance), 1e-10))
        correlation = covariance / np.outer(size, size) * (1.0 - shrinkage)
        correlation[np.diag_indices(wide)] += shrinkage
        return Window(mean, size, np.tril(correlation) + np.tril(correlation, -1).T)

    def weights(self, gram: _Gram, lags: int, shrinkage: float) -> Floats:
        """Constant and weights (M, 1 + (lags + 1) * M) of each sensor's residual: rows of the inverse covariance."""
        from scipy.linalg import cho_factor, cho_solve  # 16 MB that scoring need not hold

        m, (mean, size, correlation) = self.width, self.together(gram, lags, shrinkage)
        inverse = cho_solve(cho_factor(correlation, lower=True), np.eye(len(mean), m)).T
        weights = inverse / np.diag(inverse)[:, None] * (size[:m, None] / size[None, :])
        return np.concatenate([-(weights @ mean)[:, None], weights], axis=1)


CHUNK: Final = 8192


def _choose(lagged: _Lagged) -> tuple[int, float, Floats]:
    """Lags and shrinkage that make unseen rows likeliest, and what they leave of these rows (n, M)."""
    best, chosen, kept = -np.inf, (lagged.tried[0], SHRINKAGE[-1]), None
    for lags in lagged.tried:
        for shrinkage in SHRINKAGE:
            try:
                residuals = lagged.unseen(lags, shrinkage)
            except LinAlgError:  # exact relations, or one that a block alone shows: it takes more
                continue
            likelihood = float(log_likelihood(residuals).mean())
            if kept is None or likelihood > best:
                best, chosen, kept = likelihood, (lags, shrinkage), residuals
    assert kept is not None
    return *chosen, kept


def _memory(values: Floats) -> float:
    """Rows in which the plant forgets: integrated autocorrelation time that nine in ten sensors stay below."""
    n = len(values)
    centred = values - values.mean(axis=0)
    size = 1 << int(np.ceil(np.log2(2 * n)))
    times = []
    for column in centred.T:
        spectrum = np.fft.rfft(column, size)
        correlation = np.fft.irfft(np.abs(spectrum) ** 2, size)[: max(2, n // 2)]
        if correlation[0] <= 0:
            continue
        correlation = correlation / correlation[0]
        below = correlation < 0.05
        times.append(1.0 + 2.0 * float(correlation[1 : int(below.argmax()) if below.any() else len(correlation)].sum()))
    return float(np.quantile(times, 0.9)) if times else 1.0
