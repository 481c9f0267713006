"""Scoring a file as if it came live: one asset, one block, the collector's own scorer."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from devices.frame import Asset, Channel
from devices.quality import BAD, GOOD
from lab.episodes import Episode
from lab.scorer import Floats, RowBlock, Scorer
from lab.tables import Table, TableError, iso_times, write_table
from lab.text import text
from models.detector import Model

TOP = 3


class Scores(NamedTuple):
    """What came of a file, row by row."""

    score: Floats
    """(n,); NaN where there is none."""
    alarm: NDArray[np.bool_]
    """(n,)"""
    episode: NDArray[np.int64]
    """(n,) number of the episode the row is in, from 1; 0 for none."""
    top: list[list[str]]
    """`TOP` lists of n: the sensors with the largest shares of the score; empty texts where there is none."""
    episodes: list[tuple[Episode, int, int]]
    """Each with its first and last row."""
    missing: list[str]
    """Sensors of the model that the file does not have."""


def score_table(model: Model, table: Table) -> Scores:
    """Score a file's rows in order.

    Raises:
        TableError: the file has less than half of the model's sensors.
    """
    scorer = Scorer()
    number = scorer.declare(Asset("run", "file"), [Channel(name) for name in table.columns])
    missing = [name for name in model.detector.sensors if name not in table.columns]
    if not scorer.fits(number, model):
        raise TableError(text("table.lacks", path=table.path, sensors=", ".join(missing[:10])))
    scorer.use(number, model)
    n = len(table.values)
    t = table.time
    if t is None:
        t = np.arange(n, dtype=np.int64) * round(1e9 * (table.period_s or model.detector.period_s))
    q = np.where(np.isnan(table.values), BAD, GOOD).astype(np.uint8)
    scored = scorer.ingest(RowBlock(np.full(n, number, dtype=np.int32), t, table.values, q))
    found = {change.episode.id: change.episode for change in scored.changes}
    row_of = {at: row for row, at in enumerate(t.tolist())}
    episode = np.zeros(n, dtype=np.int64)
    episodes = []
    for count, each in enumerate(found.values(), start=1):
        first = row_of[each.start]
        # the row that ends it is normal again; one that was cut off (a gap, the end of the file) ends with its last row
        last = n - 1 if each.end is None else row_of[each.end] - (not scored.alarm[row_of[each.end]])
        episode[first : last + 1] = count
        episodes.append((each, first, last))
    order = np.argsort(-scored.contributions, axis=1, kind="stable")[:, :TOP]
    shares = np.take_along_axis(scored.contributions, order, axis=1)
    names = np.where(shares > 0, np.array(table.columns, dtype=object)[order], "")
    top = [names[:, at].tolist() if at < names.shape[1] else [""] * n for at in range(TOP)]
    return Scores(scored.score, scored.alarm, episode, top, episodes, missing)


def write_scores(path: Path, table: Table, scores: Scores) -> None:
    """One row for each row of the file, in order: time, score, alarm, episode, kind, top1, top2, top3.

    `time` is ISO 8601 where the file has times, else seconds since its first row, else the row's number from 0.

    Raises:
        TableError: it cannot be written.
    """
    n = len(scores.score)
    time: ArrayLike
    if table.time is None:
        time = np.arange(n) if table.period_s is None else np.arange(n) * table.period_s
    else:
        time = table.time / 1e9 if table.elapsed else iso_times(table.time)
    kinds = np.array(["", *(episode.kind for episode, _, _ in scores.episodes)], dtype=object)[scores.episode]
    episode = [str(number) if number else "" for number in scores.episode.tolist()]
    write_table(
        path,
        ["time", "score", "alarm", "episode", "kind", *(f"top{at + 1}" for at in range(TOP))],
        [time, scores.score, scores.alarm.astype(np.int8), episode, kinds.tolist(), *scores.top],
    )
