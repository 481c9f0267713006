"""Episodes: stretches of abnormal behaviour, opened after the detector's on-delay and closed after its off-delay."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from lab.store import Store, room
from models.detector import State
from models.precursor.causes import Library, Matcher

Kind = Literal["process", "instrument"]

room(
    "episodes",
    """CREATE TABLE episode (
        id TEXT PRIMARY KEY, asset TEXT NOT NULL, kind TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER,
        peak REAL NOT NULL, peak_at INTEGER NOT NULL, leading TEXT NOT NULL, cause TEXT, model TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX episode_start ON episode (start, id)",
    "CREATE INDEX episode_asset ON episode (asset, start, id)",
    'CREATE INDEX episode_open ON episode (asset) WHERE "end" IS NULL',
    "ALTER TABLE episode ADD COLUMN failed TEXT",
    "ALTER TABLE episode ADD COLUMN causes TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE episode ADD COLUMN unknown REAL",
    "ALTER TABLE episode ADD COLUMN library TEXT",
    "ALTER TABLE episode ADD COLUMN label TEXT",
    "ALTER TABLE episode ADD COLUMN outlook TEXT",
    "ALTER TABLE episode ADD COLUMN evidence BLOB",
    "ALTER TABLE episode ADD COLUMN suspects TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE episode ADD COLUMN upset TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE episode ADD COLUMN label_kind TEXT",
    "CREATE INDEX episode_told ON episode (asset) WHERE label IS NOT NULL",
)


class Known:
    """A library of causes as it stands in a file or in the database."""

    def __init__(self, id: str, library: Library) -> None:
        self.id = id
        self.library = library
        self._matchers: dict[tuple[str, ...], Matcher | None] = {}

    def matcher(self, sensors: Sequence[str]) -> Matcher | None:
        """For the episodes of a model's sensors; None where the library knows none of them, or no cause."""
        key = tuple(sensors)
        if key not in self._matchers:
            shared = self.library.causes and set(key) & set(self.library.sensors)
            self._matchers[key] = self.library.matcher(key) if shared else None
        return self._matchers[key]


class Unseen(msgspec.Struct, frozen=True):
    """A sensor with a limit that shows nothing: silent, or known to have failed; seconds of the asset's own clock."""

    sensor: str
    silent_s: float | None = None
    """For how long it has had no value; None: it has one that tells nothing, or has had none for very long."""
    time_s: float | None = None
    """What was foretold by its last value, counted from that; nothing where no limit was in sight."""
    low_s: float | None = None
    high_s: float | None = None
    limit: float | None = None


class Outlook(msgspec.Struct, frozen=True):
    """How long until a limit is reached, in seconds of the asset's own clock; nothing where that is not in sight.

    It is told of what is seen alone: of a sensor that shows nothing no limit is in sight, but none is out of it either.
    """

    sensor: str | None
    """Whose limit; None: none in sight."""
    time_s: float | None
    low_s: float | None
    """Lower end of the 80 % interval; where none is in sight, what nine in ten such rows leave at least."""
    high_s: float | None
    first_at: int | None = None
    """When a limit was first in sight, UTC nanoseconds."""
    first_s: float | None = None
    """What was foretold then."""
    reached: str | None = None
    """Whose limit was reached first."""
    lead_s: float | None = None
    """From the episode's start until it was."""
    limit: float | None = None
    """Which of the limits of `sensor`, in its unit."""
    silent_s: float | None = None
    """For how long `sensor` has had no value: what was foretold by its last one goes on. None: it has one."""
    unseen: list[Unseen] = []
    """Sensors with a limit that show nothing; first those whose limit was in sight, the soonest first."""
    watched: int | None = None
    """How many others there are: 0 is that nothing is known. None: an older lab did not say."""

    @property
    def in_sight(self) -> bool:
        """Whether a limit is in sight, or was when its sensor showed something last."""
        return self.sensor is not None or any(each.time_s is not None for each in self.unseen)


class Episode(msgspec.Struct, frozen=True):
    """One episode of an asset; times in UTC nanoseconds."""

    id: str
    """Asset and start, so that scoring the same readings again gives the same id."""
    asset: str
    kind: Kind
    start: int
    end: int | None
    peak: float
    peak_at: int
    leading: list[tuple[str, float]]
    """The sensors with the largest share of the score in the first rows, those that were the first beyond their usual
    values tenfold, in parts of one: what began it."""
    cause: str | None
    """The likeliest known one; None where "not like anything known" is likelier than not."""
    model: str
    failed: tuple[str, str] | None = None
    """Of an instrument's episode the sensor and what is wrong with it: frozen, silent, spiking, range."""
    causes: list[tuple[str, float]] = []
    """Known causes with their probabilities, the likeliest first."""
    unknown: float | None = None
    """Probability that it is none of those known; None without a library."""
    library: str | None = None
    """Id of the library of causes that it was compared with."""
    label: str | None = None
    """What the user said that it was."""
    outlook: Outlook | None = None
    """None when the model knows no limits."""
    evidence: bytes = b""
    """What it is compared by: rows, then mean deviations and shares of the model's sensors."""
    suspects: list[tuple[str, str]] = []
    """Sensors that had failed before, and what is wrong with them: perhaps the cause; none of an instrument's, unless
    the plant has left its usual values as well."""
    upset: list[str] = []
    """Of an instrument's episode the sensors by which the plant moves with it: a controller acts on it."""
    label_kind: Kind | None = None
    """Whose the user said that it was; None where they said nothing."""


