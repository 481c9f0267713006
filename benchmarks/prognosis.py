"""How good the forecast of trips is, on runs it was not learnt from; `python -m benchmarks.prognosis` learns it anew.

Learnt from: the odd-numbered faults, mishaps of many kinds (`benchmarks.mishaps`) and normal operation, by the plant's
own trips and by made-up limits on all continuously measured sensors. What was chosen, was chosen by kinds of mishaps
left out (`python -m benchmarks.prognosis` prints it). Measured on: the even-numbered faults and other mishaps, by the
plant's own trips. All with seeds of their own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.mishaps import EVERY_H, mishap, place_of
from benchmarks.report import say, table
from models.detector import Floats
from models.precursor import passage
from models.precursor.passage import HORIZONS, IN_SIGHT
from models.precursor.prognosis import (
    FAR,
    FEATURES,
    LAYERS,
    MEMORY,
    SHARES,
    Levels,
    Prognosis,
    chances,
    features,
    fit,
    quantiles,
)
from simulators import tep

AT_H: Final = 8.0
AT: Final = 160
"""When faults begin, and the row of it."""
PERIOD_S: Final = 180.0
CONTINUOUS: Final = 22
HIDDEN: Final = 32
NETS: Final = 2
EPOCHS: Final = 10
BATCH: Final = 1024
DECAY: Final = 1e-4
FOLDS: Final = 5
BINS: Final = 4
"""Of the told time, by which the levels differ."""
PLAIN: Final = 400
"""Mishaps of the plainest kind for the levels alone: one thing that is off from one moment on, as a user makes it."""
BATCHES: Final = 19
"""Of a hundred mishaps to learn from."""
LOST_SEED: Final = 4_500_000
"""Of what is lost of streams."""
MADE_UP: Final = (5.0, 150.0)
"""Distances of made-up limits from normal, standard deviations."""
HEAD: Final = '''"""Constants of `models.precursor.prognosis`; written by `python -m benchmarks.prognosis`."""
'''
LIMITS: Final = {v.tag: (v.lo_trip, v.hi_trip) for v in tep.VARIABLES[:52] if v.lo_trip or v.hi_trip}
Limits = Mapping[str, tuple[float | None, float | None]]
FLOWS: Final = (0, 1, 2, 3, 4, 5, 9, 13, 16, 18, 19)
"""Columns that follow a valve at once: their limits are rarely what a plant trips on, so they weigh less."""


class Runs(NamedTuple):
    """Records (n, T, 52) as gateways send them, what was wrong (n,), the trip's code (n,) and time in rows (n,)."""

    records: Floats
    cause: NDArray[np.int64]
    trip: NDArray[np.int64]
    trip_row: Floats
    """Rows from the start, in parts; NaN: none."""


def fault_runs(faults: Sequence[int], seeds: int, seed: int, hours: float = 48.0) -> Runs:
    """`seeds` runs of each fault."""
    cause = [fault for fault in faults for _ in range(seeds)]

    def switch(inputs: tep.Inputs) -> None:
        for plant, fault in enumerate(cause):
            if fault:
                inputs.set_fault(plant, fault)

    numbers = [seed + 1000 * fault + at for fault in faults for at in range(seeds)]
    return _simulate(hours, numbers, switch, cause)


def mishap_runs(count: int, seed: int, hours: float = 32.0) -> Runs:
    """Runs in each of which one thing, by chance, goes wrong that is none of the faults; cause 100 and up."""
    cause: list[int] = []

    def switch(inputs: tep.Inputs) -> None:
        for plant in range(count):
            rng = np.random.default_rng([seed, plant])
            kind, valve = int(rng.integers(4)), int(rng.integers(1, 12))
            way, size = float(rng.choice([-1, 1])), float(np.exp(rng.uniform(np.log(0.1), 0.0)))
            if kind == 0:
                inputs.set_actuator_fault(plant, valve, "lossofeffect", size)
            elif kind == 1:
                inputs.set_actuator_fault(plant, valve, "bias", way * 60.0 * size)
            elif kind == 2:
                inputs.set_manual(plant, valve)
                base = tep.VARIABLES[40 + valve].base
                inputs.set_valve(plant, valve, float(np.clip(base + way * 30.0 * size, 0.0, 100.0)))
            else:
                inputs.set_extra(plant, int(rng.integers(21, 29)))
            cause.append(100 + 20 * kind + valve)

    return _simulate(hours, [seed + plant for plant in range(count)], switch, cause)


