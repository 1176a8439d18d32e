"""The small proc files: version, debug flags, PF_KEY's tables, counters, transforms."""

from __future__ import annotations

import pytest

from eroute_translate.klips import stack
from eroute_translate.klips.stack import (
    DebugFlags,
    RegisteredSocket,
    SupportedAlgorithm,
    Version,
    Xform,
    parse_version,
)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("FreeS/WAN version: 1.97", Version("freeswan", (1, 97), "1.97")),
        ("FreeS/WAN version: 2.00", Version("freeswan", (2, 0), "2.00")),
        (
            "FreeS/WAN version: super-freeswan-1.99.8",
            Version("freeswan", (1, 99, 8), "super-freeswan-1.99.8"),
        ),
        ("Openswan version: 2.6.38", Version("openswan", (2, 6, 38), "2.6.38")),
        ("Openswan version: 2.6.14dr2\n", Version("openswan", (2, 6, 14), "2.6.14dr2")),
        ("Openswan version: 2.CVSHEAD", Version("openswan", (2,), "2.CVSHEAD")),
        ("Libreswan version: 3.32", Version("libreswan", (3, 32), "3.32")),
        ("Libreswan version: cvs", Version("libreswan", (), "cvs")),
        (
            "Linux Openswan U2.6.38/K2.6.32 (klips)",
            Version("openswan", (2, 6, 32), "2.6.32"),
        ),
        ("Linux Libreswan 3.12 (klips) on 3.10.0", Version("libreswan", (3, 12), "3.12")),
        ("Linux FreeS/WAN 1.91", Version("freeswan", (1, 91), "1.91")),
    ],
)
def test_versions(text: str, version: Version) -> None:
    assert parse_version(text) == version
    assert stack.looks_like_version(text)
    assert stack.read_version(f" {text} ") == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2.6.38",
        "Openswan version:",
        "strongSwan version: 4.0",
        "Linux Openswan U2.6.38/K3.2.0 (netkey)",
        "Linux version 2.4.20",
        "See `ipsec --copyright' for copyright information.",
    ],
)
def test_what_is_no_version_of_klips(text: str) -> None:
    assert parse_version(text) is None
    assert stack.read_version(text) is None
    assert not stack.looks_like_version(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FreeS/WAN version: 1.97", False),
        ("Openswan version: 2.4.15", False),
        ("Openswan version: 2.6.9", False),
        ("Openswan version: 2.6.14", True),
        ("Openswan version: 2.6.14.1", True),
        ("Openswan version: 3.0.0", True),
        ("Openswan version: cvs", None),
        ("Libreswan version: 3.13", False),
        ("Libreswan version: 3.14", True),
        ("Libreswan version: cvs", None),
    ],
)
def test_a_version_is_compared_within_its_project(text: str, expected: bool | None) -> None:
    version = parse_version(text)
    assert version is not None
    assert version.since(openswan=(2, 6, 14), libreswan=(3, 14)) is expected


def test_every_version_of_a_project_is_since_its_first() -> None:
    version = parse_version("Libreswan version: cvs")
    assert version is not None
    assert version.since(libreswan=(3,)) is True
    assert version.since(freeswan=(1,)) is False


@pytest.mark.parametrize("name", stack.DEBUG_NAMES)
def test_debug_flags(name: str) -> None:
    line = f"debug_{name}=00000010."
    assert stack.looks_like_debug(line)
    assert stack.read_debug(line) == DebugFlags(name, 0x10)


