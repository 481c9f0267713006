"""Fitting models: from records in files, from the first rows of an asset, and for the simulated plant."""

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from devices.frame import Channel
from lab.cells import commas, missing, narrow, number
from lab.periods import GAP_PERIODS, first_rows
from lab.tables import ODD_PERIOD, Table, TableError, sampled_s
from lab.text import text
from lab.textfile import read_text
from models.detector import Floats, Model, ModelError, dumps, load, loads, save
from models.precursor import LEAST_ROWS, Precursor, Resolution, coarser, fit, resolution, rounded, wild
from models.precursor.resolution import LOOK

log = logging.getLogger("lab.fitting")

WILD_NAMED: Final = 5
"""So many readings that were left out are named."""
SPARSE: Final = 0.9
"""A sensor that was there for less of the rows makes the record short."""
LIMIT_NAMES: Final = {"センサー": "sensor", "下限": "low", "上限": "high"}
RAMP_ROWS: Final = 20
"""In fewer a sensor may rise evenly by chance."""
OVERLAP: Final = 0.01
"""So many of a record's rows may stand in another one: exports of days have midnight twice."""
MOSTLY: Final = 0.5
"""More of the rows at the same times are the same in a copy."""
TEP_FIT: Final = 4
"""Counts up when the plant's model is to be made anew: the simulator or the fit changed."""
TEP_LONG: Final = (1, 960.0)
"""Runs and plant hours of each: one unbroken record, where numba makes that a matter of seconds."""
TEP_SHORT: Final = (8, 60.0)
"""Without it a minute's work; what each promises and keeps: docs/scoring.md."""
TEP_PERIOD_S: Final = 180.0
TEP_SEED: Final = 20_000

Limits = Mapping[str, tuple[float | None, float | None]]


def declared_limits(channels: Sequence[Channel], alarms: bool = True) -> Limits:
    """Lower and upper limit of the channels that have one: the trip, or else (with `alarms`) the alarm.

    Those of which the lower one is not the lower one (0 and 0, as devices say that have none set) are left out.
    """
    found = {}
    for channel in channels:
        if (limits := channel.limits) is not None and channel.role != "status":
            low = limits.lo_alarm if alarms and limits.lo_trip is None else limits.lo_trip
            high = limits.hi_alarm if alarms and limits.hi_trip is None else limits.hi_trip
            if low is not None and high is not None and low >= high:
                log.warning("limits %g and %g of %s are none: they are left out", low, high, channel.tag)
            elif low is not None or high is not None:
                found[channel.tag] = low, high
    return found


def learn(
    runs: Sequence[Floats],
    sensors: Sequence[str],
    period_s: float,
    limits: Limits | None = None,
    false_alarms_per_month: float = 1.0,
) -> Precursor:
    """Fit the lab's detector to normal records; sensors without any value are left out.

    Raises:
        ValueError: too few rows, or no sensor with values.
    """
    there = [at for at in range(len(sensors)) if any(np.isfinite(run[:, at]).any() for run in runs)]
    if not there:
        raise ValueError("no sensor has a value")
    return fit(
        [run[:, there] for run in runs],
        [sensors[at] for at in there],
        period_s,
        false_alarms_per_month=false_alarms_per_month,
        limits=limits,
    )


