"""The application: `uvicorn api.app:create --factory`, or `lab api`."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import FrameType
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import corrosion, export, live, plants, reference, routes, status
from api.bus import Bus
from api.context import BODILESS, Context
from api.hub import BEAT_S, Hub
from api.problems import on_failure, on_http_exception, on_validation_error
from api.reader import Readers
from api.security import Guard
from api.static import PAGES, Pages, home
from lab.config import Config, load_config
from lab.corrosion.desk import Desk
from lab.plant import example_piping


class Heads:
    """Answers HEAD as GET without the body, where the framework knows only GET; not a stream, which would not end."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].endswith(live.STREAM):
            await self.app(scope, receive, send)
            return

        async def bare(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET", BODILESS: True}, receive, bare)


class Api(FastAPI):
    """FastAPI with the guard around everything, also around the framework's own error page."""

    guard: Callable[[ASGIApp], ASGIApp] | None = None

    def build_middleware_stack(self) -> ASGIApp:
        """The framework's stack inside the guard."""
        stack = Heads(super().build_middleware_stack())
        return self.guard(stack) if self.guard else stack


def create(config: Config | None = None) -> FastAPI:
    """The application of a configuration (without one: as `lab.config.load_config` finds it).

    Raises:
        ConfigError: the configuration cannot be used.
    """
    config = config or load_config()
    app = Api(
        lifespan=_lifespan,
        docs_url=None,  # the framework's pages load their scripts from the network: see api.reference
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.guard = lambda inner: Guard(inner, config.api.host)
    app.state.config = config
    app.state.reference = reference.Reference(app)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(Exception, on_failure)
    pages = Pages(PAGES)
    routers = (
        routes.router,
        export.router,
        live.router,
        plants.router,
        corrosion.router,
        status.router,
        status.probes,
        reference.router,
        home(pages),
    )
    for router in routers:
        # Not `include_router`, which makes the framework search router by router: twice the time of a short answer.
        app.router.routes.extend(router.routes)
    app.mount("/pages", pages)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    config: Config = app.state.config
    hub = Hub()
    bus = Bus(config.broker, hub)
    readers = Readers(config)
    desk = Desk(config.data, example_piping)
    app.state.context = Context(config, readers, bus, hub, desk)
    readers.start()
    bus.start()
    beating = asyncio.create_task(_beat(hub))
    try:
        with _before_exit(hub.close):
            yield
    finally:
        hub.close()
        beating.cancel()
        await bus.stop()
        await readers.stop()
        desk.close()


async def _beat(hub: Hub) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        hub.beat()


@contextlib.contextmanager
def _before_exit(close: Callable[[], None]) -> Iterator[None]:
    """Run `close` when the server is told to stop: it waits for streams to end before it ends the lifespan."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    names = ("SIGINT", "SIGTERM", "SIGBREAK")  # the last is Windows' own
    before: dict[int, Any] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(close)
        handler = before.get(number)
        if callable(handler):
            handler(number, frame)

    for number in [getattr(signal, name) for name in names if hasattr(signal, name)]:
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
