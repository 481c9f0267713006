"""Libraries of causes in files, and the episodes they are learnt from."""

from pathlib import Path
from threading import Event, Thread
from time import sleep

import numpy as np
import pytest
from typer.testing import CliRunner

from lab.causes import OLDEST, LibraryError, changing, episodes, read_library, tep_causes, write_library
from lab.cli import build
from models.detector import save
from models.precursor import fit
from models.precursor.causes import gather, initial, learn, none
from simulators import tep
from tests.models.plants import SENSORS, record


def test_episodes_are_what_the_detector_saw_from_their_first_row_on() -> None:
    detector = fit(record(600, 1), SENSORS, 1.0)
    runs = np.stack([record(400, seed) for seed in (2, 3, 4)])
    runs[:2, 100:, 1] += 40.0
    runs[1, 300:, 3] -= 100.0
    found = episodes(detector, runs, ["leak", "both", "nothing"], 100, [400, 250, 400])
    assert [one.cause for one in found][:2] == ["leak", "both"]
    leak = found[0]
    assert leak.deviation.shape == (OLDEST, len(SENSORS))
    assert leak.contributions.shape == leak.deviation.shape
    assert leak.deviation[50, 1] > 5.0
    assert np.argmax(leak.contributions[50]) == 1
    assert len(found[1].deviation) <= 150
    library = learn(found[:2], SENSORS)
    assert library.causes == ("leak", "both")


def test_what_is_told_while_the_plants_faults_are_learnt_is_kept(tmp_path: Path) -> None:
    normal = tep.round_records(tep.simulate(30.0, [1], generator="numpy").records[0])
    save(fit(normal, list(tep.COLUMNS), 180.0), tmp_path / "tep.model")
    path = tmp_path / "tep.causes.json"
    state = gather(initial(1, 52), np.ones((1, 80, 52)), np.ones((1, 80, 52)), np.ones((1, 80), dtype=np.bool_))

    def tell(share: float) -> None:
        if share > 0.5 and not path.exists():
            write_library(path, none(tep.COLUMNS).with_example("strainer blocked", state))

    assert tep_causes(tmp_path, runs=1, hours=12.0, progress=tell) == (path, True)
    found = read_library(path)
    assert "idv_1" in found.causes
    assert [found.causes[at] for at in found.of[found.told].tolist()] == ["strainer blocked"]
    assert tep_causes(tmp_path, runs=1, hours=12.0) == (path, False)
    assert tep_causes(tmp_path, runs=1, hours=12.0, force=True) == (path, True)
    assert read_library(path).dumps() == found.dumps()


def test_a_library_that_cannot_be_read_is_not_made_anew_unless_told_to(tmp_path: Path) -> None:
    models = tmp_path / "models"
    normal = tep.round_records(tep.simulate(30.0, [1], generator="numpy").records[0])
    save(fit(normal, list(tep.COLUMNS), 180.0), models / "tep.model")
    path = models / "tep.causes.json"
    path.write_bytes(b'{"causes": ["strainer blocked"')
    done = CliRunner().invoke(build("model"), ["model", "causes", "--data-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert str(path) in done.output
    assert "--force" in done.output
    with pytest.raises(LibraryError, match=r"tep\.causes\.json"):
        tep_causes(models, runs=1, hours=12.0)
    assert path.read_bytes() == b'{"causes": ["strainer blocked"'
    assert tep_causes(models, runs=1, hours=12.0, force=True) == (path, True)
    assert "idv_1" in read_library(path).causes
    assert (models / "tep.causes.json.broken").read_bytes() == b'{"causes": ["strainer blocked"'


def test_processes_wait_for_each_other_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []

    def hold() -> None:
        with changing(tmp_path):
            order.append("first")
            taken.set()
            sleep(0.2)
            order.append("first done")

    taken = Event()
    other = Thread(target=hold)
    other.start()
    taken.wait()
    with changing(tmp_path):
        order.append("second")
        monkeypatch.setattr("lab.running.PATIENCE_S", 0.05)
        with changing(tmp_path):  # whoever holds it may hang
            order.append("third")
    other.join()
    assert order == ["first", "first done", "second", "third"]
    with changing(tmp_path / "not there"):
        order.append("without")
    assert order[-1] == "without"


def test_a_library_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pump.causes.json"
    with pytest.raises(LibraryError, match=r"pump\.causes\.json"):
        read_library(path)
    write_library(path, none(SENSORS))
    assert read_library(path).sensors == SENSORS
    path.write_bytes(b'{"format": 1}')
    with pytest.raises(LibraryError, match=r"pump\.causes\.json"):
        read_library(path)
