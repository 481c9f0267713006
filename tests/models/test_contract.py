"""What every fitted detector must keep; a kind joins with its fit in `tests.models.plants.FITS`."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detector import Detector, Floats, Forecast, ModelError, Result, State, dumps, load, loads, save
from simulators import tep
from tests.models.plants import FITS, SENSORS, fitted, record, refit

pytestmark = pytest.mark.parametrize("kind", sorted(FITS))


def faulty(rows: int = 200, seed: int = 5) -> Floats:
    """A record with a leak, a few gaps and a spike."""
    x = record(rows, seed)
    x[rows // 2 :, 1] -= 12.0
    x[20:23, 2] = np.nan
    x[30:45, 4] = np.nan
    x[50] = np.nan
    x[60, 0] = 1e6
    x[70, 3] = np.inf
    return x


def run(model: Detector, x: Floats) -> Result:
    return model.score(model.initial(1), x[None])[1]


def same(a: Result, b: Result) -> None:
    """To the last bit: live must be replay."""
    np.testing.assert_array_equal(a.score, b.score)
    np.testing.assert_array_equal(a.alarm, b.alarm)
    np.testing.assert_array_equal(a.contributions, b.contributions)
    np.testing.assert_array_equal(a.deviation, b.deviation)
    assert a.statistics.keys() == b.statistics.keys()
    for name in a.statistics:
        np.testing.assert_array_equal(a.statistics[name], b.statistics[name])
    assert a.residual is not None
    np.testing.assert_array_equal(a.residual, b.residual)
    assert (a.forecast is None) == (b.forecast is None)
    if a.forecast is not None and b.forecast is not None:
        for ours, theirs in zip(a.forecast[:5], b.forecast[:5], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def joined(parts: list[Result]) -> Result:
    def along(field: str) -> Floats:
        return np.concatenate([getattr(part, field) for part in parts], axis=1)

    names = parts[0].statistics
    statistics = {name: np.concatenate([part.statistics[name] for part in parts], axis=1) for name in names}
    told = [part.forecast for part in parts if part.forecast is not None]
    columns = zip(*(forecast[:5] for forecast in told), strict=True)
    forecast = Forecast(*(np.concatenate(column, axis=1) for column in columns)) if told else None
    fields = along("score"), along("alarm"), along("contributions"), statistics, along("deviation"), forecast
    return Result(*fields, along("residual"))


def of_one(together: Result, asset: int) -> Result:
    """What was said of one asset of several."""
    one = slice(asset, asset + 1)
    statistics = {name: value[one] for name, value in together.statistics.items()}
    told = together.forecast and Forecast(*(field[one] for field in together.forecast[:5]))
    assert together.residual is not None
    return Result(
        *(field[one] for field in together[:3]), statistics, together.deviation[one], told, together.residual[one]
    )


def test_every_kind_has_its_fit(kind: str) -> None:
    assert kind in FITS
    model = fitted(kind)
    assert isinstance(model, Detector)
    assert model.kind == kind
    assert model.sensors == SENSORS
    assert model.period_s == 1.0
    assert model.usual.same.tolist() == [1] * len(SENSORS)
    assert {*model.lasting, *model.trend} <= model.initial(1).keys()
    assert not {*model.lasting} & {*model.trend}


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 200), max_size=12))
def test_blocks_of_any_size_give_the_same(kind: str, cuts: list[int]) -> None:
    model, x = fitted(kind), faulty()
    whole_state, whole = model.score(model.initial(1), x[None])
    state, parts = model.initial(1), []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(x)], strict=True):
        state, part = model.score(state, x[None, first:last])
        parts.append(part)
    same(joined(parts), whole)
    for name, array in whole_state.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)


def test_row_by_row_gives_the_same(kind: str) -> None:
    model, x = fitted(kind), faulty()
    state, parts = model.initial(1), []
    for row in x:
        state, part = model.score(state, row[None, None])
        parts.append(part)
    same(joined(parts), run(model, x))


def test_many_assets_are_scored_as_each_alone(kind: str) -> None:
    model = fitted(kind)
    x = np.stack([faulty(seed=seed) for seed in range(7)])
    _, together = model.score(model.initial(7), x)
    for asset in range(7):
        same(of_one(together, asset), run(model, x[asset]))


def test_beside_others_in_alarm_one_with_gaps_is_scored_as_alone(kind: str) -> None:
    model, rng = fitted(kind), np.random.default_rng(2)
    shifts = 3.0, 3.5, 4.0, 4.5, 5.0
    x = np.stack([record(700, seed) for seed in range(6)])
    x[:5, 300:600, 3] += np.array(shifts)[:, None]
    x[5, ::5, 0] += 1e5
    x[:5, :, 3][rng.random((5, 700)) < 0.5] = np.nan
    _, together = model.score(model.initial(6), x)
    for asset in range(6):
        same(of_one(together, asset), run(model, x[asset]))
    state, parts = model.initial(6), []
    for row in range(700):
        state, part = model.score(state, x[:, row, None])
        parts.append(part)
    same(joined(parts), together)


def test_more_assets_and_rows_than_are_worked_on_at_once(kind: str) -> None:
    model = fitted(kind)
    x = np.stack([faulty(100, seed=5 + at % 3)[at % 7 :][:90] for at in range(1100)])
    state, together = model.score(model.initial(1100), x)
    for asset in (0, 511, 512, 1099):
        alone_state, alone = model.score(model.initial(1), x[asset][None])
        np.testing.assert_array_equal(together.score[asset], alone.score[0])
        np.testing.assert_array_equal(together.contributions[asset], alone.contributions[0])
        for name, array in alone_state.items():
            np.testing.assert_array_equal(state[name][asset], array[0], err_msg=name)
    same(run(model, faulty(10_000)), joined([run_from(model, faulty(10_000))]))


def run_from(model: Detector, x: Floats) -> Result:
    """Scored in two parts that are cut at an odd place."""
    state, first = model.score(model.initial(1), x[None, :1777])
    return joined([first, model.score(state, x[None, 1777:])[1]])


def test_values_beyond_all_bounds_are_scored(kind: str) -> None:
    x = record(100, 5)
    x[50:60, 1] = 1e300
    x[70:80, 2] = -np.inf
    result = run(fitted(kind), x)
    assert np.isfinite(result.score[0, 20:]).all()
    assert result.alarm[0, 55:60].all()


def test_the_future_never_changes_the_past(kind: str) -> None:
    model, x = fitted(kind), faulty()
    other = x.copy()
    other[120:] = record(80, 77) * 3
    a, b = run(model, x), run(model, other)
    np.testing.assert_array_equal(a.score[:, :120], b.score[:, :120])
    np.testing.assert_array_equal(a.alarm[:, :120], b.alarm[:, :120])
    assert not np.array_equal(a.score[:, 120:], b.score[:, 120:])


def test_nothing_given_is_changed(kind: str) -> None:
    model, x = fitted(kind), faulty()
    state: State = model.score(model.initial(1), x[None, :100])[0]
    before = {name: array.copy() for name, array in state.items()}
    rows = x[None, 100:].copy()
    first = model.score(state, rows)[1]
    for name, array in before.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)
    np.testing.assert_array_equal(rows, x[None, 100:])
    same(model.score(state, rows)[1], first)


def test_in_place_it_gives_the_same(kind: str) -> None:
    model = fitted(kind)
    x = np.stack([faulty(100, seed=seed) for seed in range(3)])
    mine, theirs = {name: array.copy() for name, array in model.initial(3).items()}, model.initial(3)
    for first, last in ((0, 1), (1, 40), (40, 40), (40, 100)):
        theirs, expected = model.score(theirs, x[:, first:last])
        same(model.advance(mine, x[:, first:last]), expected)
        for name, array in theirs.items():
            np.testing.assert_array_equal(mine[name], array, err_msg=name)


def test_what_is_known_of_lost_rows_changes_no_score(kind: str) -> None:
    model = fitted(kind)
    x = np.stack([faulty(100, seed=seed) for seed in range(3)])
    elapsed = np.ones((3, 100), dtype=np.int16)
    elapsed[1, 60] = 4
    whole, lost = ({name: array.copy() for name, array in model.initial(3).items()} for _ in range(2))
    first, second = model.advance(whole, x), model.advance(lost, x, elapsed=elapsed)
    same(first._replace(forecast=None), second._replace(forecast=None))
    for name, array in whole.items():
        if name not in model.trend:
            np.testing.assert_array_equal(lost[name], array, err_msg=name)
        np.testing.assert_array_equal(lost[name][[0, 2]], array[[0, 2]], err_msg=name)


def test_contributions_are_shares_of_the_score(kind: str) -> None:
    result = run(fitted(kind), faulty())
    assert (result.contributions >= 0).all()
    np.testing.assert_allclose(result.contributions.sum(axis=2), np.nan_to_num(result.score), rtol=1e-9)
    limits = np.max(list(result.statistics.values()), axis=0)
    assert np.isfinite(result.score).sum() > 150
    np.testing.assert_array_equal(np.isnan(result.score), np.isnan(limits))


def test_a_leak_is_found_and_named_and_its_end_too(kind: str) -> None:
    model = fitted(kind)
    x = record(400, 5)
    x[100:200, 1] -= 12.0
    result = run(model, x)
    assert not result.alarm[0, :100].any()
    assert result.alarm[0, 115:200].all()
    assert not result.alarm[0, 260:].any()
    assert SENSORS[int(result.contributions[0, 110:200].mean(axis=0).argmax())] == "pressure"


def test_missing_values(kind: str) -> None:
    model = fitted(kind)
    x = record(200, 5)
    gaps = x.copy()
    gaps[50:53, 2] = np.nan
    gaps[100:, 4] = np.nan
    result = run(model, gaps)
    warm = np.isfinite(result.score[0])
    assert warm[20:].all()
    assert not result.alarm.any()
    assert (result.contributions[0, 130:, 4] < 1e-3).all()
    assert (result.score[0, 50:53] != run(model, x).score[0, 50:53]).any()


def controlled(rows: int, seed: int) -> Floats:
    """Of a variable, its valve, one that follows the valve and one of its own.

    What the valve does tells the variable only from what that was before, with an error that grows.
    """
    rng = np.random.default_rng(seed)
    noise, pressure, level = rng.normal(size=rows + 50), np.zeros(rows + 50), np.zeros(rows + 50)
    for t in range(2, rows + 50):
        pressure[t] = 0.95 * pressure[t - 1] + noise[t]
        level[t] = 0.8 * level[t - 1] - 0.5 * (pressure[t - 1] - 1.6 * pressure[t - 2])
    other = 0.5 * level + np.convolve(rng.normal(size=rows + 50), np.ones(5) / 5, "same")
    level += 0.02 * rng.normal(size=rows + 50)
    return np.stack([55.0 + pressure, 100.0 + level, other, rng.normal(size=rows + 50)], axis=1)[50:]


def test_a_sensor_that_is_missing_for_long_is_left_out_of_all(kind: str) -> None:
    model, x = refit(kind, controlled(3000, 1), ["pressure", "level", "a", "b"]), controlled(1500, 2)
    for sensor in range(4):
        for first in (0, 100):
            gone = x.copy()
            gone[first:1000, sensor] = np.nan
            result = run(model, gone)
            assert not result.alarm.any()
            assert np.isfinite(result.score[0, 20:]).all()
            assert (result.contributions[0, 100:1000, sensor] == 0.0).all()
        gone[600:, 2 if sensor == 3 else 3] += 5.0
        assert run(model, gone).alarm[0, 610:].mean() > 0.9, "what happens to others is seen"
        back = x.copy()
        back[100:1000, sensor] = np.nan
        back[1100:, sensor] += 8.0
        result = run(model, back)
        assert not result.alarm[0, :1100].any()
        assert result.alarm[0, 1110:].all()


def test_a_sensor_that_seldom_has_a_value_hides_no_other(kind: str) -> None:
    def seldom(seed: int) -> Floats:
        x = record(2000, seed)
        x[np.arange(2000) % 12 > 0, 5] = np.nan
        return x

    model, x = refit(kind, seldom(1)), seldom(2)
    assert not run(model, x).alarm.any()
    x[600:, 0] += 8.0 * np.nanstd(x[:, 0])
    assert run(model, x).alarm[0, 610:].mean() > 0.99
    x = seldom(2)
    x[600:1500, 5] = np.nan  # for longer than it ever was in the normal record
    assert not run(model, x).alarm.any()


@cache
def with_analysers(kind: str) -> tuple[Floats, Floats, Detector]:
    """Two normal records of a plant whose analysers hold a value for rows, and a model of the first."""
    normal, other = tep.round_records(tep.simulate(60.0, [1, 2], generator="numpy").records)
    return normal, other, refit(kind, normal, tep.COLUMNS)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
def test_values_missing_now_and_then_are_no_finding(kind: str, share: float) -> None:
    normal, other, model = with_analysers(kind)
    rng = np.random.default_rng(3)
    for x in (normal, other):
        gone = np.where(rng.random(x.shape) < share, np.nan, x)
        assert not run(model, gone).alarm.any()
    other = other.copy()
    other[600:, 8] += 8.0 * other[:, 8].std()
    gone = np.where(rng.random(other.shape) < share, np.nan, other)
    assert run(model, gone).alarm[0, 605:].mean() > 0.95, "and hide none"


@pytest.mark.parametrize("reading", [9999.0, 0.0, -999.0, 1e15])
def test_a_wild_reading_in_the_normal_record_hides_nothing(kind: str, reading: float) -> None:
    normal = record(600, 1)
    normal[:, 3] += 3000.0
    gap, error = normal.copy(), normal.copy()
    gap[200:202, 3], error[200:202, 3] = np.nan, reading
    assert dumps(refit(kind, error)) == dumps(refit(kind, gap))


def test_several_sensors_that_are_missing_for_long_come_and_go(kind: str) -> None:
    model, x = fitted(kind), record(700, 5)
    for first, last, sensors in ((50, 500, [0, 3]), (100, 300, [1]), (250, 270, [2, 4]), (520, 620, [5])):
        x[first:last, sensors] = np.nan
    whole = run(model, x)
    assert not whole.alarm.any()
    assert np.isfinite(whole.score[0, 20:]).all()
    state, parts = model.initial(2), []
    others = np.stack([x, record(700, 6)])  # beside one that misses nothing
    for first in range(0, 700, 7):
        state, part = model.score(state, others[:, first : first + 7])
        parts.append(part)
    both = joined(parts)
    np.testing.assert_array_equal(both.score[0], whole.score[0])
    np.testing.assert_array_equal(both.contributions[0], whole.contributions[0])
    np.testing.assert_array_equal(both.score[1], run(model, others[1]).score[0])
    np.testing.assert_array_equal(run(loads(dumps(model)).detector, x).score, whole.score)


def test_a_row_without_any_value_has_no_score(kind: str) -> None:
    x = record(100, 5)
    x[40:45] = np.nan
    result = run(fitted(kind), x)
    assert np.isnan(result.score[0, 40:45]).all()
    assert (result.contributions[0, 40:45] == 0).all()
    assert np.isfinite(result.score[0, 50:]).all()
    nothing = run(fitted(kind), np.full((30, len(SENSORS)), np.nan))
    assert np.isnan(nothing.score).all()
    assert not nothing.alarm.any()


def test_the_first_rows_have_no_score(kind: str) -> None:
    result = run(fitted(kind), record(100, 5))
    began = int(np.isfinite(result.score[0]).argmax())
    assert 0 < began < 20
    assert np.isfinite(result.score[0, began:]).all()
    assert all(np.isnan(chart[0, :began]).all() for chart in result.statistics.values())


def test_what_is_foretold_is_of_rows_in_an_episode_alone(kind: str) -> None:
    found = run(fitted(kind), faulty())
    assert found.forecast is not None
    time, low, high, sensor, _ = (array[0] for array in found.forecast[:5])
    quiet = ~found.alarm[0]
    assert np.isinf(time[quiet]).all()
    assert (sensor[quiet] == -1).all()
    seen = np.isfinite(time)
    assert seen.any()
    assert (sensor[seen] == SENSORS.index("pressure")).all()
    assert (low[seen] <= time[seen]).all()
    assert (time[seen] <= high[seen]).all()


def test_no_rows_and_one_row(kind: str) -> None:
    model = fitted(kind)
    state, result = model.score(model.initial(3), np.empty((3, 0, len(SENSORS))))
    assert result.score.shape == (3, 0)
    assert result.contributions.shape == (3, 0, len(SENSORS))
    state, result = model.score(state, record(3, 1)[:, None])
    assert result.score.shape == (3, 1)
    assert state.keys() == model.initial(3).keys()


def test_a_block_that_does_not_fit_is_refused(kind: str) -> None:
    model = fitted(kind)
    for shape in ((1, 5, len(SENSORS) - 1), (2, 5, len(SENSORS)), (5, len(SENSORS))):
        with pytest.raises(ValueError, match="shape"):
            model.score(model.initial(1), np.zeros(shape))


def test_no_alarm_on_what_it_learned(kind: str) -> None:
    for x in (record(600, 1), record(60, 2), np.round(record(300, 3)), np.repeat(record(100, 4), 5, axis=0)):
        assert not run(refit(kind, x), x).alarm.any()


def related(rows: int, seed: int) -> dict[str, Floats]:
    """Columns that follow exactly from others, or from their own past."""
    rng, t = np.random.default_rng(seed), np.arange(rows) * 1.0
    walk, noise = np.cumsum(rng.normal(size=rows)), rng.normal(size=rows)
    return {
        "ramp": t * 20.0 + 1e9,
        "sine": np.sin(t / 7.0),
        "decay": np.exp(-t / rows * 5.0),
        "square": t // 10 % 2,
        "saw": t % 24,
        "step": (t > rows // 2) * 1.0,
        "late": (t > rows - 20) * 1.0,
        "total": np.cumsum(np.abs(noise)),
        "celsius": walk,
        "fahrenheit": walk * 1.8 + 32.0,
        "delayed": np.append(np.full(4, walk[0]), walk[:-4]),
        "again": walk.copy(),
        "noise": noise,
        "sum": np.round(walk + noise, 3),
    }


@settings(max_examples=40, deadline=None)
@given(
    rows=st.sampled_from([60, 150, 400, 1600]),
    chosen=st.sets(st.sampled_from(sorted(related(60, 0))), min_size=1, max_size=5),
    beside=st.booleans(),
    gaps=st.sampled_from([0.0, 0.02]),
    seed=st.integers(0, 99),
)
def test_exact_relations_are_learned_and_give_no_alarm(
    kind: str, rows: int, chosen: set[str], beside: bool, gaps: float, seed: int
) -> None:
    columns = related(rows, seed)
    x = np.stack([columns[name] for name in sorted(chosen)], axis=1)
    names = sorted(chosen)
    if beside:
        x, names = np.concatenate([record(rows, seed), x], axis=1), [*SENSORS, *names]
    x[np.random.default_rng(seed).random(x.shape) < gaps] = np.nan
    assert not run(refit(kind, x, names), x).alarm.any()


def test_a_relation_that_was_exact_and_is_not_is_found(kind: str) -> None:
    def twice(rows: int, seed: int) -> Floats:
        walk = record(rows, seed)
        return np.concatenate([walk, walk[:, :1] * 1.8 + 32.0], axis=1)

    model = refit(kind, twice(2000, 1), [*SENSORS, "fahrenheit"])
    x = twice(3000, 2)
    assert not run(model, x).alarm.any()
    x[1000:, 6] += np.linspace(0.0, 0.1 * x[:, 6].std(), 2000)  # 0.01 % of it in two rows
    result = run(model, x)
    assert not result.alarm[0, :1000].any()
    assert result.alarm[0, 1200:].all()


def test_few_alarms_on_new_normal_rows(kind: str) -> None:
    alarms = [run(fitted(kind), record(600, seed)).alarm.mean() for seed in range(10, 20)]
    assert np.mean(alarms) < 0.005


def test_constant_columns(kind: str) -> None:
    x = np.concatenate([record(300, 1), np.full((300, 1), 5.0), np.zeros((300, 1))], axis=1)
    names = [*SENSORS, "agitator", "flag"]
    model = refit(kind, x, names)
    fresh = np.concatenate([record(200, 5), np.full((200, 1), 5.0), np.zeros((200, 1))], axis=1)
    result = run(model, fresh)
    assert np.isfinite(result.score[0, 20:]).all()
    assert not result.alarm.any()
    for column, value in ((6, 9.0), (7, 5.0)):
        moved = fresh.copy()
        moved[100:, column] = value
        result = run(model, moved)
        assert result.alarm[0, 120:].all()
        assert int(result.contributions[0, 120:].mean(axis=0).argmax()) == column
    still = refit(kind, np.full((100, 2), 3.0), ["a", "b"])
    assert not run(still, np.full((50, 2), 3.0)).alarm.any()
    assert run(still, np.full((50, 2), 4.0)).alarm[0, 20:].all()


def test_a_plant_that_stops_dead_is_scored(kind: str) -> None:
    x = record(200, 5)
    x[100:] = x[99]
    assert np.isfinite(run(fitted(kind), x).score[0, 20:]).all()


def test_an_echo_is_what_a_sensor_says_of_the_others(kind: str) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2000, 3))
    x[2:, 1] = 4.0 * x[:-2, 0] + 0.5 * rng.normal(size=1998)
    model = refit(kind, x, ["a", "b", "c"])
    echo = model.echo(0, 2)
    assert echo.shape == (3,)
    assert abs(echo[1]) == pytest.approx(8.0, rel=0.1)  # a unit of it is as many standard deviations of what is left
    assert np.abs(echo[[0, 2]]).max() < 0.5
    assert abs(model.echo(0, 0)[1]) < 0.5
    assert not model.echo(0, 100).any()  # so far back nothing is looked at


def looped(rows: int, seed: int) -> Floats:
    """A noisy level, the valve that follows it exactly, a flow that follows the valve a row later, and a stranger."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    x[:, 1] = 2.0 * x[:, 0] + 0.01 * x[:, 1]
    x[1:, 2] = x[:-1, 1] + 0.1 * x[1:, 2]
    return x


