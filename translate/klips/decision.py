"""What KLIPS did with one packet that was routed into ipsecN (ipsec_tunnel_SAlookup)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from ..net import IPPROTO_AH, IPPROTO_ESP, IPPROTO_UDP, Packet
from .eroute import Eroute
from .host import KlipsHost
from .host_table import host_table
from .lookup import Match, key_of_packet
from .said import SA_INT

IKE_PORTS: Final = (500, 4500)


class KlipsDecision(NamedTuple):
    """The eroute that KLIPS took, or ``None`` (then it dropped the packet).

    ``possible`` are all that it may have taken, over the orders of insertion that the dump
    allows.  ``exempt`` tells that the packet is the host's own IKE, ESP or AH, which went out in
    clear all the same.
    """

    eroute: Eroute | None
    possible: tuple[Eroute, ...]
    match: Match
    exempt: bool


def decide(
    host: KlipsHost, packet: Packet, local: Collection[tuple[int, int]] = ()
) -> KlipsDecision:
    """Look one packet up.  ``local`` are the host's own addresses, as (family, address)."""
    table = host_table(host, packet.family)
    key = key_of_packet(packet)
    match = table.match(key)
    eroute = None if match.winner is None else host.eroutes[match.winner]
    possible = tuple(host.eroutes[i] for i in sorted(table.possible(key)))
    exempt = (packet.family, packet.source) in local and is_exempt(packet, eroute)
    return KlipsDecision(eroute, possible, match, exempt)


def is_exempt(packet: Packet, eroute: Eroute | None) -> bool:
    """Whether a packet *of this host* is exempt from the eroute that was found for it."""
    if packet.protocol == IPPROTO_UDP:
        if packet.source_port not in IKE_PORTS:
            return False
    elif packet.protocol not in (IPPROTO_ESP, IPPROTO_AH):
        return False
    if eroute is None:
        return True
    said = eroute.said
    if said.protocol == SA_INT or not said.destination:
        return True
    return (said.family, said.destination) == (packet.family, packet.destination)
