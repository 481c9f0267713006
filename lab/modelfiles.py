"""The folder of models and of libraries of causes: what is there now, and each file read once while it stays the same.

What a file says is noted for the database when it comes into use, so that a replay has it when the file has gone.
A model that was learned and could not be written is used as if it were there, after a restart too (`unsaved`): a file
that the user takes away is another thing.
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
from models.detector import Detector, Model, ModelError, dumps, loads, write

log = logging.getLogger("lab.modelfiles")

LOOK_S: Final = 1.0
"""How often the folder is looked at."""
AGAIN_S: Final = 10.0
"""How often a file that could not be read or written is tried again."""

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
        self._unsaved: dict[str, tuple[Model, bytes]] = {}
        """Models that were learned and could not be written yet, by the files' names."""
        self._tried = -AGAIN_S
        self._unread: dict[str, Stamp] = {}
        """Model files that are there and could not be read, each as it then was."""
        self._looked = -LOOK_S
        self._blind = False
        """The folder could not be read at the last look."""
        self._take_up()

    def _take_up(self) -> None:
        """Take up the models that the last collector could not write."""
        query = "SELECT unsaved.name, content FROM unsaved LEFT JOIN model ON model.id = unsaved.model"
        for name, content in self._pending.store.db.execute(query).fetchall():
            try:
                self._unsaved[name] = loads(content or b"", name), content
                log.warning("%s: the model that was learned has no file yet", name)
            except ModelError as error:
                log.error("the model that was learned cannot be kept: %s", error)
                self._pending.news.unsaved[name] = None

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
        due = self._looked - self._tried >= AGAIN_S
        if due and (self._unsaved or self._unread):
            self._tried = self._looked
        self._save_again(there, due)
        self._unread = {name: stamp for name, stamp in self._unread.items() if there.get(name) == stamp}
        again = due and bool(self._unread)
        if there != self.there or again:
            for name in self._unread if again else ():
                self._models.pop(name, None)
            self.there = there
            self._changed()

    def _save_again(self, there: dict[str, Stamp], due: bool) -> None:
        """Write what was learned and could not be written, unless the user has put another file there."""
        for name, (model, content) in list(self._unsaved.items()):
            if name not in there and due:
                with suppress(ModelError):  # it was told
                    write(self.folder / name, content)
                    self._written(name, model, there)
                    log.info("%s: the model that was learned is written now", name)
            if name in there:
                del self._unsaved[name]
                self._pending.news.unsaved[name] = None

    def _written(self, name: str, model: Model, there: dict[str, Stamp]) -> None:
        with suppress(OSError):  # gone again
            there[name] = _stamp((self.folder / name).stat())
            self._models[name] = there[name], model

    def has(self, name: str) -> bool:
        """Whether there is such a model file, or is to be."""
        return name in self.there or name in self._unsaved

    def model(self, name: str) -> Model | None:
        """The model in a file that is there (`has`); None where it cannot be used."""
        if name not in self.there:
            return self._unsaved[name][0]
        stamp = self.there[name]
        known = self._models.get(name)
        if known is None or known[0] != stamp:
            model = None
            try:
                content = (self.folder / name).read_bytes()
                model = loads(content, str(self.folder / name))
                self._pending.news.models[model.id] = (name, content)
                self._unread.pop(name, None)
            except ModelError as error:
                log.error("%s: the model cannot be used: %s", name, error)
                self._unread.pop(name, None)
            except OSError as error:  # it may be whole: rights, or a disk that is away
                if self._unread.get(name) != stamp:
                    log.error("%s: the model cannot be read: %s", name, error)
                self._unread[name] = stamp
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

    def add(self, name: str, detector: Detector, about: Mapping[str, Any]) -> Model:
        """Write a model that was learned, now or as soon as that can be done; gives it."""
        content = dumps(detector, about)
        model = loads(content, name)
        self._pending.news.models[model.id] = (name, content)
        try:
            write(self.folder / name, content)
        except ModelError as error:
            log.error("the model that was learned is used, but has no file until it can be written: %s", error)
            self._unsaved[name], self._pending.news.unsaved[name] = (model, content), model.id
            self._tried = time.monotonic()
        else:
            self._written(name, model, self.there)
            if self._unsaved.pop(name, None) is not None:  # one of before
                self._pending.news.unsaved[name] = None
        return model

    def library(self, asset: Asset, sensors: Sequence[str]) -> Known | None:
        """The library in use for an asset whose model has these sensors; None where there is none that knows them."""
        for name in libraries_of(asset):
            if name not in self.there:
                continue
            stamp = self.there[name]
            before, known = self._libraries.get(name, ((0, 0), None))
            if before != stamp:
                try:
                    library = read_library(self.folder / name)
                    content = library.dumps()
                    known = Known(hashlib.blake2b(content, digest_size=6).hexdigest(), library)
                    self._pending.news.libraries[known.id] = name, zlib.compress(content)
                except LibraryError as error:
                    log.error("the causes cannot be used: %s", error)
                    if isinstance(error.__cause__, OSError):  # it may be whole, and is read for the next episode
                        stamp = (0, 0)
                self._libraries[name] = stamp, known
            if known is not None and known.library.knows(sensors):
                return known
        return None


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_mtime_ns, stat.st_size
