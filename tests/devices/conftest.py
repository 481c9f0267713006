"""A broker to kill, and a collector that acknowledges as the lab's does."""

import contextlib
import itertools
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from devices.frame import Ack, Command, Frame, decode_frame
from devices.link import BrokerAddress

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    """Wait for a condition; whether it came true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


class Broker:
    """A mosquitto of our own, on one port over all its lives."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.address = BrokerAddress(port=port, keepalive_s=5)
        self.process: subprocess.Popen[bytes] | None = None
        self._config = folder / "mosquitto.conf"
        self._extra = ""

    def start(self, extra: str = "") -> None:
        assert MOSQUITTO
        self._extra = extra or self._extra
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\nset_tcp_nodelay true\n{self._extra}\n"
        )
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert until(self._answers), "mosquitto does not listen"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    def kill(self, how: int = signal.SIGKILL) -> None:
        if self.process:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None


class Collector:
    """Takes what one gateway sends, and acknowledges every 50 ms what it has (unless `deaf`)."""

    def __init__(self, port: int, root: str) -> None:
        self.port, self.root = port, root
        self.frames: dict[tuple[int, int], Frame] = {}
        self.payloads: dict[tuple[int, int], bytes] = {}
        self.order: list[tuple[int, int]] = []
        self.messages: list[tuple[str, bytes, bool]] = []
        self.deaf = False
        self.ignored = 0
        self._lock = threading.Lock()
        self._changed = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._acknowledge)
        self.client = self._connect()
        self._thread.start()

    def _connect(self) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv311)
        client.on_message = self._take
        client.on_connect = lambda client, *_: client.subscribe(f"{self.root}/+", 1)
        client.reconnect_delay_set(1, 1)
        client.connect("127.0.0.1", self.port, 5)
        client.loop_start()
        assert until(client.is_connected)
        return client

    def _take(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        cls = message.topic.rsplit("/", 1)[1]
        payload = bytes(message.payload)
        if self.deaf:
            self.ignored += cls == "data"
            return
        if cls != "data":
            with self._lock:
                self.messages.append((cls, payload, message.retain))
            return
        frame = decode_frame(payload)
        assert frame.b is not None
        assert frame.s is not None
        key = frame.b, frame.s
        with self._lock:
            assert self.payloads.setdefault(key, payload) == payload
            self.frames[key] = frame
            self.order.append(key)
            self._changed = True

    def got(self, cls: str) -> list[bytes]:
        with self._lock:
            return [payload for name, payload, _ in self.messages if name == cls]

    def acks(self) -> list[Ack]:
        with self._lock:
            boots = {b for b, _ in self.frames}
            acks = []
            for boot in boots:
                have = sorted(s for b, s in self.frames if b == boot)
                edges = [-1, *have]
                missing = [(i + 1, j - 1) for i, j in itertools.pairwise(edges) if j > i + 1]
                acks.append(Ack(boot, have[-1], missing))
            return acks

    def _acknowledge(self) -> None:
        while not self._closing.wait(0.05):
            if not self.deaf and self._changed:
                self._changed = any(ack.missing for ack in self.acks())
                for ack in self.acks():
                    self.client.publish(f"{self.root}/ack", msgspec.json.encode(ack), 1)

    def command(self, command: Command | bytes, *, retain: bool = False) -> None:
        payload = command if isinstance(command, bytes) else msgspec.json.encode(command)
        self.client.publish(f"{self.root}/cmd", payload, 1, retain).wait_for_publish(5)

    def replies(self) -> list[dict[str, object]]:
        events: list[dict[str, object]] = [msgspec.json.decode(payload) for payload in self.got("event")]
        return [event for event in events if event.get("kind") == "reply"]

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self.client.disconnect()
        self.client.loop_stop()
        self.client._reset_sockets()


@pytest.fixture
def broker(tmp_path: Path, free_port: int) -> Iterator[Broker]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    broker = Broker(tmp_path, free_port)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def collector(broker: Broker) -> Iterator[Collector]:
    collector = Collector(broker.port, "lab/v1/kyushu/lab/demo/line1/gw-1")
    yield collector
    collector.close()
