"""Packets: built byte by byte, captured with AF_PACKET, and read down to the SPI.

The bed's proof is what is on the wire, so nothing of the project under test and no packet library
is used here: the layouts are those of RFC 791, 8200, 4302 (AH), 4303 (ESP), 3173 (IPCOMP), 768,
9293, 792 and 4443.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import select
import socket
import struct
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable

PROTOCOLS: Final = {
    1: "icmp",
    4: "ipip",
    6: "tcp",
    17: "udp",
    41: "ipv6",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "icmpv6",
    108: "comp",
}
NUMBERS: Final = {name: number for number, name in PROTOCOLS.items()}
_EXTENSIONS: Final = frozenset({0, 43, 60})  # hop-by-hop, routing, destination options
_FRAGMENT: Final = 44
_ETH_P: Final = {0x0800: 4, 0x86DD: 6}
_ETH_P_ALL: Final = 3
_SO_RCVBUFFORCE: Final = 33
_PACKET_STATISTICS: Final = 6
_idents = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Packet:
    """What one IP packet says about itself; ``inner`` is the packet within, where it is legible.

    For ESP nothing is; for AH, IPIP and an ICMP error (the quoted packet) it is.
    """

    source: str
    target: str
    protocol: str
    length: int
    """Of the whole IP packet."""
    payload: bytes
    """What follows the IP header, or the ESP, AH, IPCOMP, UDP, TCP or ICMP header."""
    outgoing: bool = False
    """Seen leaving through the interface that was captured on."""
    spi: int | None = None
    """Of ESP and AH; the CPI of IPCOMP."""
    sequence: int | None = None
    icv: int | None = None
    """Bytes of AH's integrity check value."""
    type: int | None = None
    code: int | None = None
    """Of ICMP and ICMPv6."""
    source_port: int | None = None
    target_port: int | None = None
    inner: Packet | None = None
    following: int | None = None
    """The next header that AH or IPCOMP names."""
    tos: int = 0
    """The TOS octet or traffic class."""
    dont_fragment: bool = False

    @property
    def is_housekeeping(self) -> bool:
        """Neighbour discovery, router solicitation or multicast listener report."""
        return self.protocol == "icmpv6" and (
            (self.type is not None and 130 <= self.type <= 137) or self.type == 143
        )

    def __str__(self) -> str:
        parts = [f"{self.source} > {self.target} {self.protocol}"]
        if self.spi is not None:
            parts.append(f"spi {self.spi:#x} seq {self.sequence}")
        if self.type is not None:
            parts.append(f"type {self.type} code {self.code}")
        if self.source_port is not None:
            parts.append(f"{self.source_port} > {self.target_port}")
        parts.append(f"length {self.length}")
        return " ".join(parts) + (f" [{self.inner}]" if self.inner else "")


def read(data: bytes, *, outgoing: bool = False) -> Packet:
    """One IPv4 or IPv6 packet, without its link header."""
    if data[0] >> 4 == 4:
        header = (data[0] & 15) * 4
        length = int.from_bytes(data[2:4], "big")
        source, target = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
        protocol, tos = data[9], data[1]
        flags = int.from_bytes(data[6:8], "big")
        later_fragment, dont_fragment = bool(flags & 0x1FFF), bool(flags & 0x4000)
    else:
        header = 40
        length = 40 + int.from_bytes(data[4:6], "big")
        source = socket.inet_ntop(socket.AF_INET6, data[8:24])
        target = socket.inet_ntop(socket.AF_INET6, data[24:40])
        protocol, tos = data[6], int.from_bytes(data[:2], "big") >> 4 & 0xFF
        later_fragment = dont_fragment = False
        while protocol in _EXTENSIONS or protocol == _FRAGMENT:
            size = 8
            if protocol == _FRAGMENT:
                later_fragment |= bool(
                    int.from_bytes(data[header + 2 : header + 4], "big") & 0xFFF8
                )
            else:
                size += data[header + 1] * 8
            protocol = data[header]
            header += size
    packet = _above(source, target, protocol, length, data[header:length], outgoing, later_fragment)
    return replace(packet, tos=tos, dont_fragment=dont_fragment)


def _above(
    source: str,
    target: str,
    protocol: int,
    length: int,
    body: bytes,
    outgoing: bool,
    opaque: bool,
) -> Packet:
    spi = sequence = icv = kind = code = source_port = target_port = following = None
    inner: Packet | None = None
    name = PROTOCOLS.get(protocol, str(protocol))
    # An ICMP error quotes a packet that may be cut anywhere: what is missing is not read.
    with contextlib.suppress(struct.error, IndexError):
        if opaque:
            pass
        elif name == "esp":
            spi, sequence = struct.unpack_from("!II", body)
            body = body[8:]
        elif name == "ah":
            spi, sequence = struct.unpack_from("!II", body, 4)
            size = (body[1] + 2) * 4
            icv = size - 12
            following, body = body[0], body[size:]
            inner = _above(source, target, following, len(body), body, outgoing, opaque)
            if following in {4, 41}:
                inner = inner.inner
        elif name == "comp":
            (spi,) = struct.unpack_from("!H", body, 2)
            following, body = body[0], body[4:]
        elif name in {"udp", "tcp"}:
            source_port, target_port = struct.unpack_from("!HH", body)
            body = body[8 if name == "udp" else (body[12] >> 4) * 4 :]
        elif name in {"icmp", "icmpv6"}:
            kind, code = body[0], body[1]
            body = body[8:]
            if kind in ({3, 11, 12} if name == "icmp" else {1, 2, 3, 4}):
                inner = read(body, outgoing=outgoing)
        elif name in {"ipip", "ipv6"}:
            inner = read(body, outgoing=outgoing)
    return Packet(
        source=source,
        target=target,
        protocol=name,
        length=length,
        payload=body,
        outgoing=outgoing,
        spi=spi,
        sequence=sequence,
        icv=icv,
        type=kind,
        code=code,
        source_port=source_port,
        target_port=target_port,
        inner=inner,
        following=following,
    )


