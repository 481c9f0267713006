"""The configuration, `lab.toml`, in its order of precedence: defaults, the file, LAB_* variables, the command's flags.

What `lab up` made of it stands in `lab.running`; `attached` gives a command beside it the ports in effect.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from devices.topics import LEVEL
from lab.running import ProcessInfo as ProcessInfo
from lab.running import RunInfo as RunInfo
from lab.running import running as running
from lab.running import write_private
from lab.text import text

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Positive = Annotated[float, msgspec.Meta(gt=0)]


class ConfigError(Exception):
    """The configuration cannot be used; the text names file and field and says what to do."""


class BrokerConfig(msgspec.Struct, forbid_unknown_fields=True):
    """`kind` auto: mosquitto when it is installed, else amqtt; external: somebody else's broker at host and port."""

    kind: Literal["auto", "mosquitto", "amqtt", "external"] = "auto"
    host: str = "127.0.0.1"
    port: Port = 1883
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"BrokerConfig(kind={self.kind!r}, host={self.host!r}, port={self.port})"  # no secrets in a traceback


class ApiConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Where the page is served."""

    host: str = "127.0.0.1"
    port: Port = 8000


class HistorianConfig(msgspec.Struct, forbid_unknown_fields=True):
    """`url` is an InfluxDB's, with `database` (a bucket on 2.x) and `token`; both are unused by the embedded store."""

    kind: Literal["embedded", "influx"] = "embedded"
    url: str = "http://127.0.0.1:8086"
    database: str = "lab"
    org: str = "lab"
    token: str | None = None
    keep_days: Positive | None = None
    """Delete readings older than this (none: never)."""
    keep_gb: Positive | None = None
    """Delete the oldest readings when the store grows over this (none: never)."""
    commit_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 1.0
    """At most this long between commits; longer spares an SD card, and loses nothing (gateways keep their spool)."""

    def __repr__(self) -> str:
        return f"HistorianConfig(kind={self.kind!r}, url={self.url!r}, database={self.database!r})"


class ScoringConfig(msgspec.Struct, forbid_unknown_fields=True):
    """How what is scored changes by itself."""

    accept_after_s: Positive | None = None
    """Take where an asset stands for normal when an episode of the process has lasted so long, in seconds of the
    asset's own clock, without a limit in sight (none: only when a user says so)."""


class PlantConfig(msgspec.Struct, forbid_unknown_fields=True):
    """A simulated plant of `lab up`."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")] = "tep-1"
    seed: Annotated[int, msgspec.Meta(ge=0)] = 1
    speed: Annotated[float, msgspec.Meta(ge=1, le=600)] = 60.0


class PipingConfig(msgspec.Struct, forbid_unknown_fields=True):
    """The live sensors of the simulated piping, on the page "Corrosion"."""

    points: Annotated[int, msgspec.Meta(ge=0, le=60)] | None = None
    """How many points have sensors; None: three beside simulated plants, none without."""
    speed: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 600.0


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """Everything that can be set, with the defaults that `lab up` uses."""

    data_dir: str = "lab-data"
    path: str = "kyushu/lab/demo/line1"
    """enterprise/site/area/line of the lab's own gateways."""
    broker: BrokerConfig = msgspec.field(default_factory=BrokerConfig)
    api: ApiConfig = msgspec.field(default_factory=ApiConfig)
    historian: HistorianConfig = msgspec.field(default_factory=HistorianConfig)
    scoring: ScoringConfig = msgspec.field(default_factory=ScoringConfig)
    plants: list[PlantConfig] = msgspec.field(default_factory=lambda: [PlantConfig()])
    piping: PipingConfig = msgspec.field(default_factory=PipingConfig)

    @property
    def piping_points(self) -> int:
        """Points of the simulated piping that have live sensors."""
        return (3 if self.plants else 0) if self.piping.points is None else self.piping.points

    def __post_init__(self) -> None:
        levels = self.path.split("/")
        if len(levels) != 4 or not all(LEVEL.match(level) for level in levels):
            raise ValueError(text("config.path", path=self.path))
        ids = [plant.id for plant in self.plants]
        if twice := sorted({name for name in ids if ids.count(name) > 1}):
            raise ValueError(text("config.twice", id=twice[0]))

    @property
    def data(self) -> Path:
        """The data directory; nothing is written anywhere else."""
        return Path(self.data_dir)

    @property
    def database(self) -> Path:
        """The lab's database file."""
        return self.data / "lab.db"

    @property
    def models(self) -> Path:
        """Fitted models: `{kind}.model` for all assets of a kind, `asset-{id}.model` for one."""
        return self.data / "models"

    @property
    def spools(self) -> Path:
        """One spool per gateway: `{gateway}.db`."""
        return self.data / "spools"


