"""The embedded historian: transactions, compaction step by step, retention, a full disk, damage."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.historian import compaction
from lab.historian.base import Batch, HistorianError, HistorianFull
from lab.historian.check import check, repair
from lab.historian.chunks import HOUR, chunk_id, split_id
from lab.historian.compaction import Compactor
from lab.historian.embedded import EmbeddedHistorian
from lab.historian.upkeep import Upkeep
from lab.store import Store
from tests.lab.historian_child import KEYS, T, batch, small_steps
from tests.lab.test_historian_crash import model, stored

DAY = 24 * HOUR


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lab.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path, synchronous="NORMAL") as one:
        yield one


@pytest.fixture
def historian(store: Store) -> EmbeddedHistorian:
    return EmbeddedHistorian(store)


@pytest.fixture
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOG_ROWS", "COMMIT_ROWS", "GROUP_SENSORS", "MANY_PARTS"):
        monkeypatch.setattr(compaction, name, getattr(compaction, name))  # so that it is put back
    small_steps()


def readings(historian: EmbeddedHistorian, key: str, t: list[int], v: float | list[float] = 1.5) -> Batch:
    n = len(t)
    return Batch(
        np.repeat(historian.ids([key]), n),
        np.array(t, np.int64),
        np.broadcast_to(np.array(v, np.float64), n),
        np.zeros(n, np.uint8),
    )


def times(historian: EmbeddedHistorian, key: str) -> list[int]:
    return historian.read([key], 0, 2**63 - 1)[key].t.tolist()


def undone(store: Store, work: Callable[[], Any]) -> Any:
    """The result of work in a transaction that is then undone."""
    result = None
    with contextlib.suppress(KeyError), store.transaction():
        result = work()
        raise KeyError
    return result


# transactions


def test_a_batch_joins_the_open_transaction(store: Store, historian: EmbeddedHistorian) -> None:
    undone(store, lambda: historian.write(readings(historian, "p/x", [T])))
    assert times(historian, "p/x") == []
    with store.transaction() as db:
        db.execute("CREATE TABLE beside (upto INTEGER)")
        historian.write(readings(historian, "p/x", [T + 1]))
        assert times(historian, "p/x") == [T + 1]
        with Store(store.path, readonly=True) as reader:
            assert times(EmbeddedHistorian(reader), "p/x") == []
    with Store(store.path, readonly=True) as reader:
        assert times(EmbeddedHistorian(reader), "p/x") == [T + 1]


def test_ids_outlive_the_transaction_they_were_made_in(path: Path, store: Store, historian: EmbeddedHistorian) -> None:
    """Once given out, an id is its sensor's, also when the transaction around it is undone."""
    kept = undone(store, lambda: historian.ids(["p/a", "p/b"]))
    assert historian.ids(["p/c"]).tolist() == [2]
    batch = Batch(kept, np.array([T, T + 1]), np.array([1.0, 2.0]), np.zeros(2, np.uint8))
    with store.transaction():
        undone(store, lambda: historian.write(batch))
        historian.write(batch)
    with Store(path) as other:
        again = EmbeddedHistorian(other)
        assert again.keys() == ("p/a", "p/b", "p/c")
        assert times(again, "p/b") == [T + 1]
        assert check(other).problems == []


def test_ids_of_a_transaction_that_was_undone_are_used_by_the_next_write(
    path: Path, store: Store, historian: EmbeddedHistorian
) -> None:
    undone(store, lambda: historian.ids(["p/a"]))
    historian.write(readings(historian, "p/a", [T]))
    with Store(path, readonly=True) as other:
        assert EmbeddedHistorian(other).latest(["p/a"])["p/a"].t == T


def test_a_read_only_store(path: Path, historian: EmbeddedHistorian) -> None:
    historian.write(readings(historian, "p/x", [T]))
    with Store(path, readonly=True) as reader:
        other = EmbeddedHistorian(reader)
        assert other.ids(["p/x"]).tolist() == [0]
        with pytest.raises(HistorianError, match="readonly"):
            other.ids(["p/new"])
        with pytest.raises(HistorianError, match="readonly"):
            other.write(readings(other, "p/x", [T + 1]))


# compaction


