"""The words of a shell script: expansions, quotes and splitting, as far as the text alone tells.

What only a running shell knows is ``None``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from ..diagnostics import Span
from .shell_arithmetic import assigned, run, value
from .shell_braces import braced
from .shell_prints import printed

if TYPE_CHECKING:
    from tree_sitter import Node

_Field = tuple[str | None, bool]
"""Text, and whether it was quoted."""

_EXPANSION: Final = re.compile(
    r"\$\{(#?)([A-Za-z_]\w*|[0-9]+|[@*#?])(?:(:?[-=+?]|##?|%%?)(.*))?\}\Z", re.DOTALL
)
_NAME: Final = re.compile(r"[0-9]|[A-Za-z_][A-Za-z0-9_]*")
IFS: Final = " \t\n"
"""Where words are split unless the script sets another IFS."""


_NO_WORDS: Final = ("variable_assignment", "file_redirect", "herestring_redirect", "comment")


class Words:
    """Evaluates words with the variables and positional parameters of the place."""

    def __init__(self, file: str, variables: dict[str, str | None]) -> None:
        self.file = file
        self.variables: dict[str, str | None] = variables
        self.variables.setdefault("IFS", IFS)
        self.positional: list[str | None] = []
        self.positional_known = False
        self.expands_braces = False
        self.place: Span | None = None
        """Where everything stands, while a text is evaluated that is part of a word."""

    def span(self, node: Node) -> Span:
        """The place of a node of the tree."""
        if self.place is not None:
            return self.place
        row, column = node.start_point
        end_row, end_column = node.end_point
        return Span(self.file, row + 1, column + 1, end_column + 1 if end_row == row else 0)

    def fields_of_command(self, node: Node) -> list[tuple[str | None, Span]]:
        """The words of a command after splitting, each with its place."""
        found: list[tuple[str | None, Span]] = []
        words: list[list[Node]] = []
        for child in node.named_children:
            if child.type in _NO_WORDS:
                continue
            # The grammar parts $1@$2 before its last digit: what touches is one word.
            if words and words[-1][-1].end_byte == child.start_byte:
                words[-1].append(child)
            else:
                words.append([child])
        for parts in words:
            span = self.span(parts[0])
            if len(parts) > 1:
                span = span._replace(end_column=self.span(parts[-1]).end_column)
            split = self._braced(parts, self._split(self._touching(parts)))
            found.extend((text, span) for text, _ in split)
        return found

    def _braced(self, parts: Sequence[Node], fields: Iterable[_Field]) -> Iterator[_Field]:
        """The words of an unquoted word with braces."""
        raw = b"".join(part.text or b"" for part in parts)
        if not self.expands_braces or b"{" not in raw or any(c in raw for c in b"'\"\\"):
            yield from fields
            return
        for text, quoted in fields:
            if text is None:
                yield text, quoted
            else:
                yield from ((word, quoted) for word in braced(text))

    def _touching(self, parts: Sequence[Node]) -> list[_Field]:
        """The fields of nodes that stand without a blank between them."""
        fields: list[_Field] = []
        for place, part in enumerate(parts):
            raw = part.text.decode("utf-8", "replace") if part.text else ""
            if place and (parts[place - 1].text or b"").endswith(b"$"):
                match = _NAME.match(raw)
                if match is not None:
                    tail = _unescape(raw[match.end() :])
                    fields += [*self._expand(match[0]), (tail, bool(tail))]
                    continue
            fields += self._fields(part)
        return fields

    def joined(self, node: Node) -> str | None:
        """A word in a place where it is not split."""
        texts = [text for text, _ in self._fields(node)]
        if any(text is None for text in texts):
            return None
        return "".join(text for text in texts if text is not None)

    def _fields(self, node: Node) -> list[_Field]:
        """The parts of one word."""
        raw = node.text.decode("utf-8", "replace") if node.text else ""
        match node.type:
            case "raw_string":
                return [(raw[1:-1], True)]
            case "ansi_c_string":
                return [(_ansi(raw[2:-1]), True)]
            case "string":
                if raw == '"$@"':
                    # Each parameter a word of its own, whatever is in it.
                    return [
                        (text, place % 2 == 0) for place, (text, _) in enumerate(self._expand("@"))
                    ]
                return [(self._string(node), True)]
            case "concatenation" | "command_name":
                return self._touching(node.named_children)
            case "simple_expansion":
                return self._expand(raw[1:])
            case "expansion":
                return self._expansion(raw)
            case "arithmetic_expansion":
                return [(self._arithmetic(raw), False)]
            case "command_substitution":
                return [(self._printed(node), False)]
            case "process_substitution":
                return [(None, False)]
            case "word" | "extglob_pattern" | "regex":
                return [(_unescape(raw), bool(raw))]
            case _:
                text = _unescape(raw)
                return [(text, bool(text))]

    def _arithmetic(self, raw: str) -> str | None:
        """``$((i + 1))``; what it sets is not known afterwards."""
        inner = raw[3:-2] if raw.startswith("$((") else raw[2:-1]
        return run(inner, self.variables) if assigned(inner) else value(inner, self.variables)

    def _printed(self, node: Node) -> str | None:
        """What a substitution runs prints, when that is one command or a pipe of them."""
        if node.named_child_count != 1:
            return None
        inner = node.named_children[0]
        text: str | None = None
        for command in inner.named_children if inner.type == "pipeline" else [inner]:
            text = self.printed(command, text)
            if text is None:
                return None
        return None if text is None else text.rstrip("\n")

    def printed(self, node: Node, given: str | None) -> str | None:
        """What a simple command prints, where its words and what it reads decide that."""
        if node.type != "command" or any(c.type == "file_redirect" for c in node.named_children):
            return None
        return printed([text for text, _ in self.fields_of_command(node)], given)

    def _string(self, node: Node) -> str | None:
        """A string in double quotes."""
        if node.text is None:
            return None
        parts: list[str] = []
        octets, at = node.text, 1
        for child in node.named_children:
            if child.type == "string_content":
                continue
            start, end = child.start_byte - node.start_byte, child.end_byte - node.start_byte
            parts.append(_unescape_quoted(octets[at:start].decode("utf-8", "replace")))
            texts = [text for text, _ in self._fields(child)]
            if any(text is None for text in texts):
                return None
            parts.append("".join(text for text in texts if text is not None))
            at = end
        parts.append(_unescape_quoted(octets[at:-1].decode("utf-8", "replace")))
        return "".join(parts)

    def _expand(self, name: str) -> list[_Field]:
        if name in ("@", "*"):
            if not self.positional_known:
                return [(None, False)]
            fields: list[_Field] = []
            for place, value in enumerate(self.positional):
                apart = (self.variables.get("IFS") or " ")[0]
                fields += [(apart, False), (value, False)] if place else [(value, False)]
            return fields
        if name == "#":
            return [(str(len(self.positional)) if self.positional_known else None, False)]
        if name[:1].isdecimal():
            if len(name) > 1 and not name.isdecimal():
                return [*self._expand(name[0]), (name[1:], False)]  # $2x is $2 and an x
            place = int(name)
            if not self.positional_known or place == 0:
                return [(None, False)]
            return [(self.positional[place - 1] if place <= len(self.positional) else "", False)]
        return [(self.variables.get(name), False)]

    def _expansion(self, raw: str) -> list[_Field]:
        match = _EXPANSION.match(raw)
        if match is None:
            return [(None, False)]
        length, name, operator, operand = match.groups()
        (text, _), *more = self._expand(name) or [("", False)]
        if more:
            return [(text, False), *more] if not operator else [(None, False)]
        unset = name not in self.variables and not name.isdecimal()
        if length:
            return [(None if text is None else str(len(text)), False)]
        if not operator:
            return [(text, False)]
        given = _plain(operand or "")
        if operator in (":-", "-", ":=", "="):
            # A variable that nobody sets may come from outside: then only its default is known.
            value = given if unset or (text == "" and operator.startswith(":")) else text
            if operator.endswith("=") and unset:
                self.variables[name] = value
            return [(value, False)]
        if operator in (":+", "+"):
            if text is None and not unset:
                return [(None, False)]
            return [("" if unset or not text else given, False)]
        if operator in ("%", "%%", "#", "##") and text is not None and given is not None:
            return [(_trimmed(text, operator, given), False)]
        return [(text, False)]

    def _split(self, fields: Sequence[_Field]) -> Iterator[_Field]:
        """Split what was not quoted where IFS says, and join the rest to words."""
        current: str | None = ""
        started = False
        apart = separators(self.variables.get("IFS"))
        for text, quoted in fields:
            if text is None or (apart is None and not quoted):
                current, started = None, True
                continue
            if quoted or apart is None or not apart.search(text):
                if text or quoted:
                    started = True
                current = None if current is None else current + text
                continue
            at = 0
            for match in apart.finditer(text):
                piece = text[at : match.start()]
                at = match.end()
                if started or piece or match[0].strip(IFS):
                    yield None if current is None else current + piece, False
                current, started = "", False
            if at < len(text):
                current, started = text[at:], True
        if started:
            yield current, False


def separators(ifs: str | None) -> re.Pattern[str] | None:
    """What parts words (POSIX shell, 2.6.5); ``None`` where IFS is not known.

    Blanks of IFS part as many as they are, every other sign of it alone.
    """
    if ifs is None:
        return None
    if not ifs:
        return re.compile(r"(?!)")
    blanks = "".join(sign for sign in ifs if sign in IFS)
    others = "".join(sign for sign in ifs if sign not in IFS)
    of_blanks, of_others = (f"[{re.escape(signs)}]" if signs else "" for signs in (blanks, others))
    if not of_others:
        return re.compile(f"{of_blanks}+")
    return re.compile(f"{of_blanks}*{of_others}{of_blanks}*|{of_blanks}+" if blanks else of_others)


def _ansi(text: str) -> str | None:
    """``$'...'`` with the escapes of blanks; others are rare."""
    if re.search(r"\\[^nt'\\]", text):
        return None
    signs = {"n": "\n", "t": "\t"}
    return re.sub(r"\\(.)", lambda match: signs.get(match[1], match[1]), text)


def _plain(text: str) -> str | None:
    """The operand of an expansion, if it expands to itself."""
    if any(sign in text for sign in "$`"):
        return None
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


def _trimmed(text: str, operator: str, pattern: str) -> str:
    """``${x%pattern}`` and its kin: the shortest or longest end or beginning taken away."""
    if operator.startswith("%"):
        cuts = range(len(text), -1, -1) if operator == "%" else range(len(text) + 1)
        return next((text[:cut] for cut in cuts if fnmatchcase(text[cut:], pattern)), text)
    cuts = range(len(text) + 1) if operator == "#" else range(len(text), -1, -1)
    return next((text[cut:] for cut in cuts if fnmatchcase(text[:cut], pattern)), text)


def _unescape(text: str) -> str:
    return re.sub(r"\\(\n|.)", lambda m: "" if m[1] == "\n" else m[1], text, flags=re.DOTALL)


def _unescape_quoted(text: str) -> str:
    return re.sub(r"\\([$`\"\\\n])", lambda m: "" if m[1] == "\n" else m[1], text)
