"""The rule by which the selection chooses, and that it leaves the package as it was."""

import numpy as np
import pytest

from benchmarks import selection
from benchmarks.selection import START, Factor, Figures, Outcome, applied, choose
from models.precursor import calibration, charts, fit, fitting

FACTOR = Factor("cap", "cap", ((1.0, "1"), (2.0, "2"), (3.0, "3")))


def figures(detected, episodes=0, false=0.0):
    """By two records; `detected` (11,) of each fault."""
    own = np.broadcast_to(np.asarray(detected, dtype=float), (11,))
    outcome = Outcome(np.full(3, false), episodes, 1.0, own, own, np.zeros(11))
    return Figures((outcome, outcome), ())


def noisy(mean):
    return mean + np.linspace(-0.2, 0.2, 11)


def test_best_wins_when_it_stands_out():
    assert choose(FACTOR, [figures(0.5), figures(0.6), figures(0.9)], 1.0).chosen == 2


def test_fewest_false_rows_win_among_equals_and_then_the_value_held():
    alike = [figures(0.79), figures(0.8), figures(noisy(0.81), false=0.001)]
    assert choose(FACTOR, alike, 1.0).chosen == 0
    assert choose(FACTOR, alike, 2.0).chosen == 1
    assert choose(FACTOR, alike, 3.0).chosen == 1  # false rows more: the best of the others


def test_what_breaks_the_promise_is_out():
    most = figures(0.5).plant[0].most
    assert choose(FACTOR, [figures(0.5, most), figures(0.9, most + 1), figures(0.4)], 2.0).chosen == 0


def test_criterion_takes_off_what_is_false_and_what_rings():
    ones = np.ones(11)
    outcome = Outcome(np.full(3, 0.1), 0, 1.0, 0.8 * ones, 0.6 * ones, 0.2 * ones)
    other = Outcome(np.full(10, 0.3), 0, 1.0, np.zeros(0), np.zeros(0), np.zeros(0))
    assert Figures((outcome,), (other,)).criterion == pytest.approx(0.7 - 0.2 - 0.2)


@pytest.mark.parametrize("factor", selection.FACTORS, ids=lambda factor: factor.field)
def test_alternatives_are_in_force_only_inside(factor):
    rows = np.random.default_rng(5).normal(size=(400, 4)).cumsum(axis=1)
    names = ("a", "b", "c", "d")
    plain = fit([rows], names, 60.0)
    before = [getattr(calibration, name) for name in ("WORTH", "BASELINES", "CAPS", "POOLED", "LONG")]
    for value, _ in factor.values:
        with applied(selection.replace(START, **{factor.field: value})):
            model = fit([rows], names, 60.0)
            _, result = model.score(model.initial(1), rows[None])
        assert np.isfinite(result.score[0, 10:]).all()
    after = [getattr(calibration, name) for name in ("WORTH", "BASELINES", "CAPS", "POOLED", "LONG")]
    assert after == before
    assert fitting.CLIP == charts.CLIP
    again = fit([rows], names, 60.0)
    assert np.array_equal(again.weights, plain.weights)
    assert np.array_equal(again.charts.shift, plain.charts.shift)
