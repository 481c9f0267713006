"""Which names of causes are the same to a reader."""

import pytest

from lab.naming import alike, as_known, tidied


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A feed lost", " a  FEED\u3000lost "),
        ("ポンプ故障", "ﾎﾟﾝﾌﾟ故障"),
        ("弁A", "弁Ａ"),
        ("caf\u00e9", "cafe\u0301"),
        ("gasket", "gas\u200bket"),
        ("gasket", "gas\x00k\x07et"),
        ("ストレーナー詰まり", "ストレーナー\u3000詰まり"),
        ("弁 A 固着", "弁A固着"),
        ("ポンプ（A）", "ポンプ (A)"),
        ("pump 1", "pump1"),
    ],
)
def test_names_that_read_the_same_are_one(one: str, other: str) -> None:
    assert alike(one, "pump") == alike(other, "pump")
    assert as_known(other, ["else", one], "pump") == one


@pytest.mark.parametrize(
    ("one", "other"), [("弁A", "弁B"), ("ポンプ", "ホンプ"), ("pump 1", "pump 11"), ("ハンドル", "ばんどる")]
)
def test_names_that_read_otherwise_are_not(one: str, other: str) -> None:
    assert as_known(other, [one], "pump") == other


@pytest.mark.parametrize("written", ["IDV 6", "idv_6", "ＩＤＶ（6）", "IDV6", "idv-06", "IDV(6)"])
def test_a_fault_of_the_simulated_plant_has_one_name(written: str) -> None:
    assert as_known(written, ["IDV 6"], "tep") == "idv_6", "also where an older lab kept it as it was written"
    assert as_known(written, (), "pump") == tidied(written)


def test_what_cannot_be_seen_is_not_kept() -> None:
    assert tidied(" \x00弁\u200b\x1b\n\u3000A\x85 ") == "弁 A"
    assert tidied("\x00\u200b\u3000") == ""


def test_there_is_no_fault_without_an_entry() -> None:
    assert as_known("IDV 99", (), "tep") == "IDV 99"
