"""Corrosion that began late: readings that run away from the model are followed, slips are not."""

from datetime import date

import numpy as np
import pytest

from lab.corrosion.register import NO_WEATHER, make_inspections, make_lines, make_points
from models.corrosion import reasons
from models.corrosion.assessment import assess
from models.corrosion.tables import Assessment

AT = np.datetime64("2026-04-01")
LINE = {
    "id": "A", "nps": 6.0, "t_nom": 7.11, "t_req": 3.2, "diameter": 168.3, "insulation": 1, "coating": 1,
    "installed": date(1990, 1, 1), "t_op": 60.0, "consequence": 1.0,
}  # fmt: skip
STEADY = [(2012, 6.9), (2016, 6.8), (2020, 6.7), (2024, 6.6)]


def assessed(
    *histories: list[tuple[int, float]],
    recoated: bool = False,
    coating: int = 1,
    coated: date | None = None,
    sigma: dict[int, float] | None = None,
) -> Assessment:
    """Places of one line with readings on 1 April of their years."""
    errors = {year: {"sigma": error} for year, error in (sigma or {}).items()}
    places = [{"line": "A", "id": str(k)} for k in range(len(histories))]
    rows = [
        {"line": "A", "place": str(k), "reading": reading, "at": date(year, 4, 1), "method": 0, **errors.get(year, {})}
        for k, history in enumerate(histories)
        for year, reading in history
    ]
    index = {("A", str(k)): k for k in range(len(histories))}
    points = make_points(places, [str(k) for k in range(len(histories))], {"A": 0})
    new = np.array([recoated])
    lines = make_lines([{**LINE, "coating": coating, **({"coated_on": coated} if coated else {})}])
    return assess(lines, points, make_inspections(rows, index), NO_WEATHER, AT, recoated=new)


@pytest.mark.parametrize(
    "history",
    [
        [(2012, 6.9), (2016, 6.8), (2020, 6.0), (2022, 5.2), (2024, 4.4)],
        [(2020, 6.0), (2022, 5.2), (2024, 4.4)],
    ],
)
def test_a_place_that_loses_four_tenths_a_year_is_due_and_first(history: list[tuple[int, float]]) -> None:
    """1.2 mm above the required wall two years ago, 0.4 mm/y: a year is left, whatever the thirty years before."""
    a = assessed(history, STEADY)
    assert a.life[0, 1] == pytest.approx(1.0, abs=0.3)
    assert a.rate[0, 1] == pytest.approx(0.4, abs=0.01)
    assert a.thickness[0, 0, 0] < 3.6 < a.thickness[0, 0, 2]
    assert a.p_next[0] > 0.5
    assert a.interval_y[0] == 0.0
    assert a.risk[0] > a.risk[1]
    assert (np.diff(a.p_below[0]) >= 0).all()
    assert (np.diff(a.thickness[0], axis=0) <= 0).all()
    assert (a.depth[0, :-1] <= a.depth[0, 1:]).all()


@pytest.mark.parametrize("slip", range(4))
def test_one_slip_is_no_trend(slip: int) -> None:
    history = list(STEADY)
    history[slip] = (history[slip][0], history[slip][1] - 2.0)
    a = assessed(history)
    assert a.life[0, 0] > 10.0
    assert a.rate[0, 1] < 0.1


def test_a_single_thin_reading_is_measured_again_in_time() -> None:
    """6.7, then 5.8 mm two years later: a slip or 0.45 mm/y, of which the half-life rule leaves a year, not the cap."""
    a = assessed([(2012, 6.9), (2016, 6.8), (2022, 6.7), (2024, 5.8)], STEADY)
    assert a.half_life_y[0] < 1.0
    assert a.interval_y[0] == a.half_life_y[0]
    assert a.interval_y[1] == 10.0


def test_a_new_coating_stops_the_trend_while_it_holds() -> None:
    history = [(2012, 6.9), (2016, 6.8), (2020, 6.2), (2022, 5.8), (2024, 5.4)]
    bare, coated = assessed(history, coating=3), assessed(history, recoated=True, coating=3)
    assert coated.p_below[0, 0] == bare.p_below[0, 0]
    assert coated.life[0, 1] > bare.life[0, 1] + 3.0


