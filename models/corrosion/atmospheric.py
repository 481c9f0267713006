"""Atmospheric corrosion of bare metal: ISO 9223 first year, ISO 9224 long term, and the lab's own predictive forms.

Losses in µm, deposition in mg/m²/day, annual means of temperature in °C and humidity in %. All arguments broadcast;
what cannot be is NaN. `first_year` and `loss` answer with quantiles and take NaN for an unknown humidity, SO2 or Cl.
The standard is not meant for the atmosphere inside a chemical plant: there it is a prior, not a result.
"""

from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
