"""All assets that use one model, a row each in every state array."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.frame import Channel
from models.detector import Model, Result, State

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]
Counts = NDArray[np.int32]
Singles = NDArray[np.float32]
Elapsed = NDArray[np.int16]
"""(A, T) periods since the row before."""

SEEN: Final[Mapping[str, Any]] = {
    "last": np.float64,
    "same": np.int32,
    "before": np.float64,
    "spiked": np.int32,
}
"""What a group keeps of its assets beside the model's state, (A, S) each."""
VIEWS: Final = 64
"""Stretches of assets whose part of the state is kept at hand."""
TINY: Final = float(np.finfo(np.float64).tiny)

FROZEN: Final = 3
"""A sensor is frozen when it repeats one usual value for so many times its longest usual run, and ten rows longer."""
SILENT: Final = 3
"""It is silent when it has no value for so many times its longest usual gap, and as many rows more."""
SPIKE: Final = 0.5
"""A burst, and a spike where the model does not say how far a sensor leaps, leaves the usual values by a jump of at
least so much of their span, and returns; a sensor that never moved has none: there it begins with any."""
LEAP: Final = 1.2
"""A spike stands out from the middle of the two values beside it by so many times the most in the normal record."""
LEAST: Final = 0.25
"""And jumps by at least so much of the span of the usual values."""
RETURN: Final = 0.3
"""It returns when not more than so much of the jump is left."""
PAST: Final = 1.0
"""And has gone past where it came from by no more than so much of it, if among the usual values."""
BACK: Final = 0.5
"""The same of what an episode begins with."""
FAR: Final = 1.5
"""A burst begins with a leap out of the usual values by so many times the usual leap; as large a spike is not noise."""
STEPS: Final = 10
"""One that had a value for more rows than this in normal operation is moved in steps (a set point, a state): where it
goes at once, it has been sent, and it may rest anywhere."""
BURST: Final = 10
"""A burst is at most so many rows long."""
PART: Final = 0.3
"""Beside a sensor that is far outside its usual values others may be by this part of it, as chance has it."""
FAIRLY: Final = 0.5
"""But not by more than this part of their span."""
WHOLE: Final = 1.0
"""Outside its usual values by their whole span a sensor is so far out that it is back wherever among them it lands."""
SHORT: Final = 2
"""And where it is not known that it began with such a leap, so many."""
WITHIN: Final = 0.1
"""Where a burst came from is not always known; then it ends so much of their span within the usual values."""
STANDS_OUT: Final = 20.0
"""Standard deviations by which one wrong reading must stand out to be what an episode began with."""
EXPLAINS: Final = 0.8
"""And so much it must explain of all that is not as foretold, in its row and the next."""
ECHO: Final = 3.0
"""Standard deviations by which a spike must move what another sensor should read, for it to lead because of that."""
NEARLY: Final = 0.25
"""A value beyond the usual ones by less than this part of their span is nearly usual."""
OUTSIDE: Final = 1e6
"""No value is farther outside the usual ones, in spans of these."""
LONGER: Final = 10
"""Rows longer than it takes to know that a sensor is silent it is told without an alarm; so many if out of range."""
ROUNDED: Final = 1e-6
"""Part of a value that single precision, in which an accepted operating point is kept, may be off."""
NEVER: Final = np.iinfo(np.int32).max
SPAN: Final = 3
"""Rows of a spike, the ones before and after it among them."""
SPIKED: Final = 10
"""Rows for which a spike is remembered."""
JUST: Final = 2
"""Rows of a spike that has just ended: its own and the one that showed it."""
BELOW: Final = 0.025
ABOVE: Final = 0.0625
"""Parts of the measuring range beyond its ends from which a signal says that the instrument failed: 3.6 and 21 mA of
4 to 20 mA (NAMUR NE 43). A process drives it to saturation at most."""
ENDS: Final = 0.02
"""Part of the measuring range at its ends where a process can make a signal rest; within, and not at 0, it cannot."""
FAULTS: Final = ("", "frozen", "silent", "spiking", "range", "frozen", "frozen")
"""What can be wrong with an instrument, by the code that stands for it; 0 is nothing."""
IS_FROZEN, IS_SILENT, IS_SPIKING, IS_BEYOND, IS_STUCK, IS_RESTING = range(1, 7)
"""Resting is what is frozen at a value it never had in normal operation, stuck if others contradict it."""
LOST: Final = IS_FROZEN, IS_SILENT, IS_BEYOND
"""Those by which a sensor shows nothing of the plant."""


