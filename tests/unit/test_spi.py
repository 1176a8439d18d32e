"""Rows of ipsec_spi, one family of versions after the other."""

from __future__ import annotations

import pytest

from eroute_translate.diagnostics import Collector, Diagnostic, Severity, Span, render_text
from eroute_translate.klips.association import (
    NO_LIMITS,
    Association,
    Encapsulation,
    Lifetime,
    Lifetimes,
)
from eroute_translate.klips.lifetime import parse_lifetimes
from eroute_translate.klips.said import parse_said
from eroute_translate.klips.spi import (
    format_association,
    looks_like_association,
    read_association,
)
from eroute_translate.klips.transform import Transform, format_transform, parse_transform
from eroute_translate.net import Prefix, parse_prefix

SPAN = Span("spi", 7)
GATEWAY = (4, 0xCB007107)  # 203.0.113.7


def read(line: str) -> tuple[Association | None, list[Diagnostic]]:
    collector = Collector()
    return read_association(line, SPAN, collector), collector.items


def sound(line: str) -> Association:
    association, items = read(line)
    assert looks_like_association(line)
    assert not items
    assert association is not None
    return association


def codes(items: list[Diagnostic]) -> list[str]:
    return [item.code for item in items]


FREESWAN_191 = {
    "tunnel": "tun0x1000@198.51.100.9 IPIP: dir=out src=203.0.113.7 life(c,s,h)=add(88,0,0)",
    "counters": "esp0x2a1@203.0.113.7 ESP_3DES_HMAC_MD5: dir=in  src=198.51.100.9 iv_bits=64bits"
    " iv=0x0102030405060708 ooowin=32 seq=3 bit=0x00000000007 alen=128 aklen=128 eklen=192"
    " life(c,s,h)=bytes(1,0,0)add(12,0,28800)use(4,0,0)packets(1,0,0) idle=2",
}
FREESWAN_197 = {
    "raw stamps": "ah0xf00@203.0.113.7 AH_HMAC_SHA1: dir=in  src=198.51.100.9 ooowin=32 seq=9"
    " bit=0x1ff alen=160 aklen=160 life(c,s,h)=bytes(936,0,0)addtime(194731,0,0)"
    "usetime(194760,0,0)packets(9,0,0) idle=11",
    "ratio": "comp0x77@203.0.113.7 COMP_LZS: dir=in  src=198.51.100.9"
    " life(c,s,h)=addtime(5,0,0) ratio=4096:1012",
    "old ciphers": "esp0x9@203.0.113.7 ESP_BLOWFISH_HMAC_RIPEMD: dir=in  src=198.51.100.9"
    " life(c,s,h)=addtime(5,0,0)",
}
OPENSWAN_20 = {
    "policy": "tun0x1001@203.0.113.7 IPIP: dir=in  src=198.51.100.9"
    " policy=10.9.0.0/16->10.7.0.0/255.255.0.255 flags=0x8<> life(c,s,h)=addtime(6,0,0)"
    " refcount=4 ref=9",
    "errors": "esp0x1@203.0.113.7 ESP_AES_HMAC_SHA1: dir=in  src=198.51.100.9 ooowin=64 ooo_errs=2"
    " seq=-2 bit=0xffffffffffffffff max_seq_diff=17 alen=160 aklen=160 auth_errs=1 eklen=256"
    " encr_size_errs=3 encr_pad_errs=4 life(c,s,h)= refcount=4 ref=-1",
}
OPENSWAN_24 = {
    "no nat": "esp0x25fc4b@203.0.113.7 ESP_AES_HMAC_SHA1: dir=in  src=198.51.100.9"
    " iv_bits=128bits iv=0x00112233445566778899aabbccddeeff ooowin=64 alen=160 aklen=160 eklen=128"
    " life(c,s,h)=addtime(0,0,0) natencap=none natsport=0 natdport=0 refcount=4 ref=6",
    "no nat code": "tun0x1002@198.51.100.9 IPIP: dir=out src=203.0.113.7 life(c,s,h)=addtime(2,0,0)"
    " natencap=na refcount=4 ref=0",
    "larval": "esp0xabcdef01@203.0.113.7 ESP: dir=in  src=198.51.100.9 life(c,s,h)="
    " natencap=none natsport=0 natdport=0 refcount=4 ref=3",
    "no source": "esp0xabcdef01@203.0.113.7 ESP: dir=in  life(c,s,h)="
    " natencap=none natsport=0 natdport=0 refcount=4 ref=3",
    "draft": "esp0x5@198.51.100.9 ESP_3DES_HMAC_MD5: dir=out src=203.0.113.7 alen=128 eklen=192"
    " life(c,s,h)=alloc(2,0,0) natencap=nonike natsport=500 natdport=1027 refcount=4 ref=3",
}
OPENSWAN_26 = {
    "v6": "tun0x1001@2001:db8:1:2::45 IPIP: dir=in  src=2001:db8:1:2::23"
    " policy=2001:db8:0:2::/64->2001:db8:0:1::/64 flags=0x8<> life(c,s,h)=bytes(416,0,0) idle=1"
    " natencap=nonesp natsport=4500 natdport=4500 refcount=3 ref=3 refhim=0",
    "mast": "tun0x1002@198.51.100.9 IPIP: dir=out src=203.0.113.7"
    " policy=10.7.0.0/16->10.9.0.0/16 flags=0x10<> life(c,s,h)=addtime(9,0,0) natencap=none"
    " natsport=0 natdport=0 refcount=4 ref=16 refhim=9 outif=mast0:12",
    "debug": "esp0x5@198.51.100.9 ESP_NULL_HMAC_SHA2_256: dir=out src=203.0.113.7 alen=256"
    " life(c,s,h)= natencap=none natsport=0 natdport=0 refcount=1 ref=2 refhim=0 reftable=0"
    " refentry=2",
    "numbered": "esp0x5@198.51.100.9 ESP_ID7_ID9: dir=out src=203.0.113.7"
    " life(c,s,h)= natencap=none natsport=0 natdport=0 refcount=1 ref=2 refhim=0",
}
LIBRESWAN = {
    "jiffies": "esp0x6@203.0.113.7 ESP_SERPENT_HMAC_SHA2_512: dir=in  src=198.51.100.9"
    " iv_bits=128bits iv=0xa5a6a7a8a9aaabacadaeafb0b1b2b3b4 ooowin=32 seq=2147483647 bit=0xf"
    " alen=512 aklen=512 eklen=256 jiffies=4294937296"
    " life(c,s,h)=bytes(752,0,0)addtime(31,27000,28800)usetime(30,0,0)packets(4,0,0) idle=26"
    " natencap=none natsport=0 natdport=0 refcount=3 ref=2 refhim=1",
    "limit alone": "comp0x6593@203.0.113.7 COMP_DEFLATE: dir=in  src=198.51.100.9 ooowin=32"
    " jiffies=1 life(c,s,h)=bytes(0,1000,2000) natencap=none natsport=0 natdport=0 refcount=5"
    " ref=8 refhim=0",
}
FAMILIES = {
    "FreeS/WAN 1.91": FREESWAN_191,
    "FreeS/WAN 1.97": FREESWAN_197,
    "Openswan 2.0": OPENSWAN_20,
    "Openswan 2.4": OPENSWAN_24,
    "Openswan 2.6": OPENSWAN_26,
    "libreswan 3": LIBRESWAN,
}
ROWS = [
    pytest.param(row, id=f"{family} {name}")
    for family, rows in FAMILIES.items()
    for name, row in rows.items()
]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_kernel_comes_back_byte_for_byte(row: str) -> None:
    association = sound(row)
    assert format_association(association) == row
    assert read(format_association(association))[0] == association


