"""A plant of insulated and bare lines: the owner's records, and the truth they hide.

The truth is no API RP 581: steel loses metal by Arrhenius' law with the local temperature, as far as the heat leaves
water there, for the hidden share of time that it is wet, after a coating's life. The records are what owners have: a
tenth of the insulation written down wrong, one temperature for a whole line, places inspected because they looked bad,
readings with noise and slips of the hand.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulators.piping.records import (
    INSULATION,
    METHOD,
    PART,
    Codes,
    Floats,
    Indices,
    Inspections,
    Layout,
    Lines,
    Plant,
    Points,
    Times,
    Truth,
    Weather,
)
from simulators.piping.weather import weather

AT: Final = np.datetime64("2026-04-01", "ns")
YEAR: Final = np.timedelta64(31_556_952, "s")
AHEAD_Y: Final = 40
LIMITS: Final = {"visual": 0.64, "dr": 0.64, "pec": 1.27, "guided_wave": 2.54}
"""What the methods see, mm of loss."""
SIZES: Final = np.array(
    [
        (1.0, 33.4, 3.38),
        (1.5, 48.3, 3.68),
        (2.0, 60.3, 3.91),
        (3.0, 88.9, 5.49),
        (4.0, 114.3, 6.02),
        (6.0, 168.3, 7.11),
        (8.0, 219.1, 8.18),
        (10.0, 273.1, 9.27),
        (12.0, 323.9, 9.53),
        (16.0, 406.4, 9.53),
    ]
)
"""Nominal size inch, outer diameter mm, wall mm (schedule 40 and standard)."""
SERVICES: Final = ("steam", "condensate", "cooling water", "naphtha", "LPG", "hot oil", "process gas", "chilled brine")


@dataclass(frozen=True, slots=True)
class _Hidden:
    """Truth of the lines."""

    insulation: Codes
    wetness: Floats
    pace: Floats
    craft: Floats
    leaking: Floats


def plant(
    seed: int,
    lines: int = 240,
    points: int = 28,
    plants: int = 4,
    prevalence: float = 0.115,
    inspected: float = 0.30,
    at: np.datetime64 = AT,
) -> tuple[Plant, Truth]:
    """A plant of `lines` x `points` places and what is true of it.

    Args:
        seed: everything follows from it.
        plants: units that the lines belong to in turn.
        prevalence: share of damaged points; the plant's corrosivity is set to give it.
        inspected: share of points with findings.
        at: today.

    Raises:
        ValueError: a number is out of its range.
    """
    if min(lines, points, plants) < 1 or not 0.0 < prevalence < 0.5 or not 0.0 < inspected <= 1.0:
        raise ValueError(
            f"{lines} lines x {points} points, prevalence {prevalence}, inspected {inspected}: out of range"
        )
    at = at.astype("datetime64[ns]")
    rng = np.random.default_rng([seed, 581])
    register, hidden = _lines(rng, lines, plants, at)
    places, jacket = _points(rng, lines, points, register, at)
    row = places.line
    p = len(row)
    t_local = register.t_op[row] + np.clip(rng.normal(0.0, 7.0, p), -15.0, 15.0)
    dead = places.part == PART.index("dead_leg")
    t_local = np.where(dead & (t_local > 60.0), 0.55 * t_local + 20.0, t_local)
    swing = np.where(np.isfinite(register.t_min), register.t_max - register.t_min, 0.0)[row]
    wet = _wet_fraction(rng, register, places, hidden, jacket, t_local)
    bare = hidden.insulation[row] == 0
    attack = _attack(t_local, swing)
    pace = np.exp(hidden.pace[row] + rng.normal(0.0, 0.45, p)) * (1.0 + 0.8 * (places.interface == 1))
    unit = np.where(bare, 0.30 * attack * (0.4 + 0.6 * wet), attack * wet) * pace
    life = _coating_life(rng, register, hidden, row, t_local)
    built = (at - register.installed[row]) / YEAR
    coated = np.where(register.coating[row] == 0, built, (at - register.coated_on[row]) / YEAR)
    first = np.where(coated < built, _coating_life(rng, register, hidden, row, t_local), 0.0)
    power = np.where(bare, 0.7, 1.0)
    age = _corroding(built, coated, first, life)
    limit = np.maximum(1.0, 0.2 * register.t_nom[row])
    # the corrosivity at which the wanted share of points has lost its limit
    need = np.where(age > 0, limit / np.maximum(unit * age**power, 1e-9), np.inf)
    rate = unit * np.partition(need, int(prevalence * p))[int(prevalence * p)]
    wall = register.t_nom[row] * (1.0 + rng.uniform(-0.08, 0.06, p))
    past = 60
    years = np.arange(-past, AHEAD_Y + 1.0)
    since = _corroding(built[:, None] + years, coated[:, None] + years, first[:, None], life[:, None])
    depth = _grow(rng, rate, since ** power[:, None])
    depth = np.minimum(depth, wall[:, None])
    now = depth[:, past]
    chosen = _choose(rng, register, places, now, limit, inspected, at)
    findings, blunder = _inspect(rng, register, places, chosen, years, depth, wall, at)
    records = Plant(seed, at, register, places, findings, _year(seed, at), layout(register, points))
    seen = np.zeros(p, dtype=np.bool_)
    seen[chosen] = True
    truth = Truth(
        hidden.insulation, t_local, wet, life, rate, wall, np.arange(AHEAD_Y + 1.0), depth[:, past:], now >= limit,
        seen, blunder,
    )  # fmt: skip
    return records, truth


def _lines(rng: np.random.Generator, n: int, plants: int, at: np.datetime64) -> tuple[Lines, _Hidden]:
    size = SIZES[rng.choice(len(SIZES), n, p=[0.08, 0.07, 0.15, 0.15, 0.15, 0.15, 0.1, 0.06, 0.05, 0.04])]
    unit = np.arange(n) % plants
    kind = rng.choice(3, n, p=[0.12, 0.63, 0.25])
    t_op = np.choose(kind, [rng.uniform(-20, 15, n), rng.uniform(20, 160, n), rng.uniform(160, 330, n)]).round(0)
    cycles = rng.random(n) < 0.2
    swing = rng.uniform(10, 60, n)
    truly = rng.choice(9, n, p=[0.14, 0.32, 0.1, 0.22, 0.09, 0.05, 0.05, 0.03, 0.0])
    truly = np.where((kind == 0) & (truly > 0), INSULATION.index("polyurethane"), truly)
    other = (truly + rng.integers(1, 9, n)) % 9
    # bare pipe is not taken for an insulated one, and rarely the other way round
    other = np.where((other == 0) | (truly == 0), np.where(truly == 0, 0, 8), other)
    said = np.where(rng.random(n) < 0.10, other, truly)
    age = rng.uniform(6.0, 48.0, n)
    recoated = rng.random(n) < 0.25
    coating = rng.choice(4, n, p=[0.1, 0.3, 0.4, 0.2])
    coat_age = np.where(recoated & (coating > 0), age * rng.uniform(0.1, 0.9, n), age)
    driver_true = rng.choice(4, plants, p=[0.0, 0.35, 0.5, 0.15])[unit]
    driver = np.where(
        rng.random(n) < 0.25, -1, np.clip(driver_true + rng.choice([-1, 0, 1], n, p=[0.1, 0.8, 0.1]), 0, 3)
    )
    traced = (rng.random(n) < 0.15) & (kind == 1)
    sheltered = rng.random(n) < 0.2
    tower = np.clip(rng.lognormal(5.0, 0.8, n), 10, 2000).round(0)
    grade = rng.choice([1, 2, 3], n, p=[0.2, 0.5, 0.3])
    pressure = rng.uniform(0.3, 3.0, n).round(1)
    register = Lines(
        id=tuple(f"L-{at_row + 101:04d}" for at_row in range(n)),
        plant=tuple(f"U{u + 1}" for u in unit.tolist()),
        service=tuple(np.array(SERVICES)[rng.integers(0, len(SERVICES), n)].tolist()),
        nps=size[:, 0],
        diameter=size[:, 1],
        t_nom=size[:, 2],
        t_req=np.full(n, np.nan),
        material=_codes(np.where(rng.random(n) < 0.9, 0, 1)),
        t_op=t_op,
        t_min=np.where(cycles, t_op - swing, np.nan).round(0),
        t_max=np.where(cycles, t_op + 0.2 * swing, np.nan).round(0),
        pressure=pressure,
        stress=np.full(n, 137.9),
        weld=np.where(rng.random(n) < 0.7, 1.0, 0.85),
        yield_strength=np.full(n, 240.0),
        tensile_strength=np.full(n, 415.0),
        insulation=_codes(said),
        coating=_codes(coating),
        installed=_before(at, age),
        coated_on=_before(at, coat_age),
        driver=_codes(driver),
        heat_traced=_codes(traced),
        sheltered=_codes(sheltered),
        tower_m=tower,
        pipe_class=_codes(grade),
        consequence=(np.choose(grade - 1, [3.0, 1.0, 0.4]) * rng.lognormal(0.0, 0.3, n)).round(2),
    )
    place = rng.normal(0.0, 0.45, plants)[unit] + 0.5 * (driver_true - 1.5)
    hidden = _Hidden(
        _codes(truly),
        place + rng.normal(0.0, 0.8, n) + 0.9 * np.exp(-tower / 80.0) - 0.7 * sheltered,
        rng.normal(0.0, 0.15, plants)[unit] + rng.normal(0.0, 0.3, n),
        rng.normal(0.0, 0.25, n),
        (traced & (rng.random(n) < 0.35)).astype(np.float64),
    )
    return register, hidden


def _points(
    rng: np.random.Generator, lines: int, points: int, register: Lines, at: np.datetime64
) -> tuple[Points, Floats]:
    """The points and how bad their jackets really are (standard normal, worse upwards)."""
    p = lines * points
    row = np.repeat(np.arange(lines), points)
    part = rng.choice(9, p, p=[0.44, 0.14, 0.05, 0.12, 0.06, 0.04, 0.05, 0.07, 0.03])
    support = part == PART.index("support")
    age = ((at - register.installed) / YEAR)[row]
    jacket = rng.normal(0.0, 0.8, p) + rng.normal(0.0, 0.45, lines)[row] + 0.02 * (age - 27.0)
    looks = jacket + rng.normal(0.0, 0.6, p)
    insulated = register.insulation[row] > 0
    places = Points(
        id=tuple(f"{register.id[line]}-{at_point + 1:02d}" for line in range(lines) for at_point in range(points)),
        line=row,
        part=_codes(part),
        on_beam=_codes(support & (rng.random(p) < 0.4)),
        interface=_codes((part == PART.index("penetration")) & (rng.random(p) < 0.35)),
        complexity=_codes(np.where(part == 0, rng.choice([0, 1], p), rng.choice([1, 2], p, p=[0.6, 0.4]))),
        condition=_codes(np.digitize(looks + rng.normal(0.0, 0.5, p), [-0.7, 0.8])),
        jacket_damage=_codes(np.where(insulated, np.digitize(looks, [0.4, 1.5]), 0)),
        height_m=np.round(rng.uniform(0.3, 12.0, lines)[row] + rng.uniform(0.0, 1.0, p), 1),
        wet_fraction=np.full(p, np.nan),
    )
    return places, jacket


def _wet_fraction(
    rng: np.random.Generator, register: Lines, places: Points, hidden: _Hidden, jacket: Floats, t: Floats
) -> Floats:
    row = places.line
    by_part = np.array([-0.2, 0.35, 0.2, 0.6, 0.5, 0.45, 0.9, 0.3, 0.8])[places.part]
    by_type = np.array([0.6, 0.2, 0.1, 0.5, 0.1, -0.9, -0.2, 0.3, 0.0])[hidden.insulation[row]]
    cold = 1.1 * ((t > -2.0) & (t < 18.0))
    low = 0.25 * (places.height_m < 2.0)
    value = (
        -1.7 + hidden.wetness[row] + 0.75 * jacket + by_part + by_type + cold + low + 1.2 * hidden.leaking[row]
        + 0.5 * (places.on_beam == 1) + rng.normal(0.0, 0.7, len(row))
    )  # fmt: skip
    found: Floats = 1.0 / (1.0 + np.exp(-value))
    return found


def _attack(t: Floats, swing: Floats) -> Floats:
    """Pace at a temperature relative to 60 °C: Arrhenius (24 kJ/mol), less what dries off and what is frozen."""
    total = np.zeros_like(t)
    for share in (-0.8, -0.4, 0.0, 0.1, 0.2):
        at = t + share * swing
        kelvin = np.clip(at, -60.0, None) + 273.15
        speed = np.exp(-24_000.0 / 8.314 * (1.0 / kelvin - 1.0 / 333.15))
        dry = 1.0 / (1.0 + np.exp((at - 118.0) / 13.0))
        thawed = 1.0 / (1.0 + np.exp(-(at + 3.0) / 2.0))
        total += speed * dry * thawed / 5.0
    return total * (1.0 + 0.15 * (swing > 0))


def _coating_life(rng: np.random.Generator, register: Lines, hidden: _Hidden, row: Indices, t: Floats) -> Floats:
    median = np.array([0.0, 2.5, 8.0, 16.0])[register.coating[row]]
    heat = np.clip(1.0 - 0.004 * np.clip(t - 60.0, 0.0, 150.0), 0.3, 1.0)
    found: Floats = median * heat * np.exp(hidden.craft[row]) * rng.weibull(3.0, len(row)) / np.log(2.0) ** (1 / 3)
    return found


def _corroding(built: Floats, coated: Floats, first: Floats, life: Floats) -> Floats:
    """Years without a coating that holds, of pipe built and newly coated so many years before (negative: not yet)."""
    under_first = np.minimum(built, built - coated) - first
    found: Floats = np.clip(under_first, 0.0, None) + np.clip(coated - life, 0.0, None)
    return found


def _grow(rng: np.random.Generator, rate: Floats, since: Floats) -> Floats:
    """(P, Y) loss: gamma steps of unequal pace, year by year."""
    step = np.diff(since, axis=1, prepend=0.0)
    # seasons differ: a year's gain has a coefficient of variation of two thirds
    gain = np.where(step > 0, rng.gamma(np.maximum(step, 1e-9) / 0.45) * 0.45, 0.0)
    found: Floats = np.cumsum(rate[:, None] * gain, axis=1)
    return found


def _choose(
    rng: np.random.Generator, register: Lines, places: Points, loss: Floats, limit: Floats, share: float,
    at: np.datetime64,
) -> Indices:  # fmt: skip
    """The points the owner had looked at: old, in the warm band, shabby, or stained with rust."""
    row = places.line
    age = ((at - register.installed) / YEAR)[row]
    t = register.t_op[row]
    want = (
        0.9 * ((t > 40) & (t < 150))
        + 0.04 * (age - 27)
        + 0.6 * places.jacket_damage
        + 0.5 * np.isin(places.part, [3, 6, 8])
        + 0.4 * (register.pipe_class[row] == 1)
        + 0.5 * np.clip(loss / limit, 0.0, 2.0)
        + rng.normal(0.0, 0.5, len(register.id))[row]
        + rng.gumbel(0.0, 0.8, len(row))
    )
    return np.sort(np.argsort(-want, kind="stable")[: max(1, round(share * len(row)))])


def _inspect(
    rng: np.random.Generator, register: Lines, places: Points, chosen: Indices, clock: Floats, depth: Floats,
    wall: Floats, at: np.datetime64,
) -> tuple[Inspections, NDArray[np.bool_]]:  # fmt: skip
    count = 1 + rng.poisson(0.7, len(chosen))
    point = np.repeat(chosen, count)
    age = ((at - register.installed) / YEAR)[places.line[point]]
    ago = np.minimum(rng.uniform(0.2, 11.0, len(point)), 0.95 * age)
    # a few lines were measured when they were built
    measured = chosen[rng.random(len(register.id))[places.line[chosen]] < 0.15]
    point = np.concatenate([point, measured])
    full_age = ((at - register.installed) / YEAR)[places.line[measured]]
    ago = np.concatenate([ago, full_age])
    built = np.arange(len(point)) >= len(point) - len(measured)
    order = np.lexsort((point, -ago))
    point, ago, built = point[order], ago[order], built[order]
    n = len(point)
    loss = _loss_at(clock, depth, point, -ago)
    true = wall[point]
    insulated = register.insulation[places.line[point]] > 0
    draw = rng.random(n)
    screening = insulated & ~built & (draw < 0.25)
    by_eye = ~screening & ~built & (draw < 0.33)
    method = np.where(by_eye, METHOD.index("visual"), METHOD.index("ut"))
    method = np.where(screening, rng.choice([METHOD.index(name) for name in ("dr", "pec", "guided_wave")], n), method)
    sigma = 0.15 + 0.08 * np.clip(loss, 0.0, 2.5)
    reading = true - loss + sigma * rng.standard_normal(n)
    blunder = ~(screening | by_eye) & (rng.random(n) < 0.03)
    slip = rng.uniform(0.8, 3.0, n) * rng.choice([-1.0, 1.0], n)
    reading = np.clip(np.where(blunder, reading + slip, reading), 0.3, 1.4 * true).round(2)
    limit = np.array([LIMITS.get(name, np.nan) for name in METHOD])[method]
    ratio = np.maximum(loss, 1e-6) / np.where(np.isnan(limit), 1.0, limit)
    seen = rng.random(n) < 1.0 / (1.0 + ratio ** (-1 / 0.35))
    estimate = loss * np.exp(0.2 * rng.standard_normal(n))
    interval = screening | by_eye
    low = np.where(seen, np.maximum(0.7 * estimate, 0.0), 0.0)
    high = np.where(seen, 1.4 * estimate, limit)
    stripped = ~screening
    effectiveness = np.where(screening, rng.integers(1, 3, n), rng.integers(2, 5, n))
    when = _before(at, ago)
    return (
        Inspections(
            point,
            when,
            _codes(method),
            _codes(effectiveness),
            _codes(stripped),
            np.where(interval, np.nan, reading),
            np.where(interval, low, np.nan).round(2),
            np.where(interval, high, np.nan).round(2),
            np.where(~interval & (rng.random(n) < 0.5), 0.15, np.nan),
        ),
        blunder,
    )


def _loss_at(clock: Floats, depth: Floats, point: Indices, when: Floats) -> Floats:
    """Loss of points at years from today, between the yearly values."""
    place = np.clip(when - clock[0], 0.0, len(clock) - 1.001)
    low = place.astype(np.int64)
    share = place - low
    found: Floats = depth[point, low] * (1.0 - share) + depth[point, low + 1] * share
    return found


def _year(seed: int, at: np.datetime64) -> Weather:
    """Means of the year before `at`."""
    series = weather(seed, at - YEAR, 8766)
    rng = np.random.default_rng([seed, 9223])
    return Weather(
        float(series.temperature_c.mean().round(1)),
        float(series.humidity_pct.mean().round(1)),
        float(series.rain_mm_h.sum().round(0)),
        float(rng.uniform(3.0, 12.0).__round__(1)),
        float(series.cl_mg_m2_d.mean().round(1)),
    )


def layout(register: Lines, points: int) -> Layout:
    """Racks of pipes side by side, one for each unit, with drops to the equipment; points evenly along each line.

    Args:
        points: places on each line.
    """
    units = sorted(set(register.plant))
    lane = dict.fromkeys(units, 0)
    polylines, places = [], []
    for number, unit in enumerate(register.plant):
        at = lane[unit]
        lane[unit] = at + 1
        rack, level = divmod(at, 30)
        y = 60.0 * units.index(unit) + 12.0 * (rack % 3) + 0.32 * (level % 15)
        z = 5.0 + 1.8 * (level // 15)
        left, right = 4.0 + 9.0 * ((number * 7) % 5), 70.0 + 11.0 * ((number * 5) % 6)
        side = -1.0 if number % 2 else 1.0
        corners = np.array(
            [
                (left, y + 6.0 * side, 0.8),
                (left, y + 6.0 * side, z),
                (left, y, z),
                (right, y, z),
                (right, y - 5.0 * side, z),
                (right, y - 5.0 * side, 1.2),
            ]
        )
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
        where = (np.arange(points) + 0.5) / points * along[-1]
        polylines.append(corners)
        places.append(np.column_stack([np.interp(where, along, corners[:, axis]) for axis in range(3)]))
    return Layout(tuple(polylines), np.concatenate(places).round(2))


def _codes(values: Any) -> Codes:
    return np.asarray(values).astype(np.int8)


def _before(at: np.datetime64, years: Floats) -> Times:
    """Days, as registers have them."""
    days = np.round(years * 365.2425).astype(np.int64)
    found: Times = (at.astype("datetime64[D]") - days.astype("timedelta64[D]")).astype("datetime64[ns]")
    return found
