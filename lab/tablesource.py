"""What a file of a table is to those who read it: columns by name, as texts or as numbers."""

from collections.abc import Callable, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lab.cells import STAMP, missing, narrow
from lab.text import text
from lab.textfile import TableError, is_value

if TYPE_CHECKING:
    import pyarrow

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Codes = NDArray[np.int32]


class Source:
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

    def is_text(self, column: int) -> bool:
        """Whether the cell of the first row is neither a number, a time nor missing."""
        cell = narrow(self.first(column))
        return not (missing(cell) or is_value(cell))

    def texts(self, column: int) -> Sequence[str]:
        raise NotImplementedError

    def stamps(self, column: int) -> tuple[Times, bool] | None:
        """Times that the file itself holds as times, and whether they have a zone."""
        raise NotImplementedError

    def numbers(self, columns: Sequence[int]) -> Floats:
        raise NotImplementedError

    def distinct(self, column: int) -> int:
        """How many different cells a column has."""
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

    def own_codes(self, column: int) -> NDArray[np.uint8] | None:
        """A column (n,) of the type in which the lab writes its quality codes; None of another, and where none is."""
        return None


def check_names(path: Path, names: Sequence[str], line: int = 1) -> None:
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


def coded_cells(column: "pyarrow.ChunkedArray") -> tuple[Codes, list[str]]:
    """Which of its different cells each row of a column of texts kept once has, and these without blanks around."""
    column = column.unify_dictionaries()
    cells = ["" if cell is None else str(cell).strip() for cell in column.chunk(0).dictionary.to_pylist()]
    codes = np.concatenate([chunk.indices.fill_null(len(cells)).to_numpy() for chunk in column.chunks])
    return coded_once(codes, [*cells, ""])


def coded_once(codes: NDArray[np.integer], cells: Sequence[str]) -> tuple[Codes, list[str]]:
    """The same with each cell once, and without those that no row has."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(cells))).tolist()
    if len(used) == len(cells) == len(set(cells)):
        return codes.astype(np.int32, copy=False), list(cells)
    at: dict[str, int] = {}
    new = np.zeros(len(cells), dtype=np.int32)
    for code in used:
        new[code] = at.setdefault(cells[code], len(at))
    return new[codes], list(at)
