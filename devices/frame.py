"""The wire frame: what a gateway says of itself once (birth), and its columnar data frames.

A data frame names its channels by the hash of the birth's channel list, so names travel once:

    {"b":7,"s":4711,"h":"9f86d081884c7d65","t":1764000000.0,"v":[25.3,101.2]}                 one sample
    {"b":7,"s":4712,"h":"…","t":1764000001.0,"dt":[0,0.1,0.2],"v":[25.3,25.4,25.4,101.2,null,101.3],
     "q":{"PI-101":[[1,1,"bad:openwire"]]}}                                                   three samples

`v` is flat and channel by channel (column-major): channel c, sample k is `v[c * n + k]`. Frames made by hand may name
their channels instead (`"v": {"TI-101": 25.3}`) and leave out everything but `v`. `null` means no value; NaN and
Infinity are not JSON. `q` is sparse run-length per tag, `[first, last, code]`; what is absent is good.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

import msgspec

MAX_FRAME_BYTES = 64 * 1024
MAX_TAGS = 1000
MAX_SAMPLES = 100_000


class Limits(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Alarm and trip limits of a channel in its unit; the trips stop the plant, the alarms warn."""

    lo_trip: float | None = None
    lo_alarm: float | None = None
    hi_alarm: float | None = None
    hi_trip: float | None = None


class Channel(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One channel of a gateway. `lo`/`hi`: measuring range; outside it a reading's quality is bad:range."""

    tag: str
    unit: str = "1"
    asset: str | None = None
    """The asset it belongs to; the gateway's first asset when not said."""
    name: str = ""
    role: Literal["measurement", "manipulated", "status"] = "measurement"
    """`status` channels (a plant clock, a trip flag) are stored and shown but never scored."""
    lo: float | None = None
    hi: float | None = None
    limits: Limits | None = None
    rate_hz: float | None = None
    expire_s: float | None = None
    """No sample for so long: the channel is stale."""
    decimals: int | None = None
    driver: str | None = None
    calibrated: str | None = None


class Asset(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """What is scored as one multivariate thing: a plant, a line, a pump. Ids are unique in a lab."""

    id: str
    kind: str
    """Assets of one kind share a model: `tep` for the simulated plant, `csv` for replayed files."""
    name: str = ""
    learn_rows: int | None = None
    """Learn what is normal from so many first rows when there is no model for it yet."""
    clock: str | None = None
    """Tag of the channel that carries the plant's own clock in seconds (a simulation runs faster than the wall)."""
    period_s: float | None = None
    """Sampling period in seconds of the asset's own clock."""


class Birth(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Retained on the `birth` topic at every connection; `h` must be `schema_hash` of the channels."""

    gateway: str
    b: int
    h: str
    assets: list[Asset]
    channels: list[Channel]
    version: str = ""
    clock: Literal["ntp", "rtc", "none"] = "none"
    simulator: bool = False
    """It takes simulator commands (faults, speed, reset) on its `cmd` topic."""


class State(msgspec.Struct, omit_defaults=True):
    """Retained on the `state` topic, and the will (`offline`). An offline older than the current boot is ignored."""

    state: Literal["online", "offline"]
    b: int


class Ack(msgspec.Struct):
    """The collector's receipt for one boot: everything up to `upto` but `missing` (inclusive ranges) is committed."""

    b: int
    upto: int
    missing: list[tuple[int, int]]


class Command(msgspec.Struct, omit_defaults=True):
    """On the `cmd` topic: `op` with its arguments; the answer on `event` carries the same `id`."""

    id: str
    op: str
    args: dict[str, object] = {}


class Reply(msgspec.Struct, omit_defaults=True):
    """On the `event` topic, the answer to the command `id`."""

    id: str
    ok: bool
    detail: str = ""
    result: dict[str, object] = {}
    kind: Literal["reply"] = "reply"


def schema_hash(channels: Sequence[Channel]) -> str:
    """Sixteen hex digits over the channels' tags and units in order: equal for all plants of one kind."""
    text = "\n".join(f"{channel.tag}\t{channel.unit}" for channel in channels)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
