"""Live sensors at some points of a simulated plant: wetting and drying, sun, steam tracing, and sensors that fail.

Water gets under the jacket with rain, as far as the hidden leak of the point lets it, and leaves as fast as the metal
is warm. Wet insulation conducts better, so its jacket is warmer; so is one in the sun, and one over a steam tracer.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from simulators.piping.records import Codes, Floats, Indices, Plant, Times, Truth
from simulators.piping.weather import weather, white

CHANNELS: Final = (
    "metal_c",
    "jacket_c",
    "annulus_rh",
    "ambient_c",
    "ambient_rh",
    "rain_mm_h",
    "sun_w_m2",
    "acm_ua",
    "er_ratio",
    "tracing",
)
"""Temperatures °C, humidity %, current µA, resistance of the ER element over its reference, tracing 1 on, 0 off."""
FAULTS: Final = ("none", "silent", "frozen", "drift", "spikes")
ELEMENT_UM: Final = 500.0
"""Thickness of an ER element."""
INSULATION_MM: Final = 50.0
WARM_UP_H: Final = 24 * 15
FAULT_CHANNELS: Final = (0, 1, 2, 7, 8)
NOISE: Final = np.array([0.3, 0.3, 0.8, 0.1, 1.0, 0.0, 8.0, 0.0, 1.5e-5, 0.0])
SPARE: Final = 64
"""Uses of the generator kept for a point."""


@dataclass(frozen=True, slots=True)
class State:
    """Where `n` points are between two calls."""

    step: int
    """Steps since 1970, of the next reading."""
    water: Floats
    """(n,) 0 dry, 1 soaked."""
    jacket: Floats
    humidity: Floats
    lost_um: Floats
    """(n,) since the readings began."""
    held: Floats
    """(n, C) what each sensor last showed."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What the sensors showed."""

    at: Times
    """(T,) UTC."""
    values: Floats
    """(n, T, C) in the order of `CHANNELS`; NaN where there is no such sensor or no value."""


@dataclass(frozen=True, slots=True)
class Beneath:
    """What was true meanwhile, for tests and trainers only."""

    water: Floats
    """(n, T)."""
    lost_um: Floats
    """(n, T)."""
    fault: Codes
    """(n, T, C) index into `FAULTS`."""