@pytest.mark.parametrize("size", [3.0, -8.0])
def test_one_wrong_reading_is_told_from_what_moves_the_plant(kind: str, size: float) -> None:
    model = refit(kind, looped(2000, 3), ["level", "valve", "flow", "other"])

    def began(x: Floats) -> tuple[Floats, Floats]:
        result = run(model, x)
        assert result.residual is not None
        assert result.alarm[0, 100:102].all()
        assert not result.alarm[0, :100].any()
        assert not result.residual[0, :100].any()  # but of rows in alarm they are of no interest
        return model.additive(result.residual[0, 100], result.residual[0, 101])

    x = looped(200, 5)
    x[100, 0] += size  # the valve does not follow
    by, part = began(x)
    assert part.argmax() == 0
    assert part[0] > 0.95
    assert np.sign(by[0]) == np.sign(size)
    assert abs(by[0]) > 100.0
    x = looped(200, 5)
    x[100:, 1] += size  # the controller's set point is another: the flow follows
    x[101:, 2] += size
    assert began(x)[1].max() < 0.75
    x = looped(200, 5)
    x[100:, 3] += 4.0 * size  # what nothing else moves with goes somewhere, and stays there
    assert began(x)[1].max() < 0.75
    assert not np.concatenate(model.additive(*np.zeros((2, 4), dtype=np.float32))).any()


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_what_is_not_back_in_the_second_row_is_no_single_wrong_reading(kind: str, seed: int) -> None:
    """Nor is it, where that row lacks what would show it; of what moves smoothly a step looks much like one."""
    rng = np.random.default_rng(seed)
    x = np.zeros((3000, 2))
    for row in range(2, 3000):
        x[row] = 1.9 * x[row - 1] - 0.9025 * x[row - 2] + rng.normal(size=2)
    model = refit(kind, x[:2500], ["level", "other"])

    def began(x: Floats) -> tuple[Floats, Floats]:
        result = run(model, x)
        assert result.residual is not None
        assert result.alarm[0, 200:202].all()
        return model.additive(result.residual[0, 200], result.residual[0, 201])

    spike, step = x[2500:].copy(), x[2500:].copy()
    spike[200, 0] += 10.0 * x[:, 0].std()
    step[200:, 0] += 10.0 * x[:, 0].std()
    assert began(spike)[1][0] > 0.95
    assert began(step)[1].max() < 0.8
    step[201, 0] = np.nan
    assert began(step)[1].max() < 0.8


