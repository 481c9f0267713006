import threading

import msgspec
import numpy as np
import pytest

from devices.agent import Agent
from devices.frame import Command, Frame
from devices.quality import CODES
from devices.simulated import Pace, Plant, asset, channels, run_plants
from lab.text import text
from simulators import tep
from tests.devices.conftest import Collector, until

PATH = "kyushu/lab/demo/line1"
TAGS = [channel.tag for channel in channels()]


def do(plant: Plant, op: str, **args: object) -> str:
    reply = plant.carry_out(Command("1", op, args))
    assert reply.ok == (not reply.detail)
    return reply.detail


@pytest.mark.parametrize(
    ("op", "args", "code"),
    [
        ("fault", {"idv": 28, "on": True}, "disturbance"),
        ("setpoint", {"loop": 9, "value": 99999.0}, "setpoint"),
        ("valve", {"xmv": 1, "value": 20.0}, "automatic"),
        ("sensor_fault", {"tag": "xmeas_77", "kind": "bias", "size": 1.0, "on": True}, "sensor"),
        ("sensor_fault", {"tag": "xmeas_1", "kind": "bias", "size": 0.0, "on": True}, "size"),
        ("sensor_fault", {"tag": "xmeas_1", "kind": "noise", "size": -1.0, "on": True}, "noise"),
        ("actuator_fault", {"xmv": 1, "kind": "slow", "size": 0.5, "on": True}, "slow"),
        ("actuator_fault", {"xmv": 1, "kind": "bias", "size": 200.0, "on": True}, "bias"),
        ("actuator_fault", {"xmv": 1, "kind": "lossofeffect", "size": 2.0, "on": True}, "lossofeffect"),
    ],
)
def test_a_refusal_has_a_code_with_a_text_in_every_language(op: str, args: dict[str, object], code: str) -> None:
    reply = Plant(1).carry_out(Command("1", op, args))
    assert (reply.ok, reply.result["code"]) == (False, code)
    values = msgspec.convert(reply.result["values"], dict[str, object])
    for lang in ("en", "ja"):
        assert text(f"api.refused.{code}", lang, **values)


def scans(plant: Plant, until_s: int) -> dict[int, list[float]]:
    found = {}
    while plant.next_scan() <= until_s:
        v, _ = plant.scan()
        found[plant.seconds] = v[0].tolist()
    return found


def test_channels_say_what_is_what():
    by_tag = {channel.tag: channel for channel in channels()}
    assert len(by_tag) == 55
    roles = [channel.role for channel in channels()]
    assert roles == ["measurement"] * 41 + ["manipulated"] * 11 + ["status"] * 3
    assert by_tag["xmeas_7"].limits is not None
    assert by_tag["xmeas_7"].limits.hi_trip == 3000.0
    assert by_tag["xmeas_1"].limits is None
    assert asset("tep-1").clock in by_tag


@pytest.mark.parametrize("speed", [1, 2.5, 7, 60, 600])
def test_scans_come_with_the_speed_and_always_at_the_multiples_of_180(speed):
    plant = Plant(3, speed)
    times = list(scans(plant, 360))
    every = min(180, round(speed))
    assert times == sorted({*range(every, 361, every), *range(180, 361, 180)})


def test_the_scans_are_the_records_of_the_benchmark_protocol_at_any_speed():
    run = tep.simulate(0.5, [7], generator="numpy")
    records = tep.round_records(run.records[0])
    for speed in (600, 7):
        found = scans(Plant(7, speed), 1800)
        np.testing.assert_array_equal([found[s][:52] for s in range(180, 1801, 180)], records)
        assert [found[s][53] for s in (180, 360)] == [180.0, 360.0]


def test_same_seed_and_commands_give_the_same_and_a_reset_starts_over():
    def story(plant: Plant) -> list[list[float]]:
        first = scans(plant, 360)
        plant.advance_to(407)  # a command comes between scans
        do(plant, "fault", idv=4)
        do(plant, "setpoint", loop=9, value=235.0)
        return list({**first, **scans(plant, 900)}.values())

    plant = Plant(5, 60)
    once = story(plant)
    assert do(plant, "reset") == ""
    assert plant.status()["faults"] == []
    assert story(plant) == once
    assert do(plant, "reset", seed=6) == ""
    assert story(plant) != once
    assert story(Plant(5, 60)) == once
    assert list(scans(Plant(5, 60), 900).values()) != once


