"""Whose turn is it to be scored: one gateway's frames in the order of their numbers, so that live equals replay.

A frame that runs ahead of a missing one is stored at once and waits, at most ten seconds, with its scoring only. What
comes after its turn is stored and noted as late.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from devices.frame import Frame
from lab.decode import LATE, SCORE, Binding

HOLD_NS: Final = 10 * 10**9
MAX_HELD: Final = 2000
"""Frames of one gateway that may wait; one more, and the wait ends."""


class Held(NamedTuple):
    """A frame that waits for its turn."""

    at: int
    """When it came, ns."""
    first: int
    last: int
    """Times of its first and last sample, ns."""
    binding: Binding
    start: int
    dt: list[float] | None
    frame: Frame
    code: int
    absent: list[int] | None


class Turns:
    """One gateway's turns."""

    __slots__ = ("_since", "boot", "held", "next", "scored_to")

    def __init__(self, boot: int, next: int) -> None:
        self.boot = boot
        self.next = next
        """Number of the frame to be scored next."""
        self.scored_to = -1
        """Time of the last row scored, ns."""
        self.held: dict[int, Held | None] = {}
        """What waits, by number; None for a refused frame that keeps its place."""
        self._since = 0

    def place(self, boot: int, s: int, first: int) -> int:
        """What to do with the rows of a new frame now: SCORE, LATE, or 0 to `hold` it.

        A newer boot begins at once: `drop_all` first whatever waits from the older one.
        """
        if boot > self.boot:
            self.boot, self.next = boot, 0
        if boot == self.boot:
            if s > self.next:
                return 0
            if s == self.next:
                self.next = s + 1
        return SCORE if first > self.scored_to else LATE

    def hold(self, s: int, held: Held | None, at: int) -> None:
        """Let a frame wait; None for one that was refused and only keeps its place."""
        if not self.held:
            self._since = at
        self.held[s] = held

    def skip(self, boot: int, s: int, at: int) -> None:
        """A refused frame: nobody needs to wait for it."""
        if boot == self.boot:
            if s == self.next:
                self.next = s + 1
            elif s > self.next:
                self.hold(s, None, at)

    def ready(self) -> Iterator[Held]:
        """Take out the frames whose turn has come."""
        while self.next in self.held:
            held = self.held.pop(self.next)
            self.next += 1
            if held is not None:
                yield held
        if self.held:
            waits = self.held[min(self.held)]
            self._since = waits.at if waits is not None else self._since

    def overdue(self, now: int) -> bool:
        """Has the oldest waited long enough, or do too many wait?"""
        return bool(self.held) and (now - self._since >= HOLD_NS or len(self.held) > MAX_HELD)

    def give_up(self) -> Iterator[Held]:
        """Stop waiting for the missing frames before the first that waits, and take out what follows it."""
        if self.held:
            self.next = min(self.held)
        yield from self.ready()

    def drop_all(self) -> Iterator[Held]:
        """Take out all that waits, in order."""
        for s in sorted(self.held):
            held = self.held[s]
            if held is not None:
                yield held
        self.held.clear()

    def turn(self, first: int) -> int:
        """What to do with rows taken out: SCORE, or LATE when something newer went before them."""
        return SCORE if first > self.scored_to else LATE
