"""An open episode: what leads it, whose fault it is, when there is something new to tell."""

import json

import numpy as np
import pytest

from lab.course import FIRST, HEARD, LASTS, SETTLED
from lab.episodes import Known, Outlook, Unseen, unpack
from lab.groups import BURST, FAIRLY, FAULTS, IS_BEYOND, IS_RESTING, IS_STUCK, Ill
from lab.spikes import MEMORY, Spikes
from lab.tracker import QUIET_NS, RECENT, SHOWN, Foreseen, Tracker
from models.detector import State
from models.precursor.causes import Match, none

SECOND = 10**9
NOT = Foreseen(np.inf, 900.0, np.inf, 2)
"""In sight."""


def grown() -> Tracker:
    tracker = Tracker("pump-1", "m", 5 * SECOND, ["a", "b", "c"])
    for row in range(4):
        tracker.add((5 + row) * SECOND, 2.0 + row % 3, np.array([0.5, 1.5 + row % 3, 0.0]))
    return tracker


def flags(*sensors: int) -> np.ndarray:
    return np.isin(np.arange(3), sensors)


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


def test_who_left_its_usual_values_first_leads() -> None:
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    shares = np.array([0.2, 1.0, 0.0])
    for row, outside in enumerate([flags(), flags(0, 2), flags(0, 1, 2)]):
        tracker.add(row * SECOND, 2.0, shares, outside=outside)
        if not row:
            assert tracker.episode().leading[0][0] == "b"  # nothing is out
    again = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    assert (
        tracker.episode().leading == again.episode().leading == [("a", 0.6667), ("b", 0.3333)]
    )  # without a share, none
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    for row in range(FIRST + 1):
        tracker.add(row * SECOND, 2.0, shares, outside=flags(0) if row == FIRST else flags())
    assert tracker.episode().leading[0][0] == "b"  # too late to have begun it


def ill_of(code: np.ndarray, run: np.ndarray) -> Ill:
    """One row of failures; ten rows are enough to know one."""
    needed = np.full((1, len(code)), 10, dtype=np.int32)
    return Ill(code[None], run[None].astype(np.int32), needed, np.zeros((1, len(code)), dtype=np.bool_))


def kind(tracker: Tracker, sensor: int, run: int, fault: str = "frozen") -> str:
    """Of the tracker after one of its sensors was known to have failed for `run` rows; ten are enough to know."""
    ill = np.arange(3) == sensor
    code = np.where(ill, FAULTS.index(fault), 0).astype(np.int8)
    tracker.judge(ill_of(code, np.where(ill, run, 1)), 0)
    return tracker.episode().kind


def test_what_failed_before_is_the_cause_and_what_failed_later_is_not() -> None:
    assert kind(grown(), 1, 3) == "process"  # the episode is four rows old
    assert kind(grown(), 1, 4) == "instrument"
    assert kind(grown(), 2, 10 + RECENT + 3) == "instrument"  # no share, but failed shortly before
    assert kind(grown(), 2, 10 + RECENT + 4) == "process"
    assert kind(grown(), 0, 1000) == "process"  # a small share, and failed long ago
    assert kind(grown(), 1, 1000) == "instrument"


def test_a_spike_explains_what_it_leads_alone() -> None:
    assert kind(grown(), 1, 4, "spiking") == "instrument"
    assert kind(grown(), 1, 3, "spiking") == "process"  # it came after the first row
    assert kind(grown(), 0, 4, "spiking") == "process"
    tracker = grown()
    assert kind(tracker, 1, 6, "spiking") == "instrument"
    assert tracker.episode().failed == ("b", "spiking")
    assert tracker.episode().cause is None


@pytest.mark.parametrize(
    ("spike", "wander", "after", "kind_then"),
    [
        (30.0, 1.0, SETTLED + 5, "instrument"),
        (5.0, 1.0, SETTLED + 5, "process"),  # the sensor swings as far by itself
        (30.0, 10.0, SETTLED + 5, "process"),
        (30.0, 1.0, SETTLED - 5, "process"),  # so early it may be how the fault began
    ],
)
def test_a_spike_that_stands_out_explains_an_episode_that_was_there(
    spike: float, wander: float, after: int, kind_then: str
) -> None:
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    shares = np.array([0.9, 1.0, 0.1])
    for row in range(after):
        values = wander * np.array([row % 2, row % 2, row % 2], dtype=np.float64)
        if row == after - 2:
            values[0] += spike
        tracker.add(row * SECOND, 2.0, shares, values=values)
    again = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    assert kind(tracker, 2, 2, "spiking") == "process"  # it hardly has a share
    assert kind(tracker, 0, 3, "spiking") == "process"  # that was known a row ago
    assert kind(tracker, 0, 2, "spiking") == kind(again, 0, 2, "spiking") == kind_then


@pytest.mark.parametrize(("noted", "share", "whose"), [(3, 0.1, "a"), (3, 0.09, None), (2, 0.4, None)])
def test_who_is_known_to_fail_needs_a_small_share(noted: int, share: float, whose: str | None) -> None:
    spikes = Spikes()
    for row in range(0, 50 * noted, 50):
        spikes.note(row, flags(0))
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    tracker.add(0, 2.0, np.array([share, 1.0, 0.0]))
    tracker.recall(spikes, 200, None)
    assert tracker.failed == (None if whose is None else (whose, "spiking"))


