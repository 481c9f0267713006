"""A plant's files read into the tables an assessment works on; rows that cannot be right are listed and kept out."""

import dataclasses
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from lab.corrosion import cells
from lab.corrosion.cells import OUTER_MM, SCHEDULES, Cell, CellError, fold
from lab.corrosion.columns import TABLES, Column, TableName, codes
from lab.corrosion.sheets import Mapped, Sheet, Source, Use, find_table, parse_sheets, read_sheets, sources
from lab.tables import TableError
from lab.text import text
from models.corrosion import coefficients, tables
from models.corrosion.tables import Inspections, Lines, Points, Weather

THICKER: Final = 1.25
"""A reading above so many times the nominal wall is a slip: mill tolerance is an eighth."""
THINNER: Final = 0.05
"""A reading below this share of the nominal wall is one too."""
SLIPS: Final = ((10.0, "point"), (0.1, "point"), (25.4, "inch"), (1 / 25.4, "inch"), (100.0, "point"), (0.01, "point"))
SCREENING_LIMIT_MM: Final = dict(zip(tables.METHOD, coefficients.row("screening.limit").tolist(), strict=True))
"""What a method misses at most when it finds nothing."""
UNKNOWN_AGE_Y: Final = int(coefficients.row("assumed.age")[0])
UNMEASURED: Final = "unmeasured"

Progress = Callable[[int, int], None]
"""Told of rows done and rows in all."""


class KeptOut(msgspec.Struct, frozen=True):
    """A row that was not used, and why."""

    file: str
    row: int
    """As Excel counts; 0 is the whole file."""
    column: str
    """The header; empty where it is the row as a whole."""
    cell: str
    code: str
    values: dict[str, str | float] = {}
    table: str = ""

    def reason(self, lang: str | None = None) -> str:
        """Why, in words."""
        return text(f"corrosion.out.{self.code}", lang, **self.values)


class Gap(msgspec.Struct, frozen=True):
    """Something the files do not say, and what was taken instead."""

    table: str
    column: str
    count: int
    total: int
    taken: str = ""
    """Key of the text under `corrosion.gap.`; empty: the model treats it as unknown."""
    values: dict[str, str | float] = {}


class Reading(msgspec.Struct, frozen=True):
    """How a file was understood: which header is which column, in which unit."""

    file: str
    table: str
    rows: int
    used: int
    columns: dict[str, tuple[str, str]]
    """Header and unit of each column that was recognised."""
    ignored: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Register:
    """Everything known of a plant's piping."""

    lines: Lines
    points: Points
    inspections: Inspections
    weather: Weather
    unmeasured: tables.Flags
    """(P,) points that stand for a line nobody has measured."""
    kept_out: list[KeptOut] = dataclasses.field(default_factory=list)
    gaps: list[Gap] = dataclasses.field(default_factory=list)
    readings: list[Reading] = dataclasses.field(default_factory=list)
    rows: int = 0
    """Rows read in all."""


Record = dict[str, Any]


class _Table(NamedTuple):
    sheet: Sheet
    sources: dict[str, Source]
    records: list[tuple[int, Record]]
    """Row number and values by column; an absent or empty one is missing."""


def _parse(cell: Cell, column: Column, source: Source) -> Any:
    if column.kind == "number":
        value = cells.number(cell, source.unit, column.quantity)
        if math.isnan(value):
            return None
        if not column.lo <= value <= column.hi:
            raise CellError("range", lo=f"{column.lo:g}", hi=f"{column.hi:g}", got=f"{value:.4g}")
        return value
    if column.kind == "date":
        return cells.day(cell)
    if column.kind in {"code", "flag"}:
        code = cells.word(cell, column.words, source.words)
        return None if code < 0 else code
    if cells.is_empty(cell):
        return None
    return cells.plain_text(cell)


