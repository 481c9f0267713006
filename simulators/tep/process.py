"""The plant's algebra and balances: Downs & Vogel (1993), 50 states. One source for floats and rows of plants.

There is no branch on a plant's values here, and every function takes floats or rows `(plants,)` alike (see `numerics`
and `properties`). Subscripts: r reactor, s separator, c stripper sump ("column"), v feed header.
"""

from simulators.tep.constants import (
    DENSITY,
    FT3_PER_M3,
    TRIP_PRESSURE,
    TRIP_REACTOR_M3,
    TRIP_SEPARATOR_M3,
    TRIP_STRIPPER_M3,
    TRIP_TEMPERATURE,
)
from simulators.tep.numerics import Value, exp, maximum, minimum, sqrt, where
from simulators.tep.properties import (
    M_A,
    M_B,
    M_C,
    M_D,
    M_E,
    M_F,
    VAPOUR,
    add_scaled,
    eight,
    exponentials,
    five,
    join,
    liquid5,
    liquid8,
    logs,
    mass8,
    scale5,
    scale8,
    split,
    subtract5,
    subtract8,
    temperatures,
    times5,
    total5,
    total8,
    vapour8,
    volume5,
)

KELVIN = 273.15
GAS = 998.9
GAS_HEAT = 3.57696e-6
HEADER_HEAT = GAS_HEAT * KELVIN
VOLUME_R, VOLUME_S, VOLUME_V = 1300.0, 3500.0, 5000.0
KSCMH = 0.359 / 35.3145
KPA = 101.325 / 760.0
KG_STEAM = 1040.0 * 0.454
REACTOR_LOW, REACTOR_HIGH = (v * FT3_PER_M3 for v in TRIP_REACTOR_M3)
SEPARATOR_LOW, SEPARATOR_HIGH = (v * FT3_PER_M3 for v in TRIP_SEPARATOR_M3)
STRIPPER_LOW, STRIPPER_HIGH = (v * FT3_PER_M3 for v in TRIP_STRIPPER_M3)
SPECIFIC_A, SPECIFIC_B, SPECIFIC_C = (m / d[0] for m, d in zip((M_A, M_B, M_C), DENSITY[:3], strict=True))
KG_D = (0.9999 * M_D + 0.0001 * M_B) * 0.454
KG_E = (0.9999 * M_E + 0.0001 * M_F) * 0.454
# enthalpy of a mole of each feed: D and A carry 0.0001 of B, E carries 0.0001 of F
(D0, D1, D2, D3), (A0, A1, A2, A3), (E0, E1, E2, E3) = (
    tuple(0.9999 * row[main] + 0.0001 * row[trace] for row in VAPOUR) for main, trace in ((3, 1), (0, 1), (4, 5))
)
(V0A, V1A, V2A, V3A), (V0B, V1B, V2B, V3B), (V0C, V1C, V2C, V3C) = (tuple(row[k] for row in VAPOUR) for k in range(3))
RATE_1, RATE_2, RATE_3 = exp(31.5859536), exp(3.00094014), exp(53.4060443)
ACTIVATION = -20000.0 / 1.987
COMPRESSOR = 280275.0
SLOPE = COMPRESSOR / 1.197
WORK = 1.8e-6 * 1.9872
COOLING = 1e6 / 1.8


