"""Topic names: `lab/v1/{enterprise}/{site}/{area}/{line}/{gateway}/{class}`, always eight levels deep."""

import re
from typing import Final, NamedTuple

ROOT: Final = "lab/v1"
CLASSES: Final = ("birth", "state", "data", "wave", "event", "cmd", "ack")
CORE_LIVE: Final = "lab/core/v1/live"
"""The collector's live frame, encoded once for every viewer (not retained)."""
CORE_STATUS: Final = "lab/core/v1/status"
"""The collector's counters, once a second (retained)."""
CORE_COMMAND: Final = "lab/core/v1/cmd"
"""Commands to the collector (`devices.frame.Command`)."""
CORE_REPLY: Final = "lab/core/v1/reply"
"""Its answers (`devices.frame.Reply`)."""

LEVEL: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
TAG: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


class Topic(NamedTuple):
    """A parsed topic: `path` is enterprise/site/area/line, `cls` one of `CLASSES`."""

    path: str
    gateway: str
    cls: str


def topic(path: str, gateway: str, cls: str) -> str:
    """The topic of one message class of a gateway.

    Raises:
        ValueError: `path` is not four allowed levels, or the gateway or class is not allowed.
    """
    levels = [*path.split("/"), gateway]
    if len(levels) != 5 or cls not in CLASSES or not all(LEVEL.match(level) for level in levels):
        raise ValueError(
            f"topic parts {path!r}, {gateway!r}, {cls!r}: want enterprise/site/area/line, a gateway of "
            f"letters, digits, '_' or '-' (at most 64), and a class of {', '.join(CLASSES)}"
        )
    return f"{ROOT}/{path}/{gateway}/{cls}"


def parse_topic(text: str) -> Topic:
    """The parts of a topic.

    Raises:
        ValueError: it is not one of the lab's topics.
    """
    levels = text.split("/")
    if len(levels) != 8 or levels[:2] != ["lab", "v1"] or levels[7] not in CLASSES:
        raise ValueError(f"topic {text!r} is not {ROOT}/enterprise/site/area/line/gateway/class")
    if not all(LEVEL.match(level) for level in levels[2:7]):
        raise ValueError(f"topic {text!r} has a level that is not 1 to 64 of A-Z a-z 0-9 _ -")
    return Topic("/".join(levels[2:6]), levels[6], levels[7])