def _records(
    sheet: Sheet, table: TableName, uses: Mapping[str, Any] | None, out: list[KeptOut], progress: Progress | None = None
) -> _Table:
    found = sources(sheet, table, uses)
    columns = TABLES[table]
    records: list[tuple[int, Record]] = []
    for at, (number, row) in enumerate(zip(sheet.numbers, sheet.rows, strict=True)):
        if progress and at % 5000 == 0:
            progress(at, len(sheet.rows))
        record: Record = {}
        for key, source in found.items():
            cell = source.value if source.position is None else row[source.position]
            try:
                if table == "inspections" and key in {"reading", "loss"}:
                    value = _measured(cell, key, source, row, found)
                else:
                    if table == "inspections" and columns[key].quantity == "length" and not source.unit:
                        source = source._replace(unit=_own_unit(row, found))
                    value = _parse(cell, columns[key], source)
            except CellError as error:
                code = f"word_{key}" if error.code == "word" and key in {"insulation", "method", "part"} else error.code
                values = {name: str(given) for name, given in error.values.items()}
                out.append(
                    KeptOut(sheet.file, number, source.header, cells.plain_text(cell)[:80], code, {**values}, table)
                )
                break
            if value is not None:
                record[key] = value
        else:
            missing = next((key for key, column in columns.items() if column.required and key not in record), None)
            if missing:
                out.append(KeptOut(sheet.file, number, found[missing].header, "", "missing", {}, table))
            else:
                records.append((number, record))
    return _Table(sheet, found, records)


def read_findings(name: str, raw: bytes, out: list[KeptOut]) -> tuple[str, list[tuple[int, Record]]]:
    """The inspections of a file's content: the table's name, and each row's number with its record.

    Raises:
        TableError: the file cannot be used.
    """
    table = _records(find_table(parse_sheets(name, raw), "inspections", None), "inspections", None, out)
    return table.sheet.file, table.records


def read_records(path: Path, table: TableName, uses: Mapping[str, Use] | None, out: list[KeptOut]) -> "_Table":
    """The rows of one file as records; what cannot be read goes to `out`.

    Raises:
        TableError: the file cannot be used.
    """
    return _records(find_table(read_sheets(path), table, uses), table, uses, out)


def _own_unit(row: Sequence[Cell], found: Mapping[str, Source]) -> str:
    own = found.get("unit")
    return "" if own is None else cells.plain_text(own.value if own.position is None else row[own.position])


def _measured(cell: Cell, key: str, source: Source, row: Sequence[Cell], found: Mapping[str, Source]) -> Any:
    """A thickness or a loss in mm, in the row's own unit where it has one; `<0.5` is the interval below it."""
    unit = _own_unit(row, found) or source.unit
    if (limit := cells.below(cell)) is not None:
        if key == "reading":
            raise CellError("number")
        return (0.0, cells.convert(limit[0], limit[1] or unit, "length"))
    value = cells.number(cell, unit, "length")
    return None if math.isnan(value) else value


def read_register(
    lines: Path,
    inspections: Path | None,
    points: Path | None = None,
    weather: Path | None = None,
    *,
    at: date,
    mapping: Mapped | None = None,
    progress: Progress | None = None,
) -> Register:
    """Read a plant's files.

    Args:
        lines: the pipe lines.
        inspections: thickness readings and findings; None: nothing was ever measured.
        points: places that can be measured; without it every place that was inspected is one.
        weather: the site's weather, one row of yearly means or a row a day or month.
        at: the day of the assessment; what is dated after it is kept out.
        mapping: which header is which column, by table; a table that is not in it is recognised by its headers.
        progress: told of the inspections' rows.

    Raises:
        TableError: a file cannot be used at all.
    """
    paths: dict[TableName, Path | None] = {
        "lines": lines,
        "points": points,
        "inspections": inspections,
        "weather": weather,
    }
    files = {table: read_sheets(path) for table, path in paths.items() if path is not None}
    return build_register(files, at=at, mapping=mapping, progress=progress)


