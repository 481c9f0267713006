"""Residuals: how far each sensor is from what the others and its own past say it should read, whatever is missing.

The residual of a sensor is `r_j = (K x)_j / K_jj`, where `x` holds the newest row and its lags and `K` is the inverse
of their covariance: the error of predicting sensor `j` from everything else. Where values are missing it is the error
of predicting it from those that are there, by a Schur complement of `K`; nothing is put in for what is missing.
"""

from functools import cached_property
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.detector import Floats

Singles = NDArray[np.float32]
Flags = NDArray[np.bool_]
Number = TypeVar("Number", np.float32, np.float64)
Kind = TypeVar("Kind", np.float32, np.bool_)

TILE: Final = 8
"""Rows of every matrix product: BLAS rounds by shape, so the shape is always the same."""
KEPT: Final = 64
"""Patterns of what is missing that are kept."""
AT_ONCE: Final = 2_000_000
"""Numbers of patterns that are worked on at once."""
LACKING: Final = 0.3
"""A residual is left out when so much of its variance comes of values that the model has to do without."""
HARDLY: Final = 0.3
"""Standard deviations of a residual: by less one of a level does not move it to speak of."""


class Window(NamedTuple):
    """How the `P = (L + 1) * M` values of a row and its lags move together, the newest row's first."""

    mean: Floats
    """(P,) in standard deviations."""
    size: Floats
    """(P,) their own standard deviations, positive."""
    correlation: Floats
    """(P, P) shrunk, positive definite."""


class _Without(NamedTuple):
    """What residuals become without `g` values of the window."""

    gone: NDArray[np.intp]
    """(g,) those that are missing."""
    taken: Floats
    """(g, M) what each of their products takes off the others'."""
    scale: Floats
    """(M,) from what is left of a product to a residual in standard deviations; 0 where that is not told."""
    trusted: Flags
    """(M,) residuals that are told."""


