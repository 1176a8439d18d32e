"""What a reboot needs: the unit that restores, and the verb that it runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..apply.firewall import Firewall
from ..apply.journal import Journal
from ..apply.restore import Restored, restore, restore_damaged
from ..apply.stored import JournalError
from ..apply.target import survives_boot
from ..apply.unit import UnitError, install_unit, remove_unit, unit_name
from ..render import render_unit
from . import EXIT_DONE, EXIT_FAILED, EXIT_NOTHING
from .progress import Progress
from .target import journal_of, kernel_of, same_target
from .terminal import told_or_not


def unit_of(arguments: argparse.Namespace) -> Path | None:
    """Where the unit of the target is; that of the host is none of a namespace without a name."""
    if not survives_boot(arguments.netns):
        return None
    return Path(arguments.unit_folder) / unit_name(arguments.netns)


def unit_to_write(arguments: argparse.Namespace) -> Path:
    """The same for ``--persist``; raises :class:`UnitError` where there can be none."""
    unit = unit_of(arguments)
    if unit is None:
        raise UnitError(
            "this network namespace has no name, so that no boot can install anything in it: give"
            " it one (ip netns attach), or leave --persist out; nothing was done"
        )
    return unit


def write_unit(arguments: argparse.Namespace, *, confirmed: bool) -> None:
    """Have the next boot restore what was saved, or will be once confirmed: :class:`UnitError`."""
    program = Path(sys.argv[0]).resolve()
    command = [str(program)]
    if program.name == "__main__.py":
        command = [sys.executable, "-m", str(__package__).partition(".")[0]]
    folder = str(Path(arguments.state_folder).resolve())
    command += ["restore", "--state-folder", folder]
    if arguments.netns:
        command += ["--netns", arguments.netns]
    path = unit_to_write(arguments)
    install_unit(render_unit(command, folder, same_target(arguments)), path)
    once = "" if confirmed else "once you have confirmed, "
    with told_or_not():
        print(f"{once}the next boot installs them before the network is up ({path})")


def restore_verb(arguments: argparse.Namespace) -> int:
    """Install what was saved, or with ``--remove`` no more; return the exit code."""
    journal = journal_of(arguments)
    if arguments.remove:
        unit = unit_of(arguments)
        there = unit is not None and remove_unit(unit)
        with journal.locked(wait=True):
            journal.forget_saved()
        print("the next boot installs nothing" + ("" if there else "; there was no unit to remove"))
        return EXIT_DONE
    with journal.locked(wait=True):
        restored = _restored(arguments, journal)
    if restored is None:
        print("nothing was saved: `apply --persist` does it", file=sys.stderr)
        return EXIT_NOTHING
    if restored.failure:
        done = (
            f"what they protected or blocked is blocked now ({restored.blocked} policies)"
            if restored.blocked
            else "nothing more is blocked in their place"
        )
        print(
            f"eroute-translate restore: the saved policies are not in place: {restored.failure};"
            f" {done}",
            file=sys.stderr,
        )
        for text in restored.left:
            print(f"  left: {text}", file=sys.stderr)
        return EXIT_FAILED
    changes = restored.result.changes if restored.result else 0
    print(f"{changes} changes are in place")
    return EXIT_DONE


def _restored(arguments: argparse.Namespace, journal: Journal) -> Restored | None:
    """Restore what was saved, or block in its stead; ``None`` when nothing was saved."""
    try:
        saved = journal.read_saved()
    except JournalError as error:
        return restore_damaged(kernel_of(arguments), journal, f"{error}, or `apply --persist`")
    if saved is None:
        return None
    with Progress("sending changes") as progress:
        firewall = Firewall(arguments.netns)
        return restore(kernel_of(arguments), journal, saved, firewall, progress)
