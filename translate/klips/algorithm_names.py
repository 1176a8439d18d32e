"""Algorithms as tools and ipsec.conf name them: ``3des-md5-96``, ``aes128-sha1``, ``hmac-md5-96``.

The classic tools took three names for ESP and two for AH (ipsec_spi(8)); with loadable algorithms
any cipher and hash that the kernel had, the cipher with its key length.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_CIPHERS: Final = {
    "3des": "3des",
    "3des_cbc": "3des",
    "des": "des",
    "aes": "aes",
    "aes_cbc": "aes",
    "blowfish": "blowfish",
    "cast": "cast",
    "cast128": "cast",
    "serpent": "serpent",
    "twofish": "twofish",
    "null": "null",
    "idea": "idea",
}
_HASHES: Final = {
    "md5": "md5",
    "sha": "sha1",
    "sha1": "sha1",
    "sha256": "sha2_256",
    "sha2": "sha2_256",
    "sha2_256": "sha2_256",
    "sha384": "sha2_384",
    "sha2_384": "sha2_384",
    "sha512": "sha2_512",
    "sha2_512": "sha2_512",
    "ripemd": "ripemd",
    "rmd160": "ripemd",
}
_CIPHER: Final = re.compile(r"([a-z0-9_]*?[a-z_])([0-9]{2,3})?\Z")


class Algorithms(NamedTuple):
    """Names as in :class:`.association.Association`; ``key_bits`` 0 where the name has none."""

    encryption: str = ""
    authentication: str = ""
    key_bits: int = 0


def parse_algorithms(text: str, protocol: str) -> Algorithms:
    """Read the algorithms of ``esp`` or ``ah``.  Raises ``ValueError``.

    ``hmac-md5-96``, ``md5`` and ``hmac_md5`` are one authenticator; a trailing ``-96`` says what
    was always so.
    """
    words = text.lower().removesuffix("!").removesuffix("-96").replace("hmac_", "hmac-").split("-")
    words = [word for word in words if word != "hmac"]
    if protocol == "ah":
        if len(words) == 1 and words[0] in _HASHES:
            return Algorithms(authentication=_HASHES[words[0]])
        raise ValueError(f"{text!r} is no authenticator of AH")
    encryption, bits = _cipher(words[0], text)
    if len(words) == 1:
        return Algorithms(encryption, "", bits)
    if len(words) > 2 or words[1] not in _HASHES:
        raise ValueError(f"{text!r} names no authenticator that KLIPS had")
    return Algorithms(encryption, _HASHES[words[1]], bits)


def _cipher(word: str, text: str) -> tuple[str, int]:
    if word in _CIPHERS:
        return _CIPHERS[word], 0
    match = _CIPHER.match(word)
    if match is not None and match[2] and match[1].rstrip("_") in _CIPHERS:
        return _CIPHERS[match[1].rstrip("_")], int(match[2])
    raise ValueError(f"{text!r} names no cipher that KLIPS had")
