"""What would change: the policies that are wanted against those that are there.

A plan is pure: it reads two sets of policies and what we own, and lists changes, conflicts and
what others have that meets ours.  Nothing that is not ours is ever changed, unless the user says
``--replace-foreign``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from ..xfrm.model import Policy, PolicyKey
from ..xfrm.sieve import Sieve

SOCKET_DIRECTIONS = ("socket in", "socket out")


class Verb(StrEnum):
    """What is done with a policy."""

    ADD = "add"
    REPLACE = "replace"
    REMOVE = "remove"


class Change(NamedTuple):
    """One change; ``old`` is what the kernel has, ``new`` what it will have."""

    verb: Verb
    key: PolicyKey
    old: Policy | None
    new: Policy | None


class Foreign(NamedTuple):
    """A policy of somebody else that meets one of ours in the same direction.

    ``wins`` tells that it is asked before ours, so that it decides for the packets of both.
    """

    policy: Policy
    ours: Policy
    wins: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes in no particular order; see :mod:`.order` for that.

    ``conflicts`` are changes that would touch a foreign policy: one in the place of a wanted one,
    or one that was ours until somebody else changed it.  ``drifted`` are policies of ours that
    somebody changed or removed since we installed them.  ``kept`` counts
    those that are in place already, ``adopted`` those of them that we did not install, ``sockets``
    the policies of single sockets, ``others`` those of the kernel that are not as we want them.
    ``wanted`` is all that is to be there, where the plan was made of a dump, and ``live`` what is
    there and not as it is wanted.
    """

    changes: tuple[Change, ...]
    conflicts: tuple[Change, ...]
    drifted: tuple[Policy, ...]
    foreign: tuple[Foreign, ...]
    kept: int
    adopted: int
    sockets: int = 0
    others: int = 0
    wanted: Sieve | None = field(default=None, compare=False, repr=False)
    live: Sequence[Policy] = field(default=(), compare=False, repr=False)

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return not self.changes and not self.conflicts


def same(one: Policy, other: Policy) -> bool:
    """Whether two policies of one key say the same: priority, action, templates, and the rest."""
    return (
        one[2] == other[2]
        and one[3] == other[3]
        and one[4] == other[4]
        and one.octets == other.octets
    )


def plan_of_dump(
    wanted: Sieve,
    live: Iterable[bytes],
    owned: Iterable[bytes],
    *,
    replace_foreign: bool = False,
) -> Plan:
    """Compare with the datagrams of a dump, and with what we installed last, in messages.

    What is in place already is known by its bytes and never decoded; :func:`make_plan` sees the
    rest.  Raises ``ValueError`` as that does.
    """
    present, others = wanted.sift(live)
    # What we installed and nobody changed since is decoded once.
    recorded, ours = wanted.sift(owned, Sieve(p for p in others if not p.octets))
    kept = sum(present)
    if kept < len(wanted):
        missing = [
            policy for policy, there in zip(wanted.policies, present, strict=True) if not there
        ]
        places = zip(wanted.policies, present, recorded, strict=True)
        ours += [policy for policy, there, known in places if known and not there]
    else:
        missing = []
    plan = make_plan(
        missing,
        others,
        {policy.key: policy for policy in ours},
        replace_foreign=replace_foreign,
        beside=wanted.policies if kept else (),
    )
    adopted = kept - sum(map(int.__and__, present, recorded))
    return replace(
        plan,
        kept=plan.kept + kept,
        adopted=plan.adopted + adopted,
        others=len(others) - plan.sockets,
        wanted=wanted,
        live=others,
    )


