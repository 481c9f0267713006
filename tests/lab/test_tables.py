"""Reading tables: what users hand in, and the errors that tell them what to mend."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from lab.tables import TableError, read_table
from lab.text import language
from lab.writing import write_table

pytestmark = pytest.mark.usefixtures("english")

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


def test_published_records(shared: Path) -> None:
    table = read_table(shared / "data" / "tep" / "braatz" / "d00.csv.gz", period_s=180)
    assert table.values.shape == (500, 52)
    assert table.columns[41] == "xmv_1"
    assert table.time is None
    skab = read_table(shared / "data" / "skab" / "valve1_00.csv.gz", ignore=["anomaly", "changepoint"])
    assert skab.values.shape[1] == 8
    assert skab.period_s == 1.0
