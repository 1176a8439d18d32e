"""What a shell script comes to: commands with their words, and the places that nobody can read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..diagnostics import Span


class ShellWord(NamedTuple):
    """One word; ``text`` is ``None`` when only a running shell knows it.

    ``several`` says that such a word, without quotes, may be none or more than one.
    """

    text: str | None
    span: Span
    several: bool = False


class SimpleCommand(NamedTuple):
    """One command.  ``doubt`` says why it is not certain that it runs, empty when it is.

    ``input`` is the here-document that it reads, ``None`` when there is none or when only a
    running shell knows it; ``input_line`` is the line where that begins.
    """

    words: tuple[ShellWord, ...]
    span: Span
    doubt: str = ""
    input: str | None = None
    input_line: int = 0


class ShellError(NamedTuple):
    """A place that the grammar cannot read."""

    span: Span
    text: str


@dataclass(slots=True)
class Script:
    """What a script does: its commands, and the places that could not be read."""

    commands: list[SimpleCommand] = field(default_factory=list)
    errors: list[ShellError] = field(default_factory=list)
    assumed: ShellWord | None = None
    """The first parameter that a script of init(8) was taken to have, and where it asks for it."""
