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
from .shell_commands import ShellWord
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


class _Apart(str):
    """Stands between two parameters: ``$*`` in quotes has it, elsewhere two words part there."""

    __slots__ = ()


class _Unset(str):
    """The value of a variable that has none."""

    __slots__ = ()


UNSET: Final = _Unset()
"""Empty, and for ``${x-default}`` not there at all."""

_NO_WORDS: Final = ("variable_assignment", "file_redirect", "herestring_redirect", "comment")


class Words:
    """Evaluates words with the variables and positional parameters of the place."""

    def __init__(self, file: str, variables: dict[str, str | None]) -> None:
        self.file = file
        self.variables: dict[str, str | None] = variables
        self.variables.setdefault("IFS", IFS)
        self.positional: list[str | None] = []
        self.positional_known = False
        """Whether there are no other parameters than these, the first ones."""
        self.of_bash = False
        """Whether bash reads the script, not one of the shells of small systems."""
        self.place: Span | None = None
        """Where everything stands, while a text is evaluated that is part of a word."""

    def span(self, node: Node) -> Span:
        """The place of a node of the tree."""
        if self.place is not None:
            return self.place
        row, column = node.start_point
        end_row, end_column = node.end_point
        return Span(self.file, row + 1, column + 1, end_column + 1 if end_row == row else 0)

    def fields_of_command(self, node: Node) -> list[ShellWord]:
        """The words of a command after splitting, each with its place."""
        return self.words_of(node.named_children)

    def words_of(self, nodes: Sequence[Node]) -> list[ShellWord]:
        """The words of some nodes after splitting."""
        found: list[ShellWord] = []
        words: list[list[Node]] = []
        end = -1
        for child in nodes:
            if child.type in _NO_WORDS:
                end = child.end_byte if child.type == "variable_assignment" else -1
                continue
            if child.start_byte == end:
                # x=$1@$2 is parted as well: it is the value's.
                end = child.end_byte
                continue
            # The grammar parts $1@$2 before its last digit: what touches is one word.
            if words and _touch(words[-1][-1], child):
                words[-1].append(child)
            else:
                words.append([child])
        for parts in words:
            span = self.span(parts[0])
            if len(parts) > 1:
                span = span._replace(end_column=self.span(parts[-1]).end_column)
            split = self._braced(parts, self._split(self._touching(parts)))
            found.extend(ShellWord(text, span, several) for text, several in split)
        return found

    def _braced(self, parts: Sequence[Node], fields: Iterable[_Field]) -> Iterator[_Field]:
        """The words of an unquoted word with braces."""
        raw = b"".join(part.text or b"" for part in parts)
        if not self.of_bash or b"{" not in raw or any(c in raw for c in b"'\"\\"):
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
        flat = list(_flat(parts))
        for before, part in zip([None, *flat], flat, strict=False):
            raw = part.text.decode("utf-8", "replace") if part.text else ""
            # The sign of an expansion may stand between two nodes.
            if before is not None and (
                before.end_byte + 1 == part.start_byte or (before.text or b"").endswith(b"$")
            ):
                match = _NAME.match(raw)
                if match is not None:
                    tail = _unescape(raw[match.end() :])
                    fields += [*self._expand(match[0]), (tail, bool(tail))]
                    continue
            fields += self._fields(part)
        return fields

    def joined(self, node: Node, *more: Node) -> str | None:
        """A word in a place where it is not split, with what the grammar parted from it."""
        texts = [text for text, _ in self._touching((node, *more))]
        if any(text is None for text in texts):
            return None
        return "".join(text for text in texts if text is not None)

    def pattern(self, node: Node) -> str | None:
        """A pattern of ``case`` for :func:`fnmatchcase`; what is quoted stands for itself."""
        parts: list[str] = []
        for part in _flat([node]):
            text = self.joined(part)
            if text is None:
                return None
            quoted = part.type in ("string", "raw_string", "ansi_c_string")
            if not quoted and part.type != "simple_expansion" and b"\\" in (part.text or b""):
                return None
            parts.append(_literal(text) if quoted else text.replace("[^", "[!"))
        return "".join(parts)

    def _fields(self, node: Node) -> list[_Field]:
        """The parts of one word."""
        raw = node.text.decode("utf-8", "replace") if node.text else ""
        match node.type:
            case "raw_string":
                return [(raw[1:-1], True)]
            case "ansi_c_string":
                return [(_ansi(raw[2:-1]), True)]
            case "string":
                if "$@" in raw or "${@" in raw:
                    if raw not in ('"$@"', '"${@}"'):
                        return [(None, False)]
                    # Each parameter a word of its own, whatever is in it.
                    return [
                        (text, not isinstance(text, _Apart) and self.positional_known)
                        for place, (text, _) in enumerate(self._expand("@"))
                    ]
                return [(self._string(node), True)]
            case "concatenation" | "command_name":
                return self._touching(node.named_children)
            case "simple_expansion":
                name = raw[1:]
                if name.isdecimal() and len(name) > 1:
                    return [*self._expand(name[0]), (name[1:], False)]  # $10 is $1 and a 0
                return self._expand(name)
            case "expansion":
                return self._expansion(raw, in_quotes=False)
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
        """What a simple command prints, where its words and what it reads decide that.

        It was run before: words that set a variable are another time not the same.
        """
        if node.type != "command" or any(c.type == "file_redirect" for c in node.named_children):
            return None
        before = dict(self.variables)
        words = [word.text for word in self.fields_of_command(node)]
        if self.variables != before:
            self.variables = before
            return None
        return printed(words, given)

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
            if child.type == "expansion":
                fields = self._expansion((child.text or b"").decode(), in_quotes=True)
            else:
                fields = self._fields(child)
            if any(text is None for text, _ in fields):
                return None
            parts.append("".join(text for text, _ in fields if text is not None))
            at = end
        parts.append(_unescape_quoted(octets[at:-1].decode("utf-8", "replace")))
        return "".join(parts)

    def _expand(self, name: str) -> list[_Field]:
        if name in ("@", "*"):
            if not self.positional_known:
                return [(None, False)]
            fields: list[_Field] = []
            ifs = self.variables.get("IFS")
            apart = " " if isinstance(ifs, _Unset) or name == "@" else ifs and ifs[0]
            for place, value in enumerate(self.positional):
                between = None if apart is None else _Apart(apart)
                fields += [(between, False), (value, False)] if place else [(value, False)]
            return fields
        if name == "#":
            return [(str(len(self.positional)) if self.positional_known else None, False)]
        if name[:1].isdecimal():
            if len(name) > 1 and not name.isdecimal():
                return [*self._expand(name[0]), (name[1:], False)]  # $2x is $2 and an x
            place = int(name)
            if 0 < place <= len(self.positional):
                return [(self.positional[place - 1], False)]
            return [(UNSET if self.positional_known and place else None, False)]
        return [(self.variables.get(name), False)]

    def _expansion(self, raw: str, *, in_quotes: bool) -> list[_Field]:
        match = _EXPANSION.match(raw)
        if match is None:
            return [(None, False)]
        length, name, operator, operand = match.groups()
        (text, _), *more = self._expand(name) or [("", False)]
        if more:
            return [(text, False), *more] if not operator else [(None, False)]
        if length:
            return [(None if text is None or name in ("@", "*") else str(len(text)), False)]
        if not operator:
            return [(text, False)]
        if operator[0] in "%#":
            pattern = _pattern(operand or "")
            known = text is not None and pattern is not None and name not in ("@", "*")
            return [(_trimmed(text or "", operator, pattern or "") if known else None, False)]
        # A variable that nobody sets may come from outside: then only its default is known.
        foreign = name not in self.variables and (name[0].isalpha() or name[0] == "_")
        unset = foreign or isinstance(text, _Unset) or (name in ("@", "*") and text == "")
        absent = unset or (text == "" and operator[0] == ":")
        if text is None and not foreign:
            return [(None, False)]
        given, quoted = _operand(operand or "", in_quotes=in_quotes)
        match operator[-1]:
            case "-":
                return [(given, quoted) if absent else (text, False)]
            case "=":
                if absent:
                    self.variables[name] = given
                return [(given if absent else text, False)]
            case "+":
                return [("", False) if absent else (given, quoted)]
        return [(None if absent else text, False)]

    def _split(self, fields: Sequence[_Field]) -> Iterator[tuple[str | None, bool]]:
        """Split what was not quoted where IFS says, and join the rest to words.

        With each word, whether it is unknown and may be none or several.
        """
        current: str | None = ""
        started = several = False
        apart = separators(self.variables.get("IFS"))
        for text, quoted in fields:
            if isinstance(text, _Apart):
                if started:
                    yield current, several
                current, started, several = "", False, False
                continue
            if text is None or (apart is None and not quoted):
                current, started = None, True
                several = several or not quoted
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
                    yield None if current is None else current + piece, several
                current, started, several = "", False, False
            if at < len(text):
                current, started = text[at:], True
        if started:
            yield current, several


