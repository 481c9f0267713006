"""The configuration: one TOML file (`lab.toml` in the data directory, or --config), LAB_* variables, then flags."""

import os
import tomllib
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec


class ConfigError(Exception):
    """The configuration cannot be used; the text names file and field and says what to do."""


class BrokerConfig(msgspec.Struct, forbid_unknown_fields=True):
    """`kind` auto: mosquitto when it is installed, else amqtt; external: somebody else's broker at host and port."""

    kind: Literal["auto", "mosquitto", "amqtt", "external"] = "auto"
    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password: str | None = None


class ApiConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Where the page is served."""

    host: str = "127.0.0.1"
    port: int = 8000


class HistorianConfig(msgspec.Struct, forbid_unknown_fields=True):
    """`url` is an InfluxDB's, with `database` (a bucket on 2.x) and `token`; both are unused by the embedded store."""

    kind: Literal["embedded", "influx"] = "embedded"
    url: str = "http://127.0.0.1:8086"
    database: str = "lab"
    org: str = "lab"
    token: str | None = None
    keep_days: float | None = None
    """Delete readings older than this (none: never)."""
    keep_gb: float | None = None
    """Delete the oldest readings when the store grows over this (none: never)."""
    commit_s: float = 0.2
    """At most this long between commits; longer spares an SD card, and loses nothing (gateways keep their spool)."""


class PlantConfig(msgspec.Struct, forbid_unknown_fields=True):
    """A simulated plant of `lab up`."""

    id: str = "tep-1"
    seed: int = 1
    speed: float = 60.0


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """Everything that can be set, with the defaults that `lab up` uses."""

    data_dir: str = "lab-data"
    path: str = "kyushu/lab/demo/line1"
    """enterprise/site/area/line of the lab's own gateways."""
    broker: BrokerConfig = msgspec.field(default_factory=BrokerConfig)
    api: ApiConfig = msgspec.field(default_factory=ApiConfig)
    historian: HistorianConfig = msgspec.field(default_factory=HistorianConfig)
    plants: list[PlantConfig] = msgspec.field(default_factory=lambda: [PlantConfig()])

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


def load_config(
    file: Path | None = None, *, data_dir: str | None = None, broker: str | None = None, api_port: int | None = None
) -> Config:
    """Read the configuration: defaults, then the file, then LAB_* variables, then the arguments.

    Args:
        file: a TOML file; without one, `lab.toml` in the data directory if it is there.
        data_dir: overrides `data_dir` (as LAB_DATA_DIR does).
        broker: `mqtt://[user:password@]host[:port]` of an external broker (as LAB_BROKER does).
        api_port: overrides `api.port` (as LAB_API_PORT does).

    Raises:
        ConfigError: the file is missing or not valid; the text names it and the field.
    """
    data_dir = data_dir or os.environ.get("LAB_DATA_DIR")
    if file is None:
        beside = Path(data_dir or Config().data_dir) / "lab.toml"
        file = beside if beside.is_file() else None
    config = Config()
    if file is not None:
        try:
            config = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Config)
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: {error}") from error
    if data_dir:
        config.data_dir = data_dir
    if broker := broker or os.environ.get("LAB_BROKER"):
        config.broker = _broker_from_url(broker)
    config.api.host = os.environ.get("LAB_API_HOST", config.api.host)
    port = api_port or os.environ.get("LAB_API_PORT")
    if port:
        try:
            config.api.port = int(port)
        except ValueError as error:
            raise ConfigError(f"LAB_API_PORT: {port!r} is not a port number") from error
    if url := os.environ.get("LAB_INFLUX_URL"):
        config.historian.kind = "influx"
        config.historian.url = url
        config.historian.database = os.environ.get("LAB_INFLUX_DATABASE", config.historian.database)
        config.historian.org = os.environ.get("LAB_INFLUX_ORG", config.historian.org)
        config.historian.token = os.environ.get("LAB_INFLUX_TOKEN", config.historian.token)
    return config


def _broker_from_url(url: str) -> BrokerConfig:
    try:
        parts = urlsplit(url if "//" in url else f"mqtt://{url}")
        port = parts.port or 1883
    except ValueError as error:
        raise ConfigError(f"broker {url!r}: {error}") from error
    if parts.scheme != "mqtt" or not parts.hostname:
        raise ConfigError(f"broker {url!r}: want mqtt://[user:password@]host[:port]")
    return BrokerConfig(
        kind="external", host=parts.hostname, port=port, username=parts.username, password=parts.password
    )
