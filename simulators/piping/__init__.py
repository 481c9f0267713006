"""A plant of insulated and bare pipe lines that corrode: records as owners have them, hidden truth, live sensors.

`plant` makes the records and the truth of a seed; `weather` the hours of its coast.
"""

from simulators.piping.plant import layout, plant
from simulators.piping.records import Inspections, Layout, Lines, Plant, Points, Truth, Weather
from simulators.piping.weather import Series, weather

__all__ = [
    "Inspections",
    "Layout",
    "Lines",
    "Plant",
    "Points",
    "Series",
    "Truth",
    "Weather",
    "layout",
    "plant",
    "weather",
]
