"""Margins of pasted text: numbers, stamps of syslog, quote marks, indentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from eroute_translate.diagnostics import Collector
from eroute_translate.klips.host import KlipsHost, host_of_readings
from eroute_translate.klips.margin import without_margin, without_numbering
from eroute_translate.klips.source import read_source

HOSTS = Path(__file__).parents[1] / "golden" / "hosts"


@pytest.mark.parametrize(
    "margin",
    [
        "Nov  3 10:00:00 gw collector[12]: ",
        "Nov  3 10:00:00 gw ",
        "Nov 13 10:00:00 ",
        "2008-11-03T10:00:00.123456Z gw barf: ",
        "2008-11-03T10:00:00+01:00 gw ",
        "2008-11-03 10:00:00,123 ",
        "> ",
        "> > ",
        "| ",
        "    ",
    ],
)
def test_margins(margin: str) -> None:
    lines = ["gw Mon Nov  3 10:00:00 UTC 2008", "", "+ cat /proc/net/ipsec_spi", "eth0   Link"]
    assert without_margin([margin + line for line in lines]) == lines


@pytest.mark.parametrize(
    "lines",
    [
        [" (error) ESP: dir=in", " (error) ESP: dir=out"],
        ["conn a", "    left=1.2.3.4", "    right=1.2.3.5"],
        ["Nov  3 10:00:00 gw pluto[1]: hello", "0 10.0.0.0/8 -> 10.1.0.0/16 => %pass"],
        ["0:\tfrom all lookup local", "32766:\tfrom all lookup main"],
        ["eth0: up", "eth1: up"],
        ["> only one line"],
        [],
    ],
)
def test_what_is_no_margin_stays(lines: list[str]) -> None:
    assert without_margin(lines) == lines
    assert without_numbering(lines) == lines


def test_numbers_of_lines_and_counts_of_packets() -> None:
    text = ["gw Mon Nov  3", "0 10.0.0.0/8 -> 10.1.0.0/16 => %pass", "", "ROUTING TABLES"]
    for form in ("{:6d}\t{}", "{:7d} {}", "{}: {}", "{}:{}"):
        numbered = [form.format(9 + at, line) for at, line in enumerate(text)]
        assert [line.strip() for line in without_numbering(numbered)] == text
    counted = [f"{n}          10.{n}.0.0/16 -> 10.9.0.0/16 => %pass" for n in range(1, 4)]
    assert without_numbering(counted) == counted
    jumping = ["1 a", "2 b", "4 c"]
    assert without_numbering(jumping) == jumping


def read(data: bytes) -> KlipsHost:
    collector = Collector()
    return host_of_readings(read_source(data, "capture", collector), None, collector)


def facts(host: KlipsHost) -> list[object]:
    parts = (host.eroutes, host.associations, host.groups, host.routes, host.rules, host.addresses)
    return [len(part) for part in parts] + [host.parameters, host.name, host.version]


@pytest.mark.parametrize("path", sorted(HOSTS.glob("*_*.txt")), ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "margin", ["{0:6d}\t{1}", "Nov  3 10:00:00 log tee[7]: {1}", "> {1}", "      {1}"]
)
def test_a_capture_reads_the_same_with_a_margin(path: Path, margin: str) -> None:
    data = path.read_bytes()
    lines = data.decode().split("\n")
    changed = "\n".join(margin.format(at, line) for at, line in enumerate(lines, 1))
    assert facts(read(changed.encode())) == facts(read(data))
