"""Exceptions: what no order of priorities gives is carried, and the proof says so."""

from __future__ import annotations

import random

import pytest

from eroute_translate.cubes import packet_of, point_of
from eroute_translate.diagnostics import Collector
from eroute_translate.equivalence.compare import prove
from eroute_translate.equivalence.exact import translate_exactly, widest
from eroute_translate.klips.assembly import host_of_readings
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.regions import table_of
from eroute_translate.klips.script import read_script
from eroute_translate.mapping.mast import mast_ruleset
from eroute_translate.mapping.model import Kind, Options
from eroute_translate.mapping.translation import translate
from eroute_translate.net import Packet, parse_address
from eroute_translate.xfrm.lookup import PolicyIndex
from tests.translated import read_host, translated

GATEWAY = parse_address("203.0.113.99")
OPTIONS = Options(local=(GATEWAY,))

SPLIT = """\
ipsec eroute --add --eraf inet --src 10.0.0.0/8 --dst 192.168.1.0/24 --said {first}
ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 192.168.0.0/16 --said {second}
ipsec eroute --add --eraf inet --src 10.1.2.0/24 --dst 99.0.0.0/8 --said tun0x1003@203.0.113.3
"""
"""The second row wins where the descent ends at its key: not under bits that only the third has."""


def host(first: str, second: str) -> KlipsHost:
    collector = Collector()
    text = "#!/bin/sh\n" + SPLIT.format(first=first, second=second)
    reading = read_script(text.encode(), "host.sh", collector)
    assert not collector.errors
    return host_of_readings([reading], None, collector)


TUNNELS = ("tun0x1001@203.0.113.1", "tun0x1002@203.0.113.2")


def test_the_plain_order_differs_and_exceptions_do_not() -> None:
    gateway = host(*TUNNELS)
    plain = translate(gateway, OPTIONS)
    assert [f.code for f in plain.findings if f.code.startswith("ET30")] == ["ET302"]
    assert {c.direction for c in prove(plain).checks if c.regions} == {"out", "in", "fwd"}
    exact = translate_exactly(gateway, OPTIONS)
    assert [f.code for f in exact.findings if f.code.startswith("ET30")] == ["ET307"]
    assert prove(exact).equal
    # 23 bits of the third source are tested, 16 of them are the second row's: 64 prefixes.
    assert len(exact.exceptions) == 64
    assert all(o.exception and o.eroute.span.line == 2 for o in exact.exceptions)
    assert sum(exact.counts.values()) == 3