def test_what_spikes_in_an_episode_counts_if_it_stands_out() -> None:
    for spike, whose in ((30.0, ("a", "spiking")), (5.0, None)):
        spikes = Spikes()
        tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
        for row in range(200):
            values = np.array([row % 2, row % 2, row % 2], dtype=np.float64)
            values[0] += spike * (row % 40 == 38)
            tracker.add(row * SECOND, 2.0, np.array([0.2, 1.0, 0.1]), values=values)
            tracker.recall(spikes, row, flags(0) if row % 40 == 39 else None)
        assert tracker.failed == whose


def began(
    shares: tuple[float, ...],
    burst: float = 0.0,
    lone: float = 0.0,
    echo: bool = False,
    score: float = 5.0,
    others: float = 0.0,
    rows: int = 1,
) -> str | None:
    """The sensor that an episode is put down to that began so with the second of three; another was so far outside."""
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    for row in range(rows):
        tracker.add(row * SECOND, score, np.array(shares), outside=np.array([others, 0.5, 0.0]))
    b = np.array([0.0, 1.0, 0.0])
    tracker.began_with(burst * b, lone * b, echo & flags(1))
    assert tracker.failed is None or tracker.failed[1] == "spiking"
    return tracker.failed[0] if tracker.failed else None


def test_a_burst_is_the_cause_with_a_large_share_or_when_large_with_a_small_one() -> None:
    assert began((0.1, 0.9, 1.0)) is None
    assert began((0.1, 0.9, 1.0), burst=1.0) == "b"
    assert began((0.6, 0.4, 1.0), burst=1.0) is None
    assert began((0.6, 0.4, 1.0), burst=3.0) == "b"
    assert began((0.6, 0.05, 1.0), burst=3.0) is None


def test_a_lone_spike_is_the_cause_of_an_abrupt_beginning_or_when_large() -> None:
    assert began((0.1, 0.9, 1.0), lone=0.7, rows=SHOWN) == "b"
    assert began((0.1, 0.9, 1.0), lone=0.7, rows=SHOWN - 1) is None
    assert began((0.1, 0.9, 1.0), lone=0.6, rows=SHOWN) is None
    assert began((0.1, 0.9, 1.0), lone=0.7, rows=SHOWN, score=1.5) is None  # slow, with noise
    assert began((0.1, 0.4, 1.0), lone=0.7, rows=SHOWN) is None
    assert began((0.1, 0.4, 1.0), lone=3.0, score=1.5) == "b"
    for lone in (0.7, 3.0):
        assert (
            began((0.1, 0.9, 1.0), lone=lone, rows=SHOWN, others=0.3) is None
        )  # another left its usual values as well


def test_an_echo_of_a_spike_is_the_cause_of_an_abrupt_beginning_without_a_share() -> None:
    assert began((0.1, 0.0, 1.0), echo=True) == "b"
    assert began((0.1, 0.0, 1.0), echo=True, score=1.5) is None
    assert began((0.1, 0.0, 1.0), echo=True, others=0.3) is None
    assert began((0.1, 0.0, 1.0), echo=True, rows=2) is None


@pytest.mark.parametrize(("others", "kind_then"), [(0.2, "instrument"), (0.9, "instrument"), (1.1, "process")])
def test_a_spike_explains_nothing_beside_what_moves_the_plant(others: float, kind_then: str) -> None:
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    for row in range(2):
        tracker.add(row * SECOND, 2.0, np.array([0.5, 1.5, 0.0]), outside=np.array([others, 2.0 - 2.0 * row, 0.0]))
    assert kind(tracker, 1, 2, "spiking") == kind_then


def test_what_runs_away_does_not_spike() -> None:
    for before, kind_then in ((1.0, "instrument"), (12.0, "process")):
        tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
        for row in range(SETTLED + 5):
            value = row % 2 + (row >= SETTLED + 2) * before + (row == SETTLED + 3) * 30.0
            tracker.add(row * SECOND, 2.0, np.array([1.0, 0.5, 0.1]), values=np.array([value, 0.0, 0.0]))
        assert kind(tracker, 0, 2, "spiking") == kind_then


def stuck(tracker: Tracker) -> str:
    """Kind of the tracker after its first sensor was known to be stuck since the first row."""
    tracker.judge(ill_of(np.array([IS_STUCK, 0, 0], dtype=np.int8), np.full(3, tracker.rows)), 0)
    return tracker.episode().kind


def test_what_rests_where_it_never_was_failed_if_nothing_follows_for_long() -> None:
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    told = []
    for row in range(FIRST + 40):
        small = row == FIRST + 20  # without a share it has nothing to do with it
        once = row == FIRST + 25  # by chance
        follows = row >= FIRST + 30
        tracker.add(
            row * SECOND,
            5.0,
            np.array([4.0, 1.0 if follows else 0.01, 0.9]),
            outside=np.array([3.0, 1.2 * (small or follows), 0.2 + 0.7 * once]),
        )
        told.append(stuck(tracker))
        tracker = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    assert told == ["process"] * FIRST + ["instrument"] * 30 + ["process"] * 10  # others followed: it told the truth


