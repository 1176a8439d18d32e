"""The order of the rows of a table, and rows that stand twice in it."""

from __future__ import annotations

from ..diagnostics import Collector, Diagnostic, Severity
from ..net import Selector
from .eroute import Eroute, Form
from .listing import Listing, UnreadRow
from .lookup import refines, row_of


def ascending(eroutes: list[Eroute]) -> bool:
    """Whether the rows stand in the order in which the kernel walks its tree.

    Keys ascend, host bits included, since the kernel keeps them in its keys.
    """
    previous: tuple[int, ...] = ()
    head: Eroute | None = None
    for eroute in eroutes:
        if eroute[5] != Form.PROC.value:
            return False
        source, destination, protocol, source_port, destination_port = eroute[0]
        key = (source[0], source[1], destination[1], protocol, source_port, destination_port)
        if key < previous:
            return False
        if key != previous:
            previous, head = key, eroute
        elif head is not None and _coarse_first(head, eroute):
            return False
    return True


def _coarse_first(head: Eroute, other: Eroute) -> bool:
    """Whether a later row of a chain is finer than its head.

    The kernel puts a finer row before the head, so that only a sorted or edited table has that
    order (but for a chain whose head was removed later).  Behind the head a coarse row stands
    before a finer one by the slip of rj_addroute.
    """
    return refines(row_of(other.selector).mask, row_of(head.selector).mask)


def check_repeats(listing: Listing, collector: Collector) -> None:
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
