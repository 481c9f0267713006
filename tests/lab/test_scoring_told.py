"""Operating points that a user accepts, what episodes say of their limits, and databases of before."""

import contextlib
import re
import sqlite3
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest

from devices.frame import Asset, Channel, Limits
from devices.quality import CODES
from lab import groups, scorer
from lab.episodes import list_episodes
from lab.offline import score_table
from lab.rescoring import replay_scores
from lab.scoring import ScoringRuntime
from lab.store import Store
from lab.tables import Table
from lab.text import text
from models.detector import Detector, Model, load, save
from models.precursor import Precursor, fit
from tests.lab.scoring_rig import CHANNELS, PUMP, SECOND, START, Rig, check_replay, only, seconds
from tests.models.plants import SENSORS, fitted, record


def moved(rows: int, seed: int, by: float = 12.0) -> np.ndarray:
    """Another operating point from row 100 on."""
    x = record(rows, seed)
    x[100:, 1] += by
    return x


# -- a new operating point


def test_an_accepted_operating_point_is_followed_and_replayed(rig: Rig) -> None:
    number = rig.declare(PUMP, CHANNELS)
    x, t = moved(600, 5), seconds(600)
    rig.feed("pump-1", t[:200], x[:200])
    assert rig.runtime.describe(number)["episode"] is not None
    assert rig.runtime.describe(number)["drift"] > 0.5
    rig.runtime.accept("pump-1")
    assert rig.runtime.describe(number)["episode"] is None
    assert rig.runtime.waiting
    rig.feed("pump-1", t[200:400], x[200:400])
    assert only(rig).end == t[199]
    rig.stop()
    rig.open()
    rig.feed("pump-1", t[400:500], x[400:500])
    rig.crash()
    rig.open()  # without a snapshot of what came since
    rig.feed("pump-1", t[500:], x[500:])
    assert only(rig).end == t[199]
    assert rig.store.db.execute("SELECT reason FROM run ORDER BY t").fetchall() == [("first",), ("accept",)]
    check_replay(rig, "pump-1")
    assert replay_scores(rig.memory, rig.store, "pump-1", int(t[450]), int(t[500])).episodes == []


@pytest.mark.parametrize("size", [1, 500])
def test_where_it_stands_now_is_usual_once_it_was_accepted(rig: Rig, size: int) -> None:
    number = rig.declare(PUMP, CHANNELS)
    x = record(1000, 5)
    x[200:, 0] += 12.0
    x[500::20, 3] += 100.0  # a sensor spikes, and the plant stays where it is
    rig.feed("pump-1", seconds(300), x[:300])
    rig.runtime.accept("pump-1")
    group = rig.runtime.scorer._listed[0]
    shift = group.shift(int(rig.runtime.scorer._row[number]))
    assert shift[0] == pytest.approx(12.0, abs=1.5)
    assert np.abs(shift[1:]).max() < 6.0
    for first in range(300, 1000, size):
        rig.feed("pump-1", seconds(min(size, 1000 - first), first), x[first : first + size])
    rig.commit()
    check_replay(rig, "pump-1")
    told = [(episode.kind, episode.failed) for episode in list_episodes(rig.store, "pump-1")]
    assert told[-1] == ("process", None)
    assert len(told) > 1
    assert set(told[:-1]) == {("instrument", ("level", "spiking"))}


