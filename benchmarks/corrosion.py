"""Corrosion: predictions of measured exposures at sites left out, and of simulated piping, beside others'.

Each part is a function that returns Markdown; `run` joins them. The measured data stays outside the repository
(`JISSHO_DATA`, else ../shared/data beside it). Only the public programmes' table is ever fitted; the station and grid
files without a stated licence are predicted and nothing else.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import BayesianRidge

from benchmarks import piping
from benchmarks.bars import Line, Section, between, most, summary
from benchmarks.detection.files import data
from benchmarks.report import say, table
from models.corrosion.atmospheric import first_year, iso9224, loss, loss_exponent
from models.corrosion.coefficients import ISO_FORM, number, row
from models.corrosion.fitting import Exposures, fit_first_year, fit_iso, fit_year_sd, iso_log, site_folds, site_weights

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEVELS: Final = tuple(np.round(np.arange(1, 100) / 100, 2).tolist())
"""99 equally spaced levels: CRPS is twice the mean pinball loss over them."""
LOW, MEDIAN, HIGH = LEVELS.index(0.05), LEVELS.index(0.5), LEVELS.index(0.95)
FOLDS: Final = 8
DEALINGS: Final = 3
DRAWS: Final = 2000
COVERAGE: Final = between(0.86, 0.94)
CLIMATE: Final = ("t_mean_c", "rh_mean_pct", "so2_deposition_mg_m2_d", "cl_deposition_mg_m2_d")


def run(arguments: Sequence[str] = ()) -> str:
    """Every part, as Markdown."""
    simulated = f"{piping.section()}\n{piping.live_section()}"
    folder = data() / "corrosion"
    if not folder.is_dir():
        where = f"JISSHO_DATA, else {data().name}/corrosion beside the repository"
        return f"The measured data is not there ({where}).\n\n{simulated}"
    parts: list[Callable[[Path], str]] = [first_year_section, elsewhere_section, long_term_section, fit_section]
    return "\n".join([*(part(folder) for part in parts), simulated])


def read(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file by column."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(rows: Sequence[dict[str, str]], name: str) -> Floats:
    """Numbers of a column; empty is NaN."""
    return np.array([float(r[name]) if r[name] else np.nan for r in rows])


def international(folder: Path) -> Exposures:
    """First-year exposures of the public programmes."""
    rows = read(folder / "intl_first_year_carbon_steel.csv")
    t, rh, so2, cl = (column(rows, name) for name in CLIMATE)
    return Exposures(t, rh, so2, cl, column(rows, "corrosion_um"), np.array([r["site_code"] for r in rows]))


# first year


Predictor = Callable[[Exposures, Exposures], Floats]
"""Training rows, rows to predict -> (n, 99) quantiles of ln loss."""


def normal(median: Floats, sigma: Floats | float) -> Floats:
    """Quantiles of a normal law."""
    return median[:, None] + np.broadcast_to(sigma, median.shape)[:, None] * ndtri(np.array(LEVELS))


def by_iso(train: Exposures, test: Exposures) -> Floats:
    """As published, width as the standard states it."""
    return normal(iso_log(test), float(row("iso9223.sigma")[0]))


def by_refitted_iso(train: Exposures, test: Exposures) -> Floats:
    """ISO 9223 with bias and width from the training sites."""
    bias, sigma = fit_iso(train)
    return normal(iso_log(test) + bias, sigma)


def features(rows: Exposures) -> Floats:
    """What the learners see: climate with typical values for what is missing, flags of that, and ISO 9223."""
    missing = np.isnan(np.column_stack([rows.rh_pct, rows.cl_mg_m2_d])).astype(np.float64)
    rh = np.where(np.isnan(rows.rh_pct), 76.0, rows.rh_pct)
    cl = np.where(np.isnan(rows.cl_mg_m2_d), 1.5, rows.cl_mg_m2_d)
    cold, warm = np.minimum(rows.t_c - 10, 0), np.maximum(rows.t_c - 10, 0)
    return np.column_stack([cold, warm, rh, np.log(rows.so2_mg_m2_d), np.log(cl), missing, iso_log(rows)])


def by_ridge(train: Exposures, test: Exposures) -> Floats:
    """Bayesian ridge on standardised features."""
    x, new = features(train), features(test)
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-9
    model = BayesianRidge().fit((x - centre) / scale, train.ln_loss, sample_weight=site_weights(train.site))
    median, sigma = model.predict((new - centre) / scale, return_std=True)
    return normal(median, sigma)


def by_forest(train: Exposures, test: Exposures) -> Floats:
    """Random forest on the residual of ISO 9223; width from sites left out of the training sites."""

    def fit(rows: Exposures) -> RandomForestRegressor:
        forest = RandomForestRegressor(100, min_samples_leaf=5, max_features=0.5, random_state=1)
        return forest.fit(features(rows), rows.ln_loss - iso_log(rows), sample_weight=site_weights(rows.site))

    error = np.empty(len(train.site))
    for out in site_folds(train.site, 5, 1):
        seen, held = train.take(~out), train.take(out)
        error[out] = held.ln_loss - iso_log(held) - fit(seen).predict(features(held))
    weight = site_weights(train.site)
    sigma = float(np.sqrt(np.sum(weight * error**2) / weight.sum()))
    return normal(iso_log(test) + fit(train).predict(features(test)), sigma)


def by_lab(train: Exposures, test: Exposures) -> Floats:
    """The lab's form, coefficients and width from the training sites."""
    return np.log(first_year(*test.climate, quantiles=LEVELS, model=fit_first_year(train)))


