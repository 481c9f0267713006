"""Tables from outside: CSV (also gzipped) and Parquet files read into one float array, and written again.

A CSV file has one header; cells are separated by commas, semicolons or tabs, encoded in UTF-8 (with or without a
byte order mark), UTF-16 (with one) or Shift_JIS as Windows writes it. What commas in its numbers mean is decided once
(`lab.cells`). Empty cells, `NaN`, `NA` and `null` are missing values. So are `-`, `***`, `欠測` and Excel's errors,
which is told, as are titles above the header and units under it that are left out. Times without a zone are those of
the zone that is asked for (`lab.zones`), else UTC. A file with one reading a row (`lab.longtable`) becomes one with a
column a sensor and a row a time.
"""

import codecs
import csv
import gzip
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, tzinfo
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from devices.quality import is_bad
from lab.cells import (
    CLOCK,
    CLOCK_NAMES,
    DATE_LIKE,
    DATE_NAMES,
    DECIMAL,
    ELAPSED_NAMES,
    HALF,
    MISSING,
    SHORT,
    STAMP,
    THOUSANDS,
    TIME_LIKE,
    TIME_NAMES,
    ZONE,
    ZONES,
    commas,
    compact,
    elapsed_unit,
    long_years,
    missing,
    narrow,
    number,
    parse_stamp,
    stamped,
)
from lab.clock import first_rows
from lab.longtable import (
    MADE,
    STATES,
    Columns,
    Pivoted,
    Twice,
    Unclear,
    Wanted,
    assets_of,
    find_columns,
    gathered,
    looks_long,
    pivot,
    quality_codes,
    tells_quality,
    usual_step_s,
)
from lab.text import text
from lab.textfile import TITLE_LINES, is_value, read_bytes, read_text, split_cells
from lab.textfile import TableError as TableError
from lab.zones import from_utc, named_zone, offset_text, to_utc

if TYPE_CHECKING:
    import pyarrow

EPOCHS_S: Final = (631_152_000.0, 4_133_980_800.0)
"""The years 1990 to 2100."""
SERIALS: Final = (32_874.0, 73_416.0)
"""The same in days since 1899-12-30, as Excel counts them."""
SERIAL_EPOCH: Final = 25_569
UNITED: Final = re.compile(r"[+-]?\d[\d.,]* *[^\d\s.,_].*", re.A)
"""A number and something after it: 85.2℃."""
CLOCKS_BACK_NS: Final = 3600 * 10**9
"""By so much clocks are set back at the end of summer time."""
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
TOLD_ZONE: Final = re.compile(f"(?:{ZONES})$", re.I)
"""How a time with a zone ends."""
UNIT_LINES: Final = 3
"""So many lines of units or further names may be under the header."""
CLOCK_COLUMN: Final = "plant_s"
"""How the clock of a simulated plant is called (docs/architecture.md)."""
APART: Final = 0.5
"""With readings of fewer of the sensors at a time, they hardly have times in common."""
NAMES_TOLD: Final = 5
EVERYTHING: Final = Wanted()

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Codes = NDArray[np.int32]


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
        source: _Source = _parquet_source(path, raw)
    elif raw.startswith(WORKBOOKS) or MARKUP.match(raw):  # by its content: what some devices call .xls is a text
        raise TableError(text("table.excel", path=path))
    else:
        source = _CsvSource(path, raw)
    source.zone = zone
    if source.rows == 0:
        raise TableError(text("table.rowless", path=source.path))
    if period_s is not None and not 0 < period_s < float("inf"):
        raise TableError(text("table.period", path=source.path, period=period_s))
    left = frozenset(ignore)
    columns = _long_columns(source, time, left, wanted)
    if columns is None:
        try:
            table = _assemble(source, time, period_s, left, wanted)
        except TableError as error:
            if (doubtful := looks_long(source.names, left)) is None:
                raise
            raise TableError(f"{error}{text('long.doubtful', tag=doubtful[0], value=doubtful[1])}") from error
    else:
        table = _Long(source, columns, left, wanted).table(period_s)
    return _with_clock(table, wanted.clock, period_s)


class _Source:
    """Columns by name, as text or as numbers, with the place of each row for error messages."""

    path: Path
    names: list[str]
    rows: int
    line = 1
    """The header's line."""
    notes: tuple[str, ...] = ()
    """What was left out, in words."""
    zone: tzinfo | None = None
    """That of times without one; None: UTC."""
    zoneless = False
    """Whether its times are without one."""

    def place(self, row: int) -> str:
        raise NotImplementedError

    def first(self, column: int) -> str:
        """The cell of the first row."""
        raise NotImplementedError

    def texts(self, column: int) -> Sequence[str]:
        raise NotImplementedError

    def stamps(self, column: int) -> tuple[Times, bool] | None:
        """Times that the file itself holds as times, and whether they have a zone."""
        raise NotImplementedError

    def numbers(self, columns: Sequence[int]) -> Floats:
        raise NotImplementedError

    def coded(self, columns: Sequence[int]) -> list[tuple[Codes, list[str]]]:
        """Of each column which of its different cells every row (n,) has, and these."""
        raise NotImplementedError

    def some_numbers(self, column: int, rows: NDArray[np.intp], named: Callable[[int], str]) -> Floats:
        """The numbers (len(rows),) of a column in some rows; what a historian writes for a missing value is none.

        Args:
            column: the column.
            rows: the rows, rising.
            named: whose reading a row is, for error messages.
        """
        raise NotImplementedError


def _names_time(names: Sequence[str]) -> bool:
    """Whether one of the names is a time's."""
    return any(TIME_LIKE.search(name) or name.casefold() in TIME_NAMES | ELAPSED_NAMES for name in names)


def _with_units_of_time(names: Sequence[str], units: Sequence[str], first: Sequence[str]) -> list[str] | None:
    """Names with the units of elapsed time that stand under them.

    None where a time is under them (that of a row then), or a count of time (`first`: the cells of the first row) has
    a unit that is not known.
    """
    united = list(names)
    for at, (name, cell, value) in enumerate(zip(names, units, first, strict=False)):
        unit = narrow(cell).strip("[]()")
        if elapsed_unit(f"{name}({unit})"):
            united[at] = f"{name}({unit})"
        elif TIME_LIKE.search(name) and re.search(r"\d", unit):
            return None
        elif missing(unit) or unit in ("s", "sec", "秒"):
            continue
        elif name.casefold() in TIME_NAMES | ELAPSED_NAMES and number(narrow(value), decimal=False) is not None:
            return None
    return united


