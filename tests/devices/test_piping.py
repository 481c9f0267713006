"""The sensors of the simulated piping as devices: the same rows every time, names the lab takes, a steady pace."""

import threading
from typing import Any

import numpy as np
import pytest

from devices import piping
from devices.frame import Birth, check_birth, schema_hash
from models.corrosion.live import SENSORS


def rows(seed: int, count: int, n: int) -> Any:
    sensors = piping.Sensors(seed, count)
    return [sensors.row() for _ in range(n)]


def test_rows_follow_from_the_seed_alone_also_over_the_end_of_a_day() -> None:
    first, second = rows(1, 2, 150), rows(1, 2, 150)
    for (v, q), (w, r) in zip(first, second, strict=True):
        assert np.array_equal(v, w, equal_nan=True)
        assert np.array_equal(q, r)
    clock = [v[0, -1] for v, _ in first]
    assert clock == [600.0 * k for k in range(150)]
    assert not np.array_equal(first[10][0], rows(2, 2, 11)[10][0], equal_nan=True)


def test_missing_values_have_a_quality_and_the_others_their_range() -> None:
    for v, q in rows(1, 3, 50):
        assert v.shape == q.shape == (3, len(piping.channels()))
        assert np.array_equal(np.isnan(v), q > 0)


def test_a_point_is_an_asset_the_lab_takes_and_its_detector_knows() -> None:
    sensors = piping.Sensors(1, 3)
    channels = piping.channels()
    assert tuple(channel.tag for channel in channels if channel.role == "measurement") == SENSORS
    for id in sensors.ids:
        check_birth(Birth(id, 1, schema_hash(channels), [piping.asset(id)], channels))
    assert set(sensors.ids) <= set(piping.piping(1)[0].points.id)
    assert len({id[:6] for id in sensors.ids}) == 3, "one a line"


@pytest.mark.parametrize("count", [0, 61])
def test_numbers_that_cannot_be(count: int) -> None:
    with pytest.raises(ValueError, match="want 1 to 60"):
        piping.Sensors(1, count)


class Sent:
    """An agent that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.started = self.stopped = False

    def start(self) -> None:
        self.started = True

    def stop(self) -> None:
        self.stopped = True

    def send(self, t: Any, v: Any, q: Any) -> None:
        self.rows.append((t, v, q))


def test_rows_are_sent_at_a_pace_until_it_is_told_to_stop() -> None:
    sent: dict[str, Sent] = {}
    stop = threading.Event()

    def connect(id: str) -> Any:
        sent[id] = Sent()
        return sent[id]

    thread = threading.Thread(target=piping.run_sensors, args=(piping.Sensors(1, 2), 3600.0, connect, stop))
    thread.start()
    stop.wait(1.5)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    counts = {len(each.rows) for each in sent.values()}
    assert len(counts) == 1
    assert 4 <= counts.pop() <= 14, "six rows a second"
    assert all(each.started and each.stopped for each in sent.values())
    with pytest.raises(ValueError, match="want 1 to 3600"):
        piping.run_sensors(piping.Sensors(1, 1), 5000.0, connect, stop)
