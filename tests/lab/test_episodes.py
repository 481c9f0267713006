"""An open episode: what leads it, whose fault it is, when there is something new to tell."""

import json

import numpy as np

from lab.episodes import QUIET_NS, Tracker

SECOND = 10**9


def grown() -> Tracker:
    tracker = Tracker("pump-1", "m", 5 * SECOND, ["a", "b", "c"])
    for row in range(4):
        tracker.add(
            (5 + row) * SECOND, 2.0 + row % 3, np.array([0.5, 1.5 + row % 3, 0.0]), np.array([True, False, False])
        )
    return tracker


def test_leading_sensors_are_mean_shares() -> None:
    episode = grown().episode(9 * SECOND)
    assert episode.leading == [("b", 0.8182), ("a", 0.1818)]
    assert (episode.start, episode.end, episode.peak, episode.peak_at) == (5 * SECOND, 9 * SECOND, 4.0, 7 * SECOND)
    assert episode.kind == "process"
    assert episode.model == "m"


def test_a_dominant_ill_sensor_makes_it_the_instruments() -> None:
    tracker = grown()
    tracker.ill = np.array([False, True, False])
    assert tracker.episode().kind == "instrument"
    tracker.shares = np.array([1.0, 1.2, 1.0])
    assert tracker.episode().kind == "process"


def test_updates_are_told_when_something_is_new() -> None:
    tracker = grown()
    first = tracker.update()
    assert first is not None
    assert first.what == "opened"
    assert tracker.update() is None
    tracker.add(9 * SECOND, 3.0, np.array([0.5, 2.5, 0.0]), np.zeros(3, dtype=bool))
    assert tracker.update() is None
    tracker.add(10 * SECOND, 5.0, np.array([0.5, 4.5, 0.0]), np.zeros(3, dtype=bool))
    second = tracker.update()
    assert second is not None
    assert second.what == "updated"
    assert second.episode.id == first.episode.id
    tracker.add(10 * SECOND + QUIET_NS, 1.0, np.array([0.5, 0.5, 0.0]), np.zeros(3, dtype=bool))
    assert tracker.update() is not None


def test_ids_are_the_same_again_and_differ() -> None:
    assert Tracker("a", "m", 5, ["x"]).id == Tracker("a", "n", 5, ["y"]).id
    assert len({Tracker(asset, "m", t, ["x"]).id for asset in "ab" for t in (0, SECOND, 2 * SECOND)}) == 6


def test_dumped_and_restored_it_goes_on() -> None:
    tracker = grown()
    again = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    for each in (tracker, again):
        each.add(20 * SECOND, 7.0, np.array([0.1, 0.2, 6.7]), np.zeros(3, dtype=bool))
    assert again.episode(30 * SECOND) == tracker.episode(30 * SECOND)
