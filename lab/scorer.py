"""Scoring many assets with the models they use: which rows count, what a model sees of them, where a run begins anew.

It knows no files, no database and no wall clock; `lab.scoring` gives it those, `lab score` uses it as it is. All assets
of one model are scored in one array operation.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.frame import Asset, Channel
from devices.quality import is_bad
from lab.episodes import Change, Tracker
from lab.groups import Group, Layout
from models.detector import Model, Result

GAP_PERIODS: Final = 5
"""After a jump of more periods the lags mean nothing: the warm-up begins again."""
GAP_NS: Final = 5 * 10**9
"""A shorter jump is never one (a gateway that reads late)."""
NEVER: Final = np.iinfo(np.int64).min

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]


class RowBlock(NamedTuple):
    """`M` rows of assets that share one list of `C` channels; the rows of an asset in the order of time."""

    asset: NDArray[np.int32]
    """(M,) numbers from `declare`."""
    t: Times
    """(M,) UTC nanoseconds."""
    v: Floats
    """(M, C); NaN is no value."""
    q: NDArray[np.uint8]
    """(M, C) `devices.quality` codes."""

    def pick(self, rows: slice | Rows) -> "RowBlock":
        """Some of the rows."""
        return RowBlock(self.asset[rows], self.t[rows], self.v[rows], self.q[rows])


class Scored(NamedTuple):
    """What came of a block, row by row."""

    score: Floats
    """(M,); NaN where a row was not scored: no model, warming up, or not the first of its period."""
    alarm: Flags
    """(M,) whether an episode is on."""
    warm: Flags
    """(M,) whether the asset has had a score since it began."""
    late: Flags
    """(M,) rows not newer than one taken before: never scored."""
    limit: Floats
    """(M,) of the row's model; NaN without one."""
    contributions: Floats
    """(M, C) shares of the score in the block's columns, 0 where there are none."""
    statistics: dict[str, Floats]
    """(M,) each: the charts behind the score, in limits; NaN where not scored."""
    changes: list[Change]
    """Episodes opened, updated and closed, in order."""
    earlier: "Sequence[tuple[RowBlock, Scored]]" = ()
    """Rows that had waited for their model, with what came of them."""


class Run(NamedTuple):
    """From this row on an asset is scored with a fresh state."""

    asset: str
    t: int
    model: str | None
    """None: from here on it is not scored."""
    reason: str
    """first, model, clock (it ran backwards), gap."""


class Member:
    """An asset as the scorer knows it."""

    def __init__(self, asset: Asset, layout: Layout) -> None:
        self.asset = asset
        self.layout = layout
        self.model: Model | None = None
        self.tracker: Tracker | None = None


