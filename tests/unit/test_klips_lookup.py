"""The radix table: the examples of docs/klips.md, additions, deletions, what a dump knows."""

from __future__ import annotations

import pytest

from eroute_translate.cubes import packet_of
from eroute_translate.klips.lookup import (
    ExistsError,
    MissingError,
    RadixTable,
    Row,
    Step,
    key_of_packet,
    refines,
    row_of,
)
from eroute_translate.net import Packet, Selector, parse_address, parse_prefix


def row(source: str, destination: str, *rest: int) -> Row:
    return row_of(Selector(parse_prefix(source), parse_prefix(destination), *rest))


def packet(source: str, destination: str, *rest: int) -> Packet:
    family, address = parse_address(source)
    return Packet(family, address, parse_address(destination)[1], *rest)


def table(*rows: Row) -> RadixTable:
    radix = RadixTable(4)
    for identity, item in enumerate(rows, 1):
        radix.add(item, identity)
    return radix


def winner(radix: RadixTable, *values: str | int) -> int | None:
    source, destination, *rest = values
    found = packet(str(source), str(destination), *(int(v) for v in rest))
    return radix.match(key_of_packet(found)).winner


ONE = row("10.0.0.0/8", "192.168.1.0/24")
TWO = row("10.1.0.0/16", "192.168.0.0/16")
THREE = row("10.1.2.0/24", "99.0.0.0/8")


def test_the_order_of_insertion_decides_and_the_dump_does_not_show_it() -> None:
    first, second = table(ONE, TWO, THREE), RadixTable(4)
    for identity, item in ((2, TWO), (1, ONE), (3, THREE)):
        second.add(item, identity)
    assert first.printed() == second.printed() == [1, 2, 3]
    assert winner(first, "10.1.2.3", "192.168.1.5") == 1
    assert winner(second, "10.1.2.3", "192.168.1.5") == 2
    dump = RadixTable.from_dump(4, [(ONE, 1), (TWO, 2), (THREE, 3)])
    key = key_of_packet(packet("10.1.2.3", "192.168.1.5"))
    assert dump.possible(key) == {1, 2}
    assert first.possible(key) == {1}


def test_two_rows_alone_are_decided_by_the_larger_key() -> None:
    for rows, wanted in (((ONE, TWO), 2), ((TWO, ONE), 1)):
        assert winner(table(*rows), "10.1.2.3", "192.168.1.5") == wanted


def test_the_slip_puts_a_finer_row_behind_a_coarser_one() -> None:
    radix = table(
        row("10.0.0.0/8", "20.0.0.0/24"),
        row("10.0.0.0/8", "20.0.0.0/16"),
        row("10.0.0.0/16", "20.0.0.0/16"),
    )
    assert radix.printed() == [1, 2, 3]
    assert winner(radix, "10.0.0.1", "20.0.5.1") == 2


def test_a_finer_row_goes_before_the_head() -> None:
    radix = table(row("10.0.0.0/8", "0.0.0.0/0"), row("10.0.0.0/16", "0.0.0.0/0"))
    assert radix.printed() == [2, 1]


def test_the_same_row_twice_is_refused() -> None:
    with pytest.raises(ExistsError):
        table(ONE, TWO, ONE)


def test_deleting() -> None:
    radix = table(ONE, TWO)
    assert radix.delete(TWO) == 2
    assert winner(radix, "10.1.2.3", "192.168.1.5") == 1
    with pytest.raises(MissingError):
        radix.delete(TWO)
    # A chain of one goes whatever the mask that is named.
    assert radix.delete(Row(ONE.key, 0)) == 1
    assert winner(radix, "10.1.2.3", "192.168.1.5") is None
    assert radix.masks() == ()


def test_replacing_needs_the_key() -> None:
    radix = table(ONE)
    assert radix.replace(ONE, 7) == 1
    assert winner(radix, "10.0.0.1", "192.168.1.5") == 7
    with pytest.raises(MissingError):
        radix.replace(TWO, 8)


def test_ports_count_for_tcp_and_udp_alone() -> None:
    radix = table(row("10.0.0.0/8", "0.0.0.0/0", 0, 0, 25))
    assert winner(radix, "10.0.0.1", "1.2.3.4", 6, 4000, 25) == 1
    assert winner(radix, "10.0.0.1", "1.2.3.4", 17, 4000, 25) == 1
    assert winner(radix, "10.0.0.1", "1.2.3.4", 132, 4000, 25) is None


def test_steps_are_told() -> None:
    radix = table(ONE, TWO, THREE)
    steps = {
        ("10.0.0.0", "192.168.1.0"): Step.EXACT,
        ("10.0.0.0", "192.168.1.7"): Step.LEAF,
        ("10.1.2.3", "192.168.1.5"): Step.MASK,
        ("11.0.0.0", "192.168.1.5"): Step.NONE,
    }
    for (source, destination), step in steps.items():
        assert radix.match(key_of_packet(packet(source, destination))).step is step


def test_an_empty_table() -> None:
    assert RadixTable(6).match(5).winner is None
    assert RadixTable(4).leaf(5) is None


def test_path_bits_are_those_that_the_descent_tests() -> None:
    radix = table(ONE, TWO, THREE)
    keys = [ONE.key, TWO.key, THREE.key]
    for key in keys:
        tested = 0
        for other in keys:
            if other != key:
                tested |= 1 << (key ^ other).bit_length() - 1
        assert radix.path_bits(key) & tested == tested
        assert radix.path_bits(key).bit_count() <= len(keys)


def test_refining_needs_more_bits() -> None:
    assert refines(0b111, 0b101)
    assert not refines(0b101, 0b101)
    assert not refines(0b110, 0b101)


@pytest.mark.parametrize(
    "values",
    [("10.1.2.3", "192.168.1.5", 6, 40000, 25), ("2001:db8::1", "2001:db8:2::5", 17, 1, 2)],
)
def test_a_key_gives_its_packet_back(values: tuple[str, str, int, int, int]) -> None:
    source, destination, *rest = values
    found = packet(source, destination, *rest)
    assert packet_of(found.family, key_of_packet(found)) == found
