"""The door: Host, Origin, sizes, headers."""

import socket
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.security import HEADERS, MAX_BODY, Guard, host_name, same_host
from tests.api.conftest import Plant, Server

LOOPBACK = [
    "localhost",
    "localhost:8000",
    "LOCALHOST",
    "127.0.0.1",
    "127.0.0.1:8000",
    "127.1.2.3",
    "[::1]",
    "[::1]:8000",
]
STRANGERS = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "0.0.0.0",
    "192.168.1.5",
    "",
    "a b",
    "x@localhost",
]


def guard(host: str) -> Guard:
    async def nothing(*_: Any) -> None:
        raise AssertionError

    return Guard(nothing, host)


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("bound", ["127.0.0.1", "localhost", "::1"])
def test_loopback_names_are_taken(bound: str, host: str) -> None:
    assert guard(bound).allows(host)


@pytest.mark.parametrize("host", STRANGERS)
def test_other_names_are_refused_on_the_loopback(host: str) -> None:
    assert not guard("127.0.0.1").allows(host)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("192.168.1.5:8000", True),
        ("[fe80::1]:8000", True),
        ("factory-pc", True),
        ("factory-pc.local", True),
        ("lab.home.arpa", True),
        ("localhost", True),
        ("evil.example", False),
        ("192.168.1.5.evil.example", False),
        ("", False),
    ],
)
def test_on_the_network_only_names_that_nobody_can_register(host: str, allowed: bool) -> None:
    assert guard("0.0.0.0").allows(host) is allowed


def test_a_configured_name_is_taken() -> None:
    assert guard("lab.factory.example").allows("lab.factory.example:8000")
    assert not guard("lab.factory.example").allows("other.factory.example")


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://localhost:8000", "localhost:8000", True),
        ("http://LOCALHOST:8000", "localhost:8000", True),
        ("http://localhost", "localhost", True),
        ("http://localhost", "localhost:80", True),
        ("http://localhost:8001", "localhost:8000", False),
        ("http://127.0.0.1:8000", "localhost:8000", False),
        ("http://evil.example", "localhost:8000", False),
        ("null", "localhost:8000", False),
        ("", "localhost:8000", False),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://localhost:x", "localhost", False),
    ],
)
def test_same_host(origin: str, host: str, same: bool) -> None:
    assert same_host(origin, host, "http") is same


def test_host_names() -> None:
    assert host_name("localhost.:80") == "localhost"
    assert host_name("a/b") is None
    assert host_name("[::1") is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "192.168.1.5"])
def test_a_rebound_name_gets_nothing(http: httpx.Client, host: str) -> None:
    for path in ("/", "/api/v1/assets", "/api/v1/live.sse", "/healthz", "/docs"):
        answer = http.get(path, headers={"host": host})
        assert answer.status_code == 421
        assert answer.json()["type"] == "/problems/wrong-host"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_another_sites_page_cannot_operate_the_plant(http: httpx.Client, plant: Plant, headers: dict[str, str]) -> None:
    plant.commands.clear()
    answer = http.post("/api/v1/simulators/tep-1/speed", json={"speed": 2}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/cross-origin"
    assert plant.commands == []
    form = http.post("/api/v1/simulators/tep-1/speed", data={"speed": "2"})
    assert form.status_code == 422
    text = http.post("/api/v1/simulators/tep-1/speed", content=b'{"speed":2}', headers={"content-type": "text/plain"})
    assert text.status_code == 422
    assert plant.commands == []


def test_the_labs_own_page_can(http: httpx.Client, plant: Plant, server: Server) -> None:
    headers = {"origin": server.url, "sec-fetch-site": "same-origin"}
    assert http.post("/api/v1/simulators/tep-1/speed", json={"speed": 2}, headers=headers).status_code == 200


def test_no_answer_is_for_other_origins(http: httpx.Client) -> None:
    answer = http.get("/api/v1/assets", headers={"origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = http.options(
        "/api/v1/assets", headers={"origin": "http://evil.example", "access-control-request-method": "GET"}
    )
    assert asked.status_code == 405
    assert not [name for name in asked.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/nope", "/api/v1/assets", "/healthz", "/pages/nope.js", "/api/v1/openapi.json"]
)
def test_headers_of_every_answer(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "server" not in answer.headers or answer.headers["server"] == "uvicorn"  # `lab api` switches it off
    if path.startswith("/api"):
        assert answer.headers["cache-control"] == "no-store"


def test_a_websocket_of_another_site_is_refused(server: Server) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(server.live, origin="http://evil.example", proxy=None)  # type: ignore[arg-type]
    assert caught.value.response.status_code == 403
    with pytest.raises(InvalidStatus) as caught:
        connect(server.live, additional_headers={"Host": "evil.example"}, proxy=None)
    assert caught.value.response.status_code == 403
    with connect(server.live, origin=server.url, proxy=None):  # type: ignore[arg-type]
        pass


def test_a_large_body_is_refused(http: httpx.Client) -> None:
    answer = http.post("/api/v1/simulators/x/speed", content=b"x" * (MAX_BODY + 1))
    assert answer.status_code == 413
    assert answer.json()["type"] == "/problems/too-large"


def test_a_large_body_without_a_length_is_refused(server: Server) -> None:
    head = (
        f"POST /api/v1/simulators/x/speed HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\n"
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 20) as peer:
        peer.sendall(head.encode())
        answer = b""
        try:
            for _ in range(MAX_BODY // 65536 + 2):
                peer.sendall(chunk)
            peer.sendall(b"0\r\n\r\n")
        except ConnectionError:
            pass  # it may have closed already
        while more := peer.recv(65536):
            answer += more
            if b"}" in answer:
                break
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"/problems/too-large" in answer


def test_a_body_of_the_largest_size_is_read(http: httpx.Client) -> None:
    body = b'{"speed":' + b" " * (MAX_BODY - 11) + b"2}"
    assert len(body) == MAX_BODY
    answer = http.post("/api/v1/simulators/nosuch/speed", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 404
