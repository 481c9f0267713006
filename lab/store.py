"""The lab's one database file, `lab.db` (SQLite, WAL): readings, catalogue, ledger, quarantine, episodes, scorer state.

The collector writes, and the historian's upkeep beside it; others open it read-only. Because readings and ledger share
the file, one commit covers both: what the ledger says was accepted is stored, always.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from lab.text import text

MIGRATIONS: Final[dict[str, Sequence[str]]] = {}
"""Per room (historian, ledger, …) its statements in order; a room's version is how many have run.

Rooms add theirs with `room(name, *statements)` where they are imported; a statement once released is never changed.
"""

BUSY_S: Final = 10.0
"""How long a writer waits for another before it gives up."""
POLL_S: Final = 0.001


_flush: Final = getattr(os, "fdatasync", os.fsync)
"""As SQLite does it: the size of the file is flushed too, its times need not be."""


class StoreError(Exception):
    """The database cannot be used; the text says why and what to do."""


def room(name: str, *statements: str) -> None:
    """Declare the tables of one room of the database, in the order of their history."""
    MIGRATIONS[name] = statements


def is_full(error: sqlite3.Error) -> bool:
    """Whether SQLite failed for want of room on the disk (or in the size the file may have)."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


class Store:
    """A connection to `lab.db`. Not for sharing between threads: open one each.

    `synchronous` FULL: a commit survives a power failure; NORMAL: it survives the death of the process, and a power
    failure may undo the last ones but never tears them. That is for work that can be done again, such as compaction,
    and for a writer that calls `sync` before it tells anybody of its commits.
    """

    def __init__(self, path: Path, *, readonly: bool = False, synchronous: str = "FULL") -> None:
        """Open the file; a writer creates it and brings every declared room up to date.

        Raises:
            StoreError: the file is not a database, was written by a newer lab, or (read-only) does not exist.
        """
        self.path = path
        self.readonly = readonly
        self._depth = 0
        self._ended: list[Callable[[bool], None]] = []
        if readonly and not path.is_file():
            raise StoreError(text("store.absent", path=path))
        try:
            if readonly:
                uri = f"{path.resolve().as_uri()}?mode=ro"
                self.db = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(text("store.unopened", path=path, reason=error)) from error
        try:
            if readonly:
                self._pending()
            else:
                self._prepare(synchronous)
        except sqlite3.Error as error:
            self.db.close()
            raise StoreError(text("store.unopened", path=path, reason=error)) from error
        except BaseException:
            self.db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self, synchronous: str) -> None:
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                self.db.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError:
                # SQLite does not wait here: two processes that create the file at once collide
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self.db.execute(f"PRAGMA synchronous={synchronous}")
        # some builds overwrite what is deleted with zeros, which would wear an SD card for nothing
        self.db.execute("PRAGMA secure_delete=OFF")
        # moving pages from the WAL into the file takes time, which a live commit should not: compaction does it sooner
        self.db.execute(f"PRAGMA wal_autocheckpoint={8_000 if synchronous == 'FULL' else 2_000}")
        self.db.execute(f"PRAGMA journal_size_limit={64 << 20}")
        if self._pending():
            self._migrate()

    def _pending(self) -> bool:
        """Whether a declared room is missing or behind."""
        there = self.db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'room'").fetchone()
        versions = dict(self.db.execute("SELECT name, version FROM room").fetchall()) if there else {}
        for name, statements in MIGRATIONS.items():
            if (done := versions.get(name, 0)) > len(statements):
                raise StoreError(
                    f"{self.path}: '{name}' is at version {done}, this lab knows {len(statements)}. "
                    "It was written by a newer lab: update this one, or use another --data-dir."
                )
            if self.readonly and 0 < done < len(statements):
                raise StoreError(
                    f"{self.path}: '{name}' is at version {done}, this lab wants {len(statements)}. "
                    "It was written by an older lab: start the collector once (`lab up`), it brings it up to date."
                )
        return any(versions.get(name, 0) < len(statements) for name, statements in MIGRATIONS.items())

    def _migrate(self) -> None:
        with self.transaction():
            self.db.execute("CREATE TABLE IF NOT EXISTS room (name TEXT PRIMARY KEY, version INTEGER NOT NULL)")
            versions: dict[str, int] = dict(self.db.execute("SELECT name, version FROM room").fetchall())
            for name, statements in MIGRATIONS.items():
                for statement in statements[versions.get(name, 0) :]:
                    self.db.execute(statement)
                self.db.execute("INSERT OR REPLACE INTO room VALUES (?, ?)", (name, len(statements)))

    @property
    def in_transaction(self) -> bool:
        """Whether a `transaction()` is open."""
        return self._depth > 0

    def on_end(self, callback: Callable[[bool], None]) -> None:
        """Call back after every commit (True) and whenever something was undone (False): for caches of what is stored.

        A use of `transaction()` inside another that fails calls back with False too, before the outer one ends.
        """
        self._ended.append(callback)

    def _tell(self, committed: bool) -> None:
        for callback in self._ended:
            callback(committed)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One atomic commit; a nested use joins the outer one, and when it fails only its own part is undone.

        Raises:
            sqlite3.Error: the commit failed (see `is_full`); nothing of it is stored.
        """
        outer = self._depth == 0
        point = f"s{self._depth}"
        if outer:
            self._begin()
        else:
            self.db.execute(f"SAVEPOINT {point}")
        self._depth += 1
        try:
            try:
                yield self.db
            finally:
                self._depth -= 1
            self.db.execute("COMMIT" if outer else f"RELEASE {point}")
        except BaseException:
            # SQLite itself rolls everything back on some errors, a full disk among them
            if self.db.in_transaction:
                self.db.execute("ROLLBACK" if outer else f"ROLLBACK TO {point}")
                if not outer:
                    self.db.execute(f"RELEASE {point}")
            self._tell(False)
            raise
        if outer:
            self._tell(True)

    def sync(self) -> None:
        """Have all that is committed on the disk when this returns; any thread may call it.

        Raises:
            OSError: the disk failed. `sync_again` is then the way, because a second attempt of this may say that all is
                well when it is not.
        """
        try:
            file = os.open(f"{self.path}-wal", os.O_RDWR | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            return  # SQLite has moved all into the database itself
        try:
            _flush(file)
        finally:
            os.close(file)

    def sync_again(self) -> None:
        """After a `sync` that failed: write all that is committed once more, into the database file itself.

        Raises:
            sqlite3.Error: the disk still fails, or a reader is in the way.
        """
        busy, pages, moved = self.db.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if busy or moved < pages:
            raise sqlite3.OperationalError("what is committed cannot be moved into the database file yet")

    def free(self) -> bool:
        """Whether no other connection is writing just now."""
        self.db.execute("PRAGMA busy_timeout=0")
        try:
            self.db.execute("BEGIN IMMEDIATE")
            self.db.execute("ROLLBACK")
        except sqlite3.Error as error:
            return error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY  # other troubles are for who writes
        finally:
            self.db.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")
        return True

    def _begin(self) -> None:
        """Take the write lock. SQLite itself would look every 100 ms in the end; others hold it for a few at most."""
        deadline = time.monotonic() + BUSY_S
        self.db.execute("PRAGMA busy_timeout=0")
        try:
            while True:
                try:
                    self.db.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                        raise
                    time.sleep(POLL_S)
        finally:
            self.db.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Several reads that see one state of the database; inside a transaction it is the transaction's."""
        joined = self._depth > 0 or self.db.in_transaction
        if joined:
            yield self.db
            return
        self.db.execute("BEGIN")
        try:
            yield self.db
        finally:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self.db.close()
