"""All assets that use one model, a row each in every state array."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from devices.frame import Channel
from models.detector import Model, Result, State

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]
Counts = NDArray[np.int32]

FROZEN: Final = 3
"""A sensor is frozen when it repeats one usual value for so many times its longest usual run, and ten rows longer."""
SILENT: Final = 3
"""It is silent when it has no value for so many times its longest usual gap, and as many rows more."""


def together(rows: Rows) -> slice | Rows:
    """Positions that stand side by side as a slice, which spares copying."""
    if rows[-1] - rows[0] == len(rows) - 1 and (len(rows) == 1 or bool((rows[1:] > rows[:-1]).all())):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


class Layout:
    """A channel list: where each tag stands, and which may be scored."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.channels = tuple(channels)
        self.column = {channel.tag: at for at, channel in enumerate(channels)}
        self._places: dict[str, Places] = {}

    def scored(self) -> list[str]:
        """Tags that a model may learn from."""
        return [channel.tag for channel in self.channels if channel.role != "status"]

    def places(self, model: Model) -> "Places":
        """Where the model's sensors stand."""
        found = self._places.get(model.id)
        if found is None:
            found = self._places[model.id] = Places(self, model)
        return found


class Places:
    """Where a model's `S` sensors stand among a layout's `C` channels."""

    def __init__(self, layout: Layout, model: Model) -> None:
        allowed = set(layout.scored())
        sensors = model.detector.sensors
        pairs = [(at, layout.column[tag]) for at, tag in enumerate(sensors) if tag in allowed]
        self.known = [at for at, _ in pairs]
        columns = np.array([column for _, column in pairs], dtype=np.intp)
        self.columns: slice | Rows = together(columns) if pairs else columns
        """Of the known ones."""
        self.complete = len(self.known) == len(sensors)
        self.measured: Flags = np.zeros(len(sensors), dtype=np.bool_)
        """(S,) sensors that can fail: a valve that rests or is wide open, does as it is told."""
        for at, column in pairs:
            self.measured[at] = layout.channels[column].role == "measurement"


class Group:
    """The state of all assets that use one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.size = 0
        self.free: list[int] = []
        self.state: dict[str, NDArray[Any]] = dict(model.detector.initial(0))
        self.owned = True
        """The state arrays are nobody else's, so rows may be written into them."""
        width = len(model.detector.sensors)
        self.last: Floats = np.zeros((0, width))
        self.same: Counts = np.zeros((0, width), dtype=np.int32)
        usual = model.detector.usual
        self.moves: Flags = usual.low < usual.high
        """(S,) sensors that had more than one value in the normal record; others cannot freeze."""
        self.frozen: NDArray[np.int64] = np.maximum(FROZEN * usual.same, usual.same + 10)
        """(S,) rows with one value, beyond which a sensor is frozen."""
        self.silent: NDArray[np.int64] = SILENT * (usual.missing + 1)
        """(S,) rows without a value, beyond which it is silent."""

    def grow(self) -> None:
        """Make room for assets that joined since."""
        more = self.size - len(self.last)
        if more > 0:
            fresh = self.model.detector.initial(more)
            self.state = {name: np.concatenate([array, fresh[name]]) for name, array in self.state.items()}
            self.owned = True
            self.last = np.concatenate([self.last, np.full((more, self.last.shape[1]), np.nan)])
            self.same = np.concatenate([self.same, np.zeros((more, self.same.shape[1]), dtype=np.int32)])

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

    def score(self, rows: slice | Rows, x: Floats) -> Result:
        """Score (A, T, S) of the assets in these rows, and keep their state."""
        before: State = {name: array[rows] for name, array in self.state.items()}
        after, result = self.model.detector.score(before, x)
        if len(x) == len(self.last) and isinstance(rows, slice):
            self.state, self.owned = dict(after), False
        else:
            self.own()
            for name, array in after.items():
                self.state[name][rows] = array
        return result

    def unchanged(self, rows: slice | Rows, x: Floats) -> Counts:
        """For how many rows each sensor has had the same value, or none: (A, T, S)."""
        last, same = self.last[rows], self.same[rows]
        counts: Counts = np.empty(x.shape, dtype=np.int32)
        if x.shape[1] == 1:
            now = x[:, 0]
            repeats = now == last
            if not repeats.any() and not np.isnan(now).any():
                counts[:] = 1
            else:
                repeats |= np.isnan(now) & np.isnan(last)
                counts[:, 0] = np.where(repeats, same + 1, 1)
        else:
            at = np.arange(x.shape[1], dtype=np.int32)[:, None]
            before = np.concatenate([last[:, None], x[:, :-1]], axis=1)
            changed = (x != before) & ~(np.isnan(x) & np.isnan(before))
            begun = np.maximum.accumulate(np.where(changed, at, np.int32(-1)), axis=1)
            counts[:] = np.where(begun < 0, same[:, None] + at + 1, at - begun + 1)
        self.last[rows], self.same[rows] = x[:, -1], counts[:, -1]
        return counts

    def ill(self, places: Places, x: Floats, same: Counts, over: Flags | None) -> Flags:
        """Which measurements are frozen or silent, (T, S) of one asset.

        Frozen counts only at a usual value: one that rests elsewhere (a flow gone to nothing, a level at the end of its
        range) may tell the truth. And where more than a quarter of the sensors came to rest together, a plant stopped.

        Args:
            places: where the sensors stand.
            x: (T, S) values, NaN for none.
            same: (T, S) of `unchanged`.
            over: (T, S) sensors without a value because they were beyond their measuring range; None for none.
        """
        usual = self.model.detector.usual
        gone = np.isnan(x)
        silent = gone & (same > self.silent)
        if over is not None:
            silent &= ~over
        frozen = ~gone & (same > self.frozen) & (x >= usual.low) & (x <= usual.high) & self.moves
        found: Flags = (frozen | silent) & places.measured
        for row in np.flatnonzero((found & frozen).any(axis=1)).tolist():
            still = same[row, self.moves & ~gone[row]]
            for sensor in np.flatnonzero(found[row] & frozen[row]).tolist():
                together = np.count_nonzero(still >= same[row, sensor] - usual.same[sensor])
                found[row, sensor] = together <= max(1, x.shape[1] // 4)
        return found
