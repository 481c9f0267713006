"""Stored readings scored again: the same rows, the same models, the same scores."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from devices.frame import Asset, Channel
from devices.quality import BAD
from lab.blocks import Floats, RowBlock, Scored, Times
from lab.episodes import Episode, Known, find_episode
from lab.historian.base import Historian, Series
from lab.scorer import NEVER, Scorer
from lab.store import Store
from models.detector import Model, ModelError, loads
from models.precursor.causes import Library

WINDOW_NS: Final = 6 * 3600 * 10**9
"""Of stored readings so much is read at a time."""
SHORT_NS: Final = 20 * 10**9
"""And of those of many assets so much."""

Codes = NDArray[np.uint8]


def stored_model(store: Store, id: str) -> Model:
    """A model that is or was in use.

    Raises:
        ModelError: it is not in the database, or cannot be read.
    """
    row = store.db.execute("SELECT name, content FROM model WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise ModelError(f"model {id}: not in the database")
    return loads(row[1], row[0])


def stored_library(store: Store, id: str) -> Known | None:
    """A library of causes that episodes were compared with; None where it is not in the database."""
    row = store.db.execute("SELECT content FROM library WHERE id = ?", (id,)).fetchone()
    return None if row is None else Known(id, Library.loads(zlib.decompress(row[0])))


def stored_rows(
    historian: Historian, store: Store, asset: str, channels: Sequence[Channel], t0: int, t1: int | None
) -> Iterator[tuple[Times, Floats, Codes]]:
    """Stored readings of an asset put together to rows again, t0 <= t < t1, window by window.

    Args:
        historian: where the readings are.
        store: where the rows stand that came late (`late`); those that never had a score are left out.
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
    rows = store.db.execute("SELECT t FROM late WHERE asset = ? AND t >= ?", (asset, start))
    skip, score = [t for (t,) in rows], f"{asset}/~score"
    while start < end:
        stop = min(end, start + WINDOW_NS)
        series = historian.read(keys, start, stop)
        start = stop
        t, v, q = _rows([series[key] for key in keys])
        if skip and len(t):
            late = np.isin(t, skip)
            if late.any():  # a row that came twice was scored the first time
                late &= ~np.isin(t, historian.read([score], int(t[0]), int(t[-1]) + 1)[score].t)
            t, v, q = t[~late], v[~late], q[~late]
        if len(t):
            yield t, v, q


def _rows(columns: Sequence[Series]) -> tuple[Times, Floats, Codes]:
    """Readings of an asset's channels put together to rows; `BAD` where a channel has none."""
    t = columns[0].t
    if all(len(each.t) == len(t) and bool((each.t == t).all()) for each in columns):
        return t, np.stack([each.v for each in columns], axis=1), np.stack([each.q for each in columns], axis=1)
    t = np.unique(np.concatenate([each.t for each in columns]))
    v = np.full((len(t), len(columns)), np.nan)
    q = np.full(v.shape, BAD, dtype=np.uint8)
    for column, each in enumerate(columns):
        at = np.searchsorted(t, each.t)
        v[at, column], q[at, column] = each.v, each.q
    return t, v, q


class Behind(NamedTuple):
    """An asset whose stored rows later than `after` are to be scored."""

    number: int
    asset: str
    channels: Sequence[Channel]
    after: int


def stored_blocks(historian: Historian, store: Store, assets: Sequence[Behind]) -> Iterator[RowBlock]:
    """The same rows of many assets with the same channels, in blocks: the store is gone through once for all."""
    keys = [[f"{each.asset}/{channel.tag}" for channel in each.channels] for each in assets]
    latest = historian.latest([key for some in keys for key in some])
    newest = [max((latest[key].t for key in some if key in latest), default=NEVER) for some in keys]
    todo = [at for at, each in enumerate(assets) if newest[at] > each.after]
    if not todo:
        return
    start, end = min(assets[at].after for at in todo) + 1, max(newest[at] for at in todo) + 1
    oldest = historian.stats().oldest
    start = start if oldest is None else max(start, oldest)
    query = "SELECT t FROM late WHERE asset = ? AND t > ?"
    late = {at: [t for (t,) in store.db.execute(query, (assets[at].asset, assets[at].after))] for at in todo}
    window = SHORT_NS
    while start < end:
        stop = min(end, start + window)
        those = [at for at in todo if newest[at] >= start and assets[at].after + 1 < stop]
        scores = [f"{assets[at].asset}/~score" for at in those if late[at]]
        series = historian.read([*(key for at in those for key in keys[at]), *scores], start, stop)
        parts = []
        for at in those:
            t, v, q = _rows([series[key] for key in keys[at]])
            taken = t > assets[at].after
            if late[at]:
                taken &= ~np.isin(t, late[at]) | np.isin(t, series[f"{assets[at].asset}/~score"].t)
            if taken.any():
                whose = np.full(int(taken.sum()), assets[at].number, dtype=np.int32)
                parts.append(RowBlock(whose, t[taken], v[taken], q[taken]))
        if parts:
            yield RowBlock(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))
        window = SHORT_NS if parts else min(2 * window, WINDOW_NS)
        start = stop


