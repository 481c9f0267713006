"""What the collector makes of messages: stored, counted, acknowledged, quarantined, shown."""

import errno
import json
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.frame import MAX_FRAME_BYTES, Asset, Channel
from devices.quality import CODES
from lab import collector, sources, store
from lab.blocks import Scored
from lab.clock import AHEAD_NS
from lab.collector import MANY, MAX_DRAIN, PATIENCE_S, turn_s
from lab.quarantine import MAX_HOURLY, REASONS, entries
from lab.sources import REBIRTH_NS
from lab.store import Store
from tests.lab.gateways import PATH, SECOND, Gateway, Lab

GOOD, BAD, RANGE = CODES["good"], CODES["bad"], CODES["bad:range"]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.collector.close()


@pytest.fixture
def gw() -> Gateway:
    return Gateway()


def proven(lab: Lab, gateway: str = "gw", boot: int = 1) -> bool:
    ledger = lab.ledger(gateway, boot)
    assert ledger.published == ledger.accepted + ledger.duplicates + ledger.rejected + ledger.missing
    return ledger.missing == 0


# stored, then acknowledged


def test_readings_are_stored_as_they_were_sent(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *(gw.frame(s) for s in range(20)))
    lab.commit()
    for column, tag in enumerate(("a", "b")):
        t, v, q = lab.series(f"asset-gw/{tag}")
        assert t == [gw.time(s) for s in range(20)]
        assert v == [gw.values(s)[column] for s in range(20)]
        assert q == [GOOD] * 20
    assert proven(lab)


def test_a_receipt_follows_the_commit_and_never_runs_ahead_of_it(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *(gw.frame(s) for s in range(3)))
    lab.collector.tick()
    assert lab.acks() == []
    lab.commit()
    assert [(ack.b, ack.upto, ack.missing) for ack in lab.acks()] == [(1, 2, [])]
    lab.give(gw.frame(3), gw.frame(5))
    assert len(lab.acks()) == 1
    lab.commit()
    assert (lab.acks()[-1].upto, lab.acks()[-1].missing) == (5, [(4, 4)])


def test_commits_come_by_themselves_and_receipts_with_them(tmp_path: Path, gw: Gateway) -> None:
    lab = Lab(tmp_path, commit_s=1e-9)
    lab.give(gw.birth(), gw.frame(0))
    until = time.monotonic() + 10
    while not lab.acks() and time.monotonic() < until:
        lab.collector.tick()
    assert [ack.upto for ack in lab.acks()] == [0]
    lab.collector.close()


def test_a_commit_waits_a_moment_for_another_writer_and_scoring_does_not(tmp_path: Path, gw: Gateway) -> None:
    lab = Lab(tmp_path, commit_s=1e-9)
    lab.give(gw.birth())
    lab.commit()
    with Store(lab.config.database) as other:
        other.db.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        for s in range(3):
            lab.give(gw.frame(s))
        assert time.monotonic() - began < PATIENCE_S / 2, "nobody waited"
        assert lab.ledger().accepted == 3
        assert lab.collector.staged == 6
        other.db.execute("ROLLBACK")
    lab.collector.tick()
    assert lab.collector.staged == 0
    lab.collector.close()


