"""What the verbs for a running kernel begin with: a journal, a connection, a question."""

from __future__ import annotations

import argparse
import errno
import sys
from pathlib import Path
from typing import Final

from ..apply.firewall import FirewallError
from ..apply.journal import Journal, Phase, Record
from ..apply.stored import JournalError
from ..apply.target import life_of, name_of_here, target_folder
from ..apply.unit import UnitError
from ..xfrm.bulk import Channel
from ..xfrm.errors import KernelError
from . import EXIT_FAILED

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


def kernel_again(arguments: argparse.Namespace, journal: Journal) -> Channel:
    """One more connection to the target of a journal, never to a namespace that got its name since.

    Raises :class:`KernelError` and :class:`JournalError`.
    """
    if life_of(arguments.netns) != journal.boot:
        asked = f"enter the network namespace {arguments.netns} again"
        raise KernelError(errno.ESTALE, asked, "another one has its name by now")
    return kernel_of(arguments)


def pending_text(record: Record, arguments: argparse.Namespace) -> str:
    """What to say of a transaction that is not over."""
    netns = f" --netns {arguments.netns}" if arguments.netns else ""
    what = {
        Phase.APPLYING: "an apply that did not end",
        Phase.UNCONFIRMED: "an apply that waits for its confirmation",
        Phase.ROLLING_BACK: "a rollback that did not end",
    }[record.phase]
    waits = record.phase is Phase.UNCONFIRMED
    keep = f" `eroute-translate confirm{netns}` keeps it," if waits else ""
    return (
        f"eroute-translate: there is {what} ({len(record.changes)} changes);{keep}"
        f" `eroute-translate rollback{netns}` takes it back"
    )


def pending_of(journal: Journal) -> Record | None:
    """The transaction that is not over; one of an earlier boot is, and is forgotten aloud."""
    record = journal.read()
    if record is not None and record.boot != journal.boot:
        journal.forget()
        print(
            "eroute-translate: an apply before the last boot did not end; its policies are gone",
            file=sys.stderr,
        )
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
