"""The grammar of one row of an eroute table.

``ipsec_eroute(5)`` shows rows that no kernel printed (ports and protocol even when 0, identities,
``tun:130@…``), and the kernels printed rows that no manual shows (IPv6 with ports and protocol).
Both are read; where the kernel lost something on the way, the row is refused with the reason.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..diagnostics import Collector, Diagnostic, Severity, Span
from ..net import ALL_ONES, LENGTH_OF_MASK, MASK_OF_LENGTH, WIDTH, Prefix, Selector
from .address import parse_ipv6, parse_printed_address, parse_printed_mask
from .eroute import SOURCE_BYTE_8, Eroute, Form
from .said import Said, parse_printed_said, parse_said

SUBNET: Final = r"\[?[0-9a-fA-F:.\]]{0,50}/[0-9a-fA-F:.\]]{1,50}"

ROW: Final = re.compile(
    rf"\s*+(?:(?P<count>-?[0-9]++)\s++)?(?P<source>{SUBNET})\s*+->\s*+(?P<destination>\S*)\s*+=>"
    r"(?P<rest>.*)\Z"
)
"""Anything that starts like a row and has both arrows."""

ROW_ANYWHERE: Final = re.compile(
    r"\A(?=.*?(?:[.:\]][0-9a-fA-F:.\]]{0,45}|(?<![^\s\[])[0-9a-fA-F]{1,4})/[0-9\]f])(?>.*?->).*?=>"
)
"""Both arrows and a subnet, whatever else: a row with something unknown in front, or damaged."""

ROW_START: Final = re.compile(rf"\s*+(?:-?[0-9]++\s++)?{SUBNET}\s*+(?:->.*)?\Z")
"""The head of a row that goes on in the next line, or that is cut."""

IDENTITIES: Final = re.compile(r"\s*\((\S*)\)\s+\((\S*)\)\s*\Z")
"""``(source identity) (destination identity)``, also on a line of its own."""

LOOK_COUNT: Final = re.compile(r"\s*\((-?[0-9]+)\)\s*\Z")
_GROUP_COUNT: Final = re.compile(r"-?[0-9]+\Z", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,10}\Z", re.ASCII)
_BRACKETED: Final = re.compile(r"\[([0-9a-f:]+)/([0-9]{1,3})\]:([0-9]{1,5})\Z", re.ASCII)


_COUNT_AND_MORE: Final = re.compile(r"(.*?\S\s++\(-?[0-9]+\))(\s++[^\s(].*)\Z")
_HARMLESS: Final = ("ET116", "ET117")


class RowText(NamedTuple):
    """A row put together from its lines; ``text`` is what columns count in."""

    text: str
    span: Span


class _Refusal(Exception):  # noqa: N818 - not an error of the program, caught below
    """One part of a row cannot be read."""

    def __init__(
        self, code: str, start: int, end: int, message: str, expected: str = "", hint: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.start = start
        self.end = end
        self.expected = expected
        self.hint = hint


def read_row(row: RowText, collector: Collector) -> Eroute | None:
    """Read one row; every part of it that cannot be read is a diagnostic of its own.

    With an unreadable SAID but a sound selector the eroute is still returned, marked by
    :attr:`Eroute.defect`, so that its traffic can be blocked.  Otherwise ``None``.
    """
    match = ROW.match(row.text)
    if match is None:
        _report_unreadable(row, collector)
        return None
    problems: list[_Refusal] = []
    if "->" in match["rest"] and "=>" in match["rest"]:
        _two_rows(row, match, collector)
        return None
    match = _without_tail(match, problems)
    count = _count(match, problems)
    source = destination = None
    try:
        source = _end(match, "source")
    except _Refusal as refusal:
        problems.append(refusal)
    try:
        destination = _end(match, "destination")
    except _Refusal as refusal:
        problems.append(refusal)
    tail = _split_rest(match, problems)
    # Byte 8 of an IPv6 source decides whether the SAID has a suffix, so nothing can be said
    # about the SAID of a row whose source is not known.
    saids: tuple[Said, ...] = ()
    protocol = 0
    if source is not None:
        try:
            saids, protocol = _saids(tail, source[0])
        except _Refusal as refusal:
            problems.append(refusal)
    if source and destination and source[0].family != destination[0].family:
        problems.append(
            _Refusal(
                "ET104",
                match.start("source"),
                match.end("destination"),
                "source and destination are of two address families",
                "two IPv4 or two IPv6 subnets",
                "KLIPS keeps one table for each family; this row was edited or joined",
            )
        )
    for problem in problems:
        collector.add(_diagnostic(row, problem))
    return _assemble(row, count, source, destination, saids, protocol, tail, problems)


def _assemble(
    row: RowText,
    count: int | None,
    source: tuple[Prefix, int] | None,
    destination: tuple[Prefix, int] | None,
    saids: tuple[Said, ...],
    protocol: int,
    tail: _Tail,
    problems: list[_Refusal],
) -> Eroute | None:
    fatal = [p for p in problems if p.code not in _HARMLESS]
    if source is None or destination is None or source[0].family != destination[0].family:
        return None
    selector = Selector(source[0], destination[0], protocol, source[1], destination[1])
    form = Form.PROC
    if tail.look_count is not None or count is None:
        # A number in front of a row of `ipsec look` counts lines, not packets.
        form = Form.LOOK
        count = tail.look_count
    if fatal:
        # Only the selector is certain; without the protocol of an unreadable SAID it can only
        # be wider than it was, which is the safe side for a block.
        said = Said(0, 0, 4, 0, row.text[tail.start : tail.end].strip()[:100] or "(error)")
        return Eroute(selector, (said,), row.span, count, None, form, fatal[0].code)
    return Eroute(selector, saids, row.span, count, tail.identities, form)


def _report_unreadable(row: RowText, collector: Collector) -> None:
    text = row.text
    stripped = text.lstrip()
    cut = "=>" not in text
    collector.add(
        Diagnostic(
            "ET106" if cut else "ET101",
            Severity.ERROR,
            "this row is cut: what follows it is missing"
            if cut
            else "this looks like an eroute but cannot be read",
            row.span._replace(column=len(text) - len(stripped) + 1, end_column=len(text) + 1),
            excerpt=text,
            expected="COUNT SOURCE/BITS[:PORT] -> DESTINATION/BITS[:PORT] => SAID[:PROTOCOL]",
            hint="take the table again, whole"
            if cut
            else "take off what is not part of the row, or correct it",
        )
    )


def _two_rows(row: RowText, match: re.Match[str], collector: Collector) -> None:
    """Two rows on one line: where the first one ends is a guess."""
    column = match.start("rest") + match["rest"].index("->") + 1
    collector.add(
        Diagnostic(
            "ET101",
            Severity.ERROR,
            "another row stands on this line; neither of them was read",
            row.span._replace(column=column, end_column=column + 2),
            excerpt=row.text,
            expected="one row",
            hint="put each row on a line of its own",
        )
    )


def _diagnostic(row: RowText, problem: _Refusal) -> Diagnostic:
    return Diagnostic(
        problem.code,
        Severity.WARNING if problem.code in _HARMLESS else Severity.ERROR,
        str(problem),
        row.span._replace(column=problem.start + 1, end_column=problem.end + 1),
        excerpt=row.text,
        expected=problem.expected,
        hint=problem.hint,
    )


def _without_tail(match: re.Match[str], problems: list[_Refusal]) -> re.Match[str]:
    """Leave out what stands behind the count of an ``ipsec look`` row, which ends it."""
    if match["count"] is not None:
        return match
    more = _COUNT_AND_MORE.match(match["rest"])
    if more is None:
        return match
    end = match.start("rest") + more.end(1)
    problems.append(
        _Refusal(
            "ET117",
            end + len(more[2]) - len(more[2].lstrip()),
            len(match.string.rstrip()),
            "there is text behind the end of the row; it was not read",
            "the end of the line",
        )
    )
    return ROW.match(match.string[:end]) or match


def _count(match: re.Match[str], problems: list[_Refusal]) -> int | None:
    text = match["count"]
    return None if text is None else _in_32_bits(text, match.start("count"), problems)


def _in_32_bits(text: str, start: int, problems: list[_Refusal]) -> int:
    """A packet count as it was before it was printed with a sign."""
    count = int(text[:40])
    if -(1 << 31) <= count < 1 << 32:
        return count & 0xFFFFFFFF
    problems.append(
        _Refusal(
            "ET116",
            start,
            start + len(text),
            f"{text[:40]} does not fit a counter of 32 bits",
            "a packet count",
            "the count has no part in the translation; the row is carried without it",
        )
    )
    return 0


class _Tail(NamedTuple):
    """What stands after ``=>``."""

    words: list[tuple[str, int]]
    identities: tuple[str, str] | None
    look_count: int | None
    start: int
    end: int


def _split_rest(match: re.Match[str], problems: list[_Refusal]) -> _Tail:
    """Cut identities or the count of ``ipsec look`` off the SAIDs."""
    rest = match["rest"]
    offset = match.start("rest")
    identities: tuple[str, str] | None = None
    look_count: int | None = None
    groups: list[str] = []
    end = len(rest)
    while len(groups) < 2 and (start := _last_group(rest, end)) is not None:
        group = rest[start:end].strip()[1:-1]
        # `(error)` is what KLIPS prints for a SAID that it cannot print.
        if group == "error" and (match["count"] is None or not rest[:start].strip()):
            break
        groups.insert(0, group)
        end = start
    if len(groups) == 2:
        identities = (groups[0], groups[1])
    elif groups and _GROUP_COUNT.match(groups[0]):
        look_count = _in_32_bits(groups[0], offset + end + 1, problems)
    elif groups:
        identities = (groups[0], "")
    words = [(m[0], offset + m.start()) for m in re.finditer(r"\S+", rest[:end])]
    return _Tail(words, identities, look_count, offset, offset + end)


def _last_group(rest: str, end: int) -> int | None:
    """Where the last ``(...)`` of the text starts, if the text ends in one."""
    words = rest[:end].rsplit(None, 1)
    if not words or not words[-1].endswith(")") or "(" not in words[-1]:
        return None
    return len(rest[:end].rstrip()) - len(words[-1]) + words[-1].index("(")


def _end(match: re.Match[str], name: str) -> tuple[Prefix, int]:
    """Read one end: a subnet with an optional port.  Raises :class:`_Refusal`."""
    text, start = match[name], match.start(name)
    end = start + len(text)
    if "]" in text or "[" in text:
        return _bracketed(text, start)
    address, slash, tail = text.partition("/")
    if not slash:
        damaged = not text and ":" in match["source"]
        raise _Refusal(
            "ET112" if damaged else "ET102",
            start,
            max(end, start + 1),
            f"the {name} has no mask" if text else f"the {name} is missing",
            "ADDRESS/BITS",
            "an IPv6 row with a destination port is printed like this; "
            "take the eroute from the script or the configuration that made it"
            if damaged
            else "",
        )
    family = 6 if ":" in address else 4
    mask_text, colon, port_text = tail, "", ""
    if family == 4 or _decimal_head(tail):
        mask_text, colon, port_text = tail.partition(":")
    try:
        value = parse_printed_address(address)[1] if family == 4 else _ipv6(address)
    except ValueError as error:
        raise _bad_address(family, name, text, start, str(error)) from None
    mask = _mask(family, mask_text, name, start + len(address) + 1)
    port = 0
    if colon:
        if not _PORT.match(port_text) or int(port_text) > 65535:
            raise _Refusal(
                "ET105", end - len(port_text), end, f"{port_text!r} is not a port", "0 to 65535"
            )
        port = int(port_text)
    prefix = Prefix(family, value, mask)
    if family == 6:
        _check_ipv6(prefix, name, start, end)
    return prefix, port


def _bad_address(family: int, name: str, text: str, start: int, reason: str) -> _Refusal:
    if family == 6 or ":" in text.partition("/")[0]:
        return _Refusal(
            "ET112",
            start,
            start + len(text),
            f"the {name} is not an IPv6 subnet: {reason}",
            "ADDRESS/BITS",
            "KLIPS damages IPv6 rows that have ports when it prints them; take this eroute from "
            "the script or the configuration that made it",
        )
    return _Refusal(
        "ET102",
        start,
        start + len(text),
        f"the {name} is not an IPv4 subnet: {reason}",
        "A.B.C.D/BITS",
        "check the row for a cut or a typing error",
    )


def _decimal_head(tail: str) -> bool:
    """Whether an IPv6 mask text is ``BITS:PORT``, not a mask in colons."""
    head, colon, port = tail.partition(":")
    return bool(colon) and head.isdecimal() and ":" not in port and int(head[:4]) <= 128


def _ipv6(text: str) -> int:
    """An IPv6 address; the manual page's own ``0:0`` for ``::`` is taken as it is meant."""
    return 0 if text == "0:0" else parse_ipv6(text)


