"""Policies as bytes of NETLINK_XFRM, packed in one step from layouts compiled once.

Layouts are those of include/uapi/linux/xfrm.h on 64-bit machines; integers are in host order but
for addresses, ports and SPIs.  The kernel compares a selector word by word, padding and host bits
included, so both are zero here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from ..net import LENGTH_OF_MASK, MASK_OF_LENGTH, Prefix, Selector
from .model import Policy, Template

NEWPOLICY: Final = 19
DELPOLICY: Final = 20
GETPOLICY: Final = 21
UPDPOLICY: Final = 25

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 1
NLM_F_ACK: Final = 4
NLM_F_DUMP: Final = 0x300

XFRMA_TMPL: Final = 5
XFRMA_POLICY_TYPE: Final = 16
XFRMA_MARK: Final = 21
XFRMA_IF_ID: Final = 31

DIRECTIONS: Final = {"in": 0, "out": 1, "fwd": 2, "socket in": 3, "socket out": 4}
DIRECTION_NAMES: Final = {number: name for name, number in DIRECTIONS.items()}
ACTIONS: Final = {"allow": 0, "block": 1}
ACTION_NAMES: Final = ("allow", "block")
MODES: Final = {"transport": 0, "tunnel": 1, "ro": 2, "in_trigger": 3, "beet": 4, "iptfs": 5}
MODE_NAMES: Final = {number: name for name, number in MODES.items()}
TYPES: Final = {"main": 0, "sub": 1}
TYPE_NAMES: Final = ("main", "sub")
FAMILIES: Final = {4: 2, 6: 10}
FAMILY_NUMBERS: Final = {2: 4, 10: 6}

HEADER: Final = struct.Struct("=IHHII")
SELECTOR: Final = struct.Struct("=16s16s2s2s2s2sHBBB3xII")
_LIMITS: Final = struct.Struct("=8Q")
_TAIL: Final = struct.Struct("=II4B4x")
TEMPLATE: Final = struct.Struct("=16s4sB3xH2x16sIBBBxIII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_INFINITE: Final = (1 << 64) - 1
_ALL_ALGORITHMS: Final = 0xFFFFFFFF
_CURRENT: Final = bytes(32)

POLICY_BODY: Final = 168
POLICY_ID: Final = 64


def _address(family: int, address: int) -> bytes:
    return address.to_bytes(4) if family == 4 else address.to_bytes(16)


def pack_selector(policy: Policy) -> bytes:
    """``struct xfrm_selector``: destination before source.

    Raises ``ValueError`` for a mask with holes.
    """
    source, destination, protocol, source_port, destination_port = policy.selector
    family = source.family
    try:
        lengths = LENGTH_OF_MASK[family]
        near, far = lengths[source.mask], lengths[destination.mask]
    except KeyError:
        raise ValueError(f"{policy.selector}: XFRM has no masks with holes") from None
    source_mask, destination_mask = policy.full_port_masks
    return SELECTOR.pack(
        _address(family, destination.address & destination.mask),
        _address(family, source.address & source.mask),
        destination_port.to_bytes(2),
        destination_mask.to_bytes(2),
        source_port.to_bytes(2),
        source_mask.to_bytes(2),
        FAMILIES[family],
        far,
        near,
        protocol,
        policy.ifindex,
        policy.user,
    )


def _pack_template(template: Template) -> bytes:
    protocol, mode, family, source, destination, reqid, spi, optional = template
    return TEMPLATE.pack(
        _address(family, destination),
        spi.to_bytes(4),
        protocol,
        FAMILIES[family],
        _address(family, source),
        reqid,
        MODES[mode],
        0,
        optional,
        _ALL_ALGORITHMS,
        _ALL_ALGORITHMS,
        _ALL_ALGORITHMS,
    )


def _attribute(kind: int, payload: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def _key_attributes(policy: Policy) -> bytes:
    attributes = b""
    if policy.ptype != "main":
        attributes += _attribute(XFRMA_POLICY_TYPE, bytes([TYPES[policy.ptype], 0, 0, 0, 0, 0]))
    if policy.mark != (0, 0):
        attributes += _attribute(XFRMA_MARK, struct.pack("=II", *policy.mark))
    if policy.if_id:
        attributes += _attribute(XFRMA_IF_ID, struct.pack("=I", policy.if_id))
    return attributes


def pack_policy(policy: Policy, seconds: int = 0) -> bytes:
    """Body and attributes of NEWPOLICY and UPDPOLICY.

    With ``seconds`` the kernel removes the policy after that time (hard_add_expires_seconds).
    """
    limits = _LIMITS.pack(_INFINITE, _INFINITE, _INFINITE, _INFINITE, 0, seconds, 0, 0)
    tail = _TAIL.pack(
        policy.priority, 0, DIRECTIONS[policy.direction], ACTIONS[policy.action], 0, 0
    )
    body = pack_selector(policy) + limits + _CURRENT + tail
    if policy.templates:
        body += _attribute(XFRMA_TMPL, b"".join([_pack_template(t) for t in policy.templates]))
    return body + _key_attributes(policy)


def pack_key(policy: Policy) -> bytes:
    """Body and attributes of DELPOLICY: by index where it is known, which is much quicker."""
    return (
        pack_selector(policy)
        + struct.pack("=IB3x", policy.index, DIRECTIONS[policy.direction])
        + _key_attributes(policy)
    )


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A netlink message with its header."""
    return HEADER.pack(HEADER.size + len(body), kind, flags | NLM_F_REQUEST, sequence, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, int, int, memoryview]]:
    """Part a datagram: type, flags, sequence number and body of each message.

    Raises ``ValueError`` for a length that cannot be.
    """
    view = memoryview(data)
    offset = 0
    while offset + HEADER.size <= len(view):
        length, kind, flags, sequence, _ = HEADER.unpack_from(view, offset)
        if length < HEADER.size or offset + length > len(view):
            raise ValueError("a netlink message with a wrong length")
        yield kind, flags, sequence, view[offset + HEADER.size : offset + length]
        offset += length + 3 & ~3


