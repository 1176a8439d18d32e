"""A table of eroutes as one side of a proof: what KLIPS did, and what is promised of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..cubes import Cube, disjoint, holds, meet
from ..klips.regions import Regions
from .fate import Fate
from .sides import Case, Piece

BEFORE_ALL = -1
"""Origin of what stands before all eroutes."""

NO_EROUTE = -2
"""Origin of what no eroute covers."""


class KlipsSide:
    """Pieces of the eroutes of one family, for one direction.

    ``rows`` holds the pieces of each row of ``regions``: the packets that are exempt, then the
    row's own.  ``top`` come before all rows, ``rest`` hold what no row takes; of both the first
    that holds a packet counts.
    """

    def __init__(
        self,
        regions: Regions,
        rows: Sequence[Sequence[Piece]],
        top: Sequence[Piece],
        rest: Sequence[Piece],
    ) -> None:
        self.regions = regions
        self._top = [piece.cube for piece in top]
        self._first: list[int] = []
        self._row: list[int] = [BEFORE_ALL] * len(top)
        pieces = list(top)
        for row, parts in enumerate(rows):
            self._first.append(len(pieces))
            pieces.extend(parts)
            self._row.extend([row] * len(parts))
        self._first.append(len(pieces))
        pieces.extend(rest)
        self._row.extend([NO_EROUTE] * len(rest))
        self.pieces: Sequence[Piece] = pieces
        self._masks: dict[Cube, list[int]] = {}

    def row_of(self, piece: int) -> int:
        """The row of a piece, negative where it has none."""
        return self._row[piece]

    def touching(self, box: Cube) -> Iterator[int]:
        """See :class:`.sides.Side`."""
        pieces = self.pieces
        for number, cube in enumerate(self._top):
            if not disjoint(cube, box):
                yield number
        masks = self._covering_masks(box)
        regions, first = self.regions, self._first
        for row in regions.touching(box):
            if masks and regions.outdone(row, box, masks):
                continue
            for number in range(first[row], first[row + 1]):
                if not disjoint(pieces[number].cube, box):
                    yield number
        if not masks:
            for number in range(first[-1], len(pieces)):
                if not disjoint(pieces[number].cube, box):
                    yield number

    def outdone(self, piece: int, box: Cube) -> bool:
        """See :class:`.sides.Side`."""
        row = self._row[piece]
        if row == BEFORE_ALL:
            return False
        masks = self._covering_masks(box)
        if row == NO_EROUTE:
            return bool(masks)
        return bool(masks) and self.regions.outdone(row, box, masks)

    def why_not(self, piece: int, point: int, _box: Cube, /) -> Cube | None:
        """See :class:`.sides.Side`."""
        row = self._row[piece]
        above = self._top[:piece] if row == BEFORE_ALL else self._top
        for cube in above:
            if holds(cube, point):
                return cube
        for cube in self.pieces[piece].before:
            if holds(cube, point):
                return cube
        if row == BEFORE_ALL:
            return None
        if row == NO_EROUTE:
            return self.regions.why_none(point)
        return self.regions.why_not(row, point)

    def cases(self, piece: int, box: Cube) -> Iterator[Case]:
        """See :class:`.sides.Side`."""
        row = self._row[piece]
        above = self._top[:piece] if row == BEFORE_ALL else self._top
        known = [*above, *self.pieces[piece].before]
        if row < 0:
            yield box, known
            return
        regions = self.regions
        leaf = regions.leaf(row)
        part = meet(box, leaf)
        if part is not None:
            yield part, known + regions.chain_before(row)
        if not regions.is_loose(row):
            yield box, [leaf, *known, *regions.tried_before(row, box)]

    def portless(self, _piece: int, _box: Cube, /) -> Iterator[Cube]:
        """See :class:`.sides.Side`; a row with ports is never taken for them."""
        return iter(())

    def fates(self, point: int) -> list[Fate]:
        """See :class:`.sides.Side`."""
        return [self.pieces[number].fate for number in self.taking(point)]

    def taking(self, point: int) -> list[int]:
        """The pieces that take a packet: one, or several where the order of insertion decided."""
        for number, cube in enumerate(self._top):
            if holds(cube, point):
                return [number]
        rows = sorted(self.regions.possible(point))
        ranges = [(self._first[row], self._first[row + 1]) for row in rows]
        if not rows:
            ranges = [(self._first[-1], len(self.pieces))]
        return [
            next(n for n in range(start, end) if holds(self.pieces[n].cube, point))
            for start, end in ranges
        ]

    def possible_around(self, point: int, piece: int) -> Cube | None:
        """A cube with this point in which the piece may be what is taken, everywhere."""
        row = self._row[piece]
        if row < 0:
            return None
        value, mask = self.regions.possible_around(row, point)
        own = self.pieces[piece]
        value, mask = value | own.cube[0], mask | own.cube[1]
        for cube in (*self._top, *own.before):
            differ = (point ^ cube[0]) & cube[1]
            if not (value ^ cube[0]) & cube[1] & mask:
                mask |= differ & -differ
                value = point & mask
        return value, mask

    def _covering_masks(self, box: Cube) -> list[int]:
        masks = self._masks.get(box)
        if masks is None:
            masks = self._masks[box] = self.regions.covering_masks(box)
        return masks
