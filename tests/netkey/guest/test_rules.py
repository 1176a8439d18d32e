"""Every rule of docs/mapping.md on the wire: a table translated, installed, and sent through.

Each test starts from the table as KLIPS printed it. ``local`` says where the packets on trial set
out: at the gateway itself or behind it.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.netkey import wire
from tests.netkey.bed import V4, V6, Addresses, Bed, Host
from tests.netkey.spd import Policy
from tests.netkey.translated import (
    AWAY,
    BACK,
    FIRST,
    Protocol,
    answer,
    command,
    install,
    look,
    policies,
    states,
)
from tests.translated import row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netkey.spd import Mode
    from tests.netkey.wire import Packet

Form = tuple[str, str, str, int | None]
CHAINS: list[tuple[Protocol, ...]] = [
    ("esp",),
    ("ah",),
    ("comp", "esp"),
    ("esp", "ah"),
    ("comp", "esp", "ah"),
]
QUIET = 0.02
"""Seconds without a packet after which none is to come: see Capture.settled."""
ASKING = ["%trap", "%trapsubnet", "%hold"]
BLOCKING = ["%drop", "%reject", "%unk-300", "(error)"]
OWN = 1_000_000_002
"""The priority of the first eroute of a table."""


@pytest.fixture(params=[False, True], ids=["forwarded", "local"])
def local(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=["strict", "klips"])
def inbound(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class End(NamedTuple):
    """A host and one of its addresses."""

    host: Host
    address: str


def near_end(bed: Bed, net: Addresses, local: bool) -> End:
    return End(bed.gateway, net.gateway_inside) if local else End(bed.sender, net.sender)


def far_end(bed: Bed, net: Addresses) -> End:
    return End(bed.receiver, net.receiver)


def gateways(bed: Bed, net: Addresses) -> tuple[End, End]:
    return End(bed.gateway, net.gateway), End(bed.peer, net.peer)


def host_net(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def tun(net: Addresses) -> str:
    """The SAID of a tunnel as /proc/net/ipsec_eroute prints it, without its group."""
    return f"tun0x1002@{net.peer}"


def another(bed: Bed, net: Addresses) -> tuple[End, str]:
    """A second address of the receiver, and a net in which it is and the first is not."""
    return End(bed.receiver, net.other), net.part


def forms(packets: list[Packet]) -> list[Form]:
    return [(p.source, p.target, p.protocol, p.spi) for p in packets]


def protected(net: Addresses, protocol: Protocol = "esp") -> list[Form]:
    """One packet from the gateway to the peer."""
    return [(net.gateway, net.peer, protocol, AWAY[protocol])]


def protected_back(net: Addresses, protocol: Protocol = "esp") -> list[Form]:
    return [(net.peer, net.gateway, protocol, BACK[protocol])]


def clear(source: End, target: End, protocol: str = "udp") -> list[Form]:
    return [(source.address, target.address, protocol, None)]


def exchange(
    bed: Bed, here: End, there: End, *, ports: tuple[int, int] = (40000, 9), size: int = 7
) -> tuple[list[Packet], list[Packet]]:
    """A UDP packet and one back: both must arrive. What left the gateway, what came to it."""
    data = b"z" * size
    with (
        here.host.udp(here.address, ports[0]) as near,
        there.host.udp(there.address, ports[1]) as far,
        bed.wire.capture() as middle,
    ):
        near.sendto(data, (there.address, ports[1]))
        seen, source = far.recvfrom(4096)
        assert (seen, source[:2]) == (data, (here.address, ports[0]))
        far.sendto(data, source)
        seen, source = near.recvfrom(4096)
        assert (seen, source[:2]) == (data, (there.address, ports[1]))
        packets = middle.settled(QUIET)
    return [p for p in packets if not p.outgoing], [p for p in packets if p.outgoing]


def send(here: End, there: End, ports: tuple[int, int] = (40000, 9)) -> int:
    """One UDP packet by a socket; the error that the sender is told, or 0."""
    with here.host.udp(here.address, ports[0]) as near:
        try:
            near.sendto(b"payload", (there.address, ports[1]))
        except OSError as error:
            return error.errno or -1
    return 0


def send_protocol(here: End, there: End, protocol: int, body: bytes) -> int:
    """One packet of another protocol by a socket, so that policies see the protocol."""
    family = socket.AF_INET6 if ":" in here.address else socket.AF_INET
    with here.host.inside(), socket.socket(family, socket.SOCK_RAW, protocol) as raw:
        raw.bind((here.address, 0))
        try:
            raw.sendto(body, (there.address, 0))
        except OSError as error:
            return error.errno or -1
    return 0


def lost(
    bed: Bed, here: End, there: End, ports: tuple[int, int] = (40000, 9)
) -> tuple[int, dict[str, int]]:
    """A packet that must vanish: nothing on the wire, no answer to who sent it.

    Says what the sender was told, and what the gateway counted.
    """
    with (
        bed.wire.capture() as middle,
        bed.lan.capture() as lan,
        bed.gateway.counting() as counted,
    ):
        told = send(here, there, ports)
        assert forms(middle.settled(QUIET)) == []
        assert [str(p) for p in lan.settled(QUIET) if p.target == here.address] == []
    return told, counted


def blocked(local: bool) -> tuple[int, dict[str, int]]:
    """What :func:`lost` says of a packet that an ``out`` policy blocked."""
    return (errno.EPERM if local else 0), {"XfrmOutPolBlock": 1}


def comes_in(bed: Bed, packet: bytes, local: bool) -> dict[str, int] | None:
    """Put a UDP packet on the wire: ``None`` if it arrives, else what the gateway counted."""
    seen = wire.read(packet)
    assert seen.target_port is not None
    target = bed.gateway if local else bed.sender
    with bed.gateway.counting() as counted, target.udp(seen.target, seen.target_port) as here:
        bed.inject(packet)
        here.settimeout(0.05)
        try:
            arrived = here.recv(4096) == seen.payload
        except TimeoutError:
            arrived = False
    if arrived:
        assert counted == {}
        return None
    assert counted
    return counted


CLEAR_REFUSED = {"XfrmInTmplMismatch": 1}


# ------------------------------------------------------------------------------------- tunnels


@pytest.mark.parametrize(
    ("chain", "size"),
    [*((chain, 7) for chain in CHAINS), *((chain, 600) for chain in CHAINS if "comp" in chain)],
    ids=lambda value: str(value) if isinstance(value, int) else "+".join(value),
)
def test_tunnel(
    bed: Bed, net: Addresses, local: bool, chain: tuple[Protocol, ...], size: int
) -> None:
    install(bed.gateway, look(net.sender_net, net.receiver_net, net.peer, *chain))
    answer(bed, net, *chain)
    with bed.gateway.counting() as counted:
        away, back = exchange(bed, near_end(bed, net, local), far_end(bed, net), size=size)
    assert forms(away) == protected(net, chain[-1])
    assert forms(back) == protected_back(net, chain[-1])
    assert counted == {}
    header = 20 if net is V4 else 40
    inner = header + 8 + size
    if chain == ("esp",):
        assert away[0].length == header + wire.esp_length(inner, block=16, iv=16, icv=12)
    elif chain == ("ah",):
        assert away[0].icv == 12
        assert away[0].inner is not None
        assert away[0].inner.payload == b"z" * size
    elif chain == ("esp", "ah"):
        assert forms([p for p in (away[0].inner,) if p]) == protected(net)
    if "comp" in chain:
        compressed = size == 600
        assert (away[0].length < 250) == (compressed or size < 100)
        assert bed.gateway.xfrm.state(AWAY["comp"]).packets == 1
        assert (away[0].length < inner) == compressed


@pytest.mark.parametrize("known", [False, True], ids=["any-source", "local"])
def test_tunnel_assumed(bed: Bed, net: Addresses, local: bool, known: bool, inbound: str) -> None:
    given: dict[str, Any] = {"local": net.gateway} if known else {}
    install(bed.gateway, row(net.sender_net, net.receiver_net, tun(net)), inbound=inbound, **given)
    answer(bed, net, "esp")
    away, back = exchange(bed, near_end(bed, net, local), far_end(bed, net))
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))


def test_a_wrong_assumption_lets_nothing_out(bed: Bed, net: Addresses, local: bool) -> None:
    install(bed.gateway, row(net.sender_net, net.receiver_net, tun(net)))
    answer(bed, net, "ah")
    _, counted = lost(bed, near_end(bed, net, local), far_end(bed, net))
    assert counted == {"XfrmOutNoStates": 1}
    bed.gateway.xfrm.flush_policies()
    install(bed.gateway, row(net.sender_net, net.receiver_net, tun(net)), assume=(51,))
    away, _ = exchange(bed, near_end(bed, net, local), far_end(bed, net))
    assert forms(away) == protected(net, "ah")


@pytest.mark.parametrize(("net", "outer"), [(V4, V6), (V6, V4)], ids=["4-in-6", "6-in-4"])
def test_tunnel_through_the_other_family(
    bed: Bed, net: Addresses, outer: Addresses, local: bool
) -> None:
    install(bed.gateway, look(net.sender_net, net.receiver_net, outer.peer, "esp"))
    answer(bed, net, "esp", outer=outer)
    away, back = exchange(bed, near_end(bed, net, local), far_end(bed, net))
    assert (forms(away), forms(back)) == (protected(outer), protected_back(outer))


def test_groups_to_one_peer_keep_to_their_own_states(bed: Bed, net: Addresses) -> None:
    """Two tunnels to one peer: each with its reqid, whichever states are the newest."""
    other, part = another(bed, net)
    table = row(net.sender_net, net.receiver_net, tun(net))
    table += row(net.sender_net, part, f"tun0x1004@{net.peer}")
    install(bed.gateway, table)
    answer(bed, net, "esp")
    answer(bed, net, "ah", far=host_net(other.address), reqid=FIRST + 1)
    here = near_end(bed, net, local=False)
    told, counted = lost(bed, here, other)
    assert (told, counted) == (0, {"XfrmOutNoStates": 1})
    away, _ = exchange(bed, here, far_end(bed, net))
    assert forms(away) == protected(net)


@pytest.mark.parametrize("by", ["reqid", "spi"])
def test_template_by_spi_takes_the_sa_of_the_eroute(bed: Bed, net: Addresses, by: str) -> None:
    install(bed.gateway, look(net.sender_net, net.receiver_net, net.peer, "esp"), template_by=by)
    answer(bed, net, "esp")
    newer = replace(states(net.gateway, net.peer, "esp")[0], spi=0x3001)
    bed.gateway.xfrm.add(newer)
    bed.peer.xfrm.add(newer)
    with bed.wire.capture() as middle:
        send(near_end(bed, net, local=False), far_end(bed, net))
        seen = [p.spi for p in middle.settled(QUIET) if not p.outgoing]
    assert seen == [AWAY["esp"] if by == "spi" else 0x3001]


@pytest.mark.parametrize("said", ["tun", "esp"])
def test_without_states_nothing_leaves(bed: Bed, net: Addresses, local: bool, said: str) -> None:
    install(bed.gateway, row(net.sender_net, net.receiver_net, f"{said}0x1002@{net.peer}"))
    with bed.gateway.key_manager() as manager:
        _, counted = lost(bed, near_end(bed, net, local), far_end(bed, net))
        (asked,) = manager.acquires()
    assert counted == {"XfrmOutNoStates": 1}
    assert (asked.protocol, asked.priority) == ("esp", OWN)
    assert asked.target == (net.peer if said == "tun" else net.receiver)


@pytest.mark.parametrize(("protocols", "tunnel"), [(("esp", "comp"), True), (("ah", "esp"), False)])
def test_a_group_without_counterpart_is_refused_or_blocked(
    bed: Bed, net: Addresses, local: bool, protocols: tuple[Protocol, ...], tunnel: bool
) -> None:
    text = look(net.sender_net, net.receiver_net, net.peer, *protocols, tunnel=tunnel)
    with pytest.raises(AssertionError, match="refused"):
        install(bed.gateway, text)
    assert bed.gateway.xfrm.policies() == []
    install(bed.gateway, text, partial=True)
    assert lost(bed, near_end(bed, net, local), far_end(bed, net)) == blocked(local)


def test_an_unreadable_said_is_refused_or_blocked(bed: Bed, net: Addresses, local: bool) -> None:
    text = row(net.sender_net, net.receiver_net, "tun0x1002@")
    with pytest.raises(AssertionError, match="refused"):
        install(bed.gateway, text)
    assert bed.gateway.xfrm.policies() == []
    install(bed.gateway, text, partial=True)
    assert lost(bed, near_end(bed, net, local), far_end(bed, net)) == blocked(local)


# ----------------------------------------------------------------------------------- transport


@pytest.mark.parametrize("size", [7, 600])
@pytest.mark.parametrize("chain", [*CHAINS, ("comp",)], ids="+".join)
def test_transport(bed: Bed, net: Addresses, chain: tuple[Protocol, ...], size: int) -> None:
    here, there = gateways(bed, net)
    text = look(host_net(net.gateway), host_net(net.peer), net.peer, *chain, tunnel=False)
    install(bed.gateway, text)
    answer(bed, net, *chain, mode="transport")
    away, back = exchange(bed, here, there, size=size)
    if chain == ("comp",) and size == 7:  # RFC 3173, 2.2: it would not shrink
        assert (forms(away), forms(back)) == (clear(here, there), clear(there, here))
        return
    assert forms(away) == protected(net, chain[-1])
    assert forms(back) == protected_back(net, chain[-1])
    if chain == ("esp",):
        header = 20 if net is V4 else 40
        assert away[0].length == header + wire.esp_length(8 + size, block=16, iv=16, icv=12)
    if chain == ("ah",):
        assert away[0].icv == 12
        assert away[0].inner is not None
        assert away[0].inner.protocol == "udp"
    if "comp" in chain and size == 600:
        assert away[0].length < 200


def test_transport_of_what_is_forwarded(bed: Bed, net: Addresses) -> None:
    """From a host behind the gateway, for which the gateway speaks ESP; the answer is clear."""
    here, there = near_end(bed, net, local=False), far_end(bed, net)
    install(bed.gateway, row(net.sender_net, host_net(net.receiver), f"esp0x1001@{net.receiver}"))
    (there_state, _) = states(net.sender, net.receiver, "esp", mode="transport")
    bed.gateway.xfrm.add(there_state)
    bed.receiver.xfrm.add(there_state)
    away, back = exchange(bed, here, there)
    assert forms(away) == [(net.sender, net.receiver, "esp", AWAY["esp"])]
    assert forms(back) == clear(there, here)


@pytest.mark.parametrize("chain", [("esp",), ("ah",), ("comp",)], ids="+".join)
def test_transport_inbound(
    bed: Bed, net: Addresses, chain: tuple[Protocol, ...], inbound: str
) -> None:
    text = look(host_net(net.gateway), host_net(net.peer), net.peer, *chain, tunnel=False)
    install(bed.gateway, text, inbound=inbound)
    dropped = inbound == "strict" and chain != ("comp",)
    for port in (40001, 501):
        packet = wire.udp(net.peer, net.gateway, 40000, port)
        assert comes_in(bed, packet, local=True) == (CLEAR_REFUSED if dropped else None)
    for port in (500, 4500):  # the peer's own IKE
        assert comes_in(bed, wire.udp(net.peer, net.gateway, 500, port), local=True) is None


# ------------------------------------------------------------------------------------- inbound


@pytest.mark.parametrize("chain", [("esp",), ("comp", "esp"), ("comp",)], ids="+".join)
def test_clear_text_that_should_come_protected(
    bed: Bed, net: Addresses, local: bool, chain: tuple[Protocol, ...], inbound: str
) -> None:
    install(bed.gateway, look(net.sender_net, net.receiver_net, net.peer, *chain), inbound=inbound)
    answer(bed, net, *chain)
    here, there = near_end(bed, net, local), far_end(bed, net)
    strict = inbound == "strict" and chain != ("comp",)
    seen = comes_in(bed, wire.udp(there.address, here.address, 9, 40000), local)
    assert seen == (CLEAR_REFUSED if strict else None)
    # From elsewhere clear text is nobody's business.
    elsewhere = "198.51.100.1" if net is V4 else "2001:db8:9::1"
    assert comes_in(bed, wire.udp(elsewhere, here.address, 9, 40000), local) is None
    # And protected it comes in either way.
    away, back = exchange(bed, here, there, size=600)
    assert forms(away) == protected(net, chain[-1])
    assert forms(back) == protected_back(net, chain[-1])


def test_what_comes_from_a_tunnel_with_a_foreign_source_is_dropped(
    bed: Bed, net: Addresses
) -> None:
    """The SA of another peer's group does not open this eroute."""
    other, part = another(bed, net)
    table = row(net.sender_net, net.receiver_net, tun(net))
    table += row(net.sender_net, part, f"tun0x1004@{net.peer}")
    install(bed.gateway, table)
    answer(bed, net, "esp")
    with bed.wire.capture() as middle, bed.gateway.counting() as counted:
        other.host.send(wire.udp(other.address, net.sender))
        assert forms(middle.settled(QUIET)) == protected_back(net)
    assert counted == CLEAR_REFUSED


