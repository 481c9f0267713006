"""From frames to arrays: no Python loop over readings.

Frames of gateways with one channel list (one *layout*) and one number of samples are chained into one flat list and
become one array. What differs between these gateways (sensor ids, measuring ranges, assets) stands in arrays with one
row per gateway (its *slot*) and is gathered by indexing.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from devices.frame import Asset, Birth, Channel
from devices.quality import BAD, CODES
from lab.catalogue import asset_channels

STORE: Final = 1
SCORE: Final = 2
LATE: Final = 4
"""What is to be done with a frame's rows; LATE ones are stored and noted as not scored."""
AGAIN: Final = 8
"""But those that came twice: they were scored the first time."""

RANGE: Final = CODES["bad:range"]

Value = TypeVar("Value", bound=np.generic)
Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Codes = NDArray[np.uint8]
Ids = NDArray[np.int32]


class Part:
    """The channels of one asset in a layout; every gateway of the layout has such an asset."""

    def __init__(self, columns: list[int], channels: list[Channel]) -> None:
        self.columns = np.array(columns, dtype=np.intp)
        self.channels = channels
        self.whole = False
        """It is all of the layout, so nothing needs to be picked out."""
        self.names: list[str] = []
        """(G,) asset ids by slot."""
        self.assets: Ids = np.zeros(0, dtype=np.int32)
        """(G,) the scoring runtime's numbers of the assets."""

    def pick(self, rows: NDArray[Value]) -> NDArray[Value]:
        """This asset's columns of (M, C)."""
        return rows if self.whole else rows[:, self.columns]


_slot: Final = itemgetter(0)


class Layout:
    """A channel list, split into assets, and the gateways that have it. `C` channels, `G` gateways."""

    def __init__(self, number: int, birth: Birth) -> None:
        self.number = number
        self.h = birth.h
        self.width = len(birth.channels)
        self.position: dict[str, int] = {channel.tag: at for at, channel in enumerate(birth.channels)}
        self.parts = [Part(columns, [birth.channels[at] for at in columns]) for _, columns in asset_channels(birth)]
        self.parts[0].whole = len(self.parts) == 1
        self.gateways: dict[str, int] = {}
        self.ids: Ids = np.zeros((0, self.width), dtype=np.int32)
        self.lo: Floats = np.zeros((0, self.width))
        self.hi: Floats = np.zeros((0, self.width))
        self.alike = True
        """All gateways have the measuring ranges of the first, so they need not be gathered."""
        self.open: dict[int, Group] = {}
        """Groups being filled, by their number of samples."""

    @staticmethod
    def key_of(birth: Birth) -> tuple[object, ...]:
        """Births with equal keys share a layout."""
        split = tuple(tuple(columns) for _, columns in asset_channels(birth))
        return birth.h, split, tuple(channel.role for channel in birth.channels)

    def bind(self, birth: Birth, ids: Ids, assets: Sequence[tuple[Asset, int]]) -> int:
        """Enter a gateway, or enter it again after another birth.

        Args:
            birth: the gateway's birth, of this layout's key.
            ids: (C,) the historian's ids of its channels.
            assets: its assets in the order of `asset_channels`, with the scoring runtime's numbers.

        Returns:
            The gateway's slot.
        """
        slot = self.gateways.setdefault(birth.gateway, len(self.gateways))
        if slot >= len(self.ids):
            more = max(8, 2 * len(self.ids)) - len(self.ids)
            self.ids = np.concatenate([self.ids, np.zeros((more, self.width), dtype=np.int32)])
            self.lo = np.concatenate([self.lo, np.full((more, self.width), -np.inf)])
            self.hi = np.concatenate([self.hi, np.full((more, self.width), np.inf)])
            for part in self.parts:
                part.assets = np.concatenate([part.assets, np.zeros(more, dtype=np.int32)])
        self.ids[slot] = ids
        lo = [-np.inf if channel.lo is None else channel.lo for channel in birth.channels]
        hi = [np.inf if channel.hi is None else channel.hi for channel in birth.channels]
        if len(self.gateways) > 1 and (self.lo[0].tolist() != lo or self.hi[0].tolist() != hi):
            self.alike = False
        self.lo[slot], self.hi[slot] = lo, hi
        for part, (asset, number) in zip(self.parts, assets, strict=True):
            part.names[slot : slot + 1] = [asset.id]
            part.assets[slot] = number
        return slot


class Binding(NamedTuple):
    """Where a gateway's frames with one schema hash go."""

    layout: Layout
    slot: int
    width: int


