"""Every coefficient of the corrosion models with its source and how far it can be trusted, in this one table.

Mark V: checked against a source text or a second independent implementation. R: recalled from memory of the standard,
not read again. M: model parameter, a choice of this lab. F: fitted by this lab (`make bench-corrosion` fits it again
and prints it).
A correction is made here and nowhere else.
"""

from typing import Final, NamedTuple

import numpy as np

from models.corrosion.tables import Floats

Value = float | tuple[float, ...] | tuple[tuple[float, ...], ...]


class Entry(NamedTuple):
    """One coefficient, or a row or table of them."""

    value: Value
    unit: str
    mark: str
    source: str


METALS: Final = ("carbon_steel", "zinc", "copper", "aluminium")
ISO_FORM: Final = ("a", "p", "b", "k1", "k2", "c", "q", "d", "e")
"""r = a Pd^p exp(b RH + f(T)) + c Sd^q exp(d RH + e T), f = k1 (T - 10) up to 10 °C, k2 (T - 10) above."""

_ISO = "ISO 9223:2012 dose-response function"
_LONG = "ISO 9224:2012"
_581 = "API RP 581"
_570 = "API 570"
_FIT = "intl_first_year (ISOCORRAG, MICAT, UN/ECE ICP Materials), make bench-corrosion"
_WET = "standard meteorology (Magnus form)"

