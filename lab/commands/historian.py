"""`lab historian`: check, export, import and copy stored readings."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote, urlsplit

import typer

from lab.text import text

if TYPE_CHECKING:
    from lab.config import Config
    from lab.historian.base import Historian
    from lab.store import Store

DataDir = Annotated[str | None, typer.Option(help=text("historian.option.data_dir"))]
ConfigFile = Annotated[Path | None, typer.Option(help=text("historian.option.config"))]
Json = Annotated[bool, typer.Option("--json", help=text("historian.option.json"))]
Sensors = Annotated[list[str] | None, typer.Option("--sensors", "-s", help=text("historian.option.sensors"))]
From = Annotated[str | None, typer.Option("--from", help=text("historian.option.from"))]
To = Annotated[str | None, typer.Option("--to", help=text("historian.option.to"))]
File = Annotated[Path, typer.Argument(help=text("historian.argument.file"))]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=text("historian.help"), no_args_is_help=True)
    app.add_typer(group, name="historian")

    @group.command("check", help=text("historian.check.help"), epilog="lab historian check --data-dir lab-data")
    def check_(
        repair: Annotated[bool, typer.Option("--repair", help=text("historian.option.repair"))] = False,
        as_json: Json = False,
        data_dir: DataDir = None,
        config: ConfigFile = None,
    ) -> None:
        with _failures():
            raise typer.Exit(_check(_config(config, data_dir), repair, as_json))

    @group.command(
        "export", help=text("historian.export.help"), epilog="lab historian export day.parquet -s 'tep-1/*' --from -24h"
    )
    def export_(
        file: File,
        sensors: Sensors = None,
        start: From = None,
        end: To = None,
        wide: Annotated[bool, typer.Option("--wide", help=text("historian.option.wide"))] = False,
        as_json: Json = False,
        data_dir: DataDir = None,
        config: ConfigFile = None,
    ) -> None:
        from lab.historian.transfer import choose, export

        with _failures(), _opened(_config(config, data_dir)) as (historian, store):
            t0, t1 = _span(start, end)
            keys = choose(historian, sensors or ())
            if wide:
                from lab.historian.wide import export_wide

                keys = _one_asset(store, keys)
                with _progress("exporting") as progress:
                    count = export_wide(historian, file, keys, t0, t1, progress)
                _answer(as_json, "exported_wide", file=str(file), rows=count, sensors=len(keys))
                return
            with _progress("exporting") as progress:
                count = export(historian, file, keys, t0, t1, progress)
            _answer(as_json, "exported", file=str(file), readings=count, sensors=len(keys))

    @group.command("import", help=text("historian.import.help"), epilog="lab historian import day.csv.gz")
    def import_(file: File, as_json: Json = False, data_dir: DataDir = None, config: ConfigFile = None) -> None:
        from lab.historian.transfer import load

        with _failures(), _configured(_config(config, data_dir), write=True) as historian:
            with _progress("importing") as progress:
                count = load(historian, file, progress)
            _compact(historian)
            _answer(as_json, "imported", file=str(file), readings=count)

    @group.command(
        "copy",
        help=text("historian.copy.help"),
        epilog="lab historian copy embedded http://127.0.0.1:8086/lab --from -7d",
    )
    def copy_(
        source: Annotated[str, typer.Argument(help=text("historian.argument.source"))],
        target: Annotated[str, typer.Argument(help=text("historian.argument.target"))],
        sensors: Sensors = None,
        start: From = None,
        end: To = None,
        token: Annotated[str | None, typer.Option(help=text("historian.option.token"))] = None,
        org: Annotated[str | None, typer.Option(help=text("historian.option.org"))] = None,
        as_json: Json = False,
        data_dir: DataDir = None,
        config: ConfigFile = None,
    ) -> None:
        from lab.historian.transfer import TransferError, choose, copy

        with _failures():
            settings = _config(config, data_dir)
            if source == target:
                raise TransferError(text("historian.same_place"))
            settings.historian.token = token or settings.historian.token
            settings.historian.org = org or settings.historian.org
            with _place(source, settings) as giver, _place(target, settings, write=True) as taker:
                t0, t1 = _span(start, end)
                keys = choose(giver, sensors or ())
                with _progress("copying") as progress:
                    count = copy(giver, taker, keys, t0, t1, progress)
                _compact(taker)
            _answer(as_json, "copied", readings=count, sensors=len(keys))


def _config(file: Path | None, data_dir: str | None) -> "Config":
    from lab.config import load_config

    return load_config(file, data_dir=data_dir)


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """What a person can mend is said in a line, and the exit code is 1."""
    from lab.historian.base import HistorianError
    from lab.historian.transfer import TransferError
    from lab.store import StoreError

    try:
        yield
    except (HistorianError, TransferError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@contextlib.contextmanager
def _configured(config: "Config", *, write: bool = False) -> "Iterator[Historian]":
    """The historian of the configuration."""
    with _opened(config, write=write) as (one, _):
        yield one


@contextlib.contextmanager
def _opened(config: "Config", *, write: bool = False) -> "Iterator[tuple[Historian, Store]]":
    """The same with the database."""
    from lab.historian import open_historian
    from lab.store import Store

    with Store(config.database, readonly=not write) as store, contextlib.closing(open_historian(config, store)) as one:
        yield one, store


def _one_asset(store: "Store", keys: Sequence[str]) -> list[str]:
    """Of some keys those that a wide table has.

    Raises:
        TransferError: they are of several assets.
    """
    from lab.historian.transfer import TransferError
    from lab.historian.wide import wide_keys

    assets = list(dict.fromkeys(key.partition("/")[0] for key in keys))
    if len(assets) != 1:
        some = ", ".join(assets[:5]) or "-"
        first = assets[0] if assets else "…"
        raise TransferError(text("historian.one_asset", count=len(assets), assets=some, first=first))
    return wide_keys(store.db, keys, assets[0])


@contextlib.contextmanager
def _place(place: str, config: "Config", *, write: bool = False) -> "Iterator[Historian]":
    """The historian that an argument of `copy` names."""
    from lab.historian.embedded import EmbeddedHistorian
    from lab.historian.influx import InfluxHistorian
    from lab.historian.transfer import TransferError
    from lab.store import Store

    parts = urlsplit(place)
    if parts.scheme in ("http", "https"):
        database = unquote(parts.path.strip("/"))
        if not database or not parts.netloc:
            raise TransferError(text("historian.no_database", place=place))
        settings = config.historian
        url = f"{parts.scheme}://{parts.netloc}"
        with contextlib.closing(InfluxHistorian(url, database, settings.org, settings.token)) as influx:
            yield influx
        return
    path = config.database if place == "embedded" else Path(place)
    if path.is_dir() or (write and path.suffix != ".db"):
        path = path / "lab.db"
    with Store(path, readonly=not write) as store:
        yield EmbeddedHistorian(store)


def _compact(historian: "Historian") -> None:
    """Leave the database as small as the collector would."""
    from lab.historian.embedded import EmbeddedHistorian

    if isinstance(historian, EmbeddedHistorian):
        while historian.compact(1.0):
            pass


def _span(start: str | None, end: str | None) -> tuple[int, int]:
    from lab.historian.series import T_END
    from lab.historian.transfer import TransferError, parse_time

    now = time.time_ns()
    t0, t1 = parse_time(start, now) if start else 0, parse_time(end, now) if end else T_END
    if t0 > t1:
        raise TransferError(text("transfer.order", start=start or "1970", end=end))
    return t0, t1


def _check(config: "Config", repair: bool, as_json: bool) -> int:
    from lab.historian.check import check
    from lab.historian.check import repair as set_aside
    from lab.store import Store

    with Store(config.database, readonly=True) as store, _progress("checking") as progress:
        found = check(store, progress)
    aside = 0
    if repair and found.problems and found.problems[0].what != "database":
        with Store(config.database) as store:
            aside = set_aside(store, found.problems)
            left = check(store).problems
    else:
        left = found.problems
    if as_json:
        problems = [problem._asdict() for problem in found.problems]
        typer.echo(json.dumps(found._asdict() | {"problems": problems, "aside": aside, "left": len(left)}))
        return int(bool(left))
    for problem in found.problems:
        typer.echo(f"{problem.what} {problem.id}: {problem.text}")
    if aside:
        typer.echo(text("historian.repaired", count=aside))
    if left and left[0].what == "database":
        typer.echo(text("historian.broken"))
    elif left:
        typer.echo(text("historian.unsound", count=len(left)))
    elif not found.problems:
        facts = found._asdict() | {"megabytes": f"{found.bytes / 1e6:.1f}"}
        typer.echo(text("historian.sound", **facts))
    return int(bool(left))


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[float], None]]:
    """A bar on the terminal's standard error; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda part: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text(f"historian.{what}"), total=1.0)
        yield lambda part: bar.update(task, completed=part)


def _answer(as_json: bool, key: str, **facts: Any) -> None:
    typer.echo(json.dumps(facts, ensure_ascii=False) if as_json else text(f"historian.{key}", **facts))
