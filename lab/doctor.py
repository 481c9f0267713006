"""`lab doctor`: what is installed and in the way, each finding with how to mend it."""

import importlib.util
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import msgspec

from lab import __version__
from lab.broker import BrokerError, broker_facts, connect_code
from lab.config import Config, Settings
from lab.machine import SCARCE_BYTES, disk, port_holder, port_state
from lab.running import RunInfo, running
from lab.text import text

EARLIEST: Final = 1_735_689_600
"""2025-01-01, epoch seconds: a clock before it was never set."""
SLOW_SYNC_MS: Final = 50.0
CHECK_S: Final = 20.0
"""A database so large that its check takes longer is left half checked."""
FILES_WANTED: Final = 1024


class Finding(msgspec.Struct):
    """One thing looked at; `mend` says what to do unless all is well."""

    area: str
    state: Literal["ok", "warn", "fail"]
    text: str
    mend: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything, in the order in which a newcomer would meet it."""
    config = settings.config
    info = running(config.data)
    checks: list[Callable[[], list[Finding]]] = [
        _python,
        lambda: _extras(config),
        lambda: _broker(config, info),
        lambda: _ports(settings, info),
        _clock,
        lambda: _disk(config.data),
        lambda: _database(config.database),
        lambda: _models(config),
        lambda: _influx(config),
        lambda: _lab(info),
        _limits,
    ]
    return [finding for check in checks for finding in check()]


def _python() -> list[Finding]:
    # A checkout run without installing may meet any Python.
    old = tuple(sys.version_info) < (3, 11)
    words = text("doctor.python", version=platform.python_version(), lab=__version__, system=platform.platform())
    return [Finding("python", "fail" if old else "ok", words, text("doctor.python.mend") if old else "")]


def _extras(config: Config) -> list[Finding]:
    found = []
    for module, extra in (("influxdb_client", "influx"), ("numba", "numba")):
        if importlib.util.find_spec(module):
            found.append(Finding("extras", "ok", text("doctor.extra", name=extra)))
        elif extra == "influx" and config.historian.kind == "influx":
            mend = text("doctor.extra.mend", name=extra)
            found.append(Finding("extras", "fail", text("doctor.extra.needed", name=extra), mend))
        else:
            found.append(Finding("extras", "ok", text(f"doctor.extra.without.{extra}")))
    return found


def _broker(config: Config, info: RunInfo | None) -> list[Finding]:
    try:
        facts = broker_facts(config)
    except BrokerError as error:
        return [Finding("broker", "fail", str(error), text("doctor.broker.mend"))]
    broker = config.broker
    if facts.kind == "external":
        code = connect_code(broker.host, broker.port, 3.0, broker.username, broker.password)
        if code == 0:
            return [Finding("broker", "ok", text("doctor.broker.external", host=broker.host, port=broker.port))]
        key = "up.broker_silent" if code is None else "up.broker_refused"
        words = text(key, host=broker.host, port=broker.port, code=code)
        return [Finding("broker", "fail", words, text("doctor.broker.external.mend"))]
    if facts.kind == "mosquitto":
        found = [Finding("broker", "ok", text("doctor.broker.mosquitto", version=facts.version, program=facts.program))]
    else:
        words = text("doctor.broker.amqtt", version=facts.version)
        found = [Finding("broker", "warn", words, text("doctor.broker.mend"))]
    if info is not None:
        code = connect_code(info.broker_host, info.broker_port, 3.0, broker.username, broker.password)
        if code != 0:
            words = text("doctor.broker.silent", host=info.broker_host, port=info.broker_port)
            found.append(Finding("broker", "fail", words, text("doctor.logs.mend", folder=config.data / "logs")))
    return found


def _ports(settings: Settings, info: RunInfo | None) -> list[Finding]:
    found = []
    config = settings.config
    ours = {info.broker_port, info.api_port} if info else set()
    for field, part in (("broker.port", config.broker), ("api.port", config.api)):
        if part is config.broker and config.broker.kind == "external":
            continue
        state = port_state(part.host, part.port)
        if state == "free":
            found.append(Finding("ports", "ok", text("doctor.port.free", field=field, port=part.port)))
        elif state == "taken" and part.port in ours:
            found.append(Finding("ports", "ok", text("doctor.port.ours", field=field, port=part.port)))
        elif state == "taken" and field not in settings.given:
            holder = port_holder(part.port) or text("up.somebody")
            words = text("doctor.port.taken", field=field, port=part.port, holder=holder)
            found.append(Finding("ports", "ok" if info else "warn", words, text("doctor.port.mend")))
        else:
            holder = port_holder(part.port) or text("up.somebody")
            words = text(f"up.port_{state}", port=part.port, host=part.host, holder=holder)
            found.append(Finding("ports", "fail", words, text("doctor.port.mend")))
    return found


def _clock() -> list[Finding]:
    now = time.time()
    shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    if now < EARLIEST or now > EARLIEST + 50 * 365 * 86400:
        return [Finding("clock", "fail", text("doctor.clock.wrong", now=shown), text("doctor.clock.mend"))]
    synchronised = clock_synchronised()
    if synchronised is False:
        return [Finding("clock", "warn", text("doctor.clock.free", now=shown), text("doctor.clock.mend"))]
    key = "doctor.clock" if synchronised else "doctor.clock.unseen"
    return [Finding("clock", "ok", text(key, now=shown))]


def clock_synchronised() -> bool | None:
    """Whether the kernel's clock follows a time server (any of them sets the same flag); None where it does not say."""
    if sys.platform != "linux":
        return None
    import ctypes

    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # struct timex, modes 0: only read
    return None if state < 0 else state != 5  # TIME_ERROR


