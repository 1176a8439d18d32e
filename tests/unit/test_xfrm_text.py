"""Reader and printer of ``ip xfrm policy`` text, on texts of the formats of iproute2."""

from __future__ import annotations

import pytest

from eroute_translate.net import Prefix, Selector, parse_address, parse_prefix
from eroute_translate.xfrm.model import Policy, Template
from eroute_translate.xfrm.read_text import read_policies
from eroute_translate.xfrm.text import key_arguments, policy_arguments


def selector(source: str, destination: str, *rest: int) -> Selector:
    return Selector(parse_prefix(source), parse_prefix(destination), *rest)


def address(text: str) -> int:
    return parse_address(text)[1]


V4 = selector("10.0.0.0/24", "10.1.0.0/16")
V6 = selector("2001:db8::/32", "::/0")

PLAIN = """\
src ::/0 dst ::/0 
\tsocket in action block priority 0 ptype main 
src 0.0.0.0/0 dst 0.0.0.0/0 
\tdir 4 priority 3 ptype main 
src 2001:db8::/32 dst ::/0 
\tdir out priority 0 ptype main 
\tmark 0/0xff 
\ttmpl src fe80::1 dst fe80::2
\t\tproto ah spi 0xc0000000 reqid 5 mode beet
src 10.0.0.0/24 dst 10.1.0.0/16 proto gre key 16909060 
\tdir in priority 0 ptype main 
src 10.0.0.0/24 dst 10.1.0.0/16 proto icmp type 3 code 0 
\tdir out priority 0 ptype sub flag localok icmp f0
src 10.0.0.0/24 dst 10.1.0.0/16 proto ipencap dev if7 
\tdir fwd priority 4294967295 ptype main 
\tif_id 0x99
src 10.0.0.0/24 dst 10.1.0.0/16 proto tcp sport 5 dport 80 
\tdir out action block priority 5 ptype main 
\tmark 0x5/0xff 
\tif_id 0x4d
src 10.0.0.5/24 dst 10.1.0.0/16
\tdir out priority 5 ptype main
\ttmpl src 1.1.1.1 dst 2.2.2.2
\t\tproto esp spi 0x00001000 reqid 7 mode tunnel
\ttmpl src 0.0.0.0 dst 0.0.0.0
\t\tproto comp reqid 0 mode transport
\t\tlevel use 
"""  # noqa: W291

POLICIES = (
    Policy("socket in", selector("::/0", "::/0"), 0, "block"),
    Policy("socket out", selector("0.0.0.0/0", "0.0.0.0/0"), 3),
    Policy(
        "out",
        V6,
        0,
        "allow",
        (Template(51, "beet", 6, address("fe80::1"), address("fe80::2"), 5, 0xC0000000),),
        (0, 0xFF),
    ),
    Policy("in", V4._replace(protocol=47, source_port=0x102, destination_port=0x304), 0),
    Policy(
        "out",
        V4._replace(protocol=1, source_port=3),
        0,
        port_masks=(0xFFFF, 0xFFFF),
        ptype="sub",
    ),
    Policy("fwd", V4._replace(protocol=4), 0xFFFFFFFF, if_id=0x99, ifindex=7),
    Policy(
        "out",
        V4._replace(protocol=6, source_port=5, destination_port=80),
        5,
        "block",
        mark=(5, 0xFF),
        if_id=77,
    ),
    Policy(
        "out",
        selector("10.0.0.5/24", "10.1.0.0/16"),
        5,
        "allow",
        (
            Template(50, "tunnel", 4, address("1.1.1.1"), address("2.2.2.2"), 7, 0x1000),
            Template(108, "transport", 4, optional=True),
        ),
    ),
)

STATS = """\
src 10.0.0.0/24 dst 10.1.0.0/16 proto sctp dport 7 uid 1000
\tdir in action allow index 64 priority 9 ptype main share any flag localok (0x00000001)
\tsecurity context system_u:object_r:ipsec_spd_t:s0 
\tlifetime config:
\t  limit: soft 100(bytes), hard (INF)(bytes)
\t  limit: soft (INF)(packets), hard 6(packets)
\t  expire add: soft 0(sec), hard 1000(sec)
\t  expire use: soft 5(sec), hard 0(sec)
\tlifetime current:
\t  0(bytes), 0(packets)
\t  add 2026-11-23 13:11:38 use -
\tmark 0x5/0xffffffff 
\ttmpl src 1.1.1.1 dst 2.2.2.2
\t\tproto esp spi 0x00001000(4096) reqid 7(0x00000007) mode tunnel
\t\tlevel use share any 
\t\tenc-mask ffffffff auth-mask 00000010 comp-mask ffffffff
\tcrypto offload parameters: dev eth0 mode packet
"""  # noqa: W291


