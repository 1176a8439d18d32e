"""Policies are emitted widest prefixes first, whatever their priorities."""

from __future__ import annotations

from eroute_translate.diagnostics import Collector
from eroute_translate.klips.assembly import host_of_listings
from eroute_translate.klips.table import read_listings
from eroute_translate.mapping.model import Options
from eroute_translate.mapping.translation import translate

TABLE = b"""\
0          10.1.2.0/24        -> 192.168.1.0/24     => tun0x1002@203.0.113.7
0          10.0.0.0/8         -> 192.168.1.0/24     => tun0x1003@203.0.113.7
0          10.1.0.0/16        -> 192.168.0.0/16     => tun0x1004@203.0.113.7
0          10.1.0.0/16        -> 0.0.0.0/0          => tun0x1005@203.0.113.7
0          10.1.2.3/32        -> 192.168.1.9/32     => %pass
"""


def lengths(direction: str) -> list[tuple[int, int]]:
    """Destination and source prefix lengths, as the policies of a direction have them."""
    host = host_of_listings(read_listings(TABLE, "table", Collector()), None, Collector())
    found = []
    for outcome in translate(host, Options()).in_install_order(direction):
        for policy in outcome.policies:
            if policy.direction == direction and not policy.selector.protocol:
                selector = policy.selector
                found.append((selector.destination.length or 0, selector.source.length or 0))
    return found


def test_out_is_ordered_by_destination_then_source() -> None:
    assert lengths("out") == [(0, 16), (16, 16), (24, 8), (24, 24), (32, 32)]


def test_what_lets_pass_comes_last_however_wide() -> None:
    """A wide %pass without the tunnels under it would let their packets out in clear."""
    rows = b"0 0.0.0.0/0 -> 0.0.0.0/0 => %pass\n0 10.0.0.0/8 -> 0.0.0.0/0 => %passthrough\n" + TABLE
    host = host_of_listings(read_listings(rows, "table", Collector()), None, Collector())
    for direction in ("out", "in", "fwd"):
        order = translate(host, Options()).in_install_order(direction)
        assert [o.treatment.rule.startswith("pass") for o in order] == [False] * 4 + [True] * 3


def test_in_and_fwd_are_ordered_by_their_own_destination() -> None:
    assert lengths("in") == [(8, 24), (16, 0), (16, 16), (24, 24), (32, 32)]
    assert lengths("fwd") == lengths("in")


def test_the_order_of_priorities_is_another_one() -> None:
    host = host_of_listings(read_listings(TABLE, "table", Collector()), None, Collector())
    translation = translate(host, Options())
    by_width = [outcome.priority for outcome in translation.in_install_order()]
    assert by_width != sorted(by_width)
