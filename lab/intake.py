"""From data messages to rows: is it whole, is its time plausible, is it new, is it its turn to be scored.

Each message ends in exactly one of: rows (accepted), a duplicate, the quarantine (rejected), or deferred: not taken
and not acknowledged, so that its gateway sends it again. Nothing here touches the store; `lab.collector` commits.
"""

from typing import Final

import msgspec

from devices.frame import Frame, FrameError, decode_frame
from devices.quality import CODES
from lab.clock import AHEAD_NS, EARLIEST_NS
from lab.decode import AGAIN, LATE, SCORE, STORE, Binding, Group, Rows
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

    frames: int = 0
    """Accepted."""
    readings: int = 0
    """Committed."""
    scored: int = 0
    """Rows that have a score."""
    late: int = 0
    """Rows stored that came after their turn to be scored."""
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
        self._groups: list[Group] = []
        self._round = 0
        """Goes up whenever the open groups are closed."""
        self._stages: list[list[Rows]] = []
        self._order = 0
        self._holding: dict[Source, None] = {}

    def take(self, message: Message) -> None:
        """Take a data message.

        Raises:
            HistorianError: the store is not ready; nothing was noted, give the message again later.
        """
        name, payload, retained, at = message
        sources = self.sources
        route = sources.routes.get(name) or sources.route(name, payload, at)
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
        binding = source.bindings.get(frame.h or "") if frame.tags is None else None
        if binding is None or source.refused:
            if source.refused or frame.tags is None or source.birth is None:
                sources.wait(source, message)
                return
            placed = sources.place(source, frame, at)
            if isinstance(placed, str):
                self._reject(source, message, "unknown_tag", placed)
                return
            binding, absent = placed
        layout, slot, width = binding
        v, dt, t, boot, s, turns = frame.v, frame.dt, frame.t, frame.b, frame.s, source.turns

        samples, code, reason, detail = 1, 0, "", ""
        first = last = start = at if t is None else round(t * 1e6) * 1000
        if dt is not None:
            samples = len(dt)
            first, last = start + round(dt[0] * 1e6) * 1000, start + round(dt[-1] * 1e6) * 1000
            if samples == 1:
                start, dt = first, None
        if len(v) != width * samples:
            reason = "bad_length"
            detail = f"v has {len(v)} values, want {width} channels x {samples} samples"
        elif frame.q is not None and not frame.q.keys() <= layout.position.keys():
            reason = "bad_quality"
            detail = f"q has {min(frame.q.keys() - layout.position.keys())!r}, which is no channel of its birth"
        elif t is None:
            code = SERVERTIME
        elif last - at > AHEAD_NS:
            reason = "clock_ahead"
            detail = f"its time is {(last - at) / 1e9:,.0f} s ahead of the lab's: set the gateway's clock (NTP)"
            source.skew.wild(at, at - last)
        elif first < self.earliest:
            reason = "clock_behind"
            detail = f"its time, {first / 1e9:.0f} s after 1970, is before what is kept: set its clock (NTP)"
            source.skew.wild(at, at - last)

        if s is None or boot is None:
            if reason:
                self.quarantine.add(at, name, reason, detail, payload)
                return
            if t is not None:
                code = source.skew.observe(at, at - last)
            self._unsequenced(source, at)
            todo = turns.turn(first)
            if samples == 1 and first == turns.scored_to:
                todo |= AGAIN
        else:
            ledger = source.ledger
            if ledger is not None and boot == ledger.boot and s == ledger.next:
                ledger.advance(hash(payload) or 1, at)  # as nearly all frames do
                self.book.changed[ledger] = None
            else:
                ledger = self._see(source, boot, s, message, None if t is None else last)
                if ledger is None:
                    return
            if reason:
                ledger.rejected += 1
                self.quarantine.add(at, name, reason, detail, payload)
                self._skip(source, boot, s, at)
                return
            if t is not None:  # only now: frames sent again say nothing of the clock, they only get older
                code = source.skew.observe(at, at - last)
            ledger.accepted += 1
            if boot == turns.boot and s == turns.next:
                turns.next = s + 1
                todo = SCORE if first > turns.scored_to else LATE
            else:
                if boot > turns.boot and turns.held:
                    self._score(source, list(turns.drop_all()))
                todo = turns.place(boot, s, first)
                if not todo:
                    turns.hold(s, Held(at, first, last, binding, start, dt, frame, code, absent), at)
                    self._holding[source] = None
        if todo == SCORE and layout is not source.current:
            todo = LATE  # of a channel list that is no more: the scorer knows the newest alone
        if last > source.newest:
            source.newest = last
            source.newest_s = -1 if s is None else s

        if source.layout is layout and samples in layout.open and not absent and frame.q is None:
            group = layout.open[samples]
            source.round = self._round
            if code or todo != SCORE:
                group.plain = False
            if dt is not None:
                group.dt.append(dt)
            group.frames.append((slot, start, v, STORE | todo, code, self._order))
            self._order += 1
        else:
            self._add(source, binding, start, dt, frame, code, STORE | todo, absent)
        if todo == SCORE:
            turns.scored_to = last
            if turns.held:
                self._score(source, list(turns.ready()))

    def _unsequenced(self, source: Source, at: int) -> None:
        ledger = self.book.get(source.id, source.boot)
        ledger.unsequenced += 1
        ledger.seen = at
        self.book.changed[ledger] = None
        self.counters.unsequenced += 1

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
        self.book.changed[ledger] = None
        if verdict is Verdict.NEW:
            return ledger
        why = "two senders with one name?"
        newer = last is not None and (
            last > source.newest and s < source.newest_s if source.newest else last > seen + AHEAD_NS
        )
        if verdict is Verdict.DUPLICATE and newer:
            # A re-send is never newer than a frame of a higher number: somebody counts from 0 again without a new boot.
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
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last: nested a thousand deep
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
        if source.turns.held:
            self._holding[source] = None
            self._score(source, list(source.turns.ready()))

    def _score(self, source: Source, frames: list[Held]) -> None:
        """Give frames that were stored before to the scorer, now that it is their turn."""
        for held in frames:
            known = held.binding.layout is source.current and not source.refused
            todo = source.turns.turn(held.first) if known else LATE
            if todo == SCORE:
                source.turns.scored_to = held.last
            self._add(source, held.binding, held.start, held.dt, held.frame, held.code, todo, held.absent)
        if not source.turns.held:
            self._holding.pop(source, None)

    def overdue(self, now: int) -> None:
        """Stop waiting for frames that have been missing for too long."""
        if not self._holding:
            return
        for source in list(self._holding):
            while source.turns.overdue(now):
                self._score(source, list(source.turns.give_up()))
        while self.held > MAX_HELD:
            fullest = max(self._holding, key=lambda source: len(source.turns.held))
            self._score(fullest, list(fullest.turns.give_up()))

    @property
    def held(self) -> int:
        """Frames stored that wait for their turn to be scored."""
        return sum(len(source.turns.held) for source in self._holding)

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
        if source.layout is not layout and source.round == self._round:
            self._close()  # what one gateway sent under two channel lists is scored in order, too
        source.layout, source.round = layout, self._round
        samples = 1 if dt is None else len(dt)
        group = layout.open.get(samples)
        if group is None:
            group = layout.open[samples] = Group(layout, samples)
            self._groups.append(group)
        frames = group.frames
        if frame.q is not None:
            group.q.append((len(frames), frame.q))
        if absent:
            group.absent.append((len(frames), absent))
        if code or todo != STORE | SCORE:
            group.plain = False
        if dt is not None:
            group.dt.append(dt)
        frames.append((binding.slot, start, frame.v, todo, code, self._order))
        self._order += 1

    def _close(self) -> None:
        if self._groups:
            self._stages.append([group.rows() for group in self._groups])
            for group in self._groups:
                stored = len(group.frames) if group.plain else sum(frame[3] & STORE for frame in group.frames)
                self.counters.frames += stored
                group.layout.open.clear()
            self._groups.clear()
            self._round += 1

    def flush(self) -> list[list[Rows]]:
        """The rows since the last flush, in stages to be scored one after the other."""
        self._close()
        stages, self._stages = self._stages, []
        self._order = 0
        return stages
