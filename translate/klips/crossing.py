"""Where two eroutes cross, and which of them KLIPS took there.

Two eroutes *cross* when some packet matches both and neither mask refines the other.  For such a
packet KLIPS takes the row with the larger key when the descent in its tree ends at that key, and
otherwise the row whose mask stands first in the list of masks (facts: docs/klips.md, "Which
eroute does KLIPS pick?").  The packets whose descent ends at a key form a *cube*: they agree with
the key in the bits of the row and in those that the descent tests, so that the whole question is
one of cubes.

A *loose* row has bits outside of its mask.  It is no key under its own mask, so that the list never
finds it: it is taken where the descent ends at its key, and nowhere else.

A cube is ``(value, mask)`` over the bit string of :mod:`.lookup`: the packets that agree with
``value`` in the bits of ``mask``.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from ..cubes import Cube, SearchGaveUp, disjoint, find_point, inside
from .lookup import Row


class Relation(StrEnum):
    """What is known of a pair."""

    UNKNOWN = "unknown"
    """The order of insertion decided, and it is not known."""

    SPLIT = "split"
    """One wins for some packets, the other for the rest: no priorities can do that."""

    SECOND = "second"
    """The row with the smaller key wins wherever the two meet."""


_WAYS: Final = 64
"""Boxes with the same bits fixed come one after the other: so many ways into the table are kept."""


class Crossing(NamedTuple):
    """A pair of rows that the order of keys alone does not settle.

    ``first`` and ``second`` are positions in the rows given, ``first`` the one that the tree
    prefers.  ``packet`` is a key of a packet for which ``second`` wins or may win.
    """

    first: int
    second: int
    relation: Relation
    packet: int


class TooManyCrossings(Exception):  # noqa: N818 - a limit, not a fault
    """There are more crossing pairs than can be looked at one by one."""


def strongest_first(rows: Sequence[Row], *, chains_known: bool) -> list[int]:
    """Positions in the order in which the tree prefers rows: larger keys first.

    Rows with one key keep the order given when ``chains_known`` (the kernel prints them in the
    order in which it tries them), else the finer mask goes first.
    """
    order = list(range(len(rows)))
    if not chains_known:
        lengths = [row[1].bit_count() for row in rows]
        order.sort(key=lengths.__getitem__, reverse=True)
    keys = [row[0] for row in rows]
    order.sort(key=keys.__getitem__, reverse=True)  # what is equal keeps its order
    return order


class Crossings:
    """Finds the pairs of one table, family by family.

    An index like :class:`..cubes.CubeIndex`, in which rows that are the same all count: two eroutes
    whose host bits are cut off may be, and each of them can cross a third one.

    ``path_bits`` gives the bits that the descent to a key tests; ``mask_rank`` the place of each
    mask in KLIPS's list, where the order of insertion is known.  ``rows`` have no host bits;
    ``loose`` are the keys of the loose rows as the tree has them.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        path_bits: Callable[[int], int],
        mask_rank: Mapping[int, int] | None,
        order: list[int],
        loose: Mapping[int, int] | None = None,
    ) -> None:
        self.rows = rows
        self.loose = loose or {}
        self.path_bits = path_bits
        self.mask_rank = mask_rank
        self.order = order
        self.place = array("L", order)
        for place, position in enumerate(order):
            self.place[position] = place
        self.by_mask: dict[int, list[int]] = {}
        for position in sorted(order):
            self.by_mask.setdefault(rows[position][1], []).append(position)
        self._index: dict[tuple[int, int], dict[int, list[int]]] = {}
        self._ways: dict[int, list[tuple[int, int, dict[int, list[int]]]]] = {}
        self._leaves: dict[int, Cube] = {}

    def find(self, limit: int) -> Iterator[Crossing]:
        """Yield every pair that needs a word.  Raises :class:`TooManyCrossings`."""
        for seen, (one, other) in enumerate(self._pairs()):
            if seen >= limit:
                raise TooManyCrossings
            first, second = (one, other) if self.place[one] < self.place[other] else (other, one)
            crossing = self._judge(first, second)
            if crossing is not None:
                yield crossing

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """All pairs that overlap and are not simply nested under two keys."""
        masks = list(self.by_mask)
        for at, one in enumerate(masks):
            for other in masks[at + 1 :]:
                common = one & other
                if common in (one, other):
                    continue
                yield from self._join(one, other)
        yield from self._nested_in_one_chain()

    def _join(self, one: int, other: int) -> Iterator[tuple[int, int]]:
        common = one & other
        small, large = sorted((one, other), key=lambda m: len(self.by_mask[m]))
        buckets = self._bucket(small, common)
        rows = self.rows
        for position in self.by_mask[large]:
            for partner in buckets.get(rows[position].key & common, ()):
                yield position, partner

    def _bucket(self, mask: int, part: int) -> dict[int, list[int]]:
        """The rows with this mask by the bits of ``part``."""
        index = self._index.get((mask, part))
        if index is None:
            index = {}
            for position in self.by_mask[mask]:
                index.setdefault(self.rows[position].key & part, []).append(position)
            self._index[mask, part] = index
        return index

    def _nested_in_one_chain(self) -> Iterator[tuple[int, int]]:
        """Pairs with one key whose chain stands in the wrong order (the slip of rj_addroute)."""
        chains: dict[int, list[int]] = {}
        for position, row in enumerate(self.rows):
            chains.setdefault(row.key, []).append(position)
        for chain in chains.values():
            chain.sort(key=lambda p: self.place[p])
            for at, first in enumerate(chain):
                for second in chain[at + 1 :]:
                    first_mask, second_mask = self.rows[first].mask, self.rows[second].mask
                    if first_mask != second_mask and first_mask & second_mask == first_mask:
                        yield first, second

    def leaf(self, position: int) -> Cube:
        """The packets whose descent ends at this row's key and that the row matches."""
        cube = self._leaves.get(position)
        if cube is None:
            key = self._key(position)
            mask = self.rows[position].mask | self.path_bits(key)
            cube = self._leaves[position] = (key & mask, mask)
        return cube

    def _key(self, position: int) -> int:
        """The key of a row in the tree."""
        return self.loose.get(position, self.rows[position].key)

    def _bars(self, position: int, second: int) -> bool:
        """Whether ``second`` is never taken where a row matches and the descent ends at its key.

        In the chain of one key ``order`` is that of the kernel, unless one of the two is loose:
        ``order`` goes by keys without their host bits.
        """
        if position in self.loose or second in self.loose:
            return self._key(position) != self._key(second)
        return self.place[position] < self.place[second]

    def _judge(self, first: int, second: int) -> Crossing | None:
        rows = self.rows
        one, other = rows[first], rows[second]
        box = (one.key & one.mask | other.key & other.mask, one.mask | other.mask)
        rank = self.mask_rank
        refines = other.mask & one.mask == one.mask  # second refines first: the chain slip
        known = refines or rank is not None
        listed = not refines and first not in self.loose
        if listed and rank is not None and rank[one.mask] < rank[other.mask]:
            return None
        if self._bars(first, second) and inside(box, self.leaf(first)):
            return None
        try:
            packet = find_point(box, self._rivals(first, second, box, known))
        except SearchGaveUp as search:
            # Nobody knows: then the pair is named, with the packet where the search stood.
            packet = search.point
        if packet is None:
            return None
        if not known:
            return Crossing(first, second, Relation.UNKNOWN, packet)
        taken = self._tree_takes(first, box)
        return Crossing(first, second, Relation.SPLIT if taken else Relation.SECOND, packet)

    def _tree_takes(self, first: int, box: Cube) -> bool:
        """Whether the descent ends at ``first`` for some packet of the box, and it wins there."""
        leaf = self.leaf(first)
        if disjoint(box, leaf):
            return False
        meet = (box[0] | leaf[0], box[1] | leaf[1])
        key = self._key(first)
        earlier = [
            self.rows[p]
            for p in self.touching(meet)
            if self._key(p) == key and p not in self.loose and self.place[p] < self.place[first]
        ]
        try:
            return find_point(meet, earlier) is not None
        except SearchGaveUp:
            return True

    def _rivals(self, first: int, second: int, box: Cube, known: bool) -> list[Cube]:
        """What takes packets of the box from ``second`` for certain, or stands before ``first``.

        A row that refines ``first`` and stands before it has pairs of its own; by the slip of
        rj_addroute it can stand behind it, and then ``first`` has its packets here.
        """
        rows, place, loose, rank = self.rows, self.place, self.loose, self.mask_rank
        one, other = rows[first].mask, rows[second].mask
        cubes: list[Cube] = [self.leaf(first)] if self._bars(first, second) else []
        for mask, positions in self._touching(box):
            leads = False
            if known and rank is not None:
                beats = mask != other and rank[mask] < rank[other]
            else:
                beats = mask & other == other
                leads = mask & one == one
            for position in positions:
                if position in (first, second):
                    continue
                listed = position not in loose
                if listed and (beats or (leads and place[position] < place[first])):
                    cubes.append(rows[position])
                elif self._bars(position, second):
                    cubes.append(self.leaf(position))
        return cubes

    def touching(self, box: Cube) -> Iterator[int]:
        """Rows that share a packet with the box."""
        for _, positions in self._touching(box):
            yield from positions

    def _touching(self, box: Cube) -> Iterator[tuple[int, list[int]]]:
        """The same, the rows of each mask together."""
        value, fixed = box
        ways = self._ways.get(fixed)
        if ways is None:
            if len(self._ways) >= _WAYS:
                self._ways.clear()
            parts = [(mask, mask & fixed) for mask in self.by_mask]
            ways = [(mask, part, self._bucket(mask, part)) for mask, part in parts]
            self._ways[fixed] = ways
        for mask, part, bucket in ways:
            positions = bucket.get(value & part)
            if positions is not None:
                yield mask, positions

    def overlapping(self) -> Iterator[tuple[int, int]]:
        """Every pair that shares a packet, the one that the tree prefers first."""
        masks = list(self.by_mask)
        for at, one in enumerate(masks):
            for other in masks[at:]:
                if one == other:
                    continue
                for left, right in self._join(one, other):
                    in_order = self.place[left] < self.place[right]
                    yield (left, right) if in_order else (right, left)
