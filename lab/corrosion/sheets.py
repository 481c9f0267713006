"""Files as people keep them: CSV (UTF-8 or cp932) and Excel, a title above the header, empty rows between."""

import csv
import io
import math
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from lab.corrosion.cells import UNITS, Cell, fold_unit, plain_text
from lab.corrosion.columns import TABLES, TableName, propose, score, split_unit
from lab.tables import TableError
from lab.text import text

HEADER_ROWS: Final = 30
"""A header is looked for in the first so many rows."""
MAX_BYTES: Final = 200 * 1024**2
"""Of a workbook unpacked: more is no inspection file."""


class Sheet(NamedTuple):
    """One table of a file."""

    file: str
    """Its name for messages; a workbook's with the sheet: `points.xlsx [2024]`."""
    headers: list[str]
    rows: list[list[Cell]]
    numbers: list[int]
    """The row of the file that each row stood in, from 1."""


class Use(msgspec.Struct, forbid_unknown_fields=True):
    """Where a column of a table comes from: an entry of a mapping file."""

    column: str | None = None
    unit: str = ""
    words: dict[str, str] = {}
    """What a plant writes for each of our words, theirs first."""
    value: str | float | None = None
    """One value for every row, instead of a column."""


Mapped = Mapping[TableName, Mapping[str, Use]]


def read_mapping(path: Path) -> dict[TableName, dict[str, Use]]:
    """Read a mapping file (TOML, or JSON by its ending): one section a table, one entry a column.

    Raises:
        TableError: it cannot be read, or names a table, column or unit that there is not.
    """
    try:
        raw = path.read_bytes()
        given: Any = (
            msgspec.json.decode(raw) if path.suffix.lower() == ".json" else tomllib.loads(raw.decode("utf-8-sig"))
        )
    except OSError as error:
        raise TableError(text("table.unreadable", path=path, reason=error.strerror)) from error
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TableError(text("corrosion.map.unreadable", path=path, reason=error)) from error
    if not isinstance(given, dict):
        raise TableError(text("corrosion.map.unreadable", path=path, reason=type(given).__name__))
    mapping: dict[TableName, dict[str, Use]] = {}
    for table, entries in given.items():
        if table not in TABLES or not isinstance(entries, dict):
            raise TableError(text("corrosion.map.table", path=path, name=table, names=", ".join(TABLES)))
        uses: dict[str, Use] = {}
        for key, entry in entries.items():
            if key not in TABLES[table]:
                raise TableError(
                    text("corrosion.map.column", path=path, table=table, name=key, names=", ".join(TABLES[table]))
                )
            try:
                use = Use(column=entry) if isinstance(entry, str) else msgspec.convert(entry, Use)
            except msgspec.ValidationError as error:
                raise TableError(text("corrosion.map.entry", path=path, table=table, name=key, reason=error)) from error
            if use.unit and fold_unit(use.unit) not in UNITS:
                raise TableError(text("corrosion.map.unit", path=path, table=table, name=key, unit=use.unit))
            uses[key] = use
        mapping[table] = uses
    return mapping


