"""What all messages of NETLINK_XFRM for policies share: numbers, heads, attributes, layouts.

The bulk path: precompiled layouts, one ``struct.pack`` for a message, and no object in between.
:mod:`.encode` makes messages, :mod:`.decode` reads them, :mod:`.sieve` compares them as they are.
The message classes of :mod:`.family` make the same bytes, which a test shows.

Layouts are those of include/uapi/linux/xfrm.h on 64-bit machines.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

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

LENGTH_AND_TYPE: Final = struct.Struct("=IH")
"""The begin of ``nlmsghdr``."""

ATTRIBUTE: Final = struct.Struct("=HH")
"""``nlattr``: length and type."""

NO_LIMIT: Final = (1 << 64) - 1
"""XFRM_INF: octets or packets without a limit."""

UNLIMITED: Final = struct.pack("=8Q", *[NO_LIMIT] * 4, 0, 0, 0, 0)
"""``xfrm_lifetime_cfg`` of a policy that has no limits."""

POLICY_SIZE: Final = 184
"""``nlmsghdr`` and ``xfrm_userpolicy_info``: the attributes of a policy follow."""

INDEX_AT: Final = 172
"""Where the index stands in the message of a policy."""

MAIN_TYPE: Final = struct.pack("=HHB7x", 10, 16, 0)
"""XFRMA_POLICY_TYPE, six bytes: main.  Kernels with sub policies say it in each dump
(CONFIG_XFRM_SUB_POLICY)."""

TEMPLATE: Final = struct.Struct("=16sIB3xH2x16sIBBBx12s")
"""``xfrm_user_tmpl``; the algorithm masks are one field."""

XFRMA_TMPL: Final = 5
XFRMA_SEC_CTX: Final = 8
XFRMA_POLICY_TYPE: Final = 16
XFRMA_MARK: Final = 21
XFRMA_OFFLOAD_DEV: Final = 28
XFRMA_IF_ID: Final = 31

ALL_ALGORITHMS: Final = b"\xff" * 12
"""The algorithm masks of a template that restricts nothing."""

CACHED: Final = 1 << 16
"""How many packed or unpacked attributes are kept."""


def attributes(blob: bytes) -> Iterator[tuple[int, bytes]]:
    """Types and payloads of a chain of attributes; raises ``ValueError`` when it is cut."""
    offset, end = 0, len(blob)
    while offset + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(blob, offset)
        if length < 4 or offset + length > end:
            raise ValueError("an attribute is cut")
        yield kind & 0x3FFF, blob[offset + 4 : offset + length]
        offset += length + 3 & ~3


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
