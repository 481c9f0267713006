"""The gateways as their messages arrive: births, states, who waits for a birth, who has gone quiet."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from devices.frame import Birth, Frame, FrameError, State, decode_birth, decode_frame
from devices.topics import Topic, parse_topic
from lab.catalogue import Catalogue, Refused, birth_by_hand
from lab.clock import Skew
from lab.decode import Binding, Layout
from lab.ledger import Book, Ledger
from lab.quarantine import Quarantine
from lab.turns import Turns

log = logging.getLogger("lab.collector")

SECOND: Final = 10**9
EXPIRE_S: Final = 30.0
"""A gateway whose channels do not say is stale after so long."""
REBIRTH_NS: Final = 30 * SECOND
BY_HAND_NS: Final = 2 * SECOND
"""A gateway that names its channels may still introduce itself for so long."""
MAX_WAITING_BYTES: Final = 64 * 2**20
"""Frames, over all gateways, that wait for their gateway's birth."""
MAX_NEW_PER_HOUR: Final = 1000
"""New boots and new channel lists of one gateway."""
TOUCH_S: Final = 5
TOUCHED: Final = 200
"""When a gateway was heard is noted every so many seconds, of so many gateways a second: it rewrites their births."""
MAX_SOURCES: Final = 200_000
STALE: Final = "have gone quiet, their values are stale"
CLOCK_OFF: Final = "have clocks that are off"
MAX_NAMES: Final = 10
"""Gateways (or assets of one) named in the log at a time."""

Message = tuple[str, bytes, bool, int]
"""Topic, payload, retained, time of arrival (ns)."""


class Source:
    """One gateway at one path."""

    __slots__ = (
        "_hour",
        "_new",
        "asked",
        "bindings",
        "birth",
        "boot",
        "clock_off",
        "current",
        "expire_ns",
        "id",
        "layout",
        "ledger",
        "newest",
        "newest_s",
        "path",
        "refused",
        "round",
        "said",
        "seen",
        "skew",
        "stale",
        "touched",
        "turns",
        "waiting",
    )

    def __init__(self, topic: Topic) -> None:
        self.id = topic.gateway
        self.path = topic.path
        self.birth: Birth | None = None
        self.boot = 0
        self.bindings: dict[str, Binding] = {}
        """By schema hash."""
        self.current: Layout | None = None
        """That of its newest birth; only its rows are scored."""
        self.refused = ""
        """The quarantine code of its refused birth; its frames wait."""
        self.said: State | None = None
        """The last it (or its will) said of itself."""
        self.ledger: Ledger | None = None
        """Of the boot heard last."""
        self.turns = Turns(0, 0)
        self.skew = Skew()
        self.clock_off = False
        self.newest = 0
        """The highest source time taken, ns."""
        self.newest_s = -1
        """The number of the frame that had it."""
        self.seen = 0
        self.touched = 0
        """When `seen` was last given to the catalogue."""
        self.stale = True
        self.expire_ns = int(EXPIRE_S * SECOND)
        self.waiting: deque[Message] = deque()
        self.asked = -REBIRTH_NS
        self.layout: Layout | None = None
        """Of its last frame, which went into the groups of `round`."""
        self.round = -1
        self._hour = -1
        self._new = 0

    def may_grow(self, now: int) -> bool:
        """Count a new boot or channel list; false when there were too many within the hour."""
        hour = now // (3600 * SECOND)
        if hour != self._hour:
            self._hour, self._new = hour, 0
        self._new += 1
        return self._new <= MAX_NEW_PER_HOUR


