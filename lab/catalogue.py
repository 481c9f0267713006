"""Who is there: gateways with their births, assets, sensors; and which births are refused, with a reason to act on."""

import sqlite3
from typing import Final

import msgspec

from devices.frame import Asset, Birth, Channel, State, check_birth, schema_hash
from lab.store import Store, room

BY_HAND: Final = "by hand"
"""`Birth.version` of a gateway that never introduced itself and names its channels in every frame."""
MAX_TAGS_EVER: Final = 20_000
"""Different tags that one gateway may have over all its births: each is a series that is kept."""
QUIET_NS: Final = 60 * 10**9
"""A gateway by hand has no will: after so long without a message its names are free again."""

room(
    "catalogue",
    """CREATE TABLE gateway (
        id TEXT PRIMARY KEY, path TEXT NOT NULL, boot INTEGER NOT NULL, birth TEXT NOT NULL, state TEXT NOT NULL,
        seen INTEGER NOT NULL, skew_ms REAL) WITHOUT ROWID""",
    """CREATE TABLE asset (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, gateway TEXT NOT NULL, clock TEXT,
        period_s REAL) WITHOUT ROWID""",
    """CREATE TABLE sensor (
        key TEXT PRIMARY KEY, asset TEXT NOT NULL, tag TEXT NOT NULL, position INTEGER NOT NULL, unit TEXT NOT NULL,
        name TEXT NOT NULL, role TEXT NOT NULL, lo REAL, hi REAL, limits TEXT, expire_s REAL,
        decimals INTEGER) WITHOUT ROWID""",
    "CREATE INDEX sensor_asset ON sensor (asset, position)",
    """CREATE TABLE birth (
        gateway TEXT NOT NULL, h TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (gateway, h)) WITHOUT ROWID""",
    "ALTER TABLE sensor ADD COLUMN controlled INTEGER NOT NULL DEFAULT 0",
)


