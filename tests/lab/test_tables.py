"""Reading and writing tables: what users hand in, and the errors that tell them what to mend."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from lab.tables import TableError, iso_times, read_table, write_table
from lab.text import language

SECOND = 1_000_000_000
MARCH = 1_773_051_240 * SECOND  # 2026-03-09T10:14:00Z


def put(folder: Path, text: str, name: str = "run.csv", encoding: str = "utf-8") -> Path:
    file = folder / name
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp932"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_encodings_and_line_ends(tmp_path: Path, delimiter: str, encoding: str, newline: str) -> None:
    rows = ["日時,反応器圧力,温度", "2026-03-09 10:14:00,2705.0,120.4", "2026-03-09 10:17:00,,-1e-3", ""]
    table = read_table(put(tmp_path, newline.join(rows).replace(",", delimiter), encoding=encoding))
    assert table.columns == ("反応器圧力", "温度")
    np.testing.assert_array_equal(table.values, [[2705.0, 120.4], [np.nan, -1e-3]])
    assert table.time is not None
    assert table.time.tolist() == [MARCH, MARCH + 180 * SECOND]
    assert table.period_s == 180.0
    assert not table.elapsed


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


def test_every_spelling_of_a_missing_value(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "a,b\n" + "".join(f"{cell},1\n" for cell in ("", "NaN", "NA", "null", '""', " "))))
    assert np.isnan(table.values[:, 0]).all()
    assert (table.values[:, 1] == 1).all()


def test_ignored_columns_and_rare_number_spellings(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "a,note,b\n +1.5,fine,1E3\n\n2 ,bad,.5\n"), ignore=["note", "not there"])
    assert table.columns == ("a", "b")
    np.testing.assert_array_equal(table.values, [[1.5, 1000.0], [2.0, 0.5]])


def test_row_numbers_and_trailing_delimiters_are_no_sensors(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, ",a,b,\n0,7,2,\n1,6,4,\n"))
    assert table.columns == ("a", "b")


@pytest.mark.parametrize(
    ("lines", "notes"),
    [
        (["sep=,", "日時,x,y"], []),
        (['"sep=,"', "", "日時,x,y"], []),
        (["設備A 運転日報,,", "作成日：2026/4/1,,", "", "日時,x,y"], ["line 4 is taken for the header", "left out: 2"]),
        (["設備A 運転日報", "日時,x,y"], ["line 2 is taken for the header"]),
        (["日時,x,y", ",kPa,℃"], ["line 2, under the header", "left out: kPa, ℃"]),
        (["日時,x,y", "-,[kPa],"], ["line 2, under the header", "left out: [kPa]"]),
        (["日時,x,y", ",反応器圧力,反応器温度", ",kPa,℃"], ["line 2, under", "line 3, under"]),
        (["運転日報", "日時,x,y", "", ",kPa,℃"], ["line 2 is taken", "line 4, under the header"]),
        (["日時,x,y,,"], []),
        (["2026年4月1日", "日時,x,y"], ["line 2 is taken for the header"]),
    ],
)
@pytest.mark.parametrize("tail", ["", ","])
def test_what_stands_around_the_header(tmp_path: Path, lines: list[str], notes: list[str], tail: str) -> None:
    rows = [f"2026/3/9 10:14,1,2{tail}", f"2026/3/9 10:17,3,4{tail}"]
    table = read_table(put(tmp_path, "\r\n".join([*lines, *rows]), encoding="cp932"))
    assert (table.columns, table.values.tolist(), table.period_s) == (("x", "y"), [[1, 2], [3, 4]], 180.0)
    told = [part for part in notes if part.startswith("line")]
    assert len(table.notes) == len(told)
    for part in notes:
        assert part in " ".join(table.notes)
    with pytest.raises(TableError, match=f"line {len(lines) + 3}, column 'y': 'bad'"):
        read_table(put(tmp_path, "\r\n".join([*lines, *rows, f"2026/3/9 10:20,5,bad{tail}"]), encoding="cp932"))


@pytest.mark.parametrize(
    ("name", "unit", "period_s"),
    [("経過時間", "h", 3600.0), ("time", "[min]", 60.0), ("時間", "（分）", 60.0), ("秒", "s", 1.0)],
)
def test_the_unit_of_elapsed_time_under_its_name(tmp_path: Path, name: str, unit: str, period_s: float) -> None:
    table = read_table(put(tmp_path, f"{name},x\n{unit},kPa\n0,1\n1,2\n"))
    assert (table.columns, table.period_s, table.elapsed) == (("x",), period_s, True)
    assert ": kPa" in table.notes[0] or name == "秒"


def test_a_row_that_holds_a_time_is_no_line_of_units(tmp_path: Path) -> None:
    for first in ("2026/4/1 9:00 JST,-", "4月1日 9:00,85.2℃"):
        with pytest.raises(TableError, match=r"line 2, column '日時'.*not a date"):
            read_table(put(tmp_path, f"日時,x\n{first}\n2026/4/1 9:01,2\n"))


def test_readings_of_one_sensor_are_no_titles(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="line 4 has 2 cells, but line 1"):
        read_table(put(tmp_path, "x\n1\n2\ny,z\n"))
    assert len(read_table(put(tmp_path, 'x\n""\n2\n')).values) == 2


def test_tags_that_look_like_years_of_an_era(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "日時,S1-2-3,H2.1.1,R1/1/1\n2026/3/9 10:14,1,2,3\n"))
    assert table.columns == ("S1-2-3", "H2.1.1", "R1/1/1")


def test_one_row_of_elapsed_time(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "経過時間,x\n0,1\n"))
    assert (table.columns, table.elapsed) == (("x",), True)


def test_names_broken_into_lines(tmp_path: Path) -> None:
    head = '日時,"圧力\r\n(kPa)","a,\nb"\r\n'
    table = read_table(put(tmp_path, head + "2026/3/9 10:14,1,2\r\n"))
    assert table.columns == ("圧力 (kPa)", "a, b")
    with pytest.raises(TableError, match="line 4, column 'a, b': 'bad'"):
        read_table(put(tmp_path, head + "2026/3/9 10:14,1,bad\r\n"))


def test_a_delimiter_that_is_named_above_the_header(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "sep=;\n日時;a,b;c,d,e,f\n2026/3/9 10:14;1;2\n"))
    assert table.columns == ("a,b", "c,d,e,f")


def test_a_first_row_without_values_is_no_line_of_units(tmp_path: Path) -> None:
    assert len(read_table(put(tmp_path, "a,b\n-,欠測\n1,2\n")).values) == 2
    with pytest.raises(TableError, match="line 2"):
        read_table(put(tmp_path, "a,b\n1,kPa\n1,2\n"))


def test_marks_of_missing_values_are_told(tmp_path: Path) -> None:
    marks = ["欠測", "－", "-", "***", "―", "ー", "…", "#DIV/0!", "----", "測定不能", "No Data", "．．．"]
    table = read_table(put(tmp_path, "a,b\n" + "".join(f"{mark},1\n" for mark in marks), encoding="utf-16"))
    assert np.isnan(table.values[:, 0]).all()
    (note,) = table.notes
    for part in ("missing", "欠測 (1)", "- (2)", "#DIV/0! (1)"):
        assert part in note
    assert not read_table(put(tmp_path, "a,b\nNaN,1\n,2\n")).notes


def test_a_text_that_is_called_a_workbook_is_read(tmp_path: Path) -> None:
    file = put(tmp_path, "日時\t圧力\n2026/3/9 10:14\t1\n2026/3/9 10:17\t2\n", "run.xls", "cp932")
    assert read_table(file).period_s == 180.0


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


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LAB_LANG", "en")
    language.cache_clear()
    yield
    language.cache_clear()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["empty"]),
        ("a,b\n", ["no rows"]),
        ("a,b\n1,2\n\n3,x1\n", ["line 4", "'b'", "'x1'", "ignore"]),
        ("a,b\n1,2\n3,1_0\n", ["line 3", "'b'", "'1_0'"]),
        ("a,b\n1,2\n3,inf\n", ["line 3", "'b'", "'inf'"]),
        ("a,b\n1,2\n3\n", ["line 3", "1 cells", "2"]),
        ("a,b\n1,2\n3,4,5\n", ["line 3", "3 cells", "2"]),
        ("a,a\n1,2\n", ["two columns", "'a'"]),
        ("1,2\n3,4\n", ["line 1", "header"]),
        ("a,,b\n1,2,3\n", ["column 2", "no name"]),
        ("time\n1\n2\n", ["no column of readings"]),
        ("time,x\n2026-03-09T10:14:00Z,1\n2026-03-09T10:14:00Z,2\n", ["line 3", "'time'", "same time"]),
        ("time,x\n2026-03-09T10:14:00Z,1\n2026-03-09T10:13:00Z,2\n", ["line 3", "'time'", "earlier"]),
        ("time,x\n2026-03-09T10:14:00Z,1\n,2\n", ["line 3", "'time'", "missing"]),
        ("time,x\n2026-03-09T10:14:00Z,1\nyesterday,2\n", ["line 3", "'time'", "'yesterday'"]),
        ("time,x\n2026-02-30 10:14,1\n", ["line 2", "'time'", "2026-02-30"]),
        ("日時,x\n20260430000000,1\n20260431000000,2\n", ["line 3", "'日時'", "'20260431000000'", "not a date"]),
        ("日付,x\n20260430,1\n20260431,2\n", ["line 3", "'日付'", "'20260431'", "not a date"]),
        ("time,x\n1e30,1\n", ["line 2", "'time'", "'1e30'", "not a date"]),
        ("time_s,x\n1,1\n,2\n", ["line 3", "'time_s'", "missing"]),
        ('"a,\nb,c\n1,2\n', ["line 1", "quote"]),
        ('"a,\nb,c\n' + "1,2\n" * 20 + '"', ["line 1", "quote"]),
        ("2026/4/1 9:00,1,2\n2026/4/1 9:01,3,4\n", ["line 1", "dates or numbers"]),
        ("2026/4/1 9:00,on,2\n2026/4/1 9:01,on,4\n", ["line 1", "dates or numbers"]),
        ("令和8年4月1日 9:00,1,2\n令和8年4月1日 9:01,3,4\n", ["line 1", "dates or numbers"]),
        ("設備,A\n機種,B\n日時,x,y\n2026/4/1 9:00,1,2\n", ["line 3", "3 cells", "line 1", "remove everything above"]),
        ("設備\n1,2\n3,4\n", ["line 2", "2 cells", "line 1"]),
        ("日時,x\n26/04/01,1\n27/04/01,2\n", ["line 2", "'日時'", "'26/04/01'", "four digits"]),
        ("日時,x\n04/01/26 9:00,1\n04/02/26 9:00,2\n", ["line 2", "'日時'", "'04/01/26 9:00'", "four digits"]),
        ("日時,x\n2026/4/1 午前9:00,1\n2026/4/1 午後13:00,2\n", ["line 3", "'日時'", "'2026/4/1 午後13:00'"]),
        ("日時,x\n2026/4/1 9:00,1\n9999/12/31 9:00,2\n", ["line 3", "'日時'", "'9999/12/31 9:00'"]),
        (
            "日時,x\n2026/4/1 11:59 AM,1\n2026/4/1 12:59,2\n",
            ["line 3", "'日時'", "'2026/4/1 12:59'", "(line 2)", "alike"],
        ),
        ("日時,x\n2026-4-1 9:00-05:00,1\n2026-4-1 23:00,2\n", ["line 3", "'日時'", "'2026-4-1 23:00'", "alike"]),
        ("日時,x\n2026/4/1 9:00,1\n2026/4/1 9:01Z,2\n", ["line 2", "'日時'", "'2026/4/1 9:00'", "(line 3)", "alike"]),
        ("日付,時刻,x\n20260401,950,1\n20260401,1000,2\n", ["line 2", "'日付'", "'20260401 950'", "not a date"]),
        ("time,date,x\n0,20260309,1\n10,20260309,2\n", ["line 2", "'date'", "'20260309 0'", "not a date"]),
        ("経過時間,x\n日,kPa\n0,1\n1,2\n", ["line 2", "'経過時間'", "'日'"]),
        ("日時,x\n2026/4/1 23:00,1\n2026/4/1 24:30,2\n", ["line 3", "'日時'", "'2026/4/1 24:30'"]),
        ("日時,x\n2026/4/1 9:00,1\n2026/4/1 9:00,2\n", ["line 3", "'日時'", "seconds", "h:mm:ss"]),
        ("日時,x\n2026/4/1 9:00:00,1\n2026/4/1 9:00:00,2\n", ["line 3", "'日時'", "before; keep one of the two"]),
        ("日時,x\n2026/4/1 9:00,1\n欠測,2\n", ["line 3", "'日時'", "missing"]),
        ("日時,x\n2026/4/1 9:00,1\n平均,2\n", ["line 3", "'日時'", "'平均'", "remove the line"]),
        ("日時,x\n2026/4/1 9:00,85.2℃\n", ["line 2", "'x'", "'85.2℃'", "unit"]),
        ("日時,x\n2026/4/1 9:00,12 %\n", ["line 2", "'x'", "'12 %'", "unit"]),
        ("a,b\nx,y\n1,2\n", ["line 2", "'a'", "'x'"]),
        ("設備,A\n日時,x\n2026/4/1 9:00,1\n", ["line 2", "'日時'", "one line of column names"]),
        ("時間帯,A\n日時,x\n2026/4/1 9:00,1\n", ["line 2", "'日時'", "one line of column names"]),
        ("a,b\n1,2\n1," + "2" * 200_000 + "x\n", ["line 3", "field"]),
        ("a;b\n1,5;2.5\n3;2\n", ["line 2", "'a'", "'1,5'", "'2.5'"]),
        ("a;b\n1;2\n1.000,5;2\n", ["line 3", "'a'", "'1.000,5'"]),
        ("a;b\n999,5;1\n1.000;2\n", ["line 2", "'a'", "'999,5'", "'1.000' (line 3)"]),
        ("a;b\n1,5;2\n1,234,567;2\n", ["line 3", "'a'", "'1,234,567'", "'1,5' (line 2)"]),
        ("a;b\n998;x\n1,007;2\n", ["line 3", "'a'", "'1,007'", "thousands"]),
        ('a,b\n998,1\n"1,007",2\n', ["line 3", "'a'", "'1,007'", "thousands"]),
        ('a,b\n1.5,2\n"x, y",3\n', ["line 3", "'a'", "'x, y' is not a number"]),
        ("a,b\n1,2\n10²,3\n", ["line 3", "'a'", "'10²'"]),
    ],
)
def test_errors_name_the_place(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(TableError) as caught:
        read_table(put(tmp_path, text))
    for part in ["run.csv", *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_decimal_commas(tmp_path: Path, delimiter: str) -> None:
    lines = ["time;a;b", "2026-03-09 10:14:00;1,5;2", "2026-03-09 10:14:01;-2,25e1;", "2026-03-09 10:14:02;3;0,125"]
    table = read_table(put(tmp_path, "\n".join(lines).replace(";", delimiter)))
    np.testing.assert_array_equal(table.values, [[1.5, 2], [-22.5, np.nan], [3, 0.125]])
    plus = read_table(put(tmp_path, f"a{delimiter}b\n1,5{delimiter}0,125\n+1{delimiter}1,007\n"))
    np.testing.assert_array_equal(plus.values, [[1.5, 0.125], [1, 1.007]])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_commas_between_thousands(tmp_path: Path, delimiter: str) -> None:
    lines = ["speed;level", '"1,007";50.25', '998;"-1,234.5"', '"12,345,678";']
    table = read_table(put(tmp_path, "\n".join(lines).replace(";", delimiter)))
    np.testing.assert_array_equal(table.values, [[1007, 50.25], [998, -1234.5], [12_345_678, np.nan]])
    million = read_table(put(tmp_path, "\n".join(["a;b", '"1,234,567";1', '"1,007";2']).replace(";", delimiter)))
    assert million.values[:, 0].tolist() == [1_234_567, 1007]


def test_full_width_numbers(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "温度,差\n５０．０８１,−5\n　５１,－0.5\n"))
    assert table.values.tolist() == [[50.081, -5], [51, -0.5]]


def test_delimiters_in_quoted_names_do_not_count(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, '"T1, top";"T2, ""mid"", low";c\n1,5;2,5;3\n'))
    assert table.columns == ("T1, top", 'T2, "mid", low', "c")


@pytest.mark.parametrize(
    ("above", "tail", "count"),
    [
        ("\r\n\r\n", "", 0),
        (",,\n  \n", "\n\n", 0),
        ("", ",,\r\n,,\r\n", 2),
        ("", "  \n\x1a", 2),
        ("", "\0\0\0\0", 1),
        ("\n", " , ,\n\n,,", 2),
    ],
)
def test_what_stands_above_and_below_a_table(tmp_path: Path, above: str, tail: str, count: int) -> None:
    table = read_table(put(tmp_path, f"{above}a,b,c\n1,2,\n,,\n3,4,\n{tail}"))
    np.testing.assert_array_equal(table.values[:, :2], [[1, 2], [np.nan, np.nan], [3, 4]])
    assert [note.rpartition(" ")[2] for note in table.notes] == [str(count)] * (count > 0)
    ended = read_table(put(tmp_path, f"{above}a,b,c\n1,2,3\x1a"))
    assert (ended.values.tolist(), ended.notes) == ([[1, 2, 3]], ())
    with pytest.raises(TableError, match=f"line {above.count(chr(10)) + 3}, column 'b'"):
        read_table(put(tmp_path, f"{above}a,b,c\n1,2,3\n1,x,3\n{tail}"))
    with pytest.raises(TableError, match=f"line {above.count(chr(10)) + 1}: two columns"):
        read_table(put(tmp_path, f"{above}a,a,c\n1,2,3\n{tail}"))


def test_old_line_ends(tmp_path: Path) -> None:
    assert read_table(put(tmp_path, "a,b\r1,2\r3,4\r")).values.tolist() == [[1, 2], [3, 4]]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")

    def interrupted(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_table(target, ["a"], [[1.0, 2.0]])
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]
    assert target.read_text() == "before"


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_errors_are_told_in_the_users_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lang: str) -> None:
    monkeypatch.setenv("LAB_LANG", lang)
    language.cache_clear()
    with pytest.raises(TableError) as caught:
        read_table(put(tmp_path, "温度,b\n1,2\nx1,3\n"))
    assert {"run.csv", "温度", "x1"} <= set(re.findall(r"run\.csv|温度|x1", str(caught.value)))
    assert ("3 行目" if lang == "ja" else "line 3") in str(caught.value)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        read_table(tmp_path / "none.csv")
    for name, content, match in [
        ("a.csv.gz", gzip.compress(b"a\n1\n")[:-4], "gzip"),
        ("b.csv.gz", b"a\n1\n", "gzip"),
        ("c.parquet", b"a\n1\n", "Parquet"),
        ("d.xlsx", b"PK\x03\x04", "Excel"),
        ("d.csv", b"PK\x03\x04", "Excel"),
        ("d.xls", b"\r\n<HTML>\n<table><tr><td>x,y</td></tr>", "Excel"),
        ("d.xls", b'\xef\xbb\xbf<?xml version="1.0"?>\n<Workbook>', "Excel"),
        ("d.xls", b"\xd0\xcf\x11\xe0", "Excel"),
        ("e.csv", b"a,b\n\x00\x01,2\n", "binary"),
        ("f.csv", b"a,b\n\x81,2\n", "UTF-8"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TableError, match=match):
            read_table(tmp_path / name)
    write_table(tmp_path / "g.parquet", ["a"], [np.random.default_rng(1).normal(size=5000)])
    damaged = bytearray((tmp_path / "g.parquet").read_bytes())
    damaged[2000:2100] = bytes(100)
    (tmp_path / "g.parquet").write_bytes(damaged)
    with pytest.raises(TableError, match="not a Parquet file, or not a whole one"):
        read_table(tmp_path / "g.parquet")
    with pytest.raises(TableError, match=r"no column 'when'.*a, b"):
        read_table(put(tmp_path, "a,b\n1,2\n"), time="when")
    with pytest.raises(TableError, match="period"):
        read_table(put(tmp_path, "a,b\n1,2\n"), period_s=-1)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_what_is_written_reads_back_exactly(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(50, 3)) * 10.0 ** rng.integers(-300, 300, (50, 3))
    values[3, 1] = np.nan
    times = MARCH + np.arange(50) * 123_456_000
    write_table(tmp_path / name, ["time", "a", 'b "quoted", é', "c"], [iso_times(times), *values.T])
    table = read_table(tmp_path / name)
    assert table.columns == ("a", 'b "quoted", é', "c")
    np.testing.assert_array_equal(table.values, values)
    assert table.time is not None
    assert (table.time == times).all()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_parquet_with_a_text_column_and_a_time_index(tmp_path: Path) -> None:
    stamps = (MARCH + np.arange(3) * SECOND).astype("datetime64[ns]")
    write_table(tmp_path / "t.parquet", ["timestamp", "x", "state"], [stamps, [1, 2, 3], ["on", "on", "off"]])
    with pytest.raises(TableError, match="'state' holds string"):
        read_table(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", ignore=["state"])
    assert table.time is not None
    assert table.time[0] == MARCH
    zipped = tmp_path / "t.parquet.gz"
    zipped.write_bytes(gzip.compress((tmp_path / "t.parquet").read_bytes()))
    np.testing.assert_array_equal(read_table(zipped, ignore=["state"]).values, table.values)


def test_parquet_times_to_the_nanosecond(tmp_path: Path) -> None:
    for zone in (None, "UTC", "Asia/Tokyo"):
        stamps = pyarrow.array(MARCH + np.arange(3) * SECOND + 123, pyarrow.timestamp("ns", tz=zone))
        parquet.write_table(pyarrow.table({"記録時刻": stamps, "x": [1, 2, 3]}), tmp_path / "t.parquet")
        table = read_table(tmp_path / "t.parquet")
        assert table.columns == ("x",)
        assert table.time is not None
        assert table.time[0] == MARCH + 123
        parquet.write_table(pyarrow.table({"time": stamps.take([1, 0]), "x": [1, 2]}), tmp_path / "t.parquet")
        with pytest.raises(TableError, match=r"row 2, column 'time': '2026-03-09 10:14:00.000000123' is earlier"):
            read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("kind", [pyarrow.timestamp("us"), pyarrow.timestamp("s", tz="UTC"), pyarrow.date32()], ids=str)
def test_parquet_times_beyond_what_nanoseconds_hold(tmp_path: Path, kind: pyarrow.DataType) -> None:
    days = pyarrow.array([20_000, 2_932_896], pyarrow.int32()).cast(pyarrow.date32())  # the second is 9999-12-31
    parquet.write_table(pyarrow.table({"time": days.cast(kind), "x": [1, 2]}), tmp_path / "t.parquet")
    with pytest.raises(TableError, match="row 2, column 'time': '9999-12-31"):
        read_table(tmp_path / "t.parquet")


def test_writing_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="cannot be written"):
        write_table(tmp_path / "no" / "t.csv", ["a"], [[1.0]])
    with pytest.raises(ValueError, match="2 names for 1"):
        write_table(tmp_path / "t.csv", ["a", "b"], [[1.0]])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=20, unique=True))
def test_epoch_microseconds_survive(tmp_path_factory: pytest.TempPathFactory, stamps: list[int]) -> None:
    folder = tmp_path_factory.mktemp("epoch")
    times = sorted(10**9 * 10**6 + micros for micros in stamps)
    text = "t,time\n" + "".join(f"1,{t // 10**6}.{t % 10**6:06d}\n" for t in times)
    table = read_table(put(folder, text))
    assert table.time is not None
    assert (np.abs(table.time - np.array(times) * 1000) <= 1000).all()


def test_published_records(shared: Path) -> None:
    table = read_table(shared / "data" / "tep" / "braatz" / "d00.csv.gz", period_s=180)
    assert table.values.shape == (500, 52)
    assert table.columns[41] == "xmv_1"
    assert table.time is None
    skab = read_table(shared / "data" / "skab" / "valve1_00.csv.gz", ignore=["anomaly", "changepoint"])
    assert skab.values.shape[1] == 8
    assert skab.period_s == 1.0
