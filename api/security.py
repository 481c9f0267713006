"""The door: who may ask (Host and Origin), how much may be sent, and the headers of every answer.

There are no accounts: the lab listens on the loopback unless told otherwise. What a loopback server must fear is a web
page elsewhere that makes the user's own browser talk to it, by a form, a script, a WebSocket or a DNS name that
suddenly means 127.0.0.1. Host and Origin checks stop all four.
"""

import ipaddress
import logging
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, document, language_of
from lab.text import text

MAX_BODY: Final = 1024 * 1024
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_SUFFIXES: Final = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
"""Suffixes that nobody can register on the Internet."""

HEADERS: Final = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

_RAW_HEADERS: Final = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

logger = logging.getLogger("lab.api")


class Guard:
    """ASGI middleware around everything, so that also refusals and failures carry the headers."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        """`host` is the address the server listens on."""
        self.app = app
        self.host = host.strip("[]").lower()
        self.loopback = is_loopback(self.host)
        self._known: dict[str, bool] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = complete = False

        async def guarded_send(message: Message) -> None:
            nonlocal started, complete
            if message["type"] == "http.response.start":
                started = True
                headers = list(message.get("headers", ()))
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*headers, *_RAW_HEADERS]}
            elif message["type"] == "http.response.body":
                complete = not message.get("more_body", False)
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None and int_or_zero(headers.get("content-length")) > MAX_BODY:
            refusal = document(scope, "too-large", headers={"connection": "close"})
        if refusal is not None:
            await refusal(scope, receive, guarded_send)
            return
        taken = 0

        async def guarded_receive() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MAX_BODY:
                raise Problem("too-large", headers={"connection": "close"})
            return message

        try:
            await self.app(scope, guarded_receive, guarded_send)
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if not started:
                await document(scope, "internal")(scope, receive, guarded_send)
            elif not complete:
                raise  # the server breaks the connection off, so that half an answer is not taken for a whole one

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if self._refusal(scope, headers) is not None:
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before accept: the server answers 403
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        host = hosts[0] if hosts else ""
        if len(hosts) != 1 or not self._knows(host):
            detail = text("api.wrong_host", language_of(scope), host=host[:100])
            return document(scope, "wrong-host", detail=detail)
        if scope["type"] == "websocket" or scope["method"] not in SAFE:
            origin = headers.get("origin")
            if origin is not None and not same_host(origin, host, scope.get("scheme", "http")):
                detail = text("api.cross_origin", language_of(scope), origin=origin[:100])
                return document(scope, "cross-origin", detail=detail)
            if headers.get("sec-fetch-site") == "cross-site":
                return document(scope, "cross-origin")
        return None

    def _knows(self, host: str) -> bool:
        """`allows`, remembered: nearly all requests bear one of a few names."""
        if (known := self._known.get(host)) is not None:
            return known
        if len(self._known) > 100:
            self._known.clear()
        self._known[host] = found = self.allows(host)
        return found

    def allows(self, host: str) -> bool:
        """Whether a Host header names this server.

        On the loopback: localhost and loopback addresses only. On the network also any address, names without a dot
        and local names, which are what a page on the Internet can not make its own.
        """
        name = host_name(host)
        if name is None:
            return False
        if name == self.host or name == "localhost" or is_loopback(name):
            return True
        if self.loopback:
            return False
        return is_address(name) or "." not in name or name.endswith(LOCAL_SUFFIXES)


def host_name(host: str) -> str | None:
    """The name in a Host header, lower case, without port and brackets; None when it is not one."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return parts.hostname.rstrip(".")


def same_host(origin: str, host: str, scheme: str) -> bool:
    """Whether an Origin header is the page of this very host and port."""
    secure = scheme in ("https", "wss")
    try:
        there = urlsplit(origin)
        here = urlsplit(f"//{host}")
        default = 443 if secure else 80
        there_port = there.port or {"http": 80, "https": 443}.get(there.scheme)
        return there.hostname == here.hostname and there_port == (here.port or default)
    except ValueError:
        return False


def is_address(name: str) -> bool:
    """Whether a host is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Whether a host is this machine itself."""
    return name == "localhost" or (is_address(name) and ipaddress.ip_address(name).is_loopback)


def int_or_zero(value: str | None) -> int:
    """A Content-Length; the server has refused what is not a number before."""
    return int(value) if value and value.isascii() and value.isdigit() else 0
