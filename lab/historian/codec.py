"""Readings as bytes: a batch as it is committed (quick), a chunk of one series as it is kept (small). Nothing is lost.

A chunk stores whole numbers. Times are differences; values are decimal numbers (25.317 is 25317 with three decimals),
or float32, or the bits of the float64, whichever fits; readings that do not fit (no value, minus zero) stand in a list
beside. The whole numbers, less what a mean step foretells, are written byte plane by byte plane and deflated: a plane
of high bytes is nearly constant, one of low bytes is noise that a Huffman code shortens. (Delta and byte-shuffle
coding as in Blosc and Parquet's BYTE_STREAM_SPLIT.)
"""

import struct
import zlib
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.historian.base import Batch, Times

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Codes = NDArray[np.uint8]

RECORD: Final = np.dtype([("t", "<i8"), ("v", "<f8"), ("sensor", "<i4"), ("q", "u1")])
"""A small batch is so many of these one after the other: many such rows are joined and read at once."""
RECORDS_BELOW: Final = 512
"""Readings from which a batch is packed by columns instead."""

MAX_CHUNK: Final = 1 << 26
"""Readings of one sensor in an hour; 18 kHz."""

MAX_DECIMALS: Final = 15
_POWERS: Final = 10.0 ** np.arange(MAX_DECIMALS + 1)
_MINUS_ZERO: Final = np.iinfo(np.int64).min  # its bits; a whole number has no sign without a value
_FLOAT32: Final = 32
_FLOAT64: Final = 64
_HEAD: Final = struct.Struct("<BBIIIIII")  # version, value kind, n, then the lengths of the five sections
_INTS: Final = struct.Struct("<BBBqqq")  # order, planes, stored raw, start, step, unit
_VERSION: Final = 1


class CodecError(ValueError):
    """The bytes are not what was written."""


class Column(NamedTuple):
    """One series' readings in time order, each time once."""

    t: Times
    v: Floats
    q: Codes


# batches -------------------------------------------------------------------------------------------------------------


def pack_batch(batch: Batch) -> tuple[int, bytes]:
    """A batch as (kind, bytes): 0 records, 1 columns."""
    n = len(batch.t)
    if n < RECORDS_BELOW:
        records = np.empty(n, RECORD)
        records["t"], records["v"], records["sensor"], records["q"] = batch.t, batch.v, batch.sensor, batch.q
        return 0, records.tobytes()
    sections = (
        _pack_runs(batch.sensor.astype(np.int64)),
        _pack_runs(batch.t),
        batch.v.astype("<f8", copy=False).tobytes(),
        _pack_runs(batch.q.astype(np.int64)) if batch.q.any() else b"",
    )
    return 1, struct.pack("<5I", n, *map(len, sections)) + b"".join(sections)


def unpack_batch(kind: int, data: bytes) -> Batch:
    """The batch again, every array in the order it was written.

    Raises:
        CodecError: the bytes are damaged.
    """
    if kind == 0:
        try:
            records = np.frombuffer(data, RECORD)
        except ValueError as error:
            raise CodecError(str(error)) from error
        return Batch(
            records["sensor"].astype(np.int32), records["t"].astype(np.int64), records["v"].astype(np.float64),
            records["q"].astype(np.uint8),
        )  # fmt: skip
    try:
        n, *lengths = struct.unpack_from("<5I", data)
        sensor, t, v, q = _sections(data, 20, lengths)
        if len(v) != 8 * n:
            raise CodecError(f"{len(v)} bytes of values for {n} readings")
        batch = Batch(
            _unpack_runs(sensor, n).astype(np.int32),
            _unpack_runs(t, n),
            np.frombuffer(v, "<f8").astype(np.float64, copy=False),
            _unpack_runs(q, n).astype(np.uint8) if q else np.zeros(n, np.uint8),
        )
    except (struct.error, ValueError) as error:
        raise CodecError(str(error)) from error
    if any(len(column) != n for column in batch):
        raise CodecError(f"columns of different length: {[len(column) for column in batch]}, want {n}")
    return batch


def _sections(data: bytes, start: int, lengths: list[int]) -> list[bytes]:
    if start + sum(lengths) != len(data):
        raise CodecError(f"{len(data)} bytes, want {start + sum(lengths)}")
    sections = []
    for length in lengths:
        sections.append(data[start : start + length])
        start += length
    return sections


def _pack_runs(x: Ints) -> bytes:
    """Whole numbers by their steps: as (step, how often) where steps repeat, else one by one in the fewest bytes."""
    steps = np.diff(x)
    starts = np.flatnonzero(np.concatenate(([True], steps[1:] != steps[:-1]))) if len(steps) else np.zeros(0, np.int64)
    if len(starts) < len(steps) // 6:
        counts = np.diff(np.append(starts, len(steps)))
        values, repeats = _pack_narrow(steps[starts]), _pack_narrow(counts)
        return struct.pack("<BqI", 1, x[0], len(values)) + values + repeats
    return struct.pack("<Bq", 0, x[0]) + _pack_narrow(steps)