def varied_runs(count: int, seed: int, hours: float = 48.0) -> Runs:
    """Runs with one mishap each, of all kinds there are."""
    found = [mishap(np.random.default_rng([seed, plant]), hours - AT_H) for plant in range(count)]

    def change(at: float) -> Callable[[tep.Inputs], None]:
        def move_all(inputs: tep.Inputs) -> None:
            for plant, (kind, move) in enumerate(found):
                if at == 0.0 or kind % 10:
                    move(inputs, plant, at)

        return move_all

    changes = [tep.Change(AT_H + at, change(at)) for at in np.arange(0.0, hours - AT_H, EVERY_H).tolist()]
    return _run(hours, [seed + plant for plant in range(count)], changes, [kind for kind, _ in found])


def _simulate(hours: float, seeds: Sequence[int], switch: Callable[[tep.Inputs], None], cause: Sequence[int]) -> Runs:
    return _run(hours, seeds, [tep.Change(AT_H, switch)], cause)


def _run(hours: float, seeds: Sequence[int], changes: Sequence[tep.Change], cause: Sequence[int]) -> Runs:
    run = tep.simulate(hours, seeds, changes, generator="numpy")
    records = tep.round_records(run.records, 5)
    rows = tep.trip_hours(run.state) * 3600.0 / PERIOD_S
    return Runs(records, np.array(cause), run.state.trip.astype(np.int64), rows)


class Samples(NamedTuple):
    """Of N rows before limits: features and what came of them."""

    found: Floats
    """(N, F)"""
    time: Floats
    """(N,) rows until the limit is reached; inf: not in this run."""
    left: Floats
    """(N,) rows that were left of the run."""
    weight: Floats
    """(N,)"""
    run: NDArray[np.int64]
    """(N,)"""
    kind: NDArray[np.int64]
    """(N,) mechanism and place of the mishap as one number; -1: it is a fault's run, or a normal one."""
    trip: NDArray[np.bool_]
    """(N,) whether the limit is one of the plant's own."""


def walk(prognosis: Prognosis, records: Floats) -> dict[str, Floats]:
    """The state after each row: (n, T, ...)."""
    state = prognosis.initial(len(records))
    nothing = np.zeros((len(records), 1), dtype=np.bool_)
    names = "ladder", "square", "busy", "high", "low"
    kept: dict[str, Floats] = {
        name: np.empty((len(records), records.shape[1], *state[name].shape[1:])) for name in names
    }
    for row in range(records.shape[1]):
        state, _ = prognosis.score(state, records[:, row : row + 1], nothing)
        for name in names:
            kept[name][:, row] = state[name]
    return kept


def signal_runs(count: int, seed: int, rows: int = 960) -> tuple[Runs, Floats]:
    """Signals of no plant, and normal ones: noise with a memory that climbs, goes to a new level, wanders or swings."""
    rng = np.random.default_rng(seed)
    shape = count, rows, len(tep.COLUMNS)
    noise = _noise(rng, np.exp(rng.uniform(np.log(3.0), np.log(60.0), (count, 1, shape[2]))), shape)
    at = np.maximum(np.arange(rows)[:, None] - rng.uniform(0.0, 600.0, (count, 1, shape[2])), 0.0) / 800.0
    size = rng.choice([-1.0, 1.0], (count, 1, shape[2])) * np.exp(rng.uniform(0.0, np.log(500.0), (count, 1, shape[2])))
    speed = np.exp(rng.uniform(np.log(0.5), np.log(40.0), size.shape))
    drifts = (
        np.zeros_like(at),
        at ** np.exp(rng.uniform(np.log(0.5), np.log(2.0), size.shape)),
        -np.expm1(-speed * at),
        _noise(rng, np.full(size.shape, 300.0), shape) * (at > 0),
        np.minimum(speed * at, 1.0) * np.sin(2.0 * np.pi * np.exp(rng.uniform(0.0, 3.5, size.shape)) * at),
    )
    kind = rng.choice(len(drifts), size.shape, p=(0.5, 0.2, 0.15, 0.1, 0.05))
    records = noise
    for each, drift in enumerate(drifts):
        records = records + size * (kind == each) * drift
    normal = _noise(rng, np.full((1, 1, shape[2]), MEMORY), (10, rows, shape[2]))
    nothing = np.zeros(count, dtype=np.int64)
    return Runs(records, nothing, nothing, np.full(count, np.nan)), normal


