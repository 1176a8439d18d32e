"""What is known of one KLIPS host, put together from everything that was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..diagnostics import Collector, Diagnostic, Severity
from .association import Address, Association, Group
from .eroute import Eroute
from .table import Listing, UnreadRow


@dataclass(frozen=True, slots=True)
class KlipsHost:
    """The eroutes of a host.

    ``eroutes`` in printed order, or in the order of their commands when ``insertion_known``.
    ``in_kernel_order`` tells that rows with one key stand in the order in which KLIPS tries them.
    ``repeats`` are rows that stand twice and are carried once.
    """

    eroutes: tuple[Eroute, ...]
    unread: tuple[UnreadRow, ...] = ()
    repeats: tuple[Eroute, ...] = ()
    in_kernel_order: bool = True
    insertion_known: bool = False
    associations: tuple[Association, ...] = ()
    groups: tuple[Group, ...] = ()
    version: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    local_addresses: tuple[Address, ...] = ()

    @property
    def rows(self) -> int:
        """Entries of the input: each of them gets one outcome."""
        return len(self.eroutes) + len(self.unread) + len(self.repeats)


def host_of_listings(
    listings: Sequence[Listing], chosen: int | None, collector: Collector
) -> KlipsHost:
    """Take the table of the host from the listings that were found.

    With more than one and none ``chosen`` (1 is the first), the last one counts; rows that only
    earlier ones have are refused, since nobody can tell whether they still hold.
    """
    if not listings:
        return KlipsHost(())
    if chosen is not None and not 1 <= chosen <= len(listings):
        collector.add(
            Diagnostic(
                "ET111",
                Severity.ERROR,
                f"there is no table {chosen}: the input holds {len(listings)}",
                hint=f"--table takes 1 to {len(listings)}",
            )
        )
        return KlipsHost(())
    listing = listings[-1 if chosen is None else chosen - 1]
    lost: list[UnreadRow] = []
    if len(listings) > 1:
        lost = _report_others(listings, listing, chosen, collector)
    return KlipsHost(
        tuple(listing.eroutes),
        tuple(listing.unread) + tuple(lost),
        tuple(listing.repeats),
        listing.in_kernel_order,
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
        message += f", and {len(lost)} rows stand only in another one: they are refused"
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
