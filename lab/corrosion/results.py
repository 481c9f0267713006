"""What an assessment says of each point as plain rows: one source for the report, the tables and the API."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from lab.corrosion.register import Register
from lab.text import text
from models.corrosion import reasons
from models.corrosion.tables import INSULATION, METHOD, PART, RANKS, YEAR_S, Assessment, Floats, Plan

YEAR_D: Final = 365.25
PROBABILITY_CLASSES: Final = (0.001, 0.01, 0.05, 0.2)
"""Bounds between the five rows of the risk matrix: chance to be below the required thickness by then."""
PLAN_REASONS: Final = 3
"""A plan says why in one line."""
CONSEQUENCE_CLASSES: Final = (0.75, 1.5, 2.5, 4.5)
"""Bounds between its five columns: relative cost of a leak."""
MATRIX: Final = (
    (0, 0, 0, 0, 0),
    (0, 0, 0, 0, 1),
    (0, 1, 1, 1, 2),
    (1, 2, 2, 2, 3),
    (2, 3, 3, 3, 3),
)
"""Risk class (index into `RANKS`) by probability class and consequence class: in step with their product."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A register with its assessment and, for a budget, its plan."""

    register: Register
    assessment: Assessment
    plan: Plan | None = None
    next_y: float | None = None
    """Years until the next opportunity, where somebody asked for it."""


def classes(outcome: Outcome) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Per point: probability class, consequence class, and the risk class they make, 0 to 3.

    A newest reading below the required wall is of the highest probability class whatever the others say.
    """
    register, found = outcome.register, outcome.assessment
    cost = register.lines.consequence[register.points.line]
    row = np.searchsorted(PROBABILITY_CLASSES, found.p_next, side="right")
    row = np.where(found.last < found.t_req, len(PROBABILITY_CLASSES), row)
    column = np.searchsorted(CONSEQUENCE_CLASSES, cost, side="right")
    return row, column, np.array(MATRIX)[row, column]


def ranking(outcome: Outcome) -> np.ndarray[Any, Any]:
    """Rows of the points: already below their required wall, then the riskiest; equal risks by the shorter life."""
    found = outcome.assessment
    below = (found.reasons & reasons.bit("below_required")) > 0
    risk = np.where(np.isnan(found.risk), np.inf, found.risk)  # what cannot be judged comes first
    return np.lexsort((np.arange(len(risk)), found.life[:, 0], -found.p_next, -risk, ~below))


def due(outcome: Outcome, years: float) -> str | None:
    """The day so many years after the assessment, ISO 8601; None for never or unknown."""
    return _after(date.fromisoformat(str(outcome.assessment.at)[:10]), years)


def due_by_half_life(outcome: Outcome, k: int) -> str | None:
    """The day of API 570's rule, which counts from the last reading: five years later is the same day of the year."""
    found = outcome.assessment
    left = float(found.half_life_y[k])
    if not left > 0 or np.isnat(found.last_at[k]):
        return due(outcome, left)
    ago = float((found.at - found.last_at[k]) / np.timedelta64(1, "s")) / YEAR_S
    return _after(date.fromisoformat(str(found.last_at[k])[:10]), ago + left)


def due_by_chance(outcome: Outcome, k: int) -> str | None:
    """The day of the probabilistic rule; where that is API 570's, the same day and not the one beside it."""
    found = outcome.assessment
    if found.interval_y[k] == found.half_life_y[k]:
        return due_by_half_life(outcome, k)
    return due(outcome, float(found.interval_y[k]))


def _after(start: date, years: float) -> str | None:
    if not math.isfinite(years) or years >= 200:
        return None
    # whole years keep day and month: ten years after 1 April are not 31 March
    whole = int(years + 0.5 / YEAR_D)
    try:
        there = start.replace(year=start.year + whole)
    except ValueError:  # 29 February
        there = start.replace(year=start.year + whole, day=28)
    return (there + timedelta(days=round((years - whole) * YEAR_D))).isoformat()


