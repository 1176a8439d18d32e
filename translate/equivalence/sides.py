"""The two sides of a proof: what takes which packets, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from ..cubes import Cube
from .fate import Fate


class Piece(NamedTuple):
    """Packets of one origin that share a fate.

    The piece has the packets of ``cube`` that its ``origin`` takes and that lie in none of
    ``before``.  ``origin`` is the number of an eroute, or of an entry of policies; negative for
    what stands before and behind all of them.  ``code`` is the finding that says why the piece
    is not the eroute's own.
    """

    cube: Cube
    fate: Fate
    origin: int
    before: tuple[Cube, ...] = ()
    code: str = ""


Case = tuple[Cube, list[Cube]]
"""A part of a box, and cubes in which a piece has no packet of it."""


class Side(Protocol):
    """One of the two that are compared, for one direction and family."""

    @property
    def pieces(self) -> Sequence[Piece]:
        """All pieces; their packets are all packets, each in one piece (or in one of several)."""

    def touching(self, box: Cube) -> Iterator[int]:
        """Numbers of the pieces that may have packets in a box; more than that, never less."""

    def outdone(self, piece: int, box: Cube) -> bool:
        """Whether others have all packets of a box, for certain; quick, not complete."""

    def why_not(self, piece: int, point: int, box: Cube, /) -> Cube | None:
        """A cube with this point in which the piece has no packet, ``None`` if it has the point.

        The point lies in the cube of the piece and in the box.
        """

    def cases(self, piece: int, box: Cube) -> Iterator[Case]:
        """Parts that make up a box, with what is known to stand against a piece in each.

        Parts that the cubes of others hold already may be left out of it.
        """

    def portless(self, piece: int, box: Cube, /) -> Iterator[Cube]:
        """What else is known to stand against a piece for protocols without ports."""

    def fates(self, point: int) -> list[Fate]:
        """What becomes of one packet; several where nobody can tell."""
