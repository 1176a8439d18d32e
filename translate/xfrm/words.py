"""The words of what ``ip xfrm`` printed, one after the other, and what is wrong with one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..diagnostics import Diagnostic, Severity, Span

_WORD: Final = re.compile(r"[^ \t]+")
NUMBER: Final = re.compile(r"(0x[0-9a-fA-F]{1,16}|[0-9]{1,20})(\([0-9a-fx]+\))?", re.ASCII)


class UnreadableError(Exception):
    """What keeps an entry from being read, and where."""

    def __init__(self, words: Words, code: str, message: str, expected: str = "") -> None:
        super().__init__(message)
        self.words = words
        self.at = words.at
        self.code = code
        self.message = message
        self.expected = expected

    def diagnostic(self, file: str) -> Diagnostic:
        """What is wrong, with its place."""
        words = self.words
        places = [m.span() for m in _WORD.finditer(words.line)]
        if words.first + self.at < len(places):
            start, end = places[words.first + self.at]
        else:
            start, end = len(words.line), len(words.line) + 1
        return Diagnostic(
            self.code,
            Severity.ERROR,
            self.message,
            Span(file, words.number, start + 1, end + 1),
            excerpt=words.line,
            expected=self.expected,
        )


class Words:
    """The words of one piece of a line, taken one after the other.

    ``-o`` joins the lines of a policy with a backslash, so a line has several pieces; ``first``
    is the number of words in front of this one.
    """

    __slots__ = ("at", "first", "line", "number", "words")

    def __init__(self, number: int, line: str, first: int, words: list[str]) -> None:
        self.number = number
        self.line = line
        self.first = first
        self.words = words
        self.at = 0

    def more(self) -> bool:
        """Whether a word is left."""
        return self.at < len(self.words)

    def peek(self) -> str:
        """The next word, without taking it; empty at the end."""
        return self.words[self.at] if self.at < len(self.words) else ""

    def take(self, expected: str) -> str:
        """The next word; :class:`UnreadableError` at the end."""
        if self.at >= len(self.words):
            raise UnreadableError(self, "ET106", "the policy is cut here", expected)
        self.at += 1
        return self.words[self.at - 1]

    def wrong(self, code: str, message: str, expected: str = "") -> UnreadableError:
        """Make the exception for the word just taken."""
        self.at -= 1
        return UnreadableError(self, code, message, expected)

    def number_up_to(self, limit: int, what: str, code: str = "ET101") -> int:
        """The next word, which must be a number up to ``limit``."""
        word = self.take(f"the number of {what}")
        match = NUMBER.fullmatch(word)
        value = int(match[1], 0 if match[1].startswith("0x") else 10) if match else limit + 1
        if value > limit:
            raise self.wrong(code, f"{what} {word} is out of range", f"a number up to {limit}")
        return value

    def one_of(self, what: str, *choices: str) -> str:
        """The next word, which must be one of these."""
        word = self.take(" or ".join(choices))
        if word not in choices:
            raise self.wrong("ET101", f"unknown {what} {word}", " or ".join(choices))
        return word

    def rest(self) -> str:
        """All words that are left."""
        text = " ".join(self.words[self.at :])
        self.at = len(self.words)
        return text


def blocks_of(text: str) -> Iterator[list[Words]]:
    """Cut the text into policies: each begins with the word ``src`` (a template with ``tmpl``)."""
    block: list[Words] = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r").replace("\t", " ")
        if "\\" in line:
            pieces = line.split("\\")
            line = line.replace("\\", " ")
        else:
            pieces = [line]
        first = 0
        for piece in pieces:
            words = [word for word in piece.split(" ") if word]
            if not words:
                continue
            if words[0] == "src" and block:
                yield block
                block = []
            block.append(Words(number, line, first, words))
            first += len(words)
    if block:
        yield block
