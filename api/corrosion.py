"""External corrosion of piping: lines, points, the plan with its what-ifs, and new inspections."""

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Final, TypeVar

import numpy as np
from fastapi import Path as PathParameter
from fastapi import Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from api import schema
from api.context import api_router, context
from api.problems import Problem, bad_field, language_of
from api.reader import Reader
from api.schema import answer, documented
from api.times import iso
from lab.corrosion import results
from lab.corrosion.cells import CellError, day
from lab.corrosion.desk import Desk
from lab.corrosion.keeping import CODES, KeepingError
from lab.corrosion.register import KeptOut, Record, read_findings
from lab.corrosion.results import Outcome
from lab.tables import TableError
from models.corrosion.tables import COATING, INSULATION, METHOD, PART, RANKS

router = api_router("corrosion")
T = TypeVar("T")
PAGE: Final = 100
MOST: Final = 1000
DAY_NS: Final = 86_400_000_000_000
LOSS: Final = ("loss", "loss_sigma")
"""Charts of `models.corrosion.live`, in units of `LOSS_UM`."""
LOSS_UM: Final = 100.0

Limit = Annotated[int, Query(description="api.param.limit", ge=1, le=MOST, examples=[50])]
Cursor = Annotated[str | None, Query(description="api.param.cursor", max_length=20)]
PointId = Annotated[str, PathParameter(description="api.param.corrosion_point", max_length=120, examples=["P-101-03"])]
Plant = Annotated[str | None, Query(description="api.param.corrosion_plant", max_length=100, examples=["A"])]
Line = Annotated[str | None, Query(description="api.param.corrosion_line", max_length=100, examples=["P-101"])]
Budget = Annotated[int, Query(description="api.param.corrosion_budget", ge=1, le=1000, examples=[12])]
Acceptable = Annotated[
    float | None, Query(description="api.param.corrosion_acceptable", gt=0, lt=1, allow_inf_nan=False, examples=[0.01])
]
Coated = Annotated[str, Query(description="api.param.corrosion_coated", max_length=4000, examples=["P-101,P-202"])]

_POINT: Final[dict[str, Any]] = {
    "ranking": 1,
    "id": "P-101-03",
    "line": "P-101",
    "plant": "A",
    "service": "steam",
    "part": "support",
    "insulation": "mineral_wool",
    "unmeasured": False,
    "risk_class": "high",
    "likelihood_class": "very_high",
    "likelihood": [0.62, 0.81, 0.93],
    "p_next": 0.12,
    "consequence": 2.0,
    "risk": 0.24,
    "nominal_mm": 7.11,
    "required_mm": 2.8,
    "last_mm": 4.35,
    "last_at": "2024-06-07",
    "depth_mm": [2.4, 2.8, 3.3],
    "rate_mm_y": [0.07, 0.11, 0.17],
    "life_y": [5.1, 12.0, 24.0],
    "long_term_mm_y": 0.09,
    "short_term_mm_y": 0.13,
    "physics_mm_y": 0.25,
    "a_rt": 0.31,
    "damage_factor": 210.0,
    "next_half_life": "2031-10-01",
    "next_probabilistic": "2028-04-01",
    "in_plan": 1,
    "reasons": ["corrosion.reason.high_probability", "corrosion.reason.water_trap"],
}
_OUTLOOK: Final = {"below_now": 1.2, "below_next": 2.9, "risk": 5.1, "due_within_a_year": 8}
_READ: Final = ("invalid", "corrosion")


async def _work(request: Request, job: Callable[[Desk], T]) -> T:
    """Run a job in a thread: an assessment takes seconds, and readers of other routes shall not wait for it.

    Raises:
        Problem: the record cannot be used, or names a line that is not there.
    """
    desk = context(request).corrosion
    try:
        return await asyncio.to_thread(job, desk)
    except KeepingError as error:
        raise Problem("corrosion", "api.corrosion.record", error=str(error)) from error


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit():
        raise bad_field("cursor", "cursor")
    return int(cursor)


def _page(entries: list[Any], start: int, limit: int) -> tuple[list[Any], str | None]:
    end = start + limit
    return entries[start:end], str(end) if end < len(entries) else None


def _word(words: tuple[str, ...], code: int) -> str | None:
    return words[code] if code >= 0 else None


def outlook(outcome: Outcome) -> dict[str, Any]:
    """What lies ahead of a plant, in four numbers."""
    found = outcome.assessment
    return {
        "below_now": results.number(float(np.nansum(found.p_below[:, 0]))),
        "below_next": results.number(float(np.nansum(found.p_next))),
        "risk": results.number(float(np.nansum(found.risk))),
        "due_within_a_year": int(np.sum(found.interval_y <= 1.0)),
    }


