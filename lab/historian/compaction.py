"""From the log to chunks, in steps that are short and can be cut off anywhere.

A *job* moves a prefix of the log. It packs the readings of a few sensors at a time without holding the write lock, and
commits their chunks together with how far it is; when all are moved it cuts the prefix off the log. Until then readers
find the readings in both places with the same values, and a job that was killed goes on where it was. Parts of an hour
are merged once it is over, so that a reading is written three times at most where nothing comes late: log, part, chunk.
"""

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from lab.historian.base import Batch, Times
from lab.historian.chunks import (
    HOUR,
    LOG,
    MAX_SENSORS,
    Keep,
    chunk_id,
    decode_chunk,
    read_log,
    split_id,
)
from lab.historian.codec import Column
from lab.historian.packing import PAGE, Packer, Row, cost, delete_unused_times
from lab.historian.series import T_END, by_sensor, overlay
from lab.store import BUSY_S, Store

LOG_ROWS: Final = 2048
"""With more rows than that in the log, or `LOG_READINGS`, it is moved before the hour is over."""
LOG_READINGS: Final = 2_000_000
LATE_NS: Final = 120 * 1_000_000_000
"""An hour is over when the readings are so far past it."""
GROUP_READINGS: Final = 500_000
GROUP_SENSORS: Final = 4096
"""What is packed at a time: bounds the memory of a step."""
MANY_PARTS: Final = 16
"""So many parts are merged before their hour is over: bounds what a reader must put together."""
COMMIT_ROWS: Final = 128
COMMIT_BYTES: Final = 128 * 1024
"""What is written at a time: bounds how long a live commit waits."""
WAL_BYTES: Final = 4 << 20


class _Pass(NamedTuple):
    """A merge of an hour: its `parts` when it began, and the sensor it has come to."""

    hour: int
    parts: int
    sensor: int


class _Plan(NamedTuple):
    """A step of a merge."""

    renumbered: list[tuple[int, int]]
    """(new id, old id) of lone parts."""
    merged: list[tuple[list[int], int, Column]]
    """Old ids, sensor, and the readings of all of them."""
    reached: int | None
    """The next sensor, None when the hour is done."""


def state(db: sqlite3.Connection, name: str, default: int = 0) -> int:
    """A number the compaction keeps."""
    found = db.execute("SELECT value FROM historian_state WHERE name = ?", (name,)).fetchone()
    return int(found[0]) if found else default


def _set(db: sqlite3.Connection, **values: int) -> None:
    db.executemany("INSERT OR REPLACE INTO historian_state VALUES (?, ?)", values.items())


