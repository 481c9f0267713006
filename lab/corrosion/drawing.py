"""The report's charts as inline SVG, drawn by hand: no library, no script, sharp on paper."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Final

INK: Final = "#1d2730"
SOFT: Final = "#5d6b76"
GRID: Final = "#e3e8ec"
BLUE: Final = "#1f6fa8"
FAN: Final = "#9cc3df"
RED: Final = "#b3261e"


@dataclass
class Plot:
    """Axes with a scale each way; shapes are added in their coordinates."""

    width: float
    height: float
    x0: float
    x1: float
    y0: float
    y1: float
    left: float = 44
    right: float = 14
    top: float = 12
    bottom: float = 30
    shapes: list[str] = field(default_factory=list)

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return self.left + (value - self.x0) / (self.x1 - self.x0) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return (
            self.height - self.bottom - (value - self.y0) / (self.y1 - self.y0) * (self.height - self.top - self.bottom)
        )

    def axes(
        self, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str, y_label: str, digits: int = 0
    ) -> None:
        """Grid lines, ticks and what the axes are."""
        low, right = self.height - self.bottom, self.width - self.right
        for tick in y_ticks:
            y = self.y(tick)
            self.shapes.append(f'<line x1="{self.left}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
            self.text(self.left - 6, y + 4, f"{tick:.{digits}f}", anchor="end", size=11)
        for tick in x_ticks:
            x = self.x(tick)
            self.shapes.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low}" y2="{low + 4}" stroke="{SOFT}"/>')
            self.text(x, low + 16, f"{tick:g}", anchor="middle", size=11)
        self.shapes.append(f'<line x1="{self.left}" x2="{right:.1f}" y1="{low}" y2="{low}" stroke="{SOFT}"/>')
        self.text(right, low + 27, x_label, anchor="end", size=11)
        self.text(4, self.top - 1, y_label, size=11)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: str = "start",
        size: float = 11,
        colour: str = SOFT,
        bold: bool = False,
    ) -> None:
        """Words at a place in pixels."""
        weight = ' font-weight="600"' if bold else ""
        self.shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}" fill="{colour}"{weight}>'
            f"{escape(words)}</text>"
        )

    def line(self, xs: Sequence[float], ys: Sequence[float], colour: str, width: float = 1.8, dash: str = "") -> None:
        """A line through points."""
        path = " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in zip(xs, ys, strict=True))
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'
        )

    def band(self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str) -> None:
        """What lies between two lines."""
        there = [*zip(xs, high, strict=True)]
        back = [*zip(xs, low, strict=True)][::-1]
        path = " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in [*there, *back])
        self.shapes.append(f'<polygon points="{path}" fill="{colour}" fill-opacity="0.55"/>')

    def dot(self, x: float, y: float, colour: str, radius: float = 3.6, hollow: bool = False) -> None:
        """One value."""
        fill = "#fff" if hollow else colour
        self.shapes.append(
            f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{radius:g}" fill="{fill}" stroke="{colour}" '
            'stroke-width="1.4"/>'
        )

    def rule(self, y: float, colour: str, label: str, dash: str = "6 4") -> None:
        """A level across, named at its left end."""
        at, right = self.y(y), self.width - self.right
        self.shapes.append(
            f'<line x1="{self.left}" x2="{right:.1f}" y1="{at:.1f}" y2="{at:.1f}" stroke="{colour}" '
            f'stroke-width="1.5" stroke-dasharray="{dash}"/>'
        )
        self.text(self.left + 4, at - 4, label, colour=colour, bold=True)

    def mark(self, x: float, label: str) -> None:
        """A day, as a thin upright line named at its top."""
        at = self.x(x)
        self.shapes.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{self.top}" y2="{self.height - self.bottom}" stroke="{SOFT}" '
            'stroke-dasharray="2 3"/>'
        )
        self.text(at + 4, self.top + 9, label)

    def svg(self, title: str) -> str:
        """The drawing; the title is for those who cannot see it."""
        return (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-label="{escape(title, quote=True)}">'
            f"<title>{escape(title)}</title>{''.join(self.shapes)}</svg>"
        )


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two values, at most so many."""
    if not high > low:
        return [low]
    raw = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(first * step + k * step, 10) for k in range(int((high - first * step) / step + 1e-9) + 1)]


def digits_of(values: Sequence[float]) -> int:
    """Decimals that show the step between ticks as it is (2.5 takes one)."""
    step = min((abs(b - a) for a, b in pairwise(values)), default=1.0)
    return next((digits for digits in range(6) if math.isclose(step, round(step, digits), rel_tol=1e-6)), 6)
