"""Lifetimes as ``ipsec_spi`` prints them: ``life(c,s,h)=bytes(416,0,0)addtime(6,0,0)``.

Current value, soft and hard limit of each kind, glued together; a kind that was never used and
has no limit is left out (ipsec_life.c:ipsec_lifetime_format).
"""

from __future__ import annotations

import re
from typing import Final

from .association import Lifetime, Lifetimes

LIFE: Final = "life(c,s,h)"
"""The name of the field."""

NAMES: Final = {
    "alloc": "allocations",
    "bytes": "bytes",
    "addtime": "addtime",
    "add": "addtime",
    "usetime": "usetime",
    "use": "usetime",
    "packets": "packets",
}
"""Printed name and field of :class:`.association.Lifetimes`; ``add`` is FreeS/WAN 1.91's."""

_PRINTED: Final = ("alloc", "bytes", "addtime", "usetime", "packets")
_ITEM: Final = re.compile(
    rf"({'|'.join(NAMES)})\((-?[0-9]{{1,20}}),(-?[0-9]{{1,20}}),(-?[0-9]{{1,20}})\)", re.ASCII
)
_UNSIGNED: Final = (1 << 64) - 1


def parse_lifetimes(text: str) -> Lifetimes:
    """Read the value of the field; empty is no limits.  Raises ``ValueError``."""
    found: dict[str, Lifetime] = {}
    at = 0
    while at < len(text):
        match = _ITEM.match(text, at)
        if match is None:
            raise ValueError(f"{text[at : at + 40]!r} is not KIND(CURRENT,SOFT,HARD)")
        name = NAMES[match[1]]
        if name in found:
            raise ValueError(f"{match[1]} stands twice")
        count, soft, hard = map(int, match.groups()[1:])
        # An age is printed with a sign; limits are unsigned in the kernel.
        found[name] = Lifetime(max(count, 0), soft & _UNSIGNED, hard & _UNSIGNED)
        at = match.end()
    return Lifetimes(**found)


def format_lifetimes(lifetimes: Lifetimes) -> str:
    """Print the value of the field as the kernel does from FreeS/WAN 1.97 on."""
    return "".join(
        f"{name}({life.count},{life.soft},{life.hard})"
        for name, life in zip(_PRINTED, lifetimes, strict=True)
        if life.count > 1 or life.soft or life.hard
    )