def test_with_a_disk_that_does_not_keep_up_frames_wait_in_the_inbox(
    tmp_path: Path, gw: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()
    monkeypatch.setattr(store, "_flush", lambda _file: slow.wait(10))
    monkeypatch.setattr(collector, "FULL_STAGED", 4)
    lab = Lab(tmp_path, commit_s=1e-9)
    lab.give(gw.birth(), gw.frame(0))
    for s in range(1, 6):
        lab.give(gw.frame(s))
    assert (lab.ledger().accepted, len(lab.desk.data)) == (2, 4)
    slow.set()
    until = time.monotonic() + 10
    while (lab.desk.data or lab.collector._dirty) and time.monotonic() < until:
        lab.collector.tick()
    assert lab.series("asset-gw/a")[0] == [gw.time(s) for s in range(6)]
    lab.collector.close()


def test_nothing_is_acknowledged_before_it_is_on_the_disk(
    lab: Lab, gw: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow, flush = threading.Event(), store._flush
    monkeypatch.setattr(store, "_flush", lambda file: (slow.wait(10), flush(file)))
    lab.give(gw.birth(), gw.frame(0))
    assert lab.collector.commit(wait=False)
    lab.give(gw.frame(1))  # scored meanwhile
    lab.collector.receipts(every=0)
    assert lab.acks() == []
    assert lab.series("asset-gw/a")[0] == [gw.time(0)]
    slow.set()
    assert lab.collector._sync is not None
    lab.collector._sync.result()
    until = time.monotonic() + 10
    while not lab.acks() and time.monotonic() < until:
        lab.collector._receipts_at = 0.0
        lab.collector.tick()
    assert [ack.upto for ack in lab.acks()] == [0]  # not the second, which is not even committed

    def fail(_file: int) -> None:
        raise OSError(errno.EIO, "the disk is ill")

    monkeypatch.setattr(store, "_flush", fail)
    assert not lab.collector.commit()
    lab.collector.receipts(every=0)
    assert [ack.upto for ack in lab.acks()] == [0]
    lab.give(gw.frame(2))  # not taken
    assert lab.ledger().next == 2
    assert "the disk is ill" in caplog.text
    lab.collector._retry_at = 0.0
    lab.collector.tick()  # all is written once more, elsewhere
    assert not lab.collector.trouble
    lab.collector.receipts(every=0)
    assert lab.acks()[-1].upto == 1
    monkeypatch.setattr(store, "_flush", flush)
    lab.collector.tick()
    lab.commit()
    assert lab.acks()[-1].upto == 2


def test_what_was_not_committed_is_taken_again_after_a_crash(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *(gw.frame(s) for s in range(5)))
    lab.commit()
    lab.give(gw.frame(5), gw.frame(6))
    lab.restart()
    assert (lab.ledger().next, lab.ledger().accepted) == (5, 5)
    lab.give(gw.frame(7))  # its birth is not needed again
    lab.commit()
    assert lab.acks()[-1].missing == [(5, 6)]
    lab.give(gw.frame(5), gw.frame(6))
    lab.commit()
    assert lab.series("asset-gw/a")[0] == [gw.time(s) for s in range(8)]
    assert proven(lab)


def test_a_full_disk_loses_nothing_and_is_said_once_it_is_over_all_goes_on(
    lab: Lab, gw: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    lab.give(gw.birth(), gw.frame(0))
    lab.commit()
    db = lab.collector.store.db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count={pages}")
    s, acked = 1, len(lab.acks())
    while lab.collector.commit():
        lab.give(*(gw.frame(n) for n in range(s, s + 200)))
        s += 200
        assert s < 100_000
    assert lab.collector.full
    assert len(lab.acks()) == acked
    lab.give(gw.frame(s))  # not taken: it waits in the inbox
    assert len(lab.desk.data) == 1
    assert lab.collector.book.totals["accepted"] < s
    assert "no room" in caplog.text

    db.execute("PRAGMA max_page_count=1000000")
    lab.collector._retry_at = 0.0
    lab.collector.tick()
    assert not lab.collector.trouble
    lab.collector.tick()
    lab.commit()
    assert lab.acks()[-1].upto == s
    assert lab.series("asset-gw/a")[0] == [gw.time(n) for n in range(s + 1)]
    assert proven(lab)


def test_many_samples_with_nulls_and_qualities(lab: Lab, gw: Gateway) -> None:
    dt = [0.0, 0.5, 1.25, 2.0]
    v = [1.0, None, 3.0, 4.0, 10.0, 20.0, None, 40.0]
    q = {"a": [[0, 0, "uncertain:outofcal"], [1, 1, "bad:openwire"]]}
    one = gw.frame(1, t=gw.time(0) / 1e9 + 3, dt=[0.0], v=[5.0, 50.0], at=gw.now)
    lab.give(gw.birth(), gw.frame(0, dt=dt, v=v, q=q, at=gw.now), one)
    lab.commit()
    times = [gw.time(0) + int(offset * SECOND) for offset in (*dt, 3.0)]
    t, va, qa = lab.series("asset-gw/a")
    assert t == times
    assert qa == [CODES["uncertain:outofcal"], CODES["bad:openwire"], GOOD, GOOD, GOOD]
    assert va[0] == 1.0
    assert math.isnan(va[1])
    t, vb, qb = lab.series("asset-gw/b")
    assert [value for value in vb if not math.isnan(value)] == [10.0, 20.0, 40.0, 50.0]
    assert qb == [GOOD, GOOD, BAD, GOOD, GOOD]  # no value is never good


def test_values_outside_the_measuring_range_are_bad(lab: Lab) -> None:
    gw = Gateway(channels=[Channel("a", lo=0.0, hi=10.0), Channel("b")])
    lab.give(gw.birth())
    for s, value in enumerate((-0.1, 0.0, 10.0, 10.1)):
        lab.give(gw.frame(s, v=[value, value]))
    lab.give(gw.frame(4, v=[99.0, 0.0], q={"a": [[0, 0, "bad:check"]]}))
    lab.commit()
    assert lab.series("asset-gw/a")[2] == [RANGE, GOOD, GOOD, RANGE, CODES["bad:check"]]
    assert lab.series("asset-gw/b")[2] == [GOOD] * 5


def test_gateways_of_one_kind_and_several_assets_share_a_layout(lab: Lab) -> None:
    channels = [Channel("x", asset="one"), Channel("y", asset="two"), Channel("z", asset="one")]
    pair = []
    for n in range(20):
        listed = [Channel(c.tag, asset=f"{c.asset}-{n}", lo=-float(n)) for c in channels]
        pair.append(Gateway(f"gw{n}", channels=listed, assets=[Asset(f"one-{n}", "k"), Asset(f"two-{n}", "k")]))
    lab.give(*(gw.birth() for gw in pair))
    lab.give(*(gw.frame(s, v=[n + s / 10, -5.0, 2.0]) for s in range(3) for n, gw in enumerate(pair)))
    lab.commit()
    for n in range(20):
        assert lab.series(f"one-{n}/x")[1] == [n + s / 10 for s in range(3)]
        assert lab.series(f"two-{n}/y")[2] == [RANGE if n < 5 else GOOD] * 3
        assert lab.series(f"one-{n}/z")[1] == [2.0] * 3
    assert len(lab.collector._layouts) == 1


# numbers


def test_re_sends_are_dropped_and_counted(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *(gw.frame(s) for s in (0, 1, 2, 1, 1)))
    lab.commit()
    assert (lab.ledger().accepted, lab.ledger().duplicates) == (3, 2)
    assert lab.collector.intake.counters.frames == 3
    assert not lab.reasons()


def test_a_number_used_twice_for_different_frames_is_a_fork_and_kept(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), gw.frame(0), gw.frame(1), gw.frame(1, v=[9.0, 9.0]))
    lab.commit()
    assert lab.ledger().forks == 1
    (found,) = entries(lab.collector.store.db)
    assert found.reason == "fork"
    assert b"9.0" in (found.payload or b"")
    assert lab.series("asset-gw/a")[1] == [gw.values(0)[0], gw.values(1)[0]]
    assert proven(lab)


def test_a_restart_without_a_new_boot_is_a_fork_even_when_the_old_frames_are_forgotten(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *(gw.frame(s) for s in range(400)))
    lab.give(gw.frame(0, t=gw.time(401) / 1e9))
    assert lab.reasons() == {"fork": 1}
    lab.give(gw.frame(0))
    assert lab.ledger().duplicates == 1
    lab.commit()
    lab.restart()
    later = gw.now + 3600 * SECOND
    lab.give(gw.frame(1, t=later / 1e9, at=later))
    assert lab.reasons() == {"fork": 2}


def test_a_missing_frame_and_what_followed_it_sent_again_after_a_restart_are_no_forks(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *(gw.frame(s) for s in range(5)), *(gw.frame(s) for s in range(6, 20)))
    lab.commit()
    lab.restart()
    lab.give(gw.birth(), *(gw.frame(s) for s in range(5, 25)))
    lab.commit()
    assert lab.reasons() == {}
    assert (lab.ledger().duplicates, lab.ledger().missing, lab.ledger().forks) == (14, 0, 0)


def test_frames_of_an_earlier_boot_are_taken_with_their_own_channels(lab: Lab) -> None:
    old, new = Gateway(tags=("a", "b")), Gateway(boot=2, tags=("c",))
    lab.give(new.birth(), new.frame(0))
    lab.give(old.frame(0))  # nobody knows its channels yet
    assert lab.collector.sources.waiting
    lab.give(old.birth(), old.frame(1))
    lab.give(new.frame(1))
    lab.commit()
    assert lab.series("asset-gw/b")[1] == [old.values(0)[1], old.values(1)[1]]
    assert lab.series("asset-gw/c")[1] == [new.values(0)[0], new.values(1)[0]]
    assert proven(lab, boot=1)
    assert proven(lab, boot=2)
    assert lab.collector.catalogue.gateways["gw"].boot == 2
    lab.restart()
    lab.give(old.frame(2))  # and still after a restart
    assert lab.ledger(boot=1).accepted == 3


def test_rows_of_an_old_channel_list_are_stored_not_scored_and_not_shown(lab: Lab) -> None:
    old, new = Gateway(tags=("a", "b")), Gateway(boot=2, tags=("c", "a", "b"))
    lab.give(old.birth(), old.frame(0), new.birth(), new.frame(1))
    lab.collector._live_at = -1e9
    lab.give(old.frame(2))
    lab.commit()
    assert lab.late() == [("asset-gw", new.time(0)), ("asset-gw", new.time(2))]
    assert lab.live()[-1]["assets"]["asset-gw"]["v"] == new.values(1)
    assert lab.series("asset-gw/a")[1] == [old.values(0)[0], new.values(1)[1], old.values(2)[0]]


def test_two_channel_lists_of_one_gateway_in_one_tick(lab: Lab) -> None:
    old, new = Gateway(tags=("a", "b")), Gateway(boot=2, tags=("c", "a"))
    lab.give(old.birth(), new.birth())
    lab.give(new.frame(0), old.frame(1), new.frame(1), new.frame(2), old.frame(0))
    lab.commit()
    assert lab.series("asset-gw/c")[1] == [new.values(s)[0] for s in range(3)]
    assert lab.series("asset-gw/b")[1] == [old.values(s)[1] for s in range(2)]
    assert lab.collector.intake.counters.frames == 5


def test_frames_without_a_number_are_stored_and_counted_apart(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), gw.frame(None), gw.frame(None, t=gw.time(7) / 1e9))
    lab.commit()
    assert lab.ledger().unsequenced == 2
    assert lab.ledger().accepted == 0
    assert len(lab.series("asset-gw/a")[0]) == 2


def test_a_frame_without_a_time_gets_that_of_its_arrival(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), gw.frame(0, t=None, at=gw.now))
    lab.commit()
    t, _, q = lab.series("asset-gw/a")
    assert t == [gw.now]
    assert q == [CODES["uncertain:servertime"]]


