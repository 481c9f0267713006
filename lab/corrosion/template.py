"""Example files to fill in: 20 pipe lines with inspections and a year's weather, in Japanese or English."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from lab.corrosion.cells import Cell
from lab.corrosion.columns import INSPECTIONS, LINES, WEATHER, Column, TableName
from lab.corrosion.register import Register, build_register
from lab.text import text
from lab.writing import write_whole

Row = Mapping[str, Any]
UNITS: Final = {
    "diameter": "mm", "t_nom": "mm", "t_req": "mm", "t_op": "°C", "t_max": "°C", "t_min": "°C",
    "pressure": "MPa", "tower_m": "m",
    "reading": "mm", "loss": "mm", "temperature_c": "°C", "humidity_pct": "%", "rain_mm_y": "mm",
    "so2_mg_m2_d": "mg/m2/d", "cl_mg_m2_d": "mg/m2/d",
}  # fmt: skip
"""The unit the template's header shows."""
_LINES: Final = (
    # id, plant, service, size, wall, °C, MPa, insulation, coating, installed, coated, driver, traced, class,
    # consequence, and the rate mm/y behind the readings
    ("P-101", "A", "water", 6, 7.11, 45, 0.8, "mineral_wool", "primer", 1994, None, "moderate", 0, 3, 1, 0.07),
    ("P-102", "A", "steam", 4, 6.02, 165, 0.9, "calcium_silicate", "none", 1994, None, "moderate", 0, 2, 2, 0.03),
    ("P-103", "A", "condensate", 3, 5.49, 95, 0.4, "calcium_silicate", "none", 1994, None, "moderate", 0, 3, 1, 0.14),
    (
        "P-104",
        "A",
        "solvent",
        4,
        6.02,
        60,
        0.6,
        "mineral_wool",
        "single_coat_epoxy",
        2003,
        2003,
        "moderate",
        1,
        1,
        5,
        0.06,
    ),
    (
        "P-105",
        "A",
        "solvent",
        2,
        3.91,
        80,
        0.6,
        "mineral_wool",
        "single_coat_epoxy",
        2003,
        2003,
        "moderate",
        1,
        1,
        5,
        0.1,
    ),
    ("P-106", "A", "air", 2, 3.91, 30, 0.7, "none", "primer", 1999, 2012, "mild", 0, 3, 0.5, 0.03),
    ("P-107", "A", "nitrogen", 2, 3.91, 25, 0.7, "none", "primer", 1999, 2012, "mild", 0, 3, 0.5, 0.02),
    ("P-201", "B", "hot water", 6, 7.11, 85, 0.6, "fibreglass", "primer", 1988, None, "severe", 0, 3, 1, 0.13),
    ("P-202", "B", "hot water", 6, 7.11, 85, 0.6, "fibreglass", "primer", 1988, None, "severe", 0, 3, 1, 0.16),
    ("P-203", "B", "heavy oil", 8, 8.18, 110, 1.2, "mineral_wool", "none", 1988, None, "severe", 1, 2, 3, 0.11),
    ("P-204", "B", "heavy oil", 4, 6.02, 110, 1.2, "mineral_wool", "none", 1988, None, "severe", 1, 2, 3, 0.12),
    ("P-205", "B", "brine", 4, 6.02, -5, 0.5, "polyurethane", "multi_coat_epoxy", 2010, 2010, "severe", 0, 2, 2, 0.04),
    ("P-206", "B", "steam", 8, 8.18, 180, 1.0, "calcium_silicate", "none", 1988, None, "severe", 0, 2, 2, 0.02),
    ("P-207", "B", "sea water", 10, 9.27, 25, 0.5, "none", "multi_coat_epoxy", 2005, 2016, "severe", 0, 3, 1, 0.05),
    ("P-301", "C", "fuel gas", 4, 6.02, 35, 0.4, "none", "single_coat_epoxy", 2001, 2014, "moderate", 0, 1, 5, 0.03),
    (
        "P-302",
        "C",
        "fuel gas",
        3,
        5.49,
        65,
        0.4,
        "mineral_wool",
        "single_coat_epoxy",
        2001,
        2001,
        "moderate",
        1,
        1,
        5,
        0.08,
    ),
    (
        "P-303",
        "C",
        "amine",
        6,
        7.11,
        105,
        1.6,
        "mineral_wool",
        "single_coat_epoxy",
        1997,
        1997,
        "moderate",
        0,
        1,
        4,
        0.1,
    ),
    (
        "P-304",
        "C",
        "amine",
        6,
        7.11,
        60,
        1.6,
        "mineral_wool",
        "single_coat_epoxy",
        1997,
        1997,
        "moderate",
        0,
        1,
        4,
        0.07,
    ),
    ("P-305", "C", "water", 3, 5.49, 30, 0.5, "none", "primer", 1997, 2009, "moderate", 0, 3, 0.5, 0.04),
    ("P-306", "C", "condensate", 2, 3.91, 90, 0.3, "fibreglass", "none", 1997, None, "moderate", 0, 3, 1, 0.09),
)
_NOT_YET: Final = ("P-102", "P-205", "P-306")
"""Lines that nobody has inspected."""
_PARTS: Final = ("elbow", "support", "straight", "low_point", "elbow", "penetration", "support")
_MONTHS: Final = (
    (6.4, 62, 62), (7.4, 61, 72), (10.9, 63, 115), (15.8, 64, 125), (20.2, 67, 142), (23.4, 76, 255),
    (27.7, 76, 278), (28.4, 74, 172), (24.7, 73, 178), (19.4, 67, 74), (14.1, 66, 84), (8.9, 63, 61),
)  # fmt: skip
"""A coast of northern Kyushu: mean temperature °C, relative humidity %, rain mm, by month."""
_CODED: Final = {
    "insulation": "insulation",
    "coating": "coating",
    "driver": "driver",
    "part": "part",
    "method": "method",
}


