"""`lab model`: fit models, and look at them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lab.text import language, text

if TYPE_CHECKING:
    from lab.config import Config


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(name="model", help=text("model.help"), no_args_is_help=True)
    app.add_typer(group)

    @group.command(help=text("model.tep.help"), epilog="lab model tep --force")
    def tep(
        hours: Annotated[float | None, typer.Option(help=text("model.option.hours"), min=1)] = None,
        plants: Annotated[int | None, typer.Option(help=text("model.option.plants"), min=1)] = None,
        force: Annotated[bool, typer.Option("--force", help=text("model.option.force"))] = False,
        data_dir: Annotated[str | None, typer.Option(help=text("model.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option(help=text("model.option.config"))] = None,
    ) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        from lab.config import load_config
        from lab.fitting import tep_model
        from models.detector import ModelError

        models = load_config(config, data_dir=data_dir).models
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f} %"),
            TimeElapsedColumn(),
        )
        try:
            with Progress(*columns, transient=True) as bar:
                task = bar.add_task(text("model.learning"), total=1.0)
                path, made = tep_model(
                    models,
                    hours=hours,
                    plants=plants,
                    force=force,
                    progress=lambda share: bar.update(task, completed=share),
                )
        except (ModelError, ValueError) as error:  # too few hours to learn from
            typer.echo(text("model.error", reason=error), err=True)
            raise typer.Exit(1) from error
        typer.echo(text("model.made" if made else "model.kept", path=path))

    @group.command(help=text("model.causes.help"), epilog="lab model causes --force")
    def causes(
        runs: Annotated[int | None, typer.Option(help=text("model.option.runs"), min=2)] = None,
        force: Annotated[bool, typer.Option("--force", help=text("model.option.force"))] = False,
        data_dir: Annotated[str | None, typer.Option(help=text("model.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option(help=text("model.option.config"))] = None,
    ) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        from lab.causes import TEP_RUNS, LibraryError, tep_causes
        from lab.config import load_config
        from lab.tables import TableError
        from models.detector import ModelError

        models = load_config(config, data_dir=data_dir).models
        if not (models / "tep.model").exists():
            typer.echo(text("model.causes.first", folder=models), err=True)
            raise typer.Exit(1)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f} %"),
            TimeElapsedColumn(),
        )
        try:
            with Progress(*columns, transient=True) as bar:
                task = bar.add_task(text("model.causes.learning"), total=1.0)
                path, made = tep_causes(
                    models,
                    runs=runs or TEP_RUNS,
                    force=force,
                    progress=lambda share: bar.update(task, completed=share),
                )
        except LibraryError as error:
            typer.echo(str(error), err=True)
            typer.echo(text("causes.make_anew"), err=True)
            raise typer.Exit(1) from error
        except TableError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        except (ModelError, ValueError) as error:
            typer.echo(text("model.error", reason=error), err=True)
            raise typer.Exit(1) from error
        typer.echo(text("model.causes.made" if made else "model.causes.kept", path=path))

    @group.command(help=text("model.label.help"), epilog='lab model label tep-1-64499a2a0c2a0 "strainer blocked"')
    def label(
        episode: Annotated[str, typer.Argument(help=text("model.option.episode"))],
        cause: Annotated[str, typer.Argument(help=text("model.option.cause"))],
        kind: Annotated[Literal["process", "instrument"] | None, typer.Option(help=text("model.option.kind"))] = None,
        data_dir: Annotated[str | None, typer.Option(help=text("model.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option(help=text("model.option.config"))] = None,
    ) -> None:
        from lab.config import attached, load_config

        # the collector alone writes the database: the word goes the way of every other, through the API
        said: dict[str, object] = {"cause": cause, "kind": kind}
        told = ask(attached(load_config(config, data_dir=data_dir)), f"episodes/{episode}/cause", said)
        typer.echo(text("model.labelled", episode=episode, cause=told["cause"], library=told["library"]))

    @group.command("take-back", help=text("model.take_back.help"), epilog="lab model take-back tep-1-64499a2a0c2a0")
    def take_back(
        episode: Annotated[str, typer.Argument(help=text("model.option.episode"))],
        data_dir: Annotated[str | None, typer.Option(help=text("model.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option(help=text("model.option.config"))] = None,
    ) -> None:
        from lab.config import attached, load_config

        before = ask(attached(load_config(config, data_dir=data_dir)), f"episodes/{episode}/cause", None, "DELETE")
        told = before["cause"] is not None
        typer.echo(text("model.taken_back" if told else "model.not_told", episode=episode, cause=before["cause"]))

    @group.command(help=text("model.rename.help"), epilog='lab model rename tep-1 "strainer bloked" "strainer blocked"')
    def rename(
        asset: Annotated[str, typer.Argument(help=text("model.option.asset"))],
        cause: Annotated[str, typer.Argument(help=text("model.option.told"))],
        name: Annotated[str, typer.Argument(help=text("model.option.new_name"))],
        data_dir: Annotated[str | None, typer.Option(help=text("model.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option(help=text("model.option.config"))] = None,
    ) -> None:
        from lab.config import attached, load_config

        said: dict[str, object] = {"cause": cause, "name": name}
        now = ask(attached(load_config(config, data_dir=data_dir)), f"assets/{asset}/causes/rename", said)
        typer.echo(text("model.renamed", cause=now["cause"], n=now["episodes"]))

    @group.command(help=text("model.forget.help"), epilog='lab model forget tep-1 "strainer blocked"')
    def forget(
        asset: Annotated[str, typer.Argument(help=text("model.option.asset"))],
        cause: Annotated[str, typer.Argument(help=text("model.option.told"))],
        data_dir: Annotated[str | None, typer.Option(help=text("model.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option(help=text("model.option.config"))] = None,
    ) -> None:
        from lab.config import attached, load_config

        its = ask(attached(load_config(config, data_dir=data_dir)), f"assets/{asset}/causes/forget", {"cause": cause})
        typer.echo(text("model.forgotten", cause=cause, n=its["episodes"]))

    @group.command(help=text("model.show.help"), epilog="lab model show lab-data/models/tep.model")
    def show(
        file: Annotated[Path, typer.Argument(help=text("model.option.file"))],
        as_json: Annotated[bool, typer.Option("--json", help=text("score.option.json"))] = False,
    ) -> None:
        import msgspec

        from lab.fitting import load_model
        from lab.tables import TableError
        from models.detector import ModelError

        try:
            model = load_model(file)
        except TableError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        except ModelError as error:
            typer.echo(text("model.error", reason=error), err=True)
            raise typer.Exit(1) from error
        told = {
            "id": model.id,
            "kind": model.detector.kind,
            "period_s": model.detector.period_s,
            "limit": model.detector.limit,
            "sensors": list(model.detector.sensors),
            "about": dict(model.about),
        }
        if as_json:
            typer.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
            return
        for name, value in told.items():
            shown = ", ".join(value) if isinstance(value, list) else value
            if isinstance(value, dict):
                shown = ", ".join(f"{key}: {each}" for key, each in value.items())
            typer.echo(f"{text(f'model.show.{name}')}: {shown}")


def ask(config: "Config", path: str, body: dict[str, object] | None, method: str = "POST") -> dict[str, object]:
    """Ask the running lab's API for something and return its answer; exits with 1 when there is none, or it refuses."""
    import json
    import urllib.error
    import urllib.parse
    import urllib.request

    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(config.api.host, config.api.host)
    url = f"http://{host}:{config.api.port}/api/v1/{urllib.parse.quote(path)}?lang={language()}"
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            found: dict[str, object] = json.loads(answer.read())
            return found
    except urllib.error.HTTPError as error:
        try:
            told = json.loads(error.read())
            detail = "; ".join(
                [told["detail"], *(f"{each['field']}: {each['message']}" for each in told.get("errors") or ())]
            )
        except (ValueError, KeyError):
            detail = str(error)
        typer.echo(detail, err=True)
    except OSError as error:
        typer.echo(text("model.no_lab", url=url, reason=getattr(error, "reason", error)), err=True)
    raise typer.Exit(1)
