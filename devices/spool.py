"""The gateway's disk buffer: a frame is committed here before it is sent, and deleted only when the lab has it.

One SQLite file (WAL, synchronous FULL). Frames are keyed by boot and sequence, so a frame of an earlier run is sent
again under the numbers it was made with, and the receiver knows it when it comes twice.
"""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

ROW_BYTES: Final = 40
"""What SQLite needs for a frame beside its payload, about."""
CHECKPOINT_BYTES: Final = 2_000_000
"""The log is written back into the file when it is so long."""
LAST: Final = 2**53

Key = tuple[int, int]
"""Boot and sequence of a frame."""

_VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE frame (b INTEGER NOT NULL, s INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (b, s)) WITHOUT ROWID;
CREATE TABLE birth (b INTEGER PRIMARY KEY, payload BLOB NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class SpoolError(Exception):
    """The spool cannot be used; the text names the file and says what to do."""


class SpoolFull(SpoolError):
    """No room left on the disk; nothing of the batch was kept."""


class SpoolStats(NamedTuple):
    """`dropped` counts over all boots of the file; `bytes_written` since it was opened, an upper bound."""

    frames: int
    payload_bytes: int
    dropped: int
    commits: int
    bytes_written: int


class Spool:
    """One gateway's spool. It belongs to one process and one thread at a time; a second one is refused."""

    def __init__(
        self, path: Path, *, max_bytes: int = 256_000_000, drop: Literal["oldest", "newest"] = "oldest"
    ) -> None:
        """Open the file, or make it, and count a boot.

        The boot is greater than all before it and normally the second it began, so that not even a lost or restored
        file leads to numbers that the lab has seen before.

        Args:
            path: the SQLite file.
            max_bytes: the most that frames may take; what is beyond is dropped and counted.
            drop: which frames go then.

        Raises:
            SpoolError: not a spool, of a newer lab, in use by another process, or the folder cannot be written.
        """
        self.path = path
        self._max_bytes = max_bytes
        self._drop = drop
        self._closed = False
        self._commits = 0
        self._frames: int = 0
        self._bytes: int = 0
        self._written = 0
        self._wal = path.with_name(path.name + "-wal")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(f"{path}: cannot open the spool: {error}") from error
        try:
            # Exclusive: a second agent of the same name would send under the same numbers.
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0"):
                self._db.execute(f"PRAGMA {pragma}")
            self.boot = self._begin_boot()
            self._page: int = self._db.execute("PRAGMA page_size").fetchone()[0]
            self._count()
        except sqlite3.Error as error:
            self._db.close()
            if "locked" in str(error):
                raise SpoolError(
                    f"{path}: another process sends for this gateway; end it, or use another name or data directory"
                ) from error
            raise SpoolError(f"{path}: not a usable spool ({error}); move it away to begin an empty one") from error
        except SpoolError:
            self._db.close()
            raise

    def _begin_boot(self) -> int:
        self._db.execute("BEGIN IMMEDIATE")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise SpoolError(f"{self.path}: written by a newer lab (version {version}); update this one")
        if version == 0:
            for statement in _TABLES.strip().split(";\n"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={_VERSION}")
        meta: dict[str, int] = dict(self._db.execute("SELECT key, value FROM meta").fetchall())
        boot = max(meta.get("boot", 0) + 1, int(time.time()))
        self._dropped = meta.get("dropped", 0)
        self._put_meta("boot", boot)
        self._db.execute("DELETE FROM birth WHERE NOT EXISTS (SELECT 1 FROM frame WHERE frame.b = birth.b)")
        self._db.execute("COMMIT")
        return boot

    def _count(self) -> None:
        self._frames, self._bytes = self._db.execute(
            "SELECT count(*), coalesce(sum(length(payload)), 0) FROM frame"
        ).fetchone()

    def _put_meta(self, key: str, value: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def append(self, frames: Sequence[tuple[int, bytes]]) -> int:
        """Keep frames (sequence, payload) of this boot; with them is committed what was acknowledged before.

        When this returns, kill -9 and power failure lose none of them but those dropped for `max_bytes`.

        Returns:
            How many were dropped, oldest or newest as configured.

        Raises:
            SpoolFull: the disk is full; nothing was kept, and the same call can be repeated.
            SpoolError: any other failure of the disk, likewise.
        """
        dropped_before = self._dropped
        try:
            self._begin()
            kept = list(frames)
            if self._drop == "newest":
                while kept and self._size(kept) > self._max_bytes:
                    kept.pop()
            self._db.executemany("INSERT INTO frame VALUES (?, ?, ?)", [(self.boot, s, data) for s, data in kept])
            self._frames += len(kept)
            self._bytes += sum(len(data) for _, data in kept)
            dropped = len(frames) - len(kept)
            while self._frames and self._size() > self._max_bytes:
                dropped += self._drop_oldest()
            if dropped:
                self._dropped += dropped
                self._put_meta("dropped", self._dropped)
            self._commit()
        except sqlite3.Error as error:
            self._dropped = dropped_before
            raise self._failed(error) from error
        return dropped

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        self._db.execute("COMMIT")
        self._commits += 1
        if self._wal_bytes() > CHECKPOINT_BYTES:
            self._checkpoint()

    def _failed(self, error: sqlite3.Error) -> SpoolError:
        """Go back to what is on the disk, and make room by emptying the log."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._count()
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            return SpoolError(f"{self.path}: {error}")
        try:
            self._checkpoint()
        except sqlite3.Error as second:
            return SpoolFull(f"{self.path}: the disk is full or failing ({error}; {second}); free some space")
        return SpoolFull(f"{self.path}: the disk is full or failing ({error}); free some space")

    def _size(self, more: Sequence[tuple[int, bytes]] = ()) -> int:
        return self._bytes + ROW_BYTES * (self._frames + len(more)) + sum(len(data) for _, data in more)

    def _drop_oldest(self) -> int:
        rows = self._db.execute("SELECT b, s, length(payload) FROM frame ORDER BY b, s LIMIT 100").fetchall()
        dropped = 0
        for b, s, length in rows:
            if self._size() <= self._max_bytes:
                break
            self._db.execute("DELETE FROM frame WHERE b = ? AND s = ?", (b, s))
            self._frames -= 1
            self._bytes -= length
            dropped += 1
        return dropped

    def acknowledge(self, b: int, upto: int, missing: Sequence[tuple[int, int]] = ()) -> int:
        """Delete the frames of a boot up to `upto` but those in `missing` (inclusive ranges): the lab has them.

        The commit comes with the next `append` or `settle`, so a receipt costs no write of its own; a crash before it
        only means that these frames are sent once more.

        Returns:
            How many were deleted.

        Raises:
            SpoolError: the disk failed; nothing was deleted.
        """
        had: list[tuple[int, int]] = []
        start = 0
        for first, last in sorted(missing):
            had.append((start, min(first - 1, upto)))
            start = max(start, last + 1)
        had.append((start, upto))
        before: int = self._frames
        where = "FROM frame WHERE b = ? AND s BETWEEN ? AND ?"
        try:
            for first, last in had:
                count, size = self._db.execute(
                    f"SELECT count(*), coalesce(sum(length(payload)), 0) {where}", (b, first, last)
                ).fetchone()
                if count:
                    self._begin()
                    self._db.execute(f"DELETE {where}", (b, first, last))
                    self._frames -= count
                    self._bytes -= size
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return before - self._frames

    def settle(self) -> None:
        """Commit the deletions that wait for one.

        Raises:
            SpoolError: the disk failed; the frames are there again.
        """
        if self._db.in_transaction:
            try:
                self._commit()
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def read(self, after: Key = (-1, -1), until: Key = (LAST, LAST), limit: int = 100) -> list[tuple[int, int, bytes]]:
        """Frames (boot, sequence, payload) in order, those after one key, up to and with another."""
        return self._db.execute(
            "SELECT b, s, payload FROM frame WHERE (b, s) > (?, ?) AND (b, s) <= (?, ?) ORDER BY b, s LIMIT ?",
            (*after, *until, limit),
        ).fetchall()

    def count(self, until: Key, limit: int) -> int:
        """How many frames there are up to and with a key, counted up to a limit."""
        count: int = self._db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM frame WHERE (b, s) <= (?, ?) LIMIT ?)", (*until, limit)
        ).fetchone()[0]
        return count

    def put_birth(self, payload: bytes) -> None:
        """Keep this boot's birth beside its frames: a later boot may have other channels.

        Raises:
            SpoolError: the disk failed.
        """
        try:
            self._begin()
            self._db.execute("INSERT OR REPLACE INTO birth VALUES (?, ?)", (self.boot, payload))
            self._commit()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def earlier_births(self) -> list[bytes]:
        """Births of the earlier boots that still have frames here, in order."""
        rows = self._db.execute(
            "SELECT payload FROM birth WHERE b < ? AND EXISTS (SELECT 1 FROM frame WHERE frame.b = birth.b) ORDER BY b",
            (self.boot,),
        )
        return [payload for (payload,) in rows]

    def stats(self) -> SpoolStats:
        """Counts and sizes."""
        written = self._written + self._wal_bytes()
        return SpoolStats(self._frames, self._bytes, self._dropped, self._commits, written)

    def _wal_bytes(self) -> int:
        return self._wal.stat().st_size if self._wal.exists() else 0

    def _checkpoint(self) -> None:
        log = self._wal_bytes()
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        # Every page of the log is written back at most once.
        pages: int = self._db.execute("PRAGMA page_count").fetchone()[0]
        self._written += log + min(log, pages * self._page)

    def close(self) -> None:
        """Commit the waiting deletions and let go of the file; safe to call twice.

        Raises:
            SpoolError: the deletions could not be committed; the file is closed all the same.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self.settle()
        finally:
            self._db.close()
