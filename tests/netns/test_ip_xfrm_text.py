"""Text and lookup against the running kernel: ``ip -batch``, ``ip xfrm policy``, ACQUIRE."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import random
import shutil
import socket
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import pytest

from eroute_translate.net import MASK_OF_LENGTH, WIDTH, Packet, Prefix, Selector, parse_prefix
from eroute_translate.xfrm.lookup import PolicyIndex, Verdict, lookup, matches
from eroute_translate.xfrm.model import Policy, Template
from eroute_translate.xfrm.read_text import read_policies
from eroute_translate.xfrm.text import key_arguments, policy_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.kernel

T = TypeVar("T")
_numbers = itertools.count()


@pytest.fixture
def own_namespace() -> Iterator[str]:
    """A fresh namespace with ``lo`` and a veth pair up; says aloud why it cannot be had."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if shutil.which("ip") is None:
        pytest.skip("the program ip (iproute2) is not installed")
    name = f"et-text-{os.getpid()}-{next(_numbers)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no network namespace: {made.stderr.strip()}")
    try:
        ip(name, "link", "set", "lo", "up")
        ip(name, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        ip(name, "link", "set", "v0", "up")
        ip(name, "link", "set", "v1", "up")
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def ip(name: str, *arguments: str, text: str | None = None) -> str:
    done = subprocess.run(
        ["ip", "-n", name, *arguments], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}{done.stdout}"
    return done.stdout


def inside(name: str, work: Callable[[], T]) -> T:
    """Run something in a thread that lives in the namespace."""

    def enter_and_work() -> T:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/run/netns/{name}").open("rb") as file:
            if libc.setns(file.fileno(), 0x40000000):
                raise OSError(ctypes.get_errno(), "setns")
        return work()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(enter_and_work).result()


def set_sysctl(name: str, **values: str) -> None:
    for key, value in values.items():
        path = f"/proc/sys/net/{key.replace('__', '/')}"
        subprocess.run(
            ["ip", "netns", "exec", name, "sh", "-c", f"echo {value} > {path}"], check=True
        )


# ---------------------------------------------------------------------------------------- text

TUNNEL = Template(50, "tunnel", 4, 0x01010101, 0x02020202, 7, 0x1000)
TUNNEL6 = Template(51, "tunnel", 6, 0xFE80 << 112, (0xFE80 << 112) + 1, 0xFFFFFFFF)
TRANSPORT = Template(108, "transport", 4, optional=True)


def varied_policies() -> list[Policy]:
    """Make every shape that ``ip`` can express; all keys differ."""
    plain4 = Selector(parse_prefix("10.0.0.5/24"), parse_prefix("10.1.0.0/16"))
    plain6 = Selector(parse_prefix("2001:db8::/32"), parse_prefix("::/0"))
    full = (0xFFFF, 0xFFFF)
    shapes = [
        Policy("", plain4, 0),
        Policy("", plain4._replace(source=parse_prefix("10.0.0.0/24")), 0xFFFFFFFF, "block"),
        *[Policy("", plain4._replace(protocol=n), n, if_id=n) for n in (1, 4, 50, 94, 136, 253)],
        *[
            Policy("", plain4._replace(protocol=n, source_port=5, destination_port=65535), 1)
            for n in (0, 6, 17, 33, 132)
        ],
        Policy("", plain4._replace(protocol=6, source_port=5), 2, "block"),
        Policy("", plain4._replace(protocol=6, destination_port=5), 2, "allow", (TUNNEL,)),
        Policy("", plain4._replace(protocol=1, source_port=8), 3),
        Policy("", plain4._replace(protocol=1, source_port=3, destination_port=4), 3),
        Policy("", plain4._replace(protocol=1), 3, port_masks=(0xFFFF, 0)),
        Policy("", plain4._replace(protocol=1), 3, port_masks=(0, 0xFFFF)),
        Policy("", plain4._replace(protocol=1), 3, port_masks=full),
        Policy("", plain6._replace(protocol=58, source_port=135), 3, "allow", (TUNNEL,)),
        Policy("", plain6._replace(protocol=135, source_port=5), 3, "allow", (TUNNEL6,)),
        Policy("", plain4._replace(protocol=47), 4, port_masks=full),
        Policy("", plain4._replace(protocol=47, source_port=1, destination_port=2), 4),
        Policy("", plain4._replace(protocol=47, destination_port=77), 4, port_masks=full),
        Policy("", plain4, 5, mark=(5, 0xFF), if_id=0xFFFFFFFF),
        Policy("", plain4, 5, mark=(0x80000000, 0xFFFFFFFF)),
        Policy("", plain4, 5, mark=(0, 0xF0)),
        Policy("", plain6, 6, "allow", (TUNNEL6,)),
        Policy("", plain4, 7, ifindex=1),
        Policy("", plain4._replace(protocol=17, destination_port=9), 7, ifindex=77),
        Policy("", plain4, 8, ptype="sub"),
        Policy("", plain4, 8, "block", (TUNNEL,), (1, 1), 2, ptype="sub"),
        Policy("", plain4, 9, "allow", (TUNNEL,), if_id=1000),
        Policy("", plain4, 9, "allow", (TUNNEL, TRANSPORT._replace(optional=False)), if_id=1001),
        Policy("", plain6, 9, "allow", (TRANSPORT._replace(family=6, spi=0xFFFF),), if_id=1002),
        Policy("", plain6, 9, "allow", (TUNNEL._replace(mode="beet"),), if_id=1003),
        Policy("", plain4, 9, "allow", (Template(43, "ro", 4, 1, 2),), if_id=1004),
        Policy("", plain4, 9, "allow", (Template(60, "in_trigger", 4),), if_id=1005),
        Policy("", plain4, 9, "allow", (TUNNEL,) * 6, if_id=1006),
    ]
    policies = [shape._replace(direction=d) for d in ("out", "in", "fwd") for shape in shapes]
    # The kernel takes an optional tunnel for in and fwd only.
    optional = Policy(
        "in", plain4, 9, "allow", (TUNNEL._replace(optional=True), TRANSPORT), if_id=9
    )
    return [*policies, optional, optional._replace(direction="fwd")]


@pytest.mark.parametrize("numeric", [False, True])
def test_what_ip_takes_is_what_ip_prints(own_namespace: str, numeric: bool) -> None:
    policies = varied_policies()
    assert len({policy.key for policy in policies}) == len(policies)
    devices = {1: "lo"}
    batch = [
        "xfrm policy update " + policy_arguments(p, devices.get(p.ifindex, ""), numeric=numeric)
        for p in policies
    ]
    ip(own_namespace, "-batch", "-", text="\n".join(batch) + "\n")
    for options in ([], ["-s"], ["-o"], ["-o", "-s"]):
        text = ip(own_namespace, *options, "xfrm", "policy")
        reading = read_policies(text, devices={"lo": 1})
        assert reading.diagnostics == ()
        # A dump lists the newest first.
        found = [policy._replace(index=0) for policy in reversed(reading.policies)]
        for made, read in zip(policies, found, strict=True):
            assert read == made
        assert all(policy.index for policy in reading.policies) == ("-s" in options)

    nameable = [p for p in policies if p.mark[0] & p.mark[1] or not p.mark[1]]
    batch = [
        "xfrm policy delete " + key_arguments(p, devices.get(p.ifindex, ""), numeric=numeric)
        for p in nameable
    ]
    ip(own_namespace, "-batch", "-", text="\n".join(batch) + "\n")
    left = read_policies(ip(own_namespace, "xfrm", "policy")).policies
    assert [policy.mark for policy in left] == [(0, 0xF0)] * 3


def test_socket_policies_and_limits(own_namespace: str) -> None:
    command = "xfrm policy update src 10.0.0.0/8 dst 0.0.0.0/0 dir in flag localok flag icmp"
    limits = "limit time-hard 1000 limit time-use-soft 7 limit byte-soft 100 limit packet-hard 6"
    ip(own_namespace, *command.split(), *limits.split())

    def with_sockets() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for direction in (0, 1):
                policy = Policy("in", Selector(Prefix(4, 0, 0), Prefix(4, 0, 0)), 3)
                body = pack_policy(policy, direction=direction)
                sock.setsockopt(socket.IPPROTO_IP, 17, body)  # IP_XFRM_POLICY
            return ip(own_namespace, "-s", "xfrm", "policy")

    reading = read_policies(inside(own_namespace, with_sockets))
    assert reading.diagnostics == ()
    directions = [policy.direction for policy in reading.policies]
    assert directions == ["socket out", "socket in", "in"]
    assert reading.entries[2].flags == 3
    assert set(reading.entries[2].limits) == {
        ("time-hard", 1000),
        ("time-use-soft", 7),
        ("byte-soft", 100),
        ("packet-hard", 6),
    }


# ------------------------------------------------------------------- a few messages of our own

NEWPOLICY: Final = 0x13
ACQUIRE: Final = 0x17
FLUSHSA: Final = 0x1C
FLUSHPOLICY: Final = 0x1D
_DIRECTIONS: Final = {"in": 0, "out": 1, "fwd": 2}
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


def packed(family: int, address: int) -> bytes:
    return address.to_bytes(WIDTH[family] // 8).ljust(16, b"\0")


def pack_policy(policy: Policy, direction: int | None = None) -> bytes:
    """Pack a struct xfrm_userpolicy_info (facts 1.2)."""
    source, destination, protocol, source_port, destination_port = policy.selector
    source_mask, destination_mask = policy.full_port_masks
    selector = struct.pack(
        "=16s16sHHHHHBBB3xiI",
        packed(source.family, destination.address),
        packed(source.family, source.address),
        *map(socket.htons, (destination_port, destination_mask, source_port, source_mask)),
        _FAMILIES[source.family],
        destination.length,
        source.length,
        protocol,
        policy.ifindex,
        0,
    )
    return struct.pack(
        "=56s64s32sIIBBBB4x",
        selector,
        b"\xff" * 32 + bytes(32),
        bytes(32),
        policy.priority,
        policy.index,
        _DIRECTIONS[policy.direction] if direction is None else direction,
        policy.action == "block",
        0,
        0,
    )


def attribute(number: int, payload: bytes) -> bytes:
    padding = bytes(-len(payload) % 4)
    return struct.pack("=HH", 4 + len(payload), number) + payload + padding


def new_policy(policy: Policy) -> bytes:
    message = pack_policy(policy)
    if policy.templates:
        message += attribute(
            5,
            b"".join(
                struct.pack(
                    "=16s4sB3xH2x16sIBBBxIII",
                    packed(t.family, t.destination),
                    t.spi.to_bytes(4),
                    t.protocol,
                    _FAMILIES[t.family],
                    packed(t.family, t.source),
                    t.reqid,
                    ("transport", "tunnel").index(t.mode),
                    0,
                    t.optional,
                    *[0xFFFFFFFF] * 3,
                )
                for t in policy.templates
            ),
        )
    if policy.mark[1]:
        message += attribute(21, struct.pack("=II", *policy.mark))
    if policy.ptype == "sub":
        message += attribute(16, bytes([1, 0, 0, 0, 0, 0]))
    return message


class Netlink:
    """An XFRM socket of the namespace of this thread."""

    def __init__(self, groups: int = 0) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)
        self.socket.bind((0, groups))

    def request(self, kind: int, body: bytes) -> int:
        """Send one message, wait for its ack, return its errno."""
        self.socket.send(struct.pack("=IHHII", 16 + len(body), kind, 5, 1, 0) + body)
        answer = self.socket.recv(16384)
        return -int(struct.unpack_from("=i", answer, 16)[0])

    def acquired(self, packet: Packet) -> list[int]:
        """Take the indexes of the policies of all ACQUIRE messages that came for a packet.

        Others may come in between: the kernel's own neighbour discovery asks for policies too.
        """
        found: list[int] = []
        wanted = packed(packet.family, packet.destination), packet.protocol
        with contextlib.suppress(BlockingIOError):
            while True:
                message = self.socket.recv(16384, socket.MSG_DONTWAIT)
                if struct.unpack_from("=H", message, 4)[0] == ACQUIRE:
                    selector = message[16 + 40 : 16 + 96]
                    if (selector[:16], selector[44]) == wanted:
                        found.append(struct.unpack_from("=I", message, 16 + 96 + 156)[0])
        return found


# -------------------------------------------------------------------------------------- lookup

HOSTS: Final = {4: (0x0A000000, 0x14000000), 6: (0xFD00 << 112, 0xFD01 << 112)}
"""Our sources and the others' destinations: 10.0.0.0/8 and 20.0.0.0/8, fd00::/16, fd01::/16."""

LENGTHS: Final = {4: (0, 8, 16, 22, 24, 29, 30, 32), 6: (0, 16, 48, 64, 112, 124, 126, 128)}
PORTS: Final = (4000, 4001, 4002, 5000)


def random_prefix(dice: random.Random, family: int, base: int) -> Prefix:
    length = dice.choice(LENGTHS[family])
    mask = MASK_OF_LENGTH[family][length]
    address = base + dice.randrange(1, 8) + (dice.randrange(3) << 10)
    # Host bits now and then: they are no part of the match, only of the identity.
    return Prefix(family, address if dice.random() < 0.2 else address & mask, mask)


def random_policies(dice: random.Random, family: int, count: int, device: int) -> list[Policy]:
    policies: dict[object, Policy] = {}
    while len(policies) < count:
        number = len(policies)
        ports = [dice.choice((0, 0, *PORTS)) for _ in range(2)]
        masks = None
        if dice.random() < 0.15:
            masks = (dice.choice((0, 0xFFFE, 0xFC00)), dice.choice((0, 0xFFFF, 0x0001)))
        if dice.random() < 0.5:
            ports = [0, 0]
        kind = dice.choice(("block", "allow", "template", "template", "template"))
        template = Template(50, "tunnel", family, 0x01010101, 0x02020202, number + 1)
        mask = dice.choice((0, 0, 0, 0, 1, 2, 3))
        policy = Policy(
            "out" if dice.random() < 0.9 else dice.choice(("in", "fwd")),
            Selector(
                random_prefix(dice, family, HOSTS[family][0]),
                random_prefix(dice, family, HOSTS[family][1]),
                dice.choice((0, 0, 17, 17, 6)),
                *ports,
            ),
            dice.randrange(60),
            "block" if kind == "block" else "allow",
            (template,) if kind == "template" else (),
            (dice.randrange(4) & mask, mask),
            port_masks=masks,
            ifindex=dice.choice((0,) * 10 + (1, device)),
            ptype="sub" if dice.random() < 0.08 else "main",
        )
        index = 8 * (number + 1) + _DIRECTIONS[policy.direction]
        # No masks and masks of all zeros on port 0 are the same key to the kernel.
        key = policy._replace(port_masks=policy.full_port_masks).key
        policies.setdefault(key, policy._replace(index=index))
    return list(policies.values())


def random_probe(dice: random.Random, policies: list[Policy]) -> tuple[Packet, int]:
    """Aim at some policy, and miss now and then."""
    family = policies[0].selector.family
    ends = [base + dice.randrange(1, 8) + (dice.randrange(3) << 10) for base in HOSTS[family]]
    ports = [dice.choice(PORTS) for _ in range(2)]
    return Packet(family, ends[0], ends[1], 17, *ports), dice.randrange(4)


def probe(listener: Netlink, packet: Packet, mark: int) -> tuple[str, list[int]]:
    """Send a datagram; tell what became of it."""
    family = _FAMILIES[packet.family]
    width = WIDTH[packet.family] // 8
    ends = [
        (socket.inet_ntop(family, address.to_bytes(width)), port)
        for address, port in (
            (packet.source, packet.source_port),
            (packet.destination, packet.destination_port),
        )
    ]
    outcome = "sent"
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, 36, mark)  # SO_MARK
        if packet.family == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
        sock.bind(ends[0])
        try:
            sock.connect(ends[1])
            sock.send(b"probe")
        except OSError as error:
            outcome = errno.errorcode[error.errno or 0]
    return outcome, listener.acquired(packet)


