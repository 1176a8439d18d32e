"""Brace expansion of bash, which is done on the text of a word: ``{a,b}`` and ``{1..3}``."""

from __future__ import annotations

import re
from typing import Final

WORDS: Final = 10_000
"""More words than this are left as they are written."""

_INNERMOST: Final = re.compile(r"(?<!\$)\{([^{}\s]*)\}")
_RANGE: Final = re.compile(r"(-?[0-9]{1,6})\.\.(-?[0-9]{1,6})(?:\.\.(-?[0-9]{1,6}))?\Z")


def braced(text: str) -> list[str]:
    """The words that one word becomes; itself where nothing is to be expanded."""
    words, done = [text], False
    while not done and len(words) < WORDS:
        done = True
        expanded: list[str] = []
        for word in words:
            found = _first(word)
            if found is None:
                expanded.append(word)
                continue
            done = False
            start, end, parts = found
            expanded.extend(word[:start] + part + word[end:] for part in parts)
        words = expanded
    return words if done else [text]


def _first(word: str) -> tuple[int, int, list[str]] | None:
    """The first braces that are expanded: their place, and what stands for them."""
    for match in _INNERMOST.finditer(word):
        inner = match[1]
        span = _RANGE.match(inner)
        if span is not None:
            return match.start(), match.end(), _numbers(span)
        if "," in inner:
            return match.start(), match.end(), inner.split(",")
    return None


def _numbers(span: re.Match[str]) -> list[str]:
    first, last = int(span[1]), int(span[2])
    step = abs(int(span[3] or 1)) or 1
    numbers = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
    padded = any(re.match(r"-?0[0-9]", text) for text in (span[1], span[2]))
    width = max(len(span[1]), len(span[2])) if padded else 0
    return [f"{number:0{width}d}" for number in numbers[: WORDS + 1]]
