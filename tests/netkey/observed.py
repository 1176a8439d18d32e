"""Sends the packet of a fate over the bed and says in words what was seen of it."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from eroute_translate.diagnostics import Collector
from eroute_translate.klips.assembly import host_of_readings
from eroute_translate.klips.said import SA_ESP, SA_IPIP
from eroute_translate.klips.source import read_source
from eroute_translate.mapping.algorithms import IcvLength
from eroute_translate.mapping.model import Scoping
from eroute_translate.mapping.translation import Translation, translate
from eroute_translate.render import Target, render
from tests.translated import options, page, translated

from . import associations, wire
from .bed import V4, V6, Addresses, Bed, Host
from .fates import Fate, Probe, network, routes_of, said, table_of, words_of
from .spd import Policy
from .translated import answer, command_translation, states
from .unsealed import described

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .wire import Capture, Packet

QUIET: Final = 0.015
OTHER_SPI: Final = 0x4001
_NUMBERS: Final = {"esp": 50, "ah": 51, "sctp": 132, "icmpv6": 58}
_DISCOVERY: Final = {"solicitation": 135, "advertisement": 136, "redirect": 137}


def _host(bed: Bed, word: str, local: bool) -> Host:
    if word == "here":
        return bed.gateway if local else bed.sender
    return {
        "behind": bed.sender,
        "gateway": bed.gateway,
        "inside": bed.gateway,
        "peer": bed.peer,
    }.get(word, bed.receiver)


# ------------------------------------------------------------------------------------- preparation


def _given(fate: Fate, net: Addresses, local: bool) -> dict[str, Any]:
    """The options of the mapping, with words replaced."""
    words = words_of(net, local)
    given = dict(fate.given)
    if "icv" in given:
        given["icv"] = IcvLength(given["icv"])
    if "scope" in given:
        given["scope"] = Scoping(given["scope"])
    if "local" in given:
        given["local"] = words[given["local"]]
    for name in ("bypass", "routed"):
        if name in given:
            given[name] = " ".join(network(word, net, local) for word in given[name].split())
    return given


def prepare(fate: Fate, bed: Bed, net: Addresses, local: bool) -> bool:
    """Translate the table onto the gateway, and give both ends their SAs; false if refused."""
    given = _given(fate, net, local)
    if fate.nft:
        made = page(table_of(fate, net, local), partial=fate.partial, **given)
        bed.gateway.script("".join(render(made, Target.IP_XFRM)))
    else:
        translation = _translation(fate, net, local, given)
        if translation.refused and not fate.partial:
            return False
        # By netlink, as apply does it; the tests of the rules run what is printed.
        channel = bed.gateway.channel
        channel.install_states([c.state for c in translation.states if c.state])
        channel.install(list(translation.policies()))
    _answer(fate, bed, net, local)
    return True


def _translation(fate: Fate, net: Addresses, local: bool, given: dict[str, Any]) -> Translation:
    if fate.routes:
        return _scoped(table_of(fate, net, local) + routes_of(fate, net, local), given)
    if fate.source == "table":
        return translated(table_of(fate, net, local), **given)
    if fate.source == "commands":
        return command_translation(*_commands(fate, net, local), **given)
    if fate.source == "host":  # whose group is known, and holds nothing but the IP header
        return translate(associations.Side(net, (SA_IPIP,)).host(), options(**given))
    cipher, digest, _, version = fate.source.split(" ", 3)
    side = associations.Side(net, (SA_IPIP, SA_ESP), **associations.esp(cipher, digest))
    return translate(side.host(version=version), options(**given))


def _scoped(text: str, given: dict[str, Any]) -> Translation:
    """A capture with the routes beside the table."""
    collector = Collector()
    readings = read_source(text.encode(), "capture", collector)
    host = host_of_readings(readings, None, collector)
    assert host.routes
    return translate(host, options(**given))


def _commands(fate: Fate, net: Addresses, local: bool) -> Iterator[str]:
    family = "inet" if net is V4 else "inet6"
    for line in fate.table.split("; "):
        near, _, far, _, name, *rest = line.split(maxsplit=5)
        ends = network(near, net, local), network(far, net, local)
        yield (
            f"--add --eraf {family} --src {ends[0]} --dst {ends[1]}"
            f" --said {said(name, net, local)} {' '.join(rest)}".strip()
        )


def _answer(fate: Fate, bed: Bed, net: Addresses, local: bool) -> None:
    peer = fate.peer
    if fate.source.count(" "):
        cipher, digest, icv, _ = fate.source.split(" ", 3)
        words = associations.words(cipher, digest, int(icv) // 8)
        associations.answer(bed, net, [("esp", "tunnel", words)])
        return
    if peer is None:
        return
    answer(
        bed,
        net,
        *peer.chain,
        near=network(peer.near, net, local),
        far=network(peer.far, net, local),
        mode=peer.mode,
        only=peer.only,
        reqid=peer.reqid,
        outer=(V6 if net is V4 else V4) if peer.other_family else None,
    )
    if fate.newer:
        newer = replace(states(net.gateway, net.peer, "esp", reqid=fate.newer)[0], spi=OTHER_SPI)
        bed.gateway.xfrm.add(newer)
        bed.peer.xfrm.add(newer)
    if peer.ike:
        near, far = (network(word, net, local) for word in (peer.near, peer.far))
        for port in (500, 4500):
            bed.peer.xfrm.add(
                Policy("in", near, far, priority=1, protocol=17, source_port=port),
                Policy("out", far, near, priority=1, protocol=17, target_port=port),
            )


# ------------------------------------------------------------------------------------- sending


def _packet(probe: Probe, net: Addresses, local: bool) -> bytes:
    """The whole packet, for what goes past the sockets of the host."""
    words = words_of(net, local)
    ends = words[probe.source], words[probe.target]
    if probe.protocol == "udp":
        return wire.udp(*ends, *probe.ports, payload=b"z" * probe.size)
    if probe.protocol == "tcp":
        return wire.tcp_syn(*ends, *probe.ports)
    if probe.protocol == "echo":
        return wire.echo(*ends, payload=b"z" * probe.size)
    number, body = _body(probe)
    return wire.ip(*ends, number, body)


def _body(probe: Probe) -> tuple[int, bytes]:
    """Number of the protocol, and what follows the IP header."""
    if probe.protocol in _DISCOVERY:
        return 58, bytes([_DISCOVERY[probe.protocol]]) + bytes(23)
    if probe.protocol == "esp":
        return 50, struct.pack("!II", 0x7777, 1) + bytes(40)
    if probe.protocol == "ah":
        return 51, bytes([17, 4, 0, 0]) + struct.pack("!II", 0x8888, 1) + bytes(12 + 16)
    return _NUMBERS[probe.protocol], struct.pack("!HH", *probe.ports) + bytes(28)


def _by_socket(host: Host, probe: Probe, net: Addresses, local: bool) -> int:
    """By a socket, so that the sender is told; the error's number, or 0."""
    words = words_of(net, local)
    source, target = words[probe.source], words[probe.target]
    family = socket.AF_INET if net is V4 else socket.AF_INET6
    kinds = {"udp": (socket.SOCK_DGRAM, 0), "tcp": (socket.SOCK_STREAM, 0)}
    kind = kinds.get(probe.protocol)
    with host.inside():
        made = socket.socket(family, *(kind or (socket.SOCK_RAW, _body(probe)[0])))
    with made:
        made.setblocking(False)
        made.bind((source, probe.ports[0] if kind else 0))
        try:
            if probe.protocol == "tcp":
                made.connect((target, probe.ports[1]))
            else:
                data = b"z" * probe.size if kind else _body(probe)[1]
                made.sendto(data, (target, probe.ports[1] if kind else 0))
        except BlockingIOError:
            return 0
        except OSError as error:
            return error.errno or -1
    return 0


