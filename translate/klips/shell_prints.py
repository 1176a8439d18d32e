"""What small programs print, where their words and their input alone decide it.

``net=$(echo $line | cut -d, -f1)`` is how scripts of that time took a list to pieces.  Nothing is
run; an option or a form that is not known here makes the text unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from .shell_arithmetic import value
from .shell_braces import WORDS

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,8})\Z")
_FIELD: Final = re.compile(r"-f([0-9]{1,3})(?:(-)([0-9]{1,3})?)?\Z")
_AWK: Final = re.compile(r"\{ *print +\$([0-9]{1,3}|NF) *;? *\}\Z")
_CONVERSION: Final = re.compile(r"%(0?[0-9]{0,2})([sdiuxX%])")
_ESCAPES: Final = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}


def printed(words: Sequence[str | None], given: str | None) -> str | None:
    """What a command prints to the next one; ``None`` where only a running system knows it.

    ``given`` is what it reads, ``None`` if that is not known.
    """
    known = [word for word in words if word is not None]
    if not known or len(known) != len(words):
        return None
    program, arguments = known[0].rpartition("/")[2], known[1:]
    if program in _ALONE:
        return _ALONE[program](arguments)
    if program in _OF_INPUT and given is not None:
        return _OF_INPUT[program](arguments, given)
    return None


def _echo(words: Sequence[str]) -> str | None:
    end = "\n"
    if words[:1] == ["-n"]:
        words, end = words[1:], ""
    if any(word.startswith("-") for word in words[:1]) or any("\\" in word for word in words):
        return None
    return " ".join(words) + end


def _printf(words: Sequence[str]) -> str | None:
    """One turn through the format: as many words as it has conversions."""
    if not words or words[0].startswith("-"):
        return None
    form, values = words[0], list(words[1:])
    wanted = sum(match[2] != "%" for match in _CONVERSION.finditer(form))
    if wanted != len(values) or "%" in _CONVERSION.sub("", form):
        return None

    def shown(match: re.Match[str]) -> str:
        if match[2] == "%":
            return "%"
        word = values.pop(0)
        if match[2] == "s":
            return f"%{match[1].lstrip('0')}s" % word
        number = value(word, {})
        if number is None:
            raise ValueError(word)
        return f"%{match[1]}{match[2].replace('u', 'd')}" % int(number)

    form = re.sub(r"\\.", lambda match: _ESCAPES.get(match[0], "\x00"), form)
    try:
        return None if "\x00" in form else _CONVERSION.sub(shown, form)
    except ValueError:
        return None


def _seq(words: Sequence[str]) -> str | None:
    if not 1 <= len(words) <= 3 or not all(map(_INTEGER.match, words)):
        return None
    numbers = [int(word) for word in words]
    first = numbers[0] if len(numbers) > 1 else 1
    step = numbers[1] if len(numbers) > 2 else 1
    if not step:
        return None
    found = range(first, numbers[-1] + (1 if step > 0 else -1), step)
    return "\n".join(map(str, found[:WORDS]))


def _expr(words: Sequence[str]) -> str | None:
    if not words or not all(_INTEGER.match(word) or word in "+-*/%()" for word in words):
        return None
    return value(" ".join(words), {})


def _cat(words: Sequence[str], given: str) -> str | None:
    return given if not words or words == ["-"] else None


def _cut(words: Sequence[str], given: str) -> str | None:
    delimiter, field = "\t", None
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("-d", "-f") and rest:
            word += rest.pop(0)
        if word.startswith("-d") and len(word) == 3:
            delimiter = word[2]
        elif (match := _FIELD.match(word)) is not None and field is None:
            field = match
        else:
            return None
    if field is None or field[1] == "0":
        return None
    first = int(field[1]) - 1
    last = int(field[3]) if field[3] else None if field[2] else first + 1
    lines = [
        delimiter.join(line.split(delimiter)[first:last]) if delimiter in line else line
        for line in given.splitlines()
    ]
    return "\n".join(lines)


def _tr(words: Sequence[str], given: str) -> str | None:
    plain = all(len(word) == 1 or word in _ESCAPES for word in words if word != "-d")
    signs = [_ESCAPES.get(word, word) for word in words if word != "-d"]
    if not plain:
        return None
    if words[:1] == ["-d"] and len(signs) == 1:
        return given.replace(signs[0], "")
    return given.replace(signs[0], signs[1]) if len(signs) == len(words) == 2 else None


def _awk(words: Sequence[str], given: str) -> str | None:
    separator: str | None = None
    rest = list(words)
    if rest and rest[0].startswith("-F"):
        separator = rest.pop(0)[2:] or (rest.pop(0) if rest else "")
        if len(separator) != 1 or separator in " \\":
            return None
    match = _AWK.match(rest[0]) if len(rest) == 1 else None
    if match is None:
        return None
    lines = []
    for line in given.splitlines():
        fields = line.split(separator)
        place = len(fields) if match[1] == "NF" else int(match[1])
        lines.append(line if not place else (fields[place - 1 : place] or [""])[0])
    return "\n".join(lines)


_ALONE: Final[dict[str, Callable[[Sequence[str]], str | None]]] = {
    "echo": _echo,
    "printf": _printf,
    "seq": _seq,
    "expr": _expr,
}
_OF_INPUT: Final[dict[str, Callable[[Sequence[str], str], str | None]]] = {
    "cat": _cat,
    "cut": _cut,
    "tr": _tr,
    "awk": _awk,
    "gawk": _awk,
    "mawk": _awk,
}
