"""Whose an episode is: the process's, or that of an instrument that failed."""

import numpy as np
import pytest

from devices.frame import Asset, Channel
from devices.quality import CODES
from lab.course import HEARD
from lab.episodes import Episode, list_episodes
from lab.groups import BURST, LONGER
from models.detector import save, usual
from models.precursor import Precursor
from tests.lab.scoring_rig import CHANNELS, PUMP, SECOND, START, Rig, apart, check_replay, failed, only, seconds, spiky
from tests.models.plants import SENSORS, fitted, record, refit


@pytest.mark.parametrize("size", [1, 7, 400])
def test_a_spike_is_the_instruments(rig: Rig, size: int) -> None:
    x = record(400, 5)
    x[200, 3] += 150.0
    x[230, 3] -= 150.0
    assert failed(rig, f"spike-{size}", x, size=size) == {("level", "spiking")}


@pytest.mark.parametrize("size", [1, 7, 400])
@pytest.mark.parametrize(
    ("rows", "whose"), [(1, "level"), (2, "level"), (3, "level"), (BURST, "level"), (BURST + 1, None)]
)
def test_a_burst_of_some_rows_is_the_instruments(rig: Rig, rows: int, whose: str | None, size: int) -> None:
    x = record(400, 5)
    x[200 : 200 + rows, 3] += 150.0
    x[200 + rows, 3] += 0.4 * np.ptp(x[:200, 3])  # noise: it does not come back to where it was
    assert failed(rig, f"burst-{rows}-{size}", x, size=size) == {whose and (whose, "spiking")}
    if rows > 1:
        x[200:, 5] += 60.0  # another moves with it
        assert failed(rig, f"process-{rows}-{size}", x, size=size) == {None}


@pytest.mark.parametrize("size", [1, 7, 400])
def test_a_spike_within_the_usual_values_is_one_too(rig: Rig, size: int) -> None:
    """It leaps as no value of the normal record did; but not when another sensor leaves its usual values with it."""
    x = record(400, 5)
    x[200, 3] += 16.0
    assert x[200, 3] < fitted("precursor").usual.high[3]
    assert failed(rig, f"within-{size}", x, size=size) == {("level", "spiking")}
    x[200:, 5] += 60.0
    assert failed(rig, f"process-{size}", x, size=size) == {None}


@pytest.mark.parametrize(
    ("before", "top", "after", "whose"),
    [
        (2.0, 8.0, [-2.2], (SENSORS[5], "spiking")),  # as noise has it
        (2.0, 9.0, [-6.0, 5.0, -6.0], None),  # it leaps to and fro
        (2.0, 9.0, [4.5, 4.5, 4.5], None),  # it is not back
    ],
)
@pytest.mark.parametrize("size", [1, 7, 400])
def test_a_spike_of_what_is_noisy_may_come_back_past_where_it_was(
    rig: Rig, before: float, top: float, after: list[float], whose: tuple[str, str] | None, size: int
) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    x = apart(400, 5)
    x[199:201, 5], x[201 : 201 + len(after), 5] = (before, top), after
    assert failed(rig, f"noisy-{after[0]}-{size}", x, size=size) == {whose}


@pytest.mark.parametrize("size", [1, 7, 400])
def test_what_an_old_model_knows_of_leaps_suffices_for_large_spikes(rig: Rig, size: int) -> None:
    arrays = {name: array for name, array in fitted("precursor").arrays().items() if name != "usual_leap"}
    old = Precursor.from_arrays(arrays)
    assert np.isinf(old.usual.leap).all()
    save(old, rig.models / "pump.model")
    x = record(400, 5)
    x[200, 3] += 16.0
    assert failed(rig, f"within-{size}", x, size=size) == {None}
    x[200, 3] += 100.0
    assert failed(rig, f"large-{size}", x, size=size) == {("level", "spiking")}


@pytest.mark.parametrize("size", [1, 7, 400])
def test_a_value_that_rests_where_it_never_was_is_the_instruments_if_nothing_follows(rig: Rig, size: int) -> None:
    x = record(400, 5)
    x[200:, 3] = 0.0
    assert failed(rig, f"alone-{size}", x, size=size) == {("level", "frozen")}
    for at in (203, 225, 260):  # a real loss: others follow, be it late
        real = x.copy()
        real[at:, 5] -= 60.0
        assert failed(rig, f"real-{at}-{size}", real, size=size) == {None}
    real = x.copy()
    real[300:, 5] -= 60.0  # so late that it is another matter
    assert failed(rig, f"later-{size}", real, size=size) == {("level", "frozen"), None}
    assert list_episodes(rig.store, f"later-{size}")[0].suspects == [("level", "frozen")]
    noisy = x.copy()
    noisy[200:, 3] += 0.01 * np.random.default_rng(1).normal(size=200)
    assert failed(rig, f"noisy-{size}", noisy, size=size) == {None}