def fit_tables(
    tables: Sequence[Table],
    period_s: float | None = None,
    *,
    limits: Limits | None = None,
    false_alarms_per_month: float = 1.0,
    stream: Table | None = None,
) -> Model:
    """Fit the lab's detector to normal records in files; the columns of the first one that all have are its sensors.

    What only counts the rows is no sensor, nor what the stream does not have: a model that knew of it would judge those
    that it foretells the less (`unjudged`). Records are cut where their times jump by more than five periods, and never
    bridged. The model's `about` says what their numbers are rounded to.

    Args:
        tables: the records.
        period_s: seconds between rows, where it is not the files' own.
        limits: lower and upper limit of the sensors for which the time is to be foretold.
        false_alarms_per_month: what is to be promised of new normal data.
        stream: what will be scored: the records are rounded to its number format before anything is learned, and of
            their columns those are used that it has.

    Raises:
        TableError: no column is in all of them, nothing can be learned from them, none has a period, or the stream has
            less than half of their sensors.
    """
    first = tables[0]
    shared = shared_columns(tables)
    if not shared:
        raise TableError(text("table.nothing_shared", path=first.path, other=tables[-1].path))
    counts = row_counts(tables)
    sensors = [name for name in shared if name not in counts]
    if not sensors:
        raise TableError(text("table.only_counts", path=first.path, columns=", ".join(counts)))
    if stream is not None:
        lacking = not_in(stream, tables)
        if 2 * len(lacking) > len(_read_columns(tables)):
            raise TableError(text("table.lacks_normal", path=stream.path, sensors=", ".join(lacking[:10])))
        sensors = [name for name in sensors if name in stream.columns]
    given = [table for table in (*tables, *([] if stream is None else [stream])) if table.period_s is not None]
    period = period_s or (given[0].period_s if given else None)
    if period is None:
        raise TableError(text("table.no_period", path=first.path))
    format = None if stream is None else resolution(_columns(stream, sensors))
    runs = []
    for table in tables:
        values = _columns(table, sensors)
        if format is not None:
            values = rounded(values, format)
        runs += split_runs(table, values, period)
    path = ", ".join(str(table.path) for table in tables)
    rows = sum(len(run) for run in runs if len(run) > 1)
    if rows < LEAST_ROWS <= sum(map(len, runs)):
        gap = f"{GAP_PERIODS * period:g}"
        raise TableError(text("table.few_whole", path=path, rows=rows, least=LEAST_ROWS, period=f"{period:g}", gap=gap))
    if rows < LEAST_ROWS:
        raise TableError(text("table.few", path=path, rows=rows, least=LEAST_ROWS))
    if not any(np.isfinite(run).any() for run in runs):
        raise TableError(text("table.valueless", path=path))
    try:
        detector = learn(runs, sensors, period, limits, false_alarms_per_month)
    except ValueError as error:
        raise TableError(f"{path}: {error}") from error
    own = resolution(
        np.concatenate([run[:LOOK] for run in runs])[:, [sensors.index(name) for name in detector.sensors]]
    )
    about = {
        "rows": sum(map(len, runs)),
        "files": [table.path.name for table in tables],
        "decimals": own.decimals.tolist(),
        "digits": own.digits.tolist(),
    }
    return loads(dumps(detector, about))


def split_runs(table: Table, values: Floats, period_s: float) -> list[Floats]:
    """The rows (n, c) of a record that count, cut where its times jump by more than five periods.

    All of them, or the first in each period of the plant's clock; that running backwards cuts as well.
    """
    if table.clock_s is not None:
        rows, cuts = first_rows(table.clock_s, period_s, GAP_PERIODS + 1)
        return np.split(values[rows], cuts)
    steps = np.zeros(0) if table.time is None else np.diff(table.time) / 1e9
    return np.split(values, np.flatnonzero(steps > GAP_PERIODS * period_s) + 1)


def shared_columns(tables: Sequence[Table]) -> list[str]:
    """The columns that are in all tables, as they stand in the first."""
    others = [set(table.columns) for table in tables[1:]]
    return [name for name in tables[0].columns if all(name in columns for columns in others)]


def not_in(stream: Table, tables: Sequence[Table]) -> list[str]:
    """The sensors of normal records, with a value in one of them, that what will be scored does not have."""
    return [name for name in _read_columns(tables) if name not in stream.columns]


def _read_columns(tables: Sequence[Table]) -> list[str]:
    """Shared columns that hold readings: a value in one of the tables, and not only the rows' numbers."""
    counts = row_counts(tables)
    return [name for name in shared_columns(tables) if name not in counts and _has_value(tables, name)]


def _has_value(tables: Sequence[Table], name: str) -> bool:
    return any(np.isfinite(table.values[:, table.columns.index(name)]).any() for table in tables)


def row_counts(tables: Sequence[Table]) -> list[str]:
    """Shared columns that rise by one constant step from row to row in every table, of which one has twenty rows."""
    if max(len(table.values) for table in tables) < RAMP_ROWS:
        return []
    return [
        name
        for name in shared_columns(tables)
        if all(_counts(table.values[:, table.columns.index(name)]) for table in tables)
    ]


def _counts(column: Floats) -> bool:
    """Whether values (n,) rise by one constant step; two or less do not show it."""
    if len(column) < 3 or not column[-1] > column[0]:
        return False
    step = (column[-1] - column[0]) / (len(column) - 1)
    even = column[0] + step * np.arange(len(column))
    return bool(np.abs(column - even).max() <= 1e-6 * step + 1e-12 * np.abs(column).max())


