"""`python -m lab.heard TOPIC`: exit code 0 when a fresh message arrives on a topic, for a container's health check."""

import sys
import threading
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from lab.config import Config, load_config


def heard(config: Config, topic: str, timeout: float = 6.0) -> bool:
    """Whether a message that is not a retained one arrives on a topic (wildcards allowed) within `timeout` seconds."""
    fresh = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    if config.broker.username:
        client.username_pw_set(config.broker.username, config.broker.password)

    def on_connect(*_: Any) -> None:
        client.subscribe(topic)

    def on_message(_client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        if not message.retain:
            fresh.set()

    client.on_connect = on_connect
    client.on_message = on_message
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
