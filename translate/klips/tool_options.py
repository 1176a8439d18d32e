"""Options of KLIPS's tools, as getopt_long(3) took them, with the place of every word.

Shared by the grammars of ``ipsec spi``, ``spigrp``, ``tncfg`` and ``klipsdebug``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..diagnostics import Collector, Diagnostic, Severity, Span
from .command import Word
from .key import without_keys

HIDDEN: Final = "…"
"""What stands in an excerpt for a key."""


class RefusedError(Exception):
    """The tool would have refused the command; ``word`` is the place, if it is one."""

    def __init__(
        self, message: str, word: Word | None = None, expected: str = "", code: str = "ET151"
    ) -> None:
        super().__init__(message)
        self.word = word
        self.expected = expected
        self.code = code


@dataclass(frozen=True, slots=True)
class Grammar:
    """The options of one tool: ``values`` take one, ``flags`` take none; ``secret`` hold keys.

    ``single_dash`` is getopt_long_only(3).
    """

    tool: str
    flags: Collection[str]
    values: Collection[str]
    secret: Collection[str] = ()
    single_dash: bool = False


@dataclass(slots=True)
class Given:
    """What was given: options in their order, and the words that are none."""

    options: dict[str, Word] = field(default_factory=dict)
    rest: list[Word] = field(default_factory=list)
    repeated: list[Word] = field(default_factory=list)

    def value(self, name: str) -> str | None:
        """The value of an option, ``None`` when it was not given."""
        word = self.options.get(name)
        return None if word is None else word.text


def read_options(grammar: Grammar, words: Sequence[Word]) -> Given:
    """Part the words behind the tool's name.  Raises :class:`RefusedError`."""
    given = Given()
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        name, equals, value = _option(grammar, word)
        if not name:
            given.rest.append(word)
            continue
        if word.text == "--":
            given.rest.extend(words[at:])
            break
        if name in grammar.flags:
            if equals:
                raise RefusedError(f"--{name} takes no value", word)
            held = word
        elif equals:
            held = Word(value, word.span)
        elif at < len(words):
            held = words[at]
            at += 1
        else:
            raise RefusedError(f"--{name} needs a value", word)
        if name in given.options:
            given.repeated.append(word)
        given.options[name] = held
    return given


def only_informs(given: Given) -> bool:
    """Whether the tool printed its usage or version and ended.

    Raises :class:`RefusedError` when the command also asks for something, which was not done.
    """
    word = next(
        (given.options[name] for name in ("help", "version") if name in given.options), None
    )
    if word is not None and (given.options.keys() - _TALK or given.rest):
        raise RefusedError("the tool printed and ended, and did nothing else", word)
    return word is not None


_TALK: Final = frozenset({"help", "version", "debug", "label"})


def _option(grammar: Grammar, word: Word) -> tuple[str, str, str]:
    """Name, equals sign and value of an option; an empty name for what is none."""
    text = word.text
    if text == "--":
        return "--", "", ""
    dashes = 2 if text.startswith("--") else 1 if grammar.single_dash and text[:1] == "-" else 0
    if not dashes or len(text) == dashes:
        return "", "", ""
    name, equals, value = text[dashes:].partition("=")
    names = (*grammar.flags, *grammar.values)
    if name in names:
        return name, equals, value
    matching = [known for known in names if known.startswith(name)]
    if len(matching) == 1:
        return matching[0], equals, value
    if matching:
        listed = ", ".join(f"--{known}" for known in sorted(matching))
        raise RefusedError(f"--{name} is short for several options", word, listed, "ET150")
    raise RefusedError(f"ipsec {grammar.tool} has no option --{name}", word, code="ET150")


def excerpt(grammar: Grammar, words: Sequence[Word]) -> str:
    """The command line as it may be shown: without keys."""
    shown: list[str] = []
    hide = False
    for word in words:
        text = word.text
        try:
            name, equals, _ = _option(grammar, word)
        except RefusedError:
            # Not known what it is, so it is not known what stands in it.
            name, equals = "", "="
            text = text.partition("=")[0]
        if hide:
            text, hide = HIDDEN, False
        elif name in grammar.secret:
            text, hide = (f"--{name}={HIDDEN}", False) if equals else (text, True)
        else:
            text = without_keys(text)  # a key in a place where none belongs
        shown.append(text)
    return " ".join(("ipsec", grammar.tool, *shown))


def tell(
    collector: Collector,
    grammar: Grammar,
    words: Sequence[Word],
    error: RefusedError,
    place: Span,
    severity: Severity = Severity.ERROR,
) -> None:
    """Turn a refusal into a diagnostic, keys left out."""
    word = error.word
    collector.add(
        Diagnostic(
            error.code,
            severity,
            str(error),
            place if word is None else word.span,
            excerpt(grammar, words),
            expected=error.expected,
        )
    )


def number(word: Word, low: int, high: int) -> int:
    """A number as strtoul(3) with base 0 reads it.  Raises :class:`RefusedError`."""
    text = word.text
    try:
        if not text.isascii() or not text[:1].isdecimal():
            raise ValueError
        octal = text.isdecimal() and text.startswith("0")
        value = int(text, 8 if octal else 0)
    except ValueError:
        raise RefusedError("this is not a number", word, f"{low} to {high}") from None
    if not low <= value <= high:
        raise RefusedError(f"the number is not from {low} to {high}", word)
    return value


def choice(word: Word, choices: Mapping[str, int] | Collection[str], what: str) -> str:
    """One of several words.  Raises :class:`RefusedError`."""
    if word.text not in choices:
        raise RefusedError(f"{word.text!r} is no {what}", word, ", ".join(choices))
    return word.text
