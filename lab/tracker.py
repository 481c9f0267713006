"""Whose an episode is, row by row: the one that is open."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from lab.course import FIRST, HEARD, LASTS, LEADING, PARTNER, Course, lost
from lab.episodes import Change, Episode, Known, Outlook, Unseen, episode_id, pack
from lab.groups import (
    BURST,
    FAIRLY,
    FAULTS,
    IS_BEYOND,
    IS_FROZEN,
    IS_RESTING,
    IS_SILENT,
    IS_SPIKING,
    IS_STUCK,
    JUST,
    PART,
    SPIKED,
    WHOLE,
    Ill,
    allowed,
)
from lab.spikes import MEMORY, TWICE, Spikes
from models.detector import Floats
from models.precursor import causes

OTHERS: Final = 0.5
"""Others may have done so by this part of how far the spiking one did: its loop, not what moves the plant."""
SHOWN: Final = 4
"""Rows of an episode which show that it began with a little spike, and not with a step of a sensor that is noisy."""
ABRUPT: Final = 2.0
"""The score of an abrupt beginning, in limits; slow faults pass the limit by little."""
LITTLE: Final = 0.65
"""A sensor that stood out by so many of its usual leaps may be what an episode began with abruptly."""
LARGE: Final = 3.0
"""By so many it may be with a small share."""
SOME: Final = 0.001
"""After a burst as large, or one out of the usual values by their whole span: what is bound to it tightly leads."""
AGAIN: Final = 0.5
"""What shows by this part of what one wrong reading made is not that reading."""
RECENT: Final = 75
"""Rows before an episode within which a sensor that failed may be its cause whatever its share, and rows of it in which
one that spikes may."""
SURE: Final = 0.5
"""A known cause as likely as all others, and none, together is the plant's own whatever failed."""
WEIGHT: Final = 0.1
"""A sensor known to fail must have so much of the leading share to be the cause."""
NAMED: Final = 5
"""Causes named with an episode."""
QUIET_NS: Final = 10 * 10**9
"""An open episode whose peak stays is written again after so long."""
HIGHER: Final = 1.01
"""A peak higher by this factor is written at once."""


class Foreseen(NamedTuple):
    """What one sensor's last value says of its limits; see `models.detector.Ahead`."""

    time_s: float
    """Median; inf: none is in sight."""
    low_s: float
    high_s: float
    sensor: int
    limit: float = np.nan
    """The one that comes first, in its unit."""
    silent_s: float = 0.0
    """How long ago that was."""
    unseen: bool = False
    """So long that it says nothing of now."""

    def now(self) -> "Foreseen":
        """The same counted from now."""
        if self.silent_s == 0.0:
            return self
        time, low, high = (max(each - self.silent_s, 0.0) for each in (self.time_s, self.low_s, self.high_s))
        return self._replace(time_s=time, low_s=low, high_s=high)


