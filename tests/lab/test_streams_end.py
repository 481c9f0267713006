"""The collector and streams that end: rows that wait for a model, open episodes; and what a user orders."""

import errno
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from devices.frame import Asset, Channel, Command, Reply
from devices.quality import BAD
from devices.topics import CORE_COMMAND, CORE_REPLY
from lab import collector, scoring, store
from lab.blocks import RowBlock
from lab.episodes import list_episodes
from lab.rescoring import replay_scores
from lab.scorer import Scorer
from lab.sources import SECOND, Message
from lab.telling import Telling
from models.detector import load, save
from models.precursor.detector import WARM
from tests.lab.gateways import Gateway, Lab
from tests.models.plants import SENSORS, fitted, record


def pump(learn_rows: int | None = None) -> Gateway:
    return Gateway(tags=SENSORS, assets=[Asset("pump-1", "pump", learn_rows=learn_rows)])


def give(lab: Lab, gateway: Gateway, x: np.ndarray, start: int = 0) -> None:
    gateway.values = lambda s: x[s - start].tolist()  # type: ignore[method-assign]
    lab.give(*(gateway.frame(start + row) for row in range(len(x))))


def second(lab: Lab) -> None:
    """Let the collector do what it does once a second."""
    lab.collector._status_at = -1e9
    lab.collector.tick()


def test_rows_that_wait_for_a_model_are_scored_when_no_more_come(tmp_path: Path) -> None:
    lab, gateway = Lab(tmp_path), pump(learn_rows=100)
    lab.give(gateway.birth())
    x = record(200, 1)
    give(lab, gateway, x[:150])
    assert lab.collector.intake.counters.scored == 0
    lab.commit()
    wait([lab.collector.scoring.learning.learners[0].result])
    second(lab)
    assert lab.collector.intake.counters.scored == 50 - WARM
    assert lab.collector._dirty
    lab.commit()
    assert lab.series("pump-1/~score")[0] == [gateway.time(s) for s in range(100 + WARM, 150)]
    lab.collector.close()


def test_a_channel_named_for_the_first_time_beside_frames_without_it(tmp_path: Path) -> None:
    """Both are taken in one tick; the model knows the new channel."""
    save(fitted("precursor"), tmp_path / "models" / "hand.model")
    lab, gateway, x = Lab(tmp_path), Gateway("esp"), record(60, 5)

    def frame(s: int, width: int) -> Message:
        return gateway.frame(s, h=None, v=dict(zip(SENSORS[:width], x[s].tolist(), strict=False)))

    lab.give(frame(0, 4))
    lab.collector.sources.settle(gateway.now + 60 * SECOND)
    lab.collector.tick()
    lab.give(*(frame(s, 4) for s in range(1, 20)), *(frame(s, 6) for s in range(20, 40)))
    lab.commit()
    assert lab.collector.intake.counters.scored == 40 - WARM
    replayed = replay_scores(lab.collector.historian, lab.collector.store, "esp", 0, 2**62)
    assert replayed.score[WARM:].tolist() == lab.series("esp/~score")[1]
    lab.collector.close()


def test_what_waits_of_a_gateway_that_lost_its_asset_is_stored_not_scored(tmp_path: Path) -> None:
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    lab, x = Lab(tmp_path), record(60, 5)
    before, after = Gateway(tags=SENSORS[:4], assets=[Asset("pump-1", "pump")]), Gateway("other", tags=SENSORS)
    after.assets = before.assets
    lab.give(before.birth(), *(before.frame(s, v=x[s, :4].tolist()) for s in range(20)))
    now = time.time_ns()
    lab.give(before.frame(21, v=x[21, :4].tolist(), at=now))  # 20 is missing: it waits for its turn
    assert lab.collector.intake.held == 1
    lab.give(before.state("offline"), after.birth())
    lab.collector.intake.overdue(now + 60 * SECOND)
    lab.give(*(after.frame(s, v=x[s].tolist()) for s in range(22, 42)))
    lab.commit()
    assert lab.collector.intake.counters.scored == 40 - WARM
    assert lab.late() == [("pump-1", before.time(21))]
    lab.collector.close()