# -------------------------------------------------------------------------------------- shunts


@pytest.mark.parametrize("said", ["%pass", "%passthrough"])
def test_pass(bed: Bed, net: Addresses, local: bool, said: str, inbound: str) -> None:
    """A hole in a tunnel: clear out, clear in, and the rest of the tunnel is protected."""
    other, part = another(bed, net)
    here, there = near_end(bed, net, local), far_end(bed, net)
    table = row(net.sender_net, net.receiver_net, tun(net)) + row(net.sender_net, part, said)
    install(bed.gateway, table, inbound=inbound)
    answer(bed, net, "esp", far=host_net(there.address))
    away, back = exchange(bed, here, other)
    assert (forms(away), forms(back)) == (clear(here, other), clear(other, here))
    away, back = exchange(bed, here, there)
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))


def test_pass_and_what_comes_protected(bed: Bed, net: Addresses, local: bool, inbound: str) -> None:
    other, part = another(bed, net)
    here = near_end(bed, net, local)
    table = row(net.sender_net, net.receiver_net, tun(net)) + row(net.sender_net, part, "%pass")
    install(bed.gateway, table, inbound=inbound)
    answer(bed, net, "esp")
    with (
        bed.wire.capture() as middle,
        bed.gateway.counting() as counted,
        here.host.udp(here.address, 40001) as socket_,
    ):
        other.host.send(wire.udp(other.address, here.address))
        assert forms(middle.settled(QUIET)) == protected_back(net)
        if inbound == "klips":
            assert socket_.recv(100) == b"payload"
        else:
            socket_.settimeout(0.1)
            with pytest.raises(TimeoutError):
                socket_.recv(100)
    assert counted == ({} if inbound == "klips" else CLEAR_REFUSED)


