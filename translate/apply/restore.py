"""What a reboot needs: the policies that were saved, installed before the network is up.

A gateway that starts without its policies sends in clear.  So when they cannot be installed as
they were, everything that they protected or blocked is blocked instead, and the failure is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..xfrm.errors import KernelError
from ..xfrm.model import Policy, PolicyKey
from .firewall import FirewallError
from .journal import Journal, Saved
from .kernel import ApplyError, Kernel, Table
from .order import passes
from .plan import make_plan
from .states import plan_states
from .stored import JournalError
from .transaction import Result, apply, roll_back


class Restored(NamedTuple):
    """``failure`` is empty when all is in place; else ``blocked`` policies stand in its stead."""

    result: Result | None
    failure: str = ""
    blocked: int = 0


def restore(
    kernel: Kernel,
    journal: Journal,
    saved: Saved,
    firewall: Table,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Restored:
    """Install what was saved.  The lock must be held.

    Raises :class:`KernelError` or :class:`JournalError` when not even blocking was possible.
    """
    try:
        record = journal.read()
        if record is not None:
            roll_back(kernel, journal, record, firewall)
        plan = make_plan(saved.policies, kernel.each(), journal.read_owned())
        live = kernel.dump_states() if saved.states else []
        states = plan_states(saved.states, live, journal.read_owned_states())
        taken = len(plan.conflicts) + len(states.conflicts)
        if taken:
            raise ApplyError(f"{taken} places are taken by others", rolled_back=True)
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
        return Restored(None, str(error), _block(kernel, journal, saved))
    return Restored(result)


def _block(kernel: Kernel, journal: Journal, saved: Saved) -> int:
    """Block what the saved policies protected or blocked, but for the places of others."""
    there = {policy.key for policy in kernel.each()}
    ours: dict[PolicyKey, Policy] = {
        policy.key: policy._replace(action="block", templates=())
        for policy in saved.policies
        if not passes(policy) and policy.key not in there
    }
    kernel.install(list(ours.values()))
    journal.write_owned(ours.values())
    journal.finish()
    return len(ours)
