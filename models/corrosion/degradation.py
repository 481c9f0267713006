"""How metal is lost at a point, and what findings say of it: coating life, gamma growth, plant, line and point effects.

Loss begins when the coating's life T0 ~ Weibull ends and grows as a gamma process: X = r G(tau), G a gamma process of
unit mean slope, tau the years without a coating that holds (bent by a power for bare pipe). A coating is followed by
the next one on the date of the register; what was lost before stays lost. ln r = ln r_physics + m + plant + line +
point effect, all normal. A finding sees X with the method's error, the mill tolerance and slips of the hand.

The effects form a tree, so the update is exact on a grid: each point's findings give a likelihood of its ln r (summed
over shared particles of T0, gamma path and wall), which is passed up to line, plant and all, and down again. All points
at once; no sampling at run time, so the same tables give the same answer.

Errors of readings have Huber's density for 3 % contamination, the least favourable of all mixtures with 3 % blunders
(Huber 1964). It is log-concave, so a slip cannot pull far and yet a thicker reading never makes a thinner wall.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincc, logsumexp

from models.corrosion.coefficients import number, row
from models.corrosion.tables import LEVELS, Flags, Floats, Indices

PATHS: Final = 96
"""Particles of coating life, gamma path and wall, shared by all points; each goes with every rate of the grid."""
GRID: Final = np.linspace(-6.0, 4.0, 101)
"""ln(rate / physics rate)."""
STEP: Final = float(GRID[1] - GRID[0])
DRAWS: Final = 200
"""Equally weighted particles of a point's posterior that quantiles are read from."""
SHAPE: Final = number("growth.shape")
"""Gamma shape gained a year: a mean of 0.12 mm/y with a variance of 0.0108 mm²/y."""
WEIBULL, LIFE_FACTOR = row("coating.weibull").tolist()
"""Weibull shape of a coating's life, and its scale as a multiple of the age credited to the coating."""
MILL: Final = tuple(row("wall.mill").tolist())
"""Mill tolerance, share of the nominal wall."""
HUBER: Final = number("reading.huber")
"""Where Huber's density for 3 % contamination leaves the normal one, standard errors."""
POD_SLOPE: Final = number("screening.pod")
"""Width of the probability of detection in ln(depth)."""
RESOLVED: Final = number("depth.resolved")
"""A quantile of depth below this is given as 0, mm: no method tells it from nothing."""
PATH_STEP_Y: Final = 0.5
PATH_END_Y: Final = 150.0
SPREAD_MEAN, SPREAD_PLANT, SPREAD_LINE, SPREAD_POINT = row("spread").tolist()
"""Standard deviations in ln(rate): of all plants' common error of the physics, of plants, lines, points."""
WIDER: Final = tuple(row("spread.wider").tolist())
"""Multiples of the last two that are weighed by the findings; few findings leave them near 1."""
DRY: Final = tuple(row("dry_place.share").tolist())
"""Share of points where hardly any water comes to the steel, weighed by the findings likewise."""
DRY_PLACE: Final = tuple(row("dry_place").tolist())
"""Mean and standard deviation of ln(rate / physics rate) there."""
WIDER_PRIOR: Final = number("spread.wider_prior")
YEARS: Final = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40], dtype=np.float64)
"""Of the forecast."""


Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of `P` points before any finding."""

    rate: Floats
    """(P,) mm/y by physics while corroding, > 0."""
    power: Floats
    """(P,) exponent of time, 1 under insulation; the rate is then the mean over the years so far."""
    age_y: Floats
    """(P,) years since the pipe was built."""
    coated_y: Floats
    """(P,) years since its coating; before, it had another of that kind since it was built."""
    life_y: Floats
    """(P,) scale of a coating's life; 0: corroding from the first day."""
    t_nom: Floats
    line: Indices
    """(P,) number of its line, from 0."""
    plant: Indices
    """(L,) number of each line's plant, from 0."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """`N` findings."""

    point: Indices
    ago_y: Floats
    """(N,) years before the day of the assessment."""
    reading: Floats
    """(N,) thickness, mm; NaN for an interval."""
    sigma: Floats
    """(N,) standard error of the reading, mm."""
    low: Floats
    high: Floats
    """(N,) interval of the loss, mm; 0 and NaN: open on that side."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is known of `P` points after the findings."""

    rate: Floats
    """(P, 3) mm/y at `LEVELS`."""
    depth: Floats
    """(P, 3) mm."""
    life: Floats
    """(P, 3) years until t_req; inf beyond the last year."""
    years: Floats
    thickness: Floats
    """(P, Y, 3) mm."""
    p_below: Floats
    """(P, Y)."""
    p_damage: Floats
    """(P,) probability of having lost the limit by now."""
    p_before: Floats
    """(P,) the same without the findings at this point itself."""
    spread: Floats
    """(P,) standard deviation of ln(rate)."""
    surprise: Floats
    """(N,) how far each reading lies from the posterior median wall of its day, standard errors; NaN for intervals."""
    effects: Floats
    """(L,) mean of each line's ln(rate / physics rate)."""
    quantiles: Floats | None = None
    """(P, 99) of depth at the levels .01 to .99, when asked for."""