def _mask(family: int, text: str, name: str, start: int) -> int:
    try:
        return parse_printed_mask(text, family)
    except ValueError:
        raise _Refusal(
            "ET102",
            start,
            max(start + len(text), start + 1),
            f"{text!r} is not a mask of the {name}",
            f"0 to {WIDTH[family]}, or a mask",
        ) from None


def _check_ipv6(prefix: Prefix, name: str, start: int, end: int) -> None:
    """Refuse what the kernel's printer hides (goodmask.c:mask6tobits stops at the first hole)."""
    length = prefix.length
    if length is None or not prefix.has_host_bits:
        return
    raise _Refusal(
        "ET112",
        start,
        end,
        f"the {name} has address bits outside /{length}: KLIPS printed only the head of its mask",
        "an address that ends where its mask ends",
        "an IPv6 eroute with a protocol was corrupt in the kernel itself; take it from the script"
        " or the configuration that made it",
    )


def _bracketed(text: str, start: int) -> tuple[Prefix, int]:
    """``[ADDRESS/BITS]:PORT``, of which the kernel overwrites the last digit of BITS.

    So ``/7]`` may be /70 to /79.  Read only if one length fits the address.
    """
    end = start + len(text)
    match = _BRACKETED.match(text)
    damaged = _Refusal(
        "ET112",
        start,
        end,
        "KLIPS overwrote part of this IPv6 subnet when it printed the port",
        "[ADDRESS/BITS]:PORT with all digits",
        "take this eroute from the script or the configuration that made it",
    )
    if match is None:
        raise damaged
    try:
        address = parse_ipv6(match[1])
    except ValueError:
        raise damaged from None
    printed, port = int(match[2]), int(match[3])
    lengths = [n for n in (printed, *range(printed * 10, printed * 10 + 10)) if n <= WIDTH[6]]
    fitting = {n for n in lengths if not address & (ALL_ONES[6] ^ MASK_OF_LENGTH[6][n])}
    if len(fitting) != 1 or port > 65535:
        raise damaged
    return Prefix(6, address, MASK_OF_LENGTH[6][fitting.pop()]), port


