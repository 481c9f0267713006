"""Readings that thin faster than the model can follow: their own straight line takes over.

The model gives a place one rate since its coating failed. Where water came in late (a jacket torn eight years ago) the
readings run away from it, and its robust errors would take one after the other for a slip. A trend of the residuals
that is sure and hangs on no single reading is no slip.
"""

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from models.corrosion.coefficients import number, row
from models.corrosion.degradation import SHAPE, WEIBULL, Evidence, Forecast, Prior, crossing
from models.corrosion.tables import LEVELS, Flags, Floats, Indices

SURE, WITHOUT_ONE = row("reading.trend").tolist()
NEWEST: Final = int(number("reading.newest"))
LIVES: Final = (-np.log1p(-(np.arange(20) + 0.5) / 20)) ** (1.0 / WEIBULL)
"""Equally likely lives of a coating, in scales."""
NORMAL: Final = ndtri((np.arange(20) + 0.5) / 20)
"""Equally likely standard normal errors."""
CHUNK: Final = 256
"""Places at once where a coating's life is open."""


def runs_away(evidence: Evidence, surprise: Floats, p: int) -> Flags:
    """(P,) places whose readings, all or the newest, fall against the model's wall, whichever one of them is left out.

    Args:
        evidence: all findings.
        surprise: (N,) of them, see `Forecast`.
        p: number of places.
    """
    rows = np.flatnonzero(np.isfinite(surprise))
    keys = (evidence.sigma, evidence.reading, evidence.ago_y, evidence.point)
    rows = rows[np.lexsort([key[rows] for key in keys])]
    point = evidence.point[rows]
    days = np.cumsum(np.diff(np.stack([point, evidence.ago_y[rows]]), axis=1, prepend=-1.0).any(axis=0))
    # many years of a steady wall hide what began lately
    newest = days - days[np.searchsorted(point, point)] < NEWEST
    return _fall(evidence, surprise, rows, p) | _fall(evidence, surprise, rows[newest], p)


def _fall(evidence: Evidence, surprise: Floats, rows: Indices, p: int) -> Flags:
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


class Pair(NamedTuple):
    """(P,) each: the newest reading and the older one that its rate is counted from."""

    last: Floats
    last_ago: Floats
    sigma: Floats
    """Standard error of the newest, mm."""
    rate: Floats
    """Governing rate of API 570, mm/y; NaN where there is none."""
    span: Floats
    """Years between the two."""
    older_sigma: Floats


def straight_on(
    ahead: Forecast, away: Flags, pair: Pair, prior: Prior, t_req: Floats, limit: Floats, recoated: Flags
) -> Forecast:
    """The forecast with the line through the readings instead, at the places that run `away`.

    Args:
        ahead: of all `P` places.
        away: which.
        pair: the readings that the line goes through.
        prior: of the places.
        t_req: required wall.
        limit: loss that counts as damage, mm.
        recoated: coated anew today.
    """
    k = np.flatnonzero(away & (pair.rate > ahead.rate[:, 1]))
    if not len(k):
        return ahead
    held = recoated[k] | (prior.coated_y[k] < pair.last_ago[k])
    wall, below = np.empty((len(k), len(ahead.years), len(LEVELS))), np.empty((len(k), len(ahead.years)))
    for at in (np.flatnonzero(~held), *np.split(np.flatnonzero(held), range(CHUNK, int(held.sum()), CHUNK))):
        since = _corroding_since(pair, prior, k[at], ahead.years, recoated, LIVES if held[at].any() else LIVES[:1])
        wall[at], below[at] = _line(pair, k[at], since, t_req)
    t_nom = prior.t_nom[k, None]
    # no metal comes back
    wall = np.minimum.accumulate(np.clip(wall, 0.0, t_nom[:, :, None]), axis=1)
    below = np.maximum.accumulate(below, axis=1)
    slope = np.sqrt(
        (pair.sigma[k] ** 2 + pair.older_sigma[k] ** 2) / pair.span[k] ** 2 + _uneven(pair, k) / pair.span[k]
    )
    changed = {name: getattr(ahead, name).copy() for name in ("rate", "depth", "life", "thickness", "p_below")}
    changed["rate"][k] = np.maximum(pair.rate[k, None] + slope[:, None] * ndtri(np.array(LEVELS)), ahead.rate[k])
    changed["thickness"][k] = wall
    changed["depth"][k] = t_nom - wall[:, 0, ::-1]
    changed["p_below"][k] = below
    changed["life"][k] = np.stack([crossing(below, level) for level in LEVELS], axis=1)
    damage = ahead.p_damage.copy()
    today = _corroding_since(pair, prior, k, ahead.years[:1], recoated, LIVES)
    damage[k] = np.maximum(damage[k], _line(pair, k, today, prior.t_nom - limit)[1][:, 0])
    return replace(ahead, **changed, p_damage=damage)


def _uneven(pair: Pair, k: Indices) -> Floats:
    """(n,) variance of the gamma growth, mm² a year."""
    found: Floats = pair.rate[k] ** 2 / SHAPE
    return found


def _corroding_since(pair: Pair, prior: Prior, k: Indices, years: Floats, recoated: Flags, lives: Floats) -> Floats:
    """(n, Y, lives) years of bare steel from the newest reading to each year; a coating put on since holds for a life.

    One that was there when the readings fell has failed, whatever its age.
    """
    ago, coated = pair.last_ago[k, None, None], prior.coated_y[k, None, None]
    holds = prior.life_y[k, None, None] * lives
    ahead, anew = years[None, :, None], recoated[k, None, None]
    until = np.where(anew, 0.0, ahead)
    old = np.where(coated < ago, ago - coated + np.maximum(coated + until - holds, 0.0), ago + until)
    found: Floats = old + np.where(anew, np.maximum(ahead - holds, 0.0), 0.0)
    return found


def _line(pair: Pair, k: Indices, since: Floats, t_req: Floats) -> tuple[Floats, Floats]:
    """(n, Y, 3) walls at `LEVELS` and (n, Y) chances of being below `t_req`, over the last axis of `since`."""
    last, sigma, rate, span, older = (
        each[k, None, None] for each in (pair.last, pair.sigma, pair.rate, pair.span, pair.older_sigma)
    )
    middle, share = last - rate * since, since / span
    uneven = _uneven(pair, k)[:, None, None]
    # an error of the newest reading moves the line and tilts it the same way
    width = np.sqrt((sigma * (1.0 + share)) ** 2 + (older * share) ** 2 + uneven * since * (1.0 + share))
    below = ndtr((t_req[k, None, None] - middle) / width).mean(axis=2)
    if since.shape[2] == 1:
        return middle + width * ndtri(np.array(LEVELS)), below
    mixed = (middle[..., None] + width[..., None] * NORMAL).reshape(*since.shape[:2], -1)
    return np.moveaxis(np.quantile(mixed, LEVELS, axis=2), 0, 2), below
