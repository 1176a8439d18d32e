"""What a proof says: regions of packets that two sides treat differently, and what is unreached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..klips.eroute import Eroute
from ..net import Packet, Selector
from ..xfrm.model import Policy
from .fate import SAFETY, Fate


class Taker(NamedTuple):
    """What takes packets on one side, and what becomes of them.

    An eroute, or the policies that apply; neither for what stands for no eroute and no policy.
    ``code`` is the finding of what is exempt from an eroute.
    """

    fate: Fate
    eroute: Eroute | None = None
    policies: tuple[Policy, ...] = ()
    code: str = ""


class Region(NamedTuple):
    """Packets that the two sides treat differently, all taken by one taker on each side.

    ``packet`` is one of them, as it is on the wire in this direction, with ``mark``, ``if_id``
    and the index of the ``interface`` where they matter.  ``selector`` holds all of them, and
    maybe others that stronger takers have; ``None`` where no selector says it.  ``certain`` is
    false where the order of insertion, which nobody knows, may have made both the same;
    ``decided`` is false where the search was given up.  ``declared`` are findings of the
    translation that say so.
    """

    left: Taker
    right: Taker
    packet: Packet
    selector: Selector | None
    mark: int = 0
    if_id: int = 0
    interface: int = 0
    certain: bool = True
    decided: bool = True
    declared: tuple[str, ...] = ()

    @property
    def weaker(self) -> bool:
        """Whether the right side protects these packets less than the left one."""
        return SAFETY[self.right.fate.kind] < SAFETY[self.left.fate.kind]


@dataclass(frozen=True, slots=True)
class Check:
    """The comparison of one direction and family.

    ``pieces`` counts what was held against each other, left and right.  ``unreached`` are
    eroutes and policies that no packet reaches, of the left and of the right side.
    """

    direction: str
    family: int
    pieces: tuple[int, int]
    regions: tuple[Region, ...]
    unreached: tuple[tuple[Taker, ...], tuple[Taker, ...]] = ((), ())


@dataclass(frozen=True, slots=True)
class Proof:
    """All checks; equal when no check has a region."""

    checks: tuple[Check, ...]
    limits: tuple[str, ...] = ()
    """What the proof does not speak of, in words."""
    uncounted: tuple[Eroute, ...] = ()
    """Eroutes whose counter says that no packet ever took them."""

    @property
    def regions(self) -> int:
        """How many regions differ."""
        return sum(len(check.regions) for check in self.checks)

    @property
    def equal(self) -> bool:
        """Whether every packet meets the same fate."""
        return not self.regions
