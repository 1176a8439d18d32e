"""Commands that run another one: ``sudo``, ``env``, ``nice`` and their like, and shells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_WRAPPERS: Final = {
    # Name, options that take an argument, words before the command.
    "sudo": ("-u -g -p -C -U -r -t -h -D", 0),
    "doas": ("-u -C", 0),
    "env": ("-u -C -S", 0),
    "nice": ("-n", 0),
    "ionice": ("-c -n -p", 0),
    "time": ("-f -o", 0),
    "command": ("", 0),
    "builtin": ("", 0),
    "exec": ("-a", 0),
    "nohup": ("", 0),
    "setsid": ("", 0),
    "busybox": ("", 0),
    "stdbuf": ("-i -o -e", 0),
    "timeout": ("-k -s", 1),
    "chrt": ("", 1),
    "eatmydata": ("", 0),
}
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
_SHELLS: Final = frozenset({"sh", "bash", "ash", "dash", "ksh", "su"})


def unwrapped(words: Sequence[str | None]) -> int:
    """Where the command begins that is really run; 0 without a wrapper or when nobody can tell."""
    at = 0
    while at < len(words):
        program = _program(words[at])
        if program not in _WRAPPERS:
            return at
        options, positional = _WRAPPERS[program]
        inner = at + 1
        while inner < len(words):
            word = words[inner]
            if word is None or (program == "command" and word in ("-v", "-V")):
                return at
            if word.startswith("-") and len(word) > 1:
                inner += 2 if word in options.split() else 1
            elif _ASSIGNMENT.match(word) and program in ("sudo", "env", "doas"):
                inner += 1
            elif positional:
                positional -= 1
                inner += 1
            else:
                break
        if inner >= len(words):
            return at
        at = inner
    return at


def script_of(words: Sequence[str | None]) -> tuple[bool, str | None]:
    """Whether these words run a text as a script (``sh -c``, ``su -c``), and the text if known."""
    if not words or _program(words[0]) not in _SHELLS:
        return False, None
    for place, word in enumerate(words[:-1]):
        if word is not None and re.match(r"-[a-z]*c\Z", word):
            return True, words[place + 1]
    return False, None


def reads_script(words: Sequence[str | None]) -> bool:
    """Whether these words are a shell that reads its commands from its standard input."""
    program = "" if not words else _program(words[0])
    return program in _SHELLS - {"su"} and all(word in ("-s", "-e", "-x") for word in words[1:])


def _program(word: str | None) -> str:
    return (word or "").rpartition("/")[2]
