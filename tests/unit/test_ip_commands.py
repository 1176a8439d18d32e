"""Scripts and batches of ``ip xfrm policy`` commands, read without being run."""

from __future__ import annotations

from typing import Any

import pytest

from eroute_translate.cli import main
from eroute_translate.diagnostics import Span
from eroute_translate.klips.shell import read_shell
from eroute_translate.net import parse_prefix
from eroute_translate.render import Target
from eroute_translate.xfrm.command_text import (
    batch_lines,
    is_batch,
    looks_like_commands,
    looks_like_policies,
)
from eroute_translate.xfrm.commands import CommandReading, read_batch, read_commands
from eroute_translate.xfrm.model import Policy, Template
from tests.translated import ROOT, page, rendered


def script(text: str) -> CommandReading:
    shell = read_shell(text, "script")
    assert not shell.errors
    return read_commands(shell.commands)


def codes(reading: CommandReading) -> list[str]:
    return [item.code for item in reading.diagnostics]


def one(text: str) -> Policy:
    reading = read_batch("xfrm policy add " + text + "\n")
    assert not reading.diagnostics
    (policy,) = reading.policies
    return policy


def test_the_grammar_of_a_policy() -> None:
    policy = one(
        "src 10.1.0.0/16 dst 10.2.3.4 proto tcp sport 0x19 dport 25 dir out mark 7 mask 0xff"
        " if_id 010 index 9 ptype sub action block priority 0x10 flag icmp localok"
        " limit byte-soft 5 tmpl src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1000 reqid 3"
        " mode tun level required tmpl proto ah level use reqid 4"
    )
    assert policy.selector.source == parse_prefix("10.1.0.0/16")
    assert policy.selector.destination == parse_prefix("10.2.3.4/32")
    assert policy.selector[2:] == (6, 25, 25)
    assert policy.port_masks is None
    assert (policy.direction, policy.priority, policy.action) == ("out", 16, "block")
    assert (policy.mark, policy.if_id, policy.index, policy.ptype) == ((7, 255), 8, 9, "sub")
    assert policy.templates == (
        Template(50, "tunnel", 4, 0xC0000201, 0xC0000202, 3, 0x1000),
        Template(51, "transport", 4, reqid=4, optional=True),
    )


@pytest.mark.parametrize(
    ("text", "family", "upper", "masks"),
    [
        ("dir out", 4, (0, 0, 0), None),
        ("dst ::/0 dir out", 6, (0, 0, 0), None),
        ("src 10/8 dir out", 4, (0, 0, 0), None),
        ("sport 5 dir out", 4, (0, 5, 0), None),
        ("proto tcp sport 0 dir out", 4, (6, 0, 0), None),
        ("proto icmp type 8 code 0 dir out", 4, (1, 8, 0), (0xFFFF, 0xFFFF)),
        ("proto ipv6-icmp type 0 dir out", 4, (58, 0, 0), (0xFFFF, 0)),
        ("proto gre key 1.2.3.4 dir out", 4, (47, 0x102, 0x304), None),
        ("proto any dir out", 4, (0, 0, 0), None),
    ],
)
def test_what_is_left_out_of_a_selector(
    text: str, family: int, upper: tuple[int, ...], masks: tuple[int, int] | None
) -> None:
    policy = one(text)
    assert policy.selector.family == family
    assert policy.selector[2:] == upper
    assert policy.port_masks == masks


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("add src 10.0.0.0/8 dir out dst 10.1.0.0/16", 40),
        ("add src any dir out", 21),
        ("add src 10.0.0.0/33 dir out", 21),
        ("add dir out prio 5", 25),
        ("add dir out priority -1", 34),
        ("add dir out priority 4294967296", 34),
        ("add dir out dir in", 25),
        ("add dir sideways", 21),
        ("add src 10.0.0.0/8", 1),
        ("add dir out proto esp sport 5", 41),
        ("add dir out key 5", 29),
        ("add dir out flag 4", 30),
        ("add dir out tmpl reqid 5 proto", 1),
        ("add dir out tmpl reqid 5 src 10.0.0.1", 1),
        ("add dir out tmpl proto comp spi 0x10000", 45),
        ("add src 10.0.0.0/8 dst ::/0 dir out", 36),
        ("frobnicate", 1),
        ("setdefault", 1),
        ("setdefault in allow", 27),
        ("delete src 10.0.0.0/8 index 9 dir out", 1),
        ("delete dir out", 1),
    ],
)
def test_what_ip_refuses(text: str, column: int) -> None:
    reading = read_batch(f"xfrm policy {text}\n", "batch")
    (item,) = reading.diagnostics
    assert item.code == "ET340"
    assert item.span is not None
    assert (item.span.line, item.span.column) == (1, column)
    assert not reading.policies


