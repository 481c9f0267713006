"""The own simulator: whether the promised false-alarm rate is kept, and what is foretold of its faults and trips."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.bars import Line, Section, between, least, most, number
from benchmarks.detection import files, simulated
from benchmarks.detection.measures import episodes, poisson_interval
from benchmarks.detection.subject import INSTRUMENT, Fitted, Limit, Scored, Subject
from benchmarks.report import table
from simulators.tep import COLUMNS, TRIP_LIMITS, VARIABLES

Floats = NDArray[np.float64]
FAULTS: Final = tuple(range(1, 22))
PERIOD_S: Final = 180.0
ONSET: Final = 160
"""First record that can show the fault."""
HEAD: Final = 50
LEVEL: Final = 0.95
"""Of the Poisson interval."""
RATES: Final = (1, 10)
"""Promised false alarms a month."""
LENGTHS_H: Final = (25.0, 48.0, 144.0, 480.0, 960.0)
"""Normal records from which a promise is asked."""
LENGTH_SEEDS: Final = 5
EARLY_MIN: Final = 10.0
SETTLED: Final = 20
"""Records after the alarm at which the cause is asked, if the plant has not tripped: an hour."""
SOON_S: Final = 3600.0


def limits() -> tuple[Limit, ...]:
    """The plant's trips in the order of `TRIP_LIMITS`."""
    by_tag = {variable.tag: variable for variable in VARIABLES}
    found = []
    for _, tag, side in TRIP_LIMITS:
        value = by_tag[tag].hi_trip if side == "high" else by_tag[tag].lo_trip
        assert value is not None
        found.append(Limit(tag, side, value))
    return tuple(found)


@cache
def fitted(subject: Subject, per_month: float = 1.0, hours: float = simulated.NORMAL_H) -> Fitted:
    """Fitted on the first hours of the one unbroken normal run; the number format is the benchmark files'."""
    record = simulated.normal()[: round(hours * 3600 / PERIOD_S)]
    head = files.braatz("d00_te")[:HEAD] if (files.data() / "tep").is_dir() else record[:HEAD]
    return subject.fit([record], COLUMNS, PERIOD_S, head, per_month=per_month, limits=limits())


# -- the promise ------------------------------------------------------------------------------------------------------


def promise(subjects: Sequence[Subject], seeds: int) -> list[Section]:
    """Months without a fault, by a model of the 960 h run."""
    lines = []
    counts: dict[str, tuple[list[int], int]] = {}
    for rate in RATES:
        for at, subject in enumerate(subjects):
            if at == 0 or subject.name not in counts:  # the peers have no knob
                counts[subject.name] = _false(fitted(subject, float(rate)), seeds)
        low, high = poisson_interval(float(rate * seeds), LEVEL)
        alarms = {name: float(sum(each)) for name, (each, _) in counts.items()}
        lines.append(
            Line(f"episodes in {seeds} months at {rate} a month", alarms, most(high), between(low, high), digits=0)
        )
        lines.append(
            Line("of these by an instrument", {name: float(each) for name, (_, each) in counts.items()}, digits=0)
        )
        worst = {name: float(max(each)) for name, (each, _) in counts.items()}
        lines.append(Line("most in one month", worst, digits=0))
    expected = ", ".join(f"{rate * seeds}: {poisson_interval(float(rate * seeds), LEVEL)}" for rate in RATES)
    protocol = (
        f"Fitted on the unbroken {simulated.NORMAL_H:.0f} h run; {seeds} unbroken fault-free runs of 30 days, each "
        f"of its own seed (from {simulated.PROMISE_SEED}). Every unbroken alarm is an episode, process and instrument "
        f"alike. Owed: not above the upper end of the two-sided {LEVEL:.0%} Poisson interval of the promised number "
        f"({expected}); aim: inside it, so not needlessly deaf either. The peers have no such knob: their limit is the "
        "99 % quantile of the record both times."
    )
    return [Section("The promise", protocol, lines, _lengths(subjects[0], min(seeds, LENGTH_SEEDS)))]


def _lengths(subject: Subject, seeds: int) -> str:
    """What a model of a shorter record says it can promise, and what came."""
    rows = []
    for hours in LENGTHS_H:
        model = fitted(subject, 1.0, hours)
        counts, _ = _false(model, seeds)
        said = "says nothing" if model.promise is None else f"{number(model.promise, 1)} a month"
        rows.append((f"{hours:.0f} h", said, f"{sum(counts) / seeds:.1f} a month"))
    return f"The same asked of shorter normal records ({subject.name}, {seeds} months, 1 a month asked).\n\n" + table(
        ("normal record", "can be promised", "episodes seen"), rows
    )


def _false(model: Fitted, seeds: int) -> tuple[list[int], int]:
    """Episodes in each month, and how many of all are an instrument's."""
    counts, instrument = [], 0
    for seed in range(simulated.PROMISE_SEED, simulated.PROMISE_SEED + seeds):
        scored = model.score(simulated.month(seed))
        found = episodes(scored.alarm)
        counts.append(len(found))
        if scored.kind is not None:
            instrument += sum(scored.kind[first] == INSTRUMENT for first, _ in found)
    return counts, instrument


