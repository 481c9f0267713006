"""What the columns of a plant's files are called, in Japanese and English, and which quantity each holds."""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, Literal

from lab.corrosion.cells import UNITS, Quantity, fold, fold_unit

Kind = Literal["text", "number", "date", "code", "flag", "finding"]
TableName = Literal["lines", "points", "inspections", "weather", "exposure", "thinning"]
LIKELY: Final = 0.84
"""A header this near a known name is proposed as that column."""
SERIAL: Final = frozenset(("no", "number", "番号", "連番"))
"""Headers (folded) that mostly number a sheet's rows: what they may name is rather a header that says so."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column a table may have."""

    kind: Kind
    names: tuple[str, ...]
    """Names people write, the template's first: English, then Japanese."""
    quantity: Quantity | None = None
    lo: float = float("-inf")
    hi: float = float("inf")
    """What lies outside is no such quantity: a wrong unit or a slip of the pen."""
    words: Mapping[str, int] = field(default_factory=dict)
    """Of a column of codes: the words that people write (folded), and the code of each."""
    required: bool = False


_VOCABULARY: Final[dict[str, dict[str, dict[str, list[str]]]]] = json.loads(
    Path(__file__).with_name("names.json").read_text(encoding="utf-8")
)


def codes(name: str) -> dict[str, int]:
    """The folded words of a column of codes, and the code of each."""
    found: dict[str, int] = {}
    for code, (own, spoken) in enumerate(_VOCABULARY["words"][name].items()):
        found |= {folded: code for word in (own, *spoken) if (folded := fold(word))}
    return found


def _column(
    table: str,
    key: str,
    kind: Kind,
    quantity: Quantity | None = None,
    *,
    lo: float = float("-inf"),
    hi: float = float("inf"),
    words: str = "",
    required: bool = False,
) -> Column:
    names = tuple(_VOCABULARY["columns"][table][key])
    return Column(kind, names, quantity, lo, hi, codes(words) if words else {}, required)


