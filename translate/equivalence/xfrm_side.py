"""A set of policies as one side of a proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ..cubes import Cube, CubeIndex, meet
from ..klips.said import Said
from ..mapping.translation import Translation
from ..xfrm.lookup import BESIDE_FORWARDED, FORWARDED
from ..xfrm.model import Policy
from ..xfrm.regions import PolicyRegions
from .fate import CLEAR, Fate, Kind, fate_of_policies
from .sides import Case, Piece


class Reqids(NamedTuple):
    """What reqids tell of policies: which ask the key daemon, and for which group the others are.

    Empty for policies that are not ours.
    """

    asking: frozenset[int] = frozenset()
    groups: Mapping[int, tuple[Said, ...]] | None = None


def reqids_of(translation: Translation) -> Reqids:
    """The reqids of our own Ruleset; one reqid for all tells no group from another."""
    options = translation.options
    if options.reqid is not None:
        return Reqids(frozenset([options.reqid]))
    groups = {o.reqid: o.eroute.saids for o in translation.outcomes if o.reqid}
    return Reqids(frozenset([options.reqid_base]), groups)


NO_REQIDS: Final = Reqids()


class XfrmSide:
    """The policies of one direction and family.

    ``policies`` are all of a database, the oldest first.  With ``mirrored`` the packets are
    turned round, so that packets coming in can be compared with eroutes, which speak of those
    that leave.  ``default`` is what becomes of packets without a policy (``allow`` or ``block``).
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        direction: str,
        family: int,
        *,
        mirrored: bool = False,
        default: str = "allow",
        reqids: Reqids = NO_REQIDS,
    ) -> None:
        mine = [p for p in policies if p.direction == direction and p.selector.family == family]
        beside = mine
        if direction == FORWARDED and any(p.ptype == "sub" for p in mine):
            beside = [p for p in policies if p.direction == BESIDE_FORWARDED]
        if mirrored:
            turned = [_mirrored(p) for p in mine]
            beside = turned if beside is mine else [_mirrored(p) for p in beside]
            mine = turned
        self.regions = PolicyRegions(mine, family, beside)
        known: dict[tuple[object, ...], Fate] = {}
        pieces = []
        for rank, entry in enumerate(self.regions.entries):
            key = tuple((p.action, p.templates) for p in entry.policies)
            fate = known.get(key)
            if fate is None:
                fate = known[key] = fate_of_policies(
                    entry.policies, direction, default, reqids.asking, reqids.groups
                )
            pieces.append(Piece(entry.cube, fate, rank))
        self.pieces: Sequence[Piece] = pieces
        self.mirrored = mirrored

    def touching(self, box: Cube) -> Iterator[int]:
        """See :class:`.sides.Side`."""
        return self.regions.touching(box)

    def outdone(self, piece: int, box: Cube) -> bool:
        """See :class:`.sides.Side`."""
        return self.regions.cover(box) < piece

    def why_not(self, piece: int, point: int, box: Cube, /) -> Cube | None:
        """See :class:`.sides.Side`."""
        return self.regions.why_not(piece, point, box)

    def cases(self, piece: int, box: Cube) -> Iterator[Case]:
        """See :class:`.sides.Side`."""
        yield box, list(self.regions.before(piece, box))

    def portless(self, piece: int, box: Cube, /) -> Iterator[Cube]:
        """See :class:`.sides.Side`."""
        return self.regions.before_portless(piece, box)

    def fates(self, point: int) -> list[Fate]:
        """See :class:`.sides.Side`."""
        return [self.pieces[self.regions.first(point)].fate]

    def policies_of(self, rank: int) -> tuple[Policy, ...]:
        """The policies of an entry, as they were given; none for the default."""
        found = self.regions.entries[rank].policies
        return tuple(_mirrored(p) for p in found) if self.mirrored else found


def _mirrored(policy: Policy) -> Policy:
    masks = policy.port_masks
    return policy._replace(
        selector=policy.selector.mirrored(), port_masks=None if masks is None else masks[::-1]
    )


class ForwardedInClear:
    """What leaves in clear when it is forwarded: packets that ``fwd`` and then ``out`` let pass.

    Both sides are of packets as they are, not turned round.  The pieces are pairs of such entries
    and cover no other packets.
    """

    def __init__(self, forward: XfrmSide, out: XfrmSide) -> None:
        self._forward, self._out = forward, out
        self._pairs: list[tuple[int, int]] = []
        pieces: list[Piece] = []
        for second, leaving in enumerate(out.pieces):
            if leaving.fate.kind is not Kind.CLEAR:
                continue
            for first in forward.touching(leaving.cube):
                entering = forward.pieces[first]
                both = meet(entering.cube, leaving.cube)
                if both is not None and entering.fate.kind in (Kind.CLEAR, Kind.EITHER):
                    pieces.append(Piece(both, CLEAR, len(pieces)))
                    self._pairs.append((first, second))
        self.pieces: Sequence[Piece] = pieces
        self._same: dict[Cube, list[int]] = {}
        for number, piece in enumerate(pieces):
            self._same.setdefault(piece.cube, []).append(number)
        self._cubes = list(self._same)
        self._index = CubeIndex(self._cubes)

    def touching(self, box: Cube) -> Iterator[int]:
        """See :class:`.sides.Side`."""
        for place in self._index.touching(box):
            yield from self._same[self._cubes[place]]

    def outdone(self, piece: int, box: Cube) -> bool:
        """See :class:`.sides.Side`."""
        first, second = self._pairs[piece]
        return self._forward.outdone(first, box) or self._out.outdone(second, box)

    def why_not(self, piece: int, point: int, box: Cube, /) -> Cube | None:
        """See :class:`.sides.Side`."""
        first, second = self._pairs[piece]
        against = self._forward.why_not(first, point, box)
        return against or self._out.why_not(second, point, box)

    def cases(self, piece: int, box: Cube) -> Iterator[Case]:
        """See :class:`.sides.Side`."""
        first, second = self._pairs[piece]
        for part, taken in self._forward.cases(first, box):
            for inner, more in self._out.cases(second, part):
                yield inner, taken + more

    def portless(self, piece: int, box: Cube, /) -> Iterator[Cube]:
        """See :class:`.sides.Side`."""
        first, second = self._pairs[piece]
        yield from self._forward.portless(first, box)
        yield from self._out.portless(second, box)

    def fates(self, _point: int) -> list[Fate]:
        """See :class:`.sides.Side`."""
        return [CLEAR]

    def policies_of(self, number: int) -> tuple[Policy, ...]:
        """The policies of a pair: that of ``fwd``, then that of ``out``."""
        first, second = self._pairs[number]
        return self._forward.policies_of(first) + self._out.policies_of(second)
