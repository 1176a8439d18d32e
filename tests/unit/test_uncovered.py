"""What leaves in clear once the removals of a plan are carried out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eroute_translate.apply.order import GUARD_USER
from eroute_translate.apply.plan import Plan, plan_of_dump
from eroute_translate.apply.states import StatePlan
from eroute_translate.apply.uncovered import uncovered
from eroute_translate.cli.plan_text import WholePlan, plan_lines, uncovered_lines
from eroute_translate.xfrm.encode import encode_installs
from eroute_translate.xfrm.model import Policy, Template
from eroute_translate.xfrm.sieve import Sieve
from tests.unit.test_transaction import policy

TUNNEL = policy("10.0.0.0/16", "192.168.7.0/24", 20)
WIDE = policy("10.0.0.0/8", "192.168.0.0/16", 50)
BLOCK = policy("10.0.0.0/16", "192.168.8.0/24", 10, "block")
PASS = policy("10.0.0.0/8", "192.168.0.0/17", 40, "pass")
IPV6 = policy("2001:db8::/32", "2001:db8:7::/48", 5)


def plan_of(
    wanted: Sequence[Policy], live: Sequence[Policy], owned: Sequence[Policy] | None = None
) -> Plan:
    def messages(policies: Sequence[Policy]) -> list[bytes]:
        return [b"".join(encode_installs(list(policies), exact=True))]

    ours = live if owned is None else owned
    return plan_of_dump(Sieve(wanted), messages(live), messages(ours))


@pytest.mark.parametrize(
    ("wanted", "live", "lost"),
    [
        pytest.param([BLOCK], [BLOCK, TUNNEL], [TUNNEL], id="a row at the end was cut"),
        pytest.param([TUNNEL], [BLOCK, TUNNEL], [BLOCK], id="what was blocked"),
        pytest.param([TUNNEL], [IPV6, TUNNEL], [IPV6], id="IPv6"),
        pytest.param([WIDE], [WIDE, TUNNEL, BLOCK], [], id="a wider one keeps it"),
        pytest.param([WIDE, PASS], [WIDE, PASS, TUNNEL], [TUNNEL], id="an old one lets it pass"),
        pytest.param([PASS], [TUNNEL], [], id="the table newly passes it"),
        pytest.param([PASS], [policy("10.0.0.0/8", "192.168.0.0/17", 3)], [], id="replaced"),
        pytest.param([WIDE], [WIDE, PASS], [], id="what passed before"),
        pytest.param(
            [WIDE, PASS],
            [WIDE, PASS._replace(priority=4), TUNNEL],
            [],
            id="the removed one kept nothing",
        ),
        pytest.param(
            [PASS],
            [PASS, policy("10.0.0.0/8", "192.168.0.0/16", 50, direction="in")],
            [],
            id="what came in",
        ),
    ],
)
def test_what_a_removal_uncovers(
    wanted: list[Policy], live: list[Policy], lost: list[Policy]
) -> None:
    plan = plan_of(wanted, live)
    assert [found.policy for found in uncovered(plan, {})] == lost
    assert uncovered(plan, {"out": "block"}) == ()


def test_others_keep_and_guards_do_not() -> None:
    theirs = policy("10.0.0.0/8", "192.168.0.0/16", 7, "block")
    assert uncovered(plan_of([BLOCK], [BLOCK, TUNNEL, theirs], [BLOCK, TUNNEL]), {}) == ()
    guard = theirs._replace(priority=0, user=GUARD_USER)
    found = uncovered(plan_of([BLOCK], [BLOCK, TUNNEL, guard], [BLOCK, TUNNEL]), {})
    assert [each.policy for each in found] == [TUNNEL]


def test_each_is_told_with_a_packet_and_many_are_counted() -> None:
    live = [policy(f"10.{n}.0.0/16", "192.168.7.0/24", 9) for n in range(30)]
    found = uncovered(plan_of([WIDE._replace(direction="in")], live), {})
    lines = list(uncovered_lines(found))
    assert lines[0] == (
        "in clear afterwards: 10.0.0.0/16 -> 192.168.7.0/24 is protected now, such as"
        " 10.0.0.0 -> 192.168.7.0"
    )
    assert lines[-1] == "in clear afterwards: what 10 more policies keep now"
    assert len(lines) == 21


def test_a_replaced_policy_is_told_as_it_was() -> None:
    def line(old: Policy, new: Policy) -> str:
        plan = WholePlan(plan_of([new], [old]), StatePlan(), firewall_changes=False)
        return next(plan_lines(plan))

    other = TUNNEL._replace(templates=(Template(50, "tunnel", 4, 1, 2, reqid=8),))
    moved = plan_of([other], [TUNNEL])
    lines = list(plan_lines(WholePlan(moved, StatePlan(), firewall_changes=False)))
    assert any("1 policies ask for another reqid, and nothing else" in text for text in lines)
    assert "(was tmpl src 0.0.0.1 dst 0.0.0.2 proto esp reqid 7 " in line(TUNNEL, other)
    assert "(was in clear, priority 40)" in line(PASS, PASS._replace(action="block"))
    assert "(was block, priority 10)" in line(BLOCK, BLOCK._replace(action="allow"))
    assert line(TUNNEL, TUNNEL._replace(priority=3)).endswith("(was priority 20)")