LINES: Final[dict[str, Column]] = {
    "id": _column("lines", "id", "text", required=True),
    "plant": _column("lines", "plant", "text"),
    "service": _column("lines", "service", "text"),
    "nps": _column("lines", "nps", "number", "pipe_size", lo=0.1, hi=80),
    "diameter": _column("lines", "diameter", "number", "length", lo=5, hi=2500),
    "t_nom": _column("lines", "t_nom", "number", "length", lo=0.5, hi=100),
    "schedule": _column("lines", "schedule", "text"),
    "t_req": _column("lines", "t_req", "number", "length", lo=0.1, hi=100),
    "material": _column("lines", "material", "code", words="material"),
    "t_op": _column("lines", "t_op", "number", "temperature", lo=-270, hi=1000),
    "t_min": _column("lines", "t_min", "number", "temperature", lo=-270, hi=1000),
    "t_max": _column("lines", "t_max", "number", "temperature", lo=-270, hi=1000),
    "pressure": _column("lines", "pressure", "number", "pressure", lo=0, hi=200),
    "stress": _column("lines", "stress", "number", "pressure", lo=10, hi=1000),
    "weld": _column("lines", "weld", "number", lo=0.3, hi=1),
    "yield_strength": _column("lines", "yield_strength", "number", "pressure", lo=50, hi=2000),
    "tensile_strength": _column("lines", "tensile_strength", "number", "pressure", lo=100, hi=3000),
    "insulation": _column("lines", "insulation", "code", words="insulation"),
    "coating": _column("lines", "coating", "code", words="coating"),
    "installed": _column("lines", "installed", "date"),
    "coated_on": _column("lines", "coated_on", "date"),
    "driver": _column("lines", "driver", "code", words="driver"),
    "heat_traced": _column("lines", "heat_traced", "flag", words="yes_no"),
    "sheltered": _column("lines", "sheltered", "flag", words="yes_no"),
    "tower_m": _column("lines", "tower_m", "number", "distance", lo=0, hi=1e05),
    "pipe_class": _column("lines", "pipe_class", "number", lo=1, hi=3),
    "consequence": _column("lines", "consequence", "number", lo=0, hi=1e06),
}
POINTS: Final[dict[str, Column]] = {
    "line": Column("text", LINES["id"].names),
    "id": _column("points", "id", "text", required=True),
    "part": _column("points", "part", "code", words="part"),
    "on_beam": _column("points", "on_beam", "flag", words="yes_no"),
    "interface": _column("points", "interface", "flag", words="yes_no"),
    "complexity": _column("points", "complexity", "code", words="complexity"),
    "condition": _column("points", "condition", "code", words="condition"),
    "jacket_damage": _column("points", "jacket_damage", "code", words="damage"),
    "height_m": _column("points", "height_m", "number", "distance", lo=-100, hi=500),
    "wet_fraction": _column("points", "wet_fraction", "number", "fraction", lo=0, hi=1),
}
INSPECTIONS: Final[dict[str, Column]] = {
    "line": Column("text", LINES["id"].names),
    "point": Column("text", POINTS["id"].names),
    "part": POINTS["part"],
    "at": _column("inspections", "at", "date"),
    "method": _column("inspections", "method", "code", words="method"),
    "effectiveness": _column("inspections", "effectiveness", "code", words="effectiveness"),
    "stripped": _column("inspections", "stripped", "flag", words="yes_no"),
    "reading": _column("inspections", "reading", "number", "length"),
    "loss": _column("inspections", "loss", "number", "length"),
    "loss_low": _column("inspections", "loss_low", "number", "length"),
    "loss_high": _column("inspections", "loss_high", "number", "length"),
    "finding": _column("inspections", "finding", "finding"),
    "sigma": _column("inspections", "sigma", "number", "length", lo=0, hi=10),
    "unit": _column("inspections", "unit", "text"),
}
WEATHER: Final[dict[str, Column]] = {
    "at": _column("weather", "at", "date"),
    "temperature_c": _column("weather", "temperature_c", "number", "temperature", lo=-60, hi=60),
    "humidity_pct": _column("weather", "humidity_pct", "number", "percent", lo=0, hi=100),
    "rain_mm_y": _column("weather", "rain_mm_y", "number", "rain", lo=0, hi=20000),
    "so2_mg_m2_d": _column("weather", "so2_mg_m2_d", "number", "deposition_so2", lo=0, hi=5000),
    "cl_mg_m2_d": _column("weather", "cl_mg_m2_d", "number", "deposition_cl", lo=0, hi=20000),
}
EXPOSURE: Final[dict[str, Column]] = {
    **{key: column for key, column in WEATHER.items() if key not in {"at", "rain_mm_y"}},
    "years": _column("exposure", "years", "number", "duration", lo=0, hi=200),
    "first_year": _column("exposure", "first_year", "number", "film", lo=0, hi=1e05),
}
"""What the calculators of atmospheric corrosion read, a row an exposure."""
THINNING: Final[dict[str, Column]] = {
    "id": _column("thinning", "id", "text"),
    "reading": _column("thinning", "reading", "number", "length", lo=0, hi=1000, required=True),
    "t_req": _column("thinning", "t_req", "number", "length", lo=0, hi=1000, required=True),
    "rate": _column("thinning", "rate", "number", "rate", lo=-100, hi=1000, required=True),
    "pipe_class": _column("thinning", "pipe_class", "number", lo=1, hi=3),
}
"""What the calculator of remaining life reads, a row a place."""
TABLES: Final[dict[TableName, dict[str, Column]]] = {
    "lines": LINES,
    "points": POINTS,
    "inspections": INSPECTIONS,
    "weather": WEATHER,
    "exposure": EXPOSURE,
    "thinning": THINNING,
}


_BRACKET = re.compile(r"[(\[{（［【<]\s*([^)\]}）］】>]*)\s*[)\]}）］】>]")


