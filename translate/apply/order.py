"""The order of a transaction: no packet that was kept from the clear goes out in clear meanwhile.

A packet may go in clear in between only if it went in clear before or will afterwards.  For a
plan that only adds, an order does it: first what blocks or protects, then what lets pass.  While
the first half is being added, a packet meets a new policy that keeps it, or the old ones; in the
second half every packet that is to be kept meets a policy that keeps it, and its priority is the
stronger one.

Replacing and removing cannot be ordered like that in general (a policy that moves behind another
in priority uncovers it), so a *guard* of block policies stands above everything for the selectors
that change, from the first change to the last.  The kernel itself takes the guard away after
:data:`GUARD_SECONDS`, so that a machine whose operator, program and rollback process all died is
not cut off for ever.

Within each half widest prefixes come first: the order that the kernel installs fastest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from ..net import Prefix, Selector
from ..xfrm.model import Policy
from .plan import Change, Verb

GUARD_PRIORITY: Final = 0
"""Nothing is asked before it but an older policy of priority 0."""

GUARD_USER: Final = 0x65726F75
"""The user of a guard's selector: part of the key, so that a guard can stand beside a policy with
the same selector, and never matched (xfrm_policy.c:xfrm_selector_match)."""

GUARD_SECONDS: Final = 60
"""Life of a guard (``limit time-hard``); it is gone long before, unless everything died."""

GUARD_RENEWED: Final = 20
"""Seconds after which a guard is installed anew while changes are still being sent."""

GUARD_SELECTORS: Final = 64
"""More selectors than this are guarded as a whole: all traffic of the family and direction."""


class Steps(NamedTuple):
    """A transaction in its order; ``guard`` goes in first and out last."""

    guard: tuple[Policy, ...]
    steps: tuple[Change, ...]


def in_order(changes: Sequence[Change]) -> Steps:
    """Bring the changes of a plan into a safe and quick order."""
    adds = [c for c in changes if c.verb is Verb.ADD]
    replaces = [c for c in changes if c.verb is Verb.REPLACE]
    removes = [c for c in changes if c.verb is Verb.REMOVE]
    keeping = sorted((c for c in adds + replaces if not passes(c.new)), key=_speed)
    passing = sorted((c for c in adds + replaces if passes(c.new)), key=_speed)
    uncovering = sorted((c for c in removes if passes(c.old)), key=_speed)
    last = sorted((c for c in removes if not passes(c.old)), key=_speed)
    guard = _guard(replaces + removes) if replaces or removes else ()
    return Steps(guard, (*keeping, *uncovering, *passing, *last))


def reversed_changes(changes: Iterable[Change]) -> list[Change]:
    """The changes that take changes back."""
    back = {Verb.ADD: Verb.REMOVE, Verb.REMOVE: Verb.ADD, Verb.REPLACE: Verb.REPLACE}
    return [Change(back[c.verb], c.key, c.new, c.old) for c in changes]


def passes(policy: Policy | None) -> bool:
    """Whether a policy lets packets go as they are."""
    return (
        policy is not None
        and policy.action == "allow"
        and all(template.optional for template in policy.templates)
    )


_DIRECTIONS: Final = {"out": 0, "in": 1, "fwd": 2}


def _speed(change: Change) -> tuple[int, int, int, int]:
    """One direction after the other, widest prefixes first (destination, then source)."""
    policy = change.new or change.old
    if policy is None:
        raise ValueError("a change without a policy")
    selector = policy.selector
    return (
        _DIRECTIONS.get(policy.direction, 3),
        selector.destination.mask,
        selector.source.mask,
        policy.priority,
    )


def _guard(changes: Sequence[Change]) -> tuple[Policy, ...]:
    """Block policies over all that is replaced or removed, unless it passes before and after."""
    flows: dict[tuple[str, Selector], None] = {}
    for change in changes:
        policy = change.old or change.new
        if policy is None or (passes(change.old) and (change.new is None or passes(change.new))):
            continue
        flows[policy.direction, policy.selector] = None
    if len(flows) > GUARD_SELECTORS:
        flows = {
            (direction, Selector(everything, everything)): None
            for direction, everything in sorted(
                {(direction, Prefix(selector.family, 0, 0)) for direction, selector in flows}
            )
        }
    return tuple(
        Policy(direction, selector, GUARD_PRIORITY, action="block", user=GUARD_USER)
        for direction, selector in flows
    )
