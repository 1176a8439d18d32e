"""What a reboot needs: the policies that were saved, installed before the network is up.

A gateway that starts without its policies sends in clear.  So when they cannot be installed as
they were, everything that they protected or blocked is blocked instead, and the failure is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from ..xfrm.errors import KernelError
from ..xfrm.model import Policy, PolicyKey
from ..xfrm.outcome import BulkError
from .firewall import FirewallError
from .journal import Journal, Saved
from .kernel import ApplyError, Kernel, Table
from .order import passes
from .plan import Verb, make_plan
from .states import plan_states
from .stored import JournalError
from .transaction import Result, apply, roll_back


class Restored(NamedTuple):
    """``failure`` is empty when all is in place; else ``blocked`` policies stand in its stead.

    ``left`` tells what went wrong with these in turn.
    """

    result: Result | None
    failure: str = ""
    blocked: int = 0
    left: tuple[str, ...] = ()


def restore(
    kernel: Kernel,
    journal: Journal,
    saved: Saved,
    firewall: Table,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Restored:
    """Install what was saved.  The lock must be held.

    What is in place and ours is replaced by it, but no protection is taken away: nobody is asked
    here.  Raises :class:`KernelError` when not even blocking was possible.
    """
    try:
        record = journal.read()
        if record is not None:
            roll_back(kernel, journal, record, firewall)
        plan = make_plan(saved.policies, kernel.each(), journal.read_owned())
        lost = sum(c.verb is Verb.REMOVE and not passes(c.old) for c in plan.changes)
        if lost:  # not at a boot, when nothing is ours yet
            return Restored(
                None,
                f"{lost} policies of ours protect or block what no saved one does; nothing was"
                " done. `eroute-translate apply` changes what is in place, and asks",
            )
        live = kernel.dump_states() if saved.states else []
        states = plan_states(saved.states, live, journal.read_owned_states())
        taken = len(plan.conflicts) + len(states.conflicts)
        if taken:
            raise ApplyError(
                f"{taken} places are taken by others (`eroute-translate plan` shows them; `apply"
                " --replace-foreign` replaces them)",
                rolled_back=True,
            )
        result = apply(
            kernel,
            journal,
            plan,
            firewall=firewall,
            rules=saved.firewall,
            states=states,
            progress=progress,
        )
    except (ApplyError, KernelError, JournalError, FirewallError, ValueError, OSError) as error:
        return _block(kernel, journal, saved, str(error))
    return Restored(result)


def restore_damaged(kernel: Kernel, journal: Journal, failure: str) -> Restored:
    """Block what was ours on the last boot, since what was saved cannot be read (``failure``).

    It is not all where a script had installed some of it; but a gateway that knows nothing else of
    its policies must not send in clear what it does know.  The lock must be held.  Raises
    :class:`KernelError` when not even blocking was possible.
    """
    with suppress(JournalError):
        record = journal.read()
        if record is not None and record.boot != journal.boot:
            journal.forget()  # its policies are gone, and it must not end what is ours from now on
    return _block(kernel, journal, Saved(journal.owned_before(), (), ""), failure)


def _block(kernel: Kernel, journal: Journal, saved: Saved, failure: str) -> Restored:
    """Block what the saved policies protected or blocked, but for the places of others."""
    there = {policy.key for policy in kernel.each()}
    ours: dict[PolicyKey, Policy] = {
        policy.key: policy._replace(action="block", templates=())
        for policy in saved.policies
        if not passes(policy) and policy.key not in there
    }
    left = []
    refused = _refused(kernel, list(ours.values()))
    if refused:
        first = f"{refused[0].selector} {refused[0].direction}"
        left.append(f"{len(refused)} policies that the kernel refused, the first of them {first}")
    try:
        # What was ours before stays ours, where this is not the first try of a boot.
        owned = journal.read_owned() | ours
        states, rules = journal.read_owned_states(), journal.read_owned_rules()
        journal.write_owned(owned.values(), states.values(), rules)
        journal.settle()
    except JournalError as error:
        left.append(f"the record of what is ours: {error}")
    return Restored(None, failure, len(ours) - len(refused), tuple(left))


def _refused(kernel: Kernel, policies: Sequence[Policy]) -> Sequence[Policy]:
    """Install all that the kernel takes; return the rest.  Raises :class:`KernelError`.

    One that it has no family for, say, must not leave those behind it in clear.
    """
    try:
        kernel.install(policies)
    except BulkError as error:
        if not error.report.failures:
            raise  # the connection broke
        if len(policies) == 1:
            return policies
        half = len(policies) // 2
        return [*_refused(kernel, policies[:half]), *_refused(kernel, policies[half:])]
    return ()
