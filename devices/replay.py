"""A recorded table as a device: its rows go out at the pace they were made, or faster, through the same agent."""

import hashlib
import re
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.agent import Agent
from devices.frame import Channel, role_by_name
from devices.topics import TAG

TICK_S: Final = 0.05
"""Rows that are due within so long go into one frame."""
BLOCK: Final = 1000
"""Rows of one `send` at most."""
SLUG_CHARS: Final = 48
UNIT: Final = re.compile(r"[\[(]\s*([^\[\]()]{1,16}?)\s*[\])]\s*\Z")

Times = NDArray[np.int64]


def tags(headers: Sequence[str]) -> list[str]:
    """An allowed tag for each column header, all different, the same for the same header in any file.

    What is allowed stays as it is (`xmeas_1`, `TI-101`). Spaces and signs become `_` (`Volume Flow [l/min]` is
    `Volume_Flow_l_min`). Where letters are lost (`温度`) or two headers would meet, eight digits of a hash follow.

    Raises:
        ValueError: a header is there twice.
    """
    if twice := [header for header, count in Counter(headers).items() if count > 1]:
        raise ValueError(f"column {twice[0]!r} is there twice")
    slugs = [header if TAG.match(header) else _slug(header) for header in headers]
    meets = Counter(slug.lower() for slug in slugs)
    return [
        slug if TAG.match(header) or (_keeps(header, slug) and meets[slug.lower()] == 1) else _marked(header, slug)
        for header, slug in zip(headers, slugs, strict=True)
    ]


def _slug(header: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", unicodedata.normalize("NFKC", header)).strip("_.-")[:SLUG_CHARS]


def _keeps(header: str, slug: str) -> bool:
    """Does the slug show every letter and digit of the header?"""
    return bool(slug) and sum(c.isalnum() for c in unicodedata.normalize("NFKC", header)) == sum(map(str.isalnum, slug))


def _marked(header: str, slug: str) -> str:
    mark = hashlib.blake2b(header.encode(), digest_size=4).hexdigest()
    return f"{slug or 'c'}_{mark}"


def channels(headers: Sequence[str]) -> list[Channel]:
    """A channel for each column; its name is the header, its unit what stands in brackets at the header's end.

    Raises:
        ValueError: a header is there twice.
    """
    found = []
    for header, tag in zip(headers, tags(headers), strict=True):
        unit = UNIT.search(unicodedata.normalize("NFKC", header))
        name = "" if header == tag else header
        found.append(Channel(tag, unit[1] if unit else "1", name=name, role=role_by_name(header)))
    return found


def schedule(
    time_ns: Times | None, rows: int, period_s: float, speed: float, max_pause_s: float | None = None
) -> Times:
    """When the rows go out, in nanoseconds after the first (rows,): the file's steps divided by `speed`.

    Args:
        time_ns: the rows' times, increasing; None: one every `period_s`.
        rows: how many.
        period_s: sampling period where there are no times.
        speed: file seconds in a second, over 0.
        max_pause_s: a step is at most so many seconds of the wall clock; None keeps every gap.

    Raises:
        ValueError: a speed or pause that is not over 0, times that do not increase, or steps under a microsecond (the
            speed is too high for this file).
    """
    if not 0.0 < speed < float("inf") or (max_pause_s is not None and not max_pause_s > 0.0):
        raise ValueError(f"speed {speed}, longest pause {max_pause_s}: want numbers over 0")
    steps = np.full(max(rows - 1, 0), period_s * 1e9) if time_ns is None else np.diff(time_ns).astype(np.float64)
    if len(steps) and not steps.min() > 0.0:
        raise ValueError("the times of the rows do not increase")
    steps /= speed
    if max_pause_s is not None:
        steps = np.minimum(steps, max_pause_s * 1e9)
    if len(steps) and steps.min() < 2000.0:
        raise ValueError(f"at speed {speed:g} two rows would be under two microseconds apart: choose a lower one")
    return np.concatenate([[0], np.rint(np.cumsum(steps))]).astype(np.int64)[:rows]


def play(
    agent: Agent,
    values: NDArray[np.float64],
    offsets: Times,
    stop: threading.Event,
    *,
    stamps: Times | None = None,
    loop_s: float | None = None,
    sent: Callable[[int], None] = lambda rows: None,
) -> int:
    """Send rows when they are due, late ones at once, none left out.

    Args:
        agent: started, with one channel per column.
        values: (n, c); NaN is no value.
        offsets: when each row is due (n,), from `schedule`.
        stop: ends it early.
        stamps: the rows' own times, UTC ns (n,); None: the wall clock at which the row is due.
        loop_s: begin again so long after the last row, until `stop`; None: play once.
        sent: called with the number of rows of each block.

    Returns:
        How many rows were sent.
    """
    total = 0
    started = time.monotonic_ns()
    wall = time.time_ns()
    while len(offsets):
        for first, last in _due(offsets, started, stop):
            t = wall + offsets[first:last] if stamps is None else stamps[first:last]
            agent.send(t, values[first:last])
            total += last - first
            sent(last - first)
        if stop.is_set() or loop_s is None:
            break
        lap = int(offsets[-1]) + max(1000, round(loop_s * 1e9))
        started += lap
        wall += lap
    return total


def _due(offsets: Times, started: int, stop: threading.Event) -> Iterator[tuple[int, int]]:
    """Ranges of rows as they become due."""
    at = 0
    while at < len(offsets):
        until = int(np.searchsorted(offsets, time.monotonic_ns() - started, side="right"))
        if until > at:
            last = min(until, at + BLOCK)
            yield at, last
            at = last
        if stop.is_set():
            return
        if at < len(offsets):
            wait = (int(offsets[at]) - (time.monotonic_ns() - started)) / 1e9
            if wait > 0 and stop.wait(max(wait, TICK_S)):
                return
