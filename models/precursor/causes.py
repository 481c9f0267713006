"""Causes: episodes compared with those of known causes, and an honest "not like anything known".

What is compared is how far each sensor is from normal (compressed) and its share of the score, both averaged from the
episode's start, at the same age of the episode. Causes are normal distributions with one covariance (linear
discriminants; Fisher 1936), shrunk to its diagonal (Friedman 1989) and to a usual spread, so that a single example
will do. How sure to be is learnt from examples left out, and what "unknown" looks like from causes left out
(Scheirer et al., IEEE PAMI 35 (2013) 1757-1772, call it open set recognition).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from models.detector import Floats, State

FORMAT: Final = 1
AGES: Final = (1, 5, 20, 60, 200)
"""Rows since an episode's start at which examples are kept: a young episode is compared with young ones."""
WINDOW: Final = 60
"""Rows over which the evidence is averaged: all of a young episode, then with a forgetting."""
MOST: Final = 50.0
"""No deviation counts as larger, standard deviations."""
DIAGONAL: Final = 0.3
"""Part of the covariance that is its diagonal alone."""
USUAL: Final = (0.3, 0.1)
"""Spread within a cause of a compressed deviation and of the root of a share, where examples say little yet."""
WEIGHT: Final = 10.0
"""Examples that the usual spread counts for."""
FOLDS: Final = 5
DEFAULT: Final = (0.1, 3.0, 1.5)
"""Temperature, slope and middle of "unknown" for a library too small to calibrate itself."""


class Labelled(NamedTuple):
    """An episode whose cause is known, from its first row on."""

    cause: str
    deviation: Floats
    """(T, S) moving averages (of some ten rows) of the standardised values."""
    contributions: Floats
    """(T, S) shares of the score."""


class Match(NamedTuple):
    """What an episode is like."""

    causes: list[tuple[str, float]]
    """Known causes with their probabilities, the likeliest first; with `unknown` they sum to 1."""
    unknown: float
    """Probability that it is none of them."""

    @property
    def cause(self) -> str | None:
        """The likeliest one; None where "not like anything known" is likelier than not."""
        return self.causes[0][0] if self.causes and self.unknown <= 0.5 else None


def none(sensors: Sequence[str]) -> "Library":
    """A library without any cause, for the user to tell it the first one."""
    nothing = np.zeros(0, dtype=np.int64)
    examples = np.zeros((0, 2 * len(sensors)))
    table = np.tile(np.array(DEFAULT), (len(AGES), 1))
    never = np.zeros(0, dtype=np.bool_)
    return Library(tuple(sensors), (), nothing, nothing, examples, never, never, np.zeros(0, dtype=str), table)


def initial(assets: int, sensors: int) -> State:
    """Evidence of `assets` streams without an open episode."""
    return {
        "rows": np.zeros(assets, dtype=np.int64),
        "deviation": np.zeros((assets, sensors)),
        "share": np.zeros((assets, sensors)),
    }


def gather(state: State, deviation: Floats, contributions: Floats, on: NDArray[np.bool_]) -> State:
    """Take in rows; evidence begins with an episode's first row and is dropped with the first row after it.

    Args:
        state: evidence so far.
        deviation: (A, T, S) moving averages of the standardised values; NaN counts as normal.
        contributions: (A, T, S) shares of the score, in any unit; a row with nothing but 0 adds no shares.
        on: (A, T) whether an episode is on.

    Raises:
        ValueError: shapes that do not fit.
    """
    if deviation.shape != contributions.shape or deviation.shape[:2] != on.shape:
        raise ValueError(f"deviation {deviation.shape}, contributions {contributions.shape}, on {on.shape}")
    if deviation.shape[::2] != state["share"].shape:
        raise ValueError(f"rows of shape {deviation.shape} for evidence of shape {state['share'].shape}")
    rows, mean, share = state["rows"].copy(), state["deviation"].copy(), state["share"].copy()
    for row in range(on.shape[1]):
        open_ = on[:, row]
        rows = np.where(open_, rows + 1, 0)
        which = np.flatnonzero(open_)
        fresh = np.flatnonzero(rows <= 1)
        mean[fresh], share[fresh] = 0.0, 0.0
        if not len(which):
            continue
        weight = 1.0 / np.minimum(rows[which], WINDOW)[:, None]
        now = np.clip(np.nan_to_num(deviation[which, row]), -MOST, MOST)
        mean[which] += weight * (now - mean[which])
        parts = np.nan_to_num(contributions[which, row])
        total = np.add.reduce(parts, axis=1, keepdims=True)
        told = total[:, 0] > 0
        parts = parts[told] / total[told]
        share[which[told]] += weight[told] * (parts - share[which[told]])
    return {"rows": rows, "deviation": mean, "share": share}


