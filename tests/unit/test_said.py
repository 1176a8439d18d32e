"""The grammar of ttosa and satot (ipsec_ttosa(3)), spelling by spelling."""

from __future__ import annotations

import pytest

from eroute_translate.klips.said import MAGIC, Said, format_said, parse_said

V4 = 0xC0A82B01  # 192.168.43.1
V6 = 0x3049_0001_0000_0000_0000_0000_0000_0120


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tun0x130@192.168.43.1", Said(4, 0x130, 4, V4)),
        ("tun.130@192.168.43.1", Said(4, 0x130, 4, V4)),
        ("tun0X130@192.168.43.1", Said(4, 0x130, 4, V4)),
        ("tun304@192.168.43.1", Said(4, 0x130, 4, V4)),
        ("tun0460@192.168.43.1", Said(4, 0o460, 4, V4)),
        ("tun:130@3049:1::120", Said(4, 0x130, 6, V6)),
        ("tun0x130@3049:1::120", Said(4, 0x130, 6, V6)),
        ("ah:f5ed@3049:1::120", Said(51, 0xF5ED, 6, V6)),
        ("esp0xFFFFFFFF@192.168.43.1", Said(50, 0xFFFFFFFF, 4, V4)),
        ("esp507@1.2.3.4", Said(50, 0x1FB, 4, 0x01020304)),
        ("esp010@1.2.3.4", Said(50, 8, 4, 0x01020304)),
        ("comp0x3d0@10", Said(108, 0x3D0, 4, 0x0A000000)),
        ("int256@1.2.3.4", Said(61, 256, 4, 0)),
        ("int256@::", Said(61, 256, 4, 0)),
        ("int0x106@0.0.0.0", Said(61, 0x106, 4, 0, "%unk-262")),
        ("%unk-262", Said(61, 262, 4, 0, "%unk-262")),
        ("%unk--187", Said(61, (1 << 32) - 187, 4, 0, "%unk--187")),
        ("unk770x100@1.2.3.4", Said(77, 0x100, 4, 0x01020304, "unk770x100@1.2.3.4")),
        ("unk00x1@::", Said(0, 1, 6, 0, "unk00x1@::")),
        ("(error)", Said(0, 0, 4, 0, "(error)")),
        ("tun0@0.0.0.0", Said(4, 0, 4, 0)),
    ],
)
def test_spelling(text: str, said: Said) -> None:
    assert parse_said(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "ESP0x1@1.2.3.4",
        "%PASS",
        "%none",
        "%traps",
        "%pass ",
        "ipip0x1@1.2.3.4",
        "unk770x9@",
        "unk9990x9@1.2.3.4",
        "unk77x9@1.2.3.4",
        "esp@1.2.3.4",
        "esp-1@1.2.3.4",
        "esp08@1.2.3.4",
        "esp.0x130@1.2.3.4",
        "esp.@1.2.3.4",
        "tun.130@::1",
        "tun:130@1.2.3.4",
        "esp0x@1.2.3.4",
        "esp0x1@",
        "esp0x1@gateway.example",
        "esp0x1@1.2.3.256",
        "esp0x1@1.2.3.4:17",
        "esp0x1@1.2.3.4.5",
        "esp0x1@2001:db8:::1",
        "esp0x1@[2001:db8::1]",
        "esp 0x1@1.2.3.4",
        "esp٣@1.2.3.4",
    ],
)
def test_no_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_said(text)


@pytest.mark.parametrize("digits", ["0x100000001", "4294967296", ".100000001", "0x" + "f" * 16])
def test_spi_above_32_bits_names_another_sa(digits: str) -> None:
    with pytest.raises(ValueError, match="above 32 bits"):
        parse_said(f"esp{digits}@1.2.3.4")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("tun.130@192.168.43.1", "tun0x130@192.168.43.1"),
        ("ah:00F5ED@3049:1:0:0::120", "ah0xf5ed@3049:1::120"),
        ("tun0@0.0.0.0", "%passthrough4"),
        ("tun0@::", "%passthrough6"),
        ("%passthrough", "%passthrough4"),
        ("int261@::", "%trapsubnet"),
        ("int1234567@0.0.0.0", "%unk-1234"),
        ("int0xffffff45@0.0.0.0", "%unk--187"),
        ("esp0x1@1:0:0:3:0:0:0:2", "esp0x1@1::3:0:0:0:2"),
    ],
)
def test_printed_as_satot_does(text: str, printed: str) -> None:
    assert format_said(parse_said(text)) == printed
    assert str(parse_said(text)) == printed


@pytest.mark.parametrize("name", sorted(MAGIC))
def test_magic_names(name: str) -> None:
    said = parse_said(name)
    assert said.is_passthrough is name.startswith("%passthrough")
    assert said.is_shunt is not said.is_passthrough
    expected = "%passthrough4" if name == "%passthrough" else name
    assert format_said(said) == expected


def test_the_beginning_of_a_magic_name_is_another_name() -> None:
    assert parse_said("%trap") != parse_said("%trapsubnet")
    assert parse_said("%pass") != parse_said("%passthrough")
