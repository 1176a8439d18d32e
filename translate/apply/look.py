"""What the kernel has in the places of changes: before, afterwards, and on the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from operator import not_
from typing import Final, NoReturn

from ..xfrm.model import Policy, PolicyKey
from ..xfrm.sieve import Sieve, with_selector_of, with_user
from .journal import Record
from .kernel import ApplyError, Kernel
from .order import GUARD_USER, reversed_changes
from .plan import SOCKET_DIRECTIONS, Change, Verb, same
from .states import StatePlan, wrong_states

FEW: Final = 4096
"""Up to so many changes are looked for by their selectors; for more, all is decoded."""


def still_true(kernel: Kernel, changes: Sequence[Change]) -> list[Change]:
    """The changes, if the kernel is as it was when they were planned; the question took time.

    The indices are those of now: a policy that was removed and came back is the same with another.
    """
    waiting = {change.key: place for place, change in enumerate(changes)}
    found = list(changes)
    try:
        for present in of_changes(kernel, changes):
            place = waiting.pop(present.key, None) if counts(present) else None
            if place is None:
                continue
            change = found[place]
            if not _is(present, change.old):
                _not_true(change)
            if change.old is not None and present.index != change.old.index:
                found[place] = change._replace(old=present)
    except ApplyError:
        raise
    except Exception as error:
        raise ApplyError(
            f"{str(error) or repr(error)}; nothing was done", rolled_back=True
        ) from error
    for place in waiting.values():
        if changes[place].old is not None:
            _not_true(changes[place])
    return found


def of_changes(kernel: Kernel, changes: Sequence[Change]) -> Iterator[Policy]:
    """What the kernel has in the places of changes, and maybe more."""
    if len(changes) > FEW:
        return kernel.each()
    policies = [policy for c in changes if (policy := c.new or c.old) is not None]
    return with_selector_of(policies, kernel.datagrams())


def _not_true(change: Change) -> NoReturn:
    raise ApplyError(
        f"{_name(change)}: somebody else changed it since the plan was made; nothing was done",
        rolled_back=True,
    )


def what_to_take_back(
    record: Record, present_policies: Iterable[Policy]
) -> tuple[list[Change], list[str]]:
    """The changes that lead back from what is there, and in words what others changed."""
    there = _present(present_policies, record.changes, lambda change: change.old)
    changes: list[Change] = []
    left: list[str] = []
    for change in reversed_changes(record.changes):
        if change.key not in there:
            continue  # never done, or taken back already
        present = there[change.key]
        if not _is(present, change.old):
            left.append(f"{_name(change)}: somebody else changed it meanwhile")
            continue
        verb = Verb.REMOVE if change.new is None else Verb.ADD if present is None else Verb.REPLACE
        changes.append(Change(verb, change.key, present, change.new))
    return changes, left


def check(kernel: Kernel, steps: Sequence[Change], wanted: Sieve | None = None) -> list[Policy]:
    """Read back: what was installed must be there as it was meant, what was removed must not.

    ``wanted`` is all that is to be there.  Returns the guards that stand.
    """
    if wanted is None:
        wrong = _present(of_changes(kernel, steps), steps, lambda change: change.new)
        guards = list(with_user(GUARD_USER, kernel.datagrams()))
    else:
        marks, others = wanted.sift(kernel.datagrams())
        lacking = {policy.key for policy in compress(wanted.policies, map(not_, marks))}
        guards = [policy for policy in others if policy.user == GUARD_USER]
        unlike = [c for c in steps if c.new is None or c.key in lacking]
        wrong = _present(others, unlike, lambda change: change.new)
    if wrong:
        raise ApplyError(
            f"{len(wrong)} policies are not what was installed, the first of them"
            f" {_name_of_key(next(iter(wrong)))}: somebody else changes policies at the same time",
            rolled_back=False,
        )
    return guards


def check_states(kernel: Kernel, states: StatePlan) -> None:
    """Read back: states must be as they were meant."""
    wrong = wrong_states(kernel, states.changes)
    if wrong:
        raise ApplyError(
            f"{len(wrong)} states are not what was installed, the first of them {wrong[0]}:"
            " somebody else changes states at the same time",
            rolled_back=False,
        )


def _present(
    policies: Iterable[Policy],
    changes: Iterable[Change],
    expected: Callable[[Change], Policy | None],
) -> dict[PolicyKey, Policy | None]:
    """What stands in the places of changes, where it is not as expected; ``None`` for nothing.

    Policies are looked at one by one: all of a kernel's at once would fill the memory.
    """
    awaited = {change.key: expected(change) for change in changes}
    found: dict[PolicyKey, Policy | None] = {}
    for policy in policies:
        if not counts(policy):
            continue
        key = policy.key
        if key in awaited and not _is(policy, awaited.pop(key)):
            found[key] = policy
    found.update((key, None) for key, policy in awaited.items() if policy is not None)
    return found


def counts(policy: Policy) -> bool:
    """Whether a policy is one of those that can be ours: no socket's, and no guard."""
    return policy.direction not in SOCKET_DIRECTIONS and policy.user != GUARD_USER


def _is(present: Policy | None, expected: Policy | None) -> bool:
    if present is None or expected is None:
        return present is expected
    return same(present, expected)


def _name(change: Change) -> str:
    return _name_of_key(change.key)


def _name_of_key(key: PolicyKey) -> str:
    direction, selector, *_ = key
    return f"{selector} {direction}"
