"""What every detector is: a fitted, immutable model with a pure `score(state, block) -> (state, result)`.

Higher is worse, everywhere. The first axis of a block and of every state array is the asset, so that all assets of one
kind are scored in one array operation; row by row, in blocks or in one call the result is the same.

A model is saved as an `.npz` of plain arrays with a JSON header; nothing is ever unpickled.
"""

import hashlib
import importlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, Self, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
State = Mapping[str, NDArray[Any]]
"""Named arrays, the asset on the first axis; never changed in place, but by `Detector.advance`."""

FORMAT: Final = 2
KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "precursor": ("models.precursor", "Precursor"),
    "piping": ("models.corrosion.live", "PipingPoint"),
}
"""Kind -> module and class. A new detector joins here, and with that the contract tests (those of what is fitted where
it has a fit)."""


class Each(NamedTuple):
    """Forecasts of every sensor that has a limit, (A, T, L), as in `Forecast`; NaN where it is not seen (`Ahead`)."""

    time_s: Floats
    low_s: Floats
    high_s: Floats


class Ahead(NamedTuple):
    """Limits of each sensor that has one, in the `N` rows that were forecast, (N, L); by its last value.

    The soonest first; those that are not seen last.
    """

    row: NDArray[np.int64]
    """(A, T) which of the N a row of the block is; -1 for none."""
    time_s: Floats
    """As in `Forecast`, but from its last value on."""
    low_s: Floats
    high_s: Floats
    sensor: NDArray[np.int64]
    """Its position among the columns of a block, in sight or not."""
    limit: Floats
    silent_s: Floats
    """Since then, seconds of the asset's clock: 0 for a value in this row; inf for none, or longer than is counted."""
    unseen: NDArray[np.bool_]
    """It has been silent for so long that what was foretold does not go on, or its time has come meanwhile."""


class Forecast(NamedTuple):
    """Of `A` assets and `T` rows: the limit that will be reached first, of those sensors that are seen (`Ahead`)."""

    time_s: Floats
    """(A, T) median time until it is reached, seconds of the asset's clock; inf: none in sight."""
    low_s: Floats
    """(A, T) lower end of the 80 % interval; where none is in sight, what nine in ten such rows leave at least."""
    high_s: Floats
    """(A, T) its upper end; inf where none is in sight."""
    sensor: NDArray[np.int64]
    """(A, T) position of the sensor among the columns of a block; -1 where none is in sight."""
    limit: Floats
    """(A, T) which of its limits, in its unit; NaN where none is in sight."""
    each: Each | None = None
    """Of every sensor, if asked for."""
    ahead: Ahead | None = None
    """What comes after it: it may have failed, or be reached."""


class Result(NamedTuple):
    """Scores of a block of `A` assets, `T` rows and `S` sensors."""

    score: Floats
    """(A, T), continuous, causal, comparable in time and between runs of one model; NaN while warming up."""
    alarm: NDArray[np.bool_]
    """(A, T), whether an episode is on."""
    contributions: Floats
    """(A, T, S), non-negative share of each sensor; they sum to the score (0 where the score is NaN)."""
    statistics: Mapping[str, Floats]
    """(A, T) each: the charts behind the score, every one scaled so that its limit is 1."""
    deviation: NDArray[np.float32]
    """(A, T, S), how far each sensor's recent mean is from its normal level, in standard deviations, with sign."""
    forecast: Forecast | None = None
    """Of the rows in an episode, none in sight in the others; None when the model knows no limits."""
    residual: NDArray[np.float32] | None = None
    """(A, T, S), of rows in alarm, 0 in the others: how far each sensor is from what the others and its own past say,
    in standard deviations, with sign; None where a detector does not foretell sensors by each other."""