def readings(
    plant: Plant,
    truth: Truth,
    which: Indices,
    start: np.datetime64,
    hours: float,
    every_s: int = 600,
    faults: bool = True,
    state: State | None = None,
) -> tuple[Readings, Beneath, State]:
    """Readings of points from `start` on; with the state of the call before, what follows on it.

    Args:
        plant: the plant, likewise `truth`.
        truth: see `plant`.
        which: (n,) rows of its points that have sensors.
        start: the first reading, at a multiple of `every_s`; with `state` it must be where that one ended.
        hours: how long.
        every_s: seconds between readings; divides an hour.
        faults: sensors may fail.
        state: from the call before; None: begin 15 days earlier and forget what was before.

    Raises:
        ValueError: an interval that does not divide an hour, no time, or a start that does not follow.
    """
    if every_s < 1 or 3600 % every_s:
        raise ValueError(f"every {every_s} s: want a divisor of an hour")
    count = int(round(hours * 3600.0) // every_s)
    first = int(start.astype("datetime64[s]").astype(np.int64)) // every_s
    if count < 1 or (state is not None and state.step != first):
        raise ValueError(f"{hours} h from {start}: want a positive time that follows what came before")
    n = len(which)
    lead = 0
    if state is None:
        lead = WARM_UP_H * 3600 // every_s
        state = State(
            first - lead,
            np.zeros(n),
            np.full(n, 20.0),
            np.full(n, 50.0),
            np.zeros(n),
            np.full((n, len(CHANNELS)), np.nan),
        )
    steps = state.step + np.arange(lead + count)
    seconds = steps * every_s
    sky = _sky(plant.seed, seconds)
    line = plant.points.line[which]
    lines = plant.lines
    insulated = truth.insulation[line] > 0
    traced = lines.heat_traced[line] == 1
    r1 = lines.diameter[line] / 2000.0
    r2 = r1 + INSULATION_MM / 1000.0
    swing = np.nan_to_num(lines.t_max[line] - lines.t_min[line], nan=0.0)
    wet = np.clip(truth.wet_fraction[which], 0.01, 0.97)
    leak = np.clip(0.25 * wet / (1.0 - wet), 0.0, 2.5)
    noise = _noise(plant.seed, which, steps)
    dt = every_s / 3600.0
    hour = seconds / 3600.0
    metal = truth.t_local[which][:, None] + 0.5 * swing[:, None] * np.sin(2 * np.pi * hour / 37.0 + which[:, None])
    metal += 0.4 * noise[:, :, 10] + np.where(np.sin(2 * np.pi * hour / 410.0 + which[:, None]) > 0.97, -25.0, 0.0)
    on = traced[:, None] & (np.sin(2 * np.pi * hour / 53.0 + 3.0 * which[:, None]) > 0.2)
    dew = _dew_point(sky["ambient_c"], sky["ambient_rh"])
    water, jacket, humid, lost = state.water.copy(), state.jacket.copy(), state.humidity.copy(), state.lost_um.copy()
    shown = np.full((n, len(steps), len(CHANNELS)), np.nan)
    below, gone = np.empty((n, len(steps))), np.empty((n, len(steps)))
    for at in range(len(steps)):
        ambient, rh, rain, sun = (sky[name][at] for name in ("ambient_c", "ambient_rh", "rain_mm_h", "sun_w_m2"))
        t = metal[:, at]
        soaks = 0.05 * leak * min(rain, 12.0) + 0.006 * (t < dew[at])
        dries = np.exp((np.minimum(t, 160.0) - 40.0) / 32.0) / 70.0
        water = np.clip(water + dt * (soaks * (1.0 - water) - dries * water), 0.0, 1.0)
        film = 12.0 * np.exp(0.10 * noise[:, at, 11])
        k = 0.043 + 0.17 * water**0.8
        through = k / (r2 * np.log(r2 / r1))
        to = (through * t + film * ambient + 0.32 * sun) / (through + film) + np.where(on[:, at], 9.0, 0.0)
        jacket = jacket + (1.0 - np.exp(-dt / 0.35)) * (to - jacket)
        dry_rh = np.clip(rh * np.exp(-(t - ambient) / 45.0), 4.0, 92.0)
        humid = humid + (1.0 - np.exp(-dt / 2.0)) * (np.where(water > 0.04, 96.5 + 3.0 * water, dry_rh) - humid)
        is_wet = np.where(insulated, water > 0.04, (rain > 0.1) | (rh > 82.0))
        lost = lost + dt / 8766.0 * 1000.0 * truth.rate[which] * is_wet / np.clip(truth.wet_fraction[which], 0.05, 1.0)
        film_share = np.maximum(water, 0.5 * (rain > 0.1))
        current = np.where(is_wet, 10.0 ** (-1.6 + 1.5 * film_share + 0.15 * noise[:, at, 12]), 0.003)
        ratio = 1.0 / (1.0 - np.minimum(lost, 0.9 * ELEMENT_UM) / ELEMENT_UM)
        shown[:, at] = np.column_stack(
            [
                t,
                np.where(insulated, jacket, np.nan),
                np.where(insulated, humid, np.nan),
                np.full(n, ambient),
                np.full(n, rh),
                np.full(n, rain),
                np.full(n, sun),
                current,
                ratio,
                np.where(traced, on[:, at], np.nan),
            ]
        )
        below[:, at], gone[:, at] = water, lost
    shown += NOISE * noise[:, :, :10]
    shown[:, :, 2] = np.clip(shown[:, :, 2], 0.0, 100.0)
    shown[:, :, 4] = np.clip(shown[:, :, 4], 0.0, 100.0)
    shown[:, :, 6] = np.maximum(shown[:, :, 6], 0.0)
    kinds, since = _faults(plant.seed, which, seconds)
    if not faults:
        kinds[:] = 0
    held = _break(shown, kinds, since, noise, state.held)
    keep = slice(lead, None)
    return (
        Readings((seconds[keep].astype("datetime64[s]")).astype("datetime64[ns]"), shown[:, keep]),
        Beneath(below[:, keep], gone[:, keep], kinds[:, keep]),
        State(int(steps[-1]) + 1, water, jacket, humid, lost, held),
    )


def _sky(seed: int, seconds: Indices) -> dict[str, Floats]:
    """Weather at the steps: between the hours in a straight line, rain and sun by the hour."""
    begin = seconds[0] // 3600
    series = weather(seed, np.datetime64(int(begin), "h"), int(seconds[-1] // 3600 - begin) + 2)
    place = seconds / 3600.0 - begin
    at = place.astype(np.int64)
    whole = np.arange(len(series.at))
    return {
        "ambient_c": np.interp(place, whole, series.temperature_c),
        "ambient_rh": np.interp(place, whole, series.humidity_pct),
        "rain_mm_h": series.rain_mm_h[at],
        "sun_w_m2": np.interp(place, whole, series.sun_w_m2),
    }


def _noise(seed: int, which: Indices, steps: Indices) -> Floats:
    """(n, T, 13) standard normal numbers of these points and steps."""
    first, count = int(steps[0]), len(steps)
    found = [
        np.column_stack([white(seed, 1000 + SPARE * int(point) + use, first, count) for use in range(13)])
        for point in which
    ]
    return np.stack(found)


def _dew_point(t: Floats, rh: Floats) -> Floats:
    g = np.log(np.clip(rh, 1.0, 100.0) / 100.0) + 17.62 * t / (243.12 + t)
    found: Floats = 243.12 * g / (17.62 - g)
    return found


def _faults(seed: int, which: Indices, seconds: Indices) -> tuple[Codes, Floats]:
    """(n, T, C) kinds, and (n, T) seconds since the fault of the fortnight began."""
    kinds = np.zeros((len(which), len(seconds), len(CHANNELS)), dtype=np.int8)
    since = np.zeros((len(which), len(seconds)))
    period = 14 * 86400
    for row, point in enumerate(which):
        for number in range(int(seconds[0] // period), int(seconds[-1] // period) + 1):
            rng = np.random.default_rng([seed, int(point), number])
            if rng.random() > 0.15:
                continue
            channel, kind = FAULT_CHANNELS[rng.integers(len(FAULT_CHANNELS))], int(rng.integers(1, len(FAULTS)))
            begin = number * period + rng.uniform(0.0, 10.0) * 86400
            inside = (seconds >= begin) & (seconds < begin + rng.uniform(0.5, 3.0) * 86400)
            kinds[row, inside, channel] = kind
            since[row, inside] = seconds[inside] - begin
    return kinds, since


def _break(shown: Floats, kinds: Codes, since: Floats, noise: Floats, held: Floats) -> Floats:
    """Put the faults into the readings, in place; what each sensor showed last."""
    drift = np.array([4.0, 6.0, 15.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1e-2, 0.0])
    spike = np.array([60.0, 40.0, 50.0, 0.0, 0.0, 0.0, 0.0, 20.0, 0.05, 0.0])
    shown += np.where(kinds == 3, drift * since[:, :, None] / 86400.0, 0.0)
    shown += np.where((kinds == 4) & (noise[:, :, 12:13] > 1.3), spike, 0.0)
    shown[kinds == 1] = np.nan
    for at in range(shown.shape[1]):
        frozen = kinds[:, at] == 2
        if frozen.any():
            before = shown[:, at - 1] if at else held
            shown[:, at] = np.where(frozen & np.isfinite(before), before, shown[:, at])
    last: Floats = shown[:, -1].copy()
    return last