def test_plain_text() -> None:
    reading = read_policies(PLAIN)
    assert reading.diagnostics == ()
    assert reading.policies == POLICIES
    assert [entry.span.line for entry in reading.entries] == [1, 3, 5, 10, 12, 14, 17, 21]
    assert reading.entries[-1].span.end_line == 27
    assert reading.entries[4].flags == 0xF3
    assert reading.entries[5].device == "if7"


def test_one_line_per_policy() -> None:
    joined = PLAIN.replace("\n", "\\").replace("\\src", "\\\nsrc") + "\n"
    assert joined.count("\n") == len(POLICIES)
    reading = read_policies(joined)
    assert reading.diagnostics == ()
    assert reading.policies == POLICIES
    assert [entry.span.line for entry in reading.entries] == list(range(1, 9))


def test_indentation_and_line_ends_do_not_matter() -> None:
    text = "".join(f"    {line.replace(chr(9), '  ')}\r\n\r\n" for line in PLAIN.splitlines())
    assert read_policies(text).policies == POLICIES
    assert read_policies(text).diagnostics == ()


@pytest.mark.parametrize("text", [STATS, STATS.rstrip("\n").replace("\n", "\\") + "\\\n"])
def test_statistics(text: str) -> None:
    reading = read_policies(text)
    assert reading.diagnostics == ()
    (entry,) = reading.entries
    assert entry.policy == Policy(
        "in",
        V4._replace(protocol=132, destination_port=7),
        9,
        "allow",
        (Template(50, "tunnel", 4, address("1.1.1.1"), address("2.2.2.2"), 7, 4096, True),),
        (5, 0xFFFFFFFF),
        index=64,
    )
    assert entry.user == 1000
    assert entry.flags == 1
    assert entry.limits == (
        ("byte-soft", 100),
        ("packet-hard", 6),
        ("time-hard", 1000),
        ("time-use-soft", 5),
    )
    assert entry.extras == (
        ("security context", "system_u:object_r:ipsec_spd_t:s0"),
        ("auth-mask of template 1", "00000010"),
        ("offload", "dev eth0 mode packet"),
    )


def test_device_names() -> None:
    text = "src 10.0.0.0/24 dst 10.1.0.0/16 dev eth0 \n\tdir in priority 1 ptype main \n"
    assert read_policies(text, devices={"eth0": 3}).policies == (Policy("in", V4, 1, ifindex=3),)
    (item,) = read_policies(text).diagnostics
    assert item.code == "ET101"
    assert "index of device eth0" in item.message


def test_empty() -> None:
    assert read_policies("") == ((), ())
    assert read_policies("\n\n") == ((), ())


GOOD = "src 10.0.0.0/24 dst 10.1.0.0/16 \n\tdir in priority 1 ptype main \n"
HEAD = "src 10.0.0.0/24 dst 10.1.0.0/16 "
DIR = "\n\tdir in priority 1 ptype main \n"


