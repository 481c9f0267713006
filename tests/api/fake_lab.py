"""Plants that exist only as functions of time, for working on the pages without a laboratory (see fake_server.py).

History and live agree because both ask the same function.
"""

import math
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lab.naming import cause_name
from lab.text import catalogue
from simulators.tep.variables import DISTURBANCES, LOOPS, TRIP_LIMITS, VARIABLES

PERIOD_S = 1.0
COURSE = {"xmeas_1": -0.2499, "xmv_3": 74.0, "xmeas_7": 292.0, "xmeas_13": 290.0, "xmeas_10": 0.12}
"""Where the sensors go when the feed of A is lost."""
CAUSES = [("idv_1", 0.71), ("idv_13", 0.12), ("idv_7", 0.05)]
OUTLOOK: dict[str, Any] = {
    "sensor": "xmeas_7", "name": "Reactor pressure", "time_s": 9300.0, "low_s": 4100.0, "high_s": 16200.0,
    "first_at": None, "first_s": 21000.0, "reached": None, "lead_s": None, "limit": 3000.0,
    "silent_s": None, "unseen": [], "watched": 11,
}  # fmt: skip
NONE_IN_SIGHT: dict[str, Any] = OUTLOOK | dict.fromkeys(("sensor", "name", "time_s", "high_s", "first_s"))
LEADING = [["xmeas_1", 0.58], ["xmv_3", 0.24], ["xmeas_7", 0.1], ["xmeas_13", 0.05], ["xmeas_10", 0.03]]


def noise(seed: str) -> float:
    """A number from -1 to 1, always the same for a seed."""
    return zlib.crc32(seed.encode()) / 2**31 - 1


