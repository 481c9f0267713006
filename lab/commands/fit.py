"""`lab fit`: learn what is normal from files of normal operation."""

from pathlib import Path
from typing import Annotated

import typer

from lab.arguments import (
    Clock,
    Every,
    Sensors,
    SeveralValues,
    Tag,
    Value,
    parse_period,
    parse_wanted,
    parse_zone,
    split_names,
)
from lab.commands.score import check_rate, echo_notes
from lab.text import text


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        cls=SeveralValues,
        help=text("fit.help"),
        epilog="lab fit --normal monday.csv tuesday.csv -o pump.model --limits limits.csv",
    )
    def fit(
        normal: Annotated[list[Path], typer.Option("--normal", help=text("score.option.normal"))],
        output: Annotated[Path, typer.Option("--output", "-o", help=text("model.option.output"))],
        false_alarms_per_month: Annotated[
            float | None, typer.Option("--false-alarms-per-month", help=text("fit.option.rate"))
        ] = None,
        limits: Annotated[Path | None, typer.Option("--limits", help=text("fit.option.limits"))] = None,
        period: Annotated[str | None, typer.Option("--period", help=text("score.option.period"))] = None,
        ignore: Annotated[str, typer.Option("--ignore", help=text("score.option.ignore"))] = "",
        time: Annotated[str | None, typer.Option("--time", help=text("score.option.time"))] = None,
        timezone: Annotated[str | None, typer.Option("--timezone", help=text("fit.option.timezone"))] = None,
        sensors: Sensors = "",
        tag: Tag = "",
        value: Value = None,
        clock: Clock = None,
        every: Every = None,
    ) -> None:
        from lab.fitting import (
            fit_tables,
            learned,
            left_out,
            odd_periods,
            promise,
            read_limits,
            repeated,
            unused_limits,
        )
        from lab.tables import TableError, read_table
        from models.detector import ModelError, save

        inputs = [*normal, *([limits] if limits is not None else [])]
        if output.resolve() in {file.resolve() for file in inputs}:
            raise typer.BadParameter(text("score.same_output", file=output), param_hint="--output")
        if output.name.lower().endswith((".csv", ".gz", ".parquet", ".txt", ".tsv", ".xlsx", ".json")):
            raise typer.BadParameter(text("fit.data_name", file=output), param_hint="--output")
        rate, period_s, names = check_rate(false_alarms_per_month), parse_period(period), split_names(ignore)
        zone, wanted = parse_zone(timezone), parse_wanted(sensors, tag, value, clock, every)
        try:
            ahead = None if limits is None else read_limits(limits)
            tables = [
                read_table(file, time=time, period_s=period_s, ignore=names, zone=zone, wanted=wanted)
                for file in normal
            ]
            echo_notes(tables, names)
            model = fit_tables(tables, period_s, limits=ahead, false_alarms_per_month=rate)
            save(model.detector, output, model.about)
        except TableError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        except ModelError as error:
            typer.echo(text("model.error", reason=error), err=True)
            raise typer.Exit(1) from error
        for line in learned(model):
            typer.echo(line)
        for line in [*left_out(tables, model), *repeated(tables)]:
            typer.echo(line, err=True)
        for line in unused_limits(limits, ahead, model):
            typer.echo(line, err=True)
        for line in [*odd_periods(tables, model.detector.period_s), *promise(model, tables)]:
            typer.echo(line, err=True)
        typer.echo(text("fit.done", output=output))
