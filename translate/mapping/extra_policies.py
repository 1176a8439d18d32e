"""Policies of no eroute: what never went into ipsecN, and what did and no eroute covers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..net import Prefix, Selector
from ..xfrm.model import Policy
from .collisions import places
from .exemptions import uncovered_shields
from .model import ALLOW, BLOCK, FWD, IN, OUT, POLICIES_PER_PLACE, Options, Outcome


def bypass_flows(options: Options) -> list[tuple[str, Selector]]:
    """What passes before all eroutes: these networks were never routed into ipsecN.

    Nothing is said of what is forwarded *to* them: it may come out of a tunnel, and a policy
    without templates would drop it then (__xfrm_policy_check, secpath_has_nontransport).
    """
    flows: dict[tuple[str, Selector], None] = {}
    for network in options.bypass:
        anywhere = Prefix(network.family, 0, 0)
        flows[OUT, Selector(anywhere, network)] = None
        flows[IN, Selector(network, anywhere)] = None
        flows[FWD, Selector(network, anywhere)] = None
    return list(flows)


def extra_policies(options: Options, outcomes: Sequence[Outcome], last: int) -> Iterator[Policy]:
    """The policies before all eroutes, and those behind them for what no eroute covers."""
    bypass = bypass_flows(options)
    for place, (direction, selector) in enumerate(bypass):
        yield Policy(direction, selector, options.priority_base + place, ALLOW)
    networks = dict.fromkeys((*options.routed, *options.blocked))
    if not networks:
        return
    taken = {place for outcome in outcomes for place in places(outcome)} | set(bypass)
    start = last - POLICIES_PER_PLACE * (len(options.routed) + len(options.blocked))
    for spared in options.spared:
        if (OUT, spared) not in taken:
            taken.add((OUT, spared))
            yield Policy(OUT, spared, start, ALLOW)
    for number, network in enumerate(networks):
        priority = start + POLICIES_PER_PLACE * (number + 1)
        selector = Selector(Prefix(network.family, 0, 0), network)
        # No eroute at all: KLIPS let the host's own IKE, ESP and AH pass, and dropped the rest.
        for direction, flow, action in uncovered_shields(selector, options.local):
            if (direction, flow) not in taken:
                taken.add((direction, flow))
                yield Policy(direction, flow, priority - 1, action)
        if (OUT, selector) not in taken:
            taken.add((OUT, selector))
            yield Policy(OUT, selector, priority, BLOCK)
