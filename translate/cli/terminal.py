"""What goes to the terminal and to files: colour, diagnostics, output written as a whole."""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..diagnostics import Diagnostic, Severity
from ..json_forms import diagnostic_json
from ..report import print_diagnostics
from . import EXIT_DONE


def open_standard_streams() -> None:
    """Open those that the caller had closed, so that no file of ours gets their numbers.

    They are opened the wrong way round: who reads or writes there gets an error, as without them.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def give_up_output() -> None:
    """Drop what cannot be written, so that the interpreter does not try again at its end."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def wants_colour(stream: TextIO) -> bool:
    """Colour on a terminal only, unless NO_COLOR or FORCE_COLOR say otherwise."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def show(
    items: Sequence[Diagnostic], *, machine: bool, quiet: bool = False, verbose: bool = False
) -> None:
    """Print diagnostics to standard error, for people or one JSON object a line."""
    if machine:
        for item in items:
            print(json.dumps(diagnostic_json(item), sort_keys=True), file=sys.stderr)
        return
    text = print_diagnostics(
        items,
        colour=wants_colour(sys.stderr),
        least=Severity.ERROR if quiet else Severity.NOTE,
        everything=verbose,
    )
    if text:
        print(text, file=sys.stderr)


def show_as_asked(arguments: argparse.Namespace, items: Sequence[Diagnostic]) -> None:
    """Print diagnostics as ``--format``, ``--quiet`` and ``--verbose`` want them."""
    show(
        items,
        machine=arguments.format == "json",
        quiet=arguments.quiet,
        verbose=arguments.verbose,
    )


@contextmanager
def told_or_not() -> Iterator[None]:
    """What is done is done, whether or not somebody is left to read of it."""
    try:
        yield
        sys.stdout.flush()
    except OSError:
        give_up_output()


def tell_summary(arguments: argparse.Namespace, code: int, lines: Iterable[str]) -> None:
    """The lines that account for the input, for people; not with ``--quiet`` when all is well."""
    if arguments.format == "text" and not (arguments.quiet and code == EXIT_DONE):
        for line in lines:
            print(f"eroute-translate: {line}", file=sys.stderr)


def write_output(pieces: Iterable[str], path: str | None) -> None:
    """Write to standard output, or to a file that appears only when it is whole.

    The file is readable by its owner alone.  A device, a pipe or a socket is written to, never
    replaced: ``-o /dev/null`` must not take /dev/null away.  Raises ``OSError``.
    """
    if path is None or path == "-":
        for piece in pieces:
            sys.stdout.write(piece)
        sys.stdout.flush()
        return
    # Through symbolic links: the file behind one is meant, not the link.
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        with target.open("w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.writelines(pieces)
        return
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        # The name that was given, not the one beside it that was tried.
        raise type(error)(error.errno, error.strerror, path) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def exposed(path: str | None) -> str:
    """Who may read the output besides its owner, for a warning; empty if nobody can tell or none.

    A file that the shell has opened has the rights that umask gave it, and nobody narrows them.
    """
    if path is not None and path != "-":
        return ""
    try:
        status = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):
        return ""
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o077:
        return ""
    return f"mode {stat.S_IMODE(status.st_mode):04o}"
