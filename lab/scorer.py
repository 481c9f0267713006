"""Scoring many assets with the models they use: which rows count, what a model sees of them, where a run begins anew.

It knows no files, no database and no wall clock; `lab.scoring` gives it those, `lab score` uses it as it is. All assets
of one model are scored in one array operation.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from devices.frame import Asset, Channel
from devices.quality import is_bad
from lab.between import Between
from lab.blocks import (
    Flags,
    Floats,
    Plan,
    RowBlock,
    Rows,
    Scored,
    Times,
    by_count,
    evenly,
    nothing,
    rejoined,
    values_seen,
)
from lab.episodes import Change, Known
from lab.following import Member, Moved, Stretch, follow, remember
from lab.groups import FAULTS, Elapsed, Group, Layout, NotPossible, Seen, together, unpacked
from lab.machine import same_sums
from lab.periods import COUNTED, GAP_PERIODS, HAIR_S, longest_ns, period_numbers, periods_between, slots, whole
from lab.spikes import Failures, Finding, Spikes
from lab.tracker import Tracker
from models.detector import Model

CACHED: Final = 1024
"""Assets scored at a time, so that what belongs to them stays in the processor's cache."""
PARTS: Final = 3
"""Into so many parts a block is taken apart to be scored at once."""
PLANS: Final = 64
"""Orders of assets in a block that are remembered."""
NEVER: Final = np.iinfo(np.int64).min
REASONS: Final = ("", "model", "clock", "gap")
"""Why an asset begins anew, by the code that stands for it, the lower one before others; 0 is that it does not."""
NEW_MODEL, CLOCK_BACK, GAP = range(1, 4)

Reasons = NDArray[np.int8]


class Run(NamedTuple):
    """From this row on an asset is scored with a fresh state."""

    asset: str
    t: int
    model: str | None
    """None: from here on it is not scored."""
    reason: str
    """first, model, clock (it ran backwards), gap; accept: the state goes on, where it stands is taken for normal."""
    offset: bytes | None = None
    """What was accepted before and goes on (`Group.lasting`)."""
    trend: bytes | None = None
    """Of a gap in an episode: how long it was and what goes on after it (`Trend`)."""


class Trend(NamedTuple):
    """What of an asset in an episode goes on after a gap."""

    elapsed: int
    """Periods from the last row before it to the first one after it."""
    content: bytes
    """See `Group.trend`."""

    def packed(self) -> bytes:
        """As bytes."""
        return self.elapsed.to_bytes(2, "little") + self.content

    @classmethod
    def unpacked(cls, packed: bytes) -> "Trend":
        """What gave these `packed()`."""
        return cls(int.from_bytes(packed[:2], "little"), packed[2:])


