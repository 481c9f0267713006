"""`lab historian`: files out and in, copies between historians, checks; and the errors a person meets."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from typer.testing import CliRunner, Result

from lab.cli import build
from lab.config import Config
from lab.historian import open_historian
from lab.historian.base import Batch, HistorianError, Series
from lab.historian.embedded import EmbeddedHistorian
from lab.historian.influx import InfluxHistorian
from lab.historian.series import T_END
from lab.historian.transfer import TransferError, Windows, load, parse_time
from lab.store import Store
from tests.lab.influx import INFLUXD, gateway, influxd

pytestmark = pytest.mark.usefixtures("english")

T = 1_764_000_000_123_456_789
HOUR = 3_600 * 10**9
KEYS = ["tep-1/xmeas_9", "tep-1/xmv_3", "反応器,2/温度"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with readings of three sensors over thirty hours, partly compacted."""
    folder = tmp_path / "data"
    rng = np.random.default_rng(1)
    with Store(folder / "lab.db", synchronous="NORMAL") as store:
        historian = EmbeddedHistorian(store)
        ids = historian.ids(KEYS)
        for number in range(3):
            t = T + number * 10 * HOUR + np.sort(rng.choice(10 * HOUR, 1000, replace=False))
            v = np.round(rng.normal(100, 2, 1000), 3)
            v[::50] = np.nan
            q = np.where(np.isnan(v), 133, 0).astype(np.uint8)
            q[7] = 77  # a code without a name
            for sensor in ids:
                historian.write(Batch(np.full(1000, sensor, np.int32), t, v + sensor, q))
            if number < 2:
                historian.compact(10, everything=True)
    return folder


def readings(folder: Path, key: str) -> Series:
    with Store(folder / "lab.db", readonly=True) as store:
        return EmbeddedHistorian(store).read([key], 0, 2**63 - 1)[key]


def same(a: Series, b: Series) -> None:
    assert len(a.t) > 0
    assert a.t.tolist() == b.t.tolist()
    assert a.v.view(np.int64).tolist() == b.v.view(np.int64).tolist()
    assert a.q.tolist() == b.q.tolist()


def lab(*arguments: object) -> Result:
    return CliRunner().invoke(build("historian"), ["historian", *map(str, arguments)])


