"""The detection benchmark's figures on hand-made cases whose answers are known."""

import math

import numpy as np
import pytest

from benchmarks.bars import Line, least, most
from benchmarks.detection import measures


def flags(rows, *ranges):
    """(rows,) with the rows of each range (first, last) set."""
    made = np.zeros(rows, dtype=np.bool_)
    for first, last in ranges:
        made[first : last + 1] = True
    return made


class TestRows:
    def test_confusion_of_a_hand_made_case(self):
        counts = measures.confusion(flags(10, (2, 5)), flags(10, (4, 7)))
        assert counts == (2, 2, 2, 4)
        assert counts.f1 == pytest.approx(0.5)
        assert counts.far == pytest.approx(2 / 6)
        assert counts.mar == pytest.approx(0.5)

    def test_the_skab_leaderboards_ends(self):
        truth = flags(100, (40, 59))
        perfect = measures.confusion(truth, truth)
        assert (perfect.f1, perfect.far, perfect.mar) == (1.0, 0.0, 0.0)
        null = measures.confusion(truth, flags(100))
        assert (null.f1, null.far, null.mar) == (0.0, 0.0, 1.0)

    def test_files_are_pooled_not_averaged(self):
        one = measures.confusion(flags(4, (0, 0)), flags(4, (0, 0)))
        other = measures.confusion(flags(100, (0, 9)), flags(100))
        assert measures.pooled([one, other]).f1 == pytest.approx(1 / (1 + 10 / 2))

    def test_episodes_onsets_and_the_longest(self):
        alarm = flags(12, (0, 1), (4, 4), (9, 11))
        assert measures.episodes(alarm) == [(0, 1), (4, 4), (9, 11)]
        assert np.flatnonzero(measures.onsets(alarm)).tolist() == [0, 4, 9]
        assert measures.longest(alarm) == 3
        assert measures.longest(flags(3)) == 0

    def test_limit_lets_at_most_the_share_through(self):
        score = np.arange(960.0)
        assert measures.above(score, measures.quantile_limit(score, 0.01)).sum() == 9
        assert not measures.above(np.array([np.nan]), 0.0).any()

    def test_poisson_interval(self):
        # 20 expected: P(X <= 11) = 0.0214, P(X <= 12) = 0.0390; P(X <= 29) = 0.9782, P(X <= 28) = 0.9657
        assert measures.poisson_interval(20.0) == (12, 29)


class TestNab:
    windows = ((2000, 2099), (3000, 3099))

    def test_no_detection_is_0_and_first_rows_are_100(self):
        assert measures.nab_score(flags(5000), self.windows) == 0.0
        assert measures.nab_score(flags(5000, (2000, 2000), (3000, 3000)), self.windows) == pytest.approx(100.0)

    def test_only_the_first_in_a_window_counts(self):
        once = flags(5000, (2000, 2000), (3000, 3000))
        often = flags(5000, (2000, 2050), (3000, 3099))
        assert measures.nab_score(often, self.windows) == measures.nab_score(once, self.windows)

    def test_half_way_into_one_window(self):
        # place -(2099 - 2050 + 1)/100 = -0.5: (2/(1+e^-2.5) - 1)/(2/(1+e^-5) - 1) = 0.84828/0.98661; the other missed
        expected = 100 * (0.84828 / 0.98661 + 1) / 4
        assert measures.nab_score(flags(5000, (2050, 2050)), self.windows) == pytest.approx(expected, abs=1e-3)

    def test_false_positives_cost_more_further_behind(self):
        # before any window: 0.11 in full, of 4 between nothing and everything
        assert measures.nab_score(flags(5000, (1000, 1000)), self.windows) == pytest.approx(-100 * 0.11 / 4)
        # one window's width behind: 0.11 * 0.98661
        late = measures.nab_score(flags(5000, (2198, 2198)), self.windows)
        assert late == pytest.approx(-100 * 0.11 * 0.98661 / 4, abs=1e-3)
        assert measures.nab_score(flags(5000, (2397, 2397)), self.windows) == pytest.approx(-100 * 0.11 / 4)

    def test_probation(self):
        assert measures.nab_probation(1000) == 150
        assert measures.nab_probation(22695) == 750
        assert measures.nab_score(flags(5000, (0, 749)), self.windows) == 0.0

    def test_best_threshold_finds_what_separates(self):
        score = np.zeros(5000)
        score[[2000, 3000]] = 5.0
        score[4000] = 4.0
        best, limit = measures.nab_best(score, self.windows)
        assert best == pytest.approx(100.0)
        assert 4.0 < limit <= 5.0


