"""Tables in Parquet files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lab.tablesource import Codes, Floats, Source, Times, check_names, coded_cells
from lab.text import text
from lab.textfile import TableError

if TYPE_CHECKING:
    import pyarrow


class ParquetSource(Source):
    def __init__(self, path: Path, table: "pyarrow.Table") -> None:
        self.path = path
        self._table = table
        self.names = list(table.column_names)
        self.rows = table.num_rows
        check_names(path, self.names)

    def place(self, row: int) -> str:
        return text("table.row", number=row + 1)

    def first(self, column: int) -> str:
        return self._texts(self._table.column(column).slice(0, 1))[0]

    def is_text(self, column: int) -> bool:
        import pyarrow

        kind = self._table.column(column).type
        if pyarrow.types.is_dictionary(kind):
            kind = kind.value_type
        # a state (true, false) is a number of a wide table
        return not pyarrow.types.is_boolean(kind) and super().is_text(column)

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

    def distinct(self, column: int) -> int:
        import pyarrow
        import pyarrow.compute as pc

        cells = self._table.column(column)
        if pyarrow.types.is_dictionary(cells.type):
            cells = pc.cast(cells, cells.type.value_type)
        try:
            return int(pc.count_distinct(cells).as_py())
        except pyarrow.ArrowNotImplementedError:
            return len(set(self._texts(cells)))

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
            found.append(coded_cells(cells))
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
        import pyarrow

        cells = self._table.column(column)
        if cells.type != pyarrow.uint8() or cells.null_count:
            return None
        return np.asarray(cells.to_numpy(), dtype=np.uint8)


def parquet_source(path: Path, raw: bytes) -> ParquetSource:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(pyarrow.BufferReader(raw), page_checksum_verification=True)
        table.validate(full=True)
        return ParquetSource(path, table)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TableError(text("table.parquet", path=path, reason=error)) from error
