"""`lab score` and `lab model`: files in, scores out, by the collector's own scorer."""

import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from typer.testing import CliRunner, Result

from devices.frame import Asset, Channel
from devices.replay import tags
from lab.causes import write_library
from lab.cli import build
from lab.episodes import list_episodes
from lab.fitting import fit_tep, learn, read_limits, renamed, tep_model
from lab.tables import TableError, read_table
from lab.text import language
from lab.writing import write_table
from lab.zones import iso_times
from models.detector import load, save
from models.precursor.causes import Labelled
from models.precursor.causes import learn as learn_causes
from models.precursor.detector import WARM
from simulators import tep
from tests.lab.scoring_rig import SECOND, START, Rig
from tests.models.plants import SENSORS, record

pytestmark = pytest.mark.usefixtures("english")

HEAD = ["time", "score", "alarm", "episode", "kind", "top1", "top2", "top3", "cause", "time_to_limit_s"]


def lab(*arguments: object) -> Result:
    return CliRunner().invoke(build(str(arguments[0])), [str(each) for each in arguments])


def put(path: Path, x: np.ndarray, names: tuple[str, ...] = SENSORS, gap: int | None = None) -> Path:
    t = START + np.arange(len(x)) * SECOND
    if gap is not None:
        t[gap:] += 3600 * SECOND
    write_table(path, ["time", *names], [iso_times(t), *x.T])
    return path


def rows(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]


def leaking() -> np.ndarray:
    x = record(300, 5)
    x[100:160, 1] -= 12.0
    return x


def test_a_leak_in_a_file(tmp_path: Path) -> None:
    normal, data, out = put(tmp_path / "n.csv", record(600, 1)), put(tmp_path / "d.csv", leaking()), tmp_path / "s.csv"
    done = lab("score", "--normal", normal, "--data", data, "-o", out)
    assert done.exit_code == 0, done.output
    assert "Episode 1 (process)" in done.output
    assert "led by pressure" in done.output
    head, *body = rows(out)
    assert head == HEAD
    assert len(body) == 300
    assert body[0][0].startswith("2025-11-24T16:00:00")
    assert all(row[1] == "" for row in body[:WARM])
    assert float(body[WARM][1]) < 1
    alarms = [at for at, row in enumerate(body) if row[2] == "1"]
    assert 100 <= alarms[0] < 110
    assert 160 <= alarms[-1] < 210
    assert all(body[at][3:6] == ["1", "process", "pressure"] for at in alarms[5:50])
    assert all(row[3] == "" and row[4] == "" for row in body[:100])


def test_the_same_scores_as_live(tmp_path: Path) -> None:
    normal, data, out = put(tmp_path / "n.csv", record(600, 1)), put(tmp_path / "d.csv", leaking()), tmp_path / "s.csv"
    model = tmp_path / "models" / "pump.model"
    assert lab("fit", "--normal", normal, "-o", model).exit_code == 0
    assert lab("score", "--model", model, "--data", data, "-o", out).exit_code == 0
    rig = Rig(tmp_path)
    rig.declare(Asset("pump-1", "pump"), [Channel(tag) for tag in SENSORS])
    table = read_table(data)
    assert table.time is not None
    for at, row in zip(table.time, table.values, strict=True):
        rig.feed("pump-1", [int(at)], row[None])
    offline = {START + at * SECOND: float(row[1]) for at, row in enumerate(rows(out)[1:]) if row[1]}
    assert offline == {t: score for t, (score, _) in rig.scores_of("pump-1").items()}
    (change,) = [change for change in rig.changes if change.what == "closed"]
    begin = [at for at, row in enumerate(rows(out)[1:]) if row[3] == "1"][0]  # noqa: RUF015
    assert change.episode.start == START + begin * SECOND
    rig.crash()


