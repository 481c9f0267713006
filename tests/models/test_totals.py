"""Totals (meters of energy, litres, pieces) are judged by how much they rise."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detector import Floats, ModelError, Result, dumps, loads
from models.precursor import Precursor, fit
from models.precursor.totals import find
from tests.models.plants import SENSORS, record, scored_in_blocks

NAMES = [*SENSORS, "litres"]


def plant(rows: int, seed: int) -> Floats:
    """A record with a meter of the flow that began long ago."""
    x = record(rows, seed)
    return np.concatenate([x, (1e6 + np.cumsum(np.maximum(x[:, 0], 0.0)))[:, None]], axis=1)


@cache
def model_of(rows: int = 2000) -> Precursor:
    return fit(plant(rows, 1), NAMES, 60.0)


def run(model: Precursor, x: Floats) -> Result:
    return model.score(model.initial(1), x[None])[1]


def test_a_meter_that_goes_on_for_a_month_is_no_finding() -> None:
    model = model_of()
    assert model.totals.columns.tolist() == [6]
    assert model.kept == model.promised, "its level does not hide how much the record says"
    assert not run(model, plant(43_200, 2)).alarm.any()


@pytest.mark.parametrize("what", ["reset", "rows lost", "missing", "read as zero", "turned over"])
def test_what_happens_to_meters_is_no_finding(what: str) -> None:
    x = plant(2000, 2)
    if what == "reset":
        x[1000:, 6] -= x[1000, 6]
    elif what == "rows lost":
        x = np.delete(x, np.arange(1000, 1003), axis=0)
    elif what == "missing":
        x[1000:1010, 6] = np.nan
    elif what == "read as zero":
        x[1000, 6] = 0.0
    else:
        x[:, 6] %= 5000.0
    result = run(model_of(), x)
    assert not result.alarm.any()
    assert np.isfinite(result.score[0, 5:]).all()


@pytest.mark.parametrize("share", [0.0, 0.9, 2.0])
def test_a_meter_that_stands_still_or_counts_wrong_is_found(share: float) -> None:
    x = plant(2000, 2)
    x[1000:, 6] += (share - 1.0) * np.cumsum(np.maximum(x[1000:, 0], 0.0))
    result = run(model_of(), x)
    assert not result.alarm[0, :1000].any()
    assert result.alarm[0, 1010:].all()
    # one of the two is wrong: no other sensor knows which
    assert set(np.argsort(result.contributions[0, 1010:].mean(axis=0))[-2:].tolist()) == {0, 6}


def test_a_meter_of_what_nothing_else_measures() -> None:
    def metered(rows: int, seed: int) -> Floats:
        energy = np.random.default_rng(seed).normal(5.0, 0.5, rows)
        return np.concatenate([record(rows, seed), np.cumsum(energy)[:, None]], axis=1)

    model, x = fit(metered(2000, 1), [*SENSORS, "kWh"], 60.0), metered(3000, 2)
    assert not run(model, x).alarm.any()
    x[1500:, 6] += np.cumsum(np.full(1500, 1.0))  # a fifth more, two standard deviations
    result = run(model, x)
    assert result.alarm[0, 1530:].all()
    assert int(result.contributions[0, 1530:].mean(axis=0).argmax()) == 6


@pytest.mark.parametrize("counted", ["rows", "seconds"])
def test_what_counts_rows_or_time_is_not_judged(counted: str) -> None:
    def counting(rows: int, seed: int) -> Floats:
        count = {"rows": 1.0, "seconds": 60.0 / 86_400.0}[counted] * np.arange(rows) + 4e4
        return np.concatenate([record(rows, seed), count[:, None]], axis=1)

    model = fit(counting(1000, 1), [*SENSORS, "no"], 60.0)
    assert 6 not in model.moving
    x = counting(20_000, 2)
    x[10_000:, 6] += 7.0
    without = run(fit(record(1000, 1), SENSORS, 60.0), x[:, :6])
    np.testing.assert_allclose(run(model, x).score[0, 10:], without.score[0, 10:], rtol=1e-4)


@pytest.mark.parametrize("digits", [2, 1, 0])
@pytest.mark.parametrize("gone", [[], [700]])
def test_hours_that_are_rounded_are_not_judged_where_rows_are_lost(digits: int, gone: list[int]) -> None:
    def counting(rows: int, seed: int) -> Floats:
        hours = np.round(41_234.0 + np.arange(rows) / 60.0, digits)
        return np.concatenate([record(rows, seed), hours[:, None]], axis=1)

    model = fit(np.delete(counting(2000, 1), gone, axis=0), [*SENSORS, "h"], 60.0)
    assert model.totals.columns.tolist() == [6]
    x = np.delete(counting(4000, 2), [500, 1500, 1501, 2500, 3333], axis=0)
    assert not run(model, x).alarm.any()


def test_a_meter_that_shows_little_at_a_time_is_judged_all_the_same() -> None:
    def metered(rows: int, seed: int) -> Floats:
        flow = np.random.default_rng(seed).normal(0.31, 0.05, rows)
        return np.concatenate([record(rows, seed), np.floor(np.cumsum(flow))[:, None]], axis=1)

    model, x = fit(metered(2000, 1), [*SENSORS, "kWh"], 60.0), metered(3000, 2)
    x[1500:, 6] = x[1500, 6]
    result = run(model, x)
    assert not result.alarm[0, :1500].any()
    assert result.alarm[0, 1700:].all()


def test_a_meter_that_runs_backwards_is_found() -> None:
    x = plant(2000, 2)
    x[1000:, 6] = 2.0 * x[999, 6] - x[1000:, 6]
    result = run(model_of(), x)
    assert not result.alarm[0, :1000].any()
    assert result.alarm[0, 1002:].all()


def test_numbers_of_any_size_are_read_without_a_word() -> None:
    x = plant(400, 2)
    x[100:106, 6] = [np.inf, -np.inf, 1.7e308, -1.7e308, 1.7e308, -1.7e308]
    x[0, 6], x[399, 6] = np.nan, 0.0
    result = run(model_of(), x)
    assert not result.alarm.any()
    assert np.isfinite(result.score[0, 5:]).all()


def test_what_only_happens_to_rise_is_no_total() -> None:
    rows = np.arange(600)
    rng = np.random.default_rng(1)
    columns = {
        "a morning's warmth": np.round(20.0 - 8.0 * np.cos(rows / 600 * np.pi), 2),
        "warming up": np.round(60.0 - 40.0 * np.exp(-rows / 100), 2),
        "a set point": rows // 100 * 1.0,
        "noise": rng.normal(size=600),
        "filled again": rows % 200 * 1.0,
        "rests": np.full(600, 3.0),
        "seldom read": np.where(rows % 5 == 0, rows * 1.0, np.nan),
    }
    x = np.stack(list(columns.values()), axis=1)
    assert find([x], 60.0).columns.tolist() == []
    assert find([x, x], 60.0).columns.tolist() == []
    x[:, 3] = np.cumsum(np.abs(x[:, 3]))
    assert find([x], 60.0).columns.tolist() == [3]
    assert find([x[:300], x[300:]], 60.0).columns.tolist() == [3]
    assert find([-x], 60.0).columns.tolist() == [], (
        "meters do not run backwards; what falls may be what wears or empties"
    )
    stops = np.cumsum(np.where(np.arange(4320) % 1440 < 480, rng.poisson(2.0, 4320), 0))[:, None] * 1.0
    assert find([stops], 60.0).columns.tolist() == [0], "three days of one shift each"
    assert find([stops[:1000]], 60.0).columns.tolist() == []


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 300), max_size=8), seed=st.integers(0, 5))
def test_blocks_of_any_size_give_the_same(cuts: list[int], seed: int) -> None:
    x = np.stack([plant(300, 10 + seed), plant(300, 20 + seed)])
    rng = np.random.default_rng(seed)
    x[rng.random(x.shape) < 0.01] = np.nan
    x[0, 100:, 6] -= 1e6
    x[1, 150, 6] *= 2.0
    x[1, 200:, 6] += np.cumsum(x[1, 200:, 0])
    model = loads(dumps(model_of(400))).detector
    whole = scored_in_blocks(model, model.initial(2), x, cuts)
    alone = model.score(model.initial(1), x[1:])[1]
    np.testing.assert_array_equal(alone.score[0], whole.score[1])


@pytest.mark.parametrize("more", [0.0, 15.0])
@pytest.mark.parametrize("missing", [False, True])
def test_what_a_meter_rises_by_can_be_accepted(more: float, missing: bool) -> None:
    x, model = plant(3000, 30), model_of()
    x[500:, 6] += more * np.arange(2500)
    if missing:
        x[898, 6] = np.nan
    state, before = model.score(model.initial(1), x[None, :900])
    assert before.alarm[0, 600:].all() == (more > 0)
    state = model.accept(state, np.ones(1, dtype=np.bool_))
    assert not model.score(state, x[None, 900:])[1].alarm.any()
    assert model.shift(state)[0, 6] == pytest.approx(more, abs=2.5)


def test_a_damaged_file_is_refused() -> None:
    model = model_of(400)
    for broken in ([9], [-1], [0, 0], []):
        arrays = dict(model.arrays()) | {"totals_columns": np.array(broken, dtype=np.int64)}
        with pytest.raises(ValueError, match=r"repeat|widths|broadcast"):
            Precursor.from_arrays(arrays)
    content = dumps(model)
    assert loads(content).detector.sensors == tuple(NAMES)
    with pytest.raises(ModelError):
        loads(content[:-200])


def test_what_a_meter_counts_is_no_wrong_reading() -> None:
    """A flow of one row stays in what it has counted; a wrong reading would be taken back, as no flow is."""
    model = model_of()
    first, second = np.zeros((2, 7), dtype=np.float32)
    first[:] = model.echo(6, 0) * model.scale[6] * 30.0
    second[:] = model.echo(6, 1) * model.scale[6] * 30.0 + np.float32(1e-3)
    by, part = model.additive(first, second)
    assert not by[6]
    assert not part[6]
