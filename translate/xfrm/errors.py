"""What the kernel refuses, in words that say what to do."""

from __future__ import annotations

import errno
import os
from typing import Final

MODULES: Final = {50: "esp4 or esp6", 51: "ah4 or ah6", 108: "ipcomp or ipcomp6"}
"""Kernel modules of the protocols."""


class KernelError(Exception):
    """The kernel refused a request.

    ``number`` is its errno, ``text`` its own words (extended ack), ``what`` the request.
    """

    def __init__(self, number: int, text: str, what: str, *, hinted: bool = True) -> None:
        self.number = number
        self.text = text
        self.what = what
        reason = text or os.strerror(number)
        hint = hint_for(number, text) if hinted else ""
        super().__init__(f"{what}: {reason}" + (f" ({hint})" if hint else ""))


class LostError(KernelError):
    """The connection to the kernel broke or stalled; what was done is not known."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.ENOTCONN, "the connection to the kernel was lost", what)


def hint_for(number: int, text: str) -> str:
    """What to do about an errno and the kernel's words."""
    match number:
        case errno.EPERM:
            return "it needs CAP_NET_ADMIN: run it as root"
        case errno.EPROTONOSUPPORT if "type" in text or "mode" in text:
            return "the protocol is missing: load esp4, esp6, ah4, ah6 or ipcomp"
        case errno.EPROTONOSUPPORT:
            return "this kernel has no XFRM: it needs CONFIG_XFRM_USER"
        case errno.ENOSYS:
            return "the algorithm is missing in this kernel"
        case errno.EEXIST:
            return "a policy with this selector is there already"
        case errno.ENOENT:
            return "no such policy is there: somebody else removed it"
        case errno.ENOBUFS:
            return "the kernel ran out of buffer space for answers"
        case _:
            return ""