def _disk(data: Path) -> list[Finding]:
    there = next(folder for folder in (data.absolute(), *data.absolute().parents) if folder.is_dir())
    measured = disk(there)
    if measured.problem is not None and not measured.full:
        words = text("up.data_dir", data=data, why=measured.problem)
        return [Finding("disk", "fail", words, text("doctor.disk.rights"))]
    facts = {"data": data.absolute(), "free": f"{measured.free / 1e9:.1f}", "ms": f"{measured.sync_ms:.1f}"}
    if measured.full:
        return [Finding("disk", "fail", text("doctor.disk.full", **facts), text("doctor.disk.mend"))]
    if measured.free < SCARCE_BYTES:
        return [Finding("disk", "warn", text("doctor.disk", **facts), text("doctor.disk.mend"))]
    if measured.sync_ms > SLOW_SYNC_MS:
        return [Finding("disk", "warn", text("doctor.disk", **facts), text("doctor.disk.slow"))]
    return [Finding("disk", "ok", text("doctor.disk", **facts))]


def _database(file: Path) -> list[Finding]:
    if not file.exists():
        return [Finding("database", "ok", text("doctor.database.none"))]
    size = f"{file.stat().st_size / 1e6:.1f}"
    mend = text("doctor.database.mend", file=file)
    end = time.monotonic() + CHECK_S
    try:
        db = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            db.set_progress_handler(lambda: time.monotonic() > end, 100_000)
            result = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
        finally:
            db.close()
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return [
                Finding("database", "ok", text("doctor.database.large", file=file, mb=size, seconds=f"{CHECK_S:g}"))
            ]
        return [Finding("database", "fail", text("doctor.database.broken", file=file, why=error), mend)]
    except sqlite3.DatabaseError as error:
        return [Finding("database", "fail", text("doctor.database.broken", file=file, why=error), mend)]
    if result != "ok":
        return [Finding("database", "fail", text("doctor.database.broken", file=file, why=result), mend)]
    return [Finding("database", "ok", text("doctor.database", file=file, mb=size))]


def _models(config: Config) -> list[Finding]:
    """Models that were learned and have no file; an older lab, and one that has learned nothing, do not say."""
    try:
        db = sqlite3.connect(f"{config.database.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            names = [name for (name,) in db.execute("SELECT name FROM unsaved ORDER BY name")]
        finally:
            db.close()
    except sqlite3.Error:
        return []
    mend = text("doctor.model.mend", folder=config.models)
    return [Finding("models", "warn", text("doctor.model.unsaved", file=config.models / name), mend) for name in names]


def _influx(config: Config) -> list[Finding]:
    if config.historian.kind != "influx":
        return []
    url = config.historian.url.rstrip("/")
    try:
        with urlopen(f"{url}/ping", timeout=5) as answer:  # the same path on 1.8, 2 and 3
            version = answer.headers.get("X-Influxdb-Version", "?")
    except (HTTPError, URLError, OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        return [Finding("influx", "fail", text("doctor.influx.silent", url=url, why=why), text("doctor.influx.mend"))]
    return [Finding("influx", "ok", text("doctor.influx", url=url, version=version))]


def _lab(info: RunInfo | None) -> list[Finding]:
    if info is None:
        return [Finding("lab", "ok", text("doctor.lab.none"))]
    found = [Finding("lab", "ok", text("doctor.lab", url=info.url, pid=info.pid, version=info.version))]
    for process in info.processes:
        if process.state in {"backoff", "failed"}:
            words = text("doctor.lab.down", name=process.name, restarts=process.restarts, code=process.exit_code)
            found.append(Finding("lab", "fail", words, text("doctor.lab.mend", log=process.log)))
        elif process.restarts:
            words = text("doctor.lab.restarted", name=process.name, restarts=process.restarts)
            found.append(Finding("lab", "warn", words, text("doctor.lab.mend", log=process.log)))
    try:
        with urlopen(f"{info.url}healthz", timeout=5):
            pass
    except HTTPError as error:
        with error:
            reasons = error.read(2000).decode("utf-8", "replace")
        words = text("doctor.lab.ill", url=f"{info.url}healthz", why=reasons)
        found.append(Finding("lab", "warn", words, text("doctor.logs.mend", folder=Path(info.data_dir) / "logs")))
    except OSError as error:
        words = text("doctor.lab.silent", url=info.url, why=getattr(error, "reason", error))
        found.append(Finding("lab", "fail", words, text("doctor.logs.mend", folder=Path(info.data_dir) / "logs")))
    return found


def _limits() -> list[Finding]:
    if os.name == "nt":
        return []
    import resource

    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < FILES_WANTED:
        return [Finding("limits", "warn", text("doctor.files.few", files=files), text("doctor.files.mend", most=most))]
    return [Finding("limits", "ok", text("doctor.files", files=files))]
