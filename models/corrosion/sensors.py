"""What corrosion sensors say: galvanic ACM current, ER probe, linear polarisation resistance, ultrasonic thickness."""

from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from models.corrosion.coefficients import number, row
from models.corrosion.tables import Codes, Floats

ACM_STATES: Final = ("dry", "dew", "rain")


def acm_charge(hours: ArrayLike, current_ua: ArrayLike) -> Floats:
    """Charge per day, C/day, of a current in µA sampled at `hours` (last axis; trapezoid rule; NaN left out)."""
    t, i = np.broadcast_arrays(np.asarray(hours, dtype=np.float64), np.asarray(current_ua, dtype=np.float64))
    step = np.diff(t, axis=-1)
    mean = (i[..., 1:] + i[..., :-1]) / 2
    good = (step > 0) & ~np.isnan(mean)
    span = np.sum(np.where(good, step, 0.0), axis=-1)
    total = np.sum(np.where(good, step * mean, 0.0), axis=-1)
    return np.asarray(np.where(span > 0, total / np.where(span > 0, span, 1.0) * 86_400e-6, np.nan))


def acm_rate(charge_c_day: ArrayLike, slope: float | None = None, intercept: float | None = None) -> Floats:
    """Corrosion rate in mm/y of a daily charge of an Fe/Ag ACM sensor.

    The default line is often quoted but could not be verified: calibrate on coupons and pass `slope` and `intercept`
    (log10 mm/y on log10 C/day). No charge is no corrosion; a negative one is NaN.
    """
    a, b = row("acm")
    q = np.asarray(charge_c_day, dtype=np.float64)
    q = np.where(q >= 0, q, np.nan)
    return np.asarray(10.0 ** (b if intercept is None else intercept) * q ** (a if slope is None else slope))


def acm_state(current_ua: ArrayLike) -> Codes:
    """Index into `ACM_STATES`: dry below 0.01 µA, dew up to 1 µA, rain above; -1 for NaN or a negative current."""
    low, high = row("acm.states")
    i = np.asarray(current_ua, dtype=np.float64)
    return np.asarray(np.where(i >= 0, np.where(i > high, 2, np.where(i >= low, 1, 0)), -1), dtype=np.int8)


def er_loss(h0_um: ArrayLike, ratio_now: ArrayLike, ratio_start: ArrayLike = 1.0) -> Floats:
    """Metal lost by the element of an ER probe, µm.

    Args:
        h0_um: thickness of the element at the start, µm.
        ratio_now: resistance of the element over that of the reference.
        ratio_start: the same at the start.
    """
    h0, now, start = (np.asarray(x, dtype=np.float64) for x in (h0_um, ratio_now, ratio_start))
    return np.asarray(h0 * (1 - start / np.where(now > 0, now, np.nan)))


def er_rate(hours: ArrayLike, loss_um: ArrayLike, t_c: ArrayLike | None = None) -> float:
    """Robust slope (Theil-Sen) of an ER record, µm/y.

    Args:
        hours: (n,) time of the samples.
        loss_um: (n,) from `er_loss`.
        t_c: (n,) temperature; samples where it changes by more than 5 K/h are left out.

    Returns:
        NaN with fewer than two usable samples or less than 7 days between the first and the last of them.
    """
    t, y = np.asarray(hours, dtype=np.float64), np.asarray(loss_um, dtype=np.float64)
    good = np.isfinite(t) & np.isfinite(y)
    if t_c is not None and t.size > 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            drift = np.gradient(np.asarray(t_c, dtype=np.float64), t)
        good &= ~(np.abs(drift) > number("er.heating"))
    t, y = t[good], y[good]
    if t.size < 2 or np.ptp(t) < 24 * number("er.least_days"):
        return float("nan")
    if t.size > 1000:  # all pairs of more would take much memory and teach nothing
        keep = np.linspace(0, t.size - 1, 1000).astype(np.int64)
        t, y = t[keep], y[keep]
    i, j = np.triu_indices(t.size, 1)
    apart = t[j] != t[i]
    return float(np.median((y[j] - y[i])[apart] / (t[j] - t[i])[apart]) * 8766.0)


def lpr_current(rp_ohm_cm2: ArrayLike, b_mv: ArrayLike | None = None) -> Floats:
    """Corrosion current density, µA/cm², of a polarisation resistance (B 26 mV: active steel; 52 mV: passive)."""
    b = np.asarray(row("lpr.b")[0] if b_mv is None else b_mv, dtype=np.float64)
    rp = np.asarray(rp_ohm_cm2, dtype=np.float64)
    return np.asarray(b * 1e3 / np.where(rp > 0, rp, np.nan))


def lpr_rate(
    rp_ohm_cm2: ArrayLike,
    b_mv: ArrayLike | None = None,
    equivalent_weight: float | None = None,
    density_g_cm3: float | None = None,
) -> Floats:
    """Corrosion rate, mm/y, of a polarisation resistance (ASTM G102); iron unless told otherwise."""
    weight, density = row("lpr.iron")
    weight = weight if equivalent_weight is None else equivalent_weight
    density = density if density_g_cm3 is None else density_g_cm3
    return np.asarray(number("lpr.faraday") * lpr_current(rp_ohm_cm2, b_mv) * weight / density)


def ut_sigma(surface: Literal["laboratory", "smooth", "rough"] = "smooth") -> float:
    """Standard error of an ultrasonic thickness reading, mm, by the surface it is taken on."""
    return float(row("ut.sigma")[("laboratory", "smooth", "rough").index(surface)])
