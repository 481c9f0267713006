"""Scoring: T² and SPE of each row with its lags, smoothed, each divided by its limit; the score is the larger one.

Dynamic PCA after Ku, Storer and Georgakis, Chemom. Intell. Lab. Syst. 30 (1995) 179-196. T² is split over the sensors
by the symmetric root of the inverse covariance within the model plane, so that every share is a square.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.detector import Floats, Result, State

TILE: Final = 16
"""Rows of every matrix product: BLAS rounds by shape, so the shape is always the same."""
STEP: Final = 4096
CACHED: Final = 256
"""Rows worked on at a time, to stay in the cache (a multiple of `TILE`)."""
CAP: Final = 10.0
"""From so many limits on a row counts with its logarithm only, so that one wild row does not ring for an hour."""
HOLD: Final = 10
"""Missing values are held so many rows, then taken as the mean."""
CHARTS: Final = ("t2", "spe")


@dataclass(frozen=True, slots=True, eq=False)
class Precursor:
    """A fitted detector of `S` sensors, `L` rows (the current one and its lags) and `K` components."""

    kind: ClassVar[str] = "precursor"

    sensors: tuple[str, ...]
    period_s: float
    longest: NDArray[np.int64]
    """(S,) longest run of equal values in the normal record."""
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
        width = len(self.sensors)
        return {
            "past": np.zeros((assets, self.lags, width)),
            "valid": np.zeros((assets, self.lags, width), dtype=np.bool_),
            "held": np.zeros((assets, width)),
            "missing": np.full((assets, width), HOLD, dtype=np.int64),
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
        assets, rows, _ = block.shape
        step = max(1, STEP // max(1, assets))
        if rows <= step:
            return self._step(state, np.asarray(block, dtype=np.float64))
        parts = []
        for first in range(0, rows, step):
            state, part = self._step(state, np.asarray(block[:, first : first + step], dtype=np.float64))
            parts.append(part)
        statistics = {name: np.concatenate([part.statistics[name] for part in parts], axis=1) for name in CHARTS}
        score, alarm, contributions = (np.concatenate([part[field] for part in parts], axis=1) for field in range(3))
        return state, Result(score, alarm, contributions, statistics)

    def _step(self, state: State, block: Floats) -> tuple[State, Result]:
        assets, rows = block.shape[:2]
        seen = state["seen"][:, None] + np.arange(1, rows + 1)
        z, valid, held, missing = self._standardise(state, block)
        z = np.concatenate([state["past"], z], axis=1)
        whole = bool(valid.all() and (seen[:, :1] > self.lags).all())
        live = np.ones((assets, rows), dtype=np.bool_)
        if not whole:
            live = (seen > self.lags) & valid.any(axis=2)
        valid = np.concatenate([state["valid"], valid], axis=1)
        shares = self._shares(z, None if whole and state["valid"].all() else valid)
        smooth = np.empty_like(shares)
        current = state["shares"]
        for row in range(rows):
            moved = current + self.smoothing * (shares[:, row] - current)
            current = moved if whole else np.where(live[:, row, None, None], moved, current)
            smooth[:, row] = current
        charts = smooth.sum(axis=3)
        leader = charts[..., 1] > charts[..., 0]
        score = np.where(leader, charts[..., 1], charts[..., 0])
        contributions = np.where(leader[..., None], smooth[:, :, 1], smooth[:, :, 0])
        if not whole:
            score = np.where(live, score, np.nan)
            charts = np.where(live[..., None], charts, np.nan)
            contributions = np.where(live[..., None], contributions, 0.0)
        alarm, above, below = self._delay(state, score)
        after: State = {
            "past": z[:, rows:].copy(),
            "valid": valid[:, rows:].copy(),
            "held": held,
            "missing": missing,
            "seen": np.minimum(seen[:, -1], self.lags + 1) if rows else state["seen"],
            "shares": current,
            "above": above,
            "below": below,
            "alarm": alarm[:, -1] if rows else state["alarm"],
        }
        return after, Result(score, alarm, contributions, {"t2": charts[..., 0], "spe": charts[..., 1]})

    def _standardise(self, state: State, block: Floats) -> tuple[Floats, NDArray[np.bool_], Floats, NDArray[Any]]:
        """Standardised rows with gaps filled, which of them are values, the last values, and how long they are old."""
        z = (block - self.center) / self.scale
        valid = np.isfinite(z)
        if valid.all():
            held = z[:, -1].copy() if z.shape[1] else state["held"]
            return z, valid, held, np.zeros_like(state["missing"]) if z.shape[1] else state["missing"]
        rows = np.arange(z.shape[1])[:, None]
        last = np.maximum.accumulate(np.where(valid, rows, -1), axis=1)
        old = np.where(last < 0, state["missing"][:, None] + rows + 1, rows - last)
        values = np.take_along_axis(z, np.maximum(last, 0), axis=1)
        values = np.where(last < 0, state["held"][:, None], values)
        return (
            np.where(old <= HOLD, values, 0.0),
            valid,
            values[:, -1].copy(),
            np.minimum(old[:, -1], HOLD),
        )

    def _shares(self, z: Floats, valid: NDArray[np.bool_] | None) -> Floats:
        """Each sensor's share of T² and SPE, in limits: (A, T, 2, S) from (A, lags + T, S)."""
        depth = self.lags + 1
        assets, rows, width = z.shape[0], z.shape[1] - self.lags, z.shape[2]
        x = np.empty((assets, rows, depth, width))
        for lag in range(depth):
            x[:, :, lag] = z[:, self.lags - lag : self.lags - lag + rows]
        known = None
        if valid is not None:
            known = np.empty(x.shape, dtype=np.bool_)
            for lag in range(depth):
                known[:, :, lag] = valid[:, self.lags - lag : self.lags - lag + rows]
        n = assets * rows
        flat = x.reshape(n, depth * width)
        back = np.concatenate([self.loadings.T / np.sqrt(self.latent)[:, None], self.loadings.T], axis=1)
        shares: Floats = np.empty((n, 2, width))
        for first in range(0, n, CACHED):
            piece = slice(first, min(first + CACHED, n))
            there = None if known is None else known.reshape(n, 1, depth, width)[piece]
            self._piece(flat[piece], back, there, shares[piece])
        shares = shares.reshape(assets, rows, 2, width)
        total = shares.sum(axis=3, keepdims=True)
        wild = total > CAP
        if wild.any():
            capped = CAP * (1.0 + np.log(np.where(wild, total, CAP) / CAP))
            shares = np.where(wild, shares * (capped / np.where(wild, total, 1.0)), shares)
        return shares

    def _piece(self, x: Floats, back: Floats, known: NDArray[np.bool_] | None, shares: Floats) -> None:
        """Fill the shares (n, 2, S) of the lagged rows (n, L * S)."""
        n, wide = x.shape
        tiles = -(-n // TILE)
        if n < tiles * TILE:
            x = np.concatenate([x, np.zeros((tiles * TILE - n, wide))])
        scores = np.matmul(x.reshape(tiles, TILE, wide), self.loadings)
        parts = np.matmul(scores, back).reshape(tiles * TILE, 2, wide)
        np.subtract(x, parts[:, 1], out=parts[:, 1])
        np.square(parts, out=parts)
        lagged = parts[:n].reshape(n, 2, -1, shares.shape[2])
        if known is not None:
            lagged *= known
        np.copyto(shares, lagged[:, :, 0])
        for lag in range(1, lagged.shape[2]):
            shares += lagged[:, :, lag]
        shares /= self.limits[:, None]

    def _delay(self, state: State, score: Floats) -> tuple[NDArray[np.bool_], NDArray[Any], NDArray[Any]]:
        """On after `on` rows from the limit up, off after `off` below it; a row without a score ends both counts."""
        rows = score.shape[1]
        if rows == 0:
            return np.zeros(score.shape, dtype=np.bool_), state["above"], state["below"]
        at = np.arange(rows)
        high, low = score >= self.limit, score < self.limit
        above = _runs(at, high, state["above"])
        below = _runs(at, low, state["below"])
        event = np.where(above >= self.on, 1, np.where(below >= self.off, -1, 0))
        last = np.maximum.accumulate(np.where(event != 0, at, -1), axis=1)
        alarm = np.where(last < 0, state["alarm"][:, None], np.take_along_axis(event, np.maximum(last, 0), axis=1) > 0)
        # counts beyond the delay mean nothing more, and a bounded state is the same however the stream was cut
        return alarm, np.minimum(above[:, -1], self.on), np.minimum(below[:, -1], self.off)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All it was fitted to; `from_arrays` makes the same detector of it."""
        return {
            "sensors": np.array(self.sensors, dtype=np.str_),
            "period_s": np.array(self.period_s),
            "longest": self.longest,
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
        if len(floats["loadings"]) % len(sensors) or floats["center"].shape != (len(sensors),):
            raise ValueError("arrays of different widths")
        return cls(
            sensors=sensors,
            period_s=float(arrays["period_s"]),
            longest=np.asarray(arrays["longest"], dtype=np.int64),
            smoothing=float(arrays["smoothing"]),
            on=on,
            off=off,
            **floats,
        )


def _runs(at: NDArray[np.int64], holds: NDArray[np.bool_], before: NDArray[Any]) -> NDArray[np.int64]:
    """How many rows in a row `holds` (A, T) has been true at each row, counting the `before` (A,) rows."""
    broken = np.maximum.accumulate(np.where(holds, -1, at), axis=1)
    return np.where(broken < 0, before[:, None] + at + 1, at - broken).astype(np.int64)
