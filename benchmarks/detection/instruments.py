"""Whose an episode is: sensors of the own simulator that fail, and process faults, scored as the collector does.

Sensors that steer a valve pass their failure on to the plant. A spike lasts one control step, of which a record shows
one in 180: what no record shows nobody can tell from a process that moves.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.bars import Line, Section
from benchmarks.detection import files, simulated
from benchmarks.detection.own_simulator import FAULTS, fitted
from benchmarks.detection.subject import LabFitted, Subject
from benchmarks.report import table
from devices.frame import Asset
from devices.quality import BAD, CODES
from devices.simulated import channels
from lab.blocks import RowBlock
from lab.episodes import Episode, Known
from lab.offline import score_table
from lab.scorer import Scorer
from lab.spikes import MEMORY, Failures
from lab.tables import Table
from models.detector import Model, dumps, loads
from models.precursor import fit
from simulators import tep

Floats = NDArray[np.float64]
Score = Callable[[Floats], list[Episode]]
"""The episodes of a run (rows, sensors), at their ends."""
PERIOD_NS: Final = 180 * 10**9
HOURS: Final = 24.0
UPON_H: Final = 16.0
"""From then on a process fault comes upon a sensor that failed at 8 h; for as long again."""
UPON: Final = (("spike", 4), ("freeze", 2), ("dropout", 2))
"""How it failed, and in how many runs of each fault at most."""
SEED: Final = 700_001
FAULT_SEED: Final = 800_001
UPON_SEED: Final = 810_001
CONTINUOUS: Final = 22
SIZES: Final = (6.0, 12.0, 25.0, 60.0)
"""Of spikes, in standard deviations of normal records."""
UPON_SIZE: Final = 12.0
STEERING: Final = {tep.COLUMNS.index(tag) for tag in tep.CONTROLLED}
"""Sensors that a controller acts on, by their columns."""
WRITTEN_SEED: Final = 820_001
WRITTEN_H: Final = 48.0
"""Length of the normal record into which failures are written."""
GAPS: Final = (0.01, 0.05, 0.3)
"""Parts of a normal month's values that are missing, at random."""
GAPS_SEED: Final = 830_001
AT: Final = 300
"""Row from which a sensor is stuck there."""
OFTEN: Final = 4
"""Bursts and spikes in it."""
MEASURED: Final = 41
KNOWN: Final = 5000
FOLLOWING: Final = 1500
"""Rows of another plant's record that the model is of, and into which failures are written."""
FEW: Final = 20
SHORT: Final = 500
"""Rows of the simulator's normal record of which another model is made, for the normal months."""
CUT: Final = 0.05
"""Part of its normal value below which a flow meter reads nothing."""
FLOWS: Final = (0, 1, 2, 3, 4, 5, 9, 13, 16, 18)
"""Columns of the flow meters."""
NORMAL: Final = 160
"""Records of a published test file before its fault."""
BLOCK: Final = 480
BETWEEN_S: Final = (60, 10)
"""Seconds between the rows of the live plant at its usual speed, of which every third is scored, and as a slow one is
read."""
MONTHS: Final = 8
RUNS: Final = 4
"""Of each process fault, and of each sensor and failure, at most."""


class Case(NamedTuple):
    """A run in which one sensor failed."""

    sensor: int
    kind: str
    size: float
    records: Floats
    """(rows, 52) up to the trip, if there was one."""


