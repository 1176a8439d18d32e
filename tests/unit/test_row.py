"""One row: what is read, and where exactly it is refused."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector, Diagnostic, Severity, Span
from eroute_translate.klips.eroute import Eroute, Form, format_eroute
from eroute_translate.klips.row import RowText, read_row
from eroute_translate.net import Prefix, parse_prefix

BASE = "10 10.0.0.0/8 -> 192.168.1.0/24 => tun0x1002@203.0.113.7"


def read(text: str) -> tuple[Eroute | None, list[Diagnostic]]:
    collector = Collector()
    return read_row(RowText(text, Span("f", 7, 1, len(text) + 1, 7)), collector), collector.items


def sound(text: str) -> Eroute:
    eroute, items = read(text)
    assert items == []
    assert eroute is not None
    assert not eroute.defect
    return eroute


def marked(item: Diagnostic, text: str) -> str:
    """The part of the row under the caret."""
    assert item.span is not None
    assert item.span.line == 7
    assert item.excerpt == text
    return text[item.span.column - 1 : item.span.end_column - 1]


def test_plain_row() -> None:
    eroute = sound(BASE)
    assert eroute.selector.source == parse_prefix("10.0.0.0/8")
    assert eroute.selector.destination == parse_prefix("192.168.1.0/24")
    assert eroute.selector[2:] == (0, 0, 0)
    assert (eroute.count, eroute.identities, eroute.form) == (10, None, Form.PROC)
    assert str(eroute.said) == "tun0x1002@203.0.113.7"


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("-1", 0xFFFFFFFF), ("-2147483648", 1 << 31), ("4294967295", 0xFFFFFFFF)],
)
def test_counts_that_overflowed(text: str, count: int) -> None:
    assert sound(BASE.replace("10 ", f"{text} ", 1)).count == count


@pytest.mark.parametrize("text", ["4294967296", "-2147483649", "9" * 30])
def test_count_out_of_range_costs_only_the_count(text: str) -> None:
    line = BASE.replace("10 ", f"{text} ", 1)
    eroute, (item,) = read(line)
    assert (item.code, item.severity, marked(item, line)) == ("ET116", Severity.WARNING, text)
    assert eroute is not None
    assert eroute.count == 0
    assert not eroute.defect


def test_look_count_out_of_range() -> None:
    line = "10.0.0.0/8 -> 192.168.1.0/24 => %drop (4294967296)"
    eroute, (item,) = read(line)
    assert (item.code, marked(item, line)) == ("ET116", "4294967296")
    assert eroute is not None
    assert (eroute.form, eroute.count) == (Form.LOOK, 0)


@pytest.mark.parametrize(
    ("ends", "selector"),
    [
        ("10.0.0.0/8:0 -> 192.0.2.0/24:0 => %trap:0", (0, 0, 0)),
        ("10.0.0.0/8:1024 -> 192.0.2.0/24:80 => %trap:6", (6, 1024, 80)),
        ("10.0.0.0/8 -> 192.0.2.0/24:65535 => %trap:255", (255, 0, 65535)),
        ("10.0.0.0/8->192.0.2.0/24=>%trap:17", (17, 0, 0)),
    ],
)
def test_ports_and_protocol(ends: str, selector: tuple[int, int, int]) -> None:
    assert sound(f"10 {ends}").selector[2:] == selector


@pytest.mark.parametrize(
    ("tail", "identities"),
    [
        ("() ()", ("", "")),
        ("(east) ()", ("east", "")),
        ("  (@a.example)   (C=DE,CN=b)  ", ("@a.example", "C=DE,CN=b")),
        ("(error) (error)", ("error", "error")),
        ("(a(b)) (c)", ("a(b)", "c")),
    ],
)
def test_identities(tail: str, identities: tuple[str, str]) -> None:
    assert sound(f"{BASE} {tail}").identities == identities


def test_masks_with_holes_and_host_bits() -> None:
    eroute = sound("5 10.1.2.3/255.0.255.0 -> 192.168.9.47/24 => %hold")
    assert eroute.selector.source == Prefix(4, 0x0A010203, 0xFF00FF00)
    assert eroute.selector.destination == Prefix(4, 0xC0A8092F, 0xFFFFFF00)
    six = sound("5 2001:db8::1/ff02::1 -> 2001:db8:2::1/ff02::1 => %hold")
    assert six.selector.source.mask == (0xFF02 << 112) + 1


def test_look_row() -> None:
    line = (
        "192.0.2.0/24       -> 192.0.1.0/24       => tun0x1002@192.1.2.45 comp0x68dd@192.1.2.45"
        " esp0xa7d8251a@192.1.2.45  (0)"
    )
    eroute = sound(line)
    assert [said.protocol for said in eroute.saids] == [4, 108, 50]
    assert (eroute.form, eroute.count, eroute.identities) == (Form.LOOK, 0, None)
    assert format_eroute(eroute) == line


def test_look_row_with_a_line_number() -> None:
    """The number in front is not its packet count."""
    eroute = sound("3 192.0.2.0/24 -> 192.0.1.0/24 => tun0x1@192.1.2.45 esp0x2@192.1.2.45  (17)")
    assert (eroute.form, eroute.count, eroute.identities) == (Form.LOOK, 17, None)
    assert [said.protocol for said in eroute.saids] == [4, 50]


def test_a_said_of_a_group_that_klips_could_not_print() -> None:
    eroute = sound("192.0.2.0/24 -> 192.0.1.0/24 => tun0x1@192.1.2.45 (error)  (17)")
    assert [str(said) for said in eroute.saids] == ["tun0x1@192.1.2.45", "(error)"]
    assert (eroute.count, eroute.identities) == (17, None)


def test_text_behind_the_count_of_a_look_row() -> None:
    line = "192.0.2.0/24 -> 192.0.1.0/24 => %trap (3)  ipsec0->eth1 mtu=16260(1500)->1500"
    eroute, (item,) = read(line)
    assert (item.code, item.severity) == ("ET117", Severity.WARNING)
    assert marked(item, line) == "ipsec0->eth1 mtu=16260(1500)->1500"
    assert eroute is not None
    assert (eroute.count, eroute.defect) == (3, "")


@pytest.mark.parametrize("first", ["%drop", "%drop (0)", "tun0x1@203.0.113.7"])
def test_two_rows_on_one_line_are_both_refused(first: str) -> None:
    head = f"10.0.0.0/8 -> 192.168.1.0/24 => {first} "
    line = f"{head}10.1.0.0/16 -> 192.168.2.0/24 => %trap (1)"
    eroute, (item,) = read(line)
    assert eroute is None
    assert (item.code, item.severity, marked(item, line)) == ("ET101", Severity.ERROR, "->")
    assert item.span is not None
    assert item.span.column > len(head)


@pytest.mark.parametrize(
    ("old", "new", "code", "part"),
    [
        ("10.0.0.0/8", "10.0.0/8", "ET102", "10.0.0/8"),
        ("10.0.0.0/8", "10.0.0.256/8", "ET102", "10.0.0.256/8"),
        ("10.0.0.0/8", "10.0.0.0/33", "ET102", "33"),
        ("10.0.0.0/8", "10.0.0.0/255.0.256.0", "ET102", "255.0.256.0"),
        ("192.168.1.0/24", "192.168.1.0/", "ET102", " "),
        ("192.168.1.0/24", "192.168.1.0", "ET102", "192.168.1.0"),
        ("192.168.1.0/24", "192.168.1.0/24:", "ET105", ""),
        ("192.168.1.0/24", "192.168.1.0/24:65536", "ET105", "65536"),
        ("192.168.1.0/24", "192.168.1.0/24:http", "ET105", "http"),
        ("192.168.1.0/24", "2001:db8::/32", "ET104", "10.0.0.0/8 -> 2001:db8::/32"),
        ("192.168.1.0/24", "", "ET102", "="),
    ],
)
def test_selector_that_cannot_be_read_gives_no_eroute(
    old: str, new: str, code: str, part: str
) -> None:
    line = BASE.replace(old, new)
    eroute, items = read(line)
    assert eroute is None
    assert [item.code for item in items] == [code]
    assert marked(items[0], line) == part
    assert items[0].severity is Severity.ERROR


@pytest.mark.parametrize(
    ("said", "code", "part"),
    [
        ("tun0x1002@203.0.113", "ET103", "tun0x1002@203.0.113"),
        ("tun0x1002@203.0.113.", "ET103", "tun0x1002@203.0.113."),
        ("tun0x1002@", "ET103", "tun0x1002@"),
        ("tun0x1002", "ET103", "tun0x1002"),
        ("tun0x1002@0xCB007107", "ET103", "tun0x1002@0xCB007107"),
        ("tun0x1002@203.0.113.7:", "ET103", "tun0x1002@203.0.113.7:"),
        ("tun0x1002@203.0.113.7>", "ET103", "tun0x1002@203.0.113.7>"),
        ("tun0x1002@203.0.113.7$", "ET103", "tun0x1002@203.0.113.7$"),
        ("tun0x1002@203.0.113.7:256", "ET105", "256"),
        ("%tra", "ET103", "%tra"),
        ("%trap:", "ET103", "%trap:"),
        ("%trap bogus", "ET103", "bogus"),
        ("gre0x1@203.0.113.7", "ET103", "gre0x1@203.0.113.7"),
        ("esp0x***@203.0.113.7", "ET103", "esp0x***@203.0.113.7"),
        ("", "ET106", " "),
    ],
)
def test_said_that_cannot_be_read_keeps_the_selector(said: str, code: str, part: str) -> None:
    line = BASE.replace("tun0x1002@203.0.113.7", said)
    eroute, (item,) = read(line)
    assert (item.code, marked(item, line)) == (code, part)
    assert eroute is not None
    assert eroute.defect == code
    assert eroute.selector.source == parse_prefix("10.0.0.0/8")
    assert eroute.said.protocol == 0


@pytest.mark.parametrize("length", range(len(BASE)))
def test_a_cut_row_is_refused(length: int) -> None:
    """A cut inside the last number is another matter: there the missing line end tells."""
    eroute, items = read(BASE[:length])
    assert eroute is None or eroute.defect
    assert items


def test_every_fault_of_a_row_is_told() -> None:
    _, items = read("99999999999 10.0.0/8 -> 192.168.1.0/33 => %tra")
    assert [item.code for item in items] == ["ET116", "ET102", "ET102"]


# IPv6: what the kernel prints wrong.


@pytest.mark.parametrize(
    ("source", "said", "printed"),
    [
        ("2001:db8::211:22ff:fe33:4455/128", "tun0x1002@2001:db8::1:2", "tun0x1002@2001:db8::1"),
        ("2001:db8:1:0:600::/72", "tun0x1002@2001:db8::1:6", "tun0x1002@2001:db8::1"),
        ("2001:db8:1::/64", "tun0x1002@2001:db8::1:6", "tun0x1002@2001:db8::1:6"),
        ("2001:db8:1:0:1100::/72", "%drop:17", "%drop"),
        ("2001:db8:1:0:ff00::/72", "esp0x1@203.0.113.7:255", "esp0x1@203.0.113.7"),
    ],
)
def test_byte_8_of_the_source_tells_the_suffix(source: str, said: str, printed: str) -> None:
    eroute = sound(f"5 {source} -> 2001:db8:2::/64 => {said}")
    assert str(eroute.said) == printed
    assert eroute.selector.protocol == 0


@pytest.mark.parametrize("said", ["tun0x1002@2001:db8::1", "%drop", "%drop:7", "%drop:06"])
def test_a_suffix_that_is_not_there_shows_an_edited_row(said: str) -> None:
    eroute, (item,) = read(f"5 2001:db8:1:0:600::/72 -> 2001:db8:2::/64 => {said}")
    assert item.code == "ET112"
    assert eroute is not None
    assert eroute.defect == "ET112"


def test_source_port_overwrites_the_end_of_the_mask() -> None:
    eroute = sound("5 [2001:db8::1/12]:80 -> 2001:db8:2::/64 => %drop")
    assert eroute.selector.source == parse_prefix("2001:db8::1/128")
    assert eroute.selector.source_port == 80


@pytest.mark.parametrize(
    "source",
    ["[2001:db8:1:0:600::/7]:80", "[::/]:80", "[2001:db8::/3]:80", "[2001:db8::1/12]:65536"],
)
def test_source_mask_that_is_lost(source: str) -> None:
    line = f"5 {source} -> 2001:db8:2::/64 => %drop"
    eroute, (item,) = read(line)
    assert eroute is None
    assert (item.code, marked(item, line)) == ("ET112", source)


@pytest.mark.parametrize(
    "line",
    [
        "5          [001:db8:1:0:60]::/72 -> x2001:db8:2::/64:80 => tun0x1002@2001:db8::1:6",
        "5          [001:db8:1:0:60]::/72 ->                    => tun0x1002@2001:db8::1:6",
        "5          [001:db8:1:0:11]0::1/128 -> x2001:db8:2::/48:53 => tun0x1002@2001:db8::1:17",
        "5          [2001:db8:1:0:6]0::/7]:1024 -> x2001:db8:2::/64:80 => tun0x1@2001:db8::1:6",
        "5          [001:db8::/64]\udcfe/1 -> \udc802001:db8:2::/64:80 => %drop",
    ],
)
def test_destination_port_damages_both_ends(line: str) -> None:
    eroute, items = read(line)
    assert eroute is None
    assert {item.code for item in items} <= {"ET112", "ET101"}
    assert items


@pytest.mark.parametrize("source", ["2001:db8:1:0:1100::/48", "::1100:0:0:0/0"])
def test_address_bits_outside_the_mask_show_a_mask_that_was_cut(source: str) -> None:
    line = f"5 {source} -> 2001:db8:2::/64 => %drop:17"
    eroute, (item,) = read(line)
    assert eroute is None
    assert (item.code, marked(item, line)) == ("ET112", source)


def test_ipv4_through_an_ipv6_tunnel() -> None:
    clear = sound("5 10.0.0.0/8 -> 192.0.2.0/24 => tun0x1@2001:db8::abcd")
    assert str(clear.said) == "tun0x1@2001:db8::abcd"
    whole = sound("5 10.0.0.0/8 -> 192.0.2.0/24 => tun0x1@1:2:3:4:5:6:7:8:17")
    assert (str(whole.said), whole.selector.protocol) == ("tun0x1@1:2:3:4:5:6:7:8", 17)
    eroute, (item,) = read("5 10.0.0.0/8 -> 192.0.2.0/24 => tun0x1@2001:db8::1:6")
    assert item.code == "ET112"
    assert eroute is not None
    assert eroute.defect == "ET112"


def test_unknown_protocol_is_kept_as_it_was_printed() -> None:
    eroute = sound("5 10.0.0.0/8 -> 192.0.2.0/24 => unk770x100@1.2.3.4:6")
    assert (eroute.said.unknown, eroute.selector.protocol) == ("unk770x100@1.2.3.4", 6)
    assert sound("5 10.0.0.0/8 -> 192.0.2.0/24 =>  (error)").said.unknown == "(error)"
    assert sound("5 10.0.0.0/8 -> 192.0.2.0/24 => %unk-262").said.spi == 262
