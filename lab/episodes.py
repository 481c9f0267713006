"""Episodes: stretches of abnormal behaviour, opened after the detector's on-delay and closed after its off-delay."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from lab.store import Store, room

LEADING: Final = 5
"""Sensors named in an episode."""
FIRST: Final = 30
"""Rows from whose shares the leading sensors follow; later ones show what came of it (a trip, above all)."""
RECENT: Final = 50
"""Rows before an episode within which a sensor that failed may be its cause whatever its share."""
PARTNER: Final = 0.5
"""A sensor that failed earlier must have so much of the leading share to be the cause."""
QUIET_NS: Final = 10 * 10**9
"""An open episode whose peak stays is written again after so long."""
HIGHER: Final = 1.01
"""A peak higher by this factor is written at once."""

room(
    "episodes",
    """CREATE TABLE episode (
        id TEXT PRIMARY KEY, asset TEXT NOT NULL, kind TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER,
        peak REAL NOT NULL, peak_at INTEGER NOT NULL, leading TEXT NOT NULL, cause TEXT, model TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX episode_start ON episode (start, id)",
    "CREATE INDEX episode_asset ON episode (asset, start, id)",
    'CREATE INDEX episode_open ON episode (asset) WHERE "end" IS NULL',
)


class Episode(msgspec.Struct, frozen=True):
    """One episode of an asset; times in UTC nanoseconds."""

    id: str
    """Asset and start, so that scoring the same readings again gives the same id."""
    asset: str
    kind: Literal["process", "instrument"]
    start: int
    end: int | None
    peak: float
    peak_at: int
    leading: list[tuple[str, float]]
    """The sensors with the largest mean share of the score in the first rows, in parts of one: what began it."""
    cause: str | None
    model: str


_leading: Final = msgspec.json.Decoder(list[tuple[str, float]])


class Change(NamedTuple):
    """What happened to an episode."""

    what: Literal["opened", "updated", "closed"]
    episode: Episode


class Tracker:
    """An open episode that grows row by row. `S` sensors.

    It is the process's until a measurement is known to have failed (frozen or silent, `Group.ill`) that did so before
    the episode began, so not because of it, and either shortly before or with a large share of the score. From then on
    it is the instrument's.
    """

    def __init__(self, asset: str, model: str, start: int, sensors: Sequence[str]) -> None:
        self.asset, self.model, self.start, self.sensors = asset, model, start, sensors
        self.id = f"{asset}-{start // 1000:x}"
        self.peak = -np.inf
        self.peak_at = self.last = start
        self.shares: NDArray[np.float64] = np.zeros(len(sensors))
        self.rows = 0
        """Rows since the start, those without a score too."""
        self.instrument = False
        self.ended = False
        """The stream has ended; should it go on, so does the episode."""
        self.told: tuple[float, bool, int] | None = None

    def add(self, t: int, score: float, shares: NDArray[np.float64]) -> None:
        """Take in a row's score and the sensors' shares (S,) of it; NaN for a row without a score."""
        self.rows += 1
        if score != score:
            return
        self.last = t
        if self.rows <= FIRST:
            self.shares = self.shares + shares
        if score > self.peak:
            self.peak, self.peak_at = score, t

    def judge(self, ill: NDArray[np.bool_], run: NDArray[np.int32], needed: NDArray[np.int64]) -> None:
        """See whether a sensor's failure explains the episode; after `add` of the same row.

        Args:
            ill: (S,) measurements that are frozen or silent now.
            run: (S,) for how many rows they have been.
            needed: (S,) rows after which that is known.
        """
        before = run - (self.rows - 1)  # as long it was at the first row
        recent = before <= needed + RECENT
        weighty = self.shares >= PARTNER * self.shares.max()
        self.instrument = self.instrument or bool((ill & (before > 0) & (recent | weighty)).any())

    def episode(self, end: int | None = None) -> Episode:
        """As it is now."""
        total = float(self.shares.sum())
        parts = self.shares / total if total > 0 else self.shares
        leading = np.argsort(-parts, kind="stable")[:LEADING]
        named = [(self.sensors[at], round(float(parts[at]), 4)) for at in leading if parts[at] > 0]
        kind: Literal["process", "instrument"] = "instrument" if self.instrument else "process"
        return Episode(
            self.id, self.asset, kind, self.start, end, float(self.peak), self.peak_at, named, None, self.model
        )

    def update(self) -> Change | None:
        """What to tell of it now, if it says something new."""
        if self.told is not None:
            peak, instrument, at = self.told
            if self.peak < peak * HIGHER and self.instrument == instrument and self.last - at < QUIET_NS:
                return None
        what: Literal["opened", "updated"] = "updated" if self.told else "opened"
        self.told = (self.peak, self.instrument, self.last)
        return Change(what, self.episode())

    def end(self) -> Change:
        """The stream has ended, and with it the episode at its last scored row."""
        self.ended, self.told = True, None
        return Change("closed", self.episode(self.last))

    def dump(self) -> dict[str, Any]:
        """For a snapshot, as plain JSON."""
        return {
            "start": self.start,
            "sensors": list(self.sensors),
            "model": self.model,
            "peak": self.peak,
            "peak_at": self.peak_at,
            "last": self.last,
            "shares": self.shares.tolist(),
            "rows": self.rows,
            "instrument": self.instrument,
            "ended": self.ended,
        }

    @classmethod
    def restore(cls, asset: str, dumped: dict[str, Any]) -> "Tracker":
        """The tracker that was dumped."""
        tracker = cls(asset, dumped["model"], dumped["start"], dumped["sensors"])
        tracker.peak, tracker.peak_at, tracker.last = dumped["peak"], dumped["peak_at"], dumped["last"]
        tracker.shares = np.array(dumped["shares"])
        tracker.rows, tracker.instrument, tracker.ended = dumped["rows"], dumped["instrument"], dumped["ended"]
        tracker.told = None if tracker.ended else (tracker.peak, tracker.instrument, tracker.last)
        return tracker