@pytest.mark.parametrize(
    ("text", "code", "line", "word"),
    [
        ("garbage here\n\tmore\n", "ET101", 1, "garbage"),
        ("Deleted " + GOOD, "ET101", 1, "Deleted"),
        ("src 10.0.0/24 dst 10.1.0.0/16" + DIR, "ET102", 1, "10.0.0/24"),
        ("src 10.0.0.0/24 dst 10.1.0.0/33" + DIR, "ET102", 1, "10.1.0.0/33"),
        ("src 10.0.0.0/24 dst ::/0" + DIR, "ET104", 1, "::/0"),
        ("src 10.0.0.0/24 from ::/0" + DIR, "ET101", 1, "from"),
        (HEAD + "proto tcpx" + DIR, "ET105", 1, "tcpx"),
        (HEAD + "proto 256" + DIR, "ET105", 1, "256"),
        (HEAD + "proto tcp sport 65536" + DIR, "ET105", 1, "65536"),
        (HEAD + "proto tcp sport 0" + DIR, "ET105", 1, "0"),
        (HEAD + "proto tcp type 0" + DIR, "ET105", 1, "type"),
        (HEAD + "proto icmp sport 5" + DIR, "ET105", 1, "sport"),
        (HEAD + "proto tcp key 5" + DIR, "ET105", 1, "key"),
        (HEAD + "proto gre key 1.2.3" + DIR, "ET105", 1, "1.2.3"),
        (HEAD + "sport" + DIR, "ET106", 1, ""),
        (HEAD + "\n\tdir sideways priority 1\n", "ET101", 2, "sideways"),
        (HEAD + "\n\tdir in priority 4294967296\n", "ET101", 2, "4294967296"),
        (HEAD + "\n\tdir in priority " + "9" * 5000 + "\n", "ET101", 2, "9" * 5000),
        (HEAD + "\n\tdir in action maybe priority 1\n", "ET101", 2, "maybe"),
        (HEAD + "\n\tdir in priority 1 ptype other\n", "ET101", 2, "other"),
        (HEAD + DIR + "\tmark 5\n", "ET101", 3, "5"),
        (HEAD + DIR + "\tunheard of\n", "ET101", 3, "unheard"),
        (HEAD + DIR + "\t  limit: soft x(bytes), hard (INF)(bytes)\n", "ET101", 3, "limit:"),
        (HEAD + DIR + "\ttmpl src 1.2.3 dst 1.2.3.4\n", "ET102", 3, "1.2.3"),
        (HEAD + DIR + "\ttmpl src 1.2.3.4 dst ::\n", "ET104", 3, "::"),
        (HEAD + DIR + "\ttmpl src 1.2.3.4 dst 1.2.3.5\n", "ET106", 3, ""),
        (HEAD + DIR + "\ttmpl src 1.2.3.4 dst 1.2.3.5\n\t\tproto tcp\n", "ET101", 4, "tcp"),
        (HEAD + DIR + "\ttmpl src 1.2.3.4 dst 1.2.3.5\n\t\tproto esp odd\n", "ET101", 4, "odd"),
        (HEAD + "\n", "ET106", 1, ""),
        ("src 10.0.0.0/24\n", "ET106", 1, ""),
        (HEAD + "\\\tdir in\\\tpriority x\\\n", "ET101", 1, "x"),
    ],
)
def test_one_bad_entry_hides_no_other(text: str, code: str, line: int, word: str) -> None:
    before = 1 if text.startswith("src") else 0
    reading = read_policies(GOOD * before + text + GOOD, "spd.txt")
    assert reading.policies == (Policy("in", V4, 1),) * (1 + before)
    (item,) = reading.diagnostics
    assert item.code == code
    span = item.span
    assert span is not None
    assert (span.file, span.line - 2 * before) == ("spd.txt", line)
    assert item.excerpt[span.column - 1 : span.end_column - 1] == word


def test_a_cut_text_is_told() -> None:
    reading = read_policies(GOOD.rstrip())
    assert reading.policies == (Policy("in", V4, 1),)
    assert [item.code for item in reading.diagnostics] == ["ET106"]


TUNNEL = Template(50, "tunnel", 4, address("1.1.1.1"), address("2.2.2.2"), 7)


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (Policy("out", V4, 5), "src 10.0.0.0/24 dst 10.1.0.0/16 dir out priority 5"),
        (
            Policy("fwd", V4, 5, "block", mark=(0x105, 0xFF), if_id=9, ptype="sub"),
            (
                "src 10.0.0.0/24 dst 10.1.0.0/16 dir fwd mark 0x5 mask 0xff if_id 0x9 ptype sub "
                "action block priority 5"
            ),
        ),
        (
            Policy("in", V4._replace(protocol=6, destination_port=80), 5, "allow", (TUNNEL,)),
            (
                "src 10.0.0.0/24 dst 10.1.0.0/16 proto tcp dport 80 dir in priority 5 "
                "tmpl src 1.1.1.1 dst 2.2.2.2 proto esp reqid 7 mode tunnel"
            ),
        ),
        (
            Policy(
                "in",
                V6._replace(protocol=58, source_port=135),
                5,
                "allow",
                (
                    Template(108, "transport", 6, reqid=0, optional=True, spi=0x10),
                    Template(51, "transport", 6, 0, 1, 2),
                ),
                ifindex=3,
            ),
            (
                "src 2001:db8::/32 dst ::/0 dev if3 proto ipv6-icmp type 135 dir in priority 5 "
                "tmpl src :: dst :: proto comp spi 0x00000010 reqid 0 mode transport level use "
                "tmpl src :: dst ::1 proto ah reqid 2 mode transport"
            ),
        ),
        (
            Policy("out", V4._replace(protocol=1), 1, port_masks=(0xFFFF, 0xFFFF)),
            "src 10.0.0.0/24 dst 10.1.0.0/16 proto icmp type 0 code 0 dir out priority 1",
        ),
        (
            Policy("out", V4._replace(protocol=47), 1, port_masks=(0xFFFF, 0xFFFF)),
            "src 10.0.0.0/24 dst 10.1.0.0/16 proto gre key 0 dir out priority 1",
        ),
        (
            Policy("out", V4._replace(source_port=9), 1, mark=(4, 0)),
            "src 10.0.0.0/24 dst 10.1.0.0/16 sport 9 dir out priority 1",
        ),
        (
            Policy("out", V4._replace(protocol=50), 1, port_masks=(0, 0)),
            "src 10.0.0.0/24 dst 10.1.0.0/16 proto 50 dir out priority 1",
        ),
    ],
)
def test_arguments(policy: Policy, text: str) -> None:
    assert policy_arguments(policy) == text


