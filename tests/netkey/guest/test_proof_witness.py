"""A policy of a proved Ruleset broken on purpose: the proof's witness shows it on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from eroute_translate.equivalence.compare import Spd, compare_policies, prove
from eroute_translate.net import MASK_OF_LENGTH, WIDTH, Packet, Selector, format_address
from eroute_translate.xfrm.model import Policy
from eroute_translate.xfrm.text import policy_arguments
from tests.netkey import wire
from tests.netkey.translated import answer
from tests.translated import page, row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.netkey.bed import Addresses, Bed

    Mutation = Callable[[Policy], Policy]

Seen = list[tuple[str, str, str, int | None]]
QUIET: Final = 0.05


def _narrower(policy: Policy) -> Policy:
    source, destination, *rest = policy.selector
    half = MASK_OF_LENGTH[source.family][destination.mask.bit_count() + 1]
    return policy._replace(selector=Selector(source, destination._replace(mask=half), *rest))


def _other_bit(policy: Policy) -> Policy:
    source, destination, *rest = policy.selector
    bit = 1 << WIDTH[source.family] - destination.mask.bit_count()
    changed = destination._replace(address=destination.address ^ bit)
    return policy._replace(selector=Selector(source, changed, *rest))


def _other_port(policy: Policy) -> Policy:
    port = policy.selector.destination_port + 1
    return policy._replace(selector=policy.selector._replace(destination_port=port))


def _last(policy: Policy) -> Policy:
    return policy._replace(priority=policy.priority + 1000)


def _delivered(policy: Policy) -> Policy:
    return policy._replace(direction="in", mark=(1, 1))


def _allowed(policy: Policy) -> Policy:
    return policy._replace(action="allow", templates=())


NETS: Final = {
    4: ("10.1.64.0/18", "10.2.64.0/18", "10.1.64.5/32", "10.2.64.5/32"),
    6: ("fd00:1:4000::/40", "fd00:2:4000::/40", "fd00:1:4000::5/128", "fd00:2:4000::5/128"),
}
"""Two nets of the bed and a host in each, where none of its hosts has an address of its own."""

CASES: Final[dict[str, tuple[str, str, Mutation]]] = {
    "one bit": ("out", "hole", _other_bit),
    "prefix length": ("out", "tunnel", _narrower),
    "port": ("out", "drop", _other_port),
    "priority": ("out", "hole", _last),
    "direction": ("fwd", "tunnel", _delivered),
    "action": ("out", "drop", _allowed),
}
"""Direction and eroute of the policy that is broken, and how."""


def octets(sent: Packet) -> bytes:
    """The witness as a packet."""
    ends = (format_address(sent.family, sent.source), format_address(sent.family, sent.destination))
    if sent.protocol == 17:
        return wire.udp(*ends, sent.source_port, sent.destination_port)
    if sent.protocol == 6:
        return wire.tcp_syn(*ends, sent.source_port, sent.destination_port)
    if sent.protocol in (1, 58):
        return wire.echo(*ends)
    return wire.ip(*ends, sent.protocol, bytes(8))


def shown(
    bed: Bed, net: Addresses, policies: Sequence[Policy], direction: str, packet: bytes
) -> Seen:
    """What a packet becomes at a gateway with these policies."""
    bed.reset()
    bed.gateway.ip(*(f"xfrm policy update {policy_arguments(p)}" for p in policies))
    answer(bed, net, "esp")
    if direction == "out":
        with bed.wire.capture() as middle:
            bed.sender.send(packet)
            return [(p.source, p.target, p.protocol, p.spi) for p in middle.settled(QUIET)]
    with bed.lan.capture() as lan:
        bed.inject(packet)
        seen = [p for p in lan.settled(QUIET) if not p.outgoing]
    return [(p.source, p.target, p.protocol, p.spi) for p in seen]


@pytest.mark.parametrize("name", CASES)
def test_the_witness_shows_the_difference(bed: Bed, net: Addresses, name: str) -> None:
    direction, eroute, mutation = CASES[name]
    near, far, one, other = NETS[6 if ":" in net.sender else 4]
    table = (
        row(near, far, f"tun0x1002@{net.peer}") + row(one, other, "%pass") + row(one, far, "%drop")
    )
    if name == "port" and ":" not in near:  # no KLIPS could carry an IPv6 row with a port
        table = table.replace(f"{far:<18} => %drop", f"{far}:25 => %drop:6")
    translation = page(table, local=net.gateway).translation
    before = list(translation.policies())
    assert prove(translation).equal
    place = {"tunnel": 0, "hole": 1, "drop": 2}[eroute]
    (mine,) = (p for p in translation.outcomes[place].policies if _own(p, direction))
    after = [mutation(p) if p == mine else p for p in before]
    assert not prove(translation, Spd(tuple(after))).equal
    proof = compare_policies(Spd(tuple(before)), Spd(tuple(after)))
    differing = [r for c in proof.checks if c.direction == direction for r in c.regions]
    assert differing
    for region in differing:
        packet = octets(region.packet)
        had = shown(bed, net, before, direction, packet)
        now = shown(bed, net, after, direction, packet)
        print(f"{name}: {region.packet}: {had or 'nothing'}, then {now or 'nothing'}")
        assert had != now


def _own(policy: Policy, direction: str) -> bool:
    """The eroute's own policy in a direction, not one of those that exempt IKE, ESP and AH."""
    return policy.direction == direction and policy.selector.protocol in (0, 6)
