"""Long tables, one reading a row: told apart from wide ones by their header, and made into one row a time.

Historians write such files (`time,sensor,value,quality`; `_time,_field,_value`; `日時,タグ,値`), the lab's own too. A
wide file has numbers in every column but the time, so one with texts under the name of a tag is none.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.quality import BAD, CODES, GOOD, NAMES, UNCERTAIN, is_bad
from lab.cells import (
    CLOCK_NAMES,
    DATE_NAMES,
    ELAPSED_NAMES,
    TIME_LIKE,
    TIME_NAMES,
    compact,
    elapsed_unit,
    narrow,
    stamped,
)
from lab.textfile import is_value

TAGS: Final = frozenset(
    "tag,tagname,tagid,sensor,sensorname,sensorid,sensortag,point,pointname,pointid,signal,signalname,channel,"  # noqa: SIM905
    "channelname,variable,varname,variablename,parameter,parametername,metric,metricname,field,nodeid,タグ,タグ名,タグ名称,"
    "タグid,センサー,センサ,センサー名,センサ名,ポイント,ポイント名,信号,信号名,項目,項目名,測定項目,計測項目,測定点,計測点,"
    "変数,変数名,計器番号,チャンネル,チャンネル名".split(",")
)
"""What a column that names the sensor is called (`plain`)."""
NAMED: Final = frozenset("name,item,itemname,series,名称,名前,点名称,計器".split(","))  # noqa: SIM905
"""What it may be called where no other is."""
VALUES: Final = frozenset(
    "value,val,reading,measuredvalue,varvalue,値,数値,測定値,計測値,データ,データ値,現在値,瞬時値,指示値,"  # noqa: SIM905
    "計測データ,測定データ".split(",")
)
QUALITIES: Final = frozenset(
    "quality,qualitycode,qualitydetail,opcquality,dataquality,tagquality,valuequality,"  # noqa: SIM905
    "品質,品質コード,データ品質,品質情報".split(",")
)
STATUSES: Final = frozenset(
    "status,statuscode,opcstatus,valuestatus,pointstatus,ステータス,ステータスコード,状態".split(",")  # noqa: SIM905
)
"""What a column of the quality may be called too, if there is nothing else in it."""
SPANS: Final = frozenset(("start", "stop"))
"""Times that InfluxDB writes beside that of the reading."""
HARMLESS: Final = frozenset(
    ",result,table,start,stop,datatype,comment,comments,remarks,備考,コメント".split(",")  # noqa: SIM905
)
"""What is left out without a word: it tells no two readings of one name apart."""
COUNTS: Final = frozenset("no,id,index,row,seq,番号,行".split(","))  # noqa: SIM905
"""What numbers the rows, or else tells sensors apart."""
OWN: Final = ("time", "sensor", "value")
"""What the lab's own export begins with; its sensors are called `asset/tag`."""
KEY: Final = re.compile(r"([^/]+)/([^/]+)")
RANGE: Final = CODES["bad:range"]
MADE: Final = "~"
"""How the tags of scores begin that the lab keeps beside the readings."""
STATES: Final = re.compile(
    r"bad( input| total)?|set to bad|i/o timeout|comm(unication)? ?fail(ed|ure)?|not connect(ed)?|scan (off|timeout)"
    r"|pt created|shutdown|intf shut|configure|out of serv(ice)?|equip fail|(over|under) range|inp outrange"
    r"|calc failed|no (sample|result)|invalid (data|float)|arc off-line|通信異常|入力異常|収集停止",
    re.I,
)
"""What historians write in place of a value that they do not have."""
WORD: Final = re.compile(r"(?:(?i:(good|bad|uncertain)))(?![a-z])")
"""How words for the quality begin that are not the lab's: Good, BAD, UncertainInitialValue."""
JAPANESE: Final = {"良": GOOD, "良好": GOOD, "正常": GOOD, "不良": BAD, "不確か": UNCERTAIN, "不確定": UNCERTAIN}
MOST_CELLS: Final = 200_000_000
"""Rows times sensors: more do not fit the memory of a laptop."""

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Codes = NDArray[np.int32]
Flags = NDArray[np.bool_]