@router.get(
    "/corrosion",
    summary="api.op.corrosion",
    response_model=schema.CorrosionSummary,
    responses=documented(
        {
            "source": "simulated",
            "seed": 1,
            "changed": "2026-04-01T00:00:00+00:00",
            "at": "2026-04-01",
            "next_y": 2.0,
            "lines": 60,
            "points": 480,
            "unmeasured": 12,
            "inspections": 300,
            "kept_out": 0,
            "classes": {"low": 400, "medium": 50, "high": 25, "very_high": 5},
            "matrix": [[90, 80, 60, 40, 10]] * 5,
            "outlook": _OUTLOOK,
        },
        "corrosion",
    ),
)
async def get_summary(request: Request) -> Response:
    def job(desk: Desk) -> dict[str, Any]:
        outcome, meta = desk.outcome(), desk.meta()
        probability, consequence, risk = results.classes(outcome)
        matrix = np.zeros((5, 5), dtype=int)
        np.add.at(matrix, (probability, consequence), 1)
        register = outcome.register
        return {
            "source": meta.get("source", "imported"),
            "seed": int(meta["seed"]) if meta.get("seed") else None,
            "changed": meta.get("changed", ""),
            "at": str(outcome.assessment.at)[:10],
            "next_y": desk.next_y,
            "lines": len(register.lines.id),
            "points": len(register.points.id),
            "unmeasured": int(register.unmeasured.sum()),
            "inspections": len(register.inspections.at),
            "kept_out": len(register.kept_out),
            "classes": {rank: int(np.sum(risk == k)) for k, rank in enumerate(RANKS)},
            "matrix": matrix.tolist(),
            "outlook": outlook(outcome),
        }

    return answer(await _work(request, job))


@router.get(
    "/corrosion/lines",
    summary="api.op.corrosion_lines",
    response_model=schema.CorrosionLines,
    responses=documented(
        {
            "lines": [
                {
                    "id": "P-101",
                    "plant": "A",
                    "service": "steam",
                    "nps": 6.0,
                    "insulation": "mineral_wool",
                    "coating": "primer",
                    "installed": "1994-04-01",
                    "risk_class": "high",
                    "p_next": 0.12,
                    "risk": 0.24,
                    "points": [
                        {"id": "P-101-03", "part": "support", "unmeasured": False, "risk_class": "high", "p_next": 0.12}
                    ],
                }
            ],
            "total": 60,
            "next": "50",
        },
        *_READ,
    ),
)
async def get_lines(request: Request, plant: Plant = None, limit: Limit = PAGE, cursor: Cursor = None) -> Response:
    start = _offset(cursor)

    def job(desk: Desk) -> dict[str, Any]:
        entries = [line for line in describe_lines(desk.outcome()) if plant is None or line["plant"] == plant]
        page, following = _page(entries, start, limit)
        return {"lines": page, "total": len(entries), "next": following}

    return answer(await _work(request, job))


def describe_lines(outcome: Outcome) -> list[dict[str, Any]]:
    """Lines, the riskiest first, each with its points in their order along it."""
    register, found = outcome.register, outcome.assessment
    lines, points = register.lines, register.points
    _, _, risk = results.classes(outcome)
    members: list[list[int]] = [[] for _ in lines.id]
    for k, line in enumerate(points.line.tolist()):
        members[line].append(k)
    place = {int(k): at for at, k in enumerate(results.ranking(outcome).tolist())}
    entries = []
    for line in sorted(
        range(len(lines.id)), key=lambda line: min((place[k] for k in members[line]), default=len(place))
    ):
        mine = members[line]
        installed = lines.installed[line]
        entries.append(
            {
                "id": lines.id[line],
                "plant": lines.plant[line],
                "service": lines.service[line],
                "nps": results.number(lines.nps[line]),
                "insulation": _word(INSULATION, int(lines.insulation[line])),
                "coating": _word(COATING, int(lines.coating[line])),
                "installed": None if np.isnat(installed) else str(installed)[:10],
                "risk_class": RANKS[max((int(risk[k]) for k in mine), default=0)],
                "p_next": results.number(max((float(found.p_next[k]) for k in mine), default=float("nan"))),
                "risk": results.number(float(np.nansum(found.risk[mine]))),
                "points": [
                    {
                        "id": points.id[k],
                        "part": _word(PART, int(points.part[k])),
                        "unmeasured": bool(register.unmeasured[k]),
                        "risk_class": RANKS[int(risk[k])],
                        "p_next": results.number(found.p_next[k]),
                    }
                    for k in mine
                ],
            }
        )
    return entries


