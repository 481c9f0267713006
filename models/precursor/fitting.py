"""Fitting: what normal looks like, and how far normal strays from a model that has not seen it."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.detector import Floats, usual
from models.precursor.detector import Precursor

FOLDS: Final = 8
LAGS: Final = 2
"""Rows before the current one that are looked at, unless told otherwise."""
HUGE: Final = 1e100
"""What is larger is no reading, and its square no number."""
LEAST_ROWS: Final = 50
"""Fewer rows of normal data say too little of how far normal strays."""


def fit(
    runs: Floats | Sequence[Floats],
    sensors: Sequence[str],
    period_s: float,
    *,
    lags: int = LAGS,
    explained: float = 0.9,
    smoothing: float = 0.2,
    false_alarms: float = 5e-4,
    on: int = 3,
    off: int = 10,
) -> Precursor:
    """Fit to normal records.

    The limits come from rows scored by models that saw neither them nor their neighbourhood (8 contiguous blocks with
    gaps), with an exponential tail fitted to the largest tenth of each chart's logarithm.

    Args:
        runs: one record (n, S) or several, in the sensors' units; NaN is a missing value. Runs are never bridged.
        sensors: names of the S columns.
        period_s: time between rows, seconds.
        lags: rows before the current one that are looked at.
        explained: share of the variance that the model plane holds.
        smoothing: weight of the newest row in the moving average.
        false_alarms: share of normal rows that may lie above the limit.
        on: rows above the limit that begin an episode.
        off: rows below it that end one.

    Raises:
        ValueError: shapes that do not fit, fewer than 50 rows, a sensor without any value, names that repeat.
    """
    records = _check(runs, sensors, period_s, lags)
    center, scale = _levels(np.concatenate(records))
    lagged, whole, lengths = _lagged([(record - center) / scale for record in records], lags)
    width = len(sensors)
    n = len(lagged)
    if n < LEAST_ROWS:
        raise ValueError(f"{n} rows to learn from after {lags} lags; want at least {LEAST_ROWS} rows of normal data")
    if whole.sum() < max(LEAST_ROWS, n // 2):
        whole = np.ones(n, dtype=np.bool_)
    shift, spread, loadings, latent = _plane(lagged[whole], width, explained)
    bare = Precursor(
        sensors=tuple(sensors),
        period_s=float(period_s),
        usual=usual(records),
        center=center + shift * scale,
        scale=scale * spread,
        loadings=loadings,
        latent=latent,
        limits=np.ones(2),
        start=np.zeros((2, width)),
        smoothing=smoothing,
        on=on,
        off=off,
    )
    shares, block = _out_of_fold(bare, lagged, whole, records, explained)
    means = shares.mean(axis=0)
    charts = np.concatenate([_smooth(part, means, smoothing) for part in _split(shares, lengths)])
    limits = np.array([_limit(charts[:, chart], block, false_alarms / 2, width) for chart in range(2)])
    model = replace(bare, limits=limits, start=means / limits[:, None])
    for _ in range(8):  # what it learned from must not alarm, also when the tail is longer than exponential
        factor = max(_needed(model, record) for record in records)
        if factor < 1:
            break
        limits = limits * (factor * 1.02)
        model = replace(bare, limits=limits, start=means / limits[:, None])
    return model


def _check(runs: Floats | Sequence[Floats], sensors: Sequence[str], period_s: float, lags: int) -> list[Floats]:
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
        if len(record) > lags:
            records.append(record)
    rows = sum(len(record) for record in records)
    if rows < LEAST_ROWS:
        raise ValueError(f"{rows} rows to learn from; want at least {LEAST_ROWS} rows of normal data")
    empty = [name for at, name in enumerate(sensors) if all(np.isnan(record[:, at]).all() for record in records)]
    if empty:
        raise ValueError(f"no value in the normal data of {', '.join(empty)}; leave them out")
    return records


def _levels(values: Floats) -> tuple[Floats, Floats]:
    """Mean and scale of each sensor; one that never moves gets a hundredth of its value as its scale."""
    center = np.nanmean(values, axis=0)
    scale: Floats = np.nanstd(values, axis=0)
    size: Floats = np.nanmax(np.abs(values), axis=0)
    constant: NDArray[np.bool_] = scale <= 1e-9 * size
    first: NDArray[np.intp] = np.argmax(~np.isnan(values), axis=0)
    center = np.where(constant, values[first, np.arange(values.shape[1])], center)
    return center, np.where(constant, np.where(size > 0, 0.01 * size, 0.1), scale)


def _lagged(records: Sequence[Floats], lags: int) -> tuple[Floats, NDArray[np.bool_], list[int]]:
    """Rows with their lags side by side, which of them have every value, and the rows of each run."""
    rows, whole, lengths = [], [], []
    for record in records:
        valid: NDArray[np.bool_] = np.logical_not(np.isnan(record))
        last = np.maximum.accumulate(np.where(valid, np.arange(len(record))[:, None], 0), axis=0)
        held = np.nan_to_num(np.take_along_axis(record, last, axis=0))
        n = len(record) - lags
        rows.append(np.concatenate([held[lags - lag : lags - lag + n] for lag in range(lags + 1)], axis=1))
        complete: NDArray[np.bool_] = np.logical_and.reduce(valid, axis=1)
        whole.append(np.all([complete[lags - lag : lags - lag + n] for lag in range(lags + 1)], axis=0))
        lengths.append(n)
    return np.concatenate(rows), np.concatenate(whole), lengths


def _plane(lagged: Floats, width: int, explained: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Shift and spread of each sensor, loadings and variances of components holding `explained` of the variance."""
    depth = lagged.shape[1] // width
    shift = lagged.mean(axis=0).reshape(depth, width).mean(axis=0)
    centred = lagged - np.tile(shift, depth)
    covariance = centred.T @ centred / len(centred)
    variance = np.diag(covariance).reshape(depth, width).mean(axis=0)
    constant = variance < 1e-12
    # in a part of the record a sensor may rest, and must not look infinitely precise for that
    spread = np.where(constant, 1.0, np.maximum(np.sqrt(variance), 0.05))
    covariance /= np.outer(np.tile(spread, depth), np.tile(spread, depth))
    latent, vectors = np.linalg.eigh(covariance)
    latent, vectors = latent[::-1], vectors[:, ::-1]
    most = max(1, min(len(lagged) // 5, lagged.shape[1] - 1))
    reached = int(np.searchsorted(np.cumsum(latent), explained * latent.sum())) + 1
    count = min(reached, most, max(1, int((latent > 1e-9 * max(latent[0], 1e-300)).sum())))
    # a plane of constants alone: one component that nothing reaches
    return shift, spread, np.ascontiguousarray(vectors[:, :count]), np.maximum(latent[:count], 1e-6)


def _memory(values: Floats) -> int:
    """Rows after which most sensors (nine in ten) have forgotten: autocorrelation below 1/e."""
    n = len(values)
    centred = values - values.mean(axis=0)
    spectrum = np.fft.rfft(centred, 2 * n, axis=0)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[: max(2, n // 2)]
    moving = correlation[0] > 0
    if not moving.any():
        return 1
    below = correlation[:, moving] < correlation[0, moving] / np.e
    return int(np.quantile(np.where(below.any(axis=0), below.argmax(axis=0), n // 2), 0.9)) + 1


def _out_of_fold(
    bare: Precursor,
    lagged: Floats,
    whole: NDArray[np.bool_],
    records: Sequence[Floats],
    explained: float,
) -> tuple[Floats, NDArray[np.int64]]:
    """Shares (n, 2, S) of every row by a model fitted without its block and the gaps around it; block of each row."""
    n, width = len(lagged), len(bare.sensors)
    longest = max(records, key=len)[:, :]
    filled = np.nan_to_num((longest[:4096] - bare.center) / bare.scale)
    gap = min(2 * _memory(filled), n // 12)
    edges = np.linspace(0, n, FOLDS + 1).astype(int)
    shares = np.empty((n, 2, width))
    block = np.empty(n, dtype=np.int64)
    depth = bare.lags + 1
    for fold, (first, last) in enumerate(pairwise(edges)):
        others = whole.copy()
        others[max(0, first - gap) : last + gap] = False
        if others.sum() < depth + 2:
            others = whole.copy()
            others[first:last] = False
        shift, spread, loadings, latent = _plane(lagged[others], width, explained)
        x = (lagged[first:last] - np.tile(shift, depth)) / np.tile(spread, depth)
        scores = x @ loadings
        inside = scores @ (loadings / np.sqrt(latent)).T
        outside = x - scores @ loadings.T
        shares[first:last, 0] = np.square(inside).reshape(-1, depth, width).sum(axis=1)
        shares[first:last, 1] = np.square(outside).reshape(-1, depth, width).sum(axis=1)
        block[first:last] = fold
    return shares, block


def _split(shares: Floats, lengths: Sequence[int]) -> list[Floats]:
    return np.split(shares, np.cumsum(lengths)[:-1])


def _smooth(shares: Floats, means: Floats, weight: float) -> Floats:
    """The two charts (n, 2) of one run as they would have been seen live."""
    charts: Floats = shares.sum(axis=2)
    current = means.sum(axis=1)
    smooth: Floats = np.empty_like(charts)
    for row, value in enumerate(charts):
        current = current + weight * (value - current)
        smooth[row] = current
    return smooth


def _limit(chart: Floats, block: NDArray[np.int64], rate: float, width: int) -> float:
    """The value exceeded in a share `rate` of normal rows: 90 % quantile and exponential tail of the logarithm."""
    # a hundredth of a standard deviation in every sensor: perfectly predictable records have no limit of their own
    logs = np.log(np.maximum(chart, 1e-4 * width))
    edge = float(np.quantile(logs, 0.9))
    excess = logs[logs > edge] - edge
    slope = min(max(float(excess.mean()) if excess.size else 0.0, 0.01), 0.6)
    blocks = np.array([logs[block == fold].mean() for fold in range(FOLDS)])
    return float(np.exp(edge + float(blocks.std()) + slope * np.log(0.1 / rate)))


def _needed(model: Precursor, record: Floats) -> float:
    """By what the limit must grow for this record not to alarm: below 1 when it does not."""
    _, result = model.score(model.initial(1), record[None])
    score = np.nan_to_num(result.score[0])
    if len(score) < model.on:
        return 0.0
    return float(np.lib.stride_tricks.sliding_window_view(score, model.on).min(axis=1).max())
