"""What is remembered of assets' rows, and their episodes along them."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from devices.frame import Asset
from lab.between import Between
from lab.course import BEGUN
from lab.episodes import Change, Known, episode_id
from lab.groups import IS_BEYOND, IS_FROZEN, IS_SPIKING, JUST, LOST, SPAN, Flags, Floats, Group, Ill, Layout, Seen
from lab.spikes import Spikes
from lab.tracker import SHOWN, Foreseen, Tracker
from models.detector import Forecast, Model, Result


class Member:
    """An asset as the scorer knows it."""

    def __init__(self, asset: Asset, layout: Layout) -> None:
        self.asset = asset
        self.layout = layout
        self.model: Model | None = None
        self.tracker: Tracker | None = None
        self.spikes: Spikes | None = None
        """None until a sensor leaps."""
        self.between: Between | None = None
        """None until a row comes that does not count."""
        self.begun = False
        """It has begun once, with a model or without."""
        self.goes_on = False
        """It began with what was known of its sensors before a gap."""


class Moved(NamedTuple):
    """What sensors did in rows (A, T) that is to be remembered."""

    spiked: Flags | None
    """(A, T, S) a spike has just ended; None for nowhere."""
    left: dict[int, dict[int, list[tuple[int, float, float]]]]
    """By asset and row, those that had leapt out of their usual values in the row before, from which and to which."""


class Stretch(NamedTuple):
    """Rows (T,) of an asset that is in an episode, or may be."""

    asset: int
    """Its place in the result."""
    t: list[int]
    values: Floats
    """(T, S) as shown."""
    prior: Floats
    """(S,) the row before these."""
    shift: Floats
    """(S,) how far the operating point that was accepted is from the normal record's."""
    periods: list[int]
    """Numbers of the rows, in periods of the asset's clock."""
    elapsed: list[int]
    """Periods since the row before each."""
    ill: Ill | None
    over: Flags | None
    """(T, S) marked as beyond the measuring range; None for nowhere."""
    spiked: Flags | None
    """(T, S) a spike has just ended; None for nowhere."""
    left: dict[int, list[tuple[int, float, float]]]
    """By row, the sensors that had leapt out of their usual values in the row before, from which value and to which."""
    glimpsed: dict[int, list[int]]
    """By row, the sensors that spiked since the one before it, in rows that do not count."""


