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
from .shell_arithmetic import run
from .shell_commands import Script, ShellError, ShellWord, SimpleCommand
from .shell_conditions import decide, decide_test, is_condition_of, is_test
from .shell_grammar import parse_shell, unread, without_here_documents
from .shell_loops import LeaveTurn
from .shell_streams import Streams
from .shell_wrappers import reads_script, script_of, unwrapped

if TYPE_CHECKING:
    from tree_sitter import Node


COMMANDS: Final = 200_000
"""More commands than this are no script that a person wrote."""

DEPTH: Final = 60
"""Functions that call each other deeper than this never end."""


_SAYS_NO: Final = re.compile(rb"\b(?:return|false|test)\b|\[|!")
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)\+?=")


class _Exit(Exception):  # noqa: N818 - control flow
    """``exit`` was reached."""


class _Return(Exception):  # noqa: N818 - control flow
    """``return`` was reached."""


def read_shell(text: str, file: str, variables: Mapping[str, str] | None = None) -> Script:
    """Walk a script.  Raises :class:`ShellMissingError` when tree-sitter is not installed."""
    plain, documents = without_here_documents(text)
    root = parse_shell(plain)
    walker = _Walker(file, dict(variables or {}))
    walker.documents = documents
    # A person types at bash.
    walker.of_bash = not text.startswith("#!") or "bash" in text.partition("\n")[0]
    walker.errors(root)
    try:
        walker.body(root)
    except (_Exit, _Return):
        pass
    except RecursionError:
        walker.script.errors.append(ShellError(Span(file, 1), "it is nested too deeply"))
    return walker.script


_DOUBTFUL_TEST: Final = "a condition that only a running shell can decide"


def _octets(node: Node | None) -> bytes:
    return b"" if node is None else node.text or b""