def used_bytes(db: sqlite3.Connection) -> int:
    """Bytes of the file that hold something (deleted ones are used again before the file grows)."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return int((pages - free) * size)


def written(db: sqlite3.Connection) -> int:
    """Bytes written for readings so far, at most: whole pages, to the WAL and into the file."""
    pages = db.execute("SELECT sum(length(data) / ? + 1) FROM historian_log", (PAGE,)).fetchone()[0] or 0
    return state(db, "written") + 2 * PAGE * int(pages)


def _part(db: sqlite3.Connection, hour: int, job: int) -> int:
    """The part that a job writes in an hour."""
    db.execute("INSERT OR IGNORE INTO historian_hour VALUES (?, 0, 0, -1)", (hour,))
    db.execute("UPDATE historian_hour SET parts = parts + 1, job = ?1 WHERE hour = ?2 AND job != ?1", (job, hour))
    return int(db.execute("SELECT parts FROM historian_hour WHERE hour = ?", (hour,)).fetchone()[0]) - 1


def _by_hour(batch: Batch) -> Iterator[tuple[int, int, Column]]:
    """(sensor, hour, readings) of a batch that is in order of sensor and time."""
    sensor, t, v, q = batch
    if not len(t):
        return
    hours = t // HOUR
    starts = np.flatnonzero(np.append(True, (sensor[1:] != sensor[:-1]) | (hours[1:] != hours[:-1])))
    ends = np.append(starts[1:], len(t)).tolist()
    for begin, end in zip(starts.tolist(), ends, strict=True):
        yield int(sensor[begin]), int(hours[begin]), Column(t[begin:end], v[begin:end], q[begin:end])


class Compactor:
    """Compaction and retention over one store."""

    def __init__(
        self,
        store: Store,
        *,
        keep_days: float | None = None,
        keep_gb: float | None = None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._keep_days, self._keep_gb = keep_days, keep_gb
        self._now = now
        self._pass: _Pass | None = None

    def run(self, budget_s: float, *, everything: bool = False) -> bool:
        """Do steps for about so long; whether there is more to do. `EmbeddedHistorian.compact` tells the rest."""
        deadline = time.monotonic() + budget_s
        steps: tuple[Callable[[], bool], ...] = (
            self._retain,
            lambda: self._merge(everything=False, urgent=True),
            lambda: self._advance(everything),
            lambda: self._merge(everything=everything, urgent=False),
        )
        more = True
        while more:
            more = any(step() for step in steps)
            if time.monotonic() >= deadline:
                break
        self._checkpoint()
        return more

    def _checkpoint(self) -> None:
        wal = self._store.path.with_name(self._store.path.name + "-wal")
        size = wal.stat().st_size if wal.exists() else 0
        if size <= WAL_BYTES or self._store.in_transaction:
            return
        db = self._store.db
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        if size > 16 * WAL_BYTES:
            # begin the WAL anew; it holds up writers while it waits for readers, so it may not wait long
            db.execute("PRAGMA busy_timeout=20")
            try:
                db.execute("PRAGMA wal_checkpoint(RESTART)")
            finally:
                db.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")

    def _newest(self) -> int:
        """Now, or the newest reading when that is earlier: neither a wrong clock nor a replay ends hours too soon."""
        logged = self._store.db.execute("SELECT max(t1) FROM historian_log").fetchone()[0]
        hour = self._store.db.execute("SELECT max(hour) FROM historian_hour").fetchone()[0]
        reached = max(logged or 0, hour * HOUR if hour is not None else 0)
        return min(self._now(), reached)

    # the job

    def _advance(self, everything: bool) -> bool:
        """Begin a job, or move some sensors of it, or cut its rows off the log."""
        db = self._store.db
        upto = state(db, "job_upto", -1)
        if upto < 0:
            return self._begin(everything)
        sensor, hour = state(db, "job_sensor"), state(db, "job_hour")
        if sensor < MAX_SENSORS:
            self._move(state(db, "job"), upto, sensor, hour)
        else:
            self._cut(state(db, "job"), upto)
        return True

    def _begin(self, everything: bool) -> bool:
        db = self._store.db
        rows = db.execute("SELECT id, n, t1 FROM historian_log ORDER BY id").fetchall()
        if not rows:
            return False
        counts = np.cumsum([n for _, n, _ in rows])
        sensors = db.execute("SELECT count(*) FROM historian_sensor").fetchone()[0]
        limit = max(LOG_READINGS, 64 * int(sensors))
        if everything or len(rows) >= LOG_ROWS or counts[-1] >= limit:
            last = max(0, int(np.searchsorted(counts, limit, side="right")) - 1)
        else:
            over = (self._newest() - LATE_NS) // HOUR * HOUR
            old = [index for index, (_, _, t1) in enumerate(rows) if t1 < over]
            if not old:
                return False
            last = old[-1]
        with self._store.transaction():
            if state(db, "job_upto", -1) < 0:
                job = state(db, "job") + 1
                _set(db, job=job, job_upto=rows[last][0], job_sensor=0, job_hour=0, job_moved=0)
        return True

    def _move(self, job: int, upto: int, sensor: int, hour: int) -> None:
        """Pack and commit the next few sensors of the job, from (sensor, hour) on."""
        db = self._store.db
        total, low, high = db.execute(
            "SELECT sum(n), min(s0), max(s1) FROM historian_log WHERE id <= ? AND s1 >= ?", (upto, sensor)
        ).fetchone()
        if total is None:
            self._commit(job, [], (MAX_SENSORS, 0), Packer())
            return
        first = max(sensor, low)
        width = max(1, min(GROUP_SENSORS, (high - low + 1) * GROUP_READINGS // total))
        keep = Keep(range(first, first + width), 0, T_END)
        source = db.execute(LOG + "WHERE id <= ? AND s1 >= ? AND s0 <= ? ORDER BY id", (upto, keep.first, keep.last))
        # the checksums are looked at once in a job
        batch, _ = by_sensor(read_log(source, keep, verify=(sensor, hour) == (0, 0)))
        packer = Packer()
        rows: list[Row] = []
        size = 0
        for number, hour_, column in _by_hour(batch):
            if (number, hour_) < (sensor, hour):
                continue
            if len(rows) >= COMMIT_ROWS or size >= COMMIT_BYTES:
                self._commit(job, rows, (number, hour_), packer)
                rows, size = [], 0
            rows.append(packer.pack(hour_, number, column))
            size += len(rows[-1].data)
        self._commit(job, rows, (MAX_SENSORS, 0) if first + width > high else (first + width, 0), packer)

    def _commit(self, job: int, rows: list[Row], reached: tuple[int, int], packer: Packer) -> None:
        with self._store.transaction() as db:
            if state(db, "job") != job or state(db, "job_upto", -1) < 0:
                return  # another compaction has finished this job
            if (state(db, "job_sensor"), state(db, "job_hour")) >= reached:
                return
            parts = {hour: _part(db, hour, job) for hour in {row.hour for row in rows}}
            spent = packer.insert(db, [(row, parts[row.hour]) for row in rows])
            newest: dict[int, int] = {}
            for row in rows:
                newest[row.sensor] = max(row.hour, newest.get(row.sensor, 0))
            db.executemany(
                "UPDATE historian_sensor SET last = ?1 WHERE id = ?2 AND (last IS NULL OR last < ?1)",
                [(hour, number) for number, hour in newest.items()],
            )
            moved = state(db, "job_moved") + sum(row.n for row in rows)
            total = state(db, "written") + spent
            _set(db, job_sensor=reached[0], job_hour=reached[1], job_moved=moved, written=total)

    def _cut(self, job: int, upto: int) -> None:
        """Delete the oldest of the rows that have been moved; with the last of them the job ends."""
        with self._store.transaction() as db:
            if state(db, "job") != job or state(db, "job_upto", -1) < 0:
                return
            rows = db.execute(
                "SELECT id, n, length(data) FROM historian_log WHERE id <= ? ORDER BY id LIMIT ?",
                (upto, 4 * COMMIT_ROWS),
            ).fetchall()
            sizes = np.cumsum([size for _, _, size in rows])
            count = max(1, int(np.searchsorted(sizes, 8 * COMMIT_BYTES)))
            gone = rows[:count]
            rest = bool(gone) and gone[-1][0] < upto
            # from the oldest on: what is left must go on covering it
            db.execute("DELETE FROM historian_log WHERE id <= ?", (gone[-1][0] if rest else upto,))
            moved = max(0, state(db, "job_moved") - sum(n for _, n, _ in gone)) if rest else 0
            total = state(db, "written") + sum(cost(size) for _, _, size in gone)
            _set(db, job_upto=upto if rest else -1, job_moved=moved, written=total)

    # merging

    def _merge(self, *, everything: bool, urgent: bool) -> bool:
        """Make one chunk of each sensor's parts, some sensors of one hour at a time."""
        db = self._store.db
        if state(db, "job_upto", -1) >= 0:
            return False  # a part's number must not change while a job goes on writing it
        if self._pass is None:
            over = 0 if urgent else (self._newest() - LATE_NS) // HOUR
            found = db.execute(
                "SELECT hour, parts FROM historian_hour WHERE parts >= 2 AND (? OR parts >= ? OR hour < ?) LIMIT 1",
                (everything, MANY_PARTS * (2 if urgent else 1), over),
            ).fetchone()
            if found is None:
                return False
            self._pass = _Pass(found[0], found[1], 0)
        hour, parts, _ = self._pass
        with self._store.snapshot():
            generation = state(db, "generation")
            plan = self._plan(hour, self._pass.sensor)
        packer = Packer()
        packed = [(old, packer.pack(hour, sensor, column)) for old, sensor, column in plan.merged]
        with self._store.transaction():
            if state(db, "generation") != generation:
                return True  # somebody else changed these chunks: look again
            db.executemany("UPDATE historian_chunk SET id = ? WHERE id = ?", plan.renumbered)
            for old, _ in packed:
                self._delete(hour, old[0], old[-1])
            total = state(db, "written") + packer.insert(db, [(row, 0) for _, row in packed])
            if plan.reached is None:
                delete_unused_times(db, hour)
                db.execute("UPDATE historian_hour SET parts = 1 WHERE hour = ? AND parts = ?", (hour, parts))
            _set(db, generation=generation + 1, written=total)
        self._pass = None if plan.reached is None else _Pass(hour, parts, plan.reached)
        return True

    def _plan(self, hour: int, sensor: int) -> _Plan:
        """What to do with the next sensors of an hour."""
        db = self._store.db
        rows = db.execute(
            "SELECT id, length(data) FROM historian_chunk WHERE id >= ? AND id < ? ORDER BY id",
            (chunk_id(hour, sensor, 0), chunk_id(hour + 1, 0, 0)),
        )
        plan = _Plan([], [], None)
        shared: dict[int, Times] = {}
        size = 0
        for number, group in itertools.groupby(rows, key=lambda row: split_id(row[0])[1]):
            if size >= COMMIT_BYTES or len(plan.merged) + len(plan.renumbered) >= COMMIT_ROWS:
                return plan._replace(reached=number)
            found = list(group)
            if len(found) == 1:
                if split_id(found[0][0])[2]:
                    plan.renumbered.append((chunk_id(hour, number, 0), found[0][0]))
                    size += found[0][1]
                continue
            ids = [row for row, _ in found]
            chunks = db.execute(
                "SELECT id, times, crc, data FROM historian_chunk WHERE id BETWEEN ? AND ? ORDER BY id",
                (ids[0], ids[-1]),
            )
            column = overlay([decode_chunk(db, row, times, crc, data, shared) for row, times, crc, data in chunks])
            plan.merged.append((ids, number, column))
            size += sum(length for _, length in found)
        return plan

    # retention

    def _retain(self) -> bool:
        """Delete some chunks of the oldest hour if it is too old, or the store too big."""
        if self._keep_days is None and self._keep_gb is None:
            return False
        db = self._store.db
        hour = db.execute("SELECT min(hour) FROM historian_hour").fetchone()[0]
        if hour is None:
            return False
        newest = self._newest()
        old = self._keep_days is not None and (hour + 1) * HOUR <= newest - int(self._keep_days * 24 * HOUR)
        big = self._keep_gb is not None and hour < newest // HOUR and used_bytes(db) > self._keep_gb * 1e9
        if not (old or big):
            return False
        with self._store.transaction():
            rows = db.execute(
                "SELECT id FROM historian_chunk WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                (chunk_id(hour, 0, 0), chunk_id(hour + 1, 0, 0), COMMIT_ROWS),
            ).fetchall()
            if rows:
                self._delete(hour, rows[0][0], rows[-1][0])
            if len(rows) < COMMIT_ROWS:
                delete_unused_times(db, hour)
                # an hour that a job is writing stays, so that the job's next part does not meet its first
                gone = db.execute(
                    "DELETE FROM historian_hour WHERE hour = ? AND NOT (job = ? AND ?)",
                    (hour, state(db, "job"), state(db, "job_upto", -1) >= 0),
                )
                if not rows and gone.rowcount == 0:
                    return False
            _set(db, generation=state(db, "generation") + 1)
        return True

    def _delete(self, hour: int, first: int, last: int) -> None:
        """Delete chunks of an hour by their ids, first to last."""
        db = self._store.db
        n = db.execute("SELECT sum(n) FROM historian_chunk WHERE id BETWEEN ? AND ?", (first, last)).fetchone()[0]
        db.execute("DELETE FROM historian_chunk WHERE id BETWEEN ? AND ?", (first, last))
        db.execute("UPDATE historian_hour SET n = n - ? WHERE hour = ?", (n or 0, hour))
