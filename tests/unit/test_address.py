"""Addresses and subnets as ttoaddr, ttosubnet and addrtot take and print them."""

from __future__ import annotations

import pytest

from eroute_translate.klips.address import (
    format_klips_address,
    format_subnet,
    host,
    parse_ipv4,
    parse_ipv6,
    parse_klips_address,
    parse_subnet,
)
from eroute_translate.net import ALL_ONES, Prefix


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 0x0A000000),
        ("10.1", 0x0A010000),
        ("10.1.2", 0x0A010200),
        ("10.", 0x0A000000),
        ("010.0008.1.1", 0x0A080101),
        ("192.0.2.255", 0xC00002FF),
        ("0xC0000201", 0xC0000201),
        ("0XC0000201", 0xC0000201),
        ("0000000010.0.0.1", 0x0A000001),
    ],
)
def test_ipv4(text: str, value: int) -> None:
    assert parse_ipv4(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "10..1",
        ".10",
        "192.0.2.1.",
        "192.0.2.1.5",
        "192.0.2.256",
        "0xC000020",
        "0xC00002011",
        "0hC0000201",
        "gateway.example",
        "192.0.2.-1",
        " 192.0.2.1",
        "192.0.2.1\n",
        "１.2.3.4",
        "99999999999.0.0.1",
    ],
)
def test_no_ipv4(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_ipv4(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("::", 0),
        ("::1", 1),
        ("2001:db8::", 0x20010DB8 << 96),
        ("2001:DB8:0:0::7", (0x20010DB8 << 96) + 7),
        ("1:2:3:4:5:6:7::", 0x00010002000300040005000600070000),
        ("1:2:3:4:5:6:7:8", 0x00010002000300040005000600070008),
    ],
)
def test_ipv6(text: str, value: int) -> None:
    assert parse_ipv6(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1::2::3",
        "12345::",
        "::192.0.2.1",
        "fe80::1%eth0",
        "[::1]",
        "2001:db8:",
        ":2001:db8::",
        "1:2:3:4::5:6:7:8",
        "::g",
    ],
)
def test_no_ipv6(text: str) -> None:
    with pytest.raises(ValueError, match="not an IPv6 address"):
        parse_ipv6(text)


def test_family_that_was_asked_for() -> None:
    assert parse_klips_address("::1") == (6, 1)
    assert parse_klips_address("10") == (4, 0x0A000000)
    with pytest.raises(ValueError, match="IPv6 address where IPv4"):
        parse_klips_address("::1", 4)
    with pytest.raises(ValueError, match="not an IPv6"):
        parse_klips_address("10.0.0.1", 6)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("10.0.0.0/8", Prefix(4, 0x0A000000, 0xFF000000)),
        ("10.0.0.0/008", Prefix(4, 0x0A000000, 0xFF000000)),
        ("10/255.0.0.0", Prefix(4, 0x0A000000, 0xFF000000)),
        ("10/0xFF000000", Prefix(4, 0x0A000000, 0xFF000000)),
        ("0/0", Prefix(4, 0, 0)),
        ("10.1.2.3/8", Prefix(4, 0x0A010203, 0xFF000000)),
        ("2001:db8::/32", Prefix(6, 0x20010DB8 << 96, 0xFFFFFFFF << 96)),
    ],
)
def test_subnet(text: str, prefix: Prefix) -> None:
    assert parse_subnet(text) == prefix


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/255.0.255.0",
        "10.0.0.0/0x8",
        "2001:db8::/129",
        "2001:db8::/ffff::",
        "0:0/0",
        "::ffff:1.2.3.4/128",
        "[::1]/128",
        "%default",
        "%any",
    ],
)
def test_no_subnet(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_subnet(text)


def test_default_subnet_of_a_family() -> None:
    assert parse_subnet("%default", 4) == Prefix(4, 0, 0)
    assert parse_subnet("%default", 6) == Prefix(6, 0, 0)


@pytest.mark.parametrize(
    "text",
    [
        "::",
        "::1",
        "1::",
        "1::3:0:0:0:2",
        "1:0:2:0:3:0:4:0",
        "2001:db8::1:0:0:1",
        "0:1::",
        "1:0:2::",
    ],
)
def test_the_first_run_of_zeros_is_squeezed(text: str) -> None:
    assert format_klips_address(6, parse_ipv6(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/8",
        "10.1.2.3/8",
        "10.0.0.0/255.0.255.0",
        "0.0.0.0/0",
        "::/0",
        "2001:db8::1/ff02::1",
        "2001:db8::1/128",
    ],
)
def test_subnet_printed(text: str) -> None:
    address, _, mask = text.partition("/")
    family, value = parse_klips_address(address)
    if mask.isdecimal():
        prefix = parse_subnet(text)
    else:
        prefix = Prefix(family, value, parse_klips_address(mask)[1])
    assert format_subnet(prefix) == text


def test_host() -> None:
    assert host(6, 7) == Prefix(6, 7, ALL_ONES[6])