class _Walker(Streams):
    """Walks the tree, and holds functions and doubts."""

    def __init__(self, file: str, variables: dict[str, str | None]) -> None:
        super().__init__(file, variables)
        self.depth = 0
        self.kinds: dict[str, Any] = {
            "program": self.body,
            "compound_statement": self.body,
            "do_group": self.body,
            "subshell": self.subshell,
            "command": self._command,
            "declaration_command": self._declaration,
            "variable_assignment": self._assignment,
            "variable_assignments": self.body,
            "redirected_statement": self.redirected,
            "list": self._list,
            "pipeline": self.pipeline,
            "negated_command": self.body,
            "if_statement": self._if,
            "for_statement": self.for_loop,
            "c_style_for_statement": self.counting_loop,
            "while_statement": self.while_loop,
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
        for child in node.named_children:
            if child.next_sibling is not None and child.next_sibling.type == "&":
                self.subshell(child)
            else:
                self.statement(child)

    def subshell(self, node: Node) -> None:
        """What a subshell sets is gone after it; so are those of a pipe, and of ``&``."""
        with suppress(_Exit, _Return, LeaveTurn), self.alone():
            if node.type in ("subshell", "command_substitution", "process_substitution"):
                self.body(node)
            else:
                self.statement(node)

    def _list(self, node: Node) -> bool | None:
        """``a && b`` or ``a || b``; true or false where it can be decided.

        What follows a question that is not decided may run or not.
        """
        left, right = node.named_children[0], node.named_children[-1]
        both = not any(child.type == "||" for child in node.children)
        verdict = self.condition(left)
        if verdict is None and (is_test(left) or self._answers(left)):
            held, self.doubt = self.doubt, self.doubt or _DOUBTFUL_TEST
            self.condition(right)
            self.doubt = held
            self.forget(right)
            return None
        if (verdict is not False) != both:
            return verdict
        return self.condition(right)

    def _answers(self, node: Node) -> bool:
        """Whether a command is a function of the script that may say no."""
        name = node.child_by_field_name("name") if node.type == "command" else None
        bodies, doubt = self.functions.get(_octets(name).decode("utf-8", "replace"), ((), ""))
        return bool(doubt) or any(_SAYS_NO.search(_octets(body)) for body in bodies)

    def condition(self, node: Node) -> bool | None:
        """Run a condition; true or false where it can be decided."""
        match node.type:
            case "test_command":
                self.inside(node)
                return decide_test(self, node)
            case "compound_statement" if node.children[0].type == "((":
                result = run((node.text or b"").decode("utf-8", "replace")[2:-2], self.variables)
                return None if result is None else result != "0"
            case "negated_command":
                inner = self.condition(node.named_children[0]) if node.named_children else None
                return None if inner is None else not inner
            case "list":
                return self._list(node)
            case "command":
                name = (node.named_children[0].text or b"").decode("utf-8", "replace")
                if name in ("true", ":", "false", "test") and name not in self.functions:
                    self.inside(node)
                    words = [word.text for word in self.fields_of_command(node)[1:]]
                    return decide(words) if name == "test" else name != "false"
        self.statement(node)
        return None

    def _if(self, node: Node) -> None:
        conditions = node.children_by_field_name("condition")
        verdict: bool | None = True
        for condition in conditions:
            if condition.is_named:
                verdict = self.condition(condition)
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
                self.doubtful(child)
        if others:
            first, rest = others[0], others[1:]
            if first.type == "else_clause":
                for child in first.named_children:
                    self.statement(child) if verdict is False else self.doubtful(child)
            else:
                tests = [c for c in first.named_children if is_condition_of(first, c)]
                truth: bool | None = None
                for test in tests:
                    truth = self.condition(test)
                body = [c for c in first.named_children if c not in tests]
                self._branches(truth if verdict is False else None, body, rest)
        self.doubt = held

    def doubtful(self, node: Node) -> None:
        """Walk what may not run: what it sets is not known afterwards."""
        with suppress(_Exit, _Return, LeaveTurn):
            self.statement(node)
        self.forget(node)

    def _case(self, node: Node) -> None:
        subject = node.child_by_field_name("value")
        if subject is not None:
            self.inside(subject)
        text = None if subject is None else self.joined(subject)
        items = [child for child in node.named_children if child.type == "case_item"]
        if text is None and subject is not None:
            text = self._of_init(subject, items)
        if text is None:
            held, self.doubt = self.doubt, self.doubt or _DOUBTFUL_TEST
            for item in items:
                for child in item.named_children:
                    self.doubtful(child)
            self.doubt = held
            return
        held = self.doubt
        for item in items:
            patterns = item.children_by_field_name("value")
            fits = [self._fits(text, pattern) for pattern in patterns]
            if True in fits or None in fits:
                certain = True in fits and self.doubt == held
                if None in fits and not certain:
                    self.doubt = self.doubt or _DOUBTFUL_TEST
                for child in item.named_children:
                    if child not in patterns:
                        self.statement(child) if certain else self.doubtful(child)
            if True in fits:
                break
        self.doubt = held

    def _of_init(self, subject: Node, items: Sequence[Node]) -> str | None:
        """``start`` for ``case "$1"`` with such a branch: a host that runs was started."""
        known = self.positional_known or self.positional
        if known or (subject.text or b"").strip(b'"') not in (b"$1", b"${1}"):
            return None
        patterns = [p for item in items for p in item.children_by_field_name("value")]
        names = [self.joined(pattern) for pattern in patterns]
        word = next((name for name in ("start", "up") if name in names), None)
        if word is not None:
            self.positional, self.positional_known = [word], True
            self.script.assumed = ShellWord(word, self.span(subject))
        return word

    def _fits(self, text: str, pattern: Node) -> bool | None:
        """Whether a pattern of ``case`` fits; ``None`` where it is not known."""
        wanted = self.pattern(pattern)
        return None if wanted is None else fnmatchcase(text, wanted)

    def _function(self, node: Node) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None and name.text:
            text = name.text.decode("utf-8", "replace")
            if self.in_doubt:
                bodies, _ = self.functions.get(text, ((), ""))
                self.functions[text] = (*bodies, body), self.in_doubt
            else:
                self.functions[text] = (body,), ""

    def _assignment(self, node: Node) -> None:
        self.inside(node)
        self.assign(node)

    def _declaration(self, node: Node) -> None:
        self.make_own(node)
        if node.children[0].type == "export":
            self.exported.update(
                _octets(child.child_by_field_name("name") or child).decode("utf-8", "replace")
                for child in node.named_children
            )
        for child in node.named_children:
            if child.type == "variable_assignment":
                self._assignment(child)

    # -- commands

    def inside(self, node: Node) -> None:
        """Run what command substitutions below a node run: it happens before its own command."""
        if node.text is None or not any(sign in node.text for sign in (b"$(", b"`", b"<(", b">(")):
            return
        waiting = [node]
        while waiting:
            child = waiting.pop()
            if child.type in ("command_substitution", "process_substitution"):
                self.subshell(child)
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
        if text is None and self.piped and reads_script(texts):
            piped = ShellWord(self.piped, place)
            self.script.commands.append(SimpleCommand((words[0], piped), place, self.doubt))
            return True
        if text is None:
            return False
        with suppress(_Exit, _Return, LeaveTurn), self.alone():
            # Another shell knows what was exported, and has parameters of its own.
            own = self.variables.keys() - self.exported - {"IFS"}
            self.variables |= dict.fromkeys(own)
            self.functions, self.positional, self.positional_known = {}, [], False
            self._text(text, place)
        return True

    def _command(self, node: Node) -> None:
        self.inside(node)
        words = self._words(node)
        if self.in_doubt:
            self.forget(node)
        self._are_few(node)
        if not words:
            for child in node.named_children:
                if child.type == "variable_assignment":
                    self._assignment(child)
            return
        name = words[0].text
        if name in self.functions or name == "eval":
            self._given_alone(node)
        if self._runs_text(words, self.span(node)):
            return
        if name == "eval":
            self.forget(node)
        if name in ("break", "continue"):
            self.leave(name, (words[1].text if len(words) > 1 else "1") or "1")
            return
        if name in ("read", "getopts", "mapfile", "readarray", "let", "alias"):
            self.read(name, words[1:])
            self.reads(node, [word.text for word in words])
        if name in self.functions:
            self._function_called(name, words[1:])
            return
        if self._moves_parameters(words):
            return
        if name in ("exit", "return") and len(words) < 3 and not self.in_doubt:
            raise _Exit if name == "exit" else _Return
        self.script.commands.append(
            SimpleCommand(words, self.span(node), self.in_doubt, *self.input)
        )

    def _are_few(self, node: Node) -> None:
        """End it where there are more commands than a person wrote."""
        if len(self.script.commands) >= COMMANDS:
            text = f"there are more than {COMMANDS} commands; this and what follows is not read"
            self.script.errors.append(ShellError(self.span(node), text))
            raise _Exit

    def _words(self, node: Node) -> tuple[ShellWord, ...]:
        """The words of a command, from the program that is really run."""
        fields = self.fields_of_command(node)
        while fields and (match := _ASSIGNMENT.match(fields[0].text or "")) is not None:
            # Behind x=$1.$2 the grammar sees words, no more assignments.
            self.variables[match[1]] = None
            del fields[0]
        words = fields[unwrapped([word.text for word in fields]) :]
        meaning = self.aliases.get(words[0].text or "") if words else None
        if meaning is None:
            return tuple(words)
        return (*(ShellWord(text, words[0].span) for text in meaning.split()), *words[1:])

    def _given_alone(self, node: Node) -> None:
        """``x=1 f``: in bash for the call alone, in others from now on."""
        for child in node.named_children:
            if child.type == "variable_assignment":
                self.forget(child)

    def _moves_parameters(self, words: Sequence[ShellWord]) -> bool:
        """Carry out ``set`` and ``shift``; whether it was one of them."""
        if words[0].text == "shift":
            self.shift(words[1].text if len(words) > 1 else "1")
            return True
        return words[0].text == "set" and self.set_parameters(words[1:])

    def _function_called(self, name: str, arguments: Sequence[ShellWord]) -> None:
        """Run each body that a function may have."""
        bodies, doubt = self.functions[name]
        held, self.doubt = self.doubt, self.doubt or doubt
        try:
            for body in bodies:
                with suppress(*((_Exit,) if doubt else ())):
                    self._call(body, arguments)
                if doubt:
                    self.forget(body)
        finally:
            self.doubt = held

    def _call(self, body: Node, arguments: Sequence[ShellWord]) -> None:
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
