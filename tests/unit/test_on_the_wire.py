"""docs/on-the-wire.md shows what the tests see: it is made from them, and this keeps it so."""

from __future__ import annotations

import os
import re
from typing import Final

import pytest

from tests.netkey.bed import V4, V6
from tests.netkey.every_rule import FATES
from tests.netkey.fates import Fate, words_of
from tests.netkey.mutants import MUTANTS
from tests.translated import ROOT
from tests.unit.test_docs import all_rules

DOCUMENT: Final = ROOT / "docs/on-the-wire.md"
SAS: Final = "associations"
SECTIONS: Final = {"scope", "direction", "precedence", SAS}
"""What is no row of the table of rules, but a section of the text."""
NO_SUCH_PACKET: Final = {
    "kernel-hold": "only IPv6 has that mask",
    "neighbour-discovery": "only IPv6 has it",
}
ELSEWHERE: Final = {"mast": "tests/netkey/guest/test_mast.py: it has no policies"}


def rules() -> set[str]:
    return {rule.name for rule in all_rules()}


def cells(fate: Fate) -> list[str]:
    """What is seen, forwarded and local; of both families if they differ."""
    found = []
    for local in (False, True):
        four, six = (fate.expected(net, local) or "–" for net in (V4, V6))
        found.append(four if four == six else f"IPv4: {four}<br>IPv6: {six}")
    return found


def fate_row(fate: Fate) -> str:
    rows = "<br>".join(f"`{line}`" for line in fate.table.split("; "))
    options = f"`{fate.options}`" if fate.options else ""
    rule = fate.rule if fate.rule == SAS else f"[{fate.rule}](mapping.md#{fate.rule})"
    parts = [rule, rows, options, f"{fate.probe}{fate.notes}", *cells(fate)]
    return f"| {' | '.join(parts)} |"


def fate_table() -> str:
    head = "| rule | eroutes | options | packet | forwarded | from the gateway |\n"
    return head + "| --- | --- | --- | --- | --- | --- |\n" + "\n".join(map(fate_row, FATES))


def word_table() -> str:
    four, six = words_of(V4, local=False), words_of(V6, local=False)
    lines = [f"| {word} | {four[word]} | {six[word]} |" for word in four]
    return "| word | IPv4 | IPv6 |\n| --- | --- | --- |\n" + "\n".join(lines)


def mutant_table() -> str:
    lines = [f"| {mutant.name} | {', '.join(mutant.rules)} |" for mutant in MUTANTS]
    text = "| broken | shown by the packets of |\n| --- | --- |\n" + "\n".join(lines)
    return f"{len(MUTANTS)} mutants.\n\n{text}"


@pytest.mark.parametrize(
    ("name", "made"),
    [("words", word_table()), ("fates", fate_table()), ("mutants", mutant_table())],
)
def test_the_document_is_made_from_the_tests(name: str, made: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    marks = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    pattern = re.compile(f"{re.escape(marks[0])}.*{re.escape(marks[1])}", re.DOTALL)
    assert pattern.search(text)
    wanted = pattern.sub(lambda _: f"{marks[0]}\n{made}\n{marks[1]}", text)
    if os.environ.get("UPDATE_DOCS"):
        DOCUMENT.write_text(wanted, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == wanted


def test_every_rule_has_packets_and_mutants() -> None:
    expected = rules() - set(ELSEWHERE) | SECTIONS
    assert {fate.rule for fate in FATES} == expected
    assert {rule for mutant in MUTANTS for rule in mutant.rules} == expected
    assert set(ELSEWHERE) <= rules()


@pytest.mark.parametrize("rule", sorted(rules() - set(ELSEWHERE) | SECTIONS))
def test_every_rule_is_seen_in_both_families_and_both_ways(rule: str) -> None:
    seen = {
        (net.prefix, local)
        for fate in FATES
        if fate.rule == rule
        for net in (V4, V6)
        for local in (False, True)
        if fate.expected(net, local)
    }
    families = [V6] if rule in NO_SUCH_PACKET else [V4, V6]
    assert seen == {(net.prefix, local) for net in families for local in (False, True)}


def test_no_two_fates_are_the_same() -> None:
    said = [fate_row(fate).rsplit("|", 3)[0] for fate in FATES]
    twice = {text for text in said if said.count(text) > 1}
    assert not twice