def expected(policies: list[Policy], packet: Packet, mark: int, device: int) -> tuple[str, int]:
    decision = lookup(policies, "out", packet, mark, ifindex=device)
    fast = PolicyIndex(policies).lookup("out", packet, mark, ifindex=device)
    assert fast == decision._replace(candidates=())
    if decision.action == "block":
        return "EPERM", 0
    if not decision.templates:
        return "sent", 0
    asking = [p for p in (decision.winner, decision.second) if p is not None and p.templates]
    return "acquire", asking[0].index


@pytest.mark.parametrize("family", [4, 6])
def test_the_kernel_picks_the_same_policy(own_namespace: str, family: int) -> None:
    dice = random.Random(family)
    set_sysctl(own_namespace, core__xfrm_larval_drop="1")
    option = f"-{family}"
    local, remote = {4: ("10.0.0.0/8", "20.0.0.0/8"), 6: ("fd00::/16", "fd01::/16")}[family]
    ip(own_namespace, option, "route", "add", "local", local, "dev", "lo")
    ip(own_namespace, option, "route", "add", remote, "dev", "v0")
    seen: dict[str, int] = {"EPERM": 0, "sent": 0, "acquire": 0, "crowded": 0, "tie": 0}
    wrong: list[str] = []

    def work() -> None:
        v0 = socket.if_nametoindex("v0")
        # The route has told IPv4 its device when policies are looked up; IPv6 knows only a device
        # that the socket is bound to.
        device = v0 if family == 4 else 0
        control, listener = Netlink(), Netlink(groups=1)
        for _ in range(8):
            policies = random_policies(dice, family, 250, v0)
            control.request(FLUSHPOLICY, b"")
            control.request(FLUSHPOLICY, attribute(16, bytes([1, 0, 0, 0, 0, 0])))
            for policy in policies:
                assert control.request(NEWPOLICY, new_policy(policy)) == 0, policy
            for _ in range(300):
                packet, mark = random_probe(dice, policies)
                control.request(FLUSHSA, b"\0\0\0\0")
                outcome, acquired = probe(listener, packet, mark)
                want, index = expected(policies, packet, mark, device)
                seen[want] += 1
                candidates = lookup(policies, "out", packet, mark, ifindex=device).candidates
                seen["crowded"] += len(candidates) > 2
                seen["tie"] += any(c.verdict is Verdict.AGE for c in candidates)
                got = ("acquire", acquired[0]) if acquired else (outcome, 0)
                if got != (want, index):
                    wrong.append(f"{packet} mark {mark}: kernel {got}, we {want, index}")

    inside(own_namespace, work)
    assert wrong == []
    assert min(seen.values()) > 50, seen


