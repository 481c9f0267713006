"""The detectors an engineer would otherwise install, in the form that the detection benchmark wants.

Each has one configuration: the published one on the Tennessee Eastman data (Chiang, Russell & Braatz 2001), and its own
rule elsewhere. Their limit is the 99 % quantile of the training record, as textbooks set it; a row above is an alarm.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.subject import Fitted, Limit, Scored, Subject

Floats = NDArray[np.float64]
Scorer = Callable[[Floats], Floats]
"""Standardised rows (n, S) to scores (n,), NaN where there is none yet."""

QUANTILE: Final = 0.99
EXPLAINED: Final = 0.9
"""Share of the variance that the components hold where no number is published."""
RIDGE: Final = 1e-6
"""Added to covariances of standardised rows before they are inverted."""
TEP_SENSORS: Final = 52
TREES: Final = 100
MOST_ROWS: Final = 20_000
"""Rows that the trees learn from."""


@dataclass(frozen=True)
class Standard:
    """A peer, fitted: standardises, holds the last value over gaps, scores."""

    center: Floats
    scale: Floats
    scorer: Scorer
    limit: float = np.nan
    promise: float | None = None

    def prepare(self, rows: Floats) -> Floats:
        """Standardised rows; a gap holds the last value, or the mean before the first."""
        z = (rows - self.center) / self.scale
        last = np.maximum.accumulate(np.where(np.isfinite(z), np.arange(len(z))[:, None], 0), axis=0)
        return np.nan_to_num(np.take_along_axis(z, last, axis=0))

    def raw(self, rows: Floats) -> Floats:
        """(n,) scores."""
        return self.scorer(self.prepare(rows))

    def score(self, rows: Floats) -> Scored:
        score = self.raw(rows)
        with np.errstate(invalid="ignore"):
            return Scored(score, np.asarray(score > self.limit))


@dataclass(frozen=True)
class Peer:
    """A detector that is made of standardised runs."""

    name: str
    make: Callable[[list[Floats]], Scorer]

    def fit(
        self,
        runs: Sequence[Floats],
        sensors: tuple[str, ...],
        period_s: float,
        stream_head: Floats | None = None,
        *,
        per_month: float = 1.0,
        limits: Sequence[Limit] = (),
    ) -> Fitted:
        """As `Subject.fit`; it asks for nothing but the runs."""
        joined = np.concatenate(list(runs))
        center, scale = np.nanmean(joined, axis=0), np.nanstd(joined, axis=0, ddof=1)
        scale = np.where(scale > 1e-9 * np.maximum(np.abs(center), 1e-300), scale, 1.0)
        bare = Standard(center, scale, lambda z: np.full(len(z), np.nan))
        scorer = self.make([bare.prepare(run) for run in runs])
        fitted = Standard(center, scale, scorer)
        scores = np.concatenate([fitted.raw(run) for run in runs])
        return Standard(center, scale, scorer, float(np.nanquantile(scores, QUANTILE)))


def lagged(z: Floats, lags: int) -> Floats:
    """(n - lags, (lags + 1) * S): each row with the ones before it, the newest first."""
    n = len(z) - lags
    return np.concatenate([z[lags - lag : lags - lag + n] for lag in range(lags + 1)], axis=1)


def late(scores: Floats, rows: int) -> Floats:
    """Scores whose first ones are missing, at the rows they belong to."""
    return np.concatenate([np.full(rows - len(scores), np.nan), scores])


def principal(runs: list[Floats], lags: int, components: int, statistic: str) -> Scorer:
    """Hotelling's T² within, or the squared prediction error outside, the first principal components of lagged rows."""
    x = np.concatenate([lagged(run, lags) for run in runs])
    mean = x.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1]))
    values, vectors = values[::-1], vectors[:, ::-1]
    if runs[0].shape[1] != TEP_SENSORS:
        components = int(np.searchsorted(np.cumsum(values), EXPLAINED * values.sum())) + 1
    plane, variance = vectors[:, :components], np.maximum(values[:components], 1e-12)

    def score(z: Floats) -> Floats:
        if len(z) <= lags:
            return np.full(len(z), np.nan)
        centred = lagged(z, lags) - mean
        inside = centred @ plane
        if statistic == "T2":
            return late(np.sum(inside**2 / variance, axis=1), len(z))
        return late(np.sum((centred - inside @ plane.T) ** 2, axis=1), len(z))

    return score


