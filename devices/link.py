"""A connection to the broker that comes back: one paho client per connection, and no memory of its own.

paho would keep unsent messages in memory and send them again by itself after a reconnect. The spool does that here, so
each connection begins with a fresh client and the agent alone decides what is sent.
"""

import logging
import random
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger(__name__)

CONNECT_S: Final = 10.0
"""So long may the broker take to accept a connection."""
FAREWELL_S: Final = 2.0
RETRY_S: Final = (0.2, 10.0)
"""First and longest pause between attempts."""


@dataclass(frozen=True)
class BrokerAddress:
    """Where the broker listens and who we are there."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    keepalive_s: int = 15


@dataclass(frozen=True)
class Connected:
    """The broker accepted us."""

    client: mqtt.Client


@dataclass(frozen=True)
class Disconnected:
    """The connection ended, however it ended."""

    client: mqtt.Client


@dataclass(frozen=True)
class Sent:
    """The broker has the message `mid` (its PUBACK came)."""

    client: mqtt.Client
    mid: int


@dataclass(frozen=True)
class Received:
    """A message on a topic we subscribed to."""

    topic: str
    payload: bytes
    retained: bool


LinkEvent = Connected | Disconnected | Sent | Received


class Link:
    """Connects, and reconnects with back-off, until it is closed; its threads call `notify` with what happens."""

    def __init__(
        self, broker: BrokerAddress, client_id: str, will: tuple[str, bytes], notify: Callable[[LinkEvent], None]
    ) -> None:
        """`will`: topic and payload that the broker publishes, retained, when this client is lost."""
        self.broker = broker
        self.last_error = ""
        self._client_id = client_id
        self._will = will
        self._notify = notify
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"link-{client_id}", daemon=True)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """End the connection, properly where the broker reacts (it then keeps the will to itself), and the thread."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        pause = RETRY_S[0]
        while not self._closing.is_set():
            accepted, gone = threading.Event(), threading.Event()
            client = self._client(accepted, gone)
            try:
                client.connect(self.broker.host, self.broker.port, self.broker.keepalive_s)
            except (OSError, ValueError) as error:  # ValueError: a host name that cannot be one
                self._failed(str(error))
            else:
                client.loop_start()
                if self._wait(accepted, gone, CONNECT_S):
                    pause = RETRY_S[0]
                    self._wait(gone, gone, None)
                    if not gone.is_set():
                        client.disconnect()
                        gone.wait(FAREWELL_S)
                elif not gone.is_set():
                    self._failed(f"no answer within {CONNECT_S:g} s")
                _hang_up(client)
            self._closing.wait(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, RETRY_S[1])

    def _wait(self, wanted: threading.Event, gone: threading.Event, timeout: float | None) -> bool:
        """Wait for an event; not when the connection or we ourselves end before it."""
        waited = 0.0
        while not self._closing.is_set() and (timeout is None or waited < timeout):
            if wanted.wait(0.1):
                return True
            if gone.is_set():
                return False
            waited += 0.1
        return False

    def _failed(self, why: str) -> None:
        text = f"broker {self.broker.host}:{self.broker.port}: {why}"
        if text != self.last_error:  # once, not at every attempt
            log.warning("%s: %s; trying again until it answers", self._client_id, text)
        self.last_error = text

    def _client(self, accepted: threading.Event, gone: threading.Event) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=mqtt.MQTTv311, reconnect_on_failure=False
        )
        client.max_inflight_messages_set(0xFFFF)  # the agent keeps its own window
        if self.broker.username is not None:
            client.username_pw_set(self.broker.username, self.broker.password)
        client.will_set(*self._will, qos=1, retain=True)

        def on_connect(
            client: mqtt.Client, _data: Any, _flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: Any
        ) -> None:
            if reason.is_failure:
                self._failed(f"refused: {reason}")
                return
            self.last_error = ""
            accepted.set()
            self._notify(Connected(client))

        def on_disconnect(client: mqtt.Client, _data: Any, _flags: Any, _reason: ReasonCode, _properties: Any) -> None:
            gone.set()
            self._notify(Disconnected(client))

        def on_publish(client: mqtt.Client, _data: Any, mid: int, _reason: ReasonCode, _properties: Any) -> None:
            self._notify(Sent(client, mid))

        def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
            self._notify(Received(message.topic, bytes(message.payload), message.retain))

        def on_socket_open(_client: mqtt.Client, _data: Any, opened: Any) -> None:
            if isinstance(opened, socket.socket):
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else Nagle holds small frames back

        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_publish = on_publish
        client.on_message = on_message
        client.on_socket_open = on_socket_open
        return client


def _hang_up(client: mqtt.Client) -> None:
    """End a client's thread even when the broker does not react."""
    opened = client.socket()
    if isinstance(opened, socket.socket):
        try:
            opened.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("the connection was gone already")
    client.loop_stop()
    client._reset_sockets()  # paho leaves them to the garbage collector
