"""Packets run all the while: what is to be protected or blocked never goes out in clear.

Hosts behind the gateway and the gateway itself send to networks that the tables protect or block,
before and after, and to one that passes. Meanwhile tables are installed by the script and by
``apply``, replaced, rolled back, and the program is killed. The outer wire is captured throughout.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from eroute_translate.render import Target
from tests.netkey.bed import V4, V6, Bed
from tests.netkey.spd import Policy
from tests.netkey.translated import FIRST, policies, states
from tests.netns.killed import Driver
from tests.translated import rendered, row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.netkey.bed import Host

NETS: Final = (V4, V6)
ELSEWHERE: Final = {V4: "198.51.100.1", V6: "2001:db8:9::1"}
KEPT: Final = frozenset(a for net in NETS for a in (net.receiver, net.other))
PASSED: Final = frozenset(ELSEWHERE.values())

SENDER: Final = """
import socket, sys, threading
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
pairs = []
for text in sys.argv[1:]:
    source, target = text.split(",")
    made = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((source, 0))
    pairs.append((made, (target, 4000)))
sent = refused = 0
while not stop.wait(0.03):
    for made, target in pairs:
        try:
            made.sendto(b"in clear?", target)
            sent += 1
        except OSError:
            refused += 1
print(sent, refused)
"""


def before() -> str:
    """Far is protected, a part of it blocked, all else passes."""
    return "".join(
        row(net.sender_net, net.everything, "%pass")
        + row(net.sender_net, net.receiver_net, f"tun0x1002@{net.peer}")
        + row(net.sender_net, net.part, "%drop")
        for net in NETS
    )


def after() -> str:
    """Far is blocked, the part has a tunnel of its own, and there are holes beside."""
    return "".join(
        row(net.sender_net, net.part, f"tun0x1004@{net.peer}")
        + row(net.sender_net, net.receiver_net, "%drop")
        + row(f"{ELSEWHERE[net]}/{32 if net is V4 else 128}", net.everything, "%pass")
        + row(net.sender_net, net.everything, "%pass")
        for net in NETS
    )


class Stream:
    """The senders, and what was seen on the outer wire."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.seen: Counter[str] = Counter()
        self.leaks: list[str] = []
        self.senders: list[subprocess.Popen[str]] = []
        self.capture = bed.wire.capture()

    def start(self) -> None:
        for host, inside in ((self.bed.sender, False), (self.bed.gateway, True)):
            self.senders.append(self._sender(host, inside))

    def _sender(self, host: Host, inside: bool) -> subprocess.Popen[str]:
        pairs = [
            f"{net.gateway_inside if inside else net.sender},{target}"
            for net in NETS
            for target in (net.receiver, net.other, ELSEWHERE[net])
        ]
        with host.inside():
            return subprocess.Popen(
                [sys.executable, "-S", "-c", SENDER, *pairs],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )

    def look(self) -> Counter[str]:
        """Count what has come since the last look."""
        new: Counter[str] = Counter()
        self.capture.take()
        for packet in self.capture.packets:
            if packet.outgoing:
                continue
            if packet.protocol == "esp":
                new["protected"] += 1
            elif packet.target in KEPT:
                new["clear"] += 1
                self.leaks.append(str(packet))
            elif packet.target in PASSED:
                new["passed"] += 1
        self.capture.packets.clear()
        self.seen += new
        return new

    def until_both(self) -> None:
        """Run on until protected and passing packets were seen anew."""
        end = time.monotonic() + 10
        self.look()
        seen: Counter[str] = Counter()
        while not (seen["protected"] and seen["passed"]):
            assert time.monotonic() < end, seen
            time.sleep(0.02)
            seen += self.look()

    def stop(self) -> tuple[int, int]:
        """Packets handed to the kernels: taken and refused."""
        total = [0, 0]
        for sender in self.senders:
            output, _ = sender.communicate("")
            for place, text in enumerate(output.split()):
                total[place] += int(text)
        self.senders.clear()
        self.capture.settled()
        self.look()
        return total[0], total[1]

    def close(self) -> None:
        for sender in self.senders:
            sender.kill()
            sender.wait()
        self.capture.__exit__()

    def judge(self, what: str, tried: int) -> None:
        sent, refused = self.stop()
        print(
            f"\n{what}: {tried} changes under traffic; packets sent {sent + refused}, seen"
            f" protected {self.seen['protected']}, seen passing {self.seen['passed']}, seen in"
            f" clear that must not be {self.seen['clear']}"
        )
        assert self.leaks[:5] == []
        assert self.seen["protected"] > 20
        assert self.seen["passed"] > 20


