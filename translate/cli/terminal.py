"""What goes to the terminal and to files: colour, diagnostics, output written as a whole."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from ..diagnostics import Diagnostic, Severity
from ..render import diagnostic_json
from ..report import print_diagnostics


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


def write_output(pieces: Iterable[str], path: str | None) -> None:
    """Write to standard output, or to a file that appears only when it is whole.

    The file is readable by its owner alone.  Raises ``OSError``.
    """
    if path is None or path == "-":
        for piece in pieces:
            sys.stdout.write(piece)
        sys.stdout.flush()
        return
    target = Path(path)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
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
