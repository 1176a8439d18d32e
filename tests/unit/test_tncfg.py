"""Rows of ipsec_tncfg and their form in ipsec look."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector, Diagnostic, Severity, Span
from eroute_translate.klips.interface import Attachment
from eroute_translate.klips.tncfg import (
    format_attachment,
    looks_like_attachment,
    read_attachment,
    read_attachments,
)

SPAN = Span("tncfg", 2)


def read(line: str) -> tuple[list[Attachment], list[Diagnostic]]:
    collector = Collector()
    return read_attachments(line, SPAN, collector), collector.items


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("ipsec0 -> eth1 mtu=16260(1500) -> 1500", ("ipsec0", "eth1", 16260, 1500, 1500, False)),
        (
            "ipsec2 -> eth3.7 mtu=16260(1443) -> 1500",
            ("ipsec2", "eth3.7", 16260, 1443, 1500, False),
        ),
        ("ipsec63 -> NULL mtu=0(0) -> 0", ("ipsec63", None, 0, 0, 0, False)),
        ("ipsec1", ("ipsec1", None, 0, 0, 0, True)),
    ],
)
def test_a_row_comes_back_byte_for_byte(line: str, values: tuple[object, ...]) -> None:
    assert looks_like_attachment(line)
    collector = Collector()
    row = read_attachment(line, SPAN, collector)
    assert not collector.items
    assert row is not None
    read_values = (row.device, row.physical, row.mtu, row.effective_mtu, row.physical_mtu, row.bare)
    assert read_values == values
    assert format_attachment(row) == line
    assert row.span == Span("tncfg", 2, 1, len(line) + 1)


def test_look_has_several_in_a_line() -> None:
    line = "ipsec0->eth1 mtu=16260(1443)->1500 ipsec1->ppp0 mtu=16260(1400)->1492 "
    assert looks_like_attachment(line)
    rows, items = read(line)
    assert not items
    assert [
        (r.device, r.physical, r.effective_mtu, r.physical_mtu, r.span.column) for r in rows
    ] == [
        ("ipsec0", "eth1", 1443, 1500, 1),
        ("ipsec1", "ppp0", 1400, 1492, 36),
    ]


def test_one_bad_row_does_not_hide_the_next() -> None:
    rows, items = read("ipsec0->eth1 mtu=x(1443)->1500 ipsec1->ppp0 mtu=16260(1400)->1492")
    assert [row.device for row in rows] == ["ipsec1"]
    assert [(i.code, i.severity, i.span and i.span.column) for i in items] == [
        ("ET130", Severity.ERROR, 1)
    ]


@pytest.mark.parametrize("end", range(len("ipsec0 ->"), len("ipsec0 -> eth1 mtu=16260(1500) -> ")))
def test_a_cut_row_is_an_error(end: int) -> None:
    line = "ipsec0 -> eth1 mtu=16260(1500) -> 1500"[:end]
    assert looks_like_attachment(line)
    rows, items = read(line)
    assert not rows
    assert [item.severity for item in items] == [Severity.ERROR]
    assert items[0].code == ("ET130" if line.count("->") > 1 else "ET131")


@pytest.mark.parametrize(
    "line",
    [
        "ipsec0 -> eth1 mtu=16260(1500) -> 1500x",
        "ipsec0 -> eth1 mtu=16260(1500) -> 1500 and more",
        "ipsec0 -> eth1 mtu=-1(1500) -> 1500",
    ],
)
def test_a_damaged_row_is_an_error(line: str) -> None:
    rows, items = read(line)
    assert not rows
    assert [item.code for item in items] == ["ET130"]


def test_two_rows_are_not_one() -> None:
    collector = Collector()
    line = "ipsec0->eth1 mtu=16260(1443)->1500 ipsec1->ppp0 mtu=16260(1400)->1492"
    assert read_attachment(line, SPAN, collector) is None
    assert [(i.code, i.span and i.span.column) for i in collector.items] == [("ET130", 36)]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ipsec0    Link encap:Ethernet  HWaddr 00:00:00:aa:bb:cc",
        "ipsec0: flags=193<UP,RUNNING>",
        "10.0.0.0 dev ipsec0",
        "eth0 -> eth1 mtu=16260(1500) -> 1500",
        "10         10.0.0.0/8         -> 192.168.1.0/24     => tun0x1002@203.0.113.7",
    ],
)
def test_other_lines_are_not_taken_for_an_attachment(line: str) -> None:
    assert not looks_like_attachment(line)
