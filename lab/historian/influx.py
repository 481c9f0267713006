"""Readings in InfluxDB 1.6 to 3: written as line protocol, read by InfluxQL over plain HTTP (no Flux, which 3 lacks).

Measurement `plant`, tag `sensor` (the key), fields `value` (float, always) and `q` (quality code, integer). A reading
without a value has no `value` and `q` = -1 - code, because InfluxDB merges the fields of one point and would keep an
older value beside a newer quality. The ids of sensors stand in the measurement `plant_id`.

Tried with InfluxDB 1.6.7, the versions from 1.8 on through their `/api/v2/write` only as far as its documentation goes.
"""

import base64
import http.client
import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

import numpy as np
import orjson
from numpy.typing import NDArray

from lab.historian.base import Batch, HistorianError, HistorianFull, HistorianStats, Latest, Series
from lab.historian.codec import Column
from lab.historian.series import EMPTY, T_END, bucket_ns, checked, thin

MEASUREMENT: Final = "plant"
IDS: Final = "plant_id"
LINES: Final = 20_000
"""Readings in one request."""
SENSORS: Final = 100
"""Sensors named in one query."""
TIMEOUT_S: Final = 30.0
COUNT_S: Final = 60.0
"""How long a count of all readings, which costs InfluxDB a scan, is good for."""

_UNSAFE: Final = re.compile(r"[%\\\x00-\x1f\x7f]")
_MINUS_ZERO: Final = re.compile(rb"(?<=[,\[])-0(?=[,\]])")

logger = logging.getLogger("lab.historian")


