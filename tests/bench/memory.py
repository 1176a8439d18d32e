"""The most memory that the program takes for a large table, verb by verb."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

EROUTES: Final = 100_000
LIMIT: Final = 400
"""MiB that no verb may take."""

_CHILD: Final = """
import sys
from eroute_translate.cli import main
code = main(sys.argv[1:])
# Not getrusage(2): what it says of a process begins with what its parent took.
lines = open("/proc/self/status").read().splitlines()
peak = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
print(code, int(peak) // 1024, file=sys.stderr)
"""


def table(count: int, peers: str = "203.0.113") -> str:
    """Tunnels to so many networks, by way of 64 peers."""
    rows = (
        f"{i % 50:<10} 172.16.{i % 64}.0/24     -> {10 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24"
        f"   => tun0x{0x1000 + i:x}@{peers}.{i % 64 + 1}\n"
        for i in range(count)
    )
    return "".join(rows)


def peak_of(words: Sequence[str]) -> int:
    """The most memory of one run of the program, in MiB; its output is thrown away."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *words],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    code, peak = done.stderr.split()[-2:]
    if int(code) not in (0, 10, 12):
        raise RuntimeError(f"{words[0]} ended with {code}: {done.stderr}")
    return int(peak)


def measure_memory(folder: Path) -> None:
    """Print the peak of each verb for :data:`EROUTES` eroutes, three policies each."""
    file = folder / "large"
    file.write_text(table(EROUTES), encoding="ascii")
    moved = folder / "moved"
    moved.write_text(table(EROUTES, "198.51.100"), encoding="ascii")
    name = f"et-memory-{os.getpid()}"
    target = ["--netns", name, "--state-folder", str(folder / "state")]
    units = ["--unit-folder", str(folder / "units")]
    verbs = (
        ("convert", ["convert", "--output", str(folder / "out")]),
        ("plan, all to add", ["plan", *target]),
        ("apply --persist", ["apply", "--yes", "--persist", *units, *target]),
        ("plan, all in place", ["plan", *target]),
        ("status", ["status", *units, *target]),
        ("apply, all to replace (no limit)", ["apply", "--yes", *target]),
    )
    print(f"peak of memory in MiB, {EROUTES} eroutes in three directions (limit {LIMIT})")
    # To replace all, old and new policies are held at once; that has no limit.
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for label, words in verbs:
            taken = moved if "replace" in label else file
            table_words = ["-q", "--local", "192.0.2.1", str(taken)]
            if words[0] == "status":
                table_words = []
            print(f"{label:<42}{peak_of([*words, *table_words]):16}")
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