def _unpack_runs(data: bytes, n: int) -> Ints:
    x = np.empty(n, dtype=np.int64)
    if data[0] == 1:
        _, x[0], length = struct.unpack_from("<BqI", data)
        x[1:] = np.repeat(_unpack_narrow(data[13 : 13 + length]), _unpack_narrow(data[13 + length :]))
    else:
        _, x[0] = struct.unpack_from("<Bq", data)
        x[1:] = _unpack_narrow(data[9:])
    return np.cumsum(x, out=x)


def _pack_narrow(x: Ints) -> bytes:
    low, high = (int(x.min()), int(x.max())) if len(x) else (0, 0)
    for size in (1, 2, 4, 8):
        if -(1 << 8 * size - 1) <= low and high < 1 << 8 * size - 1:
            break
    return bytes([size]) + x.astype(f"<i{size}").tobytes()


def _unpack_narrow(data: bytes) -> Ints:
    return np.frombuffer(data, f"<i{data[0]}", offset=1).astype(np.int64)


# chunks --------------------------------------------------------------------------------------------------------------


def pack_times(t: Times) -> bytes:
    """The rising times of a chunk; series that share them may share the bytes."""
    return _pack_ints(t, unit=True)


def unpack_times(data: bytes, n: int) -> Times:
    """The `n` times again.

    Raises:
        CodecError: the bytes are damaged.
    """
    try:
        t = _unpack_ints(data, n)
    except (struct.error, zlib.error, ValueError, OverflowError) as error:
        raise CodecError(str(error)) from error
    return t


def pack_chunk(times: bytes, v: Floats, q: Codes) -> bytes:
    """One series' readings in as few bytes as is quick; `times` from `pack_times`, or empty when they stand apart."""
    kind, whole, odd = _whole_numbers(v)
    values = _pack_ints(whole, unit=False)
    mask = rest = b""
    if odd is not None:
        mask = _deflate(np.packbits(odd).tobytes())
        rest = _deflate(_planes(v[odd].view(np.uint64), 8))
    quality = _deflate(q.tobytes()) if q.any() else b""
    sections = (times, values, mask, rest, quality)
    return _HEAD.pack(_VERSION, kind, len(v), *map(len, sections)) + b"".join(sections)


def unpack_chunk(data: bytes, times: Times | None = None) -> Column:
    """The readings again, bit for bit; `times` when they stand apart.

    Raises:
        CodecError: the bytes are damaged.
    """
    try:
        version, kind, n, *lengths = _HEAD.unpack_from(data)
        if version != _VERSION:
            raise CodecError(f"chunk format {version}; this lab knows {_VERSION}")
        if n > MAX_CHUNK:
            raise CodecError(f"{n} readings in one chunk")
        own, values, mask, rest, quality = _sections(data, _HEAD.size, lengths)
        t = _unpack_ints(own, n) if times is None else times
        whole = _unpack_ints(values, n)
        if kind == _FLOAT64:
            v = whole.view(np.float64)
        elif kind == _FLOAT32:
            v = whole.astype(np.int32).view(np.float32).astype(np.float64)
        else:
            v = whole / _POWERS[kind]
        if mask:
            odd = np.unpackbits(np.frombuffer(_inflate(mask), np.uint8), count=n).astype(bool)
            planes = np.frombuffer(_inflate(rest), np.uint8).reshape(8, -1)
            v[odd] = np.ascontiguousarray(planes.T).view("<f8")[:, 0]
        q = np.frombuffer(_inflate(quality), np.uint8) if quality else np.zeros(n, np.uint8)
    except (struct.error, zlib.error, ValueError, IndexError, OverflowError) as error:
        raise CodecError(str(error)) from error
    if not len(t) == len(v) == len(q) == n:
        raise CodecError(f"columns of different length: {len(t)}, {len(v)}, {len(q)}, want {n}")
    return Column(t, v, q)