def test_an_open_episode_ends_when_its_gateway_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    lab, gateway = Lab(tmp_path), pump()
    lab.give(gateway.birth(), gateway.state("online"))
    x = record(300, 5)
    x[100:, 1] -= 12.0
    give(lab, gateway, x[:150])
    second(lab)
    lab.commit()
    (episode,) = list_episodes(lab.collector.store, open=True)
    monkeypatch.setattr(collector, "QUIET_S", 0.0)
    lab.collector.sources.all[gateway.path, gateway.id].expire_ns = 10**12
    second(lab)
    assert not lab.collector.scoring.waiting  # quiet, but not long enough
    lab.give(gateway.state("offline"))
    second(lab)
    assert not lab.collector.scoring.waiting  # it said goodbye just now
    monkeypatch.setattr(collector, "GONE_S", -1e9)
    second(lab)
    assert lab.collector._dirty
    lab.commit()
    (ended,) = list_episodes(lab.collector.store)
    assert (ended.id, ended.end) == (episode.id, gateway.time(149))
    lab.collector._live_at = -1e9
    lab.collector.tick()
    assert lab.live()[-1]["assets"]["pump-1"]["episode"] is None
    # it comes back and goes on
    monkeypatch.setattr(collector, "GONE_S", 10.0)
    lab.give(gateway.state("online"))
    give(lab, gateway, x[150:160], start=150)
    lab.commit()
    assert [each.id for each in list_episodes(lab.collector.store, open=True)] == [episode.id]
    # and falls silent without a word
    lab.restart()
    lab.commit()
    second(lab)
    assert not lab.collector.scoring.waiting
    monkeypatch.setattr(collector, "QUIET_S", -1e9)
    lab.collector.sources.all[gateway.path, gateway.id].expire_ns = -(10**18)
    second(lab)
    lab.commit()
    assert [each.end for each in list_episodes(lab.collector.store)] == [gateway.time(159)]
    lab.collector.close()


def test_an_open_episode_ends_when_its_asset_is_renamed(tmp_path: Path) -> None:
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    lab, gateway = Lab(tmp_path), pump()
    lab.give(gateway.birth(), gateway.state("online"))
    x = record(300, 5)
    x[100:, 1] -= 12.0
    give(lab, gateway, x[:150])
    lab.commit()
    (episode,) = list_episodes(lab.collector.store, open=True)
    lab.collector._live_at = -1e9
    gateway.assets = [Asset("pump-2", "pump")]
    lab.give(gateway.birth())
    lab.commit()
    (ended,) = list_episodes(lab.collector.store)
    assert (ended.id, ended.end) == (episode.id, gateway.time(149))
    told = lab.live()[-1]["assets"]
    assert (told["pump-1"]["episode"], told["pump-1"]["alarm"], told["pump-1"]["online"]) == (None, False, False)
    assert (told["pump-2"]["score"], told["pump-2"]["alarm"], told["pump-2"]["online"]) == (None, False, True)
    # it has its name again in time
    gateway.assets = [Asset("pump-1", "pump")]
    lab.give(gateway.birth())
    give(lab, gateway, x[150:160], start=150)
    lab.commit()
    assert [each.id for each in list_episodes(lab.collector.store, open=True)] == [episode.id]
    lab.give(gateway.birth(assets=[Asset("pump-3", "pump")]))
    lab.commit()
    ended = list_episodes(lab.collector.store)
    lab.restart()
    assert list_episodes(lab.collector.store) == ended
    lab.collector.close()


def test_an_episode_that_ended_with_its_stream_has_ended_after_a_restart(tmp_path: Path) -> None:
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    lab, gateway = Lab(tmp_path), pump()
    lab.give(gateway.birth())
    x = record(300, 5)
    x[100:, 1] -= 12.0
    give(lab, gateway, x[:140])
    lab.collector.scoring._snapshot_at = -1e9
    lab.commit()
    give(lab, gateway, x[140:150], start=140)
    lab.collector.scoring.ended(0)
    lab.commit()
    (ended,) = list_episodes(lab.collector.store, open=False)
    lab.restart()
    lab.commit()
    assert list_episodes(lab.collector.store) == [ended]
    assert lab.collector.scoring.describe(0)["episode"] is None
    give(lab, gateway, x[150:151], start=150)
    lab.commit()
    assert [each.id for each in list_episodes(lab.collector.store, open=True)] == [ended.id]
    lab.collector.close()


