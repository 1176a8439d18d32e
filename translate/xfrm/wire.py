"""Policies to the bytes of NETLINK_XFRM and back, many at a time.

The bulk path: precompiled layouts, one ``struct.pack`` for a message, and no object in between.
The message classes of :mod:`.messages` make the same bytes, which a test shows.

Layouts are those of include/uapi/linux/xfrm.h on 64-bit machines.  The kernel compares selectors
as words of memory (net/xfrm/xfrm_policy.c:selector_cmp), pad bytes, the unused part of an IPv4
address, bits below the prefix and ports under a mask of zeros included: all that is zero here.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ..net import LENGTH_OF_MASK, MASK_OF_LENGTH, Prefix, Selector
from .model import Policy, Template
from .text import MODES

NEWPOLICY: Final = 19
DELPOLICY: Final = 20
GETPOLICY: Final = 21
UPDPOLICY: Final = 25

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_DUMP: Final = 0x300

DIRECTIONS: Final = ("in", "out", "fwd", "socket in", "socket out", "socket fwd")
"""Directions by number; from 3 on those of the policies of sockets (XFRM_POLICY_MAX = 3)."""

HEADER: Final = struct.Struct("=IHHII")
"""``nlmsghdr``: length, type, flags, sequence, port."""

_LENGTH_AND_TYPE: Final = struct.Struct("=IH")

_NO_LIMIT: Final = (1 << 64) - 1
_LIFETIME: Final = struct.Struct("=4Q8xQ16x32x")
"""``xfrm_lifetime_cfg`` with a life in seconds, and an empty ``xfrm_lifetime_cur``."""

_UNLIMITED: Final = struct.pack("=8Q", *[_NO_LIMIT] * 4, 0, 0, 0, 0)
_INDEX_AT: Final = 172
"""Where the index stands in the message of a policy."""

# Each with its nlmsghdr.  "16s" fills a shorter address with zeros; destination before source.
_INFO: Final = struct.Struct("=IHHI4x16s16sHHHHHBBB3xiI96sIIBB6x")
_ID: Final = struct.Struct("=IHHI4x16s16sHHHHHBBB3xiIIB3x")
_DUMPED: Final = struct.Struct("=16x16s16sHHHHHBBB3xiI96xIIBB6x")
_ALL_OF_INFO: Final = struct.Struct("=16x56x8Q32x10xBB4x")
_TEMPLATE: Final = struct.Struct("=16sIB3xH2x16sIBBBx12s")
_ATTRIBUTE: Final = struct.Struct("=HH")
_MARK: Final = struct.Struct("=HHII")
_IF_ID: Final = struct.Struct("=HHI")

_SUB_TYPE: Final = struct.pack("=HHB7x", 10, 16, 1)
"""XFRMA_POLICY_TYPE, six bytes: sub."""

_MAIN_TYPE: Final = struct.pack("=HHB7x", 10, 16, 0)
"""The same for main: kernels with sub policies say it in dumps (CONFIG_XFRM_SUB_POLICY)."""

_XFRMA_TMPL: Final = 5
_XFRMA_SEC_CTX: Final = 8
_XFRMA_POLICY_TYPE: Final = 16
_XFRMA_MARK: Final = 21
_XFRMA_OFFLOAD_DEV: Final = 28
_XFRMA_IF_ID: Final = 31

_ALL_ALGORITHMS: Final = b"\xff" * 12
_FAMILIES: Final = {4: int(socket.AF_INET), 6: int(socket.AF_INET6)}
_ADDRESS_BYTES: Final = {4: 4, 6: 16}
_NUMBERS: Final = {name: DIRECTIONS.index(name) for name in ("in", "out", "fwd")}
_ACTIONS: Final = {"allow": 0, "block": 1}
_MODE_NUMBERS: Final = {name: number for number, name in enumerate(MODES)}

_MASKS: Final = (MASK_OF_LENGTH[4], MASK_OF_LENGTH[6])

_CACHED: Final = 1 << 16

# ---------------------------------------------------------------------------------- encoding


def _pack_templates(templates: tuple[Template, ...]) -> bytes:
    """XFRMA_TMPL: an array of ``xfrm_user_tmpl`` without headers of their own."""
    blob = b""
    for protocol, mode, family, source, destination, reqid, spi, optional in templates:
        size = _ADDRESS_BYTES[family]
        blob += _TEMPLATE.pack(
            destination.to_bytes(size),
            socket.htonl(spi),
            protocol,
            10 if family == 6 else 2,
            source.to_bytes(size),
            reqid,
            _MODE_NUMBERS[mode],
            0,
            optional,
            _ALL_ALGORITHMS,
        )
    return _ATTRIBUTE.pack(4 + len(blob), _XFRMA_TMPL) + blob if blob else b""


class _TemplateBlobs(dict[tuple[Template, ...], bytes]):
    """Templates already packed: ``in`` and ``fwd`` of one eroute have the same."""

    def __missing__(self, templates: tuple[Template, ...]) -> bytes:
        blob = _pack_templates(templates)
        if len(self) >= _CACHED:
            self.clear()
        self[templates] = blob
        return blob


_template_blobs: Final = _TemplateBlobs({(): b""})


def _rest(ptype: str, mark: tuple[int, int], if_id: int) -> bytes:
    """The attributes that are part of a policy's key, in the order of a dump."""
    blob = b""
    if ptype != "main":
        if ptype != "sub":
            raise ValueError(f"a policy of type {ptype}")
        blob = _SUB_TYPE
    value, mask = mark
    if mask:
        blob += _MARK.pack(12, _XFRMA_MARK, value & mask, mask)
    if if_id:
        blob += _IF_ID.pack(8, _XFRMA_IF_ID, if_id)
    return blob


