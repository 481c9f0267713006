"""Which frame of a spool goes out next: in order, again after a loss, alone when it may be the one that breaks things.

No clock, no network: the agent tells what happened and when (seconds of a monotonic clock), and asks what is `due`.
"""

import logging
from collections import deque
from typing import Final

from devices.frame import Ack
from devices.spool import Key, Spool

log = logging.getLogger(__name__)

START: Final[Key] = (-1, -1)
ASK_S: Final = (2.0, 60.0)
"""Shortest and longest pause between two re-sends of what receipts call missing."""
PARK_S: Final = (60.0, 3600.0)
"""First and longest time for which a frame that ends the connection is set aside."""
NEVER: Final = float("-inf")


class Sender:
    """Decides over one spool; between `connected` and `disconnected` it hands out frames."""

    def __init__(self, spool: Spool, *, window: int = 100, ack_window: int = 4000, resend_s: float = 10.0) -> None:
        """
        Args:
            spool: where the frames are.
            window: frames under way to the broker at one time.
            ack_window: frames sent ahead of a living collector's receipts (the broker keeps a queue for it).
            resend_s: when no receipt made progress for so long, what was sent is sent again.
        """
        self._spool = spool
        self._window, self._ack_window, self._resend_s = window, ack_window, resend_s
        self.flying: set[Key] = set()
        """Under way, not confirmed by the broker."""
        self.parked: dict[Key, float] = {}
        """Set aside, with the time when they are tried again."""
        self.resent = 0
        self._online = False
        self._newest = -1  # sequence of this boot, over all connections
        self._cursor = START  # up to here everything was sent in this connection
        self._outstanding = 0
        self._resend: deque[tuple[Key, Key]] = deque()
        self._marks: deque[tuple[float, Key]] = deque()  # by when was sent up to where
        self._suspects: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._connected_at = self._heard_at = self._progress_at = self._ask_at = self._probe_at = NEVER
        self._ask_pause = ASK_S[0]
        self._probe_pause = resend_s

    def connected(self, now: float) -> None:
        """A connection began: all that is not acknowledged is sent again, the oldest first."""
        self._online = True
        self._cursor = START
        self._outstanding = 0
        self._resend.clear()
        self._marks.clear()
        self._connected_at = self._progress_at = now
        self._probe_pause = self._resend_s

    def disconnected(self, now: float) -> None:
        """The connection ended. What was under way may have been the cause: each of these is now sent alone."""
        self._online = False
        if len(self.flying) == 1 and (key := next(iter(self.flying))) in self._suspects:
            failed = self._failures[key] = self._failures.get(key, 0) + 1
            if failed >= 2:
                pause = min(PARK_S[0] * 2.0 ** (failed - 2), PARK_S[1])
                self.parked[key] = now + pause
                log.error("frame %d of boot %d ends the connection; set aside for %g s", key[1], key[0], pause)
        self._suspects |= self.flying
        self.flying.clear()

    def confirm(self, key: Key) -> None:
        """The broker has this frame."""
        self.flying.discard(key)
        self._suspects.discard(key)
        self._failures.pop(key, None)

    def receipt(self, ack: Ack, now: float) -> int:
        """The lab acknowledged frames: delete them, and plan to send again what it misses.

        Returns:
            How many frames were deleted.

        Raises:
            ValueError: it acknowledges what was never sent, so it is not from a ledger of this gateway.
            SpoolError: the disk failed; nothing was deleted.
        """
        boot = self._spool.boot
        if ack.b > boot or (ack.b == boot and ack.upto > self._newest):
            raise ValueError(f"a receipt for boot {ack.b} up to {ack.upto}, which was never sent")
        deleted = self._spool.acknowledge(ack.b, ack.upto, ack.missing)
        silent = now - max(self._heard_at, self._connected_at) > self._resend_s
        self._heard_at = now
        if deleted:
            self._progress_at = now
            self._ask_pause = ASK_S[0]
            self._probe_pause = self._resend_s
            self._suspects = {key for key in self._suspects if key[0] != ack.b or key[1] > ack.upto}
        self._outstanding = self._spool.count(self._cursor, self._ack_window)
        if ack.missing and now >= self._ask_at and not self._resend:
            for first, last in ack.missing:
                after, until = (ack.b, first - 1), min((ack.b, last), self._cursor)
                if self._spool.read(after, until, 1):
                    self._resend.append((after, until))
            self._ask_at = now + self._ask_pause
            self._ask_pause = min(self._ask_pause * 2.0, ASK_S[1])
        elif silent and (sent := self._sent_before(now - self._resend_s / 2)):
            self._resend.append((START, sent))  # the collector is back; what was sent meanwhile went to nobody
        return deleted

    def due(self, now: float) -> list[tuple[int, int, bytes]]:
        """Frames (boot, sequence, payload) to publish now; they count as under way. Ask until there are none."""
        if not self._online:
            return []
        self._plan(now)
        frames: list[tuple[int, int, bytes]] = []
        while self._resend and not frames and self._room():
            after, until = self._resend[0]
            batch = self._spool.read(after, until, self._room())
            if not batch:
                self._resend.popleft()
                continue
            frames, reached = self._choose(batch)
            if reached is None:
                return []
            self._resend[0] = reached, until
            self.resent += len(frames)
        if not frames and not self._resend and (room := self._room(now)) > 0:
            batch = self._spool.read(self._cursor, limit=room)
            frames, reached = self._choose(batch)
            if reached is not None:
                self._cursor = reached
                self._outstanding += len(frames)
                self._mark(now)
        for b, s, _ in frames:
            self.flying.add((b, s))
            if b == self._spool.boot:
                self._newest = max(self._newest, s)
        return frames

    def _room(self, now: float | None = None) -> int:
        """How many frames may be sent; with `now` of new ones, which also wait for receipts while these come."""
        if not self._suspects.isdisjoint(self.flying):
            return 0
        room = self._window - len(self.flying)
        if now is not None and now - min(self._heard_at, self._progress_at) <= self._resend_s:
            room = min(room, self._ack_window - self._outstanding)
        return max(room, 0)

    def _choose(self, batch: list[tuple[int, int, bytes]]) -> tuple[list[tuple[int, int, bytes]], Key | None]:
        """Those of a batch that go now, and up to where the batch is done with; None: nothing can go yet."""
        frames: list[tuple[int, int, bytes]] = []
        reached: Key | None = None
        for frame in batch:
            key = frame[:2]
            if key in self._suspects and key not in self.parked:
                if self.flying or frames:
                    break
                return [frame], key
            reached = key
            if key not in self.parked and key not in self.flying:
                frames.append(frame)
        return frames, reached

    def _mark(self, now: float) -> None:
        """Remember up to where frames were sent, so finely as is needed to tell what is overdue."""
        if self._marks and now - self._marks[-1][0] < self._resend_s / 20:
            self._marks[-1] = (self._marks[-1][0], self._cursor)
        else:
            self._marks.append((now, self._cursor))
        while len(self._marks) > 1 and self._marks[1][0] < now - 1.1 * self._resend_s:
            self._marks.popleft()

    def _sent_before(self, then: float) -> Key | None:
        """Up to where everything was sent before a time, about."""
        return next((key for since, key in reversed(self._marks) if since + self._resend_s / 20 <= then), None)

    def _plan(self, now: float) -> None:
        """What time alone brings: parked frames to try again, and sent ones of which nothing was heard."""
        for key in [key for key, until in self.parked.items() if now >= until and key <= self._cursor]:
            del self.parked[key]
            self._resend.append(((key[0], key[1] - 1), key))
        until = self._sent_before(now - self._resend_s)
        if self._resend or until is None or now - max(self._progress_at, self._probe_at) <= self._probe_pause:
            return
        self._probe_at = now
        if oldest := self._spool.read(START, until, 1):
            # A silent collector is asked with one frame; when it answers, the rest follows.
            heard = now - self._heard_at <= self._resend_s
            self._probe_pause = min(self._probe_pause * 2.0, 6.0 * self._resend_s) if heard else self._resend_s
            self._resend.append((START, until if heard else oldest[0][:2]))
