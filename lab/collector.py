"""The collector: takes what gateways send, scores it, stores it, and only then acknowledges it.

One thread does all but the network, in ticks: drain the inbox, decode, score; commit at most `commit_s` later
(readings, scores, ledger, quarantine and catalogue together). Another waits for the disk, so that scoring does not;
when the commit is on it, the receipts are sent. When the store fails, the batch is kept and tried again, nothing more
is taken and nothing acknowledged: what does not fit in the inbox stays with its gateway.
"""

import gc
import logging
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from devices.frame import Birth, Command, Reply
from devices.quality import GOOD
from devices.topics import CORE_COMMAND, CORE_LIVE, CORE_REPLY, CORE_STATUS, topic
from lab.blocks import RowBlock, Scored, charts
from lab.catalogue import Catalogue, asset_channels
from lab.clock import EARLIEST_NS
from lab.config import Config
from lab.decode import AGAIN, LATE, SCORE, STORE, Binding, Layout, Rows, in_order
from lab.episodes import Kind
from lab.groups import NotPossible
from lab.historian import open_historian
from lab.historian.base import Batch, HistorianError, HistorianFull
from lab.housekeeping import Housekeeping
from lab.inbox import Inbox
from lab.intake import Intake
from lab.ledger import Book
from lab.live import Latency, Live, StoreState, build_status
from lab.pending import forget
from lab.quarantine import Quarantine
from lab.running import Lock
from lab.scoring import ScoringRuntime
from lab.sources import SECOND, Message, Sources
from lab.store import Store, is_full

log = logging.getLogger("lab.collector")

TURN_S: Final = (0.02, 0.04)
"""From one tick to the next: when many messages come, and when few do, whose price is that of the tick."""
MANY: Final = 100
"""Messages in a tick that are many."""
LATELY: Final = 50
"""Ticks, none of which took many, after which few messages come; one alone may be behind a commit."""
MAX_DRAIN: Final = 1000
"""Messages taken in one tick: not more than the scorer takes at once, so that what they become stays in the cache."""
MAX_STAGED: Final = 200_000
"""Readings in one commit; with more it comes before its time, so that scoring does not wait for long."""
FULL_STAGED: Final = 2_000_000
"""With so many the collector takes nothing before they are committed: the disk does not keep up."""
PATIENCE_S: Final = 0.5
"""While the historian's upkeep writes, a commit is put off for so long at most."""
RECEIPTS: Final = (50, 0.02)
"""Sent at a time: so many, or this part of those that wait. So nobody waits for longer than some seconds."""
RECEIPTS_S: Final = 0.1
WAL_PAGES: Final = 40_000
RETRY_S: Final = (0.5, 10.0)
LIVE_S: Final = 0.2
TIDY_S: Final = 3600.0
"""How often what scoring has noted of rows that are not kept any more is dropped."""
GONE_S: Final = 10.0
"""A gateway that said goodbye (or whose will came) so long ago has ended; what it sent before is scored by then."""
QUIET_S: Final = 60.0
"""So has one that says nothing for so long, and for twice the time after which its values are stale."""
CLIENT_ID: Final = "lab-collector"


class _Accept(msgspec.Struct, forbid_unknown_fields=True):
    asset: str


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    episode: str
    cause: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    kind: Kind | None = None


class _TakeBack(msgspec.Struct, forbid_unknown_fields=True):
    episode: str


class _Rename(msgspec.Struct, forbid_unknown_fields=True):
    asset: str
    cause: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] | None


