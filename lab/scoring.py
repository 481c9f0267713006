"""The scoring runtime of the collector: which model scores which asset, live and again after a restart.

Its parts: the folder of models (`lab.modelfiles`), assets that learn (`lab.learning`), what users tell of episodes
(`lab.telling`), snapshots (`lab.snapshots`), and what is to be written (`lab.pending`). What a model file says is
copied into the database when it comes into use, with the row from which it is used, so that
`lab.rescoring.replay_scores` gives for stored readings exactly what was given live.
"""

import logging
import time
import zlib
from collections.abc import Iterable, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec
import numpy as np

from devices.frame import Asset, Channel
from lab.blocks import RowBlock, Scored
from lab.episodes import Change, Known, find_episode
from lab.groups import Layout
from lab.historian.base import Historian
from lab.learning import Learned, Learning
from lab.modelfiles import ModelFiles
from lab.naming import file_name
from lab.pending import Pending
from lab.rescoring import (
    Behind,
    Segment,
    Stretch,
    segments,
    stored_blocks,
    stored_library,
    stored_model,
    stored_rows,
    stretches,
)
from lab.scorer import NEVER, Run, Scorer
from lab.snapshots import take_up_snapshot, write_snapshots
from lab.store import Store
from lab.telling import Telling
from models.detector import Model, ModelError

log = logging.getLogger("lab.scoring")

DRIFTS_S: Final = 1.0
"""How often the drifts are found anew."""
TOLD: Final = 3
"""Causes in the live frame."""
TOGETHER: Final = 50_000
"""Series read at a time when many assets are scored again."""
SNAPSHOT_S: Final = 30.0
"""Seconds from one snapshot to the next, with up to a thousand assets."""


