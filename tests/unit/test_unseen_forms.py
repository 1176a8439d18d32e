"""Forms that people hand in: several files by grep, rows that somebody edited, shared sections."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector, Diagnostic, Severity, render_text
from eroute_translate.klips.assembly import host_of_readings
from eroute_translate.klips.conf import read_conf
from eroute_translate.klips.configuration import reading_of_configuration
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.kind_of_text import TextKind, kind_of_text
from eroute_translate.klips.source import read_source
from eroute_translate.net import parse_address

ROW = "7          10.20.0.0/16       -> 10.30.0.0/16       => tun0x1002@203.0.113.9"


def host(text: str) -> tuple[KlipsHost, list[Diagnostic]]:
    collector = Collector()
    readings = read_source(text.encode(), "t", collector)
    return host_of_readings(readings, None, collector), collector.items


@pytest.mark.parametrize("folder", ["/proc/net/ipsec_{}", "/proc/net/ipsec/{}", "gw/net/ipsec_{}"])
def test_what_grep_prints_of_several_files(folder: str) -> None:
    """``grep . /proc/net/ipsec_*``"""
    eroute = folder.format("eroute/all" if folder.endswith("ipsec/{}") else "eroute")
    group = folder.format("spigrp/all" if folder.endswith("ipsec/{}") else "spigrp")
    text = (
        f"{eroute}:{ROW}\n{group}:tun0x1002@203.0.113.9 esp0x7@203.0.113.9 \n"
        f"{folder.format('tncfg')}:ipsec0 -> eth1 mtu=16260(1500) -> 1500\n"
        "/proc/sys/net/ipsec/tos:1\n"
    )
    found, items = host(text)
    assert [len(e.saids) for e in found.eroutes] == [2]
    assert [a.device for a in found.attachments] == ["ipsec0"]
    assert found.parameters == {"tos": "1"}
    assert items == []


@pytest.mark.parametrize(
    "row",
    [
        "0          10.20.0.0/16        > 10.35.0.0/16       => %drop",
        "0          10.20.0.0/16       - 10.35.0.0/16       => tun0x1002@203.0.113.9",
        "0          10.20.0.0/16       -> 10.35.0.0/16       = %drop",
        "0          10.20.0.0/16          10.35.0.0/16          %drop",
        "0          10.20.0.0/16          10.35.0.0/16:25       %drop:6",
        "0          2001:db8::/48       > 2001:db8:1::/48    => %hold",
    ],
)
def test_a_row_without_an_arrow_is_not_passed_over(row: str) -> None:
    found, (item,) = host(f"{ROW}\n{row}\n")
    assert (item.code, item.severity, item.span and item.span.line) == ("ET101", Severity.ERROR, 2)
    assert len(found.unread) == 1


def test_routes_are_no_such_rows() -> None:
    text = "10.20.0.0/16 10.35.0.0/16\n1 10.0.0.0/8 via 10.1.1.1\n0.0.0.0/0 10.0.0.0/8 eth0\n"
    assert not host(f"{ROW}\n{text}")[0].unread


def conf(text: str) -> tuple[KlipsHost, list[Diagnostic]]:
    collector = Collector()
    found = read_conf(text.encode(), "ipsec.conf", collector)
    local = [parse_address("192.0.2.1")]
    reading = reading_of_configuration(found, local, collector, "ipsec.conf")
    return host_of_readings([reading], None, collector), collector.items


def test_a_section_with_one_side_is_there_to_be_taken_over() -> None:
    text = (
        "conn us\n\tleft=192.0.2.1\n\tauto=start\n"
        "conn a\n\talso=us\n\tright=203.0.113.1\nconn b\n\talso=us\n\tright=203.0.113.2\n"
    )
    found, items = conf(text)
    assert [str(e.selector.destination) for e in found.eroutes] == [
        "203.0.113.1/32",
        "203.0.113.2/32",
    ]
    assert (items, found.unread) == ([], ())


def test_no_oe_is_known_without_its_file() -> None:
    found, items = conf(
        "conn a\n\tleft=192.0.2.1\n\tright=203.0.113.1\n\tauto=start\n"
        "include /etc/ipsec.d/examples/no_oe.conf\n"
    )
    assert [(i.code, i.severity) for i in items] == [("ET163", Severity.WARNING)]
    assert len(found.eroutes) == 1
    assert (
        "clear" in {c.name for c in found.configuration.connections} if found.configuration else 0
    )


def test_a_caret_stands_below_what_it_means() -> None:
    _, (item,) = conf("conn a\n    left=gw.example.net\n    right=203.0.113.1\n    auto=start\n")
    _, _, line, mark, *_ = render_text(item).splitlines()
    assert mark.index("^") == line.index("left=")
    assert mark.count("^") == len("left=gw.example.net")


@pytest.mark.parametrize(
    ("setting", "severity", "hint"),
    [
        ("rightsubent=10.0.0.0/8", "warning", "rightsubnet was meant?"),
        ("mobike=no", "note", ""),
        ("nm-configured=no", "", ""),
        ("initial_contact=no", "", ""),
    ],
)
def test_settings(setting: str, severity: str, hint: str) -> None:
    text = f"conn a\n\tleft=192.0.2.1\n\tright=203.0.113.1\n\tauto=start\n\t{setting}\n"
    found = [(i.code, str(i.severity), i.hint) for i in conf(text)[1]]
    assert found == ([("ET161", severity, hint)] if severity else [])


BARF = (
    "gw.example.com\nThu Mar  4 10:11:12 CET 2010\n"
    "+ _________________________ /proc/net/ipsec_eroute\n+ sort -sg -k 3 /proc/net/ipsec_eroute\n"
    f"{ROW}\n+ _________________________ plog\n+ cat\n"
)


@pytest.mark.parametrize(
    "logged",
    [
        "Mar  4 10:00:12 gw pluto[311]: | add eroute 10.20.0.0/16:0 --0-> 10.40.0.0/16:0"
        " => tun.1004@203.0.113.9 (raw_eroute)",
        "| replace eroute 10.20.0.0/16 -> 10.40.0.0/16 => %pass",
        "Mar  4 10:00:12 gw kernel: klips_debug: eroute 10.20.0.0/16 -> 10.40.0.0/16 => tun0x1@1.2",
    ],
)
def test_what_pluto_logs_of_eroutes_is_no_table(logged: str) -> None:
    for text in (f"{BARF}{logged}\n", f"{ROW}\n{logged}\n"):
        found, items = host(text)
        assert ([str(e.selector.destination) for e in found.eroutes], found.unread) == (
            ["10.30.0.0/16"],
            (),
        )
        assert [item.code for item in items] == ["ET114"]


def test_the_last_print_of_a_log_of_prints_is_the_table() -> None:
    """``while sleep 60; do date; cat /proc/net/ipsec_eroute; done``"""
    gone = "0          10.20.0.0/16       -> 10.20.0.0/16       => %pass"
    date = "Thu Mar  4 10:1{}:12 CET 2010"
    found, items = host(f"{date.format(1)}\n{gone}\n{ROW}\n{date.format(2)}\n{ROW}\n")
    assert [str(e.said) for e in found.eroutes] == ["tun0x1002@203.0.113.9"]
    assert "ET111" in {item.code for item in items if item.severity is Severity.ERROR}


@pytest.mark.parametrize("prompt", ["# ", "$ ", "gw# ", "root@gw:~# "])
def test_a_configuration_on_a_console_is_followed_by_other_commands(prompt: str) -> None:
    text = (
        f"{prompt}cat /etc/ipsec.conf\nconn a\n\tleft=192.0.2.1\n\tright=203.0.113.1\n"
        f"{prompt}ifconfig\neth0      Link encap:Ethernet\n"
    )
    assert kind_of_text(text.encode()) is TextKind.CAPTURE


def test_a_quoted_barf_below_words_of_its_sender() -> None:
    text = "Here is my barf:\n" + "".join(f"> {line}\n" for line in BARF.splitlines())
    found, items = host(text + "> + date\nThanks!\n")
    assert (len(found.eroutes), found.unread, [i.code for i in items]) == (1, (), ["ET114"])


@pytest.mark.parametrize("prompt", ["[root@gw root]# ", "root@gw:~# ", "# "])
def test_a_change_behind_the_last_print_is_not_passed_over(prompt: str) -> None:
    add = f"{prompt}ipsec eroute --add --eraf inet --src 10.1.0.0/16 --dst 10.3.0.0/16 --said %drop"
    show = f"{prompt}ipsec eroute\n{ROW}"
    found, items = host(f"{show}\n{add}\n{prompt}exit\n")
    (item,) = [item for item in items if item.code != "ET114"]
    assert (item.code, item.severity, item.span and item.span.line) == ("ET154", Severity.ERROR, 3)
    assert (len(found.eroutes), len(found.unread)) == (1, 1)
    assert host(f"{add}\n{show}\n")[1] == []
    assert not [item for item in host(f"{show}\n{add}\n{show}\n")[1] if item.code == "ET154"]


@pytest.mark.parametrize("apart", [" ", "\n      "])
def test_identities_with_blanks(apart: str) -> None:
    names = (
        "(@gw.example.net) (C=DE, O=Some (old) firm, CN=gw)" if apart == " " else "() (C=DE, O=x)"
    )
    text = f"0   10.20.0.0/16:0 -> 10.30.0.0/16:0 => tun0x130@203.0.113.7:0{apart}{names}\n"
    found, items = host(text)
    assert (len(found.eroutes), found.unread, items) == (1, (), [])
