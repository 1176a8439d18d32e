"""Eroutes for a MAST host: marks that name an SA by its SAref.

MAST has no eroutes: iptables puts the SAref of an SA into the mark of a packet, a rule sends what
is marked to mast0, and the SA named by the mark is applied (Openswan 2.6, _updown.mast and
ipsec_mast.c; docs/klips.md, "MAST").
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from ..diagnostics import Diagnostic, Severity
from ..klips.said import SA_INT, SPI_REJECT, Said
from .model import Kind, Outcome, Rule, Weight
from .translation import Translation

MAST: Final = Rule(
    name="mast",
    eroute="any, with --to mast",
    klips="The eroute chose the SA.",
    xfrm="(MAST) An iptables rule in the mangle table gives the packet the SAref of the SA, in"
    " the order in which KLIPS would have chosen; %pass ends the chain, %drop and what cannot be"
    " expressed drop, %reject marks for a REJECT in the filter table.",
    difference="%trap and %hold have no counterpart and drop. A packet without a rule goes in"
    " clear, where KLIPS dropped.",
    reason="`ipsec policy` only lists; the marks are what MAST goes by.",
    tested="tests/unit/test_mast.py",
)

RULES: Final = (MAST,)

SAREF_FIRST: Final = 1
SAREF_LAST: Final = 0x7FFF
"""An SAref has 15 bits (IPSEC_SA_REF_TABLE_IDX_WIDTH)."""

SAREF_BIT: Final = 0x80000000
REJECT_MARK: Final = 0x1
"""A bit of the mark that MAST does not use, for what the filter table is to reject."""


class MastVerdict(StrEnum):
    """What a rule does."""

    MARK = "mark"
    PASS = "pass"  # noqa: S105 - no password
    DROP = "drop"
    REJECT = "reject"


class MastRule(NamedTuple):
    """One rule of the mangle table; ``saref`` is 0 where there is no SA."""

    outcome: Outcome
    verdict: str
    saref: int

    @property
    def mark(self) -> int:
        """The mark that names the SA: bit 31, and the SAref in bits 16 to 30."""
        return SAREF_BIT | self.saref << 16


class MastRuleset(NamedTuple):
    """Rules, strongest first, and the SAref of each group."""

    rules: tuple[MastRule, ...]
    sarefs: dict[tuple[Said, ...], int]
    findings: tuple[Diagnostic, ...]


def mast_ruleset(translation: Translation) -> MastRuleset:
    """The rules for a MAST host, in the order of priority."""
    sarefs: dict[tuple[Said, ...], int] = {}
    rules = []
    beyond: Outcome | None = None
    asking: list[Outcome] = []
    carried = (*translation.exceptions, *translation.outcomes)
    for outcome in sorted(carried, key=lambda o: o.priority):
        if not outcome.selectors:
            continue
        verdict, saref = MastVerdict.DROP, 0
        weight = outcome.treatment.weight
        said = outcome.eroute.said
        if outcome.kind == Kind.REFUSED.value:
            pass
        elif outcome.treatment.steps and weight != Weight.ASK:
            saref = sarefs.setdefault(outcome.eroute.saids, SAREF_FIRST + len(sarefs))
            if saref <= SAREF_LAST:
                verdict = MastVerdict.MARK
            else:
                beyond, saref = beyond or outcome, 0
        elif weight == Weight.PASS:
            verdict = MastVerdict.PASS
        elif weight == Weight.ASK:
            asking.append(outcome)
        elif said.protocol == SA_INT and said.spi == SPI_REJECT:
            verdict = MastVerdict.REJECT
        rules.append(MastRule(outcome, verdict.value, saref))
    return MastRuleset(tuple(rules), sarefs, tuple(_findings(beyond, asking)))


def _findings(beyond: Outcome | None, asking: list[Outcome]) -> Iterator[Diagnostic]:
    if beyond is not None:
        yield Diagnostic(
            "ET220",
            Severity.ERROR,
            f"MAST has {SAREF_LAST} SArefs, and the table names more groups; from this eroute on"
            " packets are dropped",
            beyond.eroute.span,
        )
    if asking:
        yield Diagnostic(
            "ET220",
            Severity.WARNING,
            f"{len(asking)} eroutes ask the key daemon (%trap, %hold), which MAST cannot; packets"
            " are dropped until the daemon has put its own rule first",
            asking[0].eroute.span,
        )
