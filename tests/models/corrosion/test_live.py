"""The live detector of piping points: wet insulation, not sun or tracing; sensors told apart; any cut the same."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.corrosion import live
from models.corrosion.live import FAULTS, SENSORS, PipingPoint, faults, inspected, loss_um
from models.detector import KINDS, Detector, Floats, Result, dumps, loads
from simulators.piping import CHANNELS, Beneath, plant, readings
from tests.models.plants import FITS, MADE, scored_in_blocks

START = np.datetime64("2026-05-01", "ns")


def quiet(rows: int = 600, seed: int = 1, points: int = 3) -> Floats:
    """Dry points at 90 °C without sun, tracing or rain."""
    rng = np.random.default_rng(seed)
    x = np.full((points, rows, len(SENSORS)), np.nan)
    x[:, :, live.METAL] = 90.0 + 0.3 * rng.standard_normal((points, rows))
    x[:, :, live.AMBIENT] = 15.0 + 4.0 * np.sin(np.arange(rows) / 23.0) + 0.1 * rng.standard_normal((points, rows))
    rise = 0.06 * (x[:, :, live.METAL] - x[:, :, live.AMBIENT])
    x[:, :, live.JACKET] = x[:, :, live.AMBIENT] + rise + 0.3 * rng.standard_normal((points, rows))
    x[:, :, live.ANNULUS] = 12.0 + rng.standard_normal((points, rows))
    x[:, :, live.HUMIDITY] = 60.0 + rng.standard_normal((points, rows))
    x[:, :, live.RAIN] = 0.0
    x[:, :, live.SUN] = 0.0
    return x


def run(x: Floats) -> tuple[dict[str, Floats], Result]:
    state, result = PipingPoint().score(PipingPoint().initial(len(x)), x)
    return dict(state), result


@cache
def simulated() -> tuple[Floats, Beneath]:
    here, truth = plant(1, 60, 10)
    insulated = truth.insulation[here.points.line] > 0
    which = np.flatnonzero(insulated & (truth.t_local > 50) & (truth.t_local < 140))[::9][:16]
    shown, beneath, _ = readings(here, truth, which, START, 24 * 40)
    return shown.values, beneath


def test_it_is_a_detector() -> None:
    model = PipingPoint()
    assert isinstance(model, Detector)
    assert set(KINDS) == set(FITS) | set(MADE)
    assert model.sensors == CHANNELS
    again = loads(dumps(model)).detector
    assert again.period_s == model.period_s
    with pytest.raises(ValueError, match="positive"):
        PipingPoint(0.0)
    with pytest.raises(ValueError, match="sensors"):
        PipingPoint(600.0, ("a",))
    with pytest.raises(ValueError, match="shape"):
        model.score(model.initial(1), np.zeros((2, 3, len(SENSORS))))


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 300), max_size=8))
def test_blocks_of_any_size_give_the_same(cuts: list[int]) -> None:
    model, x = PipingPoint(), simulated()[0][:4, :300]
    scored_in_blocks(model, model.initial(4), x, cuts)


def test_points_are_scored_as_each_alone_and_nothing_given_is_changed() -> None:
    model, x = PipingPoint(), simulated()[0][:, :400]
    state = model.initial(len(x))
    before = {name: array.copy() for name, array in state.items()}
    _, together = model.score(state, x)
    for name, array in before.items():
        np.testing.assert_array_equal(state[name], array)
    for at in (0, 7):
        alone = model.score(model.initial(1), x[at : at + 1])[1]
        np.testing.assert_array_equal(alone.score[0], together.score[at])
        np.testing.assert_array_equal(alone.contributions[0], together.contributions[at])


def test_shares_add_up() -> None:
    _, result = run(simulated()[0][:, :800])
    np.testing.assert_allclose(result.contributions.sum(axis=2), np.nan_to_num(result.score))
    for chart in result.statistics.values():
        np.testing.assert_array_equal(np.isnan(chart), np.isnan(result.score))


def test_wet_insulation_of_the_simulated_plant_is_found() -> None:
    x, beneath = simulated()
    _, result = run(x)
    soaked, dry = beneath.water > 0.15, beneath.water < 0.005
    assert soaked.sum() > 500
    assert result.alarm[soaked].mean() > 0.8
    assert result.alarm[dry].mean() < 0.02


def test_a_wet_jacket_alarms_and_its_drying_ends_it() -> None:
    x = quiet(1000)
    x[1, 300:600, live.JACKET] += 8.0
    x[1, 300:600, live.ANNULUS] = 97.0 + 0.2 * np.random.default_rng(2).standard_normal(300)
    _, result = run(x)
    assert not result.alarm[[0, 2]].any()
    assert not result.alarm[1, :300].any()
    assert result.alarm[1, 310:600].all()
    assert not result.alarm[1, 800:].any()
    assert int(result.contributions[1, 320].argmax()) == live.JACKET


def test_saturated_air_for_a_day_alarms_without_a_jacket_sensor() -> None:
    x = quiet(600)
    x[:, :, live.JACKET] = np.nan
    x[0, 100:, live.ANNULUS] = 98.0 + 0.3 * np.sin(np.arange(500))
    _, result = run(x)
    day = 144
    assert not result.alarm[0, : 100 + day - 2].any()
    assert result.alarm[0, 100 + day : 600].all()
    assert not result.alarm[1:].any()


def test_sun_and_tracing_are_no_water() -> None:
    x = quiet(900)
    x[0, 300:500, live.SUN] = 700.0
    x[0, 300:500, live.JACKET] += 15.0
    x[1, :, live.TRACING] = 0.0
    x[1, 300:500, live.TRACING] = 1.0
    x[1, 300:500, live.JACKET] += 9.0
    x[:, :, live.ANNULUS] = np.nan  # nothing else to go by
    _, result = run(x)
    assert not result.alarm.any()


def test_sensor_faults_are_told_apart() -> None:
    x = quiet(700, points=6)
    x[0, 300:, live.JACKET] = np.nan
    x[1, 300:, live.METAL] = x[1, 299, live.METAL]
    x[2, 300:, live.ANNULUS] = 240.0
    x[3, 300::7, live.METAL] += 90.0
    x[4, 300:, live.JACKET] += np.linspace(0.0, 30.0, 400)  # drifts over air that stays dry
    state, result = run(x)
    found = faults(state)
    named = [FAULTS[found[point, sensor]] for point, sensor in enumerate((1, 0, 2, 0, 1))]
    assert named == ["silent", "frozen", "range", "jumps", "disagrees"]
    assert not found[5].any()
    assert not result.alarm.any()
    assert (result.statistics["instrument"][:5, -1] >= 1).all()


def test_gaps_and_nothing_at_all() -> None:
    x = quiet(400)
    x[0, 200:210] = np.nan
    state, result = run(x)
    assert np.isnan(result.score[0, 200:210]).all()
    assert np.isfinite(result.score[0, 210:]).all()
    nothing = PipingPoint().score(PipingPoint().initial(2), np.full((2, 50, len(SENSORS)), np.nan))
    assert np.isnan(nothing[1].score).all()
    assert (loss_um(nothing[0])[0] == 0).all()
    assert np.isfinite(loss_um(state)[0]).all()


def test_loss_follows_the_probe_and_an_inspection_resets_it() -> None:
    x, beneath = simulated()
    state, _ = run(x)
    lost, sigma = loss_um(state)
    true = beneath.lost_um[:, -1] - beneath.lost_um[:, 0]
    whole = ~(beneath.fault > 0)[:, :, live.ER].any(axis=1)
    assert whole.sum() > 8
    assert (np.abs(lost - true)[whole] < 2.5 * sigma[whole]).mean() > 0.8
    after = inspected(state, np.array([0]))
    assert loss_um(after)[0][0] == 0.0
    np.testing.assert_array_equal(loss_um(after)[0][1:], lost[1:])


def test_wetter_is_never_slower() -> None:
    x = quiet(300)
    x[:, :, live.JACKET] = np.nan
    x[1, :, live.ANNULUS] += 30.0
    x[2, :, live.ANNULUS] += 70.0
    lost, _ = loss_um(run(x)[0])
    assert 0.0 == lost[0] < lost[1] < lost[2]


def test_bare_pipe_is_wet_in_saturated_air_and_an_unknown_humidity_is_not_dry() -> None:
    x = np.full((3, 200, len(SENSORS)), np.nan)
    x[:, :, live.METAL] = x[:, :, live.AMBIENT] = 12.0 + 0.01 * np.arange(200)
    x[:, :, live.HUMIDITY] = 98.0 + 0.001 * np.arange(200)
    x[1, :, live.HUMIDITY] = 100.4  # as sensors say in fog
    x[2, 100:, live.HUMIDITY] = np.nan
    state, _ = run(x)
    lost, sigma = loss_um(state)
    assert lost[0] > 0
    np.testing.assert_allclose(lost[1:], lost[0], rtol=0.02)
    assert sigma[2] > 1.2 * sigma[0]
