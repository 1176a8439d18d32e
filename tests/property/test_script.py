"""Scripts and configurations of any kind: never an exception, and never a key in a message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eroute_translate.diagnostics import Collector
from eroute_translate.klips.conf import looks_like_conf, read_conf
from eroute_translate.klips.configuration import reading_of_configuration
from eroute_translate.klips.policy_groups import read_policy_group
from eroute_translate.klips.script import read_script
from eroute_translate.klips.script_text import looks_like_script
from eroute_translate.net import parse_address

SECRET = "deadbeefcafef00d" * 3
PIECES = st.sampled_from(
    [
        "ipsec", "eroute", "spi", "spigrp", "tncfg", "klipsdebug", "--add", "--del", "--clear",
        "--replace", "--addin", "--eraf", "inet", "inet6", "--src", "--dst", "10.0.0.0/8", "::/0",
        "--said", "%pass", "tun0x1002@10.0.0.1", "esp0x1003@10.0.0.1", "--esp", "3des-md5-96",
        "--enckey", f"0x{SECRET}", "--authkey", "0x" + SECRET[:32], "--natt", "nonesp", "--life",
        "soft-bytes=1", "--ip4", "--attach", "--virtual", "ipsec0", "--physical", "eth0", "$X",
        "X=1", "$(date)", "`", "'", '"', "\\", ";", "&&", "||", "|", "&", "(", ")", "{", "}", "if",
        "then", "else", "fi", "for", "in", "do", "done", "case", "esac", "while", "f()", "f", "[",
        "]", "-n", "=", "exit", "return", "set", "--", "shift", "ip", "route", "add", "dev",
        "default", "via", "ifconfig", "netmask", "\n", "\t", " ", "#", "<<E", "E", "!",
    ]
)  # fmt: skip
SETTINGS = st.sampled_from(
    [
        "conn a", "conn %default", "conn b", "config setup", "version 2", "include x", "\tleft=",
        "\tright=", "192.0.2.1", "%any", "%defaultroute", "%group", "10.0.0.0/8", "\tleftsubnet=",
        "\talso=a", "\talso=b", "\tauto=start", "\tspi=0x100", "\tspibase=0x200", "\tesp=3des",
        f"\tespenckey=0x{SECRET}", f"\tespauthkey 0x{SECRET}", "\tleftprotoport=6/25",
        "\ttype=transport", "\ttype=drop", "\tinterfaces=", "ipsec0=eth0", "\n", "\n", "\n", " ",
        "#", '"', "{", "}",
        "\tcompress=yes", "=", "\x00", "\u2028",
    ]
)  # fmt: skip


def shown(collector: Collector) -> str:
    return "".join(
        item.message + item.excerpt + item.hint + item.expected for item in collector.items
    )


@given(st.lists(PIECES, max_size=60).map(" ".join))
def test_scripts(text: str) -> None:
    collector = Collector()
    looks_like_script(text)
    reading = read_script(text.encode(), "script", collector)
    assert SECRET not in shown(collector)
    assert SECRET not in repr(reading.associations)
    if reading.listing is not None:
        for place in reading.listing.unread:
            assert place.file == "script"


@given(st.binary(max_size=300))
def test_any_octets_as_a_script(data: bytes) -> None:
    read_script(data, "script", Collector())


@given(st.lists(SETTINGS, max_size=60).map("".join))
def test_configurations(text: str) -> None:
    collector = Collector()
    looks_like_conf(text)
    found = read_conf(text.encode(), "conf", collector, include=lambda _p, _s: [("x", b"conn c\n")])
    reading_of_configuration(found, [parse_address("192.0.2.1")], collector, "conf")
    assert SECRET not in shown(collector)
    assert SECRET not in repr(found)


@given(st.binary(max_size=300))
def test_any_octets_as_a_configuration(data: bytes) -> None:
    read_conf(data, "conf", Collector())
    read_policy_group(data, "clear", Collector())
