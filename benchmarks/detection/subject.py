"""What the protocols want of a detector, and the lab's own in that form.

Any detector plugs in: `Subject.fit` on records of normal operation, then `Fitted.score` on each stream from its first
row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.precursor import Precursor, fit, resolution, rounded

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
NONE, PROCESS, INSTRUMENT = 0, 1, 2


class Limit(NamedTuple):
    """A trip or alarm limit of a sensor."""

    sensor: str
    side: str
    """high or low."""
    value: float


class Scored(NamedTuple):
    """What a detector said of a stream of `n` rows; what is not its business stays None."""

    score: Floats
    """(n,) higher is worse; NaN while it warms up."""
    alarm: Flags
    """(n,) whether an episode is on, of the process or of an instrument."""
    kind: NDArray[np.int8] | None = None
    """(n,) NONE, PROCESS or INSTRUMENT."""
    causes: Sequence[tuple[int, Sequence[int]]] | None = None
    """Row from which a ranking holds, and the plant's fault numbers, likeliest first; 0 is "like nothing known"."""
    until: Floats | None = None
    """(n, limits, 3) seconds to each limit: low, middle and high end of the 80 % interval; infinite: none in sight."""


class Fitted(Protocol):
    """A fitted detector."""

    @property
    def limit(self) -> float:
        """The score from which a row counts towards an episode."""

    @property
    def promise(self) -> float | None:
        """False alarms a month that it says it can keep, or None where it says nothing of the kind."""

    def score(self, rows: Floats) -> Scored:
        """Score a stream (n, S) from its beginning; NaN is a missing value."""


class Subject(Protocol):
    """A detector with one configuration."""

    def __hash__(self) -> int:
        """What is fitted is kept by it."""

    @property
    def name(self) -> str:
        """As it stands in the tables."""

    def fit(
        self,
        runs: Sequence[Floats],
        sensors: tuple[str, ...],
        period_s: float,
        stream_head: Floats | None = None,
        *,
        per_month: float = 1.0,
        limits: Sequence[Limit] = (),
    ) -> Fitted:
        """Fit to records (n, S) of normal operation.

        Args:
            runs: records that are not to be bridged; NaN is a missing value.
            sensors: names of the S columns.
            period_s: seconds between rows.
            stream_head: first rows of the stream that will be scored, for its number format only.
            per_month: false alarms a month that are allowed.
            limits: what the time is to be foretold for.
        """


@dataclass(frozen=True)
class LabFitted:
    """The lab's detector, fitted."""

    model: Precursor

    @property
    def limit(self) -> float:
        return self.model.limit

    @property
    def promise(self) -> float | None:
        return self.model.kept

    def score(self, rows: Floats) -> Scored:
        _, result = self.model.score(self.model.initial(1), np.ascontiguousarray(rows[None]))
        return Scored(result.score[0], result.alarm[0])


@dataclass(frozen=True)
class Lab:
    """models/precursor as `lab fit` uses it."""

    name: str = "lab"

    def fit(
        self,
        runs: Sequence[Floats],
        sensors: tuple[str, ...],
        period_s: float,
        stream_head: Floats | None = None,
        *,
        per_month: float = 1.0,
        limits: Sequence[Limit] = (),
    ) -> LabFitted:
        records = list(runs)
        if stream_head is not None:
            format = resolution(stream_head)
            records = [rounded(record, format) for record in records]
        return LabFitted(fit(records, sensors, period_s, false_alarms_per_month=per_month))


LAB: Final[Any] = Lab()
