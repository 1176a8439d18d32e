"""The options of ``ipsec eroute``, parted as getopt_long(3) parted them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ..diagnostics import Collector, Diagnostic, Severity, Span
from .eroute import Eroute
from .words import COMMAND_LINE, Word, after_equals, line_of, listed


class Action(StrEnum):
    """What a command does; ``LIST`` is no action at all, and the tool printed the table."""

    ADD = "add"
    ADD_IN = "addin"
    REPLACE = "replace"
    REPLACE_IN = "replacein"
    DELETE = "del"
    CLEAR = "clear"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class ErouteCommand:
    """One command.

    ``eroute`` is ``None`` for ``CLEAR`` and ``LIST``; for ``DELETE`` it has no SAID.
    """

    action: Action
    eroute: Eroute | None
    span: Span
    label: str = ""
    debug: bool = False


ACTIONS: Final = {
    "add": Action.ADD,
    "addin": Action.ADD_IN,
    "replace": Action.REPLACE,
    "replacein": Action.REPLACE_IN,
    "del": Action.DELETE,
    "clear": Action.CLEAR,
}
VALUES: Final = (
    "eraf",
    "src",
    "dst",
    "transport-proto",
    "src-port",
    "dst-port",
    "said",
    "af",
    "edst",
    "spi",
    "proto",
    "label",
    "optionsfrom",
)
FLAGS: Final = (*ACTIONS, "debug", "help", "version")

_OPTIONS: Final = (*FLAGS, *VALUES)


class OptionReader:
    """One command, parted into actions, information and values."""

    def __init__(
        self, words: Sequence[Word], collector: Collector, lines: Mapping[int, str]
    ) -> None:
        self.words = words
        self.collector = collector
        self.lines = lines
        self.values: dict[str, Word] = {}
        self.actions: list[tuple[Action, Word]] = []
        self.information: list[tuple[str, Word]] = []
        self.debug = False
        self.failed = False
        # Options without their value and names that mean none: reported already, so that what
        # they leave open is not reported as missing once more.
        self.broken: set[str] = set()
        self.misnamed = False

    # -- diagnostics

    def error(self, code: str, word: Word | None, message: str, expected: str, hint: str) -> None:
        """Tell of something that makes the command void."""
        self.failed = True
        self._say(code, Severity.ERROR, word, message, expected, hint)

    def warn(self, word: Word | None, message: str, expected: str, hint: str) -> None:
        """Tell that the tool of that time would have done something else."""
        self._say("ET123", Severity.WARNING, word, message, expected, hint)

    def note(self, word: Word | None, message: str, expected: str, hint: str) -> None:
        """Tell what differs without harm."""
        self._say("ET123", Severity.NOTE, word, message, expected, hint)

    def _say(
        self,
        code: str,
        severity: Severity,
        word: Word | None,
        message: str,
        expected: str,
        hint: str,
    ) -> None:
        span = word.span if word is not None else self._whole()
        excerpt = self.lines.get(span.line) or line_of(self.words, span)
        self.collector.add(Diagnostic(code, severity, message, span, excerpt, expected, hint))

    def _whole(self) -> Span:
        if not self.words:
            return Span(COMMAND_LINE, 1)
        first, last = self.words[0].span, self.words[-1].span
        on_line = [w.span for w in self.words if w.span[:2] == first[:2]]
        end_line = last.line if last.line > first.line else first.end_line
        return first._replace(end_column=on_line[-1].end_column, end_line=end_line)

    # -- getopt_long

    def read(self) -> None:
        """Sort the words into actions and values."""
        index, total = 0, len(self.words)
        while index < total:
            word = self.words[index]
            index += 1
            if word.text == "--":
                for extra in self.words[index:]:
                    self._stray(extra)
                return
            if not word.text.startswith("--"):
                self._stray(word)
                continue
            name, equals, given = word.text[2:].partition("=")
            option = self._option(name, word)
            if option is None:
                # What follows was most likely meant as its value.
                if not equals and index < total and not self.words[index].text.startswith("-"):
                    index += 1
            elif option in FLAGS:
                self._flag(option, word, has_value=bool(equals))
            elif equals:
                self._value(option, word, after_equals(word, given))
            elif index < total:
                self._value(option, word, self.words[index])
                index += 1
            else:
                self.broken.add(option)
                self.error(
                    "ET121",
                    word,
                    f"--{option} needs a value",
                    f"--{option} VALUE",
                    f"write the value behind it, or take --{option} away",
                )

    def _stray(self, word: Word) -> None:
        short = word.text.startswith("-") and word.text != "-"
        self.error(
            "ET120",
            word,
            f"{word.text!r}: ipsec eroute has no short options"
            if short
            else f"{word.text!r} belongs to no option",
            "an option that starts with --",
            "quote a value that has blanks; nothing stands behind the options",
        )

    def _option(self, name: str, word: Word) -> str | None:
        """The option that a name or a unique abbreviation means."""
        if name in _OPTIONS:
            return name
        fitting = [option for option in _OPTIONS if name and option.startswith(name)]
        if len(fitting) == 1:
            return fitting[0]
        self.misnamed = True
        if fitting:
            self.error(
                "ET120",
                word,
                f"--{name} is ambiguous",
                listed(fitting),
                "write the whole name of the option",
            )
        else:
            near = difflib.get_close_matches(name[:40], _OPTIONS, 1)
            self.error(
                "ET120",
                word,
                f"--{name} is no option of ipsec eroute",
                listed(_OPTIONS),
                f"did you mean --{near[0]}?" if near else "see ipsec_eroute(8)",
            )
        return None

    def _flag(self, option: str, word: Word, *, has_value: bool) -> None:
        if has_value:
            self.error(
                "ET120",
                word,
                f"--{option} takes no value",
                f"--{option}",
                "take away the = and what follows it",
            )
        if option == "debug":
            self.debug = True
        elif option in ACTIONS:
            self.actions.append((ACTIONS[option], word))
        else:
            self.information.append((option, word))

    def _value(self, option: str, word: Word, value: Word) -> None:
        if option == "optionsfrom":
            self.broken.update(VALUES)
            self.error(
                "ET120",
                word,
                "--optionsfrom is not read: its file may not be the one of the old host",
                "the options themselves",
                "put the options of the file on the command line",
            )
        elif option in self.values:
            self.error(
                "ET120",
                word,
                f"--{option} stands twice",
                f"--{option} once",
                "make a command of its own for each eroute",
            )
        else:
            self.values[option] = value
