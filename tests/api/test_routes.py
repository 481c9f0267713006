"""What the routes answer about a lab whose database the real writers wrote."""

import sqlite3
import time
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from api import queries, schema
from api.hub import AssetState
from lab.cli import build
from lab.config import Config
from lab.text import catalogue
from tests.api.conftest import Collector, Plant, Server, wait_for


def get(http: httpx.Client, path: str, model: type[BaseModel], **params: Any) -> Any:
    """The answer, which must have the fields its model says and no others."""
    answer = http.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    model.model_validate_json(answer.content)
    return answer.json()


def test_assets_from_the_database_alone(http: httpx.Client) -> None:
    assets = {each["id"]: each for each in get(http, "assets", schema.Assets)["assets"]}
    assert list(assets) == ["pump-2", "tep-1"]
    assert assets["pump-2"] | {"name": ""} == {
        "id": "pump-2",
        "kind": "csv",
        "name": "",
        "gateway": "edge-2",
        "online": False,
        "simulator": False,
        "health": "offline",
        "score": None,
        "limit": None,
        "alarm": False,
        "warm": False,
        "last": None,
        "sensors": 2,
        "episodes_open": 0,
        "told": None,
    }
    assert assets["tep-1"]["simulator"] is True
    assert assets["tep-1"]["sensors"] == 4
    assert assets["tep-1"]["episodes_open"] == 1
    assert assets["tep-1"]["last"].endswith("Z")


def test_assets_follow_the_live_frames(http: httpx.Client, server: Server, collector: Collector) -> None:
    def health(**state: Any) -> dict[str, Any]:
        id = collector.frame(**state)
        wait_for(lambda: server.hub.frames and server.hub.frames[-1].id == id, "the frame")
        found: dict[str, Any] = get(http, "assets/tep-1", schema.AssetDetail)
        return found

    alarm = health()
    assert (alarm["health"], alarm["score"], alarm["limit"], alarm["alarm"]) == ("alarm", 1.31, 1.0, True)
    assert [(each["tag"], each["share"]) for each in alarm["leading"]] == [("xmeas_1", 0.62), ("xmv_3", 0.21)]
    assert health(alarm=False, score=0.4)["health"] == "instrument"  # its open episode is a sensor's
    assert health(alarm=False, age_s=120.0)["health"] == "stale"
    assert health(alarm=False, t=None, age_s=None)["health"] == "instrument"  # the database knows the last reading
    quiet = health(online=False)  # connected, but it says nothing
    assert (quiet["health"], quiet["online"]) == ("stale", False)
    old = (time.time_ns() - 60 * 10**9) // 10**6
    assert health(alarm=False, t=old)["health"] == "stale"
    late = health(alarm=False, warm=False, score=None)
    assert (late["warm"], late["score"]) == (False, None)


def test_the_model_in_use_is_that_of_the_newest_run(http: httpx.Client, config: Config) -> None:
    try:
        for t, model, offset in ((1, "first", b"x"), (2, "second", None), (3, None, None)):  # then its file is gone
            with sqlite3.connect(config.database) as db:
                db.execute(
                    "INSERT INTO run (asset, t, model, reason, offset) VALUES ('tep-1', ?, ?, 'model', ?)",
                    (t, model, offset),
                )
            found = get(http, "assets/tep-1", schema.AssetDetail)
            assert (found["model"], found["accepted"]) == (model, offset is not None)
    finally:
        with sqlite3.connect(config.database) as db:
            db.execute("DELETE FROM run")


def test_sensors(http: httpx.Client) -> None:
    rows = get(http, "assets/tep-1/sensors", schema.Sensors)["sensors"]
    assert [row["tag"] for row in rows] == ["xmeas_1", "xmeas_9", "xmv_3", "plant_s"]
    feed, temperature = rows[:2]
    assert feed["key"] == "tep-1/xmeas_1"
    assert feed["limits"] == {"hi_alarm": 0.5}
    assert feed["quality"] == "good"
    assert isinstance(feed["value"], float)
    assert temperature["value"] is None  # bad readings have no value that looks like one
    assert temperature["quality"] == "bad:openwire"
    never = get(http, "assets/pump-2/sensors", schema.Sensors)["sensors"]
    assert [(row["value"], row["quality"], row["last"], row["stale"]) for row in never] == [
        (None, None, None, True)
    ] * 2


