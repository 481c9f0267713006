"""Probability of damage from what is on record of a place, learned from stripped places on top of the physics.

Two learners of damage are averaged: a logistic regression whose offset is the physics' own probability, and boosted
trees that begin with it. A third, a forest, learns how much was lost. All see rate and depth by physics as features. A
logistic regression on their predictions for lines left out joins and calibrates them; the interval is Venn-Abers' (Vovk
et al. 2015) on the same. Places are stripped because they looked bad, so each is weighed by how unlikely its choice
was. Lines are never split between folds.
"""

import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, ndtr

from models.corrosion.degradation import SPREAD_LINE, SPREAD_PLANT, SPREAD_POINT, Prior, paths_at
from models.corrosion.tables import COATING, INSULATION, PART, Codes, Flags, Floats, Indices, Lines, Points

LEAST_ROWS: Final = 40
LEAST_OF_EACH: Final = 10
LEAST_LINES: Final = 8
"""Fewer labels, damaged or sound ones, or lines: the physics' own probability is the answer."""
FOLDS: Final = 5
RANK_FROM: Final = (0.05, 0.15, 0.40)
"""Probability from which a place ranks medium, high, very high."""
GREATEST_WEIGHT: Final = 6.0
"""Of one place against the mean, for having been an unlikely choice."""
RIDGE: Final = 6.0
TREES: Final = 100
FOREST: Final = 60
SHARES: Final = (-0.3, 2.5)
"""Losses that the forest learns from, in limits of damage: slips beyond them count as these."""


@dataclass(frozen=True, slots=True)
class Learned:
    """Probability of damage of `P` points."""

    estimate: Floats
    low: Floats
    high: Floats
    """(P,) the interval around it."""
    fitted: bool
    """False: too little to learn from; physics alone."""


def damage_limit(t_nom: ArrayLike) -> Floats:
    """Loss that counts as damage, mm: at least 1 mm and a fifth of the nominal wall."""
    found: Floats = np.maximum(1.0, 0.2 * np.asarray(t_nom, dtype=np.float64))
    return found


def physics_probability(prior: Prior, point: Indices, ago_y: Floats, limit: Floats) -> Floats:
    """(n,) probability of having lost `limit` (n,) at points, some years before the prior's day, by physics alone."""
    loss = prior.rate[point][:, None] * paths_at(prior, point, ago_y)
    width = np.sqrt(SPREAD_PLANT**2 + SPREAD_LINE**2 + SPREAD_POINT**2)
    found: Floats = ndtr(np.log(np.maximum(loss, 1e-9) / limit[:, None]) / width).mean(axis=1)
    return found


def features(lines: Lines, points: Points, prior: Prior, point: Indices, ago_y: Floats, physics: bool = True) -> Floats:
    """(n, F) what is on record of places on a day; `physics` adds rate, depth and probability by physics."""
    row = points.line[point]
    t = np.nan_to_num(lines.t_op[row], nan=20.0)
    swing = np.nan_to_num(lines.t_max[row] - lines.t_min[row], nan=0.0)
    age = np.clip(prior.age_y[point] - ago_y, 0.0, 80.0)
    coated = np.clip(prior.coated_y[point] - ago_y, 0.0, 80.0)
    wet = points.wet_fraction[point]
    columns: list[Any] = [
        t / 50.0,
        *(np.clip(t - knot, 0.0, 80.0) / 40.0 for knot in (-20.0, 20.0, 60.0, 100.0, 140.0)),
        swing / 40.0,
        age / 15.0,
        np.sqrt(age),
        coated / 15.0,
        np.clip(coated - prior.life_y[point], 0.0, None) / 15.0,
        np.clip(age - coated - prior.life_y[point], 0.0, None) / 15.0,
        np.maximum(points.jacket_damage[point], 0),
        _known(points.condition[point], 1),
        _known(points.complexity[point], 1),
        points.on_beam[point] > 0,
        points.interface[point] > 0,
        np.nan_to_num(points.height_m[point], nan=3.0) / 5.0,
        points.height_m[point] < 2.0,
        _known(lines.driver[row], 1),
        lines.driver[row] < 0,
        lines.heat_traced[row] > 0,
        lines.sheltered[row] > 0,
        np.log(np.clip(np.nan_to_num(lines.tower_m[row], nan=500.0), 10.0, 2000.0) / 150.0),
        np.nan_to_num(wet, nan=0.0),
        np.isnan(wet),
        lines.t_nom[row] / 5.0,
        *(lines.insulation[row] == code for code in range(len(INSULATION))),
        *(lines.coating[row] == code for code in range(len(COATING))),
        *(points.part[point] == code for code in range(len(PART))),
    ]
    units = sorted(set(lines.plant))
    if 1 < len(units) <= 12:
        of_line = np.array([units.index(unit) for unit in lines.plant])
        columns += [of_line[row] == number for number in range(len(units))]
    if physics:
        limit = damage_limit(lines.t_nom[row])
        chance = physics_probability(prior, point, ago_y, limit)
        loss = prior.rate[point] * paths_at(prior, point, ago_y).mean(axis=1)
        columns += [np.log(prior.rate[point]), np.log(np.maximum(loss, 0.02) / limit), _logit(chance)]
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])


