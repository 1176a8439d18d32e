"""The small proc files: version, debug flags, PF_KEY's tables, counters, transforms."""

from __future__ import annotations

import pytest

from eroute_translate.klips import stack
from eroute_translate.klips.stack import Version, parse_version


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


def test_debug_flags() -> None:
    assert stack.looks_like_debug("debug_tunnel=00000010.")


@pytest.mark.parametrize("line", ["debug_tunnel=00000010", "debug_tunnel:16", "debug_=00000000."])
def test_what_is_no_debug_flag(line: str) -> None:
    assert not stack.looks_like_debug(line)


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
    "line",
    [
        "satype exttype alg_id ivlen minbits maxbits name",
        "satype exttype alg_id ivlen minbits maxbits",
        "     3      15     12   128     128     256                  aes",
        "     9      15      1     0      32      32",
    ],
)
def test_supported_algorithms(line: str) -> None:
    assert stack.looks_like_supported(line)
    assert not stack.looks_like_pf_key(line)
    assert not stack.looks_like_registered(line)


@pytest.mark.parametrize(
    "line",
    [
        "satype   socket   pid       sk",
        "     3 ffff8800b5a1c000  1234 ffff8800b6000000",
        "    10 c7a3e000  1234 c7a3f000",
    ],
)
def test_registered_sockets(line: str) -> None:
    assert stack.looks_like_registered(line)
    assert not stack.looks_like_supported(line)


@pytest.mark.parametrize("line", ["00000003", "0000001f", "12345678", "3", "-1"])
def test_counters_of_traps(line: str) -> None:
    """Eight hex digits, but decimal in Openswan 2.6.43 to 3.0."""
    assert stack.looks_like_trap_count(line)


@pytest.mark.parametrize("line", ["0000001g", "3 traps", ""])
def test_what_is_no_counter(line: str) -> None:
    assert not stack.looks_like_trap_count(line)


def test_small_files() -> None:
    assert [stack.looks_like_natt(text) for text in ("0", "2\n", "3", "22", "")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert stack.looks_like_ocf("1")
    assert not stack.looks_like_ocf("2")


@pytest.mark.parametrize(
    "line",
    [
        "refinfo patch applied",
        "bindref patch applied",
        "saref enabled",
        "saref disabled",
        "saref enabled (3.32)",
    ],
)
def test_sarefs(line: str) -> None:
    assert stack.looks_like_saref(line)


def test_transforms() -> None:
    line = (
        "VERSION=1 TYPE=15 ID=12 NAME=aes REFCNT=2 STATE=00000001 BLOCKSIZE=16 IVLEN=128"
        " KEYMINBITS=128 KEYMAXBITS=256 IVLEN=128 KEYMINBITS=128 KEYMAXBITS=256 KEYLEN=0"
        " CTXSIZE=488 "
    )
    assert stack.looks_like_xform(line)
    assert stack.looks_like_xform(f"{line}AUTHLEN=12 ")
    assert not stack.looks_like_xform("VERSION=1 TYPE=15")
