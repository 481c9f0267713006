"""A collector without a network, and gateways to feed it by hand."""

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from devices.frame import Ack, Asset, Birth, Channel, schema_hash
from devices.topics import CORE_LIVE, topic
from lab.collector import Collector
from lab.config import Config, HistorianConfig
from lab.inbox import Inbox
from lab.sources import Message

PATH = "kyushu/lab/demo/line1"
SECOND = 10**9


class Desk(Inbox):
    """An inbox that is filled by hand and keeps what is published."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.broker, "test")
        self.connected = True
        self.sent: list[tuple[str, bytes]] = []

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> bool:
        self.sent.append((topic, payload))
        return True

    def close(self) -> None:
        """There is no connection to close."""

    def of(self, cls: str) -> list[Any]:
        """What was published on topics of one class, decoded."""
        return [json.loads(payload) for topic, payload in self.sent if topic.rsplit("/", 1)[1] == cls]


class Lab:
    """A collector on a desk. Commits are asked for, so that tests decide when."""

    def __init__(self, folder: Path, **historian: Any) -> None:
        self.config = Config(data_dir=str(folder), historian=HistorianConfig(**({"commit_s": 1e9} | historian)))
        self.desk = Desk(self.config)
        self.collector = Collector(self.config, self.desk)

    def give(self, *messages: Message) -> None:
        """Take messages in one tick."""
        for message in messages:
            if message[0].endswith("/data"):
                self.desk.data.append(message)
                self.desk.received_bytes += len(message[1])
            else:
                self.desk.control.append(message)
        self.collector.tick()

    def commit(self) -> None:
        """Commit, and send all receipts that are due."""
        assert self.collector.commit()
        self.collector.receipts(every=0)

    def acks(self) -> list[Ack]:
        """Receipts sent so far."""
        return [msgspec.json.decode(payload, type=Ack) for topic, payload in self.desk.sent if topic.endswith("/ack")]

    def live(self) -> list[Any]:
        """Live frames sent so far."""
        return [json.loads(payload) for topic, payload in self.desk.sent if topic == CORE_LIVE]

    def ledger(self, gateway: str = "gw", boot: int = 1) -> Any:
        """A ledger as it is in memory."""
        return self.collector.book.get(gateway, boot)

    def reasons(self) -> dict[str, int]:
        """Quarantined messages by reason."""
        return self.collector.quarantine.counts

    def series(self, key: str) -> tuple[list[int], list[float], list[int]]:
        """What the store holds of a sensor: times, values, qualities."""
        series = self.collector.historian.read([key], 0, 2**62)[key]
        return series.t.tolist(), series.v.tolist(), series.q.tolist()

    def late(self) -> list[tuple[str, int]]:
        """Rows noted as not scored."""
        return self.collector.store.db.execute("SELECT asset, t FROM late ORDER BY t").fetchall()

    def kill(self) -> None:
        """End without a commit, as kill -9 does."""
        self.collector.scoring.close()
        self.collector.store.close()

    def restart(self) -> None:
        """Kill, and start again on the same data."""
        self.kill()
        self.desk = Desk(self.config)
        self.collector = Collector(self.config, self.desk)


class Gateway:
    """Makes a gateway's messages."""

    def __init__(
        self, id: str = "gw", boot: int = 1, tags: tuple[str, ...] = ("a", "b"), path: str = PATH, **options: Any
    ) -> None:
        self.id, self.boot, self.path = id, boot, path
        self.channels = options.get("channels") or [Channel(tag) for tag in tags]
        self.assets = options.get("assets") or [Asset(f"asset-{id}", "thing")]
        self.h = schema_hash(self.channels)
        self.now = time.time_ns() // 1_000_000_000 * 1_000_000_000

    def on(self, cls: str, payload: bytes, *, retained: bool = False, at: int | None = None) -> Message:
        """A message on one of its topics."""
        return topic(self.path, self.id, cls), payload, retained, self.now if at is None else at

    def birth(self, **changes: Any) -> Message:
        """Its birth."""
        retained = changes.pop("retained", False)
        birth = Birth(self.id, self.boot, self.h, self.assets, self.channels)
        return self.on("birth", msgspec.json.encode(msgspec.structs.replace(birth, **changes)), retained=retained)

    def state(self, state: str, boot: int | None = None, *, retained: bool = False) -> Message:
        """Its state, or will."""
        body = {"state": state, "b": self.boot if boot is None else boot}
        return self.on("state", json.dumps(body).encode(), retained=retained)

    def time(self, s: int) -> int:
        """The time stamp of frame `s`: ten a second, ns."""
        return self.now - 50 * SECOND + s * SECOND // 10

    def values(self, s: int) -> list[float]:
        """The values of frame `s`."""
        return [float(np.sin(s + at)) for at in range(len(self.channels))]

    def frame(self, s: int | None, *, at: int | None = None, retained: bool = False, **changes: Any) -> Message:
        """A data frame, by default of one sample; None as a change leaves a field out."""
        number = s or 0
        body: dict[str, Any] = {"b": self.boot, "s": s, "h": self.h, "t": self.time(number) / 1e9}
        body |= {"v": self.values(number), **changes}
        body = {key: value for key, value in body.items() if value is not None}
        if s is None:
            body.pop("b", None)
        when = self.time(number) + SECOND // 100 if at is None else at
        return self.on("data", json.dumps(body).encode(), retained=retained, at=when)
