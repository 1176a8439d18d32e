"""Eroutes with address bits outside their masks, and the passing ones that are doubtful for them.

KLIPS reached a row with host bits through its tree alone (:mod:`..klips.regions`), so that it did
not find it for all of the prefix that it is carried with.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..klips.host import KlipsHost
from ..klips.lookup import row_of
from .model import Treatment, Weight
from .precedence import Precedence


def with_host_bits(host: KlipsHost) -> list[int]:
    """Eroutes with address bits outside their masks."""
    return [
        position
        for position, (((_, near, near_mask), (_, far, far_mask), *_), *_) in enumerate(
            host.eroutes
        )
        if near & ~near_mask or far & ~far_mask
    ]


def unreached_passes(
    host: KlipsHost, treatments: Sequence[Treatment], loose: Sequence[int]
) -> set[int]:
    """Passing eroutes with host bits that KLIPS did not find for all of their prefix."""
    refused: set[int] = set()
    keys: dict[int, set[int]] = {}
    for position in loose:
        eroute = host.eroutes[position]
        if treatments[position].weight != Weight.PASS:
            continue
        key, mask = row_of(eroute.selector)
        family = eroute.selector.family
        if family not in keys:
            keys[family] = {
                row_of(e.selector)[0] for e in host.eroutes if e.selector.family == family
            }
        tested = 0
        for other in keys[family] - {key}:
            tested |= 1 << (key ^ other).bit_length() - 1
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
