"""Missing, impossible and extreme inputs give a value, or NaN with a reason, and never raise."""

from pathlib import Path

import numpy as np
import pytest

from models.corrosion import (
    api581,
    atmospheric,
    coefficients,
    degradation,
    extreme,
    reasons,
    sensors,
    thickness,
    wetness,
)

NAN = float("nan")


def said(bits: object) -> tuple[str, ...]:
    return reasons.names(int(np.asarray(bits)))


def test_reasons_fit_their_bits() -> None:
    assert len(reasons.REASONS) == len(set(reasons.REASONS)) <= 32
    assert set(reasons.MEANING) == set(reasons.REASONS)
    assert reasons.names(reasons.bit("salt") | reasons.bit("clock_back")) == ("clock_back", "salt")


def test_every_coefficient_has_a_mark_and_a_source() -> None:
    for name, entry in coefficients.TABLE.items():
        assert entry.mark in ("V", "R", "M", "F"), name
        assert entry.source, name
        assert entry.unit, name


def test_the_documentation_tells_the_source_of_every_coefficient() -> None:
    text = (Path(__file__).parents[3] / "docs" / "corrosion.md").read_text(encoding="utf-8")
    for name, entry in coefficients.TABLE.items():
        assert f"| `{name}` | {entry.unit} | {entry.mark} | {entry.source} |" in text


def test_iso9223_at_ten_degrees_is_continuous() -> None:
    below, at, above = atmospheric.iso9223("carbon_steel", [10 - 1e-9, 10, 10 + 1e-9], 75, 10, 10)
    assert below == pytest.approx(at, rel=1e-8)
    assert above == pytest.approx(at, rel=1e-8)


def test_zero_deposition_gives_a_zero_term() -> None:
    sulphur, salt = atmospheric.iso9223_terms("zinc", 15, 70, [0, 10], [10, 0])
    assert sulphur[0] == 0
    assert salt[1] == 0
    assert np.all(atmospheric.iso9223("zinc", 15, 70, [0, 10, 0], [10, 0, 0]) >= 0)


def test_iso9223_missing_and_impossible() -> None:
    rates = atmospheric.iso9223("carbon_steel", [15, 15, 15, NAN], [NAN, 70, 120, 70], [5, -1, 5, 5], 3)
    assert np.isnan(rates).all()
    marks = atmospheric.iso9223_reasons([15, 15, 15, NAN], [NAN, 70, 120, 70], [5, -1, 5, 5], 3)
    assert [said(m) for m in marks] == [
        ("climate_missing",),
        ("invalid_input",),
        ("invalid_input",),
        ("invalid_input",),
    ]
    assert said(atmospheric.iso9223_reasons(35, 70, 5, 3)) == ("outside_range",)
    assert atmospheric.iso9223("carbon_steel", 35, 70, 5, 3) > 0
    with pytest.raises(ValueError, match="unknown metal"):
        atmospheric.iso9223("gold", 15, 70, 5, 3)  # type: ignore[arg-type]


def test_categories_at_their_bounds() -> None:
    assert atmospheric.category([1.3, 1.31, 25, 50, 80, 200, 700, 701, NAN]).tolist() == (
        ["C1", "C2", "C2", "C3", "C4", "C5", "CX", "CX", ""]
    )
    assert said(atmospheric.category_reasons(701)) == ("above_top_category",)
    assert atmospheric.cl_class([3, 3.1, 300, 2000, NAN]).tolist() == [0, 1, 2, 3, -1]
    assert atmospheric.so2_class([4, 24, 80.1]).tolist() == [0, 1, 3]


def test_conversions() -> None:
    assert atmospheric.mpy_to_mm_y(5) == pytest.approx(0.127)
    assert atmospheric.mdd_to_um_y(1) == pytest.approx(4.65, abs=0.005)
    assert atmospheric.cl_from_nacl([30, 55]) == pytest.approx([18.2, 33.4], abs=0.05)
    assert atmospheric.so2_deposition(83.3) == pytest.approx(66.64)


def test_long_term_edges() -> None:
    assert atmospheric.iso9224([50, -1, 50, NAN], [0, 5, -1, 5])[0] == 0
    assert np.isnan(atmospheric.iso9224([50, -1, 50, NAN], [0, 5, -1, 5])[1:]).all()


