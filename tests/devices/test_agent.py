import contextlib
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from devices.agent import Agent, AgentOptions
from devices.frame import MAX_FRAME_BYTES, Ack, Asset, Channel, Command, FrameError, Reply, State, decode_birth
from devices.link import BrokerAddress
from tests.devices.conftest import Broker, Collector, until

PATH = "kyushu/lab/demo/line1"
ROOT = f"lab/v1/{PATH}/gw-1"
T0 = 1_764_000_000 * 10**9


@contextlib.contextmanager
def agent(folder: Path, address: BrokerAddress, channels: int = 2, **options: object) -> Iterator[Agent]:
    made = Agent(
        "gw-1",
        PATH,
        [Asset("a-1", "test")],
        [Channel(f"c{i}") for i in range(channels)],
        folder / "spools" / "gw-1.db",
        address,
        **options,  # type: ignore[arg-type]
    )
    made.start()
    try:
        yield made
    finally:
        made.stop()


def send(made: Agent, count: int, start: int = 0) -> None:
    """Frames whose first value is their number."""
    for i in range(start, start + count):
        made.send(np.array([T0 + i * 10**9]), np.array([[float(i), np.nan]]))


def values(collector: Collector) -> list[float | None]:
    return [frame.v[0] for _, frame in sorted(collector.frames.items())]


def test_birth_state_frames_receipts_and_farewell(broker, collector, tmp_path):
    with agent(tmp_path, broker.address, version="1.2") as made:
        send(made, 250)
        assert made.wait_acknowledged(20)
        counters = made.counters()
        assert (counters.frames, counters.acknowledged, counters.dropped) == (250, 250, 0)
        assert made.spool_stats().frames == 0
        assert made.spool_stats().commits < 50
    assert values(collector) == [float(i) for i in range(250)]
    assert collector.order == sorted(collector.order)
    birth = decode_birth(collector.got("birth")[0])
    assert (birth.gateway, birth.b, birth.version) == ("gw-1", made.boot, "1.2")
    assert next(iter(collector.frames.values())).h == birth.h
    assert until(lambda: len(collector.got("state")) == 2)
    states = [msgspec.json.decode(payload, type=State) for payload in collector.got("state")]
    assert states == [State("online", made.boot), State("offline", made.boot)]
    late = Collector(broker.port, ROOT)
    try:
        assert until(lambda: late.got("birth") and late.got("state"))
        assert msgspec.json.decode(late.got("state")[0], type=State) == State("offline", made.boot)
    finally:
        late.close()


def test_what_was_made_without_a_broker_comes_when_there_is_one(broker, tmp_path):
    broker.kill()
    with agent(tmp_path, broker.address) as made:
        send(made, 20)
        assert until(lambda: made.spool_stats().frames == 20)
        assert "broker" in made.counters().last_error
    first_boot = made.boot
    broker.start()
    collector = Collector(broker.port, ROOT)
    try:
        with agent(tmp_path, broker.address, channels=2) as made:
            send(made, 5, start=20)
            assert made.wait_acknowledged(20)
        assert values(collector) == [float(i) for i in range(25)]
        assert {b for b, _ in collector.frames} == {first_boot, made.boot}
        assert collector.order[:25] == sorted(collector.frames)
    finally:
        collector.close()


def test_an_earlier_boots_channels_are_announced_before_its_frames(broker, tmp_path):
    broker.kill()
    with agent(tmp_path, broker.address, channels=2) as first:
        send(first, 3)
    broker.start()
    collector = Collector(broker.port, ROOT)
    try:
        with agent(tmp_path, broker.address, channels=1) as second:
            second.send(np.array([T0]), np.array([[1.0]]))
            assert second.wait_acknowledged(20)
        births = [decode_birth(payload) for payload in collector.got("birth")]
        assert [birth.b for birth in births] == [first.boot, second.boot]
        assert [len(birth.channels) for birth in births] == [2, 1]
        schemas = {birth.h: len(birth.channels) for birth in births}
        assert all(len(frame.v) == schemas[str(frame.h)] for frame in collector.frames.values())
    finally:
        collector.close()


def test_a_collector_that_was_away_gets_everything_once_it_is_back(broker, collector, tmp_path):
    collector.deaf = True  # connected, so the broker hands over and confirms; the frames are gone
    with agent(tmp_path, broker.address, options=AgentOptions(resend_s=0.3)) as made:
        send(made, 300)
        assert until(lambda: collector.ignored >= 300)
        collector.deaf = False
        assert made.wait_acknowledged(20)
        assert made.counters().resent >= 300
    assert values(collector) == [float(i) for i in range(300)]


def test_missing_frames_are_sent_again_when_the_receipt_names_them(broker, collector, tmp_path):
    with agent(tmp_path, broker.address, options=AgentOptions(resend_s=600)) as made:
        send(made, 10)
        assert made.wait_acknowledged(20)
        collector.deaf = True
        send(made, 20, start=10)
        assert until(lambda: collector.ignored == 20)
        collector.deaf = False
        send(made, 1, start=30)
        assert made.wait_acknowledged(20)
    assert values(collector) == [float(i) for i in range(31)]
    assert collector.order[-20:] == [(made.boot, s) for s in range(10, 30)]


