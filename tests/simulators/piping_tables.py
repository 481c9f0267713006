"""A simulated plant's records as the tables of an assessment."""

from dataclasses import fields
from typing import Any, TypeVar

from models.corrosion import tables
from simulators.piping import Plant

T = TypeVar("T")


def as_table(cls: type[T], records: Any) -> T:
    """The table with the same fields."""
    return cls(**{field.name: getattr(records, field.name) for field in fields(cls)})  # type: ignore[arg-type]


def as_tables(plant: Plant) -> tuple[tables.Lines, tables.Points, tables.Inspections, tables.Weather]:
    """All four."""
    return (
        as_table(tables.Lines, plant.lines),
        as_table(tables.Points, plant.points),
        as_table(tables.Inspections, plant.inspections),
        as_table(tables.Weather, plant.weather),
    )