def encode_installs(
    policies: Iterable[Policy],
    sequence: int = 0,
    *,
    replace: bool = True,
    seconds: int = 0,
    exact: bool = False,
) -> list[bytes]:
    """Make a message for each policy, numbered from ``sequence`` on.

    ``replace`` makes UPDPOLICY (create or replace), else NEWPOLICY (create; EEXIST if there).
    With ``seconds`` the kernel removes the policy after that time.  Bits outside the masks of
    addresses and ports are cleared; ``exact`` keeps them, to put back what somebody else had
    there.  Raises ``ValueError`` for what XFRM cannot hold.
    """
    kind = UPDPOLICY if replace else NEWPOLICY
    unlimited = _NO_LIMIT
    life = _LIFETIME.pack(unlimited, unlimited, unlimited, unlimited, seconds)
    pack, blobs, htons = _INFO.pack, _template_blobs, socket.htons
    lengths_of, sizes, numbers, actions = LENGTH_OF_MASK, _ADDRESS_BYTES, _NUMBERS, _ACTIONS
    messages: list[bytes] = []
    append = messages.append
    policy: Policy | None = None
    try:
        for policy in policies:
            (
                direction,
                ((family, source, near), (other, destination, far), protocol, sport, dport),
                priority,
                action,
                templates,
                mark,
                if_id,
                port_masks,
                ifindex,
                index,
                ptype,
                user,
                octets,
            ) = policy
            if octets:
                append(_put_back(octets, kind, sequence, index))
                sequence += 1
                continue
            if family != other:
                raise ValueError("source and destination are of two address families")
            lengths, size = lengths_of[family], sizes[family]
            if sport or dport or port_masks:
                smask, dmask = policy.full_port_masks
                if not exact:
                    sport, dport = sport & smask, dport & dmask
                sport, dport, smask, dmask = htons(sport), htons(dport), htons(smask), htons(dmask)
            else:
                smask = dmask = 0
            blob = blobs[templates]
            if if_id or mark[1] or ptype != "main":
                blob += _rest(ptype, mark, if_id)
            append(
                pack(
                    184 + len(blob),
                    kind,
                    1,
                    sequence,
                    (destination if exact else destination & far).to_bytes(size),
                    (source if exact else source & near).to_bytes(size),
                    dport,
                    dmask,
                    sport,
                    smask,
                    2 if family == 4 else 10,
                    lengths[far],
                    lengths[near],
                    protocol,
                    ifindex,
                    user,
                    life,
                    priority,
                    index,
                    numbers[direction],
                    actions[action],
                )
                + blob
            )
            sequence += 1
    except (KeyError, struct.error, OverflowError) as error:
        raise ValueError(f"{_named(policy)}: XFRM cannot hold it: {error}") from error
    return messages


