"""What commands of a shell script read: here-documents, here-strings and what a pipe hands on."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from .shell_grammar import HereDocument
from .shell_loops import Loops

if TYPE_CHECKING:
    from tree_sitter import Node

_VARIABLE: Final = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")


class Streams(Loops):
    """Keeps what a command reads, as far as the text alone tells."""

    def __init__(self, file: str, variables: dict[str, str | None]) -> None:
        super().__init__(file, variables)
        self.documents: Mapping[str, HereDocument] = {}
        self.piped = ""
        """The text of a pipe, while what it hands on is not known."""

    @abstractmethod
    def statement(self, node: Node) -> None:
        """Walk one statement."""

    @abstractmethod
    def subshell(self, node: Node) -> None:
        """Walk what a shell of its own runs."""

    def redirected(self, node: Node) -> None:
        """Walk a statement with what it reads."""
        body = node.child_by_field_name("body")
        held = self.input
        printed, line = None, 0
        for child in node.named_children:
            if child.type == "heredoc_redirect":
                self.input = self._here_document(child)
            elif child.type == "file_redirect" and (child.text or b"").startswith(b"<"):
                self.input = self._taken_out(child)
        if body is not None:
            line = self.input[1]
            self.statement(body)
            printed = self.printed(body, self.input[0])
        for child in node.named_children:
            if child.type == "heredoc_redirect":
                for inner in child.named_children:
                    # The grammar puts what `cat <<EOF |` writes to into the redirection.
                    self.input = (printed, line) if inner.type == "pipeline" else held
                    self.statement(inner)
        self.input = held

    def _here_document(self, node: Node) -> tuple[str | None, int]:
        """Its text, where that is the same whatever the shell knows, and its first line."""
        parts = {child.type: child for child in node.named_children}
        start, body = parts.get("heredoc_start"), parts.get("heredoc_body")
        if start is None or body is None or start.text is None or body.text is None:
            return None, 0
        text = body.text.decode("utf-8", "replace")
        if not any(sign in start.text for sign in (b"'", b'"', b"\\")):
            expanded = self._expanded(text)
            if expanded is None:
                return None, 0
            text = expanded
        if any(child.type == "<<-" for child in node.children):
            text = re.sub(r"^\t+", "", text, flags=re.MULTILINE)
        return text, body.start_point[0] + 1

    def _taken_out(self, redirect: Node) -> tuple[str | None, int]:
        """What stands in the file that a redirection reads: a here-document, or nobody knows."""
        words = (redirect.text or b"").decode("utf-8", "replace").split()
        document = self.documents.get(words[-1]) if words else None
        if document is None:
            return None, 0
        text = self._expanded(document.text) if document.expands else document.text
        return text, document.line

    def _expanded(self, text: str) -> str | None:
        """A here-document with its variables, where these are all that it asks for."""
        if re.search(r"[$`\\]", _VARIABLE.sub("", text)):
            return None
        if any(
            self.variables.get(name or braced) is None for name, braced in _VARIABLE.findall(text)
        ):
            return None
        return _VARIABLE.sub(lambda match: self.variables[match[1] or match[2]] or "", text)

    def pipeline(self, node: Node) -> None:
        """What its later parts read is what the earlier ones print."""
        held, self.input = self.input, (None, 0) if self.input[0] is None else self.input
        for child in node.named_children:
            self.subshell(child)
            self.input = self._handed_on(child)
            if self.input[0] is None and child is not node.named_children[-1]:
                self.piped = self._written_out(node)
        self.input, self.piped = held, ""

    def _written_out(self, node: Node) -> str:
        """The text of a pipe, with the here-documents that were taken out of it."""
        text = (node.text or b"").decode("utf-8", "replace")
        return "\n".join([text, *(d.text for name, d in self.documents.items() if name in text)])

    def _handed_on(self, node: Node) -> tuple[str | None, int]:
        """What a part of a pipe prints, and the line where that stands."""
        text, line = self.input[0], node.start_point[0] + 1
        redirects = node.children_by_field_name("redirect")
        body = node.child_by_field_name("body")
        if node.type == "redirected_statement" and len(redirects) == 1 and body is not None:
            text, line = self._taken_out(redirects[0])
            node = body if text is not None else node
        return self.printed(node, text), line

    def reads(self, node: Node, words: list[str | None]) -> None:
        """``read`` from a text that is known: it takes the first line of it."""
        here = next((c for c in node.named_children if c.type == "herestring_redirect"), None)
        text = self.joined(here.named_children[0]) if here is not None else self.input[0]
        names, apart = self.names_of_read(words), self.separators_of(node)
        if text is None or not names or apart is None or "\\" in text or self.in_doubt:
            return
        first, end, rest = text.partition("\n")
        self.set_words(names, first, apart)
        if here is None:
            self.input = (rest if end else None, self.input[1] + 1)
