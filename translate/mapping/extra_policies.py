"""Policies of no eroute: what never went into ipsecN, and what did and no eroute covers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..net import Prefix, Selector
from ..xfrm.model import Policy
from .collisions import places
from .exemptions import everywhere_to, exempt_flows, uncovered_shields
from .model import ALLOW, BLOCK, FWD, IN, OUT, POLICIES_PER_PLACE, Options, Outcome, Shield


def bypass_flows(options: Options) -> list[Shield]:
    """What passes before all eroutes: these networks were never routed into ipsecN.

    Nothing is said of what is forwarded *to* them: it may come out of a tunnel, and a policy
    without templates would drop it then (__xfrm_policy_check, secpath_has_nontransport).

    While this host's own addresses are not known, an eroute lets all IKE, ESP and AH out and
    blocks what is forwarded in that form on ``fwd`` (:mod:`.exemptions`).  Packets of these
    networks must not come past that block.
    """
    flows: dict[Shield, None] = {}
    known = {family for family, _ in options.local}
    for network in options.bypass:
        anywhere = Prefix(network.family, 0, 0)
        flows[Shield(OUT, Selector(anywhere, network), ALLOW)] = None
        flows[Shield(IN, Selector(network, anywhere), ALLOW)] = None
        if network.family not in known:
            for flow in exempt_flows(network, anywhere):
                flows[Shield(FWD, flow, BLOCK)] = None
        flows[Shield(FWD, Selector(network, anywhere), ALLOW)] = None
    return list(flows)


def extra_policies(
    options: Options, bypass: Sequence[Shield], outcomes: Sequence[Outcome], last: int
) -> Iterator[Policy]:
    """The policies before all eroutes (``bypass``), and those behind them for what none covers."""
    for place, (direction, selector, action) in enumerate(bypass):
        yield Policy(direction, selector, options.priority_base + place, action)
    networks = dict.fromkeys((*options.routed, *options.blocked))
    if not networks:
        return
    taken = {place for outcome in outcomes for place in places(outcome)} | {
        flow[:2] for flow in bypass
    }
    start = last - POLICIES_PER_PLACE * (len(options.routed) + len(options.blocked))
    for spared in options.spared:
        if (OUT, spared) not in taken:
            taken.add((OUT, spared))
            yield Policy(OUT, spared, start, ALLOW)
    for number, network in enumerate(networks):
        priority = start + POLICIES_PER_PLACE * (number + 1)
        selector = everywhere_to(network)
        # No eroute at all: KLIPS let the host's own IKE, ESP and AH pass, and dropped the rest.
        for direction, flow, action in uncovered_shields(selector, options.local):
            if (direction, flow) not in taken:
                taken.add((direction, flow))
                yield Policy(direction, flow, priority - 1, action)
        if (OUT, selector) not in taken:
            taken.add((OUT, selector))
            yield Policy(OUT, selector, priority, BLOCK)
