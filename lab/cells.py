"""What stands in the cells of a text file: numbers as programs of several countries write them. No files, no errors."""

import re
from collections.abc import Sequence
from typing import Final

MISSING: Final = ("", "NaN", "nan", "NAN", "NA", "N/A", "#N/A", "null", "NULL", "None", "<NA>")
WIDE: Final = {0xFF01 + at: 0x21 + at for at in range(94)} | {0x3000: 0x20, 0x2212: 0x2D}
"""Full-width signs and the minus of typesetters; NFKC would also make 102 of 10²."""
POINTED: Final = re.compile(r"[+-]?(?=[,.]*\d)[\d,]*\.[\d,]*(e[+-]?\d+)?", re.I | re.A)
DECIMAL: Final = re.compile(r"[+-]?(\d+,\d*|,\d+)(e[+-]?\d+)?", re.I | re.A)
THOUSANDS: Final = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?", re.A)


def narrow(cell: str) -> str:
    """A cell with ASCII in place of full-width signs, without blanks around it."""
    return cell.strip() if cell.isascii() else cell.translate(WIDE).strip()


def commas(columns: Sequence[Sequence[str]]) -> tuple[bool | None, tuple[int, int] | None]:
    """What the commas in a file's numbers are.

    Args:
        columns: the cells of each column of numbers, narrow.

    Returns:
        True: decimal signs; False: between thousands; None: nothing tells. And the position (column, row) of the cell
        that shows it, or of the first doubtful one; None where no number has a comma or a point.
    """
    first: dict[bool | None, tuple[int, int]] = {}
    for column, cells in enumerate(columns):
        for row, cell in enumerate(cells):
            if "." in cell:
                if POINTED.fullmatch(cell):
                    return False, (column, row)
            elif "," in cell:
                decimal, thousands = DECIMAL.fullmatch(cell), THOUSANDS.fullmatch(cell)
                if decimal and thousands:
                    first.setdefault(None, (column, row))
                elif decimal:
                    first.setdefault(True, (column, row))
                elif thousands:
                    first.setdefault(False, (column, row))
    for reading in (True, False, None):
        if reading in first:
            return reading, first[reading]
    return False, None


def number(cell: str, decimal: bool) -> float | None:
    """The number in a narrow cell, its commas decimal signs or else between thousands; None where it is none."""
    if "," in cell:
        if not (DECIMAL if decimal else THOUSANDS).fullmatch(cell):
            return None
        cell = cell.replace(",", "." if decimal else "")
    try:
        return None if "_" in cell else float(cell)  # Python alone would take 1_000
    except ValueError:
        return None
