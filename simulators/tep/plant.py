"""Plants in time: start them, advance them step by step, look at their cost and how near a trip is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from simulators.tep import properties
from simulators.tep.constants import (
    CHANNEL_BASE,
    CONTINUOUS,
    LBMOL_KMOL,
    LOSS_COST,
    MEASUREMENTS,
    START_TEMPERATURES,
    STATES,
    STEAM_COST,
    VALVE_TIME_S,
    VALVES,
    WORK_COST,
)
from simulators.tep.drive import Path, drive
from simulators.tep.numerics import bind
from simulators.tep.process import KSCMH, evaluate
from simulators.tep.state import Floats, Generator, Inputs, Integers, State, initial
from simulators.tep.variables import TRIP_LIMITS, VARIABLES

_TAGS: Final = [variable.tag for variable in VARIABLES]


def derivatives(y: Floats, xmv: Floats, idv: Floats, walk: Floats) -> tuple[Floats, Floats]:
    """Right-hand side of the model and its measurements without noise, for `n` independent states.

    Args:
        y: (n, 50) states of the model, section 4 of Downs & Vogel's code, in model units.
        xmv: (n, 12) valve commands in %, clipped to 0..100 here; the valves follow them without sticking.
        idv: (n, 20) flags of IDV 1..20, 0 or 1.
        walk: (n, 12) values of the disturbance channels.

    Returns:
        (n, 50) derivatives per hour, all zero where a trip is active, and (n, 41) measurements, the analysers showing
        the true composition of this moment. A row that is no state of a plant (NaN, an empty vessel) gives NaN.

    Raises:
        ValueError: a shape is not as above.
    """
    n = len(y)
    for name, array, width in (("y", y, STATES), ("xmv", xmv, VALVES), ("idv", idv, 20), ("walk", walk, 12)):
        if np.shape(array) != (n, width):
            raise ValueError(f"{name} has shape {np.shape(array)}: want ({n}, {width})")
    channels = np.tile(np.array(CHANNEL_BASE), (n, 1))
    channels[:, :12] = walk
    if n == 0:
        return np.empty((0, STATES)), np.empty((0, MEASUREMENTS))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        dy, x, running = _evaluate(np.asarray(y, float), np.asarray(idv, float), channels)
    dy[:, 38:] = (np.clip(xmv, 0.0, 100.0) - np.asarray(y)[:, 38:]) / (np.array(VALVE_TIME_S) / 3600.0)
    moves = running | np.isnan(x).any(axis=1)  # no comparison holds for NaN, which is not a trip
    return np.where(moves[:, None], dy, 0.0), x


def _evaluate(y: Floats, idv: Floats, channels: Floats) -> tuple[Floats, Floats, Any]:
    """(n, 50) derivatives but the valves', (n, 41) measurements, (n,) within trip limits; channels (n, 20)."""
    n = len(y)
    columns = np.resize(np.arange(n), max(n, 2))  # NumPy adds a single column in another order
    dy, x, true = (np.zeros((k, len(columns))) for k in (STATES, MEASUREMENTS, 19))
    guess = np.repeat(np.array(START_TEMPERATURES)[:, None], len(columns), axis=1)
    running = bind(evaluate, properties.rows(len(columns)))(
        y[columns].T.copy(), idv[columns, :7].T.copy(), channels[columns].T.copy(), guess, dy, x, true, True
    )
    x[CONTINUOUS:] = true
    return dy.T[:n].copy(), x.T[:n].copy(), running[:n]


def start(seeds: Sequence[int], generator: Generator = "numpy") -> State:
    """Plants at the base case, one per seed, evaluated once at their time zero (without noise).

    For the reference generator a seed is the start value of its G, from 1; for numpy it is any number from 0.

    Raises:
        ValueError: no seed, one the generator cannot start from, or an unknown generator.
    """
    state = initial(seeds, generator)
    _, x, _ = _evaluate(state.y, np.zeros((state.plants, 20)), state.walk)
    analysers = x[:, CONTINUOUS:].copy()
    return replace(state, xmeas=x, analysers=analysers, samples=analysers.copy())


