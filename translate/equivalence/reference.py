"""What a KLIPS host is held to: its decisions, in the directions that XFRM has.

KLIPS looked up packets that leave, and nothing else; what came in clear was accepted.  So the
promise for packets coming in is that of ``--inbound``: with ``strict`` what an eroute protected on
its way out must come back protected, with ``klips`` nothing must.  Packets that come in are turned
round, source for destination, so that eroutes speak of all directions.

This does not ask the mapping what it did: it is computed from the eroutes and the options alone,
or the proof would prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..cubes import EVERYTHING, PORTS, PROTOCOL, PROTOCOL_SHIFT, Cube, cube_of, meet
from ..klips.decision import IKE_PORTS
from ..klips.eroute import Eroute
from ..klips.host import KlipsHost
from ..klips.regions import WITH_PORTS, Table
from ..klips.said import SA_INT
from ..mapping.exemptions import DISCOVERY_TYPES, LINK_LOCAL, LINK_MULTICAST
from ..mapping.model import FWD, IN, OUT, Inbound, Options
from ..net import (
    ALL_ONES,
    IPPROTO_AH,
    IPPROTO_ESP,
    IPPROTO_ICMPV6,
    IPPROTO_UDP,
    Prefix,
    Selector,
    without,
)
from .fate import ANY, CLEAR, DROPPED, Fate, Kind, fate_of_eroute
from .klips_side import BEFORE_ALL, NO_EROUTE, KlipsSide
from .sides import Piece

FORWARDED = "forwarded"
"""The question whether what is forwarded can leave in clear, by exemptions made for the host."""

Direction = str


def klips_side(host: KlipsHost, table: Table, assume: Sequence[int] = ()) -> KlipsSide:
    """What KLIPS did with packets that were routed into ``ipsecN``, and nothing beside it."""
    rows = []
    for row, position in enumerate(table.positions):
        eroute = host.eroutes[position]
        fate = fate_of_eroute(eroute, assume)
        rows.append([Piece(c, fate, position) for c in _cubes(table, row)])
    return KlipsSide(table.regions, rows, (), [Piece(EVERYTHING, DROPPED, NO_EROUTE)])


def reference(host: KlipsHost, table: Table, options: Options, direction: Direction) -> KlipsSide:
    """What is promised for one direction: ``out``, ``in``, ``fwd``, or :data:`FORWARDED`.

    ``in`` and ``fwd`` speak of packets turned round.  :data:`FORWARDED` speaks of forwarded packets
    as they leave, and promises nothing to what was to pass; it matters where the addresses of this
    host are not known, so that its own packets and others cannot be told apart.
    """
    family = table.family
    local = tuple(address for f, address in options.local if f == family)
    rows = []
    for row, position in enumerate(table.positions):
        eroute = host.eroutes[position]
        cubes = _cubes(table, row)
        fate = _promised(eroute, options, direction)
        pieces: list[Piece] = []
        before: tuple[Cube, ...] = ()
        exempt = () if direction in (FWD, FORWARDED) else _exempt(eroute, local)
        for flow in exempt:
            own = _exempt_fate(fate, direction, flow)
            if own is None:
                continue
            for cube in cubes:
                part = meet(cube, flow)
                if part is not None:
                    pieces.append(Piece(part, own, position, before, "ET215"))
                    before = (*before, part)
        pieces.extend(Piece(cube, fate, position, before) for cube in cubes)
        rows.append(pieces)
    top = list(_top(family, options, direction))
    if direction == FORWARDED:
        top = [*_of_this_host(host, family), *top]
    return KlipsSide(table.regions, rows, top, _rest(family, options, direction))


def _of_this_host(host: KlipsHost, family: int) -> Iterator[Piece]:
    """Packets from addresses that the input shows to be this host's: nobody forwards them."""
    known = [(item.network.family, item.network.address) for item in host.addresses]
    for f, address in dict.fromkeys([*host.local_addresses, *known]):
        if f == family:
            source = Prefix(family, address, ALL_ONES[family])
            yield Piece(cube_of(Selector(source, Prefix(family, 0, 0))), ANY, BEFORE_ALL)


def local_known(options: Options, family: int) -> bool:
    """Whether addresses of this host are known, so that its own packets can be told from others."""
    return any(f == family for f, _ in options.local)


def _cubes(table: Table, row: int) -> list[Cube]:
    """The packets that a row can take: with ports those of TCP and UDP alone."""
    value, mask = table.regions.cube(row)
    if not table.regions.rows[row].mask & PORTS:
        return [(value, mask)]
    both = [(protocol << PROTOCOL_SHIFT, PROTOCOL) for protocol in WITH_PORTS]
    return [part for part in (meet((value, mask), cube) for cube in both) if part is not None]


def _promised(eroute: Eroute, options: Options, direction: Direction) -> Fate:
    """What is promised for the packets of an eroute."""
    fate = fate_of_eroute(eroute, options.assume)
    if direction == OUT:
        return fate
    if direction == FORWARDED:
        # A host alone, in transport mode: a packet with its address is its own.
        host = eroute.selector.source.mask == ALL_ONES[eroute.selector.family]
        alone = host and fate.kind is Kind.PROTECTED and fate.layers[0].far is None
        return ANY if alone or fate.kind is Kind.CLEAR else fate
    strict = options.inbound is Inbound.STRICT
    if fate.kind is Kind.PROTECTED:
        tunnel = fate.layers[0].far is not None
        if direction == FWD and not tunnel:
            return ANY if strict else CLEAR  # transport mode ends at this host
        if not strict:
            return fate._replace(kind=Kind.EITHER)
        selector = eroute.selector
        return fate._replace(mirrored=selector.overlaps(selector.mirrored()))
    if fate.kind is Kind.CLEAR or not strict:
        return CLEAR
    # KLIPS accepted these; a wider eroute that protects may ask for protection now (ET212).
    return ANY