class Sources:
    """All gateways."""

    def __init__(
        self, catalogue: Catalogue, book: Book, quarantine: Quarantine, bind: Callable[[Birth, bool], Binding]
    ) -> None:
        """
        Args:
            catalogue: what is known of them across restarts.
            book: their ledgers.
            quarantine: where goes what is not taken.
            bind: makes a birth's binding (historian ids; scoring if it is its gateway's newest); may raise
                HistorianError.
        """
        self.catalogue, self.book, self.quarantine, self._bind = catalogue, book, quarantine, bind
        self.all: dict[tuple[str, str], Source] = {}
        self.ready: list[Message] = []
        """Frames whose gateway's birth has come."""
        self.rebirths: list[Source] = []
        """To be asked for their birth."""
        self.moved: set[str] = set()
        """Gateways that came, went, or went quiet."""
        self.news: dict[str, list[str]] = {}
        """Lines for the log, by what happened; told by `watch`: a thousand gateways are not a thousand lines."""
        self.deferred = 0
        """Frames let go unacknowledged: their gateway sends them again."""
        self.routes: dict[str, tuple[Source, str]] = {}
        """Gateway and message class by topic."""
        self._unborn: dict[Source, None] = {}
        self._waiting_bytes = 0

    def restore(self) -> None:
        """Enter what the catalogue knows, so that frames are understood before their gateway says who it is.

        Raises:
            HistorianError: the store is not ready.
        """
        for known in self.catalogue.gateways.values():
            source = self._source(Topic(known.path, known.id, "birth"))
            source.seen = source.touched = known.seen
            if any(self.catalogue.owners.get(asset.id) != known.id for asset in known.birth.assets):
                source.refused = "asset_taken"
                continue
            for birth in self.catalogue.births.get(known.id, {}).values():
                if birth.h != known.birth.h:
                    source.bindings[birth.h] = self._bind(birth, False)
            self._enter(source, known.birth)
            source.turns = Turns(known.boot, self.book.get(known.id, known.boot).next)

    def _source(self, topic: Topic) -> Source:
        source = self.all.get((topic.path, topic.gateway))
        if source is None:
            source = self.all[topic.path, topic.gateway] = Source(topic)
        return source

    def _enter(self, source: Source, birth: Birth) -> None:
        binding = source.bindings[birth.h] = self._bind(birth, True)
        source.current = binding.layout
        source.birth, source.boot = birth, birth.b
        expires = [channel.expire_s for channel in birth.channels if channel.expire_s]
        source.expire_ns = int(max(expires, default=EXPIRE_S) * SECOND)

    def route(self, name: str, payload: bytes, at: int) -> tuple[Source, str] | None:
        """The gateway and message class of a topic; None when it is none (the message is in the quarantine then)."""
        route = self.routes.get(name)
        if route is None:
            try:
                topic = parse_topic(name)
            except ValueError as error:
                self.quarantine.add(at, name, "bad_topic", str(error), payload)
                return None
            if len(self.all) >= MAX_SOURCES and (topic.path, topic.gateway) not in self.all:
                self.quarantine.add(at, name, "bad_topic", f"there are {MAX_SOURCES} gateways already", payload)
                return None
            route = self.routes[name] = (self._source(topic), topic.cls)
        return route

    # births and states

    def control(self, message: Message) -> None:
        """Take a birth, a state or an event.

        Raises:
            HistorianError: the store is not ready; nothing was noted, give the message again later.
        """
        name, payload, retained, at = message
        route = self.route(name, payload, at)
        if route is None:
            return
        source, cls = route
        if cls == "birth" and payload:
            self._birth(source, message)
        elif cls == "state" and payload:
            self._state(source, name, payload, at)
        if not retained:
            self.heard(source, at)

    def heard(self, source: Source, at: int) -> None:
        """A gateway said something."""
        source.seen = at
        if source.stale:
            source.stale = False
            self.moved.add(source.id)

    def _birth(self, source: Source, message: Message) -> None:
        name, payload, retained, at = message
        try:
            birth = decode_birth(payload)
            if birth.h not in source.bindings and not source.may_grow(at):
                raise Refused("boot_flood", f"more than {MAX_NEW_PER_HOUR} new channel lists in an hour")
            self.register(source, birth, at, retained)
        except (FrameError, Refused) as error:
            reason = error.code if isinstance(error, FrameError) else error.reason
            if reason in ("asset_taken", "gateway_twice"):
                source.refused = reason
            self.quarantine.add(at, name, reason, error.detail, payload)
            log.warning("birth of gateway %s refused (%s): %s", source.id, reason, error.detail)

    def register(self, source: Source, birth: Birth, at: int, retained: bool = False) -> None:
        """Take a birth: of this boot, or of an earlier one whose frames are still to come.

        One that the broker kept does not mean that its gateway is there now.

        Raises:
            Refused: it cannot be taken.
            HistorianError: the store is not ready; nothing was noted.
        """
        self.catalogue.check(source.path, source.id, birth, at)
        known = self.catalogue.gateways.get(source.id)
        if known is not None and not known.by_hand and birth.b < known.boot:
            if birth.h not in source.bindings:
                source.bindings[birth.h] = self._bind(birth, False)
            self.catalogue.remember(birth)
        else:
            before = source.birth
            self._enter(source, birth)
            state = "online"
            if source.said is not None and source.said.b >= birth.b:
                state = source.said.state
            elif retained and known is not None and known.boot == birth.b:
                state = known.state
            for displaced in self.catalogue.register(source.path, birth, at, state):
                self._displace(displaced, source)
            if before is None or before.h != birth.h or before.b != birth.b:
                names = ", ".join(asset.id for asset in birth.assets[:MAX_NAMES])
                line = f"gateway {source.id}, boot {birth.b}: {names}, {len(birth.channels)} channels"
                self.news.setdefault("introduced themselves", []).append(line)
        source.refused = ""
        self.moved.add(source.id)
        self._owe_receipts(source, birth.b)
        self._unborn.pop(source, None)
        self.ready += source.waiting
        self._waiting_bytes -= sum(len(message[1]) for message in source.waiting)
        source.waiting.clear()

    def _displace(self, gateway: str, by: Source) -> None:
        """Another gateway has taken over the name or an asset of one that was offline."""
        for other in self.all.values():
            if other.id == gateway and other is not by:
                other.refused = "gateway_twice" if gateway == by.id else "asset_taken"

    def _owe_receipts(self, source: Source, boot: int) -> None:
        for each in {boot, *self.book.boots(source.id)}:
            self.book.owe(self.book.get(source.id, each))

    def _state(self, source: Source, name: str, payload: bytes, at: int) -> None:
        try:
            state = msgspec.json.decode(payload, type=State)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.quarantine.add(at, name, "bad_state", str(error), payload)
            return
        source.said = state
        known = self.catalogue.gateways.get(source.id)
        if known is None or known.path != source.path:
            return  # its birth has not come yet
        was = known.state
        if not self.catalogue.set_state(source.id, state, at):
            log.info("gateway %s: an offline of boot %d is older than boot %d", source.id, state.b, known.boot)
            return
        if state.state != was:
            self.moved.add(source.id)
            self.news.setdefault(f"are {state.state}", []).append(f"gateway {source.id} is {state.state}")
        if state.state == "online":
            self._owe_receipts(source, known.boot)

    # frames that cannot be understood yet

    def wait(self, source: Source, message: Message) -> None:
        """Keep a frame until its gateway's birth is here; the oldest are let go when there is no room."""
        source.waiting.append(message)
        self._unborn[source] = None
        self._waiting_bytes += len(message[1])
        while self._waiting_bytes > MAX_WAITING_BYTES:
            fullest = source if source.waiting else next(iter(self._unborn))
            self._waiting_bytes -= len(fullest.waiting.popleft()[1])
            self.deferred += 1
            if not fullest.waiting:
                del self._unborn[fullest]
        if message[3] - source.asked >= REBIRTH_NS:
            source.asked = message[3]
            self.rebirths.append(source)

    @property
    def waiting(self) -> list[Source]:
        """Gateways that have frames waiting for a birth."""
        return list(self._unborn)

    def settle(self, now: int) -> None:
        """Take gateways that name their channels and have not introduced themselves as what they are.

        Raises:
            HistorianError: the store is not ready.
        """
        for source in list(self._unborn):
            if source.birth is not None or source.refused or now - source.waiting[0][3] < BY_HAND_NS:
                continue
            tags: dict[str, None] = {}
            boot = 0
            for _, payload, _, _ in source.waiting:
                try:
                    frame = decode_frame(payload)
                except FrameError:
                    continue  # it is refused with its reason when its turn comes
                tags.update(dict.fromkeys(frame.tags or ()))
                boot = frame.b or boot
            if tags:
                self.by_hand(source, boot, list(tags), now)

    def by_hand(self, source: Source, boot: int, tags: list[str], at: int) -> bool:
        """Enter or extend a gateway that names its channels itself; false when it is refused."""
        try:
            self.register(source, birth_by_hand(source.id, boot, tags), at)
        except (FrameError, Refused) as error:
            reason = error.code if isinstance(error, FrameError) else error.reason
            if not source.refused:
                log.warning("gateway %s, which names its channels itself, refused: %s", source.id, error.detail)
            source.refused = reason
            return False
        return True

    def place(self, source: Source, frame: Frame, at: int) -> tuple[Binding, list[int]] | str:
        """Bring a frame that names its channels into the order of the gateway's birth.

        Returns:
            Its binding and the columns it does not mention, or what is wrong.
        """
        birth, tags = source.birth, frame.tags
        assert birth is not None
        assert tags is not None
        position = source.bindings[birth.h].layout.position
        unknown = [tag for tag in tags if tag not in position]
        if unknown:
            known = self.catalogue.gateways.get(source.id)
            if known is None or not known.by_hand:
                return f"{unknown[0]!r} is not a channel of this gateway's birth"
            if not source.may_grow(at) or not self.by_hand(source, frame.b or source.boot, [*position, *unknown], at):
                return f"{unknown[0]!r} would be one channel too many"
            position = source.bindings[source.birth.h].layout.position if source.birth else position
        assert source.birth is not None
        binding = source.bindings[source.birth.h]
        n = frame.samples
        flat: list[float | None] = [None] * (binding.width * n)
        for at_tag, tag in enumerate(tags):
            column = position[tag]
            flat[column * n : column * n + n] = frame.v[at_tag * n : at_tag * n + n]
        frame.v = flat
        mentioned = {position[tag] for tag in tags}
        return binding, [column for column in range(binding.width) if column not in mentioned]

    # the watch

    def watch(self, now: int) -> None:
        """Once a second: note who was heard and who has gone quiet, and log what happened.

        Args:
            now: up to when messages were taken, ns (they may be queueing up).
        """
        every, room = TOUCH_S * SECOND * max(1, len(self.all) // (TOUCH_S * TOUCHED)), TOUCHED
        for source in self.all.values():
            turned = source.skew.off(now) != source.clock_off
            if turned:
                source.clock_off = not source.clock_off
                self._say_clock(source, now)
            if turned or (room > 0 and source.seen > source.touched and now - source.touched >= every):
                room -= 1
                source.touched = source.seen
                self.catalogue.touch(source.id, source.path, source.seen, source.skew.milliseconds(now))
            if not source.stale and now - source.seen > source.expire_ns:
                source.stale = True
                self.moved.add(source.id)
                if source.said is not None and source.said.state == "offline":
                    continue  # it said so itself
                quiet = (now - source.seen) / SECOND
                line = f"gateway {source.id} has said nothing for {quiet:.0f} s: its values are stale"
                self.news.setdefault(STALE, []).append(line)
        for what, lines in self.news.items():
            level = logging.WARNING if what in (STALE, CLOCK_OFF) else logging.INFO
            for line in lines[:MAX_NAMES]:
                log.log(level, "%s", line)
            if len(lines) > MAX_NAMES:
                log.log(level, "… and %d more gateways %s", len(lines) - MAX_NAMES, what)
        self.news.clear()

    def _say_clock(self, source: Source, now: int) -> None:
        if not source.clock_off:
            self.news.setdefault("have clocks that are right again", []).append(
                f"gateway {source.id}: its clock is right again"
            )
            return
        skew = (source.skew.milliseconds(now) or 0.0) / 1e3
        where = "behind" if skew > 0 else "ahead"
        self.news.setdefault(CLOCK_OFF, []).append(
            f"gateway {source.id}: its clock is {abs(skew):.0f} s {where}; readings are marked "
            "uncertain:clock, or kept in the quarantine where they lie too far ahead. Set the gateway's clock (NTP)"
        )
