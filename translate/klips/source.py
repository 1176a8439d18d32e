"""Reads everything that one text says of KLIPS hosts: their eroutes and all the other tables.

Each line goes to exactly one reader: it is part of an eroute table (:mod:`.table`), a heading
(:mod:`.sections`), an entry of another table, which its reader takes or refuses, or a line that
nothing knows, which is counted (ET114).  Rows are known by their shape, so that a capture that was
cut anywhere is still read.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final, NamedTuple

from ..diagnostics import Collector, Diagnostic, Severity, Span
from .addresses import belongs_to_block, device_of_head, looks_like_address, read_address
from .association import Association, Group
from .capture import clean_lines
from .interface import Attachment, InterfaceAddress, Route, RoutingRule
from .listing import Listing, UnreadRow
from .noise import Noise
from .parameters import Parameter, looks_like_parameter, read_parameter
from .reading import UNNAMED, Reading
from .routes import (
    has_metric_column,
    is_cache_line,
    is_next_hop,
    is_route_heading,
    looks_like_route,
    looks_like_rule,
    read_route,
    read_rule,
)
from .sections import LOOK, NO_SECTION, Kind, Section, Sectioner
from .spi import looks_like_association, read_association
from .spigrp import looks_like_group, read_group
from .stack import (
    looks_like_debug,
    looks_like_natt,
    looks_like_ocf,
    looks_like_pf_key,
    looks_like_registered,
    looks_like_saref,
    looks_like_supported,
    looks_like_trap_count,
    looks_like_version,
    looks_like_xform,
    read_version,
)
from .table import read_tables
from .tncfg import looks_like_attachment, read_attachments
from .written import WrittenConfiguration, is_conf, policy_group_of

_CHANGE: Final = re.compile(
    r"(?:\bipsec|/ipsec)[ /]eroute .*--(?:add|replace|del|clear|addin|replacein)\b"
)
"""A command that changes the table of eroutes."""


class _Version(NamedTuple):
    """The line of ``ipsec_version``."""

    text: str


class _Clone(NamedTuple):
    """A route of the cache: counted, but no part of the table."""

    route: object


_Value = (
    Association
    | Group
    | Attachment
    | InterfaceAddress
    | Route
    | RoutingRule
    | Parameter
    | _Version
    | _Clone
    | None
)


class _Entry(NamedTuple):
    """An entry of some table: where it stands, and its value, ``None`` if it was refused."""

    line: int
    section: Section
    kind: Kind
    value: _Value


def read_source(
    data: bytes, name: str, collector: Collector, section: Section = NO_SECTION
) -> list[Reading]:
    """Read a text; one reading for each host and eroute table in it, in their order.

    ``section`` says what the name of a file tells of it.  A text without any entry gives no
    reading.  Diagnostics go to the collector; nothing is raised.
    """
    lines = clean_lines(data, name, collector)
    rest = _Rest(lines, name, collector, section)
    listings = read_tables(lines, data, name, collector, rest.take)
    rest.end()
    rest.changed(listings)
    rest.noise.report(
        collector,
        ("holds nothing that is read", "hold nothing that is read"),
        ""
        if listings or rest.entries or rest.written
        else "the file should hold what `ipsec eroute` prints",
    )
    return _readings(name, listings, rest)


class _Rest:
    """Takes the lines that are no eroutes to their readers."""

    def __init__(self, lines: list[str], name: str, collector: Collector, section: Section) -> None:
        self._lines = lines
        self._name = name
        self._collector = collector
        self._sectioner = Sectioner(lines, section)
        self._device = ""
        self._metric_column = False
        self._family = 4
        self._open_route: Route | None = None
        self._hops = 0
        self._changes: list[tuple[int, int]] = []
        self.noise = Noise(lines, name)
        self.entries: list[_Entry] = []
        self.places: list[tuple[int, int]] = [(0, section.place)]
        self.names: dict[int, str] = {section.place: section.host}
        self.written: dict[int, WrittenConfiguration] = {}

    def take(self, index: int) -> bool:
        """Read the line at an index; whether another host or another look begins there."""
        sectioner = self._sectioner
        before = sectioner.section
        heading = sectioner.heading(index)
        section = sectioner.section
        if heading:
            if _CHANGE.search(section.name):
                self._changes.append((index, section.place))
            if section.number != before.number:
                self._leave_section()
            self.names[section.place] = section.host
            if section.place != before.place:
                self.places.append((index + 1, section.place))
                return True
            return section.number != before.number and section.name == LOOK
        line = self._lines[index]
        if section.kind is Kind.CONFIGURATION and self._configuration(line, index, section):
            return False
        if section.kind in (Kind.CONFIGURATION, Kind.LOG):
            return self.noise.take(index, secret=section.kind is Kind.CONFIGURATION)
        if section.name.endswith("hostname/fqdn") and " " not in line.strip():
            self.names[section.place] = line.strip()
            sectioner.named(line.strip())
            return False
        if self._open_route is not None and not is_next_hop(line):
            self._close_route()
        if not self._read(line, index, section):
            self.noise.take(index)
        return False

    def end(self) -> None:
        """Take the end of the text."""
        self._close_route()
        for place in [place for place, found in self.written.items() if not found.lines]:
            # A policy group says nothing without the connections.
            for _, lines in self.written.pop(place).groups.values():
                for number, _ in lines:
                    self.noise.take(number - 1, secret=True)
        last = self._sectioner.section
        written = self.written.get(last.place)
        if written is not None and last.barf and is_conf(last.name):
            # A barf goes on behind the configuration.
            written.cut = Span(self._name, len(self._lines))

    def changed(self, listings: Sequence[Listing]) -> None:
        """Refuse what was typed behind the last print of a table, and is not in it."""
        for index, place in self._changes:
            printed = [x for x in listings if self.place_of(x.span.line) == place]
            if not printed or printed[-1].span.line > index:
                continue
            span = Span(self._name, index + 1)
            printed[-1].unread.append(UnreadRow(*span))
            self._collector.add(
                Diagnostic(
                    "ET154",
                    Severity.ERROR,
                    "this command changed the table behind its last print",
                    span,
                    excerpt=self._lines[index],
                    hint="take the table again, or take this line away if the command failed",
                )
            )

    def _configuration(self, line: str, index: int, section: Section) -> bool:
        """Keep a line of ipsec.conf, or of a policy group, of the host; whether it was one."""
        group = policy_group_of(section.name)
        if not group and not is_conf(section.name):
            return False
        written = self.written.setdefault(section.place, WrittenConfiguration(self._name))
        if group:
            written.group(group, self._name).append((index + 1, line))
            return True
        if section.number != written.section:
            # A later print of the file holds, not both.
            written.section = section.number
            written.lines.clear()
        written.lines.append((index + 1, line))
        return True

    def _leave_section(self) -> None:
        self._close_route()
        self._device = ""
        self._metric_column = False
        self._family = 4

    def _read(self, line: str, index: int, section: Section) -> bool:
        """Give a line to the reader that knows its shape; whether there was one."""
        span = Span(self._name, index + 1, 1, len(line) + 1, index + 1)
        collector = self._collector
        if device := device_of_head(line):
            self._device = device
        elif ("=" in line or "@" in line) and looks_like_association(line):
            self._add(span, section, Kind.SPI, read_association(line, span, collector))
        elif looks_like_group(line):
            self._add(span, section, Kind.SPIGRP, read_group(line, span, collector))
        elif looks_like_attachment(line):
            for attachment in read_attachments(line, span, collector) or (None,):
                self._add(span, section, Kind.TNCFG, attachment)
        elif looks_like_version(line):
            text = read_version(line)
            self._add(span, section, Kind.VERSION, _Version(text) if text else None)
        elif looks_like_route(line):
            self._route(line, span, section)
        elif looks_like_rule(line):
            self._add(span, section, Kind.RULE, read_rule(line, span, collector))
        elif looks_like_address(line):
            address = read_address(line, span, collector, self._device)
            self._add(span, section, Kind.ADDRESS, address)
        elif looks_like_parameter(line, section):
            self._add(span, section, Kind.PARAMETER, read_parameter(line, section))
        elif is_cache_line(line) and self._follows_route(index):
            last = self.entries[-1]
            self.entries[-1] = last._replace(value=_Clone(last.value))
        elif is_route_heading(line):
            self._metric_column = has_metric_column(line) or (
                self._metric_column and not line.lstrip().startswith("Destination")
            )
            self._family = 6 if "IPv6" in line else self._family
        else:
            return belongs_to_block(line) or _of_the_stack(line, section)
        return True

    def _follows_route(self, index: int) -> bool:
        """Whether the line above the one at an index is a route that was read."""
        if not self.entries:
            return False
        last = self.entries[-1]
        return last.line == index and isinstance(last.value, Route)

    def _add(self, span: Span, section: Section, kind: Kind, value: _Value) -> None:
        self.entries.append(_Entry(span.line, section, kind, value))

    def _route(self, line: str, span: Span, section: Section) -> None:
        context = section.routes._replace(metric_column=self._metric_column)
        if self._family == 6:
            context = context._replace(family=6)
        hop = is_next_hop(line)
        if hop and self._open_route is not None:
            context = context._replace(
                destination=self._open_route.destination, table=self._open_route.table
            )
        route = read_route(line, span, self._collector, context)
        if route is not None:
            self._family = route.destination.family
            if hop and self._open_route is not None:
                route = route._replace(metric=self._open_route.metric)
                self._hops += 1
            elif route.kind == "unicast" and not route.device:
                self._open_route, self._hops = route, 0
        self._add(span, section, Kind.ROUTE, route)

    def _close_route(self) -> None:
        """A route without a device must have had its next hops on the lines below it."""
        route, self._open_route = self._open_route, None
        if route is None or self._hops:
            return
        self.entries[-1] = self.entries[-1]._replace(value=None)
        self._collector.add(
            Diagnostic(
                "ET140",
                Severity.WARNING,
                "this route names no device",
                route.span,
                excerpt=self._lines[route.span.line - 1],
                expected="dev NAME, or lines with nexthop below it",
                hint="it has no part in the translation; print the table whole",
            )
        )

    def place_of(self, line: int) -> int:
        """The host that a line belongs to."""
        return self.places[bisect_right(self.places, (line, 1 << 62)) - 1][1]


def _of_the_stack(line: str, section: Section) -> bool:
    """Whether a line is of a table of KLIPS that says nothing about the translation.

    A number alone is one below the name of its file only.
    """
    if (
        looks_like_debug(line)
        or looks_like_pf_key(line)
        or looks_like_supported(line)
        or looks_like_registered(line)
        or looks_like_saref(line)
        or looks_like_xform(line)
    ):
        return True
    words = section.name.split()
    file = words[-1] if words else ""
    return (
        (file.endswith(("/trap_count", "/trap_sendcount")) and looks_like_trap_count(line))
        or (file.endswith("ipsec/natt") and looks_like_natt(line))
        or (file.endswith("ipsec/ocf") and looks_like_ocf(line))
    )


def _readings(name: str, listings: Sequence[Listing], rest: _Rest) -> list[Reading]:
    """Put entries to the eroute table that stands above them, the first ones to the first."""
    tables: dict[int, list[Listing]] = {}
    for listing in listings:
        tables.setdefault(rest.place_of(listing.span.line), []).append(listing)
    entries: dict[int, list[_Entry]] = {}
    for entry in rest.entries:
        entries.setdefault(entry.section.place, []).append(entry)
    readings: list[Reading] = []
    for place in sorted({*tables, *entries, *rest.written}):
        found = tables.get(place, [])
        starts = [listing.span.line for listing in found]
        parts: list[list[_Entry]] = [[] for _ in range(max(1, len(found)))]
        for entry in entries.get(place, ()):
            parts[max(0, bisect_right(starts, entry.line) - 1)].append(entry)
        # Hosts that nothing names are still told apart.
        unnamed = f"{PurePath(name).name}{UNNAMED}{place + 1}" if place else ""
        host = rest.names.get(place, "") or unnamed
        for number, part in enumerate(parts):
            listing_of_part = found[number] if found else None
            readings.append(_reading(name, host, listing_of_part, part))
        readings[-1].written = rest.written.get(place)
    return readings


def _reading(name: str, host: str, listing: Listing | None, entries: list[_Entry]) -> Reading:
    reading = Reading(name, host, listing)
    accounted, refused = reading.accounted, reading.refused
    if listing is not None:
        accounted[Kind.EROUTE.value] = len(listing.eroutes) + len(listing.repeats)
        if listing.unread:
            refused[Kind.EROUTE.value] = len(listing.unread)
    for entry in entries:
        counts = refused if entry.value is None else accounted
        counts[entry.kind.value] = counts.get(entry.kind.value, 0) + 1
        match entry.value:
            case Association():
                reading.associations.append(entry.value)
            case Group():
                reading.groups.append(entry.value)
            case Attachment():
                reading.attachments.append(entry.value)
            case InterfaceAddress():
                reading.addresses.append(entry.value)
            case RoutingRule():
                reading.rules.append(entry.value)
            case Parameter(parameter, text):
                reading.parameters[parameter] = text
            case _Version(text):
                # The line of the kernel tells more than the banner of the tools.
                if not reading.version or " version: " in text:
                    reading.version = text
            case _:
                pass
    reading.routes.extend(_last_routes(entries))
    return reading


def _last_routes(entries: list[_Entry]) -> list[Route]:
    """The routes that hold: of a table that was printed twice, those of the last print.

    Rows of a print that left some out are added to what stands above.
    """
    found: dict[tuple[int, str], list[tuple[Section, Route]]] = {}
    for entry in entries:
        route = entry.value
        if not isinstance(route, Route) or (route.kind == "unicast" and not route.device):
            continue
        rows = found.setdefault((route.destination.family, route.table), [])
        if not entry.section.partial and rows and rows[-1][0].number != entry.section.number:
            rows.clear()
        rows.append((entry.section, route))
    unique: dict[Route, Route] = {}
    for rows in found.values():
        for _, route in rows:
            unique.setdefault(route._replace(span=_NOWHERE), route)
    return list(unique.values())


_NOWHERE = Span("", 0)
