"""Charts: moving averages of residuals over memories from 1 to 300 rows, what they say, where episodes begin and end.

`calibration` says how far each chart may go. What is told of a sensor is the most that its charts say.
"""

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.detector import Floats, Result, State
from models.precursor.residuals import Flags, Singles

CLIP: Final = 10.0
"""A residual counts at most so many standard deviations: one wild row does not ring for an hour."""
LEFT_OUT: Final = 100
"""Rows over which it is counted how often a residual is left out."""
SUMS: Final = 4.5
"""A lasting shift must be so many standard deviations of what left out rows add to its mean: sums of residuals cancel
out, and do so no more without some of them."""
GROSS_TAU: Final = 10
GROSS: Final = 20.0
"""A sensor whose recent mean is so many standard deviations away is a finding whatever the others say."""
SETTLING: Final = 300
"""Rows after an operating point was accepted in which the mean residuals are still learned, but in alarm."""
TRUSTED: Final = 20
"""Rows that those known by then count for."""
FAST: Final = 30
"""Memories up to so many rows are fast."""
OFF: Final = (0.5, 0.8)
"""An episode ends below these parts of the limit, by fast memories and by slow ones."""
OFF_ROWS: Final = 10
"""Rows that must stay below for an episode to end."""
CHARTS: Final = ("energy", "sensor", "shift", "gross")
"""Mean of all squared residuals; the largest of one sensor; the largest lasting shift of one; gross deviation."""


class Charts(NamedTuple):
    """Memories and their scales: `value -> (value - centre) * gain` is 1 at the limit."""

    tau: Floats
    """(K,) time constants of the mean of all squared residuals, rows, growing."""
    energy: Floats
    """(K, 3) centre, gain and cap of each."""
    memory: Floats
    """(Q,) time constants of the charts of single sensors."""
    spread: Floats
    """(3, Q, M) centre, gain and cap of the mean squared residual of each sensor."""
    shift: Floats
    """(3, Q, M) the same of the size of its mean residual."""


class Parts(NamedTuple):
    """The charts of `A` assets, as views of an array (A, F)."""

    energy: Singles
    """(A, K)."""
    spread: Singles
    """(A, Q, M)."""
    shift: Singles
    """(A, Q, M)."""
    deviation: Singles
    """(A, S)."""
    lately: Singles
    """(A, M) means of the last residuals."""


