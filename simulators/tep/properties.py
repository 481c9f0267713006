"""Property sums over the components, written twice: unrolled for floats, as array operations for rows in `ROW`.

A vector of components is a tuple of floats or an array (components, plants): eight A..H, or five, the condensable D..H.
Both ways add and multiply in the same order, so they give the same bits (for two plants and more: with one column NumPy
adds pairwise). Nothing else in the model knows the difference.
"""

from typing import Any, Final

import numpy as np

from simulators.tep.constants import ANTOINE, DENSITY, LIQUID_HEAT, MOLAR_MASS, VAPORISATION, VAPOUR_HEAT
from simulators.tep.numerics import ROW as ROW_NUMERICS
from simulators.tep.numerics import Value, exp, log, row_exp, where

Vector = Any
"""Five or eight floats, or an array (5 or 8, plants)."""

M_A, M_B, M_C, M_D, M_E, M_F, M_G, M_H = MOLAR_MASS
# enthalpy of a mole: liquid l1 T + l2 T^2 + l3 T^3, vapour v0 + v1 T + v2 T^2 + v3 T^3
LIQUID: Final = tuple(
    tuple(1.8 / (k + 1) * m * h[k] for m, h in zip(MOLAR_MASS, LIQUID_HEAT, strict=True)) for k in range(3)
)
VAPOUR: Final = (
    tuple(m * heat for m, heat in zip(MOLAR_MASS, VAPORISATION, strict=True)),
    *(tuple(1.8 / (k + 1) * m * g[k] for m, g in zip(MOLAR_MASS, VAPOUR_HEAT, strict=True)) for k in range(3)),
)
(L1A, L1B, L1C, L1D, L1E, L1F, L1G, L1H), (*_, L2D, L2E, L2F, L2G, L2H), (*_, L3D, L3E, L3F, L3G, L3H) = LIQUID
(V0A, V0B, V0C, V0D, V0E, V0F, V0G, V0H), (V1A, V1B, V1C, V1D, V1E, V1F, V1G, V1H) = VAPOUR[:2]
(V2A, V2B, V2C, V2D, V2E, V2F, *_), (V3A, V3B, V3C, V3D, V3E, V3F, *_) = VAPOUR[2:]
(D0D, D1D, D2D), (D0E, D1E, D2E), (D0F, D1F, D2F), (D0G, D1G, D2G), (D0H, D1H, D2H) = DENSITY[3:]
(PAD, PBD, PCD), (PAE, PBE, PCE), (*_,), (PAG, PBG, PCG), (PAH, PBH, PCH) = ANTOINE

SPLIT_D, SPLIT_E, SPLIT_F, SPLIT_G, SPLIT_H = SPLIT = (8.5010, 11.402, 11.795, 0.0480, 0.0242)
DRY_D, DRY_E, DRY_F, DRY_G, DRY_H = DRY = (0.9999, 0.999, 0.999, 0.99, 0.98)


def five(y: Value, at: int) -> Vector:
    """Five consecutive states."""
    return y[at], y[at + 1], y[at + 2], y[at + 3], y[at + 4]


def eight(y: Value, at: int) -> Vector:
    """Eight consecutive states."""
    return y[at], y[at + 1], y[at + 2], y[at + 3], y[at + 4], y[at + 5], y[at + 6], y[at + 7]


def join(a: Value, b: Value, c: Value, v: Vector) -> Vector:
    """Eight of A, B, C and five."""
    d, e, f, g, h = v
    return a, b, c, d, e, f, g, h


def total5(v: Vector) -> Value:
    """Sum over D..H."""
    d, e, f, g, h = v
    return d + e + f + g + h


def total8(v: Vector) -> Value:
    """Sum over A..H."""
    a, b, c, d, e, f, g, h = v
    return a + b + c + d + e + f + g + h


