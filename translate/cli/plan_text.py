"""A plan for people and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..apply.plan import Change, Plan, Verb
from ..apply.states import StateChange, StatePlan
from ..apply.surroundings import Surroundings, describe
from ..json_forms import policy_json, state_json
from ..xfrm.model import Policy, PolicyKey, StateKey
from ..xfrm.state_text import state_arguments
from ..xfrm.text import policy_arguments
from .terminal import wants_colour

GLYPHS = {Verb.ADD: "+", Verb.REPLACE: "~", Verb.REMOVE: "-"}
COLOURS = {Verb.ADD: "\x1b[32m", Verb.REPLACE: "\x1b[33m", Verb.REMOVE: "\x1b[31m"}


@dataclass(frozen=True, slots=True)
class WholePlan:
    """Policies, states, the firewall table, and what else decides on the target.

    ``places`` and ``state_places`` tell where each policy and state comes from.
    """

    policies: Plan
    states: StatePlan
    firewall_changes: bool
    around: Surroundings = field(default_factory=Surroundings)
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
    for line in describe(plan.around):
        yield f"* {line}"
    verbs = [c.verb for c in policies.changes] + [c.verb for c in plan.states.changes]
    yield (
        f"{verbs.count(Verb.ADD)} to add, {verbs.count(Verb.REPLACE)} to replace,"
        f" {verbs.count(Verb.REMOVE)} to remove, {policies.kept + plan.states.kept} in place"
        + (f", {plan.conflicts} in conflict" if plan.conflicts else "")
    )


def policy_line(change: Change, places: Mapping[PolicyKey, str], *, colour: bool) -> str:
    """One change of a policy, as ``plan`` prints it."""
    policy = change.new or change.old
    if policy is None:
        raise ValueError("a change without a policy")
    before = "" if change.verb is not Verb.REPLACE or change.old is None else _was(change.old)
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


def _was(policy: Policy) -> str:
    return f"  (was {policy.action}, priority {policy.priority})"


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
        "firewall_changes": plan.firewall_changes,
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