def _noise(rng: np.random.Generator, memory: Floats, shape: tuple[int, int, int]) -> Floats:
    """(n, T, S) of standard deviation 1 whose autocorrelation falls by 1/e in `memory` rows."""
    keep = np.exp(-1.0 / memory)
    found = rng.normal(size=shape)
    jolts = found * np.sqrt(1.0 - keep**2)
    for row in range(1, shape[1]):
        found[:, row] = keep[:, 0] * found[:, row - 1] + jolts[:, row]
    return found


def samples(
    runs: Runs, normal: Floats, seed: int, first_run: int, trips: Limits = LIMITS, begin: int = AT
) -> tuple[Samples, Samples]:
    """Rows before limits, the plant's own and for each run, sensor and side a made-up one; and all rows before trips.

    Args:
        runs: what happened.
        normal: (n, T, 52) normal records.
        seed: of the chance.
        first_run: number of the first run.
        trips: the plant's own limits.
        begin: the first row.
    """
    rng = np.random.default_rng(seed)
    wide = dict.fromkeys(tep.COLUMNS[:CONTINUOUS], (-1e6, 1e6))
    prognosis = fit(list(normal), tep.COLUMNS, wide, PERIOD_S)
    spread = np.concatenate(normal).std(axis=0)
    parts, before = [], []
    for lot in range(0, len(runs.records), 25):
        walked = walk(prognosis, runs.records[lot : lot + 25])
        for run in range(lot, min(lot + 25, len(runs.records))):
            kept = {name: array[run - lot] for name, array in walked.items()}
            for column in range(CONTINUOUS):
                for side in (1.0, -1.0):
                    own = trips.get(tep.COLUMNS[column], (None, None))[int(side > 0)]
                    limits = [(float(np.exp(rng.uniform(*np.log(MADE_UP)))) * spread[column], False)]
                    if own is not None:
                        limits.append(((own - prognosis.center[column]) * side, True))
                    for way, real in limits:
                        last, reached = _passage(
                            runs, run, column, side, way + prognosis.center[column] * side, real, begin
                        )
                        everything = np.arange(begin, last - (not reached))
                        if not len(everything):
                            continue
                        count = (40 if reached else 6) if real else (8 if reached else 2)
                        # a stream's first rows are few and look like no others
                        often = None if begin else 1.0 / (60.0 + everything) / (1.0 / (60.0 + everything)).sum()
                        rows = rng.choice(everything, min(len(everything), count), replace=False, p=often)
                        # a limit is reached half a row before it is seen in the mean
                        time = last - rows - 0.5 if reached else np.full(len(rows), np.inf)
                        # fewer rows are taken of limits that are not reached, so that each of these stands for more
                        weight = (4.0 if real else 0.1 if column in FLOWS else 1.0) if trips else 3.0
                        weight *= 1.0 if reached else 2.0 if real else 4.0
                        told = _look(kept, column, side, way, spread[column])
                        where = (
                            first_run + run,
                            int(runs.cause[run]) // 10 if runs.cause[run] >= 1000 else -1,
                            _end(runs, run) - 1.0,
                        )
                        parts.append(_samples(told, rows, time, weight, *where, real))
                        if real and reached:
                            time = runs.trip_row[run] - everything - 1.0
                            before.append(_samples(told, everything, time, 1.0, *where, real))
    return _together(parts), _together(before)


