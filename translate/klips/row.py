"""The grammar of one row of an eroute table.

``ipsec_eroute(5)`` shows rows that no kernel printed (ports and protocol even when 0, identities,
``tun:130@…``), and the kernels printed rows that no manual shows (IPv6 with ports and protocol).
Both are read; where the kernel lost something on the way, the row is refused with the reason.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..diagnostics import Collector, Diagnostic, Severity, Span
from ..net import Prefix, Selector
from .eroute import Eroute, Form
from .row_ends import RowRefusal, read_end
from .row_saids import Tail, read_saids
from .said import Said

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

ROW_WITHOUT_ARROWS: Final = re.compile(
    rf"\s*-?[0-9]+\s+{SUBNET}\s+\S{{0,3}}\s*{SUBNET}\s+\S{{0,3}}\s*"
    r"(?:%[a-zA-Z]|\(error\)|(?:tun|esp|ah|comp|int)[0-9a-fx.:]+@)"
)
"""A row all of whose parts but an arrow stand there: somebody edited it, or a sign was lost."""

ROW_START: Final = re.compile(rf"\s*+(?:-?[0-9]++\s++)?{SUBNET}\s*+(?:->.*)?\Z")
"""The head of a row that goes on in the next line, or that is cut."""

IDENTITIES: Final = re.compile(r"\s*\(([^()]*)\)\s+\(([^()]*)\)\s*\Z")
"""``(source identity) (destination identity)``, also on a line of its own."""

LOOK_COUNT: Final = re.compile(r"\s*\((-?[0-9]+)\)\s*\Z")
_GROUP_COUNT: Final = re.compile(r"-?[0-9]+\Z", re.ASCII)


_COUNT_AND_MORE: Final = re.compile(r"(.*?\S\s++\(-?[0-9]+\))(\s++[^\s(].*)\Z")
_HARMLESS: Final = ("ET116", "ET117")


class RowText(NamedTuple):
    """A row put together from its lines; ``text`` is what columns count in."""

    text: str
    span: Span


def read_row(row: RowText, collector: Collector) -> Eroute | None:
    """Read one row; every part of it that cannot be read is a diagnostic of its own.

    With an unreadable SAID but a sound selector the eroute is still returned, marked by
    :attr:`Eroute.defect`, so that its traffic can be blocked.  Otherwise ``None``.
    """
    match = ROW.match(row.text)
    if match is None:
        _report_unreadable(row, collector)
        return None
    problems: list[RowRefusal] = []
    if "->" in match["rest"] and "=>" in match["rest"]:
        _two_rows(row, match, collector)
        return None
    match = _without_tail(match, problems)
    count = _count(match, problems)
    source = destination = None
    try:
        source = read_end(match, "source")
    except RowRefusal as refusal:
        problems.append(refusal)
    try:
        destination = read_end(match, "destination")
    except RowRefusal as refusal:
        problems.append(refusal)
    tail = _split_rest(match, problems)
    # Byte 8 of an IPv6 source decides whether the SAID has a suffix, so nothing can be said
    # about the SAID of a row whose source is not known.
    saids: tuple[Said, ...] = ()
    protocol = 0
    if source is not None:
        try:
            saids, protocol = read_saids(tail, source[0])
        except RowRefusal as refusal:
            problems.append(refusal)
    if source and destination and source[0].family != destination[0].family:
        problems.append(
            RowRefusal(
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
    tail: Tail,
    problems: list[RowRefusal],
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
    cut = "=>" not in text and not ROW_WITHOUT_ARROWS.match(text)
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


def _diagnostic(row: RowText, problem: RowRefusal) -> Diagnostic:
    return Diagnostic(
        problem.code,
        Severity.WARNING if problem.code in _HARMLESS else Severity.ERROR,
        str(problem),
        row.span._replace(column=problem.start + 1, end_column=problem.end + 1),
        excerpt=row.text,
        expected=problem.expected,
        hint=problem.hint,
    )


def _without_tail(match: re.Match[str], problems: list[RowRefusal]) -> re.Match[str]:
    """Leave out what stands behind the count of an ``ipsec look`` row, which ends it."""
    if match["count"] is not None:
        return match
    more = _COUNT_AND_MORE.match(match["rest"])
    if more is None:
        return match
    end = match.start("rest") + more.end(1)
    problems.append(
        RowRefusal(
            "ET117",
            end + len(more[2]) - len(more[2].lstrip()),
            len(match.string.rstrip()),
            "there is text behind the end of the row; it was not read",
            "the end of the line",
        )
    )
    return ROW.match(match.string[:end]) or match


def _count(match: re.Match[str], problems: list[RowRefusal]) -> int | None:
    text = match["count"]
    return None if text is None else _in_32_bits(text, match.start("count"), problems)


def _in_32_bits(text: str, start: int, problems: list[RowRefusal]) -> int:
    """A packet count as it was before it was printed with a sign."""
    count = int(text[:40])
    if -(1 << 31) <= count < 1 << 32:
        return count & 0xFFFFFFFF
    problems.append(
        RowRefusal(
            "ET116",
            start,
            start + len(text),
            f"{text[:40]} does not fit a counter of 32 bits",
            "a packet count",
            "the count has no part in the translation; the row is carried without it",
        )
    )
    return 0


def _split_rest(match: re.Match[str], problems: list[RowRefusal]) -> Tail:
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
    return Tail(words, identities, look_count, offset, offset + end)


def _last_group(rest: str, end: int) -> int | None:
    """Where the last ``(...)`` of the text starts, if the text ends in one.

    A name of a certificate has blanks in it, and may have parentheses of its own.
    """
    text = rest[:end].rstrip()
    if not text.endswith(")"):
        return None
    depth = 0
    for match in reversed(list(re.finditer(r"[()]", text))):
        depth += 1 if match[0] == ")" else -1
        if not depth:
            return match.start()
    return None


def refuse(eroute: Eroute, code: str) -> Eroute:
    """The eroute with nothing but its addresses left, so that its traffic can be blocked."""
    selector = eroute.selector._replace(protocol=0, source_port=0, destination_port=0)
    said = Said(0, 0, 4, 0, str(eroute.said))
    return eroute._replace(selector=selector, saids=(said,), defect=code)
