"""Stored readings scored again: the same rows, the same models, the same scores."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from devices.frame import Asset, Channel
from devices.quality import BAD
from lab.episodes import Episode
from lab.historian.base import Historian
from lab.scorer import NEVER, Floats, RowBlock, Scored, Scorer, Times
from lab.store import Store
from models.detector import Model, ModelError, loads

WINDOW_NS: Final = 6 * 3600 * 10**9
"""Of stored readings so much is read at a time."""


def stored_model(store: Store, id: str) -> Model:
    """A model that is or was in use.

    Raises:
        ModelError: it is not in the database, or cannot be read.
    """
    row = store.db.execute("SELECT name, content FROM model WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise ModelError(f"model {id}: not in the database")
    return loads(row[1], row[0])


def stored_rows(
    historian: Historian, store: Store, asset: str, channels: Sequence[Channel], t0: int, t1: int | None
) -> Iterator[tuple[Times, Floats, NDArray[np.uint8]]]:
    """Stored readings of an asset put together to rows again, t0 <= t < t1, window by window.

    Args:
        historian: where the readings are.
        store: where the rows that were never scored stand (`late`); they are left out.
        asset: its id.
        channels: its channels.
        t0: UTC nanoseconds.
        t1: UTC nanoseconds; None for the newest.

    Yields:
        t (n,), v (n, C) with NaN for no value, q (n, C) with `BAD` where nothing is stored.
    """
    keys = [f"{asset}/{channel.tag}" for channel in channels]
    newest = max((latest.t for latest in historian.latest(keys).values()), default=None)
    if newest is None:
        return
    end = newest + 1 if t1 is None else min(t1, newest + 1)
    oldest = historian.stats().oldest
    start = t0 if oldest is None else max(t0, oldest)
    skip = {t for (t,) in store.db.execute("SELECT t FROM late WHERE asset = ? AND t >= ?", (asset, start))}
    while start < end:
        stop = min(end, start + WINDOW_NS)
        series = historian.read(keys, start, stop)
        start = stop
        t = np.unique(np.concatenate([each.t for each in series.values()])) if series else np.zeros(0, dtype=np.int64)
        if skip:
            t = t[~np.isin(t, np.array(sorted(skip), dtype=np.int64))]
        if not len(t):
            continue
        v = np.full((len(t), len(keys)), np.nan)
        q = np.full(v.shape, BAD, dtype=np.uint8)
        for column, key in enumerate(keys):
            each = series[key]
            there = np.isin(each.t, t)
            at = np.searchsorted(t, each.t[there])
            v[at, column], q[at, column] = each.v[there], each.q[there]
        yield t, v, q


def segments(store: Store, asset: str, after: int) -> list[tuple[int, int | None, str | None]]:
    """Which model an asset was scored with in rows later than `after`: start, end (None: open) and model id.

    The first segment has id "" when it goes on with whatever was in use at `after`. Without anything before
    (`after` is `NEVER`) it is the last run alone.
    """
    runs = store.db.execute("SELECT t, model FROM run WHERE asset = ? ORDER BY t", (asset,)).fetchall()
    if not runs:
        return []
    if after == NEVER:
        runs = runs[-1:]
    elif runs[0][0] <= after:
        runs = [(after + 1, ""), *((t, model) for t, model in runs if t > after)]
    ends = [t for t, _ in runs[1:]] + [None]
    return [(t, end, model) for (t, model), end in zip(runs, ends, strict=True)]


class Replayed(NamedTuple):
    """Stored readings of an asset scored again: `n` rows."""

    t: Times
    score: Floats
    alarm: NDArray[np.bool_]
    statistics: Mapping[str, Floats]
    episodes: list[Episode]
    """As they stood at the end, in the order of their start."""


def replay_scores(historian: Historian, store: Store, asset: str, t0: int, t1: int) -> Replayed:
    """Score stored readings with t0 <= t < t1 again, with the models that were in use at the time.

    The scoring begins with the last run before `t0`, so the states are those of that time.

    Raises:
        KeyError: no such asset.
        ModelError: a model that was used is not in the database any more.
    """
    scorer = Scorer()
    number = scorer.declare(*catalogued(store, asset))
    channels = scorer.members[number].layout.channels
    runs = store.db.execute("SELECT t, model FROM run WHERE asset = ? AND t < ? ORDER BY t", (asset, t1)).fetchall()
    begins = [at for at, (t, _) in enumerate(runs) if t <= t0]
    runs = runs[begins[-1] if begins else 0 :]
    ends = [*(t for t, _ in runs), t1][1:]
    parts: list[tuple[Times, Scored]] = []
    episodes: dict[str, Episode] = {}
    for (begin, model), end in zip(runs, ends, strict=True):
        scorer.use(number, None if model is None else stored_model(store, model))
        for t, v, q in stored_rows(historian, store, asset, channels, begin, end):
            scored = scorer.ingest(RowBlock(np.full(len(t), number, dtype=np.int32), t, v, q))
            parts.append((t, scored))
            episodes.update((change.episode.id, change.episode) for change in scored.changes)
    open_id = scorer.episode(number)
    if open_id is not None and (tracker := scorer.members[number].tracker):
        noted = store.db.execute('SELECT "end" FROM episode WHERE id = ?', (open_id,)).fetchone()
        # a stream that ended was closed by the clock on the wall, which the readings do not tell
        episodes[open_id] = tracker.episode(tracker.last if noted == (tracker.last,) else None)
    found = [each for each in episodes.values() if each.start < t1 and (each.end is None or each.end >= t0)]
    if not parts:
        empty = np.zeros(0)
        return Replayed(empty.astype(np.int64), empty, empty.astype(np.bool_), {}, found)
    t = np.concatenate([t for t, _ in parts])
    inside = (t >= t0) & (t < t1)
    names = sorted({name for _, scored in parts for name in scored.statistics})
    statistics = {
        name: np.concatenate([s.statistics.get(name, np.full(len(t), np.nan)) for t, s in parts])[inside]
        for name in names
    }
    score = np.concatenate([scored.score for _, scored in parts])[inside]
    alarm = np.concatenate([scored.alarm for _, scored in parts])[inside]
    return Replayed(t[inside], score, alarm, statistics, sorted(found, key=lambda each: each.start))


def catalogued(store: Store, asset: str) -> tuple[Asset, list[Channel]]:
    """An asset with its channels as the catalogue has them.

    Raises:
        KeyError: no such asset.
    """
    row = store.db.execute("SELECT kind, name, clock, period_s FROM asset WHERE id = ?", (asset,)).fetchone()
    if row is None:
        raise KeyError(asset)
    kind, name, clock, period_s = row
    sensors = store.db.execute("SELECT tag, unit, role FROM sensor WHERE asset = ? ORDER BY position", (asset,))
    channels = [
        msgspec.convert({"tag": tag, "unit": unit, "role": role}, Channel) for tag, unit, role in sensors.fetchall()
    ]
    return Asset(asset, kind, name, clock=clock, period_s=period_s), channels
