"""The embedded historian beside InfluxDB 1.x and row-per-reading SQLite: inserting, reading, size, memory."""

import http.client
import itertools
import multiprocessing
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import figure, say, table
from lab.historian.base import Batch, Historian
from lab.historian.embedded import EmbeddedHistorian
from lab.historian.influx import InfluxHistorian
from lab.store import Store
from tests.lab.influx import INFLUXD, influxd

SENSORS = 579
KEYS = [f"plant-{n // 52:02}/xmeas_{n % 52}" for n in range(SENSORS)]
BATCH = 10_000
ROUNDS = 3
HOUR = 3_600 * 10**9
T = 1_764_000_000 * 10**9 // HOUR * HOUR
DAY = 86_400


class Cost(NamedTuple):
    """Readings inserted, and what it took."""

    readings: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.readings / self.wall_s


def batches(readings: int, seed: int) -> list[Batch]:
    """Time-major, 579 sensors once a second: noisy values of five significant digits."""
    rng = np.random.default_rng(seed)
    level = 10 ** rng.uniform(-1, 4, SENSORS)
    digits = 4 - np.floor(np.log10(level)).astype(int)
    seconds = -(-readings // SENSORS)
    noise = level * 10 ** rng.uniform(-3.5, -2, SENSORS)
    v = level + np.cumsum(rng.normal(0, 1, (seconds, SENSORS)) * noise / 30, axis=0)
    v += rng.normal(0, 1, v.shape) * noise
    for column, places in enumerate(digits):
        v[:, column] = [round(x, int(places)) for x in v[:, column].tolist()]
    # the gateways' clocks are not in step, and tick with some jitter
    offset = np.repeat(rng.integers(0, 10**6, -(-SENSORS // 52)), 52)[:SENSORS] * 1000
    jitter = np.repeat(rng.integers(0, 500, (seconds, -(-SENSORS // 52))), 52, axis=1)[:, :SENSORS] * 1000
    t = T + np.arange(seconds)[:, None] * 10**9 + offset + jitter
    sensor = np.tile(np.arange(SENSORS, dtype=np.int32), seconds)
    flat = Batch(sensor, t.ravel(), v.ravel(), np.zeros(v.size, np.uint8))
    return [Batch(*(column[first : first + BATCH] for column in flat)) for first in range(0, readings, BATCH)]


def measured(readings: int, work: Callable[[], None]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(readings, time.perf_counter() - wall, time.process_time() - cpu)


def insert_embedded(path: Path, some: list[Batch], *, compact: bool) -> Cost:
    """Every batch a durable commit (synchronous FULL); with `compact`, all of it made into chunks in the same time."""
    with Store(path) as store, Store(path, synchronous="NORMAL") as own:
        historian, compactor = EmbeddedHistorian(store), EmbeddedHistorian(own)
        historian.ids(KEYS)

        def work() -> None:
            for number, batch in enumerate(some):
                historian.write(batch)
                if compact and number % 20 == 19:
                    compactor.compact(0.2)
            while compact and compactor.compact(1.0, everything=True):
                pass

        return measured(sum(len(batch.t) for batch in some), work)


def insert_rows(path: Path, some: list[Batch]) -> Cost:
    """One row a reading, keyed by sensor and time; a durable commit a batch."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(
        "CREATE TABLE reading (sensor INTEGER, t INTEGER, v REAL, q INTEGER, PRIMARY KEY (sensor, t)) WITHOUT ROWID"
    )

    def work() -> None:
        for batch in some:
            db.execute("BEGIN")
            rows = zip(*(column.tolist() for column in batch), strict=True)
            db.executemany("INSERT OR REPLACE INTO reading VALUES (?, ?, ?, ?)", rows)
            db.execute("COMMIT")

    cost = measured(sum(len(batch.t) for batch in some), work)
    db.close()
    return cost


def insert_influx(url: str, database: str, some: list[Batch]) -> Cost:
    """Line protocol made beforehand, so that only InfluxDB's own work counts; one request a batch."""
    InfluxHistorian(url, database, "lab", None).close()
    prefixes = [f"plant,sensor={key} " for key in KEYS]
    bodies = [
        "\n".join(
            f"{prefixes[s]}value={v!r},q={q}i {t}"
            for s, t, v, q in zip(*(column.tolist() for column in batch), strict=True)
        ).encode()
        for batch in some
    ]
    connection = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]))

    def work() -> None:
        for body in bodies:
            connection.request("POST", f"/write?db={database}&precision=ns", body)
            response = connection.getresponse()
            if response.status != 204:
                raise RuntimeError(response.read().decode())
            response.read()

    cost = measured(sum(len(batch.t) for batch in some), work)
    connection.close()
    return cost


def milliseconds(call: Callable[[], object], at_least: int = 9, within_s: float = 2.0) -> tuple[float, float]:
    """Median and least time of a call, caches warm, ms."""
    call()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < at_least or (time.perf_counter() - began < within_s and len(times) < 100):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times), min(times)


def fill_day(historian: Historian) -> None:
    """A day of one sensor at 1 Hz."""
    rng = np.random.default_rng(3)
    ids = historian.ids(["day/x"])
    v = np.round(120.4 + np.cumsum(rng.normal(0, 0.004, DAY)) + rng.normal(0, 0.12, DAY), 2)
    t = T + np.arange(DAY) * 10**9
    for first in range(0, DAY, BATCH):
        n = len(t[first : first + BATCH])
        historian.write(Batch(np.repeat(ids, n), t[first : first + n], v[first : first + n], np.zeros(n, np.uint8)))


def section_insert(folder: Path, url: str | None) -> str:
    """Alternating rounds of every engine, so that what else the machine does hits all alike."""
    say("  inserting")
    costs: dict[str, list[Cost]] = {}
    for number in range(ROUNDS):
        big, small = batches(1_000_000, number), batches(200_000, number)
        runs: dict[str, Callable[[], Cost]] = {
            "embedded, log alone": lambda n=number, b=big: insert_embedded(folder / f"log{n}.db", b, compact=False),
            "embedded, with compaction": lambda n=number, b=big: insert_embedded(
                folder / f"all{n}.db", b, compact=True
            ),
            "SQLite, a row a reading": lambda n=number, b=small: insert_rows(folder / f"rows{n}.db", b),
        }
        if url is not None:
            runs["InfluxDB 1.x, line protocol over HTTP"] = lambda n=number, b=small: insert_influx(url, f"raw{n}", b)
        for name, run_one in runs.items():
            costs.setdefault(name, []).append(run_one())
    rates = {name: statistics.median(cost.rate for cost in some) for name, some in costs.items()}
    ours = rates["embedded, with compaction"]
    rows = []
    for name, some in costs.items():
        cpu = statistics.median(cost.cpu_s / cost.readings for cost in some) * 1e6
        cpu_text = "client only, lines made before" if name.startswith("Influx") else figure(cpu)
        ratio = figure(ours / rates[name]) if not name.startswith("embedded") else ""
        rows.append((name, f"{rates[name] / 1e6:.2f} M", cpu_text, ratio))
    if url is None:
        rows.append(("InfluxDB 1.x", "skipped: influxd is not installed", "", ""))
    head = (
        "insert, batches of 10 000",
        "readings/s",
        "CPU µs a reading",
        "embedded with compaction is so many times faster",
    )
    return table(head, rows) + "\nGoals: 5 times InfluxDB, 10 times the rows.\n"


def section_read(folder: Path, url: str | None) -> str:
    say("  reading")
    path = folder / "read.db"
    rows = []
    with ExitStack() as stack:
        store = stack.enter_context(Store(path, synchronous="NORMAL"))
        historian = EmbeddedHistorian(store)
        ids = historian.ids(KEYS)
        for batch in batches(1_000_000, 9):
            historian.write(batch)
        fill_day(historian)
        historian.compact(600, everything=True)
        recent = T + 30 * HOUR
        for second in range(900):
            t = np.full(52, recent + second * 10**9)
            historian.write(Batch(ids[:52], t, np.full(52, 1.5), np.zeros(52, np.uint8)))
        reader = EmbeddedHistorian(stack.enter_context(Store(path, readonly=True)))
        end = T + DAY * 10**9
        queries: dict[str, Callable[[], object]] = {
            "1 day of 1 sensor (86 400 readings) to 500 points": lambda: reader.read(["day/x"], T, end, 500),
            "1 day of 1 sensor, every reading": lambda: reader.read(["day/x"], T, end),
            "15 minutes of 52 sensors, not yet compacted": lambda: reader.read(KEYS[:52], recent, recent + 900 * 10**9),
            "15 minutes of 52 sensors, from chunks": lambda: reader.read(KEYS[:52], T, T + 900 * 10**9),
            "latest of 100 sensors": lambda: reader.latest(KEYS[:100]),
        }
        for name, call in queries.items():
            rows.append(("embedded", name, *milliseconds(call)))
        if url is not None:
            influx = InfluxHistorian(url, "read", "lab", None)
            fill_day(influx)
            call = lambda: influx.read(["day/x"], T, end, 500)  # noqa: E731
            rows.append(("InfluxDB 1.x", "1 day of 1 sensor (86 400 readings) to 500 points", *milliseconds(call)))
            influx.close()
        db = sqlite3.connect(folder / "rows0.db")
        db.execute("DELETE FROM reading WHERE sensor = 1000")
        day = reader.read(["day/x"], T, end)["day/x"]
        db.executemany("INSERT INTO reading VALUES (1000, ?, ?, 0)", zip(day.t.tolist(), day.v.tolist(), strict=True))
        db.commit()
        statement = (
            "SELECT min(t), avg(v), min(v), max(v), max(q) FROM reading WHERE sensor = 1000 AND t >= ? AND t < ? "
            "GROUP BY (t - ?) / ?"
        )
        step = DAY * 10**9 // 500
        call = lambda: db.execute(statement, (T, end, T, step)).fetchall()  # noqa: E731
        rows.append(
            ("SQLite, a row a reading", "1 day of 1 sensor (86 400 readings) to 500 points", *milliseconds(call))
        )
        db.close()
    return table(("read", "what", "median ms", "least ms"), rows) + "\nGoal: a day to 500 points in 5 ms.\n"


def bytes_a_reading(path: Path, t: NDArray[np.int64], v: NDArray[np.float64]) -> float:
    """An hour or more of 52 sensors (rows, 52), compacted; bytes of the file a reading."""
    with Store(path, synchronous="NORMAL") as store:
        historian = EmbeddedHistorian(store)
        empty = historian.stats().bytes_on_disk
        ids = historian.ids(KEYS[:52])
        for first in range(0, len(t), 192):
            n = len(t[first : first + 192])
            historian.write(
                Batch(
                    np.tile(ids, n),
                    np.repeat(t[first : first + n], 52),
                    v[first : first + n].ravel(),
                    np.zeros(n * 52, np.uint8),
                )
            )
        historian.compact(600, everything=True)
        return (historian.stats().bytes_on_disk - empty) / v.size


def section_size(folder: Path) -> str:
    say("  sizes")
    rng = np.random.default_rng(5)
    n = 7200
    even = T + np.arange(n) * 10**9
    jitter = even + rng.integers(0, 2000, n) * 1000
    level = 10 ** rng.uniform(-1, 4, 52)
    noise = level * 10 ** rng.uniform(-3.5, -2, 52)
    exact = level + np.cumsum(rng.normal(0, 1, (n, 52)) * noise / 30, axis=0) + rng.normal(0, 1, (n, 52)) * noise
    five = np.array([float(f"{x:.5g}") for x in exact.ravel().tolist()]).reshape(n, 52)
    constant = np.broadcast_to(five[0], (n, 52))
    cases = {
        "noisy, five significant digits, even times": (even, five),
        "noisy, five significant digits, jittered times": (jitter, five),
        "noisy, all 53 bits of the float64, even times": (even, exact),
        "noisy, float32, even times": (even, exact.astype(np.float32).astype(np.float64)),
        "constant, even times": (even, constant),
    }
    rows = [(name, bytes_a_reading(folder / f"size{k}.db", *case)) for k, (name, case) in enumerate(cases.items())]
    return table(("52 sensors at 1 Hz, two hours, compacted", "bytes a reading"), rows) + "\nGoal: 3 bytes.\n"


def section_live(folder: Path) -> str:
    """How long a live commit takes, alone and while compaction runs at full speed in another thread."""
    say("  commits beside compaction")
    rows = []
    for name, beside in (("alone", False), ("compaction beside", True)):
        path = folder / f"live{beside}.db"
        with Store(path) as store:
            historian = EmbeddedHistorian(store)
            ids = historian.ids(KEYS)
            for batch in batches(1_500_000, 11) if beside else ():
                historian.write(batch)
            stop = threading.Event()

            def compact(path: Path = path, stop: threading.Event = stop) -> None:
                with Store(path, synchronous="NORMAL") as own:
                    compactor = EmbeddedHistorian(own)
                    while not stop.is_set() and compactor.compact(0.05, everything=True):
                        pass

            thread = threading.Thread(target=compact)
            if beside:
                thread.start()
            times = []
            for second in range(200):
                t = np.full(52, T + 40 * HOUR + second * 10**9)
                began = time.perf_counter()
                historian.write(Batch(ids[:52], t, np.full(52, 1.5), np.zeros(52, np.uint8)))
                times.append((time.perf_counter() - began) * 1e3)
                time.sleep(0.005)
            stop.set()
            if beside:
                thread.join()
        times.sort()
        rows.append((name, times[100], times[197], times[-1]))
    return table(("a durable commit of 52 readings", "median ms", "p99 ms", "most ms"), rows)


def peak_mib() -> float:
    """Peak resident size of this process (a child's getrusage begins with its parent's)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _peak(path: str, answer: "multiprocessing.Queue[tuple[float, float]]") -> None:
    """In a process of its own: its peak before and after a million readings, made one batch at a time."""
    rng = np.random.default_rng(1)
    level, ids = 10 ** rng.uniform(-1, 4, SENSORS), np.arange(SENSORS, dtype=np.int32)
    before = peak_mib()
    with Store(Path(path)) as store, Store(Path(path), synchronous="NORMAL") as own:
        historian, compactor = EmbeddedHistorian(store), EmbeddedHistorian(own)
        historian.ids(KEYS)
        for second in range(0, 1_000_000 // SENSORS, 17):
            t = np.repeat(T + np.arange(second, second + 17) * 10**9, SENSORS)
            v = np.round(level * rng.normal(1, 0.003, (17, SENSORS)), 3).ravel()
            historian.write(Batch(np.tile(ids, 17), t, v, np.zeros(len(t), np.uint8)))
            compactor.compact(0.05)
        while compactor.compact(1.0, everything=True):
            pass
        historian.read(KEYS[:52], T, T + HOUR, 500)
    answer.put((before, peak_mib()))


def section_memory(folder: Path) -> str:
    if not Path("/proc/self/status").is_file():
        return "Memory: skipped, the peak is read from Linux's /proc.\n"
    say("  memory")
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    child = context.Process(target=_peak, args=(str(folder / "memory.db"), answer))
    child.start()
    before, after = answer.get(timeout=120)
    child.join()
    answer.close()
    answer.join_thread()
    return (
        f"Memory: inserting, compacting and reading 1 M readings of {SENSORS} sensors takes {after - before:.0f} MiB "
        f"above the {before:.0f} MiB of Python with NumPy (peak resident size).\n"
    )


def sections(folder: Path) -> Iterator[str]:
    with ExitStack() as stack:
        url = stack.enter_context(influxd(folder / "influx")) if INFLUXD else None
        yield section_insert(folder, url)
        yield section_read(folder, url)
    yield section_size(folder)
    yield section_live(folder)
    yield section_memory(folder)


def run() -> str:
    """All measurements, every engine in the same run."""
    with tempfile.TemporaryDirectory() as name:
        return "\n".join(itertools.chain(sections(Path(name))))
