"""`lab corrosion`: from the inspection files a plant already has to a ranked, dated plan."""

import math
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from lab.text import language, text

if TYPE_CHECKING:
    from lab.corrosion.calculators import Kind
    from lab.corrosion.register import KeptOut, Progress, Register
    from lab.corrosion.results import Outcome

TOLD: int = 20
"""Rows kept out that are told on the terminal; all of them stand in the outputs."""

LinesOption = Annotated[Path, typer.Option("--lines", help=text("corrosion.cli.lines"))]
InspectionsOption = Annotated[Path | None, typer.Option("--inspections", help=text("corrosion.cli.inspections"))]
PointsOption = Annotated[Path | None, typer.Option("--points", help=text("corrosion.cli.points"))]
WeatherOption = Annotated[Path | None, typer.Option("--weather", help=text("corrosion.cli.weather"))]
AtOption = Annotated[str | None, typer.Option("--at", help=text("corrosion.cli.at"))]
MapOption = Annotated[Path | None, typer.Option("--map", help=text("corrosion.cli.map_option"))]
LangOption = Annotated[str | None, typer.Option("--lang", help=text("corrosion.cli.lang"))]
JsonOption = Annotated[bool, typer.Option("--json", help=text("score.option.json"))]
DataOption = Annotated[Path | None, typer.Option("--data", help=text("corrosion.cli.data"))]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help=text("corrosion.cli.table_output"))]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    corrosion = typer.Typer(name="corrosion", help=text("corrosion.cli.help"), no_args_is_help=True)
    app.add_typer(corrosion)

    @corrosion.command(
        help=text("corrosion.cli.assess"),
        epilog="lab corrosion assess --lines lines.csv --inspections inspections.csv --budget 12 -o report.html",
    )
    def assess(
        lines: LinesOption,
        output: Annotated[list[Path], typer.Option("--output", "-o", help=text("corrosion.cli.output"))],
        inspections: InspectionsOption = None,
        points: PointsOption = None,
        weather: WeatherOption = None,
        budget: Annotated[int | None, typer.Option("--budget", min=1, help=text("corrosion.cli.budget"))] = None,
        at: AtOption = None,
        next_y: Annotated[float, typer.Option("--next", min=0.1, max=30, help=text("corrosion.cli.next"))] = 2.0,
        mapping: MapOption = None,
        lang: LangOption = None,
        title: Annotated[str | None, typer.Option("--title", help=text("corrosion.cli.title"))] = None,
        charts: Annotated[int, typer.Option("--charts", min=0, max=1000, help=text("corrosion.cli.charts"))] = 18,
        as_json: JsonOption = False,
    ) -> None:
        from lab.tables import TableError

        day, spoken = _day(at), _language(lang)
        for path in output:
            _check_output(path, [lines, inspections, points, weather, mapping], (".html", ".csv", ".xlsx"))
        try:
            with _Progress(text("corrosion.cli.reading", spoken)) as told:
                found = _read(lines, inspections, points, weather, mapping, day, told)
            with _Progress(text("corrosion.cli.assessing", spoken)):
                from lab.corrosion.assessing import outcome

                result = outcome(found, day, budget, next_y)
            for path in output:
                _write(path, result, spoken, title or text("corrosion.report.title", spoken), budget, charts)
        except TableError as error:
            _fail(error)
        _tell(result, output, as_json, spoken)

    @corrosion.command(
        "map", help=text("corrosion.cli.map"), epilog="lab corrosion map lines.xlsx inspections.csv -o map.toml"
    )
    def propose(
        files: Annotated[list[Path], typer.Argument(help=text("corrosion.cli.files"))],
        output: Annotated[Path | None, typer.Option("--output", "-o", help=text("corrosion.cli.map_output"))] = None,
    ) -> None:
        from lab.corrosion.sheets import propose_mapping
        from lab.tables import TableError
        from lab.writing import write_whole

        if output is not None:
            _check_output(output, list(files), (".toml",))
        try:
            found = propose_mapping(files)
            if output is not None:
                write_whole(output, found.encode())
        except TableError as error:
            _fail(error)
        typer.echo(found if output is None else text("corrosion.cli.written", path=output))

    @corrosion.command(
        help=text("corrosion.cli.template"), epilog="lab corrosion template -o example --lang ja --format xlsx"
    )
    def template(
        output: Annotated[Path, typer.Option("--output", "-o", help=text("corrosion.cli.folder"))] = Path(),
        lang: LangOption = None,
        kind: Annotated[str, typer.Option("--format", help=text("corrosion.cli.format"))] = "csv",
    ) -> None:
        from lab.corrosion.template import write_template
        from lab.tables import TableError

        if kind not in {"csv", "xlsx"}:
            raise typer.BadParameter(text("corrosion.cli.bad_format", kind=kind), param_hint="--format")
        try:
            paths = write_template(output, _language(lang), "xlsx" if kind == "xlsx" else "csv")
        except TableError as error:
            _fail(error)
        for path in paths:
            typer.echo(text("corrosion.cli.written", path=path))

    @corrosion.command(
        "import",
        help=text("corrosion.cli.import"),
        epilog="lab corrosion import --lines lines.csv --inspections inspections.csv",
    )
    def keep(
        lines: LinesOption,
        inspections: InspectionsOption = None,
        points: PointsOption = None,
        weather: WeatherOption = None,
        at: AtOption = None,
        mapping: MapOption = None,
        data_dir: Annotated[str | None, typer.Option("--data-dir", help=text("devices.option.data_dir"))] = None,
        config: Annotated[Path | None, typer.Option("--config", help=text("devices.option.config"))] = None,
        as_json: JsonOption = False,
    ) -> None:
        from lab.config import load_config
        from lab.corrosion.keeping import Keeping, KeepingError
        from lab.tables import TableError

        try:
            with _Progress(text("corrosion.cli.reading")) as told:
                found = _read(lines, inspections, points, weather, mapping, _day(at), told)
            with Keeping(load_config(config, data_dir=data_dir).data) as kept:
                kept.replace(found, "imported")
        except (TableError, KeepingError) as error:
            _fail(error)
        if as_json:
            _echo_json(_counts(found))
            return
        _tell_kept_out(found.kept_out)
        typer.echo(
            text(
                "corrosion.cli.imported",
                lines=len(found.lines.id),
                points=len(found.points.id),
                n=len(found.inspections.at),
            )
        )

    @corrosion.command(
        "first-year",
        help=text("corrosion.cli.first_year"),
        epilog="lab corrosion first-year --t 17.5 --rh 72 --so2 20 --cl 40 --json",
    )
    def first_year(
        t: Annotated[float | None, typer.Option("--t", help=text("corrosion.cli.t"))] = None,
        rh: Annotated[float | None, typer.Option("--rh", help=text("corrosion.cli.rh"))] = None,
        so2: Annotated[float | None, typer.Option("--so2", help=text("corrosion.cli.so2"))] = None,
        cl: Annotated[float | None, typer.Option("--cl", help=text("corrosion.cli.cl"))] = None,
        data: DataOption = None,
        output: OutputOption = None,
        mapping: MapOption = None,
        as_json: JsonOption = False,
    ) -> None:
        given = {"temperature_c": t, "humidity_pct": rh, "so2_mg_m2_d": so2, "cl_mg_m2_d": cl}
        _calculate("first-year", given, data, output, mapping, as_json)

    @corrosion.command(
        help=text("corrosion.cli.loss"),
        epilog="lab corrosion loss --first-year 45.4 --years 20 --rh 72 --so2 20 --cl 40",
    )
    def loss(
        start: Annotated[float | None, typer.Option("--first-year", min=0, help=text("corrosion.cli.start"))] = None,
        years: Annotated[float | None, typer.Option("--years", min=0, help=text("corrosion.cli.years"))] = None,
        t: Annotated[float | None, typer.Option("--t", help=text("corrosion.cli.t"))] = None,
        rh: Annotated[float | None, typer.Option("--rh", help=text("corrosion.cli.rh"))] = None,
        so2: Annotated[float | None, typer.Option("--so2", help=text("corrosion.cli.so2"))] = None,
        cl: Annotated[float | None, typer.Option("--cl", help=text("corrosion.cli.cl"))] = None,
        data: DataOption = None,
        output: OutputOption = None,
        mapping: MapOption = None,
        as_json: JsonOption = False,
    ) -> None:
        given = {
            "first_year": start,
            "years": years,
            "temperature_c": t,
            "humidity_pct": rh,
            "so2_mg_m2_d": so2,
            "cl_mg_m2_d": cl,
        }
        _calculate("loss", given, data, output, mapping, as_json)

    @corrosion.command(
        help=text("corrosion.cli.life"), epilog="lab corrosion life --t-act 5.6 --t-req 3.2 --rate 0.126 --class 1"
    )
    def life(
        reading: Annotated[float | None, typer.Option("--t-act", min=0, help=text("corrosion.cli.t_act"))] = None,
        t_req: Annotated[float | None, typer.Option("--t-req", min=0, help=text("corrosion.cli.t_req"))] = None,
        rate: Annotated[float | None, typer.Option("--rate", help=text("corrosion.cli.rate"))] = None,
        pipe_class: Annotated[
            int | None, typer.Option("--class", min=1, max=3, help=text("corrosion.cli.class"))
        ] = None,
        data: DataOption = None,
        output: OutputOption = None,
        mapping: MapOption = None,
        as_json: JsonOption = False,
    ) -> None:
        given = {"reading": reading, "t_req": t_req, "rate": rate, "pipe_class": pipe_class}
        _calculate("life", given, data, output, mapping, as_json)


