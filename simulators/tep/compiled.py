"""`stretch` compiled by numba from the same source; imported only when numba is there and worth loading."""

from math import floor, frexp, ldexp
from typing import Any

import numba

from simulators.tep import control, numerics, process, properties, stretch
from simulators.tep.numerics import bind

ORDER = (
    (numerics, ("exp", "log", "where", "maximum", "minimum", "some")),
    (
        properties,
        (
            *("five", "eight", "join", "total5", "total8", "mass8", "scale5", "scale8", "times5", "add_scaled"),
            *("subtract5", "subtract8", "liquid5", "liquid8", "vapour8", "volume5", "split", "logs", "exponentials"),
            *("newton", "temperatures"),
        ),
    ),
    (process, ("evaluate",)),
    (control, ("correction", "purge", "control")),
    (
        stretch,
        (
            *("commands", "clip", "force", "walks", "valves", "faulty_valves", "skip", "draw", "add_noise", "sensors"),
            *("euler", "record", "stretch"),
        ),
    ),
)
"""Every function after those it calls."""


def compile_stretch() -> Any:
    """The compiled `stretch`; the machine code is kept in numba's cache between processes."""
    jit = numba.njit(cache=True, error_model="numpy")
    names: dict[str, Any] = {"floor": floor, "frexp": frexp, "ldexp": ldexp}
    for module, functions in ORDER:
        for name in functions:
            names[name] = jit(bind(getattr(module, name), names))
    return names["stretch"]
