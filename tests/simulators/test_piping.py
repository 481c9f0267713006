"""The simulated piping: seeded, biased as owners are, wrong as records are, and in the units of the tables."""

from dataclasses import fields

import numpy as np
import pytest

from models.corrosion import tables
from simulators.piping import CHANNELS, FAULTS, Plant, Truth, plant, readings, records, weather
from simulators.piping.records import Indices
from tests.simulators.piping_tables import as_tables


def test_records_fit_the_tables() -> None:
    for name in ("INSULATION", "COATING", "PART", "METHOD"):
        assert getattr(records, name) == getattr(tables, name)
    for name in ("Lines", "Points", "Inspections", "Weather"):
        given, wanted = fields(getattr(records, name)), fields(getattr(tables, name))
        assert [field.name for field in given] == [field.name for field in wanted]
    lines, points, inspections, _ = as_tables(plant(1, 12, 5)[0])
    for table in (lines, points, inspections):
        assert len({len(getattr(table, field.name)) for field in fields(table)}) == 1


def test_a_seed_gives_one_plant() -> None:
    (a, true_a), (b, true_b), (c, _) = plant(3, 20, 6), plant(3, 20, 6), plant(4, 20, 6)
    assert a.inspections.reading.tobytes() == b.inspections.reading.tobytes()
    assert true_a.depth.tobytes() == true_b.depth.tobytes()
    assert a.lines.t_op.tobytes() != c.lines.t_op.tobytes()


@pytest.mark.parametrize("seed", [5, 6])
def test_the_plant_is_as_owners_have_it(seed: int) -> None:
    here, truth = plant(seed)
    lines, findings = here.lines, here.inspections
    assert 0.08 <= truth.damaged.mean() <= 0.15
    assert 0.05 <= (truth.insulation != lines.insulation).mean() <= 0.16
    assert truth.inspected.mean() == pytest.approx(0.30, abs=0.001)
    # what looked bad was inspected
    assert truth.damaged[truth.inspected].mean() > 1.5 * truth.damaged.mean()
    assert (np.abs(truth.t_local - lines.t_op[here.points.line]) > 1.0).mean() > 0.7
    measured = np.isfinite(findings.reading)
    assert truth.blunder[measured].mean() == pytest.approx(0.03, abs=0.012)
    assert not truth.blunder[~measured].any()
    assert (np.diff(truth.depth, axis=1) >= 0.0).all()
    assert (truth.depth <= truth.wall[:, None]).all()
    built = lines.installed[here.points.line[findings.point]]
    assert (findings.at >= built).all()
    assert (findings.at <= here.at).all()


def test_prevalence_is_what_was_asked_for() -> None:
    for wanted in (0.08, 0.15):
        assert plant(2, prevalence=wanted)[1].damaged.mean() == pytest.approx(wanted, abs=0.02)


def test_layout_holds_every_point() -> None:
    here, _ = plant(1, 30, 7)
    assert len(here.layout.lines) == 30
    assert here.layout.points.shape == (210, 3)
    for number, corners in enumerate(here.layout.lines):
        mine = here.layout.points[here.points.line == number]
        assert (mine >= corners.min(axis=0) - 0.01).all()
        assert (mine <= corners.max(axis=0) + 0.01).all()


def test_weather_is_one_series_however_it_is_cut() -> None:
    start = np.datetime64("2026-06-01T00:00", "ns")
    whole = weather(9, start, 500)
    part = weather(9, start + np.timedelta64(123, "h"), 200)
    for name in ("temperature_c", "humidity_pct", "rain_mm_h", "sun_w_m2", "cl_mg_m2_d"):
        np.testing.assert_allclose(getattr(whole, name)[123:323], getattr(part, name), rtol=1e-9, atol=1e-9)


