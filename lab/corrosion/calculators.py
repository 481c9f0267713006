"""Small calculators on a file: its rows again, with what follows from each beside them."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from lab.corrosion.columns import TableName
from lab.corrosion.register import KeptOut, Record, read_records
from lab.corrosion.sheets import Mapped, Use
from lab.tables import TableError
from lab.text import text
from models.corrosion import atmospheric, thickness
from models.corrosion.tables import Floats

Kind = Literal["first-year", "loss", "life"]
NEEDED: Mapping[Kind, tuple[TableName, tuple[str, ...]]] = {
    "first-year": ("exposure", ("temperature_c",)),
    "loss": ("exposure", ("first_year", "years")),
    "life": ("thinning", ("reading", "t_req", "rate")),
}


class Calculated(NamedTuple):
    """The rows that were used with the results' columns after them, and the rows that were not."""

    headers: list[str]
    rows: list[list[Any]]
    kept_out: list[KeptOut]


def _climate(record: Record) -> tuple[Floats, Floats, Floats, Floats]:
    keys = ("temperature_c", "humidity_pct", "so2_mg_m2_d", "cl_mg_m2_d")
    t, rh, so2, cl = (np.array([record.get(key, math.nan)], dtype=np.float64) for key in keys)
    return t, rh, so2, cl


def first_year(record: Record) -> dict[str, float | str | None]:
    """First-year loss of carbon steel in µm with its interval, and the corrosivity category of the middle."""
    low, middle, high = atmospheric.first_year(*_climate(record))[0].tolist()
    category = str(atmospheric.category(np.array([middle]))[0]) or None
    return {"first_year_um_p05": low, "first_year_um_p50": middle, "first_year_um_p95": high, "category": category}


def loss(record: Record) -> dict[str, float | str | None]:
    """Loss of carbon steel in µm after some years, from its loss of the first."""
    start, years = np.array([record["first_year"]]), np.array([record["years"]])
    low, middle, high = atmospheric.loss(start, years, *_climate(record))[0].tolist()
    return {"loss_um_p05": low, "loss_um_p50": middle, "loss_um_p95": high}


def life(record: Record) -> dict[str, float | str | None]:
    """Years until the required thickness at a rate, and the interval of API 570 (class 2 unless said)."""
    years = float(thickness.remaining_life(record["reading"], record["t_req"], record["rate"]))
    interval = float(thickness.inspection_interval(years, record.get("pipe_class", 2)))
    return {"life_y": years, "interval_y": interval}


WORK = {"first-year": first_year, "loss": loss, "life": life}


def calculate(kind: Kind, path: Path, mapping: Mapped | None = None) -> Calculated:
    """Run a calculator over every row of a CSV or Excel file.

    Raises:
        TableError: the file cannot be used, or has not the columns.
    """
    table, needed = NEEDED[kind]
    uses: Mapping[str, Use] | None = (mapping or {}).get(table)
    out: list[KeptOut] = []
    read = read_records(path, table, uses, out)
    lacking = [key for key in needed if key not in read.sources]
    if lacking:
        columns = ", ".join(filter(None, read.sheet.headers))
        raise TableError(text("corrosion.file.lacks", path=read.sheet.file, names=", ".join(lacking), columns=columns))
    by_number = dict(zip(read.sheet.numbers, read.sheet.rows, strict=True))
    rows: list[list[Any]] = []
    names: list[str] = []
    for number, record in read.records:
        missing = next((key for key in needed if key not in record), None)
        if missing:
            out.append(KeptOut(read.sheet.file, number, read.sources[missing].header, "", "missing", {}, table))
            continue
        found = WORK[kind](record)
        names = list(found)
        values = [
            round(value, 4) if isinstance(value, float) and math.isfinite(value) else value for value in found.values()
        ]
        rows.append(
            [*by_number[number], *(None if isinstance(v, float) and not math.isfinite(v) else v for v in values)]
        )
    return Calculated([*read.sheet.headers, *names], rows, sorted(out, key=lambda each: each.row))