class Refused(Exception):
    """A birth that is not taken: `reason` is a quarantine code, the text says what to do."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Gateway:
    """A gateway as the lab knows it."""

    __slots__ = ("birth", "boot", "id", "path", "seen", "skew_ms", "state")

    def __init__(self, id: str, path: str, boot: int, birth: Birth, state: str, seen: int, skew_ms: float | None):
        self.id, self.path, self.boot, self.birth = id, path, boot, birth
        self.state, self.seen, self.skew_ms = state, seen, skew_ms

    @property
    def by_hand(self) -> bool:
        """It never sent a birth."""
        return self.birth.version == BY_HAND

    def active(self, now: int) -> bool:
        """May it still be there, so that its names are taken?"""
        return self.state == "online" and not (self.by_hand and now - self.seen > QUIET_NS)


def asset_channels(birth: Birth) -> list[tuple[Asset, list[int]]]:
    """Each asset of a birth with the positions of its channels; assets without channels are left out."""
    columns: dict[str, list[int]] = {asset.id: [] for asset in birth.assets}
    if len(columns) == 1:
        return [(birth.assets[0], list(range(len(birth.channels))))]
    for position, channel in enumerate(birth.channels):
        columns[channel.asset or birth.assets[0].id].append(position)
    return [(asset, columns[asset.id]) for asset in birth.assets if columns[asset.id]]


def birth_by_hand(gateway: str, boot: int, tags: list[str]) -> Birth:
    """What is assumed of a gateway that names its channels itself: one asset of its own name, no units.

    Raises:
        FrameError: there are too many.
    """
    channels = [Channel(tag) for tag in tags]
    birth = Birth(gateway, boot, schema_hash(channels), [Asset(gateway, "hand")], channels, version=BY_HAND)
    check_birth(birth)
    return birth


class Catalogue:
    """The writer's side. What changed is written by `save`, inside the transaction of the readings."""

    def __init__(self, store: Store) -> None:
        self.gateways: dict[str, Gateway] = {}
        self.births: dict[str, dict[str, Birth]] = {}
        """Every channel list a gateway ever had, by hash: frames of an older one may still come."""
        self.owners: dict[str, str] = {}
        """Asset -> gateway."""
        self._lists: dict[str, list[Channel]] = {}
        self._dirty: set[str] = set()
        self._born: dict[str, bool] = {}
        """Gateways with a new birth, and whether its assets or sensors are new too."""
        self._remembered: list[Birth] = []
        decode = msgspec.json.Decoder(Birth).decode
        for id_, path, boot, birth, state, seen, skew in store.db.execute("SELECT * FROM gateway"):
            self.gateways[id_] = Gateway(id_, path, boot, decode(birth), state, seen, skew)
            self._share(self.gateways[id_].birth)
        for gateway, h, body in store.db.execute("SELECT gateway, h, body FROM birth"):
            self.births.setdefault(gateway, {})[h] = old = decode(body)
            self._share(old)
        self.owners.update(store.db.execute("SELECT id, gateway FROM asset").fetchall())

    def check(self, path: str, gateway: str, birth: Birth, now: int) -> None:
        """May a birth (from `decode_birth`) that came on a gateway's topic be taken?

        Raises:
            Refused: it contradicts its topic, or another gateway that is online.
        """
        if birth.gateway != gateway:
            raise Refused("bad_birth", f"the birth says gateway {birth.gateway!r}, its topic {gateway!r}")
        known = self.gateways.get(gateway)
        if known is not None and known.path != path and known.active(now):
            raise Refused(
                "gateway_twice", f"gateway {gateway!r} is online at {known.path}; give one of the two another id"
            )
        earlier = self.births.get(gateway, {})
        if birth.h not in earlier:
            tags = {channel.tag for old in (*earlier.values(), birth) for channel in old.channels}
            if len(tags) > MAX_TAGS_EVER:
                raise Refused(
                    "too_many_tags", f"with it the gateway would have had {len(tags)} tags; use the same ones again"
                )
        for asset in birth.assets:
            owner = self.gateways.get(self.owners.get(asset.id, gateway))
            if owner is not None and owner.id != gateway and owner.active(now):
                raise Refused(
                    "asset_taken",
                    f"asset {asset.id!r} belongs to gateway {owner.id!r}, which is online; "
                    "rename the asset or stop that gateway",
                )

    def register(self, path: str, birth: Birth, now: int, state: str = "online") -> set[str]:
        """Take a birth that was checked.

        Returns:
            Gateways (offline ones) that have lost their place or an asset to it.
        """
        self._share(birth)
        known = self.gateways.get(birth.gateway)
        displaced = {birth.gateway} if known is not None and known.path != path else set()
        skew = known.skew_ms if known else None
        self.gateways[birth.gateway] = Gateway(birth.gateway, path, birth.b, birth, state, now, skew)
        for asset in birth.assets:
            owner = self.owners.get(asset.id, birth.gateway)
            if owner != birth.gateway:
                displaced.add(owner)
            self.owners[asset.id] = birth.gateway
        self.remember(birth)
        self._dirty.add(birth.gateway)
        # A gateway that only started again has nothing new to tell of its sensors.
        same = known is not None and (known.birth.assets, known.birth.channels) == (birth.assets, birth.channels)
        self._born[birth.gateway] = not same or bool(displaced) or self._born.get(birth.gateway, False)
        return displaced

    def _share(self, birth: Birth) -> None:
        """Thousands of gateways of one kind need not hold the same channel list each."""
        listed = self._lists.setdefault(birth.h, birth.channels)
        if listed == birth.channels:
            birth.channels = listed

    def remember(self, birth: Birth) -> None:
        """Keep a channel list: frames made with it may come later."""
        known = self.births.setdefault(birth.gateway, {})
        if birth.version != BY_HAND and birth.h not in known:
            self._share(birth)
            known[birth.h] = birth
            self._remembered.append(birth)

    def set_state(self, gateway: str, state: State, now: int) -> bool:
        """Note online or offline; false when it is about an older boot (a late will does not end a new session)."""
        known = self.gateways.get(gateway)
        if known is None or state.b < known.boot:
            return False
        known.state, known.seen = state.state, now
        self._dirty.add(gateway)
        return True

    def touch(self, gateway: str, path: str, now: int, skew_ms: float | None) -> None:
        """Note when a gateway was heard and how far its clock is off."""
        known = self.gateways.get(gateway)
        if known is not None and known.path == path:
            known.seen, known.skew_ms = now, skew_ms
            self._dirty.add(gateway)

    @property
    def waiting(self) -> bool:
        """Is there something to write?"""
        return bool(self._dirty or self._remembered)

    def save(self, db: sqlite3.Connection) -> None:
        """Write what changed since the last commit."""
        encode = msgspec.json.encode
        db.executemany(
            "INSERT OR REPLACE INTO birth VALUES (?, ?, ?)",
            [(birth.gateway, birth.h, encode(birth).decode()) for birth in self._remembered],
        )
        for gateway, fresh in self._born.items():
            known = self.gateways[gateway]
            body = encode(known.birth).decode()
            db.execute(
                "INSERT OR REPLACE INTO gateway VALUES (?, ?, ?, ?, ?, ?, ?)",
                (gateway, known.path, known.boot, body, known.state, known.seen, known.skew_ms),
            )
            for asset, columns in asset_channels(known.birth) if fresh else ():
                db.execute(
                    "INSERT OR REPLACE INTO asset VALUES (?, ?, ?, ?, ?, ?)",
                    (asset.id, asset.kind, asset.name, gateway, asset.clock, asset.period_s),
                )
                db.execute("DELETE FROM sensor WHERE asset = ?", (asset.id,))
                db.executemany(
                    "INSERT INTO sensor VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [_sensor(asset.id, position, known.birth.channels[at]) for position, at in enumerate(columns)],
                )
        db.executemany(
            "UPDATE gateway SET state = ?, seen = ?, skew_ms = ? WHERE id = ?",
            [(g.state, g.seen, g.skew_ms, g.id) for g in map(self.gateways.__getitem__, self._dirty)],
        )

    def committed(self) -> None:
        """The transaction went through."""
        self._dirty.clear()
        self._born.clear()
        self._remembered.clear()


def _sensor(asset: str, position: int, channel: Channel) -> tuple[object, ...]:
    limits = None if channel.limits is None else msgspec.json.encode(channel.limits).decode()
    return (
        f"{asset}/{channel.tag}",
        asset,
        channel.tag,
        position,
        channel.unit,
        channel.name,
        channel.role,
        channel.lo,
        channel.hi,
        limits,
        channel.expire_s,
        channel.decimals,
        channel.controlled,
    )