class Collector:
    """Everything but the loop and the signals; `tick` does what is due."""

    def __init__(self, config: Config, inbox: Inbox) -> None:
        """Open the store and take up where the last collector ended.

        Raises:
            StoreError: the database cannot be used.
            HistorianError: the historian does not take its sensors yet; try again.
        """
        self.config = config
        self.inbox = inbox
        self._batches: list[tuple[Any, ...]] = []
        self._scores: list[tuple[NDArray[np.int32], NDArray[np.int64], Scored]] = []
        self._names: dict[int, str] = {}
        """Asset ids by the scorer's numbers."""
        self._assets: dict[str, dict[str, int]] = {}
        """The assets that each gateway has by now, with the scorer's numbers."""
        self._series: dict[str, NDArray[np.int32]] = {}
        """The historian's ids of score series, by name and the asset's number; -1 where not known yet."""
        self._late: dict[tuple[str, int], bool] = {}
        """Rows (asset, t) to be noted as not scored, or (False) to be crossed out."""
        self.rate = 0.0
        self.taken = deque([0], maxlen=LATELY)
        """Data messages taken in the last ticks."""
        self.staged = 0
        self._outside = False
        self._staged_at = self._due_at = 0.0
        self.trouble = ""
        """Why the store does not take readings; empty when it does."""
        self.full = False
        self._retry_at = 0.0
        self._pause = RETRY_S[0]
        self.commits = self.failed_commits = 0
        self._receipts_at = self._live_at = self._status_at = 0.0
        self._tidied_at = time.monotonic()
        self._last_readings = (time.monotonic(), 0)
        self._connections = 0
        self._began = time.time_ns()
        self.store = Store(config.database, synchronous="NORMAL")  # with `sync` before every receipt
        self._syncer = ThreadPoolExecutor(1, "sync")
        self._orders = deque[Message]()
        """What users ask for, not done yet."""
        self._replies: list[Reply] = []
        """To orders that were done, not committed yet."""
        self._replying: list[Reply] = []
        """The same, committed and on their way to the disk."""
        self._sync: Future[None] | None = None
        """The last commit on its way to the disk."""
        try:
            self.historian = open_historian(config, self.store)
            self.scoring = ScoringRuntime(config.models, self.store, config.scoring.accept_after_s)
            self.catalogue = Catalogue(self.store)
            self.book = Book(self.store)
            self.quarantine = Quarantine(self.store)
            self.sources = Sources(self.catalogue, self.book, self.quarantine, self.bind)
            self.intake = Intake(self.sources, self.quarantine)
            newest = max((known.seen for known in self.catalogue.gateways.values()), default=0)
            self.live = Live(newest)
            self.latency = Latency()
            self._layouts: dict[tuple[object, ...], Layout] = {}
            self.sources.restore()
            again = self.scoring.catch_up(self.historian)
            # The last collector may not have come to it, and what it stored is acknowledged again.
            self._sync = self._syncer.submit(self.store.sync)
        except BaseException:
            self.store.close()
            raise
        if again:
            log.info("scored %d rows again that were stored after the last snapshot", again)

    def close(self) -> None:
        """Commit and acknowledge what was taken, and close the store."""
        try:
            if self.commit(last=True):
                self.receipts(every=0)
        finally:
            self._syncer.shutdown()
            self.scoring.close()
            self.historian.close()
            self.store.close()

    def bind(self, birth: Birth, current: bool) -> Binding:
        """Give a gateway its place: historian ids, a slot in its layout, and the scorer's numbers if it is `current`.

        Raises:
            HistorianError: the historian cannot register the sensors now.
        """
        split = asset_channels(birth)
        keys = [""] * len(birth.channels)
        for asset, columns in split:
            for at in columns:
                keys[at] = f"{asset.id}/{birth.channels[at].tag}"
        ids = self.historian.ids(keys)
        if current:
            self._stage(self.intake.flush())  # what came before belongs to the assets as they were declared then
        numbers = []
        for asset, columns in split:
            number = self.scoring.declare(asset, [birth.channels[at] for at in columns]) if current else -1
            numbers.append((asset, number))
            if current:
                self._names[number] = asset.id
        key = Layout.key_of(birth)
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._layouts[key] = Layout(len(self._layouts), birth)
        slot = layout.bind(birth, ids, numbers)
        anew = current and self._take_leave(birth.gateway, {asset.id: number for asset, number in numbers})
        self.live.bound(layout, birth.gateway, current, anew)
        return Binding(layout, slot, layout.width)

    def _take_leave(self, gateway: str, now: dict[str, int]) -> bool:
        """End what is open of assets that a gateway has no more; whether its assets are others than before."""
        before, self._assets[gateway] = self._assets.get(gateway, now), now
        for id in before.keys() - now.keys():
            if self.catalogue.owners.get(id) == gateway:
                self.scoring.ended(before[id])
                self.live.left(id, before[id], len(self.scoring.scorer.members[before[id]].layout.channels))
        return list(before) != list(now)

    # one tick

    def tick(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if self._sync is not None and self._sync.done() and not self.trouble:
            self._synced()
        if self.trouble:
            if now >= self._retry_at:
                self._recover()
        else:
            if self.staged < FULL_STAGED:
                self._take(time.time_ns())
            waited = now - self._staged_at
            most = 0.0 if self._replies else self.config.historian.commit_s  # a user waits for them
            due = self._dirty and (waited >= most or self.staged > MAX_STAGED)
            self._due_at = (self._due_at or now) if due else 0.0
            if due and self._sync is None and (self.store.free() or now - self._due_at >= PATIENCE_S):
                self.commit(wait=False)
        if self.inbox.connected:
            self._talk(now)
        if now - self._status_at >= 1.0:
            self._second(now)

    @property
    def _dirty(self) -> bool:
        """Is there something to commit?"""
        told = self.book.changed or self.quarantine.waiting or self.catalogue.waiting or self.scoring.waiting
        return bool(self._batches or self._scores or self._replies or told)

    def _take(self, now: int) -> None:
        clean = not self._dirty
        inbox, sources = self.inbox, self.sources
        if inbox.control or self._orders:
            try:
                with self.store.transaction():  # many births come at once after a start: one commit for their sensors
                    self._each(inbox.control, len(inbox.control), self._control)
                self._each(self._orders, len(self._orders), self._order)  # what is told has commits of its own
            except sqlite3.Error as error:
                self._failed(error)
        if sources.ready:
            waited = deque(sources.ready)
            sources.ready = []
            self._each(waited, len(waited), self.intake.take)
            sources.ready[:0] = waited
        self.taken.append(min(MAX_DRAIN, len(inbox.data)))
        inbox.taken_bytes += self._each(inbox.data, self.taken[-1], self.intake.take)
        if not self.trouble:
            try:
                sources.settle(now)
            except HistorianError as error:
                self._failed(error)
        self.intake.overdue(now)
        self._stage(self.intake.flush())
        if clean and self._dirty:
            self._staged_at = time.monotonic()

    def _control(self, message: Message) -> None:
        if message[0] == CORE_COMMAND:
            if not message[2]:  # one that the broker kept is nobody's any more
                self._orders.append(message)
        else:
            self.sources.control(message)

    def _order(self, message: Message) -> None:
        """Do what a user asks for, and say what came of it."""
        try:
            command = msgspec.json.decode(message[1], type=Command)
        except msgspec.DecodeError as error:
            log.warning("a command that cannot be read is left out: %s", error)
            return
        done = self._obey(command)
        if done.ok:
            self._replies.append(done)  # what was done must be on the disk before it is said to be
        else:
            self.inbox.publish(CORE_REPLY, msgspec.json.encode(done))

    def _obey(self, command: Command) -> Reply:
        try:
            match command.op:
                case "accept":
                    asset = msgspec.convert(command.args, _Accept).asset
                    self.scoring.accept(asset)
                    self.live.accepted(self.catalogue.owners.get(asset, ""), asset)
                    return Reply(command.id, True, result={"asset": asset})
                case "unaccept":
                    asset = msgspec.convert(command.args, _Accept).asset
                    self.scoring.unaccept(asset)
                    self.live.accepted(self.catalogue.owners.get(asset, ""), asset)
                    return Reply(command.id, True, result={"asset": asset})
                case "label":
                    args = msgspec.convert(command.args, _Label)
                    library, cause = self.scoring.telling.label(args.episode, args.cause, args.kind)
                    return Reply(command.id, True, result={"episode": args.episode, "cause": cause, "library": library})
                case "take_back":
                    episode = msgspec.convert(command.args, _TakeBack).episode
                    before = self.scoring.telling.take_back(episode)
                    return Reply(command.id, True, result={"episode": episode, "cause": before})
                case "rename":
                    its = msgspec.convert(command.args, _Rename)
                    name, episodes = self.scoring.telling.rename(its.asset, its.cause, its.name)
                    return Reply(command.id, True, result={"cause": name, "episodes": episodes})
                case _:
                    return Reply(
                        command.id,
                        False,
                        f"no command {command.op!r}; want accept, unaccept, label, take_back or rename",
                    )
        except KeyError as error:
            missing = next((name for name, given in command.args.items() if given == error.args[0]), None)
            return Reply(command.id, False, f"{error.args[0]} is not known", {"missing": missing})
        except NotPossible as error:
            return Reply(command.id, False, str(error), {"code": error.code})
        except (ValueError, msgspec.ValidationError) as error:
            return Reply(command.id, False, str(error))

    def _each(self, queue: deque[Message], count: int, take: Callable[[Message], None]) -> int:
        """Take messages off a queue while the store is ready for them; gives the bytes of their payloads."""
        size = 0
        if not self.trouble:
            try:
                for _ in range(count):
                    message = queue[0]
                    take(message)
                    queue.popleft()
                    size += len(message[1])
            except HistorianError as error:
                self._failed(error)
        return size

    def _stage(self, stages: Sequence[Sequence[Rows]]) -> None:
        """Score the rows and keep them for the next commit."""
        for stage in stages:
            layouts: dict[Layout, list[Rows]] = {}
            for rows in stage:
                readings = rows.readings()
                if readings is not None:
                    self._batches.append(readings)
                    self.staged += len(readings[0])
                    self.live.rows(rows)
                if rows.todo is not None:
                    self._note_order(rows)
                layouts.setdefault(rows.layout, []).append(rows)
            for layout, group in layouts.items():
                self._score(layout, group)

    def _score(self, layout: Layout, group: list[Rows]) -> None:
        slot, t, v, q = in_order(group)
        if not len(slot):
            return
        for number, part in enumerate(layout.parts):
            block = RowBlock(part.assets[slot], t, part.pick(v), part.pick(q))
            scored = self.scoring.ingest(block)
            self._keep([*scored.earlier, (block, scored)])
            self.live.scored(layout, number, slot, scored)
        now = time.time_ns()
        for rows in group:
            last = rows.t[rows.samples - 1 :: rows.samples]
            if rows.todo is not None:  # what had to wait for its turn says nothing of how fast we are
                last = last[rows.todo[rows.samples - 1 :: rows.samples] == STORE | SCORE]
            self.latency.add(now - last)

    def _keep(self, results: Sequence[tuple[RowBlock, Scored]]) -> None:
        """Keep scores for the next commit."""
        for block, scored in results:
            self._scores.append((block.asset, block.t, scored))
            self.intake.counters.scored += int(np.count_nonzero(np.isfinite(scored.score)))
            self.intake.counters.late += int(np.count_nonzero(scored.late))
            for what, episode in scored.changes:
                if what != "updated":
                    log.info("asset %s: %s episode %s, peak %.2f", episode.asset, episode.kind, what, episode.peak)

    # the store

    def commit(self, *, last: bool = False, wait: bool = True) -> bool:
        """Store all that was taken; false when the store failed, and the same is to be tried again.

        Args:
            last: nothing follows.
            wait: until it is on the disk; else `tick` sees to that.
        """
        if self._sync is not None and not self._synced():
            return False
        try:
            batch = self._batch()
            if batch is not None and self.config.historian.kind == "influx" and not self._outside:
                self.historian.write(batch)
                self._outside = True
            with self.store.transaction() as db:
                if batch is not None and not self._outside:
                    self.historian.write(batch)
                self.book.save(db)
                self.quarantine.save(db)
                self.catalogue.save(db)
                self._save_late(db)
                self.scoring.save(force=last)
        except (HistorianError, sqlite3.Error) as error:
            self._failed(error)
            return False
        self.book.committed()
        self.quarantine.committed()
        self.catalogue.committed()
        self.intake.counters.readings += self.staged
        self.commits += 1
        self._batches.clear()
        self._scores.clear()
        self._late.clear()
        self.staged = 0
        self._outside = False
        self._replying += self._replies
        self._replies = []
        self._sync = self._syncer.submit(self.store.sync)
        return not wait or self._synced()

    def _synced(self) -> bool:
        """Wait until the last commit is on the disk; false when the disk failed, and it is to be tried again."""
        try:
            if self._sync is not None:
                self._sync.result()
        except OSError as error:
            if self.trouble:
                try:
                    self.store.sync_again()
                except sqlite3.Error as again:
                    self._failed(again)
                    return False
            else:
                self._failed(error)
                return False
        self._sync = None
        for reply in self._replying:
            self.inbox.publish(CORE_REPLY, msgspec.json.encode(reply))
        self._replying = []
        return True

    def _batch(self) -> Batch | None:
        """The readings and the scores as one batch."""
        columns = list(self._batches)
        if self._scores:
            assets, times, results = zip(*self._scores, strict=True)
            asset, t = np.concatenate(assets), np.concatenate(times)
            for name, values in charts(results).items():
                there = np.isfinite(values)
                whose, at = asset, t
                if not there.all():
                    whose, at, values = asset[there], t[there], values[there]
                if len(values):
                    ids = self._score_ids(name, whose)
                    columns.append((ids, at, values, np.full(len(ids), GOOD, dtype=np.uint8)))
        if not columns:
            return None
        return Batch(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    def _save_late(self, db: sqlite3.Connection) -> None:
        if self._late:
            noted = [row for row, unscored in self._late.items() if unscored]
            crossed = [row for row, unscored in self._late.items() if not unscored]
            db.executemany("INSERT OR IGNORE INTO late (asset, t) VALUES (?, ?)", noted)
            db.executemany("DELETE FROM late WHERE asset = ? AND t = ?", crossed)

    def _failed(self, error: Exception) -> None:
        full = isinstance(error, HistorianFull) or (isinstance(error, sqlite3.Error) and is_full(error))
        if str(error) != self.trouble:
            why = str(error).rstrip(".")
            log.error("the store does not take readings: %s. They stay with their gateways; trying again", why)
        self.trouble, self.full = str(error), full
        self.failed_commits += 1
        self._retry_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, RETRY_S[1])

    def _recover(self) -> None:
        if not self._synced() or (self._dirty and not self.commit()):
            return
        log.warning("the store takes readings again")  # as loud as the trouble was: the console shows both
        self.trouble, self.full, self._pause = "", False, RETRY_S[0]

    def _score_ids(self, name: str, asset: NDArray[np.int32]) -> NDArray[np.int32]:
        """The historian's ids of the series `{asset}/~{name}` (M,), given the assets' numbers (M,)."""
        ids = self._series.get(name)
        if ids is None or len(ids) < len(self._names):
            grown = np.full(len(self._names) + 64, -1, dtype=np.int32)
            grown[: 0 if ids is None else len(ids)] = -1 if ids is None else ids
            ids = self._series[name] = grown
        found = ids[asset]
        if (found < 0).any():
            missing = np.unique(asset[found < 0])
            ids[missing] = self.historian.ids([f"{self._names[number]}/~{name}" for number in missing.tolist()])
            found = ids[asset]
        return found

    def _note_order(self, rows: Rows) -> None:
        """Note rows that are stored before or without being scored; those that wait are crossed out when scored."""
        assert rows.todo is not None
        unscored, released = (rows.todo & (STORE | SCORE | AGAIN)) == STORE, (rows.todo & (STORE | SCORE)) == SCORE
        self.intake.counters.late += int(((rows.todo & LATE) != 0).sum())
        for part in rows.layout.parts:
            for at in np.flatnonzero(unscored | released).tolist():
                self._late[part.names[int(rows.slot[at])], int(rows.t[at])] = bool(unscored[at])

    # what is told

    def _talk(self, now: float) -> None:
        if self.inbox.connections != self._connections:
            self._connections = self.inbox.connections
            self._status_at = 0.0
        if now - self._receipts_at >= RECEIPTS_S:
            self._receipts_at = now
            self.receipts()
        for source in self.sources.rebirths:
            command = Command(f"rebirth-{source.asked // 1_000_000}", "rebirth")
            self.inbox.publish(topic(source.path, source.id, "cmd"), msgspec.json.encode(command))
            log.info("gateway %s is asked who it is: its frames name channels that no birth has told", source.id)
        self.sources.rebirths.clear()
        if now - self._live_at >= LIVE_S:
            self._live_at = now
            rates = {"readings_s": self.rate, "missing": self.book.totals["missing"]}
            frame = self.live.frame(time.time_ns(), self._describe, rates)
            if frame is not None and not self.inbox.publish(CORE_LIVE, frame):
                self.live.dropped += 1

    def receipts(self, every: int = SECOND) -> None:
        """Acknowledge what is committed; nothing while that is not on the disk."""
        if self._sync is not None:
            return
        least, part = RECEIPTS
        at_most = max(least, int(part * len(self.book.due))) if every else len(self.book.due)
        for ledger in self.book.receipts(time.monotonic_ns(), every, at_most):
            known, ack = self.catalogue.gateways.get(ledger.gateway), ledger.ack()
            if known is not None and ack is not None:
                self.inbox.publish(topic(known.path, ledger.gateway, "ack"), msgspec.json.encode(ack))

    def _describe(self, asset: str, number: int) -> Mapping[str, Any]:
        gateway = self.catalogue.gateways.get(self.catalogue.owners.get(asset, ""))
        source = self.sources.all.get((gateway.path, gateway.id)) if gateway else None
        online = gateway is not None and gateway.state == "online" and source is not None and not source.stale
        online = online and gateway is not None and asset in self._assets.get(gateway.id, ())
        return {"online": online, **self.scoring.describe(number)}

    def _end_episodes(self, now: int) -> None:
        """Close the open episodes of assets whose gateway has gone; they open again if its rows go on after all."""
        for number in self.scoring.open_episodes():
            owner = self.catalogue.owners.get(self._names.get(number, ""), "")
            gateway = self.catalogue.gateways.get(owner)
            source = self.sources.all.get((gateway.path, gateway.id)) if gateway else None
            if gateway is None or source is None:
                continue  # its birth was refused since: nobody's episode to judge
            quiet = (now - max(source.seen, self._began)) / SECOND
            if quiet > (GONE_S if gateway.state == "offline" else max(QUIET_S, 2 * source.expire_ns / SECOND)):
                self.scoring.ended(number)
                self.live.mark(owner)

    def _second(self, now: float) -> None:
        at = time.time_ns()
        keep = self.config.historian.keep_days
        self.intake.earliest = EARLIEST_NS if keep is None else max(EARLIEST_NS, at - int(keep * 86400 * SECOND))
        # While messages queue up, nobody is quiet who has one waiting.
        taken = self.inbox.data[0][3] if self.inbox.data else at
        self.sources.watch(taken)
        self._keep(self.scoring.poll())  # rows that waited for a model, also when no other rows come
        self._end_episodes(taken)
        for gateway in self.sources.moved:
            self.live.mark(gateway)
        self.sources.moved.clear()
        readings = self.intake.counters.readings
        then, before = self._last_readings
        self.rate = round((readings - before) / max(now - then, 1e-3), 1)
        self._last_readings = (now, readings)
        self._status_at = now
        if self.inbox.connected:
            store = StoreState(self.trouble, self.full, self.commits, self.failed_commits, self.staged)
            status = build_status(at, self.inbox, self.sources, self.intake, self.live, self.latency, store, self.rate)
            self.inbox.publish(CORE_STATUS, orjson.dumps(status), retain=True)
        self.latency.next_second()
        if now - self._tidied_at >= TIDY_S and not self.trouble:
            self._tidied_at = now
            self._tidy()

    def _tidy(self) -> None:
        try:
            oldest = self.historian.stats().oldest
            if oldest is not None:
                with self.store.transaction() as db:
                    forget(db, oldest)
        except (HistorianError, sqlite3.Error) as error:
            self._failed(error)


def tune() -> None:
    """Settings of the interpreter for a process that does this all the time."""
    # Frames are short-lived lists in great numbers, and in no cycles: look for those more rarely.
    gc.set_threshold(100_000, 20, 50)
    # The network thread needs the interpreter for an instant only; it must not wait 5 ms for it.
    sys.setswitchinterval(0.001)


def turn_s(taken: int) -> float:
    """Seconds from one tick to the next when none of late took more than so many messages."""
    return TURN_S[0] if taken >= MANY else TURN_S[1]


def run(config: Config, stop: threading.Event) -> None:
    """Collect until `stop` is set; then commit, acknowledge and close.

    Raises:
        StoreError: the database cannot be used.
        AlreadyRunning: another collector works on this data directory.
    """
    lock = Lock(config.data / "run" / "collector")
    tune()
    inbox = Inbox(config.broker, CLIENT_ID)
    try:
        collector = _open(config, inbox, stop)
        if collector is None:
            return
        keeper = Housekeeping(config)
        keeper.start()
        # The upkeep also writes the WAL back into the file, beside us; we do so only should it be unable to.
        collector.store.db.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        inbox.start()
        try:
            due = watched = time.monotonic()
            while not stop.is_set():
                collector.tick()
                if due - watched >= 1.0:
                    watched = due
                    keeper.watch(collector.rate)
                # A tick that took too long is not made up for: the next one takes what has gathered.
                pause = 0.0 if len(inbox.data) > MAX_DRAIN else turn_s(max(collector.taken))
                due = max(due + pause, time.monotonic())
                stop.wait(max(0.0, due - time.monotonic()))
            collector.tick()
        finally:
            keeper.stop()
            collector.close()
            inbox.close()
    finally:
        lock.release()


def _open(config: Config, inbox: Inbox, stop: threading.Event) -> Collector | None:
    pause = RETRY_S[0]
    while not stop.is_set():
        try:
            return Collector(config, inbox)
        except HistorianError as error:
            log.error("the store does not take readings: %s. Trying again", str(error).rstrip("."))
            stop.wait(pause)
            pause = min(2 * pause, RETRY_S[1])
    return None