# the clock


def test_a_clock_an_hour_ahead_loses_nothing_and_says_what_to_do(lab: Lab, gw: Gateway) -> None:
    frames = [gw.frame(s, t=gw.time(s) / 1e9 + 3600) for s in range(MAX_HOURLY + 50)]
    lab.give(gw.birth(), *frames[:MAX_HOURLY])
    lab.give(*frames[MAX_HOURLY:])
    lab.collector._second(0.0)
    lab.commit()
    assert lab.reasons() == {"clock_ahead": len(frames)}
    kept = entries(lab.collector.store.db)
    assert {entry.payload for entry in kept} == {frame[1] for frame in frames}
    assert "set the gateway's clock" in kept[0].detail
    assert proven(lab)
    lab.give(gw.frame(len(frames)))  # put right: taken again, as good as any
    lab.commit()
    assert lab.series("asset-gw/a")[2] == [GOOD]


def test_a_clock_a_minute_ahead_is_marked(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), gw.frame(0, at=gw.time(0) - 60 * SECOND))
    lab.give(gw.frame(1, at=gw.time(1) - AHEAD_NS))
    lab.commit()
    assert lab.series("asset-gw/a")[2] == [CODES["uncertain:clock"]] * 2


def test_a_clock_that_was_never_set_is_refused(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), gw.frame(0, t=12.5))
    assert lab.reasons() == {"clock_behind": 1}
    assert proven(lab)