@pytest.mark.parametrize("row", ROWS)
def test_blanks_around_a_row_mean_nothing(row: str) -> None:
    association, items = read(f"  {row} \t")
    assert not items
    assert association == read(row)[0]


def test_freeswan_191_names_ages_in_its_own_way() -> None:
    association = sound(FREESWAN_191["counters"])
    assert (association.encryption, association.authentication) == ("3des", "md5")
    assert association.lifetimes == Lifetimes(
        bytes=Lifetime(1), addtime=Lifetime(12, 0, 28800), usetime=Lifetime(4), packets=Lifetime(1)
    )
    assert dict(association.shown)["bit"] == "0x00000000007"
    assert association.sequence == 3


def test_freeswan_197_prints_compression_and_its_ratio() -> None:
    association = sound(FREESWAN_197["ratio"])
    assert (association.compression, association.encryption) == ("lzs", "")
    assert ("ratio", "4096:1012") in association.shown
    assert sound(FREESWAN_197["raw stamps"]).encryption == ""
    assert sound(FREESWAN_197["raw stamps"]).authentication == "sha1"


def test_openswan_20_shows_policy_flags_and_a_negative_sequence() -> None:
    policy = sound(OPENSWAN_20["policy"])
    assert policy.policy == (parse_prefix("10.9.0.0/16"), Prefix(4, 0x0A070000, 0xFFFF00FF))
    assert (policy.flags, policy.reference, policy.inbound) == (8, 9, True)
    errors = sound(OPENSWAN_20["errors"])
    assert errors.sequence == 0xFFFFFFFE
    assert errors.lifetimes == NO_LIMITS
    assert (errors.encryption_bits, errors.authentication_bits) == (256, 160)
    assert errors.replay_window == 64
    assert [name for name, _ in errors.shown] == [
        *("ooo_errs", "bit", "max_seq_diff", "aklen", "auth_errs", "encr_size_errs"),
        *("encr_pad_errs", "refcount"),
    ]


