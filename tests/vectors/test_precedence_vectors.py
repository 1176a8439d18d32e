"""The order of priorities against answers of the real KLIPS lookup."""

from __future__ import annotations

from typing import Any

import pytest

from eroute_translate.diagnostics import Span
from eroute_translate.klips.crossing import Relation
from eroute_translate.klips.eroute import Eroute
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.host_table import host_table
from eroute_translate.klips.said import SA_IPIP, Said
from eroute_translate.mapping.model import Options
from eroute_translate.mapping.translation import Translation, translate
from eroute_translate.xfrm.lookup import PolicyIndex
from tests.vectors.conftest import answers_in
from tests.vectors.test_klips_vectors import packet, selector

# Local addresses that no table covers, so that no exemption for this host's own IKE comes in.
OPTIONS = Options(local=((4, 0xF0000001), (6, 0xFF0E << 112 | 1)))


def host_of(table: dict[str, Any], order: list[int], *, insertion_known: bool) -> KlipsHost:
    """The table as KlipsHost; line numbers are the positions in the order of insertion."""
    eroutes = []
    for position in order:
        flow = selector(table["eroutes"][position])
        far = 0xC6336401 if flow.family == 4 else 0x20010DB8 << 96 | 99
        said = Said(SA_IPIP, 0x1000 + position, flow.family, far)
        eroutes.append(Eroute(flow, (said,), Span("table", position + 1)))
    return KlipsHost(tuple(eroutes), insertion_known=insertion_known)


def line_of(translation: Translation, position: int) -> int:
    return translation.host.eroutes[position].span.line - 1


@pytest.mark.parametrize("insertion_known", [False, True], ids=["dump", "script"])
def test_priorities_give_the_same_winner(
    tables: list[dict[str, Any]], insertion_known: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever XFRM's winner is another one, a finding names the two; and no finding is idle."""
    served = named = disputes = genuine = dead = 0
    for table in tables:
        order = list(range(len(table["eroutes"]))) if insertion_known else table["printed"]
        host = host_of(table, order, insertion_known=insertion_known)
        translation = translate(host, OPTIONS)
        pairs = {
            frozenset((line_of(translation, d.winner), line_of(translation, d.loser)))
            for d in translation.disputes
        }
        disputes += len(pairs)
        owner = {}
        policies = []
        for position, outcome in enumerate(translation.outcomes):
            for policy in outcome.policies:
                if policy.direction == "out" and policy.templates:
                    owner[policy.selector, policy.priority] = line_of(translation, position)
                    policies.append(policy)
        index = PolicyIndex(policies)
        radix = host_table(host, host.eroutes[0].selector.family)
        for dispute in translation.disputes:
            # The packet that a finding names is one that the loser wins, or may win.
            possible = radix.possible(dispute.packet)
            assert dispute.loser in possible, (table, dispute)
            if dispute.relation is Relation.UNKNOWN:
                assert dispute.winner in possible, (table, dispute)
            genuine += 1
        for values, winner in zip(table["packets"], table["winner"], strict=True):
            found = packet(values)
            decision = index.lookup("out", found)
            ours = None
            if decision.winner is not None:
                ours = owner[decision.winner.selector, decision.winner.priority]
            if ours == winner:
                served += 1
                continue
            if (
                winner is not None
                and not translation.outcomes[
                    [e.span.line - 1 for e in host.eroutes].index(winner)
                ].selectors
            ):
                dead += 1
                continue
            assert frozenset((ours, winner)) in pairs, (table, values, ours, winner)
            named += 1
    with capsys.disabled():
        print(
            f"\n{served} packets served by priorities, {named} not served and named by a finding,"
            f" 0 not named; {disputes} disputes, {genuine} of them genuine; {dead} of rows that no"
            " packet reaches"
        )
    assert served + named + dead == answers_in(tables)
    assert named < served / 100