def instruments(subjects: Sequence[Subject], seeds: int) -> list[Section]:
    """The lab's section; the others do not tell instruments from the process."""
    model = fitted(subjects[0])
    name = subjects[0].name
    if not isinstance(model, LabFitted):
        return []
    runs = min(seeds, RUNS)
    score = _tep(model.model, model.library)
    cases, faults = _failures(runs), list(_faulty(runs))
    lines, rows = _told_failed(name, score, cases)
    found = [episode for records in faults for episode in score(records)]
    wrong = sum(episode.kind == "instrument" for episode in found)
    suspected = sum(bool(episode.suspects) for episode in found)
    lines.append(Line("episodes of process faults", {name: float(len(found))}, digits=0))
    lines.append(Line("of these told as an instrument's", {name: float(wrong)}, digits=0))
    lines.append(Line("of these with a sensor to be checked first", {name: float(suspected)}, digits=0))
    lines += _listed(name, model, cases, faults)
    lines += _told_upon(name, score, runs)
    for every_s in BETWEEN_S:
        lines += _read_between(name, model, runs, every_s)
    written = []
    for plant in _plants(score):
        of = [(plant.name, what, *_written(plant, what)) for what in WRITTEN]
        part = sum(row[4] for row in of) / sum(row[3] for row in of)
        lines.append(Line(f"failures written into a record of {plant.name}", {name: part}, digits=3))
        written += of
    cut = [episode for records in _cut(runs) for episode in score(records)]
    hidden = sum(episode.kind == "instrument" for episode in cut)
    lines.append(Line("episodes of faults with flows that read nothing", {name: float(len(cut))}, digits=0))
    lines.append(Line("of these told as an instrument's, reading nothing", {name: float(hidden)}, digits=0))
    told = sum(
        episode.kind == "instrument"
        for each in (score, _tep(loads(dumps(fit(simulated.normal()[:SHORT], list(tep.COLUMNS), 180.0)))))
        for month in range(runs)
        for episode in each(simulated.month(simulated.PROMISE_SEED + month))
    )
    lines.append(Line(f"instrument's episodes in {2 * runs} normal months", {name: float(told)}, digits=0))
    lines += _lacking(name, model.model)
    protocol = (
        f"Model of the 960 h run, with the library of the odd-numbered faults. XMEAS 1 to {CONTINUOUS}, one of which "
        f"fails at 8 h of {HOURS:.0f}, {runs} runs each; "
        f"faults 1 to {FAULTS[-1]}, {runs} runs of 48 h each, and some of "
        f"{2 * UPON_H:.0f} h with the fault from {UPON_H:.0f} h on and a sensor that fails from 8 h on (spikes by "
        f"{UPON_SIZE:g} standard deviations): told when an episode of the process is open at a record after the fault "
        "came, and before the trip, or one of the sensor that says by which others the plant left its usual values. A "
        "spike comes in one control step of sixty, also between the records. A row shows "
        "a spike: the sensor's record differs from both neighbours by half of its size, in the episode or within "
        f"{MEMORY} rows before it. And the plant's: of the instrument's those that say by which others the plant left "
        "its usual values. That name the sensor: as one to be checked first. "
        f"Written into a normal record, in which nothing answers ({WRITTEN_H:.0f} h of the simulator; d00_te by the "
        "model of d00, and rows that follow those the model is of in the normal records of BATADAL and SKAB; of these "
        f"no measuring range is known): each sensor of {FEW} values or more fails; those that rest or fall silent do "
        f"so from row {AT} on, of bursts and spikes there are {OFTEN}, of 15 and of so many standard deviations. "
        f"Listed: as failed three times within {MEMORY} rows, or with an episode put down to it, in the run. "
        f"Normal months: by the model and by one of the first {SHORT} rows of its record. Without one sensor: by the "
        f"detector alone, which has no value of one of the {len(tep.COLUMNS)} from the first row on; odd faults: mean "
        f"share of the published test files' records {NORMAL + 1} to 960 in alarm. "
        "Flows that read nothing: the runs of the faults, with flow meters that show 0 below "
        f"{100 * CUT:.0f} % of their normal value, as far as one did."
    )
    head = (
        "sensor's failure",
        "runs",
        "episodes",
        "instrument's",
        "of that sensor",
        "and the plant's",
        "process",
        "in which a row shows a spike",
        "that name the sensor",
    )
    below = ("record", "failure written into it", "sensors", "episodes", "instrument's", "of that sensor", "process")
    tables = table(head, rows) + "\n" + table(below, written)
    return [Section("Instruments of the own simulator", protocol, lines, tables)]


def _listed(name: str, model: LabFitted, cases: Sequence[Case], faults: Sequence[Floats]) -> list[Line]:
    """Which sensors are listed as failed, whatever the episodes are put down to."""

    def listed(records: Floats) -> set[str]:
        return {sensor for sensor, _, _ in _scored(model.model, records, model.library, 180)[1]}

    spiking = [(tep.COLUMNS[case.sensor], listed(case.records)) for case in cases if case.kind == "spike"]
    right = sum(sensor in names for sensor, names in spiking) / len(spiking)
    others = sum(len(names - {sensor}) for sensor, names in spiking)
    wrong = sum(len(listed(records)) for records in faults)
    months = [listed(simulated.month(simulated.PROMISE_SEED + month)) for month in range(MONTHS)]
    return [
        Line(f"{len(spiking)} runs with a sensor that spikes, that sensor listed", {name: right}),
        Line("other sensors listed in them", {name: float(others)}, digits=0),
        Line(f"sensors listed in {len(faults)} runs of process faults", {name: float(wrong)}, digits=0),
        Line(f"sensors listed in {MONTHS} normal months", {name: float(sum(map(len, months)))}, digits=0),
    ]


