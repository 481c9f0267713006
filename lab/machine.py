"""What this machine has to offer, and how it is used: free ports and who holds others, room on the disk, threads."""

import contextlib
import errno
import os
import shutil
import socket
import time
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

PortState = Literal["free", "taken", "denied", "no_address"]

NEEDED_BYTES = 200 * 1024**2
"""With less room than this nothing is started: a database that cannot commit helps nobody."""
SCARCE_BYTES = 2 * 1024**3


class Disk(NamedTuple):
    """A folder's disk. `problem` is None or why the folder cannot be used (the system's words)."""

    free: int
    total: int
    sync_ms: float
    """Time to write 4 KiB and have it on the disk: a commit costs about that."""
    problem: str | None
    full: bool = False


def one_thread() -> None:
    """Let the linear algebra library use one thread, unless the environment says otherwise; before NumPy is imported.

    The arrays are small: its threads would wait for each other, and on a busy machine take ten times as long.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")


@cache
def same_sums() -> None:
    """Let it use one thread whatever the environment says, and where NumPy is there already.

    What several threads add up differs in its last digits, and with it the scores of rows that lack values.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, "blas")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine only."""
    return host in {"localhost", "::1"} or host.startswith("127.")


def port_state(host: str, port: int) -> PortState:
    """Whether a server could listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        return "no_address"
    if is_loopback(host) and _answers(host, port):
        return "taken"  # a wildcard listener; some systems would let us bind beside it
    with socket.socket(family, kind, protocol) as probe:
        if os.name != "nt":  # there it would mean to share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except PermissionError:
            return "taken" if os.name == "nt" else "denied"
        except OSError as error:
            return "no_address" if error.errno == errno.EADDRNOTAVAIL else "taken"
    return "free"


def next_free_port(host: str, port: int, avoid: frozenset[int] = frozenset()) -> int | None:
    """The first free port from `port` on, within a hundred."""
    for candidate in range(port, min(port + 100, 65536)):
        if candidate not in avoid and port_state(host, candidate) == "free":
            return candidate
    return None


def port_holder(port: int) -> str | None:
    """Name and process id of what listens on a TCP port, `mosquitto (pid 612)`; None where it cannot be seen.

    Read from Linux's /proc, where only one's own processes show (all of them for root).
    """
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:  # 0A: listening
                inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return None
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in inodes:
                process = link.parent.parent
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:  # not ours to see, or gone meanwhile
            continue
    return None


def disk(folder: Path) -> Disk:
    """Measure a folder's disk by writing a small file into it; the folder is made when it is not there."""
    probe = folder / f".write-test-{os.getpid()}"
    free = total = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usage = shutil.disk_usage(folder)
        free, total = usage.free, usage.total
        with probe.open("wb") as file:
            started = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            sync_ms = (time.perf_counter() - started) * 1000
        probe.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error says more
            probe.unlink(missing_ok=True)
        full = error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
        return Disk(free, total, 0.0, error.strerror or str(error), full)
    return Disk(free, total, sync_ms, None, free < NEEDED_BYTES)


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False
