"""What a user tells the runtime, and what episodes say of their cause and their limits."""

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
from lab.causes import read_library, write_library
from lab.episodes import list_episodes
from lab.offline import score_table
from lab.scoring import ScoringRuntime, replay_scores
from lab.store import Store
from lab.tables import Table
from lab.text import text
from models.detector import Detector, Model, load, save
from models.precursor import Precursor, fit
from models.precursor.causes import Labelled, learn, nearest_age, none
from tests.lab.scoring_rig import CHANNELS, PUMP, SECOND, START, Rig, check_replay, leaking, only, seconds
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


# -- causes


def library_of(rig: Rig, name: str = "pump.causes.json") -> None:
    """Leaks of the pressure and blocks of the flow, from the detector's own view of them."""
    detector, labelled = fitted("precursor"), []
    for seed in range(8):
        for cause, column, by in (("leak", 1, -12.0), ("block", 0, 15.0), ("wear", 5, 14.0)):
            x = record(250, 50 + seed)
            x[100:, column] += by
            _, result = detector.score(detector.initial(1), x[None])
            first = int(result.alarm[0].argmax())
            labelled.append(Labelled(cause, result.deviation[0, first:].astype(float), result.contributions[0, first:]))
    write_library(rig.models / name, learn(labelled, SENSORS))
    rig.runtime.files.look()


def test_an_episode_names_its_cause_and_a_replay_the_same(rig: Rig) -> None:
    library_of(rig)
    number = rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(130), leaking()[:130])
    told = rig.runtime.describe(number)
    assert told["cause"] == "leak"
    assert told["causes"][0][0] == "leak"
    rig.stop()
    rig.open()
    rig.feed("pump-1", seconds(170, 130), leaking()[130:])
    episode = only(rig)
    assert episode.cause == "leak"
    assert episode.causes[0][0] == "leak"
    check_replay(rig, "pump-1")
    (rig.models / "pump.causes.json").unlink()  # what it was compared with is in the database
    rig.runtime.files.look()
    check_replay(rig, "pump-1")


def test_what_the_user_told_explains_the_next_one(rig: Rig) -> None:
    number = rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(300), leaking())
    first = only(rig)
    assert (first.cause, first.unknown, first.library) == (None, None, None)
    assert rig.runtime.label(first.id, "strainer blocked") == ("pump.causes.json", "strainer blocked")
    assert rig.runtime.waiting
    assert only(rig).label == "strainer blocked"
    rig.runtime.label(first.id, "gasket")  # the last word holds
    library = read_library(rig.models / "pump.causes.json")
    assert [library.causes[at] for at in library.of] == ["gasket"]
    assert library.episode.tolist() == [first.id]
    rig.feed("pump-1", seconds(130, 300), leaking(300, 6)[:130])
    assert rig.runtime.describe(number)["causes"][0][0] == "gasket"
    rig.feed("pump-1", seconds(170, 430), leaking(300, 6)[130:])
    rig.commit()
    second = list_episodes(rig.store)[0]
    assert second.causes[0][0] == "gasket"
    assert only_label(rig, first.id) == "gasket"
    with pytest.raises(KeyError):
        rig.runtime.label("pump-1-0", "nothing")
    with pytest.raises(ValueError, match="no name"):
        rig.runtime.label(first.id, " ")


def test_a_cause_named_anew_stays_where_it_was_told_to_be(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(300), leaking())
    first, path = only(rig), rig.models / "pump.causes.json"
    assert first.kind == "process"
    rig.runtime.label(first.id, "level gauge stick", "instrument")
    rig.runtime.label(first.id, "level gauge sticks")
    assert read_library(path).failed.tolist() == [True]
    assert only(rig).label_kind == "instrument"
    rig.runtime.label(first.id, "level gauge stuck")
    assert read_library(path).failed.tolist() == [True]
    rig.runtime.label(first.id, "gasket", "process")
    assert read_library(path).failed.tolist() == [False]
    assert only(rig).label_kind == "process"


