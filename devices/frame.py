"""The wire frame: what a gateway says of itself once (birth), and its columnar data frames.

A data frame names its channels by the hash of the birth's channel list, so names travel once:

    {"b":7,"s":4711,"h":"9f86d081884c7d65","t":1764000000.0,"v":[25.3,101.2]}                 one sample
    {"b":7,"s":4712,"h":"…","t":1764000001.0,"dt":[0,0.1,0.2],"v":[25.3,25.4,25.4,101.2,null,101.3],
     "q":{"PI-101":[[1,1,"bad:openwire"]]}}                                                   three samples

`v` is flat and channel by channel (column-major): channel c, sample k is `v[c * n + k]`. Frames made by hand may name
their channels instead (`"v": {"TI-101": 25.3}`) and leave out everything but `v`. `null` means no value; NaN and
Infinity are not JSON. `q` is sparse run-length per tag, `[first, last, code]`; what is absent is good. Times are UTC
seconds since 1970 with microseconds.
"""

import hashlib
import operator
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from devices import quality
from devices.topics import LEVEL, TAG

MAX_FRAME_BYTES: Final = 64 * 1024
MAX_TAGS: Final = 1000
MAX_SAMPLES: Final = 100_000
MAX_PERIOD_S: Final = 10 * 366 * 86400.0
MAX_LEARN_ROWS: Final = 1_000_000
"""The rows an asset learns from wait in memory."""
MAX_TIME_S: Final = 2.0**32
"""Times from here on (the year 2106) are refused: a double no longer holds their microseconds."""

Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
ErrorCode = Literal[
    "too_large",
    "not_json",
    "bad_frame",
    "bad_value",
    "bad_length",
    "bad_time",
    "bad_quality",
    "bad_sequence",
    "bad_tag",
    "unknown_schema",
    "bad_birth",
]


class FrameError(ValueError):
    """A message that is not taken: `code` is fixed (a counter's label), `detail` says what is wrong with this one."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code: ErrorCode = code
        self.detail = detail


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
    controlled: bool = False
    """A controller acts on it, so its failure moves the plant. Where none of an asset's is said to be, any may be."""


OUTPUT: Final = re.compile(
    r"(xmv[ _(]?\d+\)?|.*[._]op)(\s*[\[(].*)?|.*(操作量|操作出力|開度).*"
    r"|.*(valve|damper)[ _](position|opening)(?![ _](pressure|temperature|time)).*",
    re.I,
)


def role_by_name(header: str) -> Literal["measurement", "manipulated"]:
    """What a file's column most likely is: what a controller puts out rests when told to, which is no failure.

    Manipulated are `xmv_…` (Tennessee Eastman), `….OP`, `valve opening` and `操作量`, `操作出力`, `開度`.
    """
    found = OUTPUT.fullmatch(unicodedata.normalize("NFKC", header).strip())
    return "manipulated" if found else "measurement"


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


class Reply(msgspec.Struct):
    """On the `event` topic, the answer to the command `id`; every field is sent, others share the topic."""

    id: str
    ok: bool
    detail: str = ""
    result: dict[str, object] = {}
    kind: Literal["reply"] = "reply"


