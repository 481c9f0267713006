"""The specification's worked examples S1 to S22, to the digits given: half a unit of the last one."""

import numpy as np
import pytest

from models.corrosion import api581, atmospheric, degradation, extreme, sensors, thickness, wetness

MAXIMA = [1.12, 0.85, 1.46, 0.97, 1.30, 0.78, 1.05, 1.61, 0.92, 1.18]


def same(got: object, *printed: str) -> None:
    """Each number within half a unit of the last digit printed."""
    values = np.atleast_1d(np.asarray(got, dtype=np.float64))
    assert values.size == len(printed)
    for value, text in zip(values.ravel(), printed, strict=True):
        digits = len(text.partition(".")[2])
        assert abs(value - float(text)) <= 0.5 * 10.0**-digits * 1.0001, (value, text)


@pytest.mark.parametrize(
    ("climate", "terms", "total", "category"),
    [((17.5, 72, 20, 40), ("23.659", "21.765"), "45.42", "C3"), ((2, 80, 5, 3), ("6.098", "3.060"), "9.157", "C2")],
)
def test_s1_s2(climate: tuple[float, ...], terms: tuple[str, str], total: str, category: str) -> None:
    same(atmospheric.iso9223_terms("carbon_steel", *climate), *terms)
    rate = atmospheric.iso9223("carbon_steel", *climate)
    same(rate, total)
    assert atmospheric.category(rate) == category


@pytest.mark.parametrize(("metal", "rate"), [("zinc", "1.905"), ("copper", "1.317"), ("aluminium", "0.524")])
def test_s3(metal: atmospheric.Metal, rate: str) -> None:
    same(atmospheric.iso9223(metal, 17.5, 72, 20, 40), rate)


def test_s4() -> None:
    rate = atmospheric.iso9223("carbon_steel", 17.5, 72, 20, 40)
    same(atmospheric.iso9224(rate, 20), "217.6")
    same(atmospheric.iso9224(rate, 20, bound="conservative"), "254.3")
    same(atmospheric.iso9224(rate, 30), "274.5")
    same(atmospheric.iso9224(rate, 30, tail="power"), "269.0")


def test_iso9224_check_values() -> None:
    same(atmospheric.iso9224(1.0, [2, 5, 10, 15, 20]), "1.437", "2.320", "3.334", "4.122", "4.791")
    same(atmospheric.iso9224(1.0, [10, 20], bound="conservative"), "3.758", "5.599")


def test_s5() -> None:
    same(atmospheric.iso9223("carbon_steel", 9.6, 73, atmospheric.so2_deposition(83.3), 1.5), "65.87")


def test_s6_acm() -> None:
    same(sensors.acm_rate(0.5), "0.1779")


def test_s7_lpr() -> None:
    same(sensors.lpr_current(1200, 26), "21.67")
    same(sensors.lpr_rate(1200, 26), "0.2514")


def test_s8_er() -> None:
    same(sensors.er_loss(500, 1.026), "12.67")


def test_s9_dew_point() -> None:
    same(wetness.dew_point([22, 28], [85, 80]), "19.36", "24.22")


def test_s10_external() -> None:
    same(api581.external_rate([50, 90], ["mild", "moderate"]), "0.06446", "0.07317")


def test_s11_cui() -> None:
    base = api581.cui_rate(90, "moderate")
    same(base, "0.18697")
    same(api581.cui_final_rate(base, "mineral_wool", "average", "below_average", on_beam=1), "0.5843")


def test_s12_coating() -> None:
    given = ([20, 12, 3, 6], [20, 20, 20, 10], [15, 15, 15, 5])
    assert api581.coating_adjustment(*given).tolist() == [15, 7, 0, 1]
    assert api581.effective_age(*given).tolist() == [5, 5, 3, 5]


def test_s13_pressure_minimum() -> None:
    same(thickness.pressure_minimum(2, 168.3, 137.9), "1.2134")


def test_s14_damage_factor() -> None:
    share = api581.a_rt(0.127, 10, 7.11)
    flow = api581.flow_stress(240, 415)
    ratio = api581.strength_ratio(137.9, 1, flow, thickness.pressure_minimum(2, 168.3, 137.9), 7.11)
    same([share, ratio], ".17862", ".065328")
    same(flow, "360.25")
    result = api581.damage(share, ratio, confidence="low", b=1)
    same(result.posterior, ".81395", ".13953", ".04651")
    same(result.beta, "4.4964", "3.9252", "1.4305")
    same(result.factor, "22.80")
    same(api581.damage_factor(share, ratio), "97.89")


def test_s15_api570() -> None:
    rates = thickness.api570_rates(7.11, 6.05, 5.60, 12, 4)
    same([rates.long_term, rates.short_term], ".12583", ".11250")
    life = thickness.remaining_life(5.60, 3.20, rates.governing)
    same(life, "19.07")
    same(life / 2, "9.54")
    assert thickness.inspection_interval(life, 1) == 5


def test_s16_gumbel() -> None:
    moments, fit = extreme.gumbel_fit(MAXIMA, "moments"), extreme.gumbel_fit(MAXIMA)
    same([moments.location, moments.scale], "1.0033", ".20912")
    same([fit.location, fit.scale], "1.0041", ".20404")
    same(extreme.return_level(fit.location, fit.scale, [100, 1000]), "1.9427", "2.4135")
    same(extreme.exceedance(2.5, fit.location, fit.scale, 100), ".06338")


def test_s17_gamma_process() -> None:
    years, mean, variance = 20, 0.12, 0.0108
    same(degradation.exceedance(3.0, years, mean, variance), ".1038")
    process = degradation.gamma_process([1, years], mean, variance)
    same(process.shape[0], "1.3333")
    same(process.rate[0], "11.111")
    same(process.mean[1], "2.400")
    same(process.sigma[1], ".4648")


def test_s18_normal_update() -> None:
    one = np.array([[0.20, 0.17]]), np.array([[0.05, 0.04]])
    mean, sigma = degradation.normal_update(np.array([0.127]), np.array([0.08]), *one)
    same(mean, ".17447")
    same(sigma, ".02910")


def test_s19_jacket() -> None:
    got = wetness.jacket_temperature(150, 20, r1_m=0.08415, r2_m=0.13415, h_w_m2k=12, k_w_mk=[0.045, 0.16])
    same(got, "27.35", "42.84")


def test_s20_register() -> None:
    same(thickness.remaining_life(21.52, 19.33, 0.088), "24.89")


def test_s21_klinesmith() -> None:
    same(atmospheric.klinesmith(1, 3500, 30, 40, 15), "44.98")


def test_s22_b31g() -> None:
    flaw = thickness.b31g(168.3, 7.11, 3, 80, 240)
    same([flaw.z, flaw.m], "5.348", "2.298")
    same(flaw.failure_stress_mpa, "216.2")
    same(flaw.failure_pressure_mpa, "18.27")
