"""What a plant does beside a sensor that failed: whose the episode is, and what is told of either."""

from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import orjson
import pytest

from devices.frame import Asset, Channel, Limits
from lab.course import LASTS
from lab.episodes import Kind, find_episode, list_episodes, unpack
from lab.offline import score_table
from lab.tables import Table
from models.detector import Model, save
from tests.lab.scoring_rig import (
    CHANNELS,
    PUMP,
    SECOND,
    START,
    Rig,
    apart,
    check_replay,
    fail,
    failed,
    seconds,
    spiky,
)
from tests.models.plants import SENSORS, fitted, record, refit


@pytest.mark.parametrize("size", [1, 7, 500])
@pytest.mark.parametrize("fault", ["frozen", "silent", "spiking"])
def test_a_fault_long_after_a_sensor_failed_is_an_episode_of_its_own(rig: Rig, fault: str, size: int) -> None:
    x = record(700, 5)
    fail(x, fault)
    x[500:, 0] += 30.0
    assert failed(rig, f"pump-{size}", x, size=size) == {("level", fault), None}
    *rest, first = list_episodes(rig.store, f"pump-{size}")
    process = next(episode for episode in reversed(rest) if episode.kind == "process")
    assert first.failed == ("level", fault)
    assert START + 500 * SECOND <= process.start <= START + (502 + LASTS) * SECOND
    assert process.suspects[0] == ("level", fault)
    assert process.leading[0][0] == "flow"
    assert all(episode.upset == [] for episode in (first, *rest))


@pytest.mark.parametrize("size", [1, 7, 500])
@pytest.mark.parametrize(("fault", "moves"), [("frozen", 300), ("silent", 220), ("spiking", 300)])
def test_a_plant_that_moves_soon_after_a_sensor_failed_is_told_with_it(
    rig: Rig, fault: str, moves: int, size: int
) -> None:
    x = record(500, 5)
    fail(x, fault)
    x[moves:, 0] += 30.0
    assert failed(rig, f"pump-{size}", x, size=size) == {("level", fault)}
    newest = list_episodes(rig.store, f"pump-{size}")[0]
    assert newest.upset == ["flow"]
    assert newest.start <= START + (moves + 1) * SECOND
    assert newest.end is None, "it is one episode, and its alarm goes on"


@pytest.mark.parametrize("size", [1, 7, 500])
def test_a_plant_that_moves_as_by_a_known_cause_does_not_do_so_because_of_a_sensor(rig: Rig, size: int) -> None:
    x = record(500, 5)
    x[300:, 0] += 30.0
    assert failed(rig, "known", x, size=size) == {None}
    (episode,) = list_episodes(rig.store, "known")
    rig.telling.label(episode.id, "strainer blocked")
    x[150:, 3] = x[149, 3]
    assert failed(rig, "both", x, size=size) == {("level", "frozen"), None}
    newest, oldest = list_episodes(rig.store, "both")
    assert (newest.cause, newest.suspects) == ("strainer blocked", [("level", "frozen")])
    assert START + (300 + LASTS) * SECOND <= newest.start <= START + (304 + 2 * LASTS) * SECOND
    assert (oldest.failed, oldest.upset) == (("level", "frozen"), ["flow"])


@pytest.mark.parametrize("size", [1, 7, 3000])
def test_what_has_failed_now_and_again_for_long_is_not_why_a_plant_moves(rig: Rig, size: int) -> None:
    x = record(3000, 5)
    x[150::140, 3] += 100.0
    x[2800:, 0] += np.minimum(np.arange(200) / 3, 30)
    failed(rig, f"spikes-{size}", x, size=size)
    newest = list_episodes(rig.store, f"spikes-{size}")[0]
    assert (newest.kind, newest.suspects[0]) == ("process", ("level", "spiking"))
    x = record(3000, 5)
    for row in range(150, 3000, 30):
        x[row : row + 14, 3] = np.nan
    x[2800:, 0] += 30.0
    failed(rig, f"silent-{size}", x, size=size)
    newest = list_episodes(rig.store, f"silent-{size}")[0]
    assert (newest.kind, newest.upset) == ("process", [])


