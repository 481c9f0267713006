"""Time zones: from what a clock on the wall showed to UTC and back, whole columns at a time."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from lab.cells import narrow

NS: Final = 1_000_000_000
HOUR_S: Final = 3600
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DAY_NS: Final = 86_400 * NS
OFFSET: Final = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?([0-5]\d))?", re.I | re.A)
FARTHEST: Final = timedelta(hours=14)
"""The largest offset in use; a larger one is a slip."""
SHORT_NAMES: Final = {"z": timedelta(0), "utc": timedelta(0), "gmt": timedelta(0), "jst": timedelta(hours=9)}

NAMED: Final = re.compile(
    r"(?:(?<![A-Za-z])(?:UTC|utc|Utc|(JST|jst))|(?<=[a-z])U(?:TC|tc))(?![A-Za-z])"
    r"(?: ?([+-]\d{1,2}(?::?[0-5]\d)?)(?!\d))?"
)
"""What the name of a column of times says of their zone."""

Times = NDArray[np.int64]
Flags = NDArray[np.bool_]


def today() -> date:
    """The day on this computer's calendar: at eight in the morning in Japan it is still yesterday in UTC."""
    return datetime.now().astimezone().date()


def find_zone(name: str) -> tzinfo | None:
    """The zone of `Asia/Tokyo`, `+09:00`, `+0900`, `+9`, `UTC`, `Z` or `JST`; None where there is none of that name.

    Names with a slash need a list of zones on this computer; the others never do.
    """
    name = narrow(name)
    if (offset := SHORT_NAMES.get(name.casefold())) is not None:
        return timezone(offset) if offset else UTC
    if match := OFFSET.fullmatch(name):
        offset = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
        if offset > FARTHEST:
            return None
        return timezone(-offset if match[1] == "-" else offset) if offset else UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such name; none that could be one; the name of a folder
        return None


def named_zone(name: str) -> tzinfo | None:
    """The zone that the name of a column of times tells: `日時(UTC)`, `time (UTC+9)`, `日時(JST)`; None without one."""
    match = NAMED.search(narrow(name))
    if match is None:
        return None
    return find_zone(match[2] or match[1] or "") or UTC


def to_utc(shown: Times, zone: tzinfo) -> tuple[Times, Flags, Flags]:
    """UTC (n,) of what a clock in a zone showed, row by row, counted as if it were UTC (ns).

    Where clocks are set back an hour is shown twice: the second time begins where the rows step back. Where they do
    not, the first time is taken.

    Returns:
        The times; which of them the clock never showed, as it was set forward; and which it showed twice, without a
        step back that would tell when.
    """
    seconds = shown // NS
    before = _offsets(seconds, lambda at: _offset_s(at, zone, 0))
    after = _offsets(seconds, lambda at: _offset_s(at, zone, 1))
    second, doubtful = np.zeros(len(shown), dtype=np.bool_), before > after
    stretch = 0
    for row in np.flatnonzero(before > after).tolist():
        step = int(shown[row] - shown[row - 1]) if row else DAY_NS
        if not (row and before[row - 1] > after[row - 1] and step < DAY_NS):
            stretch = row
        elif step <= 0 or second[row - 1]:
            second[row] = True
            doubtful[stretch : row + 1] = False
    return shown - np.where(second, after, before) * NS, before < after, doubtful


def from_utc(times: Times, zone: tzinfo) -> tuple[Times, Times]:
    """What a clock in a zone shows at some times (n,), counted as if it were UTC (ns), and its offsets (n,), s."""
    offsets = _offsets(times // NS, lambda at: _seconds((EPOCH + timedelta(seconds=at)).astimezone(zone)))
    return times + offsets * NS, offsets


def offset_text(offset_s: int) -> str:
    """`+09:00`"""
    return timezone(timedelta(seconds=offset_s)).tzname(None)[3:] or "+00:00"


def iso_times(times: Times, zone: tzinfo | None = None) -> list[str]:
    """ISO 8601 texts with milliseconds, microseconds only where they are needed: of UTC, or of a zone (`+09:00`)."""
    unit = "us" if np.any(times % 1_000_000) else "ms"
    shown, offsets = (times, None) if zone is None or zone is UTC else from_utc(times, zone)
    stamps = np.datetime_as_string(shown.astype("datetime64[ns]"), unit=unit)  # type: ignore[call-overload]
    if offsets is None:
        return [f"{stamp}Z" for stamp in stamps.tolist()]
    ends = {offset: offset_text(offset) for offset in set(offsets.tolist())}
    return [f"{stamp}{ends[offset]}" for stamp, offset in zip(stamps.tolist(), offsets.tolist(), strict=True)]


def _offsets(seconds: Times, offset: Callable[[int], int]) -> Times:
    """The offset (s) at each of some times (n,): asked for once an hour, and row by row where it changes within one."""
    hours, which = np.unique(seconds // HOUR_S, return_inverse=True)
    first = np.array([offset(hour * HOUR_S) for hour in hours.tolist()], dtype=np.int64)
    last = np.array([offset(hour * HOUR_S + HOUR_S - 1) for hour in hours.tolist()], dtype=np.int64)
    found = first[which]
    for row in np.flatnonzero((first != last)[which]).tolist():
        found[row] = offset(int(seconds[row]))
    return found


def _offset_s(shown_s: int, zone: tzinfo, fold: int) -> int:
    return _seconds((EPOCH + timedelta(seconds=shown_s)).replace(tzinfo=zone, fold=fold))


def _seconds(at: datetime) -> int:
    offset = at.utcoffset()
    return 0 if offset is None else round(offset.total_seconds())
