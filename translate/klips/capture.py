"""Bytes of a file, a console log or a mail turned into clean lines of text.

People paste what they see: carriage returns, colours, cursor movements, overstruck characters,
quote marks of a mail.  All that is taken off here, so that the readers see what was printed.
"""

from __future__ import annotations

import re
from typing import Final

from ..diagnostics import Collector, Diagnostic, Severity, Span
from .margin import without_margin, without_numbering

LINE_LIMIT: Final = 16_384
"""Bytes of the longest line that is read.  The longest row KLIPS can print has some 400."""

_ESCAPE: Final = re.compile(
    r"\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?"
    r"|[ -/]*[0-~])"
)
_PIECE: Final = re.compile(rf"{_ESCAPE.pattern}|[\r\x08\t\x1b]|[^\r\x08\t\x1b]+")
_CONTROL: Final = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f]")
_BINARY_SHARE: Final = 0.05
_LOOKALIKES: Final = str.maketrans(
    {"→": "->", "⇒": "=>", "–": "-", "—": "-", "\u2011": "-", "\xa0": " "}
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\xad")
)
"""What mail programs and word processors make of arrows and blanks."""

_ENTITY: Final = re.compile(r"&gt;|&#(?:0*62|x0*3[eE]);")
"""A ``>`` of HTML: a capture without arrows holds nothing."""

_TAG: Final = re.compile(
    r"</?[a-zA-Z][a-zA-Z0-9]{0,11}(?:\s[^<>\n]{0,300})?/?>|<!--[^\n]{0,300}?-->"
)
_BREAK: Final = re.compile(r"<br ?/?>(?=\s*(?:\n|\Z))", re.IGNORECASE)
_NAMED: Final = (("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&"))
_HIDDEN_AT: Final = re.compile(
    r"\b((?:tun|esp|ah|comp|int)(?:0x|[.:])?[0-9a-f]{1,16}) at (?=[0-9a-f:]*[0-9]|::)"
)
"""Archives of mailing lists write ``tun0x1002 at 203.0.113.7``."""

LOST: Final = "\ufffd"
"""Stands where something is missing, so that the words around it never become one."""


def clean_lines(data: bytes, name: str, collector: Collector) -> list[str]:
    """Split ``data`` into lines without line ends and terminal control.

    The list has one item per line, so that index + 1 is the line number; a line that is too long
    becomes empty and a diagnostic (ET107).  Input that is not text is said to be so (ET109), and
    what looks like text in it is still read.
    """
    text = _decode(data, name, collector)
    if "\r" in text and "\n" not in text:
        text = text.replace("\r", "\n")
    if _ENTITY.search(text):
        text = _of_html(text)
    if " at " in text:
        text = _HIDDEN_AT.sub(r"\1@", text)
    lines = text.split("\n")
    if len(text) > LINE_LIMIT and max(map(len, lines)) > LINE_LIMIT:
        _drop_long(lines, name, collector)
    plain = text.isascii() and "\x1b" not in text and "\r" not in text and "\x08" not in text
    if not plain or _CONTROL.search(text):
        if any(_rows_over_each_other(line) for line in lines):
            lines = "\n".join(line.rstrip("\r") for line in lines).replace("\r", "\n").split("\n")
        lines = [_clean(line) for line in lines]
    if "=3D>" in text:
        _unquote_printable(lines)
    lines = _without_numbers(without_numbering(lines))
    _unwrap(lines)
    return without_margin(lines)


def _of_html(text: str) -> str:
    """What a browser shows of a page; its lines stay as they are.

    A tag becomes a blank, so that the words around it never become one.
    """
    text = _BREAK.sub("", text)
    text = _TAG.sub(lambda match: "" if match[0].startswith("<!--") else " ", text)
    text = re.sub(r"&#(x[0-9a-fA-F]{1,4}|[0-9]{1,5});", _character, text)
    for name, sign in _NAMED:
        text = text.replace(name, sign)
    return text


def _character(match: re.Match[str]) -> str:
    """The character of a number, unless it would make a line end or a control sequence."""
    code = int(match[1][1:], 16) if match[1].startswith("x") else int(match[1])
    return chr(code) if code in (0xA0, 0x2192, 0x21D2) or 32 <= code < 127 else LOST


def _rows_over_each_other(line: str) -> bool:
    """Whether carriage returns end rows here: a later row would hide an earlier one."""
    return "\r" in line and sum("=>" in part for part in line.split("\r")) > 1


