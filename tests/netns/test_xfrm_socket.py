"""The socket and the bulk path against the running kernel, in namespaces of their own."""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eroute_translate.net import ALL_ONES, Prefix, Selector, parse_prefix
from eroute_translate.xfrm.bulk import Channel
from eroute_translate.xfrm.connection import enter_namespace, inside, open_socket
from eroute_translate.xfrm.decode import unmodelled
from eroute_translate.xfrm.encode import encode_installs, spare_index
from eroute_translate.xfrm.errors import KernelError
from eroute_translate.xfrm.model import Policy, Template
from eroute_translate.xfrm.monitor import XfrmMonitor
from eroute_translate.xfrm.outcome import BulkError
from eroute_translate.xfrm.socket import XfrmSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.kernel

HERE = "/proc/thread-self/ns/net"

TUNNEL = Template(50, "tunnel", 4, 0x01010101, 0x02020202, 7, 0x1000)
TUNNEL6 = Template(51, "tunnel", 6, 0xFE80 << 112, (0xFE80 << 112) + 1, 0xFFFFFFFF)
TRANSPORT = Template(108, "transport", 4, optional=True)


@pytest.fixture
def asked(netns: str) -> Iterator[XfrmSocket]:
    with XfrmSocket(netns) as opened:
        yield opened


@pytest.fixture
def channel(netns: str) -> Iterator[Channel]:
    with Channel.open(netns, timeout=10) as opened:
        yield opened


def flow(source: str = "10.0.0.0/24", destination: str = "10.1.0.0/16", *rest: int) -> Selector:
    return Selector(parse_prefix(source), parse_prefix(destination), *rest)


VARIED = [
    Policy("out", flow(), 1),
    Policy("out", flow(), 2, "block", mark=(5, 0xFF)),
    Policy("out", flow(), 3, mark=(0, 0xF0), if_id=7),
    Policy("out", flow(), 4, if_id=0xFFFFFFFF, ptype="sub"),
    Policy("in", flow(), 5, "allow", (TUNNEL,)),
    Policy("fwd", flow(), 6, "allow", (TUNNEL, TRANSPORT)),
    Policy("in", flow("::/0", "2001:db8::/32"), 7, "allow", (TUNNEL6,)),
    Policy("out", flow("::/0", "2001:db8::/32", 58, 135), 8, "allow", (TUNNEL,)),
    Policy("out", flow("10.0.0.1/32", "10.1.0.0/16", 6, 0, 25), 9),
    Policy("out", flow("10.0.0.1/32", "10.1.0.0/16", 17, 500, 500), 10),
    Policy("out", flow("10.0.0.1/32", "10.1.0.0/16", 6), 11, port_masks=(0xFC00, 0)),
    Policy("out", flow("10.0.0.1/32", "10.1.0.0/16", 6, 0x1200), 12, port_masks=(0xFF00, 0)),
    Policy("out", flow("10.0.0.1/32", "10.2.0.0/16"), 13, ifindex=1),
    Policy("out", flow("10.0.0.1/32", "10.3.0.0/16"), 0xFFFFFFFF, user=77),
]


def without_index(policies: list[Policy]) -> list[Policy]:
    return [policy._replace(index=0) for policy in policies]


# ------------------------------------------------------------------------------ the bulk path


def test_varied_policies_there_and_back(channel: Channel) -> None:
    channel.install(VARIED, replace=False)
    found = channel.dump()
    assert without_index(found[::-1]) == VARIED
    assert all(policy.index & 7 == ("in", "out", "fwd").index(policy.direction) for policy in found)
    channel.install(VARIED)  # replacing what is there changes no index
    assert sorted(channel.dump()) == sorted(found)
    channel.remove(VARIED[::2])  # by selector
    left = channel.dump()
    assert sorted(without_index(left)) == sorted(VARIED[1::2])
    channel.remove(left)  # by index
    assert channel.dump() == []


