"""States in a transaction: which are added, replaced and removed, and in which order.

States go in before the policies that need them and out after the last policy that did: a packet
that finds its policy but no state is dropped, never sent in clear.  A state that is there as it
is wanted is never touched, for its sequence numbers and its window live in the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..xfrm.model import Algorithm, Replay, State, StateKey
from ..xfrm.state_wire import name_of
from .plan import Verb


class StateChange(NamedTuple):
    """One change; ``old`` is what the kernel has, ``new`` what it will have."""

    verb: Verb
    key: StateKey
    old: State | None
    new: State | None


@dataclass(frozen=True, slots=True)
class StatePlan:
    """``conflicts`` are wanted states whose SPI is taken by a state that is not ours.

    One that was ours until somebody changed it, or that took the SPI of one of ours, is not ours.
    """

    changes: tuple[StateChange, ...] = ()
    conflicts: tuple[StateChange, ...] = ()
    kept: int = 0


class Kernel(Protocol):
    """What is needed of the kernel."""

    def dump_states(self) -> list[State]:
        """All states."""

    def install_states(self, states: Sequence[State], /) -> None:
        """Create states; one that is there is an error."""

    def remove_states(self, states: Sequence[State], /) -> None:
        """Remove states; a missing one is an error."""


def same_state(one: State, other: State) -> bool:
    """Whether two states say the same, but for how far their sequence numbers came."""
    if _without_keys(one) != _without_keys(other):
        return False
    return _same_key(one.encryption, other.encryption) and _same_key(
        one.authentication, other.authentication
    )


def _without_keys(state: State) -> State:
    return state._replace(encryption=None, authentication=None, replay=Replay())


def _same_key(one: Algorithm | None, other: Algorithm | None) -> bool:
    if one is None or other is None:
        return one is other
    if (one.name, one.bits, one.key.bits) != (other.name, other.bits, other.key.bits):
        return False
    # A kernel in lockdown shows zeros for keys (xfrm_user.c:xfrm_redact).
    hidden = not any(one.key.reveal()) or not any(other.key.reveal())
    return hidden or one.key == other.key


def plan_states(
    wanted: Iterable[State],
    live: Iterable[State],
    owned: Mapping[StateKey, State],
    *,
    replace_foreign: bool = False,
) -> StatePlan:
    """Compare.  ``owned`` is what we installed last.

    A foreign state that could not be put back as it was stays a conflict whatever the user says.

    Raises ``ValueError`` when two wanted states have one SPI, protocol and destination.
    """
    wanted_by_key: dict[StateKey, State] = {}
    for state in wanted:
        if wanted_by_key.setdefault(state.key, state) is not state:
            raise ValueError(f"two of the {name_of(state)}")
    live_by_key = {state.key: state for state in live}
    changes: list[StateChange] = []
    conflicts: list[StateChange] = []
    kept = 0
    for key, new in wanted_by_key.items():
        old = live_by_key.get(key)
        if old is None:
            changes.append(StateChange(Verb.ADD, key, None, new))
        elif same_state(old, new):
            kept += 1
        elif (replace_foreign and not old.more) or (key in owned and same_state(old, owned[key])):
            changes.append(StateChange(Verb.REPLACE, key, old, new))
        else:
            conflicts.append(StateChange(Verb.REPLACE, key, old, new))
    for key, recorded in owned.items():
        present = live_by_key.get(key)
        if present is None or key in wanted_by_key:
            continue
        ours = (replace_foreign and not present.more) or same_state(present, recorded)
        (changes if ours else conflicts).append(StateChange(Verb.REMOVE, key, present, None))
    return StatePlan(tuple(changes), tuple(conflicts), kept)


def install_before(kernel: Kernel, changes: Sequence[StateChange]) -> None:
    """The part that goes before the policies: what is added, and what is replaced."""
    replaced = [change.old for change in changes if change.new and change.old]
    if replaced:
        kernel.remove_states(replaced)
    added = [change.new for change in changes if change.new]
    if added:
        kernel.install_states(added)


def remove_after(kernel: Kernel, changes: Sequence[StateChange]) -> None:
    """The part that goes after the policies: what is removed."""
    removed = [change.old for change in changes if change.old and not change.new]
    if removed:
        kernel.remove_states(removed)


def wrong_states(kernel: Kernel, changes: Sequence[StateChange]) -> list[str]:
    """Read back: the names of the states that are not as they were meant."""
    if not changes:
        return []
    live = {state.key: state for state in kernel.dump_states()}
    return [_name(c) for c in changes if not _is(live.get(c.key), c.new)]


def way_back(kernel: Kernel, changes: Sequence[StateChange]) -> tuple[list[StateChange], list[str]]:
    """The changes that take back what was done of ``changes``, and what somebody else changed."""
    if not changes:
        return [], []
    live = {state.key: state for state in kernel.dump_states()}
    back: list[StateChange] = []
    left: list[str] = []
    for change in changes:
        present = live.get(change.key)
        if _is(present, change.old):
            continue
        if present is not None and not _is(present, change.new):
            left.append(f"{_name(change)}: somebody else changed it meanwhile")
            continue
        verb = Verb.REMOVE if change.old is None else Verb.REPLACE if present else Verb.ADD
        back.append(StateChange(verb, change.key, present, change.old))
    return back, left


def _is(present: State | None, expected: State | None) -> bool:
    if present is None or expected is None:
        return present is expected
    return same_state(present, expected)


def _name(change: StateChange) -> str:
    state = change.new or change.old
    return "" if state is None else name_of(state)


def owned_states_after(
    before: Iterable[State], changes: Iterable[StateChange]
) -> dict[StateKey, State]:
    """What is ours once a transaction is final."""
    owned = {state.key: state for state in before}
    for change in changes:
        if change.new is None:
            owned.pop(change.key, None)
        else:
            owned[change.key] = change.new
    return owned