# -- faults and trips -------------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """What was said of one run."""

    fault: int
    trip_h: float
    """NaN: it did not trip."""
    alarm_min: float
    """From the fault to the first alarm before the trip; infinite without one."""
    lead_min: float
    """From the alarm to the trip; NaN where either is missing."""
    early: bool
    """In alarm before the fault."""
    settled: Sequence[int] | None
    """Ranking of causes an hour after the alarm, or at the trip."""
    last: Sequence[int] | None
    """The last one."""
    held: float
    """Share of the records with a forecast whose interval held the trip's time; NaN without one."""
    foretold: int
    """Records with a forecast."""
    forecast: float
    """Share of the records of the last hour before the trip that had one."""
    frightened: float
    """Of a run that does not trip: share of records with a trip in sight within an hour."""


def faults(subjects: Sequence[Subject], seeds: int) -> list[Section]:
    """Runs with one fault, odd and even ones, by a model of the 960 h run."""
    told = {subject.name: [_tell(fitted(subject), run) for run in _runs(seeds)] for subject in subjects}
    odd, even = (tuple(f for f in FAULTS if f % 2 == rest) for rest in (1, 0))
    lines = [*_lines("odd faults", told, odd, True), *_lines("even faults", told, even, False)]
    trips = {name: [each for each in all_ if np.isfinite(each.trip_h)] for name, all_ in told.items()}
    quiet = {name: [each for each in all_ if not np.isfinite(each.trip_h)] for name, all_ in told.items()}
    lines += [
        Line("80 % interval of the time to the trip holds, of all records", {n: _pooled(e) for n, e in trips.items()},
             between(0.75, 0.85)),
        *(
            Line(f"the same, {end} of its 95 % interval by runs", {n: _drawn_anew(e, part) for n, e in trips.items()})
            for end, part in (("lower end", 0.025), ("upper end", 0.975))
        ),
        Line("the same, mean over the runs", {n: _mean([x.held for x in e]) for n, e in trips.items()}),
        Line("records of the last hour with a forecast", {n: _mean([x.forecast for x in e]) for n, e in trips.items()}),
        Line("runs without trip: records that see one within 1 h",
             {n: _mean([x.frightened for x in e]) for n, e in quiet.items()}),
        Line("runs in alarm before the fault", {n: _mean([float(x.early) for x in e]) for n, e in told.items()}),
    ]  # fmt: skip
    protocol = (
        f"{seeds} runs of 48 h a fault, the fault on from 8 h; 5 significant digits; seeds {simulated.FAULT_SEED} up, "
        "100 apart by fault. Announced: in alarm at a record after the fault came and before the trip. The cause is "
        "asked an hour after the alarm, or at the trip; even faults are in no library, so that 'like nothing known' "
        "is their right answer. The interval is judged at all records from the fault to the trip that have a forecast, "
        "for the limit at which the plant then tripped: of the time, that is of all records, and run by run."
    )
    return [
        Section("Faults of the own simulator", protocol, lines, _by_fault(told[subjects[0].name], subjects[0].name))
    ]


def _lines(which: str, told: Mapping[str, list[Told]], chosen: Sequence[int], known: bool) -> list[Line]:
    of = {name: [each for each in all_ if each.fault in chosen] for name, all_ in told.items()}
    trips = {name: [each for each in all_ if np.isfinite(each.trip_h)] for name, all_ in of.items()}

    def share(runs: Mapping[str, list[Told]], test: Any) -> dict[str, float]:
        return {name: _mean([float(test(each)) for each in all_]) for name, all_ in runs.items()}

    def ranked(runs: Mapping[str, list[Told]], test: Any) -> dict[str, float]:
        """Of the runs that were announced and have a ranking."""
        asked = {name: [each for each in all_ if each.settled is not None] for name, all_ in runs.items()}
        return share(asked, test)

    count = len(next(iter(trips.values())))
    lines = [
        Line(f"{which}: {count} trips, announced", share(trips, lambda x: np.isfinite(x.alarm_min)), None, least(1.0)),
        Line(f"{which}: announced ≥ 10 min before", share(trips, lambda x: x.lead_min >= EARLY_MIN), None, least(1.0)),
        Line(f"{which}: median lead, min", {n: _median([x.lead_min for x in e]) for n, e in trips.items()}, digits=0),
        Line(f"{which}: runs in which the fault is found", share(of, lambda x: np.isfinite(x.alarm_min))),
        Line(f"{which}: median delay of those, min", {n: _median([x.alarm_min for x in e]) for n, e in of.items()},
             digits=0),
    ]  # fmt: skip
    if known:
        lines += [
            Line(f"{which}: true cause first", ranked(of, lambda x: x.fault in x.settled[:1])),
            Line(
                f"{which}: true cause in first three", ranked(of, lambda x: x.fault in x.settled[:3]), None, least(0.9)
            ),
            Line(f"{which}: true cause in first three at the end", ranked(of, lambda x: x.fault in (x.last or ())[:3])),
        ]
    else:
        lines.append(
            Line(f"{which}: said to be like nothing known", ranked(of, lambda x: tuple(x.settled[:1]) == (0,)))
        )
    return lines


