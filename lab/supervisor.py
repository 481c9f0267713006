"""`lab up` at work: processes started, watched, restarted with back-off, and stopped in order.

One loop in the main thread and one thread per process that carries its output to a log. It imports nothing heavy: it
lives as long as the lab does, beside processes that need the memory.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from lab.logs import Log, pump
from lab.running import ProcessInfo, RunInfo, run_file, write_private
from lab.text import text

BACKOFF_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
STEADY_S: Final = 30.0
"""Who ran so long has recovered: its next failure waits the shortest time again."""
SETTLE_S: Final = 1.0
"""A process that cannot be asked whether it is ready counts as running once it has lived so long."""
STOP_S: Final = 10.0
"""Time a process has to finish its work before it is ended."""

# Where the kernel cannot end a foreign program with its parent, this runs it and ends it when our pipe closes.
GUARD: Final = """
import os, signal, subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def watch():
    while os.read(0, 64):
        pass
    child.terminate()
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
threading.Thread(target=watch, daemon=True).start()
sys.exit(child.wait())
"""


class Spec(NamedTuple):
    """A process to run."""

    name: str
    command: Sequence[str]
    ready: Callable[[], bool] | None = None
    """Whether it does its work yet; without one it counts as running after `SETTLE_S`."""
    after: str | None = None
    """Its first start waits until this one runs, or is done if that runs once."""
    once: bool = False
    """It ends by itself: exit code 0 is done, any other a failure that is not repeated."""
    foreign: bool = False
    """Not a `lab` command, so it does not watch for its parent itself."""
    low_priority: bool = False


class Child:
    """One process of a supervisor, over all its restarts."""

    def __init__(self, spec: Spec, data: Path, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self.spec = spec
        self.log = Log(data / "logs" / f"{spec.name}.log", say)
        self.info = ProcessInfo(spec.name, "waiting", since=time.time(), log=str(self.log.path))
        self.process: subprocess.Popen[bytes] | None = None
        self.failures = 0
        self.next_start = 0.0
        self.started = 0.0
        self._environ = environ
        self._pump: threading.Thread | None = None

    def to(self, state: Any) -> None:
        """Change the state shown."""
        self.info.state, self.info.since = state, time.time()

    def start(self, notify: Callable[[], None]) -> None:
        """Start the process; `notify` is called from a thread when its output ends.

        Raises:
            OSError: the program cannot be started.
        """
        command = list(self.spec.command)
        options: dict[str, Any] = {}
        if self.spec.foreign:
            if sys.platform == "linux":
                options["preexec_fn"] = _end_with_parent(os.getpid())
            else:
                command = [sys.executable, "-S", "-c", GUARD, *command]
        if os.name == "nt":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined, unused-ignore]
            low = subprocess.BELOW_NORMAL_PRIORITY_CLASS  # type: ignore[attr-defined, unused-ignore]
            options["creationflags"] = flags | (low if self.spec.low_priority else 0)
        else:
            options["start_new_session"] = True  # Ctrl-C comes to us alone, and we stop them in order
        self.process = process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self._environ},
            **options,
        )
        if self.spec.low_priority and os.name != "nt":
            with contextlib.suppress(OSError):  # it ended already
                os.setpriority(os.PRIO_PROCESS, process.pid, 10)
        self.started = time.monotonic()
        self.info.pid = process.pid
        self.to("starting")
        assert process.stdout is not None
        self._pump = threading.Thread(target=pump, args=(process.stdout, self.log, notify), daemon=True)
        self._pump.start()

    def ready(self) -> bool:
        """Whether the process, which lives, does its work."""
        if self.spec.ready is None:
            return self.spec.once or time.monotonic() - self.started > SETTLE_S
        return self.spec.ready()

    def ended(self) -> int | None:
        """The exit code once the process is gone (its descendants too); None while it lives."""
        if self.process is None or self.process.poll() is None:
            return None
        self.kill()
        process, self.process = self.process, None
        if self._pump is not None:
            self._pump.join(2.0)
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        if process.stdout is not None and not (self._pump and self._pump.is_alive()):  # closing waits for a reader
            process.stdout.close()
        self.info.pid = None
        self.info.exit_code = process.returncode
        return process.returncode

    def terminate(self) -> None:
        """Ask the process to finish: SIGTERM, or on Windows the end of its standard input."""
        if self.process is None:
            return
        if os.name == "nt" and self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        else:
            self.process.terminate()

    def kill(self) -> None:
        """End the process and whatever it started."""
        if self.process is None:
            return
        if os.name == "nt":
            self.process.kill()
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM of a group of zombies
                os.killpg(self.process.pid, signal.SIGKILL)


class Supervisor:
    """Runs processes until it is told to stop."""

    def __init__(
        self,
        data: Path,
        specs: Sequence[Spec],
        info: RunInfo,
        environ: Mapping[str, str],
        say: Callable[[str], None] = print,
        on_running: Callable[[str], None] = lambda name: None,
        on_done: Callable[[str, int], None] = lambda name, code: None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            data: the data directory; logs and `run/lab.json` are written there.
            specs: in the order of starting; they are stopped in the opposite one.
            info: what to write to `run/lab.json`; the processes are filled in.
            environ: variables for every process, beside our own.
            say: shows a line to the user.
            on_running: called with a name when a process runs for the first time.
            on_done: called with name and exit code when a process that runs once has ended.
        """
        self.data = data
        self.info = info
        self.say = say
        self._on_running = on_running
        self._on_done = on_done
        self._events: queue.SimpleQueue[str] = queue.SimpleQueue()  # its put may be used in a signal handler
        self.children = [Child(spec, data, environ, say) for spec in specs]
        self.info.processes = [child.info for child in self.children]
        self._ran: set[str] = set()
        self._written = b""
        self._write_failed = False

    def stop(self) -> None:
        """Ask for the end, from a signal handler or another thread."""
        self._events.put("stop")

    def run(self) -> None:
        """Run until `stop`; then stop everything in order. No process is left behind, whatever happens."""
        before = {number: signal.signal(number, lambda *_: self.stop()) for number in _stop_signals()}
        try:
            stopping = False
            while not stopping:
                for child in self.children:
                    self._look_after(child)
                self._write()
                with contextlib.suppress(queue.Empty):
                    stopping = self._events.get(timeout=self._pause()) == "stop"
        finally:
            self._stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pause(self) -> float:
        if any(child.info.state == "starting" for child in self.children):
            return 0.05
        waits = [child.next_start - time.monotonic() for child in self.children if child.info.state == "backoff"]
        return max(min([0.5, *waits]), 0.01)

    def _look_after(self, child: Child) -> None:
        state, spec = child.info.state, child.spec
        if state in {"starting", "running"}:
            if (code := child.ended()) is not None:
                self._after_end(child, code)
            elif state == "starting" and child.ready():
                self._runs(child)
            elif child.failures and time.monotonic() - child.started > STEADY_S:
                child.failures = 0
        elif (state == "waiting" and (spec.after is None or self._is_past(spec.after))) or (
            state == "backoff" and time.monotonic() >= child.next_start
        ):
            self._start(child)

    def _is_past(self, name: str) -> bool:
        states = {child.spec.name: child.info.state for child in self.children if child.spec.once}
        return states.get(name, "done") == "done" and name in self._ran

    def _start(self, child: Child) -> None:
        try:
            child.start(lambda: self._events.put("output ended"))
        except OSError as error:
            self._later(child, text("up.cannot_start", why=error))

    def _runs(self, child: Child) -> None:
        child.to("running")
        if child.info.restarts:
            self.say(text("up.back", name=child.spec.name))
        if child.spec.name not in self._ran:
            self._ran.add(child.spec.name)
            self._write()
            self._on_running(child.spec.name)

    def _after_end(self, child: Child, code: int) -> None:
        if child.spec.once:
            child.to("done" if code == 0 else "failed")
            self._on_done(child.spec.name, code)
            return
        if code > 0:
            child.log.show_last()
        self._later(child, text("up.signal", number=-code) if code < 0 else text("up.exit_code", code=code))

    def _later(self, child: Child, how: str) -> None:
        wait = BACKOFF_S[min(child.failures, len(BACKOFF_S) - 1)]
        child.failures += 1
        child.info.restarts += 1
        child.next_start = time.monotonic() + wait
        child.to("backoff")
        self.say(text("up.ended", name=child.spec.name, how=how, seconds=f"{wait:g}", log=child.log.path))

    def _stop_all(self) -> None:
        if any(child.process for child in self.children):
            self.say(text("up.stopping"))
        hurry = False
        for child in reversed(self.children):
            child.terminate()
            end = time.monotonic() + STOP_S
            while child.process is not None and child.ended() is None:
                hurry = hurry or self._told_again()
                if hurry or time.monotonic() > end:
                    if not hurry:
                        self.say(text("up.killed", name=child.spec.name, seconds=f"{STOP_S:g}"))
                    child.kill()
                time.sleep(0.02)
            child.to("stopped")
            child.log.close()
        with contextlib.suppress(OSError):
            run_file(self.data).unlink(missing_ok=True)

    def _told_again(self) -> bool:
        with contextlib.suppress(queue.Empty):
            return self._events.get_nowait() == "stop"
        return False

    def _write(self) -> None:
        content = msgspec.json.encode(self.info)
        if content == self._written:
            return
        try:
            write_private(run_file(self.data), content)
        except OSError as error:
            if not self._write_failed:
                self.say(text("up.state_lost", file=run_file(self.data), why=error.strerror))
            self._write_failed = True
            return
        self._written, self._write_failed = content, False


def _stop_signals() -> list[signal.Signals]:
    names = ["SIGINT", "SIGTERM", "SIGBREAK"]  # the last is Windows' Ctrl-Break
    if os.name != "nt" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means to stay
        names.append("SIGHUP")
    return [signal.Signals[name] for name in names if name in signal.Signals.__members__]


def _end_with_parent(parent: int) -> Callable[[], None]:
    """For the child between fork and exec: have the kernel send it SIGTERM when this process is gone (Linux)."""
    import ctypes

    prctl = ctypes.CDLL(None).prctl

    def tie() -> None:
        prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # gone before the call
            os._exit(1)

    return tie
