"""Translated associations on the wire: what leaves is what KLIPS sent, what came is taken.

The gateway gets what the program makes of a KLIPS host; the peer is set up by hand with ``ip``,
from what KLIPS's side is known to speak.
"""

from __future__ import annotations

import struct

import pytest

from eroute_translate.klips.association import Encapsulation
from eroute_translate.klips.said import SA_AH, SA_COMP, SA_ESP, SA_IPIP
from eroute_translate.mapping.algorithms import IcvLength
from tests.netkey import wire
from tests.netkey.associations import (
    BACK,
    CIPHERS,
    HASHES,
    OUT,
    Side,
    answer,
    esp,
    install,
    words,
)
from tests.netkey.bed import V4, Addresses, Bed


def exchange(bed: Bed, net: Addresses, packet: bytes) -> tuple[wire.Packet, wire.Packet]:
    """An echo through the gateways; what was on the wire on the way there and back."""
    with bed.wire.capture() as middle, bed.lan.capture() as lan:
        bed.sender.send(packet)
        kind = 0 if net is V4 else 129
        lan.first(lambda p: p.type == kind)
        there, back = middle.settled()
    return there, back


@pytest.mark.parametrize(
    ("cipher", "digest"),
    [*((cipher, "md5") for cipher in CIPHERS), *(("3des", d) for d in HASHES if d != "md5")],
)
def test_esp_tunnels(bed: Bed, net: Addresses, cipher: str, digest: str) -> None:
    side = Side(net, (SA_IPIP, SA_ESP), **esp(cipher, digest))
    install(bed, side.host())
    answer(bed, net, [("esp", "tunnel", words(cipher, digest, 12))])
    _, block, iv, _ = CIPHERS[cipher]
    packet = wire.echo(net.sender, net.receiver, payload=b"x" * 56)
    there, back = exchange(bed, net, packet)
    expected = wire.esp_length(len(packet), block=block, iv=iv, icv=12)
    for seen, spi in ((there, OUT), (back, BACK)):
        assert (seen.protocol, seen.spi, seen.sequence) == ("esp", spi, 1)
        assert seen.length == (20 if net is V4 else 40) + expected
    assert (there.source, there.target) == (net.gateway, net.peer)


def test_an_echo_of_84_octets_through_3des_md5_96(bed: Bed) -> None:
    install(bed, Side(V4, (SA_IPIP, SA_ESP), **esp("3des", "md5")).host())
    answer(bed, V4, [("esp", "tunnel", words("3des", "md5", 12))])
    packet = wire.echo(V4.sender, V4.receiver, payload=b"x" * 56)
    assert len(packet) == 84
    there, _ = exchange(bed, V4, packet)
    assert there.length - 20 == 116


@pytest.mark.parametrize("digest", ["sha2_256", "sha2_384", "sha2_512"])
def test_long_check_values_of_later_versions(bed: Bed, net: Addresses, digest: str) -> None:
    side = Side(net, (SA_IPIP, SA_ESP), **esp("aes", digest))
    install(bed, side.host(version="Libreswan version: 3.20"))
    octets = HASHES[digest][2]
    answer(bed, net, [("esp", "tunnel", words("aes", digest, octets))])
    packet = wire.echo(net.sender, net.receiver)
    there, _ = exchange(bed, net, packet)
    header = 20 if net is V4 else 40
    assert there.length == header + wire.esp_length(len(packet), block=16, iv=16, icv=octets)


def test_the_option_overrules_the_version(bed: Bed) -> None:
    side = Side(V4, (SA_IPIP, SA_ESP), **esp("aes", "sha2_256"))
    install(bed, side.host(version="Libreswan version: 3.20"), icv=IcvLength.CLASSIC)
    answer(bed, V4, [("esp", "tunnel", words("aes", "sha2_256", 12))])
    exchange(bed, V4, wire.echo(V4.sender, V4.receiver))


def test_esp_without_authentication(bed: Bed, net: Addresses) -> None:
    install(bed, Side(net, (SA_IPIP, SA_ESP), **esp("3des", "")).host())
    answer(bed, net, [("esp", "tunnel", words("3des", "", 0))])
    packet = wire.echo(net.sender, net.receiver)
    there, _ = exchange(bed, net, packet)
    header = 20 if net is V4 else 40
    assert there.length == header + wire.esp_length(len(packet), block=8, iv=8, icv=0)


@pytest.mark.parametrize("digest", ["md5", "sha1"])
def test_ah_tunnels(bed: Bed, net: Addresses, digest: str) -> None:
    install(bed, Side(net, (SA_IPIP, SA_AH), **esp("null", digest)).host())
    answer(bed, net, [("ah", "tunnel", words("", digest, 12))])
    there, back = exchange(bed, net, wire.echo(net.sender, net.receiver))
    for seen, spi in ((there, OUT), (back, BACK)):
        assert (seen.protocol, seen.spi, seen.sequence, seen.icv) == ("ah", spi, 1, 12)
    assert there.inner is not None
    assert there.inner.target == net.receiver


def test_ah_over_esp(bed: Bed, net: Addresses) -> None:
    install(bed, Side(net, (SA_IPIP, SA_ESP, SA_AH), **esp("3des", "md5")).host())
    steps = [
        ("esp", "tunnel", words("3des", "md5", 12)),
        ("ah", "transport", words("", "md5", 12)),
    ]
    answer(bed, net, steps)
    there, _ = exchange(bed, net, wire.echo(net.sender, net.receiver))
    assert (there.protocol, there.spi, there.icv) == ("ah", OUT, 12)
    assert there.inner is not None
    assert (there.inner.protocol, there.inner.spi) == ("esp", OUT)


