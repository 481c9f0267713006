"""`lab broker`: the broker alone, in the foreground."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from lab.text import text


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(help=text("up.broker.help"), epilog="lab broker --port 1884")
    def broker(
        data_dir: Annotated[str | None, typer.Option(help=text("up.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option(help=text("up.option.config"))] = None,
        port: Annotated[int | None, typer.Option(help=text("up.option.broker_port"), min=1, max=65535)] = None,
    ) -> None:
        from lab.broker import BrokerError, broker_command, broker_facts
        from lab.config import load_config
        from lab.machine import port_holder, port_state

        settings = load_config(config, data_dir=data_dir, broker_port=port)
        listen = settings.broker
        try:
            facts = broker_facts(settings)
            if facts.kind == "external":
                raise BrokerError(text("up.broker_external", host=listen.host, port=listen.port))
            if (state := port_state(listen.host, listen.port)) != "free":
                holder = port_holder(listen.port) or text("up.somebody")
                raise BrokerError(text(f"up.port_{state}", port=listen.port, host=listen.host, holder=holder))
            command = broker_command(settings, facts)
        except (BrokerError, OSError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
        typer.echo(f"{facts.kind} {facts.version} mqtt://{listen.host}:{listen.port}")
        sys.stdout.flush()
        if facts.kind == "amqtt":
            from lab.amqtt_server import serve

            serve(listen.host, listen.port)
        elif os.name == "nt":
            raise typer.Exit(subprocess.call(command))
        else:
            os.execv(command[0], command)