def iso(t: float) -> str:
    """ISO 8601 UTC of epoch seconds."""
    return datetime.fromtimestamp(t, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
        """Value at epoch second t; `ill` grows from 0 to 1 with a fault. None is a reading that is not there."""
        if self.limp and (int(t) // 40) % 7 == 3:
            return None
        seed = zlib.crc32(self.tag.encode())
        wave = 1.6 * math.sin(t / (170 + seed % 90) + seed) + 0.8 * math.sin(t / 23 + 2 * seed)
        drawn = self.noise * (wave + noise(f"{seed}:{int(t)}"))
        return self.base + drawn + COURSE.get(self.tag, self.noise * (seed % 5 - 2)) * ill


def tep_sensors() -> list[Sensor]:
    """Measurements and valves of the simulated plant."""
    sensors = []
    for variable in VARIABLES:
        limits = {name: getattr(variable, name) for name in ("lo_trip", "lo_alarm", "hi_alarm", "hi_trip")}
        limits = {name: value for name, value in limits.items() if value is not None}
        role = "manipulated" if variable.tag.startswith("xmv") else "measurement"
        drawn = variable.noise or 0.2
        sensors.append(
            Sensor(variable.tag, variable.name, variable.unit, variable.decimals, variable.base, drawn, role,
                   variable.lo, variable.hi, limits or None)
        )  # fmt: skip
    return sensors


def pump_sensors() -> list[Sensor]:
    """An own line replayed from a file, with one sensor that drops out now and then."""
    rows = [("motor_current", "Motor current", "A", 41.0, 0.8), ("flow", "Flow", "m3/h", 118.0, 2.0)]
    rows += [("bearing_temp", "Bearing temperature", "degC", 61.0, 0.4)]
    rows += [("pressure_out", "Discharge pressure", "kPa", 640.0, 4.0)]
    sensors = [Sensor(tag, name, unit, 1, base, drawn) for tag, name, unit, base, drawn in rows]
    return [*sensors, Sensor("vibration_de", "Vibration, drive end", "mm/s", 2, 1.9, 0.12, limp=True)]


@dataclass
class Plant:
    """An asset of the fake lab."""

    id: str
    kind: str
    name: str
    sensors: list[Sensor]
    simulator: bool = False
    accepted: bool = False
    online: bool = True
    warm: bool = True
    health: str = "ok"
    ill_from: float | None = None
    drift: float = 0.2
    instruments: list[tuple[str, str, int, float, float]] = field(default_factory=list)
    """Sensors that failed: what is wrong, how often, since when and when last (s ago)."""
    newer: dict[str, Any] | None = None
    """The open episode as live frames know it, while what is stored is older."""
    episodes: list[dict[str, Any]] = field(default_factory=list)

    def ill(self, t: float) -> float:
        """Severity of its fault, 0 to 1, at a time."""
        if self.ill_from is None or t < self.ill_from:
            return 0.0
        return 1 - math.exp(-(t - self.ill_from) / 90)

    def score(self, t: float) -> float:
        """Score with a limit of 1."""
        quiet = 0.42 + 0.1 * math.sin(t / 31) + 0.06 * math.sin(t / 7.3) + 0.06 * noise(f"{int(t)}")
        return quiet + 6.5 * self.ill(t)

    def summary(self) -> dict[str, Any]:
        """As `GET assets` says it."""
        now = time.time()
        score = self.score(now) if self.warm and self.online else None
        return {
            "id": self.id, "kind": self.kind, "name": self.name, "gateway": f"sim-{self.id}", "online": self.online,
            "simulator": self.simulator, "health": self.health, "score": score, "limit": 1.0,
            "alarm": bool(score and score > 1), "warm": self.warm, "last": iso(now - (0.3 if self.online else 7300)),
            "sensors": len(self.sensors), "episodes_open": sum(row["end"] is None for row in self.episodes),
            "told": next(({"episode": row["id"], "cause": row["cause"]} for row in self.episodes
                          if row["end"] is None and row["told"]), None),
        }  # fmt: skip

    def live(self, now: float) -> dict[str, Any]:
        """Its part of a live frame."""
        score = round(self.score(now), 4) if self.warm else None
        values = [sensor.at(now, self.ill(now)) for sensor in self.sensors]
        top = LEADING if self.kind == "tep" else [["vibration_de", 0.7], ["flow", 0.3]]
        return {
            "t": int(now * 1000), "v": values, "score": score, "limit": 1.0, "alarm": bool(score and score > 1),
            "q": {s.tag: 129 for s, v in zip(self.sensors, values, strict=True) if v is None}, "warm": self.warm,
            "stats": statistics(score) if score else {}, "top": top if score else [], "online": True,
            "age_s": 0.12, **self.said(),
        }  # fmt: skip

    def tell(self, episode: str, cause: str, kind: str) -> None:
        """Note what an episode was, if it is of this plant."""
        for row in self.episodes:
            if row["id"] == episode:
                row |= {"cause": cause, "cause_name": cause_name(cause, "en"), "told": True, "told_kind": kind}

    def open_episode(self) -> dict[str, Any] | None:
        """The episode that is open."""
        return next((row for row in self.episodes if row["end"] is None), None)

    def said(self) -> dict[str, Any]:
        """What a live frame says of the open episode."""
        row = self.newer or self.open_episode() or {}
        failed = row.get("failed")
        causes = row.get("causes") or []
        return {
            "drift": self.drift, "episode": row.get("id"), "episode_kind": row.get("kind"),
            "failed": failed and [failed["sensor"], failed["fault"]], "cause": row.get("cause"),
            "suspects": [[each["sensor"], each["fault"]] for each in row.get("suspects", [])],
            "upset": [each["sensor"] for each in row.get("upset", [])],
            "causes": [[each["cause"], each["probability"]] for each in causes][:3], "unknown": row.get("unknown"),
            "outlook": row.get("outlook"), "instruments": self.instruments,
        }  # fmt: skip

    def explained(self) -> dict[str, Any]:
        """The same as `GET assets/{id}` says it."""
        row = self.open_episode() or {}
        names = ("failed", "cause", "unknown", "outlook")
        return {name: row.get(name) for name in names} | {
            "drift": self.drift, "accepted": self.accepted, "episode": row.get("id"), "episode_kind": row.get("kind"),
            "causes": row.get("causes", [])[:3], "suspects": row.get("suspects", []), "upset": row.get("upset", []),
            "instruments": [
                {"sensor": sensor, "name": sensor, "fault": fault, "times": times, "since_s": since, "ago_s": ago}
                for sensor, fault, times, since, ago in self.instruments
            ],
        }  # fmt: skip

    def channels(self) -> list[dict[str, Any]]:
        """As `GET assets/{id}/sensors` says them."""
        now = time.time()
        rows = []
        for s in self.sensors:
            value = s.at(now, self.ill(now))
            rows.append(
                {"key": f"{self.id}/{s.tag}", "tag": s.tag, "name": s.name, "unit": s.unit, "role": s.role, "lo": s.lo,
                 "hi": s.hi, "limits": s.limits, "decimals": s.decimals, "value": value,
                 "quality": "good" if value is not None else "bad:openwire", "last": iso(now),
                 "stale": not self.online}
            )  # fmt: skip
        return rows


def statistics(score: float) -> dict[str, float]:
    """The charts behind a score."""
    return {"energy": score, "sensor": score * 0.8, "shift": score * 0.6, "gross": score * 0.1}


def _episode(asset: str, id: str, kind: str, start: float, end: float | None, peak: float, tags: list[Any]) -> Any:
    return {
        "id": id, "asset": asset, "kind": kind, "start": start, "end": end, "peak": peak, "peak_at": start + 40,
        "leading": list(tags), "cause": None, "cause_name": None, "causes": [], "unknown": None, "told": False,
        "told_kind": None,
        "failed": {"sensor": tags[0][0], "name": tags[0][0], "fault": "frozen"} if kind == "instrument" else None,
        "suspects": [], "upset": [], "outlook": None,
    }  # fmt: skip


def explain(row: dict[str, Any], causes: list[tuple[str, float]], unknown: float, outlook: dict[str, Any]) -> None:
    """Give an episode its causes and its forecast."""
    row["causes"] = [
        {"cause": cause, "name": cause_name(cause, "en"), "probability": chance} for cause, chance in causes
    ]
    row["cause"] = causes[0][0] if unknown <= 0.5 else None
    row["cause_name"] = row["cause"] and cause_name(row["cause"], "en")
    row["unknown"], row["outlook"] = unknown, outlook


def make_plants(fault: bool) -> list[Plant]:
    """A plant with a fault (or without), a line with a bad sensor, one that learns and one that is gone."""
    now = time.time()
    tep = Plant("tep-1", "tep", "Tennessee Eastman", tep_sensors(), simulator=True)
    for k, (ago, length, peak) in enumerate([(5400, 260, 3.2), (2600, 610, 7.9), (640, 75, 1.4)]):
        tep.episodes.append(_episode("tep-1", f"e{k}", "process", now - ago, now - ago + length, peak, LEADING[:3]))
    explain(tep.episodes[0], [("idv_17", 0.2), ("idv_3", 0.06)], 0.74, NONE_IN_SIGHT)
    explain(tep.episodes[1], CAUSES, 0.12, OUTLOOK | {"reached": "xmeas_7", "lead_s": 8220.0})
    tep.tell("e2", "strainer blocked", "process")
    if fault:
        tep.health, tep.ill_from = "alarm", now - 140
        tep.episodes.append(_episode("tep-1", "e9", "process", now - 128, None, 7.1, LEADING[:3]))
        explain(tep.episodes[-1], CAUSES, 0.12, OUTLOOK)
    line = Plant("line-2", "csv", "Cooling water pump 2", pump_sensors(), health="instrument")
    line.episodes.append(_episode("line-2", "i1", "instrument", now - 900, None, 1.9, [["vibration_de", 0.9]]))
    new = Plant("press-7", "csv", "プレス機 7号", pump_sensors()[:3], warm=False, health="learning")
    gone = Plant("kiln-3", "csv", "Kiln 3", pump_sensors()[:4], online=False, health="offline")
    return [tep, line, new, gone]


class FakeLab:
    """The plants, the simulator's status, and what was posted to it."""

    def __init__(self, *, empty: bool = False, fault: bool = True) -> None:
        self.plants = [] if empty else make_plants(fault)
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.refuse: str | None = None
        """The plant's words when it refuses every command."""
        self.silent = False
        """No live frames."""
        self.status: dict[str, Any] = {
            "plant_s": 41_460.0, "speed": 60.0, "running": True, "seed": 1, "tripped": None,
            "faults": [6] if fault else [], "sensor_faults": [], "actuator_faults": [], "manual": [],
            "setpoints": {str(loop.number): loop.setpoint for loop in LOOPS}, "cost_per_h": 170.2,
        }  # fmt: skip

    def plant(self, key: str) -> Plant | None:
        """The asset of that id."""
        return next((plant for plant in self.plants if plant.id == key), None)

    def frame(self) -> dict[str, Any]:
        """The next live frame; the plant's own clock goes on."""
        if self.status["running"] and not self.status["tripped"]:
            self.status["plant_s"] += PERIOD_S * self.status["speed"]
        now = time.time()
        assets = {plant.id: plant.live(now) for plant in self.plants if plant.online}
        rates = {"readings_s": float(sum(len(asset["v"]) for asset in assets.values())), "missing": 0}
        return {"id": int(now * 1000), "t": iso(now), "assets": assets, "rates": rates}

    def simulator(self, lang: str) -> dict[str, Any]:
        """The first plant's status as the API says it."""
        now, plant = time.time(), self.plants[0]
        sensors = {sensor.tag: sensor for sensor in plant.sensors}
        trips = []
        for _, tag, side in TRIP_LIMITS:
            sensor = sensors[tag]
            limit = (sensor.limits or {})[f"{side[:2]}_trip"]
            value = sensor.at(now, plant.ill(now)) or 0.0
            margin = abs(limit - value) / abs(limit - sensor.base)
            trips.append({"tag": tag, "value": value, "limit": limit, "side": side, "margin": margin})
        disturbances = [
            {"idv": each.idv, "name": catalogue()[f"idv.tep.{each.idv}"][lang], "type": each.type}
            for each in DISTURBANCES
        ]
        loops = [
            {"loop": loop.number, "pv": loop.pv, "unit": sensors[loop.pv].unit, "lo": loop.lo, "hi": loop.hi,
             "setpoint": self.status["setpoints"][str(loop.number)]}
            for loop in LOOPS
        ]  # fmt: skip
        about = {"id": plant.id, "gateway": f"sim-{plant.id}", "online": True, "at": iso(now)}
        return self.status | about | {"trips": trips, "disturbances": disturbances, "loops": loops}

    def command(self, action: str, body: dict[str, Any]) -> None:
        """Do what was posted."""
        status, plant = self.status, self.plants[0]
        if action == "faults" and "idv" in body:
            others = [idv for idv in status["faults"] if idv != body["idv"]]
            status["faults"] = sorted([*others, body["idv"]]) if body["on"] else others
            plant.ill_from = (plant.ill_from or time.time()) if status["faults"] else None
        elif action == "faults":
            name, which = ("sensor_faults", "tag") if "tag" in body else ("actuator_faults", "xmv")
            status[name] = [row for row in status[name] if row[which] != body[which]]
            if body["on"]:
                status[name].append({key: value for key, value in body.items() if key != "on"})
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

    def tell(self, episode: str, cause: str, kind: str) -> None:
        """Note what an episode was."""
        for plant in self.plants:
            plant.tell(episode, cause, kind)

    def untell(self, which: Callable[[dict[str, Any]], bool], name: str | None = None) -> list[str]:
        """Give episodes of which something was told another cause, or none; what was told of them."""
        rows = [row for plant in self.plants for row in plant.episodes if row["told"] and which(row)]
        before = [row["cause"] for row in rows]
        for row in rows:
            row |= {"cause": name, "cause_name": name, "told": name is not None}
        return before

    def accept(self, key: str) -> None:
        """Where an asset stands is normal."""
        plant = self.plant(key)
        assert plant is not None
        for row in plant.episodes:
            row["end"] = row["end"] or time.time()
        plant.health, plant.ill_from, plant.drift, plant.accepted = "ok", None, 0.0, True

    def ledger(self) -> dict[str, Any]:
        """One gateway that lost something, one that had messages refused."""
        rows = []
        for k, plant in enumerate(self.plants):
            published, rejected, missing = 120_512 - k * 31_000, 2 * (k == 1), 3 * (k == 3)
            rows.append(
                {"gateway": f"sim-{plant.id}", "boot": 7 + k, "state": "online" if plant.online else "offline",
                 "published": published, "accepted": published - 41 * k - missing - rejected, "duplicates": 41 * k,
                 "rejected": rejected, "missing": missing, "missing_ranges": [[11, 13]] if missing else [],
                 "unsequenced": 0, "forks": 0, "upto": published - 1, "seen": iso(time.time()), "skew_ms": 0.4 * k,
                 "proof": missing == 0}
            )  # fmt: skip
        if rows:  # the same gateway before it was started again
            rows.append(rows[0] | {"boot": 6, "state": "offline", "published": 900, "accepted": 900, "skew_ms": None})
        names = ("published", "accepted", "duplicates", "rejected", "missing", "unsequenced", "forks")
        totals = {name: sum(row[name] for row in rows) for name in names}
        return {"gateways": rows, "totals": totals | {"proof": all(row["proof"] for row in rows)}}