def test_arguments_with_a_device_and_numbers() -> None:
    policy = Policy("out", V4._replace(protocol=17), 1, "block", ifindex=3)
    assert policy_arguments(policy, "eth0", numeric=True) == (
        "src 10.0.0.0/24 dst 10.1.0.0/16 dev eth0 proto 17 dir out action block priority 1"
    )


def test_key_arguments() -> None:
    policy = Policy(
        "out",
        V4._replace(protocol=17, source_port=5),
        1,
        "block",
        (TUNNEL,),
        (1, 3),
        4,
        ptype="sub",
    )
    assert key_arguments(policy) == (
        "src 10.0.0.0/24 dst 10.1.0.0/16 proto udp sport 5 dir out mark 0x1 mask 0x3 if_id 0x4 "
        "ptype sub"
    )
    assert key_arguments(Policy("in", V6, 9)) == "src 2001:db8::/32 dst ::/0 dir in"


GAP = Prefix(4, 0, 0xFF00FF00)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy("out", V4._replace(source=GAP), 1), "holes"),
        (Policy("out", V4._replace(source=V6.source), 1), "two address families"),
        (Policy("socket in", V4, 1), "direction 'socket in'"),
        (Policy("socket in", V4, 1, if_id=1), "direction 'socket in'"),
        (Policy("out", V4, 1 << 32), "priority"),
        (Policy("out", V4, -1), "priority"),
        (Policy("out", V4, 1, "reject"), "not an action"),
        (Policy("out", V4, 1, ptype="any"), "policy type"),
        (Policy("out", V4, 1, if_id=1 << 32), "32 bits"),
        (Policy("out", V4, 1, mark=(0, 1 << 32)), "32 bits"),
        (Policy("out", V4, 1, "allow", (TUNNEL,) * 7), "7 templates"),
        (Policy("out", V4, 1, "allow", (TUNNEL._replace(protocol=4),)), "protocol 4"),
        (Policy("out", V4, 1, "allow", (TUNNEL._replace(protocol=255),)), "protocol 255"),
        (Policy("out", V4, 1, "allow", (TUNNEL._replace(mode="odd"),)), "not a mode"),
        (Policy("out", V4, 1, "allow", (TUNNEL._replace(reqid=1 << 32),)), "32 bits"),
        (Policy("out", V4, 1, "allow", (TUNNEL._replace(protocol=60, spi=1),)), "no SPI"),
        (Policy("out", V4, 1, "allow", (TUNNEL._replace(protocol=108, spi=1 << 16),)), "too large"),
        (Policy("out", V4._replace(protocol=256), 1), "8 bits"),
        (Policy("out", V4._replace(protocol=50, source_port=1), 1), "no ports"),
        (Policy("out", V4._replace(protocol=136, source_port=1), 1), "no ports"),
        (Policy("out", V4._replace(protocol=6, source_port=1 << 16), 1), "port 0x10000"),
        (Policy("out", V4._replace(protocol=6), 1, port_masks=(0xFC00, 0)), "mask 0xfc00"),
        (Policy("out", V4._replace(protocol=6), 1, port_masks=(0, 0xFFFF)), "port 0"),
        (Policy("out", V4._replace(source_port=5), 1, port_masks=(0, 0)), "port 0x5"),
        (Policy("out", V4._replace(protocol=1, source_port=256), 1), "8 bits"),
        (Policy("out", V4._replace(protocol=47, source_port=1), 1), "half a GRE key"),
    ],
)
def test_what_ip_cannot_express(policy: Policy, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        policy_arguments(policy)


def test_a_key_that_delete_cannot_name() -> None:
    policy = Policy("out", V4, 1, mark=(0, 0xFF))
    assert policy_arguments(policy).endswith("dir out mark 0x0 mask 0xff priority 1")
    with pytest.raises(ValueError, match="cannot name"):
        key_arguments(policy)
    with pytest.raises(ValueError, match="two address families"):
        key_arguments(policy._replace(selector=V4._replace(source=V6.source)))


@pytest.mark.parametrize("name", ["two words", "a/b", "a\nb", "a'b", "#a"])
def test_a_device_name_that_would_break_the_line(name: str) -> None:
    with pytest.raises(ValueError, match="name of a device"):
        policy_arguments(Policy("out", V4, 1), name)
