"""Extreme values of local depth: Gumbel by maximum likelihood or moments, GEV, return period, posterior prediction.

Block maxima lie on the last axis (NaN: no value), every other axis is another set, all sets are treated at once.
The return period T is the target area over the area of one block, not the number of blocks inspected.
"""

from functools import lru_cache
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gamma

from models.corrosion.coefficients import number, row
from models.corrosion.reasons import Bits, bit, flags
from models.corrosion.tables import Floats

EULER: Final = float(np.euler_gamma)
NULL_DRAWS: Final = 4000
"""Simulated samples behind the 5 % point of the PPCC."""


class Gumbel(NamedTuple):
    """F(x) = exp(-exp(-(x - location) / scale)) of each set; NaN where there is none, `reasons` says why."""

    location: Floats
    scale: Floats
    n: Floats
    """Maxima in the set."""
    reasons: Bits


class Gev(NamedTuple):
    """F(x) = exp(-(1 + shape (x - location) / scale)^(-1 / shape)); shape > 0: heavy tail (SciPy's sign differs)."""

    location: Floats
    scale: Floats
    shape: Floats
    shape_se: Floats
    """Standard error of the shape under a Gumbel law."""


class Extreme(NamedTuple):
    """The estimate for a target area, each of the sets' shape."""

    location: Floats
    scale: Floats
    shape: Floats
    """Of the GEV that is reported; 0 where it is the Gumbel."""
    level: Floats
    """Return level for the target area, mm, at most the nominal wall."""
    mode: Floats
    """Most likely maximum over the target area (Gumbel), mm, at most the nominal wall."""
    interval: Floats
    """(..., 3) 5, 50, 95 % of the predicted maximum over the target area (Gumbel posterior), capped likewise."""
    ppcc: Floats
    ppcc_5pct: Floats
    """What 95 in 100 Gumbel samples of that size exceed."""
    gev_shape: Floats
    gev_shape_se: Floats
    perforation: Floats
    """Probability that the maximum over the target area passes the nominal wall; NaN without one."""
    reasons: Bits


def gumbel_fit(maxima: ArrayLike, method: Literal["ml", "moments"] = "ml", least: int | None = None) -> Gumbel:
    """Fit a Gumbel law to each set.

    Args:
        maxima: (..., n) block maxima, mm.
        method: maximum likelihood, or moments (the traditional start).
        least: fewer maxima are refused (6 unless told otherwise): NaN and `too_few_maxima`.

    Raises:
        ValueError: an unknown method.
    """
    if method not in ("ml", "moments"):
        raise ValueError(f"method {method!r}; want ml or moments")
    x, there, n = _sets(maxima)
    low, high = _least(x, there), _greatest(x, there)
    few = n < (number("extreme.refuse") if least is None else least)
    equal = (high <= low) & (n > 0)
    wrong = np.any(np.isinf(np.asarray(maxima, dtype=np.float64)), axis=-1)
    usable = ~few & ~equal & ~wrong & (n > 1)
    mean = _mean(x, there, n)
    deviation = np.where(there, x - mean[..., None], 0.0)
    spread = np.sqrt(np.sum(deviation**2, axis=-1) / np.where(n > 1, n - 1, np.nan))
    scale = np.where(usable, spread * np.sqrt(6) / np.pi, np.nan)
    location = mean - EULER * scale
    if method == "ml":
        scale = np.where(usable, _ml_scale(x, there, mean, low), np.nan)
        location = low - scale * np.log(_weights(x, there, scale, low).sum(axis=-1) / np.where(n > 0, n, np.nan))
    warn = flags(too_few_maxima=few, equal_maxima=equal, invalid_input=wrong)
    warn = warn | flags(few_maxima=~few & (n < number("extreme.warn")))
    return Gumbel(np.asarray(location), np.asarray(scale), n, np.asarray(warn))


def _sets(maxima: ArrayLike) -> tuple[Floats, np.ndarray[tuple[int, ...], np.dtype[np.bool_]], Floats]:
    x = np.atleast_1d(np.asarray(maxima, dtype=np.float64))
    there = np.isfinite(x)
    return np.where(there, x, 0.0), there, there.sum(axis=-1).astype(np.float64)


def _least(x: Floats, there: ArrayLike) -> Floats:
    return np.asarray(np.min(np.where(there, x, np.inf), axis=-1, initial=np.inf))


