"""The times of a table: which column they are, and what its cells mean.

Dates in all their spellings, counts from the start of a run, epochs, Excel's serial dates; a date and a clock column
are joined. Times without a zone are those of the zone that is asked for (`lab.zones`), else UTC.
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lab.cells import (
    CLOCK,
    CLOCK_NAMES,
    DATE_LIKE,
    DATE_NAMES,
    ELAPSED_NAMES,
    HALF,
    SHORT,
    STAMP,
    TIME_LIKE,
    TIME_NAMES,
    ZONE,
    ZONES,
    compact,
    elapsed_unit,
    long_years,
    missing,
    narrow,
    number,
    parse_stamp,
    stamped,
)
from lab.tablesource import Floats, Source, Times
from lab.text import text
from lab.textfile import TableError
from lab.zones import iso_times, named_zone, offset_text, to_utc

EPOCHS_S: Final = (631_152_000.0, 4_133_980_800.0)
"""The years 1990 to 2100."""
SERIALS: Final = (32_874.0, 73_416.0)
"""The same in days since 1899-12-30, as Excel counts them."""
SERIAL_EPOCH: Final = 25_569
CLOCKS_BACK_NS: Final = 3600 * 10**9
"""By so much clocks are set back at the end of summer time."""
TOLD_ZONE: Final = re.compile(f"(?:{ZONES})$", re.I)
"""How a time with a zone ends."""


def find_time(source: Source, time: str | None, ignore: frozenset[str]) -> list[int]:
    """Positions of the time column; two if date and clock are apart, none if nothing looks like a time."""
    names, folded = source.names, [name.casefold() for name in source.names]
    if time is not None:
        if time not in names:
            raise TableError(text("table.no_column", path=source.path, column=time, columns=", ".join(names)))
        return [names.index(time)]
    usable = [index for index, name in enumerate(names) if name not in ignore]
    named = [index for index in usable if folded[index] in TIME_NAMES]
    date = next((index for index in named if folded[index] in DATE_NAMES), None)
    clock = next((index for index in named if folded[index] in CLOCK_NAMES), None)
    if date is not None and clock is not None:
        day, hour = narrow(source.first(date)), narrow(source.first(clock))
        # 0900 beside 20260401; 0 or 900 there may have lost its noughts, or count seconds, and is refused as no time
        if re.fullmatch(CLOCK, hour, re.I) or re.fullmatch(r"\d{8} \d{1,6}", f"{day} {hour}", re.A):
            return [date, clock]
    elapsed = [index for index in usable if elapsed_unit(names[index])]
    like = [index for index in usable if TIME_LIKE.search(names[index])]
    for index in [*named, *elapsed, *like]:
        if _holds_dates(source, index):
            return [index]
    counting = [*named, *elapsed]
    if len(counting) > 1:
        counting.sort(key=lambda index: _rising(source, index) is None)
    if counting:
        return counting[:1]
    for index in usable:
        if folded[index] in ELAPSED_NAMES and _rising(source, index) is not None:
            return [index]
    for index in like:
        counts = _rising(source, index)
        if counts is not None and (_are_epochs(counts) or _are_serials(names[index], counts)):
            return [index]
    for index in usable:
        if STAMP.fullmatch(narrow(source.first(index))):
            return [index]
    return []


def _holds_dates(source: Source, index: int) -> bool:
    """Whether a column's first cell is a date that does not stay."""
    first = narrow(source.first(index))
    name = source.names[index]
    day = DATE_LIKE.search(name) or name.casefold() in TIME_NAMES  # else eight digits may be any count
    if not (stamped(first) or (compact(first) and (day or len(first) > len("20260309")))):
        return False
    cells = source.texts(index)
    return len(cells) == 1 or cells[0] != cells[1] or (":" in first and cells[0] != cells[-1])


def _rising(source: Source, index: int) -> Floats | None:
    """A column's numbers (n,) where they rise from row to row, else None."""
    try:
        numbers = source.numbers([index])[:, 0]
    except TableError:
        return None
    return numbers if np.all(np.diff(numbers) > 0) else None


def _are_epochs(numbers: Floats) -> bool:
    seconds = numbers * _epoch_unit(numbers) / 1e9
    return bool(EPOCHS_S[0] <= seconds.min() and seconds.max() < EPOCHS_S[1])


def _epoch_unit(numbers: Floats) -> float:
    """The unit (ns) of an epoch: seconds have 10 digits, milliseconds 13, and so on."""
    digits = float(np.abs(numbers).max())
    return next((unit for edge, unit in ((1e11, 1e9), (1e14, 1e6), (1e17, 1e3)) if digits < edge), 1.0)


