"""ipsec.conf: sections, also, %default, include; manual and automatic keying; policy groups."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector
from eroute_translate.klips.conf import looks_like_conf, read_conf
from eroute_translate.klips.configuration import reading_of_configuration
from eroute_translate.klips.connection import Configuration
from eroute_translate.klips.policy_groups import read_policy_group
from eroute_translate.klips.reading import Reading
from eroute_translate.klips.said import format_said
from eroute_translate.net import parse_address

LOCAL = (parse_address("192.0.2.1"),)
KEY, AUTH = "0x" + "0123456789abcdef" * 3, "0x" + "0f" * 16


def conf(text: str, **files: str) -> tuple[Configuration, Collector]:
    collector = Collector()

    def include(pattern: str, _source: str) -> list[tuple[str, bytes]]:
        return [(n, t.encode()) for n, t in files.items() if pattern in (n, "*")]

    return read_conf(text.encode(), "ipsec.conf", collector, include=include), collector


def reading(text: str, **groups: str) -> tuple[Reading, Collector]:
    found, collector = conf(text)
    members = {
        name: read_policy_group(lines.encode(), name, collector) for name, lines in groups.items()
    }
    return reading_of_configuration(found, LOCAL, collector, "ipsec.conf", members), collector


def eroutes(text: str, **groups: str) -> list[str]:
    """Each eroute in one line."""
    listing = reading(text, **groups)[0].listing
    if listing is None:
        return []
    return [
        f"{e.selector} => {' '.join(format_said(said) for said in e.saids)}"
        for e in listing.eroutes
    ]


def codes(collector: Collector) -> list[str]:
    return [item.code for item in collector.items]


CONN = """\
conn a
	left=192.0.2.1
	leftsubnet=10.1.0.0/16
	right=198.51.100.1
	rightsubnet=10.2.0.0/16
