"""Readings out of the historian, wide and long; `lab score` gives of them the scores that were given live."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet
from typer.testing import CliRunner, Result

from devices.frame import Asset, Channel
from lab import longtable
from lab.blocks import RowBlock
from lab.cli import build
from lab.episodes import list_episodes
from lab.historian import wide
from lab.historian.base import Batch
from lab.historian.embedded import EmbeddedHistorian
from lab.historian.wide import wide_keys
from lab.learning import lesson
from lab.tables import read_table
from models.detector import load, save
from models.precursor import fit
from tests.lab.scoring_rig import SECOND, START, Rig
from tests.models.plants import LIMITS, SENSORS, record

pytestmark = pytest.mark.usefixtures("english")

PERIOD_S = 60.0
STEP_S = 20.0
ROWS = 900


def lab(*arguments: object) -> Result:
    done = CliRunner().invoke(build(str(arguments[0])), [str(each) for each in arguments])
    assert done.exit_code == 0, done.output
    return done


def channels(clock: str) -> list[Channel]:
    """Those of the plant, with two of role status between them and one that never said anything."""
    found = [Channel(tag) for tag in SENSORS]
    return [*found[:3], Channel("mode", role="status"), *found[3:], Channel(clock, "s", role="status"), Channel("mute")]


@pytest.fixture(params=["plant_s", "seconds"])
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Rig, str]]:
    """A plant with a clock of its own that was read three times a period, scored live, its readings stored."""
    save(fit(record(600, 1), SENSORS, PERIOD_S, limits=LIMITS), tmp_path / "models" / "plant.model")
    rig = Rig(tmp_path)
    clock = request.param
    rig.declare(Asset("plant-1", "plant", clock=clock, period_s=PERIOD_S), channels(clock))
    x = record(ROWS, 5)
    x[300:480, 1] -= 12.0
    x[190:194, 2] = np.nan
    seconds = np.arange(ROWS) * STEP_S
    seconds[600:] -= seconds[600]  # reset
    seconds[700] = np.nan
    seconds[800:] += 40 * PERIOD_S  # the gateway was away
    mode = np.ones(ROWS)
    v = np.column_stack([x[:, :3], mode, x[:, 3:], seconds, np.full(ROWS, np.nan)])
    q = np.where(np.isnan(v), 133, 0).astype(np.uint8)
    q[100:103, 0] = 128  # bad, with its value
    q[110:120, 4] = 64  # uncertain
    t = START + np.arange(ROWS) * SECOND
    rig.feed("plant-1", t, v, q)
    rig.commit(force=True)
    historian = EmbeddedHistorian(rig.store)
    for column, channel in enumerate(rig.assets["plant-1"][1]):
        if channel.tag == "mute":
            continue
        id = historian.ids([f"plant-1/{channel.tag}"])[0]
        historian.write(Batch(np.full(ROWS, id, np.int32), t, v[:, column], q[:, column]))
    score = historian.ids(["plant-1/~score"])[0]
    historian.write(Batch(np.full(1, score, np.int32), t[:1], np.ones(1), np.zeros(1, np.uint8)))
    yield rig, clock
    rig.crash()


@pytest.mark.parametrize("name", ["all.csv", "all.csv.gz", "all.parquet"])
@pytest.mark.parametrize("wide", [False, True])
def test_the_same_scores_as_live(plant: tuple[Rig, str], tmp_path: Path, name: str, wide: bool) -> None:
    rig, clock = plant
    data, out = tmp_path / name, tmp_path / "scores.parquet"
    lab("historian", "export", data, "-s", "plant-1/*", "--data-dir", tmp_path, *(["--wide"] if wide else []))
    told = [] if clock == "plant_s" else ["--clock", clock]
    done = lab("score", "--model", tmp_path / "models" / "plant.model", "--data", data, "-o", out, *told)
    assert f"column '{clock}' is the plant's own clock, 20 s from row to row" in done.output
    scores = parquet.read_table(out)
    assert scores.num_rows == ROWS  # those between the periods too
    score, alarm = scores["score"].to_numpy(), scores["alarm"].to_numpy()
    live = rig.scores_of("plant-1")
    rows = np.flatnonzero(np.isfinite(score))
    found = {START + row * SECOND: (score[row], bool(alarm[row])) for row in rows.tolist()}
    assert found == live
    assert len(live) > 200
    episodes = list_episodes(rig.store, "plant-1")
    assert f"{len(episodes)} episodes" in done.output
    first, last = (int((t - START) // SECOND) for t in (episodes[-1].start, episodes[-1].end or 0))
    assert scores["episode"].to_pylist()[first] == 1
    assert 300 <= first < 330 < 480 < last


def test_a_model_of_what_was_exported(plant: tuple[Rig, str], tmp_path: Path) -> None:
    rig, clock = plant
    data, made = tmp_path / "all.csv", tmp_path / "plant.model"
    lab("historian", "export", data, "-s", "plant-1/*", "--data-dir", tmp_path, "--wide")
    done = lab("fit", "--normal", data, "-o", made, "--period", "60s", "--clock", clock)
    model = load(made).detector
    assert model.period_s == PERIOD_S
    assert model.sensors == SENSORS
    asset, named = rig.assets["plant-1"]
    table = read_table(data)
    runs, _, _ = lesson(asset, named, _block(rig))
    assert f"Learned from {sum(map(len, runs))} rows of 6 sensors, one every 60 s" in done.output
    assert len(table.values) == ROWS


def _block(rig: Rig) -> RowBlock:
    """What the plant sent, as it is kept."""
    asset, named = rig.assets["plant-1"]
    t = START + np.arange(ROWS) * SECOND
    v = np.full((ROWS, len(named)), np.nan)
    for column, channel in enumerate(named):
        for at, (value, quality) in rig.memory.readings[f"{asset.id}/{channel.tag}"].items():
            v[(at - START) // SECOND, column] = value if quality < 128 else np.nan
    return RowBlock(np.zeros(ROWS, np.int32), t, v, np.where(np.isnan(v), 128, 0).astype(np.uint8))


def test_what_a_wide_file_holds(plant: tuple[Rig, str], tmp_path: Path) -> None:
    _, clock = plant
    for name in ("all.csv", "all.parquet"):
        done = lab("historian", "export", tmp_path / name, "--data-dir", tmp_path, "--wide")
        assert done.output == f"{tmp_path / name}: 900 rows of 7 columns beside the time.\n"
    table = arrow_csv.read_csv(tmp_path / "all.csv")
    assert table.column_names == ["time", clock, *SENSORS]
    assert table["time"][0].as_py().isoformat() == "2025-11-24T16:00:00+00:00"
    assert table[SENSORS[0]].null_count == 3
    other = parquet.read_table(tmp_path / "all.parquet")
    assert other.schema.field("time").type == pyarrow.timestamp("ns", tz="UTC")
    for column in (clock, *SENSORS):
        assert table[column].to_pylist() == other[column].to_pylist()


@pytest.mark.parametrize("name", ["all.csv", "all.parquet"])
def test_sensors_with_times_of_their_own(
    plant: tuple[Rig, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A table of all their times would be nearly empty and large: it is written in pieces that are not."""
    rig, _ = plant
    historian = EmbeddedHistorian(rig.store)
    n, sensors = 50, 12
    ids = historian.ids([f"press/s{at}" for at in range(sensors)])
    t = START + np.arange(n * sensors) * SECOND
    historian.write(
        Batch(np.resize(ids, n * sensors), t, np.arange(n * sensors) * 1.5, np.zeros(n * sensors, np.uint8))
    )
    monkeypatch.setattr(longtable, "MOST_CELLS", 100)
    monkeypatch.setattr(wide, "CELLS", 30)
    lab("historian", "export", tmp_path / name, "--wide", "--data-dir", tmp_path, "-s", "press/*")
    monkeypatch.undo()
    table = read_table(tmp_path / name)
    assert table.columns == tuple(f"s{at}" for at in range(sensors))
    assert table.time is not None
    assert table.time.tolist() == t.tolist()
    rows, columns = np.nonzero(np.isfinite(table.values))
    assert columns.tolist() == np.resize(np.arange(sensors), n * sensors).tolist()
    assert table.values[rows, columns].tolist() == (np.arange(n * sensors) * 1.5).tolist()


