"""The proof that nothing was lost: per gateway and boot, which sequence numbers were taken, and which are missing.

A gateway counts its frames 0, 1, 2, … within a boot. What was sent is accepted, rejected (it is in the quarantine), a
duplicate (sent again, already there) or missing, and nothing else:

    published = accepted + duplicates + rejected + missing

`published` is the highest number seen plus one, plus the re-sends. A frame that arrives with a known number but another
content is a *fork*: two senders use one name, or somebody forges. It is kept in the quarantine and counted apart.
"""

import json
import sqlite3
from array import array
from bisect import bisect_right
from enum import IntEnum
from typing import Final

from devices.frame import Ack
from lab.store import Store, room

WINDOW: Final = 256
"""So many of the newest frames are remembered by their content, to tell a re-send from a fork."""
MAX_GAPS: Final = 1000
"""More separate gaps than this are not opened: the frame waits for its re-send."""
MAX_ACK_RANGES: Final = 200
"""Missing ranges in one receipt; the rest follows when these are filled."""
MAX_ASKS: Final = 60
"""A gateway that does not answer is asked for missing frames so often, then again when it says something."""
COUNTS: Final = ("accepted", "duplicates", "rejected", "unsequenced", "forks", "published")

room(
    "ledger",
    """CREATE TABLE ledger (
        gateway TEXT NOT NULL, boot INTEGER NOT NULL, upto INTEGER NOT NULL, missing TEXT NOT NULL,
        accepted INTEGER NOT NULL, duplicates INTEGER NOT NULL, rejected INTEGER NOT NULL,
        unsequenced INTEGER NOT NULL, forks INTEGER NOT NULL, published INTEGER NOT NULL, seen INTEGER NOT NULL,
        PRIMARY KEY (gateway, boot)) WITHOUT ROWID""",
    "ALTER TABLE ledger RENAME TO ledger_before",
    """CREATE TABLE ledger (
        id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, boot INTEGER NOT NULL, upto INTEGER NOT NULL,
        missing TEXT NOT NULL, accepted INTEGER NOT NULL, duplicates INTEGER NOT NULL, rejected INTEGER NOT NULL,
        unsequenced INTEGER NOT NULL, forks INTEGER NOT NULL, published INTEGER NOT NULL, seen INTEGER NOT NULL,
        UNIQUE (gateway, boot))""",
    """INSERT INTO ledger (gateway, boot, upto, missing, accepted, duplicates, rejected, unsequenced, forks, published,
        seen) SELECT * FROM ledger_before""",
    "DROP TABLE ledger_before",
)


class Verdict(IntEnum):
    """What a sequence number says about its frame."""

    NEW = 0
    DUPLICATE = 1
    FORK = 2
    CROWDED = 3
    """Too many gaps are open; not taken now, the gateway will send it again."""