def test_what_stays_a_little_outside_follows_after_a_while() -> None:
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    told = []
    for row in range(FIRST + 30):
        follows = row >= FIRST + 10
        tracker.add(row * SECOND, 5.0, np.array([4.0, 1.0, 0.9]), outside=np.array([3.0, 0.6 * follows, 0.0]))
        told.append(stuck(tracker))
        tracker = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    assert told == ["process"] * FIRST + ["instrument"] * (9 + LASTS) + ["process"] * (21 - LASTS)


@pytest.mark.parametrize(
    ("since", "run", "top", "share", "kind_then"),
    [
        (FIRST + 1, FIRST + 2, 0.0, 0.01, "instrument"),
        (FIRST + 9, FIRST + 2, 0.0, 0.01, "instrument"),  # rows are missing
        (2 * FIRST + 4, FIRST + 2, 0.0, 4.0, "process"),  # it has not stayed there
        (FIRST + 1, FIRST + 2, 0.1, 4.0, "process"),  # it rests elsewhere
        (RECENT + FIRST + 9, RECENT + FIRST + 10, 0.0, 0.01, "instrument"),
        (RECENT + FIRST + 10, RECENT + FIRST + 11, 0.0, 0.01, "process"),  # long before, and it has no part in this
        (RECENT + FIRST + 10, RECENT + FIRST + 11, 0.0, 4.0, "instrument"),
    ],
)
def test_what_leapt_to_where_it_rests_failed_though_nothing_contradicts(
    since: int, run: int, top: float, share: float, kind_then: str
) -> None:
    ill = ill_of(np.array([IS_RESTING, 0, 0], dtype=np.int8), np.full(3, run))
    for leapt in (False, True):
        spikes = Spikes()
        spikes.leave(1000 - since, [(0, 5.0, top)] if leapt else [(1, 5.0, top)])
        spikes = Spikes.restore(json.loads(json.dumps(spikes.dump())))
        tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
        for row in range(FIRST + 1):
            shares, outside = np.array([share, 4.0, 0.9]), np.array([3.0, 0.0, 0.0])
            tracker.add(row * SECOND, 5.0, shares, values=np.zeros(3), outside=outside)
        tracker.judge(ill, 0, spikes, 1000)
        assert tracker.episode().kind == (kind_then if leapt else "process")


@pytest.mark.parametrize(
    ("leaps", "far", "share", "whose"),
    [
        (3.0, 0.5, 0.001, "a"),
        (3.0, 0.5, 0.0009, None),
        (2.9, 0.5, 0.5, "a"),
        (2.9, 0.5, 0.4, None),
        (1.5, 1.0, 0.001, "a"),
        (1.5, 0.9, 0.001, None),
    ],
)
def test_the_larger_the_leap_back_the_smaller_the_share(
    leaps: float, far: float, share: float, whose: str | None
) -> None:
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    tracker.add(0, 2.0, np.array([share, 1.0, 0.0]), outside=np.array([far, 0.0, 0.0]))
    tracker.returned(0, 0.0)
    assert tracker.failed is None
    tracker.returned(0, leaps)
    assert tracker.failed == (None if whose is None else (whose, "spiking"))


def test_a_sensor_that_failed_for_long_is_told_without_an_alarm() -> None:
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    frozen, both = np.array([0, 1, 0], dtype=np.int8), np.array([2, 1, 0], dtype=np.int8)
    tracker.attend(0, np.nan, ill_of(frozen, np.full(3, 12)), 0, flags(1))
    tracker.attend(SECOND, 0.3, ill_of(both, np.array([90, 13, 1])), 0, flags(0, 1))
    tracker = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    told = tracker.episode()
    assert (told.kind, told.failed, told.leading) == ("instrument", ("b", "frozen"), [("b", 1.0)])
    assert (told.peak, told.peak_at, told.cause, told.evidence) == (0.3, SECOND, None, b"")
    assert not tracker.alarmed
    tracker.attend(2 * SECOND, 0.2, ill_of(np.array([2, 0, 0], dtype=np.int8), np.full(3, 91)), 0, flags(0))
    assert tracker.episode().failed == ("a", "silent")  # the other one is well again
    assert tracker.episode().peak == 0.3


def test_who_failed_before_without_explaining_it_is_suspected() -> None:
    tracker, spikes = grown(), Spikes()
    spikes.note(-20, flags(1))
    spikes.note(0, flags(2))
    spikes.note(20, flags(2))
    silent = np.where(flags(0, 1), FAULTS.index("silent"), 0).astype(np.int8)
    ill = ill_of(silent, np.array([4, 3, 0]))  # the episode is four rows old
    tracker.judge(None, 0)
    tracker.suspect(None, 0, flags(), [])
    tracker.suspect(ill, 0, flags(), spikes.of_late(MEMORY))  # not for long, and one spike forgotten
    assert tracker.episode().suspects == []
    assert tracker.update() is not None
    tracker.suspect(ill, 0, flags(0, 1), spikes.of_late(MEMORY - 1))
    tracker.suspect(None, 0, flags(), [])
    change = tracker.update()
    assert change is not None
    assert (change.episode.kind, change.episode.suspects) == ("process", [("a", "silent"), ("c", "spiking")])
    assert tracker.update() is None
    again = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    assert again.episode() == tracker.episode()
    assert again.update() is None
    assert kind(again, 1, 4) == "instrument"
    assert again.episode().suspects == []  # it explains the episode


