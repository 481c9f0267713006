"""From the tables of a plant to what is known of every point: physics, learned likelihood, findings, forecast."""

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from models.corrosion import api581, atmospheric, thickness
from models.corrosion.coefficients import number, row
from models.corrosion.degradation import (
    LIFE_FACTOR,
    SPREAD_LINE,
    SPREAD_PLANT,
    SPREAD_POINT,
    Evidence,
    Forecast,
    Prior,
    crossing,
    forecast,
)
from models.corrosion.likelihood import Learned, damage_limit, learn, rank, shift
from models.corrosion.reasons import Bits, flags
from models.corrosion.tables import (
    EFFECTIVENESS,
    PART,
    YEAR_S,
    Assessment,
    Flags,
    Floats,
    Indices,
    Inspections,
    Lines,
    Points,
    Times,
    Weather,
)
from models.corrosion.trend import Pair, runs_away, straight_on

NEXT_Y: Final = 2.0
"""Years until the next opportunity to strip (a shutdown)."""
LEAST_RATE: Final = number("assumed.rate")
"""mm/y taken where physics says 0: outside the tables is not immune."""
LEARNED_SHARE: Final = number("learned.share")
"""How far the rates follow the learned probability; the findings do the rest (chosen on simulated plants apart)."""
CONTRADICTION: Final = number("reading.contradicts")
UNKNOWN_AGE_Y: Final = float(row("assumed.age")[1])
APART_Y, LEAST_Y = row("api570.apart").tolist()
"""Years that must lie between two readings for a rate, and where the loss between them is beyond their errors."""
SURE: Final = number("api570.sure")


class Physics(NamedTuple):
    """What the standards say of `P` points before any finding."""

    prior: Prior
    rate: Floats
    """(P,) API RP 581 final rate: under insulation, or external for bare pipe, mm/y."""
    t_req: Floats
    t_min: Floats
    """(P,) by pressure alone."""
    reasons: Bits


def years_between(earlier: Times | np.datetime64, later: Times | np.datetime64) -> Floats:
    """Years from one date to another; NaN for an unknown one."""
    span = np.asarray(later, dtype="datetime64[ns]") - np.asarray(earlier, dtype="datetime64[ns]")
    found: Floats = np.where(np.isnat(span), np.nan, span / np.timedelta64(1, "s") / YEAR_S)
    return found


