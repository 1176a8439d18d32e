"""The output for a MAST host: rules in order, marks, SArefs, and what iptables says of them."""

from __future__ import annotations

import pytest

from eroute_translate.firewall import iptables_match, rule_comment
from eroute_translate.mapping.mast import (
    REJECT_MARK,
    SAREF_BIT,
    SAREF_LAST,
    MastRule,
    mast_ruleset,
)
from eroute_translate.net import Selector, parse_prefix
from eroute_translate.render import Target
from tests.netns.spaces import execute, namespaces, need
from tests.translated import rendered, row, translated

NEAR = "10.1.0.0/16"
PEER = "192.0.2.7"

TABLE = (
    row(NEAR, "0.0.0.0/0", f"tun0x1002@{PEER}")
    + row(NEAR, NEAR, "%pass")
    + row(NEAR, "10.2.0.0/16", f"tun0x1003@{PEER}")
    + row(NEAR, "10.2.1.0/24", f"tun0x1002@{PEER}")
    + row(NEAR, "10.3.0.0/16", "%drop")
    + row(NEAR, "10.4.0.0/16:25", "%reject:6")
    + row(NEAR, "10.5.0.0/16", "%trap")
    + row(NEAR, "10.6.0.0/16", "%unk-300")
    + row(NEAR, "10.7.0.0/16:53", f"tun0x1002@{PEER}:17")
    + row("2001:db8:1::/64", "::/0", f"tun0x1002@{PEER}")
    + row("2001:db8:1::/64", "2001:db8:2::/64", "%reject")
)


def rules(text: str) -> list[str]:
    """The lines of the two chains, without comments."""
    return [line for line in rendered(text, Target.MAST).splitlines() if line.startswith("-A")]


def test_verdicts_in_the_order_of_klips() -> None:
    found = mast_ruleset(translated(TABLE))
    assert [
        (str(rule.outcome.eroute.selector.destination), rule.verdict, rule.saref)
        for rule in found.rules
        if rule.outcome.eroute.selector.family == 4
    ] == [
        ("10.7.0.0/16", "mark", 1),
        ("10.6.0.0/16", "drop", 0),
        ("10.5.0.0/16", "drop", 0),
        ("10.4.0.0/16", "reject", 0),
        ("10.3.0.0/16", "drop", 0),
        ("10.2.1.0/24", "mark", 1),
        ("10.2.0.0/16", "mark", 2),
        ("10.1.0.0/16", "pass", 0),
        ("0.0.0.0/0", "mark", 1),
    ]
    priorities = [rule.outcome.priority for rule in found.rules]
    assert priorities == sorted(priorities)


def test_one_saref_for_each_group() -> None:
    found = mast_ruleset(translated(TABLE))
    assert sorted(found.sarefs.values()) == [1, 2]
    for rule in found.rules:
        if rule.verdict == "mark":
            assert rule.saref == found.sarefs[rule.outcome.eroute.saids]


@pytest.mark.parametrize(
    ("saref", "mark"), [(1, 0x80010000), (5, 0x80050000), (16, 0x80100000), (0x7FFF, 0xFFFF0000)]
)
def test_the_mark_names_the_saref(saref: int, mark: int) -> None:
    outcome = translated(row(NEAR, "10.2.0.0/16", "%pass")).outcomes[0]
    assert MastRule(outcome, "mark", saref).mark == mark


def test_marks_do_not_meet() -> None:
    assert not REJECT_MARK & (SAREF_BIT | SAREF_LAST << 16)


def test_more_groups_than_sarefs_are_dropped_aloud() -> None:
    count = SAREF_LAST + 2
    text = "".join(
        row(NEAR, f"11.{n >> 8}.{n & 255}.0/24", f"tun0x{0x1000 + n:x}@{PEER}")
        for n in range(count)
    )
    found = mast_ruleset(translated(text))
    assert [r.verdict for r in found.rules].count("drop") == 2
    assert max(r.saref for r in found.rules) == SAREF_LAST
    assert [f.code for f in found.findings] == ["ET220"]
    assert all(0 < r.saref <= SAREF_LAST for r in found.rules if r.verdict == "mark")