@pytest.mark.parametrize("size", [1, 7, 600])
@pytest.mark.parametrize(("far", "whose"), [(0.35, [None, ("level", "frozen")]), (0.15, [("level", "frozen")])])
def test_what_follows_slowly_is_an_episode_of_its_own(
    rig: Rig, far: float, whose: list[tuple[str, str] | None], size: int
) -> None:
    """Long after a real loss another sensor stays outside, not far: beside a resting sensor that is enough."""
    usual, x = fitted("precursor").usual, record(600, 5)
    span = usual.high[5] - usual.low[5]
    x[200:, 3] = 0.0
    x[320:, 5] = usual.high[5] + far * span + 0.01 * span * np.random.default_rng(1).normal(size=280)
    failed(rig, f"slow-{far}-{size}", x, size=size)
    told = list_episodes(rig.store, f"slow-{far}-{size}")
    assert [episode.failed for episode in told] == whose
    if told[0].failed is None:
        assert told[0].start == START + (320 + HEARD) * SECOND
        assert told[0].suspects == [("level", "frozen")]
        assert told[0].leading[0][0] == SENSORS[5]


@pytest.mark.parametrize("size", [1, 7, 400])
def test_a_sensor_that_no_other_moves_with_failed_if_it_leapt_to_where_it_rests(rig: Rig, size: int) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    gone = apart(400, 5)
    for far in (-8.0, -4.5):  # or a little
        gone[200:, 5] = far
        assert failed(rig, f"leapt-{far}-{size}", gone, size=size) == {(SENSORS[5], "frozen")}
    gone[196:200, 5] = [-3.0, -4.5, -6.0, -7.0]
    assert failed(rig, f"went-{size}", gone, size=size) == {None}  # none would follow, were it true
    gone[196:200, 5], gone[200:, 5] = [-2.0, -3.0, -3.5, -4.2], -9.2
    assert failed(rig, f"fell-{size}", gone, size=size) == {None}  # the last of its steps is no leap


@pytest.mark.parametrize(
    ("low", "high", "whose"),
    [(-20.0, 20.0, ("current", "frozen")), (-4.5, 20.0, None), (5, 5, None)],
)
def test_nothing_rests_within_its_range(rig: Rig, low: float, high: float, whose: tuple[str, str] | None) -> None:
    """However little it leapt; near its ends, and where no range is declared, it may."""
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    x = apart(400, 5)
    x[199, 5], x[200:, 5] = -2.9, -4.2
    ranged = [*CHANNELS[:5], Channel(SENSORS[5], lo=low, hi=high)]
    assert failed(rig, f"at-{low}-{high}", x, ranged) == {whose}


def apart_with(rig: Rig, id: str, size: int, channels: list[Channel] = CHANNELS, **written: object) -> list[Episode]:
    """Episodes of a record with these values in its last sensor, which no other moves with, from row 200 on."""
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    x = apart(400, 5)
    for at, value in written.items():
        first, last = (int(each) for each in at[1:].split("_"))
        x[first:last, 5] = value
    failed(rig, f"{id}-{size}", x, channels, size=size)
    return list_episodes(rig.store, f"{id}-{size}")[::-1]


@pytest.mark.parametrize("size", [1, 7, 400])
def test_a_failed_sensor_is_told_without_an_alarm(rig: Rig, size: int) -> None:
    known = 11  # rows with one value; the normal record has none twice
    for id, value, fault, first in (("frozen", 0.5, "frozen", 200 + known), ("silent", np.nan, "silent", 213)):
        (episode,) = apart_with(rig, id, size, r200_300=value)
        assert (episode.kind, episode.failed) == ("instrument", ("current", fault))
        assert (episode.start, episode.end) == (START + first * SECOND, START + 300 * SECOND)
        assert episode.leading == [("current", 1.0)]
        assert 0.0 < episode.peak < 1.0
        rig.telling.label(episode.id, "cable")
        rig.commit()
        assert list_episodes(rig.store, episode.asset)[0].label == "cable"
        assert list(rig.models.glob("*.causes.json")) == []
    assert apart_with(rig, "short", size, r200_211=0.5, r300_313=np.nan) == []


