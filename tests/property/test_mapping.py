"""What must hold for every table: outcomes add up, and nothing becomes clearer than it was."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, assume, event, given, note, settings
from hypothesis import strategies as st

from eroute_translate.diagnostics import Span
from eroute_translate.klips.decision import decide, is_exempt
from eroute_translate.klips.eroute import Eroute, format_eroute
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.host_table import host_table
from eroute_translate.klips.lookup import ExistsError, RadixTable, row_of
from eroute_translate.klips.said import MAGIC, SA_INT, SPI_PASS, Said, parse_said
from eroute_translate.mapping.exemptions import DISCOVERY_TYPES
from eroute_translate.mapping.model import Inbound, Kind, Options, TemplateBy
from eroute_translate.mapping.translation import Translation, translate
from eroute_translate.net import (
    ALL_ONES,
    IPPROTO_COMP,
    MASK_OF_LENGTH,
    WIDTH,
    Packet,
    Prefix,
    Selector,
    parse_address,
)
from eroute_translate.xfrm.lookup import Decision, PolicyIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Draw = Callable[[st.SearchStrategy[object]], object]

BASES = {4: parse_address("10.0.0.0")[1], 6: parse_address("2001:db8::")[1]}
LOW_BITS = {4: 24, 6: 96}
"""Addresses differ in three bits near the top of what is free, so that prefixes often meet."""

HOLED = {4: ALL_ONES[4] ^ 5 << 20, 6: ALL_ONES[6] ^ 5 << 92}


def _lengths(family: int) -> list[int]:
    start = WIDTH[family] - LOW_BITS[family]
    return [0, start, start + 1, start + 2, start + 3, WIDTH[family]]


@st.composite
def addresses(draw: st.DrawFn, family: int) -> int:
    return BASES[family] | draw(st.integers(0, 7)) << LOW_BITS[family] - 3 | draw(st.integers(0, 1))


@st.composite
def networks(draw: st.DrawFn, family: int) -> Prefix:
    address = draw(addresses(family))
    if draw(st.integers(0, 19)) == 0:
        mask = HOLED[family]
    else:
        mask = MASK_OF_LENGTH[family][draw(st.sampled_from(_lengths(family)))]
    keeps_host_bits = draw(st.integers(0, 9)) == 0
    return Prefix(family, address if keeps_host_bits else address & mask, mask)


@st.composite
def selectors(draw: st.DrawFn, family: int) -> Selector:
    protocol, sport, dport = 0, 0, 0
    if draw(st.integers(0, 2)) == 0:
        protocol = draw(st.sampled_from([1, 6, 17, 50, 51, 58]))
        if draw(st.booleans()):
            sport = draw(st.sampled_from([0, 25, 500, 4500]))
            dport = draw(st.sampled_from([0, 25, 500]))
    elif draw(st.integers(0, 9)) == 0:
        dport = 25
    return Selector(draw(networks(family)), draw(networks(family)), protocol, sport, dport)


@st.composite
def groups(draw: st.DrawFn, family: int) -> tuple[Said, ...]:
    if draw(st.booleans()):
        return (draw(st.sampled_from(list(MAGIC.values()))),)
    if draw(st.integers(0, 9)) == 0:
        return (parse_said(draw(st.sampled_from(["%unk-300", "unk770x100@10.0.0.1", "(error)"]))),)
    chain = draw(st.sampled_from(["tun", "esp", "ah", "comp", "tun esp", "esp ah", "ah esp"]))
    numbers = {"tun": 4, "esp": 50, "ah": 51, "comp": 108}
    peer = draw(addresses(family))
    return tuple(Said(numbers[name], 0x1000, family, peer) for name in chain.split())


@st.composite
def hosts(draw: st.DrawFn) -> KlipsHost:
    """A table as a kernel prints it: built by adding rows, so that chains stand right."""
    printed: list[Eroute] = []
    for family in draw(st.sampled_from([(4,), (6,), (4, 6)])):
        table = RadixTable(family)
        rows: list[Eroute] = []
        for selector in draw(st.lists(selectors(family), min_size=1, max_size=7)):
            defect = "ET103" if draw(st.integers(0, 19)) == 0 else ""
            eroute = Eroute(selector, draw(groups(family)), Span("table", 1), 0, defect=defect)
            try:
                table.add(row_of(selector), len(rows))
            except ExistsError:
                continue
            rows.append(eroute)
        printed.extend(rows[position] for position in table.printed())
    eroutes = (e._replace(span=Span("table", line)) for line, e in enumerate(printed, 1))
    return KlipsHost(tuple(eroutes))


@st.composite
def mapping_options(draw: st.DrawFn, families: set[int]) -> Options:
    local = [
        (family, draw(addresses(family)))
        for family in sorted(families)
        if draw(st.booleans())
        for _ in range(draw(st.integers(1, 2)))
    ]
    routed: tuple[Prefix, ...] = ()
    if draw(st.booleans()):
        routed = tuple(draw(networks(family)).network for family in sorted(families))
        assume(all(prefix.length is not None for prefix in routed))
    return Options(
        local=tuple(local),
        inbound=draw(st.sampled_from(list(Inbound))),
        template_by=draw(st.sampled_from(list(TemplateBy))),
        assume=draw(st.sampled_from([(50,), (51,), (108, 50)])),
        reject_rule=draw(st.booleans()),
        routed=routed,
        mask_limit=draw(st.sampled_from([1, 64])),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Translation, list[Packet]]:
    host = draw(hosts())
    families = {eroute.selector.family for eroute in host.eroutes}
    translation = translate(host, draw(mapping_options(families)))
    packets = [draw(packets_near(eroute.selector)) for eroute in host.eroutes for _ in range(3)]
    return translation, packets


@st.composite
def packets_near(draw: st.DrawFn, selector: Selector) -> Packet:
    family = selector.family
    ends = [
        prefix.address & prefix.mask | draw(addresses(family)) & ~prefix.mask
        for prefix in (selector.source, selector.destination)
    ]
    protocol = selector.protocol or draw(st.sampled_from([1, 6, 17, 17, 50, 51, 58, 132]))
    sport, dport = selector.source_port, selector.destination_port
    if protocol in (6, 17, 132):
        sport = sport or draw(st.sampled_from([500, 4500, 25, 1024]))
        dport = dport or draw(st.sampled_from([500, 25, 1024]))
    elif protocol in (1, 58):
        sport, dport = draw(st.sampled_from([8, 128, 135])), 0
    else:
        sport = dport = 0
    return Packet(family, ends[0], ends[1], protocol, sport, dport)


def note_table(translation: Translation) -> None:
    for outcome in translation.outcomes:
        note(f"{outcome.priority} {outcome.kind} {format_eroute(outcome.eroute)}")
    note(f"local {translation.options.local}, routed {list(map(str, translation.options.routed))}")
    note(f"inbound {translation.options.inbound}, limit {translation.options.mask_limit}")


def passes_in_clear(decision: Decision) -> bool:
    return decision.action != "block" and not decision.templates


def klips_passes(eroute: Eroute) -> bool:
    """Whether KLIPS sent what hit this eroute in clear, or the manual page says that it does."""
    if eroute.defect:
        return False
    said = eroute.said
    if all(s.protocol == IPPROTO_COMP for s in eroute.saids):
        return True  # compressed, in clear
    if said.protocol == SA_INT:
        return said.spi == SPI_PASS
    return not said.unknown and said.is_passthrough


def discovery(packet: Packet) -> bool:
    """Neighbour discovery never reached KLIPS."""
    kinds = packet.protocol == 58 and packet.source_port in DISCOVERY_TYPES
    return packet.family == 6 and kinds


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=150)
@given(hosts(), st.data())
def test_every_entry_has_one_outcome_and_the_counts_add_up(
    host: KlipsHost, data: st.DataObject
) -> None:
    families = {eroute.selector.family for eroute in host.eroutes}
    options = data.draw(mapping_options(families))
    result = translate(host, options)
    assert [outcome.eroute for outcome in result.outcomes] == list(host.eroutes)
    kinds = Counter(outcome.kind for outcome in result.outcomes)
    assert result.counts == {kind.value: kinds[kind.value] for kind in Kind}
    assert sum(result.counts.values()) == host.rows
    assert len({outcome.priority for outcome in result.outcomes}) == len(result.outcomes)
    assert result == translate(host, options)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=150)
@given(cases())
def test_the_kernel_has_a_place_for_each_policy(case: tuple[Translation, list[Packet]]) -> None:
    """No two policies have one key, none is out of its band, and all prefixes are plain."""
    translation, _ = case
    policies = list(translation.policies())
    assert len({policy.key for policy in policies}) == len(policies)
    for policy in policies:
        assert policy.priority >= translation.options.priority_base
        for prefix in (policy.selector.source, policy.selector.destination):
            assert prefix.length is not None
            assert not prefix.has_host_bits


@settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    deadline=None,
    max_examples=400,
)
@given(cases())
def test_nothing_becomes_clearer_than_it_was(case: tuple[Translation, list[Packet]]) -> None:
    """Whatever KLIPS protected, dropped or asked for never passes in clear.

    With the gateway's addresses known, its own IKE, ESP and AH are exempt.  Without them packets
    are taken as forwarded: they have to pass ``fwd`` and ``out``.
    """
    translation, packets = case
    note_table(translation)
    host, local = translation.host, translation.options.local
    index = PolicyIndex(translation.policies())
    for packet in packets:
        possible = decide(host, packet, local).possible
        if not possible:
            routed = any(
                p.family == packet.family and p.contains(packet.destination)
                for p in translation.options.routed
            )
            ours = (packet.family, packet.source) in local or not any(
                family == packet.family for family, _ in local
            )
            if routed and not (ours and is_exempt(packet, None)) and not discovery(packet):
                event("routed, and no eroute")
                assert not passes_in_clear(index.lookup("out", packet)), packet
            continue
        for eroute in possible:
            if klips_passes(eroute) or not _carried(translation, eroute, packet):
                continue
            exempt = any(is_exempt(packet, other) for other in possible)
            if is_exempt(packet, None) and _has_host_bits(host, packet.family):
                continue  # Which exemption held depends on where the descent in the tree ended.
            for name, clear in _ways(translation, index, packet, eroute, exempt):
                event(name)
                assert not clear, (name, str(packet), format_eroute(eroute))


def _has_host_bits(host: KlipsHost, family: int) -> bool:
    rows = [row_of(e.selector) for e in host.eroutes if e.selector.family == family]
    return any(key & ~mask for key, mask in rows)


def _carried(translation: Translation, eroute: Eroute, packet: Packet) -> bool:
    """Whether the packet was routed into ipsecN, as far as it is known."""
    routed = translation.options.routed
    return not routed or any(
        p.family == packet.family and p.contains(packet.destination) for p in routed
    )


def _ways(
    translation: Translation, index: PolicyIndex, packet: Packet, eroute: Eroute, exempt: bool
) -> Iterator[tuple[str, bool]]:
    """How the packet may leave, and whether that is in clear."""
    local = [address for family, address in translation.options.local if family == packet.family]
    clear = passes_in_clear(index.lookup("out", packet))
    if local:
        if not (exempt and packet.source in local) and not discovery(packet):
            yield "local known", clear
    elif not exempt and not discovery(packet):
        yield "sent or forwarded", clear
    elif not discovery(packet):
        # Where the mirrored policy of a stronger row lets the packet in, the guard is not asked.
        forwarded = index.lookup("fwd", packet).winner is None
        # A single source in transport mode can only be this host.
        alone = eroute.selector.source.mask == ALL_ONES[packet.family]
        yield "forwarded IKE, ESP, AH", clear and forwarded and not alone


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=150)
@given(cases())
def test_our_own_ike_leaves(case: tuple[Translation, list[Packet]]) -> None:
    """The host's own IKE, ESP and AH go out in clear where KLIPS exempted them for certain."""
    translation, packets = case
    local = translation.options.local
    index = PolicyIndex(translation.policies())
    refused = [o.eroute for o in translation.outcomes if o.kind == Kind.REFUSED]
    for packet in packets:
        if (packet.family, packet.source) not in local:
            continue
        possible = host_table(translation.host, packet.family).possible
        decision = decide(translation.host, packet, local)
        if len(decision.possible) != 1 or not decision.exempt or translation.disputes or refused:
            continue
        assert possible is not None
        if _carried(translation, decision.possible[0], packet):
            event("exempt")
            assert passes_in_clear(index.lookup("out", packet)), str(packet)
