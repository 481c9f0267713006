"""Libraries of causes in files: that of the simulated plant, and what the user tells ("this was X").

A library stands beside the model whose episodes it explains: `{kind}.causes.json` for all assets of a kind,
`asset-{id}.causes.json` for one.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from devices.frame import Asset
from lab.fitting import TEP_PERIOD_S
from lab.naming import file_name
from lab.running import alone
from lab.tables import TableError
from lab.text import text
from lab.writing import write_whole
from models.detector import Detector, Floats, load
from models.precursor.causes import Labelled, Library, learn

log = logging.getLogger("lab.causes")

TEP_CAUSES: Final = 1
"""Counts up when the plant's library is to be made anew: the simulator or the features changed."""
TEP_FAULTS: Final = tuple(range(1, 22, 2))
"""The others are for measuring what is not known."""
TEP_RUNS: Final = 8
TEP_HOURS: Final = 48.0
TEP_AT_H: Final = 8.0
TEP_SEED: Final = 1_000_000
OLDEST: Final = 200
"""Rows of an episode that are looked at."""


class LibraryError(Exception):
    """A library of causes cannot be used; the text names the file and says why."""


def libraries_of(asset: Asset) -> tuple[str, str]:
    """Names of the libraries for an asset: its own, and that of all of its kind."""
    return f"asset-{asset.id}.causes.json", f"{file_name(asset.kind)}.causes.json"


def read_library(path: Path) -> Library:
    """Read a library of causes.

    Raises:
        LibraryError: no such file, or not a library.
    """
    try:
        return Library.loads(path.read_bytes())
    except OSError as error:
        raise LibraryError(text("causes.unreadable", path=path, reason=error.strerror)) from error
    except ValueError as error:
        raise LibraryError(text("causes.unreadable", path=path, reason=error)) from error


def library_there(path: Path) -> Library | None:
    """The library of causes in a file; None where there is no such file.

    Raises:
        LibraryError: it cannot be read, or is no library.
    """
    try:
        return read_library(path)
    except LibraryError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def write_library(path: Path, library: Library) -> None:
    """Write a library of causes; it appears whole or not at all.

    Raises:
        TableError: it cannot be written.
    """
    write_whole(path, library.dumps())


def write_libraries(folder: Path, libraries: Mapping[str, Library], ready: Callable[[], None] = lambda: None) -> None:
    """Write several libraries anew, by their names in the folder: all of them or none, as far as the disk allows.

    To be `changing` meanwhile. All that needs room on the disk is written beside them first. They are on the disk when
    this returns: a power failure does not take from them what is told to be noted.

    Args:
        folder: where they are.
        libraries: by name.
        ready: called when all is written beside them, before any of them is another.

    Raises:
        TableError: one cannot be written; all are as they were.
    """
    drafts: dict[Path, Path] = {}
    before: dict[Path, bytes | None] = {}
    done: list[Path] = []
    path = folder
    try:
        for name, library in libraries.items():
            path = folder / name
            before[path] = path.read_bytes() if path.exists() else None
            drafts[path] = path.with_name(f"{name}.{os.getpid()}.tmp")
            with drafts[path].open("wb") as file:
                file.write(library.dumps())
                file.flush()
                os.fsync(file.fileno())
        ready()
        for path, draft in drafts.items():
            draft.replace(path)
            done.append(path)
        _flush_names(folder)
    except OSError as error:
        for each in reversed(done):
            _put_back(each, before[each])
        raise TableError(text("table.unwritable", path=path, reason=error.strerror)) from error
    finally:
        for draft in drafts.values():
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def _flush_names(folder: Path) -> None:
    """Have on the disk which files are in a folder, where the system has a way to it."""
    if os.name == "nt":
        return
    with suppress(OSError):  # not every file system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _put_back(path: Path, content: bytes | None) -> None:
    """Have a file as it was; None: it was not there."""
    try:
        if content is None:
            path.unlink(missing_ok=True)
        else:
            write_whole(path, content)
    except (OSError, TableError) as error:
        log.error("%s: what was refused stays in it: %s", path, error)


