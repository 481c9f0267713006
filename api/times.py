"""Times at the border: what a person may write for `from` and `to`, and how answers say a time."""

import re
import time
from datetime import UTC, datetime
from typing import Final, NamedTuple

from api.problems import bad_field

NS: Final = 1_000_000_000
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(r"-(\d{1,9}(?:\.\d{1,6})?)([smhdw])", re.ASCII)
_MILLISECONDS: Final = re.compile(r"(\d{1,15})(\.\d{1,6})?", re.ASCII)
_LOST_PLUS: Final = re.compile(r" (\d\d:?\d\d)\Z")
_LAST: Final = 9_000_000_000 * NS
"""In the year 2255: the store keeps nanoseconds in 64 bits."""


class Span(NamedTuple):
    """A stretch of time, `start` <= t < `end`, UTC nanoseconds."""

    start: int
    end: int


def iso(t: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, or None."""
    if t is None:
        return None
    seconds, rest = divmod(t, NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"


def parse_time(field: str, value: str, now: int) -> int:
    """Nanoseconds of ISO 8601 (without an offset: UTC), epoch milliseconds, `now`, or `-15m` (s m h d w) before now.

    Raises:
        Problem: it is none of these, or out of what the store can hold.
    """
    value = value.strip()
    if value == "now":
        return now
    if ago := _AGO.fullmatch(value):
        t = now - round(float(ago[1]) * _UNITS[ago[2]] * NS)
    elif number := _MILLISECONDS.fullmatch(value):
        t = int(number[1]) * 1_000_000 + round(float(number[2] or 0) * 1_000_000)
    else:
        try:
            # An unescaped '+' in a query arrives as a blank.
            moment = datetime.fromisoformat(_LOST_PLUS.sub(r"+\1", value))
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise bad_field(field, "time") from error
        whole = moment.replace(microsecond=0)
        t = round((whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * NS + moment.microsecond * 1000
    if not -_LAST <= t <= _LAST:
        raise bad_field(field, "time")
    return t


def parse_span(start: str | None, end: str | None, default: str = "-15m") -> Span:
    """The span of a `from` and a `to`; without them the last quarter of an hour.

    Raises:
        Problem: one cannot be read, or `from` is not before `to`.
    """
    now = time.time_ns()
    span = Span(parse_time("from", start or default, now), parse_time("to", end or "now", now))
    if span.start >= span.end:
        raise bad_field("from", "order")
    return span
