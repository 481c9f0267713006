"""From data messages to rows: is it whole, is its time plausible, is it new, is it its turn to be scored.

Each message ends in exactly one of: rows (accepted), a duplicate, the quarantine (rejected), or deferred: not taken
and not acknowledged, so that its gateway sends it again. Nothing here touches the store; `lab.collector` commits.
"""

from typing import Final

import msgspec

from devices.frame import Frame, FrameError, decode_frame
from devices.quality import CODES
from lab.clock import AHEAD_NS, EARLIEST_NS
from lab.decode import SCORE, STORE, Binding, Group, Rows
from lab.ledger import Ledger, Verdict
from lab.quarantine import Quarantine
from lab.sources import Message, Source, Sources
from lab.turns import Held

SERVERTIME: Final = CODES["uncertain:servertime"]
MAX_HELD: Final = 50_000
"""Frames, over all gateways, that may wait for their turn to be scored."""
LIMIT: Final = 2**53


class Counters(msgspec.Struct):
    """Since the collector started."""

    messages: int = 0
    bytes: int = 0
    frames: int = 0
    """Accepted."""
    readings: int = 0
    """Committed."""
    scored: int = 0
    late: int = 0
    """Rows stored, not scored."""
    unsequenced: int = 0
    deferred: int = 0
    """Not taken and not acknowledged: they will be sent again."""


class _Numbers(msgspec.Struct):
    """What can be read of a frame that is not whole: its place in the ledger."""

    b: int | None = None
    s: int | None = None


_numbers = msgspec.json.Decoder(_Numbers)


