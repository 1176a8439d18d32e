"""Tables in a text: what is one row, what is one table, what repeats, what is lost."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Severity
from eroute_translate.klips.eroute import Form, format_eroute
from tests.unit.klips_text import LONG_NOISE, PEER, eroutes, places, read, row, said_texts

A = row("10.0.0.0/8", "192.168.1.0/24")
B = row("10.1.0.0/16", "192.168.2.0/24", "tun0x1004@203.0.113.8")
C = row("10.2.0.0/16", "192.168.3.0/24", "%drop")


def test_a_kernel_table_prints_back() -> None:
    text = A + B + C + row("10.3.0.0/16:1024", "10.2.0.0/16:80", "%trap:6", -1)
    listings, items = read(text)
    assert items == []
    assert "".join(f"{format_eroute(e)}\n" for e in listings[0].eroutes) == text
    assert [e.span.line for e in listings[0].eroutes] == [1, 2, 3, 4]
    assert listings[0].in_kernel_order
    assert listings[0].span.line == 1


def test_nothing() -> None:
    assert read(b"") == ([], [])
    assert read(b"\n\n") == ([], [])
    listings, items = read("no table here\nnor here\n")
    assert listings == []
    assert [(i.code, i.severity, i.message) for i in items] == [
        ("ET114", Severity.NOTE, "2 lines hold no eroute and were passed over")
    ]


@pytest.mark.parametrize(
    "line",
    [
        "ipsec0->eth1 mtu=16260(1500)->1500",
        "192.168.1.0/24 dev ipsec0  scope link",
        "tun0x1002@203.0.113.7 IPIP: dir=out src=198.51.100.1",
        "tun0x1002@203.0.113.7 esp0x1003@203.0.113.7 ",
        "Looks fine -> ship it.",
        "10.0.0.0/8",
    ],
)
def test_lines_that_hold_no_eroute(line: str) -> None:
    listings, items = read(f"{A}{line}\n{B}")
    assert [len(listing.eroutes) for listing in listings] == [2]
    assert [i.code for i in items] == ["ET114"]
    assert items[0].span is not None
    assert items[0].span.line == 2


@pytest.mark.parametrize(
    "line",
    [
        f"root@gw:~# {A}",
        f"Nov 23 13:46:23 gw log: {A}",
        f"+{A}",
        A.replace("10.0.0.0", "10.0.0.O"),
        "5 [001:db8::/64]xyz -> \udc802001:db8::/32:80 => tun0x1@2001:db8::1\n",
        f"12:{A}",
    ],
)
def test_a_row_with_something_strange_is_refused_not_passed_over(line: str) -> None:
    listings, items = read(B + line + C)
    assert [len(listing.eroutes) for listing in listings] == [2]
    assert [u.line for listing in listings for u in listing.unread] == [2]
    assert places(items)[0][1] == 2
    assert items[0].code == "ET101"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("10 10.0.0.0/8 ->\n192.168.1.0/24 => %drop\n", (1, 2)),
        ("10 10.0.0.0/8\n-> 192.168.1.0/24\n=> %drop\n", (1, 3)),
        ("10 10.0.0.0/8 -> 192.168.1.0/24 =>\n\n  %drop\n", (1, 3)),
        ("10 10.0.0.0/8:0 -> 192.168.1.0/24 => %drop\n\n\n () ()\n", (1, 4)),
        ("10.0.0.0/8 -> 192.168.1.0/24 => %drop\n  (10)\n", (1, 2)),
    ],
)
def test_rows_over_several_lines(text: str, lines: tuple[int, int]) -> None:
    (eroute,) = eroutes(text + B)[:1]
    assert str(eroute.said) == "%drop"
    assert eroute.count == 10
    assert (eroute.span.line, eroute.span.end_line) == lines


@pytest.mark.parametrize(
    "head", ["10 10.9.0.0/16", "10 10.9.0.0/16 ->", "10 10.9.0.0/16 -> 1", "10 10.9.0.0/16 -> "]
)
def test_a_cut_head_takes_nothing_of_the_next_row(head: str) -> None:
    assert said_texts(f"{A}{head}\n{B}{C}") == [PEER, "tun0x1004@203.0.113.8", "%drop"]
    listings, items = read(f"{A}{head}\n{B}{C}")
    if "->" in head:
        assert places(items) == [("ET106", 2, 1)]
        assert [u.line for u in listings[0].unread] == [2]


def test_a_cut_said_takes_nothing_of_the_next_row() -> None:
    text = f"10 10.9.0.0/16 -> 192.168.9.0/24 =>\n{B}"
    listings, items = read(text)
    assert [e.defect for e in listings[0].eroutes] == ["ET106", ""]
    assert places(items) == [("ET106", 1, 36)]


def test_the_last_row_without_line_end_may_be_cut() -> None:
    text = A + row("10.1.0.0/16", "192.168.2.0/24", "tun0x1004@203.0.113.1")[:-1]
    _, items = read(text)
    assert [(i.code, i.severity) for i in items] == [("ET106", Severity.WARNING)]
    assert places(items) == [("ET106", 2, 1)]
    assert read(text + "\n")[1] == []
    assert read(text + "\r")[1] == []


@pytest.mark.parametrize("size", range(len(A + B) - len(B) + 1, len(A + B)))
def test_a_capture_cut_in_its_last_row_says_so(size: int) -> None:
    """All of the row before its SAID; no row is lost without a word."""
    listings, items = read((A + B)[:size])
    assert listings[0].eroutes[0].selector.source.address == 0x0A000000
    if "->" in (A + B)[len(A) : size]:
        assert items[0].code in ("ET106", "ET103", "ET102")
        assert listings[0].rows == 2


def test_a_line_end_in_utf_16() -> None:
    assert read((A + B).encode("utf-16-le"))[1] == []


# More than one table.


@pytest.mark.parametrize(
    "heading",
    [
        "root@gw:~# ipsec eroute",
        "root@gw:~# cat /proc/net/ipsec_eroute",
        "root@gw:~# cat /proc/net/ipsec/eroute/all",
        "+ _________________________ /proc/net/ipsec_eroute",
        "Linux Openswan 2.6.38 (klips)",
    ],
)
def test_a_command_or_heading_starts_a_table(heading: str) -> None:
    listings, _ = read(f"{heading}\n{A}{heading}\n{A}{B}")
    assert [listing.rows for listing in listings] == [1, 2]


def test_look_and_proc_are_two_tables() -> None:
    look = "10.0.0.0/8         -> 192.168.1.0/24     => tun0x1002@203.0.113.7  (10)\n"
    listings, _ = read(A + look)
    assert [listing.eroutes[0].form for listing in listings] == [Form.PROC, Form.LOOK]
    assert [listing.in_kernel_order for listing in listings] == [True, False]


# Rows that stand twice.


def test_a_table_that_its_kernel_repeated() -> None:
    page = "".join(row(f"10.{n}.0.0/16", "192.168.1.0/24") for n in range(5))
    listings, items = read(page + page + page[: len(page) // 5 * 2])
    assert (len(listings[0].eroutes), len(listings[0].repeats)) == (5, 7)
    assert [(i.code, i.severity) for i in items] == [("ET110", Severity.ERROR)]
    assert places(items) == [("ET110", 6, 1)]
    assert "after 5 rows" in items[0].message


def test_one_key_twice_in_kernel_order_means_the_first() -> None:
    second = A.replace("113.7", "113.9")
    listings, items = read(row("10.0.0.0/8", "10.0.0.0/8", "%drop") + A + second)
    assert [str(e.said) for e in listings[0].eroutes] == ["%drop", PEER]
    assert [(i.code, i.severity) for i in items] == [("ET113", Severity.NOTE)]
    assert places(items) == [("ET113", 3, 1)]
    assert listings[0].rows == 3


def test_one_key_twice_in_another_order_is_refused() -> None:
    listings, items = read(B + A + C + A.replace("113.7", "113.9"))
    assert len(listings[0].eroutes) == 3
    assert [u.line for u in listings[0].unread] == [4]
    assert [(i.code, i.severity) for i in items] == [("ET113", Severity.ERROR)]


# Pieces of rows.


@pytest.mark.parametrize(
    ("half", "rest"),
    [
        ("tun0x1002@203.0.113.1", "7"),
        ("tun0x1002@203.0.113.17", ":6"),
        ("%trap", "subnet"),
        ("%trap:1", "7"),
    ],
)
def test_half_a_word_is_not_a_sound_row(half: str, rest: str) -> None:
    """Broken at no width that can be known: refuse, or join, but never take the half."""
    text = f"{LONG_NOISE}\n{row('10.0.0.0/8', '192.168.1.0/24', half)}{rest}\n{LONG_NOISE}\n"
    first = eroutes(text)[0]
    suffix = f":{first.selector.protocol}" if first.selector.protocol else ""
    assert first.defect or f"{first.said}{suffix}" == half + rest


def test_a_cut_row_takes_no_group_of_another_table() -> None:
    text = "10 10.0.0.0/8 -> 192.168.1.0/24 =>\ntun0x9@203.0.113.9 esp0xa@203.0.113.9 \n"
    assert said_texts(text) == []


def test_quoted_rows_over_several_lines() -> None:
    assert said_texts(f"> 10 10.0.0.0/8 -> 192.168.1.0/24 =>\n> {PEER}\n") == [PEER]


def test_identities_below_a_row_without_ports() -> None:
    (eroute,) = eroutes(f"{A}\n (east) (west)\n")
    assert eroute.identities == ("east", "west")


def test_kernel_order_is_that_of_the_keys_with_their_host_bits() -> None:
    loose = row("10.9.0.0/255.0.255.0", "0.0.0.0/0")
    plain = row("10.0.0.0/8", "10.0.0.0/8")
    assert read(plain + loose)[0][0].in_kernel_order
    assert not read(loose + plain)[0][0].in_kernel_order


def test_holds_of_the_kernel_with_their_wrong_mask_keep_the_kernel_order() -> None:
    hold = row("2001:db8:1::1:5/ff02::1", "2001:db8:2::1/ff02::1", "%hold")
    rows = [row(f"2001:db8:{n}::/64", "2001:db8:2::/64") for n in (1, 3)]
    (listing,) = read(rows[0] + hold + rows[1])[0]
    assert listing.in_kernel_order


def test_the_slip_of_the_kernel_is_kernel_order() -> None:
    """A finer row stands behind one that it refines, unless that is the head of the chain."""
    head = row("10.0.0.0/8", "20.0.0.0/24", "%drop")
    coarse = row("10.0.0.0/8", "20.0.0.0/16", "%drop")
    fine = row("10.0.0.0/16", "20.0.0.0/16", "%pass")
    assert read(head + coarse + fine)[0][0].in_kernel_order
    assert not read(coarse + fine)[0][0].in_kernel_order
    assert not read(coarse + head + fine)[0][0].in_kernel_order
