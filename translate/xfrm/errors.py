"""What the kernel refuses, in one class of errors, with what to do about it.

The texts of extended acks are those of net/xfrm/xfrm_user.c, xfrm_state.c and xfrm_policy.c.  No
key ever stands in an error: what was asked is told by name, address and number.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from ..net import IPPROTO_AH, IPPROTO_COMP, IPPROTO_ESP

_MODULES: Final = {
    (IPPROTO_ESP, 4): "esp4",
    (IPPROTO_ESP, 6): "esp6",
    (IPPROTO_AH, 4): "ah4",
    (IPPROTO_AH, 6): "ah6",
    (IPPROTO_COMP, 4): "ipcomp",
    (IPPROTO_COMP, 6): "ipcomp6",
}
"""Modules that handle a protocol of IPsec, by protocol and family of the endpoints."""

_CRYPTO_MODULES: Final = {
    "des": "des_generic",
    "des3_ede": "des_generic",
    "blowfish": "blowfish_generic",
    "cast5": "cast5_generic",
    "serpent": "serpent_generic",
    "twofish": "twofish_generic",
    "camellia": "camellia_generic",
    "aes": "aes_generic",
    "md5": "md5",
    "sha1": "sha1_generic",
    "sha256": "sha256_generic",
    "sha384": "sha512_generic",
    "sha512": "sha512_generic",
    "rmd160": "rmd160",
    "deflate": "deflate",
    "cipher_null": "crypto_null",
    "digest_null": "crypto_null",
}
"""Modules of the kernel that bring an algorithm, by the innermost part of its name."""

_ALGORITHM_KINDS: Final = {
    "AEAD": "aead",
    "AUTH_TRUNC": "auth_trunc",
    "AUTH": "auth",
    "CRYPT": "crypt",
    "COMP": "comp",
}


class KernelError(OSError):
    """The kernel refused a request, or could not be asked.

    ``errno`` is the kernel's, ``text`` its extended ack (empty where it said none), ``asked`` what
    was asked of it, ``hint`` what to do (empty where nothing can be said).
    """

    errno: int

    def __init__(self, number: int, asked: str, text: str = "", hint: str = "") -> None:
        super().__init__(number, os.strerror(number))
        self.asked = asked
        self.text = text
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.asked}: {reason(self.errno, self.text)}"


def reason(number: int, text: str = "") -> str:
    """Say an errno with its name, and the kernel's own words where it gave some."""
    name = errno.errorcode.get(number, f"errno {number}")
    said = f"{os.strerror(number)} ({name})"
    return f"{said}: {text}" if text else said


def hint_for(
    number: int,
    text: str = "",
    *,
    protocol: int = 0,
    family: int = 4,
    algorithms: dict[str, str] | None = None,
) -> str:
    """What to do about a refusal.

    ``protocol`` and ``family`` are those of the state that was asked for, ``algorithms`` the names
    of its algorithms by kind (``crypt``, ``auth``, ``auth_trunc``, ``aead``, ``comp``).
    """
    if number == errno.ENOSYS and text.startswith("Requested "):
        kind = _ALGORITHM_KINDS.get(text.split()[1], "")
        return _algorithm_hint((algorithms or {}).get(kind, ""))
    if text == "Requested type not found":
        module = _MODULES.get((protocol, family))
        if module is None:
            return "the kernel has no handler for this protocol: esp4, ah4, ipcomp or another"
        return f"the kernel has no handler for this protocol: modprobe {module}"
    if text == "Requested mode not found":
        return "the kernel has no handler for this mode"
    return _HINTS.get(number, "")


def _algorithm_hint(name: str) -> str:
    if not name:
        return "the kernel's crypto has no such algorithm; see /proc/crypto"
    inner = name.rstrip(")").rpartition("(")[2]
    module = _CRYPTO_MODULES.get(inner)
    advice = f"modprobe {module}" if module else "see /proc/crypto"
    return f"the kernel's crypto has no {name}: {advice}"


_HINTS: Final = {
    errno.EPERM: "CAP_NET_ADMIN is needed in this network namespace: run it as root",
    errno.EEXIST: (
        "one with this direction, selector, mark, if_id and type is there, whatever its priority"
    ),
    errno.ENOENT: "there is none with exactly this selector, mark, if_id and type",
    errno.ESRCH: "there is no such state",
    errno.ENOBUFS: "answers of the kernel were lost: the receive buffer was full",
    errno.ENOMEM: "the kernel has no memory for it",
    errno.EOPNOTSUPP: "a 32-bit program needs a kernel with CONFIG_XFRM_USER_COMPAT",
    errno.ENOPROTOOPT: "the kernel is built without CONFIG_XFRM_MIGRATE",
    errno.EMSGSIZE: "the send buffer is too small for it",
}

NO_XFRM: Final = "this kernel has no XFRM: modprobe xfrm_user (CONFIG_XFRM_USER)"
"""The hint for EPROTONOSUPPORT when a socket is opened."""