class Stretch(NamedTuple):
    """Rows in which an asset had the same channels."""

    start: int
    end: int | None
    """None: open."""
    asset: Asset
    channels: Sequence[Channel]


def stretches(
    store: Store, asset: Asset, channels: Sequence[Channel], start: int, end: int | None
) -> Iterator[Stretch]:
    """Rows start <= t < end of an asset, which has these channels by now, by those that it had then."""
    query = "SELECT t, clock, channels FROM former WHERE asset = ? AND t >= ? ORDER BY t"
    for t, clock, body in store.db.execute(query, (asset.id, start)).fetchall():
        stop = t + 1 if end is None else min(t + 1, end)
        if start < stop:
            before = msgspec.json.decode(zlib.decompress(body), type=list[Channel])
            yield Stretch(start, stop, msgspec.structs.replace(asset, clock=clock), before)
            start = stop
    if end is None or start < end:
        yield Stretch(start, end, asset, channels)


class Segment(NamedTuple):
    """Rows of an asset that were scored in one go."""

    start: int
    end: int | None
    """None: open."""
    model: str | None
    """"" for whatever was in use before."""
    accept: bool = False
    """It begins with what went before being taken for normal; the state goes on."""
    offset: bytes | None = None
    """What was accepted before its beginning."""
    clock: bool = False
    """It begins where the asset's clock ran backwards."""
    trend: bytes | None = None
    """What went on after the gap with which it begins (`lab.scorer.Run`)."""


def segments(store: Store, asset: str, after: int) -> list[Segment]:
    """How an asset was scored in rows later than `after`.

    The first segment has the model "" when it goes on with whatever was in use at `after`. Without anything before
    (`after` is `NEVER`) they are the last beginning and what was accepted since.
    """
    rows = "SELECT t, model, reason, offset, trend FROM run WHERE asset = ? ORDER BY t"
    runs = [_run(*row) for row in store.db.execute(rows, (asset,))]
    begins = [at for at, run in enumerate(runs) if not run[2]]
    if not begins:
        return []
    if after == NEVER:
        runs = runs[begins[-1] :]
    elif runs[0][0] <= after:
        runs = [_run(after + 1, "", ""), *(run for run in runs if run[0] > after)]
    return _joined(runs, None)


_Run = tuple[int, str | None, bool, bytes | None, bool, bytes | None]


def _run(t: int, model: str | None, reason: str, offset: bytes | None = None, trend: bytes | None = None) -> _Run:
    return t, model, reason == "accept", offset, reason == "clock", trend


def _joined(runs: Sequence[_Run], end: int | None) -> list[Segment]:
    ends = [*(run[0] for run in runs), end][1:]
    return [Segment(run[0], end, *run[1:]) for run, end in zip(runs, ends, strict=True)]


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

    def library(number: int, id: str) -> Known | None:
        noted = find_episode(store, id)
        return stored_library(store, noted.library) if noted is not None and noted.library is not None else None

    scorer = Scorer(library)
    declared, known = catalogued(store, asset)
    number = scorer.declare(declared, known)
    query = "SELECT t, model, reason, offset, trend FROM run WHERE asset = ? AND t < ? ORDER BY t"
    runs = [_run(*row) for row in store.db.execute(query, (asset, t1))]
    begins = [at for at, run in enumerate(runs) if run[0] <= t0 and not run[2]]
    pieces = _joined(runs[begins[-1] if begins else 0 :], t1)
    parts: list[tuple[Times, Scored]] = []
    episodes: dict[str, Episode] = {}
    for piece in pieces:
        if piece.accept:
            if change := scorer.accept_again(number, piece.offset):
                episodes[change.episode.id] = change.episode
        else:
            model = None if piece.model is None else stored_model(store, piece.model)
            scorer.use(number, model, piece.offset, again=True, trend=piece.trend)
        for start, end, its, channels in stretches(store, declared, known, piece.start, piece.end):
            scorer.declare(its, channels)
            for t, v, q in stored_rows(historian, store, asset, channels, start, end):
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
    query = "SELECT tag, unit, role, lo, hi, controlled FROM sensor WHERE asset = ? ORDER BY position"
    sensors = store.db.execute(query, (asset,)).fetchall()
    channels = [
        msgspec.convert(
            {"tag": tag, "unit": unit, "role": role, "lo": lo, "hi": hi, "controlled": bool(controlled)}, Channel
        )
        for tag, unit, role, lo, hi, controlled in sensors
    ]
    return Asset(asset, kind, name, clock=clock, period_s=period_s), channels
