"""Fitting models: from records in files, from the first rows of an asset, and for the simulated plant."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from lab.tables import Table, TableError
from lab.text import text
from models.detector import Detector, Floats, Model, ModelError, dumps, load, loads, save
from models.precursor import LEAST_ROWS, fit

TEP_FIT: Final = 2
"""Counts up when the plant's model is to be made anew: the simulator or the fit changed."""
TEP_PLANTS: Final = 64
TEP_HOURS: Final = 8.0
TEP_PERIOD_S: Final = 180.0
TEP_SEED: Final = 20_000


def learn(runs: Sequence[Floats], sensors: Sequence[str], period_s: float) -> Detector:
    """Fit the lab's detector to normal records; sensors without any value are left out.

    Raises:
        ValueError: too few rows, or no sensor with values.
    """
    there = [at for at in range(len(sensors)) if any(np.isfinite(run[:, at]).any() for run in runs)]
    if not there:
        raise ValueError("no sensor has a value")
    return fit([run[:, there] for run in runs], [sensors[at] for at in there], period_s)


def fit_tables(tables: Sequence[Table], period_s: float | None = None) -> Model:
    """Fit the lab's detector to normal records in files; the columns of the first one that all have are its sensors.

    Records are cut where their times jump by more than five periods, and never bridged.

    Raises:
        TableError: no column is in all of them, or nothing can be learned from them.
    """
    first = tables[0]
    others = [set(table.columns) for table in tables[1:]]
    sensors = [name for name in first.columns if all(name in columns for columns in others)]
    if not sensors:
        raise TableError(text("table.nothing_shared", path=first.path, other=tables[-1].path))
    period = period_s or first.period_s or 1.0
    runs = []
    for table in tables:
        values = table.values[:, [table.columns.index(name) for name in sensors]]
        steps = np.zeros(0) if table.time is None else np.diff(table.time) / 1e9
        runs += np.split(values, np.flatnonzero(steps > 5 * period) + 1)
    path = ", ".join(str(table.path) for table in tables)
    rows = sum(len(run) for run in runs if len(run) > 1)
    if rows < LEAST_ROWS:
        raise TableError(text("table.few", path=path, rows=rows, least=LEAST_ROWS))
    if not any(np.isfinite(run).any() for run in runs):
        raise TableError(text("table.valueless", path=path))
    try:
        detector = learn(runs, sensors, period)
    except ValueError as error:
        raise TableError(f"{path}: {error}") from error
    about = {"rows": sum(len(table.values) for table in tables), "files": [table.path.name for table in tables]}
    return loads(dumps(detector, about))


def fit_tep(
    hours: float = TEP_HOURS, plants: int = TEP_PLANTS, progress: Callable[[float], None] | None = None
) -> Detector:
    """Fit the lab's detector to simulated normal operation of the Tennessee Eastman plant.

    The records are rounded to five significant digits, as gateways send them and as the published files are.

    Args:
        hours: plant hours of each run.
        plants: runs, each with its own noise.
        progress: called now and then with the share done, 0 to 1.
    """
    from simulators import tep

    seeds = [TEP_SEED + plant for plant in range(plants)]
    done = None if progress is None else lambda at: progress(0.98 * at / hours)
    run = tep.simulate(hours, seeds, generator="numpy", progress=done)
    records = tep.round_records(run.records, 5)
    detector = learn(list(records), tep.COLUMNS, TEP_PERIOD_S)
    if progress is not None:
        progress(1.0)
    return detector


def tep_model(
    models: Path,
    *,
    hours: float = TEP_HOURS,
    plants: int = TEP_PLANTS,
    force: bool = False,
    progress: Callable[[float], None] | None = None,
) -> tuple[Path, bool]:
    """The simulated plant's model in the folder of models, made when it is not there or was made by another version.

    Args:
        models: the folder.
        hours: see `fit_tep`.
        plants: see `fit_tep`.
        force: make it in any case.
        progress: see `fit_tep`.

    Returns:
        The file, and whether it was made now.

    Raises:
        ModelError: the folder cannot be written to.
    """
    path = models / "tep.model"
    about: dict[str, Any] = {"plant": "tep", "fit": TEP_FIT, "hours": float(hours), "plants": plants, "seed": TEP_SEED}
    if not force:
        try:
            if dict(load(path).about) == about:
                return path, False
        except ModelError:
            pass  # none, or one that cannot be read: made anew
    save(fit_tep(hours, plants, progress), path, about)
    return path, True