def physics(lines: Lines, points: Points, weather: Weather, at: np.datetime64) -> Physics:
    """Rates, ages and required walls by the standards."""
    line = points.line
    age = years_between(lines.installed, at)
    coated = np.fmin(years_between(lines.coated_on, at), age)
    backward = (age < 0) | (years_between(lines.coated_on, at) < 0)
    unknown = np.isnan(age)
    age = np.where(unknown, UNKNOWN_AGE_Y, np.maximum(age, 0.0))
    c_age = api581.coating_age(lines.coating)
    coated = np.where((c_age == 0) | np.isnan(coated), age, np.maximum(coated, 0.0))
    by_site = api581.driver(
        points.wet_fraction, weather.rain_mm_y, weather.cl_mg_m2_d, indoors=(lines.sheltered == 1)[line]
    )
    driver = np.where(lines.driver[line] >= 0, lines.driver[line], by_site)
    driver = np.where(np.isfinite(points.wet_fraction), np.maximum(driver, by_site), driver)
    driver = np.where(driver < 0, 2, driver)  # nothing known at all: moderate
    t, low, high = lines.t_op[line], lines.t_min[line], lines.t_max[line]
    no_t = np.isnan(t) & np.isnan(low) & np.isnan(high)
    t = np.where(np.isnan(t), np.where(no_t, number("assumed.t"), np.fmax(low, high)), t)
    bare = (lines.insulation == 0)[line]
    cui = api581.cui_final_rate(
        api581.cui_rate(t, driver, low, high), lines.insulation[line], points.complexity, points.condition,
        points.on_beam, points.interface,
    )  # fmt: skip
    external = api581.external_final_rate(api581.external_rate(t, driver, low, high), points.on_beam, points.interface)
    table = np.where(bare, external, cui)
    first_um = _first_year(weather)
    years = np.maximum(age[line], 1.0)
    power = np.where(bare, row("iso9224.mean")[0], 1.0)
    slope = first_um / 1000.0 * atmospheric.growth(years, power) / years
    slope = np.where(external > 0, slope * api581.equipment_factor(points.on_beam, points.interface), 0.0)
    steel = ((lines.material == 0) | (lines.material == 1) | (lines.material < 0))[line]
    rate = np.where(steel, np.where(bare, slope, table), 0.0)
    t_nom = lines.t_nom[line]
    no_wall = ~(t_nom > 0)
    t_nom = np.where(no_wall, 7.0, t_nom)
    t_min = thickness.pressure_minimum(lines.pressure, lines.diameter, lines.stress, lines.weld)
    t_req = thickness.required_thickness(t_min, thickness.structural_minimum(lines.nps), lines.t_req)
    no_req = np.isnan(t_req)[line]
    t_req = np.where(no_req, 0.5 * t_nom, t_req[line])
    prior = Prior(
        rate=np.maximum(rate, LEAST_RATE),
        power=power,
        age_y=age[line],
        coated_y=coated[line],
        life_y=c_age[line] * LIFE_FACTOR,
        t_nom=t_nom,
        line=line,
        plant=np.unique(np.array(lines.plant, dtype=str), return_inverse=True)[1].reshape(-1).astype(np.int64),
    )
    reasons = flags(
        invalid_input=no_wall | unknown[line] | no_t | no_req,
        clock_back=backward[line],
        outside_table=table == 0,
        outside_range=~steel,
        climate_missing=np.isnan(weather.humidity_pct + weather.so2_mg_m2_d + weather.cl_mg_m2_d) & bare,
        no_coating=(c_age == 0)[line],
        old_coating=(c_age > 0)[line] & (coated > c_age * LIFE_FACTOR)[line],
        worst_temperature=~bare & (t >= 77.0) & (t <= 110.0),
        cycling=(np.isfinite(low) & np.isfinite(high) & (high - low > 5.0)),
        jacket_damaged=(points.jacket_damage > 0) | (points.condition == 2),
        water_trap=np.isin(points.part, [PART.index(name) for name in ("support", "low_point", "dead_leg")])
        | (points.on_beam == 1),
        soil_interface=points.interface == 1,
        salt=weather.cl_mg_m2_d >= 60.0,
        wet_now=points.wet_fraction >= 0.6,
    )
    t_min = np.nan_to_num(t_min, nan=0.0)[line]
    return Physics(prior, np.where(steel, table, 0.0), t_req, t_min, reasons)


def _first_year(weather: Weather) -> float:
    """First-year loss of steel, µm, with stand-ins for what is not known of the climate."""
    known = (weather.temperature_c, weather.humidity_pct, weather.so2_mg_m2_d, weather.cl_mg_m2_d)
    t, rh, so2, cl = (
        given if given == given else usual for given, usual in zip(known, row("assumed.climate").tolist(), strict=True)
    )
    ranges = (row("iso9223.range_t"), row("iso9223.range_rh"), row("iso9223.range_so2"), row("iso9223.range_cl"))
    clamped = [float(np.clip(value, *limits)) for value, limits in zip((t, rh, so2, cl), ranges, strict=True)]
    return float(atmospheric.iso9223("carbon_steel", *clamped))


class Findings(NamedTuple):
    """Findings that can be used: of a known point, dated, neither before the pipe nor after the day."""

    evidence: Evidence
    rows: Indices
    """(n,) of the table."""
    late: Indices
    """Rows that are left out for their date."""


def evidence_of(inspections: Inspections, base: Physics, at: np.datetime64) -> Findings:
    ago = years_between(inspections.at, at)
    measured = inspections.reading > 0
    interval = ~measured & ((inspections.loss_low > 0) | (inspections.loss_high > 0))
    dated = (ago >= 0) & (ago <= base.prior.age_y[inspections.point] + 0.02)
    rows = np.flatnonzero((measured | interval) & dated)
    usual = row("reading.sigma")
    method = inspections.method[rows]
    given = np.maximum(inspections.sigma[rows], number("reading.least"))  # NaN stays
    sigma = np.where(inspections.sigma[rows] > 0, given, usual[np.where(method < 0, 0, method)])
    evidence = Evidence(
        inspections.point[rows],
        ago[rows],
        np.where(measured[rows], inspections.reading[rows], np.nan),
        sigma,
        np.where(measured[rows], 0.0, np.nan_to_num(inspections.loss_low[rows], nan=0.0)),
        np.where(measured[rows], np.nan, inspections.loss_high[rows]),
    )
    return Findings(evidence, rows, np.flatnonzero(~dated))


