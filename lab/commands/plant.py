"""`lab plant`: the simulated plants alone, in the foreground."""

from pathlib import Path
from typing import Annotated

import typer

from lab.text import text


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(help=text("devices.plant.help"), epilog="lab plant --speed 600 --broker mqtt://192.168.1.10")
    def plant(
        data_dir: Annotated[str | None, typer.Option(help=text("devices.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option(help=text("devices.option.config"))] = None,
        broker: Annotated[str | None, typer.Option(help=text("devices.option.broker"))] = None,
        plants: Annotated[int | None, typer.Option(help=text("devices.plant.option.plants"), min=1, max=100)] = None,
        speed: Annotated[float | None, typer.Option(help=text("devices.plant.option.speed"), min=1, max=600)] = None,
        piping: Annotated[int | None, typer.Option(help=text("devices.plant.option.piping"), min=0, max=60)] = None,
        verbose: Annotated[bool, typer.Option("--verbose", help=text("devices.option.verbose"))] = False,
    ) -> None:
        import logging

        from devices.spool import SpoolError
        from lab.config import PlantConfig
        from lab.plant import device_config, run
        from lab.running import stop_event

        settings = device_config(config, data_dir, broker)
        if plants is not None:
            known = {each.id for each in settings.plants}
            more = [each for n in range(1, 101) if (each := PlantConfig(id=f"tep-{n}", seed=n)).id not in known]
            settings.plants = [*settings.plants, *more][:plants]
        for each in settings.plants:
            each.speed = each.speed if speed is None else speed
        if piping is not None:
            settings.piping.points = piping
        if not settings.plants and not settings.piping_points:
            typer.echo(text("devices.plant.none"), err=True)
            raise typer.Exit(1)
        logging.basicConfig(
            level=logging.DEBUG if verbose else logging.INFO,
            format="%(asctime)s %(levelname)s %(message)s",
            datefmt="%Y-%m-%d %H:%M:%S",
        )
        stop = stop_event()
        try:
            run(settings, stop)
        except SpoolError as error:
            typer.echo(text("devices.spool", why=error), err=True)
            raise typer.Exit(1) from None
