"""The library of causes: which made-up fault it was, what it does not know, what the user tells it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detector import Floats, State
from models.precursor.causes import AGES, Labelled, Library, features, gather, initial, learn, nearest_age, none

SENSORS = tuple("abcdefgh")
FAULTS = {"leak": (0, 1), "fouling": (2, 3), "stiction": (4, 5), "surge": (1, 6)}
"""Which two sensors move, one up and one down."""


def episode(fault: str, seed: int, rows: int = 80) -> Labelled:
    rng = np.random.default_rng([seed, *map(ord, fault)])
    deviation = rng.normal(size=(rows, len(SENSORS))) * 0.4
    up, down = FAULTS[fault]
    size = rng.uniform(4.0, 8.0) * np.minimum(1.0, np.arange(1, rows + 1) / 10.0)
    deviation[:, up] += size
    deviation[:, down] -= 0.7 * size
    return Labelled(fault, deviation, np.square(deviation))


def evidence(one: Labelled, rows: int, columns: Sequence[int] | None = None) -> State:
    at = list(range(len(SENSORS))) if columns is None else list(columns)
    on = np.ones((1, rows), dtype=np.bool_)
    return gather(initial(1, len(at)), one.deviation[None, :rows, at], one.contributions[None, :rows, at], on)


@pytest.fixture(scope="module")
def library() -> Library:
    return learn([episode(fault, seed) for fault in ("leak", "fouling", "stiction") for seed in range(6)], SENSORS)


@pytest.mark.parametrize("rows", [1, 3, 20, 80])
def test_it_names_the_cause_at_every_age(library: Library, rows: int) -> None:
    matcher = library.matcher(SENSORS)
    right = 0
    for seed in range(100, 110):
        for fault in library.causes:
            match = matcher.match(evidence(episode(fault, seed), rows))[0]
            assert sum(chance for _, chance in match.causes) + match.unknown == pytest.approx(1.0)
            assert [chance for _, chance in match.causes] == sorted((c for _, c in match.causes), reverse=True)
            right += match.causes[0][0] == fault
    assert right >= (20 if rows == 1 else 30)


def test_a_cause_it_never_saw_is_unknown_until_it_is_told(library: Library) -> None:
    matcher = library.matcher(SENSORS)
    strange = [matcher.match(evidence(episode("surge", seed), 60))[0] for seed in range(10)]
    assert all(match.cause is None for match in strange)
    told = library.with_example("surge", evidence(episode("surge", 50), 60))
    assert told.causes == ("leak", "fouling", "stiction", "surge")
    assert len(library.causes) == 3
    matches = [told.matcher(SENSORS).match(evidence(episode("surge", seed), 60))[0] for seed in range(10)]
    assert all(match.cause == "surge" for match in matches)
    others = [told.matcher(SENSORS).match(evidence(episode("leak", seed), 60))[0] for seed in range(200, 210)]
    assert all(match.cause == "leak" for match in others)


def test_a_library_of_one_example_is_usable() -> None:
    empty = learn([episode("leak", 1)], SENSORS)
    matcher = empty.matcher(SENSORS)
    assert matcher.match(evidence(episode("leak", 2), 60))[0].cause == "leak"
    assert matcher.match(evidence(episode("fouling", 2), 60))[0].cause is None


def test_the_last_word_on_an_episode_holds_at_every_age(library: Library) -> None:
    one, other = episode("surge", 50), episode("surge", 51)
    told = library
    for cause, failed, rows in (("surge", False, 5), ("surge", False, 6), ("gauge", True, 60)):
        told = Library.loads(told.with_example(cause, evidence(one, rows), failed, "tep-1-a").dumps())
    mine = np.flatnonzero(told.told)
    assert [told.causes[at] for at in told.of[mine].tolist()] == ["gauge", "gauge"], "one of each age"
    assert sorted(told.age[mine].tolist()) == sorted({nearest_age(6), nearest_age(60)})
    assert told.failed[mine].all()
    assert "gauge" not in told.matcher(SENSORS).of_process
    both = told.with_example("surge", evidence(other, 60), False, "tep-1-b")
    assert sorted(both.causes[at] for at in both.of[both.told].tolist()) == ["gauge", "gauge", "surge"]
    assert both.failed[both.told].tolist() == [True, True, False]


def test_what_was_told_can_be_taken_back_and_renamed(library: Library) -> None:
    told = library
    for cause, seed, id in (("surge", 50, "a"), ("surge", 51, "b"), ("leak", 52, "c"), ("gauge", 53, "")):
        told = told.with_example(cause, evidence(episode("surge", seed), 60), False, id)
    assert told.told_causes() == {"surge", "leak", "gauge"}
    assert told.words() == {"a": ("surge", False), "b": ("surge", False), "c": ("leak", False)}
    back = Library.loads(told.without_episode("a").dumps())
    assert back.words() == {"b": ("surge", False), "c": ("leak", False)}
    assert back.without_episode("b").causes == ("leak", "fouling", "stiction", "gauge"), "none is left of it"
    assert len(told.without_episode("").of) == len(told.of), "an episode that nobody knows is none"
    renamed = told.with_name("surge", "gauge")
    assert renamed.causes == ("leak", "fouling", "stiction", "gauge")
    assert renamed.told_causes() == {"leak", "gauge"}
    assert renamed.examples.tolist() == told.examples.tolist()
    assert told.with_name("leak", "hose").causes == (*told.causes, "hose"), "what was learnt keeps its name"
    assert told.without_cause("leak").causes == told.causes
    assert told.without_cause("leak").without_cause("surge").without_cause("gauge").dumps() == library.dumps()


def test_a_cause_without_an_example_matches_nothing() -> None:
    told = none(SENSORS).with_example("surge", evidence(episode("surge", 50), 60), False, "a")
    for bare in (told.without_episode("a"), replace(none(SENSORS), causes=("surge",))):
        assert bare.matcher(SENSORS).match(evidence(episode("surge", 2), 60))[0] == ([], 1.0)
    again = told.with_example("hose", evidence(episode("surge", 50), 60), False, "a")
    assert again.causes == ("hose",), "the last word holds"


def test_what_the_user_told_outlives_the_library() -> None:
    empty = none(SENSORS)
    assert empty.matcher(SENSORS).match(evidence(episode("leak", 2), 60))[0] == ([], 1.0)
    told = empty.with_example("surge", evidence(episode("surge", 50), 60))
    assert told.matcher(SENSORS).match(evidence(episode("surge", 2), 60))[0].cause == "surge"
    order = [7, 2, 0, 5, 1, 3, 4, 6]
    fresh = learn(
        [
            Labelled(one.cause, one.deviation[:, order], one.contributions[:, order])
            for one in (episode(fault, seed) for fault in ("leak", "fouling", "stiction") for seed in range(6))
        ],
        [SENSORS[at] for at in order],
        {"made": "anew"},
    )
    both = Library.loads(fresh.with_told(Library.loads(told.dumps())).dumps())
    assert both.causes == ("leak", "fouling", "stiction", "surge")
    assert both.told.sum() == 1
    assert both.about == {"made": "anew"}
    match = both.matcher(SENSORS).match(evidence(episode("surge", 2), 60))[0]
    assert match.cause == "surge"


def test_more_sensors_take_nothing_from_what_is_known(library: Library) -> None:
    one, extra = evidence(episode("surge", 50), 60), ("new", "newer")
    whole = {
        "rows": one["rows"],
        **{name: np.append(one[name], [[0.5, 0.0]], axis=1) for name in ("deviation", "share")},
    }
    wide = library.with_sensors([*extra, *SENSORS])
    assert wide.sensors == (*SENSORS, *extra)
    assert wide._of_sensors(SENSORS).tolist() == library.examples.tolist()
    assert wide.calibration.tolist() == library.calibration.tolist()
    state = evidence(episode("leak", 9), 60)
    assert wide.matcher(SENSORS).match(state) == library.matcher(SENSORS).match(state)
    told = wide.with_example("surge", whole)
    both = Library.loads(library.with_told(told).dumps())
    assert both.sensors == wide.sensors
    assert both.examples[-1].tolist() == told.examples[-1].tolist()
    assert both.matcher(wide.sensors).match(whole)[0].cause == "surge"
    assert library.with_told(library.with_sensors(extra)) is library
    assert library.knows(["x", *SENSORS[:1]])
    assert not library.knows(["x", "y", SENSORS[0]])


def test_permuted_missing_and_additional_columns(library: Library) -> None:
    one = episode("leak", 7)
    plain = library.matcher(SENSORS).match(evidence(one, 60))[0]
    order = [7, 2, 0, 5, 1, 3, 4, 6]
    other = library.matcher([SENSORS[at] for at in order]).match(evidence(one, 60, order))[0]
    assert dict(other.causes) == pytest.approx(dict(plain.causes))
    wide = ("new", *SENSORS[:-1])
    state = {
        "rows": np.array([60]),
        "deviation": np.concatenate([[[9.0]], evidence(one, 60)["deviation"][:, :-1]], axis=1),
        "share": np.concatenate([[[0.0]], evidence(one, 60)["share"][:, :-1]], axis=1),
    }
    assert library.matcher(wide).match(state)[0].causes[0][0] == "leak"
    with pytest.raises(ValueError, match="none of the sensors"):
        library.matcher(["x"])


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 120), max_size=8))
def test_blocks_of_any_size_give_the_same_evidence(cuts: list[int]) -> None:
    parts = [episode("leak", seed, 120) for seed in range(3)]
    deviation, shares = (np.stack([getattr(p, name) for p in parts]) for name in ("deviation", "contributions"))
    on: np.ndarray = np.random.default_rng(1).random((3, 120)) > 0.1
    whole = gather(initial(3, len(SENSORS)), deviation, shares, on)
    state = initial(3, len(SENSORS))
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), 120], strict=True):
        state = gather(state, deviation[:, first:last], shares[:, first:last], on[:, first:last])
    for name, array in whole.items():
        np.testing.assert_array_equal(state[name], array)
    alone = gather(initial(1, len(SENSORS)), deviation[1:2], shares[1:2], on[1:2])
    np.testing.assert_array_equal(alone["deviation"][0], whole["deviation"][1])


def test_evidence_begins_with_the_episode_and_missing_values_are_normal() -> None:
    one = episode("leak", 3)
    nothing: Floats = one.deviation[None] * np.nan
    on = np.ones((1, 80), dtype=np.bool_)
    assert np.isfinite(features(gather(initial(1, 8), nothing, nothing, on))).all()
    on[0, 40] = False
    state = gather(initial(1, 8), one.deviation[None], one.contributions[None], on)
    late = gather(initial(1, 8), one.deviation[None, 41:], one.contributions[None, 41:], on[:, 41:])
    np.testing.assert_array_equal(state["deviation"], late["deviation"])
    assert state["rows"].tolist() == [39]
    assert library_of(1).matcher(SENSORS).match(initial(1, 8))[0] == ([], 1.0)


def library_of(count: int) -> Library:
    return learn([episode("leak", seed) for seed in range(count)], SENSORS)


def test_ages() -> None:
    assert [AGES[nearest_age(rows)] for rows in (1, 2, 3, 5, 11, 100, 10_000)] == [1, 1, 5, 5, 20, 60, 200]


def test_saved_and_loaded_it_is_the_same(library: Library) -> None:
    content = library.dumps()
    again = Library.loads(content)
    assert again.dumps() == content
    state = evidence(episode("leak", 9), 20)
    assert again.matcher(SENSORS).match(state) == library.matcher(SENSORS).match(state)
    assert learn([episode(f, s) for f in ("leak", "fouling", "stiction") for s in range(6)], SENSORS).dumps() == content


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"format":1', b'"format":2'),
        (b'"kind":"causes"', b'"kind":"other"'),
        (b'"rows":5', b'"rows":6'),
        (b'"cause":"leak"', b'"cause":"lake"'),
        (b'"sensors":["a"', b'"sensors":["b"'),
        (b'"examples"', b'"samples"'),
        (b"{", b""),
        (b'"calibration":', b'"calibration":[1' + b"0" * 400 + b'],"before":'),
        (b"{", b'{"a":' + b"[" * 100_000),
    ],
)
def test_what_is_no_library_is_refused(library: Library, old: bytes, new: bytes) -> None:
    content = library.dumps()
    assert old in content
    with pytest.raises(ValueError, match=r"\w"):
        Library.loads(content.replace(old, new, 1))


def test_bad_arguments(library: Library) -> None:
    with pytest.raises(ValueError, match="no episode"):
        learn([], SENSORS)
    with pytest.raises(ValueError, match="8 sensors"):
        learn([Labelled("leak", np.zeros((5, 3)), np.zeros((5, 3)))], SENSORS)
    with pytest.raises(ValueError, match="name of a cause"):
        library.with_example(" ", evidence(episode("leak", 1), 5))
    with pytest.raises(ValueError, match="evidence of one episode"):
        library.with_example("leak", {**initial(1, 8), "rows": np.array([5])})
    with pytest.raises(ValueError, match="rows of shape"):
        gather(initial(2, 8), np.zeros((1, 3, 8)), np.zeros((1, 3, 8)), np.zeros((1, 3), dtype=np.bool_))
