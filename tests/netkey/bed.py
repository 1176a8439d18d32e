"""Four hosts in a row, each a network namespace, and the wires between them.

    sender ──lan── gateway ──wire── peer ──far── receiver

The gateway is the one whose policies are on trial; the peer is the gateway at the other end of
its tunnels. The wire between them is a bridge in a namespace of its own, and is captured on
the bridge's port towards the gateway: on an interface of the gateway or the peer the packet
within a tunnel would show a second time, after it was unwrapped. Nothing on the bed sends by
itself: neighbours are entered for good (so a policy that blocks neighbour discovery does not
cut the lines as well), and ICMP errors are not limited in rate.

Behind the sender lies all of 10.1.0.0/16 and fd00:1::/32, behind the receiver 10.2.0.0/16 and
fd00:2::/32: give them more addresses with :meth:`Host.give`.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from eroute_translate.xfrm.bulk import Channel

from .spd import Database, KeyManager
from .wire import Capture, echo

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEWNET: Final = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 1 << 12, 1 << 14, 1 << 20
_MNT_DETACH: Final = 2
_IPV6_HDRINCL: Final = 36
_NAMES: Final = Path("/run/netns")
_libc = ctypes.CDLL(None, use_errno=True)
_beds = itertools.count()


def _must(result: int, what: str) -> None:
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)


def _share_names() -> None:
    """Make the folder of names a mount of its own, as ``ip netns add`` does.

    Done by that command later, it would take along a second mount of each name that is there, and
    none of them could be removed.
    """
    _NAMES.mkdir(parents=True, exist_ok=True)
    folder = os.fsencode(_NAMES)
    shared = (folder, b"none", ctypes.c_ulong(_MS_SHARED | _MS_REC), None)
    if _libc.mount(b"", *shared):  # no mount point yet
        bind = ctypes.c_ulong(_MS_BIND | _MS_REC)
        _must(_libc.mount(folder, folder, b"none", bind, None), "bind")
        _must(_libc.mount(b"", *shared), "share")


@contextlib.contextmanager
def _elsewhere() -> Iterator[None]:
    """Come back at the end to the network namespace this thread is in now."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        _must(_libc.setns(home, _NEWNET), "setns")
        os.close(home)


