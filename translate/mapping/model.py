"""The values of the mapping: options, rules and outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from ..klips.eroute import Eroute
from ..klips.said import SA_INT
from ..net import IPPROTO_ESP, Prefix, Selector
from ..xfrm.model import Direction, Mode, Policy, Template
from .algorithms import IcvLength

POLICIES_PER_PLACE: Final = 2
"""Priorities taken by one eroute: its exemptions first, then the eroute itself."""


class Inbound(StrEnum):
    """What to ask of packets that come in."""

    STRICT = "strict"
    """What should have come protected must (safer than KLIPS)."""

    KLIPS = "klips"
    """Clear text is accepted, as KLIPS did."""


class Scoping(StrEnum):
    """Whether the routes that were read have a part in what the policies reach."""

    ROUTES = "routes"
    """What was routed into ipsecN and no eroute covered is blocked; what was not is left alone."""

    EROUTES = "eroutes"
    """The eroutes alone decide."""


class TemplateBy(StrEnum):
    """How a template names its SA."""

    REQID = "reqid"
    SPI = "spi"


class Kind(StrEnum):
    """What became of one entry of the input."""

    EXACT = "exact"
    NOTED = "noted"
    APPROXIMATED = "approximated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the mapping, with its reason.  The table in docs/mapping.md shows them all.

    ``klips`` is what KLIPS did with a packet that matched, ``xfrm`` what XFRM will do,
    ``difference`` what is not the same, ``reason`` why it was chosen so, ``tested`` where.
    """

    name: str
    eroute: str
    klips: str
    xfrm: str
    difference: str
    reason: str
    tested: str


@dataclass(frozen=True, slots=True)
class Options:
    """What the user decided.

    ``local`` are addresses of this gateway; where none is given, those that were read are taken,
    and ``ends`` are those of them that tunnels start from.  ``assume`` is the group behind a
    tunnel SAID that names none, protocols from the inside out.  ``bypass`` are networks that were
    never routed into ipsecN; ``routed`` are destinations that were, where KLIPS dropped what no
    eroute covered.  ``scope`` tells whether routes that were read are used where ``routed`` says
    nothing; what they come to is then in ``bypass``, in ``blocked`` (destinations where what no
    eroute covers is blocked, without a bound for the eroutes) and in ``spared`` (what is not,
    because it is not certain that it went there).  The band of priorities starts at
    ``priority_base``; reqids at ``reqid_base``, or one ``reqid`` for all.  ``icv`` overrides what
    the version tells of SHA-2 check values.
    """

    local: tuple[tuple[int, int], ...] = ()
    inbound: Inbound = Inbound.STRICT
    template_by: TemplateBy = TemplateBy.REQID
    assume: tuple[int, ...] = (IPPROTO_ESP,)
    reject_rule: bool = True
    bypass: tuple[Prefix, ...] = ()
    routed: tuple[Prefix, ...] = ()
    priority_base: int = 1_000_000_000
    reqid_base: int = 1_000_000
    reqid: int | None = None
    mask_limit: int = 64
    crossing_limit: int = 200_000
    exception_limit: int = 64
    icv: IcvLength | None = None
    scope: Scoping = Scoping.ROUTES
    blocked: tuple[Prefix, ...] = ()
    spared: tuple[Selector, ...] = ()
    ends: tuple[tuple[int, int], ...] = ()


class Shield(NamedTuple):
    """Policies that keep a wide eroute off traffic which KLIPS exempted from it.

    Each selector is allowed in its direction, or blocked for forwarded packets, with a priority
    just before that of the eroute.
    """

    direction: str
    selector: Selector
    action: str


class Step(NamedTuple):
    """The form of one template: what is the same for all groups of one kind.

    ``optional`` is ``level use`` in the inbound policies; outbound it is always required.
    """

    protocol: int
    mode: str
    optional: bool