@pytest.mark.parametrize("controlled", ["level", "flow"])
def test_a_sensor_on_which_no_controller_acts_moves_no_plant(rig: Rig, controlled: str) -> None:
    channels = [Channel(tag, controlled=tag == controlled) for tag in SENSORS]
    x = record(500, 5)
    fail(x, "frozen")
    x[250:, 0] += 30.0
    failed(rig, controlled, x, channels)
    newest = list_episodes(rig.store, controlled)[0]
    assert newest.kind == ("instrument" if controlled == "level" else "process")
    assert newest.upset == (["flow"] if controlled == "level" else [])


def test_another_sensor_that_failed_too_is_named_and_is_no_plant(rig: Rig) -> None:
    x = record(500, 5)
    fail(x, "frozen")
    x[200:214, 5] += 60.0 + np.random.default_rng(1).normal(size=14)
    x[214:, 5] = np.nan
    x[300:, 0] += 30.0
    failed(rig, "both", x)
    newest = list_episodes(rig.store, "both")[0]
    assert newest.failed == ("level", "frozen")
    assert newest.upset[-1] == "flow"


def test_what_a_failed_sensor_reads_reaches_no_limit_of_the_plant(rig: Rig) -> None:
    x = record(420, 5)  # the level's limit is 300, the pressure's 80
    x[150::12, 3] += 300.0
    x[280:, 0] -= np.clip((np.arange(420) - 280) / 2, 0, 40)[280:]
    x[:, 1] += np.clip((np.arange(420) - 300) / 4, 0, 60)
    failed(rig, "pump-1", x, size=5)
    newest = list_episodes(rig.store, "pump-1")[0]
    assert newest.failed == ("level", "spiking")
    assert newest.upset
    assert newest.outlook is not None
    assert newest.outlook.reached == "pressure"


@pytest.mark.parametrize("size", [1, 7, 500])
def test_a_sensor_stuck_beyond_its_limit_hides_no_limit_of_the_plant(rig: Rig, size: int) -> None:
    x = record(500, 5)
    x[150:, 3] = 310.0
    x[250:, 1] -= np.minimum(0.2 * np.arange(250), 30.0)
    assert failed(rig, f"stuck-{size}", x, size=size) == {("level", "frozen")}
    episode = list_episodes(rig.store, f"stuck-{size}")[0]
    assert episode.outlook is not None
    assert (episode.outlook.sensor, episode.outlook.reached) == ("pressure", "pressure")
    told = [change.episode.outlook for change in rig.changes if change.episode.failed]
    assert all(outlook is None or outlook.reached != "level" for outlook in told)
    scores = score_table(Model(fitted("precursor"), {}, "m"), Table(SENSORS, x, seconds(500), 1.0, Path("stuck.csv")))
    live = rig.runtime.describe(rig.numbers[f"stuck-{size}"])["outlook"]
    assert msgspec.to_builtins(scores.episodes[-1][0].outlook) == live
    assert (scores.ahead[-1, 0], scores.ahead_of[-1]) == (0.0, SENSORS.index("pressure"))
    assert (scores.ahead_of[200:] != SENSORS.index("level")).all()


def test_a_spike_beyond_its_limit_has_reached_none(rig: Rig) -> None:
    x = record(400, 5)
    x[200, 3] += 300.0
    assert failed(rig, "pump-1", x, size=1) == {("level", "spiking")}
    assert all(each.outlook is None or each.outlook.reached is None for each in list_episodes(rig.store, "pump-1"))


def test_what_a_user_told_of_a_failed_sensor_is_no_cause_in_the_process(rig: Rig) -> None:
    x = record(500, 5)
    x[150:, 3] = x[149, 3]
    x[300:, 0] += 30.0
    for id, told in (("one", "level gauge stuck"), ("two", "level gauge stuck"), ("three", "strainer blocked")):
        assert failed(rig, id, x) == {("level", "frozen")}
        (episode,) = list_episodes(rig.store, id)
        rig.telling.label(episode.id, told)
    rig.stop()
    rig.open()
    assert failed(rig, "four", x) == {("level", "frozen")}