def test_compressed_tunnels(bed: Bed, net: Addresses) -> None:
    install(bed, Side(net, (SA_IPIP, SA_COMP, SA_ESP), **esp("aes", "sha1")).host())
    steps = [
        ("comp", "tunnel", " comp deflate"),
        ("esp", "transport", words("aes", "sha1", 12)),
    ]
    answer(bed, net, steps)
    packet = wire.echo(net.sender, net.receiver, payload=b"z" * 600)
    there, back = exchange(bed, net, packet)
    assert (there.protocol, there.spi) == ("esp", OUT)
    assert there.length < 250
    assert back.length < 250
    # Too small to gain: KLIPS sent IP in IP below the ESP, and so does XFRM.
    small = wire.echo(net.sender, net.receiver, payload=b"z")
    there, _ = exchange(bed, net, small)
    header = 20 if net is V4 else 40
    assert there.length == header + wire.esp_length(len(small), block=16, iv=16, icv=12)


@pytest.mark.parametrize("protocol", [SA_ESP, SA_AH])
def test_transport(bed: Bed, net: Addresses, protocol: int) -> None:
    install(bed, Side(net, (protocol,), **esp("3des", "md5")).host())
    name = "esp" if protocol == SA_ESP else "ah"
    algorithms = words("3des" if protocol == SA_ESP else "", "md5", 12)
    answer(bed, net, [(name, "transport", algorithms)])
    with (
        bed.wire.capture() as middle,
        bed.peer.udp(net.peer, 9) as there,
        bed.gateway.udp(net.gateway) as here,
    ):
        here.sendto(b"over", (net.peer, 9))
        data, address = there.recvfrom(100)
        there.sendto(b"back", address)
        assert here.recv(100) == b"back"
        assert data == b"over"
        seen = middle.settled()
    assert [(p.protocol, p.spi, p.sequence) for p in seen] == [(name, OUT, 1), (name, BACK, 1)]


def test_nat_traversal(bed: Bed) -> None:
    fields = esp("aes", "sha1") | {"encapsulation": Encapsulation("nonesp", 4500, 4500)}
    install(bed, Side(V4, (SA_IPIP, SA_ESP), **fields).host())
    answer(
        bed,
        V4,
        [("esp", "tunnel", words("aes", "sha1", 12))],
        " encap espinudp 4500 4500 0.0.0.0",
    )
    packet = wire.echo(V4.sender, V4.receiver)
    with bed.wire.capture() as middle, bed.far.capture() as far:
        with bed.peer.udp(V4.peer, 4500) as socket:
            socket.setsockopt(17, 100, 2)  # UDP_ENCAP, UDP_ENCAP_ESPINUDP (linux/udp.h)
            bed.sender.send(packet)
            far.first(lambda p: p.source == V4.sender)
        seen = middle.settled()[0]
    assert (seen.protocol, seen.source_port, seen.target_port) == ("udp", 4500, 4500)
    assert struct.unpack_from("!II", seen.payload) == (OUT, 1)


@pytest.mark.parametrize(("tos", "shown"), [("1", 0), ("0", 0xB8), ("", 0)])
def test_the_outer_header(bed: Bed, tos: str, shown: int) -> None:
    """KLIPS cleared DF, and hid TOS unless hidetos=no."""
    parameters = {"tos": tos} if tos else {}
    install(bed, Side(V4, (SA_IPIP, SA_ESP), **esp("3des", "md5")).host(parameters=parameters))
    answer(bed, V4, [("esp", "tunnel", words("3des", "md5", 12))])
    packet = bytearray(wire.echo(V4.sender, V4.receiver))
    packet[1], packet[6] = 0xB8, packet[6] | 0x40
    packet[10:12] = bytes(2)
    packet[10:12] = wire.checksum(bytes(packet[:20])).to_bytes(2, "big")
    there, _ = exchange(bed, V4, bytes(packet))
    assert (there.tos, there.dont_fragment) == (shown, False)


def test_sequence_numbers_go_on_where_they_were(bed: Bed) -> None:
    side = Side(V4, (SA_IPIP, SA_ESP), **esp("3des", "md5"), sequence=77, replay_window=32)
    install(bed, side.host())
    answer(bed, V4, [("esp", "tunnel", words("3des", "md5", 12))], " replay-oseq 77")
    there, _ = exchange(bed, V4, wire.echo(V4.sender, V4.receiver))
    assert there.sequence == 78
    # What KLIPS had seen already is not taken again.
    with bed.gateway.counting() as counted, bed.lan.capture() as lan:
        bed.peer.ip("xfrm state flush")
        answer_again = words("3des", "md5", 12)
        bed.peer.ip(
            f"xfrm state add src {V4.peer} dst {V4.gateway} proto esp spi {BACK:#x} reqid 9"
            f" mode tunnel{answer_again}"
        )
        bed.receiver.send(wire.echo(V4.receiver, V4.sender))
        assert lan.settled() == []
    assert counted["XfrmInStateSeqError"] == 1


def test_clear_text_is_not_taken(bed: Bed, net: Addresses) -> None:
    install(bed, Side(net, (SA_IPIP, SA_ESP), **esp("3des", "md5")).host())
    with bed.lan.capture() as lan:
        bed.inject(wire.echo(net.receiver, net.sender))
        assert lan.settled() == []
