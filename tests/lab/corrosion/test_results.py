"""What is told of an assessment: its dates and its readings."""

import dataclasses
from datetime import date

import numpy as np
import pytest

from lab.corrosion import results
from lab.corrosion.assessing import outcome
from lab.corrosion.results import Outcome
from lab.corrosion.template import example


@pytest.fixture(scope="module")
def found() -> Outcome:
    return outcome(example(), date(2026, 4, 1), 5)


@pytest.mark.parametrize(
    ("at", "years", "wanted"),
    [
        ("2026-04-01", 10.0, "2036-04-01"),
        ("2026-04-01", 5.0, "2031-04-01"),
        ("2026-04-01", 4.0 - 1e-9, "2030-04-01"),
        ("2024-02-29", 4.0, "2028-02-29"),
        ("2024-02-29", 5.0, "2029-02-28"),
        ("2026-04-01", 0.5, "2026-10-01"),
        ("2026-04-01", 0.0, "2026-04-01"),
    ],
)
def test_whole_years_keep_the_day(found: Outcome, at: str, years: float, wanted: str) -> None:
    other = dataclasses.replace(found.assessment, at=np.datetime64(at, "ns"))
    assert results.due(dataclasses.replace(found, assessment=other), years) == wanted


def test_no_finding_is_a_wall_below_zero(found: Outcome) -> None:
    """A loss of which only the lower limit is known reaches the wall, not beyond it."""
    findings = found.register.inspections
    open_end = dataclasses.replace(
        findings,
        reading=np.full(len(findings.at), np.nan),
        loss_low=np.full(len(findings.at), 1.0),
        loss_high=np.full(len(findings.at), 1.25 * found.register.lines.t_nom.max()),
    )
    register = dataclasses.replace(found.register, inspections=open_end)
    for k in np.unique(findings.point).tolist():
        for reading in results.history(dataclasses.replace(found, register=register), k)["readings"]:
            low, high = reading["between_mm"]
            assert 0.0 <= low < high


@pytest.mark.parametrize("at", ["2026-04-01", "2026-11-27", "2027-03-15"])
def test_half_life_counts_from_the_reading(found: Outcome, at: str) -> None:
    """Five years after 1 April are a 1 April, whatever day the assessment is of."""
    other = found.assessment
    day, read = np.datetime64(at, "ns"), np.datetime64("2024-04-01", "ns")
    left = 5.0 - (day - read) / np.timedelta64(1, "s") / 31_556_952.0
    last_at, half = other.last_at.copy(), other.half_life_y.copy()
    last_at[0], half[0] = read, left
    changed = dataclasses.replace(
        found, assessment=dataclasses.replace(other, at=day, last_at=last_at, half_life_y=half)
    )
    (row,) = results.rows(changed, "en", {0})
    assert row["next_half_life"] == "2029-04-01"


def test_the_probabilistic_day_is_never_after_the_half_life_day_that_bounds_it(found: Outcome) -> None:
    """Both count the same years, one from the day of the assessment, the other from the reading."""
    day = np.datetime64("2026-04-01", "ns")
    last_at, half = found.assessment.last_at.copy(), found.assessment.half_life_y.copy()
    interval = found.assessment.interval_y.copy()
    for days in range(1, 1500, 7):
        last_at[0], half[0] = day - np.timedelta64(days, "D"), 0.1 + days / 997
        interval[0] = half[0]
        changed = dataclasses.replace(found.assessment, at=day, last_at=last_at, half_life_y=half, interval_y=interval)
        (row,) = results.rows(dataclasses.replace(found, assessment=changed), "en", {0})
        assert row["next_probabilistic"] == row["next_half_life"]
