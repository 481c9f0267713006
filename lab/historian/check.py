"""Proof that the embedded historian is sound: every row decodes to what its columns say, and all counts agree."""

import sqlite3
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from lab.historian.base import HistorianError, Times
from lab.historian.chunks import HOUR, chunk_id, decode_chunk, split_id
from lab.historian.codec import CodecError, unpack_batch
from lab.historian.compaction import state
from lab.store import Store


class Problem(NamedTuple):
    """Something wrong; `what` is database, sensor, log, chunk, times or hour, `id` its row (0: the whole)."""

    what: str
    id: int
    text: str


class Soundness(NamedTuple):
    """What a check has looked at, and what it found."""

    readings: int
    sensors: int
    log_rows: int
    chunks: int
    bytes: int
    problems: list[Problem]


def check(store: Store, progress: Callable[[float], None] | None = None) -> Soundness:
    """Look at every byte of the historian, in one snapshot, also beside a running collector.

    Args:
        store: the database.
        progress: called with the part that is done, 0 to 1.
    """
    tell = progress or (lambda part: None)
    with store.snapshot() as db:
        problems = [Problem("database", 0, row[0]) for row in _rows(db, "PRAGMA integrity_check") if row[0] != "ok"]
        if problems:
            return Soundness(0, 0, 0, 0, 0, problems)
        tell(0.1)
        ids = [row[0] for row in db.execute("SELECT id FROM historian_sensor ORDER BY id")]
        if ids != list(range(len(ids))):
            problems.append(Problem("sensor", 0, "ids are not consecutive"))
        log_rows, logged = _check_log(db, len(ids), problems)
        chunks, kept = _check_chunks(db, len(ids), problems, tell)
        size = sum(
            db.execute(f"SELECT coalesce(sum(length(data)), 0) FROM {table}").fetchone()[0]
            for table in ("historian_log", "historian_chunk", "historian_times")
        )
        tell(1.0)
        return Soundness(kept + logged - state(db, "job_moved"), len(ids), log_rows, chunks, size, problems)


def _rows(db: sqlite3.Connection, statement: str) -> list[tuple[str]]:
    try:
        return db.execute(statement).fetchall()
    except sqlite3.DatabaseError as error:
        return [(str(error),)]


def _check_log(db: sqlite3.Connection, sensors: int, problems: list[Problem]) -> tuple[int, int]:
    count = readings = 0
    for row, kind, n, t0, t1, s0, s1, crc, data in db.execute(
        "SELECT id, kind, n, t0, t1, s0, s1, crc, data FROM historian_log ORDER BY id"
    ):
        count, readings = count + 1, readings + n
        if zlib.crc32(data) != crc:
            problems.append(Problem("log", row, "its checksum does not match"))
            continue
        try:
            batch = unpack_batch(kind, data)
        except CodecError as error:
            problems.append(Problem("log", row, str(error)))
            continue
        ends = tuple(int(x) for x in (batch.t.min(), batch.t.max(), batch.sensor.min(), batch.sensor.max()))
        if (len(batch.t), *ends) != (n, t0, t1, s0, s1) or ends[3] >= sensors:
            problems.append(Problem("log", row, f"holds {len(batch.t)} readings {ends}, says {n} {(t0, t1, s0, s1)}"))
    return count, readings


