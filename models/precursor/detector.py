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
from typing import Any, ClassVar, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from models.detector import Floats, Result, State, Usual
from models.precursor.prognosis import Prognosis
from models.precursor.totals import NONE, Totals

Singles = NDArray[np.float32]

TILE: Final = 8
"""Rows of every matrix product: BLAS rounds by shape, so the shape is always the same."""
CACHED: Final = 1024
"""Assets worked on at a time, so that their states stay in the cache."""
AT_ONCE: Final = 256
"""Rows of all assets together that are taken into the charts at once."""
CLIP: Final = 10.0
"""A residual counts at most so many standard deviations: one wild row does not ring for an hour."""
FAR: Final = 1e4
"""No value counts as further away, in standard deviations."""
RULES: Final = 64
"""Patterns of what is missing whose rules are kept."""
LACKING: Final = 0.3
"""A residual is left out when so much of its variance comes of values that the model has to do without."""
LEFT_OUT: Final = 100
"""Rows over which it is counted how often a residual is left out."""
SUMS: Final = 4.5
"""A lasting shift must be so many standard deviations of what left out rows add to its mean: sums of residuals cancel
out, and do so no more without some of them."""
WARM: Final = 5
"""The first rows of a stream, which have no score: no limit was fitted to such rows."""
GROSS_TAU: Final = 10
GROSS: Final = 20.0
"""A sensor whose recent mean is so many standard deviations away is a finding whatever the others say."""
AGREE: Final = 3.0
"""Means over two memories agree within so many standard deviations of the shorter one's."""
HARDLY: Final = 0.3
"""Standard deviations of a residual: by less one of a level does not move it to speak of."""
SETTLING: Final = 300
"""Rows after an operating point was accepted in which the mean residuals are still learned, but in alarm."""
TRUSTED: Final = 20
"""Rows that those known by then count for."""
FAST: Final = 30
"""Memories up to so many rows are fast."""
OFF: Final = (0.5, 0.8)
"""An episode ends below these parts of the limit, by fast memories and by slow ones."""
OFF_ROWS: Final = 10
"""Rows that must stay below for an episode to end."""
OF_LIMITS: Final = "limits_"
"""What the prognosis calls its own, in the state and in a file, begins with this."""
CHARTS: Final = ("energy", "sensor", "shift", "gross")
"""Mean of all squared residuals; the largest of one sensor; the largest lasting shift of one; gross deviation."""


class Charts(NamedTuple):
    """Memories and their scales: `value -> (value - centre) * gain` is 1 at the limit."""

    tau: Floats
    """(K,) time constants of the mean of all squared residuals, rows, growing."""
    energy: Floats
    """(K, 3) centre, gain and cap of each."""
    memory: Floats
    """(Q,) time constants of the charts of single sensors."""
    spread: Floats
    """(3, Q, M) centre, gain and cap of the mean squared residual of each sensor."""
    shift: Floats
    """(3, Q, M) the same of the size of its mean residual."""


class Window(NamedTuple):
    """How the `P = (L + 1) * M` values of a row and its lags move together, the newest row's first."""

    mean: Floats
    """(P,) in standard deviations."""
    size: Floats
    """(P,) their own standard deviations, positive."""
    correlation: Floats
    """(P, P) shrunk, positive definite."""


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
    def lags(self) -> int:
        """Rows before the current one that are looked at."""
        return (self.weights.shape[1] - 1) // max(1, len(self.moving)) - 1 if len(self.moving) else 0

    @property
    def warm_up(self) -> int:
        """The first rows of a stream, which have no score."""
        return WARM if len(self.moving) else 0

    @cached_property
    def _fast(self) -> "_Fast":
        return _Fast(self)

    def initial(self, assets: int) -> State:
        """State of `assets` streams that have not begun."""
        m, depth = len(self.moving), max(1, self.lags)
        charts = np.zeros((assets, len(self._fast.keep)), dtype=np.float32)
        parts = self._fast.parts(charts)
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
            "lately": np.zeros((assets, m), dtype=np.float32),
            "charts": charts,
            "below": np.zeros(assets, dtype=np.int8),
            "alarm": np.zeros(assets, dtype=np.bool_),
        }

    def score(self, state: State, block: Floats) -> tuple[State, Result]:
        """Score a block `(A, T, S)`; see `models.detector.Detector.score`."""
        after = {name: array.copy() for name, array in state.items()}
        return after, self.advance(after, block)

    def advance(self, state: State, block: Floats) -> Result:
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
        )
        seen = self.totals.rises(state, block) if len(self.totals.columns) else block
        for first in range(0, assets if rows else 0, CACHED):
            some = slice(first, first + CACHED)
            theirs = state if assets <= CACHED else {name: array[some] for name, array in state.items()}
            self._fast.score(theirs, seen[some], result, charts, some)
        if self.prognosis is None:
            return result
        mine = {name.removeprefix(OF_LIMITS): array for name, array in state.items() if name.startswith(OF_LIMITS)}
        after, forecast = self.prognosis.score(mine, block, result.alarm)
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
        parts = self._fast.parts(charts)
        moved = parts.deviation[:, self.moving]
        if len(self.moving):
            # levels taken each by itself agree with what the model knows only roughly
            lasting = self._lasting(after["lately"][assets], parts.shift)
            total = self.weights[:, 1:].reshape(len(self.moving), -1, len(self.moving)).sum(axis=1)
            after["ground"][assets] += (lasting - moved @ total.T).astype(np.float32)
            after["lately"][assets] = 0.0
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
        parts = self._fast.parts(state["charts"])
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


