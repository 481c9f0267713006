"""A small laboratory that answers the public API with plausible numbers, for working on the pages without a plant.

    python -m tests.api.fake_lab 8080

Values are a function of sensor and time, so history and live agree. It keeps what was posted in `posted`.
"""

import asyncio
import contextlib
import math
import socket
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.staticfiles import StaticFiles

from lab.text import catalogue

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "api" / "pages"
CSP = "default-src 'self'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
# tag, name, unit, decimals, base value, noise, measuring range, limits
XMEAS = """1 A feed|kscmh|4|0.25052|0.0012;2 D feed|kg/h|0|3664|18;3 E feed|kg/h|0|4509.3|22
4 A and C feed|kscmh|3|9.3477|0.05;5 Recycle flow|kscmh|2|26.902|0.2;6 Reactor feed rate|kscmh|2|42.339|0.21
7 Reactor pressure|kPa|1|2705|0.3;8 Reactor level|%|1|75|0.5;9 Reactor temperature|degC|2|120.4|0.01
10 Purge rate|kscmh|4|0.33712|0.0017;11 Separator temperature|degC|2|80.109|0.01;12 Separator level|%|1|50|1
13 Separator pressure|kPa|1|2633.7|0.3;14 Separator underflow|m3/h|2|25.16|0.125;15 Stripper level|%|1|50|1
16 Stripper pressure|kPa|1|3102.2|0.3;17 Stripper underflow|m3/h|2|22.949|0.115;18 Stripper temperature|degC|2|65.731|0.01
19 Stripper steam flow|kg/h|1|230.31|1.15;20 Compressor work|kW|1|341.43|0.2
21 Reactor cooling water outlet temperature|degC|2|94.599|0.01
22 Condenser cooling water outlet temperature|degC|2|77.297|0.01"""
ANALYSERS = [32.188, 8.8933, 26.383, 6.882, 18.776, 1.6567, 32.958, 13.823, 23.978, 1.2565, 18.579, 2.2633, 4.8436]
ANALYSERS += [2.2986, 0.017866, 0.8357, 0.098577, 53.724, 43.828]
VALVES = [63.053, 53.98, 24.644, 61.302, 22.21, 40.064, 38.1, 46.534, 47.446, 41.106, 18.114, 50]
LIMITS: dict[str, dict[str, float]] = {
    "xmeas_7": {"hi_alarm": 2895.0, "hi_trip": 3000.0},
    "xmeas_8": {"lo_alarm": 50.0, "hi_alarm": 100.0},
    "xmeas_9": {"hi_alarm": 150.0, "hi_trip": 175.0},
    "xmeas_12": {"lo_alarm": 30.0, "hi_alarm": 100.0},
    "xmeas_15": {"lo_alarm": 30.0, "hi_alarm": 100.0},
}
LOOPS = [
    (1, "xmeas_2"),
    (2, "xmeas_3"),
    (3, "xmeas_1"),
    (4, "xmeas_4"),
    (5, "xmeas_5"),
    (6, "xmeas_10"),
    (7, "xmeas_12"),
    (8, "xmeas_15"),
    (9, "xmeas_19"),
    (10, "xmeas_21"),
    (11, "xmeas_17"),
    (16, "xmeas_18"),
    (17, "xmeas_8"),
    (18, "xmeas_9"),
]
PERIOD_S = 1.0


