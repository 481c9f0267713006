"""Readings of one sensor put together from pieces, and thinned out for a chart."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lab.historian.base import Batch, HistorianError, Series
from lab.historian.codec import Column

T_END = np.iinfo(np.int64).max
"""No reading is stored at or after this time (in 2262)."""

EMPTY = Column(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint8))


def checked(batch: Batch, sensors: int) -> Batch:
    """The batch as contiguous arrays of the right types.

    Raises:
        HistorianError: arrays of different length, an id that `Historian.ids` never gave, a time outside 1970 to 2262.
    """
    try:
        batch = Batch(
            np.ascontiguousarray(batch.sensor, dtype=np.int32),
            np.ascontiguousarray(batch.t, dtype=np.int64),
            np.ascontiguousarray(batch.v, dtype=np.float64),
            np.ascontiguousarray(batch.q, dtype=np.uint8),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise HistorianError(f"a batch that is not four arrays of numbers: {error}") from error
    shapes = [column.shape for column in batch]
    if any(shape != (len(batch.t),) for shape in shapes):
        raise HistorianError(f"a batch's four arrays must have one length; these have {shapes}")
    if len(batch.t):
        if batch.sensor.min() < 0 or batch.sensor.max() >= sensors:
            raise HistorianError(
                f"sensor ids {batch.sensor.min()} to {batch.sensor.max()}, {sensors} are known: get them from ids()"
            )
        if batch.t.min() < 0 or batch.t.max() == T_END:
            raise HistorianError("a reading outside the years 1970 to 2262: times are nanoseconds since 1970")
    return batch


def take(batch: Batch, which: NDArray[np.bool_] | NDArray[np.intp]) -> Batch:
    """Some readings of a batch."""
    return Batch(batch.sensor[which], batch.t[which], batch.v[which], batch.q[which])


def overlay(pieces: Sequence[Column]) -> Column:
    """One column from several, each in time order, each time once; where times meet, the later piece counts."""
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        return EMPTY
    pieces = [piece for piece in pieces if len(piece.t)] or [EMPTY]
    t, v, q = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
    if all(before.t[-1] < after.t[0] for before, after in itertools.pairwise(pieces)):
        return Column(t, v, q)
    order = np.argsort(t, kind="stable")
    t = t[order]
    last = np.append(t[1:] != t[:-1], True)
    order = order[last]
    return Column(t[last], v[order], q[order])


def by_sensor(batch: Batch) -> tuple[Batch, NDArray[np.intp]]:
    """The batch ordered by sensor and time, each time once (the last written wins), and the sensors' bounds in it."""
    sensor, t, v, q = batch
    if not len(t):
        return batch, np.zeros(1, np.intp)
    low = int(sensor.min())
    # NumPy sorts 16-bit numbers in linear time
    narrow = (sensor - low).astype(np.uint16) if int(sensor.max()) - low < 1 << 16 else sensor
    order = np.argsort(narrow, kind="stable")
    sensor, t = sensor[order], t[order]
    same = sensor[1:] == sensor[:-1]
    if np.any(same & (t[1:] <= t[:-1])):
        again = np.lexsort((t, sensor))  # stable: of equal times the last written comes last
        sensor, t, order = sensor[again], t[again], order[again]
        last = np.append((sensor[1:] != sensor[:-1]) | (t[1:] != t[:-1]), True)
        sensor, t, order = sensor[last], t[last], order[last]
    bounds = np.flatnonzero(np.concatenate(([True], sensor[1:] != sensor[:-1], [True])))
    return Batch(sensor, t, v[order], q[order]), bounds


def between(column: Column, t0: int, t1: int) -> Column:
    """The readings with t0 <= t < t1."""
    first, end = np.searchsorted(column.t, (t0, t1))
    if first == 0 and end == len(column.t):
        return column
    return Column(column.t[first:end], column.v[first:end], column.q[first:end])


def bucket_ns(t0: int, t1: int, max_points: int) -> int:
    """Width of a bucket so that `max_points` of them from `t0` on reach `t1`, ns."""
    return -(-(t1 - t0) // max_points)


def thin(column: Column, t0: int, t1: int, max_points: int | None) -> Series:
    """The readings of t0 <= t < t1, in at most `max_points` buckets of equal width if there are more of them.

    Raises:
        ValueError: `max_points` is not positive.
    """
    if max_points is not None and max_points < 1:
        raise ValueError(f"max_points {max_points}: want at least 1")
    t, v, q = column
    if max_points is None or len(t) <= max_points:
        return Series(t, v, v, v, q, True)
    step = bucket_ns(t0, t1, max_points)
    # in uint64, because the last edge may lie beyond int64
    edges = np.arange(max_points, dtype=np.uint64) * np.uint64(step) + np.uint64(t0)
    edges = edges[edges < np.uint64(t1)].astype(np.int64)
    starts = np.searchsorted(t, edges)
    starts = starts[np.append(starts[1:] > starts[:-1], starts[-1] < len(t))]
    sizes = np.diff(np.append(starts, len(t)))
    absent = np.isnan(v)
    counts, summand = sizes, v
    if absent.any():
        counts, summand = sizes - np.add.reduceat(absent, starts, dtype=np.int64), np.where(absent, 0.0, v)
    divisors = np.maximum(counts, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.add.reduceat(summand, starts) / divisors
        if not np.isfinite(mean).all():  # sums of huge values: divide first
            mean = np.add.reduceat(summand / np.repeat(divisors, sizes), starts)
        lo, hi = np.fmin.reduceat(v, starts), np.fmax.reduceat(v, starts)
    mean[counts == 0] = np.nan
    # rounding in the sum must not put a mean outside the values
    mean = np.clip(mean, lo, hi)
    return Series(t[starts], mean, lo, hi, np.maximum.reduceat(q, starts), False)
