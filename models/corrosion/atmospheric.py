"""Atmospheric corrosion of bare metal: ISO 9223 first year, ISO 9224 long term, and the lab's own predictive forms.

Losses in µm, deposition in mg/m²/day, annual means of temperature in °C and humidity in %. All arguments broadcast;
what cannot be is NaN. `first_year` and `loss` answer with quantiles and take NaN for an unknown humidity, SO2 or Cl.
The standard is not meant for the atmosphere inside a chemical plant: there it is a prior, not a result.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from models.corrosion.coefficients import METALS, number, row
from models.corrosion.reasons import Bits, flags
from models.corrosion.tables import Codes, Floats

Metal = Literal["carbon_steel", "zinc", "copper", "aluminium"]

CATEGORIES: Final = ("C1", "C2", "C3", "C4", "C5", "CX")
SO2_CLASSES: Final = ("P0", "P1", "P2", "P3")
"""Rural, urban, industrial, heavily polluted."""
CL_CLASSES: Final = ("S0", "S1", "S2", "S3")


def iso9223(metal: Metal, t_c: ArrayLike, rh_pct: ArrayLike, so2_mg_m2_d: ArrayLike, cl_mg_m2_d: ArrayLike) -> Floats:
    """First-year loss by the dose-response function of ISO 9223:2012, µm; the inputs are taken as they are.

    NaN where an input is missing or cannot be; `iso9223_reasons` says which. Raises `ValueError` for an unknown metal.
    """
    dry, wet = iso9223_terms(metal, t_c, rh_pct, so2_mg_m2_d, cl_mg_m2_d)
    return np.asarray(dry + wet)


def iso9223_terms(
    metal: Metal, t_c: ArrayLike, rh_pct: ArrayLike, so2_mg_m2_d: ArrayLike, cl_mg_m2_d: ArrayLike
) -> tuple[Floats, Floats]:
    """The SO2 and the chloride term of `iso9223`, µm each."""
    _metal(metal)
    t, rh, so2, cl = _climate(t_c, rh_pct, so2_mg_m2_d, cl_mg_m2_d)
    return dose_terms(row(f"iso9223.{metal}"), t, rh, so2, cl)


def dose_terms(form: Floats, t: Floats, rh: Floats, so2: Floats, cl: Floats) -> tuple[Floats, Floats]:
    """The two terms of the ISO form with any nine coefficients (order `ISO_FORM`; last axis)."""
    a, p, b, k1, k2, c, q, d, e = np.moveaxis(form, -1, 0)
    warm = t - 10.0
    sulphur = a * so2**p * np.exp(b * rh + np.where(warm <= 0, k1, k2) * warm)
    salt = c * cl**q * np.exp(d * rh + e * t)
    return np.asarray(sulphur), np.asarray(salt)


def iso9223_reasons(t_c: ArrayLike, rh_pct: ArrayLike, so2_mg_m2_d: ArrayLike, cl_mg_m2_d: ArrayLike) -> Bits:
    """`outside_range`, `climate_missing` and `invalid_input` of the climate that ISO 9223 is given."""
    raw = [np.asarray(x, dtype=np.float64) for x in (t_c, rh_pct, so2_mg_m2_d, cl_mg_m2_d)]
    clean = _climate(*raw)
    missing = np.isnan(raw[1]) | np.isnan(raw[2]) | np.isnan(raw[3])
    wrong = np.isnan(raw[0])
    outside = np.zeros((), dtype=np.bool_)
    for name, value, given in zip(("t", "rh", "so2", "cl"), clean, raw, strict=True):
        low, high = row(f"iso9223.range_{name}")
        outside = outside | (value < low) | (value > high)
        wrong = wrong | (np.isnan(value) & ~np.isnan(given))
    return flags(invalid_input=wrong, climate_missing=missing, outside_range=outside)


def _metal(metal: str) -> int:
    if metal not in METALS:
        raise ValueError(f"unknown metal {metal!r}; want one of {', '.join(METALS)}")
    return METALS.index(metal)


def _climate(t_c: ArrayLike, rh_pct: ArrayLike, so2: ArrayLike, cl: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    """As float arrays, with NaN for what cannot be."""
    t, rh, s, c = (np.asarray(x, dtype=np.float64) for x in (t_c, rh_pct, so2, cl))
    return (
        np.where((t > -273.15) & (t < 1e3), t, np.nan),
        np.where((rh >= 0) & (rh <= 100), rh, np.nan),
        np.where((s >= 0) & (s < np.inf), s, np.nan),
        np.where((c >= 0) & (c < np.inf), c, np.nan),
    )


def _impossible(given: Sequence[Floats], clean: Sequence[Floats]) -> NDArray[np.bool_]:
    """Where a climate holds what cannot be, in any of its values."""
    wrong = [np.isnan(value) & ~np.isnan(raw) for value, raw in zip(clean, given, strict=True)]
    return np.asarray(np.any(wrong, axis=0))


def category_code(first_year_um: ArrayLike, metal: Metal = "carbon_steel") -> Codes:
    """Index into `CATEGORIES` of a first-year loss, -1 for NaN; a bound belongs to the lower category, above CX is CX.

    Raises `ValueError` for a metal without bounds here (aluminium).
    """
    _metal(metal)
    if metal == "aluminium":
        raise ValueError("no category bounds for aluminium here; want carbon_steel, zinc or copper")
    return _class(first_year_um, row(f"category.{metal}"))


def category(first_year_um: ArrayLike, metal: Metal = "carbon_steel") -> NDArray[np.str_]:
    """Corrosivity category by name, `""` for NaN; otherwise as `category_code`."""
    return np.array([*CATEGORIES, ""])[category_code(first_year_um, metal)]


def category_reasons(first_year_um: ArrayLike, metal: Metal = "carbon_steel") -> Bits:
    """`above_top_category` above the bound of CX, `invalid_input` for NaN or a negative loss."""
    rate = np.asarray(first_year_um, dtype=np.float64)
    return flags(above_top_category=rate > row(f"category.{metal}")[-1], invalid_input=~(rate >= 0))


def so2_class(so2_mg_m2_d: ArrayLike) -> Codes:
    """Index into `SO2_CLASSES`, -1 for NaN; above the last bound the last class."""
    return _class(so2_mg_m2_d, row("class.so2"))


def cl_class(cl_mg_m2_d: ArrayLike) -> Codes:
    """Index into `CL_CLASSES`, -1 for NaN; above the last bound the last class."""
    return _class(cl_mg_m2_d, row("class.cl"))


def _class(value: ArrayLike, bounds: Floats) -> Codes:
    x = np.asarray(value, dtype=np.float64)
    code = np.minimum(np.searchsorted(bounds, x, side="left"), len(bounds) - 1)
    return np.asarray(np.where(x >= 0, code, -1), dtype=np.int8)


def iso9224(
    rate: ArrayLike,
    years: ArrayLike,
    metal: Metal = "carbon_steel",
    bound: Literal["mean", "conservative"] = "mean",
    tail: Literal["linear", "power"] = "linear",
) -> Floats:
    """Loss after `years` from the first-year `rate`, µm, by ISO 9224:2012.

    Args:
        rate: first-year loss, µm.
        years: of exposure; negative is NaN.
        metal: one of `METALS`.
        bound: exponent B01 (mean) or B02 (mean + 2 sigma).
        tail: linear from 20 years on, or the pure power law, which is never above it.

    Raises:
        ValueError: an unknown metal, bound or tail.
    """
    if bound not in ("mean", "conservative") or tail not in ("linear", "power"):
        raise ValueError(f"bound {bound!r}, tail {tail!r}; want mean or conservative, linear or power")
    exponent = float(row(f"iso9224.{bound}")[_metal(metal)])
    r, t = np.asarray(rate, dtype=np.float64), np.asarray(years, dtype=np.float64)
    return np.asarray(np.where(r >= 0, r, np.nan) * growth(t, exponent, tail))


def growth(years: ArrayLike, exponent: ArrayLike, tail: Literal["linear", "power"] = "linear") -> Floats:
    """How many first-year losses `years` make: t^b, from 20 years on linear with the slope it has there."""
    t, b = np.asarray(years, dtype=np.float64), np.asarray(exponent, dtype=np.float64)
    t = np.where(t >= 0, t, np.nan)
    if tail == "power":
        return np.asarray(t**b)
    bend = number("iso9224.tail_from")
    start = np.minimum(t, bend)
    return np.asarray(start**b + b * bend ** (b - 1) * (t - start))


def klinesmith(
    years: ArrayLike, tow_h_y: ArrayLike, so2_ug_m3: ArrayLike, cl_mg_m2_d: ArrayLike, t_c: ArrayLike
) -> Floats:
    """Loss of carbon steel after `years`, µm (Klinesmith 2007, flat specimens); SO2 as a concentration in µg/m³."""
    a, b, tow0, d, e, f, g, h, j, t0 = row("klinesmith")
    t, wet, so2, cl, warm = (np.asarray(x, dtype=np.float64) for x in (years, tow_h_y, so2_ug_m3, cl_mg_m2_d, t_c))
    t, wet, so2, cl = (np.where((x >= 0) & (x < np.inf), x, np.nan) for x in (t, wet, so2, cl))
    return np.asarray(a * t**b * (wet / tow0) ** d * (1 + so2 / e) ** f * (1 + cl / g) ** h * np.exp(j * (warm + t0)))


def mass_loss_to_um(mass_loss_g_m2: ArrayLike, metal: Metal = "carbon_steel") -> Floats:
    """Penetration in µm of a mass loss in g/m²."""
    return np.asarray(np.asarray(mass_loss_g_m2, dtype=np.float64) / row("density")[_metal(metal)])


def mdd_to_um_y(rate_mg_dm2_day: ArrayLike, metal: Metal = "carbon_steel") -> Floats:
    """µm/y of a mass loss in mg/dm²/day."""
    return mass_loss_to_um(np.asarray(rate_mg_dm2_day, dtype=np.float64) * number("mdd"), metal)


def mpy_to_mm_y(rate_mpy: ArrayLike) -> Floats:
    """mm/y of thousandths of an inch a year."""
    return np.asarray(np.asarray(rate_mpy, dtype=np.float64) * number("mpy"))


def so2_deposition(so2_ug_m3: ArrayLike) -> Floats:
    """SO2 deposition in mg/m²/d of a concentration in µg/m³."""
    return np.asarray(np.asarray(so2_ug_m3, dtype=np.float64) * number("so2_deposition"))


def cl_from_nacl(nacl_mg_m2_d: ArrayLike) -> Floats:
    """Chloride deposition of a NaCl deposition, same unit."""
    return np.asarray(np.asarray(nacl_mg_m2_d, dtype=np.float64) * number("cl_per_nacl"))


class FirstYear(NamedTuple):
    """A first-year form with its width: ln loss is Student t round the median."""

    form: Floats
    """(9,) order of `ISO_FORM`."""
    cl_hidden: float
    """mg/m²/d behind the stand-in for "below detection"; lower readings are kept, up to this."""
    cl_missing: float
    rh_missing: float
    scale: float
    """Multiplier of the width."""


def fitted_first_year() -> FirstYear:
    """The fitted form that ships (`coefficients.py`; the public programmes' tables, no others)."""
    cl_hidden, cl_missing, rh_missing = row("first_year.found")
    scale = number("first_year.scale")
    return FirstYear(row("first_year.form"), float(cl_hidden), float(cl_missing), float(rh_missing), scale)


def refitted_iso() -> FirstYear:
    """ISO 9223 as published with the bias and width found here: the fallback, for `first_year(model=…)`."""
    form = row("iso9223.carbon_steel")
    form[[0, 5]] *= np.exp(number("first_year.iso_bias"))
    _, cl, rh = row("first_year.hidden")
    wide = ndtri(0.95) * number("first_year.iso_sigma") / stdtrit(number("first_year.tail"), 0.95)
    stand_in = number("first_year.cl_stand_in")
    return FirstYear(form, stand_in, float(np.exp(cl)), float(rh), float(wide / number("first_year.sigma")))


def first_year(
    t_c: ArrayLike,
    rh_pct: ArrayLike,
    so2_mg_m2_d: ArrayLike,
    cl_mg_m2_d: ArrayLike,
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95),
    model: FirstYear | None = None,
) -> Floats:
    """Predictive distribution of the first-year loss of carbon steel.

    The ISO 9223 form with coefficients estimated again (`models.corrosion.fitting`), inputs clamped to the standard's
    valid range, with a width that was set on sites left out. Never falls with more chloride.

    Args:
        t_c: annual mean temperature, °C.
        rh_pct: annual mean humidity, %; NaN: unknown.
        so2_mg_m2_d: deposition; NaN: unknown.
        cl_mg_m2_d: deposition; NaN: unknown, taken as inland. Never leave it out near the sea.
        quantiles: levels between 0 and 1.
        model: another fit than the one that ships.

    Returns:
        (n, k) µm, one column a level. An unknown humidity, SO2 or Cl makes it wider; an unknown temperature and what
        cannot be is NaN (`iso9223_reasons`).
    """
    model = fitted_first_year() if model is None else model
    given = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, float)) for x in (t_c, rh_pct, so2_mg_m2_d, cl_mg_m2_d)))
    clean = _climate(*given)
    wrong = np.isnan(clean[0]) | _impossible(given, clean)
    median, spread = first_year_log(clean, model)
    levels = stdtrit(number("first_year.tail"), np.asarray(quantiles, dtype=np.float64))
    answer = np.exp(median[..., None] + model.scale * spread[..., None] * levels)
    return np.asarray(np.where(wrong[..., None], np.nan, answer))


