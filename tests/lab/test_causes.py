"""Libraries of causes in files, and the episodes they are learnt from."""

from pathlib import Path

import numpy as np
import pytest

from lab.causes import OLDEST, LibraryError, episodes, read_library, write_library
from models.precursor import fit
from models.precursor.causes import learn, none
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


def test_a_library_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pump.causes.json"
    with pytest.raises(LibraryError, match=r"pump\.causes\.json"):
        read_library(path)
    write_library(path, none(SENSORS))
    assert read_library(path).sensors == SENSORS
    path.write_bytes(b'{"format": 1}')
    with pytest.raises(LibraryError, match=r"pump\.causes\.json"):
        read_library(path)
