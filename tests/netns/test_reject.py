"""%reject with its firewall rule: who gets which ICMP error, and who none."""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest

from eroute_translate.render import Target
from tests.netns.spaces import execute, gateway_between, inside, namespaces, need
from tests.translated import rendered, row

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.kernel

ROWS = (
    row("10.1.0.0/16", "10.2.0.0/16", "%reject")
    + row("10.1.0.0/16", "10.2.0.2/32:7777", "%pass:17")
    + row("2001:db8:1::/64", "2001:db8:2::/64", "%reject")
    + row("2001:db8:1::/64", "2001:db8:2::2/128", "%pass")
)
NEAR = {4: "10.1.0.2", 6: "2001:db8:1::2"}
REJECTED = {4: "10.2.0.9", 6: "2001:db8:2::9"}
RIGHT = {4: "10.2.0.2", 6: "2001:db8:2::2"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
ICMP_ORIGIN = {4: 2, 6: 3}


@pytest.fixture
def spaces() -> Iterator[tuple[str, str, str]]:
    need("dash", "nft")
    with namespaces("left", "gateway", "right") as (left, gateway, right):
        gateway_between(left, gateway, right)
        yield left, gateway, right


def install(gateway: str, text: str, **given: Any) -> None:
    done = execute(gateway, "dash", text=rendered(text, Target.IP_XFRM, **given))
    assert done.returncode == 0, done.stderr


def udp(space: str, family: int, source: str = "", port: int = 0) -> socket.socket:
    def make() -> socket.socket:
        sock = socket.socket(FAMILY[family], socket.SOCK_DGRAM)
        if source or port:
            sock.bind((source, port))
        return sock

    return inside(space, make)


def icmp_answer(space: str, family: int, to: str, port: int) -> tuple[int, int] | None:
    """Type and code of the ICMP error that a packet brings back; ``None`` for no answer."""
    level, option = ((socket.SOL_IP, 11), (socket.IPPROTO_IPV6, 25))[family == 6]
    with udp(space, family) as sock:
        sock.setsockopt(level, option, 1)  # IP_RECVERR, IPV6_RECVERR
        sock.settimeout(0.7)
        sock.sendto(b"hello", (to, port))
        try:
            sock.recv(100)
        except TimeoutError:
            return None
        except OSError:
            _, ancillary, _, _ = sock.recvmsg(100, 500, socket.MSG_ERRQUEUE)
            ((_, _, data),) = ancillary
            _, origin, kind, code = struct.unpack_from("=IBBB", data)
            assert origin == ICMP_ORIGIN[family]
            return kind, code
        raise AssertionError("an answer from nowhere")


@pytest.mark.parametrize(("family", "answer"), [(4, (3, 13)), (6, (1, 1))])
def test_a_forwarded_packet_is_answered(
    spaces: tuple[str, str, str], family: int, answer: tuple[int, int]
) -> None:
    left, gateway, _ = spaces
    install(gateway, ROWS)
    assert icmp_answer(left, family, REJECTED[family], 9) == answer


@pytest.mark.parametrize("family", [4, 6])
def test_a_narrower_pass_is_not_rejected(spaces: tuple[str, str, str], family: int) -> None:
    left, gateway, right = spaces
    install(gateway, ROWS)
    with udp(right, family, port=7777) as there, udp(left, family) as here:
        there.settimeout(2)
        here.sendto(b"hello", (RIGHT[family], 7777))
        assert there.recvfrom(100)[1][0] == NEAR[family]
    if family == 4:
        assert icmp_answer(left, 4, RIGHT[4], 7778) == (3, 13)


@pytest.mark.parametrize("family", [4, 6])
def test_a_local_sender_gets_eperm(spaces: tuple[str, str, str], family: int) -> None:
    _, gateway, _ = spaces
    install(gateway, ROWS)
    with udp(gateway, family, {4: "10.1.0.1", 6: "2001:db8:1::1"}[family]) as sock:
        with pytest.raises(PermissionError) as caught:
            sock.sendto(b"hello", (REJECTED[family], 9))
        assert caught.value.errno == errno.EPERM


@pytest.mark.parametrize("family", [4, 6])
def test_without_the_rule_nothing_comes_back(spaces: tuple[str, str, str], family: int) -> None:
    left, gateway, right = spaces
    text = "".join(line for line in ROWS.splitlines(keepends=True) if "%reject" in line)
    install(gateway, text, reject_rule=False)
    with udp(right, family, port=7777) as there:
        there.settimeout(0.2)
        assert icmp_answer(left, family, RIGHT[family], 7777) is None
        with pytest.raises(TimeoutError):
            there.recv(100)


def test_packets_to_the_gateway_itself_are_not_rejected(spaces: tuple[str, str, str]) -> None:
    left, gateway, _ = spaces
    # Without the bypass the gateway's own ICMP answers to the left would be blocked too.
    install(gateway, row("10.1.0.0/16", "0.0.0.0/0", "%reject"), bypass="10.1.0.0/16")
    with udp(gateway, 4, "10.1.0.1", 7777) as there, udp(left, 4) as here:
        there.settimeout(2)
        here.sendto(b"hello", ("10.1.0.1", 7777))
        assert there.recv(100) == b"hello"
    assert icmp_answer(left, 4, REJECTED[4], 9) == (3, 13)


def test_a_bypassed_network_is_not_rejected(spaces: tuple[str, str, str]) -> None:
    left, gateway, right = spaces
    install(gateway, row("10.1.0.0/16", "0.0.0.0/0", "%reject"), bypass="10.2.0.0/24")
    with udp(right, 4, port=7777) as there, udp(left, 4) as here:
        there.settimeout(2)
        here.sendto(b"hello", (RIGHT[4], 7777))
        assert there.recv(100) == b"hello"