def test_what_asks_is_dropped_aloud() -> None:
    found = mast_ruleset(translated(row(NEAR, "10.2.0.0/16", "%hold")))
    assert [r.verdict for r in found.rules] == ["drop"]
    assert "ask the key daemon" in found.findings[0].message


def test_a_refused_row_drops() -> None:
    text = f"{NEAR} -> 10.2.0.0/16 => ah0x1@{PEER} esp0x2@{PEER}  (0)\n"
    assert [r.verdict for r in mast_ruleset(translated(text)).rules] == ["drop"]


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        (Selector(parse_prefix("0.0.0.0/0"), parse_prefix("0.0.0.0/0")), ""),
        (
            Selector(parse_prefix("10.0.0.0/8"), parse_prefix("0.0.0.0/0"), 47),
            "-s 10.0.0.0/8 -p 47",
        ),
        (
            Selector(parse_prefix("10.0.0.0/8"), parse_prefix("::/0"), 6, 1, 2),
            "-s 10.0.0.0/8 -p 6 --sport 1 --dport 2",
        ),
    ],
)
def test_matches_of_iptables(selector: Selector, words: str) -> None:
    assert iptables_match(selector) == words


def test_the_chain_leaves_packets_to_this_host_alone() -> None:
    """PREROUTING sees them too, and KLIPS saw only what was routed into ipsecN."""
    lines = rules(row("0.0.0.0/0", "0.0.0.0/0", "%drop"))
    assert lines[0] == "-A EROUTES -m addrtype --dst-type LOCAL -j RETURN"
    assert lines[1].endswith("-j DROP")


def test_the_first_rule_that_matches_decides() -> None:
    """MARK does not end a chain, so every rule asks for a packet without a mark."""
    for line in rules(TABLE):
        assert "-m mark --mark 0/0x8000000" in line or "addrtype" in line


@pytest.mark.parametrize("text", ['a"b\\c', "ä" * 200, "x" * 500 + ":12", "a\nb", "\udcff"])
def test_comments_fit(text: str) -> None:
    found = rule_comment(text)
    assert found.isascii()
    assert len(found) <= 127
    assert found.count('"') == 2
    assert "\\" not in found
    assert found.isprintable()


@pytest.mark.kernel
@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
@pytest.mark.parametrize("name", ["table", 'x" -j ACCEPT\n-A OUTPUT "' + "ä" * 300])
def test_iptables_takes_the_rules(program: str, name: str) -> None:
    need("iptables-restore", "ip6tables-restore")
    script = rendered(TABLE, Target.MAST, name)
    body = script.split(f"{program}-restore --noflush <<'END-OF-RULES'\n")[1]
    body = body.split("END-OF-RULES\n")[0]
    with namespaces("mast") as (space,):
        done = execute(space, f"{program}-restore", "--test", "--noflush", text=body)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.kernel
def test_the_script_runs_twice() -> None:
    """All of it but the last line, which needs MAST; the second run changes nothing."""
    need("iptables-restore", "ip6tables-restore", "dash")
    script = rendered(TABLE, Target.MAST).replace("ipsec policy --all --stack=mast\n", "")
    with namespaces("mast") as (space,):
        execute(space, "ip", "link", "add", "mast0", "type", "veth")
        execute(space, "ip", "link", "set", "mast0", "up")
        listings = []
        for _ in range(2):
            done = execute(space, "dash", text=script)
            assert done.returncode == 0, done.stderr
            listing = (
                execute(space, "iptables-save").stdout + execute(space, "ip6tables-save").stdout
            )
            rule = execute(space, "ip", "rule").stdout + execute(space, "ip", "-6", "rule").stdout
            listings.append([x for x in (listing + rule).splitlines() if x[:1] not in "#:"])
        assert listings[0] == listings[1]
        first = [line for line in listings[0] if line.startswith("-A OUTPUT")]
        # Our own IKE before everything.
        assert first[0].startswith("-A OUTPUT -p udp")
        assert [line.split()[-1] for line in first if "udp" in line][:2] == ["ACCEPT", "ACCEPT"]
        route = execute(space, "ip", "route", "show", "table", "50").stdout
        assert route.startswith("default dev mast0")
