"""lab.broker: mosquitto or amqtt, ready when a real CONNECT is answered, and safe as configured."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from lab import broker as module
from lab.broker import BrokerError, broker_command, broker_facts, connect_code, find_mosquitto, wait_ready
from lab.config import BrokerConfig, Config, ConfigError, write_config
from lab.machine import next_free_port, port_holder, port_state
from tests.conftest import needs

needs_mosquitto = needs("mosquitto")


@contextmanager
def run_broker(config: Config) -> Iterator[subprocess.Popen[bytes]]:
    """The broker of a configuration, as the supervisor runs it."""
    file = config.data / "config.toml"
    config.data.mkdir(exist_ok=True)
    write_config(config, file)
    command = broker_command(config, broker_facts(config))
    environ = {**os.environ, "LAB_CONFIG": str(file)}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=20)


def client(port: int, **login: str) -> mqtt.Client:
    made = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    if login:
        made.username_pw_set(**login)
    made.connect("127.0.0.1", port)
    return made


@pytest.fixture
def quiet_port() -> Iterator[int]:
    """A port where somebody listens who never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield int(listener.getsockname()[1])


@needs_mosquitto
@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_a_message_and_a_retained_one_arrive(tmp_path: Path, free_port: int, kind: str) -> None:
    config = Config(data_dir=str(tmp_path), broker=BrokerConfig(kind=kind, port=free_port))  # type: ignore[arg-type]
    with run_broker(config) as process:
        assert wait_ready("127.0.0.1", free_port, 20)
        seen: dict[str, bytes] = {}
        both = threading.Event()

        def on_message(_c: mqtt.Client, _u: object, message: mqtt.MQTTMessage) -> None:
            seen[message.topic] = message.payload
            if len(seen) == 2:
                both.set()

        publisher = client(free_port)
        publisher.loop_start()
        publisher.publish("a/kept", b"1" * 60_000, qos=1, retain=True).wait_for_publish(10)
        subscriber = client(free_port)
        subscriber.on_message = on_message
        subscriber.subscribe("a/#", qos=1)
        subscriber.loop_start()
        for _ in range(50):
            publisher.publish("a/live", b"2", qos=1)
            if both.wait(0.2):
                break
        for one in (publisher, subscriber):
            one.disconnect()
            one.loop_stop()
        assert seen == {"a/kept": b"1" * 60_000, "a/live": b"2"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, "asked to end, a broker ends well"


def test_amqtt_passes_on_to_whoever_listens_now(tmp_path: Path, free_port: int) -> None:
    config = Config(data_dir=str(tmp_path), broker=BrokerConfig(kind="amqtt", port=free_port))
    seen: dict[str, list[bytes]] = {"plain": [], "wild": [], "sure": []}

    def listener(name: str, pattern: str, qos: int) -> mqtt.Client:
        one, ready = client(free_port), threading.Event()
        one.on_message = lambda _c, _u, message: seen[name].append(message.payload)
        one.on_subscribe = lambda *_: ready.set()
        one.subscribe(pattern, qos)
        one.loop_start()
        assert ready.wait(10)
        return one

    def wait(name: str, count: int) -> list[bytes]:
        until = time.monotonic() + 10
        while len(seen[name]) < count and time.monotonic() < until:
            time.sleep(0.01)
        return seen[name]

    with run_broker(config):
        assert wait_ready("127.0.0.1", free_port, 20)
        publisher = client(free_port)
        publisher.loop_start()
        sizes = [
            0,
            1,
            119,
            120,
            121,
            122,
            127,
            128,
            16_380,
            16_384,
            100_000,
        ]  # around where the length needs a byte more
        messages = [bytes([n]) * size for n, size in enumerate(sizes)]
        publisher.publish("a/b/data", b"before anybody listens", qos=1).wait_for_publish(10)
        plain = listener("plain", "a/b/data", 0)
        for message in messages:
            publisher.publish("a/b/data", message)
        assert wait("plain", len(messages)) == messages
        wild = listener("wild", "a/+/data", 0)
        sure = listener("sure", "a/#", 1)
        for message in messages:
            publisher.publish("a/b/data", message, qos=1).wait_for_publish(10)
        assert wait("wild", len(messages)) == wait("sure", len(messages)) == messages
        assert wait("plain", 2 * len(messages)) == 2 * messages
        plain.disconnect()
        sure.disconnect()
        publisher.publish("a/b/data", b"last")
        assert wait("wild", len(messages) + 1)[-1] == b"last"
        for one in (plain, wild, sure, publisher):
            one.disconnect()
            one.loop_stop()


def test_a_client_that_does_not_read_cannot_keep_amqtt_alive(tmp_path: Path, free_port: int) -> None:
    config = Config(data_dir=str(tmp_path), broker=BrokerConfig(kind="amqtt", port=free_port))
    connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01s"
    message = bytes(10_000)
    with run_broker(config) as process:
        assert wait_ready("127.0.0.1", free_port, 20)
        with socket.create_connection(("127.0.0.1", free_port)) as deaf:
            deaf.sendall(connect + b"\x82\x08\x00\x01\x00\x03a/#\x00")
            assert deaf.recv(9)[:4] == b"\x20\x02\x00\x00"
            publisher = client(free_port)
            publisher.loop_start()
            for _ in range(1000):
                publisher.publish("a/b", message)
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            publisher.loop_stop()


@needs_mosquitto
def test_a_password_is_asked_for(tmp_path: Path, free_port: int) -> None:
    login = {"username": "lab", "password": "s3cret ü"}
    config = Config(data_dir=str(tmp_path), broker=BrokerConfig(port=free_port, **login))  # type: ignore[arg-type]
    with run_broker(config):
        assert wait_ready("127.0.0.1", free_port, 20, login["username"], login["password"])
        assert connect_code("127.0.0.1", free_port, 5) == 5
        with pytest.raises(BrokerError, match="code 5"):
            wait_ready("127.0.0.1", free_port, 5, "lab", "wrong")
    assert login["password"].encode() not in (tmp_path / "broker" / "passwords").read_bytes()


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.text.language", lambda: "en")


def test_open_to_the_network_needs_a_password(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path), broker=BrokerConfig(host="0.0.0.0"))
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0"):
        broker_command(config, broker_facts(config))
    config.broker.username = "u"
    with pytest.raises(ConfigError, match=r"broker\.password"):
        broker_command(config, broker_facts(config))
    config.broker.password = "p"
    config.broker.kind = "amqtt"
    with pytest.raises(ConfigError, match="mosquitto"):
        broker_command(config, broker_facts(config))


