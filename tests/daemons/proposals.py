"""Proposals of that time, to hold our judgement against that of the daemons."""

from __future__ import annotations

from itertools import product
from typing import Final

from eroute_translate.mapping.daemons.proposals import Proposal

_CIPHERS: Final = (
    ("3des", 0),
    ("aes", 128),
    ("aes", 256),
    ("blowfish", 128),
    ("cast", 128),
    ("serpent", 128),
    ("twofish", 128),
)
_HASHES: Final = ("md5", "sha1", "sha2_256", "sha2_512", "ripemd")
_GROUPS: Final = ("modp768", "modp1024", "modp1536", "modp2048", "modp4096")

CANDIDATES: Final = tuple(
    dict.fromkeys(
        [
            *(Proposal(c, b, "sha1", "modp2048") for c, b in _CIPHERS),
            *(Proposal("aes", 128, h, "modp2048") for h in _HASHES),
            *(Proposal("aes", 128, "sha1", g) for g in _GROUPS),
            *(Proposal(c, b, h, "modp1536") for (c, b), h in product(_CIPHERS[:2], _HASHES[:2])),
        ]
    )
)
