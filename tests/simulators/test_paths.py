"""However steps are computed, alone or in a batch, at once or in pieces: the same bits."""

from functools import cache

import numpy as np
import pytest

from simulators import tep
from simulators.tep import drive
from simulators.tep.plant import advance_recording
from tests.simulators.helpers import PATHS, assert_same, take


def busy(n: int) -> tep.Inputs:
    """A different trouble for every plant."""
    inputs = tep.Inputs.none(n)
    troubles = [
        lambda p: None,
        lambda p: [inputs.set_fault(p, idv) for idv in (1, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)],
        lambda p: [inputs.set_fault(p, idv) for idv in (2, 3, 4, 5, 6, 7, 21)],
        lambda p: [inputs.set_extra(p, number) for number in range(21, 29)],
        lambda p: [
            inputs.set_sensor_fault(p, tag, kind, size)
            for tag, kind, size in (
                ("xmeas_9", "bias", 2.0), ("xmeas_7", "drift", 60.0), ("xmeas_12", "freeze", 0.0),
                ("xmeas_1", "spike", 0.1), ("xmeas_23", "noise", 3.0), ("xmeas_10", "dropout", 0.0),
            )
        ],
        lambda p: [
            inputs.set_actuator_fault(p, xmv, kind, size)
            for xmv, kind, size in ((1, "stuck", 0.0), (4, "slow", 30.0), (6, "bias", -5.0), (10, "lossofeffect", 0.3))
        ],
        lambda p: [
            inputs.set_setpoint(p, 9, 250.0), inputs.set_setpoint(p, 7, 60.0), inputs.set_manual(p, 3),
            inputs.set_valve(p, 3, 30.0), inputs.set_valve(p, 12, 40.0), inputs.set_manual(p, 17),
        ],
    ]  # fmt: skip
    for plant in range(n):
        troubles[plant % len(troubles)](plant)
    return inputs


def pick(inputs: tep.Inputs, plant: int) -> tep.Inputs:
    return tep.Inputs(**{name: getattr(inputs, name)[plant : plant + 1] for name in inputs.__slots__})


@pytest.mark.parametrize("generator", ["numpy", "reference"])
def test_a_plant_is_the_same_alone_and_in_a_batch_on_every_path(generator: tep.Generator) -> None:
    n, steps = 7, 370  # past the first samplings and segments
    inputs = busy(n)
    together = tep.advance(tep.start(range(1, n + 1), generator), inputs, steps, path="batch")
    assert len(np.unique(together.xmeas[:, 0])) == n
    for plant in range(n):
        for path in PATHS:
            if path == "batch" and plant != 1:
                continue  # alone in a batch: once is enough
            alone = tep.advance(tep.start([plant + 1], generator), pick(inputs, plant), steps, path=path)
            assert_same(alone, take(together, plant))


@pytest.mark.parametrize("path", PATHS)
def test_pieces_give_the_same_as_one_call(path: tep.Path) -> None:
    inputs = busy(4)
    inputs.idv[:] |= busy(4).idv[1]
    whole, records = advance_recording(tep.start([1, 2, 3, 4], "numpy"), inputs, 390, True, 180, path)
    state, pieces = tep.start([1, 2, 3, 4], "numpy"), []
    for steps in (1, 2, 176, 1, 1, 179, 30):
        state, found = advance_recording(state, inputs, steps, True, 180, path)
        pieces.append(found)
    assert_same(state, whole)
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), records)
    assert records.shape == (4, 2, 52)


@pytest.mark.parametrize("path", PATHS)
def test_a_trip_in_a_batch_stops_only_that_plant(path: tep.Path) -> None:
    state = tep.start([1, 2, 3])
    inputs = tep.Inputs.none(3)
    inputs.manual[:] = True
    inputs.set_fault(1, 6)  # trips an uncontrolled plant after 0.44 h
    after = tep.advance(state, inputs, 1620, path=path)
    assert after.trip.tolist() == [0, 1, 0]
    assert 0.40 < tep.trip_hours(after)[1] < 0.48
    later = tep.advance(after, inputs, 370, path=path)
    np.testing.assert_array_equal(later.y[1], after.y[1])
    np.testing.assert_array_equal(later.xmeas[1, :22], after.xmeas[1, :22])
    assert (later.xmeas[1, 22:] != after.xmeas[1, 22:]).all()  # analysers go on, with their noise
    assert (later.y[[0, 2]] != after.y[[0, 2]]).any(axis=1).all()
    assert later.trip_steps[1] == after.trip_steps[1]
    assert_same(take(later, 1), tep.advance(take(after, 1), pick(inputs, 1), 370, path="plain"))


def test_a_state_is_not_changed_by_advancing_it() -> None:
    state = tep.start([5, 6])
    kept = {name: np.copy(getattr(state, name)) for name in state.__slots__}
    for path in PATHS:
        tep.advance(state, busy(2), 30, path=path)
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(state, name), value, err_msg=name)


def test_a_large_batch_is_cut_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tep.advance(tep.start(range(10)), busy(10), 100, path="batch")
    monkeypatch.setattr("simulators.tep.drive.CHUNK", 3)
    assert_same(tep.advance(tep.start(range(10)), busy(10), 100, path="batch"), whole)


def test_inputs_for_another_number_of_plants_are_refused() -> None:
    with pytest.raises(ValueError, match="is for 2 plants, the state has 1"):
        tep.advance(tep.start([1]), tep.Inputs.none(2), 1)


def test_the_fastest_path_fits_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "_can_compile", lambda: False)
    monkeypatch.setattr(drive, "_compiled", cache(lambda: None))
    assert drive._fastest(1, 60, False) == "plain"
    assert drive._fastest(1000, 60, False) == "batch"
    assert drive._fastest(20, 172_800, False) == "batch"
    monkeypatch.setattr(drive, "_can_compile", lambda: True)
    assert drive._fastest(1, 60, False) == "plain"  # not worth loading numba for
    assert drive._fastest(1, 172_800, True) == "compiled"
    assert drive._fastest(20, 172_800, False) == "compiled"


@pytest.mark.skipif("compiled" not in PATHS, reason="numba is not installed")
def test_numba_works_where_it_cannot_keep_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from simulators.tep import compiled

    def compile_(cache: bool) -> str:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return "compiled"

    monkeypatch.setattr(compiled, "_compile", compile_)
    assert compiled.compile_stretch() == "compiled"
