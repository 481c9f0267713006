"""Refusals: one form for all of them, in the reader's language, and never a 500."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.problems import MEDIA_TYPE, STATUS, language_of
from api.schema import ProblemDocument
from tests.api.conftest import Broker, Plant, Server, configure, fill, wait_for


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    found = ProblemDocument.model_validate_json(answer.content)
    assert (found.type, found.status) == (f"/problems/{code}", status)
    assert found.instance == answer.request.url.path
    assert found.detail
    document: dict[str, Any] = answer.json()
    return document


@pytest.mark.parametrize(
    "path", ["/nope", "/api/v1/nope", "/api/v1/assets/", "/api/v2/assets", "/pages/nope.js", "/pages"]
)
def test_unknown_routes(http: httpx.Client, path: str) -> None:
    assert path in problem(http.get(path), 404, "not-found")["detail"]


@pytest.mark.parametrize("path", ["assets/nosuch", "assets/nosuch/sensors", "assets/nosuch/score", "simulators/nosuch"])
def test_unknown_names(http: httpx.Client, path: str) -> None:
    assert "nosuch" in problem(http.get(f"/api/v1/{path}"), 404, "not-found")["detail"]


def test_wrong_method_says_the_right_one(http: httpx.Client) -> None:
    answer = http.delete("/api/v1/assets")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET"
    problem(http.post("/pages/index.html"), 405, "method-not-allowed")


@pytest.mark.parametrize("path", ["/api/v1/assets", "/api/v1/assets/nosuch", "/healthz", "/docs", "/", "/nope"])
def test_head_is_get_without_the_body(http: httpx.Client, path: str) -> None:
    head, get = http.head(path), http.get(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == str(len(get.content)) or path == "/healthz"


def test_a_stream_has_no_head(http: httpx.Client) -> None:
    assert http.head("/api/v1/live.sse").status_code == 405


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("series", {}, "sensors"),
        ("series", {"sensors": ","}, "sensors"),
        ("series", {"sensors": "a"}, "sensors"),
        ("series", {"sensors": "a/b/c"}, "sensors"),
        ("series", {"sensors": "/b"}, "sensors"),
        ("series", {"sensors": ",".join(f"a/s{n}" for n in range(201))}, "sensors"),
        ("series", {"sensors": "a/b", "points": "0"}, "points"),
        ("series", {"sensors": "a/b", "points": "5001"}, "points"),
        ("series", {"sensors": "a/b", "points": "many"}, "points"),
        ("series", {"sensors": ",".join(f"a/s{n}" for n in range(41)), "points": "5000"}, "points"),
        ("series", {"sensors": "a/b", "from": "yesterday"}, "from"),
        ("series", {"sensors": "a/b", "to": "tomorrow"}, "to"),
        ("series", {"sensors": "a/b", "from": "now", "to": "-1h"}, "from"),
        ("assets/a%20b", {}, "id"),
        ("assets/tep-1/score", {"points": "1e9"}, "points"),
        ("episodes", {"limit": "0"}, "limit"),
        ("episodes", {"limit": "501"}, "limit"),
        ("episodes", {"open": "perhaps"}, "open"),
        ("episodes", {"cursor": "x"}, "cursor"),
        ("episodes", {"cursor": "9999999999999999999.e"}, "cursor"),
        ("episodes", {"from": "now", "to": "-1h"}, "from"),
        ("quarantine", {"cursor": "-1"}, "cursor"),
        ("quarantine", {"reason": "because"}, "reason"),
        ("text/fr", {}, "lang"),
        ("live.sse", {"after": "x"}, "after"),
    ],
)
def test_bad_fields_are_named(http: httpx.Client, path: str, params: dict[str, str], field: str) -> None:
    found = problem(http.get(f"/api/v1/{path}", params=params), 422, "invalid")
    (error,) = found["errors"]
    assert error["field"] == field
    assert error["message"]


def test_body_that_is_not_json(http: httpx.Client) -> None:
    for content in (b"{", b"\xff", b""):
        answer = http.post("/api/v1/simulators/x/speed", content=content, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422)
        assert answer.headers["content-type"] == MEDIA_TYPE
    found = problem(
        http.post("/api/v1/simulators/x/speed", content=b"{", headers={"content-type": "application/json"}),
        422,
        "invalid",
    )
    assert found["errors"][0]["field"] == "body"


@pytest.mark.parametrize(
    ("query", "header", "expected"),
    [
        ("", "ja", "ja"),
        ("", "ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        ("", "en-GB,ja;q=0.5", "en"),
        ("", "fr, ja;q=0.3, en;q=0.2", "ja"),
        ("", "en;q=0.1, ja;q=nonsense", "en"),
        ("lang=en", "ja", "en"),
        ("lang=ja", "en", "ja"),
        ("lang=xx", "ja", "ja"),
    ],
)
def test_language(http: httpx.Client, query: str, header: str, expected: str) -> None:
    answer = http.get(f"/nope?{query}", headers={"accept-language": header})
    assert answer.headers["content-language"] == expected
    assert answer.json()["title"] == {"en": "Not found", "ja": "見つかりません"}[expected]


def test_language_without_a_wish_is_the_labs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.problems.language", lambda: "ja")
    assert language_of({"type": "http", "headers": [], "query_string": b""}) == "ja"


def test_field_errors_in_japanese(http: httpx.Client) -> None:
    answer = http.get("/api/v1/series", params={"sensors": "a/b", "points": 9999, "lang": "ja"})
    assert answer.json()["errors"] == [{"field": "points", "message": "5000以下にしてください"}]


def test_an_error_of_ours_is_logged_and_tells_nothing(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the secret of the house")

    monkeypatch.setattr("api.queries.assets", fail)
    answer = http.get("/api/v1/assets")
    problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "ZeroDivisionError" not in answer.text
    wait_for(lambda: "the secret of the house" in caplog.text, "the log entry")


def test_before_the_collector_has_started(broker: Broker, tmp_path: Path) -> None:
    config = configure(tmp_path / "later", broker.port)
    server = Server(config)
    server.start()
    try:
        with httpx.Client(base_url=server.url, headers={"accept-language": "en"}, trust_env=False) as http:
            for path in (
                "assets",
                "assets/a",
                "assets/a/sensors",
                "series?sensors=a/b",
                "episodes",
                "ledger",
                "quarantine",
            ):
                answer = http.get(f"/api/v1/{path}")
                problem(answer, 503, "not-started")
                assert answer.headers["retry-after"] == "2"
            assert http.get("/api/v1/system").json()["historian"] is None
            reasons = problem(http.get("/healthz"), 503, "unhealthy")["reasons"]
            assert "database" in [reason["code"] for reason in reasons]
            fill(config, time.time_ns())
            assert len(http.get("/api/v1/assets").json()["assets"]) == 2
            # Somebody puts another database in its place.
            config.database.rename(config.data / "old.db")
            problem(http.get("/api/v1/assets"), 503, "not-started")
            (config.database).write_bytes(b"this is no database, whatever it is called" * 100)
            problem(http.get("/api/v1/assets"), 503, "historian")
    finally:
        server.stop()


def test_health_names_a_full_disk(tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure(tmp_path, broker.port)
    fill(config, time.time_ns())
    server = Server(config)
    server.start()
    try:
        with httpx.Client(base_url=server.url, trust_env=False) as http:
            wait_for(lambda: http.get("/healthz").status_code == 200, "a healthy lab")
            monkeypatch.setattr("api.status.FULL_BYTES", 2**62)
            reasons = problem(http.get("/healthz", headers={"accept-language": "en"}), 503, "unhealthy")["reasons"]
            assert [reason["code"] for reason in reasons] == ["disk"]
            assert str(config.data) in reasons[0]["detail"]
    finally:
        server.stop()


def test_health_names_a_silent_collector_and_a_missing_broker(tmp_path: Path, broker: Broker) -> None:
    config = configure(tmp_path, broker.port)
    fill(config, time.time_ns())
    server = Server(config)
    server.start()
    bus = server.app.state.context.bus
    plant = Plant(broker.port)
    wait_for(lambda: "sim-1" in bus.gateways and bus.gateways["sim-1"].birth, "the plant")
    plant.close()
    try:
        with httpx.Client(base_url=server.url, headers={"accept-language": "en"}, trust_env=False) as http:
            assert http.get("/healthz").status_code == 200  # ten seconds of grace after the start
            bus._began -= 11
            reasons = problem(http.get("/healthz"), 503, "unhealthy")["reasons"]
            assert [reason["code"] for reason in reasons] == ["collector"]
            assert "11 s" in reasons[0]["detail"]
            bus._client.disconnect()
            wait_for(lambda: not bus.connected, "the disconnection")
            reasons = problem(http.get("/healthz"), 503, "unhealthy")["reasons"]
            assert [reason["code"] for reason in reasons] == ["broker", "collector"]
            command = http.post("/api/v1/simulators/sim-1/speed", json={"speed": 2})
            problem(command, 503, "broker")
    finally:
        server.stop()


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
VALUE = st.one_of(
    TEXT, st.integers().map(str), st.floats().map(str), st.sampled_from(["", "true", "-15m", "now", "a/b"])
)
ROUTES = st.sampled_from(
    ["assets", "assets/tep-1", "assets/tep-1/sensors", "series", "assets/tep-1/score", "episodes", "simulators",
     "simulators/tep-1", "ledger", "quarantine", "system", "text/en", "openapi.json"]
)  # fmt: skip
NAMES = st.sampled_from(
    ["sensors", "from", "to", "points", "asset", "open", "limit", "cursor", "reason", "lang", "after", "id", "nosuch"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROUTES, st.dictionaries(NAMES, VALUE, max_size=5))
def test_no_query_makes_a_500(http: httpx.Client, route: str, params: dict[str, str]) -> None:
    answer = http.get(f"/api/v1/{route}", params=params)
    assert answer.status_code in (200, 422)
    if answer.status_code == 422:
        assert problem(answer, 422, "invalid")["errors"]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
BODY = st.one_of(
    JSON,
    st.dictionaries(
        st.sampled_from(
            ["idv", "on", "tag", "kind", "size", "xmv", "loop", "value", "manual", "speed", "running", "seed"]
        ),
        JSON,
        max_size=4,
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["faults", "setpoints", "speed", "reset"]), BODY)
def test_no_body_makes_a_500(http: httpx.Client, route: str, body: Any) -> None:
    answer = http.post(
        f"/api/v1/simulators/nosuch/{route}", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code in (404, 422), answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1, max_size=40))
def test_no_path_makes_a_500(http: httpx.Client, path: str) -> None:
    for prefix in ("/", "/api/v1/", "/pages/", "/problems/", "/api/v1/assets/"):
        assert http.get(f"{prefix}{path.lstrip('/')}").status_code < 500


def test_every_code_is_explained_in_both_languages(http: httpx.Client) -> None:
    pages = {
        (code, lang): http.get(f"/problems/{code}", params={"lang": lang}) for code in STATUS for lang in ("en", "ja")
    }
    assert {answer.status_code for answer in pages.values()} == {200}
    assert len({answer.text for answer in pages.values()}) == len(pages)
    problem(http.get("/problems/nosuch"), 404, "not-found")
