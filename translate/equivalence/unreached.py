"""Eroutes and policies that no packet reaches."""

from __future__ import annotations

from ..cubes import Cube, SearchGaveUp, search, search_among
from ..klips.host import KlipsHost
from .klips_side import KlipsSide
from .proof import FIRST_STEPS, STEPS
from .result import Taker
from .sides import Side
from .xfrm_side import XfrmSide


def unreached_eroutes(side: KlipsSide, host: KlipsHost) -> tuple[Taker, ...]:
    """Eroutes that take no packet, whatever the order of insertion was."""
    pieces: dict[int, list[int]] = {}
    for number, piece in enumerate(side.pieces):
        if piece.origin >= 0:
            pieces.setdefault(piece.origin, []).append(number)
    return tuple(
        Taker(side.pieces[numbers[-1]].fate, host.eroutes[origin])
        for origin, numbers in pieces.items()
        if not any(_reached(side, number) for number in numbers)
    )


def unreached_policies(side: XfrmSide) -> tuple[Taker, ...]:
    """Policies that never win."""
    last = len(side.pieces) - 1
    return tuple(
        Taker(piece.fate, None, side.policies_of(number))
        for number, piece in enumerate(side.pieces)
        if number != last and not _reached(side, number)
    )


def _reached(side: Side, number: int) -> bool:
    """Whether some packet reaches a piece; where the search gives up, it is taken to."""
    cube = side.pieces[number].cube

    def why_not(point: int, box: Cube) -> Cube | None:
        return side.why_not(number, point, box)

    try:
        return search(cube, why_not, FIRST_STEPS) is not None
    except SearchGaveUp:
        pass
    try:
        return any(
            search_among(part, taken, why_not, STEPS) is not None
            for part, taken in side.cases(number, cube)
        )
    except SearchGaveUp:
        return True