@pytest.mark.parametrize("said", [*BLOCKING, "unk77"])
def test_blocking_shunts(bed: Bed, net: Addresses, local: bool, said: str) -> None:
    if said == "unk77":
        said = f"unk770x100@{net.peer}"
    here, there = near_end(bed, net, local), far_end(bed, net)
    install(bed.gateway, row(net.sender_net, net.receiver_net, said))
    assert lost(bed, here, there) == blocked(local)
    # Packets coming in were never looked up.
    assert comes_in(bed, wire.udp(there.address, here.address, 9, 40000), local) is None


@pytest.mark.parametrize("said", ASKING)
def test_asking_shunts(bed: Bed, net: Addresses, local: bool, said: str) -> None:
    here, there = near_end(bed, net, local), far_end(bed, net)
    install(bed.gateway, row(net.sender_net, net.receiver_net, said))
    with bed.gateway.key_manager() as manager:
        for count in range(3):
            _, counted = lost(bed, here, there)
            assert counted == {"XfrmOutNoStates": 1}
            asked = manager.acquires()
            assert len(asked) == (0 if count else 1)
            if asked:
                assert (asked[0].packet_source, asked[0].packet_target) == (
                    here.address,
                    there.address,
                )
                assert (asked[0].protocol, asked[0].priority) == ("esp", OWN)
        assert comes_in(bed, wire.udp(there.address, here.address, 9, 40000), local) is None
    # The daemon answers, for less than all of the eroute, with lower numbers, as all have.
    bed.gateway.xfrm.add(
        *policies(
            net.gateway,
            net.peer,
            host_net(here.address),
            host_net(there.address),
            "esp",
            priority=1_757_393,
            reqid=77,
        )
    )
    answer(bed, net, "esp", reqid=77)
    away, back = exchange(bed, here, there)
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))