def test_failures_have_their_place_and_the_kernel_s_text(channel: Channel) -> None:
    channel.install(VARIED[:3], replace=False)
    wrong = Policy("out", flow("10.9.0.0/16"), 1, "allow", (TUNNEL._replace(protocol=4),))
    with pytest.raises(BulkError) as caught:
        channel.install([VARIED[4], VARIED[1], wrong, VARIED[5]], replace=False)
    failures = caught.value.report.failures
    assert [(f.index, f.errno, f.text) for f in failures] == [
        (1, errno.EEXIST, ""),
        (2, errno.EINVAL, "Invalid XFRM protocol in template"),
    ]
    assert caught.value.report.done == 2
    assert len(channel.dump()) == 5
    assert "whatever its priority" in caught.value.hint
    with pytest.raises(BulkError, match="ENOENT") as caught:
        channel.remove([VARIED[0], VARIED[8]])
    assert caught.value.report.done == 1


def test_a_whole_block_of_failures_overflows_nothing(channel: Channel) -> None:
    base = (10 << 24, 11 << 24)
    mask = ALL_ONES[4]
    many = [
        Policy("out", Selector(Prefix(4, base[0] + i, mask), Prefix(4, base[1] + i, mask)), i)
        for i in range(3000)
    ]
    channel.install(many, replace=False)
    report = channel.run(
        many,
        lambda part, sequence: encode_installs(part, sequence, replace=False),
        asked="add",
        stop=False,
    )
    assert [f.index for f in report.failures] == list(range(3000))
    assert {f.errno for f in report.failures} == {errno.EEXIST}
    assert without_index(channel.dump()[::-1]) == many


def test_the_kernel_removes_what_has_a_time(channel: Channel, netns: str) -> None:
    with XfrmMonitor("expire", netns=netns) as monitor:
        channel.install(VARIED[:1], seconds=1)
        raw = next(iter(channel.datagrams()))
        assert unmodelled(raw) == ("limits",)
        name, message = next(monitor.events(5))
    assert (name, message["hard"]) == ("POLEXPIRE", 1)
    assert channel.dump() == []


def test_host_bits_can_be_put_back(channel: Channel) -> None:
    policy = Policy("out", flow("10.0.0.9/24"), 1)
    channel.install([policy])
    channel.install([policy], exact=True)
    assert len(channel.dump()) == 2
    channel.remove([policy])
    assert without_index(channel.dump()) == [policy]
    channel.remove([policy], exact=True)
    assert channel.dump() == []


def test_indexes_are_ours_until_they_are_taken(netns: str) -> None:
    """Each connection begins anew; the kernel makes up an index for whatever comes second."""
    with Channel.open(netns) as first:
        first.install(VARIED[:4])
        (index,) = (p.index for p in first.dump() if p.priority == 1)
        assert index == spare_index(1) | 1
        first.install([VARIED[0]._replace(priority=9)])
        assert {p.index for p in first.dump() if p.priority == 9} == {index}
    with Channel.open(netns) as second:
        second.install([Policy("out", flow("10.9.0.0/24"), 77)])
        (other,) = (p.index for p in second.dump() if p.priority == 77)
        assert other < 1 << 29
        second.remove([Policy("out", flow("10.9.0.0/24"), 77, index=other)])
        assert len(second.dump()) == 4


def test_policies_of_sockets_can_be_told_apart(channel: Channel, netns: str) -> None:
    # setsockopt(IP_XFRM_POLICY = 17): xfrm_userpolicy_info of an allow, in.
    info = struct.pack("=40xH14x4Q32x32x8xBB6x", socket.AF_INET, *[(1 << 64) - 1] * 4, 0, 0)
    made: list[socket.socket] = []

    def make() -> None:
        made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    _inside(netns, make)
    with made[0] as holder:
        holder.setsockopt(socket.SOL_IP, 17, info)
        (policy,) = channel.dump()
        assert policy.direction == "socket in"
        with pytest.raises(ValueError, match="XFRM cannot hold it"):
            channel.remove([policy])


def _inside(netns: str, work: Callable[[], None]) -> None:
    """Run something in a thread that lives in the namespace."""

    def enter_and_work() -> None:
        enter_namespace(netns)
        work()

    thread = threading.Thread(target=enter_and_work)
    thread.start()
    thread.join()