def test_the_oldest_first_and_updates_make_young() -> None:
    reading = read_batch(
        "xfrm policy add src 10.1.0.0/16 dir out priority 1\n"
        "xfrm policy add src 10.2.0.0/16 dir out priority 2\n"
        "xfrm policy update src 10.1.0.0/16 dir out priority 3\n",
        "batch",
    )
    assert [policy.priority for policy in reading.policies] == [2, 3]
    assert [place.line for place in reading.places.values()] == [2, 3]
    assert not reading.diagnostics
    assert reading.commands == 3


def test_a_tie_that_hangs_on_an_update_is_told() -> None:
    text = (
        "xfrm policy add src 10.0.0.0/8 dir out priority 5\n"
        "xfrm policy add src 10.1.0.0/16 dir out priority 5 action block\n"
        "xfrm policy {} dir out priority 5\n"
    )
    told = read_batch(text.format("update src 10.0.0.0/8"))
    assert codes(told) == ["ET348"]
    # Nothing hangs on it: no common packet, or a policy that was not there before.
    assert not codes(read_batch(text.format("update src 11.0.0.0/8")))
    same = text.replace(" action block", "").format("update src 10.0.0.0/8")
    assert not codes(read_batch(same))


def test_the_kernel_refuses_a_second_policy_of_one_key() -> None:
    reading = script(
        "ip xfrm policy add src 10.0.0.0/8 dir out priority 1\n"
        "ip xfrm policy add src 10.0.0.0/8 dir out priority 2\n"
        "ip xfrm policy add src 10.0.0.0/8 dir out mark 1\n"
    )
    assert codes(reading) == ["ET342"]
    assert [policy.priority for policy in reading.policies] == [1, 0]


@pytest.mark.parametrize(
    "text",
    [
        "add dir out " + "tmpl proto esp mode tunnel " * 7,
        "add dir out tmpl proto esp mode tunnel level use",
        "add dir out tmpl src ::1 dst ::2 proto esp mode transport",
        "add dir out index 8",
        "add dir out tmpl mode tunnel",
        "add dir out tmpl proto ipsec-any",
    ],
)
def test_policies_that_the_kernel_refuses(text: str) -> None:
    reading = read_batch(f"xfrm policy {text}\n")
    assert codes(reading) == ["ET342"]
    assert not reading.policies


def test_delete_flush_and_defaults() -> None:
    reading = script(
        "ip xfrm policy flush\nip xfrm policy flush ptype sub\n"
        "ip xfrm policy add src 10.0.0.0/8 dir out mark 1\n"
        "ip xfrm policy add src 10.0.0.0/8 dir in ptype sub\n"
        "ip xfrm policy add src 10.1.0.0/16 dir out index 17\n"
        "ip xfrm policy add src 10.3.0.0/16 dir out\n"
        "ip xfrm policy delete src 10.0.0.0/8 dir out\n"
        "ip xfrm policy delete src 10.0.0.0/8 dir out mark 1\n"
        "ip xfrm policy delete index 17 dir out\n"
        "ip xfrm policy setdefault fwd block in accept\n"
        "ip xfrm policy set hthresh4 24 24\n"
        "ip xfrm policy flush ptype main\n"
    )
    assert codes(reading) == ["ET343"]
    assert [policy.ptype for policy in reading.policies] == ["sub"]
    assert reading.defaults == {"fwd": "block", "in": "allow"}
    assert reading.flushed


