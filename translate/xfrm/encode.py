"""Policies to the bytes that install, remove or ask for them, many at a time.

The kernel compares selectors as words of memory (net/xfrm/xfrm_policy.c:selector_cmp), pad bytes,
the unused part of an IPv4 address, bits below the prefix and ports under a mask of zeros included:
all that is zero here.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Final

from ..net import LENGTH_OF_MASK
from .model import Policy, Template
from .text import MODES
from .wire import (
    ALL_ALGORITHMS,
    ATTRIBUTE,
    DELPOLICY,
    DIRECTIONS,
    GETPOLICY,
    HEADER,
    INDEX_AT,
    NEWPOLICY,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NO_LIMIT,
    TEMPLATE,
    UPDPOLICY,
    XFRMA_IF_ID,
    XFRMA_MARK,
    XFRMA_TMPL,
)

_LIFETIME: Final = struct.Struct("=4Q8xQ16x32x")
"""``xfrm_lifetime_cfg`` with a life in seconds, and an empty ``xfrm_lifetime_cur``."""

# Each with its nlmsghdr.  "16s" fills a shorter address with zeros; destination before source.
_INFO: Final = struct.Struct("=IHHI4x16s16sHHHHHBBB3xiI96sIIBB6x")
_PLAIN4: Final = struct.Struct("=IHHI4xI12xI12x8xHBBB3x8x96sIIBB6x")
"""The same for an IPv4 policy without ports, interface and user; addresses as numbers."""

_ONLY4: Final = struct.Struct("=HHI12xIB3xH2xI12xIBxBx12s")
"""XFRMA_TMPL of one ``xfrm_user_tmpl`` with an IPv4 peer; addresses as numbers."""

_ID: Final = struct.Struct("=IHHI4x16s16sHHHHHBBB3xiIIB3x")
_MARK: Final = struct.Struct("=HHII")
_IF_ID: Final = struct.Struct("=HHI")

_SUB_TYPE: Final = struct.pack("=HHB7x", 10, 16, 1)
"""XFRMA_POLICY_TYPE, six bytes: sub."""

_FAMILIES: Final = {4: int(socket.AF_INET), 6: int(socket.AF_INET6)}
_ADDRESS_BYTES: Final = {4: 4, 6: 16}
_NUMBERS: Final = {name: DIRECTIONS.index(name) for name in ("in", "out", "fwd")}
_ACTIONS: Final = {"allow": 0, "block": 1}
_MODE_NUMBERS: Final = {name: number for number, name in enumerate(MODES)}


def _pack_templates(templates: tuple[Template, ...]) -> bytes:
    """XFRMA_TMPL: an array of ``xfrm_user_tmpl`` without headers of their own."""
    blob = b""
    for protocol, mode, family, source, destination, reqid, spi, optional in templates:
        if family == 4 and len(templates) == 1:  # nearly all are like this
            return _ONLY4.pack(
                _ONLY4.size,
                XFRMA_TMPL,
                socket.htonl(destination),
                socket.htonl(spi),
                protocol,
                2,
                socket.htonl(source),
                reqid,
                _MODE_NUMBERS[mode],
                optional,
                ALL_ALGORITHMS,
            )
        size = _ADDRESS_BYTES[family]
        blob += TEMPLATE.pack(
            destination.to_bytes(size),
            socket.htonl(spi),
            protocol,
            _FAMILIES[family],
            source.to_bytes(size),
            reqid,
            _MODE_NUMBERS[mode],
            0,
            optional,
            ALL_ALGORITHMS,
        )
    return ATTRIBUTE.pack(4 + len(blob), XFRMA_TMPL) + blob if blob else b""


def _rest(ptype: str, mark: tuple[int, int], if_id: int) -> bytes:
    """The attributes that are part of a policy's key, in the order of a dump."""
    blob = b""
    if ptype != "main":
        if ptype != "sub":
            raise ValueError(f"a policy of type {ptype}")
        blob = _SUB_TYPE
    value, mask = mark
    if mask:
        blob += _MARK.pack(12, XFRMA_MARK, value & mask, mask)
    if if_id:
        blob += _IF_ID.pack(8, XFRMA_IF_ID, if_id)
    return blob


