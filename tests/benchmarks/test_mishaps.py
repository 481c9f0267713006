"""The mishaps that forecasts are learnt from."""

import numpy as np
import pytest

from benchmarks.mishaps import EXTRA, LOSS, MISREAD, SET_POINT, TWO, mishap, place_of
from simulators import tep

HOURS = 40.0


def inputs_of(seed: int, at: float) -> tuple[int, tep.Inputs]:
    kind, move = mishap(np.random.default_rng(seed), HOURS)
    inputs = tep.Inputs.none(1)
    for hour in np.arange(0.0, at + 0.1, 0.5).tolist():
        move(inputs, 0, hour)
    return kind, inputs


@pytest.mark.parametrize("seed", range(300))
def test_none_is_an_even_fault_or_touches_the_a_feed(seed: int) -> None:
    _, inputs = inputs_of(seed, HOURS)
    assert not inputs.idv[0, 1::2].any()
    assert inputs.actuator_kind[0, 2] == 0
    assert not inputs.manual[0, tep.LOOP_INDEX[3]]
    for loop in (3, 13):
        assert np.isnan(inputs.setpoint[0, tep.LOOP_INDEX[loop]])
    assert inputs.sensor_kind[0, [0, 22]].tolist() == [0, 0]


def test_something_is_wrong_and_the_same_seed_gives_the_same() -> None:
    blank = tep.Inputs.none(1)
    names = "idv", "extra", "setpoint", "manual", "valve", "sensor_kind", "actuator_kind"
    for seed in range(50):
        kind, inputs = inputs_of(seed, 10.0)
        again, other = inputs_of(seed, 10.0)
        assert kind == again
        for name in names:
            np.testing.assert_array_equal(getattr(inputs, name), getattr(other, name))
        assert any(not np.array_equal(getattr(inputs, n), getattr(blank, n), equal_nan=True) for n in names)


def test_places_are_the_valves_that_loops_move() -> None:
    assert place_of(1000 * (LOSS + 1) + 10 * 7) == 7
    assert place_of(1000 * (MISREAD + 1) + 10 * 18) == 9  # the stripper's temperature moves the steam's set point
    assert place_of(1000 * (SET_POINT + 1) + 10 * 17) == 4
    assert place_of(1000 * (EXTRA + 1) + 10 * 21) == 71
    assert place_of(1000 * (TWO + 1) + 10 * 13) == 113
    assert place_of(6) == place_of(0) == -1
