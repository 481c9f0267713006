"""Compaction and retention beside the writer, in a thread with a connection of its own."""

import logging
import threading
import time
from pathlib import Path
from typing import Final, Self

from lab.historian.base import HistorianError
from lab.historian.embedded import EmbeddedHistorian
from lab.store import Store, StoreError

EVERY_S: Final = 5.0
BUDGET_S: Final = 0.2
AFTER_TROUBLE_S: Final = 30.0

logger = logging.getLogger("lab.historian")


class Upkeep:
    """A thread that compacts the embedded historian; use it as a context manager, or start and stop it.

    A step of it holds the write lock for some milliseconds at most; between steps it leaves the processor to others.
    """

    def __init__(
        self, path: Path, *, keep_days: float | None = None, keep_gb: float | None = None, every_s: float = EVERY_S
    ) -> None:
        """For the database at `path`; `keep_days` and `keep_gb` as in the configuration."""
        self.trouble: str | None = None
        """Why it cannot work at present; it goes on trying."""
        self._path, self._keep_days, self._keep_gb, self._every_s = path, keep_days, keep_gb, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lab-historian-upkeep", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End after the current step; what is left is done the next time."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                # a commit that a power failure undoes is done again from the log, so it need not be waited for
                with Store(self._path, synchronous="NORMAL") as store:
                    self._compact(EmbeddedHistorian(store, keep_days=self._keep_days, keep_gb=self._keep_gb))
            except (HistorianError, StoreError) as error:
                if str(error) != self.trouble:
                    logger.error("the historian cannot be compacted: %s", error)
                self.trouble = str(error)
                self._stop.wait(AFTER_TROUBLE_S)

    def _compact(self, historian: EmbeddedHistorian) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            more = historian.compact(BUDGET_S)
            self.trouble = None
            self._stop.wait((time.monotonic() - began) / 2 if more else self._every_s)