class NotPossible(ValueError):
    """What a user asks for cannot be done; `code` is that of the text `api.refused.…`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Ill(NamedTuple):
    """What is wrong with the measurements of one asset, (T, S) each."""

    fault: NDArray[np.int8]
    """Position in `FAULTS`."""
    run: Counts
    """For how many rows it has been so."""
    needed: Counts
    """Rows after which that is known."""
    lasting: NDArray[np.bool_]
    """(T, S) it is frozen or silent for so long that it is told without an alarm."""


class Leaps(NamedTuple):
    """Leaps of sensors out of their usual values: where in (A, T, S) of the rows each was shown by the one after it."""

    asset: Rows
    row: Rows
    sensor: Rows
    origin: Floats
    """The values before."""
    top: Floats
    """The values to which they leapt."""


class Seen(NamedTuple):
    """What was seen in the rows of `A` assets, (A, T, S) each: see `Group.ill`."""

    x: Floats
    same: Counts
    over: Flags | None
    shown: Floats
    spiked: Counts | None
    result: Result
    leaps: Leaps | None
    dull: Flags | None
    """(A, T) a few sensors have had no new value for long; None for nowhere."""
    prior: Floats | None
    """(A, S) shown the row before, of several; of one it is in `Group.before`."""


def allowed(far: Floats, part: float = PART, most: float = FAIRLY) -> Floats:
    """How far outside their usual values others may be beside sensors that are `far` outside theirs."""
    return np.asarray(np.clip(part * far, NEARLY, most))


def together(rows: Rows) -> slice | Rows:
    """Positions that stand side by side as a slice, which spares copying."""
    if rows[-1] - rows[0] == len(rows) - 1 and (len(rows) == 1 or bool((rows[1:] > rows[:-1]).all())):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


class Layout:
    """A channel list: where each tag stands, and which may be scored."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.channels = tuple(channels)
        self.column = {channel.tag: at for at, channel in enumerate(channels)}
        self._places: dict[str, Places] = {}

    def scored(self) -> list[str]:
        """Tags that a model may learn from."""
        return [channel.tag for channel in self.channels if channel.role != "status"]

    def places(self, model: Model) -> "Places":
        """Where the model's sensors stand."""
        found = self._places.get(model.id)
        if found is None:
            found = self._places[model.id] = Places(self, model)
        return found

    def forget(self, model: Model) -> None:
        """The model is not in use any more."""
        self._places.pop(model.id, None)


class Places:
    """Where a model's `S` sensors stand among a layout's `C` channels."""

    def __init__(self, layout: Layout, model: Model) -> None:
        allowed = set(layout.scored())
        sensors = model.detector.sensors
        pairs = [(at, layout.column[tag]) for at, tag in enumerate(sensors) if tag in allowed]
        self.known = [at for at, _ in pairs]
        columns = np.array([column for _, column in pairs], dtype=np.intp)
        self.columns: slice | Rows = together(columns) if pairs else columns
        """Of the known ones."""
        self.complete = len(self.known) == len(sensors)
        self.column_of: NDArray[np.int64] = np.full(len(sensors), -1, dtype=np.int64)
        """(S,) column of each, -1 where it is not there."""
        self.measured: Flags = np.zeros(len(sensors), dtype=np.bool_)
        """(S,) sensors that can fail: a valve that rests or is wide open, does as it is told."""
        self.declared = any(channel.controlled for channel in layout.channels)
        """It is known on which sensors controllers act."""
        self.steers: Flags = np.full(len(sensors), not self.declared)
        """(S,) sensors that a controller may act on: those declared so, or all where none is."""
        self.bottom: Floats = np.full(len(sensors), -np.inf)
        self.top: Floats = np.full(len(sensors), np.inf)
        """(S,) signals beyond these say that the instrument failed."""
        self.within: Floats = np.full((2, len(sensors)), np.nan)
        """(2, S) signals between these do not rest."""
        for at, column in pairs:
            channel = layout.channels[column]
            self.column_of[at] = column
            self.measured[at] = channel.role == "measurement"
            self.steers[at] |= channel.controlled
            if channel.lo is not None and channel.hi is not None and channel.lo < channel.hi:
                span = channel.hi - channel.lo
                self.bottom[at], self.top[at] = channel.lo - BELOW * span, channel.hi + ABOVE * span
                if model.detector.usual.same[at] <= STEPS:
                    self.within[:, at] = channel.lo + ENDS * span, channel.hi - ENDS * span
        self.ranged = bool(np.isfinite(self.top).any())

    def spread(self, values: Floats, width: int) -> Floats:
        """Values of the sensors (M, S) in the columns of the layout (M, width); 0 where there is no sensor."""
        if self.complete and isinstance(self.columns, slice) and values.shape[1] == width:
            return values
        whole = np.zeros((len(values), width))
        whole[:, self.columns] = values if self.complete else values[:, self.known]
        return whole


