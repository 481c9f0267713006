"""The hub: one frame from the collector, encoded there once, handed as the same bytes to every client.

A client that cannot keep up loses its oldest frames, never its newest; what it lost is counted, and it is told
`{"gap":true}` in that place, for frames leave out assets that did not change: after a gap its picture is to be
fetched anew.
"""

import asyncio
import logging
import time
from collections import deque
from typing import Final

import msgspec

from api.problems import Problem
from lab.episodes import Outlook

QUEUE: Final = 32
KEPT: Final = 300
KEPT_BYTES: Final = 4 * 2**20
"""With many assets frames are large, and fewer are kept."""
MAX_CLIENTS: Final = 1000
BEAT_S: Final = 15.0

logger = logging.getLogger("lab.api")


class AssetState(msgspec.Struct):
    """What a live frame says of one asset; see docs/architecture.md."""

    t: int | None = None
    """Milliseconds of its last row."""
    v: list[float | None] = []
    q: dict[str, int] = {}
    score: float | None = None
    limit: float | None = None
    alarm: bool = False
    warm: bool = False
    stats: dict[str, float | None] = {}
    top: list[tuple[str, float]] = []
    drift: float | None = None
    episode: str | None = None
    episode_kind: str | None = None
    failed: tuple[str, str] | None = None
    suspects: list[tuple[str, str]] = []
    upset: list[str] = []
    cause: str | None = None
    causes: list[tuple[str, float]] = []
    unknown: float | None = None
    outlook: Outlook | None = None
    instruments: list[tuple[str, str, int, float, float]] = []
    online: bool = True
    age_s: float | None = None


class LiveFrame(msgspec.Struct):
    """The part of a live frame that the API itself needs."""

    id: int
    assets: dict[str, AssetState] = {}


class Frame:
    """A frame in the forms in which it is sent, each made at most once."""

    __slots__ = ("_event", "id", "text")

    def __init__(self, id: int, text: str, event: bytes | None = None) -> None:
        self.id = id
        self.text = text
        self._event = event

    @property
    def event(self) -> bytes:
        """As a server-sent event; made when the first viewer wants it, the same for all."""
        if self._event is None:
            self._event = f"id: {self.id}\ndata: {self.text}\n\n".encode()
        return self._event


BEAT: Final = Frame(-2, "", b": still here\n\n")
"""A comment to quiet event streams, so that what lies between does not take them for dead (WebSockets have pings)."""
GAP: Final = Frame(-1, '{"gap":true}', b'data: {"gap":true}\n\n')


class Client:
    """One viewer's queue. `backlog` is what it missed before it came; it is not counted against the queue."""

    def __init__(self, backlog: list[Frame], beats: bool = False) -> None:
        self.beats = beats
        self.backlog = deque(backlog)
        self.queue: deque[Frame] = deque()
        self.dropped = 0
        self._gap = False
        self._closed = False
        self._ready = asyncio.Event()

    def put(self, frame: Frame) -> bool:
        """Queue a frame; False when the oldest had to go for it."""
        fits = len(self.queue) < QUEUE
        if not fits:
            self.queue.popleft()
            self.dropped += 1
            self._gap = True
        self.queue.append(frame)
        self._ready.set()
        return fits

    def close(self) -> None:
        """End the stream once what is queued was sent."""
        self._closed = True
        self._ready.set()

    async def next(self) -> Frame | None:
        """The next frame to send; None when the stream has ended."""
        while True:
            if self.backlog:
                return self.backlog.popleft()
            if self._gap:
                self._gap = False
                return GAP
            if self.queue:
                return self.queue.popleft()
            if self._closed:
                return None
            self._ready.clear()
            await self._ready.wait()


class Hub:
    """The last frames, the last word on every asset, and the clients. Lives in the event loop's thread."""

    def __init__(self) -> None:
        self.assets: dict[str, AssetState] = {}
        self.frames: deque[Frame] = deque()
        self._kept = 0
        self.clients: set[Client] = set()
        self.received = 0
        self.dropped = 0
        self.bad = 0
        self.last: float | None = None
        """Monotonic seconds of the last frame."""
        self.closed = False
        self._decoder = msgspec.json.Decoder(LiveFrame)

    def publish(self, payload: bytes) -> None:
        """Take the collector's frame and queue it for every client; what is not a frame is counted and left out."""
        try:
            parsed = self._decoder.decode(payload)
            content = payload.decode()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.bad += 1
            logger.warning("live frame left out: %s", error)
            return
        if "\n" in content or "\r" in content:
            content = content.replace("\r", " ").replace("\n", " ")  # it would end the event
        frame = Frame(parsed.id, content)
        if self.frames and frame.id <= self.frames[-1].id:
            self.frames.clear()  # the collector's clock was set back: ids before this say nothing any more
            self._kept = 0
        self.received += 1
        self.last = time.monotonic()
        self.assets.update(parsed.assets)
        self.frames.append(frame)
        self._kept += len(content)
        while len(self.frames) > KEPT or (self._kept > KEPT_BYTES and len(self.frames) > 1):
            self._kept -= len(self.frames.popleft().text)
        for client in self.clients:
            if not client.put(frame):
                self.dropped += 1

    def join(self, after: int | None = None, *, beats: bool = False) -> Client:
        """A new client; with `after`, what came since that frame goes first, or a gap when that is not known.

        With `beats` it also gets the heartbeats.

        Raises:
            Problem: there are as many clients as the lab takes.
        """
        if len(self.clients) >= MAX_CLIENTS:
            raise Problem("busy", "api.clients", most=MAX_CLIENTS)
        backlog: list[Frame] = []
        if after is not None:
            known = [frame.id for frame in self.frames]
            backlog = list(self.frames)[known.index(after) + 1 :] if after in known else [GAP]
        client = Client(backlog, beats)
        if self.closed:
            client.close()
        self.clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self.clients.discard(client)

    def beat(self) -> None:
        """Say to the event streams that have nothing to send that they live."""
        for client in self.clients:
            if client.beats and not client.queue:
                client.put(BEAT)

    def close(self) -> None:
        """End every stream; the clients come again when the server is back."""
        self.closed = True
        for client in self.clients:
            client.close()