@pytest.mark.parametrize("restarts", [(), (95, 105, 155)])
def test_the_channels_of_before_are_known_in_a_replay_and_after_a_restart(
    tmp_path: Path, restarts: tuple[int, ...]
) -> None:
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    lab, x, numbers = Lab(tmp_path), record(200, 5), []
    x[60:130, 1] -= 12.0
    lists = {0: SENSORS, 100: SENSORS[2:], 150: (*SENSORS[3:], "new", *SENSORS[:2])}
    for row in range(200):
        if row in lists:
            gateway, first = Gateway(boot=row + 1, tags=lists[row], assets=[Asset("pump-1", "pump")]), row
            lab.give(gateway.birth())
        columns = [SENSORS.index(tag) if tag in SENSORS else 0 for tag in lists[first]]
        lab.give(gateway.frame(row - first, v=x[row, columns].tolist(), t=gateway.time(row) / 1e9))
        lab.commit()
        numbers.append(gateway.time(row))
        if row in restarts:
            lab.restart()
    alone = Scorer()
    channels = [Channel(tag) for tag in SENSORS]
    number = alone.declare(Asset("pump-1", "pump"), channels)
    alone.use(number, load(tmp_path / "models" / "pump.model"))
    x[100:150, :2] = x[150:, 2] = np.nan
    codes = np.where(np.isnan(x), BAD, 0).astype(np.uint8)
    wanted = alone.ingest(RowBlock(np.full(200, number, dtype=np.int32), np.array(numbers), x, codes)).score[WARM:]
    assert lab.series("pump-1/~score")[1] == wanted.tolist()
    replayed = replay_scores(lab.collector.historian, lab.collector.store, "pump-1", 0, 2**62)
    assert replayed.score[WARM:].tolist() == wanted.tolist()
    assert replayed.episodes == list_episodes(lab.collector.store)[::-1]
    lab.collector.close()