def _known(codes: Codes, instead: int) -> Floats:
    return np.where(codes < 0, instead, codes).astype(np.float64)


def _logit(p: Floats) -> Floats:
    found: Floats = logit(np.clip(p, 1e-4, 1 - 1e-4))
    return found


@dataclass(frozen=True, slots=True)
class Logistic:
    """A logistic regression with an offset and a ridge on all but the intercept."""

    centre: Floats
    scale: Floats
    weights: Floats
    """(F + 1,) of the standardised columns, the intercept last."""

    def margin(self, x: Floats, offset: Floats) -> Floats:
        """(n,) ln(odds)."""
        found: Floats = offset + ((x - self.centre) / self.scale) @ self.weights[:-1] + self.weights[-1]
        return found


def logistic(x: Floats, y: Flags, offset: Floats, weight: Floats, ridge: float = RIDGE) -> Logistic:
    """Fit by Newton's method; a column that is constant gets no weight."""
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-9, scale, np.inf)
    z = np.column_stack([(x - centre) / scale, np.ones(len(x))])
    penalty = np.append(np.full(x.shape[1], ridge), 1e-6)
    beta = np.zeros(z.shape[1])
    for _ in range(30):
        p = expit(np.clip(offset + z @ beta, -30, 30))
        slope = z.T @ (weight * (y - p)) - penalty * beta
        curve = (z * (weight * p * (1 - p))[:, None]).T @ z + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curve, slope)
        size = np.abs(step).max()
        beta += step * min(1.0, 2.0 / max(size, 1e-12))
        if size < 1e-8:
            break
    return Logistic(centre, scale, beta)


