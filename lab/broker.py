"""The broker: mosquitto with a configuration of ours when it is installed, else amqtt in a process of its own."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

from lab.config import BrokerConfig, Config, ConfigError
from lab.machine import is_loopback
from lab.running import write_private
from lab.text import text

MAX_PACKET_BYTES: Final = 1024 * 1024
"""The broker refuses what is larger; a gateway stops at `devices.frame.MAX_FRAME_BYTES` by itself."""
MIN_MOSQUITTO: Final = (2, 0)

_PLACES: Final = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/opt/homebrew/sbin",
    r"C:\Program Files\mosquitto",
    r"C:\Program Files (x86)\mosquitto",
)


class BrokerFacts(NamedTuple):
    """Which broker it is: `kind` mosquitto, amqtt or external; `program` is mosquitto's path."""

    kind: Literal["mosquitto", "amqtt", "external"]
    version: str
    program: str | None = None


class BrokerError(Exception):
    """The broker cannot be started; the text says why and what to do."""


def find_mosquitto() -> str | None:
    """Path of the mosquitto program, on PATH or where its packages put it (Debian's is not on a user's PATH)."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=os.pathsep.join(_PLACES))


@cache
def mosquitto_version(program: str) -> tuple[int, ...] | None:
    """Version of a mosquitto program as numbers; None when it does not run."""
    try:
        done = subprocess.run([program, "-h"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"mosquitto version (\d+(?:\.\d+)*)", done.stdout + done.stderr)
    return tuple(int(part) for part in found[1].split(".")) if found else None


def broker_facts(config: Config) -> BrokerFacts:
    """The broker that the configuration gives on this machine.

    Raises:
        BrokerError: mosquitto was asked for and is not installed, or is older than 2.0.
    """
    kind = config.broker.kind
    if kind == "external":
        return BrokerFacts("external", "")
    if kind != "amqtt":
        program = find_mosquitto()
        version = mosquitto_version(program) if program else None
        if program and version and version >= MIN_MOSQUITTO:
            return BrokerFacts("mosquitto", ".".join(map(str, version)), program)
        if kind == "mosquitto":
            raise BrokerError(text("up.no_mosquitto"))
    from importlib.metadata import version as installed

    return BrokerFacts("amqtt", installed("amqtt"))


def broker_command(config: Config, facts: BrokerFacts) -> list[str]:
    """The command that runs the broker in the foreground, its configuration written to `{data}/broker`.

    Raises:
        ConfigError: it would be open to the network without a password.
        OSError: the data directory cannot be written.
    """
    if not is_loopback(config.broker.host) and not config.broker.username:
        raise ConfigError(text("up.broker_open", host=config.broker.host))
    if config.broker.username and not config.broker.password:
        raise ConfigError(text("up.broker_password"))  # mosquitto refuses an empty one at every connection
    if facts.program is None:
        if not is_loopback(config.broker.host) or config.broker.username:
            raise ConfigError(text("up.amqtt_local"))
        return [sys.executable, "-m", "lab", "broker"]
    folder = config.data.absolute() / "broker"
    folder.mkdir(parents=True, exist_ok=True)
    passwords = folder / "passwords"
    if config.broker.username:
        write_private(passwords, _password_line(config.broker.username, config.broker.password or "").encode())
    file = folder / "mosquitto.conf"
    write_private(file, mosquitto_conf(config.broker, passwords).encode())
    return [facts.program, "-c", str(file)]


def mosquitto_conf(broker: BrokerConfig, passwords: Path) -> str:
    """The text of mosquitto's configuration file."""
    lines = [
        "# Written by `lab` at every start: change lab.toml, not this file.",
        f"listener {broker.port} {broker.host}",
        "set_tcp_nodelay true",  # without it the worst 1 % of messages wait 6 ms and more
        # It ends the connection; message_size_limit would acknowledge the message and drop it.
        f"max_packet_size {MAX_PACKET_BYTES}",
        # One subscriber takes 20 000 messages/s; what it cannot take in five seconds, its publishers still spool.
        "max_inflight_messages 1000",
        "max_queued_messages 100000",
        f"max_queued_bytes {256 * 1024**2}",
        # Gateways announce themselves again at every connection and keep a spool: nothing here is worth a disk write.
        "persistence false",
        "log_dest stdout",
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
        "connection_messages true",
    ]
    if broker.username:
        lines += ["allow_anonymous false", f"password_file {passwords}"]
    else:
        lines.append("allow_anonymous true")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        lines.append("user root")  # else mosquitto becomes a user that cannot read the data directory
    return "\n".join(lines) + "\n"


def _password_line(username: str, password: str) -> str:
    """A line of mosquitto's password file: PBKDF2-SHA512, its type 7."""
    import base64
    import hashlib  # OpenSSL is 4 MB that a lab without a password need not hold

    salt, rounds = os.urandom(12), 1000
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"{username}:$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def connect_code(
    host: str, port: int, timeout: float, username: str | None = None, password: str | None = None
) -> int | None:
    """Say CONNECT (MQTT 3.1.1) and return the broker's answer: 0 welcome, 4 or 5 wrong name or password.

    None: nobody answers there within `timeout` seconds, or what answers is not MQTT.
    """
    flags = 0x02 | (0x80 if username else 0) | (0x40 if username and password is not None else 0)
    payload = _field(f"lab-probe-{os.urandom(4).hex()}")
    if username:
        payload += _field(username)
        payload += _field(password) if password is not None else b""
    body = b"\x00\x04MQTT\x04" + bytes([flags]) + (10).to_bytes(2, "big") + payload
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(b"\x10" + remaining(len(body)) + body)
            answer = b""
            while len(answer) < 4 and (part := connection.recv(4 - len(answer))):
                answer += part
            if answer[:2] != b"\x20\x02" or len(answer) < 4:
                return None
            connection.sendall(b"\xe0\x00")  # DISCONNECT
            return answer[3]
    except OSError:
        return None


def wait_ready(host: str, port: int, timeout: float, username: str | None = None, password: str | None = None) -> bool:
    """Wait until a broker answers a CONNECT; False when none did within `timeout` seconds.

    Raises:
        BrokerError: it answers, but refuses the name or password.
    """
    end = time.monotonic() + timeout
    while True:
        left = end - time.monotonic()
        code = connect_code(host, port, max(min(left, 2.0), 0.05), username, password)
        if code == 0:
            return True
        if code is not None:
            raise BrokerError(text("up.broker_refused", host=host, port=port, code=code))
        if left <= 0:
            return False
        time.sleep(0.02)


def _field(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def remaining(length: int) -> bytes:
    """A length as MQTT packets give it."""
    digits = bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(digits)