def read_sheets(path: Path) -> list[tuple[str, list[list[Cell]]]]:
    """The raw rows of every table in a file: one of a CSV file, one a sheet of a workbook.

    Raises:
        TableError: the file is absent, unreadable, of no known kind, or empty.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise TableError(text("table.absent", path=path)) from None
    except OSError as error:
        raise TableError(text("table.unreadable", path=path, reason=error.strerror)) from error
    return parse_sheets(path.name, raw)


def parse_sheets(name: str, raw: bytes) -> list[tuple[str, list[list[Cell]]]]:
    """`read_sheets` of a file's content; `name` is for messages.

    Raises:
        TableError: as there.
    """
    if raw[:2] == b"PK":
        sheets = _parse_workbook(name, raw)
    elif raw[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise TableError(text("corrosion.file.xls", path=name))
    else:
        sheets = [(name, _parse_csv(name, raw))]
    sheets = [(label, rows) for label, rows in sheets if any(any(plain_text(cell) for cell in row) for row in rows)]
    if not sheets:
        raise TableError(text("table.empty", path=name))
    return sheets


def _parse_csv(name: str, raw: bytes) -> list[list[Cell]]:
    if b"\0" in raw[:65536] and raw[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise TableError(text("table.binary", path=name))
    for encoding in ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp932"):
        try:
            content = raw.decode(encoding)
            break
        except UnicodeDecodeError as error:
            failed = error.start
    else:
        raise TableError(text("table.encoding", path=name, byte=failed + 1))
    head = content[:20000].splitlines()[:HEADER_ROWS]
    delimiter = max(",;\t", key=lambda mark: sum(line.count(mark) for line in head))
    try:
        return [list(row) for row in csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)]
    except csv.Error as error:
        raise TableError(text("table.csv", path=name, reason=error)) from error


def _parse_workbook(name: str, raw: bytes) -> list[tuple[str, list[list[Cell]]]]:
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            if sum(entry.file_size for entry in packed.infolist()) > MAX_BYTES:
                raise TableError(text("corrosion.file.large", path=name, most=MAX_BYTES // 1024**2))
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, OSError) as error:
        raise TableError(text("corrosion.file.workbook", path=name, reason=error)) from error
    try:
        return [
            (f"{name} [{sheet.title}]", [[_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)])
            for sheet in book.worksheets
        ]
    finally:
        book.close()


def _cell(value: object) -> Cell:
    if value is None or isinstance(value, str | datetime):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time())
    return str(value)


def find_table(
    sheets: Iterable[tuple[str, list[list[Cell]]]], table: TableName, uses: Mapping[str, Use] | None
) -> Sheet:
    """The sheet and header row that look most like a table.

    Raises:
        TableError: no row is a header of that table.
    """
    best: tuple[float, str, int, list[list[Cell]]] | None = None
    wanted = {plain_text(use.column) for use in (uses or {}).values() if use.column}
    candidates = [
        (label, position, [plain_text(cell) for cell in row], rows)
        for label, rows in sheets
        for position, row in enumerate(rows[:HEADER_ROWS])
    ]
    first = next((headers for _, _, headers, _ in candidates if sum(bool(header) for header in headers) > 1), [])
    for exact in (True, False):  # names that are only alike are looked for where none is known
        for label, position, headers, rows in candidates:
            # a row with what the mapping names goes before every other
            value = 1000.0 * len(wanted & set(headers)) + score(headers, table, exact)
            if value > 0 and (best is None or value > best[0]):
                best = (value, label, position, rows)
        if best is not None:
            break
    if best is None:
        label = candidates[0][0] if candidates else ""
        raise TableError(text(f"corrosion.file.no_{table}", path=label, columns=", ".join(filter(None, first[:40]))))
    _, label, position, rows = best
    headers = [plain_text(cell) for cell in rows[position]]
    kept = [
        (number, row)
        for number, row in enumerate(rows[position + 1 :], position + 2)
        if any(plain_text(cell) for cell in row)
    ]
    width = len(headers)
    return Sheet(
        label,
        headers,
        [[*row[:width], *[None] * (width - len(row))] for _, row in kept],
        [number for number, _ in kept],
    )


class Source(NamedTuple):
    """Where a column of a table is read: a position in the sheet, or one value for all rows."""

    position: int | None
    unit: str
    words: Mapping[str, str]
    value: str | float | None
    header: str
    likeness: float


def sources(sheet: Sheet, table: TableName, uses: Mapping[str, Use] | None) -> dict[str, Source]:
    """Which columns of a sheet are which of a table's: by the mapping, the others as the headers propose.

    Raises:
        TableError: the mapping names a column that is not there, or a column without which nothing can be done lacks.
    """
    found: dict[str, Source] = {}
    for key, use in (uses or {}).items():
        if use.column is None:
            found[key] = Source(None, use.unit, use.words, use.value, "", 1.0)
            continue
        name = plain_text(use.column)
        if name not in sheet.headers:
            columns = ", ".join(filter(None, sheet.headers))
            raise TableError(text("table.no_column", path=sheet.file, column=use.column, columns=columns))
        unit = use.unit or split_unit(name)[1]
        found[key] = Source(sheet.headers.index(name), unit, use.words, None, name, 1.0)
    taken = {source.position for source in found.values()}
    rest = ["" if position in taken else header for position, header in enumerate(sheet.headers)]
    for key, (position, likeness) in propose(rest, table).items():
        if key not in found:
            header = sheet.headers[position]
            found[key] = Source(position, split_unit(header)[1], {}, None, header, likeness)
    lacking = [key for key, column in TABLES[table].items() if column.required and key not in found]
    if table == "inspections" and not {"line", "point"} & set(found):
        lacking.append("line")
    if table == "inspections" and not {"reading", "loss", "loss_low", "loss_high", "finding"} & set(found):
        lacking.append("reading")  # a column a year or a side of the pipe: nothing could be used
    if lacking:
        names = ", ".join(f"{key} ({' / '.join(TABLES[table][key].names[:2])})" for key in lacking)
        columns = ", ".join(filter(None, sheet.headers))
        raise TableError(text("corrosion.file.lacks", path=sheet.file, names=names, columns=columns))
    return found


def propose_mapping(files: Iterable[Path]) -> str:
    """A mapping file for the tables that files hold, each recognised by its headers.

    Raises:
        TableError: a file cannot be read, or no table is recognised in it.
    """
    found: dict[TableName, tuple[Sheet, Mapping[str, Source]]] = {}
    best: dict[TableName, float] = {}
    wanted: tuple[TableName, ...] = ("lines", "points", "inspections", "weather")
    for path in files:
        recognised = False
        for label, rows in read_sheets(path):
            heads = [[plain_text(cell) for cell in row] for row in rows[:HEADER_ROWS]]
            for exact in (True, False):
                marks = {table: max((score(head, table, exact) for head in heads), default=0.0) for table in wanted}
                table = max(wanted, key=lambda name: marks[name])
                if marks[table] >= 2:
                    break
            if marks[table] < 2:
                continue
            recognised = True
            if marks[table] > best.get(table, 0.0):
                sheet = find_table([(label, rows)], table, None)
                best[table] = marks[table]
                found[table] = (
                    sheet,
                    {
                        key: Source(at, split_unit(sheet.headers[at])[1], {}, None, sheet.headers[at], likeness)
                        for key, (at, likeness) in propose(sheet.headers, table).items()
                    },
                )
        if not recognised:
            raise TableError(text("corrosion.map.nothing", path=path))
    return mapping_toml({table: found[table] for table in wanted if table in found})


def mapping_toml(proposals: Mapping[TableName, tuple[Sheet, Mapping[str, Source]]]) -> str:
    """A mapping file that says what was recognised, with what was not as comments."""
    lines: list[str] = []
    for table, (sheet, found) in proposals.items():
        lines += [f"# {sheet.file}", f"[{table}]"]
        for key in TABLES[table]:
            if key not in found:
                continue
            source = found[key]
            column = _quoted(source.header)
            entry = f"{{ column = {column}, unit = {_quoted(source.unit)} }}" if source.unit else column
            sure = (
                "" if source.likeness >= 0.95 else "  # " + text("corrosion.map.unsure", share=f"{source.likeness:.0%}")
            )
            lines.append(f"{key} = {entry}{sure}")
        used = {source.position for source in found.values()}
        unknown = [header for position, header in enumerate(sheet.headers) if header and position not in used]
        if unknown:
            lines.append("# " + text("corrosion.map.unknown", columns=", ".join(unknown)))
        free = [key for key in TABLES[table] if key not in found]
        if free:
            lines.append("# " + text("corrosion.map.free", columns=", ".join(free)))
        lines.append("")
    return "\n".join(lines)


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
