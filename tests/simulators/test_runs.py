"""Whole runs in the benchmark's protocol: published check values, statistics of the files, random numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulators import tep
from tests.simulators.helpers import PATHS

# XMEAS 1, 7, 9, 10, 19, XMV 3, 10 of noise-free runs with the fault at 8 h
CHECKED = (0, 6, 8, 9, 18, 43, 50)
LONG = "compiled" in PATHS


def digits(record: np.ndarray) -> list[str]:
    return [f"{value:.6g}" for value in record[list(CHECKED)]]


@pytest.mark.parametrize(
    ("fault", "record", "values"),
    [
        (1, 240, "0.952439 2651.15 120.413 0.363278 384.876 93.6905 40.7476"),
        (4, 240, "0.250197 2705.2 120.4 0.337089 230.95 24.6117 44.8761"),
        (5, 240, "0.0904309 2763.18 120.39 0.306064 183.823 8.8956 41.7049"),
        (7, 240, "0.252529 2736.05 120.387 0.274181 81.9172 24.8411 39.4402"),
        pytest.param(
            1, 960, "0.760262 2703.58 120.4 0.317841 265.82 74.7863 41.0435",
            marks=[] if LONG else pytest.mark.slow,
        ),
        pytest.param(
            2, 960, "0.282116 2694.03 120.4 0.691544 126.63 27.7515 41.4822",
            marks=[] if LONG else pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_noise_free_runs_give_the_check_values(fault: int, record: int, values: str) -> None:
    hours, records = tep.run(record / 20.0, fault=fault, noise=False)
    assert records.shape == (record, 52)
    assert hours[-1] == record / 20.0
    assert digits(records[159]) == ["0.250504", "2705.02", "120.4", "0.337123", "230.401", "24.6419", "41.1061"]
    assert digits(records[-1]) == values.split()


def test_loss_of_the_a_feed_trips_the_reactor_on_pressure() -> None:
    run = tep.simulate(14.0, [1], [tep.Change(8.0, lambda inputs: inputs.set_fault(0, 6))], noise=False)
    assert tep.TRIPS[run.state.trip[0]] == "reactor pressure high"
    assert 278.0 < tep.trip_hours(run.state)[0] * 20.0 < 279.0
    np.testing.assert_array_equal(run.records[0, 278, :22], run.records[0, 279, :22])


@pytest.mark.parametrize(("idv", "hours", "trip_h"), [(0, 3.6, 3.59), (1, 0.5, 0.478), (6, 0.5, 0.442)])
def test_without_control_the_plant_trips(idv: int, hours: float, trip_h: float) -> None:
    state = tep.start([1])
    state = replace(state, xmv=state.y[:, 38:].copy())
    inputs = tep.Inputs.none(1)
    inputs.manual[:] = True
    if idv:
        inputs.set_fault(0, idv)
    seen = {}
    while state.steps < hours * 3600:
        state = tep.advance(state, inputs, 900, noise=False)
        seen[state.steps / 3600.0] = state.xmeas[0, 6]
    found = tep.trip_hours(state)[0]
    assert abs(found - trip_h) < 0.006
    assert state.trip[0] == 1
    if not idv:
        assert all(abs(pressure - 2705.0) < 0.1 for hour, pressure in seen.items() if hour <= 1.25)
        assert abs(seen[2.5] - 2707.1) < 0.05
        assert abs(seen[3.5] - 2833.8) < 1.0


def test_fault_21_holds_valve_4_and_shows_it_in_the_record_of_the_switch() -> None:
    _, records = tep.run(8.5, fault=21, noise=False)
    assert records[158, 41 + 3] != 61.302
    assert (records[159:, 41 + 3] == 61.302).all()
    _, normal = tep.run(8.5, noise=False)
    np.testing.assert_array_equal(records[:159], normal[:159])
    np.testing.assert_array_equal(records[159, :41], normal[159, :41])
    assert (records[160:, 3] != normal[160:, 3]).all()


def drawn(g: float, count: int) -> list[float]:
    """Uniform numbers of the reference generator, as its definition says."""
    found = []
    for _ in range(count):
        g = g * 9228907.0 % 4294967296.0
        found.append(g)
    return found


@pytest.mark.parametrize("path", PATHS)
def test_the_reference_generator_is_drawn_from_in_the_order_of_the_specification(path: tep.Path) -> None:
    seed, inputs = 123456789, tep.Inputs.none(1)
    start = tep.start([seed], "reference")
    assert tep.advance(start, inputs, 1, path=path).random[0] == seed  # no noise at time zero
    noisy, quiet = (tep.advance(start, inputs, 2, noise=noise, path=path) for noise in (True, False))
    numbers = np.array(drawn(seed, 264)).reshape(22, 12).sum(axis=1) / 2.0**32 - 6.0
    sigma = np.array([v.noise for v in tep.VARIABLES[:22]])
    np.testing.assert_allclose(noisy.xmeas[0, :22], quiet.xmeas[0, :22] + numbers * sigma, rtol=1e-15)
    # at 0.1 h nine walks take three draws and three ramps one, then comes noise, then 14 gas analysers
    state, walked = tep.advance(start, inputs, 359, path=path), 0
    while state.steps < 365:
        state = tep.advance(state, inputs, 1, path=path)
        if state.segment_count[0, 0] and not walked:
            walked = state.steps
            before = drawn(seed, (walked - 2) * 264)[-1]
            assert state.random[0] == drawn(before, 30 + 264 + 12 * 14)[-1]
            bipolar = 2.0 * np.array(drawn(before, 30)) / 2.0**32 - 1.0
            assert state.segment[0, 0, 1] == pytest.approx(0.1 + 0.2 * bipolar[0] + 0.5, rel=1e-14)
            assert state.segment[0, 1, 1] == pytest.approx(0.1 + 0.7 * bipolar[3] + 1.0, rel=1e-14)
            assert state.segment[0, 11, 1] == pytest.approx(0.1 + 1.5 * bipolar[29] + 2.0, rel=1e-14)
            gas = np.array(drawn(before, 30 + 264 + 168)[-168:]).reshape(14, 12).sum(axis=1) / 2.0**32 - 6.0
            shown = start.samples[0, :14] + gas * np.array([v.noise for v in tep.VARIABLES[22:36]])
            np.testing.assert_allclose(state.xmeas[0, 22:36], shown, rtol=1e-14)
    assert walked in (361, 362)


def test_reference_draws_happen_without_noise_too() -> None:
    inputs = tep.Inputs.none(1)
    inputs.set_fault(0, 8)
    states = [tep.advance(tep.start([99], "reference"), inputs, 2000, noise=noise) for noise in (True, False)]
    assert states[0].random[0] == states[1].random[0]
    np.testing.assert_array_equal(states[0].segment, states[1].segment)
    assert states[0].xmeas[0, 0] != states[1].xmeas[0, 0]


def test_seeds_repeat_and_differ() -> None:
    for generator in ("numpy", "reference"):
        first = tep.run(0.3, fault=8, fault_at_h=0.05, seed=3, generator=generator)[1]
        np.testing.assert_array_equal(first, tep.run(0.3, fault=8, fault_at_h=0.05, seed=3, generator=generator)[1])
        assert (first[:, 0] != tep.run(0.3, fault=8, fault_at_h=0.05, seed=4, generator=generator)[1][:, 0]).all()
    assert (tep.run(0.1, generator="numpy")[1] != tep.run(0.1, generator="numpy")[1]).any()


def test_many_runs_are_each_what_they_would_be_alone() -> None:
    hours, records = tep.run_many(0.5, [1, 2, 3], [0, 13, 21], fault_at_h=0.1)
    assert records.shape == (3, 10, 52)
    for plant, fault in enumerate((0, 13, 21)):
        alone = tep.run(0.5, fault=fault, fault_at_h=0.1, seed=plant + 1, generator="numpy")
        np.testing.assert_array_equal(alone[0], hours)
        np.testing.assert_array_equal(alone[1], records[plant])


@pytest.mark.parametrize("generator", ["reference", "numpy"])
def test_noisy_runs_have_the_statistics_of_the_normal_test_file(shared: Path, generator: tep.Generator) -> None:
    if not LONG:
        pytest.skip("48 h take long without numba")
    file = np.loadtxt(shared / "data" / "tep" / "braatz" / "d00_te.csv.gz", delimiter=",", skiprows=1)
    _, records = tep.run(48.0, seed=5, generator=generator)
    ours, theirs = tep.round_records(records)[200:, :41], file[200:, :41]
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / theirs.std(axis=0)).max() < 0.4
    ratio = ours.std(axis=0) / theirs.std(axis=0)
    assert ratio.min() > 0.67
    assert ratio.max() < 1.6


def test_analysers_show_what_they_held_one_interval_before() -> None:
    inputs = tep.Inputs.none(1)
    inputs.set_fault(0, 1)
    state, shown, true = tep.advance(tep.start([1]), inputs, 5, noise=False), [], []  # rounding may delay by a step
    for _ in range(5):
        state = tep.advance(state, inputs, 360, noise=False)
        shown.append(state.xmeas[0, 22])
        true.append(state.samples[0, 0])
    assert shown[1:] == true[:-1]
    assert shown[0] == pytest.approx(32.188, abs=1e-3)
    assert shown[-1] < shown[0] - 0.1


def test_additional_disturbances_move_what_they_say_and_leave_the_reference_draws_alone() -> None:
    quiet = tep.advance(tep.start([7], "reference"), tep.Inputs.none(1), 3600, noise=False)
    for number, seen in ((21, 10), (22, 10), (23, 0), (24, 1), (25, 2), (26, 3), (27, 20), (28, 21)):
        inputs = tep.Inputs.none(1)
        inputs.set_extra(0, number)
        after = tep.advance(tep.start([7], "reference"), inputs, 3600, noise=False)
        assert after.random[0] == quiet.random[0]
        channel = number - 9
        assert after.walk[0, channel] != quiet.walk[0, channel]
        others = [k for k in range(20) if k != channel]
        np.testing.assert_array_equal(after.walk[0, others], quiet.walk[0, others])
        assert after.xmeas[0, seen] != quiet.xmeas[0, seen]


def test_rounding_is_to_significant_digits_half_to_even() -> None:
    x = np.array([120.405, 2705.15, 0.0178665, -3664.05, 0.0, 1e5, 99999.6, 1e-300, 1234567.0])
    rounded = [120.4, 2705.2, 0.017866, -3664.0, 0.0, 1e5, 1e5, 1e-300, 1234600.0]
    np.testing.assert_array_equal(tep.round_records(x), rounded)
    one = tep.round_records(np.array([2.5, 3.5, 0.125, np.nan, np.inf]), 1)
    np.testing.assert_array_equal(one, [2.0, 4.0, 0.1, np.nan, np.inf])
    random = np.exp(np.random.default_rng(1).uniform(-20, 20, (200, 52)))
    np.testing.assert_array_equal(tep.round_records(random), np.vectorize(lambda v: float(f"{v:.4e}"))(random))
    with pytest.raises(ValueError, match="digits 0"):
        tep.round_records(x, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hours": 0.0}, "want a positive time"),
        ({"hours": float("nan")}, "want a positive time"),
        ({"hours": 1.0, "fault": 22}, "fault 22: want 0"),
        ({"hours": 1.0, "fault": 1.5}, "fault 1.5: want a whole number"),
        ({"hours": 1.0, "fault": "1"}, "fault '1': want a whole number"),
        ({"hours": 1.0, "fault": [1]}, r"fault \[1\]: want a whole number"),
        ({"hours": 1.0, "seed": 0}, "seeds"),
        ({"hours": 1.0, "seed": 7.5}, "seed 7.5: want a whole number"),
        ({"hours": 1.0, "seed": float("nan")}, "want a whole number"),
        ({"hours": 1.0, "seed": 2**33}, "seed 8589934592 stops the reference generator"),
        ({"hours": 1.0, "seed": 3 * 2**31}, "stops the reference generator"),
        ({"hours": 1.0, "seed": 2**63 + 2**11}, "stops the reference generator"),
        ({"hours": 1.0, "path": "other"}, "path 'other': want one of auto"),
        ({"hours": 1.0, "fault": 1, "fault_at_h": float("inf")}, "from 0 h"),
        ({"hours": 1.0, "generator": "other"}, "want reference or numpy"),
        ({"hours": 1.0, "fault": 1, "fault_at_h": -1.0}, "from 0 h"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tep.run(**arguments)  # type: ignore[arg-type]


def test_whole_numbers_of_any_type_are_seeds_and_faults() -> None:
    plain = tep.run(0.1, fault=4, fault_at_h=0.0, seed=77)[1]
    assert np.array_equal(plain, tep.run(0.1, fault=np.int8(4), fault_at_h=0.0, seed=77.0)[1])  # type: ignore[arg-type]
    assert np.array_equal(plain, tep.run_many(0.1, [77], np.array([4]), 0.0, generator="reference")[1][0])  # type: ignore[arg-type]
