"""Files with one reading a row, read as one row a time: which sensors are taken, what is refused and what is told.

How such a file is known by its header, and the arithmetic: `lab.longtable`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.quality import NAMES, is_bad
from lab.cells import narrow
from lab.csvsource import DistinctCells
from lab.longtable import (
    MADE,
    Columns,
    Pivoted,
    Twice,
    Unclear,
    Wanted,
    assets_of,
    find_columns,
    gathered,
    pivot,
    quality_codes,
    tells_quality,
    usual_step_s,
)
from lab.periods import CLOCK_COLUMN
from lab.tablesource import Codes, Floats, Source, Times, coded_once
from lab.text import text
from lab.textfile import TableError, is_value
from lab.timecolumn import counted_times, placed, stamped_times
from lab.zones import iso_times

APART: Final = 0.5
"""With readings of fewer of the sensors at a time, they hardly have times in common."""
NAMES_TOLD: Final = 5


class LongRows(NamedTuple):
    """What was in the file, as `lab.tables.Table` has it."""

    columns: tuple[str, ...]
    found: Pivoted
    elapsed: bool
    """Its times count from the start of the run."""
    notes: tuple[str, ...]
    ignored: frozenset[str]


def long_columns(source: Source, time: str | None, ignore: frozenset[str], wanted: Wanted) -> Columns | None:
    """What the columns of a file with one reading a row are; None for one with a column a sensor.

    Raises:
        TableError: a column that is asked for is not there, or several may be the time, the sensor or the value.
    """
    for name in (*([] if time is None else [time]), *wanted.tag, *([] if wanted.value is None else [wanted.value])):
        if name not in source.names:
            names = ", ".join(source.names)
            raise TableError(text("table.no_column", path=source.path, column=name, columns=names))
    try:
        return find_columns(source.names, source.first, source.is_text, time, ignore, wanted)
    except Unclear as error:
        what = f"long.{error.which}" if error.names else f"long.no_{error.which}"
        names = ", ".join(error.names or source.names)
        raise TableError(text(what, path=source.path, line=source.line, columns=names)) from error


class LongFile:
    """A file with one reading a row, on its way to one row for each time and one column for each sensor.

    Raises:
        TableError: it cannot be used.
    """

    def __init__(self, source: Source, columns: Columns, ignore: frozenset[str], wanted: Wanted) -> None:
        self.source, self.columns, self._every_s = source, columns, wanted.every_s
        counting = {at for at in columns.counts if 2 * source.distinct(at) > source.rows}
        self.columns = columns = columns._replace(others=[at for at in columns.others if at not in counting])
        self._own = source.own_codes(columns.quality) if columns.quality is not None and columns.own else None
        self._held = source.stamps(columns.time[0]) if len(columns.time) == 1 else None
        at = [*columns.tag, *columns.others]
        at += columns.time if self._held is None else []
        at += [columns.quality] if columns.quality is not None and self._own is None else []
        self._coded = dict(zip(at, source.coded(at), strict=True))
        told = [each for each in columns.others if tells_quality(source.names[each], self._coded[each][1])]
        if columns.quality is None and len(told) == 1:
            others = [each for each in columns.others if each != told[0]]
            self.columns = columns = columns._replace(quality=told[0], others=others)
        self._sensor, self._keys = _joined([self._coded[column] for column in columns.tag], "/")
        if "" in self._keys:
            row = int(np.flatnonzero(self._sensor == self._keys.index(""))[0])
            column = source.names[columns.tag[0]]
            raise TableError(text("long.nameless", path=source.path, place=source.place(row), column=column))
        if columns.own and assets_of(self._keys) is None:  # the same header, but not the lab's: nor are its numbers
            self.columns = columns = columns._replace(own=False)
            if columns.quality is not None and self._own is not None:
                self._own, (self._coded[columns.quality],) = None, source.coded([columns.quality])
        self.names = self._taken(ignore, wanted)
        """The sensors that are taken, by their keys in the file."""
        position = np.full(len(self._keys), -1, dtype=np.int32)
        position[[self._keys.index(key) for key in self.names]] = np.arange(len(self.names))
        places = position[self._sensor]
        self._rows = np.flatnonzero(places >= 0)
        self._place = places[self._rows]

    def _taken(self, ignore: frozenset[str], wanted: Wanted) -> dict[str, str]:
        source, path = self.source, self.source.path
        by_asset = assets_of(self._keys) if self.columns.own else None
        made = {key for key in self._keys if by_asset is not None and key.partition("/")[2].startswith(MADE)}
        keys = [key for key in self._keys if key not in made]
        tags = {key: key.partition("/")[2] if by_asset is not None else key for key in keys}
        self.ignored = ignore.intersection([*source.names, *keys, *tags.values()])
        clock = wanted.clock or CLOCK_COLUMN
        kept = [key for key in keys if key not in ignore and tags[key] not in ignore]
        if not any(wanted.takes(key) for key in kept):
            if wanted.sensors:
                raise none_taken(path, wanted, keys)
            raise TableError(text("table.no_readings", path=path))
        assets = dict.fromkeys(key.partition("/")[0] for key in kept if wanted.takes(key)) if by_asset else {}
        if len(assets) > 1 and not wanted.sensors:
            some = ", ".join(list(assets)[:NAMES_TOLD]) + (", …" if len(assets) > NAMES_TOLD else "")
            first = next(iter(assets))
            raise TableError(text("long.assets", path=path, count=len(assets), assets=some, first=first))
        taken = [
            key
            for key in kept
            if wanted.takes(key)
            or clock == key
            or (clock == tags[key] and len(assets) == 1 and key.startswith(f"{next(iter(assets))}/"))
        ]
        self.asset = next(iter(assets)) if len(assets) == 1 else None
        return {key: tags[key] if self.asset else key for key in taken}

    def _named(self, row: int) -> str:
        return self._keys[int(self._sensor[row])]

    def read(self) -> LongRows:
        """The rows."""
        source, path = self.source, self.source.path
        self._check_others()
        quality, notes = self._quality()
        values = source.some_numbers(self.columns.value, self._rows, self._named)
        times, elapsed, assumed = self._times()
        found, later = self._pivoted(times, values, quality)
        readings, sensors = len(values), len(self.names)
        rows = len(found.time)
        columns = self.columns
        used = [*columns.time, *columns.tag, columns.value, *([] if columns.quality is None else [columns.quality])]
        told = [
            text(
                "long.read", path=path, readings=readings, sensors=sensors, rows=rows,
                columns=", ".join(source.names[at] for at in used),
            )
        ]  # fmt: skip
        left = [name for at, name in enumerate(source.names) if name and at not in used and name not in self.ignored]
        if left:
            told.append(text("long.left", path=path, columns=", ".join(left)))
        if bad := int(is_bad(quality).sum()):
            told.append(text("long.bad", path=path, count=bad))
        if found.repeated:
            told.append(text("long.repeated", path=path, count=found.repeated))
        if self._every_s is not None:
            told.append(text("long.every", path=path, every=f"{self._every_s:g}", count=later))
        elif readings < APART * rows * sensors:
            mean, step = f"{readings / rows:.1f}", usual_step_s(times, self._place) or 1.0
            told.append(text("long.apart", path=path, mean=mean, sensors=sensors, rows=rows, step=f"{step:g}"))
        return LongRows(
            tuple(self.names.values()), found, elapsed, (*source.notes, *told, *notes, *assumed), self.ignored
        )

    def _check_others(self) -> None:
        """See that no other column tells readings of one name apart: they would be taken for those of one sensor."""
        firsts = np.zeros(len(self.names), dtype=np.int64)
        firsts[self._place[::-1]] = np.arange(len(self._place))[::-1]
        differing = []
        for column in self.columns.others:
            codes, cells = self._coded[column]
            codes = codes[self._rows]
            if (other := np.flatnonzero(codes != codes[firsts[self._place]])).size and not self._counts_rows(column):
                row = int(other[0])
                differing.append((column, row, cells[codes[firsts[self._place[row]]]], cells[codes[row]]))
        if differing:
            source, (_, row, before, after) = self.source, differing[0]
            names = [source.names[column] for column, *_ in differing]
            row = int(self._rows[row])
            tags = [source.names[column] for column in self.columns.tag]
            raise TableError(
                text(
                    "long.differ", path=source.path, place=source.place(row), column=names[0], sensor=self._named(row),
                    before=before, after=after, both=",".join([names[0], *tags]), others=",".join(names),
                )
            )  # fmt: skip

    def _counts_rows(self, column: int) -> bool:
        """Whether a column numbers the rows, all or those of a sensor: of one sensor it hardly says the same twice."""
        codes, _ = self._coded[column]
        pairs = np.unique(codes[self._rows].astype(np.int64) * len(self.names) + self._place)
        return column in self.columns.counts and 2 * len(pairs) > len(self._rows)

    def _quality(self) -> tuple[NDArray[np.uint8], list[str]]:
        """Codes (n,) of the readings taken, and which words were taken for them."""
        source, column = self.source, self.columns.quality
        if column is None:
            return np.zeros(len(self._rows), dtype=np.uint8), []
        if self._own is not None:
            return self._own[self._rows], []
        codes, cells = self._coded[column]
        codes = codes[self._rows]
        counts = np.bincount(codes, minlength=len(cells))
        there = [cell if count else "" for cell, count in zip(cells, counts.tolist(), strict=True)]
        meant, strange, unknown = quality_codes(there, self.columns.own, counts.tolist())
        if unknown is not None:
            row = int(self._rows[np.flatnonzero(codes == unknown)[0]])
            what = "long.quality_number" if is_value(narrow(there[unknown])) else "long.quality"
            name, place = source.names[column], source.place(row)
            raise TableError(text(what, path=source.path, place=place, column=name, cell=there[unknown]))
        if not strange:
            return meant[codes], []
        words = ", ".join(f"{word} ({count})" for word, count in strange.most_common(NAMES_TOLD))
        return meant[codes], [text("long.words", path=source.path, column=source.names[column], words=words)]

    def _times(self) -> tuple[Times, bool, tuple[str, ...]]:
        """Times (n,) of the readings taken, whether from the start of the run, and what was assumed."""
        source, clocks = self.source, self.columns.time
        if self._held is not None:
            times, zoned = self._held
            if zoned:
                return times[self._rows], False, ()
            times, assumed = placed(source, clocks, times)
            return times[self._rows], False, assumed
        codes, cells = self._coded[clocks[0]]
        spelled = {clocks[0]: cells}
        if len(clocks) > 1:
            second, clock_cells = self._coded[clocks[1]]
            pairs, codes = np.unique(codes.astype(np.int64) * len(clock_cells) + second, return_inverse=True)
            codes = codes.astype(np.int32)
            spelled = {
                clocks[0]: [cells[pair // len(clock_cells)] for pair in pairs.tolist()],
                clocks[1]: [clock_cells[pair % len(clock_cells)] for pair in pairs.tolist()],
            }
        # of an hour that comes twice the order tells the two apart, if there is one
        distinct = DistinctCells(source, spelled, codes, self._rows, self._named, runs=True)
        stamps, assumed = stamped_times(distinct, clocks)
        steps = np.zeros(0) if stamps is None else np.diff(stamps)
        if distinct.zoneless and source.zone is not None and (steps <= 0).any() and (steps >= 0).any():
            distinct = DistinctCells(source, spelled, codes, self._rows, self._named)
            stamps, assumed = stamped_times(distinct, clocks)
        elapsed = False
        if stamps is None:
            stamps, elapsed, assumed = counted_times(distinct, clocks[0], distinct.numbers(clocks)[:, 0])
        source.zoneless = distinct.zoneless
        return stamps[distinct.which], elapsed, assumed

    def _pivoted(self, times: Times, values: Floats, quality: NDArray[np.uint8]) -> tuple[Pivoted, int]:
        """The rows, and how many readings gave way to a later one in their row."""
        source, path = self.source, self.source.path
        try:
            if self._every_s is None:
                return pivot(times, self._place, values, quality, len(self.names)), 0
            at, kept, again = gathered(times, self._place, values, quality, max(1, round(self._every_s * 1e9)))
            found = pivot(at, self._place[kept], values[kept], quality[kept], len(self.names))
            return found._replace(repeated=again), len(values) - len(kept) - again
        except Twice as error:
            first, second = int(self._rows[error.first]), int(self._rows[error.second])
            shown = [f"{values[row]:.15g}" for row in (error.first, error.second)]
            if shown[0] == shown[1]:
                codes = quality[[error.first, error.second]].tolist()
                shown = [f"{value} ({NAMES.get(code, code)})" for value, code in zip(shown, codes, strict=True)]
            raise TableError(
                text(
                    "long.twice", path=path, place=source.place(second), where=source.place(first),
                    sensor=self._named(first), time=iso_times(times[[error.first]], source.zone)[0],
                    value=shown[1], other=shown[0],
                )
            ) from error  # fmt: skip
        except MemoryError as error:
            rows, sensors = len(np.unique(times)), len(self.names)
            mean = f"{len(times) / rows:.1f}"
            raise TableError(text("long.large", path=path, rows=rows, sensors=sensors, mean=mean)) from error


def _joined(columns: Sequence[tuple[Codes, list[str]]], sign: str) -> tuple[Codes, list[str]]:
    """Columns of texts as one, the cells of a row joined by a sign."""
    codes, cells = columns[0]
    for more, others in columns[1:]:
        pairs, which = np.unique(codes.astype(np.int64) * len(others) + more, return_inverse=True)
        cells = [f"{cells[pair // len(others)]}{sign}{others[pair % len(others)]}" for pair in pairs.tolist()]
        codes, cells = coded_once(which, cells)
    return codes, cells


def none_taken(path: Path, wanted: Wanted, names: Sequence[str]) -> TableError:
    some = ", ".join(names[:NAMES_TOLD]) + (", …" if len(names) > NAMES_TOLD else "")
    return TableError(text("table.none_taken", path=path, patterns=", ".join(wanted.sensors), some=some))