def test_several_normal_files_other_columns_and_formats(tmp_path: Path) -> None:
    first = put(tmp_path / "a.csv.gz", record(300, 1))
    second = tmp_path / "b.parquet"
    x = record(300, 2)
    write_table(second, [*reversed(SENSORS), "label", "note"], [*x.T[::-1], np.zeros(300), ["fine"] * 300])
    data = tmp_path / "d.csv"
    write_table(data, ["other", *SENSORS[1:]], [np.zeros(300), *leaking().T[1:]])
    out = tmp_path / "s.parquet"
    done = lab("score", "--normal", first, "--normal", second, "--data", data, "--ignore", "note", "-o", out, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["rows"] == 300
    assert told["missing_sensors"] == ["flow"]
    (episode,) = told["episodes"]
    assert 100 < episode["from_row"] <= 112
    assert episode["leading"][0][0] == "pressure"
    assert told["alarm_rows"] == episode["to_row"] - episode["from_row"] + 1
    table = read_table(out, ignore=["episode", "kind", "top1", "top2", "top3", "cause", "time_to_limit_s"])
    assert table.columns == ("score", "alarm")
    assert table.time is not None
    assert table.elapsed


def test_a_gap_ends_an_episode_and_begins_anew(tmp_path: Path) -> None:
    x = leaking()
    data = put(tmp_path / "d.csv", x, gap=130)
    out = tmp_path / "s.csv"
    done = lab("score", "--normal", put(tmp_path / "n.csv", record(600, 1)), "--data", data, "-o", out)
    assert done.exit_code == 0
    body = rows(out)[1:]
    assert {row[3] for row in body[110:130]} == {"1"}
    assert body[130][1:4] == ["", "0", ""]
    assert body[140][3] == "2"


def test_columns_of_a_parquet_file_have_types(tmp_path: Path) -> None:
    limits = tmp_path / "limits.csv"
    limits.write_text("sensor,low,high\npressure,30,\n")
    normal, command = put(tmp_path / "n.csv", record(600, 1)), ("score", "--limits", limits, "--normal")
    for x, episodes in ((leaking(), {None, 1}), (record(60, 2), {None})):
        data = put(tmp_path / "d.csv", x)
        for out in ("s.csv", "s.parquet"):
            assert lab(*command, normal, "--data", data, "-o", tmp_path / out).exit_code == 0
        table = parquet.read_table(tmp_path / "s.parquet")
        assert [str(table.schema.field(name).type) for name in ("episode", "time_to_limit_s")] == ["int64", "double"]
        assert set(table["episode"].to_pylist()) == episodes
        told = [[row[3], row[9]] for row in rows(tmp_path / "s.csv")[1:]]
        columns = zip(table["episode"].to_pylist(), table["time_to_limit_s"].to_pylist(), strict=True)
        assert [["" if each is None else str(each) for each in row] for row in columns] == told


@pytest.mark.parametrize(
    ("count", "step", "code", "words"),
    [
        (60, 1, 0, [f"{60 - WARM} of 60 rows have a score"]),
        (60, 2, 0, [f"{60 - WARM} of 60 rows", "Warning", "2 s apart", "1 s"]),
        (60, 60, 1, ["0 of 60 rows", "60 s apart", "1 s", "5 s apart counts as a gap"]),
        (1, 1, 1, ["0 of 1 rows", "too short"]),
    ],
)
def test_rows_without_a_score_are_told(tmp_path: Path, count: int, step: int, code: int, words: list[str]) -> None:
    normal, data, out = put(tmp_path / "n.csv", record(600, 1)), tmp_path / "d.csv", tmp_path / "s.csv"
    write_table(data, ["time", *SENSORS], [iso_times(START + np.arange(count) * step * SECOND), *record(count, 2).T])
    assert lab("fit", "--normal", normal, "-o", tmp_path / "m.model").exit_code == 0
    command = ("score", "--model", tmp_path / "m.model", "--data", data, "-o", out)
    done = lab(*command)
    assert done.exit_code == code, done.output
    for word in words:
        assert word in done.output
    assert ("Warning" in done.output) == (step > 1)
    assert json.loads(lab(*command, "--json").stdout)["scored_rows"] == (0 if code else count - WARM)


def test_gaps_and_missing_values_that_leave_no_score_are_told(tmp_path: Path) -> None:
    normal, data, out = put(tmp_path / "n.csv", record(600, 1)), tmp_path / "d.csv", tmp_path / "s.csv"
    model = tmp_path / "m.model"
    assert lab("fit", "--normal", normal, "-o", model).exit_code == 0
    x, even = record(40, 2), START + np.arange(40) * SECOND
    holes = np.where(np.arange(40)[:, None] % 2, x, np.nan)
    for values, word in ((holes, "fewer missing values"), (x * np.nan, "no sensor of the model has a value")):
        put(data, values)
        done = lab("score", "--model", model, "--data", data, "-o", out)
        assert done.exit_code == 1
        assert word in done.output
    write_table(data, ["time", *SENSORS], [iso_times(even + np.arange(40) // 3 * 60 * SECOND), *x.T])
    done = lab("score", "--model", model, "--data", data, "-o", out)
    assert done.exit_code == 1
    assert f"gaps of more than 5 s cut it into stretches of {WARM} rows or less" in done.output


@pytest.mark.parametrize(("period", "step"), [("180s", 180.0), ("3min", 180.0), ("0.5 h", 1800.0), ("250ms", 0.25)])
def test_time_of_rows_without_a_time_column(tmp_path: Path, period: str, step: float) -> None:
    for name, x in (("n.csv", record(300, 1)), ("d.csv", record(60, 2))):
        write_table(tmp_path / name, SENSORS, list(x.T))
    out = tmp_path / "s.csv"
    done = lab("score", "--normal", tmp_path / "n.csv", "--data", tmp_path / "d.csv", "--period", period, "-o", out)
    assert done.exit_code == 0
    assert [float(row[0]) for row in rows(out)[1:4]] == [0.0, step, 2 * step]


def test_an_output_of_another_kind_or_over_an_input_is_refused(tmp_path: Path) -> None:
    normal, data = put(tmp_path / "n.csv", record(60, 1)), put(tmp_path / "d.csv", record(60, 2))
    before = data.read_bytes()
    for output in (tmp_path / "s.xlsx", data, normal, tmp_path / "x" / ".." / "d.csv"):
        done = lab("score", "--normal", normal, "--data", data, "-o", output)
        assert done.exit_code == 2, done.output
    assert lab("fit", "--normal", normal, "-o", normal).exit_code == 2
    assert data.read_bytes() == before


def test_the_plants_model_from_too_little(tmp_path: Path) -> None:
    done = lab("model", "tep", "--data-dir", tmp_path, "--hours", 1, "--plants", 1)
    assert done.exit_code == 1
    assert "rows" in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)


def test_wrong_arguments(tmp_path: Path) -> None:
    data = put(tmp_path / "d.csv", record(60, 1))
    out = tmp_path / "s.csv"
    assert lab("score", "--data", data, "-o", out).exit_code == 2
    assert lab("score", "--data", data, "--normal", data, "--model", data, "-o", out).exit_code == 2
    assert lab("score", "--data", data, "--normal", data, "--period", "soon", "-o", out).exit_code == 2
    for arguments, word in (
        (("--normal", tmp_path / "none.csv", "--data", data), "no such file"),
        (("--model", put(tmp_path / "m.csv", record(60, 1)), "--data", data), "not a model file"),
        (("--normal", put(tmp_path / "few.csv", record(20, 1)), "--data", data), "at least 50"),
        (("--normal", put(tmp_path / "o.csv", record(60, 1), tuple("uvwxyz")), "--data", data), "lacks most"),
    ):
        done = lab("score", *arguments, "-o", out)
        assert done.exit_code == 1
        assert word in done.output
    assert not out.exists()
    done = lab("fit", "--normal", data, "--normal", tmp_path / "o.csv", "-o", tmp_path / "s.model")
    assert done.exit_code == 1
    assert "no column" in done.output


def test_fit_says_what_it_learned_and_what_it_can_promise(tmp_path: Path) -> None:
    one, two = put(tmp_path / "a.csv", record(400, 1)), put(tmp_path / "b.csv", record(400, 2))
    limits = tmp_path / "limits.csv"
    limits.write_text("sensor,low,high\npressure,35,\nnowhere,,1\nlevel,,0.3\n")
    first, second = tmp_path / "1.model", tmp_path / "2.model"
    done = lab("fit", "--normal", one, two, "-o", first, "--limits", limits)
    assert done.exit_code == 0, done.output
    assert "800 rows of 6 sensors" in done.output
    assert "foretold for: pressure." in done.output
    assert "left out: nowhere" in done.output
    assert "(is the unit the same?): level 0.3" in done.output
    kept = getattr(load(first).detector, "kept")  # noqa: B009
    assert kept > 1
    assert f"can promise {kept:.3g}" in done.output
    assert lab("fit", "--normal", one, "--normal", two, "-o", second, "--limits", limits).exit_code == 0
    done = lab("score", "--normal", one, "--data", two, "-o", tmp_path / "s.csv", "--limits", limits)
    assert "no such sensor in the model, left out: nowhere" in done.output
    assert "(is the unit the same?): level 0.3" in done.output
    assert first.read_bytes() == second.read_bytes()
    long = put(tmp_path / "c.csv", record(20_000, 3))
    easy = lab("fit", "--normal", long, "-o", second, "--false-alarms-per-month", 1e4)
    assert "too short" not in easy.output, easy.output
    assert lab("fit", "--normal", one, "-o", second, "--false-alarms-per-month", 0).exit_code == 2


@pytest.mark.parametrize("slower", [2, 10])
def test_normal_files_of_different_periods_are_warned_of(tmp_path: Path, slower: int) -> None:
    one, two, out = put(tmp_path / "a.csv", record(400, 1)), tmp_path / "b.csv", tmp_path / "s.csv"
    t = iso_times(START + np.arange(400) * slower * SECOND)
    write_table(two, ["time", *SENSORS], [t, *record(400, 2).T])
    for arguments in (("fit", "-o", tmp_path / "m.model"), ("score", "--data", one, "-o", out)):
        done = lab(*arguments, "--normal", one, two)
        assert done.exit_code == 0, done.output
        assert f"the rows of {two} are {slower} s apart, the model's period is 1 s" in done.output
        assert f"the rows of {one}" not in done.output
        assert ("next to nothing" in done.output) == (slower > 5)


def test_limits_as_written_in_japan(tmp_path: Path) -> None:
    file = tmp_path / "limits.csv"
    file.write_bytes("センサー,下限,上限\n圧力,－,３０００\n温度,10,\n".encode("cp932"))
    assert read_limits(file) == {"圧力": (None, 3000.0), "温度": (10.0, None)}


def test_a_missing_model_is_named_in_the_users_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_LANG", "ja")
    language.cache_clear()
    missing, data = tmp_path / "none.model", put(tmp_path / "d.csv", record(100, 1))
    for command in (("score", "--data", data, "-o", tmp_path / "s.csv", "--model"), ("model", "show")):
        done = lab(*command, missing)
        assert done.exit_code == 1
        assert "none.model：ファイルがありません" in done.output
    language.cache_clear()


def test_fit_names_the_sensors_that_make_a_record_short(tmp_path: Path) -> None:
    x = record(3000, 1)
    x[1200:, 2] = np.nan
    x[np.arange(3000) % 10 > 0, 3] = np.nan  # a value now and then is no gap
    done = lab("fit", "--normal", put(tmp_path / "n.csv", x), "-o", tmp_path / "m.model")
    assert f"some 1200 rows: {SENSORS[2]}. Leave" in done.output, done.output
    done = lab("fit", "--normal", put(tmp_path / "n.csv", record(3000, 1)), "-o", tmp_path / "m.model")
    assert "shortest time" not in done.output


def test_fit_says_what_it_leaves_out(tmp_path: Path) -> None:
    one, two, model = tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "m.model"
    for path, seed, head in ((one, 1, "old"), (two, 2, "new")):
        x = record(400, seed)
        t = iso_times(START + np.arange(400) * SECOND)
        rising = 0.1 * np.arange(400) + 3
        names = ["time", "No.", "elapsed", "spare", "tag", head, *SENSORS]
        write_table(path, names, [t, np.arange(1, 401), rising, np.full(400, np.nan), ["a"] * 400, x[:, 0], *x.T])
    done = lab("fit", "--normal", one, two, "-o", model, "--ignore", "tag,tga")
    assert done.exit_code == 0, done.output
    assert "800 rows of 6 sensors" in done.output
    assert "Not in all files, left out: old, new\n" in done.output
    assert "left out: No., elapsed\n" in done.output
    assert "Without any value, left out: spare\n" in done.output
    assert "--ignore: no file has these columns: tga;" in done.output
    assert load(model).detector.sensors == SENSORS
    scored = lab("score", "--model", model, "--data", one, "-o", tmp_path / "s.csv", "--ignore", "tag,tga")
    assert "--ignore: no file has these columns: tga;" in scored.output


def test_what_counts_in_one_file_only_is_a_sensor(tmp_path: Path) -> None:
    x, even = record(400, 1), record(400, 2)
    even[:, 3] = np.arange(400)
    model = tmp_path / "m.model"
    done = lab("fit", "--normal", put(tmp_path / "a.csv", x), put(tmp_path / "b.csv", even), "-o", model)
    assert "6 sensors" in done.output
    assert "constant step" not in done.output
    done = lab("fit", "--normal", put(tmp_path / "c.csv", np.arange(100.0)[:, None], ("No.",)), "-o", model)
    assert done.exit_code == 1
    assert "row numbers" in done.output


def test_a_meter_is_told_as_one_and_scored_by_its_rise(tmp_path: Path) -> None:
    def metered(path: Path, rows: int, seed: int, step: float) -> Path:
        x = record(rows, seed)
        meter = 5e5 + np.cumsum(np.maximum(x[:, 0], 0.0)) + step * np.maximum(np.arange(rows) - 1000, 0)
        return put(path, np.concatenate([x, np.round(meter, 2)[:, None]], axis=1), [*SENSORS, "積算"])

    normal, out = metered(tmp_path / "n.csv", 600, 1, 0.0), tmp_path / "s.csv"
    done = lab("fit", "--normal", normal, "-o", tmp_path / "m.model")
    assert "judged by how much they rise from row to row: 積算" in done.output
    for step in (0.0, 5.0):
        data = metered(tmp_path / "d.csv", 8000, 2, step)
        assert lab("score", "--model", tmp_path / "m.model", "--data", data, "-o", out).exit_code == 0
        alarms = [at for at, row in enumerate(rows(out)[1:]) if row[2] == "1"]
        assert (len(alarms) > 6900, min(alarms, default=8000) > 1000) == (step > 0, True)


def test_a_name_that_another_sensor_has_is_not_given_twice(tmp_path: Path) -> None:
    model = tmp_path / "two.model"
    save(learn([record(200, 1)[:, :2]], ["Volume_Flow", "Volume Flow"], 60.0), model)
    assert renamed(load(model), {"Volume_Flow": "Volume Flow"}).detector.sensors == ("Volume_Flow", "Volume Flow")
    data = put(tmp_path / "d.csv", record(100, 2)[:, :1], ("Volume Flow",))
    assert lab("score", "--model", model, "--data", data, "-o", tmp_path / "s.csv").exit_code == 0


def test_a_model_learned_from_a_stream_of_the_file_scores_the_file(tmp_path: Path) -> None:
    headers = ("流量", "圧力 (kPa)", "temperature", "level", "valve", "current")
    data = put(tmp_path / "d.csv", leaking(), headers)
    tagged, told = tags(headers), []
    model = tmp_path / "m.model"
    save(learn([record(600, 1)], tagged, 1.0, limits={tagged[1]: (30.0, 90.0)}), model)
    for names in (tagged, headers):
        save(renamed(load(model), dict(zip(tagged, names, strict=True))).detector, model)
        labelled = [Labelled("leak", np.full((90, 6), -3.0), np.full((90, 6), 0.5))]
        write_library(tmp_path / "m.causes.json", learn_causes(labelled, names))
        done = lab("score", "--model", model, "--data", data, "-o", tmp_path / "s.csv")
        assert done.exit_code == 0, done.output
        assert "led by 圧力 (kPa)" in done.output
        told.append((done.output, (tmp_path / "s.csv").read_bytes()))
    assert told[0][1].count("圧力".encode()) > 50
    assert told[0] == told[1]
    (tmp_path / "apart").mkdir()
    write_library(tmp_path / "apart" / "m.causes.json", learn_causes(labelled, tagged))
    for judge in (("--model", model), ("--normal", put(tmp_path / "n.csv", record(600, 1), headers))):
        named = ("score", *judge, "--causes", tmp_path / "apart" / "m.causes.json", "--data", data)
        done = lab(*named, "-o", tmp_path / "named.csv")
        assert "has less than half" not in done.output
        assert "like: leak" in done.output, "the library of a stream too, named as it is or found"
    assert (tmp_path / "named.csv").read_bytes().count(b",leak,") == told[0][1].count(b",leak,")
    write_library(tmp_path / "apart" / "m.causes.json", learn_causes(labelled, tuple("abcdef")))
    assert "has less than half" in lab(*named, "-o", tmp_path / "named.csv").output


def test_a_period_is_never_made_up(tmp_path: Path) -> None:
    normal, data, model, out = (tmp_path / name for name in ("n.csv", "d.csv", "m.model", "s.csv"))
    write_table(normal, SENSORS, list(record(300, 1).T))
    write_table(data, SENSORS, list(record(60, 2).T))
    for command in (
        ("fit", "--normal", normal, "-o", model),
        ("score", "--normal", normal, "--data", data, "-o", out),
    ):
        done = lab(*command)
        assert done.exit_code == 1
        assert "n.csv: no time column" in done.output
        assert "--period" in done.output
    assert not model.exists()
    assert lab("fit", "--normal", normal, "-o", model, "--period", "3min").exit_code == 0
    assert lab("score", "--model", model, "--data", data, "-o", out).exit_code == 0
    assert lab("score", "--normal", normal, "--data", put(data, record(60, 2)), "-o", out).exit_code == 0


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("sensor,high\npressure,3\n", "line 1: .*sensor, low, high"),
        ("sensor,low,high\npressure,,x\n", "line 2, column 'high'"),
        ("sensor,low,high\npressure,5,3\n", "line 2: column sensor: pressure"),
        ("sensor,low,high\npressure,1\n", "line 2"),
        ("\nsensor,low,high\n\npressure,,1_000\n", "line 4, column 'high': '1_000'"),
        ("sensor;low;high\npressure;;1,060\n", "line 2, column 'high': '1,060' may have"),
        ("sensor,low,high\npressure,1.5,inf\n", "line 2, column 'high': 'inf'"),
        ("", "empty"),
    ],
)
def test_limits_that_cannot_be_used(tmp_path: Path, content: str, match: str) -> None:
    limits = tmp_path / "limits.csv"
    limits.write_text(content)
    with pytest.raises(TableError, match=match) as caught:
        read_limits(limits)
    assert "--ignore" not in str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp932"])
def test_limits_are_read_as_data_are(tmp_path: Path, delimiter: str, encoding: str) -> None:
    limits, lines = tmp_path / "limits.csv", ["sensor;low;high", "圧力;;６０", '速度;"1,007";"1,234.5"', ";;", ""]
    limits.write_bytes("\r\n".join(lines).replace(";", delimiter).encode(encoding))
    assert read_limits(limits) == {"圧力": (None, 60.0), "速度": (1007.0, 1234.5)}


def test_the_time_to_a_limit_and_the_cause_of_each_row(tmp_path: Path) -> None:
    x = record(400, 5)
    x[100:, 1] -= np.minimum(0.1 * np.arange(300), 25.0)
    x[380:] = record(20, 6)
    normal, data, out = put(tmp_path / "n.csv", record(2000, 1)), put(tmp_path / "d.csv", x), tmp_path / "s.csv"
    limits = tmp_path / "limits.csv"
    limits.write_text("sensor,low,high\npressure,38,\n")
    assert lab("fit", "--normal", normal, "-o", tmp_path / "m.model", "--limits", limits).exit_code == 0
    detector = load(tmp_path / "m.model").detector
    seen = detector.score(detector.initial(1), x[None])[1]
    labelled = [Labelled("leak", seen.deviation[0, 150:380].astype(float), seen.contributions[0, 150:380])]
    write_library(tmp_path / "m.causes.json", learn_causes(labelled, SENSORS))
    done = lab("score", "--model", tmp_path / "m.model", "--data", data, "-o", out)
    assert done.exit_code == 0, done.output
    assert "like: leak" in done.output
    head, *body = rows(out)
    assert head == HEAD
    until = np.array([float(row[-1] or "nan") for row in body])
    alarm = np.array([row[2] == "1" for row in body])
    assert np.isnan(until[~alarm]).all()
    assert np.isfinite(until[300:350]).any()
    assert {row[8] for row, on in zip(body, alarm, strict=True) if on} <= {"leak", "unknown"}
    assert {row[8] for row, on in zip(body, alarm, strict=True) if not on} == {""}
    # the same of a part of the file: nothing is known before its time
    assert lab("score", "--model", tmp_path / "m.model", "--data", put(data, x[:320]), "-o", out).exit_code == 0
    assert [row[2:3] + row[8:] for row in rows(out)[1:]] == [row[2:3] + row[8:] for row in body[:320]]


def test_a_stream_with_fewer_digits_is_noted(tmp_path: Path) -> None:
    normal, model, out = put(tmp_path / "n.csv", record(600, 1)), tmp_path / "m.model", tmp_path / "s.csv"
    assert lab("fit", "--normal", normal, "-o", model).exit_code == 0
    coarse, fine = put(tmp_path / "c.csv", np.round(record(200, 2), 1)), put(tmp_path / "f.csv", record(200, 2))
    assert "fewer digits" in lab("score", "--model", model, "--data", coarse, "-o", out).output
    assert "fewer digits" not in lab("score", "--model", model, "--data", fine, "-o", out).output
    assert "fewer digits" not in lab("score", "--normal", normal, "--data", coarse, "-o", out).output


def test_an_instrument_is_named_with_its_fault(tmp_path: Path) -> None:
    x = record(300, 5)
    x[150, 3] += 200.0
    normal, data, out = put(tmp_path / "n.csv", record(600, 1)), put(tmp_path / "d.csv", x), tmp_path / "s.csv"
    done = lab("score", "--normal", normal, "--data", data, "-o", out)
    assert "instrument: level, spikes" in done.output
    named = {tuple(row[4:5] + row[8:9]) for row in rows(out)[1:] if row[3]}
    assert named == {("instrument", "level spiking")}


def test_instruments_that_failed_are_told_whatever_the_episodes_say(tmp_path: Path) -> None:
    x = record(700, 5)
    x[[150, 400], 3] += 200.0
    x[500:, 0] += 20.0
    x[500:, 3] = x[499, 3]
    times = np.concatenate([np.arange(300), np.arange(360, 760)])  # a gap in which nothing is forgotten
    data = tmp_path / "run.csv"
    body = "\n".join(",".join(map(str, [t, *row])) for t, row in zip(times.tolist(), x.tolist(), strict=True))
    data.write_text(f"time_s,{','.join(SENSORS)}\n{body}\n", encoding="utf-8")
    told = lab("score", "--normal", put(tmp_path / "n.csv", record(600, 1)), "--data", data, "-o", tmp_path / "s.csv")
    assert told.exit_code == 0, told.output
    assert "Instrument: level, spikes, 2 times (rows 151 to 401)" in told.output
    assert "Instrument: level, frozen, once (rows 500 to 700)" in told.output


def test_a_sensor_that_failed_without_an_alarm_is_in_the_file_too(tmp_path: Path) -> None:
    def apart(count: int, seed: int) -> np.ndarray:
        return np.column_stack([record(count, seed)[:, :5], np.random.default_rng(seed).normal(size=count)])

    normal, x = put(tmp_path / "normal.csv", apart(600, 1)), apart(600, 5)
    x[100:, 5] = 0.5
    x[300:360, 0] += 20.0
    out = tmp_path / "scores.csv"
    told = lab("score", "--normal", normal, "--data", put(tmp_path / "run.csv", x), "-o", out, "--period", "1s")
    assert told.exit_code == 0, told.output
    assert "Episode 1 (instrument): rows 112 to 300" in told.output
    assert "current, frozen" in told.output
    assert " 0%" not in told.output, "what has no share leads nothing"
    scored = rows(out)[1:]
    assert {(row[2], row[4]) for row in scored[:111]} == {("0", "")}
    assert {(row[2], row[3], row[4], row[8]) for row in scored[111:300]} == {("0", "1", "instrument", "current frozen")}
    assert {(row[2], row[4], row[8]) for row in scored[300:360]} == {("1", "process", "current frozen")}
    assert "check first: current, frozen" in told.output
    assert {(row[2], row[4]) for row in scored[-100:]} == {("0", "instrument")}


def test_what_a_controller_acts_on_is_told(tmp_path: Path) -> None:
    def apart(count: int, seed: int) -> np.ndarray:
        return np.column_stack([record(count, seed)[:, :5], np.random.default_rng(seed).normal(size=count)])

    normal, x, out = put(tmp_path / "normal.csv", apart(600, 1)), apart(400, 5), tmp_path / "scores.csv"
    x[100:, 5] = 0.5
    x[300:, 0] += 20.0
    command = ("score", "--normal", normal, "--data", put(tmp_path / "run.csv", x), "-o", out, "--period", "1s")
    told = lab(*command, "--controlled", "level, current")
    assert told.exit_code == 0, told.output
    assert "the plant moves with it: flow" in told.output
    assert {(row[2], row[4], row[8]) for row in rows(out)[301:]} == {("1", "instrument", "current frozen")}
    for wrong, more in (("level,curent", ()), ("current", ("--ignore", "current")), ("level,xmv_1", ())):
        told = lab(*command, "--controlled", wrong, *more)
        assert told.exit_code == 1
        assert "run.csv: --controlled" in told.output
        assert wrong.split(",")[-1] in told.output
        assert "record" not in told.output, "before anything is learned"


def test_a_plant_that_moves_with_a_failed_sensor_is_told_with_it(tmp_path: Path) -> None:
    normal, x = put(tmp_path / "normal.csv", record(600, 1)), record(400, 5)
    x[150:, 3] = x[149, 3]
    x[250:, 0] += 30.0
    out, run = tmp_path / "scores.csv", put(tmp_path / "run.csv", x)
    told = lab("score", "--normal", normal, "--data", run, "-o", out, "--period", "1s")
    assert told.exit_code == 0, told.output
    assert "instrument: level, frozen" in told.output
    assert "the plant moves with it: flow" in told.output
    assert {(row[2], row[4], row[8]) for row in rows(out)[-100:]} == {("1", "instrument", "level frozen")}
    told = lab("score", "--normal", normal, "--data", run, "-o", out, "--period", "1s", "--json")
    assert json.loads(told.stdout)["episodes"][-1]["upset"] == ["flow"]


def test_showing_a_model(tmp_path: Path) -> None:
    model = tmp_path / "pump.model"
    assert lab("fit", "--normal", put(tmp_path / "n.csv", record(300, 1)), "-o", model).exit_code == 0
    done = lab("model", "show", model)
    assert done.exit_code == 0
    assert "precursor" in done.output
    assert "pressure" in done.output
    told = json.loads(lab("model", "show", model, "--json").stdout)
    assert told["sensors"] == list(SENSORS)
    assert (told["about"]["rows"], told["about"]["files"]) == (300, ["n.csv"])
    assert told["period_s"] == 1.0
    assert lab("model", "show", tmp_path / "none.model").exit_code == 1


def test_the_plants_model_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DATA_DIR", str(tmp_path))
    few = ("--hours", 1, "--plants", 8)
    done = lab("model", "tep", *few)
    assert done.exit_code == 0, done.output
    path = tmp_path / "models" / "tep.model"
    first = load(path)
    assert first.detector.sensors == tuple(tep.COLUMNS)
    assert first.detector.period_s == 180.0
    shares: list[float] = []
    assert tep_model(tmp_path / "models", hours=1, plants=8, progress=shares.append) == (path, False)
    assert not shares
    assert tep_model(tmp_path / "models", hours=1, plants=8, force=True, progress=shares.append) == (path, True)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert load(path).id == first.id
    assert tep_model(tmp_path / "models", hours=1, plants=9)[1]
    path.write_bytes(b"spoiled")
    assert tep_model(tmp_path / "models", hours=1, plants=8)[1]
    assert load(path).id == first.id


def test_published_fault_1(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "tep" / "braatz"
    arguments = ("score", "--normal", folder / "d00.csv.gz", "--period", "180s", "--json", "-o", tmp_path / "s.csv")
    told = json.loads(lab(*arguments, "--data", folder / "d01_te.csv.gz").stdout)
    (episode,) = told["episodes"]
    assert 161 < episode["from_row"] <= 172
    assert episode["to_row"] == 960
    told = json.loads(lab(*arguments, "--data", folder / "d00_te.csv.gz").stdout)
    assert told["episodes"] == []


def test_a_rig_learned_from_its_first_rows(shared: Path, tmp_path: Path) -> None:
    table = read_table(shared / "data" / "skab" / "valve1_00.csv.gz", ignore=["anomaly", "changepoint"])
    assert table.time is not None
    rig = Rig(tmp_path)
    rig.declare(Asset("rig", "csv", learn_rows=400), [Channel(name.replace(" ", "_")) for name in table.columns])
    rig.feed("rig", table.time[:400], table.values[:400])
    learner = rig.runtime.learning.learners[0]
    assert learner.result is not None
    learner.result.result()
    rig.feed("rig", table.time[400:], table.values[400:])
    rig.commit()
    anomaly = read_table(shared / "data" / "skab" / "valve1_00.csv.gz").values[:, -2] > 0
    begin, end = (int(table.time[at]) for at in np.flatnonzero(anomaly)[[0, -1]])
    assert any(begin < episode.start < end for episode in list_episodes(rig.store))
    rig.crash()


@pytest.mark.slow
def test_faults_of_the_simulated_plant_are_found_early_and_named(tmp_path: Path) -> None:
    detector = fit_tep()
    save(detector, tmp_path / "tep.model")
    faults = [6, 1, 4]
    _, records = tep.run_many(14, [1, 2, 3], faults)
    _, result = detector.score(detector.initial(3), tep.round_records(records, 5))
    leading = {6: {"xmeas_1", "xmv_3"}, 1: {"xmeas_16", "xmeas_20", "xmeas_1", "xmv_3"}, 4: {"xmv_10", "xmeas_9"}}
    for plant, fault in enumerate(faults):
        assert not result.alarm[plant, :160].any()
        first = int(result.alarm[plant].argmax())
        assert 160 <= first <= 172
        share = result.contributions[plant, first : first + 5].mean(axis=0)
        assert tep.COLUMNS[int(share.argmax())] in leading[fault]
    _, normal = tep.run_many(48, list(range(100, 108)))
    _, result = detector.score(detector.initial(8), tep.round_records(normal, 5))
    assert (np.diff(result.alarm.astype(int), axis=1) > 0).sum() <= 1


def test_fit_names_the_wild_readings_it_leaves_out(tmp_path: Path) -> None:
    x, file = record(400, 1), tmp_path / "n.csv"
    x[::60, 1] = 9999.0  # so often it is no error
    x[200:203, 2] = -999.0
    x[300, 3:] = 0.0, 1e15, 9e9
    x[301, 4] = 1e15
    write_table(file, list(SENSORS), list(x.T))
    done = lab("fit", "--normal", file, "--period", "1s", "-o", tmp_path / "a.model")
    assert done.exit_code == 0, done.output
    said = [line for line in done.output.splitlines() if "far beyond" in line]
    places = (201, 2), (202, 2), (203, 2), (301, 4), (301, 5)
    for line, (row, sensor) in zip(said, places, strict=True):
        assert line.startswith(f"{file}: row {row}, column '{SENSORS[sensor]}': ")
    assert "and 1 more" in done.output


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "-05:00"])
def test_local_times_stay_local(tmp_path: Path, zone: str) -> None:
    normal, local = put(tmp_path / "n.csv", record(600, 1)), tmp_path / "d.csv"
    times = [f"2026/4/1 9:{at // 60:02}:{at % 60:02}" for at in range(300)]
    write_table(local, ["日時", *SENSORS], [times, *leaking().T])
    command = ("score", "--normal", normal, "--data", local, "-o")
    assumed = lab(*command, tmp_path / "utc.csv")
    assert "taken as UTC" in assumed.output
    assert "--timezone" in assumed.output
    told = lab(*command, tmp_path / "zone.csv", "--timezone", zone)
    assert told.exit_code == 0, told.output
    assert "UTC" not in told.output
    utc, there = rows(tmp_path / "utc.csv"), rows(tmp_path / "zone.csv")
    offset = "+09:00" if zone == "Asia/Tokyo" else zone
    assert [row[0] for row in utc[1:3]] == ["2026-04-01T09:00:00.000Z", "2026-04-01T09:00:01.000Z"]
    assert [row[0] for row in there[1:3]] == [f"2026-04-01T09:00:00.000{offset}", f"2026-04-01T09:00:01.000{offset}"]
    assert [row[1:] for row in utc] == [row[1:] for row in there]
    model = tmp_path / "m.model"
    assert "UTC" not in lab("fit", "--normal", local, "-o", model).output, "a model has no times"
    assert lab("fit", "--timezone", zone, "--normal", local, "-o", model).exit_code == 0


