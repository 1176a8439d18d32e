"""Reading whole captures: nothing raises, every row is accounted for, sections do not matter."""

from __future__ import annotations

import io
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from eroute_translate.diagnostics import Collector, Severity
from eroute_translate.klips.assembly import host_of_readings
from eroute_translate.klips.reading import Reading
from eroute_translate.klips.source import read_source
from eroute_translate.klips.tree import read_archive

CAPTURES = [
    path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parents[1] / "golden" / "hosts").glob("*.txt"))
]
LINES = [line for text in CAPTURES for line in text.splitlines()]

ROWS = {
    "eroute": "10         10.1.0.0/24        -> 10.2.0.{n}/32        => tun0x1002@198.51.100.9",
    "spi": "tun0x10{n:02x}@198.51.100.9 IPIP: dir=out src=203.0.113.7 life(c,s,h)="
    " refcount=4 ref=9",
    "spigrp": "tun0x10{n:02x}@198.51.100.9 esp0x{n:x}0@198.51.100.9 ",
    "tncfg": "ipsec{n} -> eth{n} mtu=16260(1500) -> 1500",
    "version": "Openswan version: 2.6.{n}",
    "route": "10.{n}.0.0/16 via 203.0.113.1 dev ipsec0  proto static",
    "rule": "{n}: from 10.{n}.0.0/16 lookup 50",
    "address": "{n}: eth{n}    inet 203.0.113.{n}/24 brd 203.0.113.255 scope global eth{n}",
    "parameter": "net.ipsec.tos = {n}",
    "noise": "something else {n}",
}
HEADINGS = [
    "gw:~# ipsec look",
    "gw:~# cat /proc/net/ipsec_spi",
    "gw Tue Mar  4 12:00:00 UTC 2008",
    "ROUTING TABLES",
    "==> /proc/net/ipsec_tncfg <==",
    "+ " + "_" * 25 + " /proc/net/ipsec_spi",
    "gw:~# ip route | grep ipsec",
    "Kernel IP routing table",
]


def read(data: bytes) -> tuple[list[Reading], Collector]:
    collector = Collector()
    return read_source(data, "f", collector), collector


def total(readings: list[Reading], kind: str) -> int:
    return sum(r.accounted.get(kind, 0) + r.refused.get(kind, 0) for r in readings)


ENTRIES = st.tuples(st.sampled_from(sorted(ROWS)), st.integers(1, 99))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(ENTRIES, st.sampled_from(HEADINGS)), max_size=30))
def test_every_row_is_counted_once_whatever_stands_above_it(
    items: list[tuple[str, int] | str],
) -> None:
    lines = [item if isinstance(item, str) else ROWS[item[0]].format(n=item[1]) for item in items]
    readings, collector = read("".join(f"{line}\n" for line in lines).encode())
    for kind in set(ROWS) - {"noise"}:
        expected = sum(1 for item in items if not isinstance(item, str) and item[0] == kind)
        assert total(readings, kind) == expected, kind
    noise = sum(1 for item in items if not isinstance(item, str) and item[0] == "noise")
    notes = [item for item in collector.items if item.code == "ET114"]
    assert len(notes) == bool(noise)
    if noise:
        words = notes[0].message.split()
        assert (1 if words[0] == "one" else int(words[0])) == noise
    refused = sum(sum(r.refused.values()) for r in readings)
    assert bool(refused) <= any(i.severity != Severity.NOTE for i in collector.items)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(CAPTURES))
    start = draw(st.integers(0, len(text)))
    text = text[start : draw(st.integers(start, min(len(text), start + 4000)))]
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(text)))
        end = draw(st.integers(at, min(len(text), at + 20)))
        new = draw(
            st.one_of(st.just(""), st.text(max_size=3), st.sampled_from(LINES), st.just("\n"))
        )
        text = text[:at] + new + text[end:]
    return text


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_mutated_captures_never_raise_and_what_is_refused_is_said(text: str) -> None:
    readings, collector = read(text.encode("utf-8", "surrogatepass"))
    refused = sum(sum(r.refused.values()) for r in readings)
    told = [item for item in collector.items if item.severity is not Severity.NOTE]
    assert refused <= len(told)
    for reading in readings:
        assert len(reading.associations) == reading.accounted.get("spi", 0)
        assert len(reading.groups) == reading.accounted.get("spigrp", 0)
        assert len(reading.attachments) == reading.accounted.get("tncfg", 0)
        assert len(reading.routes) <= reading.accounted.get("route", 0)
        for group in (reading.associations, reading.routes, reading.addresses):
            for entry in group:
                assert 1 <= entry.span.line <= text.count("\n") + text.count("\r") + 1
    host_of_readings(readings, None, collector)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(CAPTURES))
def test_any_octets_may_come_before_and_behind(data: bytes, text: str) -> None:
    read(data)
    read(data + text.encode() + data)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000), st.booleans())
def test_archives_never_raise(data: bytes, packed: bool) -> None:
    head = b"\x1f\x8b" + data if packed else data[:257].ljust(257, b"\0") + b"ustar" + data
    read_archive(io.BytesIO(head), "a.tar", Collector())