def test_commands_show_in_the_status():
    plant = Plant(1)
    plant.advance_to(10)
    for op, args in (
        ("fault", {"idv": 6}),
        ("fault", {"idv": 3, "on": True}),
        ("setpoint", {"loop": 9, "value": 240}),
        ("manual", {"loop": 4, "on": True}),
        ("valve", {"xmv": 4, "value": 55.0}),
        ("sensor_fault", {"tag": "xmeas_9", "kind": "bias", "size": 2.0, "on": True}),
        ("actuator_fault", {"xmv": 10, "kind": "stuck", "on": True}),
        ("speed", {"speed": 2}),
        ("run", {"on": False}),
    ):
        assert do(plant, op, **args) == ""
    plant.advance_to(40)
    status = plant.status()
    assert msgspec.json.decode(msgspec.json.encode(status)) == status
    assert (status["faults"], status["manual"], status["speed"], status["running"]) == ([3, 6], [4], 2.0, False)
    assert status["setpoints"]["9"] == 240.0
    assert status["sensor_faults"] == [{"tag": "xmeas_9", "kind": "bias", "size": 2.0}]
    assert status["actuator_faults"] == [{"xmv": 10, "kind": "stuck", "size": 0.0}]
    assert (status["plant_s"], status["tripped"]) == (40, None)
    assert 100 < status["cost_per_h"] < 300
    assert [trip["tag"] for trip in status["trips"]] == [tag for _, tag, _ in tep.TRIP_LIMITS]
    v = dict(zip(TAGS, plant.scan()[0][0], strict=True))
    assert v["xmv_4"] == 55.0
    for op, args in (
        ("fault", {"idv": 6, "on": False}),
        ("fault", {"idv": 3, "on": False}),
        ("manual", {"loop": 4, "on": False}),
        ("sensor_fault", {"tag": "xmeas_9", "on": False}),
        ("actuator_fault", {"xmv": 10, "on": False}),
        ("setpoint", {"loop": 9, "value": None}),
    ):
        assert do(plant, op, **args) == ""
    status = plant.status()
    assert [status[name] for name in ("faults", "manual", "sensor_faults", "actuator_faults")] == [[], [], [], []]


@pytest.mark.parametrize(
    ("op", "args", "says"),
    [
        ("explode", {}, "want fault, setpoint"),
        ("fault", {"idv": 22}, "1 to 21"),
        ("fault", {}, "idv"),
        ("fault", {"idv": "6"}, "int"),
        ("fault", {"idv": 6, "when": 3}, "when"),
        ("fault", {"idv": True}, "int"),
        ("setpoint", {"loop": 12, "value": 1.0}, "loop 12"),
        ("setpoint", {"loop": 9, "value": 4600.0}, "0.0 to 460"),
        ("valve", {"xmv": 4, "value": 50.0}, "manual first"),
        ("valve", {"xmv": 13, "value": 50.0}, "13"),
        ("manual", {"loop": 0}, "loop 0"),
        ("sensor_fault", {"tag": "xmv_1", "kind": "bias", "size": 1.0}, "xmeas_1 to"),
        ("sensor_fault", {"tag": "xmeas_1", "kind": "melt", "size": 1.0}, "melt"),
        ("sensor_fault", {"tag": "xmeas_1", "kind": "bias"}, "size"),
        ("sensor_fault", {"tag": "xmeas_1"}, "which kind"),
        ("actuator_fault", {"xmv": 10, "kind": "slow", "size": 0.5}, "over 1"),
        ("actuator_fault", {"xmv": 10, "kind": "bias"}, "size"),
        ("speed", {"speed": 0}, ">= 1"),
        ("speed", {"speed": 1000}, "<= 600"),
        ("run", {}, "on"),
        ("reset", {"seed": -1}, ">= 0"),
    ],
)
def test_a_wrong_command_changes_nothing_and_says_why(op, args, says):
    plant = Plant(1)
    before = plant.status()
    assert says in do(plant, op, **args)
    assert plant.status() == before