class Charting:
    """Takes rows into the charts of `A` assets; their state is that of `Precursor`."""

    def __init__(self, charts: Charts, moving: NDArray[np.int64], coarse: Floats, baseline: Floats) -> None:
        """
        Args:
            charts: memories and their scales.
            moving: (M,) columns of the sensors that move.
            coarse: (S,) by what gross deviations are divided.
            baseline: (M,) time constant of the slow baseline that is taken off a residual, rows; 0 for none.
        """
        single = np.float32
        m = self.m = len(moving)
        self.width, self.moving = len(coarse), moving
        self.every = m == self.width
        self.place = np.argsort(moving)
        """Where each sensor stands among those that move, if every one does."""
        self.baseline = np.divide(1.0, baseline, out=np.zeros(m), where=baseline > 0).astype(single)
        self.based = bool(self.baseline.any())
        self.count = single(max(1, m))
        self.memories = len(charts.memory)
        lengths = len(charts.tau), self.memories * m, self.memories * m, self.width
        self.ends = [*np.cumsum(lengths).tolist(), sum(lengths) + m]
        # All charts are moving averages, told and bounded alike, so they lie side by side (F): those of `CHARTS`. After
        # them come the means of the last residuals, neither told nor bounded: what is accepted may be far.
        none, each = np.zeros(self.width), np.ones((self.memories, m))
        memory = each / charts.memory[:, None]
        keep = 1.0 / charts.tau, memory, memory, none + 1.0 / GROSS_TAU, np.full(m, 1.0 / GROSS_TAU)
        centre = charts.energy[:, 0], charts.spread[0], charts.shift[0], none
        gain = charts.energy[:, 1], charts.spread[1], charts.shift[1], 1.0 / (GROSS * coarse)
        cap = charts.energy[:, 2], charts.spread[2], charts.shift[2], none + np.inf, np.full(m, np.inf)
        self.keep, self.centre, self.gain, self.cap = (
            np.concatenate([part.ravel() for part in parts]).astype(single) for parts in (keep, centre, gain, cap)
        )
        most = charts.shift[0] + 1.0 / charts.shift[1]
        tau = charts.memory[:, None]
        self.wider = (np.square(SUMS / most) / (2.0 * tau)).astype(single)
        """(Q, M) by how much left out rows add to the square of a lasting shift at its limit."""
        most_told = (self.cap[: self.ends[3]] - self.centre) * self.gain
        self.least = most_told[np.isfinite(most_told)].min(initial=np.inf)
        """Below this value no chart is at its cap."""
        self.told = [at for at, length in enumerate(lengths) if length]
        self.firsts = np.array([([0, *self.ends])[at] for at in self.told])
        slow = charts.tau > FAST, (each * charts.memory[:, None]).ravel() > FAST
        self.slow = np.flatnonzero(np.concatenate([slow[0], slow[1], slow[1], none > 0]))
        self.fast = np.setdiff1d(np.arange(len(self.centre)), self.slow)

    def parts(self, charts: Singles) -> Parts:
        """The charts in (A, F)."""
        a, b, c, d, _ = self.ends
        shape = len(charts), self.memories, self.m
        return Parts(
            charts[:, :a], charts[:, a:b].reshape(shape), charts[:, b:c].reshape(shape), charts[:, c:d], charts[:, d:]
        )

    def take(
        self,
        state: State,
        residual: Singles,
        valid: Flags | None,
        z: Singles,
        known: Flags | None,
        live: Flags | None,
        row: int,
        result: Result,
        charts: Floats,
        some: slice,
    ) -> int:
        """Take rows `row` and those after it of every asset into the charts; how many were taken.

        Of several rows (T, A, M) and (T, A, S) those before the first that reaches a limit; all that follows from
        reaching one is for a row that comes alone.

        Args:
            state: of the assets; brought up to date in place.
            residual: (T, A, M).
            valid: (T, A, M) residuals that can be trusted; None for all.
            z: (T, A, S) standardised values.
            known: (T, A, S) where there is one; None for everywhere.
            live: (A,) whose row counts; None for all, as it must be with several rows.
            row: the first one's place in the result.
            result: takes up what is told, in the rows `some`.
            charts: (4, all assets, all rows) the result's statistics.
            some: the assets' place there.
        """
        alarm = state["alarm"]
        if live is not None:
            valid = np.repeat(live[:, None], self.m, axis=1)[None] if valid is None else valid & live[:, None]
        settled = np.maximum.reduce(state["settling"]) > 0
        if settled:
            residual = residual - state["ground"]
        if self.based:
            bases = [state["base"]]
            residual = residual.copy()
            for at, now in enumerate(residual):
                now -= bases[-1]
                step = np.clip(now, -3.0, 3.0) * self.baseline
                step[alarm] = 0.0  # it does not learn while in alarm
                if valid is not None:
                    step[~valid[at]] = 0.0
                bases.append(bases[-1] + step)
        if settled and len(residual) == 1:
            self._settle(state, residual[0], None if valid is None else valid[0], live)
        unbounded = residual
        squared, beyond = residual * residual, None
        if np.maximum.reduce(squared, axis=None, initial=0.0) > CLIP * CLIP:
            # beyond the bound charts say nothing of how far: the shares do
            size = np.abs(residual) * np.float32(1.0 / CLIP)
            beyond = np.square(np.maximum(size, np.float32(1.0)))
            residual = np.clip(residual, -CLIP, CLIP)
            squared = residual * residual
        if valid is None:
            mean = np.add.reduce(squared, axis=2) / self.count if self.m else np.ones(squared.shape[:2], np.float32)
        else:
            squared[~valid] = 0.0
            number = valid.sum(axis=2)
            # what is not there is as usual: a mean of fewer would stray farther
            mean = ((np.add.reduce(squared, axis=2) + (self.m - number)) / self.count).astype(np.float32)
        # all charts at once: the step of each average, then what it says
        averages, memories = state["charts"], self.memories
        a, b, c, d, _ = self.ends
        each = *(mean[..., None],) * a, *(squared,) * memories, *(residual,) * memories, z, unbounded
        whole = np.concatenate(each, axis=2)
        still = None if valid is None and known is None else self._still(whole.shape, valid, known)
        before = averages
        for at, now in enumerate(whole):
            now -= before
            if still is not None:
                now[still[at]] = 0.0
            now *= self.keep
            now += before
            before = now
        level = np.abs(whole[..., :d])
        left_out = self._widen(state["left_out"], valid, live, level)
        level -= self.centre
        level *= self.gain
        most = np.maximum.reduceat(level, self.firsts, axis=2)
        if len(self.told) < len(CHARTS):
            most = _spread_out(most, self.told)
        told = _positive(np.maximum(most, np.float32(-1.0), dtype=np.float64))
        value = np.maximum.reduce(told, axis=2)
        taken = len(value)
        if taken == 1:
            averages[:] = whole[0]
            top = np.maximum.reduce(value, axis=None)
            if top >= self.least or len(left_out) > 1:  # what was made smaller may be at its cap
                np.minimum(averages, self.cap, out=averages)
                np.maximum(averages, -self.cap, out=averages)
            if top >= 1.0 or alarm.any():
                self._episodes(state, value[0] >= 1.0, level[0], live)
        else:
            calm = value < min(1.0, self.least)
            if len(left_out) > 1:
                calm &= (np.abs(whole[..., b:c]) <= self.cap[b:c]).all(axis=2)
            if not np.logical_and.reduce(calm, axis=None):
                taken = int(np.argmin(calm.all(axis=1)))
                if not taken:
                    return 0
                whole, level, told, value = whole[:taken], level[:taken], told[:taken], value[:taken]
                beyond = None if beyond is None else beyond[:taken]
                known = None if known is None else known[:taken]
            averages[:] = whole[-1]
        if self.based:
            state["base"][:] = bases[taken]
        state["left_out"][:] = left_out[min(taken, len(left_out) - 1)]
        # what is told
        rows = slice(row, row + taken)
        result.score[some, rows] = value.T
        result.alarm[some, rows] = alarm[:, None]
        charts[:, some, rows] = told.T
        result.deviation[some, rows] = whole[..., c:d].swapaxes(0, 1)
        if taken == 1 and result.residual is not None and np.logical_or.reduce(alarm):  # of several rows none is in it
            on = np.flatnonzero(alarm)
            now = unbounded[0, on] if valid is None else np.where(valid[0, on], unbounded[0, on], np.float32(0.0))
            result.residual[some.start + on[:, None], row, self.moving] = now
        # the most that is to be said of each sensor
        evidence = np.maximum(level[..., c:], np.float32(1e-3))
        if self.m and self.memories:
            own = np.maximum(level[..., a:b], level[..., b:c])
            own = np.maximum.reduce(own.reshape(taken, len(alarm), -1, self.m), axis=2)
            if self.every:
                np.maximum(evidence, own.take(self.place, axis=2), out=evidence)
            else:
                evidence[..., self.moving] = np.maximum(evidence[..., self.moving], own)
        # the fourth power: what many sensors have a little of is noise
        shares = np.square(evidence, dtype=np.float64)
        np.square(shares, out=shares)
        if beyond is not None:
            shares[..., self.moving] *= beyond
        if known is not None:
            shares[~known] = 0.0
        total = np.add.reduce(shares, axis=2)
        if known is not None:
            total[total == 0.0] = 1.0
        shares *= (value / total)[..., None]
        result.contributions[some, rows] = shares.swapaxes(0, 1)
        if live is not None and not live.all():
            cold = some.start + np.flatnonzero(~live)
            result.score[cold, row] = np.nan
            result.contributions[cold, row] = 0.0
            charts[:, cold, row] = np.nan
        return taken

    def _widen(self, left_out: Singles, valid: Flags | None, live: Flags | None, size: Singles) -> Singles:
        """Make lasting shifts (T, A, F) smaller by what rows that are left out add to them.

        How often each was (A, M) before the first row and after each; nothing but the first where none ever is.
        """
        if not self.memories or (valid is None and not np.logical_or.reduce(left_out, axis=None)):
            return left_out[None]
        found = np.zeros((1 + len(size), *left_out.shape), dtype=np.float32)
        found[0] = left_out
        if valid is not None:
            found[1:] = ~valid
        for before, now in pairwise(found):
            now -= before
            now /= np.float32(LEFT_OUT)
            if live is not None:
                now[~live] = 0.0
            now += before
            now *= now >= np.float32(1e-3)
        if np.logical_or.reduce(found[1:], axis=None):
            a, b = self.ends[1:3]
            shift = size[..., a:b].reshape(*size.shape[:2], self.memories, self.m)
            shift /= np.sqrt(1.0 + found[1:, :, None] * self.wider)
        return found

    def _still(self, shape: tuple[int, ...], valid: Flags | None, known: Flags | None) -> Flags:
        """(T, A, F + M) charts that stand still, as what they are of is not there."""
        still = np.zeros(shape, dtype=np.bool_)
        a, _, c, d, _ = self.ends
        if valid is not None:
            gone = ~valid
            still[..., :a] = (valid.sum(axis=2) * 2 <= self.m)[..., None]
            still[..., a:c] = np.concatenate((gone,) * (2 * self.memories), axis=2) if self.memories else False
            still[..., d:] = gone
        if known is not None:
            still[..., c:d] = ~known
        return still

    def _settle(self, state: State, residual: Singles, valid: Flags | None, live: Flags | None) -> None:
        """Take a row's residuals (A, M) into the means that go with an accepted operating point, in its first rows."""
        settling = state["settling"]
        learns = (settling > 1) & ~state["alarm"]
        if live is not None:
            learns &= live
        if np.logical_or.reduce(learns):
            step = np.clip(residual, -3.0, 3.0)
            step /= np.float32(TRUSTED + SETTLING + 2) - settling.astype(np.float32)[:, None]
            step[~learns] = 0.0
            if valid is not None:
                step[~valid] = 0.0
            state["ground"][:] += step
            settling[learns] -= 1

    def _episodes(self, state: State, begins: Flags, level: Singles, live: Flags | None) -> None:
        """Begin episodes (changes `begins`), end those whose charts (A, F) have been below their limits for long."""
        alarm, below = state["alarm"], state["below"]
        if live is not None:
            begins &= live
        quiet = level[:, self.fast].max(axis=1, initial=-1.0) < OFF[0]
        quiet &= level[:, self.slow].max(axis=1, initial=-1.0) < OFF[1]
        rows = np.where(quiet, below + 1, 0)
        if live is not None:
            rows = np.where(live, rows, below)
        rows = np.minimum(np.where(begins, 0, rows), OFF_ROWS)
        alarm[:] = begins | (alarm & (rows < OFF_ROWS))
        below[:] = np.where(alarm, rows, 0)


def _spread_out(most: Singles, places: list[int]) -> Singles:
    """Columns (..., n) at their places among the charts; what is not there says nothing."""
    whole = np.full((*most.shape[:-1], len(CHARTS)), -1.0, dtype=np.float32)
    whole[..., places] = most
    return whole


def _positive(value: Floats) -> Floats:
    """Above a quarter of the limit the value itself, below it a positive number that falls with it."""
    below = 4.0 * value
    below -= 1.0
    np.minimum(below, 0.0, out=below)
    np.exp(below, out=below)
    below *= 0.25
    return np.maximum(value, below, out=below)
