"""`lab doctor`: what is installed, what is in the way, and how to mend it."""

from pathlib import Path
from typing import Annotated

import typer

from lab.text import text


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(help=text("doctor.help"), epilog="lab doctor --json")
    def doctor(
        data_dir: Annotated[str | None, typer.Option(help=text("up.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option(help=text("up.option.config"))] = None,
        as_json: Annotated[bool, typer.Option("--json", help=text("doctor.option.json"))] = False,
    ) -> None:
        import msgspec

        from lab.config import Config, ConfigError, Settings, load_settings
        from lab.doctor import Finding, examine

        findings = []
        try:
            settings = load_settings(config, None, {"data_dir": data_dir})
        except ConfigError as error:
            findings.append(Finding("config", "fail", str(error), text("doctor.config.mend")))
            settings = Settings(Config(data_dir=data_dir or Config().data_dir), frozenset())
        findings += examine(settings)
        if as_json:
            typer.echo(msgspec.json.format(msgspec.json.encode(findings)).decode())
        else:
            colours = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}
            for finding in findings:
                state = typer.style(text(f"doctor.{finding.state}"), fg=colours[finding.state])
                typer.echo(f"{state} {text(f'doctor.area.{finding.area}')}: {finding.text}")
                if finding.mend and finding.state != "ok":
                    typer.echo(f"       -> {finding.mend}")
            worst = "fail" if any(f.state == "fail" for f in findings) else "ok"
            typer.echo(text(f"doctor.sum.{worst}"))
        raise typer.Exit(int(any(finding.state == "fail" for finding in findings)))
