"""Numbers of the Tennessee Eastman plant: Downs & Vogel, Computers & Chemical Engineering 17 (1993) 245-255.

Units inside the model: lb-mol, lb-mol/h, ft3, mmHg absolute, degC, MMBtu (10^6 Btu), hours. Components are always in
the order A B C D E F G H.
"""

from typing import Final

STEP_S: Final = 1.0
"""Seconds of one explicit Euler step."""
STEP_H: Final = STEP_S / 3600.0
STATES: Final = 50
MEASUREMENTS: Final = 41
CONTINUOUS: Final = 22
"""XMEAS 1..22 are measured continuously, the rest are analysers."""
VALVES: Final = 12
CHANNELS: Final = 20
"""Disturbance channels: 12 of the 1993 model, 8 of Bathelt, Ricker & Jelali (2015)."""

MOLAR_MASS: Final = (2.0, 25.4, 28.0, 32.0, 46.0, 48.0, 62.0, 76.0)
"""lb/lb-mol."""
ANTOINE: Final = (
    (15.92, -1444.0, 259.0),
    (16.35, -2114.0, 265.5),
    (16.35, -2114.0, 265.5),
    (16.43, -2748.0, 232.9),
    (17.21, -3318.0, 249.6),
)
"""Of D..H: ln p [mmHg] = a + b / (T + c)."""
DENSITY: Final = (
    (1.0, 0.0, 0.0),
    (1.0, 0.0, 0.0),
    (1.0, 0.0, 0.0),
    (23.3, -0.0700, -0.0002),
    (33.9, -0.0957, -0.000152),
    (32.8, -0.0995, -0.000233),
    (49.9, -0.0191, -0.000425),
    (50.5, -0.0541, -0.000150),
)
"""Liquid density polynomial d0 + d1 T + d2 T^2, lb/ft3."""
LIQUID_HEAT: Final = (
    (1.0e-6, 0.0, 0.0),
    (1.0e-6, 0.0, 0.0),
    (1.0e-6, 0.0, 0.0),
    (0.960e-6, 8.70e-9, 4.81e-11),
    (0.573e-6, 2.41e-9, 1.82e-11),
    (0.652e-6, 2.18e-9, 1.94e-11),
    (0.515e-6, 5.65e-10, 3.82e-12),
    (0.471e-6, 8.70e-10, 2.62e-12),
)
"""Liquid heat capacity h0 + h1 T + h2 T^2."""
VAPOUR_HEAT: Final = (
    (3.411e-6, 7.18e-10, 6.0e-13),
    (0.3799e-6, 1.08e-9, -3.98e-13),
    (0.2491e-6, 1.36e-11, -3.93e-14),
    (0.3567e-6, 8.51e-10, -3.12e-13),
    (0.3463e-6, 8.96e-10, -3.27e-13),
    (0.3930e-6, 1.02e-9, -3.12e-13),
    (0.170e-6, 0.0, 0.0),
    (0.150e-6, 0.0, 0.0),
)
"""Vapour heat capacity g0 + g1 T + g2 T^2."""
VAPORISATION: Final = (1.0e-6, 1.0e-6, 1.0e-6, 86.7e-6, 160.0e-6, 160.0e-6, 225.0e-6, 209.0e-6)
"""Heat of vaporisation."""

# fmt: off
BASE_STATE: Final = (
    10.40491389, 4.363996017, 7.570059737, 0.4230042431, 24.15513437, 2.942597645, 154.3770655, 159.1865960,
    2.808522723,
    63.75581199, 26.74026066, 46.38532432, 0.2464521543, 15.20484404, 1.852266172, 52.44639459, 41.20394008,
    0.5699317760,
    0.4306056376, 7.9906200783e-3, 0.9056036089, 1.6054258216e-2, 0.7509759687, 8.8582855955e-2, 48.27726193,
    39.38459028, 0.3755297257,
    107.7562698, 29.77250546, 88.32481135, 23.03929507, 62.85848794, 5.546318688, 11.92244772, 5.555448243,
    0.9218489762,
    94.59927549, 77.29698353,
    63.05263039, 53.97970677, 24.64355755, 61.30192144, 22.21000000, 40.06374673, 38.10034370, 46.53415582,
    47.44573456, 41.10581288, 18.11349055, 50.00000000,
)
"""The 50 states of the mode-1 base case: reactor vapour A B C, reactor liquid D..H, reactor energy; separator the same;
stripper sump liquid A..H and energy; feed header A..H and energy; two cooling-water temperatures; 12 valves in %."""
START_VALVES: Final = (
    63.053, 53.980, 24.644, 61.302, 22.210, 40.064, 38.100, 46.534, 47.446, 41.106, 18.114, 50.00000000,
)
"""Controller outputs XMV 1..12 after the first evaluation at the start of a run, %."""
VALVE_TIME_S: Final = (8.0, 8.0, 6.0, 9.0, 7.0, 5.0, 5.0, 5.0, 120.0, 5.0, 5.0, 5.0)
"""Time constants of the valves, seconds."""

