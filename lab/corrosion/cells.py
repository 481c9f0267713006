"""What one cell says: numbers with units, dates as Japanese Excel writes them, words."""

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal

Cell = str | float | datetime | None
"""As a file holds it: a text (CSV), or what Excel made of it."""
Quantity = Literal[
    "length",
    "distance",
    "rate",
    "temperature",
    "pressure",
    "pipe_size",
    "percent",
    "fraction",
    "rain",
    "deposition_so2",
    "deposition_cl",
    "duration",
    "film",
]
EMPTY: Final = frozenset(
    (
        "",
        "nan",
        "na",
        "n/a",
        "#n/a",
        "null",
        "none.",
        "-",
        "--",
        "―",
        "ー",
        "‐",
        "–",
        "—",
        "…",
        "#value!",
        "#ref!",
        "#div/0!",
    )
)


UNTOLD: Final = frozenset(("unknown", "notknown", "unclear", "不明", "未確認", "不詳", "outdoor", "outdoors", "屋外"))
"""Words (folded) that tell nothing in a column that has no code for them."""


def fold(name: str) -> str:
    """A header or a word without what people vary: width, case, spaces and punctuation."""
    return re.sub(r"[\s_\-./,:;#*・。、()\[\]{}「」【】°'\"]+", "", unicodedata.normalize("NFKC", name).casefold())


class CellError(ValueError):
    """A cell that does not hold what its column wants; `code` names the text `corrosion.out.{code}`."""

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code)
        self.code, self.values = code, values


