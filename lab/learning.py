"""Assets that have no model yet: their first rows, what is learned from them, and what waits meanwhile."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from devices.frame import Asset, Channel
from devices.quality import BAD, is_bad
from lab.blocks import Floats, RowBlock, Rows
from lab.fitting import declared_limits, learn
from lab.periods import GAP_PERIODS, first_rows, longest_ns
from models.detector import Detector

log = logging.getLogger("lab.learning")


class Learner:
    """Rows of an asset that has no model yet: the first `wanted` to learn from, the others wait for the model."""

    def __init__(self, asset: Asset, wanted: int, channels: Sequence[Channel]) -> None:
        self.asset = asset
        self.wanted = wanted
        self.channels = channels
        """The columns of its rows."""
        self.blocks: list[RowBlock] = []
        self.rows = 0
        self.result: Future[Detector] | None = None

    def add(self, block: RowBlock) -> None:
        """Take in rows."""
        self.blocks.append(block)
        self.rows += len(block.t)

    def again(self, asset: Asset, wanted: int, channels: Sequence[Channel]) -> "Learner":
        """One with the same rows, in the columns of another channel list as they would be read from the store."""
        at = {channel.tag: column for column, channel in enumerate(self.channels)}
        columns = np.array([at.get(channel.tag, -1) for channel in channels], dtype=np.intp)
        new = Learner(asset, wanted, channels)
        for block in self.blocks:
            v, q = block.v[:, columns], block.q[:, columns]
            v[:, columns < 0], q[:, columns < 0] = np.nan, BAD
            new.add(block._replace(v=v, q=q))
        return new

    def parts(self) -> tuple[RowBlock, RowBlock]:
        """The rows to learn from and those that wait."""
        joined = RowBlock(
            np.concatenate([block.asset for block in self.blocks]),
            np.concatenate([block.t for block in self.blocks]),
            np.concatenate([block.v for block in self.blocks]),
            np.concatenate([block.q for block in self.blocks]),
        )
        return joined.pick(slice(None, self.wanted)), joined.pick(slice(self.wanted, None))


class Learned(NamedTuple):
    """What an asset's first rows taught."""

    number: int
    """The scorer's, of the asset."""
    detector: Detector
    first: RowBlock
    """The rows that it was learned from."""
    rest: RowBlock
    """Those that waited meanwhile."""


class Learning:
    """The assets that learn, by the scorer's numbers; one thread beside the caller's fits one after another."""

    def __init__(self) -> None:
        self.learners: dict[int, Learner] = {}
        self._threads = ThreadPoolExecutor(1, "learn")

    def __len__(self) -> int:
        return len(self.learners)

    def __contains__(self, number: int) -> bool:
        return number in self.learners

    def close(self) -> None:
        """End the thread; safe to call twice."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def begin(self, number: int, asset: Asset, channels: Sequence[Channel]) -> None:
        """Have an asset learn from its next rows on if it wants to, and does not already."""
        if asset.learn_rows and number not in self.learners:
            self.learners[number] = Learner(asset, asset.learn_rows, channels)

    def drop(self, number: int) -> None:
        """An asset has no need to learn any more."""
        self.learners.pop(number, None)

    def declare(self, number: int, asset: Asset, channels: Sequence[Channel]) -> None:
        """Go on learning with what an asset is by now; what was learned of other channels is let go."""
        learner = self.learners.get(number)
        if learner is None or (learner.asset == asset and learner.channels is channels):
            return
        if learner.result is not None:
            learner.result.cancel()
        if not asset.learn_rows:
            del self.learners[number]
            return
        self.learners[number] = learner = learner.again(asset, asset.learn_rows, channels)
        self._enough(learner)

    def rows_of(self, block: RowBlock) -> list[tuple[int, Rows]]:
        """The assets in a block that learn, and their rows in it."""
        if not self.learners:
            return []
        present = np.unique(block.asset).tolist()
        return [(number, np.flatnonzero(block.asset == number)) for number in present if number in self.learners]

    def add(self, number: int, block: RowBlock) -> None:
        """Take in rows of an asset that learns."""
        learner = self.learners[number]
        learner.add(block)
        self._enough(learner)

    def wait(self, number: int) -> bool:
        """Wait until what an asset learns is `finished`; false where it has not enough rows yet."""
        result = self.learners[number].result
        if result is None:
            return False
        result.exception()
        return True

    @property
    def ready(self) -> bool:
        """Whether something was learned that is not taken up yet."""
        return any(each.result is not None and each.result.done() for each in self.learners.values())

    def finished(self) -> list[Learned]:
        """What was learned since; whoever could not learn anything begins again with the rows that waited."""
        found = []
        for number, learner in list(self.learners.items()):
            if learner.result is None or not learner.result.done():
                continue
            del self.learners[number]
            first, rest = learner.parts()
            try:
                found.append(Learned(number, learner.result.result(), first, rest))
            except Exception as error:  # too little memory, say: the others are to be scored on
                told = log.error if isinstance(error, ValueError) else log.exception
                told("asset %s: nothing could be learned from %d rows: %s", learner.asset.id, learner.wanted, error)
                again = self.learners[number] = Learner(learner.asset, learner.wanted, learner.channels)
                if len(rest.t):
                    again.add(rest)
                    self._enough(again)
        return found

    def _enough(self, learner: Learner) -> None:
        """Begin to learn once there are rows enough."""
        if learner.result is None and learner.rows >= learner.wanted:
            first, _ = learner.parts()
            runs, sensors, period_s = lesson(learner.asset, learner.channels, first)
            limits = declared_limits(learner.channels)
            learner.result = self._threads.submit(learn, runs, sensors, period_s, limits)


def lesson(asset: Asset, channels: Sequence[Channel], block: RowBlock) -> tuple[list[Floats], list[str], float]:
    """Runs, sensors and period of rows to learn from; runs end at gaps and where the asset's clock runs backwards."""
    columns = [at for at, channel in enumerate(channels) if channel.role != "status"]
    values = np.where(is_bad(block.q[:, columns]), np.nan, block.v[:, columns])
    t = block.t / 1e9
    clock = None
    if asset.clock is not None and asset.period_s is not None:
        at = next((at for at, channel in enumerate(channels) if channel.tag == asset.clock), None)
        clock = None if at is None else block.v[:, at]
    if clock is not None and asset.period_s is not None:
        period_s = asset.period_s
        rows, cuts = first_rows(clock, period_s, GAP_PERIODS + 1)
        values = values[rows]
    else:
        steps = np.diff(t)
        period_s = asset.period_s or (float(np.median(steps)) if len(steps) else 1.0)
        cuts = np.flatnonzero((steps < 0) | (steps > longest_ns(period_s) / 1e9)) + 1
    return np.split(values, cuts), [channels[at].tag for at in columns], period_s
