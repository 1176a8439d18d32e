"""One KLIPS host put together from the readings of captures, scripts and configurations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from ..diagnostics import Collector, Diagnostic, Severity
from .association import Group, merged
from .eroute import Eroute
from .host import KlipsHost
from .interface import Route
from .listing import Listing, UnreadRow
from .reading import UNNAMED, Reading, Standing
from .said import Said
from .sections import same_host
from .spigrp import chains


def host_of_listings(
    listings: Sequence[Listing], chosen: int | None, collector: Collector
) -> KlipsHost:
    """Take the table of the host from the listings that were found (:func:`host_of_readings`)."""
    return host_of_readings(
        [Reading(listing.file, listing=listing) for listing in listings], chosen, collector
    )


def host_of_readings(
    readings: Sequence[Reading],
    chosen: int | None,
    collector: Collector,
    *,
    host: str | None = None,
) -> KlipsHost:
    """Put the readings of one host together.

    With several hosts and none named by ``host``, the last one with eroutes counts; the rows of
    the others are refused (ET143).  With more than one table and none ``chosen`` (1 is the first,
    of the named host or of the whole input), the last one counts; rows that only earlier ones have
    are refused, since nobody can tell whether they still hold (ET111).  What the reading of that
    table lacks is taken from the others of the host.
    """
    if not readings:
        return KlipsHost(())
    _only_nearest(readings, collector)
    hosts = _by_host(readings)
    accounts = _sum(r.accounted for r in readings), _sum(r.refused for r in readings)
    nothing = KlipsHost((), accounted=accounts[0], refused=accounts[1])
    tables = [r for r in readings if r.listing is not None]
    lost: list[UnreadRow] = []
    if host is not None:
        named = [name for name in hosts if same_host(name, host)]
        if not named:
            _no_such_host(host, hosts, collector)
            return nothing
        mine = hosts[named[0]]
        tables = [r for r in mine if r.listing is not None]
    if chosen is not None and not 1 <= chosen <= len(tables):
        if tables:
            _no_such_table(chosen, len(tables), collector)
        return nothing
    if host is None:
        reading = tables[-1 if chosen is None else chosen - 1] if tables else readings[-1]
        mine = next(group for group in hosts.values() if any(r is reading for r in group))
        if len(hosts) > 1:
            lost = _report_hosts(hosts, mine, collector, certain=chosen is not None)
            if chosen is None:
                tables = [r for r in mine if r.listing is not None]
    elif tables:
        reading = tables[-1 if chosen is None else chosen - 1]
    else:
        reading = mine[-1]
    if len(tables) > 1 and reading.listing is not None:
        listings = [r.listing for r in tables if r.listing is not None]
        lost.extend(_report_others(listings, reading.listing, chosen, collector))
    return _joined(reading, mine, lost, accounts, collector)


def _only_nearest(readings: Sequence[Reading], collector: Collector) -> None:
    """Where the kernel's table is at hand, the eroutes of scripts and configurations are left.

    Each host has its own; what names no host gives way to the tables of any.
    """
    for name, group in _by_host(readings).items():
        _leave_others([r for r in group if r.listing], group if name else readings, collector)


def _leave_others(
    mine: Sequence[Reading], readings: Sequence[Reading], collector: Collector
) -> None:
    with_rows = [r for r in readings if r.listing is not None and r.listing.rows]
    nearest = min((r.standing for r in with_rows), default=Standing.TABLE)
    for reading in with_rows:
        if not any(reading is other for other in mine):
            continue
        if reading.standing is nearest or reading.listing is None:
            continue
        collector.add(
            Diagnostic(
                "ET146",
                Severity.NOTE,
                f"{_what(reading)}: those of"
                f" {next(_place(r) for r in with_rows if r.standing is nearest)} are translated,"
                " which are nearer to what the kernel had",
                reading.listing.span,
                hint="translate it alone to see its own",
            )
        )
        reading.listing = None


_SOURCES = {
    Standing.TABLE: "the table",
    Standing.SCRIPT: "the commands",
    Standing.CONFIGURATION: "ipsec.conf",
}


def _place(reading: Reading) -> str:
    """The source of a reading: one file may hold several."""
    return f"{_SOURCES[reading.standing]} in {reading.source}"


def _what(reading: Reading) -> str:
    rows = 0 if reading.listing is None else reading.listing.rows
    count = "one eroute follows" if rows == 1 else f"{rows} eroutes follow"
    return f"{count} from {_place(reading)}"


def _joined(
    reading: Reading,
    mine: Sequence[Reading],
    lost: list[UnreadRow],
    accounts: tuple[dict[str, int], dict[str, int]],
    collector: Collector,
) -> KlipsHost:
    listing = reading.listing or Listing(reading.source)
    others = [r for r in mine if r is not reading]
    # A later capture of the same kind outweighs an earlier one; a table outweighs a script.
    ranked = sorted(others, key=lambda r: r.standing)
    tables = next(
        (
            [r.associations]
            for r in (reading, *ranked)
            if r.standing is Standing.TABLE and r.associations
        ),
        [],
    )
    beside = [r.associations for r in (reading, *ranked) if r.standing is not Standing.TABLE]
    by_said = merged([*tables, *beside])
    groups = reading.groups or [g for r in others for g in r.groups]
    version = reading.version or next((r.version for r in reversed(others) if r.version), "")
    joined = chains(groups, by_said, version, collector)
    attachments = reading.attachments or [a for r in others for a in r.attachments]
    parameters: dict[str, str] = {}
    for part in (*others, reading):
        parameters.update(part.parameters)
    configurations = [r.configuration for r in (reading, *reversed(others))]
    routes, printed = _routes(reading, others)
    return KlipsHost(
        _with_groups(listing.eroutes, joined),
        tuple(listing.unread) + tuple(lost),
        tuple(_with_groups(listing.repeats, joined)),
        listing.in_kernel_order,
        reading.insertion_known,
        next((r.host for r in mine if r.host), ""),
        tuple(by_said.values()),
        joined,
        tuple({a.device: a for a in attachments}.values()),
        tuple(reading.addresses or _last([r.addresses for r in others])),
        routes,
        tuple(reading.rules or _last([r.rules for r in others])),
        version,
        parameters,
        next((c for c in configurations if c is not None), None),
        printed,
        *accounts,
    )


def _routes(reading: Reading, others: Sequence[Reading]) -> tuple[tuple[Route, ...], bool]:
    """The routes that hold, and whether a kernel printed all of them and all could be read.

    For each table of a family one source: what a kernel printed outweighs what a script added, the
    chosen reading outweighs others, of them the one that tells most (``netstat`` leaves out
    kinds and sources that ``ip route`` shows), then the last.
    """
    ranked = sorted(
        [*reversed(others), reading],
        key=lambda source: (source.standing, source is not reading, -_told(source.routes)),
    )
    chosen: dict[tuple[int, str], Reading] = {}
    for source in ranked:
        for route in source.routes:
            chosen.setdefault((route.destination.family, route.table), source)
    used = [s for s in (*others, reading) if any(s is c for c in chosen.values())]
    routes = [
        route
        for source in used
        for route in source.routes
        if chosen[route.destination.family, route.table] is source
    ]
    printed = all(
        source.standing is Standing.TABLE and not source.refused.get("route") for source in used
    )
    return tuple(routes), bool(used) and printed


def _told(routes: Iterable[Route]) -> int:
    return sum(1 + bool(route.source) + bool(route.origin) for route in routes)


def _with_groups(eroutes: Iterable[Eroute], groups: Sequence[Group]) -> tuple[Eroute, ...]:
    """Eroutes that name a known group by its head get all of its SAIDs.

    A row of ``ipsec look`` has its group already.  A head with two different groups tells nothing.
    """
    by_head: dict[Said, tuple[Said, ...]] = {}
    for group in groups:
        head = group.saids[0]
        by_head[head] = group.saids if by_head.get(head, group.saids) == group.saids else (head,)
    if not by_head:
        return tuple(eroutes)
    return tuple(
        eroute._replace(saids=by_head[eroute[1][0]])
        if len(eroute[1]) == 1 and not eroute[6] and len(by_head.get(eroute[1][0], ())) > 1
        else eroute
        for eroute in eroutes
    )


_T = TypeVar("_T")


def _last(parts: Sequence[list[_T]]) -> list[_T]:
    """The last part that holds anything."""
    return next((part for part in reversed(parts) if part), [])


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        for kind, number in count.items():
            total[kind] = total.get(kind, 0) + number
    return total


def _by_host(readings: Sequence[Reading]) -> dict[str, list[Reading]]:
    """Readings by host, in the order of the input; one host takes those that name none."""
    hosts: dict[str, list[Reading]] = {}
    for reading in readings:
        name = next((held for held in hosts if same_host(held, reading.host)), reading.host)
        hosts.setdefault(name, []).append(reading)
    named = [held for held in hosts if held]
    if len(named) == 1 and "" in hosts and UNNAMED not in named[0]:
        return {named[0]: list(readings)}
    return hosts


def _rows(readings: Iterable[Reading]) -> int:
    return sum(r.listing.rows for r in readings if r.listing is not None)


def _report_hosts(
    hosts: Mapping[str, list[Reading]],
    mine: list[Reading],
    collector: Collector,
    *,
    certain: bool,
) -> list[UnreadRow]:
    """Say which host was taken; the rows of the others are lost unless the user chose."""
    lost: list[UnreadRow] = []
    name = next(held for held, readings in hosts.items() if readings is mine)
    if not certain:
        for readings in hosts.values():
            if readings is not mine:
                lost.extend(_rows_lost(readings))
    message = (
        f"the input holds {len(hosts)} hosts; {name or 'the one without a name'} is translated"
    )
    if lost:
        rows = f"the {len(lost)} rows" if len(lost) > 1 else "the one row"
        message += f", and {rows} of the others are refused"
    collector.add(
        Diagnostic(
            "ET143",
            Severity.ERROR if lost else Severity.NOTE,
            message,
            next((r.listing.span for r in reversed(mine) if r.listing is not None), None),
            related=tuple(
                (r.listing.span, f"a table of {held or 'a host without a name'}")
                for held, readings in hosts.items()
                for r in readings
                if readings is not mine and r.listing is not None
            ),
            hint=f"choose one with --host: {', '.join(held for held in hosts if held)}",
        )
    )
    return lost


def _rows_lost(readings: Iterable[Reading]) -> list[UnreadRow]:
    lost: list[UnreadRow] = []
    for reading in readings:
        if reading.listing is not None:
            lost.extend(UnreadRow(*e.span) for e in reading.listing.eroutes)
            lost.extend(UnreadRow(*e.span) for e in reading.listing.repeats)
            lost.extend(reading.listing.unread)
    return lost


def _no_such_host(host: str, hosts: Iterable[str], collector: Collector) -> None:
    names = ", ".join(held for held in hosts if held)
    collector.add(
        Diagnostic(
            "ET143",
            Severity.ERROR,
            f"the input holds no host {host!r}",
            hint=f"--host takes one of {names}" if names else "no line of it names a host",
        )
    )


def _no_such_table(chosen: int, tables: int, collector: Collector) -> None:
    collector.add(
        Diagnostic(
            "ET111",
            Severity.ERROR,
            f"there is no table {chosen}: the input holds {tables}",
            hint=f"--table takes 1 to {tables}",
        )
    )


def _report_others(
    listings: Sequence[Listing], taken: Listing, chosen: int | None, collector: Collector
) -> list[UnreadRow]:
    held = {eroute.selector for eroute in taken.eroutes}
    lost: list[UnreadRow] = []
    if chosen is None:
        for listing in listings:
            if listing is taken:
                continue
            lost.extend(
                UnreadRow(*eroute.span) for eroute in listing.eroutes if eroute.selector not in held
            )
            lost.extend(listing.unread)
    number = listings.index(taken) + 1
    message = f"the input holds {len(listings)} tables; table {number} is translated"
    if lost:
        rows = f"{len(lost)} rows stand" if len(lost) > 1 else "one row stands"
        message += f", and {rows} only in another one: refused"
    elif chosen is None:
        message += ", and every selector of the others stands in it too"
    collector.add(
        Diagnostic(
            "ET111",
            Severity.ERROR if lost else Severity.NOTE,
            message,
            taken.span,
            related=tuple(
                (listing.span, f"table {place} with {listing.rows} rows")
                for place, listing in enumerate(listings, 1)
                if listing is not taken
            ),
            hint="" if chosen is not None else "choose one with --table NUMBER",
        )
    )
    return lost