def left_out(tables: Sequence[Table], model: Model) -> list[str]:
    """Which columns and readings of normal records the model did not learn from, and why, in words, line by line."""
    shared, counts = shared_columns(tables), row_counts(tables)
    some = [name for table in tables for name in table.columns if name not in shared]
    empty = [name for name in shared if name not in counts and not _has_value(tables, name)]
    lines = []
    if some:
        lines.append(text("fit.not_in_all", columns=", ".join(dict.fromkeys(some))))
    if counts:
        lines.append(text("fit.counts", columns=", ".join(counts)))
    if empty:
        lines.append(text("fit.empty", columns=", ".join(empty)))
    return lines + _wild_readings(tables, model.detector.sensors)


def _wild_readings(tables: Sequence[Table], sensors: Sequence[str]) -> list[str]:
    values = [_columns(table, sensors) for table in tables]
    found = [
        text("fit.wild", path=table.path, row=row + 1, column=sensors[column], value=f"{rows[row, column]:g}")
        for table, rows, at in zip(tables, values, wild(values), strict=True)
        for row, column in np.argwhere(at).tolist()
    ]
    more = [text("fit.wild_more", count=len(found) - WILD_NAMED)] if len(found) > WILD_NAMED else []
    return found[:WILD_NAMED] + more


def unmatched(tables: Sequence[Table], ignore: Sequence[str]) -> str | None:
    """That columns were to be left out that are in no file; None where there are none."""
    strange = [name for name in ignore if not any(name in table.ignored for table in tables)]
    return text("fit.unmatched", columns=", ".join(strange)) if strange else None


def _columns(table: Table, names: Sequence[str]) -> Floats:
    """Columns (n, len(names)) of a table by name, NaN for those that it does not have."""
    values = np.full((len(table.values), len(names)), np.nan)
    for at, name in enumerate(names):
        if name in table.columns:
            values[:, at] = table.values[:, table.columns.index(name)]
    return values


def load_model(path: Path) -> Model:
    """A model from its file.

    Raises:
        TableError: there is no such file.
        ModelError: it is none that can be used.
    """
    if not path.exists():
        raise TableError(text("table.absent", path=path))
    return load(path)


def renamed(model: Model, names: Mapping[str, str]) -> Model:
    """The model with other names for those of its sensors that have one: tags for a file's headers, or the reverse.

    A name that another of its sensors has already stays with that one.
    """
    names = {old: new for old, new in names.items() if new not in model.detector.sensors}
    if not any(names.get(name, name) != name for name in model.detector.sensors):
        return model
    arrays = {
        key: np.array([names.get(str(name), str(name)) for name in array], dtype=np.str_)
        if array.dtype.kind == "U"
        else array
        for key, array in model.detector.arrays().items()
    }
    return model._replace(detector=type(model.detector).from_arrays(arrays))


def coarser_columns(model: Model, table: Table) -> list[str]:
    """Sensors of which a table has fewer digits than the record that the model was learned from."""
    decimals, digits = model.about.get("decimals"), model.about.get("digits")
    sensors = model.detector.sensors
    if (
        not isinstance(decimals, list)
        or not isinstance(digits, list)
        or not len(decimals) == len(digits) == len(sensors)
    ):
        return []
    stream = resolution(_columns(table, sensors)[:LOOK])
    flags = coarser(stream, Resolution(np.array(decimals), np.array(digits)))
    return [name for name, flag in zip(sensors, flags.tolist(), strict=True) if flag]


def learned(model: Model) -> list[str]:
    """What a model learned, in words, line by line."""
    detector = model.detector
    lines = [text("fit.rows", rows=model.about["rows"], sensors=len(detector.sensors), period=f"{detector.period_s:g}")]
    if isinstance(detector, Precursor):
        memory = max([1.0, *detector.charts.tau.tolist(), *detector.charts.memory.tolist()])
        lines.append(text("fit.lags", lags=detector.lags, memory=f"{memory:g}", moving=len(detector.moving)))
        if len(detector.totals.columns):
            names = ", ".join(detector.sensors[at] for at in detector.totals.columns.tolist())
            lines.append(text("fit.totals", sensors=names))
        if detector.prognosis is not None:
            lines.append(text("fit.limits", sensors=", ".join(detector.prognosis.sensors) or "-"))
        lines.append(text("fit.promise", rate=f"{detector.promised:g}"))
    return lines


