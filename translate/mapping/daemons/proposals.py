"""Proposals of IKE and ESP as ipsec.conf wrote them, and what today's daemons take of them.

``ike=3des-md5-modp1024,aes128-sha1;modp1536!`` is a list of a cipher, a hash and a group each.
What a daemon refuses was tried: libreswan's ``algparse`` and strongSwan's ``swanctl --load-conns``
(tests/daemons).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from ...klips.algorithm_names import parse_algorithms
from ...klips.association import Association


class Daemon(StrEnum):
    """The key daemons that a configuration is written for."""

    SWANCTL = "swanctl"
    LIBRESWAN = "libreswan"


TITLES: Final = {Daemon.SWANCTL: "strongSwan", Daemon.LIBRESWAN: "libreswan"}
"""What to call a daemon in a message."""


class Proposal(NamedTuple):
    """One proposal, names as in :class:`..klips.association.Association`.

    ``bits`` is 0 where the text has no key length, ``integrity`` and ``group`` empty where it has
    none.  For AH ``encryption`` is empty.
    """

    encryption: str
    bits: int = 0
    integrity: str = ""
    group: str = ""


class Judged(NamedTuple):
    """What a daemon takes of a list: proposals, and remarks as (left out?, text)."""

    proposals: tuple[Proposal, ...]
    remarks: tuple[tuple[bool, str], ...]


_GROUP: Final = re.compile(r"(?:modp|dh)[0-9]+\Z")
_NUMBERED: Final = {
    "1": "modp768",
    "2": "modp1024",
    "5": "modp1536",
    "14": "modp2048",
    "15": "modp3072",
    "16": "modp4096",
    "17": "modp6144",
    "18": "modp8192",
}
"""Groups of RFC 2409 and RFC 3526 by number."""

_NO_PROTECTION: Final = {"null": "it encrypts nothing", "des": "single DES is broken"}
_REFUSED: Final = {
    Daemon.LIBRESWAN: {
        "blowfish",
        "cast",
        "serpent",
        "twofish",
        "idea",
        "ripemd",
        "modp768",
        "modp1024",
        "modp6144",
    },
    Daemon.SWANCTL: {"idea", "ripemd"},
}
"""What is built into neither the daemon of Debian nor its libraries."""

_REFUSED_IN_IKE: Final = {
    Daemon.LIBRESWAN: frozenset[str](),
    Daemon.SWANCTL: frozenset({"blowfish", "cast", "serpent", "twofish"}),
}
"""Ciphers that the kernel has for ESP, but the daemon not for itself."""

_NOT_BY_DEFAULT: Final = {
    Daemon.LIBRESWAN: {"3des", "md5", "sha1", "modp1536"},
    Daemon.SWANCTL: {
        "3des",
        "blowfish",
        "cast",
        "serpent",
        "twofish",
        "md5",
        "modp768",
        "modp1024",
        "modp1536",
    },
}
"""What a daemon takes when it is named, but does not offer by itself."""


def parse_proposals(text: str, *, protocol: str = "esp") -> tuple[Proposal, ...]:
    """Read a list.  Raises ``ValueError`` that names the part which cannot be read."""
    found = [
        _proposal(part.strip().lower(), protocol)
        for part in text.strip().removesuffix("!").replace(" ", "").split(",")
        if part.strip()
    ]
    if not found:
        raise ValueError("the list is empty")
    return tuple(dict.fromkeys(found))


def _proposal(text: str, protocol: str) -> Proposal:
    body, _, group = text.partition(";")
    words = body.split("-")
    if not group and len(words) > 1 and _GROUP.match(words[-1]):
        group = words.pop()
    if len(words) > 1 and words[0] == "aes" and words[1] in ("128", "192", "256"):
        words[:2] = [words[0] + words[1]]
    algorithms = parse_algorithms("-".join(words), protocol)
    return Proposal(
        algorithms.encryption, algorithms.key_bits, algorithms.authentication, _group(group)
    )


def _group(text: str) -> str:
    if not text:
        return ""
    if not _GROUP.match(text):
        raise ValueError(f"{text!r} is no group such as modp1536")
    if text.startswith("dh"):
        return _NUMBERED.get(text[2:], text)
    return text


def parse_group(text: str) -> str:
    """Read ``pfsgroup``.  Raises ``ValueError``."""
    return _group(text.strip().lower())


def strength(group: str) -> int:
    """How strong a group is, for comparing: bits of MODP, those of curves scaled up to it."""
    number = int(re.sub(r"[^0-9]", "", group) or "0")
    return number if group.startswith("modp") else 3072 + number


def proposals_of(associations: Iterable[Association]) -> tuple[Proposal, ...]:
    """What the associations of a group used, as far as it is known: ESP's or AH's."""
    return tuple(
        dict.fromkeys(
            Proposal(a.encryption, a.encryption_bits, a.authentication)
            for a in associations
            if a.encryption or a.authentication
        )
    )


def judge(proposals: Sequence[Proposal], daemon: Daemon, *, ike: bool) -> Judged:
    """Keep what the daemon takes; say what is left out, and what it would not offer by itself."""
    kept: list[Proposal] = []
    remarks: list[tuple[bool, str]] = []
    refused = _REFUSED[daemon] | (_REFUSED_IN_IKE[daemon] if ike else frozenset())
    for proposal in proposals:
        parts = [p for p in (proposal.encryption, proposal.integrity, proposal.group) if p]
        bad = [p for p in parts if p in refused or p in _NO_PROTECTION]
        if bad:
            why = _NO_PROTECTION.get(bad[0], f"{TITLES[daemon]} has no {bad[0]}")
            remarks.append((True, f"{spell(proposal)} is left out: {why}"))
            continue
        kept.append(proposal)
        weak = [p for p in parts if p in _NOT_BY_DEFAULT[daemon]]
        if weak:
            text = f"{spell(proposal)}: {TITLES[daemon]} takes {' and '.join(weak)} only by name"
            remarks.append((False, text))
    return Judged(tuple(kept), tuple(remarks))


def spell(proposal: Proposal) -> str:
    """A proposal as libreswan writes it, which is close to how it was written then."""
    cipher = f"{proposal.encryption}{proposal.bits or ''}" if proposal.encryption else ""
    if proposal.encryption == "3des":
        cipher = "3des"
    text = "-".join(part for part in (cipher, proposal.integrity) if part)
    return ";".join(part for part in (text, proposal.group) if part)


_STRONGSWAN_NAMES: Final = {
    "sha2_256": "sha256",
    "sha2_256_trunc": "sha256",
    "sha2_384": "sha384",
    "sha2_512": "sha512",
}


def spell_for_strongswan(proposal: Proposal) -> str:
    """A proposal as strongSwan writes it.  A cipher without key length had 128 bits then."""
    cipher = proposal.encryption
    if cipher and cipher != "3des":
        cipher += str(proposal.bits or 128)
    integrity = _STRONGSWAN_NAMES.get(proposal.integrity, proposal.integrity)
    return "-".join(part for part in (cipher, integrity, proposal.group) if part)
