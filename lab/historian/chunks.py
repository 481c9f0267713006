"""The historian's tables in `lab.db`, and how readings are found in them.

A batch is committed as one row of the log. Compaction moves the log's oldest rows into chunks of one sensor and hour;
until it has cut them off, the same readings are in both, and a reader lays the log over the chunks. An hour whose log
was moved in several goes has several parts for a sensor, of which the later counts, until they are merged into one.
Chunks are ordered by hour and then by sensor: new ones go to the end of the file, old hours are deleted as a stretch.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.historian.base import Batch, HistorianError, Times
from lab.historian.codec import RECORD, CodecError, Column, unpack_batch, unpack_chunk, unpack_times
from lab.historian.series import between, take
from lab.store import room

HOUR: Final = 3_600_000_000_000
"""Nanoseconds."""
MAX_SENSORS: Final = 1 << 24
MAX_PARTS: Final = 1 << 17

room(
    "historian",
    # `last`: the hour of the sensor's newest chunk
    "CREATE TABLE historian_sensor (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, last INTEGER)",
    # t0 to t1 and s0 to s1: the times and sensor ids that are in it
    """CREATE TABLE historian_log (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, n INTEGER NOT NULL,
       t0 INTEGER NOT NULL, t1 INTEGER NOT NULL, s0 INTEGER NOT NULL, s1 INTEGER NOT NULL,
       crc INTEGER NOT NULL, data BLOB NOT NULL)""",
    # id as `chunk_id`; v1, q1: bits and quality of the last reading, at t1; times: the row of historian_times when
    # they stand apart because several sensors share them
    """CREATE TABLE historian_chunk (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, t0 INTEGER NOT NULL,
       t1 INTEGER NOT NULL, v1 INTEGER NOT NULL, q1 INTEGER NOT NULL, times INTEGER, crc INTEGER NOT NULL,
       data BLOB NOT NULL)""",
    # id: hour << 41 with a running number
    "CREATE TABLE historian_times (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, crc INTEGER NOT NULL, "
    "data BLOB NOT NULL)",
    # n: readings in the hour's chunks; parts: the next part's number; job: the last job that wrote here
    "CREATE TABLE historian_hour (hour INTEGER PRIMARY KEY, n INTEGER NOT NULL, parts INTEGER NOT NULL, "
    "job INTEGER NOT NULL)",
    "CREATE TABLE historian_state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    # what `lab historian check --repair` has set aside
    "CREATE TABLE historian_damaged (what TEXT NOT NULL, id INTEGER NOT NULL, reason TEXT NOT NULL, "
    "data BLOB NOT NULL)",
)


class Found(NamedTuple):
    """A chunk's readings and where they stood."""

    id: int
    column: Column


def chunk_id(hour: int, sensor: int, part: int) -> int:
    """The row of a chunk: by hour since 1970, then sensor, then part."""
    return hour << 41 | sensor << 17 | part


def split_id(row: int) -> tuple[int, int, int]:
    """(hour, sensor, part) of a chunk's row."""
    return row >> 41, row >> 17 & MAX_SENSORS - 1, row & MAX_PARTS - 1


def damaged(what: str, row: int, error: object) -> HistorianError:
    """The error for bytes that are not what was written."""
    return HistorianError(f"{what} {row} is damaged ({error}). `lab historian check --repair` sets it aside.")


def runs(ids: Sequence[int]) -> list[tuple[int, int]]:
    """Rising ids as stretches (first, last) without a gap."""
    stretches: list[tuple[int, int]] = []
    for number in ids:
        if stretches and stretches[-1][1] == number - 1:
            stretches[-1] = stretches[-1][0], number
        else:
            stretches.append((number, number))
    return stretches