def canonical(runs: list[Floats], lags: int = 3, states: int = 29) -> Scorer:
    """T² of what the canonical states leave out (CVA T_r²): past of `lags` rows against as many to come."""
    past, future = [], []
    for run in runs:
        n = len(run) - 2 * lags + 1
        past.append(lagged(run, lags - 1)[:n])
        future.append(lagged(run, lags - 1)[lags : lags + n])
    p, f = np.concatenate(past), np.concatenate(future)
    p, f = p - p.mean(axis=0), f - f.mean(axis=0)
    count = min(len(p), len(f))
    root_p, root_f = inverse_root(p.T @ p / (count - 1)), inverse_root(f.T @ f / (count - 1))
    _, _, right = np.linalg.svd(root_f @ (f[:count].T @ p[:count] / (count - 1)) @ root_p, full_matrices=False)
    keep = min(states, max(1, min(p.shape[1], f.shape[1]) // 2))
    white = root_p @ (np.eye(p.shape[1]) - right[:keep].T @ right[:keep])
    mean = np.concatenate(past).mean(axis=0)

    def score(z: Floats) -> Floats:
        if len(z) <= lags:
            return np.full(len(z), np.nan)
        before = lagged(z, lags - 1)[:-1]  # the row itself is not yet past
        return late(np.sum(((before - mean) @ white) ** 2, axis=1), len(z))

    return score


def inverse_root(covariance: Floats) -> Floats:
    """Symmetric inverse square root; the ridge stands in for directions that rounding alone moves."""
    values, vectors = np.linalg.eigh(covariance + RIDGE * np.eye(len(covariance)))
    root: Floats = (vectors / np.sqrt(np.maximum(values, RIDGE))) @ vectors.T
    return root


def isolation_forest(runs: list[Floats]) -> Scorer:
    """scikit-learn's isolation forest."""
    from sklearn.ensemble import IsolationForest

    trees = IsolationForest(n_estimators=TREES, random_state=1).fit(thinned(np.concatenate(runs)))
    return lambda z: -np.asarray(trees.score_samples(z), dtype=np.float64)


def half_space_trees(runs: list[Floats]) -> Scorer:
    """River's half-space trees on values scaled to the record's range, with the mass of its last window."""
    from river.anomaly import HalfSpaceTrees

    record = np.concatenate(runs)
    low, high = record.min(axis=0), record.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    learnt = record[-MOST_ROWS // 4 :]
    trees = HalfSpaceTrees(n_trees=25, height=8, window_size=min(250, len(learnt)), seed=1)

    def unit(z: Floats) -> list[dict[int, float]]:
        return [dict(enumerate(row)) for row in np.clip((z - low) / span, 0.0, 1.0).tolist()]

    for row in unit(learnt):
        trees.learn_one(row)  # type: ignore[no-untyped-call]

    def score(z: Floats) -> Floats:
        return np.array([trees.score_one(row) for row in unit(z)])  # type: ignore[no-untyped-call]

    return score


def thinned(rows: Floats) -> Floats:
    """Evenly spaced rows, at most `MOST_ROWS`."""
    return rows[:: -(-len(rows) // MOST_ROWS)]


PEERS: Final[tuple[Subject, ...]] = (
    Peer("PCA T2", lambda runs: principal(runs, 0, 11, "T2")),
    Peer("PCA Q", lambda runs: principal(runs, 0, 11, "Q")),
    Peer("DPCA T2", lambda runs: principal(runs, 2, 29, "T2")),
    Peer("DPCA Q", lambda runs: principal(runs, 2, 29, "Q")),
    Peer("CVA Tr2", canonical),
    Peer("isolation forest", isolation_forest),
    Peer("half-space trees", half_space_trees),
)