@pytest.mark.parametrize("said", ASKING)
def test_without_a_daemon_nothing_leaves(bed: Bed, net: Addresses, local: bool, said: str) -> None:
    install(bed.gateway, row(net.sender_net, net.receiver_net, said))
    # States between the hosts do not satisfy a %trap: their reqid is another one.
    here, there = near_end(bed, net, local), far_end(bed, net)
    bed.gateway.xfrm.add(*states(here.address, there.address, "esp", mode="transport"))
    _, counted = lost(bed, here, there)
    assert counted == {"XfrmOutNoStates": 1}


@pytest.mark.parametrize(
    "said",
    [
        "%trap",
        pytest.param("tun"),
        pytest.param("%pass"),
    ],
)
def test_the_hold_that_the_kernel_made(bed: Bed, local: bool, said: str) -> None:
    net = V6
    here, there = near_end(bed, net, local), far_end(bed, net)
    wide = row(net.sender_net, net.receiver_net, tun(net) if said == "tun" else said)
    hold = row(f"{here.address}/ff02::1", f"{there.address}/ff02::1", "%hold")
    install(bed.gateway, wide + hold)
    answer(bed, net, "esp")
    _, counted = lost(bed, here, there)
    assert counted == {"XfrmOutNoStates": 1}


# ------------------------------------------------------------------------- the host's own traffic


def ike_both_ways(bed: Bed, net: Addresses) -> None:
    """The peer's policies leave IKE alone, as a key daemon's do."""
    near, far = host_net(net.gateway), host_net(net.peer)
    for port in (500, 4500):
        bed.peer.xfrm.add(
            Policy("in", near, far, priority=1, protocol=17, source_port=port),
            Policy("out", far, near, priority=1, protocol=17, target_port=port),
        )


@pytest.mark.parametrize("known", [False, True], ids=["any-source", "local"])
@pytest.mark.parametrize("wide", [False, True], ids=["pair", "everything"])
def test_own_ike_is_exempt(bed: Bed, net: Addresses, known: bool, wide: bool, inbound: str) -> None:
    here, there = gateways(bed, net)
    near, far = (net.everything,) * 2 if wide else (host_net(net.gateway), host_net(net.peer))
    given: dict[str, Any] = {"local": net.gateway} if known else {}
    install(bed.gateway, row(near, far, tun(net)), inbound=inbound, **given)
    answer(bed, net, "esp", near=host_net(net.gateway), far=host_net(net.peer), only=17)
    ike_both_ways(bed, net)
    for port in (500, 4500):
        away, back = exchange(bed, here, there, ports=(port, 500))
        assert (forms(away), forms(back)) == (clear(here, there), clear(there, here))
    for ports in ((40000, 500), (501, 500), (40000, 9)):
        away, back = exchange(bed, here, there, ports=ports)
        assert (forms(away), forms(back)) == (protected(net), protected_back(net))
    body = struct.pack("!II", 0x7777, 1) + bytes(40)
    with bed.wire.capture() as middle:
        assert send_protocol(here, there, 50, body) == 0
        ah = bytes([17, 4, 0, 0]) + struct.pack("!II", 0x8888, 1) + bytes(12 + 16)
        assert send_protocol(here, there, 51, ah) == 0
        assert send_protocol(here, there, 132, bytes(40)) == 0
        seen = [p for p in middle.settled(QUIET) if not p.outgoing]
    assert [(p.protocol, p.spi) for p in seen] == [
        ("esp", 0x7777),
        ("ah", 0x8888),
        ("esp", AWAY["esp"]),
    ]
    # Strict or not: what is no IKE must come protected, where packets from here do not match too.
    strict = inbound == "strict" and not wide
    seen_in = comes_in(bed, wire.udp(net.peer, net.gateway, 500, 9), local=True)
    assert seen_in == (CLEAR_REFUSED if strict else None)


