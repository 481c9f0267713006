"""What is told live of the time to a limit where rows are lost, and where a sensor falls silent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from devices.frame import Asset, Channel
from lab.episodes import Outlook, list_episodes
from lab.rescoring import replay_scores
from lab.scorer import Trend
from models.detector import load, save
from models.precursor import Precursor, fit
from models.precursor.prognosis import BRIDGE, HOLD
from tests.lab.scoring_rig import CHANNELS, PUMP, SECOND, START, Rig, check_replay, seconds
from tests.models.plants import SENSORS, record

PRESSURE = SENSORS.index("pressure")
CLOCKED = [*CHANNELS, Channel("plant_s", "s", role="status")]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    limits = {"pressure": (-40.0, None), "level": (None, 300.0)}
    save(fit(record(600, 1), SENSORS, 1.0, limits=limits), tmp_path / "models" / "pump.model")
    rig = Rig(tmp_path)
    yield rig
    rig.crash()


def falling(rows: int = 450) -> NDArray[np.float64]:
    """The pressure falls to its limit, which it reaches in row 421."""
    x = record(600, 5)[:rows]
    x[100:, PRESSURE] -= 0.3 * np.arange(rows - 100)
    return x


def some(rows: int, share: float = 0.5) -> NDArray[np.intp]:
    """Rows of which that share came, never more than four lost in a row."""
    there = np.random.default_rng(2).random(rows) < share
    there[::4] = True
    there[:20] = True
    return np.flatnonzero(there)


def feed(rig: Rig, asset: str, rows: NDArray[np.intp], x: NDArray[np.float64], clocked: bool) -> None:
    """Rows at their seconds, of the clock on the wall or, ten times as fast, of the asset's own."""
    if clocked:
        rig.feed(asset, START + rows * SECOND // 10, np.concatenate([x[rows], rows[:, None] + 0.25], axis=1))
    else:
        rig.feed(asset, START + rows * SECOND, x[rows])


def told(rig: Rig, asset: str) -> dict[str, Any]:
    outlook = rig.runtime.describe(rig.numbers[asset])["outlook"]
    assert outlook is not None
    return dict(outlook)


def pumps(rig: Rig, *assets: str, clocked: bool) -> None:
    for asset in assets:
        rig.declare(Asset(asset, "pump", clock="plant_s" if clocked else None), CLOCKED if clocked else CHANNELS)


@pytest.mark.parametrize("clocked", [False, True])
def test_lost_rows_bring_no_limit_nearer(rig: Rig, clocked: bool) -> None:
    pumps(rig, "whole", "lossy", "dense", clocked=clocked)
    x, rows = falling(), some(450)
    ratios = []
    for at in range(0, 450, 10):
        feed(rig, "whole", np.arange(at, at + 10), x, clocked)
        feed(rig, "lossy", rows[(rows >= at) & (rows < at + 10)], x, clocked)
        if 250 <= at < 410:
            ratios.append(np.log(told(rig, "lossy")["time_s"] / told(rig, "whole")["time_s"]))
    feed(rig, "dense", np.arange(len(rows)), x[rows], clocked)  # the same rows as if none was lost
    assert abs(np.mean(ratios)) < 0.1
    assert np.std(ratios) < 0.3
    rig.commit()
    outlooks = [list_episodes(rig.store, asset)[0].outlook for asset in ("whole", "lossy", "dense")]
    assert all(each is not None and each.reached == "pressure" for each in outlooks)
    leads = [each.lead_s for each in outlooks if each is not None and each.lead_s is not None]
    assert leads[1] == pytest.approx(leads[0], abs=12.0)
    assert leads[2] < 0.75 * leads[0], "what comes of not counting them"


@pytest.mark.parametrize("size", [1, 7, 400])
@pytest.mark.parametrize(("times", "late_ms"), [(4, 0), (2, 0), (2, 80)])
def test_rows_that_come_more_often_than_the_model_put_no_limit_off(
    rig: Rig, times: int, late_ms: int, size: int
) -> None:
    pumps(rig, "plain", "often", clocked=False)
    x = falling(380)
    feed(rig, "plain", np.arange(380), x, clocked=False)
    parts = np.arange(times * 379 + 1)
    late = np.random.default_rng(3).integers(0, late_ms + 1, len(parts)) * (SECOND // 1000)
    for first in range(0, len(parts), size):
        some_of = parts[first : first + size]
        rig.feed("often", START + some_of * SECOND // times + late[some_of], x[some_of // times])
    assert told(rig, "often")["sensor"] == "pressure"
    assert told(rig, "often")["time_s"] == told(rig, "plain")["time_s"]
    check_replay(rig, "often")


@pytest.mark.parametrize("clocked", [False, True])
def test_with_lost_rows_live_is_replay_and_a_restart_changes_nothing(rig: Rig, clocked: bool) -> None:
    pumps(rig, "once", "row by row", "restarted", clocked=clocked)
    x, rows = falling(), some(450)
    x[310:316, PRESSURE] = np.nan
    feed(rig, "once", rows, x, clocked)
    for at in rows.tolist():
        feed(rig, "row by row", np.array([at]), x, clocked)
    for first in range(0, len(rows), 40):
        feed(rig, "restarted", rows[first : first + 40], x, clocked)
        if first == 120:
            rig.commit()
            rig.crash()
            rig.open()
        elif first == 160:
            rig.stop()
            rig.open()
    first, second, third = (told(rig, asset) for asset in ("once", "row by row", "restarted"))
    assert first["reached"] == "pressure"
    assert first["first_at"] is not None
    assert first == second == third
    for asset in ("once", "row by row", "restarted"):
        check_replay(rig, asset)


@pytest.mark.parametrize("clocked", [False, True])
def test_after_a_longer_gap_in_an_episode_the_forecast_goes_on(rig: Rig, clocked: bool) -> None:
    pumps(rig, "whole", "gap", "row by row", "restarted", clocked=clocked)
    x = falling()
    gap = np.delete(np.arange(450), np.arange(320, 350))
    feed(rig, "whole", np.arange(370), x, clocked)
    feed(rig, "gap", gap[:340], x, clocked)
    theirs, mine = told(rig, "whole"), told(rig, "gap")
    assert mine["sensor"] == "pressure"
    assert abs(np.log(mine["time_s"] / theirs["time_s"])) < 0.3
    feed(rig, "gap", gap[340:], x, clocked)
    for at in gap.tolist():
        feed(rig, "row by row", np.array([at]), x, clocked)
    feed(rig, "restarted", gap[:330], x, clocked)
    rig.commit()
    rig.crash()
    rig.open()  # from the row after the gap on, without a snapshot
    feed(rig, "restarted", gap[330:340], x, clocked)
    rig.stop()
    rig.open()
    feed(rig, "restarted", gap[340:], x, clocked)
    assert told(rig, "gap")["reached"] == "pressure"
    assert told(rig, "gap") == told(rig, "row by row") == told(rig, "restarted")
    for asset in ("gap", "row by row", "restarted"):
        check_replay(rig, asset)
    trends = "SELECT reason, trend IS NOT NULL FROM run WHERE asset = 'restarted' ORDER BY t"
    assert rig.store.db.execute(trends).fetchall() == [("first", 0), ("gap", 1)]


@pytest.mark.parametrize("clocked", [False, True])
def test_another_gap_right_after_one_in_an_episode_loses_nothing(rig: Rig, clocked: bool) -> None:
    pumps(rig, "whole", "gaps", "row by row", "restarted", clocked=clocked)
    x = falling(385)
    feed(rig, "whole", np.arange(385), x, clocked)
    rows = np.delete(np.arange(385), [*range(320, 340), *range(343, 363)])
    feed(rig, "gaps", rows, x, clocked)
    for at in rows.tolist():
        feed(rig, "row by row", np.array([at]), x, clocked)
    for first, last in ((0, 322), (322, 330), (330, len(rows))):
        feed(rig, "restarted", rows[first:last], x, clocked)
        rig.stop()
        rig.open()
    mine = told(rig, "gaps")
    assert mine["sensor"] == "pressure"
    assert abs(np.log(mine["time_s"] / told(rig, "whole")["time_s"])) < 0.5
    assert mine == told(rig, "row by row") == told(rig, "restarted")
    for asset in ("gaps", "row by row", "restarted"):
        check_replay(rig, asset)


def test_what_another_lab_knew_before_a_gap_is_left(rig: Rig) -> None:
    pumps(rig, "pump-1", clocked=False)
    x = falling()
    feed(rig, "pump-1", np.delete(np.arange(360), np.arange(320, 350)), x, clocked=False)
    rig.commit()
    with rig.store.transaction() as db:
        db.execute("UPDATE run SET trend = substr(trend, 1, 40) WHERE trend IS NOT NULL")
    again = replay_scores(rig.memory, rig.store, "pump-1", START, START + 1000 * SECOND)
    assert again.episodes[-1].outlook is not None
    pumps(rig, "fresh", clocked=False)
    feed(rig, "fresh", np.arange(350, 360), x, clocked=False)
    assert msgspec.to_builtins(again.episodes[-1].outlook) == told(rig, "fresh")


def test_a_gap_in_normal_operation_and_one_for_very_long_begin_anew(rig: Rig) -> None:
    pumps(rig, "early", "fresh", "late", "new", clocked=False)
    x = falling()
    feed(rig, "early", np.delete(np.arange(340), np.arange(60, 90)), x, clocked=False)
    feed(rig, "fresh", np.arange(90, 340), x, clocked=False)
    assert told(rig, "early") == told(rig, "fresh")
    feed(rig, "late", np.arange(300), x, clocked=False)
    later = START + (np.arange(300, 340) + BRIDGE) * SECOND
    for asset in ("late", "new"):
        rig.feed(asset, later, x[300:340])
    assert told(rig, "late")["sensor"] == "pressure"
    assert told(rig, "late") == told(rig, "new")
    rig.commit()
    trends = "SELECT reason, trend IS NOT NULL FROM run WHERE asset = ? ORDER BY t"
    assert rig.store.db.execute(trends, ("early",)).fetchall() == [("first", 0), ("gap", 0)]
    check_replay(rig, "early")
    check_replay(rig, "late")


@pytest.mark.parametrize("step", [0.25, 1.0])
def test_a_clock_that_is_read_in_the_middle_of_a_period_after_a_gap_tells_how_long_it_was(
    rig: Rig, step: float
) -> None:
    pumps(rig, "plant", clocked=True)
    x = falling()
    clock = np.concatenate([np.arange(0.0, 320.0, step), np.arange(350.5, 420.0, step)])
    values = np.concatenate([x[clock.astype(int)], clock[:, None]], axis=1)
    t = START + (clock * SECOND).astype(np.int64)
    cut = int(np.argmax(clock == 350.5)) + 1
    rig.feed("plant", t[:cut], values[:cut])
    rig.stop()
    rig.open()
    rig.feed("plant", t[cut:], values[cut:])
    rig.commit()
    (trend,) = rig.store.db.execute("SELECT trend FROM run WHERE trend IS NOT NULL").fetchone()
    assert Trend.unpacked(trend).elapsed == 351 - 319
    check_replay(rig, "plant")


def test_a_gap_after_the_clock_ran_backwards_lets_nothing_go_on(rig: Rig) -> None:
    pumps(rig, "plant", clocked=True)
    x = falling()
    clock = np.concatenate([np.arange(320.0), [10.5, 30.5], np.arange(31.0, 60.0)])
    values = np.concatenate([x[: len(clock)], clock[:, None]], axis=1)
    rig.feed("plant", START + np.arange(len(clock)) * SECOND, values)
    rig.commit()
    runs = rig.store.db.execute("SELECT reason, trend FROM run ORDER BY t").fetchall()
    assert runs == [("first", None), ("clock", None)]
    check_replay(rig, "plant")


@pytest.mark.parametrize("wild", [1e300, 1.7e308, -1e300])
def test_what_no_clock_counts_to_stops_nothing(rig: Rig, tmp_path: Path, wild: float) -> None:
    limits = {"pressure": (-40.0, None)}
    save(fit(record(600, 1), SENSORS, 0.3, limits=limits), tmp_path / "models" / "pump.model")
    rig.runtime.poll()
    pumps(rig, "plant", clocked=True)
    x = falling()
    clock = np.arange(360) * 0.3
    clock[[300, 320]] = wild
    values = np.concatenate([x[:360], clock[:, None]], axis=1)
    for first in range(0, 360, 20):
        rig.feed("plant", START + np.arange(first, first + 20) * SECOND, values[first : first + 20])
    rig.stop()
    rig.open()
    assert rig.store.db.execute("SELECT reason FROM run").fetchall() == [("first",)], "it did not run backwards"
    check_replay(rig, "plant")


def test_many_assets_that_lose_different_rows_are_told_as_each_alone(rig: Rig) -> None:
    names = [f"pump-{at}" for at in range(6)]
    pumps(rig, *names, "alone", clocked=False)
    x = falling()
    lost = {name: set(range(150 + 7 * at, 360, 2 + at)) for at, name in enumerate(names)}
    for row in range(360):
        those = [name for name in names if row not in lost[name]]
        rig.feed(those, [START + row * SECOND] * len(those), np.tile(x[row], (len(those), 1)))
    rows = np.array([row for row in range(360) if row not in lost["pump-3"]])
    feed(rig, "alone", rows, x, clocked=False)
    assert told(rig, "alone")["sensor"] == "pressure"
    assert told(rig, "pump-3") == told(rig, "alone")
    assert told(rig, "pump-0") != told(rig, "pump-5")


def test_while_a_sensor_is_silent_its_time_goes_on_and_then_is_not_known(rig: Rig) -> None:
    model = load(rig.models / "pump.model").detector
    assert isinstance(model, Precursor)
    assert model.prognosis is not None
    assert model.prognosis.pace == 1.0
    rig.declare(PUMP, CHANNELS)
    x = falling()
    x[300:330, PRESSURE] = np.nan
    rig.feed("pump-1", seconds(300), x[:300])
    before = told(rig, "pump-1")
    assert before["sensor"] == "pressure"
    assert before["silent_s"] is None
    assert before["unseen"] == []
    assert before["time_s"] > HOLD
    for row in range(300, 300 + HOLD):
        rig.feed("pump-1", seconds(1, row), x[row : row + 1])
        now, silent = told(rig, "pump-1"), row - 299.0
        assert (now["sensor"], now["silent_s"], now["unseen"]) == ("pressure", silent, [])
        assert now["time_s"] == pytest.approx(before["time_s"] - silent, abs=0.002)
        assert now["high_s"] == pytest.approx(before["high_s"] - silent, abs=0.002)
        assert now["low_s"] == pytest.approx(max(before["low_s"] - silent, 0.0), abs=0.002)
    rig.feed("pump-1", seconds(20, 300 + HOLD), x[300 + HOLD : 330])
    now = told(rig, "pump-1")
    assert (now["sensor"], now["time_s"]) == (None, None)
    (unseen,) = now["unseen"]
    last = [before[name] for name in ("time_s", "low_s", "high_s", "limit")]
    assert unseen["sensor"] == "pressure", "not: none in sight"
    assert now["watched"] == 1, "the level is"
    assert unseen["silent_s"] == 30.0
    assert [unseen[name] for name in ("time_s", "low_s", "high_s", "limit")] == last
    rig.commit()
    assert msgspec.to_builtins(list_episodes(rig.store, "pump-1")[0].outlook) == now
    rig.stop()
    rig.open()
    assert told(rig, "pump-1") == now
    rig.feed("pump-1", seconds(1, 330), x[330:331])
    back = told(rig, "pump-1")
    assert (back["sensor"], back["silent_s"], back["unseen"]) == ("pressure", None, [])
    assert back["time_s"] == pytest.approx(before["time_s"] - 31.0, abs=0.7 * before["time_s"])
    rig.feed("pump-1", seconds(119, 331), x[331:])
    check_replay(rig, "pump-1")


def test_a_spike_beyond_a_limit_reaches_none(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    x = falling()
    x[300, SENSORS.index("level")] = 400.0
    rig.feed("pump-1", seconds(301), x[:301])
    assert told(rig, "pump-1")["reached"] == "level"
    rig.feed("pump-1", seconds(1, 301), x[301:302])
    assert (told(rig, "pump-1")["reached"], told(rig, "pump-1")["lead_s"]) == (None, None)
    rig.feed("pump-1", seconds(148, 302), x[302:])
    assert told(rig, "pump-1")["reached"] == "pressure"
    check_replay(rig, "pump-1")


def test_what_may_be_on_its_way_to_a_limit_unseen_is_not_taken_for_normal(rig: Rig) -> None:
    rig.runtime.accept_after_s = 50.0
    rig.declare(PUMP, CHANNELS)
    x = falling()
    x[300:, PRESSURE] = np.nan
    x[300:, 5] += 15.0  # it stays in alarm
    rig.feed("pump-1", seconds(300), x[:300])
    assert told(rig, "pump-1")["sensor"] == "pressure"
    rig.feed("pump-1", seconds(100, 300), x[300:400])
    rig.feed("pump-1", seconds(50, 400), x[400:])
    assert told(rig, "pump-1")["unseen"][0]["time_s"] is not None
    assert rig.store.db.execute("SELECT * FROM run WHERE reason = 'accept'").fetchall() == []


def test_an_outlook_of_an_older_lab_is_read() -> None:
    before = b'{"sensor":null,"time_s":null,"low_s":900.0,"high_s":null}'
    assert msgspec.json.decode(before, type=Outlook) == Outlook(None, None, 900.0, None)
