"""Numbers of NETLINK_XFRM (include/uapi/linux/xfrm.h)."""

from __future__ import annotations

from typing import Final

# Types of messages (linux/xfrm.h: XFRM_MSG_BASE = 0x10).
XFRM_MSG_NEWSA: Final = 16
XFRM_MSG_DELSA: Final = 17
XFRM_MSG_GETSA: Final = 18
XFRM_MSG_NEWPOLICY: Final = 19
XFRM_MSG_DELPOLICY: Final = 20
XFRM_MSG_GETPOLICY: Final = 21
XFRM_MSG_ALLOCSPI: Final = 22
XFRM_MSG_ACQUIRE: Final = 23
XFRM_MSG_EXPIRE: Final = 24
XFRM_MSG_UPDPOLICY: Final = 25
XFRM_MSG_UPDSA: Final = 26
XFRM_MSG_POLEXPIRE: Final = 27
XFRM_MSG_FLUSHSA: Final = 28
XFRM_MSG_FLUSHPOLICY: Final = 29
XFRM_MSG_NEWAE: Final = 30
XFRM_MSG_GETAE: Final = 31
XFRM_MSG_REPORT: Final = 32
XFRM_MSG_MIGRATE: Final = 33
XFRM_MSG_NEWSADINFO: Final = 34
XFRM_MSG_GETSADINFO: Final = 35
XFRM_MSG_NEWSPDINFO: Final = 36
XFRM_MSG_GETSPDINFO: Final = 37
XFRM_MSG_MAPPING: Final = 38
XFRM_MSG_SETDEFAULT: Final = 39
XFRM_MSG_GETDEFAULT: Final = 40

# Multicast groups; the mask for bind(2) is ``1 << (group - 1)``.
XFRMNLGRP_ACQUIRE: Final = 1
XFRMNLGRP_EXPIRE: Final = 2
XFRMNLGRP_SA: Final = 3
XFRMNLGRP_POLICY: Final = 4
XFRMNLGRP_AEVENTS: Final = 5
XFRMNLGRP_REPORT: Final = 6
XFRMNLGRP_MIGRATE: Final = 7
XFRMNLGRP_MAPPING: Final = 8

XFRM_POLICY_IN: Final = 0
XFRM_POLICY_OUT: Final = 1
XFRM_POLICY_FWD: Final = 2

XFRM_POLICY_ALLOW: Final = 0
XFRM_POLICY_BLOCK: Final = 1

XFRM_POLICY_TYPE_MAIN: Final = 0
XFRM_POLICY_TYPE_SUB: Final = 1

XFRM_USERPOLICY_UNSPEC: Final = 0
XFRM_USERPOLICY_BLOCK: Final = 1
XFRM_USERPOLICY_ACCEPT: Final = 2

XFRM_INF: Final = (1 << 64) - 1
"""No limit of bytes or packets; the limits of time say that with 0."""

NAMES: Final = {
    number: name.removeprefix("XFRM_MSG_")
    for name, number in list(globals().items())
    if name.startswith("XFRM_MSG_")
}
"""Names of the types."""
