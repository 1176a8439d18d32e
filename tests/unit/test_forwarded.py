"""Forwarded packets in the form of the host's own IKE do not slip through a hole of a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eroute_translate.diagnostics import Collector
from eroute_translate.equivalence.compare import prove
from eroute_translate.klips.assembly import host_of_readings
from eroute_translate.klips.source import read_source
from eroute_translate.mapping.model import Options
from eroute_translate.mapping.translation import Translation, translate
from eroute_translate.net import Prefix

HOLE_BACK = """\
0          0.0.0.0/0          -> 0.0.0.0/0          => %trap
0          0.0.0.0/0          -> 10.0.0.0/8         => %pass
"""
"""What comes back out of 10.0.0.0/8 may be forwarded, but nothing may go on from there in clear."""

TABLES = {
    "a hole": HOLE_BACK,
    "a host that passes": HOLE_BACK
    + "9          10.1.1.1/32        -> 0.0.0.0/0          => tun0x1002@203.0.113.9\n"
    "9          10.1.1.1/32        -> 203.0.113.9/32     => %pass\n",
    "ports": """\
0          0.0.0.0/0          -> 0.0.0.0/0          => %drop
0          10.0.0.0/8:53      -> 192.0.2.0/24:500   => %pass:17
""",
    "IPv6": """\
0          2001:db8:10::/48   -> 2001:db8:20::/48   => tun0x1002@2001:db8:20::2
3          2001:db8:30::/48   -> 2001:db8:10::/48   => %pass
5          ::/0               -> ::/0               => %reject
""",
}


def translated(text: str, options: Options) -> Translation:
    collector = Collector()
    readings = read_source(text.encode(), "table", collector)
    return translate(host_of_readings(readings, None, collector), options)


@pytest.mark.parametrize("inbound", ["strict", "klips"])
@pytest.mark.parametrize("table", TABLES)
def test_no_packet_is_protected_less(table: str, inbound: str) -> None:
    options = replace(Options(), inbound=type(Options().inbound)(inbound))
    proof = prove(translated(TABLES[table], options), None)
    assert [r.packet for c in proof.checks for r in c.regions] == []


def test_nor_behind_all_eroutes() -> None:
    """What was routed into ipsecN and no eroute covers is blocked, but for the host's own IKE."""
    text = "0          10.20.0.0/16       -> 10.40.0.0/16       => %pass\n"
    options = replace(Options(), routed=(Prefix(4, 0, 0),))
    assert prove(translated(text, options), None).equal


def test_what_the_hole_lets_out_itself_is_not_blocked() -> None:
    inner = "0          10.0.0.0/8         -> 10.0.0.0/8         => %pass\n"
    blocks = [
        p.selector
        for p in translated(HOLE_BACK.splitlines()[0] + "\n" + inner, Options()).policies()
        if (p.direction, p.action) == ("fwd", "block")
    ]
    assert blocks
    assert not any(s.source.mask or s.destination.mask for s in blocks)


def test_with_the_addresses_of_the_host_nothing_is_blocked() -> None:
    options = replace(Options(), local=((4, 0x0A000001),))
    found = list(translated(HOLE_BACK, options).policies())
    assert not [p for p in found if (p.direction, p.action) == ("fwd", "block")]
