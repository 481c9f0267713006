"""Steps of one second between two events: controllers, valves, plant, noise. One source for floats and rows of plants.

The few functions that touch many numbers alike are written a second time for rows, in `rows`.
"""

from typing import Any, NamedTuple

import numpy as np

from simulators.tep import control as controllers
from simulators.tep import process, properties
from simulators.tep.constants import CONTINUOUS, NOISE, STEP_H, VALVE_TIME_S
from simulators.tep.control import control
from simulators.tep.disturbances import MODULUS, MULTIPLIER
from simulators.tep.numerics import Value, bind, maximum, minimum, where
from simulators.tep.process import evaluate

VALVE_TIME_H = tuple(seconds / 3600.0 for seconds in VALVE_TIME_S)
SIGMA = NOISE[:CONTINUOUS]


class Work(NamedTuple):
    """What steps change or read, each indexed by its number first: lists of floats, or arrays (number, plants)."""

    y: Any
    dy: Any
    guess: Any
    x: Any
    """41 measurements, as measured."""
    true: Any
    """19 true compositions."""
    display: Any
    """19 analyser values without sensor faults."""
    xmv: Any
    command: Any
    stick: Any
    """12 times 1 where the valve sticks, else 0."""
    walk: Any
    segment: Any
    """6 times 20."""
    idv: Any
    """Flags of IDV 1..7."""
    sp: Any
    err: Any
    override: Any
    auto: Any
    """19 times 1, or 0 where the loop may not move its output."""
    forced: Any
    """12 outputs, NaN where the controller has it."""
    gain: Any
    offset: Any
    slope: Any
    onset: Any
    """41 each: a faulty sensor shows gain x + offset + slope (t - onset)."""
    valve_gain: Any
    valve_bias: Any
    valve_rate: Any
    """12 each: a faulty valve goes to gain command + bias at a rate."""
    g: Any
    """State of the reference generator."""
    z: Any
    """22 numbers for noise."""
    lived: Any
    """How many steps the plant was within its trip limits."""
    snapshot: Any
    """41 measurements and 12 outputs at the last record."""


def commands(command: Value, xmv: Value, stick: Value, start: bool) -> None:
    """What the valves accept: any command, or one more than 2 % away if it sticks; all of it at the start."""
    for k in range(12):
        wanted = xmv[k]
        if start or abs(command[k] - wanted) > 2.0 * stick[k]:
            command[k] = 0.0 if wanted < 0.0 else 100.0 if wanted > 100.0 else wanted


def clip(xmv: Value) -> None:
    """Keep controller outputs 1..11 within 0..100."""
    for k in range(11):
        if xmv[k] < 0.0:
            xmv[k] = 0.0
        elif xmv[k] > 100.0:
            xmv[k] = 100.0


def force(xmv: Value, forced: Value) -> None:
    """Outputs that no controller moves."""
    for k in range(12):
        xmv[k] = where(forced[k] == forced[k], forced[k], xmv[k])


def walks(walk: Value, segment: Value, moving: Any, t: float) -> None:
    """Values of the channels in `moving` at `t` hours."""
    start, value, slope, quadratic, cubic = segment[0], segment[2], segment[3], segment[4], segment[5]
    for k in moving:
        h = t - start[k]
        walk[k] = value[k] + h * (slope[k] + h * (quadratic[k] + h * cubic[k]))


def valves(dy: Value, y: Value, command: Value) -> None:
    """Derivatives 39..50."""
    for k in range(12):
        dy[38 + k] = (command[k] - y[38 + k]) / VALVE_TIME_H[k]


def faulty_valves(dy: Value, y: Value, command: Value, gain: Value, bias: Value, rate: Value) -> None:
    """Derivatives 39..50 when a valve has an actuator fault."""
    for k in range(12):
        target = minimum(maximum(command[k] * gain[k] + bias[k], 0.0), 100.0)
        dy[38 + k] = (target - y[38 + k]) * rate[k] / VALVE_TIME_H[k]