VARIABLES: Final[Mapping[str, str]] = {
    "LAB_DATA_DIR": "data_dir",
    "LAB_PATH": "path",
    "LAB_BROKER_PORT": "broker.port",
    "LAB_API_HOST": "api.host",
    "LAB_API_PORT": "api.port",
    "LAB_INFLUX_URL": "historian.url",
    "LAB_INFLUX_DATABASE": "historian.database",
    "LAB_INFLUX_ORG": "historian.org",
    "LAB_INFLUX_TOKEN": "historian.token",
    "LAB_KEEP_DAYS": "historian.keep_days",
    "LAB_KEEP_GB": "historian.keep_gb",
    "LAB_COMMIT_S": "historian.commit_s",
    "LAB_ACCEPT_AFTER_S": "scoring.accept_after_s",
}
"""Environment variable -> field; with LAB_BROKER (a URL) and LAB_CONFIG (the file) these are all there are."""


class Settings(NamedTuple):
    """A configuration and which of its fields somebody set (`broker.port`, …), against those left to the defaults."""

    config: Config
    given: frozenset[str]


def load_config(
    file: Path | None = None,
    *,
    data_dir: str | None = None,
    broker: str | None = None,
    api_port: int | None = None,
    broker_port: int | None = None,
) -> Config:
    """Read the configuration: defaults, then the file, then LAB_* variables, then the arguments.

    Args:
        file: a TOML file; without one LAB_CONFIG's, else `lab.toml` in the data directory if it is there.
        data_dir: overrides `data_dir` (as LAB_DATA_DIR does).
        broker: `mqtt://[user:password@]host[:port]` of an external broker (as LAB_BROKER does).
        api_port: overrides `api.port` (as LAB_API_PORT does).
        broker_port: overrides `broker.port` (as LAB_BROKER_PORT does).

    Raises:
        ConfigError: the file is missing or not valid; the text names it and the field.
    """
    flags = {"data_dir": data_dir, "api.port": api_port, "broker.port": broker_port}
    return load_settings(file, broker, flags).config


def load_settings(file: Path | None, broker: str | None, flags: Mapping[str, object]) -> Settings:
    """As `load_config`, with the flags by their field's name (None: not given), and what was given.

    Raises:
        ConfigError: as `load_config`.
    """
    environ = {name: value for name, value in os.environ.items() if name.startswith("LAB_") and value}
    if file is None and "LAB_CONFIG" in environ:
        file = Path(environ["LAB_CONFIG"])
    if file is None:
        data_dir = flags.get("data_dir") or environ.get("LAB_DATA_DIR") or Config().data_dir
        beside = Path(str(data_dir)) / "lab.toml"
        file = beside if beside.is_file() else None

    merged: dict[str, Any] = {}
    if file is not None:
        _merge(merged, _checked(str(file), *_read(file)))
    for name, field in VARIABLES.items():
        if name in environ:
            _merge(merged, _checked(name, _nested(field, environ[name])))
    if "LAB_INFLUX_URL" in environ:
        _merge(merged, _nested("historian.kind", "influx"))
    for source, url in (("LAB_BROKER", environ.get("LAB_BROKER")), ("--broker", broker)):
        if url:
            _merge(merged, {"broker": _broker_from_url(source, url)})
    for field, value in flags.items():
        if value is not None:
            source = f"--{field.replace('.', '-').replace('_', '-')}"
            _merge(merged, _checked(source, _nested(field, value)))
    return Settings(_convert(", ".join(["lab.toml", *flags]), merged), frozenset(_fields(merged)))


def write_config(config: Config, file: Path) -> None:
    """Write a configuration as TOML, atomically and readable by its owner alone (it may hold a password).

    Raises:
        OSError: the folder cannot be written.
    """
    lines: list[str] = []
    _toml(msgspec.to_builtins(config), "", lines)
    write_private(file, ("\n".join(lines) + "\n").encode())


def _toml(table: Mapping[str, Any], name: str, lines: list[str]) -> None:
    for key, value in table.items():
        if value is not None and not isinstance(value, dict | list):
            # A JSON string is a TOML string, but for DEL.
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f"))
    for key, value in table.items():
        full = f"{name}.{key}" if name else key
        if isinstance(value, dict):
            lines.append(f"\n[{full}]")
            _toml(value, full, lines)
        elif isinstance(value, list) and value:
            for item in value:
                lines.append(f"\n[[{full}]]")
                _toml(item, full, lines)
        elif isinstance(value, list):
            lines.insert(0, f"{full} = []")


