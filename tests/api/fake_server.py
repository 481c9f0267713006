"""The fake lab behind the paths of the public API, with the pages.

python -m tests.api.fake_server 8080 [empty]
"""

import asyncio
import atexit
import contextlib
import math
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from api import corrosion
from api.context import Context
from api.problems import Problem, on_http_exception, on_validation_error
from lab.corrosion.desk import Desk
from lab.corrosion.template import example
from lab.text import catalogue
from tests.api.fake_lab import PERIOD_S, FakeLab, iso, statistics

PAGES = Path(__file__).resolve().parents[2] / "api" / "pages"
CSP = "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Answer(Response):
    """JSON through orjson."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Bytes of the body."""
        return orjson.dumps(content)


def moment(text: str | None, default: float) -> float:
    """Epoch seconds of a `from` or `to`."""
    if not text:
        return default
    if text.startswith("-"):
        return time.time() - float(text[1:-1]) * UNITS[text[-1]]
    return float(text) / 1000 if text.isdigit() else datetime.fromisoformat(text).timestamp()


def problem(status: int, title: str, detail: str, path: str) -> Response:
    """A problem document."""
    body = {"type": f"/problems/{status}", "title": title, "status": status, "detail": detail, "instance": path}
    return Response(orjson.dumps(body), status, media_type="application/problem+json")


def course(at: Callable[[float], float | None], t0: float, t1: float, points: int) -> dict[str, Any]:
    """A stretch of a function of time as `GET series` gives one: raw, or decimated to `points`."""
    step = max(PERIOD_S, (t1 - t0) / points)
    raw = step <= PERIOD_S
    out: dict[str, Any] = {"t": [], "v": [], "lo": [], "hi": [], "raw": raw}
    t = t0 - t0 % PERIOD_S
    while t < t1:
        read = [at(t)] if raw else [at(t + step * k / 4) for k in range(4)]
        good = [value for value in read if value is not None]
        out["t"].append(int(t * 1000))
        out["v"].append(math.fsum(good) / len(good) if good else None)
        out["lo"].append(min(good, default=None))
        out["hi"].append(max(good, default=None))
        t += step
    return out


class Wire:
    """The live frames and who listens."""

    def __init__(self, lab: FakeLab) -> None:
        self.lab = lab
        self.sockets: set[WebSocket] = set()
        self.frames: list[tuple[int, str]] = []
        self.asked: list[str | None] = []
        """`after` of every connection made."""

    async def run(self) -> None:
        """Send a frame every period until cancelled."""
        while True:
            if not self.lab.silent:
                frame = self.lab.frame()
                text = orjson.dumps(frame).decode()
                self.frames = [*self.frames[-299:], (frame["id"], text)]
                for each in list(self.sockets):
                    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                        await each.send_text(text)
            await asyncio.sleep(PERIOD_S)

    async def serve(self, ws: WebSocket) -> None:
        """One viewer."""
        after = ws.query_params.get("after")
        self.asked.append(after)
        await ws.accept()
        if after:
            known = [number for number, _ in self.frames]
            missed = self.frames[known.index(int(after)) + 1 :] if int(after) in known else [(-1, '{"gap":true}')]
            for _, text in missed:
                await ws.send_text(text)
        self.sockets.add(ws)
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await ws.receive_text()
        self.sockets.discard(ws)

    async def cut(self) -> None:
        """Close every connection."""
        for each in list(self.sockets):
            self.sockets.discard(each)
            await each.close(1012)


