"""Scoring: rows per second of the collector's scoring call, beside other detectors and a bare matrix product.

All sides are measured in one run on made-up rows of 52 sensors, as CPU time of the process. The others are different
algorithms: the ratio compares the cost of a row, not what is detected. Of the lab's detector nothing is used but
`models.detector.Detector`.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from benchmarks.bars import Line, least, most, number
from benchmarks.report import cpu_per_call, table
from devices.frame import Asset, Channel
from lab.blocks import RowBlock
from lab.scorer import Scorer
from models.detector import Detector, dumps, loads
from models.precursor import fit

SENSORS = 52
ASSETS = (1, 100, 1_000, 10_000)
HISTORY = 10_000
"""Rows of one asset scored in one call, as a replay does."""
TICKS = 24
"""Different rows of each asset, there and back again; of a replay two blocks, one after the other."""
HIDDEN, MEMORY = 8, 0.9
TRAINING = 4_000
MISSING = 0.01
"""Share of the values that is not there, at random."""

Floats = NDArray[np.float64]


def plants(assets: int, rows: int, seed: int) -> Floats:
    """(assets, rows, 52): eight hidden wanderers of each plant, seen by all sensors, with noise.

    They are Gaussian and of the first order, so that the same rows backwards are as normal.
    """
    rng = np.random.default_rng(seed)
    before = rng.normal(size=(assets, 1, HIDDEN)) * MEMORY / math.sqrt(1 - MEMORY**2)
    level, _ = lfilter([1.0], [1.0, -MEMORY], rng.normal(size=(assets, rows, HIDDEN)), axis=1, zi=before)
    found: Floats = level @ np.random.default_rng(7).normal(size=(HIDDEN, SENSORS))
    found += rng.normal(size=found.shape)
    return found


def stream(assets: int, rows: int, missing: float = 0.0) -> Iterator[Floats]:
    """Ticks (assets, rows, 52) for ever, forwards and backwards, so that each row follows one that it may follow.

    A share of the values is `missing`, at random.
    """
    count = TICKS if rows == 1 else 2
    whole = plants(assets, count * rows, 3)
    if missing:
        whole[np.random.default_rng(5).random(whole.shape) < missing] = np.nan
    blocks = [np.ascontiguousarray(whole[:, at * rows : (at + 1) * rows]) for at in range(count)]
    return itertools.cycle([*blocks, *([] if rows > 1 else blocks[-2:0:-1])])


class Live(NamedTuple):
    """The collector's call on a stream of ticks."""

    call: Callable[[], object]
    alarmed: Callable[[], float]
    """Share of the rows of the last call that were in alarm: made-up normal rows should not be."""


def runtime(model: Detector, assets: int, rows: int, missing: float = 0.0) -> Live:
    """A call that takes `rows` new normal rows of each of `assets` assets, their state kept, as the collector does."""
    scorer = Scorer()
    tags = [Channel(name) for name in model.sensors]
    numbers = [scorer.declare(Asset(f"a{at}", "plant"), tags) for at in range(assets)]
    whole = loads(dumps(model))
    for number_ in numbers:
        scorer.use(number_, whole)
    ticks = stream(assets, rows, missing)
    q = np.zeros((assets * rows, SENSORS), dtype=np.uint8)
    whose = np.repeat(np.array(numbers, dtype=np.int32), rows)
    seconds = np.tile(np.arange(rows, dtype=np.int64), assets)
    begin = itertools.count()
    last = [0.0]

    def call() -> None:
        scored = scorer.ingest(
            RowBlock(whose, (next(begin) * rows + seconds + 1) * 10**9, next(ticks).reshape(-1, SENSORS), q)
        )
        last[0] = float(scored.alarm.mean())

    return Live(call, lambda: last[0])


def bare(model: Detector, assets: int, rows: int, missing: float = 0.0) -> Callable[[], object]:
    """The detector's own `score` on the same ticks."""
    ticks = stream(assets, rows, missing)
    state = [model.initial(assets)]

    def call() -> None:
        state[0], _ = model.score(state[0], next(ticks))

    return call


def product(rows: int) -> Callable[[], object]:
    """A plain product of the rows with one square matrix of the sensors, the least that looks at every pair of them."""
    x, square = np.ones((rows, SENSORS)), np.ones((SENSORS, SENSORS))
    out = np.empty((rows, SENSORS))
    return lambda: np.matmul(x, square, out=out)


def forest(normal: Floats, rows: int) -> Callable[[], object]:
    """scikit-learn's isolation forest of 100 trees on a batch."""
    from sklearn.ensemble import IsolationForest

    trees = IsolationForest(n_estimators=100, random_state=1).fit(normal)
    x = plants(1, rows, 3)[0]
    return lambda: trees.score_samples(x)


def half_space_trees(normal: Floats, learns: bool) -> Callable[[], object]:
    """River's half-space trees, a row a call, as they come; `learns` as its users do after each score."""
    from river.anomaly import HalfSpaceTrees

    low, high = normal.min(axis=0), normal.max(axis=0)
    unit = np.clip((normal - low) / (high - low), 0, 1)
    rows = [dict(enumerate(row)) for row in unit[:500].tolist()]
    trees = HalfSpaceTrees(seed=1)
    for row in rows:
        trees.learn_one(row)  # type: ignore[no-untyped-call]
    turn = itertools.cycle(rows)

    def call() -> float:
        row = next(turn)
        score: float = trees.score_one(row)  # type: ignore[no-untyped-call]
        if learns:
            trees.learn_one(row)  # type: ignore[no-untyped-call]
        return score

    return call