def advance(state: State, inputs: Inputs, steps: int, noise: bool = True, path: Path = "auto") -> State:
    """The plants `steps` seconds later, under constant inputs.

    Advancing by 60 and by 60 times 1 gives the same, as do a plant alone and in a batch, and every `path`.

    Args:
        state: (n) plants; not changed.
        inputs: for `n` plants.
        steps: Euler steps of 1 s, at least 0.
        noise: add measurement noise (its random numbers are drawn from the reference generator either way).
        path: how to compute it; see `drive.Path`.

    Raises:
        ValueError: the inputs are for another number of plants, or steps is negative.
        ImportError: path is "compiled" and numba is not installed.
    """
    after, _ = advance_recording(state, inputs, steps, noise, 0, path)
    return after


def advance_recording(
    state: State, inputs: Inputs, steps: int, noise: bool, every: int, path: Path = "auto"
) -> tuple[State, Floats]:
    """As `advance`, with a record at every step whose number is a multiple of `every` (0: none).

    Returns:
        The state after, and records (n, rows, 52): XMEAS 1..41 of the evaluation before the step, XMV 1..11 as the
        controllers set them in it.
    """
    for name in inputs.__slots__:
        if len(getattr(inputs, name)) != state.plants:
            raise ValueError(f"inputs.{name} is for {len(getattr(inputs, name))} plants, the state has {state.plants}")
    if steps < 0 or every < 0:
        raise ValueError(f"steps {steps}, every {every}: want no negative numbers")
    if steps == 0:
        return state, np.empty((state.plants, 0, 52))
    after, records, lived = drive(state, inputs, steps, noise, every, path)
    stopped = (lived < steps) & (state.trip == 0)
    if stopped.any():
        margins = np.array([margin.margin for margin in trip_margins(after)])
        codes = np.array([code for code, _, _ in TRIP_LIMITS])[margins.argmin(axis=0)]
        after = replace(
            after,
            trip=np.where(stopped, codes, state.trip),
            trip_steps=np.where(stopped, state.steps + lived + 1, state.trip_steps),
        )
    return after, records


def cost(state: State) -> Floats:
    """(n,) operating cost, $/h: purge and product losses, compressor work and steam (about 170 at the base case)."""
    _, x, _ = _evaluate(state.y, np.zeros((state.plants, 20)), state.walk)
    prices = np.array(LOSS_COST)
    purge = x[:, 9] / KSCMH * LBMOL_KMOL * (x[:, 28:36] / 100.0 @ prices)
    product = state.y[:, 45] * 10.0 * LBMOL_KMOL * (x[:, 36:39] / 100.0 @ prices[3:6])
    total: Floats = purge + product + WORK_COST * x[:, 19] + STEAM_COST * x[:, 18]
    return total


@dataclass(frozen=True, slots=True)
class Margin:
    """How near `n` plants are to one trip."""

    code: int
    """Position in `TRIPS`."""
    tag: str
    """The measurement that shows it."""
    side: str
    """high or low."""
    limit: float
    """In the unit of the measurement."""
    value: Floats
    """(n,) the true value, without noise and sensor faults."""
    margin: Floats
    """(n,) what is left of the base case's distance to the limit: 1 at the base case or better, 0 at the trip."""


def trip_margins(state: State) -> tuple[Margin, ...]:
    """The distance to each of the eight trips, in the order of `TRIP_LIMITS`."""
    _, x, _ = _evaluate(state.y, np.zeros((state.plants, 20)), state.walk)
    margins = []
    for code, tag, side in TRIP_LIMITS:
        variable = VARIABLES[_TAGS.index(tag)]
        limit = variable.hi_trip if side == "high" else variable.lo_trip
        assert limit is not None
        value = x[:, _TAGS.index(tag)]
        left = (limit - value) / (limit - variable.base)
        margins.append(Margin(code, tag, side, limit, value, np.clip(left, 0.0, 1.0)))
    return tuple(margins)


def trip_hours(state: State) -> Floats:
    """(n,) time of the evaluation that found the trip, h; NaN while running."""
    steps: Integers = state.trip_steps
    return np.where(steps < 0, np.nan, (steps - 1) / 3600.0)
