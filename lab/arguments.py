"""What commands that work on one's own files share: options that take several values, periods, zones, outputs."""

import os
from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from lab.text import text

if TYPE_CHECKING:
    from lab.longtable import Wanted

Sensors = Annotated[str, typer.Option("--sensors", help=text("table.option.sensors"))]
Tag = Annotated[str, typer.Option("--tag", help=text("table.option.tag"))]
Value = Annotated[str | None, typer.Option("--value", help=text("table.option.value"))]
Every = Annotated[str | None, typer.Option("--every", help=text("table.option.every"))]
Clock = Annotated[str | None, typer.Option("--clock", help=text("table.option.clock"))]


class SeveralValues(TyperCommand):
    """A command whose repeatable options take several values too: `--normal A B` is `--normal A --normal B`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each further value."""
        several = {name for each in self.params if getattr(each, "multiple", False) for name in each.opts}
        spread: list[str] = []
        current = ""
        count = 0
        for arg in args:
            if arg.startswith("-") and arg != "-":
                current, count = (arg if arg in several else ""), 0
            elif current:
                if count:
                    spread.append(current)
                count += 1
            spread.append(arg)
        return super().parse_args(ctx, spread)


def split_names(listed: str) -> list[str]:
    """The names of a comma separated list."""
    return [name.strip() for name in listed.split(",") if name.strip()]


def parse_wanted(sensors: str, tag: str, value: str | None, clock: str | None, every: str | None) -> "Wanted":
    """What is to be taken of files, from the options `Sensors`, `Tag`, `Value`, `Clock` and `Every`."""
    from lab.longtable import Wanted

    return Wanted(split_names(sensors), split_names(tag), value, clock, parse_period(every, "--every"))


def check_output(output: Path, inputs: Sequence[Path]) -> None:
    """Exit with 2 when the output's name has no known ending, no folder to be in, or would overwrite an input."""
    if not output.name.lower().endswith((".csv", ".csv.gz", ".parquet")):
        raise typer.BadParameter(text("score.bad_output", file=output), param_hint="--output")
    if not os.path.isdir(output.parent):  # noqa: PTH112  said now; pathlib raises where one may not look
        raise typer.BadParameter(text("score.no_folder", folder=output.parent), param_hint="--output")
    if output.resolve() in {file.resolve() for file in inputs}:
        raise typer.BadParameter(text("score.same_output", file=output), param_hint="--output")


def parse_period(period: str | None, option: str = "--period") -> float | None:
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
        raise typer.BadParameter(text("score.bad_period", period=period), param_hint=option)
    return seconds


def parse_zone(zone: str | None) -> tzinfo | None:
    """The zone of `Asia/Tokyo` or `+09:00`; exits with 2 when there is none of that name."""
    if zone is None:
        return None
    from zoneinfo import available_timezones

    from lab.zones import find_zone

    found = find_zone(zone)
    if found is None:
        what = "score.bad_zone" if available_timezones() else "score.no_zones"
        raise typer.BadParameter(text(what, zone=zone), param_hint="--timezone")
    return found