def schema_hash(channels: Sequence[Channel]) -> str:
    """Sixteen hex digits over the channels' tags and units in order: equal for all plants of one kind."""
    text = "\n".join(f"{channel.tag}\t{channel.unit}" for channel in channels)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Frame(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A decoded data frame. Values stay Python lists: a receiver makes one array of many frames."""

    v: list[float | None]
    """Flat, channel by channel: `samples` values of the first channel, then of the second, …"""
    b: Count | None = None
    s: Count | None = None
    h: str | None = None
    t: float | None = None
    dt: list[float] | None = None
    q: dict[str, list[tuple[Count, Count, str]]] | None = None
    tags: tuple[str, ...] | None = None
    """The channels' names where the frame itself names them, else None: `h` says which they are."""

    @property
    def samples(self) -> int:
        """Samples per channel, n."""
        return 1 if self.dt is None else len(self.dt)

    def times(self, received: int) -> list[int]:
        """UTC nanoseconds of the samples (n,); `received` stands in for the first when the frame has no time."""
        start = received if self.t is None else round(self.t * 1e6) * 1000
        return [start] if self.dt is None else [start + round(dt * 1e6) * 1000 for dt in self.dt]

    def values(self, channels: int) -> NDArray[np.float64]:
        """The values as (n, channels), NaN where there is none.

        Raises:
            FrameError: `bad_length`, the frame does not hold so many channels.
        """
        self.check_length(channels)
        return np.array(self.v, dtype=np.float64).reshape(channels, -1).T

    def qualities(self, position: Mapping[str, int]) -> NDArray[np.uint8]:
        """The quality codes as (n, channels), given each tag's position.

        Raises:
            FrameError: `bad_quality`, the frame tells the quality of a tag that is not among them.
        """
        codes = np.zeros((self.samples, len(position)), dtype=np.uint8)
        for tag, runs in (self.q or {}).items():
            if tag not in position:
                raise FrameError("bad_quality", f"q has {tag!r}, which is not a channel of this gateway")
            for first, last, code in runs:
                codes[first : last + 1, position[tag]] = quality.CODES[code]
        return codes

    def check_length(self, channels: int) -> None:
        """Is `v` as long as so many channels make it?

        Raises:
            FrameError: `bad_length`.
        """
        if len(self.v) != channels * self.samples:
            raise FrameError(
                "bad_length",
                f"v has {len(self.v)} values, want {channels} channels x {self.samples} samples",
            )


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    v: dict[str, float | list[float | None] | None]
    b: Count | None = None
    s: Count | None = None
    h: str | None = None
    t: float | None = None
    dt: list[float] | None = None
    q: dict[str, list[tuple[Count, Count, str]]] | None = None


_flat = msgspec.json.Decoder(Frame)
_named = msgspec.json.Decoder(_Named)
_birth = msgspec.json.Decoder(Birth)
_FIELD_CODES: Final[Mapping[str, ErrorCode]] = {
    "v": "bad_value",
    "t": "bad_time",
    "dt": "bad_time",
    "q": "bad_quality",
    "b": "bad_sequence",
    "s": "bad_sequence",
}


def decode_frame(payload: bytes) -> Frame:
    """Parse a data message, in either form.

    Raises:
        FrameError: it is not a frame; nothing of it is to be used. That the tags of `q` and the length of `v` fit the
            gateway's channels can only be checked with its birth: `Frame.check_length`, `Frame.qualities`.
    """
    if len(payload) > MAX_FRAME_BYTES:
        raise FrameError("too_large", f"{len(payload)} bytes; a frame has at most {MAX_FRAME_BYTES}")
    try:
        frame = _flat.decode(payload)
    except msgspec.ValidationError as error:
        frame = _decode_named(payload, error)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError("not_json", str(error)) from error
    else:
        if frame.tags is not None:
            raise FrameError("bad_frame", "Object contains unknown field `tags`")
        if frame.h is None:
            raise FrameError("unknown_schema", "v is a list, and no h says which channels it holds")
    if (frame.s is None) is not (frame.b is None):
        raise FrameError("bad_sequence", "b (boot) and s (sequence) go together")
    if frame.t is not None and not 0.0 <= frame.t < MAX_TIME_S:
        hint = "; it looks like milliseconds" if 1e11 < frame.t < 1e14 else ""
        raise FrameError("bad_time", f"t is {frame.t!r}, want seconds since 1970{hint}")
    if frame.dt is not None:
        _check_offsets(frame.dt, frame.t)
    n = frame.samples
    if not frame.v or len(frame.v) % n or n > MAX_SAMPLES:
        raise FrameError("bad_length", f"v has {len(frame.v)} values for {n} samples")
    if frame.q is not None:
        _check_quality(frame, n)
    return frame


def _decode_named(payload: bytes, flat_error: msgspec.ValidationError) -> Frame:
    try:
        named = _named.decode(payload)
    except msgspec.ValidationError as error:
        # What the sender meant shows in `v`: an object is the named form, anything else the flat one.
        says = flat_error if str(error).endswith("- at `$.v`") else error
        field = re.search(r"at `\$\.(\w+)", str(says))
        raise FrameError(_FIELD_CODES.get(field[1], "bad_frame") if field else "bad_frame", str(says)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError("not_json", str(error)) from error
    if len(named.v) > MAX_TAGS:
        raise FrameError("bad_length", f"{len(named.v)} tags; a frame has at most {MAX_TAGS}")
    n = 1 if named.dt is None else len(named.dt)
    flat: list[float | None] = []
    for tag, value in named.v.items():
        if not TAG.match(tag):
            raise FrameError("bad_tag", f"tag {tag[:80]!r}: want 1 to 64 of A-Z a-z 0-9 _ . -")
        column = value if isinstance(value, list) else [value]
        if len(column) != n:
            raise FrameError("bad_length", f"{tag} has {len(column)} values for {n} samples (so many has dt)")
        flat += column
    return Frame(flat, named.b, named.s, named.h, named.t, named.dt, named.q, tuple(named.v))


def _check_offsets(dt: list[float], t: float | None) -> None:
    if not dt:
        raise FrameError("bad_length", "dt is empty; leave it out for one sample")
    base = MAX_TIME_S / 2 if t is None else t
    if not (base + dt[0] >= 0.0 and base + dt[-1] < MAX_TIME_S and max(dt) < MAX_TIME_S):
        raise FrameError("bad_time", f"dt from {dt[0]!r} to {dt[-1]!r} leads out of the range of times")
    micros = [round(offset * 1e6) for offset in dt]
    if not all(map(operator.lt, micros, micros[1:])):
        raise FrameError("bad_time", "dt does not increase by at least a microsecond")


def _check_quality(frame: Frame, n: int) -> None:
    for tag, runs in (frame.q or {}).items():
        if frame.tags is not None and tag not in frame.tags:
            raise FrameError("bad_quality", f"q has {tag!r}, v has not")
        for first, last, code in runs:
            if code not in quality.CODES:
                raise FrameError("bad_quality", f"{tag}: no quality code {code!r}")
            if not first <= last < n:
                raise FrameError("bad_quality", f"{tag}: run {first} to {last} of {n} samples")


def encode_frame(
    b: int,
    s: int,
    h: str,
    t: NDArray[np.int64],
    v: NDArray[np.float64],
    q: NDArray[np.uint8] | None = None,
    tags: Sequence[str] = (),
) -> bytes:
    """A data frame on the wire.

    Args:
        b: boot counter.
        s: sequence number within the boot.
        h: `schema_hash` of the channels.
        t: UTC nanoseconds (n,), increasing by at least a microsecond; rounded to microseconds.
        v: values (n, c), channels in the birth's order; what is not finite travels as `null`.
        q: quality codes (n, c); None: all good.
        tags: the channels' tags, needed where `q` is not all good.

    Raises:
        ValueError: shapes, times or quality codes are not as said above.
    """
    n = len(t)
    if n == 0 or v.ndim != 2 or v.shape[0] != n or (q is not None and q.shape != v.shape):
        raise ValueError(f"a frame of t {t.shape}, v {v.shape}, q {None if q is None else q.shape}: want (n,), (n, c)")
    us = (t + 500) // 1000
    if not 0 <= us[0] <= us[-1] < MAX_TIME_S * 1e6 or (n > 1 and not np.all(us[1:] > us[:-1])):
        raise ValueError("times of a frame must increase by at least a microsecond, between 1970 and 2106")
    message: dict[str, object] = {"b": b, "s": s, "h": h, "t": int(us[0]) / 1e6}
    if n > 1:
        message["dt"] = (us - us[0]) / 1e6
    message["v"] = v.astype(np.float64, copy=False).ravel(order="F")
    if q is not None and q.any():
        message["q"] = _runs(q, tags)
    return orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY)


def _runs(q: NDArray[np.uint8], tags: Sequence[str]) -> dict[str, list[tuple[int, int, str]]]:
    if len(tags) != q.shape[1]:
        raise ValueError(f"{q.shape[1]} channels and {len(tags)} tags to tell their quality by")
    runs: dict[str, list[tuple[int, int, str]]] = {}
    for c in np.flatnonzero(q.any(axis=0)).tolist():
        column = q[:, c]
        starts = [0, *(np.flatnonzero(np.diff(column)) + 1).tolist()]
        ends = [*(start - 1 for start in starts[1:]), len(column) - 1]
        codes = [int(column[start]) for start in starts]
        if unknown := set(codes) - quality.NAMES.keys():
            raise ValueError(f"{tags[c]}: no quality code {unknown.pop()}")
        runs[tags[c]] = [(i, j, quality.NAMES[code]) for i, j, code in zip(starts, ends, codes, strict=True) if code]
    return runs


def decode_birth(payload: bytes) -> Birth:
    """Parse and check a gateway's birth.

    Raises:
        FrameError: `bad_birth` or `not_json`; the detail names the field.
    """
    try:
        birth = _birth.decode(payload)
    except msgspec.ValidationError as error:
        raise FrameError("bad_birth", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError("not_json", str(error)) from error
    check_birth(birth)
    return birth


def check_birth(birth: Birth) -> None:
    """Are the names allowed and unique, and does `h` belong to the channels?

    Raises:
        FrameError: `bad_birth`.
    """
    tags = [channel.tag for channel in birth.channels]
    assets = [asset.id for asset in birth.assets]
    wrong = [name for name in (birth.gateway, *assets) if not LEVEL.match(name)]
    wrong += [tag for tag in tags if not TAG.match(tag)]
    wrong += [channel.asset for channel in birth.channels if channel.asset is not None and channel.asset not in assets]
    wrong += [asset.clock for asset in birth.assets if asset.clock is not None and asset.clock not in tags]
    if wrong:
        raise FrameError("bad_birth", f"{wrong[0]!r} is not an allowed name, or names nothing that is there")
    if not assets or not 0 < len(tags) <= MAX_TAGS:
        raise FrameError("bad_birth", f"{len(assets)} assets, {len(tags)} channels; want some, and at most {MAX_TAGS}")
    if len(set(assets)) < len(assets) or len(set(tags)) < len(tags):
        raise FrameError("bad_birth", "an asset or a tag is there twice")
    for asset in birth.assets:
        if asset.period_s is not None and not 0 < asset.period_s <= MAX_PERIOD_S:
            detail = f"asset {asset.id!r} has a period of {asset.period_s:g} s; want more than 0, ten years at most"
            raise FrameError("bad_birth", detail)
        if asset.learn_rows is not None and not 0 < asset.learn_rows <= MAX_LEARN_ROWS:
            detail = f"asset {asset.id!r} wants to learn from {asset.learn_rows} rows; from 1 to {MAX_LEARN_ROWS}"
            raise FrameError("bad_birth", detail)
    if birth.h != schema_hash(birth.channels):
        raise FrameError("bad_birth", f"h is {birth.h!r}, the channels' hash is {schema_hash(birth.channels)!r}")
