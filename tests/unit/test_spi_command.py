"""Every option of ipsec spi, spigrp, tncfg and klipsdebug."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from eroute_translate.diagnostics import Collector, Severity, Span
from eroute_translate.klips.association import Association, Encapsulation, Lifetime, Lifetimes
from eroute_translate.klips.said import format_said
from eroute_translate.klips.small_commands import (
    DEBUG_FLAGS,
    parse_klipsdebug_command,
    parse_spigrp_command,
    parse_tncfg_command,
)
from eroute_translate.klips.spi_command import GRAMMAR, parse_spi_command
from eroute_translate.klips.words import Word

PLACE = Span("script", 1)
KEY3DES, KEYMD5, KEYSHA = "0x" + "0123456789abcdef" * 3, "0x" + "0f" * 16, "0x" + "0e" * 20
KEYS = f"--enckey {KEY3DES} --authkey {KEYMD5}"
ESP = f"--esp 3des-md5-96 --said esp0x1002@10.0.0.1 {KEYS}"


def run(parse: Callable[..., Any], text: str) -> tuple[Any, Collector]:
    collector, at, given = Collector(), 1, []
    for word in text.split():
        given.append(Word(word, Span("script", 1, at, at + len(word))))
        at += len(word) + 1
    return parse(given, collector, PLACE), collector


def add(text: str) -> Association:
    command, collector = run(parse_spi_command, text)
    assert not collector.errors, collector.items
    assert command.action == "add"
    association = command.association
    assert isinstance(association, Association)
    return association


def refused(text: str) -> str:
    command, collector = run(parse_spi_command, text)
    assert command is None
    (item,) = collector.errors
    for key in (KEY3DES, KEYMD5, KEYSHA):
        assert key[2:] not in item.message + item.excerpt + item.hint + item.expected
    return item.message


@pytest.mark.parametrize(
    ("algorithm", "keys", "encryption", "authentication"),
    [
        ("3des-md5-96", KEYS, "3des", "md5"),
        ("3des-sha1-96", f"--enckey {KEY3DES} --authkey {KEYSHA}", "3des", "sha1"),
        ("3des", f"--enckey {KEY3DES}", "3des", ""),
        ("aes128-sha1", f"--enckey 0x{'0a' * 16} --authkey {KEYSHA}", "aes", "sha1"),
        ("aes256-sha2_256", f"--enckey 0x{'0a' * 32} --authkey 0x{'0b' * 32}", "aes", "sha2_256"),
        ("blowfish-md5", f"--enckey 0x{'0a' * 16} --authkey {KEYMD5}", "blowfish", "md5"),
        ("null-md5-96", f"--authkey {KEYMD5}", "null", "md5"),
    ],
)
def test_esp(algorithm: str, keys: str, encryption: str, authentication: str) -> None:
    found = add(f"--esp {algorithm} --said esp0x1002@10.0.0.1 {keys}")
    assert (found.encryption, found.authentication) == (encryption, authentication)
    assert found.encryption_key is not None
    assert found.encryption_key.bits == found.encryption_bits


@pytest.mark.parametrize(("name", "key"), [("hmac-md5-96", KEYMD5), ("hmac-sha1-96", KEYSHA)])
def test_ah(name: str, key: str) -> None:
    found = add(f"--ah {name} --said ah0x1002@10.0.0.1 --authkey {key}")
    assert found.authentication == name.split("-")[1]


@pytest.mark.parametrize("name", ["deflate", "lzs"])
def test_comp(name: str) -> None:
    assert add(f"--comp {name} --said comp0x1002@10.0.0.1").compression == name


def test_ip4_and_ip6() -> None:
    found = add("--ip4 --said tun0x1002@10.0.0.1 --src 10.0.0.2 --dst 10.0.0.1")
    assert found.source == (4, 0x0A000002)
    assert add("--ip6 --said tun0x1002@1::2:3 --src 1::4:5 --dst 1::2:3").source is not None
    assert "needs --src and --dst" in refused("--ip4 --said tun0x1002@10.0.0.1 --src 10.0.0.2")


def test_an_sa_in_four_options() -> None:
    found = add(f"--esp 3des-md5-96 --af inet --edst 10.0.0.1 --spi 0x1002 --proto esp {KEYS}")
    assert format_said(found.said) == "esp0x1002@10.0.0.1"
    assert "--proto is missing" in refused(
        f"--esp 3des-md5-96 --af inet --edst 10.0.0.1 --spi 0x1002 {KEYS}"
    )
    assert "exclude each other" in refused(f"{ESP} --af inet")
    assert "no esp SA" in refused(f"--esp 3des-md5-96 --said ah0x1002@10.0.0.1 {KEYS}")
    assert "below 0x100" in refused(f"--esp 3des-md5-96 --said esp0xff@10.0.0.1 {KEYS}")


@pytest.mark.parametrize(
    "key",
    [
        "0x0f_0f0f0f_0f0f0f0f0f0f0f0f0f0f0f0f",
        "0sDw8PDw8PDw8PDw8PDw8PDw==",
        "0t" + "\x0f" * 16,
    ],
)
def test_forms_of_keys(key: str) -> None:
    found = add(f"--ah hmac-md5-96 --said ah0x1002@10.0.0.1 --authkey {key}")
    assert found.authentication_key is not None
    assert found.authentication_key.reveal() == b"\x0f" * 16


@pytest.mark.parametrize("key", ["0x0", "0xzz", "12ab", "0s%%%", "0x", "0s"])
def test_bad_keys(key: str) -> None:
    assert "cannot be read" in refused(f"--ah hmac-md5-96 --said ah0x1002@10.0.0.1 --authkey {key}")


def test_a_key_must_fit_and_be_there() -> None:
    assert "--enckey is missing" in refused("--esp 3des --said esp0x1002@10.0.0.1")
    assert "has 192 bits, not 128" in refused(f"--esp aes128-md5 --said esp0x1002@10.0.0.1 {KEYS}")


def test_del_clear_and_list() -> None:
    command, _ = run(parse_spi_command, "--del --said esp0x1002@10.0.0.1")
    assert (command.action, format_said(command.said)) == ("del", "esp0x1002@10.0.0.1")
    assert run(parse_spi_command, "--clear")[0].action == "clear"
    for text in ("", "--debug", "--label x", "--version", "--help", "--dumpsaref"):
        assert run(parse_spi_command, text)[0].action == "list"
    assert "two actions" in refused("--del --clear")
    assert "no action" in refused("--said esp0x1002@10.0.0.1")


def test_replay_window() -> None:
    assert add(f"{ESP} --replay_window 32").replay_window == 32
    assert "0 to 64" in refused(f"{ESP} --replay_window 65")


def test_life() -> None:
    found = add(f"{ESP} --life soft-bytes=1000,hard-addtime=0x10,hard-allocations=1,soft-usetime=2")
    assert found.lifetimes == Lifetimes(
        Lifetime(hard=1), Lifetime(soft=1000), Lifetime(hard=16), Lifetime(soft=2)
    )
    assert add(f"{ESP} --life hard-packets=7").lifetimes.packets.hard == 7
    assert "no limit of a life" in refused(f"{ESP} --life bytes=5")


def test_nat_traversal_and_its_swapped_ports() -> None:
    command, collector = run(parse_spi_command, f"{ESP} --natt nonesp --sport 4500 --dport 4501")
    assert command.association.encapsulation == Encapsulation("nonesp", 4501, 4500)
    assert [(i.code, i.severity) for i in collector.items] == [("ET153", Severity.NOTE)]
    assert add(f"{ESP} --natt 1").encapsulation == Encapsulation("nonike", 0, 0)
    assert add(f"{ESP} --natt none").encapsulation is None
    assert "no NAT traversal" in refused(f"{ESP} --natt often")


@pytest.mark.parametrize(
    "more",
    [
        "--src 10.0.0.2",
        "--iv 0x0123456789abcdef",
        "--saref 5",
        "--sarefme 5",
        "--saref_me 5",
        "--sarefhim 5",
        "--saref_him 5",
        "--outif 2",
        "--label x",
        "--debug",
        "--dumpsaref",
        "--listenreply",
    ],
)
def test_other_options_are_taken(more: str) -> None:
    assert add(f"{ESP} {more}")


def test_every_option_is_tested() -> None:
    from pathlib import Path

    text = Path(__file__).read_text(encoding="utf-8")
    for name in (*GRAMMAR.flags, *GRAMMAR.values):
        assert f"--{name}" in text, name


def test_abbreviations_and_bad_options() -> None:
    assert add(ESP.replace("--said", "--sai").replace("--enckey", "--enc")).said.spi == 0x1002
    assert "short for several" in refused(f"{ESP} --saref_ 5")
    assert "no option --nosuch" in refused(f"{ESP} --nosuch")
    assert "takes no value" in refused(f"{ESP} --debug=yes")
    assert "needs a value" in refused(f"{ESP} --src")
    assert "options alone" in refused(f"{ESP} stray")
    assert "another file" in refused(f"{ESP} --optionsfrom file")


def test_an_option_that_stands_twice() -> None:
    command, collector = run(parse_spi_command, f"{ESP} --replay_window 1 --replay_window 2")
    assert command.association.replay_window == 2
    assert [i.code for i in collector.items] == ["ET152"]


def test_a_key_where_none_belongs_is_not_shown() -> None:
    assert refused(f"{ESP} {KEY3DES}")
    assert refused(f"{ESP} --nosuch={KEY3DES}")


# -- spigrp


def group(text: str) -> list[str] | None:
    command, _ = run(parse_spigrp_command, text)
    return None if command is None else [format_said(said) for said in command.saids]


def test_spigrp() -> None:
    assert group("--said tun0x100@10.0.0.1 esp0x101@10.0.0.1") == [
        "tun0x100@10.0.0.1",
        "esp0x101@10.0.0.1",
    ]
    assert group("inet 10.0.0.1 0x100 tun inet 10.0.0.1 0x101 esp") == [
        "tun0x100@10.0.0.1",
        "esp0x101@10.0.0.1",
    ]
    assert group("--debug --label x --said tun0x100@10.0.0.1") == ["tun0x100@10.0.0.1"]
    assert group("") == []
    assert group("--help") == []
    assert group("--version") == []
    for bad in (
        "--said nonsense",
        "inet 10.0.0.1 0x100",
        "inet9 10.0.0.1 0x100 tun",
        "inet 10.0.0.1 0x100 gre",
        "inet nowhere 0x100 tun",
        "--said" + " esp0x100@10.0.0.1" * 5,
        "--optionsfrom x",
    ):
        assert group(bad) is None, bad


# -- tncfg


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--attach --virtual ipsec0 --physical eth0", ("attach", "ipsec0", "eth0")),
        ("-attach -virtual ipsec0 -physical eth0", ("attach", "ipsec0", "eth0")),
        ("--detach --virtual ipsec0", ("detach", "ipsec0", "")),
        ("--clear", ("clear", "", "")),
        ("--create mast0", ("create", "mast0", "")),
        ("--delete ipsec3", ("delete", "ipsec3", "")),
        ("", ("list", "", "")),
        ("--debug --label x", ("list", "", "")),
        ("--version", ("list", "", "")),
        ("--help", ("list", "", "")),
    ],
)
def test_tncfg(text: str, expected: tuple[str, str, str]) -> None:
    command, collector = run(parse_tncfg_command, text)
    assert not collector.errors
    assert (command.action, command.virtual, command.physical) == expected


@pytest.mark.parametrize(
    "text",
    [
        "--attach --virtual ipsec0",
        "--detach",
        "--attach --clear",
        "stray",
        "--optionsfrom x",
        "--nosuch",
    ],
)
def test_bad_tncfg(text: str) -> None:
    command, collector = run(parse_tncfg_command, text)
    assert command is None
    assert collector.errors


# -- klipsdebug


def test_klipsdebug() -> None:
    for flag in DEBUG_FLAGS:
        command, _ = run(parse_klipsdebug_command, f"--set {flag}")
        assert (command.action, command.flag) == ("set", flag)
    assert run(parse_klipsdebug_command, "--clear xform")[0].action == "clear"
    assert run(parse_klipsdebug_command, "--all")[0].action == "all"
    assert run(parse_klipsdebug_command, "--none")[0].action == "none"
    for text in ("", "--debug", "--label x", "--help", "--version"):
        assert run(parse_klipsdebug_command, text)[0].action == "list"
    for bad in ("--set ipcomp", "--all --none", "stray", "--optionsfrom x"):
        command, collector = run(parse_klipsdebug_command, bad)
        assert command is None
        assert collector.errors
