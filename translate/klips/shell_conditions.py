"""Conditions of a shell script, decided where the text alone decides them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Node

    from .shell_words import Words

_OPERATORS: Final = frozenset({"=", "==", "!=", "=~", "<", ">", "!", "&&", "||", "-a", "-o"})

_ASKING: Final = (b"test", b"[", b"grep", b"egrep", b"fgrep", b"expr", b"which", b"cmp", b"pidof")
"""Programs that are run for their answer."""


def is_test(node: Node) -> bool:
    """Whether a command asks something, so that not knowing the answer matters."""
    match node.type:
        case "test_command" | "negated_command":
            return True
        case "command" if node.named_children:
            return node.named_children[0].text in _ASKING
        case "redirected_statement":
            body = node.child_by_field_name("body")
            return body is not None and is_test(body)
        case "pipeline" | "subshell" | "compound_statement" if node.named_children:
            return is_test(node.named_children[-1])
        case "list":
            return any(is_test(child) for child in node.named_children)
    return False


def is_condition_of(clause: Node, child: Node) -> bool:
    """Whether a child of ``elif`` stands before its ``then``."""
    then = next((c for c in clause.children if c.type == "then"), None)
    return then is not None and child.end_byte <= then.start_byte


def decide_test(words: Words, node: Node) -> bool | None:
    """``[ ... ]`` or ``[[ ... ]]``, its words evaluated; ``None`` where nobody can tell."""
    text = _octets(node)
    if b"!" in text and (b" -a " in text or b" -o " in text):
        return None  # the grammar binds them otherwise than test(1)
    if text.startswith(b"[[") and _has_pattern(node):
        return None
    return _expression(words, node.named_children[0]) if node.named_child_count == 1 else None


def _has_pattern(node: Node) -> bool:
    """Whether ``[[ x = a* ]]`` asks for a pattern, not for a text."""
    waiting = [node]
    while waiting:
        child = waiting.pop()
        waiting.extend(child.named_children)
        if child.type != "binary_expression" or len(child.named_children) < 2:
            continue
        sign = child.children[1].text
        right = child.named_children[-1]
        plain = right.type in ("string", "raw_string")
        if sign in (b"=", b"==", b"!=") and not plain and re.search(rb"[*?[$\\]", _octets(right)):
            return True
    return False


def _expression(words: Words, node: Node) -> bool | None:
    if node.type == "parenthesized_expression":
        return _expression(words, node.named_children[0])
    operator = next((c.text.decode() for c in node.children if c.text and c.type in _OPERATORS), "")
    operands = [c for c in node.named_children if c.type != "test_operator"]
    if node.type == "unary_expression":
        if operator == "!" and operands:
            inner = _expression(words, operands[0])
            return None if inner is None else not inner
        return decide([_sign(node), *(words.joined(c) for c in operands)])
    if node.type == "binary_expression" and len(operands) == 2:
        if operator in ("&&", "||", "-a", "-o"):
            left, right = (_expression(words, c) for c in operands)
            if left is None or right is None:
                return None
            return (left and right) if operator in ("&&", "-a") else (left or right)
        if any(c.type == "binary_expression" for c in operands):
            return None  # the grammar binds `-z a && b = c` as (-z a && b) = c
        if operands[0].type == "unary_expression" and _octets(operands[0]).startswith(b"!"):
            # The grammar binds `! a = b` otherwise than test(1).
            words_of = (words.joined(c) for c in (operands[0].named_children[-1], operands[1]))
            left_word, right_word = words_of
            answer = decide([left_word, operator or _sign(node), right_word])
            return None if answer is None else not answer
        left_word, right_word = (words.joined(c) for c in operands)
        return decide([left_word, operator or _sign(node), right_word])
    return decide([words.joined(node)])


def _octets(node: Node) -> bytes:
    return node.text or b""


def _sign(node: Node) -> str:
    """The operator of an expression as it is written."""
    sign = node.child_by_field_name("operator")
    return "" if sign is None or sign.text is None else sign.text.decode()


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
