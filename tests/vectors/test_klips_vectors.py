"""Our KLIPS lookup against answers of the real radix code."""

from __future__ import annotations

from typing import Any

from eroute_translate.cubes import holds, point_of
from eroute_translate.klips.lookup import RadixTable, key_of_packet, row_of
from eroute_translate.klips.regions import Regions
from eroute_translate.net import Packet, Selector, parse_address, parse_prefix
from tests.vectors.conftest import answers_in

ALL_BITS = (1 << 296) - 1


def selector(eroute: list[Any]) -> Selector:
    source, destination, protocol, source_port, destination_port = eroute
    return Selector(
        parse_prefix(source), parse_prefix(destination), protocol, source_port, destination_port
    )


def packet(values: list[Any]) -> Packet:
    family, source = parse_address(values[0])
    return Packet(family, source, parse_address(values[1])[1], *values[2:])


def test_every_answer(tables: list[dict[str, Any]]) -> None:
    answers = 0
    for table in tables:
        rows = [row_of(selector(eroute)) for eroute in table["eroutes"]]
        radix = RadixTable(selector(table["eroutes"][0]).family)
        for identity, row in enumerate(rows):
            radix.add(row, identity)
        for values, winner in zip(table["packets"], table["winner"], strict=True):
            assert radix.match(key_of_packet(packet(values))).winner == winner, (table, values)
            answers += 1
    print(f"\n{answers} answers of the real lookup, all equal")
    assert answers == answers_in(tables)


def test_the_printed_order(tables: list[dict[str, Any]]) -> None:
    for table in tables:
        radix = RadixTable(selector(table["eroutes"][0]).family)
        for identity, eroute in enumerate(table["eroutes"]):
            radix.add(row_of(selector(eroute)), identity)
        assert radix.printed() == table["printed"]


def test_a_dump_allows_the_answer(tables: list[dict[str, Any]]) -> None:
    """What the dump leaves open always holds what KLIPS did."""
    single = several = 0
    for table in tables:
        rows = [row_of(selector(eroute)) for eroute in table["eroutes"]]
        family = selector(table["eroutes"][0]).family
        radix = RadixTable.from_dump(family, [(rows[i], i) for i in table["printed"]])
        for values, winner in zip(table["packets"], table["winner"], strict=True):
            possible = radix.possible(key_of_packet(packet(values)))
            assert possible == frozenset() if winner is None else winner in possible
            single += len(possible) == 1
            several += len(possible) > 1
    print(f"\n{single} packets decided by the dump alone, {several} not")
    assert several < single / 10


def test_the_regions_give_every_answer(tables: list[dict[str, Any]]) -> None:
    """Of all rows the region of the winner holds the packet, and no other one's does."""
    answers = undecided = 0
    for table in tables:
        rows = [row_of(selector(eroute)) for eroute in table["eroutes"]]
        family = selector(table["eroutes"][0]).family
        radix = RadixTable(family)
        for identity, row in enumerate(rows):
            radix.add(row, identity)
        known = Regions(rows, radix)
        printed = [rows[i] for i in table["printed"]]
        from_dump = RadixTable.from_dump(family, [(r, at) for at, r in enumerate(printed)])
        dumped = Regions(printed, from_dump)
        for values, winner in zip(table["packets"], table["winner"], strict=True):
            point = point_of(packet(values))
            assert _taken(known, point) == ({winner} - {None}), (table, values)
            assert (known.why_none(point) is None) == (winner is None)
            possible = {table["printed"][at] for at in _taken(dumped, point)}
            assert {winner} - {None} <= possible
            assert bool(possible) == (winner is not None)
            answers += 1
            undecided += len(possible) > 1
    print(f"\n{answers} answers of the real lookup, each in one region; {undecided} open in a dump")
    assert answers == answers_in(tables)


def _taken(regions: Regions, point: int) -> set[int]:
    near = {row for row in regions.touching((point, ALL_BITS)) if holds(regions.cube(row), point)}
    return {row for row in near if regions.why_not(row, point) is None}