def test_what_is_older_than_what_is_kept_is_refused(tmp_path: Path, gw: Gateway) -> None:
    lab = Lab(tmp_path, keep_days=1.0)
    lab.collector._second(0.0)
    lab.give(gw.birth(), gw.frame(0, t=gw.now / 1e9 - 2 * 86400), gw.frame(1))
    assert lab.reasons() == {"clock_behind": 1}
    assert lab.ledger().accepted == 1
    lab.collector.close()


def test_a_spool_worked_off_is_late_but_its_clock_is_good(lab: Lab, gw: Gateway) -> None:
    begin = gw.now
    lab.give(gw.birth(), *(gw.frame(s, at=begin + s * SECOND // 100) for s in range(400)))
    lab.commit()
    assert set(lab.series("asset-gw/a")[2]) == {GOOD}


def test_frames_sent_again_while_nothing_new_comes_do_not_make_the_clock_look_late(lab: Lab, gw: Gateway) -> None:
    again = [gw.frame(9, at=gw.time(9) + later * SECOND) for later in (2, 6, 14, 30, 62, 122)]
    back = gw.time(9) + 158 * SECOND
    kept = [gw.frame(s, at=back + s * SECOND // 1000) for s in range(10, 400)]
    lab.give(gw.birth(), *(gw.frame(s) for s in range(10)), *again, *kept)
    lab.commit()
    assert set(lab.series("asset-gw/a")[2]) == {GOOD}
    assert lab.ledger().duplicates == len(again)


def test_a_clock_behind_shows_after_some_seconds(lab: Lab, gw: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    lab.give(gw.birth(), *(gw.frame(s, at=gw.time(s) + 3600 * SECOND) for s in range(100)))
    lab.commit()
    q = lab.series("asset-gw/a")[2]
    assert q[0] == GOOD
    assert q[-1] == CODES["uncertain:clock"]
    lab.collector.sources.watch(gw.now)
    assert lab.collector.sources.all[PATH, "gw"].skew.milliseconds(gw.now) == pytest.approx(3.6e6)
    lab.collector.sources.watch(gw.time(100) + 3600 * SECOND)
    assert caplog.text.count("gateway gw: its clock is 3600 s behind") == 1
    lab.collector.sources.watch(gw.time(101) + 3600 * SECOND)
    assert caplog.text.count("its clock is") == 1


# who sent it


def test_frames_before_the_birth_wait_and_the_gateway_is_asked(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.frame(0), gw.frame(1))
    lab.give(gw.frame(2))
    assert [(command["op"], command.get("args", {})) for command in lab.desk.of("cmd")] == [("rebirth", {})]
    lab.commit()
    assert lab.acks() == []
    lab.give(gw.frame(3, at=gw.time(0) + REBIRTH_NS + SECOND))
    assert len(lab.desk.of("cmd")) == 2
    lab.give(gw.birth())
    lab.commit()
    assert lab.series("asset-gw/a")[0] == [gw.time(s) for s in range(4)]
    assert lab.acks()[-1].upto == 3


def test_waiting_frames_are_bounded_and_those_let_go_are_asked_for_again(
    lab: Lab, gw: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_WAITING_BYTES", 2000)
    count = 50
    lab.give(*(gw.frame(s) for s in range(count)))
    waiting = lab.collector.sources.waiting[0].waiting
    assert sum(len(message[1]) for message in waiting) <= 2000
    gone = lab.collector.sources.deferred
    assert gone + len(waiting) == count
    lab.give(gw.birth())
    lab.commit()
    assert lab.acks()[-1].missing == [(0, gone - 1)]


def test_a_gateway_that_names_its_channels_needs_no_birth(lab: Lab, gw: Gateway) -> None:
    by_hand = gw.on("data", b'{"v":{"TI-1":25.5,"PI-1":101.0}}', at=gw.now)
    lab.give(by_hand)
    lab.collector.sources.settle(gw.now + 3 * SECOND)
    lab.collector.tick()
    lab.give(gw.on("data", b'{"v":{"PI-1":102.0,"FI-1":7.0}}', at=gw.now + 3 * SECOND))
    lab.collector.tick()
    lab.commit()
    assert lab.series("gw/TI-1")[1] == [25.5]  # what a frame does not mention is not stored as missing
    assert lab.series("gw/PI-1")[1] == [101.0, 102.0]
    assert lab.series("gw/FI-1")[1] == [7.0]
    assert lab.ledger(boot=0).unsequenced == 2
    rows = lab.collector.store.db.execute("SELECT tag FROM sensor WHERE asset = 'gw' ORDER BY position").fetchall()
    assert rows == [("TI-1",), ("PI-1",), ("FI-1",)]
    lab.restart()
    lab.give(gw.on("data", b'{"v":{"PI-1":103.0}}', at=gw.now + 4 * SECOND))
    lab.commit()
    assert lab.series("gw/PI-1")[1] == [101.0, 102.0, 103.0]


def test_a_known_gateway_may_name_its_channels_but_no_others(lab: Lab, gw: Gateway) -> None:
    named = {"h": None, "v": {"b": 5.0}}
    lab.give(gw.birth(), gw.frame(0, **named), gw.frame(1, h=None, v={"b": 1.0, "zz": 2.0}))
    lab.commit()
    assert lab.series("asset-gw/b")[1] == [5.0]
    assert lab.series("asset-gw/a")[1] == []
    assert lab.reasons() == {"unknown_tag": 1}
    assert proven(lab)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"h": "0" * 16}, "bad_birth"),
        ({"gateway": "another"}, "bad_birth"),
        ({"channels": [Channel("a"), Channel("a")]}, "bad_birth"),
        ({"channels": [Channel("no spaces")]}, "bad_birth"),
        ({"assets": []}, "bad_birth"),
        ({"assets": [Asset("pump-1", "pump", period_s=0.0)]}, "bad_birth"),
        ({"assets": [Asset("pump-1", "pump", period_s=1e300)]}, "bad_birth"),
        ({"assets": [Asset("pump-1", "pump", learn_rows=-1)]}, "bad_birth"),
        ({"assets": [Asset("pump-1", "pump", learn_rows=10**9)]}, "bad_birth"),
    ],
)
def test_births_that_contradict_themselves_are_refused(
    lab: Lab, gw: Gateway, changes: dict[str, object], reason: str
) -> None:
    lab.give(gw.birth(**changes))
    assert lab.reasons() == {reason: 1}
    assert not lab.collector.catalogue.gateways


def test_an_asset_has_one_gateway_until_that_is_offline(lab: Lab, gw: Gateway) -> None:
    other = Gateway("other", assets=gw.assets)
    lab.give(gw.birth(), gw.frame(0))
    lab.give(other.birth(), other.frame(0))
    assert lab.reasons() == {"asset_taken": 1}
    lab.commit()
    assert lab.series("asset-gw/a")[1] == [gw.values(0)[0]]
    assert [ack.b for ack in lab.acks()] == [1]  # the other's frame waits, unacknowledged
    lab.give(gw.state("offline"))
    lab.give(other.birth(), other.frame(1))
    lab.commit()
    assert len(lab.series("asset-gw/a")[1]) == 2
    assert proven(lab, "other")
    lab.give(gw.frame(1), gw.birth())  # and now the first must not write into it
    assert lab.reasons()["asset_taken"] == 2
    assert lab.ledger().next == 1


def test_two_gateways_of_one_name_at_two_places(lab: Lab, gw: Gateway) -> None:
    twin = Gateway(path="kyushu/lab/demo/line2")
    lab.give(gw.birth(), gw.frame(0))
    lab.give(twin.birth(), twin.frame(0, v=[7.0, 7.0]))
    assert lab.reasons() == {"gateway_twice": 1}
    lab.give(gw.state("offline"))
    lab.give(twin.birth(b=2), twin.frame(0, b=2, v=[7.0, 7.0]))
    assert lab.ledger(boot=2).accepted == 1


def test_an_old_will_does_not_end_a_new_session(lab: Lab, gw: Gateway) -> None:
    new = Gateway(boot=2)
    lab.give(gw.birth(), gw.state("online"), new.birth(), new.state("online"))
    lab.give(gw.state("offline"))
    assert lab.collector.catalogue.gateways["gw"].state == "online"
    lab.give(new.state("offline"))
    assert lab.collector.catalogue.gateways["gw"].state == "offline"


@pytest.mark.parametrize("state_first", [True, False])
def test_a_birth_the_broker_kept_does_not_bring_a_gateway_back(lab: Lab, gw: Gateway, state_first: bool) -> None:
    kept = [gw.birth(retained=True), gw.state("offline", retained=True)]
    lab.give(*(reversed(kept) if state_first else kept))
    assert lab.collector.catalogue.gateways["gw"].state == "offline"


def test_a_gateway_that_comes_back_gets_its_receipt(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), gw.frame(0), gw.frame(2))
    lab.commit()
    lab.restart()
    lab.give(gw.birth(retained=True))
    lab.commit()
    assert {(ack.upto, tuple(ack.missing)) for ack in lab.acks()} == {(2, ((1, 1),))}


# what cannot be taken


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'{"b":1,"s":0', "not_json"),
        (b'{"b":1,"s":0,"h":"x","v":[NaN]}', "not_json"),
        (b'{"b":1,"s":0,"v":[1,2]}', "unknown_schema"),
        (b'{"b":1,"s":0,"h":"%h","v":["a",2]}', "bad_value"),
        (b'{"b":1,"s":0,"h":"%h","v":[1]}', "bad_length"),
        (b'{"b":1,"s":0,"h":"%h","v":[1,2,3]}', "bad_length"),
        (b'{"b":1,"s":0,"h":"%h","t":-5,"v":[1,2]}', "bad_time"),
        (b'{"b":1,"s":0,"h":"%h","v":[1,2],"q":{"zz":[[0,0,"bad"]]}}', "bad_quality"),
        (b'{"b":1,"s":0,"h":"%h","v":[1,2],"more":1}', "bad_frame"),
        (b'{"b":1,"s":0,"more":' + b"[" * 60_000, "bad_frame"),
        (b'{"b":1,"s":0,"h":"%h","v":[1,2],"x":"' + b"y" * MAX_FRAME_BYTES + b'"}', "too_large"),
    ],
)
def test_bad_frames_are_kept_with_their_reason_and_close_their_place_in_the_ledger(
    lab: Lab, gw: Gateway, payload: bytes, reason: str
) -> None:
    payload = payload.replace(b"%h", gw.h.encode())
    lab.give(gw.birth(), gw.on("data", payload))
    lab.commit()
    (found,) = entries(lab.collector.store.db)
    assert (found.reason, found.payload) == (reason, payload[:MAX_FRAME_BYTES])
    lab.give(gw.frame(1))
    if reason != "not_json" and b"[[[" not in payload:
        assert lab.ledger().rejected == 1
        assert proven(lab)
    else:
        assert lab.ledger().missing == 1  # its number cannot be read