class Usual(NamedTuple):
    """What each of `S` sensors did in the normal record."""

    low: Floats
    """(S,) its lowest value."""
    high: Floats
    """(S,) its highest value."""
    same: NDArray[np.int64]
    """(S,) its longest run of equal values, rows."""
    missing: NDArray[np.int64]
    """(S,) its longest run without a value, rows."""
    leap: Floats
    """(S,) how far one of its values stood from the middle of the two beside it, at most; inf: not known.

    Of a state (on, off), which had two values, how far these are apart."""


@runtime_checkable
class Detector(Protocol):
    """A fitted model. It holds no state of a stream and knows no clock."""

    @property
    def kind(self) -> str:
        """Name under which `load` finds the class again."""

    @property
    def sensors(self) -> tuple[str, ...]:
        """Names of the `S` columns it wants, in order."""

    @property
    def period_s(self) -> float:
        """Sampling period it was fitted on, seconds of the asset's own clock."""

    @property
    def limit(self) -> float:
        """The score from which a row counts towards an episode."""

    @property
    def lasting(self) -> tuple[str, ...]:
        """Parts of the state that outlive a gap, where `accept` keeps an operating point; none if it cannot."""

    @property
    def trend(self) -> tuple[str, ...]:
        """Parts of the state that go on after a gap in an episode, as it is known how long that was (`advance`)."""

    @property
    def usual(self) -> "Usual":
        """What each sensor did in the normal record, by which a frozen or silent one is told from a healthy one."""

    def initial(self, assets: int) -> State:
        """State of `assets` streams that have not begun."""

    def score(self, state: State, block: Floats) -> tuple[State, Result]:
        """Score a block `(A, T, S)` in the sensors' own units; NaN is a missing or bad reading.

        Raises:
            ValueError: the block's shape does not fit the model or the state.
        """

    def advance(
        self, state: State, block: Floats, read: Floats | None = None, elapsed: NDArray[np.int16] | None = None
    ) -> Result:
        """`score` for who owns the state: its arrays are brought up to date in place, which spares copying them.

        Args:
            state: of the rows before.
            block: as of `score`.
            read: (A, T, S) the block with readings a little beyond the measuring range: what is foretold goes by them.
            elapsed: (A, T) periods since the row before: more than 1 where rows are lost, 0 for one in the same period.
                None: 1 everywhere.

        Raises:
            ValueError: as `score`.
        """

    def accept(self, state: State, assets: NDArray[np.bool_]) -> State:
        """Take where the assets (A,) chosen stand now for normal."""

    def shift(self, state: State) -> Floats:
        """(A, S) how far what was accepted is from the normal record, in the sensors' units."""

    def drift(self, state: State) -> Floats:
        """How far (A,) the stream has moved from the model: 0 as fitted, 1 at the limit."""

    def echo(self, sensor: int, rows: int) -> Floats:
        """(S,) by how much one unit more of a sensor so many rows ago moves what the others should read now.

        In standard deviations of what they usually stray from that.
        """

    def additive(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """How well one wrong reading in the first of two rows explains the residuals (S,) of both.

        Returns:
            (S,) by how many standard deviations it stands out, of each sensor, with sign; and the part (S,) of the sum
            of squares that it explains. 0 where nothing is foretold.
        """

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All it was fitted to, as plain arrays, for saving without pickle."""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The detector that gave these `arrays()`.

        Raises:
            KeyError, ValueError: they are not those of a detector of this kind.
        """


class ModelError(Exception):
    """A model file cannot be used; the text names it and says why."""


class Model(NamedTuple):
    """A detector as it stands in a file."""

    detector: Detector
    about: Mapping[str, Any]
    """What whoever saved it wrote of it: plain JSON."""
    id: str
    """Twelve hex digits over the file's content."""


def usual(records: Sequence[Floats]) -> Usual:
    """What the sensors did in records (n, S) each, NaN for no value; every sensor has a value in one of them."""
    width = records[0].shape[1]
    same, missing = np.ones(width, dtype=np.int64), np.zeros(width, dtype=np.int64)
    low, high, leap = np.full(width, np.inf), np.full(width, -np.inf), np.full(width, -np.inf)
    for record in records:
        gone = np.isnan(record)
        changed = np.ones(record.shape, dtype=np.bool_)
        changed[1:] = record[1:] != record[:-1]
        same = np.maximum(same, _longest_wait(changed) + 1)
        missing = np.maximum(missing, _longest_wait(~gone))
        low = np.minimum(low, np.where(gone, np.inf, record).min(axis=0, initial=np.inf))
        high = np.maximum(high, np.where(gone, -np.inf, record).max(axis=0, initial=-np.inf))
        apart = np.abs(record[1:-1] - (record[:-2] + record[2:]) / 2)
        leap = np.fmax(leap, np.fmax.reduce(apart, axis=0, initial=-np.inf))
    state = low < high
    for record in records:
        state &= ((record == low) | (record == high) | np.isnan(record)).all(axis=0)
    return Usual(low, high, same, missing, np.where(state, high - low, np.where(leap < 0, np.inf, leap)))


def _longest_wait(events: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Most rows since the last event in each column of (n, S), counted from before the first row: (S,)."""
    at = np.arange(len(events))[:, None]
    last = np.maximum.accumulate(np.where(events, at, -1), axis=0)
    waited: NDArray[np.int64] = (at - last).max(axis=0, initial=0)
    return waited


BROKEN: Final = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError),
    *(NotImplementedError, RuntimeError, MemoryError),
)
"""What reading a damaged archive raises."""


def dumps(detector: Detector, about: Mapping[str, Any] | None = None) -> bytes:
    """The content of a model file: the same detector and `about` give the same bytes."""
    header = {"format": FORMAT, "kind": detector.kind, "about": dict(about or {})}
    text = json.dumps(header, sort_keys=True, ensure_ascii=False).encode()
    content = io.BytesIO()
    # not np.savez: it stamps the members with the time of day
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        members = {"header": np.frombuffer(text, dtype=np.uint8), **detector.arrays()}
        for name, array in members.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def loads(content: bytes, name: str = "model") -> Model:
    """The model in a file's content; `name` is for the error texts.

    Raises:
        ModelError: it is not a model, or one of a newer lab.
    """
    if not content.startswith(b"PK"):  # what NumPy would say of other files speaks of pickles
        raise ModelError(f"{name}: not a model file, or an empty one; `lab fit` makes one")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as members:
            arrays = {key: members[key] for key in members.files}
        header = json.loads(arrays.pop("header").tobytes())
        version, kind = header["format"], header["kind"]
        about = dict(header["about"])
    except BROKEN as error:
        raise ModelError(f"{name}: not a whole model file: {error}") from error
    if version != FORMAT or kind not in KINDS:
        older = "An older lab made it: fit it again (`lab fit`, for the simulated plant `lab model tep`)."
        newer = "Update the lab, or fit the model again."
        raise ModelError(
            f"{name}: format {version}, kind {kind!r}; this lab reads format {FORMAT}, kinds {', '.join(KINDS)}. "
            + (older if isinstance(version, int) and version < FORMAT else newer)
        )
    module, cls = KINDS[kind]
    try:
        detector = cast(type[Detector], getattr(importlib.import_module(module), cls)).from_arrays(arrays)
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{name}: not a whole {kind} model: {error}; fit it again") from error
    return Model(detector, about, hashlib.blake2b(content, digest_size=6).hexdigest())


def save(detector: Detector, path: Path, about: Mapping[str, Any] | None = None) -> str:
    """Write a model file; it appears whole or not at all. Returns the model's id.

    Raises:
        ModelError: the folder cannot be written to.
    """
    content = dumps(detector, about)
    write(path, content)
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def write(path: Path, content: bytes) -> None:
    """Write the content of a model file; it appears whole or not at all.

    Raises:
        ModelError: the folder cannot be written to.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ModelError(f"{path}: cannot be written: {error.strerror}") from error
        raise


def load(path: Path) -> Model:
    """Read a model file.

    Raises:
        ModelError: no such file, not a model, or one of a newer lab.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    return loads(content, str(path))
