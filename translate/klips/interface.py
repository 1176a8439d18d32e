"""Interfaces, addresses and routes of a KLIPS host, and what ``ipsec tncfg`` attached."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..diagnostics import Span
from ..net import Prefix
from .association import Address

_VIRTUAL: Final = re.compile(r"ipsec[0-9]{1,3}", re.ASCII)


def is_virtual(device: str) -> bool:
    """Whether this is a device of KLIPS: ``ipsecN``; ``mastN`` takes marked packets alone."""
    return _VIRTUAL.fullmatch(device) is not None


class Attachment(NamedTuple):
    """A virtual interface and the physical one below it (ipsec_tncfg(5)); ``None`` if detached.

    ``mtu`` is that of the virtual device, ``effective_mtu`` the private one, ``physical_mtu`` that
    of the device below; 0 where unknown.  ``bare`` marks a device that its driver had not set up:
    its row is the name alone.
    """

    device: str
    physical: str | None
    span: Span
    mtu: int = 0
    effective_mtu: int = 0
    physical_mtu: int = 0
    bare: bool = False


class InterfaceAddress(NamedTuple):
    """An address of an interface.  ``network`` keeps the address itself: host bits stay."""

    device: str
    network: Prefix
    span: Span
    peer: Address | None = None


class Route(NamedTuple):
    """A row of a routing table.

    ``kind`` is ``unicast``, ``local``, ``broadcast``, ``blackhole``, ``unreachable``,
    ``prohibit`` or ``throw``; ``device`` is empty where the kind has none.  ``origin`` is who made
    it, where ``ip route`` tells: ``kernel`` for what comes with an address.
    """

    destination: Prefix
    device: str
    span: Span
    gateway: Address | None = None
    source: Address | None = None
    metric: int = 0
    table: str = "main"
    kind: str = "unicast"
    origin: str = ""


class RoutingRule(NamedTuple):
    """A row of ``ip rule``: which packets look up which table, the lowest priority first.

    ``None`` stands for any source, destination or mark; ``mark`` is value and mask.  ``table`` is
    a table's name or number, or an action such as ``blackhole``.  ``others`` are words that are
    kept as they stand (``tos``, ``oif`` and the like).
    """

    priority: int
    table: str
    span: Span
    source: Prefix | None = None
    destination: Prefix | None = None
    mark: tuple[int, int] | None = None
    incoming: str = ""
    inverted: bool = False
    others: tuple[str, ...] = ()
