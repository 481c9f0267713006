"""Scoring a file as if it came live: one asset, one block, the collector's own scorer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from devices.frame import Asset, Channel, role_by_name
from devices.quality import BAD, GOOD
from lab.blocks import RANGE, Floats, RowBlock
from lab.causes import read_library
from lab.episodes import Episode, Known
from lab.groups import FAULTS, IS_SPIKING
from lab.periods import GAP_PERIODS, first_rows, longest_ns, period_numbers
from lab.scorer import Scorer
from lab.tables import ODD_PERIOD, Table, TableError, sampled_s
from lab.text import text
from lab.tracker import Tracker
from lab.writing import write_table
from lab.zones import iso_times
from models.detector import Model
from models.precursor.causes import Match

TOP = 3
LIMIT = "time_to_limit_s"
UNKNOWN = "unknown"
"""Cause of an episode that is like nothing in the library."""


class Scores(NamedTuple):
    """What came of a file, row by row."""

    score: Floats
    """(n,); NaN where there is none."""
    alarm: NDArray[np.bool_]
    """(n,)"""
    episode: NDArray[np.int64]
    """(n,) number of the episode the row is in, from 1; 0 for none."""
    causes: list[Match | None]
    """n: what the row's episode was like by then; None outside of episodes, or without a library."""
    suspects: list[str]
    """n: the first sensor known to have failed before an episode that it does not explain, and how; else empty."""
    ahead: Floats
    """(n, 3) time until the first limit, lower and upper end of its 80 % interval, s; inf: none in sight; NaN: no
    episode, or no limit known."""
    ahead_of: NDArray[np.int64]
    """(n,) whose limit, position among the file's columns; -1: none in sight."""
    top: list[list[str]]
    """`TOP` lists of n: the sensors with the largest shares of the score; empty texts where there is none."""
    episodes: list[tuple[Episode, int, int]]
    """Each with its first and last row."""
    missing: list[str]
    """Sensors of the model that the file does not have."""
    failures: list[tuple[str, str, int, int, int]]
    """Sensor, what was wrong with it, how often, first and last row, whatever the episodes were put down to."""

    @property
    def scored(self) -> int:
        """How many rows have a score."""
        return int(np.isfinite(self.score).sum())


def score_table(model: Model, table: Table, known: Known | None = None, controlled: Sequence[str] = ()) -> Scores:
    """Score a file's rows in order.

    Args:
        model: what is normal.
        table: the file.
        known: a library of causes to compare episodes with.
        controlled: sensors that feed a controller; none: it is not known which do.

    Raises:
        TableError: the file has less than half of the model's sensors; what is `controlled` is none of them.
    """
    check_controlled(table, controlled, model.detector.sensors)
    matches: list[Match | None] = [None] * len(table.values)
    suspects = [""] * len(table.values)
    ahead, ahead_of = np.full((len(table.values), 3), np.nan), np.full(len(table.values), -1, dtype=np.int64)

    def note(tracker: Tracker, row: int) -> None:
        matches[row] = tracker.match()
        if (outlook := tracker.outlook) is not None:
            told = outlook.time_s, outlook.low_s, outlook.high_s
            ahead[row] = [np.inf if each is None else each for each in told]
            ahead_of[row] = -1 if outlook.sensor is None else table.columns.index(outlook.sensor)
        for suspect in tracker.named_suspects()[:1]:
            suspects[row] = " ".join(suspect)

    scorer = Scorer(lambda number, id: known, note)
    channels = [Channel(name, role=role_by_name(name), controlled=name in controlled) for name in table.columns]
    if table.clock is not None:
        channels.append(Channel(table.clock, role="status"))
    number = scorer.declare(Asset("run", "file", clock=table.clock), channels)
    missing = [name for name in model.detector.sensors if name not in table.columns]
    if not scorer.fits(number, model):
        raise TableError(text("table.lacks", path=table.path, sensors=", ".join(missing[:10])))
    scorer.use(number, model)
    n = len(table.values)
    t = table.time
    if t is None:
        t = np.arange(n, dtype=np.int64) * round(1e9 * (table.period_s or model.detector.period_s))
    v, q = _readings(table)
    scored = scorer.ingest(RowBlock(np.full(n, number, dtype=np.int32), t, v, q))
    found = {change.episode.id: change.episode for change in scored.changes}
    row_of = {at: row for row, at in enumerate(t.tolist())}
    starts = {each.start for each in found.values()}
    episode = np.zeros(n, dtype=np.int64)
    episodes = []
    for count, each in enumerate(found.values(), start=1):
        first = row_of[each.start]
        # the row that ends it is normal again or the first of the next one; what was cut off ends with its last row
        last = n - 1
        if each.end is not None:
            last = row_of[each.end] - (each.end in starts or not scored.alarm[row_of[each.end]])
        episode[first : last + 1] = count
        episodes.append((each, first, last))
    contributions = scored.contributions[:, : len(table.columns)]
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :TOP]
    shares = np.take_along_axis(contributions, order, axis=1)
    names = np.where(shares > 0, np.array(table.columns, dtype=object)[order], "")
    top = [names[:, at].tolist() if at < names.shape[1] else [""] * n for at in range(TOP)]
    seconds, since = _seconds(table, t)
    periods = period_numbers(seconds[since:], model.detector.period_s)
    failures = []
    for sensor, fault, told in scorer.failures(number):
        rows = since + np.searchsorted(periods, [told.first, told.last]).clip(0, len(periods) - 1)
        first, last = (rows - (fault == FAULTS[IS_SPIKING])).tolist()  # the row after a spike shows it
        failures.append((sensor, fault, told.times, first, last))
    return Scores(
        scored.score, scored.alarm, episode, matches, suspects, ahead, ahead_of, top, episodes, missing, failures
    )


