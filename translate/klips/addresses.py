"""Addresses of interfaces as ``ip addr`` and ``ifconfig`` print them.

``ip addr`` and ``ip -o addr`` (iproute2, ip/ipaddress.c); ``ifconfig`` of net-tools before 2.0
(``inet addr:192.0.2.1  Bcast:…  Mask:…``) and after (``inet 192.0.2.1  netmask …``).  The device
stands in the head of a block, the addresses below it.
"""

from __future__ import annotations

import re
from typing import Final

from ..diagnostics import Collector, Diagnostic, Severity, Span
from ..net import ALL_ONES, LENGTH_OF_MASK, Prefix, parse_address, parse_prefix
from .interface import InterfaceAddress

_DEVICE: Final = r"[A-Za-z][A-Za-z0-9_.-]{0,14}"
_IP_HEAD: Final = re.compile(rf"\s*[0-9]+: ({_DEVICE})(?:@\S+)?: <[A-Z0-9_,-]*> .*\Z", re.ASCII)
_OLD_HEAD: Final = re.compile(rf"({_DEVICE})(?::[A-Za-z0-9]+)? +Link encap:.*\Z", re.ASCII)
_NEW_HEAD: Final = re.compile(rf"({_DEVICE})(?::[A-Za-z0-9]+)?: flags=[0-9]+<.*\Z", re.ASCII)

_ONE_LINE: Final = re.compile(rf"\s*[0-9]+: ({_DEVICE})(?:@\S+)?\s+(inet6? .*)\Z", re.ASCII)
_OLD: Final = re.compile(
    r"\s+inet addr:(?P<address>\S+)(?: +P-t-P:(?P<peer>\S+))?(?: +Bcast:\S+)?"
    r"(?: +Mask:(?P<mask>\S+))?\s*\Z",
    re.ASCII,
)
_OLD_6: Final = re.compile(r"\s+inet6 addr: ?(?P<address>[0-9a-fA-F:.]+/[0-9]+)(?: +Scope:.*)?\Z")
_NEW: Final = re.compile(
    r"\s+inet (?P<address>[0-9.]+) +netmask (?P<mask>\S+)(?: +broadcast \S+)?"
    r"(?: +destination (?P<peer>\S+))?\s*\Z",
    re.ASCII,
)
_NEW_6: Final = re.compile(
    r"\s+inet6 (?P<address>[0-9a-fA-F:.]+) +prefixlen (?P<length>[0-9]+)(?: +scopeid .*)?\Z",
    re.ASCII,
)
_IP: Final = re.compile(
    r"\s*inet6? (?P<address>[0-9a-fA-F:.]+(?:/[0-9]+|(?= +peer )))"
    r"(?: +peer (?P<peer>[0-9a-fA-F:.]+(?:/[0-9]+)?))?(?P<rest>(?: .*)?)\Z",
    re.ASCII,
)
_SHAPE: Final = re.compile(r"\s+inet6? (?:addr: ?)?[0-9a-fA-F:.]+.*\Z", re.ASCII)
_OTHERS: Final = re.compile(
    r"\s+(?:link/\w+(?: |\Z)|valid_lft |(?:[RT]X|RX errors|TX errors)[ :]|RX packets|TX packets"
    r"|collisions:|Interrupt:|Memory:|Base address:|device (?:interrupt|memory) |(?:ether|unspec"
    r"|loop|tunnel|sit|ppp|ipip) +\S.*txqueuelen |loop +txqueuelen|NOARP|UP |POINTOPOINT|BROADCAST"
    r"|EtherTalk|IPX|altname |alias ).*\Z"
    r"|\s+MTU:[0-9]+ +Metric:.*\Z|\s+\[NO FLAGS\].*\Z"
)


def device_of_head(line: str) -> str:
    """The device in the head of a block, empty if the line is none.

    An alias (``eth0:1``) gives the device it stands on.
    """
    for pattern in (_IP_HEAD, _OLD_HEAD, _NEW_HEAD):
        match = pattern.match(line)
        if match is not None:
            return match[1]
    return ""


