"""Protected packets opened with the bed's own keys: which SA, which mode, how long an ICV.

ESP hides from the wire what it carries. Here the check value is computed anew (so its length is
what the sender truncated to, and its key the sender's), and the packet is decrypted by the guest's
kernel through AF_ALG, so the header within tells tunnel mode from transport mode.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import socket
import struct
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from . import wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .wire import Packet

_ALG_SET_KEY, _ALG_OP_DECRYPT = 1, 0
_SOL_ALG: Final = 279
_IP_IN_IP: Final = frozenset({4, 41})
ICVS: Final = (12, 16, 24, 32)


class Keys(NamedTuple):
    """One way in which ESP may be sealed: the kernel's name of the cipher, sizes in octets."""

    cipher: str
    key: bytes
    iv: int
    hash: str
    hash_key: bytes


BED: Final = Keys("cbc(aes)", bytes(range(16)), 16, "sha1", bytes(range(20)))
"""What :mod:`tests.netkey.translated` gives to every SA of ESP."""


def _counting(size: int) -> bytes:
    return bytes(range(1, size + 1))


CLASSIC: Final = (
    *(
        Keys("cbc(aes)", _counting(16), 16, name, _counting(size))
        for name, size in (("sha1", 20), ("sha256", 32), ("sha384", 48), ("sha512", 64))
    ),
    Keys("cbc(des3_ede)", _counting(24), 8, "md5", _counting(16)),
)
"""Those of the tests of associations."""


class UnsealedError(AssertionError):
    """No key of the bed opens the packet."""


def _decrypted(keys: Keys, iv: bytes, data: bytes) -> bytes:
    with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as algorithm:
        algorithm.bind(("skcipher", keys.cipher))
        algorithm.setsockopt(_SOL_ALG, _ALG_SET_KEY, keys.key)
        operation, _ = algorithm.accept()
        with operation:
            operation.sendmsg_afalg([data], op=_ALG_OP_DECRYPT, iv=iv)
            return operation.recv(len(data))


def _esp(packet: Packet) -> tuple[int, int, bytes]:
    """Octets of the ICV, the next header and what it heads."""
    head = struct.pack("!II", packet.spi, packet.sequence)
    for keys, icv in itertools.product((BED, *CLASSIC), ICVS):
        body, seal = packet.payload[:-icv], packet.payload[-icv:]
        whole = hmac.new(keys.hash_key, head + body, getattr(hashlib, keys.hash)).digest()
        if whole[:icv] == seal:
            plain = _decrypted(keys, body[: keys.iv], body[keys.iv :])
            padding, following = plain[-2:]
            return icv, following, plain[: -2 - padding]
    raise UnsealedError(f"no key opens {packet}")


def _within(following: int, data: bytes) -> Iterator[str]:
    """What stands behind a header of IPsec: the mode, and a header of IPsec if there is one."""
    if following in _IP_IN_IP:
        yield "tunnel"
        return
    if following == wire.NUMBERS["comp"]:
        (index,) = struct.unpack_from("!H", data, 2)
        with contextlib.suppress(zlib.error):
            plain = zlib.decompress(data[4:], wbits=-15)
            mode = next(_within(data[0], plain))
            yield f"transport (IPCOMP {index:#x} {mode})"
            return
        yield "transport (IPCOMP, damaged)"
    elif following == wire.NUMBERS["esp"]:
        inner = wire.read(wire.ip("192.0.2.1", "192.0.2.2", "esp", data))
        yield f"transport ({described(inner)})"
    else:
        yield "transport"


def described(packet: Packet) -> str:
    """What is seen of a packet on the wire: ``ESP 0x1001 tunnel ICV 96``, or ``clear``."""
    if packet.protocol == "esp":
        icv, following, data = _esp(packet)
        return f"ESP {packet.spi:#x} {next(_within(following, data))} ICV {icv * 8}"
    if packet.protocol == "ah":
        assert packet.icv is not None
        following = packet.following or 0
        return f"AH {packet.spi:#x} {next(_within(following, packet.payload))} ICV {packet.icv * 8}"
    if packet.protocol == "comp":
        plain = zlib.decompress(packet.payload, wbits=-15)
        return f"IPCOMP {packet.spi:#x} {next(_within(packet.following or 0, plain))}"
    if packet.protocol in {"ipip", "ipv6"}:
        return "IP in IP"
    return "clear"
