"""`python -m benchmarks` runs all and writes benchmarks/RESULTS.md; `python -m benchmarks NAME` runs one and prints it.

A benchmark is a module here with `run() -> str`, which returns Markdown; what follows its name is passed on to it.
Figures of a shared or small machine wander; the ratios, whose two sides are measured in one run, are what to compare.
"""

import argparse
import importlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import machine, say, table, versions
from lab.machine import one_thread

NAMES = (
    "simulator",
    "historian",
    "pipeline",
    "api",
    "scoring",
    "detection",
    "selection",
    "corrosion",
    "prognosis",
    "causes",
)
RESULTS = Path(__file__).with_name("RESULTS.md")


def report(name: str, arguments: Sequence[str] = ()) -> str:
    """One benchmark's section, with the day and the seconds it took."""
    say(f"{name} …")
    began = time.perf_counter()
    run = importlib.import_module(f"benchmarks.{name}").run
    body: str = run(arguments) if arguments else run()
    took = time.perf_counter() - began
    return f"## {name}\n\n{body.strip()}\n\nMeasured on {datetime.now(UTC):%Y-%m-%d} in {took:.0f} s.\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=NAMES, help="run this one and print it")
    chosen, arguments = parser.parse_known_args()
    one_thread()  # as the lab does
    name = chosen.name
    if name:
        print(report(name, arguments))
        return
    head = "# Results\n\nWritten by `python -m benchmarks`; the ratios matter, single figures belong to this machine.\n"
    facts = table(("what", "value"), machine().items())
    packages = table(("package or program", "version"), versions().items())
    sections = [head, facts, *(report(each) for each in NAMES), "## versions\n\n" + packages]
    RESULTS.write_text("\n".join(sections), encoding="utf-8")
    say(f"wrote {RESULTS}")


if __name__ == "__main__":
    main()