@dataclass(frozen=True, slots=True)
class _Particles:
    life: Floats
    """(K,) of the newest coating's life, in scales."""
    first: Floats
    """(K,) of the life of the coating that the pipe was built with, where that was another one."""
    again: Floats
    """(K,) of the life of a coating that it gets on the day."""
    mill: Floats
    """(K,) place within the mill tolerance, 0..1."""
    path: Floats
    """(K, S) gamma path of unit mean slope."""

    def grown(self, which: NDArray[np.intp], tau: Floats) -> Floats:
        """Values of paths `which` at `tau` (broadcast)."""
        place = np.clip(tau, 0.0, PATH_END_Y - 1e-6) / PATH_STEP_Y
        low = place.astype(np.intp)
        at = which * self.path.shape[1] + low
        flat = self.path.ravel()
        left = flat[at]
        found: Floats = left + (flat[at + 1] - left) * (place - low)
        return found


class Process(NamedTuple):
    """Loss by a gamma process, mm: X(t) ~ Gamma(shape, rate)."""

    shape: Floats
    rate: Floats
    """1/mm."""
    mean: Floats
    sigma: Floats


def gamma_process(years: ArrayLike, mean: ArrayLike, variance: ArrayLike, power: ArrayLike = 1.0) -> Process:
    """Gamma process with the given mean (mm) and variance (mm²) after one year: shape c t^b, rate u.

    c = mean²/variance, u = mean/variance. All arguments broadcast; negative years, a mean or variance that is not
    positive: NaN.

    Args:
        years: since growth began.
        mean: loss of the first year.
        variance: of that loss.
        power: b, 1 under insulation, 0.5 to 1 in the atmosphere.
    """
    t, m, v, b = (np.asarray(x, dtype=np.float64) for x in (years, mean, variance, power))
    t, m, v = np.where(t >= 0, t, np.nan), np.where(m > 0, m, np.nan), np.where(v > 0, v, np.nan)
    shape, rate = np.broadcast_arrays(m**2 / v * t**b, m / v)
    return Process(shape.copy(), rate.copy(), np.asarray(shape / rate), np.asarray(np.sqrt(shape) / rate))


def exceedance(x: ArrayLike, years: ArrayLike, mean: ArrayLike, variance: ArrayLike, power: ArrayLike = 1.0) -> Floats:
    """P(X(t) > x) of a `gamma_process`; 1 for a negative `x` (mm), 0 for years of 0 and x of 0 or more."""
    process = gamma_process(years, mean, variance, power)
    depth = np.asarray(x, dtype=np.float64)
    found = gammaincc(process.shape, process.rate * np.maximum(depth, 0.0))
    found = np.where((process.shape == 0) & ~np.isnan(depth), 0.0, found)
    return np.asarray(np.where((depth < 0) & ~np.isnan(process.shape), 1.0, found))


