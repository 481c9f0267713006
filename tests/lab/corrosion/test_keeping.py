"""The piping's record: what goes in comes out, new findings are judged, two writers do not lose each other's work."""

import dataclasses
import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from lab.corrosion.desk import Desk
from lab.corrosion.keeping import SCHEMA, Keeping, KeepingError
from lab.corrosion.register import Register
from lab.corrosion.template import example
from lab.plant import example_piping
from lab.zones import today

AT = date(2026, 4, 1)


@pytest.fixture(scope="module")
def register() -> Register:
    return example()


@pytest.fixture
def kept(tmp_path: Path, register: Register) -> Keeping:
    keeping = Keeping(tmp_path)
    keeping.replace(register, "imported")
    return keeping


@pytest.mark.parametrize("simulated", [False, True])
def test_what_goes_in_comes_out(tmp_path: Path, register: Register, simulated: bool) -> None:
    given = example_piping()[0] if simulated else register
    with Keeping(tmp_path) as keeping:
        keeping.replace(given, "imported", 7)
        found = keeping.register()
        assert keeping.meta()["seed"] == "7"
    for name in ("lines", "points", "inspections"):
        for field in dataclasses.fields(getattr(given, name)):
            a, b = getattr(getattr(given, name), field.name), getattr(getattr(found, name), field.name)
            if isinstance(a, tuple):
                assert a == b, field.name
            elif a.dtype.kind == "M":
                assert np.array_equal(a.astype("datetime64[D]"), b.astype("datetime64[D]"), equal_nan=True), field.name
            else:
                assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), field.name
                assert a.dtype == b.dtype
    assert dataclasses.astuple(found.weather) == pytest.approx(dataclasses.astuple(given.weather), nan_ok=True)
    assert found.gaps == given.gaps
    assert found.unmeasured.tolist() == given.unmeasured.tolist()


def test_new_findings(kept: Keeping) -> None:
    before = kept.revision
    good = {"line": "P-101", "point": "P-101-01", "at": date(2025, 5, 1), "reading": 5.2}
    entered, out = kept.add(
        [
            (2, good),
            (3, dict(good)),
            (4, {**good, "reading": 52.0}),
            (5, {**good, "line": "P-999", "point": "P-999-1"}),
            (6, {"point": "P-101-01", "at": date(2025, 6, 1), "loss_low": 1.0, "loss_high": 2.0}),
            (7, {"line": "P-102", "at": date(2025, 6, 1), "finding": "nothing", "method": 5}),
        ],
        AT,
        "new.csv",
    )
    assert (entered, [(each.row, each.code) for each in out]) == (3, [(3, "duplicate"), (4, "slip_point"), (5, "line")])
    assert kept.revision == before + 1
    found = kept.register()
    assert "P-102:unmeasured" not in found.points.id
    assert found.unmeasured[found.points.id.index("P-102")] == np.False_
    last = found.inspections.loss_high[-2:].tolist()
    assert last == [2.0, 1.27]
    assert math.isnan(found.inspections.reading[-1])


def test_a_finding_at_the_stand_in_of_a_line_is_one_of_the_line(kept: Keeping) -> None:
    good = {"point": "P-102:unmeasured", "at": date(2025, 6, 1), "reading": 5.0}
    assert "P-102:unmeasured" in kept.register().points.id
    assert kept.add([(1, good)], AT, "f") == (1, [])
    again = kept.add([(1, {**good, "line": "P-102", "at": date(2025, 7, 1)})], AT, "f")
    assert again == (1, [])
    found = kept.register()
    assert "P-102:unmeasured" not in found.points.id
    assert (found.inspections.point == found.points.id.index("P-102")).sum() == 2


def test_nothing_entered_changes_nothing(kept: Keeping) -> None:
    before = kept.revision
    assert kept.add([(2, {"line": "X", "at": AT, "reading": 1.0})], AT, "f")[0] == 0
    assert kept.revision == before


def test_two_writers(tmp_path: Path, register: Register) -> None:
    with Keeping(tmp_path) as first:
        first.replace(register, "imported")
        count = len(first.register().inspections.at)

        def write(month: int) -> None:
            with Keeping(tmp_path) as own:
                for day in range(1, 9):
                    own.add([(1, {"point": "P-101-01", "at": date(2025, month, day), "reading": 5.0})], AT, "f")

        threads = [threading.Thread(target=write, args=(month,)) for month in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(first.register().inspections.at) == count + 32
        assert first.revision == 33


def test_a_newer_or_a_broken_file_is_refused(tmp_path: Path) -> None:
    Keeping(tmp_path).close()
    db = sqlite3.connect(tmp_path / "corrosion.db")
    db.execute(f"PRAGMA user_version={SCHEMA + 1}")
    db.close()
    with pytest.raises(KeepingError, match="newer lab"):
        Keeping(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "corrosion.db").write_bytes(b"no database" * 100)
    with pytest.raises(KeepingError, match="cannot be used"):
        Keeping(tmp_path / "other")


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_today_is_the_day_of_the_place(kept: Keeping, tmp_path: Path, zone: pytest.MonkeyPatch) -> None:
    """An inspection of this morning in Japan is none of tomorrow, though UTC has not come to this day yet."""
    days = []
    for name in ("XXX-14", "XXX+12"):  # 26 hours from each other: never the same day
        zone.setenv("TZ", name)
        time.tzset()
        days.append(today())
        desk = Desk(tmp_path)
        entered, out = desk.add([(1, {"line": "P-101", "point": "P-101-01", "at": days[-1], "reading": 5.2})], "f")
        assert (entered, out) == (1, []), name
        desk.close()
    assert days[0] > days[1]


def test_the_acceptable_chance_puts_off_no_place_below_its_required_wall(kept: Keeping, tmp_path: Path) -> None:
    good = {"line": "P-101", "point": "P-101-01", "at": date(2025, 5, 1), "reading": 6.9}
    rows = [(k, {**good, "at": date(2010 + k, 5, 1)}) for k in range(15)]
    line = kept.register().lines.id.index("P-101")
    nominal = float(kept.register().lines.t_nom[line])
    thin = {**good, "reading": 1.0 if nominal < 10 else 1.5}
    kept.add([(k, {**row, "reading": 0.97 * nominal}) for k, row in rows] + [(99, thin)], AT, "f")
    desk = Desk(tmp_path)
    outcome = desk.plan(5, 0.9)
    k = outcome.register.points.id.index("P-101-01")
    assert outcome.assessment.last[k] < outcome.assessment.t_req[k]
    assert outcome.assessment.p_below[k, 0] < 0.9
    assert outcome.assessment.interval_y[k] == desk.outcome().assessment.interval_y[k] == 0.0
    desk.close()