def split_unit(header: str) -> tuple[str, str]:
    """A header without its unit, and the unit as written (empty: none): `肉厚(mm)`, `thickness [in]`, `t_nom_mm`."""
    plain = unicodedata.normalize("NFKC", header).strip()
    for match in _BRACKET.finditer(plain):
        if fold_unit(match[1]) in UNITS:
            return (plain[: match.start()] + plain[match.end() :]).strip(" _-,") or plain, match[1]
    words = re.split(r"[\s_,]+", plain)
    for first in range(max(1, len(words) - 3), len(words)):
        # the longest tail that is a unit: `rate_mm_y`, `thickness mm`
        tail = "/".join(words[first:])
        if fold_unit(tail) in UNITS and not (len(words) - first == 1 and len(tail) == 1 and tail.lower() not in "cf"):
            return " ".join(words[:first]), tail
    return plain, ""


@cache
def _names(table: TableName) -> dict[str, str]:
    names: dict[str, str] = {}
    for key, column in TABLES[table].items():
        for name in (key, *column.names):
            names.setdefault(fold(name), key)
    return names


@lru_cache(4096)
def likeness(header: str, table: TableName, exact: bool = False) -> list[tuple[str, float]]:
    """The columns of a table that a header may mean, likeliest first, with a likeness from 0 to 1.

    `exact` leaves out those that are only alike, which takes long to find.
    """
    names = _names(table)
    bare, unit = split_unit(header)
    texts = {fold(_BRACKET.sub("", unicodedata.normalize("NFKC", header))): 0.97, fold(header): 1.0, fold(bare): 1.0}
    best: dict[str, float] = {}
    for folded, weight in texts.items():
        if not folded:
            continue
        if folded in names:
            sure = 0.9 * weight if folded in SERIAL else weight
            best[names[folded]] = max(best.get(names[folded], 0.0), sure)
            continue
        for name, key in names.items() if not exact else ():
            if len(name) < 3 and name.isascii():
                continue  # one or two letters are like everything
            matcher = SequenceMatcher(None, folded, name)
            value = matcher.ratio() if matcher.real_quick_ratio() > LIKELY and matcher.quick_ratio() > LIKELY else 0.0
            short, long = sorted((folded, name), key=len)
            if short in long and len(short) >= (2 if not short.isascii() else 4):
                value = max(value, 0.72 + 0.24 * len(short) / len(long))
            best[key] = max(best.get(key, 0.0), 0.96 * value * weight)
    quantity = UNITS.get(fold_unit(unit)) if unit else None
    for key in best:
        wanted = TABLES[table][key].quantity
        if quantity and wanted and wanted not in quantity:
            best[key] *= 0.6  # a temperature is not measured in millimetres
        elif quantity and not wanted:
            best[key] *= 0.8
    return sorted(best.items(), key=lambda pair: -pair[1])


def _rank(header: str, key: str, column: Column) -> int:
    """How far back a header stands among the names of a column; its key is before them, but `id` may be any number."""
    written = {fold(header), fold(split_unit(header)[0])}
    if key != "id" and fold(key) in written:
        return -1
    return next((at for at, name in enumerate(column.names) if fold(name) in written), len(column.names))


def propose(headers: list[str], table: TableName, exact: bool = False) -> dict[str, tuple[int, float]]:
    """Which header is which column of a table: by column, the header's position and the likeness; each used once."""
    pairs = [
        (value, _rank(header, key, TABLES[table][key]), position, key)
        for position, header in enumerate(headers)
        if header
        for key, value in likeness(header, table, exact)
        if value >= LIKELY
    ]
    chosen: dict[str, tuple[int, float]] = {}
    taken: set[int] = set()
    # of two names of a column the one nearer the front of its list: 公称肉厚 before 肉厚, wherever they stand
    for value, _, position, key in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:3])):
        if key not in chosen and position not in taken:
            chosen[key] = (position, value)
            taken.add(position)
    return chosen


def score(headers: list[str], table: TableName, exact: bool = False) -> float:
    """How much headers look like a table's: the likenesses of what was recognised, twice what must be there."""
    found = propose(headers, table, exact)
    return sum(value * (2 if TABLES[table][key].required else 1) for key, (_, value) in found.items())
