"""The proof: two sides agree on every packet, or here are the packets on which they do not.

Exact, and not by trying packets: each piece of one side is held against each piece of the other
that shares packets with it and has another fate, and a packet that both take is looked for.  The
search asks the two lookups themselves what stands against a packet, and leaves out all packets
that the answer holds good for (docs/decisions/0020-proof.md).

No packet is in two differences, for on each side one piece takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..cubes import (
    EVERYTHING,
    PORTS,
    PROTOCOL,
    PROTOCOL_SHIFT,
    Cube,
    SearchGaveUp,
    meet,
    search,
    search_among,
)
from ..xfrm.lookup import IPPROTO_MH, PORT_PROTOCOLS
from .fate import Fate, Kind
from .klips_side import KlipsSide
from .sides import Piece, Side

STEPS = 2_000_000
"""Steps of one search; one that takes more is told as not decided, never as equal."""

FIRST_STEPS = 16
"""Steps of a search that asks the lookups alone; nearly all of them end within."""

_CERTAIN_STEPS = 200


_WHOLE_STEPS = 2_000
"""Steps of a search that leaves the protocol for whenever it comes."""

_WITH_PORTS = (*sorted(PORT_PROTOCOLS), IPPROTO_MH)


@dataclass(frozen=True, slots=True)
class Difference:
    """Packets that the left piece and the right piece take, with different fates.

    ``box`` holds them all, and maybe others that stronger pieces take.  ``point`` is one of them.
    ``numbers`` are those of the two pieces.  ``certain`` is false where one side may have done the
    same: the order of insertion is not known.  ``decided`` is false where the search for a packet
    was given up.
    """

    left: Piece
    right: Piece
    numbers: tuple[int, int]
    box: Cube
    point: int
    certain: bool = True
    decided: bool = True


Agree = Callable[[Fate, Fate], bool]


def differences(
    left: Side,
    right: Side,
    agree: Agree,
    within: Cube = EVERYTHING,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    *,
    classify: bool = True,
    only: Mapping[int, Collection[int]] | None = None,
) -> Iterator[Difference]:
    """Every pair of pieces that share packets and disagree, with a witness; none means equal.

    ``within`` limits the packets that are looked at (to those without a mark, say).  Without
    ``classify`` every difference is called certain.  ``only`` names the origins of left pieces that
    matter, and for each the origins of right ones.
    """
    pieces = left.pieces
    for number, piece in enumerate(pieces):
        if number % 512 == 0:
            progress(number, len(pieces))
        fate = piece.fate
        wanted = None if only is None else only.get(piece.origin, ())
        if fate.kind is Kind.ANY or (wanted is not None and not wanted):
            continue
        mine = meet(piece.cube, within)
        if mine is None:
            continue
        for other in right.touching(mine):
            opposite = right.pieces[other]
            if wanted is not None and opposite.origin not in wanted:
                continue
            if agree(fate, opposite.fate):
                continue
            box = meet(mine, opposite.cube)
            if box is None or left.outdone(number, box):
                continue
            found = _difference(left, right, number, other, box, agree if classify else None)
            if found is not None:
                yield found
    progress(len(pieces), len(pieces))


def _difference(
    left: Side, right: Side, number: int, other: int, box: Cube, agree: Agree | None
) -> Difference | None:
    def why_not(point: int, part: Cube) -> Cube | None:
        against = left.why_not(number, point, part)
        if against is not None and not against[1] & ~part[1]:
            return against
        return right.why_not(other, point, part) or against

    one, opposite = left.pieces[number], right.pieces[other]
    try:
        point = _search(left, right, number, other, box, why_not)
    except SearchGaveUp as gave_up:
        return Difference(
            one, opposite, (number, other), box, gave_up.point, certain=False, decided=False
        )
    if point is None:
        return None
    certain = agree is None or _certain(left, right, point, agree)
    if agree is not None and not certain:
        better = _certain_point(left, right, box, why_not, agree)
        if better is not None:
            point, certain = better, True
    return Difference(one, opposite, (number, other), box, point, certain)


def _search(
    left: Side,
    right: Side,
    number: int,
    other: int,
    box: Cube,
    why_not: Callable[[int, Cube], Cube | None],
) -> int | None:
    """A packet that both pieces take; first by asking, and if that takes long with all that is
    known of both sides from the start.
    """
    try:
        return search(box, why_not, FIRST_STEPS)
    except SearchGaveUp:
        pass
    if _portless(box):
        return None
    try:
        return _search_known(left, right, number, other, box, why_not, (), _WHOLE_STEPS)
    except SearchGaveUp:
        pass
    for part, done in _by_protocol(box):
        if done:
            done = (*done, *left.portless(number, part), *right.portless(other, part))
        point = _search_known(left, right, number, other, part, why_not, done, STEPS)
        if point is not None:
            return point
    return None


def _search_known(
    left: Side,
    right: Side,
    number: int,
    other: int,
    box: Cube,
    why_not: Callable[[int, Cube], Cube | None],
    done: Sequence[Cube],
    steps: int,
) -> int | None:
    """The same with what is known to stand against the two; ``done`` are looked at elsewhere."""
    for part, taken in left.cases(number, box):
        for inner, more in right.cases(other, part):
            point = search_among(inner, [*done, *taken, *more], why_not, steps)
            if point is not None:
                return point
    return None


def _portless(box: Cube) -> bool:
    """Whether a box has ports that its protocol has not: nothing is taken there.

    A mobility header has one number, in the place of the source port.
    """
    if box[1] & PROTOCOL != PROTOCOL:
        return False
    protocol = box[0] >> PROTOCOL_SHIFT & 0xFF
    if protocol == IPPROTO_MH:
        return bool(box[0] & 0xFFFF)
    return protocol not in PORT_PROTOCOLS and bool(box[0] & PORTS)


def _by_protocol(box: Cube) -> Iterator[tuple[Cube, Sequence[Cube]]]:
    """Parts of a box with one protocol that has ports each, and the rest.

    Whether a port matters hangs on all bits of the protocol, so that a search which comes to the
    protocol last looks at each of them again and again.
    """
    if box[1] & PROTOCOL == PROTOCOL:
        yield box, ()
        return
    done: list[Cube] = []
    for protocol in _WITH_PORTS:
        cube = protocol << PROTOCOL_SHIFT, PROTOCOL
        part = meet(box, cube)
        if part is not None:
            done.append(cube)
            if not _portless(part):
                yield part, ()
    if not box[0] & PORTS:
        # Packets of the others have the ports 0.
        yield box, done


def _certain(left: Side, right: Side, point: int, agree: Agree) -> bool:
    """Whether the two differ at a point whatever the order of insertion was."""
    given = right.fates(point)
    return not any(agree(fate, other) for fate in left.fates(point) for other in given)


def _certain_point(
    left: Side,
    right: Side,
    box: Cube,
    why_not: Callable[[int, Cube], Cube | None],
    agree: Agree,
) -> int | None:
    """A point of the same difference at which the two differ for certain, if one is found."""
    if not isinstance(left, KlipsSide):
        return None

    def against(point: int, part: Cube) -> Cube | None:
        cube = why_not(point, part)
        if cube is not None:
            return cube
        given = right.fates(point)
        for piece in left.taking(point):
            if any(agree(left.pieces[piece].fate, other) for other in given):
                return left.possible_around(point, piece)
        return None

    try:
        return search(box, against, _CERTAIN_STEPS)
    except SearchGaveUp:
        return None
