"""The lab's one database file, `lab.db` (SQLite, WAL): readings, catalogue, ledger, quarantine, episodes, scorer state.

One process writes (the collector); others open it read-only. Because readings and ledger share the file, one commit
covers both: what the ledger says was accepted is stored, always.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MIGRATIONS: Final[dict[str, Sequence[str]]] = {}
"""Per room (historian, ledger, …) its statements in order; a room's version is how many have run.

Rooms add theirs with `room(name, *statements)` where they are imported; a statement once released is never changed.
"""


class StoreError(Exception):
    """The database cannot be used; the text says why and what to do."""


def room(name: str, *statements: str) -> None:
    """Declare the tables of one room of the database, in the order of their history."""
    MIGRATIONS[name] = statements


class Store:
    """A connection to `lab.db`. Not for sharing between threads: open one each."""

    def __init__(self, path: Path, *, readonly: bool = False, synchronous: str = "FULL") -> None:
        """Open the file; a writer creates it and brings every declared room up to date.

        Raises:
            StoreError: the file is not a database, was written by a newer lab, or (read-only) does not exist.
        """
        self.path = path
        self.readonly = readonly
        self._depth = 0
        try:
            if readonly:
                self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10, isolation_level=None)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.db = sqlite3.connect(path, timeout=10, isolation_level=None)
                self.db.execute("PRAGMA journal_mode=WAL")
                self.db.execute(f"PRAGMA synchronous={synchronous}")
                self._migrate()
        except sqlite3.Error as error:
            raise StoreError(f"{path}: cannot open the lab's database: {error}") from error

    def _migrate(self) -> None:
        with self.transaction():
            self.db.execute("CREATE TABLE IF NOT EXISTS room (name TEXT PRIMARY KEY, version INTEGER NOT NULL)")
            versions: dict[str, int] = dict(self.db.execute("SELECT name, version FROM room").fetchall())
            for name, statements in MIGRATIONS.items():
                done = versions.get(name, 0)
                if done > len(statements):
                    raise StoreError(
                        f"{self.path}: '{name}' is at version {done}, this lab knows {len(statements)}. "
                        "It was written by a newer lab: update this one, or use another --data-dir."
                    )
                for statement in statements[done:]:
                    self.db.execute(statement)
                self.db.execute("INSERT OR REPLACE INTO room VALUES (?, ?)", (name, len(statements)))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One atomic commit; nested uses join the outer one."""
        if self._depth == 0:
            self.db.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield self.db
        except BaseException:
            self._depth -= 1
            if self._depth == 0 and self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise
        self._depth -= 1
        if self._depth == 0:
            try:
                self.db.execute("COMMIT")
            except sqlite3.Error:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self.db.close()