def _fail(error: Exception) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(1) from error


def _day(said: str | None) -> date:
    from lab.corrosion.cells import CellError, day
    from lab.zones import today

    if said is None:
        return today()
    try:
        found = day(said)
    except CellError:
        found = None
    if found is None:
        raise typer.BadParameter(text("corrosion.cli.bad_day", day=said), param_hint="--at")
    return found


def _language(said: str | None) -> Literal["ja", "en"]:
    if said not in {None, "ja", "en"}:
        raise typer.BadParameter(text("corrosion.cli.bad_lang", lang=said), param_hint="--lang")
    return "ja" if (said or language()) == "ja" else "en"


def _check_output(output: Path, inputs: list[Path | None], endings: tuple[str, ...]) -> None:
    if output.suffix.lower() not in endings:
        raise typer.BadParameter(
            text("corrosion.cli.bad_output", file=output, endings=", ".join(endings)), param_hint="--output"
        )
    if output.resolve() in {file.resolve() for file in inputs if file is not None}:
        raise typer.BadParameter(text("score.same_output", file=output), param_hint="--output")


def _read(
    lines: Path,
    inspections: Path | None,
    points: Path | None,
    weather: Path | None,
    mapping: Path | None,
    at: date,
    progress: "Progress | None",
) -> "Register":
    from lab.corrosion.register import read_register
    from lab.corrosion.sheets import read_mapping
    from lab.tables import TableError

    uses = read_mapping(mapping) if mapping else None
    found = read_register(lines, inspections, points, weather, at=at, mapping=uses, progress=progress)
    if not found.lines.id:
        why = [each.reason() for each in found.kept_out if each.table == "lines"]
        reason = why[0] if why else text("table.empty", path=lines)
        raise TableError(text("corrosion.file.none", path=lines, reason=reason))
    return found