def test_a_zone_that_is_none_or_has_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    normal, data = put(tmp_path / "n.csv", record(600, 1)), tmp_path / "d.csv"
    write_table(data, SENSORS, list(leaking().T))
    command = ("score", "--normal", normal, "--data", data, "-o", tmp_path / "s.csv", "--timezone")
    assert "--timezone has no use" in lab(*command, "Asia/Tokyo").output
    for said in ("like +09:00", "pip install tzdata"):
        refused = lab(*command, "Asia/Edo")
        assert refused.exit_code == 2
        assert said in " ".join(refused.output.replace("│", " ").split())
        monkeypatch.setattr("zoneinfo.available_timezones", set)  # as on Windows
    assert lab(*command, "+09:00").exit_code == 0, "an offset needs no list of zones"


def test_what_is_learned_is_what_the_data_have(tmp_path: Path) -> None:
    x, few = leaking(), SENSORS[:3]
    normal, data = put(tmp_path / "n.csv", record(3000, 1)), put(tmp_path / "d.csv", x[:, :3], few)
    same = put(tmp_path / "same.csv", record(3000, 1)[:, :3], few)
    command = ("score", "--data", data, "-o")
    done = lab(*command, tmp_path / "s.csv", "--normal", normal)
    assert "not in the file: level, valve, current" in done.output
    assert "hardly" not in done.output
    assert "Episode 1 (process)" in done.output, (
        "a model of all six misses it: half of what pressure moves with is gone"
    )
    assert lab(*command, tmp_path / "same.out.csv", "--normal", same).exit_code == 0
    assert rows(tmp_path / "s.csv") == rows(tmp_path / "same.out.csv")
    assert lab("fit", "--normal", normal, "-o", tmp_path / "m.model").exit_code == 0
    whole = lab(*command, tmp_path / "s.csv", "--model", tmp_path / "m.model")
    assert "not in the file: level, valve, current" in whole.output
    assert (
        "can hardly judge these sensors, as it lacks those that they move with: pressure, temperature." in whole.output
    )
    x[3:, 3:] = np.nan  # three values say as little
    put(data, x)
    dead = lab(*command, tmp_path / "s.csv", "--model", tmp_path / "m.model")
    assert "as it lacks those that they move with: pressure, temperature." in dead.output
    x[:, 3:] = np.where(np.arange(300)[:, None] % 5, np.nan, leaking()[:, 3:])  # one that comes seldom is there
    put(data, x)
    assert "hardly" not in lab(*command, tmp_path / "s.csv", "--model", tmp_path / "m.model").output
    put(data, x[:, :2], SENSORS[:2])
    refused = lab(*command, tmp_path / "s.csv", "--normal", normal)
    assert (refused.exit_code, "lacks most of the sensors of the normal record" in refused.output) == (1, True)


