"""The command line. Every module in `lab.commands` is a command; this file only gathers them."""

import importlib
import os
import pkgutil
import sys
from typing import Annotated, Any

import typer

from lab import __version__, commands
from lab.config import ConfigError
from lab.machine import one_thread
from lab.running import watch_parent
from lab.text import text


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jissho-lab {__version__}")
        raise typer.Exit


def build(wanted: str | None = None) -> typer.Typer:
    """The application with every command registered, or with the wanted one alone when there is one of that name."""
    # No locals in a traceback: among them may be a broker's password.
    app = typer.Typer(
        name="lab",
        help=text("cli.help"),
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_show_locals=False,
    )

    @app.callback()
    def root(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help=text("cli.version"))
        ] = False,
    ) -> None:
        pass

    modules = {m.name.replace("_", "-"): m.name for m in pkgutil.iter_modules(commands.__path__)}
    chosen = [modules[wanted]] if wanted in modules else sorted(modules.values())
    for module in chosen:
        importlib.import_module(f"lab.commands.{module}").register(app)
    return app


def _whole_help() -> None:
    """Show the texts of the help whole.

    Japanese has no blanks to break a line at, and was cut off at its column's end; `[user:password@]` is no markup.
    """
    from rich.markup import escape
    from rich.text import Text
    from typer import rich_utils

    make = getattr(rich_utils, "_make_rich_text", None)
    if make is None:  # not a public name: another typer shows its help as it does
        return

    def whole(*, text: str, **how: Any) -> Any:
        made = make(text=escape(text), **how)
        if isinstance(made, Text):
            made.overflow = "fold"
        return made

    rich_utils._make_rich_text = whole


def main() -> None:
    """Entry point of the `lab` command: exit code 0 done, 1 failed, 2 wrong arguments."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")  # a Windows console may not be UTF-8
    if "--help" in sys.argv or len(sys.argv) < 3:  # a group alone shows its help too
        _whole_help()
    one_thread()
    if os.environ.pop("LAB_SUPERVISED", None):
        watch_parent()
    try:
        build(sys.argv[1] if len(sys.argv) > 1 else None)()
    except ConfigError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
