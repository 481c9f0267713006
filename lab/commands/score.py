"""`lab score`: score a file with what normal files, or a model, say is normal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.arguments import (
    Clock,
    Every,
    Sensors,
    SeveralValues,
    Tag,
    Value,
    check_output,
    parse_period,
    parse_wanted,
    parse_zone,
    split_names,
)
from lab.text import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.offline import Scores
    from lab.tables import Table
    from models.detector import Model


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        cls=SeveralValues,
        help=text("score.help"),
        epilog="lab score --normal d00.csv --data d01_te.csv --period 180s -o scores.csv",
    )
    def score(
        data: Annotated[Path, typer.Option("--data", help=text("score.option.data"))],
        output: Annotated[Path, typer.Option("--output", "-o", help=text("score.option.output"))],
        normal: Annotated[list[Path] | None, typer.Option("--normal", help=text("score.option.normal"))] = None,
        model: Annotated[Path | None, typer.Option("--model", help=text("score.option.model"))] = None,
        false_alarms_per_month: Annotated[
            float | None, typer.Option("--false-alarms-per-month", help=text("fit.option.rate"))
        ] = None,
        limits: Annotated[Path | None, typer.Option("--limits", help=text("fit.option.limits"))] = None,
        causes: Annotated[Path | None, typer.Option("--causes", help=text("score.option.causes"))] = None,
        period: Annotated[str | None, typer.Option("--period", help=text("score.option.period"))] = None,
        controlled: Annotated[str, typer.Option("--controlled", help=text("score.option.controlled"))] = "",
        ignore: Annotated[str, typer.Option("--ignore", help=text("score.option.ignore"))] = "",
        time: Annotated[str | None, typer.Option("--time", help=text("score.option.time"))] = None,
        timezone: Annotated[str | None, typer.Option("--timezone", help=text("score.option.timezone"))] = None,
        sensors: Sensors = "",
        tag: Tag = "",
        value: Value = None,
        clock: Clock = None,
        every: Every = None,
        as_json: Annotated[bool, typer.Option("--json", help=text("score.option.json"))] = False,
    ) -> None:
        from devices.replay import tags
        from lab.causes import LibraryError, read_library
        from lab.config import load_config
        from lab.episodes import Known
        from lab.fitting import (
            coarser_columns,
            fit_tables,
            left_out,
            load_model,
            not_in,
            odd_periods,
            promise,
            read_limits,
            renamed,
            repeated,
            unjudged,
            unused_limits,
        )
        from lab.offline import (
            check_controlled,
            find_causes,
            other_period,
            score_table,
            valueless,
            why_unscored,
            write_scores,
        )
        from lab.tables import TableError, read_table
        from models.detector import ModelError

        if bool(normal) == bool(model):
            raise typer.BadParameter(text("score.normal_or_model"), param_hint="--normal / --model")
        if model is not None and (limits is not None or false_alarms_per_month is not None):
            raise typer.BadParameter(text("score.fitted_already"), param_hint="--limits / --false-alarms-per-month")
        given = [each for each in (model, limits, causes) if each is not None]
        check_output(output, [data, *(normal or []), *given])
        rate = check_rate(false_alarms_per_month)
        period_s, zone = parse_period(period), parse_zone(timezone)
        names = split_names(ignore)
        wanted = parse_wanted(sensors, tag, value, clock, every)
        try:
            table, *files = [
                read_table(file, time=time, period_s=period_s, ignore=names, zone=zone, wanted=wanted)
                for file in [data, *(normal or [])]
            ]
            echo_notes([table, *files], names)
            if table.zoneless and zone is None:
                typer.echo(text("score.utc", data=data), err=True)
            if zone is not None and (table.time is None or table.elapsed):
                typer.echo(text("score.no_zone", data=data), err=True)
            check_controlled(table, fed := split_names(controlled))
            headers = dict(zip(tags(table.columns), table.columns, strict=True))
            if model is not None:
                judge = renamed(load_model(model), headers)
                if coarse := coarser_columns(judge, table):
                    typer.echo(text("score.coarser", data=data, sensors=", ".join(coarse[:10])), err=True)
            else:
                ahead = None if limits is None else read_limits(limits)
                judge = fit_tables(files, period_s, limits=ahead, false_alarms_per_month=rate, stream=table)
                odd = odd_periods(files, judge.detector.period_s)
                for line in [*left_out(files, judge), *repeated(files), *odd, *promise(judge, files)]:
                    typer.echo(line, err=True)
                for line in unused_limits(limits, ahead, judge):
                    typer.echo(line, err=True)
            if causes is not None:
                library = read_library(causes).with_names(headers)
                known: Known | None = Known(causes.name, library)
                if not library.knows(judge.detector.sensors):
                    typer.echo(text("score.strange_causes", file=causes), err=True)
            else:
                beside = [] if model is None else [model.parent]
                known = find_causes(judge, [*beside, load_config().models], headers)
            if (other := other_period(judge, table)) is not None:
                usual = f"{judge.detector.period_s:g}"
                typer.echo(text("score.other_period", data=data, period=f"{other:g}", usual=usual), err=True)
            scores = score_table(judge, table, known, fed)
            scores.missing.extend(not_in(table, files) if files else [])
            write_scores(output, table, scores)
        except (TableError, LibraryError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        except ModelError as error:
            typer.echo(text("model.error", reason=error), err=True)
            raise typer.Exit(1) from error
        learned = {name for file in files for name in file.columns} if files else judge.detector.sensors
        if new := [name for name in table.columns if name not in learned]:
            typer.echo(text("score.not_learned", data=data, columns=", ".join(new)), err=True)
        if empty := valueless(judge, table):
            typer.echo(text("score.valueless", data=data, sensors=", ".join(empty)), err=True)
        if blind := unjudged(judge, table):
            typer.echo(text("score.unjudged", data=data, sensors=", ".join(blind)), err=True)
        _tell(scores, judge, output, as_json)
        if not scores.scored:
            reason = why_unscored(judge, table)
            typer.echo(text("score.none", data=data, rows=len(table.values), reason=reason), err=True)
            raise typer.Exit(1)


def check_rate(rate: float | None) -> float:
    """The promised false alarms a month; exits with 2 when that is no positive number."""
    if rate is None:
        return 1.0
    if not 0 < rate < float("inf"):
        raise typer.BadParameter(text("fit.bad_rate", rate=rate), param_hint="--false-alarms-per-month")
    return rate


def echo_notes(tables: "Sequence[Table]", ignore: "Sequence[str]") -> None:
    """Say what was assumed in reading files, and which columns to be left out are in none of them."""
    from lab.fitting import unmatched

    for note in (note for table in tables for note in table.notes):
        typer.echo(note, err=True)
    if (strange := unmatched(tables, ignore)) is not None:
        typer.echo(strange, err=True)


def _tell(scores: "Scores", model: "Model", output: Path, as_json: bool) -> None:
    import msgspec

    from lab.naming import cause_name

    if as_json:
        told = {
            "output": str(output),
            "rows": len(scores.score),
            "scored_rows": scores.scored,
            "alarm_rows": int(scores.alarm.sum()),
            "missing_sensors": scores.missing,
            "promised_per_month": getattr(model.detector, "promised", None),
            "kept_per_month": getattr(model.detector, "kept", None),
            "instruments": [
                {"sensor": sensor, "fault": fault, "times": times, "from_row": first + 1, "to_row": last + 1}
                for sensor, fault, times, first, last in scores.failures
            ],
            "episodes": [
                {
                    "episode": number,
                    "kind": episode.kind,
                    "from_row": first + 1,
                    "to_row": last + 1,
                    "peak": round(episode.peak, 4),
                    "leading": episode.leading,
                    "failed": episode.failed,
                    "suspects": episode.suspects,
                    "upset": episode.upset,
                    "cause": episode.cause,
                    "causes": episode.causes,
                    "unknown": episode.unknown,
                    "outlook": episode.outlook,
                }
                for number, (episode, first, last) in enumerate(scores.episodes, start=1)
            ],
        }
        typer.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
        return
    if scores.missing:
        typer.echo(text("score.missing", sensors=", ".join(scores.missing)), err=True)
    for number, (episode, first, last) in enumerate(scores.episodes, start=1):
        # What would stand there as 0 % leads nothing.
        led = [each for k, each in enumerate(episode.leading[:3]) if k == 0 or each[1] >= 0.005]
        leading = ", ".join(f"{tag} {share:.0%}" for tag, share in led)
        kind = text(f"score.kind.{episode.kind}")
        line = text(
            "score.episode", number=number, kind=kind, first=first + 1, last=last + 1, peak=f"{episode.peak:.2f}",
            leading=leading,
        )  # fmt: skip
        typer.echo(line)
        if episode.failed is not None:
            sensor, fault = episode.failed
            typer.echo("  " + text("score.failed", sensor=sensor, fault=text(f"score.fault.{fault}")))
        if episode.upset:
            typer.echo("  " + text("score.upset", sensors=", ".join(episode.upset)))
        for sensor, fault in episode.suspects:
            typer.echo("  " + text("score.suspect", sensor=sensor, fault=text(f"score.fault.{fault}")))
        if episode.causes:
            named = ", ".join(f"{cause_name(name)} {chance:.0%}" for name, chance in episode.causes[:3])
            typer.echo("  " + text("score.causes", causes=named, unknown=f"{episode.unknown:.0%}"))
        if episode.outlook is not None and episode.outlook.first_s is not None:
            hours = f"{episode.outlook.first_s / 3600:.2f}"
            typer.echo("  " + text("score.foretold", hours=hours))
    for sensor, fault, times, first, last in scores.failures:
        what = text(f"score.fault.{fault}")
        key = "score.instrument_once" if times == 1 else "score.instrument"
        typer.echo(text(key, sensor=sensor, fault=what, times=times, first=first + 1, last=last + 1))
    done = text(
        "score.done", scored=scores.scored, rows=len(scores.score), episodes=len(scores.episodes), output=output
    )
    typer.echo(done)
