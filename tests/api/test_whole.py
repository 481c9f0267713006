"""The API beside the real collector: what a gateway publishes is what the API answers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from websockets.sync.client import connect

from devices.frame import Asset, Birth, Channel, State, schema_hash
from devices.topics import topic
from tests.api.conftest import PATH, Broker, Peer, Server, configure, wait_for

CHANNELS = [Channel("pressure", "kPa", decimals=1, expire_s=60.0), Channel("flow", "m3/h")]


@pytest.fixture
def whole(broker: Broker, tmp_path: Path) -> Iterator[Server]:
    """An API and a collector on one data directory."""
    config = configure(tmp_path, broker.port)
    said = ["--data-dir", str(tmp_path), "--broker", f"mqtt://127.0.0.1:{broker.port}"]
    collector = subprocess.Popen(
        [sys.executable, "-m", "lab", "collector", *said],
        env=os.environ | {"LAB_LANG": "en"},
        stderr=subprocess.DEVNULL,
    )
    server = Server(config)
    try:
        server.start()
        bus = server.app.state.context.bus
        # Not what an earlier one left with the broker.
        wait_for(lambda: bus.collector.get("pid") == collector.pid, "the collector")
        yield server
    finally:
        server.stop()
        collector.terminate()
        try:
            collector.wait(20)
        finally:
            collector.kill()


def test_from_the_gateway_to_the_answer(whole: Server, broker: Broker) -> None:
    gateway = Peer(broker.port)
    birth = Birth("edge-9", 4, schema_hash(CHANNELS), [Asset("pump-9", "pump", "Pump 9")], CHANNELS)
    gateway.say(topic(PATH, "edge-9", "birth"), msgspec.json.encode(birth), retain=True)
    gateway.say(topic(PATH, "edge-9", "state"), msgspec.json.encode(State("online", 4)), retain=True)
    began = round(time.time(), 3) - 20
    try:
        with connect(whole.live, proxy=None) as live, httpx.Client(base_url=whole.url, trust_env=False) as http:
            wait_for(lambda: whole.hub.clients, "the viewer")
            for s in range(20):
                frame = {"b": 4, "s": s, "h": birth.h, "t": began + s, "v": [100.0 + s, None if s == 7 else 5.0]}
                gateway.say(topic(PATH, "edge-9", "data"), json.dumps(frame))
            gateway.say(
                topic(PATH, "edge-9", "data"), json.dumps({"b": 4, "s": 20, "h": birth.h, "t": began, "v": [1]})
            )

            def seen() -> bool:
                asset = json.loads(live.recv(20)).get("assets", {}).get("pump-9")
                return asset is not None and asset["v"] == [119.0, 5.0]

            wait_for(seen, "the last reading on the live view")

            query = {"sensors": "pump-9/pressure,pump-9/flow", "from": "-10m"}
            wait_for(
                lambda: len(http.get("/api/v1/series", params=query).json()["series"]["pump-9/pressure"]["t"]) == 20,
                "the readings in the store",
            )
            series = http.get("/api/v1/series", params=query).json()["series"]
            assert series["pump-9/pressure"]["v"] == [100.0 + s for s in range(20)]
            assert series["pump-9/flow"]["v"] == [None if s == 7 else 5.0 for s in range(20)]
            assert series["pump-9/pressure"]["t"] == [round((began + s) * 1000) for s in range(20)]

            asset = http.get("/api/v1/assets/pump-9").json()
            assert (asset["name"], asset["online"], asset["health"], asset["sensors"]) == (
                "Pump 9",
                True,
                "learning",
                2,
            )
            newest = http.get("/api/v1/assets/pump-9/sensors").json()["sensors"][0]
            assert (newest["value"], newest["quality"], newest["stale"]) == (119.0, "good", False)

            account = wait_for(
                lambda: next((a for a in http.get("/api/v1/ledger").json()["gateways"] if a["rejected"]), None),
                "the account",
            )
            assert (account["gateway"], account["published"], account["accepted"]) == ("edge-9", 21, 20)
            assert account["proof"] is True
            (entry,) = http.get("/api/v1/quarantine").json()["entries"]
            assert entry["reason"] == "bad_length"
            assert http.get("/healthz").status_code == 200
            wait_for(lambda: "lab_collector_counters_frames 20" in http.get("/metrics").text, "the counters")
    finally:
        gateway.close()