def test_without_mosquitto_there_is_amqtt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "find_mosquitto", lambda: None)
    config = Config(data_dir=str(tmp_path))
    facts = broker_facts(config)
    assert (facts.kind, facts.program) == ("amqtt", None)
    assert broker_command(config, facts)[1:] == ["-m", "lab", "broker"]
    config.broker.kind = "mosquitto"
    with pytest.raises(BrokerError, match="not installed"):
        broker_facts(config)


@pytest.mark.skipif(os.name == "nt", reason="needs a shell script")
def test_an_old_mosquitto_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho mosquitto version 1.5.7; exit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_mosquitto() == str(program)
    assert broker_facts(Config()).kind == "amqtt"


def test_what_is_no_broker_is_not_ready(quiet_port: int, free_port: int) -> None:
    began = time.monotonic()
    assert not wait_ready("127.0.0.1", quiet_port, 0.4)
    assert not wait_ready("127.0.0.1", free_port, 0.2)
    assert time.monotonic() - began >= 0.6, "it kept trying to the end"


def test_http_is_not_taken_for_mqtt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert connect_code("127.0.0.1", listener.getsockname()[1], 5) is None
        thread.join()


def test_a_taken_port_is_recognised_and_the_next_found(quiet_port: int, free_port: int) -> None:
    assert port_state("127.0.0.1", free_port) == "free"
    assert port_state("127.0.0.1", quiet_port) == "taken"
    assert port_state("0.0.0.0", quiet_port) == "taken"
    assert port_state("192.0.2.1", free_port) == "no_address", "a documentation address is nobody's"
    other = next_free_port("127.0.0.1", quiet_port)
    assert other is not None
    assert other > quiet_port
    assert next_free_port("127.0.0.1", other, frozenset({other})) != other
    if sys.platform == "linux":
        assert str(os.getpid()) in (port_holder(quiet_port) or "")
        assert port_holder(free_port) is None


def test_the_broker_command_names_who_holds_its_port(quiet_port: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab", "broker", "--data-dir", str(tmp_path), "--port", str(quiet_port)],
        capture_output=True,
        text=True,
        env={**os.environ, "LAB_LANG": "en"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert str(quiet_port) in done.stderr
    if sys.platform == "linux":
        assert str(os.getpid()) in done.stderr
    assert "--broker-port" in done.stderr


@needs_mosquitto
def test_mosquitto_takes_every_line_of_its_configuration(tmp_path: Path, free_port: int) -> None:
    config = Config(
        data_dir=str(tmp_path / "with space"), broker=BrokerConfig(port=free_port, username="u", password="p")
    )
    (tmp_path / "with space").mkdir()
    with run_broker(config) as process:
        assert wait_ready("127.0.0.1", free_port, 20, "u", "p")
        process.terminate()
        output = process.communicate(timeout=20)[0].decode()
    assert "Error" not in output
    assert "Unknown" not in output
