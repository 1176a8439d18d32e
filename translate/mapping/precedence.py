"""The order of priorities: the eroute that KLIPS took has the lowest number, for every packet.

XFRM takes the policy with the lowest number and knows nothing of specificity.  KLIPS's choice is
not always an order (docs/mapping.md, "Precedence"); where two eroutes cross and no order gives
what KLIPS did, or the dump does not tell what it did, the safer of the two goes first and a
finding names both with a packet.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple

from ..cubes import packet_of
from ..diagnostics import Diagnostic, Severity
from ..klips.crossing import (
    Crossing,
    Crossings,
    Relation,
    TooManyCrossings,
    strongest_first,
)
from ..klips.eroute import Eroute
from ..klips.kernel_hold import host_pair, is_kernel_hold
from ..klips.lookup import RadixTable, Row, row_of
from ..net import Selector
from .model import Options, Treatment, Weight


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Policies before all others, for what no order of priorities gives.

    ``selectors`` are those of each eroute, by its position: packets of which KLIPS took it all.
    ``settled`` are the pairs of positions whose crossing they carry, ``swapped`` those of them in
    which the row that the tree prefers less goes first, since that takes fewer exceptions.
    ``needed`` tells how many policies at least other pairs would take, above the limit.
    """

    selectors: Mapping[int, tuple[Selector, ...]] = field(default_factory=dict)
    settled: frozenset[frozenset[int]] = frozenset()
    swapped: frozenset[frozenset[int]] = frozenset()
    needed: Mapping[frozenset[int], int] = field(default_factory=dict)


NO_EXCEPTIONS: Final = Exceptions()


class Dispute(NamedTuple):
    """Two eroutes and a packet for which the order of priorities may not give what KLIPS did.

    Positions in the eroutes of the host; ``winner`` has the lower number now.
    """

    winner: int
    loser: int
    relation: Relation
    packet: int


@dataclass(slots=True)
class Crossed:
    """What the keys of the eroutes of one family tell by themselves, whatever becomes of each.

    ``members`` are their positions in the table; ``order`` is that in which the tree prefers them
    and ``pairs`` what it does not settle, both as places in ``members``.  ``cut`` tells that there
    are more pairs.
    """

    members: Sequence[int]
    order: list[int]
    pairs: list[Crossing]
    cut: bool
    _build: Callable[[], Crossings]
    _crossings: Crossings | None

    @property
    def crossings(self) -> Crossings:
        """Finds the eroutes that meet a given one.

        Of a large table where nothing crosses it is not kept: of a million rows it takes 130 MiB.
        """
        if self._crossings is None:
            self._crossings = self._build()
        return self._crossings


_SMALL: Final = 1 << 17
"""Rows of a table whose :attr:`Crossed.crossings` are kept though nothing crosses."""


class Precedence(NamedTuple):
    """The result: positions, strongest first; disputes; positions that must be refused.

    ``crossed`` are the eroutes of each family.
    """

    order: list[int]
    disputes: list[Dispute]
    refused: set[int]
    findings: list[Diagnostic]
    crossed: Mapping[int, Crossed]


def crossed_in(
    eroutes: Sequence[Eroute], limit: int, *, in_kernel_order: bool, insertion_known: bool
) -> dict[int, Crossed]:
    """Where the eroutes of each family cross, looking at so many pairs.

    IPv4 and IPv6 never meet; IPv6 comes first.
    """
    crossed = {}
    for family in (6, 4):
        members: Sequence[int] = [i for i, e in enumerate(eroutes) if e[0][0][0] == family]
        if members:
            if len(members) == len(eroutes):
                members = range(len(eroutes))
            mine = _Members(family, eroutes, members)
            build = mine.by_insertion if insertion_known else partial(mine.by_key, in_kernel_order)
            crossed[family] = _crossed(members, build, limit)
    return crossed


