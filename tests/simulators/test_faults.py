"""What is done to a plant from outside: sensor and actuator faults, set points, manual operation."""

import numpy as np
import pytest

from simulators import tep
from tests.simulators.helpers import PATHS

STEPS = 900


def after(steps: int = STEPS, noise: bool = False, **calls: tuple[object, ...]) -> tep.State:
    """A plant after so many steps with the named setters of `Inputs` called for it."""
    inputs = tep.Inputs.none(1)
    for name, arguments in calls.items():
        getattr(inputs, name)(0, *arguments)
    return tep.advance(tep.start([1]), inputs, steps, noise=noise)


def true(state: tep.State) -> np.ndarray:
    """(8,) true values behind the trips."""
    return np.array([margin.value[0] for margin in tep.trip_margins(state)])


def test_a_biased_temperature_is_controlled_to_its_set_point() -> None:
    state = after(7200, set_sensor_fault=("xmeas_9", "bias", 2.0))
    assert state.xmeas[0, 8] == pytest.approx(120.4, abs=0.1)
    assert true(state)[3] == pytest.approx(118.4, abs=0.1)


def test_a_drifting_sensor_moves_from_its_onset() -> None:
    inputs = tep.Inputs.none(1)
    quiet = tep.advance(tep.start([1]), inputs, 1000, noise=False)
    inputs.set_sensor_fault(0, "xmeas_22", "drift", 36.0)  # no controller looks at it
    state = tep.advance(quiet, inputs, 100, noise=False)
    assert state.xmeas[0, 21] - quiet.xmeas[0, 21] == pytest.approx(36.0 * 99 / 3600, abs=1e-2)
    again = tep.advance(state, inputs, 100, noise=False)
    assert again.xmeas[0, 21] - state.xmeas[0, 21] == pytest.approx(1.0, abs=1e-2)


def test_a_frozen_sensor_stays_and_a_mended_one_comes_back() -> None:
    inputs = tep.Inputs.none(1)
    first = tep.advance(tep.start([1]), inputs, 500)
    inputs.set_sensor_fault(0, "xmeas_7", "freeze")
    inputs.set_sensor_fault(0, "xmeas_23", "freeze")
    frozen = tep.advance(first, inputs, 500)
    assert frozen.xmeas[0, 6] == first.xmeas[0, 6]
    assert frozen.xmeas[0, 22] == first.xmeas[0, 22] != frozen.analysers[0, 0]
    inputs.set_sensor_fault(0, "xmeas_7", "none")
    inputs.set_sensor_fault(0, "xmeas_23", "none")
    mended = tep.advance(frozen, inputs, 1)
    assert mended.xmeas[0, 6] != first.xmeas[0, 6]
    assert mended.xmeas[0, 22] == mended.analysers[0, 0]


def test_noise_and_spikes_have_their_size() -> None:
    inputs = tep.Inputs.none(2)
    inputs.set_sensor_fault(0, "xmeas_22", "noise", 5.0)
    inputs.set_sensor_fault(1, "xmeas_22", "spike", 5.0)
    state, seen = tep.start([1, 2]), []
    for _ in range(800):
        state = tep.advance(state, inputs, 1, noise=False, path="plain")
        seen.append(state.xmeas[:, 21])
    noisy, spiking = (np.array(seen) - 77.297).T
    assert noisy.std() == pytest.approx(5.0, rel=0.12)
    spikes = np.abs(spiking) > 4.0
    assert np.abs(np.abs(spiking[spikes]) - 5.0).max() < 0.5
    assert 0.005 < spikes.mean() < 0.035
    assert (spiking[spikes] > 0).any()
    assert (spiking[spikes] < 0).any()


def test_a_loop_without_measurement_holds_its_valve() -> None:
    state = after(set_sensor_fault=("xmeas_10", "dropout"), noise=True)
    assert np.isnan(state.xmeas[0, 9])
    assert state.xmv[0, 5] == 40.064
    assert np.isfinite(np.delete(state.xmeas[0], 9)).all()
    assert np.isfinite(state.xmv).all()
    inputs = tep.Inputs.none(1)
    later = tep.advance(state, inputs, 300)
    assert np.isfinite(later.xmeas).all()
    assert later.xmv[0, 5] != 40.064


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("steps", [29, 30, 31])  # the control comes with step 30: right before, between, right after
def test_a_mended_dropout_leaves_nothing_behind(path: tep.Path, steps: int) -> None:
    inputs = tep.Inputs.none(2)
    for tag in ("xmeas_1", "xmeas_9", "xmeas_10", "xmeas_21"):
        inputs.set_sensor_fault(0, tag, "dropout")
    state = tep.advance(tep.start([1, 2]), inputs, steps, path=path)
    assert np.isnan(state.xmeas[0]).sum() == 4
    state = tep.advance(state, tep.Inputs.none(2), 9, path=path)
    for values in (state.xmeas, state.xmv, state.command, state.errors, state.setpoints, state.y):
        assert np.isfinite(values).all()