def _decode(data: bytes, name: str, collector: Collector) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "")):
        if data.startswith(mark):
            if not encoding:
                data = data[len(mark) :]
                break
            return data.decode(encoding, "replace")
    head = data[:4096]
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) > 1 and head[start::2].count(0) > 0.9 * (len(head) // 2):
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
    if not line.isascii():
        line = line.translate(_LOOKALIKES)
    if line.isprintable():
        return line
    line = line.rstrip("\r")
    if "\x00" in line:
        # Padding of a serial line stands around the line end; elsewhere text was lost.
        line = re.sub(r"\r\x00*\Z", "", line.lstrip("\x00"))
        line = re.sub(r"\x00+", LOST, line)
    if "\x1b" in line or "\r" in line or "\x08" in line:
        line = _shown(line)
    return _CONTROL.sub("", line).replace("\t", " ")


def _shown(line: str) -> str:
    """What a terminal shows of a line: later characters stand over earlier ones."""
    cells: list[str] = []
    at = 0
    for match in _PIECE.finditer(line):
        piece = match[0]
        if piece == "\r":
            at = 0
        elif piece == "\x08":
            at = max(0, at - 1)
        elif piece == "\t":
            at += 8 - at % 8
        elif piece[0] == "\x1b":
            if match[2]:
                at = _control(cells, at, match[2], match[1])
        else:
            cells.extend(" " * (at - len(cells)))
            cells[at : at + len(piece)] = piece
            at += len(piece)
    return "".join(cells)


def _control(cells: list[str], at: int, name: str, arguments: str) -> int:
    """Carry out one control sequence on the cells of a line; return the new column."""
    argument = arguments.partition(";")[0]
    number = min(int(argument), LINE_LIMIT) if argument[:9].isdecimal() else 0
    times = max(1, number)
    match name:
        case "K" | "J":
            if number == 0:
                del cells[at:]
            else:
                end = at + 1 if number == 1 else len(cells)
                cells[:end] = " " * min(end, len(cells))
        case "C":
            return min(at + times, LINE_LIMIT)
        case "D":
            return max(0, at - times)
        case "G" | "`":
            return times - 1
        case "P":
            del cells[at : at + times]
        case "@":
            cells[at:at] = " " * (times if at < len(cells) else 0)
            del cells[LINE_LIMIT:]
        case "X":
            cells[at : at + times] = " " * len(cells[at : at + times])
        case "A" | "B" | "E" | "F" | "H" | "d" | "f":
            # Another line of the screen: what stands there is not part of this one.
            if "".join(cells).strip():
                cells.append(LOST)
            return len(cells)
        case _:
            pass
    return at


def _unquote_printable(lines: list[str]) -> None:
    """Undo the quoted-printable encoding of a mail; the lines keep their numbers."""
    for index, line in enumerate(lines):
        last = index
        while line.endswith("=") and last + 1 < len(lines) and len(line) < LINE_LIMIT:
            last += 1
            line = line[:-1] + lines[last]
            lines[last] = ""
        lines[index] = re.sub(r"=([2-7][0-9A-F])", lambda match: chr(int(match[1], 16)), line)


_NUMBER: Final = re.compile(r"[ \t]*([0-9]{1,7}):?(?=\s|\Z)")
_ROW_WITH_ONE_NUMBER: Final = re.compile(r"\s*-?[0-9]+\s+[0-9a-fA-F:.\[\]]{1,50}/")
_ROW_WITH_TWO_NUMBERS: Final = re.compile(r"\s*[0-9]{1,7}:?\s+-?[0-9]+\s+[0-9a-fA-F:.\[\]]{1,50}/")


def _without_numbers(lines: list[str]) -> list[str]:
    """Blank out the line numbers of `cat -n`, `nl` or a page viewer, keeping the columns.

    Only when rows have a number in front of their packet count, and none has its count alone.
    """
    found = False
    for line in lines:
        if "->" in line:
            if _ROW_WITH_ONE_NUMBER.match(line):
                return lines
            found = found or _ROW_WITH_TWO_NUMBERS.match(line) is not None
    if not found:
        return lines
    result = []
    previous: int | None = None
    for line in lines:
        match = _NUMBER.match(line)
        if match is not None:
            number = int(match[1])
            counted = previous is not None and 1 <= number - previous <= 3
            if counted or _ROW_WITH_TWO_NUMBERS.match(line):
                line = " " * match.end() + line[match.end() :]
                previous = number
        result.append(line)
    return result


_WIDTHS: Final = (80, 132)
_SAID: Final = (
    r"(?:(?:tun|esp|ah|comp)(?:0x|[.:])[0-9a-f]{1,8}@"
    r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9a-f:]{2,39})"
    r"|%(?:pass|drop|reject|hold|trap|trapsubnet|passthrough[46]?))(?::[0-9]{1,3})?"
)
_END: Final = rf"\s*{_SAID}(?:\s+{_SAID}){{0,5}}(?:\s+\(\S{{0,99}}\)){{0,2}}\s*\Z"
_SUBNET: Final = r"\[?[0-9a-f.:]{1,45}/[0-9a-f.:\]]{1,45}"
_WHOLE_ROW: Final = re.compile(
    rf"\s*(?:-?[0-9]{{1,10}}\s+)?{_SUBNET}\s*->\s*{_SUBNET}\s*=>{_END}", re.ASCII
)
_LOOK_HEAD: Final = re.compile(rf"\s*{_SUBNET}\s+->\s+{_SUBNET}\s+=>\s+[^(]+\Z", re.ASCII)
_LOOK_TAIL: Final = re.compile(rf"\s*(?:{_SAID}\s+){{1,5}}\(-?[0-9]+\)\s*\Z", re.ASCII)
_PIECES: Final = 5
_WIDEST: Final = 400


def _unwrap(lines: list[str]) -> None:
    """Put rows together that were broken at the right edge, also in the middle of a word.

    Half a word may be a sound one: 203.0.113.1 of 203.0.113.17.  The row then stands on its first
    line, and the others become empty, so that every line keeps its number.
    """
    widths = {*_WIDTHS, max(map(len, lines))}
    for index, after in enumerate(lines[1:]):
        if not after or "->" in after or "->" not in lines[index]:
            continue
        line = lines[index]
        if len(line) in widths and len(line) <= _WIDEST and _join_pieces(lines, index):
            continue
        if _LOOK_TAIL.match(after) and _LOOK_HEAD.match(line):
            lines[index] = f"{line} {after}"
            lines[index + 1] = ""


def _join_pieces(lines: list[str], index: int) -> bool:
    """Join a line of full width with those after it, if that makes a whole row."""
    width = len(lines[index])
    text = lines[index]
    best = (index, text)
    for last in range(index + 1, min(index + _PIECES, len(lines))):
        piece = lines[last]
        if not piece.strip() or ("->" in piece and "->" in text):
            break
        text += piece
        if _WHOLE_ROW.match(text):
            best = (last, text)
        if len(piece) != width:
            break
    last, lines[index] = best
    lines[index + 1 : last + 1] = [""] * (last - index)
    return last > index
