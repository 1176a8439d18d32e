"""How long ``convert`` takes, beside programs that do something like it on the same machine.

Run with ``./dev bench convert``.  Prints ratios of medians, measured in one run, in turns: our
``convert`` of 100 000 eroutes (three directions, all outcomes decided), Debian's
``iptables-restore-translate`` (a C program) on 100 000 rules, a naive awk translation of the same
table (one direction, nothing decided), and the start of the program beside ``python -c pass``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .memory import peak_of

ROWS = 100_000
ROUNDS = 5

AWK = r"""
{
  split($2, s, ":"); split($4, d, ":"); split($6, t, "@")
  printf "ip xfrm policy update src %s dst %s dir out priority %d", s[1], d[1], NR
  printf " tmpl src 0.0.0.0 dst %s proto esp reqid %d mode tunnel\n", t[2], NR
}
"""


def realistic(rows: int) -> str:
    """A gateway with many branches: /24 to /24 tunnels, host holes, port rows, a default."""
    lines = []
    for number in range(rows):
        high, low = number >> 8 & 255, number & 255
        block = 10 + (number >> 16)
        source = f"172.{16 + number % 3}.{number % 7}.0/24"
        kind = number % 20
        destination = f"{block}.{high}.{low}.0/24"
        said = f"tun0x{0x1000 + number % 4096:x}@198.18.{high}.{low}"
        if kind == 3:
            destination, said = f"{block}.{high}.{low}.7/32", "%pass"
        elif kind == 7:
            destination, said = f"{block}.{high}.{low}.9/32:25", "%drop:6"
        lines.append(f"{number % 10000:<10} {source:<18} -> {destination:<18} => {said}\n")
    return "".join(lines)


def timed(command: list[str]) -> float:
    """Wall seconds of one run, its output thrown away."""
    began = time.perf_counter()
    done = subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if done.returncode not in (0, 12):
        raise RuntimeError(f"{command[0]} ended with {done.returncode}")
    return time.perf_counter() - began


def main() -> int:
    """Measure and print."""
    python = sys.executable
    program = [python, "-m", "eroute_translate"]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "table.eroute")
        table.write_text(realistic(ROWS), encoding="ascii")
        million = Path(folder, "million.eroute")
        million.write_text(realistic(10 * ROWS), encoding="ascii")
        rules = Path(folder, "rules")
        fields = (line.split() for line in table.read_text(encoding="ascii").splitlines())
        rules.write_text(
            "*filter\n:FORWARD ACCEPT [0:0]\n"
            + "".join(
                f"-A FORWARD -s {f[1].partition(':')[0]} -d {f[3].partition(':')[0]} -j DROP\n"
                for f in fields
            )
            + "COMMIT\n",
            encoding="ascii",
        )
        commands = {
            "convert": [*program, "convert", "--local", "203.0.113.1", str(table)],
            "iptables-restore-translate": ["iptables-restore-translate", "-f", str(rules)],
            "awk": ["awk", AWK, str(table)],
            "start": [*program, "--version"],
            "python -c pass": [python, "-c", "pass"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                times[name].append(timed(command))
        words = ["convert", "--local", "203.0.113.1"]
        seconds = timed([*program, *words, str(million)])
        peaks = [peak_of([*words, str(path)]) for path in (table, million)]
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:<28} {median:8.3f} s")
    for ours, peer in (
        ("convert", "iptables-restore-translate"),
        ("convert", "awk"),
        ("start", "python -c pass"),
    ):
        print(f"{f'{ours} / {peer}':<38} {medians[ours] / medians[peer]:.2f}")
    print(f"peak memory of convert, {ROWS} rows      {peaks[0]} MiB")
    print(f"peak memory of convert, {10 * ROWS} rows     {peaks[1]} MiB in {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
