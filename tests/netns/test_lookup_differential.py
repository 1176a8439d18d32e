"""Which policy the running kernel takes, against what our lookups say: thousands of random sets.

A policy with a template for which there is no state makes the kernel ask a key daemon, and the
question (ACQUIRE) carries the policy.  One that blocks gives EPERM, one that allows lets the packet
go.  Packets that come in or are forwarded leave the time of use in the policy.
"""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from eroute_translate.net import Packet, format_address
from eroute_translate.xfrm.encode import encode_dump, encode_installs
from eroute_translate.xfrm.lookup import Decision
from eroute_translate.xfrm.model import Policy
from eroute_translate.xfrm.wire import messages

from .spaces import inside, ip, namespaces, sysctl
from .spd_sets import FAR, ICMP, NEAR, Predictions, Probe, distinct, packet, policy

pytestmark = pytest.mark.kernel

SETS: Final = 4000
PROBES: Final = 12
CROSSING_SETS: Final = 600
CROSSING_PROBES: Final = 6

NETLINK_XFRM: Final = 6
FLUSHSA, FLUSHPOLICY, SETDEFAULT, DELPOLICY, ACQUIRE = 28, 29, 39, 20, 23
_AF: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_POLICY_AT: Final = 16 + 96
_INDEX_AT: Final = 156
_USE_TIME_AT: Final = 144


class Kernel:
    """Speaks to XFRM in the namespace of the thread, and listens as a key daemon does."""

    def __init__(self) -> None:
        self.requests = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
        self.requests.bind((0, 0))
        self.requests.settimeout(10)
        self.events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
        self.events.bind((0, 1))  # the group of acquires
        self.events.setblocking(False)

    def close(self) -> None:
        self.requests.close()
        self.events.close()

    def send(self, *parts: bytes) -> None:
        """Send messages, and wait for the last one's answer; all must be done."""
        last = bytearray(parts[-1])
        flags, sequence = struct.unpack_from("=HI", last, 6)
        struct.pack_into("=H", last, 6, flags | 4)
        self.requests.send(b"".join((*parts[:-1], last)))
        while True:
            data = self.requests.recv(65536)
            _, kind, _, answered, _ = struct.unpack_from("=IHHII", data)
            (code,) = struct.unpack_from("=i", data, 16)
            assert kind == 2
            assert not code, errno.errorcode.get(-code)
            if answered == sequence:
                return

    def replace_all(self, policies: list[Policy], defaults: bytes) -> None:
        """These policies and no others; in the order given."""
        flushes = [
            struct.pack("=IHHII", 16, FLUSHPOLICY, 1, 0, 0),
            # The attribute of the type sub.
            struct.pack("=IHHIIHHBxHBx2x", 28, FLUSHPOLICY, 1, 0, 0, 10, 16, 1, 0, 0),
            struct.pack("=IHHII3sx", 19, SETDEFAULT, 1, 0, 0, defaults),
        ]
        self.send(*flushes)
        adds = encode_installs(policies, 1, replace=False)
        if adds:
            self.send(*(part.ljust(len(part) + 3 & ~3, b"\0") for part in adds))

    def update(self, policies: list[Policy]) -> None:
        if policies:
            self.send(*encode_installs(policies, 1))

    def forget_states(self) -> None:
        """Take away what waits for a key daemon."""
        self.requests.send(struct.pack("=IHHIIB3x", 20, FLUSHSA, 1, 0, 0, 0))

    def asked(self) -> list[int]:
        """Indices of the policies that a key daemon is asked for."""
        found: list[int] = []
        while True:
            try:
                data = self.events.recv(65536)
            except BlockingIOError:
                return found
            for kind, start, _ in messages(data):
                if kind == ACQUIRE:
                    found.append(struct.unpack_from("=I", data, start + _POLICY_AT + _INDEX_AT)[0])

    def used(self) -> list[int]:
        """Indices of the policies that were used since they were installed."""
        self.requests.send(encode_dump(7))
        found: list[int] = []
        while True:
            data = self.requests.recv(1 << 16)
            for kind, start, _ in messages(data):
                if kind == 3:
                    return found
                index, used = (
                    struct.unpack_from(form, data, start + 16 + at)[0]
                    for form, at in (("=I", _INDEX_AT), ("=Q", _USE_TIME_AT))
                )
                if used:
                    found.append(index)

    def await_used(
        self, direction: str, wanted: set[int], ignored: set[int], *, asked: bool
    ) -> set[int]:
        """The policies used, or asked for; the kernel may come to a packet a little later.

        A forwarded packet uses some for ``in`` too (xfrm/lookup.py).
        """
        codes = {"in": (0,), "out": (1,), "fwd": (0, 2)}[direction]
        end = time.monotonic() + 0.5
        while True:
            given = self.asked() if asked else self.used()
            found = {i for i in given if i & 7 in codes} - ignored
            if found == wanted or time.monotonic() > end:
                return found


