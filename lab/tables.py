"""Tables from outside: CSV (also gzipped) and Parquet files read into one float array.

A CSV file has one header; cells are separated by commas, semicolons or tabs, encoded in UTF-8 (with or without a
byte order mark), UTF-16 (with one) or Shift_JIS as Windows writes it. What commas in its numbers mean is decided once
(`lab.cells`). Empty cells, `NaN`, `NA` and `null` are missing values. So are `-`, `***`, `欠測` and Excel's errors,
which is told, as are titles above the header and units under it that are left out. Times without a zone are those of
the zone that is asked for (`lab.zones`), else UTC. A file with one reading a row (`lab.longtable`) becomes one with a
column a sensor and a row a time.

The parts: files as columns (`lab.csvsource`, `lab.parquetsource`), times (`lab.timecolumn`), files with one reading a
row (`lab.longfile`). Tables are written by `lab.writing`.
"""

import re
from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.cells import missing, narrow
from lab.csvsource import CsvSource
from lab.longfile import LongFile, LongRows, long_columns, none_taken
from lab.longtable import Wanted, looks_long
from lab.parquetsource import parquet_source
from lab.periods import CLOCK_COLUMN, first_rows
from lab.tablesource import Floats, Source, Times
from lab.text import text
from lab.textfile import TableError as TableError
from lab.textfile import read_bytes
from lab.timecolumn import check_order, counted_times, find_time, stamped_times

ODD_PERIOD: Final = 1.2
"""A file's period may be so many times the model's, or the model's the file's, without a warning."""
WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How .xlsx and .xls begin."""
MODEL: Final = b"header.npy"
"""What a model file holds first, as the name of a member of an archive."""
ARCHIVED: Final = 30
"""Where that name stands in it."""
MARKUP: Final = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|\?xml|html|table|meta)\b", re.I)
"""How what programs for the web call .xls begins."""
EVERYTHING: Final = Wanted()


class Table(NamedTuple):
    """A file as arrays; the time column is not among `columns`."""

    columns: tuple[str, ...]
    values: Floats
    """(n, c); NaN is a missing value."""
    time: Times | None
    """(n,), strictly increasing UTC nanoseconds, from the run's own zero if `elapsed`; None without a time column."""
    period_s: float | None
    """The sampling period asked for, else the median step of `time`, else None."""
    path: Path
    elapsed: bool = False
    """`time` counts from the start of the run (`time_h`, `time_s`, …), not from 1970."""
    notes: tuple[str, ...] = ()
    """What was assumed and left out in reading it, in words."""
    ignored: frozenset[str] = frozenset()
    """Columns that were left out as asked for."""
    zone: tzinfo | None = None
    """The zone that was asked for: that of times without one, and of those that are written."""
    zoneless: bool = False
    """Whether times are without a zone."""
    clock: str | None = None
    """The column of the plant's own clock, which is not among `columns`."""
    clock_s: Floats | None = None
    """(n,) what it shows, s; NaN: nothing."""
    shown: Floats | None = None
    """(n, c) with the values of readings that are bad; None where they are not known."""
    beyond: NDArray[np.bool_] | None = None
    """(n, c) readings that are bad for being beyond their measuring range; None where there are none."""


def read_table(
    path: Path,
    *,
    time: str | None = None,
    period_s: float | None = None,
    ignore: Sequence[str] = (),
    zone: tzinfo | None = None,
    wanted: Wanted = EVERYTHING,
) -> Table:
    """Read a CSV, CSV.gz, Parquet or Parquet.gz file, with a column a sensor or with one reading a row.

    Args:
        path: the file.
        time: the time column's name; without it the column is found by its name (`time`, `timestamp`, `日時`, …), by
            an elapsed-time name (`time_h`, `経過時間(秒)`) or by its content; of several the one that holds dates.
            ISO 8601, `2026/3/9 10:14:33.5`, `令和8年3月9日 午前10時14分`, `26/03/09 24:00`, `20260309101433`, Excel's
            serial dates and epoch seconds (or milli-, micro-, nanoseconds) are understood; a date and a clock column
            are joined.
        period_s: sampling period in seconds; without it the median step of the time column.
        ignore: columns to leave out (labels, texts), or sensors; names that are not in the file are no error.
        zone: that of times without one; None: UTC.
        wanted: which sensors, and what the file does not show itself.

    Raises:
        TableError: missing or unreadable file, no rows, rows of different length, duplicate or missing column names,
            a text where a number should be, times that are missing, repeated or out of order, or that no clock of the
            zone showed; of one reading a row, two of a sensor at one time that differ, several assets, or a header
            that may be read in two ways.
    """
    path = Path(path)
    raw = read_bytes(path)
    if raw.startswith(b"PK") and raw.startswith(MODEL, ARCHIVED):
        raise TableError(text("table.model", path=path))
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if ".parquet" in suffixes[-2:]:
        source: Source = parquet_source(path, raw)
    elif raw.startswith(WORKBOOKS) or MARKUP.match(raw):  # by its content: what some devices call .xls is a text
        raise TableError(text("table.excel", path=path))
    else:
        source = CsvSource(path, raw)
    source.zone = zone
    if source.rows == 0:
        raise TableError(text("table.rowless", path=source.path))
    if period_s is not None and not 0 < period_s < float("inf"):
        raise TableError(text("table.period", path=source.path, period=period_s))
    left = frozenset(ignore)
    columns = long_columns(source, time, left, wanted)
    if columns is None:
        try:
            table = _assemble(source, time, period_s, left, wanted)
        except TableError as error:
            if (doubtful := looks_long(source.names, left)) is None:
                raise
            raise TableError(f"{error}{text('long.doubtful', tag=doubtful[0], value=doubtful[1])}") from error
        if (doubtful := looks_long(table.columns, left)) is not None and _counts(table, doubtful[0]):
            note = text("long.wide", path=path, tag=doubtful[0], value=doubtful[1])
            table = table._replace(notes=(*table.notes, note))
        if wanted.every_s is not None:
            table = table._replace(notes=(*table.notes, text("long.not_every", path=path)))
    else:
        table = _from_long(source, LongFile(source, columns, left, wanted).read(), period_s)
    return _with_clock(table, wanted.clock, period_s)