def _faulty(runs: int) -> Iterator[Floats]:
    """Runs of the process faults (rows, 52), up to the trip."""
    for fault in FAULTS:
        first = FAULT_SEED + 100 * fault
        made = simulated.faulty(fault, range(first, first + runs))
        for records, trip_h in zip(made.records, made.trip_h, strict=True):
            yield records[: None if np.isnan(trip_h) else int(trip_h * 20)]


def _told_failed(name: str, score: Score, cases: Sequence[Case]) -> tuple[list[Line], list[tuple[str | int, ...]]]:
    """Whose the episodes of sensors that fail are."""
    rows, lines = list[tuple[str | int, ...]](), list[Line]()
    apart = [(0, 0), (0, 0)]
    """Of sensors that steer nothing, and of those that do: the instrument's, and all."""
    beside, trips = [0, 0], [0, 0, 0]
    """Process episodes that name the sensor, and all; runs that trip: the plant's leaving told, on time, and all."""
    for kind, size in [("freeze", 0.0), ("dropout", 0.0), *(("spike", size) for size in SIZES)]:
        of = [case for case in cases if (case.kind, case.size) == (kind, size)]
        found = [(case, score(case.records)) for case in of]
        told = [(case, episode) for case, episodes in found for episode in episodes]
        for case, episodes in found:
            if len(case.records) < HOURS * 20:
                last = [episode for episode in episodes if episode.end is None and _moves(episode)]
                seen = any(each.outlook is not None and each.outlook.first_at is not None for each in last)
                trips = [trips[0] + bool(last), trips[1] + seen, trips[2] + 1]
        for steers, (right, count) in enumerate(apart):
            whose = [episode.kind for case, episode in told if (case.sensor in STEERING) == bool(steers)]
            apart[steers] = right + whose.count("instrument"), count + len(whose)
        process = [(case, episode) for case, episode in told if episode.kind == "process"]
        shown = sum(_shown(*each) for each in process)
        right = sum(e.failed is not None and e.failed[0] == tep.COLUMNS[case.sensor] for case, e in told)
        named = sum(tep.COLUMNS[case.sensor] in dict(e.suspects) for case, e in told)
        what = kind if not size else f"{kind}, {size:g} standard deviations"
        beside = [beside[0] + named, beside[1] + len(process)]
        upset = sum(bool(episode.upset) for _, episode in told)
        both = len(told) - len(process)
        rows.append((what, len(of), len(told), both, right, upset, len(process), shown, named))
    everything = sum(count for _, count in apart)
    right = sum(count for count, _ in apart) / everything
    lines.append(Line("episodes of failed sensors told as the instrument's", {name: right}))
    for what, (right, count) in zip(("nothing", "a valve"), apart, strict=True):
        lines.append(Line(f"the same, of the {count} of sensors that steer {what}", {name: right / count}, digits=3))
    of_process = f"the {beside[1]} episodes of failed sensors told as the process's, that name the sensor"
    lines.append(Line(of_process, {name: beside[0] / max(beside[1], 1)}))
    tripped = f"the {trips[2]} runs that a failed sensor makes trip, told by then that the plant moves"
    lines.append(Line(tripped, {name: trips[0] / max(trips[2], 1)}))
    lines.append(Line("the same, and that it will trip", {name: trips[1] / max(trips[2], 1)}))
    return lines, rows


