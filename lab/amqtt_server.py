"""The broker that needs no installation: amqtt, on the loopback, in a process of its own."""

import asyncio
import logging
import signal
import sys

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig


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
    broker = Broker(
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
        await broker.shutdown()