def make_plan(
    wanted: Iterable[Policy],
    live: Iterable[Policy],
    owned: Mapping[PolicyKey, Policy],
    *,
    replace_foreign: bool = False,
    beside: Sequence[Policy] = (),
) -> Plan:
    """Compare.  ``owned`` is what we installed last, as our record has it.

    ``beside`` are all wanted policies where ``wanted`` are only those that are not in place.

    Raises ``ValueError`` when two wanted policies have one key: the kernel has room for one.
    """
    wanted_by_key: dict[PolicyKey, Policy] = {}
    for policy in wanted:
        if wanted_by_key.setdefault(policy.key, policy) is not policy:
            before = wanted_by_key[policy.key]
            if not same(before, policy):
                raise ValueError(
                    f"two policies for {policy.selector} {policy.direction}, with priorities"
                    f" {before.priority} and {policy.priority}"
                )
    live_by_key: dict[PolicyKey, Policy] = {}
    sockets = 0
    for policy in live:
        if policy.direction in SOCKET_DIRECTIONS:
            sockets += 1
        else:
            live_by_key[policy.key] = policy
    changes: list[Change] = []
    conflicts: list[Change] = []
    kept = adopted = 0
    for key, new in wanted_by_key.items():
        old = live_by_key.get(key)
        if old is None:
            changes.append(Change(Verb.ADD, key, None, new))
        elif same(old, new):
            kept += 1
            adopted += key not in owned
        elif replace_foreign or (key in owned and same(old, owned[key])):
            changes.append(Change(Verb.REPLACE, key, old, new))
        else:
            conflicts.append(Change(Verb.REPLACE, key, old, new))
    drifted = []
    for key, recorded in owned.items():
        present = live_by_key.get(key)
        if present is None or not same(present, recorded):
            drifted.append(recorded)
        if present is not None and key not in wanted_by_key:
            ours = replace_foreign or same(present, recorded)
            (changes if ours else conflicts).append(Change(Verb.REMOVE, key, present, None))
    foreign = _foreign(
        beside or wanted_by_key.values(),
        [p for k, p in live_by_key.items() if k not in owned and k not in wanted_by_key],
    )
    return Plan(
        tuple(changes), tuple(conflicts), tuple(drifted), tuple(foreign), kept, adopted, sockets
    )


FOREIGN_LIMIT = 10_000
"""Foreign policies that are compared with ours one by one; a key daemon has a few for each peer."""


def _foreign(wanted: Iterable[Policy], others: Sequence[Policy]) -> Iterable[Foreign]:
    """For each foreign policy the first of ours that it meets."""
    if not others:
        return
    index = _Meeting(wanted)
    for policy in others[:FOREIGN_LIMIT]:
        ours = index.first(policy)
        if ours is not None:
            yield Foreign(policy, ours, policy.priority <= ours.priority)


class _Meeting:
    """Finds a policy of ours that overlaps a given one, by direction and mask shape."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self.shapes: dict[tuple[str, int, int, int], list[Policy]] = {}
        for policy in policies:
            source, destination = policy.selector.source, policy.selector.destination
            shape = (policy.direction, source.family, source.mask, destination.mask)
            self.shapes.setdefault(shape, []).append(policy)
        self._parts: dict[
            tuple[tuple[str, int, int, int], int, int], dict[tuple[int, int], list[Policy]]
        ] = {}

    def first(self, policy: Policy) -> Policy | None:
        """The strongest of ours that shares a packet with ``policy``."""
        best: Policy | None = None
        source, destination = policy.selector.source, policy.selector.destination
        for shape in self.shapes:
            direction, family, near, far = shape
            if direction != policy.direction or family != source.family:
                continue
            part = (near & source.mask, far & destination.mask)
            known = self._parts.get((shape, *part))
            if known is None:
                known = self._parts[shape, *part] = {}
                for ours in self.shapes[shape]:
                    place = (
                        ours.selector.source.address & part[0],
                        ours.selector.destination.address & part[1],
                    )
                    known.setdefault(place, []).append(ours)
            place = (source.address & part[0], destination.address & part[1])
            for ours in known.get(place, ()):
                better = best is None or ours.priority < best.priority
                if better and ours.selector.overlaps(policy.selector):
                    best = ours
        return best
