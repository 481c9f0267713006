"""Blocks of rows on their way through scoring: what goes in, what comes out, and what a model sees of them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.quality import BAD, CODES
from lab.episodes import Change
from lab.groups import Group, Places

RANGE: Final = CODES["bad:range"]

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]


class RowBlock(NamedTuple):
    """`M` rows of assets that share one list of `C` channels; the rows of an asset in the order of time."""

    asset: NDArray[np.int32]
    """(M,) numbers from `declare`."""
    t: Times
    """(M,) UTC nanoseconds."""
    v: Floats
    """(M, C); NaN is no value."""
    q: NDArray[np.uint8]
    """(M, C) `devices.quality` codes."""

    def pick(self, rows: slice | Rows) -> "RowBlock":
        """Some of the rows."""
        return RowBlock(self.asset[rows], self.t[rows], self.v[rows], self.q[rows])


class Scored(NamedTuple):
    """What came of a block, row by row."""

    score: Floats
    """(M,); NaN where a row was not scored: no model, warming up, or not the first of its period."""
    alarm: Flags
    """(M,) whether an episode is on."""
    warm: Flags
    """(M,) whether the asset has had a score since it began."""
    late: Flags
    """(M,) rows not newer than one taken before: never scored."""
    limit: Floats
    """(M,) of the row's model; NaN without one."""
    contributions: Floats
    """(M, C) shares of the score in the block's columns, 0 where there are none."""
    statistics: dict[str, Floats]
    """(M,) each: the charts behind the score, in limits; NaN where not scored."""
    changes: list[Change]
    """Episodes opened, updated and closed, in order."""
    earlier: "Sequence[tuple[RowBlock, Scored]]" = ()
    """Rows that had waited for their model, with what came of them."""


def charts(results: Sequence[Scored]) -> dict[str, Floats]:
    """The score and the statistics of some blocks, one after the other; NaN for what one does not have."""
    found = {"score": np.concatenate([result.score for result in results])}
    for name in dict.fromkeys(name for result in results for name in result.statistics):
        parts = [
            result.statistics[name] if name in result.statistics else nothing(len(result.score)) for result in results
        ]
        found[name] = np.concatenate(parts)
    return found


class Plan(NamedTuple):
    """How a block of as many rows of each of some assets, with one model, is scored."""

    who: slice | Rows
    """(A,) numbers of the assets."""
    rows: Rows | None
    """Where the rows (A, T) of each stand; None where there is one of each, in order."""
    group: Group
    places: Places
    at: slice | Rows
    """The assets' rows in the group."""
    flat: slice | Rows
    """The block's rows, those of an asset side by side."""
    back: Rows | None
    """Where the block's rows are among these; None where they stand so."""
    longest: int
    """Nanoseconds between two rows, beyond which an asset begins anew."""
    warm: Flags
    late: Flags
    limit: Floats
    """What `Scored` says of these where there is no alarm: shared by all results, so not to be written to."""


def evenly(numbers: NDArray[np.int32]) -> Rows | None:
    """Where the rows (A, T) of each asset stand, in their order; None where one has more of them than another."""
    order = np.argsort(numbers, kind="stable")
    whose = numbers[order]
    each, rest = divmod(len(order), 1 + int(np.count_nonzero(whose[1:] != whose[:-1])))
    if (
        rest
        or (whose[each::each] == whose[each - 1 : -1 : each]).any()
        or (whose[::each] != whose[each - 1 :: each]).any()
    ):
        return None
    return order.reshape(-1, each)


def by_count(numbers: NDArray[np.int32]) -> list[Rows]:
    """The rows of the assets that have as many of them, those of an asset side by side in their order."""
    order = np.argsort(numbers, kind="stable")
    firsts = np.flatnonzero(np.append(True, np.diff(numbers[order]) != 0))
    counts = np.diff(np.append(firsts, len(order)))
    return [
        order[(firsts[counts == count][:, None] + np.arange(count)).ravel()] for count in np.unique(counts).tolist()
    ]


def rejoined(parts: Sequence[Rows], results: Sequence[Scored]) -> Scored:
    """What came of a block that was scored in parts."""
    count = sum(map(len, parts))
    whole = Scored(
        score=np.empty(count),
        alarm=np.empty(count, dtype=np.bool_),
        warm=np.empty(count, dtype=np.bool_),
        late=np.empty(count, dtype=np.bool_),
        limit=np.empty(count),
        contributions=np.empty((count, results[0].contributions.shape[1])),
        statistics={name: nothing(count) for result in results for name in result.statistics},
        changes=[change for result in results for change in result.changes],
    )
    for rows, result in zip(parts, results, strict=True):
        for mine, theirs in zip(whole[:6], result[:6], strict=True):
            mine[rows] = theirs
        for name, chart in result.statistics.items():
            whole.statistics[name][rows] = chart
    return whole


def nothing(*shape: int) -> Floats:
    """NaN everywhere (`np.full` takes three times as long)."""
    whole = np.empty(shape)
    whole.fill(np.nan)
    return whole


def values_seen(
    block: RowBlock, flat: slice | Rows, shape: tuple[int, ...], places: Places
) -> tuple[Floats, Flags | None, Floats]:
    """Of rows (A, T) what the model sees, (A, T, S), what lacks there for being beyond its range, and all with that."""
    v, q = block.v[flat][:, places.columns], block.q[flat][:, places.columns]
    v, q = v.reshape(*shape, -1), q.reshape(*shape, -1)
    good = np.isfinite(v)
    good &= q < BAD
    over, shown = None, v
    if not np.logical_and.reduce(good, axis=None):
        beyond = q == RANGE
        over = beyond if beyond.any() else None
        x = np.where(good, v, np.nan)
        shown = x if over is None else np.where(beyond & np.isfinite(v), v, x)
        v = x
    if places.complete:
        return v, over, shown
    x = _placed(v, places)
    if over is None:
        return x, None, x
    beyond = np.zeros(x.shape, dtype=np.bool_)
    beyond[..., places.known] = over
    return x, beyond, _placed(shown, places)


def _placed(v: Floats, places: Places) -> Floats:
    """Values of the known sensors in their places; NaN in the others."""
    x = np.full((*v.shape[:-1], len(places.column_of)), np.nan)
    x[..., places.known] = v
    return x
