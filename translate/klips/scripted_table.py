"""The eroutes of a host while the commands of a script are played on it.

Rows with one key are a chain.  A chain of one row is deleted whatever mask was named, and replaced
so by tools that ask the kernel to replace (rj_delete; docs/klips.md).
"""

from __future__ import annotations

from .eroute import Eroute
from .lookup import row_of

_Place = tuple[int, int]
"""Family and key."""


class ScriptedTable:
    """Eroutes in the order of their commands."""

    def __init__(self) -> None:
        self._chains: dict[_Place, dict[int, Eroute]] = {}
        self._order: dict[tuple[_Place, int], None] = {}

    @property
    def eroutes(self) -> list[Eroute]:
        """All rows, the oldest first."""
        return [self._chains[place][mask] for place, mask in self._order]

    def add(self, eroute: Eroute) -> bool:
        """Whether it was added: the kernel refuses a row that is there (EEXIST)."""
        place, mask = _place_of(eroute)
        if (place, mask) in self._order:
            return False
        self._chains.setdefault(place, {})[mask] = eroute
        self._order[place, mask] = None
        return True

    def delete(self, eroute: Eroute) -> Eroute | None:
        """Delete what the kernel deletes for this selector, and return it."""
        place, mask = _place_of(eroute)
        chain = self._chains.get(place, {})
        if len(chain) == 1:
            mask = next(iter(chain))
        found = chain.pop(mask, None)
        if found is not None:
            del self._order[place, mask]
        if not chain:
            self._chains.pop(place, None)
        return found

    def alone_with_another_mask(self, eroute: Eroute) -> Eroute | None:
        """The only row with the key of this one, if its mask is another."""
        place, mask = _place_of(eroute)
        chain = self._chains.get(place, {})
        return next(iter(chain.values())) if len(chain) == 1 and mask not in chain else None

    def change(self, eroute: Eroute) -> None:
        """Take an eroute for the row with its selector."""
        place, mask = _place_of(eroute)
        self._chains[place][mask] = eroute

    def clear(self) -> None:
        """Delete all rows."""
        self._chains.clear()
        self._order.clear()


def _place_of(eroute: Eroute) -> tuple[_Place, int]:
    key, mask = row_of(eroute.selector)
    return (eroute.selector.family, key), mask