def _put_back(octets: bytes, kind: int, sequence: int, index: int) -> bytes:
    """The message of a policy whose body is at hand."""
    message = bytearray(HEADER.pack(HEADER.size + len(octets), kind, NLM_F_REQUEST, sequence, 0))
    message += octets
    struct.pack_into("=I", message, _INDEX_AT, index)
    return bytes(message)


def identities(policies: Iterable[Policy]) -> list[bytes]:
    """All that a policy says but its index, as :func:`sift` finds it in a dump."""
    return [m[16:72] + m[168:172] + m[176:178] + m[184:] for m in encode_installs(policies)]


def sift(data: bytes, wanted: Mapping[bytes, int], found: bytearray) -> list[Policy]:
    """Mark in ``found`` the wanted policies of a datagram; return all others, decoded.

    ``wanted`` has places by identity.  A policy that says more than an identity can (a limit, a
    flag) is always returned.  Comparing bytes is several times faster than decoding them.  Raises
    ``ValueError``.
    """
    others: list[Policy] = []
    place, head, unlimited, main = wanted.get, _LENGTH_AND_TYPE.unpack_from, _UNLIMITED, _MAIN_TYPE
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
        rest = data[start + 184 : end]
        if rest[-12:] == main:
            rest = rest[:-12]
        at = place(
            data[start + 16 : start + 72]
            + data[start + 168 : start + 172]
            + data[start + 176 : start + 178]
            + rest
        )
        if (
            at is None
            or data[start + 72 : start + 136] != unlimited
            or data[start + 178 : start + 180] != b"\0\0"
        ):
            others += decode_policies(data[start:end])
        else:
            found[at] = 1
    return others


def encode_removals(
    policies: Iterable[Policy], sequence: int = 0, *, exact: bool = False
) -> list[bytes]:
    """Make a DELPOLICY for each policy: by index where it has one, else by selector.

    By index is much cheaper for prefixes that the kernel does not hash: it does not search its
    trees (xfrm_policy_bysel_ctx, xfrm_policy_byid).  Raises ``ValueError``.
    """
    messages: list[bytes] = []
    policy: Policy | None = None
    try:
        for policy in policies:
            source, destination, protocol, sport, dport = policy.selector
            family = source.family
            if family != destination.family:
                raise ValueError("source and destination are of two address families")
            lengths, size = LENGTH_OF_MASK[family], _ADDRESS_BYTES[family]
            smask, dmask = policy.full_port_masks
            near, far = (-1, -1) if exact else (source.mask, destination.mask)
            if not exact:
                sport, dport = sport & smask, dport & dmask
            blob = _rest(policy.ptype, policy.mark, policy.if_id)
            messages.append(
                _ID.pack(
                    80 + len(blob),
                    DELPOLICY,
                    NLM_F_REQUEST,
                    sequence,
                    (destination.address & far).to_bytes(size),
                    (source.address & near).to_bytes(size),
                    socket.htons(dport),
                    socket.htons(dmask),
                    socket.htons(sport),
                    socket.htons(smask),
                    _FAMILIES[family],
                    lengths[destination.mask],
                    lengths[source.mask],
                    protocol,
                    policy.ifindex,
                    policy.user,
                    policy.index,
                    _NUMBERS[policy.direction],
                )
                + blob
            )
            sequence += 1
    except (KeyError, struct.error, OverflowError) as error:
        raise ValueError(f"{_named(policy)}: XFRM cannot hold it: {error}") from error
    return messages


def encode_questions(policies: Iterable[Policy], sequence: int = 0) -> list[bytes]:
    """Make a GETPOLICY for each policy; by index where it has one, else by selector."""
    questions = []
    for removal in encode_removals(policies, sequence):
        question = bytearray(removal)
        struct.pack_into("=H", question, 4, GETPOLICY)
        questions.append(bytes(question))
    return questions