def write_episodes(db: sqlite3.Connection, episodes: Iterable[Episode]) -> None:
    """Enter episodes, or bring them up to date; a cause once found is kept. The caller has the transaction."""
    db.executemany(
        "INSERT INTO episode VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        'kind = excluded.kind, "end" = excluded."end", peak = excluded.peak, peak_at = excluded.peak_at, '
        "leading = excluded.leading, cause = coalesce(excluded.cause, cause), model = excluded.model",
        [
            (
                *(e.id, e.asset, e.kind, e.start, e.end, e.peak, e.peak_at),
                *(msgspec.json.encode(e.leading).decode(), e.cause, e.model),
            )
            for e in episodes
        ],
    )


def list_episodes(
    store: Store,
    asset: str | None = None,
    open: bool | None = None,
    t0: int | None = None,
    t1: int | None = None,
    limit: int = 100,
    cursor: tuple[int, str] | None = None,
) -> list[Episode]:
    """Episodes that touch t0 <= t < t1, the newest first.

    Args:
        store: the database.
        asset: of this asset only.
        open: only those that are open (True) or ended (False).
        t0: UTC nanoseconds.
        t1: UTC nanoseconds.
        limit: at most so many.
        cursor: `start` and `id` of the last one of the page before.
    """
    conditions, values = ["1"], dict[str, Any](limit=limit)
    if asset is not None:
        conditions.append("asset = :asset")
        values["asset"] = asset
    if open is not None:
        conditions.append('"end" IS NULL' if open else '"end" IS NOT NULL')
    if t0 is not None:
        conditions.append('("end" IS NULL OR "end" >= :t0)')
        values["t0"] = t0
    if t1 is not None:
        conditions.append("start < :t1")
        values["t1"] = t1
    if cursor is not None:
        conditions.append("(start, id) < (:at, :id)")
        values |= {"at": cursor[0], "id": cursor[1]}
    rows = store.db.execute(
        'SELECT id, asset, kind, start, "end", peak, peak_at, leading, cause, model FROM episode '
        f"WHERE {' AND '.join(conditions)} ORDER BY start DESC, id DESC LIMIT :limit",
        values,
    )
    return [
        Episode(id, of, kind, start, end, peak, peak_at, _leading.decode(leading), cause, model)
        for id, of, kind, start, end, peak, peak_at, leading, cause, model in rows.fetchall()
    ]
