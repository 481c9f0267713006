"""`lab simulate tep`."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from click.testing import Result
from pyarrow import parquet
from typer.testing import CliRunner

from lab.commands.simulate import register
from lab.text import LANGUAGES, catalogue
from simulators import tep


@pytest.fixture(autouse=True)
def wide_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


def simulate(*arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, ["simulate", "tep", *arguments])


def test_a_run_is_written_as_csv_and_says_what_happened(tmp_path: Path) -> None:
    file = tmp_path / "run.csv"
    result = simulate("--hours", "0.3", "--fault", "6@0.1h", "--seed", "3", "-o", str(file), "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output)
    assert summary == {"file": str(file), "rows": 6, "hours": 0.3, "seed": 3, "trip": None, "trip_h": None}
    assert file.read_text().split("\n", 1)[0] == ",".join(("time_h", *tep.COLUMNS))
    read = np.loadtxt(file, delimiter=",", skiprows=1)
    hours, records = tep.run(0.3, fault=6, fault_at_h=0.1, seed=3, generator="numpy")
    np.testing.assert_allclose(read[:, 0], hours)
    np.testing.assert_array_equal(read[:, 1:], tep.round_records(records))


def test_compressed_csv_and_parquet_hold_the_same(tmp_path: Path) -> None:
    common = ("--hours", "0.1", "--every", "30s", "--digits", "0", "--sensor-fault", "xmeas_9:dropout@1min")
    for name in ("a.csv", "a.csv.gz", "a.parquet"):
        assert simulate(*common, "-o", str(tmp_path / name)).exit_code == 0
    plain = (tmp_path / "a.csv").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == plain
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["time_h", *tep.COLUMNS]
    text = np.genfromtxt(tmp_path / "a.csv", delimiter=",", skip_header=1)
    columns = np.stack([table[name].to_numpy() for name in table.column_names], axis=1)
    np.testing.assert_array_equal(columns, text)
    assert np.isnan(columns[:, 9]).tolist() == [False] * 2 + [True] * 10


def test_everything_that_can_happen_happens(tmp_path: Path) -> None:
    file = tmp_path / "run.csv"
    result = simulate(
        "--hours", "0.2", "--fault", "21@0.1h", "--fault", "x23", "--setpoint", "9=250@3min",
        "--actuator-fault", "xmv_10:stuck@6min", "--sensor-fault", "xmeas_7:bias:10@6min",
        "--no-noise", "--generator", "reference", "--every", "3s", "-o", str(file),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    read = np.loadtxt(file, delimiter=",", skiprows=1)
    assert len(read) == 240
    assert (read[119:, 45] == 61.302).all()
    assert read[118, 45] != 61.302
    assert read[121, 7] - read[118, 7] == pytest.approx(10.0, abs=0.5)


def test_a_trip_is_reported(tmp_path: Path) -> None:
    result = simulate(
        "--hours", "1", "--sensor-fault", "xmeas_9:bias:-60", "--sensor-fault", "xmeas_7:bias:-3000", "--fault", "4",
        "--actuator-fault", "xmv_10:lossofeffect:1", "-o", str(tmp_path / "run.csv"), "--json",
    )  # fmt: skip
    summary = json.loads(result.output)
    assert summary["trip"] in tep.TRIPS[1:]
    assert 0.0 < summary["trip_h"] < 1.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fault", "99@8h"), "99@8h"),
        (("--fault", "six@8h"), "six@8h"),
        (("--fault", "6@soon"), "6@soon"),
        (("--fault", "6@80h"), "6@80h"),
        (("--fault", "x20@1h"), "x20@1h"),
        (("--sensor-fault", "xmeas_9"), "xmeas_9"),
        (("--sensor-fault", "xmeas_99:bias:1"), "xmeas_99"),
        (("--sensor-fault", "xmeas_9:bias:much"), "much"),
        (("--actuator-fault", "xmv_10:slow:0.5@1h"), "factor over 1"),
        (("--setpoint", "12=3"), "12=3"),
        (("--setpoint", "9"), "--setpoint"),
        (("--every", "often"), "often"),
        (("--every", "9h"), "9h"),
        (("--generator", "dice"), "dice"),
        (("--generator", "reference", "--seed", "0"), "--seed"),
        (("--hours", "-1"), "--hours"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = simulate("--hours", "8", "-o", str(tmp_path / "run.csv"), *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "run.csv").exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    for name in ("run.txt", "nowhere/run.csv"):
        result = simulate("--hours", "0.1", "-o", str(tmp_path / name))
        assert result.exit_code == 2
        assert "--output" in result.output
    (tmp_path / "taken.csv").mkdir()
    result = simulate("--hours", "0.1", "-o", str(tmp_path / "taken.csv"))
    assert result.exit_code == 1
    assert "taken.csv" in result.output


def test_every_name_has_a_text_in_both_languages() -> None:
    keys = [f"tag.tep.{v.tag}" for v in tep.VARIABLES]
    keys += [f"idv.tep.{d.idv}" for d in tep.DISTURBANCES] + [f"idv.tep.x{d.idv}" for d in tep.EXTRA_DISTURBANCES]
    keys += [f"trip.tep.{code}" for code in range(len(tep.TRIPS))] + [f"loop.tep.{loop.number}" for loop in tep.LOOPS]
    keys += [f"sensorfault.tep.{kind}" for kind in tep.SENSOR_FAULTS[1:]]
    keys += [f"actuatorfault.tep.{kind}" for kind in tep.ACTUATOR_FAULTS[1:]]
    keys += [f"idvtype.tep.{d.type.split()[0]}" for d in (*tep.DISTURBANCES, *tep.EXTRA_DISTURBANCES)]
    texts = catalogue()
    for key in keys:
        assert all(texts[key][lang] for lang in LANGUAGES), key
    for variable in tep.VARIABLES:
        assert texts[f"tag.tep.{variable.tag}"]["en"] == variable.name
    for loop in tep.LOOPS:
        assert texts[f"loop.tep.{loop.number}"]["en"] == loop.name
