"""Masks that XFRM cannot express: with holes, or under an address with host bits."""

from __future__ import annotations

from itertools import product
from typing import Final

from ..klips.eroute import Eroute
from ..net import ALL_ONES, MASK_OF_LENGTH, WIDTH, Prefix, Selector
from .model import Rule

HOLES: Final = Rule(
    name="mask-with-holes",
    eroute="any, with a mask such as 255.0.255.0",
    klips="Compared the bits of the mask, wherever they are.",
    xfrm="The mask is taken apart into prefixes, each with its policies, when there are at most"
    " --mask-limit of them. Otherwise refused; --allow-partial blocks the narrowest prefixes that"
    " cover the mask.",
    difference="None.",
    reason="XFRM has prefix lengths only.",
    tested="tests/unit/test_mapping.py",
)

HOST_BITS: Final = Rule(
    name="host-bits",
    eroute="any, with address bits outside its mask",
    klips="Found such an eroute only when the descent in its tree ended at its key; the mask"
    " decided then.",
    xfrm="The prefix without the host bits. A %pass that KLIPS did not find for all of it is"
    " refused.",
    difference="Packets may match that KLIPS did not find; they are protected or blocked.",
    reason="The set of packets that KLIPS found is no prefix.",
    tested="tests/golden, tests/unit/test_mapping.py",
)

KERNEL_HOLD: Final = Rule(
    name="kernel-hold",
    eroute="%hold of an IPv6 host pair with the mask ff02::1",
    klips="Made by the kernel for one pair of hosts when a %trap was hit, with a wrong mask.",
    xfrm="As %hold, for the two hosts.",
    difference="Hosts that matched the wrong mask by chance are left to their own eroutes.",
    reason="The eroute was meant for the pair; it goes away as soon as the daemon answers.",
    tested="tests/unit/test_mapping.py",
)

PORTS: Final = Rule(
    name="ports",
    eroute="any, with ports but without TCP or UDP",
    klips="Read ports from TCP and UDP alone: an eroute with ports and no protocol matched both,"
    " one with ports and another protocol never matched.",
    xfrm="With no protocol, one policy for TCP and one for UDP; with another one, none.",
    difference="None.",
    reason="XFRM compares ports of SCTP and UDP-Lite too.",
    tested="tests/unit/test_mapping.py",
)

RULES: Final = (PORTS, HOLES, HOST_BITS, KERNEL_HOLD)


def prefix_count(prefix: Prefix) -> int:
    """How many prefixes it takes to say the same."""
    return 1 << _free_bits(prefix.mask, WIDTH[prefix.family]).bit_count()


def _free_bits(mask: int, width: int) -> int:
    """The holes of a mask: its zeros above its lowest one."""
    if not mask:
        return 0
    low = (mask & -mask) - 1
    return ~(mask | low) & ((1 << width) - 1)


def prefixes(prefix: Prefix) -> list[Prefix]:
    """Take a mask with holes apart; the prefixes are disjoint and ascend."""
    family, address, mask = prefix
    holes = _free_bits(mask, WIDTH[family])
    length = WIDTH[family] - ((mask & -mask).bit_length() - 1) if mask else 0
    whole = MASK_OF_LENGTH[family][length]
    result = []
    part = 0
    while True:
        result.append(Prefix(family, address & mask | part, whole))
        if part == holes:
            return result
        # The next subset of the holes, counting upward.
        part = (part - holes) & holes


def around(selector: Selector) -> Selector:
    """The narrowest selector with plain prefixes that covers one whose masks have holes."""
    return selector._replace(
        source=_around(selector.source), destination=_around(selector.destination)
    )


def _around(prefix: Prefix) -> Prefix:
    family, address, mask = prefix
    width = WIDTH[family]
    length = width - (~mask & ALL_ONES[family]).bit_length()
    return Prefix(family, address, MASK_OF_LENGTH[family][length]).network


def without_holes(eroute: Eroute) -> tuple[Selector, ...]:
    """The selectors that say the same as one eroute whose masks have holes."""
    selector = eroute.selector
    return tuple(
        selector._replace(source=source, destination=destination)
        for source, destination in product(
            prefixes(selector.source), prefixes(selector.destination)
        )
    )
