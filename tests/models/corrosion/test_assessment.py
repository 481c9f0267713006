"""An assessment and a plan: from tables to what is known, the same whatever the order of the files."""

from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.corrosion.assessment import assess, readings
from models.corrosion.degradation import Evidence
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
    below = (a.reasons[p.points] & bit("below_required")) > 0
    assert below.any()
    assert (np.diff(below.astype(int)) <= 0).all()  # already too thin: before all others
    for part in (below, ~below):
        assert (np.diff(p.value[part]) <= 0).all()
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


@pytest.mark.parametrize("name", ["temperature_c", "humidity_pct", "so2_mg_m2_d", "cl_mg_m2_d", "rain_mm_y", "all"])
def test_unknown_weather_is_never_nan(name: str) -> None:
    here, _, (lines, points, inspections, weather) = built(1, 12, 8)
    names = [field.name for field in fields(weather)] if name == "all" else [name]
    a = assess(lines, points, inspections, replace(weather, **dict.fromkeys(names, float("nan"))), here.at)
    for field in ("physics_rate", "likelihood", "rate", "depth", "p_below", "interval_y", "risk"):
        assert np.isfinite(getattr(a, field)).all(), field


def test_an_almost_empty_register_is_assessed() -> None:
    """Only what a file must have: names, wall and size."""
    here, _, (lines, points, inspections, weather) = built(1)
    unknown: dict[str, Any] = {}
    for field in fields(lines):
        values = getattr(lines, field.name)
        if isinstance(values, np.ndarray) and field.name not in ("t_nom", "nps", "diameter"):
            blank = {"f": np.nan, "M": np.datetime64("NaT", "ns"), "i": -1}[values.dtype.kind]
            unknown[field.name] = np.full_like(values, blank)
    bare = replace(lines, **unknown)
    codes = ("on_beam", "interface", "complexity", "condition", "jacket_damage")
    some = replace(points, **{name: np.full(len(points.line), -1, dtype=np.int8) for name in codes})
    a = assess(bare, some, chosen(inspections, slice(0, 0)), weather, here.at)
    assert np.isfinite(a.likelihood).all()
    assert np.isfinite(a.depth).all()
    assert (a.reasons & bit("invalid_input") > 0).all()
    assert len(plan(a, bare, some, 5).points) == 5


def test_no_points_and_no_findings() -> None:
    here, _, (lines, points, inspections, weather) = built(1)
    none = chosen(points, slice(0, 0))
    a = assess(lines, none, chosen(inspections, slice(0, 0)), weather, here.at)
    assert a.p_below.shape[0] == 0
    p = plan(a, lines, none, 3)
    assert len(p.points) == 0
    assert p.risk_share == 0.0


def test_dates_that_cannot_be() -> None:
    here, _, (lines, points, inspections, weather) = built(1, 12, 8)
    day = np.timedelta64(1, "D")
    # a finding tomorrow, and one before the pipe, are left out
    first = inspections.at.copy()
    first[0], first[1] = here.at + 30 * day, lines.installed[points.line[inspections.point[1]]] - 400 * day
    without = chosen(inspections, np.arange(len(first)) > 1)
    odd = assess(lines, points, replace(inspections, at=first), weather, here.at)
    same(odd, assess(lines, points, without, weather, here.at))
    # a pipe that is built tomorrow
    future = replace(lines, installed=np.full(len(lines.id), here.at + 100 * day))
    a = assess(future, points, chosen(inspections, slice(0, 0)), weather, here.at)
    assert (a.reasons & bit("clock_back") > 0).all()
    assert (a.depth[:, 1] == 0.0).all()


def test_readings_that_cannot_be() -> None:
    here, _, (lines, points, inspections, weather) = built(1)
    rows = np.flatnonzero(np.isfinite(inspections.reading))
    grown = inspections.reading.copy()
    grown[rows] = lines.t_nom[points.line[inspections.point[rows]]] * 1.3
    a = assess(lines, points, replace(inspections, reading=grown), weather, here.at)
    read = np.isfinite(a.last)
    assert (a.reasons[read] & bit("above_nominal") > 0).all()
    assert np.isfinite(a.depth).all()
    assert (a.depth >= 0.0).all()
    gone = inspections.reading.copy()
    gone[rows] = 0.4
    b = assess(lines, points, replace(inspections, reading=gone), weather, here.at)
    assert np.median(b.p_below[np.isfinite(b.last), 0]) > 0.99
    assert (b.half_life_y[np.isfinite(b.last)] == 0.0).all()


def test_temperatures_outside_the_tables_are_flagged() -> None:
    here, _, (lines, points, inspections, weather) = built(1)
    hot = replace(
        lines, t_op=np.full(len(lines.id), 400.0), t_min=np.full(len(lines.id), np.nan), t_max=lines.t_min * np.nan
    )
    a = assess(hot, points, chosen(inspections, slice(0, 0)), weather, here.at)
    assert (a.reasons & bit("outside_table") > 0).all()
    assert (a.physics_rate > 0.0).all()
    assert (a.a_rt == 0.0).all()


def test_what_if() -> None:
    here, _, (lines, points, inspections, weather) = built(2, 12, 8)
    usual = assess(lines, points, inspections, weather, here.at)
    strict = assess(lines, points, inspections, weather, here.at, accept=(1e-4, 1e-3, 1e-2))
    assert (strict.interval_y <= usual.interval_y + 1e-9).all()
    assert strict.interval_y.sum() < usual.interval_y.sum()
    np.testing.assert_array_equal(strict.depth, usual.depth)
    coated = np.arange(len(lines.id)) == 3
    anew = assess(lines, points, inspections, weather, here.at, recoated=coated)
    mine = points.line == 3
    assert anew.risk[mine].sum() <= usual.risk[mine].sum()
    np.testing.assert_array_equal(anew.risk[~mine], usual.risk[~mine])
    later = assess(lines, points, inspections, weather, here.at, next_y=8.0)
    assert (later.p_next >= usual.p_next - 1e-9).all()
    with pytest.raises(ValueError, match="between 0 and 1"):
        assess(lines, points, inspections, weather, here.at, accept=(0.0, 0.1, 0.1))


