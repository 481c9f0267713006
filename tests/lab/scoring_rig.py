"""A runtime with a historian in memory, for the tests of scoring."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import lab.catalogue  # noqa: F401  its tables are in every database
from devices.frame import Asset, Channel
from lab.blocks import RowBlock, Scored
from lab.episodes import Change, Episode, list_episodes
from lab.historian.base import Batch, HistorianStats, Latest, Series
from lab.rescoring import replay_scores
from lab.scoring import ScoringRuntime
from lab.store import Store
from lab.telling import Telling
from tests.models.plants import SENSORS, record

SECOND = 10**9
START = 1_764_000_000 * SECOND
CHANNELS = [Channel(tag) for tag in SENSORS]
PUMP = Asset("pump-1", "pump")


class Memory:
    """A historian that keeps readings in dictionaries."""

    def __init__(self) -> None:
        self.readings: dict[str, dict[int, tuple[float, int]]] = {}

    def put(self, asset: str, tags: Sequence[str], block: RowBlock, rows: NDArray[np.intp]) -> None:
        """Store rows of one asset."""
        for row in rows.tolist():
            for column, tag in enumerate(tags):
                series = self.readings.setdefault(f"{asset}/{tag}", {})
                series[int(block.t[row])] = float(block.v[row, column]), int(block.q[row, column])

    def ids(self, keys: Sequence[str]) -> NDArray[np.int32]:
        raise NotImplementedError

    def keys(self) -> Sequence[str]:
        return list(self.readings)

    def write(self, batch: Batch) -> None:
        raise NotImplementedError

    def read(self, sensors: Sequence[str], t0: int, t1: int, max_points: int | None = None) -> Mapping[str, Series]:
        found = {}
        for key in sensors:
            rows = sorted((t, *reading) for t, reading in self.readings.get(key, {}).items() if t0 <= t < t1)
            v = np.array([row[1] for row in rows], dtype=np.float64)
            t = np.array([row[0] for row in rows], dtype=np.int64)
            found[key] = Series(t, v, v, v, np.array([row[2] for row in rows], dtype=np.uint8), True)
        return found

    def latest(self, sensors: Sequence[str]) -> Mapping[str, Latest]:
        newest = {key: max(self.readings[key]) for key in sensors if self.readings.get(key)}
        return {key: Latest(t, *self.readings[key][t]) for key, t in newest.items()}

    def stats(self) -> HistorianStats:
        times = [t for series in self.readings.values() for t in series]
        return HistorianStats(len(times), len(self.readings), 0, 0, min(times, default=None), max(times, default=None))

    def close(self) -> None:
        pass


class Rig:
    """Takes rows as the collector does, and remembers what came of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = folder / "models"
        self.memory = Memory()
        self.scores: dict[tuple[str, int], tuple[float, bool]] = {}
        self.changes: list[Change] = []
        self.assets: dict[str, tuple[Asset, list[Channel]]] = {}
        self.open()

    def open(self) -> None:
        """Begin, or begin again after `crash` or `stop`."""
        self.store = Store(self.folder / "lab.db", synchronous="OFF")
        self.runtime = ScoringRuntime(self.models, self.store)
        self.numbers = {id: self.runtime.declare(*declared) for id, declared in self.assets.items()}
        self.runtime.catch_up(self.memory)
        self.commit()

    @property
    def telling(self) -> Telling:
        """Of the runtime there is now."""
        return self.runtime.telling

    def crash(self) -> None:
        """End without a word."""
        self.runtime.close()
        self.store.close()

    def stop(self) -> None:
        """End in order."""
        self.commit(force=True)
        self.crash()

    def declare(self, asset: Asset, channels: list[Channel]) -> int:
        self.assets[asset.id] = asset, channels
        with self.store.transaction() as db:
            row = (asset.id, asset.kind, asset.name, "gateway", asset.clock, asset.period_s)
            db.execute("INSERT OR REPLACE INTO asset VALUES (?, ?, ?, ?, ?, ?)", row)
            for at, channel in enumerate(channels):
                row = (f"{asset.id}/{channel.tag}", asset.id, channel.tag, at, channel.unit, "", channel.role)
                rest = channel.lo, channel.hi, channel.controlled
                places = "?, ?, ?, ?, ?, ?, ?, ?, ?, '', 0, 0, ?"
                db.execute(f"INSERT OR REPLACE INTO sensor VALUES ({places})", (*row, *rest))
        number = self.numbers[asset.id] = self.runtime.declare(asset, channels)
        return number

    def commit(self, force: bool = False) -> None:
        with self.store.transaction():
            self.runtime.save(force)

    def feed(
        self,
        assets: str | Sequence[str],
        t: Sequence[int] | NDArray[np.int64],
        v: NDArray[np.float64],
        q: NDArray[np.uint8] | None = None,
    ) -> Scored:
        """Rows (M, C) of one asset or of M, times in ns."""
        names = [assets] * len(t) if isinstance(assets, str) else list(assets)
        numbers = np.array([self.numbers[name] for name in names], dtype=np.int32)
        codes = np.where(np.isnan(v), 128, 0).astype(np.uint8) if q is None else q
        block = RowBlock(numbers, np.asarray(t, dtype=np.int64), v, codes)
        scored = self.runtime.ingest(block)
        for name in set(names):
            tags = [channel.tag for channel in self.assets[name][1]]
            self.memory.put(name, tags, block, np.flatnonzero(numbers == self.numbers[name]))
        for part, result in (*scored.earlier, (block, scored)):
            self._remember(part, result)
        return scored

    def poll(self) -> None:
        """As the collector does between blocks."""
        for part, result in self.runtime.poll():
            self._remember(part, result)

    def _remember(self, block: RowBlock, scored: Scored) -> None:
        names = {number: name for name, number in self.numbers.items()}
        self.changes += scored.changes
        for row in np.flatnonzero(np.isfinite(scored.score)).tolist():
            key = (names[int(block.asset[row])], int(block.t[row]))
            assert key not in self.scores
            self.scores[key] = float(scored.score[row]), bool(scored.alarm[row])

    def scores_of(self, asset: str) -> dict[int, tuple[float, bool]]:
        """Score and alarm by time."""
        return {t: value for (name, t), value in self.scores.items() if name == asset}


