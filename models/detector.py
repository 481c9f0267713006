"""What every detector is: a fitted, immutable model with a pure `score(state, block) -> (state, result)`.

Higher is worse, everywhere. The first axis of a block and of every state array is the asset, so that all assets of one
kind are scored in one array operation; row by row, in blocks or in one call the result is the same.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
State = Mapping[str, NDArray[np.generic]]
"""Named arrays, the asset on the first axis; never changed in place."""


class Result(NamedTuple):
    """Scores of a block of `A` assets, `T` rows and `S` sensors."""

    score: Floats
    """(A, T), continuous, causal, comparable in time and between runs of one model; NaN while warming up."""
    alarm: NDArray[np.bool_]
    """(A, T), whether an episode is on."""
    contributions: Floats
    """(A, T, S), non-negative share of each sensor; they sum to the score (0 where the score is NaN)."""
    statistics: Mapping[str, Floats]
    """(A, T) each: the charts behind the score, every one scaled so that its limit is 1 (`t2`, `spe`, …)."""


@runtime_checkable
class Detector(Protocol):
    """A fitted model. It holds no state of a stream and knows no clock."""

    kind: str
    """Name under which `models.detector.load` finds the class again."""

    @property
    def sensors(self) -> tuple[str, ...]:
        """Names of the `S` columns it wants, in order."""

    @property
    def period_s(self) -> float:
        """Sampling period it was fitted on, seconds of the asset's own clock."""

    @property
    def limit(self) -> float:
        """The score from which a row counts towards an episode."""

    def initial(self, assets: int) -> State:
        """State of `assets` streams that have not begun."""

    def score(self, state: State, block: Floats) -> tuple[State, Result]:
        """Score a block `(A, T, S)` in the sensors' own units; NaN is a missing or bad reading.

        Raises:
            ValueError: the block's shape does not fit the model or the state.
        """

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """All it was fitted to, as plain arrays, for saving without pickle."""