class Group:
    """The state of all assets that use one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.size = 0
        self.free: list[int] = []
        self.state: State = model.detector.initial(0)
        self._views: dict[tuple[int, int], State] = {}
        """Parts of it, by the first and the last row."""
        width = len(model.detector.sensors)
        self.last: Floats = np.zeros((0, width))
        self.same: Counts = np.zeros((0, width), dtype=np.int32)
        self.before: Floats = np.zeros((0, width))
        """The row before the last one."""
        self.spiked: Counts = np.zeros((0, width), dtype=np.int32)
        """For how many rows a spike has been over, its own among them; 0 for none of late."""
        usual = model.detector.usual
        span = usual.high - usual.low
        self.told: Flags = np.isfinite(usual.leap) & (usual.leap > 0)
        """(S,) sensors of which it is known how far they leap in normal operation."""
        self.leap: Floats = np.where(self.told, usual.leap, 1.0)
        self.untold = not self.told.all()
        """There are others."""
        least = np.where(self.told, np.maximum(LEAST * span, self.leap / (1 + RETURN / 2)), SPIKE * span)
        self.jump: Floats = np.maximum(least, TINY)
        """(S,) the least jump of a spike."""
        self.far: Floats = np.where(self.told, np.maximum(FAR * self.leap, self.jump), self.jump)
        """(S,) the least leap out of the usual values with which a burst begins."""
        self.moves: Flags = usual.low < usual.high
        """(S,) sensors that had more than one value in the normal record; others cannot freeze."""
        self.states: Rows = np.flatnonzero(self.moves & (usual.leap == span))
        """Positions of those that had two, as what is switched has."""
        moved = np.array([model.detector.echo(at, 0) * span[at] for at in self.states.tolist()]).reshape(-1, len(span))
        self.bound: Flags = (np.abs(moved) >= ECHO) | ~moved.any(axis=1, keepdims=True)
        """(states, S) sensors that move with a state, by the model or because it knows nothing of that."""
        self.frozen: NDArray[np.int64] = np.maximum(FROZEN * usual.same, usual.same + 10)
        """(S,) rows with one value, beyond which a sensor is frozen."""
        self.silent: NDArray[np.int64] = SILENT * (usual.missing + 1)
        """(S,) rows without a value, beyond which it is silent."""
        self.steps: Flags = usual.same > STEPS
        """(S,) sensors that move in steps."""
        self.stays: Counts = np.where(self.moves & ~self.steps, self.frozen, NEVER).astype(np.int32)
        """(S,) rows with one value, beyond which that alone is told."""
        self.least: Counts = np.minimum(self.stays, self.silent + LONGER).astype(np.int32)
        """(S,) rows without a new value, up to which a failure is not told without an alarm."""

    def grow(self) -> None:
        """Make room for assets that joined since."""
        more = self.size - len(self.last)
        if more > 0:
            self._views.clear()
            more += len(self.last) // 8  # assets that come one by one must not move the others each time
            fresh = self.model.detector.initial(more)
            self.state = {name: np.concatenate([array, fresh[name]]) for name, array in self.state.items()}
            self.last = np.concatenate([self.last, np.full((more, self.last.shape[1]), np.nan)])
            self.before = np.concatenate([self.before, np.full((more, self.last.shape[1]), np.nan)])
            self.same = np.concatenate([self.same, np.zeros((more, self.same.shape[1]), dtype=np.int32)])
            self.spiked = np.concatenate([self.spiked, np.zeros((more, self.same.shape[1]), dtype=np.int32)])

    def reset(self, rows: Rows, keep: Flags) -> None:
        """Begin these assets anew; those to `keep` (as many) keep what was accepted of them."""
        for name, array in self.model.detector.initial(len(rows)).items():
            lasts = name in self.model.detector.lasting
            self.state[name][rows[~keep] if lasts else rows] = array[~keep] if lasts else array
        self.last[rows] = self.before[rows] = np.nan
        self.same[rows] = self.spiked[rows] = 0

    def lasting(self, row: int) -> bytes | None:
        """What was accepted of an asset, for its next beginning; None for nothing."""
        parts = [self.state[name][row] for name in self.model.detector.lasting]
        return b"".join(part.tobytes() for part in parts) if any(part.any() for part in parts) else None

    def shift(self, row: int) -> Floats:
        """(S,) how far the operating point that was accepted of an asset is from the normal record's, in its units."""
        one = {name: array[row : row + 1] for name, array in self.state.items()}
        return np.asarray(self.model.detector.shift(one)[0])

    def put_lasting(self, row: int, content: bytes) -> None:
        """Give an asset what `lasting` told.

        Raises:
            ValueError: it is not of this model.
        """
        start = 0
        for name in self.model.detector.lasting:
            part = self.state[name][row : row + 1]
            if start == len(content) > 0:
                break  # it was accepted before there was such a part
            part[...] = np.frombuffer(content, part.dtype, part.size, start).reshape(part.shape)
            start += part.nbytes
        if start != len(content):
            raise ValueError("what was accepted with another model")

    def trend(self, row: int) -> bytes:
        """What of an asset goes on after a gap; nothing for a model without such."""
        return b"".join(self.state[name][row].tobytes() for name in self.model.detector.trend)

    def put_trend(self, row: int, content: bytes) -> bool:
        """Give an asset what `trend` told; False, and nothing is done, where that is of another lab."""
        parts = [self.state[name][row : row + 1] for name in self.model.detector.trend]
        if sum(part.nbytes for part in parts) != len(content):
            return False
        start = 0
        for part in parts:
            part[...] = np.frombuffer(content, part.dtype, part.size, start).reshape(part.shape)
            start += part.nbytes
        return True

    def accept(self, row: int) -> None:
        """Take where an asset stands for normal.

        Raises:
            NotPossible: the model cannot.
        """
        if not self.model.detector.lasting:
            raise NotPossible("one_normal", f"a {self.model.detector.kind} model knows no other operating point")
        one = {name: array[row : row + 1] for name, array in self.state.items()}
        for name, array in self.model.detector.accept(one, np.ones(1, dtype=np.bool_)).items():
            self.state[name][row] = array[0]

    def packed(self) -> tuple[list[list[Any]], NDArray[np.uint8]]:
        """All there is to know of the assets, a row of bytes each, and the arrays' names, types and shapes in it."""
        self.grow()
        arrays = {**self.state, **{f"~{name}": getattr(self, name) for name in SEEN}}
        shapes = [[name, array.dtype.str, list(array.shape[1:])] for name, array in arrays.items()]
        rows = [np.ascontiguousarray(array).reshape(len(self.last), -1).view(np.uint8) for array in arrays.values()]
        return shapes, np.concatenate(rows, axis=1)

    def put(self, row: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Let an asset go on with what `unpacked` gave."""
        for name, array in arrays.items():
            mine = getattr(self, name[1:]) if name.startswith("~") else self.state[name]
            mine[row] = array

    def look(
        self,
        rows: slice | Rows,
        x: Floats,
        over: Flags | None,
        shown: Floats,
        read: Floats | None = None,
        elapsed: Elapsed | None = None,
    ) -> "Seen":
        """Take in (A, T, S) of the assets in these rows: for the model, and as shown, beyond the measuring range too.

        `over` goes through, `read` and `elapsed` to the detector.
        """
        outer, inner, prior = self.before[rows][:, None], self.last[rows][:, None], None
        if shown.shape[1] > 1:
            chain = np.concatenate([outer, inner, shown], axis=1)
            outer, inner, prior = chain[:, :-2], chain[:, 1:-1], chain[:, 1]
        jumps = self._jumps(outer, inner)
        leaps = self._leaps(jumps, outer, inner)
        spiked = self._spiked(rows, jumps, outer, inner, shown)
        same = self._unchanged(rows, inner, shown)
        result = self.score(rows, x, read, elapsed)
        return Seen(x, same, over, shown, spiked, result, leaps, self._dull(same, x), prior)

    def score(
        self, rows: slice | Rows, x: Floats, read: Floats | None = None, elapsed: Elapsed | None = None
    ) -> Result:
        """Score (A, T, S) of the assets in these rows, and keep their state."""
        if isinstance(rows, slice):
            key = rows.start, rows.stop
            if key not in self._views:
                if len(self._views) >= VIEWS:
                    self._views.clear()
                self._views[key] = {name: array[rows] for name, array in self.state.items()}
            return self.model.detector.advance(self._views[key], x, read, elapsed)
        state = {name: array[rows] for name, array in self.state.items()}
        result = self.model.detector.advance(state, x, read, elapsed)
        for name, array in state.items():
            self.state[name][rows] = array
        return result

    def _unchanged(self, rows: slice | Rows, before: Floats, x: Floats) -> Counts:
        """For how many rows each sensor has had the same value, or none: (A, T, S); `before` are the rows before."""
        same = self.same[rows]
        counts: Counts = np.empty(x.shape, dtype=np.int32)
        changed = x != before  # as is a value that is not there
        counts[:] = 1
        if not np.logical_and.reduce(changed, axis=None) or np.logical_or.reduce(np.isnan(x), axis=None):
            changed &= ~(np.isnan(x) & np.isnan(before))
            if x.shape[1] == 1:
                np.copyto(counts, same[:, None] + 1, where=~changed)
            else:
                at = np.arange(x.shape[1], dtype=np.int32)[:, None]
                begun = np.maximum.accumulate(np.where(changed, at, np.int32(-1)), axis=1)
                counts[:] = np.where(begun < 0, same[:, None] + at + 1, at - begun + 1)
        self.last[rows], self.same[rows] = x[:, -1], counts[:, -1]
        return counts

    def _dull(self, same: Counts, x: Floats) -> Flags | None:
        """(A, T) whether some sensors, of a quarter at most, have had no new value for long; None for nowhere."""
        long = same > self.least
        if not np.logical_or.reduce(long, axis=None):
            return None
        long &= np.isnan(x) | (same > self.stays)  # a set point and a constant have values
        if not np.logical_or.reduce(long, axis=None):
            return None
        count = long.sum(axis=2)
        return np.asarray((count > 0) & (count <= max(1, same.shape[2] // 4)))

    def _jumps(self, outer: Floats, inner: Floats) -> Rows:
        """Where (flat) `inner` (A, T, S) jumped by as much as a spike does, from the row before it."""
        jump = inner - outer
        np.abs(jump, out=jump)
        return np.asarray((jump >= self.jump).ravel().nonzero()[0])  # as `np.flatnonzero`, in half the time

    def _leaps(self, jumps: Rows, outer: Floats, inner: Floats) -> Leaps | None:
        """Those of the jumps that led out of the usual values; None for none."""
        if not len(jumps):
            return None
        usual = self.model.detector.usual
        where = np.unravel_index(jumps, inner.shape)
        sensor, origin, top = where[2], outer[where], inner[where]
        low, high = usual.low[sensor], usual.high[sensor]
        nearly = NEARLY * (high - low)
        away = ((top < low) | (top > high)) & self.moves[sensor]
        # what leaps less than far has done so from among them: else it may be the end of a slower way
        nearly = np.where(np.abs(top - origin) >= self.far[sensor], nearly, 0.0)
        away &= (origin >= low - nearly) & (origin <= high + nearly)
        if not np.logical_or.reduce(away):
            return None
        return Leaps(where[0][away], where[1][away], sensor[away], origin[away], top[away])

    def _spiked(self, rows: slice | Rows, jumps: Rows, outer: Floats, inner: Floats, x: Floats) -> Counts | None:
        """For how many rows each sensor's last spike is over, (A, T, S), 0 for none of late; before `_unchanged`.

        None where there is none at all. What many sensors do at once is no instrument's. `inner` are the rows before
        these, `outer` those before them.
        """
        spiked = self.spiked[rows]
        counts: Counts | None = None
        spikes = self._spikes(jumps, outer, inner, x)
        of_late = spiked.ravel().nonzero()[0]
        if len(spikes) or len(of_late):
            counts = np.zeros(x.shape, dtype=np.int32)
            if len(of_late):
                asset, sensor = np.divmod(of_late, x.shape[2])
                count = spiked[asset, sensor][:, None] + np.arange(1, x.shape[1] + 1, dtype=np.int32)
                counts[asset, :, sensor] = np.where(count <= SPIKED, count, 0)
            if len(spikes):
                asset, at, sensor = np.unravel_index(spikes, x.shape)
                for row in range(min(x.shape[1], SPIKED - 1))[::-1]:  # so that of two spikes the later one counts
                    there = at + row < x.shape[1]
                    counts[asset[there], at[there] + row, sensor[there]] = row + 2
            self.spiked[rows] = counts[:, -1]
        self.before[rows] = inner[:, -1]
        return counts

    def shows(self, rows: Floats) -> Flags:
        """(T - 2, S) where the middle one of three rows (T, S) is a spike."""
        found: Flags = np.zeros((len(rows) - 2, rows.shape[1]), dtype=np.bool_)
        outer, inner, x = rows[None, :-2], rows[None, 1:-1], rows[None, 2:]
        found.ravel()[self._spikes(self._jumps(outer, inner), outer, inner, x)] = True
        return found

    def _spikes(self, at: Rows, outer: Floats, inner: Floats, x: Floats) -> Rows:
        """Where (flat) `inner` is a spike, of the jumps `at` in rows (A, T, S) with those before and after them."""
        usual, (_, rows, width) = self.model.detector.usual, x.shape
        if not len(at):
            return at
        row, sensor = np.divmod(at, width)
        where = *np.divmod(row, rows), sensor
        before, top, after = outer[where], inner[where], x[where]
        leaps = np.abs(top - (before + after) / 2) / self.leap[sensor]
        spike = leaps > LEAP
        if self.untold:
            beyond = (top < usual.low[sensor]) | (top > usual.high[sensor])
            spike = np.where(self.told[sensor], spike, beyond)
        if not np.logical_or.reduce(spike):
            return at[:0]
        spike &= np.abs(top - after) >= self.jump[sensor]
        past = (leaps > FAR) & self.told[sensor]  # a smaller one is chance
        past &= _past(before, top, after, (usual.low[sensor], usual.high[sensor]), RETURN)
        spike &= (np.abs(after - before) <= RETURN * np.abs(top - before)) | past
        spike &= self.moves[sensor] | (before == usual.low[sensor])
        if len(self.states) and np.logical_or.reduce(spike):
            asset, time = (each[spike, None] for each in where[:2])
            switched = self._switched(*(each[asset, time, self.states] for each in (outer, inner, x)))
            spike[spike] = ~(switched & self.bound[:, sensor[spike]].T).any(axis=1)
        at, row = at[spike], row[spike]
        return np.asarray(at[np.bincount(row)[row] <= max(1, width // 10)])

    def _switched(self, before: Floats, row: Floats, after: Floats) -> Flags:
        """(..., states) whether one was another in a row, and what it had been in the one after it."""
        usual = self.model.detector.usual
        known = (row == usual.low[self.states]) | (row == usual.high[self.states])
        return np.asarray(known & (row != before) & (before == after))

    def _led(self, x: Floats) -> Flags:
        """(S,) sensors bound to a state that was another one in the second of three rows (T, S); else none."""
        if len(x) != SPAN or not len(self.states):
            return np.zeros(x.shape[1], dtype=np.bool_)
        return np.asarray((self._switched(*x[:, self.states])[:, None] & self.bound).any(axis=0))

    def outside(self, x: Floats) -> Floats:
        """How far outside the usual ones values (..., S) are, in spans of these; 0 within, or where there is none."""
        usual = self.model.detector.usual
        with np.errstate(over="ignore"):  # of what never moved
            past = np.fmax(np.fmax(usual.low - x, x - usual.high), 0.0)
            past = np.where(past <= ROUNDED * np.abs(x), 0.0, past) / np.maximum(usual.high - usual.low, TINY)
        return np.asarray(np.minimum(past, OUTSIDE))

    def lone(self, places: Places, x: Floats) -> Floats:
        """(S,) by how many of its usual leaps a measurement stood out in an episode's first row, and was back.

        Args:
            places: where the sensors stand.
            x: (T, S) the row before the episode and its rows so far; 0 of less than three.
        """
        if len(x) < 3:
            return np.zeros(x.shape[1])
        before, top, after = x[0], x[1], x[2:].mean(axis=0)
        leaps = np.abs(top - (before + after) / 2) / self.leap
        usual, jump = self.model.detector.usual, np.abs(top - before)
        ends = usual.low, usual.high
        large = leaps >= FAR
        back = ((np.abs(x[2:] - before) <= BACK * jump) | large & _past(before, top, x[2:], ends, BACK)).all(axis=0)
        if len(x) > 3:  # noise averages out, a step does not
            back &= (np.abs(after - before) <= RETURN * jump) | large & _past(before, top, after, ends, RETURN)
        return np.where(back & self.told & self.moves & places.measured & ~self._led(x[:SPAN]), leaps, 0.0)

    def burst(self, places: Places, x: Floats) -> Floats:
        """(S,) the same of a measurement that was outside its usual values, a row or two, and leapt back in the last.

        None when anything else left its usual values: a controller that brings its variable back moves its valve.
        Where it is not known how far a sensor leaps, it is 1. What was outside by their whole span is back anywhere
        among them: in the same row a pump may have been switched.
        """
        if len(x) > SHORT + 2:
            return np.zeros(x.shape[1])
        usual = self.model.detector.usual
        span = usual.high - usual.low
        far = self.outside(x)
        out, jump = far > 0, np.abs(x[-2] - x[-1])
        found: Flags = out[1:-1].all(axis=0) & out[:-1].any(axis=0) & ~out[-1] & (out.sum(axis=0) <= SHORT)
        found &= (jump >= SPIKE * span) & self.moves & places.measured
        within = (x[-1] >= usual.low + WITHIN * span) & (x[-1] <= usual.high - WITHIN * span)
        back = (np.abs(x[-1] - x[0]) <= BACK * np.abs(x[-2] - x[0])) | (far[-2] >= WHOLE) | np.isnan(x[0])
        found &= np.where(out[0], within & (far > NEARLY).any(axis=0), back)
        most = far.max(axis=0)
        others = np.array([np.delete(most, sensor).max(initial=0.0) for sensor in np.flatnonzero(found).tolist()])
        found[found] = others <= allowed(most[found])
        return np.where(found & ~self._led(x), np.where(self.told, jump / self.leap, 1.0), 0.0)

    def back(self, sensor: int, origin: float, x: Floats) -> float:
        """By how many of its usual leaps a sensor leapt back in the last row of `x` (T, S) to where it had been.

        0 where it did not, or where anything else left its usual values; 1 where its leaps are not known.
        """
        usual = self.model.detector.usual
        far, top, after = self.outside(x), x[-2, sensor], x[-1, sensor]
        others = np.delete(far, sensor, axis=1).max(initial=0.0)
        if others > allowed(far[:, sensor].max()) or not (far[-2, sensor] > 0 and far[-1, sensor] <= NEARLY):
            return 0.0
        if self._led(x)[sensor]:
            return 0.0
        least = SPIKE * (usual.high[sensor] - usual.low[sensor])
        if not (abs(top - after) >= least and abs(after - origin) <= BACK * abs(top - origin)):
            return 0.0
        return float(abs(top - after) / self.leap[sensor]) if self.told[sensor] else 1.0

    def wrong(
        self, places: Places, x: Floats, first: Singles, second: Singles, only: int | None = None
    ) -> tuple[int, float] | None:
        """The measurement of which one wrong reading explains how an episode began; None where none does.

        And by how many standard deviations that stands out, with sign.

        Nor where a state changed that moves it: what is switched makes others leap.

        Args:
            places: where the sensors stand.
            x: (3, S) the row before the episode and its first two.
            first: (S,) residuals of the first one.
            second: (S,) of the second.
            only: the one sensor that comes into question; None for all.
        """
        by, part = self.model.detector.additive(first, second)
        can = places.measured & self.moves & self.told & (np.abs(by) >= STANDS_OUT)
        can[self.states] = False
        can &= only is None or np.arange(len(can)) == only
        can &= ~self.bound[(np.diff(x[:, self.states], axis=0) != 0).any(axis=0)].any(axis=0)
        sensor = int(np.argmax(np.where(can, part, 0.0)))
        return (sensor, float(by[sensor])) if can[sensor] and part[sensor] >= EXPLAINS else None

    def beside(self, sensor: int, by: float, rows: int, residual: Singles) -> float:
        """How much of a row's residuals (S,) does not come of a wrong reading (`wrong`) so many rows before.

        In standard deviations; beyond what chance makes.
        """
        echo = self.model.detector.echo
        size = by / float(np.linalg.norm([echo(sensor, 0), echo(sensor, 1)]))
        left = residual - size * echo(sensor, rows)
        return float(np.sqrt(max(float(left @ left) - np.count_nonzero(residual), 0.0)))

    def echoes(self, spiked: Counts, shares: Floats) -> Flags:
        """(S,) of the sensors whose spike is over for so many rows (S,), those of which it makes others lead.

        A model that looks at rows of before expects something of the others after a spike. `shares` are those of the
        row; all that have half of the largest must be moved by the spike.
        """
        found: Flags = np.zeros(len(shares), dtype=np.bool_)
        detector = self.model.detector
        for sensor in np.flatnonzero((spiked >= JUST) & self.told).tolist():
            led = shares >= 0.5 * shares.max()
            led[sensor] = False
            moved = np.abs(detector.echo(sensor, int(spiked[sensor]) - 1)) * LEAP * self.leap[sensor]
            found[sensor] = led.any() and bool((moved[led] >= ECHO).all())
        return found

    def _missed(self, sensor: int, values: Floats) -> Flags:
        """Which of a sensor's values (T,) other sensors contradict, as the model knows how they move together."""
        usual = self.model.detector.usual
        others = np.abs(np.delete(self.model.detector.echo(sensor, 0), sensor)).max(initial=0.0)
        past = np.fmax(usual.low[sensor] - values, values - usual.high[sensor])
        return np.asarray(past * others >= ECHO)

    def ill(
        self, places: Places, x: Floats, same: Counts, over: Flags | None, spiked: Counts | None, raw: Floats | None
    ) -> Ill | None:
        """What is wrong with the measurements of one asset; None where nothing is.

        One that rests where it never was (a flow gone to nothing, a level at the end of its range) may tell the truth,
        where its range does not say otherwise: it is stuck if others contradict it, which the episode has to see. And
        where more than a quarter of the sensors came to rest together, a plant stopped.

        Args:
            places: where the sensors stand.
            x: (T, S) values, NaN for none.
            same: (T, S) for how many rows each has had the same value, or none.
            over: (T, S) sensors without a value because they were beyond their measuring range; None for none.
            spiked: (T, S) for how many rows its last spike is over, 0 for none of late; None for none at all.
            raw: (T, S) values as they came, also the bad ones; None where no measuring range is known.
        """
        usual = self.model.detector.usual
        gone = np.isnan(x)
        silent = gone & (same > self.silent)
        if over is not None:
            silent &= ~over
        frozen = ~gone & (same > self.frozen) & self.moves & places.measured
        for row in np.flatnonzero(frozen.any(axis=1)).tolist():
            still = same[row, self.moves & ~gone[row]]
            for sensor in np.flatnonzero(frozen[row]).tolist():
                together = np.count_nonzero(still >= same[row, sensor] - usual.same[sensor])
                frozen[row, sensor] = together <= max(1, x.shape[1] // 4)
        resting = frozen & ((x < usual.low) | (x > usual.high))
        resting &= ~((x > places.within[0]) & (x < places.within[1]) & (x != 0))
        stuck = resting.copy()
        for sensor in np.flatnonzero(stuck.any(axis=0)).tolist():
            stuck[:, sensor] &= self._missed(sensor, x[:, sensor])
        frozen &= ~resting
        fault = np.zeros(x.shape, dtype=np.int8)
        run, needed = same.copy(), np.ones(x.shape, dtype=np.int32)
        if spiked is not None:
            fault[spiked > 0] = IS_SPIKING
            run = np.where(spiked > 0, spiked, run)
        if raw is not None:
            with np.errstate(invalid="ignore"):
                beyond = (raw < places.bottom) | (raw > places.top)
            fault[beyond] = IS_BEYOND
            run = np.where(beyond, 1, run)  # since when is for the episode to see
        for code, flags, rows in (
            (IS_SILENT, silent, self.silent),
            (IS_FROZEN, frozen, self.frozen),
            (IS_RESTING, resting & ~self.steps, self.frozen),
            (IS_STUCK, stuck, self.frozen),
        ):
            fault[flags] = code
            needed = np.where(flags, rows, needed)
            run = np.where(flags, same, run)
        fault[:, ~places.measured] = 0
        lasting = (fault == IS_FROZEN) & ~self.steps | (fault == IS_SILENT) & (same > self.silent + LONGER)
        return Ill(fault, run, needed.astype(np.int32), lasting) if fault.any() else None


def _past(before: Floats, top: Floats, after: Floats, usual: tuple[Floats, Floats], part: float) -> Flags:
    """Whether values came back from `top`, which is beyond the `usual` ones, to any of them, past where they had been.

    `usual` are the least and the largest; a `part` of the jump may also be left.
    """
    low, high = usual
    left, jump = (after - before) * np.sign(top - before), np.abs(top - before)
    within = (after >= low) & (after <= high) & (before >= low) & (before <= high) & ((top < low) | (top > high))
    return np.asarray(within & (left <= part * jump) & (left >= -PAST * jump))


def unpacked(model: Model, shapes: Sequence[Sequence[Any]], content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of one asset that `Group.packed` packed.

    Raises:
        ValueError: they are not those of this model.
    """
    width = len(model.detector.sensors)
    wanted = {name: (array.dtype.str, array.shape[1:]) for name, array in model.detector.initial(1).items()}
    wanted |= {f"~{name}": (np.dtype(dtype).str, (width,)) for name, dtype in SEEN.items()}
    arrays, start = {}, 0
    for name, dtype, shape in shapes:
        size = np.dtype(dtype).itemsize * int(np.prod(shape))
        arrays[name] = np.frombuffer(content[start : start + size], dtype=dtype).reshape(shape)
        start += size
    if {name: (array.dtype.str, array.shape) for name, array in arrays.items()} != wanted:
        raise ValueError("a snapshot of another model")
    return arrays
