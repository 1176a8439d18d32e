"""The IPv6 ``%hold`` that the kernel makes by itself, with a mask that is a slip.

ipsec_xmit.c:create_hold_eroute takes the address of all nodes of a link for the mask of a host.
"""

from __future__ import annotations

from typing import Final

from ..net import ALL_ONES, Prefix, Selector
from .eroute import Eroute
from .said import SA_INT, SPI_HOLD

LINK_LOCAL_ALL_NODES: Final = 0xFF02 << 112 | 1
"""ff02::1, which ipsec_xmit.c:create_hold_eroute takes for the mask of a host."""


def is_kernel_hold(selector: Selector) -> bool:
    """Whether both masks are the ff02::1 that the kernel puts into its own IPv6 %hold."""
    return (
        selector.source.mask == LINK_LOCAL_ALL_NODES
        and selector.destination.mask == LINK_LOCAL_ALL_NODES
    )


def is_made_by_kernel(eroute: Eroute) -> bool:
    """Whether an eroute is such a %hold: it is carried for its two hosts (finding ET221)."""
    said = eroute.said
    return said.protocol == SA_INT and said.spi == SPI_HOLD and is_kernel_hold(eroute.selector)


def host_pair(selector: Selector) -> Selector:
    """The two hosts of a %hold that the kernel made."""
    family = selector.family
    return selector._replace(
        source=Prefix(family, selector.source.address, ALL_ONES[family]),
        destination=Prefix(family, selector.destination.address, ALL_ONES[family]),
    )
