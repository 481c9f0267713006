"""The pages: files as they are, with types of our own (a Windows registry may call a module text/plain) and ETags."""

import os
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Scope

PAGES: Final = Path(__file__).with_name("pages")
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}


class Pages(StaticFiles):
    """Files of a folder; a browser asks every time whether its copy is still good."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory, check_dir=False)
        self.config_checked = True  # a folder that is not there is a 404, not a crash

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """As the base class; the type is ours."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = "no-cache"
        if not isinstance(response, NotModifiedResponse):
            suffix = Path(full_path).suffix.lower()
            response.headers["content-type"] = TYPES.get(suffix, "application/octet-stream")
        return response


def home(pages: Pages) -> APIRouter:
    """The route of `/`: the pages' index.html."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        return await pages.get_response("index.html", request.scope)

    @router.get("/favicon.ico")
    async def favicon(request: Request) -> Response:
        try:
            return await pages.get_response("icon.svg", request.scope)
        except HTTPException:
            return Response(status_code=204)

    return router
