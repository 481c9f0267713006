"""What users tell about episodes: this was X, or not after all; X is to be called Y, or to be forgotten.

A word stands in two places: with the episode in the database, and in a library of causes, with which episodes to come
are compared. The library is written at once, the database with the next commit; what a crash between the two leaves
out is noted at the next start (`Telling.take_up`).
"""

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path

import numpy as np

from devices.frame import Asset
from lab.causes import LibraryError, changing, libraries_of, library_there, read_library, write_libraries
from lab.episodes import Episode, Kind, Word, find_episode, unpack, words_told
from lab.modelfiles import ModelFiles
from lab.naming import alike, as_known, tidied
from lab.pending import Pending
from lab.rescoring import stored_model
from lab.scorer import Scorer
from lab.tables import TableError
from models.detector import ModelError, State
from models.precursor.causes import Library, none

log = logging.getLogger("lab.telling")


class Telling:
    """Notes what users tell; has no state of its own."""

    def __init__(self, files: ModelFiles, scorer: Scorer, pending: Pending) -> None:
        """
        Args:
            files: where the libraries of causes are; looked at again once one was written.
            scorer: knows the assets, their models and their open episodes.
            pending: takes what is to be noted with the episodes.
        """
        self.files = files
        self.scorer = scorer
        self.pending = pending
        self.store = pending.store

    def label(self, id: str, cause: str, kind: Kind | None = None) -> tuple[str, str]:
        """Note that an episode was this, and compare those to come with it; gives the library's name and the cause's.

        One of a sensor that failed without an alarm has nothing that could be compared, and is only noted.

        Args:
            id: of the episode.
            cause: what it was; where it differs from the name of one known in case, width or blanks alone, that one.
            kind: where that was; None for where it was told to be before, or else where the episode was put.

        Raises:
            KeyError: no such episode.
            ValueError: the library cannot be read or written; it is left as it is, and nothing is noted.
        """
        number, found = self._told_of(id)
        if not tidied(cause):
            raise ValueError("the cause has no name")
        asset = self.scorer.members[number].asset
        tracker = self.scorer.tracker(number)
        if tracker is not None and tracker.id == id:
            found = tracker.episode()  # it is not written with every row
        words = self._words(asset.kind)
        before = words.pop(id, None)
        whose = kind or (before and before.kind) or found.kind
        folder = self.files.folder
        try:
            # the one in use may not be in the database yet
            model = self.scorer.model(found.model) or stored_model(self.store, found.model)
            sensors = model.detector.sensors
            with changing(folder):
                name, library = _library_to_tell(folder, asset, sensors)
                others = library.without_episode(id).causes  # who corrects the spelling does not want the old one
                cause = as_known(cause, [*others, *(word.cause for word in words.values())], asset.kind)
                if found.evidence or found.kind == "process":
                    state = _in_order(unpack(found.evidence), sensors, library)
                    changed = {name: library.with_example(cause, state, whose == "instrument", id)}
                    with suppress(LibraryError):  # one that was in use before, and cannot be read, is not in use
                        changed |= _without(id, _libraries_there(folder, set(libraries_of(asset)) - {name}))
                    write_libraries(folder, changed)
        except (LibraryError, ModelError, TableError) as error:
            raise ValueError(str(error)) from error
        self.pending.news.labels[id] = Word(cause, whose)
        self.files.look()
        return name, cause

    def take_back(self, id: str) -> str | None:
        """Forget what was told of an episode; those to come are not compared with it. Gives what it was, if anything.

        Raises:
            KeyError: no such episode.
            ValueError: a library cannot be read or written; nothing is forgotten.
        """
        number, _ = self._told_of(id)
        asset = self.scorer.members[number].asset
        before = self._words(asset.kind).get(id)
        folder = self.files.folder
        try:
            with changing(folder):
                write_libraries(folder, _without(id, _libraries_there(folder, libraries_of(asset))))
        except (LibraryError, TableError) as error:
            raise ValueError(str(error)) from error
        self.files.look()
        if before is None:
            return None
        self.pending.news.labels[id] = None
        return before.cause

    def rename(self, asset: str, cause: str, name: str | None) -> tuple[str | None, int]:
        """Give what users told to be a cause another name, for all assets of a kind; None: forget that it was that.

        What was learnt without being told (the simulated plant's faults) keeps its name, and what the lab itself made
        of episodes before stays as it was.

        Args:
            asset: one of the kind.
            cause: what was told, in any case and width.
            name: the new name; where one like it is known, the two are one from now on.

        Returns:
            The name by now, and of how many episodes it was told.

        Raises:
            KeyError: no such asset, or nothing was told to be this.
            ValueError: no name, or a library cannot be read or written; nothing is changed in the database.
        """
        kind = self.scorer.members[self.scorer.number(asset)].asset.kind
        if name is not None and not tidied(name):
            raise ValueError("the cause has no name")
        words, key = self._words(kind), alike(cause, kind)
        files = {file for each in self._of_kind(kind) for file in libraries_of(Asset(each, kind))}
        folder = self.files.folder
        self.files.look()
        try:
            with changing(folder):
                libraries = _libraries_there(folder, sorted(files & self.files.there.keys()))
                told = {word.cause for word in words.values()}
                told |= {each for library in libraries.values() for each in library.told_causes()}
                old = {each for each in told if alike(each, kind) == key}
                if not old:
                    raise KeyError(cause)
                known = told.union(*(each.causes for each in libraries.values())) - old
                to = None if name is None else as_known(name, sorted(known), kind)
                changed = {file: _renamed(library, old, to) for file, library in libraries.items()}
                write_libraries(folder, {file: new for file, new in changed.items() if new is not libraries[file]})
        except (LibraryError, TableError) as error:
            raise ValueError(str(error)) from error
        its = {id: word for id, word in words.items() if word.cause in old}
        self.pending.news.labels |= {id: None if to is None else word._replace(cause=to) for id, word in its.items()}
        self.files.look()
        return to, len(its)

    def take_up(self) -> None:
        """Note what a library was told just before the last collector died, without having noted it."""
        files = sorted(name for name in self.files.there if name.endswith(".causes.json"))
        taken: set[str] = set()
        for name in sorted(files, key=lambda name: not name.startswith("asset-")):  # an asset's own has the last word
            with suppress(LibraryError):  # it is told when it is to be used
                for id, (cause, failed) in read_library(self.files.folder / name).words().items():
                    word = Word(cause, "instrument" if failed else "process")
                    noted = None if id in taken else find_episode(self.store, id)
                    taken.add(id)
                    # an older lab did not note whose it was
                    if noted is not None and (noted.label, noted.label_kind or word.kind) != word:
                        log.info("episode %s: what was told last is noted now: %s", id, cause)
                        self.pending.news.labels[id] = word

    def _told_of(self, id: str) -> tuple[int, Episode]:
        """An episode of which a user says something, and its asset's number.

        Raises:
            KeyError: no such episode, or its asset is not here.
        """
        found = self.pending.episode(id)
        if found is None or self.scorer.declared(found.asset) is None:
            raise KeyError(id)
        return self.scorer.number(found.asset), found

    def _words(self, kind: str) -> dict[str, Word]:
        """What users told of episodes of assets of a kind, by the episodes' ids, what is not written yet as well."""
        words = words_told(self.store, kind)
        assets = self._of_kind(kind)
        for id, word in self.pending.news.labels.items():
            found = self.pending.episode(id)
            if found is not None and found.asset in assets:
                words.pop(id, None)
                if word is not None:
                    words[id] = word
        return words

    def _of_kind(self, kind: str) -> set[str]:
        """Assets of a kind, those that have gone as well: their episodes and libraries are there still."""
        return {id for (id,) in self.store.db.execute("SELECT id FROM asset WHERE kind = ?", (kind,))}


