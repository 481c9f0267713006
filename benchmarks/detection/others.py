"""SKAB, 3W, BATADAL and NAB: real rigs and wells, a simulated water network under attack, a single temperature."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.bars import Bar, Line, Section, least, most
from benchmarks.detection import files
from benchmarks.detection.measures import (
    Batadal,
    Changepoints,
    Confusion,
    batadal,
    changepoints_pooled,
    confusion,
    nab_best,
    nab_probation,
    nab_score,
    onsets,
    pooled,
    skab_changepoints,
)
from benchmarks.detection.subject import PROCESS, Scored, Subject
from benchmarks.report import table

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Bars = tuple[Bar | None, Bar | None]
"""What is owed, and what is aimed at."""
HEAD = 50
"""Rows by which a detector may tell the stream's number format."""
SKAB_TRAIN = 400
WELL_TRAIN = 0.6
"""Share of the normal rows of a well to calibrate on."""


def as_process(scored: Scored, where: Flags) -> bool | None:
    """Whether some of these rows (n,) are in an episode of the process; None where the detector tells no kinds."""
    return None if scored.kind is None else bool((scored.kind[where] == PROCESS).any())


def _as_process(what: str, found: dict[str, list[bool | None]]) -> Line:
    """How many were, of the detectors that tell."""
    told = {name: float(sum(map(bool, each))) for name, each in found.items() if None not in each}
    return Line(f"{what} told as the process's, not a sensor's", told, digits=0)


def skab(subjects: Sequence[Subject]) -> list[Section]:
    """Every file by a model of its own first 400 rows."""
    rows: dict[str, Confusion] = {}
    points: dict[str, Changepoints] = {}
    by_file: dict[str, list[float]] = {}
    whose: dict[str, list[bool | None]] = {subject.name: [] for subject in subjects}
    found: dict[str, float] = {}
    for subject in subjects:
        counts, changes = [], []
        for file in files.skab():
            stream = file.rows[SKAB_TRAIN:]
            scored = subject.fit([file.rows[:SKAB_TRAIN]], file.sensors, 1.0, stream[:HEAD]).score(stream)
            alarm, truth = scored.alarm, file.truth[SKAB_TRAIN:]
            whose[subject.name].append(as_process(scored, truth))
            found[subject.name] = found.get(subject.name, 0.0) + bool(alarm[truth].any())
            counts.append(confusion(truth, alarm))
            changes.append(skab_changepoints(file.seconds[SKAB_TRAIN:], file.changes[SKAB_TRAIN:], alarm))
        rows[subject.name], points[subject.name] = pooled(counts), changepoints_pooled(changes)
        by_file[subject.name] = [each.f1 for each in counts]
    lines = [
        Line("outlier F1", {name: each.f1 for name, each in rows.items()}, least(0.785), least(0.81)),
        Line("false alarm rate", {name: each.far for name, each in rows.items()}, most(0.22), most(0.20)),
        Line("missed alarm rate", {name: each.mar for name, each in rows.items()}),
        Line("changepoint NAB", {name: each.normalised for name, each in points.items()}, least(25), least(32), 1),
        Line("files in which the anomaly is found", found, digits=0),
        _as_process("files", whose),
    ]
    names = [subject.name for subject in subjects]
    head = ("F1 by file", *names)
    body = [(file.name, *(f"{by_file[name][at]:.3f}" for name in names)) for at, file in enumerate(files.skab())]
    protocol = (
        f"{len(files.skab())} files; in each the rows 0-399 train, the rest is scored by the detector's own alarms, "
        "counts pooled over the files. Changepoints: both edges of every alarm, windows of 60 s to the right, standard "
        "profile."
    )
    return [Section("SKAB", protocol, lines, table(head, body))]


def wells(subjects: Sequence[Subject]) -> list[Section]:
    """Instances with a precursor, each by a model of its own normal rows."""
    real = [well for event in (2, 6) for well in files.wells(event) if well.name.startswith("WELL")]
    made = [well for event in (2, 6) for well in files.wells(event) if not well.name.startswith("WELL")]
    count = len(real)
    bars: list[Bars] = [
        (least(count), None),
        (least(10), least(count)),
        (most(0.01), most(0.0)),
        (most(16), None),
    ]
    nothing: list[Bars] = [(None, None)] * 4
    what = (
        "Fitted on the first 60 % of an instance's normal rows (sensors without a value there left out). Detected: in "
        "alarm at some row of the transient, before the steady fault. Clean: no alarm in the last 40 % of the normal "
        "rows. Delay: of the detected, from the first row of the transient."
    )
    return [
        _wells(f"3W, {count} real wells, classes 2 and 6", what, real, subjects, bars),
        _wells(f"3W, {len(made)} simulated wells, classes 2 and 6", what, made, subjects, nothing),
    ]