def test_large_blocks_are_split_by_time(broker, collector, tmp_path):
    n, c = 1000, 30
    v = np.random.default_rng(1).normal(size=(n, c))
    q = np.where(v > 2, 131, 0).astype(np.uint8)
    with agent(tmp_path, broker.address, channels=c) as made:
        frames = made.send(T0 + np.arange(n) * 10**6, v, q)
        assert frames > 5
        assert made.wait_acknowledged(20)
        with pytest.raises(ValueError, match="shape"):
            made.send(np.array([T0]), np.zeros((1, 3)))
    got = [frame for _, frame in sorted(collector.frames.items())]
    assert len(got) == frames
    assert all(len(payload) <= MAX_FRAME_BYTES for payload in collector.payloads.values())
    np.testing.assert_array_equal(np.concatenate([frame.values(c) for frame in got]), v)
    position = {f"c{i}": i for i in range(c)}
    np.testing.assert_array_equal(np.concatenate([frame.qualities(position) for frame in got]), q)
    assert [t for frame in got for t in frame.times(0)] == (T0 + np.arange(n) * 10**6).tolist()


def test_commands(broker, collector, tmp_path):
    calls: list[str] = []

    def on_command(command: Command) -> Reply | None:
        calls.append(command.op)
        if command.op == "later":
            return None
        if command.op == "fail":
            raise KeyError("size")
        return Reply(command.id, True, result={"args": command.args})

    collector.command(Command("old", "stale"), retain=True)
    with agent(tmp_path, broker.address, on_command=on_command) as made:
        assert until(lambda: made.counters().connections == 1 and collector.got("birth"))
        collector.command(Command("1", "do", {"x": 1}))
        collector.command(Command("1", "do", {"x": 1}))
        collector.command(Command("2", "fail"))
        collector.command(Command("3", "later"))
        collector.command(b'{"op":"no id"}')
        collector.command(b"\xff")
        assert until(lambda: calls == ["do", "fail", "later"] and made.counters().bad_messages == 2)
        made.reply(Reply("3", True))
        assert until(lambda: len(collector.replies()) == 4)
        births = len(collector.got("birth"))
        collector.command(Command("4", "rebirth"))
        assert until(lambda: len(collector.got("birth")) == births + 1 and len(collector.replies()) == 5)
    replies = collector.replies()
    assert [reply["id"] for reply in replies] == ["1", "1", "2", "3", "4"]
    assert [reply["ok"] for reply in replies] == [True, True, False, True, True]
    assert replies[0]["result"] == {"args": {"x": 1}}
    assert "size" in str(replies[2]["detail"])


def test_a_device_without_commands_says_so(broker, collector, tmp_path):
    with agent(tmp_path, broker.address) as made:
        assert until(lambda: made.counters().connections)
        collector.command(Command("1", "fault"))
        assert until(collector.replies)
    assert collector.replies()[0]["ok"] is False


def test_receipts_that_cannot_be_ours_delete_nothing(broker, collector, tmp_path):
    collector.deaf = True
    with agent(tmp_path, broker.address) as made:
        send(made, 10)
        assert until(lambda: made.counters().sent == 10)
        for payload in (
            msgspec.json.encode(Ack(made.boot, 10, [])),
            msgspec.json.encode(Ack(made.boot + 1, 3, [])),
            b'{"b":1}',
            b"{",
        ):
            collector.client.publish(f"{ROOT}/ack", payload, 1)
        assert until(lambda: made.counters().bad_messages == 4)
        assert made.spool_stats().frames == 10
        assert not made.wait_acknowledged(0.1)


def test_a_full_disk_is_counted_and_survived(broker, collector, tmp_path):
    def send(made: Agent, count: int, start: int = 0) -> None:
        for i in range(start, start + count):
            made.send(np.array([T0 + i * 10**9]), np.full((1, 400), i + 1 / 3))

    with agent(tmp_path, broker.address, channels=400, options=AgentOptions(memory_frames=50)) as made:
        send(made, 10)
        assert made.wait_acknowledged(20)
        made._spool._db.execute("PRAGMA max_page_count=1")
        send(made, 40, start=10)
        assert until(lambda: made.counters().disk_errors > 0)
        assert "free some space" in made.counters().last_error
        send(made, 30, start=50)  # does not block: the oldest go
        assert made.counters().dropped == 20
        assert made.counters().acknowledged == 10
        made._spool._db.execute("PRAGMA max_page_count=1000000")
        assert made.wait_acknowledged(20)
        assert made.counters().last_error == ""
        assert made.counters().dropped == 20
    assert values(collector) == [i + 1 / 3 for i in (*range(10), *range(30, 80))]
    events = [msgspec.json.decode(payload) for payload in collector.got("event")]
    assert any(
        event["kind"] == "spool" and event["disk_errors"] and "free some space" in event["error"] for event in events
    )
    assert [ack.missing for ack in collector.acks()] == [[(10, 29)]]  # the loss shows at the receiver


