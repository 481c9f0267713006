"""An open episode: what leads it, whose fault it is, when there is something new to tell."""

import json

import numpy as np

from lab.episodes import FIRST, QUIET_NS, RECENT, Tracker

SECOND = 10**9


def grown() -> Tracker:
    tracker = Tracker("pump-1", "m", 5 * SECOND, ["a", "b", "c"])
    for row in range(4):
        tracker.add((5 + row) * SECOND, 2.0 + row % 3, np.array([0.5, 1.5 + row % 3, 0.0]))
    return tracker


def test_leading_sensors_are_mean_shares() -> None:
    episode = grown().episode(9 * SECOND)
    assert episode.leading == [("b", 0.8182), ("a", 0.1818)]
    assert (episode.start, episode.end, episode.peak, episode.peak_at) == (5 * SECOND, 9 * SECOND, 4.0, 7 * SECOND)
    assert episode.kind == "process"
    assert episode.model == "m"


def test_what_comes_later_does_not_lead() -> None:
    tracker = Tracker("pump-1", "m", 0, ["a", "b"])
    for row in range(1000):
        tracker.add(row * SECOND, 5.0, np.array([5.0, 0.0]) if row < FIRST else np.array([0.0, 5.0]))
    assert tracker.episode().leading == [("a", 1.0)]


def kind(tracker: Tracker, sensor: int, run: int) -> str:
    """Of the tracker after one of its sensors was known to have failed for `run` rows; ten are enough to know."""
    ill = np.arange(3) == sensor
    tracker.judge(ill, np.where(ill, run, 1).astype(np.int32), np.full(3, 10))
    return tracker.episode().kind


def test_what_failed_before_is_the_cause_and_what_failed_later_is_not() -> None:
    assert kind(grown(), 1, 3) == "process"  # the episode is four rows old
    assert kind(grown(), 1, 4) == "instrument"
    assert kind(grown(), 2, 10 + RECENT + 3) == "instrument"  # no share, but failed shortly before
    assert kind(grown(), 2, 10 + RECENT + 4) == "process"
    assert kind(grown(), 0, 1000) == "process"  # a small share, and failed long ago
    assert kind(grown(), 1, 1000) == "instrument"


def test_once_the_instruments_it_stays_so() -> None:
    tracker = grown()
    assert kind(tracker, 1, 12) == "instrument"
    tracker.add(9 * SECOND, 9.0, np.array([9.0, 0.0, 0.0]))
    assert kind(tracker, 0, 1) == "instrument"


def test_updates_are_told_when_something_is_new() -> None:
    tracker = grown()
    first = tracker.update()
    assert first is not None
    assert first.what == "opened"
    assert tracker.update() is None
    tracker.add(9 * SECOND, 4.01, np.array([0.5, 2.5, 0.0]))
    assert tracker.update() is None
    tracker.add(10 * SECOND, 5.0, np.array([0.5, 4.5, 0.0]))
    second = tracker.update()
    assert second is not None
    assert second.what == "updated"
    assert second.episode.id == first.episode.id
    tracker.add(10 * SECOND + QUIET_NS, 1.0, np.array([0.5, 0.5, 0.0]))
    assert tracker.update() is not None
    assert tracker.update() is None
    assert kind(tracker, 1, 12) == "instrument"
    assert tracker.update() is not None


def test_a_row_without_a_score_only_counts() -> None:
    tracker, other = grown(), grown()
    tracker.add(20 * SECOND, np.nan, np.zeros(3))
    assert tracker.episode() == other.episode()
    assert tracker.last == other.last
    assert kind(tracker, 1, 4) == "process"


def test_ids_are_the_same_again_and_differ() -> None:
    assert Tracker("a", "m", 5, ["x"]).id == Tracker("a", "n", 5, ["y"]).id
    assert len({Tracker(asset, "m", t, ["x"]).id for asset in "ab" for t in (0, SECOND, 2 * SECOND)}) == 6


def test_dumped_and_restored_it_goes_on() -> None:
    tracker = grown()
    again = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    for each in (tracker, again):
        each.add(20 * SECOND, 7.0, np.array([0.1, 0.2, 6.7]))
    assert again.episode(30 * SECOND) == tracker.episode(30 * SECOND)
