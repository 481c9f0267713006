"""Model files that cannot be used."""

import io
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from models.detector import ModelError, dumps, load, loads, save, usual
from tests.models.plants import fitted


def put(path: Path, header: object, **arrays: np.ndarray) -> Path:
    content = io.BytesIO()
    np.savez(content, header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), **arrays)
    path.write_bytes(content.getvalue())
    return path


def test_a_newer_format_and_an_unknown_kind_are_named(tmp_path: Path) -> None:
    path = put(tmp_path / "new.model", {"format": 99, "kind": "precursor", "about": {}})
    with pytest.raises(ModelError, match=r"new\.model: format 99.*Update"):
        load(path)
    path = put(tmp_path / "odd.model", {"format": 2, "kind": "oracle", "about": {}})
    with pytest.raises(ModelError, match=r"'oracle'.*precursor"):
        load(path)


def test_a_model_of_an_older_lab_is_to_be_made_anew(tmp_path: Path) -> None:
    path = put(tmp_path / "old.model", {"format": 1, "kind": "precursor", "about": {}})
    with pytest.raises(ModelError, match=r"old\.model: format 1.*older lab.*lab fit"):
        load(path)


def test_a_model_without_its_arrays(tmp_path: Path) -> None:
    path = put(tmp_path / "half.model", {"format": 2, "kind": "precursor", "about": {}}, center=np.zeros(3))
    with pytest.raises(ModelError, match="not a whole precursor model"):
        load(path)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_file_is_said_to_be_one(seed: int) -> None:
    content, rng = bytearray(dumps(fitted("precursor"))), np.random.default_rng(seed)
    at = int(rng.integers(4, len(content) - 40))
    content[at : at + 40] = rng.bytes(40)
    with suppress(ModelError):  # what is damaged may be a comment of the archive
        loads(bytes(content))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    path = put(tmp_path / "evil.model", {"format": 2, "kind": "precursor", "about": {}}, center=np.array([{}]))
    with pytest.raises(ModelError, match="not a whole model file"):
        load(path)


def test_files_and_folders_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load(tmp_path / "none.model")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="cannot be written"):
        save(fitted("precursor"), tmp_path / "file" / "a.model")


def test_usual() -> None:
    nan = np.nan
    a = np.array([[1, 5, nan], [1, 5, 0], [2, 5, nan], [2, nan, nan], [2, nan, 0], [3, nan, nan]])
    b = np.array([[7.0, nan, nan], [2, -1, 0]])
    found = usual([a, b])
    assert found.low.tolist() == [1, -1, 0]
    assert found.high.tolist() == [7, 5, 0]
    assert found.same.tolist() == [3, 3, 1]
    assert found.missing.tolist() == [0, 3, 2]
    assert found.leap.tolist() == [0.5, 6, np.inf]
    switched = np.array([[0.0, 3.0], [1, 3], [0, 3], [nan, 4], [1, 3], [1, 5]])
    assert usual([switched]).leap.tolist() == [1, 1.5]
    twice = usual([a, a])
    assert [array.tolist() for array in twice[:4]] == [[1, 5, 0], [3, 5, 0], [3, 3, 1], [0, 3, 2]]
    spike = np.array([[1.0, nan], [2, 1], [9, 4], [2, nan], [3, 4]])
    assert usual([spike, spike[::-1]]).leap.tolist() == [7, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"scale": np.zeros(6)},
        {"center": np.full(6, np.nan)},
        {"promise": np.array([-1.0, 1.0])},
        {"sensors": np.array(["a"] * 6)},
        {"period_s": np.array(0.0)},
        {"period_s": np.array([1.0, 2.0])},
        {"promise": np.array([1.0])},
        {"moving": np.array([0, 1, 2, 3, 4, 4])},
        {"moving": np.array([0, 1, 2, 3, 4, 6])},
        {"weights": np.zeros(18)},
        {"charts_spread": np.zeros((3, 1, 6))},
        {"charts_tau": np.array([0.0])},
        {"usual_low": np.zeros(5)},
        {"baseline": np.array("x")},
    ],
)
def test_arrays_that_make_no_sense_are_refused(tmp_path: Path, change: dict[str, np.ndarray]) -> None:
    arrays = {**fitted("precursor").arrays(), **change}
    path = put(tmp_path / "odd.model", {"format": 2, "kind": "precursor", "about": {}}, **arrays)
    with pytest.raises(ModelError, match=r"odd\.model: not a whole precursor model"):
        load(path)
