"""API RP 581 external corrosion and corrosion under insulation of ferritic steel: rates, factors, age, damage factor.

Rates in mm/y, temperatures of the metal in °C, thickness in mm, stress in MPa, age in years. Drivers, insulation,
coating and the rest are indices into the tuples of `models.corrosion.tables` (drivers may also be given by name); -1
is unknown. All arguments broadcast over points.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.corrosion.coefficients import number, row
from models.corrosion.reasons import Bits, flags
from models.corrosion.tables import COATING, COMPLEXITY, CONDITION, DRIVER, INSULATION, Codes, Floats

Kind = Literal["cui", "external"]


def base_rate(
    kind: Kind,
    t_c: ArrayLike,
    driver: ArrayLike,
    t_min_c: ArrayLike = np.nan,
    t_max_c: ArrayLike = np.nan,
) -> Floats:
    """Base rate CrB: the table interpolated in the metal temperature, zero outside its end rows.

    Args:
        kind: `cui` under insulation, `external` bare.
        t_c: metal temperature.
        driver: index into `DRIVER`, or its name; unknown (-1) is NaN.
        t_min_c: with `t_max_c` the ends of a temperature cycle: the greatest rate between them is taken (their own and
            that of the table's rows between them). NaN: `t_c`.
        t_max_c: see `t_min_c`.
    """
    nodes, table = row(f"api581.{kind}.t"), row(f"api581.{kind}.rate")
    t = np.asarray(t_c, dtype=np.float64)
    low, high = np.asarray(t_min_c, dtype=np.float64), np.asarray(t_max_c, dtype=np.float64)
    column = _index(driver, DRIVER)
    t, low, high, column = np.broadcast_arrays(t, low, high, column)
    low, high = np.fmin(np.fmin(low, high), t), np.fmax(np.fmax(low, high), t)
    known = np.maximum(column, 0)
    best = np.maximum(_interpolate(nodes, table, low, known), _interpolate(nodes, table, high, known))
    best = np.fmax(best, _interpolate(nodes, table, t, known))
    for at, node in enumerate(nodes):
        best = np.where((low < node) & (node < high), np.maximum(best, table[known, at]), best)
    return np.asarray(np.where(column >= 0, best, np.nan))


def cui_rate(t_c: ArrayLike, driver: ArrayLike, t_min_c: ArrayLike = np.nan, t_max_c: ArrayLike = np.nan) -> Floats:
    """Base rate under insulation; see `base_rate`."""
    return base_rate("cui", t_c, driver, t_min_c, t_max_c)


def external_rate(
    t_c: ArrayLike, driver: ArrayLike, t_min_c: ArrayLike = np.nan, t_max_c: ArrayLike = np.nan
) -> Floats:
    """Base rate of bare pipe; see `base_rate`."""
    return base_rate("external", t_c, driver, t_min_c, t_max_c)


def rate_reasons(kind: Kind, t_c: ArrayLike, driver: ArrayLike = 0) -> Bits:
    """`outside_table` for a temperature beyond the end rows, `invalid_input` for an unknown temperature or driver."""
    nodes = row(f"api581.{kind}.t")
    t = np.asarray(t_c, dtype=np.float64)
    return flags(
        outside_table=(t < nodes[0]) | (t > nodes[-1]),
        invalid_input=np.isnan(t) | (_index(driver, DRIVER) < 0),
    )


def _interpolate(nodes: Floats, table: Floats, t: Floats, column: NDArray[np.int64]) -> Floats:
    """Linear in the temperature; the end rows are 0, so beyond them so is the result."""
    at = np.clip(np.searchsorted(nodes, t, side="right") - 1, 0, len(nodes) - 2)
    share = np.clip((t - nodes[at]) / (nodes[at + 1] - nodes[at]), 0.0, 1.0)
    return np.asarray(table[column, at] * (1 - share) + table[column, at + 1] * share)


def _index(codes: ArrayLike, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Codes as they are, names looked up. Raises `ValueError` for an unknown name."""
    given = np.asarray(codes)
    if given.dtype.kind not in "US":
        return np.asarray(given, dtype=np.int64)
    unknown = sorted({str(name) for name in given.ravel()} - set(names))
    if unknown:
        raise ValueError(f"unknown {', '.join(unknown)}; want one of {', '.join(names)}")
    return np.asarray(np.vectorize(names.index, otypes=[np.int64])(given))


def driver(
    wet_fraction: ArrayLike = np.nan,
    rain_mm_y: ArrayLike = np.nan,
    cl_mg_m2_d: ArrayLike = np.nan,
    tower_downwind: ArrayLike = False,
    deluge: ArrayLike = False,
    aggressive: ArrayLike = False,
    indoors: ArrayLike = False,
) -> Codes:
    """Index into `DRIVER` from what is known of the surroundings: the most severe of all that is known.

    A value between two bands takes the nearer one, on the bound of two the more severe one; -1 where nothing is known.

    Args:
        wet_fraction: share of time wet, 0 to 1.
        rain_mm_y: rain of a year.
        cl_mg_m2_d: chloride deposition.
        tower_downwind: downwind of a cooling tower: at least moderate.
        deluge: deluge tests: severe.
        aggressive: very aggressive industrial air: severe.
        indoors: indoors above the dew point: dry unless something else says more (rain is not looked at).
    """
    wet, rain, cl = (np.asarray(x, dtype=np.float64) for x in (wet_fraction, rain_mm_y, cl_mg_m2_d))
    inside = np.asarray(indoors, dtype=np.bool_)
    _, moderate_wet, severe_wet = row("api581.driver.wet")
    dry_to, mild_from, moderate_rain, severe_rain = row("api581.driver.rain")
    by_wet = np.where(wet >= 0, np.digitize(wet, [moderate_wet, severe_wet]) + 1, -1)
    by_rain = np.digitize(rain, [(dry_to + mild_from) / 2, moderate_rain, severe_rain])
    by_rain = np.where((rain >= 0) & ~inside, by_rain, -1)
    by_cl = np.where(cl >= 0, np.digitize(cl, row("api581.driver.cl")), -1)
    worst = np.maximum(np.maximum(by_wet, by_rain), by_cl)
    worst = np.maximum(worst, np.where(inside, 0, -1))
    worst = np.maximum(worst, np.where(np.asarray(tower_downwind, dtype=np.bool_), 2, -1))
    harsh = np.asarray(deluge, dtype=np.bool_) | np.asarray(aggressive, dtype=np.bool_)
    return np.asarray(np.maximum(worst, np.where(harsh, 3, -1)), dtype=np.int8)


def insulation_factor(insulation: ArrayLike) -> Floats:
    """F_INS; unknown (-1) takes the highest. Index into `INSULATION` or its name."""
    return _factor("api581.insulation", _index(insulation, INSULATION), unknown=INSULATION.index("other"))


def complexity_factor(complexity: ArrayLike, above_average: float | None = None) -> Floats:
    """F_CM; unknown (-1) is average. `above_average` replaces the 1.25 of the newer editions (older codes use 1.75)."""
    code = _index(complexity, COMPLEXITY)
    factor = _factor("api581.complexity", code, unknown=1)
    return factor if above_average is None else np.asarray(np.where(code == 2, above_average, factor))


def condition_factor(condition: ArrayLike) -> Floats:
    """F_IC of the insulation's condition; unknown (-1) is average."""
    return _factor("api581.condition", _index(condition, CONDITION), unknown=1)


def equipment_factor(on_beam: ArrayLike, interface: ArrayLike = 0) -> Floats:
    """max(F_EQ, F_IF): 2 for a water-trapping design or pipe on beams, 2 at a soil or water interface, else 1."""
    trapped = np.where(np.asarray(on_beam) > 0, number("api581.equipment"), 1.0)
    return np.asarray(np.maximum(trapped, np.where(np.asarray(interface) > 0, number("api581.interface"), 1.0)))


def _factor(name: str, code: NDArray[np.int64], unknown: int) -> Floats:
    return np.asarray(row(name)[np.where(code < 0, unknown, code)])


def cui_final_rate(
    base: ArrayLike,
    insulation: ArrayLike = -1,
    complexity: ArrayLike = -1,
    condition: ArrayLike = -1,
    on_beam: ArrayLike = 0,
    interface: ArrayLike = 0,
    above_average: float | None = None,
) -> Floats:
    """Final rate under insulation: CrB F_INS F_CM F_IC max(F_EQ, F_IF)."""
    lagging = insulation_factor(insulation) * complexity_factor(complexity, above_average) * condition_factor(condition)
    return np.asarray(np.asarray(base, dtype=np.float64) * lagging * equipment_factor(on_beam, interface))


def external_final_rate(base: ArrayLike, on_beam: ArrayLike = 0, interface: ArrayLike = 0) -> Floats:
    """Final rate of bare pipe: CrB max(F_EQ, F_IF)."""
    return np.asarray(np.asarray(base, dtype=np.float64) * equipment_factor(on_beam, interface))


def coating_age(coating: ArrayLike) -> Floats:
    """C_age, years that a coating is expected to hold: 0 none or primer, 5 single coat, 15 multi coat; unknown 0."""
    return _factor("api581.coating_age", _index(coating, COATING), unknown=0)


def coating_adjustment(age_tk: ArrayLike, age_coat: ArrayLike, c_age: ArrayLike) -> Floats:
    """Years for which the coating held since the last thickness reading; see `effective_age`."""
    tk, coat, c = (np.asarray(x, dtype=np.float64) for x in (age_tk, age_coat, c_age))
    held = np.minimum(c, coat)
    adjustment = np.where(tk >= coat, held, held - np.minimum(c, coat - tk))
    adjustment = np.where(np.isnan(coat) | (c == 0), 0.0, adjustment)
    return np.asarray(np.where((tk >= 0) & ~(coat < 0) & (c >= 0), adjustment, np.nan))


def effective_age(age_tk: ArrayLike, age_coat: ArrayLike = np.nan, c_age: ArrayLike = 0.0) -> Floats:
    """Years of corrosion of the bare metal since the last thickness reading.

    Args:
        age_tk: years since the last reading, or since installation; negative is NaN (`age_reasons`: clock_back).
        age_coat: years since coating; NaN, an unknown date, gives no credit; negative is NaN.
        c_age: years that the coating is expected to hold.
    """
    age = np.asarray(age_tk, dtype=np.float64) - coating_adjustment(age_tk, age_coat, c_age)
    return np.asarray(np.maximum(age, 0.0))  # rounding alone would leave a hair below 0


def age_reasons(age_tk: ArrayLike, age_coat: ArrayLike = np.nan) -> Bits:
    """`clock_back` for a negative age, `invalid_input` for an unknown one."""
    tk, coat = np.asarray(age_tk, dtype=np.float64), np.asarray(age_coat, dtype=np.float64)
    return flags(clock_back=(tk < 0) | (coat < 0), invalid_input=np.isnan(tk))


def a_rt(rate_mm_y: ArrayLike, age_y: ArrayLike, t_rdi_mm: ArrayLike) -> Floats:
    """A_rt = Cr age / t_rdi, the share of the wall lost; may exceed 1."""
    rate, age, t = (np.asarray(x, dtype=np.float64) for x in (rate_mm_y, age_y, t_rdi_mm))
    return np.asarray(rate * np.where(age >= 0, age, np.nan) / np.where(t > 0, t, np.nan))


def flow_stress(yield_mpa: ArrayLike, tensile_mpa: ArrayLike, weld: ArrayLike = 1.0) -> Floats:
    """FS = 1.1 E (YS + TS) / 2, MPa."""
    ys, ts, e = (np.asarray(x, dtype=np.float64) for x in (yield_mpa, tensile_mpa, weld))
    return np.asarray(number("api581.flow") * e * (ys + ts) / 2)


def strength_ratio(
    stress_mpa: ArrayLike,
    weld: ArrayLike,
    flow_stress_mpa: ArrayLike,
    t_min_mm: ArrayLike,
    t_rdi_mm: ArrayLike,
    t_c_mm: ArrayLike = 0.0,
) -> Floats:
    """SRp = (S E / FS) max(t_min, t_c) / t_rdi; an unknown t_c counts as 0."""
    s, e, fs, t, structural = (
        np.asarray(x, dtype=np.float64) for x in (stress_mpa, weld, flow_stress_mpa, t_rdi_mm, t_c_mm)
    )
    thinnest = np.maximum(np.asarray(t_min_mm, dtype=np.float64), np.where(np.isnan(structural), 0.0, structural))
    return np.asarray(s * e / fs * thinnest / np.where(t > 0, t, np.nan))


def strength_ratio_pressure(
    pressure_mpa: ArrayLike,
    diameter_mm: ArrayLike,
    flow_stress_mpa: ArrayLike,
    t_rdi_mm: ArrayLike,
    shape: Literal["cylinder", "sphere", "head"] = "cylinder",
) -> Floats:
    """SRp = P D / (alpha FS t_rdi)."""
    p, d, fs, t = (np.asarray(x, dtype=np.float64) for x in (pressure_mpa, diameter_mm, flow_stress_mpa, t_rdi_mm))
    alpha = row("api581.head")[("cylinder", "sphere", "head").index(shape)]
    return np.asarray(p * d / (alpha * fs * np.where(t > 0, t, np.nan)))


class Damage(NamedTuple):
    """Damage factor and what it is made of; the three damage states (rate x1, x2, x4) on the last axis."""

    factor: Floats
    posterior: Floats
    """(..., 3) Po."""
    beta: Floats
    """(..., 3) reliability index."""


def damage(
    a_rt: ArrayLike,
    sr_p: ArrayLike,
    confidence: Literal["low", "medium", "high"] = "low",
    a: ArrayLike = 0,
    b: ArrayLike = 0,
    c: ArrayLike = 0,
    d: ArrayLike = 0,
) -> Damage:
    """Damage factor of thinning.

    Args:
        a_rt: share of the wall lost.
        sr_p: strength ratio.
        confidence: in the rate, before any inspection.
        a: number of inspections of effectiveness A; likewise `b`, `c`, `d` (E tells nothing).
        b: see `a`.
        c: see `a`.
        d: see `a`.
    """
    from scipy.special import ndtr  # 12 MB that live points need not hold

    prior = row("api581.prior")[("low", "medium", "high").index(confidence)]
    likelihood = np.log(row("api581.likelihood"))
    share, strength = np.asarray(a_rt, dtype=np.float64), np.asarray(sr_p, dtype=np.float64)
    weight = np.log(prior)
    for level, count in enumerate((d, c, b, a), start=1):
        weight = weight + np.asarray(count, dtype=np.float64)[..., None] * likelihood[level]
    weight = np.exp(weight - np.max(weight, axis=-1, keepdims=True))
    posterior = weight / np.sum(weight, axis=-1, keepdims=True)
    thinning, flow, pressure = row("api581.cov")
    lost, strength = row("api581.states") * share[..., None], strength[..., None]
    spread = np.sqrt(lost**2 * thinning**2 + (1 - lost) ** 2 * flow**2 + strength**2 * pressure**2)
    beta = (1 - lost - strength) / spread
    factor = np.sum(posterior * ndtr(-beta), axis=-1) / number("api581.base")
    shape = np.broadcast_shapes(beta.shape, posterior.shape)
    return Damage(
        np.asarray(factor), np.array(np.broadcast_to(posterior, shape)), np.array(np.broadcast_to(beta, shape))
    )


def damage_factor(
    a_rt: ArrayLike,
    sr_p: ArrayLike,
    confidence: Literal["low", "medium", "high"] = "low",
    a: ArrayLike = 0,
    b: ArrayLike = 0,
    c: ArrayLike = 0,
    d: ArrayLike = 0,
) -> Floats:
    """The factor alone; see `damage`."""
    return damage(a_rt, sr_p, confidence, a, b, c, d).factor


def failure_frequency(damage_factor: ArrayLike, management: float = 1.0) -> Floats:
    """Probability of failure a year: gff F_MS DF, gff of pipe."""
    return np.asarray(number("api581.gff") * management * np.asarray(damage_factor, dtype=np.float64))