def build_register(
    files: Mapping[TableName, list[tuple[str, list[list[Cell]]]]],
    *,
    at: date,
    mapping: Mapped | None = None,
    progress: Progress | None = None,
) -> Register:
    """`read_register` of files already read by `lab.corrosion.sheets`.

    Raises:
        TableError: as there.
    """
    out: list[KeptOut] = []
    gaps: list[Gap] = []
    mapping = mapping or {}
    read: dict[TableName, _Table] = {}
    wanted: tuple[TableName, ...] = ("lines", "points", "inspections")
    for table in wanted:
        if table in files:
            sheet = find_table(files[table], table, mapping.get(table))
            told = progress if table == "inspections" else None
            read[table] = _records(sheet, table, mapping.get(table), out, told)
    shared = "inspections" in read and read["inspections"].sheet.file == read["lines"].sheet.file
    line_rows = _check_lines(read["lines"], at, shared, out)
    refused = {entry.cell for entry in out if entry.table == "lines" and entry.code == "twice"}
    names = {record["id"]: k for k, (_, record) in enumerate(line_rows)}
    all_names = {cells.plain_text(row[source.position]) for row in read["lines"].sheet.rows
                 if (source := read["lines"].sources["id"]).position is not None}  # fmt: skip
    lost = all_names - set(names) - refused
    point_rows = _check_points(read.get("points"), names, lost, out)
    found = _check_inspections(read.get("inspections"), line_rows, names, lost, point_rows, "points" in read, at, out)
    built_lines = _build_lines(line_rows, found, at, gaps)
    if found and "at" not in read["inspections"].sources:
        gaps.append(Gap("inspections", "at", len(found), len(found), "at"))
    return _assemble(built_lines, point_rows, found, read, files, mapping, at, out, gaps)


def _raw(table: _Table, number: int, source: Source | None) -> str:
    """What stands in the file, as it stands there."""
    if source is None or source.position is None:
        return ""
    return cells.plain_text(table.sheet.rows[bisect_left(table.sheet.numbers, number)][source.position])[:80]


def _check_lines(table: _Table, at: date, shared: bool, out: list[KeptOut]) -> list[tuple[int, Record]]:
    kept: list[tuple[int, Record]] = []
    seen: set[str] = set()
    for number, record in table.records:

        def refuse(key: str, code: str, number: int = number, **values: str | float) -> None:
            source = table.sources.get(key)
            header = source.header if source else ""
            out.append(KeptOut(table.sheet.file, number, header, _raw(table, number, source), code, values, "lines"))

        if record["id"] in seen:
            if not shared:  # a file that is inspections too names a line in each row
                refuse("id", "twice")
            continue
        schedule = _schedule(record)
        if "t_nom" not in record and schedule is not None:
            record["t_nom"] = schedule
        if "installed" in record and record["installed"] > at:
            refuse("installed", "future", at=at.isoformat())
        elif "coated_on" in record and record["coated_on"] > at:
            refuse("coated_on", "future", at=at.isoformat())
        elif (
            "coated_on" in record
            and "installed" in record
            and record["coated_on"] < record["installed"] - timedelta(days=731)
        ):
            refuse("coated_on", "before_installed", installed=record["installed"].isoformat())
        elif "t_req" in record and "t_nom" in record and record["t_req"] > record["t_nom"]:
            refuse("t_req", "t_req", t_nom=f"{record['t_nom']:g}")
        elif "diameter" in record and "t_nom" in record and record["diameter"] <= 2 * record["t_nom"]:
            refuse("diameter", "diameter", t_nom=f"{record['t_nom']:g}")
        elif "pipe_class" in record and record["pipe_class"] not in (1, 2, 3):
            refuse("pipe_class", "pipe_class")
        elif record.get("t_min", -math.inf) > record.get("t_max", math.inf):
            refuse("t_min", "cycle", t_max=f"{record['t_max']:g}")
        else:
            seen.add(record["id"])
            kept.append((number, record))
    return kept


def _schedule(record: Record) -> float | None:
    said = str(record.get("schedule", "")).casefold().replace("sch", "").replace(".", "").strip(" #no")
    said = {"std": "40", "xs": "80"}.get(said, said)
    return SCHEDULES.get(said, {}).get(float(record["nps"])) if "nps" in record else None