def first_year_log(climate: tuple[Floats, Floats, Floats, Floats], model: FirstYear) -> tuple[Floats, Floats]:
    """ln of the median loss, and the width in ln before the multiplier, of (t, rh, so2, cl) with NaN for unknown."""
    t, rh, so2, cl = climate
    stand_in = number("first_year.cl_stand_in")
    so2_typical = number("first_year.so2_missing")
    rh_sd, so2_sd, cl_sd = row("first_year.missing_sd")
    low = np.minimum(model.cl_hidden, stand_in)
    known_cl = np.where(cl <= stand_in, np.minimum(cl, low), cl)  # left-censored, and never falling in chloride
    filled = [
        t,
        np.where(np.isnan(rh), model.rh_missing, rh),
        np.where(np.isnan(so2), so2_typical, so2),
        np.where(np.isnan(cl), model.cl_missing, known_cl),
    ]

    def ln_loss(rh: Floats, so2: Floats, cl: Floats) -> Floats:
        kept = (
            np.clip(x, *row(f"iso9223.range_{n}"))
            for n, x in zip(("t", "rh", "so2", "cl"), (t, rh, so2, cl), strict=True)
        )
        return np.asarray(np.log(np.add(*dose_terms(model.form, *kept))))

    _, rh0, so20, cl0 = filled
    swing = np.exp(so2_sd)
    variance = np.full(np.shape(t), number("first_year.sigma") ** 2)
    for unknown, up, down in (
        (np.isnan(rh), (rh0 + rh_sd, so20, cl0), (rh0 - rh_sd, so20, cl0)),
        (np.isnan(so2), (rh0, so20 * swing, cl0), (rh0, so20 / swing, cl0)),
        (np.isnan(cl), (rh0, so20, cl0 * np.exp(cl_sd)), (rh0, so20, cl0 / np.exp(cl_sd))),
    ):
        half = (ln_loss(*up) - ln_loss(*down)) / 2
        variance = variance + np.where(unknown, half**2, 0.0)
    return ln_loss(rh0, so20, cl0), np.sqrt(variance)