class Ledger:
    """The account of one gateway's boot: every number below `next` was taken, but those in `gaps`."""

    __slots__ = (
        "_digests",
        "accepted",
        "acked",
        "asked",
        "boot",
        "duplicates",
        "forks",
        "gaps",
        "gateway",
        "id",
        "next",
        "rejected",
        "saved",
        "saved_gaps",
        "saved_next",
        "seen",
        "unsequenced",
    )

    def __init__(self, gateway: str, boot: int) -> None:
        self.gateway = gateway
        self.boot = boot
        self.next = 0
        """The highest number taken, plus one."""
        self.gaps: list[tuple[int, int]] = []
        """Missing ranges below `next`, both ends included, in order, apart from each other."""
        self.accepted = 0
        self.duplicates = 0
        self.rejected = 0
        self.unsequenced = 0
        self.forks = 0
        self.seen = 0
        """When its last frame came, ns."""
        self.acked = 0
        """When its last receipt was sent, ns of the monotonic clock."""
        self.asked = 0
        """Receipts sent since its last frame."""
        self.id = 0
        """Of its row in the store."""
        self.saved = (0,) * len(COUNTS)
        """`counts` as the store has them."""
        self.saved_next = 0
        self.saved_gaps: tuple[tuple[int, int], ...] = ()
        """`next` and `gaps` as the store has them: only that is acknowledged."""
        self._digests: array[int] | None = None

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers behind the proof, in the order of `COUNTS`."""
        published = self.next + self.duplicates
        return self.accepted, self.duplicates, self.rejected, self.unsequenced, self.forks, published

    @property
    def missing(self) -> int:
        """How many numbers below `next` were never seen."""
        return sum(last - first + 1 for first, last in self.gaps)

    @property
    def published(self) -> int:
        """What the gateway has sent as far as its numbers tell, re-sends included."""
        return self.next + self.duplicates

    @property
    def first_missing(self) -> int:
        """The lowest number not taken."""
        return self.gaps[0][0] if self.gaps else self.next

    def see(self, s: int, digest: int) -> Verdict:
        """Look a frame's number up and mark it as taken when it is new; count what is not.

        The caller adds a new one to `accepted` or to `rejected`. `digest` is a 64-bit hash of the content; only the
        last `WINDOW` frames since this process started can be compared.
        """
        if s == self.next:
            self.next = s + 1
        elif s > self.next:
            if len(self.gaps) >= MAX_GAPS:
                return Verdict.CROWDED
            self.gaps.append((self.next, s - 1))
            self.next = s + 1
        else:
            at = bisect_right(self.gaps, s, key=_first) - 1
            if at < 0 or s > self.gaps[at][1]:
                known = self._digests[s % WINDOW] if self._digests and s >= self.next - WINDOW else 0
                if known and known != digest:
                    self.forks += 1
                    return Verdict.FORK
                self.duplicates += 1
                return Verdict.DUPLICATE
            first, last = self.gaps[at]
            if first < s < last and len(self.gaps) >= MAX_GAPS:
                return Verdict.CROWDED
            self.gaps[at : at + 1] = [part for part in ((first, s - 1), (s + 1, last)) if part[0] <= part[1]]
        if s >= self.next - WINDOW:
            if self._digests is None:
                self._digests = array("q", bytes(8 * WINDOW))
            self._digests[s % WINDOW] = digest
        return Verdict.NEW

    def advance(self, digest: int, at: int) -> None:
        """Mark the next number as taken: `see` for the frame that comes in its order, at `at` ns."""
        if self._digests is None:
            self._digests = array("q", bytes(8 * WINDOW))
        self._digests[self.next % WINDOW] = digest
        self.next += 1
        self.seen = at

    def ack(self) -> Ack | None:
        """The receipt of what is stored; None while nothing is."""
        gaps = self.saved_gaps
        if not self.saved_next:
            return None
        if len(gaps) <= MAX_ACK_RANGES:
            return Ack(self.boot, self.saved_next - 1, list(gaps))
        return Ack(self.boot, gaps[MAX_ACK_RANGES][0] - 1, list(gaps[:MAX_ACK_RANGES]))

    def committed(self) -> None:
        """Note that the store has all of it now."""
        self.saved, self.saved_next = self.counts, self.next
        self.saved_gaps = tuple(self.gaps) if self.gaps else ()


def _first(gap: tuple[int, int]) -> int:
    return gap[0]


class Book:
    """All ledgers, read from the store when they are first wanted, written with the readings they account for."""

    def __init__(self, store: Store) -> None:
        self._db = store.db
        self._ledgers: dict[tuple[str, int], Ledger] = {}
        self.changed: dict[Ledger, None] = {}
        """Differ from the store until `committed`, in the order of their frames, which is much that of their rows."""
        self._written: list[tuple[int, ...]] = []
        """Their counts as they were saved."""
        self._gained = [0] * len(COUNTS)
        """What these are more than before."""
        self.due: dict[Ledger, None] = {}
        """Wait for a receipt, the longest waiting first."""
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in COUNTS)
        self._last, *self._totals = self._db.execute(f"SELECT coalesce(max(id), 0), {sums} FROM ledger").fetchone()

    @property
    def totals(self) -> dict[str, int]:
        """Sums over all ledgers as they stand in the store, `missing` among them."""
        totals = dict(zip(COUNTS, self._totals, strict=True))
        totals["missing"] = totals["published"] - totals["accepted"] - totals["duplicates"] - totals["rejected"]
        return totals

    def get(self, gateway: str, boot: int) -> Ledger:
        """The ledger of a boot, as it was left or new."""
        ledger = self._ledgers.get((gateway, boot))
        if ledger is None:
            ledger = self._ledgers[gateway, boot] = Ledger(gateway, boot)
            row = self._db.execute(
                "SELECT id, upto, missing, accepted, duplicates, rejected, unsequenced, forks, seen FROM ledger "
                "WHERE gateway = ? AND boot = ?",
                (gateway, boot),
            ).fetchone()
            if row:
                ledger.id, upto, missing, *counts = row
                ledger.next = upto + 1
                ledger.gaps = [(first, last) for first, last in json.loads(missing)]
                ledger.accepted, ledger.duplicates, ledger.rejected, ledger.unsequenced, ledger.forks = counts[:5]
                ledger.seen = counts[5]
                ledger.committed()
            else:
                self._last = ledger.id = self._last + 1
        return ledger

    def owe(self, ledger: Ledger) -> None:
        """A gateway came back: give it its receipt, and ask it again for what is missing."""
        ledger.asked = 0
        self.due[ledger] = None

    def boots(self, gateway: str) -> list[int]:
        """Boots of a gateway whose receipt matters to it: the newest, and those with frames missing."""
        rows = self._db.execute("SELECT boot, missing FROM ledger WHERE gateway = ? ORDER BY boot DESC", (gateway,))
        return [boot for n, (boot, missing) in enumerate(rows.fetchall()) if n == 0 or missing != "[]"]

    def save(self, db: sqlite3.Connection) -> None:
        """Write what changed; inside the transaction of the readings."""
        steps, rows, self._written, self._gained = [], [], [], [0] * len(COUNTS)
        accepted = published = 0
        for it in self.changed:
            counted, saved = it.counts, it.saved
            self._written.append(counted)
            if it.saved_next and not it.gaps and not it.saved_gaps and counted[1:5] == saved[1:5]:  # as nearly all
                steps.append((it.next - 1, counted[0], counted[5], it.seen, it.id))
                accepted += counted[0] - saved[0]
                published += counted[5] - saved[5]
            else:
                gaps = json.dumps(it.gaps) if it.gaps else "[]"
                rows.append((it.id, it.gateway, it.boot, it.next - 1, gaps, *counted, it.seen))
                self._gained = [sum(of) for of in zip(self._gained, counted, (-n for n in saved), strict=True)]
        self._gained[0] += accepted
        self._gained[5] += published
        db.executemany("UPDATE ledger SET upto = ?, accepted = ?, published = ?, seen = ? WHERE id = ?", steps)
        db.executemany("INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def committed(self) -> None:
        """The transaction went through that `save` wrote into: what changed wants a receipt."""
        for it, counted in zip(self.changed, self._written, strict=True):
            it.saved, it.saved_next = counted, it.next
            it.saved_gaps = tuple(it.gaps) if it.gaps else ()
            it.asked = 0
        self._totals = [sum(of) for of in zip(self._totals, self._gained, strict=True)]
        self.due.update(self.changed)
        self.changed = {}

    def receipts(self, now: int, every: int, at_most: int) -> list[Ledger]:
        """Ledgers to acknowledge now, the longest waiting first: each at most once in `every` ns, at most so many.

        They tell of what was committed, so only to be asked while the last commit is known to be on the disk. One with
        frames missing stays due until they have come.
        """
        ready: list[Ledger] = []
        for ledger in list(self.due):
            if now - ledger.acked < every and ledger.acked:
                continue
            if len(ready) >= at_most:
                break
            ready.append(ledger)
            ledger.acked = now
            ledger.asked += 1
            del self.due[ledger]
            if ledger.gaps and ledger.asked < MAX_ASKS:
                self.due[ledger] = None
        return ready