PREDICTORS: Final[dict[str, Predictor]] = {
    "lab": by_lab,
    "ISO 9223": by_iso,
    "ISO refitted": by_refitted_iso,
    "ridge": by_ridge,
    "forest": by_forest,
}


class Scores(NamedTuple):
    """Of each row, averaged over the dealings of sites into folds."""

    square: Floats
    crps: Floats
    inside: Floats
    """Within 5 to 95 %."""
    half: Floats
    """Within 25 to 75 %."""


def scores(quantiles: Floats, observed: Floats) -> Scores:
    """Squared error of the median, CRPS and coverage of each row, in ln."""
    gap = observed[:, None] - quantiles
    levels = np.array(LEVELS)
    crps = 2 * np.mean(np.maximum(levels * gap, (levels - 1) * gap), axis=1)
    inside = (quantiles[:, LOW] <= observed) & (observed <= quantiles[:, HIGH])
    half = (quantiles[:, LEVELS.index(0.25)] <= observed) & (observed <= quantiles[:, LEVELS.index(0.75)])
    return Scores(gap[:, MEDIAN] ** 2, crps, inside.astype(np.float64), half.astype(np.float64))


def cross_validated(rows: Exposures, predictor: Predictor) -> Scores:
    """Scores of rows at sites left out, sites dealt into folds `DEALINGS` times."""
    parts = []
    for seed in range(DEALINGS):
        quantiles = np.empty((len(rows.site), len(LEVELS)))
        for out in site_folds(rows.site, FOLDS, 100 + seed):
            quantiles[out] = predictor(rows.take(~out), rows.take(out))
        parts.append(scores(quantiles, rows.ln_loss))
    return Scores(*(np.mean(each, axis=0) for each in zip(*parts, strict=True)))


