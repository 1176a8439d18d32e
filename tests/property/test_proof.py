"""The proof against the plain lookups: witnesses differ, and nothing that differs escapes."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

from eroute_translate.cubes import holds, packet_of, point_of
from eroute_translate.equivalence.fate import (
    DROPPED,
    Fate,
    agree,
    fate_of_eroute,
    same_in_klips,
    same_in_xfrm,
)
from eroute_translate.equivalence.proof import Difference, differences
from eroute_translate.equivalence.reference import klips_side, reference
from eroute_translate.equivalence.xfrm_side import Reqids, XfrmSide
from eroute_translate.klips.decision import decide
from eroute_translate.klips.eroute import Eroute
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.lookup import key_of_packet
from eroute_translate.klips.regions import Regions, table_of
from eroute_translate.mapping.model import Options
from eroute_translate.mapping.translation import translate
from eroute_translate.net import WIDTH, Packet, Selector
from eroute_translate.xfrm.regions import FIELD_BITS, extras_of, unmarked
from tests.netns.spd_sets import ICMP, distinct, policy
from tests.netns.spd_sets import packet as spd_packet

from .tables import LOCAL, Given, Promise, host, mirrored, options, packet

TABLES: Final = 700
PACKETS: Final = 150
"""Of each table: 105 000 in all."""

PROVED: Final = 260
SAMPLED: Final = 60
COMPARED: Final = 120


def taken(regions: Regions, point: int) -> set[int]:
    """The rows whose regions hold a packet."""
    return {
        row
        for row in range(len(regions.rows))
        if holds(regions.cube(row), point) and regions.why_not(row, point) is None
    }


def test_regions_are_what_the_lookups_say() -> None:
    """Each packet lies in the regions of the rows and the policy that the lookups find."""
    rng = random.Random(1)
    counts: Counter[str] = Counter()
    for number in range(TABLES):
        family = rng.choice((4, 4, 6))
        kept = host(rng, family, rng.choice((1, 2, 4, 8, 16)))
        given = options(rng, family)
        table = table_of(kept, family)
        side = klips_side(kept, table)
        policies = list(translate(kept, given).policies())
        right = XfrmSide(policies, "out", family)
        plain = Given(policies)
        lookup = Promise(kept, given, family).table
        selectors = [eroute.selector for eroute in kept.eroutes]
        for _ in range(PACKETS):
            sent = packet(rng, selectors, LOCAL[family])
            point = point_of(sent)
            possible = lookup.possible(key_of_packet(sent))
            symbolic = {table.positions[row] for row in taken(table.regions, point)}
            assert symbolic == possible, (number, sent)
            pieces = {side.pieces[n].origin for n in side.taking(point)}
            assert pieces == (set(possible) or {-2}), (number, sent)
            assert (table.regions.why_none(point) is None) == (not possible)
            winner = plain.index.lookup("out", sent).winner
            found = right.policies_of(right.regions.first(point))
            assert found == (() if winner is None else (winner,)), (number, sent)
            counts["tables and packets"] += 1
            counts["with several possible rows"] += len(possible) > 1
            counts["without a row"] += not possible
            counts["without a policy"] += winner is None
        counts["tables"] += 1
        counts["rows"] += len(kept.eroutes)
    print(f"\n{dict(counts)}, all agree")
    assert counts["tables and packets"] >= 100_000
    assert min(counts.values()) > 500


def proof_of(
    kept: KlipsHost, given: Options, family: int, direction: str
) -> tuple[list[Difference], Given]:
    """The differences of a translation without its safety net of exceptions."""
    translation = translate(kept, given)
    policies = list(translation.policies())
    asking = frozenset([given.reqid_base])
    groups = {o.reqid: o.eroute.saids for o in translation.outcomes if o.reqid}
    turned = direction != "out"
    right = XfrmSide(policies, direction, family, mirrored=turned, reqids=Reqids(asking, groups))
    left = reference(kept, table_of(kept, family), given, direction)
    found = differences(left, right, lambda a, b: agree(a, b, direction), unmarked(family))
    return list(found), Given(policies, asking, groups)


def check_witness(
    difference: Difference, promise: Promise, plain: Given, family: int, direction: str
) -> None:
    sent = packet_of(family, difference.point)
    sent = sent if direction == "out" else mirrored(sent)
    actual = plain.fate(sent, direction)
    agreeing = [agree(wanted, actual, direction) for wanted in promise.fates(sent, direction)]
    assert difference.decided
    assert not all(agreeing), (direction, sent, difference)
    if difference.certain:
        assert not any(agreeing), (direction, sent, difference)


def discovery(point: int, family: int) -> bool:
    """Neighbour discovery has rules of its own, which the plain promise does not know."""
    return family == 6 and point >> 32 & 0xFF == 58


def test_every_witness_differs_and_every_difference_is_found() -> None:
    """Random tables, all directions, against the promise written down once more."""
    rng = random.Random(2)
    counts: Counter[str] = Counter()
    for number in range(PROVED):
        family = rng.choice((4, 4, 6))
        kept = host(rng, family, rng.choice((2, 5, 10, 16)))
        given = options(rng, family)
        promise = Promise(kept, given, family)
        selectors = [eroute.selector for eroute in kept.eroutes]
        for direction in ("out", "in", "fwd"):
            found, plain = proof_of(kept, given, family, direction)
            for difference in found:
                if not discovery(difference.point, family):
                    check_witness(difference, promise, plain, family, direction)
                    counts[f"witnesses {direction}"] += 1
            for _ in range(SAMPLED):
                sent = packet(rng, selectors, LOCAL[family])
                point = point_of(sent)
                wire = sent if direction == "out" else mirrored(sent)
                actual = plain.fate(wire, direction)
                wanted = promise.fates(wire, direction)
                counts["packets"] += 1
                if all(agree(fate, actual, direction) for fate in wanted):
                    continue
                counts["packets that differ"] += 1
                assert any(holds(d.box, point) for d in found), (number, direction, wire, wanted)
    print(f"\n{dict(counts)}")
    assert counts["packets that differ"] > 100
    assert min(counts[f"witnesses {direction}"] for direction in ("out", "in")) > 100


def test_what_is_not_reported_is_equal() -> None:
    """Outside of all differences the packets of a difference's neighbourhood agree."""
    rng = random.Random(3)
    outside = 0
    for _ in range(40):
        kept = host(rng, 4, 10)
        given = options(rng, 4)
        promise = Promise(kept, given, 4)
        found, plain = proof_of(kept, given, 4, "out")
        for difference in found[:20]:
            for _ in range(20):
                point = difference.point ^ 1 << rng.randrange(104)
                if any(holds(d.box, point) for d in found):
                    continue
                sent = _plain_ports(packet_of(4, point))
                if any(holds(d.box, point_of(sent)) for d in found):
                    continue
                actual = plain.fate(sent, "out")
                assert all(agree(f, actual, "out") for f in promise.fates(sent, "out")), sent
                outside += 1
    print(f"\n{outside} packets beside differences, all equal")
    assert outside > 500


