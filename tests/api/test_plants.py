"""Commands: what is posted reaches the plant as the wire's command, and its answer comes back."""

from typing import Any

import httpx
import pytest

from api import schema
from tests.api.conftest import Plant, Server, wait_for


@pytest.fixture(autouse=True)
def obedient(plant: Plant) -> None:
    """Every test begins with a plant that obeys."""
    plant.refuse, plant.mute = "", False
    plant.commands.clear()


@pytest.mark.parametrize(
    ("route", "body", "op", "args"),
    [
        ("faults", {"idv": 6, "on": True}, "fault", {"idv": 6, "on": True}),
        (
            "faults",
            {"tag": "xmeas_9", "kind": "bias", "size": 2, "on": True},
            "sensor_fault",
            {"tag": "xmeas_9", "kind": "bias", "size": 2.0, "on": True},
        ),
        (
            "faults",
            {"xmv": 10, "kind": "stuck", "on": True},
            "actuator_fault",
            {"xmv": 10, "kind": "stuck", "size": 0.5, "on": True},
        ),
        ("setpoints", {"loop": 9, "value": 235}, "setpoint", {"loop": 9, "value": 235.0}),
        ("setpoints", {"loop": 4, "manual": True}, "manual", {"loop": 4, "on": True}),
        ("setpoints", {"xmv": 4, "value": 55}, "valve", {"xmv": 4, "value": 55.0}),
        ("speed", {"speed": 60}, "speed", {"speed": 60.0}),
        ("speed", {"running": False}, "run", {"on": False}),
        ("reset", {"seed": 3}, "reset", {"seed": 3}),
        ("reset", {}, "reset", {"seed": 1}),
    ],
)
def test_command(
    http: httpx.Client, plant: Plant, route: str, body: dict[str, Any], op: str, args: dict[str, Any]
) -> None:
    answer = http.post(f"/api/v1/simulators/tep-1/{route}", json=body)
    assert answer.status_code == 200, answer.text
    reply = schema.PlantReply.model_validate_json(answer.content)
    (command,) = plant.commands
    assert (command["op"], command["args"], command["id"]) == (op, args, reply.id)


def test_refusal_is_a_problem_with_the_plants_words(http: httpx.Client, plant: Plant) -> None:
    plant.refuse = "loop 4 is in automatic"
    answer = http.post("/api/v1/simulators/tep-1/setpoints", json={"xmv": 4, "value": 55})
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "/problems/plant-refused"
    assert "loop 4 is in automatic" in problem["detail"]


@pytest.mark.parametrize(
    ("told", "ja"),
    [
        ({"code": "automatic", "values": {"xmv": 4}}, "ループ4を手動に"),
        ({"code": "setpoint", "values": {"loop": 9, "value": 1e5, "lo": 0.0, "hi": 460.0}}, "0〜460の範囲"),
        ({"code": "size", "values": {}}, "0以外"),
        ({"code": "automatic", "values": {}}, "its words"),
        ({"code": "setpoint", "values": {"loop": 9, "lo": "x", "hi": 1}}, "its words"),
        ({"code": "new", "values": []}, "its words"),
    ],
)
def test_a_refusal_is_told_in_the_readers_language(
    http: httpx.Client, plant: Plant, told: dict[str, Any], ja: str
) -> None:
    plant.refuse, plant.told = "its words", told
    answer = http.post("/api/v1/simulators/tep-1/setpoints?lang=ja", json={"xmv": 4, "value": 55})
    assert answer.status_code == 422
    assert ja in answer.json()["detail"]
    assert answer.json()["result"] == told


