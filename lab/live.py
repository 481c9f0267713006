"""What the lab looks like right now: the live frame for all viewers, and the status with its counters.

The last row of every asset stands in arrays, so that taking a block costs the same for one asset and for thousands.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from devices.frame import Channel
from lab import __version__
from lab.blocks import Scored
from lab.decode import Layout, Part, Rows
from lab.inbox import Inbox
from lab.intake import Intake
from lab.sources import Sources

MAX_ASSETS: Final = 200
"""In one frame; the others come in the next."""
GATHERED: Final = 500
"""Rows and scores taken in before they are put in their places; a frame takes them all."""
TOP: Final = 5
"""Leading sensors told with a score."""
MAX_NAMES: Final = 100
"""Gateways named in the status."""
CLOCK_OFF_MS: Final = 2000.0
MS: Final = 1_000_000

Floats = NDArray[np.float64]
Slots = NDArray[np.intp]


class _View:
    """The last row of every asset of one layout part; `G` assets, `c` channels."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.t = np.full(0, -1, dtype=np.int64)
        self.v = np.zeros((0, len(part.columns)))
        self.q = np.zeros((0, len(part.columns)), dtype=np.uint8)
        self.contributions = np.zeros((0, len(part.columns)))
        self.score = np.zeros(0)
        self.alarm = np.zeros(0, dtype=np.bool_)
        self.statistics: dict[str, Floats] = {}
        self.changed = np.zeros(0, dtype=np.bool_)
        self.shown_here = np.zeros(0, dtype=np.bool_)
        """False where the gateway has another channel list by now."""
        self.shown = 0
        """Where the next frame begins."""
        self._rows: list[tuple[Slots, NDArray[np.int64], Floats, NDArray[np.uint8]]] = []
        self._scored: list[tuple[Slots, Scored]] = []
        """Not in their places yet."""
        self._waiting = 0

    def grow(self, size: int) -> None:
        more = size - len(self.t)
        if more <= 0:
            return
        self.t = np.concatenate([self.t, np.full(more, -1, dtype=np.int64)])
        self.v = np.concatenate([self.v, np.full((more, self.v.shape[1]), np.nan)])
        self.q = np.concatenate([self.q, np.zeros((more, self.q.shape[1]), dtype=np.uint8)])
        self.contributions = np.concatenate([self.contributions, np.zeros((more, self.q.shape[1]))])
        self.score = np.concatenate([self.score, np.full(more, np.nan)])
        self.alarm = np.concatenate([self.alarm, np.zeros(more, dtype=np.bool_)])
        self.changed = np.concatenate([self.changed, np.zeros(more, dtype=np.bool_)])
        self.shown_here = np.concatenate([self.shown_here, np.zeros(more, dtype=np.bool_)])
        for name, values in self.statistics.items():
            self.statistics[name] = np.concatenate([values, np.full(more, np.nan)])

    def forget(self, slot: int) -> None:
        """What is shown of this asset begins anew."""
        self.settle()
        self.t[slot], self.score[slot], self.alarm[slot] = -1, np.nan, False
        self.v[slot], self.q[slot], self.contributions[slot] = np.nan, 0, 0.0

    def rows(self, slot: Slots, t: NDArray[np.int64], v: Floats, q: NDArray[np.uint8]) -> None:
        """Take in rows (M,) of the assets in these slots."""
        self._rows.append((slot, t, v, q))
        self._waiting += len(slot)
        if self._waiting >= GATHERED:
            self.settle()

    def _put(self, slot: Slots, t: NDArray[np.int64], v: Floats, q: NDArray[np.uint8]) -> None:
        # Of several for one place NumPy keeps the last; they are not in order: late ones, other numbers of samples.
        order = np.argsort(t, kind="stable")
        order = order[t[order] >= self.t[slot[order]]]
        slot, t, v, q = slot[order], t[order], v[order], q[order]
        self.t[slot] = t
        self.v[slot] = v
        self.q[slot] = q
        self.changed[slot] = self.shown_here[slot]

    def filled(
        self, slot: Slots, t: NDArray[np.int64], v: Floats, q: NDArray[np.uint8], absent: NDArray[np.bool_]
    ) -> tuple[Floats, NDArray[np.uint8]]:
        """Values and qualities of rows (M, c), those of `absent` channels as they were before."""
        self.settle()
        v, q, newest = v.copy(), q.copy(), dict[int, int]()
        for row in np.argsort(t, kind="stable").tolist():
            at = int(slot[row])
            if t[row] < self.t[at]:
                continue  # not shown
            before, codes = (v[newest[at]], q[newest[at]]) if at in newest else (self.v[at], self.q[at])
            kept = absent[row] & np.isfinite(before)
            v[row, kept], q[row, kept], newest[at] = before[kept], codes[kept], row
        return v, q

    def scored(self, slot: Slots, result: Scored) -> None:
        """Take in what came of rows (M,)."""
        self._scored.append((slot, result))
        self._waiting += len(slot)
        if self._waiting >= GATHERED:
            self.settle()

    def settle(self) -> None:
        """Put what was taken in in its place: for few rows this costs much the same as for many."""
        if self._rows:
            self._put(*map(_joined, zip(*self._rows, strict=True)))
            self._rows.clear()
        at = 0
        while at < len(self._scored):
            names = self._scored[at][1].statistics.keys()
            end = at + 1
            while end < len(self._scored) and self._scored[end][1].statistics.keys() == names:
                end += 1
            self._put_scores(self._scored[at:end], list(names))
            at = end
        self._scored.clear()
        self._waiting = 0

    def _put_scores(self, scored: Sequence[tuple[Slots, Scored]], names: Sequence[str]) -> None:
        """Of some results with the same statistics."""
        slot, results = _joined([slot for slot, _ in scored]), [result for _, result in scored]
        fields = [
            _joined([result.score for result in results]),
            _joined([result.alarm for result in results]),
            _joined([result.contributions for result in results]),
            *(_joined([result.statistics[name] for result in results]) for name in names),
        ]
        # Between the periods of a plant's own clock there is no new score: the last one stays.
        told = np.isfinite(fields[0])
        told |= ~_joined([result.warm for result in results])
        told &= ~_joined([result.late for result in results])
        if not told.all():
            slot, fields = slot[told], [field[told] for field in fields]
        for name in names:
            if name not in self.statistics:
                self.statistics[name] = np.full(len(self.t), np.nan)
        for name in self.statistics.keys() - names:  # of another model
            self.statistics[name][slot] = np.nan
        ours = [self.score, self.alarm, self.contributions, *(self.statistics[name] for name in names)]
        for mine, field in zip(ours, fields, strict=True):
            mine[slot] = field
        self.changed[slot] = self.shown_here[slot]


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays one after the other."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class Live:
    """Builds the frames of `lab/core/v1/live`."""

    def __init__(self, newest: int) -> None:
        """`newest`: a time (ns) that no earlier frame's id can lie behind."""
        self.dropped = 0
        """Assets that had changed and did not fit in a frame, or whose frame could not be sent."""
        self._views: dict[tuple[int, int], _View] = {}
        self._places: dict[str, list[tuple[_View, int]]] = {}
        self._left: dict[str, tuple[int, int]] = {}
        """Assets that their gateways have no more, to be told once: number and channels."""
        self._id = newest // MS
        self._turn = 0

    def left(self, asset: str, number: int, channels: int) -> None:
        """An asset is no gateway's any more."""
        self._left[asset] = number, channels

    def bound(self, layout: Layout, gateway: str, current: bool, anew: bool = False) -> None:
        """A gateway was bound to a layout: its assets have a place now; that of its current birth is shown.

        Args:
            layout: the layout.
            gateway: the gateway.
            current: it is its current birth.
            anew: it has other assets than before.
        """
        slot = layout.gateways[gateway]
        places = []
        for n, part in enumerate(layout.parts):
            view = self._views.setdefault((layout.number, n), _View(part))
            view.grow(len(part.assets))
            places.append((view, slot))
        if current:
            before = self._places.get(gateway, [])
            for view, at in before:
                view.settle()
                view.shown_here[at] = view.changed[at] = False
            for view, at in places:
                if anew or (view, at) not in before:
                    view.forget(at)  # the channel list may be one it had long ago
                view.shown_here[at] = view.changed[at] = True
                self._left.pop(view.part.names[at], None)
            self._places[gateway] = places

    def mark(self, gateway: str) -> None:
        """Something about a gateway changed: show its assets again."""
        for view, slot in self._places.get(gateway, ()):
            view.changed[slot] = True

    def accepted(self, gateway: str, asset: str) -> None:
        """What is normal of an asset is another thing from its next row on: until that comes, no score and no alarm."""
        for view, slot in self._places.get(gateway, ()):
            if view.part.names[slot] == asset:
                view.settle()
                view.score[slot], view.alarm[slot], view.changed[slot] = np.nan, False, True

    def rows(self, rows: Rows) -> None:
        """Take stored rows."""
        for n, part in enumerate(rows.layout.parts):
            view = self._views[rows.layout.number, n]
            v, q = part.pick(rows.v), part.pick(rows.q)
            if rows.absent is not None:
                v, q = view.filled(rows.slot, rows.t, v, q, part.pick(rows.absent))
            view.rows(rows.slot, rows.t, v, q)

    def scored(self, layout: Layout, number: int, slot: Slots, result: Scored) -> None:
        """Take the scores of one part's rows."""
        self._views[layout.number, number].scored(slot, result)

    def frame(
        self,
        now: int,
        describe: Callable[[str, int], Mapping[str, Any]],
        rates: Mapping[str, float],
    ) -> bytes | None:
        """The next frame; None when nothing has changed.

        Args:
            now: ns.
            describe: what else there is to say of an asset (id, number): `limit`, `warm`, `episode`, `online`.
            rates: the frame's `rates`.
        """
        assets = dict(self._pick(now, describe))
        for asset, (number, channels) in self._left.items():
            said: dict[str, Any] = {"t": None, "v": [None] * channels, "q": {}, "score": None, "alarm": False}
            assets[asset] = {**said, "stats": {}, "top": [], "age_s": None, **describe(asset, number)}
        self._left.clear()
        if not assets:
            return None
        self._id = max(self._id + 1, now // MS)
        frame = {"id": self._id, "t": stamp(now), "assets": assets, "rates": rates}
        return orjson.dumps(frame, option=orjson.OPT_SERIALIZE_NUMPY)

    def _pick(
        self, now: int, describe: Callable[[str, int], Mapping[str, Any]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        room = MAX_ASSETS
        views = list(self._views.values())
        self._turn += 1
        for at in range(len(views)):
            view = views[(self._turn + at) % len(views)]
            view.settle()
            waiting = np.flatnonzero(view.changed)
            if not len(waiting):
                continue
            if len(waiting) > room:
                self.dropped += len(waiting) - room
                waiting = np.roll(waiting, -int(np.searchsorted(waiting, view.shown)))[:room]
                if room:
                    view.shown = int(waiting[-1]) + 1
            room -= len(waiting)
            view.changed[waiting] = False
            yield from self._entries(view, waiting, now, describe)

    def _entries(
        self, view: _View, slots: Slots, now: int, describe: Callable[[str, int], Mapping[str, Any]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        part, channels = view.part, view.part.channels
        times, scores, alarms = view.t[slots].tolist(), view.score[slots].tolist(), view.alarm[slots].tolist()
        charts = {name: values[slots].tolist() for name, values in view.statistics.items()}
        leading = top(channels, view.contributions[slots])
        odd: list[int] = view.q[slots].max(axis=1, initial=0).tolist()
        for at, slot in enumerate(slots.tolist()):
            t, score, q = times[at], scores[at], view.q[slot]
            known = math.isfinite(score)
            yield (
                part.names[slot],
                {
                    "t": t // MS if t >= 0 else None,
                    "v": view.v[slot],
                    "q": {channels[c].tag: int(q[c]) for c in np.flatnonzero(q).tolist()} if odd[at] else {},
                    "score": score if known else None,
                    "alarm": alarms[at],
                    "stats": {name: values[at] for name, values in charts.items()} if known else {},
                    "top": leading[at] if known else [],
                    "age_s": round(max(0.0, (now - t) / 1e9), 3) if t >= 0 else None,
                    **describe(part.names[slot], int(part.assets[slot])),
                },
            )


def top(channels: list[Channel], contributions: Floats) -> list[list[tuple[str, float]]]:
    """For each row (n, c) the leading sensors of its score and their shares of it (0 to 1), the greatest first."""
    order = np.argsort(contributions, axis=1)[:, : -TOP - 1 : -1]
    totals = contributions.sum(axis=1, keepdims=True)
    shares = np.take_along_axis(contributions, order, axis=1) / np.where(totals > 0, totals, np.inf)
    return [
        [(channels[c].tag, share) for c, share in zip(columns, row, strict=True) if share > 0]
        for columns, row in zip(order.tolist(), np.round(shares, 4).tolist(), strict=True)
    ]


def stamp(ns: int) -> str:
    """ISO 8601 UTC with milliseconds."""
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Latency:
    """How long from a frame's last sample to its score: a histogram, cheap enough to be always on."""

    EDGES: Final = np.geomspace(0.5, 100_000.0, 107)
    """Upper edges in ms, 12 % apart; beyond the last there is one more place."""

    def __init__(self) -> None:
        self._seconds = np.zeros((10, len(self.EDGES) + 1), dtype=np.int64)
        self._at = 0
        self._new: list[NDArray[np.int64]] = []
        """Of this second, not counted yet."""

    def add(self, lag_ns: NDArray[np.int64]) -> None:
        """Count delays (n,)."""
        self._new.append(lag_ns)

    def next_second(self) -> None:
        """Forget what is older than ten seconds."""
        self._count()
        self._at = (self._at + 1) % len(self._seconds)
        self._seconds[self._at] = 0

    def quantiles(self, *wanted: float) -> list[float | None]:
        """Quantiles over the last ten seconds, ms (the upper edge of the place); None without frames."""
        self._count()
        return quantiles(self._seconds.sum(axis=0), wanted)

    def _count(self) -> None:
        if self._new:
            places = np.searchsorted(self.EDGES, np.concatenate(self._new) / MS)
            self._seconds[self._at] += np.bincount(places, minlength=self._seconds.shape[1])
            self._new.clear()


def quantiles(counts: NDArray[np.int64], wanted: tuple[float, ...]) -> list[float | None]:
    """Quantiles of a `Latency` histogram, ms."""
    total = int(counts.sum())
    if not total:
        return [None for _ in wanted]
    running = np.cumsum(counts)
    edges = np.append(Latency.EDGES, np.inf)
    return [float(edges[int(np.searchsorted(running, share * total))]) for share in wanted]


class StoreState(NamedTuple):
    """How the collector's store is."""

    trouble: str
    """Why it does not take readings; empty when it does."""
    full: bool
    commits: int
    failed_commits: int
    staged: int
    """Readings taken, not committed yet."""


def build_status(
    now: int,
    inbox: Inbox,
    sources: Sources,
    intake: Intake,
    live: Live,
    latency: Latency,
    store: StoreState,
    rate: float,
) -> dict[str, Any]:
    """What `lab/core/v1/status` says at `now` (ns), given readings a second; every number in it is a metric."""
    p50, p99 = latency.quantiles(0.5, 0.99)
    online = [known for known in sources.catalogue.gateways.values() if known.state == "online"]
    stale = sorted(source.id for source in sources.all.values() if source.stale and source.birth is not None)
    waiting = sorted(source.id for source in sources.waiting)
    deferred = intake.counters.deferred + sources.deferred + inbox.dropped
    return {
        "t": stamp(now),
        "pid": os.getpid(),
        "version": __version__,
        "broker": {
            "state": "connected" if inbox.connected else "reconnecting",
            "connected": inbox.connected,
            "connections": inbox.connections,
            "detail": inbox.trouble,
        },
        "store": {
            "state": "full" if store.full else "failing" if store.trouble else "ok",
            "ok": not store.trouble,
            "detail": store.trouble,
            "commits": store.commits,
            "failed_commits": store.failed_commits,
        },
        "counters": msgspec.to_builtins(intake.counters) | {"deferred": deferred, "live_dropped": live.dropped},
        "queue": {
            "messages": len(inbox.data),
            "bytes": inbox.waiting_bytes,
            "held": intake.held,
            "staged_readings": store.staged,
        },
        "rates": {"readings_s": rate},
        "latency_ms": {"p50": p50, "p99": p99},
        "ledger": sources.book.totals,
        "quarantine": sources.quarantine.counts,
        "gateways": {
            "known": len(sources.catalogue.gateways),
            "online": len(online),
            "stale": len(stale),
            "waiting_for_birth": len(waiting),
        },
        "stale": stale[:MAX_NAMES],
        "waiting_for_birth": waiting[:MAX_NAMES],
        "clocks_off": {
            known.id: known.skew_ms
            for known in online
            if known.skew_ms is not None and abs(known.skew_ms) > CLOCK_OFF_MS
        },
        "process": {"cpu_s": round(time.process_time(), 3), "rss_bytes": rss_bytes()},
    }


def rss_bytes() -> int | None:
    """Resident memory of this process; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