def mass8(v: Vector) -> Value:
    """Sum times molar mass."""
    a, b, c, d, e, f, g, h = v
    return M_A * a + M_B * b + M_C * c + M_D * d + M_E * e + M_F * f + M_G * g + M_H * h


def scale5(v: Vector, k: Value) -> Vector:
    """Each times k."""
    d, e, f, g, h = v
    return d * k, e * k, f * k, g * k, h * k


def scale8(v: Vector, k: Value) -> Vector:
    """Each times k."""
    a, b, c, d, e, f, g, h = v
    return a * k, b * k, c * k, d * k, e * k, f * k, g * k, h * k


def times5(u: Vector, v: Vector) -> Vector:
    """Component by component."""
    d, e, f, g, h = u
    p, q, r, s, t = v
    return d * p, e * q, f * r, g * s, h * t


def add_scaled(into: Value, at: int, u: Vector, v: Vector, k: Value) -> None:
    """into[at:at+8] := u + v k."""
    a, b, c, d, e, f, g, h = u
    i, j, m, n, o, p, q, r = v
    into[at] = a + i * k
    into[at + 1] = b + j * k
    into[at + 2] = c + m * k
    into[at + 3] = d + n * k
    into[at + 4] = e + o * k
    into[at + 5] = f + p * k
    into[at + 6] = g + q * k
    into[at + 7] = h + r * k


def subtract5(into: Value, at: int, v: Vector) -> None:
    """into[at:at+5] -= v."""
    d, e, f, g, h = v
    into[at] = into[at] - d
    into[at + 1] = into[at + 1] - e
    into[at + 2] = into[at + 2] - f
    into[at + 3] = into[at + 3] - g
    into[at + 4] = into[at + 4] - h


def subtract8(into: Value, at: int, v: Vector) -> None:
    """into[at:at+8] -= v."""
    a, b, c, d, e, f, g, h = v
    into[at] = into[at] - a
    into[at + 1] = into[at + 1] - b
    into[at + 2] = into[at + 2] - c
    into[at + 3] = into[at + 3] - d
    into[at + 4] = into[at + 4] - e
    into[at + 5] = into[at + 5] - f
    into[at + 6] = into[at + 6] - g
    into[at + 7] = into[at + 7] - h


def liquid5(v: Vector) -> Vector:
    """Coefficients of T, T^2, T^3 in the enthalpy of liquid D..H."""
    d, e, f, g, h = v
    return (
        L1D * d + L1E * e + L1F * f + L1G * g + L1H * h,
        L2D * d + L2E * e + L2F * f + L2G * g + L2H * h,
        L3D * d + L3E * e + L3F * f + L3G * g + L3H * h,
    )


def liquid8(v: Vector) -> Vector:
    """Coefficients of T, T^2, T^3 in the enthalpy of liquid A..H."""
    a, b, c, d, e, f, g, h = v
    return (
        L1A * a + L1B * b + L1C * c + L1D * d + L1E * e + L1F * f + L1G * g + L1H * h,
        L2D * d + L2E * e + L2F * f + L2G * g + L2H * h,
        L3D * d + L3E * e + L3F * f + L3G * g + L3H * h,
    )


def vapour8(v: Vector) -> Vector:
    """Coefficients of 1, T, T^2, T^3 in the enthalpy of vapour A..H."""
    a, b, c, d, e, f, g, h = v
    return (
        V0A * a + V0B * b + V0C * c + V0D * d + V0E * e + V0F * f + V0G * g + V0H * h,
        V1A * a + V1B * b + V1C * c + V1D * d + V1E * e + V1F * f + V1G * g + V1H * h,
        V2A * a + V2B * b + V2C * c + V2D * d + V2E * e + V2F * f,
        V3A * a + V3B * b + V3C * c + V3D * d + V3E * e + V3F * f,
    )


