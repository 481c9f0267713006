"""What the database and the live hub together say of assets, sensors, episodes and gateways, as answers of the API.

Functions here run in a reader's thread; what they take from the hub is only looked up, never changed.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from api.hub import AssetState
from api.problems import Problem, bad_field
from api.reader import Reader
from api.times import NS, Span, iso
from devices.quality import GOOD, NAMES
from lab.episodes import Episode, Outlook, list_episodes, words_told
from lab.historian.base import HistorianStats, Series
from lab.ledger import COUNTS
from lab.naming import cause_name
from lab.quarantine import entries
from lab.text import catalogue

EXPIRE_S: Final = 30.0
"""A sensor that does not say when its values are old is stale after so long (as in `lab.sources`)."""
MS: Final = 1_000_000
CALM: Final = "kind = 'instrument' AND upset = '[]'"
"""Of an episode: a sensor failed, and the plant is as usual."""
MAX_BOOTS: Final = 500
MAX_PAYLOAD: Final = 4000


class Live(NamedTuple):
    """What the API has heard itself: the last word on every asset, and whether the collector is still there."""

    assets: Mapping[str, AssetState]
    collector: bool


def tag_name(kind: str, tag: str, name: str, lang: str) -> str:
    """A channel's name for a person: the catalogue's `tag.{kind}.{tag}`, else its gateway's, else its tag."""
    entry = catalogue().get(f"tag.{kind}.{tag}")
    return entry[lang] if entry else name or tag


def assets(reader: Reader, live: Live, only: str | None = None) -> list[dict[str, Any]]:
    """All assets (or one), as `GET assets` answers them."""
    rows = reader.db.execute(
        "SELECT a.id, a.kind, a.name, a.gateway, g.state, json_extract(g.birth, '$.simulator'), "
        "(SELECT count(*) FROM sensor s WHERE s.asset = a.id), "
        "(SELECT max(expire_s) FROM sensor s WHERE s.asset = a.id) "
        "FROM asset a LEFT JOIN gateway g ON g.id = a.gateway WHERE ?1 IS NULL OR a.id = ?1 ORDER BY a.id",
        (only,),
    ).fetchall()
    opened: dict[str, list[str]] = {}
    told: dict[str, dict[str, str]] = {}
    open_ones = f'SELECT asset, {CALM}, id, label FROM episode WHERE "end" IS NULL ORDER BY start'
    for asset, calm, episode, label in reader.db.execute(open_ones):
        opened.setdefault(asset, []).append("instrument" if calm else "process")
        if label is not None:
            told[asset] = {"episode": episode, "cause": label}
    found = []
    for id, kind, name, gateway, state, simulator, sensors, expire_s in rows:
        word = live.assets.get(id)
        last = word.t * MS if word and word.t is not None else _newest(reader, id)
        online = state == "online"
        answer = {
            "id": id,
            "kind": kind,
            "name": name or id,
            "gateway": gateway,
            "online": online and (word is None or word.online),
            "simulator": bool(simulator),
            "health": _health(word, online, last, expire_s or EXPIRE_S, opened.get(id, ()), live.collector),
            "score": word.score if word else None,
            "limit": word.limit if word else None,
            "alarm": word.alarm if word else "process" in opened.get(id, ()),
            "warm": word.warm if word else False,
            "last": iso(last),
            "sensors": sensors,
            "episodes_open": len(opened.get(id, ())),
            "told": told.get(id),
        }
        found.append(answer)
    return found


def _health(
    word: AssetState | None, online: bool, last: int | None, expire_s: float, opened: Sequence[str], collector: bool
) -> str:
    if not online:
        return "offline"
    if not collector or last is None or (word is not None and not word.online):
        return "stale"
    if time.time_ns() - last > expire_s * NS or (word and word.age_s is not None and word.age_s > expire_s):
        return "stale"
    if word is not None and word.episode_kind == "instrument" and not word.upset:
        return "instrument"  # no alarm of the process, however high the score
    if "process" in opened or (word is not None and word.alarm):
        return "alarm"
    if "instrument" in opened:
        return "instrument"
    return "ok" if word is not None and word.warm else "learning"


def _newest(reader: Reader, asset: str) -> int | None:
    keys = [key for (key,) in reader.db.execute("SELECT key FROM sensor WHERE asset = ?", (asset,))]
    return max((reading.t for reading in reader.historian.latest(keys).values()), default=None)