def _trees(x: Floats, y: Flags, weight: Floats, seed: int) -> Any:
    """Boosted trees that begin with the physics' probability, the last column."""
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.ensemble import GradientBoostingClassifier

    class Begin(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Odds of the physics with a slope and an intercept of their own."""

        def fit(self, x: Floats, y: Flags, sample_weight: Floats | None = None) -> "Begin":
            self.classes_ = np.array([False, True])
            given = np.ones(len(x)) if sample_weight is None else sample_weight
            self.model_ = logistic(x[:, -1:], y.astype(np.bool_), np.zeros(len(x)), given, 0.1)
            return self

        def predict_proba(self, x: Floats) -> Floats:
            p = expit(self.model_.margin(x[:, -1:], np.zeros(len(x))))
            return np.column_stack([1 - p, p])

    model = GradientBoostingClassifier(
        init=Begin(), n_estimators=TREES, learning_rate=0.07, max_depth=3, subsample=0.6, min_samples_leaf=15,
        max_features=0.3, random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x, y, sample_weight=weight)


class Fitted:
    """The three learners."""

    def __init__(self, x: Floats, share: Floats, weight: Floats, seed: int = 0) -> None:
        """`x` with the physics columns (n, F), the last is the offset; `share` (n,) loss in limits of damage."""
        from sklearn.ensemble import ExtraTreesRegressor

        self.linear = logistic(x, share >= 1.0, x[:, -1], weight)
        self.boosted = _trees(x, share >= 1.0, weight, seed)
        self.forest = ExtraTreesRegressor(FOREST, min_samples_leaf=5, max_features=0.4, random_state=seed)
        self.forest.fit(x, np.clip(share, *SHARES), sample_weight=weight)

    def parts(self, x: Floats) -> tuple[Floats, Floats]:
        """(n,) probability by the first two."""
        linear = expit(self.linear.margin(x, x[:, -1]))
        return linear, self.boosted.predict_proba(x)[:, 1]

    def columns(self, x: Floats) -> Floats:
        """(n, 2) ln(odds) of their mean, and the forest's loss in limits."""
        linear, boosted = self.parts(x)
        return np.column_stack([_logit(0.5 * (linear + boosted)), self.forest.predict(x)])


def choice_weights(x_chosen: Floats, x_all: Floats, row_of: Indices) -> Floats:
    """(n,) weights of labelled rows against the choice of what was stripped, mean 1.

    Args:
        x_chosen: (n, F) the labelled rows.
        x_all: (P, F) all points.
        row_of: (n,) which point each is.
    """
    chosen = np.zeros(len(x_all), dtype=np.bool_)
    chosen[row_of] = True
    if chosen.all():
        return np.ones(len(x_chosen))
    model = logistic(x_all, chosen, np.zeros(len(x_all)), np.ones(len(x_all)), 10.0)
    chance = expit(model.margin(x_chosen, np.zeros(len(x_chosen))))
    weight = 1.0 / np.clip(chance, 0.02, 1.0)
    weight = np.minimum(weight / weight.mean(), GREATEST_WEIGHT)
    found: Floats = weight / weight.mean()
    return found


def folds_by_line(line: Indices, folds: int = FOLDS) -> Indices:
    """(n,) fold of each row; the rows of a line stay together and folds have about equal numbers of rows."""
    names, rows = np.unique(line, return_counts=True)
    load = np.zeros(folds)
    of = np.zeros(len(names), dtype=np.int64)
    for at in np.argsort(-rows, kind="stable"):
        of[at] = int(load.argmin())
        load[of[at]] += rows[at]
    found: Indices = of[np.searchsorted(names, line)]
    return found


def venn_abers(score: Floats, y: Flags, weight: Floats, at: Floats, steps: int = 60) -> tuple[Floats, Floats]:
    """(m,) (m,) lower and upper probability at scores `at` from labelled scores (inductive Venn-Abers)."""
    from sklearn.isotonic import IsotonicRegression

    probes = np.unique(np.quantile(np.concatenate([score, at]), np.linspace(0.0, 1.0, steps)))
    bounds = np.empty((len(probes), 2))
    usual = float(np.median(weight))
    for number, probe in enumerate(probes):
        for label in (0, 1):
            model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
            model.fit(np.append(score, probe), np.append(y, label), np.append(weight, usual))
            bounds[number, label] = model.predict([probe])[0]
    return np.interp(at, probes, bounds[:, 0]), np.interp(at, probes, bounds[:, 1])


def learn(
    lines: Lines, points: Points, prior: Prior, point: Indices, ago_y: Floats, share: Floats, seed: int = 0
) -> Learned:
    """Learn from stripped places and give the probability of every point on the day of the prior.

    A line's own labels never enter what is said of it, so that they can be used on top.

    Args:
        lines: their table.
        points: their table.
        prior: of the points, by physics.
        point: (n,) which was stripped.
        ago_y: (n,) years before.
        share: (n,) loss found, in limits of damage.
        seed: of the trees.
    """
    damaged = share >= 1.0
    every = np.arange(len(points.line))
    now = np.zeros(len(every))
    limit = damage_limit(lines.t_nom[points.line])
    groups = points.line[point]
    counts = (len(point), int(damaged.sum()), int((~damaged).sum()), len(np.unique(groups)))
    if counts[0] < LEAST_ROWS or min(counts[1:3]) < LEAST_OF_EACH or counts[3] < LEAST_LINES:
        width = np.sqrt(SPREAD_PLANT**2 + SPREAD_LINE**2)
        chance = physics_probability(prior, every, now, limit)
        swing = 1.645 * width * 1.7  # ln(odds) for ln(rate), about
        return Learned(chance, expit(_logit(chance) - swing), expit(_logit(chance) + swing), False)
    x_all = features(lines, points, prior, every, now)
    x = features(lines, points, prior, point, ago_y)
    weight = choice_weights(x[:, :-3], x_all[:, :-3], point)
    fold = folds_by_line(groups)
    raw = np.empty((len(every), 2))
    strange = ~np.isin(points.line, groups)
    if strange.any():
        raw[strange] = Fitted(x, share, weight, seed).columns(x_all[strange])
    left_out = np.empty((len(x), 2))
    for number in range(FOLDS):
        test = fold == number
        model = Fitted(x[~test], share[~test], weight[~test], seed)
        left_out[test] = model.columns(x[test])
        mine = np.isin(points.line, np.unique(groups[test]))
        raw[mine] = model.columns(x_all[mine])
    joint = logistic(left_out, damaged, np.zeros(len(x)), weight, 1.0)
    estimate = expit(joint.margin(raw, np.zeros(len(raw))))
    low, high = venn_abers(expit(joint.margin(left_out, np.zeros(len(x)))), damaged, weight, estimate)
    return Learned(estimate, np.minimum(low, estimate), np.maximum(high, estimate), True)


def rank(probability: Floats) -> Codes:
    """(P,) index into `RANKS`."""
    return np.digitize(probability, RANK_FROM).astype(np.int8)


def shift(prior: Prior, probability: Floats, limit: Floats, sigma: float) -> Floats:
    """(P,) what to add to ln(rate) so that the prior says this probability of damage, within -2.5 to 2.5.

    Args:
        prior: of the points.
        probability: (P,) to be met.
        limit: (P,) loss that is damage.
        sigma: width of ln(rate) around the physics.
    """
    every = np.arange(len(prior.rate))
    loss = np.log(np.maximum(prior.rate[:, None] * paths_at(prior, every, np.zeros(len(every))), 1e-9) / limit[:, None])
    low, high = np.full(len(every), -2.5), np.full(len(every), 2.5)
    for _ in range(14):
        middle = 0.5 * (low + high)
        more = ndtr((loss + middle[:, None]) / sigma).mean(axis=1) < probability
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    found: Floats = 0.5 * (low + high)
    return found