def test_deleteall_takes_what_its_filter_takes() -> None:
    reading = script(
        "for d in in out fwd; do ip xfrm policy add src 10.1.0.0/16 dir $d priority 5; done\n"
        "ip x p a src 10.2.0.0/16 dir out priority 5\n"
        "ip xfrm policy deleteall dir in\n"
        "ip xfrm policy deleteall src 10.1.0.0/17 dir fwd\n"
        "ip xfrm policy deleteall priority 6\n"
    )
    assert not reading.diagnostics
    assert [policy.direction for policy in reading.policies] == ["out", "out"]


def test_an_index_that_the_kernel_chose() -> None:
    reading = script("ip xfrm policy add dir out\nip xfrm policy delete index 9 dir out\n")
    assert codes(reading) == ["ET341"]
    assert len(reading.policies) == 1


@pytest.mark.parametrize(
    "text",
    [
        "if grep -q x /etc/hosts; then ip xfrm policy add dir out; fi\n",
        "ip xfrm policy add dir out priority $PRIORITY\n",
        "ip xfrm policy add src $(cat net) dir out\n",
        "ip xfrm $WHAT\n",
        "ip $WHAT\n",
        "$IP xfrm policy add dir out\n",
        "while read net; do ip xfrm policy add src $net dir out; done <nets\n",
        "test -e /x && ip xfrm policy flush\n",
    ],
)
def test_what_only_a_running_shell_knows_is_left_out(text: str) -> None:
    reading = script(text)
    assert set(codes(reading)) == {"ET341"}
    assert not reading.policies


@pytest.mark.parametrize(
    "text",
    [
        "ip -n inner xfrm policy add dir out\n",
        "ip -batch /etc/policies\n",
        "cat policies | ip -batch -\n",
        "ip netns exec inner ip xfrm policy add dir out\nfoo ip xfrm policy add dir out\n",
        'ssh gateway "ip xfrm policy add dir out"\n',
    ],
)
def test_what_is_not_in_the_text(text: str) -> None:
    reading = script(text)
    assert set(codes(reading)) == {"ET346"}
    assert not reading.policies


def test_what_does_not_matter_is_passed_over() -> None:
    reading = script(
        "echo ip xfrm policy add dir out\n"
        "if test -e /x; then ip xfrm policy list; ip xfrm state list; fi\n"
        "ip xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 1 mode tunnel enc aes $KEY\n"
        "ip addr add 10.0.0.1/8 dev eth0\nip route add default dev $DEV\n"
        "sudo /sbin/ip -4 xfrm policy add proto tcp dir out\n"
    )
    assert not reading.diagnostics
    assert reading.states == 2
    assert [policy.selector.family for policy in reading.policies] == [4]


def test_a_here_document_is_a_batch() -> None:
    text = "cat() { :; }\nip -b - <<'E'\nxfrm policy add src 10.0.0.0/8 dir out\nE\n"
    reading = script(text)
    assert not reading.diagnostics
    assert next(iter(reading.places.values())).line == 3
    assert codes(script(text.replace("'E'", "E").replace("10.0", "$NET"))) == ["ET346"]


def test_a_batch_ends_at_its_first_error_and_after_a_list() -> None:
    rest = "xfrm policy add src 10.9.0.0/16 dir out\n"
    for line in (
        "xfrm policy add dir sideways",
        "xfrm policy delete src 10.0.0.0/8 dir out",
        "xfrm policy list",
        "xfrm policy deleteall",
        "xfrm state list",
        "-6 xfrm policy add dir out",
        "xfrm policy add 'dir out",
    ):
        reading = read_batch(f"{line}\n{rest}", "batch")
        assert codes(reading)[-1] == "ET344", line
        assert not reading.policies