class _CsvSource(_Source):
    def __init__(self, path: Path, raw: bytes) -> None:
        self.path = path
        self._text = read_text(path, raw)
        self.names, self.line = self._text.head, self._text.line
        _check_names(path, self.names, self.line)
        self._drop_units()
        self._raw = self._text.content.encode()
        self._first = next(self._text.rows(1 << 20), (0, []))[1]
        if not any(cell.strip() for cell in self._first[len(self.names) :]):  # delimiters at the end of the rows alone
            self.names += [""] * (len(self._first) - len(self.names))
        if self._first and not any(self.names[len(self._first) :]):  # or of the header alone
            self.names = self.names[: len(self._first)]
        self.rows = self._read([0]).num_rows if self._first else 0
        self.notes = self._told = (*self._text.notes, *self.notes)

    def _drop_units(self) -> None:
        """Leave out lines of units or further names between the header and the rows: blank, so that numbers stay."""
        rows = list(islice(self._text.rows(1 << 20), UNIT_LINES + 1))
        above = list(takewhile(lambda row: not any(map(is_value, map(narrow, row[1]))), rows))
        # without a time among the names, they may be those that are left out: the line above then is no header
        if len(above) == len(rows) or not _names_time(self.names) or any(_names_time(cells) for _, cells in above):
            return
        for line, units in above:
            lines = self._text.content.split("\n", line - self.line + 1)
            # a row of missing values is one; a line that ends in another one than it begins in is too odd
            empty = all(missing(narrow(cell)) for cell in units)
            if empty or split_cells(self.path, line, lines[-2], self._text.delimiter) != units:
                return
            if (names := _with_units_of_time(self.names, units, rows[len(above)][1])) is None:
                return
            unused = (cell.strip() for cell, one, other in zip(units, self.names, names, strict=False) if one == other)
            told = [cell for cell in unused if not missing(narrow(cell))]
            self.names = names
            lines[-2] = ""
            self._text = self._text._replace(content="\n".join(lines))
            if told:
                self.notes += (text("table.units", path=self.path, line=line, cells=", ".join(told)),)

    def _read(
        self, columns: Sequence[int], *, floats: bool = False, point: str = ".", coded: bool = False
    ) -> "pyarrow.Table":
        """Some columns as texts or as numbers with that decimal point (then ArrowInvalid says that one is not).

        With `coded` texts are kept once.
        """
        import pyarrow
        from pyarrow import csv as arrow_csv

        keys = [str(index) for index in range(len(self.names))]
        wanted = [keys[index] for index in columns]
        kind = pyarrow.float64() if floats else pyarrow.string()
        if coded:
            kind = pyarrow.dictionary(pyarrow.int32(), kind)
        try:
            return arrow_csv.read_csv(
                pyarrow.BufferReader(self._raw),
                arrow_csv.ReadOptions(column_names=keys, skip_rows_after_names=1),
                arrow_csv.ParseOptions(delimiter=self._text.delimiter),
                arrow_csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, kind),
                    null_values=list(MISSING),
                    decimal_point=point,
                ),
            )
        except pyarrow.ArrowInvalid as error:
            if floats:
                raise
            for line, cells in self._text.rows():
                if len(cells) != len(self.names):
                    above = len(cells) > len(self.names) and line - self.line < TITLE_LINES
                    raise TableError(
                        text(
                            "table.above" if above else "table.ragged", path=self.path, line=line, head=self.line,
                            cells=len(cells), columns=len(self.names),
                        )
                    ) from error  # fmt: skip
            raise TableError(text("table.csv", path=self.path, reason=error)) from error

    def place(self, row: int) -> str:
        for index, (line, _) in enumerate(self._text.rows()):
            if index == row:
                return text("table.line", number=line)
        return text("table.row", number=row + 1)

    def first(self, column: int) -> str:
        return self._first[column].strip() if column < len(self._first) else ""

    def texts(self, column: int) -> Sequence[str]:
        return [cell.strip() for cell in self._read([column]).column(0).to_pylist()]

    def stamps(self, column: int) -> tuple[Times, bool] | None:
        return None

    def numbers(self, columns: Sequence[int]) -> Floats:
        values = self._floats(columns, ".")
        if values is None and self._decimal_commas(columns):
            values = self._floats(columns, ",")
        if values is None:  # which cell it is, and the rarer spellings (1,007.5, +1, full-width digits), cell by cell
            values = self._slowly(columns)
        infinite = np.argwhere(np.isinf(values))
        if infinite.size:
            self._bad(columns[infinite[0, 1]], int(infinite[0, 0]))
        return values

    def _floats(self, columns: Sequence[int], point: str) -> Floats | None:
        """Columns (n, len(columns)) of plain numbers with that decimal point; None where a cell is no such number."""
        import pyarrow

        try:
            table = self._read(columns, floats=True, point=point)
        except pyarrow.ArrowInvalid:
            return None
        return np.column_stack([column.to_numpy() for column in table.columns])

    def coded(self, columns: Sequence[int]) -> list[tuple[Codes, list[str]]]:
        return [_coded(cells) for cells in self._read(columns, coded=True).columns]

    def some_numbers(self, column: int, rows: NDArray[np.intp], named: Callable[[int], str]) -> Floats:
        values = self._floats([column], ".")
        if values is not None and not np.isinf(values[rows, 0]).any():
            return np.asarray(values[rows, 0])
        ((codes, cells),) = self.coded([column])
        distinct = _Distinct(self, {column: cells}, codes, rows, named)
        return np.asarray(distinct.numbers([column])[distinct.which, 0])

    def _decimal_commas(self, columns: Sequence[int]) -> bool:
        """Whether some cell has a comma that is not between thousands."""
        import pyarrow.compute as pc

        for column in self._read(columns).columns:
            cells = pc.utf8_trim_whitespace(column)
            decimal = pc.match_substring_regex(cells, f"^(?:{DECIMAL.pattern})$", ignore_case=True)
            if pc.any(pc.and_not(decimal, pc.match_substring_regex(cells, f"^(?:{THOUSANDS.pattern})$"))).as_py():
                return True
        return False

    def _slowly(self, columns: Sequence[int]) -> Floats:
        decimal, shown = commas(self._narrow(column) for column in columns)
        if decimal is None and shown is not None:
            column, row = columns[shown[0]], shown[1]
            raise TableError(
                text(
                    "table.doubtful", path=self.path, place=self.place(row), column=self.names[column],
                    cell=self.texts(column)[row],
                )
            )  # fmt: skip
        values = np.full((self.rows, len(columns)), np.nan)
        marks: Counter[str] = Counter()
        for position, column in enumerate(columns):
            for row, cell in enumerate(self._narrow(column)):
                if self._is_missing(cell):
                    if cell not in MISSING:
                        marks[cell] += self._count(row)
                    continue
                value = number(cell, bool(decimal))
                if value is None:
                    other = None
                    if shown is not None and number(cell.replace(",", ""), decimal=False) is not None:  # but for commas
                        other = columns[shown[0]], shown[1]
                    self._bad(column, row, None if other == (column, row) else other)
                else:
                    values[row, position] = value
        if marks:
            cells = ", ".join(f"{mark} ({count})" for mark, count in marks.most_common())
            self.notes = (*self._told, text("table.marks", path=self.path, cells=cells))
        return values

    def _narrow(self, column: int) -> list[str]:
        return [narrow(cell) for cell in self.texts(column)]

    def _is_missing(self, cell: str) -> bool:
        return missing(cell)

    def _count(self, row: int) -> int:
        """How many rows of the file are that one."""
        return 1

    def _bad(self, column: int, row: int, other: tuple[int, int] | None = None) -> NoReturn:
        """Refuse a cell, if need be because of what commas are in another one (column, row)."""
        cell, place = self.texts(column)[row], self.place(row)
        if other is None:
            what = "table.unit" if UNITED.fullmatch(narrow(cell)) else "table.number"
            if row == 0 and not any(map(is_value, map(narrow, self._first))):
                what = "table.names"
            raise TableError(text(what, path=self.path, place=place, column=self.names[column], cell=cell))
        raise TableError(
            text(
                "table.comma", path=self.path, place=place, column=self.names[column], cell=cell,
                other=self.texts(other[0])[other[1]], where=self.place(other[1]),
            )
        )  # fmt: skip


