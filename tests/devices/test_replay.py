import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.agent import Agent
from devices.frame import Asset
from devices.replay import channels, play, schedule, tags
from devices.topics import TAG
from tests.devices.conftest import until

SECOND = 10**9


def test_tags_of_headers():
    headers = [
        "xmeas_1",
        "TI-101",
        "Volume Flow [l/min]",
        "温度",
        "圧力(kPa)",
        "温度 ",
        "",
        "a b",
        "a_b",
        "Temperature",
    ]
    found = tags(headers)
    assert found[:3] == ["xmeas_1", "TI-101", "Volume_Flow_l_min"]
    assert found[4].startswith("kPa_")
    assert found[8] == "a_b"
    assert found[7].startswith("a_b_")
    assert len(set(found)) == len(headers)
    assert found[3] == tags(["温度", "other"])[0]
    with pytest.raises(ValueError, match="twice"):
        tags(["a", "a"])


@given(st.lists(st.text(max_size=100), unique=True, max_size=20))
def test_any_headers_get_allowed_and_different_tags(headers):
    found = tags(headers)
    assert all(TAG.match(tag) for tag in found)
    assert len(set(found)) == len(headers)
    assert all(tag == header for header, tag in zip(headers, found, strict=True) if TAG.match(header))


def test_names_and_units_of_headers():
    found = channels(["xmeas_1", "温度(℃)", "Flow [ l/min ]", "f(x) of y"])
    assert [(channel.name, channel.unit) for channel in found] == [
        ("", "1"),
        ("温度(℃)", "°C"),
        ("Flow [ l/min ]", "l/min"),
        ("f(x) of y", "1"),
    ]


def test_schedule_keeps_gaps_and_divides_them():
    times = np.array([0, 1, 2, 3600, 3601]) * SECOND
    assert schedule(times, 5, 1.0, 10.0).tolist() == [0, SECOND // 10, SECOND // 5, 360 * SECOND, 360100000000]
    capped = schedule(times, 5, 1.0, 10.0, max_pause_s=2.0)
    assert np.diff(capped).tolist() == [SECOND // 10, SECOND // 10, 2 * SECOND, SECOND // 10]
    assert schedule(None, 3, 180.0, 60.0).tolist() == [0, 3 * SECOND, 6 * SECOND]
    assert schedule(None, 1, 1.0, 1.0).tolist() == [0]
    assert schedule(None, 0, 1.0, 1.0).tolist() == []


@pytest.mark.parametrize(
    ("times", "speed", "pause"),
    [(None, 0.0, None), (None, float("nan"), None), (None, 1.0, 0.0), ([0, 0, 1], 1.0, None), (None, 1e9, None)],
)
def test_schedules_that_cannot_be(times, speed, pause):
    times = None if times is None else np.array(times) * SECOND
    with pytest.raises(ValueError, match=r"speed|increase"):
        schedule(times, 3, 1.0, speed, pause)


@pytest.fixture
def agent(broker, tmp_path):
    made = Agent(
        "gw-1",
        "kyushu/lab/demo/line1",
        [Asset("run-1", "csv")],
        channels(["温度", "b"]),
        tmp_path / "run-1.db",
        broker.address,
    )
    made.start()
    yield made
    made.stop()


def test_a_table_arrives_as_it_is(agent, collector):
    values = np.random.default_rng(0).normal(size=(400, 2))
    values[3, 1] = np.nan
    offsets = schedule(None, 400, 1.0, 1000.0)
    counted: list[int] = []
    before = time.time_ns()
    assert play(agent, values, offsets, threading.Event(), sent=counted.append) == 400
    assert agent.wait_acknowledged(20)
    assert sum(counted) == 400
    frames = [frame for _, frame in sorted(collector.frames.items())]
    assert len(frames) < 100  # rows that are due together travel together
    np.testing.assert_array_equal(np.concatenate([frame.values(2) for frame in frames]), values)
    times = np.array([t for frame in frames for t in frame.times(0)])
    np.testing.assert_allclose(times - times[0], offsets, atol=1000)
    assert before - 1000 <= times[0] <= time.time_ns()


def test_own_times_are_kept(agent, collector):
    stamps = np.array([5, 6, 10]) * SECOND + 1_700_000_000 * SECOND
    assert play(agent, np.eye(3, 2), schedule(stamps, 3, 1.0, 100.0), threading.Event(), stamps=stamps) == 3
    assert agent.wait_acknowledged(20)
    assert [t for _, frame in sorted(collector.frames.items()) for t in frame.times(0)] == stamps.tolist()


def test_a_loop_goes_on_until_it_is_stopped(agent, collector):
    stop = threading.Event()
    offsets = schedule(None, 5, 1.0, 50.0)
    thread = threading.Thread(target=play, args=(agent, np.eye(5, 2), offsets, stop), kwargs={"loop_s": 0.02})
    thread.start()
    assert until(lambda: sum(frame.samples for frame in list(collector.frames.values())) >= 15)
    stop.set()
    thread.join()
    assert agent.wait_acknowledged(20)
    frames = [frame for _, frame in sorted(collector.frames.items())]
    times = [t for frame in frames for t in frame.times(0)]
    np.testing.assert_allclose(np.diff(times), 20_000_000, atol=2000)
    rows = np.concatenate([frame.values(2) for frame in frames])
    np.testing.assert_array_equal(rows, np.resize(np.eye(5, 2), rows.shape))


def test_stop_ends_a_pause(agent):
    stop = threading.Event()
    stop.set()
    assert play(agent, np.eye(2), schedule(None, 2, 3600.0, 1.0), stop) == 1