def test_sensors_without_any_value_are_told(tmp_path: Path) -> None:
    x = leaking()
    x[:, 1:] = np.nan
    data, normal = put(tmp_path / "d.csv", x), put(tmp_path / "n.csv", record(600, 1))
    done = lab("score", "--normal", normal, "--data", data, "-o", tmp_path / "s.csv")
    assert "d.csv: without any value: pressure, temperature, level, valve, current" in done.output


def test_rows_that_come_twice_are_told(tmp_path: Path) -> None:
    x, model = record(600, 1), tmp_path / "m.model"
    normal = put(tmp_path / "n.csv", x)
    (tmp_path / "n (1).csv").write_bytes(normal.read_bytes())
    told = lab("fit", "--normal", normal, tmp_path / "n (1).csv", "-o", model)
    assert f"600 rows of {tmp_path}/n (1).csv stand in {normal} too" in told.output
    times = iso_times(START + np.arange(400, 1000) * SECOND)
    x[500, 2] = np.nan
    put(normal, x)
    write_table(tmp_path / "later.csv", ["time", *SENSORS], [times, *np.concatenate([x[400:], record(400, 2)]).T])
    data = put(tmp_path / "d.csv", leaking())
    told = lab("score", "--normal", normal, tmp_path / "later.csv", "--data", data, "-o", tmp_path / "s.csv")
    assert f"200 rows of {tmp_path}/later.csv stand in" in told.output
    # what reads otherwise at the same times is another machine's, be it that both stop; midnight stands in two days
    x[100:200] = 0.0
    put(normal, x)
    put(tmp_path / "other.csv", np.where(x == 0.0, 0.0, record(600, 3)))
    write_table(tmp_path / "next.csv", ["time", *SENSORS], [times[199:], *np.concatenate([x[599:], record(400, 2)]).T])
    for file in ("other.csv", "next.csv"):
        assert "stand in" not in lab("fit", "--normal", normal, tmp_path / file, "-o", model).output
    # nor do coarse readings that are the same by chance, or a midnight in days of hours, tell of copies
    coarse = [np.round(record(600, at)[:, :2] / 8) for at in (1, 2)]
    midnight = [record(25, 1), record(25, 2)]
    midnight[1][0] = midnight[0][-1]
    hours = [iso_times(START + np.arange(first, first + 25) * 3600 * SECOND) for first in (0, 24)]
    for at in range(2):
        put(tmp_path / f"coarse{at}.csv", coarse[at], SENSORS[:2])
        write_table(tmp_path / f"day{at}.csv", ["time", *SENSORS], [hours[at], *midnight[at].T])
    assert (coarse[0] == coarse[1]).all(axis=1).sum() > 60
    for name in ("coarse", "day"):
        done = lab("fit", "--normal", tmp_path / f"{name}0.csv", tmp_path / f"{name}1.csv", "-o", model)
        assert (done.exit_code, "stand in" in done.output) == (0, False), done.output
    # a part of a long record, whichever comes first
    for pair in ((normal, tmp_path / "few.csv"), (tmp_path / "few.csv", normal)):
        put(normal, record(9000, 1))
        put(tmp_path / "few.csv", record(9000, 1)[:60])
        assert "60 rows of" in lab("fit", "--normal", *pair, "-o", model).output
    put(normal, x)
    for file in ("a.csv", "b.csv"):
        write_table(tmp_path / file, SENSORS, list(x.T))
    told = lab("fit", "--normal", tmp_path / "a.csv", tmp_path / "b.csv", "-o", model, "--period", "1s")
    assert "600 rows of" in told.output


