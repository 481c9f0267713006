"""`lab collector`: the collector alone, in the foreground."""

from pathlib import Path
from typing import Annotated

import typer

from lab.text import text


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(help=text("collector.help"), epilog="lab collector --broker mqtt://192.168.1.10")
    def collector(
        data_dir: Annotated[str | None, typer.Option(help=text("collector.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option(help=text("collector.option.config"))] = None,
        broker: Annotated[str | None, typer.Option(help=text("collector.option.broker"))] = None,
        verbose: Annotated[bool, typer.Option("--verbose", help=text("collector.option.verbose"))] = False,
    ) -> None:
        import logging

        from lab.collector import run
        from lab.config import load_config
        from lab.running import AlreadyRunning, stop_event
        from lab.store import StoreError

        settings = load_config(config, data_dir=data_dir, broker=broker)
        logging.basicConfig(
            level=logging.DEBUG if verbose else logging.INFO,
            format="%(asctime)s %(levelname)s %(message)s",
            datefmt="%Y-%m-%d %H:%M:%S",
        )
        stop = stop_event()
        try:
            run(settings, stop)
        except StoreError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
        except AlreadyRunning:
            typer.echo(text("collector.twice", data=settings.data), err=True)
            raise typer.Exit(1) from None
        except OSError as error:
            typer.echo(text("up.data_dir", data=settings.data, why=error.strerror or error), err=True)
            raise typer.Exit(1) from None
