"""Names of causes for people: the catalogue's where it has one, else as the user told them."""

import re
from typing import Final

from lab.text import catalogue, language

IDV: Final = re.compile(r"idv_(\d+)")


def cause_name(cause: str, lang: str | None = None) -> str:
    """A cause's name: faults of the simulated plant by the catalogue, what the user told as it is."""
    found = IDV.fullmatch(cause)
    entry = catalogue().get(f"idv.tep.{found[1]}") if found else None
    return entry[lang or language()] if entry else cause
