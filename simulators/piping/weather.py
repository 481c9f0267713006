"""Hourly weather of a coast of Kyushu: seasons, rainy season, typhoons, sea salt.

Made up to look like that coast's climate (17 °C, 70 %, near 1900 mm/y), not fitted to a station. Every hour is a pure
function of the seed and the hour, so that windows that overlap agree.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulators.piping.records import Floats, Times

HOUR: Final = np.timedelta64(3600, "s")
MEMORY_H: Final = 96
"""How long a front lasts at most, h: the weights of the smoothing end here."""
BLOCK: Final = 256
TEMPERATURE, HUMIDITY, RAIN, BURST, CLOUD, SALT = range(6)


@dataclass(frozen=True, slots=True)
class Series:
    """`H` hours of weather."""

    at: Times
    """(H,) begin of each hour, UTC."""
    temperature_c: Floats
    humidity_pct: Floats
    rain_mm_h: Floats
    sun_w_m2: Floats
    """Global radiation."""
    cl_mg_m2_d: Floats
    """Deposition of chloride."""


def white(seed: int, use: int, first: int, count: int) -> Floats:
    """(count,) standard normal numbers of places `first`, `first` + 1, … of an endless sequence."""
    low, high = first // BLOCK, (first + count - 1) // BLOCK
    blocks = [
        np.random.Generator(
            np.random.Philox(key=[seed % 2**63, use], counter=[0, 0, 0, block % 2**63])
        ).standard_normal(BLOCK)
        for block in range(low, high + 1)
    ]
    found: Floats = np.concatenate(blocks)[first - low * BLOCK :][:count]
    return found


def smooth(seed: int, use: int, first: int, count: int, hours: float) -> Floats:
    """(count,) as `white`, remembered for about `hours`, of unit variance."""
    weights = np.exp(-np.arange(MEMORY_H) / hours)
    weights /= np.sqrt((weights**2).sum())
    found: Floats = np.convolve(white(seed, use, first - MEMORY_H + 1, count + MEMORY_H - 1), weights, "valid")
    return found


def weather(seed: int, start: np.datetime64, hours: int) -> Series:
    """The weather from the full hour at or before `start` on.

    Raises:
        ValueError: no hours.
    """
    if hours < 1:
        raise ValueError(f"{hours} hours: want at least one")
    first = int(start.astype("datetime64[h]").astype(np.int64))
    index = first + np.arange(hours)
    local = index + 9  # Japan's clock
    day = (local / 24.0) % 365.2425
    hour = local % 24
    summer = np.cos(2 * np.pi * (day - 212.0) / 365.2425)
    rainy = np.exp(-0.5 * ((day - 178.0) / 17.0) ** 2)
    storms = np.exp(-0.5 * ((day - 245.0) / 22.0) ** 2)
    front = smooth(seed, RAIN, first, hours, 7.0)
    cloud = 0.75 * front + 0.66 * smooth(seed, CLOUD, first, hours, 20.0)
    gate = 1.62 - 0.62 * rainy - 0.30 * storms + 0.10 * (1 - summer)
    burst = np.exp(0.9 * smooth(seed, BURST, first, hours, 2.0))
    rain = np.where(front > gate, (1.8 + 1.9 * rainy + 2.2 * storms) * burst * (front - gate + 0.15) / 0.6, 0.0)
    elevation = _elevation(day, hour)
    clear = np.clip(0.85 - 0.45 * cloud, 0.06, 1.0)
    sun = 980.0 * np.clip(elevation, 0.0, None) * clear
    warmth = smooth(seed, TEMPERATURE, first, hours, 40.0)
    daily = np.cos(2 * np.pi * (hour - 14.5) / 24.0) * (1.2 + 3.2 * clear)
    temperature = 17.2 + 10.6 * summer + daily + 2.3 * warmth - 1.0 * (rain > 0)
    humidity = 69.5 + 5.5 * summer + 7.0 * rainy - 2.6 * daily + 5.0 * cloud
    humidity += 4.0 * smooth(seed, HUMIDITY, first, hours, 15.0) + 12.0 * (rain > 0)
    wind = np.exp(0.7 * smooth(seed, SALT, first, hours, 30.0))
    salt = (16.0 + 22.0 * np.clip(-summer, 0, None) + 30.0 * storms * (front > 0.8)) * wind
    return Series(
        (index.astype("datetime64[h]")).astype("datetime64[ns]"),
        temperature,
        np.clip(humidity, 22.0, 100.0),
        rain,
        sun,
        salt,
    )


def _elevation(day: Floats, hour: NDArray[np.int64]) -> Floats:
    """Sine of the sun's height at 33° north."""
    tilt = np.deg2rad(23.44) * np.sin(2 * np.pi * (day - 81.0) / 365.2425)
    north = np.deg2rad(33.0)
    turn = 2 * np.pi * (hour + 0.5 - 12.3) / 24.0
    found: Floats = np.sin(north) * np.sin(tilt) + np.cos(north) * np.cos(tilt) * np.cos(turn)
    return found
