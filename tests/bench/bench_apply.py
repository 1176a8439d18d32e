"""How fast policies reach the kernel, beside ``ip -batch`` and a C program that sends bytes.

Run with ``./dev bench apply`` as root.  Each measurement has a fresh network namespace, whose
tables are small and have to grow; all take turns in one run, and medians are printed.  Ours begins
with plain :class:`Policy` values and ends with the last ack; the C program has the packed bytes
in memory, in the same blocks, with the same rests and without any.
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

from eroute_translate.net import MASK_OF_LENGTH, Prefix, Selector, format_prefix
from eroute_translate.xfrm.bulk import Channel
from eroute_translate.xfrm.model import Policy, Template
from eroute_translate.xfrm.pacing import Pacing
from eroute_translate.xfrm.text import policy_arguments

ROUNDS = int(os.environ.get("ROUNDS", "5"))
POLICIES = 50_000
EROUTES = 10_000
_numbers = itertools.count()


# ------------------------------------------------------------------------------------- policies


def hosts(count: int) -> list[Policy]:
    """Host to host, one direction, no templates."""
    mask = MASK_OF_LENGTH[4][32]
    return [
        Policy(
            "out",
            Selector(Prefix(4, (10 << 24) + i, mask), Prefix(4, (11 << 24) + i, mask)),
            1_000_000_000 + i,
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
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of some work."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


class Recorder:
    """A transport that keeps the blocks, and says yes to each."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def send(self, data: bytes | bytearray, /) -> int:
        self.blocks.append(bytes(data))
        return len(data)

    def recv(self, _size: int, /) -> bytes:
        offset, block = 0, self.blocks[-1]
        while True:
            length, _, _, sequence, _ = struct.unpack_from("=IHHII", block, offset)
            offset += length
            if offset == len(block):
                return struct.pack("=IHHIIiIHHII", 36, 2, 0, sequence, 0, 0, 16, 0, 0, 0, 0)

    def close(self) -> None:
        pass


class RecordingPacing(Pacing):
    """Notes how long a rest may last instead of resting."""

    def __init__(self) -> None:
        super().__init__()
        self.rests: list[int] = []
        self._next = 0

    def rest(self) -> None:
        self.rests.append(self._next)
        self._next = 0

    def sent(self, direction: str, count: int) -> None:
        if self.room(direction) <= count:
            self._next = round(self.pause * 1e6)
        super().sent(direction, count)


def blocks(policies: Sequence[Policy]) -> tuple[bytes, bytes]:
    """What the C program is given: our blocks with our rests, and without any."""
    recorder, pacing = Recorder(), RecordingPacing()
    Channel(recorder, pacing=pacing).install(policies, replace=False)
    both = []
    for rests in (pacing.rests, itertools.repeat(0)):
        parts = (
            struct.pack("=II", len(block), rest) + block
            for block, rest in zip(recorder.blocks, rests, strict=False)
        )
        both.append(b"".join(parts))
    return both[0], both[1]


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

    def written(self, verb: str, policies: Sequence[Policy]) -> Path:
        file = self.folder / f"{verb}-{len(policies)}"
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

    def c(self, line: str, program: str, name: str, data: bytes) -> None:
        file = self.folder / "blocks"
        file.write_bytes(data)
        done = subprocess.run(
            [self.raw, f"/run/netns/{name}", file], check=True, capture_output=True, text=True
        )
        self.note(line, program, float(done.stdout) / 1e3)

    def installing(self, line: str, policies: Sequence[Policy]) -> None:
        """Fill an empty namespace: ours, ``ip -batch``, C with and without rests."""
        with namespace() as name:

            def ours() -> None:
                with Channel.open(name) as channel:
                    channel.install(policies, replace=False)

            self.note(line, "ours", timed(ours))
            self.check(name, policies)
        with namespace() as name:
            self.batch(line, name, self.written("add", policies))
            self.check(name, policies)
        rested, hasty = blocks(policies)
        for program, data in (("C", rested), ("C without rests", hasty)):
            with namespace() as name:
                self.c(line, program, name, data)

    def check(self, name: str, policies: Sequence[Policy]) -> None:
        with Channel.open(name) as channel:
            found = [p._replace(index=0) for p in reversed(channel.dump())]
        if found != list(policies):
            raise RuntimeError("the kernel has something else than was sent")

    def the_rest(self, line: str, policies: Sequence[Policy]) -> None:
        """Read, update and remove, with everything in place."""
        with namespace() as name, Channel.open(name) as channel:
            channel.install(policies, replace=False)
            time.sleep(0.1)
            self.note(f"dump and decode {line}", "ours", timed(channel.dump))
            show = ["ip", "-n", name, "xfrm", "policy", "show"]
            milliseconds = timed(
                lambda: subprocess.run(show, check=True, stdout=subprocess.DEVNULL)
            )
            self.note(f"dump and decode {line}", "ip", milliseconds)
            self.note(f"update {line}", "ours", timed(lambda: channel.install(policies)))
            self.batch(f"update {line}", name, self.written("update", policies))
            listed = channel.dump()
            self.note(f"remove {line}", "ours", timed(lambda: channel.remove(listed)))
        with namespace() as name:
            with Channel.open(name) as channel:
                channel.install(policies, replace=False)
            self.batch(f"remove {line}", name, self.written("delete", policies))

    def print(self) -> None:
        programs = ("ours", "ip", "C", "C without rests")
        print(f"{'medians in ms':<36}" + "".join(f"{p:>16}" for p in programs), end="")
        print(f"{'ip/ours':>9}{'ours/C':>8}")
        for line, by_program in self.times.items():
            medians = {p: statistics.median(t) for p, t in by_program.items()}
            print(f"{line:<36}", end="")
            for program in programs:
                print(f"{medians[program]:16.0f}" if program in medians else " " * 16, end="")
            print(f"{medians['ip'] / medians['ours']:9.2f}", end="")
            if "C" in medians:
                best = min(medians["C"], medians["C without rests"])
                print(f"{medians['ours'] / best:8.2f}", end="")
            print()


def main() -> int:
    """Measure and print."""
    gc.disable()  # as the command line does
    many, few = hosts(POLICIES), eroutes(EROUTES)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for _ in range(ROUNDS):
            bench.installing("install 50 000 /32", many)
            bench.installing("install 10 000 eroutes x 3", few)
            bench.the_rest("50 000 /32", many)
        bench.print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
