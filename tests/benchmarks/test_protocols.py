"""The detection benchmark's protocols with detectors that say what they are told to."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from benchmarks import detection
from benchmarks.bars import Line, Section, least, shortfalls, summary
from benchmarks.detection import accepted, files, others, own_simulator, simulated
from benchmarks.detection.subject import INSTRUMENT, NONE, PROCESS, Scored
from simulators.tep import TRIP_LIMITS
from tests.models.plants import fitted, record

ROWS = 960


@dataclass(frozen=True, eq=False)
class Said:
    """A fitted detector that says this of any stream."""

    scored: Scored
    limit: float = 1.0
    promise: float | None = None

    def score(self, rows):
        return self.scored


@dataclass(frozen=True, eq=False)
class Level:
    """A detector that alarms where the first sensor is above its training maximum; keeps what it was fitted on."""

    name: str = "level"
    seen: list = field(default_factory=list)

    def fit(self, runs, sensors, period_s, stream_head=None, *, per_month=1.0, limits=()):
        self.seen.append((runs[0], sensors, stream_head))
        highest = np.nanmax(runs[0][:, 0])

        class Fitted:
            limit, promise = highest, None

            def score(self, rows):
                score = rows[:, 0].copy()
                return Scored(score, score > highest)

        return Fitted()


def alarm(*ranges):
    made = np.zeros(ROWS, dtype=np.bool_)
    for first, last in ranges:
        made[first : last + 1] = True
    return made


def run(trip_h=np.nan, trip=0, fault=5):
    return own_simulator.Run(fault, np.zeros((ROWS, 52)), trip_h, trip)


class TestFaults:
    def test_lead_from_alarm_to_trip(self):
        # record 199 is taken at 10 h; the trip comes at 12 h
        told = own_simulator._tell(Said(Scored(np.zeros(ROWS), alarm((199, 205)))), run(12.0, 1))
        assert told.alarm_min == pytest.approx(120.0)
        assert told.lead_min == pytest.approx(120.0)
        assert not told.early

    def test_alarm_after_the_trip_announces_nothing(self):
        told = own_simulator._tell(Said(Scored(np.zeros(ROWS), alarm((240, 300)))), run(12.0, 1))
        assert np.isinf(told.alarm_min)
        assert np.isnan(told.lead_min)

    def test_alarm_before_the_fault_is_early_and_announces_nothing(self):
        told = own_simulator._tell(Said(Scored(np.zeros(ROWS), alarm((100, 159)))), run(12.0, 1))
        assert told.early
        assert np.isinf(told.alarm_min)

    def test_cause_an_hour_after_the_alarm_and_the_last(self):
        causes = [(150, (9,)), (200, (1, 2)), (219, (5, 2, 1)), (221, (2, 5))]
        told = own_simulator._tell(Said(Scored(np.zeros(ROWS), alarm((200, 400)), None, causes)), run())
        assert told.settled == (5, 2, 1)
        assert told.last == (2, 5)

    def test_no_cause_in_time_is_a_wrong_one_and_no_causes_at_all_are_none(self):
        late = own_simulator._tell(Said(Scored(np.zeros(ROWS), alarm((200, 400)), None, [(300, (5,))])), run())
        assert late.settled == ()
        never = own_simulator._tell(Said(Scored(np.zeros(ROWS), alarm((200, 400)))), run())
        assert never.settled is None

    def test_interval_of_the_limit_that_tripped(self):
        at = next(at for at, (code, _, _) in enumerate(TRIP_LIMITS) if code == 7)
        hours = np.arange(1, ROWS + 1) / 20
        left = 3600 * (12.0 - hours)
        until = np.full((ROWS, len(TRIP_LIMITS), 3), np.inf)
        until[199:219, at] = left[199:219, None] * [0.9, 1.0, 1.1]  # ten of these twenty are right
        until[199:209, at] *= 2
        told = own_simulator._tell(Said(Scored(np.zeros(ROWS), alarm(), None, None, until)), run(12.0, 7))
        assert told.held == pytest.approx(0.5)
        assert told.forecast == 0.0
        assert np.isnan(told.frightened)

    def test_trip_in_sight_where_none_comes(self):
        until = np.full((ROWS, len(TRIP_LIMITS), 3), np.inf)
        until[160:240, 2, 1] = 600.0
        told = own_simulator._tell(Said(Scored(np.zeros(ROWS), alarm(), None, None, until)), run())
        assert told.frightened == pytest.approx(80 / 800)


def test_limits_are_the_plants_trips():
    found = own_simulator.limits()
    assert [(each.sensor, each.side) for each in found] == [(tag, side) for _, tag, side in TRIP_LIMITS]
    assert found[0].value == 3000.0


def test_kept_records_are_what_is_simulated(tmp_path, monkeypatch):
    monkeypatch.setattr(simulated.tempfile, "gettempdir", lambda: str(tmp_path))
    first = simulated.normal(0.5, 3)
    assert first.shape == (10, 52)
    np.testing.assert_array_equal(first, simulated.normal(0.5, 3))
    assert not np.array_equal(first, simulated.normal(0.5, 4))


class TestWell:
    def test_delay_and_false_rows(self):
        label = np.repeat([0, 102, 2], [100, 50, 50])
        rows = np.zeros((200, 2))
        rows[:, 1] = np.nan
        rows[70:75, 0] = 1.0  # five false rows in the last 40 of 100
        rows[110:, 0] = 1.0
        level = Level()
        well = files.Well("WELL-1", 2, ("P", "T"), np.arange(200.0) * 2, rows, label)
        assert others._well(level, well) == (20.0, 5, 40, None)  # it tells no kinds
        (train, sensors, head) = level.seen[0]
        assert len(train) == 60
        assert sensors == ("P",)  # nothing is known of the other
        assert len(head) == others.HEAD

    def test_alarm_in_the_steady_fault_alone_is_too_late(self):
        label = np.repeat([0, 102, 2], [100, 50, 50])
        rows = np.zeros((200, 1))
        rows[150:, 0] = 1.0
        delay, false, of, _ = others._well(Level(), files.Well("WELL-1", 2, ("P",), np.arange(200.0), rows, label))
        assert np.isinf(delay)
        assert (false, of) == (0, 40)


def test_who_tells_the_process() -> None:
    alarm = np.array([False, True, True, True])
    kinds = np.array([NONE, INSTRUMENT, INSTRUMENT, PROCESS], dtype=np.int8)
    for kind, rows, told in ((kinds, [0, 1, 1, 0], False), (kinds, [0, 1, 1, 1], True), (None, [0, 1, 1, 1], None)):
        assert others.as_process(Scored(alarm * 1.0, alarm, kind), np.array(rows, dtype=np.bool_)) is told


class TestReport:
    section = Section(
        "A", "how", [Line("x", {"lab": 0.5, "b": 0.9}, least(0.6)), Line("y", {"lab": 1.0}, None, least(2))]
    )

    def test_table_and_what_falls_short(self):
        text = summary(self.section, ["lab", "b"])
        assert "| x | 0.500 | 0.900 | ≥ 0.6 | - | **short of owed** |" in text
        assert "| y | 1.000 | - | - | ≥ 2 | **short of aim** |" in text
        short = shortfalls([self.section], "lab").splitlines()
        assert short == [
            "- short of owed: A, x: 0.500, wanted ≥ 0.6",
            "- short of aim: A, y: 1.000, wanted ≥ 2",
        ]

    def test_unknown_protocol(self, capsys):
        with pytest.raises(SystemExit):
            detection.run(["--only", "nothing"])
        assert "want some of tep" in capsys.readouterr().err

    def test_without_the_data_it_says_so(self, tmp_path, monkeypatch):
        monkeypatch.setenv("JISSHO_DATA", str(tmp_path / "away"))
        assert "Not measured" in detection.run([])


@pytest.mark.skipif(not (files.data() / "nab").is_dir(), reason="the shared data sets are not there")
def test_the_same_report_twice():
    once, again = (detection.run(["--only", "nab", "--peers", "PCA T2"]) for _ in range(2))
    assert once == again
    assert "NAB machine_temperature" in once


def test_what_was_accepted_is_compared_with_what_was_not():
    rows = record(900, 3)
    rows[300:, 1] -= 6.0
    after, without = accepted._alarms(fitted("precursor"), rows, 360)
    assert len(after) == len(without) == accepted.SEEN
    assert without.all()
    assert not after.any()
