"""Files read into tables: headers in two languages, and rows that cannot be right kept out with a reason."""

import dataclasses
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.corrosion.cells import Cell
from lab.corrosion.columns import TABLES, TableName, propose, split_unit
from lab.corrosion.register import Register, build_register, read_register
from lab.corrosion.sheets import propose_mapping, read_mapping
from lab.corrosion.template import write_template
from lab.tables import TableError
from models.corrosion import tables

AT = date(2026, 4, 1)
LINES = """ライン番号,呼び径,公称肉厚(mm),運転温度(℃),設計圧力(MPa),保温材,設置日,塗装
L-1,150A,7.11,95,1.0,ロックウール,H10.4.1,エポキシ1層
L-2,4B,6.02,60,1.0,なし,1998,なし
"""
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(name: str, content: str) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode("cp932" if "cp932" in name else "utf-8-sig" if "bom" in name else "utf-8"))
        return path

    return made


def read(write: Write, inspections: str, lines: str = LINES, name: str = "i.csv", **more: Path) -> Register:
    return read_register(write("lines.csv", lines), write(name, inspections), at=AT, **more)


def same(a: Register, b: Register) -> bool:
    for name in ("lines", "points", "inspections"):
        for field in dataclasses.fields(getattr(a, name)):
            x, y = getattr(getattr(a, name), field.name), getattr(getattr(b, name), field.name)
            if not (x == y if isinstance(x, tuple) else np.array_equal(x, y, equal_nan=x.dtype.kind in "fM")):
                return False
    return a.weather == b.weather


@pytest.mark.parametrize("name", ["i.csv", "i_bom.csv", "i_cp932.csv"])
def test_encodings(write: Write, name: str) -> None:
    found = read(write, "ライン番号,測定箇所,検査日,測定肉厚(mm)\nL-1,エルボ上,2024/4/1,6.5\n", name=name)
    assert found.points.id == ("エルボ上", "L-2:unmeasured")
    assert found.inspections.reading.tolist() == [6.5]
    assert found.unmeasured.tolist() == [False, True]


def test_what_the_line_says_is_understood(write: Write) -> None:
    lines = read(write, "line,date,thickness\nL-1,2024-04-01,6.5\n").lines
    assert lines.nps.tolist() == [6.0, 4.0]
    assert lines.diameter.tolist() == [168.3, 114.3]
    assert [tables.INSULATION[code] for code in lines.insulation] == ["mineral_wool", "none"]
    assert lines.installed.astype("datetime64[D]").astype(str).tolist() == ["1998-04-01", "1998-01-01"]
    assert np.isnan(lines.t_req).all()


@pytest.mark.parametrize(
    ("row", "code", "column"),
    [
        ("L-1,1,2024/4/1,71.1", "slip_point", "thickness"),
        ("L-1,1,2024/4/1,0.711", "slip_point", "thickness"),
        ("L-1,1,2024/4/1,0.27", "slip_inch", "thickness"),
        ("L-1,1,2024/4/1,9.9", "thick", "thickness"),
        ("L-1,1,2024/4/1,0.33", "thin", "thickness"),
        ("L-1,1,2024/4/1,-6.5", "positive", "thickness"),
        ("L-1,1,2024/4/1,0", "positive", "thickness"),
        ("L-1,1,2024/4/1,thin", "number", "thickness"),
        ("L-1,1,2024/4/1,6.5 kg", "unit", "thickness"),
        ("L-1,1,2024/4/1,", "nothing", "thickness"),
        ("L-1,1,1990/4/1,6.5", "before_installed", "date"),
        ("L-1,1,2027/4/1,6.5", "future", "date"),
        ("L-1,1,4/1/2024,6.5", "date", "date"),
        ("L-1,1,,6.5", "missing", "date"),
        ("L-9,1,2024/4/1,6.5", "line", "line"),
    ],
)
def test_a_row_that_cannot_be_right_is_kept_out_and_the_rest_goes_on(
    write: Write, row: str, code: str, column: str
) -> None:
    found = read(write, f"line,point,date,thickness\nL-2,1,2020/4/1,5.5\n{row}\nL-1,2,2024/4/1,6.4\n")
    assert [(each.row, each.code, each.column) for each in found.kept_out] == [(3, code, column)]
    assert found.kept_out[0].cell == {"date": row.split(",")[2], "thickness": row.split(",")[3], "line": "L-9"}[column]
    assert found.inspections.reading.tolist() == [5.5, 6.4]
    assert all(found.kept_out[0].reason(lang) for lang in ("en", "ja"))