def test_an_override_goes_on_while_the_pressure_is_missing() -> None:
    inputs = tep.Inputs.none(1)
    inputs.set_sensor_fault(0, "xmeas_13", "bias", 400.0)
    state = tep.advance(tep.start([1]), inputs, 30, noise=False)
    inputs.set_sensor_fault(0, "xmeas_13", "dropout")
    state = tep.advance(state, inputs, 30, noise=False)
    assert state.xmv[0, 5] == 100.0
    assert state.override[0] == 1.0


def test_an_analyser_drops_out_for_its_loop_alone() -> None:
    state = after(set_sensor_fault=("xmeas_23", "dropout"), noise=True)
    loop = tep.LOOP_INDEX[3]
    assert np.isnan(state.xmeas[0, 22])
    assert state.setpoints[0, loop] == tep.LOOPS[loop].setpoint


def test_a_stuck_valve_stays_where_it_is() -> None:
    inputs = tep.Inputs.none(1)
    state = tep.advance(tep.start([1]), inputs, 100)
    inputs.set_actuator_fault(0, 10, "stuck")
    stuck = tep.advance(state, inputs, STEPS)
    assert stuck.y[0, 38 + 9] == state.y[0, 38 + 9]
    assert stuck.xmv[0, 9] != state.xmv[0, 9]


def test_a_slow_valve_takes_longer() -> None:
    moved = []
    for calls in ({}, {"set_actuator_fault": (9, "slow", 5.0)}):
        inputs = tep.Inputs.none(1)
        for name, arguments in calls.items():
            getattr(inputs, name)(0, *arguments)
        inputs.set_manual(0, 9)
        inputs.set_valve(0, 9, 80.0)
        state = tep.advance(tep.start([1]), inputs, 122, noise=False)
        moved.append((state.y[0, 38 + 8] - 47.446) / (80.0 - 47.446))
    # one and a fifth of a time constant of 120 s
    assert moved[0] == pytest.approx(1 - np.exp(-1), abs=0.01)
    assert moved[1] == pytest.approx(1 - np.exp(-0.2), abs=0.01)


def test_bias_and_loss_of_effect_move_the_valve_from_its_command() -> None:
    state = after(set_actuator_fault=(12, "bias", 8.0))
    assert state.xmv[0, 11] == 50.0
    assert state.y[0, 49] == pytest.approx(58.0)
    state = after(set_actuator_fault=(12, "lossofeffect", 0.4))
    assert state.y[0, 49] == pytest.approx(30.0)
    state = after(set_actuator_fault=(12, "bias", 80.0))
    assert state.y[0, 49] == pytest.approx(100.0)


def test_a_set_point_is_followed_and_breaks_the_cascade_above() -> None:
    state = after(3600, set_setpoint=(7, 60.0))
    assert state.xmeas[0, 11] == pytest.approx(60.0, abs=2.0)
    state = after(3600, set_setpoint=(9, 250.0))
    assert state.setpoints[0, tep.LOOP_INDEX[9]] == 250.0
    assert abs(state.xmeas[0, 18] - 250.0) < abs(after(3600).xmeas[0, 18] - 250.0)
    freed = tep.advance(state, tep.Inputs.none(1), 300, noise=False)
    assert freed.setpoints[0, tep.LOOP_INDEX[9]] != 250.0
    back = tep.advance(after(600, set_setpoint=(7, 60.0)), tep.Inputs.none(1), 3, noise=False)
    assert back.setpoints[0, tep.LOOP_INDEX[7]] == 50.0


def test_manual_holds_or_sets_the_valve_and_returns_without_a_bump() -> None:
    state = after(set_manual=(3,))
    assert state.xmv[0, 2] == 24.644
    inputs = tep.Inputs.none(1)
    inputs.set_manual(0, 3)
    inputs.set_valve(0, 3, 30.0)
    state = tep.advance(state, inputs, 600, noise=False)
    assert state.xmv[0, 2] == 30.0
    assert state.y[0, 40] == pytest.approx(30.0, abs=1e-6)
    back = tep.advance(state, tep.Inputs.none(1), 3, noise=False)
    assert back.xmv[0, 2] == pytest.approx(30.0, abs=0.1)


