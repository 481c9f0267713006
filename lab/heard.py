"""`python -m lab.heard TOPIC`: exit code 0 when a fresh message arrives on a topic, for a container's health check."""

import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from lab.config import Config, load_config


def heard(config: Config, topic: str, timeout: float = 6.0) -> bool:
    """Whether a message that is not a retained one arrives on a topic (wildcards allowed) within `timeout` seconds."""
    fresh = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    if config.broker.username:
        client.username_pw_set(config.broker.username, config.broker.password)
    client.on_connect = lambda *_: client.subscribe(topic)
    client.on_message = lambda _client, _data, message: None if message.retain else fresh.set()
    try:
        client.connect(config.broker.host, config.broker.port)
    except OSError as error:
        print(f"{config.broker.host}:{config.broker.port}: {error}", file=sys.stderr)
        return False
    client.loop_start()
    try:
        return fresh.wait(timeout)
    finally:
        client.disconnect()
        client.loop_stop()


if __name__ == "__main__":
    sys.exit(0 if heard(load_config(), sys.argv[1]) else 1)
