"""KLIPS's transforms and what XFRM calls them, with the bits that were on the wire.

Names of the kernel are those of net/xfrm/xfrm_algo.c; KLIPS's are those of IPS_XFORM_NAME
(include/openswan/ipsec_xform.h).  Classic KLIPS cut every authenticator to 96 bits
(AHHMAC_HASHLEN, ipsec_auth.h); libreswan from 3.14 on sent SHA-2 in ESP as RFC 4868 says
(ipsec_alg_cryptoapi.c).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class IcvLength(StrEnum):
    """How long the check values of SHA-2 in ESP were: 96 bits, or half the hash."""

    CLASSIC = "96"
    RFC = "rfc"


class Cipher(NamedTuple):
    """Kernel name, and the key lengths in bits that KLIPS took."""

    name: str
    key_bits: tuple[int, ...]


class Authenticator(NamedTuple):
    """Kernel name, key length, and the length of the check value by RFC 4868, in bits."""

    name: str
    key_bits: int
    rfc_bits: int = 96


CIPHERS: Final = {
    "null": Cipher("ecb(cipher_null)", (0,)),
    "des": Cipher("cbc(des)", (64,)),
    "3des": Cipher("cbc(des3_ede)", (192,)),
    "aes": Cipher("cbc(aes)", (128, 192, 256)),
    "blowfish": Cipher("cbc(blowfish)", tuple(range(96, 456, 8))),
    "cast": Cipher("cbc(cast5)", (128,)),
    "serpent": Cipher("cbc(serpent)", (128, 192, 256)),
    "twofish": Cipher("cbc(twofish)", (128, 192, 256)),
}

AUTHENTICATORS: Final = {
    "md5": Authenticator("hmac(md5)", 128),
    "sha1": Authenticator("hmac(sha1)", 160),
    "sha2_256": Authenticator("hmac(sha256)", 256, 128),
    "sha2_256_trunc": Authenticator("hmac(sha256)", 256),
    "sha2_384": Authenticator("hmac(sha384)", 384, 192),
    "sha2_512": Authenticator("hmac(sha512)", 512, 256),
    "ripemd": Authenticator("hmac(rmd160)", 160),
}

COMPRESSIONS: Final = {"deflate": "deflate"}
"""LZS stands in the kernel's table too, but no code implements it."""

WEAK: Final = frozenset({"null", "des", "3des", "blowfish", "cast", "md5", "ripemd"})
"""What today's kernels may be built without, or refuse in FIPS mode."""

CLASSIC_BITS: Final = 96


def icv_bits(authenticator: str, *, in_esp: bool, icv: IcvLength) -> int:
    """The length on the wire.  AH in KLIPS is always 96 bits."""
    if in_esp and icv is IcvLength.RFC:
        return AUTHENTICATORS[authenticator].rfc_bits
    return CLASSIC_BITS


def icv_of_version(version: str) -> IcvLength | None:
    """What a version of KLIPS sent for SHA-2, ``None`` when the text does not tell.

    ``version`` is the line of ipsec_version, such as ``Libreswan version: 3.20``.
    """
    words = version.split()
    if not words:
        return None
    if not words[0].lower().startswith("libreswan"):
        return IcvLength.CLASSIC
    numbers = words[-1].lstrip("v").split(".")
    try:
        major, minor = int(numbers[0]), int(numbers[1].split("-")[0])
    except (IndexError, ValueError):
        return None
    return IcvLength.RFC if (major, minor) >= (3, 14) else IcvLength.CLASSIC