MM: Final = {
    "mm": 1.0,
    "ミリ": 1.0,
    "cm": 10.0,
    "m": 1000.0,
    "in": 25.4,
    "inch": 25.4,
    "inches": 25.4,
    "インチ": 25.4,
    '"': 25.4,
    "mil": 0.0254,
    "mils": 0.0254,
    "thou": 0.0254,
    "um": 1e-3,
    "ミクロン": 1e-3,
    "ft": 304.8,
}
_YEAR: Final = ("y", "yr", "year", "a", "年", "annum")
_FACTORS: Final[dict[Quantity, dict[str, float]]] = {
    "length": MM,
    "distance": {"mm": 1e-3, "cm": 0.01, "m": 1.0, "km": 1000.0, "ft": 0.3048, "in": 0.0254, "メートル": 1.0},
    "rate": {
        **{f"{unit}/{year}": factor for unit, factor in MM.items() for year in _YEAR},
        "mpy": 0.0254,
        "mmpy": 1.0,
        "ipy": 25.4,
        "mmpa": 1.0,
    },
    "duration": {
        **dict.fromkeys((*_YEAR, "years"), 1.0),
        **dict.fromkeys(("month", "months", "mo", "ヶ月", "か月", "カ月", "月"), 1 / 12),
        **dict.fromkeys(("d", "day", "days", "日"), 1 / 365.25),
    },
    "film": {
        **{unit: 1000 * factor for unit, factor in MM.items()},
        **{f"{unit}/{year}": 1000 * factor for unit, factor in MM.items() for year in _YEAR},
        "g/m2": 1 / 7.86,
    },
    "pressure": {
        "mpa": 1.0,
        "mpag": 1.0,
        "mpaa": 1.0,
        "n/mm2": 1.0,
        "kpa": 1e-3,
        "kpag": 1e-3,
        "pa": 1e-6,
        "bar": 0.1,
        "barg": 0.1,
        "bara": 0.1,
        "psi": 0.00689475729,
        "psig": 0.00689475729,
        "psia": 0.00689475729,
        "ksi": 6.89475729,
        "atm": 0.101325,
        "kg/cm2": 0.0980665,
        "kgf/cm2": 0.0980665,
        "kg/cm2g": 0.0980665,
        "kgf/cm2g": 0.0980665,
        "kgcm2": 0.0980665,
        "kgf/mm2": 9.80665,
        "kg/mm2": 9.80665,
    },
    "temperature": {
        "c": 1.0,
        "degc": 1.0,
        "celsius": 1.0,
        "度": 1.0,
        "f": 1.0,
        "degf": 1.0,
        "fahrenheit": 1.0,
        "k": 1.0,
        "kelvin": 1.0,
    },
    "pipe_size": {
        "in": 1.0,
        "inch": 1.0,
        "inches": 1.0,
        "インチ": 1.0,
        '"': 1.0,
        "b": 1.0,
        "nps": 1.0,
        "a": 1.0,
        "dn": 1.0,
        "mm": 1.0,
    },
    "percent": {"%": 1.0, "pct": 1.0, "percent": 1.0, "%rh": 1.0},
    "fraction": {"%": 0.01, "pct": 0.01, "1": 1.0},
    "rain": {
        **{f"mm/{year}": 1.0 for year in _YEAR},
        "mm": 1.0,
        "mm/month": 12.0,
        "mm/月": 12.0,
        "mm/d": 365.25,
        "mm/day": 365.25,
        "mm/日": 365.25,
        "in/y": 25.4,
    },
    "deposition_so2": {
        "mg/m2/d": 1.0,
        "mg/m2/day": 1.0,
        "mg/m2d": 1.0,
        "mg/m2日": 1.0,
        "mg/m2/日": 1.0,
        "mg/dm2/d": 100.0,
        "mdd": 100.0,
        "mg/100cm2/d": 100.0,
        "ug/m3": 0.8,
        "mg/m3": 800.0,
    },
    "deposition_cl": {
        "mg/m2/d": 1.0,
        "mg/m2/day": 1.0,
        "mg/m2d": 1.0,
        "mg/m2日": 1.0,
        "mg/m2/日": 1.0,
        "mg/dm2/d": 100.0,
        "mdd": 100.0,
        "mg/100cm2/d": 100.0,
        "mgnacl/m2/d": 0.6066,
        "mgnacl/m2/day": 0.6066,
        "mgnacl/dm2/d": 60.66,
        "mddnacl": 60.66,
    },
}
UNITS: Final[dict[str, frozenset[Quantity]]] = {
    unit: frozenset(quantity for quantity, factors in _FACTORS.items() if unit in factors)
    for factors in _FACTORS.values()
    for unit in factors
}
"""Every unit that is understood (folded), and the quantities that may be given in it."""
DEFAULT_UNIT: Final[dict[Quantity, str]] = {
    "length": "mm",
    "distance": "m",
    "rate": "mm/y",
    "temperature": "c",
    "pressure": "mpa",
    "pipe_size": "b",
    "percent": "%",
    "fraction": "1",
    "rain": "mm/y",
    "deposition_so2": "mg/m2/d",
    "deposition_cl": "mg/m2/d",
    "duration": "y",
    "film": "um",
}
NOMINAL_A: Final = {
    6: 0.125,
    8: 0.25,
    10: 0.375,
    15: 0.5,
    20: 0.75,
    25: 1.0,
    32: 1.25,
    40: 1.5,
    50: 2.0,
    65: 2.5,
    80: 3.0,
    90: 3.5,
    100: 4.0,
    125: 5.0,
    150: 6.0,
    200: 8.0,
    250: 10.0,
    300: 12.0,
    350: 14.0,
    400: 16.0,
    450: 18.0,
    500: 20.0,
    550: 22.0,
    600: 24.0,
    650: 26.0,
    700: 28.0,
    750: 30.0,
    800: 32.0,
    850: 34.0,
    900: 36.0,
    1000: 40.0,
    1050: 42.0,
    1200: 48.0,
}
"""Nominal size A (DN) to B (inch)."""
OUTER_MM: Final = {
    0.125: 10.3,
    0.25: 13.7,
    0.375: 17.1,
    0.5: 21.3,
    0.75: 26.7,
    1.0: 33.4,
    1.25: 42.2,
    1.5: 48.3,
    2.0: 60.3,
    2.5: 73.0,
    3.0: 88.9,
    3.5: 101.6,
    4.0: 114.3,
    5.0: 141.3,
    6.0: 168.3,
    8.0: 219.1,
    10.0: 273.1,
    12.0: 323.9,
    14.0: 355.6,
}
"""Outer diameter by nominal size (ASME B36.10M); from 14 inches on it is the size itself."""
SCHEDULES: Final[dict[str, dict[float, float]]] = {
    "40": {
        0.5: 2.77,
        0.75: 2.87,
        1.0: 3.38,
        1.25: 3.56,
        1.5: 3.68,
        2.0: 3.91,
        2.5: 5.16,
        3.0: 5.49,
        4.0: 6.02,
        5.0: 6.55,
        6.0: 7.11,
        8.0: 8.18,
        10.0: 9.27,
        12.0: 10.31,
        14.0: 11.13,
        16.0: 12.7,
        18.0: 14.27,
        20.0: 15.09,
        24.0: 17.48,
    },
    "80": {
        0.5: 3.73,
        0.75: 3.91,
        1.0: 4.55,
        1.25: 4.85,
        1.5: 5.08,
        2.0: 5.54,
        2.5: 7.01,
        3.0: 7.62,
        4.0: 8.56,
        5.0: 9.53,
        6.0: 10.97,
        8.0: 12.7,
        10.0: 15.09,
        12.0: 17.48,
        14.0: 19.05,
        16.0: 21.44,
        18.0: 23.83,
        20.0: 26.19,
        24.0: 30.96,
    },
}
"""Nominal wall in mm by schedule and nominal size (ASME B36.10M)."""