class Treatment(NamedTuple):
    """What a rule decided for all eroutes of one kind.

    ``steps`` are the forms of the templates, none for a shunt that does not ask.  ``inbound``
    tells whether there are mirrored policies, ``forwarded`` whether ``fwd`` is among them.
    ``weight`` is how much protection the treatment gives (see :class:`Weight`).  ``local`` is
    this gateway's end of a tunnel, 0 when it is left to the kernel; ``by_spi`` lets outbound
    templates name the SPI.
    """

    kind: str
    rule: str
    action: str
    steps: tuple[Step, ...]
    inbound: bool
    forwarded: bool
    weight: int
    codes: tuple[str, ...]
    local: int = 0
    by_spi: bool = False

    @property
    def asks_inbound(self) -> bool:
        """Whether a packet coming in in clear would be dropped."""
        return self.inbound and any(not step.optional for step in self.steps)


class Weight(IntEnum):
    """How safe a verdict is; the larger the safer.  The safer one wins where nobody can tell."""

    PASS = 0
    PROTECT = 1
    ASK = 2
    BLOCK = 3


class Outcome(NamedTuple):
    """What became of one eroute.

    ``selectors`` are usually the one of the eroute; none when it is carried by another eroute or
    not at all, several when a mask with holes was taken apart.  ``reqid`` is that of its
    templates.  ``reason`` is said for what is refused.  ``shadowed`` are directions and selectors
    that a stronger policy has taken, so that this eroute's own is left out there.  ``exception``
    tells that this is not the eroute's outcome but a part of it that goes before all others.
    ``if_id`` is that of the interface that its packets are routed into, 0 without one.
    """

    eroute: Eroute
    treatment: Treatment
    selectors: tuple[Selector, ...]
    reqid: int = 0
    shields: tuple[Shield, ...] = ()
    priority: int = 0
    reason: str = ""
    shadowed: tuple[tuple[str, Selector], ...] = ()
    exception: bool = False
    if_id: int = 0

    @property
    def kind(self) -> str:
        """Exact, noted, approximated or refused."""
        return self.treatment.kind

    @property
    def templates(self) -> tuple[tuple[Template, ...], tuple[Template, ...]]:
        """The templates of the outbound and of the inbound policies."""
        steps = self.treatment.steps
        if not steps:
            return (), ()
        saids, local, reqid = self.eroute.saids, self.treatment.local, self.reqid
        shunt = saids[0].protocol == SA_INT
        outer = self.eroute.selector.family if shunt else saids[0].family
        remote = saids[0].destination
        spis = {said.protocol: said.spi for said in saids} if self.treatment.by_spi else {}
        out: list[Template] = []
        inward: list[Template] = []
        for protocol, mode, optional in steps:
            here, there = (local, remote) if mode == TUNNEL_MODE else (0, 0)
            spi = spis.get(protocol, 0)
            out.append(Template(protocol, mode, outer, here, there, reqid, spi))
            inward.append(Template(protocol, mode, outer, there, here, reqid, 0, optional))
        return tuple(out), tuple(inward)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies of this eroute, built anew at each call: kept, they would fill memory."""
        priority = self.priority
        found: dict[tuple[str, Selector], Policy] = {}
        for shield in self.shields:
            direction, selector, action = shield
            found[direction, selector] = Policy(direction, selector, priority - 1, action)
        out, inward = self.templates
        treatment = self.treatment
        for selector in self.selectors:
            found.setdefault(
                (OUT, selector), Policy(OUT, selector, priority, treatment.action, out)
            )
            if treatment.inbound:
                mirror = selector.mirrored()
                found.setdefault((IN, mirror), Policy(IN, mirror, priority, ALLOW, inward))
                if treatment.forwarded:
                    found.setdefault((FWD, mirror), Policy(FWD, mirror, priority, ALLOW, inward))
        for place in self.shadowed:
            found.pop(place, None)
        if self.if_id:
            return tuple([policy._replace(if_id=self.if_id) for policy in found.values()])
        return tuple(found.values())


TUNNEL_MODE: Final = Mode.TUNNEL.value
TRANSPORT_MODE: Final = Mode.TRANSPORT.value
OUT: Final = Direction.OUT.value
IN: Final = Direction.IN.value
FWD: Final = Direction.FWD.value
ALLOW: Final = "allow"
BLOCK: Final = "block"
