"""What people paste: terminal control, mails, numbered lines, broken lines, other encodings."""

from __future__ import annotations

import time

import pytest

from eroute_translate.diagnostics import Collector
from eroute_translate.klips.capture import LINE_LIMIT, LOST, clean_lines
from tests.unit.klips_text import LONG_NOISE, eroutes, places, read, row, said_texts

ROW = row("10.0.0.0/8", "192.168.1.0/24")
OTHER = row("10.1.0.0/16", "192.168.2.0/24", "esp0x1@203.0.113.88:17")


def clean(data: str | bytes) -> list[str]:
    collector = Collector()
    lines = clean_lines(data.encode() if isinstance(data, str) else data, "f", collector)
    assert collector.items == []
    return lines


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("colour \x1b[01;31m\x1b[Kred\x1b[m\x1b[K end", "colour red end"),
        ("\x1b]0;title\x07text\x1b(B\x1b[?2004h", "text"),
        ("\x1b]0;title\x1b\\text", "text"),
        ("l\bls\bs", "ls"),
        ("abc\b\b\bX", "Xbc"),
        ("abcx\b \b", "abc "),
        ("abcx\b\x1b[K", "abc"),
        ("progress 100%\rab", "abogress 100%"),
        ("progress 100%\r\x1b[Kab", "ab"),
        ("progress 100%\r\x1b[2Kab", "ab           "),
        ("abcdef\x1b[3Dx\x1b[2Cy", "abcxefy"),
        ("abcdef\r\x1b[2Px", "xdef"),
        ("abc\r\x1b[2@x", "x abc"),
        ("abcdef\x1b[3Gx", "abxdef"),
        ("ab\tc\x07", "ab c"),
        ("bell\x07 and \x0e\x0f", "bell and "),
        ("\x1b[H\x1b[2Jcleared", "cleared"),
        ("one\x1b[5;1Htwo", "one\ufffdtwo"),
        ("\0\0padded\r\0", "padded"),
        ("lost\0\0\0here", "lost\ufffdhere"),
        ("\x1b", ""),
        ("\b\b\x1b[D\x1b[1Kx", "x"),
        ("10.0.0.0/8 → x ⇒ y\xa0z\u200b–", "10.0.0.0/8 -> x => y z-"),
    ],
)
def test_what_a_terminal_shows(raw: str, shown: str) -> None:
    assert clean(f"{raw}\n{LONG_NOISE}") == [shown, LONG_NOISE]


@pytest.mark.parametrize("size", ["1", "9999999999", "", "x", "?1;2"])
def test_control_sequences_with_odd_arguments_do_no_harm(size: str) -> None:
    for name in "ABCDEFGHJKPXd@`m":
        (line,) = clean(f"abc\x1b[{size}{name}def")
        assert line.endswith("f")
        assert len(line) <= LINE_LIMIT + 3


@pytest.mark.parametrize(
    "data",
    [
        (ROW + OTHER).replace("\n", "\r\n").encode(),
        (ROW + OTHER).replace("\n", "\r").encode(),
        (ROW.replace("\n", "\r") + OTHER).encode(),
        (ROW + OTHER).encode("utf-8-sig"),
        (ROW + OTHER).encode("utf-16"),
        (ROW + OTHER).encode("utf-16-le"),
        (ROW + OTHER).encode("utf-16-be"),
        b"\xfe\xff" + (ROW + OTHER).encode("utf-16-be"),
        (ROW + OTHER).replace(">", "&gt;").encode(),
        (ROW + OTHER).replace(">", "&#62;").replace("\n", "<br/>\n").encode(),
        f"<html><body><pre>{ROW}{OTHER}</pre></body></html>".replace("> ", "&gt; ").encode(),
        (ROW + OTHER).replace("@", " at ").encode(),
        (ROW + OTHER).replace("->", "→").replace("=>", "⇒").encode(),
        (ROW + OTHER).replace(" ", "\xa0").encode(),
        (ROW + OTHER).replace("=>", "=3D>").replace("203.0.", "203.0=\n.").encode(),
        ("\n\n" + ROW + "\n\n\n" + OTHER + "\n").encode(),
    ],
)
def test_one_table_in_many_dresses(data: bytes) -> None:
    assert said_texts(data) == ["tun0x1002@203.0.113.7", "esp0x1@203.0.113.88"]
    assert [e.selector.protocol for e in eroutes(data)] == [0, 17]
    listings, items = read(data)
    assert len(listings) == 1
    assert all(item.code in ("ET106", "ET114") for item in items)


