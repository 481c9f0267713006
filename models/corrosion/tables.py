"""The tables an assessment works on and what it gives back: one array a column, in SI-like units of the trade.

Lengths in mm, pressures in MPa, temperatures in °C, rates in mm/y. Unknown is NaN, NaT or, in a column of codes, -1.
A column of codes indexes one of the tuples below.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
Times = NDArray[np.datetime64]
"""datetime64[ns], UTC."""

YEAR_S: Final = 31_556_952.0
"""The mean year of the calendar."""

INSULATION: Final = (
    "none",
    "mineral_wool",
    "fibreglass",
    "calcium_silicate",
    "perlite",
    "foam_glass",
    "polyurethane",
    "asbestos",
    "other",
)
COATING: Final = ("none", "primer", "single_coat_epoxy", "multi_coat_epoxy")
MATERIAL: Final = ("carbon_steel", "low_alloy", "stainless", "other")
DRIVER: Final = ("dry", "mild", "moderate", "severe")
"""API RP 581 environment columns."""
PART: Final = ("straight", "elbow", "tee", "support", "nozzle", "dead_leg", "low_point", "flange", "penetration")
COMPLEXITY: Final = ("below_average", "average", "above_average")
CONDITION: Final = ("above_average", "average", "below_average")
"""Of the insulation and its jacket."""
METHOD: Final = ("ut", "rt", "pit_gauge", "visual", "dr", "pec", "guided_wave")
EFFECTIVENESS: Final = ("E", "D", "C", "B", "A")


@dataclass(frozen=True, slots=True)
class Lines:
    """`L` pipe lines."""

    id: tuple[str, ...]
    plant: tuple[str, ...]
    service: tuple[str, ...]
    nps: Floats
    """(L,) nominal pipe size, inch."""
    diameter: Floats
    """(L,) outer diameter, mm."""
    t_nom: Floats
    """(L,) nominal wall, mm."""
    t_req: Floats
    """(L,) required wall as the owner states it, mm; NaN: from pressure and structural minimum."""
    material: Codes
    t_op: Floats
    """(L,) metal temperature in operation, °C."""
    t_min: Floats
    t_max: Floats
    """(L,) ends of the temperature cycle, °C; NaN: no cycling known."""
    pressure: Floats
    """(L,) design pressure, MPa."""
    stress: Floats
    """(L,) allowable stress S, MPa."""
    weld: Floats
    """(L,) weld joint efficiency E."""
    yield_strength: Floats
    tensile_strength: Floats
    """(L,) MPa."""
    insulation: Codes
    """(L,) `INSULATION`; 0 is bare pipe."""
    coating: Codes
    installed: Times
    coated_on: Times
    driver: Codes
    """(L,) `DRIVER` as recorded, -1: from weather and surroundings."""
    heat_traced: Codes
    """(L,) 1 yes, 0 no."""
    sheltered: Codes
    tower_m: Floats
    """(L,) distance to the nearest cooling tower, m."""
    pipe_class: Codes
    """(L,) API 570 class 1, 2 or 3."""
    consequence: Floats
    """(L,) relative cost of a leak, 1 = usual."""


@dataclass(frozen=True, slots=True)
class Points:
    """`P` places on the lines that can be stripped and measured."""

    id: tuple[str, ...]
    line: Indices
    """(P,) row in `Lines`."""
    part: Codes
    on_beam: Codes
    """(P,) rests on a beam, or a shape that traps water: 1 yes, 0 no."""
    interface: Codes
    """(P,) at a soil or water interface: 1 yes, 0 no."""
    complexity: Codes
    condition: Codes
    jacket_damage: Codes
    """(P,) 0 none, 1 some, 2 heavy."""
    height_m: Floats
    wet_fraction: Floats
    """(P,) share of time wet, measured live; NaN where there is no sensor."""


@dataclass(frozen=True, slots=True)
class Inspections:
    """`N` findings, in any order."""

    point: Indices
    """(N,) row in `Points`."""
    at: Times
    method: Codes
    effectiveness: Codes
    stripped: Codes
    """(N,) 1 the insulation was off, 0 not."""
    reading: Floats
    """(N,) thickness, mm; NaN where only an interval of loss is known."""
    loss_low: Floats
    loss_high: Floats
    """(N,) interval of the loss, mm: (0, limit) is "nothing found"; NaN: not an interval."""
    sigma: Floats
    """(N,) standard error of the reading, mm; NaN: that of its method."""


@dataclass(frozen=True, slots=True)
class Weather:
    """The site's year: means that the atmospheric models want; NaN for unknown."""

    temperature_c: float
    humidity_pct: float
    rain_mm_y: float
    so2_mg_m2_d: float
    cl_mg_m2_d: float


LEVELS: Final = (0.05, 0.5, 0.95)
"""Levels of every quantile array below, last axis."""
RANKS: Final = ("low", "medium", "high", "very_high")


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is known of `P` points on the day `at`."""

    at: np.datetime64
    t_req: Floats
    """(P,) mm."""
    physics_rate: Floats
    """(P,) mm/y, API RP 581 (insulated) or ISO 9223/9224 (bare)."""
    a_rt: Floats
    """(P,) API RP 581."""
    damage_factor: Floats
    likelihood: Floats
    """(P, 3) probability of damage: estimate and its interval, ordered low, estimate, high."""
    rank: Codes
    """(P,) `RANKS`."""
    rate: Floats
    """(P, 3) mm/y."""
    depth: Floats
    """(P, 3) metal lost so far, mm."""
    life: Floats
    """(P, 3) years until the required thickness; inf where out of sight."""
    years: Floats
    """(Y,) of the forecast, from `at` on."""
    thickness: Floats
    """(P, Y, 3) mm."""
    p_below: Floats
    """(P, Y) probability of being below the required thickness."""
    p_next: Floats
    """(P,) the same at the next opportunity."""
    risk: Floats
    """(P,) p_next x consequence."""
    long_term: Floats
    short_term: Floats
    """(P,) API 570 rates, mm/y; NaN without two readings."""
    half_life_y: Floats
    """(P,) API 570 interval: years until the next inspection."""
    interval_y: Floats
    """(P,) the same by the probabilistic rule."""
    last: Floats
    """(P,) newest accepted reading, mm; NaN without one."""
    last_at: Times
    reasons: NDArray[np.uint32]
    """(P,) bits of `models.corrosion.reasons.REASONS`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which places to strip with a budget, best first."""

    points: Indices
    """(B,) rows in `Points`."""
    value: Floats
    """(B,) expected avoided loss and what is learned, relative."""
    reasons: NDArray[np.uint32]
    """(B,) why, bits of `models.corrosion.reasons.REASONS`."""
    damage_found: float
    """Expected damaged places among them."""
    damage_total: float
    """Expected damaged places in all."""
    risk_share: float
    """Share of all risk that they hold."""