def skip(g: Value, alive: Value) -> None:
    """22 numbers of the reference generator that nobody looks at, where no trip is active."""
    if alive:
        state, factor, modulus = g[0], MULTIPLIER, MODULUS  # plain Python is quicker with locals
        for _ in range(264):
            state = state * factor % modulus
        g[0] = state


def draw(g: Value, z: Value, alive: Value) -> None:
    """22 numbers of the reference generator, where no trip is active."""
    if alive:
        state, factor, modulus = g[0], MULTIPLIER, MODULUS
        for k in range(22):
            total = 0.0
            for _ in range(12):
                state = state * factor % modulus
                total += state
            z[k] = total / modulus - 6.0
        g[0] = state


def add_noise(x: Value, z: Value, alive: Value) -> None:
    """Measurement noise, where no trip is active."""
    if alive:
        for k in range(22):
            x[k] = x[k] + z[k] * SIGMA[k]


def sensors(work: Work, faulty: Any, jolt: Value, t: float) -> None:
    """Put the sensor faults of the measurements in `faulty` on what was measured at `t` hours."""
    x = work.x
    for f in range(len(faulty)):
        j = faulty[f]
        if j >= 22:
            x[j] = work.display[j - 22]
        x[j] = work.gain[j] * x[j] + work.offset[j] + work.slope[j] * (t - work.onset[j]) + jolt[f]


def euler(y: Value, dy: Value, alive: Value) -> None:
    """One step; a plant that tripped stands still."""
    if alive:
        for k in range(50):
            y[k] = y[k] + STEP_H * dy[k]


def record(snapshot: Value, x: Value, xmv: Value) -> None:
    """Keep measurements and outputs of this moment."""
    for k in range(41):
        snapshot[k] = x[k]
    for k in range(12):
        snapshot[41 + k] = xmv[k]


def stretch(
    work: Work,
    first: int,
    last: int,
    origin: int,
    times: Any,
    every: int,
    reference: bool,
    noisy: bool,
    noise: Any,
    offset: int,
    moving: Any,
    forcing: bool,
    acting: bool,
    gaps: bool,
    faulty: Any,
    jolts: Any,
) -> None:
    """Steps `first` .. `last`, in which nothing happens from outside.

    Args:
        work: what is changed.
        first, last: numbers of the steps.
        origin: step `i` evaluates the plant at `times[i - origin]` hours.
        times: see there.
        every: keep a record at every so many steps, 0 never.
        reference: draw the noise from the reference generator, wanted or not.
        noisy: add noise to the measurements.
        noise: noise[i - offset] has the 22 numbers of step `i` when it does not come from the reference generator.
        offset: see there.
        moving: channels that are not at rest.
        forcing, acting, gaps: some output is forced, some valve has a fault, some measurement may be NaN.
        faulty: measurements with a sensor fault.
        jolts: jolts[i - offset] has their random part.
    """
    for i in range(first, last + 1):
        t = times[i - origin]
        if i % 3 == 0:
            control(i, work.x, work.xmv, work.sp, work.err, work.override, work.auto, gaps)
            if forcing:
                force(work.xmv, work.forced)
        if every > 0 and i % every == 0:
            record(work.snapshot, work.x, work.xmv)
        if i % 3 < 2 or i == first:  # between two controls only `stick` changes, before `first`
            commands(work.command, work.xmv, work.stick, t == 0.0)
        if len(moving) > 0:
            walks(work.walk, work.segment, moving, t)
        # measurements are wanted where a controller, a record or the caller will see them
        full = (i + 1) % 3 == 0 or i == last or (every > 0 and (i + 1) % every == 0)
        alive = evaluate(work.y, work.idv, work.walk, work.guess, work.dy, work.x, work.true, full)
        if acting:
            faulty_valves(work.dy, work.y, work.command, work.valve_gain, work.valve_bias, work.valve_rate)
        else:
            valves(work.dy, work.y, work.command)
        if t > 0.0:
            wanted = noisy and full
            if reference and not wanted:
                skip(work.g, alive)
            elif reference:
                draw(work.g, work.z, alive)
                add_noise(work.x, work.z, alive)
            elif wanted:
                add_noise(work.x, noise[i - offset], alive)
        if full and len(faulty) > 0:
            sensors(work, faulty, jolts[i - offset], t)
        work.lived[0] = work.lived[0] + alive
        euler(work.y, work.dy, alive)
        if i % 3 == 0:
            clip(work.xmv)