def _transmit(fate: Fate, bed: Bed, net: Addresses, local: bool) -> int:
    probe = fate.probe
    if probe.injected:
        bed.inject(_packet(probe, net, local))
        return 0
    host = _host(bed, probe.source, local)
    told = 0
    for _ in range(probe.times):
        if host in (bed.gateway, bed.peer) or probe.protocol == "udp":
            told = _by_socket(host, probe, net, local)
        else:
            host.send(_packet(probe, net, local))
    return told


# ------------------------------------------------------------------------------------- seeing


def _is_ours(packet: Packet, probe: Probe, source: str) -> bool:
    name = {"echo": ("icmp", "icmpv6"), "sctp": ("132",)}.get(probe.protocol, (probe.protocol,))
    if probe.protocol in _DISCOVERY:
        return packet.type == _DISCOVERY[probe.protocol] and packet.source == source
    return packet.source == source and packet.protocol in name


def _counters(counted: dict[str, int]) -> str:
    names = ", ".join(sorted(name.removeprefix("Xfrm") for name in counted))
    return f" ({names})" if names else ""


def observed(fate: Fate, bed: Bed, net: Addresses, local: bool) -> str:
    """What becomes of the packet, in the words of docs/on-the-wire.md."""
    if not prepare(fate, bed, net, local):
        return "refused, nothing installed"
    probe = fate.probe
    words = words_of(net, local)
    target = _host(bed, probe.target, local)
    discovering = probe.protocol in _DISCOVERY or fate.strangers
    by_socket = probe.protocol == "udp" and target in (bed.gateway, bed.peer, bed.sender)
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        if fate.strangers:
            enter(bed.strangers())
        middle = enter(bed.wire.capture(housekeeping=discovering))
        lan = enter(bed.lan.capture())
        far = enter(bed.far.capture(housekeeping=discovering))
        manager = enter(bed.gateway.key_manager())
        there = enter(target.udp(words[probe.target], probe.ports[1])) if by_socket else None
        with bed.gateway.counting() as counted:
            told = _transmit(fate, bed, net, local)
            seen = middle.settled(QUIET)
            if fate.strangers:
                seen = middle.settled(0.05)
        if there is not None:
            arrived = bool(select.select([there], [], [], 0)[0])
        else:
            arrived = any(
                _is_ours(p, probe, words[probe.source]) and not p.outgoing for p in far.take()
            )
        outward = _host(bed, probe.source, local) in (bed.sender, bed.gateway)
        if not outward or probe.injected:
            return _inward(fate, seen, arrived, counted)
        asked = manager.acquires(0.005 if arrived else QUIET)
        refusals = _refusals(lan, words[probe.source])
    text = _asked(asked, words)
    left = [p for p in seen if not p.outgoing]
    found = "; ".join(dict.fromkeys(_discovery(p) for p in seen if p.is_housekeeping))
    if probe.protocol not in _DISCOVERY:
        left = [p for p in left if not p.is_housekeeping]
        text += f"{found}; " if found else ""
    if left:
        forms = list(dict.fromkeys(_form(p) for p in left))
        return text + " and ".join(forms[:2]) + (", arrives" if arrived else "")
    told_text = {0: "", errno.EPERM: ", EPERM"}.get(told, f", errno {told}")
    return f"{text}dropped{_counters(counted)}{told_text}{refusals}"


