"""The right-hand side against the reference table, on rows and on floats, and the arithmetic both stand on."""

from math import fmod
from pathlib import Path

import numpy as np
import pytest

from simulators import tep
from simulators.tep import numerics, process
from simulators.tep.constants import BASE_STATE, CHANNEL_BASE, CONTINUOUS, MEASURED_BASE, START_TEMPERATURES
from simulators.tep.disturbances import following
from simulators.tep.stretch import row_following


@pytest.fixture(scope="module")
def table(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "data" / "tep" / "derivative_reference.npz") as file:
        return dict(file)


def scale(table: dict[str, np.ndarray]) -> np.ndarray:
    kinds = table["kind"].astype(str)
    near = np.array([kind == "base" or kind.startswith("rand") for kind in kinds])
    return table["dydt"][near].std(axis=0)


def test_derivatives_and_measurements_match_the_reference(table: dict[str, np.ndarray]) -> None:
    dydt, xmeas = tep.derivatives(table["y"], table["xmv"], table["idv"], table["walk"])
    error = np.abs(dydt - table["dydt"]) / (np.abs(table["dydt"]) + scale(table))
    assert error.max() < 1e-11
    relative = np.abs(xmeas - table["xmeas"]) / np.maximum(np.abs(table["xmeas"]), 1e-300)
    assert relative.max() < 1e-8


def test_floats_give_the_bits_of_rows(table: dict[str, np.ndarray]) -> None:
    dydt, xmeas = tep.derivatives(table["y"], table["xmv"], table["idv"], table["walk"])
    for row in range(len(dydt)):
        dy, x, true = [0.0] * 50, [0.0] * 41, [0.0] * 19
        walk = [*table["walk"][row].tolist(), *CHANNEL_BASE[12:]]
        idv = table["idv"][row].astype(float).tolist()
        assert process.evaluate(table["y"][row].tolist(), idv, walk, list(START_TEMPERATURES), dy, x, true, True)
        assert dy[:38] == dydt[row, :38].tolist()
        assert [*x[:22], *true] == xmeas[row].tolist()


def test_a_row_does_not_depend_on_the_others(table: dict[str, np.ndarray]) -> None:
    inputs = [table[name] for name in ("y", "xmv", "idv", "walk")]
    together = tep.derivatives(*inputs)
    for size in (1, 2, 7):
        alone = tep.derivatives(*(array[5 : 5 + size] for array in inputs))
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, all_[5 : 5 + size])


def test_the_base_case_is_steady_and_measures_as_published() -> None:
    y = np.array([BASE_STATE])
    dydt, xmeas = tep.derivatives(y, y[:, 38:], np.zeros((1, 20)), np.array([CHANNEL_BASE[:12]]))
    assert 9e-4 < np.abs(dydt).max() < 9.4e-4
    np.testing.assert_allclose(tep.round_records(xmeas[0]), MEASURED_BASE, rtol=6e-5)


def test_a_trip_stops_everything() -> None:
    y = np.array([BASE_STATE, BASE_STATE])
    y[1, 8] *= 1.6  # a hot reactor
    dydt, xmeas = tep.derivatives(y, y[:, 38:] + 1.0, np.zeros((2, 20)), np.array([CHANNEL_BASE[:12]] * 2))
    assert xmeas[1, 8] > 175.0
    assert (dydt[0, 38:] > 0).all()
    assert not dydt[1].any()


def test_a_row_that_is_no_plant_gives_nan_and_spares_the_others() -> None:
    y = np.array([BASE_STATE] * 3)
    y[1, 4] = np.nan
    y[2] = 0.0
    rest = (y[:, 38:] + 1.0, np.zeros((3, 20)), np.array([CHANNEL_BASE[:12]] * 3))
    dydt, xmeas = tep.derivatives(y, *rest)
    alone = tep.derivatives(y[:1], *(part[:1] for part in rest))
    assert np.array_equal(dydt[:1], alone[0])
    assert np.array_equal(xmeas[:1], alone[1])
    assert np.isnan(dydt[1:]).any(axis=1).all()
    assert np.isnan(xmeas[1:]).any(axis=1).all()


def test_no_rows_give_no_rows() -> None:
    dydt, xmeas = tep.derivatives(*(np.empty((0, k)) for k in (50, 12, 20, 12)))
    assert dydt.shape == (0, 50)
    assert xmeas.shape == (0, 41)


def test_wrong_shapes_are_named() -> None:
    y = np.array([BASE_STATE])
    with pytest.raises(ValueError, match=r"idv has shape \(1, 12\): want \(1, 20\)"):
        tep.derivatives(y, y[:, 38:], np.zeros((1, 12)), np.array([CHANNEL_BASE[:12]]))


def test_exp_and_log_are_accurate_and_the_same_for_rows() -> None:
    x = np.random.default_rng(0).uniform(-60.0, 40.0, 20_000)
    found = np.array([numerics.exp(value) for value in x])
    np.testing.assert_allclose(found, np.exp(x), rtol=4e-16)
    np.testing.assert_array_equal(numerics.ROW["exp"](x.reshape(10, -1)).ravel(), found)
    y = np.exp(x)
    logs = np.array([numerics.log(value) for value in y])
    assert (np.abs(logs - np.log(y)) / (1.0 + np.abs(np.log(y)))).max() < 4e-16
    np.testing.assert_array_equal(numerics.ROW["log"](y), logs)


def test_the_reference_generator_is_the_floating_modulus_also_for_rows() -> None:
    g, exact = 1431655765.0, 1431655765
    row, scratch = np.full(3, g), np.empty(3)
    parted = False
    for _ in range(20_000):
        g, exact = following(g), exact * 9228907 % 2**32
        row_following(row, scratch)
        assert (row == g).all()
        assert g == fmod(g, 2.0**32)
        parted |= exact != g
    assert parted  # the product was rounded somewhere, so integers would give another sequence
    assert following(4294967295.0) == fmod(4294967295.0 * 9228907.0, 4294967296.0)


def test_continuous_measurements_come_first() -> None:
    assert [v.tag for v in tep.VARIABLES[: CONTINUOUS + 1]][-1] == "xmeas_23"
    assert len(tep.VARIABLES) == 53
    assert tep.COLUMNS[-1] == "xmv_11"
    for variable in tep.VARIABLES:
        assert variable.lo < variable.base < variable.hi
        limits = [variable.lo_trip, variable.lo_alarm, variable.base, variable.hi_alarm, variable.hi_trip]
        present = [limit for limit in limits if limit is not None]
        assert present == sorted(present)
