"""What a batch of plants is at a moment (`State`) and what is done to it from outside (`Inputs`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from simulators.tep.constants import (
    BASE_STATE,
    CHANNEL_BASE,
    CHANNELS,
    FIRST_SEGMENT_H,
    GAS_PERIOD_H,
    MEASUREMENTS,
    PRODUCT_PERIOD_H,
    START_TEMPERATURES,
    START_VALVES,
    STEP_S,
    VALVES,
)
from simulators.tep.disturbances import following
from simulators.tep.variables import LOOP_INDEX, LOOPS, VARIABLES

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
Generator = Literal["reference", "numpy"]

REFERENCE_SEED: Final = 1431655765
"""Start value of the reference generator when none is given."""

SENSOR_FAULTS: Final = ("none", "bias", "drift", "freeze", "spike", "noise", "dropout")
"""By code in `Inputs.sensor_kind`. Sizes: bias in the variable's unit; drift in its unit per hour, growing from the
onset; spike in its unit, on one measurement in sixty, up or down; noise the standard deviation added, in its unit;
freeze (the last value stays) and dropout (NaN) take no size."""
ACTUATOR_FAULTS: Final = ("none", "stuck", "slow", "bias", "lossofeffect")
"""By code in `Inputs.actuator_kind`. Sizes: slow multiplies the valve's time constant (> 1); bias adds % to the command
that reaches the valve; lossofeffect takes that share (0 to 1) of the command away; stuck takes no size."""
_SENSORS: Final = tuple(variable.tag for variable in VARIABLES[:MEASUREMENTS])


class Refused(ValueError):
    """A setting that a plant does not take; `code` and `values` say it to those who write their own words."""

    def __init__(self, code: str, words: str, **values: float | str) -> None:
        super().__init__(words)
        self.code, self.values = code, values


@dataclass(slots=True)
class Inputs:
    """What is done to `n` plants from outside. Arrays may be changed freely between two calls of `advance`.

    While a loop is in manual its valve stays where it was or goes to `valve`; a master in manual leaves its slave's set
    point alone. A loop whose measurement is NaN holds its output.
    """

    idv: Flags
    """(n, 21) disturbances; column k is IDV k+1, the last one the benchmark's fault 21."""
    extra: Flags
    """(n, 8) the additional disturbances 21..28 of 2015; column k is number 21+k."""
    setpoint: Floats
    """(n, 19) set points by position in `LOOPS`, in the unit of the loop's measurement; NaN leaves the loop to its
    master or, without one, to its start value."""
    manual: Flags
    """(n, 19) loops in manual, by position in `LOOPS`."""
    valve: Floats
    """(n, 12) outputs in % of the valves whose loop is in manual (XMV 12 has no loop: always); NaN holds the last."""
    sensor_kind: NDArray[np.int8]
    """(n, 41) position in `SENSOR_FAULTS`."""
    sensor_size: Floats
    """(n, 41)."""
    actuator_kind: NDArray[np.int8]
    """(n, 12) position in `ACTUATOR_FAULTS`."""
    actuator_size: Floats
    """(n, 12)."""

    @staticmethod
    def none(n: int) -> "Inputs":
        """Nothing is done to `n` plants."""
        return Inputs(
            idv=np.zeros((n, 21), bool),
            extra=np.zeros((n, 8), bool),
            setpoint=np.full((n, len(LOOPS)), np.nan),
            manual=np.zeros((n, len(LOOPS)), bool),
            valve=np.full((n, VALVES), np.nan),
            sensor_kind=np.zeros((n, MEASUREMENTS), np.int8),
            sensor_size=np.zeros((n, MEASUREMENTS)),
            actuator_kind=np.zeros((n, VALVES), np.int8),
            actuator_size=np.zeros((n, VALVES)),
        )

    def copy(self) -> "Inputs":
        """An independent copy."""
        return Inputs(**{name: getattr(self, name).copy() for name in self.__slots__})

    def set_fault(self, plant: int, idv: int, on: bool = True) -> None:
        """Switch IDV 1..21 of one plant.

        Raises:
            ValueError: no such disturbance.
        """
        if not 1 <= idv <= 21:
            raise Refused("disturbance", f"disturbance {idv}: want 1 to 21", idv=idv, hi=21)
        self.idv[plant, idv - 1] = on

    def set_extra(self, plant: int, number: int, on: bool = True) -> None:
        """Switch one of the additional disturbances 21..28 of one plant.

        Raises:
            ValueError: no such disturbance.
        """
        if not 21 <= number <= 28:
            raise ValueError(f"additional disturbance {number}: want 21 to 28")
        self.extra[plant, number - 21] = on

    def set_setpoint(self, plant: int, loop: int, value: float | None) -> None:
        """Fix the set point of loop number `loop` (None: back to its master or start value).

        Raises:
            ValueError: no such loop, or the value is not finite or outside the loop's `lo` .. `hi`.
        """
        index = loop_index(loop)
        if value is not None and not LOOPS[index].lo <= value <= LOOPS[index].hi:
            lo, hi = LOOPS[index].lo, LOOPS[index].hi
            raise Refused(
                "setpoint", f"set point {value} of loop {loop}: want {lo} to {hi}", loop=loop, value=value, lo=lo, hi=hi
            )
        self.setpoint[plant, index] = np.nan if value is None else value

    def set_manual(self, plant: int, loop: int, on: bool = True) -> None:
        """Take loop number `loop` to manual or back; its valve value is forgotten.

        Raises:
            ValueError: no such loop.
        """
        index = loop_index(loop)
        self.manual[plant, index] = on
        if LOOPS[index].output:
            self.valve[plant, int(LOOPS[index].output[4:]) - 1] = np.nan

    def set_valve(self, plant: int, xmv: int, value: float | None) -> None:
        """Set XMV `xmv` in %, whose loop is in manual (None: hold the last).

        Raises:
            ValueError: no such valve, its loop is not in manual, or the value is not 0 to 100.
        """
        _check_valve(xmv)
        if xmv <= 11 and not self.manual[plant, LOOP_INDEX[xmv]]:
            raise Refused("automatic", f"valve {xmv}: take loop {xmv} to manual first", xmv=xmv)
        if value is not None and not 0.0 <= value <= 100.0:
            raise ValueError(f"valve {xmv} at {value}: want 0 to 100 %")
        self.valve[plant, xmv - 1] = np.nan if value is None else value

    def set_sensor_fault(self, plant: int, tag: str, kind: str, size: float = 0.0) -> None:
        """Put a fault on a sensor `xmeas_1` .. `xmeas_41`, kind one of `SENSOR_FAULTS` ("none" mends it).

        Raises:
            ValueError: no such tag or kind, or a size that makes no sense for the kind.
        """
        if tag not in _SENSORS:
            raise Refused("sensor", f"sensor {tag!r}: want xmeas_1 to xmeas_{MEASUREMENTS}", tag=tag, hi=MEASUREMENTS)
        if kind not in SENSOR_FAULTS:
            raise ValueError(f"sensor fault {kind!r}: want one of {', '.join(SENSOR_FAULTS)}")
        if not np.isfinite(size) or (kind == "noise" and size < 0.0):
            raise Refused("noise", f"sensor fault {kind} of size {size}: want a finite number, for noise not below 0")
        self.sensor_kind[plant, _SENSORS.index(tag)] = SENSOR_FAULTS.index(kind)
        self.sensor_size[plant, _SENSORS.index(tag)] = size

    def set_actuator_fault(self, plant: int, xmv: int, kind: str, size: float = 0.0) -> None:
        """Put a fault on valve 1..12, kind one of `ACTUATOR_FAULTS` ("none" mends it).

        Raises:
            ValueError: no such valve or kind, or a size that makes no sense for the kind.
        """
        _check_valve(xmv)
        if kind not in ACTUATOR_FAULTS:
            raise ValueError(f"actuator fault {kind!r}: want one of {', '.join(ACTUATOR_FAULTS)}")
        if kind == "slow" and not 1.0 < size < 1e6:
            raise Refused("slow", f"actuator fault slow of size {size}: want a factor over 1")
        if kind == "bias" and not -100.0 <= size <= 100.0:
            raise Refused("bias", f"actuator fault bias of size {size}: want -100 to 100 %")
        if kind == "lossofeffect" and not 0.0 <= size <= 1.0:
            raise Refused("lossofeffect", f"actuator fault lossofeffect of size {size}: want 0 to 1")
        self.actuator_kind[plant, xmv - 1] = ACTUATOR_FAULTS.index(kind)
        self.actuator_size[plant, xmv - 1] = size


