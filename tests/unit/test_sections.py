"""Which part of a capture a line stands in, and of which host it speaks."""

from __future__ import annotations

import pytest

from eroute_translate.klips.sections import Kind, Section, Sectioner, kind_of_file

MARK = "_" * 25


def walk(text: str) -> list[tuple[str, Section]]:
    """The lines that are no headings, each with its section."""
    lines = text.splitlines()
    sectioner = Sectioner(lines)
    return [
        (line, sectioner.section)
        for index, line in enumerate(lines)
        if line.strip() and not sectioner.heading(index)
    ]


def kinds(text: str) -> list[tuple[str, str]]:
    return [(line, str(section.kind)) for line, section in walk(text)]


def hosts(text: str) -> list[tuple[str, str, int]]:
    return [(line, section.host, section.place) for line, section in walk(text)]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_barf(slash: str) -> None:
    text = f"""\
gw.example.com
Tue Mar  4 12:00:00 UTC 2008
+ {MARK} version
+ ipsec --version
Linux Openswan 2.4.9 (klips)
+ {MARK} {slash}proc/net/ipsec_eroute
+ test -r {slash}proc/net/ipsec_eroute
+ sort -sg +3 /proc/net/ipsec_eroute
+
row
+ {MARK} netstat-rn
+ netstat -nr
route
+ {MARK} {slash}proc/net/ipsec_spi
spi
+ {MARK} {slash}proc/net/ipsec_spigrp
group
+ {MARK} {slash}proc/net/ipsec_tncfg
tncfg
+ {MARK} {slash}proc/sys/net/ipsec-star
icmp:1
+ {MARK} ip-route-list
route
+ {MARK} ip-rule-list
rule
+ {MARK} ip-addr-list
address
+ {MARK} ipsec/conf
left #comment
+ {MARK} ipsec/secrets
secret
+ {MARK} ipsec/policies/private
10.0.0.0/8
+ {MARK} plog
log
+ {MARK} {slash}proc/net/ipsec_version
version
+ {MARK} date
+ date
Tue Mar  4 12:00:01 UTC 2008
"""
    assert kinds(text) == [
        ("Linux Openswan 2.4.9 (klips)", ""),
        ("row", "eroute"),
        ("route", "route"),
        ("spi", "spi"),
        ("group", "spigrp"),
        ("tncfg", "tncfg"),
        ("icmp:1", "parameter"),
        ("route", "route"),
        ("rule", "rule"),
        ("address", "address"),
        ("left #comment", "configuration"),
        ("secret", "configuration"),
        ("10.0.0.0/8", "configuration"),
        ("log", "log"),
        ("version", "version"),
    ]
    assert {(host, place) for _, host, place in hosts(text)} == {("gw.example.com", 0)}


def test_another_barf_is_another_host() -> None:
    one = f"+ {MARK} version\na\n+ {MARK} /proc/net/ipsec_eroute\nb\n"
    assert hosts(one + one) == [("a", "", 0), ("b", "", 0), ("a", "", 1), ("b", "", 1)]
    head = "east\nTue Mar  4 12:00:00 UTC 2008\n"
    assert hosts(one + head + one)[2:] == [("a", "east", 0), ("b", "east", 0)]
    west = head.replace("east", "west")
    assert [h[1:] for h in hosts(west + one + head + one)] == [
        ("west", 0),
        ("west", 0),
        ("east", 1),
        ("east", 1),
    ]


@pytest.mark.parametrize(
    "date",
    [
        "Tue Mar  4 12:00:00 UTC 2008",
        "Tue 04 Mar 2008 12:00:00 PM CET",
        "Di 4. Mär 12:00:00 CET 2008",
        "Tue, 4 Mar 2008 12:00:00 +0100",
    ],
)
def test_the_head_of_look_names_its_host(date: str) -> None:
    text = f"west {date}\na\nROUTING TABLES\nb\neast {date}\nc\nwest.example.com {date}\nd\n"
    assert hosts(text) == [
        ("a", "west", 0),
        ("b", "west", 0),
        ("c", "east", 1),
        ("d", "west.example.com", 2),
    ]
    assert kinds(text) == [("a", ""), ("b", "route"), ("c", ""), ("d", "")]


