"""Policies and templates as ``ip xfrm`` has them (ip-xfrm(8), include/uapi/linux/xfrm.h)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from ..net import Selector
from ..secret import Secret


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

    ``octets`` is the whole body of a policy's message where it says what no field has room for
    (limits, flags, a security context, an offload, algorithm masks), so that it can be put back as
    it was; counters and index are zero in it.  It is empty for all policies of a translation, and
    where it is not it outweighs the fields when the policy is installed.
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
    octets: bytes = b""

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
        """What the kernel compares to tell two policies apart (xfrm_policy_insert_list).

        Most policies differ in direction and selector alone, and their key is short.
        """
        value, mask = self.mark
        plain = not (mask or self.if_id or self.ifindex or self.user) and self.ptype == "main"
        if plain and self.port_masks is None:
            return (self.direction, self.selector)
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


PolicyKey = (
    tuple[str, Selector]
    | tuple[str, Selector, tuple[int, int], int, tuple[int, int], int, str, int]
)
"""Direction and selector, and where they say something port masks, interface, mark and the rest."""


class FirewallRule(NamedTuple):
    """A rule beside the policies: ``reject`` answers with ICMP, ``return`` shields an exception."""

    verdict: str
    selector: Selector
    origin: str


class Algorithm(NamedTuple):
    """One algorithm of a state: its kernel name (net/xfrm/xfrm_algo.c), key and truncation.

    ``bits`` is the length of the integrity check value for an authenticator, else 0.
    """

    name: str
    key: Secret
    bits: int = 0


class Limits(NamedTuple):
    """Limits of a state's life, soft and hard, in seconds, octets and packets; 0 is no limit."""

    add_soft: int = 0
    add_hard: int = 0
    use_soft: int = 0
    use_hard: int = 0
    bytes_soft: int = 0
    bytes_hard: int = 0
    packets_soft: int = 0
    packets_hard: int = 0


class UdpEncapsulation(NamedTuple):
    """``encap``: ``espinudp`` (RFC 3948) or ``espinudp-nonike`` (draft), and the UDP ports."""

    kind: str
    source_port: int
    destination_port: int


class Replay(NamedTuple):
    """Sequence numbers: the last one sent, the last one received, and the window below it."""

    sent: int = 0
    received: int = 0
    bitmap: int = 0


class State(NamedTuple):
    """One entry of the security association database.

    The kernel's key is (destination, SPI, protocol, family, mark).  ``selector`` is what the
    inner packet of a state must look like, ``None`` for anything.  ``flags`` and
    ``extra_flags`` are words of ``ip xfrm state`` (``nopmtudisc``, ``noecn``,
    ``dont-encap-dscp``).  ``more`` numbers the attributes (XFRMA_*) of a dumped state that no field
    has room for: such a state cannot be made again as it was.
    """

    protocol: int
    family: int
    source: int
    destination: int
    spi: int
    mode: str
    reqid: int = 0
    encryption: Algorithm | None = None
    authentication: Algorithm | None = None
    compression: str = ""
    replay_window: int = 0
    selector: Selector | None = None
    flags: tuple[str, ...] = ()
    extra_flags: tuple[str, ...] = ()
    limits: Limits = Limits()
    encapsulation: UdpEncapsulation | None = None
    mark: tuple[int, int] = (0, 0)
    if_id: int = 0
    replay: Replay = Replay()
    more: tuple[int, ...] = ()

    @property
    def key(self) -> StateKey:
        """What the kernel compares to tell two states apart (xfrm_state.c:xfrm_state_lookup)."""
        value, mask = self.mark
        return (self.family, self.destination, self.spi, self.protocol, (value & mask, mask))


StateKey = tuple[int, int, int, int, tuple[int, int]]
"""Family, destination, SPI, protocol and mark."""