class Rows(NamedTuple):
    """Decoded frames of one layout: `M` rows of `C` channels."""

    layout: Layout
    samples: int
    """Rows of each frame, which stand together."""
    slot: NDArray[np.intp]
    """(M,) gateway of each row."""
    t: Times
    v: Floats
    """(M, C), NaN is no value."""
    q: Codes
    todo: NDArray[np.uint8] | None
    """(M,) STORE, SCORE, LATE bits; None: all STORE and SCORE."""
    order: NDArray[np.intp]
    """(M,) number of each row's frame in the order of their scoring."""
    absent: NDArray[np.bool_] | None
    """(M, C) channels the frame did not mention (it named its channels); None: none."""

    def readings(self) -> tuple[Ids, Times, Floats, Codes] | None:
        """What is to be stored, one entry a reading; None when nothing is."""
        slot, t, v, q, absent = self.slot, self.t, self.v, self.q, self.absent
        if self.todo is not None:
            keep = (self.todo & STORE) != 0
            if not keep.all():
                slot, t, v, q = slot[keep], t[keep], v[keep], q[keep]
                absent = None if absent is None else absent[keep]
        if not len(slot):
            return None
        sensor, time = self.layout.ids[slot].ravel(), t.repeat(self.layout.width)
        if absent is None:
            return sensor, time, v.ravel(), q.ravel()
        there = ~absent.ravel()
        return sensor[there], time[there], v.ravel()[there], q.ravel()[there]


class Group:
    """Frames of one layout and one number of samples on their way into one array."""

    __slots__ = ("absent", "dt", "frames", "layout", "plain", "q", "samples")

    def __init__(self, layout: Layout, samples: int) -> None:
        self.layout = layout
        self.samples = samples
        self.frames: list[tuple[int, int, list[float | None], int, int, int]] = []
        """Slot, time of the first sample before its offset (ns), values, what to do, quality of its clock, order."""
        self.dt: list[list[float]] = []
        """Offsets, seconds; empty for one sample a frame (its offset is in the time)."""
        self.plain = True
        """All frames so far are to be stored and scored, with good clocks."""
        self.q: list[tuple[int, Mapping[str, Sequence[tuple[int, int, str]]]]] = []
        """Qualities, by the place in `frames`."""
        self.absent: list[tuple[int, list[int]]] = []
        """Columns not mentioned, by the place in `frames`."""

    def rows(self) -> Rows:
        """The arrays.

        A reading's quality is its source's; the time rule's where that is good; `bad` where there is no value and
        `bad:range` outside the measuring range, where it was not bad already.
        """
        layout, n, frames = self.layout, self.samples, len(self.frames)
        width = layout.width
        if n == 1 and not self.q and not self.absent:
            self.frames.sort(key=_slot)  # so that what belongs to a gateway stands together, in its order
        slots, starts, values, todos, clocks, orders = zip(*self.frames, strict=True)
        try:
            v = np.fromiter(chain.from_iterable(values), dtype=np.float64, count=frames * n * width)
        except TypeError:  # there is a null
            v = np.array(list(chain.from_iterable(values)), dtype=np.float64)
        slot, t = np.array(slots, dtype=np.intp), np.array(starts, dtype=np.int64)
        order = np.array(orders, dtype=np.intp)
        if n == 1:
            v = v.reshape(frames, width)
        else:
            v = v.reshape(frames, width, n).transpose(0, 2, 1).reshape(frames * n, width)
            slot, order = np.repeat(slot, n), np.repeat(order, n)
        if n > 1:
            offsets = np.rint(np.array(list(chain.from_iterable(self.dt))) * 1e6).astype(np.int64) * 1000
            t = (t[:, None] + offsets.reshape(frames, n)).ravel()
        todo = absent = None
        if self.plain:
            q = np.zeros((frames * n, width), dtype=np.uint8)
        else:
            codes = np.array(clocks, dtype=np.uint8)
            q = np.repeat(np.repeat(codes, n)[:, None], width, axis=1)
            todo = np.repeat(np.array(todos, dtype=np.uint8), n)
        for frame, runs in self.q:
            for tag, entries in runs.items():
                column = layout.position[tag]
                for first, last, code in entries:
                    part = q[frame * n + first : frame * n + last + 1, column]
                    np.maximum(part, CODES[code], out=part)
        which = 0 if layout.alike else slot
        inside = v >= layout.lo[which]
        inside &= v <= layout.hi[which]
        if not np.logical_and.reduce(inside, axis=None):
            worst = np.where(np.isnan(v), np.uint8(BAD), np.uint8(RANGE))
            np.copyto(q, worst, where=~inside & (q < BAD))
        if self.absent:
            absent = np.zeros((frames * n, width), dtype=np.bool_)
            for frame, columns in self.absent:
                absent[frame * n : frame * n + n, columns] = True
        return Rows(layout, n, slot, t, v, q, todo, order, absent)


def in_order(rows: Sequence[Rows]) -> tuple[NDArray[np.intp], Times, Floats, Codes]:
    """Rows of one layout to be scored, in the order of their arrival: slot (M,), t (M,), v (M, C), q (M, C)."""
    picked = []
    for each in rows:
        if each.todo is None:
            picked.append((each.slot, each.t, each.v, each.q, each.order))
        else:
            keep = (each.todo & SCORE) != 0
            picked.append((each.slot[keep], each.t[keep], each.v[keep], each.q[keep], each.order[keep]))
    if len(picked) == 1:
        return picked[0][:4]
    slot, t, v, q, order = (np.concatenate(columns) for columns in zip(*picked, strict=True))
    sort = np.argsort(order, kind="stable")
    return slot[sort], t[sort], v[sort], q[sort]
