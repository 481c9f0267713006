"""The Tennessee Eastman plant (Downs & Vogel 1993) with the controllers of Russell, Chiang & Braatz (2000).

A batch of plants is one array. Live: `start`, `advance` under `Inputs`, then read `State.xmeas`, `.xmv`, `.trip`.
Benchmark runs: `run` and `run_many`, with records as in the published files `d00` .. `d21`.
"""

from simulators.tep.drive import Path
from simulators.tep.plant import Margin, advance, advance_recording, cost, derivatives, start, trip_hours, trip_margins
from simulators.tep.runs import Change, Run, round_records, run, run_many, simulate
from simulators.tep.state import ACTUATOR_FAULTS, REFERENCE_SEED, SENSOR_FAULTS, Generator, Inputs, Refused, State
from simulators.tep.variables import (
    COLUMNS,
    CONTROLLED,
    DISTURBANCES,
    EXTRA_DISTURBANCES,
    LOOP_INDEX,
    LOOPS,
    TRIP_LIMITS,
    TRIPS,
    VARIABLES,
    Disturbance,
    Loop,
    Variable,
)

__all__ = [
    "ACTUATOR_FAULTS",
    "COLUMNS",
    "CONTROLLED",
    "DISTURBANCES",
    "EXTRA_DISTURBANCES",
    "LOOPS",
    "LOOP_INDEX",
    "REFERENCE_SEED",
    "SENSOR_FAULTS",
    "TRIPS",
    "TRIP_LIMITS",
    "VARIABLES",
    "Change",
    "Disturbance",
    "Generator",
    "Inputs",
    "Loop",
    "Margin",
    "Path",
    "Refused",
    "Run",
    "State",
    "Variable",
    "advance",
    "advance_recording",
    "cost",
    "derivatives",
    "round_records",
    "run",
    "run_many",
    "simulate",
    "start",
    "trip_hours",
    "trip_margins",
]
