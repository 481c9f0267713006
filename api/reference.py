"""The API's own description: the OpenAPI document, a page made from it (no network), and the problems' pages."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, Response

from api.problems import MEDIA_TYPE, STATUS, Problem, language_of, reason
from api.schema import BadField, ProblemDocument
from api.static import TYPES
from lab import __version__
from lab.text import LANGUAGES, catalogue, text

STYLE: Final = Path(__file__).with_name("reference.css")
METHODS: Final = ("get", "post", "delete")
ADDRESS: Final = "http://lab.invalid"
"""Stands in the page where the address goes at which it is asked for."""

router = APIRouter(include_in_schema=False)


def openapi(app: FastAPI, lang: str) -> dict[str, Any]:
    """The OpenAPI document in one language.

    Routes name texts by their keys; here they become words, and examples of problems become whole documents.
    """
    document = get_openapi(
        title=text("api.title", lang),
        version=__version__,
        openapi_version="3.1.0",
        description=text("api.description", lang),
        routes=app.routes,
        tags=[
            {"name": name, "description": text(f"api.tag.{name}", lang)}
            for name in ("lab", "corrosion", "simulators", "status")
        ],
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (ProblemDocument, BadField):
        schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[model.__name__].pop("$defs", None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            said = text(operation.pop("summary"), lang)
            operation["summary"] = re.split(r"(?<=[.。])\s*", said, maxsplit=1)[0].rstrip(".。")
            operation["description"] = said
            for status, response in operation["responses"].items():
                problems = response.get("content", {}).get(MEDIA_TYPE)
                if problems is None:
                    continue
                response["description"] = reason(int(status))
                for code, example in problems["examples"].items():
                    example["summary"] = text(f"problem.{code}", lang)
                    example["value"] = _example(code, path, lang)
    worded: dict[str, Any] = _worded(document, lang)
    return worded


def _example(code: str, path: str, lang: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": text(f"problem.{code}", lang),
        "status": STATUS[code],
        "detail": text(f"problem.{code}.help", lang),
        "instance": path,
    }
    if code == "invalid":
        body["errors"] = [{"field": "points", "message": text("api.field.less_than_equal", lang, le=5000)}]
    return body


def _worded(node: Any, lang: str) -> Any:
    if isinstance(node, dict):
        return {
            key: text(value, lang)
            if key == "description" and isinstance(value, str) and value in catalogue()
            else _worded(value, lang)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_worded(value, lang) for value in node]
    if isinstance(node, str) and node.startswith("corrosion."):  # words of an example's answer
        return text(node, lang)
    return node


class Reference:
    """Both forms of the description, made when first asked for and kept, one a language."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._documents: dict[str, bytes] = {}
        self._pages: dict[str, str] = {}

    def document(self, lang: str) -> bytes:
        """The OpenAPI document, encoded."""
        if lang not in self._documents:
            self._documents[lang] = orjson.dumps(openapi(self._app, lang))
        return self._documents[lang]

    def page(self, lang: str) -> str:
        """The reference page."""
        if lang not in self._pages:
            self._pages[lang] = "".join(_page(orjson.loads(self.document(lang)), lang))
        return self._pages[lang]


@router.get("/api/v1/openapi.json")
async def get_openapi_document(request: Request) -> Response:
    reference: Reference = request.app.state.reference
    return Response(reference.document(language_of(request.scope)), media_type="application/json")


@router.get("/docs")
async def get_reference(request: Request) -> Response:
    reference: Reference = request.app.state.reference
    lang = language_of(request.scope)
    page = reference.page(lang).replace(ADDRESS, escape(str(request.base_url).rstrip("/")))
    return HTMLResponse(page, headers={"content-language": lang})


@router.get("/docs/reference.css")
async def get_style() -> Response:
    return Response(_style(), headers={"content-type": TYPES[".css"], "cache-control": "no-cache"})


@cache
def _style() -> bytes:
    return STYLE.read_bytes()


@router.get("/problems/{code}")
async def get_problem(request: Request, code: str) -> Response:
    """What a problem's `type` points to."""
    if code not in STATUS:
        raise Problem("not-found")
    lang = language_of(request.scope)
    title = text(f"problem.{code}", lang)
    body = f"<h1>{escape(title)}</h1><p>{STATUS[code]} {escape(reason(STATUS[code]))}</p>"
    body += f"<p>{_prose(text(f'problem.{code}.help', lang))}</p>"
    body += f'<p><a href="/docs?lang={lang}#problems">{escape(text("api.page.problems", lang))}</a></p>'
    return HTMLResponse("".join(_frame(title, body, lang)), headers={"content-language": lang})