class Intake:
    """Takes messages one after the other; `flush` gives the rows they became."""

    def __init__(self, sources: Sources, quarantine: Quarantine) -> None:
        self.sources = sources
        self.quarantine = quarantine
        self.book = sources.book
        self.counters = Counters()
        self.earliest = EARLIEST_NS
        """Source times before this are refused, ns."""
        self._groups: dict[tuple[int, int], Group] = {}
        self._layouts: list[Source] = []
        self._stages: list[list[Rows]] = []
        self._order = 0
        self._holding: dict[Source, None] = {}

    def take(self, message: Message) -> None:
        """Take a data message.

        Raises:
            HistorianError: the store is not ready; nothing was noted, give the message again later.
        """
        self._take(message)
        self.counters.messages += 1
        self.counters.bytes += len(message[1])

    def _take(self, message: Message) -> None:
        name, payload, retained, at = message
        sources = self.sources
        route = sources.route(name, payload, at)
        if route is None:
            return
        source = route[0]
        if retained:
            why = "a data message must not be retained: to whoever subscribes later it looks new"
            self.quarantine.add(at, name, "retained", why, payload)
            return
        source.seen = at
        if source.stale:
            sources.heard(source, at)
        try:
            frame = decode_frame(payload)
        except FrameError as error:
            self._reject(source, message, error.code, error.detail)
            return
        absent: list[int] | None = None
        binding = source.bindings.get(frame.h) if frame.tags is None and frame.h is not None else None
        if binding is None or source.refused:
            if source.refused or frame.tags is None or source.birth is None:
                sources.wait(source, message)
                return
            placed = sources.place(source, frame, at)
            if isinstance(placed, str):
                self._reject(source, message, "unknown_tag", placed)
                return
            binding, absent = placed

        reason = detail = ""
        dt = frame.dt
        samples = 1 if dt is None else len(dt)
        if len(frame.v) != binding.width * samples:
            reason = "bad_length"
            detail = f"v has {len(frame.v)} values, want {binding.width} channels x {samples} samples"
        elif frame.q is not None and not frame.q.keys() <= binding.layout.position.keys():
            reason = "bad_quality"
            detail = f"q has {min(frame.q.keys() - binding.layout.position.keys())!r}, which is no channel of its birth"
        start = at if frame.t is None else round(frame.t * 1e6) * 1000
        if dt is None:
            first = last = start
        else:
            first = start + round(dt[0] * 1e6) * 1000
            last = start + round(dt[-1] * 1e6) * 1000
            if samples == 1:
                start, dt = first, None
        code = 0
        if frame.t is None:
            code = SERVERTIME
        elif not reason:
            if last - at > AHEAD_NS:
                reason = "clock_ahead"
                detail = f"its time is {(last - at) / 1e9:,.0f} s ahead of the lab's: set the gateway's clock (NTP)"
                source.skew.wild(at, at - last)
            elif first < self.earliest:
                reason = "clock_behind"
                detail = f"its time, {first / 1e9:.0f} s after 1970, is before what is kept: set its clock (NTP)"
                source.skew.wild(at, at - last)
            else:
                code = source.skew.observe(at, at - last)

        boot, s = frame.b, frame.s
        if s is None or boot is None:
            if reason:
                self.quarantine.add(at, name, reason, detail, payload)
                return
            ledger = self.book.get(source.id, source.boot)
            ledger.unsequenced += 1
            ledger.seen = at
            self.book.changed.add(ledger)
            self.counters.unsequenced += 1
            todo = source.turns.turn(first)
        else:
            known = self._see(source, boot, s, message, None if frame.t is None else last)
            if known is None:
                return
            if reason:
                known.rejected += 1
                self.quarantine.add(at, name, reason, detail, payload)
                self._skip(source, boot, s, at)
                return
            known.accepted += 1
            turns = source.turns
            if boot > turns.boot and turns:
                self._score(source, list(turns.drop_all()))
            todo = turns.place(boot, s, first)
            if not todo:
                turns.hold(s, Held(at, first, last, binding, start, dt, frame, code, absent), at)
                self._holding[source] = None
        if last > source.newest:
            source.newest = last
        if todo == SCORE:
            source.turns.scored_to = last
        self._add(source, binding, start, dt, frame, code, STORE | todo, absent)
        self.counters.frames += 1
        if todo == SCORE and source.turns:
            self._score(source, list(source.turns.ready()))

    def _see(self, source: Source, boot: int, s: int, message: Message, last: int | None) -> Ledger | None:
        """Mark a frame in its ledger; None when it is not new, which is then seen to."""
        name, payload, _, at = message
        ledger = source.ledger
        if ledger is None or ledger.boot != boot:
            ledger = self.book.get(source.id, boot)
            if not ledger.next and boot != source.boot and not source.may_grow(at):
                self.quarantine.add(at, name, "boot_flood", "too many boots in an hour", payload)
                return None
            source.ledger = ledger
        verdict = ledger.see(s, hash(payload) or 1)
        if verdict is Verdict.CROWDED:
            self.counters.deferred += 1
            return None
        seen, ledger.seen = ledger.seen, at
        self.book.changed.add(ledger)
        if verdict is Verdict.NEW:
            return ledger
        why = "two senders with one name?"
        if verdict is Verdict.DUPLICATE and last is not None and last > (source.newest or seen + AHEAD_NS):
            # A re-send is never newer than what came before it: somebody counts from 0 again without a new boot.
            ledger.duplicates -= 1
            ledger.forks += 1
            verdict = Verdict.FORK
            why = "after a restart, b must be higher than before"
        if verdict is Verdict.FORK:
            detail = f"number {s} of boot {boot} was used before, for another frame: {why}"
            self.quarantine.add(at, name, "fork", detail, payload)
        return None

    def _reject(self, source: Source, message: Message, reason: str, detail: str) -> None:
        """Quarantine a frame that is not whole; in the ledger too when its number can still be read."""
        name, payload, _, at = message
        try:
            numbers = _numbers.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            numbers = _Numbers()
        b, s = numbers.b, numbers.s
        if b is not None and s is not None and 0 <= b < LIMIT and 0 <= s < LIMIT:
            ledger = self._see(source, b, s, message, None)
            if ledger is None:
                return
            ledger.rejected += 1
            self._skip(source, b, s, at)
        self.quarantine.add(at, name, reason, detail, payload)

    # whose turn it is

    def _skip(self, source: Source, boot: int, s: int, at: int) -> None:
        source.turns.skip(boot, s, at)
        if source.turns:
            self._holding[source] = None
            self._score(source, list(source.turns.ready()))

    def _score(self, source: Source, frames: list[Held]) -> None:
        """Give frames that were stored before to the scorer, now that it is their turn."""
        for held in frames:
            todo = source.turns.turn(held.first)
            if todo == SCORE:
                source.turns.scored_to = held.last
            self._add(source, held.binding, held.start, held.dt, held.frame, held.code, todo, held.absent)
        if not source.turns:
            self._holding.pop(source, None)

    def overdue(self, now: int) -> None:
        """Stop waiting for frames that have been missing for too long."""
        for source in list(self._holding):
            while source.turns.overdue(now):
                self._score(source, list(source.turns.give_up()))
        while self.held > MAX_HELD:
            fullest = max(self._holding, key=lambda source: len(source.turns))
            self._score(fullest, list(fullest.turns.give_up()))

    @property
    def held(self) -> int:
        """Frames stored that wait for their turn to be scored."""
        return sum(len(source.turns) for source in self._holding)

    # rows

    def _add(
        self,
        source: Source,
        binding: Binding,
        start: int,
        dt: list[float] | None,
        frame: Frame,
        code: int,
        todo: int,
        absent: list[int] | None,
    ) -> None:
        layout = binding.layout
        if source.layout is not layout:
            if source.layout is not None:
                self._close()  # what one gateway sent under two channel lists is scored in order, too
            source.layout = layout
            self._layouts.append(source)
        samples = 1 if dt is None else len(dt)
        group = self._groups.get((layout.number, samples))
        if group is None:
            group = self._groups[layout.number, samples] = Group(layout, samples)
        if frame.q is not None:
            group.q.append((len(group.slots), frame.q))
        if absent:
            group.absent.append((len(group.slots), absent))
        if code or todo != STORE | SCORE:
            group.plain = False
        group.slots.append(binding.slot)
        group.start.append(start)
        if dt is not None:
            group.dt.append(dt)
        group.v.append(frame.v)
        group.todo.append(todo)
        group.codes.append(code)
        group.order.append(self._order)
        self._order += 1

    def _close(self) -> None:
        if self._groups:
            self._stages.append([group.rows() for group in self._groups.values()])
            self._groups.clear()
        for source in self._layouts:
            source.layout = None
        self._layouts.clear()

    def flush(self) -> list[list[Rows]]:
        """The rows since the last flush, in stages to be scored one after the other."""
        self._close()
        stages, self._stages = self._stages, []
        self._order = 0
        return stages