def test_a_short_name_is_the_same_host() -> None:
    date = "Tue Mar  4 12:00:00 UTC 2008"
    head = f"root@west:~# ipsec look\nwest.example.com {date}\na\n"
    text = f"{head}[root@west etc]# ipsec eroute\nb\n"
    assert {place for _, _, place in hosts(text)} == {0}


@pytest.mark.parametrize(
    "prompt",
    ["root@west:~# ", "[root@west ~]# ", "west:/etc# ", "west # ", "root@west> ", "west $ "],
)
def test_prompts(prompt: str) -> None:
    text = f"{prompt}ipsec spi\na\n{prompt}\n{prompt.replace('west', 'east')}ipsec tncfg\nb\n"
    assert hosts(text) == [("a", "west", 0), ("b", "east", 1)]
    assert kinds(text) == [("a", "spi"), ("b", "tncfg")]


def test_a_command_on_the_line_behind_its_prompt() -> None:
    assert kinds("west:~#\n ipsec spigrp\na\n") == [("a", "spigrp")]
    assert walk("west #\n ipsec look\nwest NOW\na\n")[0][1].name == "ipsec look"


@pytest.mark.parametrize(
    "line",
    [
        "10         10.0.0.0/8         -> 192.168.1.0/24     => %pass",
        "10.0.0.1 # a comment",
        "# a comment",
        "tun0x1002@203.0.113.7 IPIP: dir=out",
        "192.168.1.0/24 dev ipsec0",
        "Tue Mar  4 12:00:00 UTC 2008",
        "gw.example.com",
        "Linux version 2.4.20 (root@build) #1 Tue Mar 4 12:00:00 UTC 2008",
        "+ not in a barf",
    ],
)
def test_lines_that_are_no_headings(line: str) -> None:
    assert [found for found, _ in walk(line)] == [line]


@pytest.mark.parametrize(
    ("command", "kind", "family", "table", "device", "partial"),
    [
        ("ip route", "route", 4, "main", "", False),
        ("ip ro ls", "route", 4, "main", "", False),
        ("/sbin/ip -6 route show table 50", "route", 6, "50", "", False),
        ("ip route show table all", "route", 4, "main", "", False),
        ("ip r show dev ipsec0", "route", 4, "main", "ipsec0", True),
        ("ip route | grep ipsec", "route", 4, "main", "", True),
        ("netstat -rn", "route", 4, "main", "", False),
        ("sudo route -n", "route", 4, "main", "", False),
        ("ip rule", "rule", 4, "main", "", False),
        ("ip ru ls", "rule", 4, "main", "", False),
        ("ip -o addr", "address", 4, "main", "", False),
        ("ip a", "address", 4, "main", "", False),
        ("ifconfig -a", "address", 4, "main", "", False),
        ("cat /proc/net/ipsec_spi", "spi", 4, "main", "", False),
        ("cat /proc/net/ipsec/eroute/all", "eroute", 4, "main", "", False),
        ("cat /proc/net/ipsec_spi /proc/net/ipsec_tncfg", "", 4, "main", "", False),
        ("ipsec auto --status", "log", 4, "main", "", False),
        ("ipsec tncfg; ipsec spi", "", 4, "main", "", True),
        ("frobnicate", "", 4, "main", "", True),
    ],
)
def test_commands(
    command: str, kind: str, family: int, table: str, device: str, partial: bool
) -> None:
    (_, section), = walk(f"gw:~# {command}\na\n")  # fmt: skip
    assert (section.kind, section.partial) == (kind, partial)
    assert section.routes[:3] == (family, table, device)


def test_what_tail_prints_of_several_files() -> None:
    text = "==> /proc/net/ipsec/spi/all <==\na\n\n==> /proc/net/ipsec_tncfg <==\nb\n"
    assert kinds(text) == [("a", "spi"), ("b", "tncfg")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/proc/net/ipsec_eroute", Kind.EROUTE),
        ("ipsec/spigrp/all", Kind.SPIGRP),
        ("proc/net/ipsec_spi", Kind.SPI),
        ("/proc/sys/net/ipsec/tos", Kind.PARAMETER),
        ("/etc/ipsec.d/policies/private", Kind.CONFIGURATION),
        ("/var/log/secure", Kind.LOG),
        ("/proc/net/dev", Kind.ANY),
    ],
)
def test_kinds_of_files(name: str, kind: Kind) -> None:
    assert kind_of_file(name) is kind
