"""Arithmetic for the model's single source, for plain floats here and for rows of plants in `ROW`.

The model is written once, without a branch that depends on a plant's values. It runs on plain floats (one plant, plain
Python or compiled by numba) and on rows of plants (NumPy), and gives the same bits in all three: IEEE arithmetic is
exact about everything but `exp` and `log`, which differ between math libraries and so are made here.
"""

from decimal import Decimal, localcontext
from math import floor, frexp, ldexp, sqrt
from types import FunctionType
from typing import Any, Final

import numpy as np

__all__ = ["ROW", "Value", "bind", "exp", "log", "maximum", "minimum", "row_exp", "some", "sqrt", "where"]

Value = Any
"""A float (one plant) or a row (plants,)."""

_PIECES: Final = 64
with localcontext(prec=40):  # the math library's power may differ in the last bit
    _TABLE: Final = tuple(float(Decimal(2) ** (Decimal(j) / _PIECES)) for j in range(_PIECES))
    _PER_LN2: Final = float(_PIECES / Decimal(2).ln())
# ln(2)/64 in two parts, the first with so few digits that its multiples are exact
_HIGH: Final = float.fromhex("0x1.62e42fee00000p-7")
_LOW: Final = float.fromhex("0x1.a39ef35793c76p-39")
_SQRT_HALF: Final = 0.7071067811865476
_LOG_SQRT_HALF: Final = -0.34657359027997265
_LN2: Final = 0.6931471805599453


def exp(x: Value) -> Value:
    """e^x to about one unit in the last place, for a float."""
    k = floor(x * _PER_LN2 + 0.5)
    r = (x - k * _HIGH) - k * _LOW
    t = _TABLE[k & (_PIECES - 1)]
    q = r + r * r * (0.5 + r * (0.16666666666666666 + r * (0.041666666666666664 + r * 0.008333333333333333)))
    return ldexp(t + t * q, k >> 6)


def log(x: Value) -> Value:
    """Natural logarithm of a positive number; the error is below 4e-16 (1 + |log x|)."""
    m, e = frexp(x)
    s = (m - _SQRT_HALF) / (m + _SQRT_HALF)
    z = s * s
    p = 0.07692307692307693 + z * (0.06666666666666667 + z * (0.058823529411764705 + z * 0.05263157894736842))
    p = 0.14285714285714285 + z * (0.1111111111111111 + z * (0.09090909090909091 + z * p))
    p = z * (0.3333333333333333 + z * (0.2 + z * p))
    return e * _LN2 + (_LOG_SQRT_HALF + 2.0 * (s + s * p))


def where(condition: Value, then: Value, other: Value) -> Value:
    """`then` where the condition holds; both are evaluated."""
    return then if condition else other


def maximum(a: Value, b: Value) -> Value:
    """The greater one."""
    return a if a > b else b


def minimum(a: Value, b: Value) -> Value:
    """The lesser one."""
    return a if a < b else b


def some(condition: Value) -> bool:
    """Whether it holds for any plant."""
    return bool(condition)


def row_exp(x: Value, scratch: Value = None) -> Value:
    """`exp` of an array; `scratch` (2, *shape) spares the allocation of large temporaries."""
    k, q = np.empty((2, *x.shape)) if scratch is None else scratch
    np.multiply(x, _PER_LN2, out=k)
    k += 0.5
    np.floor(k, out=k)
    whole = k.astype(np.int64)
    np.multiply(k, _HIGH, out=q)
    r = x - q
    k *= _LOW
    r -= k
    np.multiply(r, 0.008333333333333333, out=q)
    q += 0.041666666666666664
    q *= r
    q += 0.16666666666666666
    q *= r
    q += 0.5
    np.multiply(r, r, out=k)
    q *= k
    q += r
    np.take(_ROW_TABLE, whole & (_PIECES - 1), out=k, mode="clip")
    q *= k
    q += k
    whole >>= 6
    np.left_shift(whole + 1023, 52, out=whole)
    return q * whole.view(np.float64)


def _row_some(condition: Value) -> bool:
    return bool(condition.any())


_ROW_TABLE: Final = np.array(_TABLE)


def bind(function: Any, names: dict[str, Any]) -> Any:
    """The same code over other numbers: `function` with the global names in `names` meaning something else."""
    return FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__)


ROW: Final[dict[str, Any]] = {
    "exp": row_exp,
    "log": bind(log, {"frexp": np.frexp}),
    "sqrt": np.sqrt,
    "where": np.where,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "some": _row_some,
}
"""For rows of plants."""
