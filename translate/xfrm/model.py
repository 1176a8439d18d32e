"""Policies and templates as ``ip xfrm`` has them (ip-xfrm(8), include/uapi/linux/xfrm.h)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from ..net import Selector


class Direction(StrEnum):
    """When the kernel looks a policy up.

    ``out`` for packets sent by this host and for forwarded ones, ``in`` for packets delivered to
    this host, ``fwd`` for forwarded ones, before ``out`` (net/xfrm/xfrm_policy.c).
    """

    OUT = "out"
    IN = "in"
    FWD = "fwd"


class Action(StrEnum):
    """What a policy does; with templates ``allow`` means: only if protected like this."""

    ALLOW = "allow"
    BLOCK = "block"


class Mode(StrEnum):
    """Modes that KLIPS knew too."""

    TRANSPORT = "transport"
    TUNNEL = "tunnel"


TEMPLATE_PROTOCOLS: Final = {50: "esp", 51: "ah", 108: "comp"}
"""XFRM protocol numbers to the names of ``ip xfrm``."""


class Template(NamedTuple):
    """What must be done to a packet, or must have been done to it: one ``tmpl`` of a policy.

    Addresses are 0 for any; ``family`` is that of the endpoints (a tunnel may carry one family in
    the other).  ``spi`` and ``reqid`` 0 mean any.  ``optional`` is ``level use``.
    """

    protocol: int
    mode: str
    family: int
    source: int = 0
    destination: int = 0
    reqid: int = 0
    spi: int = 0
    optional: bool = False


class Policy(NamedTuple):
    """One entry of the security policy database.

    The kernel's key is (direction, selector, mark, if_id, type); ``priority`` decides, the lowest
    number first.  ``port_masks`` is ``None`` for the full mask on a port that is not 0 and no
    mask on one that is, which is all that KLIPS and ``ip xfrm`` can say.  ``user`` is part of the
    key and is never matched.  ``index`` and ``ptype`` are what a dump shows.
    """

    direction: str
    selector: Selector
    priority: int
    action: str = "allow"
    templates: tuple[Template, ...] = ()
    mark: tuple[int, int] = (0, 0)
    if_id: int = 0
    port_masks: tuple[int, int] | None = None
    ifindex: int = 0
    index: int = 0  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    ptype: str = "main"
    user: int = 0

    @property
    def full_port_masks(self) -> tuple[int, int]:
        """The masks of both ports as the kernel has them."""
        if self.port_masks is not None:
            return self.port_masks
        selector = self.selector
        return (
            0xFFFF if selector.source_port else 0,
            0xFFFF if selector.destination_port else 0,
        )

    @property
    def key(self) -> PolicyKey:
        """What the kernel compares to tell two policies apart (xfrm_policy_insert_list)."""
        value, mask = self.mark
        return (
            self.direction,
            self.selector,
            self.full_port_masks,
            self.ifindex,
            (value & mask, mask),
            self.if_id,
            self.ptype,
            self.user,
        )


PolicyKey = tuple[str, Selector, tuple[int, int], int, tuple[int, int], int, str, int]
"""Direction, selector, port masks, interface, mark, if_id, type and user."""


class FirewallRule(NamedTuple):
    """A rule beside the policies: ``reject`` answers with ICMP, ``return`` shields an exception."""

    verdict: str
    selector: Selector
    origin: str
