"""Eroutes with address bits outside their masks, and the passing ones that are doubtful for them.

KLIPS reached a row with host bits through its tree alone (:mod:`..klips.regions`), so that it did
not find it for all of the prefix that it is carried with.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..klips.host import KlipsHost
from ..klips.kernel_hold import is_made_by_kernel
from ..klips.lookup import row_of
from .model import Treatment, Weight
from .precedence import Precedence


def with_host_bits(host: KlipsHost) -> list[int]:
    """Eroutes with address bits outside their masks, but for those that the kernel made itself."""
    return [
        position
        for position, (((_, near, near_mask), (_, far, far_mask), *_), *_) in enumerate(
            host.eroutes
        )
        if (near & ~near_mask or far & ~far_mask) and not is_made_by_kernel(host.eroutes[position])
    ]


def unreached_passes(
    host: KlipsHost,
    treatments: Sequence[Treatment],
    precedence: Precedence,
    loose: Sequence[int],
) -> set[int]:
    """Passing eroutes with host bits that KLIPS did not find for all of their prefix."""
    refused: set[int] = set()
    for position in loose:
        eroute = host.eroutes[position]
        if treatments[position].weight == Weight.PASS:
            key, mask = row_of(eroute.selector)
            tested = precedence.crossed[eroute.selector.family].crossings.path_bits(key)
            if tested & ~mask:
                refused.add(position)
    return refused


def doubtful_passes(
    host: KlipsHost,
    treatments: Sequence[Treatment],
    precedence: Precedence,
    loose: Sequence[int],
) -> set[int]:
    """Passing eroutes before a safer one with host bits, which KLIPS may have found first.

    Its key lies deeper in the tree than its mask tells, also below narrower eroutes.
    """
    refused: set[int] = set()
    place = {position: at for at, position in enumerate(precedence.order)}
    for position in loose:
        eroute = host.eroutes[position]
        key, mask = row_of(eroute.selector)
        if treatments[position].weight == Weight.PASS:
            continue
        family = eroute.selector.family
        crossed = precedence.crossed[family]
        for other in crossed.crossings.touching((key & mask, mask)):
            stronger = crossed.members[other]
            if treatments[stronger].weight == Weight.PASS and place[stronger] < place[position]:
                refused.add(stronger)
    return refused
