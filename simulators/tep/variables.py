"""What is measured and moved, the control loops, the disturbances and the trips: names, units, ranges and limits."""

from dataclasses import dataclass
from math import floor, log10
from typing import Final

from simulators.tep.constants import (
    FT3_PER_M3,
    MEASURED_BASE,
    NOISE,
    START_VALVES,
    TRIP_PRESSURE,
    TRIP_REACTOR_M3,
    TRIP_SEPARATOR_M3,
    TRIP_STRIPPER_M3,
    TRIP_TEMPERATURE,
)


@dataclass(frozen=True, slots=True)
class Variable:
    """One measurement (`xmeas_1` .. `xmeas_41`) or manipulated variable (`xmv_1` .. `xmv_12`)."""

    tag: str
    name: str
    unit: str
    base: float
    """Noise-free value at the base case, in `unit`."""
    noise: float
    """Standard deviation of the measurement noise, in `unit`; 0 for manipulated variables."""
    decimals: int
    """Digits after the point that show five significant digits of the base value."""
    lo: float
    """Lower end of the measuring range, in `unit`; the plant itself never leaves the range before a trip."""
    hi: float
    """Upper end of the measuring range, in `unit`."""
    lo_alarm: float | None = None
    hi_alarm: float | None = None
    """Ends of the paper's normal operating range, in `unit`; beyond them an alarm."""
    lo_trip: float | None = None
    hi_trip: float | None = None
    """Beyond them the plant trips; the paper's volumes are converted to the level's %."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A PI controller in velocity form, Russell, Chiang & Braatz (2000); gain on errors in % of span."""

    number: int
    name: str
    pv: str
    """Tag of its process variable."""
    output: str
    """Tag of the valve it moves, or empty for a master."""
    slave: int
    """Number of the loop whose set point it moves, or 0."""
    setpoint: float
    """Set point at the start, in the unit of `pv`."""
    gain: float
    integral_s: float
    """Integral time in seconds; 0 for a proportional loop."""
    span: float
    """Span of the process variable, in its unit."""
    output_span: float
    """Span of the slave's process variable; 100 for a valve."""
    period_s: int
    lo: float
    hi: float
    """Set points that make sense, in the unit of `pv`."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """`idv` 1..20 of Downs & Vogel, 21 of the benchmark files; `extra` 21..28 of Bathelt, Ricker & Jelali (2015)."""

    idv: int
    name: str
    type: str
    """One of step, random, drift, sticking, ramps, constant position."""


_MEASURED: Final = (
    ("A feed (stream 1)", "kscmh", -0.01, 1.2),
    ("D feed (stream 2)", "kg/h", -150.0, 7000.0),
    ("E feed (stream 3)", "kg/h", -200.0, 10000.0),
    ("A and C feed (stream 4)", "kscmh", -0.5, 18.0),
    ("Recycle flow (stream 8)", "kscmh", -2.0, 60.0),
    ("Reactor feed rate (stream 6)", "kscmh", -2.0, 90.0),
    ("Reactor pressure", "kPa gauge", 0.0, 3500.0),
    ("Reactor level", "%", -10.0, 125.0),
    ("Reactor temperature", "degC", 0.0, 200.0),
    ("Purge rate (stream 9)", "kscmh", -0.02, 1.2),
    ("Separator temperature", "degC", 0.0, 200.0),
    ("Separator level", "%", -10.0, 150.0),
    ("Separator pressure", "kPa gauge", 0.0, 3500.0),
    ("Separator underflow (stream 10)", "m3/h", -1.0, 75.0),
    ("Stripper level", "%", -50.0, 150.0),
    ("Stripper pressure", "kPa gauge", 0.0, 4500.0),
    ("Stripper underflow (stream 11)", "m3/h", -1.0, 60.0),
    ("Stripper temperature", "degC", 0.0, 200.0),
    ("Stripper steam flow", "kg/h", -10.0, 900.0),
    ("Compressor work", "kW", -50.0, 1000.0),
    ("Reactor cooling-water outlet temperature", "degC", 0.0, 200.0),
    ("Condenser cooling-water outlet temperature", "degC", 0.0, 200.0),
)
_ANALYSED: Final = (
    *((f"Reactor feed analysis, component {c} (stream 6)", c) for c in "ABCDEF"),
    *((f"Purge gas analysis, component {c} (stream 9)", c) for c in "ABCDEFGH"),
    *((f"Product analysis, component {c} (stream 11)", c) for c in "DEFGH"),
)
_VALVES: Final = (
    "D feed flow valve (stream 2)",
    "E feed flow valve (stream 3)",
    "A feed flow valve (stream 1)",
    "A and C feed flow valve (stream 4)",
    "Compressor recycle valve",
    "Purge valve (stream 9)",
    "Separator liquid flow valve (stream 10)",
    "Stripper product flow valve (stream 11)",
    "Stripper steam valve",
    "Reactor cooling-water flow valve",
    "Condenser cooling-water flow valve",
    "Agitator speed",
)


def _levels(trip_m3: tuple[float, float], zero_ft3: float, span_ft3: float) -> tuple[float, float]:
    lo, hi = ((volume * FT3_PER_M3 - zero_ft3) / span_ft3 * 100 for volume in trip_m3)
    return round(lo, 3), round(hi, 3)


_LIMITS: Final = {
    7: (None, 2895.0, None, TRIP_PRESSURE),
    8: (50.0, 100.0, *_levels(TRIP_REACTOR_M3, 84.6, 666.7)),
    9: (None, 150.0, None, TRIP_TEMPERATURE),
    12: (30.0, 100.0, *_levels(TRIP_SEPARATOR_M3, 27.5, 290.0)),
    15: (30.0, 100.0, *_levels(TRIP_STRIPPER_M3, 78.25, 156.5)),
}


def _variables() -> tuple[Variable, ...]:
    rows = list(_MEASURED)
    rows += [(name, "mol%", -10 * NOISE[22 + k], 100.0 + 10 * NOISE[22 + k]) for k, (name, _) in enumerate(_ANALYSED)]
    found = []
    for k, (name, unit, lo, hi) in enumerate(rows):
        base = MEASURED_BASE[k]
        decimals = max(0, 4 - floor(log10(base)))
        limits = _LIMITS.get(k + 1, (None, None, None, None))
        found.append(Variable(f"xmeas_{k + 1}", name, unit, base, NOISE[k], decimals, lo, hi, *limits))
    for k, name in enumerate(_VALVES):
        found.append(Variable(f"xmv_{k + 1}", name, "%", START_VALVES[k], 0.0, 3, 0.0, 100.0))
    return tuple(found)


VARIABLES: Final = _variables()
"""All 53: XMEAS 1..41, then XMV 1..12."""
COLUMNS: Final = tuple(v.tag for v in VARIABLES[:52])
"""Tags of the 52 columns of a record, in the order of the benchmark files: XMEAS 1..41, XMV 1..11."""

LOOPS: Final = (
    Loop(1, "D feed flow", "xmeas_2", "xmv_1", 0, 3664.0, 1.0, 0, 5811, 100, 3, 0.0, 5811.0),
    Loop(2, "E feed flow", "xmeas_3", "xmv_2", 0, 4509.3, 1.0, 0, 8354, 100, 3, 0.0, 8354.0),
    Loop(3, "A feed flow", "xmeas_1", "xmv_3", 0, 0.25052, 1.0, 0, 1.017, 100, 3, 0.0, 1.017),
    Loop(4, "A and C feed flow", "xmeas_4", "xmv_4", 0, 9.3477, 1.0, 0, 15.25, 100, 3, 0.0, 15.25),
    Loop(5, "Recycle flow", "xmeas_5", "xmv_5", 0, 26.902, -0.083, 1, 53, 100, 3, 0.0, 53.0),
    Loop(6, "Purge rate", "xmeas_10", "xmv_6", 0, 0.33712, 1.22, 0, 1, 100, 3, 0.0, 1.0),
    Loop(7, "Separator level", "xmeas_12", "xmv_7", 0, 50.0, -2.06, 0, 70, 100, 3, 0.0, 100.0),
    Loop(8, "Stripper level", "xmeas_15", "xmv_8", 0, 50.0, -1.62, 0, 70, 100, 3, 0.0, 100.0),
    Loop(9, "Stripper steam flow", "xmeas_19", "xmv_9", 0, 230.31, 0.41, 0, 460, 100, 3, 0.0, 460.0),
    Loop(10, "Reactor cooling-water outlet", "xmeas_21", "xmv_10", 0, 94.599, -1.56, 1452, 150, 100, 3, 0.0, 150.0),
    Loop(11, "Stripper underflow", "xmeas_17", "xmv_11", 0, 22.949, 1.09, 2600, 46, 100, 3, 0.0, 46.0),
    Loop(16, "Stripper temperature", "xmeas_18", "", 9, 65.731, 0.169, 236, 130, 460, 3, 0.0, 130.0),
    Loop(17, "Reactor level", "xmeas_8", "", 4, 75.0, 1.11, 3168, 50, 15.25, 3, 50.0, 100.0),
    Loop(18, "Reactor temperature", "xmeas_9", "", 10, 120.40, 28.3, 982, 150, 150, 3, 100.0, 150.0),
    Loop(13, "Reactor feed A", "xmeas_23", "", 3, 32.188, 18.0, 3168, 100, 1.017, 360, 0.0, 100.0),
    Loop(14, "Reactor feed D", "xmeas_26", "", 1, 6.8820, 8.3, 3168, 100, 5811, 360, 0.0, 100.0),
    Loop(15, "Reactor feed E", "xmeas_27", "", 2, 18.776, 2.37, 5069, 100, 8354, 360, 0.0, 100.0),
    Loop(19, "Purge B", "xmeas_30", "", 6, 13.823, -83.2 / 15, 6336, 26, 1, 360, 0.0, 26.0),
    Loop(20, "Product E", "xmeas_38", "", 16, 0.83570, -3.26, 12408, 1.6, 130, 900, 0.0, 1.6),
)
"""The 19 loops in the order they run when due; there is no loop 12. Arrays "per loop" follow this order."""
LOOP_INDEX: Final[dict[int, int]] = {loop.number: k for k, loop in enumerate(LOOPS)}
"""Loop number -> position in `LOOPS` and in arrays per loop."""
CONTROLLED: Final = frozenset({*(loop.pv for loop in LOOPS), "xmeas_13"})
"""Tags of the measurements that a controller acts on: process variables, and the pressure that overrides the purge."""

DISTURBANCES: Final = (
    Disturbance(1, "A/C feed ratio in stream 4, B constant", "step"),
    Disturbance(2, "B composition in stream 4, A/C ratio constant", "step"),
    Disturbance(3, "D feed temperature", "step"),
    Disturbance(4, "Reactor cooling-water inlet temperature", "step"),
    Disturbance(5, "Condenser cooling-water inlet temperature", "step"),
    Disturbance(6, "A feed loss (stream 1)", "step"),
    Disturbance(7, "C header pressure loss, reduced availability (stream 4)", "step"),
    Disturbance(8, "A, B, C feed composition (stream 4)", "random"),
    Disturbance(9, "D feed temperature", "random"),
    Disturbance(10, "C feed temperature (stream 4)", "random"),
    Disturbance(11, "Reactor cooling-water inlet temperature", "random"),
    Disturbance(12, "Condenser cooling-water inlet temperature", "random"),
    Disturbance(13, "Reaction kinetics", "drift"),
    Disturbance(14, "Reactor cooling-water valve", "sticking"),
    Disturbance(15, "Condenser cooling-water valve", "sticking"),
    Disturbance(16, "Stripper steam heat transfer", "random"),
    Disturbance(17, "Reactor heat transfer", "ramps"),
    Disturbance(18, "Condenser heat transfer", "ramps"),
    Disturbance(19, "Recycle, separator, stripper and steam valves", "sticking"),
    Disturbance(20, "Reactor outlet flow restriction", "ramps"),
    Disturbance(21, "A and C feed valve held at 61.302 % (benchmark files only)", "constant position"),
)
"""IDV 1..20 and the benchmark's fault 21, in order."""
EXTRA_DISTURBANCES: Final = (
    Disturbance(21, "A feed temperature", "random"),
    Disturbance(22, "E feed temperature", "random"),
    Disturbance(23, "A feed full-open flow", "random"),
    Disturbance(24, "D feed full-open flow", "random"),
    Disturbance(25, "E feed full-open flow", "random"),
    Disturbance(26, "A and C feed full-open flow", "random"),
    Disturbance(27, "Reactor cooling-water full-open flow", "random"),
    Disturbance(28, "Condenser cooling-water full-open flow", "random"),
)
"""The additional disturbances of Bathelt, Ricker & Jelali, IFAC-PapersOnLine 48-8 (2015) 309-314; not fault 21."""

TRIPS: Final = (
    "",
    "reactor pressure high",
    "reactor level high",
    "reactor level low",
    "reactor temperature high",
    "separator level high",
    "separator level low",
    "stripper level high",
    "stripper level low",
)
"""Names of the trips by code; 0 is no trip."""
TRIP_LIMITS: Final = (
    (1, "xmeas_7", "high"),
    (2, "xmeas_8", "high"),
    (3, "xmeas_8", "low"),
    (4, "xmeas_9", "high"),
    (5, "xmeas_12", "high"),
    (6, "xmeas_12", "low"),
    (7, "xmeas_15", "high"),
    (8, "xmeas_15", "low"),
)
"""Code of a trip, tag of the measurement that shows it, and the side of its limit."""
