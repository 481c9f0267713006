"""Learning a model from an asset's first rows, through restarts and changes of its channels."""

import errno
import itertools
import logging
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest

from devices.frame import Asset, Channel
from lab import learning, modelfiles
from lab.episodes import list_episodes
from lab.fitting import learn
from lab.rescoring import replay_scores
from models.detector import Model, load, save
from models.precursor.detector import WARM
from tests.lab.scoring_rig import CHANNELS, PUMP, SECOND, START, Rig, check_replay, leaking, seconds
from tests.models.plants import SENSORS, fitted, record


@pytest.mark.parametrize("size", [1, 7, 500])
def test_learning_from_the_first_rows(tmp_path: Path, size: int) -> None:
    rig = Rig(tmp_path)
    channels = [*CHANNELS, Channel("dead"), Channel("mode", role="status")]
    rig.declare(Asset("new", "csv", learn_rows=200), channels)
    x = np.concatenate([leaking(400), np.full((400, 1), np.nan), np.ones((400, 1))], axis=1)
    x[60:64, 2] = x[59, 2]
    x[100:160, 1] += 12.0
    x[300:340, 1] -= 12.0
    t = seconds(400)
    for row in range(0, 400, size):
        rig.feed("new", t[row : row + size], x[row : row + size])
        if (learner := rig.runtime.learning.learners.get(0)) and learner.result and row > 250:
            wait([learner.result])
    if learner := rig.runtime.learning.learners.get(0):
        assert learner.result is not None
        wait([learner.result])
        rig.poll()
    scores = rig.scores_of("new")
    assert min(scores) == START + (200 + WARM) * SECOND
    assert max(scores) == START + 399 * SECOND
    assert len(scores) == 200 - WARM
    model = load(tmp_path / "models" / "asset-new.model")
    assert model.detector.sensors == SENSORS
    assert model.about["rows"] == 200
    _, alone = model.detector.score(model.detector.initial(1), x[None, 200:, :6])
    np.testing.assert_array_equal(list(scores.values()), np.stack([alone.score, alone.alarm], axis=2)[0, WARM:])
    check_replay(rig, "new")
    (episode,) = list_episodes(rig.store)
    assert episode.leading[0][0] == "pressure"
    rig.crash()