def test_a_frame_refused_before_may_not_come_again_differently(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), gw.frame(0, v=[1.0]), gw.frame(0, v=[1.0]), gw.frame(0))
    assert (lab.ledger().rejected, lab.ledger().duplicates, lab.ledger().forks) == (1, 1, 1)
    assert lab.reasons() == {"bad_length": 1, "fork": 1}


def test_retained_data_is_refused(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), gw.frame(0, retained=True))
    assert lab.reasons() == {"retained": 1}
    lab.give(gw.frame(0))
    assert lab.ledger().accepted == 1


def test_topics_that_are_none(lab: Lab, gw: Gateway) -> None:
    lab.give(("lab/v1/a b/c/d/e/gw/data", b"{}", False, gw.now), ("lab/v1/a/b/c/d/ü/birth", b"{}", False, gw.now))
    assert lab.reasons() == {"bad_topic": 2}


def test_a_state_that_cannot_be_read(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.on("state", b"offline"), gw.on("state", b""), gw.on("birth", b""), gw.on("event", b"\xff"))
    lab.give(gw.on("state", b'{"state":"online","b":1,"x":' + b"[" * 60_000))
    assert lab.reasons() == {"bad_state": 2}


def test_a_flood_of_nonsense_stays_small(lab: Lab, gw: Gateway) -> None:
    for _ in range(3):
        lab.give(*(gw.on("data", b"nonsense %d" % n) for n in range(MAX_HOURLY)))
        lab.commit()
    rows = entries(lab.collector.store.db)
    assert sum(row.count for row in rows) == 3 * MAX_HOURLY
    assert len(rows) <= MAX_HOURLY + 2


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_message_ends_the_collector_and_each_is_accounted_for(lab: Lab, data: st.DataObject) -> None:
    gw = Gateway()
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abhstvdtq"), inner, max_size=3),
        max_leaves=8,
    )
    field = {
        "b": st.sampled_from([0, 1, 2, None]) | json_values,
        "s": st.integers(0, 12) | json_values,
        "h": st.sampled_from([gw.h, None, "x"]) | json_values,
        "t": st.sampled_from([gw.now / 1e9, 0.0, 4e9, None]) | json_values,
        "dt": st.sampled_from([None, [0.0], [0.0, 0.1]]) | json_values,
        "v": st.sampled_from([[1.0, 2.0], [1, None, 3, 4], {"a": 1.0}, {"zz": [1, 2]}]) | json_values,
        "q": st.sampled_from([None, {"a": [[0, 0, "bad"]]}]) | json_values,
    }
    frames = st.fixed_dictionaries(field).map(lambda body: {key: v for key, v in body.items() if v is not None})
    payloads = frames.map(lambda body: json.dumps(body).encode()) | st.binary(max_size=40)
    births = st.sampled_from([gw.birth(), gw.state("online"), gw.state("offline"), gw.on("birth", b"{}")])
    messages = data.draw(st.lists(births | payloads.map(lambda body: gw.on("data", body)), max_size=25))
    lab.give(*messages)
    lab.give()
    book = lab.collector.book
    for ledger in book._ledgers.values():
        assert ledger.published == ledger.accepted + ledger.duplicates + ledger.rejected + ledger.missing
    lab.commit()
    assert set(lab.reasons()) <= set(REASONS)


