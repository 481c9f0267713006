"""What the simulator's tests share."""

from dataclasses import fields
from importlib.util import find_spec

import numpy as np

from simulators import tep

PATHS: tuple[tep.Path, ...] = ("plain", "batch", "compiled") if find_spec("numba") else ("plain", "batch")


def take(state: tep.State, plant: int) -> tep.State:
    """One plant of a batch."""
    values = {field.name: getattr(state, field.name) for field in fields(state)}
    values = {name: v[plant : plant + 1] if isinstance(v, np.ndarray) else v for name, v in values.items()}
    return tep.State(**{**values, "seeds": state.seeds[plant : plant + 1]})


def assert_same(a: tep.State, b: tep.State) -> None:
    """Two states agree in every bit."""
    for field in fields(a):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        else:
            assert one == other, field.name
