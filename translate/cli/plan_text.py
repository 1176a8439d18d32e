"""A plan for people and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..apply.firewall import NFT_IS_MISSING
from ..apply.order import passes
from ..apply.plan import Change, Plan, Verb
from ..apply.states import StateChange, StatePlan
from ..apply.surroundings import Surroundings, describe
from ..apply.uncovered import Uncovered
from ..json_forms import policy_json, state_json
from ..report import REPEATS
from ..xfrm.model import Policy, PolicyKey, StateKey
from ..xfrm.state_text import state_arguments
from ..xfrm.text import policy_arguments, templates_text
from .terminal import wants_colour

GLYPHS = {Verb.ADD: "+", Verb.REPLACE: "~", Verb.REMOVE: "-"}
COLOURS = {Verb.ADD: "\x1b[32m", Verb.REPLACE: "\x1b[33m", Verb.REMOVE: "\x1b[31m"}


@dataclass(frozen=True, slots=True)
class WholePlan:
    """Policies, states, the firewall table, and what else decides on the target.

    ``uncovered`` is what leaves in clear once it is carried out, ``lacks_nft`` that there is no
    nft(8) for the firewall table.

    ``places`` and ``state_places`` tell where each policy and state comes from.
    """

    policies: Plan
    states: StatePlan
    firewall_changes: bool
    around: Surroundings = field(default_factory=Surroundings)
    uncovered: tuple[Uncovered, ...] = ()
    lacks_nft: bool = False
    places: Mapping[PolicyKey, str] = field(default_factory=dict)
    state_places: Mapping[StateKey, str] = field(default_factory=dict)

    @property
    def conflicts(self) -> int:
        """How many places of ours are taken by others."""
        return len(self.policies.conflicts) + len(self.states.conflicts)

    @property
    def changes(self) -> int:
        """How many changes of policies and states there are."""
        return len(self.policies.changes) + len(self.states.changes)

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return not (self.changes or self.conflicts or self.firewall_changes)


def others_that_pass(plan: WholePlan) -> int:
    """How many policies of others let leave in clear what one of ours is asked for too."""
    return sum(
        found.wins and found.policy.direction == "out" and passes(found.policy)
        for found in plan.policies.foreign
    )


def print_plan(plan: WholePlan, *, machine: bool) -> None:
    """Print it to standard output; keys are never shown."""
    if machine:
        print(json.dumps(_plan_json(plan), indent=1, sort_keys=True))
        return
    for line in plan_lines(plan, colour=wants_colour(sys.stdout)):
        print(line)


def plan_lines(plan: WholePlan, *, colour: bool = False) -> Iterator[str]:
    """The text of a plan; the last line counts the changes."""
    for change in plan.states.changes:
        yield _state_line(change, plan.state_places, colour=colour)
    for change in plan.states.conflicts:
        if change.old is not None:
            of = "of somebody else, or changed by somebody else, with our SPI"
            if change.old.more:
                of += "; it could not be put back, and --replace-foreign leaves it"
            yield f"! state {state_arguments(change.old)}  ({of})"
    policies = plan.policies
    for step in policies.changes:
        yield policy_line(step, plan.places, colour=colour)
    for step in policies.conflicts:
        if step.old is not None:
            place = plan.places.get(step.key, "")
            of = f", which is {place}" if place else ""
            yield f"! {policy_arguments(step.old)}  (of somebody else, in the place of ours{of})"
    for policy in policies.drifted:
        yield f"? {policy_arguments(policy)}  (ours, but changed or removed by somebody else)"
    for foreign in policies.foreign:
        wins = "wins over" if foreign.wins else "loses to"
        place = plan.places.get(foreign.ours.key, "")
        ours = f"ours of {place}" if place else "ours"
        yield f"  {policy_arguments(foreign.policy)}  (of somebody else, {wins} {ours})"
    if plan.firewall_changes:
        yield "~ table inet eroute_translate of nftables, which answers for %reject"
    notes = (
        *describe(plan.around),
        *uncovered_lines(plan.uncovered),
        *_renumbered(plan),
        *_begun_anew(plan.states),
    )
    if plan.lacks_nft:
        notes = (*notes, NFT_IS_MISSING)
    for line in notes:
        yield f"* {line}"
    verbs = [c.verb for c in policies.changes] + [c.verb for c in plan.states.changes]
    yield (
        f"{verbs.count(Verb.ADD)} to add, {verbs.count(Verb.REPLACE)} to replace,"
        f" {verbs.count(Verb.REMOVE)} to remove, {policies.kept + plan.states.kept} in place"
        + (f", {plan.conflicts} in conflict" if plan.conflicts else "")
    )


def uncovered_lines(found: Sequence[Uncovered]) -> Iterator[str]:
    """What leaves in clear afterwards, a line for each removed policy."""
    for policy, packet in found[:REPEATS]:
        kept = "blocked" if policy.action == "block" else "protected"
        yield f"in clear afterwards: {policy.selector} is {kept} now, such as {packet}"
    if len(found) > REPEATS:
        yield f"in clear afterwards: what {len(found) - REPEATS} more policies keep now"


def _renumbered(plan: WholePlan) -> Iterator[str]:
    """Reqids follow the order of the table: one eroute more or less moves those behind it."""
    with_states = {change.new.reqid for change in plan.states.changes if change.new is not None}
    count = 0
    for change in plan.policies.changes:
        old, new = change.old, change.new
        if old is None or new is None or old.templates == new.templates:
            continue
        asked = {template.reqid for template in new.templates}
        alike = [t._replace(reqid=0) for t in old.templates] == [
            t._replace(reqid=0) for t in new.templates
        ]
        count += alike and not asked <= with_states
    if count:
        yield (
            f"{count} policies ask for another reqid, and nothing else: states of others that have"
            " the old one serve them no more, and their traffic is dropped until they are"
            " installed with the new one"
        )


def _begun_anew(states: StatePlan) -> Iterator[str]:
    """A replaced state is another one to its peer, though its keys may be the same."""
    count = sum(change.verb is Verb.REPLACE for change in states.changes)
    if count:
        yield (
            f"{count} states are made anew, and their sequence numbers begin again: a peer with a"
            " replay window drops what they protect until they have caught up"
        )


def policy_line(change: Change, places: Mapping[PolicyKey, str], *, colour: bool) -> str:
    """One change of a policy, as ``plan`` prints it."""
    policy = change.new or change.old
    if policy is None:
        raise ValueError("a change without a policy")
    before = "" if change.new is None or change.old is None else _was(change.old, change.new)
    text = f"{policy_arguments(policy)}{before}"
    return _coloured(change.verb, text, places.get(change.key, ""), colour=colour)


def _state_line(change: StateChange, places: Mapping[StateKey, str], *, colour: bool) -> str:
    state = change.new or change.old
    if state is None:
        raise ValueError("a change without a state")
    text = f"state {state_arguments(state)}"
    return _coloured(change.verb, text, places.get(change.key, ""), colour=colour)


def _coloured(verb: Verb, text: str, place: str, *, colour: bool) -> str:
    text = f"{GLYPHS[verb]} {text}"
    if place:
        text += f"  # {place}"
    return f"{COLOURS[verb]}{text}\x1b[0m" if colour else text


def _was(old: Policy, new: Policy) -> str:
    """What is replaced, as far as it is another: its states are found by its templates."""
    if (old.action, old.templates) == (new.action, new.templates):
        return f"  (was priority {old.priority})"
    if old.action == "block":
        verdict = "block"
    else:
        verdict = templates_text(old.templates).strip() or "in clear"
    return f"  (was {verdict}, priority {old.priority})"


def _plan_json(plan: WholePlan) -> dict[str, object]:
    def change_json(change: Change) -> dict[str, object]:
        return {
            "verb": change.verb.value,
            "old": None if change.old is None else policy_json(change.old),
            "new": None if change.new is None else policy_json(change.new),
            "origin": plan.places.get(change.key),
        }

    def state_change_json(change: StateChange) -> dict[str, object]:
        return {
            "verb": change.verb.value,
            "old": None if change.old is None else state_json(change.old),
            "new": None if change.new is None else state_json(change.new),
            "origin": plan.state_places.get(change.key),
        }

    policies, around = plan.policies, plan.around
    return {
        "format": "eroute-translate-plan",
        "version": 2,
        "changes": [change_json(change) for change in policies.changes],
        "conflicts": [change_json(change) for change in policies.conflicts],
        "states": [state_change_json(change) for change in plan.states.changes],
        "state_conflicts": [state_change_json(change) for change in plan.states.conflicts],
        "drifted": [policy_json(policy) for policy in policies.drifted],
        "foreign": [
            {"policy": policy_json(f.policy), "ours": policy_json(f.ours), "wins": f.wins}
            for f in policies.foreign
        ],
        "uncovered": [
            {"policy": policy_json(policy), "packet": str(packet)}
            for policy, packet in plan.uncovered
        ],
        "firewall_changes": plan.firewall_changes,
        "lacks_nft": plan.lacks_nft,
        "kept": policies.kept + plan.states.kept,
        "surroundings": {
            "defaults": dict(around.defaults),
            "disable_xfrm": list(around.unprotected),
            "disable_policy": list(around.unchecked),
            "socket_policies": around.socket_policies,
            "listeners": [
                {"process": process, "name": name, "way": way}
                for process, name, way in around.listeners
            ],
        },
    }