def bootstrap(
    group: NDArray[np.str_], statistic: Callable[[Floats], float], level: float = 0.90
) -> tuple[float, float]:
    """Interval of a statistic of row weights when whole groups are drawn again with replacement."""
    names, inverse = np.unique(group, return_inverse=True)
    rng = np.random.default_rng(1)
    drawn = [statistic(rng.multinomial(len(names), np.full(len(names), 1 / len(names)))[inverse]) for _ in range(DRAWS)]
    low, high = np.quantile(np.array(drawn), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def span(interval: tuple[float, float]) -> str:
    """An interval as text."""
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def first_year_section(folder: Path) -> str:
    """First-year steel at sites left out: all rows, and rows that have a humidity."""
    rows = international(folder)
    results = {}
    for name, predictor in PREDICTORS.items():
        say(f"  first year: {name}")
        results[name] = cross_validated(rows, predictor)
    parts = []
    for title, kept in (
        ("all rows", np.ones(len(rows.site), dtype=np.bool_)),
        ("rows with RH", ~np.isnan(rows.rh_pct)),
    ):
        parts.append(_first_year_table(title, rows, results, kept))
    odd = odd_exposures(rows)
    listed = table(
        ("site", "loss, µm", "median of the site's other years, µm", "ISO 9223, µm"),
        [(f"{rows.site[k]}", rows.loss_um[k], other, float(np.exp(iso_log(rows)[k]))) for k, other in odd],
    )
    return "\n".join([*parts, f"Exposures that look odd (kept in): {len(odd)}.\n", listed])


def _first_year_table(title: str, rows: Exposures, results: dict[str, Scores], kept: Flags) -> str:
    def mean(values: Floats) -> float:
        return float(values[kept].mean())

    names = list(results)
    lines = [
        Line("ln-RMSE", {name: mean(s.square) ** 0.5 for name, s in results.items()}),
        Line("CRPS of ln loss", {name: mean(s.crps) for name, s in results.items()}, aim=most(0.28)),
        Line("coverage of 90 %", {name: mean(s.inside) for name, s in results.items()}, owed=COVERAGE),
        Line("coverage of 50 %", {name: mean(s.half) for name, s in results.items()}, aim=between(0.45, 0.55)),
    ]
    site = rows.site[kept]

    def ratio(values: Floats, power: float = 1.0) -> Callable[[Floats], float]:
        return lambda weight: float(np.sum(weight * values[kept]) / np.sum(weight)) ** power

    spreads = [
        (
            name,
            span(bootstrap(site, ratio(s.square, 0.5))),
            span(bootstrap(site, ratio(s.crps))),
            span(bootstrap(site, ratio(s.inside))),
        )
        for name, s in results.items()
    ]
    lab, refitted = results["lab"], results["ISO refitted"]
    _, inverse, counts = np.unique(site, return_inverse=True, return_counts=True)
    votes = 1 / counts[inverse]

    def by_site(weight: Floats) -> float:
        return float(np.sum(weight * votes * (lab.crps - refitted.crps)[kept]) / np.sum(weight * votes))

    def rmse(weight: Floats) -> float:
        return ratio(lab.square, 0.5)(weight) - ratio(refitted.square, 0.5)(weight)

    one = np.ones(kept.sum())
    by_row = ratio(lab.crps - refitted.crps)
    paired = table(
        ("lab minus ISO refitted", "difference", "90 % by site"),
        [
            ("CRPS, rows", f"{by_row(one):+.3f}", span(bootstrap(site, by_row))),
            ("CRPS, one vote a site", f"{by_site(one):+.3f}", span(bootstrap(site, by_site))),
            ("ln-RMSE, rows", f"{rmse(one):+.3f}", span(bootstrap(site, rmse))),
        ],
    )
    section = Section(
        f"First-year loss of carbon steel, {title}",
        f"{kept.sum()} exposures at {len(np.unique(site))} sites, {FOLDS} folds of whole sites, dealt {DEALINGS} "
        "times; every width is set on the training sites alone.",
        lines,
        table(("90 % by site", "ln-RMSE", "CRPS", "coverage of 90 %"), spreads) + "\n" + paired,
    )
    return summary(section, names)


def odd_exposures(rows: Exposures) -> list[tuple[int, float]]:
    """Rows more than a factor 2.5 from the median of the same site's other years, with that median."""
    found = []
    for k, site in enumerate(rows.site):
        others = rows.loss_um[(rows.site == site) & (np.arange(len(rows.site)) != k)]
        if len(others) >= 2:
            median = float(np.median(others))
            if abs(np.log(max(rows.loss_um[k], 0.5) / max(median, 0.5))) > np.log(2.5):
                found.append((k, median))
    return found


def elsewhere_section(folder: Path) -> str:
    """The shipped first-year function in a country whose data it has not seen."""
    grid = read(folder / "china_grid_first_year_q235.csv")
    stations = [r for r in read(folder / "china_stations_carbon_steel_1_16y.csv") if r["exposure_months"] == "12"]
    lines = []
    for name, rows, place in (("grid points", grid, "grid"), ("stations", stations, "station")):
        t, rh, so2, cl = (column(rows, each) for each in CLIMATE)
        observed = np.log(column(rows, "corrosion_um"))
        got = scores(np.log(first_year(t, rh, so2, cl, LEVELS)), observed)
        so2 = np.where(np.isnan(so2), number("first_year.so2_missing"), so2)
        standard = Exposures(t, rh, so2, cl, np.exp(observed), np.array([r[place] for r in rows]))
        iso = scores(by_iso(standard, standard), observed)
        for who, score in (("lab", got), ("ISO 9223", iso)):
            places = len({r[place] for r in rows})
            figures = (float(np.mean(score.square)) ** 0.5, float(np.mean(score.crps)), float(np.mean(score.inside)))
            lines.append((f"{name} ({len(rows)} rows, {places} places)", who, *figures))
    return (
        "### First-year loss where nothing was fitted\n\n"
        "Chinese grid points (most without SO2 and Cl: SO2 10 and Cl 1.5 for ISO 9223) and stations, predicted by what "
        "ships. The places lie close together, so there are far fewer independent ones than rows.\n\n"
        + table(("data", "who", "ln-RMSE", "CRPS", "coverage of 90 %"), lines)
    )


# long term


class Series(NamedTuple):
    """Later losses of steels at stations, each with its own one-year loss."""

    station: NDArray[np.str_]
    steel: NDArray[np.str_]
    years: Floats
    first_um: Floats
    loss_um: Floats
    climate: tuple[Floats, Floats, Floats, Floats]


def long_series(folder: Path) -> Series:
    """Readings after more than a year that have a one-year reading of the same steel and campaign."""
    rows = read(folder / "china_stations_carbon_steel_1_16y.csv")
    campaign = [(r["station"], r["steel"], r["t_mean_c"]) for r in rows]
    months = [r["exposure_months"] for r in rows]
    first = {campaign[k]: float(r["corrosion_um"]) for k, r in enumerate(rows) if months[k] == "12"}
    kept = [k for k in range(len(rows)) if months[k] != "12" and campaign[k] in first]
    rows, campaign = [rows[k] for k in kept], [campaign[k] for k in kept]
    t, rh, so2, cl = (column(rows, name) for name in CLIMATE)
    return Series(
        np.array([r["station"] for r in rows]),
        np.array([r["steel"] for r in rows]),
        column(rows, "exposure_months") / 12,
        np.array([first[key] for key in campaign]),
        column(rows, "corrosion_um"),
        (t, rh, so2, cl),
    )


def long_term_section(folder: Path) -> str:
    """Loss after 2 to 16 years from the measured first year, at stations that nothing was fitted to."""
    s = long_series(folder)
    observed = np.log(s.loss_um)
    t, rh, so2, cl = s.climate
    fixed = np.log(iso9224(s.first_um, s.years))
    sigma = (float(row("iso9224.conservative")[0]) - float(row("iso9224.mean")[0])) / 2
    marine = (cl > 10) & (rh > 60)
    steps = 0.5 + 0.15 * marine + 0.2 * (marine & (t > 20))
    noise = 0.15
    quantiles = {
        "lab": np.log(loss(s.first_um, s.years, *s.climate, quantiles=LEVELS)),
        "ISO 9224": normal(fixed, np.sqrt((sigma * np.log(s.years)) ** 2 + noise**2)),
        "steps by climate": normal(
            np.log(s.first_um) + steps * np.log(s.years), np.sqrt((0.2 * np.log(s.years)) ** 2 + noise**2)
        ),
    }
    results = {name: scores(q, observed) for name, q in quantiles.items()}
    lines = [
        Line("median absolute ln error", {n: float(np.median(np.sqrt(r.square))) for n, r in results.items()}),
        Line("ln-RMSE", {n: float(np.mean(r.square)) ** 0.5 for n, r in results.items()}, aim=most(0.30)),
        Line("CRPS of ln loss", {n: float(np.mean(r.crps)) for n, r in results.items()}),
        Line("coverage of 90 %", {n: float(np.mean(r.inside)) for n, r in results.items()}, owed=COVERAGE),
    ]

    def rmse(who: str) -> Callable[[Floats], float]:
        return lambda weight: float(np.sum(weight * results[who].square) / np.sum(weight)) ** 0.5

    gain = bootstrap(s.station, lambda weight: rmse("lab")(weight) - rmse("ISO 9224")(weight))
    exponent, spread = loss_exponent(rh, so2, cl)
    by_station = table(
        ("station", "rows", "exponent", "its SD", "ln-RMSE lab", "ln-RMSE ISO 9224"),
        [
            (
                f"{name}",
                int(np.sum(here := s.station == name)),
                " to ".join(dict.fromkeys(f"{e:.2f}" for e in (exponent[here].min(), exponent[here].max()))),
                float(spread[here].max()),
                *(float(np.mean(results[who].square[here])) ** 0.5 for who in ("lab", "ISO 9224")),
            )
            for name in dict.fromkeys(s.station.tolist())
        ],
    )
    odd = odd_readings(s)
    listed = table(
        ("station", "steel", "years", "loss, µm", "why"),
        [(f"{s.station[k]}", f"{s.steel[k]}", int(s.years[k]), float(s.loss_um[k]), why) for k, why in odd],
    )
    section = Section(
        "Long-term loss of carbon steel, stations",
        f"{len(observed)} readings after 2 to 16 years at {len(np.unique(s.station))} stations, from each steel's own "
        "first year. The lab's exponents come from the literature and its level from the public programmes, so every "
        "station is one left out; the form and its widths were chosen by people who knew some of these stations. Steps "
        "by climate: .5, sea .65, tropical sea .85, all ± .2. These two with ± .15 from reading to reading.",
        lines,
        f"ln-RMSE by station, 90 %: lab {span(bootstrap(s.station, rmse('lab')))}, ISO 9224 "
        f"{span(bootstrap(s.station, rmse('ISO 9224')))}, lab minus ISO 9224 {span(gain)}.\n\n{by_station}\n"
        f"Readings that look like errors of the data (kept in): {len(odd)}.\n\n{listed}",
    )
    return summary(section, list(results))


def odd_readings(s: Series) -> list[tuple[int, str]]:
    """Readings below an earlier one of the series, or whose growth since year 1 is 40 % off the other steels'."""
    found = []
    for k, value in enumerate(s.loss_um):
        same = (s.station == s.station[k]) & (s.climate[0] == s.climate[0][k])
        earlier = same & (s.steel == s.steel[k]) & (s.years < s.years[k])
        before = max([s.first_um[k], *s.loss_um[earlier]])
        others = (s.loss_um / s.first_um)[same & (s.years == s.years[k]) & (s.steel != s.steel[k])]
        grown = value / s.first_um[k]
        if value < before:
            found.append((k, f"below an earlier {before:.1f}"))
        elif len(others) >= 2 and abs(np.log(grown / np.median(others))) > np.log(1.4):
            found.append((k, f"{grown:.1f} times the first year, other steels there {np.median(others):.1f}"))
    return found


# what ships


def fit_section(folder: Path) -> str:
    """Fit on all rows of the public programmes, beside the constants that ship."""
    rows = international(folder)
    fit, (bias, sigma) = fit_first_year(rows), fit_iso(rows)
    hidden = (fit.cl_hidden, fit.cl_missing, fit.rh_missing)
    names = [*ISO_FORM, "Cl behind 1.5", "Cl where none", "RH where none", "scale", "ISO bias", "ISO sigma", "years"]
    now = [*fit.form.tolist(), *hidden, fit.scale, bias, sigma, fit_year_sd(rows, fit)]
    kept = [*row("first_year.form"), *row("first_year.found")]
    kept += [number(f"first_year.{each}") for each in ("scale", "iso_bias", "iso_sigma")]
    kept.append(number("loss.year_sd"))
    published = [f"{each:g}" for each in row("iso9223.carbon_steel")]
    lines = [
        (name, f"{a:.4g}", f"{b:.4g}", iso)
        for name, a, b, iso in zip(names, now, kept, published + ["-"] * (len(names) - len(published)), strict=True)
    ]
    return "### The first-year fit that ships\n\n" + table(
        ("coefficient", "fitted in this run", "ships", "ISO 9223"), lines
    )
