"""Raw RSA keys as files, beside what openssl(1) wrote for the same numbers."""

from __future__ import annotations

import base64

import pytest

from eroute_translate.diagnostics import Span
from eroute_translate.mapping.daemons.public_key import public_key

SPAN = Span("ipsec.conf", 7)
MODULUS = int(
    "b0475b10c6f363d57a6794660be43032b9e6a6f956bb65c70b00133cc85db9261616eb6f874dd3d20c3c648e21aa8b3d"
    "5aaf2d4921e0625b758d04b26c2daf13ee54c4815f6d4c702508e273094372885a3564d601bf33f34e87827bdbaf4dde"
    "0dba333087cfd631fe907a55a1044ca1d2c6c3590dd9333f9ff92542489e7ce1",
    16,
)
PEM = """\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCwR1sQxvNj1XpnlGYL5DAyueam
+Va7ZccLABM8yF25JhYW62+HTdPSDDxkjiGqiz1ary1JIeBiW3WNBLJsLa8T7lTE
gV9tTHAlCOJzCUNyiFo1ZNYBvzPzToeCe9uvTd4NujMwh8/WMf6QelWhBEyh0sbD
WQ3ZMz+f+SVCSJ584QIDAQAB
-----END PUBLIC KEY-----"""


def raw(exponent: bytes, modulus: int = MODULUS) -> bytes:
    """RFC 3110, section 2."""
    length = (
        bytes([len(exponent)]) if 0 < len(exponent) < 256 else b"\0" + len(exponent).to_bytes(2)
    )
    return length + exponent + modulus.to_bytes((modulus.bit_length() + 7) // 8)


def base64_of(octets: bytes) -> str:
    return "0s" + base64.b64encode(octets).decode()


@pytest.mark.parametrize(
    "value",
    [
        base64_of(raw(b"\1\0\1")),
        "0x" + raw(b"\1\0\1").hex(),
        "0X" + raw(b"\1\0\1").hex("_", 4),
        base64_of(b"\0\0\3\1\0\1" + MODULUS.to_bytes(128)),
    ],
)
def test_the_same_file_as_openssl_writes(value: str) -> None:
    key = public_key(value, SPAN)
    assert key.pem == PEM
    assert key.span == SPAN
    assert key.name == public_key(base64_of(raw(b"\1\0\1")), SPAN).name


def test_names_are_of_the_key_and_plain() -> None:
    one, other = (public_key(base64_of(raw(e)), SPAN).name for e in (b"\3", b"\1\0\1"))
    assert one != other
    for name in (one, other):
        assert name.removeprefix("rsa-").removesuffix(".pem").isalnum()


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("AQNxbOBm", "neither with 0s nor with 0x"),
        ("0sAQNx bOBm", "damaged"),
        ("0sAQNxb", "damaged"),
        ("0xabc", "damaged"),
        ("0s", "has 0 bits"),
        ("0sAQNxbOBm", "has 31 bits"),
        (base64_of(raw(b"\3", (1 << 511) - 1)), "has 511 bits"),
        (base64_of(raw(b"\3", (1 << 8193) - 1)), "has 8193 bits"),
        (base64_of(raw(b"\3", MODULUS - 1)), "even"),
        (base64_of(raw(b"\2")), "even"),
        (base64_of(raw(b"")), "even"),
    ],
)
def test_what_is_no_key_is_said(value: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        public_key(value, SPAN)
