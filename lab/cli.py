"""The command line. Every module in `lab.commands` is a command; this file only gathers them."""

import importlib
import pkgutil
import sys
from typing import Annotated

import typer

from lab import __version__, commands
from lab.text import text


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jissho-lab {__version__}")
        raise typer.Exit


def build() -> typer.Typer:
    """The application with every command registered."""
    app = typer.Typer(name="lab", help=text("cli.help"), no_args_is_help=True, add_completion=False)

    @app.callback()
    def root(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help=text("cli.version"))
        ] = False,
    ) -> None:
        pass

    for module in sorted(m.name for m in pkgutil.iter_modules(commands.__path__)):
        importlib.import_module(f"lab.commands.{module}").register(app)
    return app


def main() -> None:
    """Entry point of the `lab` command: exit code 0 done, 1 failed, 2 wrong arguments."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")  # a Windows console may not be UTF-8
    build()()
