"""KLIPS's associations to states of XFRM: addresses, modes, algorithms, flags, reqids.

A group is [tun] [comp] [esp] [ah] from the inside out.  XFRM has no state for the IP-in-IP header:
the first other member of the group has tunnel mode and its addresses instead; those behind it
have transport mode on the header that is there by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..klips.association import Address, Association
from ..klips.host import KlipsHost
from ..klips.said import PREFIX_OF, SA_AH, SA_COMP, SA_ESP, SA_IPIP, SPI_FIRST, Said
from ..net import IPPROTO_COMP, Selector
from ..secret import Secret
from ..xfrm.model import Algorithm, Limits, Replay, State, UdpEncapsulation
from .algorithms import (
    AUTHENTICATORS,
    CIPHERS,
    COMPRESSIONS,
    WEAK,
    IcvLength,
    icv_bits,
    icv_of_version,
)
from .model import TRANSPORT_MODE, TUNNEL_MODE, Options, Outcome
from .outer_header import outer_header

_CPI_BITS: Final = 0xFFFF
_ENCAPSULATIONS: Final = {"nonesp": "espinudp", "nonike": "espinudp-nonike"}


class Carried(NamedTuple):
    """What became of one association.

    ``state`` is ``None`` when it has none: an IP-in-IP header (``ipip``), an association whose
    keys are not known (``asked``: the policy asks the key daemon), or a refused one, whose
    ``reason`` says why.
    """

    association: Association
    kind: str
    state: State | None = None
    codes: tuple[str, ...] = ()
    reason: str = ""


class _RefusedError(Exception):
    def __init__(self, reason: str, code: str = "ET243") -> None:
        super().__init__(reason)
        self.code = code


@dataclass(slots=True)
class _Place:
    """Where an association stands: its group, its reqid, its direction, what the header is."""

    group: tuple[Said, ...]
    reqid: int = 0
    inbound: bool = False
    tied: bool = False


@dataclass(slots=True)
class _Context:
    host: KlipsHost
    options: Options
    by_said: Mapping[Said, Association]
    here: frozenset[Address]
    icv: IcvLength
    icv_known: bool
    places: dict[Said, _Place] = field(default_factory=dict)


def carry_associations(
    host: KlipsHost, outcomes: Sequence[Outcome], options: Options
) -> tuple[Carried, ...]:
    """Map every association of a host.  Pure."""
    if not host.associations:
        return ()
    by_said = {association.said: association for association in host.associations}
    told = icv_of_version(host.version)
    context = _Context(
        host,
        options,
        by_said,
        frozenset(options.local) | frozenset(host.local_addresses),
        options.icv or told or IcvLength.CLASSIC,
        icv_known=options.icv is not None or told is not None,
    )
    _find_places(context, outcomes)
    return tuple(_carry(context, association) for association in host.associations)


def _find_places(context: _Context, outcomes: Iterable[Outcome]) -> None:
    """Give each association its group, its direction and the reqid of the eroute that needs it."""
    groups = [group.saids for group in context.host.groups]
    for group in groups:
        inbound = _is_inbound(context, group)
        for said in group:
            context.places.setdefault(said, _Place(group, inbound=inbound))
    protecting = [o for o in outcomes if o.reqid and not o.eroute.said.is_shunt]
    for outcome in protecting:
        for said in outcome.eroute.saids:
            place = context.places.setdefault(said, _Place(outcome.eroute.saids))
            place.reqid, place.tied, place.inbound = outcome.reqid, True, False
    for association in context.host.associations:
        context.places.setdefault(
            association.said,
            _Place((association.said,), inbound=_is_inbound(context, (association.said,))),
        )
    for group in dict.fromkeys(place.group for place in context.places.values()):
        if context.places[group[0]].inbound:
            _tie_inbound(context, group, protecting)


def _is_inbound(context: _Context, group: Sequence[Said]) -> bool:
    for said in group:
        association = context.by_said.get(said)
        if association is not None and association.inbound is not None:
            return association.inbound
    last = group[-1]
    return (last.family, last.destination) in context.here


def _tie_inbound(context: _Context, group: tuple[Said, ...], protecting: Sequence[Outcome]) -> None:
    """Find the eroute whose answers come through an inbound group.

    By the packets that its IP-in-IP association accepts (``policy=``), else by the peer's address
    and the same protocols.
    """
    members = [context.by_said[said] for said in group if said in context.by_said]
    accepted = next((m.policy for m in members if m.policy is not None), None)
    peer = next((m.source for m in members if m.source is not None), None)
    protocols = [said.protocol for said in group]
    found: list[Outcome] = []
    if accepted is not None:
        mirror = Selector(accepted[1].network, accepted[0].network)
        found = [o for o in protecting if o.eroute.selector[:2] == mirror[:2]]
    if not found and peer is not None:
        found = [
            o
            for o in protecting
            if (o.eroute.said.family, o.eroute.said.destination) == peer
            and [said.protocol for said in o.eroute.saids] == protocols
        ]
    reqids = {outcome.reqid for outcome in found}
    for said in group:
        place = context.places[said]
        if found:
            place.reqid = found[0].reqid
        place.tied = len(reqids) == 1


def _carry(context: _Context, association: Association) -> Carried:
    said = association.said
    if said.protocol == SA_IPIP:
        place = context.places[said]
        if len(place.group) > 1:
            return Carried(association, "ipip")
        return Carried(association, "refused", codes=("ET244",), reason="IP-in-IP, no protection")
    if said.protocol not in (SA_ESP, SA_AH, SA_COMP):
        return Carried(association, "refused", codes=("ET243",), reason="no protocol of IPsec")
    if _keys_missing(association):
        return Carried(association, "asked", codes=("ET240",))
    codes: list[str] = []
    try:
        state = _state(context, association, codes)
    except _RefusedError as error:
        return Carried(association, "refused", codes=(error.code,), reason=str(error))
    return Carried(association, "carried", state, tuple(dict.fromkeys(codes)))


def _keys_missing(association: Association) -> bool:
    """Whether the source told the algorithms but not the keys, as proc tables do."""
    needs_cipher = association.encryption not in ("", "null")
    return (needs_cipher and association.encryption_key is None) or (
        bool(association.authentication) and association.authentication_key is None
    )


def _state(context: _Context, association: Association, codes: list[str]) -> State:
    said = association.said
    place = context.places[said]
    source, destination = _ends(context, association, place)
    protecting = [member for member in place.group if member.protocol != SA_IPIP]
    tunnelled = place.group[0].protocol == SA_IPIP
    mode = TUNNEL_MODE if tunnelled and protecting[0] == said else TRANSPORT_MODE
    if not place.tied:
        codes.append("ET242")
    spi = said.spi
    if said.protocol == SA_COMP and spi > _CPI_BITS:
        spi &= _CPI_BITS
        codes.append("ET249")
    if spi < SPI_FIRST:
        codes.append("ET249")
    header = outer_header(mode, said.family, context.host.parameters, inbound=place.inbound)
    codes.extend(header.codes)
    if association.sequence:
        codes.append("ET276")
    return State(
        said.protocol,
        said.family,
        source[1],
        destination[1],
        spi,
        mode,
        place.reqid,
        _cipher(association, codes),
        _authenticator(context, association, codes),
        _compression(association),
        min(association.replay_window, 64) if said.protocol != SA_COMP else 0,
        None,
        header.flags,
        header.extra_flags,
        _limits(association, codes),
        _encapsulation(association, codes),
        replay=Replay(
            sent=0 if place.inbound else association.sequence,
            received=association.sequence if place.inbound else 0,
        ),
    )


def _ends(context: _Context, association: Association, place: _Place) -> tuple[Address, Address]:
    """The outer addresses: those of the IP-in-IP association of the group where it has one."""
    said = association.said
    destination = (said.family, said.destination)
    source = association.source or next(
        (
            member.source
            for name in place.group
            if (member := context.by_said.get(name)) is not None and member.source is not None
        ),
        None,
    )
    if source is None and not place.inbound:
        ours = [address for address in context.options.local if address[0] == said.family]
        source = ours[0] if len(ours) == 1 else None
    if source is None:
        raise _RefusedError("its source address is not known; say --local ADDRESS")
    return source, destination


def _cipher(association: Association, codes: list[str]) -> Algorithm | None:
    if association.said.protocol != SA_ESP:
        return None
    name = association.encryption or "null"
    cipher = CIPHERS.get(name)
    if cipher is None:
        raise _RefusedError(f"XFRM has no cipher for {name}")
    key = association.encryption_key or Secret(b"")
    if key.bits not in cipher.key_bits:
        wanted = " or ".join(map(str, cipher.key_bits[:4]))
        raise _RefusedError(f"the key for {name} has {key.bits} bits, not {wanted}")
    if name in WEAK:
        codes.append("ET245")
    return Algorithm(cipher.name, key)


def _authenticator(
    context: _Context, association: Association, codes: list[str]
) -> Algorithm | None:
    protocol, name = association.said.protocol, association.authentication
    if protocol == SA_COMP or not name:
        if protocol == SA_AH:
            raise _RefusedError("AH without an authenticator")
        return None
    found = AUTHENTICATORS.get(name)
    if found is None:
        raise _RefusedError(f"XFRM has no authenticator for {name}")
    key = association.authentication_key or Secret(b"")
    if key.bits != found.key_bits:
        raise _RefusedError(f"the key for {name} has {key.bits} bits, not {found.key_bits}")
    if name in WEAK:
        codes.append("ET245")
    if found.rfc_bits != 96 and protocol == SA_ESP:
        codes.append("ET241")
    return Algorithm(found.name, key, icv_bits(name, in_esp=protocol == SA_ESP, icv=context.icv))


def _compression(association: Association) -> str:
    if association.said.protocol != IPPROTO_COMP:
        return ""
    name = association.compression or "deflate"
    if name not in COMPRESSIONS:
        raise _RefusedError(f"no kernel implements the compression {name}")
    return COMPRESSIONS[name]


def _limits(association: Association, codes: list[str]) -> Limits:
    life = association.lifetimes
    if life.allocations.soft or life.allocations.hard:
        codes.append("ET248")
    return Limits(
        life.addtime.soft,
        life.addtime.hard,
        life.usetime.soft,
        life.usetime.hard,
        life.bytes.soft,
        life.bytes.hard,
        life.packets.soft,
        life.packets.hard,
    )


def _encapsulation(association: Association, codes: list[str]) -> UdpEncapsulation | None:
    found = association.encapsulation
    if found is None or association.said.protocol != SA_ESP:
        return None
    kind = _ENCAPSULATIONS.get(found.kind)
    if kind is None:
        raise _RefusedError(f"XFRM has no encapsulation {found.kind}")
    if found.kind == "nonike":
        codes.append("ET247")
    return UdpEncapsulation(kind, found.source_port, found.destination_port)


def describe(association: Association) -> str:
    """What to call an association in a message: no key is in it."""
    said = association.said
    return f"{PREFIX_OF.get(said.protocol, said.protocol)} association {said}"