class Wanted(NamedTuple):
    """What is to be taken of a file, and how it is to be read where it does not show that itself."""

    sensors: Sequence[str] = ()
    """Patterns (`tep-1/*`, `TI-*`) of the sensors to take; none: all."""
    tag: Sequence[str] = ()
    """Columns that name the sensor; with several the names are joined by `/`."""
    value: str | None = None
    """The column of the values."""
    clock: str | None = None
    """The sensor that is the plant's own clock, in seconds."""
    every_s: float | None = None
    """Of a long file the readings of so many seconds become one row; None: those of one time."""

    def takes(self, name: str) -> bool:
        """Whether a sensor is wanted, by its whole name or by what follows the asset's."""
        tag = name.rpartition("/")[2]
        return not self.sensors or any(
            each == one or fnmatchcase(each, one) for one in self.sensors for each in (name, tag)
        )


class Columns(NamedTuple):
    """Where in a long table what stands."""

    time: list[int]
    """Two where the date and the time of day are apart."""
    tag: list[int]
    value: int
    quality: int | None
    others: list[int]
    """Those that may tell readings of one name apart."""
    counts: list[int]
    """Those of them that may number the rows too."""
    own: bool
    """Its header is that of the lab's own export."""


class Unclear(Exception):
    """It is a long table, and several columns may be what `which` (time, tag, value) says: `names`; none: no column."""

    def __init__(self, which: str, names: Sequence[str]) -> None:
        super().__init__(which)
        self.which, self.names = which, names


class Pivoted(NamedTuple):
    """A long table as a wide one of `T` times and `S` sensors."""

    time: Times
    """(T,) rising"""
    values: Floats
    """(T, S); NaN: no reading, or a bad one."""
    shown: Floats
    """(T, S) with the values of bad readings."""
    beyond: Flags | None
    """(T, S) readings that are bad for being beyond their measuring range; None where there are none."""
    repeated: int
    """Readings that came again, the same."""


class Twice(Exception):
    """Two readings (rows of the file) of one sensor at one time differ."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(first, second)
        self.first, self.second = first, second


def plain(name: str) -> str:
    """A column's name without case, width, blanks and signs: `Tag Name` and `tag_name` are `tagname`."""
    return re.sub(r"[\s_.#-]", "", unicodedata.normalize("NFKC", name)).casefold()


def find_columns(
    names: Sequence[str],
    first: Callable[[int], str],
    is_text: Callable[[int], bool],
    time: str | None,
    ignore: frozenset[str],
    wanted: Wanted,
) -> Columns | None:
    """What the columns of a long table are; None where the file is a wide one.

    Args:
        names: of the columns.
        first: the first cell of a column.
        is_text: whether a column's first cell is neither a number, a time nor missing.
        time: the time column, where it is told.
        ignore: columns to leave out.
        wanted: what else is told.

    Raises:
        Unclear: it is long, and more than one column may be the time, the sensor or the value.
    """
    usable = [at for at, name in enumerate(names) if name not in ignore]
    called = {at: plain(names[at]) for at in usable}
    values = [at for at in usable if called[at] in VALUES]
    if wanted.value is not None:
        values = [names.index(wanted.value)]
    if wanted.tag:
        tags = [names.index(name) for name in wanted.tag]
    else:
        # as a wide file may have numbers, or nothing, under any name
        texts = [at for at in usable if called[at] in TAGS | NAMED and is_text(at)]
        tags = [at for at in texts if called[at] in TAGS] or texts
        if not tags and wanted.value is not None:
            raise Unclear("tag", [])
        if not tags or not values:
            return None
    clocks = [names.index(time)] if time is not None else _clocks(names, usable, first)
    asked = bool(wanted.tag) or wanted.value is not None
    tags = tags if wanted.tag else [at for at in tags if at not in clocks]
    if not asked and not (clocks and tags):
        return None
    if not clocks or (len(clocks) > 1 and time is None and not _apart(called, clocks)):
        raise Unclear("time", [names[at] for at in clocks])
    if not tags or (len(tags) > 1 and not wanted.tag):
        raise Unclear("tag", [names[at] for at in tags])
    if len(values) != 1:
        raise Unclear("value", [names[at] for at in values])
    told = {*clocks, *tags, *values}
    quality = [at for at in usable if called[at] in QUALITIES and at not in told][:1]
    others = [at for at in usable if at not in told.union(quality) and called[at] not in HARMLESS]
    counts = [at for at in others if called[at] in COUNTS]
    own = all(name in names for name in OWN) and [names[at] for at in (*clocks, *tags, *values)] == list(OWN)
    return Columns(clocks, tags, values[0], quality[0] if quality else None, others, counts, own)


