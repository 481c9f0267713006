"""Residuals where values are missing, beside what conditioning on the others gives directly."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from models.detector import Floats
from models.precursor.residuals import KEPT, LACKING, Residuals, Window

M, LAGS = 4, 2
WIDE = M * (1 + LAGS)


def window(seed: int, wide: int = WIDE) -> Window:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(wide, 3))
    covariance = mix @ mix.T + np.diag(rng.uniform(0.2, 1.0, wide))
    size = np.sqrt(np.diagonal(covariance))
    return Window(rng.normal(size=wide), size, covariance / np.outer(size, size))


def of(window: Window, m: int = M) -> Residuals:
    """With weights as they come of a window, the residuals of the rows it describes having a deviation of 1."""
    mean, size, correlation = window
    every = np.linalg.inv(correlation)
    own = np.diagonal(every)[:m]
    weights = every[:m] / np.sqrt(own)[:, None] / size
    return Residuals(np.column_stack([-weights @ mean, weights]), window)


def directly(window: Window, x: Floats, missing: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Residuals (M,) of a lagged row (P,), each by a regression on the other values that are there."""
    covariance = window.correlation * np.outer(window.size, window.size)
    residual, trusted = np.zeros(M), np.zeros(M, dtype=np.bool_)
    for sensor in range(M):
        if missing[sensor]:
            continue
        every = [at for at in range(WIDE) if at != sensor]
        there = [at for at in every if not missing[at]]
        left = []
        for others in (every, there):
            weights = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, sensor])
            left.append(covariance[sensor, sensor] - weights @ covariance[others, sensor])
        error = x[sensor] - window.mean[sensor] - weights @ (x - window.mean)[there]
        trusted[sensor] = left[1] * (1.0 - LACKING) < left[0]
        residual[sensor] = error / np.sqrt(left[1]) if trusted[sensor] else 0.0
    return residual, trusted


def stream(assets: int, rows: int, share: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(assets, rows, M)).astype(np.float32), rng.random((assets, rows, M)) >= share


def scored(
    residuals: Residuals, x: NDArray[np.float32], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    past, absent = np.zeros((len(x), LAGS, M), dtype=np.float32), np.zeros((len(x), LAGS, M), dtype=np.bool_)
    return residuals.with_gaps(past, absent, np.zeros((len(x), M), dtype=np.float32), x, known)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_they_are_those_of_a_regression_on_what_is_there(share: float) -> None:
    made = window(1)
    x, known = stream(3, 60, share)
    residual, trusted = scored(of(made), x, known)
    told = 0
    for asset in range(len(x)):
        for row in range(LAGS, x.shape[1]):
            lags = [row - lag for lag in range(1 + LAGS)]
            expected, whom = directly(made, x[asset, lags].ravel().astype(np.float64), ~known[asset, lags].ravel())
            np.testing.assert_array_equal(trusted[asset, row], whom)
            np.testing.assert_allclose(residual[asset, row][whom], expected[whom], rtol=1e-4, atol=1e-5)
            told += int(whom.sum())
    assert told > 30


def test_whom_to_trust_without_sensors_is_known_before() -> None:
    x, _ = stream(1, 10, 0.0)
    counts = set()
    for gone in (np.arange(2**M)[:, None] >> np.arange(M) & 1).astype(np.bool_)[:-1]:
        known = np.broadcast_to(~gone, x.shape)
        for made in (window(1), window(2)):
            told = of(made).told(gone)
            if gone.any():  # rows with gaps alone say whom
                np.testing.assert_array_equal(told, scored(of(made), x, known)[1][0, -1])
            counts.add(int(told.sum()))
    assert counts == {0, 1, 2, 3, 4}
    assert Residuals(np.ones((M, 1 + WIDE)), None).told(gone).sum() == 0


def test_however_many_rows_and_patterns_there_are_the_bits_are_the_same() -> None:
    x, known = stream(8, 40, 0.2)
    patterns = {known[asset, row - LAGS : row + 1].tobytes() for asset in range(8) for row in range(LAGS, 40)}
    assert len(patterns) > KEPT, "more than are kept"
    together, trusted = scored(of(window(2)), x, known)
    residuals = of(window(2))
    for asset in range(len(x)):
        alone, whom = scored(residuals, x[asset, None], known[asset, None])
        np.testing.assert_array_equal(alone[0], together[asset])
        np.testing.assert_array_equal(whom[0], trusted[asset])
    past, absent = np.zeros((1, LAGS, M), dtype=np.float32), np.zeros((1, LAGS, M), dtype=np.bool_)
    for row in range(x.shape[1]):
        here = x[:1, row, None], known[:1, row, None]
        alone, _ = residuals.with_gaps(past, absent, np.zeros((1, M), dtype=np.float32), *here)
        np.testing.assert_array_equal(alone[0, 0], together[0, row])


def test_patterns_in_every_row_need_no_memory_for_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wide, rows, rng = 60, 1500, np.random.default_rng(1)
    residuals, x = of(window(1, wide), wide), rng.normal(size=(1, rows, wide)).astype(np.float32)
    known = rng.random(x.shape) >= 0.5
    past, ground = np.zeros((1, 1, wide), dtype=np.float32), np.zeros((1, wide), dtype=np.float32)
    monkeypatch.setattr("models.precursor.residuals.AT_ONCE", 20_000)
    tracemalloc.start()
    residuals.with_gaps(past, past > 0, ground, x, known)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 0.6 * rows * 0.5 * wide * wide * 8, "what each pattern takes off (g, M)"


def test_a_model_of_before_trusts_no_residual_with_a_gap() -> None:
    made = of(window(1))
    x, known = stream(1, 50, 0.02)
    _, trusted = scored(Residuals(np.column_stack([made.constant, made.weights.T]).astype(np.float64), None), x, known)
    lacks = np.array([not known[0, max(0, row - LAGS) : row + 1].all() for row in range(50)])
    assert 0 < lacks.sum() < 50
    np.testing.assert_array_equal(trusted[0], np.repeat(~lacks[:, None], M, axis=1))