def normal_update(mean: ArrayLike, sigma: ArrayLike, observed: ArrayLike, errors: ArrayLike) -> tuple[Floats, Floats]:
    """Normal prior and normal observations: mean and standard error after.

    Args:
        mean: (...) of the prior.
        sigma: (...) its standard deviation.
        observed: (..., n) observations; NaN: none.
        errors: (..., n) their standard errors, > 0; one that is not counts as no observation.
    """
    m, s, seen, error = (np.asarray(x, dtype=np.float64) for x in (mean, sigma, observed, errors))
    use = ~np.isnan(seen) & (error > 0)
    weights = np.where(use, 1.0 / np.where(use, error, 1.0) ** 2, 0.0)
    precision = 1.0 / np.where(s > 0, s, np.nan) ** 2
    total = precision + weights.sum(axis=-1)
    after = (m * precision + (weights * np.nan_to_num(seen)).sum(axis=-1)) / total
    return np.asarray(after), np.asarray(1.0 / np.sqrt(total))


def forecast(
    prior: Prior,
    evidence: Evidence,
    t_req: Floats,
    limit: Floats,
    recoated: Flags | None = None,
    every_percent: bool = False,
    seed: int = 0,
) -> Forecast:
    """Update all points by all findings and look ahead.

    Args:
        prior: of the points.
        evidence: all findings, in any order.
        t_req: (P,) required wall, mm.
        limit: (P,) loss that counts as damage, mm.
        recoated: (P,) coated anew today: loss stands still until that coating's life has passed.
        every_percent: also give `quantiles`.
        seed: of the particles.

    Raises:
        ValueError: a physics rate or a wall that is not positive.
    """
    if not ((prior.rate > 0).all() and (prior.t_nom > 0).all()):
        raise ValueError("physics rates and nominal walls must be positive")
    order = _order(evidence)
    evidence = Evidence(*(getattr(evidence, name)[order] for name in Evidence.__slots__))
    p = len(prior.rate)
    particles = _particles(seed)
    walls = _walls(prior, evidence, particles)
    held = np.unique(evidence.point)
    likelihood = np.zeros((len(held), len(GRID)))
    for rows in _chunks(len(held)):
        cells = _log_likelihood(prior, evidence, held[rows], walls, particles)
        top = cells.max(axis=(1, 2), keepdims=True)
        likelihood[rows] = _log(np.exp(cells - top).mean(axis=2, dtype=np.float64)) + top[:, :, 0]
    effects = _pass(likelihood, prior.line[held], prior.plant)
    place = np.full(p, -1)
    place[held] = np.arange(len(held))
    anew = np.zeros(p, dtype=np.bool_) if recoated is None else recoated
    parts = []
    for rows in list(_chunks(p)) or [slice(0, 0)]:
        points = np.arange(p)[rows]
        own = place[points]
        known = np.where(own[:, None] >= 0, effects.own[own] if len(held) else 0.0, effects.silent[prior.line[points]])
        cells = _log_likelihood(prior, evidence, points, walls, particles)
        parts.append(_ahead(prior, evidence, points, cells, known, walls, particles, t_req, limit, anew, every_percent))
    names = ("rate", "depth", "life", "thickness", "p_below", "p_damage", "p_before", "spread", "quantiles")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
    surprise = np.empty(len(order))
    surprise[order] = np.concatenate([part["surprise"] for part in parts])
    quantiles = joined.pop("quantiles")
    return Forecast(
        **joined, years=YEARS, surprise=surprise, effects=effects.line, quantiles=quantiles if every_percent else None
    )


def _order(evidence: Evidence) -> Indices:
    """An order of the findings' own, so that the one of the file does not matter to the last bit."""
    keys = [np.nan_to_num(each, nan=-1.0) for each in (evidence.high, evidence.low, evidence.sigma, evidence.reading)]
    return np.lexsort((*keys, -evidence.ago_y, evidence.point)).astype(np.int64)


def _corroding(prior: Prior, points: Indices, ago_y: Floats, particles: _Particles, which: Indices) -> Floats:
    """(n, K) years that steel had been corroding some years before the day, under the first coating and the newest."""
    life = prior.life_y[points][:, None]
    since_built = (prior.age_y[points] - ago_y)[:, None]
    coated = np.maximum(prior.age_y[points] - prior.coated_y[points], 0.0)[:, None]
    first, newest = particles.first[which], particles.life[which]
    found: Floats = np.maximum(np.minimum(since_built, coated) - life * first, 0.0)
    found += np.maximum(since_built - coated - life * newest, 0.0)
    return found