@pytest.mark.parametrize("missing", [(1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3)])
def test_unknown_climate_is_wider_never_nan(missing: tuple[int, ...]) -> None:
    climate = [17.5, 72.0, 20.0, 40.0]
    full = atmospheric.first_year(*climate)
    later = atmospheric.loss(50, 10, *climate)
    for at in missing:
        climate[at] = NAN
    for known, got in ((full, atmospheric.first_year(*climate)), (later, atmospheric.loss(50, 10, *climate))):
        assert got.shape == (1, 3)
        assert np.isfinite(got).all()
        assert np.log(got[0, 2] / got[0, 0]) > np.log(known[0, 2] / known[0, 0])


def test_predictive_shapes_and_impossible_inputs() -> None:
    got = atmospheric.first_year([10, 20, NAN, 10], 75, [5, 5, 5, -2], 3, quantiles=(0.1, 0.5))
    assert got.shape == (4, 2)
    assert np.isfinite(got[:2]).all()
    assert np.isnan(got[2:]).all()
    later = atmospheric.loss([50, 0, -1, NAN, 50], [0, 5, 5, 5, -1], 15, 75, 5, 3)
    assert later[:2].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert np.isnan(later[2:]).all()


def test_the_fallback_is_iso9223_with_a_bias_and_a_width() -> None:
    got = atmospheric.first_year(17.5, 72, 20, 40, model=atmospheric.refitted_iso())[0]
    assert got[1] == pytest.approx(45.42 * np.exp(0.063), rel=1e-3)
    assert np.log(got[2] / got[1]) == pytest.approx(1.645 * 0.495, rel=1e-3)


def test_loss_of_one_year_is_the_one_given() -> None:
    assert atmospheric.loss(47.0, 1, 15, 75, 5, 3)[0, 1] == pytest.approx(47.0)


def test_wet_states() -> None:
    states = wetness.wet_state([20, 20, 20, 20, NAN], 20, [30, 50, 80, 30, 50], [0, 0.1, 0, 0, 0], [0, 0, 0, 1, 0])
    assert [wetness.STATES[s] if s >= 0 else "" for s in states] == ["dry", "salt_damp", "wet", "rain", ""]
    assert wetness.wet_state(10, 20, 55) == 2  # colder than the dew point
    assert wetness.wet_state(20, 20, 50, salt_g_m2=NAN) == 1
    assert wetness.surface_rh(20, 20, 60) == pytest.approx(60)


def test_dew_point_edges() -> None:
    assert wetness.dew_point(20, 100) == pytest.approx(20)
    assert wetness.dew_point(20, 0) == -np.inf
    assert np.isnan(wetness.dew_point(20, [-1, 101, NAN])).all()


def test_time_of_wetness() -> None:
    assert wetness.time_of_wetness([-1, 1, 1, NAN], [90, 90, 80, 90], hours=3) == 3
    assert wetness.tow_class([10, 11, 2500, 6000, NAN]).tolist() == [0, 1, 2, 4, -1]


def test_reference_year_integrates_to_the_reference() -> None:
    state = np.array([0, 0, 1, 2, 3, -1] * 100)
    index = wetness.corrosivity_index(state, wetness.wet_ratio_of(state))
    assert np.nanmean(index) == pytest.approx(1)
    assert np.isnan(wetness.wet_ratio_of(np.zeros(5, dtype=np.int8)))


def test_integrated_loss_never_falls() -> None:
    lost = wetness.integrate_loss([0, 8766, 4383, 17532], [100, 100, 100, NAN])
    assert lost.tolist() == [0, 100, 100, 100]  # a clock going back and a gap add nothing


def test_wash() -> None:
    assert wetness.washed(1.0, [0, 2, 2.1]).tolist() == [1, 1, 0.5]


def test_sensor_edges() -> None:
    assert sensors.acm_rate([0, -1])[0] == 0
    assert np.isnan(sensors.acm_rate(-1))
    assert sensors.acm_state([0.001, 0.01, 1, 1.1, -1, NAN]).tolist() == [0, 1, 1, 2, -1, -1]
    assert sensors.acm_charge([0, 12, 24], [1, 1, NAN]) == pytest.approx(0.0864)
    assert np.isnan(sensors.lpr_rate([0, -5])).all()
    assert sensors.lpr_rate(1000, 26) == pytest.approx(0.0116 * 26, rel=1e-3)


def test_er_slope_withstands_heat_and_outliers() -> None:
    hours = np.arange(0, 24 * 14, 1.0)
    lost = hours / 8766 * 100
    lost[::50] += 5
    assert sensors.er_rate(hours, lost) == pytest.approx(100, rel=0.02)
    assert np.isnan(sensors.er_rate(hours[:24], lost[:24]))
    heated = np.where(hours % 24 < 2, 40.0, 20.0)
    swung = hours / 8766 * 100 + np.where(hours % 24 < 2, 3.0, 0.0)
    assert sensors.er_rate(hours, swung, heated) == pytest.approx(100, rel=0.05)


