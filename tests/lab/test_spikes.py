"""What is remembered of sensors that spiked, leapt, were out of range or failed."""

import json

import numpy as np

from lab.groups import BURST, IS_BEYOND, IS_FROZEN, IS_SILENT, IS_SPIKING, LONGER
from lab.spikes import MEMORY, Spikes


def flags(*sensors: int) -> np.ndarray:
    return np.isin(np.arange(3), sensors)


def test_failures_with_little_between_are_one_series() -> None:
    spikes = Spikes()
    spikes.fail(10, [0, 1])
    spikes.fail(10 + MEMORY - 1, [0])
    spikes.note(10 + MEMORY, flags(1))
    spikes = Spikes.restore(json.loads(json.dumps(spikes.dump())))
    assert spikes.since == {0: (10, 9 + MEMORY), 1: (10 + MEMORY, 10 + MEMORY)}


def test_failures_are_counted_by_what_was_wrong() -> None:
    spikes = Spikes()
    spikes.note(20, flags(1))
    spikes.glimpse(400, [1, 1])
    for row, run in ((30, 21), (31, 22), (32, 23), (40, 2)):  # well for six rows
        spikes.lose(row, np.array([IS_FROZEN, 0, IS_SILENT], dtype=np.int8), np.array([run, 0, 1], dtype=np.int32))
    spikes = Spikes.restore(json.loads(json.dumps(spikes.dump())))
    assert spikes.failures == {
        (1, IS_SPIKING): (3, 20, 400, False),  # the first is forgotten by then, and two may be chance
        (0, IS_FROZEN): (2, 10, 40, True),
        (2, IS_SILENT): (2, 30, 40, True),
    }
    spikes.glimpse(410, [1])
    assert spikes.failures[1, IS_SPIKING] == (4, 20, 410, True)


def test_rows_that_are_missing_or_belong_to_no_alarm_end_no_stretch() -> None:
    spikes = Spikes()
    for row in (30, 32, 37, 60):  # frozen all the time, and it was looked at again with the next alarm
        spikes.lose(row, np.array([IS_FROZEN, 0, 0], dtype=np.int8), np.array([row - 9, 0, 0], dtype=np.int32))
    for row in (30, 32, 37, 38):  # of what is out of range only the row itself is known
        spikes.lose(row, np.array([0, IS_BEYOND, 0], dtype=np.int8), np.ones(3, dtype=np.int32))
    assert spikes.failures == {(0, IS_FROZEN): (1, 10, 60, True), (1, IS_BEYOND): (1, 30, 38, True)}


def test_where_many_went_silent_together_a_line_did() -> None:
    for runs, silent in (([30, 31, 0, 90], [0, 1, 3]), ([30, 90, 0, 60], [0, 1, 3]), ([30, 30, 0, 0], [0, 1])):
        spikes, faults = Spikes(), np.zeros(4, dtype=np.int8)
        faults[silent] = IS_SILENT
        spikes.lose(100, faults, np.array(runs, dtype=np.int32))
        alone = [at for at in silent if sum(abs(runs[at] - runs[other]) <= 1 for other in silent) == 1]
        assert [sensor for sensor, _ in spikes.failures] == alone


def test_who_moved_the_plant_counts_from_there() -> None:
    spikes = Spikes()
    spikes.fail(10, [1])
    assert spikes.failing_for(1, 50) == 40
    spikes.blame(1, 45, True)
    spikes.blame(1, 48, False)
    spikes.blame(2, 48, False)
    spikes = Spikes.restore(json.loads(json.dumps(spikes.dump())))
    assert spikes.failures == {(1, IS_SPIKING): (1, 10, 10, True), (2, IS_SPIKING): (1, 48, 48, True)}
    assert (spikes.failing_for(1, 50), spikes.failing_for(0, 50)) == (5, 0)


def test_who_spikes_often_and_more_than_all_others_is_known_to_fail() -> None:
    spikes = Spikes()
    for row in (0, 50, 100):
        assert spikes.failing(row) is None
        spikes.note(row, flags(0))
    assert spikes.failing(100) == spikes.failing(MEMORY - 1) == 0
    assert spikes.failing(MEMORY) is None  # the first one is forgotten
    for row in (102, 104, 106):
        spikes.note(row, flags(1))  # to and fro: only the first of them counts
    assert spikes.failing(106) == 0
    again = Spikes.restore(json.loads(json.dumps(spikes.dump())))
    for row in (150, 200):
        spikes.note(row, flags(1))
        again.note(row, flags(0, 1), flags(0))
    assert spikes.failing(200) is None  # the process makes both leap
    assert again.failing(200) == 0


def test_a_burst_is_looked_for_where_a_leap_came_before_the_episode() -> None:
    spikes = Spikes()
    spikes.leave(100, [(0, 5.0, 9.0), (2, 7.0, 9.0)])
    far = np.full(3, 2.0)
    assert spikes.bursts(103, 4, far) == [(0, 5.0), (2, 7.0)]
    assert spikes.bursts(103, 4, 1.01 * far) == [(0, 5.0)]
    assert spikes.bursts(103, 5, far) == []  # the episode was there before
    assert spikes.bursts(100 + BURST, 1, far) == [(0, 5.0), (2, 7.0)]
    assert spikes.bursts(101 + BURST, 1, far) == []  # too long for a burst
    spikes.leave(101, [(0, 9.0, 5.0)])
    assert sorted(spikes.bursts(103, 3, far)) == [(0, 9.0), (2, 7.0)]


def test_how_long_sensors_are_out_of_range_is_counted() -> None:
    spikes = Spikes()
    assert [spikes.exceed(row, [1]) for row in range(5, 5 + LONGER)] == [[]] * LONGER
    spikes = Spikes.restore(json.loads(json.dumps(spikes.dump())))
    assert spikes.exceed(5 + LONGER, [0, 1]) == [1]
    assert spikes.exceed(7 + LONGER, [0, 1]) == []  # it was well for a row
