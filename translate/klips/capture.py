"""Bytes of a file, a console log or a mail turned into clean lines of text.

People paste what they see: carriage returns, colours, cursor movements, overstruck characters,
quote marks of a mail.  All that is taken off here, so that the readers see what was printed.
"""

from __future__ import annotations

import re
from typing import Final

from ..diagnostics import Collector, Diagnostic, Severity, Span

LINE_LIMIT: Final = 16_384
"""Bytes of the longest line that is read.  The longest row KLIPS can print has some 400."""

_ESCAPE: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|"
    r"[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])"
)
_CONTROL: Final = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f]")
_OVERSTRIKE: Final = re.compile(r"[^\x08]\x08")
_BINARY_SHARE: Final = 0.05


def clean_lines(data: bytes, name: str, collector: Collector) -> list[str]:
    """Split ``data`` into lines without line ends and terminal control.

    The list has one item per line, so that index + 1 is the line number; a line that is too long
    becomes empty and a diagnostic (ET107).  Input that is not text is said to be so (ET109), and
    what looks like text in it is still read.
    """
    text = _decode(data, name, collector)
    if text.isascii() and "\x1b" not in text and "\r" not in text and "\x08" not in text:
        lines = text.split("\n")
        if not _CONTROL.search(text):
            if len(text) > LINE_LIMIT:
                _drop_long(lines, name, collector)
            return _without_numbers(lines)
    lines = text.split("\n")
    _drop_long(lines, name, collector)
    return _without_numbers([_clean(line) for line in lines])


def _decode(data: bytes, name: str, collector: Collector) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "")):
        if data.startswith(mark):
            if not encoding:
                data = data[len(mark) :]
                break
            return data.decode(encoding, "replace")
    text = data.decode("utf-8", "surrogateescape")
    if text.isascii() and "\x00" not in text:
        return text
    sample = text[:1_000_000]
    strange = sum(1 for c in sample if c == "\x00" or "\udc80" <= c <= "\udcff")
    if strange > _BINARY_SHARE * len(sample):
        collector.add(
            Diagnostic(
                "ET109",
                Severity.ERROR,
                f"this is not a text file: {strange} of its first {len(sample)} characters are"
                " not text",
                Span(name, 1),
                expected="the text that `ipsec eroute` or `cat /proc/net/ipsec_eroute` prints",
                hint="check that the right file was given; if it is packed, unpack it first",
            )
        )
    return text


def _drop_long(lines: list[str], name: str, collector: Collector) -> None:
    for index, line in enumerate(lines):
        if len(line) > LINE_LIMIT:
            lines[index] = ""
            collector.add(
                Diagnostic(
                    "ET107",
                    Severity.ERROR,
                    f"this line has {len(line)} characters and was not read",
                    Span(name, index + 1),
                    excerpt=line[:60] + "...",
                    expected=f"rows of at most {LINE_LIMIT} characters",
                    hint="check the line ends: rows must stand on lines of their own",
                )
            )


def _clean(line: str) -> str:
    """Take terminal control off one line."""
    if line.isprintable():
        return line
    line = _ESCAPE.sub("", line)
    line = line.rstrip("\r")
    if "\r" in line:
        # A terminal shows what was written last over the rest of the line.
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        line = shown
    while "\x08" in line:
        shorter = _OVERSTRIKE.sub("", line)
        line = shorter if shorter != line else line.replace("\x08", "")
    line = _CONTROL.sub("", line)
    return line.replace("\t", " ")


_NUMBER: Final = re.compile(r"[ ]*([0-9]{1,7})(?![0-9.:/a-fA-F])")
_ROW_WITH_ONE_NUMBER: Final = re.compile(r" *[0-9]+ +[0-9a-fA-F:.\[\]]+/")
_NUMBERED_SHARE: Final = 0.6


def _without_numbers(lines: list[str]) -> list[str]:
    """Blank out the line numbers of `cat -n`, `nl` or a page viewer, keeping the columns.

    Only when most lines have one, they count upward one by one, and no row would lose its
    packet count by it.
    """
    if len(lines) < 2 or not _NUMBER.match(lines[0]):
        return lines
    previous = None
    numbered = steps = 0
    filled = 0
    for line in lines:
        if not line.strip():
            continue
        filled += 1
        match = _NUMBER.match(line)
        if match is None:
            continue
        if _ROW_WITH_ONE_NUMBER.match(line):
            return lines
        numbered += 1
        number = int(match[1])
        steps += previous is not None and 1 <= number - previous <= 3
        previous = number
    if numbered < _NUMBERED_SHARE * filled or steps < _NUMBERED_SHARE * numbered:
        return lines
    result = []
    for line in lines:
        match = _NUMBER.match(line)
        result.append(" " * match.end() + line[match.end() :] if match else line)
    return result
