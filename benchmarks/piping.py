"""The simulated piping: which places are damaged, how deep, how long they last, by the lab and by others.

Ten plants whose truth is no API RP 581. Rankings are by what is on record of a place: a line's own findings never enter
the model that ranks it. Depth and life come from the whole assessment, findings included, and are scored on all points.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from benchmarks.bars import Line, Section, between, least, summary
from benchmarks.report import cpu_per_call, say, table
from models.corrosion import api581, live, tables
from models.corrosion.assessment import assess_all, evidence_of, labels, physics
from models.corrosion.degradation import crossing
from models.corrosion.likelihood import FOLDS, Fitted, choice_weights, features, folds_by_line, logistic
from models.corrosion.plan import plan
from simulators.piping import Plant, readings
from simulators.piping import plant as simulate

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
T = TypeVar("T")

SEEDS: Final = tuple(range(10))
TOP: Final = 0.10
CAPTURE: Final = 0.95
DRAWS: Final = 1000
LIVE_DAYS: Final = 60
LAB, WITH_FINDINGS = "lab", "lab and the line's findings"
PLAIN, SHAPED = "logistic, register columns", "logistic, lab's columns without physics"
RANKINGS: Final = (
    LAB, "trees + physics", "logistic + physics", PLAIN, SHAPED, "A_rt", "A_rt since last reading", "API rate",
    "age", "random", WITH_FINDINGS,
)  # fmt: skip
RIVALS: Final = ("A_rt", PLAIN, SHAPED, "logistic + physics")


class Ranked(NamedTuple):
    """A plant scored."""

    line: NDArray[np.int64]
    damaged: Flags
    inspected: Flags
    scores: Mapping[str, Floats]
    depth: Mapping[str, float]
    """Coverage and loss of depth and life."""
    plan: Mapping[str, float]


def as_tables(plant: Plant) -> tuple[tables.Lines, tables.Points, tables.Inspections, tables.Weather]:
    """A simulated plant's records as the tables of an assessment."""

    def table_of(cls: type[T], records: Any) -> T:
        return cls(**{field.name: getattr(records, field.name) for field in fields(cls)})  # type: ignore[arg-type]

    return (
        table_of(tables.Lines, plant.lines),
        table_of(tables.Points, plant.points),
        table_of(tables.Inspections, plant.inspections),
        table_of(tables.Weather, plant.weather),
    )


def score(seed: int, prevalence: float = 0.115) -> Ranked:
    """One plant by everything."""
    here, truth = simulate(seed, prevalence=prevalence)
    lines, points, inspections, weather = as_tables(here)
    assessment, ahead, learned = assess_all(lines, points, inspections, weather, here.at, every_percent=True)
    base = physics(lines, points, weather, here.at)
    prior = base.prior
    c_age = api581.coating_age(lines.coating)[points.line]
    by_age = np.maximum(api581.effective_age(prior.age_y, prior.coated_y, c_age), 0.0)
    scores = {
        LAB: learned.estimate,
        **others(lines, points, prior, *labels(inspections, evidence_of(inspections, base, here.at), base)),
        "A_rt": api581.a_rt(base.rate, by_age, prior.t_nom),
        "A_rt since last reading": assessment.a_rt,
        "API rate": base.rate,
        "age": prior.age_y,
        "random": np.random.default_rng([seed, 1]).random(len(points.line)),
        WITH_FINDINGS: assessment.likelihood[:, 1],
    }
    # what is left of the wall each year, and when it is too little
    wall = truth.wall[:, None] - truth.depth
    short = wall < assessment.t_req[:, None]
    at = short.argmax(axis=1)
    rows = np.arange(len(wall))
    before = wall[rows, np.maximum(at - 1, 0)]
    share = np.clip((before - assessment.t_req) / np.maximum(before - wall[rows, at], 1e-9), 0.0, 1.0)
    end = float(truth.years[-1])
    life = np.where(short.any(axis=1), np.where(at == 0, 0.0, at - 1 + share), end)
    assert ahead.quantiles is not None
    depth, percent = truth.depth[:, 0], ahead.quantiles
    levels = np.arange(1, 100) / 100
    error = depth[:, None] - percent
    dies = life < end
    found: dict[str, float] = {
        "depth 90 %": within(depth, assessment.depth[:, 0], assessment.depth[:, 2]),
        "depth 50 %": within(depth, percent[:, 24], percent[:, 74]),
        "CRPS of depth": float(2.0 * np.maximum(levels * error, (levels - 1.0) * error).mean()),
    }
    for name, mask in (
        ("never inspected", ~truth.inspected),
        ("inspected", truth.inspected),
        ("damaged", truth.damaged),
    ):
        found[f"depth 90 %, {name}"] = within(depth[mask], assessment.depth[mask, 0], assessment.depth[mask, 2])
    for level, name in ((0.9, "life 90 %"), (0.5, "life 50 %")):
        low = np.minimum(crossing(ahead.p_below, (1 - level) / 2), end)
        high = np.minimum(crossing(ahead.p_below, (1 + level) / 2), end)
        found[name] = within(life, low, high)
        found[f"{name}, shorter than {end:.0f} y"] = within(life[dies], low[dies], high[dies])
    within_2 = life < 2.0
    found["too thin within 2 y, said"], found["too thin within 2 y, true"] = (
        float(assessment.p_next.mean()),
        float(within_2.mean()),
    )
    budget = len(points.line) // 20
    chosen = plan(assessment, lines, points, budget)
    planned = {
        "damage found, said": chosen.damage_found,
        "damage found, true": float(truth.damaged[chosen.points].sum()),
        "too thin within 2 y, found": float(within_2[chosen.points].sum() / max(within_2.sum(), 1)),
    }
    return Ranked(points.line, truth.damaged, truth.inspected, scores, found, planned)