def _whole_numbers(v: Floats) -> tuple[int, Ints, NDArray[np.bool_] | None]:
    """(kind, whole numbers, which readings they do not hold); kind 0 to 15 decimals, 32 float32, 64 float64."""
    bits = v.view(np.int64)
    never = bits == _MINUS_ZERO
    absent = np.isnan(v)
    never |= absent
    apart = int(np.count_nonzero(never))
    sample = v if not apart else v[~never]
    allowed = apart + len(v) // 16
    best: tuple[int, Ints, NDArray[np.bool_]] | None = None
    fewest = allowed + 1
    with np.errstate(over="ignore", invalid="ignore"):
        for decimals in _decimals(sample[:: max(1, len(sample) // 8)].tolist()):
            scaled = np.rint(v * _POWERS[decimals])
            if not np.abs(scaled).max() < 2**53:  # NaN too
                scaled[~(np.abs(scaled) < 2**53)] = 0
            whole = scaled.astype(np.int64)
            odd = (whole / _POWERS[decimals]).view(np.int64) != bits
            if (count := int(np.count_nonzero(odd))) < fewest:
                best, fewest = (decimals, whole, odd), count
            if count == apart:
                break
        if best is None:
            narrow = v.astype(np.float32)
            odd = narrow.astype(np.float64).view(np.int64) != bits
            if int(np.count_nonzero(odd)) <= allowed:
                best = _FLOAT32, narrow.view(np.int32).astype(np.int64), odd
    if best is None:
        best = _FLOAT64, bits, absent
    kind, whole, odd = best
    if not odd.any():
        return kind, whole, None
    # what stands in the gaps is of no matter: the value before costs nothing
    last = np.maximum.accumulate(np.where(odd, -1, np.arange(len(v))))
    return kind, np.where(last < 0, 0, whole[last]), odd


def _decimals(sample: list[float]) -> range:
    """The numbers of decimals worth trying: what a sample's values show when printed, and two more."""
    shown = []
    for value in sample:
        digits, _, exponent = repr(value).partition("e")
        fraction = digits.partition(".")[2].rstrip("0")
        shown.append(max(0, len(fraction) - int(exponent or 0)) if fraction != "nan" else 0)
    # most values of a full float64 print with more digits than any sensor has
    decimals = sorted(shown)[len(shown) * 3 // 4] if shown else 0
    return range(decimals, min(decimals + 3, MAX_DECIMALS + 1))


def _pack_ints(x: Ints, *, unit: bool) -> bytes:
    """Whole numbers, int64 with wrap-around, from their steps or (for noise about a mean) from themselves.

    `unit`: look for a common divisor of the steps; the numbers must then be in rising order.
    """
    steps = np.diff(x)
    start, step, divisor = int(x[0]), 0, 1
    order = 1
    if unit and len(steps):
        divisor = int(np.gcd.reduce(steps[:16]))
        if divisor > 1:
            divisor = int(np.gcd.reduce(steps)) or 1
        if divisor > 1:
            steps = steps // divisor
        step = (int(x[-1]) - start) // (len(steps) * divisor)
    elif len(steps):
        mean = int(np.mean(x, dtype=np.float64).clip(-(2.0**62), 2.0**62))
        # the first few hundred tell noise from a path; float64 sums cannot overflow, and only their order matters
        if np.abs(x[:256] - mean).sum(dtype=np.float64) < np.abs(steps[:256]).sum(dtype=np.float64):
            order, start, steps = 0, mean, x - mean
    rest = steps - step
    folded = ((rest << 1) ^ (rest >> 63)).view(np.uint64)
    planes = (int(folded.max()).bit_length() + 7) // 8 if len(folded) else 0
    body = _planes(folded, planes)
    packed = _deflate(body) if len(body) > 64 else body
    raw = len(packed) >= len(body)
    return _INTS.pack(order, planes, raw, start, step, divisor) + (body if raw else packed)


def _unpack_ints(data: bytes, n: int) -> Ints:
    order, planes, raw, start, step, divisor = _INTS.unpack_from(data)
    count = n - order
    body = data[_INTS.size :] if raw else _inflate(data[_INTS.size :])
    if len(body) != planes * count or planes > 8 or count < 0:
        raise CodecError(f"{len(body)} bytes in {planes} planes for {count} numbers")
    x: Ints
    if planes == 0 and order == 1:
        x = np.arange(n, dtype=np.int64)
        x *= step * divisor
        x += start
        return x
    rest: Ints = _unfold(np.frombuffer(body, np.uint8).reshape(planes, count)) if planes else np.zeros(count, np.int64)
    if step:
        rest += step
    if divisor > 1:
        rest *= divisor
    if order == 0:
        rest += start
        return rest
    x = np.empty(n, dtype=np.int64)
    x[0] = start
    x[1:] = rest
    np.cumsum(x, out=x)
    return x


def _unfold(planes: Codes) -> Ints:
    """The signed numbers of byte planes, lowest first: 0, -1, 1, -2, … were written as 0, 1, 2, 3, …"""
    # the narrowest type that holds them all: most are of one byte or two
    size = next(size for size in (1, 2, 4, 8) if len(planes) <= size)
    wide: NDArray[Any] = planes[0].astype(f"u{size}")
    for number, plane in enumerate(planes[1:], start=1):
        wide |= plane.astype(wide.dtype) << wide.dtype.type(8 * number)
    one = wide.dtype.type(1)
    sign = wide & one
    np.negative(sign, out=sign)
    wide >>= one
    wide ^= sign
    numbers: Ints = wide.view(f"i{size}").astype(np.int64)
    return numbers


def _planes(x: NDArray[np.uint64], planes: int) -> bytes:
    """The lowest bytes of all numbers, then their second bytes, and so on."""
    return x.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)[:, :planes].T.tobytes()


def _deflate(data: bytes) -> bytes:
    # run lengths and Huffman only: on noise it packs as well as a search for repeats, in half the time
    packer = zlib.compressobj(1, zlib.DEFLATED, -15, 8, zlib.Z_RLE)
    return packer.compress(data) + packer.flush()


def _inflate(data: bytes) -> bytes:
    return zlib.decompress(data, -15)
