"""End to end: gateways -> broker -> collector (decode, ledger, scores, historian), and what one sensor costs.

The load comes from a process of its own at a fixed rate: whole frames of 52 readings, each with its real time, numbers
that rise and values from a pool. The collector is the real one, in its own process, with a fitted model and commits
every second, or 200,000 readings. Latency is from a frame's time stamp to its score, as the collector always measures.
"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.report import say, table
from devices.frame import Asset, Birth, Channel, schema_hash
from devices.topics import CORE_STATUS, topic
from lab.broker import find_mosquitto
from lab.config import Config, HistorianConfig
from models import detector
from models.precursor.fitting import fit

PATH: Final = "bench/lab/load/line1"
SENSORS: Final = 52
POOL: Final = 512
RATE: Final = 50
"""Frames a second of each gateway where the cost of a sensor is measured."""
SECONDS: Final = 25
"""Longer than latencies are remembered (10 s), and enough for the historian's upkeep, whose work comes in waves."""
WARM_UP: Final = 3
"""Frames of each gateway before the load begins."""
FRAME: Final = b'{"b":1,"s":%d,"h":"%s","t":%s,"v":%s}'
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


OFFERED: Final = {
    "mosquitto": (5_000, 10_000, 15_000, 20_000, 25_000, 30_000),
    "amqtt": (2_500, 5_000, 6_000),
}
"""Messages a second."""


def run() -> str:
    """The report."""
    head = ["broker", "offered readings/s", "accepted", "p50 ms", "p99 ms", "load us", "broker us"]
    head += ["collector us", "upkeep us", "others, cores", "RSS MiB", "in the log, %", "missing"]
    rows = [
        end_to_end(kind, rate=rate, gateways=1000 if kind == "mosquitto" else 250, seconds=SECONDS)
        for kind, rates in OFFERED.items()
        if kind != "mosquitto" or find_mosquitto()
        for rate in rates
    ]
    lines = [
        f"One collector process; {SENSORS} readings a message, a model on every gateway, commits every second, or "
        "200,000 readings. The load (QoS 0) has no spool: what a broker dropped would stay missing. Latency: time "
        "stamp to score, the last 10 s. Load, broker, collector and the historian's upkeep share the machine's cores: "
        "CPU us a message of each. Others: cores that processes took which have nothing to do with it; what they take "
        "makes p99 worse. In the log: readings stored and acknowledged, but not compacted yet; the upkeep yields to "
        "what comes in."
        f"{priority()}\n",
        table(head, rows),
        growth_table(),
    ]
    return "\n".join(lines)


def priority() -> str:
    """A sentence on the priority of this run; empty where it is the usual one."""
    levels = [os.nice(0)] if hasattr(os, "nice") else [0]
    with suppress(OSError):
        levels.append(int(Path("/proc/self/autogroup").read_text(encoding="ascii").split()[-1]))
    return f" Priority against other processes: nice {min(levels)}." if min(levels) else ""


# end to end


def end_to_end(kind: str, rate: int, gateways: int, seconds: float) -> tuple[object, ...]:
    """One run; a row of the table.

    Raises:
        RuntimeError: a process ended too early, or the collector did not take everything.
    """
    say(f"pipeline: {kind}, {rate} messages/s from {gateways} gateways …")
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as folder:
        data = Path(folder)
        write_model(data / "models" / "bench.model")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        lab = [sys.executable, "-m", "lab"]
        (data / "lab.toml").write_text(f'[broker]\nkind = "{kind}"\nport = {port}\n', encoding="utf-8")
        with process([*lab, "broker", "--data-dir", folder]) as broker, watch(port) as statuses:
            with process([*lab, "collector", "--data-dir", folder]) as collector:
                wait_for(statuses, lambda status: status["broker"]["connected"], 20)
                load = [sys.executable, "-m", "benchmarks.pipeline", str(port), str(rate), str(gateways), str(seconds)]
                with process(load, subprocess.PIPE) as sender:
                    wait_for(statuses, lambda status: status["gateways"]["known"] == gateways, 30)
                    warm = WARM_UP * gateways
                    begin = wait_for(statuses, lambda status: status["ledger"]["accepted"] > warm, 30)
                    before = spent(sender.pid, broker.pid, collector.pid)
                    assert sender.stdout is not None
                    if sender.stdout.readline().strip() != b"sent":
                        raise RuntimeError("the load generator failed")
                    during, after = statuses[-1], spent(sender.pid, broker.pid, collector.pid)
                    sent = rate * seconds
                    end = wait_for(statuses, lambda status: status["ledger"]["accepted"] >= sent, 20, missing=sent)
            taken, logged = stored(data / "lab.db")
        accepted = (during["counters"]["readings"] - begin["counters"]["readings"]) / (at(during) - at(begin))
        cost = [(new - old) / (sent - warm) * 1e6 for new, old in zip(after[:4], before[:4], strict=True)]
        span, machine = (new - old for new, old in zip(after[4:], before[4:], strict=True))
        others = (machine - sum(new - old for new, old in zip(after[:4], before[:4], strict=True))) / span
        missing = int(sent) - taken
        rss = end["process"]["rss_bytes"] / 2**20
        latency = during["latency_ms"]
        offered = f"{rate * SENSORS:,}"
        return kind, offered, accepted, latency["p50"], latency["p99"], *cost, others, rss, logged, missing