@pytest.mark.parametrize("size", [1, 7, 400])
def test_a_sensor_beyond_its_range_is_told_without_an_alarm(rig: Rig, size: int) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    rig.declare(PUMP, [*CHANNELS[:5], Channel(SENSORS[5], lo=-10.0, hi=10.0)])
    x = apart(400, 5)
    x[200:300, 5] += 50.0
    q = ((x > 10.0) & (np.arange(6) == 5)).astype(np.uint8) * CODES["bad:range"]
    for first in range(0, 400, size):
        some = slice(first, first + size)
        rig.feed("pump-1", seconds(400)[some], x[some], q[some])
    check_replay(rig, "pump-1")
    episode = only(rig)
    assert (episode.kind, episode.failed) == ("instrument", ("current", "range"))
    assert (episode.start, episode.end) == (START + (200 + LONGER) * SECOND, START + 300 * SECOND)


@pytest.mark.parametrize("size", [1, 7, 400])
def test_an_alarm_while_a_sensor_has_failed_is_an_episode_of_its_own(rig: Rig, size: int) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    x = apart(600, 5)
    x[100:, 5] = 0.5
    x[300:360, 0] += 20.0
    failed(rig, f"both-{size}", x, size=size)
    first, alarm, after = list_episodes(rig.store, f"both-{size}")[::-1]
    assert (first.kind, alarm.kind, after.kind) == ("instrument", "process", "instrument")
    assert first.end == alarm.start
    assert alarm.end == after.start
    assert alarm.leading[0][0] != "current"
    assert after.end is None


