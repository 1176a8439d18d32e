"""``--interface xfrm``: links in the place of ipsecN, policies and states bound to them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from eroute_translate.cli import main
from eroute_translate.diagnostics import Collector, Severity
from eroute_translate.klips.assembly import host_of_readings
from eroute_translate.klips.interface import is_virtual
from eroute_translate.klips.script import read_script
from eroute_translate.klips.source import read_source
from eroute_translate.mapping.interfaces import with_interfaces
from eroute_translate.mapping.links import Link, LinkRoute
from eroute_translate.mapping.model import Options
from eroute_translate.mapping.translation import Translation, translate
from eroute_translate.net import parse_address, parse_prefix
from tests.netns.spaces import ip, namespaces
from tests.translated import translated

KEYS = "--enckey 0x" + "01" * 24 + " --authkey 0x" + "02" * 16
ONE = f"""\
ipsec tncfg --attach --virtual ipsec0 --physical eth0
ipsec spi --said tun0x1000@198.51.100.1 --ip4 --src 192.0.2.1 --dst 198.51.100.1
ipsec spi --said esp0x1002@198.51.100.1 --src 192.0.2.1 --esp 3des-md5-96 {KEYS}
ipsec spigrp --said tun0x1000@198.51.100.1 esp0x1002@198.51.100.1
ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 10.2.0.0/16 --said tun0x1000@198.51.100.1
"""
NONE = "0.0.0.0"  # noqa: S104 - no gateway, every destination
ROUTES = "Kernel IP routing table\nDestination Gateway Genmask Flags MSS Window irtt Iface\n"


def route(destination: str, gateway: str, mask: str, device: str) -> str:
    flags = "U" if gateway == NONE else "UG"
    return f"{destination} {gateway} {mask} {flags} 0 0 0 {device}\n"


def bound(script: str, routes: str = "", attached: tuple[tuple[str, str], ...] = ()) -> Translation:
    collector = Collector()
    readings = [read_script(script.encode(), "script", collector)]
    if routes:
        readings += read_source((ROUTES + routes).encode(), "routes", collector)
    host = host_of_readings(readings, None, collector)
    options = Options(local=(parse_address("192.0.2.1"),))
    return with_interfaces(translate(host, options), attached)


def errors(translation: Translation) -> list[str]:
    return [d.code for d in translation.findings if d.severity is Severity.ERROR]


def test_policies_and_states_get_the_if_id_of_the_link() -> None:
    found = bound(ONE)
    assert found.interfaces is not None
    assert found.interfaces.links == (Link("ipsec0", "eth0", 1_000_001),)
    policies = list(found.policies())
    assert [p.direction for p in policies] == ["out", "in", "fwd"]
    assert {p.if_id for p in policies} == {1_000_001}
    states = [carried.state for carried in found.states if carried.state is not None]
    assert [(s.if_id, s.reqid) for s in states] == [(1_000_001, policies[0].templates[0].reqid)]
    assert errors(found) == []


def test_what_every_packet_met_is_said_no_more() -> None:
    codes = {d.code for d in bound(ONE).findings}
    assert not codes & {"ET212", "ET214", "ET215"}
    assert {"ET265", "ET267"} <= codes  # no route is known


def test_old_routes_lead_into_the_link_and_peers_go_around_it() -> None:
    routes = (
        route("192.0.2.0", NONE, "255.255.255.0", "eth0")
        + route("192.0.2.0", NONE, "255.255.255.0", "ipsec0")
        + route("10.2.0.0", "192.0.2.254", "255.255.0.0", "ipsec0")
        + route(NONE, "192.0.2.254", "128.0.0.0", "ipsec0")
        + route("128.0.0.0", "192.0.2.254", "128.0.0.0", "ipsec0")
        + route(NONE, "192.0.2.254", NONE, "eth0")
    )
    found = bound(ONE, routes)
    assert found.interfaces is not None
    # The network of the device itself stays where it is: its route is the first of two.
    assert found.interfaces.routes == (
        LinkRoute(parse_prefix("10.2.0.0/16"), "ipsec0"),
        LinkRoute(parse_prefix("0.0.0.0/1"), "ipsec0"),
        LinkRoute(parse_prefix("128.0.0.0/1"), "ipsec0"),
    )
    gateway = parse_address("192.0.2.254")
    assert found.interfaces.around == (LinkRoute(parse_prefix("198.51.100.1/32"), "eth0", gateway),)


def test_a_peer_without_a_way_around_is_an_error() -> None:
    found = bound(ONE, route(NONE, NONE, NONE, "ipsec0"))
    assert "ET267" in errors(found)


def test_pass_is_refused_since_the_kernel_would_drop_it() -> None:
    more = "ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 10.3.0.0/16 --said %pass\n"
    found = bound(ONE + more)
    assert errors(found) == ["ET266"]
    assert found.refused == 1
    assert [p.action for p in found.outcomes[1].policies] == ["block"]
    finding = next(d for d in found.findings if d.code == "ET266")
    assert "ip route add 10.3.0.0/16 dev eth0" in finding.hint


def test_traps_and_drops_are_bound_too() -> None:
    more = "".join(
        f"ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 10.{n}.0.0/16 --said {said}\n"
        for n, said in ((3, "%trap"), (4, "%drop"), (5, "%hold"))
    )
    found = bound(ONE + more)
    assert errors(found) == []
    assert {p.if_id for p in found.policies()} == {1_000_001}


TWO = ONE.replace("eth0\n", "eth0\nipsec tncfg --attach --virtual ipsec1 --physical eth1\n")


def test_of_two_rows_for_one_policy_the_stronger_has_it() -> None:
    text = """\