@pytest.mark.parametrize("layout", [[], ["--wide", "-s", "plant-1/*"]])
def test_a_range_that_is_reversed(plant: tuple[Rig, str], tmp_path: Path, layout: list[str]) -> None:
    arguments = ["historian", "export", str(tmp_path / "all.csv"), "--data-dir", str(tmp_path), *layout]
    done = CliRunner().invoke(build("historian"), [*arguments, "--from", "2026-04-01", "--to", "2026-03-01"])
    assert done.exit_code == 1
    assert "--from has to be before --to" in done.output
    assert not (tmp_path / "all.csv").exists()


def test_a_sensor_called_time(plant: tuple[Rig, str], tmp_path: Path) -> None:
    rig, _ = plant
    historian = EmbeddedHistorian(rig.store)
    ids = historian.ids(["press/time", "press/date", "press/force"])
    t = np.repeat(START + np.arange(3) * SECOND, 3)
    historian.write(Batch(np.resize(ids, 9), t, np.arange(9) * 1.5, np.zeros(9, np.uint8)))
    for name in ("all.csv", "all.parquet"):
        lab("historian", "export", tmp_path / name, "--wide", "--data-dir", tmp_path, "-s", "press/*")
        table = read_table(tmp_path / name)
        assert table.columns == ("time", "date", "force")
        assert table.time is not None
        assert table.time.tolist() == t[::3].tolist()
        assert table.values[:, 1].tolist() == [1.5, 6.0, 10.5]


def test_one_asset_at_a_time(plant: tuple[Rig, str], tmp_path: Path) -> None:
    rig, clock = plant
    historian = EmbeddedHistorian(rig.store)
    id = historian.ids(["press/force"])[0]
    historian.write(Batch(np.full(1, id, np.int32), np.array([START]), np.ones(1), np.zeros(1, np.uint8)))
    arguments = ["historian", "export", str(tmp_path / "all.csv"), "--wide", "--data-dir", str(tmp_path)]
    done = CliRunner().invoke(build("historian"), arguments)
    assert done.exit_code == 1
    assert "one asset, not of 2 (plant-1, press); choose one: -s 'plant-1/*'" in done.output
    lab(*arguments, "-s", "press/*")  # of which the catalogue knows nothing
    assert (tmp_path / "all.csv").read_text() == "time,force\n2025-11-24T16:00:00.000000Z,1\n"
    keys = list(historian.keys())
    assert wide_keys(rig.store.db, keys, "plant-1") == [f"plant-1/{tag}" for tag in (clock, *SENSORS)]
    assert wide_keys(rig.store.db, keys, "nobody") == []
