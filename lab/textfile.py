"""Text files of tables as lines and cells: encoding, delimiter, the header and what stands above it."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from lab.cells import CLOCK, decode, delimiter, missing, narrow, number, stamped
from lab.text import text

BLANKS: Final = " \t\r\n\u3000,;\x1a\0"
"""What may follow the last row: Excel's empty rows, the end mark of DOS, a block that was never written."""
TITLE_LINES: Final = 30
"""A header is looked for in the first so many lines."""
ANNOTATION: Final = re.compile(r"^#(?:group|datatype|default)\b.*$", re.M)
"""A line in which InfluxDB says of what type its columns are."""
HEADER_LINES: Final = 10
"""So many a header itself may have, its names broken into lines."""


class TableError(Exception):
    """The file cannot be used; the text names file, line and column and says what to do."""


def read_bytes(path: Path) -> bytes:
    """What is in a file, unpacked if its name ends in .gz.

    Raises:
        TableError: it cannot be read.
    """
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.suffix.lower() == ".gz" else raw
    except FileNotFoundError:
        raise TableError(text("table.absent", path=path)) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TableError(text("table.gzip", path=path, reason=error)) from error
    except OSError as error:
        raise TableError(text("table.unreadable", path=path, reason=error.strerror)) from error


class TextFile(NamedTuple):
    """A text file from its header line on, without what follows its last row."""

    path: Path
    content: str
    delimiter: str
    head: list[str]
    line: int
    """The header's, from 1."""
    notes: tuple[str, ...]
    """What was left out above the header and after the last row, in words."""

    def rows(self, characters: int | None = None) -> Iterator[tuple[int, list[str]]]:
        """Line number and cells of every row after the header, blank lines left out.

        Raises:
            TableError: a line cannot be taken apart.
        """
        reader = csv.reader(io.StringIO(self.content[:characters], newline=""), delimiter=self.delimiter)
        cells = (row for row in reader if row)
        try:
            next(cells)
            for row in cells:
                yield self.line - 1 + reader.line_num, row
        except csv.Error as error:
            line = self.line - 1 + reader.line_num
            raise TableError(text("table.field", path=self.path, line=line, reason=error)) from error


def read_text(path: Path, raw: bytes | None = None) -> TextFile:
    """A text file as its lines and cells.

    Args:
        path: the file.
        raw: what is in it, where that is known.

    Raises:
        TableError: it cannot be read, is empty, or no text.
    """
    try:
        content = decode(read_bytes(path) if raw is None else raw)
    except UnicodeDecodeError as error:
        raise TableError(text("table.encoding", path=path, byte=error.start + 1)) from error
    if "\n" not in content and "\r" in content:  # line ends of an old Macintosh
        content = content.replace("\r", "\n")
    kept = len(content.rstrip(BLANKS))
    if not kept:
        raise TableError(text("table.empty", path=path))
    end = content.find("\n", kept) + 1 or len(content)
    left = sum(1 for line in content[end:].split("\n") if line.strip("\r"))
    content = content[:end].rstrip("\x1a\0")
    if "\0" in content[:65536]:
        raise TableError(text("table.binary", path=path))
    if ANNOTATION.match(content):
        content = _without_annotations(content)
    start, sign, titles = _find_header(path, content)
    line = content.count("\n", 0, start) + 1
    content = content[start:]
    parts = content[: 1 << 20].split("\n", HEADER_LINES)
    lines = next((n for n in range(1, len(parts) + 1) if "\n".join(parts[:n]).count('"') % 2 == 0), 0)
    if not lines or lines > HEADER_LINES:
        raise TableError(text("table.quotes", path=path, line=line))
    # names broken into lines, as in Excel's cells, on one; the blank lines in their place keep the numbers of the rows
    broken = "\n".join(parts[:lines])
    head = re.sub(r"\s*\n\s*", " ", broken).rstrip("\r")
    if lines > 1:
        content = head + "\n" * (lines - 1) + content[len(broken) :]
    sign = sign or delimiter(head)
    names = [cell.strip() for cell in split_cells(path, line, head, sign)]
    notes = [text("table.titles", path=path, line=line, count=titles)] if titles else []
    if left:
        notes.append(text("table.tail", path=path, count=left))
    return TextFile(path, content, sign, names, line, tuple(notes))


def _without_annotations(content: str) -> str:
    """A file of InfluxDB with blank lines for what it says of its columns, and for headers that come again."""
    content = ANNOTATION.sub("", content)
    head = re.search(r"^.*[^\s].*$", content, re.M)
    if head is None:
        return content
    again = re.compile(f"^{re.escape(head[0])}$", re.M)
    return content[: head.end()] + again.sub("", content[head.end() :])


def _find_header(path: Path, content: str) -> tuple[int, str, int]:
    """Where the header begins, the delimiter that a line above it names (else empty), and how many titles are there.

    A title is a line of one cell above a line of several names.
    """
    start, sign, alone, first = 0, "", 0, -1
    for at, line in enumerate(content[: 1 << 20].split("\n", TITLE_LINES)[:TITLE_LINES], start=1):
        if first < 0 and (named := re.fullmatch(r'"?sep=([,;\t|])"?[,;\t]*\r?', line, re.I)):
            sign = named[1]
        elif line.strip(BLANKS):
            first = start if first < 0 else first
            if line.count('"') % 2:  # names broken into lines
                return start, sign, alone
            cells = [cell for cell in split_cells(path, at, line, sign or delimiter(line)) if cell.strip()]
            if len(cells) > 1:
                names = not any(missing(cell) or is_value(cell) for cell in map(narrow, cells))
                return (start, sign, alone) if names else (first, sign, 0)
            if any(is_value(cell) and not stamped(cell) for cell in map(narrow, cells)):  # a reading of one sensor
                return first, sign, 0
            alone += len(cells)
        start += len(line) + 1
    return max(first, 0), sign, 0


def split_cells(path: Path, number: int, line: str, sign: str) -> list[str]:
    """The cells of one line.

    Raises:
        TableError: it cannot be taken apart.
    """
    try:
        return next(csv.reader([line], delimiter=sign))
    except csv.Error as error:
        raise TableError(text("table.field", path=path, line=number, reason=error)) from error


def is_value(cell: str) -> bool:
    """Whether a narrow cell holds a number, a date or a time of day."""
    return (
        number(cell, decimal=True) is not None
        or number(cell, decimal=False) is not None
        or stamped(cell)
        or re.fullmatch(CLOCK, cell, re.I) is not None
    )
