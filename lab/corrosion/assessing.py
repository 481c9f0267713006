"""A register assessed, and a plan made of it."""

from collections.abc import Sequence
from datetime import date

import numpy as np

from lab.corrosion.register import Register
from lab.corrosion.results import Outcome
from models.corrosion.assessment import NEXT_Y, assess
from models.corrosion.plan import plan
from models.corrosion.tables import Assessment, Plan


def assessment(register: Register, at: date, coated: Sequence[str] = (), next_y: float = NEXT_Y) -> Assessment:
    """What is known of every point of a register on a day.

    Args:
        register: what the files say.
        at: the day.
        coated: lines that get a new coating on it.
        next_y: years until the next opportunity to look or repair.

    Raises:
        KeyError: there is no such line.
    """
    anew = None
    if coated:
        names = {name: k for k, name in enumerate(register.lines.id)}
        anew = np.zeros(len(names), dtype=np.bool_)
        anew[[names[name] for name in coated]] = True
    day = np.datetime64(at, "ns")
    return assess(register.lines, register.points, register.inspections, register.weather, day, next_y, recoated=anew)


def make_plan(register: Register, found: Assessment, budget: int) -> Plan:
    """Which places to strip with a budget of so many."""
    return plan(found, register.lines, register.points, budget)


def outcome(register: Register, at: date, budget: int | None = None, next_y: float = NEXT_Y) -> Outcome:
    """The register with its assessment, and with the plan for a budget of places that can be stripped."""
    found = assessment(register, at, next_y=next_y)
    return Outcome(register, found, None if budget is None else make_plan(register, found, budget), next_y)
