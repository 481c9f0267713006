"""What an episode has shown so far, row by row."""

import base64
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from lab.episodes import Known
from lab.groups import FAIRLY, LOST, NEARLY, Ill
from models.detector import Floats
from models.precursor import causes
from models.precursor.causes import Match

LEADING: Final = 5
"""Sensors named in an episode."""
FIRST: Final = 30
"""Rows from whose shares the leading sensors follow; later ones show what came of it (a trip, above all)."""
OUTSIDE: Final = 10.0
"""So many times its share counts of who was the first to leave its usual values: relations break elsewhere too."""
BEGUN: Final = 2
"""Rows of an episode that show who left its usual values with a spike."""
PARTNER: Final = 0.5
"""A sensor that failed earlier must have so much of the leading share to be the cause; by others with as much of it the
plant moves."""
SETTLED: Final = 20
"""Rows of an episode in which a spike may be the process's own; later ones are held against the changes of so many."""
ISOLATED: Final = 10.0
"""A spike in an episode is the instrument's if it is so many times the usual change from row to row."""
SUDDEN: Final = 3.0
"""And if it is so many times the change right before it: what runs away leaps ever farther."""
FOLLOWS: Final = 0.01
"""Share of the largest one from which another sensor that leaves its usual values has to do with the episode."""
LASTS: Final = 10
"""It follows if it stays outside for so many rows; far outside, it shows that the plant has left its usual values."""
HEARD: Final = 45
"""Rows after it was told for which a resting sensor may yet be seen to have told the truth, as others follow; and rows
for which one must stay out by more than a little to show it later, longer than by chance in normal operation."""
ONCE: Final = 0.5
"""What it was outside in single rows counts by this part."""


