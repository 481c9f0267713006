"""What every benchmark's report shares: the facts of the machine, versions, tables, and small timing helpers."""

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "numba",
    "river",
    "orjson",
    "msgspec",
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
    "websockets",
    "paho-mqtt",
    "amqtt",
    "pyarrow",
    "influxdb-client",
)
PROGRAMS = {"mosquitto": ("mosquitto", "-h"), "influxd": ("influxd", "version")}


def machine() -> dict[str, str]:
    """Date, CPU model, cores, memory, system and Python, as text for a report."""
    return {
        "Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "CPU": cpu_model(),
        "Cores": str(os.cpu_count() or 1),
        "Memory": f"{memory_bytes() / 2**30:.1f} GiB",
        "System": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def cpu_model() -> str:
    """The processor's own name where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model", "Hardware") and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int:
    """Installed memory, 0 where the system does not say."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return 0


def versions() -> dict[str, str]:
    """Versions of the packages and programs that a figure may depend on; what is not installed is said so."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    for name, command in PROGRAMS.items():
        found[name] = program_version(*command)
    return found


def program_version(program: str, *arguments: str) -> str:
    """The first word with a digit and a dot that a program says of itself."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        return "not installed"
    answer = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=10, check=False)
    for word in (answer.stdout + answer.stderr).split():
        if any(c.isdigit() for c in word) and "." in word:
            return word.strip("(),")
    return "unknown"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; floats are shown with three significant digits."""

    def cell(value: object) -> str:
        return figure(value) if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def figure(value: float) -> str:
    """Three significant digits with thousands separated, never in powers of ten."""
    if value == 0 or value != value:
        return str(value)
    digits = max(0, 2 - int(f"{abs(value):e}".partition("e")[2]))
    return f"{round(value, digits):,.{digits}f}"


def cpu_per_call(call: Callable[[], object], at_least_s: float = 0.5, repeats: int = 3) -> float:
    """CPU seconds of this process for one call: the least of `repeats` runs, each at least so long of CPU time."""
    call()
    best = float("inf")
    for _ in range(repeats):
        calls = 0
        began = time.process_time()
        while time.process_time() - began < at_least_s / repeats:
            call()
            calls += 1
        best = min(best, (time.process_time() - began) / calls)
    return best


def say(line: str) -> None:
    """Progress on standard error, so that standard output is the report alone."""
    print(line, file=sys.stderr, flush=True)