class Namespace:
    """A network namespace with a name that ``ip netns`` and ``--netns`` know too."""

    def __init__(self, name: str) -> None:
        self.name = name
        _share_names()
        self._place = _NAMES / name
        self._place.touch(exist_ok=False)
        with _elsewhere():
            _must(_libc.unshare(_NEWNET), "unshare")
            source, target = b"/proc/thread-self/ns/net", os.fsencode(self._place)
            _must(_libc.mount(source, target, b"none", ctypes.c_ulong(_MS_BIND), None), name)
        self._fd = os.open(self._place, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._fd)
        _must(_libc.umount2(os.fsencode(self._place), _MNT_DETACH), self.name)
        self._place.unlink()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread in that namespace: for sockets, processes and files of /proc/sys/net."""
        with _elsewhere():
            _must(_libc.setns(self._fd, _NEWNET), "setns")
            yield

    def ip(self, *lines: str) -> str:
        """Lines for ``ip``, all in one process."""
        done = subprocess.run(
            ["ip", "-n", self.name, "-batch", "-"],
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.returncode, f"ip in {self.name}: {done.stderr}{done.stdout}"
        return done.stdout

    def run(self, *command: str, text: str | None = None) -> str:
        """A command in the namespace; it must succeed."""
        with self.inside():
            done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert not done.returncode, f"{' '.join(command)}: {done.stderr}{done.stdout}"
        return done.stdout

    def sysctl(self, name: str, value: int) -> None:
        with self.inside():
            Path("/proc/sys/net", name).write_text(f"{value}\n")


class Host(Namespace):
    """A host of the bed: what it is called, what it has, and what it can be asked to do."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        with self.inside():
            self.xfrm = Database()
        self.channel = Channel.open(name)
        """The program's own way into the kernel."""
        self._given: list[str] = []
        self._tables: set[str] = set()
        self._scripted = False

    def close(self) -> None:
        self.channel.close()
        self.xfrm.close()
        super().close()

    def reset(self) -> None:
        """No states, no policies, no firewall rules, no addresses that a test gave."""
        self.xfrm.flush_policies()
        self.xfrm.flush_states()
        self.xfrm.accept_by_default()
        if self._given:
            self.ip(*(line.replace(" add ", " del ", 1) for line in reversed(self._given)))
            self._given.clear()
        for program in self._tables:
            self.run(program, "-w", "-F")
        self._tables.clear()
        if self._scripted:
            self.run("nft", "flush", "ruleset")
            self._scripted = False

    def give(self, *lines: str) -> None:
        """``addr add``, ``route add``, ``rule add``, ... lines for ``ip``, undone by the reset."""
        self.ip(*lines)
        self._given += lines

    def iptables(self, net: Addresses, *arguments: str) -> None:
        """A rule of the filter table, flushed by the reset.

        By the old interface: user-mode Linux has no nftables for IP. A forwarded packet meets the
        ``fwd`` and ``out`` policies first, and only what they let pass comes to FORWARD; a local
        one meets ``out`` before OUTPUT.
        """
        program = "iptables-legacy" if net is V4 else "ip6tables-legacy"
        self._tables.add(program)
        self.run(program, "-w", *arguments)

    def script(self, text: str) -> None:
        """Run a shell script that may load rules of nftables, flushed by the reset."""
        self._scripted = True
        self.run("dash", text=text)

    def send(self, packet: bytes) -> None:
        """Send a whole IP packet (see :mod:`tests.netkey.wire`), whatever its source address.

        Goes through the host's own routing and policies: one that blocks gives PermissionError.
        """
        family = socket.AF_INET if packet[0] >> 4 == 4 else socket.AF_INET6
        target = packet[16:20] if family == socket.AF_INET else packet[24:40]
        with self.inside(), socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            if family == socket.AF_INET6:
                raw.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
            raw.sendto(packet, (socket.inet_ntop(family, target), 0))

    @contextlib.contextmanager
    def udp(self, address: str, port: int = 0) -> Iterator[socket.socket]:
        """A bound UDP socket of this host, with a time-out of two seconds."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.inside():
            made = socket.socket(family, socket.SOCK_DGRAM)
        with made:
            made.settimeout(2)
            made.bind((address, port))
            yield made

    def key_manager(self) -> KeyManager:
        """A listener for this host's acquires; use it as a context manager."""
        with self.inside():
            return KeyManager()

    def statistics(self) -> dict[str, int]:
        """``/proc/net/xfrm_stat``, without the zeros. Counts since the namespace began."""
        with self.inside():
            text = Path("/proc/thread-self/net/xfrm_stat").read_text()
        pairs = (line.split() for line in text.splitlines())
        return {name: int(count) for name, count in pairs if int(count)}

    @contextlib.contextmanager
    def counting(self) -> Iterator[dict[str, int]]:
        """What ``xfrm_stat`` counted while the block ran; filled in at its end."""
        before = self.statistics()
        changed: dict[str, int] = {}
        yield changed
        after = self.statistics()
        changed.update(
            {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name)}
        )


@dataclass(frozen=True, slots=True)
class Wire:
    """A place to capture: one interface of one namespace."""

    namespace: Namespace
    interface: str

    def capture(self, *, housekeeping: bool = False) -> Capture:
        """What passes here from now on, without ARP and without neighbour discovery."""
        with self.namespace.inside():
            return Capture(self.interface, housekeeping=housekeeping)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The bed's addresses in one family."""

    sender: str
    gateway_inside: str
    gateway: str
    peer: str
    peer_inside: str
    receiver: str
    sender_net: str
    receiver_net: str
    prefix: int
    everything: str
    other: str
    """A second address of the receiver."""
    part: str
    """A part of the receiver's net in which the second address lies and the first does not."""


