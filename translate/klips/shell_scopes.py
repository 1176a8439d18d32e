"""What a shell script sets as it goes: variables, parameters, aliases, and what is forgotten again.

While it is in doubt whether a command runs, what it sets is not known afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from .shell_arithmetic import assigned
from .shell_commands import ShellWord
from .shell_words import Words

if TYPE_CHECKING:
    from tree_sitter import Node

_UNSET: Final = "\x00"
"""Stands for a variable that had no value before a function made it its own."""


class Scopes(Words):
    """Words, and the commands that change what they are made of."""

    def __init__(self, file: str, variables: dict[str, str | None]) -> None:
        super().__init__(file, variables)
        self.aliases: dict[str, str] = {}
        self.doubt = ""
        self._hidden: list[dict[str, str | None]] = []
        """Of each function that is being called, what its own variables hide."""

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
        self.variables[word] = None if self.doubt else text

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
            if child.text:
                self.variables[_text_of(child)] = None if self.doubt else ""

    def count(self, node: Node) -> None:
        """``((i++))``: what it sets is not known afterwards."""
        for name in assigned(_text_of(node)):
            self.variables[name] = None

    def read(self, name: str, words: Sequence[ShellWord]) -> None:
        """``read`` and its like: the variables that they name are not known afterwards."""
        for word in words:
            text = word.text or ""
            if name == "alias" and "=" in text:
                alias, _, meaning = text.partition("=")
                if meaning.split():
                    self.aliases[alias] = meaning
            for variable in assigned(text) if name == "let" else [text]:
                if re.fullmatch(r"[A-Za-z_]\w*", variable):
                    self.variables[variable] = None

    def forget(self, node: Node) -> None:
        """Variables that are set below a node are not known any more."""
        waiting = [node]
        while waiting:
            child = waiting.pop()
            if child.type == "variable_assignment":
                name = child.child_by_field_name("name")
                if name is not None and name.text:
                    self.variables[_text_of(name)] = None
            waiting.extend(child.named_children)

    def set_parameters(self, words: Sequence[ShellWord]) -> None:
        """``set -- a b``."""
        self.positional = [word.text for word in words]
        self.positional_known = not self.doubt

    def shift(self, count: str | None) -> None:
        """What the parameters are is not known behind a ``shift`` that is not certain."""
        known = count is not None and re.fullmatch(r"[0-9]{1,4}", count) is not None
        if self.doubt or not known or int(count or 0) > len(self.positional):
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
