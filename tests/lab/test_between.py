"""Spikes in the rows between those that count."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from devices.frame import Asset, Channel
from devices.quality import CODES
from lab.between import BEFORE, KEPT, MOST, Between
from lab.groups import Group
from models.detector import dumps, loads, save
from tests.lab.scoring_rig import Rig, check_replay, only, seconds
from tests.models.plants import SENSORS, fitted, record

ALL = np.ones(len(SENSORS), dtype=np.bool_)
EVERY = 4
"""Rows of which one counts."""


def group() -> Group:
    return Group(loads(dumps(fitted("precursor"))))


def taken(
    rows: NDArray[np.float64], cuts: Sequence[int] = (), measured: NDArray[np.bool_] = ALL
) -> dict[int, list[int]]:
    """What is told by rows of which every fourth counts, in blocks, each taken up from what was dumped."""
    of, between, found = group(), Between(rows.shape[1]), {}
    counted = np.arange(len(rows)) % EVERY == 0
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(rows)], strict=True):
        part = between.take(of, rows[first:last], counted[first:last], measured)
        found |= {first + row: sensors for row, sensors in part.items()}
        assert len(between.rows) <= KEPT
        between = Between.restore(between.dump(), between.rows.tobytes(), rows.shape[1])
    return found


def spiking(*at: tuple[int, int], rows: int = 200, size: float = 60.0) -> NDArray[np.float64]:
    """Normal rows with spikes at a row and in a sensor each."""
    x = record(rows, 3)
    for row, sensor in at:
        x[row, sensor] += size
    return x


def test_a_spike_is_told_before_the_next_row_that_counts() -> None:
    assert taken(spiking((41, 1), (43, 2), (102, 3), (103, 1))) == {44: [1, 2], 104: [3, 1]}
    assert taken(record(200, 3)) == {}


def test_a_row_that_counts_is_seen_beside_others_that_do() -> None:
    assert taken(spiking((40, 1))) == {}


def test_what_cannot_fail_and_the_first_rows_tell_nothing() -> None:
    assert taken(spiking((41, 1), (43, 2)), measured=np.arange(len(SENSORS)) != 1) == {44: [2]}
    assert taken(spiking((5, 1), (7, 1))) == {}


def test_a_value_that_swings_or_stays_is_no_spike() -> None:
    x = record(200, 3)
    x[100:, 1] += 60.0 * (np.arange(100) % 2)
    assert set(taken(x)) <= {104}, "only the first could be one"
    x = record(200, 3)
    x[101:, 1] += 60.0
    assert taken(x) == {}


def test_rows_without_a_value_hide_no_spike_for_ever() -> None:
    x = spiking((41, 1), (101, 1))
    x[30:40, 1] = np.nan
    assert taken(x) == {104: [1]}, "too little is known before the first"


@pytest.mark.parametrize("seed", range(20))
def test_cut_anywhere_they_tell_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = [(int(row), int(rng.integers(len(SENSORS)))) for row in rng.choice(np.arange(BEFORE, 190), 12, replace=False)]
    x = spiking(*at, size=float(rng.choice([15.0, 40.0, 200.0])))
    x[rng.random(x.shape) < 0.02] = np.nan
    cuts = rng.integers(0, len(x), rng.integers(1, 40)).tolist()
    assert taken(x, cuts) == taken(x) == taken(x, range(1, len(x)))


def test_no_more_is_kept_than_is_looked_at_however_large_the_block() -> None:
    between = Between(len(SENSORS))
    between.take(group(), record(200, 3), np.arange(200) % EVERY == 0, ALL)
    assert between.rows.base is None


@pytest.mark.parametrize("rows", [1, 7, 10_000])
def test_where_a_clock_stands_still_spikes_do_not_pile_up(rows: int) -> None:
    of, between = group(), Between(len(SENSORS))
    x = np.tile(record(1, 3), (4000, 1)) + np.random.default_rng(1).normal(size=(4000, len(SENSORS)))
    x[20::16, 1] += 60.0
    counted = np.arange(len(x)) == len(x) - 1
    found: dict[int, list[int]] = {}
    for first in range(0, len(x), rows):
        some = slice(first, first + rows)
        found |= {first + row: told for row, told in between.take(of, x[some], counted[some], ALL).items()}
        assert len(between.waiting) <= MOST
    assert found == {3999: [1] * MOST}


CHANNELS = [
    *(Channel(tag, controlled=tag == "level") for tag in SENSORS),
    Channel("plant_s", "s", role="status"),
]


def plant(tmp_path: Path, channels: Sequence[Channel] = CHANNELS) -> Rig:
    save(fitted("precursor"), tmp_path / "models" / "plant.model")
    rig = Rig(tmp_path)
    rig.declare(Asset("pump-1", "plant", clock="plant_s", period_s=0.25), list(channels))
    return rig


def moved_by_its_loop(spikes: bool = True) -> NDArray[np.float64]:
    """Rows of which one in four counts: a sensor with a controller spikes between them, and then others move."""
    x = record(200, 5)
    x[98:, SENSORS.index("flow")] -= 15.0
    x[98:, SENSORS.index("current")] += 15.0
    at = np.arange(800) / EVERY
    x = np.column_stack([np.interp(at, np.arange(200), column) for column in x.T])
    if spikes:
        x[np.array([302, 330, 361, 387]), SENSORS.index("level")] += 80.0
    return np.column_stack([x, np.arange(800) * 0.25])


def test_what_a_loop_makes_of_them_is_put_down_to_their_sensor(tmp_path: Path) -> None:
    rig = plant(tmp_path)
    rig.feed("pump-1", seconds(800), moved_by_its_loop())
    episode = only(rig)
    assert (episode.kind, episode.failed) == ("instrument", ("level", "spiking"))
    assert episode.upset == ["flow"]
    check_replay(rig, "pump-1")
    rig.crash()
    rig = plant(tmp_path / "without")
    rig.feed("pump-1", seconds(800), moved_by_its_loop(spikes=False))
    assert only(rig).kind == "process"
    rig.crash()


def test_spikes_beyond_the_measuring_range_are_seen_as_in_rows_that_count(tmp_path: Path) -> None:
    ranged = [Channel("level", lo=0.0, hi=130.0, controlled=True) if c.tag == "level" else c for c in CHANNELS]
    rows = moved_by_its_loop()
    beyond = rows[:, SENSORS.index("level")] > 130.0
    assert beyond.sum() == 4
    codes = np.zeros(rows.shape, dtype=np.uint8)
    codes[beyond, SENSORS.index("level")] = CODES["bad:range"]
    rig = plant(tmp_path, ranged)
    rig.feed("pump-1", seconds(800), rows, codes)
    episode = only(rig)
    assert (episode.kind, episode.failed) == ("instrument", ("level", "spiking"))
    check_replay(rig, "pump-1")
    rig.crash()


def test_rows_that_all_counted_say_nothing_of_later_ones_in_any_block(tmp_path: Path) -> None:
    clock = np.concatenate([np.arange(60), 59.0 + np.arange(1, 41) / EVERY])
    x = record(100, 5)
    rows = np.column_stack([*(np.interp(clock, np.arange(100), column) for column in x.T), clock])
    rows[[64, 86], SENSORS.index("level")] += 80.0
    told = []
    for at, size in enumerate((100, 1, 61)):
        rig = plant(tmp_path / str(at))
        for first in range(0, 100, size):
            rig.feed("pump-1", seconds(100)[first : first + size], rows[first : first + size])
        member = rig.runtime.scorer.members[0]
        assert member.between is not None
        assert member.spikes is not None
        told.append((member.between.dump(), member.spikes.dump()["counted"]))
        rig.crash()
    assert told[0] == told[1] == told[2]
    assert told[0][1] == [(66, SENSORS.index("level"))], "too little is known before the first"


def test_a_snapshot_holds_the_rows_once(tmp_path: Path) -> None:
    rig = plant(tmp_path)
    rig.feed("pump-1", seconds(800), moved_by_its_loop(spikes=False))
    ((head, content),) = rig.runtime.scorer.dump([0])
    state = sum(np.dtype(kind).itemsize * int(np.prod(shape)) for _, kind, shape in head["arrays"])
    assert len(content) == state + KEPT * len(SENSORS) * 8
    assert len(json.dumps(head["between"])) < 200
    rig.crash()


@pytest.mark.parametrize("way", ["stop", "crash"])
def test_a_restart_between_rows_that_count_changes_nothing(tmp_path: Path, way: str) -> None:
    rows = moved_by_its_loop()
    whole = plant(tmp_path / "whole")
    whole.feed("pump-1", seconds(800), rows)
    rig, first = plant(tmp_path / "cut"), 0
    for cut in (303, 331, 363, 398, 500, 800):
        rig.feed("pump-1", seconds(cut - first, first), rows[first:cut])
        first = cut
        rig.commit()
        if cut < 800:
            rig.stop() if way == "stop" else rig.crash()
            rig.open()
    assert only(rig) == only(whole)
    assert rig.scores_of("pump-1") == whole.scores_of("pump-1")
    check_replay(rig, "pump-1")
    rig.crash()
    whole.crash()