class Scorer:
    """Scores blocks of rows; everything it does follows from the rows and the calls of `use`."""

    def __init__(
        self,
        library: Callable[[int, str], Known | None] = lambda number, id: None,
        watch: Callable[[Tracker, int], None] = lambda tracker, row: None,
    ) -> None:
        """
        Args:
            library: with what an episode (asset's number, id) is to be compared; asked when it begins.
            watch: told each row of a block that is in an episode, after the episode has taken it in.
        """
        same_sums()
        self.library = library
        self.watch = watch
        self.members: list[Member] = []
        self.runs: list[Run] = []
        """Beginnings since the list was last emptied (by its reader)."""
        self._numbers: dict[str, int] = {}
        self._layouts: dict[tuple[object, ...], Layout] = {}
        self._groups: dict[str, int] = {}
        self._listed: dict[int, Group] = {}
        """Those that have assets, by their numbers."""
        self._group: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._row: Rows = np.zeros(0, dtype=np.intp)
        self.last: Times = np.zeros(0, dtype=np.int64)
        """By number: time of the newest row taken, `NEVER` before the first."""
        self._clock_at: Rows = np.zeros(0, dtype=np.intp)
        self._clock: Floats = np.zeros(0)
        self._plans: dict[bytes, Plan | list[Rows] | None] = {}
        """By the assets' numbers in a block, until one of them is scored otherwise."""
        self._glimpsed: dict[int, list[int]] = {}
        """By rows of the block: sensors that spiked in those that do not count since the one before."""
        self._due: dict[int, int] = {}
        """Why an asset is to begin anew at the next period of its clock."""
        self._sure: set[int] = set()
        """Assets whose next row is known to be the first of its period."""
        self._offset: dict[int, bytes] = {}
        """What an asset that begins anew is to go on with."""
        self._trend: dict[int, Trend] = {}
        """The same, after a gap in an episode."""
        self._waited: dict[int, int] = {}
        """Periods between the last row that counted before a gap and the one after which an asset is due."""
        self._flags: Flags = np.zeros((0, 4), dtype=np.bool_)
        """By number: begins anew with its next row, had no score since, is in an episode, has a clock of its own."""
        self._fresh, self._cold, self._open, self._clocked = self._flags.T

    # -- who is scored, with what -------------------------------------------------------------------------------------

    def declare(self, asset: Asset, channels: Sequence[Channel], back: bool = False) -> int:
        """Enter an asset, or what it is now; returns its number, the same one every time.

        Args:
            asset: the asset; with another clock than before it begins anew.
            channels: its channels.
            back: it is what it was when its state was kept, to go on from there.
        """
        key = tuple(_telling(channel) for channel in channels)
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._layouts[key] = Layout(channels)
        number = self._numbers.get(asset.id)
        if number is None:
            number = self._numbers[asset.id] = len(self.members)
            self.members.append(Member(asset, layout))
            if number >= len(self._group):
                self._extend(max(16, number))
        else:
            member = self.members[number]
            if member.asset.clock != asset.clock and not back:
                self._fresh[number], member.spikes = member.model is not None, None
            member.asset, member.layout = asset, layout
        self._plans.clear()
        self._clock_at[number] = layout.column.get(asset.clock, -1) if asset.clock else -1
        self._clocked[number] = self._clock_at[number] >= 0
        return number

    def number(self, id: str) -> int:
        """The number of an asset.

        Raises:
            KeyError: it is not entered.
        """
        return self._numbers[id]

    def declared(self, id: str) -> tuple[str | None, Layout] | None:
        """The clock and the channels of an asset; None for one that is not entered."""
        number = self._numbers.get(id)
        return None if number is None else (self.members[number].asset.clock, self.members[number].layout)

    def _extend(self, more: int) -> None:
        self._group = np.concatenate([self._group, np.full(more, -1, dtype=np.int32)])
        self._row = np.concatenate([self._row, np.zeros(more, dtype=np.intp)])
        self.last = np.concatenate([self.last, np.full(more, NEVER)])
        self._clock_at = np.concatenate([self._clock_at, np.full(more, -1, dtype=np.intp)])
        self._clock = np.concatenate([self._clock, np.full(more, np.nan)])
        self._flags = np.concatenate([self._flags, np.tile([False, True, False, False], (more, 1))])
        self._fresh, self._cold, self._open, self._clocked = self._flags.T

    def use(
        self,
        number: int,
        model: Model | None,
        offset: bytes | None = None,
        again: bool = False,
        trend: bytes | None = None,
    ) -> None:
        """Score an asset with this model from its next row on (None: not any more).

        Args:
            number: of the asset.
            model: the model.
            offset: what was accepted before (`Run.offset`), to go on with.
            again: the next row is one with which a run began, be it with the model in use.
            trend: what went on then (`Run.trend`).
        """
        member = self.members[number]
        self._trend.pop(number, None)
        if again and model is not None:
            self._sure.add(number)
            self._fresh[number] = True
        else:
            self._sure.discard(number)
        if (member.model.id if member.model else None) == (model.id if model else None):
            if offset is not None and self._fresh[number]:
                self._offset[number] = offset
            elif again:
                self._offset.pop(number, None)
            if trend is not None and self._fresh[number]:
                self._trend[number] = Trend.unpacked(trend)
            return
        self._leave(number)
        self._plans.clear()
        member.model, member.between, member.spikes = model, None, None
        self._fresh[number] = True
        self._due.pop(number, None)
        self._waited.pop(number, None)
        self._offset.pop(number, None)
        if model is not None:
            self._join(number, model)
            if offset is not None:
                self._offset[number] = offset
            if trend is not None:
                self._trend[number] = Trend.unpacked(trend)

    def forget(self, number: int) -> None:
        """What is remembered of an asset's sensors has the rows of a clock that ran backwards before its next row."""
        self.members[number].spikes = None

    def _join(self, number: int, model: Model) -> None:
        index = self._groups.get(model.id)
        if index is None:
            index = self._groups[model.id] = 1 + max(self._listed, default=-1)
            self._listed[index] = Group(model)
        group = self._listed[index]
        self._group[number] = index
        if group.free:
            self._row[number] = group.free.pop()
        else:
            self._row[number] = group.size
            group.size += 1

    def _leave(self, number: int) -> None:
        index = int(self._group[number])
        if index >= 0:
            group = self._listed[index]
            group.free.append(int(self._row[number]))
            self._group[number] = -1
            if len(group.free) == group.size:  # models come and go: nothing is kept of those that nobody uses
                del self._listed[index], self._groups[group.model.id]
                for layout in self._layouts.values():
                    layout.forget(group.model)

    def model(self, id: str) -> Model | None:
        """A model with which an asset is scored; None for any other."""
        index = self._groups.get(id)
        return None if index is None else self._listed[index].model

    def fits(self, number: int, model: Model) -> bool:
        """Whether the asset has at least half of the sensors that the model wants."""
        return 2 * len(self.members[number].layout.places(model).known) >= len(model.detector.sensors)

    def episode(self, number: int) -> str | None:
        """Id of the asset's open episode."""
        tracker = self.members[number].tracker
        return tracker.id if tracker and not tracker.ended else None

    def tracker(self, number: int) -> Tracker | None:
        """The asset's open episode."""
        tracker = self.members[number].tracker
        return tracker if tracker and not tracker.ended else None

    def accept(self, number: int) -> Change | None:
        """Take where an asset stands now for normal, from its next row on; its open episode ends.

        Raises:
            NotPossible: it is not scored, or its model cannot.
        """
        member, index = self.members[number], int(self._group[number])
        if index < 0 or member.model is None or self.last[number] == NEVER or self._fresh[number]:
            raise NotPossible("not_scored", f"asset {member.asset.id} is not scored yet")
        group, row = self._listed[index], int(self._row[number])
        group.grow()
        group.accept(row)
        at = int(self.last[number]) + 1
        self.runs.append(Run(member.asset.id, at, member.model.id, "accept", group.lasting(row)))
        return self._close(number)

    def unaccept(self, number: int) -> Change | None:
        """Take what the model learnt for normal again: the asset begins anew with its next row, its open episode ends.

        Raises:
            NotPossible: nothing was accepted, or no row is known before which it was.
        """
        member, index = self.members[number], int(self._group[number])
        if self._fresh[number]:  # the row of its group is not its own yet
            accepted = number in self._offset
        else:
            accepted = index >= 0 and self._listed[index].lasting(int(self._row[number])) is not None
        if member.model is None or not accepted:
            raise NotPossible("not_accepted", f"asset {member.asset.id}: nothing was accepted")
        if self.last[number] == NEVER:
            raise NotPossible("not_scored", f"asset {member.asset.id} is not scored yet")
        self._fresh[number], self._cold[number] = True, True
        self._offset.pop(number, None)
        self._trend.pop(number, None)
        self.runs.append(Run(member.asset.id, int(self.last[number]) + 1, member.model.id, "model"))
        return self._close(number)

    def _close(self, number: int) -> Change | None:
        """End the asset's open episode with the last row scored, not to go on."""
        member = self.members[number]
        tracker, member.tracker = member.tracker, None
        self._open[number] = False
        return Change("closed", tracker.episode(tracker.last)) if tracker and not tracker.ended else None

    def accept_again(self, number: int, offset: bytes | None) -> Change | None:
        """Take up what was accepted before the next row when it was scored first; its open episode ends.

        Args:
            number: of the asset.
            offset: what was accepted (`Run.offset`). It holds, whatever the rows say that are still there; without any
                of them the asset begins with it.
        """
        try:
            change = self.accept(number)
        except ValueError:
            self.use(number, self.members[number].model, offset)
            return None
        self.runs.pop()  # it was noted then
        if offset is not None:
            self._listed[int(self._group[number])].put_lasting(int(self._row[number]), offset)
        return change

    def drifts(self) -> dict[int, float]:
        """How far each scored asset has moved from its model: 0 as fitted, 1 at the limit."""
        found: dict[int, float] = {}
        for index, group in self._listed.items():
            numbers = np.flatnonzero(self._group == index)
            if len(numbers):
                group.grow()
                values = np.round(group.model.detector.drift(group.state)[self._row[numbers]], 3)
                found.update(zip(numbers.tolist(), values.tolist(), strict=True))
        return found

    def in_episode(self) -> list[int]:
        """Numbers of the assets with an open episode."""
        return [number for number in np.flatnonzero(self._open).tolist() if self.episode(number) is not None]

    def end(self, number: int) -> Change | None:
        """The asset's stream has ended: its open episode closes, to go on if the stream does after all."""
        tracker = self.members[number].tracker
        return tracker.end() if tracker and not tracker.ended else None

    def warm(self, number: int) -> bool:
        """Whether the asset has had a score since it began."""
        return not self._cold[number]

    def scored(self) -> list[int]:
        """Numbers of the assets that have a model and rows."""
        numbers: list[int] = np.flatnonzero((self._group >= 0) & (self.last != NEVER)).tolist()
        return numbers

    # -- rows ---------------------------------------------------------------------------------------------------------

    def ingest(self, block: RowBlock) -> Scored:
        """Score a block of rows."""
        if (usual := self._at_once(block)) is not None:
            return usual
        count, width = block.v.shape
        numbers = block.asset
        order = None if count < 2 or (numbers[1:] > numbers[:-1]).all() else np.argsort(numbers, kind="stable")
        single = order is None or bool((np.diff(numbers[order]) > 0).all())  # one row of each, the usual case
        scored = Scored(
            score=nothing(count),
            alarm=np.zeros(count, dtype=np.bool_),
            warm=np.zeros(count, dtype=np.bool_),
            late=block.t <= self.last[numbers],
            limit=nothing(count),
            contributions=np.zeros((count, width)),
            statistics={},
            changes=[],
        )
        if count == 0:
            return scored
        if order is not None and not single:
            self._find_late(block, order, scored.late)
        rows = np.arange(count) if order is None else order
        if scored.late.any():
            rows = rows[~scored.late[rows]]
        theirs = numbers if len(rows) == count and order is None else numbers[rows]
        groups = self._group[theirs]
        indices = set(groups.tolist())
        for index in sorted(indices):
            some = rows if len(indices) == 1 else rows[groups == index]
            if index >= 0:
                self._score_group(self._listed[index], block, some, single, scored)
            else:
                self._not_scored(block, some, scored)
        scored.warm[rows] = ~self._cold[theirs]
        if single:
            self.last[theirs] = block.t[rows]
        else:
            np.maximum.at(self.last, theirs, block.t[rows])
        return scored

    def _at_once(self, block: RowBlock) -> Scored | None:
        """Score the usual block: new rows of some assets, with one model and no clock of their own.

        As many of each, or else as many together as have as many. None, and nothing is done, for any other, or when an
        asset begins anew or is in an episode.
        """
        if not 0 < len(block.t) <= CACHED:
            return None
        plan = self._plan(block.asset)
        if isinstance(plan, Plan):
            since = self._usual(plan, block)
            return None if since is None else self._by_plan(plan, block, since)
        if plan is None:
            return None
        parts = []
        for rows in plan:
            part = block.pick(rows)
            theirs = self._plan(part.asset)
            since = self._usual(theirs, part) if isinstance(theirs, Plan) else None
            if not isinstance(theirs, Plan) or since is None:
                return None
            parts.append((theirs, part, since))
        return rejoined(plan, [self._by_plan(*each) for each in parts])

    def _usual(self, plan: Plan, block: RowBlock) -> Times | None:
        """Nanoseconds since the row before, by asset and row, if all rows are new and without a gap.

        None where they are not, or where an asset begins anew or is in an episode.
        """
        if np.logical_or.reduce(self._flags[plan.who], axis=None):
            return None
        if plan.rows is None:
            since = block.t - self.last[plan.who]
        else:
            times = block.t[plan.flat].reshape(plan.rows.shape)
            since = np.empty_like(times)
            np.subtract(times[:, 0], self.last[plan.who], out=since[:, 0])
            np.subtract(times[:, 1:], times[:, :-1], out=since[:, 1:])
        new = np.minimum.reduce(since, axis=None) > 0 and np.maximum.reduce(since, axis=None) <= plan.longest
        return since if new else None

    def _by_plan(self, plan: Plan, block: RowBlock, since: Times) -> Scored:
        """Score such a block, of rows so long after those before."""
        count = len(block.t)
        who, rows, group, places, at, flat = plan[:6]
        shape = (count, 1) if rows is None else rows.shape
        values = values_seen(block, flat, shape, places)
        elapsed = periods_between(since.reshape(shape), block.t[flat].reshape(shape), group.model.detector.period_s)
        seen = group.look(at, *values, self._read(group, block.asset[flat].reshape(shape)[:, 0], *values), elapsed)
        result = seen.result
        score, alarm, charts = result.score.ravel(), result.alarm.ravel(), result.statistics
        contributions = places.spread(result.contributions.reshape(count, -1), block.v.shape[1])
        statistics = {name: chart.ravel() for name, chart in charts.items()}
        if plan.back is not None:
            score, alarm, contributions = score[plan.back], alarm[plan.back], contributions[plan.back]
            statistics = {name: chart[plan.back] for name, chart in statistics.items()}
        self.last[who] = block.t if rows is None else block.t[flat].reshape(shape)[:, -1]
        scored = Scored(score, alarm, plan.warm, plan.late, plan.limit, contributions, statistics, changes=[])
        if np.logical_or.reduce(alarm) or seen.dull is not None or seen.over is not None:
            self._tell(group, block, np.arange(count)[:, None] if rows is None else rows, seen, elapsed, scored)
        elif seen.spiked is not None or seen.leaps is not None:
            self._remember(group, block, np.arange(count)[:, None] if rows is None else rows, seen, None)
        return scored

    def _plan(self, asset: NDArray[np.int32]) -> Plan | list[Rows] | None:
        """How blocks of these assets (M,) are scored at once; None where they cannot be. Gateways take turns: kept.

        Where one asset has more rows than another, the rows of those that have as many.
        """
        key = asset.tobytes()
        if key in self._plans:
            return self._plans[key]
        if len(self._plans) >= PLANS:
            self._plans.clear()
        self._plans[key] = made = self._make_plan(asset)
        return made

    def _make_plan(self, asset: NDArray[np.int32]) -> Plan | list[Rows] | None:
        count, numbers, rows = len(asset), asset, None
        if not (numbers[1:] > numbers[:-1]).all():
            rows = evenly(numbers)
            if rows is None:
                parts = by_count(numbers)
                return parts if len(parts) <= PARTS else None
            numbers = numbers[rows[:, 0]]
        groups = self._group[numbers]
        if groups[0] < 0 or (groups != groups[0]).any():
            return None
        group = self._listed[groups[0]]
        group.grow()
        flat = slice(0, count) if rows is None else together(rows.ravel())
        back = None
        if isinstance(flat, np.ndarray):  # back to where they came from
            back = np.empty(count, dtype=np.intp)
            back[flat] = np.arange(count)
        shared = (
            np.ones(count, dtype=np.bool_),
            np.zeros(count, dtype=np.bool_),
            np.full(count, group.model.detector.limit),
        )
        for array in shared:
            array.flags.writeable = False
        return Plan(
            together(numbers.astype(np.intp)),
            rows,
            group,
            self.members[int(numbers[0])].layout.places(group.model),
            together(self._row[numbers]),
            flat,
            back,
            longest_ns(group.model.detector.period_s),
            *shared,
        )

    def _find_late(self, block: RowBlock, order: Rows, late: Flags) -> None:
        """Find also the rows that are not newer than one before them in the block; `order` sorts it by asset."""
        same = block.asset[order][1:] == block.asset[order][:-1]
        if (same & (np.diff(block.t[order]) <= 0)).any():
            newest = self.last.copy()
            for row, (number, t) in enumerate(zip(block.asset.tolist(), block.t.tolist(), strict=True)):
                late[row] = t <= newest[number]
                newest[number] = max(newest[number], t)

    def _not_scored(self, block: RowBlock, rows: Rows, scored: Scored) -> None:
        fresh = self._fresh[block.asset[rows]]
        for row in rows[fresh].tolist():
            number = int(block.asset[row])
            if self._fresh[number]:
                self._begin(number, int(block.t[row]), "model", scored)

    def _begin(self, number: int, t: int, reason: str, scored: Scored, period: int = 0, elapsed: int = 1) -> None:
        """Note that an asset begins anew with a row (its number); its open episode ends with the last row scored."""
        member = self.members[number]
        if reason == "model" and not member.begun:
            reason = "first"
        member.begun = True
        offset = None
        if reason == "gap" and member.model is not None:
            group, at = self._listed[int(self._group[number])], int(self._row[number])
            offset = group.lasting(at)
            self._trend.pop(number, None)
            alarmed = member.tracker is not None and member.tracker.alarmed
            again = member.goes_on and bool(self._cold[number])  # another gap before there was a score
            if (alarmed or again) and (content := group.trend(at)):
                self._trend[number] = Trend(elapsed, content)
        elif reason != "clock":
            offset = self._offset.get(number)
        trend = self._trend[number].packed() if number in self._trend and reason != "clock" else None
        self.runs.append(Run(member.asset.id, t, member.model.id if member.model else None, reason, offset, trend))
        member.goes_on = trend is not None
        self._fresh[number], self._cold[number] = False, True
        if member.tracker is not None:
            scored.changes.append(Change("closed", member.tracker.episode(member.tracker.last)))
            member.tracker = None
            self._open[number] = False
        told = member.spikes.failures if member.spikes is not None and reason != "clock" else {}
        if any(each.last >= period for each in told.values()):  # the clock ran backwards as well
            told = {}
        member.spikes = Spikes(told) if told else None

    def _score_group(self, group: Group, block: RowBlock, rows: Rows, single: bool, scored: Scored) -> None:
        group.grow()
        model = group.model
        scored.limit[rows] = model.detector.limit
        clocked = self._clocked[block.asset[rows]]
        if not clocked.any():
            self._score_selected(
                group, block, *self._by_time(block, rows, model.detector.period_s, single), single, scored
            )
            return
        if not clocked.all():
            plain = self._by_time(block, rows[~clocked], model.detector.period_s, single)
            self._score_selected(group, block, *plain, single, scored)
            rows = rows[clocked]
        numbers = block.asset[rows]
        was_open = self._open[numbers]  # those of sensors without an alarm too
        for number in set(numbers[was_open].tolist()):
            tracker = self.members[number].tracker
            was_open[numbers == number] = tracker is not None and tracker.alarmed
        counted, begins, elapsed = self._by_clock(block, rows, model.detector.period_s)
        self._glimpse(group, block, rows, counted, begins)
        if len(counted):
            self._score_selected(group, block, counted, begins, elapsed, single, scored)
            self._glimpsed.clear()
        if len(counted) < len(rows):  # between the rows that count an episode stays on
            first = np.append(True, numbers[1:] != numbers[:-1])
            known = np.isin(rows, counted)
            on = np.where(known, scored.alarm[rows], was_open)
            at = np.maximum.accumulate(np.where(known | first, np.arange(len(rows)), 0))
            scored.alarm[rows] = on[at]

    def _score_selected(
        self,
        group: Group,
        block: RowBlock,
        rows: Rows,
        begins: Reasons,
        elapsed: Elapsed | None,
        single: bool,
        scored: Scored,
    ) -> None:
        """Score rows that are sorted by asset, as many together as have the same number of rows."""

        def score(at: Rows, begin: Reasons) -> None:
            """Score some of them (A, T)."""
            self._score_rows(group, block, rows[at], begin, None if elapsed is None else elapsed[at], scored)

        if single:
            for first in range(0, len(rows), CACHED):
                some = np.arange(first, min(first + CACHED, len(rows)))
                score(some[:, None], begins[some])
            return
        numbers = block.asset[rows]
        firsts = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))
        inner = begins > 0
        inner[firsts] = False
        cuts = np.flatnonzero(inner)  # an asset that begins anew in the middle is cut there
        firsts = np.union1d(firsts, cuts)
        counts = np.diff(np.append(firsts, len(rows)))
        alone = np.isin(numbers[firsts], numbers[cuts])
        for count in np.unique(counts[~alone]).tolist():
            starts = firsts[~alone & (counts == count)]
            score(starts[:, None] + np.arange(count), begins[starts])
        for start, count in zip(firsts[alone].tolist(), counts[alone].tolist(), strict=True):
            score(start + np.arange(count)[None], begins[start : start + 1])

    def _by_time(
        self, block: RowBlock, rows: Rows, period_s: float, single: bool
    ) -> tuple[Rows, Reasons, Elapsed | None]:
        """Rows sorted by asset (`single`: one of each), all of which count; which of them begin anew, and why.

        And how many periods each comes after the one before; None for one, everywhere.
        """
        numbers, t = block.asset[rows], block.t[rows]
        before, fresh = self.last[numbers], self._fresh[numbers]
        if not single:
            first = np.append(True, numbers[1:] != numbers[:-1])
            before, fresh = np.where(first, before, np.append(0, t[:-1])), first & fresh
        longest = longest_ns(period_s)
        begins = np.zeros(len(rows), dtype=np.int8)
        if not (before + longest >= t).all() or fresh.any():
            begins[(before != NEVER) & (t - np.maximum(before, 0) > longest)] = GAP
            begins[fresh] = NEW_MODEL
        since = np.where(fresh | (before == NEVER), 0, t - before)
        return rows, begins, periods_between(since, t, period_s)

    def _by_clock(self, block: RowBlock, rows: Rows, period_s: float) -> tuple[Rows, Reasons, Elapsed | None]:
        """The same of the first row in each period of the asset's clock."""
        column = self._clock_at[block.asset[rows]]
        clock = np.where(is_bad(block.q[rows, column]), np.nan, block.v[rows, column])
        told = np.abs(clock) < COUNTED * period_s
        rows, clock = rows[told], clock[told]
        numbers = block.asset[rows]
        first = np.append(True, numbers[1:] != numbers[:-1])[: len(rows)]
        before = np.where(first, self._clock[numbers], np.append(0.0, clock[:-1])[: len(rows)])
        slot, slot_before = slots(clock, period_s), slots(before, period_s)
        begins = np.zeros(len(rows), dtype=np.int8)
        begins[slot - slot_before > GAP_PERIODS] = GAP
        begins[clock < before] = CLOCK_BACK
        begins[first & self._fresh[numbers]] = NEW_MODEL
        taken = (begins > 0) | (slot != slot_before)
        since = np.where(np.isnan(slot_before), 0.0, slot - slot_before)
        if self._due or begins.any():
            follows = (slot > slot_before) & (slot - slot_before <= GAP_PERIODS)
            multiple = (clock + HAIR_S) % period_s <= 0.01 * period_s
            self._settle(numbers, follows | multiple, first, begins, taken, since)
        last = np.append(first[1:], True)[: len(rows)]
        self._clock[numbers[last]] = clock[last]
        return rows[taken], begins[taken], whole(since[taken])

    def _glimpse(self, group: Group, block: RowBlock, rows: Rows, counted: Rows, begins: Reasons) -> None:
        """Look for spikes in rows that do not count, of rows sorted by asset of which some do, and some begin anew."""
        if len(counted) == len(rows) and not any(self.members[at].between for at in set(block.asset[rows].tolist())):
            return
        numbers = block.asset[rows]
        counts, anew = np.isin(rows, counted), np.isin(rows, counted[begins > 0])
        cuts = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]) | anew)
        places = self.members[int(numbers[0])].layout.places(group.model)  # in the same columns for all
        x = values_seen(block, rows, (len(rows),), places)[2]  # beyond the measuring range too, as in rows that count
        for first, last in zip(cuts.tolist(), [*cuts[1:].tolist(), len(rows)], strict=True):
            member = self.members[int(numbers[first])]
            if anew[first]:
                member.between = None
            if member.between is None:
                first += int(np.argmin(counts[first:last]))  # those before it are not there where a block ends at it
                if counts[first]:
                    continue
                member.between = Between(len(group.model.detector.sensors))
            some, measured = slice(first, last), member.layout.places(group.model).measured
            for row, sensors in member.between.take(group, x[some], counts[some], measured).items():
                self._glimpsed[int(rows[first + row])] = sensors

    def _settle(
        self,
        numbers: NDArray[np.int32],
        on_time: Flags,
        first: Flags,
        begins: Reasons,
        taken: Flags,
        since: Floats,
    ) -> None:
        """Let assets begin with the first row of a period: one in its middle would be as if time had jumped.

        Changes `begins`, `taken` and `since`.

        Args:
            numbers: (M,) of the assets, sorted.
            on_time: (M,) rows known to be the first of a period, being on a multiple of it or after a row of another.
            first: (M,) first rows of the assets.
            begins: (M,) which begin anew, and why.
            taken: (M,) which count.
            since: (M,) periods since the row before.
        """
        concerned = np.union1d(numbers[begins > 0], np.fromiter(self._due, dtype=np.int32, count=len(self._due)))
        for row in np.flatnonzero(taken & np.isin(numbers, concerned)).tolist():
            number, reason = int(numbers[row]), int(begins[row])
            reasons = {reason, self._due.get(number, 0)} - {0}
            if reason and not on_time[row] and not (first[row] and number in self._sure):
                self._due[number] = min(reasons)
                begins[row], taken[row] = 0, False
                self._waited[number] = self._waited.get(number, 0) + int(since[row])
                continue
            if self._due.pop(number, None) is not None:
                begins[row] = min(reasons)
            since[row] += self._waited.pop(number, 0)
            if begins[row]:
                self._sure.discard(number)

    def _score_rows(
        self, group: Group, block: RowBlock, rows: Rows, begins: Reasons, elapsed: Elapsed | None, scored: Scored
    ) -> None:
        """Score rows (A, T) of A assets; `begins` (A,) says which begin anew at their first one."""
        numbers = block.asset[rows[:, 0]]
        at = self._row[numbers]
        if begins.any():
            anew = np.flatnonzero(begins)
            for row in anew.tolist():
                reason = REASONS[begins[row]]
                number, first = int(numbers[row]), rows[row, :1]
                period = self._periods(number, block, first, group.model.detector.period_s)[0]
                since = 1 if elapsed is None else int(elapsed[row, 0])
                self._begin(number, int(block.t[first[0]]), reason, scored, period, since)
            group.reset(at[anew], begins[anew] == GAP)
            if self._offset:
                for row in anew.tolist():
                    content = self._offset.pop(int(numbers[row]), None)
                    if content is not None and begins[row] == NEW_MODEL:
                        group.put_lasting(int(at[row]), content)
            for row in anew.tolist() if self._trend else ():
                trend = self._trend.pop(int(numbers[row]), None)
                if trend is None or begins[row] == CLOCK_BACK:
                    continue
                if group.put_trend(int(at[row]), trend.content):
                    elapsed = np.ones(rows.shape, dtype=np.int16) if elapsed is None else elapsed
                    elapsed[row, 0] = trend.elapsed
        places = self.members[int(numbers[0])].layout.places(group.model)  # in the same columns for all
        flat = together(rows.ravel())
        values = values_seen(block, flat, rows.shape, places)
        seen = group.look(together(at), *values, self._read(group, numbers, *values), elapsed)
        result = seen.result
        scored.score[flat] = result.score.ravel()
        scored.alarm[flat] = result.alarm.ravel()
        contributions = result.contributions.reshape(rows.size, -1)
        scored.contributions[flat] = places.spread(contributions, block.v.shape[1])
        if new := [name for name in result.statistics if name not in scored.statistics]:
            scored.statistics.update(zip(new, nothing(len(new), len(scored.score)), strict=True))
        for name, chart in result.statistics.items():
            scored.statistics[name][flat] = chart.ravel()
        self._cold[numbers] &= ~np.isfinite(result.score).any(axis=1)
        self._tell(group, block, rows, seen, elapsed, scored)

    def _read(
        self, group: Group, numbers: NDArray[np.int32], x: Floats, over: Flags | None, shown: Floats
    ) -> Floats | None:
        """What assets' sensors read (A, T, S), a little beyond their range too, from `values_seen`; None: nothing is.

        What the process drives out of the range has not stopped on its way to a limit there.
        """
        if over is None:
            return None
        read = x.copy()
        for asset in np.flatnonzero(over.any(axis=(1, 2))).tolist():
            own = self.members[int(numbers[asset])].layout.places(group.model)
            measured = over[asset] & (shown[asset] >= own.bottom) & (shown[asset] <= own.top) & np.isfinite(own.top)
            np.copyto(read[asset], shown[asset], where=measured)
        return read

    def _tell(
        self, group: Group, block: RowBlock, rows: Rows, seen: Seen, elapsed: Elapsed | None, scored: Scored
    ) -> None:
        """What there is to say of rows (A, T) in alarm, and of their episodes."""
        numbers, result = block.asset[rows[:, 0]], seen.result
        busy = result.alarm.any(axis=1) | self._open[numbers]
        if seen.dull is not None:
            busy |= seen.dull.any(axis=1)
        if seen.over is not None:
            busy |= seen.over.any(axis=(1, 2))
        glimpsed: dict[int, dict[int, list[int]]] = {}
        if self._glimpsed:
            for asset, row in np.argwhere(np.isin(rows, list(self._glimpsed))).tolist():
                glimpsed.setdefault(asset, {})[row] = self._glimpsed[int(rows[asset, row])]
        moved = self._remember(group, block, rows, seen, busy, glimpsed)
        for asset in np.flatnonzero(busy).tolist():
            number, raw = int(numbers[asset]), None
            member = self.members[number]
            own = member.layout.places(group.model)  # with its measuring ranges
            if own.ranged:
                raw = np.full(seen.x[asset].shape, np.nan)
                raw[:, own.known] = block.v[rows[asset]][:, own.columns]
            over = None if seen.over is None else seen.over[asset]
            spiked = None if seen.spiked is None else seen.spiked[asset]
            ill = group.ill(own, seen.x[asset], seen.same[asset], over, spiked, raw)
            if ill is not None:
                ill.lasting[slice(None) if seen.dull is None else ~seen.dull[asset]] = False
            stretch = Stretch(
                asset=asset,
                t=block.t[rows[asset]].tolist(),
                values=seen.shown[asset],
                prior=group.before[self._row[number]] if seen.prior is None else seen.prior[asset],
                shift=group.shift(int(self._row[number])),
                periods=self._periods(number, block, rows[asset], group.model.detector.period_s),
                elapsed=[1] * rows.shape[1] if elapsed is None else elapsed[asset].tolist(),
                ill=ill,
                over=over,
                spiked=None if moved.spiked is None else moved.spiked[asset],
                left=moved.left.get(asset, {}),
                glimpsed=glimpsed.get(asset, {}),
            )
            watch = partial(self._watch, rows[asset])
            scored.changes.extend(follow(member, group, result, stretch, partial(self.library, number), watch))
            self._open[number] = member.tracker is not None

    def _watch(self, rows: Rows, tracker: Tracker, row: int) -> None:
        self.watch(tracker, int(rows[row]))

    def _remember(
        self,
        group: Group,
        block: RowBlock,
        rows: Rows,
        seen: Seen,
        busy: Flags | None,
        glimpsed: Mapping[int, dict[int, list[int]]] = MappingProxyType({}),
    ) -> Moved:
        """What to remember of rows (A, T) of assets, of which some are `busy` (A,)."""

        def member(asset: int) -> Member:
            return self.members[int(block.asset[rows[asset, 0]])]

        def periods(asset: int, which: Sequence[int]) -> list[int]:
            number = int(block.asset[rows[asset, 0]])
            return self._periods(number, block, rows[asset, which], group.model.detector.period_s)

        return remember(member, group, seen, busy, periods, glimpsed)

    def failures(self, number: int) -> list[tuple[str, str, Failures]]:
        """Which sensors of an asset failed, how and how often, since it began with its model; rows by their periods."""
        member = self.members[number]
        if member.model is None or member.spikes is None:
            return []
        sensors = member.model.detector.sensors
        failures = member.spikes.failures.items()
        return [(sensors[at], FAULTS[fault], told) for (at, fault), told in failures if told.known]

    def instruments(self, number: int) -> list[Finding]:
        """The same, by how long ago it was; the last ones first."""
        found = self.failures(number)
        if not found or (model := self.members[number].model) is None:
            return []
        period_s = model.detector.period_s
        seconds = self._clock[number] if self._clocked[number] else self.last[number] / 1e9
        now = int(period_numbers(np.array([seconds]), period_s)[0])
        if any(each.last > now for _, _, each in found):  # the clock ran backwards: it begins anew soon
            return []
        told = [
            Finding(sensor, fault, each.times, (now - each.first) * period_s, (now - each.last) * period_s)
            for sensor, fault, each in found
        ]
        return sorted(told, key=lambda each: (each.ago_s, -each.times, each.sensor))

    def _periods(self, number: int, block: RowBlock, rows: Rows, period_s: float) -> list[int]:
        """Numbers of an asset's rows, in periods of its clock."""
        seconds = block.v[rows, self._clock_at[number]] if self._clocked[number] else block.t[rows] / 1e9
        periods: list[int] = period_numbers(seconds, period_s).tolist()
        return periods

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def dump(self, numbers: Sequence[int]) -> list[tuple[dict[str, Any], bytes]]:
        """The state of assets that are scored: plain JSON and the arrays' bytes."""
        packed: dict[int, tuple[list[list[Any]], NDArray[np.uint8]]] = {}
        out = []
        for number in numbers:
            index = int(self._group[number])
            if index not in packed:
                packed[index] = self._listed[index].packed()
            shapes, table = packed[index]
            member = self.members[number]
            clock = float(self._clock[number])
            head = {
                "arrays": shapes,
                "clock": None if np.isnan(clock) else clock,
                "fresh": bool(self._fresh[number]),
                "warm": not self._cold[number],
                "begun": member.begun,
                "goes_on": member.goes_on,
                "episode": member.tracker.dump() if member.tracker else None,
                "offset": self._offset[number].hex() if number in self._offset else None,
                "trend": self._trend[number].packed().hex() if number in self._trend else None,
                "due": self._due.get(number),
                "waited": self._waited.get(number),
                "spikes": member.spikes.dump() if member.spikes else None,
                "between": member.between.dump() if member.between else None,
            }
            content = table[self._row[number]].tobytes()
            out.append((head, content + member.between.rows.tobytes() if member.between else content))
        return out

    def restore(
        self,
        number: int,
        model: Model,
        t: int,
        head: Mapping[str, Any],
        content: bytes,
        library: Callable[[str], Known | None] = lambda id: None,
    ) -> None:
        """Go on where `dump` stood after the row at time `t`; `library` finds one by its id.

        Raises:
            KeyError, ValueError: the snapshot is not one of this model.
        """
        arrays = unpacked(model, head["arrays"], content)
        member, tracker = self.members[number], None
        if head["episode"] is not None:
            tracker = Tracker.restore(member.asset.id, head["episode"])
            if tracker.library is not None:
                tracker.know(library(tracker.library))
        spikes = None if head["spikes"] is None else Spikes.restore(head["spikes"])
        between = None
        if head["between"] is not None:
            rest = content[sum(array.nbytes for array in arrays.values()) :]
            between = Between.restore(head["between"], rest, len(model.detector.sensors))
        # all of it is whole: from here on the asset is changed
        self.use(number, model)
        group = self._listed[int(self._group[number])]
        group.grow()
        group.put(int(self._row[number]), arrays)
        member.begun, member.tracker, member.spikes, member.between = head["begun"], tracker, spikes, between
        member.goes_on = head["goes_on"]
        self.last[number] = t
        self._clock[number] = np.nan if head["clock"] is None else head["clock"]
        self._fresh[number], self._cold[number] = head["fresh"], not head["warm"]
        if head["offset"] is not None:
            self._offset[number] = bytes.fromhex(head["offset"])
        if head["trend"] is not None:
            self._trend[number] = Trend.unpacked(bytes.fromhex(head["trend"]))
        if head["due"] is not None:
            self._due[number] = head["due"]
        if head["waited"] is not None:
            self._waited[number] = head["waited"]
        self._open[number] = member.tracker is not None


def _telling(channel: Channel) -> tuple[object, ...]:
    """What scoring and learning look at: assets alike in it share a layout."""
    limits = None if channel.limits is None else msgspec.structs.astuple(channel.limits)
    return channel.tag, channel.role, channel.lo, channel.hi, limits, channel.controlled
