"""Routes as a bound of the policies: what went into ipsecN, what did not, and what is in doubt."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector
from eroute_translate.equivalence.compare import prove
from eroute_translate.klips.assembly import host_of_readings
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.reach import Reach
from eroute_translate.klips.script import read_script
from eroute_translate.klips.source import read_source
from eroute_translate.mapping.model import Options, Scoping
from eroute_translate.mapping.translation import Translation, translate
from eroute_translate.net import Packet, parse_address, parse_prefix, without
from eroute_translate.xfrm.lookup import lookup

TUN = "tun0x1000@198.51.100.1"
LAN = "10.1.0.0/16 dev eth1  proto kernel  scope link  src 10.1.0.1\n"
OUTER = "192.0.2.0/24 dev eth0  proto kernel  scope link  src 192.0.2.1\n"
DEFAULT = "default via 192.0.2.254 dev eth0\n"
LOCAL = (parse_address("192.0.2.1"), parse_address("10.1.0.1"))


def host(routes: str, *rows: str, more: str = "") -> KlipsHost:
    rows = rows or (f"10.1.0.0/16        -> 10.2.0.0/16        => {TUN}",)
    text = "".join(f"0          {row}\n" for row in rows) + routes + more
    collector = Collector()
    return host_of_readings(read_source(text.encode(), "capture", collector), None, collector)


def reach(routes: str, *rows: str, more: str = "") -> Reach:
    return host(routes, *rows, more=more).reach


def into(found: Reach) -> list[str]:
    return [str(route.destination.network) for route in found.into]


def around(found: Reach) -> list[str]:
    return [str(prefix) for prefix, _ in found.around]


def translated(routes: str, *rows: str, more: str = "") -> Translation:
    return translate(host(routes, *rows, more=more), Options(local=LOCAL))


def fate(translation: Translation, source: str, destination: str, direction: str = "out") -> str:
    family, near = parse_address(source)
    packet = Packet(family, near, parse_address(destination)[1], 17, 1000, 1000)
    decision = lookup(list(translation.policies()), direction, packet)
    if decision.winner is None:
        return "clear"
    if decision.action == "block":
        return "dropped"
    return "protected" if decision.templates else "clear"


def codes(translation: Translation) -> set[str]:
    return {finding.code for finding in translation.findings}


PLAIN = LAN + OUTER + "10.2.0.0/16 via 192.0.2.254 dev ipsec0\n" + DEFAULT


def test_what_no_eroute_covers_is_blocked_where_a_route_led_into_ipsec() -> None:
    translation = translated(PLAIN)
    assert [str(p) for p in translation.options.blocked] == ["10.2.0.0/16"]
    assert translation.bypassed == ()
    assert fate(translation, "10.1.0.9", "10.2.0.9") == "protected"
    assert fate(translation, "10.9.0.9", "10.2.0.9") == "dropped"
    assert fate(translation, "192.0.2.1", "10.2.0.9") == "dropped"
    assert fate(translation, "10.9.0.9", "10.3.0.9") == "clear"
    assert fate(translation, "10.2.0.9", "10.1.0.9") == "clear"
    assert {"ET270"} <= codes(translation)
    assert codes(translation).isdisjoint({"ET214", "ET271", "ET272", "ET273"})


def test_the_block_stands_behind_every_eroute() -> None:
    translation = translated(PLAIN)
    last = max(outcome.priority for outcome in translation.outcomes)
    assert all(policy.priority > last for policy in translation.uncovered)
    assert max(p.priority for p in translation.policies()) == translation.last_priority


def test_the_finding_names_the_routes_and_their_lines() -> None:
    finding = next(f for f in translated(PLAIN).findings if f.code == "ET270")
    assert "10.2.0.0/16" in finding.message
    assert [span.line for span, _ in finding.related] == [4]
    assert "--scope eroutes" in finding.hint


@pytest.mark.parametrize(
    "given", [Options(scope=Scoping.EROUTES), Options(routed=(parse_prefix("::/0"),))]
)
def test_told_otherwise_by_name(given: Options) -> None:
    translation = translate(host(PLAIN), given)
    assert translation.options.blocked == ()
    assert fate(translation, "10.9.0.9", "10.2.0.9") == "clear"
    assert "ET270" not in codes(translation)


@pytest.mark.parametrize(
    "default",
    ["default via 192.0.2.254 dev ipsec0\n", "0.0.0.0/1 dev ipsec0\n128.0.0.0/1 dev ipsec0\n"],
)
def test_a_default_route_into_ipsec(default: str) -> None:
    """The networks that the gateway is on stay reachable, under an eroute for everything too."""
    row = f"10.1.0.0/16        -> 0.0.0.0/0          => {TUN}"
    translation = translated(LAN + OUTER + default + DEFAULT * ("/1" in default), row)
    assert [str(p) for p in translation.options.blocked] == ["0.0.0.0/0"]
    assert sorted(map(str, translation.options.bypass)) == ["10.1.0.0/16", "192.0.2.0/24"]
    assert fate(translation, "10.1.0.1", "10.1.0.9") == "clear"
    assert fate(translation, "10.1.0.9", "10.1.0.1", "in") == "clear"
    assert fate(translation, "10.1.0.9", "8.8.8.8") == "protected"
    assert fate(translation, "192.0.2.1", "192.0.2.254") == "clear"
    assert fate(translation, "192.0.2.1", "8.8.8.8") == "dropped"
    assert fate(translation, "192.0.2.1", "224.0.0.5") == "clear"
    assert fate(translation, "192.0.2.1", "255.255.255.255") == "clear"
    assert fate(translation, "192.0.2.1", "239.1.2.3") == "dropped"
    assert codes(translation).isdisjoint({"ET213", "ET214", "ET272"})
    assert "ET271" in codes(translation)


def test_our_own_ike_and_esp_reach_every_peer() -> None:
    translation = translated(LAN + OUTER + "default dev ipsec0\n")
    peer = parse_address("198.51.100.1")[1]
    for protocol, port in ((17, 500), (17, 4500), (50, 0), (51, 0)):
        packet = Packet(4, LOCAL[0][1], peer, protocol, port, port)
        decision = lookup(list(translation.policies()), "out", packet)
        assert decision.winner is not None
        assert decision.action == "allow"
        assert not decision.templates
    assert fate(translation, "192.0.2.1", "198.51.100.1") == "dropped"


def test_ipv6_by_its_own_routes() -> None:
    routes = (
        "2001:db8:1::/64 dev eth1  proto kernel  metric 256\n"
        "fe80::/64 dev eth1  proto kernel  metric 256\n"
        "default dev ipsec0  metric 1024\n"
    )
    row = "2001:db8:1::/64    -> 2001:db8:2::/64    => tun0x1000@2001:db8:ffff::1"
    translation = translated(routes, row)
    assert fate(translation, "2001:db8:9::1", "2001:db8:2::9") == "dropped"
    assert fate(translation, "2001:db8:1::1", "2001:db8:1::2") == "clear"
    assert fate(translation, "fe80::1", "fe80::2") == "clear"
    assert fate(translation, "2001:db8:1::1", "ff02::5") == "clear"
    assert "ET214" not in codes(translation)


@pytest.mark.parametrize(
    ("routes", "expected_into", "expected_around"),
    [
        # A longer route elsewhere takes its part out again, and a still longer one puts it back.
        (
            "10.0.0.0/8 dev ipsec0\n10.3.0.0/16 via 10.1.0.9 dev eth1\n10.3.128.0/17 dev ipsec0\n",
            ["10.0.0.0/8"],
            ["10.1.0.0/16", "192.0.2.0/24", "10.3.0.0/17"],
        ),
        # Several devices of KLIPS are one.
        ("10.2.0.0/16 dev ipsec0\n10.3.0.0/16 dev ipsec1\n", ["10.2.0.0/16", "10.3.0.0/16"], None),
        # Of two routes the one with the lower metric holds.
        ("10.2.0.0/16 dev eth0 metric 9\n10.2.0.0/16 dev ipsec0 metric 2\n", ["10.2.0.0/16"], None),
        ("10.2.0.0/16 via 192.0.2.9 dev eth0\n10.2.0.0/16 dev ipsec0 metric 2\n", [], None),
        # What goes nowhere takes nothing out.
        ("10.2.0.0/16 dev ipsec0\nblackhole 10.2.9.0/24\n", ["10.2.0.0/16"], None),
        # Other tables and MAST's device are not asked.
        ("10.2.0.0/16 dev ipsec0 table 50\n10.3.0.0/16 dev mast0\n", [], None),
        # The link of ipsec0 is that of the interface below it, which stands first.
        ("192.0.2.0/24 dev ipsec0  proto kernel  scope link  src 192.0.2.1\n", [], None),
    ],
)
def test_the_longest_prefix_decides(
    routes: str, expected_into: list[str], expected_around: list[str] | None
) -> None:
    found = reach(LAN + OUTER + routes + DEFAULT)
    assert into(found) == expected_into
    if expected_around is not None:
        assert sorted(around(found)) == sorted(expected_around)
    assert found.doubts == ()
    assert found.whole == {4}


def test_an_address_of_the_device_itself_was_not_routed_into_it() -> None:
    routes = (
        "2001:db8:1::/64 dev eth1  proto kernel  metric 256\n"
        "2001:db8:1::1 dev ipsec0  proto kernel  metric 256\n"
        "2001:db8:2::1 dev ipsec0  metric 1024\n"
    )
    row = "2001:db8:1::/64    -> 2001:db8:2::1/128    => tun0x1000@2001:db8:ffff::1"
    assert into(reach(routes, row)) == ["2001:db8:2::1/128"]


def test_two_routes_of_which_nobody_knows_which_held() -> None:
    both = "10.2.0.0/16 dev ipsec0\n10.2.0.0/16 via 192.0.2.9 dev eth0\n10.4.0.0/16 dev ipsec0\n"
    found = reach(LAN + OUTER + both)
    assert into(found) == ["10.4.0.0/16"]
    (doubt,) = found.doubts
    assert (str(doubt.destination), doubt.span.line) == ("10.2.0.0/16", 4)
    assert "ET273" in codes(translated(LAN + OUTER + both))


def test_next_hops_on_two_kinds_of_devices_are_in_doubt() -> None:
    hops = (
        "10.2.0.0/16 proto static\n"
        "\tnexthop via 192.0.2.9 dev eth0 weight 1\n\tnexthop dev ipsec0 weight 1\n"
    )
    found = reach(LAN + OUTER + hops)
    assert into(found) == []
    assert len(found.doubts) == 1


@pytest.mark.parametrize(
    ("rule", "blocked", "spared"),
    [
        ("0:\tfrom all lookup local \n32766:\tfrom all lookup main \n", True, None),
        ("100:\tfrom all fwmark 0x80000000/0x80000000 lookup 50 \n", True, None),
        ("100:\tfrom all iif mast0 lookup main \n", True, None),
        ("100:\tfrom 10.9.0.0/16 lookup 7 \n", True, ("10.9.0.9", "10.2.0.9")),
        ("100:\tfrom all to 10.2.5.0/24 lookup 7 \n", True, ("10.9.0.9", "10.2.5.9")),
        ("100:\tfrom all fwmark 0x1 lookup 7 \n", False, ("10.9.0.9", "10.2.0.9")),
        ("100:\tnot from 10.9.0.0/16 lookup 7 \n", False, ("10.9.0.9", "10.2.0.9")),
    ],
)
def test_routing_rules(rule: str, blocked: bool, spared: tuple[str, str] | None) -> None:
    translation = translated(PLAIN, more=rule)
    assert fate(translation, "10.8.0.9", "10.2.0.9") == ("dropped" if blocked else "clear")
    assert fate(translation, "10.1.0.9", "10.2.0.9") == "protected"
    if spared is None:
        assert "ET273" not in codes(translation)
    else:
        assert fate(translation, *spared) == "clear"
        finding = next(f for f in translation.findings if f.code == "ET273")
        assert finding.span is not None
        assert "routing rule" in finding.message


def test_a_rule_that_may_lead_into_ipsec_keeps_networks_in_their_eroutes() -> None:
    row = f"10.1.0.0/16        -> 0.0.0.0/0          => {TUN}"
    rule = "100:\tfrom 10.1.0.0/16 lookup 7 \n"
    routes = LAN + OUTER + "default dev ipsec0\n"
    assert translated(routes, row).options.bypass
    assert translated(routes, row, more=rule).options.bypass == ()
    known = rule + "10.7.0.0/16 dev eth1 table 7\n"
    assert translated(routes, row, more=known).options.bypass


def test_an_eroute_keeps_a_destination_that_it_was_made_for() -> None:
    """Hosts inside the LAN's own prefix that live behind a tunnel are not taken out with it."""
    rows = (
        f"0.0.0.0/0          -> 10.1.0.200/32      => {TUN}",
        "10.1.0.0/16        -> 0.0.0.0/0          => %drop",
    )
    routes = LAN + OUTER + "default dev ipsec0\n"
    translation = translated(routes, *rows)
    assert fate(translation, "10.5.0.1", "10.1.0.200") == "protected"
    assert fate(translation, "10.1.0.1", "10.1.0.201") == "clear"