def loss(
    first_year_um: ArrayLike,
    years: ArrayLike,
    t_c: ArrayLike,
    rh_pct: ArrayLike,
    so2_mg_m2_d: ArrayLike,
    cl_mg_m2_d: ArrayLike,
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95),
) -> Floats:
    """Predictive distribution of the loss of carbon steel after `years`, from its measured first-year loss.

    The measured first year, and from there on a power law, linear from 20 years on. Its level is the measured loss
    drawn a little towards `first_year` of the climate, because one year is not every year; its exponent rises with
    chloride where it is humid and falls a little with SO2. The exponents come from the literature, none from the
    stations it is tested on.

    Args:
        first_year_um: measured loss of the first year, µm.
        years: of exposure, 0 and more.
        t_c: annual mean temperature, °C; NaN: the level is the measured loss alone.
        rh_pct: annual mean humidity, %; NaN: unknown.
        so2_mg_m2_d: deposition; NaN: unknown.
        cl_mg_m2_d: deposition; NaN: unknown, taken as inland. Never leave it out near the sea.
        quantiles: levels between 0 and 1.

    Returns:
        (n, k) µm, one column a level. An unknown humidity, SO2 or Cl makes it wider. NaN for a negative or unknown
        first-year loss or time, and for what cannot be.
    """
    first, t, *given = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(x, float)) for x in (first_year_um, years, t_c, rh_pct, so2_mg_m2_d, cl_mg_m2_d))
    )
    climate = _climate(*given)
    usable = (first >= 0) & (t >= 0) & np.isfinite(t) & np.isfinite(first) & ~_impossible(given, climate)
    none = usable & ((first == 0) | (t == 0))
    first, t = np.where(usable & ~none, first, 1.0), np.where(usable & ~none, t, 1.0)
    exponent, exponent_sd = loss_exponent(*climate[1:])
    exponent = np.where(t < 1, row("loss.exponent")[0], exponent)
    level = np.exp(_level(np.log(first), climate))
    rounding = (number("loss.rounding") / first) ** 2
    # through the measured first year: what comes after it grows with the level
    size = growth(t, exponent)
    centre = np.where(t < 1, first * size, first + level * np.maximum(size - 1, 0.0))
    bend = number("iso9224.tail_from")
    beyond = np.maximum(t - bend, 0.0) / bend
    lever = np.log(np.minimum(t, bend)) + beyond / (1 + exponent * beyond)  # d ln growth / d exponent
    lever = lever * np.where(t < 1, 1.0, level * size / centre)
    variance = (exponent_sd * lever) ** 2 + number("loss.noise") ** 2 + rounding
    levels = ndtri(np.asarray(quantiles, dtype=np.float64))
    answer = np.exp(np.log(centre)[..., None] + np.sqrt(variance)[..., None] * levels)
    answer = np.where(none[..., None], 0.0, answer)
    return np.asarray(np.where(usable[..., None], answer, np.nan))


