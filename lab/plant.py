"""The device process: the configured simulated plants, sent to the broker of the running lab."""

import dataclasses
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from devices.agent import Agent
from devices.frame import Asset, Channel, Command, Reply
from devices.link import BrokerAddress
from lab import __version__
from lab.config import Config, load_config, load_settings
from lab.corrosion.register import Register
from lab.running import running
from models.corrosion.tables import Inspections, Lines, Points, Weather

log = logging.getLogger("lab.plant")

PIPING_SEED: Final = 1
"""Of the piping that is shown and of its sensors."""


def device_config(file: Path | None, data_dir: str | None, broker: str | None) -> Config:
    """The configuration of a device: what `lab up` runs on the data directory, unless somebody names another broker.

    Raises:
        ConfigError: the configuration is not valid.
    """
    settings = load_settings(file, broker, {"data_dir": data_dir})
    if not broker and not os.environ.get("LAB_BROKER"):
        effective = settings.config.data / "run" / "config.toml"
        if running(settings.config.data) is not None and effective.is_file():
            return load_config(effective, data_dir=settings.config.data_dir)
    return settings.config


def connect(
    config: Config,
    gateway: str,
    asset: Asset,
    channels: list[Channel],
    on_command: Callable[[Command], Reply | None] | None = None,
    *,
    simulator: bool = False,
) -> Agent:
    """An agent (not started) for one asset whose gateway has its name, with its spool in the data directory.

    Raises:
        ValueError: names that are not allowed.
        SpoolError: the spool cannot be used, or another process has it.
    """
    return Agent(
        gateway,
        config.path,
        [asset],
        channels,
        config.spools / f"{gateway}.db",
        BrokerAddress(config.broker.host, config.broker.port, config.broker.username, config.broker.password),
        on_command=on_command,
        version=__version__,
        clock="ntp",
        simulator=simulator,
    )


def run(config: Config, stop: threading.Event) -> None:
    """Run the configured plants, and the sensors of the simulated piping, until `stop` is set.

    Raises:
        ValueError: an id, speed or seed that cannot be.
        SpoolError: a spool cannot be used, or another process has it.
    """
    from devices.simulated import Plant, asset, channels, run_plants

    failed: list[BaseException] = []
    beside = threading.Thread(target=_run_piping, args=(config, stop, failed), name="piping")
    if config.piping_points:
        beside.start()
    plants = {plant.id: Plant(plant.seed, plant.speed) for plant in config.plants}
    for plant in config.plants:
        log.info("plant %s: seed %d, %g times as fast as the clock", plant.id, plant.seed, plant.speed)
    try:
        if plants:
            run_plants(
                plants,
                lambda id, on_command: connect(config, id, asset(id), channels(), on_command, simulator=True),
                stop,
            )
        else:
            stop.wait()
    finally:
        stop.set()
        if beside.ident is not None:
            beside.join()
    if failed:
        raise failed[0]


def _run_piping(config: Config, stop: threading.Event, failed: list[BaseException]) -> None:
    from devices import piping

    try:
        sensors = piping.Sensors(PIPING_SEED, config.piping_points)
        log.info("piping: sensors at %s, %g times as fast as the clock", ", ".join(sensors.ids), config.piping.speed)
        connected = lambda id: connect(config, id, piping.asset(id), piping.channels())  # noqa: E731
        piping.run_sensors(sensors, config.piping.speed, connected, stop)
    except Exception as error:  # told by `run`, in whose thread it belongs
        failed.append(error)
        stop.set()


def example_piping() -> tuple[Register, int]:
    """The simulated piping that a lab shows before a plant's own files are imported, and its seed."""
    from devices.piping import piping

    made, _ = piping(PIPING_SEED)
    return adopt(made), PIPING_SEED


def adopt(made: Any) -> Register:
    """The records of a simulated plant as the lab's own tables."""

    def columns(name: str, kind: Any) -> Any:
        table = getattr(made, name)
        return kind(**{field.name: getattr(table, field.name) for field in dataclasses.fields(kind)})

    return Register(
        columns("lines", Lines),
        columns("points", Points),
        columns("inspections", Inspections),
        columns("weather", Weather),
        np.zeros(len(made.points.id), np.bool_),
    )
