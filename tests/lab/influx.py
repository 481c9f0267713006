"""A real InfluxDB 1.x for tests, and in front of it a gateway that speaks as 2.x does."""

import http.client
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

INFLUXD = shutil.which("influxd")

CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{http}"
log-enabled = false
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def influxd(folder: Path, port: int | None = None) -> Iterator[str]:
    """Start Debian's influxd with its files in a folder; its URL. It is stopped in the end."""
    assert INFLUXD is not None
    rpc, free = _free_ports(2)
    port = port or free
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "influxdb.conf"
    config.write_text(CONFIG.format(rpc=rpc, http=port, folder=folder.as_posix()), encoding="utf-8")
    with (folder / "influxd.log").open("wb") as log:
        process = subprocess.Popen([INFLUXD, "-config", str(config)], stdout=log, stderr=log)
        try:
            _wait(process, port, folder / "influxd.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/ping")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RuntimeError(f"influxd did not start:\n{log.read_text(errors='replace')[-2000:]}")


class _Gateway(BaseHTTPRequestHandler):
    """What a 2.x server answers, made from a 1.x one: `/api/v2/write`, tokens, its version."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    timeout = 2  # then an idle connection is closed, which its client must bear
    server: "GatewayServer"

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/ping":
            self._answer(204, b"", {"X-Influxdb-Version": "v2.7.0", "X-Influxdb-Build": "OSS"})
        else:
            self._pass_on(self.path)

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/api/v2/write":
            fields = parse_qs(url.query)
            self.server.orgs.add(fields["org"][0])
            self._pass_on("/write?" + urlencode({"db": fields["bucket"][0], "precision": fields["precision"][0]}))
        else:
            self._answer(404, b'{"code":"not found","message":"path not found"}', {})

    def _pass_on(self, path: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Token {self.server.token}":
            self._answer(401, b'{"code":"unauthorized","message":"unauthorized access"}', {})
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
        try:
            connection.request(self.command, path, body)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        self._answer(answer.status, content, {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class GatewayServer(ThreadingHTTPServer):
    """The gateway; `orgs` are the organisations it was written to as."""

    daemon_threads = False

    def __init__(self, upstream: int, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Gateway)
        self.upstream, self.token = upstream, token
        self.orgs: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def gateway(url: str, token: str) -> Iterator[GatewayServer]:
    """Serve the gateway in front of a 1.x server."""
    server = GatewayServer(int(url.rpartition(":")[2]), token)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