def _assemble(
    source: Source, time: str | None, period_s: float | None, ignore: frozenset[str], wanted: Wanted
) -> Table:
    clocks = find_time(source, time, ignore)
    stamps, assumed = stamped_times(source, clocks) if clocks else (None, ())
    counted = clocks if stamps is None else []
    keep = []
    for index, name in enumerate(source.names):
        if index in clocks or name in ignore:
            continue
        if not name:
            cells = [cell for cell in source.texts(index) if not missing(narrow(cell))]
            # a delimiter at the end of every line, or the row numbers some programs put first, are no sensor
            counts = index == 0 and all(cell.isdigit() for cell in cells[:3]) and len(cells) == source.rows
            if not cells or (counts and np.all(np.diff(source.numbers([index])[:, 0]) == 1)):
                continue
            raise TableError(text("table.nameless", path=source.path, line=source.line, number=index + 1))
        if wanted.takes(name) or name == (wanted.clock or CLOCK_COLUMN):
            keep.append(index)
    if wanted.sensors and not any(wanted.takes(source.names[index]) for index in keep):
        raise none_taken(source.path, wanted, [name for index, name in enumerate(source.names) if index not in clocks])
    if not keep:
        raise TableError(text("table.no_readings", path=source.path))
    values = source.numbers([*counted, *keep])  # at once: what commas mean is decided over all of them
    elapsed = False
    if counted:
        stamps, elapsed, assumed = counted_times(source, counted[0], values[:, 0])
        values = values[:, 1:]
    if stamps is not None:
        check_order(source, clocks, stamps)
        if period_s is None and source.rows > 1:
            period_s = float(np.median(np.diff(stamps))) / 1e9
    names = tuple(source.names[index] for index in keep)
    ignored = ignore.intersection(source.names)
    notes = *source.notes, *assumed
    return Table(
        names, values, stamps, period_s, source.path, elapsed, notes, ignored, source.zone, source.zoneless
    )  # fmt: skip


def _counts(table: Table, column: str) -> bool:
    """Whether there are whole numbers in a column, and nothing else."""
    cells = table.values[:, table.columns.index(column)]
    cells = cells[np.isfinite(cells)]
    return bool(cells.size and (cells == np.rint(cells)).all())


def _from_long(source: Source, rows: LongRows, period_s: float | None) -> Table:
    found = rows.found
    if period_s is None and len(found.time) > 1:
        period_s = float(np.median(np.diff(found.time))) / 1e9
    return Table(
        rows.columns, found.values, found.time, period_s, source.path, rows.elapsed, rows.notes, rows.ignored,
        source.zone, source.zoneless, shown=found.shown if found.beyond is not None else None, beyond=found.beyond,
    )  # fmt: skip


def _with_clock(table: Table, asked: str | None, period_s: float | None) -> Table:
    """The table with the plant's own clock apart, and its period in seconds of that.

    Raises:
        TableError: the column that is asked for is not there, or does not go on.
    """
    name = CLOCK_COLUMN if asked is None else asked
    if name not in table.columns:
        if asked is None:
            return table
        columns = ", ".join(table.columns)
        raise TableError(text("table.no_column", path=table.path, column=name, columns=columns))
    if asked is None and (table.time is None or table.elapsed):  # its rows are told apart by a clock as it is
        return table
    at = table.columns.index(name)
    seconds = table.values[:, at].copy()
    steps = np.diff(seconds[np.isfinite(seconds)])
    if not (steps > 0).any() or len(table.columns) == 1:
        if asked is None:
            return table
        raise TableError(text("table.no_clock", path=table.path, column=name))
    usual = float(np.median(steps[steps > 0]))
    period = usual if period_s is None else period_s
    note = text("table.clock", path=table.path, column=name, step=f"{usual:g}", period=f"{period:g}")
    others = [column for column in range(len(table.columns)) if column != at]
    return table._replace(
        columns=tuple(table.columns[column] for column in others), values=table.values[:, others], period_s=period,
        clock=name, clock_s=seconds, notes=(*table.notes, note),
        shown=None if table.shown is None else table.shown[:, others],
        beyond=None if table.beyond is None else table.beyond[:, others],
    )  # fmt: skip


def sampled_s(table: Table, period_s: float | None = None) -> float | None:
    """The seconds between a file's rows: the median step of its times, else what is told; None where neither is.

    Of a file with a clock of the plant the seconds of that between the rows that count, the first in each `period_s`.
    """
    if table.clock_s is not None and (period := period_s or table.period_s) is not None:
        rows, _ = first_rows(table.clock_s, period, np.inf)
        steps = np.diff(table.clock_s[rows])
        return float(np.median(steps)) if steps.size else table.period_s
    if table.time is None or len(table.time) < 2:
        return table.period_s
    return float(np.median(np.diff(table.time))) / 1e9