class Scorer:
    """Scores blocks of rows; everything it does follows from the rows and the calls of `use`."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.runs: list[Run] = []
        """Beginnings since the list was last emptied (by its reader)."""
        self._numbers: dict[str, int] = {}
        self._layouts: dict[tuple[tuple[str, str], ...], Layout] = {}
        self._groups: dict[str, int] = {}
        self._listed: list[Group] = []
        self._group: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._row: Rows = np.zeros(0, dtype=np.intp)
        self.last: Times = np.zeros(0, dtype=np.int64)
        """By number: time of the newest row taken, `NEVER` before the first."""
        self._clock_at: Rows = np.zeros(0, dtype=np.intp)
        self._clock: Floats = np.zeros(0)
        self._fresh: Flags = np.zeros(0, dtype=np.bool_)
        self._warm: Flags = np.zeros(0, dtype=np.bool_)
        self._open: Flags = np.zeros(0, dtype=np.bool_)

    # -- who is scored, with what -------------------------------------------------------------------------------------

    def declare(self, asset: Asset, channels: Sequence[Channel]) -> int:
        """Enter an asset, or what it is now; returns its number, the same one every time."""
        key = tuple((channel.tag, channel.role) for channel in channels)
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
            if member.asset.clock != asset.clock:
                self._fresh[number] = member.model is not None
            member.asset, member.layout = asset, layout
        self._clock_at[number] = layout.column.get(asset.clock, -1) if asset.clock else -1
        return number

    def _extend(self, more: int) -> None:
        self._group = np.concatenate([self._group, np.full(more, -1, dtype=np.int32)])
        self._row = np.concatenate([self._row, np.zeros(more, dtype=np.intp)])
        self.last = np.concatenate([self.last, np.full(more, NEVER)])
        self._clock_at = np.concatenate([self._clock_at, np.full(more, -1, dtype=np.intp)])
        self._clock = np.concatenate([self._clock, np.full(more, np.nan)])
        self._fresh, self._warm, self._open = (
            np.concatenate([flags, np.zeros(more, dtype=np.bool_)]) for flags in (self._fresh, self._warm, self._open)
        )

    def use(self, number: int, model: Model | None) -> None:
        """Score an asset with this model from its next row on (None: not any more)."""
        member = self.members[number]
        if (member.model.id if member.model else None) == (model.id if model else None):
            return
        self._leave(number)
        member.model = model
        self._fresh[number] = True
        if model is not None:
            self._join(number, model)

    def _join(self, number: int, model: Model) -> None:
        index = self._groups.get(model.id)
        if index is None:
            index = self._groups[model.id] = len(self._listed)
            self._listed.append(Group(model))
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
            self._listed[index].free.append(int(self._row[number]))
            self._group[number] = -1

    def fits(self, number: int, model: Model) -> bool:
        """Whether the asset has at least half of the sensors that the model wants."""
        return 2 * len(self.members[number].layout.columns(model)[0]) >= len(model.detector.sensors)

    def episode(self, number: int) -> str | None:
        """Id of the asset's open episode."""
        tracker = self.members[number].tracker
        return tracker.id if tracker else None

    def warm(self, number: int) -> bool:
        """Whether the asset has had a score since it began."""
        return bool(self._warm[number])

    def scored(self) -> list[int]:
        """Numbers of the assets that have a model and rows."""
        numbers: list[int] = np.flatnonzero((self._group >= 0) & (self.last != NEVER)).tolist()
        return numbers

    # -- rows ---------------------------------------------------------------------------------------------------------

    def ingest(self, block: RowBlock) -> Scored:
        """Score a block of rows."""
        count, width = block.v.shape
        scored = Scored(
            score=np.full(count, np.nan),
            alarm=np.zeros(count, dtype=np.bool_),
            warm=np.zeros(count, dtype=np.bool_),
            late=self._late(block),
            limit=np.full(count, np.nan),
            contributions=np.zeros((count, width)),
            statistics={},
            changes=[],
        )
        if count == 0:
            return scored
        good = ~scored.late
        everyone = bool(good.all())
        groups = self._group[block.asset]
        for index in np.unique(groups if everyone else groups[good]).tolist():
            of_group = groups == index
            rows = np.flatnonzero(of_group if everyone else of_group & good)
            if index >= 0:
                self._score_group(self._listed[index], block, rows, scored)
            else:
                self._not_scored(block, rows, scored)
        scored.warm[:] = self._warm[block.asset] & good
        np.maximum.at(self.last, block.asset[good], block.t[good])
        return scored

    def _late(self, block: RowBlock) -> Flags:
        late: Flags = block.t <= self.last[block.asset]
        if len(np.unique(block.asset)) < len(block.asset):
            order = np.argsort(block.asset, kind="stable")
            same = block.asset[order][1:] == block.asset[order][:-1]
            if (same & (np.diff(block.t[order]) <= 0)).any():
                newest = self.last.copy()
                for row, (number, t) in enumerate(zip(block.asset.tolist(), block.t.tolist(), strict=True)):
                    late[row] = t <= newest[number]
                    newest[number] = max(newest[number], t)
        return late

    def _not_scored(self, block: RowBlock, rows: Rows, scored: Scored) -> None:
        fresh = self._fresh[block.asset[rows]]
        for row in rows[fresh].tolist():
            number = int(block.asset[row])
            if self._fresh[number]:
                self._begin(number, int(block.t[row]), "model", scored)

    def _begin(self, number: int, t: int, reason: str, scored: Scored) -> None:
        """Note that an asset begins anew; its open episode ends with the last row scored."""
        member = self.members[number]
        if reason == "model" and self.last[number] == NEVER:
            reason = "first"
        self.runs.append(Run(member.asset.id, t, member.model.id if member.model else None, reason))
        self._fresh[number] = self._warm[number] = False
        if member.tracker is not None:
            scored.changes.append(Change("closed", member.tracker.episode(member.tracker.last)))
            member.tracker = None
            self._open[number] = False

    def _score_group(self, group: Group, block: RowBlock, rows: Rows, scored: Scored) -> None:
        group.grow()
        model = group.model
        scored.limit[rows] = model.detector.limit
        numbers = block.asset[rows]
        order = np.argsort(numbers, kind="stable")
        every = rows[order]
        was_open = self._open[block.asset[every]]
        clocked = self._clock_at[block.asset[every]] >= 0
        if not clocked.any():
            self._score_selected(group, block, *self._by_time(block, every, model.detector.period_s), scored)
            return
        if not clocked.all():
            plain = every[~clocked]
            self._score_selected(group, block, *self._by_time(block, plain, model.detector.period_s), scored)
            every, was_open = every[clocked], was_open[clocked]
        rows, restart, why = self._by_clock(block, every, model.detector.period_s)
        if len(rows):
            self._score_selected(group, block, rows, restart, why, scored)
        if len(rows) < len(every):  # between the rows that count an episode stays on
            numbers = block.asset[every]
            begins = np.concatenate([[True], numbers[1:] != numbers[:-1]])
            known = np.isin(every, rows)
            on = np.where(known, scored.alarm[every], was_open)
            at = np.maximum.accumulate(np.where(known | begins, np.arange(len(every)), 0))
            scored.alarm[every] = on[at]

    def _score_selected(
        self, group: Group, block: RowBlock, rows: Rows, restart: Flags, why: NDArray[np.str_], scored: Scored
    ) -> None:
        """Score rows that are sorted by asset, as many together as have the same number of rows."""
        numbers = block.asset[rows]
        firsts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
        counts = np.diff(np.append(firsts, len(rows)))
        inner = restart.copy()
        inner[firsts] = False
        if inner.any():  # an asset that begins anew in the middle is cut there
            cuts = np.flatnonzero(inner)
            firsts = np.sort(np.concatenate([firsts, cuts]))
            counts = np.diff(np.append(firsts, len(rows)))
            alone = np.isin(numbers[firsts], numbers[cuts])
        else:
            alone = np.zeros(len(firsts), dtype=np.bool_)
        for count in np.unique(counts[~alone]).tolist():
            starts = firsts[~alone & (counts == count)]
            self._score_rows(
                group, block, rows[starts[:, None] + np.arange(count)], restart[starts], why[starts], scored
            )
        for start, count in zip(firsts[alone].tolist(), counts[alone].tolist(), strict=True):
            piece = slice(start, start + 1)
            self._score_rows(group, block, rows[None, start : start + count], restart[piece], why[piece], scored)

    def _by_time(self, block: RowBlock, rows: Rows, period_s: float) -> tuple[Rows, Flags, NDArray[np.str_]]:
        """Rows sorted by asset, all of which count; which of them begin anew, and why."""
        numbers, t = block.asset[rows], block.t[rows]
        before, fresh = self.last[numbers], self._fresh[numbers]
        first = np.append(True, numbers[1:] != numbers[:-1])
        if not first.all():
            before = np.where(first, before, np.append(0, t[:-1]))
            fresh &= first
        longest = max(GAP_NS, int(GAP_PERIODS * period_s * 1e9))
        gap = (before != NEVER) & (t - np.maximum(before, 0) > longest)
        return rows, fresh | gap, np.where(fresh, "model", "gap")

    def _by_clock(self, block: RowBlock, rows: Rows, period_s: float) -> tuple[Rows, Flags, NDArray[np.str_]]:
        """Of rows sorted by asset the first in each period of the asset's clock; which begin anew, and why."""
        column = self._clock_at[block.asset[rows]]
        clock = np.where(is_bad(block.q[rows, column]), np.nan, block.v[rows, column])
        told = ~np.isnan(clock)
        rows, clock = rows[told], clock[told]
        numbers = block.asset[rows]
        first = np.append(True, numbers[1:] != numbers[:-1])[: len(rows)]
        before = np.where(first, self._clock[numbers], np.append(0.0, clock[:-1])[: len(rows)])
        slot = np.floor((clock + 1e-6) / period_s)  # a clock is a sum of steps, at times a hair below the full period
        slot_before = np.floor((before + 1e-6) / period_s)
        fresh = first & self._fresh[numbers]
        back = clock < before
        restart = fresh | back | (slot - slot_before > GAP_PERIODS)
        taken = restart | (slot != slot_before)
        last = np.append(first[1:], True)[: len(rows)]
        self._clock[numbers[last]] = clock[last]
        why = np.where(fresh, "model", np.where(back, "clock", "gap"))
        return rows[taken], restart[taken], why[taken]

    def _score_rows(
        self, group: Group, block: RowBlock, rows: Rows, restart: Flags, why: NDArray[np.str_], scored: Scored
    ) -> None:
        """Score rows (A, T) of A assets; `restart` (A,) says which begin anew at their first one."""
        numbers = block.asset[rows[:, 0]]
        places = self._row[numbers]
        if restart.any():
            for at in np.flatnonzero(restart).tolist():
                self._begin(int(numbers[at]), int(block.t[rows[at, 0]]), str(why[at]), scored)
            group.reset(places[restart])
        detector = group.model.detector
        known, columns = self.members[int(numbers[0])].layout.columns(group.model)
        v = block.v[rows[..., None], columns]
        v = np.where(is_bad(block.q[rows[..., None], columns]) | ~np.isfinite(v), np.nan, v)
        if len(known) == len(detector.sensors):
            x = v
        else:
            x = np.full((*rows.shape, len(detector.sensors)), np.nan)
            x[..., known] = v
        same = group.unchanged(places, x)
        result = group.score(places, x)
        flat = rows.ravel()
        scored.score[flat] = result.score.ravel()
        scored.alarm[flat] = result.alarm.ravel()
        scored.contributions[flat[:, None], columns] = result.contributions[..., known].reshape(len(flat), -1)
        for name, chart in result.statistics.items():
            if name not in scored.statistics:
                scored.statistics[name] = np.full(len(scored.score), np.nan)
            scored.statistics[name][flat] = chart.ravel()
        self._warm[numbers] |= np.isfinite(result.score).any(axis=1)
        busy = result.alarm.any(axis=1) | self._open[numbers]
        for at in np.flatnonzero(busy).tolist():
            part = Result(result.score[at], result.alarm[at], result.contributions[at], {})
            frozen = same[at] > group.frozen
            # a plant that stops freezes all its sensors, and that is no instrument's fault
            frozen &= frozen.sum(axis=1, keepdims=True) <= frozen.shape[1] // 2
            self._follow(int(numbers[at]), block.t[rows[at]], part, frozen | np.isnan(x[at]), scored)

    def _follow(self, number: int, times: Times, result: Result, ill: Flags, scored: Scored) -> None:
        """Open, feed and close an asset's episode along its rows (T,)."""
        member = self.members[number]
        assert member.model is not None
        for row, t in enumerate(times.tolist()):
            tracker = member.tracker
            if result.alarm[row]:
                if tracker is None:
                    sensors = member.model.detector.sensors
                    tracker = member.tracker = Tracker(member.asset.id, member.model.id, t, sensors)
                if np.isfinite(result.score[row]):
                    tracker.add(t, float(result.score[row]), result.contributions[row], ill[row])
            elif tracker is not None:
                if tracker.told is None:
                    scored.changes.append(Change("opened", tracker.episode()))
                scored.changes.append(Change("closed", tracker.episode(t)))
                member.tracker = None
        self._open[number] = member.tracker is not None
        if member.tracker is not None and (change := member.tracker.update()):
            scored.changes.append(change)

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def dump(self, numbers: Sequence[int]) -> list[tuple[dict[str, Any], bytes]]:
        """The state of assets that are scored: plain JSON and the arrays' bytes."""
        packed: dict[int, tuple[list[list[Any]], NDArray[np.uint8]]] = {}
        out = []
        for number in numbers:
            index = int(self._group[number])
            if index not in packed:
                group = self._listed[index]
                group.grow()
                arrays = {**group.state, "~last": group.last, "~same": group.same}
                shapes = [[name, array.dtype.str, list(array.shape[1:])] for name, array in arrays.items()]
                rows = [
                    np.ascontiguousarray(array).reshape(len(group.last), -1).view(np.uint8) for array in arrays.values()
                ]
                packed[index] = shapes, np.concatenate(rows, axis=1)
            shapes, table = packed[index]
            member = self.members[number]
            clock = float(self._clock[number])
            head = {
                "arrays": shapes,
                "clock": None if np.isnan(clock) else clock,
                "fresh": bool(self._fresh[number]),
                "warm": bool(self._warm[number]),
                "episode": member.tracker.dump() if member.tracker else None,
            }
            out.append((head, table[self._row[number]].tobytes()))
        return out

    def restore(self, number: int, model: Model, t: int, head: Mapping[str, Any], content: bytes) -> None:
        """Go on where `dump` stood after the row at time `t`.

        Raises:
            KeyError, ValueError: the snapshot is not one of this model.
        """
        state = model.detector.initial(1)
        width = len(model.detector.sensors)
        wanted = {**state, "~last": np.zeros((1, width)), "~same": np.zeros((1, width), dtype=np.int64)}
        arrays, start = {}, 0
        for name, dtype, shape in head["arrays"]:
            size = np.dtype(dtype).itemsize * int(np.prod(shape))
            arrays[name] = np.frombuffer(content[start : start + size], dtype=dtype).reshape(shape)
            start += size
        if {name: (array.dtype.str, array.shape) for name, array in arrays.items()} != {
            name: (array.dtype.str, array.shape[1:]) for name, array in wanted.items()
        }:
            raise ValueError("a snapshot of another model")
        self.use(number, model)
        group = self._listed[int(self._group[number])]
        group.grow()
        group.own()
        row = self._row[number]
        group.last[row], group.same[row] = arrays.pop("~last"), arrays.pop("~same")
        for name, array in arrays.items():
            group.state[name][row] = array
        member = self.members[number]
        self.last[number] = t
        self._clock[number] = np.nan if head["clock"] is None else head["clock"]
        self._fresh[number], self._warm[number] = head["fresh"], head["warm"]
        if head["episode"] is not None:
            member.tracker = Tracker.restore(member.asset.id, head["episode"])
        self._open[number] = member.tracker is not None