0          10.1.0.0/16        -> 10.2.0.0/24        => tun0x1000@198.51.100.1
0          10.1.0.0/16        -> 10.2.0.5/24        => %drop
"""
    found = with_interfaces(translated(text), (("ipsec0", "eth0"),))
    policies = list(found.policies())
    assert len({policy.key for policy in policies}) == len(policies)
    assert [p.action for p in policies if p.direction == "out"] == ["allow"]


def test_of_several_links_the_route_decides() -> None:
    found = bound(TWO, route("10.2.0.0", NONE, "255.255.0.0", "ipsec1"))
    assert {p.if_id for p in found.policies()} == {1_000_002}
    assert errors(found) == []


def test_of_several_links_the_outer_source_decides_where_routes_do_not() -> None:
    found = bound("ip addr add 192.0.2.1/24 dev eth1\n" + TWO)
    assert {p.if_id for p in found.policies()} == {1_000_002}


def test_nobody_guesses_between_links() -> None:
    found = bound(TWO)
    assert "ET266" in errors(found)
    assert found.refused == 1
    assert {p.action for p in found.policies()} == {"block"}


def test_a_link_can_be_named() -> None:
    bare = ONE.partition("\n")[2]
    assert "ET266" in errors(bound(bare))
    found = bound(bare, attached=(("ipsec0", "ppp0"),))
    assert found.interfaces is not None
    assert found.interfaces.links == (Link("ipsec0", "ppp0", 1_000_001),)


@pytest.mark.parametrize("name", ["ipsec", "ipsecx", "mast0", "ipsec0 x", "ipsec١", "eth0"])
def test_names_that_are_not_of_klips(name: str) -> None:
    assert not is_virtual(name)


@pytest.mark.parametrize("physical", ["a b", "-x", "eth0;reboot", "x" * 16, "$(reboot)"])
def test_a_device_is_a_name_and_nothing_else(physical: str) -> None:
    found = bound(ONE.partition("\n")[2], attached=(("ipsec0", physical),))
    assert found.interfaces is not None
    assert found.interfaces.links == ()


def convert(tmp_path: Path, *words: str) -> tuple[int, str]:
    source, target = tmp_path / "source.sh", tmp_path / "output"
    source.write_text(ONE + "ip route add 10.2.0.0/16 dev ipsec0\n")
    fixed = ["convert", "-q", "--interface", "xfrm", "--local", "192.0.2.1", "-o", str(target)]
    code = main([*fixed, *words, str(source)])
    return code, target.read_text() if target.exists() else ""


@pytest.mark.parametrize("target", ["mast", "nftables", "swanctl", "libreswan"])
def test_targets_without_links_refuse(
    tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(tmp_path, "--to", target) == (2, "")
    assert "has no place for links and routes" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_apply_makes_no_links_and_says_so(
    tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source.sh"
    source.write_text(ONE)
    words = [verb, "--interface", "xfrm", "--state-folder", str(tmp_path), str(source)]
    assert main(words) == 2
    assert "convert --interface xfrm" in capsys.readouterr().err


@pytest.mark.kernel
def test_the_kernel_keeps_the_if_id(tmp_path: Path) -> None:
    code, batch = convert(tmp_path, "--to", "ip-batch")
    assert code == 0
    policies = "".join(f"{line}\n" for line in batch.splitlines() if line.startswith("xfrm policy"))
    with namespaces("links") as (space,):
        ip(space, "-batch", "-", text=policies)
        listed = ip(space, "xfrm", "policy")
        assert listed.count("if_id 0xf4241") == 3


STAND_IN = """#!/bin/sh
printf '%s ' "$@" >>"$LOG"
echo >>"$LOG"
case "$*" in
"link show dev ipsec0") [ -e "$LOG.link" ] ;;
"-details link show dev ipsec0") cat "$LOG.link" ;;
"link add"*) echo "    xfrm if_id 0xf4241 addrgenmode eui64" >"$LOG.link" ;;
"xfrm state get"*) exit 1 ;;
"-4 route show exact"*) [ ! -e "$LOG.route" ] || echo there ;;
"-4 route add"*) : >"$LOG.route" ;;
-batch*) cat >/dev/null ;;
esac
"""


def test_the_script_makes_links_first_and_routes_last_and_can_run_again(tmp_path: Path) -> None:
    """With a stand-in for ``ip``: kernels without these links are not of few."""
    code, text = convert(tmp_path)
    assert code == 0
    programs, log = tmp_path / "programs", tmp_path / "log"
    programs.mkdir()
    (programs / "ip").write_text(STAND_IN)
    (programs / "ip").chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "LOG": str(log)}

    def run() -> list[str]:
        log.write_text("")
        done = subprocess.run(
            ["sh", "-c", text], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return [line.rstrip() for line in log.read_text().splitlines()]

    lines = run()
    changes = [line for line in lines if " add" in line or " update" in line or " up" in line]
    assert changes[0] == "link add name ipsec0 type xfrm dev eth0 if_id 0xf4241"
    assert [line.startswith("xfrm policy update") for line in changes[1:4]] == [True] * 3
    assert changes[4:] == ["link set dev ipsec0 up", "-4 route add 10.2.0.0/16 dev ipsec0"]
    again = run()
    assert not any(line.startswith(("link add", "-4 route add")) for line in again)
    (tmp_path / "log.link").write_text("    vlan id 5\n")
    done = subprocess.run(
        ["sh", "-c", text], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "not the xfrm link with if_id 0xf4241" in done.stderr
