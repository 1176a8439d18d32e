"""One place in the kernel for each direction and selector: the strongest policy gets it.

XFRM has room for one policy with a given direction and selector (xfrm_policy_insert_list), and
an update replaces what stands there.  Exemptions of two eroutes, a bypassed network, a mask taken
apart can ask for one place twice; the weaker one would never be asked, so it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..net import Selector
from .model import FWD, IN, OUT, Outcome

Place = tuple[str, Selector]


def places(outcome: Outcome) -> Iterator[Place]:
    """Where the policies of an eroute stand, its exemptions first."""
    for shield in outcome.shields:
        yield shield.direction, shield.selector
    for selector in outcome.selectors:
        yield OUT, selector
        if outcome.treatment.inbound:
            mirror = selector.mirrored()
            yield IN, mirror
            if outcome.treatment.forwarded:
                yield FWD, mirror


def without_collisions(
    outcomes: Sequence[Outcome], order: Sequence[int], stronger: Sequence[Place]
) -> list[Outcome]:
    """The outcomes, each with what it must leave out.

    ``order`` are positions, strongest first; ``stronger`` places are taken by policies before
    all of them.  Eroutes that are carried with their own selector alone cannot collide with each
    other, so that a plain table costs one pass.
    """
    result = list(outcomes)
    asked: set[Place] = set(stronger)
    for outcome in outcomes:
        if outcome.shields or outcome.selectors != (outcome.eroute.selector,):
            asked.update(places(outcome))
    if not asked:
        return result
    taken = set(stronger)
    for position in order:
        outcome = outcomes[position]
        own = [place for place in places(outcome) if place in asked]
        lost = tuple(place for place in own if place in taken)
        taken.update(own)
        if lost:
            result[position] = outcome._replace(shadowed=lost)
    return result
