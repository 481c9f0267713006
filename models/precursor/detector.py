"""Scoring: how far each sensor is from what the others and its own past say it should read, over several memories.

The residual of a sensor is `r_j = (K x)_j / K_jj`, where `x` holds the newest row and its lags and `K` is the inverse
of their covariance: the error of predicting sensor `j` from everything else. `r_j^2 K_jj` is the reconstruction-based
contribution of sensor `j` (Alcala and Qin, Automatica 45 (2009) 1593-1600), so an error in one sensor does not smear
over its neighbours. Charts are moving averages of `r^2` and `r` with time constants from 1 to 300 rows; `calibration`
says how far each may go.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.detector import Floats, Result, State, Usual
from models.precursor.charts import CHARTS, GROSS_TAU, SETTLING, Charting, Charts
from models.precursor.prognosis import Prognosis
from models.precursor.residuals import Flags, Residuals, Singles, Window
from models.precursor.totals import NONE, Totals

CACHED: Final = 1024
"""Assets worked on at a time, so that their states stay in the cache."""
FORETOLD: Final = 8192
"""Rows of all assets together whose residuals are worked out at once: the lags of a long record would need memory."""
AT_ONCE: Final = 256
"""Rows of all assets together that are taken into the charts at once."""
FAR: Final = 1e4
"""No value counts as further away, in standard deviations."""
WARM: Final = 5
"""The first rows of a stream, which have no score: no limit was fitted to such rows."""
AGREE: Final = 3.0
"""Means over two memories agree within so many standard deviations of the shorter one's."""
BACK: Final = 0.5
"""A wrong reading is a single one if the one after it is off by no more than this part of it."""
THERE: Final = 0.9
"""So much of what it makes of the residuals must be known, as the square."""
OF_LIMITS: Final = "limits_"
"""What the prognosis calls its own, in the state and in a file, begins with this."""