def test_what_told_the_truth_once_is_not_doubted_again(rig: Rig) -> None:
    x = record(900, 5)
    x[200:, 3] = 10_000.0
    for row in range(300, 900, 120):
        x[row : row + 14, 0] += 30.0
    number = rig.declare(PUMP, CHANNELS)
    told = []
    for row, t in enumerate(seconds(900)):
        rig.feed("pump-1", t[None], x[row : row + 1])
        told.append(rig.runtime.describe(number)["episode_kind"])
    changes = [kind for kind, before in zip(told, [None, *told], strict=False) if kind != before]
    assert changes == ["process", "instrument", "process"]
    check_replay(rig, "pump-1")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_valve_that_is_wide_open_shows_that_a_plant_moves(rig: Rig, size: int) -> None:
    channels = [Channel(tag, role="manipulated" if tag == "valve" else "measurement") for tag in SENSORS]
    x = record(700, 5)
    x[150::8, 3] += 100.0
    x[300:, 0], x[300:, 4] = 0.0, 140.0
    failed(rig, f"open-{size}", x, channels, size)
    newest = list_episodes(rig.store, f"open-{size}")[0]
    assert (newest.kind, newest.suspects) == ("process", [("level", "spiking")])
    assert newest.start <= START + 312 * SECOND


@pytest.mark.parametrize(("moves", "kinds"), [(300, ["instrument"]), (500, ["process", "instrument"])])
def test_what_a_plant_does_beside_a_failed_sensor_goes_on_after_a_restart(
    rig: Rig, moves: int, kinds: list[str]
) -> None:
    x = record(700, 5)
    x[150:, 3] = x[149, 3]
    x[moves:, 0] += 30.0
    for id, stops in (("pump-1", ()), ("pump-2", (moves + 5, moves + 20))):
        rig.declare(Asset(id, "pump"), CHANNELS)
        for first, last in pairwise((0, *stops, 700)):
            rig.feed(id, seconds(last - first, first), x[first:last])
            rig.stop()
            rig.open()
        check_replay(rig, id)
    one, two = (list_episodes(rig.store, id) for id in ("pump-1", "pump-2"))
    for here, there in zip(one, two, strict=True):
        for name in ("kind", "start", "suspects", "upset"):
            assert getattr(here, name) == getattr(there, name)
        assert unpack(here.evidence)["rows"] == unpack(there.evidence)["rows"]
    assert [each.kind for each in one] == kinds
    assert bool(one[-1].upset) == (len(kinds) == 1)


def test_a_process_names_the_sensor_that_is_known_to_have_failed(rig: Rig) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    number = rig.declare(PUMP, CHANNELS)
    x = apart(500, 9)
    x[200:, 5] = x[199, 5]
    x[400:, 0] += 20.0
    rig.feed("pump-1", seconds(450), x[:450])
    assert rig.runtime.describe(number)["suspects"] == [(SENSORS[5], "frozen")]
    rig.stop()
    rig.open()
    rig.feed("pump-1", seconds(50, 450), x[450:])
    rig.commit()
    process, instrument = list_episodes(rig.store, "pump-1")
    assert (process.kind, process.suspects) == ("process", [(SENSORS[5], "frozen")])
    assert (instrument.kind, instrument.suspects) == ("instrument", [])
    check_replay(rig, "pump-1")