def test_what_spikes_long_after_it_began_is_not_suspected() -> None:
    for rows, suspects in ((RECENT, [("c", "spiking")]), (RECENT + 1, [])):
        tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
        for row in range(rows):
            tracker.add(row * SECOND, 2.0, np.ones(3))
        tracker.suspect(None, 0, flags(), [2, 2])
        assert tracker.episode().suspects == suspects


def test_who_is_out_of_range_from_the_first_row_on_is_suspected() -> None:
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    out = [flags(0, 1), flags(1), flags(0, 1)]
    for row, sensors in enumerate(out):
        tracker.add(row * SECOND, 2.0, np.array([0.0, 0.0, 1.0]))
        ill = ill_of(np.where(sensors, FAULTS.index("range"), 0).astype(np.int8), np.ones(3))
        tracker.judge(ill, 0)
        tracker.suspect(ill, 0, sensors, [])
    assert tracker.episode().suspects == [("a", "range"), ("b", "range")]


def test_a_plant_that_leaves_its_usual_values_is_more_than_a_failed_sensor() -> None:
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    calm = ill_of(np.zeros(3, dtype=np.int8), np.ones(3))

    def rows(count: int, far: float, sensor: int = 0, still: bool = False, lost: bool = False) -> None:
        for _ in range(count):
            values = np.full(3, np.nan if lost else 0.0 if still else float(tracker.rows))
            outside = far * flags(1, sensor)
            tracker.add(tracker.rows * SECOND, 2.0, np.array([0.0, 1.0, 0.0]), values=values, outside=outside)
            tracker.depart(values, outside, (fail, move))

    fail = move = flags(0, 1, 2)
    rows(3 * LASTS, 1.0, sensor=1)
    assert kind(tracker, 1, 1000) == "instrument"
    assert not tracker.parts(calm, 0), "only the sensor itself is away"
    rows(3 * LASTS, FAIRLY)
    assert not tracker.parts(calm, 0), "the other is not far away"
    rows(3 * LASTS, 1.0, still=True)
    assert tracker.away[0] <= 2, "what rests may have failed too"
    move = flags(1, 2)
    rows(3 * LASTS, 1.0)
    assert tracker.away[0] <= 2, "it has no usual values"
    move = flags(0, 1, 2)
    rows(LASTS - 2, 1.0)
    assert not tracker.parts(None, 0), "not for so many rows"
    rows(2, 0.0)
    rows(5, 1.0, lost=True)
    rows(1, 1.0)
    assert not tracker.parts(None, 0)
    rows(2, 1.0)
    tracker = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    assert tracker.parts(None, 0)
    assert tracker.parts(calm, 0)
    frozen = ill_of(np.where(flags(0), FAULTS.index("frozen"), 0).astype(np.int8), np.ones(3))
    assert not tracker.parts(frozen, 0)
    tracker.stuck = tracker.rows
    assert not tracker.parts(None, 0), "then it is the process's from the first"
    tracker.judge(frozen, 0)
    assert tracker.failed == ("b", "frozen")
    late = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    late.rows += 1
    late.away[:] = 0
    late.judge(calm, 0)
    assert late.failed == ("b", "frozen"), "nothing has followed for long"
    late.away[:] = tracker.away
    assert late.parts(calm, 0), "so it is another matter"
    late.away[:] = 0
    late.off[:] = HEARD, 0, 0
    late = Tracker.restore("pump-1", json.loads(json.dumps(late.dump())))
    assert late.parts(calm, 0), "be it slow"
    late.stuck = 0
    assert not late.parts(calm, 0), "beside others it must be far"
    tracker.judge(calm, 0)
    assert tracker.failed is None
    assert not tracker.parts(None, 0)
    fail = flags(1, 2)
    rows(3 * LASTS, 0.0)
    assert tracker.away[0] == 0
    rows(LASTS, 1.0, still=True)
    assert tracker.away[0] == 2 * LASTS, "a valve that rests does as it is told"


class Like:
    """Knows what an episode is like that is so many rows old."""

    of_process = frozenset({"leak"})

    def __init__(self, cause: str, rows: int) -> None:
        self.cause, self.rows = cause, rows

    def match(self, state: State) -> list[Match]:
        return [Match([(self.cause, 0.9)], 0.1 if state["rows"][0] >= self.rows else 0.95)]


def test_a_plant_leaves_its_usual_values_because_of_a_sensor_that_failed_not_long_ago() -> None:
    calm = ill_of(np.zeros(3, dtype=np.int8), np.ones(3))
    for run, fault, upset in (
        (MEMORY, "frozen", True),
        (MEMORY + 1, "frozen", False),
        (MEMORY, "silent", True),
    ):
        tracker = grown()
        tracker.evidence["rows"][:] = 4
        assert kind(tracker, 1, run, fault) == "instrument"
        tracker.away[:] = 2 * LASTS, 2 * LASTS, 3 * LASTS
        assert tracker.parts(calm, 0) is not upset
        episode = tracker.episode()
        assert (episode.kind, episode.upset) == ("instrument", ["c", "a"] if upset else [])
        assert tracker.evidence["rows"][0] == (0 if upset else 4), "what it is like counts from there"
        again = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
        assert again.episode() == episode
        assert again.parts(calm, 0) is not upset