# ----------------------------------------------------------------------- packets that leave


class Sender:
    """Sends one packet of any kind; the sockets are kept."""

    def __init__(self) -> None:
        self.sockets: dict[tuple[int, ...], socket.socket] = {}

    def close(self) -> None:
        for sock in self.sockets.values():
            sock.close()

    def _socket(self, sent: Packet) -> socket.socket:
        family, source, _, protocol, sport, _ = sent
        bound = sport if protocol in (17, 136) else 0
        key = (family, source, protocol, bound)
        sock = self.sockets.get(key)
        if sock is None:
            kind = socket.SOCK_DGRAM if protocol in (17, 136) else socket.SOCK_RAW
            sock = self.sockets[key] = socket.socket(_AF[family], kind, protocol)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((format_address(family, source), bound))
        return sock

    def send(self, probe: Probe) -> int:
        """The number of the error, 0 for none."""
        sent = probe.packet
        where = format_address(sent.family, sent.destination)
        if sent.protocol == 6:
            return self._connect(probe, where)
        sock = self._socket(sent)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", probe.mark))
        body = b"\0" * 8
        if sent.protocol in (1, 58):
            body = bytes((sent.source_port, sent.destination_port)) + b"\0" * 6
        port = sent.destination_port if sent.protocol in (17, 136) else 0
        try:
            sock.sendto(body, (where, port))
        except OSError as error:
            return error.errno or 0
        return 0

    @staticmethod
    def _connect(probe: Probe, where: str) -> int:
        sent = probe.packet
        with socket.socket(_AF[sent.family], socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", probe.mark))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.bind((format_address(sent.family, sent.source), sent.source_port))
            sock.setblocking(False)
            code = sock.connect_ex((where, sent.destination_port))
        return 0 if code in (errno.EINPROGRESS, errno.EHOSTUNREACH) else code


def outcome(decision: Decision, default: str) -> tuple[str, int]:
    """What is to be seen: ``asks`` with the index of a policy, ``EPERM``, or ``goes``."""
    if decision.winner is None:
        return ("EPERM", 0) if default == "block" else ("goes", 0)
    if decision.action == "block":
        return "EPERM", 0
    for taken in (decision.winner, decision.second):
        if taken is not None and taken.templates:
            return "asks", taken.index
    return "goes", 0


def seen(kernel: Kernel, sender: Sender, probe: Probe) -> tuple[str, int]:
    code = sender.send(probe)
    asked = kernel.asked()
    kernel.forget_states()
    if asked:
        assert len(set(asked)) == 1, (probe, asked)
        return "asks", asked[0]
    if code == errno.EPERM:
        return "EPERM", 0
    assert not code, (probe, errno.errorcode.get(code))
    return "goes", 0


def change(rng: random.Random, policies: list[Policy]) -> tuple[list[Policy], list[Policy]]:
    """Updates of some policies, and the set after them, the oldest first.

    Each gets a priority of its own: at equal priority the kernel does not tell whether an update
    makes a policy young (docs/xfrm.md).
    """
    updates = [
        p._replace(
            priority=rng.randrange(100, 10_000) * 8 + n, action=rng.choice(("allow", "block"))
        )
        for n, p in enumerate(rng.sample(policies, min(len(policies), rng.randrange(4))))
    ]
    keys = {p.key for p in updates}
    return updates, [p for p in policies if p.key not in keys] + updates


def run_outbound(device: int) -> Counter[str]:
    rng = random.Random(6)
    counts: Counter[str] = Counter()
    kernel, sender = Kernel(), Sender()
    with contextlib.closing(kernel), contextlib.closing(sender):
        for number in range(SETS):
            size = rng.choice((1, 3, 6, 12, 25, 50))
            drawn = [
                policy(
                    rng, n, rng.choice((4, 4, 6)), rng.choice(("out",) * 5 + ("in",)), (1, device)
                )
                for n in range(1, size + 1)
            ]
            policies = distinct(drawn)
            default = rng.choice(("allow", "allow", "block"))
            kernel.replace_all(policies, bytes((2, 2, 1 if default == "block" else 2)))
            updates, policies = change(rng, policies)
            kernel.update(updates)
            predictions = Predictions(policies)
            for _ in range(PROBES):
                family = rng.choice((4, 4, 6))
                sent = packet(rng, family, (17, 17, 17, 6, 136, 50, 89, ICMP[family]))
                # A mark; the device of an IPv6 packet is not in its flow (xfrm/lookup.py).
                mark = rng.choice((0, 0, 1, 2, 0x10001, 0xFFFFFFFF))
                probe = Probe(sent, mark, device if family == 4 else 0)
                # The kernel sends TCP through raw sockets without ports, so TCP connects.
                decision = predictions.decide("out", probe)
                wanted, given = outcome(decision, default), seen(kernel, sender, probe)
                counts["probes"] += 1
                counts[wanted[0]] += 1
                counts["by age"] += any(c.verdict.name == "AGE" for c in decision.candidates)
                counts["mismatches"] += wanted != given
                assert wanted == given, (number, probe, decision, policies)
            counts["sets"] += 1
            counts["policies"] += len(policies)
            counts["updates"] += len(updates)
    return counts


@pytest.fixture
def sender_space() -> Iterator[tuple[str, int]]:
    """A namespace with the addresses of the sender, whose packets go nowhere."""
    with namespaces("sender") as (space,):
        sysctl(space, ipv6__conf__default__dad_transmits=0, ipv6__conf__default__accept_ra=0)
        ip(space, "link", "add", "d0", "type", "veth", "peer", "name", "d1")
        for end in ("d0", "d1"):
            ip(space, "link", "set", end, "arp", "off", "up")
        for family, addresses in NEAR.items():
            for address in addresses:
                text = f"{format_address(family, address)}/{32 if family == 4 else 128}"
                ip(space, "address", "add", text, "dev", "d0", *(["nodad"] if family == 6 else []))
            ip(space, f"-{family}", "route", "add", "default", "dev", "d0")
        sysctl(space, core__xfrm_larval_drop=1)
        (line,) = ip(space, "-o", "link", "show", "d0").splitlines()
        yield space, int(line.partition(":")[0])


def test_packets_that_leave(sender_space: tuple[str, int]) -> None:
    space, device = sender_space
    begun = time.monotonic()
    counts = inside(space, lambda: run_outbound(device))
    print(f"{dict(counts)} in {time.monotonic() - begun:.1f} s")
    assert counts["mismatches"] == 0
    assert counts["sets"] == SETS
    assert counts["probes"] == SETS * PROBES
    assert min(counts[kind] for kind in ("asks", "EPERM", "goes")) > SETS
    assert counts["by age"] > SETS / 2


# --------------------------------------------------------- packets that come in or go through


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def octets(sent: Packet) -> bytes:
    """The packet as it stands in an Ethernet frame."""
    family, source, destination, protocol, sport, dport = sent
    size = 4 if family == 4 else 16
    ends = source.to_bytes(size) + destination.to_bytes(size)
    body, place = b"\0" * 8, None
    if protocol in (17, 136):
        # The length of UDP-Lite says how much of it the checksum covers.
        body, place = struct.pack("!HHHHI", sport, dport, 12, 0, 0), 6
    elif protocol == 6:
        body, place = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 5 << 4, 2, 512, 0, 0), 16
    elif protocol == ICMP[family]:
        body, place = struct.pack("!BBHI", sport, dport, 0, 0), 2
    if place is not None:
        pseudo = ends + struct.pack("!II", len(body), protocol)
        covered = body if protocol == 1 else pseudo + body
        body = body[:place] + struct.pack("!H", checksum(covered)) + body[place + 2 :]
    if family == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + ends + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + ends
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def beside_block(
    predicted: Predictions, decision: Decision, probe: Probe, direction: str
) -> set[int]:
    """A policy of type main that the kernel looks up, and notes, beside a sub one that blocks."""
    winner = decision.winner
    if direction == "out" or winner is None or winner.ptype != "sub" or winner.action != "block":
        return set()
    main = Predictions([p for p in predicted.policies if p.ptype == "main"])
    beside = main.decide("in", probe).winner
    return set() if beside is None else {beside.index}


