"""The collector when readings and ledger do not share one transaction, and when the store is not ready."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from lab import collector as module
from lab.cli import build
from lab.historian.base import Batch, HistorianError, HistorianStats, Latest, Series
from tests.lab.gateways import Gateway, Lab


class Outside:
    """A historian somewhere else, as InfluxDB is: what is written is written, whatever becomes of our transaction."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.readings: dict[tuple[str, int], float] = {}
        self.writes = 0
        self.down = False

    def _up(self) -> None:
        if self.down:
            raise HistorianError("does not answer")

    def ids(self, keys: Sequence[str]) -> NDArray[np.int32]:
        self._up()
        self.names += [key for key in dict.fromkeys(keys) if key not in self.names]
        return np.array([self.names.index(key) for key in keys], dtype=np.int32)

    def keys(self) -> Sequence[str]:
        return self.names

    def write(self, batch: Batch) -> None:
        self._up()
        self.writes += 1
        for sensor, t, v in zip(batch.sensor.tolist(), batch.t.tolist(), batch.v.tolist(), strict=True):
            self.readings[self.names[sensor], t] = v

    def read(self, sensors: Sequence[str], t0: int, t1: int, max_points: int | None = None) -> Mapping[str, Series]:
        empty = Series(*(np.zeros(0, dtype=kind) for kind in (np.int64, float, float, float, np.uint8)), raw=True)
        return dict.fromkeys(sensors, empty)

    def latest(self, sensors: Sequence[str]) -> Mapping[str, Latest]:
        return {}

    def stats(self) -> HistorianStats:
        return HistorianStats(len(self.readings), len(self.names), 0, 0, None, None)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    historian = Outside()
    monkeypatch.setattr(module, "open_historian", lambda _config, _store: historian)
    return historian


@pytest.fixture
def lab(tmp_path: Path, outside: Outside):
    lab = Lab(tmp_path, kind="influx")
    yield lab
    outside.down = False
    lab.collector.close()


def retry(lab: Lab) -> None:
    """Let the time pass after which it is tried again."""
    lab.collector._retry_at = 0.0
    lab.collector.tick()


def test_the_readings_go_first_then_the_ledger_then_the_receipt(lab: Lab, outside: Outside) -> None:
    gw = Gateway()
    lab.give(gw.birth(), gw.frame(0))
    outside.down = True
    assert not lab.collector.commit()
    assert lab.collector.book.totals["accepted"] == 0
    lab.collector.receipts(every=0)
    assert lab.acks() == []
    outside.down = False
    retry(lab)
    lab.collector.receipts(every=0)
    assert [ack.upto for ack in lab.acks()] == [0]
    assert outside.readings["asset-gw/a", gw.time(0)] == gw.values(0)[0]
    assert outside.writes == 1


def test_what_is_written_outside_is_not_written_again_when_only_the_ledger_failed(
    lab: Lab, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    gw = Gateway()
    lab.give(gw.birth(), gw.frame(0))
    db = lab.collector.store.db
    db.execute(f"PRAGMA max_page_count={db.execute('PRAGMA page_count').fetchone()[0]}")
    lab.give(*(gw.on("data", b"x" * 60_000) for _ in range(5)))
    assert not lab.collector.commit()
    assert lab.collector.full
    assert outside.writes == 1
    db.execute("PRAGMA max_page_count=1000000")
    retry(lab)
    assert outside.writes == 1
    assert lab.collector.book.totals["accepted"] == 1


def test_a_crash_between_the_two_repeats_the_batch_and_changes_nothing(lab: Lab, outside: Outside) -> None:
    gw = Gateway()
    lab.give(gw.birth())
    lab.commit()
    lab.give(*(gw.frame(s) for s in range(3)))
    batch = lab.collector._batch()
    assert batch is not None
    outside.write(batch)
    before = dict(outside.readings)
    lab.restart()
    assert lab.ledger().next == 0
    lab.give(*(gw.frame(s) for s in range(3)))
    lab.commit()
    assert outside.readings == before
    assert lab.ledger().accepted == 3


def test_births_and_frames_wait_while_the_store_is_not_ready(lab: Lab, outside: Outside) -> None:
    gw, other = Gateway(), Gateway("other")
    outside.down = True
    lab.give(gw.birth(), other.birth(), gw.frame(0))
    assert lab.collector.trouble
    assert len(lab.desk.control) == 2
    assert len(lab.desk.data) == 1
    assert not lab.collector.catalogue.gateways
    outside.down = False
    retry(lab)
    lab.give(other.frame(0))
    lab.commit()
    assert lab.ledger("gw").accepted == 1
    assert lab.ledger("other").accepted == 1
    assert lab.desk.waiting_bytes == 0


def test_a_gateway_by_hand_waits_too(lab: Lab, outside: Outside) -> None:
    gw = Gateway()
    outside.down = True
    lab.give(gw.on("data", b'{"v":{"x":1.0}}', at=gw.now - 5 * 10**9))
    assert lab.collector.trouble
    outside.down = False
    retry(lab)
    lab.give()
    lab.give()
    lab.commit()
    assert outside.readings == {("gw/x", gw.now - 5 * 10**9): 1.0}


def test_the_inbox_stays_bounded_while_the_store_is_down(lab: Lab, outside: Outside) -> None:
    gw = Gateway()
    lab.give(gw.birth(), gw.frame(0))
    outside.down = True
    assert not lab.collector.commit()
    staged = lab.collector.staged
    for s in range(1, 50):
        lab.give(gw.frame(s))
    assert lab.collector.staged == staged
    assert len(lab.desk.data) == 49
    outside.down = False
    retry(lab)
    lab.give()
    lab.commit()
    assert lab.acks()[-1].upto == 49


def test_a_data_directory_that_cannot_be_used_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = CliRunner().invoke(build("collector"), ["collector", "--data-dir", str(tmp_path / "file" / "data")])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), "no traceback"
    assert str(tmp_path / "file" / "data") in result.output
