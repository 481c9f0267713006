"""The catalogue of everything a user reads, Japanese beside English: `*.json` in this folder.

Each file is one object of `"key": {"en": "…", "ja": "…"}`; keys start with the area they belong to (`cli.`, `page.`,
`error.`, `tag.tep.`). `{name}` in a text is filled in by `text(key, lang, name=…)`.
"""

import json
import locale
import os
from functools import cache
from pathlib import Path
from typing import Final

LANGUAGES: Final = ("en", "ja")


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """All texts by key; a key in two files is an error of ours."""
    texts: dict[str, dict[str, str]] = {}
    for file in sorted(Path(__file__).parent.glob("*.json")):
        for key, entry in json.loads(file.read_text(encoding="utf-8")).items():
            if key in texts:
                raise ValueError(f"{file.name}: text {key!r} is in another file too")
            texts[key] = entry
    return texts


@cache
def language() -> str:
    """The user's language: LAB_LANG when set, else the locale's, else English."""
    for name in (os.environ.get("LAB_LANG"), os.environ.get("LC_ALL"), os.environ.get("LANG"), locale.getlocale()[0]):
        if name:
            return "ja" if name.lower().startswith(("ja", "japanese")) else "en"
    return "en"


def text(key: str, lang: str | None = None, /, **values: object) -> str:
    """The text of a key in a language, with `{name}` fields filled in.

    Raises:
        KeyError: no such key, or a field without a value.
    """
    return catalogue()[key][lang or language()].format(**values)
