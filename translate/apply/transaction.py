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
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from ..net import MASK_OF_LENGTH, Selector
from ..xfrm.errors import KernelError
from ..xfrm.model import Policy, State, StateKey
from ..xfrm.sieve import Sieve, with_user
from .journal import Journal, Phase, Record, Saved, clock
from .kernel import ApplyError, Kernel, Table
from .look import check, check_states, of_changes, still_true, what_to_take_back
from .order import GUARD_RENEWED, GUARD_SECONDS, GUARD_USER, Steps, in_order
from .plan import Plan, Verb
from .states import (
    StateChange,
    StatePlan,
    install_before,
    owned_states_after,
    remove_after,
    way_back,
)
from .stored import JournalError

NO_STATES: Final = StatePlan()


@dataclass(frozen=True, slots=True)
class Result:
    """A transaction carried out.

    ``deadline`` is when it is rolled back unless confirmed, by :func:`.journal.clock`; 0 is never.
    """

    identity: str
    changes: int
    deadline: float


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
    save: Saved | None = None,
    confirm_within: float = 0.0,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    started: Callable[[Record], None] = lambda _record: None,
    connect: Callable[[], Kernel] | None = None,
) -> Result:
    """Carry a plan out.  The lock must be held.

    ``save`` is what the next boot is to install, once this is final: all that is wanted, since what
    was in place already, and is not ours, goes with the boot as well.

    ``started`` is called before anything is written or the kernel is told; it starts the watchdog.
    ``connect`` opens a connection for the rollback when the one at hand is lost.  Raises
    :class:`ApplyError`, or what ``started`` and the journal raise while nothing has been changed.
    """
    steps = in_order(still_true(kernel, plan.changes))
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
        guards = _change(kernel, steps, plan.wanted, states.changes, progress)
        check_states(kernel, states)
        firewall.load(rules)
        _remove_guards(kernel, guards)
        if save is not None:
            journal.write_saved(save)
        deadline = _end(journal, record, confirm_within)
    except BaseException as error:  # noqa: BLE001 - signals too lead back
        if not confirm_within and journal.committed(record):
            # It came after the record was gone: too late to lead back, and nothing is amiss.
            with suppress(JournalError):
                journal.settle()
        else:
            _back(kernel, journal, record, firewall, error, connect)
    return Result(record.identity, len(steps.steps) + len(states.changes), deadline)


def _end(journal: Journal, record: Record, confirm_within: float) -> float:
    """Make it final, or wait for a confirmation; returns the deadline for that, 0 for none."""
    if not confirm_within:
        commit(journal, record)
        return 0.0
    deadline = clock() + confirm_within
    journal.write(replace(record, phase=Phase.UNCONFIRMED, deadline=deadline))
    return deadline


def commit(journal: Journal, record: Record) -> None:
    """Make a carried-out transaction final: what it put there is ours from now on."""
    states = owned_states_of(journal, record).values()
    journal.write_owned(owned_after(journal, record), states, record.firewall_after)
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
        changes, left = what_to_take_back(record, of_changes(kernel, record.changes))
        states, lost = way_back(kernel, record.states)
        left += lost
        steps = in_order(changes)
        try:
            guards = _change(kernel, steps, None, states, progress)
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


_RACES: Final = (errno.ENOENT, errno.ESRCH, errno.EEXIST, errno.ESTALE)
"""What the kernel says when a policy or state is gone, is there, or was changed since we looked."""


def _is_of_others(error: Exception) -> bool:
    """Whether somebody else's change made a step fail, so that a second look may help."""
    return isinstance(error, ApplyError) or (
        isinstance(error, KernelError) and error.errno in _RACES
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


class _Guard:
    """The guard of a transaction, which the kernel would take away while many changes are sent."""

    def __init__(self, kernel: Kernel, steps: Steps) -> None:
        self._kernel = kernel
        self._policies = steps.guard
        self._install()

    def _install(self) -> None:
        if self._policies:
            self._kernel.install(self._policies, seconds=GUARD_SECONDS)
        self._since = clock()

    def renew(self) -> None:
        """Give it its whole life again, when a good part of it is over."""
        if self._policies and clock() - self._since > GUARD_RENEWED:
            self._install()


def _change(
    kernel: Kernel,
    steps: Steps,
    wanted: Sieve | None,
    states: Sequence[StateChange],
    progress: Callable[[int, int], None],
) -> list[Policy]:
    """Change states and policies under a guard, and read back; what is left of guards."""
    guard = _Guard(kernel, steps)
    install_before(kernel, states)
    _carry_out(kernel, steps, guard, progress)
    remove_after(kernel, states)
    return check(kernel, steps.steps, wanted)


def _carry_out(
    kernel: Kernel, steps: Steps, guard: _Guard, progress: Callable[[int, int], None]
) -> None:
    """Send the changes in their order, in blocks.

    To replace a policy whose prefixes the kernel does not hash, it walks a tree of all of them
    (xfrm_policy.c:xfrm_policy_inexact_prune_bin), so that many take quadratic time.  To remove one
    by its index and add it anew does not.  Between the two no policy stands, but the guard does.
    """
    changes = steps.steps
    unhashed = sum(c.verb is Verb.REPLACE and not _is_hashed(c.key[1]) for c in changes)
    by_index = unhashed > MANY_REPLACED
    progress(0, len(changes))
    for start in range(0, len(changes), BLOCK):
        part = changes[start : start + BLOCK]
        kernel.exchange([(change.old, change.new) for change in part], by_index=by_index)
        progress(start + len(part), len(changes))
        guard.renew()


def _is_hashed(selector: Selector) -> bool:
    """Whether both prefixes are whole addresses, as the kernel's thresholds are by default."""
    source, destination = selector.source, selector.destination
    return source.mask == destination.mask == MASK_OF_LENGTH[source.family][-1]


def _remove_guards(kernel: Kernel, guards: Sequence[Policy]) -> None:
    """Take away every guard that stands, also one of a run that was killed."""
    for attempt in range(1, TRIES + 1):
        if not guards:
            return
        try:
            # By selector: the kernel may have taken one away, and its index is another's then.
            kernel.remove([guard._replace(index=0) for guard in guards])
        except KernelError as error:
            # The kernel itself may take one away at the same time.
            if attempt == TRIES or error.errno != errno.ENOENT:
                raise
        else:
            return
        guards = list(with_user(GUARD_USER, kernel.datagrams()))
