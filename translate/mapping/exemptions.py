"""Traffic that KLIPS exempted from its eroutes, kept off wide XFRM policies.

KLIPS let a packet of this host itself pass, after it had found its eroute, when it was IKE (UDP
from port 500 or 4500), ESP or AH and went to the eroute's own peer, or when the eroute was a
shunt (ipsec_tunnel.c:ipsec_tunnel_SAlookup).  The exemption belongs to the eroute that was found,
so its policies stand just before that eroute's in priority.

Neighbour discovery never reached KLIPS: it is bound to the physical interface.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..klips.decision import IKE_PORTS
from ..klips.eroute import Eroute
from ..klips.said import SA_INT
from ..net import (
    ALL_ONES,
    IPPROTO_AH,
    IPPROTO_ESP,
    IPPROTO_ICMPV6,
    IPPROTO_UDP,
    MASK_OF_LENGTH,
    Prefix,
    Selector,
    without,
)
from .model import ALLOW, BLOCK, FWD, IN, OUT, Rule, Shield, Treatment

IKE: Final = Rule(
    name="own-ike",
    eroute="any but %pass, when it covers this host and the peer",
    klips="Lets this host's own IKE (UDP from port 500 or 4500), ESP and AH to the eroute's peer"
    " (to anyone for a shunt) pass in clear. Forwarded IKE is not exempt.",
    xfrm="out policies that allow them, just before the eroute's own; in policies for IKE where"
    " packets coming in must be protected. Without --local, fwd policies that block what is"
    " forwarded with these ports, so that nobody behind the gateway can use the hole.",
    difference="Without --local, forwarded IKE, ESP and AH to the peer are blocked; KLIPS put them"
    " through the eroute.",
    reason="XFRM cannot tell the host's own packets from forwarded ones in an out policy.",
    tested="tests/unit/test_mapping.py, tests/netns/test_acquire.py",
)

DISCOVERY: Final = Rule(
    name="neighbour-discovery",
    eroute="IPv6, when it covers addresses of a link",
    klips="Never saw neighbour discovery, which does not go through ipsecN.",
    xfrm="out and in policies that allow ICMPv6 types 133 to 137 on the link, fwd policies that"
    " block them, just before the eroute's own.",
    difference="None: a router must not forward them (RFC 4861).",
    reason="Without neighbour discovery IPv6 stops within seconds.",
    tested="tests/unit/test_mapping.py",
)

RULES: Final = (IKE, DISCOVERY)


DISCOVERY_TYPES: Final = (133, 134, 135, 136, 137)
"""Router and neighbour solicitation and advertisement, redirect (RFC 4861)."""

LINK_LOCAL: Final = Prefix(6, 0xFE80 << 112, MASK_OF_LENGTH[6][10])
LINK_MULTICAST: Final = Prefix(6, 0xFF02 << 112, MASK_OF_LENGTH[6][16])
_LINKS: Final = (LINK_MULTICAST, LINK_LOCAL)


def intersection(one: Prefix, other: Prefix) -> Prefix | None:
    """The part of two prefixes that both cover: the narrower one, or ``None``."""
    if not one.overlaps(other):
        return None
    return one if one.mask & other.mask == other.mask else other


def ike_shields(
    eroute: Eroute,
    selector: Selector,
    treatment: Treatment,
    local: tuple[tuple[int, int], ...],
) -> tuple[Shield, ...]:
    """The policies that keep this host's own IKE, ESP and AH off a part of one eroute."""
    family, address, mask = selector[1]
    said = eroute[1][0]
    # KLIPS compared the destination with edst, and let pass where edst is 0, as that of a shunt.
    to_peer = said[0] != SA_INT and bool(said[3])
    if to_peer and (said[2] != family or (said[3] ^ address) & mask):
        return ()  # the peer lies outside the eroute: nearly always
    if selector.protocol not in (0, IPPROTO_UDP, IPPROTO_ESP, IPPROTO_AH):
        return ()
    if selector.source_port not in (0, *IKE_PORTS):
        return ()
    peer = Prefix(family, said[3], ALL_ONES[family]) if to_peer else selector.destination.network
    # A source that is one host in transport mode can only be this host.
    transport = treatment.inbound and not treatment.forwarded
    certain = transport and eroute[0][0][2] == ALL_ONES[family]
    shields = []
    for flow, ours in _own_flows(selector, peer, local):
        shields.append(Shield(OUT, flow, ALLOW))
        if not ours and not certain:
            shields.append(Shield(FWD, flow, BLOCK))
        if treatment.asks_inbound and flow.protocol == IPPROTO_UDP:
            shields.append(Shield(IN, flow.mirrored(), ALLOW))
    return tuple(shields)


def outside_of(
    shields: tuple[Shield, ...], selectors: Sequence[Selector], peer: tuple[int, int]
) -> tuple[Shield, ...]:
    """The exemptions of an eroute without what another one may have taken and protected.

    Where two eroutes cross and nobody can tell which of them KLIPS took, or no order gives it, the
    safer one goes first; but what is exempt from that one may not be exempt from the other, which
    lets this host's own IKE, ESP and AH pass to its ``peer`` alone.  What is blocked stays so.
    """
    kept: dict[Shield, None] = {}
    for shield in shields:
        flow = shield.selector
        met = [s.destination.network for s in selectors if s.overlaps(flow)]
        if (shield.direction, shield.action) != (OUT, ALLOW) or not met:
            kept[shield] = None
            continue
        if flow.protocol == IPPROTO_ICMPV6:
            kept[shield] = None  # of a link: it met neither
            continue
        family = flow.family
        parts = list(without(flow.destination, met))
        if peer[0] == family and flow.destination.contains(peer[1]):
            parts.append(Prefix(family, peer[1], ALL_ONES[family]))
        for part in parts:
            kept[shield._replace(selector=flow._replace(destination=part))] = None
    return tuple(kept)