def test_openswan_24_shows_nat_traversal() -> None:
    draft = sound(OPENSWAN_24["draft"])
    assert draft.encapsulation == Encapsulation("nonike", 500, 1027)
    assert draft.lifetimes.allocations == Lifetime(2)
    assert draft.inbound is False
    for name in ("no nat", "no nat code", "larval"):
        assert sound(OPENSWAN_24[name]).encapsulation is None
    larval = sound(OPENSWAN_24["larval"])
    assert (larval.encryption, larval.authentication, larval.source) == ("", "", (4, 0xC6336409))
    assert sound(OPENSWAN_24["no source"]).source is None


def test_openswan_26_shows_ipv6_and_names_algorithms_by_number() -> None:
    v6 = sound(OPENSWAN_26["v6"])
    assert v6.policy == (parse_prefix("2001:db8:0:2::/64"), parse_prefix("2001:db8:0:1::/64"))
    assert v6.encapsulation == Encapsulation("nonesp", 4500, 4500)
    numbered = sound(OPENSWAN_26["numbered"])
    assert (numbered.encryption, numbered.authentication) == ("id7", "id9")
    mast = sound(OPENSWAN_26["mast"])
    assert (mast.flags, mast.inbound, mast.reference) == (16, False, 16)
    assert mast.policy is not None
    assert ("outif", "mast0:12") in mast.shown


def test_libreswan_shows_limits_and_jiffies() -> None:
    association = sound(LIBRESWAN["jiffies"])
    assert association.lifetimes.addtime == Lifetime(31, 27000, 28800)
    assert (association.encryption, association.authentication) == ("serpent", "sha2_512")
    assert association.sequence == 0x7FFFFFFF
    assert sound(LIBRESWAN["limit alone"]).lifetimes.bytes == Lifetime(0, 1000, 2000)


def test_a_number_that_stands_alone_behind_ah_is_its_authenticator() -> None:
    association = sound("ah0x5@203.0.113.7 AH_ID5: dir=out life(c,s,h)=")
    assert (association.encryption, association.authentication) == ("", "id5")


def test_an_association_of_a_script_prints_what_is_known() -> None:
    association = Association(
        parse_said("esp0x100@203.0.113.7"), SPAN, encryption="3des", authentication="sha1"
    )
    assert (
        format_association(association) == "esp0x100@203.0.113.7 ESP_3DES_HMAC_SHA1: life(c,s,h)="
    )


