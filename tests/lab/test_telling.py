"""What users tell about episodes, and what those to come say of their cause."""

import contextlib
import errno
import gc
import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from devices.frame import Asset, Channel
from lab.causes import read_library, write_libraries, write_library
from lab.episodes import Word, list_episodes
from lab.rewording import Change, Learn
from lab.scoring import ScoringRuntime
from lab.store import Store
from lab.tables import TableError
from lab.telling import Telling
from models.detector import save
from models.precursor import fit
from models.precursor.causes import Labelled, learn, nearest_age, none
from tests.lab.scoring_rig import CHANNELS, PUMP, SECOND, START, Rig, check_replay, leaking, only, seconds
from tests.models.plants import SENSORS, fitted, record


def library_of(rig: Rig, name: str = "pump.causes.json") -> None:
    """Leaks of the pressure and blocks of the flow, from the detector's own view of them."""
    detector, labelled = fitted("precursor"), []
    for seed in range(8):
        for cause, column, by in (("leak", 1, -12.0), ("block", 0, 15.0), ("wear", 5, 14.0)):
            x = record(250, 50 + seed)
            x[100:, column] += by
            _, result = detector.score(detector.initial(1), x[None])
            first = int(result.alarm[0].argmax())
            labelled.append(Labelled(cause, result.deviation[0, first:].astype(float), result.contributions[0, first:]))
    write_library(rig.models / name, learn(labelled, SENSORS))
    rig.runtime.files.look()


def test_an_episode_names_its_cause_and_a_replay_the_same(rig: Rig) -> None:
    library_of(rig)
    number = rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(130), leaking()[:130])
    told = rig.runtime.describe(number)
    assert told["cause"] == "leak"
    assert told["causes"][0][0] == "leak"
    rig.stop()
    rig.open()
    rig.feed("pump-1", seconds(170, 130), leaking()[130:])
    episode = only(rig)
    assert episode.cause == "leak"
    assert episode.causes[0][0] == "leak"
    check_replay(rig, "pump-1")
    (rig.models / "pump.causes.json").unlink()  # what it was compared with is in the database
    rig.runtime.files.look()
    check_replay(rig, "pump-1")


def test_what_the_user_told_explains_the_next_one(rig: Rig) -> None:
    number = rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(300), leaking())
    first = only(rig)
    assert (first.cause, first.unknown, first.library) == (None, None, None)
    assert rig.telling.label(first.id, "strainer blocked") == ("pump.causes.json", "strainer blocked")
    assert rig.runtime.waiting
    assert only(rig).label == "strainer blocked"
    rig.telling.label(first.id, "gasket")  # the last word holds
    library = read_library(rig.models / "pump.causes.json")
    assert [library.causes[at] for at in library.of] == ["gasket"]
    assert library.episode.tolist() == [first.id]
    rig.feed("pump-1", seconds(130, 300), leaking(300, 6)[:130])
    assert rig.runtime.describe(number)["causes"][0][0] == "gasket"
    rig.feed("pump-1", seconds(170, 430), leaking(300, 6)[130:])
    rig.commit()
    second = list_episodes(rig.store)[0]
    assert second.causes[0][0] == "gasket"
    assert only_label(rig, first.id) == "gasket"
    with pytest.raises(KeyError):
        rig.telling.label("pump-1-0", "nothing")
    with pytest.raises(ValueError, match="no name"):
        rig.telling.label(first.id, " ")


def test_a_cause_named_anew_stays_where_it_was_told_to_be(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(300), leaking())
    first, path = only(rig), rig.models / "pump.causes.json"
    assert first.kind == "process"
    rig.telling.label(first.id, "level gauge stick", "instrument")
    rig.telling.label(first.id, "level gauge sticks")
    assert read_library(path).failed.tolist() == [True]
    assert only(rig).label_kind == "instrument"
    rig.telling.label(first.id, "level gauge stuck")
    assert read_library(path).failed.tolist() == [True]
    rig.telling.label(first.id, "gasket", "process")
    assert read_library(path).failed.tolist() == [False]
    assert only(rig).label_kind == "process"


