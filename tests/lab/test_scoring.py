"""The scoring runtime: which rows count, live equals replay, restarts change nothing."""

import logging
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from devices.frame import Asset, Channel, role_by_name
from devices.quality import CODES
from lab.blocks import RowBlock
from lab.config import Config
from lab.episodes import Episode, list_episodes
from lab.fitting import learn
from lab.groups import Group
from lab.historian import open_historian
from lab.historian.base import Batch
from lab.pending import forget
from lab.rescoring import replay_scores
from lab.scorer import Scorer
from models.detector import Model, dumps, load, loads, save
from models.precursor.detector import WARM
from simulators import tep
from tests.lab.scoring_rig import CHANNELS, PUMP, SECOND, START, Rig, check_replay, leaking, seconds
from tests.models.plants import SENSORS, fitted, record, refit


def test_scores_are_the_detectors_own(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    x = leaking()
    scored = rig.feed("pump-1", seconds(300), x)
    detector = fitted("precursor")
    _, result = detector.score(detector.initial(1), x[None])
    np.testing.assert_array_equal(scored.score, result.score[0])
    np.testing.assert_array_equal(scored.alarm, result.alarm[0])
    np.testing.assert_array_equal(scored.contributions, result.contributions[0])
    np.testing.assert_array_equal(scored.statistics["sensor"], result.statistics["sensor"][0])
    assert (scored.limit == 1.0).all()
    assert scored.warm.all()
    assert not scored.late.any()


def test_an_episode_of_a_leak(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    x, t = leaking(), seconds(300)
    for row in range(0, 300, 3):
        rig.feed("pump-1", t[row : row + 3], x[row : row + 3])
        rig.commit()
        open_now = list_episodes(rig.store, "pump-1", open=True)
        assert (rig.runtime.describe(0)["episode"] is not None) == bool(open_now)
    (episode,) = list_episodes(rig.store)
    assert START + 100 * SECOND <= episode.start < START + 110 * SECOND
    assert episode.end is not None
    assert episode.start <= episode.peak_at <= episode.end < START + 210 * SECOND
    assert episode.kind == "process"
    assert episode.leading[0][0] == "pressure"
    assert episode.leading[0][1] > 0.5
    assert sum(share for _, share in episode.leading) <= 1.001
    assert episode.peak == max(score for score, _ in rig.scores.values())
    assert episode.cause is None
    assert [change.what for change in rig.changes if change.what != "updated"] == ["opened", "closed"]
    check_replay(rig, "pump-1")


def test_listing_episodes(rig: Rig) -> None:
    for id in ("a", "b"):
        rig.declare(Asset(id, "pump"), CHANNELS)
        rig.feed(id, seconds(300), leaking())
        rig.feed(id, seconds(150, 300), leaking()[:150])
    rig.commit()
    everything = list_episodes(rig.store)
    assert [e.asset for e in everything] == ["b", "a", "b", "a"]
    assert [e.end is None for e in everything] == [True, True, False, False]
    assert list_episodes(rig.store, open=True) == everything[:2]
    assert list_episodes(rig.store, open=False, limit=1) == everything[2:3]
    first = list_episodes(rig.store, limit=3)
    assert list_episodes(rig.store, cursor=(first[-1].start, first[-1].id)) == everything[3:]
    assert list_episodes(rig.store, "a", t1=START + 200 * SECOND) == everything[3:]
    assert list_episodes(rig.store, "a", t0=START + 300 * SECOND) == everything[1:2]


@pytest.mark.parametrize("seed", range(4))
def test_any_cutting_into_blocks_and_any_company_gives_the_same(rig: Rig, seed: int) -> None:
    """Several assets' rows in one block, few or many at a time, equal each asset scored alone."""
    rng = np.random.default_rng(seed)
    names = ["a", "b", "c"]
    x = {name: leaking(200, seed) for seed, name in enumerate(names)}
    for name in names:
        rig.declare(Asset(name, "pump"), CHANNELS)
    done = dict.fromkeys(names, 0)
    t = seconds(200)
    while min(done.values()) < 200:
        block, whose, times = [], [], []
        for name in rng.permutation(names).tolist():
            count = min(int(rng.choice([0, 1, 1, 1, 2, 7, 60])), 200 - done[name])
            piece = slice(done[name], done[name] + count)
            block.append(x[name][piece])
            whose += [name] * count
            times.append(t[piece])
            done[name] += count
        mixed = np.argsort(np.concatenate(times), kind="stable") if rng.random() < 0.5 else slice(None)
        values = np.concatenate(block)[mixed]
        rig.feed(np.array(whose)[mixed].tolist(), np.concatenate(times)[mixed], values)
    detector = fitted("precursor")
    for name in names:
        _, result = detector.score(detector.initial(1), x[name][None])
        alone = {
            int(at): (float(s), bool(a))
            for at, s, a in zip(t, result.score[0], result.alarm[0], strict=True)
            if np.isfinite(s)
        }
        assert rig.scores_of(name) == alone
        check_replay(rig, name)


def test_the_order_of_a_blocks_rows_changes_nothing() -> None:
    """Nor does whether they stand in the order of the assets."""
    model, others = loads(dumps(fitted("precursor"))), [*CHANNELS[:3], Channel("valve"), *CHANNELS[3:]]
    for channels in (CHANNELS, others):
        x = np.stack([leaking(200, seed) for seed in range(4)], axis=1)
        x = x if channels is CHANNELS else np.insert(x, 3, 7.0, axis=2)
        both = Scorer(), Scorer()
        for scorer in both:
            for number in range(4):
                scorer.use(scorer.declare(Asset(f"pump-{number}", "pump"), channels), model)
        alarms = 0
        for row, (t, values) in enumerate(zip(seconds(200), x, strict=True)):
            found = []
            for scorer, order in zip(both, (np.arange(4), np.array([2, 0, 3, 1])), strict=True):
                q = np.where(np.isnan(values[order]), CODES["bad"], CODES["good"]).astype(np.uint8)
                block = RowBlock(order.astype(np.int32), t + np.zeros(4, dtype=np.int64), values[order], q)
                found.append((scorer.ingest(block), np.argsort(order)))
            (one, _), (other, back) = found
            for name in ("score", "alarm", "warm", "late", "limit", "contributions"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name)[back], err_msg=f"{name} {row}")
            for name, chart in one.statistics.items():
                np.testing.assert_array_equal(chart, other.statistics[name][back])
            assert sorted(map(str, one.changes)) == sorted(map(str, other.changes))
            alarms += int(one.alarm.sum())
        assert alarms > 100
        assert both[0].in_episode() == both[1].in_episode()


def test_what_is_remembered_of_an_order_of_assets_is_forgotten_when_one_of_them_changes() -> None:
    model, others = loads(dumps(fitted("precursor"))), [*CHANNELS[:3], Channel("valve"), *CHANNELS[3:]]
    x = np.stack([leaking(120, seed) for seed in range(2)], axis=1)
    usual, changed = Scorer(), Scorer()
    numbers = np.arange(2, dtype=np.int32)
    for scorer in (usual, changed):
        for number in range(2):
            scorer.use(scorer.declare(Asset(f"pump-{number}", "pump"), CHANNELS), model)
    for row, (t, values) in enumerate(zip(seconds(120), x, strict=True)):
        q = np.where(np.isnan(values), CODES["bad"], CODES["good"]).astype(np.uint8)
        times = t + np.zeros(2, dtype=np.int64)
        wanted = usual.ingest(RowBlock(numbers, times, values, q))
        if row == 40:
            for number in range(2):
                changed.declare(Asset(f"pump-{number}", "pump"), others)
        if row >= 40:
            values, q = np.insert(values, 3, 7.0, axis=1), np.insert(q, 3, 0, axis=1)
        if row == 60:
            changed.use(1, None)
        found = changed.ingest(RowBlock(numbers, times, values, q))
        scored = slice(0, 1 if row >= 60 else 2)
        np.testing.assert_array_equal(found.score[scored], wanted.score[scored])
        assert np.isfinite(found.score[1]) == (np.isfinite(wanted.score[1]) and row < 60)
        shares = np.delete(found.contributions, 3, axis=1) if row >= 40 else found.contributions
        np.testing.assert_array_equal(shares[scored], wanted.contributions[scored])


@pytest.mark.parametrize("grouped", [True, False])
def test_as_many_rows_of_each_asset_give_what_they_give_one_by_one(grouped: bool) -> None:
    """By asset or as they came, until an episode begins in their midst."""
    model, assets, each = loads(dumps(fitted("precursor"))), 4, 3
    x = np.stack([leaking(240, seed) for seed in range(assets)], axis=1)
    both = Scorer(), Scorer()
    for scorer in both:
        for number in range(assets):
            scorer.use(scorer.declare(Asset(f"pump-{number}", "pump"), CHANNELS), model)
    order = np.array([2, 0, 3, 1])
    whose = np.repeat(order, each) if grouped else np.tile(order, each)
    step = np.tile(np.arange(each), assets) if grouped else np.repeat(np.arange(each), assets)
    t, alarms = seconds(240), 0
    for row in range(0, 240, each):
        blocks = []
        for numbers, at in [(whose, row + step), *((order, np.full(assets, row + n)) for n in range(each))]:
            values = x[at, numbers]
            q = np.where(np.isnan(values), CODES["bad"], CODES["good"]).astype(np.uint8)
            blocks.append(RowBlock(numbers.astype(np.int32), t[at], values, q))
        together, single = both[0].ingest(blocks[0]), [both[1].ingest(block) for block in blocks[1:]]
        for n, one in enumerate(single):
            some = np.flatnonzero(step == n)
            for name in ("score", "alarm", "late", "limit", "contributions"):
                found = getattr(together, name)[some]
                np.testing.assert_array_equal(found, getattr(one, name), err_msg=f"{name} {row + n}")
            for name, chart in one.statistics.items():
                np.testing.assert_array_equal(together.statistics[name][some], chart)
            alarms += int(one.alarm.sum())
        told = [
            sorted(episode.id for result in results for what, episode in result.changes if what != "updated")
            for results in ([together], single)
        ]
        assert told[0] == told[1]
    assert 100 < alarms < 900
    assert both[0].in_episode() == both[1].in_episode()
    first, second = ([(head, content) for head, content in scorer.dump(range(assets))] for scorer in both)
    assert first == second


@pytest.mark.parametrize("seed", range(3))
def test_more_rows_of_one_asset_than_of_another_give_what_they_give_one_by_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    model, assets = loads(dumps(fitted("precursor"))), 4
    x = np.stack([leaking(240, 10 * seed + at) for at in range(assets)], axis=1)
    both = Scorer(), Scorer()
    for scorer in both:
        for number in range(assets):
            scorer.use(scorer.declare(Asset(f"pump-{number}", "pump"), CHANNELS), model)
    t, at, alarms = seconds(240), np.zeros(assets, dtype=np.intp), 0
    changes: tuple[list[str], list[str]] = ([], [])
    while at.max() < 237:
        counts = random.integers(1, 4, size=assets)
        numbers = random.permutation(np.repeat(np.arange(assets), counts))
        rows = np.array([at[number] + np.count_nonzero(numbers[:n] == number) for n, number in enumerate(numbers)])
        at += counts
        values = x[rows, numbers]
        q = np.where(np.isnan(values), CODES["bad"], CODES["good"]).astype(np.uint8)
        block = RowBlock(numbers.astype(np.int32), t[rows], values, q)
        together = both[0].ingest(block)
        for row in range(len(rows)):
            one = both[1].ingest(block.pick(slice(row, row + 1)))
            for name in ("score", "alarm", "late", "limit", "contributions"):
                np.testing.assert_array_equal(getattr(together, name)[row], getattr(one, name)[0], err_msg=name)
            for name, chart in one.statistics.items():
                assert together.statistics[name][row] == chart[0] or np.isnan(chart[0])
            changes[1].extend(change.episode.id for change in one.changes if change.what != "updated")
            alarms += int(one.alarm[0])
        changes[0].extend(change.episode.id for change in together.changes if change.what != "updated")
    assert alarms > 50
    assert sorted(changes[0]) == sorted(changes[1])
    first, second = ([(head, content) for head, content in scorer.dump(range(assets))] for scorer in both)
    assert first == second


def test_live_equals_replay_through_gaps_resets_models_and_late_rows(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    rng = np.random.default_rng(0)
    x, t = leaking(900), seconds(900)
    t[250:] += 100 * SECOND
    x[400:430, 1] = 1e4
    q = np.where(np.isnan(x), 128, 0).astype(np.uint8)
    q[400:415, 1] = 131
    q[500:520] = 64
    row = 0
    while row < 900:
        count = int(rng.choice([1, 2, 5, 40]))
        rig.feed("pump-1", t[row : row + count], x[row : row + count], q[row : row + count])
        row += count
        if rng.random() < 0.2:
            scored = rig.feed("pump-1", [int(t[row - 1]) - SECOND // 2], np.full((1, 6), 1e6))
            assert scored.late.all()
            assert np.isnan(scored.score).all()
        if 600 <= row < 650:
            save(refit("precursor", record(500, 33)), rig.models / "asset-pump-1.model", {"row": row})
            rig.runtime.files._looked = -1e9
        rig.commit()
    check_replay(rig, "pump-1")
    check_replay(rig, "pump-1", int(t[300]), int(t[700]))
    check_replay(rig, "pump-1", int(t[120]), int(t[130]))
    reasons = [row[0] for row in rig.store.db.execute("SELECT reason FROM run ORDER BY t").fetchall()]
    assert reasons[:2] == ["first", "gap"]
    assert "model" in reasons
    assert len({id for (id,) in rig.store.db.execute("SELECT model FROM run")}) >= 2


def test_what_is_noted_of_rows_that_are_not_kept_is_dropped(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    x, t = leaking(900), seconds(900)
    for begin in (200, 400, 600):
        t[begin:] += 100 * SECOND
    for row in range(0, 900, 50):
        if row == 450:
            rig.runtime.accept("pump-1")
        rig.feed("pump-1", t[row : row + 50], x[row : row + 50])
        rig.feed("pump-1", [int(t[row]) + SECOND // 2], x[:1])
    rig.commit()
    oldest = int(t[500])
    for series in rig.memory.readings.values():
        for at in [at for at in series if at < oldest]:
            del series[at]
    before = replay_scores(rig.memory, rig.store, "pump-1", int(t[600]), int(t[899]) + 1)
    with rig.store.transaction() as db:
        forget(db, oldest)
    runs = rig.store.db.execute("SELECT t, reason FROM run ORDER BY t").fetchall()
    assert runs == [(t[400], "gap"), (t[449] + 1, "accept"), (t[600], "gap")]
    assert rig.store.db.execute("SELECT count(*) FROM late").fetchone() == (8,)
    after = replay_scores(rig.memory, rig.store, "pump-1", int(t[600]), int(t[899]) + 1)
    np.testing.assert_array_equal(before.score, after.score)
    assert after.score.tolist()[WARM:] == [rig.scores["pump-1", at][0] for at in t[600 + WARM :].tolist()]


@pytest.mark.parametrize("way", ["stop", "crash", "crash without a snapshot"])
def test_a_restart_changes_no_score(rig: Rig, way: str, tmp_path: Path) -> None:
    x, t = leaking(300), seconds(300)
    rig.declare(PUMP, CHANNELS)
    rig.declare(Asset("quiet", "pump"), CHANNELS)
    rig.feed("quiet", t[:50], record(50, 8))
    for row in range(300):
        rig.feed("pump-1", t[row : row + 1], x[row : row + 1])
        rig.commit(force=way == "crash" and row == 80)
        if row in (40, 130, 140):
            rig.stop() if way == "stop" else rig.crash()
            rig.open()
    (episode,) = list_episodes(rig.store, "pump-1")
    other = Rig(tmp_path / "other")
    shutil.copytree(rig.models, other.models)
    other.runtime.files.look()
    other.declare(PUMP, CHANNELS)
    other.feed("pump-1", t, x)
    other.commit()
    assert rig.scores_of("pump-1") == other.scores_of("pump-1")
    assert list_episodes(other.store) == [episode]
    other.crash()
    check_replay(rig, "pump-1")


def test_rows_sent_again_after_a_crash_are_not_noted_as_late(rig: Rig) -> None:
    x, t = leaking(100), seconds(100)
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", t, x)
    rig.commit()
    rig.crash()
    rig.open()
    scored = rig.feed("pump-1", t[95:], x[95:])
    assert scored.late.all()
    rig.commit()
    assert rig.store.db.execute("SELECT count(*) FROM late").fetchone() == (0,)
    check_replay(rig, "pump-1")


def test_a_commit_that_fails_is_made_up_for(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(150), leaking()[:150])
    with pytest.raises(RuntimeError, match="full"), rig.store.transaction():  # noqa: PT012
        rig.runtime.save()
        raise RuntimeError("the disk is full")
    assert list_episodes(rig.store) == []
    with rig.store.transaction():
        pass
    rig.commit()
    assert len(list_episodes(rig.store)) == 1
    assert rig.store.db.execute("SELECT count(*) FROM run").fetchone() == (1,)
    assert rig.store.db.execute("SELECT count(*) FROM model").fetchone() == (1,)


def test_columns_are_found_by_name_and_status_is_never_scored(rig: Rig) -> None:
    order = [3, 0, 5, 1, 4, 2]
    channels = [Channel("mode", role="status"), *(CHANNELS[at] for at in order), Channel("extra")]
    rig.declare(PUMP, CHANNELS)
    rig.declare(Asset("other", "pump"), channels)
    x = leaking()
    straight = rig.feed("pump-1", seconds(300), x)
    turned = np.concatenate([np.full((300, 1), 7.0), x[:, order], np.full((300, 1), 9.0)], axis=1)
    scored = rig.feed("other", seconds(300), turned)
    np.testing.assert_array_equal(scored.score, straight.score)
    np.testing.assert_array_equal(scored.contributions[:, 1:7], straight.contributions[:, order])
    assert (scored.contributions[:, [0, 7]] == 0).all()
    hidden = [Channel(tag, role="status" if tag == "flow" else "measurement") for tag in SENSORS]
    rig.declare(Asset("hidden", "pump"), hidden)
    without = x.copy()
    without[:, 0] = 1e9
    scored = rig.feed("hidden", seconds(300), without)
    assert (scored.contributions[:, 0] == 0).all()
    assert not scored.alarm[:100].any()


def test_bad_readings_are_missing_and_uncertain_ones_are_not(rig: Rig) -> None:
    for id in ("bad", "uncertain", "none"):
        rig.declare(Asset(id, "pump"), CHANNELS)
    x = record(100, 5)
    wild = x.copy()
    wild[50:, 2] = 1e6
    codes = np.zeros(x.shape, dtype=np.uint8)
    codes[50:, 2] = 131
    gaps = np.where(codes > 0, np.nan, wild)
    bad = rig.feed("bad", seconds(100), wild, codes)
    np.testing.assert_array_equal(bad.score, rig.feed("none", seconds(100), gaps).score)
    assert not bad.alarm.any()
    assert rig.feed("uncertain", seconds(100), wild, codes // 2).alarm[60:].all()


def test_a_simulated_plant_is_scored_once_in_each_period_of_its_clock(tmp_path: Path) -> None:
    save(refit("precursor", record(600, 1)), tmp_path / "models" / "plant.model")
    rig = Rig(tmp_path)
    model = load(tmp_path / "models" / "plant.model").detector
    assert model.period_s == 1.0
    channels = [*CHANNELS, Channel("plant_s", "s", role="status")]
    rig.declare(Asset("plant", "plant", clock="plant_s", period_s=0.25), channels)
    x = leaking(400)
    clock = np.arange(400) * 0.25
    clock[200:] -= clock[200]  # reset
    clock[300] = np.nan
    clock[340:] += 20.0  # paused gateway
    cold = 4 * WARM
    rows = np.concatenate([x, clock[:, None]], axis=1)
    scored = rig.feed("plant", seconds(400), rows)
    taken = np.isfinite(scored.score)
    assert set(np.flatnonzero(taken) % 4) == {0, 1}  # row 300 had no clock, so 301 stands for its period
    assert taken[301]
    for began in (0, 200, 340):
        assert not taken[began : began + cold].any()
        assert taken[began + cold + 4]
    assert scored.warm[399]
    _, alone = model.score(model.initial(1), x[None, :200:4])
    np.testing.assert_array_equal(scored.score[:200:4], alone.score[0])
    rig.commit()
    reasons = rig.store.db.execute("SELECT reason FROM run ORDER BY t").fetchall()
    assert reasons == [("first",), ("clock",), ("gap",)]
    check_replay(rig, "plant")
    rig.crash()


def test_a_reset_ends_the_open_episode(tmp_path: Path) -> None:
    save(fitted("precursor"), tmp_path / "models" / "plant.model")
    rig = Rig(tmp_path)
    rig.declare(Asset("plant", "plant", clock="plant_s"), [*CHANNELS, Channel("plant_s", "s", role="status")])
    x = np.concatenate([leaking()[:150], np.arange(150.0)[:, None]], axis=1)
    rig.feed("plant", seconds(150), x)
    assert rig.runtime.describe(0)["episode"] is not None
    scored = rig.feed("plant", seconds(50, 150), x[:50])
    assert [change.what for change in scored.changes] == ["closed"]
    assert scored.changes[0].episode.end == START + 149 * SECOND
    assert not scored.alarm.any()
    check_replay(rig, "plant")
    rig.crash()


def kinds(rig: Rig, id: str, x: np.ndarray, q: np.ndarray | None = None, role: str = "measurement") -> set[str]:
    channels = [Channel(tag, role=role) for tag in SENSORS]  # type: ignore[arg-type]
    rig.declare(Asset(id, "pump"), channels)
    rig.feed(id, seconds(len(x)), x, q)
    rig.commit()
    check_replay(rig, id)
    return {episode.kind for episode in list_episodes(rig.store, id)}


def test_an_instrument_and_a_process_are_told_apart(rig: Rig) -> None:
    moved = record(400, 5)
    moved[100:, 3] += 20.0
    assert kinds(rig, "moved", moved) == {"process"}
    frozen = moved.copy()
    frozen[90:, 0] = frozen[89, 0]
    assert kinds(rig, "frozen", frozen) == {"instrument"}
    frozen = np.concatenate([frozen, record(400, 6)])
    frozen[90:, 0] = frozen[89, 0]
    frozen[400:, 3] += 60.0
    assert kinds(rig, "frozen-and-far", frozen) == {"instrument", "process"}  # beside a sensor only what is far out
    assert kinds(rig, "resting-valve", frozen, role="manipulated") == {"process"}
    later = moved.copy()
    later[115:, 0] = later[114, 0]
    assert kinds(rig, "frozen-later", later) == {"process"}
    gone_to_nothing = moved.copy()
    gone_to_nothing[90:, 0] = 0.0
    assert kinds(rig, "gone-to-nothing", gone_to_nothing) == {"instrument"}  # in one leap, and nothing follows as far
    gone_to_nothing[86:90, 0] *= [0.8, 0.6, 0.4, 0.2]
    assert kinds(rig, "going-to-nothing", gone_to_nothing) == {"process"}
    dead = moved.copy()
    dead[99:] = dead[150]
    assert kinds(rig, "dead", dead) == {"process"}


def test_a_silent_sensor_is_the_instruments_but_not_one_beyond_its_range(rig: Rig) -> None:
    x = record(400, 5)
    x[100:, 3] += 20.0
    gaps = x.copy()
    gaps[95:300:2, 0] = np.nan
    assert kinds(rig, "gaps", gaps) == {"process"}
    silent = x.copy()
    silent[95:, 0] = np.nan
    assert kinds(rig, "silent", silent) == {"instrument"}
    q = np.zeros(x.shape, dtype=np.uint8)
    q[95:, 0] = CODES["bad:range"]
    assert kinds(rig, "beyond", x, q) == {"process"}
    q[95:, 0] = CODES["bad:sensor"]
    assert kinds(rig, "bad", x, q) == {"instrument"}


@pytest.fixture(scope="module")
def upsets() -> tuple[Model, list[str], np.ndarray]:
    """A model of the simulated plant, its columns, and its records (6, rows, columns) with an upset from 3 h on.

    The last plant's is a sensor that spikes, and from 8 h on it has lost a feed as the first one.
    """
    runs = tep.simulate(6.0, range(50, 66), every_s=180).records
    model = loads(dumps(learn(list(tep.round_records(runs, 5)), tep.COLUMNS, 180.0)))

    def fault(plant: int, tag: str, kind: str) -> tep.Change:
        return tep.Change(3.0, lambda inputs: inputs.set_sensor_fault(plant, tag, kind))

    changes = [
        tep.Change(3.0, lambda inputs: inputs.set_fault(0, 6)),
        *(fault(1 + at, "xmeas_9", kind) for at, kind in enumerate(("freeze", "dropout"))),
        tep.Change(3.0, lambda inputs: inputs.set_fault(3, 1)),
        tep.Change(3.0, lambda inputs: inputs.set_fault(4, 7)),
        tep.Change(3.0, lambda inputs: inputs.set_sensor_fault(5, "xmeas_12", "spike", 12.0)),
        tep.Change(8.0, lambda inputs: inputs.set_fault(5, 6)),
    ]
    run = tep.simulate(20.0, range(80, 86), changes, every_s=180)
    trips = tep.trip_hours(run.state)
    assert trips[0] < 15
    assert 9 < trips[5] < 20
    return model, list(tep.COLUMNS), tep.round_records(run.records, 5)


@pytest.mark.parametrize("limits", [False, True])
def test_a_lost_feed_is_the_processs_and_a_failed_sensor_the_instruments(
    upsets: tuple[Model, list[str], np.ndarray], limits: bool
) -> None:
    model, columns, records = upsets
    for plant, (want, x) in enumerate(
        zip(["process", *["instrument"] * 2, *["process"] * 2], records[:5], strict=True)
    ):
        scorer = Scorer()
        roles = ["manipulated" if tag.startswith("xmv") else "measurement" for tag in columns]
        channels = [Channel(tag, role=role) for tag, role in zip(columns, roles, strict=True)]  # type: ignore[arg-type]
        number = scorer.declare(Asset("tep-1", "tep"), channels)
        scorer.use(number, model)
        told: dict[str, list[Episode]] = {}
        for row in range(len(x)):
            q = np.where(np.isnan(x[row]), 128, 0).astype(np.uint8)
            if limits:  # a flow of nothing with noise is now and then below its range
                q[x[row] < 0.01] = CODES["bad:range"]
            block = RowBlock(np.array([number], dtype=np.int32), seconds(1, 180 * row), x[None, row], q[None])
            for change in scorer.ingest(block).changes:
                told.setdefault(change.episode.id, []).append(change.episode)
        for each in told.values():
            kinds = [episode.kind for episode in each]
            assert kinds == sorted(kinds, reverse=True), plant  # a process may turn out the instrument's, never back
        first, *others = (each[-1] for each in told.values())
        assert first.kind == want, plant
        if first.failed is None:
            assert {episode.kind for episode in others} <= {"process"}, plant
        else:  # the reactor's temperature: its controller acts on it, and the plant leaves its usual values
            assert first.failed[0] == "xmeas_9"
            assert first.upset
            assert all(first.failed in (episode.failed, *episode.suspects) for episode in others), plant


@pytest.mark.parametrize("controlled", ["xmeas_12", "xmeas_9"])
def test_a_lost_feed_is_told_though_a_sensor_spikes(
    upsets: tuple[Model, list[str], np.ndarray], controlled: str
) -> None:
    model, columns, records = upsets
    scorer = Scorer()
    channels = [Channel(tag, role=role_by_name(tag), controlled=tag == controlled) for tag in columns]
    number = scorer.declare(Asset("tep-1", "tep"), channels)
    scorer.use(number, model)
    x, times = records[5, :240], START + 180 * SECOND * np.arange(240)  # before the trip
    block = RowBlock(np.full(240, number, np.int32), times, x, np.zeros(x.shape, np.uint8))
    told = {change.episode.id: change.episode for change in scorer.ingest(block).changes}
    *before, last = told.values()
    assert last.end is None
    if controlled == "xmeas_12":
        assert last.failed == ("xmeas_12", "spiking")
        assert last.upset[0] in ("xmeas_1", "xmv_3")
        return
    assert {episode.kind for episode in before} == {"instrument"}
    assert last.kind == "process"
    assert ("xmeas_12", "spiking") in last.suspects
    assert times[160] < last.start < times[200]


def test_a_lost_feed_is_led_by_its_flow_or_valve_from_the_first_row_on(
    upsets: tuple[Model, list[str], np.ndarray],
) -> None:
    model, columns, records = upsets
    scorer = Scorer()
    number = scorer.declare(Asset("tep-1", "tep"), [Channel(tag) for tag in columns])
    scorer.use(number, model)
    led = []
    for row, x in enumerate(records[0, :90]):
        one = RowBlock(np.array([number], dtype=np.int32), seconds(1, 180 * row), x[None], np.zeros((1, 52), np.uint8))
        scorer.ingest(one)
        if (tracker := scorer.members[number].tracker) is not None:
            led.append([tag for tag, _ in tracker.episode().leading])
    assert len(led) == 30  # the feed is lost with row 60
    assert {names[0] for names in led} <= {"xmeas_1", "xmv_3"}
    assert set(led[-1][:2]) == {"xmeas_1", "xmv_3"}


def test_an_episode_ends_with_its_stream_and_goes_on_with_it(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    x, t = leaking(), seconds(300)
    rig.feed("pump-1", t[:130], x[:130])
    rig.commit()
    (number,) = rig.runtime.open_episodes()
    rig.runtime.ended(number)
    assert rig.runtime.waiting
    assert rig.runtime.open_episodes() == []
    assert rig.runtime.describe(number)["episode"] is None
    rig.commit()
    assert not rig.runtime.waiting
    (ended,) = list_episodes(rig.store)
    assert ended.end == t[129]
    check_replay(rig, "pump-1")
    assert replay_scores(rig.memory, rig.store, "pump-1", START, t[129] + 1).episodes == [ended]
    rig.runtime.ended(number)
    assert not rig.runtime.waiting
    rig.stop()
    rig.open()
    assert list_episodes(rig.store) == [ended]
    assert rig.runtime.open_episodes() == []
    rig.feed("pump-1", t[130:140], x[130:140])
    rig.commit()
    (again,) = list_episodes(rig.store, open=True)
    assert again.id == ended.id
    assert rig.runtime.open_episodes() == [number]
    rig.feed("pump-1", t[140:], x[140:])
    rig.commit()
    (closed,) = list_episodes(rig.store)
    assert closed.end is not None
    assert closed.end > t[160]
    check_replay(rig, "pump-1")


def test_an_ended_episode_stays_ended_after_a_gap(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    x, t = leaking(), seconds(300)
    rig.feed("pump-1", t[:130], x[:130])
    rig.runtime.ended(0)
    rig.commit()
    (ended,) = list_episodes(rig.store)
    rig.feed("pump-1", t[150:], x[150:])
    rig.commit()
    assert list_episodes(rig.store)[-1] == ended
    check_replay(rig, "pump-1")


def test_a_snapshot_that_cannot_be_read_begins_anew(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(130), leaking()[:130])
    rig.commit(force=True)
    rig.crash()
    for spoiled in (b'{"v": 99}\n', b"", b'{"v": 1, "arrays": []}\n', b'{"v": 1}\nxyz'):
        db = sqlite3.connect(rig.folder / "lab.db")
        db.execute("UPDATE scoring_state SET state = ?", (spoiled,))
        db.execute("DELETE FROM run")
        db.commit()
        db.close()
        with caplog.at_level(logging.WARNING):
            rig.open()
            rig.crash()
        assert "begins anew" in caplog.text
        caplog.clear()
    rig.open()
    (episode,) = list_episodes(rig.store)
    assert episode.end == episode.peak_at
    told = rig.runtime.describe(0)
    assert (told["limit"], told["warm"], told["episode"]) == (1.0, False, None)


def test_a_snapshot_with_a_spoiled_episode_changes_nothing() -> None:
    model, scorer, again = loads(dumps(fitted("precursor"))), Scorer(), Scorer()
    for each in (scorer, again):
        each.use(each.declare(PUMP, CHANNELS), model)
    x, t = leaking(), seconds(130)
    rows = [RowBlock(np.zeros(1, np.int32), t[[row]], x[[row]], np.zeros((1, 6), np.uint8)) for row in range(130)]
    for block in rows:
        scorer.ingest(block)
    ((head, content),) = scorer.dump([0])
    arrays = {**head["episode"]["arrays"], "recent": ""}
    spoiled = {**head, "episode": {**head["episode"], "arrays": arrays}}
    with pytest.raises(ValueError, match="reshape"):
        again.restore(0, model, int(t[-1]), spoiled, content)
    assert again.scored() == []
    for block in rows:  # it begins anew
        scored = again.ingest(block)
    assert scored.warm.all()
    assert again.dump([0])[0][1] == content
    assert [run.reason for run in again.runs] == ["first"]


def test_a_restart_between_a_new_model_and_its_first_row_is_no_first_beginning() -> None:
    model, other = loads(dumps(fitted("precursor"))), loads(dumps(fitted("precursor"), {"another": True}))
    scorer, again = Scorer(), Scorer()
    block = RowBlock(np.zeros(1, np.int32), seconds(1), record(1, 5), np.zeros((1, 6), np.uint8))
    scorer.use(scorer.declare(PUMP, CHANNELS), model)
    scorer.ingest(block)
    scorer.use(0, other)
    ((head, content),) = scorer.dump([0])
    again.declare(PUMP, CHANNELS)
    again.restore(0, other, int(block.t[0]), head, content)
    again.ingest(block._replace(t=block.t + SECOND))
    assert [run.reason for run in again.runs] == ["model"]


def test_a_new_asset_between_others_keeps_their_states(rig: Rig) -> None:
    rig.declare(Asset("a", "pump"), CHANNELS)
    x, t = leaking(), seconds(300)
    rig.feed("a", t[:50], x[:50])
    rig.declare(Asset("b", "pump"), CHANNELS)
    rig.feed(["a", "b"], [int(t[50])] * 2, np.stack([x[50], x[0]]))
    rig.declare(Asset("a", "pump"), CHANNELS)
    rig.feed("a", t[51:], x[51:])
    detector = fitted("precursor")
    _, alone = detector.score(detector.initial(1), x[None])
    scores = rig.scores_of("a")
    np.testing.assert_array_equal([scores[int(at)][0] for at in t[WARM:]], alone.score[0, WARM:])


def test_an_empty_block(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    empty = RowBlock(
        np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64), np.zeros((0, 6)), np.zeros((0, 6), dtype=np.uint8)
    )
    scored = rig.runtime.ingest(empty)
    assert scored.score.shape == (0,)
    assert scored.contributions.shape == (0, 6)


def test_a_clock_is_needed_in_each_row(rig: Rig) -> None:
    model: Model = load(rig.models / "pump.model")
    rig.declare(Asset("plant", "pump", clock="plant_s"), [*CHANNELS, Channel("plant_s", role="status")])
    x = np.concatenate([record(50, 5), np.full((50, 1), np.nan)], axis=1)
    assert np.isnan(rig.feed("plant", seconds(50), x).score).all()
    assert rig.runtime.describe(0)["limit"] == model.detector.limit


def test_live_equals_replay_from_the_embedded_historian(tmp_path: Path) -> None:
    """The store keeps every bit of a reading, so its scores come out the same to the last one."""
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    rig = Rig(tmp_path)
    rig.declare(PUMP, CHANNELS)
    historian = open_historian(Config(data_dir=str(tmp_path)), rig.store)
    x, t = leaking(600), seconds(600)
    ids = historian.ids([f"pump-1/{tag}" for tag in SENSORS])
    for row in range(0, 600, 12):
        piece = slice(row, row + 12)
        rig.feed("pump-1", t[piece], x[piece])
        with rig.store.transaction():
            codes = np.where(np.isnan(x[piece]), 128, 0).astype(np.uint8)
            historian.write(Batch(np.tile(ids, 12), np.repeat(t[piece], 6), x[piece].ravel(), codes.ravel()))
            rig.runtime.save()
    replayed = replay_scores(historian, rig.store, "pump-1", START, START + 10**6 * SECOND)
    there = np.isfinite(replayed.score)
    again = dict(zip(replayed.t[there].tolist(), replayed.score[there].tolist(), strict=True))
    assert again == {at: score for at, (score, _) in rig.scores_of("pump-1").items()}
    assert replayed.episodes == list_episodes(rig.store)
    assert len(replayed.episodes) == 1
    historian.close()
    rig.crash()


def test_a_model_that_comes_back_after_a_restart_begins_with_a_period_as_well(tmp_path: Path) -> None:
    save(fitted("precursor"), tmp_path / "models" / "plant.model")
    rig = Rig(tmp_path)
    rig.declare(Asset("plant", "plant", clock="plant_s"), [*CHANNELS, Channel("plant_s", "s", role="status")])
    clock = np.round(np.arange(900) / 3, 4)
    x, t = np.concatenate([record(900, 5), clock[:, None]], axis=1), seconds(900)
    rig.feed("plant", t[:300], x[:300])
    content = (rig.models / "plant.model").read_bytes()
    (rig.models / "plant.model").unlink()
    rig.runtime.files.look()
    rig.feed("plant", t[300:400], x[300:400])
    rig.stop()
    rig.open()
    (rig.models / "plant.model").write_bytes(content)
    rig.runtime.files.look()
    rig.feed("plant", t[400:], x[400:])  # the clock stands at 133.3 s
    rig.commit()
    assert [at for (at,) in rig.store.db.execute("SELECT t FROM run ORDER BY t")] == [t[0], t[300], t[402]]
    check_replay(rig, "plant")
    rig.crash()


def test_another_clock_after_a_snapshot_changes_no_score_in_a_restart(rig: Rig) -> None:
    channels = [*CHANNELS, Channel("clock", role="status")]
    x, t = np.concatenate([leaking(), np.arange(300.0)[:, None]], axis=1), seconds(300)
    rig.declare(Asset("pump-1", "pump", clock="clock"), channels)
    rig.feed("pump-1", t[:105], x[:105])
    rig.commit(force=True)
    rig.feed("pump-1", t[105:130], x[105:130])
    rig.declare(PUMP, channels)
    rig.feed("pump-1", t[130:150], x[130:150])
    rig.commit()
    runs = rig.store.db.execute("SELECT * FROM run").fetchall()
    (wanted,) = rig.runtime.scorer.dump([0])
    rig.crash()
    rig.open()
    assert rig.runtime.scorer.dump([0]) == [wanted]
    assert rig.store.db.execute("SELECT * FROM run").fetchall() == runs
    rig.feed("pump-1", t[150:], x[150:])
    check_replay(rig, "pump-1")


@pytest.mark.parametrize("size", [1, 7, 400])
def test_it_begins_with_the_first_row_of_a_period(tmp_path: Path, size: int) -> None:
    save(fitted("precursor"), tmp_path / "models" / "plant.model")
    rig = Rig(tmp_path)
    rig.declare(Asset("plant", "plant", clock="plant_s"), [*CHANNELS, Channel("plant_s", "s", role="status")])
    clock = np.concatenate([np.arange(10.5, 30, 0.25), np.arange(90.75, 110, 0.25)])
    x = np.concatenate([record(len(clock), 5), clock[:, None]], axis=1)
    t = START + (clock * SECOND).astype(np.int64)
    for first in range(0, len(x), size):
        rig.feed("plant", t[first : first + size], x[first : first + size])
    scored = [(at - START) / SECOND for at in sorted(rig.scores_of("plant"))]
    assert scored == [*range(11 + WARM, 30), *range(91 + WARM, 110)]  # less the first ones of each stretch
    rig.commit()
    runs = rig.store.db.execute("SELECT t, reason FROM run ORDER BY t").fetchall()
    assert [((at - START) / SECOND, reason) for at, reason in runs] == [(11, "first"), (91, "gap")]
    check_replay(rig, "plant")
    check_replay(rig, "plant", START + 95 * SECOND)
    rig.stop()
    rig.open()
    rig.crash()


def test_what_was_accepted_is_taken_up_whole_or_not_at_all(tmp_path: Path) -> None:
    save(fitted("precursor"), path := tmp_path / "a.model")
    group = Group(load(path))
    group.size = 2
    group.grow()
    group.score(slice(0, 2), np.stack([record(60, 3) + 4.0] * 2))
    group.accept(0)
    content = group.lasting(0)
    assert content is not None
    for broken in (content[:-1], content + b"1", content[:10]):
        with pytest.raises(ValueError, match=r"buffer|another model"):
            group.put_lasting(1, broken)
    group.put_lasting(1, content)
    assert group.lasting(1) == content
    group.reset(np.array([1]), np.array([False]))
    levels = group.state["offset"][0].tobytes()
    group.put_lasting(1, levels)  # a database of before holds these alone
    np.testing.assert_array_equal(group.state["offset"][1], group.state["offset"][0])
    assert not group.state["ground"][1].any()
    assert not group.state["settling"][1]