def _plain_ports(sent: Packet) -> Packet:
    if sent.protocol in (6, 17):
        return sent
    return sent._replace(source_port=0, destination_port=0)


def test_two_tables() -> None:
    """Two days of one host: rows gone, rows come, insertion known or not."""
    rng = random.Random(4)
    counts: Counter[str] = Counter()
    for number in range(COMPARED):
        family = rng.choice((4, 6))
        one = host(rng, family, rng.choice((2, 6, 12)))
        rows = [e for e in one.eroutes if rng.random() < 0.8] or list(one.eroutes)
        more = [e for e in host(rng, family, 2).eroutes if e.selector not in _selectors(rows)]
        other = KlipsHost(tuple(rows + more), insertion_known=True)
        if one.insertion_known is False and not more:
            other = KlipsHost(tuple(rows), in_kernel_order=True)
        sides = [klips_side(h, table_of(h, family)) for h in (one, other)]
        found = list(differences(sides[0], sides[1], same_in_klips))
        promises = [Promise(h, Options(), family) for h in (one, other)]
        for difference in found:
            fates = [_klips(p, packet_of(family, difference.point)) for p in promises]
            agreeing = [same_in_klips(a, b) for a in fates[0] for b in fates[1]]
            assert difference.decided
            assert not all(agreeing)
            assert not (difference.certain and any(agreeing)), (number, difference)
            counts["witnesses"] += 1
        for _ in range(SAMPLED):
            sent = packet(rng, list(_selectors(rows + more)), LOCAL[family])
            fates = [_klips(p, sent) for p in promises]
            counts["packets"] += 1
            if not all(same_in_klips(a, b) for a in fates[0] for b in fates[1]):
                counts["packets that differ"] += 1
                assert any(holds(d.box, point_of(sent)) for d in found), (number, sent)
    print(f"\n{dict(counts)}")
    assert min(counts.values()) > 100


def _selectors(rows: list[Eroute]) -> set[Selector]:
    return {eroute.selector for eroute in rows}


def _klips(promise: Promise, sent: Packet) -> list[Fate]:
    """The fates of a packet that is routed into ipsecN; no row drops it."""
    rows = promise.rows(sent)
    decision = decide(promise.host, sent)
    assert list(decision.possible) == rows
    return [fate_of_eroute(eroute) for eroute in rows] or [DROPPED]


def test_two_sets_of_policies() -> None:
    """With marks, if_ids, interfaces, masks of ports, ties and the type sub."""
    rng = random.Random(5)
    counts: Counter[str] = Counter()
    for number in range(COMPARED):
        family = rng.choice((4, 6))
        drawn = [policy(rng, n, family, "out", (3,)) for n in range(1, rng.choice((3, 8, 20)))]
        one = distinct(drawn)
        other = [p for p in one if rng.random() < 0.8]
        if other:
            place = rng.randrange(len(other))
            other[place] = other[place]._replace(priority=5, action="block")
        sides = [XfrmSide(policies, "out", family) for policies in (one, other)]
        found = list(differences(sides[0], sides[1], same_in_xfrm))
        plain = [Given(policies) for policies in (one, other)]
        for difference in found:
            sent, extras = packet_of(family, difference.point), extras_of(family, difference.point)
            fates = [given.fate(sent, "out", *extras) for given in plain]
            assert difference.certain
            assert not same_in_xfrm(*fates), (number, difference)
            counts["witnesses"] += 1
        for _ in range(SAMPLED):
            sent = spd_packet(rng, family, (17, 6, 50, 47, 136, ICMP[family]))
            extras = rng.choice((0, 1, 0x10001)), rng.choice((0, 0, 7)), rng.choice((0, 3))
            fates = [given.fate(sent, "out", *extras) for given in plain]
            counts["packets"] += 1
            if not same_in_xfrm(*fates):
                counts["packets that differ"] += 1
                point = _with_extras(sent, extras)
                assert any(holds(d.box, point) for d in found), (number, sent, extras)
    print(f"\n{dict(counts)}")
    assert min(counts.values()) > 100


def _with_extras(sent: Packet, extras: tuple[int, int, int]) -> int:
    base = 2 * WIDTH[sent.family] + 40
    high = sum(value << FIELD_BITS * place for place, value in enumerate(extras))
    return point_of(sent) | high << base
