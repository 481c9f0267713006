"""Readings as bytes: exact, small on what sensors send, and an error on what is damaged."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lab.historian.base import Batch
from lab.historian.codec import CodecError, pack_batch, pack_chunk, pack_times, unpack_batch, unpack_chunk, unpack_times

T = 1_764_000_000 * 10**9
N = 3600

any_bits = st.integers(0, 2**64 - 1).map(lambda bits: np.uint64(bits).view(np.float64))
round_values = st.integers(-(10**7), 10**7).map(lambda n: np.float64(n / 1000))
small_floats = st.floats(width=32).map(np.float64)


@given(
    values=st.lists(any_bits | round_values, min_size=1, max_size=60)
    | st.lists(round_values | st.just(np.float64(-0.0)) | st.just(np.float64("nan")), min_size=1, max_size=200)
    | st.lists(small_floats, min_size=1, max_size=60),
    steps=st.lists(st.integers(1, 2**40), min_size=200, max_size=200),
    unit=st.sampled_from([1, 1000, 10**9]),
    codes=st.lists(st.sampled_from([0, 0, 0, 64, 131, 255]), min_size=200, max_size=200),
    apart=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_chunks_are_exact(values: list[np.float64], steps: list[int], unit: int, codes: list[int], apart: bool) -> None:
    n = len(values)
    t = np.cumsum(np.array(steps[:n]) * unit % 2**40 + 1)
    v, q = np.array(values), np.array(codes[:n], np.uint8)
    times = pack_times(t)
    np.testing.assert_array_equal(unpack_times(times, n), t)
    back = unpack_chunk(pack_chunk(b"" if apart else times, v, q), t if apart else None)
    np.testing.assert_array_equal(back.t, t)
    np.testing.assert_array_equal(back.v.view(np.int64), v.view(np.int64))
    np.testing.assert_array_equal(back.q, q)


@given(
    sensor=st.lists(st.integers(0, 2**24), min_size=1, max_size=30),
    repeat=st.integers(1, 40),
    t=st.lists(st.integers(0, 2**63 - 2), min_size=1, max_size=30),
    q=st.sampled_from([[0], [0, 131], [255, 0, 0]]),
)
@settings(max_examples=100, deadline=None)
def test_batches_are_exact(sensor: list[int], repeat: int, t: list[int], q: list[int]) -> None:
    n = len(sensor) * repeat
    batch = Batch(
        np.tile(np.array(sensor, np.int32), repeat),
        np.resize(np.array(t, np.int64), n),
        np.random.default_rng(n).normal(size=n),
        np.resize(np.array(q, np.uint8), n),
    )
    back = unpack_batch(*pack_batch(batch))
    for column, expected in zip(back, batch, strict=True):
        assert column.dtype == expected.dtype
        np.testing.assert_array_equal(column, expected)


def bytes_a_reading(v: NDArray[np.float64], t: NDArray[np.int64] | None = None) -> float:
    t = T + np.arange(len(v)) * 10**9 if t is None else t
    return len(pack_chunk(pack_times(t), v, np.zeros(len(v), np.uint8))) / len(v)


def noisy(level: float, noise: float) -> NDArray[np.float64]:
    """A sensor that wanders and is noisy, with five significant digits, an hour at 1 Hz."""
    rng = np.random.default_rng(5)
    v = level + np.cumsum(rng.normal(0, noise / 30, N)) + rng.normal(0, noise, N)
    return np.array([float(f"{x:.5g}") for x in v])


@pytest.mark.parametrize("level", [0.25052, 9.3477, 26.902, 120.40, 2705.0, 42.339])
@pytest.mark.parametrize("noise", [0.0003, 0.003, 0.03])
def test_noisy_sensors_of_five_digits_take_two_bytes(level: float, noise: float) -> None:
    assert bytes_a_reading(noisy(level, level * noise)) < 2


def test_other_sizes() -> None:
    rng = np.random.default_rng(6)
    full = rng.normal(50, 0.5, N)
    assert bytes_a_reading(full) < 6.5
    assert bytes_a_reading(full.astype(np.float32).astype(np.float64)) < 3.2
    assert bytes_a_reading(np.full(N, 3.7)) < 0.05
    assert bytes_a_reading(np.full(N, np.nan)) < 0.05
    near_zero = np.array([round(x, 3) for x in rng.normal(0, 0.002, N)])
    assert np.signbit(near_zero[near_zero == 0]).any()
    assert bytes_a_reading(near_zero) < 0.7
    gaps = np.where(rng.random(N) < 0.1, np.nan, noisy(120.4, 0.12))
    assert bytes_a_reading(gaps) < 1.5
    jitter = T + np.arange(N) * 10**9 + rng.normal(0, 5e5, N).astype(np.int64) // 1000 * 1000
    assert bytes_a_reading(noisy(120.4, 0.12), jitter) < 3


def test_damage_is_an_error_or_harmless() -> None:
    """Without the checksum, which the store keeps, a damaged chunk may decode: but never crash, never hang."""
    rng = np.random.default_rng(7)
    v = np.where(rng.random(300) < 0.1, np.nan, noisy(120.4, 0.12)[:300])
    q = np.where(np.arange(300) < 20, 131, 0).astype(np.uint8)
    data = pack_chunk(pack_times(T + np.arange(300) * 10**9), v, q)
    errors = 0
    for _ in range(600):
        broken = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            broken[rng.integers(6, len(data))] = rng.integers(256)
        try:
            back = unpack_chunk(bytes(broken))
            assert len(back.t) == len(back.v) == len(back.q)
        except CodecError:
            errors += 1
    assert errors > 60
    for cut in (0, 5, 30, len(data) - 1):
        with pytest.raises(CodecError):
            unpack_chunk(data[:cut])
    with pytest.raises(CodecError, match="readings in one chunk"):
        unpack_chunk(data[:2] + b"\xff\xff\xff\xff" + data[6:])
    with pytest.raises(CodecError, match="chunk format 9"):
        unpack_chunk(b"\x09" + data[1:])
    assert zlib.crc32(data) != zlib.crc32(bytes(broken))


def test_damaged_batches() -> None:
    for n in (100, 1000):
        batch = Batch(np.zeros(n, np.int32), np.arange(n), np.ones(n), np.zeros(n, np.uint8))
        kind, data = pack_batch(batch)
        for cut in (3, 30, len(data) - 1):
            with pytest.raises(CodecError):
                unpack_batch(kind, data[:cut])