def looks_long(names: Sequence[str], ignore: frozenset[str]) -> tuple[str, str] | None:
    """The columns that a header calls a sensor's name and its value, whatever stands under them."""
    usable = [name for name in names if name not in ignore]
    tag, value = (next((name for name in usable if plain(name) in known), None) for known in (TAGS, VALUES))
    return None if tag is None or value is None else (tag, value)


def _clocks(names: Sequence[str], usable: Sequence[int], first: Callable[[int], str]) -> list[int]:
    """Columns that may be the time: those named as one, else those that hold a word for it; dates before counts."""
    called = {at: plain(names[at]) for at in usable}
    known = {plain(name) for name in TIME_NAMES}
    counts = {plain(name) for name in ELAPSED_NAMES}
    named = [at for at in usable if called[at] in known]
    counted = [at for at in usable if called[at] in counts or elapsed_unit(names[at]) is not None]
    like = [at for at in usable if TIME_LIKE.search(names[at]) and called[at] not in SPANS]
    held = [at for at in like if is_value(narrow(first(at)))]
    if not named and counted:
        dated = [at for at in held if stamped(narrow(first(at))) or compact(narrow(first(at)))]
        return dated or counted
    return sorted({*named, *counted}) or held


def _apart(called: dict[int, str], clocks: list[int]) -> bool:
    """Whether two columns are a date and its time of day; puts the date first."""
    clocks.sort(key=lambda at: called[at] not in DATE_NAMES)
    return len(clocks) == 2 and called[clocks[0]] in DATE_NAMES and called[clocks[1]] in CLOCK_NAMES


def quality_codes(
    cells: Sequence[str], own: bool, counts: Sequence[int]
) -> tuple[NDArray[np.uint8], Counter[str], int | None]:
    """The lab's codes (n,) of some words, the words that are not the lab's with their counts, and the first unknown.

    A number says good in one standard and bad in another (192), so it is only one of the lab's own that has no name.

    Args:
        cells: the words.
        own: the file is the lab's own.
        counts: how often each stands in the file.
    """
    codes = np.zeros(len(cells), dtype=np.uint8)
    strange: Counter[str] = Counter()
    for at, cell in enumerate(cells):
        word = narrow(cell)
        if word in CODES:
            codes[at] = CODES[word]
        elif found := WORD.match(word):
            codes[at] = CODES[found[1].lower()]
            if found[0] != word:
                strange[cell] += counts[at]
        elif word in JAPANESE:
            codes[at] = JAPANESE[word]
        elif own and word.isdecimal() and int(word) < 256 and int(word) not in NAMES:
            codes[at] = int(word)
        elif word:  # nothing told is good, as the lab writes it for gateways that do not say
            return codes, strange, at
    return codes, strange, None


def tells_quality(name: str, cells: Sequence[str]) -> bool:
    """Whether a column of that name and these cells is one of the quality: `Status` with Good and Bad."""
    words = [word for word in map(narrow, cells) if word]
    known = (word in CODES or word in JAPANESE or WORD.match(word) for word in words)
    return plain(name) in STATUSES and bool(words) and all(known)


def assets_of(keys: Sequence[str]) -> dict[str, list[str]] | None:
    """Keys `asset/tag` by their asset; None where one is none."""
    found: dict[str, list[str]] = {}
    for key in keys:
        match = KEY.fullmatch(key)
        if match is None:
            return None
        found.setdefault(match[1], []).append(key)
    return found