@dataclass(frozen=True, slots=True)
class _Members:
    """The eroutes of one family, before anything is known of their order."""

    family: int
    eroutes: Sequence[Eroute]
    positions: Sequence[int]

    def by_key(self, chains_known: bool) -> Crossings:
        """As a dump tells it: the order of insertion is not known."""
        rows = self._rows()
        loose = self._host_bits(rows)
        order = strongest_first(rows, chains_known=chains_known)
        return Crossings(rows, _LazyPaths(self.family, rows, loose), None, order, loose)

    def by_insertion(self) -> Crossings:
        """As KLIPS had it, added one after the other."""
        rows = self._rows()
        loose = self._host_bits(rows)
        table = RadixTable(self.family)
        for place, row in enumerate(rows):
            table.add(Row(loose.get(place, row.key), row.mask) if loose else row, place)
        order = _reversed_keeping_chains(table.printed(), rows)
        rank = {mask: at for at, mask in enumerate(table.masks())}
        return Crossings(rows, table.path_bits, rank, order, loose)

    def _host_bits(self, rows: Sequence[Row]) -> dict[int, int]:
        """The keys in the tree of those rows that have bits outside of their masks."""
        loose = {}
        for place, position in enumerate(self.positions):
            selector = self.eroutes[position][0]
            (_, near, near_mask), (_, far, far_mask) = selector[0], selector[1]
            if not (near & ~near_mask or far & ~far_mask):
                continue
            if self.family == 6 and is_kernel_hold(selector):
                continue
            key = row_of(selector)[0]
            if key != rows[place].key:
                loose[place] = key
        return loose

    def _rows(self) -> list[Row]:
        """Keys, without host bits, and masks, each mask only once in memory."""
        rows = []
        masks: dict[int, int] = {}
        for position in self.positions:
            selector = self.eroutes[position][0]
            if self.family == 6 and is_kernel_hold(selector):
                selector = host_pair(selector)  # as it is carried
            key, mask = row_of(selector)
            rows.append(tuple.__new__(Row, (key & mask, masks.setdefault(mask, mask))))
        return rows


def _crossed(members: Sequence[int], build: Callable[[], Crossings], limit: int) -> Crossed:
    crossings = build()
    order = crossings.order
    if _nested_masks(crossings):
        kept = crossings if len(members) <= _SMALL else None
        return Crossed(members, order, [], False, build, kept)
    pairs: list[Crossing] = []
    cut = False
    try:
        pairs.extend(crossings.find(limit))
    except TooManyCrossings:
        cut = True
    return Crossed(members, order, pairs, cut, build, crossings)


def decide(
    eroutes: Sequence[Eroute],
    treatments: Sequence[Treatment],
    options: Options,
    *,
    crossed: Mapping[int, Crossed],
    exceptions: Exceptions = NO_EXCEPTIONS,
) -> Precedence:
    """Order the eroutes.  Pairs that ``exceptions`` settle stand as they ask for."""
    result = Precedence([], [], set(), [], crossed)
    for family, part in crossed.items():
        _family(family, part, eroutes, treatments, options, exceptions, result)
    return result


def _family(
    family: int,
    crossed: Crossed,
    eroutes: Sequence[Eroute],
    treatments: Sequence[Treatment],
    options: Options,
    exceptions: Exceptions,
    result: Precedence,
) -> None:
    members, order, found = crossed.members, crossed.order, crossed.pairs
    if crossed.cut:
        result.findings.append(
            Diagnostic(
                "ET305",
                Severity.ERROR,
                f"more than {options.crossing_limit} pairs of IPv{family} eroutes cross",
                eroutes[members[0]].span,
                hint="raise --crossing-limit, or split the table",
            )
        )
    pairs = [frozenset((members[c.first], members[c.second])) for c in found]
    swaps = [
        crossing
        for crossing, pair in zip(found, pairs, strict=True)
        if pair in exceptions.swapped
        or (pair not in exceptions.settled and _swapped(crossing, members, treatments))
    ]
    found = [c for c, pair in zip(found, pairs, strict=True) if pair not in exceptions.settled]
    if swaps:
        order = _reorder(order, crossed.crossings, swaps)
    places = {position: at for at, position in enumerate(order)} if found else {}
    for crossing in found:
        _settle(crossing, places, members, eroutes, treatments, family, exceptions, result)
    alone = len(members) == len(eroutes)
    result.order.extend(order if alone else [members[position] for position in order])


class _LazyPaths:
    """The bits that the descent to a key tests; the tree is built when somebody asks.

    ``loose`` are the keys of rows with host bits: those make the tree deeper, also on the way to
    other keys.
    """

    def __init__(self, family: int, rows: Sequence[Row], loose: Mapping[int, int]) -> None:
        self._family = family
        self._rows = rows
        self._loose = loose
        self._table: RadixTable | None = None

    def __call__(self, key: int) -> int:
        if self._table is None:
            rows = [
                (Row(self._loose.get(place, row.key), row.mask) if self._loose else row, place)
                for place, row in enumerate(self._rows)
            ]
            self._table = RadixTable.from_dump(self._family, rows)
        return self._table.path_bits(key)


