"""`stretch` compiled by numba from the same source; imported only when numba is there and worth loading."""

from hashlib import blake2b
from math import floor, frexp, ldexp
from pathlib import Path
from typing import Any

import numba

from simulators.tep import constants, control, disturbances, numerics, process, properties, stretch, variables
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


def _digest() -> str:
    """Of all sources: numba's cache looks at one file at a time, but machine code holds what a function calls, too."""
    modules = (*(module for module, _ in ORDER), constants, disturbances, variables)
    return blake2b(b"".join(Path(str(module.__file__)).read_bytes() for module in modules), digest_size=8).hexdigest()


def compile_stretch() -> Any:
    """The compiled `stretch`; the machine code is kept in numba's cache between processes, where it can write one."""
    try:
        return _compile(cache=True)
    except RuntimeError:  # numba finds no folder for its cache
        return _compile(cache=False)


def _compile(cache: bool) -> Any:
    jit = numba.njit(cache=cache, error_model="numpy")
    names: dict[str, Any] = {"floor": floor, "frexp": frexp, "ldexp": ldexp}
    digest = _digest()
    for module, functions in ORDER:
        for name in functions:
            function = bind(getattr(module, name), names)
            function.__qualname__ = f"{name}_{digest}"
            names[name] = jit(function)
    return names["stretch"]