def remember(
    member_of: Callable[[int], Member],
    group: Group,
    seen: Seen,
    busy: Flags | None,
    periods: Callable[[int, Sequence[int]], list[int]],
    glimpsed: Mapping[int, dict[int, list[int]]],
) -> Moved:
    """What to remember of rows (A, T); assets in no episode have it noted.

    Args:
        member_of: the assets by their place.
        group: theirs.
        seen: what was seen in the rows.
        busy: (A,) those in an episode, or that may be; None for none.
        periods: numbers of some rows of an asset, in periods of its clock.
        glimpsed: by asset and row, the sensors that spiked since the row before, in rows that do not count.
    """
    fresh = None if seen.spiked is None else seen.spiked == JUST
    spiking = set() if fresh is None else set((np.flatnonzero(fresh) // fresh[0].size).tolist())
    left: dict[int, dict[int, list[tuple[int, float, float]]]] = {}
    if seen.leaps is not None:
        for asset, row, sensor, origin, top in zip(*(each.tolist() for each in seen.leaps), strict=True):
            left.setdefault(asset, {}).setdefault(row, []).append((sensor, origin, top))
    for asset in sorted(spiking | left.keys() | glimpsed.keys()):
        member = member_of(asset)
        measured = member.layout.places(group.model).measured
        if fresh is not None:
            fresh[asset] &= measured
        of_asset = left.get(asset, {})
        for row, leaps in of_asset.items():
            of_asset[row] = [leap for leap in leaps if measured[leap[0]]]
        member.spikes = member.spikes or Spikes()
        if busy is not None and busy[asset]:
            continue
        spikes = set() if fresh is None else set(np.flatnonzero(fresh[asset].any(axis=1)).tolist())
        between = glimpsed.get(asset, {})
        which = sorted(spikes | of_asset.keys() | between.keys())
        for row, period in zip(which, periods(asset, which), strict=True):
            member.spikes.glimpse(period, between.get(row, ()))
            member.spikes.leave(period - 1, of_asset.get(row, ()))
            if fresh is not None and row in spikes:
                member.spikes.note(period, fresh[asset, row])
    return Moved(fresh if spiking else None, left)


def follow(
    member: Member,
    group: Group,
    result: Result,
    rows: Stretch,
    library: Callable[[str], Known | None],
    watch: Callable[[Tracker, int], None],
) -> list[Change]:
    """Open, feed and close an asset's episode along its rows (T,).

    Args:
        member: the asset.
        group: its group.
        result: of the detector.
        rows: the rows.
        library: what an episode is compared with, by its id.
        watch: called with the open episode after each row in alarm.
    """
    assert member.model is not None
    tracker, detector, changes = member.tracker, member.model.detector, list[Change]()
    alarms, scores = result.alarm[rows.asset].tolist(), result.score[rows.asset].tolist()
    shares, deviation = result.contributions[rows.asset], result.deviation[rows.asset]
    outside, places = group.outside(rows.values - rows.shift), member.layout.places(group.model)
    steers = places.steers if places.declared else None
    ill, spikes = rows.ill, member.spikes
    lost = None if ill is None else np.where(np.isin(ill.fault, LOST), ill.fault, 0)
    if spikes is None and lost is not None and lost.any():
        spikes = member.spikes = Spikes()
    lasting = np.zeros(rows.values.shape, dtype=np.bool_) if ill is None else ill.lasting
    for row, (t, period) in enumerate(zip(rows.t, rows.periods, strict=True)):
        fresh = None if rows.spiked is None or not rows.spiked[row].any() else rows.spiked[row]
        if spikes is not None:
            spikes.glimpse(period, rows.glimpsed.get(row, ()))
            spikes.leave(period - 1, rows.left.get(row, ()))
            if ill is not None:
                marked = ill.fault[row] == IS_BEYOND
                beyond = [] if rows.over is None else np.flatnonzero(rows.over[row] & marked).tolist()
                lasting[row, spikes.exceed(period, beyond)] = True
        if not alarms[row]:
            if spikes is not None and fresh is not None:
                spikes.note(period, fresh)
            failing = bool(lasting[row].any())
            if tracker is not None and (tracker.alarmed or not failing):
                changes += tracker.close(t)
                tracker = None
            if failing:
                assert ill is not None
                if tracker is None:
                    tracker = Tracker(member.asset.id, member.model.id, t, detector.sensors, detector.period_s)
                tracker.attend(t, scores[row], ill, row, lasting[row])
            if tracker is not None and spikes is not None and ill is not None and lost is not None:
                spikes.lose(period, lost[row], ill.run[row])
            continue
        ended: Tracker | None = None
        if tracker is not None and (not tracker.alarmed or tracker.parts(ill, row, spikes, period, steers)):
            changes += tracker.close(t)
            ended, tracker = tracker, None
        if tracker is None:
            known = library(episode_id(member.asset.id, t))
            before = rows.values[row - 1] if row else rows.prior
            tracker = Tracker(
                member.asset.id, member.model.id, t, detector.sensors, detector.period_s, known, prior=before
            )
            if ended is not None and ended.alarmed:
                tracker.succeed(ended)
        tracker.ended = False
        tracker.add(t, scores[row], shares[row], deviation[row], rows.values[row], outside[row], rows.elapsed[row])
        tracker.depart(rows.values[row], outside[row], (places.measured, group.moves))
        tracker.judge(ill, row, spikes, period)
        since = tracker.recent[-tracker.rows - 1 :] - rows.shift
        if not tracker.settled and tracker.rows <= SHOWN:
            spiked = np.zeros(len(detector.sensors), dtype=np.int32)
            if ill is not None:
                spiked[ill.fault[row] == IS_SPIKING] = ill.run[row, ill.fault[row] == IS_SPIKING]
            echoes = group.echoes(spiked, shares[row])
            tracker.began_with(group.burst(places, since), group.lone(places, since), echoes)
            if result.residual is not None and tracker.rows <= BEGUN:
                now = result.residual[rows.asset, row]
                if tracker.rows == 1:
                    tracker.residual = now.copy()
                elif tracker.failed is None:
                    wrong = group.wrong(places, since, tracker.residual, now)
                    if wrong is not None:
                        tracker.misread(*wrong)
                        spikes = member.spikes = spikes or Spikes()
        if spikes is not None:
            for sensor, origin in spikes.bursts(period, tracker.rows, group.far):
                if not tracker.settled:
                    tracker.returned(sensor, group.back(sensor, origin - rows.shift[sensor], since))
            tracker.recall(spikes, period, fresh)
            if ill is not None and lost is not None:
                spikes.lose(period, lost[row], ill.run[row])
                if (resting := tracker.resting(ill, row)) is not None:
                    spikes.stay(period, resting, IS_FROZEN, int(ill.run[row, resting]))
        if tracker.doubt and tracker.failed is not None and tracker.rows > BEGUN and result.residual is not None:
            at = detector.sensors.index(tracker.failed[0])
            now = result.residual[rows.asset, row]
            left = group.beside(at, tracker.doubt, tracker.rows - tracker.read, now)
            again = group.wrong(places, since[-SPAN:], tracker.residual, now, at) if tracker.again else None
            if tracker.doubts(left, scores[row], now, again) and spikes is not None:
                spikes.clear(at, period - tracker.rows)
        tracker.suspect(ill, row, lasting[row], [] if spikes is None else spikes.of_late(period))
        if steers is not None:
            tracker.blame(spikes, period, steers)
        if spikes is not None:
            tracker.report(spikes, period)
        if result.forecast is not None:
            frozen = () if ill is None else np.flatnonzero(ill.fault[row] == IS_FROZEN).tolist()
            back = () if fresh is None else np.flatnonzero(fresh).tolist()
            tracker.foresee(t, _ahead(result.forecast, rows.asset, row), frozen, back)
        watch(tracker, row)
    member.tracker = tracker
    if tracker is not None and (change := tracker.update()):
        changes.append(change)
    return changes


def _ahead(forecast: Forecast, asset: int, row: int) -> list[Foreseen]:
    """What a forecast says of an asset's row in alarm; nothing where no sensor has a limit."""
    if forecast.ahead is None or (at := forecast.ahead.row[asset, row]) < 0:
        return []
    return [Foreseen(*each) for each in zip(*(field[at].tolist() for field in forecast.ahead[1:]), strict=True)]