def answer(*arguments: object) -> dict[str, object]:
    result = lab(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def failure(*arguments: object) -> str:
    result = lab(*arguments)
    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


@pytest.mark.parametrize("name", ["all.csv", "all.csv.gz", "all.parquet"])
def test_out_and_in_again(data: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    assert answer("export", file, "--data-dir", data)["readings"] == 9000
    other = tmp_path / "other"
    assert answer("import", file, "--data-dir", other) == {"file": str(file), "readings": 9000}
    for key in KEYS:
        same(readings(other, key), readings(data, key))
    # again is no more
    assert answer("import", file, "--data-dir", other)["readings"] == 9000
    same(readings(other, KEYS[2]), readings(data, KEYS[2]))
    assert list(tmp_path.glob(".*.part")) == []


def test_a_range_of_some_sensors(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    found = answer(
        "export",
        file,
        "-s",
        "tep-1/*",
        "--from",
        "2025-11-24T18:00:00Z",
        "--to",
        "2025-11-25T03:00:00+09:00",
        "--data-dir",
        data,
    )
    assert found == {"file": str(file), "readings": 0, "sensors": 2}
    start, end = parse_time("2025-11-24T20:00:00Z", 0), parse_time("2025-11-24T22:30:00.5Z", 0)
    found = answer(
        "export",
        file,
        "-s",
        "tep-1/*",
        "--from",
        "2025-11-24 20:00",
        "--to",
        "2025-11-24T22:30:00.500Z",
        "--data-dir",
        data,
    )
    series = readings(data, "tep-1/xmeas_9")
    inside = int(np.count_nonzero((series.t >= start) & (series.t < end)))
    assert inside > 0
    assert found["readings"] == 2 * inside
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "time,sensor,value,quality"
    assert len(lines) == 1 + 2 * inside
    assert all(",tep-1/x" in line for line in lines[1:])


def test_parse_time() -> None:
    assert parse_time("1970-01-01T00:00:00.000000001Z", 0) == 1
    assert parse_time("2026-03-09", 0) == 1_773_014_400 * 10**9
    assert parse_time("2026-03-09T09:00+09:00", 0) == 1_773_014_400 * 10**9
    assert parse_time("-90s", T) == T - 90 * 10**9
    assert parse_time("-1.5h", T) == T - 5400 * 10**9
    for text in ("tomorrow", "2026-13-01", "1969-12-31T23:59:59Z", "2300-01-01", "-5y", "", "12:00"):
        with pytest.raises(TransferError, match="-15m"):
            parse_time(text, T)


def write_csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_made_by_hand(tmp_path: Path) -> None:
    """Columns in another order, no quality, other notations of the time, a byte order mark, an extra column."""
    file = write_csv(
        tmp_path / "hand.csv",
        "\ufeffValue,note,Sensor,Time\n"
        '1.5,x,"a/b, c",2026-03-09 00:00\n\n'
        ",,a/d,2026-03-09T09:00:01+09:00\n"
        "-2e-3,,a/d,2026-03-09T00:00:02.000000003Z\n",
    )
    assert answer("import", file, "--data-dir", tmp_path / "data")["readings"] == 3
    start = 1_773_014_400 * 10**9
    series = readings(tmp_path / "data", "a/d")
    assert series.t.tolist() == [start + 10**9, start + 2 * 10**9 + 3]
    assert np.isnan(series.v[0])
    assert series.v[1] == -2e-3
    assert readings(tmp_path / "data", "a/b, c").t.tolist() == [start]


GOOD = "2026-03-09T00:00:00Z,a/b,1.5,good\n"


@pytest.mark.parametrize(
    ("rows", "where"),
    [
        ("2026-03-09T00:00:00Z,a/b,warm,good\n", "line 3, column 'value': 'warm' is not a number"),
        ("2026-03-09T00:00:00Z,a/b,inf,good\n", "line 3, column 'value': infinity is no reading"),
        ("yesterday,a/b,1,good\n", "line 3, column 'time': 'yesterday' is not a time"),
        ("-15m,a/b,1,good\n", "line 3, column 'time': '-15m' is not a time"),
        ("1960-01-01,a/b,1,good\n", "line 3, column 'time'"),
        ("1960-01-01T00:00:00.000000000Z,a/b,1,good\n", "line 3, column 'time'"),
        ("2026-03-09T00:00:00Z,,1,good\n", "line 3, column 'sensor': empty"),
        ("2026-03-09T00:00:00Z,a/b,1,fine\n", "line 3, column 'quality': 'fine' is no quality"),
        ("2026-03-09T00:00:00Z,a/b,1,256\n", "line 3, column 'quality'"),
        ("2026-03-09T00:00:00Z,a/b,1\n", "line 3 has 3 cells, the header has 4"),
        ("2026-03-09T00:00:00Z,a/b,1,good,extra\n", "line 3 has 5 cells, the header has 4"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: str, where: str) -> None:
    file = write_csv(tmp_path / "bad.csv", "time,sensor,value,quality\n" + GOOD + rows + GOOD)
    message = failure("import", file, "--data-dir", tmp_path / "data")
    assert f"{file}: {where}" in message.replace("\n", "")


def test_bad_files_are_named(data: Path, tmp_path: Path) -> None:
    folder = ("--data-dir", tmp_path / "other")
    assert "no such file" in failure("import", tmp_path / "none.csv", *folder).lower()
    assert "'sensor'" in failure("import", write_csv(tmp_path / "wide.csv", "time,TI-101\n"), *folder)
    assert "must end in .csv" in failure("import", write_csv(tmp_path / "a.xlsx", ""), *folder)
    assert "must end in .csv" in failure("export", tmp_path / "a.txt", "--data-dir", data)
    assert "Parquet" in failure("import", write_csv(tmp_path / "a.parquet", "x"), *folder)
    (tmp_path / "sjis.csv").write_bytes("time,sensor,value\n2026-03-09,温度,1\n".encode("cp932"))
    assert "not UTF-8" in failure("import", tmp_path / "sjis.csv", *folder)
    packed = gzip.compress(b"time,sensor,value\n" + b"2026-03-09,a/b,1\n" * 100)
    (tmp_path / "cut.csv.gz").write_bytes(packed[:-12])
    assert "cut.csv.gz" in failure("import", tmp_path / "cut.csv.gz", *folder)
    (tmp_path / "text.csv.gz").write_bytes(b"time,sensor,value\n")
    assert "text.csv.gz" in failure("import", tmp_path / "text.csv.gz", *folder)
    assert "cannot be written" in failure("export", tmp_path / "no folder" / "a.csv", "--data-dir", data)
    (tmp_path / "in the way").write_text("no folder")
    assert "cannot be written" in failure("export", tmp_path / "in the way" / "a.csv", "--data-dir", data)
    assert "no sensor matches 'tep-9/*'" in failure("export", tmp_path / "a.csv", "-s", "tep-9/*", "--data-dir", data)
    assert "is not a time" in failure("export", tmp_path / "a.csv", "--from", "noon", "--data-dir", data)
    assert "there is no database yet" in failure("export", tmp_path / "a.csv", "--data-dir", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("lang", "words"), [("ja", ("3 行目、列「value」", "数値ではありません")), ("en", ("line 3",))]
)
def test_refusals_are_told_in_the_users_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lang: str, words: tuple[str, ...]
) -> None:
    from lab.text import language

    monkeypatch.setenv("LAB_LANG", lang)
    language.cache_clear()
    file = write_csv(tmp_path / "bad.csv", "time,sensor,value,quality\n" + GOOD + "2026-03-09,a/b,warm,\n")
    told = failure("import", file, "--data-dir", tmp_path / "data").replace("\n", "")
    nowhere = failure("check", "--data-dir", tmp_path / "nothing")
    language.cache_clear()
    for word in words:
        assert word in told
    assert ("データベースがまだありません" in nowhere) == (lang == "ja")


def test_parquet_of_others(tmp_path: Path) -> None:
    """Plain strings, microseconds, integers as values, no quality; and what cannot be read says why."""
    good = pyarrow.table(
        {
            "sensor": ["a/b", "a/c", "a/b"],
            "value": [1, None, 3],
            "time": pyarrow.array([1, 2, 3], pyarrow.timestamp("us", tz="Asia/Tokyo")),
        }
    )
    file = tmp_path / "other.parquet"
    parquet.write_table(good, file)
    assert answer("import", file, "--data-dir", tmp_path / "data")["readings"] == 3
    assert readings(tmp_path / "data", "a/b").t.tolist() == [1000, 3000]
    assert np.isnan(readings(tmp_path / "data", "a/c").v).all()
    for name, column, message in [
        ("value", pyarrow.array(["x", "y", "z"]), "column 'value' holds string"),
        ("sensor", pyarrow.array(["a", None, "b"]), "row 2, column 'sensor': empty"),
        ("time", pyarrow.array([5, -1, 7], pyarrow.timestamp("us", tz="UTC")), "row 2, column 'time': before 1970"),
    ]:
        bad = good.set_column(good.schema.get_field_index(name), name, column)
        parquet.write_table(bad, file)
        assert message in failure("import", file, "--data-dir", tmp_path / "data").replace("\n", "")
    parquet.write_table(good.drop_columns(["time"]), file)
    assert "no column 'time'" in failure("import", file, "--data-dir", tmp_path / "data")


def test_what_stands_before_a_bad_row_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.historian.transfer.BATCH", 2)
    file = write_csv(
        tmp_path / "bad.csv", "time,sensor,value\n" + "2026-03-09,a/b,1\n2026-03-10,a/b,1\n2026-03-11,a/b,x\n"
    )
    with Store(tmp_path / "lab.db") as store:
        historian = EmbeddedHistorian(store)
        parts: list[float] = []
        with pytest.raises(TransferError, match="line 4"):
            load(historian, file, parts.append)
        assert len(historian.read(["a/b"], 0, 2**63 - 1)["a/b"].t) == 2
        assert len(parts) == 1


# copies


def test_copy_to_another_folder(data: Path, tmp_path: Path) -> None:
    found = answer("copy", "embedded", tmp_path / "other", "-s", "*/xm*", "--data-dir", data)
    assert found == {"readings": 6000, "sensors": 2}
    same(readings(tmp_path / "other", KEYS[0]), readings(data, KEYS[0]))
    assert "the same place" in failure("copy", "embedded", "embedded", "--data-dir", data)
    assert "http://host:8086/database" in failure("copy", "embedded", "http://127.0.0.1:1", "--data-dir", data)
    assert "does not answer" in failure("copy", "embedded", "http://127.0.0.1:1/lab", "--data-dir", data)


@pytest.fixture(scope="module")
def influx_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if INFLUXD is None:
        pytest.skip("influxd is not installed")
    with influxd(tmp_path_factory.mktemp("influx")) as url:
        yield url


def test_copy_to_influx_and_back(data: Path, tmp_path: Path, influx_url: str) -> None:
    place = f"{influx_url}/copy%201"
    for _ in range(2):
        assert answer("copy", "embedded", place, "--data-dir", data)["readings"] == 9000
    assert answer("copy", place, tmp_path / "back", "--data-dir", data)["readings"] == 9000
    for key in KEYS:
        same(readings(tmp_path / "back", key), readings(data, key))


def test_the_configured_influx(tmp_path: Path, influx_url: str) -> None:
    config = Config(data_dir=str(tmp_path))
    config.historian.kind, config.historian.url, config.historian.database = "influx", influx_url, "configured"
    with Store(config.database) as store:
        historian = open_historian(config, store)
        assert isinstance(historian, InfluxHistorian)
        assert historian.version[0] == 1
        historian.close()
        config.historian.kind = "embedded"
        assert isinstance(open_historian(config, store), EmbeddedHistorian)


def test_what_influx_refuses(tmp_path: Path, influx_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HistorianError, match="want http://host:port"):
        InfluxHistorian("localhost:8086", "lab", "lab", None)
    with gateway(influx_url, "right") as server:
        with pytest.raises(HistorianError, match=r"401.*historian\.token"):
            InfluxHistorian(server.url, "lab", "lab", "wrong")
        with pytest.raises(HistorianError, match="database not found"):
            InfluxHistorian(server.url, "never made", "lab", "right")
        InfluxHistorian(influx_url, "made", "lab", None).close()
        historian = InfluxHistorian(server.url, "made", "my org", "right")
        assert historian.version == (2, 7)
        ids = historian.ids(["p/x"])
        assert server.orgs == {"my org"}
        monkeypatch.setattr(server, "token", "changed")
        with pytest.raises(HistorianError, match="401"):
            historian.write(Batch(ids, np.array([T]), np.array([1.0]), np.zeros(1, np.uint8)))
        monkeypatch.setattr(server, "token", "right")
        historian.write(Batch(ids, np.array([T]), np.array([1.0]), np.zeros(1, np.uint8)))
        assert historian.latest(["p/x"])["p/x"].t == T
        historian.close()


def test_influx_that_comes_back(tmp_path: Path) -> None:
    """What failed while it was away is written when it is there again, by the same historian."""
    if INFLUXD is None:
        pytest.skip("influxd is not installed")
    batch = Batch(np.zeros(1, np.int32), np.array([T]), np.array([1.5]), np.zeros(1, np.uint8))
    with influxd(tmp_path / "one") as url:
        historian = InfluxHistorian(url, "lab", "lab", None)
        historian.ids(["p/x"])
    with pytest.raises(HistorianError, match="does not answer"):
        historian.write(batch)
    port = int(url.rpartition(":")[2])
    with influxd(tmp_path / "one", port=port):
        historian.write(batch)
        assert historian.latest(["p/x"])["p/x"].v == 1.5
        historian.close()


def test_readings_older_than_influx_keeps_hold_up_nothing(influx_url: str, caplog: pytest.LogCaptureFixture) -> None:
    historian = InfluxHistorian(influx_url, "short", "lab", None)
    historian._query('CREATE RETENTION POLICY "two" ON "short" DURATION 2h REPLICATION 1 DEFAULT', method="POST")
    now = np.datetime64("now", "ns").astype(np.int64)
    ids = historian.ids(["p/x", "p/x"])
    historian.write(Batch(ids, np.array([now - 100 * HOUR, now]), np.array([1.0, 2.0]), np.zeros(2, np.uint8)))
    assert historian.read(["p/x"], 0, 2**63 - 1)["p/x"].v.tolist() == [2.0]
    assert "retention policy" in caplog.text
    historian.close()


# check


def test_check(data: Path, tmp_path: Path) -> None:
    found = answer("check", "--data-dir", data)
    assert (found["readings"], found["sensors"], found["problems"]) == (9000, 3, [])
    result = lab("check", "--data-dir", data)
    assert result.exit_code == 0
    assert result.output.startswith("Sound: 9000 readings of 3 sensors")
    assert "there is no database yet" in failure("check", "--data-dir", tmp_path / "nothing")


def test_check_and_repair(data: Path) -> None:
    with Store(data / "lab.db") as store:
        store.db.execute("UPDATE historian_log SET crc = crc + 1 WHERE id = (SELECT min(id) FROM historian_log)")
    result = lab("check", "--data-dir", data, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["left"] == 1
    assert "--repair" in failure("check", "--data-dir", data)
    result = lab("check", "--data-dir", data, "--repair")
    assert result.exit_code == 0, result.output
    assert "1 damaged rows set aside" in result.output
    assert answer("check", "--data-dir", data)["readings"] == 8000


@pytest.mark.parametrize("command", ["check", "export", "import", "copy"])
def test_help_has_an_example(command: str) -> None:
    result = lab(command, "--help")
    assert result.exit_code == 0
    assert f"lab historian {command}" in result.output


def test_the_first_piece_is_small(data: Path) -> None:
    """Five hundred sensors ten times a second are eighteen million readings an hour."""
    with Store(data / "lab.db", readonly=True) as store:
        windows = Windows(EmbeddedHistorian(store), 0, T_END)
        widths = []
        while (window := windows.next()) is not None:
            windows.took(100)
            widths.append(window[1] - window[0])
    assert widths[0] <= HOUR / 60
    assert max(widths) > HOUR