def test_what_was_accepted_outlives_a_gap_but_not_another_model(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    x, t = moved(800, 5), seconds(800)
    t[400:] += 3600 * SECOND
    rig.feed("pump-1", t[:200], x[:200])
    rig.runtime.accept("pump-1")
    rig.feed("pump-1", t[200:600], x[200:600])
    assert only(rig).end == t[199]
    runs = rig.store.db.execute("SELECT reason, offset IS NOT NULL FROM run ORDER BY t").fetchall()
    assert runs == [("first", 0), ("accept", 1), ("gap", 1)]
    check_replay(rig, "pump-1")
    check_replay(rig, "pump-1", int(t[500]))
    rig.commit()
    rig.crash()
    db = sqlite3.connect(rig.folder / "lab.db")
    db.execute("UPDATE scoring_state SET state = x'00'")  # only the runs tell what was accepted
    db.commit()
    db.close()
    rig.open()
    rig.feed("pump-1", t[600:700], x[600:700])
    assert only(rig).end == t[199]
    (rig.models / "pump.model").unlink()
    save(fitted("precursor"), rig.models / "pump.model", {"another": True})
    rig.runtime.files._looked -= 10
    rig.feed("pump-1", t[700:], x[700:])
    rig.commit()
    assert len(list_episodes(rig.store, "pump-1")) == 2  # the new model was not asked to follow


@pytest.mark.parametrize("then", ["goes on", "stops", "crashes", "crashes, and knows the runs alone"])
def test_what_was_accepted_by_mistake_is_undone(rig: Rig, then: str) -> None:
    rig.declare(PUMP, CHANNELS)
    x, t = moved(600, 5), seconds(600)
    with pytest.raises(ValueError, match="nothing was accepted"):
        rig.runtime.unaccept("pump-1")
    rig.feed("pump-1", t[:200], x[:200])
    with pytest.raises(ValueError, match="nothing was accepted"):
        rig.runtime.unaccept("pump-1")
    rig.runtime.accept("pump-1")
    rig.feed("pump-1", t[200:300], x[200:300])
    rig.commit()
    rig.runtime.unaccept("pump-1")
    rig.commit(force=then == "stops")
    if then != "goes on":
        rig.crash()
        if "alone" in then:
            with contextlib.closing(sqlite3.connect(rig.folder / "lab.db")) as db, db:
                db.execute("UPDATE scoring_state SET state = x'00'")
        rig.open()
    assert not rig.runtime.describe(rig.numbers["pump-1"])["warm"]
    assert rig.feed("pump-1", t[300:500], x[300:500]).alarm[-1], "what was a fault is one again"
    rig.commit()
    first, second = list_episodes(rig.store)[::-1]
    assert (first.end, second.start > t[300], second.end) == (t[199], True, None)
    check_replay(rig, "pump-1")
    check_replay(rig, "pump-1", int(t[320]))
    rig.runtime.accept("pump-1")
    assert not rig.feed("pump-1", t[500:], x[500:]).alarm.any()
    check_replay(rig, "pump-1")


def test_what_was_undone_is_not_undone_again(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    x, t = moved(300, 5), seconds(300)
    rig.feed("pump-1", t[:200], x[:200])
    rig.runtime.accept("pump-1")
    rig.runtime.accept("pump-1")
    rig.feed("pump-1", t[200:250], x[200:250])
    rig.runtime.accept("pump-1")
    rig.runtime.unaccept("pump-1")
    with pytest.raises(ValueError, match="nothing was accepted"):
        rig.runtime.unaccept("pump-1")  # its plant is paused: no row came since
    with pytest.raises(ValueError, match="not scored yet"):
        rig.runtime.accept("pump-1")
    rig.feed("pump-1", t[250:], x[250:])
    check_replay(rig, "pump-1")


def test_with_another_model_nothing_is_accepted_before_its_first_row_either(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    x, t = moved(300, 5), seconds(300)
    rig.feed("pump-1", t[:200], x[:200])
    rig.runtime.accept("pump-1")
    rig.feed("pump-1", t[200:], x[200:])
    save(fitted("precursor"), rig.models / "pump.model", {"another": True})
    rig.runtime.files.look()
    with pytest.raises(ValueError, match="nothing was accepted"):
        rig.runtime.unaccept("pump-1")


def test_what_was_accepted_is_not_undone_before_the_first_row_there_is(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    x, t = moved(300, 5), seconds(300)
    rig.feed("pump-1", t[:200], x[:200])
    rig.runtime.accept("pump-1")
    rig.stop()
    with contextlib.closing(sqlite3.connect(rig.folder / "lab.db")) as db, db:
        db.execute("DELETE FROM scoring_state")
    rig.memory.readings.clear()  # the historian keeps no rows as old as that
    rig.open()
    with pytest.raises(ValueError, match="not scored yet"):
        rig.runtime.unaccept("pump-1")
    rig.feed("pump-1", t[200:250], x[200:250])
    rig.runtime.unaccept("pump-1")
    rig.commit()
    assert rig.store.db.execute("SELECT reason, offset FROM run ORDER BY t").fetchall()[-1] == ("model", None)


def test_what_was_to_be_gone_on_with_ends_where_it_was_undone(rig: Rig) -> None:
    number = rig.declare(PUMP, CHANNELS)
    scorer, x = rig.runtime.scorer, moved(200, 5)
    rig.feed("pump-1", seconds(200), x)
    rig.runtime.accept("pump-1")
    offset = rig.runtime.pending.news.runs[-1].offset
    model = scorer.members[number].model
    scorer.use(number, model, offset, again=True)  # a run of the database that went on with it, of which no row is left
    scorer.use(number, model, None, again=True)  # and the next one, where it was undone
    assert scorer.dump([number])[0][0]["offset"] is None


@pytest.mark.parametrize("oldest", [0, 185, 210])
def test_what_was_accepted_outlives_the_rows_before_it(rig: Rig, oldest: int) -> None:
    rig.declare(PUMP, CHANNELS)
    x, t = moved(600, 5), seconds(600)
    rig.feed("pump-1", t[:200], x[:200])
    rig.runtime.accept("pump-1")
    rig.feed("pump-1", t[200:400], x[200:400])
    rig.stop()
    db = sqlite3.connect(rig.folder / "lab.db")
    accepted = db.execute("SELECT * FROM run WHERE reason = 'accept'").fetchall()
    db.execute("UPDATE scoring_state SET state = x'00'")  # as after an upgrade: only the runs tell what was accepted
    db.commit()
    db.close()
    for series in rig.memory.readings.values():
        for at in [at for at in series if at < t[oldest]]:
            del series[at]
    rig.open()
    replayed = replay_scores(rig.memory, rig.store, "pump-1", int(t[300]), int(t[400]))
    assert len(replayed.t) == 100
    assert not replayed.alarm.any()
    assert not rig.feed("pump-1", t[400:], x[400:]).alarm.any()
    rig.commit()
    assert rig.store.db.execute("SELECT * FROM run WHERE reason = 'accept'").fetchall() == accepted
    assert {episode.end for episode in list_episodes(rig.store)} == {t[199]}


def test_accepted_right_before_a_snapshot_it_is_not_accepted_twice(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    x, t = moved(400, 5), seconds(400)
    rig.feed("pump-1", t[:200], x[:200])
    rig.runtime.accept("pump-1")
    rig.stop()
    rig.open()
    rig.feed("pump-1", t[200:], x[200:])
    check_replay(rig, "pump-1")


def far_limits() -> Detector:
    """A model of limits that no record here comes near to."""
    return fit(record(600, 1), SENSORS, 1.0, limits={"level": (None, 1000.0)})


def test_it_does_not_learn_in_alarm_unless_told_to(tmp_path: Path) -> None:
    save(far_limits(), tmp_path / "models" / "pump.model")
    x, t = moved(900, 5), seconds(900)
    kept = Rig(tmp_path)
    kept.declare(PUMP, CHANNELS)
    kept.feed("pump-1", t, x)
    assert only(kept).end is None
    kept.crash()
    again = tmp_path / "again"
    save(far_limits(), again / "models" / "pump.model")
    rig = Rig(again)
    rig.runtime.accept_after_s = 300.0
    rig.declare(PUMP, CHANNELS)
    for row in range(0, 900, 10):
        rig.feed("pump-1", t[row : row + 10], x[row : row + 10])
    episode = only(rig)
    assert episode.end is not None
    assert 290 <= (episode.end - episode.start) / SECOND <= 320
    check_replay(rig, "pump-1")
    rig.crash()


def test_a_limit_in_sight_is_not_accepted_by_the_rule(rig: Rig) -> None:
    rig.runtime.accept_after_s = 50.0
    rig.declare(PUMP, CHANNELS)
    x = record(400, 5)
    x[100:, 1] -= np.minimum(0.12 * np.arange(300), 24.0)
    for row in range(0, 400, 10):
        rig.feed("pump-1", seconds(400)[row : row + 10], x[row : row + 10])
    outlooks = [change.episode.outlook for change in rig.changes]
    assert any(outlook is not None and outlook.sensor == "pressure" for outlook in outlooks)
    assert list_episodes(rig.store)[0].end is None if rig.commit() else True
    check_replay(rig, "pump-1")


def test_what_cannot_be_accepted(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    rig.declare(Asset("bare", "bare"), CHANNELS)
    with pytest.raises(ValueError, match="not scored yet"):
        rig.runtime.accept("pump-1")
    with pytest.raises(ValueError, match="not scored yet"):
        rig.runtime.accept("bare")
    with pytest.raises(KeyError):
        rig.runtime.accept("nobody")
    codes = re.findall(r'NotPossible\("(\w+)"', "".join(Path(of.__file__).read_text() for of in (groups, scorer)))
    assert set(codes) == {"one_normal", "not_scored", "not_accepted"}
    assert all(text(f"api.refused.{code}", lang) for code in codes for lang in ("en", "ja"))


# -- limits


def test_the_time_to_a_limit_is_in_the_frame_and_in_the_episode(rig: Rig) -> None:
    number = rig.declare(PUMP, CHANNELS)
    x = record(400, 5)
    x[100:, 1] -= np.minimum(0.12 * np.arange(300), 30.0)
    rig.feed("pump-1", seconds(300), x[:300])
    told = rig.runtime.describe(number)["outlook"]
    assert told["sensor"] == "pressure"
    assert told["low_s"] <= told["time_s"] <= told["high_s"]
    assert told["limit"] == 35.0
    rig.feed("pump-1", seconds(100, 300), x[300:])
    rig.commit()
    outlook = list_episodes(rig.store, "pump-1")[0].outlook
    assert outlook is not None
    assert outlook.first_at is not None
    assert outlook.first_s is not None
    assert outlook.reached == "pressure"
    assert outlook.lead_s is not None
    assert outlook.lead_s > 10
    check_replay(rig, "pump-1")


def test_no_limit_in_sight_is_an_answer(tmp_path: Path) -> None:
    save(far_limits(), tmp_path / "models" / "pump.model")
    rig = Rig(tmp_path)
    number = rig.declare(PUMP, CHANNELS)
    x = record(300, 5)
    x[100:, 5] += 15.0
    rig.feed("pump-1", seconds(300), x)
    outlook = rig.runtime.describe(number)["outlook"]
    assert (outlook["sensor"], outlook["time_s"]) == (None, None)
    scores = score_table(Model(far_limits(), {}, "m"), Table(SENSORS, x, seconds(300), 1.0, Path("far.csv")))
    assert np.isnan(scores.ahead[~scores.alarm]).all()
    assert np.isinf(scores.ahead[scores.alarm, 0]).all()
    assert (scores.ahead_of == -1).all()
    rig.crash()


def test_with_no_limit_that_can_be_reached_nothing_is_said_of_limits(tmp_path: Path) -> None:
    save(
        fit(record(600, 1), SENSORS, 1.0, limits={"level": (None, 0.3), "none": (0, 1)}),
        tmp_path / "models" / "pump.model",
    )
    rig = Rig(tmp_path)
    number = rig.declare(PUMP, CHANNELS)
    x = record(300, 5)
    x[100:, 5] += 15.0
    rig.feed("pump-1", seconds(300), x)
    told = rig.runtime.describe(number)
    assert told["episode"] is not None
    assert told["outlook"] is None
    rig.crash()


@pytest.mark.parametrize("size", [1, 7, 300])
@pytest.mark.parametrize(("by", "reached"), [(0.2, "level"), (3.0, None)])
def test_a_limit_at_the_end_of_the_measuring_range_is_reached_beyond_it(
    tmp_path: Path, size: int, by: float, reached: str | None
) -> None:
    """But not by what lies so far beyond that the instrument has failed."""
    save(fit(record(600, 1), SENSORS, 1.0, limits={"level": (None, 120.0)}), tmp_path / "models" / "pump.model")
    channels = [Channel(tag, lo=0.0, hi=120.0) if tag == "level" else Channel(tag) for tag in SENSORS]
    rig = Rig(tmp_path)
    rig.declare(PUMP, channels)
    x = record(300, 5)
    if reached:
        x[100:, 3] = np.minimum(x[100:, 3] + by * np.arange(200), 121.0)
    else:
        x[100:, 5] += 15.0
        x[200:, 3] = 200.0
    q = np.where(x > 120.0, CODES["bad:range"], CODES["good"]).astype(np.uint8) * (np.array(SENSORS) == "level")
    for first in range(0, 300, size):
        rig.feed("pump-1", seconds(300)[first : first + size], x[first : first + size], q[first : first + size])
    rig.commit()
    newest = list_episodes(rig.store, "pump-1")[0].outlook
    assert newest is not None
    assert newest.reached == reached
    if reached:
        live = rig.runtime.describe(0)["outlook"]
        assert (live["sensor"], live["time_s"]) == ("level", 0.0)
    check_replay(rig, "pump-1")
    rig.crash()


def test_limits_that_are_none_keep_no_asset_from_learning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = {"level": Limits(lo_alarm=0.0, hi_alarm=0.0), "flow": Limits(lo_trip=90.0, hi_alarm=80.0)}
    limits |= {"pressure": Limits(lo_alarm=40.0, hi_alarm=40.0, hi_trip=80.0)}
    rig = Rig(tmp_path)
    rig.declare(Asset("new", "csv", learn_rows=200), [Channel(tag, limits=limits.get(tag)) for tag in SENSORS])
    rig.feed("new", seconds(300), record(300, 5))
    learner = rig.runtime.learning.learners[0]
    assert learner.result is not None
    wait([learner.result])
    rig.poll()
    model = load(tmp_path / "models" / "asset-new.model").detector
    assert isinstance(model, Precursor)
    assert model.prognosis is not None
    assert model.prognosis.sensors == ("pressure",)
    assert len(rig.scores) > 90
    assert "limits 0 and 0 of level" in caplog.text
    rig.crash()


# -- databases of before


def test_a_database_of_before_is_brought_up_to_date(tmp_path: Path) -> None:
    from lab.store import MIGRATIONS

    before = {name: MIGRATIONS[name] for name in ("episodes", "scoring")}
    try:
        MIGRATIONS["episodes"], MIGRATIONS["scoring"] = before["episodes"][:4], before["scoring"][:4]
        with Store(tmp_path / "lab.db") as store:
            row = ("pump-1-0", "pump-1", "process", START, START + 1, 2.0, START, '[["flow",1.0]]', "m")
            columns = 'id, asset, kind, start, "end", peak, peak_at, leading, model'
            store.db.execute(f"INSERT INTO episode ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            store.db.execute("INSERT INTO run VALUES ('pump-1', ?, NULL, 'first')", (START,))
    finally:
        MIGRATIONS.update(before)
    with Store(tmp_path / "lab.db") as store:
        (episode,) = list_episodes(store)
        assert (episode.leading, episode.causes, episode.failed, episode.outlook) == ([("flow", 1.0)], [], None, None)
        ScoringRuntime(tmp_path / "models", store).close()