def _read_between(name: str, model: LabFitted, runs: int, every_s: int) -> list[Line]:
    """The same of sensors that spike, and of process faults, where there are rows between those that are scored."""
    score = _tep(model.model, model.library, every_s)
    told = [
        (case, episode)
        for size in SIZES  # a size at a time: of all sizes there are too many rows
        for case in _failures(runs, every_s, ("spike", size))
        for episode in score(case.records)
    ]
    process = [(case, episode) for case, episode in told if episode.kind == "process"]
    named = sum(tep.COLUMNS[case.sensor] in dict(episode.suspects) for case, episode in process)

    def fail(inputs: tep.Inputs) -> None:
        for plant, fault in enumerate(np.repeat(FAULTS, runs).tolist()):
            inputs.set_fault(plant, fault)

    seeds = [FAULT_SEED + 100 * fault + run for fault in FAULTS for run in range(runs)]
    changes = [tep.Change(simulated.FAULT_H, fail)]
    made = tep.simulate(HOURS, seeds, changes, generator="numpy", every_s=every_s)
    ends = tep.trip_hours(made.state) * 3600.0 / every_s
    faults = [
        episode
        for rows, end in zip(tep.round_records(made.records), ends, strict=True)
        for episode in score(rows[: None if np.isnan(end) else int(end)])
    ]
    wrong = sum(episode.kind == "instrument" for episode in faults)
    often = f"read every {every_s} s"
    right = 1.0 - len(process) / len(told)
    return [
        Line(f"the {len(told)} episodes of sensors that spike, {often}, told as the instrument's", {name: right}),
        Line(f"the other {len(process)} of these, that name the sensor", {name: named / max(len(process), 1)}),
        Line(
            f"of {len(faults)} episodes of process faults, {often}, told as an instrument's",
            {name: float(wrong)},
            digits=0,
        ),
    ]


def _lacking(name: str, model: Model) -> list[Line]:
    """False alarms and faults found by a detector that has no value of one of the sensors."""
    sensors = model.detector.sensors

    def alarms(rows: Floats) -> NDArray[np.bool_]:
        """(1 + S, rows) with all sensors, and without each of them."""
        runs = np.repeat(rows[None], 1 + len(sensors), axis=0)
        for at in range(len(sensors)):
            runs[1 + at, :, at] = np.nan
        state, parts = model.detector.initial(len(runs)), []
        for first in range(0, len(rows), BLOCK):
            state, result = model.detector.score(state, runs[:, first : first + BLOCK])
            parts.append(result.alarm)
        return np.concatenate(parts, axis=1)

    records = simulated.month(simulated.PROMISE_SEED)
    month = alarms(records)
    begun = (month & ~np.pad(month, ((0, 0), (1, 0)))[:, :-1]).sum(axis=1)
    lines = [
        Line("false alarms of a month in which all sensors are there", {name: float(begun[0])}, digits=0),
        Line("the same without one of them, mean", {name: float(begun[1:].mean())}),
        Line("the same, most", {name: float(begun[1:].max())}, digits=0),
    ]
    rng = np.random.default_rng(GAPS_SEED)
    for share in GAPS:
        gone = np.where(rng.random(records.shape) < share, np.nan, records)
        _, result = model.detector.score(model.detector.initial(1), gone[None])
        found = float((result.alarm[0, 1:] & ~result.alarm[0, :-1]).sum())
        lines.append(Line(f"the same with {share:.0%} of the values missing", {name: found}, digits=0))
    if not (files.data() / "tep").is_dir():
        return lines
    odd = [fault for fault in FAULTS if fault % 2]
    found = np.mean([alarms(files.braatz(f"d{fault:02d}_te"))[:, NORMAL:].mean(axis=1) for fault in odd], axis=0)
    return [
        *lines,
        Line("odd faults with all sensors", {name: float(found[0])}),
        Line("the same without one of them, mean", {name: float(found[1:].mean())}),
        Line("the same, least", {name: float(found[1:].min())}),
    ]


def _failures(runs: int, every_s: int = 180, only: tuple[str, float] | None = None) -> list[Case]:
    """Runs with a failed sensor: of all kinds and sizes, or only of one."""
    spread = simulated.normal().std(axis=0)
    kinds = [("freeze", 0.0), ("dropout", 0.0), *(("spike", size) for size in SIZES)]
    wanted = [(sensor, kind, size) for sensor in range(CONTINUOUS) for kind, size in kinds for _ in range(runs)]
    chosen = [at for at, (_, kind, size) in enumerate(wanted) if only in (None, (kind, size))]
    wanted = [wanted[at] for at in chosen]

    def switch(inputs: tep.Inputs) -> None:
        for plant, (sensor, kind, size) in enumerate(wanted):
            inputs.set_sensor_fault(plant, tep.COLUMNS[sensor], kind, size * float(spread[sensor]))

    seeds, changes = [SEED + at for at in chosen], [tep.Change(simulated.FAULT_H, switch)]
    run = tep.simulate(HOURS, seeds, changes, generator="numpy", every_s=every_s)
    ends = tep.trip_hours(run.state) * 3600.0 / every_s
    records = tep.round_records(run.records)
    return [
        Case(*each, rows[: None if np.isnan(end) else int(end)])
        for each, rows, end in zip(wanted, records, ends, strict=True)
    ]


