"""The API's description of itself: valid, complete, with examples true to their models, and readable offline."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from api import corrosion, export, live, plants, routes, status
from api.problems import MEDIA_TYPE, STATUS
from api.schema import ProblemDocument
from lab.text import catalogue


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/api/v1/openapi.json?lang=en").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


def api_routes() -> list[APIRoute]:
    routers = (routes.router, export.router, plants.router, corrosion.router, status.router, live.router, status.probes)
    return [route for router in routers for route in router.routes if isinstance(route, APIRoute)]


def test_every_route_of_the_contract_is_there(document: dict[str, Any]) -> None:
    assert {f"{method.upper()} {path}" for method, path, _ in operations(document)} == {
        "GET /api/v1/assets",
        "GET /api/v1/assets/{id}",
        "GET /api/v1/assets/{id}/sensors",
        "GET /api/v1/assets/{id}/score",
        "GET /api/v1/assets/{id}/readings.csv",
        "POST /api/v1/assets/{id}/accept",
        "DELETE /api/v1/assets/{id}/accept",
        "POST /api/v1/episodes/{id}/cause",
        "DELETE /api/v1/episodes/{id}/cause",
        "GET /api/v1/assets/{id}/causes",
        "POST /api/v1/assets/{id}/causes/rename",
        "POST /api/v1/assets/{id}/causes/forget",
        "GET /api/v1/series",
        "GET /api/v1/episodes",
        "GET /api/v1/simulators",
        "GET /api/v1/simulators/{id}",
        "POST /api/v1/simulators/{id}/faults",
        "POST /api/v1/simulators/{id}/setpoints",
        "POST /api/v1/simulators/{id}/speed",
        "POST /api/v1/simulators/{id}/reset",
        "GET /api/v1/corrosion",
        "GET /api/v1/corrosion/lines",
        "GET /api/v1/corrosion/points",
        "GET /api/v1/corrosion/points/{id}",
        "GET /api/v1/corrosion/plan",
        "POST /api/v1/corrosion/inspections",
        "GET /api/v1/ledger",
        "GET /api/v1/quarantine",
        "GET /api/v1/system",
        "GET /api/v1/text/{lang}",
        "GET /api/v1/live.sse",
        "GET /healthz",
        "GET /metrics",
    }


def test_references_lead_somewhere_and_ids_are_unique(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    for node in nodes(document):
        if (target := node.get("$ref")) is not None:
            found: Any = document
            for part in target.removeprefix("#/").split("/"):
                found = found[part]
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_every_operation_has_words_an_example_and_its_errors(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"] not in catalogue(), where
        (content,) = operation["responses"]["200"]["content"].values()
        assert content["example"], where
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], where
            assert parameter["description"] not in catalogue(), where
        if method == "post" and not path.endswith("/accept"):  # there is nothing to say beside the asset
            assert operation["requestBody"]["content"]["application/json"]["examples"], where
        if operation.get("parameters") and path != "/api/v1/simulators":
            assert MEDIA_TYPE in operation["responses"]["422"]["content"], where
        for number, response in operation["responses"].items():
            if number == "200":
                continue
            for code, example in response["content"][MEDIA_TYPE]["examples"].items():
                assert STATUS[code] == int(number), where
                assert ProblemDocument.model_validate(example["value"]).type == f"/problems/{code}"
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize("route", api_routes(), ids=lambda route: route.name)
def test_examples_are_true_to_their_models(route: APIRoute) -> None:
    example = next(iter(route.responses[200]["content"].values()))["example"]
    if route.response_model is not None:
        TypeAdapter(route.response_model).validate_json(json.dumps(example))
    if route.body_field is not None:
        adapter = TypeAdapter(route.body_field.field_info.annotation)
        examples = route.body_field.field_info.openapi_examples
        assert examples
        for each in examples.values():
            adapter.validate_python(each["value"])


def test_it_speaks_both_languages(http: httpx.Client, document: dict[str, Any]) -> None:
    japanese = http.get("/api/v1/openapi.json", headers={"accept-language": "ja"}).json()
    pairs = zip(operations(document), operations(japanese), strict=True)
    assert all(one["description"] != other["description"] for (_, _, one), (_, _, other) in pairs)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_page_lists_everything_and_needs_no_network(
    http: httpx.Client, document: dict[str, Any], lang: str
) -> None:
    answer = http.get("/docs", params={"lang": lang})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-language"] == lang
    page = answer.text
    for method, path, _ in operations(document):
        assert f"<code>{method.upper()} {path}</code>" in page
    for method, path in (("POST", "assets/tep-1/accept"), ("DELETE", "episodes/tep-1-64499a2a0c2a0/cause")):
        assert re.search(f"curl -X {method} (&#x27;|')[^ ]*/api/v1/{path}(&#x27;|')", page), path
    for code in STATUS:
        assert f"/problems/{code}" in page
    assert "<script" not in page
    for address in re.findall(r'(?:href|src)="([^"]+)"', page):
        assert address.startswith("/"), address
        assert http.get(address).status_code == 200, address


def test_no_page_of_the_framework_is_left(http: httpx.Client) -> None:
    for path in ("/redoc", "/openapi.json", "/docs/oauth2-redirect"):
        assert http.get(path).status_code == 404


def test_creating_the_application_touches_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from api.app import create

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAB_DATA_DIR", "somewhere")
    app = create()
    assert isinstance(app, FastAPI)
    assert app.state.config.data_dir == "somewhere"
    assert list(tmp_path.iterdir()) == []