@pytest.mark.parametrize("size", [1, 7, 800])
@pytest.mark.parametrize(
    ("failed_at", "moves_at", "controlled", "kind"),
    [
        (200, 400, "current", "instrument"),
        (200, 400, "flow", "process"),  # no controller acts on what failed
        (200, 540, "current", "process"),  # it has failed for long
        (430, 400, "current", "process"),  # it failed later
    ],
)
def test_what_begins_soon_after_a_sensor_in_a_loop_failed_is_put_down_to_it(
    rig: Rig, failed_at: int, moves_at: int, controlled: str, kind: str, size: int
) -> None:
    """Whatever its share: what a controller does with it, others show."""
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    channels = [Channel(tag, controlled=tag == controlled) for tag in SENSORS]
    x, id = apart(800, 9), f"{kind}-{size}"
    x[failed_at:, 5] = x[failed_at - 1, 5]
    x[moves_at:, 0] += 20.0
    failed(rig, id, x, channels, size)
    alarm = next(each for each in list_episodes(rig.store, id) if each.leading[0][0] == "flow")
    assert alarm.start < START + (moves_at + 5) * SECOND
    assert alarm.end is None
    assert alarm.kind == kind
    if kind == "instrument":
        assert (alarm.failed, alarm.upset[0], alarm.suspects) == (("current", "frozen"), "flow", [])
        assert alarm.outlook is not None
    else:
        assert (alarm.failed, alarm.upset) == (None, [])


@pytest.mark.parametrize(
    ("spikes", "kind"),
    [
        ((330,), "process"),  # one may be chance
        ((250, 330), "instrument"),
        ((250, 310), "process"),  # it is over
        ((420, 440), "process"),  # it began later
        ((330, 440), "process"),
    ],
)
def test_what_spiked_twice_of_late_is_blamed(rig: Rig, spikes: tuple[int, ...], kind: str) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    channels = [Channel(tag, controlled=tag == "current") for tag in SENSORS]
    x = apart(600, 9)
    x[list(spikes), 5] += 30.0
    x[400:, 0] += 20.0
    failed(rig, "pump-1", x, channels, 7)
    newest = list_episodes(rig.store, "pump-1")[0]
    assert (newest.kind, newest.upset) == (kind, ["flow"] if kind == "instrument" else [])


@pytest.mark.parametrize(
    ("spikes", "kind"),
    [
        ((424, 450, 476), "instrument"),
        ((440, 451, 462), "process"),  # so often that it would have shown before
        ((424, 450), "process"),  # too few to tell how often
    ],
)
def test_what_may_have_spiked_before_a_row_showed_it_is_blamed(rig: Rig, spikes: tuple[int, ...], kind: str) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    channels = [Channel(tag, controlled=tag == "current") for tag in SENSORS]
    x = apart(600, 9)
    x[list(spikes), 5] += 300.0
    x[400:, 0] += 20.0
    failed(rig, "pump-1", x, channels, 7)
    newest = list_episodes(rig.store, "pump-1")[0]
    assert newest.start < START + 410 * SECOND
    assert (newest.kind, newest.upset) == (kind, ["flow"] if kind == "instrument" else [])


@pytest.mark.parametrize(("moved", "kind"), [((265, 545), "instrument"), ((545,), "process")])
def test_what_moves_the_plant_again_may_have_failed_for_long(rig: Rig, moved: tuple[int, ...], kind: str) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    channels = [Channel(tag, controlled=tag == "current") for tag in SENSORS]
    x = apart(600, 9)
    x[110:600:70, 5] += 30.0
    for first in moved:
        x[first : first + 30, 0] += 20.0
    failed(rig, "pump-1", x, channels, 7)
    newest = list_episodes(rig.store, "pump-1")[0]
    assert newest.end is None
    assert (newest.kind, newest.upset) == (kind, ["flow"] if kind == "instrument" else [])


@pytest.mark.parametrize(("controlled", "moving"), [("current", ["flow"]), ("flow", [])])
def test_who_leads_beside_a_sensor_that_just_failed_is_named(rig: Rig, controlled: str, moving: list[str]) -> None:
    """It explains the episode whatever its share, but the plant may move."""
    save(refit("precursor", [apart(700, 1)]), rig.models / "pump.model")
    channels = [Channel(tag, controlled=tag == controlled) for tag in SENSORS]
    x = apart(700, 9)
    x[200:, 5] = x[199, 5]
    x[260:, 0] += 5.0
    assert failed(rig, "pump-1", x, channels, 7) == {("current", "frozen")}
    assert list_episodes(rig.store, "pump-1")[0].upset == moving