def passes(decision: Decision, default: str) -> bool:
    """Whether a packet that nothing was applied to goes on."""
    if decision.winner is None:
        return default == "allow"
    return decision.action == "allow" and not decision.templates


def run_crossing(near: int, far: int, mac: bytes) -> Counter[str]:
    rng = random.Random(7)
    counts: Counter[str] = Counter()
    kernel = Kernel()
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with contextlib.closing(kernel), wire:
        wire.bind(("l0", 0))
        for number in range(CROSSING_SETS):
            size = rng.choice((2, 6, 12, 25))
            devices = (1, near, far)
            policies = distinct(
                [
                    policy(rng, n, rng.choice((4, 6)), rng.choice(("in", "fwd", "out")), devices)
                    for n in range(1, size * 3 + 1)
                ]
            )
            default = rng.choice(("allow", "allow", "block"))
            predicted = Predictions(policies)
            for _ in range(CROSSING_PROBES):
                family = rng.choice((4, 6))
                sent = packet(rng, family, (17, 17, 6, 136, 50, 89, 47, ICMP[family]))
                defaults = bytes((1, 1, 2) if default == "block" else (2, 2, 2))
                kernel.replace_all(policies, defaults)
                frame = mac + bytes(6) + (b"\x08\0" if family == 4 else b"\x86\xdd") + octets(sent)
                wire.send(frame)
                directions = ["in"] if sent.destination in FAR[family][:2] else ["fwd", "out"]
                for direction in directions:
                    probe = Probe(sent, 0, 1 if direction == "in" else far)
                    decision = predicted.decide(direction, probe)
                    wanted = {taken.index for taken in decision[:2] if isinstance(taken, Policy)}
                    ignored = beside_block(predicted, decision, probe, direction)
                    asks = direction == "out" and outcome(decision, "allow")[0] == "asks"
                    if asks:
                        # Without a state the kernel asks before it notes the time of use.
                        wanted = {outcome(decision, "allow")[1]}
                    given = kernel.await_used(direction, wanted, ignored, asked=asks)
                    if given != wanted:
                        # Multicast reports of the kernel itself may have met a policy meanwhile.
                        counts["tried twice"] += 1
                        kernel.forget_states()
                        kernel.replace_all(policies, defaults)
                        wire.send(frame)
                        given = kernel.await_used(direction, wanted, ignored, asked=asks)
                    counts[direction] += 1
                    counts["policies used"] += len(given)
                    counts["mismatches"] += wanted != given
                    assert wanted == given, (number, direction, probe, wanted, given, decision)
                    if direction == "fwd" and not passes(decision, default):
                        break
                kernel.forget_states()
                kernel.asked()
    return counts


