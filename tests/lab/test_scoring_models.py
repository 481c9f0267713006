"""Models that appear, change, come back and are taken away while assets are scored."""

import logging
from pathlib import Path

import numpy as np
import pytest

from devices.frame import Asset, Channel
from lab import modelfiles
from lab.causes import write_library
from models.detector import save
from models.precursor.causes import none
from models.precursor.detector import WARM
from tests.lab.scoring_rig import CHANNELS, PUMP, Rig, check_replay, leaking, seconds
from tests.models.plants import SENSORS, fitted, record, refit


def test_a_model_that_appears_is_used_from_the_next_row_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.declare(PUMP, CHANNELS)
    x, t = leaking(), seconds(300)
    scored = rig.feed("pump-1", t[:50], x[:50])
    assert np.isnan(scored.score).all()
    assert np.isnan(scored.limit).all()
    assert not scored.warm.any()
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    rig.runtime.files._looked = -1e9
    scored = rig.feed("pump-1", t[50:120], x[50:120])
    assert np.isfinite(scored.score[WARM:]).all()
    save(refit("precursor", record(300, 9)), tmp_path / "models" / "asset-pump-1.model")
    rig.runtime.files._looked = -1e9
    scored = rig.feed("pump-1", t[120:130], x[120:130])
    assert np.isnan(scored.score[:WARM]).all()
    assert scored.changes[0].what == "closed"
    (tmp_path / "models" / "asset-pump-1.model").unlink()
    (tmp_path / "models" / "pump.model").unlink()
    rig.runtime.files._looked = -1e9
    scored = rig.feed("pump-1", t[130:140], x[130:140])
    assert np.isnan(scored.score).all()
    check_replay(rig, "pump-1")
    rig.stop()
    rig.open()
    assert np.isnan(rig.feed("pump-1", t[140:150], x[140:150]).score).all()
    check_replay(rig, "pump-1")
    rig.crash()


def test_a_model_changed_while_the_collector_was_away(rig: Rig) -> None:
    x, t = leaking(), seconds(300)
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", t[:60], x[:60])
    rig.commit(force=True)
    rig.feed("pump-1", t[60:110], x[60:110])
    rig.commit()
    rig.crash()
    save(refit("precursor", record(300, 9)), rig.models / "pump.model")
    rig.open()
    scored = rig.feed("pump-1", t[110:], x[110:])
    assert np.isnan(scored.score[:WARM]).all()
    check_replay(rig, "pump-1")


@pytest.mark.parametrize("restart", [False, True])
def test_a_model_that_comes_back_between_two_rows_begins_anew_in_a_replay_as_well(rig: Rig, restart: bool) -> None:
    rig.declare(PUMP, CHANNELS)
    x, t = leaking(), seconds(300)
    rig.feed("pump-1", t[:105], x[:105])
    rig.commit(force=True)
    rig.declare(PUMP, [Channel("flow"), Channel("other")])
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", t[105:200], x[105:200])
    rig.commit()
    if restart:
        rig.crash()
        rig.open()
    rig.feed("pump-1", t[200:], x[200:])
    scores = rig.scores_of("pump-1")
    assert sorted(scores) == [*t[WARM:105].tolist(), *t[105 + WARM :].tolist()]
    _, alone = fitted("precursor").score(fitted("precursor").initial(1), x[None, 105:])
    assert [scores[at][0] for at in t[105 + WARM :].tolist()] == alone.score[0, WARM:].tolist()
    check_replay(rig, "pump-1")


def test_assets_share_a_model_after_a_restart_and_nothing_is_kept_of_one_that_nobody_uses(rig: Rig) -> None:
    for name in ("a", "b", "c"):
        rig.declare(Asset(name, "pump"), CHANNELS)
        rig.feed(name, seconds(50), record(50, 3))
    rig.stop()
    rig.open()
    scorer = rig.runtime.scorer
    assert len({id(member.model) for member in scorer.members}) == 1
    before = scorer.members[0].model
    assert before is not None
    save(refit("precursor", record(500, 33)), rig.models / "asset-b.model")
    rig.runtime.files.look()
    assert scorer.model(before.id) is before
    save(refit("precursor", record(500, 44)), rig.models / "pump.model")
    rig.runtime.files.look()
    assert scorer.model(before.id) is None
    assert len(scorer._listed) == 2
    for name in ("a", "b", "c"):
        rig.feed(name, seconds(50, 50), record(50, 4))
        check_replay(rig, name)


def test_a_broken_model_file_leaves_the_old_one_in_use(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(10), record(10, 5))
    (rig.models / "pump.model").write_bytes(b"half a mod")
    rig.runtime.files._looked = -1e9
    with caplog.at_level(logging.ERROR):
        assert np.isfinite(rig.feed("pump-1", seconds(10, 10), record(10, 5)).score).all()
    assert "pump.model" in caplog.text


def test_a_file_that_could_not_be_read_is_read_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rights that were given since, or a disk that was away, change neither its time nor its size."""

    def fail(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(modelfiles, "AGAIN_S", 0.0)
    write_library(rig.models / "pump.causes.json", none(SENSORS))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        number = rig.declare(PUMP, CHANNELS)
        rig.runtime.files.look()
        assert rig.runtime.files.library(PUMP, SENSORS) is None
    assert rig.runtime.scorer.members[number].model is None
    assert [each.message.partition(":")[0] for each in caplog.records].count("pump.model") == 1, "told once"
    rig.runtime.files.look()
    assert rig.runtime.scorer.members[number].model is not None
    assert rig.runtime.files.library(PUMP, SENSORS) is not None


def test_links_to_nothing_take_no_model_away(rig: Rig) -> None:
    number = rig.declare(PUMP, CHANNELS)
    for name in "abcdefgh":  # in any order of the listing one comes before the model
        (rig.models / f"asset-{name}.model").symlink_to("/nowhere")
        (rig.models / f"{name}.causes.json").symlink_to(f"{name}.causes.json")
    rig.runtime.files.look()
    assert rig.runtime.scorer.members[number].model is not None
    assert list(rig.runtime.files.there) == ["pump.model"]


def test_a_folder_that_cannot_be_read_takes_no_model_away(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    number = rig.declare(PUMP, CHANNELS)
    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", fail)
        for _ in range(3):
            rig.runtime.files.look()
    assert rig.runtime.scorer.members[number].model is not None
    assert [record.message for record in caplog.records] == [
        f"{rig.models}: the folder of models cannot be read: Permission denied"
    ]
    (rig.models / "pump.model").unlink()
    rig.runtime.files.look()
    assert rig.runtime.scorer.members[number].model is None


def test_a_model_of_other_sensors_is_not_used(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        rig.declare(Asset("odd", "pump"), [Channel("a"), Channel("b"), Channel("flow")])
    assert "half" in caplog.text
    assert np.isnan(rig.feed("odd", seconds(5), record(5, 1, 3)).score).all()
    rig.declare(Asset("most", "pump"), CHANNELS[:4])
    scored = rig.feed("most", seconds(50), record(50, 5)[:, :4])
    assert np.isfinite(scored.score[5:]).all()