def lines() -> list[Row]:
    """The example lines, by column."""
    keys = (
        "id",
        "plant",
        "service",
        "nps",
        "t_nom",
        "t_op",
        "pressure",
        "insulation",
        "coating",
        "installed",
        "coated_on",
    )
    more = ("driver", "heat_traced", "pipe_class", "consequence")
    rows: list[Row] = []
    for entry in _LINES:
        row: dict[str, Any] = dict(zip(keys + more, entry[:-1], strict=True))
        row["installed"] = date(row["installed"], 4, 1)
        row["coated_on"] = date(row["coated_on"], 4, 1) if row["coated_on"] else None
        rows.append(row)
    return rows


def inspections() -> list[Row]:
    """The example readings, by column: two or three rounds at up to seven places a line."""
    random = np.random.default_rng(581)
    rows: list[Row] = []
    for entry in _LINES:
        name, wall, installed, coating, hidden = entry[0], entry[4], entry[9], entry[8], entry[-1]
        if name in _NOT_YET:
            continue
        protected = {"none": 0, "primer": 2, "single_coat_epoxy": 6, "multi_coat_epoxy": 14}[coating]
        start = wall * random.uniform(0.97, 1.04)
        for place in range(1, int(random.integers(3, 8))):
            rate = hidden * random.lognormal(-0.6, 0.45)
            for year in (2013, 2019, 2024):
                if year < installed + 3 or (year == 2013 and place > 3):
                    continue
                loss = rate * max(0.0, year + 0.5 - installed - protected)
                rows.append(
                    {
                        "line": name,
                        "point": f"{name}-{place:02d}",
                        "part": _PARTS[place - 1],
                        "at": date(year, int(random.integers(5, 11)), int(random.integers(1, 28))),
                        "method": "ut",
                        "stripped": 1,
                        "reading": round(max(0.9, start - loss + random.normal(0, 0.12)), 2),
                    }
                )
    return rows


def weather() -> list[Row]:
    """The example year, one row a month."""
    return [
        {
            "at": f"2024-{month:02d}",
            "temperature_c": t,
            "humidity_pct": rh,
            "rain_mm_y": rain,
            "so2_mg_m2_d": 8,
            "cl_mg_m2_d": 25,
        }
        for month, (t, rh, rain) in enumerate(_MONTHS, 1)
    ]


