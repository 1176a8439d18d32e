"""The verbs that look at or change a running kernel; here confirm, rollback and status."""

from __future__ import annotations

import argparse
import sys

from ..apply.firewall import TABLE, Firewall
from ..apply.journal import Journal, Phase, Record
from ..apply.kernel import ApplyError
from ..apply.plan import plan_of_dump
from ..apply.states import same_state
from ..apply.surroundings import describe, look_around
from ..apply.transaction import commit, owned_after, owned_states_of, roll_back
from ..xfrm.bulk import Channel
from ..xfrm.sieve import Sieve
from ..xfrm.state_wire import name_of
from ..xfrm.text import policy_arguments
from . import EXIT_DONE, EXIT_LEFT, EXIT_NOTHING, EXIT_STALE, EXIT_USAGE
from .applying import apply_verb, plan_verb
from .persist import restore_verb, unit_of
from .progress import Progress
from .target import (
    FAILURES,
    asked,
    changes_of,
    counted,
    failed,
    journal_of,
    kernel_of,
    of_earlier_boot,
    pending_of,
    pending_text,
    same_target,
)


def live(arguments: argparse.Namespace) -> int:
    """Run one of the verbs; failures of kernel and journal become exit codes."""
    verbs = {
        "plan": plan_verb,
        "apply": apply_verb,
        "confirm": _confirm,
        "rollback": _rollback,
        "status": _status,
        "restore": restore_verb,
    }
    try:
        return verbs[arguments.verb](arguments)
    except FAILURES as error:
        return failed(arguments, error)


def _confirm(arguments: argparse.Namespace) -> int:
    journal = journal_of(arguments)
    with journal.locked(wait=True):
        record = pending_of(journal)
        if record is None:
            print(
                "nothing waits for a confirmation: what was not confirmed in time was taken back;"
                f" `eroute-translate status{same_target(arguments)}` tells what is in place"
            )
            return EXIT_NOTHING
        if record.phase is not Phase.UNCONFIRMED:
            print(pending_text(record, arguments), file=sys.stderr)
            return EXIT_STALE
        commit(journal, record)
    print(f"{counted(changes_of(record))} are kept")
    return EXIT_DONE


def _rollback(arguments: argparse.Namespace) -> int:
    journal = journal_of(arguments)
    with journal.locked(wait=True):
        record = pending_of(journal)
        if record is None:
            print("nothing to take back")
            return EXIT_NOTHING
        question = f"take back {counted(changes_of(record))}?"
        if not arguments.yes and not asked("rollback", question):
            return EXIT_USAGE
        try:
            firewall = Firewall(arguments.netns)
            with Progress("taking back") as progress:
                count = roll_back(kernel_of(arguments), journal, record, firewall, progress)
        except ApplyError as error:
            print(f"eroute-translate rollback: {error}", file=sys.stderr)
            for text in error.left:
                print(f"  left: {text}", file=sys.stderr)
            return EXIT_LEFT
    told = f"{count} changes" if changes_of(record) else counted(0)
    print(f"{told} were taken back")
    return EXIT_DONE


def _status(arguments: argparse.Namespace) -> int:
    journal = journal_of(arguments)
    kernel = kernel_of(arguments)
    record = journal.read()
    if record is not None and of_earlier_boot(record, journal):
        record = None
    if record is not None:
        print(pending_text(record, arguments))
    amiss = _tell_what_is_ours(arguments, journal, kernel, record)
    if record is None:  # when that is done: each takes much for a large table
        _tell_next_boot(arguments, journal, kernel)
    return EXIT_STALE if amiss or record is not None else EXIT_DONE


def _tell_what_is_ours(
    arguments: argparse.Namespace, journal: Journal, kernel: Channel, record: Record | None
) -> bool:
    """What is in place and ours, and what is around it; whether something of it is amiss."""
    owned, owned_states = journal.owned_policies(), journal.read_owned_states()
    rules = journal.read_owned_rules()
    if record is not None and record.phase is Phase.UNCONFIRMED:
        owned, owned_states = owned_after(journal, record), owned_states_of(journal, record)
        rules = record.firewall_after
    ours = list(owned)
    plan = plan_of_dump(Sieve(ours), kernel.datagrams(), journal.owned_messages())
    live_states = {state.key: state for state in kernel.dump_states()} if owned_states else {}
    lost = [
        state
        for key, state in owned_states.items()
        if key not in live_states or not same_state(live_states[key], state)
    ]
    print(f"{len(ours)} policies are ours, {plan.others} of others or changed")
    if owned_states:
        print(f"{len(owned_states)} states are ours")
    lost_policies = [c.new for c in (*plan.changes, *plan.conflicts) if c.new is not None]
    for policy in lost_policies:
        print(f"? {policy_arguments(policy)}  (ours, but changed or removed by somebody else)")
    for state in lost:
        print(f"? {name_of(state)}  (ours, but changed or removed, or its life is over)")
    firewall = Firewall(arguments.netns)
    table_lost = bool(rules) and firewall.available and not firewall.read()
    if table_lost:
        print(f"? table {TABLE} of nftables  (ours, but removed by somebody else)")
    for line in describe(look_around(arguments.netns, plan.sockets)):
        print(f"* {line}")
    return bool(lost_policies or lost or table_lost)


def _tell_next_boot(arguments: argparse.Namespace, journal: Journal, kernel: Channel) -> None:
    """What the next boot installs, and whether there is a unit to do it."""
    saved = journal.read_saved()
    unit = unit_of(arguments)
    if unit is None:
        return
    if saved is not None:
        then = plan_of_dump(Sieve(saved.policies), kernel.datagrams(), journal.owned_messages())
        print(
            f"the next boot installs {len(saved.policies)} policies"
            + ("" if then.empty else ", which are not those that are in place now")
        )
        if not unit.exists():
            print(f"but there is no unit to do it: {unit} (--unit-folder names another folder)")
    elif unit.exists():
        print(
            f"the next boot installs nothing, though there is a unit to do it ({unit}): `apply"
            " --persist` saves what it is to install, `eroute-translate restore --remove"
            f"{same_target(arguments)}` takes it away"
        )
