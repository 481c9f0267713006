"""The catalogue: every text in both languages, with the same fields to fill in."""

import json
import re
import string
from pathlib import Path

import pytest

from lab import text as catalogue

FILES = sorted(Path(catalogue.__file__).parent.glob("*.json"))
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_both_languages_and_same_fields(file: Path) -> None:
    for key, entry in json.loads(file.read_text(encoding="utf-8")).items():
        assert set(entry) == {"en", "ja"}, key
        assert entry["en"].strip(), key
        assert entry["ja"].strip(), key
        assert fields(entry["en"]) == fields(entry["ja"]), key


def test_keys_are_unique() -> None:
    assert len(catalogue.catalogue()) == sum(len(json.loads(file.read_text(encoding="utf-8"))) for file in FILES)


def test_japanese_is_japanese() -> None:
    """A sentence left in English would show as one without a single Japanese character."""
    left = [
        key
        for key, entry in catalogue.catalogue().items()
        if " " in entry["en"].strip() and entry["en"] == entry["ja"] and not JAPANESE.search(entry["ja"])
    ]
    assert not left


def test_language_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue.language.cache_clear()
    monkeypatch.setenv("LAB_LANG", "ja_JP.UTF-8")
    assert catalogue.language() == "ja"
    catalogue.language.cache_clear()
    monkeypatch.setenv("LAB_LANG", "en")
    assert catalogue.text("cli.version") == catalogue.text("cli.version", "en")
    catalogue.language.cache_clear()
