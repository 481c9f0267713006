"""What fitting makes of a normal record."""

from collections.abc import Callable

import numpy as np
import pytest

from models.detector import Floats, dumps
from models.precursor import calibration
from models.precursor.fitting import fit, wild
from tests.models.plants import SENSORS, record


def test_what_is_often_far_out_or_stays_there_is_normal() -> None:
    x = record(3000, 1)
    x[100:104, 0] = 9999.0  # a stop
    x[::50, 1] = 9999.0  # a pulse
    x[:, 2] = 0.0
    x[::200, 2] = 1.0  # a state that is seldom another
    assert not wild([x])[0].any()
    x[500, [0, 4]] = 0.0, -1e9
    first, second = wild([x[:400], x[400:]])
    assert not first.any()
    assert np.argwhere(second).tolist() == [[100, 4]], "0 is not far from what sensor 0 reads"


def test_rare_normal_events_of_a_long_record_keep_the_promise() -> None:
    def pulsing(rows: int, seed: int) -> Floats:
        x, rng = record(rows, seed), np.random.default_rng(seed)
        for at in np.flatnonzero(rng.random(rows) < 1 / 1200).tolist():
            x[at : at + 8, 1] += rng.uniform(8.0, 16.0)
        return x

    came = 0
    for seed in range(3):
        model = fit(pulsing(40_000, seed), SENSORS, 60.0, false_alarms_per_month=10.0)
        assert model.kept == model.promised
        alarm = model.score(model.initial(1), pulsing(40_000, 100 + seed)[None])[1].alarm[0]
        came += int(np.count_nonzero(alarm[1:] & ~alarm[:-1]))
    assert came <= 39, "27.8 are promised: 39 are the 97.5 % quantile (Poisson)"


@pytest.mark.parametrize("there", [slice(0, 120), slice(9880, 10_000)])
@pytest.mark.parametrize("seed", [1, 3])
def test_a_sensor_that_was_there_for_a_part_of_the_record_does_not_alarm_by_itself(there: slice, seed: int) -> None:
    x = record(10_000, seed)
    young = x[there, 2].copy()
    x[:, 2] = np.nan
    x[there, 2] = young
    model = fit(x, SENSORS, 60.0)
    assert model.kept > 10.0, "so short a time says little, and it says so"
    alarm = model.score(model.initial(1), record(20_000, 2)[None])[1].alarm[0]
    assert np.count_nonzero(alarm[1:] & ~alarm[:-1]) <= 2
    assert alarm.mean() < 0.01


def test_values_that_are_missing_all_along_shorten_no_record() -> None:
    x = record(10_000, 1)
    assert fit(x, SENSORS, 60.0).kept == 1.0
    x[np.random.default_rng(1).random(x.shape) < 0.4] = np.nan
    x[np.arange(10_000) % 60 > 0, 3] = np.nan
    assert fit(x, SENSORS, 60.0).kept == 1.0


def _with_valve(rows: int, seed: int) -> Floats:
    """Three slow sensors, and a valve that has nothing to do with them: open in 3 % of the rows, ten at a time."""
    rng = np.random.default_rng(seed)
    x, state = np.zeros((rows, 4)), 0
    for row in range(1, rows):
        x[row, :3] = 0.9 * x[row - 1, :3] + rng.normal(size=3)
        if rng.random() < (0.1 if state else 1 / 330):
            state = 1 - state
        x[row, 3] = state
    return x


def _bursting(rows: int, seed: int) -> Floats:
    """Four sensors, the last of which has a pulse now and then."""
    rng = np.random.default_rng(seed)
    x = np.zeros((rows, 4))
    for row in range(1, rows):
        x[row] = 0.8 * x[row - 1] + rng.normal(size=4)
    x[:, 3] += (rng.random(rows) < 1 / 500) * rng.gamma(2.0, 8.0, rows)
    return x


NAMES = ("a", "b", "c", "last")


@pytest.mark.parametrize("normal", [_with_valve, _bursting])
@pytest.mark.parametrize("seed", [5, 6])
def test_a_fault_of_a_quiet_sensor_is_found_beside_one_that_seldom_does_anything_else(
    normal: Callable[[int, int], Floats], seed: int
) -> None:
    x = normal(13_080, seed)
    model = fit(x[:10_080], NAMES, 60.0)
    after = x[10_080:].copy()
    after[500:, 1] += 4.0 * x[:10_080, 1].std()
    result = model.score(model.initial(1), after[None])[1]
    assert not result.alarm[0, :500].any()
    assert result.alarm[0, 500:].mean() > 0.9
    assert result.contributions[0, 500:].mean(axis=0).argmax() == 1


@pytest.mark.parametrize("normal", [_with_valve, _bursting])
def test_a_sensor_that_bursts_keeps_the_promise(normal: Callable[[int, int], Floats]) -> None:
    came = 0
    for seed in range(4):
        x = normal(53_280, seed)
        model = fit(x[:10_080], NAMES, 60.0)
        assert model.kept == model.promised
        alarm = model.score(model.initial(1), x[None, 10_080:])[1].alarm[0]
        came += int(np.count_nonzero(alarm[1:] & ~alarm[:-1]))
    assert came <= 8, "4 are promised: 8 are the 97.5 % quantile (Poisson)"


def test_sensors_without_bursts_are_calibrated_as_if_there_were_none(monkeypatch: pytest.MonkeyPatch) -> None:
    x = record(5000, 1)
    fitted = fit(x, SENSORS, 60.0)
    monkeypatch.setattr(calibration, "KNOWN", np.inf)
    assert dumps(fit(x, SENSORS, 60.0)) == dumps(fitted)
    x = _with_valve(5000, 1)
    other = fit(x, NAMES, 60.0)
    monkeypatch.undo()
    assert dumps(fit(x, NAMES, 60.0)) != dumps(other)
