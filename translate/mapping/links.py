"""Interfaces to route into, and the routes into them: what ``--interface xfrm`` adds."""

from __future__ import annotations

from typing import NamedTuple

from ..klips.association import Address
from ..net import Prefix


class Link(NamedTuple):
    """An ``xfrm`` link in the place of ``ipsecN``, named like it.

    ``mtu`` is 0 where the kernel's choice is as good: that of the physical device.
    """

    name: str
    physical: str
    if_id: int
    mtu: int = 0


class LinkRoute(NamedTuple):
    """A route into a link, or one around it, by a gateway on the physical device, to a peer."""

    destination: Prefix
    device: str
    gateway: Address | None = None
    source: Address | None = None
    metric: int = 0
    table: str = "main"


class Interfaces(NamedTuple):
    """Links, the routes to the peers around them, and the routes into them, in this order."""

    links: tuple[Link, ...]
    around: tuple[LinkRoute, ...]
    routes: tuple[LinkRoute, ...]