def everywhere_to(network: Prefix) -> Selector:
    """All that goes to a network."""
    return Selector(Prefix(network.family, 0, 0), network)


def uncovered_shields(selector: Selector, local: tuple[tuple[int, int], ...]) -> tuple[Shield, ...]:
    """The policies that keep this host's own traffic off a block for what no eroute covers."""
    shields = []
    for flow, ours in _own_flows(selector, selector.destination, local):
        shields.append(Shield(OUT, flow, ALLOW))
        if not ours:
            shields.append(Shield(FWD, flow, BLOCK))
    return (*shields, *_discovery(selector, asks_inbound=False))


def _own_flows(
    selector: Selector, peer: Prefix, local: tuple[tuple[int, int], ...]
) -> list[tuple[Selector, bool]]:
    """The exempt traffic under a selector, and whether its source is known to be this host."""
    source = selector.source.network
    family = source.family
    ours = [address for f, address in local if f == family]
    if not ours:
        return [(flow, False) for flow in _ike_flows(selector, source, peer)]
    return [
        (flow, True)
        for address in ours
        if source.contains(address)
        for flow in _ike_flows(selector, Prefix(family, address, ALL_ONES[family]), peer)
    ]


def exempt_flows(source: Prefix, destination: Prefix) -> list[Selector]:
    """IKE, ESP and AH between two networks, in the form in which KLIPS let its own pass."""
    return _ike_flows(Selector(source, destination), source, destination)


def _ike_flows(selector: Selector, source: Prefix, destination: Prefix) -> list[Selector]:
    """The exempt traffic from ``source`` to ``destination`` that the selector covers."""
    flows = []
    if selector.protocol in (0, IPPROTO_UDP):
        flows = [
            Selector(source, destination, IPPROTO_UDP, port, selector.destination_port)
            for port in IKE_PORTS
            if selector.source_port in (0, port)
        ]
    if not selector.source_port and not selector.destination_port:
        flows.extend(
            Selector(source, destination, protocol)
            for protocol in (IPPROTO_ESP, IPPROTO_AH)
            if selector.protocol in (0, protocol)
        )
    return flows


def discovery_shields(selector: Selector, treatment: Treatment) -> tuple[Shield, ...]:
    """The policies that keep neighbour discovery off one IPv6 eroute."""
    return _discovery(selector, asks_inbound=treatment.asks_inbound)


def _discovery(selector: Selector, *, asks_inbound: bool) -> tuple[Shield, ...]:
    if selector.family != 6 or selector.protocol not in (0, IPPROTO_ICMPV6):
        return ()
    if selector.source_port or selector.destination_port:
        return ()
    source, destination = selector.source.network, selector.destination.network
    shared = intersection(source, destination)
    outward = [(source, part) for part in _parts(destination)]
    inward = [(destination, part) for part in _parts(source)]
    link_local = intersection(source, LINK_LOCAL)
    if link_local is not None:
        outward.append((link_local, destination))
    link_local = intersection(destination, LINK_LOCAL)
    if link_local is not None:
        inward.append((link_local, source))
    ends = _on_one_link(source, destination, shared)
    if ends is not None:
        outward.append(ends)
        inward.append((ends[1], ends[0]))
    shields: list[Shield] = []
    for kind in DISCOVERY_TYPES:
        for near, far in _widest(outward):
            flow = Selector(near, far, IPPROTO_ICMPV6, kind)
            shields.append(Shield(OUT, flow, ALLOW))
            if not any(link.covers(p) for p in (near, far) for link in _LINKS):
                # What is bound to the link is never forwarded (ip6_forward).
                shields.append(Shield(FWD, flow, BLOCK))
        if asks_inbound:
            shields.extend(
                Shield(IN, Selector(near, far, IPPROTO_ICMPV6, kind), ALLOW)
                for near, far in _widest(inward)
            )
    return tuple(shields)


LINK_LENGTH: Final = 64
"""Prefix length of a link (RFC 4291, section 2.5.1)."""


def _on_one_link(
    source: Prefix, destination: Prefix, shared: Prefix | None
) -> tuple[Prefix, Prefix] | None:
    """The addresses of both ends that may be neighbours: what both cover, or one link's."""
    link = MASK_OF_LENGTH[6][LINK_LENGTH]
    narrow = [prefix.mask & link == link for prefix in (source, destination)]
    if shared is not None:
        return source if narrow[0] else shared, destination if narrow[1] else shared
    if all(narrow) and not (source.address ^ destination.address) & link:
        return source, destination
    return None


def _parts(prefix: Prefix) -> list[Prefix]:
    """The multicast and link-local addresses of a prefix."""
    parts = [intersection(prefix, link) for link in _LINKS]
    return [part for part in parts if part is not None]


def _widest(pairs: list[tuple[Prefix, Prefix]]) -> list[tuple[Prefix, Prefix]]:
    """The pairs without those that another one holds."""
    pairs = list(dict.fromkeys(pairs))
    return [
        (s, d)
        for s, d in pairs
        if not any((s, d) != (t, e) and t.covers(s) and e.covers(d) for t, e in pairs)
    ]