def test_rows_that_came_twice_are_in_a_replay_and_are_scored_again_after_a_restart(tmp_path: Path) -> None:
    """Frames without a number may: who sends them knows of no receipt."""
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    lab, gateway, x = Lab(tmp_path), pump(), record(200, 5)
    lab.give(gateway.birth())

    def frame(s: int) -> Message:
        return gateway.frame(None, t=gateway.time(s) / 1e9, v=x[s].tolist())

    for s in range(100):
        lab.give(frame(s), frame(s))
    lab.give(*(frame(s) for s in range(70, 100)))
    lab.give(gateway.frame(None, t=(gateway.time(60) + SECOND // 20) / 1e9, v=[1e6] * 6))  # that one is late
    lab.commit()
    lab.restart()
    lab.give(*(frame(s) for s in range(100, 200)))
    lab.commit()
    _, alone = fitted("precursor").score(fitted("precursor").initial(1), x[None])
    assert lab.series("pump-1/~score")[1] == alone.score[0, WARM:].tolist()
    replayed = replay_scores(lab.collector.historian, lab.collector.store, "pump-1", gateway.time(20), 2**62)
    assert replayed.score.tolist() == alone.score[0, 20:].tolist()
    lab.collector.close()


def test_many_assets_are_scored_again_together_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that went quiet, those that have a gap, or rows that were late, among them."""
    monkeypatch.setattr(scoring, "TOGETHER", 18)  # three at a time
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    lab = Lab(tmp_path)
    gateways = [Gateway(f"gw-{at}", tags=SENSORS, assets=[Asset(f"pump-{at}", "pump")]) for at in range(8)]
    lab.give(*(gateway.birth() for gateway in gateways))
    x = [record(200, 3 + at) for at in range(8)]
    x[4][90:, 1] -= 12.0

    def frame(at: int, s: int, offset: int = 0) -> Message:
        gateway = gateways[at]
        return gateway.frame(None, t=(gateway.time(s) + offset) / 1e9, v=x[at][s].tolist())

    for s in range(200):
        for at in range(8):
            if (at == 1 and s > 60) or (at == 2 and 70 < s < 170) or (at == 7 and s > 110):
                continue
            lab.give(frame(at, s))
            if at == 3 and s in (120, 140):
                lab.give(frame(at, s - 3, SECOND // 20), frame(at, s))
        if s == 100:
            lab.collector.scoring._snapshot_at = -1e9
            lab.commit()
    lab.commit()
    wanted = lab.collector.scoring.scorer.dump(range(8))
    told = lab.collector.scoring.describe(4)["episode"]
    assert told is not None
    lab.restart()
    assert lab.collector.scoring.scorer.dump(range(8)) == wanted
    assert lab.collector.scoring.describe(4)["episode"] == told
    lab.commit()
    for at in range(8):
        replayed = replay_scores(lab.collector.historian, lab.collector.store, f"pump-{at}", 0, 2**62)
        assert replayed.score[np.isfinite(replayed.score)].tolist() == lab.series(f"pump-{at}/~score")[1]
    lab.collector.close()


def test_the_collector_drops_what_is_noted_of_rows_that_are_not_kept(tmp_path: Path) -> None:
    lab, gateway = Lab(tmp_path), pump()
    lab.give(gateway.birth())
    give(lab, gateway, record(20, 5))
    lab.commit()
    with lab.collector.store.transaction() as db:
        db.execute("INSERT INTO late VALUES ('pump-1', ?)", (gateway.time(0) - SECOND,))
        db.execute("INSERT INTO late VALUES ('pump-1', ?)", (gateway.time(5),))
    lab.collector._tidied_at = -1e9
    second(lab)
    assert lab.late() == [("pump-1", gateway.time(5))]
    lab.collector.close()


def test_orders_of_a_user(tmp_path: Path) -> None:
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    lab, gateway = Lab(tmp_path), pump()
    lab.give(gateway.birth())
    x = record(300, 5)
    x[100:, 1] += 12.0

    def order(op: str, retained: bool = False, **args: object) -> Reply | None:
        before = len(lab.desk.sent)
        command = msgspec.json.encode(Command("7", op, args))
        lab.desk.control.append((CORE_COMMAND, command, retained, gateway.now))
        lab.collector.tick()

        def reply() -> Reply | None:
            found = [payload for name, payload in list(lab.desk.sent)[before:] if name == CORE_REPLY]
            return msgspec.json.decode(found[0], type=Reply) if found else None

        at_once = reply()
        if at_once is None:
            lab.commit()
            return reply()
        assert not at_once.ok  # what was done is said only when it is on the disk
        return at_once

    def shown() -> Any:
        lab.collector._live_at = -1e9
        lab.collector.tick()
        return lab.live()[-1]["assets"]["pump-1"]

    refused = order("accept", asset="pump-1")
    assert refused is not None
    assert not refused.ok
    assert refused.result == {"code": "not_scored"}
    give(lab, gateway, x[:160])
    lab.commit()
    (episode,) = list_episodes(lab.collector.store)
    told = order("label", episode=episode.id, cause="strainer blocked", kind="process")
    assert told is not None
    assert told.result == {"episode": episode.id, "cause": "strainer blocked", "library": "pump.causes.json"}
    assert shown()["alarm"]
    done = order("accept", asset="pump-1")
    assert done is not None
    assert done.ok
    assert not lab.collector._dirty
    calm = shown()  # its gateway may be paused, and say nothing for long
    assert (calm["episode"], calm["alarm"], calm["score"]) == (None, False, None)
    give(lab, gateway, x[160:], 160)
    lab.commit()
    (episode,) = list_episodes(lab.collector.store)
    assert episode.end == gateway.time(159)
    assert episode.label == "strainer blocked"
    undone = order("unaccept", asset="pump-1")
    assert undone is not None
    assert undone.result == {"asset": "pump-1"}
    assert not shown()["warm"]
    renamed = order("rename", asset="pump-1", cause="Strainer blocked", name="strainer worn")
    assert renamed is not None
    assert renamed.result == {"cause": "strainer worn", "episodes": 1}
    back = order("take_back", episode=episode.id)
    assert back is not None
    assert back.result == {"episode": episode.id, "cause": "strainer worn"}
    assert list_episodes(lab.collector.store)[0].label is None
    assert order("accept", retained=True, asset="pump-1") is None
    nothing = {"asset": "pump-1", "cause": "strainer worn", "name": None}
    for op, args, missing in (
        ("accept", {"asset": "nobody"}, "asset"),
        ("unaccept", {"asset": "nobody"}, "asset"),
        ("label", {"episode": "x", "cause": "y"}, "episode"),
        ("take_back", {"episode": "x"}, "episode"),
        ("rename", nothing, "cause"),
        ("rename", nothing | {"asset": "nobody"}, "asset"),
    ):
        unknown = order(op, **args)
        assert unknown is not None
        assert unknown.result == {"missing": missing}
    nowhere = {"episode": "x", "cause": "y", "kind": "z"}
    for op, args in (("accept", {}), ("label", {"episode": "x", "cause": ""}), ("label", nowhere), ("dance", {})):
        wrong = order(op, **args)
        assert wrong is not None
        assert not wrong.ok
    lab.collector.close()


def test_a_word_for_which_the_disk_has_no_room_is_told_when_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    lab, gateway = Lab(tmp_path), pump()
    lab.give(gateway.birth())
    x = record(160, 5)
    x[100:, 1] -= 12.0
    give(lab, gateway, x)
    lab.commit()
    (episode,) = list_episodes(lab.collector.store)
    library = tmp_path / "models" / "pump.causes.json"

    def fail(_telling: Telling, _change: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    command = msgspec.json.encode(Command("1", "label", {"episode": episode.id, "cause": "gasket"}))
    with monkeypatch.context() as patch:
        patch.setattr(Telling, "_note", fail)
        lab.give(gateway.birth(), (CORE_COMMAND, command, False, gateway.now))
        assert lab.collector.trouble
        assert lab.desk.of("reply") == []
        assert not library.exists()
    lab.collector._retry_at = 0.0
    lab.collector.tick()
    lab.collector.tick()
    lab.commit()
    assert [each["ok"] for each in lab.desk.of("reply")] == [True]
    assert list_episodes(lab.collector.store)[0].label == "gasket"
    assert library.exists()
    lab.collector.close()


def test_an_order_is_answered_when_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    lab, gateway = Lab(tmp_path), pump()  # a commit once in thirty years
    lab.give(gateway.birth())
    give(lab, gateway, record(100, 5))
    lab.commit()
    now = lab.collector

    def order(id: str) -> None:
        command = msgspec.json.encode(Command(id, "accept", {"asset": "pump-1"}))
        lab.give((CORE_COMMAND, command, False, gateway.now))
        now.tick()  # the commit

    def answered(wanted: int) -> list[str]:
        until = time.monotonic() + 10
        while len(lab.desk.of("reply")) < wanted and time.monotonic() < until:
            now.tick()
        return [each["id"] for each in lab.desk.of("reply")]

    flush: Callable[[int], None] = store._flush
    slow = threading.Event()
    monkeypatch.setattr(store, "_flush", lambda file: (slow.wait(10), flush(file)))
    order("1")
    assert now._sync is not None  # it is being written
    order("2")  # meanwhile
    assert answered(0) == []
    slow.set()
    assert answered(2) == ["1", "2"]

    def fail(_file: int) -> None:
        raise OSError(errno.EIO, "the disk is ill")

    monkeypatch.setattr(store, "_flush", fail)
    order("3")
    wait([now._sync])
    now.tick()
    assert now.trouble
    assert answered(0) == ["1", "2"]
    now._retry_at = 0.0
    assert answered(3) == ["1", "2", "3"]  # written once more, into the database itself
    assert not now.trouble
    monkeypatch.setattr(store, "_flush", flush)
    order("4")
    now.close()  # it commits
    assert answered(4)[-1] == "4"
