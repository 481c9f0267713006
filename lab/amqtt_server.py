"""The broker that needs no installation: amqtt, on the loopback, in a process of its own."""

import asyncio
import logging
import os
import signal
import sys
from typing import Any, Final

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.session import Session

from lab.broker import remaining

SHUTDOWN_S: Final = 2.0
MAX_TOPICS: Final = 100_000
MAX_UNREAD: Final = 64 * 2**20
"""Bytes that a subscriber may leave unread before QoS 0 messages to it are dropped, as mosquitto does it."""


class LeanBroker(Broker):  # type: ignore[misc]  # amqtt is not typed
    """amqtt with a shorter way for QoS 0, which nearly all messages go.

    By itself it makes three tasks for every message and compares its topic with every filter.
    """

    def __init__(self, config: BrokerConfig) -> None:
        super().__init__(config)
        self._routes: dict[str, list[list[tuple[Session, int]]]] = {}
        """The broker's own lists of subscribers, by topic: those of the filters that match it."""

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        """Add a subscription; returns the QoS granted."""
        granted: int = await super().add_subscription(subscription, session)
        self._routes.clear()  # a filter without subscribers may be forgotten, one that is new cannot
        return granted

    async def _broadcast_message(
        self, session: Session | None, topic: str | None, data: bytes | bytearray | None, force_qos: int | None = None
    ) -> None:
        if topic is not None and data is not None and force_qos is None:
            lists = self._routes.get(topic)
            if lists is None:
                if len(self._routes) >= MAX_TOPICS:
                    self._routes.clear()
                lists = [subscribers for name, subscribers in self._subscriptions.items() if self._matches(topic, name)]
                self._routes[topic] = lists
            there = [subscriber for subscribers in lists for subscriber in subscribers]
            if not any(qos for _, qos in there):
                packet = publish_packet(topic, data)
                for subscriber, _ in there:
                    self._pass_on(subscriber, packet)
                return
        await super()._broadcast_message(session, topic, data, force_qos)

    def _pass_on(self, subscriber: Session, packet: bytes) -> None:
        handler: Any = self._get_handler(subscriber)
        if handler is None or handler.writer is None or subscriber.transitions.state != "connected":
            return
        writer = handler.writer
        if not writer.is_closed and writer._writer.transport.get_write_buffer_size() <= MAX_UNREAD:
            writer.write(packet)


def publish_packet(topic: str, data: bytes | bytearray) -> bytes:
    """A PUBLISH of QoS 0."""
    name = topic.encode()
    return b"".join((b"\x30", remaining(2 + len(name) + len(data)), len(name).to_bytes(2, "big"), name, data))


def serve(host: str, port: int) -> None:
    """Run the broker until SIGINT or SIGTERM. Its sockets have TCP_NODELAY: asyncio and uvloop set it themselves."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    try:
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    except ImportError:  # there is none for Windows
        runner = asyncio.Runner()
    with runner:
        try:
            runner.run(_serve(host, port))
        except KeyboardInterrupt:  # Windows, where the loop takes no signal handlers
            return


async def _serve(host: str, port: int) -> None:
    broker = LeanBroker(
        BrokerConfig(
            listeners={"default": ListenerConfig(bind=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")},
            timeout_disconnect_delay=30,  # clients ping at their keep-alive time, not before it
            plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        )
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            break
    await broker.start()
    try:
        await stop.wait()
    finally:
        # Wills are sent in it; but it may wait for a client that does not read, and there is nothing here to lose.
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)  # a traceback for every message still under way
        ending = asyncio.ensure_future(broker.shutdown())
        await asyncio.wait({ending}, timeout=SHUTDOWN_S)
        if ending.done() and (error := ending.exception()) is not None:
            logging.getLogger("lab.broker").error("amqtt did not shut down well: %r", error)
        sys.stdout.flush()
        os._exit(0)
