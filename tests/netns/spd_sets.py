"""Random sets of policies, with every way in which one of them can come before another."""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from eroute_translate.cubes import point_of
from eroute_translate.net import (
    ALL_ONES,
    MASK_OF_LENGTH,
    WIDTH,
    Packet,
    Prefix,
    Selector,
    parse_address,
)
from eroute_translate.xfrm.lookup import Decision, PolicyIndex, lookup
from eroute_translate.xfrm.model import Policy, Template
from eroute_translate.xfrm.regions import FIELD_BITS, PolicyRegions

NEAR: Final = {
    family: tuple(parse_address(text)[1] for text in texts.split())
    for family, texts in (
        (4, "10.0.0.1 10.0.0.2 10.1.0.2 10.128.0.1"),
        (6, "fd00::1 fd00::2 fd00:1::2 fd00:8000::1"),
    )
}
"""Addresses of the sender, by family."""

FAR: Final = {
    family: tuple(parse_address(text)[1] for text in texts.split())
    for family, texts in (
        (4, "192.168.0.1 192.168.1.1 192.168.1.2 192.168.255.255 192.168.1.129"),
        (6, "2001:db8::1 2001:db8:0:1::1 2001:db8:0:1::2 2001:db8:ffff::1"),
    )
}
"""Addresses that packets go to."""

LENGTHS: Final = {
    4: (0, 1, 8, 9, 15, 16, 23, 24, 25, 31, 32),
    6: (0, 1, 15, 16, 32, 48, 64, 127, 128),
}
PORTS: Final = (1, 25, 500, 1023, 1024, 40000, 65535)
ICMP: Final = {4: 1, 6: 58}
_DIRECTION: Final = {"in": 0, "out": 1, "fwd": 2}
_MASKS: Final = ((0xFC00, 0), (0xFFFF, 0xFF00), (0, 0xFFFF), (0xFFFF, 0xFFFF), (0x0001, 0))


class Probe(NamedTuple):
    """A packet with its mark and the index of its interface."""

    packet: Packet
    mark: int = 0
    ifindex: int = 0


def prefix(rng: random.Random, family: int, addresses: tuple[int, ...]) -> Prefix:
    mask = MASK_OF_LENGTH[family][rng.choice(LENGTHS[family])]
    return Prefix(family, rng.choice(addresses) & mask, mask)


def upper(rng: random.Random, family: int) -> tuple[tuple[int, int, int], tuple[int, int] | None]:
    """Protocol and ports, and the masks of the ports."""
    kind = rng.random()
    if kind < 0.45:
        return (0, 0, 0), None
    if kind < 0.55:
        return (rng.choice((50, 51, 89, 6, 17, 136, 47)), 0, 0), None
    if kind < 0.65:
        masks = (rng.choice((0, 0xFFFF)), rng.choice((0, 0xFFFF)))
        return (
            ICMP[family],
            rng.choice((0, 8, 128)) & masks[0],
            rng.choice((0, 1)) & masks[1],
        ), masks
    protocol = rng.choice((0, 6, 17, 17))
    if kind < 0.75:
        masks = rng.choice(_MASKS)
        return (protocol, rng.choice((0, *PORTS)) & masks[0], rng.choice(PORTS) & masks[1]), masks
    return (protocol, rng.choice((0, *PORTS)), rng.choice((0, *PORTS))), None


def templates(rng: random.Random, family: int, number: int) -> tuple[Template, ...]:
    """Always one that no state has."""
    if rng.random() < 0.5:
        return (Template(50, "transport", family, reqid=number),)
    near, far = NEAR[family][0], FAR[family][0]
    return (Template(rng.choice((50, 51)), "tunnel", family, near, far, number),)


def policy(
    rng: random.Random, number: int, family: int, direction: str, ifindexes: tuple[int, ...]
) -> Policy:
    """One policy, whose index and reqid tell its number."""
    ends = prefix(rng, family, NEAR[family]), prefix(rng, family, FAR[family])
    if direction == "in" and rng.random() < 0.2:
        ends = ends[0], Prefix(family, rng.choice(FAR[family]), ALL_ONES[family])
    ports, masks = upper(rng, family)
    kind = rng.random()
    mark = (
        rng.choice(((1, 1), (2, 0xFF), (0, 0xFF), (0x10001, 0xFFFF0000))) if kind < 0.12 else (0, 0)
    )
    usual = tuple(0xFFFF if port else 0 for port in ports[1:])
    return Policy(
        direction,
        Selector(*ends, *ports),
        rng.choice((0, 1, 5, 5, 5, 1000, 0xFFFFFFFF)),
        "block" if rng.random() < 0.2 else "allow",
        () if rng.random() < 0.15 else templates(rng, family, number),
        (mark[0] & mark[1], mark[1]),
        7 if 0.12 < kind < 0.16 else 0,
        None if masks is None or masks == usual else masks,
        rng.choice(ifindexes) if 0.16 < kind < 0.26 else 0,
        number << 3 | _DIRECTION[direction],
        "sub" if rng.random() < 0.12 else "main",
    )


def distinct(drawn: list[Policy]) -> list[Policy]:
    """One policy of each key."""
    return list({item.key: item for item in drawn}.values())


def packet(rng: random.Random, family: int, protocols: tuple[int, ...]) -> Packet:
    protocol = rng.choice(protocols)
    if protocol == ICMP[family]:
        kind = rng.choice((8, 0, 3) if family == 4 else (128, 129, 1))
        ports = kind, rng.choice((0, 1))
    elif protocol in (6, 17, 136):
        ports = rng.choice(PORTS), rng.choice(PORTS)
    else:
        ports = 0, 0
    return Packet(family, rng.choice(NEAR[family]), rng.choice(FAR[family]), protocol, *ports)


class Predictions:
    """The three lookups of ours over one set, the oldest first; they have to agree."""

    def __init__(self, policies: list[Policy]) -> None:
        self.policies = policies
        self.index = PolicyIndex(policies)
        self.regions: dict[tuple[str, int], PolicyRegions] = {}

    def decide(self, direction: str, probe: Probe) -> Decision:
        """The decision for a packet."""
        packet, mark, ifindex = probe
        decision = lookup(self.policies, direction, packet, mark, 0, ifindex)
        indexed = self.index.lookup(direction, packet, mark, 0, ifindex)
        assert indexed[:2] == decision[:2], (probe, decision)
        family = packet.family
        regions = self.regions.get((direction, family))
        if regions is None:
            mine = [p for p in self.policies if p.direction == direction]
            mine = [p for p in mine if p.selector.family == family]
            beside = (
                mine if direction != "fwd" else [p for p in self.policies if p.direction == "in"]
            )
            regions = self.regions[direction, family] = PolicyRegions(mine, family, beside)
        base = 2 * WIDTH[family] + 40
        point = point_of(packet) | mark << base | ifindex << base + 2 * FIELD_BITS
        taken = regions.entries[regions.first(point)].policies
        both = tuple(p for p in decision[:2] if isinstance(p, Policy))
        assert taken == both, (probe, decision)
        return decision
