"""How often the cause of an episode is found, and how often what was never learnt is called unknown.

The library is learnt from the odd-numbered faults as `lab model causes` does; measured on other seeds of all faults. An
even fault has no right answer but "not like anything known".
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks.prognosis import AT, AT_H, PERIOD_S, fault_runs
from benchmarks.report import say, table
from lab.causes import episodes, read_library, tep_causes
from lab.fitting import tep_model
from models.detector import load
from models.precursor.causes import AGES, Match, gather, initial
from simulators import tep

RUNS: Final = 10
SEED: Final = 8_000_000


def run() -> str:
    """Tables in Markdown."""
    with TemporaryDirectory() as folder:
        models = Path(folder)
        say("the plant's model …")
        path, _ = tep_model(models)
        detector = load(path).detector
        say("the library …")
        library = read_library(tep_causes(models)[0])
    say("fresh runs …")
    runs = fault_runs(range(1, 22), RUNS, SEED)
    columns = [tep.COLUMNS.index(name) for name in detector.sensors]
    rows = runs.records.shape[1]
    lengths = [rows if np.isnan(at) else int(at) for at in runs.trip_row.tolist()]
    names = [f"idv_{fault}" for fault in runs.cause.tolist()]
    found = episodes(detector, runs.records[:, :, columns], names, AT, lengths)
    matcher = library.matcher(detector.sensors)
    matches: dict[tuple[str, int], list[Match]] = {}
    for one in found:
        for age in AGES:
            if len(one.deviation) >= age:
                on = np.ones((1, age), dtype=np.bool_)
                state = gather(
                    initial(1, len(detector.sensors)), one.deviation[None, :age], one.contributions[None, :age], on
                )
                matches.setdefault((one.cause, age), []).append(matcher.match(state)[0])
    by_age = []
    for age in AGES:
        odd = [(cause, m) for (cause, at), each in matches.items() if at == age and _odd(cause) for m in each]
        even = [m for (cause, at), each in matches.items() if at == age and not _odd(cause) for m in each]
        ranked = [[name for name, _ in m.causes] for _, m in odd]
        first = [names[0] == cause for names, (cause, _) in zip(ranked, odd, strict=True)]
        three = [cause in names[:3] for names, (cause, _) in zip(ranked, odd, strict=True)]
        wrongly = [m.cause is None for _, m in odd]
        by_age.append(
            (
                f"{age} ({age * PERIOD_S / 3600:.2g} h)",
                str(len(odd)),
                *(f"{np.mean(each):.2f}" for each in (first, three, wrongly)),
                str(len(even)),
                f"{np.mean([m.cause is None for m in even]):.2f}",
            )
        )
    by_fault = []
    for fault in range(1, 22):
        cause = f"idv_{fault}"
        line = [str(fault), str(sum(one.cause == cause for one in found))]
        for age in (5, 20, 60):
            some = matches.get((cause, age), [])
            if not some:
                line.append("–")
            elif _odd(cause):
                three_of = np.mean([cause in [name for name, _ in m.causes[:3]] for m in some])
                line.append(f"{np.mean([m.causes[0][0] == cause for m in some]):.1f} / {three_of:.1f}")
            else:
                line.append(f"{np.mean([m.cause is None for m in some]):.1f}")
        by_fault.append(line)
    return "\n".join(
        [
            f"{RUNS} fresh runs of each fault, {rows * PERIOD_S / 3600 - AT_H:.0f} h after it; first episodes.",
            "",
            table(
                ("rows", "odd", "cause first", "in first three", "wrongly unknown", "even", "called unknown"),
                by_age,
            ),
            "",
            "By fault: odd ones first / in first three, even ones called unknown, after 5, 20 and 60 rows.",
            "",
            table(("fault", "found", "5", "20", "60"), by_fault),
        ]
    )


def _odd(cause: str) -> bool:
    return int(cause.removeprefix("idv_")) % 2 == 1
