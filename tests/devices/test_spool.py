import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.spool import Spool, SpoolError, SpoolFull


@contextlib.contextmanager
def spool(path: Path, **options: object) -> Iterator[Spool]:
    opened = Spool(path, **options)  # type: ignore[arg-type]
    try:
        yield opened
    finally:
        opened.close()


def sequences(opened: Spool, limit: int = 10**6) -> list[int]:
    return [s for _, s, _ in opened.read(limit=limit)]


def test_frames_stay_until_acknowledged_and_keep_their_boot(tmp_path):
    with spool(tmp_path / "a.db") as first:
        assert first.append([(s, b"%d" % s) for s in range(10)]) == 0
        assert first.acknowledge(first.boot, 5, [(2, 3)]) == 4
        assert sequences(first) == [2, 3, 6, 7, 8, 9]
    with spool(tmp_path / "a.db") as second:
        assert second.boot > first.boot
        second.append([(0, b"new")])
        assert second.read() == [
            *((first.boot, s, b"%d" % s) for s in (2, 3, 6, 7, 8, 9)),
            (second.boot, 0, b"new"),
        ]
        assert second.read(after=(first.boot, 6), until=(first.boot, 8)) == [
            (first.boot, 7, b"7"),
            (first.boot, 8, b"8"),
        ]
        assert second.acknowledge(first.boot, 100) == 6
        assert sequences(second) == [0]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(-1, 30),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)).map(lambda p: (p[0], p[0] + p[1])), max_size=4),
)
def test_a_receipt_deletes_what_it_covers_and_nothing_else(tmp_path_factory, upto, missing):
    with spool(tmp_path_factory.mktemp("spool") / "a.db") as opened:
        opened.append([(s, b"x") for s in range(25)])
        opened.acknowledge(opened.boot + 1, 1000)
        opened.acknowledge(opened.boot, upto, missing)
        lost = {s for first, last in missing for s in range(first, last + 1)}
        assert sequences(opened) == [s for s in range(25) if s > upto or s in lost]
        opened.append([])
        stats = opened.stats()
        assert (stats.frames, stats.payload_bytes) == (len(sequences(opened)), len(sequences(opened)))


def test_a_boot_is_never_counted_twice_even_when_the_file_is_lost(tmp_path, monkeypatch):
    boots = []
    for start in (1_764_000_000, 1_764_000_000, 1_763_000_000, 1_764_000_100):  # the clock may go back
        monkeypatch.setattr(time, "time", lambda start=start: start)
        with spool(tmp_path / "a.db") as opened:
            boots.append(opened.boot)
    (tmp_path / "a.db").unlink()
    monkeypatch.setattr(time, "time", lambda: 1_764_000_200)
    with spool(tmp_path / "a.db") as opened:
        boots.append(opened.boot)
    assert boots == sorted(set(boots))


@pytest.mark.parametrize(("drop", "kept"), [("oldest", range(15, 20)), ("newest", range(5))])
def test_the_size_is_bounded_and_what_is_dropped_is_counted(tmp_path, drop, kept):
    with spool(tmp_path / "a.db", max_bytes=5 * (100 + 40), drop=drop) as opened:
        assert sum(opened.append([(s, bytes(100)), (s + 1, bytes(100))]) for s in range(0, 20, 2)) == 15
        assert sequences(opened) == list(kept)
        assert opened.stats().dropped == 15
        opened.acknowledge(opened.boot, 20)
        assert opened.append([(20, b"")]) == 0
    with spool(tmp_path / "a.db") as opened:
        assert opened.stats().dropped == 15


def test_a_full_disk_keeps_nothing_of_the_batch_and_everything_before(tmp_path):
    with spool(tmp_path / "a.db") as opened:
        opened.append([(0, b"first")])
        opened.acknowledge(opened.boot, 0)
        opened._db.execute("PRAGMA max_page_count=20")
        with pytest.raises(SpoolFull, match=r"a\.db.*free some space"):
            opened.append([(s, bytes(4000)) for s in range(1, 100)])
        assert sequences(opened) == [0]  # the deletion was rolled back with it: sent once more, not lost
        assert opened.stats().frames == 1
        opened._db.execute("PRAGMA max_page_count=100000")
        opened.append([(s, bytes(4000)) for s in range(1, 100)])
        assert sequences(opened) == list(range(100))


def test_a_second_process_is_refused(tmp_path):
    with spool(tmp_path / "a.db") as opened:
        opened.append([(0, b"x")])
        with pytest.raises(SpoolError, match="another process"):
            Spool(tmp_path / "a.db")


def test_files_that_are_no_spools(tmp_path):
    (tmp_path / "text.db").write_text("not a database, and long enough to be seen as not one" * 100)
    with pytest.raises(SpoolError, match=r"text\.db: not a usable spool"):
        Spool(tmp_path / "text.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "newer.db")) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(SpoolError, match="newer lab"):
        Spool(tmp_path / "newer.db")
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="cannot open"):
        Spool(tmp_path / "file" / "a.db")


def test_births_stay_as_long_as_their_frames(tmp_path):
    for number in range(3):
        with spool(tmp_path / "a.db") as opened:
            opened.put_birth(b"birth %d" % number)
            if number < 2:
                opened.append([(0, b"x")])
            if number == 2:
                assert opened.earlier_births() == [b"birth 0", b"birth 1"]
                opened.acknowledge(opened.read()[0][0], 0)
                assert opened.earlier_births() == [b"birth 1"]


def test_bytes_written_count_the_log_and_what_goes_back(tmp_path):
    with spool(tmp_path / "a.db") as opened:
        for s in range(300):
            opened.append([(s, bytes(20_000))])
            opened.acknowledge(opened.boot, s)
        stats = opened.stats()
        assert stats.commits == 300
        assert stats.bytes_written > 300 * 20_000  # every payload was written at least once
        assert (tmp_path / "a.db-wal").stat().st_size < 3_000_000
        opened.settle()
    assert (tmp_path / "a.db").stat().st_size < 1_000_000  # pages are used again


WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from devices.spool import Spool
    spool = Spool(Path(sys.argv[1]))
    print(spool.boot, flush=True)
    s = 0
    while True:
        spool.append([(s + i, b"%d" % (s + i)) for i in range(3)])
        s += 3
        print(s, flush=True)
        if s % 30 == 0:
            spool.acknowledge(spool.boot, s - 20)
    """
)


def test_kill_9_loses_nothing_that_was_committed(tmp_path):
    rng = random.Random(5)
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "a.db")], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout
            boot = int(writer.stdout.readline())
            lines = [writer.stdout.readline() for _ in range(rng.randrange(20, 80))]
            writer.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            told = int([*lines, *writer.stdout.readlines()][-1])
        with spool(tmp_path / "a.db") as opened:
            assert opened.boot > boot
            kept = [(s, payload) for b, s, payload in opened.read(limit=10**6) if b == boot]
            deleted = max(0, (told + 3) // 30 * 30 - 20 + 1)  # it may have been one batch further than it told
            assert told - deleted > 10
            assert set(range(deleted, told)) <= {s for s, _ in kept}
            assert all(payload == b"%d" % s for s, payload in kept)
            opened.acknowledge(boot, 10**9)