def looks_like_address(line: str) -> bool:
    """Whether a line has the shape of an address in such a block, or of ``ip -o addr``."""
    return "inet" in line and (_SHAPE.match(line) is not None or _ONE_LINE.match(line) is not None)


def belongs_to_block(line: str) -> bool:
    """Whether a line is of a block, but says nothing about addresses of the network layer."""
    return _OTHERS.match(line) is not None


def read_address(
    line: str, span: Span, collector: Collector, device: str = ""
) -> InterfaceAddress | None:
    """Read the address of a line; ``device`` is that of the block's head.

    Without a head the label at the end of the line of ``ip addr`` names the device.  ``None``
    with a diagnostic (ET142) when the line cannot be read or nothing names the device.
    """
    try:
        return _read(line, span, device)
    except ValueError as error:
        collector.add(
            Diagnostic(
                "ET142",
                Severity.WARNING,
                f"this address of an interface cannot be read: {error}",
                span,
                excerpt=line,
                hint="name the addresses of this gateway with --local",
            )
        )
        return None


def _read(line: str, span: Span, device: str) -> InterfaceAddress:
    one = _ONE_LINE.match(line)
    if one is not None:
        device, line = one[1], f"    {one[2].partition(chr(92))[0]}"
    for pattern in (_OLD, _NEW):
        match = pattern.match(line)
        if match is not None:
            network = _masked(match["address"], match["mask"])
            peer = parse_address(match["peer"], 4) if match["peer"] else None
            return InterfaceAddress(_known(device), network, span, peer)
    match = _OLD_6.match(line)
    if match is not None:
        return InterfaceAddress(_known(device), parse_prefix(match["address"]), span)
    match = _NEW_6.match(line)
    if match is not None:
        text = f"{match['address']}/{match['length']}"
        return InterfaceAddress(_known(device), parse_prefix(text), span)
    match = _IP.match(line)
    if match is None:
        raise ValueError("it has none of the forms of `ip addr` and `ifconfig`")
    label = _label(match["rest"])
    return _of_iproute(match["address"], match["peer"], device or label, span)


def _of_iproute(text: str, peer_text: str | None, device: str, span: Span) -> InterfaceAddress:
    """``inet 10.0.0.1/24`` or ``inet 10.0.0.1 peer 10.0.0.2/32``; the length is the peer's."""
    if peer_text is None:
        return InterfaceAddress(_known(device), parse_prefix(text), span)
    peer = parse_prefix(peer_text)
    family, address = parse_address(text.partition("/")[0], peer.family)
    return InterfaceAddress(
        _known(device), Prefix(family, address, peer.mask), span, (family, peer.address)
    )


def _masked(address_text: str, mask_text: str | None) -> Prefix:
    _, address = parse_address(address_text, 4)
    if mask_text is None:
        return Prefix(4, address, ALL_ONES[4])
    if mask_text.startswith("0x"):
        mask = int(mask_text, 16)
    else:
        _, mask = parse_address(mask_text, 4)
    if mask not in LENGTH_OF_MASK[4]:
        raise ValueError(f"{mask_text!r} is not a mask of a network")
    return Prefix(4, address, mask)


_NOT_A_LABEL: Final = frozenset(
    {
        "global",
        "link",
        "host",
        "site",
        "scope",
        "secondary",
        "dynamic",
        "deprecated",
        "tentative",
        "permanent",
        "temporary",
        "noprefixroute",
        "mngtmpaddr",
        "dadfailed",
    }
)


def _label(rest: str) -> str:
    words = rest.split()
    if "scope" not in words or words[-1] in _NOT_A_LABEL:
        return ""
    name = words[-1].partition(":")[0]
    return name if re.fullmatch(_DEVICE, name, re.ASCII) else ""


def _known(device: str) -> str:
    if not device:
        raise ValueError("the head of its block, which names the device, is missing")
    return device
