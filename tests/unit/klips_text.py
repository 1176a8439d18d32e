"""Rows as KLIPS prints them, and what the reader makes of a text."""

from __future__ import annotations

from eroute_translate.diagnostics import Collector, Diagnostic
from eroute_translate.klips.eroute import Eroute
from eroute_translate.klips.listing import Listing
from eroute_translate.klips.table import read_listings

PEER = "tun0x1002@203.0.113.7"
LONG_NOISE = "x" * 200
"""A line longer than any row, so that the width of rows tells nothing."""


def row(source: str, destination: str, said: str = PEER, count: int = 10) -> str:
    """One line of /proc/net/ipsec_eroute, with its line end."""
    return f"{count:<10} {source:<18} -> {destination:<18} => {said}\n"


def read(text: str | bytes) -> tuple[list[Listing], list[Diagnostic]]:
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    collector = Collector()
    return read_listings(data, "capture", collector), collector.items


def eroutes(text: str | bytes) -> list[Eroute]:
    return [eroute for listing in read(text)[0] for eroute in listing.eroutes]


def places(items: list[Diagnostic]) -> list[tuple[str, int, int]]:
    """Code, line and column of each diagnostic but the note about other lines."""
    return [
        (item.code, item.span.line, item.span.column)
        for item in items
        if item.span is not None and item.code != "ET114"
    ]


def said_texts(text: str | bytes) -> list[str]:
    """Every SAID that was read as sound."""
    return [str(said) for e in eroutes(text) if not e.defect for said in e.saids]