def _reversed_keeping_chains(printed: Sequence[int], rows: Sequence[Row]) -> list[int]:
    """Printed order ascends by key; the strongest order descends, but keeps each chain."""
    return sorted(printed, key=lambda i: -rows[i].key)


def _nested_masks(index: Crossings) -> bool:
    """Whether each mask refines the next wider one, so that nothing can cross.

    Chains with one key and nested masks stand right in a table that any tool made; the slip needs
    masks of which neither refines the other.
    """
    masks = sorted(index.by_mask, key=lambda m: m.bit_count())
    return all(wide & fine == wide for wide, fine in pairwise(masks))


def _swapped(crossing: Crossing, members: Sequence[int], treatments: Sequence[Treatment]) -> bool:
    """Whether the row that the tree prefers less must have the lower number."""
    if crossing.relation is Relation.SECOND:
        return True
    first = treatments[members[crossing.first]].weight
    second = treatments[members[crossing.second]].weight
    return second > first


def _reorder(order: list[int], index: Crossings, swaps: Sequence[Crossing]) -> list[int]:
    """Bring the swapped pairs into the order, and keep every other pair that overlaps as it is.

    Kahn's algorithm, taking the row that stood first among those that are free.  Where swaps
    and the rest contradict each other the row that stood first is taken; :func:`_settle` sees it.
    """
    place = {position: at for at, position in enumerate(order)}
    swapped = {(c.first, c.second) for c in swaps}
    below: dict[int, list[int]] = {}
    waiting = dict.fromkeys(order, 0)
    for first, second in index.overlapping():
        upper, lower = (second, first) if (first, second) in swapped else (first, second)
        below.setdefault(upper, []).append(lower)
        waiting[lower] += 1
    free = [place[p] for p in order if not waiting[p]]
    heapq.heapify(free)
    left = dict.fromkeys(order)
    result: list[int] = []
    while left:
        position = order[heapq.heappop(free)] if free else next(iter(left))
        if position not in left:
            continue
        del left[position]
        result.append(position)
        for lower in below.get(position, ()):
            waiting[lower] -= 1
            if not waiting[lower] and lower in left:
                heapq.heappush(free, place[lower])
    return result


def _settle(
    crossing: Crossing,
    place: dict[int, int],
    members: Sequence[int],
    eroutes: Sequence[Eroute],
    treatments: Sequence[Treatment],
    family: int,
    exceptions: Exceptions,
    result: Precedence,
) -> None:
    """Say what became of a crossing pair in the final order."""
    first, second = members[crossing.first], members[crossing.second]
    if any("ET304" in treatments[position].codes for position in (first, second)):
        return  # no packet reaches one of them
    second_leads = place[crossing.second] < place[crossing.first]
    if crossing.relation is Relation.SECOND and second_leads:
        return
    winner, loser = (second, first) if second_leads else (first, second)
    weaker = treatments[winner].weight < treatments[loser].weight
    passes = treatments[winner].weight == Weight.PASS
    result.disputes.append(Dispute(winner, loser, crossing.relation, crossing.packet))
    packet = packet_of(family, crossing.packet)
    one, other = eroutes[winner], eroutes[loser]
    what = {
        Relation.UNKNOWN: "the order in which they were added decided, and it is not known",
        Relation.SPLIT: "KLIPS took one for some packets and the other for the rest",
        Relation.SECOND: "KLIPS took the second, but other pairs forbid that order",
    }[crossing.relation]
    code = {
        Relation.UNKNOWN: "ET301",
        Relation.SPLIT: "ET302",
        Relation.SECOND: "ET303",
    }[crossing.relation]
    needed = exceptions.needed.get(frozenset((winner, loser)))
    exact = (
        ""
        if needed is None
        else f"; more than {needed} policies of their own could give what KLIPS did"
        " (--exception-limit)"
    )
    refuse = weaker and passes
    if refuse:
        result.refused.add(winner)
    result.findings.append(
        Diagnostic(
            code,
            Severity.ERROR if refuse else Severity.WARNING,
            f"{one.selector} ({one.said}) and {other.selector} ({other.said}) cross: {what};"
            f" for example packet {packet}",
            one.span,
            related=((other.span, "the eroute that it crosses"),),
            hint="the first is refused, for it would pass in clear what the second protects"
            if refuse
            else "the first is given precedence"
            + (", as the safer one" if treatments[winner].weight > treatments[loser].weight else "")
            + "; if the other should win, take the overlap out of one of them"
            + exact,
        )
    )
