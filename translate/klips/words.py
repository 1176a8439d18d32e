"""Words of a command line with their places, and what is told of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from ..diagnostics import Span

COMMAND_LINE: Final = "<command line>"
"""The file of a span that points into the arguments of this program."""

_GAP: Final = 4096
_C_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]{1,64}|[0-9]{1,64}", re.ASCII)


class Word(NamedTuple):
    """One word of a command line and its place."""

    text: str
    span: Span


def after_equals(word: Word, given: str) -> Word:
    """The value of ``--option=value``; quotes in the source may hide where it begins."""
    span = word.span
    if span.end_column - span.column == len(word.text):
        span = span._replace(column=span.end_column - len(given))
    return Word(given, span)


def listed(options: Iterable[str]) -> str:
    """What to choose from, for a message."""
    return "one of " + ", ".join(f"--{option}" for option in options)


def near(text: str, names: Iterable[str]) -> str:
    """A question about the nearest of some names, empty when none is near."""
    found = difflib.get_close_matches(text[:40], names, 1)
    return f"did you mean {found[0]}? Otherwise write the number" if found else ""


def c_number(text: str) -> int | None:
    """A number as strtoul(3) reads it with base 0, without sign and blanks, or ``None``."""
    if not _C_NUMBER.fullmatch(text):
        return None
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    try:
        return int(text, 8 if text[0] == "0" else 10)
    except ValueError:
        return None


def line_of(words: Sequence[Word], place: Span) -> str:
    """The source line of a place: the words of that line, each in its column."""
    line = ""
    for word in words:
        span = word.span
        if span[:2] != place[:2]:
            continue
        gap = span.column - 1 - len(line)
        if not line and span.file == COMMAND_LINE:
            line = {13: "ipsec eroute ", 7: "eroute "}.get(gap, "")
            gap -= len(line)
        line += (" " * gap if 0 <= gap <= _GAP else " ") + word.text
    return line