def _level(ln_first: Floats, climate: tuple[Floats, Floats, Floats, Floats]) -> Floats:
    """ln of a typical year's loss: the measured one, off by what years differ, weighed against that of the climate."""
    model = fitted_first_year()
    expected, _ = first_year_log(climate, model)
    # the width of one chloride for all: else more of it could move the weight, and so lower the loss
    t, rh, so2, cl = climate
    _, spread = first_year_log((t, rh, so2, np.where(np.isnan(cl), np.nan, model.cl_missing)), model)
    year = number("loss.year_sd") ** 2 + (number("loss.rounding") / np.exp(ln_first)) ** 2
    prior = (number("iso9223.prior_sigma") * spread / number("first_year.sigma")) ** 2
    drawn = ln_first + year / (year + prior) * (expected - ln_first)
    return np.asarray(np.where(np.isnan(expected), ln_first, drawn))


def loss_exponent(rh_pct: ArrayLike, so2_mg_m2_d: ArrayLike, cl_mg_m2_d: ArrayLike) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the exponent of `loss`; NaN is unknown and makes it wider."""
    given = [np.asarray(x, dtype=np.float64) for x in (rh_pct, so2_mg_m2_d, cl_mg_m2_d)]
    rh, so2, cl = (np.where(np.isnan(x), typical, x) for x, typical in zip(given, row("loss.missing"), strict=True))
    base, by_salt, by_sulphur = row("loss.exponent")
    from_rh, per, most = row("loss.wet")
    wet = np.clip((rh - from_rh) / per, 0.0, most)
    so2 = np.clip(so2, *row("iso9223.range_so2"))
    mean = np.clip(base + by_salt * wet * np.log1p(cl / 3) + by_sulphur * np.log(so2 / 10), *row("loss.bounds"))
    variance = np.full(np.shape(mean), number("loss.exponent_sd") ** 2)
    for value, sd in zip(given, row("loss.missing_sd"), strict=True):
        variance = variance + np.where(np.isnan(value), sd**2, 0.0)
    return np.asarray(mean), np.sqrt(variance)
