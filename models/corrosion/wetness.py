"""Wetness of a surface from live temperature and humidity, the corrosivity index, and the temperature of a jacket.

Temperatures in °C, humidity in %, everything broadcasts; NaN in, NaN (or "unknown", -1) out.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from models.corrosion.coefficients import number, row
from models.corrosion.tables import Codes, Floats

STATES: Final = ("dry", "salt_damp", "wet", "rain")
TOW_CLASSES: Final = ("tau1", "tau2", "tau3", "tau4", "tau5")


def saturation_hpa(t_c: ArrayLike) -> Floats:
    """Saturation vapour pressure over water, hPa (Magnus)."""
    p0, slope, zero = row("magnus")
    t = np.asarray(t_c, dtype=np.float64)
    t = np.where(t > -zero, t, np.nan)
    return np.asarray(p0 * np.exp(slope * t / (zero + t)))


def dew_point(t_c: ArrayLike, rh_pct: ArrayLike) -> Floats:
    """Dew point, °C; -inf for a humidity of 0, NaN for one outside 0-100 %."""
    _, slope, zero = row("magnus")
    t, rh = np.asarray(t_c, dtype=np.float64), np.asarray(rh_pct, dtype=np.float64)
    t, rh = np.where(t > -zero, t, np.nan), np.where((rh >= 0) & (rh <= 100), rh, np.nan)
    bone_dry = rh == 0
    g = np.log(np.where(bone_dry, 1.0, rh) / 100) + slope * t / (zero + t)
    return np.asarray(np.where(bone_dry & ~np.isnan(t), -np.inf, zero * g / (slope - g)))


def surface_rh(t_surface_c: ArrayLike, t_c: ArrayLike, rh_pct: ArrayLike) -> Floats:
    """Humidity of the air at the temperature of a surface, %; above 100 the surface is below the dew point."""
    rh = np.asarray(rh_pct, dtype=np.float64)
    rh = np.where((rh >= 0) & (rh <= 100), rh, np.nan)
    return np.asarray(rh * saturation_hpa(t_c) / saturation_hpa(t_surface_c))


def time_of_wetness(t_c: ArrayLike, rh_pct: ArrayLike, hours: ArrayLike = 1.0) -> Floats:
    """Hours with RH > 80 % and T > 0 °C, summed over the last axis of samples of `hours` each (ISO 9223).

    A sample that is NaN counts as not wet.
    """
    t, rh, each = (np.asarray(x, dtype=np.float64) for x in (t_c, rh_pct, hours))
    return np.asarray(np.sum(((rh > number("tow.rh")) & (t > 0)) * each, axis=-1))


def tow_class(hours_per_year: ArrayLike) -> Codes:
    """Index into `TOW_CLASSES`, -1 for NaN; a bound belongs to the lower class."""
    h = np.asarray(hours_per_year, dtype=np.float64)
    return np.asarray(np.where(h >= 0, np.searchsorted(row("tow.classes"), h, side="left"), -1), dtype=np.int8)


def wet_state(
    t_surface_c: ArrayLike,
    t_c: ArrayLike,
    rh_pct: ArrayLike,
    salt_g_m2: ArrayLike = 0.0,
    raining: ArrayLike = False,
) -> Codes:
    """Index into `STATES` of a surface, -1 where temperature or humidity is unknown and it does not rain.

    Rain, or else wet (RH at the surface from the deliquescence of NaCl, or within 0.5 K of the dew point), or else
    salt-damp (RH at the surface from 35 % under a salt load), or else dry. An unknown salt load counts as salted.
    """
    t = np.asarray(t_surface_c, dtype=np.float64)
    at_surface = surface_rh(t, t_c, rh_pct)
    salted = ~(np.asarray(salt_g_m2, dtype=np.float64) <= number("wet.salt_load"))
    dewy = t <= dew_point(t_c, rh_pct) + number("wet.dew_margin")
    wet = (at_surface >= number("deliquescence.nacl")) | dewy
    damp = salted & (at_surface >= number("wet.damp_rh"))
    dry_or_more = np.where(wet, 2, np.where(damp, 1, 0))
    code = np.where(np.isnan(at_surface), -1, dry_or_more)
    return np.asarray(np.where(np.asarray(raining, dtype=np.bool_), 3, code), dtype=np.int8)


def corrosivity_index(state: ArrayLike, wet_ratio: ArrayLike) -> Floats:
    """Rate over the site's reference rate: 0 dry, 0.3 `wet_ratio` salt-damp, `wet_ratio` wet or rain, NaN unknown.

    `wet_ratio` is 1 over the mean of (0, 0.3, 1, 1) over a reference year of the site, which then integrates to the
    ISO 9223 loss (`wet_ratio_of`).
    """
    code = np.asarray(state, dtype=np.int64)
    share = np.array([0.0, number("index.damp_share"), 1.0, 1.0, np.nan])
    return np.asarray(share[np.where((code < 0) | (code > 3), 4, code)] * np.asarray(wet_ratio, dtype=np.float64))


def wet_ratio_of(state: ArrayLike) -> Floats:
    """`wet_ratio` of a reference year of states on the last axis (unknown left out); NaN for one that is never wet."""
    mean = corrosivity_index(state, 1.0)
    known = ~np.isnan(mean)
    sums, counts = np.sum(np.where(known, mean, 0.0), axis=-1), np.sum(known, axis=-1)
    return np.asarray(np.where(sums > 0, counts / np.where(sums > 0, sums, 1.0), np.nan))


def integrate_loss(hours: ArrayLike, rate_um_y: ArrayLike) -> Floats:
    """Loss in µm from the first sample to each, trapezoid rule over the last axis; a piece with NaN adds nothing.

    `hours` is the time of each sample; a step back in time adds nothing (`reasons.clock_back` is the caller's to flag).
    """
    t, rate = np.broadcast_arrays(np.asarray(hours, dtype=np.float64), np.asarray(rate_um_y, dtype=np.float64))
    piece = np.diff(t, axis=-1) * (rate[..., 1:] + rate[..., :-1]) / 2 / 8766.0
    piece = np.where((np.diff(t, axis=-1) > 0) & ~np.isnan(piece), piece, 0.0)
    start = np.zeros((*piece.shape[:-1], 1))
    return np.asarray(np.concatenate([start, np.cumsum(piece, axis=-1)], axis=-1))


def washed(salt_g_m2: ArrayLike, rain_mm_h: ArrayLike) -> Floats:
    """Salt load after rain: more than 2 mm/h takes half away."""
    salt = np.asarray(salt_g_m2, dtype=np.float64)
    heavy = np.asarray(rain_mm_h, dtype=np.float64) > number("index.wash_rain")
    return np.asarray(np.where(heavy, salt * (1 - number("index.wash_share")), salt))


def jacket_temperature(
    t_metal_c: ArrayLike,
    t_ambient_c: ArrayLike,
    r1_m: ArrayLike,
    r2_m: ArrayLike,
    h_w_m2k: ArrayLike,
    k_w_mk: ArrayLike,
) -> Floats:
    """Temperature of the jacket in the steady state, °C.

    Args:
        t_metal_c: metal.
        t_ambient_c: outside air.
        r1_m: outer radius of the pipe, m.
        r2_m: outer radius of the insulation, m; not above `r1_m` is NaN.
        h_w_m2k: outside film, W/m²K.
        k_w_mk: conductivity of the insulation, W/mK (dry mineral wool .040-.045, soaked .15-.3).
    """
    inside, outside, r1, r2, h, k = (
        np.asarray(x, dtype=np.float64) for x in (t_metal_c, t_ambient_c, r1_m, r2_m, h_w_m2k, k_w_mk)
    )
    ratio = np.where((r1 > 0) & (r2 > r1), r2, np.nan) / np.where(r1 > 0, r1, np.nan)
    through = k / (r2 * np.log(ratio))
    return np.asarray((through * inside + h * outside) / (through + h))