START_TEMPERATURES: Final = (120.0, 80.0, 66.0, 86.0)
"""Where Newton's iteration for reactor, separator, stripper and header starts from, degC."""

CHANNEL_BASE: Final = (
    0.485, 0.005, 45.0, 45.0, 35.0, 40.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0,
    45.0, 45.0, 100.0, 400.0, 400.0, 1500.0, 1000.0, 1200.0,
)
"""What each disturbance channel sits at while its flag is off."""
CHANNEL_IDV: Final = (8, 8, 9, 10, 11, 12, 13, 13, 16, 17, 18, 20, 21, 22, 23, 24, 25, 26, 27, 28)
"""The disturbance that moves each channel; 21..28 are the additional disturbances of 2015."""
CHANNEL_SPANS: Final = (
    (0.2, 0.5, 0.03), (0.7, 1.0, 0.003), (0.25, 0.5, 10.0), (0.7, 1.0, 10.0), (0.15, 0.25, 10.0), (0.15, 0.25, 10.0),
    (1.0, 2.0, 0.25), (1.0, 2.0, 0.25), (0.4, 0.5, 0.25), (1.5, 2.0, 0.0), (2.0, 3.0, 0.0), (1.5, 2.0, 0.0),
    (0.15, 0.25, 10.0), (0.25, 0.5, 10.0), (0.15, 0.25, 5.0), (0.25, 0.5, 20.0), (0.25, 0.5, 20.0),
    (0.7, 1.0, 75.0), (0.1, 0.2, 50.0), (0.1, 0.2, 60.0),
)
"""Of each channel: spread and middle of the length of a segment (h), spread of the value at its end."""
FIRST_SEGMENT_H: Final = 0.1
RAMPS: Final = (9, 10, 11)
"""Channels (counted from 0) that ramp up as a parabola and fall back instead of walking."""

NOISE: Final = (
    0.0012, 18.0, 22.0, 0.05, 0.2, 0.21, 0.3, 0.5, 0.01, 0.0017, 0.01, 1.0, 0.3, 0.125, 1.0, 0.3, 0.115, 0.01, 1.15,
    0.2, 0.01, 0.01,
    0.25, 0.1, 0.25, 0.1, 0.25, 0.025, 0.25, 0.1, 0.25, 0.1, 0.25, 0.025, 0.05, 0.05, 0.01, 0.01, 0.01, 0.5, 0.5,
)
"""Standard deviation of the noise of XMEAS 1..41 in their units."""
MEASURED_BASE: Final = (
    0.25052, 3664.0, 4509.3, 9.3477, 26.902, 42.339, 2705.0, 75.000, 120.40, 0.33712, 80.109, 50.000, 2633.7, 25.160,
    50.000, 3102.2, 22.949, 65.731, 230.31, 341.43, 94.599, 77.297,
    32.188, 8.8933, 26.383, 6.8820, 18.776, 1.6567, 32.958, 13.823, 23.978, 1.2565, 18.579, 2.2633, 4.8436, 2.2986,
    0.017866, 0.83570, 0.098577, 53.724, 43.828,
)
"""XMEAS 1..41 without noise at the base case."""
# fmt: on

GAS_PERIOD_H: Final = 0.1
PRODUCT_PERIOD_H: Final = 0.25
GAS_ANALYSERS: Final = 14
"""XMEAS 23..36; the five after them analyse the product."""

FT3_PER_M3: Final = 35.3145
TRIP_PRESSURE: Final = 3000.0
"""Reactor, kPa gauge."""
TRIP_TEMPERATURE: Final = 175.0
"""Reactor, degC."""
TRIP_REACTOR_M3: Final = (2.0, 24.0)
TRIP_SEPARATOR_M3: Final = (1.0, 12.0)
TRIP_STRIPPER_M3: Final = (1.0, 8.0)

HELD_VALVE: Final = 61.302
"""Where the benchmark's fault 21 holds valve 4, %."""

LOSS_COST: Final = (2.206, 0.0, 6.177, 22.06, 14.56, 17.89, 30.44, 22.94)
"""Of A..H, $/kmol."""
WORK_COST: Final = 0.0536
"""$/kWh of compressor work."""
STEAM_COST: Final = 0.0318
"""$/kg of steam."""
LBMOL_KMOL: Final = 0.4536
