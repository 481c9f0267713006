"""A new operating point: after it was accepted the detector is as quiet as before, and as watchful."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detector import Floats
from models.precursor.detector import Precursor
from models.precursor.fitting import fit
from tests.models.plants import scored_in_blocks

SENSORS = ("valve", "flow", "level", "pressure")


def record(rows: int, seed: int) -> Floats:
    """A valve that swings, a flow that follows it a row later almost to the digit, and two others."""
    rng = np.random.default_rng(seed)
    valve = np.zeros(rows + 1)
    for row in range(1, rows + 1):
        valve[row] = 0.9 * valve[row - 1] + rng.normal()
    level, pressure = rng.normal(size=(2, rows))
    flow = 3.0 * valve[:-1] + 0.05 * rng.normal(size=rows)
    return np.column_stack([40.0 + valve[1:], 120.0 + flow, 50.0 + level, 900.0 + 5.0 * pressure])


@cache
def model() -> Precursor:
    return fit([record(6000, 1)], SENSORS, 60.0)


def after(x: Floats, at: int) -> Floats:
    """Scores of the rows from `at`, before which it was accepted."""
    here, _ = model().score(model().initial(1), x[None, :at])
    accepted = model().accept(here, np.ones(1, dtype=np.bool_))
    return np.asarray(model().score(accepted, x[None, at:])[1].score[0])


@pytest.mark.parametrize("at", [60, 200, 500, 900, 1300])
def test_accepted_in_calm_operation_it_stays_calm(at: int) -> None:
    assert after(record(2000, 5), at).max() < 1.0


@pytest.mark.parametrize("at", [700, 900, 1300])
def test_accepted_away_from_the_normal_levels_it_is_calm_there(at: int) -> None:
    x = record(2000, 5)
    x[500:] += [4.0, 12.0, 8.0, -30.0]
    assert model().score(model().initial(1), x[None])[1].alarm[0, 520:].mean() > 0.9
    assert (after(x, at) > 1.0).mean() < 0.01


def test_what_comes_later_is_found_as_before() -> None:
    x = record(2000, 5)
    x[500:] += [4.0, 12.0, 8.0, -30.0]
    x[1200:, 1] += 3.0  # a fortieth of the flow; far more than it strays from its valve
    assert after(x, 900)[320:].min() > 1.0


@pytest.mark.parametrize("seed", range(8))
def test_what_remains_of_a_shift_is_learned_in_the_rows_after(seed: int) -> None:
    x = record(4000, 20 + seed)
    x[500:] += [4.0, 12.0, 8.0, -30.0]
    scores = after(x, 560)
    assert (scores > 1.0).mean() < 0.01
    here, _ = model().score(model().initial(1), x[None, :560])
    state, _ = model().score(model().accept(here, np.ones(1, dtype=np.bool_)), x[None, 560:])
    assert state["settling"].tolist() == [1]
    assert np.abs(state["ground"]).max() > 0.0


def test_nothing_is_learned_from_an_alarm_after_it() -> None:
    x = record(1200, 5)
    here, _ = model().score(model().initial(1), x[None, :500])
    state = model().accept(here, np.ones(1, dtype=np.bool_))
    x[520:, 2] += 20.0
    state, result = model().score(state, x[None, 500:530])
    assert result.alarm[0, -5:].all()
    later, _ = model().score(state, x[None, 530:])
    np.testing.assert_array_equal(later["ground"], state["ground"])
    np.testing.assert_array_equal(later["settling"], state["settling"])


@pytest.mark.parametrize("missing", ["here and there", "often one", "all of late", "one just now", "one of late"])
@pytest.mark.parametrize("moved", [False, True])
def test_missing_values_do_not_spoil_what_is_accepted(missing: str, moved: bool) -> None:
    for seed in range(4):
        x, rng = record(2500, 60 + seed), np.random.default_rng(seed)
        if moved:
            x[500:] += [4.0, 12.0, 8.0, -30.0]
        if missing == "here and there":
            x[rng.random(x.shape) < 0.03] = np.nan
        elif missing == "often one":
            x[rng.random(2500) < 0.4, 1] = np.nan
        elif missing == "all of late":
            x[680:700] = np.nan
        elif missing == "one just now":
            x[600:760, 1] = np.nan
        else:
            x[640:699, 1] = np.nan
        assert np.nanmax(after(x, 700)) < 1.0


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 500), max_size=8), gaps=st.booleans())
def test_blocks_of_any_size_give_the_same_after_it(cuts: list[int], gaps: bool) -> None:
    x = np.stack([record(600, 5), record(600, 6)])
    x[0, 90:] += [4.0, 12.0, 8.0, -30.0]
    if gaps:
        x[np.random.default_rng(1).random(x.shape) < 0.02] = np.nan
    here, _ = model().score(model().initial(2), x[:, :100])
    start = model().accept(here, np.array([True, False]))
    whole = scored_in_blocks(model(), start, x[:, 100:], cuts)
    untouched = model().score({name: array[1:] for name, array in here.items()}, x[1:, 100:])[1]
    np.testing.assert_array_equal(untouched.score[0], whole.score[1])


def test_many_are_accepted_together_as_each_alone() -> None:
    rng, many, wide = np.random.default_rng(4), 1500, 32
    made = fit([rng.normal(size=(600, wide)) @ rng.normal(size=(wide, wide))], [f"s{k}" for k in range(wide)], 60.0)
    here = dict(made.initial(many))
    here["charts"] = (1e3 * rng.normal(size=here["charts"].shape)).astype(np.float32)
    together = made.accept(here, np.ones(many, dtype=np.bool_))
    for asset in range(many):
        alone = made.accept({name: array[asset, None] for name, array in here.items()}, np.ones(1, dtype=np.bool_))
        np.testing.assert_array_equal(together["ground"][asset], alone["ground"][0])


def test_one_sensor_none_that_moves_or_hardly_a_row_can_be_accepted_too() -> None:
    rng = np.random.default_rng(0)
    one, still = rng.normal(size=(400, 1)), np.ones((400, 1))
    for x in (one, still, np.hstack([one, still])):
        made = fit([x], [f"s{k}" for k in range(x.shape[1])], 60.0)
        here, _ = made.score(made.initial(3), np.stack([x[:50] + 2.0] * 3))
        chosen = np.array([True, False, True])
        offset = made.accept(here, chosen)["offset"]
        assert np.isfinite(offset).all()
        assert (offset[0] == offset[2]).all()
        assert not offset[1].any()
        assert not made.accept(made.initial(1), np.ones(1, dtype=np.bool_))["offset"].any()
    x[20:, 0], x[30] = np.nan, 1e300
    here, _ = made.score(made.initial(1), x[None, :60])
    assert np.isfinite(made.accept(here, np.ones(1, dtype=np.bool_))["offset"]).all()
