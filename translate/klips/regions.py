"""For which packets KLIPS takes a row of its table, as sets of packets.

The lookup of :mod:`.lookup` turned round: not "which row for this packet" but "which packets for
this row".  A row is taken where the descent in the tree ends at its key and no row before it in
its chain agrees (a cube: the row's own bits and those that the descent tests), and where the
descent ends elsewhere in vain and its mask is the first in the list under which the packet's bits
are a key.  A dump does not tell the order of that list.  Every order that keeps a finer mask before
a coarser one is possible, so a row *may* be taken where no finer one of the list applies.

Rows with bits outside of their mask are reached through the tree alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..cubes import PORTS, PROTOCOL, PROTOCOL_SHIFT, Cube, CubeIndex
from ..net import IPPROTO_TCP, IPPROTO_UDP
from .host import KlipsHost
from .host_table import host_table
from .lookup import RadixTable, Row, refines

WITH_PORTS = (IPPROTO_TCP, IPPROTO_UDP)
"""Protocols whose ports KLIPS reads (ipsec_xmit.c:ipsec_extract_ports); elsewhere they are 0."""


class Regions:
    """The table of one family.  Rows are known by their place in ``rows``.

    ``table`` must hold these rows under these numbers.
    """

    def __init__(self, rows: Sequence[Row], table: RadixTable) -> None:
        self.rows = rows
        self.table = table
        self.order_known = table.order_known
        self._chains: dict[int, list[tuple[int, int]]] = {}
        for number in table.printed():
            key, mask = rows[number]
            self._chains.setdefault(key, []).append((mask, number))
        self._chain_place = {
            number: place
            for chain in self._chains.values()
            for place, (_, number) in enumerate(chain)
        }
        self._loose = {n for n, (key, mask) in enumerate(rows) if key & ~mask}
        self._rank = {mask: rank for rank, mask in enumerate(table.masks())}
        self._paths: dict[int, int] = {}
        self._finer: dict[int, list[int]] = {}
        self._earlier: dict[int, list[int]] = {}
        # In the order of the chains, so that of two equal rows the one that is tried first counts.
        self._order = table.printed()
        self.index = CubeIndex((rows[n].key & rows[n].mask, rows[n].mask) for n in self._order)

    def cube(self, number: int) -> Cube:
        """A cube outside of which the row is never taken; ports count for TCP and UDP alone."""
        key, mask = self.rows[number]
        if number in self._loose:
            mask |= self._path(key)
        return key & mask, mask

    def touching(self, box: Cube) -> Iterator[int]:
        """The rows that share a packet with a box."""
        for place in self.index.touching(box):
            yield self._order[place]

    def covering_masks(self, box: Cube) -> list[int]:
        """The masks of the rows that hold a whole box, without those that another one refines.

        A row with a coarser mask is not taken anywhere in the box, unless it has the same key.
        """
        masks = [
            self.rows[number].mask
            for number in (self._order[place] for place in self.index.covering(box))
            if number not in self._loose
        ]
        return [m for m in masks if not any(m != o and m & o == m for o in masks)]

    def outdone(self, number: int, box: Cube, masks: Sequence[int]) -> bool:
        """Whether a row that covers the box takes all of it from this one; quick, not complete.

        ``masks`` are what :meth:`covering_masks` gives for the box.
        """
        if number in self._loose:
            return False  # it may be reached through the tree all the same
        key, mask = self.rows[number]
        # With the same key their places in its chain decide (the slip of rj_addroute).
        return any(refines(other, mask) and box[0] & other != key for other in masks)

    def why_not(self, number: int, point: int) -> Cube | None:
        """A cube with this point in which the row is taken nowhere, ``None`` if it is (or may be).

        The point must lie in the row's cube.
        """
        seen = _seen(point)
        against = self._why_not(number, seen)
        return None if against is None else _as_seen(against, point)

    def _why_not(self, number: int, point: int) -> Cube | None:
        key, mask = self.rows[number]
        if (point ^ key) & mask:
            # Ports of a protocol whose ports are not read: the row is not for this packet.
            return point & mask, mask
        if number not in self._loose:
            # The descent never ends at a key that a finer row with another key leaves.
            for finer in self._finer_masks(mask):
                place = self.index.by_mask[finer].get(point & finer)
                if place is None:
                    continue
                other = self._order[place]
                if other not in self._loose and self.rows[other].key != key:
                    return point & finer, finer
        leaf = self.table.leaf(point)
        if leaf is not None:
            for other_mask, other in self._chains[leaf]:
                if not (point ^ leaf) & other_mask:
                    if other == number:
                        return None
                    tested = other_mask | self._path(leaf)
                    return leaf & tested, tested
        if number in self._loose:
            tested = self._path(leaf or 0)
            return point & tested, tested
        for earlier in self._earlier_masks(mask):
            found = self.index.by_mask[earlier].get(point & earlier)
            if found is not None and self._order[found] not in self._loose:
                return point & earlier, earlier
        first = self._order[self.index.by_mask[mask][point & mask]]
        return None if first == number else (point & mask, mask)

    def leaf(self, number: int) -> Cube:
        """The packets of a row whose descent ends at its key."""
        key, mask = self.rows[number]
        mask |= self._path(key)
        return key & mask, mask

    def chain_before(self, number: int) -> list[Cube]:
        """The rows that are tried before this one when the descent ends at its key."""
        key, _ = self.rows[number]
        chain = self._chains[key][: self._chain_place[number]]
        return [(key & mask, mask) for mask, _ in chain]

    def tried_before(self, number: int, box: Cube) -> Iterator[Cube]:
        """Rows that take packets of a box from this one, where the descent ends elsewhere.

        Those with ports are left out unless the box is of one protocol whose ports KLIPS reads.
        """
        protocol_fixed = box[1] & PROTOCOL == PROTOCOL and _seen(box[0] | PORTS) & PORTS
        earlier = self._earlier_masks(self.rows[number].mask)
        for mask in earlier:
            if mask & PORTS and not protocol_fixed:
                continue
            for place in self.index.touching_with(mask, box):
                if self._order[place] not in self._loose:
                    yield self.index.cubes[place]

    def is_loose(self, number: int) -> bool:
        """Whether a row is reached through the tree alone."""
        return number in self._loose

    def why_none(self, point: int) -> Cube | None:
        """A cube with this point in which rows take all packets, ``None`` if none does here."""
        seen = _seen(point)
        found = self.table.match(seen).winner
        if found is None:
            return None
        key, mask = self.rows[found]
        if found in self._loose:
            mask |= self._path(key)
        return _as_seen((key & mask, mask), point)

    def possible(self, point: int) -> frozenset[int]:
        """The rows that are, or may be, taken for a packet."""
        return self.table.possible(_seen(point))

    def possible_around(self, number: int, point: int) -> Cube:
        """A cube with this point in which a row may be taken everywhere, as it may be here.

        With the order of insertion known: in which it is taken.
        """
        return self._around(number, point, set(self._earlier_masks(self.rows[number].mask)))

    def taken_around(self, number: int, point: int) -> Cube:
        """A cube with this point in which a row is taken everywhere, as it is here for certain."""
        if self.order_known:
            return self.possible_around(number, point)
        # Nothing that may be tried before: all masks but those that this one refines.
        mask = self.rows[number].mask
        against = {m for m in self.index.by_mask if m != mask and not refines(mask, m)}
        return self._around(number, point, against)

    def _around(self, number: int, point: int, against: set[int]) -> Cube:
        seen = _seen(point)
        mask = self.rows[number].mask
        leaf = self.table.leaf(seen) or 0
        fixed = mask | self._path(leaf)
        in_tree = False
        for chain_mask, other in self._chains[leaf]:
            if other == number and not (seen ^ leaf) & chain_mask:
                in_tree = True
                break
            # What is tried before agrees nowhere in the cube, as it does not here.
            fixed |= _lowest((seen ^ leaf) & chain_mask)
        if not in_tree:
            # It is the list of masks that decides: nothing of the chain, and nothing before it.
            box = (seen & fixed, fixed)
            for other_mask in filter(against.__contains__, self.index.by_mask):
                for place in self.index.touching_with(other_mask, box):
                    other_key = self.rows[self._order[place]].key
                    if not (seen ^ other_key) & other_mask & fixed:
                        fixed |= _lowest((seen ^ other_key) & other_mask)
        return _as_seen((seen & fixed, fixed), point)

    def taken_for_certain(self, number: int, point: int) -> bool:
        """Whether a row that may be taken for a packet is, whatever the order of insertion."""
        return self.order_known or self.possible(point) == {number}

    def _path(self, key: int) -> int:
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = self.table.path_bits(key)
        return path

    def _finer_masks(self, mask: int) -> list[int]:
        """The masks that refine one: their rows win wherever they match, unless keys are equal."""
        finer = self._finer.get(mask)
        if finer is None:
            finer = self._finer[mask] = [m for m in self.index.by_mask if refines(m, mask)]
        return finer

    def _earlier_masks(self, mask: int) -> list[int]:
        """The masks that KLIPS tries before one, for certain."""
        if not self.order_known:
            return self._finer_masks(mask)
        earlier = self._earlier.get(mask)
        if earlier is None:
            rank = self._rank
            earlier = [m for m in self.index.by_mask if m in rank and rank[m] < rank[mask]]
            self._earlier[mask] = earlier
        return earlier


@dataclass(frozen=True, slots=True)
class Table:
    """The eroutes of one family as the lookup has them; ``positions`` are those in the host."""

    family: int
    regions: Regions
    positions: tuple[int, ...]


def table_of(host: KlipsHost, family: int) -> Table:
    """The table of one family, its eroutes with the selectors that they are carried with."""
    table = host_table(host, family, as_carried=True)
    return Table(family, Regions(table.rows, table.radix), table.positions)


def _lowest(bits: int) -> int:
    return bits & -bits


def _seen(point: int) -> int:
    """The point as KLIPS has it: without ports, but for TCP and UDP."""
    if (point >> PROTOCOL_SHIFT & 0xFF) in WITH_PORTS:
        return point
    return point & ~PORTS


def _as_seen(cube: Cube, point: int) -> Cube:
    """A cube of points as KLIPS has them, around one, as a cube of packets."""
    value, mask = cube
    if not mask & PORTS or (point >> PROTOCOL_SHIFT & 0xFF) in WITH_PORTS:
        if not mask & PORTS:
            return cube
        # With ports the cube is one of this protocol alone: for others the ports are not read.
        return value & ~PROTOCOL | point & PROTOCOL, mask | PROTOCOL
    return value & ~PORTS & ~PROTOCOL | point & PROTOCOL, mask & ~PORTS | PROTOCOL
