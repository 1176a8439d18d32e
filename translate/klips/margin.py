"""What stands in front of every line of a pasted text: numbers, stamps, quote marks, indentation.

Rows of some tables begin in the first column, and sections of a capture do, so a margin is cut off
where (nearly) all lines have it.  Columns in messages are counted without it.
"""

from __future__ import annotations

import re
from typing import Final

_TIME: Final = (
    r"(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
    r"(?:Z| ?[+-][0-9]{2}:?[0-9]{2})?)"
)
_STAMP: Final = re.compile(rf"\s*(?:<[0-9]{{1,3}}>)?(?:{_TIME}|\[{_TIME}\])(?: |\Z)")
"""The time in a line of syslog (RFC 3164, or 5424's form), or what a terminal logs."""

_RFC_5424: Final = re.compile(
    rf"<[0-9]{{1,3}}>1 (?:-|{_TIME})(?: [!-~]{{1,255}}){{4}}"
    r" (?:-|(?:\[(?:[^\]\\]|\\.){1,1000}\])+)(?: |\Z)"
)
"""All that stands in front of the message (RFC 5424, 6)."""

_HOST: Final = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)(?: |\Z)")
_PROGRAM: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_./()-]*)(?:\[[0-9]+\])?:(?: |\Z)")
_LABEL: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*):(?: |\Z)")
"""The host in front of what it printed, as programs put it that ask many hosts."""

_NUMBER: Final = re.compile(r"[ \t]{0,7}([0-9]{1,7})(?:[:\t]| {1,2}|\Z)")
_COUNTED_ROW: Final = re.compile(r"\s*-?[0-9]+\s+[0-9a-fA-F:.\[\]]{1,50}/")
_QUOTE: Final = re.compile(r"(?:[>|] ?)+")
_MARK: Final = re.compile(r"(?:> ?)+")
_FILE_NAME: Final = re.compile(
    r"[^\s:]*(?:/net/ipsec_(?:eroute|spi|spigrp|tncfg|version|klipsdebug)"
    r"|/net/ipsec/(?:(?:eroute|spi|spigrp)/all|tncfg|version|klipsdebug)):"
)
"""What ``grep`` puts in front of the lines of several files; ``grep . /proc/net/ipsec_*``."""

_SHARE: Final = 0.9
_FEWEST: Final = 2


def without_margin(lines: list[str]) -> list[str]:
    """The lines without a margin that all of them have.  Their number stays the same."""
    lines = _without_file_names(lines)
    lines = _without(lines, _RFC_5424)
    unstamped = _without(lines, _STAMP)
    if unstamped is not lines:
        lines = _without_word(_without_word(unstamped, _HOST), _PROGRAM)
    elif lines and _LABEL.match(lines[0]):
        lines = _without_word(lines, _LABEL)
    lines = _without(lines, _QUOTE)
    return _dedented(_unquoted(lines))


def _unquoted(lines: list[str]) -> list[str]:
    """Without the quote marks of a mail that is a quotation for the most part."""
    quoted = sum(line.startswith(">") for line in lines)
    if quoted < _FEWEST or 2 * quoted <= sum(not line.isspace() for line in lines if line):
        return lines
    return [_MARK.sub("", line, count=1) for line in lines]


def _without_file_names(lines: list[str]) -> list[str]:
    """Blank out the names of KLIPS's files; they leave what they name as it was printed."""
    if not any("/net/ipsec" in line and _FILE_NAME.match(line) for line in lines):
        return lines
    return [_FILE_NAME.sub("", line, count=1) if _FILE_NAME.match(line) else line for line in lines]


def _without(lines: list[str], margin: re.Pattern[str]) -> list[str]:
    first = next((line for line in lines if line.strip()), "")
    if not margin.match(first):
        return lines
    found = [margin.match(line) for line in lines]
    filled = [match for match, line in zip(found, lines, strict=True) if line.strip()]
    having = sum(match is not None for match in filled)
    if having < _FEWEST or having < _SHARE * len(filled):
        return lines
    return [
        line[match.end() :] if match is not None else line
        for line, match in zip(lines, found, strict=True)
    ]


def _without_word(lines: list[str], word: re.Pattern[str]) -> list[str]:
    """Without the name of a host or program, when it is the same on all lines."""
    found = [word.match(line) for line in lines]
    filled = [match for match, line in zip(found, lines, strict=True) if line.strip()]
    if len(filled) < _FEWEST or len({match and match[1] for match in filled}) != 1:
        return lines
    return [
        line[match.end() :] if match is not None else line
        for line, match in zip(lines, found, strict=True)
    ]


def without_numbering(lines: list[str]) -> list[str]:
    """The lines without numbers that count them, as ``cat -n`` and page viewers put them.

    Packet counts may happen to go up by one, so that rows alone are left as they are.
    """
    first = _NUMBER.match(lines[0]) if lines else None
    if first is None:
        return lines
    start = int(first[1])
    cut = []
    for at, line in enumerate(lines):
        match = _NUMBER.match(line)
        if match is None or int(match[1]) != start + at:
            if line.strip() or at < _FEWEST:
                return lines
            cut.append(line)
        else:
            cut.append(line[match.end() :])
    rows_alone = all(_COUNTED_ROW.match(line) for line in lines if line.strip())
    return lines if rows_alone else cut


def _dedented(lines: list[str]) -> list[str]:
    """Without the blanks that every line begins with; one blank alone can belong to a row."""
    if not lines or lines[0][:1] not in ("", " "):
        return lines
    widths = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip()]
    margin = min(widths, default=0)
    if margin < 2 or len(widths) < _FEWEST:
        return lines
    return [line[margin:] for line in lines]