def _write(path: Path, result: "Outcome", lang: str, title: str, budget: int | None, charts: int) -> None:
    from lab.corrosion import results
    from lab.corrosion.report import report
    from lab.corrosion.template import csv_bytes, workbook
    from lab.writing import write_whole

    if path.suffix.lower() == ".html":
        write_whole(path, report(result, lang, title, budget, charts).encode())
    elif path.suffix.lower() == ".csv":
        write_whole(path, csv_bytes(results.table(result, lang), lang))
    else:
        sheets = {text("corrosion.report.ranking", lang): results.table(result, lang)}
        if result.plan is not None:
            sheets[text("corrosion.cli.sheet_plan", lang)] = results.plan_table(result, lang)
        sheets[text("corrosion.report.out", lang)] = results.kept_out_table(result.register, lang)
        write_whole(path, workbook(sheets))


def _counts(found: "Register", lang: str | None = None) -> dict[str, Any]:
    import msgspec

    return {
        "lines": len(found.lines.id),
        "points": len(found.points.id),
        "points_unmeasured": int(found.unmeasured.sum()),
        "inspections": len(found.inspections.at),
        "rows": found.rows,
        "kept_out": [{**msgspec.to_builtins(each), "reason": each.reason(lang)} for each in found.kept_out],
    }


def _echo_json(told: object) -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(told)).decode())


