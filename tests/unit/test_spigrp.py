"""Rows of ipsec_spigrp, and the chains of both ways to print them."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector, Diagnostic, Severity, Span
from eroute_translate.klips.association import Association, Group
from eroute_translate.klips.said import Said, parse_said
from eroute_translate.klips.spigrp import chains, format_group, looks_like_group, read_group

SPAN = Span("spigrp", 3)
OLD = "Openswan version: 2.6.13"
NEW = "Openswan version: 2.6.14"
TUN_IN, COMP_IN, ESP_IN = "tun0x1001@203.0.113.7", "comp0x77@203.0.113.7", "esp0xab@203.0.113.7"
TUN_OUT, ESP_OUT = "tun0x1002@198.51.100.9", "esp0xcd@198.51.100.9"


def read(line: str) -> tuple[Group | None, list[Diagnostic]]:
    collector = Collector()
    return read_group(line, SPAN, collector), collector.items


@pytest.mark.parametrize(
    "line",
    [
        "tun0x1002@198.51.100.9 comp0x68dd@198.51.100.9 esp0xa7d8251a@198.51.100.9 ",
        "esp0xf2818484@2001:db8:1:2::23 ",
        "unk770x100@203.0.113.7 ",
        "ah0x1@10.0.0.1 " * 8,
    ],
)
def test_a_row_comes_back_byte_for_byte(line: str) -> None:
    assert looks_like_group(line)
    assert looks_like_group(line[:-1])
    group, items = read(line)
    assert not items
    assert group is not None
    assert group.saids == tuple(map(parse_said, line.split()))
    assert format_group(group) == line
    assert read(line[:-1])[0] == group


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "tun",
        "esp tun",
        "tunnel@example.net",
        "ahmed@example.net",
        "tun0x1002@198.51.100.9\tesp0xab@198.51.100.9",
        "tun0x1002@198.51.100.9    esp0xab@198.51.100.9",
        "tun0x1002@198.51.100.9 is up",
        "esp0xab@203.0.113.7 ESP_AES: dir=in  life(c,s,h)=",
        "%trap",
        "=> tun0x1002@198.51.100.9",
    ],
)
def test_other_lines_are_not_taken_for_a_group(line: str) -> None:
    assert not looks_like_group(line)


@pytest.mark.parametrize(
    ("line", "code", "column"),
    [
        ("tun0x1002@198.51.100.9 esp0xab@198.51", "ET131", 24),
        ("tun0x1002@198.51.100.9 esp0xab", "ET131", 24),
        ("tun0x1002@198.51.100.9 e", "ET131", 24),
        ("tun0x1002@198.51 esp0xab@198.51.100.9 ", "ET130", 1),
        ("tun0xTUN#@198.51.100.9 esp0xSPISPI@198.51.100.9 ", "ET130", 1),
        ("tun0x0@0.0.0.0 ", "ET130", 1),
    ],
)
def test_a_damaged_row_is_an_error(line: str, code: str, column: int) -> None:
    assert looks_like_group(line)
    group, items = read(line)
    assert group is None
    assert [(i.code, i.severity, i.span and i.span.column) for i in items] == [
        (code, Severity.ERROR, column)
    ]


def test_a_said_that_klips_could_not_print_stays_a_member() -> None:
    line = "tun0x1002@198.51.100.9  (error) esp0xab@198.51.100.9 "
    assert looks_like_group(line)
    group, items = read(line)
    assert group is not None
    assert [said.unknown for said in group.saids] == ["", "(error)", ""]
    assert [item.code for item in items] == ["ET133"]
    assert format_group(group) == line


# -- chains


def table(*rows: str) -> list[Group]:
    return [
        Group(tuple(map(parse_said, row.split())), Span("spigrp", number))
        for number, row in enumerate(rows, 1)
    ]


def directions() -> dict[Said, Association]:
    saids = [(TUN_IN, True), (COMP_IN, True), (ESP_IN, True), (TUN_OUT, False), (ESP_OUT, False)]
    return {(said := parse_said(text)): Association(said, SPAN, inbound) for text, inbound in saids}


def found(
    groups: list[Group], associations: dict[Said, Association], version: str
) -> tuple[list[str], list[str]]:
    collector = Collector()
    result = chains(groups, associations, version, collector)
    assert result == chains(groups, associations, version)
    assert all(isinstance(group, Group) for group in result)
    return [format_group(group).rstrip() for group in result], [i.code for i in collector.items]


OLD_TABLE = (f"{TUN_IN} {COMP_IN} {ESP_IN}", f"{TUN_OUT} {ESP_OUT}")
NEW_TABLE = (
    f"{COMP_IN} {TUN_IN}",
    ESP_OUT,
    f"{ESP_IN} {COMP_IN} {TUN_IN}",
    TUN_IN,
    f"{TUN_OUT} {ESP_OUT}",
)
INSIDE_OUT = {f"{TUN_IN} {COMP_IN} {ESP_IN}", f"{TUN_OUT} {ESP_OUT}"}


@pytest.mark.parametrize("version", [OLD, "FreeS/WAN version: 1.97", ""])
def test_old_tables_have_one_row_for_a_chain(version: str) -> None:
    texts, codes = found(table(*OLD_TABLE), directions(), version)
    assert texts == list(OLD_TABLE)
    assert not codes


@pytest.mark.parametrize("version", [NEW, "Libreswan version: 3.32", "Libreswan version: cvs", ""])
@pytest.mark.parametrize("known", [True, False])
def test_new_tables_have_a_row_for_each_tail_and_turn_inbound_chains(
    version: str, known: bool
) -> None:
    texts, codes = found(table(*NEW_TABLE), directions() if known else {}, version)
    assert set(texts) == INSIDE_OUT
    assert len(texts) == 2
    assert not codes


def test_ungrouped_associations_are_chains_of_one() -> None:
    texts, codes = found(table(ESP_IN, ESP_OUT), directions(), NEW)
    assert texts == [ESP_IN, ESP_OUT]
    assert not codes


TWICE = "esp0xee@203.0.113.7"


@pytest.mark.parametrize(
    ("rows", "version", "inbound", "expected", "reported"),
    [
        # Two ESP: nothing but version and direction can tell.
        ((f"{ESP_IN} {TWICE}",), OLD, True, f"{ESP_IN} {TWICE}", False),
        ((f"{ESP_IN} {TWICE}",), NEW, True, f"{TWICE} {ESP_IN}", False),
        ((f"{ESP_IN} {TWICE}",), NEW, False, f"{ESP_IN} {TWICE}", False),
        ((f"{ESP_IN} {TWICE}",), "", False, f"{ESP_IN} {TWICE}", False),
        ((f"{ESP_IN} {TWICE}", TWICE), "", True, f"{TWICE} {ESP_IN}", False),
        ((f"{ESP_IN} {TWICE}",), "", True, f"{ESP_IN} {TWICE}", True),
        ((f"{ESP_IN} {TWICE}",), NEW, None, f"{ESP_IN} {TWICE}", True),
        # The protocols go before a version that contradicts them.
        ((f"{TUN_IN} {ESP_IN}",), NEW, True, f"{TUN_IN} {ESP_IN}", True),
        ((f"{ESP_IN} {TUN_IN}",), OLD, True, f"{TUN_IN} {ESP_IN}", True),
        # Not in the order of Pluto either way.
        ((f"{ESP_IN} {TUN_IN} {TWICE}",), "", None, f"{ESP_IN} {TUN_IN} {TWICE}", True),
        ((f"{ESP_IN} {TUN_IN} {TWICE}",), NEW, True, f"{TWICE} {TUN_IN} {ESP_IN}", False),
    ],
)
def test_what_decides_the_order(
    rows: tuple[str, ...], version: str, inbound: bool | None, expected: str, reported: bool
) -> None:
    saids = [parse_said(text) for text in rows[0].split()]
    associations = {said: Association(said, SPAN, inbound) for said in saids}
    texts, codes = found(table(*rows), associations, version)
    assert texts == [expected]
    assert codes == (["ET134"] if reported else [])


def test_associations_that_contradict_each_other_do_not_decide() -> None:
    saids = [parse_said(ESP_IN), parse_said(TWICE)]
    associations = {saids[0]: Association(saids[0], SPAN, True)}
    associations[saids[1]] = Association(saids[1], SPAN, False)
    texts, codes = found(table(f"{ESP_IN} {TWICE}"), associations, NEW)
    assert texts == [f"{ESP_IN} {TWICE}"]
    assert codes == ["ET134"]


def test_one_association_that_knows_its_direction_is_enough() -> None:
    saids = [parse_said(ESP_IN), parse_said(TWICE)]
    associations = {
        saids[0]: Association(saids[0], SPAN),
        saids[1]: Association(saids[1], SPAN, True),
    }
    texts, codes = found(table(f"{ESP_IN} {TWICE}"), associations, NEW)
    assert texts == [f"{TWICE} {ESP_IN}"]
    assert not codes


def test_an_association_in_two_chains_is_reported_once() -> None:
    rows = (f"{TUN_OUT} {ESP_OUT}", f"{TUN_OUT} {ESP_OUT}", f"tun0x9@198.51.100.9 {ESP_OUT}")
    texts, codes = found(table(*rows), directions(), OLD)
    assert texts == [rows[0], rows[2]]
    assert codes == ["ET135"]


def test_a_chain_keeps_the_place_of_its_row() -> None:
    result = chains(table(*NEW_TABLE), directions(), NEW)
    assert [group.span.line for group in result] == [3, 5]
