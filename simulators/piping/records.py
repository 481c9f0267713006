"""What a simulated plant hands out: the owner's records, the truth behind them, and where the pipes lie.

The records have the fields, codes and units of the tables an assessment works on; a test holds the two together.
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
PART: Final = ("straight", "elbow", "tee", "support", "nozzle", "dead_leg", "low_point", "flange", "penetration")
METHOD: Final = ("ut", "rt", "pit_gauge", "visual", "dr", "pec", "guided_wave")


@dataclass(frozen=True, slots=True)
class Lines:
    """`L` lines as the register has them; fields as in the tables of an assessment."""

    id: tuple[str, ...]
    plant: tuple[str, ...]
    service: tuple[str, ...]
    nps: Floats
    diameter: Floats
    t_nom: Floats
    t_req: Floats
    material: Codes
    t_op: Floats
    t_min: Floats
    t_max: Floats
    pressure: Floats
    stress: Floats
    weld: Floats
    yield_strength: Floats
    tensile_strength: Floats
    insulation: Codes
    coating: Codes
    installed: Times
    coated_on: Times
    driver: Codes
    heat_traced: Codes
    sheltered: Codes
    tower_m: Floats
    pipe_class: Codes
    consequence: Floats


@dataclass(frozen=True, slots=True)
class Points:
    """`P` points as the register has them."""

    id: tuple[str, ...]
    line: Indices
    part: Codes
    on_beam: Codes
    interface: Codes
    complexity: Codes
    condition: Codes
    jacket_damage: Codes
    height_m: Floats
    wet_fraction: Floats


@dataclass(frozen=True, slots=True)
class Inspections:
    """`N` findings, oldest first."""

    point: Indices
    at: Times
    method: Codes
    effectiveness: Codes
    stripped: Codes
    reading: Floats
    loss_low: Floats
    loss_high: Floats
    sigma: Floats


@dataclass(frozen=True, slots=True)
class Weather:
    """The site's year."""

    temperature_c: float
    humidity_pct: float
    rain_mm_y: float
    so2_mg_m2_d: float
    cl_mg_m2_d: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the pipes lie, for a map."""

    lines: tuple[Floats, ...]
    """One (n, 3) polyline a line: x east, y north, z up, m."""
    points: Floats
    """(P, 3) m, on the polylines."""


@dataclass(frozen=True, slots=True)
class Plant:
    """All that the owner knows on the day `at`."""

    seed: int
    at: np.datetime64
    lines: Lines
    points: Points
    inspections: Inspections
    weather: Weather
    layout: Layout


@dataclass(frozen=True, slots=True)
class Truth:
    """What nobody in the plant knows: for tests, benchmarks and trainers only."""

    insulation: Codes
    """(L,) what is really there."""
    t_local: Floats
    """(P,) metal temperature at the point, °C."""
    wet_fraction: Floats
    """(P,) share of time with water on the steel."""
    coating_life_y: Floats
    """(P,) from the day of coating."""
    rate: Floats
    """(P,) mean mm/y while corroding."""
    wall: Floats
    """(P,) mm when new."""
    years: Floats
    """(Y,) after `at`, from 0 on, a year apart."""
    depth: Floats
    """(P, Y) metal lost, mm; the first column is today's."""
    damaged: Flags
    """(P,) lost at least 1 mm and a fifth of the nominal wall."""
    inspected: Flags
    """(P,) with any finding since it was built."""
    blunder: Flags
    """(N,) of the inspections: a slip of the hand."""
