"""What is known of gateways, across restarts."""

from pathlib import Path

import pytest

from devices.frame import Asset, Birth, Channel, State, schema_hash
from lab import catalogue as module
from lab.catalogue import BY_HAND, QUIET_NS, Catalogue, Refused, asset_channels, birth_by_hand
from lab.store import Store

NOW = 10**18


def birth(
    gateway: str = "g", b: int = 1, assets: tuple[str, ...] = ("x",), tags: tuple[str, ...] = ("a", "b")
) -> Birth:
    channels = [Channel(tag, asset=assets[at % len(assets)]) for at, tag in enumerate(tags)]
    return Birth(gateway, b, schema_hash(channels), [Asset(asset, "k") for asset in assets], channels)


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "lab.db") as store:
        yield store


def saved(catalogue: Catalogue, store: Store) -> Catalogue:
    """What the next process reads."""
    with store.transaction() as db:
        catalogue.save(db)
    catalogue.committed()
    assert not catalogue.waiting
    return Catalogue(store)


def test_it_comes_back_as_it_was(store: Store) -> None:
    catalogue = Catalogue(store)
    catalogue.register("p/q/r/s", birth(), NOW)
    catalogue.touch("g", "p/q/r/s", NOW + 5, -1.5)
    assert catalogue.set_state("g", State("offline", 1), NOW + 6)
    again = saved(catalogue, store)
    known = again.gateways["g"]
    assert (known.path, known.boot, known.state, known.seen, known.skew_ms) == ("p/q/r/s", 1, "offline", NOW + 6, -1.5)
    assert known.birth == birth()
    assert again.owners == {"x": "g"}
    assert again.births["g"] == {birth().h: birth()}


def test_channel_lists_of_the_past_are_remembered(store: Store) -> None:
    catalogue = Catalogue(store)
    for boot, tags in enumerate((("a",), ("a", "b"), ("c",)), start=1):
        catalogue.register("p/q/r/s", birth(b=boot, tags=tags), NOW)
    again = saved(catalogue, store)
    assert len(again.births["g"]) == 3
    assert [row[0] for row in store.db.execute("SELECT tag FROM sensor")] == ["c"]


def test_a_gateway_cannot_have_ever_new_tags(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TAGS_EVER", 5)
    catalogue = Catalogue(store)
    for boot in range(1, 4):
        one = birth(b=boot, tags=("a", f"x{boot}"))
        catalogue.check("p/q/r/s", "g", one, NOW)
        catalogue.register("p/q/r/s", one, NOW)
    with pytest.raises(Refused) as refused:
        catalogue.check("p/q/r/s", "g", birth(b=9, tags=("a", "x9", "x10")), NOW)
    assert refused.value.reason == "too_many_tags"
    catalogue.check("p/q/r/s", "g", birth(b=9, tags=("a", "x2")), NOW)


def test_an_asset_goes_over_when_its_gateway_is_offline(store: Store) -> None:
    catalogue = Catalogue(store)
    catalogue.register("p/q/r/s", birth(), NOW)
    with pytest.raises(Refused) as refused:
        catalogue.check("p/q/r/s", "h", birth("h"), NOW)
    assert refused.value.reason == "asset_taken"
    catalogue.set_state("g", State("offline", 1), NOW)
    catalogue.check("p/q/r/s", "h", birth("h"), NOW)
    assert catalogue.register("p/q/r/s", birth("h"), NOW) == {"g"}
    assert saved(catalogue, store).owners == {"x": "h"}


def test_a_gateway_by_hand_lets_go_of_its_names_when_it_is_quiet(store: Store) -> None:
    catalogue = Catalogue(store)
    hand = birth_by_hand("x", 0, ["a"])
    assert hand.version == BY_HAND
    catalogue.register("p/q/r/s", hand, NOW)
    other = birth("h", assets=("x",))
    with pytest.raises(Refused):
        catalogue.check("p/q/r/s", "h", other, NOW + QUIET_NS)
    catalogue.check("p/q/r/s", "h", other, NOW + QUIET_NS + 1)


def test_the_channels_of_each_asset_in_order() -> None:
    split = asset_channels(birth(assets=("x", "y", "z"), tags=("a", "b", "c", "d")))
    assert [(asset.id, columns) for asset, columns in split] == [("x", [0, 3]), ("y", [1]), ("z", [2])]
    first = Birth("g", 1, "", [Asset("x", "k"), Asset("y", "k")], [Channel("a"), Channel("b")])
    assert [(asset.id, columns) for asset, columns in asset_channels(first)] == [("x", [0, 1])]


def test_a_failed_commit_is_written_the_next_time(store: Store) -> None:
    catalogue = Catalogue(store)
    catalogue.register("p/q/r/s", birth(), NOW)

    def crash() -> None:
        with store.transaction() as db:
            catalogue.save(db)
            raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError):
        crash()
    assert catalogue.waiting
    assert saved(catalogue, store).owners == {"x": "g"}