def test_a_plant_that_moves_as_by_a_known_cause_is_an_episode_of_its_own() -> None:
    calm = ill_of(np.zeros(3, dtype=np.int8), np.ones(3))
    for cause, rows in (("leak", 2), ("gauge stuck", None)):
        tracker = grown()
        assert kind(tracker, 1, 20) == "instrument"
        tracker.away[:] = 2 * LASTS
        found: list[int] = []
        for row in range(LASTS + 4):
            tracker = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
            tracker._matcher = Like(cause, 2)  # type: ignore[assignment]
            if tracker.parts(calm, 0):
                found.append(row)
            tracker.add((9 + row) * SECOND, 3.0, np.ones(3), np.ones(3))
        assert found == ([] if rows is None else list(range(rows + LASTS - 1, LASTS + 4))), "for so many rows running"
        after = Tracker("pump-1", "m", 30 * SECOND, ["a", "b", "c"])
        after.succeed(tracker)
        assert after.evidence["rows"][0] == LASTS + 4
        assert after.episode().suspects == [("b", "frozen")]


def test_one_spike_does_not_move_a_plant() -> None:
    calm = ill_of(np.zeros(3, dtype=np.int8), np.ones(3))
    for rows, upset in (([90], False), ([70, 90], True)):
        spikes, tracker = Spikes(), grown()
        for row in rows:
            spikes.note(row, flags(1))
        tracker.failed = "b", "spiking"
        tracker.away[:] = 2 * LASTS
        assert tracker.parts(calm, 0, spikes, 100) is not upset
        assert bool(tracker.upset) == upset
    tracker.upset, tracker.rows = [], MEMORY + 1
    assert tracker.parts(calm, 0, spikes, 100), "in so long an episode it is another matter"


def test_one_out_of_range_moves_a_plant_soon_after_it_failed() -> None:
    calm = ill_of(np.zeros(3, dtype=np.int8), np.ones(3))
    for period, upset in ((MEMORY + 10, True), (MEMORY + 11, False)):
        spikes, tracker = Spikes(), grown()
        for row in range(10, period + 1):
            spikes.lose(row, np.array([0, IS_BEYOND, 0], dtype=np.int8), np.full(3, row - 9, dtype=np.int32))
        tracker.failed = "b", "range"
        tracker.away[:] = 2 * LASTS
        assert tracker.parts(calm, 0, spikes, period) is not upset


def test_one_that_failed_now_and_again_is_as_old_as_the_first_time() -> None:
    calm = ill_of(np.zeros(3, dtype=np.int8), np.ones(3))
    for gap, upset in ((MEMORY - 1, False), (MEMORY, True)):
        spikes, tracker = Spikes(), grown()
        for row in (5, 5 + gap, 5 + gap + 20):
            spikes.note(row, flags(1))
        spikes = Spikes.restore(json.loads(json.dumps(spikes.dump())))
        tracker.failed = "b", "spiking"
        tracker.away[:] = 2 * LASTS
        assert tracker.parts(calm, 0, spikes, 5 + gap + 30) is not upset


def test_what_is_lost_too_is_no_plant_and_is_named() -> None:
    tracker = grown()
    assert kind(tracker, 1, 20) == "instrument"
    tracker.suspects[0] = "silent"
    tracker.away[:] = 2 * LASTS, 0, 0
    calm = ill_of(np.zeros(3, dtype=np.int8), np.ones(3))
    assert not tracker.parts(calm, 0)
    assert tracker.upset == [], "only another failed one is away"
    assert tracker.episode().suspects == []
    tracker.away[2] = 2 * LASTS
    silent = ill_of(np.where(flags(0), FAULTS.index("silent"), 0).astype(np.int8), np.ones(3))
    assert not tracker.parts(silent, 0)
    assert tracker.upset == ["c"]
    assert tracker.episode().suspects == [("a", "silent")]
    steers = flags(0)
    tracker.upset = []
    assert tracker.parts(silent, 0, steers=steers), "no controller acts on it"


def test_what_the_failed_sensor_itself_reached_is_forgotten_when_the_plant_moves() -> None:
    calm = ill_of(np.zeros(3, dtype=np.int8), np.ones(3))
    for sensor, kept in ((0, True), (1, False)):
        tracker = grown()
        tracker.foresee(0, [Foreseen(0.0, 0.0, 0.0, sensor)])
        assert kind(tracker, 1, 20) == "instrument"
        tracker.away[:] = 2 * LASTS
        assert not tracker.parts(calm, 0)
        assert (tracker.outlook is not None) == kept


def test_beside_a_failed_sensor_those_lead_by_which_the_plant_left() -> None:
    before, tracker = grown(), Tracker("pump-1", "m", 0, ["a", "b", "c"])
    assert kind(before, 1, 1000) == "instrument"
    before.away[:] = 2 * LASTS, 2 * LASTS, 0
    tracker.succeed(before)
    tracker.add(0, 5.0, np.array([0.01, 10.0, 1.0]))
    assert tracker.episode().leading == [("a", 1.0)]
    again = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    assert again.episode() == tracker.episode()


