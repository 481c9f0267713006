"""Live sensors of the simulated piping as devices: one gateway a point, each with the ten sensors of such a point.

What they show follows from the seed and the clock of the plant alone; a row is ten plant minutes. An asset has
the id that its point has in the piping's record.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.agent import Agent
from devices.frame import Asset, Channel
from devices.quality import CODES
from devices.simulated import EXPIRE_S, Pace
from simulators.piping import plant
from simulators.piping.records import INSULATION, Plant, Truth
from simulators.piping.sensors import CHANNELS, Readings, State, readings

KIND: Final = "piping"
PERIOD_S: Final = 600
SPEEDS: Final = (1.0, 3600.0)
SPEED: Final = 600.0
"""A row a second: ten minutes of a slow thing."""
START: Final = np.datetime64("2026-06-12", "s")
"""In the rainy season: dry for a day and a half, then it rains."""
AHEAD_H: Final = 24.0
"""Computed at a time."""
LINES: Final = 60
POINTS: Final = 9
PLANTS: Final = 3
SLIP_S: Final = 2.0

_UNITS: Final = ("degC", "degC", "%", "degC", "%", "mm/h", "W/m2", "uA", "1", "1")
_NAMES: Final = (
    "Metal temperature",
    "Jacket temperature",
    "Humidity under the insulation",
    "Ambient temperature",
    "Ambient humidity",
    "Rain",
    "Sun",
    "ACM current",
    "ER probe, element over reference",
    "Steam tracing",
)
_RANGES: Final = (
    (-60, 600), (-40, 250), (0, 101), (-40, 55), (0, 101), (0, 200), (0, 1500), (-0.01, 1000), (0.5, 20), (0, 1),
)  # fmt: skip
_DECIMALS: Final = (1, 1, 1, 1, 1, 1, 0, 3, 5, 0)


def piping(seed: int) -> tuple[Plant, Truth]:
    """The piping of a seed, as the lab shows it: records, and the truth that only its sensors see."""
    return plant(seed, lines=LINES, points=POINTS, plants=PLANTS)


def instrumented(records: Plant, count: int) -> list[int]:
    """Rows of the points that an owner would fit with sensors: warm, insulated, jacket damaged; one a line."""
    lines, points = records.lines, records.points
    line = points.line
    warm = (lines.t_op >= 45.0) & (lines.t_op <= 130.0) & (lines.insulation != INSULATION.index("none"))
    order = np.lexsort((np.arange(len(line)), -points.condition, -points.jacket_damage, ~warm[line]))
    chosen: list[int] = []
    for row in order.tolist():
        if len(chosen) < count and line[row] not in line[chosen]:
            chosen.append(row)
    return sorted(chosen)


def asset(id: str) -> Asset:
    """The asset of a point."""
    return Asset(id, KIND, clock="plant_s", period_s=float(PERIOD_S))


def channels() -> list[Channel]:
    """The channels of a point, in the order of `CHANNELS`, then the plant's clock."""
    rows = zip(CHANNELS, _UNITS, _NAMES, _RANGES, _DECIMALS, strict=True)
    found = [
        Channel(tag, unit, name=name, lo=float(lo), hi=float(hi), expire_s=EXPIRE_S, decimals=decimals)
        for tag, unit, name, (lo, hi), decimals in rows
    ]
    return [*found, Channel("plant_s", "s", name="Plant clock", role="status", expire_s=EXPIRE_S, decimals=0)]


class Sensors:
    """The sensors of some points without a clock of their own: `row` after `row`."""

    def __init__(self, seed: int, count: int) -> None:
        """At the first row.

        Raises:
            ValueError: no point, or more than there are lines.
        """
        if not 1 <= count <= LINES:
            raise ValueError(f"{count} points with sensors: want 1 to {LINES}")
        self._plant, self._truth = piping(seed)
        self._which = np.array(instrumented(self._plant, count))
        self.ids = tuple(self._plant.points.id[row] for row in self._which.tolist())
        self._state: State | None = None
        self._ahead: Readings | None = None
        self._at = 0
        self.rows = 0

    @property
    def seconds(self) -> int:
        """The plant's clock at the next row."""
        return self.rows * PERIOD_S

    def row(self) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """The next row of every point: values (n, channels) with the plant's clock, and their quality codes."""
        if self._ahead is None or self._at >= len(self._ahead.at):
            start = START + np.timedelta64(self.seconds, "s")
            self._ahead, _, self._state = readings(
                self._plant, self._truth, self._which, start, AHEAD_H, PERIOD_S, state=self._state
            )
            self._at = 0
        values = self._ahead.values[:, self._at]
        clock = np.full((len(values), 1), float(self.seconds))
        self._at += 1
        self.rows += 1
        quality = np.where(np.isnan(values), CODES["bad:comm"], 0)
        return np.hstack([values, clock]), np.pad(quality, ((0, 0), (0, 1))).astype(np.uint8)


def run_sensors(sensors: Sensors, speed: float, connect: Callable[[str], Agent], stop: threading.Event) -> None:
    """Send row after row at a pace until `stop` is set; then the agents are stopped.

    Args:
        sensors: of all points.
        speed: plant seconds a second.
        connect: makes the agent of a gateway, given its id, which is the asset's and the point's too.
        stop: ends it, within half a second.

    Raises:
        ValueError: a speed that cannot be.
    """
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        raise ValueError(f"speed {speed}: want {SPEEDS[0]:g} to {SPEEDS[1]:g}")
    agents: list[Agent] = []
    try:
        for id in sensors.ids:
            agents.append(connect(id))
            agents[-1].start()
        pace = Pace(time.monotonic(), sensors.seconds, speed)
        while not stop.is_set():
            now = time.monotonic()
            if now - pace.due(sensors.seconds) > SLIP_S:
                pace.restart(now, sensors.seconds, speed)
            while sensors.seconds <= pace.reached(now) and not stop.is_set():
                _send(agents, *sensors.row())
            stop.wait(min(max(0.0, pace.due(sensors.seconds) - time.monotonic()), 0.5))
    finally:
        for agent in agents:
            agent.stop()


def _send(agents: Sequence[Agent], values: NDArray[np.float64], quality: NDArray[np.uint8]) -> None:
    at = np.array([time.time_ns()])
    for agent, v, q in zip(agents, values, quality, strict=True):
        agent.send(at, v[None, :], q[None, :])