def pack(state: State) -> bytes:
    """Evidence of one episode (`models.precursor.causes`) as bytes."""
    return b"".join(np.asarray(state[name], dtype="<f4").tobytes() for name in ("rows", "deviation", "share"))


def unpack(content: bytes) -> State:
    """The evidence that was packed.

    Raises:
        ValueError: it is none.
    """
    numbers = np.frombuffer(content, dtype="<f4").astype(np.float64)
    if len(numbers) < 3 or len(numbers) % 2 == 0:
        raise ValueError("no evidence of an episode")
    deviation, share = numbers[1:].reshape(2, 1, -1)
    return {"rows": numbers[:1].astype(np.int64), "deviation": deviation, "share": share}


_leading: Final = msgspec.json.Decoder(list[tuple[str, float]])
_suspects: Final = msgspec.json.Decoder(list[tuple[str, str]])
_upset: Final = msgspec.json.Decoder(list[str])


class Change(NamedTuple):
    """What happened to an episode."""

    what: Literal["opened", "updated", "closed"]
    episode: Episode


def episode_id(asset: str, start: int) -> str:
    """The id of the episode that begins then."""
    return f"{asset}-{start // 1000:x}"


_COLUMNS: Final = (
    'id, asset, kind, start, "end", peak, peak_at, leading, cause, model, failed, causes, unknown, library, outlook, '
    "evidence, suspects, upset"
)
_UPDATED: Final = (
    *("kind", '"end"', "peak", "peak_at", "leading", "cause", "model", "failed", "causes", "unknown", "library"),
    *("outlook", "evidence", "suspects", "upset"),
)


def write_episodes(db: sqlite3.Connection, episodes: Iterable[Episode]) -> None:
    """Enter episodes, or bring them up to date; what the user said of one is kept. The caller has the transaction."""
    db.executemany(
        f"INSERT INTO episode ({_COLUMNS}) VALUES ({', '.join('?' * 18)}) ON CONFLICT (id) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in _UPDATED),
        [
            (
                *(e.id, e.asset, e.kind, e.start, e.end, e.peak, e.peak_at, _json(e.leading), e.cause, e.model),
                *(_json(e.failed), _json(e.causes), e.unknown, e.library, _json(e.outlook), e.evidence or None),
                *(_json(e.suspects), _json(e.upset)),
            )
            for e in episodes
        ],
    )


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


class Word(NamedTuple):
    """What the user said that an episode was, and whose."""

    cause: str
    kind: Kind | None
    """None: an older lab did not ask."""


def write_label(db: sqlite3.Connection, id: str, word: Word | None) -> None:
    """Note what the user said of an episode; None: nothing any more. The caller has the transaction."""
    db.execute("UPDATE episode SET label = ?, label_kind = ? WHERE id = ?", (*(word or (None, None)), id))


def words_told(store: Store, kind: str) -> dict[str, Word]:
    """What users said of episodes of assets of this kind, by the episodes' ids."""
    query = (
        "SELECT episode.id, label, label_kind FROM episode JOIN asset ON asset.id = episode.asset "
        "WHERE asset.kind = ? AND label IS NOT NULL ORDER BY start DESC"
    )
    return {id: Word(cause, whose) for id, cause, whose in store.db.execute(query, (kind,))}


def find_episode(store: Store, id: str) -> Episode | None:
    """One episode by its id."""
    row = store.db.execute(f"SELECT {_COLUMNS}, label, label_kind FROM episode WHERE id = ?", (id,)).fetchone()
    return None if row is None else _episode(row)


def _episode(row: Sequence[Any]) -> Episode:
    id, asset, kind, start, end, peak, peak_at, leading, cause, model = row[:10]
    failed, causes, unknown, library, outlook, evidence, suspects, upset, label, label_kind = row[10:]
    return Episode(
        *(id, asset, kind, start, end, peak, peak_at, _leading.decode(leading), cause, model),
        None if failed is None else msgspec.json.decode(failed, type=tuple[str, str]),
        _leading.decode(causes),
        *(unknown, library, label),
        None if outlook is None else msgspec.json.decode(outlook, type=Outlook),
        evidence or b"",
        _suspects.decode(suspects),
        _upset.decode(upset),
        label_kind,
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
        f"SELECT {_COLUMNS}, label, label_kind FROM episode WHERE {' AND '.join(conditions)} "
        "ORDER BY start DESC, id DESC LIMIT :limit",
        values,
    )
    return [_episode(row) for row in rows.fetchall()]
