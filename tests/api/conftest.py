"""A small lab for the API's tests: a real mosquitto, a database written by the real writers, a server in a thread."""

import asyncio
import importlib
import json
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from api.app import create
from devices.frame import Asset, Birth, Channel, Limits, State, schema_hash
from devices.topics import CORE_COMMAND, CORE_LIVE, CORE_REPLY, CORE_STATUS, topic
from lab.config import Config
from lab.historian import open_historian
from lab.historian.base import Batch
from lab.store import Store
from tests.conftest import a_free_port

PATH = "kyushu/lab/demo/line1"
PLANT_CHANNELS = [
    Channel("xmeas_1", "kscmh", name="A feed", lo=0.0, hi=1.0, limits=Limits(hi_alarm=0.5), decimals=3),
    Channel("xmeas_9", "degC", name="Reactor temperature", expire_s=5.0),
    Channel("xmv_3", "%", name="A feed valve", role="manipulated"),
    Channel("plant_s", "s", role="status"),
]
ROOMS = ("catalogue", "ledger", "quarantine", "episodes", "scoring")
"""Modules that declare the tables which the API reads."""
PUMP_CHANNELS = [Channel("flow", "m3/h"), Channel("vibration", "mm/s")]


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """What the condition gives as soon as it is true; the limit is for a broken build, not a measure."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def births() -> dict[str, Birth]:
    plant = [Asset("tep-1", "tep", "Tennessee Eastman", clock="plant_s", period_s=180.0)]
    pump = [Asset("pump-2", "csv", "Cooling water pump 2")]
    return {
        "sim-1": Birth("sim-1", 7, schema_hash(PLANT_CHANNELS), plant, PLANT_CHANNELS, simulator=True),
        "edge-2": Birth("edge-2", 3, schema_hash(PUMP_CHANNELS), pump, PUMP_CHANNELS),
    }


class Broker:
    """A mosquitto of our own."""

    def __init__(self, folder: Path) -> None:
        self.port = a_free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n")
        self._program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self._program is not None
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._answers, "mosquitto")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Peer:
    """An MQTT client of the test: the collector, or a plant."""

    def __init__(self, port: int, on_message: Callable[[Client, MQTTMessage], None] | None = None) -> None:
        self.client = Client(CallbackAPIVersion.VERSION2)
        self._ready = threading.Event()
        self._subscribed = threading.Event()
        self.client.on_connect = lambda *_: self._ready.set()
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        if on_message:
            self.client.on_message = lambda client, _, message: on_message(client, message)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.wait(20)

    def say(self, name: str, payload: bytes | str, retain: bool = False) -> None:
        self.client.publish(name, payload, qos=1, retain=retain).wait_for_publish(20)

    def listen(self, name: str) -> None:
        self.client.subscribe(name, 1)
        assert self._subscribed.wait(20)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Plant(Peer):
    """A simulated plant that keeps the commands it got; `refuse` and `mute` change how it answers."""

    def __init__(self, port: int) -> None:
        self.commands: list[dict[str, Any]] = []
        self.refuse = ""
        self.told: dict[str, Any] = {}
        self.mute = False
        super().__init__(port, self._answer)
        self.listen(topic(PATH, "sim-1", "cmd"))
        self.say(topic(PATH, "sim-1", "birth"), msgspec.json.encode(births()["sim-1"]), retain=True)
        self.say(topic(PATH, "sim-1", "state"), msgspec.json.encode(State("online", 7)), retain=True)
        self.status()

    def status(self, **changed: Any) -> None:
        status = {
            "kind": "status",
            "plant_s": 41460.0,
            "speed": 60.0,
            "running": True,
            "seed": 1,
            "tripped": None,
            "faults": [6],
            "setpoints": {"9": 230.31},
            "trips": [{"tag": "xmeas_7", "value": 2705.0, "limit": 3000.0, "side": "high", "margin": 0.9}],
        }
        self.say(topic(PATH, "sim-1", "event"), json.dumps(status | changed), retain=True)

    def _answer(self, client: Client, message: MQTTMessage) -> None:
        command = json.loads(message.payload)
        self.commands.append(command)
        if self.mute:
            return
        reply = {
            "id": command["id"],
            "ok": not self.refuse,
            "detail": self.refuse,
            "kind": "reply",
            "result": self.told,
        }
        client.publish(topic(PATH, "sim-1", "event"), json.dumps(reply), qos=1)


class Collector(Peer):
    """What the collector publishes."""

    def __init__(self, port: int) -> None:
        self.id = time.time_ns() // 1_000_000
        self.orders: list[dict[str, Any]] = []
        self.answer: dict[str, Any] = {"ok": True, "detail": "", "result": {}}
        super().__init__(port, self._answer)
        self.listen(CORE_COMMAND)
        self.alive()

    def _answer(self, client: Client, message: MQTTMessage) -> None:
        order = json.loads(message.payload)
        self.orders.append(order)
        if self.answer:
            client.publish(CORE_REPLY, json.dumps({"id": order["id"], "kind": "reply", **self.answer}), qos=1)

    def alive(self) -> None:
        self.say(CORE_STATUS, json.dumps({"readings": 1200, "lag_s": 0.25, "queue": {"length": 3}}), retain=True)

    def frame(self, **state: Any) -> int:
        """Publish the next frame, with these words on tep-1; its id."""
        self.id += 200
        asset = {
            "t": time.time_ns() // 1_000_000,
            "v": [0.25, 120.4, 24.6, 41460.0],
            "score": 1.31,
            "limit": 1.0,
            "alarm": True,
            "warm": True,
            "stats": {"energy": 0.4, "sensor": 1.3},
            "top": [["xmeas_1", 0.62], ["xmv_3", 0.21]],
            "episode": None,
            "online": True,
            "age_s": 0.2,
        }
        frame = {"id": self.id, "t": "2026-01-01T00:00:00Z", "assets": {"tep-1": asset | state}}
        self.say(CORE_LIVE, json.dumps(frame))
        return self.id


class Server:
    """The API, served by uvicorn in a thread."""

    def __init__(self, config: Config) -> None:
        self.app: FastAPI = create(config)
        self.port = config.api.port
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.app,
                host="127.0.0.1",
                port=self.port,
                ws="websockets-sansio",
                ws_per_message_deflate=False,
                log_level="error",
                timeout_graceful_shutdown=2,
            )
        )
        self._thread = threading.Thread(target=self._server.run)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def live(self) -> str:
        return f"ws://127.0.0.1:{self.port}/api/v1/live"

    @property
    def hub(self) -> Any:
        return self.app.state.context.hub

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        loop = self.app.state.context.bus._loop
        assert loop is not None
        return loop  # type: ignore[no-any-return]

    def start(self) -> None:
        self._thread.start()
        try:
            wait_for(lambda: self._server.started or not self._thread.is_alive(), "the server")
            wait_for(lambda: self.app.state.context.bus.connected, "the API's MQTT client")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running broker."""
    broker = Broker(tmp_path_factory.mktemp("broker"))
    if broker._program is None:
        pytest.skip("mosquitto is not installed")
    broker.start()
    yield broker
    broker.stop()


