"""`lab replay`: stream a recorded table into the running lab as if its sensors were measuring now."""

import re
import sys
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lab.arguments import Clock, Every, Sensors, Tag, Value, parse_wanted, parse_zone
from lab.text import text

if TYPE_CHECKING:
    import threading

    from devices.agent import Agent
    from devices.replay import Times
    from lab.config import Config
    from lab.longtable import Wanted
    from lab.tables import Table

DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|h)?\Z")
SECONDS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
ASSET: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
LABELS: Final = re.compile(r"(is_?)?(anomal(y|ies)|change_?points?|labels?|attack|outlier|faulty?|異常|ラベル)\Z")
RECEIPT_S: Final = 30.0
"""Without any receipt for so long, the lab is not taking the readings."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        help=text("devices.replay.help"),
        epilog="lab replay line.csv --asset press-1 --speed 60 --period 180s --normal good-days.csv",
    )
    def replay(
        file: Annotated[Path, typer.Argument(help=text("devices.replay.file"), metavar="FILE")],
        asset: Annotated[str | None, typer.Option(help=text("devices.replay.option.asset"))] = None,
        speed: Annotated[float, typer.Option(help=text("devices.replay.option.speed"), min=0.001, max=1e6)] = 60.0,
        period: Annotated[str | None, typer.Option(help=text("devices.replay.option.period"))] = None,
        time: Annotated[str | None, typer.Option(help=text("devices.replay.option.time"))] = None,
        timezone: Annotated[str | None, typer.Option(help=text("devices.replay.option.timezone"))] = None,
        ignore: Annotated[str, typer.Option(help=text("devices.replay.option.ignore"))] = "",
        learn: Annotated[int, typer.Option(help=text("devices.replay.option.learn"), min=20, max=100_000)] = 150,
        normal: Annotated[Path | None, typer.Option(help=text("devices.replay.option.normal"))] = None,
        model: Annotated[Path | None, typer.Option(help=text("devices.replay.option.model"))] = None,
        keep_time: Annotated[bool, typer.Option("--keep-time", help=text("devices.replay.option.keep_time"))] = False,
        max_pause: Annotated[str | None, typer.Option(help=text("devices.replay.option.max_pause"))] = None,
        loop: Annotated[bool, typer.Option("--loop", help=text("devices.replay.option.loop"))] = False,
        data_dir: Annotated[str | None, typer.Option(help=text("devices.option.data_dir"))] = None,
        sensors: Sensors = "",
        tag: Tag = "",
        value: Value = None,
        clock: Clock = None,
        every: Every = None,
        config: Annotated[Path | None, typer.Option(help=text("devices.option.config"))] = None,
        broker: Annotated[str | None, typer.Option(help=text("devices.option.broker"))] = None,
    ) -> None:
        from devices.spool import SpoolError
        from lab.plant import device_config
        from lab.tables import TableError
        from models.detector import ModelError

        id = _asset_id(asset, file)
        if keep_time and loop:
            raise typer.BadParameter(text("devices.replay.loop_or_keep"), param_hint="--loop")
        if normal is not None and model is not None:
            raise typer.BadParameter(text("devices.replay.normal_or_model"), param_hint="--model")
        seconds = _seconds("--period", period)
        pause = _seconds("--max-pause", max_pause)
        left_out = [name.strip() for name in ignore.split(",") if name.strip()]
        zone, wanted = parse_zone(timezone), parse_wanted(sensors, tag, value, clock, every)
        settings = device_config(config, data_dir, broker)
        try:
            table = _read(file, time, seconds, left_out, zone, wanted)
            if keep_time and table.zoneless and zone is None:
                typer.echo(text("score.utc", data=file), err=True)
            offsets, stamps = _plan(table, speed, pause, keep_time)
            fitted = _prepare_model(settings, id, table, normal, model, time, left_out, zone, wanted)
            done = _stream(settings, id, table, offsets, stamps, None if fitted else learn, loop)
        except ModelError as error:
            typer.echo(text("model.error", reason=error), err=True)
            raise typer.Exit(1) from None
        except (TableError, ValueError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
        except SpoolError as error:
            typer.echo(text("devices.spool", why=error), err=True)
            raise typer.Exit(1) from None
        raise typer.Exit(0 if done else 1)


def _asset_id(asset: str | None, file: Path) -> str:
    if asset is None:
        name = file.name.split(".")[0]
        asset = re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_")[:64]
        # 温度_4.csv and 流量_4.csv would both be the asset 4
        if not asset or any(sign.isalnum() and not sign.isascii() for sign in name):
            raise typer.BadParameter(text("devices.replay.name_it", file=file.name), param_hint="--asset")
    if not ASSET.match(asset):
        raise typer.BadParameter(text("devices.replay.asset", asset=asset), param_hint="--asset")
    return asset


def _seconds(option: str, value: str | None) -> float | None:
    """`180`, `180s`, `3min`, `0.5h` or `200ms` in seconds."""
    if value is None:
        return None
    found = DURATION.match(value.strip())
    if not found or float(found[1]) <= 0.0:
        raise typer.BadParameter(text("devices.replay.duration", value=value), param_hint=option)
    return float(found[1]) * SECONDS[found[2] or "s"]


def _read(
    file: Path, time: str | None, period_s: float | None, ignore: list[str], zone: tzinfo | None, wanted: "Wanted"
) -> "Table":
    """Read the table and say what was assumed.

    Raises:
        TableError: the file cannot be used.
    """
    import numpy as np

    from lab.tables import read_table

    table = read_table(file, time=time, period_s=period_s, ignore=ignore, zone=zone, wanted=wanted)
    for note in table.notes:
        typer.echo(note, err=True)
    if table.period_s is None:
        typer.echo(text("devices.replay.assumed"), err=True)
        table = table._replace(period_s=1.0)
    for at, name in enumerate(table.columns):
        column = table.values[:, at]
        if LABELS.match(name.strip().lower()) and np.isin(column[~np.isnan(column)], (0.0, 1.0)).all():
            typer.echo(text("devices.replay.label", column=name), err=True)
    return table


def _plan(table: "Table", speed: float, pause: float | None, keep_time: bool) -> "tuple[Times, Times | None]":
    """When the rows go out, and the times they carry if those of the file are kept.

    Raises:
        ValueError: the file's times cannot be kept, or the speed is too high for it.
    """
    import time

    from devices.replay import schedule

    assert table.period_s is not None
    offsets = schedule(table.time, len(table.values), table.period_s, speed, pause)
    if not keep_time:
        return offsets, None
    if table.time is None or table.elapsed:
        raise ValueError(text("devices.replay.no_times", file=table.path))
    if int(table.time[-1]) > time.time_ns():
        raise ValueError(text("devices.replay.future", file=table.path))
    return offsets, table.time


def _prepare_model(
    config: "Config",
    id: str,
    table: "Table",
    normal: Path | None,
    model: Path | None,
    time: str | None,
    ignore: list[str],
    zone: tzinfo | None,
    wanted: "Wanted",
) -> bool:
    """Put the asset's model in place before its first row comes; false when it is to be learned from these.

    Raises:
        TableError: the file of normal operation cannot be used.
        ModelError: the model file cannot be used.
        ValueError: the normal rows are too few.
    """
    place = config.models / f"asset-{id}.model"
    if normal is None and model is None:
        if place.exists():
            typer.echo(text("devices.replay.known", file=place), err=True)
        return False
    import numpy as np

    from devices.replay import tags
    from lab.fitting import learn, load_model, odd_periods, renamed, split_runs
    from lab.tables import TableError
    from models.detector import save
    from models.precursor import LEAST_ROWS

    if model is not None:
        chosen = renamed(load_model(model), dict(zip(table.columns, tags(table.columns), strict=True)))
        lacking = [name for name in chosen.detector.sensors if name not in tags(table.columns)]
        if 2 * len(lacking) > len(chosen.detector.sensors):  # the collector would not use it
            raise TableError(text("table.lacks", path=table.path, sensors=", ".join(lacking[:10])))
        save(chosen.detector, place, {"source": str(model.name)})
    elif normal is not None:
        from lab.tables import read_table

        good = read_table(normal, time=time, period_s=table.period_s, ignore=ignore, zone=zone, wanted=wanted)
        if missing := [name for name in table.columns if name not in good.columns]:
            raise ValueError(text("devices.replay.columns", file=normal, missing=", ".join(missing[:5])))
        values = good.values[:, [good.columns.index(name) for name in table.columns]]
        assert table.period_s is not None
        for line in [*good.notes, *odd_periods([good], table.period_s)]:
            typer.echo(line, err=True)
        typer.echo(text("devices.replay.fitting", rows=len(values), file=normal), err=True)
        runs = split_runs(good, values, table.period_s)
        rows = sum(len(run) for run in runs if len(run) > 1)
        if rows < LEAST_ROWS:
            raise TableError(text("table.few", path=normal, rows=rows, least=LEAST_ROWS))
        if not np.isfinite(values).any():
            raise TableError(text("table.valueless", path=normal))
        detector = learn(runs, tags(table.columns), table.period_s)
        save(detector, place, {"source": normal.name, "rows": len(values)})
    typer.echo(text("devices.replay.model", file=place), err=True)
    return True


def _stream(
    config: "Config", id: str, table: "Table", offsets: "Times", stamps: "Times | None", learn: int | None, loop: bool
) -> bool:
    """Send the table; true when the lab acknowledged all of it."""
    import logging

    import numpy as np

    from devices.frame import Asset, Channel
    from devices.replay import channels, play, tags
    from lab.plant import connect
    from lab.running import stop_event

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    values, sent = table.values, channels(table.columns)
    clock = None
    if table.clock_s is not None and table.clock is not None:
        # of all headers together: no two may become one tag
        clock = tags([*table.columns, table.clock])[-1]
        sent.append(Channel(clock, "s", name="" if clock == table.clock else table.clock, role="status"))
        values = np.column_stack([values, table.clock_s])
    asset = Asset(id, "csv", table.path.name, learn_rows=learn, clock=clock, period_s=table.period_s)
    agent = connect(config, id, asset, sent)
    stop = stop_event()
    agent.start()
    try:
        where = f"{config.broker.host}:{config.broker.port}"
        typer.echo(text("devices.replay.start", rows=len(offsets), columns=len(table.columns), asset=id, broker=where))
        loop_s = table.period_s if loop else None
        with typer.progressbar(length=len(offsets), file=sys.stderr, hidden=loop) as bar:
            rows = play(agent, values, offsets, stop, stamps=stamps, loop_s=loop_s, sent=bar.update)
        done = _wait(agent, stop)
    finally:
        agent.stop()
    counters = agent.counters()
    waiting = agent.spool_stats().frames
    typer.echo(
        text(
            "devices.replay.done",
            rows=rows,
            frames=counters.frames,
            acknowledged=max(0, counters.frames - waiting - counters.dropped),
        )
    )
    if not done:
        why = counters.last_error or text("devices.replay.silent")
        typer.echo(text("devices.replay.kept", frames=waiting, why=why, spool=config.spools / f"{id}.db"), err=True)
    return done


def _wait(agent: "Agent", stop: "threading.Event") -> bool:
    """Wait for the receipts as long as they come; after Ctrl-C only a little."""
    import time

    left, since = -1, time.monotonic()
    while not agent.wait_acknowledged(0.5):
        frames = agent.spool_stats().frames
        if frames != left:
            left, since = frames, time.monotonic()
        if time.monotonic() - since > (5.0 if stop.is_set() else RECEIPT_S):
            return False
    return True