def evaluate(y: Value, idv: Value, walk: Value, guess: Value, dy: Value, x: Value, true: Value, full: bool) -> Value:
    """Derivatives, and measurements without noise. The valves' own equations are left to `valves`.

    Args:
        y: 50 states.
        idv: the flags of IDV 1..7, 0 or 1.
        walk: 20 disturbance channels.
        guess: 4 temperatures to start from, degC; the solutions are left in it.
        dy: takes the first 38 derivatives, per hour.
        x: takes XMEAS 1..22, if `full`.
        true: takes 19 true compositions of streams 6, 9 and 11, mol%, if `full`.

    Returns:
        Whether the plant is within its trip limits.
    """
    # temperatures from energies
    liquid_r = five(y, 3)
    liquid_s = five(y, 12)
    sump = eight(y, 18)
    header = eight(y, 27)
    n_r = total5(liquid_r)
    n_s = total5(liquid_s)
    n_c = total8(sump)
    n_v = total8(header)
    v0, v1, v2, v3 = vapour8(header)
    temperatures(
        guess,
        liquid5(liquid_r),
        liquid5(liquid_s),
        liquid8(sump),
        v0 - HEADER_HEAT * n_v,
        (v1 - GAS_HEAT * n_v, v2, v3),
        y,
    )
    t_r = guess[0]
    t_s = guess[1]
    t_c = guess[2]
    kelvin_r = t_r + KELVIN
    kelvin_s = t_s + KELVIN
    kelvin_v = guess[3] + KELVIN

    # volumes and partial pressures
    volume_r = volume5(t_r, liquid_r)
    volume_s = volume5(t_s, liquid_s)
    volume_c = volume5(t_c, five(y, 21)) + y[18] * SPECIFIC_A + y[19] * SPECIFIC_B + y[20] * SPECIFIC_C
    space_r = VOLUME_R - volume_r
    per_r = GAS * kelvin_r / space_r
    per_s = GAS * kelvin_s / (VOLUME_S - volume_s)
    pa_r = y[0] * per_r
    pc_r = y[2] * per_r
    log_a, log_c = logs(maximum(pa_r, 1e-300), maximum(pc_r, 1e-300))
    boil_r, boil_s, speed, order = exponentials(t_r, t_s, ACTIVATION / kelvin_r, 1.1544 * log_a + 0.3735 * log_c)
    raoult_r = times5(scale5(liquid_r, 1.0 / n_r), boil_r)
    raoult_s = times5(scale5(liquid_s, 1.0 / n_s), boil_s)
    part_r = join(pa_r, y[1] * per_r, pc_r, raoult_r)
    part_s = join(y[9] * per_s, y[10] * per_s, y[11] * per_s, raoult_s)
    p_r = total8(part_r)
    p_s = total8(part_s)
    p_v = n_v * GAS * kelvin_v / VOLUME_V
    mass_r = mass8(part_r) / p_r
    mass_s = mass8(part_s) / p_s
    mass_v = mass8(header) / n_v

    # reactions: the three Arrhenius factors are powers of one exponential
    order = order * ((pa_r > 0.0) & (pc_r > 0.0)) * space_r
    speed_2 = speed * speed
    k3 = RATE_3 * (speed_2 * speed) * pa_r * space_r
    r1 = walk[6] * RATE_1 * speed_2 * order * raoult_r[0]
    r2 = walk[7] * RATE_2 * speed * order * raoult_r[1]
    r3 = k3 * raoult_r[1]
    r4 = 0.767488334 * k3 * raoult_r[0]

    # flows set by valves
    share_a = walk[0] - 0.03 * idv[0] - 0.00243719 * idv[1]
    share_b = walk[1] + 0.005 * idv[1]
    f_d = y[38] * 0.01 * walk[15]
    f_e = y[39] * 0.01 * walk[16]
    f_a = y[40] * 0.01 * walk[14] * (1.0 - idv[5])
    f_ac = y[41] * 0.01 * walk[17] * (1.0 - 0.2 * idv[6]) + 1e-10
    f_sl = y[44] * 15.0
    f_pr = y[45] * 10.0
    agitator = (y[49] + 150.0) * 0.01

    # flows set by pressures
    f_in = 1937.6 * sqrt(maximum(p_v - p_r, 0.0)) / mass_v
    f_out = 4574.21 * sqrt(maximum(p_r - p_s, 0.0)) * (1.0 - 0.25 * walk[11]) / mass_r
    f_pur = y[43] * 0.151169 * sqrt(maximum(p_s - 760.0, 0.0)) / mass_s
    rise = p_v - p_s
    ratio = minimum(maximum(p_v / p_s, 1.0), 1.3)
    compressed = COMPRESSOR + SLOPE * (1.0 - ratio * ratio * ratio)
    work = compressed * kelvin_s * WORK * rise / (mass_s * p_s)
    f_rec = maximum(compressed - y[42] * 53.349 * sqrt(maximum(rise, 0.0)), 1e-3) / mass_s

    # stripper
    factor = 363.744 / (177.0 - minimum(t_c, 170.0)) - 2.22579488
    factor = where(t_c > 170.0, t_c - 120.262, where(t_c < 5.292, 0.1, factor))
    gas_a = share_a * f_ac
    gas_b = share_b * f_ac
    gas_c = (1.0 - share_a - share_b) * f_ac
    fed = scale5(liquid_s, f_sl / n_s)
    top = join(0.995 * gas_a, 0.991 * gas_b, 0.990 * gas_c, split(f_ac / maximum(f_sl, 0.1) * factor, f_sl > 0.1, fed))

    # heat flows
    height = minimum(maximum(volume_r * (0.025 / 7.8) - 0.25, 0.0), 1.0)
    stirred = (2.75 - 0.5 * agitator) * agitator - 2.5
    heat_r = height * stirred * 0.855490 * (y[36] - t_r) * (1.0 - 0.35 * walk[9])
    k = f_out / 3528.73
    k = k * k
    heat_s = 0.404655 * (1.0 - 1.0 / (1.0 + k * k)) * (y[37] - t_r) * (1.0 - 0.25 * walk[10])
    heat_c = y[46] * 0.0003 * (1.0 + walk[8]) * maximum(100.0 - t_c, 0.0)

    # enthalpy flows; liquid carries what its vessel's energy says, the header's vapour its energy and RT
    t_d = walk[2] + 5.0 * idv[2]
    t_a = walk[12]
    t_e = walk[13]
    t_ac = walk[3]
    energy_d = f_d * (D0 + t_d * (D1 + t_d * (D2 + t_d * D3)))
    energy_e = f_e * (E0 + t_e * (E1 + t_e * (E2 + t_e * E3)))
    energy_a = f_a * (A0 + t_a * (A1 + t_a * (A2 + t_a * A3)))
    energy_ac = (
        gas_a * (V0A + t_ac * (V1A + t_ac * (V2A + t_ac * V3A)))
        + gas_b * (V0B + t_ac * (V1B + t_ac * (V2B + t_ac * V3B)))
        + gas_c * (V0C + t_ac * (V1C + t_ac * (V2C + t_ac * V3C)))
    )
    v0, v1, v2, v3 = vapour8(top)
    energy_top = v0 + t_c * (v1 + t_c * (v2 + t_c * v3))
    energy_in = f_in * (y[35] / n_v + GAS_HEAT * kelvin_v)
    out = f_out / p_r
    v0, v1, v2, v3 = vapour8(part_r)
    energy_out = out * (v0 + t_r * (v1 + t_r * (v2 + t_r * v3)))
    v0, v1, v2, v3 = vapour8(part_s)
    mole = (v0 + t_s * (v1 + t_s * (v2 + t_s * v3))) / p_s
    energy_rec = f_rec * mole + work
    energy_sl = f_sl * y[17] / n_s

    # balances
    into = scale8(header, f_in / n_v)
    leaving = scale8(part_r, out)
    recycled = f_rec / p_s
    product = f_pr / n_c
    add_scaled(dy, 0, into, leaving, -1.0)
    dy[0] = dy[0] - (r1 + r2 + r3)
    dy[2] = dy[2] - (r1 + r2)
    dy[3] = dy[3] - (r1 + 1.5 * r4)
    dy[4] = dy[4] - (r2 + r3)
    dy[5] = dy[5] + (r3 + r4)
    dy[6] = dy[6] + r1
    dy[7] = dy[7] + r2
    dy[8] = energy_in - energy_out + r1 * 0.06899381054 + r2 * 0.05 + heat_r
    add_scaled(dy, 9, leaving, part_s, -(f_rec + f_pur) / p_s)
    subtract5(dy, 12, fed)
    dy[17] = energy_out - energy_rec - f_pur * mole - energy_sl + heat_s
    add_scaled(dy, 18, join(gas_a, gas_b, gas_c, fed), top, -1.0)  # the large flows first, for the last digits' sake
    add_scaled(dy, 18, eight(dy, 18), sump, -product)
    dy[26] = energy_ac + energy_sl - energy_top - f_pr * y[26] / n_c + heat_c
    add_scaled(dy, 27, top, part_s, recycled)
    subtract8(dy, 27, into)
    dy[27] = dy[27] + 0.9999 * f_a
    dy[28] = dy[28] + 0.0001 * (f_d + f_a)
    dy[30] = dy[30] + 0.9999 * f_d
    dy[31] = dy[31] + 0.9999 * f_e
    dy[32] = dy[32] + 0.0001 * f_e
    dy[35] = energy_d + energy_e + energy_a + energy_top + energy_rec - energy_in
    dy[36] = (y[47] * 0.01 * walk[18] * 500.53 * (walk[4] + 5.0 * idv[3] - y[36]) - heat_r * COOLING) / 7060.0
    dy[37] = (y[48] * 0.01 * walk[19] * 500.53 * (walk[5] + 5.0 * idv[4] - y[37]) - heat_s * COOLING) / 11138.0

    pressure = (p_r - 760.0) * KPA
    if full:
        x[0] = f_a * KSCMH
        x[1] = f_d * KG_D
        x[2] = f_e * KG_E
        x[3] = f_ac * KSCMH
        x[4] = f_rec * KSCMH
        x[5] = f_in * KSCMH
        x[6] = pressure
        x[7] = (volume_r - 84.6) / 6.667
        x[8] = t_r
        x[9] = f_pur * KSCMH
        x[10] = t_s
        x[11] = (volume_s - 27.5) / 2.9
        x[12] = (p_s - 760.0) * KPA
        x[13] = f_sl * volume_s / n_s / FT3_PER_M3
        x[14] = (volume_c - 78.25) / 1.565
        x[15] = (p_v - 760.0) * KPA
        x[16] = f_pr * volume_c / n_c / FT3_PER_M3
        x[17] = t_c
        x[18] = heat_c * KG_STEAM
        x[19] = work * 293.07
        x[20] = y[36]
        x[21] = y[37]
        k = 100.0 / n_v
        for j in range(6):
            true[j] = header[j] * k
        k = 100.0 / p_s
        for j in range(8):
            true[6 + j] = part_s[j] * k
        k = 100.0 / n_c
        for j in range(5):
            true[14 + j] = sump[3 + j] * k
    return (
        (pressure <= TRIP_PRESSURE)
        & (volume_r <= REACTOR_HIGH)
        & (volume_r >= REACTOR_LOW)
        & (t_r <= TRIP_TEMPERATURE)
        & (volume_s <= SEPARATOR_HIGH)
        & (volume_s >= SEPARATOR_LOW)
        & (volume_c <= STRIPPER_HIGH)
        & (volume_c >= STRIPPER_LOW)
    )
