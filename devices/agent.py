"""The publisher of a gateway: a frame goes to the spool, then to the broker, and leaves when the lab acknowledged it.

One worker thread owns the spool and carries out what `devices.sender` decides. Nothing but a receipt deletes a frame,
so killing this process, the broker or the lab at any moment loses nothing (a frame may be sent twice, which the
receiver sees by its number).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray
from paho.mqtt.client import Client

from devices.commands import CommandDesk
from devices.frame import (
    MAX_FRAME_BYTES,
    Ack,
    Asset,
    Birth,
    Channel,
    Command,
    Reply,
    State,
    check_birth,
    encode_frame,
    schema_hash,
)
from devices.link import BrokerAddress, Connected, Disconnected, Link, LinkEvent, Received, Sent
from devices.sender import Sender
from devices.spool import Key, Spool, SpoolError, SpoolStats
from devices.topics import topic

log = logging.getLogger(__name__)

BATCH: Final = 100
"""So many waiting frames are committed at once."""
RETRY_DISK_S: Final = 1.0
REPORT_S: Final = 10.0
FAREWELL_S: Final = 2.0


@dataclass(frozen=True)
class AgentOptions:
    """How an agent keeps and sends its frames."""

    spool_bytes: int = 256_000_000
    """The most the spool may hold."""
    drop: Literal["oldest", "newest"] = "oldest"
    """Which frames go when the spool is at its bound."""
    commit_s: float = 0.1
    """At least this long between commits, unless a hundred frames wait; longer spares an SD card."""
    memory_frames: int = 1000
    """So many may wait for a commit; then `send` waits, or drops while the disk is full."""
    window: int = 100
    """Frames under way to the broker at one time."""
    ack_window: int = 4000
    """Frames sent ahead of a living collector's receipts: it protects the queue the broker keeps for it."""
    resend_s: float = 10.0
    """No receipt made progress for so long: what was sent is sent again."""


class Counters(msgspec.Struct):
    """What happened since the agent was made (`boot` tells which run that is); `stored` and `dropped` of the spool."""

    boot: int = 0
    frames: int = 0
    """Frames made: the next sequence number."""
    sent: int = 0
    """Publishes that the broker confirmed, re-sends included."""
    resent: int = 0
    acknowledged: int = 0
    """Frames the lab confirmed, those of earlier boots included (twice when the disk failed in between)."""
    dropped: int = 0
    """Frames lost for want of room, in memory or in the spool."""
    parked: int = 0
    disk_errors: int = 0
    connections: int = 0
    bad_messages: int = 0
    last_error: str = ""