def test_table_ends() -> None:
    assert api581.cui_rate([-12, -50, 176, 400], "severe").tolist() == [0, 0, 0, 0]
    assert api581.external_rate([-20, 121, 150], "severe").tolist() == [0, 0, 0]
    assert said(api581.rate_reasons("cui", 400)) == ("outside_table",)
    assert np.isnan(api581.cui_rate([NAN, 50], [3, -1])).all()
    with pytest.raises(ValueError, match="unknown damp"):
        api581.cui_rate(50, "damp")


def test_cycling_takes_the_worst_temperature_between() -> None:
    assert api581.cui_rate(20, "severe", t_min_c=10, t_max_c=150) == 0.508
    assert api581.cui_rate(20, "severe", t_min_c=-60, t_max_c=300) == 0.508
    assert api581.cui_rate(90, "mild", 80, NAN) == api581.cui_rate(80, "mild")


def test_drivers() -> None:
    assert api581.driver(wet_fraction=[0.1, 0.3, 0.6, 0.7, NAN]).tolist() == [1, 2, 3, 3, -1]
    assert api581.driver(rain_mm_y=[100, 600, 634, 636, 1524, 2250, 3000]).tolist() == [0, 0, 0, 1, 2, 3, 3]
    assert api581.driver(cl_mg_m2_d=[1, 60, 300, 1500]).tolist() == [0, 1, 2, 3]
    assert api581.driver(rain_mm_y=100, cl_mg_m2_d=400) == 2
    assert api581.driver(rain_mm_y=3000, indoors=True) == 0
    assert api581.driver(rain_mm_y=100, tower_downwind=True) == 2
    assert api581.driver(deluge=True) == 3


def test_factors() -> None:
    assert api581.insulation_factor(["foam_glass", "perlite", "polyurethane"]).tolist() == [0.75, 1.0, 1.25]
    assert api581.insulation_factor(-1) == 1.25
    assert api581.complexity_factor([0, 1, 2, -1], above_average=1.75).tolist() == [0.75, 1, 1.75, 1]
    assert api581.equipment_factor([0, 1, 0, -1], [0, 0, 1, -1]).tolist() == [1, 2, 2, 1]
    assert api581.coating_age(["none", "primer", "single_coat_epoxy", "multi_coat_epoxy"]).tolist() == [0, 0, 5, 15]


def test_ages() -> None:
    assert np.isnan(api581.effective_age(-1, 5, 15))
    assert said(api581.age_reasons(-1, 5)) == ("clock_back",)
    assert api581.effective_age(10, 2, 15) == 8  # coated after the reading: bare until then
    assert api581.effective_age(10, NAN, 15) == 10  # no date, no credit
    assert api581.effective_age(10, 10, 0) == 10


def test_damage_factor_far_gone() -> None:
    factors = api581.damage_factor([0.0, 0.5, 1.0, 3.0], 0.07)
    assert np.isfinite(factors).all()
    assert np.all(np.diff(factors) > 0)
    assert factors[-1] <= 1 / 1.56e-4
    assert np.isfinite(api581.damage_factor(0.3, 0.07, a=400))  # likelihoods to the 400th do not underflow
    assert np.isnan(api581.damage_factor(NAN, 0.07))


def test_thickness_edges() -> None:
    assert thickness.structural_minimum([1, 2, 2.5, 3, 3.5, 4, 5, 18, 19, 20]).tolist() == (
        [1.8, 1.8, 2.0, 2.0, 2.3, 2.3, 2.8, 2.8, 3.1, 3.1]
    )
    assert thickness.required_thickness([1.2, NAN, 4.0], 2.8, [NAN, NAN, 3.3]).tolist() == [2.8, 2.8, 3.3]
    rates = thickness.api570_rates(7.11, 6.0, 6.2, 10, [4, 0, -1])
    assert rates.short_term[0] == pytest.approx(-0.05)
    assert np.isnan(rates.short_term[1:]).all()
    assert rates.governing == pytest.approx(0.091)
    assert thickness.remaining_life([5, 2, 5], 3, [-0.1, 0.1, 0]).tolist() == [80, 0, 80]
    assert said(thickness.reading_reasons(7.11, 6.0, 7.5, 3, -1)) == (
        "reading_grew",
        "above_nominal",
        "clock_back",
        "rate_floored",
    )
    assert said(thickness.reading_reasons(7.11, 6.0, 2.0, 3, 1)) == ("below_required",)
    assert thickness.inspection_interval(100, [1, 2, 3, 4])[:3].tolist() == [5, 10, 10]
    assert thickness.inspection_cap(3, "visual") == 10
    assert thickness.follow_up_extent([1, 3], [True, False]).tolist() == [0.75, 0.10]


