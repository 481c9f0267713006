"""The default historian: rooms of `lab.db`, so that readings and ledger are one commit.

Measured against row-per-reading SQLite and InfluxDB in `benchmarks/historian.py`. How readings lie in the tables:
`lab.historian.chunks`; how the log becomes chunks: `lab.historian.compaction`.
"""

import itertools
import sqlite3
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lab.historian.base import Batch, HistorianError, HistorianFull, HistorianStats, Latest, Series
from lab.historian.chunks import (
    HOUR,
    LOG,
    MAX_PARTS,
    MAX_SENSORS,
    Keep,
    chunk_id,
    find_chunks,
    hours_between,
    read_log,
)
from lab.historian.codec import Column, pack_batch
from lab.historian.compaction import Compactor, state, used_bytes, written
from lab.historian.series import EMPTY, T_END, by_sensor, checked, overlay, thin
from lab.store import Store, is_full

LATEST_SLICE = 20_000
"""Readings of the log looked through at a time, from the newest back, for the newest of each sensor."""


class EmbeddedHistorian:
    """Readings in the lab's database. One writes and compacts, others read, also from other processes.

    A historian belongs to the thread of its store. Compaction may run beside the writing in another thread with a
    store of its own (`synchronous="NORMAL"` will do): `lab.historian.upkeep.Upkeep` is such a thread.
    """

    def __init__(self, store: Store, *, keep_days: float | None = None, keep_gb: float | None = None) -> None:
        """Use a store, which stays its owner's to close; `keep_days` and `keep_gb` are what `compact` retains."""
        self._store = store
        self._keys: list[str] = []
        self._ids: dict[str, int] = {}
        self._fresh: list[str] = []
        self._undone = False
        self._compactor = Compactor(store, keep_days=keep_days, keep_gb=keep_gb)
        store.on_end(self._transaction_ended)

    # sensors

    def _transaction_ended(self, committed: bool) -> None:
        if not committed:
            self._undone = bool(self._fresh)
        elif not self._undone:
            self._fresh.clear()

    def _learn(self) -> None:
        """Read the sensors that others have registered."""
        if self._fresh:
            return  # ours come first; nobody else registers while we write
        rows = self._store.db.execute(
            "SELECT id, key FROM historian_sensor WHERE id >= ? ORDER BY id", (len(self._keys),)
        )
        for number, key in rows.fetchall():
            if number != len(self._keys):
                raise HistorianError(f"sensor ids are not consecutive at {number}; run `lab historian check`")
            self._ids[key] = number
            self._keys.append(key)

    def _register_again(self, db: sqlite3.Connection) -> None:
        # the transaction they were registered in was undone, but their ids have been given out
        if self._undone:
            db.executemany(
                "INSERT OR IGNORE INTO historian_sensor (id, key) VALUES (?, ?)",
                [(self._ids[key], key) for key in self._fresh],
            )
            self._undone = False

    def ids(self, keys: Sequence[str]) -> NDArray[np.int32]:
        """Ids of sensors by their keys; unknown ones are registered (for good, also if the open transaction is undone).

        Raises:
            HistorianFull: no room to register one.
            HistorianError: the store is read-only, or too many sensors.
        """
        if any(key not in self._ids for key in keys):
            try:
                self._learn()
                if unknown := [key for key in dict.fromkeys(keys) if key not in self._ids]:
                    self._register(unknown)
            except sqlite3.Error as error:
                raise _explained(error) from error
        return np.array([self._ids[key] for key in keys], np.int32)

    def _register(self, unknown: list[str]) -> None:
        if len(self._keys) + len(unknown) > MAX_SENSORS:
            raise HistorianError(f"more than {MAX_SENSORS} sensors")
        with self._store.transaction() as db:
            self._learn()
            self._register_again(db)
            new = [key for key in unknown if key not in self._ids]
            rows = list(enumerate(new, start=len(self._keys)))
            db.executemany("INSERT INTO historian_sensor (id, key) VALUES (?, ?)", rows)
            # inside, so that the commit finds them
            self._fresh += new
            self._ids.update((key, number) for number, key in rows)
            self._keys += new

    def keys(self) -> Sequence[str]:
        """All keys known, by id."""
        self._learn()
        return tuple(self._keys)

    def _known(self, sensors: Sequence[str]) -> dict[int, str]:
        """Keys by id in rising order of the sensors that are known."""
        if any(key not in self._ids for key in sensors):
            self._learn()
        return dict(sorted((self._ids[key], key) for key in set(sensors) if key in self._ids))

    # writing

    def write(self, batch: Batch) -> None:
        """Store a batch; it joins the store's open transaction, if there is one, and is then durable with its commit.

        Raises:
            HistorianFull: no room; nothing of the batch is stored, and the store stays usable.
            HistorianError: a batch that makes no sense, or the disk fails; nothing of it is stored.
        """
        if len(batch.sensor) and int(np.max(batch.sensor)) >= len(self._keys):
            self._learn()
        batch = checked(batch, len(self._keys))
        n = len(batch.t)
        if n == 0:
            return
        kind, data = pack_batch(batch)
        sensor, t = batch.sensor, batch.t
        row = (kind, n, *(int(x) for x in (t.min(), t.max(), sensor.min(), sensor.max())), zlib.crc32(data), data)
        try:
            with self._store.transaction() as db:
                self._register_again(db)
                # never an id that a job would take for one of its own
                db.execute(
                    "INSERT INTO historian_log VALUES (1 + max("
                    "coalesce((SELECT max(id) FROM historian_log), 0), "
                    "coalesce((SELECT value FROM historian_state WHERE name = 'job_upto'), 0)), "
                    "?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
        except sqlite3.Error as error:
            raise _explained(error) from error

    def compact(self, budget_s: float = 0.2, *, everything: bool = False) -> bool:
        """Move the log into chunks, merge, delete what is too old, in short steps for about `budget_s` seconds.

        Args:
            budget_s: seconds after which no further step is begun.
            everything: move and merge also what is better left until its hour is over.

        Returns:
            Whether there is more to do now.

        Raises:
            HistorianFull: no room; nothing is lost, it can be tried again.
            HistorianError: a row is damaged, or the disk fails.
        """
        try:
            return self._compactor.run(budget_s, everything=everything)
        except sqlite3.Error as error:
            raise _explained(error) from error

    # reading

    def read(self, sensors: Sequence[str], t0: int, t1: int, max_points: int | None = None) -> Mapping[str, Series]:
        """Readings with t0 <= t < t1 of each named sensor; unknown names give empty series.

        Args:
            sensors: keys.
            t0, t1: UTC nanoseconds.
            max_points: with more readings than that, this many buckets of equal width; empty ones are left out.

        Raises:
            HistorianError: damaged readings, or the disk fails.
            ValueError: `max_points` is not positive.
        """
        t0, t1 = max(t0, 0), min(t1, T_END)
        try:
            known = self._known(sensors)
            found = self._columns(list(known), t0, t1) if known and t0 < t1 else {}
        except sqlite3.Error as error:
            raise _explained(error) from error
        by_key = {known[number]: column for number, column in found.items()}
        return {key: thin(by_key.get(key, EMPTY), t0, max(t0, t1), max_points) for key in sensors}

    def _columns(self, ids: list[int], t0: int, t1: int) -> dict[int, Column]:
        pieces: dict[int, list[Column]] = {}
        with self._store.snapshot() as db:
            for row, column in find_chunks(db, ids, hours_between(db, t0, t1), t0, t1):
                pieces.setdefault(row >> 17 & MAX_SENSORS - 1, []).append(column)
            keep = Keep(ids, t0, t1)
            recent, bounds = by_sensor(read_log(keep.rows(db), keep))
        for begin, end in itertools.pairwise(bounds.tolist()):
            column = Column(recent.t[begin:end], recent.v[begin:end], recent.q[begin:end])
            pieces.setdefault(int(recent.sensor[begin]), []).append(column)
        return {number: overlay(columns) for number, columns in pieces.items()}

    def latest(self, sensors: Sequence[str]) -> Mapping[str, Latest]:
        """Newest reading of each named sensor; sensors without any are left out.

        Raises:
            HistorianError: damaged readings, or the disk fails.
        """
        try:
            known = self._known(sensors)
            if not known:
                return {}
            with self._store.snapshot() as db:
                found = self._latest_in_log(db, list(known))
                for number in known:
                    if (older := self._latest_in_chunks(db, number, found.get(number))) is not None:
                        found[number] = older
        except sqlite3.Error as error:
            raise _explained(error) from error
        return {key: found[number] for number, key in known.items() if number in found}

    def _latest_in_log(self, db: sqlite3.Connection, ids: list[int]) -> dict[int, Latest]:
        keep = Keep(ids, 0, T_END)
        rows = db.execute(
            "SELECT id, n, t1 FROM historian_log WHERE s1 >= ? AND s0 <= ? ORDER BY id DESC", (keep.first, keep.last)
        ).fetchall()
        found: dict[int, Latest] = {}
        # the newest time in each row and all before it
        reach = np.maximum.accumulate(np.array([t1 for _, _, t1 in reversed(rows)], np.int64))[::-1]
        begin = 0
        while begin < len(rows):
            if len(found) == len(ids) and reach[begin] <= min(reading.t for reading in found.values()):
                break
            end, readings = begin, 0
            while end < len(rows) and readings < LATEST_SLICE:
                readings += rows[end][1]
                end += 1
            slice_ = db.execute(
                LOG + "WHERE id BETWEEN ? AND ? AND s1 >= ? AND s0 <= ? ORDER BY id",
                (rows[end - 1][0], rows[begin][0], keep.first, keep.last),
            )
            batch, bounds = by_sensor(read_log(slice_, keep))
            for last in (bounds[1:] - 1).tolist():
                number, t = int(batch.sensor[last]), int(batch.t[last])
                if number not in found or t > found[number].t:
                    found[number] = Latest(t, float(batch.v[last]), int(batch.q[last]))
            begin = end
        return found

    def _latest_in_chunks(self, db: sqlite3.Connection, number: int, found: Latest | None) -> Latest | None:
        """The newest reading in the sensor's chunks if it is newer than `found`."""
        (hour,) = db.execute("SELECT last FROM historian_sensor WHERE id = ?", (number,)).fetchone()
        if hour is None or (found is not None and found.t >= (hour + 1) * HOUR):
            return None
        row = db.execute(
            "SELECT t1, v1, q1 FROM historian_chunk WHERE id BETWEEN ? AND ? ORDER BY t1 DESC, id DESC LIMIT 1",
            (chunk_id(hour, number, 0), chunk_id(hour, number, MAX_PARTS - 1)),
        ).fetchone()
        if row is None or (found is not None and found.t >= row[0]):
            return None
        t, bits, q = row
        return Latest(t, float(np.int64(bits).view(np.float64)), q)

    def stats(self) -> HistorianStats:
        """Counts and sizes. A reading written twice counts twice until compaction has merged the two.

        `bytes_written` is what the readings cost the disk at most: whole pages, each written to the WAL and once more
        into the file.

        Raises:
            HistorianError: the disk fails.
        """
        try:
            with self._store.snapshot() as db:
                sensors = db.execute("SELECT count(*) FROM historian_sensor").fetchone()[0]
                kept, first, last = db.execute("SELECT sum(n), min(hour), max(hour) FROM historian_hour").fetchone()
                logged, oldest, newest = db.execute("SELECT sum(n), min(t0), max(t1) FROM historian_log").fetchone()
                if first is not None:
                    inside = "FROM historian_chunk WHERE id BETWEEN ? AND ?"
                    ends = [(chunk_id(hour, 0, 0), chunk_id(hour + 1, 0, 0) - 1) for hour in (first, last)]
                    low = db.execute(f"SELECT min(t0) {inside}", ends[0]).fetchone()[0]
                    high = db.execute(f"SELECT max(t1) {inside}", ends[1]).fetchone()[0]
                    oldest = low if oldest is None else min(oldest, low)
                    newest = high if newest is None else max(newest, high)
                moved = state(db, "job_moved")
                return HistorianStats(
                    (kept or 0) + (logged or 0) - moved, sensors, used_bytes(db), written(db), oldest, newest
                )
        except sqlite3.Error as error:
            raise _explained(error) from error

    def close(self) -> None:
        """Nothing to let go of: the store belongs to who opened it."""


def _explained(error: sqlite3.Error) -> HistorianError:
    if is_full(error):
        return HistorianFull(
            "no room for more readings. Free some on the disk, or set historian.keep_days or historian.keep_gb; "
            "nothing is lost meanwhile, the gateways keep what was not taken."
        )
    return HistorianError(f"the database failed: {error}. `lab doctor` and `lab historian check` tell more.")
