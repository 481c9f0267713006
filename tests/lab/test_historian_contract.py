"""One suite for every historian: what `lab.historian.base` promises, value by value."""

import contextlib
import itertools
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.quality import CODES
from lab.historian.base import Batch, Historian, HistorianError, Latest, Series
from lab.historian.embedded import EmbeddedHistorian
from lab.historian.influx import InfluxHistorian
from lab.store import Store
from tests.lab.influx import INFLUXD, gateway, influxd

T = 1_764_000_000 * 10**9
HOUR = 3_600 * 10**9
TOKEN = "a-token"

Reading = tuple[int, float, int]
Model = dict[str, dict[int, tuple[float, int]]]


class Place:
    """Somewhere readings are kept: opens historians on it, and brings what was written into its final form."""

    def __init__(self, open_one: Callable[[], Historian], settle: Callable[[Historian], None]) -> None:
        self._open, self._settle = open_one, settle
        self.opened: list[Historian] = []

    def open(self) -> Historian:
        historian = self._open()
        self.opened.append(historian)
        return historian

    def write(self, historian: Historian, readings: Mapping[str, Sequence[Reading]]) -> None:
        rows = [(key, *reading) for key, some in readings.items() for reading in some]
        self.write_rows(historian, rows)

    def write_rows(self, historian: Historian, rows: Sequence[tuple[str, int, float, int]]) -> None:
        keys, t, v, q = zip(*rows, strict=True) if rows else ((), (), (), ())
        historian.write(
            Batch(
                historian.ids(keys),
                np.array(t, np.int64),
                np.array(v, np.float64),
                np.array(q, np.uint8),
            )
        )
        self._settle(historian)


@pytest.fixture(scope="module")
def influx_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if INFLUXD is None:
        pytest.skip("influxd is not installed")
    with influxd(tmp_path_factory.mktemp("influx")) as url:
        yield url