def paths_at(prior: Prior, point: Indices, ago_y: Floats, seed: int = 0) -> Floats:
    """(n, K) mean-slope loss of the particles at points some years before the day of the prior: loss / rate, y."""
    particles = _particles(seed)
    every = np.arange(PATHS)
    return particles.grown(every, _tau(prior, point, _corroding(prior, point, ago_y, particles, every)))


def _chunks(n: int, size: int = 16) -> Iterator[slice]:
    # a few points at a time stay in the processor's cache
    return (slice(at, min(at + size, n)) for at in range(0, n, size))


@cache
def _particles(seed: int) -> _Particles:
    rng = np.random.default_rng([seed, 9])
    even = (np.arange(PATHS) + 0.5) / PATHS
    steps = rng.gamma(SHAPE * PATH_STEP_Y, 1.0 / SHAPE, (PATHS, int(PATH_END_Y / PATH_STEP_Y)))
    path = np.concatenate([np.zeros((PATHS, 1)), np.cumsum(steps, axis=1)], axis=1)
    life, first, again = ((-np.log1p(-rng.permutation(even))) ** (1.0 / WEIBULL) for _ in range(3))
    return _Particles(life, first, again, rng.permutation(even), path)


def _walls(prior: Prior, evidence: Evidence, particles: _Particles) -> Floats:
    """(P, K) wall when new: the mill tolerance, narrowed by a reading from the first year of the pipe."""
    low, high = np.full(len(prior.rate), MILL[0]), np.full(len(prior.rate), MILL[1])
    early = np.isfinite(evidence.reading) & (evidence.ago_y > prior.age_y[evidence.point] - 1.0)
    point, reading, sigma = evidence.point[early], evidence.reading[early], evidence.sigma[early]
    share = np.clip(reading / prior.t_nom[point] - 1.0, *MILL)
    reach = 4.0 * sigma / prior.t_nom[point]
    np.maximum.at(low, point, share - reach)
    np.minimum.at(high, point, share + reach)
    odd = high - low < 0.002  # two that contradict each other
    low, high = np.where(odd, MILL[0], low), np.where(odd, MILL[1], high)
    found: Floats = prior.t_nom[:, None] * (1.0 + low[:, None] + (high - low)[:, None] * particles.mill)
    return found


def _tau(prior: Prior, points: Indices, since: Floats) -> Floats:
    """Paths' own time at `since` years (n, …) of corrosion."""
    shape = (-1,) + (1,) * (since.ndim - 1)
    power = prior.power[points].reshape(shape)
    if (power == 1.0).all():
        return since
    span = np.maximum(prior.age_y[points], 1.0).reshape(shape)
    found: Floats = span ** (1.0 - power) * since**power
    return found


def _log_likelihood(prior: Prior, evidence: Evidence, points: Indices, walls: Floats, particles: _Particles) -> Singles:
    """(n, G, K) of all findings at each of the points (in rising order), by rate and particle; 0 without any."""
    cells = np.zeros((len(points), len(GRID), PATHS), dtype=np.float32)
    if not len(points):
        return cells
    first, last = np.searchsorted(evidence.point, [points[0], points[-1] + 1])
    if first == last:
        return cells
    rows = np.arange(first, last)
    rows = rows[np.isin(evidence.point[rows], points)]
    steps = np.exp(GRID)[None, :, None].astype(np.float32)
    which = np.arange(PATHS)
    # the n-th finding of every point at once
    rank = np.arange(len(rows)) - np.searchsorted(evidence.point[rows], evidence.point[rows])
    for turn in range(int(rank.max(initial=-1)) + 1):
        now = rows[rank == turn]
        point = evidence.point[now]
        since = _corroding(prior, point, evidence.ago_y[now], particles, which)
        grown = particles.grown(which, _tau(prior, point, since))
        loss = (prior.rate[point][:, None] * grown).astype(np.float32)[:, None, :] * steps
        at = np.searchsorted(points, point)
        read = np.isfinite(evidence.reading[now])
        if read.any():
            sigma = evidence.sigma[now][read][:, None].astype(np.float32)
            shift = ((evidence.reading[now][read][:, None] - walls[point[read]]).astype(np.float32) / sigma)[:, None, :]
            z = np.abs(shift + loss[read] / sigma[:, :, None])
            inner = np.minimum(z, np.float32(HUBER))
            cells[at[read]] -= inner * (z - np.float32(0.5) * inner)
        if not read.all():
            rest = ~read
            x = np.maximum(loss[rest], np.float32(1e-3)) ** np.float32(1 / POD_SLOPE)
            low, high = evidence.low[now][rest][:, None, None], evidence.high[now][rest][:, None, None]
            over = np.where(np.isfinite(high), np.maximum(high, 1e-3) ** (-1 / POD_SLOPE), 0.0).astype(np.float32)
            under = np.where(low > 0, low ** (1 / POD_SLOPE), 0.0).astype(np.float32)
            cells[at[rest]] -= np.log1p(x * over) + np.log1p(under / x)
    return cells


