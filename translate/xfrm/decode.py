"""The messages of a dump, or of events, to policies."""

from __future__ import annotations

import socket
import struct
from typing import Final

from ..net import MASK_OF_LENGTH, Prefix, Selector
from .model import Policy, Template
from .text import MODES
from .wire import (
    ALL_ALGORITHMS,
    CACHED,
    DIRECTIONS,
    HEADER,
    INDEX_AT,
    LENGTH_AND_TYPE,
    NEWPOLICY,
    NO_LIMIT,
    TEMPLATE,
    UNLIMITED,
    UPDPOLICY,
    XFRMA_IF_ID,
    XFRMA_MARK,
    XFRMA_OFFLOAD_DEV,
    XFRMA_POLICY_TYPE,
    XFRMA_SEC_CTX,
    XFRMA_TMPL,
    attributes,
)

_DUMPED: Final = struct.Struct("=16x16s16sHHHHHBBB3xiI96xIIBB6x")
_ALL_OF_INFO: Final = struct.Struct("=16x56x8Q32x10xBB4x")

_MASKS: Final = (MASK_OF_LENGTH[4], MASK_OF_LENGTH[6])

_Rest = tuple[tuple[Template, ...], tuple[int, int], int, str, bool]
_PLAIN: Final[_Rest] = ((), (0, 0), 0, "main", False)
"""Templates, mark, if_id, type, and whether there is more than these."""


def _unpack_templates(payload: bytes) -> tuple[Template, ...]:
    """Whole templates only: the kernel itself drops a cut one (copy_from_user_tmpl)."""
    found = []
    whole = len(payload) // TEMPLATE.size * TEMPLATE.size
    for unpacked in TEMPLATE.iter_unpack(payload[:whole]):
        destination, spi, protocol, af, source, reqid, mode, _, optional, _ = unpacked
        if af == socket.AF_INET6:
            family = 6
        else:
            family, source, destination = 4, source[:4], destination[:4]
        found.append(
            Template(
                protocol,
                MODES[mode] if mode < len(MODES) else str(mode),
                family,
                int.from_bytes(source),
                int.from_bytes(destination),
                reqid,
                socket.ntohl(spi),
                bool(optional),
            )
        )
    return tuple(found)


class _Rests(dict[bytes, _Rest]):
    """What the attributes of a policy say, by their bytes: most policies share them."""

    def __missing__(self, blob: bytes) -> _Rest:
        templates, mark, if_id, ptype, _ = _PLAIN
        more = False
        for kind, payload in attributes(blob):
            if kind == XFRMA_TMPL:
                templates = _unpack_templates(payload)
                more = more or _restricts_algorithms(payload)
            elif kind == XFRMA_MARK:
                mark = struct.unpack_from("=II", payload)
            elif kind == XFRMA_IF_ID:
                (if_id,) = struct.unpack_from("=I", payload)
            elif kind == XFRMA_POLICY_TYPE:
                ptype = "sub" if payload[0] else "main"
            else:
                more = True
        rest = (templates, mark, if_id, ptype, more)
        if len(self) >= CACHED:
            self.clear()
        self[blob] = rest
        return rest


_rests: Final = _Rests()


def decode_policies(data: bytes) -> list[Policy]:
    """All policies of a datagram of a dump (or of events), in its order: the newest first.

    Nothing is changed: host bits stay.  A policy of a socket has the direction ``socket in`` or
    ``socket out``.  Raises ``ValueError``.
    """
    try:
        return _decode(data)
    except (IndexError, struct.error) as error:
        raise ValueError(f"a policy of the kernel cannot be read: {error}") from error


def _decode(data: bytes) -> list[Policy]:
    found: list[Policy] = []
    append = found.append
    unpack, rests, masks4, masks6 = _DUMPED.unpack_from, _rests, *_MASKS
    make, from_bytes, head = tuple.__new__, int.from_bytes, LENGTH_AND_TYPE.unpack_from
    directions, ntohs, unlimited = DIRECTIONS, socket.ntohs, UNLIMITED
    following, size = 0, len(data)
    while following + 16 <= size:
        start = following
        length, kind = head(data, start)
        end = start + length
        if length < 16 or end > size:
            raise ValueError("a message of the kernel is cut")
        following = end + 3 & ~3
        if kind not in (NEWPOLICY, UPDPOLICY):
            continue
        if length < 184:
            raise ValueError("a policy of the kernel is cut")
        (
            destination,
            source,
            dport,
            dmask,
            sport,
            smask,
            af,
            far,
            near,
            protocol,
            ifindex,
            user,
            priority,
            index,
            direction,
            action,
        ) = unpack(data, start)
        if af == 10:
            family, masks = 6, masks6
        else:
            family, masks, source, destination = 4, masks4, source[:4], destination[:4]
        if dmask or smask or sport or dport:
            sport, dport, smask, dmask = ntohs(sport), ntohs(dport), ntohs(smask), ntohs(dmask)
            implied = (0xFFFF if sport else 0, 0xFFFF if dport else 0)
            port_masks = None if (smask, dmask) == implied else (smask, dmask)
        else:
            port_masks = None
        templates, mark, if_id, ptype, more = rests[data[start + 184 : end]]
        if (
            more
            or data[start + 72 : start + 136] != unlimited
            or data[start + 178 : start + 180] != (b"\0\0")
        ):
            octets = _octets(data[start:end])
        else:
            octets = b""
        selector = make(
            Selector,
            (
                make(Prefix, (family, from_bytes(source), masks[near])),
                make(Prefix, (family, from_bytes(destination), masks[far])),
                protocol,
                sport,
                dport,
            ),
        )
        append(
            make(
                Policy,
                (
                    directions[direction],
                    selector,
                    priority,
                    "block" if action else "allow",
                    templates,
                    mark,
                    if_id,
                    port_masks,
                    ifindex,
                    index,
                    ptype,
                    user,
                    octets,
                ),
            )
        )
    return found


def _octets(message: bytes) -> bytes:
    """The body of a message without what changes by itself: counters, times and index."""
    body = bytearray(message)
    body[136:168] = bytes(32)
    body[INDEX_AT : INDEX_AT + 4] = bytes(4)
    return bytes(body[HEADER.size :])


def _restricts_algorithms(templates: bytes) -> bool:
    whole = len(templates) // TEMPLATE.size * TEMPLATE.size
    size = TEMPLATE.size
    return any(templates[at + 52 : at + 64] != ALL_ALGORITHMS for at in range(0, whole, size))


def unmodelled(message: bytes) -> tuple[str, ...]:
    """What a dumped policy says that :class:`Policy` has no room for, in words.

    Flags, limits, a security context, a device of an offload and algorithm masks: they stand in
    :attr:`Policy.octets` alone.
    """
    *limits, flags, _ = _ALL_OF_INFO.unpack_from(message)
    lost = []
    if limits != [NO_LIMIT] * 4 + [0] * 4:
        lost.append("limits")
    if flags:
        lost.append(f"flags {flags:#x}")
    for kind, payload in attributes(message[184:]):
        if kind == XFRMA_SEC_CTX:
            lost.append("a security context")
        elif kind == XFRMA_OFFLOAD_DEV:
            lost.append("an offload")
        elif kind == XFRMA_TMPL and _restricts_algorithms(payload):
            lost.append("algorithm masks")
    return tuple(lost)