def test_a_namespace_by_name_by_path_and_none(netns: str) -> None:
    here = Path("/proc/thread-self/ns/net").readlink()
    for name in (netns, f"/run/netns/{netns}"):
        with Channel.open(name) as opened:
            opened.install(VARIED[:1])
    with Channel.open(netns) as opened:
        assert len(opened.dump()) == 1
    assert Path("/proc/thread-self/ns/net").readlink() == here
    with pytest.raises(KernelError, match="enter the network namespace et-nowhere") as caught:
        open_socket("et-nowhere")
    assert (caught.value.errno, caught.value.hint) == (errno.ENOENT, "see: ip netns list")
    with pytest.raises(KernelError, match="EINVAL"):
        open_socket("/dev/null")
    assert Path("/proc/thread-self/ns/net").readlink() == here


def test_a_copy_of_the_process_finds_its_own_way_back(netns: str) -> None:
    """Even if it has closed all that it was born with, as the watchdog does."""
    with Channel.open(netns):
        here = Path(HERE).readlink()
    child = os.fork()
    if child == 0:
        try:
            os.closerange(3, 4096)
            with Channel.open(netns) as opened:
                opened.install(VARIED[:1])
            os._exit(0 if Path(HERE).readlink() == here else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with Channel.open(netns) as opened:
        assert len(opened.dump()) == 1


def test_a_thread_comes_back_to_where_it_was(netns: str) -> None:
    """Not to where the process began."""
    seen: list[Path] = []

    def work() -> None:
        seen.append(Path(HERE).readlink())
        with suppress(ZeroDivisionError), inside("/proc/self/ns/net"):
            seen.append(Path(HERE).readlink())
            raise ZeroDivisionError
        seen.append(Path(HERE).readlink())

    _inside(netns, work)
    first, away, last = seen
    assert first == last != away == Path(HERE).readlink()


def test_without_privilege(netns: str) -> None:
    program = (
        "import os, sys\n"
        "from eroute_translate.xfrm.bulk import Channel\n"
        "from eroute_translate.xfrm.errors import KernelError\n"
        "channel = Channel.open(sys.argv[1])\n"
        "os.setgroups([])\n"
        "os.setresgid(65534, 65534, 65534)\n"
        "os.setresuid(65534, 65534, 65534)\n"
        "try:\n"
        "    channel.dump()\n"
        "except KernelError as error:\n"
        "    print(error, '|', error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, netns], capture_output=True, text=True, check=True
    )
    assert "EPERM" in done.stdout, done.stderr
    assert "CAP_NET_ADMIN" in done.stdout


# --------------------------------------------------------------------------------- the socket


def test_policies(asked: XfrmSocket) -> None:
    asked.policy(
        "add",
        src="10.0.0.5/24",
        dst="10.1.0.0/16",
        dir="out",
        priority=4,
        mark=(0xFF01, 0xFF),
        if_id=9,
        tmpl=[{"src": "192.0.2.1", "dst": "192.0.2.2", "mode": "tunnel", "reqid": 3}],
    )
    asked.policy(
        "add", src="2001:db8::/32", dst="::/0", dir="in", proto=6, dport=25, action="block"
    )
    newest, oldest = asked.policy("dump")
    assert newest["sel"]["daddr"] == "::"
    assert (newest["sel"]["dport"], newest["sel"]["dport_mask"], newest["action"]) == (
        25,
        0xFFFF,
        1,
    )
    assert oldest.get_attr("XFRMA_MARK") == {"v": 1, "m": 0xFF}
    key: Any = {"src": "10.0.0.0/24", "dst": "10.1.0.0/16", "dir": "out", "mark": (1, 255)}
    (found,) = asked.policy("get", **key, if_id=9)
    assert found["index"] == oldest["index"]
    with pytest.raises(KernelError, match=r"add policy .* out: File exists"):
        asked.policy("add", **key, if_id=9, priority=77)
    with pytest.raises(KernelError, match="ENOENT"):
        asked.policy("get", **key)
    asked.policy("update", **key, if_id=9, priority=78)
    (found,) = asked.policy("get", index=found["index"], dir="out", mark=(1, 255), if_id=9)
    assert found["priority"] == 78
    assert asked.spd_info()["outcnt"] == asked.spd_info()["incnt"] == 1
    asked.policy("delete", index=found["index"], dir="out", mark=(1, 255), if_id=9)
    asked.policy("add", src="10.0.0.0/24", dst="10.1.0.0/16", ptype="sub")
    asked.policy("flush")
    (left,) = asked.policy("dump")
    assert left.get_attr("XFRMA_POLICY_TYPE")["type"] == 1
    asked.policy("flush", ptype="sub")
    assert asked.policy("dump") == ()


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"index": 8, "dir": "out"}, "Policy index doesn't match direction"),
        ({"tmpl": [{}] * 7}, "Template count must be <= XFRM_MAX_DEPTH (6)"),
        (
            {"tmpl": [{"src": "::1", "dst": "::1"}]},
            "Mode in template doesn't support a family change",
        ),
        (
            {"tmpl": [{"mode": "tunnel", "level": "use"}]},
            "Mode in optional template not allowed in outbound policy",
        ),
    ],
)
def test_what_the_kernel_refuses(asked: XfrmSocket, spec: Any, text: str) -> None:
    if "index" in spec:
        spec = {"index": 8 | 2, "dir": "out"}
    with pytest.raises(KernelError) as caught:
        asked.policy("add", src="10.0.0.0/8", dst="10.0.0.0/8", **spec)
    assert (caught.value.errno, caught.value.text) == (errno.EINVAL, text)
    assert asked.policy("dump") == ()  # the socket goes on


