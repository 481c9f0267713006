"""Times without a zone: whose they are, what is written for them, and what changes of clocks do."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from lab.tables import Table, TableError, read_table
from lab.zones import find_zone, from_utc, iso_times, to_utc

SECOND = 1_000_000_000
NINE = 1_775_034_000 * SECOND  # 2026-04-01T09:00:00Z
HOUR = 3600 * SECOND


def read(folder: Path, times: list[str], zone: str | None, name: str = "日時") -> Table:
    file = folder / "run.csv"
    file.write_text(f"{name},x\n" + "".join(f"{time},{at}\n" for at, time in enumerate(times)), encoding="utf-8")
    return read_table(file, zone=None if zone is None else find_zone(zone))


def written(table: Table) -> list[str]:
    assert table.time is not None
    return [time.replace(":00.000", "") for time in iso_times(table.time, table.zone)]


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        ("Asia/Tokyo", 9.0), ("+09:00", 9.0), ("+0900", 9.0), ("+9", 9.0), ("JST", 9.0), ("＋０９：００", 9.0),
        ("GMT+9", 9.0), ("-03:30", -3.5), ("+14:00", 14.0), ("Z", 0.0), ("utc", 0.0), ("+00:00", 0.0),
        ("America/St_Johns", -2.5),
    ],
)  # fmt: skip
def test_names_of_zones(name: str, hours: float) -> None:
    zone = find_zone(name)
    assert zone is not None
    assert zone.utcoffset(datetime(2026, 7, 1)) == timedelta(hours=hours)


@pytest.mark.parametrize("name", ["", "Asia", "Asia/Edo", "../Asia/Tokyo", "東京", "+15:00", "+9:60", "09:00", "9"])
def test_what_is_no_zone(name: str) -> None:
    assert find_zone(name) is None


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "+09:00"])
@pytest.mark.parametrize(
    "times",
    [
        ["2026-04-01T09:00:00", "2026-04-01T09:01:00"],
        ["2026/4/1 9:00", "2026/4/1 9:01"],
        ["令和8年4月1日 午前9:00", "令和8年4月1日 午前9:01"],
        ["26/04/01 09:00", "26/04/01 09:01"],
        ["20260401090000", "20260401090100"],
        ["46113.375", "46113.3756944"],
    ],
)
def test_times_of_a_zone(tmp_path: Path, times: list[str], zone: str) -> None:
    table = read(tmp_path, times, zone)
    assert table.time is not None
    assert table.time.tolist() == [NINE - 9 * HOUR, NINE - 9 * HOUR + 60 * SECOND]
    assert table.zoneless
    assert written(table) == ["2026-04-01T09:00+09:00", "2026-04-01T09:01+09:00"]
    for note in table.notes:  # of years of two digits and Excel's days: in the same zone
        assert "2026-04-01T09:00:00.000+09:00" in note
    assert written(read(tmp_path, times, None)) == ["2026-04-01T09:00Z", "2026-04-01T09:01Z"]


@pytest.mark.parametrize(
    ("times", "name"),
    [
        (["2026-04-01T09:00:00Z", "2026-04-01T09:01:00Z"], "日時"),
        (["2026-04-01T11:00:00+02:00", "2026-04-01T11:01:00+02:00"], "日時"),
        (["2026/4/1 9:00 UTC", "2026/4/1 9:01 UTC"], "日時"),
        (["1775034000", "1775034060"], "日時"),
        (["2026/4/1 9:00", "2026/4/1 9:01"], "日時(UTC)"),
        (["2026/4/1 9:00", "2026/4/1 9:01"], "utc"),
        (["2026/4/1 9:00", "2026/4/1 9:01"], "timestampUTC"),
        (["2026/4/1 18:00", "2026/4/1 18:01"], "日時(UTC+9)"),
        (["2026/4/1 18:00", "2026/4/1 18:01"], "時刻（ＵＴＣ＋０９：００）"),
        (["2026/4/1 18:00", "2026/4/1 18:01"], "日時(JST)"),
        (["2026/4/1 4:00", "2026/4/1 4:01"], "time_utc-0500"),
    ],
)
def test_times_that_tell_their_zone_keep_it(tmp_path: Path, times: list[str], name: str) -> None:
    table = read(tmp_path, times, "Asia/Tokyo", name)
    assert table.time is not None
    assert table.time.tolist() == [NINE, NINE + 60 * SECOND]
    assert not table.zoneless
    assert written(table)[0] == "2026-04-01T18:00+09:00"
    assert written(read(tmp_path, times, None, name))[0] == "2026-04-01T09:00Z"


def test_date_and_clock_apart(tmp_path: Path) -> None:
    table = read(tmp_path, ["2026/4/1,9:00", "2026/4/1,9:01"], "JST", "日付,時刻")
    assert written(table)[0] == "2026-04-01T09:00+09:00"


def test_elapsed_time_has_no_zone(tmp_path: Path) -> None:
    table = read(tmp_path, ["0", "60"], "Asia/Tokyo", "time_s")
    assert table.time is not None
    assert (table.time.tolist(), table.elapsed, table.zoneless) == ([0, 60 * SECOND], True, False)


@pytest.mark.parametrize(
    ("kind", "cells", "first"),
    [
        (pyarrow.timestamp("us"), [NINE // 1000, NINE // 1000 + 1], "2026-04-01T09:00:00.000000+09:00"),
        (pyarrow.timestamp("ms", tz="UTC"), [NINE // 10**6, NINE // 10**6 + 1], "2026-04-01T18:00:00.000+09:00"),
        (pyarrow.timestamp("s", tz="-05:00"), [NINE // SECOND, NINE // SECOND + 1], "2026-04-01T18:00:00.000+09:00"),
        (pyarrow.date32(), [date(2026, 4, 1), date(2026, 4, 2)], "2026-04-01T00:00:00.000+09:00"),
        (pyarrow.string(), ["2026-04-01 09:00", "2026-04-01 09:01"], "2026-04-01T09:00:00.000+09:00"),
    ],
    ids=str,
)
def test_parquet_with_and_without_a_zone(tmp_path: Path, kind: pyarrow.DataType, cells: list[int], first: str) -> None:
    file = tmp_path / "run.parquet"
    parquet.write_table(pyarrow.table({"time": pyarrow.array(cells, kind), "x": [1.0, 2.0]}), file)
    table = read_table(file, zone=ZoneInfo("Asia/Tokyo"))
    assert table.time is not None
    assert iso_times(table.time, table.zone)[0] == first
    assert table.zoneless == (getattr(kind, "tz", None) is None)


def test_an_hour_that_comes_twice_is_told_apart_by_the_order_of_the_rows(tmp_path: Path) -> None:
    times = [f"2026/10/25 {clock}" for clock in ("1:30", "2:00", "2:30", "2:00", "2:30", "3:00")]
    table = read(tmp_path, times, "Europe/Berlin")
    assert [time[11:] for time in written(table)] == [
        "01:30+02:00", "02:00+02:00", "02:30+02:00", "02:00+01:00", "02:30+01:00", "03:00+01:00",
    ]  # fmt: skip
    assert table.notes == ()
    assert table.period_s == 1800
    hourly = read(tmp_path, [f"2026/10/25 {hour}:00" for hour in (1, 2, 2, 3)], "Europe/Berlin")
    assert hourly.time is not None
    assert np.diff(hourly.time).tolist() == [HOUR] * 3
    with pytest.raises(TableError, match=r"line 5, .*'2026/10/25 2:00' is earlier .*--timezone"):
        read(tmp_path, times, None)
    # a line that came twice is not said to be earlier, and an hour that did may be the clock's
    for hours, said in (
        ((0, 1, 1, 2), "same time .* or, if the clock was set back"),
        ((0, 2, 2, 4), "same time .* digits"),
    ):
        with pytest.raises(TableError, match=said):
            read(tmp_path, [f"2026/10/25 {hour}:00:00" for hour in hours], None)
    # of years of two digits no reading is in order, but for the hour
    with pytest.raises(TableError, match="four digits"):
        read(tmp_path, [f"{day}/10/26 {at}" for day, at in ((24, "2:30"), (25, "2:30"), (25, "2:00"))], "Europe/Berlin")
    with pytest.raises(TableError, match=r"sort the lines by time$"):
        read(tmp_path, [f"2026/10/25 2:{minute:02}" for minute in range(59, 0, -1)], None)


def test_an_hour_of_which_nothing_tells_when_is_told(tmp_path: Path) -> None:
    table = read(tmp_path, ["2026/10/25 1:00", "2026/10/25 2:00", "2026/10/25 3:00"], "Europe/Berlin")
    (note,) = table.notes
    for part in ("line 3", "'日時'", "'2026/10/25 2:00'", "Europe/Berlin", "+02:00", "(times of that kind: 1)"):
        assert part in note
    assert [time[11:] for time in written(table)] == ["01:00+02:00", "02:00+02:00", "03:00+01:00"]
    assert read(tmp_path, ["2026/10/25 1:00", "2026/10/25 2:00"], "+01:00").notes == ()
    # one night told apart by its rows, the one a year later not
    later = ["2026/10/25 2:00", "2026/10/25 2:00", "2027/10/31 2:00", "2027/10/31 3:00"]
    assert "'2027/10/31 2:00'" in read(tmp_path, later, "Europe/Berlin").notes[0]


def test_an_hour_that_was_left_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"line 3, .*'2026/3/29 2:30' does not exist in Europe/Berlin.*=\+01:00"):
        read(tmp_path, ["2026/3/29 1:30", "2026/3/29 2:30", "2026/3/29 3:30"], "Europe/Berlin")
    assert written(read(tmp_path, ["2026/3/29 2:30"], "+01:00")) == ["2026-03-29T02:30+01:00"]


@pytest.mark.parametrize("name", ["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Asia/Tokyo"])
def test_whole_years_there_and_back(name: str) -> None:
    zone = ZoneInfo(name)
    start = int(datetime(2005, 1, 1, tzinfo=UTC).timestamp()) * SECOND
    times = start + np.arange(3 * 366 * 48, dtype=np.int64) * HOUR // 2 + 61 * SECOND
    shown, offsets = from_utc(times, zone)
    for at in range(0, len(times), 997):
        there = datetime.fromtimestamp(int(times[at]) // SECOND, zone)
        assert there.utcoffset() == timedelta(seconds=int(offsets[at]))
    back, skipped, doubtful = to_utc(shown, zone)
    np.testing.assert_array_equal(back, times)
    assert not skipped.any()
    assert not doubtful.any()
