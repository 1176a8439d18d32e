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
from collections.abc import Iterator, Sequence
from typing import Final

from ..net import LENGTH_OF_MASK, MASK_OF_LENGTH, Prefix, Selector
from .model import Policy, Template
from .text import MODES

NEWPOLICY: Final = 19
DELPOLICY: Final = 20
GETPOLICY: Final = 21
UPDPOLICY: Final = 25
GETSPDINFO: Final = 37

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_DUMP: Final = 0x300

DIRECTIONS: Final = ("in", "out", "fwd", "socket in", "socket out", "socket fwd")
"""Directions by number; from 3 on those of the policies of sockets (XFRM_POLICY_MAX = 3)."""

HEADER: Final = struct.Struct("=IHHII")
"""``nlmsghdr``: length, type, flags, sequence, port."""

_LIMITLESS: Final = struct.pack("=4Q64x", *[(1 << 64) - 1] * 4)
"""``xfrm_lifetime_cfg`` without a limit, and an empty ``xfrm_lifetime_cur``."""

# nlmsghdr (type and flags as one u32), xfrm_userpolicy_info up to the priority, then index, and
# direction and action as one u16.  "16s" fills a shorter address with zeros.
_INFO: Final = struct.Struct("=III4x16s16sHHHHHBBB3xiI96sIIH6x")
_ID: Final = struct.Struct("=III4x16s16sHHHHHBBB3xiIIB3x")
_TEMPLATE: Final = struct.Struct("=16sIB3xH2x16sIBBBx12s")
_ATTRIBUTE: Final = struct.Struct("=HH")
_MARK: Final = struct.Struct("=HHII")
_IF_ID: Final = struct.Struct("=HHI")

_SUB_TYPE: Final = struct.pack("=HHB7x", 10, 16, 1)
"""XFRMA_POLICY_TYPE of six bytes: sub."""

_XFRMA_TMPL: Final = 5
_XFRMA_POLICY_TYPE: Final = 16
_XFRMA_MARK: Final = 21
_XFRMA_IF_ID: Final = 31

_ALL_ALGORITHMS: Final = b"\xff" * 12
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_ADDRESS_BYTES: Final = {4: 4, 6: 16}
_KIND_AND_FLAGS: Final = {
    kind: int.from_bytes(struct.pack("=HH", kind, NLM_F_REQUEST), "little")
    if struct.pack("=H", 1) == b"\1\0"
    else kind << 16 | NLM_F_REQUEST
    for kind in (NEWPOLICY, UPDPOLICY, DELPOLICY)
}