def test_defaults_and_thresholds(asked: XfrmSocket) -> None:
    assert asked.default_policy() == {"in": "accept", "fwd": "accept", "out": "accept"}
    asked.set_default_policy(out="block", **{"in": "block"})
    assert asked.default_policy() == {"in": "block", "fwd": "accept", "out": "block"}
    asked.set_default_policy(out="accept")
    assert asked.default_policy()["out"] == "accept"
    info = asked.spd_info()
    assert (info["ipv4"], info["ipv6"], info["spdhcnt"]) == ((32, 32), (128, 128), 7)
    asked.set_thresholds((24, 16))
    asked.set_thresholds(ipv6=(64, 48))
    info = asked.spd_info()
    assert (info["ipv4"], info["ipv6"]) == ((24, 16), (64, 48))
    with pytest.raises(KernelError, match=r"Invalid hash threshold \(must be <= 128 for IPv6\)"):
        asked.set_thresholds(ipv6=(129, 0))


def test_states(asked: XfrmSocket) -> None:
    key: Any = {"src": "192.0.2.1", "dst": "192.0.2.2", "proto": "esp"}
    (larval,) = asked.state("allocspi", **key, min=0x300, max=0x300, reqid=5, mode="tunnel")
    assert (larval["spi"], larval["reqid"]) == (0x300, 5)
    assert asked.sad_info()["sadcnt"] == 1
    (listed,) = asked.state("dump")
    assert listed["daddr"] == "192.0.2.2"
    (found,) = asked.state("get", dst="192.0.2.2", spi=0x300)
    assert found["mode"] == 1
    asked.state("delete", dst="192.0.2.2", spi=0x300)
    with pytest.raises(
        KernelError, match=r"get state 192\.0\.2\.2 spi 0x300: No such process"
    ) as caught:
        asked.state("get", dst="192.0.2.2", spi=0x300)
    assert caught.value.hint == "there is no such state"
    with pytest.raises(KernelError, match="Invalid SPI range: min > max"):
        asked.state("allocspi", **key, min=5, max=4)
    asked.state("allocspi", **key)
    asked.state("flush", proto="ah")
    assert len(asked.state("dump")) == 1
    asked.state("flush")
    assert asked.state("dump") == ()