def test_pressure_override_opens_the_purge_and_gives_it_back() -> None:
    inputs = tep.Inputs.none(1)
    inputs.set_sensor_fault(0, "xmeas_13", "bias", 400.0)  # the controller sees 3034 kPa
    state = tep.advance(tep.start([1]), inputs, 30, noise=False)
    assert state.xmv[0, 5] == 100.0
    assert state.override[0] == 1.0
    inputs.set_sensor_fault(0, "xmeas_13", "bias", -1.0)  # just below the normal pressure: back to the law
    state = tep.advance(state, inputs, 3, noise=False)
    assert state.xmv[0, 5] == 40.060
    assert state.override[0] == 0.0
    inputs.set_sensor_fault(0, "xmeas_13", "bias", -500.0)
    state = tep.advance(state, inputs, 3, noise=False)
    assert state.xmv[0, 5] == 0.0
    assert state.override[0] == 2.0


def test_sticking_valves_ignore_small_commands() -> None:
    positions = []
    for idv in (0, 14):
        inputs = tep.Inputs.none(1)
        if idv:
            inputs.set_fault(0, idv)
        state, seen = tep.start([1]), set()
        for _ in range(100):
            state = tep.advance(state, inputs, 3, path="plain")
            seen.add(float(state.command[0, 9]))
        positions.append(len(seen))
    assert positions[0] > 90
    assert positions[1] < 60


@pytest.mark.parametrize("wait", [1, 2, 3])
def test_a_valve_that_no_longer_sticks_takes_its_command_at_once(wait: int) -> None:
    inputs = tep.Inputs.none(1)
    inputs.set_fault(0, 14)
    state = tep.advance(tep.start([1]), inputs, 60 + wait, path="plain")
    assert state.command[0, 9] != state.xmv[0, 9]
    state = tep.advance(state, tep.Inputs.none(1), 1, path="plain")
    assert state.command[0, 9] == state.xmv[0, 9]


def test_cost_and_margins_of_the_base_case() -> None:
    state = tep.start([1, 2])
    assert tep.cost(state) == pytest.approx(170.0, abs=0.5)
    margins = tep.trip_margins(state)
    assert [margin.code for margin in margins] == list(range(1, 9))
    for margin in margins:
        np.testing.assert_allclose(margin.margin, 1.0, atol=1e-4)
    inputs = tep.Inputs.none(2)
    inputs.manual[:] = True
    inputs.set_fault(0, 6)
    state = tep.advance(state, inputs, 1700)
    pressure = tep.trip_margins(state)[0]
    assert pressure.limit == 3000.0
    assert pressure.margin[0] == 0.0
    assert pressure.margin[1] > 0.9


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("set_fault", (22,), "disturbance 22"),
        ("set_extra", (20,), "additional disturbance 20"),
        ("set_setpoint", (12, 1.0), "loop 12: want one of 1, 2, 3"),
        ("set_setpoint", (9, 1e6), "set point"),
        ("set_setpoint", (9, float("nan")), "set point"),
        ("set_manual", (21,), "loop 21"),
        ("set_valve", (3, 50.0), "take loop 3 to manual first"),
        ("set_valve", (12, 101.0), "want 0 to 100"),
        ("set_sensor_fault", ("xmv_1", "bias", 1.0), "sensor 'xmv_1'"),
        ("set_sensor_fault", ("xmeas_42", "bias", 1.0), "xmeas_42"),
        ("set_sensor_fault", ("xmeas_1", "broken", 1.0), "want one of none, bias"),
        ("set_sensor_fault", ("xmeas_1", "bias", float("inf")), "finite"),
        ("set_actuator_fault", (13, "stuck"), "valve 13"),
        ("set_actuator_fault", (1, "jammed"), "want one of none, stuck"),
        ("set_actuator_fault", (1, "slow", 0.5), "factor over 1"),
        ("set_actuator_fault", (1, "lossofeffect", 1.5), "want 0 to 1"),
        ("set_actuator_fault", (1, "bias", 200.0), "want -100 to 100"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(name: str, arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(tep.Inputs.none(1), name)(0, *arguments)