V4: Final = Addresses(
    sender="10.1.0.2",
    gateway_inside="10.1.0.1",
    gateway="192.0.2.1",
    peer="192.0.2.2",
    peer_inside="10.2.0.1",
    receiver="10.2.0.2",
    sender_net="10.1.0.0/16",
    receiver_net="10.2.0.0/16",
    prefix=24,
    everything="0.0.0.0/0",
    other="10.2.7.7",
    part="10.2.7.0/24",
)
V6: Final = Addresses(
    sender="fd00:1::2",
    gateway_inside="fd00:1::1",
    gateway="2001:db8::1",
    peer="2001:db8::2",
    peer_inside="fd00:2::1",
    receiver="fd00:2::2",
    sender_net="fd00:1::/32",
    receiver_net="fd00:2::/32",
    prefix=64,
    everything="::/0",
    other="fd00:2:0:7::7",
    part="fd00:2:0:7::/64",
)

# Host, interface, hardware address: the last octet names the interface.
_MAC: Final = {
    name: f"02:00:00:00:00:{number:02x}"
    for number, name in enumerate(("sender", "inside", "gateway", "peer", "beyond", "receiver"), 1)
}


class Bed:
    """The hosts and wires; a context manager. Build one and reset it: it costs half a second."""

    def __init__(self) -> None:
        prefix = f"bed{os.getpid()}-{next(_beds)}-"
        self._closing = contextlib.ExitStack()
        try:
            self.sender, self.gateway, self.peer, self.receiver = (
                self._closing.enter_context(contextlib.closing(Host(prefix + name)))
                for name in ("sender", "gateway", "peer", "receiver")
            )
            self._middle = self._closing.enter_context(
                contextlib.closing(Namespace(f"{prefix}wire"))
            )
            self.lan = Wire(self.sender, "lan")
            self.wire = Wire(self._middle, "gateway")
            self.far = Wire(self.receiver, "far")
            self._build()
        except BaseException:
            self._closing.close()
            raise

    @property
    def hosts(self) -> tuple[Host, ...]:
        return self.sender, self.gateway, self.peer, self.receiver

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def reset(self) -> None:
        for host in self.hosts:
            host.reset()

    def inject(self, packet: bytes, *, towards: str = "gateway") -> None:
        """Put an IP packet on the wire as if it came from outside: past all policies but one's."""
        kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
        frame = bytes.fromhex(_MAC[towards].replace(":", ""))
        frame += bytes.fromhex("0200000000ff") + kind.to_bytes(2, "big") + packet
        with (
            self._middle.inside(),
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw,
        ):
            raw.bind((towards, 0))
            raw.send(frame)

    @contextlib.contextmanager
    def strangers(self) -> Iterator[None]:
        """The gateway and the peer do not know each other's hardware address for IPv6."""
        pairs = ((self.gateway, V6.peer, "peer"), (self.peer, V6.gateway, "gateway"))
        for host, address, _ in pairs:
            host.ip(f"neigh del {address} dev outside")
        try:
            yield
        finally:
            for host, address, station in pairs:
                (line,) = _neighbours("outside", station, address)
                host.ip(line.replace("neigh add", "neigh replace"))

    def _build(self) -> None:
        for host in (*self.hosts, self._middle):
            for path, value in (
                ("ipv6/conf/all/accept_dad", 0),
                ("ipv6/conf/default/accept_dad", 0),
                ("ipv6/conf/default/router_solicitations", 0),
                ("ipv6/icmp/ratelimit", 0),
                ("ipv4/icmp_ratelimit", 0),
                ("ipv4/conf/all/rp_filter", 0),
                ("ipv4/conf/default/rp_filter", 0),
                ("ipv4/conf/all/send_redirects", 0),
                ("ipv4/conf/default/send_redirects", 0),
            ):
                host.sysctl(path, value)
        for gateway in (self.gateway, self.peer):
            gateway.sysctl("ipv4/ip_forward", 1)
            gateway.sysctl("ipv6/conf/all/forwarding", 1)
        self._middle.sysctl("ipv6/conf/default/disable_ipv6", 1)
        self._middle.ip(
            "link add bridge type bridge stp_state 0 mcast_snooping 0",
            "link set bridge up",
        )
        for place, near, far in (
            (self.gateway, "gateway", "outside"),
            (self.peer, "peer", "outside"),
        ):
            self._middle.ip(
                f"link add {near} type veth peer name {far} address {_MAC[near]} "
                f"netns {place.name}",
                f"link set {near} master bridge up",
            )
        self.gateway.ip(
            f"link add lan address {_MAC['inside']} type veth peer name lan "
            f"address {_MAC['sender']} netns {self.sender.name}"
        )
        self.peer.ip(
            f"link add far address {_MAC['beyond']} type veth peer name far "
            f"address {_MAC['receiver']} netns {self.receiver.name}"
        )
        self.sender.ip(
            *_up("lan", (V4.sender, V6.sender)),
            *_neighbours("lan", "inside", V4.gateway_inside, V6.gateway_inside),
            *_routes(V4.everything, V4.gateway_inside, V6.everything, V6.gateway_inside),
        )
        self.receiver.ip(
            *_up("far", (V4.receiver, V6.receiver)),
            f"addr add {V4.other}/32 dev far",
            f"addr add {V6.other}/128 dev far nodad",
            *_neighbours("far", "beyond", V4.peer_inside, V6.peer_inside),
            *_routes(V4.everything, V4.peer_inside, V6.everything, V6.peer_inside),
        )
        self.gateway.ip(
            *_up("lan", (V4.gateway_inside, V6.gateway_inside)),
            *_up("outside", (V4.gateway, V6.gateway)),
            *_neighbours("lan", "sender", V4.sender, V6.sender),
            *_neighbours("outside", "peer", V4.peer, V6.peer),
            *_routes(V4.sender_net, V4.sender, V6.sender_net, V6.sender),
            *_routes(V4.everything, V4.peer, V6.everything, V6.peer),
        )
        self.peer.ip(
            *_up("far", (V4.peer_inside, V6.peer_inside)),
            *_up("outside", (V4.peer, V6.peer)),
            *_neighbours("far", "receiver", V4.receiver, V6.receiver),
            *_neighbours("outside", "gateway", V4.gateway, V6.gateway),
            *_routes(V4.receiver_net, V4.receiver, V6.receiver_net, V6.receiver),
            *_routes(V4.everything, V4.gateway, V6.everything, V6.gateway),
        )
        self._wait_for_lines()

    def _wait_for_lines(self, limit: float = 10.0) -> None:
        """Until an echo comes back: what is sent over a link that is not quite up yet is lost."""
        end = time.monotonic() + limit
        with self.lan.capture() as lan:
            for net in (V4, V6):
                while not any(packet.source == net.receiver for packet in lan.take()):
                    assert time.monotonic() < end, f"no answer from {net.receiver}"
                    self.sender.send(echo(net.sender, net.receiver))
                    time.sleep(0.01)


def _up(interface: str, addresses: tuple[str, str]) -> Iterator[str]:
    yield "link set lo up"
    yield f"link set {interface} up"
    for address, plan in zip(addresses, (V4, V6), strict=True):
        nodad = " nodad" if plan is V6 else ""
        yield f"addr add {address}/{plan.prefix} dev {interface}{nodad}"


def _neighbours(interface: str, station: str, *addresses: str) -> Iterator[str]:
    for address in addresses:
        yield f"neigh add {address} lladdr {_MAC[station]} dev {interface} nud permanent"


def _routes(*pairs: str) -> Iterator[str]:
    for net, via in zip(pairs[::2], pairs[1::2], strict=True):
        yield f"route add {net} via {via}"