def unjudged(model: Model, table: Table) -> list[str]:
    """Sensors that a model does not judge in most of a file, as those that foretell them have no value for so long."""
    if not isinstance(model.detector, Precursor):
        return []
    known = np.isfinite(_columns(table, model.detector.sensors))
    # one that has a value only now and then is there in between
    waits = [np.diff(np.flatnonzero(column), prepend=-1, append=len(known)).max() for column in known.T]
    there = np.array([wait - 1 <= len(known) / 2 for wait in waits], dtype=np.bool_)
    return [model.detector.sensors[at] for at in np.flatnonzero(model.detector.unjudged(there)).tolist()]


def promise(model: Model, tables: Sequence[Table]) -> list[str]:
    """That the record is too short for what is to be promised, what it can promise, and which sensors make it short."""
    detector = model.detector
    if not isinstance(detector, Precursor) or detector.kept <= detector.promised * 1.001:
        return []
    rows = model.about["rows"]
    kept = f"{detector.kept:.3g}" if detector.kept < 1000 else f"{detector.kept:.0f}"
    lines = [text("fit.short", rate=f"{detector.promised:g}", kept=kept, rows=rows)]
    there = [_there(tables, detector.sensors[at]) for at in detector.moving.tolist()]
    least = min(there, default=rows)
    if least < SPARSE * rows:
        few = [detector.sensors[at] for at, n in zip(detector.moving.tolist(), there, strict=True) if n < 1.1 * least]
        lines.append(text("fit.sparse", rows=round(least), sensors=", ".join(few)))
    return lines


def _there(tables: Sequence[Table], sensor: str) -> float:
    """For how many rows a sensor was there; one that has a value only now and then is there in between."""
    at = [np.flatnonzero(np.isfinite(_columns(table, [sensor])[:, 0])) for table in tables]
    waits = np.concatenate([np.diff(rows) for rows in at])
    return sum(map(len, at)) * (float(np.median(waits)) if waits.size else 1.0)


def repeated(tables: Sequence[Table]) -> list[str]:
    """Which normal records hold rows of another one (a copy, an export of the same days), in words, line by line.

    Rows that only go on as the one before tell nothing: of two machines that stopped they are the same. Nor do some
    among many, which coarse readings of two machines bring by chance.
    """
    lines, shared = [], shared_columns(tables)
    # no reading is infinite, and infinity is the same as itself
    values = [np.nan_to_num(_columns(table, shared), nan=np.inf) for table in tables]
    moved = [np.append(True, (rows[1:] != rows[:-1]).any(axis=1)) for rows in values]
    for at, table in enumerate(tables):
        for before in range(at):
            mine, theirs = _at_same_times(tables[before], table)
            if not mine.size:
                continue
            same, counts = (values[before][mine] == values[at][theirs]).all(axis=1), moved[before][mine]
            rows, least = int((same & counts).sum()), min(len(tables[before].values), len(table.values))
            if rows > max(1.0, OVERLAP * least) and rows > MOSTLY * counts.sum():
                lines.append(text("fit.repeated", path=table.path, rows=int(same.sum()), other=tables[before].path))
    return lines


