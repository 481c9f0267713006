"""What could not be taken, kept with the reason why: nothing that reaches the lab disappears without a trace.

Every message has a fixed reason code, a text and its payload (up to 64 KiB). A flood cannot fill the disk: over
`MAX_HOURLY` messages (or `MAX_HOURLY_BYTES`) of one reason in an hour, or `MAX_BYTES` in all, only a count grows.
"""

import sqlite3
from typing import Final, NamedTuple

from devices.frame import MAX_FRAME_BYTES
from lab.store import Store, room

MAX_HOURLY: Final = 1000
MAX_HOURLY_CLOCK: Final = 100_000
"""Frames that are whole but for their time are readings to be rescued, so far more of them are kept."""
MAX_HOURLY_BYTES: Final = 64 * 2**20
MAX_BYTES: Final = 2**30
HOUR_NS: Final = 3600 * 10**9
MAX_DETAIL: Final = 500

REASONS: Final = (
    "too_large",
    "not_json",
    "bad_frame",
    "bad_value",
    "bad_length",
    "bad_time",
    "bad_quality",
    "bad_sequence",
    "bad_tag",
    "unknown_schema",
    "unknown_tag",
    "bad_birth",
    "bad_state",
    "bad_topic",
    "asset_taken",
    "gateway_twice",
    "too_many_tags",
    "clock_ahead",
    "clock_behind",
    "retained",
    "fork",
    "boot_flood",
)
"""All codes there are, those of `devices.frame.FrameError` among them; each has a text `quarantine.reason.{code}`."""
CLOCK_REASONS: Final = ("clock_ahead", "clock_behind")

room(
    "quarantine",
    """CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
        payload BLOB, count INTEGER NOT NULL)""",
    "CREATE INDEX quarantine_reason ON quarantine (reason, at)",
)


class Entry(NamedTuple):
    """One message, or (`payload` None) a count of those that came when enough had been kept."""

    id: int
    at: int
    topic: str
    reason: str
    detail: str
    payload: bytes | None
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody wants of this


class _Overflow:
    def __init__(self, at: int, topic: str, detail: str) -> None:
        self.at, self.topic, self.detail = at, topic, detail
        self.count = 0
        self.row: int | None = None


class Quarantine:
    """The writer's side; `save` runs inside the transaction of the ledger that counts the same messages."""

    def __init__(self, store: Store) -> None:
        self._db = store.db
        self._pending: list[tuple[int, str, str, str, bytes, int]] = []
        self._overflow: dict[tuple[str, int], _Overflow] = {}
        self._dirty: set[tuple[str, int]] = set()
        self._rows: dict[tuple[str, int], int | None] = {}
        self._hour = -1
        self._kept: dict[str, tuple[int, int]] = {}
        self._bytes: int = self._db.execute("SELECT coalesce(sum(length(payload)), 0) FROM quarantine").fetchone()[0]
        self.counts: dict[str, int] = dict(
            self._db.execute("SELECT reason, sum(count) FROM quarantine GROUP BY reason").fetchall()
        )
        """Messages by reason, since the database began."""

    def add(self, at: int, topic: str, reason: str, detail: str, payload: bytes) -> None:
        """Keep a message that came at `at` (ns); `detail` says what is wrong with this one and what to do."""
        assert reason in REASONS, reason
        self.counts[reason] = self.counts.get(reason, 0) + 1
        hour = at // HOUR_NS
        if hour != self._hour:
            self._hour = hour
            self._overflow = {key: kept for key, kept in self._overflow.items() if key in self._dirty}
            self._kept = {
                kind: (count, size)
                for kind, count, size in self._db.execute(
                    "SELECT reason, count(*), sum(length(payload)) FROM quarantine "
                    "WHERE at >= ? AND payload IS NOT NULL GROUP BY reason",
                    (hour * HOUR_NS,),
                )
            }
        count, size = self._kept.get(reason, (0, 0))
        most = MAX_HOURLY_CLOCK if reason in CLOCK_REASONS else MAX_HOURLY
        payload = payload[:MAX_FRAME_BYTES]
        if count < most and size + len(payload) <= MAX_HOURLY_BYTES and self._bytes + len(payload) <= MAX_BYTES:
            self._kept[reason] = (count + 1, size + len(payload))
            self._bytes += len(payload)
            self._pending.append((at, topic[:512], reason, detail[:MAX_DETAIL], payload, 1))
            return
        key = (reason, hour)
        overflow = self._overflow.setdefault(key, _Overflow(at, topic[:512], detail[:MAX_DETAIL]))
        overflow.count += 1
        self._dirty.add(key)

    @property
    def waiting(self) -> bool:
        """Is there something to write?"""
        return bool(self._pending or self._dirty)

    def save(self, db: sqlite3.Connection) -> None:
        """Write what came since the last commit."""
        db.executemany(
            "INSERT INTO quarantine (at, topic, reason, detail, payload, count) VALUES (?, ?, ?, ?, ?, ?)",
            self._pending,
        )
        for reason, hour in self._dirty:
            overflow = self._overflow[reason, hour]
            row = (overflow.row, overflow.at, overflow.topic, reason, overflow.detail, overflow.count)
            cursor = db.execute("INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?, NULL, ?)", row)
            self._rows[reason, hour] = cursor.lastrowid

    def committed(self) -> None:
        """The transaction went through."""
        for key, row in self._rows.items():  # not before: a row that was rolled back has no id
            self._overflow[key].row = row
        self._rows.clear()
        self._pending.clear()
        self._dirty.clear()


def counts(db: sqlite3.Connection) -> dict[str, int]:
    """Messages by reason, the most frequent first."""
    return dict(
        db.execute("SELECT reason, sum(count) AS n FROM quarantine GROUP BY reason ORDER BY n DESC, reason").fetchall()
    )


def entries(
    db: sqlite3.Connection, *, reason: str | None = None, before: int | None = None, limit: int | None = None
) -> list[Entry]:
    """Entries with an id below `before`, the newest first."""
    rows = db.execute(
        "SELECT id, at, topic, reason, detail, payload, count FROM quarantine "
        "WHERE (?1 IS NULL OR reason = ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3",
        (reason, before, -1 if limit is None else limit),
    )
    return [Entry(*row) for row in rows]


def entry(db: sqlite3.Connection, number: int) -> Entry | None:
    """One entry by its id."""
    row = db.execute(
        "SELECT id, at, topic, reason, detail, payload, count FROM quarantine WHERE id = ?", (number,)
    ).fetchone()
    return Entry(*row) if row else None