def _check_points(table: _Table | None, names: Mapping[str, int], lost: set[str], out: list[KeptOut]) -> list[Record]:
    """Points by line and place; a place is unique within its line."""
    kept: list[Record] = []
    if table is None:
        return kept
    seen: set[tuple[str, str]] = set()
    for number, record in table.records:
        line = record.get("line")
        place = record["id"]
        source = table.sources.get("line")
        if line is None:  # `L-101-03` says which line it is on
            line = max((name for name in names if place.startswith(name)), key=len, default="")
        if line not in names:
            code = "line_out" if line in lost else "line"
            out.append(
                KeptOut(
                    table.sheet.file, number, source.header if source else "", str(line or place), code, {}, "points"
                )
            )
        elif (line, place) in seen:
            out.append(KeptOut(table.sheet.file, number, table.sources["id"].header, place, "twice", {}, "points"))
        else:
            seen.add((line, place))
            kept.append({**record, "line": line})
    return kept


def _check_inspections(
    table: _Table | None,
    line_rows: list[tuple[int, Record]],
    names: Mapping[str, int],
    lost: set[str],
    points: list[Record],
    declared: bool,
    at: date,
    out: list[KeptOut],
) -> list[Record]:
    """Findings with `line` (row in the lines) and `place`."""
    kept: list[Record] = []
    if table is None:
        return kept
    places = {(point["line"], point["id"]) for point in points}
    by_place: dict[str, str] = {}
    for point in points:
        by_place[point["id"]] = "" if point["id"] in by_place else point["line"]
    seen: set[tuple[Any, ...]] = set()
    dated = "at" in table.sources
    for number, record in table.records:
        if not dated:
            record["at"] = at

        def refuse(refused: Refused, number: int = number) -> None:
            source = table.sources.get(refused.key)
            header = source.header if source else ""
            raw = _raw(table, number, source)
            out.append(KeptOut(table.sheet.file, number, header, raw, refused.code, refused.values, "inspections"))

        place = str(record.get("point", ""))
        line = record.get("line") or by_place.get(place) or None
        if line is None and place:
            line = max((name for name in names if place.startswith(name)), key=len, default=None)
        if line is None or line not in names:
            column = "line" if "line" in record or "line" in table.sources else "point"
            refuse(Refused(column, "line_out" if line in lost else "line"))
            continue
        if declared and (line, place) not in places:
            refuse(Refused("point", "point"))
            continue
        row = names[line]
        try:
            finding = check_finding(record, line_rows[row][1], at)
            key = (line, place, *identity(finding))
            if key in seen:
                raise Refused("reading", "duplicate")
        except Refused as refused:
            refuse(refused)
            continue
        seen.add(key)
        kept.append({**finding, "line": line, "place": place, "row": row})
    return kept


class Refused(Exception):
    """A finding that cannot be right: its column, the code of the text `corrosion.out.{code}`, the text's values."""

    def __init__(self, key: str, code: str, **values: str) -> None:
        super().__init__(code)
        self.key, self.code = key, code
        self.values: dict[str, str | float] = {**values}


def identity(finding: Record) -> tuple[Any, ...]:
    """What two findings at a place share when one is a copy of the other."""
    return tuple(finding.get(key) for key in ("at", "method", "reading", "loss_low", "loss_high"))


