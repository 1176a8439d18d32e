"""How fast policies reach the kernel, beside ``ip`` and a C program that sends bytes.

Run with ``./dev bench apply`` as root.  Each measurement has a fresh network namespace, whose
tables are small and have to grow, and begins when the machine is quiet: what a namespace leaves
behind that is removed, and a process that starts, keep RCU busy, for which the growth has to wait.
All take turns in one run, and medians are printed, of the times and of the ratios within a round.
Ours begins with plain :class:`Policy` values and ends with the last ack; the C program has the
packed bytes in memory, in the same blocks, and yields the CPU after each as ours does, or does not.
ROUNDS=1 is quick; QUICK=1 leaves out the large tables and the memory.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from eroute_translate.apply import transaction
from eroute_translate.apply.firewall import Firewall
from eroute_translate.apply.journal import Journal
from eroute_translate.apply.plan import plan_of_dump
from eroute_translate.net import MASK_OF_LENGTH, Prefix, Selector, format_prefix
from eroute_translate.xfrm.bulk import Channel
from eroute_translate.xfrm.model import Policy, Template
from eroute_translate.xfrm.sieve import Sieve
from eroute_translate.xfrm.text import policy_arguments
from eroute_translate.xfrm.wire import HEADER

from .memory import measure_memory

ROUNDS = int(os.environ.get("ROUNDS", "5"))
POLICIES = 50_000
EROUTES = 10_000
QUIET = 0.4
"""Seconds before and after a namespace."""

_numbers = itertools.count()


# ------------------------------------------------------------------------------------- policies


def pairs(count: int, length: int, first: int = 0) -> list[Policy]:
    """Prefix to prefix of a length, one direction, no templates; priorities from ``first`` on."""
    mask, step = MASK_OF_LENGTH[4][length], 1 << 32 - length
    return [
        Policy(
            "out",
            Selector(
                Prefix(4, (10 << 24) + i * step, mask), Prefix(4, (40 << 24) + i * step, mask)
            ),
            1_000_000_000 + first + i,
        )
        for i in range(count)
    ]


def eroutes(count: int) -> list[Policy]:
    """Tunnels of subnets of many sizes, in three directions, in the order of an apply."""
    dice = random.Random(1)
    selectors = []
    for i in range(count):
        near, far = dice.choice(((24, 24), (24, 32), (28, 24), (32, 32), (24, 28)))
        selectors.append(
            Selector(
                Prefix(4, (172 << 24) + (16 << 16) + (i % 64 << 8), MASK_OF_LENGTH[4][near]),
                Prefix(4, (10 << 24) + (i << 8), MASK_OF_LENGTH[4][far]),
            )
        )
    selectors.sort(key=lambda s: (s.destination.mask, s.source.mask))
    made = []
    for direction in ("out", "in", "fwd"):
        for i, selector in enumerate(selectors):
            here, there = 0xC6120001, 0xC6130000 + i % 4096
            if direction != "out":
                selector = selector.mirrored()
                here, there = there, here
            template = Template(50, "tunnel", 4, here, there, 0x4000 + i)
            made.append(Policy(direction, selector, 1_000_000_000 + i, templates=(template,)))
    return made


# ---------------------------------------------------------------------------------- namespaces


@contextmanager
def namespace() -> Iterator[str]:
    """A fresh network namespace."""
    name = f"et-bench-{os.getpid()}-{next(_numbers)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    time.sleep(QUIET)
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
        time.sleep(QUIET)


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of some work."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


class Recorder:
    """A transport that keeps the blocks that it is given, and says yes to each."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def send(self, data: bytes | bytearray, /) -> int:
        self.blocks.append(bytes(data))
        offset = 0
        while offset < len(data):
            length, _, _, self.sequence, _ = HEADER.unpack_from(data, offset)
            offset += length
        return len(data)

    def recv(self, _size: int, /) -> bytes:
        return struct.pack("=IHHIIiIHHII", 36, 2, 0, self.sequence, 0, 0, 16, 0, 0, 0, 0)

    def close(self) -> None:
        pass


def blocks(policies: Sequence[Policy]) -> bytes:
    """What the C program is given: the same bytes, in the same blocks."""
    recorder = Recorder()
    Channel(recorder).install(policies, replace=False)
    return b"".join(struct.pack("=I", len(block)) + block for block in recorder.blocks)


# -------------------------------------------------------------------------------- measurements


