"""A shell script as the tree of tree-sitter-bash, whose grammar knows quotes and here-documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

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


def unread(root: Node) -> Iterator[Node]:
    """Every place that the grammar could not read, in the order of the text."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.is_error or node.is_missing:
            yield node
        elif node.has_error:
            waiting.extend(reversed(node.children))
