"""Finds the eroute tables in a text: proc files, ``ipsec eroute``, ``ipsec look``, whole captures.

Every line is accounted for: it is a row, part of a wrapped row, a row that cannot be read (with a
diagnostic), or a line that holds no eroute (counted, with a note).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from socket import AF_INET, inet_pton
from typing import Final

from ..diagnostics import Collector, Diagnostic, Severity, Span
from ..net import MASK_OF_LENGTH, Prefix, Selector
from .address import parse_ipv4
from .capture import clean_lines
from .eroute import Eroute, Form
from .lookup import row_of
from .row import IDENTITIES, LOOK_COUNT, ROW, ROW_ANYWHERE, ROW_START, RowText, read_row
from .said import MAGIC, PREFIXES, Said


class UnreadRow(Span):
    """The place of a row of which not even the selector could be read."""

    __slots__ = ()


@dataclass(slots=True)
class Listing:
    """One printed table.

    ``eroutes`` in printed order; ``unread`` the rows that gave none; ``repeats`` rows that stand
    in the table already; ``in_kernel_order`` tells
    whether rows ascend as the kernel prints them (``ipsec look`` and ``sort`` lose that order).
    """

    file: str
    eroutes: list[Eroute] = field(default_factory=list)
    unread: list[UnreadRow] = field(default_factory=list)
    repeats: list[Eroute] = field(default_factory=list)
    in_kernel_order: bool = True

    @property
    def span(self) -> Span:
        """The place of the first row."""
        if self.eroutes:
            return self.eroutes[0].span
        return self.unread[0] if self.unread else Span(self.file, 1)

    @property
    def rows(self) -> int:
        """How many rows it has, readable or not."""
        return len(self.eroutes) + len(self.unread) + len(self.repeats)


_QUAD: Final = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"
_KERNEL_ROW: Final = re.compile(
    rf"(-?[0-9]{{1,10}}) +({_QUAD}/[0-9]{{1,2}})(?::([1-9][0-9]{{0,4}}))? +->"
    rf" +({_QUAD}/[0-9]{{1,2}})(?::([1-9][0-9]{{0,4}}))? +=>"
    rf" +(?:(tun|esp|ah|comp)0x([0-9a-f]{{1,8}})@({_QUAD})|(%[a-z]+))(?::([1-9][0-9]{{0,2}}))?\Z",
    re.ASCII,
)
"""A sound IPv4 row exactly as /proc prints it; all other rows take the long way."""

_NEW_LISTING: Final = re.compile(
    r"ipsec[ _]eroute|eroute/all|ipsec look|ipsec barf|_{10,} |^Linux (?:FreeS/WAN|Openswan)"
)
"""A command or heading after which a table begins anew."""

_QUOTE: Final = re.compile(r"(?:[>|] ?)+(?=\s*[-+]?[0-9\[])")
_WRAPPED_LINES: Final = 4


class _Cache(dict[str, Prefix]):
    """Texts of IPv4 prefixes already read; a table names the same subnets again and again."""

    def __missing__(self, text: str) -> Prefix:
        address, _, length = text.partition("/")
        try:
            mask = _MASKS[int(length)]
        except IndexError:
            raise ValueError(text) from None
        prefix = _new(Prefix, (4, _quad(address), mask))
        self[text] = prefix
        return prefix


_MASKS: Final = MASK_OF_LENGTH[4]
_new: Final = tuple.__new__
"""Builds a NamedTuple from a tuple at half the price of calling its class."""


def _quad(text: str) -> int:
    """Four decimal bytes as a number; leading zeros take the long way."""
    try:
        return _UNPACK(inet_pton(AF_INET, text))[0]  # type: ignore[no-any-return]
    except OSError:
        return parse_ipv4(text)


_UNPACK: Final = struct.Struct(">I").unpack


def read_listings(data: bytes, name: str, collector: Collector) -> list[Listing]:
    """Read all tables of a text, in order.  Diagnostics go to the collector; nothing is raised.

    A listing without any row is left out.
    """
    lines = clean_lines(data, name, collector)
    reader = _Reader(lines, name, collector)
    listings = [listing for listing in reader.read() if listing.rows]
    for listing in listings:
        listing.in_kernel_order = _ascending(listing.eroutes)
        _check_repeats(listing, collector)
    if listings and data[-1:] not in (b"\n", b"\r") and _ends_with_row(lines, listings[-1]):
        last = listings[-1].eroutes[-1].span
        collector.add(
            Diagnostic(
                "ET106",
                Severity.WARNING,
                "the last row has no line end: its last word may be cut",
                last,
                excerpt=lines[last.line - 1],
                hint="compare it with the host, or take the table again",
            )
        )
    reader.report_noise(bool(listings))
    return listings


def _ends_with_row(lines: list[str], listing: Listing) -> bool:
    return bool(listing.eroutes) and listing.eroutes[-1].span.end_line >= len(lines)


class _Reader:
    """The scan over the lines of one text."""

    def __init__(self, lines: list[str], name: str, collector: Collector) -> None:
        self.lines = lines
        self.name = name
        self.collector = collector
        self.listings = [Listing(name)]
        self.noise = 0
        self.first_noise = 0
        self.prefixes = _Cache()

    def read(self) -> list[Listing]:
        index = 0
        lines, total = self.lines, len(self.lines)
        kernel_row, quick = _KERNEL_ROW.match, self._quick
        while index < total:
            line = lines[index]
            match = kernel_row(line)
            eroute = quick(match, index) if match is not None else None
            if eroute is not None:
                listing = self.listings[-1]
                if listing.eroutes and listing.eroutes[-1].form != Form.PROC:
                    listing = self._begin()
                listing.eroutes.append(eroute)
                index += 1
            else:
                index = self._slow(index)
        return self.listings

    def _begin(self) -> Listing:
        if self.listings[-1].rows:
            self.listings.append(Listing(self.name))
        return self.listings[-1]

    def _quick(self, match: re.Match[str], index: int) -> Eroute | None:
        """A sound row in one step; ``None`` sends it the long way to its diagnostic."""
        count, source, sport, destination, dport, name, spi, edst, shunt, proto = match.groups()
        line = index + 1
        try:
            if name is not None:
                said = _new(Said, (PREFIXES[name], int(spi, 16), 4, _quad(edst), ""))
                if not said[1] and not said[3]:
                    return None
            else:
                said = MAGIC[shunt]
            selector = _new(
                Selector,
                (
                    self.prefixes[source],
                    self.prefixes[destination],
                    int(proto) if proto else 0,
                    int(sport) if sport else 0,
                    int(dport) if dport else 0,
                ),
            )
        except (ValueError, KeyError):
            return None
        if selector[2] > 255 or selector[3] > 65535 or selector[4] > 65535:
            return None
        number = int(count)
        if not -0x80000000 <= number <= 0xFFFFFFFF:
            return None
        return _new(
            Eroute,
            (
                selector,
                (said,),
                _new(Span, (self.name, line, 1, match.end() + 1, line)),
                number & 0xFFFFFFFF,
                None,
                "proc",
                "",
            ),
        )

    def _slow(self, index: int) -> int:
        """Read a line that is not a plain kernel row; return the index of the next one."""
        line = self.lines[index]
        quoted = _QUOTE.match(line)
        offset = quoted.end() if quoted else 0
        text = line[offset:]
        if "->" not in text and not ROW_START.match(text):
            return self._no_row(index)
        if ROW.match(text):
            return self._row(index, offset)
        if ROW_START.match(text):
            return self._joined(index, offset)
        if ROW_ANYWHERE.search(text):
            self._take(RowText(line, self._span(index, index)))
            return index + 1
        return self._no_row(index)

    def _no_row(self, index: int) -> int:
        line = self.lines[index]
        if line.strip():
            if _NEW_LISTING.search(line):
                self._begin()
            self.noise += 1
            self.first_noise = self.first_noise or index + 1
        return index + 1

    def _next_text(self, index: int) -> int:
        """The index of the next line that is not blank, at most a few lines on."""
        for ahead in range(index + 1, min(index + 1 + _WRAPPED_LINES, len(self.lines))):
            if self.lines[ahead].strip():
                return ahead
        return index

    def _row(self, index: int, offset: int) -> int:
        """A line with both arrows; its SAID or identities may stand on following lines."""
        text = self.lines[index]
        last = index
        match = ROW.match(text, offset)
        if match is not None and not match["rest"].strip():
            ahead = self._next_text(index)
            if ahead != index and _starts_with_said(self.lines[ahead]):
                text = f"{text.rstrip()} {self.lines[ahead].strip()}"
                last = ahead
        if match is not None and "(" not in text and match["count"] is not None:
            ahead = self._next_text(last)
            if ahead != last and IDENTITIES.match(self.lines[ahead]):
                text = f"{text.rstrip()} {self.lines[ahead].strip()}"
                last = ahead
        elif match is not None and "(" not in text and match["count"] is None:
            ahead = self._next_text(last)
            if ahead != last and LOOK_COUNT.match(self.lines[ahead]):
                text = f"{text.rstrip()} {self.lines[ahead].strip()}"
                last = ahead
        self._take(RowText(" " * offset + text[offset:], self._span(index, last)))
        return last + 1

    def _joined(self, index: int, offset: int) -> int:
        """The head of a row: join following lines until both arrows and a SAID are there."""
        text = self.lines[index][offset:]
        last = index
        for _ in range(_WRAPPED_LINES):
            ahead = self._next_text(last)
            if ahead == last or self._stands_alone(self.lines[ahead]):
                break
            text = f"{text.rstrip()} {self.lines[ahead].strip()}"
            last = ahead
            match = ROW.match(text)
            if match is not None and match["rest"].strip():
                break
        if ROW.match(text) is None:
            if "->" not in text:
                # A bare subnet on a line of its own is no row: routes look like that too.
                return self._no_row(index)
            self._take(RowText(self.lines[index], self._span(index, index)))
            return index + 1
        ahead = self._next_text(last)
        if ahead != last and "(" not in text and IDENTITIES.match(self.lines[ahead]):
            text = f"{text.rstrip()} {self.lines[ahead].strip()}"
            last = ahead
        self._take(RowText(text, self._span(index, last)))
        return last + 1

    @staticmethod
    def _stands_alone(line: str) -> bool:
        """Whether a line is a row, or the head of one, by itself."""
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

    def report_noise(self, found: bool) -> None:
        """Say how many lines held no eroute."""
        if not self.noise:
            return
        self.collector.add(
            Diagnostic(
                "ET114",
                Severity.NOTE,
                f"{self.noise} lines hold no eroute and were passed over"
                if self.noise > 1
                else "one line holds no eroute and was passed over",
                Span(self.name, self.first_noise),
                excerpt=self.lines[self.first_noise - 1],
                hint="" if found else "the file should hold what `ipsec eroute` prints",
            )
        )


def _starts_with_said(line: str) -> bool:
    head = line.split(None, 1)[0]
    return head.startswith(("%", "(error)")) or "@" in head


def _ascending(eroutes: list[Eroute]) -> bool:
    """Whether the rows stand in the order in which the kernel walks its tree (keys ascend)."""
    previous: tuple[int, ...] = ()
    last = eroutes[0] if eroutes else None
    for eroute in eroutes:
        if eroute[5] != Form.PROC.value:
            return False
        source, destination, protocol, source_port, destination_port = eroute[0]
        key = (source[0], source[1], destination[1], protocol, source_port, destination_port)
        if key < previous or (key == previous and _coarse_first(last, eroute)):
            return False
        previous, last = key, eroute
    return True


def _coarse_first(one: Eroute | None, other: Eroute) -> bool:
    """Whether the second of two rows with one key is the finer one.

    The kernel puts a finer row before the head of its chain, so that only a sorted or edited
    table has that order (but for a chain whose head was removed later).
    """
    if one is None:
        return False
    first, second = row_of(one.selector).mask, row_of(other.selector).mask
    return first != second and first & second == first


def _check_repeats(listing: Listing, collector: Collector) -> None:
    """Find rows that stand twice: the kernel's restarted walk (facts in docs/klips.md), or not.

    Openswan 2.6.43 to 3.0 start the walk anew at each read: what goes beyond the first page
    never appears, and the first page appears again in the same order.
    """
    eroutes = listing.eroutes
    first_at: dict[Selector, int] = {}
    repeats: list[tuple[int, int]] = []
    for index, eroute in enumerate(eroutes):
        before = first_at.setdefault(eroute.selector, index)
        if before != index:
            repeats.append((before, index))
    if not repeats:
        return
    before, index = repeats[0]
    period = index - before
    cyclic = all(
        eroutes[i].selector == eroutes[i - period].selector
        and eroutes[i].saids == eroutes[i - period].saids
        for i in range(index, len(eroutes))
    )
    if cyclic and before == 0:
        _report_cycle(listing, index, collector)
        listing.repeats.extend(eroutes[index:])
        del eroutes[index:]
        return
    doomed = set()
    for before, index in repeats:
        one, other = eroutes[before], eroutes[index]
        same = one.saids == other.saids
        chain = listing.in_kernel_order
        collector.add(
            Diagnostic(
                "ET113",
                Severity.NOTE if same or chain else Severity.ERROR,
                "this selector stands in the table already"
                + ("" if same else f", with {one.said} in place of {other.said}"),
                other.span,
                related=((one.span, "here it stands first"),),
                hint="KLIPS always took the first of the two"
                if chain
                else ""
                if same
                else "two tables were joined, or rows were edited: keep the one that holds",
            )
        )
        doomed.add(index)
        if same or chain:
            listing.repeats.append(other)
        else:
            listing.unread.append(UnreadRow(*other.span))
    listing.eroutes = [e for i, e in enumerate(eroutes) if i not in doomed]


def _report_cycle(listing: Listing, index: int, collector: Collector) -> None:
    eroutes = listing.eroutes
    collector.add(
        Diagnostic(
            "ET110",
            Severity.ERROR,
            f"the table begins anew here after {index} rows: the kernel repeats its first page"
            " and never prints the rest, so that eroutes are missing",
            eroutes[index].span,
            related=((eroutes[0].span, "the same row for the first time"),),
            hint="Openswan 2.6.43 to 3.0 print at most one page; take the eroutes from the"
            " script or the configuration that made them, or delete eroutes that were read and"
            " read again. If the table is complete, remove the repeated rows",
        )
    )