def test_a_perforation_hint_and_true_thin_readings_stay(write: Write) -> None:
    """A reading of an eighth of the wall is bad news, not a slip; only what nearly fits after a shift is one."""
    found = read(write, "line,point,date,thickness\nL-1,1,2024/4/1,0.9\nL-1,2,2024/4/1,2.0\n")
    assert found.inspections.reading.tolist() == [0.9, 2.0]


def test_a_number_of_the_row_is_no_measuring_point(write: Write) -> None:
    """`No.` before the points counts rows; alone it is the point's number."""
    rows = "1,L-1,P-01,2016/4/1,7.0\n2,L-1,P-01,2024/4/1,6.5\n3,L-1,P-02,2024/4/1,6.6\n"
    for point in ("測定点", "CML No", "ポイント"):
        found = read(write, f"No.,ライン番号,{point},測定日,肉厚\n{rows}")
        assert found.points.id == ("P-01", "P-02", "L-2:unmeasured"), point
        assert next(each for each in found.readings if each.table == "inspections").ignored == ["No."]
    alone = read(write, "No.,ライン番号,測定日,肉厚\n1,L-1,2016/4/1,7.0\n1,L-1,2024/4/1,6.5\n2,L-1,2024/4/1,6.6\n")
    assert alone.points.id == ("L-1:1", "L-1:2", "L-2:unmeasured")


def test_a_sheet_of_both_takes_the_nominal_wall_from_its_own_column(write: Write) -> None:
    """`肉厚` is a nominal wall in a file of lines, but not beside `公称肉厚`, wherever that stands."""
    both = "ライン,測定点,測定日,肉厚,公称肉厚\nA,1,2020/4/1,6.5,7.1\nA,1,2024/4/1,6.1,7.1\n"
    found = read(write, both, both)
    assert found.lines.t_nom.tolist() == [7.1]
    assert found.inspections.reading.tolist() == [6.5, 6.1]
    assert read(write, "line,point,date,今回肉厚\nL-1,1,2024/4/1,6.1\n").inspections.reading.tolist() == [6.1]


def test_a_clear_name_goes_before_one_that_may_mean_two_things(write: Write) -> None:
    """A measured `wall thickness` is no nominal one beside `t_nom`; a climate's temperature none of the metal's."""
    both = "line,point,date,t nom,wall thickness,t_op_c,temperature\nA,1,2020/4/1,7.1,6.5,90,16\n"
    turned = "line,point,date,temperature,t_op_c,wall thickness,t nom\nA,1,2020/4/1,16,90,6.5,7.1\n"
    for text in (both, turned):
        found = read(write, text, text)
        assert (found.lines.t_nom[0], found.lines.t_op[0], found.inspections.reading[0]) == (7.1, 90.0, 6.5)
    actual = read(write, "line,point,date,wall thickness,t act\nL-1,1,2024/4/1,7.1,6.1\n")
    assert actual.inspections.reading.tolist() == [6.1]


@pytest.mark.parametrize("columns", ["2016年,2020年,2024年", "上,下,左"])
def test_a_file_of_inspections_without_a_reading_is_refused(write: Write, columns: str) -> None:
    """A column a year or a side would leave every line unmeasured, and the report would look like one."""
    with pytest.raises(TableError, match="reading") as error:
        read(write, f"ライン,測定点,測定日,{columns}\nL-1,1,2024/4/1,5.0,4.8,4.6\n")
    assert columns.split(",")[0] in str(error.value)


def test_copies_are_kept_out_and_several_readings_of_a_day_are_not(write: Write) -> None:
    rows = "L-1,1,2024/4/1,6.5\nL-1,1,2024/4/1,6.4\nL-1,1,R6.4.1,6.50\n"
    found = read(write, f"line,point,date,thickness\n{rows}")
    assert [(each.row, each.code) for each in found.kept_out] == [(4, "duplicate")]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("L-1,6B,7.11,60,ロックウール,1998", "twice"),
        ("L-3,6B,7.11,60,謎,1998", "word_insulation"),
        ("L-3,6B,711,60,なし,1998", "range"),
        ("L-3,6B,7.11,60,なし,2030", "future"),
        ("L-3,147A,7.11,60,なし,1998", "pipe_size"),
        (",6B,7.11,60,なし,1998", "missing"),
    ],
)
def test_lines_that_cannot_be_right(write: Write, row: str, code: str) -> None:
    lines = f"line,size,nominal thickness,temperature,insulation,installed\nL-1,6B,7.11,60,なし,1998\n{row}\n"
    found = read(write, "line,date,thickness\nL-1,2024/4/1,6.5\nL-3,2024/4/1,6.5\n", lines)
    assert found.kept_out[-1].code == code
    assert found.lines.id == ("L-1",)
    if row.startswith("L-3"):
        assert found.kept_out[0].code == "line_out"