def test_columns_in_another_order(kind: str) -> None:
    order = np.random.default_rng(3).permutation(len(SENSORS))
    x, fresh = record(400, 1), faulty()
    a = run(refit(kind, x), fresh)
    b = run(refit(kind, x[:, order], [SENSORS[at] for at in order]), fresh[:, order])
    np.testing.assert_allclose(b.score, a.score, rtol=1e-6)
    np.testing.assert_array_equal(a.alarm, b.alarm)
    np.testing.assert_allclose(b.contributions, a.contributions[..., order], rtol=1e-6, atol=1e-9)


@settings(max_examples=8, deadline=None)
@given(
    factors=st.lists(st.sampled_from([1e-6, 0.1, -1.0, 1.8, 1e5]), min_size=6, max_size=6),
    offsets=st.lists(st.sampled_from([0.0, 32.0, -273.15]), min_size=6, max_size=6),
)
def test_other_units_give_the_same_alarms(kind: str, factors: list[float], offsets: list[float]) -> None:
    x, fresh = record(400, 1), faulty()
    scale, shift = np.array(factors), np.array(offsets)
    a = run(refit(kind, x), fresh)
    b = run(refit(kind, x * scale + shift), fresh * scale + shift)
    np.testing.assert_allclose(b.score, a.score, rtol=1e-4)
    np.testing.assert_array_equal(a.alarm, b.alarm)


