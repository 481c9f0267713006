"""Scoring: rows per second of the collector's scoring call, beside other detectors and a bare matrix product.

All sides are measured in one run on the same made-up rows of 52 sensors, as CPU time of the process. The others are
different algorithms: the ratio compares the cost of a row, not what is detected.
"""

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import cpu_per_call, table
from devices.frame import Asset, Channel
from lab.scorer import RowBlock, Scorer
from models.detector import dumps, loads
from models.precursor import Precursor, fit

SENSORS = 52
ASSETS = (1, 100, 10_000)
HISTORY = 10_000
"""Rows of one asset scored in one call, as a replay does."""

Floats = NDArray[np.float64]


def plant(rows: int, seed: int) -> Floats:
    """(rows, 52): eight hidden wanderers seen by all sensors, with noise."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(rows, 8))
    hidden = np.empty_like(steps)
    level = np.zeros(8)
    for row, step in enumerate(steps):
        level = 0.9 * level + step
        hidden[row] = level
    return hidden @ np.random.default_rng(7).normal(size=(8, SENSORS)) + rng.normal(size=(rows, SENSORS))


def runtime(model: Precursor, assets: int, rows: int) -> Callable[[], object]:
    """A call that takes `rows` new normal rows of each of `assets` assets, their state kept, as the collector does."""
    scorer = Scorer()
    tags = [Channel(name) for name in model.sensors]
    numbers = [scorer.declare(Asset(f"a{at}", "plant"), tags) for at in range(assets)]
    whole = loads(dumps(model))
    for number in numbers:
        scorer.use(number, whole)
    x = plant(assets * rows, 3)
    q = np.zeros(x.shape, dtype=np.uint8)
    whose = np.repeat(np.array(numbers, dtype=np.int32), rows)
    seconds = np.tile(np.arange(rows, dtype=np.int64), assets)
    begin = itertools.count()
    return lambda: scorer.ingest(RowBlock(whose, (next(begin) * rows + seconds + 1) * 10**9, x, q))


def product(model: Precursor, rows: int) -> Callable[[], object]:
    """The bare matrix products of the same size."""
    wide, components = model.loadings.shape
    x, there = np.ones((rows, wide)), np.ones((wide, components))
    back = np.ones((components, 2 * wide))
    return lambda: (x @ there) @ back


def forest(normal: Floats, rows: int) -> Callable[[], object]:
    """scikit-learn's isolation forest of 100 trees on a batch."""
    from sklearn.ensemble import IsolationForest

    trees = IsolationForest(n_estimators=100, random_state=1).fit(normal)
    x = plant(rows, 3)
    return lambda: trees.score_samples(x)


def half_space_trees(normal: Floats, learns: bool) -> Callable[[], object]:
    """River's half-space trees, a row a call, as they come; `learns` as its users do after each score."""
    from river.anomaly import HalfSpaceTrees

    low, high = normal.min(axis=0), normal.max(axis=0)
    unit = np.clip((normal - low) / (high - low), 0, 1)
    rows = [dict(enumerate(row)) for row in unit[:500].tolist()]
    trees = HalfSpaceTrees(seed=1)
    for row in rows:
        trees.learn_one(row)
    turn = itertools.cycle(rows)

    def call() -> float:
        row = next(turn)
        score: float = trees.score_one(row)
        if learns:
            trees.learn_one(row)
        return score

    return call


def run() -> str:
    """The report's section."""
    normal = plant(4000, 1)
    model = fit(normal, [f"s{at}" for at in range(SENSORS)], 1.0)
    trees = {learns: 1 / cpu_per_call(half_space_trees(normal, learns)) for learns in (False, True)}
    lines = []
    for assets, rows in [*((assets, 1) for assets in ASSETS), (1, HISTORY)]:
        count = assets * rows
        seconds = cpu_per_call(runtime(model, assets, rows), 1.0)
        bare = cpu_per_call(product(model, count), 0.3)
        other = count / cpu_per_call(forest(normal, count), 0.5)
        rate = count / seconds
        lines.append(
            (
                f"{assets:,} x {rows:,}",
                rate,
                1e6 / rate,
                f"{rate / trees[True]:.1f}",
                f"{rate / other:.1f}",
                f"{100 * bare / seconds:.0f} %",
            )
        )
    head = ("assets x rows", "rows/s", "us a row", "of River", "of the forest", "share of the product")
    return (
        f"The collector's scoring call: {SENSORS} sensors, {model.lags} lags, {model.loadings.shape[1]} components; "
        "scores, contributions, charts, episodes, states kept; CPU time.\n\n"
        + table(head, lines)
        + f"\nRiver: HalfSpaceTrees, a row a call, {trees[True]:,.0f} rows/s with learning ({trees[False]:,.0f} "
        "scoring only). Forest: scikit-learn IsolationForest(100) on the same batch. Product: the two matrix "
        "products alone, same sizes. More than 1 is faster.\n"
    )
