"""The collector's end of the MQTT connection: messages in, in order, into a bounded queue; receipts and views out.

One thread reads; it only appends. QoS 0 messages are taken from the socket's buffer many at a time, before paho-mqtt
would read each with four system calls and a dozen function calls of its own; paho does the rest of the protocol.
The broker is asked for QoS 0 on data: the ledger, not the broker, makes sure that nothing is missing.
"""

import logging
import select
import socket
import threading
import time
from collections import deque
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from devices.topics import CORE_COMMAND, ROOT
from lab.config import BrokerConfig
from lab.sources import Message

log = logging.getLogger("lab.collector")

MAX_BYTES: Final = 128 * 2**20
"""Payload that may wait for the collector; more data is let go, and sent again by its gateways."""
MAX_MESSAGES: Final = 400_000
CHUNK: Final = 512 * 1024
CHUNKS: Final = 8
MAX_SKIMMED: Final = 2**20
"""Larger messages go the slow way through paho."""
GATHER_S: Final = 0.004
"""At least so long between two reads."""
RETRY_S: Final = (0.2, 5.0)
KEEPALIVE_S: Final = 15
PATTERN: Final = f"{ROOT}/+/+/+/+/+"


class Inbox:
    """A connection that comes back by itself, and the queue of what it brought."""

    def __init__(self, broker: BrokerConfig, client_id: str) -> None:
        self.broker = broker
        self.data: deque[Message] = deque()
        self.control: deque[Message] = deque()
        """Births, states, events."""
        self.dropped = 0
        """Messages let go because the collector was too far behind."""
        self.connected = False
        self.connections = 0
        self.trouble = ""
        """Why there is no connection."""
        self.taken_bytes = 0
        """Written by the collector's thread; the difference to `received_bytes` waits."""
        self.received_bytes = 0
        self._topics: dict[bytes, tuple[str, bool]] = {}
        self._closing = threading.Event()
        self._client = _Client(self, CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311)
        if broker.username is not None:
            self._client.username_pw_set(broker.username, broker.password)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Send what was published, end the connection and the thread; safe to call twice."""
        if not self._closing.is_set():
            self._closing.set()
            if self._thread.ident is not None:
                self._thread.join()
            self._client.disconnect()

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> bool:
        """Send a message once (QoS 0); false when there is no connection to send it on."""
        if not self.connected:
            return False
        return self._client.publish(topic, payload, 0, retain).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    @property
    def waiting_bytes(self) -> int:
        """Payload in `data`."""
        return self.received_bytes - self.taken_bytes

    # the network thread

    def _run(self) -> None:
        pause = RETRY_S[0]
        while not self._closing.is_set():
            try:
                self._client.connect(self.broker.host, self.broker.port, KEEPALIVE_S)
            except (OSError, ValueError) as error:  # ValueError: a host name that cannot be one
                self._failed(str(error))
            else:
                before = self.connections
                self._serve()
                if self.connections != before:
                    pause = RETRY_S[0]
            self._closing.wait(pause)
            pause = min(pause * 2, RETRY_S[1])

    def _serve(self) -> None:
        client = self._client
        misc = gathered = 0.0
        while not self._closing.is_set():
            sock = client.socket()
            if sock is None:
                return
            writing = [sock] if client.want_write() else []
            more = isinstance(sock, _Stream) and not sock.dry
            try:
                readable, writable, _ = select.select([sock], writing, [], 0 if more else 0.2)
            except (OSError, ValueError):  # closed under our hands
                return
            if readable or more:
                # Under load every message would wake us; to take what comes in a few milliseconds costs a tenth.
                early = gathered + GATHER_S - time.monotonic()
                if early > 0:
                    time.sleep(early)
                gathered = time.monotonic()
                if client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return
            if writable and client.loop_write() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            now = time.monotonic()
            if now >= misc:
                misc = now + 0.5
                if client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return

    def _failed(self, why: str) -> None:
        if why != self.trouble:  # once, not at every attempt
            log.warning("broker %s:%d: %s; trying again until it answers", self.broker.host, self.broker.port, why)
        self.trouble = why

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._failed(f"refused: {reason}")
            return
        # Every time: a broker that was restarted knows nothing of us.
        ours = [(f"{PATTERN}/{cls}", 1) for cls in ("birth", "state", "event")] + [(CORE_COMMAND, 1)]
        client.subscribe([*ours, (f"{PATTERN}/data", 0)])
        self.connections += 1
        self.connected = True
        self.trouble = ""
        log.info("connected to broker %s:%d", self.broker.host, self.broker.port)

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _p: Any) -> None:
        if self.connected and not self._closing.is_set():
            self.connected = False
            self._failed(f"connection lost ({reason})")
        self.connected = False

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # the broker must not have let this through; it cannot be a gateway's
        payload = bytes(message.payload)
        if topic.endswith("/data"):
            self.received_bytes += len(payload)
            self.data.append((topic, payload, message.retain, time.time_ns()))
        else:
            self.control.append((topic, payload, message.retain, time.time_ns()))

    def skim(self, buffer: bytes, at: int) -> int:
        """Take the QoS 0 messages at the head of a buffer, from `at` on; returns where something else begins."""
        end = len(buffer)
        now = time.time_ns()
        data, control, topics = self.data, self.control, self._topics
        full = len(data) > MAX_MESSAGES or self.waiting_bytes > MAX_BYTES
        received = 0
        while end - at >= 2:
            first = buffer[at]
            if first & 0xF6 != 0x30:
                break
            length = buffer[at + 1]
            body = at + 2
            if length > 127:
                shift, length = 7, length & 127
                while body < end and body - at < 5:
                    byte = buffer[body]
                    length |= (byte & 127) << shift
                    shift += 7
                    body += 1
                    if byte < 128:
                        break
                else:
                    break  # the length has not come whole
            after = body + length
            if after > end or length > MAX_SKIMMED:
                break
            begin = body + 2 + (buffer[body] << 8 | buffer[body + 1]) if length >= 2 else after + 1
            if begin > after:
                break  # malformed: paho ends the connection
            raw = buffer[body + 2 : begin]
            topic = topics.get(raw)
            if topic is None:
                try:
                    name = raw.decode()
                except UnicodeDecodeError:
                    break
                if len(topics) > MAX_MESSAGES:
                    topics.clear()
                topic = topics[raw] = (name, name.endswith("/data"))
            at = after
            if not topic[1] and len(control) <= MAX_MESSAGES:
                control.append((topic[0], buffer[begin:after], first & 1 == 1, now))
            elif full or not topic[1]:
                self.dropped += 1
            else:
                data.append((topic[0], buffer[begin:after], first & 1 == 1, now))
                received += after - begin
        self.received_bytes += received
        return at


class _Stream:
    """A socket whose QoS 0 messages are skimmed off; paho reads the other packets from it as from any socket."""

    def __init__(self, sock: socket.socket, inbox: Inbox) -> None:
        self._sock = sock
        self._inbox = inbox
        self._buffer = b""
        self._at = 0
        self._owed = 0
        """Bytes still to come of the packet that paho has begun to read."""
        self.dry = False
        """Nothing is left to read, here or in the socket."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes of the next packet that is not a QoS 0 message.

        Raises:
            BlockingIOError: there is none yet.
        """
        for _ in range(CHUNKS):
            if self._owed:
                break
            self._at = self._inbox.skim(self._buffer, self._at)
            self._owed = self._header()
            if not self._owed and not self._fill():
                return b""
        if not self._owed:
            raise BlockingIOError  # more has come, but others want their turn
        if self._at >= len(self._buffer) and not self._fill():
            return b""
        part = self._buffer[self._at : self._at + min(size, self._owed)]
        self._at += len(part)
        self._owed -= len(part)
        return part

    def _header(self) -> int:
        """Length of the packet at the head when paho is to read it; 0 while that cannot be told."""
        head = self._buffer[self._at : self._at + 5]
        length = 0
        for n, byte in enumerate(head[1:]):
            length |= (byte & 127) << (7 * n)
            if byte < 128:
                there = len(self._buffer) - self._at
                whole = n + 2 + length
                # A QoS 0 message that has not come whole is waited for, but not one that paho is to refuse.
                waits = head[0] & 0xF6 == 0x30 and length <= MAX_SKIMMED and there < whole
                return 0 if waits else whole
        return 0 if len(head) < 5 else 5  # five bytes and no end: paho refuses it

    def _fill(self) -> bool:
        self.dry = True
        more = self._sock.recv(CHUNK)
        self.dry = False
        self._buffer = self._buffer[self._at :] + more
        self._at = 0
        return bool(more)


class _Client(mqtt.Client):
    """paho's client on a `_Stream`."""

    def __init__(self, inbox: Inbox, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._inbox = inbox

    def _create_socket(self) -> Any:
        sock: Any = super()._create_socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)
        return _Stream(sock, self._inbox)