def _coded(column: "pyarrow.ChunkedArray") -> tuple[Codes, list[str]]:
    """Which of its different cells each row of a column of texts kept once has, and these without blanks around."""
    column = column.unify_dictionaries()
    cells = ["" if cell is None else str(cell).strip() for cell in column.chunk(0).dictionary.to_pylist()]
    codes = np.concatenate([chunk.indices.fill_null(len(cells)).to_numpy() for chunk in column.chunks])
    return _compact(codes, [*cells, ""])


def _compact(codes: NDArray[np.integer], cells: Sequence[str]) -> tuple[Codes, list[str]]:
    """The same with each cell once, and without those that no row has."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(cells))).tolist()
    if len(used) == len(cells) == len(set(cells)):
        return codes.astype(np.int32, copy=False), list(cells)
    at: dict[str, int] = {}
    new = np.zeros(len(cells), dtype=np.int32)
    for code in used:
        new[code] = at.setdefault(cells[code], len(at))
    return new[codes], list(at)


class _Distinct(_CsvSource):
    """The different cells of some columns of a file, in the order in which they come, as rows."""

    def __init__(
        self,
        whole: _Source,
        cells: Mapping[int, Sequence[str]],
        codes: Codes,
        rows: NDArray[np.intp],
        named: Callable[[int], str],
        *,
        runs: bool = False,
    ) -> None:
        """
        Args:
            whole: the file.
            cells: of each column the cells that the codes stand for.
            codes: (n,) of all rows of the file.
            rows: those that count.
            named: whose reading a row of the file is.
            runs: a cell counts anew where it comes again after another one, if most stand together.
        """
        self.path, self.names, self.line, self.zone = whole.path, whole.names, whole.line, whole.zone
        self._whole, self._told, self._named = whole, whole.notes, named
        codes = codes[rows]
        starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
        found, at = np.unique(codes[starts], return_index=True)
        if runs and len(starts) <= max(1.2 * len(found), len(codes) / 2):
            order, firsts = codes[starts], starts
            self.which = np.cumsum(np.bincount(starts[1:], minlength=len(codes)))
        else:
            place = np.argsort(at, kind="stable")
            order, firsts = found[place], starts[at[place]]
            of = np.zeros(int(codes.max()) + 1, dtype=np.int64)
            of[order] = np.arange(len(order))
            self.which = of[codes]
        self.rows = len(order)
        self._at = rows[firsts]
        self._counts = np.bincount(self.which, minlength=self.rows)
        self._cells: dict[int, list[str]] = {
            column: [spelled[code] for code in order.tolist()] for column, spelled in cells.items()
        }

    def place(self, row: int) -> str:
        return self._whole.place(int(self._at[row]))

    def first(self, column: int) -> str:
        return self._cells[column][0]

    def texts(self, column: int) -> Sequence[str]:
        return self._cells[column]

    def numbers(self, columns: Sequence[int]) -> Floats:
        values = self._slowly(columns)
        if (bad := np.argwhere(np.isinf(values))).size:
            self._bad(columns[bad[0, 1]], int(bad[0, 0]))
        if self.notes:
            self._whole.notes = self.notes
        return values

    def _bad(self, column: int, row: int, other: tuple[int, int] | None = None) -> NoReturn:
        if other is not None:
            super()._bad(column, row, other)
        raise TableError(
            text(
                "long.number", path=self.path, place=self.place(row), column=self.names[column],
                cell=self.texts(column)[row], sensor=self._named(int(self._at[row])),
            )
        )  # fmt: skip

    def _is_missing(self, cell: str) -> bool:
        return missing(cell) or STATES.fullmatch(cell) is not None

    def _count(self, row: int) -> int:
        return int(self._counts[row])


def _check_names(path: Path, names: Sequence[str], line: int = 1) -> None:
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise TableError(text("table.twice", path=path, line=line, column=name))
        seen.add(name)
    spelled = [narrow(name) for name in names]
    # rows of readings begin with a date, which names no column, but for tags like S1-2-3
    dated = any(STAMP.fullmatch(name) and name[0].upper() not in "RHS" for name in spelled)
    if dated or all(missing(name) or is_value(name) for name in spelled):
        raise TableError(text("table.headless", path=path, line=line))


class _ParquetSource(_Source):
    def __init__(self, path: Path, table: "pyarrow.Table") -> None:
        self.path = path
        self._table = table
        self.names = list(table.column_names)
        self.rows = table.num_rows
        _check_names(path, self.names)

    def place(self, row: int) -> str:
        return text("table.row", number=row + 1)

    def first(self, column: int) -> str:
        return self._texts(self._table.column(column).slice(0, 1))[0]

    def texts(self, column: int) -> Sequence[str]:
        return self._texts(self._table.column(column))

    def _texts(self, cells: "pyarrow.ChunkedArray") -> list[str]:
        import pyarrow
        import pyarrow.compute as pc

        if pyarrow.types.is_timestamp(cells.type):  # Python's own times hold no nanoseconds
            cells = pc.cast(pc.cast(cells, pyarrow.timestamp(cells.type.unit)), pyarrow.string())
        return ["" if cell is None else str(cell).strip() for cell in cells.to_pylist()]

    def stamps(self, column: int) -> tuple[Times, bool] | None:
        import pyarrow
        import pyarrow.compute as pc

        cells = self._table.column(column)
        if not (pyarrow.types.is_timestamp(cells.type) or pyarrow.types.is_date(cells.type)):
            return None
        if cells.null_count:
            row = cells.is_null().to_pylist().index(True)
            raise TableError(text("table.no_time", path=self.path, place=self.place(row), column=self.names[column]))
        zone = getattr(cells.type, "tz", None)
        kind = pyarrow.timestamp("ns", tz=zone)
        try:
            held = pc.cast(cells, kind)
        except pyarrow.ArrowInvalid:  # the years 1677 to 2262 are what nanoseconds hold; 9999-12-31 stands for none
            kept = pc.cast(pc.cast(cells, kind, safe=False), cells.type, safe=False)
            row = pc.equal(kept, cells).to_pylist().index(False)
            cell = self._texts(self._table.column(column).slice(row, 1))[0]
            raise TableError(
                text("table.time", path=self.path, place=self.place(row), column=self.names[column], cell=cell)
            ) from None
        return np.asarray(pc.cast(held, pyarrow.int64()).to_numpy(), dtype=np.int64), zone is not None

    def numbers(self, columns: Sequence[int]) -> Floats:
        import pyarrow
        import pyarrow.compute as pc

        values = np.empty((self.rows, len(columns)))
        for position, column in enumerate(columns):
            cells = self._table.column(column)
            name = self.names[column]
            if pyarrow.types.is_dictionary(cells.type):
                cells = pc.cast(cells, cells.type.value_type)
            try:
                values[:, position] = pc.cast(cells, pyarrow.float64(), safe=False).to_numpy()
            except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
                sample = next((str(cell) for cell in cells.to_pylist() if cell is not None), "")
                raise TableError(
                    text("table.type", path=self.path, column=name, type=cells.type, cell=sample)
                ) from error
            bad = np.flatnonzero(np.isinf(values[:, position]))
            if bad.size:
                at = int(bad[0])
                raise TableError(
                    text("table.number", path=self.path, place=self.place(at), column=name, cell=values[at, position])
                )
        return values

    def coded(self, columns: Sequence[int]) -> list[tuple[Codes, list[str]]]:
        import pyarrow
        import pyarrow.compute as pc

        found = []
        for column in columns:
            cells = self._table.column(column)
            if not pyarrow.types.is_dictionary(cells.type):
                cells = pc.dictionary_encode(cells if pyarrow.types.is_string(cells.type) else self._spelled(cells))
            if not cells.num_chunks:
                cells = pyarrow.chunked_array([pyarrow.array([], cells.type)])
            found.append(_coded(cells))
        return found

    def _spelled(self, cells: "pyarrow.ChunkedArray") -> "pyarrow.ChunkedArray":
        import pyarrow
        import pyarrow.compute as pc

        try:
            return pc.cast(cells, pyarrow.string())
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            return pyarrow.chunked_array([pyarrow.array(self._texts(cells))])

    def some_numbers(self, column: int, rows: NDArray[np.intp], named: Callable[[int], str]) -> Floats:
        return np.asarray(self.numbers([column])[rows, 0])

    def own_codes(self, column: int) -> NDArray[np.uint8] | None:
        """A column (n,) of the type in which the lab writes its quality codes, None for one of another."""
        import pyarrow

        cells = self._table.column(column)
        if cells.type != pyarrow.uint8() or cells.null_count:
            return None
        return np.asarray(cells.to_numpy(), dtype=np.uint8)


def _parquet_source(path: Path, raw: bytes) -> _ParquetSource:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(pyarrow.BufferReader(raw), page_checksum_verification=True)
        table.validate(full=True)
        return _ParquetSource(path, table)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TableError(text("table.parquet", path=path, reason=error)) from error


def _assemble(
    source: _Source, time: str | None, period_s: float | None, ignore: frozenset[str], wanted: Wanted
) -> Table:
    clocks = _find_time(source, time, ignore)
    stamps, assumed = _stamps(source, clocks) if clocks else (None, ())
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
        raise _none_taken(source.path, wanted, [name for index, name in enumerate(source.names) if index not in clocks])
    if not keep:
        raise TableError(text("table.no_readings", path=source.path))
    values = source.numbers([*counted, *keep])  # at once: what commas mean is decided over all of them
    elapsed = False
    if counted:
        stamps, elapsed, assumed = _count_times(source, counted[0], values[:, 0])
        values = values[:, 1:]
    if stamps is not None:
        _check_order(source, clocks, stamps)
        if period_s is None and source.rows > 1:
            period_s = float(np.median(np.diff(stamps))) / 1e9
    names = tuple(source.names[index] for index in keep)
    ignored = ignore.intersection(source.names)
    notes = *source.notes, *assumed
    return Table(
        names, values, stamps, period_s, source.path, elapsed, notes, ignored, source.zone, source.zoneless
    )  # fmt: skip


def _long_columns(source: _Source, time: str | None, ignore: frozenset[str], wanted: Wanted) -> Columns | None:
    """What the columns of a file with one reading a row are; None for one with a column a sensor.

    Raises:
        TableError: a column that is asked for is not there, or several may be the time, the sensor or the value.
    """
    for name in (*([] if time is None else [time]), *wanted.tag, *([] if wanted.value is None else [wanted.value])):
        if name not in source.names:
            names = ", ".join(source.names)
            raise TableError(text("table.no_column", path=source.path, column=name, columns=names))
    try:
        return find_columns(source.names, source.first, time, ignore, wanted)
    except Unclear as error:
        what = f"long.{error.which}" if error.names else f"long.no_{error.which}"
        names = ", ".join(error.names or source.names)
        raise TableError(text(what, path=source.path, line=source.line, columns=names)) from error


class _Long:
    """A file with one reading a row, on its way to a table with one row for each time and one column for each sensor.

    Raises:
        TableError: it cannot be used.
    """

    def __init__(self, source: _Source, columns: Columns, ignore: frozenset[str], wanted: Wanted) -> None:
        self.source, self.columns, self._every_s = source, columns, wanted.every_s
        own = columns.quality is not None and isinstance(source, _ParquetSource) and columns.own
        self._own = source.own_codes(columns.quality) if own else None  # type: ignore[attr-defined]
        self._held = source.stamps(columns.time[0]) if len(columns.time) == 1 else None
        at = [*columns.tag, *columns.others]
        at += columns.time if self._held is None else []
        at += [columns.quality] if columns.quality is not None and self._own is None else []
        self._coded = dict(zip(at, source.coded(at), strict=True))
        told = [each for each in columns.others if tells_quality(source.names[each], self._coded[each][1])]
        if columns.quality is None and len(told) == 1:
            others = [each for each in columns.others if each != told[0]]
            self.columns = columns = columns._replace(quality=told[0], others=others)
        self._sensor, self._keys = _joined([self._coded[column] for column in columns.tag], "/")
        if "" in self._keys:
            row = int(np.flatnonzero(self._sensor == self._keys.index(""))[0])
            column = source.names[columns.tag[0]]
            raise TableError(text("long.nameless", path=source.path, place=source.place(row), column=column))
        self.names = self._taken(ignore, wanted)
        """The sensors that are taken, by their keys in the file."""
        position = np.full(len(self._keys), -1, dtype=np.int32)
        position[[self._keys.index(key) for key in self.names]] = np.arange(len(self.names))
        places = position[self._sensor]
        self._rows = np.flatnonzero(places >= 0)
        self._place = places[self._rows]

    def _taken(self, ignore: frozenset[str], wanted: Wanted) -> dict[str, str]:
        source, path = self.source, self.source.path
        by_asset = assets_of(self._keys) if self.columns.own else None
        made = {key for key in self._keys if by_asset is not None and key.partition("/")[2].startswith(MADE)}
        keys = [key for key in self._keys if key not in made]
        tags = {key: key.partition("/")[2] if by_asset is not None else key for key in keys}
        self.ignored = ignore.intersection([*source.names, *keys, *tags.values()])
        clock = wanted.clock or CLOCK_COLUMN
        kept = [key for key in keys if key not in ignore and tags[key] not in ignore]
        if not any(wanted.takes(key) for key in kept):
            if wanted.sensors:
                raise _none_taken(path, wanted, keys)
            raise TableError(text("table.no_readings", path=path))
        assets = dict.fromkeys(key.partition("/")[0] for key in kept if wanted.takes(key)) if by_asset else {}
        if len(assets) > 1 and not wanted.sensors:
            some = ", ".join(list(assets)[:NAMES_TOLD]) + (", …" if len(assets) > NAMES_TOLD else "")
            first = next(iter(assets))
            raise TableError(text("long.assets", path=path, count=len(assets), assets=some, first=first))
        taken = [
            key
            for key in kept
            if wanted.takes(key)
            or clock == key
            or (clock == tags[key] and len(assets) == 1 and key.startswith(f"{next(iter(assets))}/"))
        ]
        self.asset = next(iter(assets)) if len(assets) == 1 else None
        return {key: tags[key] if self.asset else key for key in taken}

    def _named(self, row: int) -> str:
        return self._keys[int(self._sensor[row])]

    def table(self, period_s: float | None) -> Table:
        """The table."""
        source, path = self.source, self.source.path
        self._check_others()
        quality, notes = self._quality()
        values = source.some_numbers(self.columns.value, self._rows, self._named)
        times, elapsed, assumed = self._times()
        found, later = self._pivoted(times, values, quality)
        readings, sensors = len(values), len(self.names)
        rows = len(found.time)
        columns = self.columns
        used = [*columns.time, *columns.tag, columns.value, *([] if columns.quality is None else [columns.quality])]
        told = [
            text(
                "long.read", path=path, readings=readings, sensors=sensors, rows=rows,
                columns=", ".join(source.names[at] for at in used),
            )
        ]  # fmt: skip
        if bad := int(is_bad(quality).sum()):
            told.append(text("long.bad", path=path, count=bad))
        if found.repeated:
            told.append(text("long.repeated", path=path, count=found.repeated))
        if self._every_s is not None:
            told.append(text("long.every", path=path, every=f"{self._every_s:g}", count=later))
        elif readings < APART * rows * sensors:
            mean, step = f"{readings / rows:.1f}", usual_step_s(times, self._place) or 1.0
            told.append(text("long.apart", path=path, mean=mean, sensors=sensors, rows=rows, step=f"{step:g}"))
        if period_s is None and rows > 1:
            period_s = float(np.median(np.diff(found.time))) / 1e9
        return Table(
            tuple(self.names.values()), found.values, found.time, period_s, path, elapsed,
            (*source.notes, *told, *notes, *assumed), frozenset(self.ignored), source.zone, source.zoneless,
            shown=found.shown if found.beyond is not None else None, beyond=found.beyond,
        )  # fmt: skip

    def _check_others(self) -> None:
        """See that no other column tells readings of one name apart: they would be taken for those of one sensor."""
        firsts = np.zeros(len(self.names), dtype=np.int64)
        firsts[self._place[::-1]] = np.arange(len(self._place))[::-1]
        differing = []
        for column in self.columns.others:
            codes, cells = self._coded[column]
            codes = codes[self._rows]
            if (other := np.flatnonzero(codes != codes[firsts[self._place]])).size:
                row = int(other[0])
                differing.append((column, row, cells[codes[firsts[self._place[row]]]], cells[codes[row]]))
        if differing:
            source, (_, row, before, after) = self.source, differing[0]
            names = [source.names[column] for column, *_ in differing]
            row = int(self._rows[row])
            tags = [source.names[column] for column in self.columns.tag]
            raise TableError(
                text(
                    "long.differ", path=source.path, place=source.place(row), column=names[0], sensor=self._named(row),
                    before=before, after=after, both=",".join([names[0], *tags]), others=",".join(names),
                )
            )  # fmt: skip

    def _quality(self) -> tuple[NDArray[np.uint8], list[str]]:
        """Codes (n,) of the readings taken, and which words were taken for them."""
        source, column = self.source, self.columns.quality
        if column is None:
            return np.zeros(len(self._rows), dtype=np.uint8), []
        if self._own is not None:
            return self._own[self._rows], []
        codes, cells = self._coded[column]
        codes = codes[self._rows]
        counts = np.bincount(codes, minlength=len(cells))
        there = [cell if count else "" for cell, count in zip(cells, counts.tolist(), strict=True)]
        meant, strange, unknown = quality_codes(there, self.columns.own, counts.tolist())
        if unknown is not None:
            row = int(self._rows[np.flatnonzero(codes == unknown)[0]])
            what = "long.quality_number" if is_value(narrow(there[unknown])) else "long.quality"
            name, place = source.names[column], source.place(row)
            raise TableError(text(what, path=source.path, place=place, column=name, cell=there[unknown]))
        if not strange:
            return meant[codes], []
        words = ", ".join(f"{word} ({count})" for word, count in strange.most_common(NAMES_TOLD))
        return meant[codes], [text("long.words", path=source.path, column=source.names[column], words=words)]

    def _times(self) -> tuple[Times, bool, tuple[str, ...]]:
        """Times (n,) of the readings taken, whether from the start of the run, and what was assumed."""
        source, clocks = self.source, self.columns.time
        if self._held is not None:
            times, zoned = self._held
            if zoned:
                return times[self._rows], False, ()
            times, assumed = _placed(source, clocks, times)
            return times[self._rows], False, assumed
        codes, cells = self._coded[clocks[0]]
        spelled = {clocks[0]: cells}
        if len(clocks) > 1:
            second, clock_cells = self._coded[clocks[1]]
            pairs, codes = np.unique(codes.astype(np.int64) * len(clock_cells) + second, return_inverse=True)
            codes = codes.astype(np.int32)
            spelled = {
                clocks[0]: [cells[pair // len(clock_cells)] for pair in pairs.tolist()],
                clocks[1]: [clock_cells[pair % len(clock_cells)] for pair in pairs.tolist()],
            }
        # of an hour that comes twice the order tells the two apart, if there is one
        distinct = _Distinct(source, spelled, codes, self._rows, self._named, runs=True)
        stamps, assumed = _stamps(distinct, clocks)
        if stamps is not None and distinct.zoneless and source.zone is not None and (np.diff(stamps) <= 0).any():
            distinct = _Distinct(source, spelled, codes, self._rows, self._named)
            stamps, assumed = _stamps(distinct, clocks)
        elapsed = False
        if stamps is None:
            stamps, elapsed, assumed = _count_times(distinct, clocks[0], distinct.numbers(clocks)[:, 0])
        source.zoneless = distinct.zoneless
        return stamps[distinct.which], elapsed, assumed

    def _pivoted(self, times: Times, values: Floats, quality: NDArray[np.uint8]) -> tuple[Pivoted, int]:
        """The rows, and how many readings gave way to a later one in their row."""
        source, path = self.source, self.source.path
        try:
            if self._every_s is None:
                return pivot(times, self._place, values, quality, len(self.names)), 0
            at, kept, again = gathered(times, self._place, values, quality, max(1, round(self._every_s * 1e9)))
            found = pivot(at, self._place[kept], values[kept], quality[kept], len(self.names))
            return found._replace(repeated=again), len(values) - len(kept) - again
        except Twice as error:
            first, second = int(self._rows[error.first]), int(self._rows[error.second])
            raise TableError(
                text(
                    "long.twice", path=path, place=source.place(second), where=source.place(first),
                    sensor=self._named(first), time=iso_times(times[[error.first]], source.zone)[0],
                    value=f"{values[error.second]:g}", other=f"{values[error.first]:g}",
                )
            ) from error  # fmt: skip
        except MemoryError as error:
            rows, sensors = len(np.unique(times)), len(self.names)
            mean = f"{len(times) / rows:.1f}"
            raise TableError(text("long.large", path=path, rows=rows, sensors=sensors, mean=mean)) from error


def _joined(columns: Sequence[tuple[Codes, list[str]]], sign: str) -> tuple[Codes, list[str]]:
    """Columns of texts as one, the cells of a row joined by a sign."""
    codes, cells = columns[0]
    for more, others in columns[1:]:
        pairs, which = np.unique(codes.astype(np.int64) * len(others) + more, return_inverse=True)
        cells = [f"{cells[pair // len(others)]}{sign}{others[pair % len(others)]}" for pair in pairs.tolist()]
        codes, cells = _compact(which, cells)
    return codes, cells


def _none_taken(path: Path, wanted: Wanted, names: Sequence[str]) -> TableError:
    some = ", ".join(names[:NAMES_TOLD]) + (", …" if len(names) > NAMES_TOLD else "")
    return TableError(text("table.none_taken", path=path, patterns=", ".join(wanted.sensors), some=some))


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


def _find_time(source: _Source, time: str | None, ignore: frozenset[str]) -> list[int]:
    """Positions of the time column; two if date and clock are apart, none if nothing looks like a time."""
    names, folded = source.names, [name.casefold() for name in source.names]
    if time is not None:
        if time not in names:
            raise TableError(text("table.no_column", path=source.path, column=time, columns=", ".join(names)))
        return [names.index(time)]
    usable = [index for index, name in enumerate(names) if name not in ignore]
    named = [index for index in usable if folded[index] in TIME_NAMES]
    date = next((index for index in named if folded[index] in DATE_NAMES), None)
    clock = next((index for index in named if folded[index] in CLOCK_NAMES), None)
    if date is not None and clock is not None:
        day, hour = narrow(source.first(date)), narrow(source.first(clock))
        # 0900 beside 20260401; 0 or 900 there may have lost its noughts, or count seconds, and is refused as no time
        if re.fullmatch(CLOCK, hour, re.I) or re.fullmatch(r"\d{8} \d{1,6}", f"{day} {hour}", re.A):
            return [date, clock]
    elapsed = [index for index in usable if elapsed_unit(names[index])]
    like = [index for index in usable if TIME_LIKE.search(names[index])]
    for index in [*named, *elapsed, *like]:
        if _holds_dates(source, index):
            return [index]
    counting = [*named, *elapsed]
    if len(counting) > 1:
        counting.sort(key=lambda index: _rising(source, index) is None)
    if counting:
        return counting[:1]
    for index in usable:
        if folded[index] in ELAPSED_NAMES and _rising(source, index) is not None:
            return [index]
    for index in like:
        counts = _rising(source, index)
        if counts is not None and (_are_epochs(counts) or _are_serials(names[index], counts)):
            return [index]
    for index in usable:
        if STAMP.fullmatch(narrow(source.first(index))):
            return [index]
    return []


def _holds_dates(source: _Source, index: int) -> bool:
    """Whether a column's first cell is a date that does not stay."""
    first = narrow(source.first(index))
    name = source.names[index]
    day = DATE_LIKE.search(name) or name.casefold() in TIME_NAMES  # else eight digits may be any count
    if not (stamped(first) or (compact(first) and (day or len(first) > len("20260309")))):
        return False
    cells = source.texts(index)
    return len(cells) == 1 or cells[0] != cells[1] or (":" in first and cells[0] != cells[-1])