def test_exceptions_stand_before_all_eroutes() -> None:
    exact = translate_exactly(host(*TUNNELS), OPTIONS)
    last = max(policy.priority for o in exact.exceptions for policy in o.policies)
    assert last < min(policy.priority for o in exact.outcomes for policy in o.policies)
    everything = [policy.priority for policy in exact.policies()]
    assert min(everything) >= exact.band[0]
    assert max(everything) <= exact.last_priority
    keys = [policy.key for policy in exact.policies()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("limit", [0, 63])
def test_above_the_limit_the_safer_row_has_precedence(limit: int) -> None:
    gateway = host("%drop", "%pass")
    exact = translate_exactly(gateway, Options(local=(GATEWAY,), exception_limit=limit))
    assert not exact.exceptions
    (finding,) = (f for f in exact.findings if f.code == "ET302")
    assert ("--exception-limit" in finding.hint) is bool(limit)
    # Nothing is sent in clear that KLIPS dropped.
    assert not any(region.weaker for check in prove(exact).checks for region in check.regions)


def test_a_passing_row_is_not_refused_when_exceptions_carry_the_pair() -> None:
    gateway = host("%drop", "%pass")
    exact = translate_exactly(gateway, OPTIONS)
    assert exact.exceptions
    assert not exact.refused
    assert prove(exact).equal
    assert {o.treatment.kind for o in exact.outcomes} <= {Kind.EXACT.value, Kind.NOTED.value}


def test_a_dump_does_not_tell_and_gets_no_exceptions() -> None:
    gateway = host(*TUNNELS)
    dump = KlipsHost(tuple(sorted(gateway.eroutes, key=lambda e: e.selector.source.address)))
    translation = translate_exactly(dump, OPTIONS)
    assert not translation.exceptions
    assert "ET301" in {f.code for f in translation.findings}


@pytest.mark.parametrize("peer", ["203.0.113.2", "192.168.1.9"])
def test_a_disputed_row_exempts_nothing_that_the_other_protects(peer: str) -> None:
    """KLIPS may have tunnelled this host's own ESP to others than the tunnel's peer."""
    gateway = host("%drop", f"tun0x1002@{peer}")
    dump = KlipsHost(tuple(sorted(gateway.eroutes, key=lambda e: e.selector.source.address)))
    source = parse_address("10.1.2.3")
    translation = translate_exactly(dump, Options(local=(source,)))
    assert "ET301" in {f.code for f in translation.findings}
    index = PolicyIndex(translation.policies())
    for destination in ("192.168.1.5", "192.168.1.9"):
        packet = Packet(4, source[1], parse_address(destination)[1], 50)
        to_peer = destination == peer
        assert index.lookup("out", packet).action == ("allow" if to_peer else "block")
    assert not any(r.weaker and r.certain for c in prove(translation).checks for r in c.regions)


def test_mast_takes_them_first() -> None:
    rules = mast_ruleset(translate_exactly(host(*TUNNELS), OPTIONS)).rules
    assert [rule.outcome.exception for rule in rules] == [True] * 64 + [False] * 3


def test_the_widest_selector_is_wholly_the_row_s() -> None:
    """And one bit shorter, on either side, it is not."""
    gateway = host(*TUNNELS)
    table = table_of(gateway, 4)
    packet = Packet(4, parse_address("10.1.2.3")[1], parse_address("192.168.1.5")[1], 17, 5, 6)
    selector, asked = widest(table.regions, 0, packet, gateway.eroutes[0].selector)
    assert str(selector) == "10.1.2.0/23 -> 192.168.1.0/24"
    assert asked < 40
    dice = random.Random(1)
    for _ in range(200):
        key = packet_of(4, dice.getrandbits(104))
        inside = key._replace(
            source=0x0A010200 | key.source & 0x1FF, destination=0xC0A80100 | key.destination & 0xFF
        )
        assert gateway.eroutes[0].selector.source.contains(inside.source)
        assert table.regions.possible(point_of(inside)) == {0}


def test_host_bits_of_another_row_make_a_pair_doubtful() -> None:
    """The descent ends at the third row, which does not match, and the masks are asked then."""
    text = """\
0          0.0.0.0/0          -> 10.0.0.0/8         => %drop
0          10.128.0.0/9:25    -> 0.0.0.0/0:500      => %pass:6
0          10.128.0.0/9       -> 10.0.0.0/0:25      => %trap
"""
    result = translated(text, local="192.0.2.1")
    drop, passing, _ = result.outcomes
    assert drop.priority < passing.priority
    checks = prove(result, None).checks
    assert not any(region.weaker for check in checks for region in check.regions)
    # Without the host bits KLIPS takes the %pass for certain.
    drop, passing, _ = translated(text.replace("10.0.0.0/0", "0.0.0.0/0")).outcomes
    assert passing.priority < drop.priority


@pytest.mark.parametrize(
    "text",
    [
        # The third row refines the second, and stands behind it by the kernel's slip: it settles
        # nothing between the second and the fourth.
        """\
0          10.0.0.0/30        -> 10.0.0.0/29        => %pass
0          10.0.0.0/25        -> 10.0.0.0/28        => %pass
0          10.0.0.0/28        -> 10.0.0.0/28        => %pass
0          10.0.0.0/29        -> 10.0.0.0/27        => %drop
0          10.0.0.6/32        -> 10.0.0.10/31       => %pass
""",
        # The second row has the prefixes of the first, but is found through the tree alone.
        """\
0          10.0.0.0/28        -> 10.0.0.8/30        => tun0x1001@198.51.100.2
0          10.0.0.6/28        -> 10.0.0.8/30        => %pass
0          10.0.0.8/29        -> 10.0.0.0/28        => %pass
0          10.0.0.12/31       -> 10.0.0.1/30        => %drop
""",
        # The last two share a key: what the %pass has alone is not all of its prefix.
        """\
0          10.0.0.0/28        -> 10.0.0.3/28        => tun0x1008@198.51.100.3
0          10.0.0.0/28        -> 10.0.0.5/32        => tun0x1007@198.51.100.2
0          10.0.0.0/29        -> 10.0.0.5/29        => %pass
""",
    ],
    ids=["slip", "host bits", "exception in a chain"],
)
def test_nothing_becomes_weaker_in_a_chain(text: str) -> None:
    result = translate_exactly(read_host(text)[0], OPTIONS)
    (out,) = [check for check in prove(result).checks if check.direction == "out"]
    assert not any(region.weaker for region in out.regions)
