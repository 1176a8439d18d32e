"""Packets are sent all the while: what is kept from the clear before and after never goes out.

A gateway sends UDP to hosts behind a cable.  Transactions that replace, add and remove policies
break on the way and go back, or are killed; the other end of the cable counts what arrives.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from eroute_translate.apply import transaction
from eroute_translate.apply.journal import Journal
from eroute_translate.apply.kernel import ApplyError
from eroute_translate.apply.plan import make_plan
from eroute_translate.net import Selector, parse_prefix
from eroute_translate.xfrm.bulk import Channel
from eroute_translate.xfrm.model import Policy, Template
from tests.fake_kernel import FakeFirewall

from .faulty import FAULTS, Case, closing, faulty, fill, octets
from .killed import Driver
from .spaces import cable, inside, ip, namespaces, need

pytestmark = pytest.mark.kernel

KEPT, PASSED = 24, 6
"""Hosts 10.2.0.1 and on, of which the first are protected or blocked before and after."""

UDP = socket.IPPROTO_UDP

SENDER = """
import socket, sys, threading
names = sys.argv[1:]
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
made.bind(("10.1.0.1", 0))
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
sent = refused = 0
while not stop.wait(0.0005):
    for name in names:
        try:
            made.sendto(b"in clear?", (name, 4000))
            sent += 1
        except OSError:
            refused += 1
