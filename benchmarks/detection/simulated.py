"""Records of the own simulator, kept in a folder of the system's temporary one so that a second run need not wait."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators import tep

Floats = NDArray[np.float64]
NORMAL_H: Final = 960.0
NORMAL_SEED: Final = 1
PROMISE_SEED: Final = 1001
"""First of the seeds of the fault-free months."""
FAULT_SEED: Final = 2001
"""First of the seeds of the runs with faults; what is learnt of faults must come of others."""
MONTH_H: Final = 720.0
RUN_H: Final = 48.0
FAULT_H: Final = 8.0


class Faults(NamedTuple):
    """Runs with one fault each."""

    records: Floats
    """(runs, rows, 52), 5 significant digits."""
    trip_h: Floats
    """(runs,) when the plant tripped, h; NaN where it did not."""
    trip: NDArray[np.int64]
    """(runs,) which trip, 0 for none."""


def normals(hours: float, seeds: Sequence[int]) -> Floats:
    """(runs, rows, 52) of fault-free runs."""
    return _runs(hours, seeds, 0).records


def normal(hours: float = NORMAL_H, seed: int = NORMAL_SEED) -> Floats:
    """(rows, 52) of one unbroken fault-free run."""
    return np.asarray(normals(hours, [seed])[0])


def month(seed: int) -> Floats:
    """(14400, 52): thirty days without a fault."""
    return np.asarray(normals(MONTH_H, [seed])[0])


def faulty(fault: int, seeds: Sequence[int], end_h: float | None = None) -> Faults:
    """Runs of 48 h with a fault from 8 h on, which is taken away again at `end_h`."""
    return _runs(RUN_H, seeds, fault, end_h)


def _runs(hours: float, seeds: Sequence[int], fault: int, end_h: float | None = None) -> Faults:
    ends = "" if end_h is None else f"-to{end_h:g}h"
    path = _folder() / f"{hours:g}h-fault{fault}{ends}-seeds{min(seeds)}-{max(seeds)}-{len(seeds)}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as held:
            return Faults(held["records"], held["trip_h"], held["trip"])

    def switch(on: bool) -> Callable[[tep.Inputs], None]:
        def apply(inputs: tep.Inputs) -> None:
            for plant in range(len(seeds)):
                inputs.set_fault(plant, fault, on)

        return apply

    changes = [tep.Change(FAULT_H, switch(True))] if fault else []
    if end_h is not None:
        changes.append(tep.Change(end_h, switch(False)))
    run = tep.simulate(hours, list(seeds), changes, generator="numpy")
    done = Faults(tep.round_records(run.records), tep.trip_hours(run.state), run.state.trip.astype(np.int64))
    beside = path.with_name(f"{os.getpid()}-{path.name}")
    np.savez_compressed(beside, **done._asdict())
    beside.replace(path)
    return done


def _folder() -> Path:
    """Where records are kept: a folder for this very version of the simulator."""
    source = hashlib.blake2b(digest_size=6)
    for file in sorted(Path(tep.__file__).parent.glob("*.py")):
        source.update(file.read_bytes())
    folder = Path(tempfile.gettempdir()) / "jissho-benchmarks" / source.hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    return folder