def within(x: Floats, low: Floats, high: Floats) -> float:
    """Share of values inside their intervals."""
    return float(((x >= low - 1e-9) & (x <= high + 1e-9)).mean()) if len(x) else float("nan")


def others(
    lines: tables.Lines, points: tables.Points, prior: Any, point: NDArray[np.int64], ago: Floats, share: Floats
) -> dict[str, Floats]:
    """Single learners on the same rows, weights and folds."""
    every, now = np.arange(len(points.line)), np.zeros(len(points.line))
    plain_all, plain = (features(lines, points, prior, *rows, physics=False) for rows in ((every, now), (point, ago)))
    full_all, full = (features(lines, points, prior, *rows) for rows in ((every, now), (point, ago)))
    weight = choice_weights(plain, plain_all, point)
    groups = points.line[point]
    fold = folds_by_line(groups)
    damaged = share >= 1.0
    register_all, register = (as_registered(lines, points, prior, *rows) for rows in ((every, now), (point, ago)))
    found = {name: np.empty(len(every)) for name in RANKINGS[1:5]}
    for number in range(FOLDS + 1):
        test = fold == number
        mine = np.isin(points.line, np.unique(groups[test])) if number < FOLDS else ~np.isin(points.line, groups)
        if not mine.any():
            continue
        train = ~test
        both = Fitted(full[train], share[train], weight[train])
        linear, boosted = both.parts(full_all[mine])
        found["logistic + physics"][mine], found["trees + physics"][mine] = linear, boosted
        for name, x, x_all in ((PLAIN, register, register_all), (SHAPED, plain, plain_all)):
            bare = logistic(x[train], damaged[train], np.zeros(int(train.sum())), weight[train])
            found[name][mine] = expit(bare.margin(x_all[mine], np.zeros(int(mine.sum()))))
    return found


def as_registered(
    lines: tables.Lines, points: tables.Points, prior: Any, point: NDArray[np.int64], ago: Floats
) -> Floats:
    """(n, F) the register's own columns, numbers as they are and codes as they are: plain logistic regression."""
    row = points.line[point]
    swing = np.nan_to_num(lines.t_max[row] - lines.t_min[row], nan=0.0)
    columns = [
        lines.t_op[row], swing, prior.age_y[point] - ago, prior.coated_y[point] - ago, lines.t_nom[row], lines.nps[row],
        points.height_m[point], lines.tower_m[row], points.jacket_damage[point], points.condition[point],
        points.complexity[point], points.on_beam[point], points.interface[point], lines.heat_traced[row],
        lines.sheltered[row], lines.driver[row],
        *(lines.insulation[row] == code for code in range(len(tables.INSULATION))),
        *(lines.coating[row] == code for code in range(len(tables.COATING))),
        *(points.part[point] == code for code in range(len(tables.PART))),
    ]  # fmt: skip
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])


# how good a ranking is


class Order(NamedTuple):
    """Points by falling score."""

    line: NDArray[np.int64]
    damaged: Floats


def ordered(ranked: Ranked, name: str) -> Order:
    """Ties in the order of a fixed shuffle."""
    mixed = np.random.default_rng(0).permutation(len(ranked.line))
    at = mixed[np.argsort(-ranked.scores[name][mixed], kind="stable")]
    return Order(ranked.line[at], ranked.damaged[at].astype(np.float64))


def figures(order: Order, weight: Floats) -> dict[str, float]:
    """Rankings' figures with a weight for each line."""
    w = weight[order.line]
    bad = w * order.damaged
    seen, hits = np.cumsum(w), np.cumsum(bad)
    total = hits[-1]
    place = int(np.searchsorted(seen, TOP * seen[-1]))
    enough = int(np.searchsorted(hits, CAPTURE * total))
    return {
        "PR-AUC": float((bad * hits / np.maximum(seen, 1e-12)).sum() / total),
        "hit rate": float(hits[place] / seen[place]),
        "capture": float(hits[place] / total),
        "saved": float(1.0 - seen[min(enough, len(seen) - 1)] / seen[-1]),
    }