print(sent, refused)
"""


def policy(destination: str, priority: int, kind: str = "protect", protocol: int = 0) -> Policy:
    templates = (Template(50, "tunnel", 4, 0x0A010001, 0x0A010002, reqid=9),)
    return Policy(
        "out",
        Selector(parse_prefix("10.1.0.1/32"), parse_prefix(destination), protocol),
        priority,
        "block" if kind == "block" else "allow",
        templates if kind == "protect" else (),
    )


def host(number: int) -> str:
    return f"10.2.0.{number}"


def tables() -> Case:
    """Policies that change places: what shields a pass moves behind another, and so on."""
    old, new = [], []
    for number in range(1, KEPT + 1):
        one = f"{host(number)}/32"
        # Three in turn: the priority moves behind a pass that goes, or before one that comes;
        # protect becomes block; one policy goes and a wider one takes its place.
        match number % 3:
            case 0:
                old += [policy(one, 100 + number), policy(one, 500, "pass", UDP)]
                new += [policy(one, 900 + number, "block")]
            case 1:
                old += [policy(one, 900 + number, "block")]
                new += [policy(one, 100 + number), policy(one, 5000, "pass", UDP)]
            case _:
                old += [policy(one, 300 + number)]
    for number in range(KEPT + 1, KEPT + PASSED + 1):
        old.append(policy(f"{host(number)}/32", 50, "pass"))
        new.append(policy(f"{host(number)}/32", 50 + number % 2, "pass"))
    old.append(policy("10.2.0.0/16", 7000, "block"))
    new.append(policy("10.2.0.0/16", 6000))

    return Case(tuple(old), tuple(new), (policy("10.3.0.0/16", 1, "block"),))


class Cable:
    """Counts what comes out at the other end."""

    def __init__(self, near: str, far: str) -> None:
        self.near = near
        cable(near, far, ("c0", "c1"), ("10.1.0.1/16", "10.1.0.2/16"))
        ip(near, "route", "add", "default", "via", "10.1.0.2")
        # Who answers the question for 10.1.0.2 is known, so that the first packets do not wait.
        link = ip(far, "-o", "link", "show", "c1").split("link/ether ")[1].split()[0]
        ip(
            near,
            "neighbour",
            "replace",
            "10.1.0.2",
            "lladdr",
            link,
            "dev",
            "c0",
            "nud",
            "permanent",
        )

        def listen() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
            made.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)
            made.bind(("c1", 0x0800))
            made.setblocking(False)
            return made

        self.socket = inside(far, listen)
        names = [host(number) for number in range(1, KEPT + PASSED + 1)]
        self.sender = subprocess.Popen(
            ["ip", "netns", "exec", near, sys.executable, "-c", SENDER, *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> tuple[int, int]:
        """How many packets were handed to the kernel and taken, and how many it refused."""
        output, _ = self.sender.communicate("")
        time.sleep(0.05)
        sent, refused = output.split()
        return int(sent), int(refused)

    def arrived(self) -> Counter[int]:
        """Packets in clear by the number of their host; none may have been missed."""
        found: Counter[int] = Counter()
        while True:
            try:
                data = self.socket.recv(2048)
            except BlockingIOError:
                break
            if data[9] == socket.IPPROTO_UDP and data[16:18] == b"\x0a\x02":
                found[int.from_bytes(data[18:20])] += 1
        _, dropped = struct.unpack("=II", self.socket.getsockopt(263, 6, 8))
        assert not dropped
        return found


@pytest.fixture
def wire() -> Iterator[Cable]:
    need()
    with namespaces("near", "far") as (near, far):
        made = Cable(near, far)
        try:
            yield made
        finally:
            if made.sender.poll() is None:
                made.sender.kill()
                made.sender.wait()
            made.socket.close()


def judge(wire: Cable, what: str, tried: int) -> None:
    sent, refused = wire.stop()
    arrived = wire.arrived()
    leaks = {host(n): count for n, count in arrived.items() if n <= KEPT}
    passed = sum(count for n, count in arrived.items() if n > KEPT)
    print(
        f"\n{what}: cases tried {tried}, cases lost 0; {sent + refused} packets handed to the"
        f" kernel, {passed} arrived that may, {sum(leaks.values())} that may not"
    )
    assert not leaks
    assert passed > 500
    assert set(range(KEPT + 1, KEPT + PASSED + 1)) <= set(arrived)
    assert refused + sent > 5000


def test_the_watch_sees_a_leak(wire: Cable) -> None:
    """Without any policy everything arrives: what follows could fail."""
    end = time.monotonic() + 10
    seen: Counter[int] = Counter()
    while len(seen) < KEPT + PASSED and time.monotonic() < end:
        time.sleep(0.05)
        seen += wire.arrived()
    assert set(seen) == set(range(1, KEPT + PASSED + 1))


def test_nothing_leaks_while_transactions_break(wire: Cable) -> None:
    """At every send of the plan in turn each of the faults, and the whole way in between."""
    what = tables()
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        Channel.open(wire.near) as good,
    ):
        good.install([*what.new, *what.foreign])
        after = octets(good)
        fill(good, what)
        before = octets(good)
        journal = Journal(Path(folder) / "host", "this boot")
        journal.prepare()
        time.sleep(0.3)
        wire.arrived()
        tried = 0
        for block in (1, 512):
            at = 0
            while True:
                fault = FAULTS[(at + block) % 4]
                channel, transport = faulty(wire.near, fault, at, block=block)
                plan = make_plan(what.new, good.dump(), what.owned)
                error = None
                with closing(channel):
                    try:
                        transaction.apply(
                            channel,
                            journal,
                            plan,
                            firewall=FakeFirewall(),
                            connect=lambda: good,
                        )
                    except ApplyError as caught:
                        error = caught
                tried += 1
                assert transport.struck == (error is not None), (fault, at, error)
                if error is None:
                    assert octets(good) == after
                    # The whole way back, as a transaction.
                    ours = {p.key: p for p in what.new}
                    plan = make_plan(what.old, good.dump(), ours)
                    transaction.apply(good, journal, plan, firewall=FakeFirewall())
                assert octets(good) == before, (fault, at)
                if error is None:
                    break
                at += 1
        judge(wire, "leaks while transactions break", tried)


TABLE_BEFORE = """\
1 10.1.0.1/32 -> 10.2.0.0/28 => tun0x1002@10.1.0.2
1 10.1.0.1/32 -> 10.2.0.16/29 => %drop
1 10.1.0.1/32 -> 10.2.0.24/32 => %drop
1 10.1.0.1/32 -> 10.2.0.0/16 => %pass
"""
TABLE_AFTER = """\
1 10.1.0.1/32 -> 10.2.0.0/28 => %drop
1 10.1.0.1/32 -> 10.2.0.16/29 => tun0x1003@10.1.0.2
1 10.1.0.1/32 -> 10.2.0.24/32 => tun0x1004@10.1.0.2
1 10.1.0.1/32 -> 10.2.0.0/16 => %pass
"""


def test_nothing_leaks_while_the_program_is_killed(wire: Cable, tmp_path: Path) -> None:
    """By SIGKILL and SIGTERM at every third write of its journal; the watchdog goes back."""
    for name, text in (("before", TABLE_BEFORE), ("after", TABLE_AFTER)):
        (tmp_path / name).write_text(text, encoding="ascii")
    target = ["--netns", wire.near, "--state-folder", str(tmp_path / "state"), "--yes", "-q"]
    with Driver(tmp_path) as driver:
        points = driver.run("apply", *target, str(tmp_path / "before")).points
        time.sleep(0.3)
        wire.arrived()
        tried = 0
        for at in range(0, len(points), 3):
            for name in ("SIGKILL", "SIGTERM"):
                driver.run("apply", *target, str(tmp_path / "after"), at=at, name=name)
                done = driver.run("apply", *target, str(tmp_path / "before"))
                assert done.code == 0, done
                tried += 1
        # A folder that cannot be written to refuses before the first message.
        state = tmp_path / "state"
        state.rename(tmp_path / "elsewhere")
        state.write_text("", encoding="ascii")
        assert driver.run("apply", *target, str(tmp_path / "after")).code == 1
        judge(wire, "leaks while the program is killed", tried + 1)