class TestSkabChangepoints:
    seconds = np.arange(1000.0)

    def test_the_leaderboards_ends(self):
        truth = flags(1000, (300, 300), (600, 600))
        assert measures.skab_changepoints(self.seconds, truth, flags(1000)).normalised == 0.0
        perfect = measures.skab_changepoints(self.seconds, truth, flags(1000, (300, 599)))
        assert perfect.normalised == pytest.approx(100.0)

    def test_middle_of_the_window_is_the_middle_of_the_curve(self):
        one = measures.skab_changepoints(self.seconds, flags(1000, (300, 300)), flags(1000, (330, 999)))
        assert one.score == pytest.approx((1 - 0.11) / 2, abs=2e-3)

    def test_both_edges_outside_cost(self):
        wrong = measures.skab_changepoints(self.seconds, flags(1000, (300, 300)), flags(1000, (500, 510)))
        assert wrong.score == pytest.approx(-1 - 2 * 0.11)
        assert wrong.normalised == pytest.approx(-11.0)

    def test_an_alarm_from_the_first_row_is_a_detection_there(self):
        begun = measures.skab_changepoints(self.seconds, flags(1000, (300, 300)), flags(1000, (0, 999)))
        assert begun.score == pytest.approx(-1 - 0.11)

    def test_overlapping_windows_are_cut_on_the_left_of_the_later(self):
        truth = flags(1000, (300, 300), (330, 330))
        first = measures.skab_changepoints(self.seconds, truth, flags(1000, (300, 999)))
        assert first.score == pytest.approx(1.0 - 1.0)
        # 375 lies in the later window, which now runs from 360 to 390: its middle
        later = measures.skab_changepoints(self.seconds, truth, flags(1000, (375, 999)))
        assert later.score == pytest.approx(-1.0 + (1 - 0.11) / 2, abs=2e-3)

    def test_files_are_pooled(self):
        parts = [measures.Changepoints(1.0, 1), measures.Changepoints(-3.0, 3)]
        assert measures.changepoints_pooled(parts).normalised == pytest.approx(25.0)
        assert math.isnan(measures.Changepoints(0.0, 0).normalised)


class TestBatadal:
    truth = flags(1000, (100, 149), (500, 599))

    def test_perfect(self):
        assert measures.batadal(self.truth, self.truth) == (1.0, 1.0, 1.0, 2, 2, 0)

    def test_silence(self):
        assert measures.batadal(self.truth, flags(1000)) == (0.25, 0.0, 0.5, 0, 2, 0)

    def test_hand_made(self):
        # seen 10 of 50 h into the first, 50 of 100 into the second; one false episode of 85 h; one runs on for 85 h
        alarm = flags(1000, (110, 149), (300, 384), (550, 684))
        found = measures.batadal(self.truth, alarm)
        assert found.time == pytest.approx(1 - (0.2 + 0.5) / 2)
        assert found.rows == pytest.approx((90 / 150 + 680 / 850) / 2)
        assert found.score == pytest.approx((found.time + found.rows) / 2)
        assert (found.detected, found.attacks, found.false_episodes) == (2, 2, 1)


class TestVerdicts:
    @pytest.mark.parametrize(
        ("figure", "said"),
        [
            (0.77, "**short of owed**"),
            (0.78, "owed: met, short of aim"),
            (0.81, "aim: met"),
            (math.nan, "**short of owed**"),
        ],
    )
    def test_of_a_figure(self, figure, said):
        assert Line("x", {"lab": figure}, least(0.78), least(0.81)).verdict("lab") == said

    def test_of_a_bound_from_above(self):
        line = Line("x", {"lab": 9.0}, most(10), most(8))
        assert line.verdict("lab") == "owed: met, short of aim"
        assert Line("x", {"lab": 1.0}).verdict("lab") == "reported"