def asset(reader: Reader, live: Live, id: str, lang: str) -> dict[str, Any]:
    """One asset with what leads its score and the model in use.

    Raises:
        Problem: there is no such asset.
    """
    found = assets(reader, live, id)
    if not found:
        raise Problem("not-found", "api.no_asset", id=id)
    answer = found[0]
    names = dict(reader.db.execute("SELECT tag, name FROM sensor WHERE asset = ?", (id,)).fetchall())
    word = live.assets.get(id)
    answer["leading"] = [
        {"tag": tag, "name": tag_name(answer["kind"], tag, names.get(tag, ""), lang), "share": share}
        for tag, share in (word.top if word else [])
    ]
    newest = "SELECT model, offset IS NOT NULL FROM run WHERE asset = ? ORDER BY t DESC LIMIT 1"
    model, accepted = reader.db.execute(newest, (id,)).fetchone() or (None, 0)
    answer |= {"model": model, "accepted": bool(accepted)}
    told = _Names(answer["kind"], names, lang)
    answer |= {
        "drift": word.drift if word else None,
        "episode": word.episode if word else None,
        "episode_kind": word.episode_kind if word else None,
        "failed": told.failed(word.failed if word else None),
        "suspects": told.suspects(word.suspects if word else []),
        "upset": told.sensors(word.upset if word else []),
        "cause": word.cause if word else None,
        "causes": told.causes(word.causes if word else []),
        "unknown": word.unknown if word else None,
        "outlook": told.outlook(word.outlook if word else None),
        "instruments": told.instruments(word.instruments if word else []),
    }
    return answer