class InfluxHistorian:
    """A database (1.x, 3) or bucket (2) of an InfluxDB server. Belongs to the thread that made it."""

    def __init__(self, url: str, database: str, org: str, token: str | None) -> None:
        """Connect, find out the version; on 1.x create the database if it is missing.

        Args:
            url: `http://host:8086`.
            database: database or bucket.
            org: organisation, used by 2.x only.
            token: API token; on 1.x `user:password`; None without authentication.

        Raises:
            HistorianError: it does not answer, is no InfluxDB, or refuses the token.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HistorianError(f"historian.url {url!r}: want http://host:port of an InfluxDB")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port or 8086, timeout=TIMEOUT_S)
        self._base = parts.path.rstrip("/")
        self._url, self._database, self._org, self._token = url, database, org, token
        self.version = (0, 0)
        """(major, minor) of the server."""
        self._keys: list[str] = []
        self._ids: dict[str, int] = {}
        self._prefixes: list[str] = []
        self._announced: set[str] = set()
        self._written = 0
        self._counted: tuple[float, HistorianStats] | None = None
        self._client: Any = None
        self._writer: Any = None
        try:
            _, headers = self._request("GET", "/ping", None)
            found = re.search(r"(\d+)\.(\d+)", headers.get("X-Influxdb-Version", ""))
            if found is None:
                raise HistorianError(f"{url} answers, but is no InfluxDB (no X-Influxdb-Version)")
            self.version = int(found[1]), int(found[2])
            if self.version < (2, 0):
                self._query(f"CREATE DATABASE {_name(database)}", method="POST")
            self._learn()
        except BaseException:
            self.close()
            raise

    # HTTP

    def _request(self, method: str, path: str, body: bytes | None) -> tuple[bytes, Mapping[str, str]]:
        headers = {"User-Agent": "jissho-lab"}
        if self._token:
            basic = self._token_is_login()
            headers["Authorization"] = (
                "Basic " + base64.b64encode(self._token.encode()).decode() if basic else f"Token {self._token}"
            )
        for again in (True, False):
            try:
                self._connection.request(method, self._base + path, body, headers)
                response = self._connection.getresponse()
                answer = response.read()
                break
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                # a kept connection that the server has closed meanwhile; all requests may be repeated
                if again and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                    continue
                raise HistorianError(
                    f"InfluxDB at {self._url} does not answer ({error}). Is it running? Nothing is lost meanwhile."
                ) from error
        if response.status >= 400:
            raise _refused(self._url, response.status, answer.decode(errors="replace"))
        return answer, dict(response.getheaders())

    def _token_is_login(self) -> bool:
        return ":" in (self._token or "") and self.version < (2, 0)

    def _query(self, *statements: str, method: str = "GET") -> list[list[dict[str, Any]]]:
        """The series that each InfluxQL statement gives."""
        fields = urlencode({"db": self._database, "epoch": "ns", "q": ";".join(statements)})
        answer, _ = self._request(method, f"/query?{fields}", None)
        if b"-0" in answer:
            answer = _MINUS_ZERO.sub(b"-0.0", answer)
        try:
            results = orjson.loads(answer)["results"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise HistorianError(f"InfluxDB at {self._url}: the answer to a query makes no sense: {error}") from error
        for result in results:
            if "error" in result:
                raise HistorianError(f"InfluxDB at {self._url}: {result['error']}")
        return [result.get("series", []) for result in results]

    # sensors

    def _learn(self) -> None:
        """Read the sensors that have been registered."""
        for series in self._query(f"SELECT last(id) FROM {_name(IDS)} GROUP BY sensor")[0]:
            key, number = _key(series["tags"]["sensor"]), int(series["values"][0][1])
            if key not in self._ids:
                self._add(key, number)

    def _add(self, key: str, number: int) -> None:
        self._ids[key] = number
        for _ in range(len(self._keys), number + 1):
            # ids that are nobody's, because their sensors' points have expired
            self._keys.append("")
            self._prefixes.append("")
        self._keys[number] = key
        self._prefixes[number] = f"{MEASUREMENT},sensor={_tag(key)} "

    def ids(self, keys: Sequence[str]) -> NDArray[np.int32]:
        """Ids of sensors by their keys; unknown ones are registered.

        Raises:
            HistorianError: InfluxDB does not take them.
        """
        if any(key not in self._ids for key in keys):
            self._learn()
            for key in keys:
                if key not in self._ids:
                    self._add(key, len(self._keys))
        # also of those that are there already: a retention policy forgets them otherwise
        if new := [key for key in dict.fromkeys(keys) if key not in self._announced]:
            now = time.time_ns()
            self._send([f"{IDS},sensor={_tag(key)} id={self._ids[key]}i {now}" for key in new])
            self._announced.update(new)
        return np.array([self._ids[key] for key in keys], np.int32)

    def keys(self) -> Sequence[str]:
        """All keys known, by id."""
        self._learn()
        return tuple(self._keys)

    # writing

    def write(self, batch: Batch) -> None:
        """Store a batch in one request, or several when it is large; repeat it as a whole after an error.

        Infinite values are stored as missing: InfluxDB has none.

        Raises:
            HistorianFull: the server's disk is full.
            HistorianError: it does not answer or does not take it; some of the batch may be stored.
        """
        batch = checked(batch, len(self._keys))
        prefixes = self._prefixes
        columns = zip(*(column.tolist() for column in batch), strict=True)
        there = np.isfinite(batch.v).tolist()
        lines = [
            f"{prefixes[s]}value={v!r},q={q}i {t}" if ok else f"{prefixes[s]}q={-1 - q}i {t}"
            for (s, t, v, q), ok in zip(columns, there, strict=True)
        ]
        for first in range(0, len(lines), LINES):
            self._send(lines[first : first + LINES])

    def _send(self, lines: list[str]) -> None:
        body = "\n".join(lines).encode()
        if self.version < (1, 8):
            fields = urlencode({"db": self._database, "precision": "ns"})
            try:
                self._request("POST", f"/write?{fields}", body)
            except HistorianError as error:
                _forgive_expired(error)
        else:
            self._send_by_client(body)
        self._written += len(body)

    def _send_by_client(self, body: bytes) -> None:
        try:
            from influxdb_client.client.influxdb_client import InfluxDBClient
            from influxdb_client.client.write_api import SYNCHRONOUS
            from influxdb_client.domain.write_precision import WritePrecision
            from influxdb_client.rest import ApiException
            from urllib3.exceptions import HTTPError
        except ImportError as error:
            raise HistorianError(
                "InfluxDB 1.8 and later are written with influxdb-client, which is not installed: "
                "pip install -e '.[influx]' (the extra `influx`)"
            ) from error
        if self._writer is None:
            self._client = InfluxDBClient(
                self._url, self._token or "", org=self._org, timeout=int(TIMEOUT_S * 1000), enable_gzip=False
            )
            self._writer = self._client.write_api(write_options=SYNCHRONOUS)
        try:
            # bytes: points and strings cost the client ten times the CPU
            self._writer.write(self._database, self._org, record=body, write_precision=WritePrecision.NS)
        except ApiException as error:
            _forgive_expired(_refused(self._url, error.status or 0, str(error.body or error.reason)))
        except (HTTPError, OSError) as error:
            raise HistorianError(f"InfluxDB at {self._url} does not answer ({error}). Is it running?") from error

    # reading

    def read(self, sensors: Sequence[str], t0: int, t1: int, max_points: int | None = None) -> Mapping[str, Series]:
        """Readings with t0 <= t < t1 of each named sensor; unknown names give empty series.

        Decimated, a bucket's `t` is its start: InfluxQL does not tell the time of its first reading.

        Raises:
            HistorianError: InfluxDB does not answer, or refuses the query.
            ValueError: `max_points` is not positive.
        """
        t0, t1 = max(t0, 0), min(t1, T_END)
        found = {key: thin(EMPTY, t0, max(t0, t1), max_points) for key in sensors}
        wanted = list(found) if t0 < t1 else []
        span = f"time >= {t0} AND time < {t1}"
        for first in range(0, len(wanted), SENSORS):
            some = wanted[first : first + SENSORS]
            if max_points is not None:
                where = f"WHERE {_any_of(some)} AND {span} GROUP BY sensor"
                counts = self._query(f"SELECT count(q) FROM {MEASUREMENT} {where}")[0]
                many = [key for key, rows in _by_key(counts) if rows[0][1] > max_points]
                some = [key for key, rows in _by_key(counts) if rows[0][1] <= max_points]
                if many:
                    found.update(self._buckets(many, t0, t1, max_points))
            if some:
                where = f"WHERE {_any_of(some)} AND {span} GROUP BY sensor"
                series = self._query(f"SELECT value, q FROM {MEASUREMENT} {where}")[0]
                found.update((key, thin(_column(rows), t0, t1, None)) for key, rows in _by_key(series))
        return found

    def _buckets(self, keys: list[str], t0: int, t1: int, max_points: int) -> dict[str, Series]:
        step = bucket_ns(t0, t1, max_points)
        where = f"WHERE {_any_of(keys)} AND time >= {t0} AND time < {t1}"
        group = f"GROUP BY time({step}ns, {t0 % step}ns), sensor fill(none)"
        values = "mean(value), min(value), max(value)"
        series = self._query(f"SELECT {values}, max(q), min(q) FROM {MEASUREMENT} {where} {group}")[0]
        found = {key: [list(row) for row in rows] for key, rows in _by_key(series)}
        absent = [key for key, rows in found.items() if any(row[5] < 0 for row in rows)]
        if absent:
            # again for the buckets with missing values, without what stands beside a negative q
            where = f"WHERE {_any_of(absent)} AND time >= {t0} AND time < {t1} AND q >= 0"
            there = dict(_by_key(self._query(f"SELECT {values} FROM {MEASUREMENT} {where} {group}")[0]))
            for key in absent:
                by_time = {row[0]: row[1:4] for row in there.get(key, [])}
                for row in found[key]:
                    row[1:4] = by_time.get(row[0], (None, None, None))
        return {key: _decimated(rows) for key, rows in found.items()}

    def latest(self, sensors: Sequence[str]) -> Mapping[str, Latest]:
        """Newest reading of each named sensor; sensors without any are left out.

        Raises:
            HistorianError: InfluxDB does not answer, or refuses the query.
        """
        found: dict[str, Latest] = {}
        wanted = list(dict.fromkeys(sensors))
        for first in range(0, len(wanted), SENSORS):
            where = f"WHERE {_any_of(wanted[first : first + SENSORS])} GROUP BY sensor ORDER BY time DESC LIMIT 1"
            for key, rows in _by_key(self._query(f"SELECT value, q FROM {MEASUREMENT} {where}")[0]):
                t, v, q = _column(rows)
                found[key] = Latest(int(t[0]), float(v[0]), int(q[0]))
        return found

    def stats(self) -> HistorianStats:
        """Counts, up to a minute old, and sizes; `bytes_on_disk` is 0 where InfluxDB does not tell (from 2.0 on).

        Raises:
            HistorianError: InfluxDB does not answer.
        """
        if self._counted is None or time.monotonic() - self._counted[0] > COUNT_S:
            answers = self._query(*(f"SELECT {what}(q) FROM {MEASUREMENT}" for what in ("count", "first", "last")))
            count, first, last = (series[0]["values"][0] if series else None for series in answers)
            disk = 0
            if self.version < (2, 0):
                for series in self._query("SHOW STATS FOR 'shard'")[0]:
                    if series["tags"].get("database") == self._database:
                        disk += int(series["values"][0][series["columns"].index("diskBytes")])
            self._learn()
            ends = (first[0] if first else None, last[0] if last else None)
            counted = HistorianStats(count[1] if count else 0, len(self._ids), disk, 0, *ends)
            self._counted = time.monotonic(), counted
        return self._counted[1]._replace(bytes_written=self._written)

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._connection.close()
        if self._client is not None:
            self._writer.close()
            self._client.close()
            self._client = self._writer = None


def _refused(url: str, status: int, text: str) -> HistorianError:
    if "no space left" in text:
        return HistorianFull(f"InfluxDB at {url}: no space left on its disk. Free some; nothing is lost meanwhile.")
    hint = {
        401: " Set historian.token (on 1.x user:password).",
        403: " The token may not use this database or bucket.",
        404: " Is there such a database or bucket? 2.x wants it made first: influx bucket create -n NAME",
    }
    return HistorianError(f"InfluxDB at {url} refuses ({status}): {text.strip()[:300]}{hint.get(status, '')}")


def _forgive_expired(error: HistorianError) -> None:
    """Readings older than the database keeps can never be stored: say so, and go on."""
    if "beyond retention policy" not in str(error):
        raise error
    logger.warning("%s (older than the retention policy keeps)", error)


def _tag(key: str) -> str:
    """A key as a tag's value in line protocol: what it cannot hold is percent-encoded, as % is."""
    safe = _UNSAFE.sub(lambda found: quote(found[0], safe=""), key)
    return re.sub(r"([, =])", r"\\\1", safe)


