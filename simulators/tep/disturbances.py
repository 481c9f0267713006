"""Random numbers, and the random walks that disturb the plant.

The reference generator is the one sequence of the 1993 model: its state G is a double, and every draw moves it. The
numpy generator is keyed instead: a number depends on the plant's seed, on what it is for and on its place in time,
never on what else was drawn, so a plant is the same alone, in a batch, or continued from a stored state.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulators.tep.constants import CHANNEL_BASE, CHANNEL_SPANS, CONTINUOUS, RAMPS

MULTIPLIER: Final = 9228907.0
MODULUS: Final = 4294967296.0

BLOCK: Final = 64
"""Steps whose measurement noise is drawn together."""
NOISE, GAS, PRODUCT, SENSOR, WALK = range(5)
"""What a keyed number is for."""


class Keyed:
    """Philox (Salmon et al. 2011) put to any place of any plant's sequence. Not for two threads at a time."""

    def __init__(self) -> None:
        self._bits = np.random.Philox(key=[0, 0])
        self._numbers = np.random.Generator(self._bits)
        self._state = self._bits.state

    def at(self, seed: int, use: int, channel: int, place: int) -> np.random.Generator:
        """The generator at the start of place number `place`; good until the next call."""
        state = self._state["state"]
        state["key"][0] = seed
        state["key"][1] = use
        state["counter"][0] = 0
        state["counter"][1] = place
        state["counter"][2] = channel
        self._state["buffer_pos"] = 4
        self._state["has_uint32"] = 0
        self._bits.state = self._state
        return self._numbers

    def noise(self, seeds: Sequence[int], block: int) -> NDArray[np.float64]:
        """(plants, BLOCK, 22) standard normal numbers for the steps of a block."""
        found = np.empty((len(seeds), BLOCK, CONTINUOUS))
        for plant, seed in enumerate(seeds):
            self.at(seed, NOISE, 0, block).standard_normal(out=found[plant])
        return found

    def analyser(self, seeds: Sequence[int], use: int, count: int, size: int) -> NDArray[np.float64]:
        """(plants, size) standard normal numbers for one sampling of the gas or the product analysers."""
        found = np.empty((len(seeds), size))
        for plant, seed in enumerate(seeds):
            self.at(seed, use, 0, count).standard_normal(out=found[plant])
        return found

    def bipolar(self, seed: int, channel: int, count: int) -> list[float]:
        """Three numbers in -1..1 for segment number `count` of a channel."""
        found: list[float] = (2.0 * self.at(seed, WALK, channel, count).random(3) - 1.0).tolist()
        return found

    def jolts(self, seed: int, sensor: int, block: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(BLOCK,) normal and (BLOCK,) uniform numbers for a noisy or spiking sensor."""
        numbers = self.at(seed, SENSOR, sensor, block)
        return numbers.standard_normal(BLOCK), numbers.random(BLOCK)


def next_segment(
    channel: int, flag: float, segment: Sequence[float], draw: Callable[[], float]
) -> tuple[float, float, float, float, float, float]:
    """The segment that follows when a channel's segment has ended.

    Args:
        channel: 0..19.
        flag: 1 while the channel's disturbance is on, else 0.
        segment: start and end (h), value, slope, quadratic and cubic coefficient of the old one.
        draw: bipolar random numbers, -1..1; called three times for a walk, once or not at all for a ramp.

    Returns:
        The same six numbers of the new one.
    """
    start, end, s, d, quadratic, cubic = segment
    h = end - start
    value = s + h * (d + h * (quadratic + h * cubic))
    slope = d + h * (2.0 * quadratic + 3.0 * h * cubic)
    spread, middle, height = CHANNEL_SPANS[channel]
    if channel in RAMPS:
        if value > 0.1:
            return (
                end, end + 0.1, value, slope,
                -(3.0 * value + 0.2 * slope) / 0.01, (2.0 * value + 0.1 * slope) / 0.001,
            )  # fmt: skip
        h = spread * draw() + middle
        return end, end + h, 0.0, 0.0, flag / (h * h), 0.0
    h = spread * draw() + middle
    goal = height * draw() * flag + CHANNEL_BASE[channel]
    goal_slope = 0.0 * draw()  # the model's spread of slopes is zero, but its draw is made
    return (
        end,
        end + h,
        value,
        slope,
        (3.0 * (goal - value) - h * (goal_slope + 2.0 * slope)) / (h * h),
        (2.0 * (value - goal) + h * (goal_slope + slope)) / (h * h * h),
    )


def following(g: float) -> float:
    """The state after `g` of the reference generator: the product rounded to a double, modulo 2^32."""
    return g * MULTIPLIER % MODULUS


class Reference:
    """The reference generator at state `g`; `bipolar` and `gaussian` move it."""

    def __init__(self, g: float) -> None:
        self.g = g

    def bipolar(self) -> float:
        """A number in -1..1."""
        self.g = following(self.g)
        return 2.0 * self.g / MODULUS - 1.0

    def gaussian(self) -> float:
        """The sum of twelve uniform numbers less six."""
        total = 0.0
        for _ in range(12):
            self.g = following(self.g)
            total += self.g
        return total / MODULUS - 6.0
