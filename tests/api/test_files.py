"""Static files: types that do not depend on the machine, validation by ETag, nothing outside the folder."""

import mimetypes
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException

from api.problems import on_http_exception
from api.static import PAGES, Pages, home


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pages = tmp_path / "pages"
    (pages / "sub").mkdir(parents=True)
    (pages / "index.html").write_text("<!doctype html><title>lab</title>")
    (pages / "main.js").write_text("export default 1")
    (pages / "sub" / "part.mjs").write_text("export default 2")
    (pages / "base.css").write_text("body{}")
    (pages / "icon.svg").write_text("<svg/>")
    (pages / "data.bin").write_bytes(b"\x00")
    (tmp_path / "secret.txt").write_text("secret")
    return pages


@pytest.fixture
def app(folder: Path) -> FastAPI:
    app = FastAPI()
    pages = Pages(folder)
    app.include_router(home(pages))
    app.mount("/pages", pages)
    app.add_exception_handler(HTTPException, on_http_exception)
    return app


@pytest.fixture
def get(app: FastAPI) -> Iterator[object]:
    import asyncio

    def ask(path: str, **headers: str) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.get(path, headers=headers)

        return asyncio.run(run())

    return ask  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("path", "type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/pages/main.js", "text/javascript; charset=utf-8"),
        ("/pages/sub/part.mjs", "text/javascript; charset=utf-8"),
        ("/pages/base.css", "text/css; charset=utf-8"),
        ("/pages/icon.svg", "image/svg+xml"),
        ("/favicon.ico", "image/svg+xml"),
        ("/pages/data.bin", "application/octet-stream"),
    ],
)
def test_types_are_ours(get, monkeypatch: pytest.MonkeyPatch, path: str, type: str) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(mimetypes, "guess_type", lambda *_, **__: ("text/plain", None))  # as some Windows registries do
    answer = get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == type


def test_a_copy_is_asked_after_and_kept(get) -> None:  # type: ignore[no-untyped-def]
    for path in ("/", "/pages/main.js"):
        first = get(path)
        assert first.headers["cache-control"] == "no-cache"
        again = get(path, **{"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert get(path, **{"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/pages/../secret.txt",
        "/pages/%2e%2e/secret.txt",
        "/pages/..%2fsecret.txt",
        "/pages/sub/..%2f..%2fsecret.txt",
        "/pages//etc/passwd",
        "/pages/sub",
        "/pages/",
        "/pages/nope.js",
        "/pages/%00",
        "/pages/" + "x" * 5000,
    ],
)
def test_nothing_outside_the_folder(get, path: str) -> None:  # type: ignore[no-untyped-def]
    answer = get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text.replace("secret.txt", "")


def test_without_pages_the_api_still_works(get, folder: Path) -> None:  # type: ignore[no-untyped-def]
    (folder / "index.html").unlink()
    (folder / "icon.svg").unlink()
    assert get("/").status_code == 404
    assert get("/").headers["content-type"] == "application/problem+json"
    assert get("/favicon.ico").status_code == 204


def test_every_file_of_the_pages_has_a_known_type() -> None:
    from api.static import TYPES

    files = [file for file in PAGES.rglob("*") if file.is_file() and not file.name.startswith(".")]
    assert {file.suffix for file in files} <= TYPES.keys()
