"""lab.config: where a value comes from, and what is said of one that cannot be."""

import os
from pathlib import Path

import msgspec
import pytest

from lab.config import (
    VARIABLES,
    Config,
    ConfigError,
    PlantConfig,
    attached,
    load_config,
    load_settings,
    running,
    write_config,
)
from lab.running import AlreadyRunning, Lock, RunInfo, run_file, write_private
from lab.text import text
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No LAB_* variable of whoever runs the tests, English, and a folder without a lab.toml."""
    for name in [name for name in os.environ if name.startswith("LAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lab.text.language", lambda: "en")


def toml(folder: Path, content: str, name: str = "x.toml") -> Path:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return file


def test_later_sources_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = toml(tmp_path, '[api]\nport = 8001\nhost = "0.0.0.0"\n[broker]\nport = 1890\n[historian]\nkeep_days = 3')
    assert load_config() == Config()
    assert load_config(file).api.port == 8001
    monkeypatch.setenv("LAB_API_PORT", "8002")
    monkeypatch.setenv("LAB_KEEP_DAYS", "4.5")
    config = load_config(file)
    assert (config.api.port, config.api.host, config.historian.keep_days) == (8002, "0.0.0.0", 4.5)
    assert load_config(file, api_port=8003, broker_port=1891).api.port == 8003
    assert load_config(file, broker_port=1891).broker.port == 1891


def test_given_tells_set_from_default(tmp_path: Path) -> None:
    file = toml(tmp_path, "[broker]\nport = 1883")
    settings = load_settings(file, None, {"api.port": None, "data_dir": "d"})
    assert settings.given == {"broker.port", "data_dir"}, "1883 was set, though it is the default"


def test_the_file_beside_the_data_and_the_one_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml(tmp_path, "[api]\nport = 8005", "lab.toml")
    assert load_config(data_dir=str(tmp_path)).api.port == 8005
    monkeypatch.setenv("LAB_DATA_DIR", str(tmp_path))
    assert load_config().api.port == 8005
    monkeypatch.setenv("LAB_CONFIG", str(toml(tmp_path, "[api]\nport = 8006", "other.toml")))
    assert load_config().api.port == 8006


def test_every_variable_reaches_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"LAB_PATH": "a/b/c/d", "LAB_BROKER_PORT": "1", "LAB_API_PORT": "2", "LAB_COMMIT_S": "5"}
    for name in VARIABLES:
        monkeypatch.setenv(name, values.get(name, "7"))
    config = msgspec.to_builtins(load_config())
    for name, field in VARIABLES.items():
        found = config
        for part in field.split("."):
            found = found[part]
        assert str(found).removesuffix(".0") == values.get(name, "7"), name
    assert config["historian"]["kind"] == "influx", "an InfluxDB's URL is there to be used"


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_BROKER", "")
    monkeypatch.setenv("LAB_INFLUX_URL", "")
    assert load_config() == Config()


def test_a_broker_by_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_BROKER", "mqtt://gw:p%40ss@broker.example:1884")
    broker = load_config().broker
    assert (broker.kind, broker.host, broker.port) == ("external", "broker.example", 1884)
    assert (broker.username, broker.password) == ("gw", "p@ss")
    assert "p@ss" not in repr(load_config()), "a traceback must not show a password"
    assert load_config(broker="other").broker.host == "other"
    assert load_config(broker="mqtt://[::1]").broker.host == "::1"


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "mqtt://h:port", "mqtt://h:99999", "mqtt://h/topic"])
def test_a_broker_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="--broker"):
        load_config(broker=url)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('# a comment\n[api]\nport = "x"', ["line 3", "api.port", "int"]),
        ("[api]\nport = 0", ["line 2", "api.port", ">= 1"]),
        ("[api]\nprot = 8000", ["line 2", "api.prot", "Did you mean 'port'"]),
        ("[broker]\nzzz = 1", ["line 2", "broker.zzz", "There are: kind, host"]),
        ("zzz = 1", ["line 1", "zzz", "data_dir"]),
        ('[broker]\nkind = "rabbit"', ["line 2", "broker.kind", "'rabbit'"]),
        ('[[plants]]\nid = "a"\n[[plants]]\nid = "b"\nspeed = 601', ["line 5", "plants[1].speed", "600"]),
        ('[[plants]]\nid = "a b"', ["line 2", "plants[0].id", "letters"]),
        ("[[plants]]\n[[plants]]", ["plants", "'tep-1'"]),
        ('path = "kyushu/lab"', ["path", "enterprise/site/area/line"]),
        ("api = 3", ["line 1", "api"]),
        ("port 3", ["TOML", "line 1"]),
    ],
)
def test_an_error_names_file_line_field_and_remedy(tmp_path: Path, content: str, words: list[str]) -> None:
    file = toml(tmp_path, content)
    with pytest.raises(ConfigError) as error:
        load_config(file)
    for word in ["x.toml", *words]:
        assert word in str(error.value), str(error.value)


def test_errors_in_variables_and_flags_name_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAB_API_PORT", "eighty")
    with pytest.raises(ConfigError, match=r"LAB_API_PORT: api\.port"):
        load_config()
    monkeypatch.delenv("LAB_API_PORT")
    with pytest.raises(ConfigError, match=r"--api-port: api\.port"):
        load_config(api_port=99999)
    with pytest.raises(ConfigError, match="nowhere"):
        load_config(tmp_path / "nowhere.toml")
    (tmp_path / "latin.toml").write_bytes(b'path = "\xe9"')
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "latin.toml")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    config = Config(data_dir='C:\\データ "x"\x7f\t', plants=[PlantConfig("a", 2, 3.5), PlantConfig("b")])
    config.broker.password = "påss'\\"
    config.historian.keep_gb = 1.5
    write_config(config, tmp_path / "c.toml")
    assert load_config(tmp_path / "c.toml") == config
    if os.name != "nt":
        assert (tmp_path / "c.toml").stat().st_mode & 0o077 == 0, "it holds a password"
    write_config(Config(plants=[]), tmp_path / "c.toml")
    assert load_config(tmp_path / "c.toml").plants == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f"
    write_private(file, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            write_private(file, b"new")
    assert file.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def run_info(data_dir: Path, pid: int) -> RunInfo:
    return RunInfo(pid, "1", 0.0, str(data_dir), "mosquitto", "2", "127.0.0.1", 1999, "127.0.0.1", 8999)


def test_running_needs_a_living_supervisor_that_holds_the_lock(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    lock = Lock(tmp_path)
    write_private(run_file(tmp_path), msgspec.json.encode(run_info(tmp_path, os.getpid())))
    info = running(tmp_path)
    assert info is not None
    assert info.url == "http://127.0.0.1:8999/"
    config = attached(Config(data_dir=str(tmp_path)))
    assert (config.broker.port, config.api.port) == (1999, 8999)
    with pytest.raises(AlreadyRunning):
        Lock(tmp_path)
    lock.release()
    assert running(tmp_path) is None, "its process id may be somebody else's by now"
    assert attached(Config(data_dir=str(tmp_path))) == Config(data_dir=str(tmp_path))
    Lock(tmp_path).release()


def test_running_survives_what_it_cannot_read(tmp_path: Path) -> None:
    run_file(tmp_path).parent.mkdir()
    run_file(tmp_path).write_bytes(b'{"pid": "half a fi')
    assert running(tmp_path) is None


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "http://127.0.0.1:1/"), ("::", "http://[::1]:1/")])
def test_the_address_of_a_wildcard_is_this_machine(host: str, url: str) -> None:
    assert RunInfo(1, "", 0.0, "", "amqtt", "", "", 1, host, 1).url == url


def test_texts_are_in_both_languages() -> None:
    assert text("config.name", "en") != text("config.name", "ja")


def test_the_documented_file_is_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    blocks = page.split("```toml\n")[1:]
    assert blocks
    for block in blocks:
        load_config(toml(tmp_path, block.split("```")[0]))