@pytest.mark.parametrize("line", ["debug_tunnel=00000010", "debug_tunnel:16", "debug_=00000000."])
def test_what_is_no_debug_flag(line: str) -> None:
    assert not stack.looks_like_debug(line)
    assert stack.read_debug(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "    sock   pid   socket     next     prev e n p sndbf    Flags     Type St",
        "    sock   pid d    sleep   socket     next     prev e r z n p sndbf    stamp    Flags"
        "     Type St",
        "c7a3e000  1234 c7a3f000 c7a30000 c7a3a000 0 0 2 65535 00000000        3  1",
        "ffff8800b5a1c000  1234 ffff8800b6000000 0 0     2 212992 00000000        3  1",
        "  (null)  1234 c7a3f000 0 0     2 65535 00000000        3  1",
    ],
)
def test_sockets_of_pf_key(line: str) -> None:
    assert stack.looks_like_pf_key(line)
    assert not stack.looks_like_supported(line)
    assert not stack.looks_like_registered(line)


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("satype exttype alg_id ivlen minbits maxbits name", None),
        ("satype exttype alg_id ivlen minbits maxbits", None),
        (
            "     3      15     12   128     128     256                  aes",
            SupportedAlgorithm(3, 15, 12, 128, 128, 256, "aes"),
        ),
        (
            "     9      15      1     0      32      32",
            SupportedAlgorithm(9, 15, 1, 0, 32, 32),
        ),
    ],
)
def test_supported_algorithms(line: str, row: SupportedAlgorithm | None) -> None:
    assert stack.looks_like_supported(line)
    assert stack.read_supported(line) == row
    assert not stack.looks_like_pf_key(line)
    assert not stack.looks_like_registered(line)


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("satype   socket   pid       sk", None),
        ("     3 ffff8800b5a1c000  1234 ffff8800b6000000", RegisteredSocket(3, 1234)),
        ("    10 c7a3e000  1234 c7a3f000", RegisteredSocket(10, 1234)),
    ],
)
def test_registered_sockets(line: str, row: RegisteredSocket | None) -> None:
    assert stack.looks_like_registered(line)
    assert stack.read_registered(line) == row
    assert not stack.looks_like_supported(line)


@pytest.mark.parametrize(
    ("line", "version", "count"),
    [
        ("00000003", "", 3),
        ("0000001f", "", 31),
        ("00000010", "Libreswan version: 3.32", 16),
        ("12345678", "Openswan version: 2.6.42", 0x12345678),
        ("12345678", "Openswan version: 2.6.43", 12345678),
        ("3", "", 3),
        ("-1", "Openswan version: 2.6.43", -1),
    ],
)
def test_counters_of_traps(line: str, version: str, count: int) -> None:
    assert stack.looks_like_trap_count(line)
    assert stack.read_trap_count(line, parse_version(version)) == count


def test_what_is_no_counter() -> None:
    assert not stack.looks_like_trap_count("0000001g")
    assert stack.read_trap_count("3 traps") is None


def test_small_files() -> None:
    assert [stack.read_natt(text) for text in ("0", "1", "2\n", "3", "")] == [0, 1, 2, None, None]
    assert stack.looks_like_natt("2")
    assert not stack.looks_like_natt("22")
    assert stack.looks_like_ocf("1")
    assert not stack.looks_like_ocf("2")


@pytest.mark.parametrize(
    ("line", "enabled"),
    [
        ("refinfo patch applied", None),
        ("bindref patch applied", None),
        ("saref enabled", True),
        ("saref disabled", False),
        ("saref enabled (3.32)", True),
    ],
)
def test_sarefs(line: str, enabled: bool | None) -> None:
    assert stack.looks_like_saref(line)
    assert stack.read_saref(line) is enabled


def test_transforms() -> None:
    line = (
        "VERSION=1 TYPE=15 ID=12 NAME=aes REFCNT=2 STATE=00000001 BLOCKSIZE=16 IVLEN=128"
        " KEYMINBITS=128 KEYMAXBITS=256 IVLEN=128 KEYMINBITS=128 KEYMAXBITS=256 KEYLEN=0"
        " CTXSIZE=488 "
    )
    assert stack.looks_like_xform(line)
    assert stack.read_xform(line) == Xform(15, 12, "aes", 16, 128, 128, 256)
    assert stack.read_xform(f"{line}AUTHLEN=12 ") == Xform(15, 12, "aes", 16, 128, 128, 256)
    assert not stack.looks_like_xform("VERSION=1 TYPE=15")
    assert stack.read_xform("VERSION=1") is None
