"""Scripts of ipsec commands played on a model of the host."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector
from eroute_translate.klips.reading import Reading
from eroute_translate.klips.said import format_said
from eroute_translate.klips.script import read_script
from eroute_translate.klips.transcript import looks_like_script

KEY, AUTH = "0x" + "0123456789abcdef" * 3, "0x" + "0f" * 16
ADD = "ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 10.2.0.0/16 --said %pass\n"
TUN = "ipsec spi --said tun0x1002@198.51.100.1 --ip4 --src 192.0.2.1 --dst 198.51.100.1\n"
ESP = (
    "ipsec spi --said esp0x1002@198.51.100.1 --src 192.0.2.1 --esp 3des-md5-96"
    f" --enckey {KEY} --authkey {AUTH}\n"
)
GROUP = "ipsec spigrp --said tun0x1002@198.51.100.1 esp0x1002@198.51.100.1\n"


def play(text: str) -> tuple[Reading, Collector]:
    collector = Collector()
    reading = read_script(text.encode(), "script", collector)
    for item in collector.items:
        assert KEY[2:] not in item.message + item.excerpt + item.hint
        assert AUTH[2:] not in item.message + item.excerpt + item.hint
    return reading, collector


def eroutes(text: str) -> list[str]:
    listing = play(text)[0].listing
    if listing is None:
        return []
    return [f"{e.selector.destination} {format_said(e.said)}" for e in listing.eroutes]


def codes(text: str) -> list[str]:
    return [item.code for item in play(text)[1].items]


def test_what_it_is() -> None:
    assert looks_like_script(f"#!/bin/sh\n{ADD}")
    assert looks_like_script(f"X=1\n/usr/local/sbin/{ADD}")
    assert looks_like_script("#!/bin/sh\n/usr/local/lib/ipsec/eroute --clear\n")
    assert looks_like_script(f"west # {ADD}")
    assert not looks_like_script("0 10.0.0.0/8 -> 10.1.0.0/16 => %pass\n")
    assert not looks_like_script("# ipsec eroute\n0 10.0.0.0/8 -> 10.1.0.0/16 => %pass\n")


def test_a_host_that_a_script_set_up() -> None:
    reading, collector = play(TUN + ESP + GROUP + ADD)
    assert collector.items == []
    assert reading.insertion_known
    assert [format_said(a.said) for a in reading.associations] == [
        "tun0x1002@198.51.100.1",
        "esp0x1002@198.51.100.1",
    ]
    assert reading.accounted == {"spi": 2, "spigrp": 1, "eroute": 1}
    assert [[format_said(s) for s in g.saids] for g in reading.groups] == [
        ["tun0x1002@198.51.100.1", "esp0x1002@198.51.100.1"]
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", ["10.2.0.0/16 %pass"]),
        (ADD.replace("%pass", "%drop"), ["10.2.0.0/16 %pass"]),
        (ADD.replace("--add", "--replace").replace("%pass", "%drop"), ["10.2.0.0/16 %drop"]),
        ("ipsec eroute --del --eraf inet --src 10.1.0.0/16 --dst 10.2.0.0/16\n", []),
        ("ipsec eroute --clear\n", []),
        (ADD.replace("10.2.", "10.3."), ["10.2.0.0/16 %pass", "10.3.0.0/16 %pass"]),
        ("exit\n" + ADD.replace("10.2.", "10.3."), ["10.2.0.0/16 %pass"]),
        ("ipsec eroute --del --eraf inet --src 10.1.0.0/24 --dst 10.2.0.0/16\n", []),
        (
            ADD.replace("10.1.0.0/16", "10.1.0.0/24")
            + "ipsec eroute --del --eraf inet --src 10.1.0.0/25 --dst 10.2.0.0/16\n",
            ["10.2.0.0/16 %pass", "10.2.0.0/16 %pass"],
        ),
    ],
)
def test_the_table_at_the_end(more: str, expected: list[str]) -> None:
    assert eroutes(ADD + more) == expected


def test_a_replaced_eroute_is_the_youngest() -> None:
    other = ADD.replace("10.2.", "10.3.")
    again = ADD.replace("--add", "--replace")
    assert eroutes(ADD + other + again) == ["10.3.0.0/16 %pass", "10.2.0.0/16 %pass"]


@pytest.mark.parametrize(
    ("said", "code", "defect"), [("%pass", "ET154", "ET154"), ("%drop", "ET156", "")]
)
def test_a_replace_that_finds_another_mask(said: str, code: str, defect: str) -> None:
    """Newer tools took the old one away: it must not pass."""
    narrow = ADD.replace("--add", "--replace").replace("10.1.0.0/16", "10.1.0.0/24")
    reading, collector = play(ADD.replace("%pass", said) + narrow)
    assert [item.code for item in collector.items if item.code != "ET123"] == [code]
    assert reading.listing is not None
    assert [e.defect for e in reading.listing.eroutes] == [defect, ""]
    assert reading.refused == ({"eroute": 1} if defect else {})


def test_variables_functions_and_loops() -> None:
    text = (
        "N=10.1.0.0/16\n"
        "pass() { ipsec eroute --add --eraf inet --src $N --dst $1 --said %pass; }\n"
        "for net in 10.2.0.0/16 10.3.0.0/16; do pass $net; done\n"
    )
    assert eroutes(text) == ["10.2.0.0/16 %pass", "10.3.0.0/16 %pass"]


@pytest.mark.parametrize(
    "text",
    [
        ADD.replace("10.2.0.0/16", "$NET"),
        ADD.replace("10.2.0.0/16", "$(cat net)"),
        f"if [ -f /etc/x ]; then {ADD}fi\n",
        f"while read x; do {ADD}done\n",
        "ipsec $TOOL --clear\n",
        f"[ -x /sbin/ipsec ] && {ADD}",
        "[ -x /sbin/ipsec ] && ipsec eroute $OPTIONS\n",
    ],
)
def test_what_is_not_certain_is_refused_with_its_place(text: str) -> None:
    reading, collector = play(f"true\n{text}")
    assert [item.code for item in collector.errors] == ["ET154"]
    assert collector.errors[0].span is not None
    assert collector.errors[0].span.line == 2
    assert reading.listing is not None
    assert (len(reading.listing.eroutes), len(reading.listing.unread)) == (0, 1)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ADD + ADD, "ET156"),
        ("ipsec eroute --del --eraf inet --src 10.1.0.0/16 --dst 10.9.0.0/16\n", "ET156"),
        (ESP + ESP, "ET156"),
        (GROUP, "ET156"),
        (". ./settings\n" + ADD, "ET157"),
        ("eval $X\n" + ADD, "ET157"),
        ("ipsec manual --up gw\n", "ET157"),
        ("if then fi (\n" + ADD, "ET155"),
    ],
)
def test_what_is_told(text: str, code: str) -> None:
    assert code in codes(text)


def test_one_bad_command_hides_no_other() -> None:
    bad = "ipsec eroute --add --eraf inet --src 10.1.0.0 --dst 10.9.0.0/16 --said %pass\n"
    reading, collector = play(bad + ADD)
    assert collector.errors
    assert reading.listing is not None
    assert (len(reading.listing.eroutes), len(reading.listing.unread)) == (1, 1)
    assert reading.refused == {"eroute": 1}


def test_groups_in_pairs_and_taken_apart() -> None:
    comp = "ipsec spi --said comp0x1002@198.51.100.1 --src 192.0.2.1 --comp deflate\n"
    pair = "ipsec spigrp --said {}0x1002@198.51.100.1 {}0x1002@198.51.100.1\n"
    both = TUN + comp + ESP + pair.format("tun", "comp") + pair.format("comp", "esp")
    assert [len(group.saids) for group in play(both)[0].groups] == [3]
    alone = both + "ipsec spigrp --said esp0x1002@198.51.100.1\n"
    assert play(alone)[0].groups == []
    assert play(both + "ipsec spi --clear\n")[0].associations == []
    delete = "ipsec spi --del --said {}0x1002@198.51.100.1\n"
    taken = delete.format("tun") + delete.format("comp") + delete.format("esp")
    assert [len(group.saids) for group in play(both + delete.format("tun"))[0].groups] == [2]
    assert [len(group.saids) for group in play(both + taken + both)[0].groups] == [3]
    gone = play(TUN + "ipsec spi --del --said tun0x1002@198.51.100.1\n")[0]
    assert gone.associations == []


def test_what_an_inbound_group_accepts() -> None:
    accept = (
        "ipsec eroute --addin --eraf inet --src 10.2.0.0/16 --dst 10.1.0.0/16"
        " --said tun0x1002@198.51.100.1\n"
    )
    reading, _ = play(TUN + ESP + GROUP + accept)
    tunnel = reading.associations[0]
    assert tunnel.inbound
    assert tunnel.policy is not None
    assert [str(network) for network in tunnel.policy] == ["10.2.0.0/16", "10.1.0.0/16"]


def test_interfaces_addresses_and_routes() -> None:
    reading, collector = play(
        "ipsec tncfg --attach --virtual ipsec0 --physical eth0\n"
        "ipsec tncfg --attach --virtual ipsec1 --physical eth1\n"
        "ipsec tncfg --detach --virtual ipsec1\n"
        "ifconfig ipsec0 192.0.2.1 netmask 255.255.255.0 up\n"
        "ip addr add 10.1.0.1/16 dev eth1\n"
        "ip -6 addr add 2001:db8::1/64 dev eth1\n"
        "route add -net 10.2.0.0 netmask 255.255.0.0 dev ipsec0\n"
        "route add -host 10.3.0.1 gw 192.0.2.9\n"
        "ip route add 10.4.0.0/16 via 192.0.2.9 dev ipsec0\n"
        "ip route add default dev ipsec0\n"
    )
    assert collector.items == []
    assert [(a.device, a.physical) for a in reading.attachments] == [("ipsec0", "eth0")]
    assert [(a.device, str(a.network)) for a in reading.addresses] == [
        ("ipsec0", "192.0.2.1/24"),
        ("eth1", "10.1.0.1/16"),
        ("eth1", "2001:db8::1/64"),
    ]
    assert [(str(r.destination), r.device) for r in reading.routes] == [
        ("10.2.0.0/16", "ipsec0"),
        ("10.3.0.1/32", ""),
        ("10.4.0.0/16", "ipsec0"),
        ("0.0.0.0/0", "ipsec0"),
    ]


def test_transcripts() -> None:
    for prompt in ("west # ", "[root@gw ~]# ", "root@gw:/etc# ", "+ ", "$ "):
        assert eroutes(prompt + ADD + prompt + "ipsec look\n") == ["10.2.0.0/16 %pass"], prompt


def test_comments_are_no_prompts() -> None:
    assert eroutes(f"#!/bin/sh\n# {ADD}") == []
    assert eroutes(f"true\n# {ADD}") == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("route del -net 10.2.0.0 netmask 255.255.0.0", []),
        ("route del -net 10.2.0.0/16 dev ipsec0", []),
        ("ip route del 10.2.0.0/16", []),
        ("ip route flush dev ipsec0", []),
        ("ip r flush table main", []),
        ("ip link set dev ipsec0 down", []),
        ("ifconfig ipsec0 down", []),
        ("ifconfig ipsec0 0.0.0.0", []),
        ("ip route replace 10.2.0.0/16 dev eth1", ["eth1"]),
        ("ip route change 10.2.0.0/16 via 192.0.2.9 dev eth1", ["eth1"]),
        ("ip route add 10.2.0.0/16 dev eth1", ["ipsec0"]),
        ("ip route append 10.2.0.0/16 dev eth1", ["ipsec0", "eth1"]),
        ("ip route prepend 10.2.0.0/16 dev eth1", ["eth1", "ipsec0"]),
        ("route add -net 10.2.0.0/16 dev eth1", ["eth1", "ipsec0"]),
        ("ip route add 10.2.0.0/16 dev eth1 table 7", ["ipsec0", "eth1"]),
        ("ip route flush cache", ["ipsec0"]),
        ("ip -6 route flush table main", ["ipsec0"]),
        ("ip route show", ["ipsec0"]),
        ("ip route del 10.2.0.0/16 dev eth7", ["ipsec0"]),
        ("route -n", ["ipsec0"]),
    ],
)
def test_routes_come_and_go(more: str, expected: list[str]) -> None:
    reading, _ = play(f"ip route add 10.2.0.0/16 dev ipsec0\n{more}\n{ADD}")
    assert [route.device for route in reading.routes] == expected


@pytest.mark.parametrize(
    ("command", "destination", "device", "kind"),
    [
        ("route add -net 10.0.0.0 dev ipsec0", "10.0.0.0/8", "ipsec0", "unicast"),
        ("ip -6 route add default dev ipsec0", "::/0", "ipsec0", "unicast"),
        ("ip -f inet6 route add unreachable default", "::/0", "", "unreachable"),
        ("route add -net 172.16.0.0 ipsec0", "172.16.0.0/16", "ipsec0", "unicast"),
        (
            "route add -net 192.168.7.0 gw 192.0.2.9 dev ipsec0",
            "192.168.7.0/24",
            "ipsec0",
            "unicast",
        ),
        ("route add default gw 192.0.2.9", "0.0.0.0/0", "", "unicast"),
        ("route -A inet6 add 2001:db8::/32 dev ipsec0", "2001:db8::/32", "ipsec0", "unicast"),
        ("route add -net 10.9.0.0/16 reject", "10.9.0.0/16", "", "unreachable"),
        ("ip -6 route add 2001:db8::/32 dev ipsec0", "2001:db8::/32", "ipsec0", "unicast"),
        ("ip route add blackhole 10.9.0.0/16", "10.9.0.0/16", "", "blackhole"),
        ("ip ro a 10.9.0.0/16 dev ipsec1 metric 7", "10.9.0.0/16", "ipsec1", "unicast"),
    ],
)
def test_forms_of_route_commands(command: str, destination: str, device: str, kind: str) -> None:
    (route,) = play(f"{command}\n{ADD}")[0].routes
    assert (str(route.destination), route.device, route.kind) == (destination, device, kind)


def test_routing_rules_and_addresses_come_and_go() -> None:
    text = (
        "ip rule add from 10.1.0.0/16 table 7 pref 100\nip rule add fwmark 0x1 lookup 8\n"
        "ip addr add 10.1.0.1/16 dev eth1\nip addr add 10.9.0.1/16 dev eth2\n"
        "ip addr del 10.9.0.1/16 dev eth2\nifconfig eth3 10.8.0.1 netmask 255.255.255.0\n"
        "ip addr flush dev eth3\n"
    )
    reading, _ = play(text + ADD)
    assert [(rule.priority, rule.table) for rule in reading.rules] == [(100, "7"), (32764, "8")]
    assert [(a.device, str(a.network)) for a in reading.addresses] == [("eth1", "10.1.0.1/16")]
    reading, _ = play(text + "ip rule del from 10.1.0.0/16 table 7\n" + ADD)
    assert [rule.table for rule in reading.rules] == ["8"]


@pytest.mark.parametrize(
    "command",
    [
        "if [ -e /x ]; then ip route add 10.2.0.0/16 dev ipsec0; fi",
        "ip route add $(cat net) dev ipsec0",
        "route add -net $NET dev ipsec0",
    ],
)
def test_a_route_that_is_not_certain_is_told(command: str) -> None:
    reading, collector = play(f"{command}\n{ADD}")
    assert reading.routes == []
    assert "ET172" in [item.code for item in collector.items]


def test_a_key_that_became_part_of_another_word_is_not_shown() -> None:
    """Where a line end is lost, the variable of an address takes the key of the next line."""
    text = (
        f"PEER=198.51.100.1KEY={KEY}\n"
        "ipsec spi --said tun0x1002@$PEER --ip4 --src 192.0.2.1 --dst $PEER\n"
        f"ipsec eroute --add --eraf inet --src 10.0.0.0/8 --dst $PEER AUTH={AUTH[2:]}\n"
    )
    _, collector = play(text)
    assert len(collector.errors) >= 2
    shown = "".join(i.message + i.excerpt + i.hint + i.expected for i in collector.items)
    assert KEY[2:] not in shown
    assert AUTH[2:] not in shown
    assert "*" * len(KEY) in shown
