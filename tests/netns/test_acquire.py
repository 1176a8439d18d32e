"""%trap and %hold ask the key daemon and let nothing out; the daemon's own packets leave."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from eroute_translate.net import format_address
from eroute_translate.render import Target
from tests.netns.spaces import execute, gateway_between, inside, namespaces, need, sysctl
from tests.translated import rendered, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.kernel

NETLINK_XFRM = 6
ACQUIRE = 0x17
FROM_LEFT, FROM_GATEWAY, TO = "10.1.0.2", "10.1.0.1", "10.2.0.2"
WAIT = 0.4


class Flow(NamedTuple):
    """What a key daemon is asked for."""

    source: str
    destination: str
    priority: int


@pytest.fixture
def spaces() -> Iterator[tuple[str, str, str]]:
    need("dash")
    with namespaces("left", "gateway", "right") as (left, gateway, right):
        gateway_between(left, gateway, right)
        sysctl(gateway, core__xfrm_larval_drop=1)
        yield left, gateway, right


def install(gateway: str, said: str, **given: Any) -> None:
    text = row("10.1.0.0/16", "10.2.0.0/16", said)
    done = execute(gateway, "dash", text=rendered(text, Target.IP_XFRM, **given))
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def key_daemon(space: str) -> Iterator[Callable[[], list[Flow]]]:
    """Listens for ACQUIRE, as a key daemon does, and answers none."""

    def make() -> socket.socket:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
        sock.bind((0, 1))
        return sock

    with inside(space, make) as sock:

        def heard() -> list[Flow]:
            flows = []
            while select.select([sock], [], [], WAIT)[0]:
                data = sock.recv(65536)
                (kind,) = struct.unpack_from("=H", data, 4)
                if kind == ACQUIRE:
                    flows.append(_flow(data[16:]))
            return flows

        yield heard


def _flow(body: bytes) -> Flow:
    """The selector and the policy of a struct xfrm_user_acquire."""
    destination, source = (int.from_bytes(body[at : at + 4]) for at in (40, 56))
    (priority,) = struct.unpack_from("=I", body, 96 + 152)
    return Flow(format_address(4, source), format_address(4, destination), priority)


@contextlib.contextmanager
def wire(space: str, device: str) -> Iterator[Callable[[], list[tuple[str, int]]]]:
    """What comes in at the far end: sources and protocols of IPv4 packets."""

    def make() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        sock.bind((device, 0x0800))
        return sock

    with inside(space, make) as sock:

        def seen() -> list[tuple[str, int]]:
            packets = []
            end = time.monotonic() + WAIT
            while select.select([sock], [], [], max(0, end - time.monotonic()))[0]:
                data, place = sock.recvfrom(65536)
                if place[2] != 4:  # not our own
                    packets.append((socket.inet_ntoa(data[12:16]), data[9]))
            return packets

        yield seen


def send_udp(space: str, source: str, port: int = 0) -> None:
    def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((source, port))
            with contextlib.suppress(OSError):
                sock.sendto(b"hello", (TO, 9))

    inside(space, work)


def send_raw(space: str, source: str, protocol: int) -> None:
    def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as sock:
            sock.bind((source, 0))
            with contextlib.suppress(OSError):
                sock.sendto(bytes(64), (TO, 0))

    inside(space, work)


@pytest.mark.parametrize("said", ["%trap", "%trapsubnet", "%hold"])
@pytest.mark.parametrize("forwarded", [False, True])
def test_the_daemon_is_asked_and_nothing_leaves(
    spaces: tuple[str, str, str], said: str, forwarded: bool
) -> None:
    left, gateway, right = spaces
    install(gateway, said)
    source = FROM_LEFT if forwarded else FROM_GATEWAY
    with key_daemon(gateway) as heard, wire(right, "r0") as seen:
        send_udp(left if forwarded else gateway, source)
        assert heard() == [Flow(source, TO, 1_000_000_002)]
        assert seen() == []


def test_without_a_daemon_nothing_leaves_either(spaces: tuple[str, str, str]) -> None:
    left, gateway, right = spaces
    install(gateway, "%trap")
    with wire(right, "r0") as seen:
        send_udp(gateway, FROM_GATEWAY)
        send_udp(left, FROM_LEFT)
        assert seen() == []


@pytest.mark.parametrize("said", ["%trap", "%hold", "%drop"])
@pytest.mark.parametrize("local", ["", FROM_GATEWAY])
def test_our_own_ike_esp_and_ah_leave_in_clear(
    spaces: tuple[str, str, str], said: str, local: str
) -> None:
    _, gateway, right = spaces
    install(gateway, said, local=local)
    with wire(right, "r0") as seen:
        for port in (500, 4500):
            send_udp(gateway, FROM_GATEWAY, port)
        for protocol in (50, 51):
            send_raw(gateway, FROM_GATEWAY, protocol)
        assert seen() == [(FROM_GATEWAY, protocol) for protocol in (17, 17, 50, 51)]


@pytest.mark.parametrize("local", ["", FROM_GATEWAY])
def test_forwarded_ike_esp_and_ah_do_not(spaces: tuple[str, str, str], local: str) -> None:
    left, gateway, right = spaces
    install(gateway, "%trap", local=local)
    with key_daemon(gateway) as heard, wire(right, "r0") as seen:
        for port in (500, 4500):
            send_udp(left, FROM_LEFT, port)
        for protocol in (50, 51):
            send_raw(left, FROM_LEFT, protocol)
        assert seen() == []
        # With --local they are like any other traffic: KLIPS asked for them.
        asked = {flow.source for flow in heard()}
        assert asked == ({FROM_LEFT} if local else set())


def test_without_policies_the_packets_get_through(spaces: tuple[str, str, str]) -> None:
    """The wire is sound, so that its silence means something."""
    left, gateway, right = spaces
    with wire(right, "r0") as seen:
        send_udp(left, FROM_LEFT)
        send_raw(gateway, FROM_GATEWAY, 50)
        assert seen() == [(FROM_LEFT, 17), (FROM_GATEWAY, 50)]
