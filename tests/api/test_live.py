"""The live view over real connections: WebSocket, server-sent events, slow readers, restarts."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.api.conftest import Broker, Collector, Server, configure, wait_for


def received(server: Server, id: int) -> None:
    wait_for(lambda: server.hub.frames and server.hub.frames[-1].id >= id, "the frame in the hub")


def gone(server: Server) -> None:
    wait_for(lambda: not server.hub.clients, "the client to be forgotten")


def events(lines: Iterator[str]) -> Iterator[tuple[str | None, dict[str, object]]]:
    """Id and data of each server-sent event."""
    id = None
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            id = value
        elif name == "data":
            yield id, json.loads(value)
            id = None


def test_websocket_gets_the_collectors_bytes(server: Server, collector: Collector) -> None:
    with connect(server.live, proxy=None) as socket_, connect(server.live, proxy=None) as other:
        assert "sec-websocket-extensions" not in socket_.response.headers  # no compression of each message
        wait_for(lambda: len(server.hub.clients) == 2, "both clients")
        id = collector.frame(score=2.5)
        message = socket_.recv(20)
        assert message == other.recv(20)
        frame = json.loads(message)
        assert (frame["id"], frame["assets"]["tep-1"]["score"]) == (id, 2.5)
        socket_.send("whatever a client says is read and forgotten")
        assert json.loads(other.recv(20) if collector.frame() else "")["id"] == collector.id
        assert json.loads(socket_.recv(20))["id"] == collector.id
    gone(server)


def test_websocket_resumes(server: Server, collector: Collector) -> None:
    ids = [collector.frame() for _ in range(3)]
    received(server, ids[-1])
    with connect(f"{server.live}?after={ids[0]}", proxy=None) as socket_:
        assert [json.loads(socket_.recv(20))["id"] for _ in range(2)] == ids[1:]
        newest = collector.frame()
        assert json.loads(socket_.recv(20))["id"] == newest
    with connect(f"{server.live}?after=1", proxy=None) as socket_:
        assert json.loads(socket_.recv(20)) == {"gap": True}
        newest = collector.frame()
        assert json.loads(socket_.recv(20))["id"] == newest
    gone(server)


def test_websocket_with_a_senseless_id_is_closed(server: Server) -> None:
    with connect(f"{server.live}?after=yesterday", proxy=None) as socket_, pytest.raises(ConnectionClosed) as caught:
        socket_.recv(20)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1008


def test_slow_reader_loses_the_oldest_and_nobody_else_anything(server: Server, collector: Collector) -> None:
    hub = server.hub
    big = [float(n) for n in range(4000)]  # so that socket buffers fill after some frames
    with connect(server.live, proxy=None) as fast:
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(
                f"GET /api/v1/live HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\nupgrade: websocket\r\n"
                "connection: upgrade\r\nsec-websocket-version: 13\r\n"
                "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            wait_for(lambda: len(hub.clients) == 2, "both clients")
            before = hub.dropped
            sent = 0
            while hub.dropped < before + 5 and sent < 3000:
                id = collector.frame(v=big)
                sent += 1
                assert json.loads(fast.recv(20))["id"] == id
            assert hub.dropped >= before + 5
        wait_for(lambda: len(hub.clients) == 1, "the slow client to be forgotten")
        assert next(iter(hub.clients)).dropped == 0
    gone(server)


def test_server_sent_events(server: Server, collector: Collector, http: httpx.Client) -> None:
    ids = [collector.frame() for _ in range(2)]
    received(server, ids[-1])
    for kind, name in (("params", "after"), ("headers", "last-event-id")):
        with http.stream("GET", "/api/v1/live.sse", **{kind: {name: str(ids[0])}}) as answer:  # type: ignore[arg-type]
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert answer.headers["cache-control"] == "no-store"
            found = events(answer.iter_lines())
            id, frame = next(found)
            assert (id, frame["id"]) == (str(ids[1]), ids[1])
            newest = collector.frame()
            assert next(found) == (str(newest), json.loads(server.hub.frames[-1].text))
        ids = [newest, collector.frame()]
        received(server, ids[-1])
    with http.stream("GET", "/api/v1/live.sse", params={"after": "1"}) as answer:
        assert next(events(answer.iter_lines())) == (None, {"gap": True})
    gone(server)


def test_quiet_streams_say_that_they_live(server: Server, http: httpx.Client) -> None:
    with http.stream("GET", "/api/v1/live.sse") as answer, connect(server.live, proxy=None) as socket_:
        wait_for(lambda: len(server.hub.clients) == 2, "both clients")
        server.loop.call_soon_threadsafe(server.hub.beat)
        assert next(line for line in answer.iter_lines() if line.startswith(":")) == ": still here"
        with pytest.raises(TimeoutError):
            socket_.recv(0.05)
    gone(server)


def test_too_many_viewers_are_told_so(server: Server, http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.hub.MAX_CLIENTS", 0)
    answer = http.get("/api/v1/live.sse")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/busy")
    with connect(server.live, proxy=None) as socket_, pytest.raises(ConnectionClosed) as caught:
        socket_.recv(20)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1013


def test_live_survives_the_broker_and_the_api_restarting(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    if broker._program is None:
        pytest.skip("mosquitto is not installed")
    broker.start()
    config = configure(tmp_path / "lab", broker.port)
    server = Server(config)
    server.start()
    collector = Collector(broker.port)
    try:
        with connect(server.live, proxy=None) as socket_:
            wait_for(lambda: server.hub.clients, "the client")
            first = collector.frame()
            assert json.loads(socket_.recv(20))["id"] == first

            broker.stop()
            wait_for(lambda: not server.app.state.context.bus.connected, "the API to notice")
            broker.start()
            wait_for(lambda: server.app.state.context.bus.connected, "the API to be back")
            wait_for(collector.client.is_connected, "the collector to be back")
            time.sleep(0.05)
            second = collector.frame()  # the subscription is back too, on the same WebSocket
            assert json.loads(socket_.recv(20))["id"] == second

            server.stop()
            with pytest.raises(ConnectionClosed) as caught:
                socket_.recv(20)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012  # service restart: come again
        server = Server(config)
        server.start()
        with connect(f"{server.live}?after={second}", proxy=None) as socket_:
            assert json.loads(socket_.recv(20)) == {"gap": True}
            third = collector.frame()
            assert json.loads(socket_.recv(20))["id"] == third
    finally:
        collector.close()
        server.stop()
        broker.stop()
