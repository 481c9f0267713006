"""A figure of a benchmark beside what is owed and what is aimed at."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

from benchmarks.report import table


class Bar(NamedTuple):
    """The bounds that a figure is held to."""

    low: float
    high: float

    def met(self, figure: float) -> bool:
        return self.low <= figure <= self.high

    def __str__(self) -> str:
        if self.high == inf:
            return f"≥ {self.low:g}"
        return f"≤ {self.high:g}" if self.low == -inf else f"{self.low:g} to {self.high:g}"


def least(value: float) -> Bar:
    """At least this."""
    return Bar(value, inf)


def most(value: float) -> Bar:
    """At most this."""
    return Bar(-inf, value)


def between(low: float, high: float) -> Bar:
    """From the one to the other."""
    return Bar(low, high)


class Line(NamedTuple):
    """One figure of every subject, and what the first of them owes."""

    what: str
    figures: Mapping[str, float]
    owed: Bar | None = None
    aim: Bar | None = None
    digits: int = 3

    def verdict(self, name: str) -> str:
        """What the subject's figure is worth."""
        figure = self.figures.get(name, float("nan"))
        if self.owed is None and self.aim is None:
            return "reported"
        if self.owed is not None and not self.owed.met(figure):
            return "**short of owed**"
        if self.aim is None:
            return "owed: met"
        return "aim: met" if self.aim.met(figure) else ("owed: met, short of aim" if self.owed else "**short of aim**")


class Section(NamedTuple):
    """A benchmark's lines, and what else is to be said of it."""

    title: str
    protocol: str
    lines: Sequence[Line]
    details: str = ""


def summary(section: Section, names: Sequence[str]) -> str:
    """A section as Markdown; the first of `names` is the one that is judged."""
    rows = [
        (
            line.what,
            *(number(line.figures.get(name), line.digits) for name in names),
            line.owed or "-",
            line.aim or "-",
            line.verdict(names[0]),
        )
        for line in section.lines
    ]
    parts = [f"### {section.title}\n", section.protocol.strip() + "\n"]
    if rows:
        parts.append(table(("figure", *names, "owed", "aim", "verdict"), rows))
    if section.details:
        parts.append(section.details.strip() + "\n")
    return "\n".join(parts)


def shortfalls(sections: Sequence[Section], name: str) -> str:
    """The figures that fall short of what is owed, then those short of the aim."""
    lines = []
    for mark in ("owed", "aim"):
        for section in sections:
            for line in section.lines:
                verdict = line.verdict(name)
                if f"short of {mark}" in verdict:
                    bar = line.owed if mark == "owed" else line.aim
                    figure = number(line.figures.get(name), line.digits)
                    lines.append(f"- short of {mark}: {section.title}, {line.what}: {figure}, wanted {bar}")
    return "\n".join(lines) + "\n" if lines else "Every figure reaches its aim.\n"


def number(value: float | None, digits: int) -> str:
    """A figure with so many decimals; `-` where there is none."""
    if value is None or value != value:
        return "-"
    return f"{value:.{digits}f}"
