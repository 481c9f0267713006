"""The live view's two doors: a WebSocket for the pages, server-sent events for curl and engineers."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import Header, Query, Request, WebSocket
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from api.context import api_router, context
from api.hub import Client, Hub
from api.problems import Problem, bad_field
from api.schema import documented

logger = logging.getLogger("lab.api")

STREAM: Final = "/live.sse"

router = api_router("lab")


@router.websocket("/live")
async def live(websocket: WebSocket) -> None:
    """Frames as text messages; nothing is expected from the client."""
    hub = context(websocket).hub
    try:
        after = _frame_id(websocket.query_params.get("after"))
        client = hub.join(after)
    except Problem as problem:
        await websocket.accept()
        await websocket.close(1008 if problem.code == "invalid" else 1013, problem.code)
        return
    try:
        await websocket.accept()
        receiving = asyncio.create_task(_until_gone(websocket, client))
        try:
            while frame := await client.next():
                await websocket.send_text(frame.text)
            if hub.closed and not receiving.done():
                await websocket.close(1012)
        except WebSocketDisconnect as error:
            logger.debug("live client gone: %r", error)
        finally:
            receiving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await receiving
    finally:
        hub.leave(client)


async def _until_gone(websocket: WebSocket, client: Client) -> None:
    """Read and forget until the client goes, then end its stream."""
    message = await websocket.receive()
    while message["type"] != "websocket.disconnect":
        message = await websocket.receive()
    client.backlog.clear()
    client.queue.clear()
    client.close()


def _frame_id(value: str | None) -> int | None:
    if value is None or value == "":
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise bad_field("after", "int_parsing")
    return int(value)


@router.get(
    STREAM,
    summary="api.op.live",
    response_class=StreamingResponse,
    responses=documented(
        'id: 1764000000123\ndata: {"id":1764000000123,"t":"2026-01-01T00:00:00Z","assets":{}}\n\n',
        "invalid",
        "busy",
        media_type="text/event-stream",
    ),
)
async def live_events(
    request: Request,
    after: Annotated[str | None, Query(description="api.param.after", examples=["1764000000123"])] = None,
    last_event_id: Annotated[str | None, Header(description="api.param.after")] = None,
) -> Response:
    hub = context(request).hub
    client = hub.join(_frame_id(last_event_id or after), beats=True)
    return EventStream(hub, client)


class EventStream(StreamingResponse):
    """A client's frames as server-sent events, until it goes."""

    def __init__(self, hub: Hub, client: Client) -> None:
        super().__init__(_events(client), headers={"x-accel-buffering": "no"}, media_type="text/event-stream")
        self._hub = hub
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.leave(self._client)


async def _events(client: Client) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    while frame := await client.next():
        yield frame.event