def test_what_moves_in_steps_may_rest(rig: Rig) -> None:
    def stepped(rows: int, seed: int) -> np.ndarray:
        return np.column_stack([record(rows, seed)[:, :5], np.arange(rows) // 50 % 3])

    save(refit("precursor", [stepped(600, 1)]), rig.models / "pump.model")
    x = stepped(400, 5)
    x[100:, 5] = 2.0
    assert failed(rig, "set-point", x) == set()


def test_a_plant_that_stops_has_no_failed_sensors(rig: Rig) -> None:
    x = record(400, 5)
    x[200:] = x[199]
    assert {each for each in failed(rig, "stopped", x) if each} == set()


@pytest.mark.parametrize("size", [1, 7, 400])
def test_a_leap_is_remembered_until_an_alarm_comes_of_it(rig: Rig, size: int) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    little = apart(400, 5)
    little[199, 5], little[200:, 5] = 3.0, -4.2
    assert failed(rig, f"little-{size}", little, size=size) == {(SENSORS[5], "frozen")}
    assert list_episodes(rig.store, f"little-{size}")[0].start > START + 201 * SECOND


def test_rows_that_are_missing_do_not_hide_where_a_sensor_leapt_to(rig: Rig) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    x = apart(400, 5)
    x[200:, 5] = -8.0
    kept = np.delete(np.arange(400), [210, 215, 260])
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(400)[kept], x[kept])
    check_replay(rig, "pump-1")
    assert only(rig).failed == (SENSORS[5], "frozen")


def test_what_has_rested_for_long_does_not_explain_what_comes_without_it(rig: Rig) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    rig.declare(PUMP, CHANNELS)
    x = apart(1200, 9)
    x[200:, 5] = -8.0
    x[700:, 1] += np.minimum(0.2 * np.arange(500), 6.0)
    rig.feed("pump-1", seconds(400), x[:400])
    rig.runtime.accept("pump-1")
    rig.feed("pump-1", seconds(800, 400), x[400:])
    rig.commit()
    told = [(episode.failed, episode.leading[0][0]) for episode in list_episodes(rig.store, "pump-1")]
    assert told == [(None, "pressure"), ((SENSORS[5], "frozen"), SENSORS[5])]
    check_replay(rig, "pump-1")


def stepped(rows: int, seed: int) -> np.ndarray:
    """The last one is a set point that an operator moves every minute."""
    steps = np.repeat(np.random.default_rng(seed).choice([88.0, 89.0, 90.0, 91.0, 92.0], rows // 60 + 1), 60)
    return np.column_stack([record(rows, seed)[:, :5], steps[:rows]])


@pytest.mark.parametrize("ranged", [False, True])
def test_what_moves_in_steps_may_rest_anywhere(rig: Rig, ranged: bool) -> None:
    """A set point that is moved to a value it never had is not why the level leaves its own later."""
    save(refit("precursor", [stepped(600, 1)]), rig.models / "pump.model")
    channels = [Channel(tag, lo=0.0, hi=200.0) if ranged else Channel(tag) for tag in SENSORS]
    x = stepped(1000, 5)
    x[300:, 5] = 95.0
    x[350:, 3] += 15.0
    assert failed(rig, "stepped", x, channels, 1000) == {None}


@pytest.mark.parametrize("size", [1, 400])
def test_a_spike_does_not_hide_what_comes_later(rig: Rig, size: int) -> None:
    x = record(900, 5)
    x[200, 3] += 150.0
    x[450:, 3] += 15.0
    assert failed(rig, f"later-{size}", x, size=size) == {("level", "spiking"), None}


def test_a_step_and_a_spike_of_all_are_no_instruments(rig: Rig) -> None:
    step = record(400, 5)
    step[200:215, 3] += 150.0  # it does not return soon
    assert failed(rig, "step", step) == {None}
    every = record(400, 5)
    every[200] += 150.0
    assert failed(rig, "every", every) == {None}
    valves = [Channel(tag, role="manipulated") for tag in SENSORS]
    spike = record(400, 5)
    spike[200, 3] += 150.0
    assert failed(rig, "valve", spike, valves) == {None}


def test_what_is_switched_is_no_sensor_and_makes_others_leap(rig: Rig) -> None:
    """A pump that is off for a row, as it never was in the normal record, has not failed, nor has its flow."""

    def switched(count: int, seed: int, off: list[int]) -> np.ndarray:
        x = apart(count, seed)
        x[:, 4] = 1.0
        for row in off:
            x[row : row + 20, 4] = 0.0
        x[:, 0] += 30.0 * x[:, 4]
        return x

    known = switched(600, 1, [100, 300, 500])
    save(refit("precursor", [known]), rig.models / "pump.model")
    assert usual([known]).leap[4] == 1
    x = switched(400, 9, [])
    for id, state in (("both", 0.0), ("flow alone", 1.0)):
        x[200, 4] = state
        x[200, 0] = -40.0
        assert failed(rig, id, x) == {None if id == "both" else ("flow", "spiking")}
    x = switched(400, 9, [])
    x[200, 4] = 7.0  # as nothing that is switched can be
    assert failed(rig, "state", x) == {("valve", "spiking")}


def test_a_sensor_of_two_values_hides_no_spikes_of_what_does_not_move_with_it(rig: Rig) -> None:
    def coarse(count: int, seed: int) -> np.ndarray:
        x = apart(count, seed)
        x[:, 5] = np.round(20.0 + np.random.default_rng(seed).uniform(0.0, 0.1, count), 1)
        return x

    save(refit("precursor", [coarse(600, 1)]), rig.models / "pump.model")
    for seed in range(8):
        x = coarse(400, 20 + seed)
        x[200, 3] += 60.0
        assert failed(rig, f"spike-{seed}", x) == {("level", "spiking")}


@pytest.mark.parametrize("size", [1, 7, 400])
def test_a_sensor_that_never_moved_spikes_only_from_its_value(rig: Rig, size: int) -> None:
    """One that goes to another value and stays there, with noise or without, tells the truth."""
    rested = record(600, 1)
    rested[:, 3] = 80.0
    save(refit("precursor", [rested]), rig.models / "pump.model")
    for at, noise in enumerate((0.0, 0.01)):
        for by in (20.0, 60.0, 200.0):  # an episode begins some rows later, or at once
            x = record(300, 5)
            x[:, 3] = 80.0
            x[150:, 3] += by + noise * np.random.default_rng(1).normal(size=150)
            assert failed(rig, f"moved-{at}-{by:.0f}-{size}", x, size=size) == {None}
    x = record(300, 5)
    x[:, 3] = 80.0
    x[150, 3] += 1000.0
    assert failed(rig, f"spike-{size}", x, size=size) == {("level", "spiking")}


@pytest.mark.parametrize("size", [1, 7, 400])
def test_out_of_range_is_the_instruments_unless_the_process_drove_it_there(rig: Rig, size: int) -> None:
    ranged = [Channel(tag, lo=0.0, hi=200.0) for tag in SENSORS]
    broken = record(400, 5)
    broken[200:, 3] = 999.0 + np.random.default_rng(1).normal(size=200)
    assert failed(rig, f"broken-{size}", broken, ranged, size) == {("level", "range")}
    driven = record(400, 5)
    driven[200:, 3] += np.minimum(5.0 * np.arange(200), 300.0)
    assert failed(rig, f"driven-{size}", driven, ranged, size) == {None}
    full = record(400, 5)
    full[200:, 3] = 205.0 + np.random.default_rng(1).normal(size=200)  # saturated, as NE 43 lets a process do
    assert failed(rig, f"full-{size}", full, ranged, size) == {None}


@pytest.mark.parametrize("size", [1, 7, 400])
def test_a_spike_beyond_the_range_is_one_too(rig: Rig, size: int) -> None:
    ranged = [Channel(tag, lo=0.0, hi=200.0) for tag in SENSORS]
    rig.declare(PUMP, ranged)
    x = record(400, 5)
    x[200:, 3] -= 40.0  # a loop that it drives has moved the plant
    x[[250, 251], 3] = [-500.0, x[249, 3]]
    q = np.where((x < 0.0) | (x > 200.0), CODES["bad:range"], 0).astype(np.uint8)
    for first in range(0, 400, size):
        some = slice(first, first + size)
        rig.feed("pump-1", seconds(400)[some], x[some], q[some])
    check_replay(rig, "pump-1")
    assert only(rig).failed == ("level", "spiking")


@pytest.mark.parametrize("size", [1, 7, 600])
def test_who_spiked_often_is_the_cause_with_a_small_share(rig: Rig, size: int) -> None:
    for spikes, by, whose in ((4, 8.0, ("level", "spiking")), (2, 8.0, None), (0, 8.0, None), (4, 0.0, None)):
        id = f"pump-{spikes}-{by:.0f}"
        failed(rig, id, spiky(spikes, by), size=size)
        newest = list_episodes(rig.store, id)[0]
        assert newest.failed == whose
        assert (("level", "spiking") in newest.suspects) == (spikes > 0 and whose is None)


@pytest.mark.parametrize("size", [1, 7, 400])
def test_what_was_far_out_is_back_wherever_it_lands_and_an_overshoot_is_none(rig: Rig, size: int) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    low, spread = apart(600, 1)[:, 5].min(), np.ptp(apart(600, 1)[:, 5])
    x = apart(400, 5)
    x[199:202, 5] = low + spread * np.array([0.95, 2.1, 0.02])
    assert failed(rig, f"out-{size}", x, size=size) == {(SENSORS[5], "spiking")}
    x[199:202, 5] = low + spread * np.array([0.1, 1.5, 0.92])
    x[202:, 5] = x[201, 5] + 0.05 * x[202:, 5]
    assert failed(rig, f"step-{size}", x, size=size) == {None}


def looped(count: int, seed: int, off: list[int]) -> np.ndarray:
    """A pump, switched off for 20 rows now and then, moves the level, which the valve follows."""
    x = apart(count, seed)
    x[:, 5] = 1.0
    for row in off:
        x[row : row + 20, 5] = 0.0
    x[:, 3] += 10.0 * x[:, 5]
    x[:, 4] = 2.0 * x[:, 3] - 15.0 * x[:, 5] + 0.01 * np.random.default_rng(seed).normal(size=count)
    return x


KNOWN_LOOP = looped(900, 1, [100, 300, 500, 700])


@pytest.mark.parametrize("size", [1, 7, 201, 400])
def test_one_wrong_reading_is_a_spike_though_noise_leaps_as_far(rig: Rig, size: int) -> None:
    """The valve, which follows the level, says that it was none; but not when something was switched."""
    save(refit("precursor", [KNOWN_LOOP]), rig.models / "pump.model")
    x = np.clip(looped(400, 9, []), KNOWN_LOOP.min(axis=0), KNOWN_LOOP.max(axis=0))  # nothing else is remembered
    x[200, 3] += 2.0
    assert np.abs(np.diff(x[199:202, 3])).max() < np.abs(np.diff(KNOWN_LOOP[:, 3])).max()
    assert failed(rig, f"spike-{size}", x, size=size) == {("level", "spiking")}
    (listed,) = rig.runtime.describe(rig.numbers[f"spike-{size}"])["instruments"]
    assert listed[:3] == ["level", "spiking", 1]
    x[225::25, 3] += 2.0
    assert failed(rig, f"spikes-{size}", x, size=size) == {("level", "spiking")}
    x = looped(400, 9, [201])
    x[200, 3] += 2.0
    assert failed(rig, f"switched-{size}", x, size=size) == {None}
    x = looped(400, 9, [])
    x[200:, 4] += 4.0  # the controller itself
    assert failed(rig, f"controller-{size}", x, size=size) == {None}


@pytest.mark.parametrize("size", [1, 7, 201, 400])
@pytest.mark.parametrize("what", ["slips", "shifts", "leaps", "slowly", "with others"])
def test_what_goes_on_is_no_single_wrong_reading(rig: Rig, what: str, size: int) -> None:
    """Two rows may look like one; those after them tell."""
    save(refit("precursor", [KNOWN_LOOP]), rig.models / "pump.model")
    x = looped(400, 9, [])
    if what == "slips":  # the valve follows no more, but now and then it is where it should be
        x[200::3, 4] += 4.0
    elif what == "shifts":
        x[200, 3] += 2.0
        x[202:, 0] += 6.0
    elif what == "leaps":
        x[200::8, 3] += 2.0
    elif what == "slowly":
        x[200, 3] += 2.0
        x[202:, 4] += 0.1
    else:
        x[200, 3] += 2.0
        x[201:, 0] += 30.0
    assert failed(rig, what, x, size=size) == {None}
    assert rig.runtime.describe(rig.numbers[what])["instruments"] == []


@pytest.mark.parametrize("cut", [201, 202, 203, 204, 226, 227])
def test_a_wrong_reading_is_judged_alike_after_a_restart(rig: Rig, cut: int) -> None:
    save(refit("precursor", [KNOWN_LOOP]), rig.models / "pump.model")
    spikes, slips = looped(400, 9, []), looped(400, 9, [])
    spikes[200::25, 3] += 2.0
    slips[200::25, 4] += 4.0
    slips[226::3, 4] += 4.0
    for id, x, whose in ("spikes", spikes, ("level", "spiking")), ("slips", slips, None):
        rig.declare(Asset(id, "pump"), CHANNELS)
        rig.feed(id, seconds(cut), x[:cut])
        rig.stop()
        rig.open()
        rig.feed(id, seconds(400)[cut:], x[cut:])
        rig.commit()
        check_replay(rig, id)
        assert list_episodes(rig.store, id)[0].failed == whose


@pytest.mark.parametrize("size", [1, 7, 201, 400])
@pytest.mark.parametrize("sensor", [3, 4])
def test_that_a_wrong_reading_was_a_single_one_must_be_seen(rig: Rig, sensor: int, size: int) -> None:
    """Where the row after it lacks the sensor, or any, it is not."""
    save(refit("precursor", [KNOWN_LOOP]), rig.models / "pump.model")
    for lost in (3, 4, slice(None)):
        x = looped(400, 9, [])
        x[200:, sensor] += 3.0
        x[201, lost] = np.nan
        assert failed(rig, f"{sensor}-{lost}", x, size=size) == {None}


@pytest.mark.parametrize("size", [1, 400])
def test_of_an_old_model_which_knows_no_states_nothing_is_told_by_one_reading(rig: Rig, size: int) -> None:
    arrays = refit("precursor", [KNOWN_LOOP]).arrays()
    save(
        Precursor.from_arrays({name: array for name, array in arrays.items() if name != "usual_leap"}),
        rig.models / "pump.model",
    )
    x = looped(400, 9, [])
    x[200, 5] = 0.0
    assert failed(rig, f"state-{size}", x, size=size) == {None}
    x = looped(400, 9, [201])
    x[200, 3] += 2.0
    assert failed(rig, f"switched-{size}", x, size=size) == {None}


@pytest.mark.parametrize("size", [1, 7, 500])
def test_spikes_of_before_are_named_with_what_they_do_not_explain(rig: Rig, size: int) -> None:
    x = record(500, 5)
    x[[200, 230], 3] += 150.0
    x[300:, 0] += 20.0
    failed(rig, f"often-{size}", x, size=size)
    newest = list_episodes(rig.store, f"often-{size}")[0]
    assert (newest.kind, newest.suspects) == ("process", [("level", "spiking")])
