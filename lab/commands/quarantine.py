"""`lab quarantine`: what the collector could not take, and why."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.text import text

if TYPE_CHECKING:
    import sqlite3

    from lab.quarantine import Entry

DataDir = Annotated[str | None, typer.Option(help=text("collector.option.data_dir"))]
ConfigFile = Annotated[Path | None, typer.Option(help=text("collector.option.config"))]
Reason = Annotated[str | None, typer.Option(help=text("quarantine.option.reason"))]
Json = Annotated[bool, typer.Option("--json", help=text("quarantine.option.json"))]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=text("quarantine.help"), no_args_is_help=True)
    app.add_typer(group, name="quarantine")

    @group.command("list", help=text("quarantine.list.help"), epilog="lab quarantine list --reason clock_ahead")
    def list_(
        reason: Reason = None,
        limit: Annotated[int, typer.Option(min=1, help=text("quarantine.option.limit"))] = 20,
        as_json: Json = False,
        data_dir: DataDir = None,
        config: ConfigFile = None,
    ) -> None:
        from lab.quarantine import counts, entries

        with _database(data_dir, config, reason) as db:
            totals = counts(db)
            found = entries(db, reason=reason, limit=limit)
        if as_json:
            typer.echo(json.dumps({"counts": totals, "entries": [_plain(each) for each in found]}, ensure_ascii=False))
            return
        if not totals:
            typer.echo(text("quarantine.empty"))
            return
        for name, count in totals.items():
            if reason in (None, name):
                typer.echo(f"{count:>9}  {name:<15} {text(f'quarantine.reason.{name}')}")
        typer.echo("")
        for each in found:
            times = f" ×{each.count}" if each.count > 1 else ""
            typer.echo(f"{each.id:>6}  {_time(each.at)}  {each.reason}{times}  {_visible(each.topic)}")
            typer.echo(f"        {_visible(each.detail)}")

    @group.command("show", help=text("quarantine.show.help"), epilog="lab quarantine show 17")
    def show(number: int, as_json: Json = False, data_dir: DataDir = None, config: ConfigFile = None) -> None:
        from lab.quarantine import entry

        with _database(data_dir, config, None) as db:
            found = entry(db, number)
        if found is None:
            typer.echo(text("quarantine.none", number=number), err=True)
            raise typer.Exit(1)
        if as_json:
            typer.echo(json.dumps(_plain(found), ensure_ascii=False))
            return
        typer.echo(f"{found.id}  {_time(found.at)}  {_visible(found.topic)}")
        typer.echo(f"{found.reason}: {text(f'quarantine.reason.{found.reason}')}")
        typer.echo(_visible(found.detail))
        if found.payload is None:
            typer.echo(text("quarantine.counted", count=found.count))
        else:
            typer.echo("")
            typer.echo(_visible(found.payload.decode("utf-8", "backslashreplace")))

    @group.command("export", help=text("quarantine.export.help"), epilog="lab quarantine export rescued.jsonl")
    def export(
        file: Annotated[Path, typer.Argument(help=text("quarantine.option.file"))],
        reason: Reason = None,
        data_dir: DataDir = None,
        config: ConfigFile = None,
    ) -> None:
        from lab.quarantine import entries

        with _database(data_dir, config, reason) as db:
            found = entries(db, reason=reason)
        lines = [json.dumps(_plain(each), ensure_ascii=False) + "\n" for each in reversed(found)]
        if str(file) == "-":
            sys.stdout.writelines(lines)
            return
        try:
            file.write_text("".join(lines), encoding="utf-8")
        except OSError as error:
            typer.echo(text("quarantine.unwritable", file=file, why=error.strerror), err=True)
            raise typer.Exit(1) from None
        typer.echo(text("quarantine.exported", count=len(lines), file=file))


class _database:
    """The lab's database, to be read; what is wrong with it or with the reason ends the command."""

    def __init__(self, data_dir: str | None, config: Path | None, reason: str | None) -> None:
        from lab.config import load_config
        from lab.quarantine import REASONS
        from lab.store import Store, StoreError

        if reason is not None and reason not in REASONS:
            typer.echo(text("quarantine.no_reason", reason=reason, reasons=", ".join(REASONS)), err=True)
            raise typer.Exit(2)
        try:
            self._store = Store(load_config(config, data_dir=data_dir).database, readonly=True)
        except StoreError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None

    def __enter__(self) -> "sqlite3.Connection":
        return self._store.db

    def __exit__(self, *_: object) -> None:
        self._store.close()


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _visible(said: str) -> str:
    """What a stranger sent, with its control characters written out: a terminal would carry them out."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in said)


def _plain(entry: "Entry") -> dict[str, object]:
    payload = entry.payload
    return {
        "id": entry.id,
        "at": datetime.fromtimestamp(entry.at / 1e9, UTC).isoformat(),
        "topic": entry.topic,
        "reason": entry.reason,
        "detail": entry.detail,
        "count": entry.count,
        "payload": None if payload is None else payload.decode("utf-8", "backslashreplace"),
        "hex": None if payload is None else payload.hex(),
    }
