"""A small made-up plant for the detectors' tests: correlated, slowly wandering sensors with noise."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from models.detector import Detector, Floats, Result, State
from models.precursor import fit

SENSORS = ("flow", "pressure", "temperature", "level", "valve", "current")

LIMITS = {"pressure": (35.0, 80.0), "level": (None, 300.0)}


def fit_with_limits(runs: Floats | Sequence[Floats], sensors: Sequence[str], period_s: float) -> Detector:
    """As the lab fits: what it foretells keeps the contract too."""
    return fit(runs, sensors, period_s, limits=LIMITS)


FITS = {"precursor": fit_with_limits}
"""How to fit each kind of `models.detector.KINDS` that is fitted: `fit(runs, sensors, period_s)`."""
MADE = ("piping",)
"""Kinds that are made of physics instead; their contract stands in tests of their own."""


def record(rows: int, seed: int, width: int = len(SENSORS)) -> Floats:
    """(rows, width): two hidden wanderers seen by all sensors, each with its own noise."""
    rng = np.random.default_rng(seed)
    hidden = np.zeros((rows, 2))
    for row in range(1, rows):
        hidden[row] = 0.8 * hidden[row - 1] + rng.normal(size=2)
    mix = np.random.default_rng(7).normal(size=(2, width))
    return hidden @ mix * 3.0 + rng.normal(size=(rows, width)) + 50.0 + 10.0 * np.arange(width)


@cache
def fitted(kind: str) -> Detector:
    """A detector of that kind, fitted to 600 rows."""
    model: Detector = FITS[kind](record(600, 1), SENSORS, 1.0)
    return model


def refit(kind: str, runs: Floats | Sequence[Floats], sensors: Sequence[str] = SENSORS) -> Detector:
    """The same with other records."""
    model: Detector = FITS[kind](runs, sensors, 1.0)
    return model


def scored_in_blocks(model: Detector, state: State, x: Floats, cuts: Sequence[int]) -> Result:
    """What comes of rows (A, T, S) in one call, once it is seen that cut anywhere they give the same to the bit."""
    whole_state, whole = model.score(state, x)
    parts = []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), x.shape[1]], strict=True):
        state, part = model.score(state, x[:, first:last])
        parts.append(part.score)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole.score)
    for name, array in whole_state.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)
    return whole