def _touch(before: Node, node: Node) -> bool:
    """Whether nothing stands between two nodes but, perhaps, the end of a line taken away."""
    gap = node.start_byte - before.end_byte
    return not gap or (gap == 2 and node.start_point == (before.end_point[0] + 1, 0))


def _flat(parts: Sequence[Node]) -> Iterator[Node]:
    """The nodes of a word, without those that only hold others."""
    for part in parts:
        if part.type in ("concatenation", "command_name"):
            yield from _flat(part.named_children)
        else:
            yield part


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


def _operand(text: str, *, in_quotes: bool) -> _Field:
    """What ``${x:-text}`` stands for, if it expands to itself, and whether it is quoted."""
    inner = text[1:-1]
    if any(sign in text for sign in "$`\\"):
        return None, False
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in inner:
        # In double quotes an apostrophe is a sign like others.
        return (text if in_quotes and text[0] == "'" else inner), True
    if '"' in text or (not in_quotes and ("'" in text or text.startswith("~"))):
        return None, False
    return text, False


def _literal(text: str) -> str:
    """A pattern of :func:`fnmatchcase` that only this text fits."""
    return re.sub(r"([*?\[])", r"[\1]", text)


def _pattern(text: str) -> str | None:
    """The pattern of ``${x%pattern}`` for :func:`fnmatchcase`, if it expands to itself."""
    if any(sign in text for sign in "$`\\"):
        return None
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1]:
        return _literal(text[1:-1])
    return None if any(sign in text for sign in "\"'") else text.replace("[^", "[!")


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
