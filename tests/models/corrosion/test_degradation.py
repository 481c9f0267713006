"""Growth and updating: the closed forms, what findings do to a place and its neighbours, what cannot happen."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.corrosion.degradation import (
    YEARS,
    Evidence,
    Forecast,
    Prior,
    crossing,
    exceedance,
    forecast,
    normal_update,
)
from models.corrosion.tables import Floats

NAN = float("nan")


def prior(points: int = 6, lines: int = 3, **changes: object) -> Prior:
    """Points of bare steel under insulation, 20 years old, 0.1 mm/y by physics, two lines a plant."""
    full = {
        "rate": np.full(points, 0.1),
        "power": np.ones(points),
        "age_y": np.full(points, 20.0),
        "coated_y": np.full(points, 20.0),
        "life_y": np.zeros(points),
        "t_nom": np.full(points, 7.11),
        "line": np.arange(points) % lines,
        "plant": np.arange(lines) // 2,
    }
    return Prior(**{**full, **changes})  # type: ignore[arg-type]


def found(*rows: tuple[int, float, float, float, float]) -> Evidence:
    """(point, years ago, reading, low, high); the error of a reading is 0.15 mm."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    sigma = np.full(len(table), 0.15)
    return Evidence(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], sigma, table[:, 3], table[:, 4])


def ahead(p: Prior, evidence: Evidence, **more: object) -> Forecast:
    n = len(p.rate)
    return forecast(p, evidence, np.full(n, 3.0), np.full(n, 1.42), **more)  # type: ignore[arg-type]


def test_gamma_process_example() -> None:
    mean, variance = 0.12, 0.0108
    assert mean**2 / variance == pytest.approx(1.3333, abs=5e-5)
    assert mean / variance == pytest.approx(11.111, abs=5e-4)
    assert 20 * mean == pytest.approx(2.4)
    assert np.sqrt(20 * variance) == pytest.approx(0.4648, abs=5e-5)
    assert exceedance(3.0, 20.0, mean, variance) == pytest.approx(0.1038, abs=5e-5)


def test_normal_update_example() -> None:
    mean, sigma = normal_update(np.array(0.127), np.array(0.08), np.array([0.20, 0.17]), np.array([0.05, 0.04]))
    assert mean == pytest.approx(0.17447, abs=5e-6)
    assert sigma == pytest.approx(0.02910, abs=5e-6)
    many, _ = normal_update(np.full(3, 0.127), np.full(3, 0.08), np.array([[0.2], [NAN], [0.3]]), np.full((3, 1), 0.05))
    assert many[1] == pytest.approx(0.127)


def test_without_findings_the_physics_stands() -> None:
    p = prior()
    result = ahead(p, found())
    low, middle, high = result.rate.T
    assert middle == pytest.approx(0.1, rel=0.35)
    assert (high / low > 8.0).all()
    # the median loss is about rate x age
    assert result.depth[:, 1] == pytest.approx(2.0, rel=0.35)


def test_readings_of_a_steady_rate_find_it() -> None:
    true = 0.16
    rows = [(0, ago, 7.11 - true * (20.0 - ago), NAN, NAN) for ago in (19.9, 12.0, 7.0, 3.0, 0.1)]
    result = ahead(prior(), found(*rows))
    low, middle, high = result.rate[0]
    assert low < true < high
    assert middle == pytest.approx(true, rel=0.2)
    assert result.depth[0, 1] == pytest.approx(3.2, abs=0.25)
    life = (7.11 - 3.2 - 3.0) / true
    assert result.life[0, 0] < life < result.life[0, 2]


def test_neighbours_learn_less_the_further_they_are() -> None:
    p = prior(9, 3)
    thin = found(*((point, 0.5, 2.4, NAN, NAN) for point in (0, 3)))  # both on line 0
    before, after = ahead(p, found()), ahead(p, thin)
    gain = after.rate[:, 1] / before.rate[:, 1]
    own, line, plant, other = gain[0], gain[6], gain[1], gain[2]
    assert own > line > plant > other > 1.0


def test_nothing_found_is_censoring() -> None:
    p = prior()
    free = ahead(p, found())
    seen = ahead(p, found((0, 0.5, NAN, 0.0, 0.64)))
    coarse = ahead(p, found((0, 0.5, NAN, 0.0, 2.54)))
    ranged = ahead(p, found((0, 0.5, NAN, 2.0, 3.0)))
    assert seen.depth[0, 1] < coarse.depth[0, 1] < free.depth[0, 1]
    assert seen.depth[0, 1] < 0.64
    assert 1.8 < ranged.depth[0, 1] < 3.2
    assert seen.p_damage[0] < 0.1 < free.p_damage[0]


