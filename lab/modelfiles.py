"""The folder of models and of libraries of causes: what is there now, and each file read once while it stays the same.

What a file says is noted for the database when it comes into use, so that a replay has it when the file has gone.
"""

import hashlib
import logging
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from devices.frame import Asset
from lab.causes import LibraryError, libraries_of, read_library
from lab.episodes import Known
from lab.pending import Pending
from models.detector import Detector, Model, ModelError, dumps, loads, save

log = logging.getLogger("lab.modelfiles")

LOOK_S: Final = 1.0
"""How often the folder is looked at."""

Stamp = tuple[int, int]
"""When a file was changed, in nanoseconds, and its size."""


class ModelFiles:
    """The files in the folder, as they were when it was last looked at."""

    def __init__(self, folder: Path, pending: Pending, changed: Callable[[], None]) -> None:
        """Nothing is there before the first look.

        Args:
            folder: of the model files, `asset-{id}.model` before `{kind}.model`, and likewise of the libraries of
                causes, `*.causes.json`.
            pending: takes the content of what comes into use.
            changed: called when a file appeared, changed or went.
        """
        self.folder = folder
        self.there: dict[str, Stamp] = {}
        """Files by name."""
        self._pending = pending
        self._changed = changed
        self._models: dict[str, tuple[Stamp, Model | None]] = {}
        """Those read, by name, each as the file then was; None: it cannot be used."""
        self._libraries: dict[str, tuple[Stamp, Known | None]] = {}
        """The same; of one that cannot be read, what it was before."""
        self._made: dict[str, Model] = {}
        """Models that no file holds, by kind."""
        self._looked = -LOOK_S
        self._blind = False
        """The folder could not be read at the last look."""

    def look_again(self) -> None:
        """Look at the folder if that is due."""
        if time.monotonic() - self._looked >= LOOK_S:
            self.look()

    def look(self) -> None:
        """See which files are there. While the folder cannot be read, it is what was there."""
        self._looked = time.monotonic()
        there = {}
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if entry.name.endswith((".model", ".causes.json")):
                        with suppress(OSError):  # a link to nothing, or gone since it was listed
                            there[entry.name] = _stamp(entry.stat())
        except FileNotFoundError:
            pass
        except OSError as error:
            if not self._blind:
                log.error("%s: the folder of models cannot be read: %s", self.folder, error.strerror)
            self._blind = True
            return
        self._blind = False
        if there != self.there:
            self.there = there
            self._changed()

    def model(self, name: str) -> Model | None:
        """The model in a file that is there; None where it cannot be used."""
        stamp = self.there[name]
        known = self._models.get(name)
        if known is None or known[0] != stamp:
            model = None
            try:
                content = (self.folder / name).read_bytes()
                model = loads(content, str(self.folder / name))
                self._pending.news.models[model.id] = (name, content)
            except (OSError, ModelError) as error:
                log.error("%s: the model cannot be used: %s", name, error)
            known = self._models[name] = (stamp, model)
        return known[1]

    def made(self, kind: str) -> Model | None:
        """The model of a kind whose detector is made rather than fitted; None for any other kind."""
        if kind != "piping":
            return None
        if kind not in self._made:
            from models.corrosion.live import PipingPoint

            content = dumps(PipingPoint())
            self._made[kind] = loads(content, kind)
            self._pending.news.models[self._made[kind].id] = (f"{kind}.model", content)
        return self._made[kind]

    def add(self, name: str, detector: Detector, about: Mapping[str, Any]) -> tuple[Model, bool]:
        """Write a model that was learned; gives it, and whether the file could be written."""
        content = dumps(detector, about)
        model, kept = loads(content, name), True
        try:
            save(detector, self.folder / name, about)
        except ModelError as error:
            log.error("the model that was learned cannot be kept: %s", error)
            kept = False
        else:
            self.there[name] = _stamp((self.folder / name).stat())
            self._models[name] = (self.there[name], model)
        self._pending.news.models[model.id] = (name, content)
        return model, kept

    def library(self, asset: Asset, sensors: Sequence[str]) -> Known | None:
        """The library in use for an asset whose model has these sensors; None where there is none that knows them."""
        for name in libraries_of(asset):
            if name not in self.there:
                continue
            stamp, known = self._libraries.get(name, ((0, 0), None))
            if stamp != self.there[name]:
                try:
                    library = read_library(self.folder / name)
                    content = library.dumps()
                    known = Known(hashlib.blake2b(content, digest_size=6).hexdigest(), library)
                    self._pending.news.libraries[known.id] = name, zlib.compress(content)
                except LibraryError as error:
                    log.error("the causes cannot be used: %s", error)
                self._libraries[name] = self.there[name], known
            if known is not None and known.library.knows(sensors):
                return known
        return None


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_mtime_ns, stat.st_size