class ScoringRuntime:
    """Scores what the collector takes; one thread uses it, the collector's."""

    def __init__(self, models: Path, store: Store, accept_after_s: float | None = None) -> None:
        """
        Args:
            models: folder of the model files, `asset-{id}.model` before `{kind}.model`, and likewise of the libraries
                of causes, `*.causes.json`.
            store: the database, for writing.
            accept_after_s: take where an asset stands for normal when an episode of the process has lasted so long,
                seconds of the asset's own clock, without a limit in sight; None: only when the user says so.
        """
        self.store = store
        self.accept_after_s = accept_after_s
        self.pending = Pending(store)
        self.files = ModelFiles(models, self.pending, self._choose_all)
        self.scorer = Scorer(self._library)
        self.telling = Telling(self.files, self.scorer, self.pending)
        self._drifts: dict[int, float] = {}
        self._drifts_at = -DRIFTS_S
        self._catching_up = False
        self._restored: MutableMapping[str, Known] = {}
        """Libraries of the episodes that are taken up, by id: all at the start, then those that one still has."""
        self.learning = Learning()
        self._again: set[tuple[int, int]] = set()
        """Rows scored from the store at the start: a gateway may send them once more."""
        self._snapshot_at = time.monotonic()
        self._declared: set[int] = set()
        self._undecided: set[int] = set()
        """Assets taken up from a snapshot that have not looked for a newer model yet."""
        self.files.look()

    def close(self) -> None:
        """End the learning thread; safe to call twice."""
        self.learning.close()

    # assets and models

    def declare(self, asset: Asset, channels: Sequence[Channel]) -> int:
        """Enter an asset with its channels, or what they are now; returns its number, the same one every time.

        At the first time its last snapshot is taken up; `catch_up` then brings it to the last stored row.
        """
        before = self.scorer.declared(asset.id)
        number = self.scorer.declare(asset, channels)
        member, last = self.scorer.members[number], int(self.scorer.last[number])
        if before is not None and last != NEVER and before != (member.asset.clock, member.layout):
            content = zlib.compress(msgspec.json.encode(before[1].channels))
            self.pending.news.former.append((asset.id, last, before[0], content))
        self.learning.declare(number, member.asset, member.layout.channels)
        if number not in self._declared:
            self._declared.add(number)
            if take_up_snapshot(self.store, self.scorer, number, self._stored_library):
                self._undecided.add(number)
                return number
        if number not in self._undecided:
            self._choose(number)
        return number

    def describe(self, number: int) -> dict[str, Any]:
        """What the live frame says of an asset beside its last row, see docs/architecture.md."""
        member = self.scorer.members[number]
        if time.monotonic() - self._drifts_at >= DRIFTS_S:
            self._drifts, self._drifts_at = self.scorer.drifts(), time.monotonic()
        told: dict[str, Any] = {
            "limit": member.model.detector.limit if member.model else None,
            "warm": self.scorer.warm(number),
            "drift": self._drifts.get(number),
            "episode": None,
            "episode_kind": None,
            "failed": None,
            "suspects": [],
            "upset": [],
            "cause": None,
            "causes": [],
            "unknown": None,
            "outlook": None,
            "instruments": [list(each) for each in self.scorer.instruments(number)],
        }
        tracker = self.scorer.tracker(number)
        if tracker is not None:
            match = tracker.match() if not tracker.instrument or tracker.moving else None
            told |= {
                "episode": tracker.id,
                "episode_kind": "instrument" if tracker.instrument else "process",
                "failed": tracker.whose,
                "suspects": tracker.named_suspects(),
                "upset": tracker.moving,
                "outlook": None if tracker.outlook is None else msgspec.to_builtins(tracker.outlook),
            }
            if match is not None:
                told["cause"] = match.cause if not tracker.instrument else None
                told["unknown"] = round(match.unknown, 4)
                told["causes"] = [(name, round(chance, 4)) for name, chance in match.causes[:TOLD]]
        return told

    def _library(self, number: int, id: str) -> Known | None:
        """With what an episode that begins is compared; one that is in the database already, as it was then."""
        if self._catching_up and (noted := find_episode(self.store, id)) is not None:
            return None if noted.library is None else self._stored_library(noted.library)
        member = self.scorer.members[number]
        return self.files.library(member.asset, member.model.detector.sensors if member.model is not None else ())

    def _stored_library(self, id: str) -> Known | None:
        """A library that episodes were compared with; those that are taken up share one as well."""
        known = self._restored.get(id) or stored_library(self.store, id)
        if known is not None:
            self._restored[id] = known
        return known

    def _choose_all(self) -> None:
        """Use what the files say from the assets' next rows on."""
        for number in range(len(self.scorer.members)):
            self._choose(number)

    def _choose(self, number: int) -> None:
        """Use the model that the files say, or learn one."""
        asset = self.scorer.members[number].asset
        for name in (f"asset-{asset.id}.model", f"{file_name(asset.kind)}.model"):
            if self.files.has(name):
                model = self.files.model(name)
                if model is None:
                    return  # unreadable: go on with what is there
                if self.scorer.fits(number, model):
                    self.learning.drop(number)
                    self._use(number, model)
                    return
                log.warning("%s: asset %s has less than half of its sensors: not used", name, asset.id)
        if (model := self.files.made(asset.kind)) is not None and self.scorer.fits(number, model):
            self._use(number, model)
            return
        self._use(number, None)
        self.learning.begin(number, asset, self.scorer.members[number].layout.channels)

    def _use(self, number: int, model: Model | None) -> None:
        member = self.scorer.members[number]
        if model is not None and (member.model is None or member.model.id != model.id):
            log.info("asset %s is scored with model %s", member.asset.id, model.id)
        self.scorer.use(number, model)

    # rows

    def ingest(self, block: RowBlock) -> Scored:
        """Score a block of rows. Nothing of it is in the database before `save`."""
        self.files.look_again()
        for number in self._undecided:
            self._choose(number)
        self._undecided.clear()
        earlier = self.poll() if self.learning else []
        learners = self.learning.rows_of(block)
        scored = self.scorer.ingest(block)
        for number, rows in learners:
            fresh = rows[~scored.late[rows]]
            if len(fresh):
                self.learning.add(number, block.pick(fresh))
        self._note(block, scored)
        if self.accept_after_s is not None and scored.alarm.any():
            self._accept_lasting(self.accept_after_s)
        return scored._replace(earlier=earlier) if earlier else scored

    def poll(self) -> list[tuple[RowBlock, Scored]]:
        """Take up models that were learned since; rows that had waited for them, with their scores."""
        waited = []
        if self.learning.ready:
            self.files.look()  # what the user has put there meanwhile is not written over
        for learned in self.learning.finished():
            self._use_learned(learned)
            if len(learned.rest.t):
                scored = self.scorer.ingest(learned.rest)
                self._note(learned.rest, scored)
                waited.append((learned.rest, scored))
        return waited

    def _use_learned(self, learned: Learned) -> None:
        number, first = learned.number, learned.first
        about = {"rows": len(first.t), "from": int(first.t[0]), "to": int(first.t[-1])}
        name = f"asset-{self.scorer.members[number].asset.id}.model"
        self._use(number, self.files.add(name, learned.detector, about))
        # the scorer has seen these rows pass by; they are not late for having waited
        self.scorer.last[number] = first.t[-1]

    def _note(self, block: RowBlock, scored: Scored) -> None:
        """Keep for `save` what there is to tell."""
        news = self.pending.news
        for _, episode in scored.changes:
            news.episodes[episode.id] = episode
        if self.scorer.runs:
            # what is scored again began as it says there
            news.runs += [run for run in self.scorer.runs if not (self._catching_up and self._noted(run))]
            self.scorer.runs = []
        for row in np.flatnonzero(scored.late).tolist() if scored.late.any() else ():
            key = (int(block.asset[row]), int(block.t[row]))
            if key not in self._again:
                news.late.append((self.scorer.members[key[0]].asset.id, key[1]))

    def _noted(self, run: Run) -> bool:
        query = "SELECT 1 FROM run WHERE asset = ? AND t = ?"
        return self.store.db.execute(query, (run.asset, run.t)).fetchone() is not None

    # the user's word

    def accept(self, asset: str) -> None:
        """Take where an asset stands now for normal, from its next row on.

        Raises:
            KeyError: no such asset.
            NotPossible: it is not scored, or its model cannot.
        """
        self._accept(self.scorer.number(asset))
        log.info("asset %s: where it stands is taken for normal", asset)

    def unaccept(self, asset: str) -> None:
        """Forget what was accepted of an asset: from its next row on normal is what its model learnt.

        Raises:
            KeyError: no such asset.
            NotPossible: nothing was accepted, or it is not scored yet.
        """
        self._turned(self.scorer.unaccept(self.scorer.number(asset)))
        log.info("asset %s: what its model learnt is normal again", asset)

    def _accept(self, number: int) -> None:
        self._turned(self.scorer.accept(number))

    def _turned(self, change: Change | None) -> None:
        """Note what came of a user's word on where an asset stands."""
        if change is not None:
            self.pending.news.episodes[change.episode.id] = change.episode
        self.pending.news.runs += self.scorer.runs
        self.scorer.runs = []

    def _accept_lasting(self, after_s: float) -> None:
        for number in self.scorer.in_episode():
            tracker = self.scorer.tracker(number)
            if tracker is None or tracker.instrument or tracker.periods * tracker.period_s < after_s:
                continue
            if tracker.beside is not None:  # what a failed sensor shows is no operating point
                continue
            if tracker.outlook is not None and tracker.outlook.in_sight:
                continue
            asset = self.scorer.members[number].asset.id
            try:
                self._accept(number)
            except ValueError:
                continue  # a model that cannot
            log.info(
                "asset %s: after %g s without a limit in sight where it stands is taken for normal", asset, after_s
            )

    # the end of a stream

    def open_episodes(self) -> list[int]:
        """Numbers of the assets with an open episode."""
        return self.scorer.in_episode()

    def ended(self, number: int) -> None:
        """Nothing more comes of an asset for now: its open episode ends with its last scored row.

        Should its rows go on without a gap after all, so does the episode, and nothing of the scores is different.
        """
        change = self.scorer.end(number)
        if change is not None:
            self.pending.news.episodes[change.episode.id] = change.episode
            log.info("asset %s has gone: its episode is closed", change.episode.asset)

    # the database

    @property
    def waiting(self) -> bool:
        """Whether episodes or the user's word wait to be saved."""
        return self.pending.waiting

    def save(self, force: bool = False) -> None:
        """Write episodes, and at times snapshots, into the transaction that the caller has begun.

        Args:
            force: snapshots in any case (at the end).
        """
        with self.store.transaction() as db:
            self.pending.write(db)
            # many assets are many bytes: write them less often
            wait = SNAPSHOT_S * max(1.0, len(self.scorer.members) / 1000)
            if force or time.monotonic() - self._snapshot_at >= wait:
                self._snapshot_at = time.monotonic()
                self._again.clear()
                write_snapshots(db, self.scorer)

    # after a restart

    def catch_up(self, historian: Historian) -> int:
        """Score again what was stored after the last snapshots; to be called once, when the known assets are declared.

        Returns:
            Rows scored again.
        """
        self._catching_up = True
        try:
            behind: dict[Layout, list[Behind]] = {}
            total = 0
            for number in range(len(self.scorer.members)):
                if (each := self._goes_on(number)) is not None:
                    behind.setdefault(self.scorer.members[number].layout, []).append(each)
                else:
                    total += self._catch_up(historian, number)
            total += sum(self._catch_up_together(historian, assets) for assets in behind.values())
        finally:
            self._catching_up = False
        self._undecided.clear()
        self._restored = WeakValueDictionary(self._restored)  # assets are declared later as well
        self._end_lost_episodes()
        self.telling.take_up()
        return total

    def _goes_on(self, number: int) -> Behind | None:
        """An asset of which nothing has changed since its snapshot; None for any other."""
        member, known = self.scorer.members[number], int(self.scorer.last[number])
        id = member.asset.id
        if number in self.learning or segments(self.store, id, known) != [Segment(known + 1, None, "")]:
            return None
        query = "SELECT 1 FROM former WHERE asset = ? AND t > ?"
        changed = self.store.db.execute(query, (id, known)).fetchone() is not None
        return None if changed else Behind(number, id, member.layout.channels, known)

    def _catch_up_together(self, historian: Historian, assets: list[Behind]) -> int:
        """Many at a time: one by one, each would go through the rows of all."""
        assets.sort(key=lambda each: each.after)
        many, total = max(1, TOGETHER // len(assets[0].channels)), 0
        for first in range(0, len(assets), many):
            for block in stored_blocks(historian, self.store, assets[first : first + many]):
                self._again.update(zip(block.asset.tolist(), block.t.tolist(), strict=True))
                self._note(block, self.scorer.ingest(block))
                total += len(block.t)
        for each in assets:
            self._choose(each.number)
        return total

    def _catch_up(self, historian: Historian, number: int) -> int:
        member, total = self.scorer.members[number], 0
        asset, declared = member.asset, member.layout.channels
        known = int(self.scorer.last[number])
        pieces = segments(self.store, asset.id, known)
        member.begun, back = member.begun or bool(pieces), known != NEVER
        if known == NEVER and not pieces and number in self.learning:
            pieces = [Segment(0, None, "")]
        for piece in pieces:
            if piece.accept:
                if change := self.scorer.accept_again(number, piece.offset):
                    self.pending.news.episodes[change.episode.id] = change.episode
            elif piece.model != "":
                try:
                    id = piece.model
                    model = None if id is None else self.scorer.model(id) or stored_model(self.store, id)
                    self.scorer.use(number, model, piece.offset, again=True, trend=piece.trend)
                    if piece.clock:
                        self.scorer.forget(number)
                except ModelError as error:
                    log.warning("asset %s: %s", asset.id, error)
                    break
                if model is None:
                    self.learning.begin(number, asset, declared)  # whatever it was then: its rows come as of now
                else:
                    self.learning.drop(number)
            parts: Iterable[Stretch] = [Stretch(piece.start, piece.end, asset, declared)]
            if number not in self.learning:  # else the rows are put in the columns of now
                parts = stretches(self.store, asset, declared, piece.start, piece.end)
            for start, end, its, channels in parts:
                self.scorer.declare(its, channels, back)
                back = False
                for t, v, q in stored_rows(historian, self.store, asset.id, channels, start, end):
                    self._again.update((number, at) for at in t.tolist())
                    self._take_again(number, RowBlock(np.full(len(t), number, dtype=np.int32), t, v, q))
                    total += len(t)
        self.scorer.declare(asset, declared)
        self._choose(number)
        return total

    def _take_again(self, number: int, block: RowBlock) -> None:
        scored = self.scorer.ingest(block)
        if number in self.learning and self.scorer.members[number].model is None:
            self.learning.add(number, block)
            if self.learning.wait(number):  # so that what follows is scored with it
                self.poll()
        self._note(block, scored)

    def _end_lost_episodes(self) -> None:
        """Close episodes in the database that no asset carries on (its snapshot could not be taken up).

        Those whose stream had ended when the last collector stopped are so again.
        """
        carried = {id: number for number in self.scorer.in_episode() if (id := self.scorer.episode(number)) is not None}
        for id, number in carried.items():
            noted, tracker = find_episode(self.store, id), self.scorer.tracker(number)
            if noted is not None and tracker is not None and noted.end == tracker.last:
                self.ended(number)
        with self.store.transaction() as db:
            for id, end in db.execute('SELECT id, peak_at FROM episode WHERE "end" IS NULL').fetchall():
                if id not in carried and id not in self.pending.news.episodes:
                    db.execute('UPDATE episode SET "end" = ? WHERE id = ?', (end, id))