def _form(packet: Packet) -> str:
    return "as it is" if packet.spi in (0x7777, 0x8888) else described(packet)


def _discovery(packet: Packet) -> str:
    return f"ICMPv6 {packet.type} {'comes' if packet.outgoing else 'goes'} in clear"


def _asked(asked: list[Any], words: dict[str, str]) -> str:
    if not asked:
        return ""
    named = {address: word for word, address in reversed(words.items())}
    times = {1: "once"}.get(len(asked), f"{len(asked)} times")
    one = asked[0]
    return f"asks {times} for {one.protocol.upper()} to {named.get(one.target, one.target)}; "


def _refusals(lan: Capture, source: str) -> str:
    errors = [p for p in lan.take() if p.target == source and p.inner is not None]
    return "".join(dict.fromkeys(f", ICMP {p.type}/{p.code}" for p in errors))


def _inward(fate: Fate, seen: list[Packet], arrived: bool, counted: dict[str, int]) -> str:
    came = [p for p in seen if p.outgoing and not p.is_housekeeping]
    form = described(came[0]) if came else "nothing"
    return f"{form}: " + ("accepted" if arrived else f"dropped{_counters(counted)}")


def variants(fate: Fate) -> Iterator[tuple[Addresses, bool]]:
    """Families and ways in which there is such a packet: IPv4 forwarded first."""
    for net in (V4, V6):
        for local in (False, True):
            if fate.expected(net, local):
                yield net, local


def differences(fate: Fate, bed: Bed, *, first: bool = False) -> list[str]:
    """Where what is seen is not what is expected; only the first such place if asked."""
    found = []
    for net, local in variants(fate):
        bed.reset()
        seen, expected = observed(fate, bed, net, local), fate.expected(net, local)
        if seen != expected:
            name = f"{'v4' if net is V4 else 'v6'} {'local' if local else 'forwarded'}"
            found.append(
                f"{fate.rule}: {fate.table}: {fate.probe}: {name}: {seen}; expected: {expected}"
            )
            if first:
                break
    return found
