"""What stands in a text file: its encoding, and numbers and times as programs of several countries write them."""

import codecs
import re
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise
from typing import Final

MISSING: Final = ("", "NaN", "nan", "NAN", "NA", "N/A", "#N/A", "null", "NULL", "None", "<NA>")
MARKS: Final = re.compile(
    r"[-*.…‐–—―−ーｰ]+|欠測値?|欠損値?|(?:計測|測定)不能|データなし|no ?data|#(?:DIV/0!|VALUE!|REF!|NUM!|NAME\?|NULL!)",
    re.I,
)
"""What people, loggers and Excel put where a number is missing (narrow)."""
WIDE: Final = {0xFF01 + at: 0x21 + at for at in range(94)} | {0x3000: 0x20, 0x2212: 0x2D}
"""Full-width signs and the minus of typesetters; NFKC would also make 102 of 10²."""
POINTED: Final = re.compile(r"[+-]?(?=[,.]*\d)[\d,]*\.[\d,]*(e[+-]?\d+)?", re.I | re.A)
DECIMAL: Final = re.compile(r"[+-]?(\d+,\d*|,\d+)(e[+-]?\d+)?", re.I | re.A)
THOUSANDS: Final = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?", re.A)
TIME_NAMES: Final = frozenset(
    "time,timestamp,datetime,date,date_time,date/time,ts,utc,日時,時刻,時間,日付,年月日,測定日時,計測日時".split(",")  # noqa: SIM905
)
DATE_NAMES: Final = frozenset(("date", "日付", "年月日"))
CLOCK_NAMES: Final = frozenset(("time", "時刻", "時間"))
TIME_LIKE: Final = re.compile(r"time|date|stamp|epoch|日時|日付|年月日|時刻|時間", re.I)
DATE_LIKE: Final = re.compile(r"date|stamp|日時|日付|年月日", re.I)
UNITS_NS: Final = {
    unit: scale
    for scale, units in (
        (3_600_000_000_000, ("h", "hr", "hour", "hours", "時間")),
        (60_000_000_000, ("min", "minute", "minutes", "分")),
        (1_000_000_000, ("s", "sec", "second", "seconds", "秒")),
        (1_000_000, ("ms", "ミリ秒")),
    )
    for unit in units
}
ELAPSED: Final = re.compile(
    r"(?:(?:time|elapsed|elapsed_time|経過時間|経過|時間)[ _]?[\[(（［]?|t[ _]?[ _\[(（［])"
    r"(" + "|".join(UNITS_NS) + r")[\])）］]?",
    re.I,
)
"""A lone `t` needs a sign before its unit: Th and Tmin are temperatures."""
ELAPSED_NAMES: Final = frozenset("elapsed,elapsed_time,経過時間,経過,秒,秒数".split(","))  # noqa: SIM905
"""Elapsed seconds, if they rise."""
ERAS: Final = {"令和": 2018, "R": 2018, "平成": 1988, "H": 1988, "昭和": 1925, "S": 1925}
"""The year before the first one of each era."""
CLOCK: Final = (
    r"(午前|午後|[AP]M)? ?(\d{1,2})(?:[:時](\d{1,2})(?:[:分](\d{1,2})(?:[.,](\d{1,9})\d*)?秒?)?分?|時) ?([AP]M)?"
)
HALF: Final = re.compile("[午Mm]")
ZONE: Final = re.compile(r"[ZzUu+]|[:時][^\n-]*-")
"""What shows that a time of day tells the half of the day, or its zone."""
ZONES: Final = r"Z|UTC|[+-]\d{2}:?\d{2}"
"""How the zone at the end of a time is written."""
STAMP: Final = re.compile(
    r"(?:(\d{4})|(令和|平成|昭和|[RHS]) ?(\d{1,2}|元))[-/.年] ?(\d{1,2})[-/.月] ?(\d{1,2})日?"
    r"(?: ?\([月火水木金土日](?:曜日?)?\))?"
    rf"(?:(?:[T ]+|(?<=[日)])|(?=午)){CLOCK})?\s*({ZONES})?",
    re.I,
)
SHORT: Final = re.compile(rf"'?(\d{{2}})([-/.])(\d{{1,2}})\2(\d{{2}}|\d)((?: *| +{CLOCK})\s*)", re.I)
"""A date of which the year has two digits, wherever it stands."""
SHORT_ORDERS: Final = ((0, 1, 2), (2, 1, 0), (2, 0, 1))
"""Where year, month and day may stand in it: as in Japan, in Europe, in the United States."""
MONTHS: Final = tuple("jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec".split(","))  # noqa: SIM905
MONTH: Final = re.compile(rf"(\d{{1,2}})([- ])({'|'.join(MONTHS)})\2(\d{{4}}|\d{{2}})((?:[ T]+\d.*)?)", re.I | re.A)
"""A date with the month in letters, as PI and Excel write it: 09-Mar-2026 10:14:00, 9-Mar-26."""
HOUR_NS: Final = 3_600_000_000_000
COMPACT: Final = re.compile(
    r"(\d{4})(\d{2})(\d{2})(?:[T ]*(\d{2})(\d{2})(\d{2})?(?:\.0*)?| +(\d{1,2}:\d.*)|\.0*)?", re.I | re.A
)
EPOCH: Final = date(1970, 1, 1).toordinal()
YEARS: Final = (1990, 2100)
"""What is written without separators is a date within these years only."""


