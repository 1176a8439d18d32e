"""Random eroute tables with all their oddities, and what is promised of them, packet by packet.

The promise is written down here a second time, in terms of one packet and the plain lookups, so
that the proof, which speaks of sets of packets, can be held against it.
"""

from __future__ import annotations

import random
from typing import Final

from eroute_translate.diagnostics import Span
from eroute_translate.equivalence.fate import ANY, CLEAR, DROPPED, Fate, Kind, fate_of_eroute
from eroute_translate.equivalence.fate import fate_of_policies as xfrm_fate
from eroute_translate.klips.decision import is_exempt
from eroute_translate.klips.eroute import Eroute
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.host_table import host_table
from eroute_translate.klips.lookup import ExistsError, RadixTable, key_of_packet, row_of
from eroute_translate.klips.said import (
    SA_ESP,
    SA_INT,
    SA_IPIP,
    SPI_DROP,
    SPI_PASS,
    SPI_REJECT,
    SPI_TRAP,
    Said,
)
from eroute_translate.mapping.model import Inbound, Options
from eroute_translate.net import MASK_OF_LENGTH, WIDTH, Packet, Prefix, Selector, parse_address
from eroute_translate.xfrm.lookup import PolicyIndex
from eroute_translate.xfrm.model import Policy

ADDRESSES: Final = {
    family: tuple(parse_address(text)[1] for text in texts.split())
    for family, texts in (
        (4, "10.0.0.0 10.1.0.0 10.1.2.0 10.1.2.3 10.128.255.1 11.0.0.0"),
        (6, "fd00:: fd00:1:: fd00:1:2::3 fd00:8000::ff01 fe00::"),
    )
}
LENGTHS: Final = {
    4: (0, 8, 8, 9, 15, 16, 16, 17, 23, 24, 24, 25, 31, 32),
    6: (0, 7, 8, 16, 32, 33, 48, 64, 127, 128),
}
PEERS: Final = {4: parse_address("198.51.100.1")[1], 6: parse_address("2001:db8::1")[1]}
LOCAL: Final = {4: parse_address("10.1.2.3")[1], 6: parse_address("fd00:1:2::3")[1]}
ELSEWHERE: Final = {4: parse_address("240.0.0.1")[1], 6: parse_address("fc00::1")[1]}


def prefix(rng: random.Random, family: int, *, odd: bool) -> Prefix:
    """With ``odd`` now and then bits outside of the mask, or a mask with holes."""
    mask = MASK_OF_LENGTH[family][rng.choice(LENGTHS[family])]
    address = rng.choice(ADDRESSES[family])
    if odd and rng.random() < 0.06:
        return Prefix(family, address, mask)
    if odd and rng.random() < 0.04:
        mask &= ~(1 << rng.randrange(WIDTH[family]))
    return Prefix(family, address & mask, mask)


def said(rng: random.Random, family: int, number: int) -> Said:
    kind = rng.random()
    if kind < 0.5:
        return Said(SA_IPIP, 0x1000 + number, family, PEERS[family] + number % 3)
    if kind < 0.6:
        return Said(SA_ESP, 0x1000 + number, family, LOCAL[family])
    return Said(SA_INT, rng.choice((SPI_PASS, SPI_DROP, SPI_TRAP, SPI_REJECT)), family, 0)


def host(rng: random.Random, family: int, size: int, *, odd: bool = True) -> KlipsHost:
    """A table in the order of a dump, or in that of its insertion (without host bits then)."""
    known = rng.random() < 0.5
    eroutes: dict[Selector, Eroute] = {}
    for number in range(size):
        protocol = sport = dport = 0
        if rng.random() < 0.4:
            protocol = rng.choice((6, 17, 17, 50, 1))
            if protocol in (6, 17):
                sport, dport = rng.choice((0, 0, 500, 25)), rng.choice((0, 0, 25, 53))
        ends = prefix(rng, family, odd=odd), prefix(rng, family, odd=odd)
        if known:
            ends = ends[0].network, ends[1].network  # the tool clears them
        selector = Selector(*ends, protocol, sport, dport)
        eroutes[selector] = Eroute(selector, (said(rng, family, number),), Span("t", number + 1))
    table = RadixTable(family)
    kept: list[Eroute] = []
    for eroute in eroutes.values():
        try:
            table.add(row_of(eroute.selector), len(kept))
        except ExistsError:
            continue
        kept.append(eroute)
    if known:
        return KlipsHost(tuple(kept), insertion_known=True)
    return KlipsHost(tuple(kept[i] for i in table.printed()), in_kernel_order=True)


