"""Names of IP protocols as ``ip`` prints and takes them: those of /etc/protocols."""

from __future__ import annotations

from typing import Final

from ..net import PROTOCOL_NUMBERS

# Names that ip may print because the host's /etc/protocols has them (netbase and setup packages),
# beyond those of net.PROTOCOL_NUMBERS.
_MORE_NAMES: Final = {
    "ip": 0, "hopopt": 0, "ggp": 3, "ipv4": 4, "st": 5, "cbt": 7, "egp": 8, "igp": 9, "pup": 12,
    "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "xtp": 36, "ddp": 37, "idpr-cmtp": 38,
    "ipv6-route": 43, "ipv6-frag": 44, "idrp": 45, "ipv6-crypt": 50, "ipv6-auth": 51, "skip": 57,
    "ipv6-nonxt": 59, "ipv6-opts": 60, "rspf": 73, "vmtp": 81, "ax.25": 93, "etherip": 97,
    "encap": 98, "isis": 124, "fc": 133, "mpls-in-ip": 137, "manet": 138, "hip": 139,
    "shim6": 140, "wesp": 141, "rohc": 142, "ethernet": 143, "aggfrag": 144, "nsh": 145,
}  # fmt: skip


def protocol_of(name: str) -> int | None:
    """The number of a protocol that /etc/protocols may name; ``None`` for what is no name of it."""
    name = name.lower()
    return PROTOCOL_NUMBERS.get(name, _MORE_NAMES.get(name))
