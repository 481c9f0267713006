"""`lab api`: the web server alone, in the foreground."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lab.text import text


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(help=text("api.help"), epilog="lab api --port 8080")
    def api(
        data_dir: Annotated[str | None, typer.Option(help=text("api.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option(help=text("api.option.config"))] = None,
        broker: Annotated[str | None, typer.Option(help=text("api.option.broker"))] = None,
        host: Annotated[str | None, typer.Option(help=text("api.option.host"))] = None,
        port: Annotated[int | None, typer.Option(help=text("api.option.port"), min=1, max=65535)] = None,
    ) -> None:
        import logging

        import uvicorn

        from lab.config import load_config
        from lab.machine import is_loopback, port_holder, port_state

        # The application reads its own configuration: what was said here reaches it by the environment.
        said: dict[str, object] = {"LAB_DATA_DIR": data_dir, "LAB_CONFIG": config, "LAB_BROKER": broker}
        said |= {"LAB_API_HOST": host, "LAB_API_PORT": port}
        os.environ.update({name: str(value) for name, value in said.items() if value is not None})
        listen = load_config().api
        if (state := port_state(listen.host, listen.port)) != "free":
            holder = port_holder(listen.port) or text("api.somebody")
            typer.echo(text(f"api.port_{state}", host=listen.host, port=listen.port, holder=holder), err=True)
            raise typer.Exit(1)
        logging.basicConfig(
            level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
        )
        if not is_loopback(listen.host):
            typer.echo(text("api.open", host=listen.host), err=True)
        uvicorn.run(
            "api.app:create",
            factory=True,
            host=listen.host,
            port=listen.port,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=64 * 1024,
            ws_ping_interval=20,
            ws_ping_timeout=20,
            timeout_graceful_shutdown=3,
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            log_level="warning",
        )