def _tables() -> dict[TableName, tuple[list[Row], Mapping[str, Column]]]:
    return {"lines": (lines(), LINES), "inspections": (inspections(), INSPECTIONS), "weather": (weather(), WEATHER)}


def header(key: str, columns: Mapping[str, Column], lang: str) -> str:
    """What the template calls a column."""
    names = columns[key].names
    name = names[1 if lang == "ja" else 0]
    unit = {"°C": "℃"}.get(UNITS.get(key, ""), UNITS.get(key, "")) if lang == "ja" else UNITS.get(key, "")
    return f"{name}({unit})" if unit else name


def cell(key: str, value: Any, lang: str) -> str | float | date | None:
    """How the template writes a value."""
    if value is None:
        return None
    if key in _CODED:
        return text(f"corrosion.{_CODED[key]}.{value}", lang)
    if key in {"heat_traced", "stripped"}:
        return text(f"corrosion.yes_no.{'yes' if value else 'no'}", lang)
    if key == "service":
        return text(f"corrosion.service.{value}", lang)
    return value if isinstance(value, date | int | float) else str(value)


def write_template(folder: Path, lang: str, kind: Literal["csv", "xlsx"]) -> list[Path]:
    """Write the three files into a folder that is made if need be; their paths.

    Raises:
        TableError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (rows, columns) in _tables().items():
        keys = list(rows[0])
        headers = [header(key, columns, lang) for key in keys]
        body = [[cell(key, row[key], lang) for key in keys] for row in rows]
        path = folder / f"{name}.{kind}"
        write_whole(path, workbook({name: [headers, *body]}) if kind == "xlsx" else csv_bytes([headers, *body], lang))
        written.append(path)
    return written


def csv_bytes(rows: Sequence[Sequence[Any]], lang: str) -> bytes:
    """Rows as CSV in UTF-8; what is not plain ASCII with the byte order mark by which Excel knows it."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\r\n" if lang == "ja" else "\n")
    for row in rows:
        writer.writerow(["" if value is None else _date(value, lang) for value in row])
    content = sink.getvalue()
    return content.encode("utf-8" if content.isascii() else "utf-8-sig")


def _date(value: Any, lang: str) -> Any:
    if isinstance(value, date):
        return f"{value.year}/{value.month}/{value.day}" if lang == "ja" else value.isoformat()
    return value


def workbook(sheets: Mapping[str, Sequence[Sequence[Any]]]) -> bytes:
    """Tables as a workbook, a sheet each: header bold and held, columns as wide as what is in them."""
    import openpyxl
    from openpyxl.styles import Font, PatternFill
    from openpyxl.utils import get_column_letter

    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title[:31])
        for row in rows:
            sheet.append(list(row))
            for written in sheet[sheet.max_row]:
                if written.data_type == "f":  # a text of the file that looks like a formula stays a text
                    written.data_type = "s"
        for column, found in enumerate(rows[0] if rows else [], 1):
            head = sheet.cell(1, column)
            head.font = Font(bold=True)
            head.fill = PatternFill("solid", fgColor="E4EAF0")
            longest = max([_width(found), *(_width(row[column - 1]) for row in rows[1:200] if column <= len(row))])
            sheet.column_dimensions[get_column_letter(column)].width = min(60, longest + 2)
        sheet.freeze_panes = "A2"
        if rows:
            sheet.auto_filter.ref = sheet.dimensions
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def _width(value: Any) -> int:
    if isinstance(value, date):
        return 10
    return sum(2 if ord(letter) > 0x2E7F else 1 for letter in str("" if value is None else value))


def example() -> Register:
    """The example files as they would be read."""
    sheets: dict[TableName, list[tuple[str, list[list[Cell]]]]] = {}
    for name, (rows, columns) in _tables().items():
        keys = list(rows[0])
        body = [[cell(key, row[key], "en") for key in keys] for row in rows]
        texts: list[list[Cell]] = [[None if value is None else str(value) for value in line] for line in body]
        sheets[name] = [(name, [[header(key, columns, "en") for key in keys], *texts])]
    return build_register(sheets, at=date(2026, 1, 1))
