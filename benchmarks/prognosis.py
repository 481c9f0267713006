"""How good the forecast of trips is, on runs it was not learnt from; `python -m benchmarks.prognosis` learns it anew.

Learnt from: the odd-numbered faults and mishaps (valves that lose effect, are off or were set by hand; the additional
disturbances), with made-up limits on all continuously measured sensors, as no odd fault trips the plant. Measured on:
the even-numbered faults and other mishaps, by the plant's own trips. All with seeds of their own.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import say, table
from models.detector import Floats
from models.precursor import passage
from models.precursor.passage import HORIZONS, IN_SIGHT
from models.precursor.prognosis import FAR, Prognosis, chances, features, fit
from simulators import tep

AT_H: Final = 8.0
AT: Final = 160
"""When faults begin, and the row of it."""
PERIOD_S: Final = 180.0
CONTINUOUS: Final = 22
HIDDEN: Final = 16
NETS: Final = 4
EPOCHS: Final = 30
BATCH: Final = 512
MADE_UP: Final = (5.0, 150.0)
"""Distances of made-up limits from normal, standard deviations."""
HEAD: Final = '''"""Constants of `models.precursor.prognosis`; written by `python -m benchmarks.prognosis`."""
'''
LIMITS: Final = {v.tag: (v.lo_trip, v.hi_trip) for v in tep.VARIABLES[:52] if v.lo_trip or v.hi_trip}
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


def _simulate(hours: float, seeds: Sequence[int], switch: Callable[[tep.Inputs], None], cause: Sequence[int]) -> Runs:
    run = tep.simulate(hours, seeds, [tep.Change(AT_H, switch)], generator="numpy")
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
    cause: NDArray[np.int64]
    """(N,)"""
    trip: NDArray[np.bool_]
    """(N,) whether the limit is one of the plant's own."""


def walk(prognosis: Prognosis, records: Floats) -> dict[str, Floats]:
    """The state after each row: (n, T, ...)."""
    state = prognosis.initial(len(records))
    nothing = np.zeros((len(records), 1), dtype=np.bool_)
    names = "ladder", "square", "high", "low"
    kept: dict[str, Floats] = {
        name: np.empty((len(records), records.shape[1], *state[name].shape[1:])) for name in names
    }
    for row in range(records.shape[1]):
        state, _ = prognosis.score(state, records[:, row : row + 1], nothing)
        for name in names:
            kept[name][:, row] = state[name]
    return kept


