"""The order of scoring: one gap that fills is no loss of order, and live equals a replay from the store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.frame import Asset, Channel
from lab.rescoring import replay_scores
from lab.turns import HOLD_NS, MAX_HELD
from models.detector import save
from models.precursor.detector import WARM
from models.precursor.fitting import fit
from tests.lab.gateways import SECOND, Gateway, Lab

TAGS = ("a", "b", "c")


def values(rows: int) -> Any:
    """Correlated values (rows, 3), the same every time."""
    random = np.random.default_rng(5)
    return np.round(random.normal(size=(rows, 2)) @ random.normal(size=(2, 3)) + 0.1 * random.normal(size=(rows, 3)), 5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("model") / "thing.model"
    save(fit(values(300), TAGS, 0.1), file)
    return file


@pytest.fixture
def lab(tmp_path: Path, model: Path) -> Iterator[Lab]:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "thing.model").write_bytes(model.read_bytes())
    lab = Lab(tmp_path)
    yield lab
    lab.collector.close()


@pytest.fixture
def gw() -> Gateway:
    return Gateway(channels=[Channel(tag) for tag in TAGS], assets=[Asset("asset-gw", "thing")])


def frames(gw: Gateway, *numbers: int, at: int | None = None) -> list[Any]:
    rows = values(300).tolist()
    return [gw.frame(s, v=rows[s], at=gw.now if at is None else at) for s in numbers]


def scores(lab: Lab) -> dict[int, float]:
    t, v, _ = lab.series("asset-gw/~score")
    return dict(zip(t, v, strict=True))


def replayed(lab: Lab) -> dict[int, float]:
    found = replay_scores(lab.collector.historian, lab.collector.store, "asset-gw", 0, 2**62)
    there = np.isfinite(found.score)
    return dict(zip(found.t[there].tolist(), found.score[there].tolist(), strict=True))


def in_order(lab: Lab, gw: Gateway, count: int) -> dict[int, float]:
    """The scores of the same rows sent in order, from a gateway of its own."""
    other = Gateway("other", channels=gw.channels, assets=[Asset("asset-other", "thing")])
    other.now = gw.now
    lab.give(other.birth(), *frames(other, *range(count)))
    lab.commit()
    t, v, _ = lab.series("asset-other/~score")
    return dict(zip(t, v, strict=True))


def test_a_swapped_pair_is_scored_as_if_it_had_come_in_order(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *frames(gw, *range(7)))
    lab.give(*frames(gw, 8))
    assert lab.collector.intake.held == 1
    lab.give(*frames(gw, 7, 9))
    assert lab.collector.intake.held == 0
    lab.commit()
    assert len(scores(lab)) == 10 - WARM
    assert scores(lab) == in_order(lab, gw, 10) == replayed(lab)
    assert lab.late() == []
    assert lab.collector.intake.counters.late == 0


def test_what_waits_is_stored_at_once(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *frames(gw, 0, 2, 3))
    lab.commit()
    assert lab.series("asset-gw/a")[0] == [gw.time(s) for s in (0, 2, 3)]
    assert lab.acks()[-1].upto == 3


def test_after_ten_seconds_nobody_waits_any_more_and_the_missing_frame_is_late(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *frames(gw, 0, 1, 2, 4, 5, at=gw.now))
    lab.collector.intake.overdue(gw.now + HOLD_NS - 1)
    assert lab.collector.intake.held == 2
    lab.collector.intake.overdue(gw.now + HOLD_NS)
    assert lab.collector.intake.held == 0
    lab.give(*frames(gw, 6, 7))
    lab.give(*frames(gw, 3))
    lab.commit()
    assert lab.late() == [("asset-gw", gw.time(3))]
    assert gw.time(3) in lab.series("asset-gw/a")[0]
    assert gw.time(3) not in scores(lab)
    assert gw.time(7) in scores(lab)
    assert scores(lab) == replayed(lab)
    assert lab.ledger().missing == 0


def test_two_gaps_are_waited_for_one_after_the_other(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *frames(gw, 0, 2, at=gw.now), *frames(gw, 4, at=gw.now + 5 * SECOND))
    lab.collector.intake.overdue(gw.now + HOLD_NS)
    assert lab.collector.intake.held == 1
    lab.collector.intake.overdue(gw.now + HOLD_NS + 5 * SECOND)
    assert lab.collector.intake.held == 0


def test_a_refused_frame_keeps_nobody_waiting(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *frames(gw, 0), gw.frame(1, v=[1.0]), *frames(gw, 2))
    assert lab.collector.intake.held == 0
    lab.give(*frames(gw, 5), gw.frame(4, v=[1.0], at=gw.now))
    assert lab.collector.intake.held > 0
    lab.give(*frames(gw, 3))
    assert lab.collector.intake.held == 0


def test_a_new_boot_ends_the_waiting_of_the_old_one(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *frames(gw, 0, 2))
    again = Gateway(boot=2, channels=gw.channels, assets=gw.assets)
    rows = values(300).tolist()
    lab.give(again.birth(), again.frame(0, v=rows[3], t=gw.time(3) / 1e9, at=gw.now))
    assert lab.collector.intake.held == 0
    lab.give(*frames(gw, 1))
    lab.commit()
    assert lab.late() == [("asset-gw", gw.time(1))]
    assert scores(lab) == replayed(lab)


def test_a_crash_while_frames_wait_leaves_them_stored_and_noted(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), *frames(gw, *range(5), 6, 7))
    lab.commit()
    assert lab.late() == [("asset-gw", gw.time(6)), ("asset-gw", gw.time(7))]
    lab.restart()
    lab.give(*frames(gw, 5, 8, 9))
    lab.commit()
    assert lab.series("asset-gw/a")[0] == [gw.time(s) for s in range(10)]
    assert scores(lab) == replayed(lab)
    assert gw.time(9) in scores(lab)


def test_waiting_is_bounded(lab: Lab, gw: Gateway) -> None:
    lab.give(gw.birth(), gw.frame(0), *(gw.frame(s, v=[1.0, 2.0, 3.0]) for s in range(2, MAX_HELD + 10)))
    while lab.desk.data:
        lab.collector.tick()
    assert lab.collector.intake.held <= MAX_HELD
    lab.commit()
    assert lab.ledger().accepted == MAX_HELD + 9


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_live_scores_are_those_of_a_replay_whatever_the_order(lab: Lab, data: st.DataObject) -> None:
    name = f"g{len(lab.collector.catalogue.gateways)}"
    gw = Gateway(name, channels=[Channel(tag) for tag in TAGS], assets=[Asset(f"asset-{name}", "thing")])
    numbers = data.draw(st.permutations(range(14)))
    lost = data.draw(st.sets(st.sampled_from(range(14)), max_size=3))
    sent = [s for s in numbers if s not in lost]
    cut = data.draw(st.integers(0, len(sent)))
    lab.give(gw.birth(), *frames(gw, *sent[:cut], at=gw.now))
    if data.draw(st.booleans()):
        lab.commit()
    lab.collector.intake.overdue(gw.now + data.draw(st.sampled_from([0, HOLD_NS])))
    lab.give(*frames(gw, *sent[cut:], at=gw.now))
    lab.collector.intake.overdue(gw.now + 2 * HOLD_NS)
    lab.give()
    lab.commit()
    assert lab.series(f"asset-{name}/a")[0] == [gw.time(s) for s in sorted(sent)]
    t, v, _ = lab.series(f"asset-{name}/~score")
    found = replay_scores(lab.collector.historian, lab.collector.store, f"asset-{name}", 0, 2**62)
    there = np.isfinite(found.score)
    assert t == found.t[there].tolist()
    assert v == found.score[there].tolist()
    late = {t for asset, t in lab.late() if asset == f"asset-{name}"}
    assert late.isdisjoint(t)
