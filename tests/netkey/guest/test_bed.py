"""The bed itself: what is on the wire is what the states say, and what must not be is not."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Literal, get_args

import pytest

from tests.netkey import wire
from tests.netkey.bed import V4, V6, Addresses, Bed, Host
from tests.netkey.spd import Algorithms, Mode, Policy, State, Template

if TYPE_CHECKING:
    from tests.netkey.wire import Packet

Protocol = Literal["esp", "ah", "comp"]
SHA1 = ("hmac(sha1)", bytes(range(20)), 96)
AES_SHA1 = Algorithms(("cbc(aes)", bytes(range(16))), SHA1)
TRIPLE_DES_MD5 = Algorithms(
    ("cbc(des3_ede)", bytes(range(24))), ("hmac(md5)", bytes(range(16)), 96)
)
AH_SHA1 = Algorithms(authentication=SHA1)
DEFLATE = Algorithms(compression="deflate")
OUT, BACK = 0x1001, 0x1002
REQID = 7


def tunnel(
    bed: Bed,
    net: Addresses,
    algorithms: Algorithms,
    protocol: Protocol = "esp",
    *,
    mode: Mode = "tunnel",
    outer: Addresses | None = None,
) -> None:
    """Policies and states at both gateways, for the nets behind them or for the gateways."""
    outer = outer or net
    here, there = outer.gateway, outer.peer
    near, far = (here, there) if mode == "transport" else (net.sender_net, net.receiver_net)
    states = (
        State(here, there, protocol, OUT, algorithms, mode, REQID),
        State(there, here, protocol, BACK, algorithms, mode, REQID),
    )
    # What was too small to be compressed comes without an IPCOMP header (RFC 3173, 2.2).
    use = protocol == "comp"
    away = Template(here, there, protocol, mode, REQID)
    home = Template(there, here, protocol, mode, REQID, use=use)
    bed.gateway.xfrm.add(
        *states,
        Policy("out", near, far, (away,)),
        Policy("in", far, near, (home,)),
        Policy("fwd", far, near, (home,)),
    )
    away = Template(there, here, protocol, mode, REQID)
    home = Template(here, there, protocol, mode, REQID, use=use)
    bed.peer.xfrm.add(
        *states,
        Policy("out", far, near, (away,)),
        Policy("in", near, far, (home,)),
        Policy("fwd", near, far, (home,)),
    )


def is_clear(packet: Packet) -> bool:
    return packet.protocol not in {"esp", "ah", "comp"}


def test_runs_where_it_should() -> None:
    assert os.uname().release == os.environ["NETKEY_GUEST"]


def test_the_wires_carry_everything_in_clear(bed: Bed, net: Addresses) -> None:
    sent = (
        wire.udp(net.sender, net.receiver, 1, 2),
        wire.echo(net.sender, net.receiver),
        wire.tcp_syn(net.sender, net.receiver),
    )
    with bed.lan.capture() as lan, bed.wire.capture() as middle, bed.far.capture() as far:
        for packet in sent:
            bed.sender.send(packet)
        for capture in (lan, middle, far):
            away = [p for p in capture.settled() if p.source == net.sender]
            assert [p.protocol for p in away] == [wire.read(packet).protocol for packet in sent]
            back = [p for p in capture.packets if p.source == net.receiver]
            # port unreachable, the answer to the echo, the reset
            answers = (3, 3, 0, 0) if net is V4 else (1, 4, 129, 0)
            assert [p.type for p in back] == [answers[0], answers[2], None]
            assert [p.code for p in back] == [answers[1], answers[3], None]
            assert back[0].inner is not None
            assert (back[0].inner.source_port, back[0].inner.target_port) == (1, 2)
            assert (back[2].source_port, back[2].target_port) == (80, 40000)
        assert all(not p.outgoing for p in middle.packets if p.source == net.sender)
        assert all(p.outgoing for p in middle.packets if p.source == net.receiver)


def test_a_socket_of_a_host_gets_what_is_sent_to_it(bed: Bed, net: Addresses) -> None:
    with bed.receiver.udp(net.receiver, 9) as there, bed.sender.udp(net.sender) as here:
        here.sendto(b"to you", (net.receiver, 9))
        data, address = there.recvfrom(100)
    assert (data, address[0]) == (b"to you", net.sender)


@pytest.mark.parametrize(
    ("algorithms", "block", "icv"), [(AES_SHA1, 16, 12), (TRIPLE_DES_MD5, 8, 12)]
)
@pytest.mark.parametrize("size", [0, 1, 13, 14, 15, 200])
def test_esp_tunnel(
    bed: Bed, net: Addresses, algorithms: Algorithms, block: int, icv: int, size: int
) -> None:
    tunnel(bed, net, algorithms)
    packet = wire.udp(net.sender, net.receiver, payload=b"x" * size)
    with (
        bed.wire.capture() as middle,
        bed.far.capture() as far,
        bed.receiver.udp(net.receiver, 40001),
    ):
        bed.sender.send(packet)
        arrived = far.first(lambda p: p.source == net.sender)
        (seen,) = middle.settled()
    assert (seen.source, seen.target, seen.protocol) == (net.gateway, net.peer, "esp")
    assert (seen.spi, seen.sequence) == (OUT, 1)
    header = 20 if net is V4 else 40
    expected = wire.esp_length(len(packet), block=block, iv=block, icv=icv)
    assert seen.length == header + expected
    assert arrived.payload == b"x" * size
    assert (bed.gateway.xfrm.state(OUT).packets, bed.peer.xfrm.state(OUT).packets) == (1, 1)
    assert bed.peer.xfrm.state(OUT).bytes == len(packet)
    assert {p.direction for p in bed.gateway.xfrm.policies() if p.used_at} == {"out"}
    assert {p.direction for p in bed.peer.xfrm.policies() if p.used_at} == {"fwd"}


@pytest.mark.parametrize(("net", "outer"), [(V4, V6), (V6, V4)], ids=["4-in-6", "6-in-4"])
def test_esp_tunnel_of_the_other_family(bed: Bed, net: Addresses, outer: Addresses) -> None:
    tunnel(bed, net, AES_SHA1, outer=outer)
    with bed.wire.capture() as middle, bed.far.capture() as far:
        bed.sender.send(wire.udp(net.sender, net.receiver))
        far.first(lambda p: p.source == net.sender)
        seen = middle.settled()[0]
    assert (seen.source, seen.target, seen.protocol) == (outer.gateway, outer.peer, "esp")


def test_ah_tunnel(bed: Bed, net: Addresses) -> None:
    tunnel(bed, net, AH_SHA1, "ah")
    with bed.wire.capture() as middle, bed.far.capture() as far:
        bed.sender.send(wire.udp(net.sender, net.receiver))
        far.first(lambda p: p.source == net.sender)
        seen = middle.settled()[0]
    assert (seen.source, seen.target, seen.protocol) == (net.gateway, net.peer, "ah")
    assert (seen.spi, seen.icv) == (OUT, 12)
    assert seen.inner is not None
    assert (seen.inner.source, seen.inner.target) == (net.sender, net.receiver)


def test_ipcomp_tunnel(bed: Bed, net: Addresses) -> None:
    tunnel(bed, net, DEFLATE, "comp")
    with (
        bed.wire.capture() as middle,
        bed.far.capture() as far,
        bed.receiver.udp(net.receiver, 40001),
    ):
        bed.sender.send(wire.udp(net.sender, net.receiver, payload=b"z" * 600))
        arrived = far.first(lambda p: p.source == net.sender)
        (seen,) = middle.settled()
        assert (seen.source, seen.protocol, seen.spi) == (net.gateway, "comp", OUT)
        assert seen.length < 120
        assert arrived.payload == b"z" * 600
        # Too small to gain: goes as plain IP in IP, without the header of IPCOMP.
        bed.sender.send(wire.udp(net.sender, net.receiver, payload=b"z"))
        small = middle.settled()[-1]
        assert (small.source, small.protocol) == (net.gateway, "ipip" if net is V4 else "ipv6")
        assert far.settled()[-1].payload == b"z"


@pytest.mark.parametrize("protocol", get_args(Protocol))
def test_transport(bed: Bed, net: Addresses, protocol: Protocol) -> None:
    algorithms = {"esp": AES_SHA1, "ah": AH_SHA1, "comp": DEFLATE}[protocol]
    tunnel(bed, net, algorithms, protocol, mode="transport")
    payload = b"t" * 600
    with (
        bed.wire.capture() as middle,
        bed.peer.udp(net.peer, 9) as there,
        bed.gateway.udp(net.gateway) as here,
    ):
        here.sendto(payload, (net.peer, 9))
        data, address = there.recvfrom(1000)
        there.sendto(data, address)
        assert here.recv(1000) == payload
        away, back = middle.settled()
    assert (away.source, away.target, away.protocol) == (net.gateway, net.peer, protocol)
    assert (away.spi, back.spi) == (OUT, BACK)
    assert not any(map(is_clear, middle.packets))
    header = 20 if net is V4 else 40
    if protocol == "esp":
        assert away.length == header + wire.esp_length(608, block=16, iv=16, icv=12)
    if protocol == "ah":
        assert away.inner is not None
        assert (away.inner.protocol, away.inner.payload) == ("udp", payload)


def test_wrong_key_is_counted_and_delivers_nothing(bed: Bed, net: Addresses) -> None:
    tunnel(bed, net, AES_SHA1)
    bed.peer.xfrm.flush_states()
    wrong = Algorithms(AES_SHA1.encryption, ("hmac(sha1)", b"\xff" * 20, 96))
    bed.peer.xfrm.add(State(net.gateway, net.peer, "esp", OUT, wrong, reqid=REQID))
    with bed.far.capture() as far, bed.peer.counting() as counted:
        bed.sender.send(wire.udp(net.sender, net.receiver))
        assert far.settled() == []
    assert counted == {"XfrmInStateProtoError": 1}
    assert bed.peer.xfrm.state(OUT).unverified == 1


def test_a_block_lets_nothing_through(bed: Bed, net: Addresses) -> None:
    bed.gateway.xfrm.add(
        Policy("out", net.sender_net, net.receiver_net, action="block", priority=1),
        Policy("out", net.everything, net.receiver_net, priority=2),
    )
    with bed.wire.capture() as middle, bed.gateway.counting() as counted:
        bed.sender.send(wire.udp(net.sender, net.receiver))
        assert middle.settled() == []
    assert counted == {"XfrmOutPolBlock": 1}


def test_a_block_tells_the_local_sender(bed: Bed, net: Addresses) -> None:
    bed.gateway.xfrm.add(Policy("out", net.everything, net.receiver_net, action="block"))
    with bed.wire.capture() as middle, bed.gateway.udp(net.gateway) as here:
        with pytest.raises(PermissionError):
            here.sendto(b"?", (net.receiver, 9))
        assert middle.settled() == []


@pytest.mark.parametrize("via", ["peer", "wire"])
def test_clear_text_against_a_template_is_dropped(bed: Bed, net: Addresses, via: str) -> None:
    tunnel(bed, net, AES_SHA1)
    bed.peer.reset()
    clear = wire.udp(net.receiver, net.sender)
    with (
        bed.wire.capture() as middle,
        bed.lan.capture() as lan,
        bed.gateway.counting() as counted,
    ):
        if via == "peer":
            bed.peer.send(clear)
        else:
            bed.inject(clear)
        assert [p.protocol for p in middle.settled()] == ["udp"]
        assert lan.settled() == []
    assert counted == {"XfrmInTmplMismatch": 1}


def test_clear_text_against_level_use_is_accepted(bed: Bed, net: Addresses) -> None:
    template = Template(net.peer, net.gateway, "esp", reqid=REQID, use=True)
    bed.gateway.xfrm.add(Policy("fwd", net.receiver_net, net.sender_net, (template,)))
    with bed.lan.capture() as lan, bed.gateway.counting() as counted:
        bed.inject(wire.udp(net.receiver, net.sender))
        assert lan.settled()[0].source == net.receiver
    assert counted == {}


def test_an_acquire_comes_once_and_nothing_leaks(bed: Bed, net: Addresses) -> None:
    template = Template(net.gateway, net.peer, "esp", reqid=REQID)
    bed.gateway.xfrm.add(Policy("out", net.sender_net, net.receiver_net, (template,), priority=77))
    with (
        bed.gateway.key_manager() as manager,
        bed.wire.capture() as middle,
        bed.gateway.counting() as counted,
    ):
        for _ in range(3):
            bed.sender.send(wire.udp(net.sender, net.receiver))
        (asked,) = manager.acquires()
        assert middle.settled() == []
        assert manager.acquires() == []
    assert (asked.source, asked.target, asked.protocol) == (net.gateway, net.peer, "esp")
    assert (asked.packet_source, asked.packet_target) == (net.sender, net.receiver)
    assert asked.priority == 77
    assert counted == {"XfrmOutNoStates": 3}
    assert [(s.spi, s.target) for s in bed.gateway.xfrm.states()] == [(0, net.peer)]


def reject(bed: Bed, net: Addresses) -> None:
    kind = "icmp-admin-prohibited" if net is V4 else "icmp6-adm-prohibited"
    rule = ("FORWARD", "-d", net.receiver_net, "-j", "REJECT", "--reject-with", kind)
    bed.gateway.iptables(net, "-A", *rule)


def test_iptables_rejects_with_the_wanted_icmp(bed: Bed, net: Addresses) -> None:
    reject(bed, net)
    with bed.lan.capture() as lan, bed.wire.capture() as middle:
        for _ in range(3):
            bed.sender.send(wire.udp(net.sender, net.receiver, 5, 6))
        told = [packet for packet in lan.settled() if packet.target == net.sender]
        assert middle.settled() == []
    assert [(p.type, p.code) for p in told] == [(3, 13) if net is V4 else (1, 1)] * 3
    assert told[0].source == net.gateway_inside
    assert told[0].inner is not None
    assert (told[0].inner.target, told[0].inner.target_port) == (net.receiver, 6)
    bed.reset()
    with bed.far.capture() as far:
        bed.sender.send(wire.udp(net.sender, net.receiver, 5, 6))
        far.first(lambda p: p.source == net.sender)


def test_a_block_comes_before_the_reject(bed: Bed, net: Addresses) -> None:
    reject(bed, net)
    bed.gateway.xfrm.add(Policy("out", net.sender_net, net.receiver_net, action="block"))
    with bed.lan.capture() as lan:
        bed.sender.send(wire.udp(net.sender, net.receiver, 5, 6))
        assert [p for p in lan.settled() if p.target == net.sender] == []


def test_given_addresses_are_taken_back(bed: Bed, net: Addresses) -> None:
    more = "10.2.9.9" if net is V4 else "fd00:2::9:9"
    bed.receiver.give(f"addr add {more}/{32 if net is V4 else 128} dev far")
    with bed.far.capture() as far, bed.sender.udp(net.sender) as here:
        here.sendto(b"?", (more, 9))
        far.first(lambda p: p.source == more)
    bed.reset()
    assert more not in bed.receiver.ip("addr show dev far")


def test_the_reset_leaves_nothing(bed: Bed) -> None:
    for net in (V4, V6):
        tunnel(bed, net, AES_SHA1)
    bed.gateway.ip("xfrm policy setdefault out block")
    bed.reset()
    hosts: tuple[Host, ...] = bed.hosts
    assert not list(itertools.chain(*(h.xfrm.states() + h.xfrm.policies() for h in hosts)))
    with bed.far.capture() as far:
        bed.sender.send(wire.udp(V4.sender, V4.receiver))
        far.first(lambda p: p.source == V4.sender)


def test_the_command_ip_says_the_same(bed: Bed) -> None:
    """States and policies packed here, read by somebody else."""
    tunnel(bed, V4, TRIPLE_DES_MD5)
    states = bed.gateway.ip("xfrm state")
    assert "proto esp spi 0x00001001 reqid 7 mode tunnel" in states
    assert "auth-trunc hmac(md5) 0x000102030405060708090a0b0c0d0e0f 96" in states
    assert "enc cbc(des3_ede) 0x0001" in states
    policies = bed.gateway.ip("xfrm policy")
    assert "src 10.1.0.0/16 dst 10.2.0.0/16 \n\tdir out priority 0" in policies
    assert "tmpl src 192.0.2.1 dst 192.0.2.2\n\t\tproto esp reqid 7 mode tunnel" in policies