class _Rules(NamedTuple):
    """How residuals come from rows with their lags."""

    constant: Singles
    """(M,)"""
    weights: Singles
    """(P, M)"""
    trusted: NDArray[np.bool_]
    """(M,) residuals that are told."""


def _rules(constant: Floats, weights: Floats, trusted: NDArray[np.bool_]) -> _Rules:
    """Of a constant (M,), weights (M, P) and whom to trust (M,)."""
    return _Rules(constant.astype(np.float32), np.ascontiguousarray(weights.T, dtype=np.float32), trusted)


class _Parts(NamedTuple):
    """The charts of `A` assets, as views of an array (A, F)."""

    energy: Singles
    """(A, K)."""
    spread: Singles
    """(A, Q, M)."""
    shift: Singles
    """(A, Q, M)."""
    deviation: Singles
    """(A, S)."""


class _Fast:
    """What scoring needs of a model, in the types it works in."""

    def __init__(self, model: Precursor) -> None:
        single = np.float32
        m = len(model.moving)
        self.m, self.lags, self.width = m, model.lags, len(model.sensors)
        self.warm = model.warm_up
        self.cold = self.warm - self.lags
        self.moving, self.center, self.scale = model.moving, model.center, model.scale
        self.resting = np.setdiff1d(np.arange(self.width), model.moving)
        self.low, self.high = model.usual.low[self.resting], model.usual.high[self.resting]
        self.every = m == self.width
        self.place = np.argsort(model.moving)
        """Where each sensor stands among those that move, if every one does."""
        self.rules = _rules(model.weights[:, 0], model.weights[:, 1:], np.ones(m, dtype=np.bool_))
        self.constant, self.weights = self.rules.constant, self.rules.weights
        self.window, self.deviation = model.window, 1.0 / np.diagonal(model.weights[:, 1 : m + 1])
        self._without: dict[bytes, _Rules] = {}
        self.baseline = np.divide(1.0, model.baseline, out=np.zeros(m), where=model.baseline > 0).astype(single)
        self.based = bool(self.baseline.any())
        self.count = single(max(1, m))
        charts = model.charts
        self.memories = len(charts.memory)
        lengths = len(charts.tau), self.memories * m, self.memories * m, self.width
        self.ends = np.cumsum(lengths).tolist()
        # All charts are moving averages, told and bounded alike, so they lie side by side (F): those of `CHARTS`.
        none, each = np.zeros(self.width), np.ones((self.memories, m))
        keep = 1.0 / charts.tau, each / charts.memory[:, None], each / charts.memory[:, None], none + 1.0 / GROSS_TAU
        centre = charts.energy[:, 0], charts.spread[0], charts.shift[0], none
        gain = charts.energy[:, 1], charts.spread[1], charts.shift[1], 1.0 / (GROSS * model.coarse)
        cap = charts.energy[:, 2], charts.spread[2], charts.shift[2], none + np.inf
        self.keep, self.centre, self.gain, self.cap = (
            np.concatenate([part.ravel() for part in parts]).astype(single) for parts in (keep, centre, gain, cap)
        )
        most = charts.shift[0] + 1.0 / charts.shift[1]
        tau = charts.memory[:, None]
        self.wider = (np.square(SUMS / most) / (2.0 * tau)).astype(single)
        """(Q, M) by how much left out rows add to the square of a lasting shift at its limit."""
        self.least = ((self.cap - self.centre) * self.gain)[np.isfinite(self.cap)].min(initial=np.inf)
        """Below this value no chart is at its cap."""
        self.told = [at for at, length in enumerate(lengths) if length]
        self.firsts = np.array([([0, *self.ends])[at] for at in self.told])
        slow = charts.tau > FAST, (each * charts.memory[:, None]).ravel() > FAST
        self.slow = np.flatnonzero(np.concatenate([slow[0], slow[1], slow[1], none > 0]))
        self.fast = np.setdiff1d(np.arange(len(self.keep)), self.slow)

    def parts(self, charts: Singles) -> _Parts:
        """The charts in (A, F)."""
        a, b, c, _ = self.ends
        shape = len(charts), self.memories, self.m
        return _Parts(charts[:, :a], charts[:, a:b].reshape(shape), charts[:, b:c].reshape(shape), charts[:, c:])

    def score(self, state: State, block: Floats, result: Result, charts: Floats, some: slice) -> None:
        """Score a block (A, T, S) into the rows `some` of the result; `state` is brought up to date in place.

        `charts` (4, all assets, T) are the result's statistics.
        """
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
        x = z.take(self.moving, axis=2)
        whole = known is None and not np.logical_or.reduce(state["absent"], axis=None)
        if whole and self.m and np.maximum.reduce(state["left_out"], axis=None) == 0.0:
            residuals, z = self._residuals(state, x).swapaxes(0, 1), z.swapaxes(0, 1)
            row, rows, most, alone = 0, block.shape[1], max(1, AT_ONCE // len(block)), False
            while row < rows:
                calm = rows > 1 and not alone and not np.logical_or.reduce(state["alarm"])
                calm = calm and np.maximum.reduce(state["settling"]) <= 1
                count = most if calm and np.minimum.reduce(state["seen"]) >= self.warm else 1
                several = slice(row, row + count)
                taken = self._rows(state, residuals[several], None, z[several], None, row, result, charts, some)
                row, alone = row + taken, not taken
            return
        if known is None:
            known = np.ones(block.shape, dtype=np.bool_)
        inside = known.take(self.moving, axis=2)
        for row in range(block.shape[1]):
            residual, valid = self._do_without(state, x[:, row], inside[:, row])
            self._rows(state, residual[None], valid, z[None, :, row], known[:, row], row, result, charts, some)

    def _moved(self, values: Floats) -> Singles:
        """By how many of their scales resting sensors left the range of the normal record; 0 where nothing is."""
        with np.errstate(over="ignore", invalid="ignore"):
            moved = (values - np.clip(values, self.low, self.high)) / self.scale[self.resting]
        return np.where(np.isfinite(values), np.clip(moved, -FAR, FAR), 0.0).astype(np.float32)

    def _residuals(self, state: State, x: Singles) -> Singles:
        """Residuals (A, T, M) of whole rows."""
        assets, rows, m = x.shape
        depth, n = self.lags + 1, assets * rows
        padded = np.empty((-(-n // TILE) * TILE, depth, m), dtype=np.float32)
        padded[n:] = 0.0
        lagged = padded[:n].reshape(assets, rows, depth, m)
        lagged[:, :, 0] = x
        past = state["past"]
        for row in range(min(rows, self.lags)):
            lagged[:, row, row + 1 :] = past[:, : self.lags - row]
        for lag in range(1, min(rows, depth)):
            lagged[:, lag:, lag] = x[:, : rows - lag]
        out = np.matmul(padded.reshape(-1, TILE, depth * m), self.weights)
        past[:] = lagged[:, -1, : past.shape[1]]
        residuals: Singles = out.reshape(-1, m)[:n].reshape(assets, rows, m)
        residuals += self.constant
        return residuals

    def _do_without(self, state: State, x: Singles, known: NDArray[np.bool_]) -> tuple[Singles, NDArray[np.bool_]]:
        """Residuals (A, M) of one row with missing values, in it or its lags, and which of them can be trusted.

        They are what the values that are there say of each other: each residual that of a model fitted without the
        missing ones. Nothing is put in for these, so that no guess rests on another.
        """
        assets, m = x.shape
        if not m:
            return x, known
        past, absent = state["past"], state["absent"]
        lagged = np.concatenate([np.where(known, x, 0.0)[:, None], past[:, : self.lags]], axis=1, dtype=np.float32)
        missing = np.concatenate([~known[:, None], absent[:, : self.lags]], axis=1)
        residual, valid = np.empty((assets, m), dtype=np.float32), np.empty((assets, m), dtype=np.bool_)
        if moves := bool(np.logical_or.reduce(state["ground"], axis=None)):
            # what the residuals are in the mean is another number for every pattern; what levels come of it is not
            levels, expected = (_product(matrix, state["ground"]) for matrix in self._behind)
        patterns = np.packbits(missing.reshape(assets, -1), axis=1)
        _, firsts, which = np.unique(patterns.view(f"V{patterns.shape[1]}"), return_index=True, return_inverse=True)
        for at, first in enumerate(firsts.tolist()):
            some = np.flatnonzero(which.ravel() == at)
            rules = self._rules_without(missing[first].ravel())
            rows = lagged[some]
            if rules is not self.rules and moves:
                rows = np.where(missing[some], np.float32(0.0), rows - levels[some, None])
            residual[some], valid[some] = _residual(rules, rows.reshape(len(some), -1)), rules.trusted
            if rules is not self.rules and moves:
                residual[some] += expected[some]
        past[:, 1:], absent[:, 1:] = past[:, :-1].copy(), absent[:, :-1].copy()
        past[:, 0], absent[:, 0] = lagged[:, 0], ~known
        return residual, valid

    @cached_property
    def _behind(self) -> tuple[Singles, Singles]:
        """(M, M) from mean residuals to the levels, as near to none as can be, that make them, and back from these."""
        total = self.weights.reshape(-1, self.m, self.m).sum(axis=0, dtype=np.float64)
        left, size, right = np.linalg.svd(total)
        levels = (right.T * (size / (size**2 + HARDLY**2))) @ left.T
        return levels.astype(np.float32), (levels @ total).astype(np.float32)

    @cached_property
    def _precision(self) -> Floats:
        """(P, P) the inverse of how the window's values move together."""
        assert self.window is not None
        return np.asarray(np.linalg.inv(self.window.correlation))

    def _rules_without(self, missing: NDArray[np.bool_]) -> _Rules:
        """Those that would have been fitted without the values of the window (P,) that are `missing`."""
        if not missing.any():
            return self.rules
        key = missing.tobytes()
        if key not in self._without:
            if len(self._without) >= RULES:
                self._without.pop(next(iter(self._without)))
            self._without[key] = self._made_without(missing)
        return self._without[key]

    def _made_without(self, missing: NDArray[np.bool_]) -> _Rules:
        trusted = np.zeros(self.m, dtype=np.bool_)
        if self.window is None:  # a model of before
            return self.rules._replace(trusted=trusted)
        mean, size, _ = self.window
        gone, every = np.flatnonzero(missing), self._precision
        at = np.flatnonzero(~missing[: self.m])
        # the inverse of what is left of the covariance: a Schur complement
        left = every[at] - every[np.ix_(at, gone)] @ np.linalg.solve(every[np.ix_(gone, gone)], every[gone])
        left[:, gone] = 0.0
        own, before = np.maximum(left[np.arange(len(at)), at], 1e-300), every[at, at]
        # a residual is as much larger as the sensor is less foretold; far larger ones no chart was fitted to
        larger = before / own
        trusted[at] = larger * (1.0 - LACKING) < 1.0
        weights = np.zeros((self.m, len(mean)))
        weights[at] = left / own[:, None] * (size[at, None] / size)
        weights[at] /= (self.deviation[at] * np.sqrt(larger))[:, None]
        weights[~trusted] = 0.0
        return _rules(-(weights @ mean), weights, trusted)

    def _rows(
        self,
        state: State,
        residual: Singles,
        valid: NDArray[np.bool_] | None,
        z: Singles,
        known: NDArray[np.bool_] | None,
        row: int,
        result: Result,
        charts: Floats,
        some: slice,
    ) -> int:
        """Take rows `row` and those after it of every asset into the charts; how many were taken.

        Of several rows (T, A, M) and (T, A, S) those before the first that reaches a limit; all that follows from
        reaching one is for a row that comes alone. `valid` and `known`, (A, M) and (A, S), are None when nothing is
        missing, as it must be in several.
        """
        seen, alarm = state["seen"], state["alarm"]
        live = None  # assets whose row counts; None for all
        if known is not None:
            there = known.any(axis=1)
            seen[~there & (seen > self.cold)] = self.cold  # what comes after an outage fills the lags anew
        if known is not None or np.minimum.reduce(seen) < self.warm:
            live = seen >= self.warm
            if known is not None:
                live &= there
                np.minimum(seen + there, self.warm, out=seen)
            else:
                np.minimum(seen + 1, self.warm, out=seen)
            valid = np.repeat(live[:, None], self.m, axis=1) if valid is None else valid & live[:, None]
        settled = np.maximum.reduce(state["settling"]) > 0
        if settled:
            residual = residual - state["ground"]
        if self.based:
            bases = [state["base"]]
            residual = residual.copy()
            for now in residual:
                now -= bases[-1]
                step = np.clip(now, -3.0, 3.0) * self.baseline
                step[alarm] = 0.0  # it does not learn while in alarm
                if valid is not None:
                    step[~valid] = 0.0
                bases.append(bases[-1] + step)
        if settled and len(residual) == 1:
            self._settle(state, residual[0], valid, live)
        # charts are bounded, and what is accepted may be far: this mean is not
        means = [state["lately"]]
        for now in residual:
            step = (now - means[-1]) * np.float32(1.0 / GROSS_TAU)
            if valid is not None:
                step[~valid] = 0.0
            means.append(means[-1] + step)
        squared, beyond = residual * residual, None
        if np.maximum.reduce(squared, axis=None, initial=0.0) > CLIP * CLIP:
            # beyond the bound charts say nothing of how far: the shares do
            size = np.abs(residual) * np.float32(1.0 / CLIP)
            beyond = np.square(np.maximum(size, np.float32(1.0)))
            residual = np.clip(residual, -CLIP, CLIP)
            squared = residual * residual
        if valid is None:
            mean = np.add.reduce(squared, axis=2) / self.count
        else:
            squared[:, ~valid] = 0.0
            number = valid.sum(axis=1)
            # what is not there is as usual: a mean of fewer would stray farther
            mean = ((np.add.reduce(squared, axis=2) + (self.m - number)) / self.count).astype(np.float32)
        # all charts at once: the step of each average, then what it says
        averages = state["charts"]
        memories = self.memories
        each = *(mean[..., None],) * self.ends[0], *(squared,) * memories, *(residual,) * memories, z
        after = np.concatenate(each, axis=2)
        before = averages
        for now in after:
            now -= before
            if known is not None or valid is not None:
                self._leave_out(now, valid, known)
            now *= self.keep
            now += before
            before = now
        level = np.abs(after)
        if valid is not None and self.memories:
            self._widen(state["left_out"], valid, live, level[0])
        level -= self.centre
        level *= self.gain
        most = np.maximum.reduceat(level, self.firsts, axis=2)
        if len(self.told) < len(CHARTS):
            most = _spread_out(most, self.told)
        told = _positive(np.maximum(most, np.float32(-1.0), dtype=np.float64))
        value = np.maximum.reduce(told, axis=2)
        taken = len(value)
        if taken == 1:
            averages[:] = after[0]
            top = np.maximum.reduce(value, axis=None)
            if top >= self.least:
                np.minimum(averages, self.cap, out=averages)
                np.maximum(averages, -self.cap, out=averages)
            if top >= 1.0 or alarm.any():
                self._episodes(state, value[0] >= 1.0, level[0], live)
        else:
            calm = value < min(1.0, self.least)
            if not np.logical_and.reduce(calm, axis=None):
                taken = int(np.argmin(calm.all(axis=1)))
                if not taken:
                    return 0
                after, level, told, value = after[:taken], level[:taken], told[:taken], value[:taken]
                beyond = None if beyond is None else beyond[:taken]
            averages[:] = after[-1]
        if self.based:
            state["base"][:] = bases[taken]
        state["lately"][:] = means[taken]
        # what is told
        rows = slice(row, row + taken)
        result.score[some, rows] = value.T
        result.alarm[some, rows] = alarm[:, None]
        charts[:, some, rows] = told.T
        a, b, c, _ = self.ends
        result.deviation[some, rows] = after[..., c:].swapaxes(0, 1)
        # the most that is to be said of each sensor
        evidence = np.maximum(level[..., c:], np.float32(1e-3))
        if self.m and self.memories:
            own = np.maximum(level[..., a:b], level[..., b:c])
            own = np.maximum.reduce(own.reshape(taken, len(alarm), -1, self.m), axis=2)
            if self.every:
                np.maximum(evidence, own.take(self.place, axis=2), out=evidence)
            else:
                evidence[..., self.moving] = np.maximum(evidence[..., self.moving], own)
        # the fourth power: what many sensors have a little of is noise
        shares = np.square(evidence, dtype=np.float64)
        np.square(shares, out=shares)
        if beyond is not None:
            shares[..., self.moving] *= beyond
        if known is not None:
            shares[:, ~known] = 0.0
        total = np.add.reduce(shares, axis=2)
        if known is not None:
            total[total == 0.0] = 1.0
        shares *= (value / total)[..., None]
        result.contributions[some, rows] = shares.swapaxes(0, 1)
        if live is not None and not live.all():
            cold = some.start + np.flatnonzero(~live)
            result.score[cold, row] = np.nan
            result.contributions[cold, row] = 0.0
            charts[:, cold, row] = np.nan
        return taken

    def _widen(
        self, left_out: Singles, valid: NDArray[np.bool_], live: NDArray[np.bool_] | None, size: Singles
    ) -> None:
        """Make lasting shifts (A, F) smaller by what rows that are left out add to them; counts these (A, M)."""
        step = (~valid - left_out) / np.float32(LEFT_OUT)
        if live is not None:
            step[~live] = 0.0
        left_out += step
        left_out[left_out < 1e-3] = 0.0
        if np.logical_or.reduce(left_out, axis=None):
            shift = self.parts(size).shift
            shift /= np.sqrt(1.0 + left_out[:, None] * self.wider)

    def _settle(
        self, state: State, residual: Singles, valid: NDArray[np.bool_] | None, live: NDArray[np.bool_] | None
    ) -> None:
        """Take a row's residuals (A, M) into the means that go with an accepted operating point, in its first rows."""
        settling = state["settling"]
        learns = (settling > 1) & ~state["alarm"]
        if live is not None:
            learns &= live
        if np.logical_or.reduce(learns):
            step = np.clip(residual, -3.0, 3.0)
            step /= np.float32(TRUSTED + SETTLING + 2) - settling.astype(np.float32)[:, None]
            step[~learns] = 0.0
            if valid is not None:
                step[~valid] = 0.0
            state["ground"][:] += step
            settling[learns] -= 1

    def _leave_out(self, step: Singles, valid: NDArray[np.bool_] | None, known: NDArray[np.bool_] | None) -> None:
        """Let the charts (A, F) of what is not there stand still: takes away their steps."""
        of = self.parts(step)
        if valid is not None:
            of.energy[valid.sum(axis=1) * 2 <= self.m] = 0.0
            np.copyto(of.spread, 0.0, where=~valid[:, None])
            np.copyto(of.shift, 0.0, where=~valid[:, None])
        if known is not None:
            of.deviation[~known] = 0.0

    def _episodes(
        self, state: State, begins: NDArray[np.bool_], level: Singles, live: NDArray[np.bool_] | None
    ) -> None:
        """Begin episodes (changes `begins`), end those whose charts (A, F) have been below their limits for long."""
        alarm, below = state["alarm"], state["below"]
        if live is not None:
            begins &= live
        quiet = level[:, self.fast].max(axis=1, initial=-1.0) < OFF[0]
        quiet &= level[:, self.slow].max(axis=1, initial=-1.0) < OFF[1]
        rows = np.where(quiet, below + 1, 0)
        if live is not None:
            rows = np.where(live, rows, below)
        rows = np.minimum(np.where(begins, 0, rows), OFF_ROWS)
        alarm[:] = begins | (alarm & (rows < OFF_ROWS))
        below[:] = np.where(alarm, rows, 0)


def _residual(rules: _Rules, lagged: Singles) -> Singles:
    """Residuals (A, M) of rows with their lags (A, P)."""
    return np.asarray(_product(rules.weights, lagged) + rules.constant)


def _product(matrix: Singles, rows: Singles) -> Singles:
    """Rows (A, P) times a matrix (P, M), each to the same bits however many there are."""
    padded = np.zeros((-(-len(rows) // TILE) * TILE, rows.shape[1]), dtype=np.float32)
    padded[: len(rows)] = rows
    products = np.matmul(padded.reshape(-1, TILE, rows.shape[1]), matrix)
    return np.asarray(products.reshape(len(padded), -1)[: len(rows)])


def _spread_out(most: Singles, places: list[int]) -> Singles:
    """Columns (..., n) at their places among the charts; what is not there says nothing."""
    whole = np.full((*most.shape[:-1], len(CHARTS)), -1.0, dtype=np.float32)
    whole[..., places] = most
    return whole


def _positive(value: Floats) -> Floats:
    """Above a quarter of the limit the value itself, below it a positive number that falls with it."""
    below = 4.0 * value
    below -= 1.0
    np.minimum(below, 0.0, out=below)
    np.exp(below, out=below)
    below *= 0.25
    return np.maximum(value, below, out=below)