@pytest.fixture
def crossing_space() -> Iterator[tuple[str, int, int, bytes]]:
    """A namespace that gets packets from l0 and forwards them to r0; it has two of FAR."""
    with namespaces("crossing") as (space,):
        sysctl(space, ipv6__conf__default__dad_transmits=0, ipv6__conf__default__accept_ra=0)
        for end, peer in (("l0", "g0"), ("g1", "r0")):
            ip(space, "link", "add", end, "type", "veth", "peer", "name", peer)
            for device in (end, peer):
                ip(space, "link", "set", device, "arp", "off", "up")
        for family, addresses in FAR.items():
            for address in addresses[:2]:
                text = f"{format_address(family, address)}/{32 if family == 4 else 128}"
                ip(space, "address", "add", text, "dev", "g1", *(["nodad"] if family == 6 else []))
            ip(space, f"-{family}", "route", "add", "default", "dev", "g1")
        sysctl(space, core__xfrm_larval_drop=1, ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        sysctl(space, ipv4__conf__all__rp_filter=0, ipv4__conf__g0__rp_filter=0)
        words = ip(space, "-o", "link", "show", "g0").split()
        (far,) = ip(space, "-o", "link", "show", "g1").splitlines()
        mac = bytes.fromhex(words[words.index("link/ether") + 1].replace(":", ""))
        yield space, int(words[0].rstrip(":")), int(far.partition(":")[0]), mac


def test_packets_that_come_in_or_go_through(
    crossing_space: tuple[str, int, int, bytes],
) -> None:
    space, near, far, mac = crossing_space
    begun = time.monotonic()
    counts = inside(space, lambda: run_crossing(near, far, mac))
    print(f"{dict(counts)} in {time.monotonic() - begun:.1f} s")
    assert counts["mismatches"] == 0
    assert min(counts[kind] for kind in ("in", "fwd", "out")) > CROSSING_SETS / 2
    assert counts["policies used"] > CROSSING_SETS
    assert counts["tried twice"] < CROSSING_SETS / 50