def test_slips_of_names_and_of_the_period(tmp_path: Path) -> None:
    normal, data = put(tmp_path / "n.csv", record(600, 1)), put(tmp_path / "d.csv", leaking())
    before, model = data.read_bytes(), tmp_path / "m.model"
    over = lab("fit", "--normal", normal, "-o", data)
    assert (over.exit_code, data.read_bytes() == before) == (2, True)
    assert "such as plant.model" in " ".join(over.output.replace("│", " ").split())
    assert lab("fit", "--normal", normal, "-o", model).exit_code == 0
    swapped = lab("score", "--normal", model, "--data", data, "-o", tmp_path / "s.csv")
    assert (swapped.exit_code, "give it as --model" in swapped.output) == (1, True)
    (tmp_path / "plant").write_bytes(model.read_bytes())
    (tmp_path / "d.model").write_bytes(before)
    swapped = lab("score", "--normal", tmp_path / "plant", "--data", data, "-o", tmp_path / "s.csv")
    assert "give it as --model" in swapped.output, "by what it holds, not by its name"
    assert lab("score", "--model", model, "--data", tmp_path / "d.model", "-o", tmp_path / "s.csv").exit_code == 0
    for folder in ("no", "x" * 300):  # pathlib raises of the longer one, as it does where one may not look
        nowhere = lab("score", "--normal", normal, "--data", data, "-o", tmp_path / folder / "s.csv")
        assert (nowhere.exit_code, "no such folder" in " ".join(nowhere.output.replace("│", " ").split())) == (2, True)
    short = lab("fit", "--normal", normal, "-o", model, "--period", "100ms")
    assert short.exit_code == 1
    assert "0 rows to learn from; want at least 50. Rows more than 0.5 s apart" in short.output
    first = lab("model", "causes", "--data-dir", tmp_path / "lab")
    assert (first.exit_code, "make it first: lab model tep" in first.output) == (1, True)