def samples(runs: Runs, normal: Floats, seed: int, first_run: int) -> Samples:
    """Rows before limits: the plant's own, and two made up by chance for each run, sensor and side.

    Args:
        runs: what happened.
        normal: (n, T, 52) normal records.
        seed: of the chance.
        first_run: number of the first run.
    """
    rng = np.random.default_rng(seed)
    wide = dict.fromkeys(tep.COLUMNS[:CONTINUOUS], (-1e6, 1e6))
    prognosis = fit(list(normal), tep.COLUMNS, wide, PERIOD_S)
    spread = np.concatenate(normal).std(axis=0)
    parts = []
    for begin in range(0, len(runs.records), 25):
        walked = walk(prognosis, runs.records[begin : begin + 25])
        for run in range(begin, min(begin + 25, len(runs.records))):
            kept = {name: array[run - begin] for name, array in walked.items()}
            for column in range(CONTINUOUS):
                for side in (1.0, -1.0):
                    own = LIMITS.get(tep.COLUMNS[column], (None, None))[int(side > 0)]
                    ways = np.exp(rng.uniform(*np.log(MADE_UP), 2)) * spread[column]
                    limits = [(float(way), False) for way in ways]
                    if own is not None:
                        limits.append(((own - prognosis.center[column]) * side, True))
                    for way, real in limits:
                        far = np.log(min(way / spread[column], FAR))
                        last, reached = _passage(runs, run, column, side, way + prognosis.center[column] * side, real)
                        rows = np.arange(AT, last - (not reached))
                        if not len(rows):
                            continue
                        rows = rng.choice(rows, min(len(rows), 15 if reached else 4), replace=False)
                        ladder = kept["ladder"][rows, :, column] * side
                        peak = kept["high" if side > 0 else "low"][rows, column] * side
                        room = np.full(len(rows), way)
                        found = features(
                            ladder, np.sqrt(kept["square"][rows, column]), peak, far + 0 * room, room, room
                        )
                        ones = np.ones(len(rows))
                        parts.append(
                            Samples(
                                found=found,
                                time=last - rows if reached else np.inf * ones,
                                left=_end(runs, run) - 1.0 - rows,
                                weight=(2.0 if real else 0.1 if column in FLOWS else 1.0) * ones,
                                run=np.full(len(rows), first_run + run),
                                cause=np.full(len(rows), runs.cause[run]),
                                trip=np.full(len(rows), real),
                            )
                        )
    return Samples(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _end(runs: Runs, run: int) -> int:
    return int(runs.trip_row[run]) if runs.trip[run] else runs.records.shape[1]


def _passage(runs: Runs, run: int, column: int, side: float, limit: float, real: bool) -> tuple[int, bool]:
    """The first row at or beyond a limit, or the end of the run; whether it is reached. Trips look at true values."""
    end = _end(runs, run)
    if real:
        code = int(runs.trip[run])
        return end, bool(code) and tep.TRIP_LIMITS[code - 1][1:] == (
            tep.COLUMNS[column],
            "high" if side > 0 else "low",
        )
    over = np.flatnonzero(side * runs.records[run, AT:end, column] >= limit)
    return (AT + int(over[0]), True) if len(over) else (end, False)


def learn(known: Samples, seed: int = 0) -> list[Floats]:
    """The network's four arrays: the mean of `NETS`, each learnt on its own draw of the runs (Breiman 1996)."""
    runs = np.unique(known.run)
    nets = []
    for net in range(NETS):
        rng = np.random.default_rng([seed, net])
        times = rng.poisson(1.0, len(runs))[np.searchsorted(runs, known.run)]
        nets.append(_learn_one(known._replace(weight=known.weight * times), rng))
    first, first_bias, second, second_bias = zip(*nets, strict=True)
    return [
        np.concatenate(first, axis=1),
        np.concatenate(first_bias),
        np.concatenate(second) / NETS,
        np.mean(second_bias, axis=0),
    ]


def _learn_one(known: Samples, rng: np.random.Generator) -> list[Floats]:
    """Adam (Kingma & Ba 2015) on the likelihood of every horizon that was reached or seen whole."""
    middle, scale = known.found.mean(axis=0), known.found.std(axis=0)
    x = (known.found - middle) / scale
    horizons = np.array(HORIZONS)
    reached = known.time[:, None] <= horizons
    weight = (reached | (known.left[:, None] >= horizons)) * known.weight[:, None]
    arrays = [
        rng.normal(size=(x.shape[1], HIDDEN)) * 0.5,
        rng.normal(size=HIDDEN) * 0.3,
        rng.normal(size=(HIDDEN, len(horizons))) * 0.3,
        np.zeros(len(horizons)),
    ]
    mean = [np.zeros_like(array) for array in arrays]
    square = [np.zeros_like(array) for array in arrays]
    step = 0
    for epoch in range(EPOCHS):
        order = rng.permutation(len(x))
        rate = 0.0025 * (1.0 + np.cos(np.pi * epoch / EPOCHS))
        for first in range(0, len(x) - BATCH + 1, BATCH):
            rows = order[first : first + BATCH]
            before = x[rows] @ arrays[0] + arrays[1]
            hidden = np.maximum(before, 0.0)
            chance = 1.0 / (1.0 + np.exp(-np.clip(hidden @ arrays[2] + arrays[3], -30.0, 30.0)))
            wrong = (chance - reached[rows]) * weight[rows] / BATCH
            back = wrong @ arrays[2].T * (before > 0)
            slopes = (
                x[rows].T @ back + 1e-4 * arrays[0],
                back.sum(axis=0),
                hidden.T @ wrong + 1e-4 * arrays[2],
                wrong.sum(axis=0),
            )
            step += 1
            for k, slope in enumerate(slopes):
                mean[k] += 0.1 * (slope - mean[k])
                square[k] += 0.001 * (slope * slope - square[k])
                root = np.sqrt(square[k] / (1.0 - 0.999**step)) + 1e-8
                arrays[k] -= rate * mean[k] / (1.0 - 0.9**step) / root
    return [arrays[0] / scale[:, None], arrays[1] - (middle / scale) @ arrays[0], arrays[2], arrays[3]]


def levels(weights: Sequence[Floats], normal: Floats) -> tuple[float, float, float]:
    """Chances below which 50, 10 and 90 % of the plant's own trips happened, in fresh mishaps (conformal).

    Counted are the rows from the mishap to the trip in which the limit that the plant trips on is in sight.

    Args:
        weights: of the network, learnt on other runs.
        normal: (n, T, 52) normal records.
    """
    prognosis = fit(list(normal), tep.COLUMNS, LIMITS, PERIOD_S)
    runs = mishap_runs(150, 3_333_000)
    logs = np.log(np.concatenate([[0.25], HORIZONS]))
    nothing = np.zeros((1, 1), dtype=np.bool_)
    found = []
    for run in np.flatnonzero(runs.trip).tolist():
        sensor = prognosis.sensors.index(tep.TRIP_LIMITS[int(runs.trip[run]) - 1][1])
        bounds = np.flatnonzero(prognosis.of == sensor)
        state = prognosis.initial(1)
        for row in range(_end(runs, run)):
            state, _ = prognosis.score(state, runs.records[run : run + 1, row : row + 1], nothing)
            # a trip is seen at the end of the row in which it happens: half a row earlier in the mean
            left = runs.trip_row[run] - (row + 1) - 0.5
            if row < AT or left <= -0.5:
                continue
            told = prognosis._features(state, np.array([0]))[0, bounds, :-1]
            chance = max(chances(np.ascontiguousarray(told), weights), key=lambda each: float(each[-1]))
            if chance[-1] >= IN_SIGHT:
                parts = np.concatenate([[0.0], chance / chance[-1]])
                found.append(np.interp(np.log(max(left, 0.25)), logs, parts))
    median, low, high = np.quantile(found, [0.5, 0.1, 0.9])
    return float(median), float(low), float(high)


def write(weights: Sequence[Floats], level: Sequence[float]) -> None:
    """Write `models/precursor/passage.py`."""
    lines = [HEAD, f"IN_SIGHT = {IN_SIGHT}", '"""Chance of the last horizon from which a limit is in sight."""']
    lines += [f"LEVELS = ({', '.join(f'{value:.3f}' for value in level)})"]
    lines += ['"""Chances below which 50, 10 and 90 % of the trips of fresh mishaps happened."""', "# fmt: off"]
    lines += [f"HORIZONS = ({', '.join(str(value) for value in HORIZONS)})", '"""Paces."""']
    for name, array in zip(("FIRST", "FIRST_BIAS", "SECOND", "SECOND_BIAS"), weights, strict=True):
        rows = array.T if name == "FIRST" else np.atleast_2d(array)
        text = ["(" + ", ".join(f"{value:.4g}" for value in row.tolist()) + ")" for row in rows]
        body = "".join(f"    {row},\n" for row in text)
        flat = "\n".join(wrap(text[0][1:-1] + ",", 110, initial_indent="    ", subsequent_indent="    "))
        lines.append(f"{name} = (\n{body})" if array.ndim == 2 else f"{name} = (\n{flat}\n)")
    lines.append("# fmt: on\n")
    Path(str(passage.__file__)).write_text("\n".join(lines), encoding="utf-8")


def learn_all() -> None:
    """Simulate, learn and write the constants."""
    say("odd-numbered faults …")
    odd = fault_runs(range(1, 22, 2), 8, 1_000_000)
    say("mishaps …")
    mishaps = mishap_runs(300, 2_000_000)
    say("normal operation …")
    calm = fault_runs((0,), 20, 1_500_000)
    normal = odd.records[:, 20:AT]
    first = 0
    parts = []
    for seed, runs in enumerate((odd, mishaps, calm), start=1):
        parts.append(samples(runs, normal, seed, first))
        first += len(runs.cause)
    known = Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    say(f"{len(known.time)} rows …")
    weights = learn(known)
    say("how far to trust it …")
    write(weights, levels(weights, normal))


class Told(NamedTuple):
    """What was forecast for the rows from the fault to the trip, limit by limit."""

    time: Floats
    """(N,) rows to the trip by this limit; inf: this limit is not reached."""
    median: Floats
    low: Floats
    high: Floats
    run: NDArray[np.int64]


def tell(prognosis: Prognosis, runs: Runs) -> Told:
    """Forecast runs as a stream, row by row, with every row in an episode."""
    parts = []
    for run, record in enumerate(runs.records):
        end = _end(runs, run)
        _, forecast = prognosis.score(prognosis.initial(1), record[None, :end], each=True)
        assert forecast.each is not None
        rows = np.arange(AT, end)
        for sensor, tag in enumerate(prognosis.sensors):
            code = int(runs.trip[run])
            hit = bool(code) and tep.TRIP_LIMITS[code - 1][1] == tag
            median, low, high = (times[0, AT:end, sensor] / PERIOD_S for times in forecast.each)
            time = runs.trip_row[run] - (rows + 1) if hit else np.full(len(rows), np.inf)
            parts.append(Told(time, median, low, high, np.full(len(rows), run)))
    return Told(*(np.concatenate(column) for column in zip(*parts, strict=True)))


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
    joined = Told(*(np.concatenate(columns) for columns in zip(*numbered, strict=True)))
    rows.append(("together", *_figures(joined)))
    by_time = []
    for first, last in ((0.0, 5.0), (5.0, 20.0), (20.0, 60.0), (60.0, 120.0), (120.0, 480.0)):
        chosen = (joined.time >= first) & (joined.time < last)
        some = Told(*(column[chosen] for column in joined))
        seen = np.isfinite(some.median)
        by_time.append(
            (
                f"{first * 3:.0f} to {last * 3:.0f} min",
                f"{seen.mean():.2f}",
                f"{_covered(some)[seen].mean():.2f}",
                f"{np.median(np.log(some.time[seen] / np.maximum(some.median[seen], 0.25))):+.2f}",
            )
        )
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
            f"{tripped} trips. With a time at least 10 min before: {sum(t * 3 >= 10 for t in announced)} of the "
            f"{_later(runs, 10)} that",
            f"happened so long after the fault; at least 1 h before: {sum(t * 3 >= 60 for t in announced)} of "
            f"{_later(runs, 60)}. Of the rows of runs that never trip",
            f"{wrong.mean():.1%} have a trip in sight.",
        ]
    )