def _attributes(view: memoryview, offset: int) -> Iterator[tuple[int, memoryview]]:
    while offset + _ATTRIBUTE.size <= len(view):
        length, kind = _ATTRIBUTE.unpack_from(view, offset)
        if length < _ATTRIBUTE.size or offset + length > len(view):
            return
        yield kind & 0x3FFF, view[offset + _ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3


def unpack_policy(body: memoryview) -> Policy:
    """Read ``struct xfrm_userpolicy_info`` and its attributes, as dumps and events have them."""
    (
        destination,
        source,
        destination_port,
        destination_mask,
        source_port,
        source_mask,
        family_number,
        far,
        near,
        protocol,
        ifindex,
        user,
    ) = SELECTOR.unpack_from(body, 0)
    priority, index, direction, action, _, _ = _TAIL.unpack_from(body, 152)
    family = FAMILY_NUMBERS[family_number or 2]
    size = 4 if family == 4 else 16
    ports = (int.from_bytes(source_port), int.from_bytes(destination_port))
    masks = (int.from_bytes(source_mask), int.from_bytes(destination_mask))
    usual = (0xFFFF if ports[0] else 0, 0xFFFF if ports[1] else 0)
    templates: tuple[Template, ...] = ()
    mark, if_id, ptype = (0, 0), 0, "main"
    for kind, payload in _attributes(body, POLICY_BODY):
        if kind == XFRMA_TMPL:
            templates = tuple(_unpack_templates(payload, family))
        elif kind == XFRMA_MARK:
            mark = struct.unpack_from("=II", payload)
        elif kind == XFRMA_IF_ID:
            (if_id,) = struct.unpack_from("=I", payload)
        elif kind == XFRMA_POLICY_TYPE:
            ptype = TYPE_NAMES[payload[0]]
    length_mask = MASK_OF_LENGTH[family]
    return Policy(
        DIRECTION_NAMES.get(direction, f"dir {direction}"),
        Selector(
            Prefix(family, int.from_bytes(source[:size]), length_mask[near]),
            Prefix(family, int.from_bytes(destination[:size]), length_mask[far]),
            protocol,
            *ports,
        ),
        priority,
        ACTION_NAMES[action],
        templates,
        mark,
        if_id,
        None if masks == usual else masks,
        ifindex,
        index,
        ptype,
        user,
    )


def _unpack_templates(payload: memoryview, family: int) -> Iterator[Template]:
    for offset in range(0, len(payload) - TEMPLATE.size + 1, TEMPLATE.size):
        destination, spi, protocol, number, source, reqid, mode, _, optional, *_ = (
            TEMPLATE.unpack_from(payload, offset)
        )
        outer = FAMILY_NUMBERS.get(number, family)
        size = 4 if outer == 4 else 16
        yield Template(
            protocol,
            MODE_NAMES.get(mode, str(mode)),
            outer,
            int.from_bytes(source[:size]),
            int.from_bytes(destination[:size]),
            reqid,
            int.from_bytes(spi),
            bool(optional),
        )