@pytest.mark.parametrize("how", ["--normal", "--model"])
def test_columns_that_were_not_learned_are_told(tmp_path: Path, how: str) -> None:
    normal, model, out = put(tmp_path / "n.csv", record(600, 1)), tmp_path / "m.model", tmp_path / "s.csv"
    assert lab("fit", "--normal", normal, "-o", model).exit_code == 0
    data = put(tmp_path / "d.csv", np.c_[leaking(), np.arange(300) % 7], ("Flow", *SENSORS[1:], "新設"))
    done = lab("score", how, normal if how == "--normal" else model, "--data", data, "-o", out)
    assert "d.csv: not judged, as they were not learned: Flow, 新設" in done.output
    assert "not in the file: flow" in done.output


def test_japanese_names_open_in_excel(tmp_path: Path) -> None:
    names = ("流量", "圧力", *SENSORS[2:])
    command = ("score", "--normal", put(tmp_path / "n.csv", record(600, 1), names), "--data")
    assert lab(*command, put(tmp_path / "d.csv", leaking(), names), "-o", tmp_path / "s.csv").exit_code == 0
    written = (tmp_path / "s.csv").read_bytes()
    assert written.startswith(b"\xef\xbb\xbftime,")
    assert "圧力" in written.decode("utf-8")
    assert read_table(tmp_path / "s.csv", ignore=["kind", "top1", "top2", "top3", "cause"]).time is not None
    put(tmp_path / "n.csv", record(600, 1))
    assert lab(*command, put(tmp_path / "d.csv", leaking()), "-o", tmp_path / "s.csv").exit_code == 0
    assert (tmp_path / "s.csv").read_bytes().startswith(b"time,"), "as before where all is ASCII"
