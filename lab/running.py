"""What `lab up` is running on a data directory: `run/lab.json`, and the lock that only a living supervisor holds."""

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Literal

import msgspec

PATIENCE_S: Final = 5.0
"""A lock that is held for longer is not waited for."""


class ProcessInfo(msgspec.Struct):
    """One supervised process as `lab up` sees it."""

    name: str
    state: Literal["waiting", "starting", "running", "backoff", "done", "failed", "stopped"]
    pid: int | None = None
    restarts: int = 0
    since: float = 0.0
    """Epoch seconds of the last change of state."""
    exit_code: int | None = None
    """Of its last end; negative for a signal."""
    log: str = ""


class RunInfo(msgspec.Struct):
    """`{data}/run/lab.json`: what `lab up` runs, with the ports in effect."""

    pid: int
    version: str
    started: float
    """Epoch seconds."""
    data_dir: str
    broker_kind: Literal["mosquitto", "amqtt", "external"]
    broker_version: str
    broker_host: str
    broker_port: int
    api_host: str
    api_port: int
    processes: list[ProcessInfo] = []

    @property
    def url(self) -> str:
        """Where the page is, as seen from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self.api_host, self.api_host)
        return f"http://[{host}]:{self.api_port}/" if ":" in host else f"http://{host}:{self.api_port}/"


class AlreadyRunning(Exception):
    """Another supervisor holds the data directory."""


def run_file(data_dir: Path | str) -> Path:
    """Where the supervisor writes what is running."""
    return Path(data_dir) / "run" / "lab.json"


def running(data_dir: Path | str) -> RunInfo | None:
    """What `lab up` is running on a data directory; None when nothing is, or its supervisor was killed."""
    try:
        info = msgspec.json.decode(run_file(data_dir).read_bytes(), type=RunInfo)
    except (OSError, msgspec.DecodeError):  # not there, or of another version of the lab
        return None
    return info if pid_alive(info.pid) and _lock_held(lock_file(data_dir)) else None


def write_private(file: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by its owner alone.

    Raises:
        OSError: the folder cannot be written.
    """
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(content)
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def pid_alive(pid: int) -> bool:
    """Whether a process with this id exists (it may be another one if the id was used again)."""
    if os.name == "nt":
        import ctypes

        kernel = ctypes.windll.kernel32  # type: ignore[attr-defined, unused-ignore]
        handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        if not handle:
            return False
        code = ctypes.c_ulong()
        kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        kernel.CloseHandle(handle)
        return code.value == 259  # STILL_ACTIVE
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def lock_file(data_dir: Path | str) -> Path:
    """The file whose lock the supervisor holds while it lives; the file itself stays."""
    return Path(data_dir) / "run" / "lock"


class Lock:
    """The operating system's lock on a data directory: it goes with the process, also after kill -9."""

    def __init__(self, data_dir: Path) -> None:
        """Take the lock.

        Raises:
            AlreadyRunning: another process holds it.
            OSError: the folder cannot be written, or its file system has no locks.
        """
        file = lock_file(data_dir)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file.open("ab")
        try:
            for _ in range(5):
                if _try_lock(self._file, exclusive=True):
                    return
                time.sleep(0.05)  # somebody may only be looking, see `_lock_held`
            raise AlreadyRunning(str(data_dir))
        except BaseException:
            self._file.close()
            raise

    def release(self) -> None:
        """Let go of the lock; safe to call twice."""
        self._file.close()


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Do something for which other processes wait that want to do it too: they hold the lock of the same file.

    It is to be done soon: nobody waits longer than `PATIENCE_S`. Where the file cannot be locked, it is done anyway.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            handle = stack.enter_context(file.open("ab"))
            until = time.monotonic() + PATIENCE_S
            while not _try_lock(handle, exclusive=True) and time.monotonic() < until:
                time.sleep(0.01)
        yield


def _lock_held(file: Path) -> bool:
    """Whether somebody holds the lock; without a lock file (a hand-made lab.json) the process id must do."""
    try:
        with file.open("rb") as handle:
            return not _try_lock(handle, exclusive=False)
    except FileNotFoundError:
        return True
    except OSError:  # not ours to open, or no locks here
        return True


def _try_lock(file: IO[bytes], *, exclusive: bool) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}:
            return False
        raise
    return True


def stop_event() -> threading.Event:
    """An event that SIGTERM, Ctrl-C and, on Windows, Ctrl-Break set; for the main thread of a command to wait on.

    The handler runs in the main thread, maybe while that is inside `wait` and holds the event's lock: setting the event
    there can lock up for ever, so a thread of its own sets it.
    """
    stop = threading.Event()
    for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
        if number := getattr(signal, name, None):
            signal.signal(number, lambda *_: threading.Thread(target=stop.set, daemon=True).start())
    return stop


def watch_parent(grace_s: float = 10.0) -> None:
    """End this process when its parent is gone: when its standard input, a pipe the parent holds, comes to its end.

    A pipe works on every system and notices kill -9. The process gets what a Ctrl-C or SIGTERM gives it, and `grace_s`
    seconds to finish its work before it is ended.
    """
    pipe = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)  # nothing else may read the pipe, nor a process of ours inherit it
    os.close(null)

    def wait() -> None:
        while os.read(pipe, 64):
            pass
        if os.name == "nt":
            signal.raise_signal(signal.SIGINT)
        else:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_s)
        os._exit(1)

    threading.Thread(target=wait, name="watch-parent", daemon=True).start()