# What stands behind the IP header, and the ports that a Packet of it has.
TRANSPORTS: Final = {
    6: (struct.pack("!HHIIBBHHH", 0x1234, 0x5678, 1, 0, 0x50, 2, 512, 0, 0), 0x1234, 0x5678),
    17: (struct.pack("!HHHH", 0x1234, 0x5678, 8, 0), 0x1234, 0x5678),
    136: (struct.pack("!HHHH", 0x1234, 0x5678, 8, 0), 0x1234, 0x5678),
    132: (struct.pack("!HHII", 0x1234, 0x5678, 0, 0), 0x1234, 0x5678),
    33: (struct.pack("!HH", 0x1234, 0x5678) + bytes(20), 0x1234, 0x5678),
    1: (struct.pack("!BBHHH", 8, 3, 0, 0, 0), 8, 3),
    47: (struct.pack("!HHI", 0x2000, 0x0800, 0x12345678), 0x1234, 0x5678),
    50: (struct.pack("!II", 0x12345678, 1) + bytes(16), 0x1234, 0x5678),
    89: (struct.pack("!HHI", 0x1234, 0x5678, 0) + bytes(16), 0x1234, 0x5678),
}


@pytest.mark.parametrize("protocol", TRANSPORTS)
def test_ports_of_each_protocol(own_namespace: str, protocol: int) -> None:
    """A block on ``in``, and a packet from the wire: does the kernel compare its ports?"""
    payload, source_port, destination_port = TRANSPORTS[protocol]
    set_sysctl(own_namespace, ipv4__conf__all__rp_filter="0", ipv4__conf__v0__rp_filter="0")
    ip(own_namespace, "address", "add", "10.0.0.1/24", "dev", "v0")
    packet = Packet(4, 0x1E000001, 0x0A000001, protocol, source_port, destination_port)

    def counter() -> int:
        for line in Path("/proc/thread-self/net/xfrm_stat").read_text().splitlines():
            if line.startswith("XfrmInPolBlock"):
                return int(line.split()[1])
        raise AssertionError("no XfrmInPolBlock in xfrm_stat")

    def delivered() -> int:
        text = Path("/proc/thread-self/net/snmp").read_text()
        names, values = (line.split() for line in text.splitlines()[:2])
        return int(values[names.index("InReceives")])

    def work() -> list[str]:
        wrong = []
        control = Netlink()
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
            wire.bind(("v1", 0))
            target = hardware_address()
            header = struct.pack(
                "!BBHHHBBH4s4s",
                *(0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0),
                *(address.to_bytes(4) for address in (packet.source, packet.destination)),
            )
            header = header[:10] + checksum(header) + header[12:]
            segment = with_checksum(payload, header)
            for number, ports, other in itertools.product(
                (0, protocol), ((source_port, 0), (0, destination_port), (0, 0)), (0, 1)
            ):
                changed = [port ^ other if port else 0 for port in ports]
                selector = Selector(Prefix(4, 0, 0), Prefix(4, 0, 0), number, *changed)
                policy = Policy("in", selector, 1, "block")
                control.request(FLUSHPOLICY, b"")
                assert control.request(NEWPOLICY, new_policy(policy)) == 0
                before, received = counter(), delivered()
                wire.send(target + b"\x02\0\0\0\0\x01\x08\0" + header + segment)
                deadline = time.monotonic() + 2
                while delivered() == received and time.monotonic() < deadline:
                    time.sleep(0.0005)
                time.sleep(0.002)
                blocked = counter() > before
                if blocked != matches(policy, packet):
                    wrong.append(f"{policy.selector}: the kernel says {blocked}")
        return wrong

    def hardware_address() -> bytes:
        line = ip(own_namespace, "-o", "link", "show", "v0").split("link/ether ")[1]
        return bytes.fromhex(line.split()[0].replace(":", ""))

    assert inside(own_namespace, work) == []


def checksum(words: bytes) -> bytes:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(words) // 2}H", words))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2)


def with_checksum(payload: bytes, header: bytes) -> bytes:
    """Put in the checksum of TCP and UDP-Lite, whose packets are checked before policies are."""
    place = {6: 16, 136: 6}.get(header[9])
    if place is None:
        return payload
    pseudo = header[12:20] + struct.pack("!HH", header[9], len(payload))
    return payload[:place] + checksum(pseudo + payload) + payload[place + 2 :]