@dataclass(frozen=True, slots=True)
class State:
    """`n` plants that were started together. Never changed in place: `advance` answers a new one.

    All of it is numbers, so a state can be stored and continued with the same result.
    """

    generator: Generator
    seeds: tuple[int, ...]
    """(n) one per plant; for the reference generator the start value of its G."""
    steps: int
    """Steps of 1 s since the start."""
    hours: float
    """Time of the next evaluation, h, accumulated by repeated addition."""
    y: Floats
    """(n, 50) states of section 4 of the model, in model units."""
    temperatures: Floats
    """(n, 4) of reactor, separator, stripper and header, degC: where the next iteration starts."""
    xmeas: Floats
    """(n, 41) as measured last: with noise and sensor faults, in the units of `VARIABLES`."""
    xmv: Floats
    """(n, 12) controller outputs, %."""
    command: Floats
    """(n, 12) commands the valves have accepted, %."""
    setpoints: Floats
    """(n, 19) present set points by position in `LOOPS`."""
    trip: Integers
    """(n,) position in `TRIPS`, 0 while running."""
    trip_steps: Integers
    """(n,) the step at which the plant tripped, -1 while running."""
    errors: Floats
    """(n, 19) last control errors, % of span."""
    override: Floats
    """(n,) memory of loop 6's pressure override: 0, 1 or 2."""
    analysers: Floats
    """(n, 19) values on display, mol%, before sensor faults."""
    samples: Floats
    """(n, 19) samples the analysers hold, mol%."""
    analyser_next: tuple[float, float]
    """Next sampling of gas and product analysers, h."""
    analyser_count: tuple[int, int]
    """How often they have sampled."""
    walk: Floats
    """(n, 20) present values of the disturbance channels."""
    segment: Floats
    """(n, 20, 6) of each channel: start and end (h), then value, slope, quadratic and cubic coefficient."""
    segment_count: Integers
    """(n, 20) segments begun."""
    random: Floats
    """(n,) G of the reference generator; unused by the other."""
    sensor_kind: NDArray[np.int8]
    """(n, 41) sensor faults so far, to notice new ones."""
    sensor_onset: Integers
    """(n, 41) step since which the fault is there."""
    sensor_held: Floats
    """(n, 41) where a frozen sensor stays."""

    @property
    def plants(self) -> int:
        """Number of plants `n`."""
        return len(self.y)

    @property
    def plant_s(self) -> Floats:
        """(n,) the plants' own clock, seconds since their start."""
        return np.full(self.plants, self.steps * STEP_S)


