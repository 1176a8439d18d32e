"""Security associations and groups of a KLIPS host (ipsec_spi(5), ipsec_spigrp(5)).

``/proc/net/ipsec_spi`` shows all of an association but its keys; a script of ``ipsec spi``
commands or a manually keyed connection of ipsec.conf has the keys too.  All of them end here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ..diagnostics import Span
from ..net import Prefix
from ..secret import Secret
from .said import Said

Address = tuple[int, int]
"""Family (4 or 6) and number."""

ENCRYPTIONS: Final = (
    "null",
    "des",
    "3des",
    "aes",
    "blowfish",
    "cast",
    "idea",
    "serpent",
    "twofish",
    "rc5",
    "3idea",
    "rc4",
    "mars",
    "rc6",
)
"""Names of ciphers, in small letters: those of IPS_XFORM_NAME (include/openswan/ipsec_xform.h)."""

AUTHENTICATIONS: Final = ("md5", "sha1", "sha2_256", "sha2_384", "sha2_512", "ripemd")
"""Names of authenticators; ``sha2_256_trunc`` is libreswan's id 252."""

COMPRESSIONS: Final = ("deflate", "lzs", "none")


class Lifetime(NamedTuple):
    """One kind of life: what was used up, and the limits; 0 is no limit."""

    count: int = 0  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    soft: int = 0
    hard: int = 0


class Lifetimes(NamedTuple):
    """The kinds of life in the order of the printer; times in seconds."""

    allocations: Lifetime = Lifetime()
    bytes: Lifetime = Lifetime()
    addtime: Lifetime = Lifetime()
    usetime: Lifetime = Lifetime()
    packets: Lifetime = Lifetime()


NO_LIMITS: Final = Lifetimes()


class Encapsulation(NamedTuple):
    """NAT traversal: ``nonike`` (draft, port 500) or ``nonesp`` (RFC 3948), and the UDP ports.

    A port is 0 where the row has lost it.
    """

    kind: str
    source_port: int
    destination_port: int


@dataclass(frozen=True, slots=True)
class Association:
    """One SA.

    ``inbound`` is ``None`` where the source does not say.  ``source`` is the outer source
    address, ``policy`` the inner source and destination that an inbound IP-in-IP SA accepts.
    An algorithm is one of the names above, ``id7`` for a number without a name, ``unknown`` where
    KLIPS printed just that, empty for none.
    Lengths are in bits, 0 where unknown; ``authentication_bits`` is that of the whole hash
    (``alen``), not of what is on the wire.  ``flags`` are those of ipsec_spi(5) without the one for
    inbound.  ``shown`` holds what only the printer needs, in its order, as pairs of name and text;
    such a text goes before what the other fields would print.
    """

    said: Said
    span: Span
    inbound: bool | None = None
    source: Address | None = None
    encryption: str = ""
    authentication: str = ""
    compression: str = ""
    encryption_bits: int = 0
    authentication_bits: int = 0
    replay_window: int = 0
    sequence: int = 0
    policy: tuple[Prefix, Prefix] | None = None
    flags: int = 0
    lifetimes: Lifetimes = NO_LIMITS
    encapsulation: Encapsulation | None = None
    encryption_key: Secret | None = None
    authentication_key: Secret | None = None
    reference: int = 0
    shown: tuple[tuple[str, str], ...] = ()


class Group(NamedTuple):
    """A chain of SAs as one line or command names it, in the order of the text.

    ``ipsec spigrp`` commands go from the inside out.  Rows of the table do so too, but for
    inbound groups from 2.6.14 on, which run from the outside in (docs/klips.md).
    """

    saids: tuple[Said, ...]
    span: Span


def merged(sources: Iterable[Iterable[Association]]) -> dict[Said, Association]:
    """The associations of several sources by SAID, the most trusted source first.

    What one source does not tell is taken from the next: the keys of a script for the rows of a
    proc table, say.  Keys are taken only where the algorithms agree.
    """
    found: dict[Said, Association] = {}
    for associations in sources:
        for other in associations:
            held = found.get(other.said)
            found[other.said] = other if held is None else _filled(held, other)
    return found


def _filled(held: Association, other: Association) -> Association:
    same = (held.encryption, held.authentication) == (other.encryption, other.authentication)
    fields: dict[str, object] = {
        "inbound": other.inbound if held.inbound is None else held.inbound,
        "source": held.source or other.source,
        "policy": held.policy or other.policy,
        "compression": held.compression or other.compression,
        "replay_window": held.replay_window or other.replay_window,
        "encapsulation": held.encapsulation or other.encapsulation,
    }
    if same and held.encryption_key is None:
        fields["encryption_key"] = other.encryption_key
    if same and held.authentication_key is None:
        fields["authentication_key"] = other.authentication_key
    return replace(held, **fields)  # type: ignore[arg-type]  # by name
