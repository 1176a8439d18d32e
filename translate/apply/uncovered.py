"""What a plan uncovers: packets that a removed policy kept, and that leave in clear afterwards.

A table that was cut at the end of a row reads like one with fewer eroutes, and nothing in it tells
the two apart.  KLIPS dropped what was routed into ``ipsecN`` and no eroute covered; XFRM sends it.
So what a removal uncovers is looked for, exactly (:mod:`..equivalence.proof`), and told before it
is done.  What an eroute newly passes is not in it: the table says so itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ..cubes import packet_of
from ..equivalence.fate import Fate, Kind
from ..equivalence.proof import differences
from ..equivalence.xfrm_side import XfrmSide
from ..net import Packet
from ..xfrm.model import Policy, PolicyKey
from .look import counts
from .order import passes
from .plan import Plan, Verb

OUT: Final = "out"

_IN_CLEAR: Final = (Kind.CLEAR, Kind.EITHER)


class Uncovered(NamedTuple):
    """A policy that goes, and a packet that it kept and that leaves in clear without it."""

    policy: Policy
    packet: Packet


def uncovered(plan: Plan, defaults: Mapping[str, str]) -> tuple[Uncovered, ...]:
    """What the removals of a plan uncover; ``defaults`` as in :mod:`.surroundings`.

    Packets that come in are not looked at: what leaves in clear is what nobody can take back.
    """
    removed = {
        change.key
        for change in plan.changes
        if change.verb is Verb.REMOVE
        and change.old is not None
        and change.old.direction == OUT
        and not passes(change.old)
    }
    if not removed or plan.wanted is None or defaults.get(OUT) == "block":
        return ()
    before, after, newly = _before_and_after(plan, plan.wanted.policies)
    found: list[Uncovered] = []
    for family in (4, 6):
        sides = XfrmSide(before, OUT, family), XfrmSide(after, OUT, family)
        found += _uncovered(*sides, removed, newly)
    return tuple(found)


def _before_and_after(
    plan: Plan, wanted: Sequence[Policy]
) -> tuple[list[Policy], list[Policy], Collection[PolicyKey]]:
    """Policies for ``out`` before and after, others first, and those that newly let pass."""
    changed = {change.key for change in plan.changes}
    newly = {c.key for c in plan.changes if passes(c.new) and not passes(c.old)}
    live = [policy for policy in plan.live if policy.direction == OUT and counts(policy)]
    mine = [policy for policy in wanted if policy.direction == OUT]
    kept = [policy for policy in mine if policy.key not in changed]
    stays = [policy for policy in live if policy.key not in changed]
    return live + kept, stays + mine, newly


def _uncovered(
    before: XfrmSide,
    after: XfrmSide,
    removed: Collection[PolicyKey],
    newly: Collection[PolicyKey],
) -> Iterator[Uncovered]:
    family = before.regions.family
    clear = frozenset(
        rank
        for rank, piece in enumerate(after.pieces)
        if piece.fate.kind in _IN_CLEAR
        and not any(policy.key in newly for policy in after.policies_of(rank))
    )
    ours = [
        rank
        for rank in range(len(before.pieces))
        if any(policy.key in removed for policy in before.policies_of(rank))
    ]
    told: set[int] = set()
    only = dict.fromkeys(ours, clear)
    for found in differences(before, after, _as_clear, classify=False, only=only):
        number = found.numbers[0]
        if number not in told:
            told.add(number)
            policy = before.policies_of(number)[0]
            yield Uncovered(policy, packet_of(family, found.point))


def _as_clear(was: Fate, is_now: Fate) -> bool:
    return was.kind in _IN_CLEAR or is_now.kind not in _IN_CLEAR
