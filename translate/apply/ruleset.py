"""The policies and states of a translation as the kernel is to have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from ..mapping.translation import Translation
from ..xfrm.model import Policy, PolicyKey, State, StateKey


def wanted_policies(translation: Translation) -> list[Policy]:
    """All policies of a translation; each key stands once."""
    return list(translation.policies())


def wanted_states(translation: Translation) -> list[State]:
    """All states of a translation: those whose keys are known."""
    return [carried.state for carried in translation.states if carried.state is not None]


def origins(translation: Translation) -> Mapping[PolicyKey, str]:
    """Where each policy comes from: file and line of its eroute, or the option that made it."""
    return _Origins(translation)


class _Origins(Mapping[PolicyKey, str]):
    """Made when the first one is asked for: most runs never ask, and all take much memory."""

    def __init__(self, translation: Translation) -> None:
        self._translation = translation

    @cached_property
    def _found(self) -> dict[PolicyKey, str]:
        return dict(self._all())

    def _all(self) -> Iterator[tuple[PolicyKey, str]]:
        for policy in self._translation.extra:
            yield policy.key, "an option or a route"
        for outcome in (*self._translation.outcomes, *self._translation.exceptions):
            place = str(outcome.eroute.span)
            for policy in outcome.policies:
                yield policy.key, place

    def __getitem__(self, key: PolicyKey) -> str:
        return self._found[key]

    def __iter__(self) -> Iterator[PolicyKey]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def state_origins(translation: Translation) -> dict[StateKey, str]:
    """Where each state comes from."""
    return {
        carried.state.key: str(carried.association.span)
        for carried in translation.states
        if carried.state is not None
    }