class Tracker(Course):
    """An open episode that grows row by row, and what is told of it. `S` sensors.

    It is the process's until a measurement is known to have failed (`lab.groups.Group.ill`) that did so before the
    episode began, so not because of it: if it is frozen or silent either shortly before or with a large share of the
    score, if it spikes or is out of range with a large share. A sensor with a large share may also spike later, as one
    in a control loop does: by many times what it usually changes in the episode, which no process does. It may be what
    the episode begins with: some rows far out, and back (`began_with`, `returned`). And of a sensor that has spiked
    often of late, alone, less is asked (`recall`). From then on it is the instrument's. Only one that rests where it
    never was, because it leapt there or others contradict it, is told so after a while and taken back should others
    follow. Without an alarm it is the instrument's from the first (`attend`).

    Once the plant itself has left its usual values, it did so because a controller acts on the sensor (`upset`), or a
    fault came upon the plant while that fails: then it is an episode of its own, and the process's (`parts`). What had
    failed before and does not explain an episode is named with it (`suspect`); and blamed for it if it is known that a
    controller acts on it, while nothing else explains the episode (`blame`).
    """

    PLAIN: ClassVar[tuple[str, ...]] = (
        *Course.PLAIN,
        *("failed", "alarmed", "stuck", "followed", "age", "upset", "hit", "over"),
        *("leads", "like", "beside", "blamed", "apart", "ended", "doubt", "read", "again", "held"),
    )

    def __init__(
        self,
        asset: str,
        model: str,
        start: int,
        sensors: Sequence[str],
        period_s: float = 1.0,
        known: Known | None = None,
        prior: Floats | None = None,
    ) -> None:
        super().__init__(start, sensors, model, period_s, known, prior)
        self.asset = asset
        self.id = episode_id(asset, start)
        self.failed: tuple[str, str] | None = None
        self.alarmed = True
        """The score is beyond its limit; else it is told only that a sensor failed."""
        self.stuck = 0
        """It failed by resting where it never was: the last row in which that is taken back should others follow."""
        self.doubt = 0.0
        """By how many standard deviations the one wrong reading stood out that it is put down to, with sign; else 0."""
        self.read = 1
        """The row of it."""
        self.again = False
        """The last row looked like another one."""
        self.held = 0
        """Rows since for which something kept the score at its limit."""
        self.followed = False
        """It seemed so, and others followed."""
        self.age = 0
        """Rows before the first for which what it failed by had lasted."""
        self.upset: list[str] = []
        """Sensors by which the plant left its usual values because of it, in that order."""
        self.leads: list[str] = []
        """Sensors that lead, because of what failed (`blame`)."""
        self.like: tuple[str, int] | None = None
        """The known cause in the process that it has been like since then, and for how many rows running."""
        self.beside: tuple[str, str] | None = None
        """What had failed before the plant left its usual values; no failure explains that."""
        self.blamed: tuple[str, str] | None = None
        """What had failed before it began and does not explain it, but moves the plant (`blame`)."""
        self.apart = False
        """It is like a known cause in the process, whatever failed."""
        self.suspects: dict[int, str] = {}
        """What is wrong with sensors that had failed before, by their positions, as it became known."""
        self.ended = False
        """The stream has ended; should it go on, so does the episode."""
        self.outlook: Outlook | None = None
        self.hit = 0
        """The row in which a limit was reached first, below 1 in the episode before this one; 0 also for none."""
        self.over = 0
        """For how many rows the sensor that spikes and that it is put down to has been beyond its limit."""
        self.told: tuple[float, tuple[bool, int, int], int] | None = None
        """Peak, verdict and last row of what was told."""

    def succeed(self, before: "Tracker") -> None:
        """Begin where an episode put down to a sensor ends, as the plant has left its usual values (`upset`)."""
        assert before.failed is not None
        sensor, fault = self.beside = before.failed
        at = self.sensors.index(sensor)
        self.suspects[at] = fault
        self.moved = before.gone(bool(before.stuck))
        self.moved[at] = False
        if before.upset:  # it was compared from there on
            self.evidence = before.evidence
        if before.outlook is not None and sensor not in (before.outlook.reached, before.outlook.sensor):
            self.outlook, self.hit = before.outlook, before.hit - before.rows

    @property
    def whose(self) -> tuple[str, str] | None:
        """The sensor whose it is, and what is wrong with it; None for the process."""
        return self.failed or self.blamed

    @property
    def settled(self) -> bool:
        """Whether it is known what failed, be it by more than one wrong reading that may be taken back."""
        return self.beside is not None or (self.failed is not None and not self.doubt)

    def _fails(self, sensor: int, fault: int) -> None:
        self.failed, self.doubt = (self.sensors[sensor], FAULTS[fault]), 0.0

    @property
    def instrument(self) -> bool:
        """Whether it is the instrument's."""
        return self.whose is not None

    @property
    def verdict(self) -> tuple[bool, int, int]:
        """What to tell at once: whether it is the instrument's, how many left because of it, and how many suspects."""
        return self.instrument, len(self.moving), len(self.suspects)

    @property
    def moving(self) -> list[str]:
        """Of the instrument's, the sensors by which the plant moves with it."""
        return list(dict.fromkeys([*self.upset, *self.leads]))[:LEADING]

    def named_suspects(self) -> list[tuple[str, str]]:
        """The sensors that had failed before, and what is wrong with them; none where one of them explains it all."""
        if self.instrument and not self.moving:
            return []
        known = [(self.sensors[at], fault) for at, fault in self.suspects.items()]
        return [each for each in known if self.whose is None or each[0] != self.whose[0]]

    def attend(self, t: int, score: float, ill: Ill, row: int, lasting: NDArray[np.bool_]) -> None:
        """Take in a row without an alarm in which a sensor has failed for long; the first one begins it.

        Args:
            t: when.
            score: of the row.
            ill: what is wrong with its measurements.
            row: which of its rows this is.
            lasting: (S,) sensors that have failed for long.
        """
        self.rows, self.last, self.alarmed, self.ended = self.rows + 1, t, False, False
        if self.failed is None or not lasting[self.sensors.index(self.failed[0])]:
            sensor = int(np.argmax(np.where(lasting, ill.run[row], -1)))
            self.failed = self.sensors[sensor], FAULTS[ill.fault[row, sensor]]
            self.shares = np.eye(len(self.sensors))[sensor]
        if not self.peak >= score:
            self.peak, self.peak_at = (score if score == score else 0.0), t

    def foresee(self, t: int, ahead: Sequence[Foreseen], blind: Sequence[int] = (), back: Sequence[int] = ()) -> None:
        """Take in what a row says of the limits, of each sensor that has one, the soonest first; at the end of it.

        What a failed sensor reads reaches none, unless it spikes and is only blamed, and that was foretold, or has been
        there for longer than a spike is; nor will it, unless it spikes. What it seemed to have reached before that was
        known is taken back; of one that spikes, once it is back. So is what a single spike of any sensor reached. Once
        a limit is reached the next to come is told: it may have been an alarm, and the trip follows. Of a sensor that
        shows nothing it is told that it does not.

        Args:
            t: when.
            ahead: what the sensors say.
            blind: positions of those that are known to be frozen.
            back: positions of those that spiked in the row before, as this one shows.
        """
        before = self.outlook or Outlook(None, None, None, None)
        if self.hit == self.rows - 1 and before.reached in [self.sensors[at] for at in back]:
            before = msgspec.structs.replace(before, reached=None, lead_s=None)
            if before.first_s == 0.0:
                before = msgspec.structs.replace(before, first_at=None, first_s=None)
        own, fault = self.whose or self.beside or (None, None)
        spikes = fault == FAULTS[IS_SPIKING]
        lost = {self.sensors[at] for at in blind} | (set() if own is None or spikes else {own})
        hidden = [each for each in ahead if each.unseen or self.sensors[each.sensor] in lost]
        shown = [each.now() for each in ahead if not each.unseen and self.sensors[each.sensor] not in lost]
        foretold = spikes and self.failed is None and self.blamed is not None and before.sensor == own
        spike = next((each for each in shown if self.sensors[each.sensor] == own and each.time_s <= 0), None)
        self.over = 0 if spike is None else self.over + 1
        mute = spike is not None and not foretold and self.over <= BURST
        if self.failed is not None and before.reached == own and spike is None:
            before, self.outlook = Outlook(None, None, None, None), None
        rest = [each for each in shown if not mute or each is not spike]
        hidden += [each for each in shown if mute and each is spike]
        seen = [each for each in rest if each.time_s < np.inf]
        first = seen[0] if seen else Foreseen(np.inf, min((each.low_s for each in rest), default=np.inf), np.inf, -1)
        if first.time_s <= 0 and before.reached is not None:
            first = next((each for each in seen if each.time_s > 0), first)
        name = self.sensors[first.sensor] if seen else None
        reached, lead_s = before.reached, before.lead_s
        if seen and first.time_s <= 0 and reached is None:
            reached, lead_s, self.hit = name, (self.periods - 1) * self.period_s, self.rows
        self.outlook = Outlook(
            sensor=name,
            time_s=_number(first.time_s),
            low_s=_number(first.low_s),
            high_s=_number(first.high_s),
            first_at=t if seen and before.first_at is None else before.first_at,
            first_s=round(first.time_s, 3) if seen and before.first_at is None else before.first_s,
            reached=reached,
            lead_s=lead_s,
            limit=_number(first.limit, None),
            silent_s=_number(first.silent_s) if first.silent_s > 0 else None,
            unseen=sorted((self._unseen(each) for each in hidden), key=_soonest),
            watched=len(rest),
        )

    def _unseen(self, each: Foreseen) -> Unseen:
        """What is told of a sensor that shows nothing."""
        name, silent_s = self.sensors[each.sensor], _number(each.silent_s) if each.silent_s > 0 else None
        if silent_s is None or not np.isfinite(each.time_s):
            return Unseen(name, silent_s)
        time, low, high = (_number(of_it) for of_it in (each.time_s, each.low_s, each.high_s))
        return Unseen(name, silent_s, time, low, high, _number(each.limit, None))

    def judge(self, ill: Ill | None, row: int, spikes: Spikes | None = None, period: int = 0) -> None:
        """See whether a sensor's failure explains the episode; after `add` of the same row.

        Args:
            ill: what is wrong with its measurements; None for nothing.
            row: which of its rows this is.
            spikes: what is remembered of the asset; None for nothing.
            period: number of the row.
        """
        lone = _alone(self.outside[1]) & ~self.others_away(ill, row)
        if self.failed and self.rows <= self.stuck and not lone[self.sensors.index(self.failed[0])]:
            self.stuck, self.failed, self.followed = 0, None, True  # it told the truth
        if ill is None:
            self.beyond[:] = False
            return
        fault = ill.fault[row]
        self.beyond &= fault == IS_BEYOND
        if self.settled or not fault.any():
            return
        before = ill.run[row] - (self.rows - 1)  # as long it was at the first row
        weighty = self.shares >= PARTNER * max(self.shares.max(), 1e-300)
        resting = (fault == IS_STUCK) | (fault == IS_RESTING)
        leapt = np.zeros(len(fault), dtype=np.bool_)
        if spikes is not None and resting.any():
            leapt = spikes.rests(period, ill.run[row], self.recent[-1])
        lasting = (fault == IS_FROZEN) | (fault == IS_SILENT) | resting & leapt  # what is bound to it tightly may lead
        explains = np.where(lasting, weighty | (before <= ill.needed[row] + RECENT), weighty)
        explains &= (fault > 0) & np.where(fault == IS_BEYOND, self.beyond, before > 0)
        explains &= (fault != IS_SPIKING) | _alone(self.outside[0], OTHERS, np.inf)
        explains &= ~resting | (lone & (self.rows > FIRST) & (not self.followed))
        explains &= (fault != IS_RESTING) | leapt
        explains |= self.isolated((fault == IS_SPIKING) & (ill.run[row] == JUST)) & weighty
        if explains.any():
            sensor = int(np.argmax(np.where(explains, self.shares, -1.0)))
            self._fails(sensor, fault[sensor])
            self.age = max(int(before[sensor]) - 1, 0)
            self.stuck = self.rows + HEARD if resting[sensor] else 0

    def resting(self, ill: Ill, row: int) -> int | None:
        """The sensor it is put down to as that rests where it never was, once nothing can take that back."""
        if self.failed is None or not 0 < self.stuck < self.rows:
            return None
        at = self.sensors.index(self.failed[0])
        return at if ill.fault[row, at] in (IS_STUCK, IS_RESTING) else None

    def began_with(self, burst: Floats, lone: Floats, echoes: NDArray[np.bool_]) -> None:
        """See whether it began with a burst or a spike of a sensor, while no other left its usual values.

        Args:
            burst: (S,) `lab.groups.Group.burst` of its rows so far; after `judge` of the last of them.
            lone: (S,) `lab.groups.Group.lone` of them.
            echoes: (S,) `lab.groups.Group.echoes` of the row.
        """
        most = max(self.shares.max(), 1e-300)
        weighty, any_share = self.shares >= PARTNER * most, self.shares >= WEIGHT * most
        abrupt = self.peak >= ABRUPT
        found = (lone >= LARGE) & any_share
        if self.rows >= SHOWN:
            found |= (lone >= LITTLE) & weighty & abrupt
        if self.rows == 1 and abrupt:
            found |= echoes
        found &= _alone(self.outside[0], 0.0)
        found |= (burst >= LARGE) & any_share | (burst > 0) & weighty
        if found.any():
            self._fails(int(np.argmax(np.where(found, self.shares, -1.0))), IS_SPIKING)

    def misread(self, sensor: int, by: float) -> None:
        """Take in that one wrong reading of a sensor explains its first rows (`lab.groups.Group.wrong`).

        It does not where another left its usual values by far.
        """
        far = self.outside[0] > FAIRLY
        if np.count_nonzero(far) <= far[sensor]:
            self._fails(sensor, IS_SPIKING)
            self.doubt = by

    def doubts(self, left: float, score: float, residual: NDArray[np.float32], wrong: tuple[int, float] | None) -> bool:
        """Whether a later row takes that back, as it shows what does not come of that reading, nor of one like it.

        Args:
            left: `lab.groups.Group.beside` of the row.
            score: of the row.
            residual: (S,) of the row.
            wrong: `lab.groups.Group.wrong` of the same sensor, the row and the one before, if that looked like another.
        """
        if self.again and wrong is not None:
            self.doubt, self.read, self.again, self.held = wrong[1], self.rows - 1, False, 0
            return False
        self.held += self.rows - self.read >= LASTS and score >= 1.0
        large = left >= AGAIN * abs(self.doubt)
        if not self.again and self.held < LASTS and (not large or self.rows - self.read > SPIKED):
            self.again, self.residual = large, residual.copy()
            return False
        self.failed, self.doubt = None, 0.0
        return True

    def returned(self, sensor: int, leaps: float) -> None:
        """Take in that a sensor is back by so many leaps (`lab.groups.Group.back`) from where it leapt before it began.

        What is bound to it tightly leads; so the larger the leap, the smaller its share may be.
        """
        part = SOME if leaps >= LARGE or self.outside[0, sensor] >= WHOLE else PARTNER
        if leaps > 0 and self.shares[sensor] >= part * max(self.shares.max(), 1e-300):
            self._fails(sensor, IS_SPIKING)

    def recall(self, spikes: Spikes, row: int, fresh: NDArray[np.bool_] | None) -> None:
        """See whether what is remembered explains the episode, and what is to be remembered of it; after `judge`.

        Args:
            spikes: what is remembered of the asset.
            row: number of the row.
            fresh: (S,) sensors whose spike has just ended; None for none.
        """
        if fresh is not None:
            counts = None if self.rows == 1 else self.isolated(fresh)  # it was before the first row
            whose = self.failed or self.beside
            if counts is not None and whose is not None and whose[1] == FAULTS[IS_SPIKING]:
                counts[self.sensors.index(whose[0])] = True
            spikes.note(row, fresh, counts)
        known = None if self.settled else spikes.failing(row)
        if known is not None and self.shares[known] >= WEIGHT * max(self.shares.max(), 1e-300):
            self._fails(known, IS_SPIKING)

    def parts(
        self,
        ill: Ill | None,
        row: int,
        spikes: Spikes | None = None,
        period: int = 0,
        steers: NDArray[np.bool_] | None = None,
    ) -> bool:
        """Whether it ends before a row as the plant has left its usual values, and not because a sensor failed.

        It may be because of it (`upset`) if a controller acts on it and the failure is remembered, unless the plant
        moves as by a known cause. What rests where it never was may as well have told the truth.

        Args:
            ill: what is wrong with the measurements in the next row; None for nothing.
            row: which of its rows that is.
            spikes: what is remembered of the asset; None for nothing.
            period: number of the row.
            steers: (S,) sensors that a controller may act on; None for all.
        """
        if self.failed is None or self.rows <= self.stuck:
            return False
        at = self.sensors.index(self.failed[0])
        if self.upset:
            if self._known():
                return True
        elif not self.others_away(ill, row, bool(self.stuck))[at]:
            return False
        elif self.stuck or not self._may_move(self.failed, self.age + self.rows, spikes, period, steers):
            return True
        gone = self.gone(False) & ~lost(ill, row)
        gone[[at, *(sensor for sensor, fault in self.suspects.items() if fault != FAULTS[IS_SPIKING])]] = False
        far = [self.sensors[sensor] for sensor in np.argsort(-self.away, kind="stable").tolist() if gone[sensor]]
        if far and not self.upset:
            self._begin_anew(self.failed[0])
        self.upset = list(dict.fromkeys([*self.upset, *far]))[:LEADING]
        return False

    def _begin_anew(self, failed: str) -> None:
        """What is seen of the plant counts from here, as in an episode of its own."""
        self.evidence, self._matched = causes.initial(1, len(self.sensors)), None
        self.beyond[:] = True
        if self.outlook is not None and failed in (self.outlook.reached, self.outlook.sensor):
            self.outlook = None

    def _known(self) -> bool:
        """Whether the plant has been like one known cause in the process for long."""
        match, before = self.match(), self.like
        self.like = None
        if match is None or match.cause is None or self._matcher is None or match.causes[0][1] < SURE:
            return False
        if match.cause in self._matcher.of_process:
            self.like = match.cause, before[1] + 1 if before is not None and before[0] == match.cause else 1
        return self.like is not None and self.like[1] >= LASTS

    def _may_move(
        self,
        failed: tuple[str, str],
        age: int,
        spikes: Spikes | None,
        period: int,
        steers: NDArray[np.bool_] | None,
    ) -> bool:
        """Whether a sensor that failed may move the plant, as a controller acts on it.

        It must have failed for no more than `MEMORY` rows, now and again or all the time. Where it is not known whether
        a controller acts on it, one that spikes must have done so more than once.
        """
        at, spiking = self.sensors.index(failed[0]), failed[1] == FAULTS[IS_SPIKING]
        if steers is not None and not steers[at]:
            return False
        if spikes is None:
            return not spiking and age <= MEMORY
        if spiking and steers is None and spikes.of_late(period).count(at) < TWICE:
            return False
        return max(spikes.failing_for(at, period), age) <= MEMORY

    def blame(self, spikes: Spikes | None, period: int, steers: NDArray[np.bool_]) -> None:
        """See whether others lead because of a sensor that failed; after `suspect` of the same row.

        Of one that explains the episode, without leading it. Else of one that had failed before, unless a library finds
        the episode like one known cause in the process for long.

        Args:
            spikes: what is remembered of the asset; None for nothing.
            period: number of the row.
            steers: (S,) sensors that a controller is known to act on.
        """
        if self.failed is not None:
            before, self.blamed = self.blamed, None
            if before is not None and before[0] != self.failed[0]:
                self.leads = []
            at, silent = self.sensors.index(self.failed[0]), self.failed[1] != FAULTS[IS_SPIKING]
            if steers[at] and silent and not self.stuck and self.rows <= FIRST and at not in self.leading():
                self.leads = self._others_leading()
            return
        if self.beside is not None or self.followed or self.apart:
            self.blamed, self.leads = None, []
            return
        named = [(self.sensors[at], fault) for at, fault in self.suspects.items()]
        whose = [each for each in named if self._may_have_moved(each, spikes, period, steers)]
        if self.blamed is None and not whose:
            return
        if self._known():
            self.blamed, self.leads, self.apart = None, [], True
        elif (self.blamed is not None or self.like is None) and (others := self._others_leading()):
            if self.blamed is None:
                self.blamed = max(whose, key=lambda each: self.shares[self.sensors.index(each[0])])
            if self.rows <= FIRST or not self.leads:
                self.leads = others

    def report(self, spikes: Spikes, period: int) -> None:
        """Note which sensor that spikes it is put down to, and if that moves the plant; after `blame`."""
        if self.whose is not None and self.whose[1] == FAULTS[IS_SPIKING]:
            spikes.blame(self.sensors.index(self.whose[0]), period, bool(self.moving))

    def _may_have_moved(
        self, failed: tuple[str, str], spikes: Spikes | None, period: int, steers: NDArray[np.bool_]
    ) -> bool:
        """Whether a suspect may move the plant.

        One that spikes did so more than once before, the last time of late; or is known to fail, and may have begun to
        before the episode, by how often its spikes are seen.
        """
        if not self._may_move(failed, 0, spikes, period, steers):
            return False
        if failed[1] != FAULTS[IS_SPIKING]:
            return True
        if spikes is None:
            return False
        first, sensor = period - self.rows + 1, self.sensors.index(failed[0])
        rows = [row for row, at in spikes.counted if at == sensor]
        before = [first - row for row in rows if row <= first + 1]
        if len(before) >= TWICE and min(before) <= RECENT:
            return True
        # the first one that a row shows is not the first one
        return spikes.failing(period) == sensor and rows[0] - first <= (rows[-1] - rows[0]) / (len(rows) - 1)

    def _others_leading(self) -> list[str]:
        """Those of them that had not failed."""
        return [self.sensors[at] for at in self.leading() if at not in self.suspects]

    def suspect(self, ill: Ill | None, row: int, lasting: NDArray[np.bool_], of_late: Sequence[int]) -> None:
        """Note which sensors failed before it began or spike in its first rows, whatever their share; after `judge`.

        Of one that is the plant's as well, before the plant left its usual values.

        Args:
            ill: what is wrong with its measurements; None for nothing.
            row: which of its rows this is.
            lasting: (S,) sensors that have failed for long.
            of_late: those of the spikes that are remembered (`Spikes.of_late`).
        """
        rows = int(self.evidence["rows"][0]) if self.upset else self.rows
        if rows > RECENT:
            return
        if ill is not None:
            since = self.beyond | ((ill.run[row] >= rows) & (ill.fault[row] != IS_BEYOND))
            for sensor in np.flatnonzero(lasting & since).tolist():
                self.suspects.setdefault(sensor, FAULTS[ill.fault[row, sensor]])
        for sensor in of_late:
            if of_late.count(sensor) >= TWICE:
                self.suspects.setdefault(sensor, FAULTS[IS_SPIKING])

    def episode(self, end: int | None = None) -> Episode:
        """As it is now."""
        weighed = self.weighed()
        total = float(weighed.sum())
        parts = weighed / total if total > 0 else weighed
        leading = np.argsort(-parts, kind="stable")[:LEADING]
        named = [(self.sensors[at], round(float(parts[at]), 4)) for at in leading if parts[at] > 0]
        match = self.match() if not self.instrument or self.moving else None
        return Episode(
            id=self.id,
            asset=self.asset,
            kind="instrument" if self.instrument else "process",
            start=self.start,
            end=end,
            peak=float(self.peak),
            peak_at=self.peak_at,
            leading=named,
            cause=match.cause if match and not self.instrument else None,
            model=self.model,
            failed=self.whose,
            causes=[(name, round(chance, 4)) for name, chance in match.causes[:NAMED]] if match else [],
            unknown=round(match.unknown, 4) if match else None,
            library=self.library,
            outlook=self.outlook,
            evidence=pack(self.evidence) if self.evidence["rows"][0] else b"",
            suspects=self.named_suspects(),
            upset=self.moving,
        )

    def update(self) -> Change | None:
        """What to tell of it now, if it says something new."""
        if self.told is not None:
            peak, verdict, at = self.told
            if self.peak <= peak * HIGHER and self.verdict == verdict and self.last - at < QUIET_NS:
                return None
        what: Literal["opened", "updated"] = "updated" if self.told else "opened"
        self.told = (self.peak, self.verdict, self.last)
        return Change(what, self.episode())

    def close(self, t: int) -> list[Change]:
        """It ends at `t`; what was opened in the same block is told to be so first."""
        opened = [] if self.told else [Change("opened", self.episode())]
        return [*opened, Change("closed", self.episode(t))]

    def end(self) -> Change:
        """The stream has ended, and with it the episode at its last scored row."""
        self.ended, self.told = True, None
        return Change("closed", self.episode(self.last))

    def dump(self) -> dict[str, Any]:
        """For a snapshot, as plain JSON."""
        outlook = None if self.outlook is None else msgspec.to_builtins(self.outlook)
        return {**super().dump(), "suspects": list(self.suspects.items()), "outlook": outlook}

    @classmethod
    def restore(cls, asset: str, dumped: dict[str, Any]) -> "Tracker":
        """The tracker that was dumped; what it is compared with is for the caller to give (`library`, `know`)."""
        tracker = cls(asset, dumped["model"], dumped["start"], dumped["sensors"], dumped["period_s"])
        tracker.resume(dumped)
        for name in ("failed", "like", "beside", "blamed"):  # JSON knows no tuples
            pair = dumped[name]
            setattr(tracker, name, None if pair is None else (pair[0], pair[1]))
        tracker.suspects = dict(dumped["suspects"])
        if dumped["outlook"] is not None:
            tracker.outlook = msgspec.convert(dumped["outlook"], Outlook)
        tracker.told = None if tracker.ended else (tracker.peak, tracker.verdict, tracker.last)
        return tracker


def _alone(outside: Floats, part: float = PART, most: float = FAIRLY) -> NDArray[np.bool_]:
    """(S,) sensors beside which no other is farther outside its usual values than `allowed`."""
    two = np.sort(outside)[-2:]
    others = np.where(outside >= two[-1], two[0], two[-1]) if len(two) > 1 else np.zeros(1)
    return np.asarray(others <= allowed(outside, part, most))


def _number(value: float, digits: int | None = 3) -> float | None:
    if not np.isfinite(value):
        return None
    return float(value) if digits is None else round(value, digits)


def _soonest(unseen: Unseen) -> float:
    """By when its limit was to be reached, from now; inf where that was not in sight."""
    return np.inf if unseen.time_s is None else unseen.time_s - (unseen.silent_s or 0.0)