def test_names_follow_the_language(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalogue(), "tag.tep.xmeas_9", {"en": "Reactor heat", "ja": "反応器の温度"})
    names = {
        lang: [row["name"] for row in get(http, "assets/tep-1/sensors", schema.Sensors, lang=lang)["sensors"]]
        for lang in ("en", "ja")
    }
    assert (names["en"][1], names["ja"][1]) == ("Reactor heat", "反応器の温度")
    monkeypatch.delitem(catalogue(), "tag.tep.xmeas_9")
    monkeypatch.delitem(catalogue(), "tag.tep.plant_s", raising=False)
    rows = get(http, "assets/tep-1/sensors", schema.Sensors, lang="ja")["sensors"]
    assert (rows[1]["name"], rows[3]["name"]) == ("Reactor temperature", "plant_s")


def test_series_raw(http: httpx.Client) -> None:
    answer = get(
        http, "series", schema.SeriesAnswer, sensors="tep-1/xmeas_1,tep-1/xmeas_9", **{"from": "-1d"}, points=5000
    )
    one, other = answer["series"]["tep-1/xmeas_1"], answer["series"]["tep-1/xmeas_9"]
    assert one["raw"] is True
    assert len(one["t"]) == 600
    assert set(np.diff(one["t"])) == {1000}
    np.testing.assert_allclose(one["v"], np.sin(np.arange(600) / 20.0), atol=1e-6)
    assert one["v"] == one["lo"] == one["hi"]
    assert "q" not in one
    assert other["v"][-3:] == [None] * 3
    assert other["q"][-3:] == [129] * 3
    assert answer["from"] < answer["to"]


def test_series_decimated_keeps_the_extremes(http: httpx.Client) -> None:
    answer = get(http, "series", schema.SeriesAnswer, sensors="tep-1/xmeas_1", **{"from": "-15m"}, points=50)
    course = answer["series"]["tep-1/xmeas_1"]
    assert course["raw"] is False
    assert 1 < len(course["t"]) <= 50
    truth = np.sin(np.arange(600) / 20.0)
    assert max(course["hi"]) == pytest.approx(truth.max(), abs=1e-6)
    assert min(course["lo"]) == pytest.approx(truth.min(), abs=1e-6)
    assert all(lo <= v <= hi for lo, v, hi in zip(course["lo"], course["v"], course["hi"], strict=True))


def test_series_span_is_half_open(http: httpx.Client) -> None:
    whole = get(http, "series", schema.SeriesAnswer, sensors="tep-1/xmeas_1", **{"from": "-1d"}, points=600)
    course = whole["series"]["tep-1/xmeas_1"]
    first, last = course["t"][0], course["t"][-1]
    part = get(
        http, "series", schema.SeriesAnswer, sensors="tep-1/xmeas_1", **{"from": first + 2000, "to": first + 5000}
    )
    assert [t - first for t in part["series"]["tep-1/xmeas_1"]["t"]] == [2000, 3000, 4000]
    assert last - first == 599_000


def test_series_names_unknown_sensors(http: httpx.Client) -> None:
    answer = get(http, "series", schema.SeriesAnswer, sensors="tep-1/xmeas_1,tep-1/nosuch", **{"from": "-1d"})
    assert answer["unknown"] == ["tep-1/nosuch"]
    assert answer["series"]["tep-1/nosuch"]["t"] == []
    quiet = get(http, "series", schema.SeriesAnswer, sensors="tep-1/xmeas_1", **{"from": "0", "to": "1000"})
    assert "unknown" not in quiet


def test_series_takes_each_sensor_once_and_many(http: httpx.Client) -> None:
    answer = get(http, "series", schema.SeriesAnswer, sensors=" tep-1/xmeas_1 ,tep-1/xmeas_1,")
    assert list(answer["series"]) == ["tep-1/xmeas_1"]
    many = ",".join(f"tep-1/s{n}" for n in range(200))
    assert len(get(http, "series", schema.SeriesAnswer, sensors=many)["series"]) == 200