def test_an_eroute_is_never_cut_down_to_the_routes() -> None:
    """Routes of a moment when the tunnel was down must not take its protection away."""
    translation = translated(LAN + OUTER + DEFAULT)
    assert fate(translation, "10.1.0.9", "10.2.0.9") == "protected"
    assert "ET272" in codes(translation)
    assert translation.counts["noted"] == 1
    static = translated(LAN + OUTER + "10.2.0.0/16 via 192.0.2.9 dev eth0\n")
    assert fate(static, "10.1.0.9", "10.2.0.9") == "protected"


def test_a_part_of_the_table_does_not_block_the_networks_behind_the_gateway() -> None:
    """``ip route show dev ipsec0`` has no route to the LAN; the tunnel's packets must reach it."""
    translation = translated("10.0.0.0/8 dev ipsec0\n", f"10.1.0.0/16 -> 10.0.0.0/8 => {TUN}")
    assert translation.scope.whole == frozenset()
    assert fate(translation, "10.2.0.9", "10.1.0.9") == "clear"
    assert fate(translation, "10.9.0.9", "10.2.0.9") == "dropped"
    assert "ET272" not in codes(translation)


def test_a_default_route_alone_blocks_nothing_and_says_so() -> None:
    translation = translated("default dev ipsec0\n")
    assert translation.options.blocked == ()
    finding = next(f for f in translation.findings if f.code == "ET273")
    assert "0.0.0.0/0" in finding.message
    assert "--routed" in finding.hint


