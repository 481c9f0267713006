"""How the lab itself is: the proof, the quarantine, what runs, the texts, health and metrics."""

import asyncio
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import Path as PathParameter
from fastapi import Query, Request
from starlette.responses import PlainTextResponse, Response

from api import queries, schema
from api.bus import SILENT_S
from api.context import Context, api_router, context
from api.problems import Problem, bad_field, language_of
from api.schema import answer, documented
from api.times import iso
from lab import __version__
from lab.quarantine import REASONS
from lab.running import running
from lab.text import catalogue, text

PACKAGES: Final = ("fastapi", "uvicorn", "paho-mqtt", "numpy", "orjson", "msgspec")

FULL_BYTES: Final = 8 * 2**20
"""With less room on the disk its writers fail one after the other, the gateways' spools perhaps first."""

router = api_router("status")
probes = api_router("status", prefix="")

_ACCOUNT: Final = {
    "published": 1200,
    "accepted": 1199,
    "duplicates": 1,
    "rejected": 0,
    "missing": 0,
    "unsequenced": 0,
    "forks": 0,
    "proof": True,
}


@router.get(
    "/ledger",
    summary="api.op.ledger",
    response_model=schema.LedgerAnswer,
    responses=documented(
        {
            "gateways": [
                {
                    "gateway": "tep-1",
                    "boot": 7,
                    "state": "online",
                    **_ACCOUNT,
                    "missing_ranges": [],
                    "upto": 1198,
                    "seen": "2026-01-01T00:00:00.000Z",
                    "skew_ms": 0.4,
                }
            ],
            "totals": _ACCOUNT,
        },
        "not-started",
        "historian",
    ),
)
async def get_ledger(request: Request) -> Response:
    return answer(await context(request).readers.run(queries.ledger))


@router.get(
    "/quarantine",
    summary="api.op.quarantine",
    response_model=schema.QuarantineAnswer,
    responses=documented(
        {
            "entries": [
                {
                    "id": 12,
                    "at": "2026-01-01T00:00:00.000Z",
                    "topic": "lab/v1/kyushu/lab/demo/line1/pump-2/data",
                    "reason": "bad_length",
                    "detail": "5 values for 2 channels",
                    "count": 1,
                    "payload": '{"b":8,"s":12,"h":"9f86d081884c7d65","v":[1,2,3,4,5]}',
                }
            ],
            "next": None,
        },
        "invalid",
        "not-started",
        "historian",
    ),
)
async def get_quarantine(
    request: Request,
    reason: Annotated[str | None, Query(description="api.param.reason", examples=["bad_length"])] = None,
    limit: Annotated[int, Query(description="api.param.limit", ge=1, le=500, examples=[50])] = 50,
    cursor: Annotated[str | None, Query(description="api.param.cursor", max_length=20)] = None,
) -> Response:
    if reason is not None and reason not in REASONS:
        raise bad_field("reason", "choice", choices=", ".join(REASONS))
    if cursor is not None and not re.fullmatch(r"\d{1,18}", cursor, re.ASCII):
        raise bad_field("cursor", "cursor")
    before = int(cursor) if cursor else None
    job = partial(queries.quarantine, reason=reason, limit=limit, cursor=before)
    return answer(await context(request).readers.run(job))


@router.get(
    "/system",
    summary="api.op.system",
    response_model=schema.SystemAnswer,
    responses=documented(
        {
            "processes": [{"name": "collector", "state": "running", "pid": 4001, "restarts": 0}],
            "broker": {
                "kind": "mosquitto",
                "version": "2.0.18",
                "host": "127.0.0.1",
                "port": 1883,
                "connected": True,
            },
            "historian": {
                "kind": "embedded",
                "readings": 8912331,
                "sensors": 66,
                "bytes_on_disk": 21400000,
                "bytes_written": 32000000,
                "oldest": "2026-01-01T00:00:00.000Z",
                "newest": "2026-01-02T00:00:00.000Z",
            },
            "memory_mb": 68.2,
            "clients": 3,
            "versions": {"lab": "0.1.0", "python": "3.11.7"},
        },
        "historian",
    ),
)
async def get_system(request: Request) -> Response:
    lab = context(request)
    info = await asyncio.to_thread(running, lab.config.data)
    try:
        stats = await lab.readers.run(queries.historian_stats)
    except Problem as problem:
        if problem.code != "not-started":
            raise
        stats = None
    broker = lab.config.broker
    return answer(
        {
            "processes": [
                {"name": each.name, "state": each.state, "pid": each.pid, "restarts": each.restarts}
                for each in (info.processes if info else [])
            ],
            "broker": {
                "kind": info.broker_kind if info else broker.kind,
                "version": info.broker_version if info else "",
                "host": broker.host,
                "port": broker.port,
                "connected": lab.bus.connected,
            },
            "historian": stats
            and {
                "kind": lab.config.historian.kind,
                "readings": stats.readings,
                "sensors": stats.sensors,
                "bytes_on_disk": stats.bytes_on_disk,
                "bytes_written": stats.bytes_written,
                "oldest": iso(stats.oldest),
                "newest": iso(stats.newest),
            },
            "memory_mb": memory_mb(),
            "clients": len(lab.hub.clients),
            "versions": versions(),
        }
    )