def test_losses_intervals_and_nothing_found(write: Write) -> None:
    rows = "L-1,1,2024/4/1,UT,1.11,\nL-1,2,2024/4/1,PEC,,異常なし\n"
    rows += "L-1,3,2024/4/1,目視,<0.5,\nL-1,4,2024/4/1,UT,,腐食あり\n"
    found = read(write, f"line,point,date,method,減肉量(mm),検査結果\n{rows}")
    findings = found.inspections
    assert findings.reading[0] == pytest.approx(6.0)
    assert np.isnan(findings.reading[1:]).all()
    assert findings.loss_low.tolist()[1:] == [0.0, 0.0]
    assert findings.loss_high.tolist()[1:] == [1.27, 0.5]
    assert [each.code for each in found.kept_out] == ["found_without_depth"]


def test_units_change_nothing(write: Write) -> None:
    metric = read(write, "line,point,date,thickness (mm)\nL-1,1,2024/4/1,6.35\n")
    inches = read(write, "line,point,date,thickness [in]\nL-1,1,2024/4/1,0.25\n")
    column = read(write, "line,point,date,thickness,unit\nL-1,1,2024/4/1,250,mils\n")
    cell = read(write, 'line,point,date,thickness\nL-1,1,2024/4/1,"0.25 in"\n')
    assert same(metric, inches)
    assert same(metric, column)
    assert same(metric, cell)
    limits = "line,point,date,method,thickness,loss from,loss to,standard error,unit\n"
    metric = read(write, f"{limits}L-1,1,2024/4/1,UT,6.35,,,0.254,mm\nL-1,2,2024/4/1,UT,,1.27,2.54,,mm\n")
    assert metric.inspections.sigma[0] == pytest.approx(0.254)
    assert same(metric, read(write, f"{limits}L-1,1,2024/4/1,UT,250,,,10,mil\nL-1,2,2024/4/1,UT,,50,100,,mil\n"))
    for pressure in ("設計圧力(kg/cm2)", "設計圧力 psi"):
        value = "10.19716" if "kg" in pressure else "145.0377"
        lines = LINES.replace("設計圧力(MPa)", pressure).replace(",1.0,", f",{value},")
        assert read(write, "line,date,thickness\nL-1,2024/4/1,6\n", lines).lines.pressure == pytest.approx([1.0, 1.0])


def test_order_of_the_inspections_does_not_matter(write: Write) -> None:
    rows = [f"L-{1 + k % 2},{k % 3},20{10 + k}/4/1,{5.9 - 0.1 * k:.1f}" for k in range(9)]
    first = read(write, "line,point,date,thickness\n" + "\n".join(rows))
    random.Random(1).shuffle(rows)
    second = read(write, "line,point,date,thickness\n" + "\n".join(rows))

    def told(found: Register) -> list[tuple[str, str, float]]:
        findings = found.inspections
        return sorted(
            zip([found.points.id[p] for p in findings.point], findings.at.astype(str), findings.reading, strict=True)
        )

    assert told(first) == told(second)


def test_a_title_above_the_header_empty_rows_and_the_right_sheet(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["表紙"])
    lines = book.create_sheet("ライン一覧")
    for row in (
        ["2024年度 配管台帳"],
        [],
        ["ライン番号", "公称肉厚(mm)", "設置年"],
        ["L-1", 7.11, 1998],
        [],
        ["L-2", 6.02, 2001],
    ):
        lines.append(row)
    sheet = book.create_sheet("測定")
    for row in (
        ["ライン番号", "測定点", "測定日", "測定肉厚"],
        ["L-1", 1, date(2024, 4, 1), 6.5],
        ["L-2", 1, 45383, "5.5"],
    ):
        sheet.append(row)
    path = tmp_path / "book.xlsx"
    book.save(path)
    found = read_register(path, path, at=AT)
    assert found.lines.id == ("L-1", "L-2")
    assert found.inspections.reading.tolist() == [6.5, 5.5]
    assert set(found.inspections.at.astype("datetime64[D]").astype(str)) == {"2024-04-01"}
    assert found.kept_out == []