def encode_installs(
    policies: Iterable[Policy],
    sequence: int = 0,
    *,
    replace: bool = True,
    seconds: int = 0,
    exact: bool = False,
    spread: bool = False,
) -> list[bytes]:
    """Make a message for each policy, numbered from ``sequence`` on.

    ``replace`` makes UPDPOLICY (create or replace), else NEWPOLICY (create; EEXIST if there).
    With ``seconds`` the kernel removes the policy after that time.  Bits outside the masks of
    addresses and ports are cleared; ``exact`` keeps them, to put back what somebody else had
    there.  With ``spread`` a policy without an index is given a :func:`spare_index`.  Raises
    ``ValueError`` for what XFRM cannot hold.
    """
    kind = UPDPOLICY if replace else NEWPOLICY
    life = _LIFETIME.pack(NO_LIMIT, NO_LIMIT, NO_LIMIT, NO_LIMIT, seconds)
    pack, htonl, lengths = _PLAIN4.pack, socket.htonl, LENGTH_OF_MASK[4]
    numbers, actions = _NUMBERS, _ACTIONS
    spare = spare_index(sequence)
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
                (_, mask),
                if_id,
                port_masks,
                ifindex,
                index,
                ptype,
                user,
                octets,
            ) = policy
            # Nearly all are like this, and one call of a function would cost a tenth more.
            if (
                family == 4 == other
                and not (sport or dport or mask or if_id or port_masks or ifindex or user or octets)
                and ptype == "main"
            ):
                blob = _pack_templates(templates) if templates else b""
                number = numbers[direction]
                append(
                    pack(
                        184 + len(blob),
                        kind,
                        1,
                        sequence,
                        htonl(destination if exact else destination & far),
                        htonl(source if exact else source & near),
                        2,
                        lengths[far],
                        lengths[near],
                        protocol,
                        life,
                        priority,
                        index or (spread and spare | number),
                        number,
                        actions[action],
                    )
                    + blob
                )
            else:
                if spread and not index:
                    policy = policy._replace(index=spare | numbers[direction])
                append(_install(policy, kind, sequence, life, exact=exact))
            sequence += 1
            spare += 256
    except (KeyError, struct.error, OverflowError) as error:
        raise ValueError(f"{_named(policy)}: XFRM cannot hold it: {error}") from error
    return messages


def spare_index(sequence: int) -> int:
    """An index, but for the direction in its lowest three bits, that is likely free; 256 on too.

    For each policy that it is given the kernel looks through one chain of its table of indexes
    (net/xfrm/xfrm_policy.c:xfrm_gen_index), which is addressed by ``index ^ index >> 8``.  Those
    that it makes up, by steps of 8, fill an eighth of the chains; steps of 256 fill all alike.
    Bit 29 keeps out of their way.  An index that is taken is no error: the kernel makes one up, as
    it always does before Linux 3.14.
    """
    return 1 << 29 | (sequence & 0x1FFFFF) << 8


def _install(policy: Policy, kind: int, sequence: int, life: bytes, *, exact: bool) -> bytes:
    """The message of any policy."""
    if policy.octets:
        return _put_back(policy.octets, kind, sequence, policy.index)
    (family, source, near), (other, destination, far), protocol, sport, dport = policy.selector
    if family != other:
        raise ValueError("source and destination are of two address families")
    smask, dmask = policy.full_port_masks
    if not exact:
        source, destination, sport, dport = (
            source & near,
            destination & far,
            sport & smask,
            dport & dmask,
        )
    size, htons = _ADDRESS_BYTES[family], socket.htons
    blob = _pack_templates(policy.templates) + _rest(policy.ptype, policy.mark, policy.if_id)
    head = _INFO.pack(
        184 + len(blob),
        kind,
        NLM_F_REQUEST,
        sequence,
        destination.to_bytes(size),
        source.to_bytes(size),
        htons(dport),
        htons(dmask),
        htons(sport),
        htons(smask),
        _FAMILIES[family],
        LENGTH_OF_MASK[family][far],
        LENGTH_OF_MASK[family][near],
        protocol,
        policy.ifindex,
        policy.user,
        life,
        policy.priority,
        policy.index,
        _NUMBERS[policy.direction],
        _ACTIONS[policy.action],
    )
    return head + blob


def _put_back(octets: bytes, kind: int, sequence: int, index: int) -> bytes:
    """The message of a policy whose body is at hand."""
    message = bytearray(HEADER.pack(HEADER.size + len(octets), kind, NLM_F_REQUEST, sequence, 0))
    message += octets
    struct.pack_into("=I", message, INDEX_AT, index)
    return bytes(message)


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