def labels(inspections: Inspections, found: Findings, base: Physics) -> tuple[Indices, Floats, Floats]:
    """Points, years before and loss, in limits of damage, of the stripped places that tell damaged from sound."""
    e = found.evidence
    limit = damage_limit(base.prior.t_nom)[e.point]
    stripped = inspections.stripped[found.rows] == 1
    loss = base.prior.t_nom[e.point] - e.reading
    low, high = e.low, np.where(np.isnan(e.high), np.inf, e.high)
    middle = 0.5 * (low + np.where(np.isinf(high), low, high))
    share = np.where(np.isfinite(loss), loss, np.where(np.isinf(high), low, middle)) / limit
    tells = np.isfinite(loss) | (low >= limit) | (high <= limit) | ((low > 0) & np.isfinite(high))
    # a pipe that was new then says nothing of today's places
    old = base.prior.age_y[e.point] - e.ago_y > 1.0
    use = np.flatnonzero(stripped & tells & old)
    use = use[np.lexsort((share[use], e.ago_y[use], e.point[use]))]
    return e.point[use], e.ago_y[use], share[use]


class Thickness(NamedTuple):
    """Readings of each point, one a day (its thinnest), in the order of time."""

    first: Floats
    first_ago: Floats
    before: Floats
    """The newest that tells a rate: what was measured again within months mostly differs by its errors."""
    before_ago: Floats
    last: Floats
    last_ago: Floats
    previous: Floats
    """Of the day before the last, however near."""
    first_sigma: Floats
    before_sigma: Floats
    last_sigma: Floats


def readings(evidence: Evidence, p: int) -> Thickness:
    """(P,) each; NaN where there are not so many."""
    rows = np.flatnonzero(np.isfinite(evidence.reading))
    keys = (evidence.sigma, -evidence.reading, -evidence.ago_y, evidence.point)
    rows = rows[np.lexsort([key[rows] for key in keys])]
    # the thinnest of a day is the last of its run
    runs = np.stack([evidence.point[rows].astype(np.float64), evidence.ago_y[rows]])
    rows = rows[np.append((np.diff(runs) != 0).any(axis=0), True)] if len(rows) else rows
    point = evidence.point[rows]
    count = np.bincount(point, minlength=p)
    end = np.cumsum(count)
    values, ago, sigma = (np.append(each[rows], np.nan) for each in (evidence.reading, evidence.ago_y, evidence.sigma))
    none = len(rows)
    first = np.where(count > 0, end - count, none)
    last = np.where(count > 0, end - 1, none)
    previous = np.where(count > 1, end - 2, none)
    newest = last[point]
    apart, lost = ago[:-1] - ago[newest], values[:-1] - values[newest]
    tells = (apart >= APART_Y) | ((apart >= LEAST_Y) & (lost >= SURE * np.hypot(sigma[:-1], sigma[newest])))
    before = np.full(p, -1)
    np.maximum.at(before, point[tells], np.flatnonzero(tells))
    before = np.where(before >= 0, before, none)
    return Thickness(values[first], ago[first], values[before], ago[before], values[last], ago[last], values[previous],
                     sigma[first], sigma[before], sigma[last])  # fmt: skip


def assess(
    lines: Lines,
    points: Points,
    inspections: Inspections,
    weather: Weather,
    at: np.datetime64,
    next_y: float = NEXT_Y,
    accept: tuple[float, float, float] | None = None,
    recoated: Flags | None = None,
    seed: int = 0,
) -> Assessment:
    """All that is known of every point on a day; the same tables give the same answer, in whatever order they are.

    Args:
        lines: their table.
        points: their table.
        inspections: what was found, in any order; findings after `at` or from before the pipe are left out.
        weather: the site's year.
        at: the day.
        next_y: years until the next opportunity.
        accept: accepted probability of being below the required wall by pipe class 1, 2, 3; None: the usual one.
        recoated: (L,) lines that get a new coating today.
        seed: of the learners.

    Raises:
        ValueError: a point or an inspection that belongs to nothing, or an accepted probability outside 0..1.
    """
    return assess_all(lines, points, inspections, weather, at, next_y, accept, recoated, seed)[0]


