"""The number format of a stream: a record with more digits than its stream must be rounded before it is learned from.

Exact balances between sensors leave directions of almost no variance; learned from unrounded numbers, the rounding
itself looks like a fault there.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.detector import Floats

MOST_DECIMALS = 12
MOST_DIGITS = 15
LOOK = 500
"""Rows looked at, of those with a value."""


class Resolution(NamedTuple):
    """What the numbers of `S` columns are rounded to; both hold."""

    decimals: NDArray[np.int64]
    """(S,) places after the decimal point."""
    digits: NDArray[np.int64]
    """(S,) significant digits."""


def resolution(head: Floats) -> Resolution:
    """The format of the first rows (n, S) of a stream; a column without values counts as exact."""
    columns = head.shape[1]
    decimals = np.full(columns, MOST_DECIMALS)
    digits = np.full(columns, MOST_DIGITS)
    for column in range(columns):
        values = head[:, column]
        values = values[np.isfinite(values)][:LOOK]
        values = values[values != 0]
        if not values.size:
            continue
        for places in range(MOST_DECIMALS):
            if np.allclose(np.round(values, places), values, rtol=1e-14, atol=0):
                decimals[column] = places
                break
        for places in range(1, MOST_DIGITS):
            if np.allclose(_significant(values, places), values, rtol=1e-14, atol=0):
                digits[column] = places
                break
    return Resolution(decimals, digits)


def rounded(record: Floats, to: Resolution) -> Floats:
    """A record (n, S) with the stream's format."""
    out = record.copy()
    for column, (decimals, digits) in enumerate(zip(to.decimals.tolist(), to.digits.tolist(), strict=True)):
        values = out[:, column]
        if digits < MOST_DIGITS:
            values = _significant(values, digits)
        if decimals < MOST_DECIMALS:
            values = np.round(values, decimals)
        out[:, column] = values
    return out


def coarser(stream: Resolution, record: Resolution) -> NDArray[np.bool_]:
    """(S,) columns in which the stream has fewer digits than the record."""
    return np.asarray((stream.decimals < record.decimals) & (stream.digits < record.digits))


def _significant(values: Floats, digits: int) -> Floats:
    size = np.where(np.isfinite(values) & (values != 0), np.abs(values), 1.0)
    unit = 10.0 ** (np.floor(np.log10(size)) - digits + 1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.round(values / unit) * unit)
