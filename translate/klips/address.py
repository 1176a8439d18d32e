"""Addresses and subnets as the KLIPS tools read and print them (ttoaddr, ttosubnet, addrtot).

They differ from inet_pton(3) and RFC 5952: ``10.1`` is 10.1.0.0, ``010`` is 10, ``0xAABBCCDD`` is
an address; in IPv6 the *first* run of two or more zero groups is squeezed, and ``::`` must stand
for at least two groups.
"""

from __future__ import annotations

import re
import socket
from typing import Final

from ..net import ALL_ONES, LENGTH_OF_MASK, MASK_OF_LENGTH, PREFIX_TEXTS, WIDTH, Prefix

_HEX_ADDRESS: Final = re.compile(r"0[xX][0-9a-fA-F]{8}\Z")
_HOST_ORDER: Final = re.compile(r"0[hH][0-9a-fA-F]{8}\Z")
_DECIMAL: Final = re.compile(r"[0-9]{1,10}\Z")
_GROUP: Final = re.compile(r"[0-9a-fA-F]{1,4}\Z")
FAMILIES: Final = {"inet": 4, "inet6": 6}
"""Address families as the tools name them."""

QUAD: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}\Z", re.ASCII)
"""An IPv4 address with all its four bytes, as the kernel prints it."""


def parse_ipv4(text: str) -> int:
    """Read one to four decimal bytes (missing ones are zero on the right) or ``0x`` and 8 digits.

    Raises ``ValueError``, also for host names: a translation must not depend on a DNS server.
    """
    if _HEX_ADDRESS.match(text):
        return int(text, 16)
    if _HOST_ORDER.match(text):
        raise ValueError(f"{text!r} is in the byte order of the old host; write it as 0x")
    parts = text.split(".")
    if len(parts) > 1 and not parts[-1] and len(parts) <= 4:
        parts.pop()
    if len(parts) > 4 or not parts:
        raise ValueError(f"{text!r} is not an IPv4 address")
    address = 0
    for part in parts:
        if not _DECIMAL.match(part):
            raise ValueError(f"{text!r} is not an IPv4 address (host names are not looked up)")
        byte = int(part)
        if byte > 255:
            raise ValueError(f"{byte} in {text!r} is above 255")
        address = address << 8 | byte
    return address << 8 * (4 - len(parts))


def parse_ipv6(text: str) -> int:
    """Read eight groups of hex digits with at most one ``::``.

    No dotted quad, no zone, no brackets.  ttoaddr wants ``::`` to stand for two groups or more;
    one group is accepted here, since its meaning is certain.  Raises ``ValueError``.
    """
    head, squeeze, tail = text.partition("::")
    left = head.split(":") if head else []
    right = tail.split(":") if tail else []
    missing = 8 - len(left) - len(right)
    if (missing < 1 if squeeze else missing != 0) or "::" in tail:
        raise ValueError(f"{text!r} is not an IPv6 address")
    value = 0
    for group in [*left, *(["0"] * missing), *right]:
        if not _GROUP.match(group):
            raise ValueError(f"{text!r} is not an IPv6 address")
        value = value << 16 | int(group, 16)
    return value


def parse_klips_address(text: str, family: int | None = None) -> tuple[int, int]:
    """Read an address of the tools; return ``(family, address)``.  Raises ``ValueError``."""
    if ":" in text:
        if family == 4:
            raise ValueError(f"{text!r} is an IPv6 address where IPv4 is needed")
        return 6, parse_ipv6(text)
    if family == 6:
        raise ValueError(f"{text!r} is not an IPv6 address")
    return 4, parse_ipv4(text)


def parse_printed_address(text: str) -> tuple[int, int]:
    """Read an address that the kernel printed: family and number.  Raises ``ValueError``.

    addrtot always prints four bytes, and the tools would read a cut ``192.16`` as 192.16.0.0.
    """
    if ":" in text:
        return 6, parse_ipv6(text)
    if not QUAD.match(text):
        raise ValueError(f"{text!r} does not have four bytes")
    return 4, parse_ipv4(text)


def parse_printed_mask(text: str, family: int) -> int:
    """Read a mask that the kernel printed: its length, or as an address if it has holes.

    Raises ``ValueError``.
    """
    if text.isascii() and text.isdecimal() and len(text) <= 3 and int(text) <= WIDTH[family]:
        return MASK_OF_LENGTH[family][int(text)]
    if "." in text or ":" in text:
        mask_family, mask = parse_printed_address(text)
        if mask_family == family:
            return mask
    raise ValueError(f"{text!r} is not a mask length up to {WIDTH[family]}, nor a mask")


def parse_printed_subnet(text: str) -> Prefix:
    """Read ``ADDRESS/BITS`` or ``ADDRESS/MASK`` as the kernel prints it.  Raises ``ValueError``."""
    address_text, slash, mask_text = text.partition("/")
    if not slash:
        raise ValueError(f"{text!r} has no mask")
    family, address = parse_printed_address(address_text)
    return Prefix(family, address, parse_printed_mask(mask_text, family))


def parse_subnet(text: str, family: int | None = None) -> Prefix:
    """Read ``ADDRESS/BITS``, ``ADDRESS/MASK`` or ``%default`` as ttosubnet does.

    Host bits are kept here; ``ipsec eroute`` clears them before it sends.  Raises ``ValueError``.
    """
    if text == "%default":
        if family is None:
            raise ValueError("%default needs the address family, give --eraf before it")
        return Prefix(family, 0, 0)
    address_text, slash, mask_text = text.partition("/")
    if not slash:
        raise ValueError(f"{text!r} has no /BITS or /MASK")
    family, address = parse_klips_address(address_text, family)
    if _DECIMAL.match(mask_text):
        length = int(mask_text)
        if length > WIDTH[family]:
            raise ValueError(f"mask length {length} is above {WIDTH[family]}")
        return Prefix(family, address, MASK_OF_LENGTH[family][length])
    if family == 6:
        raise ValueError(f"{mask_text!r} is not a mask length")
    mask = parse_ipv4(mask_text)
    if mask not in LENGTH_OF_MASK[4]:
        raise ValueError(f"{mask_text!r} is not a mask that a prefix length can express")
    return Prefix(4, address, mask)


def format_klips_address(family: int, address: int) -> str:
    """Print an address as addrtot does."""
    if family == 4:
        return socket.inet_ntop(socket.AF_INET, address.to_bytes(4))
    groups = [address >> shift & 0xFFFF for shift in range(112, -1, -16)]
    for start in range(7):
        if groups[start] == groups[start + 1] == 0:
            end = start
            while end < 8 and groups[end] == 0:
                end += 1
            left = ":".join(f"{g:x}" for g in groups[:start])
            right = ":".join(f"{g:x}" for g in groups[end:])
            return f"{left}::{right}"
    return ":".join(f"{g:x}" for g in groups)


def format_subnet(prefix: Prefix) -> str:
    """Print a subnet as subnettot does, with a mask where no prefix length fits."""
    family, address, mask = prefix
    if family == 4:
        return PREFIX_TEXTS[prefix]  # the two spellings agree for IPv4
    length = LENGTH_OF_MASK[family].get(mask)
    tail = format_klips_address(family, mask) if length is None else str(length)
    return f"{format_klips_address(family, address)}/{tail}"


def host(family: int, address: int) -> Prefix:
    """The prefix of one host."""
    return Prefix(family, address, ALL_ONES[family])