@pytest.mark.parametrize("port", [500, 4500])
def test_forwarded_ike_to_the_peer(bed: Bed, net: Addresses, port: int) -> None:
    """Without --local it is blocked, with it the eroute takes it; own IKE leaves either way."""
    here, (_, there) = near_end(bed, net, local=False), gateways(bed, net)
    own = End(bed.gateway, net.gateway_inside)
    text = row(net.sender_net, host_net(net.peer), tun(net))
    install(bed.gateway, text)
    answer(bed, net, "esp", far=host_net(net.peer))
    told, counted = lost(bed, here, there, (port, 500))
    assert (told, sum(counted.values())) == (0, 1)
    away, _ = exchange(bed, here, there, ports=(port + 1, 500))
    assert forms(away) == protected(net)
    with bed.wire.capture() as middle:
        assert send(own, there, (port, 500)) == 0
        assert forms([p for p in middle.settled(QUIET) if not p.outgoing]) == clear(own, there)

    bed.gateway.xfrm.flush_policies()
    install(bed.gateway, text, local=net.gateway_inside)
    # The tunnel's own end is another address: it follows from the states.
    with bed.wire.capture() as middle:
        assert send(own, there, (port, 500)) == 0
        assert forms([p for p in middle.settled(QUIET) if not p.outgoing]) == clear(own, there)


@pytest.mark.parametrize("port", [500, 4500])
def test_forwarded_ike_where_the_own_addresses_are_known(
    bed: Bed, net: Addresses, port: int
) -> None:
    here, (_, there) = near_end(bed, net, local=False), gateways(bed, net)
    install(bed.gateway, row(net.sender_net, host_net(net.peer), tun(net)), local=net.gateway)
    answer(bed, net, "esp", far=host_net(net.peer))
    away, back = exchange(bed, here, there, ports=(port, 500))
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))


def test_forwarded_esp_and_ah_to_the_peer(bed: Bed, net: Addresses) -> None:
    here, (_, there) = near_end(bed, net, local=False), gateways(bed, net)
    install(bed.gateway, row(net.sender_net, host_net(net.peer), tun(net)))
    answer(bed, net, "esp", far=host_net(net.peer))
    body = struct.pack("!II", 0x7777, 1) + bytes(40)
    ah = bytes([17, 4, 0, 0]) + struct.pack("!II", 0x8888, 1) + bytes(12 + 16)
    with bed.wire.capture() as middle:
        here.host.send(wire.ip(here.address, there.address, "esp", body))
        here.host.send(wire.ip(here.address, there.address, "ah", ah))
        assert forms(middle.settled(QUIET)) == []
        here.host.send(wire.ip(here.address, there.address, "gre", bytes(20)))
        assert forms([p for p in middle.settled(QUIET) if not p.outgoing]) == protected(net)


@pytest.mark.parametrize("said", ["%drop", "(error)", "%trap"])
@pytest.mark.parametrize("known", [False, True], ids=["any-source", "local"])
def test_own_ike_through_a_shunt(bed: Bed, net: Addresses, said: str, known: bool) -> None:
    here, there = near_end(bed, net, local=True), far_end(bed, net)
    behind = near_end(bed, net, local=False)
    given: dict[str, Any] = {"local": net.gateway_inside} if known else {}
    install(bed.gateway, row(net.sender_net, net.receiver_net, said), **given)
    for port in (500, 4500):
        away, back = exchange(bed, here, there, ports=(port, 500))
        assert (forms(away), forms(back)) == (clear(here, there), clear(there, here))
        told, counted = lost(bed, behind, there, (port, 500))
        assert (told, sum(counted.values())) == (0, 1)
    _, counted = lost(bed, here, there, (501, 500))
    assert sum(counted.values()) == 1


# ------------------------------------------------------------------------- neighbour discovery


@pytest.fixture
def strangers(bed: Bed) -> Iterator[None]:
    with bed.strangers():
        yield


def discovery(packets: list[Packet]) -> set[tuple[int | None, bool]]:
    """Types seen in clear on the wire, and whether they came to the gateway."""
    return {(p.type, p.outgoing) for p in packets if p.is_housekeeping}


