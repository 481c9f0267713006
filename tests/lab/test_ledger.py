"""The ledger against a plain set of numbers, whatever the order, the repeats and the restarts."""

import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lab.ledger import COUNTS, MAX_ACK_RANGES, MAX_ASKS, MAX_GAPS, WINDOW, Book, Ledger, Verdict
from lab.store import MIGRATIONS, Store

NUMBERS = st.integers(0, 60) | st.integers(0, 2000)


def taken(ledger: Ledger) -> set[int]:
    """The numbers a ledger holds for taken."""
    missing = {n for first, last in ledger.gaps for n in range(first, last + 1)}
    return set(range(ledger.next)) - missing


class Sequences(RuleBasedStateMachine):
    """Frames in any order; a set is the truth."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger("g", 1)
        self.truth: set[int] = set()
        self.received = 0

    @rule(s=NUMBERS, rejected=st.booleans())
    def receive(self, s: int, rejected: bool) -> None:
        verdict = self.ledger.see(s, digest=s + 1)
        assert verdict is (Verdict.DUPLICATE if s in self.truth else Verdict.NEW)
        self.received += 1
        if verdict is Verdict.NEW:
            self.truth.add(s)
            if rejected:
                self.ledger.rejected += 1
            else:
                self.ledger.accepted += 1

    @rule(count=st.integers(1, 40))
    def go_on(self, count: int) -> None:
        for _ in range(count):
            self.receive(self.ledger.next, rejected=False)

    @rule(s=st.integers(0, WINDOW - 1), digest=st.integers(3000, 4000))
    def forge(self, s: int, digest: int) -> None:
        s = self.ledger.next - 1 - s
        if s in self.truth:
            before = self.ledger.forks
            assert self.ledger.see(s, digest) is Verdict.FORK
            assert self.ledger.forks == before + 1

    @invariant()
    def holds_what_came(self) -> None:
        assert taken(self.ledger) == self.truth

    @invariant()
    def gaps_are_ordered_and_apart(self) -> None:
        gaps = self.ledger.gaps
        assert all(first <= last for first, last in gaps)
        assert all(a[1] + 1 < b[0] for a, b in pairwise(gaps))

    @invariant()
    def every_frame_is_accounted_for(self) -> None:
        ledger = self.ledger
        assert ledger.published == ledger.accepted + ledger.duplicates + ledger.rejected + ledger.missing
        assert ledger.accepted + ledger.duplicates + ledger.rejected == self.received
        assert ledger.missing == ledger.next - len(self.truth)

    @invariant()
    def the_receipt_tells_no_more_than_was_taken(self) -> None:
        self.ledger.committed()
        ack = self.ledger.ack()
        if ack is None:
            assert not self.truth
            return
        covered = set(range(ack.upto + 1)) - {n for first, last in ack.missing for n in range(first, last + 1)}
        assert covered <= self.truth
        if len(self.ledger.gaps) <= MAX_ACK_RANGES:
            assert covered == self.truth


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def accept(ledger: Ledger, *numbers: int) -> list[Verdict]:
    """Take frames whose content is their number."""
    verdicts = [ledger.see(s, s + 1) for s in numbers]
    ledger.accepted += verdicts.count(Verdict.NEW)
    return verdicts


def test_a_swapped_pair_is_one_gap_that_was_filled() -> None:
    ledger = Ledger("g", 1)
    accept(ledger, *range(7), 8)
    assert ledger.gaps == [(7, 7)]
    accept(ledger, 7, 9)
    assert ledger.gaps == []
    assert (ledger.missing, ledger.accepted, ledger.duplicates, ledger.published) == (0, 10, 0, 10)


def test_exactly_256_frames_lost_are_seen() -> None:
    ledger = Ledger("g", 1)
    accept(ledger, 0, 257)
    assert ledger.missing == 256


def test_a_re_send_older_than_the_window_counts_as_a_duplicate_whatever_its_content() -> None:
    ledger = Ledger("g", 1)
    accept(ledger, *range(WINDOW + 5))
    assert ledger.see(0, digest=999) is Verdict.DUPLICATE
    assert ledger.see(WINDOW, digest=999) is Verdict.FORK
    assert (ledger.duplicates, ledger.forks) == (1, 1)


def test_a_flood_of_gaps_is_bounded_and_what_is_refused_can_come_again() -> None:
    ledger = Ledger("g", 1)
    accept(ledger, *range(1, 2 * MAX_GAPS, 2))
    assert len(ledger.gaps) == MAX_GAPS
    assert ledger.see(2 * MAX_GAPS + 5, 1) is Verdict.CROWDED
    accept(ledger, *range(0, 2 * MAX_GAPS, 2))
    assert not ledger.gaps
    assert ledger.see(2 * MAX_GAPS + 5, 1) is Verdict.NEW


def test_a_receipt_with_many_gaps_stops_before_those_it_cannot_list() -> None:
    ledger = Ledger("g", 1)
    accept(ledger, *range(1, 1001, 2))
    assert ledger.ack() is None  # nothing of it is stored
    ledger.committed()
    ack = ledger.ack()
    assert ack is not None
    assert len(ack.missing) == MAX_ACK_RANGES
    assert ack.upto == 2 * MAX_ACK_RANGES - 1


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "lab.db") as store:
        yield store


def save(book: Book, store: Store) -> None:
    with store.transaction() as db:
        book.save(db)
    book.committed()


def test_ledgers_come_back_after_a_restart_as_they_were_committed(store: Store) -> None:
    book = Book(store)
    ledger = book.get("g", 3)
    accept(ledger, 0, 1, 5, 5)
    ledger.forks, ledger.unsequenced, ledger.seen = 2, 4, 99
    book.changed[ledger] = None
    save(book, store)
    accept(ledger, 2, 9)  # not committed: lost with the process

    again = Book(store).get("g", 3)
    assert (again.gaps, again.next, again.counts, again.seen) == ([(2, 4)], 6, (3, 1, 0, 4, 2, 7), 99)
    assert again.see(2, 3) is Verdict.NEW
    assert again.see(5, 777) is Verdict.DUPLICATE  # what it held is not remembered across restarts


def test_totals_follow_the_commits(store: Store) -> None:
    book = Book(store)
    for gateway in ("a", "b"):
        ledger = book.get(gateway, 1)
        accept(ledger, 0, 2, 2)
        book.changed[ledger] = None
    assert book.totals["published"] == 0
    save(book, store)
    expected = dict(zip(COUNTS, (4, 2, 0, 0, 0, 8), strict=True)) | {"missing": 2}
    assert book.totals == expected
    assert Book(store).totals == expected


def test_a_receipt_once_a_second_and_again_while_something_is_missing(store: Store) -> None:
    second = 10**9
    book = Book(store)
    whole, gappy = book.get("whole", 1), book.get("gappy", 1)
    accept(whole, 0, 1)
    accept(gappy, 0, 2)
    book.changed |= {whole: None, gappy: None}
    assert book.receipts(second, second, 10) == []  # nothing is committed yet
    save(book, store)
    assert set(book.receipts(2 * second, second, 10)) == {whole, gappy}
    assert book.receipts(int(2.5 * second), second, 10) == []
    assert book.receipts(3 * second, second, 10) == [gappy]
    asked = sum(gappy in book.receipts((4 + n) * second, second, 10) for n in range(2 * MAX_ASKS))
    assert asked == MAX_ASKS - 2  # a gateway that is gone is not asked for ever
    book.owe(gappy)
    assert book.receipts(1000 * second, second, 10) == [gappy]


def test_receipts_take_turns_when_there_are_too_many(store: Store) -> None:
    book = Book(store)
    ledgers = [book.get(f"g{n}", 1) for n in range(5)]
    for ledger in ledgers:
        accept(ledger, 0)
        book.changed[ledger] = None
    save(book, store)
    first = book.receipts(10**9, 10**9, 3)
    second = book.receipts(10**9 + 1, 10**9, 3)
    assert len(first) == 3
    assert {*first, *second} == set(ledgers)


def test_the_boots_that_matter_are_the_newest_and_those_with_gaps(store: Store) -> None:
    book = Book(store)
    for boot, numbers in ((1, (0, 1)), (2, (0, 2)), (3, (0, 1))):
        accept(book.get("g", boot), *numbers)
        book.changed[book.get("g", boot)] = None
    save(book, store)
    assert book.boots("g") == [3, 2]


def fail(book: Book, db: sqlite3.Connection) -> None:
    """Save into a transaction that comes to nothing."""
    book.save(db)
    raise OSError("the disk is full")


def test_what_a_failed_commit_undid_is_written_by_the_next(store: Store) -> None:
    book = Book(store)
    ledger = book.get("g", 1)
    for number in range(3):
        ledger.advance(1, 100 + number)
        ledger.accepted += 1
        book.changed[ledger] = None
        with pytest.raises(OSError, match="full"), store.transaction() as db:
            fail(book, db)
        assert book.totals["accepted"] == number
        save(book, store)
    again = Book(store)
    assert (again.get("g", 1).counts, again.get("g", 1).seen) == ((3, 0, 0, 0, 0, 3), 102)
    assert again.totals == book.totals == dict(zip(COUNTS, (3, 0, 0, 0, 0, 3), strict=True)) | {"missing": 0}


def test_the_table_of_before_is_brought_up_to_date(tmp_path: Path) -> None:
    statements = MIGRATIONS["ledger"]
    try:
        MIGRATIONS["ledger"] = statements[:1]
        with Store(tmp_path / "lab.db") as store:
            store.db.execute("INSERT INTO ledger VALUES ('g', 2, 9, '[[3,4]]', 7, 1, 1, 0, 0, 11, 99)")
    finally:
        MIGRATIONS["ledger"] = statements
    with Store(tmp_path / "lab.db") as store:
        book = Book(store)
        kept, new = book.get("g", 2), book.get("h", 1)
        assert (kept.gaps, kept.next, kept.counts, kept.seen) == ([(3, 4)], 10, (7, 1, 1, 0, 0, 11), 99)
        accept(kept, 3, 4)
        accept(new, 0)
        book.changed |= {kept: None, new: None}
        save(book, store)
        assert Book(store).get("g", 2).counts == (9, 1, 1, 0, 0, 11)
        assert Book(store).get("h", 1).counts == (1, 0, 0, 0, 0, 1)
