"""Names of causes for people: the catalogue's where it has one, else as the user told them; and which are the same."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from lab.text import catalogue, language

IDV: Final = re.compile(r"idv_(\d+)")
WRITTEN: Final = re.compile(r"idv[_-]?\(?0*(\d+)\)?")
"""A fault of the simulated plant, as people write it, without blanks."""
NUMBERED: Final = "tep"
"""The kind of assets whose faults have numbers."""


def cause_name(cause: str, lang: str | None = None) -> str:
    """A cause's name: faults of the simulated plant by the catalogue, what the user told as it is."""
    found = IDV.fullmatch(cause)
    entry = catalogue().get(f"idv.tep.{found[1]}") if found else None
    return entry[lang or language()] if entry else cause


def tidied(cause: str) -> str:
    """A name as it is kept: no blanks around it, one between words, nothing that cannot be seen."""
    seen = (" " if each.isspace() else each for each in cause)
    return " ".join("".join(each for each in seen if unicodedata.category(each) not in ("Cc", "Cf")).split())


def alike(cause: str, kind: str) -> str:
    """The same for names that a reader takes for the same: in another case, width or spacing, or IDV 6 and idv_6.

    Args:
        cause: as somebody wrote it.
        kind: of the asset.
    """
    name = tidied(unicodedata.normalize("NFKC", cause)).replace(" ", "").casefold()
    numbered = WRITTEN.fullmatch(name) if kind == NUMBERED else None
    return f"idv_{numbered[1]}" if numbered and f"idv.tep.{numbered[1]}" in catalogue() else name


def as_known(cause: str, known: Iterable[str], kind: str) -> str:
    """The name under which a cause is known already, else as it is told.

    Args:
        cause: as somebody wrote it.
        known: names there are.
        kind: of the asset.
    """
    name, names, key = tidied(cause), list(known), alike(cause, kind)
    if kind == NUMBERED and IDV.fullmatch(key):
        return key
    if name in names:
        return name
    return next((each for each in names if alike(each, kind) == key), name)


def file_name(kind: str) -> str:
    """What files of a kind of assets begin with: the kind, without what would lead to another folder, or to none.

    Gateways choose their kinds freely.
    """
    return re.sub(r"[/\\\x00-\x1f]|^\.", lambda found: f"%{ord(found[0]):02X}", kind)