def test_one_slip_among_readings_does_not_rule() -> None:
    rows = [(0, ago, 6.9, NAN, NAN) for ago in (10.0, 8.0, 6.0, 4.0)]
    good = ahead(prior(), found(*rows))
    slip = ahead(prior(), found(*rows, (0, 2.0, 3.2, NAN, NAN)))
    assert slip.depth[0, 1] < good.depth[0, 1] + 0.8
    assert np.abs(slip.surprise[:4]).max() < 4.0 < np.abs(slip.surprise[4])


def test_a_baseline_takes_the_mill_tolerance_out() -> None:
    one = ahead(prior(), found((0, 1.0, 5.6, NAN, NAN)))
    both = ahead(prior(), found((0, 1.0, 5.6, NAN, NAN), (0, 20.0, 6.6, NAN, NAN)))
    assert both.depth[0, 1] < one.depth[0, 1]
    assert both.depth[0, 2] - both.depth[0, 0] < one.depth[0, 2] - one.depth[0, 0]


def test_a_coating_delays_and_a_new_one_stops() -> None:
    p = prior(life_y=np.full(6, 18.0))
    bare, coated = ahead(prior(), found()), ahead(p, found())
    assert (coated.depth[:, 1] < bare.depth[:, 1]).all()
    anew = ahead(p, found(), recoated=np.array([True, False, False, False, False, False]))
    assert (anew.p_below[0] <= coated.p_below[0] + 1e-9).all()
    assert anew.p_below[0, -1] < coated.p_below[0, -1]
    np.testing.assert_allclose(anew.p_below[1:], coated.p_below[1:])
    assert anew.p_below[0, 0] == pytest.approx(coated.p_below[0, 0])


def test_bare_steel_in_air_slows_down() -> None:
    slow = ahead(prior(power=np.full(6, 0.5)), found())
    steady = ahead(prior(), found())
    np.testing.assert_allclose(slow.depth[:, 1], steady.depth[:, 1], rtol=0.15)
    assert (slow.p_below[:, -1] < steady.p_below[:, -1]).all()


@settings(max_examples=15, deadline=None)
@given(st.floats(0.2, 30.0))
def test_another_unit_of_length_changes_nothing(factor: float) -> None:
    """Everything in lengths times a factor but the smallest depth that is shown, which is far below these."""
    rows = ((0, 3.0, 4.0, NAN, NAN), (1, 1.0, NAN, 1.0, 3.0), (4, 9.0, 5.5, NAN, NAN))
    p, e = prior(), found(*rows)
    q = replace(p, rate=p.rate * factor, t_nom=p.t_nom * factor)
    f = replace(e, reading=e.reading * factor, sigma=e.sigma * factor, low=e.low * factor, high=e.high * factor)
    a = forecast(p, e, np.full(6, 3.0), np.full(6, 1.42))
    b = forecast(q, f, np.full(6, 3.0 * factor), np.full(6, 1.42 * factor))
    np.testing.assert_allclose(b.rate, a.rate * factor, rtol=1e-3)
    np.testing.assert_allclose(b.p_below, a.p_below, atol=2e-3)
    np.testing.assert_allclose(b.life, a.life, rtol=2e-2, atol=0.02)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.floats(0.0, 19.0), st.floats(1.0, 9.0), st.just(NAN), st.just(NAN)),
        min_size=1,
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_order_does_not_matter_to_the_last_bit(
    rows: list[tuple[int, float, float, float, float]], random: object
) -> None:
    mixed = list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    a, b = ahead(prior(), found(*rows)), ahead(prior(), found(*mixed))
    for name in ("rate", "depth", "life", "thickness", "p_below", "p_damage"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_years_at_which_a_probability_is_reached() -> None:
    p: Floats = np.vstack([np.linspace(0.0, 0.9, len(YEARS)), np.zeros(len(YEARS)), np.ones(len(YEARS))])
    years = crossing(p, 0.45)
    assert years[0] == pytest.approx(YEARS[len(YEARS) // 2])
    assert years[1] == np.inf
    assert years[2] == 0.0


def test_what_is_no_physics_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        ahead(prior(rate=np.zeros(6)), found())