def changing(models: Path) -> AbstractContextManager[None]:
    """To be held from reading a library in a folder until it is written: what one writes, another must have read."""
    return alone(models / ".causes.lock")


def episodes(
    detector: Detector, records: Floats, names: Sequence[str], first: int, lengths: Sequence[int]
) -> list[Labelled]:
    """The first episode of each run that begins after its fault, as the detector sees it.

    Args:
        detector: of S sensors.
        records: (n, T, S).
        names: (n) what is wrong in each run.
        first: row in which the fault begins.
        lengths: (n) rows until the plant tripped, or all.
    """
    found = []
    for record, name, length in zip(records, names, lengths, strict=True):
        _, result = detector.score(detector.initial(1), record[None, :length])
        alarm = result.alarm[0].copy()
        alarm[:first] = False
        if not alarm.any():
            continue
        begin = int(np.argmax(alarm))
        over = np.flatnonzero(~alarm[begin:])
        end = min(begin + OLDEST, begin + int(over[0]) if len(over) else length)
        deviation = result.deviation[0, begin:end].astype(np.float64)
        found.append(Labelled(name, deviation, result.contributions[0, begin:end]))
    return found


def tep_causes(
    models: Path,
    *,
    runs: int = TEP_RUNS,
    hours: float = TEP_HOURS,
    force: bool = False,
    progress: Callable[[float], None] | None = None,
) -> tuple[Path, bool]:
    """The simulated plant's library beside its model, made when it is not there or was made with another model.

    What the user told the one before stays in it; so one that cannot be read is left as it is, or with `force` kept
    beside as `tep.causes.json.broken`. Causes are named `idv_1`, `idv_3` …

    Args:
        models: the folder, with the plant's model in it.
        runs: of each odd-numbered fault.
        hours: plant hours of each, the fault after eight.
        force: make it in any case.
        progress: called now and then with the share done, 0 to 1.

    Returns:
        The file, and whether it was made now.

    Raises:
        ModelError: the plant's model is not there.
        LibraryError: the library that is there cannot be read.
        ValueError: runs in which no fault is found.
        TableError: the folder cannot be written to.
    """
    from simulators import tep

    model = load(models / "tep.model")
    path = models / "tep.causes.json"
    about: dict[str, Any] = {"plant": "tep", "causes": TEP_CAUSES, "model": model.id, "runs": runs, "hours": hours}
    if not force and (before := library_there(path)) is not None and dict(before.about) == about:
        return path, False
    cause = [fault for fault in TEP_FAULTS for _ in range(runs)]

    def switch(inputs: tep.Inputs) -> None:
        for plant, fault in enumerate(cause):
            inputs.set_fault(plant, fault)

    seeds = [TEP_SEED + 1000 * fault + run for fault in TEP_FAULTS for run in range(runs)]
    done = None if progress is None else lambda at: progress(0.9 * at / hours)
    run = tep.simulate(hours, seeds, [tep.Change(TEP_AT_H, switch)], generator="numpy", progress=done)
    records = tep.round_records(run.records, 5)
    columns = [tep.COLUMNS.index(name) for name in model.detector.sensors]
    rows = records.shape[1]
    tripped = tep.trip_hours(run.state) * 3600.0 / TEP_PERIOD_S
    lengths = [rows if np.isnan(at) else min(rows, int(at)) for at in tripped.tolist()]
    first = round(TEP_AT_H * 3600.0 / TEP_PERIOD_S)
    labelled = episodes(model.detector, records[:, :, columns], [f"idv_{fault}" for fault in cause], first, lengths)
    library = learn(labelled, model.detector.sensors, about)
    with changing(models):
        before = _replaced(path) if force else library_there(path)  # as it is by now: it may have been told something
        write_library(path, library if before is None else library.with_told(before))
    if progress is not None:
        progress(1.0)
    return path, True


def _replaced(path: Path) -> Library | None:
    """The library that is to be replaced; None where there is none, or none that can be read: that is moved aside."""
    try:
        return library_there(path)
    except LibraryError as error:
        try:
            path.replace(path.with_name(f"{path.name}.broken"))
        except OSError:
            raise error from None
        return None
