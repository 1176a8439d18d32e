"""For which packets a row or a policy is taken: cases that a person can check."""

from __future__ import annotations

from eroute_translate.cubes import holds, packet_of, point_of, search
from eroute_translate.equivalence.xfrm_side import XfrmSide
from eroute_translate.klips.lookup import RadixTable, row_of
from eroute_translate.klips.regions import Regions
from eroute_translate.net import Packet, Selector, parse_address, parse_prefix
from eroute_translate.xfrm.lookup import lookup
from eroute_translate.xfrm.model import Policy
from eroute_translate.xfrm.regions import PolicyRegions, extras_of, unmarked


def selector(source: str, destination: str, *rest: int) -> Selector:
    return Selector(parse_prefix(source), parse_prefix(destination), *rest)


def packet(source: str, destination: str, *rest: int) -> Packet:
    return Packet(4, parse_address(source)[1], parse_address(destination)[1], *rest)


def regions(*selectors: Selector, dumped: bool = False) -> Regions:
    rows = [row_of(item) for item in selectors]
    if dumped:
        return Regions(rows, RadixTable.from_dump(4, [(r, n) for n, r in enumerate(rows)]))
    table = RadixTable(4)
    for number, row in enumerate(rows):
        table.add(row, number)
    return Regions(rows, table)


def taken(made: Regions, sent: Packet) -> set[int]:
    point = point_of(sent)
    return {
        row
        for row in range(len(made.rows))
        if holds(made.cube(row), point) and made.why_not(row, point) is None
    }


WIDE, NARROW = selector("10.0.0.0/8", "10.0.0.0/8"), selector("10.1.0.0/16", "10.0.0.0/8")
CROSSING = selector("10.0.0.0/8", "10.2.0.0/16")


def test_of_nested_rows_the_narrow_one_is_taken() -> None:
    made = regions(WIDE, NARROW)
    assert taken(made, packet("10.1.0.1", "10.2.0.1", 17)) == {1}
    assert taken(made, packet("10.2.0.1", "10.2.0.1", 17)) == {0}
    assert taken(made, packet("11.0.0.1", "10.2.0.1", 17)) == set()
    assert made.why_none(point_of(packet("11.0.0.1", "10.2.0.1"))) is None


def test_why_not_holds_the_point_and_no_packet_of_the_row() -> None:
    made = regions(WIDE, NARROW)
    point = point_of(packet("10.1.0.1", "10.2.0.1", 17))
    against = made.why_not(0, point)
    assert against is not None
    assert holds(against, point)
    inner = search(against, lambda p, _: made.why_not(0, p), 1000)
    assert inner is None


def test_ports_are_those_of_tcp_and_udp_alone() -> None:
    made = regions(WIDE, selector("10.0.0.0/8", "10.0.0.0/8", 0, 0, 25))
    assert taken(made, packet("10.1.0.1", "10.2.0.1", 6, 7, 25)) == {1}
    assert taken(made, packet("10.1.0.1", "10.2.0.1", 132, 7, 25)) == {0}


def test_a_dump_leaves_open_which_of_two_masks_came_first() -> None:
    # The descent for the packet ends at the key of the third row, which does not match it.
    third = selector("10.1.2.0/24", "10.2.9.0/32")
    sent = packet("10.1.2.1", "10.2.9.9", 17)
    orders = ((NARROW, CROSSING, third), (CROSSING, NARROW, third))
    told = [{order[row] for row in taken(regions(*order), sent)} for order in orders]
    assert told == [{NARROW}, {CROSSING}]
    dumped = (CROSSING, NARROW, third)
    assert taken(regions(*dumped, dumped=True), sent) == {0, 1}


def policies(*drawn: tuple[Selector, int, str]) -> list[Policy]:
    return [Policy("out", item, priority, action) for item, priority, action in drawn]


def test_ranks_of_policies() -> None:
    made = PolicyRegions(
        policies((WIDE, 5, "allow"), (NARROW, 5, "block"), (CROSSING, 1, "block")), 4
    )
    assert [entry.policies[0].selector for entry in made.entries[:-1]] == [CROSSING, WIDE, NARROW]
    assert made.entries[-1].policies == ()
    assert made.first(point_of(packet("10.1.0.1", "10.2.0.1"))) == 0
    assert made.first(point_of(packet("10.1.0.1", "10.3.0.1"))) == 1
    assert made.first(point_of(packet("11.1.0.1", "10.3.0.1"))) == 3
    # The younger of equal priority never wins, since the older one covers it.
    assert search(made.entries[2].cube, lambda p, b: made.why_not(2, p, b), 1000) is None


def test_marks_and_interfaces_stand_above_the_bits_of_a_packet() -> None:
    marked = Policy("out", WIDE, 1, mark=(1, 1), if_id=7, ifindex=3)
    made = PolicyRegions([marked], 4)
    point = search(made.entries[0].cube, lambda p, b: made.why_not(0, p, b), 1000)
    assert point is not None
    assert extras_of(4, point) == (1, 7, 3)
    assert packet_of(4, point).source == parse_address("10.0.0.0")[1]
    assert not holds(unmarked(4), point)


def test_beside_a_policy_of_type_sub_a_forwarded_packet_meets_one_for_in() -> None:
    """__xfrm_policy_check looks the type main up for ``in``, whatever it was asked for."""
    sub = Policy("fwd", WIDE, 1, ptype="sub")
    given = [sub, Policy("fwd", WIDE, 1, "block"), Policy("in", NARROW, 1, "block")]
    hit, missed = packet("10.1.0.1", "10.2.0.1", 17), packet("10.2.0.1", "10.2.0.1", 17)
    assert lookup(given, "fwd", hit).second == given[2]
    assert lookup(given, "fwd", missed)[:2] == (sub, None)
    side = XfrmSide(given, "fwd", 4)
    for sent, expected in ((hit, (sub, given[2])), (missed, (sub,))):
        assert side.policies_of(side.regions.first(point_of(sent))) == expected