def volume5(t: Value, v: Vector) -> Value:
    """Volume of liquid D..H at `t` degC, ft3."""
    d, e, f, g, h = v
    return (
        d * M_D / (D0D + t * (D1D + t * D2D))
        + e * M_E / (D0E + t * (D1E + t * D2E))
        + f * M_F / (D0F + t * (D1F + t * D2F))
        + g * M_G / (D0G + t * (D1G + t * D2G))
        + h * M_H / (D0H + t * (D1H + t * D2H))
    )


def split(strip: Value, flowing: Value, v: Vector) -> Vector:
    """What leaves the stripper overhead of the liquid D..H that flows into it."""
    d, e, f, g, h = v
    p, q, r, s, t = SPLIT_D * strip, SPLIT_E * strip, SPLIT_F * strip, SPLIT_G * strip, SPLIT_H * strip
    return (
        where(flowing, p / (1.0 + p), DRY_D) * d,
        where(flowing, q / (1.0 + q), DRY_E) * e,
        where(flowing, r / (1.0 + r), DRY_F) * f,
        where(flowing, s / (1.0 + s), DRY_G) * g,
        where(flowing, t / (1.0 + t), DRY_H) * h,
    )


def logs(a: Value, b: Value) -> Value:
    """Natural logarithms of two numbers."""
    return log(a), log(b)


def exponentials(t: Value, u: Value, a: Value, b: Value) -> Any:
    """Vapour pressures of D..H (E and F share theirs) at `t` and at `u` degC in mmHg, and e^a and e^b."""
    d, e, g, h = (
        exp(PAD + PBD / (t + PCD)),
        exp(PAE + PBE / (t + PCE)),
        exp(PAG + PBG / (t + PCG)),
        exp(PAH + PBH / (t + PCH)),
    )
    p, q, r, s = (
        exp(PAD + PBD / (u + PCD)),
        exp(PAE + PBE / (u + PCE)),
        exp(PAG + PBG / (u + PCG)),
        exp(PAH + PBH / (u + PCH)),
    )
    return (d, e, e, g, h), (p, q, q, r, s), exp(a), exp(b)


def newton(t: Value, c0: Value, c: Vector, energy: Value) -> Value:
    """Solve c0 + c1 T + c2 T^2 + c3 T^3 = energy by Newton from `t`, degC.

    The error after a step of 1e-6 K is of second order, far below rounding, so that step is the last one.
    """
    c1, c2, c3 = c
    c0 = c0 - energy
    for _ in range(100):
        step = (c0 + t * (c1 + t * (c2 + t * c3))) / (c1 + t * (2.0 * c2 + t * (3.0 * c3)))
        t = t - step
        if not abs(step) > 1e-6:
            break
    return t


def temperatures(guess: Value, r: Vector, s: Vector, c: Vector, v0: Value, v: Vector, y: Value) -> None:
    """Temperatures of the four vessels from their energies; `guess` holds where to start and takes the solution."""
    guess[0] = newton(guess[0], 0.0, r, y[8])
    guess[1] = newton(guess[1], 0.0, s, y[17])
    guess[2] = newton(guess[2], 0.0, c, y[26])
    guess[3] = newton(guess[3], v0, v, y[35])


def _column(values: Any) -> Any:
    return np.array(values, float)[..., None]


_MASS8 = _column(MOLAR_MASS)
_MASS5 = _column(MOLAR_MASS[3:])
_LIQUID8 = _column(LIQUID)
_LIQUID5 = _column([row[3:] for row in LIQUID])
_VAPOUR8 = _column(VAPOUR)
_D0, _D1, _D2 = (_column([row[k] for row in DENSITY[3:]]) for k in range(3))
_PA, _PB, _PC = (_column([ANTOINE[i][k] for i in (0, 1, 3, 4)]) for k in range(3))
_SPLIT, _DRY = _column(SPLIT), _column(DRY)
_SPREAD = np.array([0, 1, 1, 2, 3])
_add = np.add.reduce
_row_log = ROW_NUMERICS["log"]


