"""`lab replay` and `lab plant` against a real broker."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from devices.frame import Command, State, decode_birth
from lab.cli import build
from lab.commands import replay
from lab.config import Config, write_config
from lab.fitting import fit_tables
from lab.plant import device_config
from lab.running import RunInfo, run_file
from lab.tables import read_table
from models.detector import load, save
from tests.devices.conftest import Broker, Collector, until

PATH = "lab/v1/kyushu/lab/demo/line1"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """English, no configuration from outside, and the signal handlers as they were."""
    for name in [name for name in os.environ if name.startswith("LAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("lab.text.language", lambda: "en")
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def press(broker: Broker) -> Iterator[Collector]:
    collector = Collector(broker.port, f"{PATH}/press-1")
    yield collector
    collector.close()


def table(folder: Path, rows: int = 300, name: str = "run.csv", dated: bool = False) -> tuple[Path, np.ndarray]:
    """A file with Japanese headers and a label, and its readings."""
    values = np.round(np.random.default_rng(3).normal(100, 5, (rows, 3)), 2)
    values[7, 1] = np.nan
    file = folder / name
    lines = [",".join((["日時"] if dated else []) + ["温度(℃)", "圧力[kPa]", "flow", "anomaly"])]
    for k, row in enumerate(values.tolist()):
        cells = [f"2024-05-01 00:{k // 60:02}:{k % 60:02}"] if dated else []
        lines.append(",".join([*cells, *("" if v != v else str(v) for v in row), str(int(k > 290))]))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file, values


def lab(*args: object) -> Result:
    return CliRunner().invoke(build("replay"), ["replay", *map(str, args)])


def test_a_file_is_streamed_and_acknowledged(broker, press, tmp_path):
    file, values = table(tmp_path)
    done = lab(
        file, "--asset", "press-1", "--speed", 100000, "--period", "3min", "--learn", 100, "--ignore", "anomaly",
        "--data-dir", tmp_path / "data", "--broker", f"mqtt://127.0.0.1:{broker.port}",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    frames = [frame for _, frame in sorted(press.frames.items())]
    assert f"300 rows sent: {len(frames)} frames published, {len(frames)} acknowledged" in done.output
    np.testing.assert_array_equal(np.concatenate([frame.values(3) for frame in frames]), values)
    birth = decode_birth(press.got("birth")[0])
    assert [(channel.name or channel.tag, channel.unit) for channel in birth.channels] == [
        ("温度(℃)", "°C"),
        ("圧力[kPa]", "kPa"),
        ("flow", "1"),
    ]
    asset = birth.assets[0]
    assert (asset.id, asset.kind, asset.learn_rows, asset.period_s) == ("press-1", "csv", 100, 180.0)
    assert (birth.simulator, asset.clock) == (False, None)


def test_what_is_assumed_is_said_and_labels_are_noticed(broker, press, tmp_path):
    file, _ = table(tmp_path, 295)
    done = lab(
        file, "--asset", "press-1", "--speed", 1e4, "--data-dir", tmp_path, "--broker", f"127.0.0.1:{broker.port}"
    )
    assert done.exit_code == 0, done.output
    assert "one row a second is assumed" in done.output
    assert "--ignore anomaly" in done.output
    assert decode_birth(press.got("birth")[0]).assets[0].period_s == 1.0


def test_an_export_with_a_clock_of_its_own(broker, press, tmp_path):
    lines = ["time,sensor,value,quality"]
    for row in range(240):
        for tag, value in (("flow", row % 7), ("plant_s", 20 * row), ("level", row % 5)):
            quality = "bad:comm" if tag == "flow" and row == 4 else "good"
            lines.append(f"2024-05-01T00:{row // 60:02}:{row % 60:02}.000000000Z,tep-1/{tag},{value},{quality}")
    file = tmp_path / "run.csv"
    file.write_text("\n".join(lines))
    done = lab(
        file, "--asset", "press-1", "--speed", 1000, "--period", "60s", "--normal", file,
        "--data-dir", tmp_path / "data", "--broker", f"127.0.0.1:{broker.port}",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "720 readings of 3 sensors become 240 rows" in done.output
    birth = decode_birth(press.got("birth")[0])
    assert [(channel.tag, channel.role) for channel in birth.channels] == [
        ("flow", "measurement"),
        ("level", "measurement"),
        ("plant_s", "status"),
    ]
    assert (birth.assets[0].clock, birth.assets[0].period_s) == ("plant_s", 60.0)
    sent = np.concatenate([frame.values(3) for _, frame in sorted(press.frames.items())])
    assert np.flatnonzero(np.isnan(sent[:, 0])).tolist() == [4]
    assert sent[:, 2].tolist() == [20.0 * row for row in range(240)]
    model = load(tmp_path / "data" / "models" / "asset-press-1.model")
    assert (model.detector.sensors, model.detector.period_s) == (("flow", "level"), 60.0)


@pytest.mark.parametrize("zone", [None, "Asia/Tokyo", "+09:00"])
def test_the_files_own_times(broker, press, tmp_path, zone):
    file, _ = table(tmp_path, 60, dated=True)
    done = lab(
        file, "--asset", "press-1", "--speed", 1000, "--keep-time", "--ignore", "anomaly",
        "--data-dir", tmp_path, "--broker", f"127.0.0.1:{broker.port}", *(["--timezone", zone] if zone else []),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert ("taken as UTC" in done.output) == (zone is None)
    times = [t for _, frame in sorted(press.frames.items()) for t in frame.times(0)]
    assert times == [(1714521600 - (9 * 3600 if zone else 0) + k) * 10**9 for k in range(60)]


def test_a_model_from_normal_rows_is_there_before_the_first_row(broker, press, tmp_path):
    file, _ = table(tmp_path)
    normal, _ = table(tmp_path, 280, "normal.csv")
    args = [
        file, "--asset", "press-1", "--speed", 5000, "--ignore", "anomaly",
        "--data-dir", tmp_path / "data", "--broker", f"127.0.0.1:{broker.port}",
    ]  # fmt: skip
    done = lab(*args, "--normal", normal)
    assert done.exit_code == 0, done.output
    birth = decode_birth(press.got("birth")[0])
    assert birth.assets[0].learn_rows is None
    place = tmp_path / "data" / "models" / "asset-press-1.model"
    assert list(load(place).detector.sensors) == [channel.tag for channel in birth.channels]
    again = lab(*args, "--model", place)
    assert again.exit_code == 0, again.output
    assert "has a model from before" in lab(*args).output
    fitted = fit_tables([read_table(normal, period_s=1.0, ignore=["anomaly"])])
    assert fitted.detector.sensors == ("温度(℃)", "圧力[kPa]", "flow"), "as `lab fit` calls them"
    save(fitted.detector, tmp_path / "plant.model")
    assert lab(*args, "--model", tmp_path / "plant.model").exit_code == 0
    assert list(load(place).detector.sensors) == [channel.tag for channel in birth.channels]
    slow, _ = table(tmp_path, 280, "slow.csv", dated=True)  # a row a second, where the file's are 2 s apart
    warned = lab(*args, "--normal", slow, "--period", "2s")
    assert f"the rows of {slow} are 1 s apart, the model's period is 2 s" in warned.output
    assert warned.exit_code == 0, warned.output
    few, _ = table(tmp_path, 40, "few.csv")
    refused = lab(*args, "--normal", few)
    assert (refused.exit_code, f"{few}: 40 rows to learn from" in refused.output) == (1, True)
    (tmp_path / "other.csv").write_text("x\n" + "1\n" * 50)
    save(fit_tables([read_table(slow, ignore=["温度(℃)", "圧力[kPa]", "anomaly"])]).detector, tmp_path / "part.model")
    assert lab(*args, "--model", tmp_path / "part.model").exit_code == 0
    before = place.read_bytes()
    wide = tmp_path / "wide.csv"
    wide.write_text("flow,a,b,c\n" + "".join(f"{row % 7},{row % 5},{row % 3},{row % 11}\n" for row in range(100)))
    save(fit_tables([read_table(wide)], 1.0).detector, tmp_path / "wide.model")
    unlike = lab(*args, "--model", tmp_path / "wide.model")
    assert (unlike.exit_code, "lacks most of the model's sensors: a, b, c" in unlike.output) == (1, True)
    assert place.read_bytes() == before
    other = lab(*args, "--normal", tmp_path / "other.csv")
    assert (other.exit_code, "圧力[kPa]" in other.output) == (1, True)


def test_without_a_lab_the_frames_are_kept_and_the_exit_code_says_so(broker, tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "RECEIPT_S", 0.2)
    file, _ = table(tmp_path, 20)
    args = [file, "--asset", "press-1", "--speed", 1000, "--data-dir", tmp_path]
    done = lab(*args, "--broker", f"127.0.0.1:{broker.port}")
    assert done.exit_code == 1
    assert "no receipts" in done.output
    broker.kill()
    done = lab(*args, "--broker", f"127.0.0.1:{broker.port}")
    assert done.exit_code == 1
    assert "refused" in done.output.lower()
    broker.start()
    monkeypatch.setattr(replay, "RECEIPT_S", 20.0)
    collector = Collector(broker.port, f"{PATH}/press-1")
    try:
        done = lab(*args, "--broker", f"127.0.0.1:{broker.port}")
        assert done.exit_code == 0, done.output
        assert len({b for b, _ in collector.frames}) == 3
        assert sum(frame.samples for frame in collector.frames.values()) == 60
    finally:
        collector.close()


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--asset", "a b"], 2, "cannot be an asset"),
        (["--period", "soon"], 2, "not a duration"),
        (["--period", "0s"], 2, "not a duration"),
        (["--timezone", "Asia/Edo"], 2, "not a time zone"),
        (["--keep-time", "--loop"], 2, "choose one"),
        (["--normal", "x.csv", "--model", "y.model"], 2, "choose one"),
        (["--keep-time", "--ignore", "anomaly"], 1, "no dates"),
        (["--time", "nothing"], 1, "nothing"),
        (["--speed", "1000000", "--period", "1ms"], 1, "lower one"),
        (["--normal", "missing.csv"], 1, "no such file"),
        (["--model", "missing.model"], 1, "missing.model"),
    ],
)
def test_what_is_refused(tmp_path, args, code, says):
    file, _ = table(tmp_path, 30)
    done = lab(file, "--data-dir", tmp_path / "data", *args)
    assert done.exit_code == code, done.output
    assert says in " ".join(done.output.replace("│", " ").split())
    assert not list(tmp_path.glob("data/spools/*"))


@pytest.mark.parametrize("name", ["評価_2.csv", "ポンプ.csv", "_.csv"])
def test_two_files_are_not_taken_for_one_asset(tmp_path, name):
    file, _ = table(tmp_path, 30, name)
    done = lab(file, "--data-dir", tmp_path / "data")
    assert (done.exit_code, "--asset press-1" in done.output) == (2, True)


def test_a_missing_file_is_named(tmp_path):
    done = lab(tmp_path / "nowhere.csv")
    assert done.exit_code == 1
    assert "nowhere.csv: no such file" in done.output


@pytest.mark.skipif(os.name == "nt", reason="there is no sending Ctrl-C to one process on Windows")
def test_ctrl_c_ends_a_replay_in_order(broker, press, tmp_path):
    file, _ = table(tmp_path)
    command = [
        sys.executable, "-m", "lab", "replay", str(file), "--asset", "press-1", "--speed", "10",
        "--data-dir", str(tmp_path), "--broker", f"127.0.0.1:{broker.port}",
    ]  # fmt: skip
    environ = {**os.environ, "LAB_LANG": "en"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ, text=True)
    try:
        assert until(lambda: len(press.frames) >= 3, 60)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
    rows = sum(frame.samples for frame in press.frames.values())
    assert rows < 300
    assert f"{rows} rows sent: {len(press.frames)} frames published, {len(press.frames)} acknowledged" in said
    assert until(lambda: len(press.got("state")) == 2)


def test_the_running_labs_broker_is_found(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    config = Config(data_dir=str(tmp_path), path="kyushu/lab/demo/line9")
    config.broker.port = 21883
    write_config(config, tmp_path / "run" / "config.toml")
    (tmp_path / "lab.toml").write_text('[broker]\nkind = "amqtt"\n')
    assert device_config(None, str(tmp_path), None).broker.port == 1883
    info = RunInfo(os.getpid(), "1", 0.0, str(tmp_path), "mosquitto", "2", "127.0.0.1", 21883, "127.0.0.1", 8000)
    run_file(tmp_path).write_bytes(msgspec.json.encode(info))
    found = device_config(None, str(tmp_path), None)
    assert (found.broker.port, found.path) == (21883, "kyushu/lab/demo/line9")
    assert device_config(None, str(tmp_path), "mqtt://example.org:99").broker.port == 99
    monkeypatch.setenv("LAB_BROKER", "mqtt://example.org:98")
    assert device_config(None, str(tmp_path), None).broker.port == 98


def test_the_plant_process(broker: Broker, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "lab", "plant", "--plants", "2", "--speed", "600",
        "--data-dir", str(tmp_path), "--broker", f"mqtt://127.0.0.1:{broker.port}",
    ]  # fmt: skip
    environ = {**os.environ, "LAB_LANG": "en"}
    collectors = [Collector(broker.port, f"{PATH}/tep-{n}") for n in (1, 2)]
    first = collectors[0]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environ, text=True)
    try:
        assert until(lambda: all(len(collector.frames) >= 2 for collector in collectors), 60)
        birth = decode_birth(first.got("birth")[0])
        assert birth.simulator
        assert (birth.assets[0].kind, birth.assets[0].clock, birth.assets[0].period_s) == ("tep", "plant_s", 180.0)
        first.command(Command("1", "fault", {"idv": 6}))
        assert until(first.replies)
        second = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)
        assert second.returncode == 1
        assert "another process" in second.stderr
        process.terminate()
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
        assert until(lambda: len(first.got("state")) >= 2)
        assert msgspec.json.decode(first.got("state")[-1], type=State) == State("offline", birth.b)
    finally:
        process.kill()
        process.communicate()
        for collector in collectors:
            collector.close()


def test_a_plant_without_a_plant(tmp_path):
    (tmp_path / "lab.toml").write_text("plants = []\n")
    done = CliRunner().invoke(build("plant"), ["plant", "--data-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert "--plants 1" in done.output