def _moves(episode: Episode) -> bool:
    """Whether it tells that the plant moves."""
    return episode.kind == "process" or bool(episode.upset)


def _told_upon(name: str, score: Score, runs: int) -> list[Line]:
    """In how many runs a process fault is told though a sensor fails: as such, or as a plant that moves with that."""
    lines, trips, told_trips = [], 0, 0
    first = round(UPON_H * 3600 * 10**9)
    for kind, most in UPON:
        told = process = count = 0
        for records in _upon(kind, min(runs, most)):
            if (len(records) - 1) * PERIOD_NS < first:  # the failure was enough
                continue
            later = [episode for episode in score(records) if episode.end is None or episode.end > first]
            here = any(_moves(episode) for episode in later)
            process += any(episode.kind == "process" for episode in later)
            told, count = told + here, count + 1
            if len(records) * PERIOD_NS < 2 * first:
                trips, told_trips = trips + 1, told_trips + here
        what = {"spike": "spikes", "freeze": "is frozen", "dropout": "is silent"}[kind]
        lines.append(Line(f"{count} runs with a fault upon a sensor that {what}, told", {name: told / count}))
        lines.append(Line("of all of these as the process's", {name: process / count}))
    share = told_trips / trips if trips else np.nan
    return [*lines, Line(f"told of the {trips} of these runs that trip", {name: share})]


def _upon(kind: str, runs: int) -> list[Floats]:
    """Records up to the trip of plants with a failed sensor, upon which a process fault comes."""
    spread = simulated.normal().std(axis=0)
    shift = 0 if kind == "spike" else 3
    wanted = [(fault, (5 * fault + 7 * run + shift) % CONTINUOUS) for fault in FAULTS for run in range(runs)]

    def break_it(inputs: tep.Inputs) -> None:
        for plant, (_, sensor) in enumerate(wanted):
            size = UPON_SIZE * float(spread[sensor]) if kind == "spike" else 0.0
            inputs.set_sensor_fault(plant, tep.COLUMNS[sensor], kind, size)

    def fail(inputs: tep.Inputs) -> None:
        for plant, (fault, _) in enumerate(wanted):
            inputs.set_fault(plant, fault)

    changes = [tep.Change(simulated.FAULT_H, break_it), tep.Change(UPON_H, fail)]
    run = tep.simulate(2 * UPON_H, [UPON_SEED + at for at in range(len(wanted))], changes, generator="numpy")
    ends = tep.trip_hours(run.state) * 20.0
    return [
        rows[: None if np.isnan(end) else int(end)]
        for rows, end in zip(tep.round_records(run.records), ends, strict=True)
    ]


WRITTEN: Final = (
    "rests where it is",
    "rests at 0",
    "rests at twice its largest value",
    "rests 6 standard deviations from its mean",
    "falls silent",
    "bursts of 3 rows",
    "bursts of 8 rows",
    "spikes of 6 standard deviations",
    "spikes of 12 standard deviations",
)


class Plant(NamedTuple):
    """A normal record (rows, S) into which failures are written, and the one before it that is known."""

    name: str
    sensors: Sequence[str]
    known: Floats
    record: Floats
    episodes: Score


def _plants(score: Score) -> list[Plant]:
    """The own simulator and, as far as they are there, other plants."""
    normal, record = simulated.normal(), simulated.normal(WRITTEN_H, WRITTEN_SEED)
    names, measured = tep.COLUMNS[:MEASURED], np.s_[:, :MEASURED]
    found = [Plant("the simulator", names, normal[measured], record, score)]
    if (files.data() / "tep").is_dir():
        known = files.braatz("d00")
        short = loads(dumps(fit(known, list(tep.COLUMNS), 180.0)))
        found.append(
            Plant("d00_te", names, known[measured], files.braatz("d00_te"), _scorer(short, tep.COLUMNS, 180.0))
        )
    for name in ("BATADAL", "SKAB"):
        if not (files.data() / name.lower()).is_dir():
            continue
        sensors, rows, period_s = files.normal_of(name)
        known = rows[:KNOWN]
        other = loads(dumps(fit(known, list(sensors), period_s)))
        found.append(Plant(name, sensors, known, rows[KNOWN : KNOWN + FOLLOWING], _scorer(other, sensors, period_s)))
    return found