@pytest.mark.parametrize(
    ("fault", "foretold", "reached"), [("spiking", 1, "b"), ("spiking", 0, None), ("silent", 1, None)]
)
def test_what_a_blamed_sensor_reads_reaches_its_limit_if_that_was_foretold(
    fault: str, foretold: int, reached: str | None
) -> None:
    """Between its spikes it tells the truth; one without values tells nothing."""
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
    tracker.add(0, 2.0, np.array([1.0, 0.0, 0.0]))
    tracker.blamed = "b", fault
    tracker.foresee(0, [Foreseen(5.0, 1.0, 9.0, foretold)])
    tracker.add(SECOND, 2.0, np.array([1.0, 0.0, 0.0]))
    tracker.foresee(SECOND, [Foreseen(0.0, 0.0, 0.0, 1)])
    told = tracker.outlook or Outlook(None, None, None, None)
    assert told.reached == reached
    assert told.sensor == reached, "and no forecast stays standing"


def test_a_failed_sensor_hides_no_limit_that_another_will_reach() -> None:
    tracker = grown()
    tracker.foresee(0, [Foreseen(0.0, 0.0, 0.0, 1), NOT])
    assert tracker.outlook is not None
    assert tracker.outlook.reached == "b"
    assert kind(tracker, 1, 1000) == "instrument"
    tracker.foresee(SECOND, [Foreseen(0.0, 0.0, 0.0, 1, 5.0), Foreseen(60.0, 10.0, 90.0, 2, 0.0001)])
    told = Outlook("c", 60.0, 10.0, 90.0, SECOND, 60.0, limit=0.0001, unseen=[Unseen("b")], watched=1)
    assert tracker.outlook == told, "what b seemed to reach is taken back"
    assert Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump()))).outlook == told
    tracker.foresee(2 * SECOND, [Foreseen(30.0, 10.0, 90.0, 1), Foreseen(50.0, 10.0, 90.0, 2)])
    assert tracker.outlook.sensor == "c", "nor will what is frozen ever reach one"
    tracker.foresee(3 * SECOND, [Foreseen(0.0, 0.0, 0.0, 1), NOT])
    assert (tracker.outlook.sensor, tracker.outlook.low_s, tracker.outlook.reached) == (None, 900.0, None)


def test_once_a_limit_is_reached_the_next_one_is_told() -> None:
    tracker = grown()
    alarm, trip = Foreseen(0.0, 0.0, 0.0, 1, 5.0), Foreseen(600.0, 100.0, 900.0, 2, 7.0)
    tracker.foresee(0, [alarm, trip])
    assert tracker.outlook is not None
    assert (tracker.outlook.sensor, tracker.outlook.reached) == ("b", "b")
    for ahead in ([alarm, trip], [Foreseen(0.0, 0.0, 0.0, 0, 3.0), alarm, trip]):
        tracker.foresee(SECOND, ahead)
        assert tracker.outlook == Outlook("c", 600.0, 100.0, 900.0, 0, 0.0, "b", 3.0, 7.0, watched=len(ahead))
    for other in (NOT, Foreseen(0.0, 0.0, 0.0, 2, 7.0)):
        tracker.foresee(2 * SECOND, [alarm, other])
        assert (tracker.outlook.sensor, tracker.outlook.time_s, tracker.outlook.limit) == ("b", 0.0, 5.0)


def test_beside_a_failed_sensor_and_a_limit_that_is_reached_the_next_one_is_told() -> None:
    tracker = grown()
    assert kind(tracker, 1, 1000) == "instrument"
    failed, alarm, trip = Foreseen(0.0, 0.0, 0.0, 1), Foreseen(0.0, 0.0, 0.0, 2), Foreseen(600.0, 100.0, 900.0, 0)
    tracker.foresee(0, [failed, alarm, trip])
    tracker.foresee(SECOND, [failed, alarm, trip])
    assert tracker.outlook is not None
    assert (tracker.outlook.sensor, tracker.outlook.reached) == ("a", "c")
    tracker.foresee(2 * SECOND, [alarm, failed._replace(time_s=30.0), trip])
    assert tracker.outlook.sensor == "a", "what has failed comes in between no more"


def test_what_a_spike_reached_is_taken_back_once_it_is_back() -> None:
    tracker = grown()
    tracker.foresee(0, [Foreseen(0.0, 0.0, 0.0, 1)])
    tracker.failed = "b", "spiking"
    tracker.foresee(SECOND, [Foreseen(0.0, 0.0, 0.0, 1), Foreseen(60.0, 10.0, 90.0, 2)])
    assert tracker.outlook is not None
    assert (tracker.outlook.reached, tracker.outlook.sensor) == ("b", "c"), "it is still beyond the limit"
    tracker.foresee(2 * SECOND, [Foreseen(80.0, 10.0, 90.0, 1), NOT])
    assert (tracker.outlook.reached, tracker.outlook.sensor) == (None, "b"), "between its spikes it tells the truth"