def hours_between(db: sqlite3.Connection, t0: int, t1: int) -> list[int]:
    """The hours that have chunks and reach into t0 <= t < t1."""
    span = (t0 // HOUR, (t1 - 1) // HOUR)
    return [hour for (hour,) in db.execute("SELECT hour FROM historian_hour WHERE hour BETWEEN ? AND ?", span)]


def find_chunks(db: sqlite3.Connection, ids: Sequence[int], hours: Iterable[int], t0: int, t1: int) -> Iterator[Found]:
    """Chunks of sensors (rising ids) that have readings in t0 <= t < t1, hour by hour, part by part, cut to that.

    Raises:
        HistorianError: a chunk is damaged.
    """
    stretches = runs(ids)
    shared: dict[int, Times] = {}
    for hour in hours:
        for first, last in stretches:
            rows = db.execute(
                "SELECT id, n, t0, t1, times, crc, data FROM historian_chunk WHERE id BETWEEN ? AND ?",
                (chunk_id(hour, first, 0), chunk_id(hour, last, MAX_PARTS - 1)),
            )
            for row, _, begin, end, times, crc, data in rows:
                if begin < t1 and end >= t0:
                    column = decode_chunk(db, row, times, crc, data, shared)
                    yield Found(row, column if t0 <= begin and end < t1 else between(column, t0, t1))


def decode_chunk(
    db: sqlite3.Connection, row: int, times: int | None, crc: int, data: bytes, shared: dict[int, Times]
) -> Column:
    """A chunk's readings; `shared` keeps the times that have been read already.

    Raises:
        HistorianError: the chunk or its times are damaged.
    """
    if zlib.crc32(data) != crc:
        raise damaged("chunk", row, "its checksum does not match")
    t = None
    if times is not None and (t := shared.get(times)) is None:
        t = shared[times] = read_times(db, times)
    try:
        return unpack_chunk(data, t)
    except CodecError as error:
        raise damaged("chunk", row, error) from error


def read_times(db: sqlite3.Connection, row: int) -> Times:
    """Times that several chunks share.

    Raises:
        HistorianError: they are missing or damaged.
    """
    found = db.execute("SELECT n, crc, data FROM historian_times WHERE id = ?", (row,)).fetchone()
    if found is None:
        raise damaged("times", row, "missing")
    n, crc, data = found
    if zlib.crc32(data) != crc:
        raise damaged("times", row, "the checksum does not match")
    try:
        return unpack_times(data, n)
    except CodecError as error:
        raise damaged("times", row, error) from error


LOG: Final = "SELECT id, kind, crc, data FROM historian_log "
"""What `read_log` wants of a row; a WHERE and an ORDER BY id follow."""


def read_log(rows: Iterable[tuple[int, int, int, bytes]], keep: "Keep", *, verify: bool = False) -> Batch:
    """The readings of log rows that pass `keep`, in the order they were written.

    Raises:
        HistorianError: a row is damaged.
    """
    pieces: list[Batch] = []
    records: list[bytes] = []

    def join_records() -> None:
        if records:
            joined = np.frombuffer(b"".join(records), RECORD)
            records.clear()
            chosen = joined[keep(joined["sensor"], joined["t"])]
            pieces.append(Batch(chosen["sensor"], chosen["t"], chosen["v"], chosen["q"]))

    for row, kind, crc, data in rows:
        if verify and zlib.crc32(data) != crc:
            raise damaged("log row", row, "its checksum does not match")
        if kind == 0 and len(data) % RECORD.itemsize == 0:
            records.append(data)
            continue
        join_records()
        try:
            batch = unpack_batch(kind, data)
        except CodecError as error:
            raise damaged("log row", row, error) from error
        mask = keep(batch.sensor, batch.t)
        pieces.append(batch if mask.all() else take(batch, mask))
    join_records()
    return Batch(
        np.concatenate([np.zeros(0, np.int32), *(piece.sensor for piece in pieces)]),
        np.concatenate([np.zeros(0, np.int64), *(piece.t for piece in pieces)]),
        np.concatenate([np.zeros(0), *(piece.v for piece in pieces)]),
        np.concatenate([np.zeros(0, np.uint8), *(piece.q for piece in pieces)]),
    )


class Keep:
    """Which readings are wanted: of these sensors (rising ids), in t0 <= t < t1."""

    def __init__(self, ids: Sequence[int], t0: int, t1: int) -> None:
        self.first, self.last, self.t0, self.t1 = ids[0], ids[-1], t0, t1
        self._wanted: NDArray[np.bool_] | None = None
        if len(ids) <= self.last - self.first:
            self._wanted = np.zeros(self.last - self.first + 1, bool)
            self._wanted[np.asarray(ids) - self.first] = True

    def __call__(self, sensor: NDArray[np.int32], t: Times) -> NDArray[np.bool_]:
        """Mask of the readings."""
        mask: NDArray[np.bool_] = (sensor >= self.first) & (sensor <= self.last) & (t >= self.t0) & (t < self.t1)
        if self._wanted is not None:
            mask[mask] = self._wanted[sensor[mask] - self.first]
        return mask

    def rows(self, db: sqlite3.Connection) -> Iterable[tuple[int, int, int, bytes]]:
        """The log rows that may have some."""
        return db.execute(
            LOG + "WHERE t1 >= ? AND t0 < ? AND s1 >= ? AND s0 <= ? ORDER BY id",
            (self.t0, self.t1, self.first, self.last),
        )
