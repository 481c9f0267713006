"""Reason codes: why a result is missing or to be read with care, and why the plan picks a place.

A reason is one bit of a uint32; `bit(name)` gives it, `names(bits)` reads a set of them back. The identifiers are
stable and English; what a reader sees comes from the catalogue of texts.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bits = NDArray[np.uint32]

REASONS: Final = (
    "invalid_input",
    "climate_missing",
    "outside_range",
    "outside_table",
    "above_top_category",
    "reading_grew",
    "above_nominal",
    "clock_back",
    "rate_floored",
    "below_required",
    "too_few_maxima",
    "few_maxima",
    "equal_maxima",
    "heavy_tail",
    "poor_fit",
    "capped_at_nominal",
    "high_probability",
    "high_consequence",
    "wet_now",
    "never_inspected",
    "long_since_inspected",
    "old_coating",
    "no_coating",
    "trace_leak",
    "worst_temperature",
    "cycling",
    "jacket_damaged",
    "water_trap",
    "soil_interface",
    "salt",
    "teaches_much",
    "prior_only",
)
"""Bit n is entry n; new ones are added at the end (32 fit)."""

MEANING: Final = {
    "invalid_input": "A value that cannot be (negative deposition, humidity over 100 %): no result.",
    "climate_missing": "Humidity, SO2 or chloride unknown: answered with a wider interval.",
    "outside_range": "Outside the range a formula was made for: extrapolated, or clamped where it serves as a prior.",
    "outside_table": "Metal temperature outside the API RP 581 table: rate 0.",
    "above_top_category": "First-year corrosion above the CX bound of ISO 9223.",
    "reading_grew": "A reading above the one before (negative loss) or far from what the others say: measure again.",
    "above_nominal": "A thickness reading above the nominal wall.",
    "clock_back": "A date before the one it must follow: negative age.",
    "rate_floored": "Measured rate zero or below: the floor was taken.",
    "below_required": "Already below the required thickness.",
    "too_few_maxima": "Fewer than 6 block maxima: no extreme-value estimate.",
    "few_maxima": "Fewer than 10 block maxima: wide uncertainty.",
    "equal_maxima": "All block maxima equal: the scale is 0, no estimate.",
    "heavy_tail": "GEV shape more than two standard errors from 0: the GEV estimate is reported.",
    "poor_fit": "Block maxima do not lie on a Gumbel line (PPCC below its 5 % point).",
    "capped_at_nominal": "Estimated depth reaches the nominal wall: perforation.",
    "high_probability": "Chance of being too thin by the next opportunity above what the class accepts.",
    "high_consequence": "A leak here costs much more than elsewhere.",
    "wet_now": "The insulation is wet now.",
    "never_inspected": "No accepted finding at this place.",
    "long_since_inspected": "The last finding is older than the interval allows.",
    "old_coating": "The coating is past its expected life.",
    "no_coating": "No coating that protects.",
    "trace_leak": "Signs of a leaking steam tracer.",
    "worst_temperature": "Metal temperature where corrosion under insulation is fastest (77-110 °C).",
    "cycling": "Temperature cycles through the dew point.",
    "jacket_damaged": "Jacket or insulation damaged.",
    "water_trap": "A part that traps water (support, low point, dead leg, beam).",
    "soil_interface": "Soil or water interface.",
    "salt": "Much chloride from the sea or a cooling tower.",
    "teaches_much": "An inspection here narrows what is known of many places.",
    "prior_only": "Too few stripped places to learn from: the likelihood is that of the physics alone.",
}
"""One line each, for developers."""


def bit(name: str) -> np.uint32:
    """The bit of one reason. Raises `ValueError` for a name that is not in `REASONS`."""
    return np.uint32(1 << REASONS.index(name))


def flags(**conditions: ArrayLike) -> Bits:
    """Bits from conditions by name (`flags(invalid_input=x < 0, …)`), broadcast together."""
    total = np.zeros((), dtype=np.uint32)
    for name, condition in conditions.items():
        total = total | np.where(np.asarray(condition, dtype=np.bool_), bit(name), np.uint32(0))
    return np.asarray(total, dtype=np.uint32)


def names(bits: int | np.uint32) -> tuple[str, ...]:
    """The reasons in one set of bits, in the order of `REASONS`."""
    return tuple(name for at, name in enumerate(REASONS) if int(bits) >> at & 1)