def _are_serials(name: str, numbers: Floats) -> bool:
    """Whether a column of times holds days as Excel counts them.

    Seconds in such numbers would be nine hours and more into a run: under the name of a date they are none, and under
    another name not if rows follow each other in parts of one.
    """
    if not (SERIALS[0] <= numbers.min() and numbers.max() < SERIALS[1]) or elapsed_unit(name) is not None:
        return False
    return bool(DATE_LIKE.search(name)) or (
        (name.casefold() in TIME_NAMES or "時刻" in name)
        and len(numbers) > 1
        and 0 < float(np.median(np.diff(numbers))) < 1
    )


def stamped_times(source: Source, clocks: Sequence[int]) -> tuple[Times | None, tuple[str, ...]]:
    """Times written as dates, None where the column counts; and what was assumed.

    Raises:
        TableError: a cell is no time.
    """
    if len(clocks) > 1:
        return _parse_stamps(source, clocks)
    name = source.names[clocks[0]]
    if (held := source.stamps(clocks[0])) is not None:
        times, zoned = held
        return (times, ()) if zoned else placed(source, clocks, times)
    first = narrow(source.first(clocks[0]))
    if compact(first):
        day = len(first.partition(".")[0]) == 8  # of so few digits there are other counts
        cells = source.texts(clocks[0]) if day and not DATE_LIKE.search(name) else []
        if not day or (elapsed_unit(name) is None and all(compact(narrow(cell)) for cell in cells)):
            return _parse_stamps(source, clocks)
        return None, ()
    if number(first, decimal=True) is not None or number(first, decimal=False) is not None:
        return None, ()
    return _parse_stamps(source, clocks)