def _rising(source: _Source, index: int) -> Floats | None:
    """A column's numbers (n,) where they rise from row to row, else None."""
    try:
        numbers = source.numbers([index])[:, 0]
    except TableError:
        return None
    return numbers if np.all(np.diff(numbers) > 0) else None


def _are_epochs(numbers: Floats) -> bool:
    seconds = numbers * _epoch_unit(numbers) / 1e9
    return bool(EPOCHS_S[0] <= seconds.min() and seconds.max() < EPOCHS_S[1])


def _epoch_unit(numbers: Floats) -> float:
    """The unit (ns) of an epoch: seconds have 10 digits, milliseconds 13, and so on."""
    digits = float(np.abs(numbers).max())
    return next((unit for edge, unit in ((1e11, 1e9), (1e14, 1e6), (1e17, 1e3)) if digits < edge), 1.0)


def _are_serials(name: str, numbers: Floats) -> bool:
    """Whether a column of times holds days as Excel counts them.

    Seconds in such numbers would be nine hours and more into a run: under the name of a date they are none, and under
    another name not if rows follow each other in parts of one.
    """
    if not (SERIALS[0] <= numbers.min() and numbers.max() < SERIALS[1]) or elapsed_unit(name) is not None:
        return False
    return bool(DATE_LIKE.search(name)) or (
        (name.casefold() in TIME_NAMES or "時刻" in name)
        and len(numbers) > 1
        and 0 < float(np.median(np.diff(numbers))) < 1
    )