def test_runs_are_never_bridged(kind: str) -> None:
    runs = [record(150, seed) + 0.0 for seed in range(4)]
    a, b = refit(kind, runs), refit(kind, [*runs, record(1, 9) * 100])
    same(run(a, faulty()), run(b, faulty()))
    assert not any(run(a, part).alarm.any() for part in runs)


def test_one_sensor_is_enough(kind: str) -> None:
    x = record(300, 1)[:, :1]
    model = refit(kind, x, ["flow"])
    fresh = record(200, 5)[:, :1]
    fresh[100:] += 40
    result = run(model, fresh)
    assert not result.alarm[0, :100].any()
    assert result.alarm[0, 115:].all()


@pytest.mark.parametrize(
    ("runs", "sensors", "match"),
    [
        (np.zeros((10, 2)), ["a", "b"], "10 rows"),
        (np.zeros((0, 2)), ["a", "b"], "0 rows"),
        ([], ["a", "b"], "0 rows"),
        (np.zeros((100, 3)), ["a", "b"], "shape"),
        (np.zeros(100), ["a"], "shape"),
        (np.stack([np.arange(100.0), np.full(100, np.nan)], axis=1), ["a", "b"], "no value.* b"),
        (np.zeros((100, 2)), ["a", "a"], "names"),
        (np.zeros((100, 0)), [], "names"),
    ],
)
def test_what_cannot_be_learned_from(kind: str, runs: Floats, sensors: list[str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        refit(kind, runs, sensors)
    with pytest.raises(ValueError, match="period"):
        FITS[kind](record(100, 1), SENSORS, 0.0)


def test_saved_and_loaded_it_is_the_same(kind: str, tmp_path: Path) -> None:
    model = fitted(kind)
    path = tmp_path / "models" / "plant.model"
    id = save(model, path, {"rows": 600})
    again = load(path)
    assert again.id == id == save(model, path, {"rows": 600})
    assert again.about == {"rows": 600}
    assert again.detector.sensors == model.sensors
    a, b = run(model, faulty()), run(again.detector, faulty())
    np.testing.assert_array_equal(a.score, b.score)
    np.testing.assert_array_equal(a.contributions, b.contributions)
    assert [file.name for file in path.parent.iterdir()] == ["plant.model"]
    content = path.read_bytes()
    for broken in (b"", content[: len(content) // 2], content.replace(b"header", b"hidden")):
        with pytest.raises(ModelError, match="not a"):
            loads(broken)