@pytest.mark.usefixtures("_small_steps")
@pytest.mark.parametrize("anew", [False, True])
def test_reading_is_the_same_after_every_step(path: Path, historian: EmbeddedHistorian, anew: bool) -> None:
    """Each step leaves all readings as they were, told by a reader; `anew`: each by a compactor that knows nothing."""
    historian.ids(KEYS)
    rng = np.random.default_rng(3)
    with Store(path, readonly=True) as reader, Store(path, synchronous="NORMAL") as own:
        compactor = EmbeddedHistorian(own)
        done = 0
        for _ in range(25):
            for _ in range(int(rng.integers(0, 12))):
                historian.write(batch(done))
                done += 1
            for _ in range(int(rng.integers(0, 25))):
                if anew:
                    compactor = EmbeddedHistorian(own)
                compactor.compact(0.0, everything=bool(rng.random() < 0.2))
            assert stored(reader) == model(done)
            found = check(reader)
            assert found.problems == []
        latest = compactor.latest(KEYS)
        newest: dict[int, int] = {}
        for sensor, t in model(done):
            newest[sensor] = max(t, newest.get(sensor, 0))
        assert {KEYS.index(key): reading.t for key, reading in latest.items()} == newest
        while compactor.compact(1.0, everything=True):
            pass
        assert stored(reader) == model(done)
        assert check(reader)[:3] == (len(model(done)), len(KEYS), 0)
        parts = {split_id(row)[2] for (row,) in own.db.execute("SELECT id FROM historian_chunk")}
        assert parts == {0}


@pytest.mark.usefixtures("_small_steps")
@pytest.mark.parametrize("rows", [1, 11, 12, 13, 24])
@pytest.mark.parametrize("steps", range(1, 14))
def test_writing_between_steps(store: Store, historian: EmbeddedHistorian, rows: int, steps: int) -> None:
    """However many rows a job has and wherever it is, what is written meanwhile is none of them."""
    historian.ids(KEYS)
    for number in range(rows):
        historian.write(batch(number))
    for _ in range(steps):
        historian.compact(0.0, everything=True)
    historian.write(batch(rows))
    for _ in range(4):
        historian.compact(0.0, everything=True)
    assert stored(store) == model(rows + 1)
    assert check(store).problems == []


