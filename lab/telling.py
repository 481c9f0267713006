"""What users tell about episodes: this was X, or not after all; X is to be called Y, or to be forgotten.

A word stands in two places: with the episode in the database, and in libraries of causes, with which episodes to come
are compared. What it changes is noted in the database first (`telling`), then the libraries are written, and the next
commit writes the labels and crosses it out. What is not crossed out at a start is done again (`Telling.take_up`): after
a crash both say what they said before, or both what was told.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from devices.frame import Asset
from lab.causes import LibraryError, changing, libraries_of, library_there, write_libraries
from lab.episodes import Episode, Kind, Word, words_told
from lab.modelfiles import ModelFiles
from lab.naming import alike, as_known, tidied
from lab.pending import Pending
from lab.rescoring import stored_model
from lab.rewording import Change, Drop, Learn, Rename
from lab.scorer import Scorer
from lab.tables import TableError
from lab.text import text
from models.detector import ModelError
from models.precursor.causes import Library

log = logging.getLogger("lab.telling")


class Telling:
    """Notes what users tell."""

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
        self._left: dict[int, Change] = {}
        """What the last collector noted and did not make, and cannot be made yet."""

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
        folder = self.files.folder
        with self._changing():
            words = self._words(asset.kind)
            before = words.pop(id, None)
            whose = kind or (before and before.kind) or found.kind
            # the one in use may not be in the database yet
            model = self.scorer.model(found.model) or stored_model(self.store, found.model)
            sensors = model.detector.sensors
            name, library = _library_to_tell(folder, asset, sensors)
            others = () if library is None else library.without_episode(id).causes  # the old spelling is not wanted
            cause = as_known(cause, [*others, *(word.cause for word in words.values())], asset.kind)
            libraries = {} if library is None else {name: library}
            steps: dict[str, Learn | Drop | Rename] = {}
            if found.evidence or found.kind == "process":
                steps[name] = Learn(id, cause, whose == "instrument", sensors, found.evidence)
                with suppress(LibraryError):  # one that was in use before, and cannot be read, is not in use
                    old = _libraries_there(folder, set(libraries_of(asset)) - {name})
                    libraries |= old
                    steps |= {each: Drop(id) for each in old}
            self._make(Change({id: Word(cause, whose)}, steps), libraries)
        return name, cause

    def take_back(self, id: str) -> str | None:
        """Forget what was told of an episode; those to come are not compared with it. Gives what it was, if anything.

        Raises:
            KeyError: no such episode.
            ValueError: a library cannot be read or written; nothing is forgotten.
        """
        number, _ = self._told_of(id)
        asset = self.scorer.members[number].asset
        with self._changing():
            before = self._words(asset.kind).get(id)
            libraries = _libraries_there(self.files.folder, libraries_of(asset))
            labels: dict[str, Word | None] = {} if before is None else {id: None}
            self._make(Change(labels, {each: Drop(id) for each in libraries}), libraries)
        return before and before.cause

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
        key = alike(cause, kind)
        files = {file for each in self._of_kind(kind) for file in libraries_of(Asset(each, kind))}
        self.files.look()
        with self._changing():
            words = self._words(kind)
            libraries = _libraries_there(self.files.folder, sorted(files & self.files.there.keys()))
            told = {word.cause for word in words.values()}
            told |= {each for library in libraries.values() for each in library.told_causes()}
            old = {each for each in told if alike(each, kind) == key}
            if not old:
                raise KeyError(cause)
            known = told.union(*(each.causes for each in libraries.values())) - old
            to = None if name is None else as_known(name, sorted(known), kind)
            its = {id: word for id, word in words.items() if word.cause in old}
            labels = {id: None if to is None else word._replace(cause=to) for id, word in its.items()}
            step = Rename(tuple(sorted(old)), to)
            self._make(Change(labels, dict.fromkeys(libraries, step)), libraries)
        return to, len(its)

    def take_up(self) -> None:
        """Do again what was told just before the last collector died."""
        for id, content in self.store.db.execute("SELECT id, change FROM telling ORDER BY id").fetchall():
            try:
                self._left[id] = msgspec.json.decode(content, type=Change)
            except msgspec.MsgspecError as error:
                log.error("what was told last cannot be read, and is left out: %s", error)
                self.pending.news.told.append(id)
        if self._left:
            with self._changing():
                pass

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """For a word: nobody else changes a library meanwhile, and what was told before is done.

        Raises:
            ValueError: what is the reason that nothing can be told.
        """
        with suppress(OSError):  # who writes hears of it
            self.files.folder.mkdir(parents=True, exist_ok=True)
        try:
            with changing(self.files.folder):
                self._go_on()
                yield
        except (LibraryError, ModelError, TableError) as error:
            raise ValueError(str(error)) from error
        self.files.look()

    def _make(self, change: Change, libraries: Mapping[str, Library]) -> None:
        """Change libraries that were read, and labels with the next commit.

        Raises:
            LibraryError: what was told before is to change one of them first.
            TableError: one cannot be written; nothing is changed.
            ValueError: there is no evidence of an episode.
        """
        if any(change.meets(each) for each in self._left.values()):
            raise LibraryError(text("causes.told_before"))
        changed, noted = change.on(libraries), list[int]()
        if not changed and not change.labels:
            return
        try:
            write_libraries(self.files.folder, changed, lambda: noted.append(self._note(change)))
        except TableError:
            with self.store.transaction() as db:
                db.executemany("DELETE FROM telling WHERE id = ?", [(id,) for id in noted])
            raise
        self.pending.news.labels |= change.labels
        self.pending.news.told += noted

    def _note(self, change: Change) -> int:
        """Note a change in a commit of its own, before it is made; gives its number."""
        assert not self.store.in_transaction  # it would be noted no sooner than the labels
        with self.store.transaction() as db:
            id = db.execute("INSERT INTO telling (change) VALUES (?)", (msgspec.json.encode(change),)).lastrowid
        assert id is not None
        return id

    def _go_on(self) -> None:
        """Make the changes that a crash kept from being made; those that cannot be made are left for the next time."""
        waiting = list[Change]()
        for id, change in list(self._left.items()):
            if any(change.meets(each) for each in waiting):  # the last word is to hold
                waiting.append(change)
                continue
            # an episode that was not written is found anew when its rows come again, and nobody has told of it
            change = change.without([each for each in change.labels if self.pending.episode(each) is None])
            try:
                libraries = _libraries_there(self.files.folder, change.steps)
                write_libraries(self.files.folder, change.on(libraries))
            except (LibraryError, TableError) as error:
                log.error("what was told last cannot be noted yet: %s", error)
                waiting.append(change)
                continue
            except ValueError as error:
                log.error("what was told last cannot be noted, and is left out: %s", error)
                change = Change({}, {})
            del self._left[id]
            for episode, word in change.labels.items():
                log.info("episode %s: what was told last is noted now: %s", episode, word.cause if word else "-")
            self.pending.news.labels |= change.labels
            self.pending.news.told.append(id)

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


def _library_to_tell(folder: Path, asset: Asset, sensors: Sequence[str]) -> tuple[str, Library | None]:
    """Name and content (None: to be made) of the library that learns what an asset's episodes were; while `changing`.

    Where there is none that knows at least half of the sensors, it is the asset's own.

    Raises:
        LibraryError: it cannot be read. It may hold what was told before, so no other takes its place.
    """
    names = own, shared = libraries_of(asset)
    strange: dict[str, Library] = {}
    for name in names:
        if (library := library_there(folder / name)) is not None:
            if library.knows(sensors):
                return name, library
            strange[name] = library
    return (own, strange.get(own)) if strange else (shared, None)


def _libraries_there(folder: Path, names: Iterable[str]) -> dict[str, Library]:
    """Those of these libraries that there are, by name; to be `changing` meanwhile.

    Raises:
        LibraryError: one cannot be read.
    """
    there = {name: library_there(folder / name) for name in names}
    return {name: library for name, library in there.items() if library is not None}
