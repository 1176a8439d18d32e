"""The commands of a shell script, in the order in which they run, with every word evaluated.

Parsed by the grammar of tree-sitter-bash, not by patterns.  Nothing is ever run.  What depends on
more than the text (a command substitution, an unknown variable, a file that is sourced, a
condition that asks the system) makes a word or a command *unknown*, and whoever reads the commands
has to refuse those that matter.  ``&&`` goes on as if commands succeed, ``||`` as if they do not
fail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from ..diagnostics import Span
from .shell_commands import Script, ShellError, ShellWord, SimpleCommand
from .shell_conditions import decide, decide_test, is_condition_of, is_test
from .shell_grammar import parse_shell, unread
from .shell_scopes import Scopes
from .shell_wrappers import reads_script, script_of, unwrapped

if TYPE_CHECKING:
    from tree_sitter import Node


COMMANDS: Final = 200_000
"""More commands than this are no script that a person wrote."""

DEPTH: Final = 60
"""Functions that call each other deeper than this never end."""


class _Exit(Exception):  # noqa: N818 - control flow
    """``exit`` was reached."""


class _Return(Exception):  # noqa: N818 - control flow
    """``return`` was reached."""


class _Skip(Exception):  # noqa: N818 - control flow
    """``break`` or ``continue`` was reached, for so many loops."""

    def __init__(self, name: str, loops: int) -> None:
        super().__init__(name)
        self.name = name
        self.loops = loops


def read_shell(text: str, file: str, variables: Mapping[str, str] | None = None) -> Script:
    """Walk a script.  Raises :class:`ShellMissingError` when tree-sitter is not installed."""
    root = parse_shell(text)
    walker = _Walker(file, dict(variables or {}))
    # The shells of small systems leave braces as they are; a person types at bash.
    walker.expands_braces = not text.startswith("#!") or "bash" in text.partition("\n")[0]
    walker.errors(root)
    try:
        walker.body(root)
    except (_Exit, _Return, _Skip):
        pass
    except RecursionError:
        walker.script.errors.append(ShellError(Span(file, 1), "it is nested too deeply"))
    return walker.script


_DOUBTFUL_LOOP: Final = "a loop whose end only a running shell knows"
_DOUBTFUL_TEST: Final = "a condition that only a running shell can decide"


class _Walker(Scopes):
    """Walks the tree, and holds functions and doubts."""

    def __init__(self, file: str, variables: dict[str, str | None]) -> None:
        super().__init__(file, variables)
        self.functions: dict[str, Node] = {}
        self.skipping = ("", 0)
        """``break`` or ``continue``, where one was reached in doubt, and for how many loops."""
        self.input: tuple[str | None, int] = (None, 0)
        self.depth = 0
        self.script = Script()
        self.kinds: dict[str, Any] = {
            "program": self.body,
            "compound_statement": self.body,
            "do_group": self.body,
            "subshell": self._subshell,
            "command": self._command,
            "declaration_command": self._declaration,
            "variable_assignment": self._assignment,
            "variable_assignments": self.body,
            "redirected_statement": self._redirected,
            "list": self._list,
            "pipeline": self._pipeline,
            "negated_command": self.body,
            "if_statement": self._if,
            "for_statement": self._for,
            "c_style_for_statement": self._loop,
            "while_statement": self._loop,
            "case_statement": self._case,
            "function_definition": self._function,
            "unset_command": self.unset,
            "binary_expression": self.count,
            "postfix_expression": self.count,
            "unary_expression": self.count,
        }

    def errors(self, root: Node) -> None:
        """Every place that the grammar could not read."""
        self.script.errors += [
            ShellError(self.span(node), "this is no shell syntax") for node in unread(root)
        ]

    # -- statements

    def statement(self, node: Node) -> None:
        """Walk one statement; a kind that runs no command is passed over."""
        handler = self.kinds.get(node.type)
        if handler is not None:
            handler(node)

    def body(self, node: Node) -> None:
        """Walk the statements in a node, one after the other."""
        held = self.doubt
        for child in node.named_children:
            if self.skipping[1]:
                self.doubt = self.doubt or _DOUBTFUL_TEST
            self.statement(child)
        self.doubt = held

    def _subshell(self, node: Node) -> None:
        """What a subshell sets is gone after it."""
        held = dict(self.variables)
        with suppress(_Exit, _Skip):
            self.body(node)
        self.variables = held

    def _redirected(self, node: Node) -> None:
        body = node.child_by_field_name("body")
        held = self.input
        for child in node.named_children:
            if child.type == "heredoc_redirect":
                self.input = self._here_document(child)
            elif child.type == "file_redirect" and (child.text or b"").startswith(b"<"):
                self.input = (None, 0)
        if body is not None:
            self.statement(body)
        self.input = held
        for child in node.named_children:
            if child.type == "heredoc_redirect":
                for inner in child.named_children:
                    self.statement(inner)

    def _here_document(self, node: Node) -> tuple[str | None, int]:
        """Its text, where that is the same whatever the shell knows, and its first line."""
        parts = {child.type: child for child in node.named_children}
        start, body = parts.get("heredoc_start"), parts.get("heredoc_body")
        if start is None or body is None or start.text is None or body.text is None:
            return None, 0
        text = body.text.decode("utf-8", "replace")
        if not any(sign in start.text for sign in (b"'", b'"', b"\\")) and re.search(
            r"[$`\\]", text
        ):
            return None, 0
        if any(child.type == "<<-" for child in node.children):
            text = re.sub(r"^\t+", "", text, flags=re.MULTILINE)
        return text, body.start_point[0] + 1

    def _list(self, node: Node) -> bool | None:
        """``a && b`` or ``a || b``; true or false where it can be decided.

        What follows a question that is not decided may run or not.
        """
        left, right = node.named_children[0], node.named_children[-1]
        both = not any(child.type == "||" for child in node.children)
        verdict = self._condition(left)
        if verdict is None and is_test(left):
            held, self.doubt = self.doubt, self.doubt or _DOUBTFUL_TEST
            self._condition(right)
            self.doubt = held
            self.forget(right)
            return None
        if (verdict is not False) != both:
            return verdict
        return self._condition(right)

    def _pipeline(self, node: Node) -> None:
        """What its later parts read is what the earlier ones print."""
        held = self.input
        for child in node.named_children:
            self.statement(child)
            self.input = (None, 0)
        self.input = held

    def _condition(self, node: Node) -> bool | None:
        """Run a condition; true or false where it can be decided."""
        match node.type:
            case "test_command":
                self._inside(node)
                return decide_test(self, node)
            case "negated_command":
                inner = self._condition(node.named_children[0]) if node.named_children else None
                return None if inner is None else not inner
            case "list":
                return self._list(node)
            case "command":
                name, *words = [text for text, _ in self.fields_of_command(node)] or [""]
                if name in ("true", ":", "false", "test"):
                    self._inside(node)
                    return decide(words) if name == "test" else name != "false"
        self.statement(node)
        return None

    def _if(self, node: Node) -> None:
        conditions = node.children_by_field_name("condition")
        verdict: bool | None = True
        for condition in conditions:
            if condition.is_named:
                verdict = self._condition(condition)
        inner = [
            child
            for child in node.named_children
            if child not in conditions and child.type not in ("elif_clause", "else_clause")
        ]
        others = [c for c in node.named_children if c.type in ("elif_clause", "else_clause")]
        self._branches(verdict, inner, others)

    def _branches(
        self, verdict: bool | None, inner: Sequence[Node], others: Sequence[Node]
    ) -> None:
        if verdict is True:
            for child in inner:
                self.statement(child)
            return
        held = self.doubt
        if verdict is None:
            self.doubt = self.doubt or _DOUBTFUL_TEST
            for child in inner:
                self._doubtful(child)
        if others:
            first, rest = others[0], others[1:]
            if first.type == "else_clause":
                for child in first.named_children:
                    self.statement(child) if verdict is False else self._doubtful(child)
            else:
                tests = [c for c in first.named_children if is_condition_of(first, c)]
                truth: bool | None = None
                for test in tests:
                    truth = self._condition(test)
                body = [c for c in first.named_children if c not in tests]
                self._branches(truth if verdict is False else None, body, rest)
        self.doubt = held

    def _doubtful(self, node: Node) -> None:
        """Walk what may not run: what it sets is not known afterwards."""
        with suppress(_Exit, _Return, _Skip):
            self.statement(node)
        self.forget(node)

    def _for(self, node: Node) -> None:
        variable = node.child_by_field_name("variable")
        body = node.child_by_field_name("body")
        if variable is None or body is None or variable.text is None:
            return
        name = variable.text.decode("utf-8", "replace")
        values: list[str | None] = []
        for child in node.children_by_field_name("value"):
            self._inside(child)
            fields = self._split(self._fields(child))
            values.extend(text for text, _ in self._braced([child], fields))
        if not node.children_by_field_name("value"):
            values = list(self.positional) if self.positional_known else [None]
        if any(value is None for value in values):
            self.variables[name] = None
            self._loop(node)
            return
        self._rounds(body, [{name: value} for value in values])

    def _rounds(self, body: Node, rounds: Sequence[Mapping[str, str | None]]) -> None:
        """The body of a loop, once for each set of variables."""
        for variables in rounds:
            self.variables.update(variables)
            try:
                self.body(body)
            except _Skip as skip:
                if skip.loops > 1:
                    raise _Skip(skip.name, skip.loops - 1) from None
                if skip.name == "break":
                    break
            if self.skipping == ("continue", 1):
                self.skipping = ("", 0)
        self._leave_loop()

    def _leave_loop(self) -> None:
        name, loops = self.skipping
        self.skipping = (name, max(0, loops - 1))

    def _loop(self, node: Node) -> None:
        body = node.child_by_field_name("body")
        if body is None:
            return
        condition = node.child_by_field_name("condition")
        if condition is not None and node.type == "while_statement":
            if self._each_line(condition, body):
                return
            # It is asked at least once.
            self._condition(condition)
        self.forget(node)
        held, self.doubt = self.doubt, self.doubt or _DOUBTFUL_LOOP
        self._doubtful(body)
        self.doubt = held
        self._leave_loop()

    def _each_line(self, condition: Node, body: Node) -> bool:
        """``while read a b`` over a here-document whose text is known; whether it was one."""
        text = self.input[0]
        if text is None or condition.type != "command":
            return False
        words = [word for word, _ in self.fields_of_command(condition)]
        names = [word for word in words[1:] if word != "-r" and word is not None]
        plain = all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in names)
        if words[:1] != ["read"] or None in words or not names or not plain or "\\" in text:
            return False
        rounds = []
        for line in text.splitlines():
            values = line.strip().split(None, len(names) - 1)
            values += [""] * (len(names) - len(values))
            rounds.append(dict(zip(names, values, strict=True)))
        self._rounds(body, rounds)
        for name in names:
            self.variables[name] = ""
        return True

    def _case(self, node: Node) -> None:
        subject = node.child_by_field_name("value")
        if subject is not None:
            self._inside(subject)
        text = None if subject is None else self.joined(subject)
        items = [child for child in node.named_children if child.type == "case_item"]
        if text is None and subject is not None:
            text = self._of_init(subject, items)
        if text is None:
            held, self.doubt = self.doubt, self.doubt or _DOUBTFUL_TEST
            for item in items:
                for child in item.named_children:
                    self._doubtful(child)
            self.doubt = held
            return
        for item in items:
            patterns = item.children_by_field_name("value")
            if any(self._fits(text, pattern) for pattern in patterns):
                for child in item.named_children:
                    if child not in patterns:
                        self.statement(child)
                return

    def _of_init(self, subject: Node, items: Sequence[Node]) -> str | None:
        """``start`` for ``case "$1"`` with such a branch: a host that runs was started."""
        if self.positional_known or (subject.text or b"").strip(b'"') not in (b"$1", b"${1}"):
            return None
        patterns = [p for item in items for p in item.children_by_field_name("value")]
        names = [self.joined(pattern) for pattern in patterns]
        word = next((name for name in ("start", "up") if name in names), None)
        if word is not None:
            self.positional, self.positional_known = [word], True
            self.script.assumed = ShellWord(word, self.span(subject))
        return word

    def _fits(self, text: str, pattern: Node) -> bool:
        wanted = self.joined(pattern)
        return wanted is not None and fnmatchcase(text, wanted)

    def _function(self, node: Node) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None and name.text:
            self.functions[name.text.decode("utf-8", "replace")] = body

    def _assignment(self, node: Node) -> None:
        self._inside(node)
        self.assign(node)

    def _declaration(self, node: Node) -> None:
        self.make_own(node)
        for child in node.named_children:
            if child.type == "variable_assignment":
                self._assignment(child)

    # -- commands

    def _inside(self, node: Node) -> None:
        """Run what command substitutions below a node run: it happens before its own command."""
        if node.text is None or not any(sign in node.text for sign in (b"$(", b"`", b"<(", b">(")):
            return
        waiting = [node]
        while waiting:
            child = waiting.pop()
            if child.type in ("command_substitution", "process_substitution"):
                self._subshell(child)
            else:
                waiting.extend(reversed(child.named_children))

    def _text(self, text: str, place: Span) -> None:
        """Run a text that is part of a word; all of it stands where the word does."""
        if self.depth >= DEPTH:
            raise _Exit
        held, self.place = self.place, place
        self.depth += 1
        try:
            root = parse_shell(text + "\n")
            self.errors(root)
            self.body(root)
        finally:
            self.depth -= 1
            self.place = held

    def _runs_text(self, words: Sequence[ShellWord], place: Span) -> bool:
        """Whether a command runs a known text: ``eval``, ``sh -c``, a shell that reads one."""
        texts = [word.text for word in words]
        if texts[0] == "eval" and None not in texts:
            self._text(" ".join(text for text in texts[1:] if text is not None), place)
            return True
        _, text = script_of(texts)
        if text is None and reads_script(texts):
            text = self.input[0]
        if text is None:
            return False
        held = dict(self.variables)
        with suppress(_Exit, _Return, _Skip):
            self._text(text, place)
        self.variables = held
        return True

    def _command(self, node: Node) -> None:
        self._inside(node)
        fields = self.fields_of_command(node)
        if not fields:
            for child in node.named_children:
                if child.type == "variable_assignment":
                    self._assignment(child)
            return
        if len(self.script.commands) >= COMMANDS:
            raise _Exit
        words = tuple(ShellWord(text, span) for text, span in fields)
        words = words[unwrapped([word.text for word in words]) :]
        name = words[0].text
        if name in self.aliases:
            expanded = [ShellWord(text, words[0].span) for text in self.aliases[name].split()]
            words = (*expanded, *words[1:])
            name = words[0].text
        if self._runs_text(words, self.span(node)):
            return
        if name in ("read", "getopts", "mapfile", "readarray", "let", "alias"):
            self.read(name, words[1:])
        if name in self.functions:
            self._call(self.functions[name], [word.text for word in words[1:]])
            return
        if name == "set" and len(words) > 1 and words[1].text == "--":
            self.set_parameters(words[2:])
            return
        if name == "shift":
            self.shift(words[1].text if len(words) > 1 else "1")
            return
        if name == "exit" and len(words) < 3 and not self.doubt:
            raise _Exit
        if name == "return" and not self.doubt:
            raise _Return
        if name in ("break", "continue"):
            self._skip(name, words[1].text if len(words) > 1 else "1")
            return
        self.script.commands.append(SimpleCommand(words, self.span(node), self.doubt, *self.input))

    def _skip(self, name: str, given: str | None) -> None:
        """Leave a round of a loop; where that is not certain, what follows in it is in doubt."""
        loops = int(given) if given is not None and re.fullmatch(r"[1-9]", given) else 0
        if not self.doubt and loops:
            raise _Skip(name, loops)
        before, widest = self.skipping
        name = name if before != "break" else before
        self.skipping = (name, max(widest, loops or DEPTH))

    def _call(self, body: Node, arguments: list[str | None]) -> None:
        if self.depth >= DEPTH:
            raise _Exit
        self.depth += 1
        try:
            with self.called(arguments):
                self.statement(body)
        except _Return:
            pass
        finally:
            self.depth -= 1