@pytest.mark.parametrize(
    "margin",
    [
        "Mar  4 10:11:12 gw root[22]: ",
        "<13>Mar  4 10:11:12 gw root: ",
        "<30>1 2010-03-04T10:11:12.003+01:00 gw dump 2231 - - ",
        '<30>1 2010-03-04T10:11:12Z gw.example.net dump - ID47 [a@1 b="c d\\]"][e@2] \xef\xbb\xbf',
        "<30>1 - - - - - - ",
        "[2010-03-04 10:11:12] ",
        "gw01: ",
        "> > ",
    ],
)
def test_what_stands_in_front_of_every_line(margin: str) -> None:
    data = "".join(f"{margin}{line}\n" for line in (ROW + OTHER).splitlines()).encode("latin-1")
    assert said_texts(data) == ["tun0x1002@203.0.113.7", "esp0x1@203.0.113.88"]
    assert read(data)[1] == []


def test_a_tag_never_makes_one_word_of_two() -> None:
    cells = "<td>" + "</td><td>".join(ROW.replace(">", "&gt;").split()) + "</td>\n"
    assert said_texts(cells.encode()) == ["tun0x1002@203.0.113.7"]
    assert clean("a &gt; b&#27;[2Kc&#x0a;d") == [f"a > b{LOST}[2Kc{LOST}d"]


def test_line_numbers_are_taken_off_and_columns_stay() -> None:
    text = f"gw# cat -n x\n     1\t{ROW}     2\t{OTHER}gw# "
    assert said_texts(text) == ["tun0x1002@203.0.113.7", "esp0x1@203.0.113.88"]
    assert [(e.span.line, e.count) for e in eroutes(text)] == [(2, 10), (3, 10)]
    broken = text.replace("10.1.0.0/16", "10.1.0.0/36")
    assert places(read(broken)[1]) == [("ET102", 3, broken.splitlines()[2].index("36") + 1)]


@pytest.mark.parametrize("number", ["1", "2", "77"])
def test_a_packet_count_is_no_line_number(number: str) -> None:
    text = f"{number} 10.0.0.0/8 -> 192.168.1.0/24 => %drop\n12 10.1.0.0/16 -> ::/0 => %drop\n"
    assert clean(text) == text.split("\n")


@pytest.mark.parametrize("width", [80, 132])
def test_rows_broken_at_the_edge_of_a_terminal(width: int) -> None:
    """At every place of the SAID where the edge may have been."""
    for shift in range(30):
        source = "10.0.0.0/8"
        line = f"1{'0' * 9} {source:<18} -> {'192.168.1.0/24':<18} => tun0x1002@203.0.113.117:17"
        line = line.replace(" -> ", " " * (width - len(line) + shift) + " -> ")
        pieces = f"{line[:width]}\n{line[width:]}\n"
        (eroute,) = eroutes(f"{LONG_NOISE}\n{pieces}{OTHER}{LONG_NOISE}\n")[:-1]
        if shift:
            assert str(eroute.said) == "tun0x1002@203.0.113.117", pieces
            assert eroute.selector.protocol == 17