def only(rig: Rig, asset: str = "pump-1") -> Episode:
    """The asset's only episode, after a commit."""
    rig.commit()
    (episode,) = list_episodes(rig.store, asset)
    return episode


def leaking(rows: int = 300, seed: int = 5) -> NDArray[np.float64]:
    """Normal rows but for a leak, and a short gap before it."""
    x = record(rows, seed)
    x[100:160, 1] -= 12.0
    x[60:64, 2] = np.nan
    return x


def seconds(rows: int, start: int = 0) -> NDArray[np.int64]:
    """Times of rows, a second each."""
    return START + (start + np.arange(rows)) * SECOND


def check_replay(rig: Rig, asset: str, t0: int = START, t1: int = START + 10**6 * SECOND) -> None:
    """Scoring the store again gives exactly what was given live."""
    rig.commit()
    replayed = replay_scores(rig.memory, rig.store, asset, t0, t1)
    there = np.isfinite(replayed.score)
    again = {
        int(t): (float(s), bool(a))
        for t, s, a in zip(replayed.t[there], replayed.score[there], replayed.alarm[there], strict=True)
    }
    assert again == {t: value for t, value in rig.scores_of(asset).items() if t0 <= t < t1}
    live = list_episodes(rig.store, asset, t0=t0, t1=t1)[::-1]
    assert [(e.id, e.start, e.model) for e in replayed.episodes] == [(e.id, e.start, e.model) for e in live]
    ended = [episode for episode in live if episode.end is not None and episode.end < t1]
    assert [episode for episode in replayed.episodes if episode.end is not None] == ended


def failed(rig: Rig, id: str, x: np.ndarray, channels: list[Channel] = CHANNELS, size: int = 400) -> set[object]:
    rig.declare(Asset(id, "pump"), channels)
    for first in range(0, len(x), size):
        rig.feed(id, seconds(len(x))[first : first + size], x[first : first + size])
    rig.commit()
    check_replay(rig, id)
    return {episode.failed for episode in list_episodes(rig.store, id)}


def fail(x: np.ndarray, fault: str) -> None:
    """The level's measurement, from row 150 on."""
    if fault == "spiking":
        x[150::8, 3] += 100.0
    else:
        x[150:, 3] = x[149, 3] if fault == "frozen" else np.nan


def apart(rows: int, seed: int) -> np.ndarray:
    """The last sensor has nothing to do with the others."""
    return np.column_stack([record(rows, seed)[:, :5], np.random.default_rng(seed).normal(size=rows)])


def spiky(spikes: int, by: float) -> np.ndarray:
    """A sensor that spikes now and then, and a fault that moves another one and, by so much, this one too."""
    x = record(600, 5)
    x[150 : 150 + 50 * spikes : 50, 3] += 100.0
    x[400:, 0] += 4.0
    x[400:, 3] += by
    return x
