"""The routes of the piping: the simulated plant, what may be asked of it, and new inspections."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import BaseModel

from api import schema
from api.corrosion import line_names
from lab.config import Config
from lab.corrosion.desk import Desk
from lab.corrosion.template import csv_bytes, example
from lab.historian import open_historian
from lab.historian.base import Batch
from lab.store import Store
from tests.api.conftest import Server


def get(http: httpx.Client, path: str, model: type[BaseModel], **params: Any) -> Any:
    answer = http.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    model.model_validate_json(answer.content)
    return answer.json()


def problem(answer: httpx.Response, status: int) -> str:
    """The first bad field's message, or the detail."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    return str(body["errors"][0]["message"] if body.get("errors") else body["detail"])


@pytest.fixture(scope="module", autouse=True)
def assessed(server: Server) -> None:
    """The first answer waits for the plant to be made and assessed, which a busy machine may take long for."""
    httpx.get(f"{server.url}/api/v1/corrosion", timeout=200, trust_env=False).raise_for_status()


@pytest.fixture(scope="module")
def first(http: httpx.Client) -> dict[str, Any]:
    point: dict[str, Any] = get(http, "corrosion/points", schema.CorrosionPoints, limit=1)["points"][0]
    return point


def test_summary_counts_every_point_once(http: httpx.Client) -> None:
    about = get(http, "corrosion", schema.CorrosionSummary)
    assert about["source"] == "simulated"
    assert sum(about["classes"].values()) == about["points"] == sum(map(sum, about["matrix"]))


def test_lines_are_paged_and_hold_every_point(http: httpx.Client) -> None:
    about = get(http, "corrosion", schema.CorrosionSummary)
    lines: list[Any] = []
    cursor = None
    while True:
        page = get(http, "corrosion/lines", schema.CorrosionLines, limit=25, **({"cursor": cursor} if cursor else {}))
        lines += page["lines"]
        cursor = page["next"]
        if cursor is None:
            break
    assert len({line["id"] for line in lines}) == len(lines) == page["total"] == about["lines"]
    assert sum(len(line["points"]) for line in lines) == about["points"]
    some = get(http, "corrosion/lines", schema.CorrosionLines, plant=lines[0]["plant"], limit=1000)["lines"]
    assert {line["plant"] for line in some} == {lines[0]["plant"]}


def test_ranking_falls_in_risk_and_a_point_has_its_history(http: httpx.Client) -> None:
    points = get(http, "corrosion/points", schema.CorrosionPoints, limit=200)["points"]
    too_thin = ["already below the required thickness" in point["reasons"] for point in points]
    assert any(too_thin)
    assert too_thin == sorted(too_thin, reverse=True)
    for kind in (True, False):
        risks = [point["risk"] for point, thin in zip(points, too_thin, strict=True) if thin == kind]
        assert risks == sorted(risks, reverse=True)
    measured = next(point for point in points if point["last_mm"])
    detail = get(http, f"corrosion/points/{measured['id']}", schema.CorrosionPointDetail)
    assert {name: detail[name] for name in measured} == measured
    assert detail["readings"]
    forecast = detail["forecast"]
    assert all(
        a <= b <= c for a, b, c in zip(forecast["low_mm"], forecast["middle_mm"], forecast["high_mm"], strict=True)
    )
    of_line = get(http, "corrosion/points", schema.CorrosionPoints, line=measured["line"])["points"]
    assert {point["line"] for point in of_line} == {measured["line"]}


def test_a_larger_budget_finds_more_and_a_stricter_chance_comes_sooner(http: httpx.Client) -> None:
    small = get(http, "corrosion/plan", schema.CorrosionPlan, budget=5)
    large = get(http, "corrosion/plan", schema.CorrosionPlan, budget=20)
    assert [len(small["places"]), len(large["places"])] == [5, 20]
    assert [place["in_plan"] for place in small["places"]] == [1, 2, 3, 4, 5]
    assert small["damage_found"] < large["damage_found"] <= large["damage_total"]
    assert small["outlook"] == small["unchanged"]
    strict = get(http, "corrosion/plan", schema.CorrosionPlan, budget=5, acceptable=0.0001)
    loose = get(http, "corrosion/plan", schema.CorrosionPlan, budget=5, acceptable=0.2)
    assert strict["outlook"]["due_within_a_year"] > loose["outlook"]["due_within_a_year"]


def test_a_new_coating_lowers_the_risk(http: httpx.Client) -> None:
    lines = get(http, "corrosion/lines", schema.CorrosionLines, limit=20)["lines"]
    coated = ",".join(line["id"] for line in lines)
    plan = get(http, "corrosion/plan", schema.CorrosionPlan, coated=coated)
    assert plan["outlook"]["risk"] < plan["unchanged"]["risk"]
    assert plan["coated"] == coated.split(",")


def test_lines_to_coat_may_hold_a_comma(tmp_path: Path) -> None:
    register = example()
    names = ("L,4", "A,B,C", *register.lines.id[2:])
    register = replace(register, lines=replace(register.lines, id=names))
    desk = Desk(tmp_path, lambda: (register, 1))
    assert line_names(f"A,B,C, {names[5]},L,4,X", desk) == ["A,B,C", names[5], "L,4", "X"]
    assert line_names("", desk) == []
    desk.close()