def two_leaks(rig: Rig) -> list[str]:
    """The ids of two ended episodes, the first one first."""
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(300), leaking())
    rig.feed("pump-1", seconds(300, 300), leaking(300, 6))
    rig.commit()
    return [episode.id for episode in list_episodes(rig.store)][::-1]


def test_a_name_in_another_case_or_width_is_no_other_cause(rig: Rig) -> None:
    first, second = two_leaks(rig)
    path = rig.models / "pump.causes.json"
    rig.telling.label(first, "ポンプ A 詰まり")
    for written in ("ﾎﾟﾝﾌﾟ Ａ 詰まり", " ポンプ　a  詰まり ", "ポンプ\u200b A 詰まり", "ポンプA詰まり"):
        assert rig.telling.label(second, written)[1] == "ポンプ A 詰まり"
    assert read_library(path).causes == ("ポンプ A 詰まり",)
    assert rig.telling.label(second, "ポンプ B 詰まり")[1] == "ポンプ B 詰まり"
    assert rig.telling.label(second, "ポンプ b 詰まり")[1] == "ポンプ b 詰まり", "one's own spelling can be corrected"
    assert read_library(path).causes == ("ポンプ A 詰まり", "ポンプ b 詰まり")
    assert rig.telling.label(second, "IDV 6")[1] == "IDV 6", "a pump has no faults with numbers"


def test_what_was_told_by_mistake_is_taken_back(rig: Rig) -> None:
    first, second = two_leaks(rig)
    path, number = rig.models / "pump.causes.json", rig.numbers["pump-1"]
    rig.telling.label(first, "gasket")
    rig.telling.label(second, "strainer blocked", "instrument")
    assert rig.telling.take_back(second) == "strainer blocked", "before it is written"
    assert rig.runtime.waiting
    rig.commit()
    assert (only_label(rig, first), only_label(rig, second)) == ("gasket", None)
    assert next(each.label_kind for each in list_episodes(rig.store) if each.id == second) is None
    assert read_library(path).causes == ("gasket",)
    assert rig.telling.take_back(second) is None, "nothing is told of it"
    assert rig.telling.take_back(first) == "gasket"
    assert read_library(path).causes == ()
    rig.feed("pump-1", seconds(130, 600), leaking(300, 7)[:130])
    assert rig.runtime.describe(number)["causes"] == []
    rig.stop()
    rig.open()
    assert only_label(rig, first) is None
    with pytest.raises(KeyError):
        rig.telling.take_back("pump-1-0")


def test_a_cause_is_renamed_and_deleted_wherever_it_was_told(rig: Rig) -> None:
    library_of(rig)
    first, second = two_leaks(rig)
    path = rig.models / "pump.causes.json"
    rig.telling.label(first, "strainer bloked")
    rig.telling.label(second, "gasket", "instrument")
    assert rig.telling.rename("pump-1", "Strainer BLOKED", " strainer  blocked") == ("strainer blocked", 1)
    assert rig.telling.rename("pump-1", "strainer blocked", "Strainer blocked") == ("Strainer blocked", 1)
    assert only_label(rig, first) is None, "not written yet"
    rig.commit()
    assert only_label(rig, first) == "Strainer blocked"
    assert read_library(path).told_causes() == {"Strainer blocked", "gasket"}
    assert rig.telling.rename("pump-1", "gasket", "strainer blocked") == ("Strainer blocked", 1), "the two are one"
    assert rig.telling.rename("pump-1", "strainer blocked", "LEAK") == ("leak", 2), "as is one that was learnt"
    rig.commit()
    assert [only_label(rig, id) for id in (first, second)] == ["leak", "leak"]
    assert next(each.label_kind for each in list_episodes(rig.store) if each.id == second) == "instrument"
    assert read_library(path).causes == ("leak", "block", "wear")
    learnt = len(read_library(path).of) - 2
    assert rig.telling.rename("pump-1", "leak", None) == (None, 2)
    rig.commit()
    assert [only_label(rig, id) for id in (first, second)] == [None, None]
    assert read_library(path).causes == ("leak", "block", "wear"), "what was learnt stays"
    assert len(read_library(path).of) == learnt
    for asset, cause in (("pump-1", "leak"), ("nobody", "gasket")):
        with pytest.raises(KeyError):
            rig.telling.rename(asset, cause, "x")
    with pytest.raises(ValueError, match="no name"):
        rig.telling.rename("pump-1", "gasket", "\u3000")