def check_finding(record: Record, owner: Record, at: date) -> Record:
    """A finding with its thickness or its interval of loss, in mm; `owner` is its line.

    Raises:
        Refused: it cannot be right.
    """
    t_nom = owner.get("t_nom")
    loss, reading = record.get("loss"), record.get("reading")
    low, high = record.get("loss_low"), record.get("loss_high")
    if isinstance(loss, tuple):
        (low, high), loss = loss, None
    finding = _finding(record.get("finding"))
    if "at" not in record:
        raise Refused("at", "missing")
    if record["at"] > at:
        raise Refused("at", "future", at=at.isoformat())
    if "installed" in owner and record["at"] < owner["installed"]:
        raise Refused("at", "before_installed", installed=owner["installed"].isoformat())
    if reading is not None and reading <= 0:
        raise Refused("reading", "positive")
    if reading is None and loss is not None:
        if t_nom is None:
            raise Refused("loss", "loss_without_nominal")
        if loss < -0.15 * t_nom:
            raise Refused("loss", "negative_loss")
    if (low is not None or high is not None) and not 0 <= (low or 0.0) < (high if high is not None else math.inf):
        raise Refused("loss_low", "interval")
    if low is not None and t_nom is not None and low > t_nom:
        raise Refused("loss_low", "loss_deep", t_nom=f"{t_nom:g}")
    known = reading is not None or loss is not None or low is not None or high is not None
    if not known and finding is None:
        raise Refused("reading", "nothing")
    if not known and finding == "found":
        raise Refused("finding", "found_without_depth")
    column = "reading" if reading is not None else "loss"
    if reading is None and loss is not None and t_nom is not None:
        reading = t_nom - loss
    if (slip := _slip(reading, t_nom)) is not None:
        raise Refused(column, slip[0], t_nom=f"{t_nom:.4g}", guess=slip[1])
    if reading is None:
        if not known:
            high = SCREENING_LIMIT_MM[tables.METHOD[record.get("method", 0)]]
        low = 0.0 if low is None else low
        through = math.inf if t_nom is None else THICKER * t_nom
        high = min(through, math.inf if high is None else high)  # nothing is lost beyond the wall
    else:
        low = high = None
    return {**record, "reading": reading, "loss_low": low, "loss_high": high}


_FINDING: Final = codes("finding")


def _finding(said: str | None) -> str | None:
    code = None if said is None else _FINDING.get(fold(said))
    return None if code is None else ("nothing", "found")[code]


def _slip(reading: float | None, t_nom: float | None) -> tuple[str, str] | None:
    """The code of what is wrong with a reading beside its nominal wall, with what may have been meant."""
    if reading is None or t_nom is None:
        return None
    for factor, kind in SLIPS:
        meant = reading * factor
        if (reading > THICKER * t_nom or reading < 0.15 * t_nom) and 0.5 * t_nom <= meant <= 1.13 * t_nom:
            return f"slip_{kind}", f"{meant:.2f}"
    if reading > THICKER * t_nom:
        return "thick", ""
    return ("thin", "") if reading < THINNER * t_nom else None


def _missing(record: Record, key: str) -> float:
    value = record.get(key)
    return math.nan if value is None else float(value)


_TYPICAL: Final = {
    **dict(
        zip(
            ("stress", "weld", "yield_strength", "tensile_strength"),
            coefficients.row("assumed.steel").tolist(),
            strict=True,
        )
    ),
    "pipe_class": 2.0,
    "consequence": 1.0,
}
"""Carbon steel of moderate strength (A106 B, STPG 370 is a little less), the usual class."""


def _build_lines(rows: list[tuple[int, Record]], found: list[Record], at: date, gaps: list[Gap]) -> list[Record]:
    """Fill what the lines do not say with what is usual, and write down what was filled."""
    first: dict[int, date] = {}
    thickest: dict[int, float] = {}
    for finding in found:
        row = finding["row"]
        first[row] = min(first.get(row, finding["at"]), finding["at"])
        if finding["reading"] is not None:
            thickest[row] = max(thickest.get(row, 0.0), finding["reading"])
    counts: Counter[tuple[str, str]] = Counter()
    for k, (_, record) in enumerate(rows):
        if "nps" not in record and "diameter" in record:
            record["nps"] = min(OUTER_MM, key=lambda size: abs(OUTER_MM[size] - record["diameter"]))
        if "diameter" not in record and "nps" in record:
            record["diameter"] = OUTER_MM.get(record["nps"], record["nps"] * 25.4)
        if "diameter" not in record:
            record["nps"], record["diameter"] = 6.0, OUTER_MM[6.0]
            counts["nps", "nps"] += 1
        if "t_nom" not in record:
            usual = SCHEDULES["40"].get(record["nps"])
            if k in thickest:
                record["t_nom"] = thickest[k]
                counts["t_nom", "thickest"] += 1
            else:
                record["t_nom"] = usual if usual is not None else min(9.53, record["diameter"] / 10)
                counts["t_nom", "schedule"] += 1
        if "installed" not in record:
            known = [day for day in (record.get("coated_on"), first.get(k)) if day is not None]
            usual_day = date(at.year - UNKNOWN_AGE_Y, 1, 1)
            record["installed"] = min([*known, usual_day])
            counts["installed", "installed"] += 1
        for key, value in _TYPICAL.items():
            if key not in record:
                record[key] = value
                counts[key, "typical"] += 1
        for key in (
            "material",
            "insulation",
            "coating",
            "coated_on",
            "t_op",
            "pressure",
            "t_req",
            "driver",
            "heat_traced",
            "sheltered",
        ):
            if key not in record:
                counts[key, {"material": "steel", "t_req": "t_req", "driver": "driver"}.get(key, "")] += 1
    for (key, taken), count in counts.items():
        value = _TYPICAL.get(key, UNKNOWN_AGE_Y)
        gaps.append(Gap("lines", key, count, len(rows), taken, {"value": value}))
    return [record for _, record in rows]


