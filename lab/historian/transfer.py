"""Readings from one historian to another, to a file, and from a file.

A file has one reading a row: `time` (ISO 8601 UTC with nanoseconds), `sensor` (key), `value` (empty: none) and
`quality` (as on the wire, `good`, `bad:range`, …; a number where there is no name). Parquet has the same columns, as
timestamp[ns, UTC], string, double and uint8. Or it is wide (`lab.historian.wide`), to be worked with and not to be
imported again.
"""

import contextlib
import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.quality import CODES, NAMES
from lab.historian.base import Batch, Historian, Times
from lab.historian.series import T_END
from lab.text import text

if TYPE_CHECKING:
    import pyarrow

COLUMNS: Final = ("time", "sensor", "value", "quality")
WORDS: Final = tuple(NAMES.get(code, str(code)) for code in range(256))
"""Of each quality code, as it is written."""
BATCH: Final = 50_000
"""Readings written at a time."""
MANY: Final = 200_000
"""Readings read at a time, at most about."""
KEYS: Final = 50
"""Sensors read at a time."""
HOUR: Final = 3_600_000_000_000
TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s*(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
AGO: Final = re.compile(r"-(\d+(?:\.\d+)?)(s|m|h|d)")

Progress = Callable[[float], None]


class TransferError(Exception):
    """The file or the range cannot be used; the text names file, line and column."""


class Rows(NamedTuple):
    """Readings with their sensors by position in `keys`, all arrays (n,)."""

    keys: list[str]
    sensor: NDArray[np.int32]
    t: Times
    v: NDArray[np.float64]
    q: NDArray[np.uint8]


def parse_time(moment: str, now: int) -> int:
    """UTC nanoseconds of an ISO 8601 time (without a zone: UTC), or of a time before now: `-90s`, `-15m`, `-2h`, `-7d`.

    Raises:
        TransferError: it is neither, or outside 1970 to 2262.
    """
    if match := AGO.fullmatch(moment):
        return now - int(float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]] * 1e9)
    try:
        return _stamp(moment)
    except ValueError as error:
        raise TransferError(text("transfer.span", reason=error)) from None


def _stamp(cell: str) -> int:
    match = TIME.fullmatch(cell)
    try:
        if match is None:
            raise ValueError(cell)
        day, clock, second, fraction, zone = match.groups()
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00'}:{second or '00'}{zone or 'Z'}")
        t = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * 10**9
        t += int((fraction or "").ljust(9, "0"))
        if not 0 <= t < T_END:
            raise ValueError(cell)
    except ValueError:
        raise ValueError(text("transfer.time", cell=cell)) from None
    return t


def _stamps(cells: Sequence[str]) -> Times | None:
    """The times at once if all are as `export` writes them."""
    if not all(len(cell) == 30 and cell[10] == "T" and cell[19] == "." and cell[29] == "Z" for cell in cells):
        return None
    try:
        t = np.array([cell[:-1] for cell in cells], "datetime64[ns]").astype(np.int64)
    except ValueError:
        return None
    return t if len(t) == 0 or t.min() >= 0 else None


def choose(historian: Historian, patterns: Sequence[str]) -> list[str]:
    """The historian's keys that match one of the patterns (`tep-1/*`), all without a pattern.

    Raises:
        TransferError: a pattern matches none.
    """
    keys = [key for key in list(historian.keys()) if key]
    for pattern in patterns:
        if not any(fnmatchcase(key, pattern) for key in keys):
            raise TransferError(
                text("transfer.no_sensor", pattern=pattern, count=len(keys), some=", ".join(keys[:3]) or "-")
            )
    return [key for key in keys if not patterns or any(fnmatchcase(key, pattern) for pattern in patterns)]