@dataclass
class Sensor:
    """One channel with its course."""

    tag: str
    name: str
    unit: str
    decimals: int
    base: float
    noise: float
    role: str = "measurement"
    lo: float | None = None
    hi: float | None = None
    limits: dict[str, float] | None = None
    limp: bool = False

    def at(self, t: float, ill: float) -> float | None:
        """Value at epoch second t; `ill` grows from 0 with a fault."""
        if self.limp and (int(t) // 40) % 7 == 3:
            return None  # a sensor that drops out for a while: charts must show the gap
        seed = zlib.crc32(self.tag.encode())
        phase = seed % 628 / 100
        wave = 1.6 * math.sin(t / (170 + seed % 90) + phase) + 0.8 * math.sin(t / 23 + phase * 2)
        jitter = zlib.crc32(f"{seed}:{int(t)}".encode()) / 2**31 - 1
        course = {"xmeas_1": -0.2499, "xmv_3": 74.0, "xmeas_7": 292.0, "xmeas_13": 290.0, "xmeas_10": 0.12}
        return self.base + self.noise * (wave + jitter) + course.get(self.tag, self.noise * (seed % 5 - 2)) * ill


def tep_sensors() -> list[Sensor]:
    """52 process channels and the plant clock."""
    sensors = []
    for line in XMEAS.replace("\n", ";").split(";"):
        head, unit, decimals, base, noise = line.split("|")
        number, name = head.split(" ", 1)
        tag = f"xmeas_{number}"
        sensors.append(
            Sensor(tag, name, unit, int(decimals), float(base), float(noise), lo=0.0, hi=float(base) * 2,
                   limits=LIMITS.get(tag))
        )  # fmt: skip
    for i, base in enumerate(ANALYSERS):
        sensors.append(Sensor(f"xmeas_{23 + i}", f"Analyser {23 + i}", "mol%", 3, base, 0.01 * base))
    for i, base in enumerate(VALVES):
        sensors.append(Sensor(f"xmv_{i + 1}", f"Valve {i + 1}", "%", 2, base, 0.3, "manipulated", 0.0, 100.0))
    return sensors


def line_sensors() -> list[Sensor]:
    """An own line replayed from a CSV file, with one sensor that fails."""
    rows = [
        ("motor_current", "Motor current", "A", 41.0, 0.8),
        ("bearing_temp", "Bearing temperature", "degC", 61.0, 0.4),
    ]
    rows += [("flow", "Flow", "m3/h", 118.0, 2.0), ("pressure_out", "Discharge pressure", "kPa", 640.0, 4.0)]
    sensors = [Sensor(tag, name, unit, 1, base, noise) for tag, name, unit, base, noise in rows]
    return [*sensors, Sensor("vibration_de", "Vibration, drive end", "mm/s", 2, 1.9, 0.12, limp=True)]


@dataclass
class Plant:
    """An asset of the fake lab."""

    id: str
    kind: str
    name: str
    sensors: list[Sensor]
    simulator: bool = False
    online: bool = True
    warm: bool = True
    episodes: list[dict[str, Any]] = field(default_factory=list)
    health: str = "ok"
    ill_from: float | None = None

    def ill(self, t: float) -> float:
        """Severity 0 to 1 at a time."""
        if self.ill_from is None or t < self.ill_from:
            return 0.0
        return 1 - math.exp(-(t - self.ill_from) / 90)

    def score(self, t: float) -> float:
        """Score with a limit of 1."""
        quiet = (
            0.42 + 0.1 * math.sin(t / 31) + 0.06 * math.sin(t / 7.3) + 0.08 * (zlib.crc32(f"{int(t)}".encode()) / 2**32)
        )
        return quiet + 6.5 * self.ill(t)


def iso(t: float) -> str:
    """ISO 8601 UTC."""
    return datetime.fromtimestamp(t, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class FakeLab:
    """State of the fake lab."""

    def __init__(self, *, empty: bool = False, fault: bool = True) -> None:
        now = time.time()
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.refuse: str | None = None
        self.cut = 0
        self.sockets: set[WebSocket] = set()
        self.frames: list[tuple[int, bytes]] = []
        self.status: dict[str, Any] = {
            "kind": "status", "plant_s": 41_460.0, "speed": 60.0, "running": True, "seed": 1, "tripped": None,
            "faults": [6] if fault else [], "sensor_faults": [], "actuator_faults": [], "manual": [],
            "setpoints": {str(loop): round(self._base(pv), 3) for loop, pv in LOOPS}, "cost_per_h": 170.2,
        }  # fmt: skip
        self.plants = [] if empty else self._plants(now, fault)

    @staticmethod
    def _base(tag: str) -> float:
        return next(sensor.base for sensor in tep_sensors() if sensor.tag == tag)

    @staticmethod
    def _plants(now: float, fault: bool) -> list[Plant]:
        tep = Plant("tep-1", "tep", "Tennessee Eastman", tep_sensors(), simulator=True)
        old = {"asset": "tep-1", "cause": None, "kind": "process"}
        leading = [["xmeas_1", 0.61], ["xmv_3", 0.22], ["xmeas_7", 0.08]]
        tep.episodes = [
            old
            | {
                "id": f"e{i}",
                "start": now - s,
                "end": now - s + d,
                "peak": p,
                "peak_at": now - s + d / 2,
                "leading": leading,
            }
            for i, (s, d, p) in enumerate([(5400, 260, 3.2), (2600, 610, 7.9), (640, 75, 1.4)])
        ]
        if fault:
            tep.health, tep.ill_from = "alarm", now - 140
            tep.episodes.append(
                old | {"id": "e9", "start": now - 128, "end": None, "peak": 7.1, "peak_at": now, "leading": leading}
            )
        line = Plant("line-2", "csv", "Cooling water pump 2", line_sensors(), health="instrument")
        line.episodes = [
            {"id": "i1", "asset": "line-2", "kind": "instrument", "start": now - 900, "end": None, "peak": 1.9,
             "peak_at": now - 500, "leading": [["vibration_de", 0.9]], "cause": None}
        ]  # fmt: skip
        new = Plant("press-7", "csv", "プレス機 7号", line_sensors()[:3], warm=False, health="learning")
        gone = Plant("kiln-3", "csv", "Kiln 3", line_sensors()[:4], online=False, health="offline")
        return [tep, line, new, gone]

    def plant(self, key: str) -> Plant | None:
        """The asset of that id."""
        return next((plant for plant in self.plants if plant.id == key), None)

    def asset(self, plant: Plant) -> dict[str, Any]:
        """An asset as the API gives it."""
        now = time.time()
        score = plant.score(now) if plant.warm and plant.online else None
        return {
            "id": plant.id, "kind": plant.kind, "name": plant.name, "gateway": f"sim-{plant.id}", "online": plant.online,
            "simulator": plant.simulator, "health": plant.health, "score": score, "limit": 1.0,
            "alarm": bool(score and score > 1), "warm": plant.warm, "last": iso(now - (0.3 if plant.online else 7300)),
            "sensors": len(plant.sensors), "episodes_open": sum(e["end"] is None for e in plant.episodes),
        }  # fmt: skip

    def live(self) -> dict[str, Any]:
        """The next live frame."""
        now = time.time()
        assets = {}
        for plant in self.plants:
            if not plant.online:
                continue
            ill = plant.ill(now)
            score = round(plant.score(now), 4) if plant.warm else None
            values = [sensor.at(now, ill) for sensor in plant.sensors]
            open_episode = next((e["id"] for e in plant.episodes if e["end"] is None), None)
            top = [["xmeas_1", 0.58 ], ["xmv_3", 0.24 ], ["xmeas_7", 0.1 ],
                   ["xmeas_13", 0.05 ], ["xmeas_10", 0.03 ]]  # fmt: skip
            if plant.kind == "csv":
                top = [["vibration_de", 0.3], ["flow", 0.1]]
            assets[plant.id] = {
                "t": int(now * 1000), "v": values, "score": score, "limit": 1.0, "alarm": bool(score and score > 1),
                "q": {s.tag: 129 for s, v in zip(plant.sensors, values, strict=True) if v is None}, "warm": plant.warm,
                "stats": {"t2": score * 0.7, "spe": score * 1.1} if score else {}, "top": top if score else [],
                "episode": open_episode, "online": True, "age_s": 0.12,
            }  # fmt: skip
        rates = {"readings_s": float(sum(len(a["v"]) for a in assets.values())), "missing": 0}
        return {"id": int(now * 1000), "t": iso(now), "assets": assets, "rates": rates}

    async def run(self) -> None:
        """Send a frame every second until cancelled."""
        while True:
            started = time.monotonic()
            if self.status["running"] and not self.status["tripped"]:
                self.status["plant_s"] += PERIOD_S * self.status["speed"]
            frame = self.live()
            data = orjson.dumps(frame)
            self.frames = [*self.frames[-299:], (frame["id"], data)]
            for socket_ in list(self.sockets):
                with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                    await socket_.send_text(data.decode())
            await asyncio.sleep(max(0.0, PERIOD_S - (time.monotonic() - started)))

    def trips(self) -> list[dict[str, Any]]:
        """Distance to the trips."""
        now, plant = time.time(), self.plants[0]
        rows = [
            ("xmeas_7", 3000.0, "high"),
            ("xmeas_8", 123.0, "high"),
            ("xmeas_8", -2.1, "low"),
            ("xmeas_9", 175.0, "high"),
        ]
        rows += [
            ("xmeas_12", 136.0, "high"),
            ("xmeas_12", 2.7, "low"),
            ("xmeas_15", 130.5, "high"),
            ("xmeas_15", -27.4, "low"),
        ]
        out = []
        for tag, limit, side in rows:
            sensor = next(s for s in plant.sensors if s.tag == tag)
            value = sensor.at(now, plant.ill(now)) or 0.0
            margin = abs(limit - value) / abs(limit - sensor.base)
            out.append({"tag": tag, "value": value, "limit": limit, "side": side, "margin": margin})
        return out

    def simulator(self, lang: str = "en") -> dict[str, Any]:
        """Status of the plant."""
        plant = self.plants[0]
        texts = {key: entry[lang] for key, entry in catalogue().items()}
        disturbances = [
            {"idv": i, "name": texts.get(f"idv.tep.{i}", f"Disturbance {i}"), "type": "step" if i < 8 else "random"}
            for i in range(1, 21)
        ]
        sensors = {sensor.tag: sensor for sensor in plant.sensors}
        loops = [
            {"loop": loop, "pv": pv, "unit": sensors[pv].unit, "setpoint": self.status["setpoints"][str(loop)],
             "lo": 0.0, "hi": sensors[pv].base * 2}
            for loop, pv in LOOPS
        ]  # fmt: skip
        return self.status | {"id": plant.id, "trips": self.trips(), "disturbances": disturbances, "loops": loops}


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
        return time.time() - float(text[1:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]]
    return float(text) / 1000 if text.isdigit() else datetime.fromisoformat(text).timestamp()


def problem(status: int, title: str, detail: str, request: Request) -> Response:
    """A problem document."""
    body = {
        "type": f"/problems/{status}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
    }
    return Response(orjson.dumps(body), status, media_type="application/problem+json")


def episode(row: dict[str, Any]) -> dict[str, Any]:
    """An episode as the API gives it."""
    end = row["end"]
    times = {"start": iso(row["start"]), "end": iso(end) if end else None, "peak_at": iso(row["peak_at"])}
    return row | times | {"duration_s": (end or time.time()) - row["start"]}


def create_app(lab: FakeLab) -> FastAPI:
    """The application."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(lab.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app = FastAPI(lifespan=lifespan, default_response_class=Answer)

    @app.middleware("http")
    async def headers(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["Content-Security-Policy"] = CSP
        response.headers["Cache-Control"] = "no-cache"
        return response

    @app.get("/api/v1/text/{lang}")
    async def texts(lang: str) -> Answer:
        return Answer({key: entry[lang] for key, entry in catalogue().items()})

    @app.get("/api/v1/assets")
    async def assets() -> Answer:
        return Answer({"assets": [lab.asset(plant) for plant in lab.plants]})

    @app.get("/api/v1/assets/{key}")
    async def asset(key: str, request: Request) -> Response:
        plant = lab.plant(key)
        if plant is None:
            return problem(404, "Not found", f"There is no asset {key!r}.", request)
        return Answer(lab.asset(plant) | {"leading": [], "model": "fake"})

    @app.get("/api/v1/assets/{key}/sensors")
    async def sensors(key: str, request: Request) -> Response:
        plant = lab.plant(key)
        if plant is None:
            return problem(404, "Not found", f"There is no asset {key!r}.", request)
        now = time.time()
        rows = []
        for s in plant.sensors:
            value = s.at(now, plant.ill(now))
            rows.append(
                {"key": f"{key}/{s.tag}", "tag": s.tag, "name": s.name, "unit": s.unit, "role": s.role, "lo": s.lo,
                 "hi": s.hi, "limits": s.limits, "decimals": s.decimals, "value": value,
                 "quality": "good" if value is not None else "bad:openwire", "last": iso(now), "stale": not plant.online}
            )  # fmt: skip
        return Answer({"sensors": rows})

    def course(at: Any, t0: float, t1: float, points: int) -> dict[str, Any]:
        step = max(PERIOD_S, (t1 - t0) / points)
        out: dict[str, Any] = {"t": [], "v": [], "lo": [], "hi": [], "raw": step <= PERIOD_S}
        t = t0 - t0 % PERIOD_S
        while t < t1:
            inner = [at(t + step * k / 4) for k in range(4)] if step > PERIOD_S else [at(t)]
            good = [v for v in inner if v is not None]
            out["t"].append(int(t * 1000))
            for name, fold in (("v", lambda g: sum(g) / len(g)), ("lo", min), ("hi", max)):
                out[name].append(fold(good) if good else None)
            t += step
        return out

    @app.get("/api/v1/series")
    async def series(request: Request, sensors: str, points: int = 500) -> Answer:
        q = request.query_params
        t1 = min(moment(q.get("to"), time.time()), time.time())
        t0 = moment(q.get("from"), t1 - 900)
        out = {}
        for key in sensors.split(","):
            plant = lab.plant(key.split("/")[0])
            sensor = next((s for s in plant.sensors if s.tag == key.split("/")[1]), None) if plant else None
            if plant and sensor and plant.online:
                out[key] = course(lambda t, s=sensor, p=plant: s.at(t, p.ill(t)), t0, t1, points)
            else:
                out[key] = {"t": [], "v": [], "lo": [], "hi": [], "raw": True}
        return Answer({"from": int(t0 * 1000), "to": int(t1 * 1000), "series": out})

    @app.get("/api/v1/assets/{key}/score")
    async def score(key: str, request: Request, points: int = 500) -> Answer:
        q = request.query_params
        t1 = min(moment(q.get("to"), time.time()), time.time())
        plant = lab.plant(key)
        assert plant is not None
        if not plant.warm or not plant.online:
            return Answer({"limit": None, "t": [], "score": [], "statistics": {}})
        data = course(plant.score, moment(q.get("from"), t1 - 900), t1, points)
        stats = {"t2": [v * 0.7 for v in data["v"]], "spe": [v * 1.1 for v in data["v"]]}
        return Answer({"limit": 1.0, "t": data["t"], "score": data["v"], "statistics": stats})

    @app.get("/api/v1/episodes")
    async def episodes(asset: str | None = None, limit: int = 50) -> Answer:
        rows = [e for plant in lab.plants for e in plant.episodes if asset in (None, plant.id)]
        rows.sort(key=lambda e: -e["start"])
        return Answer({"episodes": [episode(e) for e in rows[:limit]], "next": None})

    @app.get("/api/v1/simulators")
    async def simulators() -> Answer:
        return Answer({"simulators": [lab.simulator()] if lab.plants else []})

    @app.get("/api/v1/simulators/{key}")
    async def simulator(key: str, request: Request) -> Answer:
        return Answer(lab.simulator(request.headers.get("accept-language", "en")[:2]))

    @app.post("/api/v1/simulators/{key}/{action}")
    async def command(key: str, action: str, request: Request) -> Response:
        body = await request.json()
        lab.posted.append((action, body))
        if lab.refuse:
            return problem(409, "Refused by the plant", lab.refuse, request)
        status, plant = lab.status, lab.plants[0]
        if action == "faults" and "idv" in body:
            others = [idv for idv in status["faults"] if idv != body["idv"]]
            status["faults"] = sorted([*others, body["idv"]]) if body["on"] else others
            plant.ill_from = (plant.ill_from or time.time()) if status["faults"] else None
        elif action == "faults":
            name = "sensor_faults" if "tag" in body else "actuator_faults"
            which = "tag" if "tag" in body else "xmv"
            status[name] = [f for f in status[name] if f[which] != body[which]]
            if body["on"]:
                status[name].append({k: v for k, v in body.items() if k != "on"})
        elif action == "speed":
            status.update(body)
        elif action == "setpoints" and "manual" in body:
            others = [loop for loop in status["manual"] if loop != body["loop"]]
            status["manual"] = [*others, body["loop"]] if body["manual"] else others
        elif action == "setpoints" and "loop" in body:
            status["setpoints"][str(body["loop"])] = body["value"]
        elif action == "reset":
            status.update(plant_s=0.0, faults=[], sensor_faults=[], actuator_faults=[], tripped=None, seed=body["seed"])
            plant.ill_from = None
        return Answer({"id": "c1", "ok": True, "detail": "", "result": {}, "kind": "reply"})

    @app.get("/api/v1/ledger")
    async def ledger() -> Answer:
        rows = []
        for i, plant in enumerate(lab.plants):
            published = 120_512 - i * 31_000
            missing = 3 if i == 3 else 0
            rejected = 2 if i == 1 else 0
            rows.append(
                {"gateway": f"sim-{plant.id}", "boot": 7 + i, "state": "online" if plant.online else "offline",
                 "published": published, "accepted": published - 41 * i - missing - rejected, "duplicates": 41 * i,
                 "rejected": rejected, "missing": missing, "missing_ranges": [[11, 13]] if missing else [],
                 "unsequenced": 0, "forks": 0, "upto": published - 1, "seen": iso(time.time()), "skew_ms": 0.4 * i,
                 "proof": missing == 0}
            )  # fmt: skip
        names = ("published", "accepted", "duplicates", "rejected", "missing", "unsequenced", "forks")
        return Answer({"gateways": rows, "totals": {n: sum(row[n] for row in rows) for n in names} | {"proof": False}})

    @app.get("/api/v1/quarantine")
    async def quarantine() -> Answer:
        entry = {"id": 1, "at": iso(time.time() - 300), "topic": "lab/v1/kyushu/lab/demo/line1/sim-line-2/data",
                 "reason": "unknown_schema", "detail": "frame names channels by a hash that no birth has announced",
                 "count": 2, "payload": '{"b":8,"s":12,"h":"9f86d081884c7d65","t":1764000000.0,"v":[25.3]}'}  # fmt: skip
        return Answer({"entries": [entry] if lab.plants else [], "next": None})

    @app.get("/api/v1/system")
    async def system() -> Answer:
        names = ("broker", "collector", "api", "plant")
        processes = [{"name": n, "pid": 4000 + i, "state": "running", "restarts": i == 3} for i, n in enumerate(names)]
        return Answer(
            {"processes": processes, "broker": {"kind": "mosquitto", "version": "2.0.18", "host": "127.0.0.1", "port": 1883},
             "historian": {"kind": "embedded", "readings": 8_912_331, "sensors": 66, "bytes_on_disk": 21_400_000,
                           "oldest": iso(time.time() - 86400), "newest": iso(time.time())},
             "memory_mb": 96.0, "versions": {"lab": "0.1.0", "python": "3.11.2"}}
        )  # fmt: skip

    @app.websocket("/api/v1/live")
    async def live(ws: WebSocket) -> None:
        await ws.accept()
        after = ws.query_params.get("after")
        if after:
            missed = [data for number, data in lab.frames if number > int(after)]
            for data in missed:
                await ws.send_text(data.decode())
        lab.sockets.add(ws)
        lab.cut += 1
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await ws.receive_text()
        lab.sockets.discard(ws)

    app.mount("/pages", StaticFiles(directory=PAGES), name="pages")

    @app.get("/")
    async def index() -> Response:
        return Response((PAGES / "index.html").read_bytes(), media_type="text/html; charset=utf-8")

    return app


class Server:
    """The fake lab served from a thread on a free port."""

    def __init__(self, lab: FakeLab, port: int = 0) -> None:
        self.lab = lab
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.port = int(self.socket.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            create_app(lab), log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=1
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)

    def start(self) -> None:
        """Serve; returns when requests are answered."""
        self.thread.start()
        while not self.server.started and self.thread.is_alive():
            time.sleep(0.02)

    def stop(self) -> None:
        """Shut down and wait for the thread."""
        self.server.should_exit = True
        self.thread.join(10)
        self.socket.close()


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[Server]:
    """A running fake lab."""
    server = Server(FakeLab(**options))
    server.start()
    try:
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    main = Server(FakeLab(empty="empty" in sys.argv), int(sys.argv[1]))
    print(main.url)
    main.server.run(sockets=[main.socket])
