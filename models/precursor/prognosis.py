"""Prognosis: the time until a sensor reaches its alarm or trip limit, with an 80 % interval, or "none in sight".

What a sensor has done lately is told by a ladder of moving averages of its distance from normal. From it a small
network gives the distribution of the first passage: the chance that the limit is reached within each of some horizons,
the hazard between two horizons learnt by likelihood, as long as a run was seen (discrete-time survival: Brown,
Biometrics 31 (1975) 863-872; Gensheimer & Narasimhan, PeerJ 7 (2019) e6257). Its numbers (`models.precursor.passage`)
know no plant: everything is in parts of the way from normal to the limit, and time in paces of the plant. The interval
is read at the chances below which one in ten, and nine in ten, of the trips of mishaps happened that the networks did
not learn from (half of the weight on left-out kinds, half on plain ones), among those told to be about as far away
(conformal, conditional on the forecast).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from models.detector import Ahead, Each, Floats, Forecast, State
from models.precursor import passage

LADDER: Final = np.array([1.0, 2.0, 5.0, 12.0, 30.0, 80.0, 200.0])
"""Time constants of the moving averages, paces; the first is the reading itself where a pace is a row."""
SQUARE: Final = 60.0
PEAK: Final = 120.0
"""Time constants of the mean square, and of the forgetting of the largest excursion, paces."""
BUSY: Final = ((0, 1, 60.0), (1, 3, 60.0), (2, 4, 80.0), (3, 5, 120.0))
"""Two rungs, and the time constant of the mean square of their difference, paces: a steady drift moves as far as it
always did, what wanders or swings does not."""
SHARES: Final = ((3, 0.1), (1, 0.3), (1, 0.6))
"""A rung, and the part of the way to the limit since when it has been beyond it."""
LONG: Final = 30_000
"""Rows beyond which no time is counted."""
MEMORY: Final = 20.0
"""Rows of memory (autocorrelation above 1/e) of the plant that the passage was learnt on: there a pace is one row."""
NEAR: Final = 3.0
FAR: Final = 300.0
"""A limit counts as at least and at most so many standard deviations from normal."""
TOUCH: Final = 0.03
"""No distance to a limit counts as smaller, in parts of the way from normal to it."""
HOLD: Final = 10
"""Paces without a value for which what was foretold of a sensor goes on."""
BRIDGE: Final = 200
"""Paces without a value after which a sensor begins anew: its longest average remembers no more."""
AT_ONCE: Final = 65_536
"""Limits of rows that are foretold at once: a long record in alarm would need memory."""
HUGE: Final = 1e100
ROUNDING: Final = 1e-9
"""Part of a limit by which a mean may be off it."""
Levels = Sequence[tuple[float, tuple[float, float, float]]]
"""Times, paces, and at each of them the chances at which median, low and high end are read."""
TILE: Final = 64
"""Rows of every matrix product: BLAS rounds by shape, so the shape is always the same."""
LAYERS: Final = "FIRST", "FIRST_BIAS", "SECOND", "SECOND_BIAS", "THIRD", "THIRD_BIAS"
"""Names of the networks' weights in `models.precursor.passage`."""
FEATURES: Final = 6 + len(LADDER) - 1 + 2 * len(BUSY) + len(SHARES)


class _Along(NamedTuple):
    """What averages with some time constants become along a line of `n` rows, by `n`: (n, constants) each."""

    keep: Floats
    """How much of what they were is left."""
    once: Floats
    """By how much they move with its slope."""
    square: Floats
    """By how much averages of the square move with the square of its slope."""