def test_silence_is_a_504(http: httpx.Client, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.bus.REPLY_S", 0.2)
    plant.mute = True
    answer = http.post("/api/v1/simulators/tep-1/speed", json={"speed": 2})
    assert answer.status_code == 504
    assert answer.json()["type"] == "/problems/plant-silent"
    assert len(plant.commands) == 1


def test_an_answer_to_somebody_else_is_nobodys(http: httpx.Client, plant: Plant, server: Server) -> None:
    bus = server.app.state.context.bus
    plant.say("lab/v1/kyushu/lab/demo/line1/sim-1/event", b'{"id":"other","ok":true,"kind":"reply"}')
    plant.status(speed=3.0)
    wait_for(lambda: bus.gateways["sim-1"].status["speed"] == 3.0, "the new status")
    assert bus._waiting == {}


def test_a_plant_that_is_off_is_not_waited_for(http: httpx.Client, plant: Plant, server: Server) -> None:
    gateway = server.app.state.context.bus.gateways["sim-1"]
    name = "lab/v1/kyushu/lab/demo/line1/sim-1/state"
    plant.say(name, b'{"state":"offline","b":6}', retain=True)  # the late will of an older boot
    plant.say("lab/v1/kyushu/lab/demo/line1/sim-1/event", b'{"kind":"status","speed":4.0}')
    wait_for(lambda: gateway.status["speed"] == 4.0, "the status after the late will")
    assert gateway.online
    plant.say(name, b'{"state":"offline","b":7}', retain=True)
    wait_for(lambda: not gateway.online, "the plant to be off")
    answer = http.post("/api/v1/simulators/tep-1/speed", json={"speed": 2})
    assert answer.status_code == 504
    assert plant.commands == []
    plant.say(name, b'{"state":"online","b":7}', retain=True)
    wait_for(lambda: gateway.online, "the plant to be on again")


@pytest.mark.parametrize(
    ("route", "body", "fields"),
    [
        ("faults", {"idv": 99, "on": True}, ["idv"]),
        ("faults", {"idv": 6}, ["on"]),
        ("faults", {"idv": 6, "on": True, "extra": 1}, ["extra"]),
        ("faults", {}, ["body"]),
        ("faults", [], ["body"]),
        ("faults", {"tag": "a b", "kind": "bias", "on": True}, ["tag"]),
        ("faults", {"tag": "a", "kind": "melt", "on": True}, ["kind"]),
        ("setpoints", {"loop": 9}, ["value"]),
        ("setpoints", {"xmv": 4, "value": 101}, ["value"]),
        ("setpoints", {"loop": 9, "value": "hot"}, ["value"]),
        ("speed", {"speed": 0}, ["speed"]),
        ("speed", {"speed": 601}, ["speed"]),
        ("speed", {"running": "perhaps"}, ["running"]),
        ("reset", {"seed": -1}, ["seed"]),
        ("reset", {"seed": 1.5}, ["seed"]),
    ],
)
def test_what_does_not_fit_names_the_field(
    http: httpx.Client, plant: Plant, route: str, body: Any, fields: list[str]
) -> None:
    answer = http.post(f"/api/v1/simulators/tep-1/{route}", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == fields
    assert plant.commands == []


def test_nothing_of_that_name(http: httpx.Client, plant: Plant) -> None:
    for id in ("nosuch", "edge-2", "pump-2"):
        answer = http.post(f"/api/v1/simulators/{id}/speed", json={"speed": 2})
        assert answer.status_code == 404, id
        assert id in answer.json()["detail"]


@pytest.mark.parametrize(
    ("cls", "payload"),
    [
        ("birth", b"{"),
        ("birth", b'{"gateway":"x"}'),
        ("state", b"7"),
        ("state", b'{"state":"maybe","b":1}'),
        ("event", b"[]"),
        ("event", b"\xff\xfe"),
        ("event", b'{"kind":"reply","id":5}'),
    ],
)
def test_nonsense_on_the_wire_is_counted(plant: Plant, server: Server, cls: str, payload: bytes) -> None:
    bus = server.app.state.context.bus
    before = bus.bad
    plant.say(f"lab/v1/kyushu/lab/demo/line1/stranger/{cls}", payload)
    wait_for(lambda: bus.bad == before + 1, "the message to be counted")


def test_a_birth_taken_back_is_forgotten(plant: Plant, server: Server) -> None:
    bus = server.app.state.context.bus
    name = "lab/v1/kyushu/lab/demo/line1/gone"
    plant.say(f"{name}/state", b'{"state":"online","b":1}', retain=True)
    wait_for(lambda: "gone" in bus.gateways, "the gateway")
    plant.say(f"{name}/birth", b"", retain=True)
    wait_for(lambda: "gone" not in bus.gateways, "the gateway to be forgotten")
    plant.say(f"{name}/state", b"", retain=True)