def test_a_word_the_collector_died_of_is_noted_at_the_next_start(rig: Rig) -> None:
    first, second = two_leaks(rig)
    rig.telling.label(first, "gasket")
    rig.commit()
    rig.telling.label(first, "strainer blocked", "instrument")
    rig.telling.label(second, "leak")
    rig.crash()
    rig.open()
    assert [only_label(rig, id) for id in (first, second)] == ["strainer blocked", "leak"]
    kinds = {each.id: each.label_kind for each in list_episodes(rig.store)}
    assert kinds == {first: "instrument", second: "process"}
    rig.telling.label(second, "leak", "instrument")
    rig.crash()
    rig.open()
    assert {each.label_kind for each in list_episodes(rig.store)} == {"instrument"}, "also where only that was new"


class Killed(BaseException):
    """The process is no more: nobody mends anything."""


def killed_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Have the process die at a step: before and after each file is replaced, each commit begun, filled and made."""
    steps = itertools.count(1)
    replace, transaction = Path.replace, Store.transaction

    def reached() -> None:
        if next(steps) == step:
            raise Killed

    def replaced(path: Path, target: Path) -> Path:
        reached()
        path = replace(path, target)
        reached()
        return path

    @contextlib.contextmanager
    def committed(store: Store) -> Iterator[sqlite3.Connection]:
        reached()
        with transaction(store) as db:
            yield db
            reached()
        reached()

    patch.setattr(Path, "replace", replaced)
    patch.setattr(Store, "transaction", committed)


WORDS: list[Callable[[Telling, str, str], object]] = [
    lambda telling, first, second: telling.label(first, "strainer blocked", "instrument"),
    lambda telling, first, second: telling.label(second, "strainer blocked"),
    lambda telling, first, second: telling.take_back(first),
    lambda telling, first, second: telling.rename("pump-1", "gasket", "seal"),
    lambda telling, first, second: telling.rename("pump-1", "gasket", "leak"),
    lambda telling, first, second: telling.rename("pump-1", "gasket", None),
    lambda telling, first, second: (telling.label(second, "seal"), telling.rename("pump-1", "seal", "gasket")),
    lambda telling, first, second: (telling.label(second, "seal"), telling.take_back(second), telling.take_back(first)),
]


@pytest.mark.parametrize("word", range(len(WORDS)))
def test_a_word_is_told_or_it_is_not_whenever_the_collector_dies(
    rig: Rig, word: int, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In two libraries and in the database, or in none of them."""
    library_of(rig)
    first, second = two_leaks(rig)
    rig.telling.label(first, "gasket")
    own = rig.models / "asset-pump-1.causes.json"
    write_library(own, read_library(rig.models / "pump.causes.json"))
    rig.stop()
    begun = tmp_path_factory.mktemp("begun") / "lab"
    shutil.copytree(rig.folder, begun)

    def told() -> list[object]:
        labels = {each.id: (each.label, each.label_kind) for each in list_episodes(rig.store) if each.label}
        libraries = [read_library(path).words() for path in (own, rig.models / "pump.causes.json")]
        spoken = {id: (cause, "instrument" if failed else "process") for id, (cause, failed) in libraries[0].items()}
        assert spoken == labels, "what is told of episodes to come is what the user sees"
        assert libraries[1].items() <= libraries[0].items()
        return [labels, *libraries]

    before, seen = None, list[list[object]]()
    for step in itertools.count():
        shutil.rmtree(rig.folder)
        shutil.copytree(begun, rig.folder)
        rig.open()
        before = before or told()
        with monkeypatch.context() as patch:
            killed_at(patch, step)
            try:
                WORDS[word](rig.telling, first, second)
                rig.commit()
                through = step > 0
            except Killed:
                through = False
        rig.crash()
        rig.open()
        seen.append(told())
        assert rig.store.db.execute("SELECT count(*) FROM telling").fetchone() == (0,)
        rig.crash()
        if through:
            break
    assert step > 8
    assert seen[0] == seen[-1] != before, "nobody died"
    at = [each != before for each in seen[1:]]
    assert at[0] is False
    if word < 6:
        assert all(each in (before, seen[-1]) for each in seen)
        assert at == sorted(at), "and once it is told it stays so"
    rig.open()


