"""The shared data sets, read; they stay outside the repository."""

import csv
import gzip
import json
import os
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def data() -> Path:
    """Folder of the shared data sets: `JISSHO_DATA`, else ../shared/data beside the repository."""
    given = os.environ.get("JISSHO_DATA")
    return Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "data"


class Table(NamedTuple):
    """A CSV file: its first row's names, and the other rows."""

    names: tuple[str, ...]
    rows: list[list[str]]

    def column(self, name: str) -> list[str]:
        at = self.names.index(name)
        return [row[at] for row in self.rows]

    def numbers(self, names: Sequence[str]) -> Floats:
        """(rows, names); an empty cell is NaN."""
        at = [self.names.index(name) for name in names]
        return np.array([[float(row[k]) if row[k] else np.nan for k in at] for row in self.rows])

    def flags(self, name: str) -> Flags:
        return np.array([float(cell) > 0.5 for cell in self.column(name)])


def read(path: Path) -> Table:
    """Read a .csv.gz."""
    with gzip.open(path, "rt", newline="") as file:
        names, *rows = csv.reader(file)
    return Table(tuple(names), rows)


class Sampled(NamedTuple):
    """Sensors with their labels."""

    name: str
    sensors: tuple[str, ...]
    seconds: Floats
    rows: Floats
    truth: Flags
    changes: Flags


@cache
def braatz(name: str) -> Floats:
    """(records, 52) of a Tennessee Eastman file, as `d01_te`."""
    table = read(data() / "tep" / "braatz" / f"{name}.csv.gz")
    return table.numbers(table.names)


@cache
def skab() -> tuple[Sampled, ...]:
    """The labelled files in the order of their names."""
    found = []
    for path in sorted((data() / "skab").glob("*.csv.gz")):
        table = read(path)
        if "anomaly" not in table.names:
            continue
        sensors = tuple(name for name in table.names if name not in ("datetime", "anomaly", "changepoint"))
        seconds = np.array([datetime.fromisoformat(text).timestamp() for text in table.column("datetime")])
        found.append(
            Sampled(
                path.name.removesuffix(".csv.gz"),
                sensors,
                seconds,
                table.numbers(sensors),
                table.flags("anomaly"),
                table.flags("changepoint"),
            )
        )
    return tuple(found)


class Batadal(NamedTuple):
    """One year without attacks, and the record that scores."""

    sensors: tuple[str, ...]
    normal: Floats
    rows: Floats
    truth: Flags


@cache
def batadal() -> Batadal:
    """`train_normal` and `dev_attacks`."""
    normal, attacks = (read(data() / "batadal" / f"{name}.csv.gz") for name in ("train_normal", "dev_attacks"))
    sensors = tuple(name for name in normal.names if name not in ("DATETIME", "ATT_FLAG"))
    return Batadal(sensors, normal.numbers(sensors), attacks.numbers(sensors), attacks.flags("ATT_FLAG"))


def normal_of(plant: str) -> tuple[tuple[str, ...], Floats, float]:
    """Sensors, normal record (rows, S) and period in seconds of BATADAL or SKAB."""
    if plant == "BATADAL":
        return batadal().sensors, batadal().normal, 3600.0
    table = read(data() / "skab" / "anomaly_free.csv.gz")
    sensors = tuple(name for name in table.names if name != "datetime")
    return sensors, table.numbers(sensors), 1.0


class Well(NamedTuple):
    """An instance of 3W."""

    name: str
    event: int
    sensors: tuple[str, ...]
    seconds: Floats
    rows: Floats
    label: NDArray[np.int64]


@cache
def wells(event: int) -> tuple[Well, ...]:
    """All instances of an event type, real ones as `WELL-…`."""
    import pyarrow.parquet as pq

    found = []
    for path in sorted((data() / "3w" / f"class{event}").glob("*.parquet")):
        table = pq.read_table(path)
        sensors = tuple(name for name in table.column_names if name not in ("timestamp", "label"))
        columns = [np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64) for name in sensors]
        times = np.asarray(table["timestamp"].to_numpy(zero_copy_only=False)).astype("datetime64[ns]")
        label = np.asarray(table["label"].to_numpy(zero_copy_only=False)).astype(np.int64)
        seconds = (times - times[0]).astype(np.int64) / 1e9
        found.append(Well(path.stem, event, sensors, seconds, np.column_stack(columns), label))
    return tuple(found)


class Stream(NamedTuple):
    """A NAB stream."""

    values: Floats
    windows: tuple[tuple[int, int], ...]
    """First and last row of each labelled window."""


@cache
def nab(name: str = "realKnownCause__machine_temperature_system_failure") -> Stream:
    """A stream with its windows as rows."""
    table = read(data() / "nab" / f"{name}.csv.gz")
    listed = json.loads((data() / "nab" / "windows.json").read_text())[f"{name}.csv"]
    times = [datetime.fromisoformat(text) for text in table.column("timestamp")]
    at = {time: row for row, time in enumerate(times)}
    windows = tuple((at[datetime.fromisoformat(left)], at[datetime.fromisoformat(right)]) for left, right in listed)
    return Stream(table.numbers(["value"]), windows)
