"""Rules of the mapping broken on purpose: each must change what becomes of a packet.

    python -m tests.netkey.mutants

A mutant replaces a function of the mapping while it runs; no file is touched. The fates of its
rules are then sent over the bed until one comes out otherwise than docs/on-the-wire.md says: the
mutant is killed. One that survives shows a rule that no packet tests.

From the host this boots the guest for those that need ESP, AH or IPCOMP, and runs those of the
firewall, which that kernel does not have, in namespaces of the running kernel.
"""

from __future__ import annotations

import sys
import time
from typing import Final, NamedTuple

from eroute_translate.xfrm.errors import KernelError

from . import uml
from .bed import Bed
from .breaks import Mutant
from .broken_selection import ORDER, OWN, SELECTORS
from .broken_treatments import FIREWALL, SHUNTS, STATES, TUNNELS
from .every_rule import FATES
from .observed import differences


class Verdict(NamedTuple):
    """How a mutant ended: ``shown`` is the packet that gave it away, empty if it survived."""

    mutant: Mutant
    shown: str
    tried: int


MUTANTS: Final = (*SHUNTS, *TUNNELS, *SELECTORS, *OWN, *ORDER, *STATES, *FIREWALL)


def judged(mutant: Mutant, bed: Bed) -> Verdict:
    """Send the fates of its rules until one shows the mutant."""
    tried = 0
    with mutant.broken():
        for fate in FATES:
            if fate.rule not in mutant.rules or fate.nft != mutant.nft:
                continue
            tried += 1
            try:
                found = differences(fate, bed, first=True)
            except KernelError as error:
                found = [f"{fate.rule}: {fate.table}: the kernel refuses it: {error}"]
            if found:
                return Verdict(mutant, found[0], tried)
    return Verdict(mutant, "", tried)


def run(nft: bool) -> list[Verdict]:
    """Judge all mutants of one kernel, and print each."""
    verdicts = []
    with Bed() as bed:
        for mutant in MUTANTS:
            if mutant.nft == nft:
                verdict = judged(mutant, bed)
                verdicts.append(verdict)
                word = f"killed by {verdict.shown}" if verdict.shown else "SURVIVED"
                print(f"{mutant.name}: {word}", flush=True)
    return verdicts


def main() -> int:
    """All mutants: here if this is the guest, else there and in namespaces of this kernel."""
    start = time.monotonic()
    if sys.argv[1:] == ["--inside"]:
        verdicts = run(nft=False)
        return _tell("in the guest", verdicts, start)
    command = [sys.executable, "-m", "tests.netkey.mutants", "--inside"]

    def write(data: bytes) -> None:
        sys.stdout.write(data.decode(errors="replace"))
        sys.stdout.flush()

    try:
        status = uml.run(command, write=write, limit=600)
    except uml.GuestError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return error.status
    start = time.monotonic()
    return max(_tell("of the firewall", run(nft=True), start), status)


def _tell(where: str, verdicts: list[Verdict], start: float) -> int:
    survived = [v.mutant.name for v in verdicts if not v.shown]
    tried = sum(verdict.tried for verdict in verdicts)
    print(
        f"mutants {where}: tried {len(verdicts)}, killed {len(verdicts) - len(survived)},"
        f" survived {len(survived)}; {tried} fates in {time.monotonic() - start:.1f} s"
    )
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
