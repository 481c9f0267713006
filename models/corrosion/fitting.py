"""Fit the first-year form and its width to measured exposures; `make bench-corrosion` runs it and prints the result.

The ISO 9223 form keeps its shape; its nine coefficients are estimated again with a normal prior round the published
ones, together with what hides behind the stand-ins of the programmes' tables (chloride 1.5 and none, SO2 2.0, humidity
none). Errors count in ln, with a soft-L1 loss so that one odd site does not rule, and a site counts little more for
having been measured often.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import stdtrit

from models.corrosion.atmospheric import FirstYear, first_year_log, iso9223
from models.corrosion.coefficients import number, row
from models.corrosion.tables import Floats

SIGMA: Final = 0.45
"""Scale of the errors while fitting, ln; larger ones count linearly."""
LEAST_UM: Final = 0.5
"""Losses are rounded; a lower one has no meaningful logarithm."""


@dataclass(frozen=True, slots=True)
class Exposures:
    """n one-year exposures of carbon steel; NaN is unknown."""

    t_c: Floats
    rh_pct: Floats
    so2_mg_m2_d: Floats
    cl_mg_m2_d: Floats
    loss_um: Floats
    site: NDArray[np.str_]

    def take(self, rows: NDArray[np.bool_]) -> "Exposures":
        """Some of the rows."""
        numbers = (self.t_c, self.rh_pct, self.so2_mg_m2_d, self.cl_mg_m2_d, self.loss_um)
        t, rh, so2, cl, loss = (column[rows] for column in numbers)
        return Exposures(t, rh, so2, cl, loss, self.site[rows])

    @property
    def climate(self) -> tuple[Floats, Floats, Floats, Floats]:
        """What a form predicts from."""
        return self.t_c, self.rh_pct, self.so2_mg_m2_d, self.cl_mg_m2_d

    @property
    def ln_loss(self) -> Floats:
        """Logarithm of the loss."""
        return np.log(np.maximum(self.loss_um, LEAST_UM))


def site_weights(site: NDArray[np.str_]) -> Floats:
    """1 / (0.15 n + 0.10) of each row, n rows of its site: between one vote a site and one vote a row."""
    _, inverse, counts = np.unique(site, return_inverse=True, return_counts=True)
    share, base = row("first_year.site_weight")
    return np.asarray(1 / (share * counts[inverse] + base))


def site_folds(site: NDArray[np.str_], folds: int, seed: int) -> list[NDArray[np.bool_]]:
    """Rows held out in each fold, whole sites, dealt out at random."""
    names = np.unique(site)
    np.random.default_rng(seed).shuffle(names)
    return [np.isin(site, names[at::folds]) for at in range(min(folds, len(names)))]


def fit_form(data: Exposures) -> FirstYear:
    """The nine coefficients and the three hidden values, by penalised least squares with a soft-L1 loss; scale 1."""
    start = np.concatenate([_free(row("iso9223.carbon_steel")), row("first_year.hidden")])
    spread = np.concatenate([row("first_year.prior_sd"), row("first_year.hidden_sd")])
    weight, observed = np.sqrt(site_weights(data.site)), data.ln_loss

    def residuals(step: Floats) -> Floats:
        error = (observed - first_year_log(data.climate, _form(start + step * spread))[0]) / SIGMA
        soft = np.sign(error) * np.sqrt(2 * (np.sqrt(1 + error**2) - 1))
        return np.concatenate([weight * soft, step])

    found = least_squares(residuals, np.zeros(len(start)), method="lm")
    return _form(start + found.x * spread)


def _free(published: Floats) -> Floats:
    """The two scales as logarithms, so that they stay positive."""
    free = published.copy()
    free[[0, 5]] = np.log(free[[0, 5]])
    return free


def _form(free: Floats) -> FirstYear:
    bound = free[:9].copy()
    bound[[0, 5]] = np.exp(bound[[0, 5]])
    bound[[1, 6]] = np.maximum(bound[[1, 6]], 0.0)  # more deposition never lowers the loss
    cl_hidden, cl_missing = np.exp(free[9:11])
    return FirstYear(bound, float(cl_hidden), float(cl_missing), float(free[11]), 1.0)


def fit_first_year(data: Exposures, folds: int = 8, repeats: int = 4) -> FirstYear:
    """The form, with the width that holds 90 % of the (site-weighted) errors at sites it had not seen.

    Args:
        data: exposures of several sites.
        folds: groups of sites, each left out once.
        repeats: how often the sites are dealt out anew; the widths are averaged.

    Raises:
        ValueError: fewer than two sites.
    """
    sites = len(np.unique(data.site))
    if sites < 2:
        raise ValueError(f"{sites} site to learn from; the width needs at least two")
    weight = site_weights(data.site)
    scales = []
    for seed in range(repeats):
        size = np.empty(len(data.site))
        for out in site_folds(data.site, folds, seed):
            median, spread = first_year_log(data.take(out).climate, fit_form(data.take(~out)))
            size[out] = np.abs(data.ln_loss[out] - median) / spread
        scales.append(weighted_quantile(size, weight, 0.9))
    wide = float(np.mean(scales)) / float(stdtrit(number("first_year.tail"), 0.95))
    form = fit_form(data)
    return FirstYear(form.form, form.cl_hidden, form.cl_missing, form.rh_missing, wide)


def fit_year_sd(data: Exposures, form: FirstYear) -> float:
    """Standard deviation in ln between the years of one site, the climate of each year accounted for."""
    error = data.ln_loss - first_year_log(data.climate, form)[0]
    _, inverse, counts = np.unique(data.site, return_inverse=True, return_counts=True)
    within = error - (np.bincount(inverse, error) / counts)[inverse]
    return float(np.sqrt(np.sum(within**2) / (len(error) - len(counts))))


def weighted_quantile(values: Floats, weights: Floats, level: float) -> float:
    """The least value that has at least the share `level` of the weight at or below it."""
    order = np.argsort(values)
    total = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(total, level)), len(values) - 1)])


def fit_iso(data: Exposures) -> tuple[float, float]:
    """Bias and standard deviation in ln of ISO 9223 as published, a site counted as in `fit_form`: the fallback."""
    error = data.ln_loss - iso_log(data)
    weight = site_weights(data.site)
    bias = float(np.sum(weight * error) / weight.sum())
    return bias, float(np.sqrt(np.sum(weight * (error - bias) ** 2) / weight.sum()))


def iso_log(data: Exposures) -> Floats:
    """ln of ISO 9223 as published; an unknown Cl is 1.5, an unknown humidity 76 %."""
    _, cl, rh = row("first_year.hidden")
    rh_pct = np.where(np.isnan(data.rh_pct), rh, data.rh_pct)
    cl_mg = np.where(np.isnan(data.cl_mg_m2_d), np.exp(cl), data.cl_mg_m2_d)
    return np.log(iso9223("carbon_steel", data.t_c, rh_pct, data.so2_mg_m2_d, cl_mg))