@router.get(
    "/corrosion/points",
    summary="api.op.corrosion_points",
    response_model=schema.CorrosionPoints,
    responses=documented({"points": [_POINT], "total": 480, "next": "50"}, *_READ),
)
async def get_points(request: Request, line: Line = None, limit: Limit = PAGE, cursor: Cursor = None) -> Response:
    start, lang = _offset(cursor), language_of(request.scope)

    def job(desk: Desk) -> dict[str, Any]:
        outcome = desk.outcome()
        register = outcome.register
        order = results.ranking(outcome).tolist()
        if line is not None:
            order = [k for k in order if register.lines.id[register.points.line[k]] == line]
        page, following = _page(order, start, limit)
        return {"points": list(results.rows(outcome, lang, set(page))), "total": len(order), "next": following}

    return answer(await _work(request, job))


@router.get(
    "/corrosion/points/{id:path}",
    summary="api.op.corrosion_point",
    response_model=schema.CorrosionPointDetail,
    responses=documented(
        {
            **_POINT,
            "readings": [{"at": "2024-06-07", "mm": 4.35, "between_mm": None, "method": "ut"}],
            "forecast": {
                "at": ["2026-04-01", "2027-04-01"],
                "low_mm": [3.8, 3.6],
                "middle_mm": [4.3, 4.2],
                "high_mm": [4.7, 4.6],
                "p_below": [0.01, 0.03],
            },
            "live": {
                "at": "2026-04-01T09:00:00.000Z",
                "since": "2024-06-07T00:00:00.000Z",
                "lost_um": 61.0,
                "sigma_um": 24.0,
            },
        },
        "not-found",
        *_READ,
    ),
)
async def get_point(request: Request, id: PointId, coated: Coated = "") -> Response:
    lang = language_of(request.scope)

    def job(desk: Desk) -> dict[str, Any] | None:
        outcome = _outcome(desk, line_names(coated, desk))
        if id not in outcome.register.points.id:
            return None
        k = outcome.register.points.id.index(id)
        (row,) = results.rows(outcome, lang, {k})
        return {**row, **results.history(outcome, k)}

    found = await _work(request, job)
    if found is None:
        raise Problem("not-found", "api.corrosion.no_point", id=id)
    return answer({**found, "live": await _live(request, id, found["last_at"])})


async def _live(request: Request, id: str, inspected: str | None) -> dict[str, Any] | None:
    """What the point's sensors say it has lost since it was inspected; None without sensors."""
    keys = [f"{id}/~{name}" for name in LOSS]
    since = 0 if inspected is None else int(np.datetime64(inspected, "ns").astype(np.int64))

    def job(reader: Reader) -> dict[str, Any] | None:
        newest = reader.historian.latest(keys)
        if len(newest) < len(keys):
            return None
        now = newest[keys[0]].t
        # what they had counted when it was inspected does not count; they grow with each other, and so do their errors
        before = reader.historian.read(keys, since, min(now, since + DAY_NS)) if since else {}
        known = len(before) == len(keys) and all(len(before[key].t) for key in keys)
        lost, sigma = (newest[key].v - (float(before[key].v[0]) if known else 0.0) for key in keys)
        began = int(before[keys[0]].t[0]) if known else None
        return {
            "at": iso(now),
            "since": iso(began),
            "lost_um": results.number(LOSS_UM * lost),
            "sigma_um": results.number(LOSS_UM * max(sigma, 0.0)),
        }

    try:
        return await context(request).readers.run(job)
    except Problem:  # the collector has never run here: the piping needs none
        return None


def line_names(coated: str, desk: Desk) -> list[str]:
    """Lines by their names, separated by commas; a name that is known may hold some itself."""
    known = {name for name in desk.outcome().register.lines.id if "," in name}
    most = 1 + max((name.count(",") for name in known), default=0)
    parts, names = coated.split(","), []
    while parts:
        longest = next((n for n in range(most, 1, -1) if ",".join(parts[:n]).strip() in known), 1)
        names.append(",".join(parts[:longest]).strip())
        del parts[:longest]
    return [name for name in names if name]


def _outcome(desk: Desk, lines: list[str]) -> Outcome:
    try:
        return desk.outcome(lines)
    except KeyError as error:
        raise bad_field("coated", "corrosion_line", name=error.args[0]) from error


