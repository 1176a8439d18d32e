"""Rows of routing tables and routing rules, in every form of net-tools and iproute2."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector, Severity, Span
from eroute_translate.klips.interface import Route, RoutingRule
from eroute_translate.klips.routes import (
    NO_CONTEXT,
    RouteContext,
    has_metric_column,
    is_next_hop,
    is_route_heading,
    looks_like_route,
    looks_like_rule,
    read_route,
    read_rule,
)
from eroute_translate.net import format_address, parse_prefix

SPAN = Span("capture", 7)
METRIC = RouteContext(metric_column=True)


def read(line: str, context: RouteContext = NO_CONTEXT) -> Route:
    collector = Collector()
    assert looks_like_route(line), line
    route = read_route(line, SPAN, collector, context)
    assert collector.items == []
    assert route is not None
    assert route.span == SPAN
    return route


def shown(route: Route) -> str:
    parts = [route.kind, str(route.destination)]
    if route.gateway:
        parts.append(f"via {format_address(*route.gateway)}")
    if route.device:
        parts.append(f"dev {route.device}")
    if route.source:
        parts.append(f"src {format_address(*route.source)}")
    return " ".join([*parts, f"metric {route.metric}", f"table {route.table}"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "192.168.1.0     0.0.0.0         255.255.255.0   U         0 0          0 ipsec0",
            "unicast 192.168.1.0/24 dev ipsec0 metric 0 table main",
        ),
        (
            "0.0.0.0         203.0.113.1     0.0.0.0         UG       40 0          0 eth1",
            "unicast 0.0.0.0/0 via 203.0.113.1 dev eth1 metric 0 table main",
        ),
        (
            "203.0.113.9     203.0.113.1     255.255.255.255 UGH       0 0          0 ipsec0",
            "unicast 203.0.113.9/32 via 203.0.113.1 dev ipsec0 metric 0 table main",
        ),
        (
            "10.0.0.0        *               255.0.0.0       U      1500 0          0 eth0",
            "unicast 10.0.0.0/8 dev eth0 metric 0 table main",
        ),
        (
            "default         203.0.113.1     0.0.0.0         UG        0 0          0 eth1",
            "unicast 0.0.0.0/0 via 203.0.113.1 dev eth1 metric 0 table main",
        ),
        (
            "10.9.0.0        -               255.255.0.0     !     0      -        0 -",
            "unreachable 10.9.0.0/16 metric 0 table main",
        ),
        (
            "2001:db8:2::/64                             ::      U     1024   0        0 ipsec0",
            "unicast 2001:db8:2::/64 dev ipsec0 metric 1024 table main",
        ),
        (
            "[::]/0                         2001:db8::1     UG   1   0     0 eth1",
            "unicast ::/0 via 2001:db8::1 dev eth1 metric 1 table main",
        ),
        (
            "default via 203.0.113.1 dev eth1 ",
            "unicast 0.0.0.0/0 via 203.0.113.1 dev eth1 metric 0 table main",
        ),
        (
            "192.168.1.0/24 dev ipsec0  scope link ",
            "unicast 192.168.1.0/24 dev ipsec0 metric 0 table main",
        ),
        (
            "192.168.1.0/24 dev eth0  proto kernel  scope link  src 192.168.1.1 ",
            "unicast 192.168.1.0/24 dev eth0 src 192.168.1.1 metric 0 table main",
        ),
        (
            "203.0.113.9 dev ipsec0  scope link  metric 10",
            "unicast 203.0.113.9/32 dev ipsec0 metric 10 table main",
        ),
        ("blackhole 10.9.0.0/16 ", "blackhole 10.9.0.0/16 metric 0 table main"),
        (
            "unreachable 2002:a00::/24 dev lo  metric 1024  error -101",
            "unreachable 2002:a00::/24 metric 1024 table main",
        ),
        (
            "local 127.0.0.0/8 dev lo  table local  proto kernel  scope host  src 127.0.0.1",
            "local 127.0.0.0/8 dev lo src 127.0.0.1 metric 0 table local",
        ),
        (
            "default dev mast0  table 50  scope link",
            "unicast 0.0.0.0/0 dev mast0 metric 0 table 50",
        ),
        (
            "default via fe80::1 dev eth0 proto ra metric 1024 expires 99sec pref medium",
            "unicast ::/0 via fe80::1 dev eth0 metric 1024 table main",
        ),
        (
            "10.1.0.0/16 via inet6 fe80::2 dev eth0 onlink",
            "unicast 10.1.0.0/16 via fe80::2 dev eth0 metric 0 table main",
        ),
        (
            "10.1.0.0/16 dev eth0 mtu lock 1400 advmss 1360",
            "unicast 10.1.0.0/16 dev eth0 metric 0 table main",
        ),
    ],
)  # fmt: skip
def test_rows(line: str, expected: str) -> None:
    assert shown(read(line)) == expected


def test_the_fifth_column_is_a_metric_under_its_heading_alone() -> None:
    row = "10.0.0.0        0.0.0.0         255.0.0.0       U     40     0        0 ipsec0"
    assert read(row, METRIC).metric == 40
    assert read(row).metric == 0
    route = "Destination     Gateway         Genmask         Flags Metric Ref    Use Iface"
    netstat = "Destination     Gateway         Genmask         Flags   MSS Window  irtt Iface"
    assert is_route_heading(route)
    assert is_route_heading(netstat)
    assert (has_metric_column(route), has_metric_column(netstat)) == (True, False)


def test_all_columns_of_route_ee() -> None:
    row = "10.0.0.0  0.0.0.0  255.0.0.0  U  5 0 0 ipsec0  1500  0  0"
    assert shown(read(row, METRIC)) == "unicast 10.0.0.0/8 dev ipsec0 metric 5 table main"


def test_what_the_command_left_out() -> None:
    context = RouteContext(6, "50", "ipsec0")
    assert shown(read("default  metric 1024", context)) == (
        "unicast ::/0 dev ipsec0 metric 1024 table 50"
    )


def test_next_hops_take_their_destination_from_above() -> None:
    context = RouteContext(destination=parse_prefix("10.0.0.0/8"))
    line = "\tnexthop via 203.0.113.1 dev ipsec0 weight 1".replace("\t", "        ")
    assert is_next_hop(line)
    assert shown(read(line, context)) == (
        "unicast 10.0.0.0/8 via 203.0.113.1 dev ipsec0 metric 0 table main"
    )
    assert read("10.0.0.0/8 proto static").device == ""


@pytest.mark.parametrize(
    "line",
    [
        "10.0.0.0/33 dev eth0",
        "10.0.0.0/8 dev",
        "10.0.0.0/8 dev eth0 dev eth1",
        "10.0.0.0/8 dev eth0 frobnicate",
        "10.0.0.0/8 dev eth0 metric ten",
        "10.0.0/8.0/8 dev eth0",
        "nexthop via 203.0.113.1 dev eth0",
        "gateway.example  0.0.0.0  255.255.255.255 UH 0 0 0 eth0",
        "10.0.0.0  0.0.0.0  255.0.255.0 U 0 0 0 eth0",
        "10.0.0.0  gw.example  255.0.0.0 UG 0 0 0 eth0",
        "2001:db8::/200  ::  U 0 0 0 eth0",
    ],
)
def test_what_cannot_be_read_is_said(line: str) -> None:
    collector = Collector()
    assert read_route(line, SPAN, collector) is None
    (item,) = collector.items
    assert (item.code, item.severity, item.span) == ("ET140", Severity.WARNING, SPAN)
    assert item.excerpt == line


@pytest.mark.parametrize(
    "line",
    [
        "",
        "10.0.0.0/8",
        "10.0.0.1",
        "10         10.0.0.0/8         -> 192.168.1.0/24     => tun0x1002@203.0.113.7",
        "ipsec0 -> eth1 mtu=16260(1500) -> 1500",
        "tun0x1002@203.0.113.7 IPIP: dir=out src=192.0.2.1",
        "default routes are evil",
        "    inet 192.0.2.1/24 brd 192.0.2.255 scope global eth0",
        "0: from all lookup local",
        "local host",
    ],
)
def test_other_lines_are_no_routes(line: str) -> None:
    assert not looks_like_route(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0:\tfrom all lookup local ", RoutingRule(0, "local", SPAN)),
        (
            "32765:  from all fwmark 0x80000000/0x80000000 lookup 50",
            RoutingRule(32765, "50", SPAN, mark=(1 << 31, 1 << 31)),
        ),
        ("5: from all iif mast0 lookup main", RoutingRule(5, "main", SPAN, incoming="mast0")),
        (
            "7: not from 10.0.0.0/8 to 10.1.0.0/16 fwmark 5 blackhole",
            RoutingRule(
                7,
                "blackhole",
                SPAN,
                parse_prefix("10.0.0.0/8"),
                parse_prefix("10.1.0.0/16"),
                (5, 0xFFFFFFFF),
                inverted=True,
            ),
        ),
        (
            "9: from 10.1.2.3 tos 0x10 lookup 7",
            RoutingRule(9, "7", SPAN, parse_prefix("10.1.2.3"), others=("tos", "0x10")),
        ),
    ],
)
def test_rules(line: str, expected: RoutingRule) -> None:
    collector = Collector()
    assert looks_like_rule(line)
    assert read_rule(line, SPAN, collector) == expected
    assert collector.items == []


@pytest.mark.parametrize(
    "line", ["5: from all", "5: from 10.0.0.0/40 lookup 5", "5: from all fwmark x lookup 5"]
)
def test_a_rule_that_cannot_be_read_is_said(line: str) -> None:
    collector = Collector()
    assert looks_like_rule(line)
    assert read_rule(line, SPAN, collector) is None
    assert [(i.code, i.severity) for i in collector.items] == [("ET141", Severity.WARNING)]
