"""`lab corrosion` as a user runs it: files in, a report and tables out, exit codes, both languages."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from typer.testing import CliRunner, Result

from lab.cli import build
from lab.corrosion.drawing import digits_of
from lab.corrosion.keeping import Keeping


def run(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(build("corrosion"), ["corrosion", *map(str, args)])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("template")
    run("template", "-o", folder, "--lang", "ja")
    inspections = folder / "inspections.csv"
    with inspections.open("ab") as file:
        file.write("P-101,P-101-01,エルボ,2025/5/1,超音波,あり,71.1\r\n".encode())
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def outputs(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("out")
    args: list[object] = ["assess", "--at", "2026-04-01", "--budget", 5, "--lang", "ja", "--json"]
    for name, path in files.items():
        args += [f"--{name}", path]
    names = ("r.html", "r.csv", "r.xlsx")
    told = json.loads(run(*args, *(part for name in names for part in ("-o", folder / name))).output)
    return {"told": told, **{name: folder / name for name in names}}


class Page(HTMLParser):
    """What a page would fetch, its headings, and whether its tags are in order."""

    VOID = frozenset(("meta", "br"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href", "data", "srcset"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_the_answer_for_scripts(outputs: dict[str, Any]) -> None:
    told = outputs["told"]
    assert (told["lines"], told["points_unmeasured"], len(told["kept_out"])) == (20, 3, 1)
    assert told["kept_out"][0]["code"] == "slip_point"
    assert len(told["plan"]["points"]) == 5
    assert told["plan"]["damage_found"] <= told["plan"]["damage_total"]


def test_the_report_stands_alone(outputs: dict[str, Any]) -> None:
    text = outputs["r.html"].read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.fetched == []
    assert not re.search(r"url\(|@import|<script|<link", text)
    assert {"リスクマトリクス", "優先順位", "極値統計", "前提条件と不足データ", "除外した行"} <= set(page.headings)
    assert "検査計画：優先して保温を解体する5箇所" in page.headings
    assert "71.1" in text
    assert not re.search(r"\bnan\b|\binf\b|None", text)
    assert text.count("<svg") >= 19


def test_the_report_in_english_has_no_japanese(files: dict[str, Path], tmp_path: Path) -> None:
    run("template", "-o", tmp_path, "--lang", "en")
    paths = ["--lines", tmp_path / "lines.csv", "--inspections", tmp_path / "inspections.csv"]
    run("assess", *paths, "--at", "2026-04-01", "--lang", "en", "-o", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert not re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", text)


def test_the_tables_agree(outputs: dict[str, Any]) -> None:
    raw = outputs["r.csv"].read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf"), "Excel knows UTF-8 by its mark"
    rows = list(csv.reader(raw.decode("utf-8-sig").splitlines()))
    book = openpyxl.load_workbook(outputs["r.xlsx"])
    assert book.sheetnames == ["優先順位", "検査計画", "除外した行"]
    sheet = [list(row) for row in book["優先順位"].iter_rows(values_only=True)]
    assert rows[0] == sheet[0]
    assert [row[1] for row in rows] == [row[1] for row in sheet]
    assert len(rows) == outputs["told"]["points"] + 1
    planned = {row[1] for row in book["検査計画"].iter_rows(min_row=2, values_only=True)}
    assert planned == set(outputs["told"]["plan"]["points"])
    assert [row[1] for row in book["除外した行"].iter_rows(min_row=2, values_only=True)] == [177]


def test_japanese_and_english_files_give_the_same_numbers(tmp_path: Path) -> None:
    found = []
    for lang, kind in (("en", "csv"), ("ja", "xlsx")):
        run("template", "-o", tmp_path / lang, "--lang", lang, "--format", kind)
        paths = [f"--{name}={tmp_path / lang / name}.{kind}" for name in ("lines", "inspections", "weather")]
        run("assess", *paths, "--at", "2026-04-01", "--lang", "en", "-o", tmp_path / f"{lang}.csv")
        rows = list(csv.DictReader((tmp_path / f"{lang}.csv").read_text(encoding="utf-8-sig").splitlines()))
        found.append([{name: cell for name, cell in row.items() if name != "service"} for row in rows])
    assert found[0] == found[1]


def test_rows_kept_out_are_told(files: dict[str, Path], tmp_path: Path) -> None:
    result = run("assess", "--lines", files["lines"], "--inspections", files["inspections"], "-o", tmp_path / "r.csv")
    assert "row 177" in result.output
    assert "decimal point? (7.11 mm would fit)" in result.output


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["assess", "--lines", "absent.csv", "-o", "r.html"], 1, "no such file"),
        (["assess", "--lines", "{lines}", "-o", "r.pdf"], 2, ".html"),
        (["assess", "--lines", "{lines}", "-o", "{lines}"], 2, "another name"),
        (["assess", "--lines", "{lines}", "--at", "soon", "-o", "r.html"], 2, "date"),
        (["assess", "--lines", "{lines}", "--lang", "fr", "-o", "r.html"], 2, "ja or en"),
        (["assess", "--lines", "{lines}", "--budget", "0", "-o", "r.html"], 2, "greater than"),
        (["assess", "--lines", "{weather}", "-o", "r.html"], 1, "pipe lines"),
        (["template", "--format", "pdf"], 2, "xlsx"),
        (["map", "absent.csv"], 1, "no such file"),
        (["first-year"], 2, "--t"),
        (["life", "--data", "{lines}", "-o", "x.csv"], 1, "required thickness"),
    ],
)
def test_mistakes_are_said(files: dict[str, Path], args: list[str], code: int, said: str) -> None:
    result = run(*[arg.format(**files) for arg in args], code=code)
    assert said in re.sub(r"[\s│]+", " ", result.output)


def test_a_mapping_is_proposed(files: dict[str, Path], tmp_path: Path) -> None:
    told = run("map", files["lines"], files["inspections"]).output
    assert 'id = "ライン番号"' in told
    assert 't_nom = { column = "公称肉厚(mm)", unit = "mm" }' in told
    run("map", files["lines"], "-o", tmp_path / "map.toml")
    run("assess", "--lines", files["lines"], "--map", tmp_path / "map.toml", "-o", tmp_path / "r.csv")


def test_calculators() -> None:
    first = json.loads(run("first-year", "--t", 17.5, "--rh", 72, "--so2", 20, "--cl", 40, "--json").output)
    assert first["first_year_um_p05"] < first["first_year_um_p50"] < first["first_year_um_p95"]
    assert first["category"] == "C3"
    wide = json.loads(run("first-year", "--t", 17.5, "--json").output)
    assert (
        wide["first_year_um_p95"] / wide["first_year_um_p05"] > first["first_year_um_p95"] / first["first_year_um_p05"]
    )
    life = json.loads(run("life", "--t-act", 5.6, "--t-req", 3.2, "--rate", 0.12583, "--class", 1, "--json").output)
    assert life == {"life_y": pytest.approx(19.07, abs=0.01), "interval_y": 5.0}
    loss = json.loads(run("loss", "--first-year", 45.4, "--years", 1, "--json").output)
    assert loss["loss_um_p50"] == pytest.approx(45.4)
    assert "first_year_um_p50" in run("first-year", "--t", 17.5).output


def test_calculators_on_files(tmp_path: Path) -> None:
    data = tmp_path / "d.csv"
    data.write_bytes(
        "地点,平均気温(℃),湿度(%),塩分(mg/m2/d)\n博多,17,68,12\n那覇,23,75,\n誤,暑い,75,1\n".encode("cp932")
    )
    result = run("first-year", "--data", data, "-o", tmp_path / "o.csv")
    assert "row 4" in result.output
    rows = list(csv.DictReader((tmp_path / "o.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [row["地点"] for row in rows] == ["博多", "那覇"]
    assert all(float(row["first_year_um_p05"]) < float(row["first_year_um_p95"]) for row in rows)


def test_measured_files_run_through(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "corrosion"
    for kind, name in (("first-year", "intl_first_year_carbon_steel.csv"), ("life", "riser_ut_register.csv")):
        told = json.loads(run(kind, "--data", folder / name, "-o", tmp_path / f"{kind}.csv", "--json").output)
        assert told["rows"] == len((folder / name).read_text(encoding="utf-8").splitlines()) - 1
        assert told["kept_out"] == []


def test_import_is_what_the_api_reads(files: dict[str, Path], tmp_path: Path) -> None:
    paths = [f"--{name}={path}" for name, path in files.items()]
    told = run("import", *paths, "--data-dir", tmp_path, "--json")
    with Keeping(tmp_path) as kept:
        register = kept.register()
        assert kept.meta()["source"] == "imported"
    counts = json.loads(told.output)
    assert (len(register.lines.id), len(register.points.id)) == (counts["lines"], counts["points"])
    assert [each.code for each in register.kept_out] == ["slip_point"]


def test_names_from_files_are_text_everywhere(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    (tmp_path / "l.csv").write_text(f"line,service,nominal thickness\n{evil},=1+1,7.11\n", encoding="utf-8")
    (tmp_path / "i.csv").write_text(f"line,date,thickness\n{evil},2024-04-01,6.5\n{evil},2024-04-01,x{evil}\n")
    paths = ["--lines", tmp_path / "l.csv", "--inspections", tmp_path / "i.csv"]
    run("assess", *paths, "--budget", 1, "--charts", 0, "-o", tmp_path / "r.html", "-o", tmp_path / "r.xlsx")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<img" not in text
    assert "&lt;img src=x" in text
    row = openpyxl.load_workbook(tmp_path / "r.xlsx").worksheets[0][2]
    assert ("=1+1", "s") in {(cell.value, cell.data_type) for cell in row}


@pytest.mark.parametrize(("lang", "words"), [("ja", "除外しました"), ("en", "kept out")])
def test_the_terminal_speaks_the_language_asked_for(
    files: dict[str, Path], tmp_path: Path, lang: str, words: str
) -> None:
    paths = ["--lines", files["lines"], "--inspections", files["inspections"]]
    told = run("assess", *paths, "--at", "2026-04-01", "--lang", lang, "--charts", 0, "-o", tmp_path / "r.csv")
    assert words in told.output


def test_a_file_of_lines_without_a_usable_row_says_why(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("line,installed,nominal thickness\nA,2035-04-01,7.11\n", encoding="utf-8")
    (tmp_path / "i.csv").write_text("line,date,thickness\nA,2024-04-01,6.5\n", encoding="utf-8")
    paths = ["--lines", tmp_path / "l.csv", "--inspections", tmp_path / "i.csv", "--at", "2026-04-01"]
    assert "2026-04-01" in run("assess", *paths, "-o", tmp_path / "r.csv", code=1).output


@pytest.mark.parametrize(("values", "digits"), [((0, 2.5, 5), 1), ((0, 2, 4), 0), ((0, 0.25, 0.5), 2), ((1.0,), 0)])
def test_ticks_are_written_as_they_are(values: tuple[float, ...], digits: int) -> None:
    assert digits_of(values) == digits


def test_a_mapping_may_name_only_what_is_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("line,Wall A,coating,insulation,nps\nA,0.28,epoxy,ALK,6\n", encoding="utf-8")
    (tmp_path / "m.toml").write_text(
        '[lines]\nt_nom = { column = "Wall A", unit = "inch" }\ncoating = { value = "" }\nplant = { value = "North" }\n'
        'insulation = { column = "insulation", words = { "ALK" = "perlite" } }\n',
        encoding="utf-8",
    )
    run("assess", "--lines", tmp_path / "l.csv", "--map", tmp_path / "m.toml", "--lang", "en", "-o", tmp_path / "r.csv")
    (row,) = csv.DictReader((tmp_path / "r.csv").read_text(encoding="utf-8-sig").splitlines())
    assert (row["line"], row["plant"], row["insulation"], row["nominal_mm"]) == ("A", "North", "perlite", "7.112")
    (tmp_path / "m.toml").write_text('[lines]\nt_nom = { value = 7.0 }\ninsulation = { value = "perlite" }\n')
    run("assess", "--lines", tmp_path / "l.csv", "--map", tmp_path / "m.toml", "--lang", "en", "-o", tmp_path / "r.csv")
    (row,) = csv.DictReader((tmp_path / "r.csv").read_text(encoding="utf-8-sig").splitlines())
    assert row["insulation"] == "perlite"


def test_a_place_is_told_with_its_line(tmp_path: Path) -> None:
    """`CML-2` of which line? A long name is broken; a slip below the required wall counts as told."""
    long = "20-CW-1234-A1A-H50-north-rack-second-works"
    lines, findings = tmp_path / "l.csv", tmp_path / "i.csv"
    lines.write_text(f"line,nps,t_nom_mm,t_req_mm\nA-1,6,7.11,3.2\n{long},6,7.11,3.2\n")
    slip = "".join(f"A-1,CML-2,{year}-04-01,7.0\n" for year in range(2010, 2025)) + "A-1,CML-2,2025-04-01,2.9\n"
    findings.write_text(f"line,point,date,thickness_mm\n{slip}{long},CML-11,2024-04-01,6.9\n")
    report, plan = tmp_path / "r.html", tmp_path / "r.csv"
    said = run(
        "assess", "--lines", lines, "--inspections", findings, "--at", "2026-04-01", "--budget", 2, "--lang", "en",
        "-o", report, "-o", plan,
    ).output  # fmt: skip
    assert "A-1 CML-2: " in said
    assert f"{long} CML-11: " in said
    page = report.read_text()
    assert page.count("A-1 CML-2</b>") == 2  # plan and ranking
    assert f'<b class="long">{long} CML-11</b>' in page
    assert "<b>1</b><span>points probably below the required thickness today" in page
    told = page[page.index("<h2>Inspection plan") if "<h2>Inspection plan" in page else 0 : page.index("matrix")]
    assert "an input is missing" not in told


@pytest.mark.parametrize(
    "args",
    [
        ["life", "--t-act", -5, "--t-req", 3, "--rate", 0.1],
        ["life", "--t-act", 5, "--t-req", -3, "--rate", 0.1],
        ["loss", "--first-year", -45, "--years", 20],
        ["loss", "--first-year", 45, "--years", -3],
    ],
)
def test_a_calculator_refuses_what_cannot_be(args: list[object]) -> None:
    run(*args, code=2)
