"""Clocks of gateways: where one is off, its readings are marked or not taken."""

from typing import Final

from devices.quality import CODES

SECOND: Final = 10**9
GOOD_NS: Final = 2 * SECOND
"""A clock within this is good; further off its readings are uncertain:clock."""
AHEAD_NS: Final = 305 * SECOND
"""Readings further in the future than five minutes and five seconds are not taken."""
EARLIEST_NS: Final = 1_262_304_000 * SECOND
"""2010: an earlier time is that of a clock never set."""
SETTLED_NS: Final = 5 * SECOND
DROP_NS: Final = SECOND // 2
BUCKET_NS: Final = 10 * SECOND
WINDOW_NS: Final = 60 * SECOND
NEVER: Final = 2**62
CLOCK: Final = CODES["uncertain:clock"]


class Skew:
    """How far a gateway's clock is behind the lab's: the running minimum over 60 s of arrival minus source time.

    The minimum, because a message can only be delayed. A gateway that works off its spool is late too, but its delay
    shrinks while it catches up; a clock that is behind shows the same delay for `SETTLED_NS` and more.
    """

    __slots__ = ("_closed", "_fell", "_lowest", "_open", "_until", "_wild", "_wild_at")

    def __init__(self) -> None:
        self._lowest = self._open = NEVER
        """Minima of the window and of its newest bucket."""
        self._until = -NEVER
        """When the newest bucket ends."""
        self._closed: list[tuple[int, int]] = []
        """Ends and minima of the buckets before."""
        self._fell = 0
        """When the delay last became clearly less."""
        self._wild = 0
        self._wild_at = -NEVER

    def observe(self, at: int, lag: int) -> int:
        """Note a frame that came at `at` with its last sample `lag` ns old.

        Returns:
            The quality its readings get where they are good: 0, or `uncertain:clock`.
        """
        if at >= self._until:
            self._roll(at, lag)
        if lag < self._open:
            self._open = lag
            if lag < self._lowest:
                if lag < self._lowest - DROP_NS:
                    self._fell = at
                self._lowest = lag
        lowest = self._lowest
        if -GOOD_NS <= lowest <= GOOD_NS or (lowest > 0 and at - self._fell < SETTLED_NS):
            return 0
        return CLOCK

    def _roll(self, at: int, lag: int) -> None:
        kept = [*self._closed, (self._until, self._open)]
        self._closed = [(end, least) for end, least in kept if end > at - WINDOW_NS]
        if not self._closed:
            self._fell = at
        self._open = lag
        self._lowest = min(lag, *(least for _, least in self._closed)) if self._closed else lag
        self._until = at + BUCKET_NS

    def wild(self, at: int, lag: int) -> None:
        """Note a frame refused for its time: shown for a minute, but good frames do not suffer from it."""
        self._wild_at, self._wild = at, lag

    def off(self, now: int) -> bool:
        """Whether the clock is known to be off: frames were refused for their time, or readings are marked for it."""
        if now - self._wild_at < WINDOW_NS:
            return True
        return (
            self._lowest != NEVER
            and abs(self._lowest) > GOOD_NS
            and (self._lowest < 0 or now - self._fell >= SETTLED_NS)
        )

    def milliseconds(self, now: int) -> float | None:
        """What is known of the clock at `now`, positive when it is behind; None without frames."""
        if now - self._wild_at < WINDOW_NS:
            return self._wild / 1e6
        return None if self._lowest == NEVER else self._lowest / 1e6
