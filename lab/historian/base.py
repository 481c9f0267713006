"""The historian's protocol: no query language leaks out of it, and both implementations pass one contract suite."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
"""UTC nanoseconds since 1970."""


class Batch(NamedTuple):
    """Readings to store, all four arrays of length N; `sensor` holds ids from `Historian.ids`."""

    sensor: NDArray[np.int32]
    t: Times
    v: NDArray[np.float64]
    """NaN means no value."""
    q: NDArray[np.uint8]
    """`devices.quality` codes."""


class Series(NamedTuple):
    """Readings of one sensor in time order, at most one a time stamp (the last written wins).

    Raw (`raw` true): `v`, `lo` and `hi` are the same values. Decimated: each point is a time bucket with the mean in
    `v`, the extremes in `lo` and `hi`, the worst quality in `q`, and the time of the bucket's first reading in `t`
    (InfluxDB, which does not tell that: of the bucket's start, which is not later). Readings without a value count for
    the quality alone. Sensors may share arrays: do not change them in place.
    """

    t: Times
    v: NDArray[np.float64]
    lo: NDArray[np.float64]
    hi: NDArray[np.float64]
    q: NDArray[np.uint8]
    raw: bool


class Latest(NamedTuple):
    """The newest reading of a sensor."""

    t: int
    v: float
    q: int


class HistorianStats(NamedTuple):
    """What the status page and `lab doctor` show."""

    readings: int
    sensors: int
    bytes_on_disk: int
    bytes_written: int
    oldest: int | None
    newest: int | None


class HistorianError(Exception):
    """The store could not take or give readings; the text says what to do. Nothing of the batch was kept."""


class HistorianFull(HistorianError):
    """No room left on the disk (or in the size the store may have)."""


class Historian(Protocol):
    """One writer, any number of readers (also from other processes)."""

    def ids(self, keys: Sequence[str]) -> NDArray[np.int32]:
        """Ids of sensors by their keys `asset/tag`; unknown ones are registered."""

    def keys(self) -> Sequence[str]:
        """All keys known, by id."""

    def write(self, batch: Batch) -> None:
        """Store a batch; when this returns, kill -9 loses none of it.

        Writing the same (sensor, time) again replaces the value, so a batch may be repeated after a crash.

        Raises:
            HistorianFull: no room.
            HistorianError: any other failure; nothing of the batch is stored.
        """

    def read(self, sensors: Sequence[str], t0: int, t1: int, max_points: int | None = None) -> Mapping[str, Series]:
        """Readings with t0 <= t < t1 of each named sensor; unknown names give empty series."""

    def latest(self, sensors: Sequence[str]) -> Mapping[str, Latest]:
        """Newest reading of each named sensor; sensors without any are left out."""

    def stats(self) -> HistorianStats:
        """Counts and sizes."""

    def close(self) -> None:
        """Let go of files and connections; safe to call twice."""