def placed(
    source: Source, clocks: Sequence[int], shown: Times, without: NDArray[np.bool_] | None = None
) -> tuple[Times, tuple[str, ...]]:
    """UTC times (n,) of those without a zone, and what was assumed; a zone that their column is named by goes first.

    Args:
        source: the file, with the zone.
        clocks: positions of the columns of times.
        shown: the times, as if in UTC.
        without: which of them are without a zone; None: all.

    Raises:
        TableError: no clock of the zone showed one of them.
    """
    without = np.ones(len(shown), dtype=np.bool_) if without is None else without
    if not without.any():
        return shown, ()
    named = next(filter(None, (named_zone(source.names[column]) for column in clocks)), None)
    source.zoneless = named is None
    zone = named or source.zone
    if zone is None:
        return shown, ()
    times, rows = shown.copy(), np.flatnonzero(without)
    steps = np.diff(shown[rows])
    if (steps < 0).sum() > (steps > 0).sum():  # the newest first
        rows = rows[::-1]
    times[rows], skipped, twice = to_utc(shown[rows], zone)
    for what, where in (("table.skipped", np.sort(rows[skipped])), ("table.twice_shown", np.sort(rows[twice]))):
        if where.size:
            row = int(where[0])
            said = text(
                what, path=source.path, place=source.place(row), column=source.names[clocks[0]],
                cell=_show(source, clocks, row), zone=zone, count=where.size,
                offset=offset_text(int(shown[row] - times[row]) // 1_000_000_000),
            )  # fmt: skip
            if what == "table.skipped":
                raise TableError(said)
            return times, (said,)
    return times, ()


def check_order(source: Source, clocks: Sequence[int], times: Times) -> None:
    steps = np.diff(times)
    if steps.size and steps.min() <= 0:
        row = int(np.flatnonzero(steps <= 0)[0]) + 1
        step = int(steps[row - 1])
        what = "table.same_time" if step == 0 else "table.earlier"
        cell, name = _show(source, clocks, row), source.names[clocks[0]]
        usual = float(np.median(np.abs(steps)))
        # an hour back, and one step on: no file that is merely unsorted
        back = source.zoneless and source.zone is None and abs(step + CLOCKS_BACK_NS - usual) < usual
        if back and (step < 0 or usual == CLOCKS_BACK_NS):
            what = "table.set_back" if step < 0 else "table.same_hour"
        elif step == 0 and re.search(r"\d[:時]\d", cell) and not re.search(r":\d+:\d|秒", cell):
            what = "table.same_minute"
        raise TableError(text(what, path=source.path, place=source.place(row), column=name, cell=cell))


def _show(source: Source, clocks: Sequence[int], row: int) -> str:
    return " ".join(source.texts(column)[row] for column in clocks)


def counted_times(source: Source, clock: int, numbers: Floats) -> tuple[Times, bool, tuple[str, ...]]:
    """Times (n,) of a column that counts, whether from the start of the run, and what was assumed.

    Raises:
        TableError: one is missing, or beyond what 64 bits hold.
    """
    name = source.names[clock]
    missing = np.flatnonzero(np.isnan(numbers))
    if missing.size:
        raise TableError(text("table.no_time", path=source.path, place=source.place(int(missing[0])), column=name))
    if _are_serials(name, numbers):
        times, assumed = placed(source, [clock], _serial_times(numbers))
        first, last = iso_times(times[[0, -1]], source.zone)
        return times, False, (text("table.serial", path=source.path, column=name, first=first, last=last), *assumed)
    named = elapsed_unit(name)
    unit = float(named or _epoch_unit(numbers))
    if float(np.abs(numbers).max()) * unit > EPOCHS_S[1] * 1e9:  # no unit of a run: an epoch in another one
        unit = _epoch_unit(numbers)
    beyond = np.flatnonzero(np.abs(numbers) * unit > 9.2e18)
    if beyond.size:
        row = int(beyond[0])
        cell, place = source.texts(clock)[row], source.place(row)
        raise TableError(text("table.time", path=source.path, place=place, column=name, cell=cell))
    whole = np.floor(numbers)
    # the whole part apart keeps microseconds of an epoch, which one product in float64 would lose
    times = (whole.astype(np.int64) * int(unit)) + np.rint((numbers - whole) * unit).astype(np.int64)
    if named is not None:
        return times, bool(times[0] < EPOCHS_S[0] * 1e9), ()
    if abs(int(times[0])) >= 10**8 * 10**9:
        return times, False, ()
    return times, True, (text("table.seconds", path=source.path, column=name),)


def _serial_times(numbers: Floats) -> Times:
    """Times (n,) of Excel's serial dates: whole seconds where they are meant, else milliseconds."""
    seconds = (numbers - SERIAL_EPOCH) * 86_400
    whole = np.rint(seconds)
    # six decimals of a day are a tenth of a second
    if np.abs(seconds - whole).max() < 0.06:
        return whole.astype(np.int64) * 1_000_000_000
    return np.rint(seconds * 1000).astype(np.int64) * 1_000_000


def _parse_stamps(source: Source, clocks: Sequence[int]) -> tuple[Times, tuple[str, ...]]:
    import pyarrow
    import pyarrow.compute as pc

    cells = list(source.texts(clocks[0]))
    for column in clocks[1:]:
        cells = [f"{day} {clock}" for day, clock in zip(cells, source.texts(column), strict=True)]
    spelled = pc.replace_substring(pyarrow.array(cells), "/", "-")
    for kind in (pyarrow.timestamp("ns"), pyarrow.timestamp("ns", tz="UTC")):
        try:
            held = np.asarray(pc.cast(pc.cast(spelled, kind), pyarrow.int64()).to_numpy(), dtype=np.int64)
        except pyarrow.ArrowInvalid:
            continue
        return placed(source, clocks, held) if kind.tz is None else (held, ())
    name, dates = source.names[clocks[0]], [narrow(cell) for cell in cells]
    parsed = [parse_stamp(date) for date in dates]
    short = next((row for row, date in enumerate(dates) if SHORT.fullmatch(date)), None) if None in parsed else None
    if short is not None:
        spelled_out = long_years(dates)
        if spelled_out is None:
            place = source.place(short)
            raise TableError(text("table.short_year", path=source.path, place=place, column=name, cell=cells[short]))
        parsed = [parse_stamp(date) for date in spelled_out]
    if None in parsed:
        row = parsed.index(None)
        what = "table.no_time" if missing(dates[row]) else "table.time"
        raise TableError(text(what, path=source.path, place=source.place(row), column=name, cell=cells[row]))
    _check_alike(source, name, cells, dates)
    without = np.array([TOLD_ZONE.search(date) is None for date in dates])
    times, assumed = placed(source, clocks, np.array(parsed, dtype=np.int64), without)
    if short is None:
        return times, assumed
    first, last = iso_times(times[[0, -1]], source.zone)
    year = text("table.year", path=source.path, column=name, cell=cells[short], first=first, last=last)
    return times, (year, *assumed)


def _check_alike(source: Source, name: str, cells: Sequence[str], dates: Sequence[str]) -> None:
    """Refuse times of day some of which tell the half of the day, or the zone, and others do not: theirs is unknown."""
    whole = "\n".join(dates)
    for sign in (HALF, ZONE):
        if not sign.search(whole):  # faster than a look at every cell
            continue
        rows = [row for row, cell in enumerate(dates) if ":" in cell or "時" in cell]
        told = [sign.search(dates[row]) is not None for row in rows]
        if not all(told):
            row, other = rows[told.index(False)], rows[told.index(True)]
            raise TableError(
                text(
                    "table.unlike", path=source.path, place=source.place(row), column=name, cell=cells[row],
                    other=cells[other], where=source.place(other),
                )
            )  # fmt: skip