def _library_to_tell(folder: Path, asset: Asset, sensors: Sequence[str]) -> tuple[str, Library]:
    """Name and content of the library that learns what an asset's episodes were; to be `changing` meanwhile.

    It has all the sensors. Where there is none that knows at least half of them, it is the asset's own.

    Raises:
        LibraryError: it cannot be read. It may hold what was told before, so no other takes its place.
    """
    names = own, shared = libraries_of(asset)
    strange: dict[str, Library] = {}
    for name in names:
        if (library := library_there(folder / name)) is not None:
            if library.knows(sensors):
                return name, library.with_sensors(sensors)
            strange[name] = library
    if not strange:
        return shared, none(sensors)
    return own, strange.get(own, none(sensors)).with_sensors(sensors)


def _libraries_there(folder: Path, names: Iterable[str]) -> dict[str, Library]:
    """Those of these libraries that there are, by name; to be `changing` meanwhile.

    Raises:
        LibraryError: one cannot be read.
    """
    there = {name: library_there(folder / name) for name in names}
    return {name: library for name, library in there.items() if library is not None}


def _without(episode: str, libraries: Mapping[str, Library]) -> dict[str, Library]:
    """Those of these libraries that were told something of an episode, without it."""
    told = {name: library for name, library in libraries.items() if episode in library.words()}
    return {name: library.without_episode(episode) for name, library in told.items()}


def _renamed(library: Library, causes: Set[str], name: str | None) -> Library:
    """A library with another name for what was told to be one of these; None: without it."""
    for each in sorted(causes & library.told_causes()):
        library = library.without_cause(each) if name is None else library.with_name(each, name)
    return library


def _in_order(state: State, sensors: Sequence[str], library: Library) -> State:
    """Evidence of a model's sensors as that of a library's, found by name; of those that are not the model's, none."""
    at = [sensors.index(name) if name in sensors else -1 for name in library.sensors]
    there = np.array([position >= 0 for position in at])
    ordered = {name: np.where(there, state[name][:, at], 0.0) for name in ("deviation", "share")}
    return {"rows": state["rows"], **ordered}
