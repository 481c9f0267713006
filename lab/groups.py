"""All assets that use one model, a row each in every state array."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.frame import Channel
from models.detector import Model, Result, State

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


class Layout:
    """A channel list: where each tag stands, and which may be scored."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.channels = tuple(channels)
        self.column = {channel.tag: at for at, channel in enumerate(channels)}
        self._columns: dict[str, tuple[Rows, Rows]] = {}

    def scored(self) -> list[str]:
        """Tags that a model may learn from."""
        return [channel.tag for channel in self.channels if channel.role != "status"]

    def columns(self, model: Model) -> tuple[Rows, Rows]:
        """Positions among the model's sensors, and the block's columns they come from."""
        found = self._columns.get(model.id)
        if found is None:
            allowed = set(self.scored())
            pairs = [(at, self.column[tag]) for at, tag in enumerate(model.detector.sensors) if tag in allowed]
            at, column = zip(*pairs, strict=True) if pairs else ((), ())
            found = self._columns[model.id] = (np.array(at, dtype=np.intp), np.array(column, dtype=np.intp))
        return found


class Group:
    """The state of all assets that use one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.size = 0
        self.free: list[int] = []
        self.state: dict[str, NDArray[Any]] = dict(model.detector.initial(0))
        self.owned = True
        """The state arrays are nobody else's, so rows may be written into them."""
        self.last: Floats = np.zeros((0, len(model.detector.sensors)))
        self.same: NDArray[np.int64] = np.zeros((0, len(model.detector.sensors)), dtype=np.int64)
        longest = model.detector.longest
        self.frozen: NDArray[np.int64] = np.maximum(3 * longest, longest + 10)

    def grow(self) -> None:
        """Make room for assets that joined since."""
        more = self.size - len(self.last)
        if more > 0:
            fresh = self.model.detector.initial(more)
            self.state = {name: np.concatenate([array, fresh[name]]) for name, array in self.state.items()}
            self.owned = True
            self.last = np.concatenate([self.last, np.full((more, self.last.shape[1]), np.nan)])
            self.same = np.concatenate([self.same, np.zeros((more, self.same.shape[1]), dtype=np.int64)])

    def own(self) -> None:
        """Make the arrays writable without touching what a result may still refer to."""
        if not self.owned:
            self.state = {name: array.copy() for name, array in self.state.items()}
            self.owned = True

    def reset(self, rows: Rows) -> None:
        """Begin these assets anew."""
        self.own()
        for name, array in self.model.detector.initial(len(rows)).items():
            self.state[name][rows] = array
        self.last[rows] = np.nan
        self.same[rows] = 0

    def score(self, rows: Rows, x: Floats) -> Result:
        """Score (A, T, S) of the assets in these rows, and keep their state."""
        everyone = len(rows) == len(self.last) and bool((rows == np.arange(len(rows))).all())
        before: State = self.state if everyone else {name: array[rows] for name, array in self.state.items()}
        after, result = self.model.detector.score(before, x)
        if everyone:
            self.state, self.owned = dict(after), False
        else:
            self.own()
            for name, array in after.items():
                self.state[name][rows] = array
        return result

    def unchanged(self, rows: Rows, x: Floats) -> NDArray[np.int64]:
        """For how many rows each value has been the same: (A, T, S); 0 for a missing one."""
        at = np.arange(x.shape[1])[:, None]
        before = np.concatenate([self.last[rows][:, None], x[:, :-1]], axis=1)
        begun = np.maximum.accumulate(np.where(x != before, at, -1), axis=1)
        same = np.where(begun < 0, self.same[rows][:, None] + at + 1, at - begun + 1)
        same = np.where(np.isnan(x), 0, same)
        self.last[rows] = x[:, -1]
        self.same[rows] = same[:, -1]
        return same
