"""What each rule of the mapping does to a packet, seen on the wire: tables, packets, what is seen.

Each :class:`Fate` is a table, a packet, and what becomes of it for both families and for packets
that are forwarded and that the gateway sends itself. ``tests/netkey/guest`` checks them on the
bed, the mutation run checks that broken rules change them, and docs/on-the-wire.md shows them.

Tables and packets are written in words, which :func:`words_of` replaces by the bed's addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.translated import row

from .bed import V4, V6, Addresses
from .translated import AWAY, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .spd import Mode

KLIPS: Final = {"inbound": "klips"}


class Probe(NamedTuple):
    """One packet: from where, to where, what."""

    source: str
    target: str
    protocol: str = "udp"
    ports: tuple[int, int] = (40000, 9)
    size: int = 7
    injected: bool = False
    """Put on the wire in clear, as if it came from its source."""
    times: int = 1

    def __str__(self) -> str:
        what = self.protocol
        if self.protocol in {"udp", "tcp", "sctp"}:
            ports = f"{self.ports[0]} → {self.ports[1]}"
            what += "" if self.ports == (40000, 9) else f" {ports}"
        what += f" of {self.size} octets" if self.size != 7 else ""
        how = ", in clear from outside" if self.injected else ""
        return f"{what}, {self.source} → {self.target}{how}"


class Peer(NamedTuple):
    """What the other end speaks: the SAs of a group, for which networks."""

    chain: tuple[Protocol, ...] = ("esp",)
    near: str = "lan"
    far: str = "there"
    mode: Mode = "tunnel"
    only: int = 0
    reqid: int = 1_000_001
    other_family: bool = False
    ike: bool = False
    """Whether IKE of these networks comes and goes in clear, as a key daemon installs it."""


BESIDE: Final = Peer()


@dataclass(frozen=True, slots=True)
class Fate:
    """A table, a packet, and what becomes of it.

    ``seen`` is one text for all, or a pair for forwarded packets and those of the gateway, or four:
    that pair for IPv4 and then for IPv6; empty where there is no such packet. ``source`` tells how
    the table is given: ``table`` as KLIPS printed it, ``commands`` for ``ipsec eroute``, ``host``
    with the groups of a whole host, or cipher, digest, bits of the ICV and version of its SAs.
    """

    rule: str
    table: str
    probe: Probe
    seen: str | tuple[str, str] | tuple[str, str, str, str]
    given: Mapping[str, Any] = field(default_factory=dict)
    peer: Peer | None = BESIDE
    source: str = "table"
    routes: str = ""
    """Routes of the old host: a network and its device, joined by semicolons."""
    partial: bool = False
    strangers: bool = False
    """Whether gateway and peer have to find each other first (IPv6 neighbour discovery)."""
    newer: int = 0
    """The reqid of another SA, newer and with the SPI 0x4001; 0 for none."""
    nft: bool = False
    """Whether it takes nftables for IP, which the user-mode kernel has not."""

    @property
    def notes(self) -> str:
        """What else is so when the packet is sent."""
        chain = self.peer.chain if self.peer else ()
        notes = {
            "no SA is there": self.rule in _PROTECTING and self.peer is None,
            "the SA is AH": chain == ("ah",) and "ah" not in self.table and not self.given,
            "a newer SA is there": bool(self.newer),
            "without the firewall": self.rule == "reject" and not self.nft,
            "the group is known": self.source == "host",
            "they are not neighbours yet": self.strangers,
        }
        notes[f"routes: {self.routes}"] = bool(self.routes)
        return "".join(f"; {note}" for note, holds in notes.items() if holds)

    def expected(self, net: Addresses, local: bool) -> str:
        if isinstance(self.seen, str):
            return self.seen
        if len(self.seen) == 2:
            return self.seen[local]
        return self.seen[2 * (net is V6) + local]

    @property
    def options(self) -> str:
        """The options of the program, as a user would write them."""
        words = [f"--{name.replace('_', '-')} {value}" for name, value in self.given.items()]
        words = [
            "--no-reject-rule" if w == "--reject-rule False" else _ASSUMED.get(w, w) for w in words
        ]
        return " ".join([*words, *(["--allow-partial"] if self.partial else [])])


_PROTECTING: Final = frozenset({"tunnel", "transport", "compression"})
_ASSUMED: Final = {"--assume (51,)": "--assume ah", "--icv rfc": "", "--icv 96": "--icv 96"}

_WORDS: Final = {
    V4: {
        "elsewhere": "198.51.100.1",
        "near-part": "10.1.0.2/31",
        "holes": "10.2.0.0/255.255.253.0",
        "in-hole": "10.2.1.9",
        "in-mask": "10.2.2.9",
        "loose": "10.2.9.47/24",
        "in-loose": "10.2.9.9",
        "beside": "10.2.8.9",
        "low": "10.2.9.0/29",
        "neighbours": "192.0.2.0/24",
        "in-part": "10.2.7.8",
    },
    V6: {
        "elsewhere": "2001:db8:9::1",
        "near-part": "fd00:1::2/127",
        "holes": "fd00:2::/ffff:ffff:ffff:fffd::",
        "in-hole": "fd00:2:0:1::9",
        "in-mask": "fd00:2:0:2::9",
        "loose": "fd00:2:0:9::47/64",
        "in-loose": "fd00:2:0:9::9",
        "beside": "fd00:2:0:8::9",
        "low": "fd00:2:0:9::/125",
        "neighbours": "2001:db8::/64",
        "in-part": "fd00:2:0:7::8",
    },
}


def words_of(net: Addresses, local: bool) -> dict[str, str]:
    """The addresses and networks that the words stand for."""
    return {
        "lan": net.sender_net,
        "far": net.receiver_net,
        "here": net.gateway_inside if local else net.sender,
        "behind": net.sender,
        "there": net.receiver,
        "other": net.other,
        "part": net.part,
        "all": net.everything,
        "gateway": net.gateway,
        "inside": net.gateway_inside,
        "peer": net.peer,
        "mapped": "ff02::1",
        **_WORDS[net],
    }


_ADDRESSES: Final = frozenset({"here", "there", "gateway", "peer", "other", "behind", "inside"})


def network(word: str, net: Addresses, local: bool) -> str:
    """A network, with its prefix length; a host is one of its own. A port may follow."""
    word, colon, port = word.partition(":")
    word, slash, mask = word.partition("/")
    text = words_of(net, local).get(word, word)
    if slash:
        text += f"/{words_of(net, local).get(mask, mask)}"
    elif word in _ADDRESSES:
        text += f"/{128 if net is V6 else 32}"
    return text + colon + port


_SAID: Final = re.compile(r"(?P<protocols>tun2|[a-z+]+)(@(?P<end>[a-z]+))?$")


def said(word: str, net: Addresses, local: bool) -> str:
    """``tun``, ``tun2``, ``esp``, ``tun+esp``, each with ``@end``; a shunt is itself."""
    found = _SAID.match(word)
    if found is None or word.startswith("("):
        return word
    other = V6 if net is V4 else V4
    end = {**words_of(net, local), "beyond": other.peer}[found["end"] or "peer"]
    names = []
    for protocol in found["protocols"].split("+"):
        spi = {"tun": 0x1002, "tun2": 0x1004, "unk": 0x100}.get(protocol) or AWAY[protocol]
        name = {"tun2": "tun", "unk": "unk77"}.get(protocol, protocol)
        names.append(f"{name}{spi:#x}@{end}")
    return " ".join(names)


def table_of(fate: Fate, net: Addresses, local: bool) -> str:
    """The table as KLIPS printed it; with whole groups as ``ipsec look`` does."""
    text = ""
    for line in filter(None, fate.table.split("; ")):
        near, _, far, _, name = line.split(maxsplit=4)
        ends = network(near, net, local), network(far, net, local)
        saids = said(name, net, local)
        if "+" in fate.table or fate.source == "look":
            text += f"{ends[0]:<18} -> {ends[1]:<18} => {saids}  (5)\n"
        else:
            text += row(*ends, saids)
    return text


def routes_of(fate: Fate, net: Addresses, local: bool) -> str:
    """As ``ip route`` and ``ip -6 route`` printed them."""
    text = ""
    for line in filter(None, fate.routes.split("; ")):
        word, device = line.split(" dev ")
        target = "default" if word == "all" else network(word, net, local)
        text += f"{target} dev {device} proto static metric 1024\n"
    return text


def alone(text: str) -> tuple[str, str]:
    """For packets that only the gateway itself sends."""
    return "", text


def forwarded(text: str) -> tuple[str, str]:
    return text, ""


def only_v6(one: str, two: str) -> tuple[str, str, str, str]:
    return "", "", one, two


def only_v4(one: str, two: str) -> tuple[str, str, str, str]:
    return one, two, "", ""
