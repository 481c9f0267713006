"""Scoring: T² and SPE of each row with its lags, smoothed, each divided by its limit; the score is the larger one.

Dynamic PCA after Ku, Storer and Georgakis, Chemom. Intell. Lab. Syst. 30 (1995) 179-196. T² is split over the sensors
by the symmetric root of the inverse covariance within the model plane, so that every share is a square.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.detector import Floats, Result, State, Usual

TILE: Final = 8
"""Rows of every matrix product: BLAS rounds by shape, so the shape is always the same."""
ASSETS: Final = 512
STEP: Final = 1024
"""Assets, and rows of all of them, worked on at a time."""
CACHED: Final = 128
"""Rows multiplied at a time, to stay in the cache (a multiple of `TILE`)."""
CAP: Final = 10.0
"""From so many limits on a row counts with its logarithm only, so that one wild row does not ring for an hour."""
HOLD: Final = 10
"""Missing values are held so many rows, then taken as the mean."""
FAR: Final = 1e12
"""No value counts as further away, in scales: its square must stay a number."""
CHARTS: Final = ("t2", "spe")


@dataclass(frozen=True, slots=True, eq=False)
class Precursor:
    """A fitted detector of `S` sensors, `L` rows (the current one and its lags) and `K` components."""

    kind: ClassVar[str] = "precursor"

    sensors: tuple[str, ...]
    period_s: float
    usual: Usual
    center: Floats
    """(S,) in the sensors' units."""
    scale: Floats
    """(S,) in the sensors' units, positive."""
    loadings: Floats
    """(L * S, K), the newest row's sensors first; orthonormal columns."""
    latent: Floats
    """(K,) variances of the components."""
    limits: Floats
    """(2,) of the smoothed T² and SPE."""
    start: Floats
    """(2, S) shares that a stream begins with, in limits."""
    smoothing: float
    """Weight of the newest row."""
    on: int
    """Rows above the limit that begin an episode."""
    off: int
    """Rows below it that end one."""

    @property
    def limit(self) -> float:
        """The score from which a row counts towards an episode."""
        return 1.0

    @property
    def lags(self) -> int:
        """Rows before the current one that are looked at."""
        return len(self.loadings) // len(self.sensors) - 1

    def initial(self, assets: int) -> State:
        """State of `assets` streams that have not begun."""
        width, depth = len(self.sensors), max(1, self.lags)
        return {
            "past": np.zeros((assets, depth, width)),
            "valid": np.zeros((assets, depth, width), dtype=np.bool_),
            "missing": np.full((assets, width), HOLD, dtype=np.int8),
            "seen": np.zeros(assets, dtype=np.int64),
            "shares": np.repeat(self.start[None], assets, axis=0),
            "above": np.zeros(assets, dtype=np.int64),
            "below": np.zeros(assets, dtype=np.int64),
            "alarm": np.zeros(assets, dtype=np.bool_),
        }

    def score(self, state: State, block: Floats) -> tuple[State, Result]:
        """Score a block `(A, T, S)`; see `models.detector.Detector.score`."""
        if block.ndim != 3 or block.shape[2] != len(self.sensors) or len(state["seen"]) != len(block):
            raise ValueError(
                f"a block of shape {block.shape}; want ({len(state['seen'])} assets, rows, {len(self.sensors)} sensors)"
            )
        assets, rows, width = block.shape
        if not rows or not assets:
            nothing = np.empty((assets, rows))
            charts = dict.fromkeys(CHARTS, nothing)
            return state, Result(nothing, nothing.astype(np.bool_), np.empty((assets, rows, width)), charts)
        after = {name: np.empty_like(array) for name, array in state.items()}
        charts = {name: np.empty((assets, rows)) for name in CHARTS}
        score, alarm = np.empty((assets, rows)), np.empty((assets, rows), dtype=np.bool_)
        result = Result(score, alarm, np.empty((assets, rows, width)), charts)
        if assets <= ASSETS and assets * rows <= STEP:
            self._step(state, block, after, result)
            return after, result
        for first in range(0, assets, ASSETS):
            some = slice(first, min(assets, first + ASSETS))
            theirs = {name: array[some] for name, array in after.items()}
            before = {name: array[some] for name, array in state.items()}
            step = max(1, STEP // (some.stop - some.start))
            for row in range(0, rows, step):
                piece = some, slice(row, row + step)
                statistics = {name: chart[piece] for name, chart in charts.items()}
                part = Result(score[piece], alarm[piece], result.contributions[piece], statistics)
                self._step(before, block[piece], theirs, part)
                before = theirs
        return after, result

    def _step(self, before: State, block: Floats, after: State, result: Result) -> None:
        """Score a block and fill `after` and `result`; `before` and `after` may be the same arrays."""
        assets, rows, width = block.shape
        depth, n = self.lags + 1, assets * rows
        x = np.empty((-(-n // TILE) * TILE, depth, width))  # whole tiles
        x[n:] = 0.0
        lagged = x[:n].reshape(assets, rows, depth, width)
        z = lagged[:, :, 0]
        valid = np.isfinite(block)
        with np.errstate(over="ignore"):
            np.subtract(block, self.center, out=z)
            np.divide(z, self.scale, out=z)
        np.minimum(np.maximum(z, -FAR, out=z), FAR, out=z)
        seen = before["seen"]
        whole = _all(valid)
        after["missing"][:] = 0 if whole else self._fill(before, z, valid)
        _lag(lagged, before["past"])
        past = before["past"].shape[1]
        after["past"][:] = lagged[:, -1, :past]
        known = None
        if whole and _all(before["valid"]):
            after["valid"][:] = True
        else:
            known = np.empty(lagged.shape, dtype=np.bool_)
            known[:, :, 0] = valid
            _lag(known, before["valid"])
            after["valid"][:] = known[:, -1, :past]
        live = None
        if not whole or int(seen.min()) < self.lags:
            live = (seen[:, None] + np.arange(rows) >= self.lags) & valid.any(axis=2)
        np.minimum(seen + rows, self.lags, out=after["seen"])
        shares = self._shares(x.reshape(len(x), -1), n, known).reshape(assets, rows, 2, width)
        self._smooth(before["shares"], shares, live)
        after["shares"][:] = shares[:, -1]
        charts = np.add.reduce(shares, axis=3)
        if live is not None:
            charts[~live] = np.nan
        t2, spe = charts[..., 0], charts[..., 1]
        result.statistics["t2"][:] = t2
        result.statistics["spe"][:] = spe
        np.maximum(t2, spe, out=result.score)
        contributions = result.contributions
        contributions[:] = shares[:, :, 0]
        np.copyto(contributions, shares[:, :, 1], where=(spe > t2)[..., None])
        if live is not None:
            contributions[~live] = 0.0
        self._delay(before, after, result)

    @staticmethod
    def _fill(state: State, z: Floats, valid: NDArray[np.bool_]) -> NDArray[Any]:
        """Fill gaps in standardised rows (A, T, S): the last value for some rows, then the mean; how old it is now."""
        rows = np.arange(z.shape[1])[:, None]
        last = np.maximum.accumulate(np.where(valid, rows, -1), axis=1)
        old = np.where(last < 0, state["missing"][:, None] + rows + 1, rows - last)
        values = np.take_along_axis(z, np.maximum(last, 0), axis=1)
        values = np.where(last < 0, state["past"][:, :1], values)
        z[:] = np.where(old <= HOLD, values, 0.0)
        return np.minimum(old[:, -1], HOLD)

    def _shares(self, x: Floats, n: int, known: NDArray[np.bool_] | None) -> Floats:
        """Each sensor's part of the next move of T² and SPE, in limits: (n, 2, S) from n lagged rows in whole tiles."""
        wide, width = x.shape[1], len(self.sensors)
        # both ways back from the scores in one product, and what a row weighs in the moving average with it
        back = np.concatenate([self.loadings.T / np.sqrt(self.latent)[:, None], self.loadings.T], axis=1)
        weight = (self.smoothing / self.limits)[:, None]
        shares: Floats = np.empty((n, 2, width))
        for first in range(0, n, CACHED):
            rows = min(CACHED, n - first)
            tiles = x[first : first + CACHED].reshape(-1, TILE, wide)
            parts = np.matmul(np.matmul(tiles, self.loadings), back).reshape(-1, 2, wide)
            np.subtract(x[first : first + CACHED], parts[:, 1], out=parts[:, 1])
            np.multiply(parts, parts, out=parts)
            lagged = parts[:rows].reshape(rows, 2, -1, width)
            if known is not None:
                lagged *= known.reshape(n, 1, -1, width)[first : first + rows]
            piece = shares[first : first + rows]
            np.copyto(piece, lagged[:, :, 0])
            for lag in range(1, self.lags + 1):
                np.add(piece, lagged[:, :, lag], out=piece)
            np.multiply(piece, weight, out=piece)
        total = np.add.reduce(shares, axis=2, keepdims=True)
        most = CAP * self.smoothing
        wild = total > most
        if wild.any():
            capped = most * (1.0 + np.log(np.where(wild, total, most) / most))
            shares *= np.where(wild, capped / np.where(wild, total, 1.0), 1.0)
        return shares

    def _smooth(self, before: Floats, shares: Floats, live: NDArray[np.bool_] | None) -> None:
        """Turn what each row adds (A, T, 2, S) into the moving average, in place; rows not live move nothing."""
        keep, kept = 1.0 - self.smoothing, np.empty_like(before)
        current = before
        for row in range(shares.shape[1]):
            moved = shares[:, row]
            np.multiply(current, keep, out=kept)
            np.add(kept, moved, out=moved)
            if live is not None:
                np.copyto(moved, current, where=~live[:, row, None, None])
            current = moved

    def _delay(self, before: State, after: State, result: Result) -> None:
        """On after `on` rows from the limit up, off after `off` below it; a row without a score ends both counts."""
        score, alarm = result.score, result.alarm
        high, low = score >= self.limit, score < self.limit
        if score.shape[1] == 1:  # the same without the search along the rows
            high, low = high[:, 0], low[:, 0]
            above = np.minimum((before["above"] + 1) * high, self.on)
            below = np.minimum((before["below"] + 1) * low, self.off)
            alarm[:, 0] = (before["alarm"] & (below < self.off)) | (above >= self.on)
            after["above"][:], after["below"][:], after["alarm"][:] = above, below, alarm[:, 0]
            return
        at = np.arange(score.shape[1])
        above = _runs(at, high, before["above"])
        below = _runs(at, low, before["below"])
        event = np.where(above >= self.on, 1, np.where(below >= self.off, -1, 0))
        last = np.maximum.accumulate(np.where(event != 0, at, -1), axis=1)
        found = np.take_along_axis(event, np.maximum(last, 0), axis=1) > 0
        alarm[:] = np.where(last < 0, before["alarm"][:, None], found)
        # counts beyond the delay mean nothing more, and a bounded state is the same however the stream was cut
        after["above"][:], after["below"][:] = np.minimum(above[:, -1], self.on), np.minimum(below[:, -1], self.off)
        after["alarm"][:] = alarm[:, -1]

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All it was fitted to; `from_arrays` makes the same detector of it."""
        return {
            "sensors": np.array(self.sensors, dtype=np.str_),
            "period_s": np.array(self.period_s),
            **{f"usual_{name}": array for name, array in self.usual._asdict().items()},
            "center": self.center,
            "scale": self.scale,
            "loadings": self.loadings,
            "latent": self.latent,
            "limits": self.limits,
            "start": self.start,
            "smoothing": np.array(self.smoothing),
            "delays": np.array([self.on, self.off]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The detector that gave these `arrays()`.

        Raises:
            KeyError, ValueError: they are not those of a detector of this kind.
        """
        on, off = (int(rows) for rows in arrays["delays"])
        floats = {
            name: np.ascontiguousarray(arrays[name], dtype=np.float64)
            for name in ("center", "scale", "loadings", "latent", "limits", "start")
        }
        sensors = tuple(str(name) for name in arrays["sensors"])
        usual = Usual(
            low=np.asarray(arrays["usual_low"], dtype=np.float64),
            high=np.asarray(arrays["usual_high"], dtype=np.float64),
            same=np.asarray(arrays["usual_same"], dtype=np.int64),
            missing=np.asarray(arrays["usual_missing"], dtype=np.int64),
        )
        width, (wide, components) = len(sensors), floats["loadings"].shape
        shapes = {"center": (width,), "scale": (width,), "latent": (components,), "limits": (2,), "start": (2, width)}
        fits = all(floats[name].shape == wanted for name, wanted in shapes.items())
        if not fits or not width or not wide or wide % width or any(array.shape != (width,) for array in usual):
            raise ValueError("arrays of different widths")
        period_s, smoothing = float(arrays["period_s"]), float(arrays["smoothing"])
        positive = [floats["scale"], floats["latent"], floats["limits"], np.array([period_s, smoothing, on, off])]
        if not all(np.isfinite(array).all() for array in floats.values()) or smoothing > 1.0:
            raise ValueError("numbers out of range")
        if any(not np.all(array > 0) for array in positive) or len(set(sensors)) != width:
            raise ValueError("numbers out of range, or names that repeat")
        return cls(
            sensors=sensors,
            period_s=period_s,
            usual=usual,
            smoothing=smoothing,
            on=on,
            off=off,
            **floats,
        )


def _all(flags: NDArray[np.bool_]) -> bool:
    return int(np.count_nonzero(flags)) == flags.size


def _lag(lagged: NDArray[Any], past: NDArray[Any]) -> None:
    """Put rows (A, T, 0, S) to their later rows' lags, (A, T, 1:, S); `past` (A, lags, S) is the newest first."""
    rows, depth = lagged.shape[1:3]
    for lag in range(1, depth):
        lagged[:, lag:, lag] = lagged[:, : max(0, rows - lag), 0]
        for row in range(min(lag, rows)):
            lagged[:, row, lag] = past[:, lag - row - 1]


def _runs(at: NDArray[np.int64], holds: NDArray[np.bool_], before: NDArray[Any]) -> NDArray[np.int64]:
    """How many rows in a row `holds` (A, T) has been true at each row, counting the `before` (A,) rows."""
    broken = np.maximum.accumulate(np.where(holds, -1, at), axis=1)
    return np.where(broken < 0, before[:, None] + at + 1, at - broken).astype(np.int64)