@pytest.mark.usefixtures("strangers")
def test_discovery_under_a_tunnel_for_everything(bed: Bed, local: bool, inbound: str) -> None:
    net = V6
    install(bed.gateway, row("::/0", "::/0", tun(net)), inbound=inbound, bypass=net.sender_net)
    answer(bed, net, "esp", only=17)
    with bed.wire.capture(housekeeping=True) as middle:
        away, back = exchange(bed, near_end(bed, net, local), far_end(bed, net))
        seen = discovery(middle.settled(QUIET))
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))
    assert {(135, False), (136, True)} <= seen


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize("said", ["%drop", "(error)", "%trap"])
def test_discovery_under_a_shunt_for_everything(bed: Bed, said: str) -> None:
    net = V6
    table = row(net.sender_net, net.receiver_net, tun(net)) + row("::/0", "::/0", said)
    install(bed.gateway, table, bypass=net.sender_net)
    answer(bed, net, "esp")
    with bed.wire.capture(housekeeping=True) as middle:
        away, back = exchange(bed, near_end(bed, net, local=False), far_end(bed, net))
        seen = discovery(middle.settled(QUIET))
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))
    assert {(135, False), (136, True)} <= seen


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize("mode", ["tunnel", "transport"])
def test_discovery_between_protected_neighbours(bed: Bed, mode: Mode) -> None:
    """Strict: the answers, from the very address that must protect all else, come in."""
    net = V6
    here, there = gateways(bed, net)
    near, far = host_net(net.gateway), host_net(net.peer)
    said = tun(net) if mode == "tunnel" else f"esp0x1001@{net.peer}"
    install(bed.gateway, row(near, far, said))
    answer(bed, net, "esp", near=near, far=far, mode=mode, only=17)
    with bed.wire.capture(housekeeping=True) as middle:
        away, back = exchange(bed, here, there)
        seen = discovery(middle.settled(QUIET))
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))
    assert {(135, False), (136, True)} <= seen


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize(
    "said",
    ["", *(pytest.param(said) for said in ("%drop", "%trap", "tun"))],
    ids=["nothing", "drop", "trap", "tun"],
)
@pytest.mark.parametrize("far", ["2001:db8::2/128", "2001:db8::/64"])
def test_a_neighbour_asks_for_the_gateway(bed: Bed, said: str, far: str) -> None:
    """KLIPS answered it in clear, whatever the eroute said."""
    net = V6
    here, there = gateways(bed, net)
    said = tun(net) if said == "tun" else said
    if said:
        install(bed.gateway, row(host_net(net.gateway), far, said), inbound="klips")
    with (
        bed.wire.capture(housekeeping=True) as middle,
        here.host.udp(here.address, 9) as gateway,
    ):
        gateway.settimeout(0.5)
        send(there, here)
        assert gateway.recv(100) == b"payload"
        assert (136, False) in discovery(middle.settled(QUIET))


@pytest.mark.parametrize("said", ["tun", "%drop"])
def test_discovery_is_not_forwarded(bed: Bed, said: str) -> None:
    """The hole is for the link: nobody behind the gateway sends through it."""
    net = V6
    kinds = range(133, 138)

    def crossed() -> set[int | None]:
        with bed.wire.capture(housekeeping=True) as middle:
            for kind in kinds:
                body = bytes([kind]) + bytes(23)
                bed.sender.send(wire.ip(net.sender, net.receiver, "icmpv6", body))
            return {p.type for p in middle.settled(QUIET) if p.source == net.sender}

    assert crossed() == set(kinds), "a router alone forwards them"
    install(bed.gateway, row("::/0", "::/0", tun(net) if said == "tun" else said))
    answer(bed, net, "esp")
    with bed.wire.capture() as middle:
        assert crossed() == set()
        assert forms(middle.settled(QUIET)) == []


# ---------------------------------------------------------------- mirror images, bypass, routed


@pytest.mark.parametrize("known", [False, True], ids=["any-source", "local"])
def test_a_tunnel_for_everything(bed: Bed, net: Addresses, local: bool, known: bool) -> None:
    """Packets that set out from the LAN match the inbound policies too, and must get through."""
    given: dict[str, Any] = {"local": net.gateway} if known else {}
    install(bed.gateway, row(net.everything, net.everything, tun(net)), **given)
    answer(bed, net, "esp")
    here, there = near_end(bed, net, local), far_end(bed, net)
    with (
        there.host.udp(there.address, 9) as far,
        bed.wire.capture() as middle,
        bed.gateway.counting() as counted,
    ):
        assert send(here, there) == 0
        assert far.recv(100) == b"payload"
        assert forms(middle.settled(QUIET)) == protected(net)
    assert counted == {}


def test_what_comes_through_a_tunnel_for_everything_goes_back_into_it(
    bed: Bed, net: Addresses
) -> None:
    """Without the routes nothing tells that the LAN lies on this side: hence ``--bypass``."""
    install(bed.gateway, row(net.everything, net.everything, tun(net)))
    answer(bed, net, "esp")
    with bed.wire.capture() as middle, bed.lan.capture() as lan:
        bed.receiver.send(wire.udp(net.receiver, net.sender))
        assert forms(middle.settled(QUIET))[:2] == protected_back(net) + protected(net)
        assert forms(lan.settled(QUIET)) == []


def test_a_tunnel_for_everything_with_the_lan_taken_out(
    bed: Bed, net: Addresses, local: bool, inbound: str
) -> None:
    install(
        bed.gateway,
        row(net.everything, net.everything, tun(net)),
        bypass=net.sender_net,
        inbound=inbound,
    )
    answer(bed, net, "esp")
    with bed.gateway.counting() as counted:
        away, back = exchange(bed, near_end(bed, net, local), far_end(bed, net))
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))
    assert counted == {}


def lan_ends(bed: Bed, net: Addresses) -> tuple[End, End]:
    return End(bed.sender, net.sender), End(bed.gateway, net.gateway_inside)


def on_the_lan(bed: Bed, net: Addresses) -> list[Packet]:
    """A packet from the sender to the gateway and one back."""
    here, there = lan_ends(bed, net)
    with bed.lan.capture() as lan:
        away, back = exchange(bed, here, there)
        assert (away, back) == ([], [])
        return lan.settled(QUIET)


def test_lan_under_a_tunnel_to_everything(bed: Bed, net: Addresses) -> None:
    """The LAN's packets to the gateway are accepted in clear; its own answers are the eroute's."""
    here, there = lan_ends(bed, net)
    install(bed.gateway, row(net.sender_net, net.everything, tun(net)))
    answer(bed, net, "esp")
    with there.host.udp(there.address, 9) as gateway, bed.wire.capture() as middle:
        send(here, there)
        data, source = gateway.recvfrom(100)
        assert data == b"payload"
        gateway.sendto(data, source)
        assert forms([p for p in middle.settled(QUIET) if not p.outgoing]) == protected(net)
    away, back = exchange(bed, here, far_end(bed, net))
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))


@pytest.mark.parametrize("how", ["%pass", "bypass"])
def test_lan_taken_out_of_a_tunnel_to_everything(bed: Bed, net: Addresses, how: str) -> None:
    """Then the LAN is clear both ways, and all else is strict again."""
    table = row(net.sender_net, net.everything, tun(net))
    if how == "%pass":
        install(bed.gateway, table + row(net.sender_net, net.sender_net, "%pass"))
    else:
        install(bed.gateway, table, bypass=net.sender_net)
    answer(bed, net, "esp")
    here, there = lan_ends(bed, net)
    assert forms(on_the_lan(bed, net)) == clear(here, there) + clear(there, here)
    away, back = exchange(bed, here, far_end(bed, net))
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))
    for local in (False, True):
        target = near_end(bed, net, local).address
        packet = wire.udp(net.receiver, target, 9, 40000)
        assert comes_in(bed, packet, local) == CLEAR_REFUSED