def _greatest(x: Floats, there: ArrayLike) -> Floats:
    return np.asarray(np.max(np.where(there, x, -np.inf), axis=-1, initial=-np.inf))


def _mean(x: Floats, there: ArrayLike, n: Floats) -> Floats:
    return np.asarray(np.sum(np.where(there, x, 0.0), axis=-1) / np.where(n > 0, n, np.nan))


def _weights(x: Floats, there: ArrayLike, scale: Floats, low: Floats) -> Floats:
    """exp(-(x - min) / scale), 0 for what is missing: no overflow whatever the scale."""
    with np.errstate(invalid="ignore"):
        z = np.where(there, x - low[..., None], 0.0) / scale[..., None]
    return np.asarray(np.where(there, np.exp(-z), 0.0))


def _ml_scale(x: Floats, there: ArrayLike, mean: Floats, low: Floats) -> Floats:
    """Root of mean - weighted mean - scale, which falls steadily in the scale: bisection, then it is exact."""
    with np.errstate(invalid="ignore"):
        high = np.where(np.isfinite(low), mean - low, np.nan)
    bottom = np.zeros_like(high)
    for _ in range(80):
        middle = (bottom + high) / 2
        scale = np.where(middle > 0, middle, np.nan)
        weight = _weights(x, there, scale, low)
        with np.errstate(invalid="ignore"):
            rest = mean - np.sum(weight * x, axis=-1) / weight.sum(axis=-1) - scale
        bottom, high = np.where(rest > 0, middle, bottom), np.where(rest > 0, high, middle)
    return np.asarray((bottom + high) / 2)


def return_level(location: ArrayLike, scale: ArrayLike, period: ArrayLike, shape: ArrayLike = 0.0) -> Floats:
    """Level passed with chance 1/T in a block, location - scale ln(-ln(1 - 1/T)) or the GEV's; NaN for T <= 1."""
    loc, s, t, xi = (np.asarray(v, dtype=np.float64) for v in (location, scale, period, shape))
    y = -np.log(-np.log1p(-1 / np.where(t > 1, t, np.nan)))
    return np.asarray(loc + s * _stretched(y, xi))


def area_mode(location: ArrayLike, scale: ArrayLike, period: ArrayLike) -> Floats:
    """Most likely maximum over T blocks: location + scale ln T."""
    loc, s, t = (np.asarray(v, dtype=np.float64) for v in (location, scale, period))
    return np.asarray(loc + s * np.log(np.where(t > 0, t, np.nan)))


def exceedance(
    x: ArrayLike, location: ArrayLike, scale: ArrayLike, period: ArrayLike = 1.0, shape: ArrayLike = 0.0
) -> Floats:
    """Probability that the maximum over T blocks passes `x`."""
    depth, loc, s, t, xi = (np.asarray(v, dtype=np.float64) for v in (x, location, scale, period, shape))
    z = (depth - loc) / np.where(s > 0, s, np.nan)
    flat = np.abs(xi) < 1e-9
    inside = 1 + np.where(flat, 0.0, xi) * z
    with np.errstate(divide="ignore", over="ignore"):
        heavy = np.where(inside > 0, inside, 0.0) ** (-1 / np.where(flat, 1.0, xi))
        rate = np.where(flat, np.exp(-z), heavy)
        return np.asarray(-np.expm1(-t * rate))


def _stretched(y: Floats, xi: Floats) -> Floats:
    """Gumbel variate y -> GEV variate (e^(xi y) - 1) / xi."""
    flat = np.abs(xi) < 1e-9
    return np.asarray(np.where(flat, y, np.expm1(xi * y) / np.where(flat, 1.0, xi)))