def test_weather_is_that_of_the_coast() -> None:
    for seed in range(3):
        year = weather(seed, np.datetime64("2025-01-01", "ns"), 8766)
        month = year.at.astype("datetime64[M]").astype(int) % 12
        assert 15.5 < year.temperature_c.mean() < 19.0
        assert 64.0 < year.humidity_pct.mean() < 77.0
        assert 1100.0 < year.rain_mm_h.sum() < 3500.0
        assert year.temperature_c[month == 7].mean() > year.temperature_c[month == 0].mean() + 15.0
        assert year.rain_mm_h[(month == 5) | (month == 6)].sum() > 2 * year.rain_mm_h[(month == 0) | (month == 1)].sum()


def test_bad_sizes_are_refused() -> None:
    for wrong in ({"lines": 0}, {"prevalence": 0.9}, {"inspected": 0.0}):
        with pytest.raises(ValueError, match="out of range"):
            plant(1, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        weather(1, np.datetime64("2026-01-01"), 0)


def wired() -> tuple[Plant, Truth, Indices]:
    here, truth = plant(1, 24, 8)
    insulated = truth.insulation[here.points.line] > 0
    return here, truth, np.flatnonzero(insulated & (truth.t_local > 50) & (truth.t_local < 140))[::3][:8]


def test_readings_go_on_from_a_state() -> None:
    here, truth, which = wired()
    start = np.datetime64("2026-06-10T00:00", "ns")
    whole, beneath, end = readings(here, truth, which, start, 72)
    first, _, state = readings(here, truth, which, start, 30)
    then, _, last = readings(here, truth, which, start + np.timedelta64(30, "h"), 42, state=state)
    joined = np.concatenate([first.values, then.values], axis=1)
    np.testing.assert_allclose(joined, whole.values, rtol=1e-9, atol=1e-9, equal_nan=True)
    np.testing.assert_allclose(last.water, end.water)
    assert whole.at[0] == start
    assert beneath.fault.shape == whole.values.shape == (len(which), 432, len(CHANNELS))
    with pytest.raises(ValueError, match="follows"):
        readings(here, truth, which, start, 1, state=state)
    with pytest.raises(ValueError, match="divisor"):
        readings(here, truth, which, start, 1, every_s=7)


def test_water_lasts_and_shows_in_jacket_air_and_current() -> None:
    here, truth, which = wired()
    shown, beneath, _ = readings(here, truth, which, np.datetime64("2026-06-10", "ns"), 24 * 40, faults=False)
    column = CHANNELS.index
    x = shown.values
    night = x[:, :, column("sun_w_m2")] < 1.0
    calm = night & ~(x[:, :, column("tracing")] > 0.5)
    wet, dry = calm & (beneath.water > 0.15), calm & (beneath.water < 0.005)
    share = (x[:, :, column("jacket_c")] - x[:, :, column("ambient_c")]) / (
        x[:, :, column("metal_c")] - x[:, :, column("ambient_c")]
    )
    assert np.median(share[wet]) > 1.6 * np.median(share[dry])
    assert np.median(x[:, :, column("annulus_rh")][wet]) > 95.0 > 60.0 > np.median(x[:, :, column("annulus_rh")][dry])
    assert np.median(x[:, :, column("acm_ua")][wet]) > 10 * np.median(x[:, :, column("acm_ua")][dry])
    assert (np.diff(beneath.lost_um, axis=1) >= 0.0).all()
    noon = x[:, :, column("sun_w_m2")] > 600.0
    assert np.median(share[noon & (beneath.water < 0.005)]) > 1.5 * np.median(share[dry])


def test_sensors_fail_now_and_then_and_only_when_asked() -> None:
    here, truth, which = wired()
    start = np.datetime64("2026-03-01", "ns")
    ill, marks, _ = readings(here, truth, which, start, 24 * 90, every_s=3600)
    well, none, _ = readings(here, truth, which, start, 24 * 90, every_s=3600, faults=False)
    assert not none.fault.any()
    assert 0.001 < (marks.fault > 0).any(axis=2).mean() < 0.2
    touched = marks.fault > 0
    np.testing.assert_array_equal(ill.values[~touched], well.values[~touched])
    assert np.isnan(ill.values[marks.fault == FAULTS.index("silent")]).all()
