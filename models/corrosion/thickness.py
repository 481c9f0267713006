"""Required thickness, rates and remaining life of pipe: ASME B31.3, API 570, API 574, B31G.

mm, MPa, years. All arguments broadcast over points; what cannot be is NaN.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from models.corrosion.coefficients import number, row
from models.corrosion.reasons import Bits, flags
from models.corrosion.tables import Floats


def pressure_minimum(
    pressure_mpa: ArrayLike,
    diameter_mm: ArrayLike,
    stress_mpa: ArrayLike,
    weld: ArrayLike = 1.0,
    w: ArrayLike = 1.0,
    y: ArrayLike | None = None,
) -> Floats:
    """t_min = P D / (2 (S E W + P Y)) of ASME B31.3, mm.

    Args:
        pressure_mpa: design pressure.
        diameter_mm: outer diameter.
        stress_mpa: allowable stress S.
        weld: joint efficiency E.
        w: weld strength reduction W.
        y: Y, 0.4 for ferritic steel up to 482 °C.
    """
    p, d, s, e, wsr, factor = (
        np.asarray(x, dtype=np.float64)
        for x in (pressure_mpa, diameter_mm, stress_mpa, weld, w, number("b313.y") if y is None else y)
    )
    p = np.where(p >= 0, p, np.nan)
    strength = 2 * (s * e * wsr + p * factor)
    return np.asarray(p * d / np.where(strength > 0, strength, np.nan))


def structural_minimum(nps_inch: ArrayLike) -> Floats:
    """Alert thickness by nominal pipe size, mm (API 574 default); a size in between takes the larger one's."""
    nps = np.asarray(nps_inch, dtype=np.float64)
    return np.asarray(
        np.where(nps > 0, row("structural.minimum")[np.searchsorted(row("structural.nps"), nps, side="left")], np.nan)
    )


def required_thickness(
    pressure_minimum_mm: ArrayLike, structural_minimum_mm: ArrayLike, owner_mm: ArrayLike = np.nan
) -> Floats:
    """The owner's figure where there is one, else the larger of the two minima (one unknown: the other), mm."""
    owner = np.asarray(owner_mm, dtype=np.float64)
    larger = np.fmax(
        np.asarray(pressure_minimum_mm, dtype=np.float64), np.asarray(structural_minimum_mm, dtype=np.float64)
    )
    return np.asarray(np.where(np.isnan(owner), larger, owner))


class Rates(NamedTuple):
    """API 570 rates, mm/y."""

    long_term: Floats
    short_term: Floats
    governing: Floats
    """The larger of the two as measured; not floored."""


def api570_rates(
    t_initial_mm: ArrayLike,
    t_previous_mm: ArrayLike,
    t_actual_mm: ArrayLike,
    years_total: ArrayLike,
    years_since_previous: ArrayLike,
) -> Rates:
    """Long-term rate since the first reading, short-term since the one before; NaN where no time lies between.

    With only one of the two known, that one governs.
    """
    first, before, now, total, last = (
        np.asarray(x, dtype=np.float64)
        for x in (t_initial_mm, t_previous_mm, t_actual_mm, years_total, years_since_previous)
    )
    long = (first - now) / np.where(total > 0, total, np.nan)
    short = (before - now) / np.where(last > 0, last, np.nan)
    return Rates(np.asarray(long), np.asarray(short), np.asarray(np.fmax(long, short)))


def floored(rate_mm_y: ArrayLike, floor_mm_y: float | None = None) -> Floats:
    """The rate, or the floor (0.025 mm/y) where it is zero or negative; NaN stays."""
    rate = np.asarray(rate_mm_y, dtype=np.float64)
    return np.asarray(np.where(rate <= 0, number("api570.floor") if floor_mm_y is None else floor_mm_y, rate))


def remaining_life(
    t_actual_mm: ArrayLike, t_required_mm: ArrayLike, rate_mm_y: ArrayLike, floor_mm_y: float | None = None
) -> Floats:
    """(t_act - t_req) / rate, years; 0 where it is already too thin; a rate of zero or below is floored."""
    margin = np.asarray(t_actual_mm, dtype=np.float64) - np.asarray(t_required_mm, dtype=np.float64)
    return np.asarray(np.maximum(margin, 0.0) / floored(rate_mm_y, floor_mm_y))