def _seconds(table: Table, t: NDArray[np.int64]) -> tuple[Floats, int]:
    """The seconds (n,) by which a file's rows are told apart, and the row since which they do not fall."""
    if table.clock_s is None:
        return t / 1e9, 0
    told = np.flatnonzero(np.isfinite(table.clock_s))
    if not told.size:
        return t / 1e9, 0
    back = np.flatnonzero(np.diff(table.clock_s[told]) < 0)
    since = int(told[back[-1] + 1]) if back.size else 0
    seconds = np.where(np.isnan(table.clock_s), -np.inf, table.clock_s)
    seconds[since:] = np.maximum.accumulate(seconds[since:])
    return np.where(np.isinf(seconds), table.clock_s[told[0]], seconds), since


def _readings(table: Table) -> tuple[Floats, NDArray[np.uint8]]:
    """A file's values and quality codes as a gateway sends them; the plant's clock is the last column."""
    v = table.values if table.shown is None else table.shown
    q = np.where(np.isnan(table.values), BAD, GOOD).astype(np.uint8)
    if table.beyond is not None:
        q[table.beyond] = RANGE
    if table.clock_s is None:
        return v, q
    clock = table.clock_s[:, None]
    return np.hstack([v, clock]), np.hstack([q, np.where(np.isnan(clock), BAD, GOOD).astype(np.uint8)])


def check_controlled(table: Table, controlled: Sequence[str], sensors: Sequence[str] | None = None) -> None:
    """See that these are measured columns of a file, and of a model with these sensors.

    Raises:
        TableError: one is not.
    """
    strange = [name for name in controlled if name not in table.columns or role_by_name(name) != "measurement"]
    if strange:
        raise TableError(text("table.no_controlled", path=table.path, sensors=", ".join(strange)))
    if sensors is not None and (strange := [name for name in controlled if name not in sensors]):
        raise TableError(text("table.controlled_unknown", path=table.path, sensors=", ".join(strange)))


def valueless(model: Model, table: Table) -> list[str]:
    """Sensors of a model that a file has, without any value."""
    used = [(at, name) for at, name in enumerate(table.columns) if name in model.detector.sensors]
    return [name for at, name in used if np.isnan(table.values[:, at]).all()]


def other_period(model: Model, table: Table) -> float | None:
    """The seconds between a file's rows where they are not the model's, by more than a fifth."""
    period = sampled_s(table, model.detector.period_s)
    if period is None or 1 / ODD_PERIOD <= period / model.detector.period_s <= ODD_PERIOD:
        return None
    return period