# -- what is not sound

ROW = (
    "esp0x25fc4b@203.0.113.7 ESP_AES_HMAC_SHA1: dir=in  src=198.51.100.9 ooowin=64 seq=5"
    " alen=160 aklen=160 eklen=128 life(c,s,h)=bytes(416,0,0) natencap=nonesp natsport=4500"
    " natdport=4501 refcount=4 ref=6"
)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "esp0x25fc4b@203.0.113.7 ",
        "tun0x1002@203.0.113.7 esp0x25fc4b@203.0.113.7 ",
        "10         10.0.0.0/8         -> 192.168.1.0/24     => tun0x1002@203.0.113.7",
        "ipsec0 -> eth1 mtu=16260(1500) -> 1500",
        "esp0x25fc4b@203.0.113.7 was deleted",
        "life(c,s,h)= stands for current, soft and hard",
    ],
)
def test_other_lines_are_not_taken_for_an_association(line: str) -> None:
    assert not looks_like_association(line)


@pytest.mark.parametrize(
    "line",
    [
        " (error) ESP_AES: dir=in  life(c,s,h)=",
        "esp0x25fc4b@203.0.113.7 ESP_AE",
        "esp0x25fc4b@203.0.113.7 ESP_AES_HMAC_SHA1:",
        "5fc4b@203.0.113.7 ESP_AES_HMAC_SHA1: dir=in  src=198.51.100.9",
        "=64 alen=160 aklen=160 eklen=128 life(c,s,h)=addtime(1,0,0)",
        "h)= natencap=none natsport=0 natdport=0 refcount=4 ref=3",
        "esp0xSPI#@203.0.113.7 ESP_AES: dir=in  life(c,s,h)=",
    ],
)
def test_a_row_without_its_head_or_tail_is_one_all_the_same(line: str) -> None:
    assert looks_like_association(line)
    association, items = read(line)
    assert association is None
    assert [item.severity for item in items] == [Severity.ERROR]
    assert items[0].code in ("ET130", "ET131", "ET133")


@pytest.mark.parametrize("end", range(1, len(ROW)))
def test_of_a_cut_row_only_what_is_certain_is_kept(end: int) -> None:
    whole = sound(ROW)
    line = ROW[:end]
    if not looks_like_association(line):
        assert end < len("esp0x25fc4b@203.0.113.7 ESP")
        return
    association, items = read(line)
    cut_at_life = line.rstrip().endswith(("life(c,s,h)=", "life(c,s,h)=bytes(416,0,0)"))
    cut_in_ref = line.endswith("ref=")
    if association is None:
        assert "dir=in" not in line
        assert codes(items) == ["ET131"]
    elif cut_at_life:
        assert not items  # as FreeS/WAN 1.97 prints it
    else:
        assert codes(items) == (["ET130"] if cut_in_ref else ["ET131"])
    if association is not None:
        for name in ("source", "replay_window", "sequence", "encryption_bits", "reference"):
            assert getattr(association, name) in (getattr(whole, name), None, 0)
        assert association.lifetimes in (whole.lifetimes, NO_LIMITS)
        assert association.encapsulation in (
            None,
            Encapsulation("nonesp", 0, 0),
            Encapsulation("nonesp", 4500, 0),
            whole.encapsulation,
        )