def test_points_may_be_declared(write: Write) -> None:
    points = write(
        "points.csv",
        "測定点,ライン番号,部位,外装損傷,梁上\nA,L-1,エルボ,重大,あり\nB,L-1,サポート,なし,なし\nC,L-7,直管,,\n",
    )
    found = read(write, "測定点,検査日,肉厚\nA,2024/4/1,6\nD,2024/4/1,6\n", points=points)
    assert found.points.id == ("A", "B", "L-2:unmeasured")
    assert [tables.PART[code] for code in found.points.part[:2]] == ["elbow", "support"]
    assert (found.points.jacket_damage.tolist(), found.points.on_beam.tolist()) == ([2, 0, -1], [1, 0, -1])
    assert {(each.file, each.code) for each in found.kept_out} == {("points.csv", "line"), ("i.csv", "line")}


def test_weather_by_the_month_is_a_year(write: Write) -> None:
    rows = "\n".join(f"2024/{month}/1,{10 + month},70,100,20" for month in range(1, 13))
    weather = write("w.csv", f"年月日,平均気温(℃),平均湿度(％),降水量の合計(mm),飛来塩分(mg/m2/d)\n{rows}\n")
    found = read(write, "line,date,thickness\nL-1,2024/4/1,6\n", weather=weather).weather
    assert (found.temperature_c, found.humidity_pct, found.cl_mg_m2_d) == (16.5, 70.0, 20.0)
    assert found.rain_mm_y == pytest.approx(1200, rel=0.01)
    assert np.isnan(found.so2_mg_m2_d)


def test_what_is_not_said_is_written_down(write: Write) -> None:
    found = read(write, "line,date,thickness\nL-1,2024/4/1,6.5\n", "line\nL-1\nL-2\n")
    told = {(gap.table, gap.column, gap.taken) for gap in found.gaps}
    assert {("lines", "t_nom", "thickest"), ("lines", "t_nom", "schedule"), ("lines", "installed", "installed")} <= told
    assert ("weather", "", "weather") in told
    assert found.lines.t_nom[0] == 6.5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "no header of pipe lines"),
        ("t_nom\n7.11\n", "a column is missing: id"),
        ("line,t_nom\n\0\n", "binary"),
    ],
)
def test_files_that_cannot_be_used(write: Write, content: str, said: str) -> None:
    with pytest.raises(TableError, match=said):
        read_register(write("lines.csv", content), None, at=AT)


def test_old_excel_and_broken_workbooks(tmp_path: Path) -> None:
    for name, raw, said in (
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel format"),
        ("a.xlsx", b"PK\x03\x04", "workbook"),
    ):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(TableError, match=said):
            read_register(tmp_path / name, None, at=AT)


def test_a_mapping_says_what_is_what(write: Write, tmp_path: Path) -> None:
    lines = write("l.csv", "番号札,あつさ,まき\nL-1,280,ふしぎ材\n")
    mapping = tmp_path / "map.toml"
    mapping.write_text(
        '[lines]\nid = "番号札"\nt_nom = { column = "あつさ", unit = "mil" }\nservice = { value = "蒸気" }\n'
        'insulation = { column = "まき", words = { "ふしぎ材" = "perlite" } }\n',
        encoding="utf-8",
    )
    found = read_register(lines, None, at=AT, mapping=read_mapping(mapping))
    assert found.lines.t_nom == pytest.approx([7.112])
    assert (found.lines.service, tables.INSULATION[found.lines.insulation[0]]) == (("蒸気",), "perlite")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[pipes]\n", "no table 'pipes'"),
        ("[lines]\nwall = 'x'\n", "no column 'wall'"),
        ("[lines]\nid = { colum = 'x' }\n", "colum"),
        ("[lines]\nt_nom = { column = 'x', unit = 'furlong' }\n", "'furlong' is not known"),
        ("[lines", "mapping file"),
    ],
)
def test_mappings_that_cannot_be_used(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "map.toml").write_text(content, encoding="utf-8")
    with pytest.raises(TableError, match=said):
        read_mapping(tmp_path / "map.toml")


