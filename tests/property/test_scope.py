"""Random routes under random eroutes: nothing gets clearer, and nothing is cut off for no reason.

The oracle follows the routes by itself, by trying all of them for each packet.
"""

from __future__ import annotations

from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from eroute_translate.diagnostics import Span
from eroute_translate.equivalence.compare import prove
from eroute_translate.klips.decision import decide
from eroute_translate.klips.eroute import Eroute
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.interface import Route
from eroute_translate.klips.said import SHUNTS, parse_said
from eroute_translate.mapping.model import Inbound, Options
from eroute_translate.mapping.scope import ON_LINK
from eroute_translate.mapping.translation import Translation, translate
from eroute_translate.net import MASK_OF_LENGTH, Packet, Prefix, Selector
from eroute_translate.xfrm.lookup import PolicyIndex

LOCAL = ((4, 0x0A000001),)
PLACE = Span("made", 1)

addresses = st.integers(0, 15).map(lambda n: n << 28) | st.sampled_from(
    [0x0A000001, 0x0A000009, 0x0A0000FF, 0xE0000005, 0xFFFFFFFF, 0xE1000001]
)


@st.composite
def prefixes(draw: st.DrawFn) -> Prefix:
    mask = MASK_OF_LENGTH[4][draw(st.sampled_from([0, 1, 2, 3, 4, 8, 24, 32]))]
    return Prefix(4, draw(addresses) & mask, mask)


@st.composite
def routes(draw: st.DrawFn) -> Route:
    device = draw(st.sampled_from(["ipsec0", "ipsec0", "ipsec1", "eth0", "eth1"]))
    gateway = draw(st.sampled_from([None, (4, 0x0A000002)]))
    kind = draw(st.sampled_from(["unicast"] * 6 + ["blackhole"]))
    metric = draw(st.sampled_from([0, 0, 0, 5]))
    shown = "" if kind == "blackhole" else device
    return Route(draw(prefixes()), shown, PLACE, gateway, metric=metric, kind=kind)


SAIDS = [SHUNTS[name] for name in ("%pass", "%drop", "%trap")] + [
    parse_said("tun0x1000@192.0.2.1"),
    parse_said("tun0x1002@10.0.0.9"),
]


@st.composite
def hosts(draw: st.DrawFn) -> KlipsHost:
    selectors = draw(
        st.lists(st.builds(Selector, prefixes(), prefixes()), min_size=1, max_size=4, unique=True)
    )
    rows = tuple(Eroute(s, (draw(st.sampled_from(SAIDS)),), PLACE) for s in selectors)
    link = Route(Prefix(4, 0x0A000000, MASK_OF_LENGTH[4][24]), "eth0", PLACE)
    table = (link, *draw(st.lists(routes(), min_size=1, max_size=6)))
    return KlipsHost(rows, routes=table, routes_printed=draw(st.booleans()))


def routed(host: KlipsHost, destination: int) -> list[str]:
    """The devices by which a packet may have left, by the longest prefix and the lowest metric."""
    found = [r for r in host.routes if r.destination.contains(destination)]
    best = max((r.destination.mask for r in found), default=None)
    found = [r for r in found if r.destination.mask == best]
    metric = min((r.metric for r in found), default=0)
    return [r.device for r in found if r.metric == metric]


packets = st.builds(
    Packet,
    st.just(4),
    addresses,
    addresses,
    st.sampled_from([1, 6, 17, 50]),
    st.sampled_from([0, 500, 1000]),
    st.just(80),
)


def clear(translation: Translation, packet: Packet) -> bool:
    decision = PolicyIndex(translation.policies()).lookup("out", packet)
    return decision.winner is None or (decision.action == "allow" and not decision.templates)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=250)
@given(hosts(), st.lists(packets, min_size=1, max_size=6))
def test_routes_make_nothing_clearer(host: KlipsHost, sent: list[Packet]) -> None:
    bounded = translate(host, Options(local=LOCAL))
    alone = translate(KlipsHost(host.eroutes), Options(local=LOCAL))
    for packet in sent:
        devices = routed(host, packet.destination)
        into = [device.startswith("ipsec") for device in devices]
        note(f"{packet} by {devices}")
        decision = decide(host, packet, LOCAL)
        if clear(bounded, packet) and not clear(alone, packet):
            # Taken out of an eroute: only what certainly left by another interface.
            event("taken out")
            assert devices
            assert not any(into), packet
        if into and all(into) and not decision.possible and not decision.exempt:
            event("routed into ipsecN, and no eroute")
            if 4 in bounded.scope.whole and not _on_link(packet.destination):
                assert not clear(bounded, packet), packet
        if not any(into) and devices and not decision.possible and "" not in devices:
            # A gateway must not lose what never went into ipsecN.
            event("routed elsewhere, and no eroute")
            if 4 in bounded.scope.whole and not _meant(host, packet):
                assert clear(bounded, packet), packet


def _on_link(destination: int) -> bool:
    return any(link.family == 4 and link.contains(destination) for link in ON_LINK)


def _meant(host: KlipsHost, packet: Packet) -> bool:
    """Whether some eroute is for this destination, whatever its source."""
    return any(e.selector.destination.contains(packet.destination) for e in host.eroutes)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(hosts(), st.sampled_from(list(Inbound)))
def test_the_proof_agrees(host: KlipsHost, inbound: Inbound) -> None:
    """What the routes add is part of what is promised."""
    translation = translate(host, Options(local=LOCAL, inbound=inbound))
    alone = translate(KlipsHost(host.eroutes), Options(local=LOCAL, inbound=inbound))
    if prove(alone).equal:
        event("equal without routes")
        assert prove(translation).equal