def _assemble(
    lines: list[Record],
    declared: list[Record],
    found: list[Record],
    read: Mapping[TableName, _Table],
    files: Mapping[TableName, list[tuple[str, list[list[Cell]]]]],
    mapping: Mapped,
    at: date,
    out: list[KeptOut],
    gaps: list[Gap],
) -> Register:
    names = {record["id"]: k for k, record in enumerate(lines)}
    points: list[Record] = [{**point, "declared": True} for point in declared]
    index = {(point["line"], point["id"]): k for k, point in enumerate(points)}
    for finding in found:
        key = (finding["line"], finding["place"])
        if key not in index:
            index[key] = len(points)
            points.append({"line": finding["line"], "id": finding["place"]})
        if "part" in finding:
            points[index[key]].setdefault("part", finding["part"])
    measured = {point["line"] for point in points}
    synthetic = [{"line": name, "id": UNMEASURED} for name in names if name not in measured]
    if synthetic:
        gaps.append(Gap("points", "id", len(synthetic), len(names), "unmeasured"))
    unmeasured = np.array([False] * len(points) + [True] * len(synthetic), dtype=np.bool_)
    points += synthetic
    for name in ("part", "jacket_damage", "condition", "on_beam", "height_m"):
        count = sum(name not in point for point in points)
        if count:
            gaps.append(Gap("points", name, count, len(points)))
    times = Counter(point["id"] for point in points)
    ids = [_point_id(point, times) for point in points]
    weather = _read_weather(files.get("weather"), mapping.get("weather"), out, gaps, readings := [])
    for table, entry in read.items():
        used = {source.position for source in entry.sources.values()}
        headers = {key: (source.header, source.unit) for key, source in entry.sources.items()}
        ignored = [header for position, header in enumerate(entry.sheet.headers) if header and position not in used]
        lost = len({each.row for each in out if each.table == table})
        readings.append(
            Reading(entry.sheet.file, table, len(entry.sheet.rows), len(entry.sheet.rows) - lost, headers, ignored)
        )
    return Register(
        make_lines(lines),
        make_points(points, ids, names),
        make_inspections(found, index),
        weather,
        unmeasured,
        sorted(out, key=lambda entry: (entry.file, entry.row)),
        gaps,
        sorted(readings, key=lambda reading: list(TABLES).index(reading.table)),  # type: ignore[arg-type]
        sum(reading.rows for reading in readings),
    )


def _point_id(point: Record, times: Mapping[str, int]) -> str:
    place = point["id"]
    if not place:
        return str(point["line"])
    short = len(place) < 4 and not place.startswith(point["line"]) and "declared" not in point
    if place == UNMEASURED or times[place] > 1 or short:
        return f"{point['line']}:{place}"
    return str(place)


def _floats(records: Sequence[Record], key: str) -> tables.Floats:
    return np.array([_missing(record, key) for record in records], dtype=np.float64)


def _codes(records: Sequence[Record], key: str) -> tables.Codes:
    return np.array([record.get(key, -1) for record in records], dtype=np.int8)