def esp_length(inner: int, *, block: int, iv: int, icv: int) -> int:
    """The bytes after an IP header that ESP makes of ``inner`` bytes (RFC 4303, section 2).

    SPI and sequence number, IV, what is protected with its padding and two bytes of trailer up to
    a whole block (at least of four), ICV. A tunnel protects the inner IP header too.
    """
    block = max(block, 4)
    return 8 + iv + (inner + 2 + block - 1) // block * block + icv


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(source: str, target: str, protocol: str | int, body: bytes) -> bytes:
    """An IP packet of the family of its addresses; the version follows from them."""
    number = NUMBERS[protocol] if isinstance(protocol, str) else protocol
    here, there = ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed
    if len(here) == 16:
        return struct.pack("!IHBB", 6 << 28, len(body), number, 64) + here + there + body
    length, ident = 20 + len(body), next(_idents) & 0xFFFF
    head = struct.pack("!BBHHHBBH", 0x45, 0, length, ident, 0, 64, number, 0) + here + there
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + body


def _sealed(source: str, target: str, protocol: str, body: bytes, at: int) -> bytes:
    """The packet with its checksum over the pseudo header put at offset ``at`` of the body."""
    here, there = ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed
    pseudo = here + there + struct.pack("!II", len(body), NUMBERS[protocol])
    seal = checksum(pseudo + body) or 0xFFFF
    return ip(source, target, protocol, body[:at] + seal.to_bytes(2, "big") + body[at + 2 :])


def udp(
    source: str,
    target: str,
    source_port: int = 40000,
    target_port: int = 40001,
    payload: bytes = b"payload",
) -> bytes:
    head = struct.pack("!HHHH", source_port, target_port, 8 + len(payload), 0)
    return _sealed(source, target, "udp", head + payload, 6)


def tcp_syn(source: str, target: str, source_port: int = 40000, target_port: int = 80) -> bytes:
    head = struct.pack("!HHIIBBHHH", source_port, target_port, 1, 0, 5 << 4, 2, 1024, 0, 0)
    return _sealed(source, target, "tcp", head, 16)


def echo(source: str, target: str, payload: bytes = b"payload", ident: int = 1) -> bytes:
    """An echo request of the right ICMP for the addresses."""
    if ":" in source:
        head = struct.pack("!BBHHH", 128, 0, 0, ident, 1)
        return _sealed(source, target, "icmpv6", head + payload, 2)
    body = struct.pack("!BBHHH", 8, 0, 0, ident, 1) + payload
    return ip(source, target, "icmp", body[:2] + checksum(body).to_bytes(2, "big") + body[4:])


class Capture:
    """The IP packets that cross one interface of the current network namespace from now on."""

    def __init__(self, interface: str, *, housekeeping: bool = False) -> None:
        self.packets: list[Packet] = []
        self._housekeeping = housekeeping
        # Protocol 0 receives nothing: the buffer is large before the first packet may come.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 32 << 20)
        self._socket.bind((interface, _ETH_P_ALL))
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.take()
        lost = struct.unpack("II", self._socket.getsockopt(263, _PACKET_STATISTICS, 8))[1]
        self._socket.close()
        assert not lost, f"the capture lost {lost} packets"

    def take(self) -> list[Packet]:
        """Read what has come, and return all that was seen so far."""
        while True:
            try:
                data, address = self._socket.recvfrom(1 << 16)
            except BlockingIOError:
                return self.packets
            if address[1] not in _ETH_P:
                continue
            packet = read(data[14:], outgoing=address[2] == socket.PACKET_OUTGOING)
            if self._housekeeping or not packet.is_housekeeping:
                self.packets.append(packet)

    def settled(self, quiet: float = 0.05) -> list[Packet]:
        """All that was seen, once nothing more has come for ``quiet`` seconds.

        In the guest, with its one processor, a packet crosses all namespaces before the send
        returns, unless it waits for a neighbour or for a state.
        """
        while True:
            count = len(self.take())
            select.select([self._socket], [], [], quiet)
            if len(self.take()) == count:
                return self.packets

    def first(self, wanted: Callable[[Packet], bool], limit: float = 2.0) -> Packet:
        """The first packet that is wanted; fails with what was seen instead."""
        end = time.monotonic() + limit
        while True:
            for packet in self.take():
                if wanted(packet):
                    return packet
            left = end - time.monotonic()
            if left <= 0:
                seen = "".join(f"\n  {packet}" for packet in self.packets) or " nothing"
                raise AssertionError(f"no such packet in {limit:g} s; seen:{seen}")
            select.select([self._socket], [], [], left)
