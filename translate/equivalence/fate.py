"""What becomes of a packet, in words that KLIPS and XFRM share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from ..klips.eroute import Eroute
from ..klips.said import (
    SA_INT,
    SA_IPIP,
    SPI_DROP,
    SPI_HOLD,
    SPI_PASS,
    SPI_REJECT,
    SPI_TRAP,
    SPI_TRAPSUBNET,
    Said,
)
from ..net import IPPROTO_AH, IPPROTO_COMP, IPPROTO_ESP, format_address
from ..xfrm.model import TEMPLATE_PROTOCOLS, Policy, Template


class Kind(StrEnum):
    """The kinds of fate, the safest last but one.

    ``EITHER`` accepts a packet clear and protected alike; it is said of packets that come in, and
    of outbound IPCOMP.  ``ANY`` stands where nothing is asked for.
    """

    CLEAR = "clear"
    EITHER = "clear or protected"
    PROTECTED = "protected"
    ASKED = "the key daemon is asked"
    REJECTED = "dropped with an ICMP error"
    DROPPED = "dropped"
    ANY = "any"


SAFETY: Final = {
    Kind.CLEAR: 0,
    Kind.EITHER: 1,
    Kind.PROTECTED: 2,
    Kind.ASKED: 3,
    Kind.REJECTED: 4,
    Kind.DROPPED: 4,
    Kind.ANY: 5,
}


class Layer(NamedTuple):
    """One protocol that is applied: its number, 0 where it is not known, and its far end.

    ``far`` is the family and address of the far end of a tunnel, ``None`` in transport mode.
    """

    protocol: int
    far: tuple[int, int] | None = None


class Fate(NamedTuple):
    """What becomes of a packet.

    ``layers`` run from the inside out.  ``saids`` name the group where it is known; ``mirrored``
    tells that a selector covers its own mirror image, so that packets coming in cannot be asked
    for protection (finding ET213).  ``templates`` are those of XFRM, whole.
    """

    kind: Kind
    layers: tuple[Layer, ...] = ()
    saids: tuple[Said, ...] = ()
    mirrored: bool = False
    templates: tuple[Template, ...] = ()

    def __str__(self) -> str:
        words = " and ".join(_layer(layer) for layer in self.layers)
        if self.kind is Kind.PROTECTED:
            return f"protected by {words}"
        if self.kind is Kind.EITHER:
            return f"clear, or protected by {words}"
        return _WORDS[self.kind]


_WORDS: Final = {
    Kind.CLEAR: "in clear",
    Kind.ASKED: "dropped, and the key daemon asked",
    Kind.REJECTED: "dropped, with an ICMP error",
    Kind.DROPPED: "dropped",
    Kind.ANY: "any",
}


def _layer(layer: Layer) -> str:
    number = layer.protocol
    name = TEMPLATE_PROTOCOLS.get(number, str(number)).upper() if number else _UNKNOWN_GROUP
    if layer.far is None:
        return name
    family, address = layer.far
    where = format_address(family, address) if address else "any gateway"
    return f"{name} in a tunnel with {where}"


_UNKNOWN_GROUP: Final = "a group that is not known"

CLEAR: Final = Fate(Kind.CLEAR)
DROPPED: Final = Fate(Kind.DROPPED)
REJECTED: Final = Fate(Kind.REJECTED)
ASKED: Final = Fate(Kind.ASKED)
ANY: Final = Fate(Kind.ANY)

_SHUNTS: Final = {
    SPI_PASS: CLEAR,
    SPI_DROP: DROPPED,
    SPI_REJECT: REJECTED,
    SPI_HOLD: ASKED,
    SPI_TRAP: ASKED,
    SPI_TRAPSUBNET: ASKED,
}


def fate_of_eroute(eroute: Eroute, assume: Sequence[int] = ()) -> Fate:
    """What KLIPS did with the packets of a row (ipsec_tunnel.c, ipsec_xmit.c).

    ``assume`` is the group of a tunnel SAID whose group is not known; without it the group stays
    open.  A row whose SAID could not be read let nothing pass, as far as anybody knows.
    """
    said = eroute.said
    if eroute.defect or said.unknown:
        return DROPPED
    if said.protocol == SA_INT:
        return _SHUNTS.get(said.spi, DROPPED)
    if said.is_passthrough:
        return CLEAR  # as the manual page has it (finding ET205)
    protocols = [s.protocol for s in eroute.saids if s.protocol != SA_IPIP]
    if said.protocol != SA_IPIP:
        return Fate(Kind.PROTECTED, tuple(Layer(p) for p in protocols), eroute.saids)
    far = (said.family, said.destination)
    first, *rest = protocols or assume or (0,)
    return Fate(Kind.PROTECTED, (Layer(first, far), *(Layer(p) for p in rest)), eroute.saids)


def fate_of_policies(
    policies: Sequence[Policy],
    direction: str,
    default: str = "allow",
    asking: frozenset[int] = frozenset(),
    groups: Mapping[int, tuple[Said, ...]] | None = None,
) -> Fate:
    """What XFRM does with the packets that policies take; none stands for the default.

    ``asking`` are reqids that no SA ever has: a policy with one of them asks the key daemon.
    ``groups`` are the groups of SAs that reqids stand for, where that is known.
    """
    if not policies:
        return DROPPED if default == "block" else CLEAR
    if any(policy.action == "block" for policy in policies):
        return DROPPED
    templates = [t for policy in policies for t in policy.templates]
    if not templates:
        return CLEAR
    if any(t.reqid in asking for t in templates):
        return ASKED
    kind = Kind.EITHER if all(t.optional for t in templates) else Kind.PROTECTED
    saids: tuple[Said, ...] = ()
    if groups is not None:
        saids = groups.get(templates[0].reqid, ())
    return Fate(
        kind,
        tuple(_layer_of(t, direction) for t in templates),
        saids,
        templates=tuple(_compared(t) for t in templates),
    )


def _compared(template: Template) -> Template:
    """The template without what the kernel does not look at: endpoints of transport mode."""
    if template.mode != "transport":
        return template
    return template._replace(source=0, destination=0, family=0)


def _layer_of(template: Template, direction: str) -> Layer:
    if template.mode != "tunnel":
        return Layer(template.protocol)
    far = template.destination if direction == "out" else template.source
    return Layer(template.protocol, (template.family, far))


def agree(expected: Fate, actual: Fate, direction: str) -> bool:
    """Whether XFRM does with a packet what KLIPS did; directions are seen from XFRM.

    Packets coming in that are to be protected must be, but for the rows that cover their own
    mirror image; those that come in clear are accepted by ``EITHER`` too.  An ICMP error is a
    matter of the firewall rule beside the policy, which is looked at elsewhere.
    """
    wanted, given = expected.kind, actual.kind
    if Kind.ANY in (wanted, given):
        return True
    if wanted in (Kind.DROPPED, Kind.REJECTED):
        return given in (Kind.DROPPED, Kind.REJECTED)
    if wanted is Kind.ASKED:
        return given is Kind.ASKED or _only_asks(actual)
    if wanted is Kind.CLEAR:
        return given is Kind.CLEAR or (direction != "out" and given is Kind.EITHER)
    loose = wanted is Kind.EITHER or expected.mirrored or _compresses(expected)
    if given is not Kind.PROTECTED and not (loose and given is Kind.EITHER):
        return False
    return _same_layers(expected, actual) and _same_group(expected, actual)


def _only_asks(fate: Fate) -> bool:
    """Whether this is the form in which key daemons of today express ``%trap``: one ESP template
    in transport mode, whose reqid nobody here can tell from one that an SA has.
    """
    return fate.kind is Kind.PROTECTED and fate.layers == (Layer(IPPROTO_ESP),) and not fate.saids


def _compresses(fate: Fate) -> bool:
    return all(layer.protocol == IPPROTO_COMP for layer in fate.layers)


def _same_layers(expected: Fate, actual: Fate) -> bool:
    wanted, given = expected.layers, actual.layers
    if wanted and wanted[0].protocol == 0:
        # A tunnel with a group that is not known: any that protects will do.
        protects = any(layer.protocol in (IPPROTO_ESP, IPPROTO_AH) for layer in given)
        return bool(given) and given[0].far == wanted[0].far and protects
    return wanted == given


def _same_group(expected: Fate, actual: Fate) -> bool:
    return not expected.saids or not actual.saids or expected.saids == actual.saids


def same_in_xfrm(one: Fate, other: Fate) -> bool:
    """Whether two sets of policies do the same, SPIs and reqids included."""
    return one.kind is other.kind and one.templates == other.templates


def same_in_klips(one: Fate, other: Fate) -> bool:
    """Whether two KLIPS hosts do the same; SPIs are left out, for each rekeying changes them."""
    if Kind.ANY in (one.kind, other.kind):
        return True
    return one.kind is other.kind and one.layers == other.layers
