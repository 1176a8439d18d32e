"""Every rule of the mapping: which policies a row becomes, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from eroute_translate.klips.said import Said
from eroute_translate.mapping.exemptions import intersection
from eroute_translate.mapping.masks import prefix_count, prefixes
from eroute_translate.mapping.model import Kind, Weight
from eroute_translate.mapping.protection import describe, take_apart
from eroute_translate.net import Packet, Prefix, parse_address, parse_prefix
from eroute_translate.render import Target
from eroute_translate.xfrm.lookup import lookup
from tests.translated import (
    only,
    own_texts,
    page,
    policy_text,
    rendered,
    row,
    shield_texts,
    texts,
    translated,
)

PEER = "192.0.2.7"
TUNNEL = f"tun0x1002@{PEER}"
NEAR, FAR = "10.1.0.0/16", "10.2.0.0/16"
NEAR6, FAR6 = "2001:db8:1::/64", "2001:db8:2::/64"
ALL4 = "0.0.0.0/0"


def codes(source: str, destination: str, said: str, **given: Any) -> tuple[str, ...]:
    return only(source, destination, said, **given).treatment.codes


def found_codes(text: str, **given: Any) -> set[str]:
    return {item.code for item in translated(text, **given).findings}


# -------------------------------------------------------------------------------------- shunts


@pytest.mark.parametrize(("near", "far"), [(NEAR, FAR), (NEAR6, FAR6)])
@pytest.mark.parametrize("said", ["%pass", "%passthrough"])
def test_pass_opens_all_three_directions(near: str, far: str, said: str) -> None:
    outcome = only(near, far, said)
    assert texts(outcome) == [f"out {near} -> {far}", f"in {far} -> {near}", f"fwd {far} -> {near}"]
    assert not outcome.shields


@pytest.mark.parametrize("said", ["%pass", "%passthrough"])
def test_pass_as_klips_had_it_is_out_alone(said: str) -> None:
    assert texts(only(NEAR, FAR, said, inbound="klips")) == [f"out {NEAR} -> {FAR}"]


@pytest.mark.parametrize("inbound", ["strict", "klips"])
@pytest.mark.parametrize(("near", "far"), [(NEAR, FAR), (NEAR6, FAR6)])
@pytest.mark.parametrize("said", ["%drop", "%reject"])
def test_drop_and_reject_block_on_out_alone(said: str, near: str, far: str, inbound: str) -> None:
    outcome = only(near, far, said, inbound=inbound)
    assert own_texts(outcome) == [f"out {near} -> {far} block"]
    assert {p.direction for p in outcome.policies if p.action == "allow"} == {"out"}


def test_a_drop_stays_when_the_reject_rule_is_off() -> None:
    with_rule, without = (
        translated(row(NEAR, FAR, "%reject"), reject_rule=on) for on in (True, False)
    )
    assert [rule.verdict for rule in with_rule.firewall] == ["reject"]
    assert not without.firewall
    assert texts(with_rule.policies()) == texts(without.policies())
    assert with_rule.outcomes[0].kind == Kind.NOTED
    assert without.outcomes[0].kind == Kind.APPROXIMATED


@pytest.mark.parametrize("said", ["%trap", "%trapsubnet", "%hold"])
@pytest.mark.parametrize(("near", "far"), [(NEAR, FAR), (NEAR6, FAR6)])
def test_asking_shunts_have_a_template_that_no_sa_fits(said: str, near: str, far: str) -> None:
    outcome = only(near, far, said)
    assert own_texts(outcome) == [f"out {near} -> {far} [esp transport reqid 1000000]"] or (
        own_texts(outcome) == [f"out {near} -> {far} [esp transport reqid 0]"]
    )
    assert outcome.treatment.weight == Weight.ASK
    assert outcome.treatment.rule == said[1:]
    assert "ET203" in outcome.treatment.codes


def test_a_trap_has_no_reqid_of_a_group() -> None:
    translation = translated(row(NEAR, FAR, "%trap") + row(NEAR, "10.3.0.0/16", TUNNEL))
    trap, tunnel = translation.outcomes
    assert trap.reqid == 1_000_000
    assert tunnel.reqid == 1_000_001


@pytest.mark.parametrize("said", ["%unk-262", f"unk770x100@{PEER}", "(error)"])
def test_what_klips_did_not_know_is_blocked(said: str) -> None:
    outcome = only(NEAR, FAR, said)
    assert own_texts(outcome) == [f"out {NEAR} -> {FAR} block"]
    assert outcome.treatment.codes == ("ET206",)
    assert outcome.kind == Kind.NOTED


def test_an_unknown_sa_exempts_ike_to_its_peer_alone() -> None:
    """KLIPS compared the packet with the edst of the SAID, known or not."""
    inside = only(NEAR, FAR, "unk770x100@10.2.3.4")
    assert f"out {NEAR} -> 10.2.3.4/32 udp port 500 -> any" in shield_texts(inside)
    assert not any("10.2.0.0/16" in text for text in shield_texts(inside))
    assert not only(NEAR, FAR, "unk770x100@10.9.3.4").shields


@pytest.mark.parametrize(
    ("said", "kind", "rule"),
    [
        ("%pass", Kind.EXACT, "pass"),
        ("%drop", Kind.EXACT, "drop"),
        ("%reject", Kind.NOTED, "reject"),
        ("%passthrough", Kind.NOTED, "passthrough"),
        ("%trap", Kind.NOTED, "trap"),
        (TUNNEL, Kind.NOTED, "tunnel-assumed"),
    ],
)
def test_kind_and_rule_where_routes_are_known(said: str, kind: Kind, rule: str) -> None:
    outcome = only(NEAR, FAR, said, routed="10.0.0.0/8")
    assert (outcome.kind, outcome.treatment.rule) == (kind, rule)


@pytest.mark.parametrize("said", ["%pass", "%drop"])
def test_without_routes_nothing_is_exact(said: str) -> None:
    outcome = only(NEAR, FAR, said)
    assert outcome.kind == Kind.NOTED
    assert outcome.treatment.codes == ("ET214",)


# ------------------------------------------------------------------------- tunnel and transport


@pytest.mark.parametrize(
    ("near", "far", "peer", "local"),
    [
        (NEAR, FAR, PEER, "192.0.2.1"),
        (NEAR6, FAR6, "2001:db8::7", "2001:db8::1"),
        (NEAR6, FAR6, PEER, "192.0.2.1"),
        (NEAR, FAR, "2001:db8::7", "2001:db8::1"),
    ],
)
def test_tunnel_between_two_gateways(near: str, far: str, peer: str, local: str) -> None:
    outcome = only(near, far, f"tun0x1002@{peer}", local=local)
    assert texts(outcome) == [
        f"out {near} -> {far} [esp tunnel {local}>{peer} reqid 1]",
        f"in {far} -> {near} [esp tunnel {peer}>{local} reqid 1]",
        f"fwd {far} -> {near} [esp tunnel {peer}>{local} reqid 1]",
    ]
    assert "ET201" not in outcome.treatment.codes


@pytest.mark.parametrize("local", ["", "2001:db8::1", "192.0.2.1 192.0.2.2"])
def test_an_unknown_gateway_is_left_to_the_kernel(local: str) -> None:
    outcome = only(NEAR, FAR, TUNNEL, local=local)
    assert own_texts(outcome)[0].endswith(f"[esp tunnel 0.0.0.0>{PEER} reqid 1]")
    assert "ET201" in outcome.treatment.codes


def test_of_two_families_each_tunnel_takes_its_own() -> None:
    both = "192.0.2.1 2001:db8::1"
    assert "192.0.2.1>" in own_texts(only(NEAR, FAR, TUNNEL, local=both))[0]
    v6 = only(NEAR6, FAR6, "tun0x1002@2001:db8::7", local=both)
    assert "2001:db8::1>2001:db8::7" in own_texts(v6)[0]


def test_inbound_as_klips_had_it_accepts_clear_text() -> None:
    strict, klips = (only(NEAR, FAR, TUNNEL, inbound=how) for how in ("strict", "klips"))
    assert [text.endswith(" use]") for text in texts(strict)] == [False, False, False]
    assert [text.endswith(" use]") for text in texts(klips)] == [False, True, True]
    assert "ET212" in strict.treatment.codes
    assert "ET212" not in klips.treatment.codes


@pytest.mark.parametrize(
    ("assume", "wanted"),
    [
        ((50,), "esp"),
        ((51,), "ah"),
        ((108, 50), "comp+esp"),
        ((50, 51), "esp+ah"),
        ((108, 51), "comp+ah"),
        ((108, 50, 51), "comp+esp+ah"),
    ],
)
def test_the_assumed_group(assume: tuple[int, ...], wanted: str) -> None:
    outcome = only(NEAR, FAR, TUNNEL, assume=assume)
    out, inward = outcome.policies[0].templates, outcome.policies[1].templates
    assert [describe([Said(t.protocol, 0, 4, 0)]) for t in out] == wanted.split("+")
    assert [t.mode for t in out] == ["tunnel", *["transport"] * (len(out) - 1)]
    assert not any(t.optional for t in out)
    assert [t.optional for t in inward] == [t.protocol == 108 for t in inward]
    assert "ET202" in outcome.treatment.codes


def test_a_group_of_ipsec_look_needs_no_assumption() -> None:
    said = f"{TUNNEL} comp0x68dd@{PEER} esp0xa7d8251a@{PEER}"
    (outcome,) = translated(f"{NEAR} -> {FAR} => {said}  (0)\n").outcomes
    assert outcome.treatment.rule == "tunnel"
    assert texts(outcome) == [
        f"out {NEAR} -> {FAR} [comp tunnel 0.0.0.0>{PEER} reqid 1] [esp transport reqid 1]",
        f"in {FAR} -> {NEAR} [comp tunnel {PEER}>0.0.0.0 reqid 1 use] [esp transport reqid 1]",
        f"fwd {FAR} -> {NEAR} [comp tunnel {PEER}>0.0.0.0 reqid 1 use] [esp transport reqid 1]",
    ]


@pytest.mark.parametrize(
    ("group", "apart"),
    [
        ("tun esp", ("tun", "esp")),
        ("tun ah", ("tun", "ah")),
        ("tun esp ah", ("tun", "esp+ah")),
        ("esp ah", ("", "esp+ah")),
        ("comp esp", ("", "comp+esp")),
        ("tun", ("tun", "esp")),
        ("esp comp", None),
        ("ah esp", None),
        ("esp esp", None),
        ("tun tun esp", None),
        ("esp tun", None),
    ],
)
def test_groups_taken_apart(group: str, apart: tuple[str, str] | None) -> None:
    numbers = {"tun": 4, "esp": 50, "ah": 51, "comp": 108}
    found = take_apart([Said(numbers[name], 256, 4, 1) for name in group.split()], (50,))
    if apart is None:
        assert found is None
        return
    assert found is not None
    tunnel, protocols = apart
    assert bool(found.tunnel) == bool(tunnel)
    assert "+".join(describe([Said(p, 0, 4, 0)]) for p in found.protocols) == protocols


@pytest.mark.parametrize("chain", ["ah0x1@{0} esp0x2@{0}", "tun0x1@{0} tun0x2@{0}"])
def test_a_group_without_counterpart_is_refused_and_blocked(chain: str) -> None:
    text = f"{NEAR} -> {FAR} => {chain.format(PEER)}  (0)\n"
    (outcome,) = translated(text).outcomes
    assert outcome.kind == Kind.REFUSED
    assert outcome.treatment.codes == ("ET217", "ET222")
    assert texts(outcome) == [f"out {NEAR} -> {FAR} block"]
    assert page(text).stop_reasons
    assert not page(text, partial=True).stop_reasons


def test_transport_of_another_family_is_refused() -> None:
    assert only(NEAR, FAR, "esp0x1000@2001:db8::7").kind == Kind.REFUSED


def test_a_group_of_mixed_families_is_refused() -> None:
    text = f"{NEAR} -> {FAR} => {TUNNEL} esp0x2000@2001:db8::7  (0)\n"
    assert translated(text).outcomes[0].kind == Kind.REFUSED


@pytest.mark.parametrize(
    ("here", "there", "said", "name"),
    [
        ("10.1.0.1/32", "10.2.0.1/32", "esp0x1000@10.2.0.1", "esp"),
        ("10.1.0.1/32", "10.2.0.1/32", "ah0x1000@10.2.0.1", "ah"),
        ("2001:db8::1/128", "2001:db8::2/128", "esp0x1000@2001:db8::2", "esp"),
    ],
)
def test_transport_is_not_forwarded(here: str, there: str, said: str, name: str) -> None:
    outcome = only(here, there, said)
    assert own_texts(outcome) == [
        f"out {here} -> {there} [{name} transport reqid 1]",
        f"in {there} -> {here} [{name} transport reqid 1]",
    ]
    assert outcome.treatment.rule == "transport"


def test_transport_to_another_host_is_said() -> None:
    same = only("10.1.0.1/32", "10.2.0.1/32", "esp0x1000@10.2.0.1")
    other = only("10.1.0.1/32", "10.2.0.0/24", "esp0x1000@10.2.0.1")
    assert "ET210" not in same.treatment.codes
    assert "ET210" in other.treatment.codes
    assert other.kind == Kind.APPROXIMATED


def test_compression_alone_passes_in_clear() -> None:
    outcome = only("10.1.0.1/32", "10.2.0.1/32", "comp0x1000@10.2.0.1")
    assert own_texts(outcome) == [
        "out 10.1.0.1/32 -> 10.2.0.1/32 [comp transport reqid 1]",
        "in 10.2.0.1/32 -> 10.1.0.1/32 [comp transport reqid 1 use]",
    ]
    assert outcome.treatment.weight == Weight.PASS
    assert "ET211" in outcome.treatment.codes
    assert "ET212" not in outcome.treatment.codes, "clear text is accepted"


def test_compression_does_not_catch_our_own_ike() -> None:
    """Without an SA the policy drops, and the daemon could never negotiate one."""
    outcome = only("10.1.0.1/32", "10.2.0.1/32", "comp0x1000@10.2.0.1")
    assert "out 10.1.0.1/32 -> 10.2.0.1/32 udp port 500 -> any" in shield_texts(outcome)


@pytest.mark.parametrize(
    ("said", "spi"),
    [("esp0x1000@10.2.0.1", " spi 0x1000"), (f"{TUNNEL} esp0x2000@{PEER}", " spi 0x2000")],
)
def test_templates_by_spi_name_it_outbound_alone(said: str, spi: str) -> None:
    text = f"10.1.0.1/32 -> 10.2.0.1/32 => {said}  (0)\n"
    (outcome,) = translated(text, template_by="spi").outcomes
    assert [spi in text for text in own_texts(outcome)][:2] == [True, False]


def test_a_tunnel_spi_is_not_that_of_its_esp() -> None:
    outcome = only(NEAR, FAR, TUNNEL, template_by="spi")
    assert "spi" not in texts(outcome)[0]
    assert "ET218" in outcome.treatment.codes


def test_rows_of_one_group_share_a_reqid() -> None:
    text = (
        row(NEAR, FAR, TUNNEL)
        + row(NEAR, "10.3.0.0/16", TUNNEL)
        + row(NEAR, "10.4.0.0/16", f"tun0x1003@{PEER}")
    )
    assert [o.reqid - 1_000_000 for o in translated(text).outcomes] == [1, 1, 2]
    assert {o.reqid for o in translated(text, reqid=7).outcomes} == {7}


# ------------------------------------------------------------------------------ mirror images


def test_a_selector_that_covers_its_mirror_image_is_relaxed_inbound() -> None:
    outcome = only(NEAR, ALL4, TUNNEL)
    assert [text.endswith(" use]") for text in own_texts(outcome)] == [False, True, True]
    assert "ET213" in outcome.treatment.codes
    assert "ET212" not in outcome.treatment.codes


def test_a_pass_for_the_shared_part_keeps_it_strict() -> None:
    wide, hole = translated(row(NEAR, ALL4, TUNNEL) + row(NEAR, NEAR, "%pass")).outcomes
    assert "ET213" not in wide.treatment.codes
    assert hole.priority < wide.priority


def test_a_bypass_of_the_shared_part_keeps_it_strict() -> None:
    assert "ET213" not in codes(NEAR, ALL4, TUNNEL, bypass="10.1.0.0/16")
    assert "ET213" not in codes(NEAR, ALL4, TUNNEL, bypass="10.0.0.0/8")
    assert "ET213" in codes(NEAR, ALL4, TUNNEL, bypass="10.1.0.0/17")


# ------------------------------------------------------------------------ the host's own traffic


IKE_FLOWS = ["udp port 500 -> any", "udp port 4500 -> any", "esp", "ah"]


def test_own_ike_esp_and_ah_with_local() -> None:
    outcome = only(NEAR, ALL4, "%trap", local="10.1.0.1")
    assert shield_texts(outcome) == [f"out 10.1.0.1/32 -> {ALL4} {flow}" for flow in IKE_FLOWS]


@pytest.mark.parametrize("local", ["", "2001:db8::1"])
def test_without_local_forwarded_ones_are_blocked(local: str) -> None:
    outcome = only(NEAR, FAR, "%drop", local=local)
    assert shield_texts(outcome) == [
        f"{direction} {NEAR} -> {FAR} {flow}{verdict}"
        for flow in IKE_FLOWS
        for direction, verdict in (("out", ""), ("fwd", " block"))
    ]


def test_two_local_addresses_of_a_family_are_both_exempt() -> None:
    outcome = only(NEAR, FAR, "%trap", local="10.1.0.1 10.1.0.2 10.9.0.1")
    assert len(shield_texts(outcome)) == 2 * len(IKE_FLOWS)
    assert not any("10.9.0.1" in text for text in shield_texts(outcome))


def test_a_gateway_outside_the_source_needs_no_exemption() -> None:
    assert not only(NEAR, FAR, "%trap", local="192.0.2.1").shields


def test_a_tunnel_exempts_its_own_peer_alone() -> None:
    outside = only(NEAR, FAR, TUNNEL)
    assert not outside.shields
    wide = only(NEAR, ALL4, TUNNEL, local="10.1.0.1")
    assert shield_texts(wide) == [f"out 10.1.0.1/32 -> {PEER}/32 {flow}" for flow in IKE_FLOWS]


def test_strict_inbound_lets_ike_of_the_peer_in() -> None:
    outcome = only("10.1.0.1/32", "10.2.0.1/32", "esp0x1000@10.2.0.1")
    wanted = [f"in 10.2.0.1/32 -> 10.1.0.1/32 udp port any -> {port}" for port in (500, 4500)]
    assert [text for text in shield_texts(outcome) if text.startswith("in")] == wanted
    # Transport mode of one host can only be this host, so nothing is forwarded.
    assert not any(text.startswith("fwd") for text in shield_texts(outcome))


def test_relaxed_inbound_needs_no_hole() -> None:
    outcome = only("10.1.0.1/32", "10.2.0.1/32", "esp0x1000@10.2.0.1", inbound="klips")
    assert not any(text.startswith("in") for text in shield_texts(outcome))


@pytest.mark.parametrize(
    ("source", "destination", "said", "wanted"),
    [
        (f"{NEAR}:500", FAR, "%trap:17", [f"{NEAR} -> {FAR} udp port 500 -> any"]),
        (NEAR, f"{FAR}:9", "%trap:17", [f"{NEAR} -> {FAR} udp port {p} -> 9" for p in (500, 4500)]),
        (f"{NEAR}:501", FAR, "%trap:17", []),
        (NEAR, FAR, "%trap:6", []),
        (NEAR, FAR, "%trap:50", [f"{NEAR} -> {FAR} esp"]),
        (NEAR, FAR, "%trap:51", [f"{NEAR} -> {FAR} ah"]),
    ],
)
def test_exemptions_are_cut_to_the_selector(
    source: str, destination: str, said: str, wanted: list[str]
) -> None:
    outcome = only(source, destination, said)
    found = [text for text in shield_texts(outcome) if text.startswith("out ")]
    assert found == [f"out {text}" for text in wanted]


def test_exemptions_of_ipv6() -> None:
    outcome = only(NEAR6, FAR6, "%trap", local="2001:db8:1::1")
    found = shield_texts(outcome)
    assert found[:4] == [f"out 2001:db8:1::1/128 -> {FAR6} {flow}" for flow in IKE_FLOWS]


def test_neighbour_discovery_on_the_link_passes() -> None:
    outcome = only("::/0", "::/0", "tun0x1002@2001:db8::7", local="2001:db8::1")
    found = [text for text in shield_texts(outcome) if "ipv6-icmp" in text]
    for kind in (133, 134, 135, 136, 137):
        assert f"out ::/0 -> ::/0 ipv6-icmp type {kind}" in found
        assert f"fwd ::/0 -> ::/0 ipv6-icmp type {kind} block" in found


def test_neighbour_discovery_to_the_link_under_a_global_source() -> None:
    outcome = only("2001:db8:1::/64", "::/0", "%drop")
    found = [text for text in shield_texts(outcome) if "type 135" in text]
    assert found == [
        "out 2001:db8:1::/64 -> ff02::/16 ipv6-icmp type 135",
        "out 2001:db8:1::/64 -> fe80::/10 ipv6-icmp type 135",
        "out 2001:db8:1::/64 -> 2001:db8:1::/64 ipv6-icmp type 135",
        "fwd 2001:db8:1::/64 -> 2001:db8:1::/64 ipv6-icmp type 135 block",
    ]


def test_global_prefixes_far_apart_need_no_discovery() -> None:
    outcome = only(NEAR6, FAR6, TUNNEL)
    assert not outcome.shields


def test_discovery_is_ipv6_alone_and_icmp_alone() -> None:
    assert not any("icmp" in text for text in shield_texts(only(ALL4, ALL4, "%drop")))


# -------------------------------------------------------------------------------------- masks


def test_a_mask_with_holes_is_taken_apart() -> None:
    outcome = only("10.0.8.0/255.255.249.0", FAR, "%pass")
    assert texts(outcome)[::3] == [f"out 10.0.{third}.0/24 -> {FAR}" for third in (8, 10, 12, 14)]
    assert outcome.treatment.codes[-1] == "ET207"
    assert outcome.kind == Kind.NOTED


@pytest.mark.parametrize(
    ("address", "mask", "count"),
    [
        (0x0A000000, 0xFF00FF00, 256),
        (0x00000001, 0x00000001, 1 << 31),
        (0x0A000005, 0xFFFF00F0, 256),
        (0x0A000000, 0xFF000000, 1),
        (0, 0, 1),
    ],
)
def test_prefixes_of_a_mask(address: int, mask: int, count: int) -> None:
    prefix = Prefix(4, address, mask)
    assert prefix_count(prefix) == count
    if count > 256:
        return
    parts = prefixes(prefix)
    assert len(set(parts)) == count
    assert sorted(parts) == parts
    assert all(part.length is not None and not part.has_host_bits for part in parts)
    assert all(prefix.covers(part) for part in parts)


def test_too_many_prefixes_are_refused_and_blocked_as_a_whole() -> None:
    """What covers the mask is blocked: less would let through what was protected."""
    outcome = only("10.0.0.7/255.0.0.255", FAR, TUNNEL)
    assert outcome.kind == Kind.REFUSED
    assert "65536 prefixes" in outcome.reason
    assert texts(outcome) == [f"out 10.0.0.0/8 -> {FAR} block"]
    assert only("10.0.0.7/255.0.0.255", FAR, TUNNEL, mask_limit=65536).kind != Kind.REFUSED


@pytest.mark.parametrize("said", ["%trap", "%drop", "esp0x1000@10.2.0.1"])
def test_exemptions_under_a_mask_with_holes(said: str) -> None:
    outcome = only("10.0.8.0/255.255.249.0", "10.2.0.1/255.255.254.255", said)
    assert all(
        prefix.length is not None
        for policy in outcome.policies
        for prefix in (policy.selector.source, policy.selector.destination)
    )
    assert any(p.priority == outcome.priority - 1 for p in outcome.policies)
    assert rendered(row("10.0.8.0/255.255.249.0", FAR, said), Target.IP_XFRM)


def test_ports_under_a_mask_with_holes_follow_the_rule_for_ports() -> None:
    outcome = only("10.0.8.0/255.255.253.0:80", FAR, "%drop")
    assert [p.selector.protocol for p in outcome.policies] == [6, 17, 6, 17]
    assert not only("10.0.8.0/255.255.253.0:80", FAR, "%drop:47").policies


def test_a_mask_with_holes_is_cut_to_the_routes() -> None:
    outcome = only(NEAR, "10.0.8.0/255.255.249.0", "%pass", routed="10.0.10.0/24")
    assert texts(outcome)[:1] == [f"out {NEAR} -> 10.0.10.0/24"]
    assert len(texts(outcome)) == 3


def test_host_bits_are_left_out_and_said() -> None:
    outcome = only("192.168.8.55/32", "192.168.9.47/24", "%hold")
    assert own_texts(outcome)[0].startswith("out 192.168.8.55/32 -> 192.168.9.0/24 [")
    assert "ET208" in outcome.treatment.codes


def test_a_pass_with_host_bits_that_was_not_found_for_all_is_refused() -> None:
    text = row(NEAR, "10.2.0.5/24", "%pass") + row(NEAR, "10.2.0.128/25", TUNNEL)
    outcome = translated(text).outcomes[0]
    assert outcome.kind == Kind.REFUSED
    assert texts(outcome) == [f"out {NEAR} -> 10.2.0.0/24 block"]


def test_a_pass_before_a_safer_row_with_host_bits_is_refused() -> None:
    """The descent ended at 10.2.0.9/8 for packets of the narrower %pass too."""
    text = row(NEAR, "10.2.0.0/24", "%pass") + row(NEAR, "10.2.0.9/8", "%drop")
    assert translated(text).outcomes[0].kind == Kind.REFUSED
    apart = row(NEAR, "11.2.0.0/24", "%pass") + row(NEAR, "10.2.0.9/8", "%drop")
    assert translated(apart).outcomes[0].kind == Kind.NOTED


def test_a_lone_pass_with_host_bits_is_found_for_all() -> None:
    assert only(NEAR, "10.2.0.5/24", "%pass").kind == Kind.NOTED


def test_the_hold_that_the_kernel_made_is_for_its_pair() -> None:
    outcome = only("2001:db8::1/ff02::1", "2001:db8:2::1/ff02::1", "%hold")
    assert own_texts(outcome) == [
        "out 2001:db8::1/128 -> 2001:db8:2::1/128 [esp transport reqid 0]"
    ]
    assert "ET221" in outcome.treatment.codes
    assert all(
        p.selector.source.length is not None and p.selector.destination.length is not None
        for p in outcome.policies
    )


def test_the_hold_that_the_kernel_made_leaves_passes_alone() -> None:
    """Its mask is a slip: what matches that by chance is left to its own eroute."""
    text = (
        row("2001:db8:1::1:5/ff02::1", "2001:db8:2::1/ff02::1", "%hold")
        + row("2001:db8:3::/64", "2001:db8:2::/64", "%pass")
    )  # fmt: skip
    assert [o.kind for o in translated(text).outcomes] == [Kind.NOTED, Kind.NOTED]


def test_byte_eight_of_an_ipv6_source_is_said() -> None:
    text = row("2001:db8:1:0:600::/72", FAR6, "tun0x1002@2001:db8::7:6")
    (outcome,) = translated(text).outcomes
    assert "ET209" in outcome.treatment.codes
    assert own_texts(outcome)[0].startswith(f"out 2001:db8:1:0:600::/72 -> {FAR6} [")


# -------------------------------------------------------------------------------------- ports


def test_ports_without_a_protocol_are_those_of_tcp_and_udp() -> None:
    outcome = only(f"{NEAR}:25", FAR, "%pass")
    assert texts(outcome) == [
        f"{direction} {text}"
        for name in ("tcp", "udp")
        for direction, text in (
            ("out", f"{NEAR} -> {FAR} {name} port 25 -> any"),
            ("in", f"{FAR} -> {NEAR} {name} port any -> 25"),
            ("fwd", f"{FAR} -> {NEAR} {name} port any -> 25"),
        )
    ]


@pytest.mark.parametrize("protocol", [1, 47, 132])
def test_ports_of_other_protocols_were_never_reached(protocol: int) -> None:
    outcome = only(f"{NEAR}:25", FAR, f"%pass:{protocol}")
    assert not outcome.policies
    assert "ET304" in outcome.treatment.codes


@pytest.mark.parametrize(("protocol", "name"), [(6, "tcp"), (17, "udp")])
def test_ports_are_mirrored(protocol: int, name: str) -> None:
    outcome = only(f"{NEAR}:1", f"{FAR}:2", f"{TUNNEL}:{protocol}")
    assert [p.selector for p in outcome.policies][1] == outcome.selectors[0].mirrored()
    assert policy_text(outcome.policies[1]).startswith(f"in {FAR} -> {NEAR} {name} port 2 -> 1 [")


# -------------------------------------------------------------------------------- scope, refusal


def test_routed_cuts_eroutes_and_blocks_the_rest() -> None:
    translation = translated(row(NEAR, ALL4, TUNNEL), routed="10.2.0.0/16")
    assert own_texts(translation.outcomes[0])[0].startswith(f"out {NEAR} -> {FAR} [")
    blocked = [p for p in translation.extra if p.action == "block" and p.direction == "out"]
    assert texts(blocked) == [f"out {ALL4} -> {FAR} block"]
    assert blocked[0].priority > max(p.priority for p in translation.outcomes[0].policies)


def test_exemptions_do_not_reach_beyond_the_routes() -> None:
    outcome = only(NEAR, ALL4, "%trap", routed="10.2.0.0/16")
    assert {str(p.selector.destination) for p in outcome.policies} == {FAR}


def test_a_row_beyond_the_routes_has_no_policies() -> None:
    assert not only(NEAR, FAR, TUNNEL, routed="10.3.0.0/16").policies


def test_bypass_comes_first_in_all_directions() -> None:
    translation = translated(row(NEAR, ALL4, TUNNEL), bypass=NEAR)
    assert sorted(texts(translation.extra)) == sorted(
        [
            f"out {ALL4} -> {NEAR}",
            f"in {NEAR} -> {ALL4}",
            f"fwd {NEAR} -> {ALL4}",
            *(
                f"fwd {NEAR} -> {ALL4} {form} block"
                for form in ("udp port 500 -> any", "udp port 4500 -> any", "esp", "ah")
            ),
        ]
    )
    known = translated(row(NEAR, ALL4, TUNNEL), bypass=NEAR, local="10.1.0.1")
    assert len(known.extra) == 3
    first = min(p.priority for o in translation.outcomes for p in o.policies)
    assert max(p.priority for p in translation.extra) < first


def test_what_comes_out_of_a_tunnel_for_a_bypassed_network_is_not_taken_for_clear() -> None:
    """A policy without templates drops a packet that came protected."""
    translation = translated(row(NEAR, ALL4, TUNNEL), bypass=NEAR)
    far, near = parse_address("198.51.100.1")[1], parse_address("10.1.0.9")[1]
    decision = lookup(list(translation.policies()), "fwd", Packet(4, far, near, 6, 80, 1024))
    assert decision.templates


DEFECTIVE = "5          10.1.0.0/16        -> 10.2.0.0/16        => tun0x1002@\n"


def test_an_unreadable_said_is_refused_and_blocked() -> None:
    text = DEFECTIVE + row(NEAR, "10.3.0.0/16", "%pass")
    result = page(text, partial=True)
    outcome = result.translation.outcomes[0]
    assert outcome.eroute.defect
    assert outcome.kind == Kind.REFUSED
    assert texts(outcome) == [f"out {NEAR} -> {FAR} block"]
    assert not result.stop_reasons
    assert page(text).stop_reasons


@pytest.mark.parametrize("given", [{"priority_base": 0xFFFFFFFF}, {"reqid_base": 0xFFFFFFFF}])
@pytest.mark.parametrize("partial", [False, True])
def test_numbers_beyond_32_bits_stop_the_script(given: dict[str, Any], partial: bool) -> None:
    """--allow-partial is about refused rows; a wrong number is none."""
    assert found_codes(row(NEAR, FAR, TUNNEL), **given) >= {"ET306"}
    for target in (Target.IP_XFRM, Target.JSON, Target.IP_BATCH):
        rendered(row(NEAR, FAR, TUNNEL), target, partial=partial, **given)
    assert page(row(NEAR, FAR, TUNNEL), partial=partial, **given).stop_reasons


def test_unexamined_crossings_stop_the_script_even_with_allow_partial() -> None:
    text = row(NEAR, ALL4, TUNNEL) + row(ALL4, FAR, "%pass") + row(ALL4, "10.3.0.0/16", "%pass")
    result = page(text, partial=True, crossing_limit=0)
    assert "ET305" in {item.code for item in result.translation.findings}
    assert result.stop_reasons


# ------------------------------------------------------------------------------------ firewall


def test_stronger_rows_return_before_a_reject() -> None:
    text = (
        row(NEAR, FAR, "%reject")
        + row(NEAR, "10.2.1.0/24", "%pass")
        + row(NEAR, "10.3.0.0/16", "%pass")
        + row(ALL4, ALL4, "%drop")
    )
    rules = translated(text).firewall
    assert [(r.verdict, str(r.selector)) for r in rules] == [
        ("return", f"{NEAR} -> 10.2.1.0/24"),
        ("reject", f"{NEAR} -> {FAR}"),
    ]


def test_a_bypassed_network_is_not_rejected() -> None:
    rules = translated(row(NEAR, ALL4, "%reject"), bypass=FAR).firewall
    assert rules[-1].verdict == "reject"
    assert ("return", f"{ALL4} -> {FAR}") in [(r.verdict, str(r.selector)) for r in rules]


# --------------------------------------------------------------------------------- small pieces


def test_intersection() -> None:
    wide, fine = parse_prefix("10.0.0.0/8"), parse_prefix("10.1.0.0/16")
    assert intersection(wide, fine) == intersection(fine, wide) == fine
    assert intersection(fine, parse_prefix("10.2.0.0/16")) is None
    assert intersection(fine, Prefix(6, 0, 0)) is None