# what is told


def test_the_live_frame_shows_the_last_row_and_only_what_changed(lab: Lab, gw: Gateway) -> None:
    lab.collector._live_at = -1e9
    lab.give(gw.birth(), gw.frame(0), gw.frame(1, v=[None, 4.5], q={"b": [[0, 0, "uncertain"]]}))
    frame = lab.live()[0]
    shown = frame["assets"]["asset-gw"]
    assert shown["v"] == [None, 4.5]
    assert shown["q"] == {"a": BAD, "b": CODES["uncertain"]}
    assert shown["t"] == gw.time(1) // 1_000_000
    assert shown["online"] is True
    assert (shown["score"], shown["warm"], shown["episode"]) == (None, False, None)
    for _ in range(3):
        lab.collector._live_at = -1e9
        lab.give()
    assert len(lab.live()) == 2  # once more for having come online, then nothing had changed
    lab.collector._live_at = -1e9
    lab.give(gw.state("offline"))
    lab.collector._second(0.0)
    lab.collector._live_at = -1e9
    lab.give()
    assert lab.live()[-1]["assets"]["asset-gw"]["online"] is False
    assert lab.live()[-1]["id"] > frame["id"]


def test_an_old_frame_does_not_replace_a_newer_one_in_the_live_view(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), gw.frame(0), gw.frame(5))
    lab.collector._live_at = -1e9
    lab.give(gw.frame(2))
    assert lab.live()[-1]["assets"]["asset-gw"]["t"] == gw.time(5) // 1_000_000