def test_what_leads_itself_is_not_blamed_for_what_it_shows(rig: Rig) -> None:
    """That would be told as a sensor's alone, and the plant may move."""
    save(refit("precursor", [apart(700, 1)]), rig.models / "pump.model")
    channels = [Channel(tag, controlled=tag == "current") for tag in SENSORS]
    x = apart(700, 9)
    x[[250, 330], 5] += 30.0
    x[400:, 5] += 6.0
    failed(rig, "itself", x, channels)
    newest = list_episodes(rig.store, "itself")[0]
    assert (newest.kind, newest.suspects) == ("process", [("current", "spiking")])


@pytest.mark.parametrize(("rows", "by"), [(1, 40.0), (3, 40.0), (300, None)])
@pytest.mark.parametrize("size", [1, 7, 700])
def test_another_sensors_own_failure_is_not_put_down_to_what_had_failed_before(
    rig: Rig, rows: int, by: float | None, size: int
) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    channels = [Channel(tag, controlled=tag == "current") for tag in SENSORS]
    x = apart(700, 9)
    x[200:, 5] = np.nan
    x[400 : 400 + rows, 0] = 0.0 if by is None else x[400 : 400 + rows, 0] + by
    told = failed(rig, f"both-{size}", x, channels, size)
    assert told == {("current", "silent"), ("flow", "frozen" if by is None else "spiking")}
    assert all(each.upset == [] for each in list_episodes(rig.store, f"both-{size}"))


def test_what_is_like_a_known_cause_is_the_processs_whatever_failed(rig: Rig) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    channels = [Channel(tag, controlled=tag == "current") for tag in SENSORS]
    x = apart(600, 9)
    x[400:, 0] += 20.0
    for id in ("one", "two", "three"):
        failed(rig, id, x, channels)
        rig.telling.label(list_episodes(rig.store, id)[0].id, "strainer blocked")
    rig.stop()
    rig.open()
    x[200:, 5] = x[199, 5]
    failed(rig, "four", x, channels, 7)
    newest = list_episodes(rig.store, "four")[0]
    assert (newest.kind, newest.cause) == ("process", "strainer blocked")
    assert newest.suspects == [("current", "frozen")]


@pytest.mark.parametrize("kind", ["process", "instrument"])
def test_a_user_says_whether_it_was_the_process(rig: Rig, kind: Kind) -> None:
    save(refit("precursor", [apart(600, 1)]), rig.models / "pump.model")
    channels = [Channel(tag, controlled=tag == "current") for tag in SENSORS]
    x = apart(600, 9)
    x[400:, 0] += 20.0
    well = x.copy()
    x[200:, 5] = x[199, 5]
    failed(rig, "one", x if kind == "process" else well, channels)
    told = list_episodes(rig.store, "one")[0]
    assert told.kind != kind, "so that the user's word differs"
    rig.telling.label(told.id, "strainer blocked", kind)
    rig.stop()
    rig.open()
    assert find_episode(rig.store, told.id) == msgspec.structs.replace(told, label="strainer blocked", label_kind=kind)
    failed(rig, "two", x, channels, 7)
    newest = list_episodes(rig.store, "two")[0]
    assert newest.kind == kind
    assert newest.causes[0][0] == "strainer blocked"