def test_the_kind_of_encapsulation_of_a_cut_row_may_have_been_longer() -> None:
    association, items = read(ROW[: ROW.index("esp natsport")] + "e")
    assert association is not None
    assert association.encapsulation is None
    assert codes(items) == ["ET131"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("ooowin=64", "ooowin=6x", "ET130"),
        ("ooowin=64", "ooowin=-1", "ET130"),
        ("seq=5", "seq=99999999999", "ET130"),
        ("src=198.51.100.9", "src=198.51.100", "ET130"),
        ("src=198.51.100.9", "src=198.51.100.900", "ET130"),
        ("src=198.51.100.9", "src=2001:db8::1", "ET104"),
        ("alen=160", "alen=160 alen=160", "ET136"),
        ("bytes(416,0,0)", "bytes(416,0)", "ET130"),
        ("bytes(416,0,0)", "bytes(416,0,0)bytes(416,0,0)", "ET130"),
        ("bytes(416,0,0)", "octets(416,0,0)", "ET130"),
        ("natsport=4500", "natsport=70000", "ET130"),
        ("natencap=nonesp", "natencap=unknown", "ET133"),
        ("natencap=nonesp", "natencap=teredo", "ET130"),
        ("natdport=4501 ", "", "ET131"),
        ("refcount=4 ref=6", "refcount=4", "ET131"),
        ("ref=6", "ref=6 tun0x1@1.2.3.4 IPIP: dir=out", "ET130"),
        ("seq=5", "stray words", "ET130"),
    ],
)
def test_damage_is_an_error_and_hides_nothing_else(old: str, new: str, code: str) -> None:
    association, items = read(ROW.replace(old, new))
    assert codes(items) == [code]
    assert items[0].severity is Severity.ERROR
    assert association is not None
    assert association.encryption_bits == 128
    assert items[0].span is not None
    assert ROW.startswith(items[0].excerpt[: items[0].span.column - 1][:40])


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("dir=in ", "dir=up ", "ET130"),
        ("dir=in ", "dir=in dir=out", "ET136"),
        ("dir=in ", "", "ET131"),
        ("@203.0.113.7", "@203.0.113", "ET130"),
        ("0x25fc4b", "0xSPI", "ET130"),
        ("ESP_AES", "ESP_ROT13", "ET130"),
        ("ESP_AES", "AH_AES", "ET130"),
        ("ESP_AES", "ESP_LZS", "ET130"),
    ],
)
def test_without_said_transform_or_direction_there_is_no_association(
    old: str, new: str, code: str
) -> None:
    association, items = read(ROW.replace(old, new, 1))
    assert association is None
    assert codes(items) == [code]


def test_a_field_that_no_version_prints_is_named_and_its_value_never_shown() -> None:
    line = ROW.replace(" eklen", " ekey=0x00112233445566778899aabbccddeeff eklen")
    association, items = read(line)
    assert association == sound(ROW)
    assert codes(items) == ["ET132"]
    assert items[0].severity is Severity.WARNING
    assert "'ekey'" in items[0].message
    shown = render_text(items[0]) + repr(association) + repr(items)
    assert "0011223344" not in shown
    assert items[0].span is not None
    column = items[0].span.column - 1
    assert items[0].excerpt[column:].startswith("ekey=*****")


@pytest.mark.parametrize(
    "secret",
    [
        "key: 0x00112233445566778899aabbccddeeff",
        "0sABCDEFGHIJKLMNOPQRSTUVWXYZ01234=",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345==",
        "00112233445566778899aabbccddeeff",
        "iv=0x12,ekey=0x00112233445566778899aabbccddeeff",
    ],
)
def test_what_looks_like_a_key_is_never_shown(secret: str) -> None:
    _, items = read(ROW.replace("ooowin=64", secret))
    assert items
    text = "".join(map(render_text, items)) + repr(items)
    assert "0011223344" not in text
    assert "ABCDEFGH" not in text


def test_a_line_of_a_thousand_wrong_words_is_not_a_thousand_findings() -> None:
    association, items = read(ROW.replace("seq=5", "key=1 " * 1000))
    assert association is not None
    assert len(items) == 12
    assert items[-1].severity is Severity.ERROR
    assert items[-1].message == "more of this row cannot be read"


def test_the_iv_is_public() -> None:
    _, items = read(FREESWAN_191["counters"].replace("seq=3", "seq="))
    assert "iv=0x0102030405060708" in items[0].excerpt


def test_text_behind_a_whole_row_is_one_warning() -> None:
    association, items = read(f"{ROW} # the one to Bonn")
    assert association == sound(ROW)
    assert codes(items) == ["ET117"]
    assert items[0].span is not None
    assert (items[0].span.column, items[0].span.end_column) == (len(ROW) + 2, len(ROW) + 19)


