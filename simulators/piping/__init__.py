"""A plant of insulated and bare pipe lines that corrode: records as owners have them, hidden truth, live sensors.

`plant` makes the records and the truth of a seed, `readings` what live sensors at some points show, `weather` the hours
of its coast.
"""

from simulators.piping.plant import layout, plant
from simulators.piping.records import Inspections, Layout, Lines, Plant, Points, Truth, Weather
from simulators.piping.sensors import CHANNELS, FAULTS, Beneath, Readings, State, readings
from simulators.piping.weather import Series, weather

__all__ = [
    "CHANNELS",
    "FAULTS",
    "Beneath",
    "Inspections",
    "Layout",
    "Lines",
    "Plant",
    "Points",
    "Readings",
    "Series",
    "State",
    "Truth",
    "Weather",
    "layout",
    "plant",
    "readings",
    "weather",
]