def test_what_a_single_spike_of_a_sensor_reached_is_taken_back() -> None:
    for first, kept in ((NOT, None), (Foreseen(500.0, 10.0, 900.0, 1), 500.0)):
        tracker = grown()
        tracker.foresee(0, [first])
        for row, each, back in ((1, Foreseen(0.0, 0.0, 0.0, 0), ()), (2, NOT._replace(sensor=0), (0,))):
            tracker.add(row * SECOND, 2.0, np.array([0.0, 1.0, 0.0]))
            tracker = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
            tracker.foresee(row * SECOND, [each, first] if row == 1 else [first, each], back=back)
            assert tracker.outlook is not None
            assert tracker.outlook.reached == ("a" if row == 1 else None)
        assert (tracker.outlook.lead_s, tracker.outlook.first_s) == (None, kept)
    tracker.foresee(3 * SECOND, [Foreseen(0.0, 0.0, 0.0, 0)])
    for row, back in ((4, ()), (5, (0,))):  # it had been there before it spiked
        tracker.add(row * SECOND, 2.0, np.array([0.0, 1.0, 0.0]))
        tracker.foresee(row * SECOND, [Foreseen(0.0, 0.0, 0.0, 0)], back=back)
        assert tracker.outlook.reached == "a"


def test_what_was_reached_long_before_an_episode_goes_on_as_another_is_no_spikes() -> None:
    tracker = grown()
    tracker.failed = ("a", "frozen")
    reached = [Foreseen(0.0, 0.0, 0.0, 1)]
    tracker.foresee(8 * SECOND, reached)
    tracker.add(9 * SECOND, 3.0, np.array([0.5, 1.5, 0.0]))
    tracker.foresee(9 * SECOND, reached)
    other = Tracker("pump-1", "m", 10 * SECOND, ["a", "b", "c"])
    other.succeed(tracker)
    other.add(10 * SECOND, 3.0, np.array([0.5, 1.5, 0.0]))
    other.foresee(10 * SECOND, [Foreseen(np.inf, 900.0, np.inf, 1)], back=[1])
    assert other.outlook is not None
    assert other.outlook.reached == "b"


def test_what_stays_beyond_its_limit_for_longer_than_a_spike_has_reached_it() -> None:
    tracker = grown()
    tracker.failed = "b", "spiking"
    for row in range(BURST + 3):
        tracker.foresee(row * SECOND, [Foreseen(0.0, 0.0, 0.0, 1, 5.0), NOT])
        assert tracker.outlook is not None
        assert tracker.outlook.reached == (None if row < BURST else "b")
        assert tracker.outlook.unseen == ([Unseen("b")] if row < BURST else []), "not: none in sight"
        assert tracker.outlook.lead_s == (None if row < BURST else 3.0)
    tracker = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    tracker.foresee(0, [Foreseen(60.0, 10.0, 90.0, 1, 5.0), NOT])
    tracker.foresee(0, [Foreseen(0.0, 0.0, 0.0, 1, 5.0), NOT])
    assert tracker.outlook is not None
    assert tracker.outlook.reached is None, "it was back"


def test_what_was_foretold_before_goes_on_beside_a_failed_sensor() -> None:
    for limit, carried in ((0, True), (1, False)):
        tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"])
        tracker.add(0, 2.0, np.array([0.0, 1.0, 0.0]))
        tracker.foresee(0, [Foreseen(0.0, 0.0, 1.0, limit)])
        assert kind(tracker, 1, 1000) == "instrument"
        later = Tracker("pump-1", "m", 9 * SECOND, ["a", "b", "c"])
        later.succeed(tracker)
        assert (later.outlook == tracker.outlook) == carried
        assert (later.beside, later.episode().suspects) == (("b", "frozen"), [("b", "frozen")])
        later.foresee(10 * SECOND, [Foreseen(0.0, 0.0, 1.0, 1)])
        assert later.outlook is not None
        reached = later.outlook.sensor, later.outlook.reached
        assert reached == (None, "a" if carried else None), "what it reads reaches no limit, and nothing is foretold"
        assert later.outlook.unseen == [Unseen("b")]


def test_what_a_silent_sensor_foretold_goes_on_and_then_is_not_known() -> None:
    tracker = grown()
    last = Foreseen(600.0, 20.0, 900.0, 1, 5.0)
    tracker.foresee(0, [last._replace(silent_s=60.0), NOT])
    assert tracker.outlook == Outlook("b", 540.0, 0.0, 840.0, 0, 540.0, limit=5.0, silent_s=60.0, watched=2)
    passed = Foreseen(0.0, 0.0, 0.0, 0, 7.0, 700.0, True)
    never = Foreseen(np.inf, np.inf, np.inf, 0, np.nan, np.inf, True)
    for first in (passed, never):
        tracker.foresee(SECOND, [NOT, last._replace(silent_s=660.0, unseen=True), first])
        assert tracker.outlook is not None
        assert (tracker.outlook.sensor, tracker.outlook.time_s, tracker.outlook.low_s) == (None, None, 900.0)
        assert (tracker.outlook.reached, tracker.outlook.first_s) == (None, 540.0)
        b = Unseen("b", 660.0, 600.0, 20.0, 900.0, 5.0)
        a = Unseen("a", 700.0, 0.0, 0.0, 0.0, 7.0) if first is passed else Unseen("a")
        assert tracker.outlook.unseen == ([a, b] if first is passed else [b, a]), "the soonest first"
        again = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
        assert again.outlook == tracker.outlook
    tracker.foresee(2 * SECOND, [last, NOT])
    assert tracker.outlook == Outlook("b", 600.0, 20.0, 900.0, 0, 540.0, limit=5.0, watched=2)


