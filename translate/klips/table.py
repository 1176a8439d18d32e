"""Finds the eroute tables in a text: proc files, ``ipsec eroute``, ``ipsec look``, whole captures.

Every line is accounted for: it is a row, part of a wrapped row, a row that cannot be read (with a
diagnostic), or a line that holds no eroute (counted, with a note).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from ..diagnostics import Collector, Diagnostic, Severity, Span
from .capture import clean_lines
from .eroute import Form
from .kernel_row import KernelRows
from .listing import Listing, UnreadRow
from .noise import Noise
from .repeats import ascending, check_repeats
from .row import (
    IDENTITIES,
    LOOK_COUNT,
    ROW,
    ROW_ANYWHERE,
    ROW_START,
    ROW_WITHOUT_ARROWS,
    RowText,
    read_row,
    refuse,
)
from .sections import DATE_LINE

_NEW_LISTING: Final = re.compile(
    r"ipsec[ _]eroute|eroute/all|ipsec look|ipsec barf|_{10,} |^Linux (?:FreeS/WAN|Openswan)"
)
"""A command or heading after which a table begins anew."""

_SHORT: Final = 24
"""Shorter lines are no rows; identities and pieces of a row broken by a terminal are."""

_PIECE: Final = re.compile(r"\s*(?:[0-9a-fA-Fx@:.]{1,44}|subnet|through[46]?)\s*\Z")
"""A lone piece of a word: the end of a SAID that a terminal broke at its last column."""

_CUT_ROW: Final = re.compile(r"\s*-?[0-9]+(?:\s+[\[0-9a-fA-F:./\]]*\s*-?)?\Z")
"""What is left of a row that was cut before its arrow."""

_OTHER_ROW: Final = re.compile(r"\s*(?:(?:ipsec|mast)[0-9]+ ?->|\S+@\S+ [A-Z]\S*: )")
"""A row of ``ipsec tncfg`` or ``ipsec spi``: its arrow is not that of an eroute."""

_LOGGED: Final = re.compile(r".*?(?:\bpluto\b|\bklips_|^\| ).*?\beroute\s+[0-9a-fA-F:.]+/")
"""What pluto and KLIPS log of an eroute that comes or goes (``DBG_log`` of kernel.c:raw_eroute)."""

_QUOTE: Final = re.compile(r"(?:[>|] ?)+(?=\s*[-+]?[0-9\[])")
_QUOTE_ANY: Final = re.compile(r"(?:[>|] ?)+")
DISK_BLOCK: Final = 512
"""A copy that was interrupted ends at a multiple of this; a text ends there by chance alone."""

_WRAPPED_LINES: Final = 4
_PROC: Final = Form.PROC.value


def read_listings(data: bytes, name: str, collector: Collector) -> list[Listing]:
    """Read all tables of a text, in order.  Diagnostics go to the collector; nothing is raised.

    A listing without any row is left out.
    """
    lines = clean_lines(data, name, collector)
    noise = Noise(lines, name)
    listings = read_tables(lines, data, name, collector, noise.take)
    noise.report(
        collector,
        ("holds no eroute", "hold no eroute"),
        "" if listings else "the file should hold what `ipsec eroute` prints",
    )
    return listings


def read_tables(
    lines: list[str],
    data: bytes,
    name: str,
    collector: Collector,
    other: Callable[[int], bool],
) -> list[Listing]:
    """Read the eroute tables of clean lines; ``data`` is what they were made of.

    ``other`` is called with the index of each line that is not blank and no part of a table, in
    their order; it answers whether a table that began above ends there.
    """
    reader = _Reader(lines, name, collector, other)
    listings = [listing for listing in reader.read() if listing.rows]
    for listing in listings:
        listing.in_kernel_order = ascending(listing.eroutes)
        check_repeats(listing, collector)
    if listings and data[-1:] not in (b"\n", b"\r") and _ends_with_row(lines, listings[-1]):
        last = listings[-1].eroutes[-1].span
        at_block = len(data) % DISK_BLOCK == 0
        collector.add(
            Diagnostic(
                "ET106",
                Severity.ERROR if at_block else Severity.WARNING,
                f"the input ends inside its last line after {len(data)} bytes, a whole number of"
                " blocks: it was cut there"
                if at_block
                else "the last row has no line end: its last word may be cut",
                last,
                excerpt=lines[last.line - 1],
                hint="compare it with the host, or take the table again",
            )
        )
        if at_block:
            listings[-1].eroutes[-1] = refuse(listings[-1].eroutes[-1], "ET106")
    elif listings and data[-1:] not in (b"\n", b"\r"):
        reader.check_last_line(listings[-1])
    return listings


def _ends_with_row(lines: list[str], listing: Listing) -> bool:
    return bool(listing.eroutes) and listing.eroutes[-1].span.end_line >= len(lines)


class _Reader:
    """The scan over the lines of one text."""

    def __init__(
        self, lines: list[str], name: str, collector: Collector, other: Callable[[int], bool]
    ) -> None:
        self.lines = lines
        self.name = name
        self.collector = collector
        self.other = other
        self.listings = [Listing(name)]

    def read(self) -> list[Listing]:
        """Every listing of the text; the last one may be empty.

        A row as the kernel prints it is read at once, any other line by what it begins with.
        """
        index = 0
        lines, total = self.lines, len(self.lines)
        kernel_row = KernelRows(self.name).read
        while index < total:
            eroute = kernel_row(lines[index], index)
            index += 1
            if eroute is None or (index < total and _may_go_on(lines[index])):
                index = self._slow(index - 1)
                continue
            eroutes = self.listings[-1].eroutes
            if eroutes and eroutes[-1][5] != _PROC:
                eroutes = self._begin().eroutes
            eroutes.append(eroute)
        return self.listings

    def _begin(self) -> Listing:
        if self.listings[-1].rows:
            self.listings.append(Listing(self.name))
        return self.listings[-1]

    def _slow(self, index: int) -> int:
        """Read a line that is not a plain kernel row; return the index of the next one."""
        line = self.lines[index]
        quoted = _QUOTE.match(line)
        offset = quoted.end() if quoted else 0
        text = line[offset:]
        if "->" not in text and not ROW_START.match(text):
            if "/" in text and ROW_WITHOUT_ARROWS.match(text):
                self._take(RowText(line, self._span(index, index)))
                return index + 1
            return self._no_row(index)
        if ROW.match(text):
            return self._row(index, offset)
        if ROW_START.match(text):
            return self._joined(index, offset)
        if ROW_ANYWHERE.search(text) and not _LOGGED.match(text):
            self._take(RowText(line, self._span(index, index)))
            return index + 1
        return self._no_row(index)

    def _no_row(self, index: int) -> int:
        line = self.lines[index]
        if line.strip():
            ends = self.other(index)
            if ends or _NEW_LISTING.search(line) or DATE_LINE.match(line):
                self._begin()
        return index + 1

    def _text(self, index: int) -> str:
        """A following line, without the quote marks of a mail."""
        line = self.lines[index]
        quoted = _QUOTE_ANY.match(line)
        return line[quoted.end() :] if quoted else line

    def _next_text(self, index: int) -> int:
        """The index of the next line that is not blank, at most a few lines on."""
        for ahead in range(index + 1, min(index + 1 + _WRAPPED_LINES, len(self.lines))):
            if self._text(ahead).strip():
                return ahead
        return index

    def _row(self, index: int, offset: int) -> int:
        """A line with both arrows; its SAID or identities may stand on following lines."""
        text = self.lines[index]
        last = index
        match = ROW.match(text, offset)
        counted = match is not None and match["count"] is not None
        if match is not None and not match["rest"].strip():
            ahead = self._next_text(index)
            if ahead != index and _starts_with_said(self._text(ahead), single=counted):
                text = f"{text.rstrip()} {self._text(ahead).strip()}"
                last = ahead
        elif match is not None and "(" not in match["rest"] and self._broken(index):
            return self._cut_in_a_word(index)
        text, last = self._with_end(text, last, counted=counted)
        self._take(RowText(" " * offset + text[offset:], self._span(index, last)))
        return last + 1

    def _with_end(self, text: str, last: int, *, counted: bool) -> tuple[str, int]:
        """Add the identities, or the count of ``ipsec look``, that stand on the next line."""
        if "(" in text:
            return text, last
        ahead = self._next_text(last)
        end = IDENTITIES if counted else LOOK_COUNT
        if ahead != last and end.match(self._text(ahead)):
            return f"{text.rstrip()} {self._text(ahead).strip()}", ahead
        return text, last

    def _broken(self, index: int) -> bool:
        """Whether the next line is a piece of a word that a terminal broke off this one."""
        return index + 1 < len(self.lines) and _PIECE.match(self._text(index + 1)) is not None

    def _cut_in_a_word(self, index: int) -> int:
        line, piece = self.lines[index], self.lines[index + 1]
        self.collector.add(
            Diagnostic(
                "ET106",
                Severity.ERROR,
                f"this row is broken inside a word: {piece.strip()!r} on the next line may belong"
                " to it",
                self._span(index, index)._replace(column=len(line.rstrip())),
                excerpt=line,
                expected="the whole row on one line",
                hint="take the table again on a wider terminal, or into a file",
            )
        )
        row = RowText(line, self._span(index, index + 1))
        eroute = read_row(row, Collector())
        if eroute is None:
            self.listings[-1].unread.append(UnreadRow(*row.span))
        else:
            # The piece may have been the protocol: without it the block is the wider one.
            self.listings[-1].eroutes.append(refuse(eroute, "ET106"))
        return index + 2

    def _joined(self, index: int, offset: int) -> int:
        """The head of a row: join following lines until both arrows and a SAID are there."""
        text = self.lines[index][offset:]
        last = index
        for _ in range(_WRAPPED_LINES):
            ahead = self._next_text(last)
            if ahead == last or self._stands_alone(self._text(ahead)):
                break
            text = f"{text.rstrip()} {self._text(ahead).strip()}"
            last = ahead
            match = ROW.match(text)
            if match is not None and match["rest"].strip():
                break
        match = ROW.match(text)
        if match is None:
            if "->" not in text:
                # A bare subnet on a line of its own is no row: routes look like that too.
                return self._no_row(index)
            self._take(RowText(self.lines[index], self._span(index, index)))
            return index + 1
        if "(" not in match["rest"] and self._broken(last):
            return self._cut_in_a_word(last)
        text, last = self._with_end(text, last, counted=match["count"] is not None)
        self._take(RowText(text, self._span(index, last)))
        return last + 1

    @staticmethod
    def _stands_alone(line: str) -> bool:
        """Whether a line is a row, or the head of one, by itself; or a row of another table."""
        if _OTHER_ROW.match(line):
            return True
        return ROW.match(line) is not None or ("->" in line and ROW_START.match(line) is not None)

    def _span(self, first: int, last: int) -> Span:
        return Span(self.name, first + 1, 1, len(self.lines[first]) + 1, last + 1)

    def _take(self, row: RowText) -> None:
        eroute = read_row(row, self.collector)
        listing = self.listings[-1]
        if eroute is None:
            listing.unread.append(UnreadRow(*row.span))
            return
        # `ipsec look` rows and proc rows never stand in one table.
        if listing.eroutes and listing.eroutes[-1].form != eroute.form:
            listing = self._begin()
        listing.eroutes.append(eroute)

    def check_last_line(self, listing: Listing) -> None:
        """A last line without line end, right behind a row: a row cut before its arrow?"""
        number = len(self.lines)
        last = listing.eroutes[-1].span if listing.eroutes else listing.span
        line = self.lines[-1]
        if last.end_line != number - 1 or not _CUT_ROW.match(line):
            return
        span = self._span(number - 1, number - 1)
        self.collector.add(
            Diagnostic(
                "ET106",
                Severity.ERROR,
                "this row is cut: what follows it is missing",
                span,
                excerpt=line,
                expected="COUNT SOURCE/BITS -> DESTINATION/BITS => SAID",
                hint="take the table again, whole",
            )
        )
        listing.unread.append(UnreadRow(*span))


def _may_go_on(following: str) -> bool:
    """Whether a line behind a row may be a piece of it: a short one, or one of identities."""
    return len(following) < _SHORT or following[0] in " (>|"


def _starts_with_said(line: str, *, single: bool) -> bool:
    """Whether a line goes on with the SAID of a row; a proc row names a single one."""
    words = line.split()
    saids = [word for word in words if word.startswith(("%", "(error)")) or "@" in word]
    return bool(words) and words[0] in saids and not (single and len(saids) > 1)
