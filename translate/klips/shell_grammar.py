"""A shell script as the tree of tree-sitter-bash, whose grammar knows quotes and here-documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Node


class ShellMissingError(ImportError):
    """The parser is not installed."""


_BEYOND_LATIN: Final = re.compile("[^\x00-\xff]")


def _stand_in(match: re.Match[str]) -> str:
    """As many octets, which mean nothing in a command.

    The scanner of the grammar asks isalpha(3) and its kin, which are undefined above 255: on such
    characters it crashes now and then.
    """
    octets = len(match[0].encode("utf-8", "surrogatepass"))
    return {2: "\xbf", 3: "\xbf_", 4: "\xbf\xbf"}[octets]


def parse_shell(text: str) -> Node:
    """The tree of a script.  Raises :class:`ShellMissingError` when tree-sitter is not installed.

    Places in it are those of the text as UTF-8.
    """
    try:
        import tree_sitter
        import tree_sitter_bash
    except ImportError as error:
        raise ShellMissingError(
            "reading shell scripts needs the packages tree-sitter and tree-sitter-bash"
        ) from error
    language = tree_sitter.Language(tree_sitter_bash.language())
    octets = _BEYOND_LATIN.sub(_stand_in, text).encode("utf-8", "surrogatepass")
    return tree_sitter.Parser(language).parse(octets).root_node


class HereDocument(NamedTuple):
    """A here-document that was taken out of a script; ``line`` is its first one."""

    text: str
    expands: bool
    line: int


_HERE: Final = re.compile(r"<<(-?)[ \t]*(\\?)(['\"]?)([A-Za-z_]\w*)\3(?=[^'\"]*[|;&])")


def without_here_documents(text: str) -> tuple[str, dict[str, HereDocument]]:
    """A script whose ``cat <<EOF | while read`` reads a file instead; and what is in that.

    The grammar takes what follows a pipe for commands, and the rest of the script for the
    document.  Lines keep their numbers.
    """
    documents: dict[str, HereDocument] = {}
    if "<<" not in text:
        return text, documents
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        match = _HERE.search(lines[at])
        at += 1
        if match is None or lines[at - 1].lstrip().startswith("#"):
            continue
        tabs = "\t" if match[1] else ""
        end = next((n for n in range(at, len(lines)) if lines[n].lstrip(tabs) == match[4]), None)
        if end is None:
            continue
        name = f"/here-document/{at}"
        body = "".join(f"{line.lstrip(tabs)}\n" for line in lines[at:end])
        documents[name] = HereDocument(body, not (match[2] or match[3]), at + 1)
        lines[at - 1] = f"{lines[at - 1][: match.start()]}< {name}{lines[at - 1][match.end() :]}"
        # Behind a pipe the grammar takes no empty lines.
        empty = "\\" if lines[at - 1].endswith("|") else ""
        lines[at - 1] += empty
        lines[at : end + 1] = [empty] * (end + 1 - at)
        at = end + 1
    return "\n".join(lines), documents


def unread(root: Node) -> Iterator[Node]:
    """Every place that the grammar could not read, in the order of the text."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        # A document without an end takes the rest of the script with it.
        endless = node.type == "heredoc_redirect" and not any(
            child.type == "heredoc_end" and child.text for child in node.children
        )
        if node.is_error or node.is_missing or endless:
            yield node
        elif node.has_error or b"<<" in (node.text or b""):
            waiting.extend(reversed(node.children))