def test_sensor_faults_show_in_value_and_quality():
    plant = Plant(1)
    assert do(plant, "sensor_fault", tag="xmeas_9", kind="dropout") == ""
    assert do(plant, "sensor_fault", tag="xmeas_1", kind="bias", size=50.0) == ""
    plant.advance_to(60)
    v, q = plant.scan()
    bad = {tag: int(code) for tag, code in zip(TAGS, q[0], strict=True) if code}
    assert bad == {"xmeas_9": CODES["bad:comm"], "xmeas_1": CODES["bad:range"]}
    assert np.isnan(v[0][8])
    assert v[0][0] > 40


def test_a_trip_is_a_reading_and_a_reset_ends_it():
    plant = Plant(1, 600)
    assert do(plant, "fault", idv=6) == ""
    plant.advance_to(12 * 3600)
    assert plant.status()["tripped"] in tep.TRIPS
    frozen = dict(zip(TAGS, plant.scan()[0][0], strict=True))
    assert frozen["xmeas_7"] > 2500
    assert dict(zip(TAGS, plant.scan()[0][0], strict=True))["trip"] == tep.TRIPS.index(plant.status()["tripped"])
    assert do(plant, "reset") == ""
    assert plant.status()["tripped"] is None
    assert plant.seconds == 0


@pytest.mark.parametrize(("seed", "speed"), [(-1, 60), (1, 0), (1, 601), (1, float("nan"))])
def test_what_no_plant_can_be(seed, speed):
    with pytest.raises(ValueError, match="want"):
        Plant(seed, speed)


def test_the_pace_does_not_drift_and_tells_what_it_reached():
    pace = Pace(100.0, 0.0, 7.0)
    assert [pace.due(7.0 * k) for k in range(5)] == [100.0 + k for k in range(5)]
    assert pace.reached(103.5) == 24.5
    assert pace.achieved() is None
    pace.note(100.0, 0.0)
    pace.note(102.0, 7.0)
    assert pace.achieved() == 3.5
    pace.restart(102.0, 7.0, 1.0)
    assert pace.due(8.0) == 103.0


def test_two_plants_at_work(broker, tmp_path):
    stop = threading.Event()

    def connect(id, on_command):
        return Agent(
            id,
            PATH,
            [asset(id)],
            channels(),
            tmp_path / f"{id}.db",
            broker.address,
            on_command=on_command,
            simulator=True,
        )

    plants = {"tep-1": Plant(1, 600), "tep-2": Plant(2, 60)}
    collectors = {id: Collector(broker.port, f"lab/v1/{PATH}/{id}") for id in plants}
    thread = threading.Thread(target=run_plants, args=(plants, connect, stop))
    thread.start()
    try:
        first, second = collectors["tep-1"], collectors["tep-2"]
        assert until(lambda: len(first.frames) >= 3)
        second.command(Command("p", "run", {"on": False}))
        first.command(Command("f", "fault", {"idv": 1}))
        first.command(Command("s", "speed", {"speed": 9999}))
        assert until(lambda: len(first.replies()) == 2 and second.replies())
        assert [(reply["id"], reply["ok"]) for reply in first.replies()] == [("f", True), ("s", False)]
        first.command(Command("r", "reset", {}))
        assert until(lambda: len(first.replies()) == 3)
        count = len(first.frames)
        assert until(lambda: len(first.frames) >= count + 4)
        statuses = [msgspec.json.decode(payload) for payload in first.got("event")]
        statuses = [status for status in statuses if status["kind"] == "status"]
        assert any(status["faults"] == [1] for status in statuses)
        assert until(lambda: msgspec.json.decode(first.got("event")[-1])["faults"] == [])
    finally:
        stop.set()
        thread.join()
        for collector in collectors.values():
            collector.close()

    def clocked(frames: list[Frame]) -> list[dict[int, list[float | None]]]:
        """Frames by plant second, anew from each start."""
        lives: list[dict[int, list[float | None]]] = []
        last = 10**9
        for frame in frames:
            at = int(frame.v[53] or 0)
            if at < last:
                lives.append({})
            lives[-1][at] = frame.v
            last = at
        return lives

    before, after = clocked([frame for _, frame in sorted(first.frames.items())])
    assert list(after)[:3] == [180, 360, 540]
    for at in set(before) & set(after) & {180, 360}:
        assert before[at] == after[at]
    assert after[180] == scans(Plant(1, 600), 180)[180]
    times = [frame.times(0)[0] for _, frame in sorted(first.frames.items())]
    assert times == sorted(times)
