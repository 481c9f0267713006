"""The shared database: migrations, nested transactions, snapshots."""

import multiprocessing
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import store as store_module
from lab.store import Store, StoreError, is_full, room


@pytest.fixture(autouse=True)
def _rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MIGRATIONS", {})
    room("things", "CREATE TABLE thing (name TEXT PRIMARY KEY)")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "folder" / "lab.db") as one:
        yield one


def names(store: Store) -> list[str]:
    return [name for (name,) in store.db.execute("SELECT name FROM thing ORDER BY name")]


def add(store: Store, name: str) -> None:
    store.db.execute("INSERT INTO thing VALUES (?)", (name,))


def add_all(store: Store, *some: str) -> None:
    with store.transaction():
        for name in some:
            add(store, name)


def test_a_room_grows(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with Store(path) as store:
        add(store, "a")
    room("things", "CREATE TABLE thing (name TEXT PRIMARY KEY)", "ALTER TABLE thing ADD COLUMN colour TEXT")
    room("others", "CREATE TABLE other (x)")
    with pytest.raises(StoreError, match="older lab"):
        Store(path, readonly=True)
    with Store(path) as store:
        assert store.db.execute("SELECT name, colour FROM thing").fetchall() == [("a", None)]
        assert store.db.execute("SELECT count(*) FROM other").fetchone() == (0,)
        assert dict(store.db.execute("SELECT name, version FROM room")) == {"things": 2, "others": 1}
    with Store(path) as again:
        assert names(again) == ["a"]


def test_a_failed_migration_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    room("things", "CREATE TABLE thing (name TEXT PRIMARY KEY)", "CREATE TABLE thing (twice TEXT)")
    with pytest.raises(StoreError, match="already exists"):
        Store(path)
    room("things", "CREATE TABLE thing (name TEXT PRIMARY KEY)")
    with Store(path) as store:
        assert names(store) == []


@pytest.mark.parametrize("readonly", [False, True])
def test_a_newer_database_is_refused(tmp_path: Path, readonly: bool) -> None:
    path = tmp_path / "lab.db"
    with Store(path) as store:
        store.db.execute("UPDATE room SET version = 7")
    with pytest.raises(StoreError, match="version 7, this lab knows 1"):
        Store(path, readonly=readonly)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database yet"):
        Store(tmp_path / "none.db", readonly=True)
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "text.db").write_text("not a database" * 100)
    for readonly in (False, True):
        with pytest.raises(StoreError, match="not a database"):
            Store(tmp_path / "text.db", readonly=readonly)
    with pytest.raises(StoreError, match="cannot open"):
        Store(tmp_path / "text.db" / "lab.db")


def test_paths_with_odd_characters(tmp_path: Path) -> None:
    path = tmp_path / "工場 50%?#" / "lab.db"
    with Store(path) as store:
        add(store, "a")
    with Store(path, readonly=True) as reader:
        assert names(reader) == ["a"]


def test_a_reader_cannot_write(store: Store) -> None:
    with Store(store.path, readonly=True) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        add(reader, "a")


def test_nested_transactions_are_one(store: Store) -> None:
    with Store(store.path, readonly=True) as reader:
        with store.transaction():
            add(store, "a")
            with store.transaction():
                assert store.in_transaction
                add(store, "b")
            assert names(reader) == []
        assert not store.in_transaction
        assert names(reader) == ["a", "b"]


def test_a_failure_undoes_all(store: Store) -> None:
    def work() -> None:
        with store.transaction():
            add(store, "a")
            with store.transaction():
                add(store, "b")
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert names(store) == []
    with store.transaction():
        add(store, "c")
    assert names(store) == ["c"]


def test_a_nested_failure_that_is_handled_undoes_its_part(store: Store) -> None:
    with store.transaction():
        add(store, "a")
        with pytest.raises(sqlite3.IntegrityError):
            add_all(store, "b", "a")
        add(store, "c")
    assert names(store) == ["a", "c"]


def test_the_end_is_told(store: Store) -> None:
    ends: list[bool] = []
    store.on_end(ends.append)
    with store.transaction(), store.transaction():
        pass
    assert ends == [True]
    with store.transaction(), pytest.raises(KeyError), store.transaction():
        raise KeyError
    assert ends == [True, False, True]
    with pytest.raises(KeyError), store.transaction():
        raise KeyError
    assert ends == [True, False, True, False]


def test_a_snapshot_is_one_state(store: Store) -> None:
    with Store(store.path, readonly=True) as reader:
        with reader.snapshot(), reader.snapshot():
            assert names(reader) == []
            add(store, "a")
            assert names(reader) == []
        assert names(reader) == ["a"]
    with store.transaction():
        add(store, "b")
        with store.snapshot():
            assert names(store) == ["a", "b"]
        add(store, "c")
    assert names(store) == ["a", "b", "c"]


def test_a_full_disk_is_recognised(store: Store) -> None:
    store.db.execute("PRAGMA max_page_count=10")
    with pytest.raises(sqlite3.OperationalError) as caught:
        add_all(store, "a", *(f"{n}" * 1000 for n in range(100)))
    assert is_full(caught.value)
    assert not is_full(sqlite3.OperationalError("database is locked"))
    assert names(store) == []
    store.db.execute("PRAGMA max_page_count=1000000")
    add(store, "a")
    assert names(store) == ["a"]


def _open_at_once(
    path: Path, gate: "multiprocessing.synchronize.Barrier", results: "multiprocessing.Queue[str]"
) -> None:
    room("things", "CREATE TABLE thing (name TEXT PRIMARY KEY)")
    gate.wait()
    try:
        Store(path).close()
        results.put("")
    except StoreError as error:
        results.put(str(error))


def test_processes_that_make_it_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(3), context.Queue()
    workers = [
        context.Process(target=_open_at_once, args=(tmp_path / "lab.db", gate, results), daemon=True) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=60) for _ in workers] == ["", "", ""]
    for worker in workers:
        worker.join()
    results.close()
    results.join_thread()
