"""The eroutes of a host as the radix table that KLIPS had of them, as far as the input tells it.

Where the order of insertion is known the table is built as the kernel built it; else it is known
from its dump alone (:meth:`.lookup.RadixTable.from_dump`).
"""

from __future__ import annotations

from typing import NamedTuple

from .host import KlipsHost
from .kernel_hold import host_pair, is_kernel_hold
from .lookup import ExistsError, Match, RadixTable, Row, row_of


class HostTable(NamedTuple):
    """The table of one family.

    ``rows`` are those that are in it, ``positions`` the place of each in the eroutes of the host.
    In ``radix`` a row is known by its number in ``rows``.
    """

    radix: RadixTable
    rows: tuple[Row, ...]
    positions: tuple[int, ...]

    def match(self, packet: int) -> Match:
        """:meth:`.lookup.RadixTable.match`, with a position as the winner."""
        found = self.radix.match(packet)
        return (
            found if found.winner is None else found._replace(winner=self.positions[found.winner])
        )

    def possible(self, packet: int) -> frozenset[int]:
        """:meth:`.lookup.RadixTable.possible`, as positions."""
        return frozenset(self.positions[number] for number in self.radix.possible(packet))


def host_table(host: KlipsHost, family: int, *, as_carried: bool = False) -> HostTable:
    """The table of one family.

    With ``as_carried`` an IPv6 ``%hold`` with the mask of the kernel's slip stands for its two
    hosts (finding ET221), else for what its mask says.
    """
    rows: list[tuple[Row, int]] = []
    for position, eroute in enumerate(host.eroutes):
        selector = eroute.selector
        if selector.family == family:
            if as_carried and family == 6 and is_kernel_hold(selector):
                selector = host_pair(selector)
            rows.append((row_of(selector), position))
    if host.insertion_known:
        return _inserted(family, rows)
    if not host.in_kernel_order:
        # The order of a chain is lost; the finer mask usually stood first.
        rows.sort(key=lambda row: -row[0].mask.bit_count())
    radix = RadixTable.from_dump(family, [(row, number) for number, (row, _) in enumerate(rows)])
    return _held(radix, rows)


def _inserted(family: int, rows: list[tuple[Row, int]]) -> HostTable:
    """The rows put in one after the other; of two that are the same the earlier one stays."""
    radix = RadixTable(family)
    taken: list[tuple[Row, int]] = []
    for row, position in rows:
        try:
            radix.add(row, len(taken))
        except ExistsError:
            continue
        taken.append((row, position))
    return _held(radix, taken)


def _held(radix: RadixTable, rows: list[tuple[Row, int]]) -> HostTable:
    return HostTable(radix, tuple(row for row, _ in rows), tuple(position for _, position in rows))
