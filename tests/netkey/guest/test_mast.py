"""The output for a MAST host, on packets: marked for the SA, passed, dropped, rejected.

The guest has no MAST; a dummy device stands in the place of mast0, and what is routed into it is
what KLIPS would have been given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from eroute_translate.render import Target
from tests.netkey.bed import V4, V6, Addresses, Bed, Wire
from tests.translated import rendered, row

if TYPE_CHECKING:
    from collections.abc import Iterator

REJECTED: Final = {V4: "10.2.9.1", V6: "fd00:2:0:9::1"}
DROPPED: Final = {V4: "10.2.8.1", V6: "fd00:2:0:8::1"}


def host(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def table() -> str:
    return "".join(
        row(net.sender_net, net.everything, f"tun0x1002@{net.peer}")
        + row(net.sender_net, net.receiver_net, f"tun0x1004@{net.peer}")
        + row(net.sender_net, net.part, "%pass")
        + row(net.sender_net, host(DROPPED[net]), "%drop")
        + row(net.sender_net, host(REJECTED[net]), "%reject")
        for net in (V4, V6)
    )


@pytest.fixture(scope="module")
def mast() -> Iterator[Bed]:
    """A bed of its own, for rules and routes that no reset takes back."""
    # By the old interface: user-mode Linux has no nftables for IP.
    script = re.sub(r"\b(ip6?tables)(-restore)?\b", r"\1-legacy\2", rendered(table(), Target.MAST))
    with Bed() as bed:
        bed.gateway.ip("link add mast0 type dummy", "link set mast0 up")
        bed.gateway.run("dash", text="ipsec() { :; }  # not of this host\n" + script)
        for program in ("iptables-legacy", "ip6tables-legacy"):
            for mark in range(1, 5):
                rule = ("POSTROUTING", "-m", "mark", "--mark", f"{0x80000000 | mark << 16:#x}")
                bed.gateway.run(program, "-w", "-t", "mangle", "-A", *rule)
        yield bed


def marked(bed: Bed, net: Addresses) -> set[int]:
    """The marks of the packets that left since the last call."""
    program = "iptables-legacy" if net is V4 else "ip6tables-legacy"
    shown = bed.gateway.run(program, "-w", "-t", "mangle", "-nvxZ", "-L", "POSTROUTING")
    lines = [line.split() for line in shown.splitlines() if "mark match" in line]
    return {int(words[-1], 16) for words in lines if int(words[0])}


def sent(bed: Bed, net: Addresses, local: bool, target: str) -> tuple[list[str], list[str]]:
    """What was seen in mast0 and on the wire, and errors that came back to a forwarded sender."""
    source = net.gateway_inside if local else net.sender
    sender = bed.gateway if local else bed.sender
    marked(bed, net)
    inside = Wire(bed.gateway, "mast0")
    with inside.capture() as klips, bed.wire.capture() as middle, bed.lan.capture() as lan:
        with sender.udp(source) as socket:
            try:
                socket.sendto(b"payload", (target, 9))
            except PermissionError:
                return ["EPERM"], []
        seen = [
            f"{place} {p.protocol}"
            for place, capture in (("mast0", klips), ("wire", middle))
            for p in capture.settled(0.02)
            if p.target == target
        ]
        errors = [
            f"{p.type}/{p.code}"
            for p in lan.take()
            if p.target == source and p.inner and p.source != target
        ]
    return seen, errors


@pytest.mark.parametrize("net", [V4, V6], ids=["v4", "v6"])
@pytest.mark.parametrize("local", [False, True], ids=["forwarded", "local"])
def test_mast(mast: Bed, net: Addresses, local: bool) -> None:
    elsewhere = "198.51.100.1" if net is V4 else "2001:db8:9::1"
    # SArefs are numbered in the order of the rules; IPv6 comes first.
    wide, narrow = (2, 1) if net is V6 else (4, 3)
    assert sent(mast, net, local, elsewhere) == (["mast0 udp"], [])
    assert marked(mast, net) == {0x80000000 | wide << 16}
    assert sent(mast, net, local, net.receiver) == (["mast0 udp"], [])
    assert marked(mast, net) == {0x80000000 | narrow << 16}
    assert sent(mast, net, local, net.other) == (["wire udp"], [])
    assert marked(mast, net) == set()
    dropped = sent(mast, net, local, DROPPED[net])
    assert dropped == (["EPERM"] if local else [], [])
    refused = "3/13" if net is V4 else "1/1"
    rejected = sent(mast, net, local, REJECTED[net])
    assert rejected == (["EPERM"], []) if local else ([], [refused])


def test_own_ike_is_not_marked(mast: Bed, net: Addresses) -> None:
    with mast.gateway.udp(net.gateway_inside, 500) as own, mast.wire.capture() as middle:
        own.sendto(b"ike", (net.receiver, 500))
        assert [p.protocol for p in middle.settled(0.02) if not p.outgoing] == ["udp"]
    with mast.sender.udp(net.sender, 500) as behind, mast.wire.capture() as middle:
        behind.sendto(b"ike", (net.receiver, 500))
        assert [p.protocol for p in middle.settled(0.02) if not p.outgoing] == []
