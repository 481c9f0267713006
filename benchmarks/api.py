"""The API: CPU of a history answer against FastAPI's default encoder, and of one frame to many viewers at 5 Hz.

The server runs in a process of its own and says itself how much CPU it has used (`/metrics`), so the load generator,
which shares the cores, does not spoil the figure. Rates do suffer from it: compare CPU and ratios.
"""

import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.report import say, table

SECONDS = 2.5
CONNECTIONS = 8
HZ = 5.0
SENSORS = 53
SERIES = "/api/v1/series?sensors=tep-1/xmeas_9&from=-1h&points=500"


def run() -> str:
    """Both measurements, as Markdown."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        port = _free_port()
        command = [sys.executable, "-m", "benchmarks.api", folder, str(port)]
        root = Path(__file__).resolve().parent.parent
        with subprocess.Popen(
            command, cwd=root, env=os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        ) as server:
            try:
                return asyncio.run(_measure(port))
            finally:
                server.terminate()


async def _measure(port: int) -> str:
    await _until_up(port)
    await _get(port, SERIES)
    small = await _memory(port)
    answers = []
    for name, path in (
        ("this API: history read and encoded", SERIES),
        ("same history, FastAPI's default encoder", "/bench/default"),
        ("arrays in memory, this API's encoder", "/bench/fast"),
        ("arrays in memory, FastAPI's default encoder", "/bench/slow"),
        ("arrays in memory, FastAPI with a response model", "/bench/model"),
        ("no route work at all (an empty answer)", "/bench/empty"),
    ):
        say(f"  {name}")
        answers.append((name, *await _answers(port, path)))
    viewers = []
    for kind in ("websocket", "sse"):
        for count in (30, 300):
            say(f"  {count} x {kind}")
            viewers.append((kind, count, *await _viewers(port, kind, count)))
    full = await _memory(port)
    cpu = {name: ms for name, _, ms, _ in answers}
    first, second, third, fourth, model, _ = cpu.values()
    share = f"to every viewer at {HZ:.0f} Hz, {SECONDS:g} s each"
    return "\n".join(
        (
            f"One answer of 500 points ({answers[0][3]:,} bytes), {CONNECTIONS} connections, {SECONDS:g} s each.\n",
            table(
                ("answer", "answers/s", "server CPU per answer, ms"),
                [(name, rate, ms) for name, rate, ms, _ in answers],
            ),
            f"CPU per answer, default encoder over this API: **{second / first:.1f} times** with the history read, "
            f"**{fourth / third:.1f} times** from memory (goal: 10); a response model over this API: "
            f"{model / third:.1f} times.\n",
            f"One frame of {SENSORS} sensors ({len(_frame()):,} bytes) {share}.\n",
            table(
                ("viewers", "number", "CPU, % of a core", "frames each", "delay p50, ms", "delay p99, ms"),
                viewers,
            ),
            f"Resident memory of the server: {small:.0f} MiB after its first answer (goal: 75), "
            f"{full:.0f} MiB after all of this.\n",
        )
    )


async def _answers(port: int, path: str) -> tuple[float, float, int]:
    """Answers a second, server CPU for one in ms, and the size of one."""
    size = len(await _get(port, path))
    request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode()
    done = 0

    async def ask() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            writer.write(request)
            await _body(reader)
            done += 1
        writer.close()
        await writer.wait_closed()

    before = await _metrics(port)
    began = time.perf_counter()
    end = began + SECONDS
    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    took = time.perf_counter() - began
    after = await _metrics(port)
    return done / took, (after[CPU] - before[CPU]) / done * 1000, size


CPU = "process_cpu_seconds_total"


async def _viewers(port: int, kind: str, count: int) -> tuple[float, float, float, float]:
    """Server CPU in percent of a core, frames each viewer got, and their delay in ms (median, 99th percentile)."""
    head = {
        "websocket": (
            f"GET /api/v1/live HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ),
        "sse": f"GET /api/v1/live.sse HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n",
    }[kind].encode()
    delays: list[float] = []
    frames = [0] * count

    async def watch(n: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        writer.write(head)
        await reader.readuntil(b"\r\n\r\n")
        try:
            while True:
                # Every frame ends with the time at which it was made.
                sent = (await reader.readuntil(b"}#"))[-19:-2]
                frames[n] += 1
                delays.append(time.time() - float(sent))
        finally:
            writer.close()

    tasks = [asyncio.create_task(watch(n)) for n in range(count)]
    while (await _metrics(port))["lab_api_clients"] < count:
        await asyncio.sleep(0.05)
    await _get(port, "/bench/start")
    await asyncio.sleep(0.5)
    delays.clear()
    frames[:] = [0] * count
    before, began = await _metrics(port), time.perf_counter()
    await asyncio.sleep(SECONDS)
    after, took = await _metrics(port), time.perf_counter() - began
    await _get(port, "/bench/stop")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    while (await _metrics(port))["lab_api_clients"]:
        await asyncio.sleep(0.05)
    cut = statistics.quantiles(delays, n=100)
    return (after[CPU] - before[CPU]) / took * 100, statistics.fmean(frames), cut[49] * 1000, cut[98] * 1000


async def _until_up(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            await _get(port, "/bench/empty")
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("the server did not start")


async def _metrics(port: int) -> dict[str, float]:
    lines = (await _get(port, "/metrics")).decode().splitlines()
    return {name: float(value) for name, value in (line.split() for line in lines if not line.startswith("#"))}


async def _memory(port: int) -> float:
    """Resident memory of the server, MiB."""
    return (await _metrics(port))["process_resident_memory_bytes"] / 2**20


async def _get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode())
    body = await _body(reader)
    writer.close()
    await writer.wait_closed()
    return body


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode())
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return await reader.readexactly(int(length.partition(b":")[2]))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


# --- the server's side ---


def _frame() -> bytes:
    values = np.round(100 + 30 * np.sin(np.arange(SENSORS) ** 2.0), 3).tolist()
    asset = {
        "t": 1764000000100,
        "v": values,
        "q": {},
        "score": 1.31,
        "limit": 1.0,
        "alarm": True,
        "warm": True,
        "stats": {"t2": 0.4, "spe": 1.3},
        "top": [[f"xmeas_{n}", 0.2] for n in range(5)],
        "online": True,
        "age_s": 0.2,
    }
    now = time.time()
    frame = orjson.dumps({"id": int(now * 1000), "t": "2026-01-01T00:00:00.000Z", "assets": {"tep-1": asset}})
    return frame[:-1] + b',"made":"%.6f}#"}' % now


def serve(folder: str, port: int) -> None:
    """The API with a history of 500 readings, and beside it the routes it is compared with."""
    import uvicorn
    from fastapi import Response

    from api.app import create
    from api.context import Context
    from api.schema import SeriesAnswer, answer
    from lab.config import Config
    from lab.historian import open_historian
    from lab.historian.base import Batch
    from lab.store import Store

    config = Config(data_dir=folder)
    config.broker.kind, config.broker.port = "external", _free_port()
    store = Store(config.database, synchronous="NORMAL")
    historian = open_historian(config, store)
    now = time.time_ns()
    times = now - np.arange(500, 0, -1, dtype=np.int64) * 10**9
    (sensor,) = historian.ids(["tep-1/xmeas_9"])
    values = 120.4 + 0.01 * np.sin(np.arange(500.0) ** 2)  # not `numpy.random`, which the lab's API never loads
    historian.write(Batch(np.full(500, sensor, np.int32), times, values, np.zeros(500, np.uint8)))
    historian.close()
    store.close()

    app = create(config)
    keys = ("t", "v", "lo", "hi")
    arrays = dict(zip(keys, (times // 10**6, values, values, values), strict=True))
    lists = {name: array.tolist() for name, array in arrays.items()}
    task: asyncio.Task[None] | None = None

    @app.get("/bench/default")
    async def default():
        end = time.time_ns()

        def read(reader: Any) -> Any:
            course = reader.historian.read(["tep-1/xmeas_9"], end - 3600 * 10**9, end, 500)["tep-1/xmeas_9"]
            columns = zip(keys, (course.t // 10**6, course.v, course.lo, course.hi), strict=True)
            return {"series": {"tep-1/xmeas_9": {name: column.tolist() for name, column in columns}}}

        context: Context = app.state.context
        return await context.readers.run(read)

    @app.get("/bench/fast")
    async def fast() -> Response:
        return answer({"series": {"tep-1/xmeas_9": arrays}})

    @app.get("/bench/slow")
    async def slow():
        return {"series": {"tep-1/xmeas_9": lists}}

    @app.get("/bench/model", response_model=SeriesAnswer)
    async def model() -> Any:
        return {"from": 0, "to": 1, "series": {"tep-1/xmeas_9": {**lists, "raw": True}}}

    @app.get("/bench/empty")
    async def empty() -> Response:
        return Response(b"{}", media_type="application/json")

    async def publish() -> None:
        context: Context = app.state.context
        while True:
            context.hub.publish(_frame())
            await asyncio.sleep(1 / HZ)

    @app.get("/bench/start")
    async def start() -> Response:
        nonlocal task
        task = asyncio.create_task(publish())
        return Response(b"{}")

    @app.get("/bench/stop")
    async def stop() -> Response:
        if task is not None:
            task.cancel()
        return Response(b"{}")

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
