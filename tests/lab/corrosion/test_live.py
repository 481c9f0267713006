"""Points of the piping in the collector's scoring: the detector that needs no file, episodes, and live = replay."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from devices import piping
from lab.rescoring import replay_scores
from tests.lab.scoring_rig import SECOND, START, Rig

DAYS = 8
Run = tuple[Rig, tuple[str, ...], NDArray[np.int64]]


def fed(folder: Path) -> Run:
    """A rig that has been given some rainy days of two points, a row a second, stopped in the middle."""
    rig = Rig(folder)
    sensors = piping.Sensors(1, 2)
    for id in sensors.ids:
        rig.declare(piping.asset(id), piping.channels())
    rows = [sensors.row() for _ in range(DAYS * 144)]
    t = START + np.arange(len(rows), dtype=np.int64) * SECOND
    for first in range(0, len(rows), 100):
        if first == 600:
            rig.stop()
            rig.open()
        some = slice(first, first + 100)
        for at, id in enumerate(sensors.ids):
            v = np.stack([row[0][at] for row in rows[some]])
            q = np.stack([row[1][at] for row in rows[some]])
            rig.feed(id, t[some], v, q)
        rig.commit()
    rig.commit(force=True)
    return rig, sensors.ids, t


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fed(tmp_path_factory.mktemp("rig"))


def test_scored_without_a_model_file(run: Run) -> None:
    rig, ids, t = run
    assert not list(rig.models.glob("*")) if rig.models.exists() else True
    for id in ids:
        assert rig.runtime.describe(rig.numbers[id])["limit"] == 1.0
        assert len(rig.scores_of(id)) > 0.9 * len(t)
    names = rig.store.db.execute("SELECT name FROM model").fetchall()
    assert names == [("piping.model",)]


def test_wet_insulation_is_an_episode_as_any_other(
    run: Run,
) -> None:
    rig, ids, _ = run
    opened = {change.episode.asset for change in rig.changes if change.what == "opened"}
    assert opened, "eight days of the rainy season wet a damaged jacket"
    episode = next(change.episode for change in rig.changes if change.episode.asset in ids)
    assert episode.kind == "process"
    assert episode.leading[0][0] in {"jacket_c", "annulus_rh"}


def test_replay_gives_what_was_given_live(
    run: Run,
) -> None:
    rig, ids, t = run
    for id in ids:
        replayed = replay_scores(rig.memory, rig.store, id, START, int(t[-1]) + 1)
        live = rig.scores_of(id)
        again = {
            int(at): float(score) for at, score in zip(replayed.t, replayed.score, strict=True) if np.isfinite(score)
        }
        assert again == pytest.approx({at: score for at, (score, _) in live.items()})