def test_a_word_on_an_episode_that_was_never_written_is_not_told(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(60), leaking()[:60])
    rig.commit()
    kept = {name: dict(series) for name, series in rig.memory.readings.items()}
    rig.feed("pump-1", seconds(240, 60), leaking()[60:])
    (id,) = rig.runtime.pending.news.episodes
    rig.telling.label(id, "gasket")
    rig.crash()
    rig.memory.readings = kept
    rig.open()
    rig.scores.clear()
    rig.feed("pump-1", seconds(240, 60), leaking()[60:])  # its gateway sends again what was not acknowledged
    assert (only(rig).id, only(rig).label) == (id, None)
    assert read_library(rig.models / "pump.causes.json").words() == {}


def test_what_cannot_be_noted_at_the_start_is_noted_before_the_next_word(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = two_leaks(rig)
    rig.declare(Asset("pump-2", "pump"), CHANNELS)
    rig.feed("pump-2", seconds(300), leaking(300, 7))
    third = only(rig, "pump-2").id
    path, own = rig.models / "pump.causes.json", rig.models / "asset-pump-1.causes.json"
    rig.telling.label(first, "gasket")
    write_library(own, read_library(path))
    rig.commit()
    whole = own.read_bytes()
    rig.telling.rename("pump-1", "gasket", "seal")
    rig.telling.label(third, "gasket")
    rig.crash()
    own.write_bytes(b"{")  # spoiled by hand meanwhile
    rig.open()
    assert "cannot be noted yet" in caplog.text
    assert [only_label(rig, id) for id in (first, third)] == ["gasket", None]
    with pytest.raises(ValueError, match=r"asset-pump-1\.causes\.json"):
        rig.telling.label(second, "strainer blocked")
    with pytest.raises(ValueError, match=r"told before"):  # its library can be read, but the renaming comes first
        rig.telling.take_back(third)
    own.write_bytes(whole)
    rig.telling.label(second, "strainer blocked")
    rig.telling.take_back(second)
    rig.commit()
    assert [only_label(rig, id) for id in (first, second, third)] == ["seal", None, "gasket"]
    assert {id: cause for id, (cause, _) in read_library(path).words().items()} == {first: "seal", third: "gasket"}
    assert {id: cause for id, (cause, _) in read_library(own).words().items()} == {first: "seal"}


def test_what_was_noted_and_can_never_be_made_keeps_nobody_from_telling(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = two_leaks(rig)
    rig.stop()
    bare = Change({first: Word("seal", "process")}, {"pump.causes.json": Learn(first, "seal", False, SENSORS, b"")})
    with contextlib.closing(sqlite3.connect(rig.folder / "lab.db")) as db, db:
        contents = [(b"of a newer lab",), (msgspec.json.encode(bare),)]
        db.executemany("INSERT INTO telling (change) VALUES (?)", contents)
    rig.open()
    assert caplog.text.count("is left out") == 2
    assert rig.store.db.execute("SELECT * FROM telling").fetchall() == []
    rig.telling.label(first, "gasket")
    assert only_label(rig, first) is None
    rig.commit()
    assert only_label(rig, first) == "gasket"


def test_libraries_are_on_the_disk_before_the_word_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed, replaced, flush, replace = list[int](), list[str](), os.fsync, Path.replace

    def flushing(handle: int) -> None:
        flushed.append(os.fstat(handle).st_ino)
        flush(handle)

    def replacing(path: Path, target: Path) -> Path:
        assert path.stat().st_ino in flushed
        replaced.append(target.name)
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", flushing)
    monkeypatch.setattr(Path, "replace", replacing)
    write_libraries(tmp_path, {f"{name}.causes.json": none(SENSORS) for name in "ab"})
    assert replaced == ["a.causes.json", "b.causes.json"]
    assert len(flushed) == 2 or flushed[2:] == [tmp_path.stat().st_ino]


def test_what_was_taken_back_stays_so_where_a_library_of_before_says_it_still(rig: Rig) -> None:
    first, _ = two_leaks(rig)
    path = rig.models / "pump.causes.json"
    rig.telling.label(first, "gasket")
    rig.commit()
    before = path.read_bytes()
    rig.telling.take_back(first)
    rig.stop()
    path.write_bytes(before)  # from a copy
    rig.open()
    assert only_label(rig, first) is None


@pytest.mark.parametrize(
    ("kind", "name"),
    [("../pump", "%2E.%2Fpump"), ("a\\b\0", "a%5Cb%00"), ("ポンプ 1", "ポンプ 1"), ("/etc/x", "%2Fetc%2Fx")],
)
def test_a_kind_leads_to_no_other_folder(tmp_path: Path, kind: str, name: str) -> None:
    save(fitted("precursor"), tmp_path / "models" / f"{name}.model")
    rig = Rig(tmp_path)
    rig.declare(Asset("pump-1", kind), CHANNELS)
    rig.feed("pump-1", seconds(300), leaking())
    assert rig.telling.label(only(rig).id, "gasket") == (f"{name}.causes.json", "gasket")
    assert {each.name for each in rig.models.glob("*.causes.json")} == {f"{name}.causes.json"}
    assert {each.name for each in rig.folder.iterdir() if not each.name.startswith("lab.db")} == {"models"}
    rig.crash()


def test_a_word_makes_the_folder_of_models(rig: Rig) -> None:
    """A model that is made rather than fitted has no file, and needs no folder."""
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(300), leaking())
    first = only(rig).id
    shutil.rmtree(rig.models)
    rig.telling.label(first, "gasket")
    assert set(read_library(rig.models / "pump.causes.json").words()) == {first}


def test_an_asset_that_has_gone_keeps_what_its_episodes_are_called_by_now(rig: Rig) -> None:
    first, _ = two_leaks(rig)
    rig.telling.label(first, "gasket")
    (rig.models / "pump.causes.json").rename(rig.models / "asset-pump-1.causes.json")
    rig.stop()
    rig.assets = {"pump-2": (Asset("pump-2", "pump"), CHANNELS)}
    rig.open()
    rig.declare(*rig.assets["pump-2"])
    assert rig.telling.rename("pump-2", "gasket", "seal") == ("seal", 1)
    assert read_library(rig.models / "asset-pump-1.causes.json").causes == ("seal",)
    rig.stop()
    rig.open()
    assert only_label(rig, first) == "seal"


def test_words_are_told_while_one_of_an_asset_that_has_gone_is_being_noted(rig: Rig) -> None:
    first, _ = two_leaks(rig)
    rig.telling.label(first, "gasket")
    rig.crash()
    rig.store = Store(rig.folder / "lab.db", synchronous="OFF")
    rig.runtime = ScoringRuntime(rig.models, rig.store)
    rig.declare(Asset("pump-2", "pump"), CHANNELS)
    rig.runtime.catch_up(rig.memory)
    assert rig.telling.rename("pump-2", "gasket", "seal") == ("seal", 1)
    rig.commit()
    assert only_label(rig, first) == "seal"


def test_the_last_word_holds_in_every_library_of_an_asset(rig: Rig) -> None:
    first, second = two_leaks(rig)
    shared, own = rig.models / "pump.causes.json", rig.models / "asset-pump-1.causes.json"
    rig.telling.label(first, "gasket")
    rig.telling.label(second, "gasket")
    write_library(own, none(SENSORS))
    assert rig.telling.label(first, "strainer blocked")[0] == own.name
    assert set(read_library(shared).words()) == {second}, "other pumps are compared with this one"
    own.unlink()
    rig.stop()
    rig.open()
    assert only_label(rig, first) == "strainer blocked"
    write_library(own, none(SENSORS))
    shared.write_bytes(b"{")  # not in use: it does not keep anybody from telling
    assert rig.telling.label(second, "seal")[0] == own.name


def test_what_is_told_of_an_open_episode_is_as_old_as_it_is(rig: Rig) -> None:
    number = rig.declare(PUMP, CHANNELS)
    x = record(280, 5)
    x[100:, 1] -= 12.0
    for row, each in enumerate(x):  # twenty a second: not all of them are written
        rig.feed("pump-1", [START + row * SECOND // 20], each[None])
    tracker = rig.runtime.scorer.tracker(number)
    assert tracker is not None
    rig.telling.label(tracker.id, "leak")  # nor is the model, before the first commit
    assert read_library(rig.models / "pump.causes.json").age.tolist() == [nearest_age(tracker.rows)]
    assert only(rig).label == "leak"


def test_what_is_told_while_the_plants_faults_are_learnt_is_kept(rig: Rig) -> None:
    """Two write the library: neither may lose what the other has written since it last looked."""
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(300), leaking())
    path, first = rig.models / "pump.causes.json", only(rig)
    one = Labelled("idv_1", np.ones((80, len(SENSORS))), np.ones((80, len(SENSORS))))
    write_library(path, learn([one], SENSORS))  # since the last look
    rig.telling.label(first.id, "gasket")
    assert read_library(path).causes == ("idv_1", "gasket")


def only_label(rig: Rig, id: str) -> str | None:
    return next(episode.label for episode in list_episodes(rig.store) if episode.id == id)


def test_a_broken_library_leaves_the_old_one_in_use(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    library_of(rig)
    number = rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(20), record(20, 1))
    rig.runtime.files.library(PUMP, SENSORS)
    (rig.models / "pump.causes.json").write_bytes(b"{}")
    rig.runtime.files.look()
    rig.feed("pump-1", seconds(130, 20), leaking()[:130])
    assert "pump.causes.json" in caplog.text
    assert rig.runtime.describe(number)["cause"] == "leak"


def test_a_word_for_a_library_that_cannot_be_read_is_refused(rig: Rig) -> None:
    rig.declare(PUMP, CHANNELS)
    rig.feed("pump-1", seconds(300), leaking())
    first = only(rig)
    shared, own = rig.models / "pump.causes.json", rig.models / "asset-pump-1.causes.json"
    rig.telling.label(first.id, "gasket")
    whole, spoiled = shared.read_bytes(), shared.read_bytes()[:-1]  # a hand edit lost the last brace
    shared.write_bytes(spoiled)
    with pytest.raises(ValueError, match=r"pump\.causes\.json"):
        rig.telling.label(first.id, "strainer blocked")
    assert shared.read_bytes() == spoiled
    assert only(rig).label == "gasket"
    shared.write_bytes(whole)
    own.write_bytes(spoiled)
    with pytest.raises(ValueError, match=r"asset-pump-1\.causes\.json"):
        rig.telling.label(first.id, "strainer blocked")
    assert (shared.read_bytes(), own.read_bytes()) == (whole, spoiled)


def test_assets_declared_later_share_a_library_as_long_as_an_episode_has_it(rig: Rig) -> None:
    library_of(rig)
    pumps = [PUMP, Asset("pump-2", "pump")]
    for pump in pumps:
        rig.declare(pump, CHANNELS)
        rig.feed(pump.id, seconds(130), leaking()[:130])
    rig.stop()
    rig.assets = {}
    rig.open()
    for pump in pumps:
        rig.declare(pump, CHANNELS)
    trackers = [rig.runtime.scorer.tracker(number) for number in rig.numbers.values()]
    assert trackers[0] is not None
    assert trackers[1] is not None
    assert trackers[0]._matcher is trackers[1]._matcher is not None
    del trackers
    assert len(rig.runtime._restored) == 1
    for pump in pumps:
        rig.feed(pump.id, seconds(170, 130), leaking()[130:])
        assert only(rig, pump.id).end is not None
    gc.collect()
    assert not rig.runtime._restored


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """These files cannot be replaced."""
    replace = Path.replace

    def replaced(path: Path, target: Path) -> Path:
        if target.name in names:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replaced)


def test_what_is_refused_changes_no_library(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = two_leaks(rig)
    shared, own = rig.models / "pump.causes.json", rig.models / "asset-pump-1.causes.json"
    rig.telling.label(first, "gasket")
    rig.telling.label(second, "seal")
    write_library(own, read_library(shared))
    rig.commit()
    files = {each: each.read_bytes() for each in (shared, own)}
    for hindered in files:
        with monkeypatch.context() as patch:
            refuse(patch, hindered.name)
            for refused in (
                lambda: rig.telling.label(first, "strainer blocked"),
                lambda: rig.telling.take_back(first),
                lambda: rig.telling.rename("pump-1", "gasket", "seal"),
                lambda: rig.telling.rename("pump-1", "gasket", None),
            ):
                with pytest.raises(ValueError, match="No space left"):
                    refused()
                assert {each: each.read_bytes() for each in files} == files
                assert not rig.runtime.waiting
    assert sorted(each.name for each in rig.models.glob("*.tmp")) == []
    rig.stop()
    rig.open()
    assert [only_label(rig, id) for id in (first, second)] == ["gasket", "seal"]


def test_a_library_that_was_not_there_is_not_there_when_the_word_is_refused(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_libraries(rig.models, {"a.causes.json": none(SENSORS)})
    refuse(monkeypatch, "c.causes.json")
    with pytest.raises(TableError, match=r"c\.causes\.json"):
        write_libraries(rig.models, {f"{name}.causes.json": none(SENSORS) for name in "bca"})
    assert sorted(each.name for each in rig.models.iterdir()) == ["a.causes.json", "pump.model"]


def test_a_word_on_a_plant_of_other_sensors_is_kept_in_a_library_of_its_own(tmp_path: Path) -> None:
    others = [f"other_{tag}" for tag in SENSORS]
    save(fitted("precursor"), tmp_path / "models" / "asset-a.model")
    save(fit(record(600, 1), others, 1.0), tmp_path / "models" / "asset-b.model")
    rig = Rig(tmp_path)
    rig.declare(Asset("a", "csv"), CHANNELS)
    rig.declare(Asset("b", "csv"), [Channel(tag) for tag in others])
    for asset, cause, library in (("a", "gasket", "csv.causes.json"), ("b", "strainer", "asset-b.causes.json")):
        rig.feed(asset, seconds(300), leaking())
        assert rig.telling.label(only(rig, asset).id, cause) == (library, cause)
        assert read_library(rig.models / library).causes == (cause,)
    for asset, cause in (("a", "gasket"), ("b", "strainer")):
        rig.feed(asset, seconds(130, 300), leaking(300, 6)[:130])
        assert rig.runtime.describe(rig.numbers[asset])["causes"][0][0] == cause
    (rig.models / "asset-b.causes.json").unlink()
    rig.runtime.files.look()
    rig.feed("b", seconds(300, 430), leaking(300, 7))
    rig.commit()
    assert list_episodes(rig.store, "b")[0].library is None, "that of other sensors is passed over"
    rig.crash()


def test_a_library_learns_the_sensors_that_it_lacks(rig: Rig) -> None:
    path = rig.models / "pump.causes.json"
    write_library(path, learn([Labelled("idv_1", np.ones((80, 3)), np.ones((80, 3)))], SENSORS[:3]))
    rig.declare(PUMP, CHANNELS)
    x = record(300, 5)
    x[100:160, 5] += 25.0  # none of the three
    rig.feed("pump-1", seconds(300), x)
    rig.telling.label(only(rig).id, "motor worn")
    library = read_library(path)
    assert library.sensors == SENSORS
    assert library.causes == ("idv_1", "motor worn")
    assert library.examples[-1, 5] > 1.0
    assert library.examples[-1, 11] > 0.5
