"""How long a proof takes, how it grows, and how that compares with ``convert`` itself.

Run with ``./dev bench verify``.  Each table has a process of its own, so that its memory is its
own.  A *gateway* is what a hub with many branches has: networks behind tunnels, narrower ones
inside wider ones, ports, holes for hosts, hosts of opportunistic encryption.  *Dense* rows overlap
in every way: nested, crossing, with ports, protocols and shunts, from few addresses and all kinds
of lengths.
"""

from __future__ import annotations

import gc
import json
import random
import resource
import subprocess
import sys
import time

from eroute_translate.diagnostics import Span
from eroute_translate.equivalence.compare import prove
from eroute_translate.equivalence.exact import translate_exactly
from eroute_translate.klips.eroute import Eroute
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.lookup import RadixTable, row_of
from eroute_translate.klips.said import (
    SA_INT,
    SA_IPIP,
    SPI_DROP,
    SPI_PASS,
    SPI_REJECT,
    SPI_TRAP,
    Said,
)
from eroute_translate.mapping.model import Options
from eroute_translate.net import MASK_OF_LENGTH, Prefix, Selector
from eroute_translate.render import Page, Target, render
from tests.property.tables import host as random_host

SIZES = (100, 1_000, 10_000, 100_000)
DENSE_SIZES = (100, 300, 1_000)
LOCAL = 0xC0000201
BUDGETS = {("gateway", 10_000): 10.0, ("dense", 1_000): 60.0}


def _prefix(address: int, length: int) -> Prefix:
    mask = MASK_OF_LENGTH[4][length]
    return Prefix(4, address & mask, mask)


def gateway(rows: int, seed: int = 1) -> KlipsHost:
    """A hub as it was printed by its kernel."""
    rng = random.Random(seed)
    found: dict[Selector, Said] = {}
    networks = [_prefix(0xAC100000 + (i << 8), 24) for i in range(16)]
    inside = _prefix(0xAC100000, 12)
    found[Selector(inside, inside)] = Said(SA_INT, SPI_PASS, 4, 0)
    found[Selector(inside, _prefix(0, 0))] = Said(SA_INT, SPI_TRAP, 4, 0)
    while len(found) < rows:
        number = len(found)
        near = rng.choice(networks)
        far = _prefix(0x0A000000 + rng.getrandbits(24), rng.choice((24, 24, 28, 32, 22)))
        tunnel = Said(SA_IPIP, 0x1000 + number, 4, 0xC6336400 + rng.getrandbits(12))
        shunt = Said(SA_INT, rng.choice((SPI_PASS, SPI_DROP, SPI_REJECT)), 4, 0)
        kind = rng.random()
        if kind < 0.80:
            selector, said = Selector(near, far), tunnel
        elif kind < 0.86:
            selector, said = Selector(near, far, 6, 0, rng.choice((22, 25, 80, 443))), tunnel
        elif kind < 0.90:
            selector, said = Selector(near, _prefix(far.address, 16)), tunnel
        elif kind < 0.94:
            selector = Selector(_prefix(near.address + rng.getrandbits(8), 32), far)
            said = shunt
        else:
            selector = Selector(_prefix(LOCAL, 32), _prefix(rng.getrandbits(32), 32))
            said = Said(SA_INT, SPI_PASS, 4, 0)
        found.setdefault(selector, said)
    table = RadixTable(4)
    selectors = list(found)
    for position, selector in enumerate(selectors):
        table.add(row_of(selector), position)
    return KlipsHost(
        tuple(
            Eroute(selectors[p], (found[selectors[p]],), Span("table", at + 1))
            for at, p in enumerate(table.printed())
        ),
        in_kernel_order=True,
    )


def dense(rows: int, seed: int = 1) -> KlipsHost:
    """Rows that overlap in every way."""
    rng = random.Random(seed)
    size = rows
    while True:
        made = random_host(rng, 4, size, odd=False)
        if len(made.eroutes) >= rows:
            return KlipsHost(made.eroutes[:rows], insertion_known=True)
        size = size * 5 // 4


def measure(kind: str, rows: int) -> dict[str, float]:
    """Translate, print and prove one table in this process."""
    made = gateway(rows) if kind == "gateway" else dense(rows)
    options = Options(local=((4, LOCAL),))
    gc.disable()
    begun = time.perf_counter()
    translation = translate_exactly(made, options)
    for _ in render(Page(translation, ("table",), ()), Target.IP_XFRM):
        pass
    converted = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    proof = prove(translation)
    proved = time.perf_counter()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    regions = [region for check in proof.checks for region in check.regions]
    return {
        "rows": len(made.eroutes),
        "policies": sum(1 for _ in translation.policies()),
        "convert": converted - begun,
        "verify": proved - converted,
        "regions": len(regions),
        "undecided": sum(not region.decided for region in regions),
        "convert MiB": before / 1024,
        "verify MiB": after / 1024,
    }


def main() -> None:
    """Print the curve, and say whether the budgets are kept."""
    if len(sys.argv) > 2:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
        return
    print(f"{'table':<9}{'rows':>8}{'policies':>10}{'convert s':>11}{'verify s':>10}", end="")
    print(f"{'ratio':>7}{'MiB':>7}{'regions':>9}{'undecided':>11}")
    failed = []
    for kind, sizes in (("gateway", SIZES), ("dense", DENSE_SIZES)):
        for rows in sizes:
            done = subprocess.run(
                [sys.executable, "-m", "tests.bench.bench_verify", kind, str(rows)],
                capture_output=True,
                text=True,
                check=True,
            )
            m = json.loads(done.stdout)
            ratio = m["verify"] / m["convert"]
            print(f"{kind:<9}{m['rows']:>8}{m['policies']:>10}{m['convert']:>11.2f}", end="")
            print(f"{m['verify']:>10.2f}{ratio:>7.2f}{m['verify MiB']:>7.0f}", end="")
            print(f"{m['regions']:>9}{m['undecided']:>11}", flush=True)
            budget = BUDGETS.get((kind, rows))
            if budget is not None and m["verify"] > budget:
                failed.append(f"{kind} {rows}: {m['verify']:.1f} s, and {budget:.0f} s were meant")
    print("\n".join(failed) if failed else "within the budgets")


if __name__ == "__main__":
    main()