def initial(seeds: Sequence[int], generator: Generator) -> State:
    """Plants at the base case before their first evaluation; measurements are not filled in yet.

    Raises:
        ValueError: no seed, one that the generator cannot start from, or an unknown generator.
    """
    if generator not in ("reference", "numpy"):
        raise ValueError(f"generator {generator!r}: want reference or numpy")
    least = 1 if generator == "reference" else 0
    seeds = tuple(whole(seed, "seed") for seed in seeds)
    if not seeds or min(seeds) < least or max(seeds) >= 2**64:
        raise ValueError(f"seeds {seeds[:8]}: want at least one, each from {least} to 2**64 - 1")
    if generator == "reference":
        for seed in seeds:
            g = following(float(seed))
            if following(g) == g:  # 0 or 2^31: a multiple of 2^31, or a seed so large that its product rounds to one
                raise ValueError(f"seed {seed} stops the reference generator: want an odd number below 2**32")
    n = len(seeds)
    base = np.array(CHANNEL_BASE)
    segment = np.zeros((n, CHANNELS, 6))
    segment[:, :, 1] = FIRST_SEGMENT_H
    segment[:, 12:, 1] = np.inf  # the channels of the additional disturbances rest until one is switched on
    segment[:, :, 2] = base
    return State(
        generator=generator,
        seeds=seeds,
        steps=0,
        hours=0.0,
        y=np.tile(np.array(BASE_STATE), (n, 1)),
        temperatures=np.tile(np.array(START_TEMPERATURES), (n, 1)),
        xmeas=np.zeros((n, MEASUREMENTS)),
        xmv=np.tile(np.array(START_VALVES), (n, 1)),
        command=np.tile(np.array(BASE_STATE[38:]), (n, 1)),
        setpoints=np.tile(np.array([loop.setpoint for loop in LOOPS], float), (n, 1)),
        trip=np.zeros(n, np.int64),
        trip_steps=np.full(n, -1, np.int64),
        errors=np.zeros((n, len(LOOPS))),
        override=np.zeros(n),
        analysers=np.zeros((n, 19)),
        samples=np.zeros((n, 19)),
        analyser_next=(GAS_PERIOD_H, PRODUCT_PERIOD_H),
        analyser_count=(0, 0),
        walk=np.tile(base, (n, 1)),
        segment=segment,
        segment_count=np.zeros((n, CHANNELS), np.int64),
        random=np.array([float(seed) for seed in seeds]),
        sensor_kind=np.zeros((n, MEASUREMENTS), np.int8),
        sensor_onset=np.zeros((n, MEASUREMENTS), np.int64),
        sensor_held=np.zeros((n, MEASUREMENTS)),
    )


def whole(value: Any, name: str) -> int:
    """A number without a fraction, of whatever type, as an int.

    Raises:
        ValueError: it has a fraction, or is no number.
    """
    try:
        exact = not isinstance(value, str) and int(value) == value
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact:
        raise ValueError(f"{name} {value!r}: want a whole number")
    return int(value)


def loop_index(number: int) -> int:
    """Position of a loop number in `LOOPS`.

    Raises:
        ValueError: there is no such loop.
    """
    if number not in LOOP_INDEX:
        raise ValueError(f"loop {number}: want one of {', '.join(map(str, sorted(LOOP_INDEX)))}")
    return LOOP_INDEX[number]


def _check_valve(xmv: int) -> None:
    if not 1 <= xmv <= VALVES:
        raise ValueError(f"valve {xmv}: want 1 to {VALVES}")