RECENT = [(2014, 6.9), (2016, 6.9), (2018, 6.8), (2020, 6.0), (2022, 5.2), (2024, 4.4)]


def test_readings_that_are_followed_do_not_contradict_each_other() -> None:
    grew = reasons.bit("reading_grew")
    slip = [*STEADY[:2], (2020, 4.7), STEADY[3]]
    a = assessed(RECENT, slip, coating=2)
    assert a.rate[0, 1] == pytest.approx(0.4, abs=0.01)
    assert not a.reasons[0] & grew
    assert a.reasons[1] & grew


def test_a_coating_put_on_after_the_newest_reading_stops_the_trend() -> None:
    """It stands in the register: the wall is that of the reading, less the months before the coating."""
    bare, coated = assessed(RECENT, coating=2), assessed(RECENT, coating=2, coated=date(2024, 10, 1))
    assert bare.thickness[0, 0, 1] == pytest.approx(3.6, abs=0.05)
    assert coated.thickness[0, 0, 1] == pytest.approx(4.2, abs=0.05)
    assert coated.p_below[0, 5] < 0.3 < bare.p_below[0, 5]
    assert (np.diff(coated.p_below[0]) >= 0).all()
    assert (np.diff(coated.thickness[0], axis=0) <= 0).all()


def test_a_new_coating_may_fail_early() -> None:
    """A life of 6 years (Weibull 2.5) has ended within 3 in one of six cases; the trend then goes on."""
    a = assessed(RECENT, coating=2, recoated=True)
    assert a.p_below[0, 0] + 0.01 < a.p_below[0, 5] < a.p_below[0, 8]


def test_a_steady_past_does_not_hide_what_began_lately() -> None:
    past = [(2000, 6.95), (2008, 6.9), (2012, 6.9)]
    fall = [(2016, 6.8), (2020, 6.0), (2022, 5.2), (2024, 4.4)]
    a = assessed(past + fall, coating=2)
    assert a.rate[0, 1] == pytest.approx(0.4, abs=0.01)
    assert a.life[0, 1] < 2.0
    for slip in range(4):
        steady = [(year, 6.9 - 0.02 * k - (2.0 if k == slip else 0.0)) for k, (year, _) in enumerate(fall)]
        assert assessed(past + steady, coating=2).life[0, 0] > 10.0


def test_both_readings_bring_their_own_errors() -> None:
    """A rough older reading makes the rate unsure though the newest is a fine one."""
    fine = assessed(RECENT, sigma={year: 0.05 for year, _ in RECENT})
    rough = assessed(RECENT, sigma={**{year: 0.05 for year, _ in RECENT}, 2022: 0.5})
    assert fine.rate[0, 1] == pytest.approx(0.4, abs=0.01) == rough.rate[0, 1]
    assert rough.thickness[0, 0, 0] < fine.thickness[0, 0, 0] - 0.1


def test_late_onset_is_told_as_often_as_it_comes() -> None:
    """Places whose loss began 24 to 32 years after the pipe: what is said of those that are followed comes true."""
    rng = np.random.default_rng(3)
    n, years = 200, np.array([20.0, 23, 26, 29, 32, 35])
    rate, onset = rng.uniform(0.2, 0.5, n), rng.uniform(24, 32, n)
    ends = np.concatenate([years, [36.25, 41.25]])
    steps = np.diff(np.concatenate([np.zeros((n, 1)), np.maximum(ends - onset[:, None], 0.0)], axis=1), axis=1)
    wall = 7.0 - np.cumsum(rng.gamma(np.maximum(4 / 3 * steps, 1e-9), 0.75 * rate[:, None]), axis=1)
    seen = wall[:, :6] + rng.normal(0, 0.15, (n, 6))
    histories = [
        [(1990 + int(year), float(reading)) for year, reading in zip(years, row, strict=True) if reading > 0.5]
        for row in seen
    ]
    a = assessed(*histories)
    followed = a.rate[:, 1] > 0.15
    assert followed.sum() > 0.3 * n
    inside = (wall[:, 6] >= a.thickness[:, 0, 0]) & (wall[:, 6] <= a.thickness[:, 0, 2])
    assert inside[followed].mean() > 0.75
    assert a.p_below[followed, 7].mean() == pytest.approx((wall[followed, 7] < 3.2).mean(), abs=0.2)
