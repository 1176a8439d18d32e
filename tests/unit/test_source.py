"""Everything that a text says of its hosts; folders and archives of texts."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from eroute_translate.cli import main
from eroute_translate.diagnostics import Collector, Diagnostic, Severity
from eroute_translate.klips import tree
from eroute_translate.klips.assembly import host_of_readings
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.reading import Reading
from eroute_translate.klips.source import read_source
from eroute_translate.klips.tree import read_archive, read_tree
from eroute_translate.net import format_address
from tests.unit.klips_text import row

P, M = "198.51.100.9", "203.0.113.7"
EROUTE = row("10.1.0.0/24", "10.2.0.0/24", f"tun0x1002@{P}")
OTHER = row("10.1.0.0/24", "10.3.0.0/24", "%drop")
SPI = (
    f"tun0x1002@{P} IPIP: dir=out src={M} life(c,s,h)= refcount=4 ref=9\n"
    f"esp0x7@{P} ESP_3DES_HMAC_MD5: dir=out src={M} iv_bits=64bits iv=0x1c8de0a5c5b3e9d2"
    " ooowin=64 alen=128 aklen=128 eklen=192 life(c,s,h)= refcount=4 ref=10\n"
)
GROUP = f"tun0x1002@{P} esp0x7@{P} \n"
TNCFG = "ipsec0 -> eth1 mtu=16260(1443) -> 1500\n"
ROUTES = "10.2.0.0/24 dev ipsec0  scope link\ndefault via 203.0.113.1 dev eth1\n"
VERSION = "Openswan version: 2.4.9\n"


def read(text: str | bytes) -> tuple[list[Reading], list[Diagnostic]]:
    data = text if isinstance(text, bytes) else text.encode()
    collector = Collector()
    return read_source(data, "capture", collector), collector.items


def host(text: str, chosen: int | None = None, name: str | None = None) -> KlipsHost:
    return host_of_readings(read(text)[0], chosen, Collector(), host=name)


def saids(found: KlipsHost) -> list[str]:
    return [" ".join(map(str, eroute.saids)) for eroute in found.eroutes]


@pytest.mark.parametrize("text", [EROUTE + SPI + GROUP + TNCFG + ROUTES + VERSION,
                                  VERSION + ROUTES + TNCFG + GROUP + SPI + EROUTE])  # fmt: skip
def test_tables_without_any_heading(text: str) -> None:
    (reading,), items = read(text)
    assert items == []
    assert reading.accounted == {
        "eroute": 1,
        "spi": 2,
        "spigrp": 1,
        "tncfg": 1,
        "route": 2,
        "version": 1,
    }
    assert reading.version == VERSION.strip()
    found = host(text)
    assert saids(found) == [f"tun0x1002@{P} esp0x7@{P}"]
    assert [format_address(*a) for a in found.local_addresses] == [M]
    assert [str(p) for p in found.routed or ()] == ["10.2.0.0/24"]
    assert found.source_of(found.eroutes[0].said) == (4, 0xCB007107)


def test_an_eroute_keeps_what_no_group_tells() -> None:
    assert saids(host(EROUTE + SPI)) == [f"tun0x1002@{P}"]
    assert host(EROUTE).routed is None
    assert host(EROUTE).local_addresses == ()
    # The head alone names a group: an SA in the middle of one is something else.
    assert saids(host(row("10.0.0.0/8", "10.2.0.0/24", f"esp0x7@{P}") + GROUP)) == [f"esp0x7@{P}"]


def test_addresses_below_ipsec0_come_first() -> None:
    blocks = (
        "2: eth0: <UP> mtu 1500\n    inet 10.1.0.1/24 scope global eth0\n"
        "3: eth1: <UP> mtu 1500\n    inet 203.0.113.8/24 scope global eth1\n"
        "    inet6 fe80::1/64 scope link\n"
    )
    assert host(EROUTE + SPI + TNCFG + blocks).local_addresses == ((4, 0xCB007108),)
    copied = blocks.replace("eth1", "ipsec0")
    assert host(EROUTE + SPI + copied).local_addresses == ((4, 0xCB007108),)
    assert host(EROUTE + SPI + blocks).local_addresses == ((4, 0xCB007107),)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ("10.2.0.0/24 dev eth0\n10.2.0.0/24 dev ipsec0\n", []),
        ("10.2.0.0/24 dev ipsec0\n10.2.0.0/24 dev eth0\n", ["10.2.0.0/24"]),
        ("10.2.0.0/24 dev eth0 metric 5\n10.2.0.0/24 dev ipsec0 metric 1\n", ["10.2.0.0/24"]),
        ("default dev ipsec0  table 50\ndefault via 203.0.113.1 dev eth0\n", []),
        ("default dev mast0\n", []),
    ],
)
def test_which_destinations_are_routed_into_ipsec(routes: str, expected: list[str]) -> None:
    routed = host(EROUTE + routes).routed
    assert routed is not None
    assert [str(p) for p in routed] == expected


def test_of_a_table_printed_twice_the_last_holds() -> None:
    before = "gw:~# ip route\n10.2.0.0/24 dev ipsec0\n10.9.0.0/16 dev eth0\n"
    after = "gw:~# ip route\n10.3.0.0/24 dev ipsec0\n"
    some = "gw:~# ip route | grep 10.4\n10.4.0.0/24 dev ipsec0\n10.3.0.0/24 dev ipsec0\n"
    found = host(EROUTE + before + after + some)
    assert [str(r.destination) for r in found.routes] == ["10.3.0.0/24", "10.4.0.0/24"]
    assert found.accounted["route"] == 5


def test_next_hops_and_clones() -> None:
    text = (
        "10.2.0.0/24 proto static\n        nexthop via 203.0.113.1 dev ipsec0 weight 1\n"
        "        nexthop via 203.0.113.2 dev ipsec1 weight 1\n"
        "2001:db8::9 via 2001:db8::1 dev ipsec0  metric 0\n    cache\n"
    )
    (reading,), items = read(text)
    assert items == []
    assert [(str(r.destination), r.device) for r in reading.routes] == [
        ("10.2.0.0/24", "ipsec0"),
        ("10.2.0.0/24", "ipsec1"),
    ]
    (reading,), items = read("10.2.0.0/24 proto static\n10.3.0.0/24 dev eth0\n")
    assert [(i.code, i.span.line if i.span else 0) for i in items] == [("ET140", 1)]
    assert (reading.accounted, reading.refused) == ({"route": 1}, {"route": 1})


def test_tables_of_one_host_have_a_reading_each() -> None:
    text = f"gw:~# ipsec eroute\n{OTHER}{GROUP}gw:~# ipsec eroute\n{EROUTE}{SPI}"
    readings, _ = read(text)
    assert [(r.host, r.accounted) for r in readings] == [
        ("gw", {"eroute": 1, "spigrp": 1}),
        ("gw", {"eroute": 1, "spi": 2}),
    ]
    found = host(text)
    assert saids(found) == [f"tun0x1002@{P} esp0x7@{P}"]
    assert len(found.unread) == 1
    assert saids(host(text, 1)) == ["%drop"]


def test_hosts_without_a_name_are_kept_apart() -> None:
    mark = "+ " + "_" * 25
    text = f"{mark} /proc/net/ipsec_eroute\n{EROUTE}{mark} /proc/net/ipsec_eroute\n{OTHER}"
    assert [r.host for r in read(text)[0]] == ["", "capture#2"]
    found = host(text, name="capture#2")
    assert (saids(found), found.unread) == (["%drop"], ())
    found = host(text, 1)
    assert (saids(found), found.unread) == ([f"tun0x1002@{P}"], ())
    assert [row.line for row in host(text).unread] == [2]


def test_a_prompt_of_another_host_ends_a_table() -> None:
    text = f"east:~# sh tables\n{EROUTE}west:~# sh tables\n{EROUTE}"
    readings, items = read(text)
    assert [(r.host, r.accounted) for r in readings] == [
        ("east", {"eroute": 1}),
        ("west", {"eroute": 1}),
    ]
    assert not items


def test_files_without_a_name_belong_to_the_one_host_that_has_one() -> None:
    readings = [*read(GROUP)[0], *read(f"gw:~# ipsec eroute\n{EROUTE}")[0], *read(TNCFG)[0]]
    collector = Collector()
    found = host_of_readings(readings, None, collector)
    assert collector.items == []
    assert (found.name, len(found.groups), len(found.attachments)) == ("gw", 1, 1)


def test_the_kernel_line_tells_the_version() -> None:
    banner = "Linux Openswan U2.4.9/K2.4.8 (klips)\n"
    assert host(VERSION + banner).version == host(banner + VERSION).version == VERSION.strip()


@pytest.mark.parametrize("line", [TNCFG, "ipsec0->eth1 mtu=16260(1443)->1500\n", SPI])
def test_a_lone_subnet_above_an_arrow_of_another_table_is_no_row(line: str) -> None:
    """Policy groups are lists of subnets."""
    (reading,), items = read(f"10.0.0.0/8\n{line}")
    assert reading.listing is None
    assert [(i.code, i.span.line if i.span else 0) for i in items] == [("ET114", 1)]


def test_sysctls() -> None:
    text = (
        "==> /proc/sys/net/ipsec/tos <==\n1\n\n==> /proc/sys/net/ipsec/icmp <==\n0\n"
        "net.ipsec.inbound_policy_check = 1\n"
    )
    found = host(text)
    assert found.parameters == {"tos": "1", "icmp": "0", "inbound_policy_check": "1"}
    assert read("tos:1\n17\n")[0] == []


@pytest.mark.parametrize(
    "line",
    [
        ': PSK "not for you"',
        "espenckey=0x0123456789abcdef0123456789abcdef",
        "leftrsasigkey=0sAQNxbOBmDqiNrUmn5q4kzBQ6I6pW",
    ],
)
def test_secrets_are_not_quoted(line: str) -> None:
    _, (item,) = read(f"{line}\n")
    assert (item.code, item.excerpt) == ("ET114", "")
    heading = "+ " + "_" * 25 + " ipsec/secrets\n"
    _, (item,) = read(f"{heading}anything\n")
    assert item.excerpt == ""


def test_rows_quoted_in_logs_and_configuration_do_not_hold() -> None:
    mark = "+ " + "_" * 25
    for section in ("plog", "ipsec/secrets", "ipsec/policies/private"):
        readings, (item,) = read(f"{mark} {section}\n{ROUTES}{TNCFG}")
        assert (readings, item.code) == ([], "ET114")
        assert item.message.startswith("3 lines")
    (reading,), items = read(f"{mark} ipsec/conf\n{ROUTES}{TNCFG}")
    assert (reading.listing, reading.routes, reading.attachments, items) == (None, [], [], [])


# -- folders and archives


FILES = {
    "proc/net/ipsec_eroute": EROUTE,
    "proc/net/ipsec_spi": SPI,
    "proc/net/ipsec_spigrp": GROUP,
    "proc/net/ipsec_tncfg": TNCFG,
    "proc/net/ipsec_version": VERSION,
    "proc/sys/net/ipsec/tos": "1\n",
    "proc/net/dev": "not read\n",
    "ip-route.txt": ROUTES,
}
HIERARCHY = {
    "ipsec/eroute/all": EROUTE,
    "ipsec/spi/all": SPI,
    "ipsec/spigrp/all": GROUP,
    "ipsec/tncfg": TNCFG,
    "ipsec/version": VERSION,
    "ipsec_eroute": EROUTE,
}


def folder(path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def archive(files: dict[str, str], mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo("proc/net/ipsec_tncfg")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    return stream.getvalue()


def joined(readings: list[Reading], name: str | None = None) -> KlipsHost:
    return host_of_readings(readings, None, Collector(), host=name)


@pytest.mark.parametrize("files", [FILES, HIERARCHY])
@pytest.mark.parametrize("form", ["folder", "tar", "tar.gz"])
def test_a_tree(files: dict[str, str], form: str, tmp_path: Path) -> None:
    path = tmp_path / "tree"
    if form == "folder":
        path.mkdir()
        folder(path, files)
    else:
        path.write_bytes(archive(files, "w:gz" if form == "tar.gz" else "w"))
    collector = Collector()
    readings = read_tree(path, collector)
    found = joined(readings)
    assert saids(found) == [f"tun0x1002@{P} esp0x7@{P}"]
    assert found.rows == 1
    assert len(found.attachments) == 1
    assert found.version == VERSION.strip()
    if files is FILES:
        assert found.parameters == {"tos": "1"}
        assert len(found.routes) == 2
        assert [i.code for i in collector.items] == ["ET145"]
        assert collector.items[0].message.startswith("one file")
    else:
        assert collector.items == []


def test_folders_above_are_hosts(tmp_path: Path) -> None:
    for name, text in (("gw1", EROUTE), ("gw2", OTHER)):
        folder(tmp_path / name, {"proc/net/ipsec_eroute": text, "proc/net/ipsec_spigrp": GROUP})
    readings = read_tree(tmp_path, Collector())
    assert sorted({r.host for r in readings}) == ["gw1", "gw2"]
    assert saids(joined(readings, "gw1")) == [f"tun0x1002@{P} esp0x7@{P}"]
    assert saids(joined(readings, "gw2")) == ["%drop"]


def test_links_are_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text(EROUTE)
    inside = tmp_path / "tree"
    inside.mkdir()
    (inside / "ipsec_eroute").symlink_to(target)
    os.mkfifo(inside / "ipsec_spi")
    collector = Collector()
    assert read_tree(inside, collector) == []
    assert [i.code for i in collector.items] == ["ET108"]


def test_damaged_archives() -> None:
    whole = archive(FILES, "w:gz")
    collector = Collector()
    assert read_archive(io.BytesIO(whole[: len(whole) // 2]), "a.tgz", collector) == []
    assert [(i.code, i.severity) for i in collector.items] == [("ET144", Severity.ERROR)]
    plain = archive(FILES)
    collector = Collector()
    readings = read_archive(io.BytesIO(plain[:1100]), "a.tar", collector)
    assert len(joined(readings).eroutes) <= 1
    assert collector.items


def test_an_archive_that_is_cut_anywhere() -> None:
    whole = archive(FILES)
    for length in range(600, 8000, 300):
        collector = Collector()
        read_archive(io.BytesIO(whole[:length]), "a.tar", collector)
        assert "ET144" in {i.code for i in collector.items}, length


def test_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    big = gzip.compress(b"\0" * 100_000)
    monkeypatch.setattr(tree, "TOTAL_LIMIT", 50_000)
    collector = Collector()
    assert read_archive(io.BytesIO(big), "a.tgz", collector) == []
    assert [i.code for i in collector.items] == ["ET144"]
    folder(tmp_path, FILES)
    monkeypatch.setattr(tree, "FILE_LIMIT", 100)
    collector = Collector()
    readings = read_tree(tmp_path, collector)
    assert "spi" not in joined(readings).accounted
    assert [i.code for i in collector.items if i.severity is Severity.ERROR] == ["ET144"]
    monkeypatch.setattr(tree, "FILES_LIMIT", 2)
    collector = Collector()
    read_tree(tmp_path, collector)
    assert "more than 2 files" in collector.items[0].message


def test_the_command_line_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "tree", HIERARCHY)
    (tmp_path / "a.tgz").write_bytes(archive(HIERARCHY, "w:gz"))
    (tmp_path / "table.gz").write_bytes(gzip.compress(EROUTE.encode()))
    for name in ("tree", "a.tgz", "table.gz"):
        assert main(["check", str(tmp_path / name)]) == 0
        assert "1 entry" in capsys.readouterr().out


def test_two_looks_of_one_host_are_two_tables() -> None:
    """The second one is no repeat of the kernel's in the first."""
    collector = Collector()
    look = (
        "west Fri Jan 13 08:00:00 UTC 2017\n"
        "10.1.0.0/24        -> 10.2.0.0/24        => tun0x1002@192.0.2.9 esp0xf281@192.0.2.9  (4)\n"
        "ipsec0->eth1 mtu=16260(1500)->1500\nROUTING TABLES\ndefault via 192.0.2.1 dev eth1\n"
    )
    readings = read_source((look + look).encode(), "capture", collector)
    host = host_of_readings(readings, None, collector)
    assert len(host.eroutes) == 1
    assert [item.code for item in collector.items] == ["ET111"]
