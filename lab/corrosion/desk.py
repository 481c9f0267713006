"""The assessed plant that the API answers from: made when first asked for, and again when the record changes."""

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Final

from lab.corrosion.keeping import Keeping
from lab.corrosion.register import KeptOut, Record, Register
from lab.corrosion.results import Outcome
from lab.zones import today
from models.corrosion.tables import Assessment, Floats

KEPT: Final = 6
"""Assessments held: the plant as it is and a few what-ifs."""


class Desk:
    """The record of a data directory and its assessments. For many threads: one works, the others wait for it."""

    def __init__(self, data: Path, make: Callable[[], tuple[Register, int]] | None = None) -> None:
        """`make` gives the plant, and its seed, that an empty record begins with."""
        self._data, self._make = data, make
        self._lock = threading.Lock()
        self._keeping: Keeping | None = None
        self._registers: tuple[int, Register] | None = None
        self._found: OrderedDict[tuple[int, date, tuple[str, ...]], Outcome] = OrderedDict()

    def close(self) -> None:
        """Close the record."""
        with self._lock:
            if self._keeping is not None:
                self._keeping.close()
                self._keeping = None

    def _kept(self) -> Keeping:
        if self._keeping is None:
            self._keeping = Keeping(self._data)
        if self._keeping.revision == 0 and self._make is not None:
            register, seed = self._make()
            self._keeping.replace(register, "simulated", seed)
        return self._keeping

    @property
    def next_y(self) -> float:
        """Years until the next opportunity that its assessments look at."""
        from models.corrosion.assessment import NEXT_Y

        return NEXT_Y

    def meta(self) -> dict[str, str]:
        """Where the record comes from and when it changed.

        Raises:
            KeepingError: it cannot be read.
        """
        with self._lock:
            return self._kept().meta()

    def outcome(self, coated: Sequence[str] = (), at: date | None = None) -> Outcome:
        """The plant assessed, today unless another day is given; `coated` are lines that get a new coating now.

        Raises:
            KeepingError: the record cannot be read.
            KeyError: there is no such line.
        """
        from lab.corrosion.assessing import assessment  # its statistics cost memory that a lab without piping saves

        with self._lock:
            kept = self._kept()
            revision = kept.revision
            if self._registers is None or self._registers[0] != revision:
                self._registers = revision, kept.register()
                self._found.clear()
            key = revision, at or today(), tuple(sorted(set(coated)))
            if key not in self._found:
                register = self._registers[1]
                self._found[key] = Outcome(register, assessment(register, key[1], key[2]))
                while len(self._found) > KEPT:
                    self._found.popitem(last=False)
            self._found.move_to_end(key)
            return self._found[key]

    def plan(self, budget: int, acceptable: float | None = None, coated: Sequence[str] = ()) -> Outcome:
        """The plant with a plan for a budget of places; `acceptable` moves the dates of the probabilistic rule.

        Raises:
            KeepingError: the record cannot be read.
            KeyError: there is no such line.
        """
        from lab.corrosion.assessing import make_plan

        found = self.outcome(coated)
        judged = found.assessment
        if acceptable is not None:
            judged = dataclasses.replace(judged, interval_y=intervals(judged, found.register, acceptable))
        return Outcome(found.register, judged, make_plan(found.register, judged, budget))

    def add(self, findings: Sequence[tuple[int, Record]], file: str) -> tuple[int, list[KeptOut]]:
        """Enter findings; how many were entered, and which were kept out.

        Raises:
            KeepingError: the record cannot be written.
        """
        with self._lock:
            return self._kept().add(findings, today(), file)


def intervals(found: Assessment, register: Register, acceptable: float) -> Floats:
    """The dates' years of the probabilistic rule with another acceptable chance."""
    from models.corrosion.assessment import at_latest, longest_interval

    grade = register.lines.pipe_class[register.points.line]
    latest = at_latest(found.last, found.t_req, found.thickness[:, 0, 0], found.half_life_y)
    return longest_interval(found.p_below, acceptable, grade, latest)