def two_leaks(rig: Rig) -> list[str]:
    """The ids of two ended episodes, the first one first."""
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(300), leaking())
    rig.feed("pump-1", seconds(300, 300), leaking(300, 6))
    rig.commit()
    return [episode.id for episode in list_episodes(rig.store)][::-1]


def test_a_name_in_another_case_or_width_is_no_other_cause(rig: Rig) -> None:
    first, second = two_leaks(rig)
    path = rig.models / "pump.causes.json"
    rig.runtime.label(first, "ポンプ A 詰まり")
    for written in ("ﾎﾟﾝﾌﾟ Ａ 詰まり", " ポンプ　a  詰まり ", "ポンプ\u200b A 詰まり", "ポンプA詰まり"):
        assert rig.runtime.label(second, written)[1] == "ポンプ A 詰まり"
    assert read_library(path).causes == ("ポンプ A 詰まり",)
    assert rig.runtime.label(second, "ポンプ B 詰まり")[1] == "ポンプ B 詰まり"
    assert rig.runtime.label(second, "ポンプ b 詰まり")[1] == "ポンプ b 詰まり", "one's own spelling can be corrected"
    assert read_library(path).causes == ("ポンプ A 詰まり", "ポンプ b 詰まり")
    assert rig.runtime.label(second, "IDV 6")[1] == "IDV 6", "a pump has no faults with numbers"


def test_what_was_told_by_mistake_is_taken_back(rig: Rig) -> None:
    first, second = two_leaks(rig)
    path, number = rig.models / "pump.causes.json", rig.numbers["pump-1"]
    rig.runtime.label(first, "gasket")
    rig.runtime.label(second, "strainer blocked", "instrument")
    assert rig.runtime.take_back(second) == "strainer blocked", "before it is written"
    assert rig.runtime.waiting
    rig.commit()
    assert (only_label(rig, first), only_label(rig, second)) == ("gasket", None)
    assert next(each.label_kind for each in list_episodes(rig.store) if each.id == second) is None
    assert read_library(path).causes == ("gasket",)
    assert rig.runtime.take_back(second) is None, "nothing is told of it"
    assert rig.runtime.take_back(first) == "gasket"
    assert read_library(path).causes == ()
    rig.feed("pump-1", seconds(130, 600), leaking(300, 7)[:130])
    assert rig.runtime.describe(number)["causes"] == []
    rig.stop()
    rig.open()
    assert only_label(rig, first) is None
    with pytest.raises(KeyError):
        rig.runtime.take_back("pump-1-0")


def test_a_cause_is_renamed_and_deleted_wherever_it_was_told(rig: Rig) -> None:
    library_of(rig)
    first, second = two_leaks(rig)
    path = rig.models / "pump.causes.json"
    rig.runtime.label(first, "strainer bloked")
    rig.runtime.label(second, "gasket", "instrument")
    assert rig.runtime.rename("pump-1", "Strainer BLOKED", " strainer  blocked") == ("strainer blocked", 1)
    assert rig.runtime.rename("pump-1", "strainer blocked", "Strainer blocked") == ("Strainer blocked", 1)
    assert only_label(rig, first) is None, "not written yet"
    rig.commit()
    assert only_label(rig, first) == "Strainer blocked"
    assert read_library(path).told_causes() == {"Strainer blocked", "gasket"}
    assert rig.runtime.rename("pump-1", "gasket", "strainer blocked") == ("Strainer blocked", 1), "the two are one"
    assert rig.runtime.rename("pump-1", "strainer blocked", "LEAK") == ("leak", 2), "as is one that was learnt"
    rig.commit()
    assert [only_label(rig, id) for id in (first, second)] == ["leak", "leak"]
    assert next(each.label_kind for each in list_episodes(rig.store) if each.id == second) == "instrument"
    assert read_library(path).causes == ("leak", "block", "wear")
    learnt = len(read_library(path).of) - 2
    assert rig.runtime.rename("pump-1", "leak", None) == (None, 2)
    rig.commit()
    assert [only_label(rig, id) for id in (first, second)] == [None, None]
    assert read_library(path).causes == ("leak", "block", "wear"), "what was learnt stays"
    assert len(read_library(path).of) == learnt
    for asset, cause in (("pump-1", "leak"), ("nobody", "gasket")):
        with pytest.raises(KeyError):
            rig.runtime.rename(asset, cause, "x")
    with pytest.raises(ValueError, match="no name"):
        rig.runtime.rename("pump-1", "gasket", "\u3000")