class Residuals:
    """Of `M` sensors that move, with `L` lags."""

    def __init__(self, weights: Floats, window: Window | None) -> None:
        """
        Args:
            weights: (M, 1 + P) constant, the newest row's sensors, then the lags': residuals in standard deviations.
            window: what the weights come from; None in a model of before, which trusts no residual with a gap.
        """
        m = self.m = len(weights)
        self.lags = (weights.shape[1] - 1) // max(1, m) - 1 if m else 0
        self.constant = weights[:, 0].astype(np.float32)
        self.weights = np.ascontiguousarray(weights[:, 1:].T, dtype=np.float32)
        """(P, M)"""
        self.window = window
        self.deviation = 1.0 / np.diagonal(weights[:, 1 : m + 1])
        self._kept: dict[bytes, _Without] = {}

    def whole(self, past: Singles, x: Singles) -> Singles:
        """Residuals (A, T, M) of rows with nothing missing, in them or their lags.

        Args:
            past: (A, >= L, M) the rows before, the newest first; brought up to date in place.
            x: (A, T, M) in standard deviations.
        """
        assets, rows, m = x.shape
        depth, n = self.lags + 1, assets * rows
        padded = np.empty((-(-n // TILE) * TILE, depth, m), dtype=np.float32)
        padded[n:] = 0.0
        _lag(padded[:n].reshape(assets, rows, depth, m), past, x)
        out = np.matmul(padded.reshape(-1, TILE, depth * m), self.weights)
        residuals: Singles = out.reshape(-1, m)[:n].reshape(assets, rows, m)
        residuals += self.constant
        return residuals

    def with_gaps(
        self, past: Singles, absent: Flags, ground: Singles, x: Singles, known: Flags
    ) -> tuple[Singles, Flags]:
        """Residuals (A, T, M) of rows with missing values, in them or their lags, and which of them can be trusted.

        They are what the values that are there say of each other: each residual that of a model fitted without the
        missing ones. Nothing is put in for these, so that no guess rests on another.

        Args:
            past: as above; 0 where something was missing.
            absent: the same shape, where that was; brought up to date in place.
            ground: (A, M) mean residuals at the operating point that was accepted; 0 as fitted.
            x: (A, T, M) in standard deviations.
            known: (A, T, M) where there is a value.
        """
        assets, rows, m = x.shape
        depth, n = self.lags + 1, assets * rows
        lagged: Singles = np.empty((n, depth * m), dtype=np.float32)
        missing: Flags = np.empty(lagged.shape, dtype=np.bool_)
        _lag(lagged.reshape(assets, rows, depth, m), past, np.where(known, x, np.float32(0.0)))
        _lag(missing.reshape(assets, rows, depth, m), absent, ~known)
        residual: Singles = np.zeros((n, m), dtype=np.float32)
        valid: Flags = np.ones((n, m), dtype=np.bool_)
        lacks = missing.any(axis=1)
        whole, some = np.flatnonzero(~lacks), np.flatnonzero(lacks)
        residual[whole], valid[some] = _product(self.weights, lagged[whole]) + self.constant, False
        if len(some) and self.window is not None:
            moved = None
            if np.logical_or.reduce(ground, axis=None):
                # what the residuals are in the mean is another number for every pattern; what levels come of it is not
                moved = [_product(matrix, ground)[some // rows] for matrix in self._behind]
            residual[some], valid[some] = self._without(lagged[some], missing[some], moved)
        return residual.reshape(x.shape), valid.reshape(x.shape)

    def told(self, gone: Flags) -> Flags:
        """Which residuals (M,) can be trusted while some sensors (M,) have no value, in any row."""
        if self.window is None:
            return np.full(self.m, not gone.any())
        return self._made(np.tile(gone, self.lags + 1)[None])[0].trusted if gone.any() else ~gone

    def _without(self, lagged: Singles, missing: Flags, moved: list[Singles] | None) -> tuple[Singles, Flags]:
        """Residuals (N, M) of lagged rows (N, P) all of which lack something, and which can be trusted.

        `moved` are levels to be taken off the rows, and what the residuals are with these; (N, M) each.
        """
        assert self.window is not None
        mean, size, _ = self.window
        rows = lagged.astype(np.float64)
        if moved is not None:
            rows -= np.tile(moved[0], self.lags + 1)
        rows -= mean
        rows /= size
        rows[missing] = 0.0
        products = _product(self._precision, rows)
        left = products[:, : self.m].copy()
        if (missing == missing[0]).all():
            rule = self._rules(missing[:1])[0]
            for k, column in enumerate(rule.gone.tolist()):
                left -= products[:, column, None] * rule.taken[k]
            scale, valid = rule.scale, np.repeat(rule.trusted[None], len(rows), axis=0)
        else:
            scale, valid = self._take_off(left, products, missing)
        residual = (left * scale).astype(np.float32)
        if moved is not None:
            residual += moved[1]
        return residual, valid

    def _take_off(self, left: Floats, products: Floats, missing: Flags) -> tuple[Floats, Flags]:
        """Take off products (N, M) what those (N, P) of missing values make of them; scales (N, M), whom to trust.

        In this order, however many rows there are: sums differ by their order.
        """
        scale, valid = np.empty(left.shape), np.empty(left.shape, dtype=np.bool_)
        packed = np.packbits(missing, axis=1)
        _, firsts, which = np.unique(packed.view(f"V{packed.shape[1]}"), return_index=True, return_inverse=True)
        patterns, which, keep = missing[firsts], which.ravel(), len(firsts) <= KEPT
        counts = patterns.sum(axis=1)
        for count in np.unique(counts).tolist():
            alike = np.flatnonzero(counts == count)
            most = max(1, AT_ONCE // (count * max(count, self.m)))
            for first in range(0, len(alike), most):
                some = alike[first : first + most]
                rules, those = self._rules(patterns[some], keep), np.flatnonzero(np.isin(which, some))
                of = np.searchsorted(some, which[those])
                gone, taken = np.stack([each.gone for each in rules])[of], np.stack([each.taken for each in rules])
                theirs = left[those]
                for k in range(count):
                    theirs -= products[those, gone[:, k], None] * taken[of, k]
                left[those] = theirs
                scale[those] = np.stack([each.scale for each in rules])[of]
                valid[those] = np.stack([each.trusted for each in rules])[of]
        return scale, valid

    def _rules(self, missing: Flags, keep: bool = True) -> list[_Without]:
        """For patterns (U, P) that lack as many values each, at least one; whether to `keep` what is made."""
        keys = [pattern.tobytes() for pattern in missing]
        known = {key: rule for key in keys if (rule := self._kept.get(key)) is not None}
        fresh = [at for at, key in enumerate(keys) if key not in known]
        if fresh:
            known.update(zip([keys[at] for at in fresh], self._made(missing[fresh]), strict=True))
        for at in fresh if keep else []:
            if len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)), None)
            self._kept[keys[at]] = known[keys[at]]
        return [known[key] for key in keys]

    def _made(self, missing: Flags) -> list[_Without]:
        """For patterns (U, P) that lack as many values each."""
        assert self.window is not None
        m, every = self.m, self._precision
        gone = np.nonzero(missing)[1].reshape(len(missing), -1)
        there = ~missing[:, :m]
        # the inverse of what is left of the covariance: a Schur complement
        rows = every[gone]
        taken = np.linalg.solve(np.take_along_axis(rows, gone[:, None, :], axis=2), rows[:, :, :m])
        before = np.diagonal(every)[:m]
        own = np.maximum(before - (taken * rows[:, :, :m]).sum(axis=1), 1e-300)
        # a residual is as much larger as the sensor is less foretold; far larger ones no chart was fitted to
        trusted = there & (before / own * (1.0 - LACKING) < 1.0)
        scale = self.window.size[:m] / (self.deviation * np.sqrt(before * own))
        scale[~trusted] = 0.0
        return [_Without(*each) for each in zip(gone, taken, scale, trusted, strict=True)]

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
        inverse = np.linalg.inv(self.window.correlation)
        return np.asarray((inverse + inverse.T) / 2.0)


def _lag(lagged: NDArray[Kind], past: NDArray[Kind], x: NDArray[Kind]) -> None:
    """Put rows x (A, T, M) and those before them (A, >= L, M) side by side in (A, T, L + 1, M); updates `past`."""
    rows, depth = lagged.shape[1:3]
    lagged[:, :, 0] = x
    for row in range(min(rows, depth - 1)):
        lagged[:, row, row + 1 :] = past[:, : depth - 1 - row]
    for lag in range(1, min(rows, depth)):
        lagged[:, lag:, lag] = x[:, : rows - lag]
    past[:] = lagged[:, -1, : past.shape[1]]


def _product(matrix: NDArray[Number], rows: NDArray[Number]) -> NDArray[Number]:
    """Rows (N, P) times a matrix (P, M), each to the same bits however many there are."""
    padded = np.zeros((-(-len(rows) // TILE) * TILE, rows.shape[1]), dtype=rows.dtype)
    padded[: len(rows)] = rows
    products = np.matmul(padded.reshape(-1, TILE, rows.shape[1]), matrix)
    return np.asarray(products.reshape(len(padded), matrix.shape[1])[: len(rows)])