"""


def test_what_it_is() -> None:
    assert looks_like_conf(CONN)
    assert looks_like_conf("# c\nversion 2\nconfig setup\n\tinterfaces=%defaultroute\n")
    assert not looks_like_conf("ipsec eroute --add\n")
    assert not looks_like_conf("0 10.0.0.0/8 -> 10.1.0.0/16 => %pass\n")


def test_sections_and_values() -> None:
    found, collector = conf(
        'version 2.0\nconfig setup\n\tinterfaces="ipsec0=eth0 ipsec1=eth1"\n\n'
        "# comment\nconn a # one\n\tleft=1.2.3.4\n  \n\t# inside\n\tright = 5.6.7.8 # behind\n"
        'ca x\n\tcacert=y\nconn b\n\tleftid="@a b"\n'
    )
    assert codes(collector) == []
    assert found.setup["interfaces"].value == "ipsec0=eth0 ipsec1=eth1"
    assert [c.name for c in found.connections] == ["a", "b"]
    first, second = found.connections
    assert (first.value("left"), first.value("right")) == ("1.2.3.4", "5.6.7.8")
    assert second.value("leftid") == "@a b"
    place = first.settings["right"].span
    assert (place.line, place.column) == (10, 2)


def test_default_and_also() -> None:
    found, collector = conf(
        "conn %default\n\tpfs=no\n\tauto=add\nconn base\n\tleft=1.2.3.4\n\tauto=start\n"
        "\talso=deep\nconn deep\n\tike=3des-md5\n\tpfs=yes\nconn a\n\talso=base\n\tleft=9.9.9.9\n"
        "conn f\n\talsoflip=base\n"
    )
    assert codes(collector) == []
    by_name = {c.name: c for c in found.connections}
    a = by_name["a"]
    assert [a.value(n) for n in ("left", "auto", "ike", "pfs")] == [
        "9.9.9.9",
        "start",
        "3des-md5",
        "yes",
    ]
    assert by_name["f"].value("right") == "1.2.3.4"
    assert by_name["base"].included
    assert not by_name["a"].included


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("stray line\n", "ET160"),
        ("\tleft=1.2.3.4\n", "ET160"),
        ("conn a\n\tno equals sign\n", "ET160"),
        ("conn a b\n\tleft=1\n", "ET160"),
        ("config other\n\tx=y\n", "ET160"),
        ("conn a\n\tlefft=1.2.3.4\n", "ET161"),
        ("config setup\n\tklipsdebgu=none\n", "ET161"),
        ("conn a\n\talso=nobody\n", "ET162"),
        ("conn a\n\talso=b\nconn b\n\talso=a\n", "ET162"),
        ("include nowhere.conf\n", "ET163"),
        ("conn a\n\tauto=add\nconn a\n\tauto=add\n", "ET164"),
        ("conn a\n\tauto=add\n\tauto=start\n", "ET164"),
        (f"conn a\n\tespenckey={KEY}0\n", "ET165"),
    ],
)
def test_what_is_wrong_is_told(text: str, code: str) -> None:
    collector = conf(text)[1]
    assert code in codes(collector)
    assert all(KEY[2:] not in item.message + item.excerpt for item in collector.items)


def test_a_line_that_may_hold_a_key_is_not_shown() -> None:
    collector = conf(f"conn a\n\tespenckey {KEY}\n\tespenckey{KEY}\n")[1]
    assert codes(collector) == ["ET160", "ET160"]
    assert all(KEY[2:10] not in item.excerpt + item.message for item in collector.items)


def test_includes() -> None:
    found, collector = conf("include one\nconn z\n\tauto=add\n", one="include two\n", two=CONN)
    assert codes(collector) == []
    assert [c.name for c in found.connections] == ["a", "z"]
    assert found.connections[0].span.file == "two"
    collector = conf("include loop\n", loop="include loop\n")[1]
    assert codes(collector) == ["ET163"]


# -- automatic keying

TUNNEL = "10.1.0.0/16 -> 10.2.0.0/16 => tun0x0@198.51.100.1 esp0x0@198.51.100.1"


@pytest.mark.parametrize("auto", ["start", "add", "route"])
def test_a_tunnel(auto: str) -> None:
    assert eroutes(f"{CONN}\tauto={auto}\n") == [TUNNEL]


@pytest.mark.parametrize(
    ("setting", "group"),
    [
        ("compress=yes", "tun comp esp"),
        ("auth=ah", "tun esp ah"),
        ("phase2=ah", "tun ah"),
        ("type=tunnel", "tun esp"),
    ],
)
def test_groups(setting: str, group: str) -> None:
    (row,) = eroutes(f"{CONN}\tauto=start\n\t{setting}\n")
    assert [word.partition("0x")[0] for word in row.split("=> ")[1].split()] == group.split()


@pytest.mark.parametrize(
    ("kind", "shunt"), [("passthrough", "%pass"), ("drop", "%drop"), ("reject", "%reject")]
)
def test_shunts(kind: str, shunt: str) -> None:
    assert eroutes(f"{CONN}\tauto=route\n\ttype={kind}\n") == [
        TUNNEL.split("=>", maxsplit=1)[0] + f"=> {shunt}"
    ]


def test_transport_hosts_and_ports() -> None:
    text = (
        "conn t\n\tleft=192.0.2.1\n\tright=198.51.100.1\n\ttype=transport\n\tauto=start\n"
        "\tleftprotoport=17/1701\n\trightprotoport=udp/%any\n"
    )
    assert eroutes(text) == [
        "192.0.2.1/32 -> 198.51.100.1/32 udp port 1701 -> any => esp0x0@198.51.100.1"
    ]


def test_the_other_side_may_be_ours() -> None:
    turned = CONN.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")
    assert eroutes(f"{turned}\tauto=start\n") == [TUNNEL]
    assert eroutes(f"{CONN.replace('left=192.0.2.1', 'left=%defaultroute')}\tauto=start\n") == [
        TUNNEL
    ]


def test_several_subnets() -> None:
    text = CONN.replace("rightsubnet=10.2.0.0/16", 'rightsubnets="{10.2.0.0/16 10.3.0.0/16}"')
    assert len(eroutes(f"{text}\tauto=start\n")) == 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("192.0.2.1", "203.0.113.5"), "ET168"),
        (("right=198.51.100.1", "right=%any"), "ET169"),
        (("right=198.51.100.1\n\trightsubnet=10.2.0.0/16", "right=%any"), "ET169"),
        (("198.51.100.1", "gateway.example.org"), "ET167"),
        (("10.2.0.0/16", "10.2.0.0/40"), "ET167"),
        (("right=198.51.100.1", "auto=start"), "ET167"),
        (("rightsubnet=10.2.0.0/16", "rightprotoport=nosuch/5"), "ET167"),
    ],
)
def test_connections_without_an_eroute_are_told(change: tuple[str, str], code: str) -> None:
    found, collector = reading(f"{CONN.replace(*change)}\tauto=start\n")
    assert code in codes(collector)
    # An error is an entry that was refused; a peer that may come is none.
    if collector.errors:
        assert found.listing is not None
        assert (len(found.listing.eroutes), len(found.listing.unread)) == (0, 1)
        assert found.refused == {"connection": 1}
    else:
        assert found.listing is None


@pytest.mark.parametrize("auto", ["", "\tauto=ignore\n"])
def test_what_nothing_started_has_no_eroute(auto: str) -> None:
    found, collector = reading(CONN + auto)
    assert found.listing is None
    assert codes(collector) == ["ET171"]


def test_two_connections_for_one_selector() -> None:
    text = f"{CONN}\tauto=start\n{CONN.replace('conn a', 'conn b')}\tauto=start\n\tcompress=yes\n"
    found, collector = reading(text)
    assert found.listing is not None
    assert (len(found.listing.eroutes), len(found.listing.repeats)) == (1, 1)
    assert codes(collector) == ["ET113"]


# -- policy groups


def test_policy_groups() -> None:
    setup = "config setup\n\tinterfaces=%defaultroute\n"
    rows = eroutes(
        setup,
        clear="10.9.0.0/16\n# c\n10.8.0.1\n",
        block="10.7.0.0/16 # c\n",
        private="10.6.0.0/16\n",
        unknown="10.5.0.0/16\n",
    )
    assert rows == [
        "192.0.2.1/32 -> 10.8.0.1/32 => %pass",
        "192.0.2.1/32 -> 10.9.0.0/16 => %pass",
        "192.0.2.1/32 -> 10.7.0.0/16 => %reject",
        "192.0.2.1/32 -> 10.6.0.0/16 => %trap",
    ]
    assert "ET166" in codes(reading(setup, clear="nonsense\n")[1])
    assert "ET166" in codes(reading(setup, clear="2001:db8::/32\n")[1])


# -- manual keying

MANUAL = f"{CONN}\tspibase=0x1000\n\tesp=3des-md5-96\n\tespenckey={KEY}\n\tespauthkey={AUTH}\n"


def saids(found: Reading) -> list[str]:
    return [format_said(association.said) for association in found.associations]


def test_manual_tunnels() -> None:
    found, collector = reading(MANUAL + "\tespreplay_window=32\n")
    assert codes(collector) == []
    assert saids(found) == [
        "tun0x1000@198.51.100.1",
        "esp0x1002@198.51.100.1",
        "tun0x1001@192.0.2.1",
        "esp0x1003@192.0.2.1",
    ]
    assert [a.inbound for a in found.associations] == [False, False, True, True]
    assert {a.replay_window for a in found.associations if a.encryption} == {32}
    assert [[format_said(s) for s in group.saids] for group in found.groups] == [
        ["tun0x1000@198.51.100.1", "esp0x1002@198.51.100.1"],
        ["tun0x1001@192.0.2.1", "esp0x1003@192.0.2.1"],
    ]
    assert eroutes(MANUAL) == [
        "10.1.0.0/16 -> 10.2.0.0/16 => tun0x1000@198.51.100.1 esp0x1002@198.51.100.1"
    ]


def test_manual_keying_seen_from_the_right() -> None:
    found, _ = conf(MANUAL)
    collector = Collector()
    there = reading_of_configuration(found, [parse_address("198.51.100.1")], collector, "c")
    assert [(format_said(a.said), a.inbound) for a in there.associations] == [
        ("tun0x1001@192.0.2.1", False),
        ("esp0x1003@192.0.2.1", False),
        ("tun0x1000@198.51.100.1", True),
        ("esp0x1002@198.51.100.1", True),
    ]


def test_keys_and_spis_of_each_side() -> None:
    other = "0x" + "fedcba9876543210" * 3
    text = MANUAL.replace(f"espenckey={KEY}", f"leftespenckey={KEY}\n\trightespenckey={other}")
    text += "\tah=hmac-sha1-96\n\tahkey=0x" + "0e" * 20 + "\n\trightahspi=0x777\n"
    found, collector = reading(text)
    assert codes(collector) == []
    assert saids(found) == [
        "tun0x1000@198.51.100.1",
        "esp0x1002@198.51.100.1",
        "ah0x777@198.51.100.1",
        "tun0x1001@192.0.2.1",
        "esp0x1003@192.0.2.1",
        "ah0x1005@192.0.2.1",
    ]
    keys = [a.encryption_key.reveal().hex() for a in found.associations if a.encryption_key]
    assert keys == [other[2:], KEY[2:]]


def test_one_spi_for_all_and_transport() -> None:
    text = MANUAL.replace("spibase=0x1000", "spi=0x321\n\ttype=transport")
    text = text.replace("\tleftsubnet=10.1.0.0/16\n", "").replace("\trightsubnet=10.2.0.0/16\n", "")
    found, _ = reading(text)
    assert saids(found) == ["esp0x321@198.51.100.1", "esp0x321@192.0.2.1"]
    assert eroutes(text) == ["192.0.2.1/32 -> 198.51.100.1/32 => esp0x321@198.51.100.1"]
    based = text.replace("spi=0x321", "spibase=0x320")
    assert saids(reading(based)[0]) == ["esp0x320@198.51.100.1", "esp0x321@192.0.2.1"]


@pytest.mark.parametrize(
    "change",
    [
        ("spibase=0x1000", "spibase=0x1001"),
        ("spibase=0x1000", "spi=0x20"),
        ("\tspibase=0x1000\n", ""),
        ("esp=3des-md5-96", "esp=rot13"),
        ("\tesp=3des-md5-96\n", ""),
        (f"\tespauthkey={AUTH}\n", ""),
        ("esp=3des-md5-96", "esp=aes256-md5"),
        ("spibase=0x1000", "spibase=0x1000\n\tespreplay_window=65"),
    ],
)
def test_manual_keying_that_is_not_complete(change: tuple[str, str]) -> None:
    found, collector = reading(MANUAL.replace(*change))
    assert codes(collector) == ["ET170"]
    assert found.associations == []
    assert all(KEY[2:] not in item.message for item in collector.items)


# -- config setup


def test_setup() -> None:
    found, _ = reading(
        'config setup\n\tinterfaces="ipsec0=eth0 ipsec1=ppp0"\n\thidetos=no\n\tfragicmp=no\n'
        "\toverridemtu=1400\n\tpacketdefault=pass\n"
    )
    assert [(a.device, a.physical, a.mtu) for a in found.attachments] == [
        ("ipsec0", "eth0", 1400),
        ("ipsec1", "ppp0", 1400),
    ]
    assert (found.parameters["tos"], found.parameters["icmp"]) == ("0", "0")
    assert found.listing is not None
    assert len(found.listing.eroutes) == 1
    found, _ = reading("config setup\n\tinterfaces=%defaultroute\n")
    assert (found.parameters["tos"], found.parameters["icmp"]) == ("1", "1")
    assert "ET167" in codes(reading("config setup\n\tinterfaces=nonsense\n")[1])


def test_a_manual_connection_that_cannot_be_keyed_is_refused_with_its_packets() -> None:
    text = f"{CONN}\tesp=3des-md5-96\n\tspi=0x200\n\tespenckey=0x0011\n"
    found, collector = reading(text)
    assert codes(collector) == ["ET170"]
    assert found.listing is not None
    (eroute,) = found.listing.eroutes
    assert eroute.defect == "ET170"
    assert str(eroute.selector.destination) == "10.2.0.0/16"
    assert found.routes == []


def test_the_networks_of_peers_are_routed_into_the_first_device() -> None:
    setup = 'config setup\n\tinterfaces="ipsec1=ppp0"\n'
    found, _ = reading(f"{setup}{CONN}\tauto=start\n")
    assert [(str(r.destination), r.device) for r in found.routes] == [("10.2.0.0/16", "ipsec1")]
    passing, _ = reading(f"{CONN}\ttype=passthrough\n\tauto=route\n")
    assert passing.routes == []