@dataclass(frozen=True, slots=True)
class _Effects:
    own: Floats
    """(held, G) probability of ln(rate / physics) of points with findings, from everything but their own."""
    silent: Floats
    """(L, G) the same of a point without findings."""
    line: Floats
    """(L,) mean effect."""


def _kernel(sigma: float) -> Floats:
    """(from, to) normal steps on the grid; rows sum to 1."""
    found: Floats = np.exp(-0.5 * ((GRID[None, :] - GRID[:, None]) / sigma) ** 2)
    found /= found.sum(axis=1, keepdims=True)
    return found


def _log(x: Floats) -> Floats:
    found: Floats = np.log(np.maximum(x, np.finfo(x.dtype).tiny))
    return found


def _unit(log: Floats) -> Floats:
    """Probabilities along the last axis."""
    found: Floats = np.exp(log - log.max(axis=-1, keepdims=True))
    found /= found.sum(axis=-1, keepdims=True)
    return found


def _pass(likelihood: Floats, line: Indices, plant: Indices) -> _Effects:
    """Messages up the tree of points, lines, plants and down again, for every width of the effects, averaged."""
    lines, plants = len(plant), int(plant.max(initial=-1)) + 1
    top = likelihood.max(axis=1, keepdims=True)
    scaled = np.exp(likelihood - top)
    to_plant = _kernel(SPREAD_PLANT)
    base = -0.5 * (GRID / SPREAD_MEAN) ** 2
    runs = []
    dry_place = _unit(-0.5 * ((GRID - DRY_PLACE[0]) / DRY_PLACE[1]) ** 2)
    for line_wider in WIDER:
        to_line = _kernel(SPREAD_LINE * line_wider)
        for wider, dry in product(WIDER, DRY):
            to_point = (1.0 - dry) * _kernel(SPREAD_POINT * wider) + dry * dry_place
            from_point = _log(scaled @ to_point.T)
            of_line = np.zeros((lines, len(GRID)))
            np.add.at(of_line, line, from_point)
            from_line = _log(np.exp(of_line - of_line.max(axis=1, keepdims=True)) @ to_line.T)
            from_line += of_line.max(axis=1, keepdims=True)
            of_plant = np.zeros((plants, len(GRID)))
            np.add.at(of_plant, plant, from_line)
            from_plant = _log(np.exp(of_plant - of_plant.max(axis=1, keepdims=True)) @ to_plant.T)
            from_plant += of_plant.max(axis=1, keepdims=True)
            whole = base + from_plant.sum(axis=0)
            weight = logsumexp(whole) - 0.5 * (np.log(line_wider) ** 2 + np.log(wider) ** 2) / WIDER_PRIOR**2
            # what is as large as the points is made again for the few that count
            runs.append((weight, to_line, to_point, of_line, from_line, of_plant, from_plant, whole))
    weights = np.array([run[0] for run in runs])
    weights = np.exp(weights - weights.max())
    weights /= weights.sum()
    own, silent = np.zeros_like(likelihood), np.zeros((lines, len(GRID)))
    mean = np.zeros(lines)
    for weight, run in zip(weights, runs, strict=True):
        if weight < 1e-3:
            continue
        _, to_line, to_point, of_line, from_line, of_plant, from_plant, whole = run
        from_point = _log(scaled @ to_point.T)
        down_plant = _log(_unit(whole - from_plant) @ to_plant) + of_plant
        down_line = _log(_unit(down_plant[plant] - from_line) @ to_line)
        posterior = _unit(down_line + of_line)
        silent += weight * (posterior @ to_point)
        mean += weight * (posterior @ GRID)
        cavity = _unit(down_line[line] + of_line[line] - from_point) @ to_point
        own += weight * cavity / np.maximum((cavity * scaled).sum(axis=1, keepdims=True), 1e-300)
    return _Effects(
        own / np.maximum(own.sum(axis=1, keepdims=True), 1e-300), silent / silent.sum(axis=1, keepdims=True), mean
    )


