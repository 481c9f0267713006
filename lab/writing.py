"""Files that appear whole or not at all, and tables written into them."""

import codecs
import csv
import gzip
import io
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lab.text import text
from lab.textfile import TableError


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
