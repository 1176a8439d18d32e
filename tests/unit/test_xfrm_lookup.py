"""Which policy XFRM picks, and why the others lose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eroute_translate.net import (
    MASK_OF_LENGTH,
    Packet,
    Prefix,
    Selector,
    parse_address,
    parse_prefix,
)
from eroute_translate.xfrm.lookup import (
    Decision,
    Mismatch,
    PolicyIndex,
    Verdict,
    flow_ports,
    lookup,
    matches,
    mismatch,
)
from eroute_translate.xfrm.model import Policy, Template


def selector(source: str, destination: str, *rest: int) -> Selector:
    return Selector(parse_prefix(source), parse_prefix(destination), *rest)


WIDE = selector("10.0.0.0/8", "20.0.0.0/8")
NARROW = selector("10.0.0.1/32", "20.0.0.1/32", 6, 0, 80)
PACKET = Packet(4, parse_address("10.0.0.1")[1], parse_address("20.0.0.1")[1], 6, 1024, 80)
ONE = Template(50, "tunnel", 4, 1, 2, 1)
TWO = Template(51, "transport", 4, 0, 0, 2)


def test_nothing_matches() -> None:
    assert lookup([], "out", PACKET) == Decision(None)
    assert lookup([Policy("in", WIDE, 1)], "out", PACKET).action is None
    assert PolicyIndex([]).lookup("out", PACKET) == Decision(None)
    assert Decision(None).templates == ()


def test_the_lowest_priority_wins_and_not_the_narrowest() -> None:
    wide, narrow = Policy("out", WIDE, 1, "allow", (ONE,)), Policy("out", NARROW, 2, "block")
    decision = lookup([narrow, wide], "out", PACKET)
    assert decision.winner == wide
    assert (decision.action, decision.templates) == ("allow", (ONE,))
    assert [(c.position, c.verdict) for c in decision.candidates] == [
        (1, Verdict.WINS),
        (0, Verdict.PRIORITY),
    ]


def test_at_equal_priority_the_older_wins() -> None:
    wide, narrow = Policy("out", WIDE, 1), Policy("out", NARROW, 1, "block")
    for policies in ([wide, narrow], [narrow, wide]):
        decision = lookup(policies, "out", PACKET)
        assert decision.winner == policies[0]
        assert [c.verdict for c in decision.candidates] == [Verdict.WINS, Verdict.AGE]
        assert PolicyIndex(policies).lookup("out", PACKET).winner == policies[0]


@pytest.mark.parametrize(
    ("sub", "main", "action", "templates"),
    [
        ("allow", "block", "block", ()),
        ("block", "allow", "block", ()),
        ("allow", "allow", "allow", (ONE, TWO)),
    ],
)
def test_sub_and_main_both_apply(
    sub: str, main: str, action: str, templates: tuple[Template, ...]
) -> None:
    policies = [
        Policy("out", WIDE, 1, main, (TWO,)),
        Policy("out", NARROW, 9, sub, (ONE,), ptype="sub"),
        Policy("out", NARROW, 9, "block", mark=(0, 1), ptype="sub"),
        Policy("out", NARROW, 3, "block"),
    ]
    decision = lookup(policies, "out", PACKET)
    assert decision.winner == policies[1]
    assert decision.second == (policies[0] if sub == "allow" else None)
    assert (decision.action, decision.templates) == (action, templates)
    last = (
        [Verdict.APPLIES_TOO, Verdict.PRIORITY]
        if sub == "allow"
        else [Verdict.NOT_ASKED, Verdict.NOT_ASKED]
    )
    assert [c.verdict for c in decision.candidates] == [Verdict.WINS, Verdict.AGE, *last]
    assert PolicyIndex(policies).lookup("out", PACKET) == decision._replace(candidates=())


def test_sub_alone() -> None:
    policy = Policy("out", WIDE, 1, "allow", (ONE,), ptype="sub")
    decision = lookup([policy], "out", PACKET)
    assert (decision.winner, decision.second) == (policy, None)
    assert decision.templates == (ONE,)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"selector": selector("::/0", "::/0")}, Mismatch.FAMILY),
        ({"selector": selector("10.0.0.2/32", "20.0.0.0/8")}, Mismatch.SOURCE),
        ({"selector": selector("10.0.0.0/8", "20.0.0.2/32")}, Mismatch.DESTINATION),
        ({"selector": selector("10.0.0.9/8", "20.0.0.9/8")}, None),
        ({"selector": WIDE._replace(protocol=17)}, Mismatch.PROTOCOL),
        ({"selector": WIDE._replace(protocol=6)}, None),
        ({"selector": WIDE._replace(source_port=1025)}, Mismatch.SOURCE_PORT),
        ({"selector": WIDE._replace(destination_port=81)}, Mismatch.DESTINATION_PORT),
        ({"selector": WIDE._replace(destination_port=80)}, None),
        ({"selector": WIDE._replace(destination_port=81), "port_masks": (0, 0xFFFE)}, None),
        ({"port_masks": (0xFC00, 0)}, Mismatch.SOURCE_PORT),
        ({"port_masks": (0, 0xFC00)}, None),
        ({"mark": (1, 3)}, Mismatch.MARK),
        ({"mark": (2, 3)}, None),
        ({"mark": (0xF2, 3)}, None),
        ({"if_id": 5}, Mismatch.IF_ID),
        ({"ifindex": 2}, Mismatch.DEVICE),
        ({"ifindex": 3}, None),
    ],
)
def test_why_a_policy_does_not_match(change: dict[str, object], why: Mismatch | None) -> None:
    policy = Policy("out", WIDE, 1)._replace(**change)  # type: ignore[arg-type]
    assert mismatch(policy, PACKET, mark=6, ifindex=3) == why
    assert matches(policy, PACKET, mark=6, ifindex=3) == (why is None)
    found = PolicyIndex([policy]).lookup("out", PACKET, mark=6, ifindex=3)
    assert found.winner == (policy if why is None else None)


def test_the_device_is_ignored_unless_given() -> None:
    policies = [Policy("out", WIDE, 1, ifindex=2), Policy("out", WIDE, 2)]
    assert lookup(policies, "out", PACKET).winner == policies[0]
    assert PolicyIndex(policies).lookup("out", PACKET).winner == policies[0]
    assert lookup(policies, "out", PACKET, ifindex=3).winner == policies[1]
    assert PolicyIndex(policies).lookup("out", PACKET, ifindex=3).winner == policies[1]


def test_if_id_must_be_equal() -> None:
    policies = [Policy("out", WIDE, 1), Policy("out", WIDE, 2, if_id=5)]
    assert lookup(policies, "out", PACKET, if_id=5).winner == policies[1]
    assert PolicyIndex(policies).lookup("out", PACKET, if_id=5).winner == policies[1]


@pytest.mark.parametrize("protocol", [1, 6, 17, 47, 58, 132, 136])
def test_protocols_with_ports(protocol: int) -> None:
    assert flow_ports(Packet(4, 0, 0, protocol, 5, 6)) == (5, 6)


@pytest.mark.parametrize("protocol", [0, 4, 33, 50, 51, 89, 94])
def test_protocols_without_ports(protocol: int) -> None:
    packet = Packet(4, 0, 0, protocol, 5, 6)
    assert flow_ports(packet) == (0, 0)
    assert not matches(Policy("out", selector("0.0.0.0/0", "0.0.0.0/0", 0, 5), 1), packet)


def test_a_mobility_header_has_a_type_alone() -> None:
    assert flow_ports(Packet(6, 0, 0, 135, 5, 6)) == (5, 0)


def test_icmp_type_and_code_are_ports() -> None:
    echo = Policy("out", WIDE._replace(protocol=1, source_port=8), 1)
    reply = Policy("out", WIDE._replace(protocol=1), 1, port_masks=(0xFFFF, 0))
    packet = PACKET._replace(protocol=1, source_port=8, destination_port=0)
    assert matches(echo, packet)
    assert not matches(reply, packet)
    assert matches(reply, packet._replace(source_port=0))


BIT = st.integers(0, 3)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw from a world so small that policies meet."""
    ends = [Prefix(4, draw(BIT), MASK_OF_LENGTH[4][draw(st.integers(30, 32))]) for _ in range(2)]
    mask = draw(BIT)
    return Policy(
        draw(st.sampled_from(("out", "in"))),
        Selector(ends[0], ends[1], draw(st.sampled_from((0, 6, 50))), draw(BIT), draw(BIT)),
        draw(BIT),
        draw(st.sampled_from(("allow", "block"))),
        mark=(draw(BIT), mask),
        if_id=draw(st.integers(0, 1)),
        port_masks=draw(st.sampled_from((None, None, (0, 0), (2, 1), (0xFFFF, 0)))),
        ifindex=draw(st.sampled_from((0, 0, 1, 2))),
        ptype=draw(st.sampled_from(("main", "main", "sub"))),
    )


@given(
    st.lists(policies(), max_size=25),
    st.lists(
        st.tuples(BIT, BIT, st.sampled_from((6, 17, 50)), BIT, BIT, BIT, st.integers(0, 1)),
        min_size=1,
        max_size=10,
    ),
    st.sampled_from((None, 1, 2)),
)
def test_the_index_decides_as_the_plain_lookup(
    some: list[Policy],
    probes: list[tuple[int, int, int, int, int, int, int]],
    ifindex: int | None,
) -> None:
    index = PolicyIndex(some)
    for *fields, mark, if_id in probes:
        packet = Packet(4, *fields)
        decision = lookup(some, "out", packet, mark, if_id, ifindex)
        found = index.lookup("out", packet, mark, if_id, ifindex)
        assert found == decision._replace(candidates=())
        same = [c for c in decision.candidates if c.policy.ptype == "main"]
        ranks = [(c.policy.priority, c.position) for c in same]
        assert ranks == sorted(ranks)