def test_a_state_that_the_kernel_cannot_have(asked: XfrmSocket) -> None:
    """What is missing differs between kernels; none of them says the key."""
    with pytest.raises(KernelError) as caught:
        asked.state(
            "add",
            src="192.0.2.1",
            dst="192.0.2.2",
            proto="esp",
            spi=0x400,
            crypt=("cbc(no-such-cipher)", b"a secret of size"),
            auth_trunc=("hmac(sha256)", b"s" * 32, 128),
        )
    assert caught.value.errno == errno.ENOSYS
    assert caught.value.text == "Requested CRYPT algorithm not found"
    assert "cbc(no-such-cipher)" in caught.value.hint
    assert "secret" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


def test_a_protocol_without_its_module(asked: XfrmSocket) -> None:
    refused: list[KernelError] = []
    try:
        asked.state(
            "add",
            src="::1",
            dst="::2",
            proto="esp",
            spi=0x400,
            crypt=("cipher_null", b""),
            auth_trunc=("hmac(sha256)", b"s" * 32, 128),
        )
    except KernelError as error:
        refused.append(error)
    if not refused:
        pytest.skip("this kernel has ESP")
    assert refused[0].errno == errno.EPROTONOSUPPORT
    assert refused[0].hint == "the kernel has no handler for this protocol: modprobe esp6"


def test_events(asked: XfrmSocket, channel: Channel, netns: str) -> None:
    with XfrmMonitor(netns=netns) as monitor:
        channel.install(VARIED[:2], replace=False)
        channel.install(VARIED[:1])
        channel.remove(VARIED[:1])
        asked.policy("flush")
        asked.set_default_policy(out="accept")
        asked.state("allocspi", src="192.0.2.1", dst="192.0.2.2")
        asked.state("flush")
        events = list(monitor.events(0.1))
    assert [name for name, _ in events] == [
        "NEWPOLICY",
        "NEWPOLICY",
        "UPDPOLICY",
        "DELPOLICY",
        "FLUSHPOLICY",
        "GETDEFAULT",
        "FLUSHSA",
    ]
    assert events[1][1].get_attr("XFRMA_MARK") == {"v": 5, "m": 0xFF}
    removed = events[3][1].get_attr("XFRMA_POLICY")
    assert removed["priority"] == 1


def test_events_lost_are_said_and_the_monitor_goes_on(channel: Channel, netns: str) -> None:
    with XfrmMonitor("policy", netns=netns, buffer=4096) as monitor:
        channel.install(VARIED)
        with pytest.raises(KernelError, match="ENOBUFS"):
            list(monitor.events(0.1))
        list(monitor.events(0.05))
        channel.remove(VARIED[:1])
        assert [name for name, _ in monitor.events(0.1)] == ["DELPOLICY"]


def test_an_acquire_tells_the_policy_and_the_packet(asked: XfrmSocket, netns: str) -> None:
    for command in (
        "link add v0 type veth peer name v1",
        "addr add 10.0.0.1/24 dev v0",
        "link set v0 up",
        "link set v1 up",
    ):
        subprocess.run(["ip", "-n", netns, *command.split()], check=True)
    asked.policy(
        "add",
        src="10.0.0.0/24",
        dst="10.0.0.0/24",
        dir="out",
        priority=4242,
        tmpl=[{"proto": "esp", "reqid": 6}],
    )

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.sendto(b"x", ("10.0.0.2", 999))

    with XfrmMonitor("acquire", netns=netns) as monitor:
        _inside(netns, send)
        ((name, message),) = list(monitor.events(0.3))
    assert name == "ACQUIRE"
    assert message["policy"]["priority"] == 4242
    assert (message["sel"]["daddr"], message["sel"]["prefixlen_d"]) == ("10.0.0.2", 32)
    assert (message["sel"]["proto"], message["sel"]["dport"]) == (17, 999)
    (larval,) = asked.state("dump")
    assert (larval["spi"], larval["reqid"]) == (0, 6)


def test_it_is_quick_enough_to_be_used(channel: Channel) -> None:
    """Not a benchmark: a block that waits for something takes seconds."""
    mask = ALL_ONES[4]
    many = [Policy("out", Selector(Prefix(4, i, mask), Prefix(4, i, mask)), i) for i in range(5000)]
    began = time.monotonic()
    channel.install(many)
    channel.remove(channel.dump())
    assert time.monotonic() - began < 5
