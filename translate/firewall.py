"""Filters for firewall syntax: nftables and iptables matches of a selector."""

from __future__ import annotations

from .diagnostics import visible
from .mapping.mast import REJECT_MARK, SAREF_BIT, MastRule
from .net import Selector, format_prefix
from .xfrm.model import FirewallRule

_PORTS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}


def nft_match(rule: FirewallRule) -> str:
    """The match of an nftables rule for a selector (nft(8), payload expressions)."""
    selector = rule.selector
    family = "ip" if selector.family == 4 else "ip6"
    parts = [f"meta nfproto {'ipv4' if selector.family == 4 else 'ipv6'}"]
    for name, prefix in (("saddr", selector.source), ("daddr", selector.destination)):
        if prefix.mask:
            parts.append(f"{family} {name} {format_prefix(prefix)}")
    if selector.protocol:
        parts.append(f"meta l4proto {selector.protocol}")
    # Without a protocol KLIPS compares ports of TCP and UDP alone.
    if selector.source_port or selector.destination_port:
        if not selector.protocol:
            parts.append("meta l4proto { 6, 17 }")
        if selector.source_port:
            parts.append(f"th sport {selector.source_port}")
        if selector.destination_port:
            parts.append(f"th dport {selector.destination_port}")
    return " ".join(parts)


def nft_reject(rule: FirewallRule) -> str:
    """The verdict: ICMP type 3 code 13, ICMPv6 type 1 code 1; or leave an exception alone."""
    if rule.verdict == "return":
        return "return"
    family = "icmp" if rule.selector.family == 4 else "icmpv6"
    return f"reject with {family} type admin-prohibited"


def rule_comment(place: object) -> str:
    """A quoted comment for nftables and iptables, which take 128 bytes and 255.

    Neither can quote a quotation mark; of a long text the end is kept, where the line stands.
    """
    text = visible(str(place)).replace("\\", "/").replace('"', "'")
    kept = text.encode("ascii", "replace")[-100:].decode()
    return f'"{kept}"'


def iptables_match(selector: Selector) -> str:
    """The match of an iptables rule for a selector (iptables(8))."""
    parts = []
    for option, prefix in (("-s", selector.source), ("-d", selector.destination)):
        if prefix.mask:
            parts.append(f"{option} {format_prefix(prefix)}")
    if selector.protocol:
        parts.append(f"-p {selector.protocol}")
    name = _PORTS.get(selector.protocol)
    if selector.source_port or selector.destination_port:
        if name is None:
            raise ValueError(f"iptables has no ports for protocol {selector.protocol}")
        for option, port in (
            ("--sport", selector.source_port),
            ("--dport", selector.destination_port),
        ):
            if port:
                parts.append(f"{option} {port}")
    return " ".join(parts)


def mast_rules(rule: MastRule) -> list[str]:
    """The lines of one MAST rule for iptables-restore(8)."""
    place = rule_comment(rule.outcome.eroute.span)
    lines = []
    unmarked = f"-m mark --mark 0/0x{SAREF_BIT | REJECT_MARK:08x}"
    for selector in rule.outcome.selectors:
        targets = {
            "mark": f"{unmarked} -j MARK --set-mark 0x{rule.mark:08x}",
            "pass": f"{unmarked} -j RETURN",
            "drop": f"{unmarked} -j DROP",
            "reject": f"{unmarked} -j MARK --set-mark {REJECT_MARK:#x}/{REJECT_MARK:#x}",
        }
        match = iptables_match(selector)
        line = f"-A EROUTES {match} -m comment --comment {place} {targets[rule.verdict]}"
        lines.append(line.replace("  ", " ") if not match else line)
    return lines