@pytest.mark.parametrize("size", [1, 7, 600])
def test_which_sensors_failed_is_known_whatever_the_episodes_say(rig: Rig, size: int) -> None:
    x, number = record(600, 5), rig.declare(PUMP, CHANNELS)
    x[[150, 180, 300], 3] += 200.0
    x[400:, 4] = np.nan
    t = seconds(600)
    for first in range(0, 600, size):
        rig.feed("pump-1", t[first : first + size], x[first : first + size])
    silent, spiking = orjson.loads(orjson.dumps(rig.runtime.describe(number)))["instruments"]  # as a live frame is
    assert silent[:4] == ["valve", "silent", 1, 199.0]
    assert silent[4] < size + 5
    assert spiking == ["level", "spiking", 3, 448.0, 298.0]
    rig.stop()
    rig.open()
    assert rig.runtime.describe(number)["instruments"] == [silent, spiking]
    save(refit("precursor", [record(600, 2)]), rig.models / "pump.model")
    rig.runtime.files.look()
    rig.feed("pump-1", seconds(1, 600), x[:1])
    assert rig.runtime.describe(number)["instruments"] == []


def test_another_models_sensors_are_not_looked_for_in_what_failed_before(rig: Rig) -> None:
    """A live frame is made also between the new model and the next row."""
    x, number = record(400, 5), rig.declare(PUMP, CHANNELS)
    x[[150, 180, 300], 5] += 200.0
    rig.feed("pump-1", seconds(400), x)
    assert [each[0] for each in rig.runtime.describe(number)["instruments"]] == [SENSORS[5]]
    few = SENSORS[2:5]
    save(refit("precursor", [record(600, 2)[:, 2:5]], few), rig.models / "pump.model")
    rig.runtime.files.look()
    assert rig.runtime.describe(number)["instruments"] == []
    rig.commit()
    rig.crash()
    rig.open()
    assert rig.runtime.describe(number)["instruments"] == []


def test_what_failed_outlives_what_was_accepted_and_undone(rig: Rig) -> None:
    x, number = record(500, 5), rig.declare(PUMP, CHANNELS)
    x[[150, 180, 300], 3] += 200.0
    rig.feed("pump-1", seconds(400), x[:400])
    told = rig.runtime.describe(number)["instruments"]
    assert [each[:3] for each in told] == [["level", "spiking", 3]]
    rig.runtime.accept("pump-1")
    rig.feed("pump-1", seconds(50, 400), x[400:450])
    rig.runtime.unaccept("pump-1")
    assert [each[:3] for each in rig.runtime.describe(number)["instruments"]] == [["level", "spiking", 3]]
    rig.feed("pump-1", seconds(50, 450), x[450:])
    told = [["level", "spiking", 3, 348.0, 198.0]]
    assert rig.runtime.describe(number)["instruments"] == told
    rig.stop()
    rig.open()
    assert rig.runtime.describe(number)["instruments"] == told


def test_a_clock_that_ran_back_leaves_nothing_in_the_future(rig: Rig) -> None:
    """Not in the rows until it begins anew with the next period either, nor with a gap on top."""
    channels = [*CHANNELS, Channel("clock", role="status")]
    number = rig.declare(Asset("clocked", "pump", clock="clock"), channels)
    x = np.column_stack([record(420, 5), np.arange(420.0)])
    x[[150, 180, 300], 3] += 200.0
    x[400:, 6] = [5.5, 5.7, *range(40, 58)]
    for row in range(420):
        rig.feed("clocked", seconds(1, row), x[row : row + 1])
        told = rig.runtime.describe(number)["instruments"]
        assert bool(told) == (151 <= row < 400), row
        assert all(0 <= ago_s <= since_s for *_, since_s, ago_s in told)


@pytest.mark.parametrize(("clock", "listed"), [("clock", False), (None, True)])
def test_what_failed_is_listed_alike_after_a_crash(rig: Rig, clock: str | None, listed: bool) -> None:
    """The snapshot is from before the plant was reset, or its rows had a gap."""
    channels = [*CHANNELS, Channel("clock", role="status")]
    number = rig.declare(Asset("pump-9", "pump", clock=clock), channels)
    x = np.column_stack([record(420, 5), np.r_[:200.0, 100:320.0]])
    x[[50, 70, 90], 3] += 200.0
    t = np.concatenate([seconds(200), seconds(220, 200 if clock else 260)])
    rig.feed("pump-9", t[:190], x[:190])
    rig.commit(force=True)
    rig.feed("pump-9", t[190:], x[190:])
    rig.commit()
    told = rig.runtime.describe(number)["instruments"]
    assert bool(told) is listed
    rig.crash()
    rig.open()
    assert rig.runtime.describe(number)["instruments"] == told


