"""Reading the lab's database: a few threads, each with a connection of its own; a slow query holds up nobody."""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

from api.problems import Problem
from lab.config import Config
from lab.historian import open_historian
from lab.historian.base import Historian, HistorianError
from lab.store import Store, StoreError

THREADS: Final = 2
T = TypeVar("T")

logger = logging.getLogger("lab.api")


class Reader:
    """One thread's read-only connection to the database and its historian."""

    def __init__(self, config: Config) -> None:
        """Open both.

        Raises:
            StoreError: there is no database yet, or it cannot be read.
            HistorianError: the historian cannot be read.
        """
        self.store = Store(config.database, readonly=True)
        try:
            self.historian: Historian = open_historian(config, self.store)
        except BaseException:
            self.store.close()
            raise
        self.store.db.execute("PRAGMA cache_size=-500")  # KiB; the system keeps the file's pages anyway
        self.file = _file_id(config.database)

    @property
    def db(self) -> sqlite3.Connection:
        """The database's connection."""
        return self.store.db

    def close(self) -> None:
        """Close both; safe to call twice."""
        self.historian.close()
        self.store.close()


class Readers:
    """Runs functions of a `Reader` in threads; opens the database when it is there, and anew when it was replaced."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[Reader], Any]] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"lab-reader-{n}", daemon=True) for n in range(THREADS)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    async def run(self, job: Callable[[Reader], T]) -> T:
        """The result of a function that reads.

        Raises:
            Problem: the collector has not made the database yet, or it cannot be read; and what the function raises.
        """
        future: Future[T] = Future()
        self._jobs.put((future, job))
        return await asyncio.wrap_future(future)

    async def stop(self) -> None:
        """Let the threads finish and close what they opened."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _work(self) -> None:
        reader: Reader | None = None
        while (item := self._jobs.get()) is not None:
            future, job = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if reader is not None and reader.file != _file_id(self._config.database):
                    reader.close()
                    reader = None
                if reader is None:
                    reader = Reader(self._config)
                future.set_result(job(reader))
            except BaseException as error:
                if isinstance(error, sqlite3.Error | HistorianError) and reader is not None:
                    with contextlib.suppress(sqlite3.Error, HistorianError):
                        reader.close()
                    reader = None
                future.set_exception(self._explained(error))
        if reader is not None:
            reader.close()

    def _explained(self, error: BaseException) -> BaseException:
        """What a person can be told; errors of ours stay as they are and end as a 500."""
        if isinstance(error, StoreError | sqlite3.OperationalError):
            if not self._config.database.exists() or "no such table" in str(error):
                return Problem("not-started", headers={"retry-after": "2"})
            logger.warning("database: %s", error)
            return Problem("historian", "api.database", error=str(error))
        if isinstance(error, HistorianError):
            logger.warning("historian: %s", error)
            return Problem("historian", "api.historian", error=str(error))
        return error


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
