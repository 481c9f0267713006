"""Forms of time at the border."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.problems import Problem
from api.times import NS, iso, parse_span, parse_time

NOW = 1_764_000_000 * NS + 123_456_789


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("now", NOW),
        ("-15m", NOW - 900 * NS),
        ("-1.5h", NOW - 5400 * NS),
        ("-2d", NOW - 172_800 * NS),
        ("-1w", NOW - 604_800 * NS),
        ("-30s", NOW - 30 * NS),
        ("1764000000123", 1_764_000_000_123 * 10**6),
        ("1764000000123.5", 1_764_000_000_123_500_000),
        ("0", 0),
        ("2026-01-01T00:00:00Z", 1_767_225_600 * NS),
        ("2026-01-01T09:00:00+09:00", 1_767_225_600 * NS),
        ("2026-01-01T09:00:00 09:00", 1_767_225_600 * NS),
        ("2026-01-01T00:00:00.250", 1_767_225_600 * NS + 250_000_000),
        ("2026-01-01", 1_767_225_600 * NS),
        (" 2026-01-01 ", 1_767_225_600 * NS),
    ],
)
def test_forms(written: str, expected: int) -> None:
    assert parse_time("from", written, NOW) == expected


@pytest.mark.parametrize(
    "written", ["", "yesterday", "-15", "-15x", "15m", "2026-13-01", "9" * 15, "-99999999w", "0001-01-01", "9999-12-31"]
)
def test_what_is_no_time_names_its_field(written: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_time("from", written, NOW)
    assert [error[:2] for error in caught.value.errors] == [("from", "api.field.time")]


def test_from_must_be_before_to() -> None:
    with pytest.raises(Problem) as caught:
        parse_span("-1m", "-2m")
    assert caught.value.errors[0][:2] == ("from", "api.field.order")


def test_a_span_is_a_quarter_of_an_hour_when_nothing_is_said() -> None:
    span = parse_span(None, None)
    assert span.end - span.start == 900 * NS


@given(st.integers(-(2**62), 2**62))
def test_iso_is_read_back_to_the_millisecond(t: int) -> None:
    written = iso(t)
    assert written is not None
    assert parse_time("to", written, 0) == t // 10**6 * 10**6


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_a_problem(written: str) -> None:
    with contextlib.suppress(Problem):
        assert abs(parse_time("from", written, NOW)) < 2**63


@given(st.datetimes(datetime(1970, 1, 1), datetime(2250, 1, 1)))
def test_microseconds_are_exact(moment: datetime) -> None:
    expected = (moment - datetime(1970, 1, 1)).total_seconds()
    found = parse_time("to", moment.isoformat(), 0)
    assert abs(found / NS - expected) < 1e-3
    assert found // 1000 % 10**6 == moment.microsecond


def test_iso_of_nothing() -> None:
    assert iso(None) is None
    assert iso(NOW) == f"{datetime.fromtimestamp(1_764_000_000, UTC):%Y-%m-%dT%H:%M:%S}.123Z"