@pytest.fixture
def stream(bed: Bed) -> Iterator[Stream]:
    """SAs for the tunnels of both tables at both gateways; the senders are not yet running."""
    for place, net in enumerate(NETS):
        # Groups are numbered as they come, and each table has one for a family.
        made = states(net.gateway, net.peer, "esp", reqid=FIRST + place)
        for host in (bed.gateway, bed.peer):
            host.xfrm.add(*made)
        ends = net.peer, net.gateway, net.receiver_net, net.sender_net
        bed.peer.xfrm.add(*policies(*ends, "esp", reqid=FIRST + place))
        # Behind the peer lies nothing else: what passes ends there.
        bed.peer.give(f"route add blackhole {ELSEWHERE[net]}/{32 if net is V4 else 128}")
        # Before the first table nothing leaves for there: what somebody careful does by hand.
        bed.gateway.xfrm.add(
            Policy("out", net.everything, net.receiver_net, action="block", priority=1 << 31)
        )
    running = Stream(bed)
    yield running
    running.close()


def test_the_watch_sees_a_leak(bed: Bed, stream: Stream) -> None:
    """Without any policy all of it is seen in clear: what follows could fail."""
    bed.gateway.xfrm.flush_policies()
    stream.start()
    end = time.monotonic() + 10
    while len({leak.split()[2] for leak in stream.leaks}) < len(KEPT):
        assert time.monotonic() < end
        time.sleep(0.02)
        stream.look()


def test_the_script(bed: Bed, stream: Stream) -> None:
    """Installed while packets run, and once more over itself."""
    stream.start()
    script = rendered(before(), Target.IP_XFRM)
    for _ in range(2):
        bed.gateway.run("env", "REPLACE_OTHERS=yes", "dash", text=script)
        stream.until_both()
    stream.judge("script", 2)


def test_apply_replace_and_roll_back(bed: Bed, stream: Stream, tmp_path: Path) -> None:
    for name, text in (("before", before()), ("after", after())):
        (tmp_path / name).write_text(text, encoding="ascii")
    target = ["--netns", bed.gateway.name, "--state-folder", str(tmp_path / "state")]
    tried = 0
    with Driver(tmp_path) as driver:
        stream.start()

        def run(code: int, verb: str, *words: str, **how: object) -> list[str]:
            done = driver.run(verb, *target, *words, **how)
            assert done.code == code, done
            stream.until_both()
            return done.points

        def apply(table: str, *words: str, code: int = 0, **how: object) -> list[str]:
            return run(code, "apply", "--yes", "-q", *words, str(tmp_path / table), **how)

        apply("before")
        points = apply("after")
        apply("before")
        for verb in (("rollback", "--yes"), ("confirm",)):
            apply("after", "--confirm-within", "60s", settle=False)
            run(0, *verb)
            tried += 2
        apply("before")
        apply("after", "--confirm-within", "1s")  # and nobody confirms: waited for
        # Before the transaction is written, while it runs, and up to the moment it is final.
        final = points.index("unlink")
        for at in range(points.index("open"), final + 1, 6):
            for name, code in (("SIGKILL", -9), ("SIGTERM", 14)):
                apply("after", code=code, at=at, name=name)
                apply("before")
                tried += 2
    stream.judge("apply, replaced, rolled back, killed", tried + 5)