def assess_all(
    lines: Lines,
    points: Points,
    inspections: Inspections,
    weather: Weather,
    at: np.datetime64,
    next_y: float = NEXT_Y,
    accept: tuple[float, float, float] | None = None,
    recoated: Flags | None = None,
    seed: int = 0,
    every_percent: bool = False,
    learning: bool = True,
) -> tuple[Assessment, Forecast, Learned]:
    """As `assess`, with the parts it is made of (see there)."""
    p = len(points.line)
    if p and not (points.line.min() >= 0 and points.line.max() < len(lines.id)):
        raise ValueError("a point belongs to no line of the table")
    if len(inspections.point) and not (inspections.point.min() >= 0 and inspections.point.max() < p):
        raise ValueError("an inspection belongs to no point of the table")
    if accept is not None and not all(0.0 < each < 1.0 for each in accept):
        raise ValueError(f"accepted probabilities {accept}: want three between 0 and 1")
    at = at.astype("datetime64[ns]")
    base = physics(lines, points, weather, at)
    found = evidence_of(inspections, base, at)
    evidence = found.evidence
    limit = damage_limit(base.prior.t_nom)
    point, ago, share = labels(inspections, found, base)
    if not learning:
        point, ago, share = point[:0], ago[:0], share[:0]
    learned = learn(lines, points, base.prior, point, ago, share, seed)
    prior = base.prior
    if learned.fitted:
        width = float(np.sqrt(SPREAD_PLANT**2 + SPREAD_LINE**2 + SPREAD_POINT**2))
        moved = shift(prior, learned.estimate, limit, width)
        prior = replace(prior, rate=prior.rate * np.exp(LEARNED_SHARE * moved))
    anew = np.zeros(p, dtype=np.bool_) if recoated is None else np.asarray(recoated, dtype=np.bool_)[points.line]
    ahead = forecast(prior, evidence, base.t_req, limit, anew, every_percent)
    read = readings(evidence, p)
    total = np.where(np.isnan(read.before), np.nan, read.first_ago - read.last_ago)
    rates = thickness.api570_rates(read.first, read.before, read.last, total, read.before_ago - read.last_ago)
    from_new = (base.prior.t_nom - read.last) / np.maximum(base.prior.age_y - read.last_ago, 0.1)
    governing = np.where(np.isnan(rates.governing), from_new, rates.governing)
    short = governing == rates.short_term
    span = np.where(short, read.before_ago, read.first_ago) - read.last_ago
    older = np.where(short, read.before_sigma, read.first_sigma)
    pair = Pair(read.last, read.last_ago, read.last_sigma, rates.governing, span, older)
    steady = ahead
    ahead = straight_on(steady, runs_away(evidence, steady.surprise, p), pair, prior, base.t_req, limit, anew)
    grade = np.where(np.isin(lines.pipe_class, (1, 2, 3)), lines.pipe_class, 2)[points.line]
    half = thickness.inspection_interval(thickness.remaining_life(read.last, base.t_req, governing), grade) - np.where(
        np.isnan(read.last_ago), 0.0, read.last_ago
    )
    usual = thickness.acceptable_probability(grade)
    allowed = usual if accept is None else np.asarray(accept)[grade - 1]
    half = np.maximum(half, 0.0)
    latest = at_latest(read.last, base.t_req, ahead.thickness[:, 0, 0], half)
    interval = longest_interval(ahead.p_below, allowed, grade, latest)
    p_next = _at(ahead, next_y)
    cost = np.where(lines.consequence >= 0, lines.consequence, 1.0)[points.line]
    a_rt, factor = _damage_factor(lines, points, inspections, found, base, read)
    probability = ahead.p_damage
    # the interval moves with what the findings add to the estimate
    moved_by = _logit(probability) - _logit(learned.estimate)
    low, high = (_shifted(edge, moved_by) for edge in (learned.low, learned.high))
    never = np.bincount(evidence.point, minlength=p) == 0
    newest = _newest(evidence, p)
    contradicts = np.zeros(p, dtype=np.bool_)
    np.logical_or.at(contradicts, evidence.point, np.nan_to_num(np.abs(ahead.surprise)) > CONTRADICTION)
    # where the readings are followed it is the model that they contradict, not each other
    contradicts &= (ahead.rate == steady.rate).all(axis=1)
    reasons = base.reasons | flags(
        prior_only=not learned.fitted,
        never_inspected=never,
        long_since_inspected=~never & (newest > thickness.inspection_cap(grade)),
        reading_grew=contradicts | (read.last > read.previous + 0.3),
        above_nominal=read.last > 1.125 * base.prior.t_nom,
        rate_floored=governing <= 0,
        below_required=(read.last < base.t_req) | (ahead.p_below[:, 0] > 0.5),
        high_probability=p_next > allowed,
        high_consequence=cost >= 2.0,
    )
    assessment = Assessment(
        at=at,
        t_req=base.t_req,
        physics_rate=base.prior.rate,
        a_rt=a_rt,
        damage_factor=factor,
        likelihood=np.stack([np.minimum(low, probability), probability, np.maximum(high, probability)], axis=1),
        rank=rank(probability),
        rate=ahead.rate,
        depth=ahead.depth,
        life=ahead.life,
        years=ahead.years,
        thickness=ahead.thickness,
        p_below=ahead.p_below,
        p_next=p_next,
        risk=p_next * cost,
        long_term=rates.long_term,
        short_term=rates.short_term,
        half_life_y=half,
        interval_y=interval,
        last=read.last,
        last_at=_dates(at, read.last_ago),
        reasons=reasons,
    )
    return assessment, ahead, learned


