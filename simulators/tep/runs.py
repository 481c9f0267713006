"""Whole runs: the benchmark's protocol, and scenarios in which things happen at given times."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context
from math import isfinite
from typing import Any

import numpy as np

from simulators.tep.drive import Path
from simulators.tep.plant import advance_recording, start
from simulators.tep.state import REFERENCE_SEED, Floats, Generator, Inputs, State, whole

RECORD_S = 180
"""The benchmark files have one record every three minutes."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something done to the plants during a run."""

    at_h: float
    """From the step at this time on, h."""
    apply: Callable[[Inputs], None]
    """Changes the inputs."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run gave."""

    hours: Floats
    """(rows,) time of each record, h."""
    records: Floats
    """(n, rows, 52) XMEAS 1..41 and XMV 1..11; columns as `COLUMNS`."""
    state: State
    """The plants at the end."""


def simulate(
    hours: float,
    seeds: Sequence[int],
    changes: Iterable[Change] = (),
    noise: bool = True,
    generator: Generator = "reference",
    every_s: int = RECORD_S,
    path: Path = "auto",
    progress: Callable[[float], None] | None = None,
) -> Run:
    """Run one plant per seed from the base case.

    Args:
        hours: how long; cut to whole records.
        seeds: see `start`.
        changes: what happens; those at one time in the order given.
        noise: add measurement noise.
        generator: "reference" for the sequence of the 1993 model, "numpy" for independent plants, faster.
        every_s: seconds between records.
        path: how to compute it; no path changes a bit.
        progress: called now and then with the hours done.

    Raises:
        ValueError: no time, no seed, an unknown generator, or a change before the start.
    """
    if not isfinite(hours) or hours <= 0 or every_s < 1:
        raise ValueError(f"hours {hours}, every {every_s} s: want a positive time and at least 1 s")
    state = start(seeds, generator)
    inputs = Inputs.none(state.plants)
    end = int(round(hours * 3600.0) // every_s * every_s)
    waiting = sorted(changes, key=lambda change: change.at_h)
    for change in waiting:
        if not isfinite(change.at_h) or change.at_h < 0.0:
            raise ValueError(f"change at {change.at_h} h: want a time from 0 h")
    pieces = []
    while state.steps < end:
        # a change at step i is made before step i
        while waiting and round(waiting[0].at_h * 3600.0) <= state.steps + 1:
            waiting.pop(0).apply(inputs)
        until = min(end, round(waiting[0].at_h * 3600.0) - 1 if waiting else end)
        if progress is not None:
            until = min(until, state.steps + 3600)
        state, records = advance_recording(state, inputs, until - state.steps, noise, every_s, path)
        pieces.append(records)
        if progress is not None:
            progress(state.steps / 3600.0)
    rows = end // every_s
    joined = np.concatenate(pieces, axis=1) if pieces else np.empty((state.plants, 0, 52))
    return Run(np.arange(1, rows + 1) * every_s / 3600.0, joined, state)


def run(
    hours: float,
    fault: int = 0,
    fault_at_h: float = 8.0,
    noise: bool = True,
    seed: int | None = None,
    generator: Generator = "reference",
    path: Path = "auto",
) -> tuple[Floats, Floats]:
    """One run in the protocol of the benchmark files: a record every three minutes, one fault.

    Args:
        hours: 48 for a test file, 25 for a training file.
        fault: 0 none, 1..20 IDV, 21 valve 4 held at 61.302 %.
        fault_at_h: 8 in the test files, 1 in the training files.
        noise: add measurement noise; the reference generator's draws are made either way.
        seed: start value of the reference generator's G (1431655765 when not given), or the numpy generator's seed
            (taken from the system when not given).
        generator: see `simulate`.
        path: see `simulate`.

    Returns:
        (rows,) times in h and (rows, 52) records, columns as `COLUMNS`.

    Raises:
        ValueError: no such fault, or an argument that makes no sense.
    """
    hours_, records = run_many(hours, [seed], [fault], fault_at_h, noise, generator, path)
    return hours_, records[0]


def run_many(
    hours: float,
    seeds: Sequence[int | None],
    faults: Sequence[int] | int = 0,
    fault_at_h: float = 8.0,
    noise: bool = True,
    generator: Generator = "numpy",
    path: Path = "auto",
) -> tuple[Floats, Floats]:
    """Many runs as `run`, one per seed; each is what it would be alone.

    Args:
        hours: see `run`.
        seeds: (n) one per plant.
        faults: one for all plants or (n).
        fault_at_h: see `run`.
        noise: see `run`.
        generator: see `simulate`.
        path: see `simulate`.

    Returns:
        (rows,) times in h and (n, rows, 52) records.

    Raises:
        ValueError: as `run`, or not as many faults as seeds.
    """
    asked: Any = [faults] * len(seeds) if np.ndim(faults) == 0 else faults
    each = [whole(fault, "fault") for fault in asked]
    if len(each) != len(seeds):
        raise ValueError(f"{len(each)} faults for {len(seeds)} seeds: want one for all or one each")
    for fault in each:
        if not 0 <= fault <= 21:
            raise ValueError(f"fault {fault}: want 0 (none) to 21")
    if not isfinite(fault_at_h) or fault_at_h < 0.0:
        raise ValueError(f"fault_at_h {fault_at_h}: want a time from 0 h")
    fresh = np.random.SeedSequence().generate_state(len(seeds), np.uint32)
    given = [
        seed if seed is not None else REFERENCE_SEED if generator == "reference" else int(fresh[k])
        for k, seed in enumerate(seeds)
    ]

    def switch(inputs: Inputs) -> None:
        for plant, fault in enumerate(each):
            if fault:
                inputs.set_fault(plant, fault)

    changes = [Change(fault_at_h, switch)] if any(each) else []
    done = simulate(hours, given, changes, noise, generator, path=path)
    return done.hours, done.records


def round_records(x: Floats, digits: int = 5) -> Floats:
    """Round to significant digits, half to even, as the benchmark files were written. Any shape; NaN and infinity stay.

    A half is a half when the number is written in decimal: 120.405 goes to 120.40 though no double is exactly 120.405.

    Raises:
        ValueError: digits is not 1 to 17.
    """
    if not 1 <= digits <= 17:
        raise ValueError(f"digits {digits}: want 1 to 17")
    x = np.asarray(x, float)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        places = digits - 1 - np.floor(np.log10(np.abs(x)))
        up, down = 10.0 ** np.maximum(places, 0.0), 10.0 ** np.maximum(-places, 0.0)
        scaled = x * up / down
        rounded = np.rint(scaled) / up * down
        # near a half or a power of ten, or beyond exact powers, the scaling's own rounding might decide: ask decimal
        tie = np.abs(np.abs(scaled - np.trunc(scaled)) - 0.5) < 1e-4
        size = np.abs(scaled)
        sure = (np.abs(places) <= 22) & ~tie & (size < 10.0**digits - 1) & (size > 10.0 ** (digits - 1))
    rounded = np.where(np.isfinite(x) & (x != 0.0), rounded, x)
    unsure = np.isfinite(x) & (x != 0.0) & ~sure
    if unsure.any():
        decimal = Context(prec=digits, rounding=ROUND_HALF_EVEN)
        rounded[unsure] = [float(decimal.create_decimal(repr(value))) for value in x[unsure].tolist()]
    return rounded
