"""Every option of the five manual pages, each with what it does to the host that a script sets up.

The lists of options are those of ipsec_eroute(8), ipsec_spi(8), ipsec_spigrp(8), ipsec_tncfg(8) and
ipsec_klipsdebug(8), with what later versions of the programs added.  An option without a case here
fails, and so does a case whose option the reader does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from eroute_translate.diagnostics import Collector
from eroute_translate.klips import command as eroute_command
from eroute_translate.klips.association import Association
from eroute_translate.klips.eroute import Eroute, format_eroute
from eroute_translate.klips.reading import Reading
from eroute_translate.klips.script import read_script
from eroute_translate.klips.small_commands import DEBUG_FLAGS, KLIPSDEBUG, SPIGRP, TNCFG
from eroute_translate.klips.spi_command import GRAMMAR as SPI

OPTIONS: Final = {
    "eroute": "add addin replace replacein del clear eraf src dst transport-proto src-port dst-port"
    " said af edst spi proto debug label optionsfrom help version",
    "spi": "ah esp comp ip4 ip6 del clear said af edst spi proto authkey enckey iv src dst"
    " replay_window life natt sport dport saref sarefme saref_me sarefhim saref_him outif"
    " dumpsaref listenreply debug label optionsfrom help version",
    "spigrp": "said debug label optionsfrom help version",
    "tncfg": "attach detach clear create delete virtual physical debug label optionsfrom help"
    " version",
    "klipsdebug": "set clear all none debug label optionsfrom help version",
}

KEY, AUTH, AUTH_SHA = "0x" + "0123456789abcdef" * 3, "0x" + "0f" * 16, "0x" + "0e" * 20
KEYS = f"--enckey {KEY} --authkey {AUTH}"
NETS = "--src 10.1.0.0/16 --dst 10.2.0.0/16"
EROUTE = f"ipsec eroute --add --eraf inet {NETS}"
PASS = f"{EROUTE} --said %pass"
ESP = f"ipsec spi --said esp0x1002@10.0.0.1 --src 10.0.0.2 --esp 3des-md5-96 {KEYS}"
TUN = "ipsec spi --said tun0x1002@10.0.0.1 --ip4 --src 10.0.0.2 --dst 10.0.0.1"
GROUP = "ipsec spigrp --said tun0x1002@10.0.0.1 esp0x1002@10.0.0.1"
ATTACH = "ipsec tncfg --attach --virtual ipsec0 --physical eth0"


class Played:
    """What a script made."""

    def __init__(self, text: str) -> None:
        collector = Collector()
        self.reading: Reading = read_script(f"{text}\n".encode(), "script", collector)
        self.codes = [item.code for item in collector.items]
        self.errors = len(collector.errors)

    @property
    def rows(self) -> list[Eroute]:
        return [] if self.reading.listing is None else self.reading.listing.eroutes

    @property
    def unread(self) -> int:
        return 0 if self.reading.listing is None else len(self.reading.listing.unread)

    @property
    def row(self) -> str:
        (eroute,) = self.rows
        return " ".join(format_eroute(eroute).split()[1:])

    @property
    def state(self) -> Association:
        (association,) = self.reading.associations
        return association

    @property
    def attached(self) -> list[tuple[str, str | None]]:
        return [(a.device, a.physical) for a in self.reading.attachments]


Check = Callable[[Played], bool]


def sound(check: Check) -> Check:
    return lambda played: not played.errors and check(played)


def row(text: str) -> Check:
    return sound(lambda played: played.row == text)


def state(check: Callable[[Association], bool]) -> Check:
    return sound(lambda played: check(played.state))


def refused(tool: str) -> Check:
    """The command is refused and counted; what an eroute was meant for is an unread entry."""
    return lambda p: (
        p.errors == 1
        and p.reading.refused == {tool: 1}
        and p.unread == (tool == "eroute")
        and not p.rows
    )


PASSED = "10.1.0.0/16 -> 10.2.0.0/16 => %pass"
QUAD = "--af inet --edst 10.0.0.1 --spi 0x1002 --proto esp"
CASES: Final[list[tuple[str, str, str, Check]]] = [
    ("eroute", "add", PASS, row(PASSED)),
    (
        "eroute",
        "addin",
        f"{TUN}\n{ESP}\n{GROUP}\nipsec eroute --addin --eraf inet {NETS} --said tun0x1002@10.0.0.1",
        sound(lambda p: not p.rows and p.reading.associations[0].policy is not None),
    ),
    ("eroute", "replace", f"{PASS}\n{EROUTE.replace('add', 'replace')} --said %drop",
     row(PASSED.replace("pass", "drop"))),
    (
        "eroute",
        "replacein",
        f"{TUN}\n{ESP}\n{GROUP}\nipsec eroute --replacein --eraf inet {NETS}"
        " --said tun0x1002@10.0.0.1",
        sound(lambda p: all(a.inbound for a in p.reading.associations)),
    ),
    ("eroute", "del", f"{PASS}\nipsec eroute --del --eraf inet {NETS}",
     sound(lambda p: not p.rows)),
    ("eroute", "clear", f"{PASS}\nipsec eroute --clear", sound(lambda p: not p.rows)),
    ("eroute", "eraf",
     "ipsec eroute --add --eraf inet6 --src 2001:db8::/32 --dst ::/0 --said %drop",
     row("2001:db8::/32 -> ::/0 => %drop")),
    ("eroute", "src", PASS.replace("10.1.0.0/16", "10.3.0.0/255.255.0.0"),
     row(PASSED.replace("10.1.", "10.3."))),
    ("eroute", "dst", PASS.replace("10.2.0.0/16", "%default"),
     row("10.1.0.0/16 -> 0.0.0.0/0 => %pass")),
    ("eroute", "transport-proto", f"{PASS} --transport-proto tcp", row(f"{PASSED}:6")),
    ("eroute", "src-port", f"{PASS} --transport-proto udp --src-port 53",
     row("10.1.0.0/16:53 -> 10.2.0.0/16 => %pass:17")),
    ("eroute", "dst-port", f"{PASS} --transport-proto 6 --dst-port smtp",
     row("10.1.0.0/16 -> 10.2.0.0/16:25 => %pass:6")),
    ("eroute", "said", f"{EROUTE} --said esp0x1002@10.0.0.1",
     row("10.1.0.0/16 -> 10.2.0.0/16 => esp0x1002@10.0.0.1")),
    *(
        ("eroute", option, f"{EROUTE} {QUAD.replace(*change)}",
         row(f"10.1.0.0/16 -> 10.2.0.0/16 => {said}"))
        for option, change, said in (
            ("af", ("inet --edst 10.0.0.1", "inet6 --edst 2001:db8::1"), "esp0x1002@2001:db8::1"),
            ("edst", ("10.0.0.1", "10.0.0.9"), "esp0x1002@10.0.0.9"),
            ("spi", ("0x1002", "4097"), "esp0x1001@10.0.0.1"),
            ("proto", ("esp", "ah"), "ah0x1002@10.0.0.1"),
        )
    ),
    ("spi", "ah", f"ipsec spi --said ah0x1002@10.0.0.1 --ah hmac-sha1-96 --authkey {AUTH_SHA}",
     state(lambda a: a.authentication == "sha1" and a.authentication_bits == 160)),
    ("spi", "esp", ESP,
     state(lambda a: (a.encryption, a.authentication) == ("3des", "md5"))),
    ("spi", "comp", "ipsec spi --said comp0x1002@10.0.0.1 --comp deflate",
     state(lambda a: a.compression == "deflate")),
    ("spi", "ip4", TUN, state(lambda a: a.source == (4, 0x0A000002))),
    ("spi", "ip6", "ipsec spi --said tun0x1002@2001:db8::1 --ip6 --src 2001:db8::2"
     " --dst 2001:db8::1", state(lambda a: a.said.family == 6)),
    ("spi", "del", f"{ESP}\nipsec spi --del --said esp0x1002@10.0.0.1",
     sound(lambda p: not p.reading.associations)),
    ("spi", "clear", f"{ESP}\nipsec spi --clear", sound(lambda p: not p.reading.associations)),
    ("spi", "said", ESP.replace("esp0x1002", "esp.2001"), state(lambda a: a.said.spi == 0x2001)),
    *(
        ("spi", option, f"ipsec spi {QUAD.replace(*change)} --esp 3des-md5-96 {KEYS}", state(check))
        for option, change, check in (
            ("af", ("inet --edst 10.0.0.1", "inet6 --edst 2001:db8::1"),
             lambda a: a.said.family == 6),
            ("edst", ("10.0.0.1", "10.0.0.9"), lambda a: a.said.destination == 0x0A000009),
            ("spi", ("0x1002", "4097"), lambda a: a.said.spi == 0x1001),
            ("proto", ("esp", "esp"), lambda a: a.said.protocol == 50),
        )
    ),
    ("spi", "authkey", ESP,
     state(lambda a: a.authentication_key is not None and a.authentication_key.bits == 128)),
    ("spi", "enckey", ESP,
     state(lambda a: a.encryption_key is not None and a.encryption_key.bits == 192)),
    # The first packet's vector is random anyway.
    ("spi", "iv", f"{ESP} --iv 0x0102030405060708", state(lambda a: a.encryption == "3des")),
    ("spi", "src", ESP.replace("--src 10.0.0.2", "--src 10.0.0.3"),
     state(lambda a: a.source == (4, 0x0A000003))),
    # The manual has it for --ip4 and --ip6; the address of the SA itself is edst.
    ("spi", "dst", TUN, state(lambda a: a.said.destination == 0x0A000001)),
    ("spi", "replay_window", f"{ESP} --replay_window 32", state(lambda a: a.replay_window == 32)),
    ("spi", "life", f"{ESP} --life soft-bytes=5,hard-addtime=60",
     state(lambda a: (a.lifetimes.bytes.soft, a.lifetimes.addtime.hard) == (5, 60))),
    ("spi", "natt", f"{ESP} --natt nonesp",
     state(lambda a: a.encapsulation is not None and a.encapsulation.kind == "nonesp")),
    # The table of options of the program has these two the wrong way round.
    ("spi", "sport", f"{ESP} --natt nonesp --sport 4501",
     lambda p: p.state.encapsulation is not None
     and p.state.encapsulation.destination_port == 4501 and p.codes == ["ET153"]),
    ("spi", "dport", f"{ESP} --natt nonesp --dport 4502",
     lambda p: p.state.encapsulation is not None
     and p.state.encapsulation.source_port == 4502 and p.codes == ["ET153"]),
    ("spi", "saref", f"{ESP} --saref 5", state(lambda a: a.reference == 5)),
    # References of KLIPS have no counterpart: read, and nothing hangs on them.
    *(
        ("spi", option, f"{ESP} --{option} 5", state(lambda a: a.encryption == "3des"))
        for option in ("sarefme", "saref_me", "sarefhim", "saref_him", "outif")
    ),
    *(
        ("spi", option, f"{ESP} --{option}", state(lambda a: a.encryption == "3des"))
        for option in ("dumpsaref", "listenreply")
    ),
    ("spigrp", "said", f"{TUN}\n{ESP}\n{GROUP}",
     sound(lambda p: [len(g.saids) for g in p.reading.groups] == [2])),
    ("tncfg", "attach", ATTACH, sound(lambda p: p.attached == [("ipsec0", "eth0")])),
    ("tncfg", "virtual", ATTACH.replace("ipsec0", "ipsec3"),
     sound(lambda p: p.attached == [("ipsec3", "eth0")])),
    ("tncfg", "physical", ATTACH.replace("eth0", "ppp0"),
     sound(lambda p: p.attached == [("ipsec0", "ppp0")])),
    ("tncfg", "detach", f"{ATTACH}\nipsec tncfg --detach --virtual ipsec0",
     sound(lambda p: not p.attached)),
    ("tncfg", "clear", f"{ATTACH}\nipsec tncfg --clear", sound(lambda p: not p.attached)),
    ("tncfg", "create", "ipsec tncfg --create ipsec3",
     sound(lambda p: not p.attached and p.reading.accounted == {"tncfg": 1})),
    ("tncfg", "delete", f"{ATTACH}\nipsec tncfg --delete ipsec0", sound(lambda p: not p.attached)),
    *(
        ("klipsdebug", option, f"ipsec klipsdebug --{option}{value}",
         sound(lambda p: p.reading.accounted == {"klipsdebug": 1}))
        for option, value in (("set", " tunnel"), ("clear", " esp"), ("all", ""), ("none", ""))
    ),
    # What all tools share.
    *(
        (tool, option, f"{words} {option_text}", check)
        for tool, words, check in (
            ("eroute", PASS, row(PASSED)),
            ("spi", ESP, state(lambda a: a.encryption == "3des")),
            ("tncfg", ATTACH, sound(lambda p: len(p.attached) == 1)),
            ("klipsdebug", "ipsec klipsdebug --all",
             sound(lambda p: p.reading.accounted == {"klipsdebug": 1})),
        )
        for option, option_text in (("debug", "--debug"), ("label", "--label here"))
    ),
    ("spigrp", "debug", f"{TUN}\n{ESP}\n{GROUP.replace('--said', '--debug --said')}",
     sound(lambda p: len(p.reading.groups) == 1)),
    ("spigrp", "label", f"{TUN}\n{ESP}\n{GROUP.replace('--said', '--label here --said')}",
     sound(lambda p: len(p.reading.groups) == 1)),
    *(
        (tool, option, f"{words} --{option}{value}", refused(tool))
        for tool, words in (
            ("eroute", PASS),
            ("spi", ESP),
            ("spigrp", GROUP),
            ("tncfg", ATTACH),
            ("klipsdebug", "ipsec klipsdebug --all"),
        )
        for option, value in (("optionsfrom", " file"), ("help", ""), ("version", ""))
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("tool", "option", "script", "check"), CASES, ids=[f"{t}-{o}" for t, o, *_ in CASES]
)
def test_an_option(tool: str, option: str, script: str, check: Check) -> None:
    assert f"--{option}" in script
    assert f"ipsec {tool} " in script
    played = Played(script)
    assert check(played), (played.codes, played.reading)


@pytest.mark.parametrize("tool", OPTIONS)
def test_no_option_is_without_a_case(tool: str) -> None:
    assert {option for t, option, *_ in CASES if t == tool} == set(OPTIONS[tool].split())


def test_the_readers_know_these_options_and_no_others() -> None:
    known = {
        "eroute": {*eroute_command.FLAGS, *eroute_command.VALUES},
        **{g.tool: {*g.flags, *g.values} for g in (SPI, SPIGRP, TNCFG, KLIPSDEBUG)},
    }
    assert known == {tool: set(options.split()) for tool, options in OPTIONS.items()}


@pytest.mark.parametrize("flag", DEBUG_FLAGS)
def test_every_debugging_flag(flag: str) -> None:
    played = Played(f"ipsec klipsdebug --set {flag}")
    assert played.reading.accounted == {"klipsdebug": 1}
    assert not played.errors


@pytest.mark.parametrize("tool", OPTIONS)
def test_no_option_at_all_lists(tool: str) -> None:
    played = Played(f"ipsec {tool}\n{PASS}")
    assert not played.errors
    assert played.row == PASSED