def fold_unit(unit: str) -> str:
    """A unit without what people vary: width, case, superscripts, the micro sign, dots and spaces."""
    plain = unicodedata.normalize("NFKC", unit).casefold().replace("μ", "u").replace("µ", "u").replace("·", "/")
    plain = plain.replace("°", "deg").replace("^", "").replace("per", "/").replace("''", '"').replace("⁻", "-")
    plain = re.sub(r"/{2,}", "/", re.sub(r"\s+", "", plain))
    return {"degc": "c", "degf": "f", "deg": "c", "mg/m2-d": "mg/m2/d", "mg/(m2/d)": "mg/m2/d"}.get(plain, plain)


def convert(value: float, unit: str, quantity: Quantity) -> float:
    """A value in the unit the tables want.

    Raises:
        CellError: the quantity is not measured in that unit.
    """
    folded = fold_unit(unit) or DEFAULT_UNIT[quantity]
    factor = _FACTORS[quantity].get(folded)
    if factor is None:
        raise CellError("unit", unit=unit)
    if quantity == "temperature":
        return (
            (value - 32.0) / 1.8
            if folded[-1] == "f" or "fahr" in folded
            else value - 273.15
            if folded[0] == "k"
            else value
        )
    if quantity == "pipe_size" and (folded in {"a", "dn", "mm"} or (folded == "b" and not unit and value >= 50)):
        nearest = min(NOMINAL_A, key=lambda size: abs(size - value))
        if abs(nearest - value) > 0.02 * value:
            raise CellError("pipe_size", value=f"{value:g}A")
        return NOMINAL_A[nearest]
    return value * factor