@dataclass(frozen=True, slots=True, eq=False)
class Prognosis:
    """What is needed to forecast `L` sensors with `B` limits (one or two each) of a block's `S` columns."""

    sensors: tuple[str, ...]
    """(L) names of the sensors with a limit."""
    columns: NDArray[np.int64]
    """(L,) their positions in a block."""
    width: int
    """S."""
    period_s: float
    pace: float
    """Rows in which the plant moves as far as the one the passage was learnt on does in one row of 180 s; from 1."""
    center: Floats
    """(L,) normal mean, the sensors' units."""
    limit: Floats
    """(B,) the sensors' units."""
    of: NDArray[np.int64]
    """(B,) whose limit it is, 0 .. L - 1."""
    side: Floats
    """(B,) 1 for an upper limit, -1 for a lower one."""
    way: Floats
    """(B,) from normal to the limit, positive, the sensors' units."""
    far: Floats
    """(B,) logarithm of the same in standard deviations."""

    @property
    def horizon_s(self) -> float:
        """What is later is not in sight."""
        return float(passage.HORIZONS[-1]) * self.pace * self.period_s

    def initial(self, assets: int) -> State:
        """State of `assets` streams that have not begun."""
        count = len(self.sensors)
        return {
            "ladder": np.zeros((assets, len(LADDER), count)),
            "square": np.zeros((assets, count)),
            "busy": np.zeros((assets, len(BUSY), count)),
            "since": np.zeros((assets, len(SHARES), len(self.of)), dtype=np.int16),
            "high": np.zeros((assets, count)),
            "low": np.zeros((assets, count)),
            "last": np.zeros((assets, count)),
            "missing": np.full((assets, count), -1, dtype=np.int16),
        }

    @property
    def hold(self) -> int:
        """Periods without a value for which what was foretold of a sensor goes on."""
        return int(min(HOLD * self.pace, LONG - 1))

    @property
    def bridge(self) -> int:
        """Periods without a value after which a sensor begins anew."""
        return int(min(BRIDGE * self.pace, LONG - 1))

    def score(
        self,
        state: State,
        block: Floats,
        active: NDArray[np.bool_] | None = None,
        each: bool = False,
        elapsed: NDArray[np.int16] | None = None,
    ) -> tuple[State, Forecast]:
        """Forecast the rows of a block.

        Args:
            state: of the rows before.
            block: (A, T, S) in the sensors' units; NaN is no value.
            active: (A, T) which rows want a forecast, usually those in an episode: the others cost little and have none
                in sight. All of them if not given.
            each: also forecast every sensor.
            elapsed: (A, T) periods since the row before: more than 1 where rows are lost, 0 for one in the same period,
                which tells no more than whether a limit is reached. 1 everywhere if not given.

        Raises:
            ValueError: shapes that do not fit.
        """
        assets, rows = block.shape[:2]
        if block.ndim != 3 or block.shape[2] != self.width or len(state["square"]) != assets:
            raise ValueError(
                f"a block of shape {block.shape}; want ({len(state['square'])} assets, rows, {self.width} sensors)"
            )
        if active is not None and active.shape != (assets, rows):
            raise ValueError(f"active rows of shape {active.shape}; want {(assets, rows)}")
        if elapsed is not None and elapsed.shape != (assets, rows):
            raise ValueError(f"elapsed periods of shape {elapsed.shape}; want {(assets, rows)}")
        after, parts, places, found, waiting = state, [], [], [np.zeros((0, 4, len(self.sensors)))], 0
        silent = [np.zeros((0, len(self.sensors)), dtype=np.int16)]
        for row in range(rows):
            x = block[:, row, self.columns] - self.center
            after = self._move(after, x, None if elapsed is None else elapsed[:, row])
            which = np.arange(assets) if active is None else np.flatnonzero(active[:, row])
            if len(which) and len(self.of):
                parts.append(self._features(after, which))
                places.append(which * rows + row)
                silent.append(after["missing"][which])
                waiting += len(which) * len(self.of)
            if waiting >= AT_ONCE or (parts and row == rows - 1):
                found.append(self._first(self._quantiles(np.concatenate(parts))))
                parts, waiting = [], 0
        at = np.concatenate([np.zeros(0, dtype=np.intp), *places])
        return after, self._told(np.concatenate(found), np.concatenate(silent), at, (assets, rows), each)

    def _told(
        self, times: Floats, silent: NDArray[np.int16], at: NDArray[np.intp], shape: tuple[int, int], each: bool
    ) -> Forecast:
        """The forecast of a block (A, T), from what was foretold of its rows `at` (N,) by the last readings.

        What was foretold goes on while a sensor is silent, until it is time or that has lasted for too long.

        Args:
            times: (N, 4, L) times and limits, counted from the last reading.
            silent: (N, L) periods since then; -1 where there was none.
            at: (N,) rows.
            shape: A and T.
            each: also of every sensor.
        """
        rows, count = shape[0] * shape[1], len(self.sensors)
        unseen, left = np.zeros(silent.shape, dtype=np.bool_), times[:, :3]
        silent_s = np.where((silent < 0) | (silent >= LONG), np.inf, silent * self.period_s)
        if silent.any():
            left = np.maximum(left - np.where(silent > 0, silent * self.period_s, 0.0)[:, None], 0.0)
            unseen = (silent < 0) | (silent > self.hold) | ((left[:, 0] <= 0.0) & (times[:, 0] > 0.0))
        order = np.lexsort((left[:, 0], unseen), axis=1)
        then = [np.take_along_axis(times[:, k], order, axis=1) for k in range(4)]
        ahead = Ahead(
            row=np.full(shape, -1),
            time_s=then[0],
            low_s=then[1],
            high_s=then[2],
            sensor=self.columns[order],
            limit=then[3],
            silent_s=np.take_along_axis(silent_s, order, axis=1),
            unseen=np.take_along_axis(unseen, order, axis=1),
        )
        ahead.row.ravel()[at] = np.arange(len(at))
        time, low, high = (np.take_along_axis(left[:, k], order, axis=1) for k in range(3))
        whole, sensor = np.full((4, rows), np.inf), np.full(rows, -1)
        whole[3] = np.nan
        if len(at):
            seen = np.isfinite(time[:, 0]) & ~ahead.unseen[:, 0]
            least = np.where(ahead.unseen, np.inf, low).min(axis=1)
            whole[0, at] = np.where(seen, time[:, 0], np.inf)
            whole[1, at] = np.where(seen, low[:, 0], least)
            whole[2, at] = np.where(seen, high[:, 0], np.inf)
            whole[3, at] = np.where(seen, ahead.limit[:, 0], np.nan)
            sensor[at] = np.where(seen, self.columns[order[:, 0]], -1)
        every = None
        if each:
            all_rows = np.full((3, rows, count), np.inf)
            all_rows[:, at] = np.where(unseen[:, None], np.nan, left).swapaxes(0, 1)
            every = Each(*all_rows.reshape(3, *shape, count))
        time_s, low_s, high_s, which = whole.reshape(4, *shape)
        return Forecast(time_s, low_s, high_s, sensor.reshape(shape), which, every, ahead)

    def _move(self, state: State, x: Floats, elapsed: NDArray[np.int16] | None = None) -> State:
        """The state after one more row (A, L) of distances from normal; a missing value moves nothing.

        Where rows or values are missing before a value, the way to it counts as a straight line; a sensor of which
        they were for very long begins anew.

        Args:
            state: before the row.
            x: the row.
            elapsed: (A,) periods since the row before; None: one.
        """
        there = np.abs(x) < HUGE
        if elapsed is not None and not elapsed.all():
            return self._move_some(state, x, there, elapsed)
        late = elapsed is not None and bool((elapsed > 1).any())
        waited = state["missing"].astype(np.int32) + (1 if elapsed is None else elapsed[:, None])
        returns = there & (state["missing"] >= 0) & (waited > 1) if late or state["missing"].any() else None
        if returns is not None:
            anew = returns & (waited > self.bridge)
            if anew.any():
                state = self._without(state, anew)
                returns &= ~anew
        before, missing = state["ladder"], state["missing"]
        whole = bool(there.all())
        new = there & (missing < 0)
        if not whole:
            x = np.where(there, x, before[:, 0])
        ladder = x[:, None] - before
        ladder *= np.minimum(1.0, 1.0 / (LADDER * self.pace))[:, None]
        if not whole:
            ladder *= there[:, None]
        ladder += before
        if new.any():  # a stream begins where it is, not at normal
            np.copyto(ladder, x[:, None], where=new[:, None])
        square = np.square(x)
        square -= state["square"]
        square *= there / (SQUARE * self.pace)
        square += state["square"]
        busy = np.empty_like(state["busy"])
        for k, (fast, slow, _) in enumerate(BUSY):
            np.subtract(ladder[:, fast], ladder[:, slow], out=busy[:, k])
        np.square(busy, out=busy)
        busy -= state["busy"]
        busy *= (1.0 / _BUSY_PACES / self.pace)[:, None]
        if not whole:
            busy *= there[:, None]
        busy += state["busy"]
        since = np.minimum(state["since"], LONG - 1)
        since += np.int16(1)
        for k, (rung, part) in enumerate(SHARES):
            since[:, k] *= ladder[:, rung].take(self.of, axis=1) * self.side >= part * self.way
        if not whole:
            np.copyto(since, state["since"], where=~there[:, None, self.of])
        keep = np.where(there, 1.0 - 1.0 / (PEAK * self.pace), 1.0)
        high, low = state["high"] * keep, state["low"] * keep
        np.maximum(high, ladder[:, 1], out=high)
        np.minimum(low, ladder[:, 1], out=low)
        last = x
        if not whole:
            last = np.where(there, x, state["last"])
        if not whole or missing.any():
            missing = np.where(there, 0, np.where(missing < 0, missing, np.minimum(waited, LONG)))
        after = {
            "ladder": ladder,
            "square": square,
            "busy": busy,
            "since": since,
            "high": high,
            "low": low,
            "last": last,
            "missing": missing.astype(np.int16),
        }
        if returns is not None and returns.any():
            self._return(state, after, returns, waited)
        return after

    def _move_some(self, state: State, x: Floats, there: NDArray[np.bool_], elapsed: NDArray[np.int16]) -> State:
        """The same where rows of some assets are in the period of those before them: these move no averages."""
        same = (elapsed == 0)[:, None]
        back = same & there & (state["missing"] > 0)  # the first value after those that are missing does move them
        still = same & (state["missing"] >= 0) & ~back
        state = {**state, "missing": state["missing"] - back}  # no period more has passed
        after = dict(self._move(state, np.where(still, np.nan, x), np.maximum(elapsed, 1)))
        for name, where in self._where(still).items():
            after[name] = np.where(where, state[name], after[name])
        after["last"] = np.where(still & there, x, after["last"])
        after["missing"] = np.where(still & there, np.int16(0), after["missing"])
        return after

    def _where(self, these: NDArray[np.bool_]) -> Mapping[str, NDArray[np.bool_]]:
        """Of which numbers of the state some sensors (A, L) are, by name."""
        wide = {"ladder": these[:, None], "busy": these[:, None], "since": these[:, None, self.of]}
        return {name: wide.get(name, these) for name in self.initial(0)}

    def _without(self, state: State, these: NDArray[np.bool_]) -> State:
        """The state with some sensors (A, L) that have not begun."""
        fresh = self.initial(1)
        return {name: np.where(where, fresh[name], state[name]) for name, where in self._where(these).items()}

    def _return(
        self, before: State, after: dict[str, NDArray[Any]], these: NDArray[np.bool_], waited: NDArray[np.int32]
    ) -> None:
        """Let sensors (A, L) that have a value again have come to it on a straight line; changes `after`.

        Args:
            before: the state at the last row.
            after: with the value, as if it had come right after the last one.
            these: (A, L) which sensors.
            waited: (A, L) periods since their last value.
        """
        asset, sensor = np.nonzero(these)
        n = waited[asset, sensor]
        start = before["last"][asset, sensor]
        slope = (after["last"][asset, sensor] - start) / n
        fast, usual, busy, peak = (_Along(*(table[n] for table in along)) for along in _alongs(self.pace, self.bridge))
        ladder = before["ladder"][asset, :, sensor]
        moved = fast.keep * ladder + (1.0 - fast.keep) * start[:, None] + fast.once * slope[:, None]
        after["ladder"][asset, :, sensor] = moved
        keep, once, square = (part[:, 0] for part in usual)
        after["square"][asset, sensor] = (
            keep * before["square"][asset, sensor]
            + (1.0 - keep) * start**2
            + 2.0 * once * start * slope
            + square * slope**2
        )
        apart = [np.square(each[:, _FAST] - each[:, _SLOW]) for each in (ladder, moved)]
        steps = before["busy"][asset, :, sensor]
        after["busy"][asset, :, sensor] = busy.keep * steps + (1.0 - busy.keep) * (apart[0] + apart[1]) / 2.0
        for name, farther in (("high", np.maximum), ("low", np.minimum)):
            after[name][asset, sensor] = farther(before[name][asset, sensor] * peak.keep[:, 0], moved[:, 1])
        for bound, whose in enumerate(self.of.tolist()):
            its = sensor == whose
            for k, (rung, part) in enumerate(SHARES):
                held = before["since"][asset[its], k, bound].astype(np.int32)
                beyond = moved[its, rung] * self.side[bound] >= part * self.way[bound]
                # what came to be beyond meanwhile did so half way
                count = np.minimum(held + np.where(held > 0, n[its], (n[its] + 1) // 2), LONG)
                after["since"][asset[its], k, bound] = count * beyond

    def _features(self, state: State, which: NDArray[np.intp]) -> Floats:
        """Of some assets (N, B, FEATURES + 1); the last one: is the limit reached (1), not (0), or unknown (NaN)."""
        of, side = self.of, self.side
        ladder = np.moveaxis(state["ladder"][which][:, :, of], 1, 2) * side[:, None]
        peak = np.where(side > 0, state["high"][which][:, of], -state["low"][which][:, of])
        busy = np.moveaxis(state["busy"][which][:, :, of], 1, 2)
        since = np.moveaxis(state["since"][which], 1, 2) / self.pace
        square = state["square"][which][:, of]
        found = features(ladder, square, busy, since, peak, self.far, self._room(), self.way)
        # where a pace is many rows, the first average is beyond the limit long after the reading is
        reached = state["last"][which][:, of] * side >= self._room()
        last = np.where(state["missing"][which][:, of] < 0, np.nan, reached)
        return np.concatenate([found, last[..., None]], axis=-1)

    def _room(self) -> Floats:
        """(B,) from the normal mean to the limit; negative where normal is beyond it."""
        return (self.limit - self.center[self.of]) * self.side

    def _quantiles(self, found: Floats) -> Floats:
        """Seconds (N, B, 3): median, low and high; inf where not in sight, 0 where reached."""
        reached = found[..., -1]
        flat = np.ascontiguousarray(found[..., :-1]).reshape(-1, FEATURES)
        times = quantiles(chances(flat)).reshape(*reached.shape, 3) * (self.pace * self.period_s)
        times[reached == 1.0] = 0.0
        times[np.isnan(reached)] = np.inf
        return times

    def _first(self, times: Floats) -> Floats:
        """Of each sensor's one or two limits the nearer, and which: (N, 4, L) from (N, B, 3)."""
        best = np.full((len(times), 4, len(self.sensors)), np.inf)
        for bound, sensor in enumerate(self.of.tolist()):
            mine, held = times[:, bound], best[:, :3, sensor]
            # where neither is in sight the smaller low end tells more
            nearer = (mine[:, 0] < held[:, 0]) | ((mine[:, 0] == held[:, 0]) & (mine[:, 1] < held[:, 1]))
            np.copyto(held, mine, where=nearer[:, None])
            np.copyto(best[:, 3, sensor], self.limit[bound], where=nearer)
        return best

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All it consists of, as plain arrays; `from_arrays` makes the same of it."""
        return {
            "sensors": np.array(self.sensors, dtype=np.str_),
            "columns": self.columns,
            "numbers": np.array([self.width, self.period_s, self.pace]),
            "center": self.center,
            "limit": self.limit,
            "of": self.of,
            "side": self.side,
            "way": self.way,
            "far": self.far,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The prognosis that gave these `arrays()`.

        Raises:
            KeyError, ValueError: they are not those of one.
        """
        sensors = tuple(str(name) for name in arrays["sensors"])
        columns, of = (np.asarray(arrays[name], dtype=np.int64) for name in ("columns", "of"))
        center, limit, side, way, far = (
            np.asarray(arrays[name], dtype=np.float64) for name in ("center", "limit", "side", "way", "far")
        )
        width, period_s, pace = (float(number) for number in arrays["numbers"])
        if columns.shape != (len(sensors),) or center.shape != columns.shape or of.ndim != 1:
            raise ValueError("arrays of different widths")
        if any(array.shape != of.shape for array in (limit, side, way, far)):
            raise ValueError("arrays of different widths")
        numbers = np.concatenate([center, limit, way, far, [width, period_s, pace]])
        good = np.isfinite(numbers).all() and bool((np.abs(side) == 1.0).all() and (way > 0).all())
        inside = bool(((columns >= 0) & (columns < width)).all() and ((of >= 0) & (of < len(sensors))).all())
        if not good or not inside or period_s <= 0 or pace < 1:
            raise ValueError("numbers out of range")
        return cls(sensors, columns, int(width), period_s, pace, center, limit, of, side, way, far)


def fit(
    runs: Floats | Sequence[Floats],
    sensors: Sequence[str],
    limits: Mapping[str, tuple[float | None, float | None]],
    period_s: float,
) -> Prognosis:
    """Learn from normal records how far the limits are and how fast the plant moves.

    Args:
        runs: one record (n, S) or several, in the sensors' units; NaN is a missing value.
        sensors: names of the S columns.
        limits: lower and upper limit of the sensors that have one, in their units; the trip where there is one, or else
            the alarm. Names that are no column, and columns without any value, have no forecast; nor have limits that
            a sensor is at or beyond in the mean of the records.
        period_s: time between rows, seconds.

    Raises:
        ValueError: shapes that do not fit, limits that are not numbers or the wrong way round.
    """
    records = [np.array(run, dtype=np.float64) for run in ([runs] if isinstance(runs, np.ndarray) else runs)]
    if not 0 < period_s < np.inf:
        raise ValueError(f"a period of {period_s} s; want a positive number of seconds")
    for record in records:
        if record.ndim != 2 or record.shape[1] != len(sensors):
            raise ValueError(f"a run of shape {record.shape}; want (rows, {len(sensors)} sensors)")
        record[~(np.abs(record) < HUGE)] = np.nan
    for name, (low, high) in limits.items():
        given = [value for value in (low, high) if value is not None]
        if not np.isfinite(given).all() or (low is not None and high is not None and low >= high):
            raise ValueError(f"limits {low} and {high} of {name}: want numbers, the lower one first")
    pace = _pace(records)
    names: list[str] = []
    columns: list[int] = []
    center: list[float] = []
    bounds: list[tuple[float, ...]] = []
    for column, name in enumerate(sensors):
        mean, spread = _normal([record[:, column] for record in records], int(pace))
        sides = zip((-1.0, 1.0), limits.get(name, (None, None)), strict=True)
        rooms = [(side, value, (value - mean) * side) for side, value in sides if value is not None]
        # what normal is at or beyond would be reached with every alarm, and hide all other limits
        rooms = [each for each in rooms if each[2] > ROUNDING * abs(each[1])]
        if not rooms:
            continue
        for side, value, room in rooms:
            # a sensor at rest is not infinitely far, and one that lives at its limit not past it
            unit = max(min(max(spread, room / FAR, 1e-12), max(room, 1e-9) / NEAR), 1e-12)
            way = max(room, NEAR * unit)
            bounds.append((value, len(names), side, way, np.log(way / unit)))
        names.append(name)
        columns.append(column)
        center.append(mean)
    limit, of, side_of, way_of, far = (
        (np.array(part, dtype=np.float64) for part in zip(*bounds, strict=True)) if (bounds) else (np.zeros(0),) * 5
    )
    return Prognosis(
        sensors=tuple(names),
        columns=np.array(columns, dtype=np.int64),
        width=len(sensors),
        period_s=float(period_s),
        pace=pace,
        center=np.array(center, dtype=np.float64),
        limit=limit,
        of=of.astype(np.int64),
        side=side_of,
        way=way_of,
        far=far,
    )


def features(
    ladder: Floats, square: Floats, busy: Floats, since: Floats, peak: Floats, far: Floats, room: Floats, way: Floats
) -> Floats:
    """What the passage is told of, (..., FEATURES), all free of units.

    Args:
        ladder: (..., K) moving averages of the distance from normal, positive towards the limit.
        square: (...) mean square of the same.
        busy: (..., 4) mean squares of differences of the averages, as `BUSY` has them.
        since: (..., 3) for how long the averages have been beyond some parts of the way, as `SHARES` has them, paces.
        peak: (...) its largest excursion, slowly forgotten.
        far: (...) logarithm of the limit's distance from normal in standard deviations.
        room: (...) the distance itself, in the sensor's unit.
        way: (...) the same, but positive.
    """
    left = np.maximum(room - ladder[..., 1], TOUCH * way)
    found: Floats = np.empty((*left.shape, FEATURES))
    found[..., 0] = np.log(left / way)
    found[..., 1] = far
    found[..., 2] = np.log1p(np.sqrt(square) / left)
    found[..., 3] = np.log1p(np.maximum(peak, 0.0) / left)
    found[..., 4:6] = ladder[..., -2:] / way[..., None]
    at = 6 + len(LADDER) - 1
    moves = ladder[..., :-1] - ladder[..., 1:]
    np.divide(moves, left[..., None], out=moves)
    np.arcsinh(4.0 * moves, out=found[..., 6:at])
    usual = np.sqrt(busy)
    np.log(usual / left[..., None] + 1e-4, out=found[..., at : at + len(BUSY)])
    at += len(BUSY)
    found[..., at : at + len(BUSY)] = (ladder[..., _FAST] - ladder[..., _SLOW]) / (usual + 1e-9 * way[..., None])
    np.log1p(since, out=found[..., at + len(BUSY) :])
    return found


def chances(found: Floats, weights: Sequence[Floats] | None = None) -> Floats:
    """Chance (N, H) that the limit is reached within each horizon, from features (N, FEATURES).

    Args:
        found: features.
        weights: those of other networks than the shipped ones: (NETS, ., .) each, in the order of `LAYERS`.
    """
    first, first_bias, second, second_bias, third, third_bias = weights or _WEIGHTS
    n = len(found)
    tiles = np.zeros((-(-n // TILE) * TILE, found.shape[1]))
    tiles[:n] = found
    hidden = np.matmul(tiles.reshape(-1, 1, TILE, found.shape[1]), first)
    hidden += first_bias
    np.maximum(hidden, 0.0, out=hidden)
    hidden = np.matmul(hidden, second)
    hidden += second_bias
    np.maximum(hidden, 0.0, out=hidden)
    out = np.matmul(hidden, third)
    out += third_bias
    out = np.mean(out, axis=1).reshape(-1, third.shape[2])[:n]
    np.clip(out, -40.0, 40.0, out=out)
    np.exp(out, out=out)
    out += 1.0
    np.divide(1.0, out, out=out)  # to come through each stretch between two horizons
    np.cumprod(out, axis=1, out=out)
    chance: Floats = np.subtract(1.0, out, out=out)
    return chance


def quantiles(chance: Floats, levels: Levels = passage.LEVELS) -> Floats:
    """Median, low and high end of the 80 % interval (N, 3), in paces, from `chances` (N, H).

    Where the limit is in sight (an even chance within the last horizon) they are those of the passages that happen
    within it; elsewhere median and high end are inf, and the low end is what nine in ten leave.

    Args:
        chance: non-decreasing along the horizons.
        levels: some times, paces, and for each the chances below which 50, 10 and 90 % of the trips of mishaps not
            learnt from happened where half the chance lay within that time; in between interpolated in its logarithm.
    """
    total = chance[:, -1:]
    seen = total[:, 0] >= passage.IN_SIGHT
    inner = chance / np.maximum(total, 1e-12)
    about = np.log(_reach(inner, 0.5))
    times = np.log([time for time, _ in levels])
    median, low, high = (_reach(inner, np.interp(about, times, [each[k] for _, each in levels])) for k in range(3))
    return np.stack(
        [np.where(seen, median, np.inf), np.where(seen, low, _reach(chance, 0.1)), np.where(seen, high, np.inf)], axis=1
    )


def _reach(chance: Floats, level: float | Floats) -> Floats:
    """Where non-decreasing rows (N, H) reach a level, interpolated in the logarithm of time; inf: not at all."""
    padded = np.concatenate([np.zeros((len(chance), 1)), chance], axis=1)
    after = (padded < np.reshape(level, (-1, 1))).sum(axis=1)
    beyond = after >= padded.shape[1]
    after = np.minimum(after, padded.shape[1] - 1)
    rows = np.arange(len(padded))
    low, high = padded[rows, after - 1], padded[rows, after]
    part = (level - low) / np.maximum(high - low, 1e-300)
    logs = _LOGS[after - 1] + np.minimum(part, 1.0) * (_LOGS[after] - _LOGS[after - 1])
    return np.where(beyond, np.inf, np.exp(logs))


def _normal(runs: Sequence[Floats], pace: int) -> tuple[float, float]:
    """Mean, and standard deviation of means over a pace, of one sensor's records."""
    values = np.concatenate(runs)
    if np.isnan(values).all():
        return np.nan, np.nan
    mean = float(np.nanmean(values))
    means = []
    for run in runs:
        whole = len(run) // pace * pace
        parts = run[:whole].reshape(-1, pace)
        means.append(np.nanmean(parts[~np.isnan(parts).all(axis=1)], axis=1))
    joined = np.concatenate(means)
    return mean, float(np.sqrt(np.mean(np.square(joined - mean)))) if len(joined) > 1 else 0.0


def _pace(records: Sequence[Floats]) -> float:
    """Rows of one pace: the plant's memory, the median over the sensors that have one, against `MEMORY`."""
    lags = np.unique(np.round(2.0 ** np.arange(0.0, 20.0, 0.25)).astype(np.int64))
    longest = max((len(record) for record in records), default=0)
    lags = lags[lags <= longest // 3]
    if not len(lags):
        return 1.0
    values = np.concatenate(records)
    with np.errstate(all="ignore"):
        center = np.array([column[~np.isnan(column)].mean() if (~np.isnan(column)).any() else 0 for column in values.T])
    power, count = np.zeros((len(lags), values.shape[1])), np.zeros((len(lags), values.shape[1]))
    total, many = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for record in records:
        x = np.nan_to_num(record - center)
        there = (~np.isnan(record)).astype(np.float64)
        total += (x * x).sum(axis=0)
        many += there.sum(axis=0)
        for at, lag in enumerate(lags.tolist()):
            if lag < len(x):
                power[at] += (x[lag:] * x[:-lag]).sum(axis=0)
                count[at] += (there[lag:] * there[:-lag]).sum(axis=0)
    variance = total / np.maximum(many, 1.0)
    curve = power / np.maximum(count, 1.0) / np.where(variance > 0, variance, 1.0)
    # white noise of the instrument is no part of what the plant remembers
    start = np.maximum(curve[0], curve[min(2, len(lags) - 1)])
    found = [
        int(lags[np.argmax(below)]) if below.any() else int(lags[-1])
        for column, height in enumerate(start)
        if variance[column] > 0 and height > 0.1
        for below in (curve[:, column] < height / np.e,)
    ]
    return max(1.0, float(np.floor(np.median(found) / MEMORY))) if found else 1.0


@cache
def _alongs(pace: float, most: int) -> tuple[_Along, _Along, _Along, _Along]:
    """Of the ladder, the mean square, those of the differences and the largest excursion, up to so many rows."""
    n, found = np.arange(most + 1.0)[:, None], []
    for paces in (LADDER, [SQUARE], _BUSY_PACES, [PEAK]):
        rate = np.minimum(1.0, 1.0 / (np.asarray(paces) * pace))
        keep = (1.0 - rate) ** n
        once = n - (1.0 - rate) / rate * (1.0 - keep)
        found.append(_Along(keep, once, n * n - (1.0 - rate) / rate * (2.0 * once - 1.0 + keep)))
    return found[0], found[1], found[2], found[3]


_FAST, _SLOW = (np.array([pair[k] for pair in BUSY]) for k in range(2))
_BUSY_PACES: Final = np.array([pair[2] for pair in BUSY])
_LOGS: Final = np.log(np.concatenate([[0.25], passage.HORIZONS]))
_ROWS: Final = [np.array(getattr(passage, name)) for name in LAYERS]
_WEIGHTS: Final = tuple(rows.reshape(passage.NETS, -1, rows.shape[1]) for rows in _ROWS)