def test_bypass(bed: Bed, net: Addresses, local: bool, inbound: str) -> None:
    other, part = another(bed, net)
    here, there = near_end(bed, net, local), far_end(bed, net)
    table = row(net.sender_net, net.receiver_net, tun(net))
    table += row(net.sender_net, host_net(other.address), "%drop")
    install(bed.gateway, table, bypass=part, inbound=inbound)
    answer(bed, net, "esp", far=host_net(there.address))
    away, back = exchange(bed, here, other)
    assert (forms(away), forms(back)) == (clear(here, other), clear(other, here))
    away, back = exchange(bed, here, there)
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))


def test_routed(bed: Bed, net: Addresses, local: bool) -> None:
    """What no eroute covers is blocked where it was routed into ipsecN, and nowhere else."""
    other, part = another(bed, net)
    here, there = near_end(bed, net, local), far_end(bed, net)
    install(bed.gateway, row(net.sender_net, part, tun(net)), routed=net.receiver_net)
    answer(bed, net, "esp", far=part)
    away, back = exchange(bed, here, other)
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))
    assert lost(bed, here, there) == blocked(local)
    # What came in was never looked up.
    assert comes_in(bed, wire.udp(there.address, here.address, 9, 40000), local) is None
    elsewhere = End(bed.receiver, "198.51.100.1" if net is V4 else "2001:db8:9::1")
    with bed.wire.capture() as middle:
        assert send(here, elsewhere) == 0
        # The peer sends it back by its own default route: the first crossing counts.
        assert forms([p for p in middle.settled(QUIET) if not p.outgoing])[:1] == clear(
            here, elsewhere
        )


def test_routed_and_own_ike(bed: Bed, net: Addresses) -> None:
    here, there = near_end(bed, net, local=True), far_end(bed, net)
    install(bed.gateway, "", routed=net.receiver_net)
    assert lost(bed, here, there) == blocked(local=True)
    away, back = exchange(bed, here, there, ports=(500, 500))
    assert (forms(away), forms(back)) == (clear(here, there), clear(there, here))
    told, counted = lost(bed, near_end(bed, net, local=False), there, (500, 500))
    assert (told, sum(counted.values())) == (0, 1)


def test_routed_cuts_an_eroute(bed: Bed, net: Addresses, local: bool) -> None:
    other, part = another(bed, net)
    here, there = near_end(bed, net, local), far_end(bed, net)
    install(bed.gateway, row(net.sender_net, net.receiver_net, tun(net)), routed=part)
    answer(bed, net, "esp", far=part)
    away, back = exchange(bed, here, other)
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))
    away, back = exchange(bed, here, there)
    assert (forms(away), forms(back)) == (clear(here, there), clear(there, here))


@pytest.mark.usefixtures("strangers")
def test_routed_and_discovery(bed: Bed) -> None:
    net = V6
    routed = f"2000::/3 fe80::/10 ff00::/8 {net.receiver_net}"
    install(
        bed.gateway,
        row(net.sender_net, net.receiver_net, tun(net)),
        routed=routed,
    )
    answer(bed, net, "esp")
    away, back = exchange(bed, near_end(bed, net, local=False), far_end(bed, net))
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))


# ---------------------------------------------------------------------------------- precedence


@pytest.mark.parametrize("turned", [False, True])
def test_the_most_specific_of_nested_rows_wins(bed: Bed, net: Addresses, turned: bool) -> None:
    other, part = another(bed, net)
    here, there = near_end(bed, net, local=False), far_end(bed, net)
    said = f"tun0x1004@{net.peer}"
    behind = "10.1.5.5" if net is V4 else "fd00:1:0:5::5"
    rows = [
        row(net.everything, net.everything, "%drop"),
        row(net.sender_net, net.receiver_net, tun(net)),
        row(net.sender_net, part, "%drop"),
        row(net.sender_net, host_net(other.address), "%pass"),
        row(host_net(here.address), host_net(other.address), said),
    ]
    install(bed.gateway, "".join(reversed(rows) if turned else rows))
    # Groups are numbered as they come.
    wide, narrow = (FIRST + 1, FIRST) if turned else (FIRST, FIRST + 1)
    answer(bed, net, "esp", reqid=wide)
    pair = states(net.gateway, net.peer, "esp", reqid=narrow)[0]
    bed.gateway.xfrm.add(replace(pair, spi=0x4001))
    seen: list[tuple[str, int | None] | None] = []
    neighbour = "10.2.7.8" if net is V4 else "fd00:2:0:7::8"
    outside = "198.51.100.1" if net is V4 else "2001:db8:9::1"
    for source, target in (
        (behind, there.address),
        (behind, neighbour),
        (behind, other.address),
        (here.address, other.address),
        (here.address, outside),
    ):
        with bed.wire.capture() as middle:
            bed.sender.send(wire.udp(source, target))
            packets = [p for p in middle.settled(QUIET) if not p.outgoing]
            seen.append((packets[0].protocol, packets[0].spi) if packets else None)
    assert seen == [("esp", AWAY["esp"]), None, ("udp", None), ("esp", 0x4001), None]


@pytest.mark.parametrize("wide", ["%drop", "tun"])
def test_of_two_crossing_rows_the_larger_key_wins(bed: Bed, net: Addresses, wide: str) -> None:
    """One is finer in the source, the other in the destination: the source comes first."""
    _, part = another(bed, net)
    near = "10.1.5.0/24" if net is V4 else "fd00:1:0:5::/64"
    source = near.split("/", maxsplit=1)[0].removesuffix("0") + "5"
    target = part.split("/")[0].removesuffix("0") + "7"
    one, other = (tun(net), "%drop") if wide == "tun" else ("%drop", tun(net))
    install(bed.gateway, row(net.sender_net, part, other) + row(near, net.receiver_net, one))
    answer(bed, net, "esp")
    with bed.wire.capture() as middle:
        bed.sender.send(wire.udp(source, target))
        seen = [p for p in middle.settled(QUIET) if not p.outgoing]
    assert forms(seen) == (protected(net) if wide == "tun" else [])