def gev_fit(maxima: ArrayLike) -> Gev:
    """Fit a GEV to each set by probability-weighted moments (Hosking 1985); NaN below 6 maxima or all equal."""
    x, there, n = _sets(maxima)
    ordered = np.sort(np.where(there, x, np.inf), axis=-1)
    rank = np.arange(x.shape[-1], dtype=np.float64)
    ordered = np.where(np.isfinite(ordered), ordered, 0.0)
    count = np.where(n >= number("extreme.refuse"), n, np.nan)
    count_e, one, two = count[..., None], rank, rank * (rank - 1)
    b0 = np.sum(ordered, axis=-1) / count
    b1 = np.sum(ordered * one / (count_e - 1), axis=-1) / count
    b2 = np.sum(ordered * two / ((count_e - 1) * (count_e - 2)), axis=-1) / count
    l1, l2, l3 = b0, 2 * b1 - b0, 6 * b2 - 6 * b1 + b0
    l2 = np.where(_greatest(x, there) > _least(x, there), l2, np.nan)
    c = 2 / (3 + l3 / l2) - np.log(2) / np.log(3)
    first, second = row("extreme.gev_shape")
    k = first * c + second * c**2
    k = np.where(np.abs(k) < 1e-7, 1e-7, k)
    scale = l2 * k / ((1 - 2.0**-k) * gamma(1 + k))
    location = l1 - scale * (1 - gamma(1 + k)) / k
    error = np.sqrt(number("extreme.gev_se") / count)
    return Gev(np.asarray(location), np.asarray(scale), np.asarray(-k), np.asarray(error))


def ppcc(maxima: ArrayLike) -> Floats:
    """Correlation of the ordered maxima with Gumbel quantiles (Gringorten's plotting positions); NaN if all equal."""
    x, there, n = _sets(maxima)
    ordered = np.sort(np.where(there, x, np.inf), axis=-1)
    held = np.isfinite(ordered)
    position = (np.arange(1, x.shape[-1] + 1) - 0.44) / (np.where(n > 0, n, np.nan)[..., None] + 0.12)
    with np.errstate(invalid="ignore"):
        variate = np.where(held, -np.log(-np.log(np.where(held, position, 0.5))), 0.0)
    values = np.where(held, ordered, 0.0)
    dx = np.where(held, values - _mean(values, held, n)[..., None], 0.0)
    dy = np.where(held, variate - _mean(variate, held, n)[..., None], 0.0)
    below = np.sqrt(np.sum(dx**2, axis=-1) * np.sum(dy**2, axis=-1))
    return np.asarray(np.sum(dx * dy, axis=-1) / np.where(below > 0, below, np.nan))


@lru_cache(maxsize=256)
def ppcc_5pct(n: int) -> float:
    """What the PPCC of 95 in 100 Gumbel samples of size `n` exceeds (simulated, always the same); NaN below 3."""
    if n < 3:
        return float("nan")
    draws = np.random.default_rng(20_000 + n).gumbel(size=(NULL_DRAWS, n))
    return float(np.quantile(ppcc(draws), 0.05))


class Posterior(NamedTuple):
    """Posterior of a Gumbel law on a grid of its scale, the location integrated out exactly."""

    scale: Floats
    """(..., G)."""
    weight: Floats
    """(..., G), sums to 1."""
    log_sum: Floats
    """(..., G) ln of the sum of exp(-(x - min) / scale)."""
    least: Floats
    """(...) the least maximum."""
    n: Floats


def posterior(
    maxima: ArrayLike, scale_prior_mm: ArrayLike = np.nan, scale_prior_sd: ArrayLike = 1.0, grid: int = 96
) -> Posterior:
    """Posterior of each set under a flat prior on the location and on ln scale, or a normal one on ln scale.

    Given the scale, e^(location / scale) has a gamma law (n, sum e^(-x / scale)), so no sampling is needed.

    Args:
        maxima: (..., n) block maxima, mm.
        scale_prior_mm: median of the scale known from the class of equipment; NaN: flat.
        scale_prior_sd: its standard deviation in ln.
        grid: number of scales.

    Sets that `gumbel_fit` refuses are NaN.
    """
    fit = gumbel_fit(maxima)
    x, there, n = _sets(maxima)
    low = np.where(np.isnan(fit.scale), np.nan, _least(x, there))
    width = np.minimum(6 / np.sqrt(np.maximum(n, 1)), 2.0)
    step = np.linspace(-1.0, 1.5, grid)  # the right tail is the longer one
    scale = fit.scale[..., None] * np.exp(step * width[..., None])
    z = np.where(there, x - np.where(np.isnan(low), 0.0, low)[..., None], 0.0)
    parts = np.where(there[..., None, :], np.exp(-z[..., None, :] / scale[..., None]), 0.0)
    log_sum = np.log(parts.sum(axis=-1))
    mean = np.sum(z, axis=-1) / np.where(n > 0, n, np.nan)
    count = n[..., None]
    log_weight = -(count - 1) * np.log(scale) - count * mean[..., None] / scale - count * log_sum
    centre, sd = np.asarray(scale_prior_mm, dtype=np.float64), np.asarray(scale_prior_sd, dtype=np.float64)
    pull = -(((np.log(scale) - np.log(centre)[..., None]) / sd[..., None]) ** 2) / 2
    log_weight = log_weight + np.where(np.isnan(centre)[..., None], 0.0, pull)
    weight = np.exp(log_weight - np.max(log_weight, axis=-1, keepdims=True))
    weight = weight / weight.sum(axis=-1, keepdims=True)
    return Posterior(scale, np.asarray(weight), np.asarray(log_sum), np.asarray(low), n)


