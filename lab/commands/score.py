"""`lab score`: score a file with what normal files, or a model, say is normal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.text import text

if TYPE_CHECKING:
    from lab.offline import Scores


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        help=text("score.help"),
        epilog="lab score --normal d00.csv --data d01_te.csv --period 180s -o scores.csv",
    )
    def score(
        data: Annotated[Path, typer.Option("--data", help=text("score.option.data"))],
        output: Annotated[Path, typer.Option("--output", "-o", help=text("score.option.output"))],
        normal: Annotated[list[Path] | None, typer.Option("--normal", help=text("score.option.normal"))] = None,
        model: Annotated[Path | None, typer.Option("--model", help=text("score.option.model"))] = None,
        period: Annotated[str | None, typer.Option("--period", help=text("score.option.period"))] = None,
        ignore: Annotated[str, typer.Option("--ignore", help=text("score.option.ignore"))] = "",
        time: Annotated[str | None, typer.Option("--time", help=text("score.option.time"))] = None,
        as_json: Annotated[bool, typer.Option("--json", help=text("score.option.json"))] = False,
    ) -> None:
        from lab.fitting import fit_tables
        from lab.offline import score_table, write_scores
        from lab.tables import TableError, read_table
        from models.detector import ModelError, load

        if bool(normal) == bool(model):
            raise typer.BadParameter(text("score.normal_or_model"), param_hint="--normal / --model")
        check_output(output, [data, *(normal or []), *([model] if model else [])])
        period_s = parse_period(period)
        names = [name.strip() for name in ignore.split(",") if name.strip()]
        try:
            table = read_table(data, time=time, period_s=period_s, ignore=names)
            if model is not None:
                judge = load(model)
            else:
                files = [read_table(file, time=time, period_s=period_s, ignore=names) for file in normal or []]
                judge = fit_tables(files, period_s)
            scores = score_table(judge, table)
            write_scores(output, table, scores)
        except TableError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        except ModelError as error:
            typer.echo(text("model.error", reason=error), err=True)
            raise typer.Exit(1) from error
        _tell(scores, output, as_json)


def check_output(output: Path, inputs: list[Path]) -> None:
    """Exit with 2 when the output's name has no known ending, or would overwrite what is read."""
    if not output.name.lower().endswith((".csv", ".csv.gz", ".parquet")):
        raise typer.BadParameter(text("score.bad_output", file=output), param_hint="--output")
    if output.resolve() in {file.resolve() for file in inputs}:
        raise typer.BadParameter(text("score.same_output", file=output), param_hint="--output")


def parse_period(period: str | None) -> float | None:
    """Seconds of `180`, `180s`, `3min`, `1h` or `500ms`; exits with 2 when it is none of these."""
    if period is None:
        return None
    units = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
    number, unit = period.strip().lower(), 1.0
    for name, factor in units.items():
        if number.endswith(name):
            number, unit = number.removesuffix(name), factor
            break
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise typer.BadParameter(text("score.bad_period", period=period), param_hint="--period")
    return seconds


def _tell(scores: "Scores", output: Path, as_json: bool) -> None:
    import msgspec

    if as_json:
        told = {
            "output": str(output),
            "rows": len(scores.score),
            "alarm_rows": int(scores.alarm.sum()),
            "missing_sensors": scores.missing,
            "episodes": [
                {
                    "episode": number,
                    "kind": episode.kind,
                    "from_row": first + 1,
                    "to_row": last + 1,
                    "peak": round(episode.peak, 4),
                    "leading": episode.leading,
                }
                for number, (episode, first, last) in enumerate(scores.episodes, start=1)
            ],
        }
        typer.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
        return
    if scores.missing:
        typer.echo(text("score.missing", sensors=", ".join(scores.missing)), err=True)
    for number, (episode, first, last) in enumerate(scores.episodes, start=1):
        leading = ", ".join(f"{tag} {share:.0%}" for tag, share in episode.leading[:3])
        kind = text(f"score.kind.{episode.kind}")
        line = text(
            "score.episode", number=number, kind=kind, first=first + 1, last=last + 1, peak=f"{episode.peak:.2f}",
            leading=leading,
        )  # fmt: skip
        typer.echo(line)
    typer.echo(text("score.done", rows=len(scores.score), episodes=len(scores.episodes), output=output))