class Cost(NamedTuple):
    """CPU seconds of a tick."""

    live: float
    bare: float
    product: float
    forest: float
    alarmed: float


def measure(model: Detector, normal: Floats, assets: int, rows: int) -> Cost:
    """All sides of `assets` assets with `rows` rows each."""
    count = assets * rows
    live = runtime(model, assets, rows)
    seconds = cpu_per_call(live.call, 1.0)
    return Cost(
        seconds,
        cpu_per_call(bare(model, assets, rows), 1.0),
        cpu_per_call(product(count), 0.3),
        cpu_per_call(forest(normal, count), 0.5),
        live.alarmed(),
    )


def run() -> str:
    """The report's section."""
    normal = plants(1, TRAINING, 1)[0]
    model: Detector = fit(normal, [f"s{at}" for at in range(SENSORS)], 1.0)
    learning, scoring = (cpu_per_call(half_space_trees(normal, learns)) for learns in (True, False))
    costs = {
        (assets, rows): measure(model, normal, assets, rows)
        for assets, rows in [*((a, 1) for a in ASSETS), (1, HISTORY)]
    }
    lines = []
    for (assets, rows), cost in costs.items():
        count = assets * rows
        lines.append(
            (
                f"{assets:,} x {rows:,}",
                1e3 * cost.live,
                1e3 * cost.bare,
                count * SENSORS / cost.live,
                1e6 * cost.live / count,
                number(learning * count / cost.live, 1),
                number(learning * count / cost.bare, 1),
                number(cost.forest / cost.live, 1),
                f"{100 * cost.product / cost.live:.1f} %",
                f"{100 * cost.product / cost.bare:.1f} %",
                f"{100 * cost.alarmed:.1f} %",
            )
        )
    gaps = []
    for (assets, rows), cost in costs.items():
        live, alone = (cpu_per_call(call, 1.0) for call in (
            runtime(model, assets, rows, MISSING).call, bare(model, assets, rows, MISSING)
        ))  # fmt: skip
        gaps.append(
            (f"{assets:,} x {rows:,}", 1e3 * live, 1e3 * alone, 1e6 * live / (assets * rows),
             number(live / cost.live, 1), number(alone / cost.bare, 1))
        )  # fmt: skip
    gaps_head = "assets x rows", "ms a call", "detector alone", "us a row", "of that without gaps", "alone"
    head = (
        "assets x rows", "ms a call", "detector alone", "readings/s", "us a row", "of River", "alone", "of the forest",
        "product's share", "alone", "in alarm",
    )  # fmt: skip
    most_assets, some = costs[ASSETS[-1], 1], costs[ASSETS[1], 1]
    # the exponent between the two: 1 is a cost in proportion to the assets
    growth = math.log(most_assets.live / some.live) / math.log(ASSETS[-1] / ASSETS[1])
    judged = [
        Line(f"ms a tick, {ASSETS[-1]:,} assets x {SENSORS}", {"lab": 1e3 * most_assets.live}, None, most(25), 1),
        Line(f"of River per row, {ASSETS[-1]:,} assets", {"lab": learning * ASSETS[-1] / most_assets.live}, None,
             least(200), 1),
        Line("of River row by row, 1 asset", {"lab": learning / costs[1, 1].live}, None, least(3), 2),
        Line(f"power of the number of assets, {ASSETS[1]:,} to {ASSETS[-1]:,}", {"lab": growth}, None, most(1.05), 2),
    ]  # fmt: skip
    verdicts = [(line.what, number(line.figures["lab"], line.digits), line.aim, line.verdict("lab")) for line in judged]
    return (
        f"The collector's scoring call (`lab.scorer.Scorer.ingest`: scores, contributions, charts, episodes, states "
        f"kept) of the `{model.kind}` detector, {SENSORS} sensors; beside it the detector's own `score`. CPU time of "
        "one core.\n\n"
        + table(head, lines)
        + f"\nRiver: HalfSpaceTrees, a row a call, {1e6 * learning:.0f} us with learning ({1e6 * scoring:.0f} us "
        "scoring only). Forest: scikit-learn IsolationForest(100) on the same batch. More than 1 is faster. Product: "
        f"the rows times one {SENSORS} x {SENSORS} matrix, nothing else. "
        f"The aim of 200 x River is {1e3 * learning * ASSETS[-1] / 200:.2f} ms for {ASSETS[-1]:,} rows, that of 3 x "
        f"row by row {1e6 * learning / 3:.0f} us; the product alone takes {1e3 * most_assets.product:.2f} ms and "
        f"{1e6 * costs[1, 1].product:.1f} us.\n\n"
        + table(("figure", "measured", "aim", "verdict"), verdicts)
        + f"\nThe same with {MISSING:.0%} of the values missing at random, one or more in "
        f"{1 - (1 - MISSING) ** SENSORS:.0%} of the rows.\n\n" + table(gaps_head, gaps)
    )
