"""The shipped predictions on measured exposures (../shared/data/corrosion): the constants are what the fit gives."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.corrosion import COVERAGE, LEVELS, column, international, long_series, read, scores
from models.corrosion.atmospheric import first_year, fitted_first_year, iso9224, loss
from models.corrosion.coefficients import number
from models.corrosion.fitting import fit_first_year, fit_iso, fit_year_sd, site_folds, site_weights
from models.corrosion.thickness import remaining_life


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "data" / "corrosion"


def test_what_ships_is_what_the_fit_gives(folder: Path) -> None:
    rows = international(folder)
    fit, ships = fit_first_year(rows), fitted_first_year()
    np.testing.assert_allclose(fit.form, ships.form, rtol=2e-3)
    np.testing.assert_allclose(fit[1:], ships[1:], rtol=5e-3)
    assert fit_year_sd(rows, fit) == pytest.approx(number("loss.year_sd"), abs=0.005)


def test_first_year_is_calibrated_at_sites_left_out(folder: Path) -> None:
    rows = international(folder)
    quantiles = np.empty((len(rows.site), len(LEVELS)))
    for out in site_folds(rows.site, 8, 100):
        seen, held = rows.take(~out), rows.take(out)
        quantiles[out] = np.log(first_year(*held.climate, quantiles=LEVELS, model=fit_first_year(seen, repeats=1)))
    got = scores(quantiles, rows.ln_loss)
    assert COVERAGE.met(float(np.mean(got.inside)))
    assert float(np.mean(got.crps)) <= 0.280
    bias, sigma = fit_iso(rows)
    assert abs(bias) < 0.15
    assert 0.4 < sigma < 0.6


def test_long_term_beats_the_fixed_exponent(folder: Path) -> None:
    s = long_series(folder)
    observed = np.log(s.loss_um)
    got = scores(np.log(loss(s.first_um, s.years, *s.climate, quantiles=LEVELS)), observed)
    fixed = np.log(iso9224(s.first_um, s.years)) - observed
    assert len(observed) == 77
    assert np.mean(fixed**2) ** 0.5 == pytest.approx(0.429, abs=0.001)
    assert np.mean(got.square) ** 0.5 <= 0.30
    assert np.median(np.sqrt(got.square)) < np.median(np.abs(fixed))
    assert COVERAGE.met(float(np.mean(got.inside)))


def test_lives_of_a_real_register(folder: Path) -> None:
    """Every reported life lies within what the rounding of its thickness and rate allows."""
    rows = read(folder / "riser_ut_register.csv")
    names = ("measured_min_avg_wt_mm", "min_required_wt_mm", "reported_rate_mm_y", "reported_min_life_y")
    wall, required, rate, life = (column(rows, name) for name in names)
    shortest = remaining_life(wall - 0.005, required + 0.005, rate + 0.0005)
    longest = remaining_life(wall + 0.005, required - 0.005, rate - 0.0005)
    assert len(rows) == 71
    assert np.all((shortest - 0.01 <= life) & (life <= longest + 0.01))


def test_sites_are_never_split() -> None:
    site = np.repeat([f"s{k}" for k in range(11)], 3)
    folds = site_folds(site, 4, 0)
    assert np.array_equal(np.sum(folds, axis=0), np.ones(33))
    for out in folds:
        assert not set(site[out]) & set(site[~out])
    assert site_weights(np.array(["a", "a", "b"])) == pytest.approx([2.5, 2.5, 4.0])