def _saids(tail: _Tail, source: Prefix) -> tuple[tuple[Said, ...], int]:
    """Read the SAIDs and the protocol behind the last one.  Raises :class:`_Refusal`."""
    if not tail.words:
        raise _Refusal(
            "ET106",
            tail.start,
            tail.start + 1,
            "the SAID is missing",
            "a SAID after =>",
            "take the table again, whole",
        )
    saids = []
    protocol = 0
    for index, (word, start) in enumerate(tail.words):
        last = index == len(tail.words) - 1
        body, suffix = _split_suffix(word, source, start) if last else (word, "")
        if suffix and source.family == 4:
            if int(suffix) > 255:
                raise _Refusal(
                    "ET105",
                    start + len(body) + 1,
                    start + len(word),
                    f"protocol {suffix} is above 255",
                    "0 to 255",
                )
            protocol = int(suffix)
        saids.append(_said(body, start))
    return tuple(saids), protocol


def _said(text: str, start: int) -> Said:
    try:
        return parse_printed_said(text)
    except ValueError as error:
        raise _Refusal(
            "ET103",
            start,
            start + len(text),
            str(error),
            "PROTOCOL0xSPI@ADDRESS or a magic SAID",
            "the row is cut, was edited, or its SPI was taken out of the capture",
        ) from None