def test_rows_broken_at_a_width_that_the_text_shows() -> None:
    line = row("10.0.0.0/8", "192.168.1.0/24", "tun0x1002@203.0.113.117")
    for width in range(60, len(line) - 1):
        text = f"{line[:width]}\n{line[width:]}{row('10.1.0.0/16', '::/0', '%drop')[:40]}\n"
        first = eroutes(text)[0]
        assert str(first.said) == "tun0x1002@203.0.113.117", text
        assert first.span.line == 1


def test_a_group_broken_between_two_saids_is_whole() -> None:
    text = (
        f"{LONG_NOISE}\n192.0.2.0/24 -> 192.0.1.0/24 => tun0x1002@192.1.2.45 comp0x68dd@192.1.2.45"
        "\nesp0xa7d8251a@192.1.2.45  (0)\n"
    )
    (eroute,) = eroutes(text)
    assert [said.protocol for said in eroute.saids] == [4, 108, 50]
    assert eroute.count == 0


@pytest.mark.parametrize(
    "after", ["logout", "gw login: ", "7 packets", "$", "192.0.2.0/24 dev ipsec0", "tun0x1@203"]
)
def test_what_follows_a_row_is_not_joined_to_it(after: str) -> None:
    line = ROW.replace(" ", "  ", 1).rstrip().replace("=>", "=>" + " " * 3)
    line = line.replace("->", " " * (80 - len(line)) + "->")
    assert len(line) == 80
    assert said_texts(f"{line}\n{after}\n") == ["tun0x1002@203.0.113.7"]


def test_lost_bytes_never_join_two_words() -> None:
    text = ROW.replace("113.7\n", "113.1\0\0\0\n")
    assert said_texts(text) == []
    assert places(read(text)[1]) == [("ET103", 1, ROW.index("tun") + 1)]


def test_two_rows_of_a_screen_on_one_line_are_refused() -> None:
    text = f"{ROW.rstrip()}\x1b[6;1H{OTHER}"
    assert said_texts(text) == []
    assert [code for code, _, _ in places(read(text)[1])] == ["ET101"]


def test_long_lines_are_refused_and_the_rest_is_read() -> None:
    text = f"{ROW}{'1.' * LINE_LIMIT}\n{OTHER}"
    assert len(said_texts(text)) == 2
    assert places(read(text)[1]) == [("ET107", 2, 1)]
    assert said_texts("x" * (LINE_LIMIT - 1) + "\n" + ROW) == ["tun0x1002@203.0.113.7"]


def test_binary_is_said_to_be_binary() -> None:
    data = bytes(range(256)) * 64 + b"\n" + ROW.encode()
    listings, items = read(data)
    assert [str(e.said) for e in listings[0].eroutes] == ["tun0x1002@203.0.113.7"]
    assert items[0].code == "ET109"
    assert "not a text file" in items[0].message


NASTY = {
    "hex digits": "->" + "0" * 16000,
    "blanks": "10 10.0.0.0/8 -> " + " " * 16000,
    "parentheses": "10 10.0.0.0/8 -> 10.0.0.0/8 => " + "(" * 16000,
    "slashes": "->=>" + "1/1 " * 4000,
    "arrows": "=>->" + ".1/1 -> " * 2000,
    "backspaces": "a" * 8000 + "\b" * 8000,
    "escapes": "\x1b[" * 8000,
    "returns": "1\r" * 8000,
    "insertions": "x\r\x1b[9999@" * 1500,
    "heads": "10 1.1.1.1/1 ->" * 1000,
    "digits": "1" * 16000 + "->",
    "words": "10 10.0.0.0/8 -> 10.0.0.0/8 => " + "a " * 8000,
    "counts": "10.0.0.0/8 -> 10.0.0.0/8 => " + "a (1) " * 2600,
}


@pytest.mark.parametrize("name", NASTY)
def test_no_line_takes_long(name: str) -> None:
    text = (NASTY[name] + "\n") * 5
    start = time.perf_counter()
    read(text)
    assert time.perf_counter() - start < 2