@cache
def versions() -> dict[str, str]:
    """Versions of the lab, of Python and of the packages that serve the API."""
    return {"lab": __version__, "python": platform.python_version()} | {
        name: metadata.version(name) for name in PACKAGES
    }


def memory_mb() -> float | None:
    """Resident memory of this process, MiB; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@router.get(
    "/text/{lang}",
    summary="api.op.text",
    response_model=dict[str, str],
    responses=documented({"page.assets": "Assets"}, "invalid"),
)
async def get_text(lang: Annotated[Literal["en", "ja"], PathParameter(description="api.param.lang")]) -> Response:
    return Response(texts(lang), media_type="application/json")


@cache
def texts(lang: str) -> bytes:
    """The catalogue in one language, encoded."""
    return orjson.dumps({key: entry[lang] for key, entry in catalogue().items()})


@probes.get(
    "/healthz",
    summary="api.op.health",
    response_model=schema.Healthy,
    responses=documented({"status": "ok"}, "unhealthy"),
)
async def get_health(request: Request) -> Response:
    reasons = ailments(context(request))
    if reasons:
        lang = language_of(request.scope)
        listed = [{"code": code, "detail": text(key, lang, **values)} for code, key, values in reasons]
        raise Problem("unhealthy", extra={"reasons": listed})
    return answer({"status": "ok"})


def ailments(lab: Context) -> list[tuple[str, str, dict[str, object]]]:
    """What keeps the lab from working: a code, the key of its text, the text's values."""
    found: list[tuple[str, str, dict[str, object]]] = []
    broker = lab.config.broker
    if not lab.bus.connected:
        key = "api.broker_refused" if lab.bus.refused else "api.broker"
        found.append(("broker", key, {"host": broker.host, "port": broker.port, "why": lab.bus.refused}))
    if lab.bus.silent_s > SILENT_S:
        found.append(("collector", "api.silent", {"seconds": round(lab.bus.silent_s)}))
    store = lab.bus.collector.get("store")
    if isinstance(store, dict) and store.get("ok") is False:
        found.append(("store", "api.store", {"detail": store.get("detail", "")}))
    if (free := room(lab.config.data)) is not None and free < FULL_BYTES:
        found.append(("disk", "api.disk", {"free": f"{free / 2**20:.1f}", "folder": str(lab.config.data)}))
    if not lab.config.database.is_file():
        found.append(("database", "api.no_database", {"file": str(lab.config.database)}))
    return found


def room(folder: Path) -> int | None:
    """Free bytes on a folder's disk; None when it cannot be said."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


@probes.get(
    "/metrics",
    summary="api.op.metrics",
    response_class=PlainTextResponse,
    responses=documented("lab_api_clients 3\n", media_type="text/plain"),
)
async def get_metrics(request: Request) -> Response:
    lab = context(request)
    lines = list(metrics(lab))
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4; charset=utf-8")


def metrics(lab: Context) -> Iterator[str]:
    """Prometheus' text format: the API's own numbers, then every number of the collector's status."""
    own: dict[str, tuple[str, float | None]] = {
        "lab_api_clients": ("gauge", len(lab.hub.clients)),
        "lab_api_frames_total": ("counter", lab.hub.received),
        "lab_api_dropped_frames_total": ("counter", lab.hub.dropped),
        "lab_api_bad_messages_total": ("counter", lab.hub.bad + lab.bus.bad),
        "lab_api_broker_connected": ("gauge", int(lab.bus.connected)),
        "lab_api_disk_free_bytes": ("gauge", room(lab.config.data)),
        "lab_api_collector_silent_seconds": ("gauge", round(lab.bus.silent_s, 3)),
        "process_cpu_seconds_total": ("counter", time.process_time()),
        "process_resident_memory_bytes": ("gauge", None if (mb := memory_mb()) is None else round(mb * 2**20)),
    }
    for name, (kind, value) in own.items():
        if value is not None:
            yield f"# TYPE {name} {kind}"
            yield f"{name} {value}"
    yield from _flat("lab_collector", lab.bus.collector)


LABELS: Final = {"quarantine": "reason", "clocks_off": "gateway"}
"""Tables of the collector's status whose keys are data, not names."""


def _flat(prefix: str, tree: Mapping[str, Any]) -> Iterator[str]:
    for key, value in tree.items():
        name = f"{prefix}_{re.sub(r'[^A-Za-z0-9_]', '_', str(key))}"
        if isinstance(value, bool | int | float):
            yield f"{name} {int(value) if isinstance(value, bool) else value!r}"
        elif isinstance(value, dict) and key in LABELS:
            for label, number in value.items():
                if isinstance(number, int | float):
                    yield f"{name}{{{LABELS[key]}={json.dumps(str(label))}}} {number!r}"
        elif isinstance(value, dict):
            yield from _flat(name, value)