def configure(folder: Path, broker_port: int) -> Config:
    """A configuration for a data directory."""
    config = Config(data_dir=str(folder))
    config.broker.kind = "external"
    config.broker.port = broker_port
    config.api.port = a_free_port()
    return config


def insert(db: sqlite3.Connection, table: str, **row: object) -> None:
    """One row by the names that docs/architecture.md gives its columns."""
    columns = ", ".join(f'"{name}"' for name in row)
    db.execute(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


def fill(config: Config, now: int) -> None:
    """Fill a lab's database: two assets, ten minutes of readings, two accounts, three episodes, five quarantined."""
    for name in ROOMS:
        importlib.import_module(f"lab.{name}")
    store = Store(config.database, synchronous="NORMAL")
    historian = open_historian(config, store)
    with store.transaction() as db:
        for (gateway, birth), state in zip(births().items(), ("online", "offline"), strict=True):
            body = msgspec.json.encode(birth).decode()
            insert(db, "gateway", id=gateway, path=PATH, boot=birth.b, birth=body, state=state, seen=now, skew_ms=0.4)
            (asset,) = birth.assets
            insert(db, "asset", id=asset.id, kind=asset.kind, name=asset.name, gateway=gateway, clock=asset.clock)
            for position, channel in enumerate(birth.channels):
                limits = msgspec.json.encode(channel.limits).decode() if channel.limits else None
                names = ("tag", "unit", "name", "role", "lo", "hi", "expire_s", "decimals")
                row = {name: getattr(channel, name) for name in names}
                key = f"{asset.id}/{channel.tag}"
                insert(db, "sensor", key=key, asset=asset.id, position=position, limits=limits, **row)
        account = {"gateway": "sim-1", "rejected": 0, "unsequenced": 0, "forks": 0}
        insert(
            db,
            "ledger",
            **account,
            boot=6,
            upto=9,
            missing="[]",
            accepted=10,
            duplicates=2,
            published=12,
            seen=now - 10**12,
        )
        insert(
            db,
            "ledger",
            **account,
            boot=7,
            upto=199,
            missing="[[100,102]]",
            accepted=197,
            duplicates=0,
            published=200,
            seen=now,
        )
        for n in range(5):
            insert(
                db,
                "quarantine",
                id=n + 1,
                at=now - n,
                topic=f"lab/v1/{PATH}/edge-2/data",
                reason="bad_length",
                detail=f"case {n}",
                payload=b'{"v":[1,\xff]}',
                count=1,
            )
        for n, (kind, start, end) in enumerate(
            (("process", 500, 400), ("process", 300, 250), ("instrument", 60, None))
        ):
            insert(
                db,
                "episode",
                id=f"e{n}",
                asset="tep-1",
                kind=kind,
                start=now - start * 10**9,
                end=None if end is None else now - end * 10**9,
                peak=3.5 + n,
                peak_at=now - start * 10**9,
                leading='[["xmeas_1",0.62]]',
                model="tep",
            )
    keys = [f"tep-1/{channel.tag}" for channel in PLANT_CHANNELS]
    keys += ["tep-1/~score", "tep-1/~energy", "tep-1/~sensor"]
    ids = historian.ids(keys)
    t = now - np.arange(600, 0, -1, dtype=np.int64) * 10**9
    for column, id in enumerate(ids):
        v = np.sin(np.arange(600) / 20.0 + column) + 10 * column
        q = np.zeros(600, np.uint8)
        if column == 1:
            v[-3:] = np.nan
            q[-3:] = 129
        historian.write(Batch(np.full(600, id, np.int32), t, v, q))
    historian.close()
    store.close()


@pytest.fixture(scope="module")
def config(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A filled data directory."""
    config = configure(tmp_path_factory.mktemp("lab"), broker.port)
    fill(config, time.time_ns())
    return config


@pytest.fixture(scope="module")
def server(config: Config) -> Iterator[Server]:
    """The API on the filled data directory."""
    server = Server(config)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    """An HTTP client that asks in English."""
    with httpx.Client(base_url=server.url, headers={"accept-language": "en"}, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def plant(broker: Broker, server: Server) -> Iterator[Plant]:
    """A simulated plant, heard by the API."""
    plant = Plant(broker.port)
    gateways = server.app.state.context.bus.gateways
    wait_for(lambda: "sim-1" in gateways and gateways["sim-1"].online and gateways["sim-1"].status, "the plant")
    yield plant
    plant.close()


@pytest.fixture(scope="module")
def collector(broker: Broker, server: Server) -> Iterator[Collector]:
    """A collector, heard by the API."""
    collector = Collector(broker.port)
    wait_for(lambda: server.app.state.context.bus.collector, "the collector's status")
    yield collector
    collector.close()
