"""The forecast of when a limit is reached."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.detector import Ahead, Floats
from models.precursor.prognosis import BRIDGE, FEATURES, HOLD, LONG, Forecast, Prognosis, fit

SENSORS = ("level", "flow", "pressure", "temperature")
LIMITS = {"level": (20.0, 80.0), "pressure": (None, 120.0), "unknown": (0.0, 1.0)}
PERIOD_S = 60.0
RAMP = 0.2


def normal(rows: int, seed: int) -> Floats:
    """(rows, 4) with a memory of some twenty rows, standard deviation 1, around 50 and 100."""
    rng = np.random.default_rng(seed)
    x = np.zeros((rows, 4))
    for row in range(1, rows):
        x[row] = 0.95 * x[row - 1] + rng.normal(size=4) * np.sqrt(1 - 0.95**2)
    return x + np.array([50.0, 10.0, 100.0, 200.0])


def rising(seed: int, rows: int = 180, at: int = 60) -> Floats:
    """The pressure climbs 0.2 a row and reaches 120 some hundred rows later."""
    x = normal(rows, seed)
    x[at:, 2] += RAMP * np.arange(1, rows - at + 1)
    return x


@pytest.fixture(scope="module")
def prognosis() -> Prognosis:
    return fit([normal(1500, 1), normal(1500, 2)], SENSORS, LIMITS, PERIOD_S)


def run(prognosis: Prognosis, x: Floats, each: bool = True) -> Forecast:
    return prognosis.score(prognosis.initial(1), x[None], each=each)[1]


def ahead(forecast: Forecast) -> list[Floats]:
    """Times, ends, sensors, limits and silence (A, T, L), the soonest first, of a block all of which was forecast."""
    assert forecast.ahead is not None
    if not forecast.ahead.time_s.shape[1]:
        return []
    return [np.asarray(field[forecast.ahead.row]) for field in forecast.ahead[1:]]


def same(a: Forecast, b: Forecast) -> None:
    for name in ("time_s", "low_s", "high_s", "sensor", "limit"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.each is not None
    assert b.each is not None
    for mine, other in zip((*a.each, *ahead(a)), (*b.each, *ahead(b)), strict=True):
        np.testing.assert_array_equal(mine, other)


def in_order(fields: Sequence[Floats]) -> Ahead:
    """What gives these by `ahead`."""
    assets, rows, _ = fields[0].shape
    flat = [field.reshape(assets * rows, -1) for field in fields]
    row, seen = np.arange(assets * rows).reshape(assets, rows), flat[6].astype(np.bool_)
    return Ahead(row, *flat[:3], flat[3].astype(np.int64), *flat[4:6], seen)


def joined(parts: Sequence[Forecast]) -> Forecast:
    eaches = [part.each for part in parts if part.each is not None]
    each = type(eaches[0])(*(np.concatenate(column, axis=1) for column in zip(*eaches, strict=True)))
    fields = [np.concatenate(column, axis=1) for column in zip(*(part[:5] for part in parts), strict=True)]
    every = [np.concatenate(column, axis=1) for column in zip(*map(ahead, parts), strict=True)]
    return Forecast(*fields, each=each, ahead=in_order(every))


def test_only_columns_with_limits_and_values_are_forecast(prognosis: Prognosis) -> None:
    assert prognosis.sensors == ("level", "pressure")
    assert prognosis.columns.tolist() == [0, 2]
    assert prognosis.limit.tolist() == [20.0, 80.0, 120.0]
    assert prognosis.pace == 1.0
    assert prognosis.horizon_s == 480 * PERIOD_S


def test_a_climb_to_the_limit_is_announced_and_timed(prognosis: Prognosis) -> None:
    held = []
    for seed in range(10, 20):
        x = rising(seed, 400)
        end = int(np.argmax(x[:, 2] >= 120.0))
        told = run(prognosis, x[:end])
        left = (end - np.arange(end)) * PERIOD_S
        last = slice(end - 40, end)
        assert np.isfinite(told.time_s[0, last]).all()
        assert (told.sensor[0, last] == 2).mean() >= 0.95  # one in a hundred rows of a sensor at rest sees its limit
        assert (told.low_s <= told.time_s).all()
        assert (told.time_s <= told.high_s).all()
        assert np.abs(np.log(left[last] / told.time_s[0, last])).mean() < 1.2
        held.append(((told.low_s[0, last] <= left[last]) & (left[last] <= told.high_s[0, last])).mean())
    assert np.mean(held) > 0.6


def test_normal_operation_has_none_in_sight(prognosis: Prognosis) -> None:
    told = run(prognosis, normal(1000, 5))
    assert np.isinf(told.time_s).mean() > 0.95
    quiet = np.isinf(told.time_s)
    assert np.isinf(told.high_s[quiet]).all()
    assert (told.sensor[quiet] == -1).all()


def test_what_is_reached_is_reached(prognosis: Prognosis) -> None:
    x = normal(50, 5)
    x[40:, 0] = 15.0
    told = run(prognosis, x)
    assert (told.time_s[0, 40:] == 0.0).all()
    assert (told.high_s[0, 40:] == 0.0).all()
    assert (told.sensor[0, 40:] == 0).all()
    assert (told.limit[0, 40:] == 20.0).all()
    assert (np.isnan(told.limit) == (told.sensor < 0)).all()
    x[40:, 0] = 85.0
    assert (run(prognosis, x).limit[0, 40:] == 80.0).all()


def test_what_others_reach_is_told_beside_the_first(prognosis: Prognosis) -> None:
    x = rising(12, 400)
    alone = run(prognosis, np.where(np.arange(4) == 0, np.nan, x))  # the level has no values
    x[150:, 0] = 95.0
    told = run(prognosis, x)
    for mine, theirs in zip(ahead(told)[:5], alone[:5], strict=True):
        seen = np.isfinite(alone.time_s[0, 150:])
        np.testing.assert_array_equal(mine[0, 150:, 1][seen], theirs[0, 150:][seen])
    time, _, _, sensor = ahead(told)[:4]
    assert (sensor[0, -1, 1], time[0, -1, 1]) == (2, 0.0)
    assert (np.diff(np.nan_to_num(time, posinf=1e300)) >= 0).all()
    none = run(fit(normal(1500, 1), SENSORS, {}, PERIOD_S), x).ahead
    assert none is not None
    assert (none.row == -1).all()


def test_a_long_record_in_alarm_needs_no_memory_for_all_of_it(
    prognosis: Prognosis, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.tile(normal(500, 3), (4, 1))
    together = run(prognosis, x)
    monkeypatch.setattr("models.precursor.prognosis.AT_ONCE", 100)
    tracemalloc.start()
    same(run(prognosis, x), together)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * len(x) * len(prognosis.of) * FEATURES * 8, "its features, twice"


def test_rows_not_active_have_no_forecast_and_change_nothing(prognosis: Prognosis) -> None:
    x = rising(4)[None]
    active = np.zeros((1, x.shape[1]), dtype=np.bool_)
    active[0, 140:] = True
    all_of_them = prognosis.score(prognosis.initial(1), x, each=True)[1]
    some = prognosis.score(prognosis.initial(1), x, active, each=True)[1]
    assert np.isinf(some.time_s[0, :140]).all()
    assert (some.sensor[0, :140] == -1).all()
    np.testing.assert_array_equal(some.time_s[0, 140:], all_of_them.time_s[0, 140:])


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 180), max_size=8))
def test_blocks_of_any_size_give_the_same(prognosis: Prognosis, cuts: list[int]) -> None:
    x = rising(3)
    x[30:33, 2] = np.nan
    x[70:95] = np.nan
    x[100, 0] = np.inf
    elapsed = np.random.default_rng(3).choice([0, 1, 1, 1, 2, 5], (1, len(x))).astype(np.int16)
    elapsed[0, 150] = 300
    end, whole = prognosis.score(prognosis.initial(1), x[None], each=True, elapsed=elapsed)
    state, parts = prognosis.initial(1), []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(x)], strict=True):
        state, part = prognosis.score(state, x[None, first:last], each=True, elapsed=elapsed[:, first:last])
        parts.append(part)
    same(joined(parts), whole)
    for name, array in end.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)


def test_many_assets_are_forecast_as_each_alone(prognosis: Prognosis) -> None:
    x = np.stack([rising(seed) for seed in range(70)])
    x[3, :20] = np.nan
    x[69, 100:104] = np.nan
    elapsed = np.ones(x.shape[:2], dtype=np.int16)
    elapsed[3, 50:60], elapsed[4, 120], elapsed[69, 99:130:2] = 3, 250, 0
    _, together = prognosis.score(prognosis.initial(70), x, each=True, elapsed=elapsed)
    assert together.each is not None
    for asset in (0, 3, 4, 69):
        some = slice(asset, asset + 1)
        alone = prognosis.score(prognosis.initial(1), x[some], each=True, elapsed=elapsed[some])[1]
        every = type(together.each)(*(field[some] for field in together.each))
        mine = in_order([field[some] for field in ahead(together)])
        same(alone, Forecast(*(field[some] for field in together[:5]), each=every, ahead=mine))


def test_the_state_is_never_changed_in_place(prognosis: Prognosis) -> None:
    state, _ = prognosis.score(prognosis.initial(2), np.stack([rising(1), rising(2)]))
    kept = {name: array.copy() for name, array in state.items()}
    x = np.stack([rising(3), rising(4)])
    given = x.copy()
    prognosis.score(state, x)
    np.testing.assert_array_equal(x, given)
    for name, array in kept.items():
        np.testing.assert_array_equal(state[name], array)


def lossy(share: float, rows: int, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.int16]]:
    """Which of some rows come, the first ones all; and of those that do the periods since the one before."""
    there = np.random.default_rng(seed).random(rows) >= share
    there[:2] = True
    return there, np.diff(np.flatnonzero(there), prepend=-1).astype(np.int16)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_lost_rows_and_values_do_not_make_a_climb_steeper(prognosis: Prognosis, share: float) -> None:
    logs: dict[str, list[Floats]] = {"rows": [], "values": [], "as if adjacent": []}
    for seed in range(10, 18):
        x = rising(seed, 400)
        end = int(np.argmax(x[:, 2] >= 120.0))
        whole = run(prognosis, x[:end])
        there, elapsed = lossy(share, end, seed)
        gaps = x[:end].copy()
        gaps[~there, 2] = np.nan
        _, rows = prognosis.score(prognosis.initial(1), x[None, :end][:, there], each=True, elapsed=elapsed[None])
        told = {"rows": rows, "values": run(prognosis, gaps), "as if adjacent": run(prognosis, x[:end][there])}
        for name, one in told.items():
            assert one.each is not None
            assert whole.each is not None
            mine = one.each.time_s[0, :, 1][there if name == "values" else slice(None)]
            theirs = whole.each.time_s[0, :, 1][there]
            last = np.flatnonzero(np.isfinite(mine) & np.isfinite(theirs))[-30:]
            logs[name].append(np.log(mine[last] / theirs[last]))
    middle = {name: float(np.mean(np.concatenate(each))) for name, each in logs.items()}
    assert abs(middle["rows"]) < 0.15
    assert abs(middle["values"]) < 0.15
    assert middle["as if adjacent"] < -0.25, "what comes of not counting them"


def test_on_a_straight_line_nothing_is_lost_with_the_rows(prognosis: Prognosis) -> None:
    x = np.full((300, 4), np.nan)
    x[:, 2] = 101.0 + 0.05 * np.arange(300)
    there = np.arange(300) % 7 < 4
    gaps = np.where(there[:, None], x, np.nan)
    elapsed = np.diff(np.flatnonzero(there), prepend=-1).astype(np.int16)
    (whole, _), (rows, _), (values, _) = (
        prognosis.score(prognosis.initial(1), block[None], elapsed=each)
        for block, each in ((x[:298], None), (x[:298][there[:298]], elapsed[None]), (gaps[:298], None))
    )
    for name in whole:
        np.testing.assert_array_equal(rows[name], values[name], err_msg=name)
        if name not in ("busy", "since"):
            np.testing.assert_allclose(rows[name], whole[name], rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(rows["busy"], whole["busy"], rtol=0.05)
    assert np.abs(rows["since"] - whole["since"]).max() <= 2, "it came to be beyond while nothing was there"


def test_rows_within_a_period_move_nothing_but_show_what_is_reached(prognosis: Prognosis) -> None:
    x = rising(6)[:150]
    whole, told = prognosis.score(prognosis.initial(1), x[None], each=True)
    often = np.repeat(x, 4, axis=0)
    often[1::4] += 0.3
    often[2::4] = np.nan
    often[3::4] -= 0.3
    elapsed = (np.arange(len(often)) % 4 == 0).astype(np.int16)[None]
    state, of_often = prognosis.score(prognosis.initial(1), often[None], each=True, elapsed=elapsed)
    np.testing.assert_array_equal(of_often.time_s[:, ::4], told.time_s)
    for name in whole:
        if name != "last":
            np.testing.assert_array_equal(state[name], whole[name], err_msg=name)
    beyond = x[-1:] + np.array([0.0, 0.0, 50.0, 0.0])
    state, reached = prognosis.score(state, beyond[None], elapsed=np.zeros((1, 1), dtype=np.int16))
    assert reached.time_s[0, 0] == 0.0
    state, _ = prognosis.score(state, np.full((1, 1, 4), np.nan), elapsed=np.zeros((1, 1), dtype=np.int16))
    assert (state["missing"] == 0).all(), "it is silent for no period yet"


def test_what_returns_within_a_period_was_away_for_as_long(prognosis: Prognosis) -> None:
    x = rising(6)[:150]
    x[100:130, 2] = np.nan
    whole, told = prognosis.score(prognosis.initial(1), x[None], each=True)
    often = np.repeat(x, 4, axis=0)
    often[130 * 4, 2] = np.nan  # it is back in the second row of its period
    elapsed = (np.arange(len(often)) % 4 == 0).astype(np.int16)[None]
    state, of_often = prognosis.score(prognosis.initial(1), often[None], each=True, elapsed=elapsed)
    np.testing.assert_array_equal(of_often.time_s[:, 3::4], told.time_s)
    for name in whole:
        np.testing.assert_array_equal(state[name], whole[name], err_msg=name)


def test_what_returns_elsewhere_did_not_leap_there(prognosis: Prognosis) -> None:
    x = normal(300, 5)
    x[200:, 2] += 8.0
    leapt = run(prognosis, x)
    x[160:200, 2] = np.nan
    came = run(prognosis, x)
    assert leapt.each is not None
    assert came.each is not None
    assert (came.each.low_s[0, 200:205, 1] > leapt.each.low_s[0, 200:205, 1]).all()


def test_what_was_foretold_goes_on_while_a_sensor_is_silent_but_not_for_long(prognosis: Prognosis) -> None:
    told = run(prognosis, rising(6))
    hold = HOLD * PERIOD_S
    (soon,) = (told.low_s < hold) & (told.time_s > hold) & np.isfinite(told.time_s) & (told.sensor == 2)
    n = int(np.flatnonzero(soon)[-1]) + 1
    told = run(prognosis, np.concatenate([rising(6)[:n], np.full((HOLD + 5, 4), np.nan)]))
    time, low, high = told.time_s[0, n - 1], told.low_s[0, n - 1], told.high_s[0, n - 1]
    since = PERIOD_S * np.arange(1, HOLD + 1)
    np.testing.assert_array_equal(told.time_s[0, n : n + HOLD], time - since)
    np.testing.assert_array_equal(told.low_s[0, n : n + HOLD], np.maximum(low - since, 0.0))
    np.testing.assert_array_equal(told.high_s[0, n : n + HOLD], high - since)
    assert np.isinf(told.time_s[0, n + HOLD :]).all()
    assert (told.sensor[0, n + HOLD :] == -1).all()
    assert told.each is not None
    assert np.isnan(told.each.time_s[0, n + HOLD :]).all(), "not: none in sight"
    times, lows, highs, sensor, limit, silent, unseen = (field[0] for field in ahead(told))
    assert not unseen[: n + HOLD].any()
    assert unseen[n + HOLD :].all()
    assert (times[-1, 0], lows[-1, 0], highs[-1, 0], limit[-1, 0]) == (time, low, high, 120.0), "as foretold then"
    assert sensor[-1].tolist() == [2, 0]
    assert silent[-1].tolist() == [(HOLD + 5) * PERIOD_S] * 2


def test_a_silent_sensor_whose_time_has_come_is_not_seen(prognosis: Prognosis) -> None:
    x = rising(6)[:150]
    told = run(prognosis, np.concatenate([x, np.full((HOLD, 4), np.nan)]))
    left = int(told.time_s[0, 149] / PERIOD_S)
    assert 0 < left < HOLD
    assert (told.time_s[0, 150 : 150 + left] > 0).all(), "nobody saw that it was reached"
    assert np.isinf(told.time_s[0, 150 + left :]).all()
    unseen = ahead(told)[6]
    assert unseen[0, 150 + left :].any(axis=1).all()
    reached = np.concatenate([x, np.full((1, 4), 125.0), np.full((2, 4), np.nan)])
    assert (run(prognosis, reached).time_s[0, -2:] == 0.0).all(), "this one was seen"


def test_what_has_no_value_yet_or_had_none_for_very_long_is_not_seen(prognosis: Prognosis) -> None:
    gone, for_long = np.full((12, 4), np.nan), np.full((1, 12), LONG // 11, dtype=np.int16)
    told = run(prognosis, gone)
    assert np.isinf(told.time_s).all()
    assert ahead(told)[6].all()
    assert np.isinf(ahead(told)[5]).all()
    state, _ = prognosis.score(prognosis.initial(1), normal(50, 1)[None])
    state, told = prognosis.score(state, gone[None], each=True, elapsed=for_long)
    assert np.isfinite(ahead(told)[5][0, 0]).all()
    assert np.isinf(ahead(told)[5][0, -1]).all(), "it is not counted for how long"
    fresh = prognosis.initial(1)
    x = rising(3)[None, 80:]
    same(prognosis.score(state, x, each=True)[1], prognosis.score(fresh, x, each=True)[1])
    lost = np.full((1, 100), 1, dtype=np.int16)
    lost[0, 0] = BRIDGE + 1
    state, _ = prognosis.score(prognosis.initial(1), normal(50, 1)[None])
    same(prognosis.score(state, x, each=True, elapsed=lost)[1], prognosis.score(fresh, x, each=True)[1])


def test_permuted_columns_give_the_same(prognosis: Prognosis) -> None:
    order = [3, 2, 0, 1]
    other = fit([normal(1500, 1)[:, order], normal(1500, 2)[:, order]], [SENSORS[k] for k in order], LIMITS, PERIOD_S)
    x = rising(8)
    a, b = run(prognosis, x), run(other, x[:, order])
    np.testing.assert_allclose(a.time_s, b.time_s, rtol=1e-9)
    names = [[p.sensors[list(p.columns).index(k)] if k >= 0 else "" for k in f.sensor[0].tolist()] for p, f in (
        (prognosis, a), (other, b))]  # fmt: skip
    assert names[0] == names[1]


def test_units_do_not_matter(prognosis: Prognosis) -> None:
    scale, shift = np.array([1000.0, 1.0, 0.01, 1.0]), np.array([0.0, 0.0, 273.15, 0.0])
    limits = {"level": (20_000.0, 80_000.0), "pressure": (None, 1.2 + 273.15)}
    other = fit([normal(1500, 1) * scale + shift, normal(1500, 2) * scale + shift], SENSORS, limits, PERIOD_S)
    x = rising(8)
    a, b = run(prognosis, x), run(other, x * scale + shift)
    np.testing.assert_array_equal(np.isfinite(a.time_s), np.isfinite(b.time_s))
    np.testing.assert_allclose(a.low_s, b.low_s, rtol=1e-6)


def test_a_fast_sampled_plant_is_forecast_at_its_own_pace() -> None:
    def slow(x: Floats) -> Floats:
        return np.repeat(x, 30, axis=0) + np.random.default_rng(3).normal(size=(len(x) * 30, 4)) * 0.3

    fast = fit([slow(normal(1500, 1))], SENSORS, LIMITS, PERIOD_S / 30)
    assert 20.0 <= fast.pace <= 45.0
    x = rising(12, 400)
    end = int(np.argmax(x[:, 2] >= 120.0))
    told = run(fast, slow(x[:end]))
    last = told.time_s[0, (end - 30) * 30]
    assert 8 * PERIOD_S < last < 100 * PERIOD_S
    whole = slow(x)
    crossed = int(np.argmax(whole[:, 2] >= 120.0))
    told = run(fast, whole[: crossed + 1])
    assert told.time_s[0, crossed - 1] > 0.0
    assert told.time_s[0, crossed] == 0.0, "a reading beyond its limit is, whatever its averages are"
    gone = np.full((int(HOLD * fast.pace) + 1, 4), np.nan)
    told = run(fast, np.concatenate([whole[: crossed + 1], gone]))
    assert (told.time_s[0, crossed : crossed + HOLD * int(fast.pace)] == 0.0).all(), "and so it was when last seen"
    assert np.isinf(told.time_s[0, -1])


def test_constant_sensors_and_limits_inside_normal() -> None:
    x = np.full((200, 2), 5.0)
    x[:, 1] = np.random.default_rng(1).normal(size=200)
    prognosis = fit(x, ("still", "busy"), {"still": (0.0, 10.0), "busy": (-0.5, 0.5)}, 1.0)
    told = prognosis.score(prognosis.initial(1), x[None], each=True)[1]
    assert told.each is not None
    assert np.isinf(told.each.time_s[0, :, 0]).all()
    assert not np.isnan(told.each.time_s).any()


def test_what_normal_is_at_or_beyond_is_no_limit() -> None:
    x = normal(400, 1)
    x[:, 1] = 0.1
    limits = {"level": (60.0, 80.0), "flow": (0.1, 1.0), "pressure": (None, 0.12), "temperature": (None, 210.0)}
    prognosis = fit(x, SENSORS, limits, PERIOD_S)
    assert prognosis.sensors == ("level", "flow", "temperature")
    assert prognosis.limit.tolist() == [80.0, 1.0, 210.0]
    x[300:, 3] = 215.0
    told = run(prognosis, x)
    assert (told.sensor[0, 300:] == 3).all()
    assert (told.time_s[0, :300] > 0).all()


def test_without_limits_none_is_in_sight() -> None:
    prognosis = fit(normal(100, 1), SENSORS, {}, 1.0)
    told = run(prognosis, normal(10, 2))
    assert np.isinf(told.time_s).all()
    assert (told.sensor == -1).all()
    again = Prognosis.from_arrays(prognosis.arrays())
    same(run(again, normal(10, 2)), told)


def test_saved_and_loaded_it_is_the_same(prognosis: Prognosis) -> None:
    again = Prognosis.from_arrays(prognosis.arrays())
    assert again.sensors == prognosis.sensors
    same(run(again, rising(9)), run(prognosis, rising(9)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("way", -1.0), ("side", 0.5), ("of", 7), ("columns", 9), ("center", np.nan), ("numbers", 0.0)],
)
def test_arrays_that_make_no_sense_are_refused(prognosis: Prognosis, name: str, value: float) -> None:
    arrays = {key: array.copy() for key, array in prognosis.arrays().items()}
    arrays[name][-1] = value
    with pytest.raises(ValueError, match="out of range"):
        Prognosis.from_arrays(arrays)
    with pytest.raises(ValueError, match="widths"):
        Prognosis.from_arrays({**prognosis.arrays(), "side": np.ones(1)})


def test_bad_arguments(prognosis: Prognosis) -> None:
    with pytest.raises(ValueError, match="want numbers, the lower one first"):
        fit(normal(100, 1), SENSORS, {"level": (80.0, 20.0)}, 1.0)
    with pytest.raises(ValueError, match="period"):
        fit(normal(100, 1), SENSORS, LIMITS, 0.0)
    with pytest.raises(ValueError, match="4 sensors"):
        fit(normal(100, 1)[:, :3], SENSORS, LIMITS, 1.0)
    with pytest.raises(ValueError, match="a block of shape"):
        prognosis.score(prognosis.initial(2), normal(10, 1)[None])
    with pytest.raises(ValueError, match="active rows"):
        prognosis.score(prognosis.initial(1), normal(10, 1)[None], np.ones((1, 9), dtype=np.bool_))
    with pytest.raises(ValueError, match="elapsed periods"):
        prognosis.score(prognosis.initial(1), normal(10, 1)[None], elapsed=np.ones((1, 9), dtype=np.int16))
    assert replace(prognosis, period_s=120.0).horizon_s == 480 * 120.0