def test_a_frame_that_ends_the_connection_does_not_hold_up_the_others(broker, collector, tmp_path):
    broker.kill()
    broker.start("max_packet_size 5000")
    with agent(tmp_path, broker.address, channels=2, options=AgentOptions(resend_s=1.0)) as made:
        send(made, 5)
        made.send(T0 + np.arange(1000) * 10**6, np.random.default_rng(0).normal(size=(1000, 2)))
        send(made, 5, start=5)
        assert until(lambda: made.counters().acknowledged == 10 and made.counters().parked == 1)
        assert made.spool_stats().frames == 1
    broker.kill()
    broker.start("max_packet_size 500000")
    with agent(tmp_path, broker.address, channels=2) as made:
        assert made.wait_acknowledged(20)  # it was kept
    assert len(collector.frames) == 11


def test_wrong_names_are_refused_before_a_file_is_made(tmp_path):
    for gateway, path, channels in (("a/b", PATH, ["x"]), ("a", "one/two", ["x"]), ("a", PATH, ["x", "x"])):
        with pytest.raises((ValueError, FrameError)):
            Agent(
                gateway, path, [Asset("a-1", "t")], [Channel(c) for c in channels], tmp_path / "s.db", BrokerAddress()
            )
    assert not list(tmp_path.iterdir())


def test_a_stopped_agent_takes_no_more(broker, tmp_path):
    with agent(tmp_path, broker.address) as made:
        send(made, 1)
    with pytest.raises(RuntimeError, match="not running"):
        send(made, 1)
    made.stop()


def test_killing_the_broker_at_random_points_loses_nothing(broker, collector, tmp_path):
    rng = random.Random(11)
    options = AgentOptions(resend_s=1.0, commit_s=0.02)
    with agent(tmp_path, broker.address, options=options) as made:
        for round_ in range(4):
            for i in range(rng.randrange(50, 150)):
                send(made, 1, start=round_ * 1000 + i)
                time.sleep(rng.random() * 0.004)
            broker.kill(rng.choice([signal.SIGKILL, signal.SIGTERM]))
            send(made, rng.randrange(0, 30), start=round_ * 1000 + 500)
            broker.start()
            time.sleep(rng.random() * 0.5)
        assert made.wait_acknowledged(30)
        assert made.counters().connections >= 4
        frames = made.counters().frames
    assert sorted(collector.frames) == [(made.boot, s) for s in range(frames)]
    assert all(ack.missing == [] for ack in collector.acks())


PRODUCER = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    import numpy as np
    from devices.agent import Agent, AgentOptions
    from devices.frame import Asset, Channel
    from devices.link import BrokerAddress
    agent = Agent("gw-1", sys.argv[3], [Asset("a-1", "test")], [Channel("n"), Channel("x")], Path(sys.argv[1]),
                  BrokerAddress(port=int(sys.argv[2])), options=AgentOptions(commit_s=0.02, resend_s=1.0))
    agent.start()
    print(agent.boot, flush=True)
    for i in range(int(sys.argv[4])):
        agent.send(np.array([1_764_000_000 * 10**9 + i * 10**9]), np.array([[float(i), i * 1.25]]))
        with agent._wake:
            print(agent._next_s - len(agent._pending), flush=True)  # so many are on the disk
        time.sleep(0.002)
    agent.wait_acknowledged(20)
    agent.stop()
    """
)


def test_killing_the_agent_and_the_broker_loses_nothing_that_was_committed(broker: Broker, tmp_path: Path) -> None:
    rng = random.Random(7)
    collector = Collector(broker.port, ROOT)
    spool = tmp_path / "gw-1.db"
    committed: dict[int, int] = {}
    try:
        for round_ in range(4):
            last = round_ == 3
            with subprocess.Popen(
                [sys.executable, "-c", PRODUCER, str(spool), str(broker.port), PATH, "200" if last else "5000"],
                stdout=subprocess.PIPE,
                text=True,
            ) as process:
                assert process.stdout
                boot = int(process.stdout.readline())
                lines = [process.stdout.readline() for _ in range(1 if last else rng.randrange(20, 250))]
                if not last:
                    if rng.random() < 0.5:
                        broker.kill()
                        lines += [process.stdout.readline() for _ in range(rng.randrange(1, 60))]
                        process.kill()
                        broker.start()
                    else:
                        process.kill()
                lines += process.stdout.readlines()
            committed[boot] = int([line for line in lines if line.endswith("\n")][-1])
        assert process.returncode == 0
        assert until(lambda: max(collector.frames) == (boot, 199))
        boots = sorted({b for b, _ in collector.frames})
        for b in boots:
            numbers = sorted(s for other, s in collector.frames if other == b)
            assert numbers == list(range(len(numbers))), "a gap within a boot"
            for s in numbers:
                assert collector.frames[b, s].v == [float(s), s * 1.25]
                assert collector.frames[b, s].times(0) == [T0 + s * 10**9]
            assert len(numbers) >= committed[b] > 0
        assert len(boots) == 4
        assert len([s for b, s in collector.frames if b == boot]) == 200
        states = [msgspec.json.decode(payload, type=State) for payload in collector.got("state")]
        assert states[-1] == State("offline", boot)
    finally:
        collector.close()
