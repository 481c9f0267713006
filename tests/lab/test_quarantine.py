"""The quarantine keeps what could not be taken, and cannot be flooded."""

import json
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from devices.frame import MAX_FRAME_BYTES, ErrorCode
from lab import quarantine
from lab.cli import build
from lab.quarantine import HOUR_NS, MAX_HOURLY, REASONS, Quarantine, counts, entries, entry
from lab.store import Store
from lab.text import LANGUAGES, text

T0 = 500_000 * HOUR_NS


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "lab.db") as store:
        yield store


def save(kept: Quarantine, store: Store) -> None:
    with store.transaction() as db:
        kept.save(db)
    kept.committed()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_reason_has_a_text(lang: str) -> None:
    assert all(text(f"quarantine.reason.{reason}", lang) for reason in REASONS)


def test_every_error_of_a_frame_is_a_reason() -> None:
    assert set(get_args(ErrorCode)) <= set(REASONS)


def test_a_message_is_kept_whole_with_its_reason(store: Store) -> None:
    kept = Quarantine(store)
    payload = bytes(range(256))
    kept.add(T0, "lab/v1/a/b/c/d/g/data", "not_json", "at byte 0", payload)
    assert kept.waiting
    save(kept, store)
    assert not kept.waiting
    (found,) = entries(store.db)
    assert found[1:] == (T0, "lab/v1/a/b/c/d/g/data", "not_json", "at byte 0", payload, 1)
    assert entry(store.db, found.id) == found
    assert Quarantine(store).counts == {"not_json": 1}


def test_a_payload_is_cut_at_the_size_of_a_frame(store: Store) -> None:
    kept = Quarantine(store)
    kept.add(T0, "t", "too_large", "", bytes(MAX_FRAME_BYTES + 10))
    save(kept, store)
    assert len(entries(store.db)[0].payload or b"") == MAX_FRAME_BYTES


def test_after_a_thousand_in_an_hour_only_a_count_grows(store: Store) -> None:
    kept = Quarantine(store)
    for n in range(MAX_HOURLY + 300):
        kept.add(T0 + n, "t", "not_json", str(n), b"x")
        if n % 200 == 0:
            save(kept, store)
    save(kept, store)
    rows = entries(store.db)
    assert sum(row.payload is not None for row in rows) == MAX_HOURLY
    assert [row.count for row in rows if row.payload is None] == [300]
    assert counts(store.db) == kept.counts == {"not_json": MAX_HOURLY + 300}
    kept.add(T0 + HOUR_NS, "t", "not_json", "next hour", b"y")
    kept.add(T0 + HOUR_NS, "t", "bad_value", "another reason", b"z")
    save(kept, store)
    assert [row.payload for row in entries(store.db, limit=2)] == [b"z", b"y"]


def test_a_restart_does_not_open_the_gate_again(store: Store) -> None:
    first = Quarantine(store)
    for n in range(MAX_HOURLY):
        first.add(T0 + n, "t", "not_json", "", b"x")
    save(first, store)
    again = Quarantine(store)
    again.add(T0 + 9999, "t", "not_json", "", b"x")
    save(again, store)
    assert [row.payload for row in entries(store.db, limit=1)] == [None]


def test_readings_with_a_wrong_clock_are_kept_beyond_that(store: Store) -> None:
    kept = Quarantine(store)
    for n in range(MAX_HOURLY + 1):
        kept.add(T0 + n, "t", "clock_ahead", "", b"x")
    save(kept, store)
    assert all(row.payload == b"x" for row in entries(store.db))


def test_the_bytes_are_bounded_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX_BYTES", 1000)
    kept = Quarantine(store)
    for n in range(20):
        kept.add(T0 + n, "t", "not_json", "", bytes(100))
    save(kept, store)
    assert sum(len(row.payload or b"") for row in entries(store.db)) == 1000
    assert kept.counts["not_json"] == 20


def test_a_failed_commit_loses_and_doubles_nothing(store: Store) -> None:
    kept = Quarantine(store)
    for n in range(MAX_HOURLY + 5):
        kept.add(T0 + n, "t", "not_json", str(n), b"x")

    def crash() -> None:
        with store.transaction() as db:
            kept.save(db)
            raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError):
        crash()
    kept.add(T0, "t", "fork", "came in between", b"f")
    save(kept, store)
    kept.add(T0, "t", "not_json", "one more", b"x")
    save(kept, store)
    assert counts(store.db) == {"not_json": MAX_HOURLY + 6, "fork": 1}
    assert [row.detail for row in entries(store.db, reason="fork")] == ["came in between"]


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    with Store(tmp_path / "lab.db") as store:
        kept = Quarantine(store)
        kept.add(T0, "lab/v1/a/b/c/d/g/data", "clock_ahead", "an hour ahead", '{"v":{"温度":1}}'.encode())
        kept.add(T0 + 1, "lab/v1/a/b/c/d/g/data", "not_json", "at byte 0", b"\xff\xfe")
        save(kept, store)
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(build("quarantine"), ["quarantine", *arguments])
    return result.exit_code, result.output


def test_list_shows_counts_and_messages(lab: Path) -> None:
    code, output = run("list", "--data-dir", str(lab))
    assert code == 0
    assert text("quarantine.reason.clock_ahead") in output
    assert "an hour ahead" in output
    code, output = run("list", "--data-dir", str(lab), "--reason", "not_json", "--json")
    answer = json.loads(output)
    assert [each["reason"] for each in answer["entries"]] == ["not_json"]
    assert answer["counts"] == {"clock_ahead": 1, "not_json": 1}


def test_show_prints_the_payload(lab: Path) -> None:
    code, output = run("show", "1", "--data-dir", str(lab))
    assert code == 0
    assert '{"v":{"温度":1}}' in output
    assert run("show", "99", "--data-dir", str(lab))[0] == 1


def test_a_strangers_message_cannot_steer_the_terminal(tmp_path: Path) -> None:
    with Store(tmp_path / "lab.db") as store:
        kept = Quarantine(store)
        kept.add(T0, "lab/v1/a/b/c/d/\x1b[2J/data", "not_json", "at \x1b[2J", b"\x1b]0;gone\x07 text\n\xff")
        save(kept, store)
    for arguments in (("list",), ("show", "1")):
        code, output = run(*arguments, "--data-dir", str(tmp_path))
        assert code == 0
        assert not {"\x1b", "\x07"} & set(output)
    assert "\\x1b]0;gone\\x07 text\n\\xff" in output


def test_export_gives_the_payloads_back_byte_by_byte(lab: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    assert run("export", str(file), "--data-dir", str(lab))[0] == 0
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [bytes.fromhex(row["hex"]) for row in rows] == ['{"v":{"温度":1}}'.encode(), b"\xff\xfe"]
    assert run("export", str(tmp_path / "no" / "such"), "--data-dir", str(lab))[0] == 1


def test_what_the_user_got_wrong_is_said(tmp_path: Path, lab: Path) -> None:
    code, output = run("list", "--data-dir", str(lab), "--reason", "nonsense")
    assert code == 2
    assert "clock_ahead" in output
    assert run("list", "--data-dir", str(tmp_path / "nowhere"))[0] == 1