def _days(records: Sequence[Record], key: str) -> tables.Times:
    days = [record.get(key) for record in records]
    return np.array(["NaT" if day is None else day.isoformat() for day in days], dtype="datetime64[ns]")


def make_lines(records: Sequence[Record]) -> Lines:
    """The table of records whose keys are its columns; what is absent is unknown."""
    whole = [{"material": 0, **record, "pipe_class": int(record.get("pipe_class", 2))} for record in records]
    columns: dict[str, Any] = {
        key: tuple(str(record.get(key, "")) for record in records) for key in ("id", "plant", "service")
    }
    for field in dataclasses.fields(Lines):
        if field.name not in columns:
            columns[field.name] = _column(whole, field.name, field.type)
    return Lines(**columns)


def make_points(records: Sequence[Record], ids: Sequence[str], lines: Mapping[str, int]) -> Points:
    """The table of records with `line` (its id); `ids` are unique."""
    columns: dict[str, Any] = {
        "id": tuple(ids),
        "line": np.array([lines[record["line"]] for record in records], np.int64),
    }
    for field in dataclasses.fields(Points):
        if field.name not in columns:
            columns[field.name] = _column(records, field.name, field.type)
    return Points(**columns)


def make_inspections(records: Sequence[Record], index: Mapping[tuple[str, str], int]) -> Inspections:
    """The table of records with `line` and `place`; `index` has each place's row in `Points`."""
    columns: dict[str, Any] = {
        "point": np.array([index[record["line"], record["place"]] for record in records], np.int64)
    }
    whole = [{"method": 0, **record} for record in records]
    for field in dataclasses.fields(Inspections):
        if field.name not in columns:
            columns[field.name] = _column(whole, field.name, field.type)
    return Inspections(**columns)


def _column(records: Sequence[Record], key: str, kind: object) -> tables.Floats | tables.Codes | tables.Times:
    if kind is tables.Codes:
        return _codes(records, key)
    return _days(records, key) if kind is tables.Times else _floats(records, key)


NO_WEATHER: Final = Weather(math.nan, math.nan, math.nan, math.nan, math.nan)


def _read_weather(
    sheets: list[tuple[str, list[list[Cell]]]] | None,
    uses: Mapping[str, Any] | None,
    out: list[KeptOut],
    gaps: list[Gap],
    readings: list[Reading],
) -> Weather:
    keys = ("temperature_c", "humidity_pct", "rain_mm_y", "so2_mg_m2_d", "cl_mg_m2_d")
    if sheets is None:
        gaps.append(Gap("weather", "", 1, 1, "weather"))
        return NO_WEATHER
    sheet = find_table(sheets, "weather", uses)
    table = _records(sheet, "weather", uses, out)
    if not set(keys) & set(table.sources):
        raise TableError(
            text("corrosion.file.no_weather", path=sheet.file, columns=", ".join(filter(None, sheet.headers)))
        )
    records = [record for _, record in table.records]
    means: dict[str, float] = {}
    for key in keys:
        values = _floats(records, key)
        known = values[~np.isnan(values)]
        means[key] = float(known.mean()) if known.size else math.nan
        if not known.size:
            gaps.append(Gap("weather", key, 1, 1))
    source = table.sources.get("rain_mm_y")
    if len(records) > 1 and source is not None and (not source.unit or cells.fold_unit(source.unit) == "mm"):
        days = [record["at"] for record in records if "at" in record]
        if len(days) > 1 and max(days) > min(days):  # a sum by day or month: a year's worth
            span = (max(days) - min(days)).days * len(days) / (len(days) - 1)
            means["rain_mm_y"] *= len(days) * 365.25 / span
        elif len(records) == 12:
            means["rain_mm_y"] *= 12
    headers = {key: (each.header, each.unit) for key, each in table.sources.items()}
    used = {each.position for each in table.sources.values()}
    ignored = [header for position, header in enumerate(sheet.headers) if header and position not in used]
    lost = len({each.row for each in out if each.table == "weather"})
    readings.append(Reading(sheet.file, "weather", len(sheet.rows), len(sheet.rows) - lost, headers, ignored))
    return Weather(**means)
