"""The first rows of an asset that has no model yet: what is learned from them, and what waits meanwhile."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np

from devices.frame import Asset, Channel
from devices.quality import BAD, is_bad
from lab.blocks import Floats, RowBlock
from lab.scorer import GAP_NS, GAP_PERIODS
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


def declared_limits(channels: Sequence[Channel], alarms: bool = True) -> dict[str, tuple[float | None, float | None]]:
    """Lower and upper limit of the channels that have one: the trip, or else (with `alarms`) the alarm.

    Those of which the lower one is not the lower one (0 and 0, as devices say that have none set) are left out.
    """
    found = {}
    for channel in channels:
        if (limits := channel.limits) is not None and channel.role != "status":
            low = limits.lo_alarm if alarms and limits.lo_trip is None else limits.lo_trip
            high = limits.hi_alarm if alarms and limits.hi_trip is None else limits.hi_trip
            if low is not None and high is not None and low >= high:
                log.warning("limits %g and %g of %s are none: they are left out", low, high, channel.tag)
            elif low is not None or high is not None:
                found[channel.tag] = low, high
    return found


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
        told = ~np.isnan(clock)
        values, t = values[told], clock[told]
        slot = np.floor((t + 1e-6) / asset.period_s)
        taken = np.ones(len(t), dtype=np.bool_)
        taken[1:] = (slot[1:] != slot[:-1]) | (t[1:] < t[:-1])
        values, t, period_s = values[taken], t[taken], asset.period_s
        longest = (GAP_PERIODS + 1) * period_s
    else:
        steps = np.diff(t)
        period_s = asset.period_s or (float(np.median(steps)) if len(steps) else 1.0)
        longest = max(GAP_NS / 1e9, GAP_PERIODS * period_s)
    steps = np.diff(t)
    cuts = np.flatnonzero((steps < 0) | (steps > longest)) + 1
    return np.split(values, cuts), [channels[at].tag for at in columns], period_s