@pytest.mark.parametrize("size", [1, 7, 500])
def test_a_transmitter_that_died_at_nothing_is_listed_once_that_is_sure(rig: Rig, size: int) -> None:
    x, number = record(500, 5), rig.declare(PUMP, CHANNELS)
    x[200:, 3] = 0.0
    t = seconds(500)
    for first in range(0, 500, size):
        rig.feed("pump-1", t[first : first + size], x[first : first + size])
    assert rig.runtime.describe(number)["instruments"] == [["level", "frozen", 1, 299.0, 0.0]]


def test_a_gateway_that_is_not_on_the_second_makes_one_stretch_of_one(rig: Rig) -> None:
    x, number = record(500, 5), rig.declare(PUMP, CHANNELS)
    x[200:, 3] = x[199, 3]
    late = (0.05 * SECOND * np.random.default_rng(1).normal(size=500)).astype(np.int64)
    rig.feed("pump-1", seconds(500) + late, x)
    assert [each[:3] for each in rig.runtime.describe(number)["instruments"]] == [["level", "frozen", 1]]


def test_what_spiked_outlives_a_restart_and_not_a_gap(rig: Rig) -> None:
    x = spiky(4, 8.0)
    for id, gap in (("pump-1", 0), ("pump-2", 60)):
        rig.declare(Asset(id, "pump"), CHANNELS)
        rig.feed(id, seconds(320), x[:320])
        rig.stop()
        rig.open()
        rig.feed(id, seconds(280, 320 + gap), x[320:])
        check_replay(rig, id)
    whose = [list_episodes(rig.store, id)[0].failed for id in ("pump-1", "pump-2")]
    assert whose == [("level", "spiking"), None]


@pytest.mark.parametrize("narrow_first", [True, False])
def test_each_asset_has_its_own_measuring_ranges_and_limits(rig: Rig, narrow_first: bool) -> None:
    narrow = [Channel(tag, lo=0.0, hi=200.0, limits=Limits(hi_trip=190.0)) for tag in SENSORS]
    wide = [Channel(tag, lo=0.0, hi=2000.0, limits=Limits(hi_trip=1900.0)) for tag in SENSORS]
    both = {"narrow": narrow, "wide": wide}
    for id in sorted(both, reverse=not narrow_first):
        number = rig.declare(Asset(id, "pump"), both[id])
        assert list(rig.runtime.scorer.members[number].layout.channels) == both[id]
    x = record(300, 5)
    x[200:, 3] = 999.0 + np.random.default_rng(1).normal(size=100)
    for row, t in enumerate(seconds(300)):
        rig.feed(["narrow", "wide"], np.array([t, t]), x[[row, row]])
    rig.commit()
    told = {episode.asset: episode.failed for episode in list_episodes(rig.store)}
    assert told == {"narrow": ("level", "range"), "wide": None}


def test_between_rows_that_count_no_alarm_comes_of_a_sensor_that_raises_none(rig: Rig) -> None:
    x = np.repeat(record(300, 5), 2, axis=0)
    x[300:, 3] = np.nan
    values = np.concatenate([x, np.arange(600)[:, None] / 2.0], axis=1)
    for id, size in (("once", 600), ("row by row", 1)):
        rig.declare(Asset(id, "pump", clock="plant_s"), [*CHANNELS, Channel("plant_s", "s", role="status")])
        for first in range(0, 600, size):
            some = slice(first, first + size)
            assert not rig.feed(id, seconds(600)[some], values[some]).alarm.any()
        rig.commit()
        assert [each.failed for each in list_episodes(rig.store, id)] == [("level", "silent")]
