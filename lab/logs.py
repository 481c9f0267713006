"""Output of the supervised processes: to a log each, bounded in size, and what matters to the console."""

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from lab.text import text

MAX_BYTES: Final = 5 * 1024**2
"""Size of a log at which it becomes `.log.1`, replacing the one before."""
SHOWN: Final = 5
"""Lines of one process that the console shows in `SHOWN_S` seconds; the log has them all."""
SHOWN_S: Final = 10.0

# Not in a line that is indented: that is the source text in a traceback.
_MATTERS: Final = re.compile(rb"\S.*(?:warning|error|critical|fatal|exception)\b|(?:warning|error)\b", re.IGNORECASE)
_DOES_NOT: Final = re.compile(rb"should not be run as root")  # mosquitto in a container, where everybody is


class Log:
    """A log file with one older generation. Not for sharing between threads, but for `close`."""

    def __init__(self, path: Path, say: Callable[[str], None], max_bytes: int = MAX_BYTES) -> None:
        """Nothing is opened before the first line.

        Args:
            path: `….log`; the older generation is `….log.1`.
            say: shows a line on the console.
            max_bytes: size of one generation.
        """
        self.path = path
        self._say = say
        self._max = max_bytes
        self._file: BinaryIO | None = None
        self._size = 0
        self._lost = False
        self._shown: list[float] = []
        self._muted = False
        self.last: bytes | None = None
        """The newest line, unless it is on the console already."""

    def line(self, line: bytes) -> None:
        """Take one line of output. A disk that is full loses lines, never stops the process that writes them."""
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab", buffering=0)
                self._size = self._file.tell()
            if self._size > self._max:
                self._rotate()
            self._size += self._file.write(line)
            self._lost = False
        except OSError as error:
            if not self._lost:
                self._say(text("up.log_lost", log=self.path, why=error.strerror))
            self._lost = True
        self.last = line if line.strip() else self.last
        if _MATTERS.match(line) and not _DOES_NOT.search(line):
            self.last = None
            self._show(line)

    def show_last(self) -> None:
        """Show the newest line if it is not on the console yet: of a process that failed, it says why."""
        if self.last is not None:
            self._show(self.last)
            self.last = None

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _rotate(self) -> None:
        self.close()
        older = self.path.with_name(f"{self.path.name}.1")
        with contextlib.suppress(PermissionError):  # Windows, while somebody reads it: next time then
            self.path.replace(older)
        self._file = self.path.open("ab", buffering=0)
        self._size = 0

    def _show(self, line: bytes) -> None:
        now = time.monotonic()
        self._shown = [at for at in self._shown if now - at < SHOWN_S]
        if len(self._shown) < SHOWN:
            self._shown.append(now)
            self._muted = False
            self._say(f"{self.path.stem:>9} | {line.decode('utf-8', 'replace').rstrip()}")
        elif not self._muted:
            self._muted = True
            self._say(text("up.quiet", name=self.path.stem, log=self.path))


def pump(stream: BinaryIO, log: Log, ended: Callable[[], None]) -> None:
    """Carry a process's output to its log, line by line, until it ends; then say so."""
    with contextlib.suppress(ValueError):  # closed under our hands while the lab stops
        while line := stream.readline(64 * 1024):
            log.line(line)
    ended()
