"""`lab simulate`: run a simulated plant and write its records to a file."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lab.text import text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simulators.tep import Change, Inputs

TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|min|s)?\Z")
SECONDS = {"h": 3600.0, "min": 60.0, "s": 1.0}


def register(app: typer.Typer) -> None:
    """Add the command."""
    simulate = typer.Typer(name="simulate", help=text("simulate.help"), no_args_is_help=True)
    app.add_typer(simulate)

    @simulate.command(
        help=text("simulate.tep.help"),
        epilog="lab simulate tep --hours 48 --fault 6@8h --seed 1 --every 3min --digits 5 -o run.csv",
    )
    def tep(
        output: Annotated[Path, typer.Option("--output", "-o", help=text("simulate.option.output"))],
        hours: Annotated[float, typer.Option(min=0.001, max=10_000.0, help=text("simulate.option.hours"))] = 48.0,
        fault: Annotated[list[str] | None, typer.Option(help=text("simulate.option.fault"))] = None,
        sensor_fault: Annotated[list[str] | None, typer.Option(help=text("simulate.option.sensor_fault"))] = None,
        actuator_fault: Annotated[list[str] | None, typer.Option(help=text("simulate.option.actuator_fault"))] = None,
        setpoint: Annotated[list[str] | None, typer.Option(help=text("simulate.option.setpoint"))] = None,
        seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help=text("simulate.option.seed"))] = 1,
        generator: Annotated[
            Literal["numpy", "reference"], typer.Option(help=text("simulate.option.generator"))
        ] = "numpy",
        every: Annotated[str, typer.Option(help=text("simulate.option.every"))] = "3min",
        digits: Annotated[int, typer.Option(min=0, max=17, help=text("simulate.option.digits"))] = 5,
        noise: Annotated[bool, typer.Option("--noise/--no-noise", help=text("simulate.option.noise"))] = True,
        as_json: Annotated[bool, typer.Option("--json", help=text("simulate.option.json"))] = False,
    ) -> None:
        import msgspec

        from lab.tables import TableError
        from simulators import tep as plant

        if seed == 0 and generator == "reference":
            raise typer.BadParameter(text("simulate.error.seed"), param_hint="--seed")
        if not output.name.lower().endswith((".csv", ".csv.gz", ".parquet")):
            raise typer.BadParameter(text("simulate.error.output", file=output), param_hint="--output")
        if not output.parent.is_dir():
            raise typer.BadParameter(text("simulate.error.folder", folder=output.parent), param_hint="--output")
        every_s = round(_hours("--every", "time", every, every) * 3600.0)
        if not 1 <= every_s <= hours * 3600.0:
            raise typer.BadParameter(text("simulate.error.every", value=every), param_hint="--every")
        changes = [
            *(_change(hours, "--fault", value, _fault) for value in fault or ()),
            *(_change(hours, "--sensor-fault", value, _sensor_fault) for value in sensor_fault or ()),
            *(_change(hours, "--actuator-fault", value, _actuator_fault) for value in actuator_fault or ()),
            *(_change(hours, "--setpoint", value, _setpoint) for value in setpoint or ()),
        ]
        with _Progress(hours, text("simulate.progress")) as progress:
            run = plant.simulate(hours, [seed], changes, noise, generator, every_s, progress=progress)
        records = plant.round_records(run.records[0], digits) if digits else run.records[0]
        try:
            write(output, run.hours, records, plant.COLUMNS)
        except TableError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        code = int(run.state.trip[0])
        tripped = float(plant.trip_hours(run.state)[0])
        if as_json:
            summary = {
                "file": str(output),
                "rows": len(records),
                "hours": hours,
                "seed": seed,
                "trip": plant.TRIPS[code] or None,
                "trip_h": tripped if code else None,
            }
            typer.echo(msgspec.json.encode(summary).decode())
            return
        typer.echo(text("simulate.done", rows=len(records), file=output))
        if code:
            typer.echo(text("simulate.tripped", hours=f"{tripped:.2f}", trip=text(f"trip.tep.{code}")))


def write(file: Path, hours: "NDArray[np.float64]", records: "NDArray[np.float64]", columns: tuple[str, ...]) -> None:
    """Write records as Parquet (`.parquet`), CSV (`.csv`) or compressed CSV (`.csv.gz`).

    Args:
        file: where to.
        hours: (rows,) written as the column `time_h`.
        records: (rows, len(columns)); NaN is an empty field in CSV.
        columns: names of the other columns.

    Raises:
        TableError: the file cannot be written.
    """
    import gzip
    import io

    from lab.writing import write_whole

    if file.suffix.lower() == ".parquet":
        import pyarrow
        from pyarrow import parquet

        table = {"time_h": hours, **{name: records[:, k] for k, name in enumerate(columns)}}
        sink = io.BytesIO()
        parquet.write_table(pyarrow.table(table), sink)
        write_whole(file, sink.getvalue())
        return
    lines = io.StringIO()
    lines.write(",".join(("time_h", *columns)) + "\n")
    for hour, row in zip(hours.tolist(), records.tolist(), strict=True):
        lines.write(",".join((_shortest(hour), *("" if v != v else _shortest(v) for v in row))) + "\n")
    data = lines.getvalue().encode()
    write_whole(file, gzip.compress(data, mtime=0) if file.suffix.lower() == ".gz" else data)


def _shortest(value: float) -> str:
    written = repr(value)
    return written.removesuffix(".0")


def _hours(option: str, form: str, time: str, value: str) -> float:
    """A time such as 8h, 30min, 90s or 8 (hours); `value` is what stood in the option."""
    found = TIME.match(time)
    if not found:
        raise typer.BadParameter(text(f"simulate.error.{form}", value=value), param_hint=option)
    return float(found[1]) * SECONDS[found[2] or "h"] / 3600.0


def _change(hours: float, option: str, value: str, parse: Callable[[str], Callable[["Inputs"], None]]) -> "Change":
    """What `WHAT@TIME` does; without a time, from the start."""
    from simulators.tep import Change, Inputs

    form = option[2:].partition("-")[0]
    what, at, when = value.partition("@")
    try:
        apply = parse(what)
    except ValueError as error:
        raise typer.BadParameter(text(f"simulate.error.{form}", value=value), param_hint=option) from error
    try:
        apply(Inputs.none(1))  # on paper first, so that what makes no sense is told before the run
    except ValueError as error:
        reason = f"{text(f'simulate.error.{form}', value=value)} ({error})"
        raise typer.BadParameter(reason, param_hint=option) from error
    at_h = _hours(option, form, when, value) if at else 0.0
    if at_h > hours:
        raise typer.BadParameter(text("simulate.error.late", value=value, hours=hours), param_hint=option)
    return Change(at_h, apply)


def _fault(what: str) -> Callable[["Inputs"], None]:
    extra = what.startswith("x")
    number = int(what[extra:])
    return lambda inputs: inputs.set_extra(0, number) if extra else inputs.set_fault(0, number)


def _sensor_fault(what: str) -> Callable[["Inputs"], None]:
    tag, kind, size = _parts(what)
    return lambda inputs: inputs.set_sensor_fault(0, tag, kind, size)


def _actuator_fault(what: str) -> Callable[["Inputs"], None]:
    tag, kind, size = _parts(what)
    valve = int(tag.removeprefix("xmv_"))
    return lambda inputs: inputs.set_actuator_fault(0, valve, kind, size)


def _parts(what: str) -> tuple[str, str, float]:
    tag, kind, *size = what.split(":")
    return tag, kind, float(size[0]) if size else 0.0


def _setpoint(what: str) -> Callable[["Inputs"], None]:
    loop, _, value = what.partition("=")
    number, wanted = int(loop), float(value)
    return lambda inputs: inputs.set_setpoint(0, number, wanted)


class _Progress:
    """A progress bar on a terminal, nothing elsewhere; called with the hours done."""

    def __init__(self, hours: float, label: str) -> None:
        self._bar: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(label, total=hours)

    def __enter__(self) -> Callable[[float], None] | None:
        if self._bar is None:
            return None
        self._bar.start()
        return lambda done: self._bar.update(self._task, completed=done)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