@pytest.fixture(params=["log", "chunks", "influx-1", "influx-2"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        if request.param in ("log", "chunks"):

            def open_embedded() -> Historian:
                return EmbeddedHistorian(stack.enter_context(Store(tmp_path / "lab.db", synchronous="NORMAL")))

            def compact(historian: Historian) -> None:
                assert isinstance(historian, EmbeddedHistorian)
                if request.param == "chunks":
                    assert not historian.compact(60, everything=True)

            place = Place(open_embedded, compact)
        else:
            url = request.getfixturevalue("influx_url")
            database = f"lab {uuid.uuid4().hex}"
            token = None
            if request.param == "influx-2":
                fields = urlencode({"q": f'CREATE DATABASE "{database}"'})
                urllib.request.urlopen(f"{url}/query", fields.encode()).close()
                token = TOKEN
                url = stack.enter_context(gateway(url, token)).url
            place = Place(lambda: InfluxHistorian(url, database, "an org", token), lambda _: None)
        yield place
        for historian in place.opened:
            historian.close()


def same(series: Series, expected: Mapping[int, tuple[float, int]]) -> None:
    """Every reading bit for bit."""
    t = sorted(expected)
    assert series.raw
    assert series.t.tolist() == t
    bits = np.array([expected[one][0] for one in t], np.float64).view(np.int64)
    for values in (series.v, series.lo, series.hi):
        assert values.dtype == np.float64
        assert values.view(np.int64).tolist() == bits.tolist()
    assert series.q.tolist() == [expected[one][1] for one in t]


values = st.floats(allow_nan=False, allow_infinity=False) | st.just(float("nan"))
decimals = st.integers(-99999, 99999).map(lambda n: n / 100)
stamps = st.integers(0, 20).map(lambda n: T + n * HOUR // 4) | st.integers(T, T + 50 * HOUR)
rows = st.tuples(st.sampled_from(["a", "b", "c"]), stamps, values | decimals, st.sampled_from(sorted(CODES.values())))
numbered = itertools.count()


@given(batches=st.lists(st.lists(rows, max_size=40), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_written_is_read(place: Place, batches: list[list[tuple[str, int, float, int]]]) -> None:
    """Late, out of order, repeated, without value, denormal, huge: the last written of a time stamp, exactly."""
    historian = place.opened[0] if place.opened else place.open()
    asset = next(numbered)
    model: Model = {f"{asset}/{name}": {} for name in "abc"}
    for batch in batches:
        named = [(f"{asset}/{name}", t, v, q) for name, t, v, q in batch]
        place.write_rows(historian, named)
        for key, t, v, q in named:
            model[key][t] = v, q
    for key, series in historian.read(list(model), T, T + 51 * HOUR).items():
        same(series, model[key])
    newest = {key: max(expected) for key, expected in model.items() if expected}
    latest = historian.latest(list(model))
    assert {key: reading.t for key, reading in latest.items()} == newest
    for key, reading in latest.items():
        same(_one(reading), {reading.t: model[key][reading.t]})


def _one(reading: Latest) -> Series:
    v = np.array([reading.v])
    return Series(np.array([reading.t]), v, v, v, np.array([reading.q], np.uint8), True)


@pytest.mark.parametrize("value", [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -0.0, 0.1, 25.317, 1e-7])
def test_one_value(place: Place, value: float) -> None:
    historian = place.open()
    place.write(historian, {"p/x": [(T, value, 0)]})
    same(historian.read(["p/x"], T, T + 1)["p/x"], {T: (value, 0)})


def test_thousands_of_readings(place: Place) -> None:
    """More than one request, one page, one chunk: noisy sensors with gaps, and quality codes in runs."""
    rng = np.random.default_rng(1)
    historian = place.open()
    ids = historian.ids([f"tep-1/xmeas_{n}" for n in range(20)])
    n = 1_300
    t = T + np.cumsum(rng.integers(1, 12_000_000_000, n))
    sensor = np.tile(ids, n)
    v = np.round(rng.normal(100, 3, (n, 20)), 2)
    v[rng.random(v.shape) < 0.03] = np.nan
    q = np.where(np.arange(n) // 100 % 5 == 3, 131, 0)
    batch = Batch(sensor, np.repeat(t, 20), v.ravel(), np.repeat(q, 20).astype(np.uint8))
    historian.write(batch)
    place._settle(historian)
    for column, key in enumerate(historian.keys()):
        expected = {int(a): (float(b), int(c)) for a, b, c in zip(t, v[:, column], q, strict=True)}
        same(historian.read([key], T, int(t[-1]) + 1)[key], expected)


def test_the_interval_is_half_open(place: Place) -> None:
    historian = place.open()
    place.write(historian, {"p/x": [(T + n, float(n), 0) for n in range(10)]})
    assert historian.read(["p/x"], T + 3, T + 7)["p/x"].t.tolist() == [T + 3, T + 4, T + 5, T + 6]
    assert historian.read(["p/x"], T + 3, T + 7, 2)["p/x"].t[0] == T + 3
    for t0, t1 in [(T + 10, T + 20), (T - 9, T), (T + 3, T + 3), (T + 7, T + 3)]:
        assert len(historian.read(["p/x"], t0, t1)["p/x"].t) == 0
    assert len(historian.read(["p/x"], -(2**63), 2**63 - 1)["p/x"].t) == 10


def test_unknown_sensors_and_those_without_readings(place: Place) -> None:
    historian = place.open()
    historian.ids(["p/never"])
    place.write(historian, {"p/x": [(T, 1.0, 0)]})
    found = historian.read(["p/never", "p/x", "p/unknown"], T, T + 1)
    assert {key: len(series.t) for key, series in found.items()} == {"p/never": 0, "p/x": 1, "p/unknown": 0}
    assert set(historian.latest(["p/never", "p/x", "p/unknown"])) == {"p/x"}
    assert historian.read([], T, T + 1) == {}
    assert historian.latest([]) == {}


def test_ids_stay_with_their_keys(place: Place) -> None:
    historian = place.open()
    first = historian.ids(["p/b", "p/a"])
    assert sorted(first) == [0, 1]
    place.write(historian, {"p/a": [(T, 1.0, 0)]})
    assert historian.ids(["p/a", "p/c", "p/b"]).tolist() == [first[1], 2, first[0]]
    again = place.open()
    assert again.ids(["p/c", "p/b", "p/a"]).tolist() == [2, first[0], first[1]]
    assert [again.keys()[number] for number in (*first, 2)] == ["p/b", "p/a", "p/c"]
    assert again.ids(["p/new"]).tolist() == [3]
    same(again.read(["p/a"], T, T + 1)["p/a"], {T: (1.0, 0)})


def test_a_repeated_batch_changes_nothing(place: Place) -> None:
    historian = place.open()
    readings = {"p/x": [(T + n * HOUR // 7, n / 8, 0) for n in range(50)], "p/y": [(T, float("nan"), 133)]}
    place.write(historian, readings)
    place.write(historian, readings)
    again = place.open()
    place.write(again, readings)
    for key, some in readings.items():
        same(again.read([key], T, T + 50 * HOUR)[key], {t: (v, q) for t, v, q in some})


def test_a_reading_can_lose_and_regain_its_value(place: Place) -> None:
    historian = place.open()
    for v, q in [(5.0, 0), (float("nan"), 129), (6.5, 64), (float("nan"), 0)]:
        place.write(historian, {"p/x": [(T, v, q)]})
        same(historian.read(["p/x"], T, T + 1)["p/x"], {T: (v, q)})
        latest = historian.latest(["p/x"])["p/x"]
        assert (latest.t, latest.q) == (T, q)
        assert latest.v == v or np.isnan([latest.v, v]).all()


@pytest.mark.parametrize(
    "key",
    [
        "p/with space",
        "p/a,b=c",
        "p/'quoted' \"twice\"",
        "p/back\\slash\\",
        "p/50%25",
        "反応器/温度℃",
        "p/a\nb",
        "p/ab\\",
    ],
)
def test_odd_characters_in_keys(place: Place, key: str) -> None:
    historian = place.open()
    place.write(historian, {key: [(T, 1.5, 0)], "p/other": [(T, 2.5, 0)]})
    again = place.open()
    same(again.read([key], T, T + 1)[key], {T: (1.5, 0)})
    assert again.latest([key])[key].v == 1.5
    assert set(again.keys()) == {key, "p/other"}


points = st.lists(
    st.tuples(st.integers(0, 10**12), st.floats(-1e6, 1e6) | st.just(float("nan")), st.sampled_from([0, 64, 131])),
    min_size=1,
    max_size=80,
)


@given(
    readings=points, max_points=st.integers(1, 60), start=st.integers(-(10**11), 10**12), span=st.integers(1, 10**12)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_decimation(place: Place, readings: list[Reading], max_points: int, start: int, span: int) -> None:
    historian = place.opened[0] if place.opened else place.open()
    key = f"{next(numbered)}/x"
    place.write(historian, {key: [(T + t, v, q) for t, v, q in readings]})
    raw = historian.read([key], T + start, T + start + span)[key]
    thin = historian.read([key], T + start, T + start + span, max_points)[key]
    check_thin(raw, thin, max_points)


def test_decimation_of_values_that_were_taken_back(place: Place) -> None:
    historian = place.open()
    place.write(historian, {"p/x": [(T + n, 1000.0, 0) for n in range(100)]})
    place.write(historian, {"p/x": [(T + n, float("nan"), 192) for n in range(0, 100, 3)]})
    place.write(historian, {"p/x": [(T + n, float("nan"), 131) for n in range(40, 60)]})
    raw = historian.read(["p/x"], T, T + 100)["p/x"]
    check_thin(raw, historian.read(["p/x"], T, T + 100, 10)["p/x"], 10)


def check_thin(raw: Series, thin: Series, max_points: int) -> None:
    """Buckets against NumPy on the raw readings: each reading belongs to the last bucket that begins before it."""
    assert len(thin.t) <= max_points
    if len(raw.t) <= max_points:
        assert thin.raw
        np.testing.assert_array_equal(thin.t, raw.t)
        np.testing.assert_array_equal(thin.v, raw.v)
        return
    assert not thin.raw
    assert np.all(np.diff(thin.t) > 0)
    starts = np.searchsorted(raw.t, thin.t)
    assert starts[0] == 0
    for bucket, (begin, end) in enumerate(itertools.pairwise([*starts, len(raw.t)])):
        assert begin < end
        v = raw.v[begin:end]
        v = v[~np.isnan(v)]
        assert thin.q[bucket] == raw.q[begin:end].max()
        if len(v) == 0:
            assert np.isnan([thin.v[bucket], thin.lo[bucket], thin.hi[bucket]]).all()
        else:
            assert (thin.lo[bucket], thin.hi[bucket]) == (v.min(), v.max())
            assert thin.v[bucket] == pytest.approx(v.mean(), rel=1e-12, abs=1e-9)


def test_decimation_needs_a_positive_number(place: Place) -> None:
    with pytest.raises(ValueError, match="max_points"):
        place.open().read(["p/x"], T, T + 1, 0)


def test_stats(place: Place) -> None:
    historian = place.open()
    empty = historian.stats()
    assert (empty.readings, empty.sensors, empty.oldest, empty.newest) == (0, 0, None, None)
    fresh = place.open()
    place.write(fresh, {"p/x": [(T + n * HOUR, 1.0, 0) for n in range(5)], "p/y": [(T - 7, float("nan"), 128)]})
    stats = fresh.stats()
    assert (stats.readings, stats.sensors, stats.oldest, stats.newest) == (6, 2, T - 7, T + 4 * HOUR)
    assert stats.bytes_written > empty.bytes_written


def test_batches_that_make_no_sense(place: Place) -> None:
    historian = place.open()
    ids = historian.ids(["p/x"])
    good = Batch(ids, np.array([T]), np.array([1.0]), np.array([0], np.uint8))
    for bad in [
        good._replace(sensor=np.array([1], np.int32)),
        good._replace(sensor=np.array([-1], np.int32)),
        good._replace(t=np.array([-1])),
        good._replace(v=np.array([1.0, 2.0])),
        good._replace(t=np.array(["x"])),
    ]:
        with pytest.raises(HistorianError):
            historian.write(bad)
    historian.write(Batch(*(column[:0] for column in good)))
    assert len(historian.read(["p/x"], 0, 2**63 - 1)["p/x"].t) == 0


def test_a_reader_beside_the_writer(place: Place) -> None:
    writer, reader = place.open(), place.open()
    for n in range(5):
        place.write(writer, {"p/x": [(T + n, float(n), 0)], f"p/{n}": [(T, 1.0, 0)]})
        assert len(reader.read(["p/x"], T, T + 10)["p/x"].t) == n + 1
        assert reader.latest(["p/x"])["p/x"] == Latest(T + n, float(n), 0)
        assert f"p/{n}" in list(reader.keys())


def test_closing_twice(place: Place) -> None:
    historian = place.open()
    historian.close()
    historian.close()
