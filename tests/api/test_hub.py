"""The hub: same bytes for everybody, slow clients lose the oldest and are told, reconnecting resumes."""

import asyncio
import json
from typing import Any

import pytest

from api.hub import GAP, KEPT, QUEUE, Client, Frame, Hub
from api.problems import Problem


def frame(id: int, **assets: Any) -> bytes:
    return json.dumps({"id": id, "assets": assets}).encode()


async def drain(client: Client) -> list[int]:
    """Ids of what a closed client has left; -1 is a gap."""
    client.close()
    found = []
    while (each := await client.next()) is not None:
        found.append(each.id)
    return found


def test_every_client_gets_the_very_same_objects() -> None:
    async def run() -> None:
        hub = Hub()
        clients = [hub.join() for _ in range(3)]
        hub.publish(frame(1))
        first = [await client.next() for client in clients]
        assert first[0] is not None
        assert first[0] is first[1] is first[2]
        assert first[0].text == frame(1).decode()
        assert first[0].event == b"id: 1\ndata: " + frame(1) + b"\n\n"

    asyncio.run(run())


def test_slow_client_loses_the_oldest_and_is_told_once() -> None:
    async def run() -> None:
        hub = Hub()
        slow = hub.join()
        for id in range(1, QUEUE + 11):
            hub.publish(frame(id))
        assert slow.dropped == hub.dropped == 10
        assert await drain(slow) == [GAP.id, *range(11, QUEUE + 11)]

    asyncio.run(run())


def test_a_fast_client_beside_a_slow_one_misses_nothing() -> None:
    async def run() -> None:
        hub = Hub()
        hub.join()
        fast = hub.join()
        got: list[int] = []
        for id in range(1, 101):
            hub.publish(frame(id))
            each = await fast.next()
            assert each is not None
            got.append(each.id)
        assert got == list(range(1, 101))
        assert fast.dropped == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("after", "expected"),
    [(None, []), (5, []), (3, [4, 5]), (1, [2, 3, 4, 5]), (0, [GAP.id]), (9, [GAP.id])],
)
def test_resume(after: int | None, expected: list[int]) -> None:
    async def run() -> None:
        hub = Hub()
        for id in range(1, 6):
            hub.publish(frame(id))
        assert await drain(hub.join(after)) == expected

    asyncio.run(run())


def test_resume_reaches_as_far_as_frames_are_kept() -> None:
    async def run() -> None:
        hub = Hub()
        for id in range(KEPT + 5):
            hub.publish(frame(id))
        assert await drain(hub.join(4)) == [GAP.id]
        assert await drain(hub.join(5)) == list(range(6, KEPT + 5))

    asyncio.run(run())


def test_large_frames_are_kept_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.hub.KEPT_BYTES", 3000)

    async def run() -> None:
        hub = Hub()
        for id in range(10):
            hub.publish(frame(id, a={"episode": "x" * 900}))
        assert await drain(hub.join(6)) == [GAP.id]
        assert await drain(hub.join(7)) == [8, 9]
        hub.publish(frame(10, a={"episode": "x" * 9000}))
        assert [kept.id for kept in hub.frames] == [10]  # the newest is always there

    asyncio.run(run())


def test_resume_after_a_restart_is_a_gap() -> None:
    async def run() -> None:
        assert await drain(Hub().join(123)) == [GAP.id]

    asyncio.run(run())


def test_what_was_missed_comes_before_what_comes_now() -> None:
    async def run() -> None:
        hub = Hub()
        for id in (1, 2, 3):
            hub.publish(frame(id))
        client = hub.join(1)
        hub.publish(frame(4))
        assert await drain(client) == [2, 3, 4]

    asyncio.run(run())


def test_a_clock_set_back_starts_anew() -> None:
    async def run() -> None:
        hub = Hub()
        for id in (1000, 1001, 500):
            hub.publish(frame(id))
        assert await drain(hub.join(1000)) == [GAP.id]
        assert await drain(hub.join(500)) == []

    asyncio.run(run())


def test_line_ends_do_not_break_an_event() -> None:
    hub = Hub()
    hub.publish(b'{"id": 1,\r\n "assets": {}}')
    assert hub.frames[0].event.split(b"\n") == [b"id: 1", b'data: {"id": 1,   "assets": {}}', b"", b""]


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'{"assets":{}}', b'{"id":"x"}', b'{"id":1,"assets":[]}', b"\xff"]
)
def test_what_is_no_frame_is_counted_and_left_out(payload: bytes) -> None:
    hub = Hub()
    hub.publish(payload)
    assert (hub.bad, hub.received, list(hub.frames)) == (1, 0, [])


def test_unknown_fields_of_a_frame_reach_the_clients() -> None:
    hub = Hub()
    payload = b'{"id":1,"assets":{"a":{"v":[1],"new":true}},"rates":{"readings_s":5}}'
    hub.publish(payload)
    assert hub.frames[0].text == payload.decode()
    assert hub.assets["a"].v == [1]


def test_the_last_word_of_an_unchanged_asset_stays() -> None:
    hub = Hub()
    hub.publish(frame(1, a={"score": 0.5}, b={"score": 0.7}))
    hub.publish(frame(2, a={"score": 0.6}))
    assert (hub.assets["a"].score, hub.assets["b"].score) == (0.6, 0.7)


def test_closing_ends_every_stream_after_what_is_queued() -> None:
    async def run() -> None:
        hub = Hub()
        client = hub.join()
        waiting = asyncio.create_task(client.next())
        await asyncio.sleep(0)
        hub.close()
        assert await waiting is None
        assert await hub.join().next() is None

    asyncio.run(run())


def test_there_is_a_limit_to_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.hub.MAX_CLIENTS", 2)

    async def run() -> None:
        hub = Hub()
        first = hub.join()
        hub.join()
        with pytest.raises(Problem, match="503"):
            hub.join()
        hub.leave(first)
        hub.join()

    asyncio.run(run())


def test_gap_has_no_id_of_its_own() -> None:
    assert isinstance(GAP, Frame)
    assert GAP.event == b'data: {"gap":true}\n\n'
