"""What the tables show of a connection that ipsec.conf does not name.

An eroute that no connection accounts for becomes one of its own: a shunt whole, a tunnel with its
peer, networks and algorithms.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...diagnostics import Span
from ...klips.association import Address, Association
from ...klips.eroute import Eroute
from ...klips.host import KlipsHost
from ...klips.said import (
    SA_AH,
    SA_COMP,
    SA_ESP,
    SA_IPIP,
    SPI_DROP,
    SPI_HOLD,
    SPI_PASS,
    SPI_REJECT,
    SPI_TRAP,
    SPI_TRAPSUBNET,
    Said,
)
from ...net import Selector
from ..model import Options
from .draft import Draft
from .model import Shown, Wanted
from .offered import judged
from .proposals import Daemon, proposals_of


def local_addresses(host: KlipsHost, options: Options) -> tuple[Address, ...]:
    """Addresses of this gateway: those that were named, else those that were read."""
    if options.local:
        return options.local
    found = [(item.network.family, item.network.address) for item in host.addresses]
    return tuple(dict.fromkeys([*found, *host.local_addresses]))


def eroutes_left(host: KlipsHost, accounted: Iterable[Selector], spans: set[Span]) -> list[Eroute]:
    """The eroutes that no connection of the configuration gave."""
    held = set(accounted)
    return [e for e in host.eroutes if e.span not in spans and e.selector not in held]


def shown_of(
    eroute: Eroute, host: KlipsHost, options: Options, daemon: Daemon, draft: Draft
) -> Shown:
    """What is known of a connection from its eroute and from the SAs of its group."""
    said = eroute.said
    selector = eroute.selector
    if selector.source.has_host_bits or selector.destination.has_host_bits or eroute.defect:
        draft.refuse("its selector or SAID is no sound one: see its other findings")
    for prefix in (selector.source, selector.destination):
        if prefix.length is None:
            draft.refuse("its mask has holes, and no daemon takes one")
    if said.is_shunt or said.is_passthrough or said.unknown:
        kind = "passthrough" if said.is_passthrough else "drop"
        if said.is_shunt:
            kind = _SHUNTS.get(said.spi, "drop")
        if kind == "trap":
            draft.refuse(
                "%trap and %hold asked for a connection that the tables do not name",
                hint="give ipsec.conf too, or write the connection for these networks",
            )
            kind = "drop"
        return Shown(
            Wanted(kind, None, "trap"), selector, here(selector.family, host, options), None
        )
    members = [a for a in host.associations if a.said in eroute.saids]
    return _protected(eroute, members, host, options, daemon, draft)


_SHUNTS: Final = {
    SPI_PASS: "passthrough",
    SPI_DROP: "drop",
    SPI_REJECT: "reject",
    SPI_TRAP: "trap",
    SPI_TRAPSUBNET: "trap",
    SPI_HOLD: "trap",
}


def _protected(
    eroute: Eroute,
    members: list[Association],
    host: KlipsHost,
    options: Options,
    daemon: Daemon,
    draft: Draft,
) -> Shown:
    said = eroute.said
    protocols = [member.protocol for member in eroute.saids]
    kind = "tunnel" if SA_IPIP in protocols else "transport"
    if protocols == [SA_IPIP] and members and host.groups:
        draft.refuse("the group is an IP-in-IP header alone, which protects nothing")
    elif protocols == [SA_IPIP]:
        protocols += options.assume
        draft.tell("ET202", "the group behind the tunnel is not known: --assume tells what it was")
    if SA_ESP in protocols and SA_AH in protocols:
        draft.refuse("AH beside ESP is negotiated no more")
    if protocols != [SA_IPIP] and SA_ESP not in protocols and SA_AH not in protocols:
        draft.refuse("compression alone is not negotiated")
    if any(a.encryption_key is not None or a.authentication_key is not None for a in members):
        draft.tell_keyed_by_hand()
    protocol = "esp" if SA_ESP in protocols else "ah"
    used = proposals_of(a for a in members if a.said.protocol in (SA_ESP, SA_AH))
    draft.note(
        "ET263",
        "no connection of ipsec.conf says more than its eroute: the IKE version is the daemon's"
        " default",
    )
    authentication = draft.fill_in("how to authenticate", "for the tables do not tell it")
    draft.missing.append("the identities, the IKE version")
    wanted = Wanted(
        kind,
        None,
        "trap",
        0,
        authentication,
        None,
        judged(used, protocol, draft, daemon, eroute.span) if used else None,
        protocol,
        pfs=True,
        compress=SA_COMP in protocols,
    )
    return Shown(wanted, eroute.selector, _near_end(said, host, options), _far_end(said))


def _near_end(said: Said, host: KlipsHost, options: Options) -> Address | None:
    return host.source_of(said) or here(said.family, host, options)


def here(family: int, host: KlipsHost, options: Options) -> Address | None:
    """The one address of this gateway, ``None`` where there are several or none."""
    ours = [address for address in local_addresses(host, options) if address[0] == family]
    return ours[0] if len(ours) == 1 else None


def _far_end(said: Said) -> Address:
    return said.family, said.destination
