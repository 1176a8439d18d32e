"""A plan carried out as one: all of it, or nothing.

The kernel has no transaction for policies, so this module makes one: the record of everything as
it was is on disk before the first message; changes go in an order, and under a guard, with which
nothing leaks (:mod:`.order`); the result is read back and compared; anything that goes wrong,
signals included, leads back to what was there.  A process of its own watches over it
(:mod:`.watchdog`), for the case that this one is killed.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import compress
from operator import not_
from typing import Final, NoReturn, Protocol

from ..net import MASK_OF_LENGTH, Selector
from ..xfrm.errors import KernelError
from ..xfrm.model import Policy, PolicyKey, State, StateKey
from ..xfrm.sieve import Sieve, with_selector_of, with_user
from .journal import Journal, Phase, Record, clock
from .order import GUARD_SECONDS, GUARD_USER, in_order, reversed_changes
from .plan import SOCKET_DIRECTIONS, Change, Plan, Verb, same
from .states import (
    StatePlan,
    install_before,
    owned_states_after,
    remove_after,
    way_back,
    wrong_states,
)
from .stored import JournalError

NO_STATES: Final = StatePlan()


class Kernel(Protocol):
    """What a transaction needs of the kernel; the real one is :class:`..xfrm.bulk.Channel`."""

    def each(self) -> Iterator[Policy]:
        """All policies, one by one, with the index of each."""

    def datagrams(self) -> Iterator[bytes]:
        """The same in the kernel's own messages, for :mod:`..xfrm.sieve`."""

    def exchange(
        self, changes: Sequence[tuple[Policy | None, Policy | None]], *, by_index: bool = False
    ) -> None:
        """Add, replace or remove, old and new of each; never what is not as ``old`` says.

        With ``by_index`` a replaced policy is removed by its index and added anew, in one send.
        """

    def install(self, policies: Sequence[Policy], *, seconds: int = 0) -> None:
        """Create or replace policies; with ``seconds`` the kernel removes them after that time."""

    def remove(self, policies: Sequence[Policy]) -> None:
        """Remove policies, by index where they have one; a missing one is an error."""

    def dump_states(self) -> list[State]:
        """All states; asked only where a plan has some."""

    def install_states(self, states: Sequence[State], /) -> None:
        """Create states; one that is there is an error."""

    def remove_states(self, states: Sequence[State], /) -> None:
        """Remove states; a missing one is an error."""


class Table(Protocol):
    """The firewall rules beside the policies; the real one is :class:`.firewall.Firewall`."""

    def read(self) -> str:
        """The rules as they are, empty for none."""

    def load(self, text: str) -> None:
        """Put rules in their place."""