def _row_join(a: Value, b: Value, c: Value, v: Vector) -> Vector:
    joined = np.empty((8, v.shape[1]))
    joined[0] = a
    joined[1] = b
    joined[2] = c
    joined[3:] = v
    return joined


def _row_subtract(into: Value, at: int, v: Vector) -> None:
    into[at : at + len(v)] -= v


def _row_split(strip: Value, flowing: Value, v: Vector) -> Vector:
    q = _SPLIT * strip
    return np.where(flowing, q / (1.0 + q), _DRY) * v


def _row_temperatures(guess: Value, r: Vector, s: Vector, c: Vector, v0: Value, v: Vector, y: Value) -> None:
    sums = np.empty((3, 4, len(v0)))
    sums[:, 0] = r
    sums[:, 1] = s
    sums[:, 2] = c
    sums[:, 3] = v
    c1, c2, c3 = sums
    c0 = -y[8:36:9]
    c0[3] += v0
    double, triple = 2.0 * c2, 3.0 * c3
    moving: Any = None
    for _ in range(100):
        step = (c0 + guess * (c1 + guess * (c2 + guess * c3))) / (c1 + guess * (double + guess * triple))
        if moving is not None:
            step *= moving
        guess -= step
        moving = np.abs(step) > 1e-6
        if not moving.any():
            break


def rows(n: int) -> dict[str, Any]:
    """The same functions for rows of `n` plants. They share scratch arrays, so they belong to one caller at a time."""
    scratch = np.empty((32, n))
    wide = {(i, j): scratch[: i * j].reshape(i, j, n) for i, j in ((3, 5), (3, 8), (4, 8))}
    high = scratch[:8]
    powers = np.empty((10, n))
    halves = scratch[:20].reshape(2, 10, n)
    density = np.empty((5, n))

    def sums(table: Any, shape: tuple[int, int]) -> Any:
        product = wide[shape]
        return lambda v: _add(np.multiply(table, v, out=product), 1)

    def mass8(v: Vector) -> Value:
        return _add(np.multiply(_MASS8, v, out=high), 0)

    def add_scaled(into: Value, at: int, u: Vector, v: Vector, k: Value) -> None:
        np.add(u, np.multiply(v, k, out=high), out=into[at : at + 8])

    def volume5(t: Value, v: Vector) -> Value:
        np.multiply(_D2, t, out=density)
        np.add(density, _D1, out=density)
        np.multiply(density, t, out=density)
        np.add(density, _D0, out=density)
        product = np.multiply(v, _MASS5, out=scratch[:5])
        product /= density
        return _add(product, 0)

    def exponentials(t: Value, u: Value, a: Value, b: Value) -> Any:
        np.add(_PA, _PB / (t + _PC), out=powers[:4])
        np.add(_PA, _PB / (u + _PC), out=powers[4:8])
        powers[8] = a
        powers[9] = b
        found = row_exp(powers, halves)
        return found[_SPREAD], found[_SPREAD + 4], found[8], found[9]

    return {
        **ROW_NUMERICS,
        "five": lambda y, at: y[at : at + 5],
        "eight": lambda y, at: y[at : at + 8],
        "join": _row_join,
        "total5": _add,
        "total8": _add,
        "mass8": mass8,
        "scale5": np.multiply,
        "scale8": np.multiply,
        "times5": np.multiply,
        "add_scaled": add_scaled,
        "subtract5": _row_subtract,
        "subtract8": _row_subtract,
        "liquid5": sums(_LIQUID5, (3, 5)),
        "liquid8": sums(_LIQUID8, (3, 8)),
        "vapour8": sums(_VAPOUR8, (4, 8)),
        "volume5": volume5,
        "split": _row_split,
        "logs": lambda a, b: _row_log(np.stack((a, b))),
        "exponentials": exponentials,
        "temperatures": _row_temperatures,
    }
