"""The historian's upkeep beside the collector: in a thread, and under a high load in a process of its own.

Both want the interpreter. A few thousand readings a second leave it enough, and a thread needs no memory of its own;
with a hundred thousand and more the collector must not wait for it.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from lab.config import Config
from lab.historian.upkeep import Upkeep

log = logging.getLogger("lab.collector")

BUSY: Final = 100_000.0
"""Readings a second from which a process is worth its memory."""
BUSY_S: Final = 3
"""For so many seconds on end."""

NICE: Final = 5
"""What comes in goes before what is tidied up."""


class Housekeeping:
    """Upkeep of the embedded historian; does nothing for another one."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._thread: Upkeep | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._busy = 0

    def start(self) -> None:
        """Begin, in a thread."""
        historian = self._config.historian
        if historian.kind == "embedded":
            self._thread = Upkeep(self._config.database, keep_days=historian.keep_days, keep_gb=historian.keep_gb)
            self._thread.start()

    def watch(self, rate: float) -> None:
        """Once a second, with the readings a second: move to a process, or back when that has ended."""
        if self._process is not None:
            if self._process.poll() is not None:
                log.error(
                    "the process that compacts the historian ended (%d); going on in a thread", self._process.returncode
                )
                self._end_process()
                self.start()
                self._busy = -60
        elif self._thread is not None:
            self._busy = self._busy + 1 if rate > BUSY or self._busy < 0 else 0
            if self._busy >= BUSY_S:
                thread, self._thread = self._thread, None
                # It ends after its current step; the two may overlap, whoever comes first does the work.
                threading.Thread(target=thread.stop, daemon=True).start()
                self._process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        historian = self._config.historian
        command = [sys.executable, "-m", "lab.housekeeping", str(self._config.database.absolute())]
        command += [str(historian.keep_days or ""), str(historian.keep_gb or "")]
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, creationflags=flags)

    def _end_process(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()  # it ends when this is gone, also should we be killed
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End after the current step; safe to call twice."""
        if self._thread is not None:
            self._thread.stop()
            self._thread = None
        self._end_process()


def main(database: str, keep_days: str, keep_gb: str) -> None:
    """Upkeep until standard input comes to its end; cut off anywhere it loses nothing."""
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):  # a Ctrl-C in the terminal is for the collector, which ends us
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICE)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    days, gb = (float(text) if text else None for text in (keep_days, keep_gb))
    with Upkeep(Path(database), keep_days=days, keep_gb=gb):
        while os.read(0, 64):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