def spent(load: int, broker: int, collector: int) -> list[float]:
    """CPU seconds of load, broker, collector, upkeep (each with its children), the time, CPU seconds of the machine."""
    tick = os.sysconf("SC_CLK_TCK")
    parents, own = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            fields = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            parents[int(folder.name)], own[int(folder.name)] = int(fields[1]), sum(map(int, fields[11:15])) / tick

    def family(pid: int) -> float:
        return own.get(pid, 0.0) + sum(family(child) for child, parent in parents.items() if parent == pid)

    upkeep = family(collector) - own[collector]
    busy = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split(None, 9)[1:9]]
    machine = (sum(busy) - busy[3] - busy[4]) / tick  # without idle and waiting for disks
    return [family(load), family(broker), own[collector], upkeep, time.monotonic(), machine]


def at(status: dict[str, Any]) -> float:
    """Epoch seconds of a status."""
    return float(np.datetime64(status["t"].rstrip("Z"), "ms").astype(np.int64)) / 1e3


def stored(database: Path) -> tuple[int, float]:
    """Frames accepted according to the ledger in the store; per cent of the readings that are in the log still."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        (accepted,) = db.execute("SELECT sum(accepted) FROM ledger").fetchone()
        (logged,) = db.execute("SELECT coalesce(sum(n), 0) FROM historian_log").fetchone()
        (packed,) = db.execute("SELECT coalesce(sum(n), 0) FROM historian_hour").fetchone()
    db.close()
    return accepted, 100 * logged / (logged + packed)


@contextmanager
def process(command: list[str], stdout: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended, gently, at the end."""
    child = subprocess.Popen(command, env=os.environ | ONE_THREAD, stdout=stdout, stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        if child.stdout is not None:
            child.stdout.close()
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def watch(port: int) -> Iterator[deque[dict[str, Any]]]:
    """The collector's statuses as they come."""
    statuses: deque[dict[str, Any]] = deque(maxlen=200)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.on_connect = lambda client, *_: client.subscribe(CORE_STATUS)
    client.on_message = lambda _client, _data, message: statuses.append(json.loads(message.payload))
    until = time.monotonic() + 15
    while True:
        try:
            client.connect("127.0.0.1", port)
            break
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
    client.loop_start()
    try:
        yield statuses
    finally:
        client.disconnect()
        client.loop_stop()


def wait_for(statuses: deque[dict[str, Any]], wanted: Any, timeout: float, missing: float = 0) -> dict[str, Any]:
    """The first status from now on that is as wanted; with `missing`, after the timeout the last one there is.

    Raises:
        RuntimeError: none came.
    """
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        if statuses and wanted(statuses[-1]):
            return statuses[-1]
        time.sleep(0.05)
    if missing and statuses:
        return statuses[-1]
    raise RuntimeError(f"waited {timeout} s in vain; the last status: {statuses[-1] if statuses else None}")


# the load


def channels() -> list[Channel]:
    """52 channels with measuring ranges."""
    return [Channel(f"sensor_{n}", unit="kPa", lo=-1000.0, hi=1000.0) for n in range(SENSORS)]


def normal(rows: int) -> Any:
    """Correlated normal values (rows, SENSORS); the same every time."""
    random = np.random.default_rng(1)
    mixing = random.normal(size=(8, SENSORS))
    return np.round(random.normal(size=(rows, 8)) @ mixing + 0.3 * random.normal(size=(rows, SENSORS)) + 50, 4)


def encoded_values() -> list[bytes]:
    """The same rows as JSON lists."""
    return [json.dumps(row, separators=(",", ":")).encode() for row in normal(POOL).tolist()]


def write_model(file: Path) -> None:
    """A detector for the kind `bench`."""
    detector.save(fit(normal(1500), [channel.tag for channel in channels()], 0.01), file)


def births(gateways: int) -> list[tuple[str, Birth]]:
    """The gateways' births with the topics of their paths."""
    listed = channels()
    h = schema_hash(listed)
    return [(f"gw-{n}", Birth(f"gw-{n}", 1, h, [Asset(f"asset-{n}", "bench")], listed)) for n in range(gateways)]


def load(port: int, rate: int, gateways: int, seconds: float) -> None:
    """Publish at a fixed rate over one raw connection, QoS 0; late is made up for, never left out."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    name = b"bench-load"
    sock.sendall(packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name))
    if sock.recv(4)[:1] != b"\x20":
        raise RuntimeError("the broker does not answer")
    threading.Thread(target=discard, args=(sock,), daemon=True).start()
    everyone = births(gateways)
    heads = []
    for gateway, birth in everyone:
        sock.sendall(publish(topic(PATH, gateway, "birth").encode(), msgspec.json.encode(birth)))
        heads.append(topic(PATH, gateway, "data").encode())
    time.sleep(3)
    h = everyone[0][1].h.encode()
    pool = encoded_values()
    total = int(rate * seconds)
    warm = WARM_UP * gateways

    def frame(n: int, now: bytes) -> bytes:
        body = FRAME % (n // gateways, h, now, pool[(n * 7) % POOL])
        return publish(heads[n % gateways], body)

    send(sock, frame, range(warm), rate)
    time.sleep(3)  # series of a thousand assets are registered, models begin: once, not part of the rate
    send(sock, frame, range(warm, total), rate)
    print("sent", flush=True)
    while True:
        time.sleep(1)  # the connection stays: with it the broker would let go of what it has not passed on


def send(sock: socket.socket, frame: Callable[[int, bytes], bytes], numbers: range, rate: int) -> None:
    """Send frames at a rate, some at a time, each with the time of its sending."""
    begin = time.perf_counter()
    sent = 0
    while sent < len(numbers):
        due = min(len(numbers), int((time.perf_counter() - begin) * rate) + 1, sent + 500)
        if due - sent < 8 and due < len(numbers):
            time.sleep(0.001)
            continue
        now = b"%.6f" % time.time()
        sock.sendall(b"".join([frame(n, now) for n in numbers[sent:due]]))
        sent = due


def discard(sock: socket.socket) -> None:
    """Read what the broker answers."""
    while sock.recv(1 << 16):
        pass


def packet(kind: int, body: bytes) -> bytes:
    """An MQTT packet."""
    length, head = len(body), bytearray([kind])
    while True:
        length, byte = divmod(length, 128)
        head.append(byte | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


def publish(name: bytes, payload: bytes) -> bytes:
    """A PUBLISH of QoS 0."""
    return packet(0x30, len(name).to_bytes(2, "big") + name + payload)


# what one sensor costs


def growth_table() -> str:
    """What a sensor costs when there are few of them and when there are many."""
    from lab.collector import MAX_DRAIN, TURN_S, tune, turn_s

    tune()
    sizes = []
    for sensors in (1_000, 10_000, 100_000, 1_000_000):
        gateways = round(sensors / SENSORS)
        # what comes until the next turn, by the collector's own rule
        turn = next(wait for wait in sorted(TURN_S, reverse=True) if turn_s(round(gateways * RATE * wait)) >= wait)
        sizes.append((gateways, turn, min(MAX_DRAIN, round(gateways * RATE * turn))))
    found = []
    for _ in range(2):  # so that all sizes have their share of the machine's better moments
        for gateways, turn, frames in sizes:
            say(f"pipeline: {gateways * SENSORS} sensors in process …")
            found.append(cost_of_a_frame(gateways, frames, turn))
    gateways, turn, frames = sizes[0]
    uneven = cost_of_a_frame(gateways, frames + gateways // 2, turn) / SENSORS
    costs = [(*size, min(pair)) for size, pair in zip(sizes, zip(found[:4], found[4:], strict=True), strict=True)]
    least = min(cost for *_, cost in costs)
    rows = [
        (
            f"{gateways * SENSORS:,}",
            f"{gateways:,}",
            frames,
            frames * cost / 1e3,
            cost / SENSORS,
            cost / least,
            cost * gateways * RATE / 1e4,
        )
        for gateways, _, frames, cost in costs
    ]
    (_, _, first, cost), (_, _, second, other) = costs[:2]
    each = (second * other - first * cost) / (second - first)
    return (
        "What a sensor costs in the collector's process (decode, ledger, time rule, score, commit) when there are ever "
        f"more that each send {RATE} times a second (owed: within 1.5). Gateways of {SENSORS} sensors; a turn takes "
        f"what has come since the one before, {MAX_DRAIN:,} frames at most; it comes after "
        f"{TURN_S[0] * 1e3:.0f} ms, or {TURN_S[1] * 1e3:.0f} when few messages come. The least of six rounds. A core "
        "at 100 % would be the end: beyond it the sensors must send more rarely.\n\n"
        + table(
            (
                "sensors",
                "gateways",
                "frames a turn",
                "ms CPU a turn",
                "us CPU a reading",
                "relative",
                f"% of a core at {RATE} a second",
            ),
            rows,
        )
        + f"\nOf a turn {(first * cost - first * each) / 1e3:.2f} ms are fixed (a line through the first two): some "
        "hundred calls of NumPy, and its part of a commit. All gateways have as many frames in a turn here. Where "
        f"every other one has one more, a turn is scored in parts: with {rows[0][0]} sensors {uneven:.3f} us a "
        f"reading, {uneven * SENSORS / least:.2f} times the least.\n"
    )


def cost_of_a_frame(gateways: int, frames: int, turn: float, rounds: int = 3, least: int = 50_000) -> float:
    """CPU microseconds a frame, `frames` at a time every `turn` seconds, from gateways in turn: the least of rounds."""
    from lab.collector import MAX_STAGED, Collector
    from lab.inbox import Inbox

    with tempfile.TemporaryDirectory(prefix="lab-bench-") as folder:
        write_model(Path(folder) / "models" / "bench.model")
        config = Config(data_dir=folder, historian=HistorianConfig(commit_s=60))
        commit_s = HistorianConfig().commit_s
        inbox = Inbox(config.broker, "bench")
        collector = Collector(config, inbox)
        everyone = births(gateways)
        now = time.time_ns()
        for gateway, birth in everyone:
            inbox.control.append((topic(PATH, gateway, "birth"), msgspec.json.encode(birth), False, now))
        collector.tick()
        pool, h = encoded_values(), everyone[0][1].h.encode()
        names = [topic(PATH, gateway, "data") for gateway, _ in everyone]
        sent, waited = 0, 0.0

        def take(count: int) -> float:
            nonlocal sent, waited
            for number in range(sent, sent + count):
                s, at = divmod(number, gateways)
                now = time.time_ns()
                body = FRAME % (s, h, b"%.6f" % (now / 1e9), pool[(at + s * 7) % POOL])
                inbox.data.append((names[at], body, False, now))
            sent += count
            waited += turn
            began = time.process_time()
            while inbox.data:
                collector.tick()
            if waited >= commit_s or collector.staged > MAX_STAGED:
                waited = 0.0
                if not collector.commit():
                    raise RuntimeError(collector.trouble)
            return time.process_time() - began

        warm = (WARM_UP + 2) * gateways  # lags and caches are filled first, series registered
        for first in range(0, warm, frames):
            take(min(frames, warm - first))
        collector.commit()
        turns = -(-least // frames)
        spent = [sum(take(frames) for _ in range(turns)) for _ in range(rounds)]
        collector.close()
        return min(spent) / turns / frames * 1e6


if __name__ == "__main__":
    load(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