def _ahead(
    prior: Prior,
    evidence: Evidence,
    points: Indices,
    cells: Singles,
    known: Floats,
    walls: Floats,
    particles: _Particles,
    t_req: Floats,
    limit: Floats,
    recoated: Flags,
    every_percent: bool,
) -> dict[str, Floats]:
    """What `Forecast` holds, for some points.

    Args:
        prior: of all points, like `evidence`, `walls`, `t_req`, `limit` and `recoated`.
        evidence: in order.
        points: (n,) which, in rising order.
        cells: (n, G, K) their log likelihood.
        known: (n, G) what all other points say of the rate.
        walls: (P, K).
        particles: shared by all.
        t_req: (P,).
        limit: (P,).
        recoated: (P,).
        every_percent: also the percentiles.
    """
    n = len(points)
    which = np.arange(PATHS)
    rate, wall = prior.rate[points][:, None], walls[points]
    since = _corroding(prior, points, np.zeros(n), particles, which)
    grown = particles.grown(which, _tau(prior, points, since))
    later = np.stack([_corroding(prior, points, np.full(n, -year), particles, which) for year in YEARS], axis=1)
    anew = recoated[points]
    if anew.any():
        again = np.maximum(YEARS[:, None] - (prior.life_y[points][:, None] * particles.again)[:, None, :], 0.0)
        later = np.where(anew[:, None, None], since[:, None, :] + again, later)
    ahead = particles.grown(which, _tau(prior, points, later))  # (n, Y, K)
    bar = _log(limit[points][:, None] / np.maximum(rate * grown, 1e-12))
    damaged = GRID[None, :, None] >= bar[:, None, :]
    p_before = (known[:, :, None] * damaged).sum(axis=(1, 2)) / PATHS
    cells = cells + _log(known).astype(np.float32)[:, :, None]
    weight = np.exp(cells - cells.max(axis=(1, 2), keepdims=True))
    weight /= weight.sum(axis=(1, 2), keepdims=True)
    p_damage = (weight * damaged).sum(axis=(1, 2))
    cumulative = weight.cumsum(axis=1)
    by_rate = cumulative.sum(axis=2)
    mean = (weight.sum(axis=2) * GRID).sum(axis=1)
    spread = np.sqrt((weight.sum(axis=2) * (GRID - mean[:, None]) ** 2).sum(axis=1))
    rates = rate * np.exp(np.stack([_inverse(by_rate, level) for level in LEVELS], axis=1))
    # beyond the required wall: exact in the rate, over the particles
    allow = np.maximum(wall - t_req[points][:, None], 1e-9)[:, None, :]
    edge = _log(allow / np.maximum(rate[:, :, None] * ahead, 1e-12))
    place = np.clip((edge - GRID[0]) / STEP + 0.5, 0.0, len(GRID) - 1e-9)
    low = place.astype(np.intp)
    flat = np.concatenate([np.zeros((n, 1, PATHS), dtype=np.float32), cumulative], axis=1).reshape(-1)
    at = (np.arange(n)[:, None, None] * (len(GRID) + 1) + low) * PATHS + which
    left = flat[at]
    below = left + (flat[at + PATHS] - left) * (place - low)
    p_below = np.clip((cumulative[:, -1:, :] - below).sum(axis=2), 0.0, 1.0)
    # equally weighted particles
    levels = (np.arange(DRAWS) + 0.5) / DRAWS
    running = np.cumsum(weight.reshape(n, len(GRID) * PATHS), axis=1, dtype=np.float64)
    rows = np.arange(n)[:, None]
    picked = np.searchsorted((running / running[:, -1:] + rows).ravel(), (rows + levels).ravel()).reshape(n, DRAWS)
    picked = np.clip(picked - rows * running.shape[1], 0, running.shape[1] - 1)
    step, path = picked // PATHS, picked % PATHS
    # within a cell of the grid the rates are spread evenly
    pace = rate * np.exp(GRID[step] + STEP * (((picked * 0.6180339887) % 1.0) - 0.5))
    of_wall = np.take_along_axis(wall, path, axis=1)
    loss = np.minimum(pace * np.take_along_axis(grown, path, axis=1), of_wall)
    future = of_wall[:, None, :] - pace[:, None, :] * np.take_along_axis(ahead, path[:, None, :], axis=2)
    future = np.sort(np.maximum(future, 0.0), axis=2)
    ordered = np.sort(loss, axis=1)
    ordered = np.where(ordered < RESOLVED, 0.0, ordered)
    places = [min(int(level * DRAWS), DRAWS - 1) for level in LEVELS]
    percent = [int(level * DRAWS) for level in np.arange(1, 100) / 100]
    return {
        "rate": rates,
        "depth": ordered[:, places],
        "life": _passage(p_below),
        "thickness": future[:, :, places],
        "p_below": p_below,
        "p_damage": p_damage,
        "p_before": p_before,
        "spread": spread,
        "quantiles": ordered[:, percent if every_percent else []],
        "surprise": _surprise(prior, evidence, points, pace, path, of_wall, particles),
    }


