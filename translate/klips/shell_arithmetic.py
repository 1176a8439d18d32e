"""Arithmetic of the shell, ``$((i + 1))``, on whole numbers that are known."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Final

_NAME: Final = re.compile(r"\$?\{?\b([A-Za-z_]\w*)\b\}?")
_PLAIN: Final = re.compile(r"[0-9 ()+*/%-]{1,200}\Z")
_HEXADECIMAL: Final = re.compile(r"\b0[xX]([0-9a-fA-F]{1,15})\b")
_NUMBER: Final = re.compile(r"-?(?:[0-9]{1,18}|0[xX][0-9a-fA-F]{1,15})\Z")
_ASKED: Final = re.compile(r"(.*[^<>=!])(<=|>=|==|!=|<|>)([^<>=].*)\Z", re.DOTALL)
_SET: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:(\+\+|--)|([-+*/%])?=(?!=)(.*))\s*\Z", re.DOTALL)
_SET_BEFORE: Final = re.compile(r"\s*(\+\+|--)\s*([A-Za-z_]\w*)\s*\Z")
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
    asked = _ASKED.match(text)
    if asked is not None:
        left, right = value(asked[1], variables), value(asked[3], variables)
        if left is None or right is None:
            return None
        return str(int(_compared(int(left), asked[2], int(right))))
    found = [variables.get(match[1]) for match in _NAME.finditer(text)]
    if any(text is None or not _NUMBER.match(text) for text in found):
        return None
    plain = _NAME.sub(lambda match: f"({variables.get(match[1])})", text)
    plain = _HEXADECIMAL.sub(lambda match: str(int(match[1], 16)), plain)
    # A leading zero makes a number octal.
    if not _PLAIN.match(plain) or _LEADING_ZERO.search(plain):
        return None
    try:
        number = _evaluated(ast.parse(plain.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None
    return str(number)


def run(text: str, variables: dict[str, str | None]) -> str | None:
    """Carry out an expression that may set variables; what is not certain is unknown afterwards."""
    result: str | None = None
    for part in text.split(","):
        names = assigned(part)
        if not names:
            result = value(part, variables)
            continue
        name, operator, operand = _parts(part)
        wanted = f"{name} {operator} ({operand})" if operator else operand
        result = None if assigned(operand) else value(wanted, variables)
        before = variables.get(name) if part.rstrip().endswith(("++", "--")) else result
        for each in names:
            variables[each] = result if each == name and len(names) == 1 else None
        result = None if result is None else before
    return result


def _parts(text: str) -> tuple[str, str, str]:
    """Name, operator and operand of an expression that sets one variable; ``i++`` adds 1."""
    before = _SET_BEFORE.match(text)
    if before is not None:
        return before[2], before[1][0], "1"
    match = _SET.match(text)
    if match is None:
        return "", "", ""
    if match[2]:
        return match[1], match[2][0], "1"
    return match[1], match[3] or "", match[4]


def _compared(a: int, sign: str, b: int) -> bool:
    return {
        "<": a < b,
        "<=": a <= b,
        ">": a > b,
        ">=": a >= b,
        "==": a == b,
        "!=": a != b,
    }[sign]


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
