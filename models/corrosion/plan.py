"""Which places to strip with a budget, and why."""

from typing import Final

import numpy as np

from models.corrosion.reasons import bit, flags
from models.corrosion.tables import Assessment, Flags, Floats, Lines, Plan, Points

REPEATED: Final = 0.5
"""What a second, third, … place of one line still teaches of it, as this to the power of its number (a choice)."""


def plan(
    assessment: Assessment,
    lines: Lines,
    points: Points,
    budget: int,
    allowed: Flags | None = None,
) -> Plan:
    """The `budget` places worth most, best first; before them those that are already below their required wall.

    A place is worth its risk (probability of being below the required wall at the next opportunity x consequence) times
    what is learned: 1 for acting on it, up to 1 more for how unsure that probability is, up to 1 more for how unsure
    the rest of its line is, less for every place of the line that is worth more. What was measured within the year
    counts for less, as far as it is new.

    Args:
        assessment: of all points.
        lines: the tables that it was made of.
        points: see `lines`.
        budget: how many places can be stripped.
        allowed: (P,) places that can be reached; None: all.

    Raises:
        ValueError: a negative budget.
    """
    if budget < 0:
        raise ValueError(f"budget {budget}: want 0 or more places")
    cost = np.where(lines.consequence >= 0, lines.consequence, 1.0)[points.line]
    risk, lesson = worth(assessment, points, cost)
    p = len(risk)
    reach = np.ones(p, dtype=np.bool_) if allowed is None else np.asarray(allowed, dtype=np.bool_)
    # places of a line are numbered by what they are worth with the whole lesson
    order = np.lexsort((-risk * (1.0 + lesson.sum(axis=1)), ~reach, points.line))
    line = points.line[order]
    turn = np.empty(p)
    turn[order] = np.arange(p) - np.searchsorted(line, line)
    value = risk * (1.0 + lesson[:, 0] + lesson[:, 1] * REPEATED**turn)
    # a place that is already too thin waits for no lesson, unless that was measured just now
    first = ((assessment.reasons & bit("below_required")) > 0) & (_fresh(assessment) > 0.5)
    chosen = np.lexsort((-value, ~first, ~reach))[: min(budget, int(reach.sum()))].astype(np.int64)
    chance = assessment.likelihood[:, 1]
    total_risk = float(assessment.risk.sum())
    reasons = assessment.reasons[chosen] | flags(
        teaches_much=(lesson * [1.0, REPEATED] ** turn[:, None])[chosen].sum(axis=1) > 0.5,
        trace_leak=(lines.heat_traced == 1)[points.line[chosen]] & (chance[chosen] > 0.3),
    )
    return Plan(
        points=chosen,
        value=value[chosen],
        reasons=reasons,
        damage_found=float(chance[chosen].sum()),
        damage_total=float(chance.sum()),
        risk_share=float(assessment.risk[chosen].sum() / total_risk) if total_risk > 0 else 0.0,
    )


def worth(assessment: Assessment, points: Points, cost: Floats) -> tuple[Floats, Floats]:
    """(P,) risk that a finding would settle, and (P, 2) how unsure a place and the rest of its line are, 0 to 1."""
    # where nothing is near its limit the likelier damage goes first
    risk = _fresh(assessment) * (assessment.risk + 1e-3 * assessment.likelihood[:, 1] * cost)
    unsure = 4.0 * assessment.p_next * (1.0 - assessment.p_next)
    count = np.bincount(points.line)
    total = np.bincount(points.line, weights=unsure)
    rest = (total[points.line] - unsure) / np.maximum(count[points.line] - 1, 1)
    return risk, np.stack([unsure, rest], axis=1)


def _fresh(assessment: Assessment) -> Floats:
    """(P,) how far a measurement would be new: 0 on the day of the last one, 1 from a year on."""
    age = np.where(np.isnat(assessment.last_at), np.inf, (assessment.at - assessment.last_at) / np.timedelta64(1, "D"))
    found: Floats = np.clip(age / 365.0, 0.0, 1.0)
    return found