def eroute(net: Addresses, source: str, target: str, said: str, rest: str = "") -> str:
    family = "inet" if net is V4 else "inet6"
    text = f"--add --eraf {family} --src {source} --dst {target} --said {said}"
    return f"{text} {rest}".strip()


def first_on_wire(bed: Bed, packet: bytes) -> str:
    with bed.wire.capture() as middle:
        bed.sender.send(packet)
        packets = [p for p in middle.settled(QUIET) if not p.outgoing]
    return packets[0].protocol if packets else ""


def test_a_port_is_finer_than_none(bed: Bed, net: Addresses, local: bool) -> None:
    here, there = near_end(bed, net, local), far_end(bed, net)
    nets = (net.sender_net, net.receiver_net)
    command(
        bed.gateway,
        eroute(net, *nets, tun(net)),
        eroute(net, *nets, "%pass", "--transport-proto udp --dst-port 53"),
        eroute(net, *nets, "%drop", "--transport-proto udp --src-port 1024 --dst-port 53"),
        eroute(net, *nets, "%drop", "--transport-proto tcp"),
        eroute(net, *nets, "%pass", "--transport-proto tcp --dst-port 80"),
    )
    answer(bed, net, "esp")
    for port in (53,):
        bed.peer.xfrm.add(
            Policy(
                "fwd", net.sender_net, net.receiver_net, priority=1, protocol=17, target_port=port
            ),
            Policy(
                "out", net.receiver_net, net.sender_net, priority=1, protocol=17, source_port=port
            ),
        )
    away, back = exchange(bed, here, there, ports=(40000, 53))
    assert (forms(away), forms(back)) == (clear(here, there), clear(there, here))
    away, back = exchange(bed, here, there, ports=(40000, 54))
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))
    assert lost(bed, here, there, (1024, 53)) == blocked(local)
    away, back = exchange(bed, here, there, ports=(1024, 54))
    assert (forms(away), forms(back)) == (protected(net), protected_back(net))
    if not local:
        assert first_on_wire(bed, wire.tcp_syn(here.address, there.address, 7, 53)) == ""
        assert first_on_wire(bed, wire.tcp_syn(here.address, there.address, 7, 80)) == "tcp"
        assert first_on_wire(bed, wire.echo(here.address, there.address)) == "esp"


def test_a_hole_by_port_in_a_printed_table(bed: Bed, local: bool) -> None:
    net = V4
    here, there = near_end(bed, net, local), far_end(bed, net)
    table = row(net.sender_net, net.receiver_net, tun(net))
    table += row(net.sender_net, f"{net.receiver_net}:53", "%pass:17")
    install(bed.gateway, table)
    answer(bed, net, "esp", far=net.receiver_net, only=6)
    away, back = exchange(bed, here, there, ports=(40000, 53))
    assert (forms(away), forms(back)) == (clear(here, there), clear(there, here))
    with bed.wire.capture() as middle:
        send(here, there, (40000, 54))
        assert forms([p for p in middle.settled(QUIET) if not p.outgoing]) == protected(net)


SCTP = 132


def test_ports_are_for_tcp_and_udp(bed: Bed) -> None:
    """Without a protocol for both of them, with another one for nothing."""
    net = V4  # no IPv6 row can show such ports, and the commands refuse them
    here, there = near_end(bed, net, local=False), far_end(bed, net)
    install(
        bed.gateway,
        row(net.sender_net, net.receiver_net, tun(net))
        + row(net.sender_net, f"{net.receiver_net}:53", "%pass")
        + row(net.sender_net, f"{net.receiver_net}:54", f"%pass:{SCTP}"),
    )
    answer(bed, net, "esp")
    ends = here.address, there.address

    def sctp(port: int) -> bytes:
        return wire.ip(*ends, SCTP, struct.pack("!HH", 7, port) + bytes(28))

    seen = [
        first_on_wire(bed, packet)
        for packet in (
            wire.udp(*ends, 7, 53),
            wire.tcp_syn(*ends, 7, 53),
            sctp(53),
            sctp(54),
            wire.udp(*ends, 7, 54),
            wire.echo(*ends),
        )
    ]
    assert seen == ["udp", "tcp", "esp", "esp", "esp", "esp"]


# --------------------------------------------------------------------------------- odd selectors


def test_a_mask_with_holes(bed: Bed, net: Addresses) -> None:
    if net is V4:
        target, base = "10.2.0.0/255.255.253.0", "10.2.{}.9"
    else:
        target, base = "fd00:2::/ffff:ffff:ffff:fffd::", "fd00:2:0:{}::9"
    install(bed.gateway, row(net.sender_net, target, "%drop"))
    seen = [
        first_on_wire(bed, wire.udp(net.sender, base.format(number))) for number in (0, 1, 2, 3, 4)
    ]
    assert seen == ["", "udp", "", "udp", "udp"]


@pytest.mark.parametrize("said", ["%drop", "%hold"])
def test_host_bits(bed: Bed, said: str) -> None:
    """The prefix without them is blocked; nothing of it passes."""
    net = V4  # in IPv6 they mean a mask that was cut in printing: refused
    install(bed.gateway, row("10.1.0.2/16", "10.2.9.47/24", said))
    seen = [first_on_wire(bed, wire.udp(net.sender, f"10.2.{number}.9")) for number in (8, 9)]
    assert seen == ["udp", ""]


def test_host_bits_in_ipv6_are_refused(bed: Bed) -> None:
    with pytest.raises(AssertionError, match="refused"):
        install(bed.gateway, row("fd00:1::2/32", "fd00:2:0:9::47/64", "%drop"))
    assert bed.gateway.xfrm.policies() == []
