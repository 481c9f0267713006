"""Times of tables: which column they are, and every way in which they are written."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.tables import TableError, read_table

pytestmark = pytest.mark.usefixtures("english")

SECOND = 1_000_000_000
MARCH = 1_773_051_240 * SECOND  # 2026-03-09T10:14:00Z


def put(folder: Path, text: str, name: str = "run.csv", encoding: str = "utf-8") -> Path:
    file = folder / name
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize(
    "cell",
    [
        "2026-03-09T10:14:00Z",
        "2026-03-09T10:14:00",
        "2026-03-09 10:14",
        "2026-03-09T19:14:00+09:00",
        "2026-03-09T19:14:00+0900",
        "2026/03/09 10:14:00.0",
        "2026/3/9 10:14",
        "2026/3/9 10:14:00.000",
        "2026年3月9日 10時14分",
        "2026.03.09 10:14:00,000",
        "2026年3月9日10時14分",
        "2026年３月９日（月）　１０：１４",
        "2026/03/09(月) 10:14:00",
        "2026/3/9 午前10:14",
        "2026/3/9 AM 10:14:00",
        "2026/3/9 10:14:00 am",
        "2026年3月9日 午前10時14分0秒",
        "令和8年3月9日 10:14",
        "R8.3.9 10:14",
        "R08/03/09 10:14:00",
        "26/03/09 10:14",
        "'26-03-09 10:14:00",
        "09-Mar-2026 10:14:00",
        "9-mar-26 10:14:00.000",
        "09-MAR-26 10:14:00 AM",
        "9 Mar 2026 10:14",
        "09-Mar-2026 19:14:00+09:00",
        "1773051240",
        "1773051240.0",
        "1773051240000",
        "20260309101400",
        "202603091014",
        "20260309 101400",
        "20260309T101400",
        "２０２６/３/９ １０:１４",
        "1773051240000000000",
    ],
)
def test_every_spelling_of_a_time(tmp_path: Path, cell: str) -> None:
    table = read_table(put(tmp_path, f'timestamp;x\n"{cell}";1\n'))
    assert table.time is not None
    assert table.time.tolist() == [MARCH]
    assert table.period_s is None


@pytest.mark.parametrize(
    ("cell", "same"),
    [
        ("2026/4/1 24:00", "2026-04-02T00:00:00"),
        ("2026年12月31日 24時00分", "2027-01-01T00:00:00"),
        ("2026/4/1 24:00:00.0", "2026-04-02T00:00:00"),
        ("2026/4/1 午前0:05", "2026-04-01T00:05:00"),
        ("2026/4/1 12:05:30 AM", "2026-04-01T00:05:30"),
        ("2026/4/1 午後0:05", "2026-04-01T12:05:00"),
        ("2026/4/1 午後12:05", "2026-04-01T12:05:00"),
        ("2026年4月1日午後3時", "2026-04-01T15:00:00"),
        ("令和元年5月1日 9:00", "2019-05-01T09:00:00"),
        ("平成31年4月30日", "2019-04-30T00:00:00"),
        ("99/12/31 23:59", "1999-12-31T23:59:00"),
        ("88/12/31 23:59", "1988-12-31T23:59:00"),
    ],
)
def test_times_of_day_and_eras(tmp_path: Path, cell: str, same: str) -> None:
    one, other = (read_table(put(tmp_path, f"日時,x\n{time},1\n")).time for time in (cell, same))
    assert one is not None
    assert other is not None
    assert one.tolist() == other.tolist()


def test_years_of_two_digits_are_told(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "日時,x\n26/04/30 24:00,1\n26/05/01 00:01,2\n"))
    (note,) = table.notes
    for part in ("'日時'", "'26/04/30 24:00'", "2026-05-01T00:00:00", "four digits"):
        assert part in note
    assert table.period_s == 60.0
    mixed = read_table(put(tmp_path, "日時,x\n2026/4/1 9:00,1\n26/4/1 9:01,2\n"))
    assert mixed.period_s == 60.0
    assert "'26/4/1 9:01'" in mixed.notes[0]


def test_fractions_of_a_second_are_kept(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "time,x\n2026/03/09 10:14:00.125,1\n2026/03/09 10:14:00.250,1\n"))
    assert table.time is not None
    assert table.time.tolist() == [MARCH + 125_000_000, MARCH + 250_000_000]


@pytest.mark.parametrize(
    ("head", "cells", "expected"),
    [
        ("time_h", ["0", "0.05"], [0, 180 * SECOND]),
        ("time_s", ["0", "180"], [0, 180 * SECOND]),
        ("elapsed (min)", ["0", "3"], [0, 180 * SECOND]),
        ("time", ["0", "180"], [0, 180 * SECOND]),
        ("t_s", ["0", "180"], [0, 180 * SECOND]),
        ("t(min)", ["0", "3"], [0, 180 * SECOND]),
        ("t [h]", ["0", "0.05"], [0, 180 * SECOND]),
        ("ts", ["0", "180"], [0, 180 * SECOND]),
        ("経過時間(秒)", ["0", "180"], [0, 180 * SECOND]),
        ("経過時間（分）", ["0", "3"], [0, 180 * SECOND]),
        ("時間[h]", ["0", "0.05"], [0, 180 * SECOND]),
        ("時間(s)", ["0", "180"], [0, 180 * SECOND]),
        ("経過時間", ["0", "180"], [0, 180 * SECOND]),
        ("秒", ["0", "180"], [0, 180 * SECOND]),
        ("time_s", ["20260401", "20260581"], [20_260_401 * SECOND, 20_260_581 * SECOND]),
        ("time", ["46113", "46293"], [46_113 * SECOND, 46_293 * SECOND]),
    ],
)
def test_elapsed_time(tmp_path: Path, head: str, cells: list[str], expected: list[int]) -> None:
    table = read_table(put(tmp_path, f"{head},x\n{cells[0]},1\n{cells[1]},2\n"))
    assert table.elapsed
    assert table.time is not None
    assert table.time.tolist() == expected
    assert table.columns == ("x",)


def test_seconds_that_no_unit_names_are_told(tmp_path: Path) -> None:
    (note,) = read_table(put(tmp_path, "経過時間,x\n0,1\n10,2\n")).notes
    assert "'経過時間' is taken for seconds" in note
    assert not read_table(put(tmp_path, "time_s,x\n0,1\n10,2\n")).notes
    assert read_table(put(tmp_path, "秒,x\n59,1\n0,2\n")).columns == ("秒", "x")


@pytest.mark.parametrize(
    ("head", "cells", "start", "period"),
    [
        ("日時", ["46090.426389", "46090.427083"], MARCH, 60.0),
        ("time", ["46090.42638888889", "46090.42708333333"], MARCH, 60.0),
        ("記録時刻", ["46090.42638888889", "46090.42639467593"], MARCH, 0.5),
        ("日付", ["46090", "46091"], MARCH - 36_840 * SECOND, 86_400.0),
        ("日付", ["20260309", "20260310"], MARCH - 36_840 * SECOND, 86_400.0),
        ("date", ["20260309", "20260310"], MARCH - 36_840 * SECOND, 86_400.0),
        ("Time(s)", ["2026/3/9 10:14", "2026/3/9 10:17"], MARCH, 180.0),
        ("経過時間(秒)", ["2026/3/9 10:14", "2026/3/9 10:17"], MARCH, 180.0),
        ("記録時刻", ["20260309101400", "20260309101700"], MARCH, 180.0),
        ("unix_time", ["1773051240", "1773051420"], MARCH, 180.0),
        ("記録時刻", ["1773051240000", "1773051420000"], MARCH, 180.0),
        ("Time [s]", ["1773051240", "1773051420"], MARCH, 180.0),
        ("timestamp", ["500000000", "500000060"], 500_000_000 * SECOND, 60.0),
    ],
)
def test_dates_that_are_numbers_or_under_another_name(
    tmp_path: Path, head: str, cells: list[str], start: int, period: float
) -> None:
    table = read_table(put(tmp_path, f"{head},x\n{cells[0]},1\n{cells[1]},2\n"))
    assert table.time is not None
    assert table.time[0] == start
    assert table.period_s == pytest.approx(period)
    assert (table.columns, table.elapsed) == (("x",), False)
    assert bool(table.notes) == cells[0].startswith("460")


def test_temperatures_are_no_times(tmp_path: Path) -> None:
    assert read_table(put(tmp_path, "Tmin,Th\n5,1\n4,2\n")).columns == ("Tmin", "Th")


def test_of_several_times_the_one_with_dates(tmp_path: Path) -> None:
    hours = read_table(put(tmp_path, "時間,日時,x\n4,2026/3/9 10:14,1\n4,2026/3/9 10:17,2\n"))
    assert (hours.columns, hours.period_s) == (("時間", "x"), 180.0)
    days = read_table(put(tmp_path, "time,date,x\n0,20260309,1\n10,20260309,2\n"), ignore=["date"])
    assert (days.columns, days.period_s) == (("x",), 10.0)
    rising = read_table(put(tmp_path, "時間,time_s,x\n4,0,1\n4,10,2\n"))
    assert (rising.columns, rising.period_s) == (("時間", "x"), 10.0)
    worked = read_table(put(tmp_path, "総運転時間,x\n20101231,1\n20101241,2\n"))
    assert (worked.columns, worked.time) == (("総運転時間", "x"), None)


def test_what_a_comma_is_is_decided_with_the_time(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "time_h;speed\n0.05;1,007\n0.10;998\n"))
    assert (table.values[:, 0].tolist(), table.period_s) == ([1007, 998], 180.0)


def test_date_and_clock_columns_are_joined(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "日付,時刻,x\n2026/3/9,10:14:00,1\n2026/3/9,10:17:00,2\n", encoding="cp932"))
    assert table.columns == ("x",)
    assert table.time is not None
    assert table.time.tolist() == [MARCH, MARCH + 180 * SECOND]


def test_time_found_by_content_or_named_by_the_caller(tmp_path: Path) -> None:
    file = put(tmp_path, "x,when,count\n1,2026-03-09T10:14:00Z,10\n2,2026-03-09T10:17:00Z,20\n")
    assert read_table(file).columns == ("x", "count")
    by_name = read_table(file, time="count", ignore=["when"])
    assert by_name.columns == ("x",)
    assert by_name.period_s == 10.0


def test_no_time_column(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "a,b\n1,2\n3,4\n"), period_s=5.0)
    assert table.time is None
    assert table.period_s == 5.0
    assert table.columns == ("a", "b")


def test_one_row_of_elapsed_time(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "経過時間,x\n0,1\n"))
    assert (table.columns, table.elapsed) == (("x",), True)


@pytest.mark.parametrize("clocks", [("0959", "1002"), ("095900", "100200")])
def test_date_and_clock_of_digits_are_joined(tmp_path: Path, clocks: tuple[str, str]) -> None:
    rows = "日付,時刻,x\n" + "".join(f"20260309,{clock},1\n" for clock in clocks)
    table = read_table(put(tmp_path, rows))
    assert (table.columns, table.period_s) == (("x",), 180.0)
    with pytest.raises(TableError, match=r"line 4.*'20260309 1060'"):
        read_table(put(tmp_path, rows + "20260309,1060,1\n"))


def test_date_and_a_clock_of_half_days_are_joined(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "日付,時刻,x\n2026/3/9,午前11:59,1\n2026/3/9,午後0:02,2\n"))
    assert (table.columns, table.period_s) == (("x",), 180.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=20, unique=True))
def test_epoch_microseconds_survive(tmp_path_factory: pytest.TempPathFactory, stamps: list[int]) -> None:
    folder = tmp_path_factory.mktemp("epoch")
    times = sorted(10**9 * 10**6 + micros for micros in stamps)
    text = "t,time\n" + "".join(f"1,{t // 10**6}.{t % 10**6:06d}\n" for t in times)
    table = read_table(put(folder, text))
    assert table.time is not None
    assert (np.abs(table.time - np.array(times) * 1000) <= 1000).all()