def _wells(
    title: str, what: str, listed: Sequence[files.Well], subjects: Sequence[Subject], bars: Sequence[Bars]
) -> Section:
    found: dict[str, list[tuple[float, int, int]]] = {subject.name: [] for subject in subjects}
    whose: dict[str, list[bool | None]] = {subject.name: [] for subject in subjects}
    for subject in subjects:
        for well in listed:
            *figures, process = _well(subject, well)
            found[subject.name].append((figures[0], figures[1], figures[2]))
            whose[subject.name].append(process)
    detected = {name: float(sum(np.isfinite(delay) for delay, _, _ in each)) for name, each in found.items()}
    clean = {name: float(sum(false == 0 for _, false, _ in each)) for name, each in found.items()}
    far = {name: sum(x[1] for x in each) / sum(x[2] for x in each) for name, each in found.items()}
    delay = {
        name: float(np.median([x[0] for x in each if np.isfinite(x[0])] or [np.nan])) for name, each in found.items()
    }
    lines = [
        Line("detected", detected, *bars[0], 0),
        Line("clean", clean, *bars[1], 0),
        Line("false alarm rate", far, *bars[2], 4),
        Line("median delay, s", delay, *bars[3], 0),
        _as_process("transients", whose),
    ]
    body = [
        (well.name, *(f"{found[s.name][at][0]:.0f} / {found[s.name][at][1]}" for s in subjects))
        for at, well in enumerate(listed)
    ]
    return Section(title, what, lines, table(("delay s / false rows", *(s.name for s in subjects)), body))


def well_start(well: files.Well) -> Floats:
    """The normal rows that are fitted on: the first 60 %."""
    normal = np.flatnonzero(well.label == 0)
    return np.asarray(well.rows[normal[normal < int(normal[int(WELL_TRAIN * len(normal))])]])


def _well(subject: Subject, well: files.Well) -> tuple[float, int, int, bool | None]:
    """Delay in s (infinite: not detected), false alarm rows, of how many, and whether the process is told."""
    train = well_start(well)
    normal = np.flatnonzero(well.label == 0)
    cut = int(normal[int(WELL_TRAIN * len(normal))])
    known: Flags = np.asarray(np.isfinite(train).any(axis=0))
    sensors = tuple(name for name, there in zip(well.sensors, known, strict=True) if there)
    stream, label = well.rows[cut:, known], well.label[cut:]
    scored = subject.fit([train[:, known]], sensors, 1.0, stream[:HEAD]).score(stream)
    alarm = scored.alarm
    transient = np.flatnonzero(label == 100 + well.event)
    steady = np.flatnonzero(label == well.event)
    if len(steady):
        transient = transient[transient < steady[0]]
    hits = transient[alarm[transient]]
    seconds = well.seconds[cut:]
    delay = float(seconds[hits[0]] - seconds[transient[0]]) if len(hits) else float("inf")
    process = as_process(scored, np.isin(np.arange(len(label)), transient))
    return delay, int(alarm[label == 0].sum()), int((label == 0).sum()), process


def water(subjects: Sequence[Subject]) -> list[Section]:
    """BATADAL's record with attacks by a model of its year without."""
    data = files.batadal()
    found: dict[str, Batadal] = {}
    whose: dict[str, list[bool | None]] = {}
    attack = np.cumsum(data.truth & ~np.pad(data.truth, (1, 0))[:-1]) * data.truth  # its number, 0 for none
    for subject in subjects:
        scored = subject.fit([data.normal], data.sensors, 3600.0, data.rows[:HEAD]).score(data.rows)
        found[subject.name] = batadal(data.truth, scored.alarm)
        whose[subject.name] = [as_process(scored, attack == number) for number in range(1, attack.max() + 1)]
    lines = [
        Line("S", {name: each.score for name, each in found.items()}, least(0.95), least(0.97)),
        Line("S_TTD", {name: each.time for name, each in found.items()}),
        Line("S_CLF", {name: each.rows for name, each in found.items()}),
        Line("attacks detected", {name: float(each.detected) for name, each in found.items()}, digits=0),
        _as_process("attacks", whose),
        Line(
            "false episodes", {name: float(each.false_episodes) for name, each in found.items()}, most(10), most(8), 0
        ),
    ]
    protocol = (
        "Fitted on `train_normal` (8,761 h), scored on `dev_attacks` (4,177 h, 7 attacks) by the detector's own "
        "alarms; S = 0.5 S_TTD + 0.5 S_CLF (Taormina et al. 2018). A false episode has no attack hour in it."
    )
    return [Section("BATADAL dev_attacks", protocol, lines)]


def temperature(subjects: Sequence[Subject]) -> list[Section]:
    """NAB's machine temperature by a model of its probation rows."""
    stream = files.nab()
    train = nab_probation(len(stream.values))
    own, best, own_rows, best_rows = {}, {}, {}, {}
    for subject in subjects:
        fitted = subject.fit([stream.values[:train]], ("value",), 300.0, stream.values[train : train + HEAD])
        scored = fitted.score(stream.values[train:])
        alarm = np.concatenate([np.zeros(train, dtype=np.bool_), scored.alarm])
        score = np.concatenate([np.full(train, np.nan), scored.score])
        own[subject.name] = nab_score(onsets(alarm), stream.windows)
        own_rows[subject.name] = nab_score(alarm, stream.windows)
        best[subject.name] = nab_best(score, stream.windows)[0]
        best_rows[subject.name] = nab_best(score, stream.windows, edges=False)[0]
    lines = [
        Line("limit chosen on this file, a rising edge is one detection", best, least(55), least(82), 1),
        Line("limit chosen on this file, every row above it a detection", best_rows, digits=1),
        Line("own limit, an episode is one detection", own, digits=1),
        Line("own limit, every alarm row a detection", own_rows, digits=1),
    ]
    protocol = (
        f"Fitted on the {train} probation rows, standard profile, normalised: 0 for no detection, 100 for the first "
        "row of each window alone. NAB chooses the limit that scores best over all its files; what is owed was set by "
        "a prototype whose limit was chosen on this file (56; 25 to 54 at its own), so that is how it is judged: by a "
        "limit that has seen the labels. What the detector does by its own, which has not, stands below."
    )
    return [Section("NAB machine_temperature", protocol, lines)]