def _key(tag: str) -> str:
    return unquote(tag)


def _name(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _any_of(keys: Iterable[str]) -> str:
    """The condition that the sensor is one of these."""
    tags = (_UNSAFE.sub(lambda found: quote(found[0], safe=""), key).replace("'", "\\'") for key in keys)
    return "(" + " OR ".join(f"sensor = '{tag}'" for tag in tags) + ")"


def _by_key(series: list[dict[str, Any]]) -> list[tuple[str, list[list[Any]]]]:
    return [(_key(one["tags"]["sensor"]), one["values"]) for one in series]


def _column(rows: list[list[Any]]) -> Column:
    t = np.array([row[0] for row in rows], np.int64)
    v = np.array([row[1] for row in rows], np.float64)
    q = np.array([row[2] for row in rows], np.int64)
    absent = q < 0
    v[absent] = np.nan
    q[absent] = -1 - q[absent]
    return Column(t, v, q.astype(np.uint8))


def _decimated(rows: list[list[Any]]) -> Series:
    """Rows of (time, mean, min, max, greatest q, least q)."""
    t = np.array([row[0] for row in rows], np.int64)
    mean, lo, hi = (np.array([row[n] for row in rows], np.float64) for n in (1, 2, 3))
    high, low = (np.array([row[n] for row in rows], np.int64) for n in (4, 5))
    return Series(t, np.clip(mean, lo, hi), lo, hi, np.maximum(high, -1 - low).astype(np.uint8), False)
