"""Every example of ipsec_eroute(5), letter for letter, with its line breaks and blank lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from eroute_translate.cli import main
from eroute_translate.diagnostics import Collector
from eroute_translate.klips.eroute import format_eroute
from eroute_translate.klips.table import read_listings
from tests.golden.reading import HERE, golden, read_json

EXAMPLES = sorted((HERE / "manual").glob("*.txt"))
COMMENT = "       means that packets have been sent to an eroute 0.0.0.0 with a mask of 0 bits.\n"

KERNEL_TEXT = {
    "1_tunnel_v4": "1867       172.31.252.0/24    -> 0.0.0.0/0          => tun0x130@192.168.43.1",
    "2_transport_smtp": "746        192.168.2.110/32   -> 192.168.2.120/32:25"
    " => esp0x130@192.168.2.120:6",
    "3_tunnel_v6": "125        3049:1::/64        -> ::/0               => tun0x130@3058:4::5",
    "4_passthrough": "42         192.168.6.0/24     -> 192.168.7.0/24     => %passthrough4",
    "5_hold": "2112       192.168.8.55/32    -> 192.168.9.47/24    => %hold",
    "6_transport_v4": "2001       192.168.2.110/32   -> 192.168.2.120/32"
    "   => esp0xe6de@192.168.2.120",
    "7_transport_v6": "1984       3049:1::110/128    -> 3049:1::120/128    => ah0xf5ed@3049:1::120",
}


def test_all_seven_examples_are_here() -> None:
    assert [path.stem for path in EXAMPLES] == sorted(KERNEL_TEXT)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_read(path: Path) -> None:
    assert read_json(path.read_bytes()) == golden(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_prints_as_the_kernel_would(path: Path) -> None:
    (listing,) = read_listings(path.read_bytes(), path.name, Collector())
    (eroute,) = listing.eroutes
    assert format_eroute(eroute._replace(identities=None)) == KERNEL_TEXT[path.stem]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_check_takes_the_example(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-q", "--local", "172.31.252.1", str(path)]) == 0
    assert "1 entry: " in capsys.readouterr().out


def test_the_whole_section_of_the_page() -> None:
    page = "".join(f"{path.read_text()}\n{COMMENT}\n" for path in EXAMPLES)
    collector = Collector()
    (listing,) = read_listings(f"EXAMPLES\n{page}".encode(), "page", collector)
    assert [e.count for e in listing.eroutes] == [1867, 746, 125, 42, 2112, 2001, 1984]
    assert not listing.unread
    assert [item.code for item in collector.items] == ["ET114"]
    assert collector.items[0].message.startswith("8 lines")


def test_the_page_with_numbered_lines() -> None:
    """A viewer that numbers the lines that are not blank."""
    lines = "".join(f"{path.read_text()}\n{COMMENT}\n" for path in EXAMPLES).splitlines()
    numbered = "".join(f"{n}{line}\n" if line else f"{n}\n" for n, line in enumerate(lines, 100))
    collector = Collector()
    (listing,) = read_listings(numbered.encode(), "page", collector)
    assert [e.count for e in listing.eroutes] == [1867, 746, 125, 42, 2112, 2001, 1984]
    assert [str(e.said) for e in listing.eroutes][5] == "esp0xe6de@192.168.2.120"
    assert not listing.unread