@pytest.mark.usefixtures("_small_steps")
def test_two_compactions_at_once(path: Path, historian: EmbeddedHistorian, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one (a command beside the collector) may come between what the first has read and its commit."""
    historian.ids(KEYS)
    with Store(path, synchronous="NORMAL") as one, Store(path, synchronous="NORMAL") as two:
        first, second = EmbeddedHistorian(one), EmbeddedHistorian(two)
        transaction = one.transaction
        rng = np.random.default_rng(4)

        def after_the_other() -> object:
            if not one.in_transaction:
                for _ in range(int(rng.choice([0, 0, 1, 3, 30]))):
                    second.compact(0.0, everything=bool(rng.random() < 0.8))
            return transaction()

        monkeypatch.setattr(one, "transaction", after_the_other)
        done = 0
        for _ in range(300):
            if rng.random() < 0.15:
                historian.write(batch(done))
                done += 1
            first.compact(0.0, everything=bool(rng.random() < 0.5))
        assert done > 20
        assert check(two).problems == []
        assert stored(two) == model(done)


def test_when_the_log_is_moved(store: Store, historian: EmbeddedHistorian) -> None:
    """An hour stays in the log until it is over, by the clock of the readings and not after the wall's."""
    start = T // HOUR * HOUR

    def log() -> int:
        return int(store.db.execute("SELECT count(*) FROM historian_log").fetchone()[0])

    compactor = Compactor(store, now=lambda: start + 10 * DAY)
    for minute in range(61):
        historian.write(readings(historian, "p/x", [start + minute * 60 * 10**9]))
    compactor.run(10)
    assert log() == 61
    historian.write(readings(historian, "p/x", [start + HOUR + 200 * 10**9]))
    behind = Compactor(store, now=lambda: start + HOUR - 1)
    behind.run(10)
    assert log() == 62
    compactor.run(10)
    assert log() == 2
    assert store.db.execute("SELECT id, n FROM historian_chunk").fetchall() == [(chunk_id(start // HOUR, 0, 0), 60)]
    assert len(times(historian, "p/x")) == 62


def test_late_readings_are_merged_into_their_hour(store: Store, historian: EmbeddedHistorian) -> None:
    start = T // HOUR * HOUR
    historian.write(readings(historian, "p/x", [start + n * 10**9 for n in range(0, 3600, 2)]))
    historian.write(readings(historian, "p/y", [start + 5]))
    historian.compact(10, everything=True)
    historian.write(readings(historian, "p/x", [start + n * 10**9 for n in range(1, 3600, 2)], 2.5))
    historian.compact(10, everything=True)
    assert store.db.execute("SELECT id, n FROM historian_chunk").fetchall() == [
        (chunk_id(start // HOUR, 0, 0), 3600),
        (chunk_id(start // HOUR, 1, 0), 1),
    ]
    series = historian.read(["p/x"], start, start + HOUR)["p/x"]
    assert series.v.tolist() == [1.5, 2.5] * 1800


def test_times_are_stored_once_for_many_sensors(store: Store, historian: EmbeddedHistorian) -> None:
    rng = np.random.default_rng(5)
    start = T // HOUR * HOUR
    t = start + np.sort(rng.choice(3600 * 10**6, 3000, replace=False)) * 1000
    for half in (t[:1500], t[1500:]):
        for n in range(20):
            historian.write(readings(historian, f"p/{n}", half.tolist(), rng.integers(0, 9, len(half)).tolist()))
        historian.compact(10, everything=True)
    assert store.db.execute("SELECT n FROM historian_times").fetchall() == [(3000,)]
    assert store.db.execute("SELECT count(*) FROM historian_chunk").fetchone() == (20,)
    assert times(historian, "p/7") == t.tolist()
    assert check(store).problems == []


def test_upkeep_compacts_in_its_thread(
    path: Path, store: Store, historian: EmbeddedHistorian, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "LOG_ROWS", 5)
    with Upkeep(path, every_s=0.01) as upkeep:
        for n in range(40):
            historian.write(readings(historian, "p/x", [T + n]))
        deadline = time.monotonic() + 60
        while store.db.execute("SELECT count(*) FROM historian_log").fetchone()[0] >= 5:
            assert time.monotonic() < deadline
            assert upkeep.trouble is None
            time.sleep(0.01)
    assert len(times(historian, "p/x")) == 40


def test_upkeep_tells_its_trouble_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "lab.db").write_text("not a database" * 1000)
    with Upkeep(tmp_path / "lab.db") as upkeep:
        deadline = time.monotonic() + 60
        while upkeep.trouble is None and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "not a database" in str(upkeep.trouble)
    assert "cannot be compacted" in caplog.text


# retention


def test_readings_that_are_too_old_are_deleted(path: Path, store: Store, historian: EmbeddedHistorian) -> None:
    start = T // HOUR * HOUR
    for hour in range(50):
        for key in ("p/x", "p/y"):
            historian.write(readings(historian, key, [start + hour * HOUR + n * 10**9 for n in range(100)]))
    keeping = EmbeddedHistorian(store, keep_days=1.0)
    assert not keeping.compact(60, everything=True)
    left = times(historian, "p/x")
    # whole hours, counted from the newest hour's start
    assert left[0] == start + 25 * HOUR
    assert left[-1] == start + 49 * HOUR + 99 * 10**9
    assert historian.stats().oldest == left[0]
    assert historian.stats().readings == 25 * 200
    assert check(store).problems == []
    historian.write(readings(historian, "p/old", [start]))
    keeping.compact(60, everything=True)
    assert times(historian, "p/old") == []
    assert historian.latest(["p/old"]) == {}


def test_a_wrong_clock_deletes_nothing(store: Store, historian: EmbeddedHistorian) -> None:
    historian.write(readings(historian, "p/x", [T, T + HOUR]))
    far = Compactor(store, keep_days=1.0, now=lambda: T + 5000 * DAY)
    far.run(10, everything=True)
    assert times(historian, "p/x") == [T, T + HOUR]


@pytest.mark.usefixtures("_small_steps")
def test_a_store_that_is_too_big_loses_its_oldest_hours(store: Store, historian: EmbeddedHistorian) -> None:
    rng = np.random.default_rng(8)
    start = T // HOUR * HOUR
    for hour in range(30):
        values = rng.normal(size=3600).tolist()
        historian.write(readings(historian, "p/x", [start + hour * HOUR + n * 10**9 for n in range(3600)], values))
    historian.compact(60, everything=True)
    full = historian.stats()
    limit = full.bytes_on_disk / 2
    EmbeddedHistorian(store, keep_gb=limit / 1e9).compact(60)
    after = historian.stats()
    assert limit / 2 < after.bytes_on_disk <= limit
    assert after.newest == full.newest
    assert after.oldest is not None
    assert len(times(historian, "p/x")) == (start + 30 * HOUR - after.oldest) // 10**9
    assert check(store).problems == []
    # what was freed is used again: the file does not grow
    pages = store.db.execute("PRAGMA page_count").fetchone()
    historian.write(
        readings(historian, "p/x", [start + 30 * HOUR + n for n in range(1000)], rng.normal(size=1000).tolist())
    )
    assert store.db.execute("PRAGMA page_count").fetchone() == pages


# room


def test_a_full_disk(store: Store, historian: EmbeddedHistorian) -> None:
    """Nothing of the batch is kept, what was stored stays, and with room again all goes on."""
    rng = np.random.default_rng(9)
    historian.ids(["p/x"])

    def lot(number: int) -> Batch:
        t = [T + number * 5000 + n for n in range(5000)]
        return readings(historian, "p/x", t, rng.normal(size=5000).tolist())

    store.db.execute("PRAGMA max_page_count=120")
    written = 0
    with contextlib.suppress(HistorianFull):
        while written < 100:
            historian.write(lot(written))
            written += 1
    with pytest.raises(HistorianFull, match="no room"):
        historian.write(lot(written))
    assert 3 < written < 100
    assert times(historian, "p/x") == [T + n for n in range(5000 * written)]
    with pytest.raises(HistorianFull):
        historian.compact(10, everything=True)
    assert times(historian, "p/x") == [T + n for n in range(5000 * written)]
    assert check(store).problems == []
    with pytest.raises(HistorianFull):
        historian.ids([f"p/{n}" * 20 for n in range(3000)])
    store.db.execute("PRAGMA max_page_count=100000")
    historian.write(lot(written))
    assert not historian.compact(10, everything=True)
    assert times(historian, "p/x") == [T + n for n in range(5000 * (written + 1))]


def test_a_full_disk_inside_a_transaction(store: Store, historian: EmbeddedHistorian) -> None:
    store.db.execute("CREATE TABLE beside (upto INTEGER)")
    historian.write(readings(historian, "p/x", [T]))
    store.db.execute("PRAGMA max_page_count=40")

    def commit() -> None:
        with store.transaction() as db:
            db.execute("INSERT INTO beside VALUES (1)")
            historian.write(
                readings(
                    historian, "p/x", list(range(T, T + 50_000)), np.random.default_rng(1).normal(size=50_000).tolist()
                )
            )

    with pytest.raises(HistorianFull):
        commit()
    assert not store.db.in_transaction
    assert store.db.execute("SELECT count(*) FROM beside").fetchone() == (0,)
    assert times(historian, "p/x") == [T]


# damage


def flip(db: sqlite3.Connection, table: str, row: int) -> None:
    data = bytearray(db.execute(f"SELECT data FROM {table} WHERE id = ?", (row,)).fetchone()[0])
    data[len(data) // 2] ^= 0x10
    db.execute(f"UPDATE {table} SET data = ? WHERE id = ?", (bytes(data), row))


def test_damage_is_found_and_set_aside(store: Store, historian: EmbeddedHistorian) -> None:
    start = T // HOUR * HOUR
    for key in ("p/x", "p/y"):
        for hour in range(3):
            historian.write(readings(historian, key, [start + hour * HOUR + n * n * 1000 for n in range(1000)]))
    historian.compact(10, everything=True)
    for n in range(3):
        historian.write(readings(historian, "p/x", [start + 3 * HOUR + n]))
    assert check(store).problems == []
    hour = start // HOUR
    broken, log_row = chunk_id(hour + 2, 0, 0), 2
    flip(store.db, "historian_chunk", broken)
    flip(store.db, "historian_log", log_row)
    store.db.execute("UPDATE historian_hour SET n = n + 1 WHERE hour = ?", (hour,))
    found = check(store)
    assert [(problem.what, problem.id) for problem in found.problems] == [
        ("log", log_row),
        ("hour", hour),
        ("chunk", broken),
    ]
    with pytest.raises(HistorianError, match="damaged"):
        historian.read(["p/x"], start, start + 4 * HOUR)
    assert len(historian.read(["p/y"], start, start + 4 * HOUR)["p/y"].t) == 3000
    with pytest.raises(HistorianError, match="log row 2 is damaged"):
        historian.compact(10, everything=True)
    assert repair(store, found.problems) == 2
    assert check(store).problems == []
    assert len(times(historian, "p/x")) == 2000 + 2
    assert not historian.compact(10, everything=True)
    assert historian.stats().readings == 5002
    rows = store.db.execute("SELECT what, id, length(data) > 0 FROM historian_damaged ORDER BY what").fetchall()
    assert rows == [("chunk", broken, 1), ("log", log_row, 1)]


def test_missing_times_are_found(store: Store, historian: EmbeddedHistorian) -> None:
    rng = np.random.default_rng(10)
    start = T // HOUR * HOUR
    t = start + np.sort(rng.choice(3600 * 10**6, 1000, replace=False)) * 1000
    for key in ("p/x", "p/y"):
        historian.write(readings(historian, key, t.tolist()))
    historian.compact(10, everything=True)
    store.db.execute("DELETE FROM historian_times")
    found = check(store)
    assert [problem.what for problem in found.problems] == ["chunk", "chunk"]
    with pytest.raises(HistorianError, match="missing"):
        times(historian, "p/x")
    repair(store, found.problems)
    assert check(store).problems == []
    assert historian.latest(["p/x"]) == {}


def test_a_damaged_file(path: Path) -> None:
    with Store(path) as store:
        historian = EmbeddedHistorian(store)
        for n in range(40):
            historian.write(
                readings(
                    historian,
                    "p/x",
                    list(range(n * 1000, n * 1000 + 1000)),
                    np.random.default_rng(n).normal(size=1000).tolist(),
                )
            )
        store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[40960:81920] = bytes(40960)
    path.write_bytes(data)
    with Store(path, readonly=True) as store:
        problems = check(store).problems
    assert problems
    assert {problem.what for problem in problems} == {"database"}
