"""What must hold whatever the numbers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.corrosion import api581, atmospheric, extreme, thickness, wetness

temperature = st.floats(-15, 28)
humidity = st.floats(35, 92)
deposition = st.floats(0, 700)
metals = st.sampled_from(["carbon_steel", "zinc", "copper", "aluminium"])


@settings(deadline=None)
@given(temperature, humidity, deposition, deposition, deposition)
def test_more_chloride_never_lowers_the_first_year(t: float, rh: float, so2: float, one: float, two: float) -> None:
    less, more = sorted((one, two))
    quantiles = atmospheric.first_year(t, rh, so2, [less, more])
    assert np.all(quantiles[1] >= quantiles[0])


@settings(deadline=None)
@given(
    temperature, st.one_of(humidity, st.just(float("nan"))), st.floats(1, 300), deposition, deposition, st.floats(1, 50)
)
def test_more_chloride_never_lowers_the_median_loss(
    t: float, rh: float, first: float, one: float, two: float, years: float
) -> None:
    less, more = sorted((one, two))
    median = atmospheric.loss(first, years, t, rh, 10, [less, more])[:, 1]
    assert median[1] >= median[0] * (1 - 1e-12)


@settings(deadline=None)
@given(metals, temperature, humidity, deposition, deposition, deposition)
def test_more_chloride_or_sulphur_never_lowers_iso9223(
    metal: atmospheric.Metal, t: float, rh: float, a: float, b: float, other: float
) -> None:
    less, more = sorted((a, b))
    assert np.diff(atmospheric.iso9223(metal, t, rh, other, [less, more])) >= 0
    assert np.diff(atmospheric.iso9223(metal, t, rh, [less, more], other)) >= 0


@settings(deadline=None)
@given(st.floats(1, 500), st.lists(st.floats(0.05, 80), min_size=2, max_size=6), humidity, deposition)
def test_loss_grows_with_time_and_quantiles_are_in_order(
    first: float, years: list[float], rh: float, cl: float
) -> None:
    got = atmospheric.loss(first, np.sort(years), 18, rh, 10, cl)
    assert np.all(np.diff(got, axis=1) >= 0)
    assert np.all(np.diff(got[:, 1]) >= -1e-9)


@settings(deadline=None)
@given(metals, st.floats(0.1, 300), st.floats(0, 100))
def test_linear_tail_is_never_below_the_power_law(metal: atmospheric.Metal, rate: float, years: float) -> None:
    power = atmospheric.iso9224(rate, years, metal, tail="power")
    assert atmospheric.iso9224(rate, years, metal) >= power * (1 - 1e-12)


@settings(deadline=None)
@given(st.floats(2, 12), st.floats(0, 5), st.floats(0, 0.2), st.floats(1, 20))
def test_a_thicker_reading_never_shortens_life(now: float, thicker: float, years: float, span: float) -> None:
    readings = np.array([now, now + thicker])
    rates = thickness.api570_rates(13, 12.5, readings, span + years, span)
    life = thickness.remaining_life(readings, 2.8, rates.governing)
    assert life[1] >= life[0] * (1 - 1e-12)


@settings(deadline=None)
@given(st.floats(0.1, 20), st.floats(20, 1000), st.floats(80, 200), st.floats(0.6, 1))
def test_units_change_nothing(pressure: float, diameter: float, stress: float, weld: float) -> None:
    metric = thickness.pressure_minimum(pressure, diameter, stress, weld)
    psi, inch = 145.0377, 1 / 25.4
    imperial = thickness.pressure_minimum(pressure * psi, diameter * inch, stress * psi, weld)
    assert np.isclose(imperial / inch, metric, rtol=1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 5), min_size=6, max_size=20, unique=True), st.floats(0.01, 100))
def test_a_gumbel_fit_scales_with_its_unit(maxima: list[float], unit: float) -> None:
    plain, scaled = extreme.gumbel_fit(maxima), extreme.gumbel_fit(np.array(maxima) * unit)
    assert np.isclose(scaled.scale, plain.scale * unit, rtol=1e-9)
    assert np.isclose(scaled.location, plain.location * unit, rtol=1e-9, atol=1e-9 * unit)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.1, 5), min_size=6, max_size=20, unique=True))
def test_order_of_maxima_does_not_matter(maxima: list[float]) -> None:
    mixed = np.random.default_rng(len(maxima)).permutation(maxima)
    one, two = extreme.extreme_value(maxima, 50, 1), extreme.extreme_value(mixed, 50, 1)
    assert np.isclose(one.level, two.level, rtol=1e-9)
    assert np.isclose(one.ppcc, two.ppcc, rtol=1e-9)


@settings(deadline=None)
@given(st.floats(-60, 300), st.floats(-60, 300), st.floats(-60, 300), st.sampled_from([0, 1, 2]))
def test_a_harsher_driver_or_wider_cycle_never_lowers_the_rate(t: float, a: float, b: float, driver: int) -> None:
    low, high = sorted((a, b))
    for kind in ("cui", "external"):
        rate = api581.base_rate(kind, t, [driver, driver + 1])
        assert rate[1] >= rate[0]
        assert api581.base_rate(kind, t, driver, low, high) >= rate[0]


@settings(deadline=None)
@given(st.floats(0, 60), st.floats(0, 60), st.floats(0, 20))
def test_coating_never_adds_age(age_tk: float, age_coat: float, c_age: float) -> None:
    age = api581.effective_age(age_tk, age_coat, c_age)
    assert 0 <= age <= age_tk


@settings(deadline=None)
@given(st.floats(-30, 45), st.floats(1, 100))
def test_dew_point_is_never_above_the_air(t: float, rh: float) -> None:
    dew = wetness.dew_point(t, rh)
    assert dew <= t + 1e-9
    assert np.isclose(wetness.saturation_hpa(dew), wetness.saturation_hpa(t) * rh / 100)
    assert np.isclose(wetness.surface_rh(dew, t, rh), 100)


@settings(deadline=None)
@given(st.floats(0.05, 3), st.integers(1, 4))
def test_points_broadcast(a_rt: float, count: int) -> None:
    many = api581.damage_factor(np.full((3, 2), a_rt), 0.07, b=np.full((3, 2), count))
    assert many.shape == (3, 2)
    assert np.allclose(many, api581.damage_factor(a_rt, 0.07, b=count))


def test_more_chloride_never_lowers_the_median_loss_with_humidity_or_sulphur_unknown() -> None:
    """A dense sweep: the corner where both are unknown is one that a few random examples miss."""
    rng = np.random.default_rng(0)
    n = 5000
    t, rh, so2 = rng.uniform(-25, 35, n), rng.uniform(20, 100, n), rng.uniform(0, 200, n)
    rh[rng.random(n) < 0.4], so2[rng.random(n) < 0.4] = np.nan, np.nan
    first, years, cl = 10 ** rng.uniform(-1, 2.5, n), rng.uniform(0, 60, n), 10 ** rng.uniform(-2, 2.9, n)
    less = atmospheric.loss(first, years, t, rh, so2, cl)[:, 1]
    more = atmospheric.loss(first, years, t, rh, so2, cl * rng.uniform(1, 3, n))[:, 1]
    assert np.all(more >= less * (1 - 1e-12))