def _read(file: Path) -> tuple[dict[str, Any], str]:
    try:
        content = file.read_text(encoding="utf-8-sig")  # an editor on Windows may put a BOM in front
        return tomllib.loads(content), content
    except OSError as error:
        raise ConfigError(text("config.unreadable", file=file, why=error.strerror)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(text("config.encoding", file=file)) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(text("config.syntax", file=file, why=error)) from error


def _nested(field: str, value: object) -> dict[str, Any]:
    for part in reversed(field.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _fields(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key, value in tree.items():
        found += _fields(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return found


def _checked(source: str, layer: dict[str, Any], content: str = "") -> dict[str, Any]:
    """The layer itself, once it is known to be valid alone, so that an error can name where it came from."""
    _convert(source, layer, content)
    return layer


def _convert(source: str, document: dict[str, Any], content: str = "") -> Config:
    try:
        return msgspec.convert(document, Config, strict=bool(content))
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(source, content, str(error))) from error


def _explain(source: str, content: str, message: str) -> str:
    """A message of msgspec's ("Expected `int`, got `str` - at `$.api.port`") for the person who wrote the file."""
    problem, _, at = message.partition(" - at `$")
    field = at.rstrip("`").lstrip(".")
    if unknown := re.search(r"unknown field `(.+?)`", problem):
        known = _known_fields(field)
        import difflib

        near = difflib.get_close_matches(unknown[1], known, 1)
        field = f"{field}.{unknown[1]}" if field else unknown[1]
        hint = (
            text("config.unknown.near", name=near[0]) if near else text("config.unknown.list", names=", ".join(known))
        )
        problem = text("config.unknown", hint=hint)
    elif wanted := re.fullmatch(r"Expected `(.+?)`, got `(.+)`", problem):
        problem = text("config.type", want=wanted[1].replace(" | null", ""), got=wanted[2])
    elif wanted := re.fullmatch(r"Expected `\w+` ([<>]=?) (.+)", problem):
        problem = text("config.range", bound=f"{wanted[1]} {wanted[2]}")
    elif "matching regex" in problem:
        problem = text("config.name")
    elif wanted := re.fullmatch(r"Invalid enum value (.+)", problem):
        problem = text("config.choice", got=wanted[1])
    line = _line(content, field)
    where = text("config.line", source=source, line=line) if line else source
    return text("config.invalid", where=where, field=field, problem=problem) if field else f"{where}: {problem}"


def _known_fields(table: str) -> tuple[str, ...]:
    tables: dict[str, type[msgspec.Struct]] = {
        "": Config,
        "broker": BrokerConfig,
        "api": ApiConfig,
        "historian": HistorianConfig,
    }
    return tables.get(table, PlantConfig).__struct_fields__


def _line(content: str, field: str) -> int | None:
    """The line of a TOML text that sets a field (`api.port`, `plants[1].speed`), when it is written the usual way."""
    *table, key = re.sub(r"\[\d+\]", "", field).split(".")
    nth = int(found[1]) if (found := re.search(r"\[(\d+)\]", field)) else 0
    current, seen = "", -1
    for number, line in enumerate(content.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([\w.]+)\s*\]+", line):
            current = header[1]
            seen += current == ".".join(table)
        elif current == ".".join(table) and max(seen, 0) == nth and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return number
    return None


def _broker_from_url(source: str, url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url if "//" in url else f"mqtt://{url}")
        port = parts.port or 1883
    except ValueError as error:
        raise ConfigError(text("config.broker", source=source, why=error)) from error
    if parts.scheme != "mqtt" or not parts.hostname or parts.path.strip("/"):
        raise ConfigError(text("config.broker", source=source, why=f"{parts.scheme}://{parts.hostname or ''}"))
    found: dict[str, Any] = {"kind": "external", "host": parts.hostname, "port": port}
    if parts.username:
        found |= {"username": unquote(parts.username), "password": unquote(parts.password or "")}
    return found


def attached(config: Config) -> Config:
    """The configuration with broker and API as the lab running on its data directory has them, if one is.

    A command beside a running `lab up` (`lab replay`, `lab plant`) finds the ports in effect so.
    """
    info = running(config.data)
    if info is None or config.broker.kind == "external":
        return config
    broker = msgspec.structs.replace(config.broker, host=info.broker_host, port=info.broker_port)
    return msgspec.structs.replace(
        config, broker=broker, api=msgspec.structs.replace(config.api, host=info.api_host, port=info.api_port)
    )