def test_a_plan_keeps_to_what_can_be_reached_and_grows_with_the_budget() -> None:
    here, _, (lines, points, inspections, weather) = built(2)
    a = assess(lines, points, inspections, weather, here.at)
    reach = points.height_m < 4.0
    p = plan(a, lines, points, 15, allowed=reach)
    assert reach[p.points].all()
    few, many = plan(a, lines, points, 5), plan(a, lines, points, 50)
    assert few.points.tolist() == many.points[:5].tolist()
    assert few.risk_share < many.risk_share
    assert len(plan(a, lines, points, 0).points) == 0
    assert len(plan(a, lines, points, 10**6).points) == len(points.line)
    with pytest.raises(ValueError, match="budget"):
        plan(a, lines, points, -1)


@pytest.mark.slow
def test_ten_thousand_points_in_seconds() -> None:
    import time

    here, _, (lines, points, inspections, weather) = built(1, 358, 28)
    began = time.process_time()
    assess(lines, points, inspections, weather, here.at)
    assert time.process_time() - began < 30.0


def test_a_newest_reading_below_the_required_wall_is_due_today_even_if_the_others_deny_it() -> None:
    here, _, (lines, points, inspections, weather) = built(1)
    read = np.flatnonzero(np.isfinite(inspections.reading))
    row = read[np.argmax(inspections.at[read])]
    point = int(inspections.point[row])
    reading = inspections.reading.copy()
    reading[inspections.point == point] = 0.95 * lines.t_nom[points.line[point]]
    reading[row] = 0.9 * assess(lines, points, inspections, weather, here.at).t_req[point]
    a = assess(lines, points, replace(inspections, reading=reading), weather, here.at)
    assert a.interval_y[point] == a.half_life_y[point] == 0.0
    assert a.reasons[point] & bit("below_required")


def test_of_two_readings_of_one_day_the_thinner_is_the_last() -> None:
    at = np.array([3.0, 3.0, 8.0])
    for order in ([0, 1, 2], [2, 1, 0]):
        evidence = Evidence(
            np.zeros(3, dtype=np.int64),
            at[order],
            np.array([6.4, 6.1, 6.9])[order],
            np.full(3, 0.15),
            np.zeros(3),
            np.full(3, np.nan),
        )
        read = readings(evidence, 1)
        assert (read.first[0], read.before[0], read.last[0]) == (6.9, 6.9, 6.1)


@pytest.mark.parametrize("again", [0.0, 1 / 365, 0.3])
def test_a_place_measured_again_keeps_its_short_term_rate(again: float) -> None:
    """7.0 mm, 6.9 mm six years later, 5.9 mm after two more and 5.8 mm in the same campaign: (6.9 - 5.8) / 2."""
    ago = np.array([10.0, 4.0, 2.0 + again, 2.0])
    values = np.array([7.0, 6.9, 5.9, 5.8])
    evidence = Evidence(np.zeros(4, dtype=np.int64), ago, values, np.full(4, 0.15), np.zeros(4), np.full(4, np.nan))
    read = readings(evidence, 1)
    assert (read.first[0], read.before[0], read.last[0]) == (7.0, 6.9, 5.8)
    assert read.previous[0] == (6.9 if again == 0 else 5.9)


def test_two_readings_a_day_apart_are_no_rate() -> None:
    here, _, (lines, points, inspections, weather) = built(1)
    line = int(points.line[0])
    nominal = float(lines.t_nom[line])
    two = chosen(inspections, np.array([0, 0]))
    days = np.array([here.at - np.timedelta64(801, "D"), here.at - np.timedelta64(800, "D")], dtype="datetime64[ns]")
    two = replace(
        two,
        point=np.zeros(2, dtype=np.int64),
        at=days,
        reading=np.array([nominal - 0.4, nominal - 0.5]),
        loss_low=np.full(2, np.nan),
        loss_high=np.full(2, np.nan),
    )
    a = assess(lines, points, two, weather, here.at)
    assert np.isnan(a.long_term[0])
    assert np.isnan(a.short_term[0])
    assert a.half_life_y[0] > 1.0  # 0.1 mm a day would be 36 mm/y: due at once


@pytest.mark.parametrize(
    ("apart", "lost", "tells"),
    [(0.4, 0.5, True), (0.4, 0.15, False), (0.11, 0.5, True), (0.05, 0.5, False), (0.4, -0.5, False), (0.6, 0, True)],
)
def test_a_sure_loss_within_months_is_a_rate(apart: float, lost: float, tells: bool) -> None:
    """Half a millimetre in five months at 0.05 mm of error is 1.2 mm/y: not to be lost for want of half a year."""
    ago, values = np.array([1.0 + apart, 1.0]), np.array([6.9, 6.9 - lost])
    evidence = Evidence(np.zeros(2, dtype=np.int64), ago, values, np.full(2, 0.05), np.zeros(2), np.full(2, np.nan))
    assert bool(np.isfinite(readings(evidence, 1).before[0])) is tells


def test_no_reading_is_believed_to_a_nanometre() -> None:
    here, _, (lines, points, inspections, weather) = built(1)
    sure = assess(lines, points, replace(inspections, sigma=np.full(len(inspections.at), 1e-9)), weather, here.at)
    same(sure, assess(lines, points, replace(inspections, sigma=np.full(len(inspections.at), 0.02)), weather, here.at))
