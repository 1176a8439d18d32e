"""The one table of a host, taken from the tables of the input; nothing is lost without a word."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector, Diagnostic, Severity
from eroute_translate.klips.assembly import host_of_listings
from eroute_translate.klips.host import KlipsHost
from tests.unit.klips_text import read, row

HEADING = "root@gw:~# ipsec eroute\n"
A = row("10.0.0.0/8", "192.168.1.0/24")
B = row("10.1.0.0/16", "192.168.2.0/24", "%drop")
C = row("10.2.0.0/16", "192.168.3.0/24", "%trap")
BAD = row("10.3.0.0/36", "192.168.3.0/24", "%trap")


def host(text: str, chosen: int | None = None) -> tuple[KlipsHost, list[Diagnostic]]:
    collector = Collector()
    return host_of_listings(read(text)[0], chosen, collector), collector.items


def sources(found: KlipsHost) -> list[str]:
    return [str(e.selector.source) for e in found.eroutes]


def test_no_table() -> None:
    found, items = host("nothing\n")
    assert (found.rows, items) == (0, [])


def test_one_table() -> None:
    found, items = host(HEADING + A + BAD + B)
    assert sources(found) == ["10.0.0.0/8", "10.1.0.0/16"]
    assert [u.line for u in found.unread] == [3]
    assert (found.rows, found.in_kernel_order, items) == (3, True, [])


@pytest.mark.parametrize("first", [A + B, A, B, A.replace("113.7", "113.99")])
def test_the_last_table_counts_when_it_has_all_selectors(first: str) -> None:
    found, (item,) = host(HEADING + first + HEADING + A + B)
    assert sources(found) == ["10.0.0.0/8", "10.1.0.0/16"]
    assert str(found.eroutes[0].said) == "tun0x1002@203.0.113.7"
    assert found.unread == ()
    assert (item.code, item.severity) == ("ET111", Severity.NOTE)
    assert "table 2 is translated" in item.message
    assert "--table" in item.hint


@pytest.mark.parametrize(("first", "lost"), [(C, [2]), (A + C, [3]), (A + BAD, [3]), (B + C, [3])])
def test_rows_of_an_earlier_table_alone_are_refused(first: str, lost: list[int]) -> None:
    found, (item,) = host(HEADING + first + HEADING + A + B)
    assert [u.line for u in found.unread] == lost
    assert found.rows == 3
    assert (item.code, item.severity) == ("ET111", Severity.ERROR)
    assert "one row stands only in another one: refused" in item.message
    assert len(lost) == 1
    assert [(str(span), text) for span, text in item.related] == [
        ("capture:2", f"table 1 with {first.count('->')} rows")
    ]


def test_a_table_is_chosen() -> None:
    found, (item,) = host(HEADING + A + HEADING + B + HEADING + C, 2)
    assert sources(found) == ["10.1.0.0/16"]
    assert found.rows == 1
    assert (item.code, item.severity, item.hint) == ("ET111", Severity.NOTE, "")


@pytest.mark.parametrize("chosen", [0, 3, -1])
def test_a_table_that_is_not_there(chosen: int) -> None:
    found, (item,) = host(HEADING + A + HEADING + B, chosen)
    assert found.rows == 0
    assert (item.code, item.severity) == ("ET111", Severity.ERROR)
    assert item.hint == "--table takes 1 to 2"


def test_repeats_are_entries() -> None:
    found, _ = host(A + B + A + B)
    assert (len(found.eroutes), len(found.repeats), found.rows) == (2, 2, 4)
