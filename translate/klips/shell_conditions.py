"""Conditions of a shell script, decided where the text alone decides them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Node

OPERATORS: Final = frozenset({"=", "==", "!=", "=~", "<", ">", "!", "&&", "||", "-a", "-o"})


def is_test(node: Node) -> bool:
    """Whether a command asks something, so that not knowing the answer matters."""
    if node.type in ("test_command", "negated_command"):
        return True
    if node.type == "command" and node.named_children:
        name = node.named_children[0].text
        return name in (b"test", b"[", b"grep", b"egrep", b"expr", b"which", b"cmp", b"pidof")
    return node.type == "list" and is_test(node.named_children[0])


def is_condition_of(clause: Node, child: Node) -> bool:
    """Whether a child of ``elif`` stands before its ``then``."""
    then = next((c for c in clause.children if c.type == "then"), None)
    return then is not None and child.end_byte <= then.start_byte


def decide(words: Sequence[str | None]) -> bool | None:
    """``test`` on known words (test(1)); ``None`` for what asks the system or is not known."""
    if any(word is None for word in words):
        return None
    known = [word for word in words if word is not None]
    match known:
        case ["!", *rest]:
            inner = decide(rest)
            return None if inner is None else not inner
        case [word]:
            return bool(word)
        case ["-n", word]:
            return bool(word)
        case ["-z", word]:
            return not word
        case [left, "=" | "==", right]:
            return left == right
        case [left, "!=", right]:
            return left != right
        case [left, "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge" as sign, right]:
            try:
                a, b = int(left), int(right)
            except ValueError:
                return None
            return {
                "-eq": a == b,
                "-ne": a != b,
                "-lt": a < b,
                "-le": a <= b,
                "-gt": a > b,
                "-ge": a >= b,
            }[sign]
    return None
