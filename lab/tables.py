"""Tables from outside: CSV (also gzipped) and Parquet files read into one float array, and written again.

A CSV file has one header line; cells are separated by commas, semicolons or tabs, encoded in UTF-8 (with or without a
byte order mark) or in Shift_JIS as Windows writes it. What commas in its numbers mean is decided once (`lab.cells`).
Empty cells, `NaN`, `NA` and `null` are missing values. Times without a zone are taken as UTC.
"""

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lab.cells import DECIMAL, MISSING, THOUSANDS, commas, narrow, number
from lab.text import text

if TYPE_CHECKING:
    import pyarrow

TIME_NAMES: Final = frozenset(
    "time,timestamp,datetime,date,date_time,date/time,ts,utc,日時,時刻,時間,日付,年月日,測定日時,計測日時".split(",")  # noqa: SIM905
)
DATE_NAMES: Final = frozenset(("date", "日付", "年月日"))
CLOCK_NAMES: Final = frozenset(("time", "時刻", "時間"))
UNITS_NS: Final = {"h": 3_600_000_000_000, "min": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000}
ELAPSED: Final = re.compile(
    r"(?:time|elapsed|elapsed_time|t|経過時間|経過)[ _]?[\[(（]?(h|hours?|hr|min|minutes?|s|sec|seconds?|ms)[\])）]?",
    re.I,
)
STAMP: Final = re.compile(
    r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?"
    r"(?:[T ]+(\d{1,2})[:時](\d{1,2})(?:[:分](\d{1,2})(?:[.,](\d{1,9})\d*)?秒?)?分?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?",
    re.I,
)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


class TableError(Exception):
    """The file cannot be used; the text names file, line and column and says what to do."""


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