def posterior_exceedance(x: ArrayLike, law: Posterior, period: ArrayLike = 1.0) -> Floats:
    """Predicted probability that the maximum over T blocks passes `x`, parameters unknown as they are."""
    depth, t = np.asarray(x, dtype=np.float64), np.asarray(period, dtype=np.float64)
    z = (depth - law.least)[..., None] / law.scale
    log_ratio = np.log(t)[..., None] - z - law.log_sum  # ln of T e^(-x / scale) over the sum
    with np.errstate(invalid="ignore"):
        below = np.exp(-law.n[..., None] * np.logaddexp(0.0, log_ratio))
    return np.asarray(1 - np.sum(law.weight * below, axis=-1))


def posterior_quantiles(
    law: Posterior, period: ArrayLike = 1.0, quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
) -> Floats:
    """(..., k) quantiles of the predicted maximum over T blocks, mm."""
    t = np.asarray(period, dtype=np.float64)
    middle = np.sum(law.weight * law.scale, axis=-1)
    reach = middle * (60 + 2 * np.abs(np.log(t)))
    answer = []
    for level in quantiles:
        low, high = law.least - reach, law.least + reach
        for _ in range(70):
            half = (low + high) / 2
            more = posterior_exceedance(half, law, t) > 1 - level
            low, high = np.where(more, half, low), np.where(more, high, half)
        answer.append((low + high) / 2)
    return np.stack(answer, axis=-1)


def extreme_value(
    maxima: ArrayLike,
    area: ArrayLike,
    block_area: ArrayLike,
    t_nom_mm: ArrayLike = np.nan,
    scale_prior_mm: ArrayLike = np.nan,
) -> Extreme:
    """Deepest loss to expect over a target area, from the deepest of each of n equal blocks.

    The Gumbel law by maximum likelihood; where the GEV's shape lies more than two standard errors from 0, the GEV
    (`heavy_tail`). Refused (NaN) below 6 maxima and where all are equal.

    Args:
        maxima: (..., n) block maxima, mm; NaN is no value.
        area: target area, any unit.
        block_area: area of one block, same unit.
        t_nom_mm: nominal wall, at which a depth is capped.
        scale_prior_mm: see `posterior`.
    """
    fit, gev = gumbel_fit(maxima), gev_fit(maxima)
    period = np.asarray(area, dtype=np.float64) / np.asarray(block_area, dtype=np.float64)
    wall = np.asarray(t_nom_mm, dtype=np.float64)
    ceiling = np.where(wall > 0, wall, np.inf)
    other = np.abs(gev.shape) > 2 * gev.shape_se
    location, scale = np.where(other, gev.location, fit.location), np.where(other, gev.scale, fit.scale)
    shape = np.where(np.isnan(scale), np.nan, np.where(other, gev.shape, 0.0))
    level = return_level(location, scale, period, shape)
    fits, shortest = ppcc(maxima), np.vectorize(lambda n: ppcc_5pct(int(n)), otypes=[np.float64])(fit.n)
    predicted = posterior_quantiles(posterior(maxima, scale_prior_mm), period)
    warn = fit.reasons | flags(poor_fit=fits < shortest, capped_at_nominal=level > ceiling)
    warn = warn | np.where(other, bit("heavy_tail"), np.uint32(0))
    return Extreme(
        np.asarray(location),
        np.asarray(scale),
        np.asarray(shape),
        np.asarray(np.minimum(level, ceiling)),
        np.asarray(np.minimum(area_mode(fit.location, fit.scale, period), ceiling)),
        np.asarray(np.minimum(predicted, ceiling[..., None])),
        fits,
        np.asarray(shortest),
        gev.shape,
        gev.shape_se,
        np.asarray(np.where(wall > 0, exceedance(wall, location, scale, period, shape), np.nan)),
        np.asarray(warn),
    )
