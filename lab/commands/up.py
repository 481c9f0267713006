"""`lab up`: the whole lab on one command."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from lab.text import language, text


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(help=text("up.help"), epilog="lab up --plants 3 --speed 120 --open")
    def up(
        data_dir: Annotated[str | None, typer.Option(help=text("up.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option(help=text("up.option.config"))] = None,
        broker: Annotated[str | None, typer.Option(help=text("up.option.broker"))] = None,
        api_port: Annotated[int | None, typer.Option(help=text("up.option.api_port"), min=1, max=65535)] = None,
        broker_port: Annotated[int | None, typer.Option(help=text("up.option.broker_port"), min=1, max=65535)] = None,
        no_plant: Annotated[bool, typer.Option("--no-plant", help=text("up.option.no_plant"))] = False,
        plants: Annotated[int | None, typer.Option(help=text("up.option.plants"), min=0, max=100)] = None,
        speed: Annotated[float | None, typer.Option(help=text("up.option.speed"), min=1, max=600)] = None,
        open_page: Annotated[bool, typer.Option("--open", help=text("up.option.open"))] = False,
        lang: Annotated[Literal["en", "ja"] | None, typer.Option(help=text("up.option.lang"))] = None,
    ) -> None:
        begun = time.time()
        import msgspec

        from lab.config import PlantConfig, load_settings
        from lab.up import Order
        from lab.up import up as run

        if lang is not None:
            os.environ["LAB_LANG"] = lang
            language.cache_clear()
        flags = {"data_dir": data_dir, "api.port": api_port, "broker.port": broker_port}
        settings = load_settings(config, broker, flags)
        chosen = settings.config
        if plants is not None:
            more = (PlantConfig(id=f"tep-{n}", seed=n) for n in range(1, 101))
            chosen.plants = [*chosen.plants, *(p for p in more if p.id not in {q.id for q in chosen.plants})][:plants]
        if no_plant:
            chosen.plants = []
            chosen.piping.points = 0
        if speed is not None:
            for plant in chosen.plants:
                plant.speed = speed
        order = Order(chosen, sorted(settings.given), open_page, begun)
        if os.name == "nt":
            raise typer.Exit(run(order))
        # A fresh interpreter: the command line's libraries would stay in memory as long as the lab runs.
        environ = {**os.environ, "LAB_ORDER": msgspec.json.encode(order).decode()}
        os.execve(sys.executable, [sys.executable, "-m", "lab.up"], environ)