def features(state: State) -> Floats:
    """What is compared: (A, 2 S), the compressed deviations and the roots of the shares."""
    mean = state["deviation"]
    signed = np.sign(mean) * np.log1p(np.abs(mean))
    return np.concatenate([signed, np.sqrt(np.maximum(state["share"], 0.0))], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """Examples of known causes: `E` of them, of `S` sensors. Extended by `with_example` and the like, never changed."""

    sensors: tuple[str, ...]
    causes: tuple[str, ...]
    """In the order in which they were learnt."""
    of: NDArray[np.int64]
    """(E,) position of the example's cause."""
    age: NDArray[np.int64]
    """(E,) position of its age in `AGES`."""
    examples: Floats
    """(E, 2 S) features."""
    told: NDArray[np.bool_]
    """(E,) whether the user told it."""
    failed: NDArray[np.bool_]
    """(E,) whether they told it of a failed sensor, and not of the process."""
    episode: NDArray[np.str_]
    """(E,) what they told it of; "" where that is not known."""
    calibration: Floats
    """(ages, 3) temperature of the probabilities, slope and middle of "unknown" over the logarithm of the distance."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What whoever made it wrote of it: plain JSON."""

    def with_example(self, cause: str, state: State, failed: bool = False, episode: str = "") -> "Library":
        """The library and one more example, "this was X": evidence of one open or ended episode, as old as it is.

        Told of the same evidence or episode again, the last word holds, for what was kept of it when younger as well.

        Args:
            cause: X.
            state: the evidence.
            failed: a failed sensor's, and not the process's.
            episode: its id, if it has one.

        Raises:
            ValueError: no name, nothing in the evidence, or other sensors than the library's.
        """
        rows = int(state["rows"][0]) if len(state["rows"]) == 1 else 0
        found = np.round(features(state), 4)
        if not cause.strip() or rows < 1 or found.shape != (1, self.examples.shape[1]) or not found.any():
            raise ValueError("want the name of a cause, and evidence of one episode with this library's sensors")
        causes = self.causes if cause in self.causes else (*self.causes, cause)
        age = nearest_age(rows)
        same = self._told_of(episode)
        keep = ~(self.told & (self.examples == found).all(axis=1)) & ~(same & (self.age == age))
        told = replace(
            self,
            causes=causes,
            of=np.append(np.where(same, causes.index(cause), self.of)[keep], causes.index(cause)),
            age=np.append(self.age[keep], age),
            examples=np.concatenate([self.examples[keep], found]),
            told=np.append(self.told[keep], True),
            failed=np.append(np.where(same, failed, self.failed)[keep], failed),
            episode=np.append(self.episode[keep], episode),
        )
        return told._only(np.ones(len(told.of), dtype=np.bool_))

    def without_episode(self, episode: str) -> "Library":
        """The library without what was told of an episode."""
        return self._only(~self._told_of(episode))

    def without_cause(self, cause: str) -> "Library":
        """The library without what was told to be this; what was learnt of it without being told stays."""
        return self._only(~(self.told & (self._names() == cause)))

    def with_name(self, cause: str, name: str) -> "Library":
        """The library with another name (one it has, perhaps) for what was told to be this; what was learnt stays."""
        causes = self.causes if name in self.causes else (*self.causes, name)
        of = np.where(self.told & (self._names() == cause), causes.index(name), self.of)
        return replace(self, causes=causes, of=of)._only(np.ones(len(of), dtype=np.bool_))

    def words(self) -> dict[str, tuple[str, bool]]:
        """What was told of which episode, and whether of a failed sensor."""
        told = zip(self.episode.tolist(), self.of.tolist(), self.failed.tolist(), self.told.tolist(), strict=True)
        return {episode: (self.causes[of], failed) for episode, of, failed, told in told if told and episode}

    def told_causes(self) -> set[str]:
        """What was told of any episode."""
        return set(self._names()[self.told].tolist())

    def _told_of(self, episode: str) -> NDArray[np.bool_]:
        same: NDArray[np.bool_] = self.told & (self.episode == episode) & (episode != "")
        return same

    def _names(self) -> NDArray[np.str_]:
        """(E,) the examples' causes."""
        return np.array([self.causes[of] for of in self.of.tolist()], dtype=str)

    def _only(self, keep: NDArray[np.bool_]) -> "Library":
        """With some of the examples; a cause without any is none."""
        left, of = np.unique(self.of[keep], return_inverse=True)
        return replace(
            self,
            causes=tuple(self.causes[each] for each in left.tolist()),
            of=of.astype(np.int64),
            age=self.age[keep],
            examples=self.examples[keep],
            told=self.told[keep],
            failed=self.failed[keep],
            episode=self.episode[keep],
        )

    def knows(self, sensors: Sequence[str]) -> bool:
        """Whether it has at least half of these sensors."""
        return 2 * len(set(sensors) & set(self.sensors)) >= len(sensors)

    def with_names(self, names: Mapping[str, str]) -> "Library":
        """The library with other names for those of its sensors that have one, but for a name that another has."""
        return replace(
            self,
            sensors=tuple(name if (new := names.get(name, name)) in self.sensors else new for name in self.sensors),
        )

    def with_sensors(self, sensors: Sequence[str]) -> "Library":
        """The library with these sensors as well; to the examples it has they were normal."""
        wider = tuple(dict.fromkeys((*self.sensors, *sensors)))
        return replace(self, sensors=wider, examples=self._of_sensors(wider))

    def _of_sensors(self, sensors: Sequence[str]) -> Floats:
        """(E, 2 S) the examples' features of other sensors; 0 of those that are not known."""
        known, whole = self.examples.reshape(-1, 2, len(self.sensors)), np.zeros((len(self.of), 2, len(sensors)))
        for at, name in enumerate(sensors):
            if name in self.sensors:
                whole[:, :, at] = known[:, :, self.sensors.index(name)]
        return whole.reshape(len(self.of), 2 * len(sensors))

    def with_told(self, other: "Library") -> "Library":
        """The library and all the user told another one (the one it replaces), with its sensors if there is any."""
        rows = np.flatnonzero(other.told)
        if not len(rows):
            return self
        wider, causes = self.with_sensors(other.sensors), list(self.causes)
        names = [other.causes[of] for of in other.of[rows].tolist()]
        causes += [name for name in dict.fromkeys(names) if name not in causes]
        return replace(
            wider,
            causes=tuple(causes),
            of=np.concatenate([self.of, np.array([causes.index(name) for name in names], dtype=np.int64)]),
            age=np.concatenate([self.age, other.age[rows]]),
            examples=np.concatenate([wider.examples, other._of_sensors(wider.sensors)[rows]]),
            told=np.concatenate([self.told, other.told[rows]]),
            failed=np.concatenate([self.failed, other.failed[rows]]),
            episode=np.concatenate([self.episode, other.episode[rows]]),
        )

    def matcher(self, sensors: Sequence[str]) -> "Matcher":
        """For features of these sensors; those that are not in both are left out.

        Raises:
            ValueError: no sensor is in both.
        """
        there = [(at, self.sensors.index(name)) for at, name in enumerate(sensors) if name in self.sensors]
        if not there:
            raise ValueError("none of the sensors is in the library of causes")
        mine = np.array([own for _, own in there])
        theirs = np.array([at for at, _ in there])
        examples = self.examples[:, np.concatenate([mine, mine + len(self.sensors)])]
        spaces = []
        for age in range(len(AGES)):
            chosen = _of_age(self.of, self.age, age, len(self.causes))
            spaces.append(_space(examples[chosen], self.of[chosen], len(self.causes)))
        return Matcher(
            causes=self.causes,
            of_process=frozenset(self.causes[of] for of in self.of[~self.failed].tolist()),
            columns=np.concatenate([theirs, theirs + len(sensors)]),
            spaces=tuple(spaces),
            calibration=self.calibration,
        )

    def dumps(self) -> bytes:
        """As JSON; the same library gives the same bytes."""
        examples = [
            {
                "cause": self.causes[of],
                "rows": AGES[age],
                "told": told,
                **({"failed": True} if failed else {}),
                **({"episode": episode} if episode else {}),
                "deviation": [float(value) for value in found[: len(self.sensors)]],
                "share": [float(value) for value in found[len(self.sensors) :]],
            }
            for of, age, told, failed, episode, found in zip(
                *(each.tolist() for each in (self.of, self.age, self.told, self.failed, self.episode)),
                self.examples,
                strict=True,
            )
        ]
        whole = {
            "format": FORMAT,
            "kind": "causes",
            "about": dict(self.about),
            "sensors": list(self.sensors),
            "causes": list(self.causes),
            "calibration": self.calibration.tolist(),
            "examples": examples,
        }
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def loads(cls, content: bytes) -> Self:
        """The library in the content of a file.

        Raises:
            ValueError: it is not one, or one of a newer lab; the text says what is wrong.
        """
        try:
            whole: dict[str, Any] = json.loads(content)
            if whole["format"] != FORMAT or whole["kind"] != "causes":
                raise ValueError(f"format {whole['format']}, kind {whole['kind']!r}; this lab reads format {FORMAT}")
            sensors = tuple(str(name) for name in whole["sensors"])
            causes = tuple(str(name) for name in whole["causes"])
            listed = whole["examples"]
            examples = np.array([[*one["deviation"], *one["share"]] for one in listed], dtype=np.float64)
            examples = examples.reshape(len(listed), 2 * len(sensors))
            of = np.array([causes.index(one["cause"]) for one in listed], dtype=np.int64)
            age = np.array([AGES.index(one["rows"]) for one in listed], dtype=np.int64)
            told = np.array([bool(one["told"]) for one in listed], dtype=np.bool_)
            failed = np.array([bool(one.get("failed")) for one in listed], dtype=np.bool_)
            episode = np.array([str(one.get("episode", "")) for one in listed], dtype=str)
            calibration = np.array(whole["calibration"], dtype=np.float64)
            about = dict(whole["about"])
        except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            raise ValueError(f"not a whole library of causes: {error}") from error
        numbers = np.isfinite(examples).all() and np.isfinite(calibration).all()
        if calibration.shape != (len(AGES), 3) or not numbers or (calibration[:, :2] <= 0).any():
            raise ValueError("not a whole library of causes: numbers out of range")
        if len(set(sensors)) != len(sensors) or len(set(causes)) != len(causes) or not sensors:
            raise ValueError("not a whole library of causes: names that repeat")
        return cls(sensors, causes, of, age, examples, told, failed, episode, calibration, about)


class _Space(NamedTuple):
    """Where the causes lie at one age: `K` of them with examples, `F` features."""

    which: NDArray[np.int64]
    """(K,) their positions."""
    means: Floats
    """(K, F)"""
    counts: Floats
    """(K,) examples."""
    root: Floats
    """(F, F) root of the inverse covariance."""

    def distances(self, found: Floats) -> tuple[Floats, Floats]:
        """Mean square distances (N, K) from features (N, F), and (N, K) what they say of the likelihood."""
        wide = (found @ self.root)[:, None] - (self.means @ self.root)[None]
        more = 1.0 + 1.0 / self.counts  # the mean of few examples is not known well
        square: Floats = np.square(wide).mean(axis=2) / more
        return square, -0.5 * (square + np.log(more)) * found.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class Matcher:
    """A library made ready for the sensors of one detector."""

    causes: tuple[str, ...]
    of_process: frozenset[str]
    """Those that are not only known of failed sensors."""
    columns: NDArray[np.int64]
    """Of the detector's features, those that the library knows."""
    spaces: tuple[_Space, ...]
    calibration: Floats

    def match(self, state: State) -> list[Match]:
        """What each asset's episode is like; nothing for an asset without one."""
        found = features(state)[:, self.columns]
        matches = []
        for one, rows in zip(found, state["rows"].tolist(), strict=True):
            if rows < 1 or not len(self.spaces[0].which):
                matches.append(Match([], 1.0))
                continue
            age = nearest_age(rows)
            space = self.spaces[age]
            square, weight = space.distances(one[None])
            unknown = _unknown(square.min(axis=1), self.calibration[age])[0]
            chance = (1.0 - unknown) * _softmax(weight * self.calibration[age, 0])[0]
            order = np.argsort(-chance, kind="stable")
            named = [(self.causes[space.which[k]], float(chance[k])) for k in order]
            matches.append(Match(named, float(unknown)))
        return matches


def learn(episodes: Sequence[Labelled], sensors: Sequence[str], about: Mapping[str, Any] | None = None) -> Library:
    """A library from labelled episodes, several of each cause, and how sure it may be from those left out.

    Args:
        episodes: in any order, of any length; of each the evidence at every age it reached is kept.
        sensors: names of their S columns.
        about: to be written in it.

    Raises:
        ValueError: no episode, or shapes that do not fit.
    """
    if not episodes:
        raise ValueError("no episode to learn causes from")
    causes = tuple(dict.fromkeys(episode.cause for episode in episodes))
    of, ages, rows, number = [], [], [], []
    for at, episode in enumerate(episodes):
        if episode.deviation.shape != (len(episode.deviation), len(sensors)):
            raise ValueError(f"an episode of shape {episode.deviation.shape}; want (rows, {len(sensors)} sensors)")
        state, done = initial(1, len(sensors)), 0
        for age, until in enumerate(AGES):
            if len(episode.deviation) < until:
                break
            piece = slice(done, until)
            on = np.ones((1, until - done), dtype=np.bool_)
            state = gather(state, episode.deviation[None, piece], episode.contributions[None, piece], on)
            done = until
            of.append(causes.index(episode.cause))
            ages.append(age)
            rows.append(np.round(features(state)[0], 4))
            number.append(at)
    bare = Library(
        tuple(sensors),
        causes,
        np.array(of, dtype=np.int64),
        np.array(ages, dtype=np.int64),
        np.array(rows),
        np.zeros(len(of), dtype=np.bool_),
        np.zeros(len(of), dtype=np.bool_),
        np.zeros(len(of), dtype=str),
        np.tile(np.array(DEFAULT), (len(AGES), 1)),
        dict(about or {}),
    )
    return replace(bare, calibration=np.round(_calibrate(bare, np.array(number)), 4))


def nearest_age(rows: int) -> int:
    """Position in `AGES` of the one nearest to an episode's rows, as their ratio goes."""
    return int(np.argmin(np.abs(np.log(np.array(AGES) / rows))))


def _of_age(of: NDArray[np.int64], age: NDArray[np.int64], wanted: int, causes: int) -> NDArray[np.intp]:
    """Examples at an age; of a cause whose episodes are never so old, the oldest; never so young, the youngest."""
    chosen = []
    for cause in range(causes):
        mine = np.flatnonzero(of == cause)
        if not len(mine):
            continue
        there = np.unique(age[mine])
        below = there[there <= wanted]
        chosen.append(mine[age[mine] == (below[-1] if len(below) else there[0])])
    return np.concatenate(chosen) if chosen else np.zeros(0, dtype=np.intp)


def _space(examples: Floats, of: NDArray[np.int64], causes: int) -> _Space:
    counts = np.bincount(of, minlength=causes)
    which = np.flatnonzero(counts)
    means = np.array([examples[of == cause].mean(axis=0) for cause in which]).reshape(len(which), examples.shape[1])
    inner = examples - means[np.searchsorted(which, of)]
    usual = np.repeat(np.square(USUAL), examples.shape[1] // 2)
    known = max(0, len(examples) - len(which))
    covariance = (inner.T @ inner + np.diag(WEIGHT * usual)) / (known + WEIGHT)
    variance = np.diag(covariance)
    covariance = (1.0 - DIAGONAL) * covariance + DIAGONAL * np.diag(variance)
    root = np.linalg.cholesky(np.linalg.inv(covariance))
    return _Space(which, means, counts[which].astype(np.float64), root)


def _calibrate(library: Library, number: NDArray[np.int64]) -> Floats:
    """(ages, 3) from episodes left out of their cause, and from causes left out whole."""
    table = library.calibration.copy()
    for age in range(len(AGES)):
        chosen = _of_age(library.of, library.age, age, len(library.causes))
        examples, of, episode = library.examples[chosen], library.of[chosen], number[chosen]
        known, strange, weights, truth = [], [], [], []
        # every fifth episode of each cause at a time
        order = np.argsort(of, kind="stable")
        place = np.empty(len(of), dtype=np.int64)
        place[order] = np.arange(len(of)) - np.searchsorted(of[order], of[order])
        seen = {e: place[np.flatnonzero(episode == e)[0]] % FOLDS for e in np.unique(episode).tolist()}
        fold = np.array([seen[e] for e in episode.tolist()])
        for left in range(FOLDS):
            inside, out = fold != left, fold == left
            if not out.any() or not inside.any():
                continue
            space = _space(examples[inside], of[inside], len(library.causes))
            square, weight = space.distances(examples[out])
            there = np.isin(of[out], space.which)
            known.append(square[there].min(axis=1))
            full = np.full((int(there.sum()), len(library.causes)), -np.inf)
            full[:, space.which] = weight[there]
            weights.append(full)
            truth.append(of[out][there])
        for cause in np.unique(of).tolist():
            inside = of != cause
            if not inside.any():
                continue
            space = _space(examples[inside], of[inside], len(library.causes))
            strange.append(space.distances(examples[~inside])[0].min(axis=1))
        if len(library.causes) < 3 or not known or min(map(len, (np.concatenate(known), np.concatenate(strange)))) < 5:
            continue
        table[age] = (
            _temperature(np.concatenate(weights), np.concatenate(truth)),
            *_boundary(np.concatenate(known), np.concatenate(strange)),
        )
    return table


def _temperature(weight: Floats, truth: NDArray[np.int64]) -> float:
    """The factor with which left-out episodes get the best logarithmic score."""
    tried = np.geomspace(0.005, 1.0, 24)
    losses = [-np.log(_softmax(weight * t)[np.arange(len(truth)), truth] + 1e-6).mean() for t in tried]
    return float(tried[int(np.argmin(losses))])


def _boundary(known: Floats, strange: Floats) -> tuple[float, float]:
    """Slope and middle of a logistic curve over log distance, known and strange weighing the same (Platt 1999)."""
    x = np.log(np.concatenate([known, strange]))
    y = np.concatenate([np.zeros(len(known)), np.ones(len(strange))])
    w = np.concatenate([np.full(len(known), 0.5 / len(known)), np.full(len(strange), 0.5 / len(strange))])
    slope, level = 2.0, -2.0 * float(np.average(x, weights=w))
    for _ in range(50):  # Newton, with a slight pull to a slope of 2 for sets that do not overlap
        p = 1.0 / (1.0 + np.exp(-np.clip(slope * x + level, -30.0, 30.0)))
        v = w * p * (1.0 - p) + 1e-9
        gradient = np.array([(w * (p - y) * x).sum() + 1e-3 * (slope - 2.0), (w * (p - y)).sum()])
        hessian = np.array([[(v * x * x).sum() + 1e-3, (v * x).sum()], [(v * x).sum(), v.sum()]])
        step = np.linalg.solve(hessian, gradient)
        slope, level = slope - float(np.clip(step[0], -2, 2)), level - float(np.clip(step[1], -4, 4))
    slope = max(slope, 0.5)
    return slope, -level / slope


def _unknown(square: Floats, calibration: Floats) -> Floats:
    _, slope, middle = calibration
    chance: Floats = 1.0 / (1.0 + np.exp(-np.clip(slope * (np.log(np.maximum(square, 1e-12)) - middle), -30.0, 30.0)))
    return chance


def _softmax(weight: Floats) -> Floats:
    odds = np.exp(weight - weight.max(axis=1, keepdims=True))
    total: Floats = odds / odds.sum(axis=1, keepdims=True)
    return total
