"""The policies and states of a translation as the kernel is to have them."""

from __future__ import annotations

from ..mapping.translation import Translation
from ..xfrm.model import Policy, PolicyKey, State, StateKey


def wanted_policies(translation: Translation) -> list[Policy]:
    """All policies of a translation; each key stands once."""
    return list(translation.policies())


def wanted_states(translation: Translation) -> list[State]:
    """All states of a translation: those whose keys are known."""
    return [carried.state for carried in translation.states if carried.state is not None]


def origins(translation: Translation) -> dict[PolicyKey, str]:
    """Where each policy comes from: file and line of its eroute, or the option that made it."""
    found: dict[PolicyKey, str] = {p.key: "an option or a route" for p in translation.extra}
    for outcome in (*translation.outcomes, *translation.exceptions):
        place = str(outcome.eroute.span)
        for policy in outcome.policies:
            found[policy.key] = place
    return found


def state_origins(translation: Translation) -> dict[StateKey, str]:
    """Where each state comes from."""
    return {
        carried.state.key: str(carried.association.span)
        for carried in translation.states
        if carried.state is not None
    }
