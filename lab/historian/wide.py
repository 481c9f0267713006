"""An asset's readings as a wide table: one row a time, one column a sensor, as `lab fit` and spreadsheets want them.

The times come first, then the plant's own clock if it has one, then the sensors by their tags. Channels of role
`status` are left out, as they are never scored. A bad reading is an empty cell. With the quality codes, and to be
imported again: `lab.historian.transfer`.
"""

import codecs
import csv
import gzip
import io
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.historian.base import Historian, Times
from lab.historian.transfer import Progress, Rows, Windows, file_format, read_rows, write_beside
from lab.longtable import MADE, pivot

if TYPE_CHECKING:
    import pyarrow

TIMES: Final = ("time", "timestamp", "datetime")
"""What the column of the times is called: the first of these that is no sensor's."""
CELLS: Final = 2_000_000
"""Rows times sensors of one table at most, so that sensors with times of their own do not fill the memory."""


class Wide(NamedTuple):
    """`T` rows of `S` sensors."""

    t: Times
    """(T,) UTC nanoseconds, rising."""
    v: NDArray[np.float64]
    """(T, S); NaN: no reading, or a bad one."""


def wide_keys(db: sqlite3.Connection, keys: Sequence[str], asset: str) -> list[str]:
    """The historian's keys of an asset that a wide table has, in the order of its columns.

    Args:
        db: the lab's database; what its catalogue does not know is taken for a sensor.
        keys: all of the historian.
        asset: the asset's id.
    """
    prefix = f"{asset}/"
    mine = [key for key in keys if key.startswith(prefix) and not key.startswith(prefix + MADE)]
    try:
        found = db.execute("SELECT key, role FROM sensor WHERE asset = ? ORDER BY position", (asset,)).fetchall()
        (clock,) = db.execute("SELECT clock FROM asset WHERE id = ?", (asset,)).fetchone() or (None,)
    except sqlite3.OperationalError:  # a database that no collector has had yet has no catalogue
        found, clock = [], None
    roles: dict[str, str] = dict(found)
    first = [f"{prefix}{clock}"] if clock else []
    known = [key for key, role in found if role != "status"]
    others = [key for key in mine if key not in roles]
    there = set(mine)
    return [key for key in dict.fromkeys([*first, *known, *others]) if key in there]


def tag_of(key: str) -> str:
    """The column's name of a key `asset/tag`."""
    return key.partition("/")[2]


def time_name(keys: Sequence[str]) -> str:
    """What the column of the times is called."""
    tags = {tag_of(key) for key in keys}
    return next(name for name in (*TIMES, "") if name not in tags)


def wide_rows(historian: Historian, keys: Sequence[str], t0: int, t1: int) -> tuple[Iterator[Wide], int]:
    """The rows of t0 <= t < t1 in tables of `CELLS` cells at most, and how many readings were read for them."""
    rows = read_rows(historian, keys, t0, t1)
    return _tables(rows, len(keys)), len(rows.t)


def _tables(rows: Rows, sensors: int) -> Iterator[Wide]:
    if not len(rows.t):
        return
    firsts = np.unique(rows.t)[:: max(1, CELLS // sensors)]
    order = np.argsort(rows.t, kind="stable") if len(firsts) > 1 else np.arange(len(rows.t))
    cuts = np.searchsorted(rows.t[order], firsts[1:]) if len(firsts) > 1 else np.zeros(0, np.intp)
    for some in np.split(order, cuts):
        found = pivot(rows.t[some], rows.sensor[some], rows.v[some], rows.q[some], sensors)
        yield Wide(found.time, found.values)


def stored_wide(historian: Historian, keys: Sequence[str], t0: int, t1: int, progress: Progress) -> Iterator[Wide]:
    """All rows of t0 <= t < t1, some time at a go."""
    windows = Windows(historian, t0, t1)
    while (window := windows.next()) is not None:
        tables, readings = wide_rows(historian, keys, *window)
        yield from tables
        windows.took(readings)
        progress(windows.part)
    progress(1.0)


def csv_head(keys: Sequence[str]) -> bytes:
    """The header of a CSV file."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([time_name(keys), *map(tag_of, keys)])
    head = line.getvalue().encode()
    return head if head.isascii() else codecs.BOM_UTF8 + head  # without a mark Excel reads Japanese as Shift_JIS


def csv_rows(rows: Wide) -> bytes:
    """Rows as lines of a CSV file; numbers come back bit for bit."""
    import pyarrow
    from pyarrow import csv as arrow_csv

    unit = "ns" if np.any(rows.t % 1000) else "us"
    stamps = np.char.add(np.datetime_as_string(rows.t.view("datetime64[ns]"), unit=unit), "Z")  # type: ignore[call-overload]
    columns = [pyarrow.array(stamps.tolist()), *_columns(rows)]
    table = pyarrow.Table.from_arrays(columns, names=[str(at) for at in range(len(columns))])
    sink = io.BytesIO()
    arrow_csv.write_csv(table, sink, arrow_csv.WriteOptions(include_header=False, quoting_style="none"))
    return sink.getvalue()


def _columns(rows: Wide) -> "list[pyarrow.Array]":
    import pyarrow

    return [pyarrow.array(column, from_pandas=True) for column in np.ascontiguousarray(rows.v.T)]


def export_wide(historian: Historian, path: Path, keys: Sequence[str], t0: int, t1: int, progress: Progress) -> int:
    """Write the rows of t0 <= t < t1 of one asset's sensors to a .csv, .csv.gz or .parquet file; how many.

    Raises:
        TransferError: the file's name ends otherwise, or it cannot be written.
        HistorianError: the historian fails.
    """
    write_rows = {"csv": _write_csv, "parquet": _write_parquet}[file_format(path)]
    packed = path.name.lower().endswith(".gz")

    def write_file(part: Path) -> int:
        return write_rows(part, keys, stored_wide(historian, keys, t0, t1, progress), packed)

    return write_beside(path, write_file)


def _write_csv(path: Path, keys: Sequence[str], source: Iterator[Wide], packed: bool) -> int:
    count = 0
    with (gzip.open if packed else open)(path, "wb") as file:
        file.write(csv_head(keys))
        for rows in source:
            file.write(csv_rows(rows))
            count += len(rows.t)
    return count


def _write_parquet(path: Path, keys: Sequence[str], source: Iterator[Wide], packed: bool) -> int:
    import pyarrow
    from pyarrow import parquet

    time = pyarrow.timestamp("ns", tz="UTC")
    schema = pyarrow.schema([(time_name(keys), time), *((tag_of(key), pyarrow.float64()) for key in keys)])
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in source:
            columns = [pyarrow.array(rows.t).cast(time), *_columns(rows)]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
            count += len(rows.t)
    return count