def test_score(http: httpx.Client) -> None:
    answer = get(http, "assets/tep-1/score", schema.Score, **{"from": "-1d"}, points=5000)
    assert len(answer["t"]) == len(answer["score"]) == 600
    assert set(answer["statistics"]) == {"energy", "sensor"}
    assert {len(values) for values in answer["statistics"].values()} == {600}
    few = get(http, "assets/tep-1/score", schema.Score, **{"from": "-1d"}, points=20)
    assert max(few["score"]) == pytest.approx(max(answer["score"]), abs=1e-6)
    assert {len(values) for values in few["statistics"].values()} == {len(few["t"])}
    silent = get(http, "assets/pump-2/score", schema.Score)
    assert (silent["t"], silent["score"], silent["statistics"]) == ([], [], {})


def test_episodes_page_by_page(http: httpx.Client) -> None:
    whole = get(http, "episodes", schema.Episodes)
    assert [each["id"] for each in whole["episodes"]] == ["e2", "e1", "e0"]
    assert whole["next"] is None
    ids, cursor = [], None
    while True:
        page = get(http, "episodes", schema.Episodes, limit=1, **({"cursor": cursor} if cursor else {}))
        ids += [each["id"] for each in page["episodes"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert ids == ["e2", "e1", "e0"]
    first = whole["episodes"][0]
    assert (first["kind"], first["end"], first["leading"]) == ("instrument", None, [["xmeas_1", 0.62]])
    assert first["duration_s"] >= 60
    assert whole["episodes"][2]["duration_s"] == 100


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"open": "true"}, ["e2"]),
        ({"open": "false"}, ["e1", "e0"]),
        ({"asset": "pump-2"}, []),
        ({"asset": "tep-1", "open": "true"}, ["e2"]),
        ({"from": "-350s"}, ["e2", "e1"]),
        ({"from": "-1h", "to": "-350s"}, ["e0"]),
        ({"to": "-1h"}, []),
    ],
)
def test_episodes_by_asset_state_and_time(http: httpx.Client, params: dict[str, str], expected: list[str]) -> None:
    assert [each["id"] for each in get(http, "episodes", schema.Episodes, **params)["episodes"]] == expected


def test_ledger_adds_up(http: httpx.Client) -> None:
    answer = get(http, "ledger", schema.LedgerAnswer)
    new, old = answer["gateways"]
    assert (new["gateway"], new["boot"], old["boot"]) == ("sim-1", 7, 6)
    assert (new["missing"], new["missing_ranges"], new["proof"], new["upto"]) == (3, [[100, 102]], False, 199)
    assert (old["missing"], old["proof"], old["state"]) == (0, True, "offline")
    for account in (new, old, answer["totals"]):
        sums = account["accepted"] + account["duplicates"] + account["rejected"] + account["missing"]
        assert account["published"] == sums
    assert answer["totals"]["published"] == 212
    assert answer["totals"]["proof"] is False


def test_quarantine_page_by_page(http: httpx.Client) -> None:
    whole = get(http, "quarantine", schema.QuarantineAnswer)
    assert [each["detail"] for each in whole["entries"]] == [f"case {n}" for n in (4, 3, 2, 1, 0)]
    assert whole["entries"][0]["payload"] == '{"v":[1,\\xff]}'
    page = get(http, "quarantine", schema.QuarantineAnswer, limit=2)
    rest = get(http, "quarantine", schema.QuarantineAnswer, cursor=page["next"])
    assert page["entries"] + rest["entries"] == whole["entries"]
    assert rest["next"] is None
    assert get(http, "quarantine", schema.QuarantineAnswer, reason="fork")["entries"] == []


def test_system(http: httpx.Client, server: Server) -> None:
    answer = get(http, "system", schema.SystemAnswer)
    assert answer["processes"] == []  # nobody supervises this one
    assert answer["broker"]["connected"] is True
    assert answer["historian"]["readings"] == 7 * 600
    assert answer["versions"]["python"]


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_text_is_the_catalogue(http: httpx.Client, lang: str) -> None:
    answer = http.get(f"/api/v1/text/{lang}").json()
    assert answer == {key: entry[lang] for key, entry in catalogue().items()}