@dataclass(frozen=True, eq=False)
class Precursor:
    """A fitted detector of `S` sensors, `M` of which move; `L` lags."""

    kind: ClassVar[str] = "precursor"
    lasting: ClassVar[tuple[str, ...]] = ("offset", "ground", "settling")
    """Parts of the state that outlive a gap: the levels that were accepted, and the mean residuals there."""

    sensors: tuple[str, ...]
    period_s: float
    usual: Usual
    center: Floats
    """(S,) in the sensors' units."""
    scale: Floats
    """(S,) in the sensors' units, positive: standard deviation, or what counts as one in a sensor that rests."""
    coarse: Floats
    """(S,) by what gross deviations are divided: 1, or more where the sensor hardly moved for its size."""
    moving: NDArray[np.int64]
    """(M,) columns of the sensors that move, in the order of their names; the others rest at one value."""
    weights: Floats
    """(M, 1 + (L + 1) * M) constant, the newest row's sensors, then the lags': residuals in standard deviations."""
    baseline: Floats
    """(M,) time constant of a slow baseline that is taken off the residual, rows; 0 for none."""
    charts: Charts
    promised: float
    """False alarms a month that the limits were set for."""
    kept: float
    """False alarms a month that the normal record is long enough to promise; not less than `promised`."""
    prognosis: Prognosis | None = None
    """Of the sensors that have a limit."""
    window: Window | None = None
    """What `weights` come from; None in a file of before, or where no sensor moves."""
    totals: Totals = NONE
    """Sensors that are judged by how much they rise from row to row; so are their level and scale above."""

    @property
    def limit(self) -> float:
        """The score from which a row begins an episode."""
        return 1.0

    @property
    def trend(self) -> tuple[str, ...]:
        """What the prognosis knows of the sensors."""
        return () if self.prognosis is None else tuple(f"{OF_LIMITS}{name}" for name in self.prognosis.initial(0))

    @property
    def lags(self) -> int:
        """Rows before the current one that are looked at."""
        return (self.weights.shape[1] - 1) // max(1, len(self.moving)) - 1 if len(self.moving) else 0

    @property
    def warm_up(self) -> int:
        """The first rows of a stream, which have no score."""
        return WARM if len(self.moving) else 0

    @cached_property
    def _live(self) -> "_Live":
        return _Live(self)

    def initial(self, assets: int) -> State:
        """State of `assets` streams that have not begun."""
        m, depth = len(self.moving), max(1, self.lags)
        charts = np.zeros((assets, len(self._live.charts.keep)), dtype=np.float32)
        parts = self._live.charts.parts(charts)
        parts.energy[:] = parts.spread[:] = 1.0
        ahead = {} if self.prognosis is None else self.prognosis.initial(assets)
        return {
            **{f"{OF_LIMITS}{name}": array for name, array in ahead.items()},
            **self.totals.initial(assets),
            "past": np.zeros((assets, depth, m), dtype=np.float32),
            "absent": np.zeros((assets, depth, m), dtype=np.bool_),
            "left_out": np.zeros((assets, m), dtype=np.float32),
            "seen": np.zeros(assets, dtype=np.int8),
            "base": np.zeros((assets, m), dtype=np.float32),
            "offset": np.zeros((assets, len(self.sensors)), dtype=np.float32),
            "ground": np.zeros((assets, m), dtype=np.float32),
            "settling": np.zeros(assets, dtype=np.int16),
            "charts": charts,
            "below": np.zeros(assets, dtype=np.int8),
            "alarm": np.zeros(assets, dtype=np.bool_),
        }

    def score(self, state: State, block: Floats) -> tuple[State, Result]:
        """Score a block `(A, T, S)`; see `models.detector.Detector.score`."""
        after = {name: array.copy() for name, array in state.items()}
        return after, self.advance(after, block)

    def advance(
        self, state: State, block: Floats, read: Floats | None = None, elapsed: NDArray[np.int16] | None = None
    ) -> Result:
        """The same, with the state brought up to date in place."""
        if block.ndim != 3 or block.shape[2] != len(self.sensors) or len(state["seen"]) != len(block):
            raise ValueError(
                f"a block of shape {block.shape}; want ({len(state['seen'])} assets, rows, {len(self.sensors)} sensors)"
            )
        assets, rows, width = block.shape
        charts = np.empty((len(CHARTS), assets, rows))
        result = Result(
            score=np.empty((assets, rows)),
            alarm=np.empty((assets, rows), dtype=np.bool_),
            contributions=np.empty((assets, rows, width)),
            statistics={name: charts[at] for at, name in enumerate(CHARTS)},
            deviation=np.empty((assets, rows, width), dtype=np.float32),
            residual=np.zeros((assets, rows, width), dtype=np.float32),
        )
        seen = self.totals.rises(state, block) if len(self.totals.columns) else block
        for first in range(0, assets if rows else 0, CACHED):
            some = slice(first, first + CACHED)
            theirs = state if assets <= CACHED else {name: array[some] for name, array in state.items()}
            self._live.score(theirs, seen[some], result, charts, some)
        if self.prognosis is None:
            return result
        mine = {name.removeprefix(OF_LIMITS): array for name, array in state.items() if name.startswith(OF_LIMITS)}
        shown = block if read is None else read
        after, forecast = self.prognosis.score(mine, shown, result.alarm, elapsed=elapsed)
        for name, array in after.items():
            mine[name][:] = array
        return result._replace(forecast=forecast)

    def accept(self, state: State, assets: NDArray[np.bool_]) -> State:
        """Take where the assets (A,) chosen stand now for normal: shifts are taken off, open episodes end.

        What the model knows of how the sensors move together stays; the sensors' levels are those of the last rows, and
        what the residuals are there in the mean is learned for some rows more.
        """
        after = {name: array.copy() for name, array in state.items()}
        charts = after["charts"][assets]
        parts = self._live.charts.parts(charts)
        moved = parts.deviation[:, self.moving]
        if len(self.moving):
            # levels taken each by itself agree with what the model knows only roughly
            lasting = self._lasting(parts.lately, parts.shift)
            total = self.weights[:, 1:].reshape(len(self.moving), -1, len(self.moving)).sum(axis=1)
            expected = (moved[:, None] @ total.T)[:, 0]  # of each by itself: BLAS rounds by shape
            after["ground"][assets] += (lasting - expected).astype(np.float32)
            parts.lately[:] = 0.0
        after["settling"][assets] = 1 + SETTLING
        after["offset"][assets] += parts.deviation
        after["past"][assets] -= moved[:, None]
        parts.deviation[:] = parts.shift[:] = 0.0
        parts.energy[:] = parts.spread[:] = 1.0
        after["charts"][assets] = charts
        after["below"][assets] = 0
        after["alarm"][assets] = False
        return after

    def _lasting(self, lately: Singles, shift: Singles) -> Floats:
        """The mean residuals (A, M) of where the assets stand, by those of their last rows (A, M).

        The mean of few rows is rough: that of a longer memory takes its place as long as the two agree, which they do
        not where something changed of late.
        """
        found = lately.astype(np.float64)
        rough = np.full(found.shape, 1.0 / np.sqrt(2.0 * GROSS_TAU - 1.0))
        agree = np.ones(found.shape, dtype=np.bool_)
        for at in np.flatnonzero(self.charts.memory > GROSS_TAU):
            longer = shift[:, at].astype(np.float64)
            agree &= (np.abs(longer - found) <= AGREE * rough) & (np.abs(longer) < 0.99 * self.charts.shift[2, at])
            found[agree] = longer[agree]
            rough[agree] = 1.0 / np.sqrt(2.0 * self.charts.memory[at] - 1.0)
        return found

    def shift(self, state: State) -> Floats:
        """(A, S) how far what was accepted is from the normal record, in the sensors' units."""
        return np.asarray(state["offset"] * self.scale)

    def drift(self, state: State) -> Floats:
        """How far (A,) the model is from the stream by its longest memory: 0 as fitted, 1 at the limit.

        A value that stays near 1 without an alarm says that the plant is no longer the one that was learned.
        """
        if not len(self.charts.memory):
            return np.zeros(len(state["seen"]))
        parts = self._live.charts.parts(state["charts"])
        centre, gain, _ = self.charts.shift[:, -1]
        value = ((np.abs(parts.shift[:, -1]) - centre) * gain).max(axis=1, initial=0.0)
        energy = (parts.energy[:, -1] - self.charts.energy[-1, 0]) * self.charts.energy[-1, 1]
        return np.asarray(np.maximum(np.maximum(value, energy), 0.0), dtype=np.float64)

    def echo(self, sensor: int, rows: int) -> Floats:
        """By how many standard deviations (S,) one unit more of a sensor so many rows ago moves the residuals."""
        moved = np.zeros(len(self.sensors))
        at = np.flatnonzero(self.moving == sensor)
        if len(at) and rows <= self.lags:
            moved[self.moving] = self.weights[:, 1 + rows * len(self.moving) + at[0]] / self.scale[sensor]
        return moved

    def additive(self, first: Singles, second: Singles) -> tuple[Floats, Floats]:
        """See `models.detector.Detector`: an additive outlier, told from what moved the plant by what comes of it.

        A wrong reading moves its own residual and, by the weights, the others' of its row and of those after it, and
        nothing else (Chang, Tiao and Chen 1988, Technometrics 30, 193: additive and innovational outliers).
        """
        found = np.zeros((2, len(self.sensors)))
        rows = np.concatenate([first[self.moving], second[self.moving]]).astype(np.float64)
        total = float(rows @ rows)
        if total > 0:
            m = len(self.moving)
            by = self._traces @ rows
            # its reading in the second row as well: one that is not back is no single one
            now = self._traces[:, :m] @ rows[m:]
            own = np.square(self._traces[:, :m]).sum(axis=1)
            both = (self._traces[:, :m] * self._traces[:, m:]).sum(axis=1)
            rest = np.maximum(own - np.square(both), 1e-12)
            later = (now - both * by) / rest
            back = np.abs(later) <= BACK * np.abs(by - both * later)
            # a residual that is not told is 0
            there = np.square(self._traces) @ (rows != 0) > THERE
            there &= (rows[:m] != 0) & (rows[m:] != 0) & back
            there &= ~np.isin(self.moving, self.totals.columns)  # what a wrong one makes is missing
            found[0, self.moving] = np.where(there, by, 0.0)
            found[1] = np.square(found[0]) / total
        return found[0], found[1]

    @cached_property
    def _traces(self) -> Floats:
        """(M, 2 * M) what a wrong reading of each sensor makes of the residuals of its row and the next, of size 1."""
        m = len(self.moving)
        both = np.zeros((m, 2 * m))
        both[:, :m] = self.weights[:, 1 : 1 + m].T
        if self.lags:
            both[:, m:] = self.weights[:, 1 + m : 1 + 2 * m].T
        return np.asarray(both / np.linalg.norm(both, axis=1, keepdims=True))

    def unjudged(self, there: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Sensors (S,) that have values and are not judged by them, as too much of what foretells them is not there.

        Args:
            there: (S,) those that have values.
        """
        found = np.zeros(len(self.sensors), dtype=np.bool_)
        found[self.moving] = there[self.moving] & ~self._live.residuals.told(~there[self.moving])
        return found

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All it was fitted to; `from_arrays` makes the same detector of it."""
        ahead = {} if self.prognosis is None else self.prognosis.arrays()
        window = {}
        if self.window is not None:
            mean, size, correlation = self.window
            half = correlation[np.triu_indices(len(mean))]
            window = {"window_mean": mean, "window_size": size, "window_correlation": half}
        some = len(self.totals.columns) > 0
        return {
            **window,
            **({f"totals_{name}": array for name, array in self.totals._asdict().items()} if some else {}),
            "sensors": np.array(self.sensors, dtype=np.str_),
            "period_s": np.array(self.period_s),
            **{f"usual_{name}": array for name, array in self.usual._asdict().items()},
            **{f"charts_{name}": array for name, array in self.charts._asdict().items()},
            "center": self.center,
            "scale": self.scale,
            "coarse": self.coarse,
            "moving": self.moving,
            "weights": self.weights,
            "baseline": self.baseline,
            "promise": np.array([self.promised, self.kept]),
            **{f"{OF_LIMITS}{name}": array for name, array in ahead.items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The detector that gave these `arrays()`.

        Raises:
            KeyError, ValueError: they are not those of a detector of this kind.
        """
        floats = {
            name: np.ascontiguousarray(arrays[name], dtype=np.float64)
            for name in ("center", "scale", "coarse", "weights", "baseline")
        }
        charts = Charts(
            **{name: np.ascontiguousarray(arrays[f"charts_{name}"], dtype=np.float64) for name in Charts._fields}
        )
        sensors = tuple(str(name) for name in arrays["sensors"])
        usual = Usual(
            low=np.asarray(arrays["usual_low"], dtype=np.float64),
            high=np.asarray(arrays["usual_high"], dtype=np.float64),
            same=np.asarray(arrays["usual_same"], dtype=np.int64),
            missing=np.asarray(arrays["usual_missing"], dtype=np.int64),
            # a file of before does not say
            leap=np.asarray(arrays.get("usual_leap", np.full(len(sensors), np.inf)), dtype=np.float64),
        )
        moving = np.asarray(arrays["moving"], dtype=np.int64)
        width, m, memories = len(sensors), len(moving), len(charts.memory)
        shapes = {"center": (width,), "scale": (width,), "coarse": (width,), "baseline": (m,)}
        fits = all(floats[name].shape == wanted for name, wanted in shapes.items())
        wide = floats["weights"].shape[1] if floats["weights"].ndim == 2 else 0
        fits &= wide > 0 and len(floats["weights"]) == m
        fits &= not m or ((wide - 1) % m == 0 and wide > m)
        fits &= charts.spread.shape == charts.shift.shape == (3, memories, m) and charts.memory.ndim == 1
        fits &= charts.energy.shape == (len(charts.tau), 3) and charts.tau.ndim == 1
        if not fits or not width or any(array.shape != (width,) for array in usual):
            raise ValueError("arrays of different widths")
        period_s, (promised, kept) = float(arrays["period_s"]), (float(value) for value in arrays["promise"])
        numbers = [*floats.values(), *charts, np.array([period_s, promised, kept])]
        positive = [floats["scale"], floats["coarse"], charts.tau, charts.memory, np.array([period_s, promised, kept])]
        if not all(np.isfinite(array).all() for array in numbers) or any((array <= 0).any() for array in positive):
            raise ValueError("numbers out of range")
        if len(set(sensors)) != width or len(np.unique(moving)) != m or ((moving < 0) | (moving >= width)).any():
            raise ValueError("names or columns that repeat")
        ahead = {name.removeprefix(OF_LIMITS): array for name, array in arrays.items() if name.startswith(OF_LIMITS)}
        prognosis = Prognosis.from_arrays(ahead) if ahead else None
        window = _window(arrays, wide - 1) if "window_mean" in arrays else None
        if prognosis is not None and (prognosis.width != width or prognosis.period_s != period_s):
            raise ValueError("a prognosis of other sensors")
        return cls(
            sensors=sensors,
            period_s=period_s,
            usual=usual,
            moving=moving,
            charts=charts,
            promised=promised,
            kept=kept,
            prognosis=prognosis,
            window=window,
            totals=_totals(arrays, width) if "totals_columns" in arrays else NONE,
            **floats,
        )


def _totals(arrays: Mapping[str, NDArray[Any]], width: int) -> Totals:
    """The totals of a file, of so many sensors; ValueError if they are none."""
    columns = np.asarray(arrays["totals_columns"], dtype=np.int64)
    most = np.ascontiguousarray(arrays["totals_most"], dtype=np.float64)
    if not columns.shape == most.shape == (len(columns),) or not len(columns):
        raise ValueError("arrays of different widths")
    if len(np.unique(columns)) != len(columns) or ((columns < 0) | (columns >= width)).any():
        raise ValueError("names or columns that repeat")
    if not np.isfinite(most).all():
        raise ValueError("numbers out of range")
    return Totals(columns, most)


def _window(arrays: Mapping[str, NDArray[Any]], wide: int) -> Window:
    """The window of a file, of so many values; ValueError if it is none."""
    mean, size, half = (
        np.ascontiguousarray(arrays[f"window_{name}"], dtype=np.float64) for name in ("mean", "size", "correlation")
    )
    if mean.shape != (wide,) or size.shape != (wide,) or half.shape != (wide * (wide + 1) // 2,):
        raise ValueError("arrays of different widths")
    correlation = np.zeros((wide, wide))
    correlation[np.triu_indices(wide)] = half
    correlation = correlation + np.triu(correlation, 1).T
    if not all(np.isfinite(array).all() for array in (mean, size, half)) or (size <= 0).any():
        raise ValueError("numbers out of range")
    try:
        np.linalg.cholesky(correlation)
    except np.linalg.LinAlgError as error:
        raise ValueError("numbers out of range") from error
    return Window(mean, size, correlation)


class _Live:
    """What scoring needs of a model, in the types it works in."""

    def __init__(self, model: Precursor) -> None:
        self.moving, self.center, self.scale = model.moving, model.center, model.scale
        self.resting = np.setdiff1d(np.arange(len(model.sensors)), model.moving)
        self.low, self.high = model.usual.low[self.resting], model.usual.high[self.resting]
        self.residuals = Residuals(model.weights, model.window)
        self.charts = Charting(model.charts, model.moving, model.coarse, model.baseline)
        self.warm, self.cold = model.warm_up, model.warm_up - model.lags

    def score(self, state: State, block: Floats, result: Result, charts: Floats, some: slice) -> None:
        """Score a block (A, T, S) into the rows `some` of the result; `state` is brought up to date in place.

        `charts` (4, all assets, T) are the result's statistics.
        """
        z, known = self._standard(state, block)
        rows, most = block.shape[1], max(1, AT_ONCE // len(block))
        gaps = known is not None or bool(np.logical_or.reduce(state["absent"], axis=None))
        told = np.ones(block.shape, dtype=np.bool_) if known is None and gaps else known
        outages = [] if known is None else np.flatnonzero(~known.any(axis=2).all(axis=0)).tolist()
        lost = iter([*outages, rows])  # rows in which an asset has no value at all, and the end
        until = next(lost)
        residual: Singles = np.zeros((0, len(block), self.residuals.m), dtype=np.float32)
        valid: Flags | None = None
        row, begin, alone = 0, 0, False
        while row < rows:
            settling = np.maximum.reduce(state["settling"]) > 1
            if row == begin + len(residual):
                begin, part = row, slice(row, row + (1 if settling and gaps else max(1, FORETOLD // len(block))))
                residual, valid = self._residuals(state, z[:, part], None if told is None else told[:, part])
            until = next(lost) if until < row else until
            count, calm = 1, not (alone or settling or np.logical_or.reduce(state["alarm"]))
            if calm and np.minimum.reduce(state["seen"]) >= self.warm:
                count = max(1, min(most, begin + len(residual) - row, until - row))
            there = None if known is None or until > row else np.asarray(known[:, row].any(axis=1))
            live = self._counting(state["seen"], there)
            several, its = slice(row, row + count), slice(row - begin, row - begin + count)
            present = None if known is None or known[:, several].all() else known[:, several].swapaxes(0, 1)
            taken = self.charts.take(
                state,
                residual[its],
                None if valid is None or valid[its].all() else valid[its],
                z[:, several].swapaxes(0, 1),
                present,
                live,
                row,
                result,
                charts,
                some,
            )
            row, alone = row + taken, not taken

    def _standard(self, state: State, block: Floats) -> tuple[Singles, Flags | None]:
        """A block (A, T, S) in standard deviations, 0 where a value is missing; and where there is one, if not all."""
        with np.errstate(over="ignore", invalid="ignore"):
            z = ((block - self.center) / self.scale).astype(np.float32)
            known = None if np.maximum.reduce(np.abs(z), axis=None, initial=0.0) <= FAR else np.isfinite(block)
        if known is not None:  # something is missing, or beyond all bounds
            np.clip(z, -FAR, FAR, out=z)
            if known.all():
                known = None
            else:
                z[~known] = 0.0
        if len(self.resting):
            z[..., self.resting] = self._moved(block[..., self.resting])
        z -= state["offset"][:, None]
        return z, known

    def _moved(self, values: Floats) -> Singles:
        """By how many of their scales resting sensors left the range of the normal record; 0 where nothing is."""
        with np.errstate(over="ignore", invalid="ignore"):
            moved = (values - np.clip(values, self.low, self.high)) / self.scale[self.resting]
        return np.where(np.isfinite(values), np.clip(moved, -FAR, FAR), 0.0).astype(np.float32)

    def _residuals(self, state: State, z: Singles, known: Flags | None) -> tuple[Singles, Flags | None]:
        """Residuals (T, A, M) of rows (A, T, S), and which can be trusted, if not all."""
        x = z.take(self.moving, axis=2)
        if not len(self.moving):
            return x.swapaxes(0, 1), None
        if known is None:
            return self.residuals.whole(state["past"], x).swapaxes(0, 1), None
        inside = known.take(self.moving, axis=2)
        residual, valid = self.residuals.with_gaps(state["past"], state["absent"], state["ground"], x, inside)
        return residual.swapaxes(0, 1), valid.swapaxes(0, 1)

    def _counting(self, seen: NDArray[np.int8], there: Flags | None) -> Flags | None:
        """Whose row (A,) counts, None for all; `there` (A,) are those that have any value, None for all."""
        if there is None and np.minimum.reduce(seen) >= self.warm:
            return None
        if there is None:
            live = seen >= self.warm
            np.minimum(seen + 1, self.warm, out=seen)
            return live
        seen[~there & (seen > self.cold)] = self.cold  # what comes after an outage fills the lags anew
        live = (seen >= self.warm) & there
        np.minimum(seen + there, self.warm, out=seen)
        return live