class Bench:
    """All measurements; ``times`` by line and by program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.times: dict[str, dict[str, list[float]]] = {}
        self.raw = folder / "raw_send"
        source = Path(__file__).with_name("raw_send.c")
        subprocess.run(["gcc", "-O2", "-Wall", "-o", self.raw, source], check=True)

    def note(self, line: str, program: str, milliseconds: float) -> None:
        self.times.setdefault(line, {}).setdefault(program, []).append(milliseconds)

    def batch(self, line: str, name: str, file: Path) -> None:
        command = ["ip", "-n", name, "-batch", str(file)]
        self.note(line, "ip", timed(lambda: subprocess.run(command, check=True)))

    def written(self, verb: str, kind: str, policies: Sequence[Policy]) -> Path:
        file = self.folder / f"{verb} {kind}".replace("/", "-")
        if not file.exists():
            if verb == "delete":
                lines = (
                    f"xfrm policy delete src {format_prefix(p.selector.source)}"
                    f" dst {format_prefix(p.selector.destination)} dir {p.direction}\n"
                    for p in policies
                )
            else:
                lines = (f"xfrm policy {verb} {policy_arguments(p)}\n" for p in policies)
            file.write_text("".join(lines), encoding="ascii")
        return file

    def c(self, line: str, program: str, name: str, file: Path, *how: str) -> None:
        done = subprocess.run(
            [self.raw, f"/run/netns/{name}", file, *how], check=True, capture_output=True, text=True
        )
        self.note(line, program, float(done.stdout) / 1e3)

    def installing(self, kind: str, policies: Sequence[Policy]) -> None:
        """Fill an empty namespace: ours, ``ip``, C that yields, C that does not; and apply."""
        line = f"install {kind}"
        with namespace() as name:

            def ours() -> None:
                with Channel.open(name) as channel:
                    channel.install(policies, replace=False)

            self.note(line, "ours", timed(ours))
            self.check(name, policies)
        with namespace() as name:
            self.batch(line, name, self.written("add", kind, policies))
            self.check(name, policies)
        file = self.folder / "blocks"
        file.write_bytes(blocks(policies))
        with namespace() as name:
            self.c(line, "C", name, file, "yield")
        with namespace() as name:
            self.c(line, "C in haste", name, file)
        line = f"plan and apply {kind}"
        with namespace() as name:
            self.note(line, "ours", timed(lambda: self.whole(name, policies)))
            self.check(name, policies)
        self.note(line, "ip", self.times[f"install {kind}"]["ip"][-1])

    def whole(self, name: str, policies: Sequence[Policy]) -> None:
        """What ``apply`` does but for its input: plan, record, changes, read back, what is ours."""
        journal = Journal(self.folder / name, "this boot")
        journal.prepare()
        with Channel.open(name) as channel:
            plan = plan_of_dump(Sieve(policies), channel.datagrams(), journal.owned_messages())
            transaction.apply(channel, journal, plan, firewall=Firewall(name))

    def check(self, name: str, policies: Sequence[Policy]) -> None:
        with Channel.open(name) as channel:
            found = {p._replace(index=0) for p in channel.each()}
        if found != set(policies):
            raise RuntimeError("the kernel has something else than was sent")

    def reading(self, kind: str, policies: Sequence[Policy]) -> None:
        """A plan with everything in place, beside the printing of what is there."""
        with namespace() as name, Channel.open(name) as channel:
            channel.install(policies, replace=False)
            time.sleep(0.1)
            wanted = Sieve(policies)

            def diff(sieve: Sieve) -> None:
                plan = plan_of_dump(sieve, channel.datagrams(), iter(()))
                if plan.kept != len(policies) or not plan.empty:
                    raise RuntimeError("the plan is not empty")

            show = ["ip", "-n", name, "xfrm", "policy", "show"]
            shown = timed(lambda: subprocess.run(show, check=True, stdout=subprocess.DEVNULL))
            for line, work in (
                ("dump and diff", lambda: diff(wanted)),
                ("the same, encoding too", lambda: diff(Sieve(policies))),
                ("dump and decode", channel.dump),
            ):
                self.note(f"{line} {kind}", "ours", timed(work))
                self.note(f"{line} {kind}", "ip", shown)

    def changing(
        self,
        kind: str,
        policies: Sequence[Policy],
        others: Sequence[Policy],
        *,
        with_ip: bool = True,
    ) -> None:
        """Replace all policies, and remove all, each as a whole transaction."""
        with namespace() as name:
            self.whole(name, policies)
            self.note(f"apply an update of {kind}", "ours", timed(lambda: self.whole(name, others)))
            self.check(name, others)
            self.note(f"apply a removal of {kind}", "ours", timed(lambda: self.whole(name, ())))
            self.check(name, ())
        if not with_ip:
            return
        with namespace() as name:
            with Channel.open(name) as channel:
                channel.install(policies, replace=False)
            self.batch(f"apply an update of {kind}", name, self.written("update", kind, others))
            self.check(name, others)
            self.batch(f"apply a removal of {kind}", name, self.written("delete", kind, others))
            self.check(name, ())

    def print(self) -> None:
        programs = ("ours", "ip", "C", "C in haste")
        print(f"{'medians in ms':<42}" + "".join(f"{p:>16}" for p in programs), end="")
        print(f"{'ip/ours':>9}{'ours/C':>8}{'ours/best C':>12}")
        for line, by_program in self.times.items():
            medians = {p: statistics.median(t) for p, t in by_program.items()}
            print(f"{line:<42}", end="")
            for program in programs:
                print(f"{medians[program]:16.0f}" if program in medians else " " * 16, end="")
            ours = by_program["ours"]
            if "ip" in by_program:
                print(f"{ratio(by_program['ip'], ours):9.2f}", end="")
            if "C" in by_program:
                kind, hasty = by_program["C"], by_program["C in haste"]
                best = [min(pair) for pair in zip(kind, hasty, strict=True)]
                print(f"{ratio(ours, kind):8.2f}{ratio(ours, best):12.2f}", end="")
            print()


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """The median of the ratios within the rounds."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def main() -> int:
    """Measure and print."""
    gc.disable()  # as the command line does
    quick = bool(os.environ.get("QUICK"))
    many, few = pairs(POLICIES, 32), eroutes(EROUTES)
    subnets, moved = pairs(POLICIES, 24), pairs(POLICIES, 24, first=POLICIES)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for number in range(ROUNDS):
            bench.installing("50 000 /32", many)
            bench.installing("10 000 eroutes x 3", few)
            bench.reading("50 000 /32", many)
            bench.reading("10 000 eroutes x 3", few)
            if quick:
                continue
            bench.changing("50 000 /32", many, pairs(POLICIES, 32, first=POLICIES))
            bench.changing("50 000 /24", subnets, moved, with_ip=False)
            if number == 0:  # it takes a quarter of a minute
                bench.changing("10 000 /24", subnets[:10_000], moved[:10_000])
        bench.print()
        if not quick:
            measure_memory(Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