def number(value: float, digits: int = 4) -> float | None:
    """A finite number rounded to significant digits, else None."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def rows(outcome: Outcome, lang: str, only: Collection[int] | None = None) -> Iterator[dict[str, Any]]:
    """One row a point, in the order of `ranking`: what the tables and the API show of it; `only` of these points."""
    register, found, plan = outcome.register, outcome.assessment, outcome.plan
    lines, points = register.lines, register.points
    order = ranking(outcome)
    _, _, risk_class = classes(outcome)
    chosen = {int(point): at for at, point in enumerate(plan.points, 1)} if plan else {}
    for place, k in enumerate(order.tolist(), 1):
        if only is not None and k not in only:
            continue
        line = int(points.line[k])
        part = int(points.part[k])
        yield {
            "ranking": place,
            "id": points.id[k],
            "line": lines.id[line],
            "plant": lines.plant[line],
            "service": lines.service[line],
            "part": PART[part] if part >= 0 else None,
            "insulation": INSULATION[lines.insulation[line]] if lines.insulation[line] >= 0 else None,
            "unmeasured": bool(register.unmeasured[k]),
            "risk_class": RANKS[int(risk_class[k])],
            "likelihood_class": RANKS[int(found.rank[k])],
            "likelihood": triple(found.likelihood[k]),
            "p_next": number(found.p_next[k]),
            "consequence": number(lines.consequence[line]),
            "risk": number(found.risk[k]),
            "nominal_mm": number(lines.t_nom[line]),
            "required_mm": number(found.t_req[k]),
            "last_mm": number(found.last[k]),
            "last_at": None if np.isnat(found.last_at[k]) else str(found.last_at[k])[:10],
            "depth_mm": triple(found.depth[k]),
            "rate_mm_y": triple(found.rate[k]),
            "life_y": triple(found.life[k]),
            "long_term_mm_y": number(found.long_term[k]),
            "short_term_mm_y": number(found.short_term[k]),
            "physics_mm_y": number(found.physics_rate[k]),
            "a_rt": number(found.a_rt[k]),
            "damage_factor": number(found.damage_factor[k]),
            "next_half_life": due_by_half_life(outcome, k),
            "next_probabilistic": due_by_chance(outcome, k),
            "in_plan": chosen.get(k),
            "reasons": why(int(found.reasons[k]), lang),
        }


def called(id: str, line: str) -> str:
    """A point with its line: many lines have a `CML-1`."""
    return id if line in id else f"{line} {id}"


def triple(values: Floats) -> list[float | None]:
    """Low, middle and high of a quantity."""
    return [number(value) for value in values.tolist()]


TELLING: Final = (
    "below_required", "reading_grew", "high_probability", "wet_now", "trace_leak", "jacket_damaged", "water_trap",
    "soil_interface", "worst_temperature", "no_coating", "old_coating", "salt", "cycling", "never_inspected",
    "long_since_inspected", "high_consequence", "teaches_much",
)  # fmt: skip
"""Reasons to look at a place, the most telling first; the others are about the data."""


def why(bits: int, lang: str, most: int | None = None) -> list[str]:
    """Reasons in words, the most telling first; at most so many."""
    there = reasons.names(bits)
    ordered = [name for name in TELLING if name in there] + [name for name in there if name not in TELLING]
    if "below_required" in ordered and "high_probability" in ordered:
        ordered.remove("high_probability")
    if most is not None and any(name in TELLING for name in there):
        # one line has no room for what is wrong with the data; the telling ones stand first
        most = min(most, sum(name in TELLING for name in ordered))
    return [text(f"corrosion.reason.{name}", lang) for name in ordered[:most]]


FLAT: Final = ("depth_mm", "rate_mm_y", "life_y", "likelihood")
LEVELS: Final = ("p05", "p50", "p95")


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its triples spread over three columns each and its lists joined."""
    spread: dict[str, Any] = {}
    for key, value in row.items():
        if key in FLAT:
            spread |= {f"{key}_{level}": one for level, one in zip(LEVELS, value, strict=True)}
        elif isinstance(value, list):
            spread[key] = "; ".join(value)
        elif isinstance(value, bool):
            spread[key] = int(value)
        else:
            spread[key] = value
    return spread