class Course:
    """What an episode has shown so far. `S` sensors."""

    PLAIN: ClassVar[tuple[str, ...]] = (
        *("start", "model", "period_s", "peak", "peak_at", "last", "rows", "periods", "library"),
    )
    """What a snapshot keeps as it is."""
    ARRAYS: ClassVar[tuple[str, ...]] = (
        *("shares", "first", "outside", "lately", "moved", "away", "off", "last_known", "beyond", "recent", "residual"),
    )

    def __init__(
        self,
        start: int,
        sensors: Sequence[str],
        model: str,
        period_s: float = 1.0,
        known: Known | None = None,
        prior: Floats | None = None,
    ) -> None:
        self.start, self.sensors, self.model, self.period_s = start, sensors, model, period_s
        self.peak = -np.inf
        self.peak_at = self.last = start
        self.rows = 0
        """Rows since the start, those without a score too."""
        self.periods = 0
        """And periods, in which there may have been none."""
        self.shares: Floats = np.zeros(len(sensors))
        self.first: NDArray[np.bool_] = np.zeros(len(sensors), dtype=np.bool_)
        """(S,) beyond their usual values in the first row in which one was."""
        self.outside: Floats = np.zeros((2, len(sensors)))
        """(2, S) how far each was outside its usual values in the first rows, and in all in which it had a share."""
        self.lately: Floats = np.zeros((LASTS, len(sensors)))
        """(LASTS, S) the same of the last rows, 0 where they had no share."""
        self.moved: NDArray[np.bool_] = np.ones(len(sensors), dtype=np.bool_)
        """(S,) sensors that may lead: beside a failed one those by which the plant was seen to leave."""
        self.away: NDArray[np.int64] = np.zeros(len(sensors), dtype=np.int64)
        """(S,) twice the rows in which each was far outside its usual values, less those in which it was not."""
        self.off: NDArray[np.int64] = np.zeros(len(sensors), dtype=np.int64)
        """(S,) rows in which each was outside them by more than a little, less those in which it was not."""
        self.last_known: Floats = np.full(len(sensors), np.nan) if prior is None else prior.copy()
        """(S,) the newest value of each that was there."""
        self.beyond: NDArray[np.bool_] = np.ones(len(sensors), dtype=np.bool_)
        """(S,) out of range in every row so far."""
        self.recent: Floats = np.full((SETTLED + 2, len(sensors)), np.nan)
        """(SETTLED + 2, S) the last rows' values, the newest last; before them the row before the episode."""
        if prior is not None:
            self.recent[-1] = prior
        self.residual: NDArray[np.float32] = np.zeros(len(sensors), dtype=np.float32)
        """(S,) of the first row, or of a later one that may be the first of two."""
        self.evidence = causes.initial(1, len(sensors))
        self.know(known)

    def know(self, known: Known | None) -> None:
        """Compare with this library."""
        self.library = known.id if known is not None else None
        self._shared = known  # others of the same one share it for as long
        self._matcher = known.matcher(self.sensors) if known is not None else None
        self._matched: tuple[int, Match] | None = None

    def add(
        self,
        t: int,
        score: float,
        shares: Floats,
        deviation: NDArray[np.floating[Any]] | None = None,
        values: Floats | None = None,
        outside: Floats | None = None,
        elapsed: int = 1,
    ) -> None:
        """Take in a row's score, the sensors' shares of it, deviations and values (S,); NaN where there is none.

        `outside` (S,) is how far they are outside their usual values, in spans of these; `elapsed` are the periods
        since the row before.
        """
        self.periods += elapsed if self.rows else 1
        self.rows += 1
        if outside is not None:
            enough = np.where(shares >= FOLLOWS * shares.max(), outside, 0.0)
            self.lately = np.concatenate([self.lately[1:], enough[None]])
            parts = outside if self.rows <= BEGUN else 0.0 * outside, np.maximum(self.lately.min(axis=0), ONCE * enough)
            self.outside = np.maximum(self.outside, np.stack(parts))
        if values is not None:
            self.recent = np.concatenate([self.recent[1:], values[None]])
        if deviation is not None:
            on = np.ones((1, 1), dtype=np.bool_)
            self.evidence = causes.gather(
                self.evidence, deviation[None, None].astype(np.float64), shares[None, None], on
            )
        if score != score:
            return
        self.last = t
        if self.rows <= FIRST:
            self.shares = self.shares + shares
            if outside is not None and not self.first.any():
                self.first = outside > 0
        if score > self.peak:
            self.peak, self.peak_at = score, t

    def depart(self, values: Floats, outside: Floats, can: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
        """Take in who is far outside its usual values; after `add` of the same row.

        A measurement that rests, or is not there, says nothing: it may have failed too.

        Args:
            values: (S,) NaN for none.
            outside: (S,) how far they are outside their usual values, in spans of these.
            can: (S,) sensors that can fail, and sensors that have usual values to leave, having moved in the record.
        """
        fail, move = can
        there = ~np.isnan(values)
        says = there & move & (~fail | (values != self.last_known))
        self.away = np.maximum(self.away + np.where(outside > FAIRLY, 2, -1) * says, 0)
        self.off = np.maximum(self.off + np.where(outside > NEARLY, 1, -1) * says, 0)
        self.last_known = np.where(there, values, self.last_known)

    def match(self) -> Match | None:
        """What it is like; None without a library."""
        if self._matcher is None:
            return None
        if self._matched is None or self._matched[0] != self.rows:
            self._matched = self.rows, self._matcher.match(self.evidence)[0]
        return self._matched[1]

    def weighed(self) -> Floats:
        """(S,) how much each has to do with what it began with."""
        weighed = np.where(self.first, OUTSIDE, 1.0) * self.shares
        return weighed * self.moved if (weighed * self.moved).any() else weighed

    def leading(self) -> list[int]:
        """Positions of those that lead, by half of the largest at least; none without a score."""
        weighed = self.weighed()
        most = np.argsort(-weighed, kind="stable")[:LEADING].tolist()
        return [at for at in most if weighed[at] >= PARTNER * max(weighed.max(), 1e-300)]

    def gone(self, slowly: bool) -> NDArray[np.bool_]:
        """(S,) sensors that were far outside their usual values for long; `slowly`: or less far for longer."""
        gone = self.away >= 2 * LASTS
        return gone | (self.off >= HEARD) if slowly else gone

    def others_away(self, ill: Ill | None, row: int, slowly: bool = False) -> NDArray[np.bool_]:
        """(S,) sensors beside which another is away for long; one that failed as well is no plant."""
        away = self.gone(slowly) & ~lost(ill, row)
        return np.asarray(np.count_nonzero(away) > away)

    def isolated(self, fresh: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(S,) sensors whose spike, just ended, stands out from how they moved in the episode before it."""
        if self.rows < len(self.recent) or not fresh.any():
            return np.zeros(len(fresh), dtype=np.bool_)
        changes = np.abs(np.diff(self.recent, axis=0))
        usual = np.median(np.where(np.isnan(changes[:-2]), np.inf, changes[:-2]), axis=0)
        calm = ~(changes[-2] < SUDDEN * changes[-3])  # it had not begun to leap before
        return np.asarray(fresh & (usual > 0) & (changes[-2] >= ISOLATED * usual) & calm)

    def dump(self) -> dict[str, Any]:
        """For a snapshot, as plain JSON."""
        return {
            **{name: getattr(self, name) for name in self.PLAIN},
            "sensors": list(self.sensors),
            "arrays": {name: _packed(getattr(self, name)) for name in self.ARRAYS},
            "evidence": {name: _packed(array) for name, array in self.evidence.items()},
        }

    def resume(self, dumped: dict[str, Any]) -> None:
        """Go on where `dump` stood; what it is compared with is for the caller to give (`library`, `know`)."""
        for name in self.PLAIN:
            setattr(self, name, dumped[name])
        for name in self.ARRAYS:
            setattr(self, name, _unpacked(dumped["arrays"][name], getattr(self, name)))
        self.evidence = {name: _unpacked(dumped["evidence"][name], array) for name, array in self.evidence.items()}


def lost(ill: Ill | None, row: int) -> NDArray[np.bool_] | np.bool_:
    """(S,) sensors that show nothing of the plant in a row; no more than one answer for all where nothing is wrong."""
    if ill is None:
        return np.False_
    return np.asarray(np.isin(ill.fault[row], LOST))


def _packed(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _unpacked(packed: str, like: NDArray[Any]) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(packed), like.dtype).reshape(like.shape).copy()
