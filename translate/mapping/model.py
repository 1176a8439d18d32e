"""The values of the mapping: options, rules and outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from ..klips.eroute import Eroute
from ..net import IPPROTO_ESP, Prefix, Selector
from ..xfrm.model import Direction, Policy, Template

POLICIES_PER_PLACE: Final = 2
"""Priorities taken by one eroute: its exemptions first, then the eroute itself."""


class Inbound(StrEnum):
    """What to ask of packets that come in."""

    STRICT = "strict"
    """What should have come protected must (safer than KLIPS)."""

    KLIPS = "klips"
    """Clear text is accepted, as KLIPS did."""


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

    ``local`` are addresses of this gateway.  ``assume`` is the group behind a tunnel SAID that
    names none, protocols from the inside out.  ``bypass`` are networks that were never routed
    into ipsecN; ``routed`` are destinations that were, where KLIPS dropped what no eroute
    covered.  The band of priorities starts at ``priority_base``; reqids at ``reqid_base``, or
    one ``reqid`` for all.
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


class Shield(NamedTuple):
    """Policies that keep a wide eroute off traffic which KLIPS exempted from it.

    Each selector is allowed in its direction, or blocked for forwarded packets, with a priority
    just before that of the eroute.
    """

    direction: str
    selector: Selector
    action: str


class Treatment(NamedTuple):
    """What a rule decided for an eroute, before it is given a priority.

    ``inbound`` are the templates of the mirrored policies, ``None`` for no inbound policies;
    ``forwarded`` tells whether there is a ``fwd`` policy too.  ``weight`` is how much protection
    the treatment gives (see :class:`Weight`).
    """

    kind: str
    rule: str
    action: str
    templates: tuple[Template, ...]
    inbound: tuple[Template, ...] | None
    forwarded: bool
    weight: int
    codes: tuple[str, ...]


class Weight(NamedTuple):
    """How safe a verdict is; the larger the safer.  The safer one wins where nobody can tell."""

    PASS = 0
    PROTECT = 1
    ASK = 2
    BLOCK = 3


class Outcome(NamedTuple):
    """What became of one eroute.

    ``selectors`` are usually the one of the eroute; none when it is carried by another eroute or
    not at all, several when a mask with holes was taken apart.  ``reason`` is said for refused
    and approximated ones.
    """

    eroute: Eroute
    treatment: Treatment
    selectors: tuple[Selector, ...]
    shields: tuple[Shield, ...] = ()
    priority: int = 0
    reason: str = ""

    @property
    def kind(self) -> str:
        """Exact, noted, approximated or refused."""
        return self.treatment.kind

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies of this eroute, built anew at each call: kept, they would fill memory."""
        found: list[Policy] = []
        priority = self.priority
        for shield in self.shields:
            found.append(
                Policy(shield.direction, shield.selector, priority - 1, action=shield.action)
            )
        _, _, action, templates, inbound, forwarded, _, _ = self.treatment
        new = tuple.__new__  # 300 000 policies: half the price of calling Policy
        for selector in self.selectors:
            found.append(
                new(
                    Policy,
                    (OUT, selector, priority, action, templates, (0, 0), 0, None, 0, 0, "main"),
                )
            )
            if inbound is None:
                continue
            mirror = new(
                Selector, (selector[1], selector[0], selector[2], selector[4], selector[3])
            )
            found.append(
                new(Policy, (IN, mirror, priority, "allow", inbound, (0, 0), 0, None, 0, 0, "main"))
            )
            if forwarded:
                found.append(
                    new(
                        Policy,
                        (FWD, mirror, priority, "allow", inbound, (0, 0), 0, None, 0, 0, "main"),
                    )
                )
        return tuple(found)


OUT: Final = Direction.OUT.value
IN: Final = Direction.IN.value
FWD: Final = Direction.FWD.value
ALLOW: Final = "allow"
BLOCK: Final = "block"
