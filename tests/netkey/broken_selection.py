"""Faults in which packets a policy takes: selectors, exemptions, scope, priorities."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from eroute_translate.mapping import (
    exemptions,
    extra_policies,
    forwarded,
    mapper,
    masks,
    translation,
)
from eroute_translate.mapping.model import (
    BLOCK,
    FWD,
    IN,
    OUT,
    Scoping,
)
from eroute_translate.net import ALL_ONES

from .breaks import (
    Mutant,
    around,
    both,
    bypassing,
    each_policy,
    instead,
    longer,
    loose_order,
    options_with,
    order,
    own_flows,
    policies,
    routes_with,
    selectors,
    shields,
    wider,
)

if TYPE_CHECKING:
    pass


SELECTORS: Final = (
    Mutant(
        "source and destination swapped",
        ("tunnel",),
        selectors(lambda s: s._replace(source=s.destination, destination=s.source)),
    ),
    Mutant(
        "prefixes longer",
        ("tunnel", "direction", "precedence", "mask-with-holes"),
        selectors(lambda s: s._replace(source=longer(s.source), destination=longer(s.destination))),
    ),
    Mutant(
        "prefixes shorter",
        ("precedence", "scope", "pass"),
        selectors(lambda s: s._replace(source=wider(s.source), destination=wider(s.destination))),
    ),
    Mutant("source port left out", ("ports",), selectors(lambda s: s._replace(source_port=0))),
    Mutant(
        "destination port left out", ("ports",), selectors(lambda s: s._replace(destination_port=0))
    ),
    Mutant(
        "ports swapped",
        ("ports",),
        selectors(
            lambda s: s._replace(source_port=s.destination_port, destination_port=s.source_port)
        ),
    ),
    Mutant("protocol left out", ("ports", "own-ike"), selectors(lambda s: s._replace(protocol=0))),
    Mutant(
        "ports of any protocol",
        ("ports",),
        instead(mapper, "_with_ports", lambda treatment, selectors: (treatment, selectors)),
    ),
    Mutant(
        "ports without a protocol are those of UDP",
        ("ports",),
        around(
            mapper,
            "_with_ports",
            lambda original, *given: ((made := original(*given))[0], made[1][-1:]),
        ),
    ),
    Mutant(
        "a mask with holes blocks what is around it",
        ("mask-with-holes",),
        instead(mapper, "without_holes", lambda eroute: (masks.around(eroute.selector),)),
    ),
    Mutant(
        "only the first prefix of a mask",
        ("mask-with-holes",),
        around(mapper, "without_holes", lambda original, eroute: original(eroute)[:1]),
    ),
    Mutant("no limit for masks", ("mask-with-holes",), options_with("mask_limit", 1 << 20)),
    Mutant(
        "host bits taken for a host",
        ("host-bits",),
        instead(
            mapper,
            "_network_of",
            lambda s: s._replace(
                source=s.source.network,
                destination=s.destination._replace(mask=ALL_ONES[s.destination.family]),
            ),
        ),
    ),
    Mutant(
        "doubtful passes with host bits carried",
        ("host-bits",),
        both(
            instead(translation, "unreached_passes", lambda *_: set()),
            instead(translation, "doubtful_passes", lambda *_: set()),
        ),
    ),
)

OWN: Final = (
    Mutant("no exemption for IKE", ("own-ike",), own_flows(lambda _: False)),
    Mutant("none for port 500", ("own-ike",), own_flows(lambda f: f.source_port != 500)),
    Mutant("none for port 4500", ("own-ike",), own_flows(lambda f: f.source_port != 4500)),
    Mutant("none for ESP", ("own-ike",), own_flows(lambda f: f.protocol != 50)),
    Mutant("none for AH", ("own-ike",), own_flows(lambda f: f.protocol != 51)),
    Mutant(
        "nothing blocks forwarded IKE",
        ("own-ike",),
        shields("ike_shields", lambda s: s.direction != FWD),
    ),
    Mutant(
        "forwarded IKE slips through a hole",
        ("own-ike",),
        instead(forwarded, "close", lambda *_: None),
    ),
    Mutant(
        "the peer's IKE must come protected",
        ("own-ike",),
        shields("ike_shields", lambda s: s.direction != IN),
    ),
    Mutant(
        "exempt whatever the destination",
        ("own-ike",),
        around(
            exemptions,
            "_own_flows",
            lambda original, selector, _peer, local: original(
                selector, selector.destination.network, local
            ),
        ),
    ),
    Mutant(
        "exempt for everybody although --local tells who",
        ("own-ike",),
        around(
            exemptions,
            "_own_flows",
            lambda original, selector, peer, _local: [
                (flow, True) for flow, _ in original(selector, peer, ())
            ],
        ),
    ),
    Mutant(
        "exemptions behind their eroute",
        ("own-ike",),
        policies(
            lambda o, old: [
                p._replace(priority=o.priority + 1) if p.priority != o.priority else p for p in old
            ]
        ),
    ),
    Mutant(
        "no neighbour discovery",
        ("neighbour-discovery",),
        instead(mapper, "discovery_shields", lambda *_: ()),
    ),
    Mutant(
        "no solicitations",
        ("neighbour-discovery",),
        instead(exemptions, "DISCOVERY_TYPES", (133, 134, 136, 137)),
    ),
    Mutant(
        "no advertisements",
        ("neighbour-discovery",),
        instead(exemptions, "DISCOVERY_TYPES", (133, 134, 135, 137)),
    ),
    Mutant(
        "discovery is forwarded",
        ("neighbour-discovery",),
        shields("discovery_shields", lambda s: s.direction != FWD),
    ),
    Mutant(
        "discovery must come protected",
        ("neighbour-discovery",),
        shields("discovery_shields", lambda s: s.direction != IN),
    ),
)

ORDER: Final = (
    Mutant(
        "nothing blocks what no eroute covers",
        ("scope",),
        around(
            translation,
            "extra_policies",
            lambda original, *given: [p for p in original(*given) if p.action != BLOCK],
        ),
    ),
    Mutant(
        "eroutes not cut to the routes",
        ("scope",),
        instead(mapper.Mapper, "_scoped", lambda _self, selectors: selectors),
    ),
    Mutant(
        "what no eroute covers has no IKE",
        ("scope",),
        instead(extra_policies, "uncovered_shields", lambda *_: ()),
    ),
    Mutant("--bypass ignored", ("scope",), bypassing(())),
    Mutant("--bypass without out", ("scope",), bypassing((IN, FWD))),
    Mutant("--bypass without in", ("scope",), bypassing((OUT, FWD))),
    Mutant("--bypass without fwd", ("scope",), bypassing((OUT, IN))),
    Mutant("routes into ipsecN ignored", ("routed-uncovered",), routes_with(blocked=())),
    Mutant("routes elsewhere ignored", ("never-routed",), routes_with(around=())),
    Mutant(
        "--scope eroutes ignored",
        ("routed-uncovered",),
        around(
            translation,
            "scope_of",
            lambda original, host, options: original(
                host, dataclasses.replace(options, scope=Scoping.ROUTES)
            ),
        ),
    ),
    Mutant("priorities turned round", ("precedence",), order(lambda old: old[::-1])),
    Mutant("priorities in the order of the table", ("precedence",), order(sorted)),
    Mutant(
        "the longest destination first", ("precedence",), around(translation, "decide", loose_order)
    ),
    Mutant(
        "one priority for all",
        ("precedence",),
        each_policy(lambda p: p._replace(priority=1_000_000_000)),
    ),
)
