"""Which eroute KLIPS picks, exactly (radij.c, ipsec_radij.c, ipsec_encap.h).

The key is one bit string for each family: source, destination, protocol (8 bits), source port and
destination port (16 each); 104 bits for IPv4, 296 for IPv6.  The procedure is described in
docs/klips.md; it was compared with the real code for more than a million packets.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from ..cubes import DESTINATION_SHIFT, POINT_BITS, PORT_BITS, PROTOCOL_SHIFT
from ..net import IPPROTO_TCP, IPPROTO_UDP, WIDTH, Packet, Selector

KEY_BITS: Final = POINT_BITS
"""How many bits a key has, by family; it is laid out as a point of :mod:`..cubes`."""


class Row(NamedTuple):
    """A key and its mask, as bit strings; the key keeps host bits as given."""

    key: int
    mask: int


class Step(StrEnum):
    """Which part of the lookup found the eroute."""

    EXACT = "exact"
    LEAF = "leaf"
    MASK = "mask"
    NONE = "none"


class Match(NamedTuple):
    """The answer of a lookup: identity of the row, or ``None``, and how it was found."""

    winner: int | None
    step: Step
    leaf: int | None
    masks_tried: int


class ExistsError(Exception):
    """The table has a row with this key and mask already (EEXIST)."""


class MissingError(Exception):
    """The table has no such row (EFAULT or ENOENT)."""


def row_of(selector: Selector) -> Row:
    """The key and mask of a selector (sockaddr_encap); 0 means any, with no mask bits."""
    source, destination, protocol, source_port, destination_port = selector
    width = 32 if source[0] == 4 else 128
    key = (source[1] << width | destination[1]) << 40
    mask = (source[2] << width | destination[2]) << 40
    if protocol or source_port or destination_port:
        key |= protocol << 32 | source_port << 16 | destination_port
        mask |= (
            (0xFF00000000 if protocol else 0)
            | (0xFFFF0000 if source_port else 0)
            | (0xFFFF if destination_port else 0)
        )
    return tuple.__new__(Row, (key, mask))  # at half the price of calling the class


def key_of_packet(packet: Packet) -> int:
    """The key of a packet: ports count for TCP and UDP only (ipsec_extract_ports)."""
    key = (packet.source << WIDTH[packet.family] | packet.destination) << DESTINATION_SHIFT
    key |= packet.protocol << PROTOCOL_SHIFT
    if packet.protocol in (IPPROTO_TCP, IPPROTO_UDP):
        key |= packet.source_port << PORT_BITS | packet.destination_port
    return key


def refines(one: int, other: int) -> bool:
    """Whether the first mask has all bits of the second, and more (rj_refines)."""
    return one != other and one & other == other


class RadixTable:
    """The table of one family, with its chains and its list of masks."""

    def __init__(self, family: int) -> None:
        self.family = family
        self._chains: dict[int, list[tuple[int, int]]] = {}
        self._masks: dict[int, int] = {}
        self._mask_order: list[int] = []
        self._keys: list[int] | None = None
        self._order_known = True

    @classmethod
    def from_dump(cls, family: int, rows: Iterable[tuple[Row, int]]) -> RadixTable:
        """A table known from its dump: keys and chains, but not the order of its masks."""
        table = cls(family)
        for (key, mask), identity in rows:
            table._chains.setdefault(key, []).append((mask, identity))
            table._masks[mask] = table._masks.get(mask, 0) + 1
        table._mask_order = sorted(table._masks, key=lambda m: -m.bit_count())
        table._order_known = False
        return table

    def add(self, row: Row, identity: int) -> None:
        """Add a row as rj_addroute does, slip included.  Raises :class:`ExistsError`."""
        key, mask = row
        chain = self._chains.setdefault(key, [])
        if not chain:
            self._keys = None
        place = len(chain)
        for at, (other, _) in enumerate(chain):
            if other == mask:
                raise ExistsError
            if refines(mask, other):
                # Before the head, but behind any other row that it refines: the slip.
                place = at + 1 if at else 0
                break
        chain.insert(place, (mask, identity))
        if mask in self._masks:
            self._masks[mask] += 1
            return
        self._masks[mask] = 1
        for at, other in enumerate(self._mask_order):
            if refines(mask, other):
                self._mask_order.insert(at, mask)
                return
        self._mask_order.append(mask)

    def delete(self, row: Row) -> int:
        """Remove a row and return its identity; a chain of one is removed whatever its mask.

        Raises :class:`MissingError`.
        """
        key, mask = row
        chain = self._chains.get(key)
        if not chain:
            raise MissingError
        at = 0
        if len(chain) > 1:
            at = next((i for i, (other, _) in enumerate(chain) if other == mask), -1)
            if at < 0:
                raise MissingError
        found, identity = chain.pop(at)
        if not chain:
            del self._chains[key]
            self._keys = None
        self._masks[found] -= 1
        if not self._masks[found]:
            del self._masks[found]
            self._mask_order.remove(found)
        return identity

    def replace(self, row: Row, identity: int) -> int:
        """Delete, then add.  Raises :class:`MissingError` when the key is not there."""
        old = self.delete(row)
        self.add(row, identity)
        return old

    @property
    def order_known(self) -> bool:
        """Whether the order of the list of masks is that of KLIPS; a dump does not tell it."""
        return self._order_known

    def printed(self) -> list[int]:
        """Identities in the order in which /proc prints them: keys ascend, chains in order."""
        return [identity for key in self._sorted() for _, identity in self._chains[key]]

    def masks(self) -> Sequence[int]:
        """The list of masks, in the order in which a lookup goes through it."""
        return tuple(self._mask_order)

    def _sorted(self) -> list[int]:
        if self._keys is None:
            self._keys = sorted(self._chains)
        return self._keys

    def leaf(self, packet: int) -> int | None:
        """The key at which the descent for a packet ends; ``None`` in an empty table."""
        keys = self._sorted()
        if not keys:
            return None
        low, high = 0, len(keys)
        while high - low > 1:
            # Keys from low to high share a prefix; the first bit in which they differ is the
            # one in which the lowest and the highest differ.
            bit = (keys[low] ^ keys[high - 1]).bit_length() - 1
            middle = bisect_left(keys, keys[high - 1] >> bit << bit, low, high)
            if packet >> bit & 1:
                low = middle
            else:
                high = middle
        return keys[low]

    def path_bits(self, key: int) -> int:
        """The bits that the descent to a key of the table tests, as a mask."""
        keys = self._sorted()
        low, high = 0, len(keys)
        bits = 0
        while high - low > 1:
            bit = (keys[low] ^ keys[high - 1]).bit_length() - 1
            middle = bisect_left(keys, keys[high - 1] >> bit << bit, low, high)
            bits |= 1 << bit
            if key >> bit & 1:
                low = middle
            else:
                high = middle
        return bits

    def match(self, packet: int) -> Match:
        """Find the row for the key of a packet, as rj_match does.

        For a table known from a dump the masks are tried finest first, one of several orders
        that KLIPS may have had; :meth:`possible` gives all answers.
        """
        leaf = self.leaf(packet)
        if leaf is None:
            return Match(None, Step.NONE, None, 0)
        chain = self._chains[leaf]
        if leaf == packet:
            return Match(chain[0][1], Step.EXACT, leaf, 0)
        for mask, identity in chain:
            if not (packet ^ leaf) & mask:
                return Match(identity, Step.LEAF, leaf, 0)
        for tried, mask in enumerate(self._mask_order, 1):
            for other, identity in self._chains.get(packet & mask, ()):
                if other == mask:
                    return Match(identity, Step.MASK, leaf, tried)
        return Match(None, Step.NONE, leaf, len(self._mask_order))

    def possible(self, packet: int) -> frozenset[int]:
        """All rows that KLIPS may have picked, over the orders of masks that it may have had."""
        found = self.match(packet)
        if found.winner is None:
            return frozenset()
        if self._order_known or found.step is not Step.MASK:
            return frozenset((found.winner,))
        hits: dict[int, int] = {}
        for mask in self._mask_order:
            for other, identity in self._chains.get(packet & mask, ()):
                if other == mask:
                    hits.setdefault(mask, identity)
        return frozenset(
            identity
            for mask, identity in hits.items()
            if not any(refines(other, mask) for other in hits)
        )
