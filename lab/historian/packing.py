"""Chunks as they are inserted: packed, and with the times that several sensors share stored once."""

import sqlite3
import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from lab.historian.chunks import chunk_id
from lab.historian.codec import Column, pack_chunk, pack_times

SHARE_BYTES: Final = 64
"""Times that pack into fewer bytes than that are not worth a row of their own."""
PAGE: Final = 4096


class Row(NamedTuple):
    """A packed chunk; `times` is empty when they are short and stand in `data`."""

    hour: int
    sensor: int
    n: int
    t0: int
    t1: int
    v1: int
    """Bits of the last value."""
    q1: int
    times: bytes
    data: bytes


def cost(size: int) -> int:
    """Bytes that so many bytes in one row cost the disk at most: whole pages, to the WAL and into the file."""
    return 2 * PAGE * (size // PAGE + 1)


class Packer:
    """Packs and inserts chunks; for one step, because it trusts that what it has inserted is still there."""

    def __init__(self) -> None:
        self._packed: dict[bytes, bytes] = {}
        self._rows: dict[tuple[int, bytes], int] = {}

    def pack(self, hour: int, sensor: int, column: Column) -> Row:
        """A chunk of one hour's readings of a sensor."""
        t, v, q = column
        raw = t.tobytes()
        if (times := self._packed.get(raw)) is None:
            times = self._packed[raw] = pack_times(t)
        apart = len(times) > SHARE_BYTES
        data = pack_chunk(b"" if apart else times, v, q)
        last = int(v[-1:].view(np.int64)[0]), int(q[-1])
        return Row(hour, sensor, len(t), int(t[0]), int(t[-1]), *last, times if apart else b"", data)

    def insert(self, db: sqlite3.Connection, rows: Iterable[tuple[Row, int]]) -> int:
        """Insert chunks as their parts and count them in their hours; bytes they cost the disk at most."""
        size = 0
        for row, part in rows:
            times = None
            if row.times and (times := self._rows.get((row.hour, row.times))) is None:
                times = self._rows[row.hour, row.times] = _insert_times(db, row)
                size += len(row.times)
            db.execute(
                "INSERT INTO historian_chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (chunk_id(row.hour, row.sensor, part), *row[2:7], times, zlib.crc32(row.data), row.data),
            )
            db.execute("UPDATE historian_hour SET n = n + ? WHERE hour = ?", (row.n, row.hour))
            size += len(row.data)
        return cost(size) if size else 0


def _insert_times(db: sqlite3.Connection, row: Row) -> int:
    first, end = chunk_id(row.hour, 0, 0), chunk_id(row.hour + 1, 0, 0)
    last = db.execute("SELECT max(id) FROM historian_times WHERE id >= ? AND id < ?", (first, end)).fetchone()[0]
    number = first if last is None else int(last) + 1
    db.execute("INSERT INTO historian_times VALUES (?, ?, ?, ?)", (number, row.n, zlib.crc32(row.times), row.times))
    return number


def delete_unused_times(db: sqlite3.Connection, hour: int) -> None:
    """Delete an hour's times that no chunk refers to any more."""
    span = (chunk_id(hour, 0, 0), chunk_id(hour + 1, 0, 0) - 1)
    db.execute(
        "DELETE FROM historian_times WHERE id BETWEEN ?1 AND ?2 AND id NOT IN "
        "(SELECT times FROM historian_chunk WHERE id BETWEEN ?1 AND ?2 AND times IS NOT NULL)",
        span,
    )