def create_app(lab: FakeLab, wire: Wire) -> FastAPI:
    """The application."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(wire.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app = FastAPI(lifespan=lifespan, default_response_class=Answer)

    @app.middleware("http")
    async def headers(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["content-security-policy"] = CSP
        response.headers["cache-control"] = "no-cache"
        return response

    @app.get("/api/v1/text/{lang}")
    async def texts(lang: str) -> Answer:
        return Answer({key: entry[lang] for key, entry in catalogue().items()})

    @app.get("/api/v1/assets")
    async def assets() -> Answer:
        return Answer({"assets": [plant.summary() for plant in lab.plants]})

    @app.get("/api/v1/assets/{key}")
    async def asset(key: str, request: Request) -> Response:
        plant = lab.plant(key)
        if plant is None:
            return problem(404, "Not found", f"There is no asset {key!r}.", request.url.path)
        return Answer(plant.summary() | {"leading": [], "model": "fake"} | plant.explained())

    @app.get("/api/v1/assets/{key}/sensors")
    async def sensors(key: str, request: Request) -> Response:
        plant = lab.plant(key)
        if plant is None:
            return problem(404, "Not found", f"There is no asset {key!r}.", request.url.path)
        return Answer({"sensors": plant.channels()})

    @app.get("/api/v1/series")
    async def series(request: Request, sensors: str, points: int = 500) -> Answer:
        now = time.time()
        t1 = min(moment(request.query_params.get("to"), now), now)
        t0 = moment(request.query_params.get("from"), t1 - 900)
        out = {}
        for key in sensors.split(","):
            plant = lab.plant(key.split("/")[0])
            found = [each for each in plant.sensors if key == f"{plant.id}/{each.tag}"] if plant else []
            if plant and plant.online and found:
                out[key] = course(lambda t, s=found[0], p=plant: s.at(t, p.ill(t)), t0, t1, points)
            else:
                out[key] = {"t": [], "v": [], "lo": [], "hi": [], "raw": True}
        return Answer({"from": int(t0 * 1000), "to": int(t1 * 1000), "series": out})

    @app.get("/api/v1/assets/{key}/score")
    async def score(key: str, request: Request, points: int = 500) -> Answer:
        plant = lab.plant(key)
        if plant is None or not plant.warm or not plant.online:
            return Answer({"limit": None, "t": [], "score": [], "statistics": {}})
        now = time.time()
        data = course(plant.score, moment(request.query_params.get("from"), now - 900), now, points)
        charts = [statistics(v) for v in data["v"]]
        stats = {name: [chart[name] for chart in charts] for name in statistics(0)}
        return Answer({"limit": 1.0, "t": data["t"], "score": data["v"], "statistics": stats})

    @app.get("/api/v1/episodes")
    async def episodes(asset: str | None = None, limit: int = 50) -> Answer:
        rows = [row for plant in lab.plants for row in plant.episodes if asset in (None, plant.id)]
        rows.sort(key=lambda row: -row["start"])
        shown = [
            row | {"start": iso(row["start"]), "end": row["end"] and iso(row["end"]), "peak_at": iso(row["peak_at"]),
                   "duration_s": (row["end"] or time.time()) - row["start"]}
            for row in rows[:limit]
        ]  # fmt: skip
        return Answer({"episodes": shown, "next": "more" if len(rows) > limit else None})

    def lang(request: Request) -> str:
        return request.headers.get("accept-language", "en")[:2]

    @app.get("/api/v1/simulators")
    async def simulators(request: Request) -> Answer:
        return Answer({"simulators": [lab.simulator(lang(request))] if lab.plants else []})

    @app.get("/api/v1/simulators/{key}")
    async def simulator(key: str, request: Request) -> Answer:
        return Answer(lab.simulator(lang(request)))

    @app.post("/api/v1/simulators/{key}/{action}")
    async def command(key: str, action: str, request: Request) -> Response:
        body = await request.json()
        lab.posted.append((action, body))
        if lab.refuse:
            return problem(409, "Refused by the plant", lab.refuse, request.url.path)
        lab.command(action, body)
        return Answer({"id": "c1", "ok": True, "detail": "", "result": {}, "kind": "reply"})

    @app.post("/api/v1/episodes/{key}/cause")
    async def tell(key: str, request: Request) -> Response:
        body = await request.json()
        lab.posted.append((f"episodes/{key}/cause", body))
        if lab.refuse:
            return problem(422, "The collector refused", lab.refuse, request.url.path)
        lab.tell(key, body["cause"], body["kind"])
        return Answer({"episode": key, "cause": body["cause"], "library": "tep.causes.json"})

    @app.delete("/api/v1/episodes/{key}/cause")
    async def take_back(key: str) -> Response:
        lab.posted.append((f"episodes/{key}/cause", "taken back"))
        return Answer({"episode": key, "cause": lab.untell(lambda row: row["id"] == key)[0]})

    @app.get("/api/v1/assets/{key}/causes")
    async def causes(key: str) -> Answer:
        told = Counter(row["cause"] for plant in lab.plants for row in plant.episodes if row["told"])
        return Answer({"causes": [{"cause": cause, "name": cause, "episodes": n} for cause, n in told.items()]})

    @app.post("/api/v1/assets/{key}/causes/{action}")
    async def mend(key: str, action: str, request: Request) -> Response:
        body = await request.json()
        lab.posted.append((f"assets/{key}/causes/{action}", body))
        if lab.refuse:
            return problem(422, "The collector refused", lab.refuse, request.url.path)
        found = lab.untell(lambda row: row["cause"] == body["cause"], body.get("name"))
        return Answer({"cause": body.get("name"), "episodes": len(found)})

    @app.post("/api/v1/assets/{key}/accept")
    async def accept(key: str, request: Request) -> Response:
        lab.posted.append((f"assets/{key}/accept", {}))
        if lab.refuse:
            return problem(422, "The collector refused", lab.refuse, request.url.path)
        lab.accept(key)
        return Answer({"asset": key})

    @app.delete("/api/v1/assets/{key}/accept")
    async def unaccept(key: str) -> Answer:
        lab.posted.append((f"assets/{key}/accept", "undone"))
        plant = lab.plant(key)
        assert plant is not None
        plant.accepted = False
        return Answer({"asset": key})

    @app.get("/api/v1/ledger")
    async def ledger() -> Answer:
        return Answer(lab.ledger())

    @app.get("/api/v1/quarantine")
    async def quarantine() -> Answer:
        entry = {
            "id": 1, "at": iso(time.time() - 300), "topic": "lab/v1/kyushu/lab/demo/line1/sim-line-2/data",
            "reason": "unknown_schema", "detail": "the frame names its channels by a hash that no birth has announced",
            "count": 2, "payload": '{"b":8,"s":12,"h":"9f86d081884c7d65","t":1764000000.0,"v":[25.3]}',
        }  # fmt: skip
        return Answer({"entries": [entry] if lab.plants else [], "next": None})

    @app.get("/api/v1/system")
    async def system() -> Answer:
        names = ("broker", "collector", "api", "plant")
        now = time.time()
        return Answer({
            "processes": [{"name": n, "pid": 4000 + k, "state": "running", "restarts": int(k == 3)}
                          for k, n in enumerate(names)],
            "broker": {"kind": "mosquitto", "version": "2.0.18", "host": "127.0.0.1", "port": 1883, "connected": True},
            "historian": {"kind": "embedded", "readings": 8_912_331, "sensors": 66, "bytes_on_disk": 21_400_000,
                          "bytes_written": 31_000_000, "oldest": iso(now - 86400), "newest": iso(now)},
            "memory_mb": 96.0, "clients": len(wire.sockets), "versions": {"lab": "0.1.0", "python": "3.11.2"},
        })  # fmt: skip

    # The piping is the real one, on the example files.
    missing = cast(Any, None)
    app.state.context = Context(missing, cast(Any, NoHistory()), missing, missing, piping())
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.router.routes.extend(corrosion.router.routes)

    @app.websocket("/api/v1/live")
    async def live(ws: WebSocket) -> None:
        await wire.serve(ws)

    app.mount("/pages", StaticFiles(directory=PAGES), name="pages")

    @app.get("/")
    async def index() -> Response:
        return Response((PAGES / "index.html").read_bytes(), media_type="text/html; charset=utf-8")

    return app


class NoHistory:
    """Readers of a lab whose collector never ran."""

    async def run(self, job: Any) -> Any:
        """Say so."""
        raise Problem("not-started")


@cache
def piping() -> Desk:
    """The example piping in a folder of its own, assessed once for all servers of a process."""
    folder = Path(tempfile.mkdtemp(prefix="piping-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Desk(folder, lambda: (example(), 0))


class Server:
    """The fake lab served from a thread, on a free port unless told."""

    def __init__(self, lab: FakeLab, port: int = 0) -> None:
        self.lab = lab
        self.wire = Wire(lab)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        app = create_app(lab, self.wire)
        config = uvicorn.Config(app, log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        """Serve until told to exit."""
        asyncio.run(self.serve())

    async def serve(self) -> None:
        """Serve in this loop."""
        self.loop = asyncio.get_running_loop()
        await self.server.serve(sockets=[self.socket])

    def cut(self) -> None:
        """Close every live connection."""
        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(self.wire.cut(), self.loop).result(10)


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[Server]:
    """A running fake lab."""
    server = Server(FakeLab(**options))
    server.thread.start()
    while not server.server.started and server.thread.is_alive():
        time.sleep(0.02)
    try:
        yield server
    finally:
        server.server.should_exit = True
        server.thread.join(20)
        server.socket.close()


if __name__ == "__main__":
    main = Server(FakeLab(empty="empty" in sys.argv), int(sys.argv[1]))
    print(main.url, flush=True)
    main.run()