_V4_SUFFIX: Final = re.compile(r"(.*[^:]):([0-9]{1,4})\Z", re.ASCII)


def _split_suffix(word: str, source: Prefix, start: int) -> tuple[str, str]:
    """Part a SAID from the protocol glued to it.

    With an IPv6 edst the two collide (``…@2001:db8::1:6``).  The kernel prints byte 8 of an IPv6
    source there, and nothing when it is 0: that byte tells (facts in docs/klips.md).
    """
    if source.family == 6:
        byte = source.address >> SOURCE_BYTE_8 & 0xFF
        tail = f":{byte}"
        if byte and word.endswith(tail):
            return word[: -len(tail)], str(byte)
        if byte:
            raise _Refusal(
                "ET112",
                start,
                start + len(word),
                f"KLIPS prints :{byte} behind the SAID of this source, and it is not there",
                f"SAID:{byte}",
                "the row was edited or is cut",
            )
        zero = word.endswith(":0") and word.startswith(("%", "ah.", "esp.", "tun.", "comp."))
        return (word[:-2], "") if zero else (word, "")
    if "@" in word and ":" in word.partition("@")[2].partition(":")[2]:
        # A 6-in-4 SAID: the address has colons of its own, and only an IPv4 row has a suffix.
        return _split_six_in_four(word, start)
    match = _V4_SUFFIX.match(word)
    return (match[1], match[2]) if match else (word, "")


def _split_six_in_four(word: str, start: int) -> tuple[str, str]:
    """An IPv4 eroute through an IPv6 tunnel: refuse when the suffix cannot be told apart."""
    readings = []
    match = _V4_SUFFIX.match(word)
    for body, suffix in ((word, ""), (match[1], match[2]) if match else ("", "")):
        try:
            parse_said(body)
        except ValueError:
            continue
        readings.append((body, suffix))
    if len(readings) > 1:
        raise _Refusal(
            "ET112",
            start,
            start + len(word),
            "the end of this SAID can be read as part of the address or as a protocol",
            "an address that stands alone",
            "take this eroute from the script or the configuration that made it",
        )
    return readings[0] if readings else (word, "")


def refuse(eroute: Eroute, code: str) -> Eroute:
    """The eroute with nothing but its addresses left, so that its traffic can be blocked."""
    selector = eroute.selector._replace(protocol=0, source_port=0, destination_port=0)
    said = Said(0, 0, 4, 0, str(eroute.said))
    return eroute._replace(selector=selector, saids=(said,), defect=code)


def contiguous(prefix: Prefix) -> bool:
    """Whether the mask has no holes."""
    return prefix.mask in LENGTH_OF_MASK[prefix.family]
