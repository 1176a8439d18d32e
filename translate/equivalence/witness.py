"""A witness as a packet that somebody could send, and the region that it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..cubes import (
    DESTINATION_SHIFT,
    POINT_BITS,
    PORT_BITS,
    PORTS,
    PROTOCOL,
    PROTOCOL_SHIFT,
    packet_of,
    selector_of,
)
from ..klips.host import KlipsHost
from ..net import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, WIDTH, Packet
from ..xfrm.regions import extras_of
from .proof import Difference
from .result import Region, Taker
from .sides import Piece, Side
from .xfrm_side import ForwardedInClear, XfrmSide

_HIGH_PORT = 40000
_ECHO = {4: (IPPROTO_ICMP, 8), 6: (IPPROTO_ICMPV6, 128)}

Declared = Mapping[int, tuple[str, ...]]
"""Findings of a translation that say of an eroute, by its number, that it differs."""


def regions(
    found: Iterator[Difference],
    left: Side,
    right: Side,
    hosts: tuple[KlipsHost | None, KlipsHost | None],
    family: int,
    *,
    turned: bool = False,
    declared: Declared | None = None,
) -> tuple[Region, ...]:
    """Differences by who takes the packets: pieces of one origin with one fate are one region.

    ``turned`` tells that the proof had source and destination exchanged.
    """
    merged: dict[tuple[object, ...], Region] = {}
    for difference in found:
        one, other = difference.left, difference.right
        key = (one.origin, one.fate, one.code, other.origin, other.fate, other.code)
        had = merged.get(key)
        if had is not None and (had.certain or not difference.certain):
            continue
        merged[key] = _region(difference, left, right, hosts, family, turned, declared or {})
    return tuple(merged.values())


def _region(
    difference: Difference,
    left: Side,
    right: Side,
    hosts: tuple[KlipsHost | None, KlipsHost | None],
    family: int,
    turned: bool,
    declared: Declared,
) -> Region:
    point = as_sent(difference, left, right, family)
    packet = packet_of(family, point)
    of_packet = (1 << POINT_BITS[family]) - 1
    selector = selector_of(family, (difference.box[0] & of_packet, difference.box[1] & of_packet))
    if turned:
        packet = Packet(
            family,
            packet.destination,
            packet.source,
            packet.protocol,
            packet.destination_port,
            packet.source_port,
        )
        selector = None if selector is None else selector.mirrored()
    return Region(
        _taker(difference.left, left, hosts[0]),
        _taker(difference.right, right, hosts[1]),
        packet,
        selector,
        *extras_of(family, point),
        difference.certain,
        difference.decided,
        declared.get(difference.left.origin, ()),
    )


def _taker(piece: Piece, side: Side, host: KlipsHost | None) -> Taker:
    if isinstance(side, XfrmSide | ForwardedInClear):
        return Taker(piece.fate, None, side.policies_of(piece.origin))
    eroute = host.eroutes[piece.origin] if host is not None and piece.origin >= 0 else None
    return Taker(piece.fate, eroute, (), piece.code)


def as_sent(difference: Difference, left: Side, right: Side, family: int) -> int:
    """The witness with a protocol, ports and hosts that are usual, where any would do."""
    if not difference.decided:
        return difference.point
    value, fixed = difference.box
    everything = (1 << fixed.bit_length() + POINT_BITS[family]) - 1
    one, other = difference.numbers

    def good(point: int) -> bool:
        whole = (point, everything)
        return (
            not (point ^ value) & fixed
            and left.why_not(one, point, whole) is None
            and right.why_not(other, point, whole) is None
            and (not difference.certain or len(left.fates(point)) == 1)
        )

    best = difference.point
    for change in _usual(family, best):
        point = change
        if point != best and good(point):
            best = point
            break
    for shift in (DESTINATION_SHIFT, DESTINATION_SHIFT + WIDTH[family]):
        # The first host of a network rather than the network itself.
        point = best | 1 << shift
        if point != best and good(point):
            best = point
    return best


def _usual(family: int, point: int) -> Iterator[int]:
    """The same packet with protocols and ports that a person would send."""
    protocol = point >> PROTOCOL_SHIFT & 0xFF
    bare = point & ~(PROTOCOL | PORTS)
    echo, kind = _ECHO[family]
    if not protocol:
        for number in (IPPROTO_UDP, IPPROTO_TCP):
            yield bare | number << PROTOCOL_SHIFT | _HIGH_PORT << PORT_BITS | _HIGH_PORT
        yield bare | echo << PROTOCOL_SHIFT | kind << PORT_BITS
    elif protocol in (IPPROTO_TCP, IPPROTO_UDP):
        source, destination = point >> PORT_BITS & 0xFFFF, point & 0xFFFF
        high = _HIGH_PORT << PORT_BITS
        whole = bare | protocol << PROTOCOL_SHIFT
        if not source and not destination:
            yield whole | high | _HIGH_PORT
        if not source:
            yield whole | high | destination
        if not destination:
            yield whole | source << PORT_BITS | _HIGH_PORT
