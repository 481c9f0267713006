"""Readings that thin faster than the model can follow: their own straight line takes over.

The model gives a place one rate since its coating failed. Where water came in late (a jacket torn eight years ago) the
readings run away from it, and its robust errors would take one after the other for a slip. A trend of the residuals
that is sure and hangs on no single reading is no slip.
"""

from dataclasses import replace

import numpy as np
from scipy.special import ndtr, ndtri

from models.corrosion.coefficients import row
from models.corrosion.degradation import SHAPE, Evidence, Forecast, crossing
from models.corrosion.tables import LEVELS, Flags, Floats

SURE, WITHOUT_ONE = row("reading.trend").tolist()


def runs_away(evidence: Evidence, surprise: Floats, p: int) -> Flags:
    """(P,) places whose readings fall against the model's wall, whichever one of them is left out.

    Args:
        evidence: all findings.
        surprise: (N,) of them, see `Forecast`.
        p: number of places.
    """
    rows = np.flatnonzero(np.isfinite(surprise))
    point, t, z = evidence.point[rows], -evidence.ago_y[rows], surprise[rows]
    weight = evidence.sigma[rows] ** -2.0
    columns = (weight, weight * t, weight * t**2, weight * z * evidence.sigma[rows])
    parts = [*columns, columns[3] * t]
    sums = [np.bincount(point, each, minlength=p).astype(np.float64) for each in parts]
    without = _slope([whole[point] - own for whole, own in zip(sums, parts, strict=True)])
    worst = np.full(p, -np.inf)
    np.maximum.at(worst, point, without)
    found: Flags = (np.bincount(point, minlength=p) >= 3) & (_slope(sums) <= -SURE) & (worst <= -WITHOUT_ONE)
    return found


def _slope(sums: list[Floats]) -> Floats:
    """Slope of residuals over time in its standard errors, from their weighted sums; 0 where no time lies between."""
    w, wt, wtt, we, wte = sums
    mean = wt / np.where(w > 0, w, 1.0)
    spread = np.maximum(wtt - mean * wt, 0.0)
    known = spread > 1e-6 * np.maximum(w, 1e-12)
    found: Floats = np.where(known, (wte - mean * we) / np.sqrt(np.where(known, spread, 1.0)), 0.0)
    return found


def straight_on(
    ahead: Forecast,
    away: Flags,
    last: Floats,
    last_ago: Floats,
    rate: Floats,
    span: Floats,
    sigma: Floats,
    t_nom: Floats,
    t_req: Floats,
    limit: Floats,
    idle: Floats,
) -> Forecast:
    """The forecast with the line through the readings instead, at the places that run `away`.

    Args:
        ahead: of all `P` places.
        away: which.
        last: newest reading, mm.
        last_ago: its age, y.
        rate: governing rate of API 570, mm/y.
        span: years between the readings that it comes from.
        sigma: that of the newest reading, mm.
        t_nom: nominal wall.
        t_req: required wall.
        limit: loss that counts as damage, mm.
        idle: years from now for which a new coating holds.
    """
    k = np.flatnonzero(away & (rate > ahead.rate[:, 1]))
    if not len(k):
        return ahead
    since = last_ago[k, None] + np.maximum(ahead.years - idle[k, None], 0.0)
    middle = last[k, None] - rate[k, None] * since
    uneven = rate[k] ** 2 / SHAPE  # of the gamma growth, mm² a year
    slope = np.sqrt(2.0 * (sigma[k] / span[k]) ** 2 + uneven / span[k])
    width = np.sqrt(sigma[k, None] ** 2 + (slope[:, None] * since) ** 2 + uneven[:, None] * since)
    quantile = ndtri(np.array(LEVELS))
    wall = np.clip(middle[:, :, None] + width[:, :, None] * quantile, 0.0, t_nom[k, None, None])
    # no metal comes back
    wall = np.minimum.accumulate(wall, axis=1)
    below = np.maximum.accumulate(ndtr((t_req[k, None] - middle) / width), axis=1)
    changed = {name: getattr(ahead, name).copy() for name in ("rate", "depth", "life", "thickness", "p_below")}
    changed["rate"][k] = np.maximum(rate[k, None] + slope[:, None] * quantile, ahead.rate[k])
    changed["thickness"][k] = wall
    changed["depth"][k] = t_nom[k, None] - wall[:, 0, ::-1]
    changed["p_below"][k] = below
    changed["life"][k] = np.stack([crossing(below, level) for level in LEVELS], axis=1)
    damage = ahead.p_damage.copy()
    damage[k] = np.maximum(damage[k], ndtr((t_nom[k] - limit[k] - middle[:, 0]) / width[:, 0]))
    return replace(ahead, **changed, p_damage=damage)
