"""Addresses of interfaces as `ip addr` and two generations of `ifconfig` print them."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector, Severity, Span
from eroute_translate.klips.addresses import (
    belongs_to_block,
    device_of_head,
    looks_like_address,
    read_address,
)
from eroute_translate.net import format_address

SPAN = Span("capture", 3)

IP = """\
2: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo_fast state UP qlen 1000
    link/ether 52:54:00:12:34:56 brd ff:ff:ff:ff:ff:ff
    inet 203.0.113.7/24 brd 203.0.113.255 scope global eth1
    inet 203.0.113.8/24 brd 203.0.113.255 scope global secondary eth1:1
    inet6 2001:db8::7/64 scope global
       valid_lft forever preferred_lft forever
    inet 10.0.0.1 peer 10.0.0.2/32 scope global ppp0
"""
OLD = """\
eth1      Link encap:Ethernet  HWaddr 52:54:00:12:34:56
          inet addr:203.0.113.7  Bcast:203.0.113.255  Mask:255.255.255.0
          inet addr:203.0.113.8  Bcast:203.0.113.255  Mask:255.255.255.0
          inet6 addr: 2001:db8::7/64 Scope:Global
          UP BROADCAST RUNNING MULTICAST  MTU:1500  Metric:1
          RX packets:5 errors:0 dropped:0 overruns:0 frame:0
          collisions:0 txqueuelen:1000
          RX bytes:500 (500.0 b)  TX bytes:500 (500.0 b)
          inet addr:10.0.0.1  P-t-P:10.0.0.2  Mask:255.255.255.255
          Interrupt:5 Base address:0x4000
"""
NEW = """\
eth1: flags=4163<UP,BROADCAST,RUNNING,MULTICAST>  mtu 1500
        inet 203.0.113.7  netmask 255.255.255.0  broadcast 203.0.113.255
        inet 203.0.113.8  netmask 0xffffff00  broadcast 203.0.113.255
        inet6 2001:db8::7  prefixlen 64  scopeid 0x0<global>
        ether 52:54:00:12:34:56  txqueuelen 1000  (Ethernet)
        RX packets 5  bytes 500 (500.0 B)
        inet 10.0.0.1  netmask 255.255.255.255  destination 10.0.0.2
"""


def read(line: str, device: str = "") -> str:
    collector = Collector()
    assert looks_like_address(line), line
    address = read_address(line, SPAN, collector, device)
    assert collector.items == []
    assert address is not None
    peer = f" peer {format_address(*address.peer)}" if address.peer else ""
    return f"{address.device} {address.network}{peer}"


@pytest.mark.parametrize("text", [IP, OLD, NEW], ids=["ip", "old ifconfig", "new ifconfig"])
def test_a_block(text: str) -> None:
    head, *lines = text.splitlines()
    assert device_of_head(head) == "eth1"
    found = [read(line, "eth1") for line in lines if looks_like_address(line)]
    assert found == [
        "eth1 203.0.113.7/24",
        "eth1 203.0.113.8/24",
        "eth1 2001:db8::7/64",
        "eth1 10.0.0.1/32 peer 10.0.0.2",
    ]
    others = [line for line in lines if not looks_like_address(line)]
    assert others
    assert all(belongs_to_block(line) for line in others)
    assert not any(device_of_head(line) for line in lines)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            r"2: eth1    inet 203.0.113.7/24 brd 203.0.113.255 scope global eth1\       valid_lft",
            "eth1 203.0.113.7/24",
        ),
        ("5: eth0@if4    inet6 fe80::1/64 scope link", "eth0 fe80::1/64"),
        ("    inet 203.0.113.7/24 brd 203.0.113.255 scope global eth1:2", "eth1 203.0.113.7/24"),
    ],
)
def test_a_line_that_names_its_device(line: str, expected: str) -> None:
    assert read(line) == expected


@pytest.mark.parametrize(
    ("line", "device"),
    [
        ("eth0:1    Link encap:Ethernet  HWaddr 52:54:00:12:34:56", "eth0"),
        ("eth0:web: flags=4163<UP>  mtu 1500", "eth0"),
        ("7: eth0.5@eth0: <UP> mtu 1500", "eth0.5"),
        ("ipsec0    Link encap:IPIP Tunnel  HWaddr", "ipsec0"),
        ("eth0 is up", ""),
    ],
)
def test_heads(line: str, device: str) -> None:
    assert device_of_head(line) == device


@pytest.mark.parametrize(
    ("line", "device"),
    [
        ("    inet6 fe80::1/64 scope link", ""),
        ("          inet addr:203.0.113.7  Bcast:203.0.113.255  Mask:255.255.255.0", ""),
        ("          inet addr:203.0.113.7  Mask:255.0.255.0", "eth0"),
        ("          inet addr:203.0.113.700  Mask:255.0.0.0", "eth0"),
        ("    inet 203.0.113.7/33 scope global eth0", "eth0"),
        ("    inet 203.0.113.7", "eth0"),
        ("        inet 203.0.113.7  netmask 0xzz", "eth0"),
    ],
)
def test_what_cannot_be_read_is_said(line: str, device: str) -> None:
    collector = Collector()
    assert looks_like_address(line)
    assert read_address(line, SPAN, collector, device) is None
    (item,) = collector.items
    assert (item.code, item.severity, item.excerpt) == ("ET142", Severity.WARNING, line)