def _later(runs: Sequence[Runs], minutes: float) -> int:
    return sum(int((each.trip_row >= AT + minutes * 60.0 / PERIOD_S).sum()) for each in runs)


HEADS: Final = (
    "cause",
    "runs",
    "rows",
    "in sight",
    "interval holds",
    "too early",
    "too late",
    "median abs. ln",
    "high / low",
)


def _covered(told: Told) -> NDArray[np.bool_]:
    covered: NDArray[np.bool_] = (told.low <= told.time) & (told.time <= told.high)
    return covered


def _figures(told: Told) -> tuple[str, ...]:
    hit = np.isfinite(told.time) & (told.time > 0)
    seen = hit & np.isfinite(told.median)
    error = np.abs(np.log(told.time[seen] / np.maximum(told.median[seen], 0.25)))
    return (
        str(len(np.unique(told.run[hit]))),
        str(int(hit.sum())),
        f"{seen.sum() / hit.sum():.2f}",
        f"{_covered(told)[seen].mean():.2f}",
        f"{(told.time < told.low)[seen].mean():.2f}",
        f"{(told.time > told.high)[seen].mean():.2f}",
        f"{np.median(error):.2f}",
        f"{np.exp(np.median(np.log(np.maximum(told.high[seen], 0.25) / np.maximum(told.low[seen], 0.25)))):.0f}",
    )


if __name__ == "__main__":
    learn_all()
