"""What a shell script sets as it goes: variables, parameters, aliases, and what is forgotten again.

While it is in doubt whether a command runs, what it sets is not known afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from .shell_arithmetic import assigned, run
from .shell_commands import ShellWord
from .shell_words import IFS, Words

if TYPE_CHECKING:
    from tree_sitter import Node

_ARITHMETIC: Final = (
    "postfix_expression",
    "unary_expression",
    "binary_expression",
    "arithmetic_expansion",
)

_UNSET: Final = "\x00"
"""Stands for a variable that had no value before a function made it its own."""


class Scopes(Words):
    """Words, and the commands that change what they are made of."""

    def __init__(self, file: str, variables: dict[str, str | None]) -> None:
        super().__init__(file, variables)
        self.aliases: dict[str, str] = {}
        self.doubt = ""
        self.left = ""
        """Doubt whether this turn of a loop was left before: ``continue`` in a doubtful branch."""
        self._hidden: list[dict[str, str | None]] = []
        """Of each function that is being called, what its own variables hide."""

    @property
    def in_doubt(self) -> str:
        """Why a command that stands here may not run; empty where it does."""
        return self.doubt or self.left

    def assign(self, node: Node) -> None:
        """``x=1`` or ``x+=1``."""
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is None or name.text is None:
            return
        text = "" if value is None else self.joined(value)
        word = _text_of(name)
        if any(child.type == "+=" for child in node.children):
            before = self.variables.get(word, "")
            text = None if before is None or text is None else before + text
        self.variables[word] = None if self.in_doubt else text

    def make_own(self, node: Node) -> None:
        """``local x y=1`` in a function: behind it the variables are what they were."""
        if not self._hidden or node.children[0].type not in ("local", "declare", "typeset"):
            return
        for child in node.named_children:
            name = child.child_by_field_name("name")
            if child.type == "variable_name":
                name = child
            if name is None or name.type != "variable_name":
                continue
            word = _text_of(name)
            self._hidden[-1].setdefault(word, self.variables.get(word, _UNSET))
            if name is child:
                self.variables[word] = ""

    def unset(self, node: Node) -> None:
        """``unset x y``."""
        for child in node.named_children:
            name = _text_of(child)
            if name:
                self.variables[name] = None if self.in_doubt else IFS if name == "IFS" else ""

    def count(self, node: Node) -> None:
        """``((i++))``."""
        self._count(_text_of(node))

    def _count(self, text: str) -> None:
        run(text, self.variables)
        if self.in_doubt:
            self.variables |= dict.fromkeys(assigned(text))

    def read(self, name: str, words: Sequence[ShellWord]) -> None:
        """``read`` and its like: the variables that they name are not known afterwards."""
        for word in words:
            text = word.text or ""
            if name == "alias" and "=" in text:
                alias, _, meaning = text.partition("=")
                if meaning.split():
                    self.aliases[alias] = meaning
            if name == "let":
                self._count(text)
            elif re.fullmatch(r"[A-Za-z_]\w*", text):
                self.variables[text] = None

    def forget(self, node: Node) -> None:
        """Variables that are set below a node are not known any more."""
        waiting = [node]
        while waiting:
            child = waiting.pop()
            text = _text_of(child)
            if child.type in ("variable_assignment", "for_statement"):
                name = child.child_by_field_name("name") or child.child_by_field_name("variable")
                if name is not None and name.text:
                    self.variables[_text_of(name)] = None
            elif child.type in _ARITHMETIC or text.startswith("let "):
                self.variables |= dict.fromkeys(assigned(text))
            elif child.type == "command" and text.startswith("read "):
                self.variables |= dict.fromkeys(re.findall(r"[A-Za-z_]\w*", text[5:]))
            waiting.extend(child.named_children)

    def set_parameters(self, words: Sequence[ShellWord]) -> bool:
        """``set -- a b``; whether it was about the parameters, not about options."""
        first = words[0].text if words else "-"
        if first is not None and first[:1] in ("-", "+") and first != "--":
            return False
        self.positional = [word.text for word in (words[1:] if first == "--" else words)]
        self.positional_known = first is not None and not self.in_doubt
        return True

    def shift(self, count: str | None) -> None:
        """What the parameters are is not known behind a ``shift`` that is not certain."""
        known = count is not None and re.fullmatch(r"[0-9]{1,4}", count) is not None
        if self.in_doubt or not known or int(count or 0) > len(self.positional):
            self.positional_known = False
        else:
            self.positional = self.positional[int(count or 0) :]

    @contextmanager
    def called(self, arguments: list[str | None]) -> Iterator[None]:
        """In a function: with parameters, and variables, of its own."""
        held = self.positional, self.positional_known
        self.positional, self.positional_known = arguments, True
        self._hidden.append({})
        try:
            yield
        finally:
            self.positional, self.positional_known = held
            for name, value in self._hidden.pop().items():
                if value == _UNSET:
                    self.variables.pop(name, None)
                else:
                    self.variables[name] = value


def _text_of(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