def test_what_is_proposed_can_be_used(tmp_path: Path) -> None:
    paths = write_template(tmp_path, "ja", "csv")
    (tmp_path / "map.toml").write_text(propose_mapping(paths), encoding="utf-8")
    mapping = read_mapping(tmp_path / "map.toml")
    assert set(mapping) == {"lines", "inspections", "weather"}
    lines, inspections, weather = paths
    plain = read_register(lines, inspections, weather=weather, at=AT)
    assert same(plain, read_register(lines, inspections, weather=weather, at=AT, mapping=mapping))


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_template_is_read_without_a_complaint(tmp_path: Path, lang: str, kind: str) -> None:
    lines, inspections, weather = write_template(tmp_path, lang, "xlsx" if kind == "xlsx" else "csv")
    found = read_register(lines, inspections, weather=weather, at=AT)
    assert (len(found.lines.id), found.kept_out) == (20, [])
    english = write_template(tmp_path / "en", "en", "csv")
    assert found.points.id == read_register(english[0], english[1], at=AT).points.id


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        (["Line No.", "NPS", "Nominal Thk (mm)", "Op. Temp (°C)"], {"id", "nps", "t_nom", "t_op"}),
        (["配管番号", "口径", "肉厚", "運転温度", "保温種類"], {"id", "nps", "t_nom", "t_op", "insulation"}),
        (["circuit_id", "wall_thickness_in", "design_pressure_psi"], {"id", "t_nom", "pressure"}),
    ],
)
def test_headers_are_recognised(headers: list[str], wanted: set[str]) -> None:
    assert set(propose(headers, "lines")) == wanted


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("肉厚(mm)", "mm"),
        ("肉厚（ｍｍ）", "mm"),
        ("thickness [in]", "in"),
        ("rate_mm_y", "mm/y"),
        ("Rate mpy", "mpy"),
        ("class a", ""),
        ("L-1", ""),
    ],
)
def test_units_in_headers(header: str, unit: str) -> None:
    assert split_unit(header)[1] == unit


CELLS = [
    "",
    "-",
    "7.11",
    "0.28",
    "1e9",
    "-3",
    "nan",
    "L-1",
    "2024/4/1",
    "R6.4.1",
    "H31",
    "45000",
    "なし",
    "ロックウール",
    "<0.5",
    "6B",
    "1/0",
]
CELLS += [
    "100A",
    "S99.1.1",
    "²",
    "99999999999999999999",
    "異常なし",
    "PEC",
    "7.1.1",
    "A",
    "%",
    "=1",
    "2024/2/30",
    "あり",
    "   ",
]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_stands_in_the_files_every_row_is_used_or_has_a_reason(data: st.DataObject) -> None:
    files: dict[TableName, list[tuple[str, list[list[Cell]]]]] = {}
    for table, first in (("lines", ["id"]), ("inspections", ["line", "point"])):
        more = data.draw(st.lists(st.sampled_from(sorted(set(TABLES[table]) - set(first))), max_size=6, unique=True))
        headers: list[Cell] = [TABLES[table][key].names[1] for key in (*first, *more)]
        row = st.tuples(st.sampled_from(["L-1", "L-2", "L-3", ""]), *[st.sampled_from(CELLS)] * (len(headers) - 1))
        files[table] = [(table, [headers, *map(list, data.draw(st.lists(row, max_size=8)))])]
    try:
        found = build_register(files, at=AT)
    except TableError:
        return
    assert all(each.reason("ja") and each.reason("en") for each in found.kept_out)
    used = len(found.inspections.at)
    lost = {each.row for each in found.kept_out if each.table == "inspections"}
    rows = [row for row in files["inspections"][0][1][1:] if any(str(cell).strip() for cell in row)]
    assert used + len(lost) == len(rows)
    assert np.isfinite(found.lines.t_nom).all()
    assert (found.lines.t_nom > 0).all()


def test_a_register_without_dates_is_taken_as_of_the_day_and_says_so(write: Write) -> None:
    found = read(write, "line,point,thickness\nL-1,1,6.5\n")
    assert found.inspections.at.astype("datetime64[D]").astype(str).tolist() == [AT.isoformat()]
    assert [(gap.table, gap.column, gap.count) for gap in found.gaps if gap.taken == "at"] == [("inspections", "at", 1)]


def test_weather_as_the_weather_service_gives_it(write: Write) -> None:
    head = "ダウンロードした時刻：2024/05/01\n\n,福岡,福岡,福岡,福岡\n"
    head += "年月日,平均気温(℃),平均気温(℃),降水量の合計(mm),平均湿度(％)\n,,品質情報,,\n"
    weather = write("w_cp932.csv", head + "2023/5/1,18,8,0,60\n2023/5/2,20,8,12,70\n")
    found = read(write, "line,date,thickness\nL-1,2024/4/1,6\n", weather=weather).weather
    assert (found.temperature_c, found.humidity_pct) == (19.0, 65.0)
    assert found.rain_mm_y == pytest.approx(6 * 365.25)