def _inverse(cumulative: Floats, level: float) -> Floats:
    """(n,) where rows of cumulative probability on the grid's cells reach a level."""
    at = (cumulative < level * cumulative[:, -1:]).sum(axis=1).clip(0, len(GRID) - 1)
    rows = np.arange(len(cumulative))
    high = cumulative[rows, at]
    low = np.where(at > 0, cumulative[rows, at - 1], 0.0)
    share = np.clip((level * cumulative[:, -1] - low) / np.maximum(high - low, 1e-300), 0.0, 1.0)
    found: Floats = GRID[at] + STEP * (share - 0.5)
    return found


def _passage(p_below: Floats) -> Floats:
    """(n, 3) years at which the probability of being too thin reaches `LEVELS`; inf where it does not."""
    return np.stack([crossing(p_below, level) for level in LEVELS], axis=1)


def crossing(p_below: Floats, level: float | Floats) -> Floats:
    """(n,) years at which rows of probabilities (n, Y) at `YEARS` reach a level (n,); inf where they do not."""
    levels = np.broadcast_to(np.asarray(level, dtype=np.float64), p_below.shape[:1])
    there = p_below >= levels[:, None]
    at = np.where(there.any(axis=1), there.argmax(axis=1), len(YEARS))
    inside = (at > 0) & (at < len(YEARS))
    high = np.clip(at, 1, len(YEARS) - 1)
    rows = np.arange(len(p_below))
    p0, p1 = p_below[rows, high - 1], p_below[rows, high]
    share = np.where(p1 > p0, (levels - p0) / np.where(p1 > p0, p1 - p0, 1.0), 1.0)
    years = YEARS[high - 1] + share * (YEARS[high] - YEARS[high - 1])
    found: Floats = np.where(inside, years, np.where(at == 0, 0.0, np.inf))
    return found


def _surprise(
    prior: Prior, evidence: Evidence, points: Indices, pace: Floats, path: Indices, wall: Floats, particles: _Particles
) -> Floats:
    """(m,) of the findings at these points: reading less the median wall of its day, in standard errors."""
    if not len(points):
        return np.zeros(0)
    now = np.arange(*np.searchsorted(evidence.point, [points[0], points[-1] + 1]))
    if not len(now):
        return np.zeros(0)
    at = np.searchsorted(points, evidence.point[now])
    point, paths = evidence.point[now], path[at]
    since = _corroding(prior, point, evidence.ago_y[now], particles, paths)
    grown = particles.grown(paths, _tau(prior, point, since))
    median = np.median(wall[at] - pace[at] * grown, axis=1)
    found: Floats = (evidence.reading[now] - median) / evidence.sigma[now]
    return found