def test_reasons_are_in_the_readers_language(http: httpx.Client, first: dict[str, Any]) -> None:
    japanese = http.get(f"/api/v1/corrosion/points/{first['id']}", headers={"accept-language": "ja"}).json()
    assert len(japanese["reasons"]) == len(first["reasons"]) > 0
    assert all(any(letter > "\u3040" for letter in reason) for reason in japanese["reasons"])


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("corrosion/points/nothing", 404, "There is no point 'nothing'."),
        ("corrosion/plan?budget=0", 422, "must be 1 or more"),
        ("corrosion/plan?acceptable=1", 422, "must be less than 1"),
        ("corrosion/plan?coated=X-9", 422, "there is no line 'X-9'"),
        ("corrosion/lines?cursor=-1", 422, "is not a cursor"),
    ],
)
def test_what_cannot_be_asked_is_said(http: httpx.Client, path: str, status: int, said: str) -> None:
    assert said in problem(http.get(f"/api/v1/{path}"), status)


def test_one_inspection_changes_what_is_known_of_its_point(http: httpx.Client) -> None:
    points = get(http, "corrosion/points", schema.CorrosionPoints, limit=600)["points"]
    point = next(each for each in points[::-1] if each["last_mm"] and each["last_mm"] > 3)
    body = {"point": point["id"], "at": "2026-05-01", "reading_mm": round(point["last_mm"] - 0.4, 2)}
    entered = http.post("/api/v1/corrosion/inspections", json=body)
    schema.CorrosionEntered.model_validate_json(entered.content)
    assert entered.json() == {"entered": 1, "kept_out": []}
    after = get(http, f"corrosion/points/{point['id']}", schema.CorrosionPointDetail)
    assert (after["last_mm"], after["last_at"]) == (body["reading_mm"], "2026-05-01")
    assert "earlier row" in problem(http.post("/api/v1/corrosion/inspections", json=body), 422)


def test_an_inspection_that_cannot_be_right_is_refused(http: httpx.Client, first: dict[str, Any]) -> None:
    good = {"point": first["id"], "at": "2026-05-01", "reading_mm": 5.0}
    for change, status, said in (
        ({"reading_mm": -1}, 422, "must be more than 0"),
        ({"reading_mm": 900}, 422, "nominal"),
        ({"at": "soon"}, 422, "must be a date"),
        ({"at": "2999-01-01"}, 422, "after the day"),
        ({"point": "nothing-1"}, 422, "not in the file of lines"),
        ({"wall": 5}, 422, "is not known here"),
    ):
        assert said in problem(http.post("/api/v1/corrosion/inspections", json={**good, **change}), status), change
    answer = http.post("/api/v1/corrosion/inspections", json={**good, "reading_mm": 900})
    assert answer.json()["errors"][0]["field"] == "reading_mm"  # as the body calls it
    broken = http.post("/api/v1/corrosion/inspections", content=b"{", headers={"content-type": "application/json"})
    assert "is not JSON" in problem(broken, 422)


def test_a_file_of_inspections_in_shift_jis(http: httpx.Client, first: dict[str, Any]) -> None:
    rows = [
        ["ライン番号", "測定点", "検査日", "測定肉厚(mm)"],
        [first["line"], "新-1", "R8.5.1", "3.1"],
        ["X", "1", "R8.5.1", "3"],
    ]
    body = csv_bytes(rows, "en").decode("utf-8-sig").encode("cp932")
    answer = http.post("/api/v1/corrosion/inspections", content=body, headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["entered"] == 1
    assert [(each["row"], each["code"]) for each in told["kept_out"]] == [(3, "line")]
    get(http, f"corrosion/points/{first['line']}:新-1", schema.CorrosionPointDetail)
    nonsense = http.post("/api/v1/corrosion/inspections", content=b"a,b\n1,2\n", headers={"content-type": "text/csv"})
    assert "no header of inspections" in problem(nonsense, 422)


def test_loss_by_live_sensors_counts_from_the_inspection(http: httpx.Client, config: Config) -> None:
    points = get(http, "corrosion/points", schema.CorrosionPoints, limit=600)["points"]
    point = next(each for each in points if each["last_at"] and each["last_at"] < "2025")
    assert get(http, f"corrosion/points/{point['id']}", schema.CorrosionPointDetail)["live"] is None
    inspected = int(np.datetime64(point["last_at"], "ns").astype(np.int64))
    t = inspected + np.array([-86_400, 3_600, 40_000, 9_000_000], dtype=np.int64) * 10**9
    store = Store(config.database, synchronous="NORMAL")
    historian = open_historian(config, store)
    for name, values in (("loss", [0.2, 0.25, 0.3, 0.75]), ("loss_sigma", [0.05, 0.1, 0.1, 0.3])):
        (id,) = historian.ids([f"{point['id']}/~{name}"])
        historian.write(Batch(np.full(4, id, np.int32), t, np.array(values), np.zeros(4, np.uint8)))
    historian.close()
    store.close()
    live = get(http, f"corrosion/points/{point['id']}", schema.CorrosionPointDetail)["live"]
    assert (live["lost_um"], live["sigma_um"]) == (pytest.approx(50.0), pytest.approx(20.0))
    assert live["since"].startswith(point["last_at"])