def row_commands(command: Value, xmv: Value, stick: Value, start: bool) -> None:
    wanted = np.minimum(np.maximum(xmv, 0.0), 100.0)
    if start:
        command[:] = wanted
    else:
        np.copyto(command, wanted, where=np.abs(command - xmv) > 2.0 * stick)


def row_clip(xmv: Value) -> None:
    np.minimum(np.maximum(xmv[:11], 0.0, out=xmv[:11]), 100.0, out=xmv[:11])


def row_skip(g: Value, alive: Value) -> None:
    state = g[0].copy()
    whole = np.empty_like(state)
    for _ in range(264):
        row_following(state, whole)
    np.copyto(g[0], state, where=alive)


def row_draw(g: Value, z: Value, alive: Value) -> None:
    state = g[0].copy()
    whole = np.empty_like(state)
    for k in range(22):
        total = np.zeros_like(state)
        for _ in range(12):
            row_following(state, whole)
            total += state
        z[k] = total / MODULUS - 6.0
    np.copyto(g[0], state, where=alive)


def row_following(state: Value, whole: Value) -> None:
    """As `disturbances.following`: the modulus without NumPy's slow one."""
    np.multiply(state, MULTIPLIER, out=state)
    np.add(state, WHOLE, out=whole)
    np.subtract(whole, WHOLE, out=whole)
    np.subtract(state, whole, out=state)
    np.add(state, MODULUS, out=state, where=state < 0.0)


WHOLE = 2.0**84
"""x + WHOLE - WHOLE is the multiple of 2^32 nearest to x."""
_VALVE_TIME_H = np.array(VALVE_TIME_H)[:, None]
_SIGMA = np.array(SIGMA)[:, None]


def row_valves(dy: Value, y: Value, command: Value) -> None:
    np.divide(command - y[38:], _VALVE_TIME_H, out=dy[38:])


def row_faulty_valves(dy: Value, y: Value, command: Value, gain: Value, bias: Value, rate: Value) -> None:
    target = np.minimum(np.maximum(command * gain + bias, 0.0), 100.0)
    np.divide((target - y[38:]) * rate, _VALVE_TIME_H, out=dy[38:])


def row_add_noise(x: Value, z: Value, alive: Value) -> None:
    x[:22] += z * _SIGMA * alive


def row_euler(y: Value, dy: Value, alive: Value) -> None:
    dy *= STEP_H if alive.all() else STEP_H * alive
    y += dy


def row_record(snapshot: Value, x: Value, xmv: Value) -> None:
    snapshot[:41] = x
    snapshot[41:] = xmv


def rows(n: int) -> Any:
    """`stretch` for rows of `n` plants, at least two; it holds scratch arrays, so it belongs to one caller."""
    names = properties.rows(n)
    control_names = {**names, "correction": bind(controllers.correction, names)}
    control_names["purge"] = bind(controllers.purge, control_names)
    return bind(
        stretch,
        {
            "control": bind(control, control_names),
            "evaluate": bind(process.evaluate, names),
            "commands": row_commands,
            "clip": row_clip,
            "force": bind(force, names),
            "valves": row_valves,
            "faulty_valves": row_faulty_valves,
            "skip": row_skip,
            "draw": row_draw,
            "add_noise": row_add_noise,
            "euler": row_euler,
            "record": row_record,
        },
    )
