"""Tables written: whole or not at all, and the same when they are read."""

from pathlib import Path

import numpy as np
import pytest

from lab.tables import TableError, read_table
from lab.writing import write_table
from lab.zones import iso_times

pytestmark = pytest.mark.usefixtures("english")

SECOND = 1_000_000_000
MARCH = 1_773_051_240 * SECOND  # 2026-03-09T10:14:00Z


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")

    def interrupted(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_table(target, ["a"], [[1.0, 2.0]])
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]
    assert target.read_text() == "before"


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_what_is_written_reads_back_exactly(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(50, 3)) * 10.0 ** rng.integers(-300, 300, (50, 3))
    values[3, 1] = np.nan
    times = MARCH + np.arange(50) * 123_456_000
    write_table(tmp_path / name, ["time", "a", 'b "quoted", é', "c"], [iso_times(times), *values.T])
    table = read_table(tmp_path / name)
    assert table.columns == ("a", 'b "quoted", é', "c")
    np.testing.assert_array_equal(table.values, values)
    assert table.time is not None
    assert (table.time == times).all()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_writing_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="cannot be written"):
        write_table(tmp_path / "no" / "t.csv", ["a"], [[1.0]])
    with pytest.raises(ValueError, match="2 names for 1"):
        write_table(tmp_path / "t.csv", ["a", "b"], [[1.0]])
