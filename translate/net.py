"""Addresses, prefixes, protocols and selectors as integers: parse and print, nothing else.

An address is an ``int`` in network order (32 bits for family 4, 128 bits for family 6).  A
:class:`Prefix` keeps the address *and* the mask, because KLIPS stores and prints both: masks with
holes and addresses with host bits exist in real tables.  ``NamedTuple`` is used for these bulk
values since it builds three times faster than a frozen dataclass (docs/decisions/0003).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

WIDTH: Final = {4: 32, 6: 128}
"""Bits of an address, by family."""

ALL_ONES: Final = {4: (1 << 32) - 1, 6: (1 << 128) - 1}
"""The mask of a host, by family."""

_SOCKET_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}

MASK_OF_LENGTH: Final = {
    family: tuple(ALL_ONES[family] ^ ((1 << (width - n)) - 1) for n in range(width + 1))
    for family, width in WIDTH.items()
}
"""``MASK_OF_LENGTH[family][length]`` is the mask of that prefix length."""

LENGTH_OF_MASK: Final = {
    family: {mask: length for length, mask in enumerate(masks)}
    for family, masks in MASK_OF_LENGTH.items()
}
"""``LENGTH_OF_MASK[family].get(mask)`` is the prefix length, or ``None`` for a mask with holes."""

IPPROTO_ICMP: Final = 1
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
IPPROTO_ESP: Final = 50
IPPROTO_AH: Final = 51
IPPROTO_ICMPV6: Final = 58
IPPROTO_COMP: Final = 108

# Names of protocols as /etc/protocols and iproute2 know them; a fixed table, so that the same
# input gives the same output on a host without /etc/protocols.
PROTOCOL_NAMES: Final = {
    1: "icmp",
    2: "igmp",
    4: "ipencap",
    6: "tcp",
    17: "udp",
    33: "dccp",
    41: "ipv6",
    46: "rsvp",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "ipv6-icmp",
    88: "eigrp",
    89: "ospf",
    94: "ipip",
    103: "pim",
    108: "ipcomp",
    112: "vrrp",
    115: "l2tp",
    132: "sctp",
    135: "mobility-header",
    136: "udplite",
}
PROTOCOL_NUMBERS: Final = {name: number for number, name in PROTOCOL_NAMES.items()} | {
    "ipip": 94,
    "icmpv6": 58,
    "icmp6": 58,
    "comp": 108,
    "ospfigp": 89,
    "mh": 135,
}


class Prefix(NamedTuple):
    """An address and a mask; ``address & mask`` is the network, other bits are host bits."""

    family: int
    address: int
    mask: int

    @property
    def length(self) -> int | None:
        """The prefix length, or ``None`` when the mask has holes."""
        return LENGTH_OF_MASK[self.family].get(self.mask)

    @property
    def network(self) -> Prefix:
        """The same prefix with its host bits cleared."""
        return Prefix(self.family, self.address & self.mask, self.mask)

    @property
    def has_host_bits(self) -> bool:
        """Whether bits outside the mask are set."""
        return bool(self.address & ~self.mask)

    def contains(self, address: int) -> bool:
        """Whether an address of the same family lies in the prefix."""
        return not (address ^ self.address) & self.mask

    def overlaps(self, other: Prefix) -> bool:
        """Whether some address lies in both; prefixes of two families never overlap."""
        if self.family != other.family:
            return False
        return not (self.address ^ other.address) & self.mask & other.mask

    def covers(self, other: Prefix) -> bool:
        """Whether every address of ``other`` lies in this prefix."""
        return (
            self.family == other.family
            and self.mask & other.mask == self.mask
            and not (self.address ^ other.address) & self.mask
        )

    def __str__(self) -> str:
        return format_prefix(self)


class Selector(NamedTuple):
    """What a packet must look like (RFC 4301, section 4.4.1.1).

    0 means any protocol or any port.  For ICMP and ICMPv6 the source port is the type, as
    XFRM has it; KLIPS never looks at it (a KLIPS key has ports of TCP and UDP only).
    """

    source: Prefix
    destination: Prefix
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.source.family

    def mirrored(self) -> Selector:
        """The same traffic in the other direction."""
        return Selector(
            self.destination,
            self.source,
            self.protocol,
            self.destination_port,
            self.source_port,
        )

    def overlaps(self, other: Selector) -> bool:
        """Whether some packet matches both."""
        return (
            self.source.overlaps(other.source)
            and self.destination.overlaps(other.destination)
            and _same_or_any(self.protocol, other.protocol)
            and _same_or_any(self.source_port, other.source_port)
            and _same_or_any(self.destination_port, other.destination_port)
        )

    def covers(self, other: Selector) -> bool:
        """Whether every packet of ``other`` matches this one too."""
        return (
            self.source.covers(other.source)
            and self.destination.covers(other.destination)
            and self.protocol in (0, other.protocol)
            and self.source_port in (0, other.source_port)
            and self.destination_port in (0, other.destination_port)
        )

    def __str__(self) -> str:
        return format_selector(self)


class Packet(NamedTuple):
    """The part of a packet that policies look at; ports are 0 where the protocol has none."""

    family: int
    source: int
    destination: int
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0

    def __str__(self) -> str:
        source = format_address(self.family, self.source)
        destination = format_address(self.family, self.destination)
        text = f"{source} -> {destination}"
        if self.protocol:
            text += f" {protocol_name(self.protocol)}"
        if self.source_port or self.destination_port:
            text += f" port {self.source_port} -> {self.destination_port}"
        return text


def matches(selector: Selector, packet: Packet) -> bool:
    """Whether the packet lies in the selector (all ports and protocols exact, 0 any)."""
    return (
        selector.source.family == packet.family
        and not (selector.source.address ^ packet.source) & selector.source.mask
        and not (selector.destination.address ^ packet.destination) & selector.destination.mask
        and selector.protocol in (0, packet.protocol)
        and selector.source_port in (0, packet.source_port)
        and selector.destination_port in (0, packet.destination_port)
    )


def _same_or_any(one: int, other: int) -> bool:
    return one == other or not one or not other


def parse_address(text: str, family: int | None = None) -> tuple[int, int]:
    """Read a full IPv4 dotted quad or IPv6 address; return ``(family, address)``.

    Raises ``ValueError`` when it is neither, or not of the family asked for.
    """
    found = 6 if ":" in text else 4
    if family not in (None, found):
        raise ValueError(f"{text!r} is not an IPv{family} address")
    try:
        packed = socket.inet_pton(_SOCKET_FAMILY[found], text)
    except (OSError, ValueError):  # ValueError: a NUL in the text
        raise ValueError(f"{text!r} is not an IPv{found} address") from None
    return found, int.from_bytes(packed)


def parse_prefix(text: str) -> Prefix:
    """Read ``ADDRESS/LENGTH`` or a bare address (a host); host bits are kept.

    Raises ``ValueError``.
    """
    address_text, slash, length_text = text.partition("/")
    family, address = parse_address(address_text)
    if not slash:
        return Prefix(family, address, ALL_ONES[family])
    if not (length_text.isascii() and length_text.isdecimal()) or len(length_text) > 3:
        raise ValueError(f"{length_text!r} is not a prefix length")
    length = int(length_text)
    if length > WIDTH[family]:
        raise ValueError(f"prefix length {length} is above {WIDTH[family]}")
    return Prefix(family, address, MASK_OF_LENGTH[family][length])


def without(whole: Prefix, parts: Sequence[Prefix]) -> Iterator[Prefix]:
    """What is left of a prefix without some others, as disjoint prefixes in ascending order."""
    inner = [part for part in parts if part.overlaps(whole)]
    if not inner:
        yield whole
        return
    if any(part.covers(whole) for part in inner):
        return
    family, address, mask = whole
    bit = (mask ^ ALL_ONES[family]) + 1 >> 1
    for half in (address, address | bit):
        yield from without(Prefix(family, half, mask | bit), inner)


def format_address(family: int, address: int) -> str:
    """Print an address the way inet_ntop(3) does (RFC 5952 for IPv6)."""
    return socket.inet_ntop(_SOCKET_FAMILY[family], address.to_bytes(WIDTH[family] // 8))


_REMEMBERED: Final = 1 << 18


class _PrefixTexts(dict[Prefix, str]):
    """Texts of prefixes: one stands in many policies.  A hit calls no Python function."""

    def __missing__(self, prefix: Prefix) -> str:
        family, address, mask = prefix
        length = LENGTH_OF_MASK[family].get(mask)
        tail = format_address(family, mask) if length is None else length
        text = f"{format_address(family, address)}/{tail}"
        if len(self) < _REMEMBERED:
            self[prefix] = text
        return text


class _QuadTexts(dict[int, str]):
    """Texts of IPv4 addresses: those of peers stand in many policies."""

    def __missing__(self, address: int) -> str:
        text = format_address(4, address)
        if len(self) < _REMEMBERED:
            self[address] = text
        return text


PREFIX_TEXTS: Final = _PrefixTexts()
"""What :func:`format_prefix` prints, remembered."""

QUAD_TEXTS: Final = _QuadTexts()
"""What :func:`format_address` prints for IPv4, remembered."""


def format_prefix(prefix: Prefix) -> str:
    """Print ``ADDRESS/LENGTH``; a mask with holes is printed as a mask."""
    return PREFIX_TEXTS[prefix]


def protocol_name(number: int) -> str:
    """The name of a protocol, or its number where it has none."""
    return PROTOCOL_NAMES.get(number) or str(number)


def parse_protocol(text: str) -> int:
    """Read a protocol by name or by decimal number 0..255.  Raises ``ValueError``."""
    number = PROTOCOL_NUMBERS.get(text.lower())
    if number is not None:
        return number
    if text.isascii() and text.isdecimal() and len(text) <= 3 and int(text) <= 255:
        return int(text)
    raise ValueError(f"{text!r} is not a protocol name or a number from 0 to 255")


def format_selector(selector: Selector) -> str:
    """Print a selector for people: ``10.0.0.0/8 -> 10.1.0.0/16 tcp port any -> 25``."""
    text = f"{selector.source} -> {selector.destination}"
    if selector.protocol:
        text += f" {protocol_name(selector.protocol)}"
    if selector.source_port or selector.destination_port:
        if selector.protocol in (IPPROTO_ICMP, IPPROTO_ICMPV6):
            return f"{text} type {selector.source_port}"
        source = selector.source_port or "any"
        text += f" port {source} -> {selector.destination_port or 'any'}"
    return text