def _check_chunks(
    db: sqlite3.Connection, sensors: int, problems: list[Problem], tell: Callable[[float], None]
) -> tuple[int, int]:
    hours = db.execute("SELECT hour, n, parts FROM historian_hour ORDER BY hour").fetchall()
    last = dict(db.execute("SELECT id, last FROM historian_sensor").fetchall())
    count = readings = 0
    for index, (hour, n, parts) in enumerate(hours):
        held = 0
        for row, found, problem in _chunks(db, hour):
            count, held = count + 1, held + found
            _, sensor, part = split_id(row)
            if problem is None and sensor >= sensors:
                problem = f"sensor {sensor} is unknown"
            if problem is None and part >= parts:
                problem = f"part {part} of {parts}"
            if problem is None and (last.get(sensor) is None or last[sensor] < hour):
                problem = f"newer than the newest chunk of sensor {sensor}"
            if problem is not None:
                problems.append(Problem("chunk", row, problem))
        readings += held
        if held != n:
            problems.append(Problem("hour", hour, f"{held} readings, says {n}"))
        tell(0.1 + 0.9 * (index + 1) / len(hours))
    known = {hour for hour, _, _ in hours}
    uncounted = {row >> 41 for (row,) in db.execute("SELECT id FROM historian_chunk")} - known
    problems += [Problem("hour", hour, "has chunks, but is not counted") for hour in sorted(uncounted)]
    return count, readings


def _chunks(db: sqlite3.Connection, hour: int) -> Iterator[tuple[int, int, str | None]]:
    """Row, readings and what is wrong with it, of every chunk of an hour."""
    shared: dict[int, Times] = {}
    rows = db.execute(
        "SELECT id, n, t0, t1, v1, q1, times, crc, data FROM historian_chunk WHERE id >= ? AND id < ?",
        (chunk_id(hour, 0, 0), chunk_id(hour + 1, 0, 0)),
    )
    for row, n, t0, t1, v1, q1, times, crc, data in rows:
        problem = None
        try:
            t, v, q = decode_chunk(db, row, times, crc, data, shared)
        except HistorianError as error:
            yield row, n, str(error)
            continue
        facts = (len(t), int(t[0]), int(t[-1]), int(v.view(np.int64)[-1]), int(q[-1]))
        if facts != (n, t0, t1, v1, q1):
            problem = f"holds {facts}, says {(n, t0, t1, v1, q1)}"
        elif np.any(np.diff(t) <= 0):
            problem = "times that do not rise"
        elif t0 // HOUR != hour or t1 // HOUR != hour:
            problem = "readings of another hour"
        yield row, n, problem


def repair(store: Store, problems: list[Problem]) -> int:
    """Set damaged log rows and chunks aside (table `historian_damaged`) and count the hours anew; rows set aside.

    What it cannot mend are problems of the database itself and of sensors.
    """
    aside = 0
    with store.transaction() as db:
        for what, row, reason in problems:
            if what not in ("log", "chunk"):
                continue
            table = f"historian_{what}"
            moved = db.execute(
                f"INSERT INTO historian_damaged SELECT ?, id, ?, data FROM {table} WHERE id = ?", (what, reason, row)
            )
            aside += moved.rowcount
            db.execute(f"DELETE FROM {table} WHERE id = ?", (row,))
        for hour in {row for what, row, _ in problems if what == "hour"} | {
            split_id(row)[0] for what, row, _ in problems if what == "chunk"
        }:
            span = (chunk_id(hour, 0, 0), chunk_id(hour + 1, 0, 0) - 1)
            inside = "FROM historian_chunk WHERE id BETWEEN ? AND ?"
            parts = max((split_id(row)[2] + 1 for (row,) in db.execute(f"SELECT id {inside}", span)), default=0)
            db.execute("INSERT OR IGNORE INTO historian_hour VALUES (?, 0, 0, -1)", (hour,))
            db.execute(
                f"UPDATE historian_hour SET n = (SELECT coalesce(sum(n), 0) {inside}), parts = max(parts, ?) "
                "WHERE hour = ?",
                (*span, parts, hour),
            )
        newest: dict[int, int] = {}
        for (row,) in db.execute("SELECT id FROM historian_chunk"):
            hour, sensor, _ = split_id(row)
            newest[sensor] = max(hour, newest.get(sensor, 0))
        db.executemany(
            "UPDATE historian_sensor SET last = ? WHERE id = ?", [(hour, sensor) for sensor, hour in newest.items()]
        )
        generation = state(db, "generation") + 1
        db.execute("INSERT OR REPLACE INTO historian_state VALUES ('generation', ?)", (generation,))
    return aside
