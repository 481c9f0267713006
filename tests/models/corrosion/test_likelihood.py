"""The learned likelihood: better than chance at lines it has not seen, and honest when it knows little."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from models.corrosion.assessment import assess_all, evidence_of, labels, physics
from models.corrosion.likelihood import (
    choice_weights,
    damage_limit,
    features,
    folds_by_line,
    learn,
    logistic,
    physics_probability,
    rank,
    shift,
    venn_abers,
)
from simulators.piping import plant
from tests.simulators.piping_tables import as_tables


@cache
def small() -> tuple[Any, ...]:
    here, truth = plant(4, 80, 14)
    lines, points, inspections, weather = as_tables(here)
    base = physics(lines, points, weather, here.at)
    return here, truth, lines, points, inspections, weather, base


def test_it_ranks_lines_it_has_not_seen() -> None:
    here, truth, lines, points, inspections, _, base = small()
    point, ago, share = labels(inspections, evidence_of(inspections, base, here.at), base)
    learned = learn(lines, points, base.prior, point, ago, share)
    assert learned.fitted
    assert (learned.low <= learned.estimate).all()
    assert (learned.estimate <= learned.high).all()
    damaged = truth.damaged
    top = np.argsort(-learned.estimate)[: len(damaged) // 10]
    assert damaged[top].mean() > 3 * damaged.mean()
    assert learned.estimate.mean() == pytest.approx(damaged.mean(), abs=0.08)


def test_with_few_labels_physics_answers() -> None:
    here, _, lines, points, inspections, _, base = small()
    point, ago, share = labels(inspections, evidence_of(inspections, base, here.at), base)
    for few in (0, 20):
        learned = learn(lines, points, base.prior, point[:few], ago[:few], share[:few])
        assert not learned.fitted
        every = np.arange(len(points.line))
        limit = damage_limit(base.prior.t_nom)
        np.testing.assert_allclose(learned.estimate, physics_probability(base.prior, every, 0.0 * every, limit))
        assert (learned.low < learned.high).all()


def test_a_line_never_tells_of_itself() -> None:
    """Only through the few numbers that join the learners, which all lines share."""
    here, _, lines, points, inspections, _, base = small()
    point, ago, share = labels(inspections, evidence_of(inspections, base, here.at), base)
    line = points.line[point[0]]
    other = np.where(points.line[point] == line, 2.4 - share, share)
    a, b = (learn(lines, points, base.prior, point, ago, each) for each in (share, other))
    mine = points.line == line
    np.testing.assert_allclose(a.estimate[mine], b.estimate[mine], atol=0.06)


def test_logistic_with_an_offset_finds_its_weights() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20_000, 3))
    offset = rng.normal(size=20_000)
    z = offset + x @ [1.0, -0.5, 0.0] - 1.0
    y = rng.random(20_000) < 1 / (1 + np.exp(-z))
    model = logistic(x, y, offset, np.ones(20_000), 1e-6)
    np.testing.assert_allclose(model.weights[:-1] / model.scale, [1.0, -0.5, 0.0], atol=0.07)
    constant = logistic(np.column_stack([x, np.ones(20_000)]), y, offset, np.ones(20_000))
    assert np.isfinite(constant.margin(np.column_stack([x, np.full(20_000, 9.0)]), offset)).all()


def test_weights_undo_a_choice() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(8000, 2))
    chosen = np.flatnonzero(rng.random(8000) < 1 / (1 + np.exp(-(1.2 * x[:, 0] - 1.0))))
    weight = choice_weights(x[chosen], x, chosen)
    plain, weighed = x[chosen, 0].mean(), np.average(x[chosen, 0], weights=weight)
    assert plain > 0.5
    assert abs(weighed - x[:, 0].mean()) < 0.35 * plain
    assert weight.mean() == pytest.approx(1.0)


def test_folds_keep_lines_whole() -> None:
    line = np.random.default_rng(3).integers(0, 30, 500)
    fold = folds_by_line(line)
    assert all(len(set(fold[line == each])) == 1 for each in range(30))
    assert np.bincount(fold).min() > 60


def test_venn_abers_brackets_the_frequency() -> None:
    rng = np.random.default_rng(4)
    score = rng.random(3000)
    y = rng.random(3000) < score**2
    at = np.linspace(0.05, 0.95, 19)
    low, high = venn_abers(score, y, np.ones(3000), at)
    assert (low <= high).all()
    assert np.abs(0.5 * (low + high) - at**2).max() < 0.12


def test_ranks_and_limits() -> None:
    assert rank(np.array([0.0, 0.049, 0.05, 0.15, 0.4, 1.0])).tolist() == [0, 0, 1, 2, 3, 3]
    assert damage_limit([3.0, 7.11]).tolist() == pytest.approx([1.0, 1.422])


def test_shift_meets_the_probability() -> None:
    *_, base = small()
    limit = damage_limit(base.prior.t_nom)
    wanted = np.full(len(limit), 0.2)
    moved = shift(base.prior, wanted, limit, 0.88)
    assert (np.abs(moved) <= 2.5).all()
    assert (np.diff([shift(base.prior, wanted + by, limit, 0.88).mean() for by in (-0.1, 0.0, 0.1)]) > 0).all()


def test_features_are_numbers_even_where_nothing_is_known() -> None:
    _, _, lines, points, _, _, base = small()
    every = np.arange(len(points.line))
    x = features(lines, points, base.prior, every, 0.0 * every)
    assert np.isfinite(x).all()
    assert x.shape[1] - features(lines, points, base.prior, every, 0.0 * every, physics=False).shape[1] == 3


def test_learning_does_no_harm_to_the_depth_of_places_never_seen() -> None:
    """So few lines teach little of depths; with hundreds it is a gain (`make bench-corrosion`)."""
    here, truth, lines, points, inspections, weather, _ = small()
    never, depth = ~truth.inspected, truth.depth[:, 0]
    error = []
    for learning in (True, False):
        _, ahead, learned = assess_all(
            lines, points, inspections, weather, here.at, every_percent=True, learning=learning
        )
        assert learned.fitted == learning
        assert ahead.quantiles is not None
        levels = np.arange(1, 100) / 100
        miss = depth[never][:, None] - ahead.quantiles[never]
        error.append(np.maximum(levels * miss, (levels - 1) * miss).mean())
    assert error[0] < 1.15 * error[1]