def test_learning_goes_on_after_a_restart(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.declare(Asset("new", "csv", learn_rows=200), CHANNELS)
    x, t = record(400, 1), seconds(400)
    rig.feed("new", t[:150], x[:150])
    rig.stop()
    rig.open()
    rig.feed("new", t[150:190], x[150:190])
    rig.crash()
    rig.open()
    rig.feed("new", t[190:260], x[190:260])
    rig.crash()  # the model was learned or not; its rows are in the store
    for file in rig.models.glob("*"):
        file.unlink()
    rig.open()
    rig.feed("new", t[260:], x[260:])
    first = load(rig.models / "asset-new.model").detector
    again = learn([x[:200]], SENSORS, 1.0)
    for name, array in again.arrays().items():
        np.testing.assert_array_equal(first.arrays()[name], array)
    check_late = rig.store.db.execute("SELECT count(*) FROM late").fetchone()
    assert check_late == (0,)
    replayed = replay_scores(rig.memory, rig.store, "new", START, START + 400 * SECOND)
    assert np.isfinite(replayed.score).sum() == 200 - WARM
    rig.crash()


@pytest.mark.parametrize("rows", [150, 250])
@pytest.mark.parametrize("tags", [("new", *SENSORS[1:]), SENSORS[::-1]])
def test_learning_goes_on_with_other_channels(tmp_path: Path, rows: int, tags: tuple[str, ...]) -> None:
    """Also where what was learned of those of before had not been taken up: as if it began after a restart."""
    rig = Rig(tmp_path)
    rig.declare(Asset("new", "csv", learn_rows=200), CHANNELS)
    x, t = record(400, 1), seconds(400)
    rig.feed("new", t[:rows], x[:rows])
    if (result := rig.runtime.learning.learners[0].result) is not None:
        wait([result])
    now = x[:, [SENSORS.index(tag) if tag in SENSORS else 0 for tag in tags]]
    rig.declare(Asset("new", "csv", learn_rows=200), [Channel(tag) for tag in tags])
    rig.poll()
    rig.feed("new", t[rows:300], now[rows:300])
    result = rig.runtime.learning.learners[0].result
    assert result is not None
    wait([result])
    rig.feed("new", t[300:], now[300:])
    model = load(rig.models / "asset-new.model")
    first = now[:200].copy()
    if "new" in tags:
        first[:rows, 0] = np.nan
    kept = [at for at in range(len(tags)) if np.isfinite(first[:, at]).any()]
    alone = learn([first[:, kept]], [tags[at] for at in kept], 1.0)
    assert model.detector.sensors == alone.sensors
    for name, array in alone.arrays().items():
        np.testing.assert_array_equal(model.detector.arrays()[name], array)
    check_replay(rig, "new")
    rig.crash()


@pytest.mark.parametrize("restart", [False, True])
def test_learning_begun_with_channels_that_are_gone_again_goes_on_after_a_restart(rig: Rig, restart: bool) -> None:
    asset = Asset("new", "pump", learn_rows=200)
    other = [Channel("a"), Channel("b"), *CHANNELS[:2]]  # too few for the model of its kind
    now = [Channel("b"), *CHANNELS[:2], Channel("a")]
    x, t = record(400, 1), seconds(400)
    rig.declare(asset, CHANNELS)
    rig.feed("new", t[:100], x[:100])
    rig.commit(force=True)
    rig.feed("new", t[100:120], x[100:120])
    rig.declare(asset, other)
    rig.feed("new", t[120:170], x[120:170, [2, 3, 0, 1]])
    rig.declare(asset, now)
    rig.feed("new", t[170:250], x[170:250, [3, 0, 1, 2]])
    rig.commit()
    if restart:
        rig.crash()
        rig.open()
    learner = rig.runtime.learning.learners[0]
    assert [channel.tag for channel in learner.channels] == [channel.tag for channel in now]
    rows, _ = learner.parts()
    np.testing.assert_array_equal(rows.t, t[120:250])
    np.testing.assert_array_equal(rows.v, x[120:250, [3, 0, 1, 2]])


def test_a_deleted_model_is_learned_anew_from_new_rows_only(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.declare(Asset("new", "csv", learn_rows=200), CHANNELS)
    x, t = np.concatenate([record(200, 1), leaking(), record(300, 9)]), seconds(800)
    rig.feed("new", t[:200], x[:200])
    learner = rig.runtime.learning.learners[0]
    assert learner.result is not None
    wait([learner.result])
    rig.feed("new", t[200:500], x[200:500])
    rig.commit()
    assert len(list_episodes(rig.store)) == 1
    rig.crash()  # before the first snapshot
    (rig.models / "asset-new.model").unlink()
    rig.open()
    assert rig.runtime.scorer.members[0].model is None
    rig.feed("new", t[500:700], x[500:700])
    learner = rig.runtime.learning.learners[0]
    assert learner.result is not None
    wait([learner.result])
    rig.feed("new", t[700:], x[700:])
    assert load(rig.models / "asset-new.model").about["from"] == t[500]
    assert len(list_episodes(rig.store)) == 1
    check_replay(rig, "new")
    rig.crash()


def unwritable(patch: pytest.MonkeyPatch) -> None:
    """No model file can be put in its place."""
    replace = Path.replace

    def replaced(path: Path, target: Path) -> Path:
        if target.suffix == ".model":
            raise OSError(errno.EROFS, "Read-only file system")
        return replace(path, target)

    patch.setattr(Path, "replace", replaced)


def learned(rig: Rig) -> Model:
    """The model that an asset learned from 200 rows."""
    rig.declare(Asset("new", "csv", learn_rows=200), CHANNELS)
    rig.feed("new", seconds(200), record(200, 1))
    result = rig.runtime.learning.learners[0].result
    assert result is not None
    wait([result])
    rig.poll()
    model = rig.runtime.scorer.members[0].model
    assert model is not None
    return model


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_model_that_could_not_be_written_is_kept_until_it_can(
    tmp_path: Path, snapshot: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig, t, x = Rig(tmp_path), seconds(700), np.concatenate([record(200, 1), leaking(500, 3)])
    path = rig.models / "asset-new.model"
    monkeypatch.setattr(modelfiles, "AGAIN_S", 0.0)
    with monkeypatch.context() as patch:
        unwritable(patch)
        model = learned(rig)
        assert rig.runtime.waiting
        rig.feed("new", t[200:250], x[200:250])
        for _ in range(3):
            rig.runtime.files.look()
        assert caplog.text.count("Read-only file system") == 1
        rig.commit(snapshot)
        rig.crash()
        rig.open()
        for _ in range(3):
            rig.runtime.files.look()
        assert not path.exists()
        assert not rig.runtime.learning
        rig.feed("new", t[250:300], x[250:300])
        rig.commit()
        used = rig.runtime.scorer.members[0].model
        assert used is not None
        assert used.id == model.id
        assert len(rig.scores) == 100 - WARM
    rig.runtime.files.look()
    assert load(path).id == model.id
    rig.feed("new", t[300:500], x[300:500])
    assert len(rig.scores) == 300 - WARM, "it goes on"
    rig.commit()
    check_replay(rig, "new")
    assert rig.store.db.execute("SELECT * FROM unsaved").fetchall() == []
    rig.crash()
    path.unlink()  # the user takes it away
    rig.open()
    assert rig.runtime.scorer.members[0].model is None
    assert rig.runtime.learning
    rig.crash()


@pytest.mark.parametrize("restart", [False, True])
def test_what_a_user_puts_in_the_place_of_a_model_that_could_not_be_written_stays(
    tmp_path: Path, restart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path)
    monkeypatch.setattr(modelfiles, "AGAIN_S", 0.0)
    with monkeypatch.context() as patch:
        unwritable(patch)
        learned(rig)
        rig.commit()
    if restart:
        rig.crash()
    rig.models.mkdir(exist_ok=True)
    theirs = save(fitted("precursor"), rig.models / "asset-new.model")
    if restart:
        rig.open()
    rig.runtime.files.look()
    rig.commit()
    used = rig.runtime.scorer.members[0].model
    assert used is not None
    assert used.id == load(rig.models / "asset-new.model").id == theirs
    assert rig.store.db.execute("SELECT * FROM unsaved").fetchall() == []
    rig.crash()


def test_what_a_user_puts_there_while_it_is_learned_is_not_written_over(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.declare(Asset("new", "csv", learn_rows=200), CHANNELS)
    rig.feed("new", seconds(220), record(220, 1))
    result = rig.runtime.learning.learners[0].result
    assert result is not None
    wait([result])
    theirs = save(fitted("precursor"), rig.models / "asset-new.model")  # since the last look
    rig.poll()
    used = rig.runtime.scorer.members[0].model
    assert used is not None
    assert used.id == load(rig.models / "asset-new.model").id == theirs
    rig.crash()


def test_a_model_file_that_is_gone_as_soon_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, target: replace(path, target).unlink())
    rig = Rig(tmp_path)
    assert learned(rig)
    rig.feed("new", seconds(100, 200), record(100, 3))
    assert len(rig.scores) == 100 - WARM
    rig.crash()


def test_one_that_cannot_learn_does_not_stop_the_others(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("cannot allocate")

    monkeypatch.setattr(learning, "learn", fail)
    rig.declare(Asset("new", "csv", learn_rows=200), CHANNELS)
    rig.declare(PUMP, CHANNELS)
    rig.feed("new", seconds(220), record(220, 1))
    result = rig.runtime.learning.learners[0].result
    assert result is not None
    wait([result])
    rig.feed("pump-1", seconds(50), record(50, 1))
    assert len(rig.scores_of("pump-1")) == 50 - WARM
    assert "nothing could be learned from 200 rows: cannot allocate" in caplog.text
    rig.crash()
    rig.open()
    assert rig.runtime.learning.learners[0].rows == 20, "nor a restart"


@pytest.mark.parametrize("size", [1, 60, 400])
def test_a_meter_runs_on_through_learning_restarts_and_gaps(tmp_path: Path, size: int) -> None:
    rig = Rig(tmp_path)
    rig.declare(Asset("new", "csv", learn_rows=600), [*CHANNELS, Channel("litres")])
    x, t = record(6000, 5), seconds(6000)
    x = np.concatenate([x, (1e6 + np.cumsum(np.maximum(x[:, 0], 0.0)))[:, None]], axis=1)
    t[3000:] += 3600 * SECOND
    x[4000:, 6] -= x[4000, 6]  # read and set to 0
    x[5000:, 6] = x[4999, 6]  # stands
    ends = [*range(0, 6000, size), 6000]
    for row, last in itertools.pairwise(ends):
        rig.feed("new", t[row:last], x[row:last])
        if (learner := rig.runtime.learning.learners.get(0)) and learner.result:
            wait([learner.result])
        if row // 1000 != last // 1000:
            rig.commit()
            rig.crash()
            rig.open()
    model = load(rig.models / "asset-new.model").detector
    assert model.usual.high[6] == 1e100
    rig.commit()
    (episode,) = list_episodes(rig.store)
    assert t[5000] <= episode.start <= t[5003]
    assert (episode.kind, episode.end) == ("process", None)
    assert {name for name, _ in episode.leading[:2]} == {"flow", "litres"}
    check_replay(rig, "new")
    rig.crash()


def test_learning_after_a_deleted_model_goes_on_after_a_restart(rig: Rig) -> None:
    rig.declare(Asset("new", "pump", learn_rows=200), CHANNELS)
    x, t = record(400, 1), seconds(400)
    rig.feed("new", t[:100], x[:100])
    rig.commit(force=True)
    (rig.models / "pump.model").unlink()
    rig.runtime.files.look()
    rig.feed("new", t[100:150], x[100:150])
    rig.commit()
    rig.crash()
    rig.open()
    rig.feed("new", t[150:300], x[150:300])
    result = rig.runtime.learning.learners[0].result
    assert result is not None
    wait([result])
    rig.feed("new", t[300:], x[300:])
    assert load(rig.models / "asset-new.model").about["from"] == t[100]
    assert sorted(rig.scores_of("new")) == [*t[WARM:100].tolist(), *t[300 + WARM :].tolist()]
    check_replay(rig, "new")


def test_nothing_can_be_learned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(tmp_path)
    rig.declare(Asset("new", "csv", learn_rows=100), CHANNELS)
    with caplog.at_level(logging.ERROR):
        rig.feed("new", seconds(100), np.full((100, 6), np.nan))
        learner = rig.runtime.learning.learners[0]
        assert learner.result is not None
        wait([learner.result])
        rig.feed("new", seconds(100, 100), record(100, 1))
    assert "nothing could be learned" in caplog.text
    learner = rig.runtime.learning.learners[0]
    assert learner.result is not None
    wait([learner.result])
    rig.feed("new", seconds(20, 200), record(20, 2))
    assert len(rig.scores) == 20 - WARM
    rig.crash()


def test_an_asset_that_never_had_a_model_has_no_scores_to_repeat(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.declare(Asset("new", "csv"), CHANNELS)
    rig.feed("new", seconds(20), record(20, 1))
    check_replay(rig, "new")
    assert rig.scores == {}
    rig.crash()