def _frame(title: str, body: str, lang: str) -> Iterator[str]:
    yield f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f'<title>{escape(title)}</title><link rel="stylesheet" href="/docs/reference.css"></head><body><main>'
    yield body
    yield "</main></body></html>"


def _page(document: Mapping[str, Any], lang: str) -> Iterator[str]:
    title = document["info"]["title"]
    parts = [f"<h1>{escape(title)} <small>{escape(document['info']['version'])}</small></h1>"]
    others = [
        f'<a href="/docs?lang={other}" hreflang="{other}">{escape(text("api.page.language", other))}</a>'
        for other in LANGUAGES
        if other != lang
    ]
    home = f'<a href="/">{escape(text("api.page.home", lang))}</a>'
    raw = f'<a href="/api/v1/openapi.json?lang={lang}">OpenAPI</a>'
    parts.append(f"<nav>{' · '.join([home, raw, *others])}</nav>")
    parts += [f"<p>{_prose(line)}</p>" for line in document["info"]["description"].split("\n") if line]
    for tag in document["tags"]:
        parts.append(f"<h2>{escape(tag['description'])}</h2>")
        for path, operations in document["paths"].items():
            for method in METHODS:
                operation = operations.get(method)
                if operation is not None and tag["name"] in operation["tags"]:
                    parts += _operation(method, path, operation, lang)
    parts.append(f"<h2>{escape(text('api.page.live', lang))}</h2><h3><code>WS /api/v1/live?after=</code></h3>")
    parts.append(f"<p>{escape(text('api.op.live', lang))} {escape(text('api.page.live.more', lang))}</p>")
    parts.append(f'<h2 id="problems">{escape(text("api.page.problems", lang))}</h2><dl>')
    for code, status in STATUS.items():
        parts.append(f"<dt>{status} <code>/problems/{code}</code> {escape(text(f'problem.{code}', lang))}</dt>")
        parts.append(f"<dd>{_prose(text(f'problem.{code}.help', lang))}</dd>")
    parts.append("</dl>")
    return _frame(title, "".join(parts), lang)


def _prose(said: str) -> str:
    """A text in HTML; what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(said))


def _operation(method: str, path: str, operation: Mapping[str, Any], lang: str) -> Iterator[str]:
    id = escape(operation["operationId"])
    yield f'<section id="{id}"><h3><code>{method.upper()} {escape(path)}</code></h3>'
    yield f"<p>{_prose(operation['description'])}</p>"
    if parameters := operation.get("parameters"):
        yield f"<table><thead><tr><th>{escape(text('api.page.parameter', lang))}</th>"
        yield f"<th>{escape(text('api.page.meaning', lang))}</th>"
        yield f"<th>{escape(text('api.page.example', lang))}</th></tr></thead><tbody>"
        for parameter in parameters:
            examples = parameter["schema"].get("examples", ())
            shown = ", ".join(f"<code>{escape(str(example))}</code>" for example in examples)
            required = f" ({escape(text('api.page.required', lang))})" if parameter.get("required") else ""
            yield f"<tr><td><code>{escape(parameter['name'])}</code>{required}</td>"
            yield f"<td>{_prose(parameter.get('description', ''))}</td><td>{shown}</td></tr>"
        yield "</tbody></table>"
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    for example in (body or {}).get("examples", {}).values():
        yield f"<pre><code>{escape(_curl(method, path, operation, example['value']))}</code></pre>"
    if body is None:
        yield f"<pre><code>{escape(_curl(method, path, operation, None))}</code></pre>"
    answers = operation["responses"]
    for entry in answers.get("200", {}).get("content", {}).values():
        example = entry.get("example")
        shown = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
        yield f"<details><summary>{escape(text('api.page.answer', lang))}</summary>"
        yield f"<pre><code>{escape(shown)}</code></pre></details>"
    codes = [code for answer in answers.values() for code in answer["content"].get(MEDIA_TYPE, {}).get("examples", ())]
    if codes:
        links = ", ".join(f'<a href="/problems/{code}?lang={lang}">{code}</a>' for code in codes)
        yield f"<p>{escape(text('api.page.problems', lang))}: {links}</p>"
    yield "</section>"


def _curl(method: str, path: str, operation: Mapping[str, Any], body: object) -> str:
    query = []
    for parameter in operation.get("parameters", ()):
        examples = parameter["schema"].get("examples", [""])
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(examples[0]))
        elif parameter.get("required"):
            query.append(f"{parameter['name']}={examples[0]}")
    address = f"{ADDRESS}{path}{'?' if query else ''}{'&'.join(query)}"
    if body is None:
        return f"curl '{address}'" if method == "get" else f"curl -X {method.upper()} '{address}'"
    return f"curl --json '{json.dumps(body)}' '{address}'"