def decode(raw: bytes) -> str:
    """The text of a file in UTF-8 or UTF-16, by its mark, or in Shift_JIS as Windows writes it.

    Raises:
        UnicodeDecodeError: it is none of them.
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp932")


def delimiter(head: str) -> str:
    """The sign between the cells of a header line: the one of comma, semicolon and tab that is outside quotes most."""
    return max(",;\t", key=re.sub('"[^"]*"', "", head).count)


def narrow(cell: str) -> str:
    """A cell with ASCII in place of full-width signs, without blanks around it."""
    return cell.strip() if cell.isascii() else cell.translate(WIDE).strip()


def missing(cell: str) -> bool:
    """Whether a narrow cell says that its value is missing."""
    return cell in MISSING or MARKS.fullmatch(cell) is not None


def commas(columns: Iterable[Sequence[str]]) -> tuple[bool | None, tuple[int, int] | None]:
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


def elapsed_unit(name: str) -> int | None:
    """The unit (ns) of a column named as elapsed time: `time_h`, `経過時間(秒)`; None where it says none."""
    match = None if name.casefold() in TIME_NAMES | ELAPSED_NAMES else ELAPSED.fullmatch(name)
    return None if match is None else UNITS_NS[match[1].lower()]


def compact(cell: str) -> bool:
    """Whether a cell is a calendar date (and time) of digits alone: 20260309, 202603091014, 20260309101433."""
    match = COMPACT.fullmatch(cell)
    whole = match is not None and match[7] is None and " " not in cell
    return whole and YEARS[0] <= int(cell[:4]) <= YEARS[1] and parse_stamp(cell) is not None


def stamped(cell: str) -> bool:
    """Whether a narrow cell looks like a date with separators, its year of two digits or more."""
    return bool(STAMP.fullmatch(cell) or SHORT.fullmatch(cell)) or (
        MONTH.fullmatch(cell) is not None and parse_stamp(cell) is not None
    )


def long_years(cells: Sequence[str]) -> list[str] | None:
    """Dates with years of two digits, year first, written with four.

    Args:
        cells: narrow, one after the other in time.

    Returns:
        The dates; None where reading the day or the month first puts them into order too, and closer together.
    """
    parts = [SHORT.fullmatch(cell) for cell in cells]
    readings: list[list[str]] = []
    spans: list[int] = []
    for year, month, day in SHORT_ORDERS:
        spelled = []
        for cell, part in zip(cells, parts, strict=True):
            if part is not None:
                shown = part[1], part[3], part[4]
                century = "19" if int(shown[year]) >= 70 else "20"
                cell = f"{century}{shown[year]:0>2}-{shown[month]}-{shown[day]}{part[5]}"
            spelled.append(cell.rstrip())
        times = [time for time in map(parse_stamp, spelled) if time is not None]
        # clocks may have been set back an hour
        rising = len(times) == len(cells) and all(one - HOUR_NS < other for one, other in pairwise(times))
        readings.append(spelled)
        spans.append(times[-1] - times[0] if rising else 1 << 63)
    return readings[0] if spans[0] <= min(spans) else None


def parse_stamp(cell: str) -> int | None:
    """UTC nanoseconds of a calendar date, or date and time; without a zone it is UTC. None where it is none."""
    if match := COMPACT.fullmatch(cell):
        year, month, day, hour, minute, second, clock = match.groups()
        clock = clock or f"{hour or '00'}:{minute or '00'}:{second or '00'}"
        cell = f"{year}-{month}-{day} {clock}"
    elif match := MONTH.fullmatch(cell):
        day, _, month, year, clock = match.groups()
        century = "" if len(year) == 4 else "19" if int(year) >= 70 else "20"
        cell = f"{century}{year}-{MONTHS.index(month.lower()) + 1}-{day}{clock}"
    match = STAMP.fullmatch(cell)
    if match is None:
        return None
    year, era, nth, month, day, before, hour, minute, second, fraction, after, zone = match.groups()
    if era:
        year = str(ERAS[era.upper()] + (1 if nth == "元" else int(nth)))
    hours, minutes, seconds, ends = int(hour or 0), int(minute or 0), int(second or 0), False
    if half := before or after:
        if (before and after) or hours > 12:
            return None
        hours = hours % 12 + (12 if half.upper() in ("午後", "PM") else 0)
    elif hours == 24 and not (minutes or seconds or int(fraction or 0)):  # as some loggers and the Japanese write it
        hours, ends = 0, True
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    try:
        days = date(int(year), int(month), int(day)).toordinal() - EPOCH + ends
    except ValueError:
        return None
    whole = days * 86_400 + hours * 3600 + minutes * 60 + seconds
    if zone and zone[0] in "+-":
        offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        whole -= offset if zone[0] == "+" else -offset
    nanoseconds = whole * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))
    return nanoseconds if abs(nanoseconds) < 1 << 63 else None  # 9999/12/31 stands for none