def calibration(p: Floats, y: Flags) -> tuple[float, float, float]:
    """Slope of ln(odds), expected calibration error over tenths of the points, Brier score."""
    z = logit(np.clip(p, 1e-4, 1 - 1e-4))
    fit = logistic(z[:, None], y, np.zeros(len(y)), np.ones(len(y)), 1e-6)
    slope = float(fit.weights[0] / fit.scale[0])
    order = np.argsort(p)
    bins = np.array_split(order, 10)
    error = sum(len(rows) * abs(float(p[rows].mean()) - float(y[rows].mean())) for rows in bins) / len(y)
    return slope, float(error), float(((p - y) ** 2).mean())


def pooled(plants: Sequence[Ranked], name: str, weights: Sequence[Floats]) -> dict[str, float]:
    """Mean over the plants."""
    each = [figures(ordered(ranked, name), weight) for ranked, weight in zip(plants, weights, strict=True)]
    return {key: float(np.mean([one[key] for one in each])) for key in each[0]}


def gains(plants: Sequence[Ranked], rival: str, draws: int = DRAWS) -> dict[str, tuple[float, float, float]]:
    """Lab minus a rival, with its 90 % interval: lines drawn again within each plant, the same for both sides."""
    rng = np.random.default_rng(7)
    pairs = [(ordered(ranked, LAB), ordered(ranked, rival)) for ranked in plants]
    drawn: dict[str, list[float]] = {}
    for draw in range(draws + 1):
        total: dict[str, float] = {}
        for ranked, (ours, theirs) in zip(plants, pairs, strict=True):
            n = int(ranked.line.max()) + 1
            weight = np.ones(n) if draw == 0 else rng.multinomial(n, np.full(n, 1.0 / n)).astype(np.float64)
            a, b = figures(ours, weight), figures(theirs, weight)
            for key in a:
                total[key] = total.get(key, 0.0) + (a[key] - b[key]) / len(plants)
        for key, value in total.items():
            drawn.setdefault(key, []).append(value)
    return {
        key: (values[0], float(np.quantile(values[1:], 0.05)), float(np.quantile(values[1:], 0.95)))
        for key, values in drawn.items()
    }


def section(seeds: Sequence[int] = SEEDS, progress: Callable[[str], None] = say) -> str:
    """The part of the report."""
    plants = []
    for seed in seeds:
        progress(f"corrosion: simulated plant {seed} …")
        plants.append(score(seed))
    ones = [np.ones(int(ranked.line.max()) + 1) for ranked in plants]
    result = {name: pooled(plants, name, ones) for name in RANKINGS}
    shown = [
        (name, *(f"{result[name][key]:.3f}" for key in ("PR-AUC", "hit rate", "capture", "saved"))) for name in RANKINGS
    ]
    judged = {
        name: [calibration(r.scores[name], r.damaged) for r in plants] for name in (LAB, WITH_FINDINGS, *RANKINGS[1:5])
    }
    calibrated = [
        (
            name,
            *(f"{np.mean([one[k] for one in each]):.3f}" for k in range(3)),
            f"{np.mean([r.scores[name].mean() for r in plants]):.3f}",
        )
        for name, each in judged.items()
    ]
    compared = []
    sure: dict[str, float] = {}
    for rival in RIVALS:
        for key, (value, low, high) in gains(plants, rival).items():
            compared.append((f"minus {rival}", key, f"{value:+.3f}", f"[{low:+.3f}, {high:+.3f}]"))
            sure[f"{rival} {key}"] = low
    mean = {key: float(np.mean([r.depth[key] for r in plants])) for key in plants[0].depth}
    worst = {key: (min(r.depth[key] for r in plants), max(r.depth[key] for r in plants)) for key in plants[0].depth}
    inside = [(key, f"{value:.3f}", f"{worst[key][0]:.3f} to {worst[key][1]:.3f}") for key, value in mean.items()]
    planned = [(key, f"{np.mean([r.plan[key] for r in plants]):.2f}") for key in plants[0].plan]
    prevalence = np.mean([r.damaged.mean() for r in plants])
    biased = np.mean([r.damaged[r.inspected].mean() for r in plants])
    apart = result[LAB]["hit rate"] - result["A_rt"]["hit rate"]
    lines = [
        Line("coverage of the 90 % interval of depth", {LAB: mean["depth 90 %"]}, owed=between(0.86, 0.94)),
        *(
            Line(f"{key}, lab minus {rival}: lower end", {LAB: sure[f"{rival} {key}"]}, owed=least(1e-9))
            for rival in RIVALS[:2]
            for key in ("PR-AUC", "hit rate")
        ),
        Line("hit rate minus that of A_rt (circular if nought)", {LAB: apart},
             owed=least(0.05)),
        Line("PR-AUC, lab minus logistic + physics: lower end", {LAB: sure["logistic + physics PR-AUC"]}),
    ]  # fmt: skip
    protocol = (
        f"{len(plants)} plants of 240 lines x 28 points, seeds {min(seeds)} to {max(seeds)}, damage in "
        f"{prevalence:.1%} of the points and {biased:.1%} of those the owner had inspected. "
        "Scored on all points; a line's findings "
        "never enter the model that ranks it (except in the last row). Means over the plants; hit rate and capture at "
        "the top 10 %, saved: places that need no stripping when 95 % of the damage is found."
    )
    elsewhere = []
    for wanted in (0.08, 0.15):
        progress(f"corrosion: simulated plants with {wanted:.0%} damaged …")
        few = [score(seed, wanted) for seed in seeds[:2]]
        for name in (LAB, "A_rt", PLAIN, "logistic + physics"):
            figure = pooled(few, name, ones[: len(few)])
            elsewhere.append((f"{wanted:.0%}", name, f"{figure['PR-AUC']:.3f}", f"{figure['hit rate']:.3f}"))
        inner = np.mean([r.depth["depth 90 %"] for r in few])
        elsewhere.append((f"{wanted:.0%}", "coverage of depth, 90 %", f"{inner:.3f}", "-"))
    details = "\n".join(
        [
            table(("ranking", "PR-AUC", "hit rate", "capture", "saved"), shown),
            "Lab minus others, lines drawn again within each plant (90 %):\n",
            table(("lab", "figure", "gain", "90 %"), compared),
            "Calibration on all points:\n",
            table(("probability", "slope", "ECE", "Brier", "mean"), calibrated),
            "Whole assessment with findings, mean and range over the plants; a true life beyond 40 y counts as 40:\n",
            table(("figure", "mean", "plants"), inside),
            "Plan for one place in twenty, means:\n",
            table(("figure", "mean"), planned),
            "Other shares of damage, the first two plants:\n",
            table(("damaged", "ranking", "PR-AUC", "hit rate"), elsewhere),
        ]
    )
    return summary(Section("Simulated piping", protocol, lines, details), (LAB,))


