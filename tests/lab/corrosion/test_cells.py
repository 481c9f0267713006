"""One cell: numbers in any unit a plant writes, dates as Japanese Excel writes them, words in two languages."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.corrosion import cells, columns
from lab.corrosion.cells import CellError, Quantity
from lab.text import catalogue


@pytest.mark.parametrize(
    ("cell", "unit", "quantity", "wanted"),
    [
        ("7.11", "", "length", 7.11),
        ("７．１１", "", "length", 7.11),
        ("7.11 mm", "in", "length", 7.11),
        ("0.28", "inch", "length", 7.112),
        ('0.28"', "", "length", 7.112),
        ("280", "mils", "length", 7.112),
        ("7110", "µm", "length", 7.11),
        ("7110", "μm", "length", 7.11),
        ("7,11", "", "length", 7.11),
        ("1,200", "", "length", 1200.0),
        ("5", "mpy", "rate", 0.127),
        ("0.127", "mm/年", "rate", 0.127),
        ("302", "°F", "temperature", 150.0),
        ("150", "℃", "temperature", 150.0),
        ("423.15", "K", "temperature", 150.0),
        ("1", "MPa", "pressure", 1.0),
        ("10.19716", "kg/cm2", "pressure", 1.0),
        ("10.19716", "kgf/cm²G", "pressure", 1.0),
        ("145.0377", "psi", "pressure", 1.0),
        ("10", "bar", "pressure", 1.0),
        ("6B", "", "pipe_size", 6.0),
        ("150A", "", "pipe_size", 6.0),
        ("150", "A", "pipe_size", 6.0),
        ("150", "", "pipe_size", 6.0),
        ("1 1/2", "", "pipe_size", 1.5),
        ('3/4"', "", "pipe_size", 0.75),
        ("40", "mg/m²/d", "deposition_cl", 40.0),
        ("0.4", "mdd", "deposition_cl", 40.0),
        ("25", "µg/m3", "deposition_so2", 20.0),
        ("6", "months", "duration", 0.5),
        ("78.6", "g/m2", "film", 10.0),
    ],
)
def test_numbers(cell: str, unit: str, quantity: Quantity, wanted: float) -> None:
    assert cells.number(cell, unit, quantity) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("cell", "unit", "quantity", "code"),
    [
        ("about 7", "", "length", "number"),
        ("7.1.1", "", "length", "unit"),
        ("1e999", "", "length", "number"),
        ("5 kg", "", "length", "unit"),
        ("5", "kPa", "length", "unit"),
        ("147A", "", "pipe_size", "pipe_size"),
    ],
)
def test_what_is_no_number(cell: str, unit: str, quantity: Quantity, code: str) -> None:
    with pytest.raises(CellError) as caught:
        cells.number(cell, unit, quantity)
    assert caught.value.code == code


@given(st.floats(0.5, 100), st.sampled_from(["mm", "inch", "mil", "cm", "um"]))
def test_a_unit_changes_nothing(mm: float, unit: str) -> None:
    assert cells.number(mm / cells.MM[unit], unit, "length") == pytest.approx(mm, rel=1e-9)


@pytest.mark.parametrize(
    "cell",
    [
        "2024/4/1", "2024-04-01", "2024.4.1", "2024年4月1日", "令和6年4月1日", "R6.4.1", "R6/4/1", "r06.04.01",
        "20240401", "2024-04-01T09:30:00Z", "2024/4/1 0:00:00", "1 Apr 2024", "April 1, 2024", "45383", 45383.0,
        datetime(2024, 4, 1, 8), "２０２４／４／１", "2024年4月1日（月）",
        "R6.4.1(月)", "令和6年4月1日（月曜日）",
    ],
)  # fmt: skip
def test_dates(cell: cells.Cell) -> None:
    assert cells.day(cell) == date(2024, 4, 1)


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("令和元年5月", date(2019, 5, 1)),
        ("H31.4.30", date(2019, 4, 30)),
        ("平成30年度", date(2018, 4, 1)),  # a fiscal year begins in April
        ("2024年度", date(2024, 4, 1)),
        ("昭和60年", date(1985, 1, 1)),
        ("S64.1.7", date(1989, 1, 7)),
        ("2015", date(2015, 1, 1)),
        ("2015年", date(2015, 1, 1)),
        (2015.0, date(2015, 1, 1)),
        ("2015/7", date(2015, 7, 1)),
        ("", None),
        ("-", None),
        (None, None),
    ],
)
def test_dates_that_say_less(cell: cells.Cell, wanted: date | None) -> None:
    assert cells.day(cell) == wanted


@pytest.mark.parametrize(
    "cell",
    ["4/1/2024", "24/4/1", "2024/13/1", "2023/2/29", "R6.13.1", "spring", "12", "99999999", "R0.1.1", "R6.4.1 (x)"],
)
def test_dates_that_can_be_read_in_two_ways_or_none(cell: str) -> None:
    with pytest.raises(CellError):
        cells.day(cell)


@given(st.dates(date(1950, 1, 1), date(2099, 12, 31)))
def test_excels_day_numbers(day: date) -> None:
    number = (day - date(1899, 12, 30)) / timedelta(days=1)
    assert cells.day(number) == day


@pytest.mark.parametrize(
    ("word", "column", "code"),
    [
        ("ロックウール", "insulation", "mineral_wool"),
        ("Rock Wool", "insulation", "mineral_wool"),
        ("ケイカル 50t", "insulation", "calcium_silicate"),
        ("なし", "insulation", "none"),
        ("bare", "insulation", "none"),
        ("重防食", "coating", "multi_coat_epoxy"),
        ("STPG370-S", "material", "carbon_steel"),
        ("A106 Gr.B", "material", "carbon_steel"),
        ("SUS304", "material", "stainless"),
        ("海岸", "driver", "severe"),
        ("グラスウール保温筒", "insulation", "fibreglass"),
    ],
)
def test_words(word: str, column: str, code: str) -> None:
    from lab.corrosion.keeping import CODES

    assert CODES[column][cells.word(word, columns.LINES[column].words, {})] == code


def test_unknown_words_are_said_and_a_plants_own_are_taken() -> None:
    words = columns.LINES["insulation"].words
    with pytest.raises(CellError):
        cells.word("謎の保温材", words, {})
    assert cells.word("謎の保温材", words, {"謎の保温材": "perlite"}) == words["perlite"]
    assert cells.word("", words, {}) == -1


def test_the_words_shown_are_words_understood() -> None:
    """What the template and the page write must be read again as what it was."""
    kinds = {"insulation", "coating", "material", "driver", "part", "complexity", "condition", "damage", "method"}
    for key, entry in catalogue().items():
        area, _, rest = key.partition(".")
        kind, _, code = rest.partition(".")
        if area == "corrosion" and kind in {*kinds, "yes_no"}:
            known = columns.codes(kind)
            assert {known[cells.fold(said)] for said in entry.values()} == {known[cells.fold(code)]}, key


@pytest.mark.parametrize("said", ["unknown", "不明", "屋外"])
def test_a_word_that_tells_nothing_is_an_unknown_and_no_error(said: str) -> None:
    assert cells.word(said, {"dry": 0}, {}) == -1
    assert cells.word(said, {cells.fold(said): 3}, {}) == 3


def test_eras_may_be_one_letter() -> None:
    assert cells.day("令6.4.1") == date(2024, 4, 1)
    assert cells.day("平30/4") == date(2018, 4, 1)


@pytest.mark.parametrize(
    ("table", "column", "headers"),
    [
        ("lines", "id", ["配管ID", "Line No", "管番号"]),
        ("lines", "t_nom", ["Nominal WT (mm)", "Nom. thickness", "呼び肉厚"]),
        ("lines", "t_req", ["必要最小厚さ", "Retirement limit", "限界厚さ"]),
        ("lines", "installed", ["Commissioning date", "Start-up date", "据付年月日"]),
        ("inspections", "point", ["TML No.", "測定点No", "計測点"]),
        ("inspections", "reading", ["Wall (mm)", "残厚", "肉厚測定値(mm)", "UT reading (in)"]),
        ("inspections", "at", ["Date of inspection", "計測日", "検査実施日"]),
    ],
)
def test_names_that_plants_give_their_columns(table: columns.TableName, column: str, headers: list[str]) -> None:
    for header in headers:
        assert columns.propose([header], table)[column][0] == 0, header
