"""Errors as RFC 9457 problem documents, in the reader's language. Every error the API answers is made here."""

import http
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Scope

from lab.text import LANGUAGES, catalogue, language, text

STATUS: Final[Mapping[str, int]] = {
    "bad-request": 400,
    "cross-origin": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "too-large": 413,
    "wrong-host": 421,
    "invalid": 422,
    "plant-refused": 422,
    "lab-refused": 422,
    "internal": 500,
    "not-started": 503,
    "historian": 503,
    "corrosion": 503,
    "broker": 503,
    "busy": 503,
    "unhealthy": 503,
    "plant-silent": 504,
    "lab-silent": 504,
}
"""Every code with its status; `/problems/{code}` explains it (texts `problem.{code}` and `problem.{code}.help`)."""

MEDIA_TYPE: Final = "application/problem+json"


class FieldError(NamedTuple):
    """What is wrong with one field of a request."""

    field: str
    message: str


class Problem(HTTPException):
    """An error with a code of `STATUS`; `key` with `values` names the text of its detail, `extra` adds members."""

    def __init__(
        self,
        code: str,
        key: str | None = None,
        /,
        *,
        errors: Sequence[tuple[str, str, Mapping[str, object]]] = (),
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> None:
        super().__init__(STATUS[code], headers=headers)
        self.code = code
        self.key = key
        self.values = values
        self.errors = errors
        """Per bad field: its name, the key of the text, and the text's values."""
        self.extra = extra or {}


def bad_field(field: str, key: str, /, **values: object) -> Problem:
    """The 422 problem of one bad field; `key` is a text under `api.field.`."""
    return Problem("invalid", errors=[(field, f"api.field.{key}", values)])


def language_of(scope: Scope) -> str:
    """The language to answer in: `?lang=`, else the first of Accept-Language that the lab speaks, else the lab's."""
    wanted = QueryParams(scope.get("query_string", b"")).get("lang")
    if wanted in LANGUAGES:
        return wanted
    header = Headers(scope=scope).get("accept-language", "")
    ranked: list[tuple[float, str]] = []
    for part in header.split(",")[:20]:
        tag, _, quality = part.strip().partition(";q=")
        try:
            rank = float(quality) if quality else 1.0
        except ValueError:
            continue
        primary = tag.partition("-")[0].lower()
        if primary in LANGUAGES and rank > 0:
            ranked.append((-rank, primary))
    ranked.sort(key=lambda entry: entry[0])
    return ranked[0][1] if ranked else language()


def document(
    scope: Scope,
    code: str,
    *,
    detail: str | None = None,
    status: int | None = None,
    errors: Sequence[FieldError] = (),
    extra: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response of one problem."""
    lang = language_of(scope)
    status = status or STATUS[code]
    body: dict[str, object] = {
        "type": f"/problems/{code}",
        "title": text(f"problem.{code}", lang),
        "status": status,
        "detail": detail or text(f"problem.{code}.help", lang),
        "instance": scope.get("path", ""),
        **(extra or {}),
    }
    if errors:
        body["errors"] = [{"field": error.field, "message": error.message} for error in errors]
    return Response(
        orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY),
        status,
        {"content-language": lang, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Handler of `Problem` and of what the framework raises itself (no such route, wrong method, unreadable body)."""
    lang = language_of(request.scope)
    if isinstance(error, Problem):
        return document(
            request.scope,
            error.code,
            detail=text(error.key, lang, **error.values) if error.key else None,
            errors=[FieldError(field, text(key, lang, **values)) for field, key, values in error.errors],
            extra=error.extra,
            headers=error.headers,
        )
    assert isinstance(error, HTTPException)
    code = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}.get(error.status_code, "bad-request")
    detail = None
    if code == "not-found":
        detail = text("api.no_route", lang, path=request.url.path)
    elif code == "method-not-allowed":
        detail = text("api.no_method", lang, method=request.method, path=request.url.path)
    return document(request.scope, code, detail=detail, status=error.status_code, headers=error.headers)


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Handler of parameters and bodies that do not fit: one entry per field, in the reader's language."""
    assert isinstance(error, RequestValidationError)
    lang = language_of(request.scope)
    return document(request.scope, "invalid", errors=[field_error(entry, lang) for entry in error.errors()])


async def on_failure(request: Request, error: Exception) -> Response:
    """Handler of errors of ours: the reader learns nothing of the inside, the log has it (see `api.security.Guard`)."""
    return document(request.scope, "internal")


def field_error(entry: Mapping[str, Any], lang: str) -> FieldError:
    """One of pydantic's errors in the reader's words; a kind that has no text of ours keeps pydantic's."""
    place = [str(part) for part in entry.get("loc", ())]
    # The first part says body, query or path; a union's member is said by pydantic, not by the person.
    if entry["type"] == "json_invalid":
        place = place[:1]  # pydantic adds the offset
    field = ".".join(part for part in place[1:] if not part.startswith("form:")) or "".join(place[:1])
    values: Mapping[str, object] = entry.get("ctx") or {}
    key = f"api.field.{entry['type']}"
    if key not in catalogue():
        return FieldError(field, text("api.field.other", lang, message=entry["msg"]))
    return FieldError(field, text(key, lang, **values))


def accepted_language(connection: HTTPConnection) -> str:
    """`language_of` as a dependency."""
    return language_of(connection.scope)


def reason(status: int) -> str:
    """The standard phrase of a status."""
    return http.HTTPStatus(status).phrase