class Run(NamedTuple):
    """A run with a fault."""

    fault: int
    records: Floats
    trip_h: float
    trip: int


def _runs(seeds: int) -> list[Run]:
    found = []
    for fault in FAULTS:
        first = simulated.FAULT_SEED + 100 * (fault - 1)
        made = simulated.faulty(fault, range(first, first + seeds))
        found += [
            Run(fault, records, float(trip_h), int(trip))
            for records, trip_h, trip in zip(made.records, made.trip_h, made.trip, strict=True)
        ]
    return found


def _tell(model: Fitted, run: Run) -> Told:
    scored = model.score(run.records)
    hours = np.arange(1, len(run.records) + 1, dtype=np.float64) * PERIOD_S / 3600.0
    tripped = np.isfinite(run.trip_h)
    end = int(np.searchsorted(hours, run.trip_h)) if tripped else len(hours)  # rows before the trip
    hits = np.flatnonzero(scored.alarm[ONSET:end]) + ONSET
    alarm_h = float(hours[hits[0]]) if len(hits) else np.inf
    settled = last = None
    if len(hits) and scored.causes:
        begun = [(row, ranking) for row, ranking in scored.causes if hits[0] <= row < end]
        soon = [ranking for row, ranking in begun if row <= hits[0] + SETTLED]
        settled, last = (soon[-1] if soon else ()), (begun[-1][1] if begun else ())
    held, foretold, forecast, frightened = _forecasts(scored, run, hours, end)
    return Told(
        fault=run.fault,
        trip_h=run.trip_h,
        alarm_min=60.0 * (alarm_h - simulated.FAULT_H),
        lead_min=60.0 * (run.trip_h - alarm_h) if len(hits) and tripped else np.nan,
        early=bool(scored.alarm[:ONSET].any()),
        settled=settled,
        last=last,
        held=held,
        foretold=foretold,
        forecast=forecast,
        frightened=frightened,
    )


def _forecasts(scored: Scored, run: Run, hours: Floats, end: int) -> tuple[float, int, float, float]:
    """Held, foretold, forecast and frightened, as in `Told`."""
    if scored.until is None:
        return np.nan, 0, np.nan, np.nan
    if not np.isfinite(run.trip_h):
        soonest = scored.until[ONSET:, :, 1].min(axis=1)
        return np.nan, 0, np.nan, float(np.mean(soonest < SOON_S))
    which = next(at for at, (code, _, _) in enumerate(TRIP_LIMITS) if code == run.trip)
    said = scored.until[ONSET:end, which]
    left = 3600.0 * (run.trip_h - hours[ONSET:end])
    foretold = np.isfinite(said[:, 1])
    inside = (said[:, 0] <= left) & (left <= said[:, 2])
    held = float(inside[foretold].mean()) if foretold.any() else np.nan
    near = left <= SOON_S
    return held, int(foretold.sum()), float(foretold[near].mean()) if near.any() else np.nan, np.nan


def _by_fault(told: Sequence[Told], name: str) -> str:
    rows = []
    for fault in FAULTS:
        of = [each for each in told if each.fault == fault]
        trips = [each for each in of if np.isfinite(each.trip_h)]
        ranked = [each for each in of if each.settled is not None]
        right = fault if fault % 2 else 0
        rows.append(
            (
                fault,
                len(trips),
                sum(np.isfinite(each.alarm_min) for each in trips),
                number(_median([each.lead_min for each in trips]), 0),
                number(min((each.lead_min for each in trips), default=np.nan), 0),
                number(_mean([float(np.isfinite(each.alarm_min)) for each in of]), 2),
                number(_median([each.alarm_min for each in of]), 0),
                number(_mean([float(right in (each.settled or ())[:1]) for each in ranked]), 2),
                number(_mean([float(right in (each.settled or ())[:3]) for each in ranked]), 2),
                number(_mean([each.held for each in trips]), 2),
            )
        )
    head = (
        f"{name}: fault", "trips", "announced", "median lead min", "least lead min", "found", "median delay min",
        "cause first", "in three", "80 % holds",
    )  # fmt: skip
    return table(head, rows)


def _pooled(told: Sequence[Told]) -> float:
    records = sum(each.foretold for each in told)
    return sum(each.held * each.foretold for each in told if each.foretold) / records if records else np.nan


def _drawn_anew(told: Sequence[Told], part: float) -> float:
    """Quantile of the pooled share over runs drawn anew with replacement (bootstrap)."""
    known = [each for each in told if each.foretold]
    if not known:
        return np.nan
    drawn = np.random.default_rng(0).integers(len(known), size=(2000, len(known)))
    held, rows = np.array([each.held for each in known]), np.array([each.foretold for each in known])
    return float(np.quantile((held * rows)[drawn].sum(axis=1) / rows[drawn].sum(axis=1), part))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else np.nan


def _median(values: Sequence[float]) -> float:
    """Of the finite ones."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else np.nan