def _exempt(eroute: Eroute, local: Sequence[int]) -> list[Cube]:
    """IKE, ESP and AH of this host itself to the eroute's peer (ipsec_tunnel_SAlookup)."""
    said = eroute.said
    family = eroute.selector.family
    anywhere = Prefix(family, 0, 0)
    destination = anywhere
    if said.protocol != SA_INT and said.destination:
        if said.family != family:
            return []
        destination = Prefix(family, said.destination, ALL_ONES[family])
    sources = [Prefix(family, address, ALL_ONES[family]) for address in local] or [anywhere]
    own = cube_of(eroute.selector)
    flows = (cube_of(flow) for flow in _own_flows(sources, destination))
    return [part for part in (meet(own, flow) for flow in flows) if part is not None]


def _own_flows(sources: Sequence[Prefix], destination: Prefix) -> Iterator[Selector]:
    """IKE, ESP and AH, as a host sends them."""
    for source in sources:
        for port in IKE_PORTS:
            yield Selector(source, destination, IPPROTO_UDP, port)
        for protocol in (IPPROTO_ESP, IPPROTO_AH):
            yield Selector(source, destination, protocol)


def _exempt_fate(fate: Fate, direction: Direction, flow: Cube) -> Fate | None:
    """What is promised for exempt packets; ``None`` where it is what the eroute promises anyhow."""
    if direction == OUT:
        return None if fate.kind is Kind.CLEAR else CLEAR
    if fate.kind is not Kind.PROTECTED:
        return None
    # IKE must come in; ESP and AH are for the kernel itself (net_protocol.no_policy).
    return CLEAR if flow[0] >> PROTOCOL_SHIFT & 0xFF == IPPROTO_UDP else ANY


def _top(family: int, options: Options, direction: Direction) -> Iterator[Piece]:
    """What comes before all eroutes: it never met them."""
    anywhere = Prefix(family, 0, 0)
    free = ANY if direction == FORWARDED else CLEAR
    if direction == FWD and not local_known(options, family):
        # Forwarded packets of this form may be blocked, so that they do not use the hole (ET215).
        for flow in _own_flows([anywhere], anywhere):
            yield Piece(cube_of(flow.mirrored()), ANY, BEFORE_ALL, code="ET215")
    for network in options.bypass:
        if network.family == family:
            yield Piece(cube_of(Selector(anywhere, network)), free, BEFORE_ALL, code="ET223")
    if family == 6:
        yield from _discovery(direction)
    for network in _outside(options, family):
        yield Piece(cube_of(Selector(anywhere, network)), free, BEFORE_ALL)


def _discovery(direction: Direction) -> Iterator[Piece]:
    """Neighbour discovery is bound to a link and never went through ``ipsecN`` (ET216).

    Between other addresses nobody can tell whether they are on one link.  It is never forwarded.
    """
    anywhere = Prefix(6, 0, 0)
    links = [(anywhere, LINK_MULTICAST), (anywhere, LINK_LOCAL), (LINK_LOCAL, anywhere)]
    for kind in DISCOVERY_TYPES:
        for near, far in (*links, (anywhere, anywhere)):
            flow = Selector(near, far, IPPROTO_ICMPV6, kind)
            unclear = (near, far) == (anywhere, anywhere)
            fate = ANY if unclear or direction in (FWD, FORWARDED) else CLEAR
            if direction in (IN, FWD):
                # The type stays where it is in the packet; only the whole selector is turned.
                flow = flow.mirrored()
            yield Piece(cube_of(flow), fate, BEFORE_ALL, code="ET216")


def _rest(family: int, options: Options, direction: Direction) -> list[Piece]:
    """What no eroute covers: dropped where it was routed into ``ipsecN``, else left alone."""
    anywhere = Prefix(family, 0, 0)
    last = ANY if direction == FORWARDED else CLEAR
    pieces: list[Piece] = []
    if direction in (OUT, FORWARDED):
        spared = [flow for flow in options.spared if flow.family == family]
        pieces = [Piece(cube_of(flow), last, NO_EROUTE) for flow in spared]
        blocked = (*options.routed, *options.blocked)
        routed = [network for network in blocked if network.family == family]
        if direction == OUT:
            local = [a for f, a in options.local if f == family]
            sources = [Prefix(family, a, ALL_ONES[family]) for a in local] or [anywhere]
            for network in routed:
                flows = [cube_of(flow) for flow in _own_flows(sources, network)]
                pieces += [Piece(flow, CLEAR, NO_EROUTE, (), "ET215") for flow in flows]
        exempt = _cubes_of(pieces)
        pieces += [
            Piece(cube_of(Selector(anywhere, network)), DROPPED, NO_EROUTE, exempt)
            for network in routed
        ]
    pieces.append(Piece(EVERYTHING, last, NO_EROUTE, _cubes_of(pieces)))
    return pieces


def _cubes_of(pieces: Sequence[Piece]) -> tuple[Cube, ...]:
    return tuple(piece.cube for piece in pieces)


def _outside(options: Options, family: int) -> list[Prefix]:
    """The destinations outside of ``--routed``, as prefixes; none when it is not given."""
    if not options.routed:
        return []
    routed = [network for network in options.routed if network.family == family]
    return list(without(Prefix(family, 0, 0), routed))