def _named(policy: Policy | None) -> str:
    return "" if policy is None else f"{policy.selector} {policy.direction}"


def encode_dump(sequence: int) -> bytes:
    """The request for all policies; the kernel knows no filter and reads no body."""
    return HEADER.pack(HEADER.size, GETPOLICY, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0)


# ---------------------------------------------------------------------------------- decoding

_Rest = tuple[tuple[Template, ...], tuple[int, int], int, str, bool]
_PLAIN: Final[_Rest] = ((), (0, 0), 0, "main", False)
"""Templates, mark, if_id, type, and whether there is more than these."""


def attributes(blob: bytes) -> Iterator[tuple[int, bytes]]:
    """Types and payloads of a chain of attributes; raises ``ValueError`` when it is cut."""
    offset, end = 0, len(blob)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(blob, offset)
        if length < 4 or offset + length > end:
            raise ValueError("an attribute is cut")
        yield kind & 0x3FFF, blob[offset + 4 : offset + length]
        offset += length + 3 & ~3


def _unpack_templates(payload: bytes) -> tuple[Template, ...]:
    """Whole templates only: the kernel itself drops a cut one (copy_from_user_tmpl)."""
    found = []
    whole = len(payload) // _TEMPLATE.size * _TEMPLATE.size
    for unpacked in _TEMPLATE.iter_unpack(payload[:whole]):
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
            if kind == _XFRMA_TMPL:
                templates = _unpack_templates(payload)
                more = more or _restricts_algorithms(payload)
            elif kind == _XFRMA_MARK:
                mark = struct.unpack_from("=II", payload)
            elif kind == _XFRMA_IF_ID:
                (if_id,) = struct.unpack_from("=I", payload)
            elif kind == _XFRMA_POLICY_TYPE:
                ptype = "sub" if payload[0] else "main"
            else:
                more = True
        rest = (templates, mark, if_id, ptype, more)
        if len(self) >= _CACHED:
            self.clear()
        self[blob] = rest
        return rest


_rests: Final = _Rests()


def messages(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Types, offsets and ends of the messages of a datagram.

    Raises ``ValueError`` for lengths that cannot be.
    """
    offset, end = 0, len(data)
    while offset + 16 <= end:
        length, kind, _, _, _ = HEADER.unpack_from(data, offset)
        if length < 16 or offset + length > end:
            raise ValueError("a message of the kernel is cut")
        yield kind, offset, offset + length
        offset += length + 3 & ~3


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
    make, from_bytes, head = tuple.__new__, int.from_bytes, _LENGTH_AND_TYPE.unpack_from
    directions, ntohs, unlimited = DIRECTIONS, socket.ntohs, _UNLIMITED
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
    body[_INDEX_AT : _INDEX_AT + 4] = bytes(4)
    return bytes(body[HEADER.size :])


def _restricts_algorithms(templates: bytes) -> bool:
    whole = len(templates) // _TEMPLATE.size * _TEMPLATE.size
    size = _TEMPLATE.size
    return any(templates[at + 52 : at + 64] != _ALL_ALGORITHMS for at in range(0, whole, size))


def unmodelled(message: bytes) -> tuple[str, ...]:
    """What a dumped policy says that :class:`Policy` has no room for, in words.

    Flags, limits, a security context, a device of an offload and algorithm masks: they stand in
    :attr:`Policy.octets` alone.
    """
    *limits, flags, _ = _ALL_OF_INFO.unpack_from(message)
    lost = []
    if limits != [_NO_LIMIT] * 4 + [0] * 4:
        lost.append("limits")
    if flags:
        lost.append(f"flags {flags:#x}")
    for kind, payload in attributes(message[184:]):
        if kind == _XFRMA_SEC_CTX:
            lost.append("a security context")
        elif kind == _XFRMA_OFFLOAD_DEV:
            lost.append("an offload")
        elif kind == _XFRMA_TMPL and _restricts_algorithms(payload):
            lost.append("algorithm masks")
    return tuple(lost)
