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

Singles = NDArray[np.float32]

TILE: Final = 8
"""Rows of every matrix product: BLAS rounds by shape, so the shape is always the same."""
CACHED: Final = 1024
"""Assets worked on at a time, so that their states stay in the cache."""
CLIP: Final = 10.0
"""A residual counts at most so many standard deviations: one wild row does not ring for an hour."""
FAR: Final = 1e4
"""No value counts as further away, in standard deviations."""
DOUBT: Final = 0.5
"""A residual is left out when values that were put in for missing ones may have so much of its variance."""
GROSS_TAU: Final = 10
GROSS: Final = 20.0
"""A sensor whose recent mean is so many standard deviations away is a finding whatever the others say."""
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


@dataclass(frozen=True, eq=False)
class Precursor:
    """A fitted detector of `S` sensors, `M` of which move; `L` lags."""

    kind: ClassVar[str] = "precursor"
    lasting: ClassVar[tuple[str, ...]] = ("offset",)
    """Parts of the state that outlive a gap: the levels that were accepted."""

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

    @property
    def limit(self) -> float:
        """The score from which a row begins an episode."""
        return 1.0

    @property
    def lags(self) -> int:
        """Rows before the current one that are looked at."""
        return (self.weights.shape[1] - 1) // max(1, len(self.moving)) - 1 if len(self.moving) else 0

    @cached_property
    def _fast(self) -> "_Fast":
        return _Fast(self)

    def initial(self, assets: int) -> State:
        """State of `assets` streams that have not begun."""
        m, depth, memories = len(self.moving), max(1, self.lags), len(self.charts.memory)
        ahead = {} if self.prognosis is None else self.prognosis.initial(assets)
        return {
            **{f"{OF_LIMITS}{name}": array for name, array in ahead.items()},
            "past": np.zeros((assets, depth, m), dtype=np.float32),
            "guessed": np.zeros((assets, depth, m), dtype=np.bool_),
            "seen": np.zeros(assets, dtype=np.int8),
            "base": np.zeros((assets, m), dtype=np.float32),
            "offset": np.zeros((assets, len(self.sensors)), dtype=np.float32),
            "energy": np.ones((assets, len(self.charts.tau)), dtype=np.float32),
            "spread": np.ones((assets, memories, m), dtype=np.float32),
            "shift": np.zeros((assets, memories, m), dtype=np.float32),
            "deviation": np.zeros((assets, len(self.sensors)), dtype=np.float32),
            "below": np.zeros(assets, dtype=np.int8),
            "alarm": np.zeros(assets, dtype=np.bool_),
        }

    def score(self, state: State, block: Floats) -> tuple[State, Result]:
        """Score a block `(A, T, S)`; see `models.detector.Detector.score`."""
        if block.ndim != 3 or block.shape[2] != len(self.sensors) or len(state["seen"]) != len(block):
            raise ValueError(
                f"a block of shape {block.shape}; want ({len(state['seen'])} assets, rows, {len(self.sensors)} sensors)"
            )
        assets, rows, width = block.shape
        result = Result(
            score=np.empty((assets, rows)),
            alarm=np.empty((assets, rows), dtype=np.bool_),
            contributions=np.empty((assets, rows, width)),
            statistics={name: np.empty((assets, rows)) for name in CHARTS},
            deviation=np.empty((assets, rows, width), dtype=np.float32),
        )
        if not rows or not assets:
            return state, result if self.prognosis is None else self._foretold(state, block, result)[1]
        after = {name: np.empty_like(array) for name, array in state.items() if not name.startswith(OF_LIMITS)}
        for first in range(0, assets, CACHED):
            some = slice(first, min(assets, first + CACHED))
            theirs = {name: array[some] for name, array in after.items()}
            for name, array in theirs.items():
                array[:] = state[name][some]
            self._fast.score(theirs, block[some], result, some)
        if self.prognosis is None:
            return after, result
        ahead, result = self._foretold(state, block, result)
        return {**after, **ahead}, result

    def _foretold(self, state: State, block: Floats, result: Result) -> tuple[State, Result]:
        """What is left until the limits, added to a result; the prognosis' part of the state after."""
        assert self.prognosis is not None
        mine = {name.removeprefix(OF_LIMITS): array for name, array in state.items() if name.startswith(OF_LIMITS)}
        after, forecast = self.prognosis.score(mine, block, result.alarm)
        return {f"{OF_LIMITS}{name}": array for name, array in after.items()}, result._replace(forecast=forecast)

    def accept(self, state: State, assets: NDArray[np.bool_]) -> State:
        """Take where the assets (A,) chosen stand now for normal: shifts are taken off, open episodes end.

        What the model knows of how the sensors move together stays; the sensors' levels are those of the last rows.
        """
        after = {name: array.copy() for name, array in state.items()}
        after["offset"][assets] += after["deviation"][assets]
        after["past"][assets] -= after["deviation"][assets][:, None, self.moving]
        after["deviation"][assets] = 0.0
        after["shift"][assets] = 0.0
        after["spread"][assets] = 1.0
        after["energy"][assets] = 1.0
        after["below"][assets] = 0
        after["alarm"][assets] = False
        return after

    def drift(self, state: State) -> Floats:
        """How far (A,) the model is from the stream by its longest memory: 0 as fitted, 1 at the limit.

        A value that stays near 1 without an alarm says that the plant is no longer the one that was learned.
        """
        if not len(self.charts.memory):
            return np.zeros(len(state["seen"]))
        centre, gain, _ = self.charts.shift[:, -1]
        value = ((np.abs(state["shift"][:, -1]) - centre) * gain).max(axis=1, initial=0.0)
        energy = (state["energy"][:, -1] - self.charts.energy[-1, 0]) * self.charts.energy[-1, 1]
        return np.asarray(np.maximum(np.maximum(value, energy), 0.0), dtype=np.float64)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All it was fitted to; `from_arrays` makes the same detector of it."""
        ahead = {} if self.prognosis is None else self.prognosis.arrays()
        return {
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
            **floats,
        )


class _Fast:
    """What scoring needs of a model, in the types it works in."""

    def __init__(self, model: Precursor) -> None:
        single = np.float32
        m = len(model.moving)
        self.m, self.lags, self.width = m, model.lags, len(model.sensors)
        self.moving, self.center, self.scale = model.moving, model.center, model.scale
        self.resting = np.setdiff1d(np.arange(self.width), model.moving)
        self.low, self.high = model.usual.low[self.resting], model.usual.high[self.resting]
        self.every = len(self.resting) == 0 and np.array_equal(model.moving, np.arange(self.width))
        self.constant = model.weights[:, 0].astype(single)
        self.weights = np.ascontiguousarray(model.weights[:, 1:].T, dtype=single)
        # values put in err by about a standard deviation of their own residual
        spread = 1.0 / np.maximum(np.abs(np.diagonal(model.weights[:, 1 : m + 1])), 1e-30)
        lags = model.lags + 1
        self.doubt = np.ascontiguousarray(np.square(model.weights[:, 1:] * np.tile(spread, lags)).T, dtype=single)
        self.now = model.weights[:, 1 : m + 1]
        self.baseline = np.divide(1.0, model.baseline, out=np.zeros(m), where=model.baseline > 0).astype(single)
        self.based = bool(self.baseline.any())
        self.gross = (1.0 / (GROSS * model.coarse)).astype(single)
        charts = model.charts
        self.step = (1.0 / charts.tau).astype(single)
        self.energy = charts.energy.astype(single)
        self.keep = (1.0 / charts.memory).astype(single)[:, None]
        self.spread, self.shift = charts.spread.astype(single), charts.shift.astype(single)
        self.lowest = -self.shift[2]
        self.fast_energy = int((charts.tau <= FAST).sum())
        self.fast = int((charts.memory <= FAST).sum())

    def score(self, state: dict[str, NDArray[Any]], block: Floats, result: Result, some: slice) -> None:
        """Score a block (A, T, S) into the rows `some` of the result; `state` is brought up to date in place."""
        known = np.isfinite(block)
        whole = bool(known.all())
        with np.errstate(over="ignore", invalid="ignore"):
            standard = (block - self.center) / self.scale
            np.clip(standard, -FAR, FAR, out=standard)
        z = standard.astype(np.float32)
        if not whole:
            z[~known] = 0.0
        if len(self.resting):
            z[..., self.resting] = self._moved(block[..., self.resting], known[..., self.resting])
        if state["offset"].any():
            z -= state["offset"][:, None]
        inside = known if self.every else known[..., self.moving]
        x = z if self.every else np.ascontiguousarray(z[..., self.moving])
        if whole and not state["guessed"].any() and self.m:
            residuals = self._residuals(state, x)
            for row in range(block.shape[1]):
                self._row(state, residuals[:, row], None, z[:, row], None, row, result, some)
            return
        for row in range(block.shape[1]):
            residual, valid = self._guess(state, x[:, row], inside[:, row])
            self._row(state, residual, valid, z[:, row], known[:, row], row, result, some)

    def _moved(self, values: Floats, known: NDArray[np.bool_]) -> Singles:
        """By how many of their scales resting sensors left the range of the normal record."""
        scale = self.scale[self.resting]
        with np.errstate(over="ignore", invalid="ignore"):
            moved = (values - np.clip(values, self.low, self.high)) / scale
        return np.where(known, np.clip(moved, -FAR, FAR), 0.0).astype(np.float32)

    def _residuals(self, state: dict[str, NDArray[Any]], x: Singles) -> Singles:
        """Residuals (A, T, M) of whole rows."""
        assets, rows, m = x.shape
        depth, n = self.lags + 1, assets * rows
        padded = np.empty((-(-n // TILE) * TILE, depth, m), dtype=np.float32)
        padded[n:] = 0.0
        lagged = padded[:n].reshape(assets, rows, depth, m)
        lagged[:, :, 0] = x
        past = state["past"]
        for lag in range(1, depth):
            lagged[:, lag:, lag] = x[:, : max(0, rows - lag)]
            for row in range(min(lag, rows)):
                lagged[:, row, lag] = past[:, lag - row - 1]
        out = np.matmul(padded.reshape(-1, TILE, depth * m), self.weights)
        state["past"][:] = lagged[:, -1, : past.shape[1]]
        residuals: Singles = out.reshape(-1, m)[:n].reshape(assets, rows, m)
        residuals += self.constant
        return residuals

    def _guess(
        self, state: dict[str, NDArray[Any]], x: Singles, known: NDArray[np.bool_]
    ) -> tuple[Singles, NDArray[np.bool_]]:
        """Residuals (A, M) of one row with missing values, and which of them can be trusted.

        What is missing is put in as expected from everything else, which makes its residual zero.
        """
        assets, m = x.shape
        if not m:
            return x, known
        depth = self.lags + 1
        padded = np.zeros((-(-assets // TILE) * TILE, depth, m), dtype=np.float32)
        lagged = padded[:assets]
        past, guessed = state["past"], state["guessed"]
        lagged[:, 0] = np.where(known, x, 0.0)
        lagged[:, 1:] = past[:, : self.lags]

        def residuals() -> Singles:
            out = np.matmul(padded.reshape(-1, TILE, depth * m), self.weights).reshape(-1, m)[:assets]
            return np.asarray(out + self.constant)

        residual = residuals()
        missing = ~known
        gaps = missing.any(axis=1)
        if gaps.any():
            for asset in np.flatnonzero(gaps).tolist():
                at = np.flatnonzero(missing[asset])
                put = -np.linalg.solve(self.now[np.ix_(at, at)], residual[asset, at].astype(np.float64))
                lagged[asset, 0, at] = np.clip(put, -FAR, FAR)
            residual = residuals()
        of_lags = np.concatenate([missing[:, None], guessed[:, : self.lags]], axis=1)
        if of_lags.any():
            flags = np.zeros_like(padded)
            flags[:assets] = of_lags
            doubt = np.matmul(flags.reshape(-1, TILE, depth * m), self.doubt).reshape(-1, m)[:assets]
            valid = known & (doubt < DOUBT)
        else:
            valid = known
        past[:, 1:] = past[:, :-1].copy()
        guessed[:, 1:] = guessed[:, :-1].copy()
        past[:, 0], guessed[:, 0] = lagged[:, 0], missing
        return residual, valid

    def _row(
        self,
        state: dict[str, NDArray[Any]],
        residual: Singles,
        valid: NDArray[np.bool_] | None,
        z: Singles,
        known: NDArray[np.bool_] | None,
        row: int,
        result: Result,
        some: slice,
    ) -> None:
        """Take one row of every asset into the charts; `valid` and `known` are None when nothing is missing."""
        seen, alarm = state["seen"], state["alarm"]
        live = None  # assets whose row counts; None for all
        if known is not None:
            there = known.any(axis=1)
            seen[~there] = 0  # what comes after an outage fills the lags anew
        if known is not None or int(seen.min(initial=127)) < self.lags:
            live = seen >= self.lags
            if known is not None:
                live &= there
                np.minimum(seen + there, self.lags, out=seen)
            else:
                np.minimum(seen + 1, self.lags, out=seen)
            valid = np.repeat(live[:, None], self.m, axis=1) if valid is None else valid & live[:, None]
        if self.based:
            base = state["base"]
            residual = residual - base
            step = np.clip(residual, -3.0, 3.0) * self.baseline
            step[alarm] = 0.0  # it does not learn while in alarm
            if valid is not None:
                step[~valid] = 0.0
            base += step
        elif state["base"].any():
            residual = residual - state["base"]
        # beyond the bound charts say nothing of how far: the shares do
        beyond = np.square(np.maximum(np.abs(residual) * np.float32(1.0 / CLIP), np.float32(1.0)))
        residual = np.clip(residual, -CLIP, CLIP)
        squared = residual * residual
        # the mean over all sensors
        energy = state["energy"]
        if valid is None:
            mean = np.add.reduce(squared, axis=1) / np.float32(max(1, self.m))
            energy += self.step * (mean[:, None] - energy)
        else:
            squared[~valid] = 0.0
            number = valid.sum(axis=1)
            mean = (np.add.reduce(squared, axis=1) / np.maximum(number, 1)).astype(np.float32)
            counts = number * 2 > self.m
            energy += np.where(counts[:, None], self.step * (mean[:, None] - energy), np.float32(0.0))
        over_energy = (energy - self.energy[:, 0]) * self.energy[:, 1]
        np.minimum(energy, self.energy[:, 2], out=energy)
        # each sensor by itself
        spread, shift = state["spread"], state["shift"]
        change = squared[:, None] - spread
        change *= self.keep
        move = residual[:, None] - shift
        move *= self.keep
        if valid is not None:
            gone = ~valid[:, None]
            np.copyto(change, 0.0, where=gone)
            np.copyto(move, 0.0, where=gone)
        spread += change
        np.subtract(spread, self.spread[0], out=change)
        change *= self.spread[1]
        np.minimum(spread, self.spread[2], out=spread)
        shift += move
        np.abs(shift, out=move)
        move -= self.shift[0]
        move *= self.shift[1]
        np.minimum(shift, self.shift[2], out=shift)
        np.maximum(shift, self.lowest, out=shift)
        # gross deviations
        deviation = state["deviation"]
        far = z - deviation
        far *= np.float32(1.0 / GROSS_TAU)
        if known is not None:
            far[~known] = 0.0
        deviation += far
        gross = np.abs(deviation, out=far)
        gross *= self.gross
        # together: the most of each sensor, then of all
        parts = self.fast, self.fast_energy
        widest = [part.max(axis=1) for part in (change[:, : parts[0]], change[:, parts[0] :]) if part.shape[1]]
        furthest = [part.max(axis=1) for part in (move[:, : parts[0]], move[:, parts[0] :]) if part.shape[1]]
        top = np.full((2, 4, len(residual)), -1.0, dtype=np.float32)
        for at, part in enumerate((over_energy[:, : parts[1]], over_energy[:, parts[1] :])):
            part.max(axis=1, initial=-1.0, out=top[at, 0])
        own = None
        for place, pieces in ((1, widest), (2, furthest)):
            for at, piece in enumerate(pieces):
                piece.max(axis=1, initial=-1.0, out=top[at, place])
                own = piece if own is None else np.maximum(own, piece, out=own)
        gross.max(axis=1, initial=0.0, out=top[0, 3])
        fast, slow = top.max(axis=1)
        charts = _positive(np.maximum(top[0], top[1]).astype(np.float64))
        value = charts.max(axis=0)
        # episodes
        begins = value >= 1.0
        quiet = (fast < OFF[0]) & (slow < OFF[1])
        if live is not None:
            begins &= live
            below = np.where(live, np.where(quiet, state["below"] + 1, 0), state["below"])
        else:
            below = np.where(quiet, state["below"] + 1, 0)
        below = np.minimum(np.where(begins, 0, below), OFF_ROWS)
        alarm[:] = begins | (alarm & (below < OFF_ROWS))
        state["below"][:] = below
        # what is told
        result.score[some, row] = value
        result.alarm[some, row] = alarm
        statistics = result.statistics
        for name, values in zip(CHARTS, charts, strict=True):
            statistics[name][some, row] = values
        result.deviation[some, row] = deviation
        evidence = np.maximum(gross, np.float32(1e-3), out=gross)
        if own is not None and self.every:
            np.maximum(evidence, own, out=evidence)
        elif own is not None:
            evidence[:, self.moving] = np.maximum(evidence[:, self.moving], own)
        # the fourth power: what many sensors have a little of is noise
        shares = np.square(np.square(evidence.astype(np.float64)))
        if self.every:
            shares *= beyond
        else:
            shares[:, self.moving] *= beyond
        if known is not None:
            shares[~known] = 0.0
        total = np.add.reduce(shares, axis=1)
        shares *= (value / np.where(total > 0, total, 1.0))[:, None]
        result.contributions[some, row] = shares
        if live is not None and not live.all():
            silent = ~live
            rows = np.arange(some.start, some.stop)[silent]
            result.score[rows, row] = np.nan
            result.contributions[rows, row] = 0.0
            for chart in statistics.values():
                chart[rows, row] = np.nan


def _positive(value: Floats) -> Floats:
    """Above a quarter of the limit the value itself, below it a positive number that falls with it."""
    return np.where(value >= 0.25, value, 0.25 * np.exp(np.minimum(4.0 * value - 1.0, 0.0)))
