"""Arithmetic of the shell, ``$((i + 1))``, on whole numbers that are known."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Final

_NAME: Final = re.compile(r"\$?\{?\b([A-Za-z_]\w*)\b\}?")
_PLAIN: Final = re.compile(r"[0-9 ()+*/%-]{1,200}\Z")
_LEADING_ZERO: Final = re.compile(r"(?<![0-9])0[0-9]")
_ASSIGNED: Final = re.compile(
    r"(?:\+\+|--)\s*([A-Za-z_]\w*)|([A-Za-z_]\w*)\s*(?:\+\+|--|(?:[-+*/%&|^]|<<|>>)?=(?!=))"
)
_LIMIT: Final = 1 << 63


def assigned(text: str) -> list[str]:
    """The variables that an expression sets."""
    return [match[1] or match[2] for match in _ASSIGNED.finditer(text)]


def value(text: str, variables: Mapping[str, str | None]) -> str | None:
    """The value of an expression, ``None`` where only a running shell knows it."""
    if assigned(text):
        return None
    found = [variables.get(match[1]) for match in _NAME.finditer(text)]
    if any(text is None or not re.match(r"-?[0-9]{1,18}\Z", text) for text in found):
        return None
    plain = _NAME.sub(lambda match: f"({variables.get(match[1])})", text)
    # A leading zero makes a number octal.
    if not _PLAIN.match(plain) or _LEADING_ZERO.search(plain):
        return None
    try:
        number = _evaluated(ast.parse(plain.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None
    return str(number)


def _evaluated(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int(number)):
            found = number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            found = -_evaluated(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            found = _evaluated(operand)
        case ast.BinOp(left=left, op=operator, right=right):
            found = _combined(_evaluated(left), operator, _evaluated(right))
        case _:
            raise ValueError("another operator")
    if not -_LIMIT <= found < _LIMIT:
        raise ValueError("out of range")
    return found


def _combined(a: int, operator: ast.operator, b: int) -> int:
    match operator:
        case ast.Add():
            return a + b
        case ast.Sub():
            return a - b
        case ast.Mult():
            return a * b
        case ast.Div():
            return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        case ast.Mod():
            return abs(a) % abs(b) * (-1 if a < 0 else 1)
    raise ValueError("another operator")