def column_name(key: str, lang: str) -> str:
    """The header of a column of `flat` rows: English keys stay what scripts read, Japanese is for people."""
    if lang == "en":
        return key
    stem, _, level = key.rpartition("_")
    if level in LEVELS:
        return f"{text(f'corrosion.column.{stem}', lang)} {text(f'corrosion.level.{level}', lang)}"
    return text(f"corrosion.column.{key}", lang)


def table(outcome: Outcome, lang: str) -> list[list[Any]]:
    """The ranking as a table with a header; words in the language, numbers as they are."""
    body = []
    for row in rows(outcome, lang):
        entry = flat(row)
        for key, kind in (
            ("part", "part"),
            ("insulation", "insulation"),
            ("risk_class", "rank"),
            ("likelihood_class", "rank"),
        ):
            if entry[key] is not None and lang != "en":
                entry[key] = text(f"corrosion.{kind}.{entry[key]}", lang)
        body.append(entry)
    keys = list(body[0]) if body else []
    return [[column_name(key, lang) for key in keys], *[[entry[key] for key in keys] for entry in body]]


def plan_table(outcome: Outcome, lang: str) -> list[list[Any]]:
    """The plan as a table: place, point, line, why."""
    plan, register = outcome.plan, outcome.register
    keys = ("in_plan", "id", "line", "reasons")
    body: list[list[Any]] = []
    if plan is not None:
        for place, (k, bits) in enumerate(zip(plan.points.tolist(), plan.reasons.tolist(), strict=True), 1):
            line = register.lines.id[register.points.line[k]]
            body.append([place, register.points.id[k], line, "; ".join(why(bits, lang, PLAN_REASONS))])
    return [[column_name(key, lang) for key in keys], *body]


def kept_out_table(register: Register, lang: str) -> list[list[Any]]:
    """The rows kept out: file, row, column, cell, reason."""
    head = [text(f"corrosion.report.out.{key}", lang) for key in ("file", "row", "column", "cell", "reason")]
    return [head, *[[each.file, each.row, each.column, each.cell, each.reason(lang)] for each in register.kept_out]]


def history(outcome: Outcome, k: int) -> dict[str, Any]:
    """A point's readings and its forecast."""
    register, found = outcome.register, outcome.assessment
    findings = register.inspections
    mine = np.flatnonzero(findings.point == k)
    mine = mine[np.argsort(findings.at[mine], kind="stable")]
    line = int(register.points.line[k])
    t_nom = float(register.lines.t_nom[line])
    return {
        "readings": [
            {
                "at": str(findings.at[n])[:10],
                "mm": number(findings.reading[n]),
                "between_mm": None
                if math.isfinite(findings.reading[n])
                else [number(max(t_nom - findings.loss_high[n], 0.0)), number(t_nom - findings.loss_low[n])],
                "method": METHOD[findings.method[n]],
            }
            for n in mine.tolist()
        ],
        "forecast": {
            "at": [due(outcome, float(year)) for year in found.years],
            "low_mm": [number(value) for value in found.thickness[k, :, 0].tolist()],
            "middle_mm": [number(value) for value in found.thickness[k, :, 1].tolist()],
            "high_mm": [number(value) for value in found.thickness[k, :, 2].tolist()],
            "p_below": [number(value) for value in found.p_below[k].tolist()],
        },
    }


def worst_points(outcome: Outcome, most: int) -> Sequence[int]:
    """The riskiest point of each line, the riskiest lines first."""
    seen: set[int] = set()
    chosen: list[int] = []
    for k in ranking(outcome).tolist():
        if len(chosen) == most:
            break
        line = int(outcome.register.points.line[k])
        if line not in seen:
            seen.add(line)
            chosen.append(k)
    return chosen
