"""Raw RSA keys of ipsec.conf, as the file that strongSwan reads.

``leftrsasigkey`` is the key of a KEY record of DNS (RFC 3110) behind ``0s`` for base64 or ``0x``
for hexadecimal (ipsec.conf(5), ttodata(3)); it is public.  strongSwan reads a
SubjectPublicKeyInfo (RFC 5280, RFC 8017) in PEM (RFC 7468).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final, NamedTuple

from ...diagnostics import Span

_RSA_ENCRYPTION: Final = bytes.fromhex("06092a864886f70d0101010500")
"""OID 1.2.840.113549.1.1.1, and the NULL that stands for its parameters."""

_LEAST_BITS: Final = 512
_MOST_BITS: Final = 8192
"""pluto took no others (RSA_MIN_OCTETS, RSA_MAX_OCTETS)."""

_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_BIT_STRING: Final = 0x03


class PublicKey(NamedTuple):
    """A file below /etc/swanctl/pubkey: its name, its text in PEM, and the setting it is from."""

    name: str
    pem: str
    span: Span


def public_key(value: str, span: Span) -> PublicKey:
    """The file for a raw key, named after what it holds; ``ValueError`` tells what is wrong."""
    exponent, modulus = _numbers(_octets(value))
    numbers = _tlv(_SEQUENCE, _integer(modulus) + _integer(exponent))
    algorithm = _tlv(_SEQUENCE, _RSA_ENCRYPTION)
    encoded = _tlv(_SEQUENCE, algorithm + _tlv(_BIT_STRING, b"\0" + numbers))
    text = base64.b64encode(encoded).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    pem = "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----"])
    return PublicKey(f"rsa-{hashlib.sha256(encoded).hexdigest()[:16]}.pem", pem, span)


def _octets(value: str) -> bytes:
    try:
        if value[:2].lower() == "0s":
            return base64.b64decode(value[2:], validate=True)
        if value[:2].lower() == "0x":
            return bytes.fromhex(value[2:].replace("_", ""))
    except (binascii.Error, ValueError):
        raise ValueError("it is damaged") from None
    raise ValueError("it begins neither with 0s nor with 0x")


def _numbers(octets: bytes) -> tuple[int, int]:
    """Exponent and modulus (RFC 3110, section 2)."""
    if octets[:1] == b"\0":
        length, at = int.from_bytes(octets[1:3]), 3
    else:
        length, at = int.from_bytes(octets[:1]), 1
    exponent, modulus = octets[at : at + length], int.from_bytes(octets[at + length :])
    if not _LEAST_BITS <= modulus.bit_length() <= _MOST_BITS:
        raise ValueError(
            f"its modulus has {modulus.bit_length()} bits, not {_LEAST_BITS} to {_MOST_BITS}"
        )
    if not modulus & int.from_bytes(exponent) & 1:
        raise ValueError("its modulus or exponent is even")
    return int.from_bytes(exponent), modulus


def _integer(number: int) -> bytes:
    """With a leading zero where it would be negative."""
    return _tlv(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1))


def _tlv(tag: int, content: bytes) -> bytes:
    """Tag, length and content (X.690, DER)."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + content