def _stamps(source: _Source, clocks: Sequence[int]) -> tuple[Times | None, tuple[str, ...]]:
    """Times written as dates, None where the column counts; and what was assumed.

    Raises:
        TableError: a cell is no time.
    """
    if len(clocks) > 1:
        return _parse_stamps(source, clocks)
    name = source.names[clocks[0]]
    if (held := source.stamps(clocks[0])) is not None:
        times, zoned = held
        return (times, ()) if zoned else _placed(source, clocks, times)
    first = narrow(source.first(clocks[0]))
    if compact(first):
        day = len(first.partition(".")[0]) == 8  # of so few digits there are other counts
        cells = source.texts(clocks[0]) if day and not DATE_LIKE.search(name) else []
        if not day or (elapsed_unit(name) is None and all(compact(narrow(cell)) for cell in cells)):
            return _parse_stamps(source, clocks)
        return None, ()
    if number(first, decimal=True) is not None or number(first, decimal=False) is not None:
        return None, ()
    return _parse_stamps(source, clocks)


def _placed(
    source: _Source, clocks: Sequence[int], shown: Times, without: NDArray[np.bool_] | None = None
) -> tuple[Times, tuple[str, ...]]:
    """UTC times (n,) of those without a zone, and what was assumed; a zone that their column is named by goes first.

    Args:
        source: the file, with the zone.
        clocks: positions of the columns of times.
        shown: the times, as if in UTC.
        without: which of them are without a zone; None: all.

    Raises:
        TableError: no clock of the zone showed one of them.
    """
    without = np.ones(len(shown), dtype=np.bool_) if without is None else without
    if not without.any():
        return shown, ()
    named = next(filter(None, (named_zone(source.names[column]) for column in clocks)), None)
    source.zoneless = named is None
    zone = named or source.zone
    if zone is None:
        return shown, ()
    times, rows = shown.copy(), np.flatnonzero(without)
    times[rows], skipped, twice = to_utc(shown[rows], zone)
    for what, where in (("table.skipped", rows[skipped]), ("table.twice_shown", rows[twice])):
        if where.size:
            row = int(where[0])
            said = text(
                what, path=source.path, place=source.place(row), column=source.names[clocks[0]],
                cell=_show(source, clocks, row), zone=zone, count=where.size,
                offset=offset_text(int(shown[row] - times[row]) // 1_000_000_000),
            )  # fmt: skip
            if what == "table.skipped":
                raise TableError(said)
            return times, (said,)
    return times, ()


def _check_order(source: _Source, clocks: Sequence[int], times: Times) -> None:
    steps = np.diff(times)
    if steps.size and steps.min() <= 0:
        row = int(np.flatnonzero(steps <= 0)[0]) + 1
        step = int(steps[row - 1])
        what = "table.same_time" if step == 0 else "table.earlier"
        cell, name = _show(source, clocks, row), source.names[clocks[0]]
        usual = float(np.median(np.abs(steps)))
        # an hour back, and one step on: no file that is merely unsorted
        back = source.zoneless and source.zone is None and abs(step + CLOCKS_BACK_NS - usual) < usual
        if back and (step < 0 or usual == CLOCKS_BACK_NS):
            what = "table.set_back" if step < 0 else "table.same_hour"
        elif step == 0 and re.search(r"\d[:時]\d", cell) and not re.search(r":\d+:\d|秒", cell):
            what = "table.same_minute"
        raise TableError(text(what, path=source.path, place=source.place(row), column=name, cell=cell))


def _show(source: _Source, clocks: Sequence[int], row: int) -> str:
    return " ".join(source.texts(column)[row] for column in clocks)


def _count_times(source: _Source, clock: int, numbers: Floats) -> tuple[Times, bool, tuple[str, ...]]:
    """Times (n,) of a column that counts, whether from the start of the run, and what was assumed.

    Raises:
        TableError: one is missing, or beyond what 64 bits hold.
    """
    name = source.names[clock]
    missing = np.flatnonzero(np.isnan(numbers))
    if missing.size:
        raise TableError(text("table.no_time", path=source.path, place=source.place(int(missing[0])), column=name))
    if _are_serials(name, numbers):
        times, assumed = _placed(source, [clock], _serial_times(numbers))
        first, last = iso_times(times[[0, -1]], source.zone)
        return times, False, (text("table.serial", path=source.path, column=name, first=first, last=last), *assumed)
    named = elapsed_unit(name)
    unit = float(named or _epoch_unit(numbers))
    if float(np.abs(numbers).max()) * unit > EPOCHS_S[1] * 1e9:  # no unit of a run: an epoch in another one
        unit = _epoch_unit(numbers)
    beyond = np.flatnonzero(np.abs(numbers) * unit > 9.2e18)
    if beyond.size:
        row = int(beyond[0])
        cell, place = source.texts(clock)[row], source.place(row)
        raise TableError(text("table.time", path=source.path, place=place, column=name, cell=cell))
    whole = np.floor(numbers)
    # the whole part apart keeps microseconds of an epoch, which one product in float64 would lose
    times = (whole.astype(np.int64) * int(unit)) + np.rint((numbers - whole) * unit).astype(np.int64)
    if named is not None:
        return times, bool(times[0] < EPOCHS_S[0] * 1e9), ()
    if abs(int(times[0])) >= 10**8 * 10**9:
        return times, False, ()
    return times, True, (text("table.seconds", path=source.path, column=name),)


def _serial_times(numbers: Floats) -> Times:
    """Times (n,) of Excel's serial dates: whole seconds where they are meant, else milliseconds."""
    seconds = (numbers - SERIAL_EPOCH) * 86_400
    whole = np.rint(seconds)
    # six decimals of a day are a tenth of a second
    if np.abs(seconds - whole).max() < 0.06:
        return whole.astype(np.int64) * 1_000_000_000
    return np.rint(seconds * 1000).astype(np.int64) * 1_000_000


def _parse_stamps(source: _Source, clocks: Sequence[int]) -> tuple[Times, tuple[str, ...]]:
    import pyarrow
    import pyarrow.compute as pc

    cells = list(source.texts(clocks[0]))
    for column in clocks[1:]:
        cells = [f"{day} {clock}" for day, clock in zip(cells, source.texts(column), strict=True)]
    spelled = pc.replace_substring(pyarrow.array(cells), "/", "-")
    for kind in (pyarrow.timestamp("ns"), pyarrow.timestamp("ns", tz="UTC")):
        try:
            held = np.asarray(pc.cast(pc.cast(spelled, kind), pyarrow.int64()).to_numpy(), dtype=np.int64)
        except pyarrow.ArrowInvalid:
            continue
        return _placed(source, clocks, held) if kind.tz is None else (held, ())
    name, dates = source.names[clocks[0]], [narrow(cell) for cell in cells]
    parsed = [parse_stamp(date) for date in dates]
    short = next((row for row, date in enumerate(dates) if SHORT.fullmatch(date)), None) if None in parsed else None
    if short is not None:
        spelled_out = long_years(dates)
        if spelled_out is None:
            place = source.place(short)
            raise TableError(text("table.short_year", path=source.path, place=place, column=name, cell=cells[short]))
        parsed = [parse_stamp(date) for date in spelled_out]
    if None in parsed:
        row = parsed.index(None)
        what = "table.no_time" if missing(dates[row]) else "table.time"
        raise TableError(text(what, path=source.path, place=source.place(row), column=name, cell=cells[row]))
    _check_alike(source, name, cells, dates)
    without = np.array([TOLD_ZONE.search(date) is None for date in dates])
    times, assumed = _placed(source, clocks, np.array(parsed, dtype=np.int64), without)
    if short is None:
        return times, assumed
    first, last = iso_times(times[[0, -1]], source.zone)
    year = text("table.year", path=source.path, column=name, cell=cells[short], first=first, last=last)
    return times, (year, *assumed)


def _check_alike(source: _Source, name: str, cells: Sequence[str], dates: Sequence[str]) -> None:
    """Refuse times of day some of which tell the half of the day, or the zone, and others do not: theirs is unknown."""
    whole = "\n".join(dates)
    for sign in (HALF, ZONE):
        if not sign.search(whole):  # faster than a look at every cell
            continue
        rows = [row for row, cell in enumerate(dates) if ":" in cell or "時" in cell]
        told = [sign.search(dates[row]) is not None for row in rows]
        if not all(told):
            row, other = rows[told.index(False)], rows[told.index(True)]
            raise TableError(
                text(
                    "table.unlike", path=source.path, place=source.place(row), column=name, cell=cells[row],
                    other=cells[other], where=source.place(other),
                )
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


def iso_times(times: Times, zone: tzinfo | None = None) -> list[str]:
    """ISO 8601 texts with milliseconds, microseconds only where they are needed: of UTC, or of a zone (`+09:00`)."""
    unit = "us" if np.any(times % 1_000_000) else "ms"
    shown, offsets = (times, None) if zone is None or zone is UTC else from_utc(times, zone)
    stamps = np.datetime_as_string(shown.astype("datetime64[ns]"), unit=unit)  # type: ignore[call-overload]
    if offsets is None:
        return [f"{stamp}Z" for stamp in stamps.tolist()]
    ends = {offset: offset_text(offset) for offset in set(offsets.tolist())}
    return [f"{stamp}{ends[offset]}" for stamp, offset in zip(stamps.tolist(), offsets.tolist(), strict=True)]


def write_table(path: Path, names: Sequence[str], columns: Sequence[ArrayLike]) -> None:
    """Write columns of equal length as CSV, CSV.gz or Parquet (by the file's ending).

    NaN and what is masked become empty cells. A CSV file begins with a byte order mark where it holds more than ASCII.
    The file appears whole or not at all.

    Raises:
        TableError: the folder cannot be written to.
        ValueError: names and columns differ in number, or the columns in length.
    """
    import pyarrow
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    if len(names) != len(columns):
        raise ValueError(f"{len(names)} names for {len(columns)} columns")
    arrays = [
        pyarrow.array(_plain(column), mask=np.ma.getmaskarray(column), from_pandas=True)
        if isinstance(column, np.ma.MaskedArray)
        else pyarrow.array(_plain(column), from_pandas=True)
        for column in columns
    ]
    table = pyarrow.Table.from_arrays(arrays, names=list(names))
    path = Path(path)
    sink = io.BytesIO()
    if path.suffix.lower() == ".parquet":
        parquet.write_table(table, sink, compression="zstd", write_page_checksum=True)
    else:
        head = io.StringIO()
        csv.writer(head, lineterminator="\n").writerow(names)
        sink.write(head.getvalue().encode())
        start = sink.tell()
        try:
            arrow_csv.write_csv(table, sink, arrow_csv.WriteOptions(include_header=False, quoting_style="none"))
        except pyarrow.ArrowInvalid:  # a text holds a comma, a quote or a line end: then every text is quoted
            sink.seek(start)
            sink.truncate()
            arrow_csv.write_csv(table, sink, arrow_csv.WriteOptions(include_header=False, quoting_style="needed"))
    data = sink.getvalue()
    if path.suffix.lower() != ".parquet" and not data.isascii():  # without a mark Excel reads Japanese as Shift_JIS
        data = codecs.BOM_UTF8 + data
    if path.suffix.lower() == ".gz":
        data = gzip.compress(data, 6, mtime=0)
    write_whole(path, data)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all, also when this is interrupted.

    Raises:
        TableError: it cannot be written.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise TableError(text("table.unwritable", path=path, reason=error.strerror)) from error
        raise


def _plain(column: ArrayLike) -> Any:
    array = np.asarray(column)
    return array.tolist() if array.dtype.kind in "UO" else array