def _scorer(model: Model, sensors: Sequence[str], period_s: float) -> Score:
    def episodes(rows: Floats) -> list[Episode]:
        scored = score_table(model, Table(tuple(sensors), rows, None, period_s, Path("record.csv")))
        return [episode for episode, _, _ in scored.episodes]

    return episodes


def _written(plant: Plant, what: str) -> tuple[int, int, int, int, int]:
    """Sensors, episodes, those told as an instrument's, as that sensor's, and as the process's."""
    spread, rng = plant.known.std(axis=0), np.random.default_rng(WRITTEN_SEED)
    sensors = [at for at in range(len(plant.sensors)) if len(np.unique(plant.known[:, at])) >= FEW]
    told: list[tuple[int, Episode]] = []
    for sensor in sensors:
        records = plant.record.copy()
        column, sigma = records[:, sensor], float(spread[sensor])
        if what.startswith("rests"):
            column[AT:] = {
                "rests where it is": column[AT - 1],
                "rests at 0": 0.0,
                "rests at twice its largest value": 2.0 * float(np.abs(plant.known[:, sensor]).max()),
            }.get(what, float(plant.known[:, sensor].mean()) + 6.0 * sigma)
        elif what == "falls silent":
            column[AT:] = np.nan
        else:
            number = int(what.split()[2])
            rows, size = (number, 15.0) if what.startswith("bursts") else (1, float(number))
            for at in rng.choice(np.arange(100, len(column) - 60, 60), OFTEN, replace=False).tolist():
                column[at : at + rows] += size * sigma * (rng.uniform(0.8, 1.0, rows) if rows > 1 else 1.0)
        told += [(sensor, episode) for episode in plant.episodes(records)]
    failed = [(sensor, episode.failed[0]) for sensor, episode in told if episode.failed is not None]
    right = sum(plant.sensors[sensor] == of for sensor, of in failed)
    return len(sensors), len(told), len(failed), right, len(told) - len(failed)


def _cut(runs: int) -> list[Floats]:
    """Records up to the trip of runs with a fault in which a flow fell so far that its meter shows nothing."""
    least = CUT * simulated.normal()[:, FLOWS].mean(axis=0)
    found = []
    for records in _faulty(runs):
        rows = records.copy()
        nothing = rows[:, FLOWS] < least
        if nothing.any():
            rows[:, FLOWS] = np.where(nothing, 0.0, rows[:, FLOWS])
            found.append(rows)
    return found


def _shown(case: Case, episode: Episode) -> bool:
    """Whether a row shows a spike of the sensor, in the episode or in what is remembered before it."""
    last = len(case.records) if episode.end is None else episode.end // PERIOD_NS
    values = case.records[max(0, episode.start // PERIOD_NS - 2 - MEMORY) : last + 1, case.sensor]
    spread = float(simulated.normal()[:, case.sensor].std())
    before, after = values[1:-1] - values[:-2], values[1:-1] - values[2:]
    size = 0.5 * case.size * spread
    return bool(case.size) and bool(((np.minimum(np.abs(before), np.abs(after)) > size) & (before * after > 0)).any())


def _tep(model: Model, library: Known | None = None, every_s: int = 180) -> Score:
    """For runs of the simulated plant, whose sensors have measuring ranges."""
    return lambda records: _scored(model, records, library, every_s)[0]


def _scored(
    model: Model, records: Floats, library: Known | None, every_s: int
) -> tuple[list[Episode], list[tuple[str, str, Failures]]]:
    """The episodes of a run (rows, 52), read so often, at their ends; and the sensors listed as failed then."""
    rows = len(records)
    seconds = every_s * np.arange(1, rows + 1)
    still = np.full((rows, len(channels())), 50.0)  # the agitator
    still[:, : records.shape[1]], still[:, -2], still[:, -1] = records, seconds, 0.0
    records, listed = still, channels()
    low = np.array([-np.inf if channel.lo is None else channel.lo for channel in listed])
    high = np.array([np.inf if channel.hi is None else channel.hi for channel in listed])
    code = np.where((records < low) | (records > high), CODES["bad:range"], 0)
    code[np.isnan(records)] = BAD
    scorer = Scorer(lambda number, id: library)
    number = scorer.declare(Asset("run", "tep", clock="plant_s", period_s=180.0), listed)
    scorer.use(number, model)
    times = seconds * 10**9
    block = RowBlock(np.full(rows, number, dtype=np.int32), times, records, code.astype(np.uint8))
    changes = scorer.ingest(block).changes
    return list({change.episode.id: change.episode for change in changes}.values()), scorer.failures(number)