def test_the_live_view_shows_the_newest_of_many_ticks_wherever_it_stands(lab: Lab, gw: Gateway) -> None:
    other = Gateway("other")
    lab.give(gw.birth(), other.birth())
    for s in range(4):
        lab.give(gw.frame(s, v=[s, 0.0]), other.frame(s, v=[-s, 0.0]))
    lab.give(gw.frame(6, v=[6.0, 0.0]))  # 4 and 5 are missing: stored and shown at once, scored later
    lab.give(gw.frame(4, v=[4.0, 0.0]), other.frame(4, v=[-4.0, 0.0]))
    lab.collector._live_at = -1e9
    lab.give(gw.frame(5, v=[5.0, 0.0]))
    shown = lab.live()[-1]["assets"]
    assert (shown["asset-gw"]["v"][0], shown["asset-other"]["v"][0]) == (6.0, -4.0)


def test_the_live_view_shows_the_newest_row_whatever_is_taken_with_it(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth())
    several = {"v": [1.0, 2.0, 0.0, 0.0], "dt": [0.0, 0.05]}
    lab.collector._live_at = -1e9
    lab.give(gw.frame(0), gw.frame(1, **several), gw.frame(2, v=[3.0, 0.0]))  # one sample, two, and one again
    assert lab.live()[-1]["assets"]["asset-gw"]["v"] == [3.0, 0.0]
    lab.give(gw.frame(4, **several), gw.frame(5, v=[5.0, 0.0]))
    lab.collector._live_at = -1e9
    lab.give(gw.frame(7, v=[7.0, 0.0]), gw.frame(3, v=[4.0, 0.0]))  # a late one in the same tick
    assert lab.live()[-1]["assets"]["asset-gw"]["v"] == [7.0, 0.0]


def test_the_live_view_keeps_what_a_frame_by_hand_does_not_name(lab: Lab) -> None:
    hand = Gateway("hand")
    hand.now -= 50 * SECOND  # for so long no birth came
    for messages in ([{"a": 1.0, "b": 2.0}], [], [{"a": 3.0}, {"b": 4.0}], [{"b": 5.0}]):
        for values in messages:
            hand.now += SECOND
            payload = json.dumps({"t": hand.now / 1e9, "v": values}).encode()
            lab.desk.data.append(hand.on("data", payload))
        lab.collector._live_at = -1e9
        lab.give()
    shown = lab.live()[-1]["assets"]["hand"]
    assert (shown["v"], shown["q"]) == ([3.0, 5.0], {})


def test_the_live_view_of_a_channel_list_that_comes_again_begins_anew(lab: Lab) -> None:
    one, two, again = Gateway(), Gateway(boot=2, tags=("c",)), Gateway(boot=3)
    lab.give(one.birth(), one.frame(0))
    lab.give(one.birth())
    lab.collector._live_at = -1e9
    lab.give()
    assert lab.live()[-1]["assets"]["asset-gw"]["v"] == one.values(0)
    lab.give(two.birth(), two.frame(1), again.birth())
    lab.collector._live_at = -1e9
    lab.give()
    shown = lab.live()[-1]["assets"]["asset-gw"]
    assert (shown["t"], shown["v"]) == (None, [None, None])


def test_the_live_view_forgets_the_statistics_of_another_model(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), gw.frame(0))
    slot = np.zeros(1, dtype=np.intp)
    yes = np.ones(1, dtype=np.bool_)
    for name in ("energy", "wetness"):
        statistics = {name: np.array([0.5])}
        scored = Scored(np.ones(1), yes, yes, ~yes, np.ones(1), np.zeros((1, 2)), statistics, [])
        lab.collector.live.scored(next(iter(lab.collector._layouts.values())), 0, slot, scored)
        lab.collector._live_at = -1e9
        lab.give()
    assert lab.live()[-1]["assets"]["asset-gw"]["stats"] == {"energy": None, "wetness": 0.5}


def test_with_few_messages_the_collector_wakes_less_often() -> None:
    assert turn_s(0) == turn_s(MANY - 1) == 2 * turn_s(MANY) == 2 * turn_s(MAX_DRAIN)


