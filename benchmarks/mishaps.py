"""What else can go wrong at the simulated plant than its 21 faults: to learn and try what must hold for any cause.

A mishap is a mechanism at a place (a valve loses effect, is off, slow or stuck; a sensor of a loop reads wrong; a set
point or a valve is moved; an additional disturbance, also on top of an odd-numbered fault) and a course: at once, as a
ramp, or wandering. Nothing here touches the A feed, whose loss is fault 6, and no even-numbered fault is switched on.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from simulators import tep

VALVES: Final = (1, 2, 4, 5, 6, 7, 8, 9, 10, 11)
SENSORS: Final = (2, 3, 4, 5, 10, 17, 18, 19, 21, 26, 27, 30, 38)
"""XMEAS that loops look at and that have no trip limit: a plant whose own limit is misread cannot be foretold."""
SET_POINTS: Final = (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20)
LOSS, OFFSET, MANUAL, EXTRA, SLOW, MISREAD, SET_POINT, STUCK, TWO = range(9)
STEP, RAMP, WANDER = range(3)
EVERY_H: Final = 0.5
"""Time between two moves of a ramp or a walk."""

Move = Callable[[tep.Inputs, int, float], None]
"""Changes the inputs of one plant at some hours after the begin of the mishap."""


def mishap(rng: np.random.Generator, hours: float) -> tuple[int, Move]:
    """One by chance: its kind (mechanism, place and course as one number), and what it does within so many hours."""
    what = int(rng.choice(9, p=(0.16, 0.16, 0.14, 0.08, 0.06, 0.14, 0.14, 0.06, 0.06)))
    how = int(rng.choice(3, p=(0.35, 0.4, 0.25)))
    way, size = float(rng.choice([-1, 1])), float(np.exp(rng.uniform(np.log(0.1), 0.0)))
    place = int(rng.choice({MISREAD: SENSORS, SET_POINT: SET_POINTS, EXTRA: range(21, 29)}.get(what, VALVES)))
    other, odd = int(rng.integers(21, 29)), int(rng.choice([1, 3, 5, 7, 9, 11, 13, 15, 17, 19]))
    slow = float(np.exp(rng.uniform(np.log(10.0), np.log(2000.0))))
    if what in (EXTRA, SLOW, STUCK, TWO):
        how = STEP
    course = _course(rng, how, hours)
    name = f"xmeas_{place}"

    def move(inputs: tep.Inputs, plant: int, at: float) -> None:
        now = size * course(at)
        if what == LOSS:
            inputs.set_actuator_fault(plant, place, "lossofeffect", min(abs(now), 1.0))
        elif what == OFFSET:
            inputs.set_actuator_fault(plant, place, "bias", float(np.clip(way * 60.0 * now, -100.0, 100.0)))
        elif what == MANUAL:
            inputs.set_manual(plant, place)
            start = tep.VARIABLES[40 + place].base
            inputs.set_valve(plant, place, float(np.clip(start + way * 30.0 * now, 0.0, 100.0)))
        elif what == SLOW:
            inputs.set_actuator_fault(plant, place, "slow", slow)
            inputs.set_extra(plant, other)
        elif what == MISREAD:
            loop = next(loop for loop in tep.LOOPS if loop.pv == name)
            inputs.set_sensor_fault(plant, name, "bias", way * 0.3 * loop.span * now)
        elif what == SET_POINT:
            loop = next(loop for loop in tep.LOOPS if loop.number == place)
            value = loop.setpoint + way * 0.4 * (loop.hi - loop.lo) * now
            inputs.set_setpoint(plant, place, float(np.clip(value, loop.lo, loop.hi)))
        else:
            inputs.set_extra(plant, place if what == EXTRA else other)
            if what == STUCK:
                inputs.set_actuator_fault(plant, place, "stuck")
            elif what == TWO:
                inputs.set_fault(plant, odd)

    where = odd if what == TWO else place
    return 1000 * (what + 1) + 10 * where + how, move


def place_of(kind: int) -> int:
    """The valve at which a kind of mishap acts, 50 and up of an additional disturbance, 100 and up of an odd fault with
    one; -1 of what is none. What is at one place is alike, so places are left out whole when something is chosen."""
    what, where = kind // 1000 - 1, kind % 1000 // 10
    if what < 0:
        return -1
    if what in (EXTRA, TWO):
        return where + (50 if what == EXTRA else 100)
    if what not in (MISREAD, SET_POINT):
        return where
    key = f"xmeas_{where}"
    loop = next(loop for loop in tep.LOOPS if (loop.pv == key if what == MISREAD else loop.number == where))
    while not loop.output:
        loop = tep.LOOPS[tep.LOOP_INDEX[loop.slave]]
    return int(loop.output[4:])


def _course(rng: np.random.Generator, how: int, hours: float) -> Callable[[float], float]:
    """Share of the full size at some hours after the begin."""
    length = float(np.exp(rng.uniform(np.log(2.0), np.log(60.0))))
    memory = float(np.exp(rng.uniform(np.log(1.0), np.log(10.0))))
    jolts = rng.normal(size=int(hours / EVERY_H) + 2)
    walk = np.zeros(len(jolts))
    keep = np.exp(-EVERY_H / memory)
    for at in range(1, len(walk)):
        walk[at] = keep * walk[at - 1] + np.sqrt(1.0 - keep**2) * jolts[at]
    if how == STEP:
        return lambda at: 1.0
    if how == RAMP:
        return lambda at: min(1.0, max(at, 1e-3) / length)
    return lambda at: float(walk[min(int(at / EVERY_H) + 1, len(walk) - 1)])