def _tell(result: "Outcome", output: list[Path], as_json: bool, lang: str) -> None:
    from lab.corrosion import results

    found = result.register
    if as_json:
        plan = result.plan
        told = {**_counts(found, lang), "output": [str(path) for path in output]}
        if plan is not None:
            told["plan"] = {
                "points": [found.points.id[k] for k in plan.points.tolist()],
                "damage_found": results.number(plan.damage_found),
                "damage_total": results.number(plan.damage_total),
                "risk_share": results.number(plan.risk_share),
            }
        _echo_json(told)
        return
    _tell_kept_out(found.kept_out, lang)
    order = results.ranking(result)[:5].tolist()
    typer.echo(
        text(
            "corrosion.cli.done",
            lang,
            lines=len(found.lines.id),
            points=len(found.points.id),
            n=len(found.inspections.at),
        )
    )
    for k in order:
        chance, life = f"{result.assessment.p_next[k]:.1%}", result.assessment.life[k, 1]
        years = f"{life:.1f}" if math.isfinite(life) else f">{result.assessment.years[-1]:g}"
        line = found.lines.id[found.points.line[k]]
        name = line if found.unmeasured[k] else results.called(found.points.id[k], line)
        typer.echo(text("corrosion.cli.first", lang, point=name, chance=chance, life=years))
    for path in output:
        typer.echo(text("corrosion.cli.written", lang, path=path))


def _tell_kept_out(kept_out: "list[KeptOut]", lang: str | None = None) -> None:
    if not kept_out:
        return
    typer.echo(text("corrosion.cli.kept_out", lang, n=len(kept_out)), err=True)
    for each in kept_out[:TOLD]:
        place = text(
            "corrosion.cli.place", lang, file=each.file, row=each.row, column=each.column or "–", cell=each.cell or "–"
        )
        typer.echo(f"  {place} {each.reason(lang)}", err=True)
    if len(kept_out) > TOLD:
        typer.echo(text("corrosion.cli.and_more", lang, n=len(kept_out) - TOLD), err=True)


def _calculate(
    kind: "Kind",
    given: dict[str, float | None],
    data: Path | None,
    output: Path | None,
    mapping: Path | None,
    as_json: bool,
) -> None:
    """One row from options, told; or a file's rows, written beside what follows from them."""
    from lab.corrosion.calculators import NEEDED, WORK, calculate
    from lab.corrosion.sheets import read_mapping
    from lab.corrosion.template import csv_bytes, workbook
    from lab.tables import TableError
    from lab.writing import write_whole

    if data is None:
        record = {key: value for key, value in given.items() if value is not None}
        if any(key not in record for key in NEEDED[kind][1]) or output is not None:
            raise typer.BadParameter(text("corrosion.cli.give", names=text(f"corrosion.cli.give.{kind}")))
        found = WORK[kind](record)
        finite = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in found.items()
        }
        if as_json:
            _echo_json(finite)
            return
        for key, value in finite.items():
            shown = "–" if value is None else f"{value:.4g}" if isinstance(value, float) else value
            typer.echo(f"{key:20} {shown}")
        return
    if output is None or any(value is not None for value in given.values()):
        raise typer.BadParameter(text("corrosion.cli.data_output"), param_hint="--data")
    _check_output(output, [data, mapping], (".csv", ".xlsx"))
    try:
        result = calculate(kind, data, read_mapping(mapping) if mapping else None)
        rows = [result.headers, *result.rows]
        write_whole(output, workbook({kind: rows}) if output.suffix.lower() == ".xlsx" else csv_bytes(rows, language()))
    except TableError as error:
        _fail(error)
    if as_json:
        _echo_json(
            {"output": str(output), "rows": len(result.rows), "kept_out": [each.reason() for each in result.kept_out]}
        )
        return
    _tell_kept_out(result.kept_out)
    typer.echo(text("corrosion.cli.calculated", rows=len(result.rows), path=output))


class _Progress:
    """A bar on a terminal, nothing elsewhere; called with rows done and rows in all."""

    def __init__(self, label: str) -> None:
        self._bar: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(label, total=None)

    def __enter__(self) -> Callable[[int, int], None] | None:
        if self._bar is None:
            return None
        self._bar.start()
        return lambda done, total: self._bar.update(self._task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