def test_b31g_edges() -> None:
    flaw = thickness.b31g(168.3, 7.11, [0, 7.11, 9, 3], [80, 80, 80, 2000], 240)
    assert flaw.failure_stress_mpa[0] == pytest.approx(264)
    assert flaw.failure_pressure_mpa[1:3].tolist() == [0, 0]
    assert flaw.failure_stress_mpa[3] == pytest.approx(264 * (1 - 3 / 7.11))
    assert said(thickness.b31g_reasons(7.11, 6.5)) == ("outside_range",)


def test_equal_maxima_and_too_few() -> None:
    sets = np.array([[1.0] * 10, [1, 2, 3, 4, 5, NAN, NAN, NAN, NAN, NAN], [1, 2, 3, 4, 5, 6, 7, NAN, NAN, NAN]])
    fit = extreme.gumbel_fit(sets)
    assert np.isnan(fit.scale).tolist() == [True, True, False]
    assert [said(r) for r in fit.reasons] == [("equal_maxima",), ("too_few_maxima",), ("few_maxima",)]
    estimate = extreme.extreme_value(sets, area=100, block_area=1, t_nom_mm=7.11)
    assert np.isnan(estimate.level).tolist() == [True, True, False]
    assert np.isnan(estimate.interval[:2]).all()
    assert "equal_maxima" in said(estimate.reasons[0])
    alone = extreme.gumbel_fit([1, 2, 3, 4, 5, 6, 7])
    assert alone.scale == pytest.approx(float(fit.scale[2]))


def test_extreme_value_caps_at_the_wall_and_reports_the_gev() -> None:
    rng = np.random.default_rng(3)
    deep = extreme.extreme_value(rng.gumbel(3, 0.8, 20), area=1e6, block_area=1, t_nom_mm=7.11)
    assert deep.level == 7.11
    assert "capped_at_nominal" in said(deep.reasons)
    assert deep.perforation > 0.5
    heavy = 1 + ((-np.log(rng.random(40))) ** -0.9 - 1) / 0.9
    report = extreme.extreme_value(heavy, area=100, block_area=1)
    assert "heavy_tail" in said(report.reasons)
    assert report.shape > 0.3
    assert extreme.exceedance(report.level, report.location, report.scale, 1, report.shape) == pytest.approx(0.01)


def test_ppcc_rejects_about_one_in_twenty() -> None:
    draws = np.random.default_rng(9).gumbel(size=(2000, 12))
    assert 0.03 < np.mean(extreme.ppcc(draws) < extreme.ppcc_5pct(12)) < 0.07


def test_posterior_prediction_covers() -> None:
    """The maximum over 50 unseen blocks lies in the 90 % interval nine times in ten."""
    rng = np.random.default_rng(4)
    seen, future = rng.gumbel(1, 0.2, (2000, 10)), rng.gumbel(1, 0.2, (2000, 50)).max(axis=1)
    interval = extreme.posterior_quantiles(extreme.posterior(seen), 50)
    assert 0.88 < np.mean((interval[:, 0] <= future) & (future <= interval[:, 2])) < 0.92


@pytest.mark.parametrize("climate", [(-300, 70, 5, 5), (15, 101, 5, 5), (15, 70, -1, 5), (15, 70, 5, -1)])
def test_predictions_refuse_a_climate_that_cannot_be(climate: tuple[float, ...]) -> None:
    assert np.isnan(atmospheric.first_year(*climate)).all()
    assert np.isnan(atmospheric.loss(30, 10, *climate)).all()


def test_gamma_process_at_its_ends() -> None:
    chance = degradation.exceedance([3, -1, 0, 3, 3, NAN], [20, 20, 0, 0, -1, 20], 0.12, 0.0108)
    assert chance[0] == pytest.approx(0.1038, abs=5e-5)
    np.testing.assert_array_equal(chance[1:4], [1, 0, 0])
    assert np.isnan(chance[4:]).all()
    assert np.isnan(degradation.exceedance(1, 1, [0, 0.1], [0.1, 0])).all()


def test_normal_update_without_observations_is_the_prior() -> None:
    mean, sigma = degradation.normal_update(0.127, 0.08, [NAN, 0.2], [0.05, 0.0])
    assert (float(mean), float(sigma)) == (pytest.approx(0.127), pytest.approx(0.08))
