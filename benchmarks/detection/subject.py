"""What the protocols want of a detector, and the lab's own in that form.

Any detector plugs in: `Subject.fit` on records of normal operation, then `Fitted.score` on each stream from its first
row.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lab.causes import read_library, tep_causes
from lab.episodes import Known
from lab.offline import score_table
from lab.tables import Table
from models.detector import Model, dumps, loads, save
from models.precursor import Precursor, fit, resolution, rounded
from models.precursor.causes import Match
from simulators.tep import COLUMNS

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


@dataclass(frozen=True, eq=False)
class LabFitted:
    """The lab's detector, fitted; it scores as `lab score` does, which is what the collector does."""

    model: Model
    limits: tuple[Limit, ...] = ()

    @property
    def limit(self) -> float:
        return self.model.detector.limit

    @property
    def promise(self) -> float | None:
        return self.model.detector.kept if isinstance(self.model.detector, Precursor) else None

    @cached_property
    def library(self) -> Known | None:
        """The library of the simulated plant's odd-numbered faults, made as `lab model causes` makes it."""
        if tuple(sorted(self.model.detector.sensors)) != tuple(sorted(COLUMNS)) or not self.limits:
            return None
        with tempfile.TemporaryDirectory() as folder:
            save(self.model.detector, Path(folder) / "tep.model", self.model.about)
            path, _ = tep_causes(Path(folder))
            return Known("tep", read_library(path))

    def score(self, rows: Floats) -> Scored:
        detector = self.model.detector
        table = Table(detector.sensors, np.ascontiguousarray(rows), None, detector.period_s, Path("run"))
        known = self.library
        scores = score_table(self.model, table, known)
        kind = np.zeros(len(rows), dtype=np.int8)
        for episode, first, last in scores.episodes:
            kind[first : last + 1] = INSTRUMENT if episode.kind == "instrument" else PROCESS
        causes = None
        if known is not None:
            causes = [(row, _ranked(match)) for row, match in enumerate(scores.causes) if match is not None]
        until = None
        if self.limits:
            until = np.full((len(rows), len(self.limits), 3), np.inf)
            for at, limit in enumerate(self.limits):
                named = scores.ahead_of == detector.sensors.index(limit.sensor)
                until[named, at] = scores.ahead[named][:, [1, 0, 2]]
        return Scored(scores.score, scores.alarm, kind, causes, until)


def _ranked(match: Match) -> list[int]:
    """Fault numbers, likeliest first; 0 is "like nothing known"."""
    listed = [(chance, int(name.removeprefix("idv_"))) for name, chance in match.causes]
    return [fault for _, fault in sorted([(match.unknown, 0), *listed], key=lambda each: -each[0])]


@dataclass(frozen=True)
class Lab:
    """The lab's detector as `lab fit` uses it."""

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
        sides: dict[str, dict[str, float]] = {}
        for limit in limits:
            sides.setdefault(limit.sensor, {})[limit.side] = limit.value
        ahead = {name: (each.get("low"), each.get("high")) for name, each in sides.items()}
        detector = fit(records, sensors, period_s, false_alarms_per_month=per_month, limits=ahead)
        return LabFitted(loads(dumps(detector)), tuple(limits))


LAB: Final[Any] = Lab()
