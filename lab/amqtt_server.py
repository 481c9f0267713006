"""The broker that needs no installation: amqtt, on the loopback, in a process of its own."""

import asyncio
import logging
import os
import signal
import sys
from typing import Final

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig

SHUTDOWN_S: Final = 2.0


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
        # Wills are sent in it; but it may wait for a client that does not read, and there is nothing here to lose.
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)  # a traceback for every message still under way
        ending = asyncio.ensure_future(broker.shutdown())
        await asyncio.wait({ending}, timeout=SHUTDOWN_S)
        if ending.done() and (error := ending.exception()) is not None:
            logging.getLogger("lab.broker").error("amqtt did not shut down well: %r", error)
        sys.stdout.flush()
        os._exit(0)