def pivot(time: Times, sensor: Codes, value: Floats, quality: NDArray[np.uint8], sensors: int) -> Pivoted:
    """One row a time of readings in any order.

    Args:
        time: (n,) UTC nanoseconds.
        sensor: (n,) position of the sensor.
        value: (n,); NaN: none.
        quality: (n,) `devices.quality` codes.
        sensors: how many there are, `S`.

    Raises:
        Twice: a sensor has two readings at one time that differ (positions in the arrays).
        MemoryError: rows times sensors are more than a laptop's memory holds.
    """
    rows, row = _rows_of(time)
    cells = len(rows) * sensors
    if cells > max(MOST_CELLS, 4 * len(time)):
        raise MemoryError(cells)
    at = row * sensors + sensor
    last = np.full(cells, -1, dtype=np.int64)
    last[at] = np.arange(len(at))
    again = np.flatnonzero(last[at] != np.arange(len(at)))
    _check_same(again, last[at[again]], value, quality)
    del last
    shown = np.full(cells, np.nan)
    shown[at] = value
    bad = at[is_bad(quality)]
    values = shown
    if bad.size:
        values = shown.copy()
        values[bad] = np.nan
    beyond = None
    if (quality == RANGE).any():
        beyond = np.zeros((len(rows), sensors), dtype=np.bool_)
        beyond[row, sensor] = quality == RANGE
    return Pivoted(rows, values.reshape(-1, sensors), shown.reshape(-1, sensors), beyond, len(again))


def gathered(
    time: Times, sensor: Codes, value: Floats, quality: NDArray[np.uint8], every_ns: int
) -> tuple[Times, NDArray[np.intp], int]:
    """Readings in stretches of equal length, of each of which a row is made: its time is that of its first reading.

    Sensors that a logger asks one after the other are read at times of their own. The stretches begin a quarter of
    their length before the first reading, so that small delays leave a round of readings whole.

    Args:
        time: (n,) UTC nanoseconds, in any order.
        sensor: (n,) position of the sensor.
        value: (n,); NaN: none.
        quality: (n,) `devices.quality` codes.
        every_ns: the length.

    Returns:
        The times (k,) of the rows and the readings (k,) that stay: the last of each sensor in a stretch; and how many
        came again, the same.

    Raises:
        Twice: a sensor has two readings at one time that differ.
    """
    number = (time - (int(time.min()) - every_ns // 4)) // every_ns
    order = np.lexsort((time, sensor, number))
    stretch, whose, at = number[order], sensor[order], time[order]
    follows = (stretch[1:] == stretch[:-1]) & (whose[1:] == whose[:-1])
    again = np.flatnonzero(follows & (at[1:] == at[:-1]))
    _check_same(order[again], order[again + 1], value, quality)
    starts = np.flatnonzero(np.append(True, stretch[1:] != stretch[:-1]))
    firsts = np.repeat(np.minimum.reduceat(at, starts), np.diff(np.append(starts, len(at))))
    last = np.append(~follows, True)
    return firsts[last], order[last], len(again)


def _check_same(some: NDArray[np.intp], others: NDArray[np.intp], value: Floats, quality: NDArray[np.uint8]) -> None:
    same = (value[some] == value[others]) | (np.isnan(value[some]) & np.isnan(value[others]))
    same &= quality[some] == quality[others]
    if not same.all():
        first = int(np.flatnonzero(~same)[0])
        raise Twice(int(some[first]), int(others[first]))


def usual_step_s(time: Times, sensor: Codes) -> float | None:
    """The median of the seconds between two readings of a sensor; None where each has one."""
    order = np.lexsort((time, sensor))
    steps = np.diff(time[order])[sensor[order][1:] == sensor[order][:-1]]
    steps = steps[steps > 0]
    return float(np.median(steps)) / 1e9 if steps.size else None


def _rows_of(time: Times) -> tuple[Times, Times]:
    """The times that there are, rising, and which of them each reading has."""
    steps = np.diff(time)
    if not (steps < 0).any():  # as most files are: no sorting
        return time[np.append(True, steps > 0)], np.cumsum(np.append(0, steps > 0), dtype=np.int64)
    rows, row = np.unique(time, return_inverse=True)
    return rows, row.astype(np.int64)
