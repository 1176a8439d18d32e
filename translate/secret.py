"""Keys: octets that never show in a message, a report or a traceback."""

from __future__ import annotations

import re
from typing import Final


class Secret:
    """The octets of a key.  Everything that prints it shows its length alone.

    Equality and hash are those of the octets, so that two sources can be compared.
    """

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets: Final = bytes(octets)

    @property
    def bits(self) -> int:
        """Length in bits."""
        return len(self._octets) * 8

    def reveal(self) -> bytes:
        """The octets themselves: only for the kernel and for output that was asked for by name."""
        return self._octets

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._octets == other._octets

    def __hash__(self) -> int:
        return hash(self._octets)

    def __repr__(self) -> str:
        return f"<key of {self.bits} bits>"

    def __reduce__(self) -> str:
        raise TypeError("a key is not written to a file by accident")


_KEY_LIKE: Final = re.compile(r"0[xst][0-9A-Za-z+/=_]{16,}|[0-9A-Fa-f_]{24,}")


def starred(text: str) -> str:
    """A text with a star for each character of what may be a key in it; its length stays."""
    return _KEY_LIKE.sub(lambda match: "*" * len(match[0]), text)
