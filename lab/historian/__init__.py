"""Where readings are kept: one protocol (`base`), embedded SQLite by default (`embedded`), InfluxDB (`influx`)."""

from lab.config import Config
from lab.historian.base import Historian
from lab.historian.embedded import EmbeddedHistorian
from lab.store import Store


def open_historian(config: Config, store: Store) -> Historian:
    """The historian that the configuration names.

    Args:
        config: the lab's configuration (`historian`).
        store: the lab's database; the embedded historian lives in it, and its owner closes it.

    Raises:
        HistorianError: InfluxDB does not answer, or its client is not installed.
    """
    settings = config.historian
    if settings.kind == "influx":
        from lab.historian.influx import InfluxHistorian

        return InfluxHistorian(settings.url, settings.database, settings.org, settings.token)
    return EmbeddedHistorian(store, keep_days=settings.keep_days, keep_gb=settings.keep_gb)