def test_fields_in_another_order_may_be_of_two_rows() -> None:
    association, items = read(ROW.replace("ooowin=64 seq=5", "seq=5 ooowin=64"))
    assert association == sound(ROW)
    assert codes(items) == ["ET136"]
    assert items[0].severity is Severity.WARNING


def test_what_klips_did_not_know_is_a_warning() -> None:
    line = "unk770x100@203.0.113.7 UNKNOWN_proto: dir=in  life(c,s,h)= refcount=4 ref=6"
    association, items = read(line)
    assert codes(items) == ["ET133"]
    assert association is not None
    assert format_association(association) == line
    association, items = read(ROW.replace("ESP_AES", "ESP_UNKNOWN_encr"))
    assert codes(items) == ["ET133"]
    assert association is not None
    assert association.encryption == "unknown"


def test_a_policy_whose_mask_the_printer_hid_is_not_taken_for_a_wider_one() -> None:
    line = OPENSWAN_26["v6"].replace("2001:db8:0:1::/64", "2001:db8:0:1:600::/64")
    association, items = read(line)
    assert codes(items) == ["ET112"]
    assert association is not None
    assert association.policy is None
    assert association.flags == 8
    assert format_association(association) == line


def test_an_ipv6_mask_with_holes_is_read_where_it_is_printed() -> None:
    line = OPENSWAN_26["v6"].replace("2001:db8:0:1::/64", "2001:db8::/ffff:ffff:0:ffff::")
    assert format_association(sound(line)) == line


@pytest.mark.parametrize(
    "policy", ["10.0.0.0/8", "10.0.0.0/8->10.0.0/8", "10.0.0.0/8->2001:db8::/32", "10.0.0.0/8->/"]
)
def test_a_policy_that_cannot_be_read_is_an_error(policy: str) -> None:
    association, items = read(
        OPENSWAN_20["policy"].replace("10.9.0.0/16->10.7.0.0/255.255.0.255", policy)
    )
    assert codes(items) == ["ET130"]
    assert association is not None
    assert association.policy is None
    assert association.flags == 8


# -- the parts


@pytest.mark.parametrize(
    ("name", "transform"),
    [
        ("IPIP", Transform(4)),
        ("ESP", Transform(50)),
        ("ESP_NULL_HMAC_MD5", Transform(50, "null", "md5")),
        ("ESP_3DES", Transform(50, "3des")),
        ("ESP_3IDEA", Transform(50, "3idea")),
        ("ESP_TWOFISH_HMAC_SHA2_384", Transform(50, "twofish", "sha2_384")),
        ("ESP_ID12_HMAC_SHA1", Transform(50, "id12", "sha1")),
        ("ESP_AES_ID252", Transform(50, "aes", "id252")),
        ("AH_HMAC_SHA1", Transform(51, "", "sha1")),
        ("AH_ID9", Transform(51, "", "id9")),
        ("COMP_DEFLATE", Transform(108, compression="deflate")),
        ("COMP_NONE", Transform(108, compression="none")),
        ("COMP_UNKNOWN_comp", Transform(108, compression="unknown")),
        ("COMP_LZS_HMAC_MD5", Transform(108, "", "md5", "lzs")),
        ("UNKNOWN_proto", Transform(None)),
        ("ESP_UNKNOWN_encr_UNKNOWN_auth", Transform(50, "unknown", "unknown")),
    ],
)
def test_names_of_transforms(name: str, transform: Transform) -> None:
    assert parse_transform(name) == transform
    assert format_transform(transform) == name
    assert transform.names_all == ("UNKNOWN" not in name)


@pytest.mark.parametrize("name", ["", "TUN", "ESP_", "ESP_ROT13", "ESP_AES_SHA1", "AH_LZS", "esp"])
def test_what_is_no_transform(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a transform"):
        parse_transform(name)


def test_limits_are_unsigned_and_ages_never_negative() -> None:
    lifetimes = parse_lifetimes("addtime(-3,-1,18446744073709551615)")
    assert lifetimes.addtime == Lifetime(0, (1 << 64) - 1, (1 << 64) - 1)