@router.get(
    "/corrosion/plan",
    summary="api.op.corrosion_plan",
    response_model=schema.CorrosionPlan,
    responses=documented(
        {
            "budget": 12,
            "acceptable": 0.01,
            "coated": ["P-202"],
            "places": [_POINT],
            "damage_found": 7.9,
            "damage_total": 31.0,
            "risk_share": 0.64,
            "outlook": _OUTLOOK,
            "unchanged": {"below_now": 1.2, "below_next": 3.4, "risk": 6.0, "due_within_a_year": 11},
        },
        *_READ,
    ),
)
async def get_plan(
    request: Request, budget: Budget = 12, acceptable: Acceptable = None, coated: Coated = ""
) -> Response:
    lang = language_of(request.scope)

    def job(desk: Desk) -> dict[str, Any]:
        lines = line_names(coated, desk)
        _outcome(desk, lines)
        outcome = desk.plan(budget, acceptable, lines)
        plan = outcome.plan
        assert plan is not None
        chosen = sorted(results.rows(outcome, lang, set(plan.points.tolist())), key=lambda row: int(row["in_plan"]))
        for row, bits in zip(chosen, plan.reasons.tolist(), strict=True):
            row["reasons"] = results.why(bits, lang, results.PLAN_REASONS)
        return {
            "budget": budget,
            "acceptable": acceptable,
            "coated": lines,
            "places": chosen,
            "damage_found": results.number(plan.damage_found),
            "damage_total": results.number(plan.damage_total),
            "risk_share": results.number(plan.risk_share),
            "outlook": outlook(outcome),
            "unchanged": outlook(desk.outcome()),
        }

    return answer(await _work(request, job))


@router.post(
    "/corrosion/inspections",
    summary="api.op.corrosion_inspections",
    response_model=schema.CorrosionEntered,
    responses=documented(
        {
            "entered": 1,
            "kept_out": [
                {
                    "row": 3,
                    "column": "thickness",
                    "cell": "71.1",
                    "code": "slip_point",
                    "reason": "corrosion.example.slip",
                }
            ],
        },
        "cross-origin",
        "too-large",
        *_READ,
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema.Finding.model_json_schema(), "examples": schema.FINDINGS},
                "text/csv": {"schema": {"type": "string"}},
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {
                    "schema": {"type": "string", "format": "binary"}
                },
            },
        }
    },
)
async def post_inspections(request: Request) -> Response:
    body, lang = await request.body(), language_of(request.scope)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    out: list[KeptOut] = []
    if kind in {"application/json", ""}:
        name, findings = "", [(1, _finding(body))]
    else:
        try:
            name, findings = await asyncio.to_thread(read_findings, "", body, out)
        except TableError as error:
            raise Problem(
                "invalid", "api.corrosion.file", reason=str(error).removeprefix(": ").removeprefix("：")
            ) from error
    entered, more = await _work(request, lambda desk: desk.add(findings, name))
    refused = sorted([*out, *more], key=lambda each: each.row)
    if kind in {"application/json", ""} and refused:
        first = refused[0]
        field = f"{first.column}_mm" if f"{first.column}_mm" in schema.Finding.model_fields else first.column
        raise bad_field(field, "corrosion_refused", reason=first.reason(lang))
    told = [
        {"row": each.row, "column": each.column, "cell": each.cell, "code": each.code, "reason": each.reason(lang)}
        for each in refused
    ]
    return answer({"entered": entered, "kept_out": told})


def _finding(body: bytes) -> Record:
    """A finding's record, as `lab.corrosion.register.read_findings` makes it of a row."""
    try:
        given = schema.Finding.model_validate_json(body)
    except ValidationError as error:
        from fastapi.exceptions import RequestValidationError

        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error
    try:
        at: date | None = day(given.at)
    except CellError:
        at = None
    if at is None:
        raise bad_field("at", "corrosion_day")
    record: Record = {
        "line": given.line,
        "point": given.point,
        "at": at,
        "method": METHOD.index(given.method),
        "effectiveness": None if given.effectiveness is None else CODES["effectiveness"].index(given.effectiveness),
        "stripped": None if given.stripped is None else int(given.stripped),
        "reading": given.reading_mm,
        "loss": given.loss_mm,
        "loss_low": given.loss_low_mm,
        "loss_high": given.loss_high_mm,
        "finding": "nothing" if given.nothing_found else None,
        "sigma": given.sigma_mm,
    }
    return {key: value for key, value in record.items() if value is not None}