def read_table(
    path: Path, *, time: str | None = None, period_s: float | None = None, ignore: Sequence[str] = ()
) -> Table:
    """Read a CSV, CSV.gz, Parquet or Parquet.gz file.

    Args:
        path: the file.
        time: the time column's name; without it the column is found by its name (`time`, `timestamp`, `日時`, …), by
            an elapsed-time name (`time_h`, `elapsed_s`) or by its content. ISO 8601, `2026/3/9 10:14:33.5` and epoch
            seconds (or milli-, micro-, nanoseconds) are understood; a date and a clock column are joined.
        period_s: sampling period in seconds; without it the median step of the time column.
        ignore: columns to leave out (labels, texts); names that are not in the file are no error.

    Raises:
        TableError: missing or unreadable file, no rows, rows of different length, duplicate or missing column names,
            a text where a number should be, times that are missing, repeated or out of order.
    """
    path = Path(path)
    raw = _read_bytes(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if ".parquet" in suffixes[-2:]:
        source: _Source = _parquet_source(path, raw)
    elif suffixes[-1:] in ([".xlsx"], [".xls"]):
        raise TableError(text("table.excel", path=path))
    else:
        source = _CsvSource(path, raw)
    return _assemble(source, time, period_s, frozenset(ignore))


def _read_bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.suffix.lower() == ".gz" else raw
    except FileNotFoundError:
        raise TableError(text("table.absent", path=path)) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TableError(text("table.gzip", path=path, reason=error)) from error
    except OSError as error:
        raise TableError(text("table.unreadable", path=path, reason=error.strerror)) from error


class _Source:
    """Columns by name, as text or as numbers, with the place of each row for error messages."""

    path: Path
    names: list[str]
    rows: int

    def place(self, row: int) -> str:
        raise NotImplementedError

    def first(self, column: int) -> str:
        """The cell of the first row."""
        raise NotImplementedError

    def texts(self, column: int) -> Sequence[str]:
        raise NotImplementedError

    def stamps(self, column: int) -> Times | None:
        """Times that the file itself holds as times."""
        raise NotImplementedError

    def numbers(self, columns: Sequence[int]) -> Floats:
        raise NotImplementedError


class _CsvSource(_Source):
    def __init__(self, path: Path, raw: bytes) -> None:
        self.path = path
        try:
            content = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            try:
                content = raw.decode("cp932")
            except UnicodeDecodeError as error:
                raise TableError(text("table.encoding", path=path, byte=error.start + 1)) from error
            raw = content.encode()
        if "\n" not in content and "\r" in content:  # line ends of an old Macintosh
            content = content.replace("\r", "\n")
            raw = content.encode()
        if "\0" in content[:65536]:
            raise TableError(text("table.binary", path=path))
        self.content = content
        head = content[: 1 << 20].lstrip("\r\n").split("\n", 1)[0]
        if not head.strip():
            raise TableError(text("table.empty", path=path))
        if head.count('"') % 2:
            raise TableError(text("table.quotes", path=path))
        self.delimiter = max(",;\t", key=head.count)
        self.names = [cell.strip() for cell in next(csv.reader([head.rstrip("\r")], delimiter=self.delimiter))]
        _check_names(path, self.names)
        self._raw = raw.removeprefix(b"\xef\xbb\xbf")
        self._first = next(self._lines(1 << 20), (0, []))[1]
        self.rows = self._read([0]).num_rows if self._first else 0

    def _lines(self, characters: int | None = None) -> Iterator[tuple[int, list[str]]]:
        """Line number and cells of every row after the header, blank lines left out."""
        reader = csv.reader(io.StringIO(self.content[:characters], newline=""), delimiter=self.delimiter)
        cells = (row for row in reader if row)
        try:
            next(cells)
            for row in cells:
                yield reader.line_num, row
        except csv.Error as error:
            raise TableError(text("table.field", path=self.path, line=reader.line_num, reason=error)) from error

    def _read(self, columns: Sequence[int], *, floats: bool = False, point: str = ".") -> "pyarrow.Table":
        """Some columns as texts or as numbers with that decimal point (then ArrowInvalid says that one is not)."""
        import pyarrow
        from pyarrow import csv as arrow_csv

        keys = [str(index) for index in range(len(self.names))]
        wanted = [keys[index] for index in columns]
        kind = pyarrow.float64() if floats else pyarrow.string()
        try:
            return arrow_csv.read_csv(
                pyarrow.BufferReader(self._raw),
                arrow_csv.ReadOptions(column_names=keys, skip_rows_after_names=1),
                arrow_csv.ParseOptions(delimiter=self.delimiter),
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
            for line, cells in self._lines():
                if len(cells) != len(self.names):
                    raise TableError(
                        text("table.ragged", path=self.path, line=line, cells=len(cells), columns=len(self.names))
                    ) from error
            raise TableError(text("table.csv", path=self.path, reason=error)) from error

    def place(self, row: int) -> str:
        for index, (line, _) in enumerate(self._lines()):
            if index == row:
                return text("table.line", number=line)
        return text("table.row", number=row + 1)

    def first(self, column: int) -> str:
        return self._first[column].strip() if column < len(self._first) else ""

    def texts(self, column: int) -> Sequence[str]:
        return [cell.strip() for cell in self._read([column]).column(0).to_pylist()]

    def stamps(self, column: int) -> Times | None:
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
        cells = [[narrow(cell) for cell in self.texts(column)] for column in columns]
        decimal, shown = commas(cells)
        if decimal is None and shown is not None:
            column, row = columns[shown[0]], shown[1]
            raise TableError(
                text(
                    "table.doubtful", path=self.path, place=self.place(row), column=self.names[column],
                    cell=self.texts(column)[row],
                )
            )  # fmt: skip
        values = np.full((self.rows, len(columns)), np.nan)
        for position, column in enumerate(columns):
            for row, cell in enumerate(cells[position]):
                if cell in MISSING:
                    continue
                value = number(cell, bool(decimal))
                if value is None:
                    other = None if shown is None or "," not in cell else (columns[shown[0]], shown[1])
                    self._bad(column, row, None if other == (column, row) else other)
                else:
                    values[row, position] = value
        return values

    def _bad(self, column: int, row: int, other: tuple[int, int] | None = None) -> NoReturn:
        """Refuse a cell, if need be because of what commas are in another one (column, row)."""
        cell, place = self.texts(column)[row], self.place(row)
        if other is None:
            raise TableError(text("table.number", path=self.path, place=place, column=self.names[column], cell=cell))
        raise TableError(
            text(
                "table.comma", path=self.path, place=place, column=self.names[column], cell=cell,
                other=self.texts(other[0])[other[1]], where=self.place(other[1]),
            )
        )  # fmt: skip


def _check_names(path: Path, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise TableError(text("table.twice", path=path, column=name))
        seen.add(name)
    if all(name in MISSING or re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", name, re.I) for name in names):
        raise TableError(text("table.headless", path=path))


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
        return str(self._table.column(column)[0].as_py())

    def texts(self, column: int) -> Sequence[str]:
        return ["" if cell is None else str(cell).strip() for cell in self._table.column(column).to_pylist()]

    def stamps(self, column: int) -> Times | None:
        import pyarrow
        import pyarrow.compute as pc

        cells = self._table.column(column)
        if not (pyarrow.types.is_timestamp(cells.type) or pyarrow.types.is_date(cells.type)):
            return None
        if cells.null_count:
            row = cells.is_null().to_pylist().index(True)
            raise TableError(text("table.no_time", path=self.path, place=self.place(row), column=self.names[column]))
        kind = pyarrow.timestamp("ns", tz=getattr(cells.type, "tz", None))
        return np.asarray(pc.cast(pc.cast(cells, kind), pyarrow.int64()).to_numpy(), dtype=np.int64)

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


def _parquet_source(path: Path, raw: bytes) -> _ParquetSource:
    import pyarrow
    from pyarrow import parquet

    try:
        return _ParquetSource(path, parquet.read_table(pyarrow.BufferReader(raw)))
    except pyarrow.ArrowInvalid as error:
        raise TableError(text("table.parquet", path=path, reason=error)) from error


def _assemble(source: _Source, time: str | None, period_s: float | None, ignore: frozenset[str]) -> Table:
    if source.rows == 0:
        raise TableError(text("table.rowless", path=source.path))
    if period_s is not None and not 0 < period_s < float("inf"):
        raise TableError(text("table.period", path=source.path, period=period_s))
    clocks, elapsed_ns = _find_time(source, time, ignore)
    stamps = _times(source, clocks, elapsed_ns) if clocks else None
    keep = []
    for index, name in enumerate(source.names):
        if index in clocks or name in ignore:
            continue
        if not name:
            cells = [cell for cell in source.texts(index) if cell not in MISSING]
            # a delimiter at the end of every line, or the row numbers some programs put first, are no sensor
            counts = index == 0 and all(cell.isdigit() for cell in cells[:3]) and len(cells) == source.rows
            if not cells or (counts and np.all(np.diff(source.numbers([index])[:, 0]) == 1)):
                continue
            raise TableError(text("table.nameless", path=source.path, number=index + 1))
        keep.append(index)
    if not keep:
        raise TableError(text("table.no_readings", path=source.path))
    elapsed = elapsed_ns is not None
    if stamps is not None:
        elapsed = elapsed or abs(int(stamps[0])) < 10**8 * 10**9  # a `time` counting from zero is no date
        if period_s is None and source.rows > 1:
            period_s = float(np.median(np.diff(stamps))) / 1e9
    names = tuple(source.names[index] for index in keep)
    return Table(names, source.numbers(keep), stamps, period_s, source.path, elapsed)


def _find_time(source: _Source, time: str | None, ignore: frozenset[str]) -> tuple[list[int], int | None]:
    """Positions of the time column (two if date and clock are apart), and an elapsed column's unit in ns."""
    folded = [name.casefold() for name in source.names]
    if time is not None:
        if time not in source.names:
            raise TableError(text("table.no_column", path=source.path, column=time, columns=", ".join(source.names)))
        index = source.names.index(time)
        return [index], _elapsed_unit(time)
    usable = [index for index, name in enumerate(source.names) if name not in ignore]
    named = [index for index in usable if folded[index] in TIME_NAMES]
    date = next((index for index in named if folded[index] in DATE_NAMES), None)
    clock = next((index for index in named if folded[index] in CLOCK_NAMES), None)
    if date is not None and clock is not None and re.fullmatch(r"\d{1,2}:\d.*", source.first(clock)):
        return [date, clock], None
    if named:
        return named[:1], None
    for index in usable:
        if unit := _elapsed_unit(source.names[index]):
            return [index], unit
    for index in usable:
        first = source.first(index)
        if STAMP.fullmatch(first) and not first.replace(".", "").isdigit():
            return [index], None
    return [], None


def _elapsed_unit(name: str) -> int | None:
    match = ELAPSED.fullmatch(name)
    if match is None:
        return None
    unit = match[1].lower()
    return UNITS_NS["ms" if unit == "ms" else "min" if unit.startswith("m") else unit[0]]


def _times(source: _Source, clocks: Sequence[int], elapsed_ns: int | None) -> Times:
    name = source.names[clocks[0]]
    times = source.stamps(clocks[0]) if len(clocks) == 1 else None
    if times is None:
        first = source.first(clocks[0])
        if elapsed_ns is None and (len(clocks) > 1 or not re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", first, re.I)):
            times = _parse_stamps(source, clocks)
        else:
            times = _count_times(source, source.numbers(clocks)[:, 0], name, elapsed_ns)
    steps = np.diff(times)
    if steps.size and steps.min() <= 0:
        row = int(np.flatnonzero(steps <= 0)[0]) + 1
        what = "table.same_time" if steps[row - 1] == 0 else "table.earlier"
        cell = _show(source, clocks, row)
        raise TableError(text(what, path=source.path, place=source.place(row), column=name, cell=cell))
    return times


def _show(source: _Source, clocks: Sequence[int], row: int) -> str:
    return " ".join(source.texts(column)[row] for column in clocks)


def _count_times(source: _Source, numbers: Floats, name: str, elapsed_ns: int | None) -> Times:
    missing = np.flatnonzero(np.isnan(numbers))
    if missing.size:
        raise TableError(text("table.no_time", path=source.path, place=source.place(int(missing[0])), column=name))
    scale = float(elapsed_ns or UNITS_NS["s"])
    if elapsed_ns is None:  # epoch seconds have 10 digits, milliseconds 13, and so on
        digits = float(np.abs(numbers).max())
        scale = next((s for edge, s in ((1e11, 1e9), (1e14, 1e6), (1e17, 1e3)) if digits < edge), 1.0)
    whole = np.floor(numbers)
    # the whole part apart keeps microseconds of an epoch, which one product in float64 would lose
    return (whole.astype(np.int64) * int(scale)) + np.rint((numbers - whole) * scale).astype(np.int64)


def _parse_stamps(source: _Source, clocks: Sequence[int]) -> Times:
    import pyarrow
    import pyarrow.compute as pc

    cells = list(source.texts(clocks[0]))
    for column in clocks[1:]:
        cells = [f"{day} {clock}" for day, clock in zip(cells, source.texts(column), strict=True)]
    spelled = pc.replace_substring(pyarrow.array(cells), "/", "-")
    for kind in (pyarrow.timestamp("ns"), pyarrow.timestamp("ns", tz="UTC")):
        try:
            return np.asarray(pc.cast(pc.cast(spelled, kind), pyarrow.int64()).to_numpy(), dtype=np.int64)
        except pyarrow.ArrowInvalid:
            continue
    times = np.empty(source.rows, dtype=np.int64)
    for row, cell in enumerate(cells):
        parsed = _parse_stamp(cell)
        if parsed is None:
            what = "table.no_time" if cell in MISSING else "table.time"
            name = source.names[clocks[0]]
            raise TableError(text(what, path=source.path, place=source.place(row), column=name, cell=cell))
        times[row] = parsed
    return times


def _parse_stamp(cell: str) -> int | None:
    match = STAMP.fullmatch(cell)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
        )
    except ValueError:
        return None
    whole = (moment - EPOCH) // timedelta(seconds=1)
    if zone and zone[0] in "+-":
        offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        whole -= offset if zone[0] == "+" else -offset
    return whole * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def iso_times(times: Times) -> list[str]:
    """ISO 8601 UTC texts with milliseconds, microseconds only where they are needed."""
    unit = "us" if np.any(times % 1_000_000) else "ms"
    stamps = np.datetime_as_string(times.astype("datetime64[ns]"), unit=unit)  # type: ignore[call-overload]
    return [f"{stamp}Z" for stamp in stamps.tolist()]


def write_table(path: Path, names: Sequence[str], columns: Sequence[ArrayLike]) -> None:
    """Write columns of equal length as CSV, CSV.gz or Parquet (by the file's ending); NaN becomes an empty cell.

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
    arrays = [pyarrow.array(_plain(column), from_pandas=True) for column in columns]
    table = pyarrow.Table.from_arrays(arrays, names=list(names))
    path = Path(path)
    sink = io.BytesIO()
    if path.suffix.lower() == ".parquet":
        parquet.write_table(table, sink, compression="zstd")
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
