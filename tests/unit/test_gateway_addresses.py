"""The gateway's own addresses, where the input tells them and nobody said ``--local``."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector
from eroute_translate.klips.assembly import host_of_readings
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.source import read_source
from eroute_translate.mapping.addresses import with_addresses
from eroute_translate.mapping.model import Options
from eroute_translate.mapping.translation import translate
from eroute_translate.net import format_address, parse_address

ROW = "3          10.1.0.0/16        -> 10.2.0.0/16        => tun0x1002@198.51.100.7\n"
SA = (
    "tun0x1002@198.51.100.7 IPIP: dir=out src=203.0.113.9 life(c,s,h)=addtime(6,0,0)"
    " natencap=none natsport=0 natdport=0 refcount=4 ref=9\n"
)
ADDRESSES = """\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536
    inet 127.0.0.1/8 scope host lo
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 10.1.0.1/16 brd 10.1.255.255 scope global eth0
    inet6 fe80::5054:ff:fe12:3456/64 scope link
3: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 203.0.113.9/24 brd 203.0.113.255 scope global eth1
"""
ONE = "ipsec0 -> eth1 mtu=16260(1443) -> 1500\nipsec1 -> NULL mtu=0(0) -> 0\n"
TWO = "ipsec0 -> eth1 mtu=16260(1443) -> 1500\nipsec1 -> eth2 mtu=16260(1443) -> 1500\n"


def host(*parts: str) -> KlipsHost:
    collector = Collector()
    return host_of_readings(read_source("".join(parts).encode(), "x", collector), None, collector)


def shown(addresses: tuple[tuple[int, int], ...]) -> list[str]:
    return [format_address(*address) for address in addresses]


@pytest.mark.parametrize(
    ("parts", "local", "ends"),
    [
        ((ROW,), [], []),
        ((ROW, ONE, ADDRESSES), ["10.1.0.1", "203.0.113.9"], ["203.0.113.9"]),
        ((ROW, TWO, ADDRESSES), ["10.1.0.1", "203.0.113.9"], ["203.0.113.9"]),
        ((ROW, SA, ONE), ["203.0.113.9"], ["203.0.113.9"]),
        ((ROW, SA, TWO), [], []),
        ((ROW, SA), [], []),
    ],
)
def test_what_is_taken(parts: tuple[str, ...], local: list[str], ends: list[str]) -> None:
    """No loopback and no link; the sources of SAs only where IKE had one address to come from."""
    options = with_addresses(host(*parts), Options())
    assert shown(options.local) == local
    assert shown(options.ends) == ends


def test_what_the_user_says_outweighs_it() -> None:
    given = Options(local=(parse_address("192.0.2.1"),))
    assert with_addresses(host(ROW, ONE, ADDRESSES), given) == given
    codes = [item.code for item in translate(host(ROW, ONE, ADDRESSES), given).findings]
    assert "ET225" not in codes


def test_it_is_said_and_used() -> None:
    translation = translate(host(ROW, ONE, ADDRESSES), Options())
    (finding,) = (item for item in translation.findings if item.code == "ET225")
    assert "10.1.0.1, 203.0.113.9" in finding.message
    assert "ET201" not in [item.code for item in translation.findings]
    (out,) = (p for p in translation.policies() if p.direction == "out" and p.templates)
    assert format_address(4, out.templates[0].source) == "203.0.113.9"
