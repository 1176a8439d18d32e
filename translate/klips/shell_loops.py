"""Loops of a shell script: played turn by turn where the text alone says how often they run."""

from __future__ import annotations

import re
from abc import abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from .shell_arithmetic import run
from .shell_commands import Script, ShellError, ShellWord
from .shell_scopes import Scopes
from .shell_words import IFS, separators

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tree_sitter import Node

TURNS: Final = 2_000
"""All counted loops together: those that a person wrote for tunnels end before."""

_DOUBTFUL_LOOP: Final = "a loop whose end only a running shell knows"
_DOUBTFUL_TURN: Final = "only a running shell knows whether this turn of the loop comes so far"


class LeaveTurn(Exception):  # noqa: N818 - control flow
    """``break`` or ``continue`` was reached."""

    def __init__(self, name: str, levels: int) -> None:
        super().__init__(name)
        self.goes_on = name == "continue"
        self.levels = levels


class Loops(Scopes):
    """``for``, ``while``, ``until``, and what leaves them."""

    def __init__(self, file: str, variables: dict[str, str | None]) -> None:
        super().__init__(file, variables)
        self.script = Script()
        self.input: tuple[str | None, int] = (None, 0)
        self._stays_left = False
        self._outer = 0
        """How many loops around this one may be left with it."""
        self._loops = 0
        self._beyond = 0
        """Loops around the shell that runs, which another one plays."""
        self._turns = 0

    @abstractmethod
    def body(self, node: Node) -> None:
        """Walk the statements in a node."""

    @abstractmethod
    def condition(self, node: Node) -> bool | None:
        """Run a condition; true or false where it can be decided."""

    @abstractmethod
    def doubtful(self, node: Node) -> None:
        """Walk what may not run."""

    @abstractmethod
    def inside(self, node: Node) -> None:
        """Run what command substitutions below a node run."""

    def leave(self, name: str, levels: str) -> None:
        """Carry out ``break`` or ``continue``."""
        if not self._loops:
            return
        if self._loops == self._beyond:
            # bash goes on there; the others leave the shell that has no loop of its own.
            self.left = self.left or _DOUBTFUL_TURN
            self._stays_left = True
            return
        if self.in_doubt:
            self.left = self.left or _DOUBTFUL_TURN
            known = levels.isdecimal() and len(levels) < 3
            self._outer = max(self._outer, int(levels) - 1 if known else self._loops)
            self._stays_left = self._stays_left or name == "break" or self._outer > 0
            return
        raise LeaveTurn(name, int(levels) if levels.isdecimal() and len(levels) < 3 else 1)

    def for_loop(self, node: Node) -> None:
        """``for name in words``."""
        variable = node.child_by_field_name("variable")
        body = node.child_by_field_name("body")
        if variable is None or body is None or variable.text is None:
            return
        name = variable.text.decode("utf-8", "replace")
        for child in node.children_by_field_name("value"):
            self.inside(child)
        words = self.words_of(node.children_by_field_name("value"))
        values = [word.text for word in words]
        if not node.children_by_field_name("value"):
            values = list(self.positional) if self.positional_known else [None]
        if any(value is None for value in values):
            self.variables[name] = None
            self._doubtful_loop(node, body)
            return
        with self._loop():
            for value in values:
                self.variables[name] = value
                if not self._turn(body):
                    break
            if self.in_doubt:
                # The loop may have been left before.
                self.variables[name] = None

    def while_loop(self, node: Node) -> None:
        """``while`` and ``until``."""
        body, condition = (node.child_by_field_name(name) for name in ("body", "condition"))
        if body is None or condition is None:
            return
        if self._each_line(condition, body):
            return
        wanted = node.children[0].type != "until"
        # What no variable ends, a signal does.
        ends = b"$" in (condition.text or b"") or (condition.text or b"").startswith(b"((")
        with self._loop():
            while self._turns_are_left():
                verdict = self.condition(condition)
                if verdict is None or not ends:
                    break
                if verdict is not wanted or not self._turn(body):
                    return
            else:
                self._endless(node)
                return
        self._doubtful_loop(node, body)

    def counting_loop(self, node: Node) -> None:
        """``for ((i = 0; i < 9; i++))``."""
        body = node.child_by_field_name("body")
        head = (node.text or b"").decode("utf-8", "replace").partition("((")[2].partition("))")[0]
        parts = head.split(";")
        if body is None or len(parts) != 3:
            return
        first, condition, step = parts
        if self.in_doubt:
            self._doubtful_loop(node, body)
            return
        run(first, self.variables)
        with self._loop():
            while self._turns_are_left():
                verdict = run(condition, self.variables)
                if verdict is None:
                    break
                if verdict == "0" or not self._turn(body):
                    return
                run(step, self.variables)
            else:
                self._endless(node)
                return
        self._doubtful_loop(node, body)

    def _doubtful_loop(self, node: Node, body: Node) -> None:
        self.forget(node)
        held, self.doubt = self.doubt, self.doubt or _DOUBTFUL_LOOP
        with self._loop():
            self.doubtful(body)
        self.doubt = held

    def _turns_are_left(self) -> bool:
        self._turns += 1
        return self._turns <= TURNS

    def _endless(self, node: Node) -> None:
        text = f"this loop does not end: {TURNS} turns of counted loops were read"
        self.script.errors.append(ShellError(self.span(node), text))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """In a shell of its own, whose ``break`` leaves no loop around it."""
        held = self.left, self._stays_left, self._outer, self._beyond
        self._beyond = self._loops
        try:
            with super().alone():
                yield
        finally:
            self.left, self._stays_left, self._outer, self._beyond = held

    @contextmanager
    def called(self, arguments: Sequence[ShellWord]) -> Iterator[None]:
        """In a function, whose ``break`` leaves no loop around its call."""
        held = self._loops, self._beyond
        self._loops = self._beyond = 0
        try:
            with super().called(arguments):
                yield
        finally:
            self._loops, self._beyond = held

    @contextmanager
    def _loop(self) -> Iterator[None]:
        held = self.left, self._stays_left, self._outer
        self._loops += 1
        self._outer = 0
        try:
            yield
        finally:
            self._loops -= 1
            outer = self._outer
            self.left, self._stays_left, self._outer = held
            if outer:
                self.left = self.left or _DOUBTFUL_TURN
                self._stays_left, self._outer = True, max(self._outer, outer - 1)

    def _turn(self, body: Node) -> bool:
        """One turn of a loop; whether it goes on."""
        before = self.left
        try:
            self.body(body)
        except LeaveTurn as leave:
            if leave.levels > 1 and self._loops > 1:
                leave.levels -= 1
                raise
            return leave.goes_on
        if not self._stays_left:
            self.left = before
        return True

    # -- read

    def _each_line(self, condition: Node, body: Node) -> bool:
        """``while read a b`` over lines that are known; whether it was one."""
        text = self.input[0]
        if text is None or condition.type != "command" or "\\" in text:
            return False
        names = self.names_of_read([word.text for word in self.fields_of_command(condition)])
        if not names:
            return False
        with self._loop():
            for line in text.splitlines():
                # The body may set another IFS.
                self.set_words(names, line, self.separators_of(condition))
                if not self._turn(body):
                    break
            else:
                self.variables |= dict.fromkeys(names, "")
            if self.in_doubt:
                self.variables |= dict.fromkeys(names)
        return True

    @staticmethod
    def names_of_read(words: list[str | None]) -> list[str]:
        """The variables that ``read`` sets; none where these words are another command."""
        names = [word for word in words[1:] if word != "-r" and word is not None]
        if words[:1] != ["read"] or None in words:
            return []
        return names if all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in names) else []

    def separators_of(self, command: Node) -> re.Pattern[str] | None:
        """Where a command splits words: ``IFS=: read a b`` sets it for itself."""
        ifs = self.variables.get("IFS")
        for child in command.named_children:
            name, value = child.child_by_field_name("name"), child.child_by_field_name("value")
            if child.type == "variable_assignment" and name is not None and name.text == b"IFS":
                ifs = "" if value is None else self.joined(value)
        return separators(ifs)

    def set_words(self, names: list[str], line: str, apart: re.Pattern[str] | None) -> None:
        """Give the words of a line to variables; the last one takes the rest."""
        if apart is None:
            self.variables |= dict.fromkeys(names)
            return
        # Blanks at the ends go where IFS has them.
        rest = line.strip(IFS) if apart.fullmatch(" ") else line
        for name in names[:-1]:
            match = apart.search(rest)
            end, start = match.span() if match is not None else (len(rest), len(rest))
            self.variables[name], rest = rest[:end], rest[start:]
        self.variables[names[-1]] = rest
