"""What a user's word makes of libraries of causes: noted as it is meant, so that it can be done again after a crash."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from lab.episodes import Word, unpack
from models.detector import State
from models.precursor.causes import Library, none


class Learn(msgspec.Struct, tag="learn", frozen=True):
    """An episode was this."""

    episode: str
    cause: str
    failed: bool
    """A sensor's, and not the process's."""
    sensors: tuple[str, ...]
    """Of the model that saw it."""
    evidence: bytes
    """What that saw."""

    def on(self, library: Library | None) -> Library:
        """The library with it; a new one where there is none.

        Raises:
            ValueError: the evidence is none.
        """
        wider = (none(self.sensors) if library is None else library).with_sensors(self.sensors)
        state = _in_order(unpack(self.evidence), self.sensors, wider)
        return wider.with_example(self.cause, state, self.failed, self.episode)


class Drop(msgspec.Struct, tag="drop", frozen=True):
    """Nothing is known of what an episode was."""

    episode: str

    def on(self, library: Library | None) -> Library | None:
        """The library without it; the same one where it was not told of it."""
        return library.without_episode(self.episode) if library and self.episode in library.words() else library


class Rename(msgspec.Struct, tag="rename", frozen=True):
    """What was told to be one of these causes has another name; None: it was not told."""

    causes: tuple[str, ...]
    name: str | None

    def on(self, library: Library | None) -> Library | None:
        """The library with the name; the same one where it was not told of them."""
        for each in self.causes if library else ():
            if library and each in library.told_causes():
                library = library.without_cause(each) if self.name is None else library.with_name(each, self.name)
        return library


class Change(msgspec.Struct, frozen=True):
    """All that one word changes. Done again it changes nothing more."""

    labels: dict[str, Word | None]
    """Of episodes, by id; None: no more."""
    steps: dict[str, Learn | Drop | Rename]
    """In libraries, by their files' names."""

    def on(self, libraries: Mapping[str, Library]) -> dict[str, Library]:
        """Those of these libraries (by name) that become others, and new ones.

        Raises:
            ValueError: there is no evidence of an episode.
        """
        changed = {name: step.on(libraries.get(name)) for name, step in self.steps.items()}
        return {name: new for name, new in changed.items() if new is not None and new is not libraries.get(name)}

    def meets(self, other: "Change") -> bool:
        """Whether it matters which of the two comes first."""
        return bool(self.steps.keys() & other.steps.keys() or self.labels.keys() & other.labels.keys())

    def without(self, episodes: Sequence[str]) -> "Change":
        """The same where there are no such episodes."""
        steps = {
            name: Drop(step.episode) if isinstance(step, Learn) and step.episode in episodes else step
            for name, step in self.steps.items()
        }
        return Change({id: word for id, word in self.labels.items() if id not in episodes}, steps)


def _in_order(state: State, sensors: Sequence[str], library: Library) -> State:
    """Evidence of a model's sensors as that of a library's, found by name; of those that are not the model's, none."""
    at = [sensors.index(name) if name in sensors else -1 for name in library.sensors]
    there = np.array([position >= 0 for position in at])
    ordered = {name: np.where(there, state[name][:, at], 0.0) for name in ("deviation", "share")}
    return {"rows": state["rows"], **ordered}
