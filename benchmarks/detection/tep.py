"""Tennessee Eastman: the published test files, by a model of `d00` and by one of the own simulator."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.bars import Bar, Line, Section, least, most
from benchmarks.detection import files, own_simulator, simulated
from benchmarks.detection.measures import above, episodes, longest, quantile_limit
from benchmarks.detection.subject import Fitted, LabFitted, Subject
from benchmarks.report import table
from lab.fitting import fit_tep
from models.detector import dumps, loads
from simulators.tep import COLUMNS

Floats = NDArray[np.float64]
FAULTS = tuple(range(1, 22, 2))
"""The shared files; the even ones are held back."""
NORMAL = 160
"""Records of a test file before its fault shows."""
PERIOD_S = 180.0
HEAD = 50
"""Records by which a detector may tell the stream's number format."""


Bars = dict[str | int, tuple[Bar | None, Bar | None]]
"""Owed and aim, by fault or by the name of a mean."""


def braatz(subjects: Sequence[Subject]) -> list[Section]:
    """Fitted on `d00` alone."""
    head = files.braatz("d00_te")[:HEAD]
    fitted = {each.name: each.fit([files.braatz("d00")], COLUMNS, PERIOD_S, head) for each in subjects}
    calibrated: Bars = {"odd": (least(0.78), least(0.81))}
    own: Bars = {"odd": (least(0.74), least(0.77)), "far": (most(0.02), None), "run": (most(5), None)}
    return _sections("TEP, fitted on d00", "Fitted on `d00` (500 records).", fitted, calibrated, own)


def simulation(subjects: Sequence[Subject]) -> list[Section]:
    """Fitted on one unbroken simulated run; no benchmark file is seen."""
    fitted = {each.name: own_simulator.fitted(each) for each in subjects}
    calibrated: Bars = {
        "odd": (least(0.90), least(0.94)),
        15: (least(0.98), None),
        21: (least(0.78), None),
        3: (least(0.85), None),
    }
    own: Bars = {"odd": (least(0.83), least(0.86)), "far": (most(0.01), None), 9: (None, least(1 / 800))}
    what = (
        f"Fitted on one unbroken run of {simulated.NORMAL_H:.0f} h of `simulators.tep`, 5 significant digits, "
        f"seed {simulated.NORMAL_SEED}."
    )
    return _sections("TEP, fitted on the simulator", what, fitted, calibrated, own)


SHAPES = ((64, 8.0), (32, 30.0), (8, 60.0), (8, 120.0), (1, 480.0), (1, 960.0))
"""Runs, and hours of each, that the simulated plant's model may be made of."""
MONTHS = 4


def shapes(subjects: Sequence[Subject], seeds: int) -> list[Section]:
    """The lab's own model of the simulated plant (`lab model tep`), by the normal record that it is made of."""
    months = [simulated.month(simulated.PROMISE_SEED + at) for at in range(min(seeds, MONTHS))]
    rows = []
    for plants, hours in SHAPES:
        detector = fit_tep(hours, plants)
        model = LabFitted(loads(dumps(detector)))
        alarms = sum(len(episodes(model.score(month).alarm)) for month in months)
        odd = np.mean([model.score(files.braatz(f"d{fault:02d}_te")).alarm[NORMAL:].mean() for fault in FAULTS])
        rows.append((f"{plants} x {hours:.0f} h", f"{detector.kept:.1f}", alarms, f"{odd:.3f}"))
    protocol = (
        "`lab model tep` from several normal records, asked for 1 false alarm a month: what the model says it "
        f"can keep, what came in {len(months)} fault-free months that no model saw, and the share of the rows 161 to "
        "960 of the published odd-numbered test files in alarm."
    )
    head = ("normal record", "says it can keep, a month", f"came in {len(months)} months", "odd faults")
    return [Section("The simulated plant's model", protocol, [], table(head, rows))]


def _sections(title: str, what: str, fitted: dict[str, Fitted], at_1: Bars, own: Bars) -> list[Section]:
    rates_1: dict[str, dict[int, float]] = {}
    rates_own: dict[str, dict[int, float]] = {}
    te: dict[str, tuple[float, float, int]] = {}
    before: dict[str, float] = {}
    first: dict[str, float] = {}
    for name, model in fitted.items():
        normal = model.score(files.braatz("d00_te"))
        limit = quantile_limit(normal.score, 0.01)
        te[name] = (float(normal.alarm.mean()), float(len(episodes(normal.alarm))), longest(normal.alarm))
        scored = {fault: model.score(files.braatz(f"d{fault:02d}_te")) for fault in FAULTS}
        rates_1[name] = {fault: float(above(each.score, limit)[NORMAL:].mean()) for fault, each in scored.items()}
        rates_own[name] = {fault: float(each.alarm[NORMAL:].mean()) for fault, each in scored.items()}
        before[name] = float(np.mean([each.alarm[:NORMAL].mean() for each in scored.values()]))
        first[name] = float(np.median([_delay(each.alarm) for each in scored.values()]))

    def odd(rates: dict[str, dict[int, float]]) -> dict[str, float]:
        return {name: float(np.mean(list(each.values()))) for name, each in rates.items()}

    def faults(rates: dict[str, dict[int, float]], bars: Bars) -> list[Line]:
        lines = []
        for fault in FAULTS:
            figures = {name: each[fault] for name, each in rates.items()}
            lines.append(Line(f"fault {fault}", figures, *bars.get(fault, (None, None))))
        return lines

    calibrated = Section(
        f"{title}: limit at 1 % on d00_te",
        f"{what} One limit, the 99 % quantile of the score on `d00_te`; share of the records 161-960 of each test file "
        "above it.",
        [Line("detected, mean over the odd faults", odd(rates_1), *at_1["odd"]), *faults(rates_1, at_1)],
    )
    far = own["far"]
    promised = {name: model.promise for name, model in fitted.items() if model.promise is not None}
    by_own = Section(
        f"{title}: own limits",
        f"{what} The detector's own alarms at 1 false alarm a month, process and instrument alike.",
        [
            Line("detected, mean over the odd faults", odd(rates_own), *own["odd"]),
            Line("says it can promise, false alarms a month", promised, digits=1),
            Line("in alarm on d00_te", {name: x[0] for name, x in te.items()}, *far),
            Line("in alarm on records 1-160", before, *far),
            Line(
                "longest run of alarms on d00_te",
                {name: float(x[2]) for name, x in te.items()},
                *own.get("run", (None, None)),
                0,
            ),
            Line("episodes on d00_te (48 h)", {name: x[1] for name, x in te.items()}, digits=0),
            Line("median delay, min (inf: most are not found)", first, digits=0),
            *faults(rates_own, own),
        ],
    )
    return [calibrated, by_own]


def _delay(alarm: NDArray[np.bool_]) -> float:
    """Minutes from the switching to the first alarm record, 3 at the least; infinite if there is none."""
    hits = np.flatnonzero(alarm[NORMAL:])
    return 3.0 * (int(hits[0]) + 1) if len(hits) else float("inf")
