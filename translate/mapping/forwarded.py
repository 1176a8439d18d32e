"""What is forwarded in the form of the host's own IKE, ESP and AH, and meets a hole first.

While the addresses of this host are not known, an eroute lets all such packets out and blocks them
on ``fwd``, just before itself (:mod:`.exemptions`).  A stronger eroute that passes lets what comes
back from its far side be forwarded, and so would let these packets come past that block.  The same
holds for the block behind all eroutes, for what none covers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from ..klips.lookup import row_of
from ..net import Selector
from .exemptions import everywhere_to, intersection, uncovered_shields
from .model import BLOCK, FWD, Options, Outcome, Shield
from .precedence import Crossed


def close(
    outcomes: list[Outcome],
    before: list[Outcome],
    crossed: Mapping[int, Crossed],
    options: Options,
) -> None:
    """Block it before each eroute, and each exception (``before``), that lets it be forwarded."""
    blocked = {
        position: flows
        for position, outcome in enumerate(outcomes)
        if outcome.shields and (flows := _blocked(outcome.shields))
    }
    behind = [
        flow
        for network in dict.fromkeys((*options.routed, *options.blocked))
        for flow in _blocked(uncovered_shields(everywhere_to(network), options.local))
    ]
    if not blocked and not behind:
        return
    for group in (outcomes, before):
        for place, outcome in enumerate(group):
            treatment = outcome.treatment
            if not treatment.forwarded or not treatment.inbound or treatment.asks_inbound:
                continue
            weaker = _weaker(outcome, outcomes, blocked, crossed)
            pieces = dict.fromkeys(
                piece
                for flow in chain(weaker, behind)
                for piece in _through(outcome.selectors, flow)
            )
            if pieces:
                shields = tuple(Shield(FWD, piece, BLOCK) for piece in pieces)
                kept = dict.fromkeys((*outcome.shields, *shields))
                group[place] = outcome._replace(shields=tuple(kept))


def _blocked(shields: Iterable[Shield]) -> list[Selector]:
    return [s.selector for s in shields if (s.direction, s.action) == (FWD, BLOCK)]


def _weaker(
    outcome: Outcome,
    outcomes: Sequence[Outcome],
    blocked: Mapping[int, Sequence[Selector]],
    crossed: Mapping[int, Crossed],
) -> Iterator[Selector]:
    """The flows that eroutes behind this one block, as far as they may meet what it forwards."""
    for selector in outcome.selectors:
        family = selector.family
        key, mask = row_of(selector.mirrored())
        for other in crossed[family].crossings.touching((key & mask, mask)):
            position = crossed[family].members[other]
            if position in blocked and outcome.priority < outcomes[position].priority:
                yield from blocked[position]


def _through(selectors: Sequence[Selector], flow: Selector) -> Iterator[Selector]:
    """The parts of a flow that the mirrored policies of an eroute would let be forwarded."""
    for selector in selectors:
        mirror = selector.mirrored()
        source = intersection(mirror.source, flow.source)
        destination = intersection(mirror.destination, flow.destination)
        if source is None or destination is None or not mirror.overlaps(flow):
            continue
        part = Selector(
            source,
            destination,
            mirror.protocol or flow.protocol,
            mirror.source_port or flow.source_port,
            mirror.destination_port or flow.destination_port,
        )
        # What the eroute itself lets out may be forwarded.
        if not selector.covers(part):
            yield part
