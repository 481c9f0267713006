"""Quality codes of a reading: 0 good, 64.. uncertain, 128.. bad, 192 function check.

The numbers follow OPC UA's severity bits (00 good, 01 uncertain, 10 bad) and NAMUR NE 107's meanings. OPC *Classic*
has them the other way round (192 = good): convert at the edge, nowhere else.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

GOOD: Final = 0
UNCERTAIN: Final = 64
BAD: Final = 128
CHECK: Final = 192

CODES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "good": 0,
        "uncertain": 64,
        "uncertain:clock": 65,
        "uncertain:servertime": 66,
        "uncertain:lastusable": 67,
        "uncertain:outofcal": 68,
        "uncertain:retained": 69,
        "uncertain:substituted": 70,
        "bad": 128,
        "bad:openwire": 129,
        "bad:short": 130,
        "bad:range": 131,
        "bad:comm": 132,
        "bad:stale": 133,
        "bad:sensor": 134,
        "bad:config": 135,
        "bad:check": 192,
    }
)
"""Text on the wire -> number in the store."""

NAMES: Final[Mapping[int, str]] = MappingProxyType({code: text for text, code in CODES.items()})
"""Number in the store -> text on the wire."""


def is_bad(q: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which readings scoring must treat as missing (any shape)."""
    return q >= BAD


def is_uncertain(q: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which readings may be used with reduced weight (any shape)."""
    return (q >= UNCERTAIN) & (q < BAD)
