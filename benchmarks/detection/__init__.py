"""Detection: how early and how truly the lab's detector and its peers see faults, on data not used for tuning.

`make bench-detection ARGS="--only tep,skab"` runs some of it; `--peers none` leaves the others out; `--seeds 5` takes
fewer runs of the own simulator.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.bars import Section, shortfalls, summary
from benchmarks.detection import accepted, instruments, others, own_simulator, tep
from benchmarks.detection.files import data
from benchmarks.detection.subject import LAB, Subject
from benchmarks.peers import PEERS
from benchmarks.report import say

Protocol = Callable[[Sequence[Subject], int], list[Section]]
"""Of subjects and the number of the simulator's seeds."""
PROTOCOLS: Final[dict[str, Protocol]] = {
    "tep": lambda subjects, _: tep.braatz(subjects),
    "tep-sim": lambda subjects, _: tep.simulation(subjects),
    "shapes": tep.shapes,
    "promise": own_simulator.promise,
    "faults": own_simulator.faults,
    "instruments": instruments.instruments,
    "accepted": accepted.accepted,
    "skab": lambda subjects, _: others.skab(subjects),
    "3w": lambda subjects, _: others.wells(subjects),
    "batadal": lambda subjects, _: others.water(subjects),
    "nab": lambda subjects, _: others.temperature(subjects),
}
SEEDS: Final = 20


def measure(names: Sequence[str], subjects: Sequence[Subject], seeds: int = SEEDS) -> list[Section]:
    """The sections of some protocols."""
    sections: list[Section] = []
    for name in names:
        say(f"  {name} …")
        sections += PROTOCOLS[name](subjects, seeds)
    return sections


def run(arguments: Sequence[str] = ()) -> str:
    """The report's section."""
    parser = argparse.ArgumentParser(prog="make bench-detection", description=__doc__)
    parser.add_argument("--only", default=",".join(PROTOCOLS), help=f"some of {', '.join(PROTOCOLS)}")
    parser.add_argument("--peers", default="all", help="all, none, or some of " + ", ".join(p.name for p in PEERS))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of the own simulator, a month or a fault")
    chosen = parser.parse_args(list(arguments))
    only = [name.strip() for name in chosen.only.split(",") if name.strip()]
    unknown = [name for name in only if name not in PROTOCOLS]
    if unknown:
        parser.error(f"--only {', '.join(unknown)}: want some of {', '.join(PROTOCOLS)}")
    if not data().is_dir():
        return f"Not measured: the shared data sets are not at {data().name}; JISSHO_DATA names their folder."
    wanted = {name.strip() for name in chosen.peers.split(",")}
    peers = [peer for peer in PEERS if chosen.peers == "all" or peer.name in wanted]
    subjects: list[Subject] = [LAB, *peers]
    sections = measure(only, subjects, chosen.seeds)
    names = [subject.name for subject in subjects]
    return "\n".join(
        [
            "One default configuration for everything. The verdict is the lab's detector's.\n",
            *(summary(section, names) for section in sections),
            "### What falls short\n",
            shortfalls(sections, names[0]),
        ]
    )
