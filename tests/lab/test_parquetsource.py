"""Tables in Parquet files."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from lab.tables import TableError, read_table
from lab.writing import write_table

pytestmark = pytest.mark.usefixtures("english")

SECOND = 1_000_000_000
MARCH = 1_773_051_240 * SECOND  # 2026-03-09T10:14:00Z


def test_parquet_with_a_text_column_and_a_time_index(tmp_path: Path) -> None:
    stamps = (MARCH + np.arange(3) * SECOND).astype("datetime64[ns]")
    write_table(tmp_path / "t.parquet", ["timestamp", "x", "state"], [stamps, [1, 2, 3], ["on", "on", "off"]])
    with pytest.raises(TableError, match="'state' holds string"):
        read_table(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", ignore=["state"])
    assert table.time is not None
    assert table.time[0] == MARCH
    zipped = tmp_path / "t.parquet.gz"
    zipped.write_bytes(gzip.compress((tmp_path / "t.parquet").read_bytes()))
    np.testing.assert_array_equal(read_table(zipped, ignore=["state"]).values, table.values)


def test_parquet_times_to_the_nanosecond(tmp_path: Path) -> None:
    for zone in (None, "UTC", "Asia/Tokyo"):
        stamps = pyarrow.array(MARCH + np.arange(3) * SECOND + 123, pyarrow.timestamp("ns", tz=zone))
        parquet.write_table(pyarrow.table({"記録時刻": stamps, "x": [1, 2, 3]}), tmp_path / "t.parquet")
        table = read_table(tmp_path / "t.parquet")
        assert table.columns == ("x",)
        assert table.time is not None
        assert table.time[0] == MARCH + 123
        parquet.write_table(pyarrow.table({"time": stamps.take([1, 0]), "x": [1, 2]}), tmp_path / "t.parquet")
        with pytest.raises(TableError, match=r"row 2, column 'time': '2026-03-09 10:14:00.000000123' is earlier"):
            read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("kind", [pyarrow.timestamp("us"), pyarrow.timestamp("s", tz="UTC"), pyarrow.date32()], ids=str)
def test_parquet_times_beyond_what_nanoseconds_hold(tmp_path: Path, kind: pyarrow.DataType) -> None:
    days = pyarrow.array([20_000, 2_932_896], pyarrow.int32()).cast(pyarrow.date32())  # the second is 9999-12-31
    parquet.write_table(pyarrow.table({"time": days.cast(kind), "x": [1, 2]}), tmp_path / "t.parquet")
    with pytest.raises(TableError, match="row 2, column 'time': '9999-12-31"):
        read_table(tmp_path / "t.parquet")