def test_of_a_frozen_or_failed_sensor_no_limit_is_said_to_be_out_of_sight() -> None:
    tracker = grown()
    tracker.foresee(0, [NOT, Foreseen(np.inf, 700.0, np.inf, 0)], blind=[0])
    assert tracker.outlook == Outlook(None, None, 900.0, None, unseen=[Unseen("a")], watched=1)
    tracker.foresee(SECOND, [Foreseen(30.0, 10.0, 90.0, 0), NOT], blind=[0])
    assert tracker.outlook == Outlook(None, None, 900.0, None, unseen=[Unseen("a")], watched=1), "nor in sight"
    assert kind(tracker, 1, 1000, "silent") == "instrument"
    tracker.foresee(2 * SECOND, [Foreseen(30.0, 10.0, 90.0, 1, 5.0, 3.0), NOT])
    unseen = [Unseen("b", 3.0, 30.0, 10.0, 90.0, 5.0)]
    assert tracker.outlook == Outlook(None, None, 900.0, None, unseen=unseen, watched=1), "it was told to have failed"


def test_no_failure_explains_what_the_plant_does_beside_it() -> None:
    before, tracker, spikes = grown(), Tracker("pump-1", "m", 0, ["a", "b", "c"]), Spikes()
    assert kind(before, 1, 4, "spiking") == "instrument"
    tracker.succeed(before)
    for row in range(0, 60, 20):
        spikes.note(row, flags(1))
    tracker.add(0, 5.0, np.array([0.1, 1.0, 0.1]), outside=1.0 * flags(1))
    assert kind(tracker, 1, 1000) == "process"
    tracker.recall(spikes, 60, None)
    tracker = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    assert kind(tracker, 2, 1000) == "process"
    assert tracker.episode().suspects == [("b", "spiking")]


def test_out_of_range_explains_what_it_began_with() -> None:
    def judged(fault: list[str]) -> Tracker:
        tracker = Tracker("pump-1", "m", 0, ["a", "b"])
        for row, each in enumerate(fault):
            tracker.add(row * SECOND, 2.0, np.array([0.1, 1.9]))
            code = np.array([0, FAULTS.index(each)], dtype=np.int8)
            tracker.judge(ill_of(code, np.ones(2)) if each else None, 0)
        return tracker

    assert judged(["range"]).episode().failed == ("b", "range")
    assert judged(["", "range", "range"]).episode().failed is None  # the process drove it there


def test_what_is_foretold() -> None:
    tracker = Tracker("pump-1", "m", 0, ["a", "b"], period_s=180.0)
    assert tracker.episode().outlook is None
    ahead = [(np.inf, 900.0, np.inf, 0), (3600.0, 1800.0, 7200.0, 1), (180.0, 0.0, 360.0, 1), (0.0, 0.0, 0.0, 1)]
    for row, (time, low, high, sensor) in enumerate(ahead):
        tracker.add(row * SECOND, 2.0, np.array([0.1, 1.9]))
        tracker.foresee(row * SECOND, [Foreseen(time, low, high, sensor)])
        if row == 0:
            assert tracker.episode().outlook == Outlook(None, None, 900.0, None, watched=1)
    assert tracker.episode().outlook == Outlook("b", 0.0, 0.0, 0.0, SECOND, 3600.0, "b", 540.0, watched=1)


def test_a_lead_counts_periods_in_which_no_row_came_too() -> None:
    tracker = Tracker("pump-1", "m", 0, ["a", "b"], period_s=180.0)
    for row, elapsed in enumerate([9, 1, 3]):  # how long before it a row came does not matter
        tracker.add(row * SECOND, 2.0, np.array([0.1, 1.9]), elapsed=elapsed)
    tracker = Tracker.restore("pump-1", json.loads(json.dumps(tracker.dump())))
    tracker.foresee(2 * SECOND, [Foreseen(0.0, 0.0, 0.0, 1)])
    assert tracker.outlook is not None
    assert tracker.outlook.lead_s == 4 * 180.0


def test_causes_are_those_of_the_library() -> None:
    def state(shares: list[float]) -> State:
        return {"rows": np.array([4]), "deviation": np.array([[3.0, 0.0, 0.0]]), "share": np.array([shares])}

    library = none(["a", "b", "c"]).with_example("leak", state([0.2, 0.8, 0.0]))
    library = library.with_example("fouling", state([0.0, 0.0, 1.0]))
    tracker = Tracker("pump-1", "m", 0, ["a", "b", "c"], known=Known("abc", library))
    for row in range(4):
        tracker.add(row * SECOND, 2.0, np.array([0.4, 1.6, 0.0]), np.array([3.0, 0.0, 0.0]))
    found = tracker.episode()
    assert found.cause == "leak"
    assert found.library == "abc"
    assert found.causes[0][0] == "leak"
    assert found.unknown is not None
    assert found.unknown + sum(chance for _, chance in found.causes) == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(unpack(found.evidence)["share"], [[0.2, 0.8, 0.0]], atol=1e-6)


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