def test_a_gateway_that_relays_between_two_tunnels() -> None:
    rows = (
        f"10.2.0.0/16        -> 10.3.0.0/16        => {TUN}",
        "10.3.0.0/16        -> 10.2.0.0/16        => tun0x1002@198.51.100.2",
    )
    translation = translated(OUTER + "10.2.0.0/16 dev ipsec0\n10.3.0.0/16 dev ipsec0\n", *rows)
    assert translation.scope.whole == {4}
    assert fate(translation, "10.2.0.9", "10.3.0.9") == "protected"
    assert fate(translation, "10.9.0.9", "10.3.0.9") == "dropped"


def test_a_script_tells_its_routes_too() -> None:
    text = (
        "#!/bin/sh\nifconfig eth0 192.0.2.1 netmask 255.255.255.0\n"
        "ip addr add 10.1.0.1/16 dev eth1\nroute add -net 10.0.0.0/8 gw 192.0.2.254 dev ipsec0\n"
        "ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 10.2.0.0/16 --said %trap\n"
    )
    collector = Collector()
    reading = read_script(text.encode(), "script", collector)
    translation = translate(host_of_readings([reading], None, collector), Options(local=LOCAL))
    assert fate(translation, "10.9.0.9", "10.3.0.9") == "dropped"
    assert fate(translation, "10.2.0.9", "10.1.0.9") == "clear"


