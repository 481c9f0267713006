"""The decentralised control scheme of Russell, Chiang & Braatz (2000): 19 loops in velocity form. One source for
floats and rows of plants (see `numerics`)."""

from simulators.tep.numerics import Value, some, where
from simulators.tep.variables import LOOP_INDEX, LOOPS

PURGE = LOOP_INDEX[6]
PV = tuple(int(loop.pv[6:]) - 1 for loop in LOOPS)
SPAN = tuple(float(loop.span) for loop in LOOPS)
GAIN = tuple(float(loop.gain) for loop in LOOPS)
RATE = tuple(loop.period_s / loop.integral_s if loop.integral_s else 0.0 for loop in LOOPS)
SLAVE = tuple(LOOP_INDEX[loop.slave] if loop.slave else -1 for loop in LOOPS)
STEP = tuple(loop.output_span / 100.0 for loop in LOOPS)
VALVE_LOOPS, FAST, SLOW, SLOWEST = 11, 14, 18, 19

PURGE_SETPOINT = LOOPS[PURGE].setpoint
PURGE_RETURN = 40.060
PRESSURE_HIGH, PRESSURE_NORMAL, PRESSURE_LOW = 2950.0, 2633.7, 2300.0


def correction(k: int, pv: Value, sp: Value, err: Value, auto: Value, gaps: bool) -> Value:
    """What loop `k` adds to its output, % of the output's span. With `gaps`, a NaN measurement changes nothing."""
    e = 100.0 * (sp[k] - pv) / SPAN[k]
    change = GAIN[k] * ((e - err[k]) + e * RATE[k]) * auto[k]
    if gaps:
        good = pv == pv
        change = where(good, change, 0.0)
        e = where(good, e, err[k])
    err[k] = e
    return change


def purge(x: Value, xmv: Value, sp: Value, err: Value, override: Value, auto: Value, gaps: bool) -> None:
    """Loop 6 with its pressure override, whose memory is `override`: 0 none, 1 pressure was high, 2 was low."""
    p = x[12]
    memory = override[0]
    before = err[PURGE]
    output = xmv[PURGE] + correction(PURGE, x[9], sp, err, auto, gaps)
    if some((memory > 0.0) | (p >= PRESSURE_HIGH) | (p <= PRESSURE_LOW)):
        high = (p >= PRESSURE_HIGH) | ((memory == 1.0) & (p >= PRESSURE_NORMAL))
        fell = (memory == 1.0) & (p <= PRESSURE_NORMAL)
        low = (p <= PRESSURE_LOW) | ((memory == 2.0) & (p <= PRESSURE_NORMAL))
        rose = (memory == 2.0) & (p >= PRESSURE_NORMAL)
        mode = where(high, 1.0, where(fell, 3.0, where(low, 2.0, where(rose, 3.0, 0.0))))
        if gaps:  # without a pressure an override goes on
            mode = where(p == p, mode, memory)
        mode = mode * auto[PURGE]
        override[0] = where(mode == 3.0, 0.0, mode)
        output = where(mode == 1.0, 100.0, where(mode == 2.0, 0.0, where(mode == 3.0, PURGE_RETURN, output)))
        err[PURGE] = where(mode == 0.0, err[PURGE], where(mode == 3.0, 0.0, before))
        sp[PURGE] = where(mode == 3.0, PURGE_SETPOINT, sp[PURGE])
    xmv[PURGE] = output


def control(step: int, x: Value, xmv: Value, sp: Value, err: Value, override: Value, auto: Value, gaps: bool) -> None:
    """Run the loops that are due at a step that is a multiple of three.

    Args:
        step: number of the step.
        x: 41 measurements.
        xmv: 12 controller outputs, changed here.
        sp: 19 set points, moved by masters.
        err: 19 last errors, % of span, changed here.
        override: memory of the purge's pressure override, changed here.
        auto: 19 times 1, or 0 where the loop may not move its output.
        gaps: whether a measurement may be NaN.
    """
    for k in range(VALVE_LOOPS):
        if k != PURGE:
            xmv[k] = xmv[k] + correction(k, x[PV[k]], sp, err, auto, gaps)
    purge(x, xmv, sp, err, override, auto, gaps)
    for k in range(VALVE_LOOPS, FAST):
        sp[SLAVE[k]] = sp[SLAVE[k]] + correction(k, x[PV[k]], sp, err, auto, gaps) * STEP[k]
    if step % 360 == 0:
        for k in range(FAST, SLOW):
            sp[SLAVE[k]] = sp[SLAVE[k]] + correction(k, x[PV[k]], sp, err, auto, gaps) * STEP[k]
    if step % 900 == 0:
        for k in range(SLOW, SLOWEST):
            sp[SLAVE[k]] = sp[SLAVE[k]] + correction(k, x[PV[k]], sp, err, auto, gaps) * STEP[k]