def options(rng: random.Random, family: int) -> Options:
    given: dict[str, object] = {}
    chosen = rng.random()
    if chosen < 0.8:
        given["local"] = ((family, (LOCAL if chosen < 0.5 else ELSEWHERE)[family]),)
    wide = Prefix(family, ADDRESSES[family][0], MASK_OF_LENGTH[family][8])
    if rng.random() < 0.25:
        given["routed"] = (wide,)
    if rng.random() < 0.15:
        narrow = MASK_OF_LENGTH[family][16]
        given["bypass"] = (Prefix(family, ADDRESSES[family][1] & narrow, narrow),)
    if rng.random() < 0.3:
        given["inbound"] = Inbound.KLIPS
    return Options(**given)  # type: ignore[arg-type]


def packet(rng: random.Random, selectors: list[Selector], local: int) -> Packet:
    """One near the selectors, in bits that they have and just beside them."""
    one, other = rng.choice(selectors), rng.choice(selectors)
    family = one.family

    def address(near: Prefix) -> int:
        chosen = rng.random()
        if chosen < 0.6:
            return near.address & near.mask | rng.getrandbits(WIDTH[family]) & ~near.mask
        if chosen < 0.8:
            return rng.choice((*ADDRESSES[family], local))
        return near.address ^ 1 << rng.randrange(WIDTH[family])

    protocol = rng.choice((one.protocol or 6, other.protocol, 6, 17, 17, 50, 1, 99))
    ports = (0, 0)
    if protocol in (6, 17):
        ports = (
            rng.choice((0, 25, 500, 4500, one.source_port, 7)),
            rng.choice((0, 25, 53, 500, other.destination_port, 9)),
        )
    elif protocol == 1:
        ports = (8, 0)
    return Packet(family, address(one.source), address(other.destination), protocol, *ports)


def mirrored(sent: Packet) -> Packet:
    """The packet that answers."""
    family, source, destination, protocol, sport, dport = sent
    return Packet(family, destination, source, protocol, dport, sport)


class Promise:
    """What KLIPS and the options promise of a packet, by the plain lookup of KLIPS."""

    def __init__(self, kept: KlipsHost, given: Options, family: int) -> None:
        self.host = kept
        self.options = given
        self.table = host_table(kept, family)
        self.local = {address for f, address in given.local if f == family}

    def rows(self, sent: Packet) -> list[Eroute]:
        """The eroutes that KLIPS takes, or may have taken."""
        return [self.host.eroutes[i] for i in sorted(self.table.possible(key_of_packet(sent)))]

    def fates(self, sent: Packet, direction: str) -> list[Fate]:
        """All that may be promised; ``sent`` is the packet as it is."""
        turned = sent if direction == "out" else mirrored(sent)
        if direction == "fwd" and not self.local and is_exempt(sent, None):
            return [ANY]
        if any(network.contains(turned.destination) for network in self.options.bypass):
            return [CLEAR]
        own = not self.local or turned.source in self.local
        if self._never_routed(turned):
            return [CLEAR]
        rows = self.rows(turned)
        if not rows:
            dropped = direction == "out" and bool(self.options.routed)
            return [DROPPED if dropped and not (own and is_exempt(turned, None)) else CLEAR]
        return [self._fate(eroute, turned, direction, own) for eroute in rows]

    def _never_routed(self, turned: Packet) -> bool:
        routed = self.options.routed
        return bool(routed) and not any(net.contains(turned.destination) for net in routed)

    def _fate(self, eroute: Eroute, turned: Packet, direction: str, own: bool) -> Fate:
        fate = fate_of_eroute(eroute, self.options.assume)
        exempt = own and is_exempt(turned, eroute) and direction != "fwd"
        strict = self.options.inbound is Inbound.STRICT
        if direction == "out":
            return CLEAR if exempt else fate
        if fate.kind is not Kind.PROTECTED:
            return CLEAR if fate.kind is Kind.CLEAR or not strict else ANY
        if exempt:
            return CLEAR if turned.protocol == 17 else ANY
        if direction == "fwd" and fate.layers[0].far is None:
            return ANY if strict else CLEAR
        if not strict:
            return fate._replace(kind=Kind.EITHER)
        return fate._replace(mirrored=eroute.selector.overlaps(eroute.selector.mirrored()))


class Given:
    """What policies do with a packet, by their plain lookup."""

    def __init__(
        self,
        policies: list[Policy],
        asking: frozenset[int] = frozenset(),
        groups: dict[int, tuple[Said, ...]] | None = None,
        defaults: dict[str, str] | None = None,
    ) -> None:
        self.index = PolicyIndex(policies)
        self.asking, self.groups, self.defaults = asking, groups, defaults or {}

    def fate(self, sent: Packet, direction: str, *extras: int) -> Fate:
        """The fate of a packet, with mark, if_id and interface."""
        decision = self.index.lookup(direction, sent, *extras)
        taken = [p for p in (decision.winner, decision.second) if p is not None]
        default = self.defaults.get(direction, "allow")
        return xfrm_fate(taken, direction, default, self.asking, self.groups)