def longest_interval(p_below: Floats, allowed: float | Floats, pipe_class: ArrayLike, latest: Floats) -> Floats:
    """(P,) years for which the chance of being too thin is acceptable, at most API 570's cap and `latest`."""
    return np.asarray(np.minimum(np.minimum(crossing(p_below, allowed), thickness.inspection_cap(pipe_class)), latest))


def at_latest(last: Floats, t_req: Floats, thinnest: Floats, half_life_y: Floats) -> Floats:
    """(P,) years until a place must be measured whatever the model says; inf where it is free.

    A newest reading may be a slip, but only measuring again shows it: one below the required wall is looked at today,
    one below the wall that the model thinks possible (its 5 %) on the day of API 570's half-life rule.
    """
    return np.asarray(np.where(last < t_req, 0.0, np.where(last < thinnest, half_life_y, np.inf)))


def _logit(p: Floats) -> Floats:
    q = np.clip(p, 1e-6, 1 - 1e-6)
    found: Floats = np.log(q / (1 - q))
    return found


def _shifted(p: Floats, by: Floats) -> Floats:
    found: Floats = 1.0 / (1.0 + np.exp(-(_logit(p) + by)))
    return found


def _at(ahead: Forecast, year: float) -> Floats:
    """(P,) probability of being too thin by a year of the forecast."""
    place = float(np.interp(year, ahead.years, np.arange(len(ahead.years))))
    low = min(int(place), len(ahead.years) - 2)
    found: Floats = ahead.p_below[:, low] + (ahead.p_below[:, low + 1] - ahead.p_below[:, low]) * (place - low)
    return found


def _newest(evidence: Evidence, p: int) -> Floats:
    found = np.full(p, np.inf)
    np.minimum.at(found, evidence.point, evidence.ago_y)
    return found


def _dates(at: np.datetime64, ago_y: Floats) -> Times:
    known = np.isfinite(ago_y)
    days = np.round(np.where(known, ago_y, 0.0) * YEAR_S / 86400.0).astype("timedelta64[D]")
    found: Times = np.where(known, (at - days).astype("datetime64[ns]"), np.datetime64("NaT", "ns"))
    return found


def _damage_factor(
    lines: Lines, points: Points, inspections: Inspections, found: Findings, base: Physics, read: Thickness
) -> tuple[Floats, Floats]:
    """API RP 581 A_rt and damage factor: since the last reading, or since the pipe was built."""
    line, p = points.line, len(points.line)
    c_age = api581.coating_age(lines.coating)[line]
    since = np.where(np.isnan(read.last_ago), base.prior.age_y, read.last_ago)
    age = api581.effective_age(since, base.prior.coated_y, c_age)
    wall = np.where(np.isnan(read.last), base.prior.t_nom, read.last)
    share = api581.a_rt(base.rate, age, wall)
    stress, weld, ys, ts = (
        np.where(given > 0, given, usual)
        for given, usual in zip(
            (lines.stress, lines.weld, lines.yield_strength, lines.tensile_strength), row("assumed.steel"), strict=True
        )
    )
    flow = api581.flow_stress(ys, ts, weld)
    ratio = api581.strength_ratio(stress[line], weld[line], flow[line], base.t_min, wall)
    counts: Any = {}
    for name in "abcd":
        mine = inspections.effectiveness[found.rows] == EFFECTIVENESS.index(name.upper())
        counts[name] = np.bincount(found.evidence.point[mine], minlength=p)
    return share, api581.damage_factor(share, ratio, **counts)