def test_the_proof_holds_the_blocks_against_the_routes() -> None:
    row = f"10.1.0.0/16        -> 0.0.0.0/0          => {TUN}"
    routes = LAN + OUTER + "default dev ipsec0\n10.7.0.0/16 via 10.1.0.9 dev eth1\n"
    translation = translated(routes, row, more="100:\tfrom 10.9.0.0/16 lookup 7 \n")
    assert prove(translation).equal


def test_a_hub_with_thousands_of_spokes() -> None:
    """Nothing here may look at every pair of routes and eroutes."""
    nets = [f"10.{i >> 8}.{i & 255}.0/24" for i in range(0, 20000, 2)]
    routes = "".join(f"{net} dev ipsec0\n" for net in nets)
    rows = [f"{net} -> {nets[0]} => {TUN}" for net in nets]
    found = reach(OUTER + "172.16.0.0/12 dev eth1 scope link\n" + routes, *rows)
    assert len(found.into) == 10000
    assert found.whole == {4}


def test_what_is_left_of_a_prefix() -> None:
    whole = parse_prefix("10.0.0.0/8")
    parts = [parse_prefix("10.0.0.0/10"), parse_prefix("10.128.0.0/9")]
    assert [str(p) for p in without(whole, parts)] == ["10.64.0.0/10"]
    assert list(without(whole, [parse_prefix("11.0.0.0/8")])) == [whole]
    assert list(without(whole, [parse_prefix("0.0.0.0/0")])) == []
    assert sum(~p.mask & 0xFFFFFFFF for p in without(whole, [parse_prefix("10.5.5.5/32")])) > 0


def test_forwarded_ike_of_a_network_that_is_taken_out_does_not_use_the_hole_for_our_own() -> None:
    """Without --local all IKE may go out; what is forwarded must not come past its block."""
    routes = LAN + OUTER + "default dev ipsec0\n"
    row = "0.0.0.0/0          -> 0.0.0.0/0          => %trap"
    translation = translate(host(routes, row), Options())
    assert translation.options.local == ()
    policies = list(translation.policies())
    ike = Packet(4, parse_address("10.1.0.9")[1], parse_address("8.8.8.8")[1], 17, 500, 500)
    assert lookup(policies, "fwd", ike).action == "block"
    assert fate(translation, "10.1.0.9", "8.8.8.8", "fwd") == "clear"
    assert prove(translation).equal
    known = translate(host(routes, row), Options(local=LOCAL))
    assert not [p for p in known.bypassed if p.action == "block"]