TABLE: Final[dict[str, Entry]] = {
    # units
    "mpy": Entry(0.0254, "mm/y", "V", "1/1000 inch a year"),
    "mdd": Entry(36.525, "g/m2/y", "V", "1 mg/dm2/day"),
    "density": Entry((7.86, 7.14, 8.96, 2.70), "g/cm3", "V", "handbook, order of METALS"),
    "so2_deposition": Entry(0.8, "mg/m2/d per ug/m3", "V", "reproduces the ICP rows"),
    "cl_per_nacl": Entry(0.6066, "1", "V", "molar masses; reproduces the ISOCORRAG rows"),
    # ISO 9223
    "iso9223.carbon_steel": Entry((1.77, 0.52, 0.020, 0.150, -0.054, 0.102, 0.62, 0.033, 0.040), "ISO_FORM", "V", _ISO),
    "iso9223.zinc": Entry((0.0129, 0.44, 0.046, 0.038, -0.071, 0.0175, 0.57, 0.008, 0.085), "ISO_FORM", "R", _ISO),
    "iso9223.copper": Entry((0.0053, 0.26, 0.059, 0.126, -0.080, 0.01025, 0.27, 0.036, 0.049), "ISO_FORM", "R", _ISO),
    "iso9223.aluminium": Entry((0.0042, 0.73, 0.025, 0.009, -0.043, 0.0018, 0.60, 0.020, 0.094), "ISO_FORM", "R", _ISO),
    "iso9223.range_t": Entry((-17.1, 28.7), "°C", "V", _ISO),
    "iso9223.range_rh": Entry((34.0, 93.0), "%", "V", _ISO),
    "iso9223.range_so2": Entry((0.7, 150.4), "mg/m2/d", "V", _ISO),
    "iso9223.range_cl": Entry((0.4, 760.5), "mg/m2/d", "V", _ISO),
    "iso9223.sigma": Entry((0.4, 0.4, 0.4, 0.7), "ln", "V", "ISO 9223 annex, order of METALS"),
    "iso9223.prior_sigma": Entry(0.55, "ln", "M", "measured spread .50 on the programmes' rows with RH, rounded up"),
    "category.carbon_steel": Entry((1.3, 25.0, 50.0, 80.0, 200.0, 700.0), "um", "V", "ISO 9223, upper bounds C1-CX"),
    "category.zinc": Entry((0.1, 0.7, 2.1, 4.2, 8.4, 25.0), "um", "R", "ISO 9223, upper bounds C1-CX"),
    "category.copper": Entry((0.1, 0.6, 1.3, 2.8, 5.6, 10.0), "um", "R", "ISO 9223, upper bounds C1-CX"),
    "class.so2": Entry((4.0, 24.0, 80.0, 200.0), "mg/m2/d", "V", "ISO 9223, upper bounds P0-P3"),
    "class.cl": Entry((3.0, 60.0, 300.0, 1500.0), "mg/m2/d", "V", "ISO 9223, upper bounds S0-S3"),
    # ISO 9224
    "iso9224.mean": Entry((0.523, 0.813, 0.667, 0.728), "1", "V", f"{_LONG} B01, order of METALS"),
    "iso9224.conservative": Entry((0.575, 0.873, 0.726, 0.807), "1", "V", f"{_LONG} B02, order of METALS"),
    "iso9224.tail_from": Entry(20.0, "y", "R", f"{_LONG}: linear from here on"),
    # Klinesmith
    "klinesmith": Entry(
        (13.4, 0.98, 3800.0, 0.46, 25.0, 0.62, 50.0, 0.34, 0.016, 20.0),
        "A, B, TOW0, D, E, F, G, H, J, T0",
        "V",
        "Klinesmith 2007, carbon steel flat specimens",
    ),
    # first year, fitted: prior of the fit, then what it found
    "first_year.prior_sd": Entry(
        (0.25, 0.12, 0.008, 0.05, 0.02, 0.4, 0.12, 0.010, 0.012), "ISO_FORM, a and c in ln", "M", "round the published"
    ),
    "first_year.hidden": Entry(
        (0.405, 0.405, 76.0), "ln Cl behind 1.5, ln Cl where none, RH where none", "M", "ln 1.5"
    ),
    "first_year.hidden_sd": Entry((0.5, 0.5, 4.0), "as before", "M", "prior of the fit"),
    "first_year.so2_missing": Entry(10.0, "mg/m2/d", "M", "urban; not in the fit, which knows all SO2"),
    "first_year.missing_sd": Entry((5.0, 1.0, 1.0), "RH in %, ln SO2, ln Cl", "M", "width of what is unknown"),
    "first_year.sigma": Entry(0.40, "ln", "M", "width before the multiplier"),
    "first_year.tail": Entry(3.0, "degrees of freedom", "M", "Student t: of sites' errors the 90 % is 3 x the median"),
    "first_year.cl_stand_in": Entry(1.5, "mg/m2/d", "V", "below detection in the programmes' tables"),
    "first_year.site_weight": Entry((0.15, 0.10), "per row, per site", "M", "row weight 1 / (.15 n + .10)"),
    "first_year.form": Entry(
        (1.757, 0.3906, 0.02337, 0.04958, -0.05823, 0.1065, 0.7181, 0.03115, 0.04116), "ISO_FORM", "F", _FIT
    ),
    "first_year.found": Entry((0.893, 2.40, 75.6), "Cl behind 1.5, Cl where none, RH where none", "F", _FIT),
    "first_year.scale": Entry(0.796, "x first_year.sigma", "F", f"{_FIT}; holds 90 % out of fold"),
    "first_year.iso_bias": Entry(0.063, "ln", "F", f"{_FIT}; the fallback: ISO 9223 with this bias"),
    "first_year.iso_sigma": Entry(0.495, "ln", "F", f"{_FIT}; and this width"),
    # long term
    "loss.exponent": Entry((0.50, 0.12, -0.05), "b0; wet ln(1 + Cl/3); ln(SO2/10)", "R", "literature; not fitted here"),
    "loss.wet": Entry((60.0, 20.0, 1.2), "%, %, at most", "M", "wet = clip((RH - 60)/20, 0, 1.2)"),
    "loss.bounds": Entry((0.2, 1.3), "1", "R", "exponents seen (Feliu 1993: .24-1.0; tropical sea 1.1)"),
    "loss.exponent_sd": Entry(
        0.15, "1", "V", "Feliu 1993 as tabulated: spread of the exponent of steel between places"
    ),
    "loss.missing": Entry((76.0, 10.0, 1.5), "RH, SO2, Cl where none", "M", "typical"),
    "loss.missing_sd": Entry((0.05, 0.05, 0.12), "on the exponent; RH, SO2, Cl", "M", "added where one is unknown"),
    "loss.noise": Entry(0.11, "ln", "M", "of one reading: .15 between two"),
    "loss.year_sd": Entry(0.33, "ln", "F", f"one year against a typical one at the same place; {_FIT}"),
    "loss.rounding": Entry(0.3, "um", "M", "first-year losses are rounded to 1 um or worse"),
    # wetness
    "magnus": Entry((6.112, 17.62, 243.12), "hPa, 1, °C", "R", _WET),
    "tow.rh": Entry(80.0, "%", "R", "ISO 9223 time of wetness"),
    "tow.classes": Entry((10.0, 250.0, 2500.0, 5500.0), "h/y", "R", "ISO 9223, upper bounds tau1-tau4"),
    "deliquescence.nacl": Entry(75.0, "% at 25 °C", "R", "handbook"),
    "deliquescence.mgcl2": Entry(33.0, "% at 25 °C", "R", "handbook"),
    "deliquescence.cacl2": Entry(30.0, "% at 25 °C", "R", "handbook"),
    "deliquescence.ammonium_sulphate": Entry(80.0, "% at 25 °C", "R", "handbook"),
    "deliquescence.sodium_sulphate": Entry(84.0, "% at 25 °C", "R", "handbook"),
    "wet.damp_rh": Entry(35.0, "%", "R", "sea salt stays wet down to about here"),
    "wet.salt_load": Entry(0.01, "g/m2", "M", "chloride from which the surface counts as salted"),
    "wet.dew_margin": Entry(0.5, "K", "M", "surface this close to the dew point counts as wet"),
    "index.damp_share": Entry(0.3, "of the wet rate", "M", "rate while salt-damp"),
    "index.wash_rain": Entry(2.0, "mm/h", "M", "more rain washes salt off"),
    "index.wash_share": Entry(0.5, "1", "M", "of the chloride that a washing rain takes away"),
    "jacket.k_dry": Entry((0.040, 0.045), "W/mK", "R", "dry mineral wool"),
    "jacket.k_soaked": Entry((0.15, 0.30), "W/mK", "R", "soaked mineral wool"),
    "jacket.film": Entry((8.0, 25.0), "W/m2K", "M", "outside film"),
    # sensors
    "acm": Entry((0.378, -0.636), "log10 mm/y per log10 C/day", "R", "often quoted, could not be verified; calibrate"),
    "acm.states": Entry((0.01, 1.0), "uA", "R", "dry below the first, rain above the second"),
    "er.heating": Entry(5.0, "K/h", "M", "samples with a faster change of temperature are rejected"),
    "er.least_days": Entry(7.0, "d", "M", "least record for a slope"),
    "lpr.b": Entry((26.0, 52.0), "mV", "V", "active, passive steel"),
    "lpr.faraday": Entry(3.27e-3, "mm g/(uA cm y)", "V", "ASTM G102"),
    "lpr.iron": Entry((27.92, 7.87), "g, g/cm3", "V", "ASTM G102: equivalent weight and density"),
    "ut.sigma": Entry((0.10, 0.15, 0.35), "mm", "M", "laboratory, field smooth, rough or through paint (.25-.5)"),
    # API RP 581
    "api581.cui.t": Entry((-12.0, -8.0, 6.0, 32.0, 71.0, 107.0, 135.0, 162.0, 176.0), "°C", "V", _581),
    "api581.cui.rate": Entry(
        (
            (0.0, 0.0, 0.025, 0.025, 0.051, 0.025, 0.0, 0.0, 0.0),
            (0.0, 0.0, 0.076, 0.076, 0.127, 0.025, 0.025, 0.0, 0.0),
            (0.0, 0.025, 0.127, 0.127, 0.254, 0.127, 0.051, 0.025, 0.0),
            (0.0, 0.076, 0.254, 0.254, 0.508, 0.254, 0.254, 0.127, 0.0),
        ),
        "mm/y, rows in the order of tables.DRIVER",
        "V",
        f"{_581} corrosion under insulation, ferritic (mpy original)",
    ),
    "api581.external.t": Entry((-12.0, -8.0, 6.0, 32.0, 71.0, 107.0, 121.0), "°C", "V", _581),
    "api581.external.rate": Entry(
        (
            (0.0, 0.0, 0.025, 0.025, 0.025, 0.0, 0.0),
            (0.0, 0.0, 0.076, 0.076, 0.051, 0.0, 0.0),
            (0.0, 0.025, 0.127, 0.127, 0.127, 0.025, 0.0),
            (0.0, 0.076, 0.254, 0.254, 0.254, 0.051, 0.0),
        ),
        "mm/y, rows in the order of tables.DRIVER",
        "V",
        f"{_581} external, by two codes; -8 °C severe by analogy with the other table",
    ),
    "api581.driver.wet": Entry((0.0, 0.30, 0.60), "share of time", "V", f"{_581}: from here mild, moderate, severe"),
    "api581.driver.rain": Entry(
        (508.0, 762.0, 1524.0, 2250.0), "mm/y", "V", f"{_581}: dry to; from here mild, moderate, severe"
    ),
    "api581.driver.cl": Entry((60.0, 300.0, 1500.0), "mg/m2/d", "V", f"{_581}: from here mild, moderate, severe"),
    "api581.insulation": Entry(
        (1.0, 1.25, 1.25, 1.25, 1.0, 0.75, 1.25, 1.25, 1.25),
        "F_INS in the order of tables.INSULATION",
        "V",
        f"{_581}; perlite is R, what is not listed takes 1.25",
    ),
    "api581.complexity": Entry(
        (0.75, 1.0, 1.25), "F_CM", "V", f"{_581} newer editions; older codes: 1.75 for the last"
    ),
    "api581.condition": Entry((0.75, 1.0, 1.25), "F_IC, above average first", "V", _581),
    "api581.equipment": Entry(2.0, "F_EQ", "V", f"{_581}: traps water or rests on beams"),
    "api581.interface": Entry(2.0, "F_IF", "V", f"{_581}: soil or water interface"),
    "api581.coating_age": Entry((0.0, 0.0, 5.0, 15.0), "y, in the order of tables.COATING", "V", _581),
    "api581.flow": Entry(1.1, "1", "V", "flow stress factor, two public codes agree"),
    "api581.head": Entry((2.0, 4.0, 1.13), "alpha", "V", "cylinder, sphere, head"),
    "api581.prior": Entry(((0.5, 0.3, 0.2), (0.7, 0.2, 0.1), (0.8, 0.15, 0.05)), "low, medium, high", "V", _581),
    "api581.likelihood": Entry(
        ((1.0, 1.0, 1.0), (0.4, 0.33, 0.27), (0.5, 0.3, 0.2), (0.7, 0.2, 0.1), (0.9, 0.09, 0.01)),
        "states, in the order of tables.EFFECTIVENESS",
        "V",
        _581,
    ),
    "api581.states": Entry((1.0, 2.0, 4.0), "x the rate", "V", _581),
    "api581.cov": Entry((0.20, 0.20, 0.05), "1", "V", f"{_581}: of thinning, flow stress, pressure"),
    "api581.base": Entry(1.56e-4, "1", "V", f"{_581}: probability that a damage factor of 1 stands for"),
    "api581.gff": Entry(3.06e-5, "1/y", "R", f"{_581}: generic failure frequency of pipe"),
    # thickness
    "b313.y": Entry(0.4, "1", "R", "ASME B31.3, ferritic up to 482 °C"),
    "structural.nps": Entry((2.0, 3.0, 4.0, 18.0), "inch, upper bounds", "R", "API 574 default"),
    "structural.minimum": Entry((1.8, 2.0, 2.3, 2.8, 3.1), "mm", "R", "API 574 default alert thickness"),
    "api570.floor": Entry(0.025, "mm/y", "M", "taken where the measured rate is zero or below"),
    "api570.apart": Entry(
        (0.5, 0.1),
        "y",
        "M",
        "readings nearer to the newest give no rate; from the second on where the loss is sure",
    ),
    "api570.sure": Entry(3.0, "standard errors", "M", "of both readings; a loss above it is sure"),
    "api570.cap.thickness": Entry((5.0, 10.0, 10.0), "y, class 1 2 3", "R", _570),
    "api570.cap.visual": Entry((5.0, 5.0, 10.0), "y, class 1 2 3", "R", _570),
    "api570.cap.injection": Entry((3.0, 3.0, 3.0), "y", "R", _570),
    "api570.extent": Entry(((0.75, 0.50), (0.50, 0.33), (0.25, 0.10)), "damaged, suspect; class 1 2 3", "R", _570),
    "accept": Entry((1e-3, 1e-2, 5e-2), "probability, class 1 2 3", "M", "below the required wall when next inspected"),
    "b31g": Entry((1.1, 2 / 3, 0.8, 20.0, 0.8), "flow, area, bulge, longest z, deepest d/t", "R", "B31G original"),
    # extreme value
    "extreme.refuse": Entry(6.0, "maxima", "M", "fewer: no estimate"),
    "extreme.warn": Entry(10.0, "maxima", "M", "fewer: a warning"),
    "extreme.gev_se": Entry(0.5633, "n var(shape)", "R", "Hosking, Wallis and Wood 1985: under a Gumbel law"),
    "extreme.gev_shape": Entry((7.8590, 2.9554), "1", "R", "Hosking 1985: shape from the L-skewness"),
    # growth and findings
    "growth.shape": Entry(4 / 3, "gained a year", "M", "a mean of .12 mm/y then has a variance of .0108 mm2/y"),
    "coating.weibull": Entry((2.5, 1.2), "shape, scale x the age credited", "M", "life of a coating"),
    "wall.mill": Entry((-0.125, 0.1), "of the nominal wall", "M", "mill tolerance; -12.5 % by the pipe standards"),
    "reading.huber": Entry(1.579, "standard errors", "V", "Huber 1964: least favourable for 3 % contamination"),
    "reading.sigma": Entry(
        (0.15, 0.35, 0.15, 0.5, 0.5, 0.8, 1.0), "mm, in the order of tables.METHOD", "M", "where a finding gives none"
    ),
    "reading.least": Entry(
        0.02, "mm", "M", "least standard error that is believed: no gauge finds the same spot better"
    ),
    "reading.trend": Entry(
        (3.0, 1.0), "standard errors", "M", "readings that fall so surely against the model, and so without any one"
    ),
    "reading.newest": Entry(4.0, "days", "M", "newest with a reading of a place; their trend counts alone as well"),
    "reading.contradicts": Entry(4.0, "standard errors", "M", "a reading this far from the others is told"),
    "screening.limit": Entry(
        (0.5, 0.64, 0.3, 0.64, 0.64, 1.27, 2.54),
        "mm, in the order of tables.METHOD",
        "M",
        "missed at most by 'nothing found'; visual, DR, PEC and guided wave are V (a practitioner's 25, 50, 100 mil)",
    ),
    "screening.pod": Entry(0.4, "ln mm", "M", "width of the probability of detection"),
    "depth.resolved": Entry(0.02, "mm", "M", "a quantile of depth below this is given as 0"),
    "spread": Entry((1.0, 0.4, 0.5, 0.6), "ln rate: physics, plant, line, point", "M", "prior of the effects"),
    "spread.wider": Entry((0.5, 0.8, 1.25, 2.0), "x those of line and point", "M", "weighed by the findings"),
    "spread.wider_prior": Entry(0.5, "ln", "M", "width of the prior of these multiples"),
    "dry_place.share": Entry((0.01, 0.05, 0.15), "of all points", "M", "hardly ever wet; weighed by the findings"),
    "dry_place": Entry((-4.5, 1.0), "ln of rate over physics: mean, sd", "M", "rate at such a point"),
    # where a register says nothing
    "assumed.rate": Entry(0.005, "mm/y", "M", "where the tables say 0: outside them is not immune"),
    "assumed.age": Entry((20.0, 25.0), "y: of a file's line, of a table's", "M", "in service"),
    "assumed.t": Entry(60.0, "°C", "M", "metal temperature"),
    "assumed.climate": Entry((15.0, 76.0, 2.0, 1.5), "°C, %, mg/m2/d SO2, Cl", "M", "for the prior of bare pipe"),
    "assumed.steel": Entry(
        (137.9, 1.0, 240.0, 415.0), "MPa S, E, MPa YS, MPa TS", "M", "carbon steel of moderate strength"
    ),
    "learned.share": Entry(0.5, "1", "M", "of what is learned that moves the rates; chosen on plants apart"),
    # live
    "live.cusum": Entry((0.5, 5.0), "standard errors: slack, decision", "M", "CUSUM of the jacket"),
    "live.sigma": Entry(1.0, "K", "M", "least standard error of the jacket's residual"),
    "live.drive": Entry(15.0, "K", "M", "metal above ambient from which the jacket tells anything"),
    "live.disturbed": Entry(
        (60.0, 3.0, 6.0, 1.5), "W/m2 sun, K/10 min jacket, K/10 min metal, h after", "M", "the jacket tells nothing"
    ),
    "live.annulus": Entry((95.0, 24.0, 60.0, 85.0), "% soaked, h, % dry, % over", "M", "alarm of the annulus' air"),
    "live.fault": Entry((4.0, 2.0), "h frozen, silent", "M", "a sensor is at fault"),
    "live.rate_sigma": Entry((0.6, 1.0), "of the loss: known state, unknown", "M", "table rates are mostly too high"),
    "live.er": Entry((500.0, 1.0), "um element, um error", "M", "ER probe"),
}


def number(name: str) -> float:
    """A single coefficient. Raises `KeyError` for an unknown name, `TypeError` for a row of them."""
    return float(TABLE[name].value)  # type: ignore[arg-type]


def row(name: str) -> Floats:
    """A row or table of coefficients as an array of its own."""
    return np.array(TABLE[name].value, dtype=np.float64)
