"""An assessment and a plan: from tables to what is known, the same whatever the order of the files."""

from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.corrosion.assessment import assess
from models.corrosion.plan import plan
from models.corrosion.reasons import bit
from models.corrosion.tables import Assessment, Inspections, Lines, Points, Weather
from simulators.piping import Plant, Truth
from simulators.piping import plant as simulate
from tests.simulators.piping_tables import as_tables

Tables = tuple[Lines, Points, Inspections, Weather]


@cache
def built(seed: int, lines: int = 40, points: int = 10) -> tuple[Plant, Truth, Tables]:
    here, truth = simulate(seed, lines, points)
    return here, truth, as_tables(here)


def chosen(table: Any, rows: Any) -> Any:
    return replace(table, **{field.name: getattr(table, field.name)[rows] for field in fields(table)})


def same(a: Assessment, b: Assessment) -> None:
    for field in fields(a):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


def test_order_of_inspections_does_not_matter() -> None:
    here, _, (lines, points, inspections, weather) = built(1)
    mixed = chosen(inspections, np.random.default_rng(0).permutation(len(inspections.at)))
    same(assess(lines, points, inspections, weather, here.at), assess(lines, points, mixed, weather, here.at))


def test_what_comes_out_hangs_together() -> None:
    here, _, (lines, points, inspections, weather) = built(2)
    a = assess(lines, points, inspections, weather, here.at)
    for name in ("likelihood", "rate", "depth", "life"):
        values = getattr(a, name)
        assert np.isfinite(values).all() or name == "life"
        low, middle, high = values.T
        assert (low <= middle).all(), name
        assert (middle <= high).all(), name
    assert (np.diff(a.p_below, axis=1) >= -1e-6).all()
    assert ((a.p_below >= 0) & (a.p_below <= 1)).all()
    assert (np.diff(a.thickness, axis=1) <= 1e-9).all()
    assert (a.interval_y <= 10.0).all()
    assert set(np.unique(a.rank)) <= {0, 1, 2, 3}


def test_findings_move_what_is_known() -> None:
    here, truth, (lines, points, inspections, weather) = built(3)
    a = assess(lines, points, inspections, weather, here.at)
    seen = truth.inspected
    none = chosen(inspections, slice(0, 0))
    b = assess(lines, points, none, weather, here.at)
    assert (b.reasons & bit("prior_only") > 0).all()
    assert not (a.reasons & bit("prior_only") > 0).any()
    width_a, width_b = (np.median((each.depth[:, 2] - each.depth[:, 0])[seen]) for each in (a, b))
    assert width_a < 0.6 * width_b
    error_a, error_b = (np.abs(each.depth[:, 1] - truth.depth[:, 0])[seen].mean() for each in (a, b))
    assert error_a < 0.6 * error_b


def test_plan_finds_more_than_its_share() -> None:
    here, truth, (lines, points, inspections, weather) = built(2)
    a = assess(lines, points, inspections, weather, here.at)
    p = plan(a, lines, points, 40)
    assert len(p.points) == len(set(p.points.tolist())) == 40
    assert (np.diff(p.value) <= 0).all()
    assert truth.damaged[p.points].sum() > 3 * 40 * truth.damaged.mean()
    assert 0 < p.damage_found <= p.damage_total
    assert 0 < p.risk_share <= 1


@settings(max_examples=25, deadline=None)
@given(st.floats(0.3, 1.0), st.floats(0.02, 0.5), st.integers(0, 100))
def test_a_thicker_reading_never_shortens_life(reading: float, more: float, which: int) -> None:
    """The newest reading of a place, that is: a thicker older one means that more was lost since."""
    here, _, (lines, points, inspections, weather) = built(1, 8, 6)
    newest = {int(point): row for row, point in enumerate(inspections.point) if np.isfinite(inspections.reading[row])}
    point, row = sorted(newest.items())[which % len(newest)]

    def with_reading(share: float) -> Assessment:
        reading = inspections.reading.copy()
        reading[row] = share * lines.t_nom[points.line[point]]
        changed = replace(inspections, reading=reading)
        return assess(lines, points, changed, weather, here.at)

    thin, thick = with_reading(reading), with_reading(reading + more)
    before, after = np.minimum(thin.life[point], 40.0), np.minimum(thick.life[point], 40.0)
    assert (after >= before * 0.99 - 0.02).all()
    assert (thick.p_below[point] <= thin.p_below[point] + 5e-3).all()


def test_bad_tables_are_refused() -> None:
    here, _, (lines, points, inspections, weather) = built(1)
    astray = replace(points, line=points.line + 1000)
    with pytest.raises(ValueError, match="no line"):
        assess(lines, astray, inspections, weather, here.at)
    with pytest.raises(ValueError, match="no point"):
        assess(lines, points, replace(inspections, point=inspections.point + 10**6), weather, here.at)
