"""Tables in text files: names, units under them, cells as texts and as numbers.

Cells are separated by commas, semicolons or tabs. What commas in the numbers mean is decided once (`lab.cells`).
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from lab.cells import (
    DECIMAL,
    ELAPSED_NAMES,
    MISSING,
    THOUSANDS,
    TIME_LIKE,
    TIME_NAMES,
    commas,
    elapsed_unit,
    missing,
    narrow,
    number,
)
from lab.longtable import STATES
from lab.tablesource import Codes, Floats, Source, Times, check_names, coded_cells
from lab.text import text
from lab.textfile import TITLE_LINES, TableError, is_value, read_text, split_cells

if TYPE_CHECKING:
    import pyarrow

UNITED: Final = re.compile(r"[+-]?\d[\d.,]* *[^\d\s.,_].*", re.A)
"""A number and something after it: 85.2℃."""
UNIT_LINES: Final = 3
"""So many lines of units or further names may be under the header."""


class CsvSource(Source):
    def __init__(self, path: Path, raw: bytes) -> None:
        self.path = path
        self._text = read_text(path, raw)
        self.names, self.line = self._text.head, self._text.line
        check_names(path, self.names, self.line)
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

    def distinct(self, column: int) -> int:
        import pyarrow.compute as pc

        return int(pc.count_distinct(self._read([column]).column(0)).as_py())

    def coded(self, columns: Sequence[int]) -> list[tuple[Codes, list[str]]]:
        return [coded_cells(cells) for cells in self._read(columns, coded=True).columns]

    def some_numbers(self, column: int, rows: NDArray[np.intp], named: Callable[[int], str]) -> Floats:
        values = self._floats([column], ".")
        if values is not None and not np.isinf(values[rows, 0]).any():
            return np.asarray(values[rows, 0])
        ((codes, cells),) = self.coded([column])
        distinct = DistinctCells(self, {column: cells}, codes, rows, named)
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


class DistinctCells(CsvSource):
    """The different cells of some columns of a file, in the order in which they come, as rows."""

    def __init__(
        self,
        whole: Source,
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
