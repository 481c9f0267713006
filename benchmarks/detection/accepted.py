"""Operating points that were accepted: whether it is calm there, and whether what comes next is found."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.bars import Line, Section
from benchmarks.detection import simulated
from benchmarks.detection.own_simulator import FAULTS, ONSET, fitted
from benchmarks.detection.subject import LabFitted, Subject
from benchmarks.report import table
from models.detector import Detector
from simulators import tep

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
SEED: Final = 840_001
NEXT_SEED: Final = 850_001
AFTER: Final = (60, 120, 200, 300)
"""Rows after the fault at which a run is accepted."""
SEEN: Final = 400
"""Rows that are looked at after it."""
LASTING: Final = 4
"""The fault that shifts the plant for good and leaves it calm there: the cooling water's temperature steps."""
NEXT: Final = (1, 2, 6, 7, 8, 10, 11, 12, 13, 14)
"""Faults that come upon it."""
AT_H: Final = 16.0
NEXT_H: Final = 24.0
HOURS: Final = 40.0
RUNS: Final = 4


def accepted(subjects: Sequence[Subject], seeds: int) -> list[Section]:
    """The lab's section; the others have nothing of the kind."""
    model = fitted(subjects[0])
    if not isinstance(model, LabFitted):
        return []
    name, detector, runs = subjects[0].name, model.model.detector, min(seeds, RUNS)
    calm = [
        _alarms(detector, rows, ONSET + at) for rows in simulated.normals(simulated.RUN_H, _seeds(runs)) for at in AFTER
    ]
    lines = [
        Line(f"of {len(calm)} acceptances in calm operation those with an alarm after it",
             {name: float(sum(after.any() for after, _ in calm))}, digits=0),
        Line("rows in alarm after them", {name: float(np.mean(np.concatenate([after for after, _ in calm])))}),
    ]  # fmt: skip
    rows = []
    for fault in FAULTS:
        made = simulated.faulty(fault, [seed + 100 * fault for seed in _seeds(runs)])
        whole = [records for records, trip in zip(made.records, made.trip_h, strict=True) if np.isnan(trip)]
        told = [_alarms(detector, records, ONSET + at) for records in whole for at in AFTER]
        told = [(after, without) for after, without in told if without.any()]
        if told:
            after, without = (float(np.mean(np.concatenate(part))) for part in zip(*told, strict=True))
            rows.append((fault, len(told), f"{without:.3f}", f"{after:.3f}", sum(not each.any() for each, _ in told)))
    of = {fault: row for fault, *row in rows}[LASTING]
    lines.append(Line(f"rows in alarm after fault {LASTING} was accepted", {name: float(of[2])}))
    for upon, what in ((False, "calm operation"), (True, f"fault {LASTING}, accepted")):
        found, delays, early = _next(detector, runs, upon)
        lines += [
            Line(f"faults found that come upon {what}", {name: found}),
            Line("their median delay, min", {name: delays}, digits=0),
            Line("rows in alarm in the hours before", {name: early}),
        ]
    protocol = (
        f"Model of the 960 h run. {runs} runs of {simulated.RUN_H:.0f} h each, without a fault and with each that does "
        f"not trip, accepted {', '.join(str(at) for at in AFTER)} rows after it and looked at for {SEEN} rows more; "
        "counted where these would be in alarm if nobody had accepted. "
        f"Faults {', '.join(str(fault) for fault in NEXT)} at {NEXT_H:.0f} h, of each {runs} runs of {HOURS:.0f} h, "
        f"upon calm operation and upon fault {LASTING} from {simulated.FAULT_H:.0f} h on; both are accepted at "
        f"{AT_H:.0f} h. Found: in alarm before the end or the trip; before: from the acceptance to the second fault."
    )
    head = "fault", "acceptances", "rows in alarm without", "with it", "calm throughout"
    return [Section("Accepted operating points of the own simulator", protocol, lines, table(head, rows))]


def _seeds(runs: int) -> list[int]:
    return list(range(SEED, SEED + runs))


def _alarms(detector: Detector, records: Floats, at: int) -> tuple[Flags, Flags]:
    """Alarms of the rows after an asset was accepted, and of the same if it was not."""
    state, _ = detector.score(detector.initial(1), records[None, :at])
    rows = records[None, at : at + SEEN]
    _, without = detector.score(state, rows)
    _, after = detector.score(detector.accept(state, np.ones(1, dtype=np.bool_)), rows)
    return after.alarm[0], without.alarm[0]


def _next(detector: Detector, runs: int, upon: bool) -> tuple[float, float, float]:
    """Of faults that come upon an accepted point: share found, median delay in minutes, alarms before."""
    wanted = [fault for fault in NEXT for _ in range(runs)]

    def first(inputs: tep.Inputs) -> None:
        for plant in range(len(wanted)):
            inputs.set_fault(plant, LASTING)

    def second(inputs: tep.Inputs) -> None:
        for plant, fault in enumerate(wanted):
            inputs.set_fault(plant, fault)

    changes = [*([tep.Change(simulated.FAULT_H, first)] if upon else []), tep.Change(NEXT_H, second)]
    run = tep.simulate(HOURS, [NEXT_SEED + at for at in range(len(wanted))], changes, generator="numpy")
    records = tep.round_records(run.records)
    ends = tep.trip_hours(run.state) * 20.0
    at, then = round(AT_H * 20), round(NEXT_H * 20)
    state, _ = detector.score(detector.initial(len(wanted)), records[:, :at])
    state = detector.accept(state, np.ones(len(wanted), dtype=np.bool_))
    alarm = detector.score(state, records[:, at:])[1].alarm
    delays = []
    for rows, end in zip(alarm[:, then - at :], ends.tolist(), strict=True):
        seen = rows if np.isnan(end) else rows[: max(0, int(end) - then)]
        delays.append(float(np.argmax(seen)) * 3.0 if seen.any() else np.inf)
    found = np.isfinite(delays)
    return float(found.mean()), float(np.median(np.array(delays)[found])), float(alarm[:, : then - at].mean())