class ApplyError(Exception):
    """A transaction failed.

    ``rolled_back`` tells that everything is as it was; otherwise ``left`` names what is not.
    """

    def __init__(self, message: str, *, rolled_back: bool, left: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.rolled_back = rolled_back
        self.left = tuple(left)


@dataclass(frozen=True, slots=True)
class Result:
    """A transaction carried out.

    ``deadline`` is when it is rolled back unless confirmed, by :func:`.journal.clock`; 0 is never.
    """

    identity: str
    changes: int
    deadline: float


FEW: Final = 4096
"""Up to so many changes are looked for by their selectors; for more, all is decoded."""

MANY_REPLACED: Final = 256
"""For up to so many replaced policies the kernel may search its trees; each keeps its place."""

TRIES: Final = 5
"""How often a rollback looks again when somebody else changes policies under its hands."""

BLOCK: Final = 8192
"""Changes handed to the connection at once; progress is told after each."""


def apply(
    kernel: Kernel,
    journal: Journal,
    plan: Plan,
    *,
    firewall: Table,
    rules: str = "",
    states: StatePlan = NO_STATES,
    persist: bool = False,
    confirm_within: float = 0.0,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    started: Callable[[Record], None] = lambda _record: None,
    connect: Callable[[], Kernel] | None = None,
) -> Result:
    """Carry a plan out.  The lock must be held.

    With ``persist`` the result is also saved for the next boot, once it is final.

    ``started`` is called before anything is written or the kernel is told; it starts the watchdog.
    ``connect`` opens a connection for the rollback when the one at hand is lost.  Raises
    :class:`ApplyError`, or what ``started`` and the journal raise while nothing has been changed.
    """
    steps = in_order(_still_true(kernel, plan.changes))
    deadline = clock() + confirm_within if confirm_within else 0.0
    record = Record(
        f"{os.getpid()}-{time.time_ns()}",
        Phase.APPLYING,
        steps.steps,
        steps.guard,
        journal.boot,
        deadline,
        firewall.read(),
        rules,
        states.changes,
        persist,
    )
    # The watchdog is there before the record: one that finds no record has nothing to do.
    started(record)
    try:
        journal.write(record)
    except JournalError:
        journal.forget()  # it may be there, if only the folder could not be synced
        raise
    except BaseException as error:  # noqa: BLE001 - a signal
        _back(kernel, journal, record, firewall, error, connect)
    try:
        if steps.guard:
            kernel.install(steps.guard, seconds=GUARD_SECONDS)
        install_before(kernel, states.changes)
        _carry_out(kernel, steps.steps, progress)
        remove_after(kernel, states.changes)
        guards = _check(kernel, steps.steps, plan.wanted)
        _check_states(kernel, states)
        firewall.load(rules)
        _remove_guards(kernel, guards)
        if confirm_within:
            deadline = clock() + confirm_within
            journal.write(replace(record, phase=Phase.UNCONFIRMED, deadline=deadline))
        else:
            commit(journal, record)
    except BaseException as error:  # noqa: BLE001 - signals too lead back
        if not confirm_within and journal.committed(record):
            # It came after the record was gone: too late to lead back, and nothing is amiss.
            with suppress(JournalError):
                journal.settle()
        else:
            _back(kernel, journal, record, firewall, error, connect)
    return Result(record.identity, len(steps.steps) + len(states.changes), deadline)


def commit(journal: Journal, record: Record) -> None:
    """Make a carried-out transaction final: what it put there is ours from now on."""
    states = owned_states_of(journal, record).values()
    journal.write_owned(owned_after(journal, record), states, record.firewall_after)
    if record.persist:
        journal.write_saved(owned_after(journal, record), states, record.firewall_after)
    journal.finish(record.identity)


def owned_after(journal: Journal, record: Record) -> Iterator[Policy]:
    """The policies that are ours once a transaction is final."""
    changed = {change.key for change in record.changes}
    for policy in journal.owned_policies():
        if policy.key not in changed:
            yield policy
    for change in record.changes:
        if change.new is not None:
            yield change.new


def owned_states_of(journal: Journal, record: Record) -> dict[StateKey, State]:
    """The states that are ours once a transaction is final."""
    return owned_states_after(journal.read_owned_states().values(), record.states)


def roll_back(
    kernel: Kernel,
    journal: Journal,
    record: Record,
    firewall: Table,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> int:
    """Take a transaction back, however far it came; return the number of changes.

    The lock must be held.  Policies that somebody else changed meanwhile are left alone and named
    in :class:`ApplyError`, and the transaction is over all the same.  After a reboot there is
    nothing to take back.  Any other error leaves the record, for another try.
    """
    if record.boot != journal.boot:
        journal.forget()
        return 0
    # The record as it is serves as well, where the disk is full.
    with suppress(JournalError):
        journal.write(replace(record, phase=Phase.ROLLING_BACK))
    count = 0
    guards: list[Policy] = []
    for attempt in range(1, TRIES + 1):
        changes, left = _what_to_take_back(record, _of_changes(kernel, record.changes))
        states, lost = way_back(kernel, record.states)
        left += lost
        steps = in_order(changes)
        try:
            if steps.guard:
                kernel.install(steps.guard, seconds=GUARD_SECONDS)
            install_before(kernel, states)
            _carry_out(kernel, steps.steps, progress)
            remove_after(kernel, states)
            guards = _check(kernel, steps.steps)
        except (ApplyError, KernelError) as error:
            if attempt == TRIES or not _is_of_others(error):
                raise
            continue
        count = len(changes) + len(states)
        break
    firewall.load(record.firewall_before)
    _remove_guards(kernel, guards)
    journal.forget()
    if left:
        raise ApplyError("the rollback is over, but", rolled_back=False, left=left)
    return count


def _what_to_take_back(
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


_RACES: Final = (errno.ENOENT, errno.ESRCH, errno.EEXIST, errno.ESTALE)
"""What the kernel says when a policy or state is gone, is there, or was changed since we looked."""


def _is_of_others(error: Exception) -> bool:
    """Whether somebody else's change made a step fail, so that a second look may help."""
    return isinstance(error, ApplyError) or (
        isinstance(error, KernelError) and error.errno in _RACES
    )


def _still_true(kernel: Kernel, changes: Sequence[Change]) -> list[Change]:
    """The changes, if the kernel is as it was when they were planned; the question took time.

    The indices are those of now: a policy that was removed and came back is the same with another.
    """
    waiting = {change.key: place for place, change in enumerate(changes)}
    found = list(changes)
    try:
        for present in _of_changes(kernel, changes):
            place = waiting.pop(present.key, None) if _counts(present) else None
            if place is None:
                continue
            change = found[place]
            if not _is(present, change.old):
                _not_true(change)
            found[place] = change._replace(old=present)
    except ApplyError:
        raise
    except Exception as error:
        raise ApplyError(f"{_reason(error)}; nothing was done", rolled_back=True) from error
    for place in waiting.values():
        if changes[place].old is not None:
            _not_true(changes[place])
    return found


def _of_changes(kernel: Kernel, changes: Sequence[Change]) -> Iterator[Policy]:
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


def _back(
    kernel: Kernel,
    journal: Journal,
    record: Record,
    firewall: Table,
    cause: BaseException,
    connect: Callable[[], Kernel] | None,
) -> None:
    """Roll back after a failure, and raise what is to be told."""
    try:
        if connect is not None and isinstance(cause, KernelError):
            # It may be the connection: one that stalls would stall again.
            kernel = connect()
        roll_back(kernel, journal, record, firewall)
    except BaseException as error:  # noqa: BLE001 - whatever it was must be told
        left = error.left if isinstance(error, ApplyError) else (str(error) or repr(error),)
        raise ApplyError(
            f"{_reason(cause)}; and the rollback could not finish", rolled_back=False, left=left
        ) from cause
    raise ApplyError(_reason(cause), rolled_back=True) from cause


def _reason(cause: BaseException) -> str:
    if isinstance(cause, KeyboardInterrupt):
        return "interrupted"
    return str(cause) or repr(cause)


def _carry_out(
    kernel: Kernel, steps: Sequence[Change], progress: Callable[[int, int], None]
) -> None:
    """Send the changes in their order, in blocks.

    To replace a policy whose prefixes the kernel does not hash, it walks a tree of all of them
    (xfrm_policy.c:xfrm_policy_inexact_prune_bin), so that many take quadratic time.  To remove one
    by its index and add it anew does not.  Between the two no policy stands, but the guard does.
    """
    unhashed = sum(c.verb is Verb.REPLACE and not _is_hashed(c.key[1]) for c in steps)
    by_index = unhashed > MANY_REPLACED
    progress(0, len(steps))
    for start in range(0, len(steps), BLOCK):
        part = steps[start : start + BLOCK]
        kernel.exchange([(change.old, change.new) for change in part], by_index=by_index)
        progress(start + len(part), len(steps))


def _is_hashed(selector: Selector) -> bool:
    """Whether both prefixes are whole addresses, as the kernel's thresholds are by default."""
    source, destination = selector.source, selector.destination
    return source.mask == destination.mask == MASK_OF_LENGTH[source.family][-1]


def _check(kernel: Kernel, steps: Sequence[Change], wanted: Sieve | None = None) -> list[Policy]:
    """Read back: what was installed must be there as it was meant, what was removed must not.

    ``wanted`` is all that is to be there.  Returns the guards that stand.
    """
    if wanted is None:
        wrong = _present(_of_changes(kernel, steps), steps, lambda change: change.new)
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


def _check_states(kernel: Kernel, states: StatePlan) -> None:
    wrong = wrong_states(kernel, states.changes)
    if wrong:
        raise ApplyError(
            f"{len(wrong)} states are not what was installed, the first of them {wrong[0]}:"
            " somebody else changes states at the same time",
            rolled_back=False,
        )


def _remove_guards(kernel: Kernel, guards: Sequence[Policy]) -> None:
    """Take away every guard that stands, also one of a run that was killed."""
    for attempt in range(1, TRIES + 1):
        if not guards:
            return
        try:
            kernel.remove(guards)
        except KernelError as error:
            # The kernel itself may take one away at the same time.
            if attempt == TRIES or error.errno != errno.ENOENT:
                raise
        else:
            return
        guards = list(with_user(GUARD_USER, kernel.datagrams()))


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
        if not _counts(policy):
            continue
        key = policy.key
        if key in awaited and not _is(policy, awaited.pop(key)):
            found[key] = policy
    found.update((key, None) for key, policy in awaited.items() if policy is not None)
    return found


def _counts(policy: Policy) -> bool:
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