class Agent:
    """Sends one gateway's frames. `start` before `send`; `stop` at the end."""

    def __init__(
        self,
        gateway: str,
        path: str,
        assets: Sequence[Asset],
        channels: Sequence[Channel],
        spool: Path,
        broker: BrokerAddress,
        *,
        on_command: Callable[[Command], Reply | None] | None = None,
        options: AgentOptions | None = None,
        version: str = "",
        clock: Literal["ntp", "rtc", "none"] = "none",
        simulator: bool = False,
    ) -> None:
        """Open the spool (this counts a boot); nothing is connected yet.

        Args:
            gateway: its id, also the MQTT client id.
            path: enterprise/site/area/line.
            assets, channels: what the birth says; frames have the channels' order.
            spool: the spool's file.
            broker: where to send.
            on_command: called for each command (not for `rebirth`) from the worker thread; it must not block. None
                instead of a reply means that `reply` will be called later.
            options: sizes and times.
            version, clock, simulator: as in `Birth`.

        Raises:
            ValueError: names that are not allowed (`FrameError` for those in the birth).
            SpoolError: the spool cannot be opened.
        """
        self.options = options or AgentOptions()
        self._topics = {cls: topic(path, gateway, cls) for cls in ("birth", "state", "data", "event", "cmd", "ack")}
        self._tags = [channel.tag for channel in channels]
        self._h = schema_hash(channels)
        birth = Birth(gateway, 0, self._h, list(assets), list(channels), version, clock, simulator)
        check_birth(birth)
        self._spool = Spool(spool, max_bytes=self.options.spool_bytes, drop=self.options.drop)
        self._sender = Sender(
            self._spool,
            window=self.options.window,
            ack_window=self.options.ack_window,
            resend_s=self.options.resend_s,
        )
        self.boot = birth.b = self._spool.boot
        self._birth = msgspec.json.encode(birth)
        self._counters = Counters(self.boot)
        self._link = Link(
            broker, gateway, (self._topics["state"], msgspec.json.encode(State("offline", self.boot))), self._notify
        )
        self._thread = threading.Thread(target=self._run, name=f"agent-{gateway}", daemon=True)

        # Shared with other threads, under `_wake`:
        self._wake = threading.Condition()
        self._pending: deque[tuple[int, bytes]] = deque()
        self._inbox: deque[LinkEvent | tuple[bytes, bool, int]] = deque()
        self._next_s = 0
        self._stopping = False
        self._disk_failing = False
        self._failure: BaseException | None = None
        self._stats = self._spool.stats()

        # The worker's own:
        self._client: Client | None = None
        self._flying: dict[int, Key] = {}
        self._desk = CommandDesk(on_command, self._announce)
        self._reported: dict[str, object] = {"kind": "spool", "dropped": 0, "disk_errors": 0, "parked": 0}
        self._reported_at = float("-inf")
        self._birth_kept = False
        self._committed_at = self._retry_at = float("-inf")

    # -- for other threads ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work; returns at once, also when no broker is there."""
        self._thread.start()
        self._link.start()

    def send(self, t: NDArray[np.int64], v: NDArray[np.float64], q: NDArray[np.uint8] | None = None) -> int:
        """Hand over samples; they are on the disk within `commit_s`, then on their way.

        Waits while too many wait for the disk (but not for the broker).

        Args:
            t: UTC nanoseconds (n,), increasing.
            v: values (n, c) in the channels' order; NaN is no value.
            q: quality codes (n, c), None for all good.

        Returns:
            How many frames it became: what is larger than a frame may be is split by time.

        Raises:
            ValueError: shapes, times or codes are wrong, or one sample alone is too large for a frame.
            RuntimeError: the agent was stopped, or failed.
        """
        with self._wake:
            while len(self._pending) >= self.options.memory_frames and not self._disk_failing:
                self._check_alive()
                self._wake.wait(0.5)
            self._check_alive()
            frames = self._encode(t, v, q, self._next_s)
            self._next_s += len(frames)
            self._pending.extend(frames)
            while len(self._pending) > self.options.memory_frames and self._disk_failing:
                self._pending.popleft() if self.options.drop == "oldest" else self._pending.pop()
                self._counters.dropped += 1
            self._counters.frames = self._next_s
            self._wake.notify_all()
        return len(frames)

    def _encode(
        self, t: NDArray[np.int64], v: NDArray[np.float64], q: NDArray[np.uint8] | None, s: int
    ) -> list[tuple[int, bytes]]:
        if v.ndim != 2 or v.shape[1] != len(self._tags):
            raise ValueError(f"values of shape {v.shape}, want (n, {len(self._tags)})")
        payload = encode_frame(self.boot, s, self._h, t, v, q, self._tags)
        if len(payload) <= MAX_FRAME_BYTES:
            return [(s, payload)]
        half = len(t) // 2
        if half == 0:
            raise ValueError(f"one sample of {v.shape[1]} channels takes {len(payload)} bytes, over {MAX_FRAME_BYTES}")
        first = self._encode(t[:half], v[:half], None if q is None else q[:half], s)
        return first + self._encode(t[half:], v[half:], None if q is None else q[half:], s + len(first))

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise RuntimeError(f"the agent failed: {self._failure}") from self._failure
        if self._stopping or not self._thread.is_alive():
            raise RuntimeError("the agent is not running")

    def event(self, message: object, *, retain: bool = False, qos: int = 0) -> None:
        """Publish a JSON message on `event`; it is not kept when there is no connection."""
        self._post((orjson.dumps(message), retain, qos))

    def reply(self, reply: Reply) -> None:
        """Answer a command for which `on_command` returned None."""
        self._post((msgspec.json.encode(reply), False, 1))

    def counters(self) -> Counters:
        """A copy of the counters."""
        with self._wake:
            counters = msgspec.structs.replace(self._counters)
            counters.dropped += self._stats.dropped
            counters.last_error = counters.last_error or self._link.last_error
        return counters

    def spool_stats(self) -> SpoolStats:
        """The spool's counts as of its last commit or receipt."""
        with self._wake:
            return self._stats

    def wait_acknowledged(self, timeout: float) -> bool:
        """Wait until everything sent so far was acknowledged by the lab; false when that did not come in time."""
        deadline = time.monotonic() + timeout
        with self._wake:
            while (self._pending or self._stats.frames) and (left := deadline - time.monotonic()) > 0:
                if not self._thread.is_alive():
                    break
                self._wake.wait(min(left, 0.5))
            return not self._pending and not self._stats.frames

    def stop(self) -> None:
        """Commit what waits, say offline, disconnect, close the spool; safe to call twice."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread.ident is None:  # never started
            self._spool.close()
            return
        self._thread.join()
        self._link.close()

    def _notify(self, event: LinkEvent) -> None:
        self._post(event)

    def _post(self, item: LinkEvent | tuple[bytes, bool, int]) -> None:
        with self._wake:
            self._inbox.append(item)
            self._wake.notify_all()

    # -- the worker -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._turn():
                pass
            self._farewell()
        except BaseException as error:
            log.exception("the agent of %s failed", self._topics["data"])
            with self._wake:
                self._failure = error
        finally:
            try:
                self._spool.close()
            except SpoolError as error:
                self._disk_error(error)
            with self._wake:
                self._wake.notify_all()

    def _turn(self) -> bool:
        """Wait for something to do, and do it; false when it is time to stop."""
        with self._wake:
            if not self._inbox and not self._stopping and (pause := min(1.0, self._commit_in())) > 0:
                self._wake.wait(pause)
            inbox = list(self._inbox)
            self._inbox.clear()
            stopping = self._stopping
        for item in inbox:
            self._take(item)
        if self._pending and (stopping or self._commit_in() <= 0):
            self._commit()
        self._settle()
        self._pump()
        self._report()
        return not stopping

    def _commit_in(self) -> float:
        """Seconds until the next commit is due."""
        if not self._pending:
            return 1e9
        due = self._committed_at + (0.0 if len(self._pending) >= BATCH else self.options.commit_s)
        return max(due, self._retry_at) - time.monotonic()

    def _commit(self) -> None:
        """Bring what waits to the disk; when that fails it waits on."""
        with self._wake:
            batch = list(self._pending)
        try:
            if not self._birth_kept:
                self._spool.put_birth(self._birth)
                self._birth_kept = True
            self._spool.append(batch)
        except SpoolError as error:
            self._disk_error(error)
            return
        self._committed_at = time.monotonic()
        with self._wake:
            if self._disk_failing:
                self._disk_failing = False
                self._counters.last_error = ""
            waiting = len(self._pending)
            while self._pending and self._pending[0][0] <= batch[-1][0]:
                self._pending.popleft()
            self._counters.dropped -= len(batch) - (waiting - len(self._pending))  # given up too early
            self._show()

    def _disk_error(self, error: SpoolError) -> None:
        if not self._disk_failing:
            log.error(
                "%s; trying again every %g s, up to %d frames wait", error, RETRY_DISK_S, self.options.memory_frames
            )
        self._retry_at = time.monotonic() + RETRY_DISK_S
        with self._wake:
            self._disk_failing = True
            self._counters.disk_errors += 1
            self._counters.last_error = str(error)
            self._show()

    def _show(self) -> None:
        """Under `_wake`: publish the spool's counts to other threads."""
        self._stats = self._spool.stats()
        self._counters.resent = self._sender.resent
        self._counters.parked = len(self._sender.parked)
        self._wake.notify_all()

    def _take(self, item: LinkEvent | tuple[bytes, bool, int]) -> None:
        match item:
            case Sent(client, mid):
                if client is self._client and (key := self._flying.pop(mid, None)) is not None:
                    self._sender.confirm(key)
                    self._counters.sent += 1
            case Received(name, payload, retained):
                if name == self._topics["ack"]:
                    self._take_ack(payload)
                elif not retained:  # a retained command would be carried out at every connection
                    self._take_command(payload)
            case Connected(client):
                self._begin_connection(client)
            case Disconnected(client):
                if client is self._client:
                    self._client = None
                    self._sender.disconnected(time.monotonic())
            case (payload, retain, qos):
                if self._client is not None:
                    self._client.publish(self._topics["event"], payload, qos, retain)

    def _begin_connection(self, client: Client) -> None:
        self._client = client
        self._flying.clear()
        self._counters.connections += 1
        self._counters.last_error = ""
        client.subscribe([(self._topics["cmd"], 1), (self._topics["ack"], 1)])
        for earlier in self._spool.earlier_births():
            client.publish(self._topics["birth"], earlier, 1)  # its frames come first, and may have other channels
        self._announce()
        self._sender.connected(time.monotonic())

    def _announce(self) -> None:
        if self._client is not None:
            self._client.publish(self._topics["birth"], self._birth, 1, retain=True)
            online = msgspec.json.encode(State("online", self.boot))
            self._client.publish(self._topics["state"], online, 1, retain=True)

    def _take_ack(self, payload: bytes) -> None:
        try:
            deleted = self._sender.receipt(msgspec.json.decode(payload, type=Ack), time.monotonic())
        except SpoolError as error:
            self._disk_error(error)
        except (msgspec.MsgspecError, ValueError) as error:  # UnicodeDecodeError is a ValueError
            self._counters.bad_messages += 1
            log.warning("a receipt that is none: %s", error)
        else:
            with self._wake:
                self._counters.acknowledged += deleted
                self._show()

    def _take_command(self, payload: bytes) -> None:
        try:
            reply = self._desk.take(payload)
        except ValueError as error:
            self._counters.bad_messages += 1
            log.warning("%s", error)
            return
        if reply is not None and self._client is not None:
            self._client.publish(self._topics["event"], msgspec.json.encode(reply), 1)

    def _report(self) -> None:
        """Tell the lab of losses, not more often than every ten seconds."""
        now = time.monotonic()
        told = {
            "kind": "spool",
            "dropped": self._counters.dropped + self._stats.dropped,
            "disk_errors": self._counters.disk_errors,
            "parked": len(self._sender.parked),
        }
        if self._client is not None and told != self._reported and now - self._reported_at > REPORT_S:
            self._reported, self._reported_at = told, now
            self._client.publish(self._topics["event"], orjson.dumps({**told, "error": self._counters.last_error}), 1)

    def _settle(self) -> None:
        """Commit deletions that no frame came to be committed with."""
        now = time.monotonic()
        if now - self._committed_at > 1.0 and now >= self._retry_at:
            try:
                self._spool.settle()
            except SpoolError as error:
                self._disk_error(error)

    def _pump(self) -> None:
        while self._client is not None and (frames := self._sender.due(time.monotonic())):
            for b, s, payload in frames:
                self._flying[self._client.publish(self._topics["data"], payload, 1).mid] = (b, s)

    def _farewell(self) -> None:
        with self._wake:
            lost = len(self._pending)
            self._counters.dropped += lost
        if lost:
            log.error("%d frames could not be written to the disk and are lost", lost)
        if self._client is not None:
            offline = msgspec.json.encode(State("offline", self.boot))
            info = self._client.publish(self._topics["state"], offline, 1, retain=True)
            try:
                info.wait_for_publish(FAREWELL_S)
            except (RuntimeError, ValueError) as error:
                log.warning("could not say goodbye: %s", error)
