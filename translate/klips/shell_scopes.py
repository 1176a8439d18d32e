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
from .shell_words import IFS, UNSET, Words

if TYPE_CHECKING:
    from tree_sitter import Node

_ARITHMETIC: Final = (
    "postfix_expression",
    "unary_expression",
    "binary_expression",
    "arithmetic_expansion",
)

_FOREIGN: Final = "\x00"
"""Stands for a variable that had no value before a function made it its own."""


class Scopes(Words):
    """Words, and the commands that change what they are made of."""

    def __init__(self, file: str, variables: dict[str, str | None]) -> None:
        super().__init__(file, variables)
        self.aliases: dict[str, str] = {}
        self.functions: dict[str, tuple[tuple[Node, ...], str]] = {}
        """The bodies that a name may have, and why it may have none of them."""
        self.exported: set[str] = set()
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
        parts = [] if value is None else [value]
        after = node.next_named_sibling
        while parts and after is not None and after.start_byte == parts[-1].end_byte:
            if after.type not in ("command_name", "word", "number", "concatenation"):
                break
            parts.append(after)
            after = after.next_named_sibling
        text = self.joined(*parts) if parts else ""
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
            self._hidden[-1].setdefault(word, self.variables.get(word, _FOREIGN))
            if name is child:
                # Not in bash, but in the small shells, it keeps the value that it had outside.
                inherits = self.variables.get(word, UNSET) != ""
                self.variables[word] = None if inherits else UNSET

    def unset(self, node: Node) -> None:
        """``unset x y``."""
        of_functions = re.match(r"unset\s+-f\b", _text_of(node)) is not None
        for child in node.named_children:
            name = _text_of(child)
            if of_functions and name in self.functions:
                bodies, doubt = self.functions.pop(name)
                if self.in_doubt:
                    self.functions[name] = bodies, doubt or self.in_doubt
            if name and not of_functions:
                self.variables[name] = None if self.in_doubt else IFS if name == "IFS" else UNSET

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
            elif child.type == "expansion":
                match = re.match(r"\$\{(\w+):?=", text)
                if match is not None:
                    self.variables[match[1]] = None
            elif child.type in _ARITHMETIC or text.startswith("let "):
                self.variables |= dict.fromkeys(assigned(text))
            elif child.type == "command" and text.startswith("eval "):
                self.variables |= dict.fromkeys(re.findall(r"([A-Za-z_]\w*)\+?=", text))
            elif child.type == "command" and text.startswith("read "):
                self.variables |= dict.fromkeys(re.findall(r"[A-Za-z_]\w*", text[5:]))
            elif child.type == "command" and re.match(r"shift\b|set\s+(?:--|[^-+\s])", text):
                self.positional, self.positional_known = [], False
            waiting.extend(child.named_children)

    def set_parameters(self, words: Sequence[ShellWord]) -> bool:
        """``set -- a b``; whether it was about the parameters, not about options."""
        first = words[0].text if words else "-?"
        if first is not None and first[:1] in ("-", "+") and first not in ("-", "--"):
            return False
        self._give(words[1:] if first in ("-", "--") else words)
        if first is None or self.in_doubt:
            self.positional, self.positional_known = [], False
        return True

    def _give(self, words: Sequence[ShellWord]) -> None:
        """Make words the parameters; those behind one that may be several have no known place."""
        certain = next((place for place, word in enumerate(words) if word.several), len(words))
        self.positional = [word.text for word in words[:certain]]
        self.positional_known = certain == len(words)

    def shift(self, count: str | None) -> None:
        """What the parameters are is not known behind a ``shift`` that is not certain."""
        known = count is not None and re.fullmatch(r"[0-9]{1,4}", count) is not None
        if self.in_doubt or not known or int(count or 0) > len(self.positional):
            self.positional, self.positional_known = [], False
        else:
            self.positional = self.positional[int(count or 0) :]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """In a shell of its own: what is set there is gone behind it."""
        held = self.positional, self.positional_known, self.functions, self.aliases, self.exported
        variables, hidden = self.variables, self._hidden
        self._hidden = [dict(names) for names in hidden]
        self.variables, self.functions = dict(variables), dict(self.functions)
        self.aliases, self.exported = dict(self.aliases), set(self.exported)
        try:
            yield
        finally:
            self.positional, self.positional_known, self.functions, self.aliases, _ = held
            self.variables, self.exported, self._hidden = variables, held[4], hidden

    @contextmanager
    def called(self, arguments: Sequence[ShellWord]) -> Iterator[None]:
        """In a function: with parameters, and variables, of its own."""
        held = self.positional, self.positional_known
        self._give(arguments)
        self._hidden.append({})
        try:
            yield
        finally:
            self.positional, self.positional_known = held
            for name, value in self._hidden.pop().items():
                if value == _FOREIGN:
                    self.variables.pop(name, None)
                else:
                    self.variables[name] = value


def _text_of(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