def why_unscored(model: Model, table: Table) -> str:
    """Why no row of a file has a score, in words."""
    rows = len(table.values)
    first = int(getattr(model.detector, "warm_up", 0))
    if rows <= first:
        return text("score.none.short", lags=first)
    used = [at for at, name in enumerate(table.columns) if name in model.detector.sensors]
    if not np.isfinite(table.values[:, used]).any():
        return text("score.none.valueless")
    usual = model.detector.period_s
    period = sampled_s(table, usual)
    longest = longest_ns(usual) / 1e9
    if period is not None and period > longest:
        return text("score.none.period", period=f"{period:g}", usual=f"{usual:g}", gap=f"{longest:g}")
    if table.clock_s is not None:
        at, cuts = first_rows(table.clock_s, usual, GAP_PERIODS)
        rows = len(at)
        if len(at) <= first:
            return text("score.none.clock", rows=len(at), period=f"{usual:g}", lags=first)
    else:
        steps = np.zeros(0) if table.time is None else np.diff(table.time) / 1e9
        cuts = np.flatnonzero(steps > longest) + 1
    if np.diff([0, *cuts, rows]).max() <= first:
        return text("score.none.gaps", gap=f"{longest:g}", lags=first)
    return text("score.none.missing", lags=first)


def find_causes(model: Model, folders: Sequence[Path], names: Mapping[str, str]) -> Known | None:
    """The first library of causes in some folders that knows at least half of a model's sensors.

    `names` are those of sensors for their tags, where the model is called by them.

    Raises:
        LibraryError: one of them cannot be used.
    """
    for folder in folders:
        for path in sorted(folder.glob("*.causes.json")):
            library = read_library(path).with_names(names)
            if library.knows(model.detector.sensors):
                return Known(path.name, library)
    return None


def write_scores(path: Path, table: Table, scores: Scores) -> None:
    """One row for each row of the file: time, score, alarm, episode, kind, top1 to top3, cause, time_to_limit_s.

    A row's cause is what was known by then: a name of the library; where nothing known is like it, a sensor that had
    failed before and how, else `unknown`; and of an instrument's episode the sensor and what is wrong with it. The time
    is empty where no limit is in sight. In Parquet `episode` is int64 and `time_to_limit_s` double, null where empty.

    `time` is ISO 8601 (UTC, or in the zone asked for) where the file has times, else seconds since its first row, else
    the row's number from 0.

    Raises:
        TableError: it cannot be written.
    """
    n = len(scores.score)
    time: ArrayLike
    if table.time is None:
        time = np.arange(n) if table.period_s is None else np.arange(n) * table.period_s
    else:
        time = table.time / 1e9 if table.elapsed else iso_times(table.time, table.zone)
    kinds = np.array(["", *(episode.kind for episode, _, _ in scores.episodes)], dtype=object)[scores.episode]
    episode: ArrayLike
    until: ArrayLike
    if path.suffix.lower() == ".parquet":
        episode = np.ma.masked_equal(scores.episode, 0)
        until = np.where(np.isfinite(scores.ahead[:, 0]), np.round(scores.ahead[:, 0], 1), np.nan)
    else:
        episode = [str(number) if number else "" for number in scores.episode.tolist()]
        until = [f"{each:.1f}" if np.isfinite(each) else "" for each in scores.ahead[:, 0].tolist()]
    write_table(
        path,
        ["time", "score", "alarm", "episode", "kind", *(f"top{at + 1}" for at in range(TOP)), "cause", LIMIT],
        [
            time,
            scores.score,
            scores.alarm.astype(np.int8),
            episode,
            kinds.tolist(),
            *scores.top,
            row_causes(scores),
            until,
        ],
    )


def row_causes(scores: Scores) -> list[str]:
    """The cause of each row as it is written."""
    found = [
        (match and match.cause) or suspect or ("" if match is None else UNKNOWN)
        for match, suspect in zip(scores.causes, scores.suspects, strict=True)
    ]
    for number, (episode, _, _) in enumerate(scores.episodes, start=1):
        if episode.failed is not None:
            for row in np.flatnonzero(scores.episode == number).tolist():
                found[row] = " ".join(episode.failed)
    return found
