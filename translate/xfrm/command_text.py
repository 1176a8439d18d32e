"""Commands for ``ip xfrm policy`` as text: what a command is, ``ip -batch``, telling them apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from ..diagnostics import Span
from .command_words import verb_of

BATCH_WORDS: Final = 512
"""``ip -batch`` takes so many words in a line, less one (include/utils.h:MAX_ARGS)."""


class CommandWord(Protocol):
    """One word; ``text`` is ``None`` where only a running shell knows it."""

    @property
    def text(self) -> str | None:
        """The word."""

    @property
    def span(self) -> Span:
        """Where it stands."""


class Command(Protocol):
    """One command.  ``doubt`` says why it may not run, empty when it does.

    ``input`` is the text that it reads from its standard input, ``None`` where that is not known;
    ``input_line`` is the line where that text begins.
    """

    @property
    def words(self) -> Sequence[CommandWord]:
        """The words."""

    @property
    def span(self) -> Span:
        """Where it stands."""

    @property
    def doubt(self) -> str:
        """Why it may not run."""

    @property
    def input(self) -> str | None:
        """What it reads."""

    @property
    def input_line(self) -> int:
        """Where that begins."""


class BatchWord(NamedTuple):
    """A word of a batch."""

    text: str | None
    span: Span


class BatchLine(NamedTuple):
    """A line of a batch as a command; ``problem`` says why ip cannot read it."""

    words: Sequence[CommandWord]
    span: Span
    doubt: str = ""
    problem: str = ""
    input: str | None = None
    input_line: int = 0


def batch_lines(text: str, file: str, first: int = 1) -> Iterator[BatchLine]:
    """The commands of a batch.

    ``#`` begins a comment wherever it stands, a backslash at the end of a line goes on with the
    next one, a word may be quoted whole (lib/utils.c:getcmdline, makeargs).
    """
    lines = iter(enumerate(text.split("\n"), first))
    for number, line in lines:
        pieces = [(number, line.partition("#")[0])]
        while pieces[-1][1].endswith("\\") and "#" not in line:
            following = next(lines, None)
            pieces[-1] = (pieces[-1][0], pieces[-1][1][:-1])
            if following is None:
                break
            line = following[1]
            pieces.append((following[0], line.partition("#")[0]))
        words, problem = _batch_words(pieces, file)
        if words or problem:
            place = words[0].span if words else Span(file, number)
            yield BatchLine(words, place, problem=problem)


def _batch_words(pieces: Sequence[tuple[int, str]], file: str) -> tuple[list[BatchWord], str]:
    text = "".join(piece for _, piece in pieces)

    def span(start: int, end: int) -> Span:
        for number, piece in pieces:
            if start <= len(piece):
                return Span(file, number, start + 1, min(end, len(piece)) + 1)
            start, end = start - len(piece), end - len(piece)
        return Span(file, pieces[-1][0])

    words: list[BatchWord] = []
    at = 0
    while at < len(text):
        if text[at] in " \t\r":
            at += 1
            continue
        if len(words) >= BATCH_WORDS - 1:
            return words, "ip takes no more than 511 words in a line"
        if text[at] in "'\"":
            end = text.find(text[at], at + 1)
            if end < 0:
                return words, "a quoted word has no end"
            words.append(BatchWord(text[at + 1 : end], span(at, end + 1)))
            at = end + 1
            continue
        end = at
        while end < len(text) and text[end] not in " \t\r":
            end += 1
        words.append(BatchWord(text[at:end], span(at, end)))
        at = end
    return words, ""


def looks_like_policies(sample: str) -> bool:
    """Whether a text is what ``ip xfrm policy`` prints."""
    lines = [line for line in sample.splitlines() if line.strip()]
    if not lines or not lines[0].startswith("src ") or " dst " not in lines[0]:
        return False
    joined = " ".join(line.strip().replace("\\", " ") for line in lines[:3])
    return " dir " in joined or " socket " in joined


def looks_like_commands(sample: str) -> bool:
    """Whether a text holds ``ip xfrm policy`` commands that change something: script or batch."""
    return _script(sample) or is_batch(sample)


def is_batch(sample: str) -> bool:
    """Whether a text is one for ``ip -batch``: its first command is one of ``xfrm``."""
    for line in sample.splitlines():
        words = line.partition("#")[0].split()
        if words:
            return len(words) > 2 and len(words[0]) > 1 and "xfrm".startswith(words[0])
    return False


def _script(sample: str) -> bool:
    for line in sample.splitlines():
        words = line.split()
        for at, word in enumerate(words[:-3]):
            if word.startswith("#"):
                break
            rest = words[at + 1 :]
            if word.rpartition("/")[2] != "ip" and not word.startswith("$"):
                continue
            while rest and rest[0].startswith("-"):
                rest = rest[1:]
            if len(rest) < 3 or not ("xfrm".startswith(rest[0]) and "policy".startswith(rest[1])):
                continue
            if verb_of(rest[2]) in ("add", "update", "flush", "setdefault", "deleteall"):
                return True
    return False