def _look(kept: dict[str, Floats], column: int, side: float, way: float, spread: float) -> Floats:
    """(T, F) what the passage is told of a limit at each row of a run."""
    ladder = kept["ladder"][..., column] * side
    at = np.arange(len(ladder))
    since = [at - np.maximum.accumulate(np.where(ladder[:, k] >= part * way, -1, at)) for k, part in SHARES]
    room = np.full(len(ladder), way)
    return features(
        ladder,
        kept["square"][:, column],
        kept["busy"][..., column],
        np.stack(since, axis=1).astype(np.float64),
        kept["high" if side > 0 else "low"][:, column] * side,
        np.full(len(ladder), np.log(min(way / spread, FAR))),
        room,
        room,
    )


def _samples(
    told: Floats, rows: NDArray[np.int64], time: Floats, weight: float, run: int, where: int, last: float, trip: bool
) -> Samples:
    n = len(rows)
    left = (last - rows).astype(np.float64)
    return Samples(
        told[rows], time, left, np.full(n, weight), np.full(n, run), np.full(n, where), np.full(n, trip, dtype=np.bool_)
    )


def _together(parts: Sequence[Samples]) -> Samples:
    if not parts:
        none = np.zeros(0)
        return Samples(np.zeros((0, FEATURES)), none, none, none, *np.zeros((2, 0), np.int64), none.astype(np.bool_))
    return Samples(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _end(runs: Runs, run: int) -> int:
    return int(runs.trip_row[run]) if runs.trip[run] else runs.records.shape[1]


def _passage(runs: Runs, run: int, column: int, side: float, limit: float, real: bool, begin: int) -> tuple[int, bool]:
    """The first row at or beyond a limit, or the end of the run; whether it is reached. Trips look at true values."""
    end = _end(runs, run)
    if real:
        code = int(runs.trip[run])
        return end, bool(code) and tep.TRIP_LIMITS[code - 1][1:] == (
            tep.COLUMNS[column],
            "high" if side > 0 else "low",
        )
    over = np.flatnonzero(side * runs.records[run, begin:end, column] >= limit)
    return (begin + int(over[0]), True) if len(over) else (end, False)


def learn(known: Samples, seed: int = 0) -> list[Floats]:
    """Weights and biases of three layers of `NETS` networks, each learnt on its own draw of the runs (Breiman 1996)."""
    runs = np.unique(known.run)
    nets = []
    for net in range(NETS):
        rng = np.random.default_rng([seed, net])
        times = rng.poisson(1.0, len(runs))[np.searchsorted(runs, known.run)]
        nets.append(_learn_one(known._replace(weight=known.weight * times), rng))
    return [np.stack([np.atleast_2d(array) for array in arrays]) for arrays in zip(*nets, strict=True)]


def _learn_one(known: Samples, rng: np.random.Generator) -> list[Floats]:
    """Adam (Kingma & Ba 2015) on the likelihood of each stretch between horizons that was come to and seen whole."""
    middle, scale = known.found.mean(axis=0), known.found.std(axis=0)
    x = ((known.found - middle) / scale).astype(np.float32)
    horizons = np.array(HORIZONS)
    come_to = known.time[:, None] > np.append(0.0, horizons[:-1])
    reached = (come_to & (known.time[:, None] <= horizons)).astype(np.float32)
    seen = np.isfinite(known.time)[:, None] | (known.left[:, None] >= horizons)
    weight = ((come_to & seen) * (known.weight / known.weight.mean())[:, None]).astype(np.float32)
    sizes = x.shape[1], HIDDEN, HIDDEN, len(horizons)
    arrays = []
    for before, after in pairwise(sizes):
        arrays.append((rng.normal(size=(before, after)) * np.sqrt(1.0 / before)).astype(np.float32))
        arrays.append((rng.normal(size=after) * 0.2).astype(np.float32))
    arrays[-1] -= 2.0
    mean = [np.zeros_like(array) for array in arrays]
    square = [np.zeros_like(array) for array in arrays]
    step, steps = 0, EPOCHS * (len(x) // BATCH)
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for first in range(0, len(x) - BATCH + 1, BATCH):
            rows = order[first : first + BATCH]
            layers = [x[rows]]
            for k in (0, 2):
                layers.append(np.maximum(layers[-1] @ arrays[k] + arrays[k + 1], 0.0))
            chance = 1.0 / (1.0 + np.exp(-np.clip(layers[2] @ arrays[4] + arrays[5], -30.0, 30.0)))
            back = (chance - reached[rows]) * weight[rows] / BATCH
            slopes: list[NDArray[np.float32]] = []
            for k in (4, 2, 0):
                slopes = [layers[k // 2].T @ back + DECAY * arrays[k], back.sum(axis=0), *slopes]
                if k:
                    back = back @ arrays[k].T * (layers[k // 2] > 0)
            step += 1
            rate = 0.0025 * (1.0 + np.cos(np.pi * step / steps))
            for k, slope in enumerate(slopes):
                mean[k] += 0.1 * (slope - mean[k])
                square[k] += 0.001 * (slope * slope - square[k])
                root = np.sqrt(square[k] / (1.0 - 0.999**step)) + 1e-8
                arrays[k] -= rate * mean[k] / (1.0 - 0.9**step) / root
    found = [array.astype(np.float64) for array in arrays]
    return [found[0] / scale[:, None], found[1] - (middle / scale) @ found[0], *found[2:]]


class Fold(NamedTuple):
    """What networks say that knew of no mishap of that kind."""

    chance: Floats
    """(N, H) of rows before trips."""
    fold: NDArray[np.int64]
    """(N,) which network."""
    quiet: Floats
    """(M,) chance of the last horizon in rows of runs that do not trip, the plant's own limits."""


def left_out(known: Samples, trips: Samples) -> Fold:
    """The chances of rows before trips, kinds of mishaps left out in turn."""
    kinds = np.unique(trips.kind)
    fold_of = dict(
        zip(np.random.default_rng(0).permutation(kinds).tolist(), np.arange(len(kinds)) % FOLDS, strict=True)
    )
    fold = np.array([fold_of[each] for each in trips.kind.tolist()])
    mine = np.array([fold_of.get(each, -1) for each in known.kind.tolist()])
    calm = known.trip & ~np.isin(known.run, trips.run)
    chance, quiet = np.zeros((len(fold), len(HORIZONS))), []
    for each in range(FOLDS):
        say(f"  without part {each + 1} of {FOLDS} of the kinds …")
        weights = learn(Samples(*(column[mine != each] for column in known)), seed=each + 1)
        chance[fold == each] = chances(np.ascontiguousarray(trips.found[fold == each]), weights)
        quiet.append(chances(np.ascontiguousarray(known.found[calm & (mine == each)]), weights)[:, -1])
    return Fold(chance, fold, np.concatenate(quiet))


def levels(parts: Sequence[tuple[Floats, Samples]]) -> Levels:
    """Chances below which 50, 10 and 90 % of the trips happened where they are in sight, by the time told (conformal).

    Every part has the same weight. Of a part's half is spread evenly over the rows and half over the runs: long runs
    have more rows, and the interval is to hold of the time as well as run by run.

    Args:
        parts: rows (N,) of runs, and their chances (N, H) by networks that were not learnt from them.
    """
    weights = []
    for each, samples_of in parts:
        _, index, count = np.unique(samples_of.run[each[:, -1] >= IN_SIGHT], return_inverse=True, return_counts=True)
        weights.append(0.5 / len(index) + 0.5 / len(count) / count[index])
    weight = np.concatenate(weights)
    chance, trips = np.concatenate([each for each, _ in parts]), _together([samples_of for _, samples_of in parts])
    seen = chance[:, -1] >= IN_SIGHT
    inner = chance[seen] / chance[seen, -1:]
    logs = np.log(np.concatenate([[0.25], HORIZONS]))
    padded = np.concatenate([np.zeros((len(inner), 1)), inner], axis=1)
    left = np.log(np.maximum(trips.time[seen], 0.25))
    told_at = np.array([np.interp(at, logs, row) for at, row in zip(left, padded, strict=True)])
    about = np.array([np.interp(0.5, row, logs) for row in padded])
    edges = [_quantile(about, weight, k / BINS) for k in range(1, BINS)]
    bins = np.searchsorted(edges, about)
    found = []
    for k in range(BINS):
        some = bins == k
        at = float(np.exp(_quantile(about, weight, (k + 0.5) / BINS)))
        median, low, high = (_quantile(told_at[some], weight[some], level) for level in (0.5, 0.1, 0.9))
        found.append((at, (median, low, high)))
    return tuple(found)


def _quantile(values: Floats, weight: Floats, level: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, level * total[-1])])


def tried(fold: Fold, trips: Samples, plain: tuple[Floats, Samples]) -> str:
    """How well the interval holds where the network knows nothing of the kind, and the levels only the plain ones."""
    times = np.full((len(fold.fold), 3), np.inf)
    for each in range(FOLDS):
        mine, others = fold.fold == each, fold.fold != each
        level = levels([(fold.chance[others], Samples(*(column[others] for column in trips))), plain])
        times[mine] = quantiles(fold.chance[mine], level)
    told = Told(trips.time, times[:, 0], times[:, 1], times[:, 2], trips.run)
    rows = [("together", *_figures(told))]
    place = np.array([place_of(10 * kind) for kind in trips.kind.tolist()])
    rows += [(f"place {at}", *_figures(_where(told, place == at))) for at in np.unique(place).tolist()]
    seen = float((fold.quiet >= IN_SIGHT).mean())
    return f"{table(HEADS, rows)}\n\nOf the rows of mishaps that do not trip {seen:.1%} have a trip in sight."


def write(weights: Sequence[Floats], level: Levels) -> None:
    """Write `models/precursor/passage.py`."""
    lines = [HEAD, f"IN_SIGHT = {IN_SIGHT}", '"""Chance of the last horizon from which a limit is in sight."""']
    lines += ["LEVELS = ("]
    lines += [f"    ({at:.1f}, ({', '.join(f'{value:.3f}' for value in each)}))," for at, each in level]
    lines += [")", '"""As `models.precursor.prognosis.quantiles` wants them."""', "# fmt: off"]
    lines += [f"HORIZONS = (\n    {', '.join(str(value) for value in HORIZONS)}\n)", '"""Paces."""']
    lines += [f"NETS = {NETS}", '"""Networks, whose layers lie one below the other."""']
    for name, array in zip(LAYERS, weights, strict=True):
        lines.append(f"{name} = (")
        for row in array.reshape(-1, array.shape[-1]).tolist():
            text = ", ".join(f"{value:.4g}" for value in row)
            lines += wrap(f"({text}),", 110, initial_indent="    ", subsequent_indent="     ")
        lines.append(")")
    lines.append("# fmt: on\n")
    Path(str(passage.__file__)).write_text("\n".join(lines), encoding="utf-8")


def learn_all() -> None:
    """Simulate, learn and write the constants; print how well it goes with kinds left out."""
    say("odd-numbered faults …")
    odd = fault_runs(range(1, 22, 2), 8, 1_000_000)
    calm = fault_runs((0,), 20, 1_500_000)
    normal = calm.records[:, 20:]
    pairs = [samples(odd, normal, 1, 0), samples(calm, normal, 2, 1000, begin=0)]
    signals, noise = signal_runs(150, 6_000_000)
    pairs.append(samples(signals, noise, 200, 10_000, {}, begin=0))
    for batch in range(BATCHES):
        say(f"mishaps, {batch + 1} of {BATCHES} hundred …")
        pairs.append(samples(varied_runs(100, 5_000_000 + 1000 * batch), normal, 3 + batch, 2000 + 100 * batch))
    known, trips = (_together(column) for column in zip(*pairs, strict=True))
    say(f"{len(known.time)} rows, {len(np.unique(trips.run))} trips …")
    fold = left_out(known, trips)
    weights = learn(known)
    say("plain mishaps …")
    _, before = samples(mishap_runs(PLAIN, 8_000_000), normal, 900, 50_000)
    plain = chances(np.ascontiguousarray(before.found), weights), before
    print(tried(fold, trips, plain))
    write(weights, levels([(fold.chance, trips), plain]))


class Told(NamedTuple):
    """What was forecast for the rows from the fault to the trip, limit by limit."""

    time: Floats
    """(N,) rows to the trip by this limit; inf: this limit is not reached."""
    median: Floats
    low: Floats
    high: Floats
    run: NDArray[np.int64]


class Losses(NamedTuple):
    """What of a stream is lost at random."""

    rows: float = 0.0
    """Part of the rows; never five running, after which an asset begins anew."""
    values: float = 0.0
    """Part of each sensor's values."""
    hours: bool = False
    """An hour of every five."""
    counted: bool = True
    """It is known how many rows are lost."""


def tell(prognosis: Prognosis, runs: Runs, losses: Losses | None = None) -> Told:
    """Forecast runs as a stream, row by row, with every row in an episode."""
    parts = []
    for run, whole in enumerate(runs.records):
        end, record, there = _end(runs, run), whole, np.ones(len(whole), dtype=np.bool_)
        if losses is not None:
            rng = np.random.default_rng([LOST_SEED, run])
            there = (rng.random(len(whole)) >= losses.rows) | (np.arange(len(whole)) % 5 == 0)
            if losses.hours:
                there = (np.arange(len(whole)) + rng.integers(100)) % 100 >= 20
            record = np.where(rng.random(whole.shape) < losses.values, np.nan, whole)
        came = np.flatnonzero(there[:end])
        elapsed = np.diff(came, prepend=-1).astype(np.int16)[None] if losses is not None and losses.counted else None
        _, forecast = prognosis.score(prognosis.initial(1), record[None, came], each=True, elapsed=elapsed)
        assert forecast.each is not None
        late = came >= AT
        rows = came[late]
        for sensor, tag in enumerate(prognosis.sensors):
            code = int(runs.trip[run])
            hit = bool(code) and tep.TRIP_LIMITS[code - 1][1] == tag
            median, low, high = (times[0, late, sensor] / PERIOD_S for times in forecast.each)
            time = runs.trip_row[run] - (rows + 1) if hit else np.full(len(rows), np.inf)
            parts.append(Told(time, median, low, high, np.full(len(rows), run)))
    return _told(parts)


def run() -> str:
    """Tables in Markdown."""
    normal = fault_runs((0,), 60, 7_000_000, AT_H).records[:, 20:]
    prognosis = fit(list(normal), tep.COLUMNS, LIMITS, PERIOD_S)
    sets = {f"IDV {fault}": fault_runs((fault,), 20, 3_000_000) for fault in (6, 12, 18)}
    sets["mishaps"] = mishap_runs(150, 4_000_000)
    told = {name: tell(prognosis, runs) for name, runs in sets.items()}
    calm = tell(prognosis, fault_runs([f for f in range(21) if f not in (6, 12, 18)], 4, 3_500_000))
    rows = []
    for name, one in told.items():
        rows.append((name, *_figures(one)))
    numbered = (one._replace(run=one.run + 1000 * at) for at, one in enumerate(told.values()))
    joined = _told(numbered)
    rows.append(("together", *_figures(joined)))
    by_time = []
    for first, last in ((0.0, 5.0), (5.0, 20.0), (20.0, 60.0), (60.0, 120.0), (120.0, 480.0)):
        chosen = (joined.time >= first) & (joined.time < last)
        some = _where(joined, chosen)
        seen = np.isfinite(some.median)
        by_time.append(
            (
                f"{first * 3:.0f} to {last * 3:.0f} min",
                f"{seen.mean():.2f}",
                f"{_covered(some)[seen].mean():.2f}",
                f"{np.median(np.log(some.time[seen] / np.maximum(some.median[seen], 0.25))):+.2f}",
            )
        )
    lossy = {
        "nothing": Losses(),
        "30 % of the rows": Losses(rows=0.3),
        "60 % of the rows": Losses(rows=0.6),
        "30 % of the values": Losses(values=0.3),
        "60 % of the values": Losses(values=0.6),
        "an hour of every five": Losses(hours=True),
        "30 % of the rows, as if adjacent": Losses(rows=0.3, counted=False),
        "60 % of the rows, as if adjacent": Losses(rows=0.6, counted=False),
    }
    lost = [(name, *_figures(tell(prognosis, sets["mishaps"], losses))) for name, losses in lossy.items()]
    runs = list(sets.values())
    tripped = sum(int((each.trip > 0).sum()) for each in runs)
    never = [(one, each) for one, each in zip(told.values(), runs, strict=True)]
    wrong = np.concatenate(
        [np.isfinite(one.median[np.isinf(one.time) & (each.trip[one.run] == 0)]) for one, each in never]
        + [np.isfinite(calm.median)]
    )
    announced = [
        max(one.time[(one.run == at) & np.isfinite(one.median) & np.isfinite(one.time)], default=0.0)
        for one, each in never
        for at in np.flatnonzero(each.trip)
    ]
    return "\n".join(
        [
            "Forecast of the plant's own trips on runs and causes that nothing was learnt from. A row counts from the",
            "fault's begin to the trip; the interval is counted on rows with the trip in sight.",
            "",
            table(HEADS, rows),
            "",
            table(("time to the trip", "in sight", "interval holds", "median ln(true / told)"), by_time),
            "",
            "The mishaps with rows or values lost at random:",
            "",
            table(("lost", *HEADS[1:]), lost),
            "",
            f"{tripped} trips. With a time at least 10 min before: {sum(t * 3 >= 10 for t in announced)} of the "
            f"{_later(runs, 10)} that",
            f"happened so long after the fault; at least 1 h before: {sum(t * 3 >= 60 for t in announced)} of "
            f"{_later(runs, 60)}. Of the rows of runs that never trip",
            f"{wrong.mean():.1%} have a trip in sight.",
        ]
    )


def _told(parts: Iterable[Told]) -> Told:
    return Told(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _where(told: Told, chosen: NDArray[np.bool_]) -> Told:
    return Told(told.time[chosen], told.median[chosen], told.low[chosen], told.high[chosen], told.run[chosen])


def _later(runs: Sequence[Runs], minutes: float) -> int:
    return sum(int((each.trip_row >= AT + minutes * 60.0 / PERIOD_S).sum()) for each in runs)


HEADS: Final = (
    "cause",
    "runs",
    "rows",
    "in sight",
    "interval holds",
    "run by run",
    "too early",
    "too late",
    "median abs. ln",
    "high / low",
    "score",
)


def _covered(told: Told) -> NDArray[np.bool_]:
    covered: NDArray[np.bool_] = (told.low <= told.time) & (told.time <= told.high)
    return covered


def _score(told: Told) -> Floats:
    """Interval score of the logarithms (Gneiting & Raftery 2007): width and ten times what is missed; low is good."""
    time, low, high = (np.log(np.maximum(each, 0.25)) for each in (told.time, told.low, told.high))
    missed = np.maximum(low - time, 0.0) + np.maximum(time - high, 0.0)
    score: Floats = high - low + 10.0 * missed
    return score


def _by_run(told: Told, seen: NDArray[np.bool_]) -> float:
    """Mean over the runs of the share of rows in sight whose interval holds."""
    _, index = np.unique(told.run[seen], return_inverse=True)
    return float((np.bincount(index, _covered(told)[seen]) / np.bincount(index)).mean())


def _figures(told: Told) -> tuple[str, ...]:
    hit = np.isfinite(told.time) & (told.time > 0)
    seen = hit & np.isfinite(told.median)
    error = np.abs(np.log(told.time[seen] / np.maximum(told.median[seen], 0.25)))
    return (
        str(len(np.unique(told.run[hit]))),
        str(int(hit.sum())),
        f"{seen.sum() / hit.sum():.2f}",
        f"{_covered(told)[seen].mean():.2f}",
        f"{_by_run(told, seen):.2f}",
        f"{(told.time < told.low)[seen].mean():.2f}",
        f"{(told.time > told.high)[seen].mean():.2f}",
        f"{np.median(error):.2f}",
        f"{np.exp(np.median(np.log(np.maximum(told.high[seen], 0.25) / np.maximum(told.low[seen], 0.25)))):.0f}",
        f"{_score(_where(told, seen)).mean():.2f}",
    )


if __name__ == "__main__":
    learn_all()