def inspection_cap(pipe_class: ArrayLike, kind: Literal["thickness", "visual", "injection"] = "thickness") -> Floats:
    """Longest interval of API 570, years, by pipe class 1 to 3; another class is NaN."""
    given = np.asarray(pipe_class, dtype=np.float64)
    known = (given == 1) | (given == 2) | (given == 3)
    caps = row(f"api570.cap.{kind}")
    return np.asarray(np.where(known, caps[np.where(known, given, 1).astype(np.int64) - 1], np.nan))


def inspection_interval(
    life_y: ArrayLike, pipe_class: ArrayLike, kind: Literal["thickness", "visual", "injection"] = "thickness"
) -> Floats:
    """Years until the next inspection: half the remaining life, at most the cap of the class."""
    return np.asarray(np.minimum(np.asarray(life_y, dtype=np.float64) / 2, inspection_cap(pipe_class, kind)))


def follow_up_extent(pipe_class: ArrayLike, damaged: ArrayLike) -> Floats:
    """Share of CUI suspect places to look at after visual inspection, by class; more under damaged insulation."""
    given = np.asarray(pipe_class, dtype=np.float64)
    known = (given == 1) | (given == 2) | (given == 3)
    column = np.where(np.asarray(damaged, dtype=np.bool_), 0, 1)
    return np.asarray(
        np.where(known, row("api570.extent")[np.where(known, given, 1).astype(np.int64) - 1, column], np.nan)
    )


def acceptable_probability(pipe_class: ArrayLike) -> Floats:
    """Accepted probability of being below the required thickness at the next inspection, by class 1 to 3."""
    given = np.asarray(pipe_class, dtype=np.float64)
    known = (given == 1) | (given == 2) | (given == 3)
    return np.asarray(np.where(known, row("accept")[np.where(known, given, 1).astype(np.int64) - 1], np.nan))


def reading_reasons(
    t_nominal_mm: ArrayLike,
    t_previous_mm: ArrayLike,
    t_actual_mm: ArrayLike,
    t_required_mm: ArrayLike,
    years_since_previous: ArrayLike,
) -> Bits:
    """`above_nominal`, `reading_grew`, `rate_floored`, `below_required`, `clock_back`, `invalid_input` of a reading."""
    nominal, before, now, required, years = (
        np.asarray(x, dtype=np.float64)
        for x in (t_nominal_mm, t_previous_mm, t_actual_mm, t_required_mm, years_since_previous)
    )
    return flags(
        above_nominal=now > nominal,
        reading_grew=now > before,
        rate_floored=now >= before,
        below_required=now < required,
        clock_back=years < 0,
        invalid_input=~(now >= 0),
    )


class Flaw(NamedTuple):
    """B31G of a local flaw."""

    z: Floats
    """L² / (D t)."""
    m: Floats
    """Bulging factor."""
    failure_stress_mpa: Floats
    failure_pressure_mpa: Floats


def b31g(
    diameter_mm: ArrayLike, t_mm: ArrayLike, depth_mm: ArrayLike, length_mm: ArrayLike, smys_mpa: ArrayLike
) -> Flaw:
    """Failure stress and pressure of pipe with a flaw, original B31G.

    A depth of the whole wall or more fails at 0; a negative depth counts as none. The method is made for depths up to
    0.8 of the wall (`b31g_reasons`).

    Args:
        diameter_mm: outer diameter.
        t_mm: wall around the flaw.
        depth_mm: deepest metal loss.
        length_mm: along the pipe.
        smys_mpa: specified minimum yield strength.
    """
    d, t, depth, length, smys = (
        np.asarray(x, dtype=np.float64) for x in (diameter_mm, t_mm, depth_mm, length_mm, smys_mpa)
    )
    flow, area, bulge, longest, _ = row("b31g")
    t = np.where(t > 0, t, np.nan)
    share = np.clip(depth / t, 0.0, 1.0)
    z = length**2 / (d * t)
    m = np.sqrt(1 + bulge * z)
    short = (1 - area * share) / (1 - area * share / m)
    stress = flow * smys * np.where(z <= longest, np.where(share >= 1, 0.0, short), 1 - share)
    return Flaw(np.asarray(z), np.asarray(m), np.asarray(stress), np.asarray(2 * stress * t / d))


def b31g_reasons(t_mm: ArrayLike, depth_mm: ArrayLike) -> Bits:
    """`outside_range` for a depth above 0.8 of the wall, `invalid_input` for a wall or depth that is none."""
    t, depth = np.asarray(t_mm, dtype=np.float64), np.asarray(depth_mm, dtype=np.float64)
    return flags(outside_range=depth > row("b31g")[-1] * t, invalid_input=~(t > 0) | ~(depth >= 0))