def is_empty(cell: Cell) -> bool:
    """Whether a cell says nothing."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return isinstance(cell, str) and unicodedata.normalize("NFKC", cell).strip().casefold() in EMPTY


_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)\s*(.*)", re.I)
_MIXED = re.compile(r"(?:(\d+)[\s\-+])?\s*(\d+)/(\d+)\s*(.*)")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(?!\d)")


@lru_cache(65536)
def _number(text: str) -> tuple[float, str]:
    plain = unicodedata.normalize("NFKC", text).strip().replace("−", "-")
    if mixed := _MIXED.fullmatch(plain):
        whole, top, bottom, unit = mixed.groups()
        if int(bottom):
            return int(whole or 0) + int(top) / int(bottom), unit.strip()
    if _GROUPED.match(plain):
        plain = plain.replace(",", "")
    elif re.fullmatch(r"[+-]?\d+,\d+", plain):  # a decimal comma
        plain = plain.replace(",", ".")
    match = _NUMBER.fullmatch(plain)
    if match is None:
        raise CellError("number")
    return float(match[1]), match[2].strip()


def number(cell: Cell, unit: str = "", quantity: Quantity | None = None) -> float:
    """The number of a cell in the tables' unit; a unit in the cell goes before the column's. NaN: empty.

    Raises:
        CellError: no number, not finite, or a unit that the quantity is not measured in.
    """
    if is_empty(cell):
        return math.nan
    if cell is None or isinstance(cell, datetime):
        raise CellError("number")
    value, own = (float(cell), "") if not isinstance(cell, str) else _number(cell)
    if not math.isfinite(value):
        raise CellError("number")
    if quantity is None:
        if own not in {"", "%"}:
            raise CellError("number")
        return value
    return convert(value, own or unit, quantity)


_ERAS: Final = {
    "令和": 2018,
    "令": 2018,
    "r": 2018,
    "平成": 1988,
    "平": 1988,
    "h": 1988,
    "昭和": 1925,
    "昭": 1925,
    "s": 1925,
    "大正": 1911,
    "t": 1911,
    "明治": 1867,
    "m": 1867,
}
_ERA = re.compile(
    r"(令和?|平成?|昭和?|大正|明治|[rhstm])\s*\.?\s*(元|\d{1,2})\s*"
    r"(?:[年./\-]\s*(?:(\d{1,2})\s*(?:[月./\-]\s*(?:(\d{1,2})\s*日?)?)?)?)?(?:度)?(?:\s*\([月火水木金土日](?:曜日?)?\))?"
)
_ISO = re.compile(r"(\d{4})\s*(?:年度?|[-/.])?\s*(?:(\d{1,2})\s*(?:月|[-/.])?\s*(?:(\d{1,2})\s*日?)?)?(?:[t\s(（].*)?")
_MONTHS: Final = {
    name: at
    for at, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
_ENGLISH = re.compile(r"(?:(\d{1,2})[\s\-]+)?([a-z]{3})[a-z]*\.?[\s\-,]+(?:(\d{1,2})(?:st|nd|rd|th)?,?\s+)?(\d{4})")


@lru_cache(65536)
def _date(text: str) -> date:
    plain = unicodedata.normalize("NFKC", text).strip().casefold()
    first = 4 if "年度" in plain else 1  # a fiscal year begins in April
    try:
        if re.fullmatch(r"\d+(\.0*)?", plain):
            return _date_of_number(float(plain))
        if era := _ERA.fullmatch(plain):
            nth = 1 if era[2] == "元" else int(era[2])
            if nth == 0:
                raise CellError("date")
            return date(_ERAS[era[1]] + nth, int(era[3] or first), int(era[4] or 1))
        if english := _ENGLISH.fullmatch(plain):
            return date(int(english[4]), _MONTHS[english[2]], int(english[1] or english[3] or 1))
        if iso := _ISO.fullmatch(plain):
            return date(int(iso[1]), int(iso[2] or first), int(iso[3] or 1))
    except (ValueError, KeyError):
        pass
    raise CellError("date")


def _date_of_number(value: float) -> date:
    if 1900 <= value <= 2100 and value == int(value):
        return date(int(value), 1, 1)
    if 19000101 <= value <= 21001231 and value == int(value):
        return datetime.strptime(str(int(value)), "%Y%m%d").date()
    if 190001 <= value <= 210012 and value == int(value):
        return date(int(value) // 100, int(value) % 100, 1)
    if 7305 <= value <= 73050:  # Excel's days, 1920 to 2099
        return date(1899, 12, 30) + timedelta(days=int(value))
    raise CellError("date")


def day(cell: Cell) -> date | None:
    """The date of a cell, None when it is empty.

    `2024/4/1`, `2024年4月1日`, `R6.4.1`, `令和6年4月1日` and the day numbers of Excel are understood.
    A year alone is its first of January (`2024年度` of April), a month alone its first day.

    Raises:
        CellError: no date, or one that can be read in two ways (`4/1/2024`, `24/4/1`).
    """
    if cell is None or is_empty(cell):
        return None
    if isinstance(cell, datetime):
        return cell.date()
    return _date_of_number(float(cell)) if not isinstance(cell, str) else _date(cell)


def plain_text(cell: Cell) -> str:
    """The text of a cell: width and blanks made uniform, so that `ＬＩＮＥ－１` and `LINE-1` are one line."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", str(cell))).strip()


def below(cell: Cell) -> tuple[float, str] | None:
    """The number and unit of `<0.5`, `0.5以下`, `0.5未満`: known only to be less."""
    if not isinstance(cell, str):
        return None
    plain = unicodedata.normalize("NFKC", cell).strip()
    match = re.fullmatch(r"(?:[<≤≦]=?\s*(.+)|(.+?)(?:以下|未満))", plain)
    return _number(match[1] or match[2]) if match else None


def word(cell: Cell, words: Mapping[str, int], own: Mapping[str, str]) -> int:
    """The code of a word; -1: empty, or said to be unknown. `own` are the words of a mapping file.

    Raises:
        CellError: the word is not known.
    """
    if is_empty(cell) and fold(plain_text(cell)) not in words:
        return -1
    said = plain_text(cell)
    said = own.get(said, said)
    folded = fold(said)
    if folded in words:
        return words[folded]
    for part in re.split(r"[\s(（/・+,、]+", said):  # `ロックウール 50t`, `STPG370 (Sch40)`
        if part and fold(part) in words:
            return words[fold(part)]
    if folded in UNTOLD:
        return -1
    raise CellError("word", word=said)