def test_what_is_no_part_of_the_comparison() -> None:
    limited = read_batch("xfrm policy add dir out limit time-hard 60\n")
    assert codes(limited) == ["ET345"]
    offloaded = read_batch("xfrm policy add dir out offload packet dev eth0\n")
    assert codes(offloaded) == ["ET347"]
    bound = read_batch("xfrm policy add dev eth0 src 10.0.0.0/8 dir out\n", "-", {"eth0": 7})
    assert bound.policies[0].ifindex == 7
    assert codes(read_batch("xfrm policy add dev eth0 dir out\n")) == ["ET340"]


def test_the_lines_of_a_batch() -> None:
    lines = list(
        batch_lines("# all\nxfrm policy \\\n  flush # it\n'xfrm' \"p\" f\nxfrm # a \\\nb\n", "b")
    )
    assert [[word.text for word in line.words] for line in lines] == [
        ["xfrm", "policy", "flush"],
        ["xfrm", "p", "f"],
        ["xfrm"],
        ["b"],
    ]
    assert lines[0].words[2].span == Span("b", 3, 3, 8)
    assert lines[1].words[0].span == Span("b", 4, 1, 7)
    assert "no end" in next(iter(batch_lines("a 'b", "b"))).problem
    assert "511" in next(iter(batch_lines("a " * 600, "b"))).problem


def test_kinds_of_text() -> None:
    printed = "src 10.0.0.0/8 dst 10.1.0.0/16 \n\tdir out priority 7 ptype main \n"
    assert looks_like_policies(printed)
    assert not looks_like_commands(printed)
    for text in (
        "#!/bin/sh\nset -e\n/sbin/ip xfrm policy add dir out\n",
        "$IP -4 xfrm policy update dir out\n",
        "# a batch\nxfrm policy add dir out\n",
        "for x in 1 2; do ip x p a src 10.$x.0.0/16 dir out; done\n",
    ):
        assert looks_like_commands(text), text
        assert not looks_like_policies(text)
    assert is_batch("\n# a\nxfrm policy flush\n")
    for text in (
        "",
        "ip xfrm policy list\n",
        "0 10.0.0.0/8 -> 10.1.0.0/16 => %pass\n",
        "# ip xfrm policy add dir out\nipsec eroute --clear\n",
        "src is not enough\n",
    ):
        assert not looks_like_commands(text), text
        assert not looks_like_policies(text)


def test_a_script_with_many_bad_places_is_told_in_short() -> None:
    reading = script("ip xfrm policy add dir out $X\n" * 150)
    assert len(reading.diagnostics) == 101
    assert "50 more" in reading.diagnostics[-1].message


TABLE = (ROOT / "docs/examples/gateway.eroute").read_text()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"local": "192.168.43.9", "routed": "172.31.0.0/16 192.168.0.0/16"},
        {"inbound": "klips", "bypass": "10.0.0.0/8 fd00::/8", "priority_base": 7},
    ],
)
def test_our_own_output_is_read_back(given: dict[str, Any]) -> None:
    """The script and the batch that we print leave exactly the policies of the translation."""
    translation = page(TABLE, **given).translation
    policies = set(translation.policies())
    for target, read in ((Target.IP_XFRM, script), (Target.IP_BATCH, read_batch)):
        text = rendered(TABLE, target, **given)
        reading = read(text)
        assert not reading.diagnostics
        assert looks_like_commands(text)
        assert set(reading.policies) == policies
        assert len(reading.policies) == len(policies) >= 15


def test_our_script_with_states_is_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    """Its states go through here-documents and functions, and leave no doubt about policies."""
    main(["convert", "--show-keys", "-q", str(ROOT / "tests/golden/example/gateway.sh")])
    text = capsys.readouterr().out
    assert "state() {" in text
    reading = script(text)
    assert not reading.diagnostics
    assert reading.states
    assert len(reading.policies) == text.count("\nip xfrm policy update")