class Windows:
    """A stretch of time to be read piece by piece, each of `MANY` readings at most, about."""

    def __init__(self, historian: Historian, t0: int, t1: int) -> None:
        """t0 <= t < t1, as far as there are readings."""
        stats = historian.stats()
        self.begin = max(t0, stats.oldest if stats.oldest is not None else t1)
        self.end = min(t1, stats.newest + 1 if stats.newest is not None else self.begin)
        self._whole = max(self.end - self.begin, 1)
        self._width = HOUR // 60  # how dense they are is not known yet

    @property
    def part(self) -> float:
        """How much is read already, 0 to 1."""
        return 1.0 - max(self.end - self.begin, 0) / self._whole

    def next(self) -> tuple[int, int] | None:
        """The next piece; None after the last."""
        if self.begin >= self.end:
            return None
        first, self.begin = self.begin, min(self.end, self.begin + self._width)
        return first, self.begin

    def took(self, readings: int) -> None:
        """So many readings were in the last piece: the next is wider or narrower."""
        # as wide as fits the memory: a year of a sensor that speaks once a day is one go
        if 4 * readings <= MANY:
            self._width = min(self._width * 4, 366 * 24 * HOUR)
        elif readings > MANY:
            self._width = max(self._width // 4, HOUR // 60)


def stored(historian: Historian, keys: Sequence[str], t0: int, t1: int, progress: Progress) -> Iterator[Rows]:
    """All readings of the sensors in t0 <= t < t1, some sensors and some time at a go."""
    groups = [list(keys[first : first + KEYS]) for first in range(0, len(keys), KEYS)]
    for index, group in enumerate(groups):
        windows = Windows(historian, t0, t1)
        while (window := windows.next()) is not None:
            rows = read_rows(historian, group, *window)
            if len(rows.t):
                yield rows
            windows.took(len(rows.t))
            progress((index + windows.part) / len(groups))
    progress(1.0)


def read_rows(historian: Historian, keys: Sequence[str], t0: int, t1: int) -> Rows:
    """The readings of the sensors in t0 <= t < t1, sensor by sensor."""
    if not keys:
        none = np.zeros(0, np.int64)
        return Rows([], none.astype(np.int32), none, np.zeros(0), none.astype(np.uint8))
    return _joined(list(keys), historian.read(keys, t0, t1))


def _joined(keys: list[str], found: Any) -> Rows:
    series = [found[key] for key in keys]
    counts = [len(one.t) for one in series]
    return Rows(
        keys,
        np.repeat(np.arange(len(keys), dtype=np.int32), counts),
        np.concatenate([one.t for one in series]),
        np.concatenate([one.v for one in series]),
        np.concatenate([one.q for one in series]),
    )


def write(historian: Historian, rows: Rows) -> None:
    """Write rows to a historian, in batches.

    Raises:
        HistorianError: it does not take them.
    """
    sensor = historian.ids(rows.keys)[rows.sensor]
    for first in range(0, len(rows.t), BATCH):
        some = slice(first, first + BATCH)
        historian.write(Batch(sensor[some], rows.t[some], rows.v[some], rows.q[some]))


def copy(source: Historian, target: Historian, keys: Sequence[str], t0: int, t1: int, progress: Progress) -> int:
    """Copy the readings of t0 <= t < t1; how many. It may be repeated: what is there already is written over.

    Raises:
        HistorianError: one of the two fails.
    """
    count = 0
    for rows in stored(source, keys, t0, t1, progress):
        write(target, rows)
        count += len(rows.t)
    return count


# files ---------------------------------------------------------------------------------------------------------------


def export(historian: Historian, path: Path, keys: Sequence[str], t0: int, t1: int, progress: Progress) -> int:
    """Write the readings of t0 <= t < t1 to a .csv, .csv.gz or .parquet file; how many.

    Raises:
        TransferError: the file's name ends otherwise, or it cannot be written.
        HistorianError: the historian fails.
    """
    write_rows = {"csv": _write_csv, "parquet": _write_parquet}[file_format(path)]
    packed = path.name.lower().endswith(".gz")
    return write_beside(path, lambda part: write_rows(part, stored(historian, keys, t0, t1, progress), packed))


def write_beside(path: Path, write_file: Callable[[Path], int]) -> int:
    """Write a file beside its place, and put it there when it is whole; what `write_file` says.

    Raises:
        TransferError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        count = write_file(part)
        part.replace(path)
    except OSError as error:
        raise TransferError(text("table.unwritable", path=path, reason=error.strerror or error)) from error
    finally:
        with contextlib.suppress(OSError):  # on a read-only disk there is none; the first error says more
            part.unlink(missing_ok=True)
    return count


def load(historian: Historian, path: Path, progress: Progress) -> int:
    """Write the readings of a .csv, .csv.gz or .parquet file to a historian; how many. It may be repeated.

    Raises:
        TransferError: the file is missing or not as this module says; what stands before the bad row has been stored.
        HistorianError: the historian does not take them.
    """
    read_rows = {"csv": _read_csv, "parquet": _read_parquet}[file_format(path)]
    count = 0
    try:
        for part, rows in read_rows(path):
            write(historian, rows)
            count += len(rows.t)
            progress(part)
    except FileNotFoundError:
        raise TransferError(text("table.absent", path=path)) from None
    except (OSError, EOFError) as error:
        raise TransferError(
            text("table.unreadable", path=path, reason=getattr(error, "strerror", None) or error)
        ) from error
    progress(1.0)
    return count


def file_format(path: Path) -> str:
    """`csv` or `parquet`, by a file's name.

    Raises:
        TransferError: it is neither.
    """
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return "csv"
    if name.endswith(".parquet"):
        return "parquet"
    raise TransferError(text("score.bad_output", file=path))


def _write_csv(path: Path, source: Iterator[Rows], packed: bool) -> int:
    count = 0
    with (gzip.open if packed else open)(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for rows in source:
            writer.writerows(_lines(rows))
            count += len(rows.t)
    return count


def _lines(rows: Rows) -> Iterator[tuple[str, str, str, str]]:
    stamps = np.datetime_as_string(rows.t.view("datetime64[ns]"), unit="ns").tolist()
    values = ["" if v != v else repr(v) for v in rows.v.tolist()]
    for stamp, s, v, q in zip(stamps, rows.sensor.tolist(), values, rows.q.tolist(), strict=True):
        yield stamp + "Z", rows.keys[s], v, WORDS[q]


def csv_lines(rows: Rows) -> str:
    """Rows as lines of a CSV file (which begins with `COLUMNS`)."""
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(_lines(rows))
    return lines.getvalue()


def _read_csv(path: Path) -> Iterator[tuple[float, Rows]]:
    size = max(path.stat().st_size, 1)
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        packed = path.name.lower().endswith(".gz")
        unpacked: Any = stack.enter_context(gzip.GzipFile(fileobj=raw)) if packed else raw
        lines = csv.reader(stack.enter_context(io.TextIOWrapper(unpacked, encoding="utf-8-sig", newline="")))
        try:
            head = [name.strip().lower() for name in next(lines, [])]
            order = [head.index(name) if name in head else -1 for name in COLUMNS]
            if missing := [name for name, column in zip(COLUMNS[:3], order, strict=False) if column < 0]:
                raise TransferError(text("transfer.no_column", path=path, column=missing[0]))
            cells: list[tuple[int, list[str]]] = []
            for row in lines:
                if row:
                    cells.append((lines.line_num, row))
                if len(cells) == BATCH:
                    yield raw.tell() / size, _parsed(path, cells, len(head), order)
                    cells = []
            if cells:
                yield 1.0, _parsed(path, cells, len(head), order)
        except UnicodeDecodeError as error:
            raise TransferError(text("transfer.encoding", path=path, line=lines.line_num)) from error
        except (csv.Error, zlib.error) as error:
            raise TransferError(text("table.field", path=path, line=lines.line_num, reason=error)) from error


def _parsed(path: Path, cells: list[tuple[int, list[str]]], width: int, order: list[int]) -> Rows:
    numbers: dict[str, int] = {}
    count = len(cells)
    time_, key, value, quality = order
    stamps = _stamps([row[time_] for _, row in cells if len(row) == width])
    sensor, t = np.empty(count, np.int32), np.empty(count, np.int64) if stamps is None else stamps
    v, q = np.empty(count), np.zeros(count, np.uint8)
    for index, (line, row) in enumerate(cells):
        if len(row) != width:
            raise TransferError(text("table.ragged", path=path, line=line, cells=len(row), columns=width))
        column = "time"
        try:
            if stamps is None:
                t[index] = _stamp(row[time_].strip())
            column = "sensor"
            if not row[key].strip():
                raise ValueError(text("transfer.empty"))
            sensor[index] = numbers.setdefault(row[key], len(numbers))
            column = "value"
            cell = row[value].strip()
            v[index] = _number(cell) if cell else np.nan
            if np.isinf(v[index]):
                raise ValueError(text("transfer.infinite"))
            column = "quality"
            if quality >= 0 and (cell := row[quality].strip()):
                q[index] = CODES[cell] if cell in CODES else _code(cell)
        except ValueError as error:
            raise TransferError(
                text("transfer.cell", path=path, place=text("table.line", number=line), column=column, reason=error)
            ) from error
    return Rows(list(numbers), sensor, t, v, q)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError(text("transfer.number", cell=cell)) from None


def _code(cell: str) -> int:
    if not cell.isdecimal() or int(cell) > 255:
        raise ValueError(text("transfer.quality", cell=cell, some=", ".join(list(CODES)[:3])))
    return int(cell)


def _write_parquet(path: Path, source: Iterator[Rows], packed: bool) -> int:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(
        [
            ("time", pyarrow.timestamp("ns", tz="UTC")),
            ("sensor", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
            ("value", pyarrow.float64()),
            ("quality", pyarrow.uint8()),
        ]
    )
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in source:
            columns = [
                pyarrow.array(rows.t).cast(schema.field("time").type),
                pyarrow.DictionaryArray.from_arrays(rows.sensor, rows.keys),
                pyarrow.array(rows.v, mask=np.isnan(rows.v)),
                pyarrow.array(rows.q),
            ]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
            count += len(rows.t)
    return count


def _read_parquet(path: Path) -> Iterator[tuple[float, Rows]]:
    import pyarrow
    from pyarrow import parquet

    with path.open("rb") as file:
        try:
            source = parquet.ParquetFile(file)
        except pyarrow.ArrowInvalid as error:
            raise TransferError(text("table.parquet", path=path, reason=error)) from error
        names = source.schema_arrow.names
        if missing := [name for name in COLUMNS[:3] if name not in names]:
            raise TransferError(text("transfer.no_column", path=path, column=missing[0]))
        wanted = [name for name in COLUMNS if name in names]
        total, done = max(source.metadata.num_rows, 1), 0
        for batch in source.iter_batches(BATCH, columns=wanted):
            yield (done + batch.num_rows) / total, _from_arrow(path, batch, done)
            done += batch.num_rows


def _from_arrow(path: Path, batch: "pyarrow.RecordBatch", first: int) -> Rows:
    import pyarrow
    import pyarrow.compute as pc

    types = {
        "time": pyarrow.timestamp("ns", tz="UTC"),
        "sensor": pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
        "value": pyarrow.float64(),
        "quality": pyarrow.uint8(),
    }
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name != "value" and column.null_count:
            row = first + column.is_null().to_pylist().index(True) + 1
            raise TransferError(
                text(
                    "transfer.cell",
                    path=path,
                    place=text("table.row", number=row),
                    column=name,
                    reason=text("transfer.empty"),
                )
            )
        try:
            if name == "sensor" and not pyarrow.types.is_dictionary(column.type):
                column = pc.dictionary_encode(column)
            columns[name] = column.cast(types[name])
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
            raise TransferError(
                text("transfer.type", path=path, column=name, type=column.type, want=types[name], reason=error)
            ) from error
    t = columns["time"].cast(pyarrow.int64()).to_numpy()
    if len(t) and t.min() < 0:
        raise TransferError(
            text(
                "transfer.cell",
                path=path,
                place=text("table.row", number=first + int(np.argmin(t)) + 1),
                column="time",
                reason=text("transfer.early"),
            )
        )
    quality = columns["quality"].to_numpy() if "quality" in columns else np.zeros(len(t), np.uint8)
    sensor = columns["sensor"]
    return Rows(
        sensor.dictionary.to_pylist(),
        sensor.indices.to_numpy().astype(np.int32),
        t,
        columns["value"].to_numpy(zero_copy_only=False),
        quality,
    )
