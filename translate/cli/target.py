"""What the verbs for a running kernel begin with: a journal, a connection, a question."""

from __future__ import annotations

import argparse
import errno
import shlex
import sys
from pathlib import Path
from typing import Final

from ..apply.firewall import FirewallError
from ..apply.journal import Journal, Phase, Record, clock
from ..apply.stored import JournalError
from ..apply.target import STATE_FOLDER, life_of, name_of_here, target_folder
from ..apply.unit import UnitError
from ..xfrm.bulk import Channel
from ..xfrm.errors import KernelError
from . import EXIT_FAILED

OVERDUE: Final = 2.0
"""Seconds that a rollback may come too late before it is missed."""

FAILURES: Final = (KernelError, JournalError, FirewallError, UnitError, ValueError)
"""What goes wrong with a kernel, a journal, the firewall table or the unit."""


def failed(arguments: argparse.Namespace, error: Exception) -> int:
    """Tell of one of :data:`FAILURES`; return the exit code."""
    print(f"eroute-translate {arguments.verb}: {error}", file=sys.stderr)
    if isinstance(error, KernelError) and error.hint:
        print(f"  {error.hint}", file=sys.stderr)
    return EXIT_FAILED


def journal_of(arguments: argparse.Namespace) -> Journal:
    """The journal of the target; ``ValueError`` and :class:`JournalError` when there is none.

    Within a named namespace that is the target, by its name from now on.
    """
    arguments.netns = arguments.netns or name_of_here()
    # The watchdog leaves the working directory, so the path must not depend on it.
    folder = target_folder(Path(arguments.state_folder).absolute(), arguments.netns)
    return Journal(folder, life_of(arguments.netns))


def kernel_of(arguments: argparse.Namespace) -> Channel:
    """A connection to the target; raises :class:`KernelError`."""
    return Channel.open(arguments.netns or "")


def same_target(arguments: argparse.Namespace) -> str:
    """The options with which another verb means the same target and the same journal."""
    words = ["--netns", arguments.netns] if arguments.netns else []
    if Path(arguments.state_folder) != STATE_FOLDER:
        words += ["--state-folder", str(Path(arguments.state_folder).absolute())]
    return f" {shlex.join(words)}" if words else ""


def kernel_again(arguments: argparse.Namespace, journal: Journal) -> Channel:
    """One more connection to the target of a journal, never to a namespace that got its name since.

    Raises :class:`KernelError` and :class:`JournalError`.
    """
    if life_of(arguments.netns) != journal.boot:
        asked = f"enter the network namespace {arguments.netns} again"
        raise KernelError(errno.ESTALE, asked, "another one has its name by now")
    return kernel_of(arguments)


def counted(changes: int) -> str:
    """How many policies and states change, in words; without any it is the firewall table alone."""
    return f"{changes} changes" if changes else "changes of the nftables table"


def changes_of(record: Record) -> int:
    """How many policies and states a transaction changes."""
    return len(record.changes) + len(record.states)


def pending_text(record: Record, arguments: argparse.Namespace) -> str:
    """What to say of a transaction that is not over."""
    where = same_target(arguments)
    what = {
        Phase.APPLYING: "an apply that did not end",
        Phase.UNCONFIRMED: "an apply that waits for its confirmation",
        Phase.ROLLING_BACK: "a rollback that did not end",
    }[record.phase]
    waits = record.phase is Phase.UNCONFIRMED
    time_left = f"; {_time_left(record)}" if waits else ""
    keep = f" `eroute-translate confirm{where}` keeps it," if waits else ""
    return (
        f"eroute-translate: there is {what} ({counted(changes_of(record))}){time_left};{keep}"
        f" `eroute-translate rollback{where}` takes it back"
    )


def _time_left(record: Record) -> str:
    """How long nobody need do anything, and what it means when nobody did."""
    left = record.deadline - clock()
    if left > -OVERDUE:
        return f"it is taken back in {max(0, round(left))} seconds"
    return (
        f"its time was over {round(-left)} seconds ago, and it was not taken back: the process that"
        " was to do it is gone"
    )


def of_earlier_boot(record: Record, journal: Journal) -> bool:
    """Whether a transaction is over because what it changed is gone; says so."""
    if record.boot == journal.boot:
        return False
    print(
        "eroute-translate: an apply before the last boot did not end; its policies are gone",
        file=sys.stderr,
    )
    return True


def pending_of(journal: Journal) -> Record | None:
    """The transaction that is not over; one of an earlier boot is, and is forgotten aloud."""
    record = journal.read()
    if record is not None and of_earlier_boot(record, journal):
        journal.forget()
        return None
    return record


def asked(verb: str, question: str) -> bool:
    """Ask on the terminal; without one say that ``--yes`` is needed.  A no is told."""
    if not sys.stdin.isatty():
        print(
            f"eroute-translate {verb}: no terminal to ask on; say --yes to go on", file=sys.stderr
        )
        return False
    print(f"{question} [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print(f"eroute-translate {verb}: nothing was done", file=sys.stderr)
    return False