def live_section() -> str:
    """Wet insulation by the live detector on sensors of a simulated plant, and its cost."""
    here, truth = simulate(1, 60, 10)
    insulated = truth.insulation[here.points.line] > 0
    which = np.flatnonzero(insulated & (truth.t_local > 50) & (truth.t_local < 140))[::4][:40]
    shown, beneath, _ = readings(here, truth, which, np.datetime64("2026-04-01", "ns"), 24 * LIVE_DAYS)
    ill = (beneath.fault > 0).any(axis=2)
    only = shown.values.copy()
    only[:, :, [live.ANNULUS, live.ACM, live.ER]] = np.nan
    model = live.PipingPoint()
    rows = []
    for name, x in (("all sensors", shown.values), ("no annulus, ACM, ER sensor", only)):
        state, result = model.score(model.initial(len(x)), x)
        warm = np.isfinite(result.score)
        soaked, dry = warm & (beneath.water > 0.15), warm & (beneath.water < 0.005)
        # a beginning is false when there was hardly any water for two days
        begins = np.diff(result.alarm.astype(np.int8), axis=1) == 1
        lately = np.stack([np.convolve(each, np.ones(288))[: len(each)] for each in beneath.water > 0.008])[:, 1:] > 0
        lost, sigma = live.loss_um(state)
        true = beneath.lost_um[:, -1] - beneath.lost_um[:, 0]
        rows.append(
            (
                name,
                f"{result.alarm[soaked].mean():.3f}",
                f"{result.alarm[dry & ~ill].mean():.4f}",
                f"{result.alarm[dry & ill].mean():.3f}",
                f"{(begins & ~lately).sum() / (warm.sum() * model.period_s / 86400.0) * 100:.2f}",
                f"{within(true, lost - 1.645 * sigma, lost + 1.645 * sigma):.2f}",
            )
        )
    many = np.repeat(shown.values[:, :16], 10_000 // len(which), axis=0)
    state, _ = model.score(model.initial(len(many)), many[:, :4])
    cost = cpu_per_call(lambda: model.score(state, many[:, 5:6]), 0.5)
    head = (
        "sensors",
        "alarm while soaked",
        "while dry",
        "while dry, a sensor ill",
        "false beginnings in 100 days",
        "loss in 90 %",
    )
    return (
        f"### Live: wet insulation of {len(which)} simulated points over {LIVE_DAYS} days\n\n"
        + table(head, rows)
        + f"\nOne row of {len(many):,} points: {1e3 * cost:.1f} ms of CPU (owed: well under 50).\n"
    )