def _at_same_times(one: Table, other: Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of a record and of another one at the same dates; without dates all of them, where they are as many."""
    none = np.zeros(0, dtype=np.int64)
    if one.time is None or other.time is None or one.elapsed or other.elapsed:
        rows = np.arange(len(one.values)) if len(one.values) == len(other.values) else none
        return rows, rows
    if one.time[0] > other.time[-1] or other.time[0] > one.time[-1]:
        return none, none
    return np.intersect1d(one.time, other.time, assume_unique=True, return_indices=True)[1:]


def odd_periods(tables: Sequence[Table], usual: float) -> list[str]:
    """Which normal records do not have the model's period (s), by more than a fifth, in words, line by line."""
    lines = []
    for table in tables:
        period = sampled_s(table, usual)
        if period is not None and not 1 / ODD_PERIOD <= period / usual <= ODD_PERIOD:
            what = "fit.apart" if period > GAP_PERIODS * usual else "fit.period"
            lines.append(text(what, path=table.path, period=f"{period:g}", usual=f"{usual:g}"))
    return lines


def read_limits(path: Path) -> dict[str, tuple[float | None, float | None]]:
    """Limits from a CSV file with the columns sensor, low, high; either limit may be empty.

    Raises:
        TableError: the file cannot be read, or a line of it cannot be used; the text names line and column.
    """
    file = read_text(path)
    head = [LIMIT_NAMES.get(name.lower(), name.lower()) for name in file.head]
    if sorted(head) != ["high", "low", "sensor"]:
        raise TableError(text("limits.head", path=path, line=file.line, found=", ".join(file.head)))
    rows = [(line, cells) for line, cells in file.rows() if any(cell.strip() for cell in cells)]
    for line, cells in rows:
        if len(cells) != len(head):
            raise TableError(text("table.ragged", path=path, line=line, cells=len(cells), columns=len(head)))
    lows, highs = (
        ["" if missing(cell) else cell for cell in (narrow(cells[head.index(side)]) for _, cells in rows)]
        for side in ("low", "high")
    )
    decimal, _ = commas([lows, highs])
    found: dict[str, tuple[float | None, float | None]] = {}
    for (line, cells), least, most in zip(rows, lows, highs, strict=True):
        sensor = cells[head.index("sensor")].strip()
        low, high = _limit(path, line, "low", least, decimal), _limit(path, line, "high", most, decimal)
        if not sensor or sensor in found or (low is not None and high is not None and low >= high):
            raise TableError(text("limits.line", path=path, line=line, sensor=sensor or "-"))
        if low is not None or high is not None:
            found[sensor] = low, high
    return found


def _limit(path: Path, line: int, side: str, cell: str, decimal: bool | None) -> float | None:
    place = text("table.line", number=line)
    if decimal is None and "," in cell:
        raise TableError(text("table.doubtful", path=path, place=place, column=side, cell=cell))
    value = number(cell, bool(decimal)) if cell else None
    if cell and (value is None or not np.isfinite(value)):
        raise TableError(text("limits.number", path=path, place=place, column=side, cell=cell))
    return value


def unused_limits(path: Path | None, limits: Limits | None, model: Model) -> list[str]:
    """Which limits in a file, if there is one, are not foretold, in words: no such sensor, or normal is beyond them."""
    if limits is None:
        return []
    strange = sorted(set(limits).difference(model.detector.sensors))
    lines = [text("fit.strange_limits", file=path, sensors=", ".join(strange))] if strange else []
    ahead = model.detector.prognosis if isinstance(model.detector, Precursor) else None
    kept = set[tuple[str, float]]()
    if ahead is not None:
        kept = {(ahead.sensors[of], side) for of, side in zip(ahead.of.tolist(), ahead.side.tolist(), strict=True)}
    past = [
        f"{name} {value:g}"
        for name, both in limits.items()
        for side, value in zip((-1.0, 1.0), both, strict=True)
        if value is not None and name not in strange and (name, side) not in kept
    ]
    return [*lines, text("fit.past_limits", file=path, limits=", ".join(past))] if past else lines


def tep_runs() -> tuple[int, float]:
    """Runs and plant hours of each that the plant's model is made from on this machine."""
    return TEP_LONG if find_spec("numba") is not None else TEP_SHORT


def fit_tep(
    hours: float | None = None, plants: int | None = None, progress: Callable[[float], None] | None = None
) -> Precursor:
    """Fit the lab's detector to simulated normal operation of the Tennessee Eastman plant, with its trips for limits.

    The records are rounded to five significant digits, as gateways send them and as the published files are.

    Args:
        hours: plant hours of each run.
        plants: runs, each with its own noise.
        progress: called now and then with the share done, 0 to 1.
    """
    from devices.simulated import channels
    from simulators import tep

    usual = tep_runs()
    plants, hours = plants or usual[0], hours or usual[1]
    seeds = [TEP_SEED + plant for plant in range(plants)]
    done = None if progress is None else lambda at: progress(0.8 * at / hours)
    # for one hour at a time, between two words on the progress, loading numba would not seem worth it
    path: tep.Path = "compiled" if find_spec("numba") is not None else "auto"
    run = tep.simulate(hours, seeds, generator="numpy", path=path, progress=done)
    records = tep.round_records(run.records, 5)
    detector = learn(list(records), tep.COLUMNS, TEP_PERIOD_S, declared_limits(channels(), alarms=False))
    if progress is not None:
        progress(1.0)
    return detector


def tep_model(
    models: Path,
    *,
    hours: float | None = None,
    plants: int | None = None,
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
    usual = tep_runs()
    plants, hours = plants or usual[0], float(hours or usual[1])
    about: dict[str, Any] = {"plant": "tep", "fit": TEP_FIT, "hours": hours, "plants": plants, "seed": TEP_SEED}
    if not force:
        try:
            if dict(load(path).about) == about:
                return path, False
        except ModelError:
            pass  # none, or one that cannot be read: made anew
    save(fit_tep(hours, plants, progress), path, about)
    return path, True
