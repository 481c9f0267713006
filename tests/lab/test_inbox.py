"""The collector's MQTT connection: whatever way the bytes arrive, the same messages come out."""

import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from devices.topics import topic
from lab import inbox as module
from lab.config import BrokerConfig
from lab.inbox import MAX_SKIMMED, Inbox, _Stream
from tests.conftest import needs

PATH = "a/b/c/d"


class Drip:
    """A socket that gives its bytes in given pieces, then would block."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def recv(self, _size: int) -> bytes:
        if not self.pieces:
            raise BlockingIOError
        return self.pieces.pop(0)


def packet(first: int, body: bytes) -> bytes:
    """An MQTT packet."""
    length, head = len(body), bytearray([first])
    while True:
        length, byte = divmod(length, 128)
        head.append(byte | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


def publish(name: str, payload: bytes, qos: int = 0, retain: bool = False) -> bytes:
    """A PUBLISH packet."""
    raw = name.encode()
    mid = b"\x00\x07" if qos else b""
    return packet(0x30 | qos << 1 | retain, len(raw).to_bytes(2, "big") + raw + mid + payload)


def read_all(stream: _Stream) -> bytes:
    """What paho would read from the stream: byte by byte for the head, then the rest."""
    seen = b""
    while True:
        try:
            first = stream.recv(1)
            length = shift = 0
            while True:
                byte = stream.recv(1)
                first += byte
                length |= (byte[0] & 127) << shift
                shift += 7
                if byte[0] < 128:
                    break
            while length:
                part = stream.recv(length)
                first += part
                length -= len(part)
            seen += first
        except BlockingIOError:
            if stream.dry:
                return seen


PACKETS = st.one_of(
    st.builds(
        lambda s, size, retain: publish(topic(PATH, "g", "data"), b"%d" % s + b"x" * size, 0, retain),
        st.integers(0, 9),
        st.sampled_from([0, 5, 120, 121, 122, 130, 20_000]),
        st.booleans(),
    ),
    st.sampled_from(
        [
            publish(topic(PATH, "g", "state"), b"{}", 0),
            publish(topic(PATH, "g", "data"), b"reliable", 1),
            packet(0xD0, b""),
            packet(0x90, b"\x00\x01\x00\x01\x01\x00"),
            publish(topic(PATH, "g", "data"), b"z" * (MAX_SKIMMED + 1)),
        ]
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PACKETS, max_size=12), st.integers(0, 10**6))
def test_the_same_messages_come_out_however_the_stream_is_cut(packets: list[bytes], seed: int) -> None:
    stream = b"".join(packets)
    chooser = random.Random(seed)
    pieces = []
    while stream:
        size = chooser.choice([1, 2, 3, 50, 400, 30_000, 10**7])
        pieces.append(stream[:size])
        stream = stream[size:]
        if len(pieces) > 3000:
            pieces.append(stream)
            break
    inbox = Inbox(BrokerConfig(), "test")
    for_paho = read_all(_Stream(Drip(pieces), inbox))  # type: ignore[arg-type]

    skimmed = [each for each in packets if each[0] & 0xF6 == 0x30 and len(each) <= MAX_SKIMMED]
    others = [each for each in packets if each not in skimmed]
    assert for_paho == b"".join(others)
    got = [publish(name, payload, 0, retain) for name, payload, retain, _ in (*inbox.data, *inbox.control)]
    assert [each for each in got if b"/data" in each[:40]] == [each for each in skimmed if b"/data" in each[:40]]
    assert len(inbox.control) == sum(b"/state" in each[:40] for each in skimmed)
    assert inbox.waiting_bytes == sum(len(message[1]) for message in inbox.data)


@pytest.mark.parametrize(
    "broken",
    [
        packet(0x30, b""),
        packet(0x30, b"\x00"),
        packet(0x30, b"\x00\x50abc"),
        b"\x30\xff\xff\xff\xff\xff\x01",
        publish("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), b"x").replace(b"\xc3\xbf", b"\xff\xff"),
    ],
)
def test_what_is_malformed_is_left_to_paho(broken: bytes) -> None:
    inbox = Inbox(BrokerConfig(), "test")
    stream = _Stream(Drip([broken]), inbox)  # type: ignore[arg-type]
    assert stream.recv(1) == broken[:1]
    assert not inbox.data


def test_the_queue_is_bounded_and_what_is_let_go_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10_000)
    inbox = Inbox(BrokerConfig(), "test")
    chunk = publish(topic(PATH, "g", "data"), b"x" * 1000) * 4 + publish(topic(PATH, "g", "birth"), b"{}")
    for _ in range(20):
        inbox.skim(chunk, 0)
    assert inbox.waiting_bytes <= 10_000 + 4000
    assert inbox.dropped + len(inbox.data) == 80
    assert len(inbox.control) == 20  # births are never let go


def wait_until(true: Callable[[], bool], timeout: float = 15.0) -> None:
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


class Broker:
    """A mosquitto that can be killed and started again."""

    def __init__(self, folder: Path, port: int) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        assert program
        self.port = port
        file = folder / "mosquitto.conf"
        file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n", encoding="utf-8")
        self.command = [program, "-c", str(file)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def broker(tmp_path: Path, free_port: int) -> Iterator[Broker]:
    broker = Broker(tmp_path, free_port)
    yield broker
    broker.kill()


@needs("mosquitto")
def test_it_waits_for_the_broker_and_comes_back_when_that_was_killed(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox(BrokerConfig(host="127.0.0.1", port=broker.port), "test-inbox")
    inbox.start()
    try:
        wait_until(lambda: bool(inbox.trouble))
        assert not inbox.publish("x", b"")
        for number in range(1, 3):
            broker.start()
            wait_until(lambda: inbox.connected)
            assert inbox.connections == number
            sender = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
            sender.connect("127.0.0.1", broker.port)
            sender.loop_start()
            try:
                wait_until(lambda sender=sender, inbox=inbox: bool(deliver(sender, inbox)))
            finally:
                sender.disconnect()
                sender.loop_stop()
            assert inbox.control[-1][0].endswith("/birth")
            broker.kill()
            wait_until(lambda: not inbox.connected)
        assert "trying again" in caplog.text
    finally:
        inbox.close()


def deliver(sender: mqtt.Client, inbox: Inbox) -> bool:
    """Publish one message of each kind; whether some have come through (the subscription may be a moment away)."""
    sender.publish(topic(PATH, "g", "birth"), b"{}", 1)
    sender.publish(topic(PATH, "g", "data"), b"1", 1)
    time.sleep(0.1)
    came = bool(inbox.data and inbox.control)
    if came:
        inbox.data.clear()
    return came
