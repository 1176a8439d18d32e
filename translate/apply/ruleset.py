"""The policies and states of a translation as the kernel is to have them."""

from __future__ import annotations

from collections.abc import Iterator

from ..mapping.translation import Translation
from ..xfrm.model import Policy, PolicyKey, State, StateKey


def wanted_policies(translation: Translation) -> list[Policy]:
    """All policies of a translation; each key stands once."""
    return list(translation.policies())


def wanted_states(translation: Translation) -> list[State]:
    """All states of a translation: those whose keys are known."""
    return [carried.state for carried in translation.states if carried.state is not None]


class Origins:
    """Where each policy comes from: file and line of its eroute, or the option that made it.

    Most runs never ask, and for all policies of a large table the answers take much memory; so
    they are made when the first one is asked for.
    """

    def __init__(self, translation: Translation | None = None) -> None:
        self._translation = translation
        self._found: dict[PolicyKey, str] | None = None

    def of(self, key: PolicyKey) -> str:
        """The place of one; empty where it is not known."""
        if self._found is None:
            self._found = dict(self._all())
        return self._found.get(key, "")

    def _all(self) -> Iterator[tuple[PolicyKey, str]]:
        if self._translation is None:
            return
        for policy in self._translation.extra:
            yield policy.key, "an option"
        for outcome in (*self._translation.outcomes, *self._translation.exceptions):
            place = str(outcome.eroute.span)
            for policy in outcome.policies:
                yield policy.key, place


def state_origins(translation: Translation) -> dict[StateKey, str]:
    """Where each state comes from."""
    return {
        carried.state.key: str(carried.association.span)
        for carried in translation.states
        if carried.state is not None
    }