def test_a_word_the_collector_died_of_is_noted_at_the_next_start(rig: Rig) -> None:
    first, second = two_leaks(rig)
    rig.runtime.label(first, "gasket")
    rig.commit()
    rig.runtime.label(first, "strainer blocked", "instrument")
    rig.runtime.label(second, "leak")
    rig.crash()
    rig.open()
    assert [only_label(rig, id) for id in (first, second)] == ["strainer blocked", "leak"]
    kinds = {each.id: each.label_kind for each in list_episodes(rig.store)}
    assert kinds == {first: "instrument", second: "process"}


def test_an_asset_that_has_gone_keeps_what_its_episodes_are_called_by_now(rig: Rig) -> None:
    first, _ = two_leaks(rig)
    rig.runtime.label(first, "gasket")
    (rig.models / "pump.causes.json").rename(rig.models / "asset-pump-1.causes.json")
    rig.stop()
    rig.assets = {"pump-2": (Asset("pump-2", "pump"), CHANNELS)}
    rig.open()
    rig.declare(*rig.assets["pump-2"])
    assert rig.runtime.rename("pump-2", "gasket", "seal") == ("seal", 1)
    assert read_library(rig.models / "asset-pump-1.causes.json").causes == ("seal",)
    rig.stop()
    rig.open()
    assert only_label(rig, first) == "seal"


def test_words_are_told_while_one_of_an_asset_that_has_gone_is_being_noted(rig: Rig) -> None:
    first, _ = two_leaks(rig)
    rig.runtime.label(first, "gasket")
    rig.crash()
    rig.store = Store(rig.folder / "lab.db", synchronous="OFF")
    rig.runtime = ScoringRuntime(rig.models, rig.store)
    rig.declare(Asset("pump-2", "pump"), CHANNELS)
    rig.runtime.catch_up(rig.memory)
    assert rig.runtime.rename("pump-2", "gasket", "seal") == ("seal", 1)
    rig.commit()
    assert only_label(rig, first) == "seal"


def test_the_last_word_holds_in_every_library_of_an_asset(rig: Rig) -> None:
    first, second = two_leaks(rig)
    shared, own = rig.models / "pump.causes.json", rig.models / "asset-pump-1.causes.json"
    rig.runtime.label(first, "gasket")
    rig.runtime.label(second, "gasket")
    write_library(own, none(SENSORS))
    assert rig.runtime.label(first, "strainer blocked")[0] == own.name
    assert set(read_library(shared).words()) == {second}, "other pumps are compared with this one"
    own.unlink()
    rig.stop()
    rig.open()
    assert only_label(rig, first) == "strainer blocked"
    write_library(own, none(SENSORS))
    shared.write_bytes(b"{")  # not in use: it does not keep anybody from telling
    assert rig.runtime.label(second, "seal")[0] == own.name