def test_a_live_frame_holds_two_hundred_assets_and_the_rest_take_turns(lab: Lab) -> None:
    many = [Gateway(f"g{n}") for n in range(450)]
    lab.give(*(gw.birth() for gw in many))
    seen: set[str] = set()
    for s in range(4):
        lab.collector._live_at = -1e9
        lab.give(*(gw.frame(s) for gw in many))
        shown = lab.live()[-1]["assets"]
        assert len(shown) <= 200
        seen |= shown.keys()
    assert len(seen) == 450
    assert lab.collector.live.dropped > 0


def test_the_status_has_the_numbers_of_the_ledger(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), gw.frame(0), gw.frame(0), gw.frame(3), gw.frame(4, v=[1.0]))
    lab.commit()
    lab.collector._second(1e9)
    status = lab.desk.of("status")[-1]
    assert status["ledger"] == {
        "accepted": 2, "duplicates": 1, "rejected": 1, "unsequenced": 0, "forks": 0, "published": 6, "missing": 2,
    }  # fmt: skip
    assert status["quarantine"] == {"bad_length": 1}
    assert status["store"]["state"] == "ok"
    assert status["broker"]["state"] == "connected"
    assert status["gateways"]["online"] == 1
    assert status["counters"]["frames"] == 2
    assert status["latency_ms"]["p99"] is not None


def test_a_gateway_that_says_nothing_is_stale(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    gw = Gateway(channels=[Channel("a", expire_s=5.0)])
    lab.give(gw.birth(), gw.frame(0, at=gw.now))
    source = lab.collector.sources.all[PATH, "gw"]
    lab.collector.sources.watch(gw.now + 4 * SECOND)
    assert not source.stale
    lab.collector.sources.watch(gw.now + 6 * SECOND)
    assert source.stale
    assert "gateway gw has said nothing for 6 s" in caplog.text
    assert lab.collector._describe("asset-gw", 0)["online"] is False
    lab.give(gw.frame(1))
    assert lab.collector._describe("asset-gw", 0)["online"] is True


def test_nobody_is_reminded_of_a_gateway_that_went_in_order(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    gw = Gateway(channels=[Channel("a", expire_s=5.0)])
    lab.give(gw.birth(), gw.frame(0, at=gw.now), gw.state("offline"))
    lab.collector.sources.watch(gw.now + 60 * SECOND)
    assert lab.collector.sources.all[PATH, "gw"].stale
    assert "has said nothing" not in caplog.text


def test_a_thousand_gateways_are_not_a_thousand_lines(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    lab.give(*(Gateway(f"g{n}").birth() for n in range(50)))
    lab.collector.sources.watch(0)
    assert 0 < len(caplog.records) < 20
    assert "40 more gateways" in caplog.text


def test_the_catalogue_tells_readers_what_was_declared(lab: Lab) -> None:
    channels = [Channel("a", unit="kPa", name="Pressure", lo=0.0, hi=9.0, decimals=2), Channel("s", role="status")]
    gw = Gateway(channels=channels, assets=[Asset("p", "pump", "Pump 1", clock="s", period_s=3.0)])
    lab.give(gw.birth())
    lab.commit()
    db = lab.collector.store.db
    assert db.execute("SELECT * FROM asset").fetchall() == [("p", "pump", "Pump 1", "gw", "s", 3.0)]
    rows = db.execute("SELECT key, position, unit, name, role, lo, hi, decimals FROM sensor ORDER BY position")
    assert rows.fetchall() == [
        ("p/a", 0, "kPa", "Pressure", "measurement", 0.0, 9.0, 2),
        ("p/s", 1, "1", "", "status", None, None, None),
    ]
    gw.channels = channels[:1]
    lab.give(Gateway(boot=2, channels=channels[:1], assets=[Asset("p", "pump")]).birth())
    lab.commit()
    assert db.execute("SELECT key FROM sensor").fetchall() == [("p/a",)]


def test_equal_rows_through_many_layouts_and_ticks_come_out_equal(lab: Lab) -> None:
    random = np.random.default_rng(3)
    gateways = [Gateway(f"g{n}", tags=tuple(f"t{at}" for at in range(1 + n % 4))) for n in range(12)]
    lab.give(*(gw.birth() for gw in gateways))
    truth: dict[str, dict[int, float]] = {}
    sequence = dict.fromkeys(range(12), 0)
    for _ in range(15):
        batch = []
        for n in random.permutation(12).tolist():
            gw, samples = gateways[n], int(random.integers(1, 4))
            values = random.normal(size=(len(gw.channels), samples)).round(6)
            start = gw.time(sequence[n] * 10)
            dt = [round(0.1 * k, 6) for k in range(samples)]
            batch.append(gw.frame(sequence[n], t=start / 1e9, dt=dt, v=values.ravel().tolist(), at=gw.now))
            sequence[n] += 1
            for channel, row in zip(gw.channels, values.tolist(), strict=True):
                key = f"asset-{gw.id}/{channel.tag}"
                truth.setdefault(key, {}).update({start + int(o * 1e9): x for o, x in zip(dt, row, strict=True)})
        lab.give(*batch)
    lab.commit()
    for key, wanted in truth.items():
        t, v, _ = lab.series(key)
        assert dict(zip(t, v, strict=True)) == wanted