def test_simulators(http: httpx.Client, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plants = get(http, "simulators", schema.Simulators)["simulators"]
    assert [each["id"] for each in plants] == ["tep-1"]
    one = get(http, "simulators/tep-1", schema.Simulator, lang="en")
    assert one == get(http, "simulators/sim-1", schema.Simulator, lang="en")
    assert (one["gateway"], one["online"], one["faults"], one["speed"]) == ("sim-1", True, [6], 60.0)
    assert [each["idv"] for each in one["disturbances"]][:20] == list(range(1, 21))
    loop = next(each for each in one["loops"] if each["loop"] == 9)
    assert (loop["pv"], loop["unit"], loop["setpoint"]) == ("xmeas_19", "kg/h", 230.31)
    monkeypatch.setitem(catalogue(), "idv.tep.6", {"en": "A feed loss", "ja": "A原料の喪失"})
    japanese = get(http, "simulators/tep-1", schema.Simulator, lang="ja")
    assert next(each["name"] for each in japanese["disturbances"] if each["idv"] == 6) == "A原料の喪失"


def test_health_and_metrics(http: httpx.Client, collector: Collector) -> None:
    collector.alive()
    wait_for(lambda: http.get("/healthz").status_code == 200, "a healthy lab")
    assert http.get("/healthz").json() == {"status": "ok"}
    answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    values = {name: float(value) for name, value in (line.split() for line in lines if not line.startswith("#"))}
    assert values["lab_api_broker_connected"] == 1
    assert values["lab_collector_readings"] == 1200
    assert values["lab_collector_lag_s"] == 0.25
    assert values["lab_collector_queue_length"] == 3
    assert values["process_cpu_seconds_total"] > 0


def test_what_an_episode_is_like_and_how_long_it_leaves(
    http: httpx.Client, server: Server, collector: Collector
) -> None:
    outlook = {"sensor": "xmeas_9", "time_s": 900.0, "low_s": 300.0, "high_s": 2000.0, "first_s": 4000.0}
    outlook |= {"silent_s": 12.0, "watched": 3, "unseen": [{"sensor": "xmeas_7", "silent_s": 4000.0, "time_s": 900.0}]}
    id = collector.frame(
        episode="e9",
        episode_kind="process",
        drift=0.4,
        cause="idv_1",
        causes=[["idv_1", 0.8], ["strainer", 0.1]],
        unknown=0.1,
        outlook=outlook | {"first_at": 1_764_000_000_000_000_000, "reached": None, "lead_s": None, "limit": 175.0},
    )
    wait_for(lambda: server.hub.frames and server.hub.frames[-1].id == id, "the frame")
    found = get(http, "assets/tep-1", schema.AssetDetail, lang="en")
    assert (found["drift"], found["episode"], found["episode_kind"], found["cause"]) == (0.4, "e9", "process", "idv_1")
    assert found["causes"][0]["name"] == "A/C feed ratio in stream 4, B constant"
    assert found["causes"][1] == {"cause": "strainer", "name": "strainer", "probability": 0.1}
    assert found["outlook"]["time_s"] == 900.0
    assert found["outlook"]["limit"] == 175.0
    assert (found["outlook"]["silent_s"], found["outlook"]["watched"]) == (12.0, 3)
    (unseen,) = found["outlook"]["unseen"]
    assert (unseen["sensor"], unseen["name"], unseen["silent_s"]) == ("xmeas_7", "Reactor pressure", 4000.0)
    assert (unseen["time_s"], unseen["limit"]) == (900.0, None)
    assert found["outlook"]["first_at"].startswith("2025-11-24")
    japanese = get(http, "assets/tep-1", schema.AssetDetail, lang="ja")
    assert japanese["causes"][0]["name"] != found["causes"][0]["name"]


def test_orders_to_the_collector(http: httpx.Client, collector: Collector) -> None:
    collector.orders.clear()
    collector.answer = {"ok": True, "detail": "", "result": {"asset": "tep-1"}}
    answer = http.post("/api/v1/assets/tep-1/accept")
    assert answer.status_code == 200, answer.text
    assert schema.Accepted.model_validate_json(answer.content).asset == "tep-1"
    collector.answer = {"ok": True, "detail": "", "result": {"episode": "e1", "library": "tep.causes.json"}}
    answer = http.post("/api/v1/episodes/e1/cause", json={"cause": " strainer blocked "})
    assert answer.status_code == 200, answer.text
    assert schema.ToldAnswer.model_validate_json(answer.content).library == "tep.causes.json"
    assert [(each["op"], each["args"]) for each in collector.orders] == [
        ("accept", {"asset": "tep-1"}),
        ("label", {"episode": "e1", "cause": "strainer blocked", "kind": None}),
    ]
    assert http.post("/api/v1/episodes/e1/cause", json={"cause": "gauge", "kind": "instrument"}).status_code == 200
    assert collector.orders[-1]["args"] == {"episode": "e1", "cause": "gauge", "kind": "instrument"}
    for reply, status, code in (
        ({"ok": False, "detail": "tep-1 is not known", "result": {"missing": "asset"}}, 404, "not-found"),
        ({"ok": False, "detail": "asset tep-1 is not scored yet", "result": {}}, 422, "lab-refused"),
    ):
        collector.answer = reply
        answer = http.post("/api/v1/assets/tep-1/accept")
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{code}")
    collector.answer = {"ok": False, "detail": "its words", "result": {"code": "not_accepted"}}
    answer = http.delete("/api/v1/assets/tep-1/accept?lang=ja")
    assert answer.json()["detail"].startswith("この設備には、受け入れた新しい正常がありません")
    for path, body, missing, words in (
        ("assets/tep-9/accept", {}, "asset", "設備「tep-9」は"),
        ("episodes/e7/cause", {"cause": "x"}, "episode", "異常の区間「e7」が"),
        ("assets/tep-9/causes/forget", {"cause": "x"}, "asset", "設備「tep-9」は"),
        ("assets/tep-1/causes/forget", {"cause": "x"}, "cause", "この設備、または同じ種類の設備に、原因「x」は"),
    ):
        collector.answer = {"ok": False, "detail": "", "result": {"missing": missing}}
        answer = http.post(f"/api/v1/{path}", json=body, headers={"accept-language": "ja"})
        assert answer.json()["detail"].startswith(words)
    for body in ({}, {"cause": " "}, {"cause": "x" * 81}, {"cause": "x", "more": 1}, {"cause": "x", "kind": "y"}):
        assert http.post("/api/v1/episodes/e1/cause", json=body).status_code == 422
    for cause in ("tab\there", "line\nbreak", "break\n", "\x00own", "\x85", "\u3000", "\u200b"):
        answer = http.post("/api/v1/episodes/e1/cause", json={"cause": cause})
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": "cause", "message": "must be a name in one line"}]


def test_what_was_told_is_taken_back_renamed_and_deleted(http: httpx.Client, collector: Collector) -> None:
    collector.orders.clear()
    for method, path, body, result, order in (
        ("DELETE", "assets/tep-1/accept", None, {"asset": "tep-1"}, ("unaccept", {"asset": "tep-1"})),
        ("DELETE", "episodes/e1/cause", None, {"episode": "e1", "cause": "gasket"}, ("take_back", {"episode": "e1"})),
        (
            *("POST", "assets/tep-1/causes/rename", {"cause": "a", "name": " b "}, {"cause": "b", "episodes": 2}),
            ("rename", {"asset": "tep-1", "cause": "a", "name": "b"}),
        ),
        (
            *("POST", "assets/tep-1/causes/forget", {"cause": "a"}, {"cause": None, "episodes": 2}),
            ("rename", {"asset": "tep-1", "cause": "a", "name": None}),
        ),
    ):
        collector.answer = {"ok": True, "detail": "", "result": result}
        answer = http.request(method, f"/api/v1/{path}", json=body)
        assert (answer.status_code, answer.json()) == (200, result), answer.text
        assert (collector.orders[-1]["op"], collector.orders[-1]["args"]) == order
        collector.answer = {"ok": False, "detail": "", "result": {"missing": next(iter(order[1]))}}
        assert http.request(method, f"/api/v1/{path}", json=body).status_code == 404
        foreign = {"origin": "http://elsewhere.example"}
        assert http.request(method, f"/api/v1/{path}", json=body, headers=foreign).status_code == 403
    for path, body in (
        ("rename", {"cause": "a"}),
        ("rename", {"cause": "a", "name": None}),
        ("forget", {"cause": " "}),
    ):
        assert http.post(f"/api/v1/assets/tep-1/causes/{path}", json=body).status_code == 422
    answer = http.post("/api/v1/assets/tep-1/causes/rename?lang=ja", json={"cause": "a", "name": ""})
    assert answer.json()["errors"] == [{"field": "name", "message": "入力してください"}]


def test_the_causes_told_of_assets_of_a_kind(http: httpx.Client, config: Config) -> None:
    with sqlite3.connect(config.database) as db:
        before = db.execute("SELECT id, label FROM episode WHERE asset = 'tep-1' ORDER BY start DESC").fetchall()
        db.execute("UPDATE episode SET label = NULL")
        db.execute("UPDATE episode SET label = 'idv_6' WHERE id = ?", (before[0][0],))
    try:
        found = get(http, "assets/tep-1/causes", schema.ToldCauses)
        assert found["causes"] == [{"cause": "idv_6", "name": "A feed loss (stream 1)", "episodes": 1}]
        assert http.get("/api/v1/assets/nobody/causes").status_code == 404
        assets = {each["id"]: each for each in get(http, "assets", schema.Assets)["assets"]}
        assert assets["tep-1"]["told"] == {"episode": before[0][0], "cause": "idv_6"}, "it is open"
        assert assets["pump-2"]["told"] is None
    finally:
        with sqlite3.connect(config.database) as db:
            db.executemany("UPDATE episode SET label = ? WHERE id = ?", [(label, id) for id, label in before])


def test_the_command_line_tells_the_running_lab(
    config: Config, http: httpx.Client, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.orders.clear()
    collector.answer = {"ok": True, "detail": "", "result": {"episode": "e1", "library": "tep.causes.json"}}
    monkeypatch.setenv("LAB_DATA_DIR", str(config.data))
    monkeypatch.setenv("LAB_API_PORT", str(config.api.port))
    done = CliRunner().invoke(build("model"), ["model", "label", "e1", "strainer blocked"])
    assert done.exit_code == 0, done.output
    assert "tep.causes.json" in done.output
    assert collector.orders[0]["args"] == {"episode": "e1", "cause": "strainer blocked", "kind": None}
    CliRunner().invoke(build("model"), ["model", "label", "e1", "gauge sticks", "--kind", "instrument"])
    assert collector.orders[1]["args"] == {"episode": "e1", "cause": "gauge sticks", "kind": "instrument"}
    for words, result, said in (
        (["take-back", "e1"], {"episode": "e1", "cause": "gauge sticks"}, "it was: gauge sticks"),
        (["take-back", "e1"], {"episode": "e1", "cause": None}, "was not told"),
        (["rename", "tep-1", "a", "b"], {"cause": "b", "episodes": 2}, "Now: b (episodes: 2)"),
        (["forget", "tep-1", "a"], {"cause": None, "episodes": 2}, "Deleted: a (episodes: 2)"),
    ):
        collector.answer = {"ok": True, "detail": "", "result": result}
        done = CliRunner().invoke(build("model"), ["model", *words])
        assert (done.exit_code, said in done.output) == (0, True), done.output
    collector.answer = {"ok": False, "detail": "e1 is not known", "result": {"missing": "episode"}}
    done = CliRunner().invoke(build("model"), ["model", "label", "e1", "x"])
    assert done.exit_code == 1
    assert "no episode “e1”" in done.output
    monkeypatch.setenv("LAB_API_PORT", "1")
    done = CliRunner().invoke(build("model"), ["model", "label", "e1", "x"])
    assert done.exit_code == 1
    assert "lab up" in done.output


def test_a_failed_instrument_is_no_alarm_however_high_the_score() -> None:
    word = AssetState(alarm=True, warm=True, online=True, episode="a-1", episode_kind="instrument")
    opened = ["process"]  # as stored before the instrument was known
    assert queries._health(word, True, time.time_ns(), 30.0, opened, True) == "instrument"
    word.upset = ["flow"]
    assert queries._health(word, True, time.time_ns(), 30.0, opened, True) == "alarm", "it moves the plant"
    word.episode_kind = "process"
    assert queries._health(word, True, time.time_ns(), 30.0, opened, True) == "alarm"