def test_what_is_told_of_an_open_episode_is_as_old_as_it_is(rig: Rig) -> None:
    number = rig.declare(PUMP, CHANNELS)
    x = record(280, 5)
    x[100:, 1] -= 12.0
    for row, each in enumerate(x):  # twenty a second: not all of them are written
        rig.feed("pump-1", [START + row * SECOND // 20], each[None])
    tracker = rig.runtime.scorer.tracker(number)
    assert tracker is not None
    rig.runtime.label(tracker.id, "leak")  # nor is the model, before the first commit
    assert read_library(rig.models / "pump.causes.json").age.tolist() == [nearest_age(tracker.rows)]
    assert only(rig).label == "leak"


def test_what_is_told_while_the_plants_faults_are_learnt_is_kept(rig: Rig) -> None:
    """Two write the library: neither may lose what the other has written since it last looked."""
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(300), leaking())
    path, first = rig.models / "pump.causes.json", only(rig)
    one = Labelled("idv_1", np.ones((80, len(SENSORS))), np.ones((80, len(SENSORS))))
    write_library(path, learn([one], SENSORS))  # since the last look
    rig.runtime.label(first.id, "gasket")
    assert read_library(path).causes == ("idv_1", "gasket")


def only_label(rig: Rig, id: str) -> str | None:
    return next(episode.label for episode in list_episodes(rig.store) if episode.id == id)


def test_a_broken_library_leaves_the_old_one_in_use(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    library_of(rig)
    number = rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(20), record(20, 1))
    rig.runtime.files.library(PUMP, SENSORS)
    (rig.models / "pump.causes.json").write_bytes(b"{}")
    rig.runtime.files.look()
    rig.feed("pump-1", seconds(130, 20), leaking()[:130])
    assert "pump.causes.json" in caplog.text
    assert rig.runtime.describe(number)["cause"] == "leak"


def test_a_word_for_a_library_that_cannot_be_read_is_refused(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(300), leaking())
    first = only(rig)
    shared, own = rig.models / "pump.causes.json", rig.models / "asset-pump-1.causes.json"
    rig.runtime.label(first.id, "gasket")
    whole, spoiled = shared.read_bytes(), shared.read_bytes()[:-1]  # a hand edit lost the last brace
    shared.write_bytes(spoiled)
    with pytest.raises(ValueError, match=r"pump\.causes\.json"):
        rig.runtime.label(first.id, "strainer blocked")
    assert shared.read_bytes() == spoiled
    assert only(rig).label == "gasket"
    shared.write_bytes(whole)
    own.write_bytes(spoiled)
    with pytest.raises(ValueError, match=r"asset-pump-1\.causes\.json"):
        rig.runtime.label(first.id, "strainer blocked")
    assert (shared.read_bytes(), own.read_bytes()) == (whole, spoiled)


def test_a_word_on_a_plant_of_other_sensors_is_kept_in_a_library_of_its_own(tmp_path: Path) -> None:
    others = [f"other_{tag}" for tag in SENSORS]
    save(fitted("precursor"), tmp_path / "models" / "asset-a.model")
    save(fit(record(600, 1), others, 1.0), tmp_path / "models" / "asset-b.model")
    rig = Rig(tmp_path)
    rig.declare(Asset("a", "csv"), CHANNELS)
    rig.declare(Asset("b", "csv"), [Channel(tag) for tag in others])
    for asset, cause, library in (("a", "gasket", "csv.causes.json"), ("b", "strainer", "asset-b.causes.json")):
        rig.feed(asset, seconds(300), leaking())
        assert rig.runtime.label(only(rig, asset).id, cause) == (library, cause)
        assert read_library(rig.models / library).causes == (cause,)
    for asset, cause in (("a", "gasket"), ("b", "strainer")):
        rig.feed(asset, seconds(130, 300), leaking(300, 6)[:130])
        assert rig.runtime.describe(rig.numbers[asset])["causes"][0][0] == cause
    (rig.models / "asset-b.causes.json").unlink()
    rig.runtime.files.look()
    rig.feed("b", seconds(300, 430), leaking(300, 7))
    rig.commit()
    assert list_episodes(rig.store, "b")[0].library is None, "that of other sensors is passed over"
    rig.crash()


def test_a_library_learns_the_sensors_that_it_lacks(rig: Rig) -> None:
    path = rig.models / "pump.causes.json"
    write_library(path, learn([Labelled("idv_1", np.ones((80, 3)), np.ones((80, 3)))], SENSORS[:3]))
    rig.declare(PUMP, CHANNELS)
    x = record(300, 5)
    x[100:160, 5] += 25.0  # none of the three
    rig.feed("pump-1", seconds(300), x)
    rig.runtime.label(only(rig).id, "motor worn")
    library = read_library(path)
    assert library.sensors == SENSORS
    assert library.causes == ("idv_1", "motor worn")
    assert library.examples[-1, 5] > 1.0
    assert library.examples[-1, 11] > 0.5


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
    learner = rig.runtime._learning[0]
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