class _Names:
    """What an episode says, with names for a person in it."""

    def __init__(self, kind: str, names: Mapping[str, str], lang: str) -> None:
        self.kind, self.names, self.lang = kind, names, lang

    def of(self, tag: str) -> str:
        return tag_name(self.kind, tag, self.names.get(tag, ""), self.lang)

    def failed(self, failed: tuple[str, str] | None) -> dict[str, Any] | None:
        return None if failed is None else {"sensor": failed[0], "name": self.of(failed[0]), "fault": failed[1]}

    def suspects(self, suspects: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        return [{"sensor": sensor, "name": self.of(sensor), "fault": fault} for sensor, fault in suspects]

    def instruments(self, found: Sequence[tuple[str, str, int, float, float]]) -> list[dict[str, Any]]:
        return [
            {
                "sensor": sensor,
                "name": self.of(sensor),
                "fault": fault,
                "times": times,
                "since_s": since_s,
                "ago_s": ago_s,
            }
            for sensor, fault, times, since_s, ago_s in found
        ]

    def sensors(self, tags: Sequence[str]) -> list[dict[str, Any]]:
        return [{"sensor": tag, "name": self.of(tag)} for tag in tags]

    def causes(self, causes: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
        return [
            {"cause": cause, "name": cause_name(cause, self.lang), "probability": chance} for cause, chance in causes
        ]

    def outlook(self, outlook: Outlook | None) -> dict[str, Any] | None:
        if outlook is None:
            return None
        return {
            "sensor": outlook.sensor,
            "name": None if outlook.sensor is None else self.of(outlook.sensor),
            "time_s": outlook.time_s,
            "low_s": outlook.low_s,
            "high_s": outlook.high_s,
            "first_at": iso(outlook.first_at),
            "first_s": outlook.first_s,
            "reached": outlook.reached,
            "lead_s": outlook.lead_s,
            "limit": outlook.limit,
            "silent_s": outlook.silent_s,
            "unseen": [
                {
                    "sensor": each.sensor,
                    "name": self.of(each.sensor),
                    "silent_s": each.silent_s,
                    "time_s": each.time_s,
                    "low_s": each.low_s,
                    "high_s": each.high_s,
                    "limit": each.limit,
                }
                for each in outlook.unseen
            ],
            "watched": outlook.watched,
        }


def sensors(reader: Reader, id: str, lang: str) -> list[dict[str, Any]]:
    """An asset's sensors in order, with the newest reading of each.

    Raises:
        Problem: there is no such asset.
    """
    kind = reader.db.execute("SELECT kind FROM asset WHERE id = ?", (id,)).fetchone()
    if kind is None:
        raise Problem("not-found", "api.no_asset", id=id)
    rows = reader.db.execute(
        "SELECT key, tag, name, unit, role, lo, hi, limits, expire_s, decimals FROM sensor WHERE asset = ? "
        "ORDER BY position",
        (id,),
    ).fetchall()
    latest = reader.historian.latest([row[0] for row in rows])
    now = time.time_ns()
    found = []
    for key, tag, name, unit, role, lo, hi, limits, expire_s, decimals in rows:
        reading = latest.get(key)
        found.append(
            {
                "key": key,
                "tag": tag,
                "name": tag_name(kind[0], tag, name or "", lang),
                "unit": unit,
                "role": role,
                "lo": lo,
                "hi": hi,
                "limits": json.loads(limits) if limits else None,
                "decimals": decimals,
                "value": reading.v if reading and reading.v == reading.v else None,
                "quality": NAMES.get(reading.q, str(reading.q)) if reading else None,
                "last": iso(reading.t) if reading else None,
                "stale": reading is None or now - reading.t > (expire_s or EXPIRE_S) * 1e9,
            }
        )
    return found


def series(reader: Reader, keys: Sequence[str], span: Span, points: int) -> dict[str, Any]:
    """Readings of sensors as `GET series` answers them; arrays stay NumPy's until they are encoded."""
    found = reader.historian.read(keys, span.start, span.end, points)
    answer: dict[str, Any] = {
        "from": span.start // MS,
        "to": span.end // MS,
        "series": {key: _course(found[key]) for key in keys},
    }
    empty = [key for key in keys if not len(found[key].t)]
    if empty and (unknown := sorted(set(empty).difference(reader.historian.keys()))):
        answer["unknown"] = unknown
    return answer


def _course(series: Series) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "t": series.t // MS,
        "v": _whole(series.v),
        "lo": _whole(series.lo),
        "hi": _whole(series.hi),
        "raw": series.raw,
    }
    if np.any(series.q != GOOD):
        answer["q"] = np.ascontiguousarray(series.q)
    return answer


def _whole(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the encoder takes: contiguous, and no infinity (which JSON has not)."""
    values = np.ascontiguousarray(values, np.float64)
    return values if np.isfinite(values).all() else np.where(np.isinf(values), np.nan, values)


def score(reader: Reader, id: str, limit: float | None, span: Span, points: int) -> dict[str, Any]:
    """An asset's score and its charts; of a decimated stretch the highest score, so that no alarm is averaged away.

    Raises:
        Problem: there is no such asset.
    """
    if reader.db.execute("SELECT 1 FROM asset WHERE id = ?", (id,)).fetchone() is None:
        raise Problem("not-found", "api.no_asset", id=id)
    prefix = f"{id}/~"
    known = reader.historian.keys()
    keys = [key for key in known if key.startswith(prefix)]
    main = f"{prefix}score"
    found = reader.historian.read([main, *(key for key in keys if key != main)], span.start, span.end, points)
    t = found[main].t
    statistics = {key.removeprefix(prefix): _aligned(found[key], t) for key in sorted(keys) if key != main}
    return {"limit": limit, "t": t // MS, "score": _whole(found[main].hi), "statistics": statistics}


def _aligned(series: Series, t: NDArray[np.int64]) -> NDArray[np.float64]:
    """The highest values of a series at the times of another one, NaN where it has none."""
    if np.array_equal(series.t, t):
        return _whole(series.hi)
    values = np.full(len(t), np.nan)
    if len(series.t):
        at = np.minimum(np.searchsorted(series.t, t), len(series.t) - 1)
        same = series.t[at] == t
        values[same] = series.hi[at[same]]
    return _whole(values)


def ledger(reader: Reader) -> dict[str, Any]:
    """The accounts of the boots last heard of, at most `MAX_BOOTS`, and the sums over all there ever were.

    `proof`: every frame that was sent is accounted for, and none is missing.
    """
    rows = reader.db.execute(
        "SELECT l.gateway, l.boot, g.state, g.boot, g.skew_ms, l.upto, l.missing, l.seen, "
        f"{', '.join(f'l.{name}' for name in COUNTS)} FROM ledger l LEFT JOIN gateway g ON g.id = l.gateway "
        f"ORDER BY l.seen DESC LIMIT {MAX_BOOTS}"
    ).fetchall()
    gateways = []
    for gateway, boot, state, current, skew_ms, upto, ranges, seen, *counts in rows:
        gateways.append(
            {
                "gateway": gateway,
                "boot": boot,
                "state": (state if boot == current else None) or "offline",
                **_account(counts),
                "missing_ranges": json.loads(ranges),
                "upto": upto,
                "seen": iso(seen),
                "skew_ms": skew_ms if boot == current else None,
            }
        )
    gateways.sort(key=lambda each: (each["gateway"], -each["boot"]))
    sums = reader.db.execute(f"SELECT {', '.join(f'coalesce(sum({name}), 0)' for name in COUNTS)} FROM ledger")
    return {"gateways": gateways, "totals": _account(sums.fetchone())}


def _account(counts: Sequence[int]) -> dict[str, Any]:
    account = dict(zip(COUNTS, counts, strict=True))
    known = account["accepted"] + account["duplicates"] + account["rejected"]
    return {**account, "missing": account["published"] - known, "proof": account["published"] == known}


def now_ns() -> int:
    """The wall clock, UTC nanoseconds."""
    return time.time_ns()


def episodes(
    reader: Reader,
    *,
    asset: str | None,
    open: bool | None,
    start: int | None,
    end: int | None,
    limit: int,
    cursor: str | None,
    lang: str,
) -> dict[str, Any]:
    """Episodes that touch `start` <= t < `end`, the newest first; `next` is the cursor of the rest.

    Raises:
        Problem: the cursor is not one of ours.
    """
    after: tuple[int, str] | None = None
    if cursor is not None:
        at, dot, id = cursor.partition(".")
        if not dot or not re.fullmatch(r"-?\d{1,19}", at, re.ASCII) or abs(int(at)) >= 2**63:
            raise bad_field("cursor", "cursor")
        after = int(at), id
    rows = list_episodes(reader.store, asset, open, start, end, limit + 1, after)
    now = now_ns()
    told: dict[str, _Names] = {}
    for row in rows:
        if row.asset not in told:
            kind = reader.db.execute("SELECT kind FROM asset WHERE id = ?", (row.asset,)).fetchone()
            names = dict(reader.db.execute("SELECT tag, name FROM sensor WHERE asset = ?", (row.asset,)).fetchall())
            told[row.asset] = _Names(kind[0] if kind else "", names, lang)
    found = [_episode(row, told[row.asset], now) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return {"episodes": found, "next": f"{last.start}.{last.id}" if last else None}


def _episode(row: Episode, told: _Names, now: int) -> dict[str, Any]:
    cause = row.label or row.cause
    return {
        "id": row.id,
        "asset": row.asset,
        "kind": row.kind,
        "start": iso(row.start),
        "end": iso(row.end),
        "peak": row.peak,
        "peak_at": iso(row.peak_at),
        "leading": row.leading,
        "cause": cause,
        "cause_name": None if cause is None else cause_name(cause, told.lang),
        "causes": told.causes(row.causes),
        "unknown": row.unknown,
        "told": row.label is not None,
        "told_kind": row.label_kind,
        "failed": told.failed(row.failed),
        "suspects": told.suspects(row.suspects),
        "upset": told.sensors(row.upset),
        "outlook": told.outlook(row.outlook),
        "duration_s": max(0, (now if row.end is None else row.end) - row.start) / NS,
    }


def told_causes(reader: Reader, *, id: str, lang: str) -> list[dict[str, Any]]:
    """What users told of episodes of assets of the same kind, what was told last first.

    Raises:
        Problem: there is no such asset.
    """
    kind = reader.db.execute("SELECT kind FROM asset WHERE id = ?", (id,)).fetchone()
    if kind is None:
        raise Problem("not-found", "api.no_asset", id=id)
    counts = Counter(word.cause for word in words_told(reader.store, kind[0]).values())
    return [{"cause": cause, "name": cause_name(cause, lang), "episodes": n} for cause, n in counts.items()]


def quarantine(reader: Reader, *, reason: str | None, limit: int, cursor: int | None) -> dict[str, Any]:
    """Messages that were not taken, the newest first; of a payload the first `MAX_PAYLOAD` characters."""
    found = entries(reader.db, reason=reason, before=cursor, limit=limit + 1)
    shown = [
        {
            "id": entry.id,
            "at": iso(entry.at),
            "topic": entry.topic,
            "reason": entry.reason,
            "detail": entry.detail,
            "count": entry.count,
            "payload": None if entry.payload is None else _shown(entry.payload),
        }
        for entry in found[:limit]
    ]
    return {"entries": shown, "next": str(found[limit - 1].id) if len(found) > limit else None}


def _shown(payload: bytes) -> str:
    text = payload[: 4 * MAX_PAYLOAD].decode("utf-8", "backslashreplace")
    return text if len(text) <= MAX_PAYLOAD else f"{text[:MAX_PAYLOAD]}…"


def historian_stats(reader: Reader) -> HistorianStats:
    """Counts and sizes of the historian."""
    return reader.historian.stats()
